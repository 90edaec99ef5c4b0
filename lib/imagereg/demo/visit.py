"""A simulated visit: its files, and the truth about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from imagereg.demo.camera import PIXEL_SCALE, Camera, blank_exposure, cos_sin, tangent_plane
from imagereg.demo.pixels import expose, random_stream
from imagereg.errors import ParameterError

_FLUX_SLOPE = 0.8  # the number of stars brighter than f goes as f ** -slope


@dataclasses.dataclass(frozen=True)
class PointingError:
    """Where the telescope truly looked, against what the header says.

    With xi (east) and eta (north) in arcsec on the tangent plane at the field centre, a star that
    is at n by the nominal WCS is truly at t. A perfect alignment finds this correction::

        xi_t  = scale * (cos(roll) * xi_n - sin(roll) * eta_n) + dx
        eta_t = scale * (sin(roll) * xi_n + cos(roll) * eta_n) + dy

    Parameters
    ----------
    dx, dy : float
        Shift to the east and to the north, arcsec.
    roll, scale : float
        Rotation from east towards north, degree; ratio of true to nominal distances.
    """

    dx: float = 0.0
    dy: float = 0.0
    roll: float = 0.0
    scale: float = 1.0

    @property
    def matrix(self) -> np.ndarray:
        """Rotation and scale, which act on a column (xi, eta); (2, 2)."""
        cos, sin = cos_sin(self.roll)
        return self.scale * np.array([[cos, -sin], [sin, cos]])

    def apply(self, nominal: np.ndarray) -> np.ndarray:
        """Return the true plane positions of nominal ones, (N, 2), arcsec."""
        return np.asarray(nominal) @ self.matrix.T + (self.dx, self.dy)

    def invert(self, true: np.ndarray) -> np.ndarray:
        """Return the nominal plane positions of true ones, (N, 2), arcsec."""
        return (np.asarray(true) - (self.dx, self.dy)) @ np.linalg.inv(self.matrix).T


@dataclasses.dataclass(frozen=True, eq=False)
class ChipTruth:
    """The stars whose centres are on one chip of one exposure.

    Parameters
    ----------
    extver, ident : int, ndarray (N,) of int
        EXTVER of the chip; star numbers, which are rows of `Visit.sky` and `Visit.flux`.
    xy, flux : ndarray (N, 2), (N,)
        True positions, FITS 1-based pixels; electrons of the whole star.
    """

    extver: int
    ident: np.ndarray
    xy: np.ndarray
    flux: np.ndarray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        _lock(self.ident, self.xy, self.flux)


@dataclasses.dataclass(frozen=True, eq=False)
class Visit:
    """The files of a simulated visit and the truth about them.

    Parameters
    ----------
    files : tuple of Path
        The files, in the order of their names and of time.
    center : tuple of float
        Field centre (RA, Dec), degree; `errors` are on the tangent plane there.
    errors : tuple of PointingError
        One for each file.
    chips : tuple of tuple of ChipTruth
        For each file, one for each chip.
    sky, flux : ndarray (N, 2), (N,)
        True RA and Dec of all stars, degree; electrons in one exposure.
    """

    files: tuple[Path, ...]
    center: tuple[float, float]
    errors: tuple[PointingError, ...]
    chips: tuple[tuple[ChipTruth, ...], ...]
    sky: np.ndarray
    flux: np.ndarray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        _lock(self.sky, self.flux)

    def residuals(
        self, files: Sequence[Path | str] | None = None, *, absolute: bool = False
    ) -> np.ndarray:
        """Measure how well the WCSs of the files agree on where the stars are.

        Parameters
        ----------
        files : sequence of path, optional
            Copies of the visit's files, in the same order; by default these themselves.
        absolute : bool
            Compare with the true sky instead of with the first file.

        Returns
        -------
        ndarray (n_files,)
            Distance of the stars' positions by a file from those by the first file: root mean
            square about zero, both axes together, mas. NaN if they share no star.
        """
        files = self.files if files is None else files
        seen = [self._plane_positions(*pair) for pair in zip(files, self.chips, strict=True)]
        reference = seen[0]
        if absolute:
            reference = tangent_plane(self.center).wcs_world2pix(self.sky, 1)
        distances = [np.hypot(*(positions - reference).T) for positions in seen]
        shared = [distance[np.isfinite(distance)] for distance in distances]
        return np.array([1000 * np.sqrt(np.mean(d**2)) if d.size else np.nan for d in shared])

    def expected_shift(self, index: int, wcs: WCS) -> tuple[float, float, float, float]:
        """Return the row that a perfect shiftfile has for a file.

        For pixel positions p from CRPIX of the reference WCS,
        ``p_nominal = R(-rot) @ p_true * scale + (dx, dy)``; R turns the first axis to the second.

        Parameters
        ----------
        index : int
            Which of the files.
        wcs : astropy.wcs.WCS
            A WCS without distortion and with square pixels, such as that of ``shifts_wcs.fits``.

        Returns
        -------
        dx, dy, rot, scale : float
            Pixels, pixels, degree from -180 to 180, ratio.
        """
        pixels = np.array(wcs.wcs.crpix) + [(0, 0), (100, 0), (-100, 0)]
        sky = wcs.wcs_pix2world(pixels, 1)
        nominal_sky = _displaced(sky, self.center, self.errors[index].invert)
        (dx, dy), plus, minus = wcs.wcs_world2pix(nominal_sky, 1) - wcs.wcs.crpix
        x, y = (plus - minus) / 200
        rotation = -np.rad2deg(np.arctan2(y, x))
        return float(dx), float(dy), float(rotation), float(np.hypot(x, y))

    def _plane_positions(self, path: Path | str, chips: Sequence[ChipTruth]) -> np.ndarray:
        """Return where a file has each star, (n_stars, 2), arcsec; NaN for those not on it."""
        positions = np.full(self.sky.shape, np.nan)
        with fits.open(path) as hdus:
            for chip in chips:
                sky = WCS(hdus["SCI", chip.extver].header, hdus).all_pix2world(chip.xy, 1)
                positions[chip.ident] = tangent_plane(self.center).wcs_world2pix(sky, 1)
        return positions


def simulate_visit(
    directory: Path | str, *, seed: int = 1, n_exposures: int = 4,
    center: tuple[float, float] = (150.0, 30.0), dither: float = 3.0,
    pointing_errors: Sequence[PointingError] | None = None, n_stars: int = 250,
    flux_range: tuple[float, float] = (300.0, 1e6), root: str = "jdemo1",
    overwrite: bool = False, **camera_options: Any,
) -> Visit:  # fmt: skip
    """Write the files of a simulated visit and return the truth about them.

    The same arguments give the same pixels. Stars, pointing errors, hot pixels and noise have
    random streams of their own: another `n_cosmic_rays`, say, leaves the stars where they are.

    Parameters
    ----------
    directory : path
        Where ``<root>aaq_flt.fits``, ``<root>abq_flt.fits``, ... are written; made if missing.
    seed, n_exposures : int
        Seed of all random numbers, 0 or more; number of files, 1 to 676.
    center : tuple of float
        Field centre (RA, Dec), where the first exposure nominally points; degree.
    dither : float
        Nominal distance of the other exposures from the first, each in another direction; arcsec.
    pointing_errors : sequence of PointingError, optional
        One for each exposure. By default the first has none, the others up to 0.3 arcsec along each
        axis, 0.003 degree, and 2e-5 in scale.
    n_stars, flux_range : int, tuple of float
        Mean number of stars on a chip; least and greatest flux, electrons.
    root, overwrite : str, bool
        First six characters of the names; whether to replace files of the same names.
    **camera_options
        Fields of `Camera`, such as `n_chips`, `chip_shape` or `n_cosmic_rays`.

    Raises
    ------
    ParameterError
        `n_exposures`, `n_chips` or the number of `pointing_errors` is not possible.
    OSError
        A file exists and `overwrite` is false.
    """
    camera = Camera(**camera_options)
    if camera.n_chips not in (1, 2) or not 1 <= n_exposures <= 26**2:
        given = f"{camera.n_chips} chips and {n_exposures} exposures"
        raise ParameterError(f"{given}; expected 1 or 2, 1 to 676")
    if pointing_errors is None:
        pointing_errors = _random_errors(n_exposures, seed)
    errors = tuple(pointing_errors)
    if len(errors) != n_exposures:
        given = f"{len(errors)} pointing errors for {n_exposures} exposures"
        raise ParameterError(f"{given}; expected as many")
    plane = tangent_plane(center)
    largest_error = max(np.hypot(error.dx, error.dy) for error in errors)
    reach = camera.radius + (dither + largest_error) / PIXEL_SCALE
    density = n_stars / np.prod(camera.chip_shape)
    positions, flux = _star_field(reach, density, flux_range, random_stream(seed, "stars"))
    sky = plane.wcs_pix2world(PIXEL_SCALE * positions, 1)
    Path(directory).mkdir(parents=True, exist_ok=True)
    files, chips = [], []
    for number, error in enumerate(errors):
        rootname = f"{root}{chr(97 + number // 26)}{chr(97 + number % 26)}q"
        aim = plane.wcs_pix2world([_dither(number, dither)], 1)[0]
        hdus = blank_exposure(camera, rootname, number, aim)
        stars = (_displaced(sky, center, error.invert), flux)
        truths = []
        for extver in camera.extvers:
            ident, xy = expose(hdus, camera, *stars, extver=extver, number=number, seed=seed)
            truths.append(ChipTruth(extver, ident, xy, flux[ident]))
        chips.append(tuple(truths))
        files.append(Path(directory) / f"{rootname}_flt.fits")
        hdus.writeto(files[-1], overwrite=overwrite)
    return Visit(tuple(files), (center[0], center[1]), errors, tuple(chips), sky, flux)


def _lock(*arrays):
    """Make arrays read-only."""
    for array in arrays:
        array.setflags(write=False)


def _random_errors(n_exposures, seed):
    """Return no error for the first exposure, and random ones for the others."""
    draws = random_stream(seed, "pointing").uniform(-1, 1, (n_exposures - 1, 4))
    draws = draws * (0.3, 0.3, 0.003, 2e-5) + (0, 0, 0, 1)
    return PointingError(), *(PointingError(*draw) for draw in draws.tolist())


def _dither(number, size):
    """Return the nominal offset (xi, eta) of an exposure; directions are a golden angle apart."""
    angle = number * np.pi * (3 - np.sqrt(5))
    if number == 0:
        return 0.0, 0.0
    return size * np.cos(angle), size * np.sin(angle)


def _star_field(radius, density, flux_range, random):
    """Return positions (N, 2) in a circle, pixels, and fluxes (N,), for `density` stars a pixel."""
    area, turn, rank = random.uniform(0, 1, (3, round(density * np.pi * radius**2)))
    x, y = radius * np.sqrt(area) * (np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn))
    faint, bright = np.asarray(flux_range, float) ** -_FLUX_SLOPE
    return np.column_stack([x, y]), (faint + rank * (bright - faint)) ** (-1 / _FLUX_SLOPE)


def _displaced(sky, center, change):
    """Return RA and Dec (N, 2) after a change of the positions on the plane at `center`."""
    plane = tangent_plane(center)
    return plane.wcs_pix2world(change(plane.wcs_world2pix(sky, 1)), 1)
