"""A simulated visit of an invented two-chip camera, with the truth known.

The files look like those of a space telescope: a primary header; SCI, ERR and DQ for every chip; a
WCS of a linear part, a SIP polynomial, lookup tables (CPDIS) and a detector correction (D2IM). The
headers hold the nominal pointing; the stars are painted where the telescope truly looked.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.special import ndtr

from imagereg.errors import ParameterError

# Much like ACS/WFC.
PIXEL_SCALE = 0.05  # arcsec
_CHIP_GAP = 48  # pixels
# Powers of x and y, shifts in x and y; pixels, at half a chip's width from the centre: a small chip
# is as distorted as a large one.
_SIP = (
    (2, 0, 2.3, -0.5), (1, 1, -1.4, 1.7), (0, 2, 0.7, -2.0),
    (3, 0, -0.12, 0.02), (2, 1, 0.01, -0.11), (1, 2, -0.13, -0.02), (0, 3, 0.03, -0.09),
)  # fmt: skip
_LOOKUP_SIZE = 0.1  # amplitude of the CPDIS tables, pixels
_COLUMN_SIZE = 0.06  # amplitude of the D2IM table, a sawtooth, pixels
_COLUMN_PERIOD = 51.2  # its period, pixels
_MJD_ZERO = datetime.datetime(1858, 11, 17)
_FIRST_MJD = 60000.0
_DQ_HOT = 16
_DQ_SATURATED = 256
# Gaussians of the PSF: share of the light; sigma without the pixel's width, pixels.
_PSF = ((0.85, 0.75), (0.15, 1.6))
_STAMP = 10  # half width of a painted star, pixels: over 6 sigma of the wider Gaussian
_STREAMS = ("stars", "pointing", "hot pixels", "noise")  # of random numbers
_FLUX_SLOPE = 0.8  # the number of stars brighter than f goes as f ** -slope


@dataclasses.dataclass(frozen=True)
class Camera:
    """The options of `simulate_visit` that make the images; pixels are of 0.05 arcsec."""

    n_chips: int = 2  # 1 or 2, EXTVER 2 above EXTVER 1
    chip_shape: tuple[int, int] = (512, 1024)  # rows and columns
    distortion: bool = True  # whether the WCS has its SIP, CPDIS and D2IM parts
    orientat: float = 30.0  # position angle of the y axis, degree
    exptime: float = 500.0  # in the headers, seconds
    sky: float = 60.0  # electrons in a pixel
    read_noise: float = 4.5  # its rms, electrons
    full_well: float = 80000.0  # where a pixel saturates (flag 256 in DQ), electrons
    n_cosmic_rays: int = 200  # on each chip; they have no flag
    bad_pixels: int = 200  # hot pixels on each chip, the same in every exposure
    flag_bad_pixels: bool = True  # whether these have the flag 16 in DQ

    def chip_center(self, extver: int) -> np.ndarray:
        """Return the centre of a chip from that of the camera, (2,), pixels."""
        chips_above_center = extver - (self.n_chips + 1) / 2
        return np.array([0.0, chips_above_center * (self.chip_shape[0] + _CHIP_GAP)])

    @property
    def radius(self) -> float:
        """Distance of the camera's corners from its centre, pixels."""
        return np.hypot(*(self.chip_center(self.n_chips) + np.array(self.chip_shape[::-1]) / 2))

    def pixel_to_plane(self, pixels: Any) -> np.ndarray:
        """Return arcsec to the east and north for undistorted pixels from the centre, (N, 2)."""
        return PIXEL_SCALE * np.asarray(pixels) @ (np.diag([-1.0, 1.0]) @ _rotation(self.orientat))


@dataclasses.dataclass(frozen=True)
class PointingError:
    """Where the telescope truly looked, against what the header says.

    With xi (east) and eta (north) in arcsec on the tangent plane at the field centre, a star that
    is at n by the nominal WCS is truly at t. A perfect alignment finds this correction::

        xi_t  = scale * (cos(roll) * xi_n - sin(roll) * eta_n) + dx
        eta_t = scale * (sin(roll) * xi_n + cos(roll) * eta_n) + dy
    """

    dx: float = 0.0  # shift to the east, arcsec
    dy: float = 0.0  # shift to the north, arcsec
    roll: float = 0.0  # rotation from east towards north, degree
    scale: float = 1.0  # ratio of true to nominal distances

    @property
    def matrix(self) -> np.ndarray:
        """Rotation and scale, which act on a column (xi, eta); (2, 2)."""
        return self.scale * _rotation(self.roll)

    def apply(self, nominal: np.ndarray) -> np.ndarray:
        """Return the true plane positions of nominal ones, (N, 2), arcsec."""
        return np.asarray(nominal) @ self.matrix.T + (self.dx, self.dy)

    def invert(self, true: np.ndarray) -> np.ndarray:
        """Return the nominal plane positions of true ones, (N, 2), arcsec."""
        return (np.asarray(true) - (self.dx, self.dy)) @ np.linalg.inv(self.matrix).T


@dataclasses.dataclass(frozen=True, eq=False)
class ChipTruth:
    """The stars whose centres are on one chip of one exposure."""

    extver: int
    ident: np.ndarray  # (N,) numbers of the stars, which are rows of `Visit.sky` and `Visit.flux`
    xy: np.ndarray  # (N, 2) true positions, FITS 1-based pixels
    flux: np.ndarray  # (N,) electrons of the whole star


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
    positions, flux = _star_field(reach, density, flux_range, _random_stream(seed, "stars"))
    sky = plane.wcs_pix2world(PIXEL_SCALE * positions, 1)
    Path(directory).mkdir(parents=True, exist_ok=True)
    files, chips = [], []
    for number, error in enumerate(errors):
        rootname = f"{root}{chr(97 + number // 26)}{chr(97 + number % 26)}q"
        aim = plane.wcs_pix2world([_dither(number, dither)], 1)[0]
        hdus = _blank_exposure(camera, rootname, number, aim)
        stars = (_displaced(sky, center, error.invert), flux)
        truths = []
        for extver in range(1, camera.n_chips + 1):
            ident, xy = _expose(hdus, camera, *stars, extver=extver, number=number, seed=seed)
            truths.append(ChipTruth(extver, *_read_only(ident, xy, flux[ident])))
        chips.append(tuple(truths))
        files.append(Path(directory) / f"{rootname}_flt.fits")
        hdus.writeto(files[-1], overwrite=overwrite)
    truth = _read_only(sky, flux)
    return Visit(tuple(files), (center[0], center[1]), errors, tuple(chips), *truth)


def _read_only(*arrays):
    """Return arrays, made read-only."""
    for array in arrays:
        array.setflags(write=False)
    return arrays


def _random_errors(n_exposures, seed):
    """Return no error for the first exposure, and random ones for the others."""
    draws = _random_stream(seed, "pointing").uniform(-1, 1, (n_exposures - 1, 4))
    draws = draws * (0.3, 0.3, 0.003, 2e-5) + (0, 0, 0, 1)
    return PointingError(), *(PointingError(*draw) for draw in draws.tolist())


def _dither(number, size):
    """Return the nominal offset (xi, eta) of an exposure; directions are a golden angle apart."""
    angle = number * np.pi * (3 - np.sqrt(5))
    distance = size if number else 0.0
    return distance * np.cos(angle), distance * np.sin(angle)


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


def _rotation(angle):
    """Return the matrix (2, 2) that turns the first axis towards the second, by degrees."""
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return np.array([[cos, -sin], [sin, cos]])


def tangent_plane(center: Any) -> WCS:
    """Return the WCS with pixels (xi, eta), arcsec, on the tangent plane at (RA, Dec)."""
    plane = WCS(naxis=2)
    plane.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    plane.wcs.crval = center
    plane.wcs.crpix = [0.0, 0.0]
    plane.wcs.cdelt = [1 / 3600, 1 / 3600]
    return plane


def _blank_exposure(camera, rootname, number, aim):
    """Return the HDUs of an exposure that nominally points at `aim` (RA, Dec), images empty."""
    hdus = fits.HDUList([fits.PrimaryHDU(header=_primary_header(camera, rootname, number))])
    blank = np.zeros(camera.chip_shape, np.float32)
    tables = []
    for extver in range(1, camera.n_chips + 1):
        header = _science_header(camera, rootname, extver, aim)
        if camera.distortion:
            header.update(_sip_cards(camera.chip_shape, extver))
            for cards, table in _lookup_tables(camera.chip_shape, extver):
                header.update(cards)
                tables.append(table)
        hdus.append(fits.ImageHDU(blank, header, name="SCI", ver=extver))
        hdus.append(fits.ImageHDU(blank, name="ERR", ver=extver))
        hdus.append(fits.ImageHDU(blank.astype(np.int16), name="DQ", ver=extver))
    hdus.extend(sorted(tables, key=lambda table: (table.name, table.ver)))
    hdus[0].header["NEXTEND"] = len(hdus) - 1
    return hdus


def _primary_header(camera, rootname, number):
    """Return a primary header with the HST keywords that mean something here."""
    start = _FIRST_MJD + number * (camera.exptime + 180) / 86400
    begin = _MJD_ZERO + datetime.timedelta(days=start)
    date, time = begin.isoformat(timespec="seconds").split("T")
    return fits.Header({
        "FILENAME": f"{rootname}_flt.fits", "ROOTNAME": rootname,
        "TELESCOP": "IMAGEREG", "INSTRUME": "DEMO", "DETECTOR": "CCD", "FILTER": "F606W",
        "IMAGETYP": "EXT", "TARGNAME": "SIMULATED", "EQUINOX": 2000.0,
        "DATE-OBS": date, "TIME-OBS": time,
        "EXPSTART": start, "EXPEND": start + camera.exptime / 86400, "EXPTIME": camera.exptime,
        "PA_V3": camera.orientat, "SUBARRAY": False,
        "CCDGAIN": 2.0, "READNSE": camera.read_noise,
    })  # fmt: skip


def _science_header(camera, rootname, extver, aim):
    """Return a SCI header with the nominal WCS, still without distortion.

    The chip is tangent to the sky at its own centre, on the camera's common undistorted plane.
    """
    pixels = camera.chip_center(extver) + [(0, 0), (100, 0), (-100, 0), (0, 100), (0, -100)]
    sky = tangent_plane(aim).wcs_pix2world(camera.pixel_to_plane(pixels), 1)
    right, left, up, down = tangent_plane(sky[0]).wcs_world2pix(sky[1:], 1) / 3600
    x_step, y_step = (right - left) / 200, (up - down) / 200
    return fits.Header({
        "ROOTNAME": rootname, "EXPNAME": rootname,
        "BUNIT": "ELECTRONS", "CCDCHIP": camera.n_chips + 1 - extver,
        "WCSAXES": 2, "WCSNAME": "DEMO_IDC", "RADESYS": "ICRS",
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg",
        "CRPIX1": (camera.chip_shape[1] + 1) / 2, "CRPIX2": (camera.chip_shape[0] + 1) / 2,
        "CRVAL1": sky[0, 0], "CRVAL2": sky[0, 1],
        "CD1_1": x_step[0], "CD1_2": y_step[0], "CD2_1": x_step[1], "CD2_2": y_step[1],
        "ORIENTAT": np.rad2deg(np.arctan2(*y_step)),
        "LTV1": 0.0, "LTV2": 0.0, "LTM1_1": 1.0, "LTM2_2": 1.0, "VAFACTOR": 1.0,
        "RA_APER": aim[0], "DEC_APER": aim[1], "PA_APER": camera.orientat,
    })  # fmt: skip


def _sip_cards(shape, extver):
    """Return the SIP cards of a chip; the second chip is a little less distorted than the first."""
    cards: dict[str, Any] = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    cards |= {"A_ORDER": 3, "B_ORDER": 3}
    for i, j, *shifts in _SIP:
        unit = (1.15 - 0.15 * extver) / (shape[1] / 2) ** (i + j)
        cards |= {f"{axis}_{i}_{j}": shift * unit for axis, shift in zip("AB", shifts, strict=True)}
    return cards


def _lookup_tables(shape, extver):
    """Yield (SCI cards, table HDU) of each lookup table of a chip."""
    y, x = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 17), indexing="ij")
    npol = {"extname": "WCSDVARR", "kind": "CPDIS", "record": "DP", "error": "CPERR"}
    d2im = {"extname": "D2IMARR", "kind": "D2IMDIS", "record": "D2IM", "error": "D2IMERR"}
    for axis in (1, 2):
        wave = _LOOKUP_SIZE * np.sin(7 * x + extver + axis) * np.cos(4 * y + axis)
        yield _lookup_table(shape, wave, axis, 2 * extver - 2 + axis, **npol)
    sawtooth = _COLUMN_SIZE * (2 * (np.arange(shape[1]) / _COLUMN_PERIOD % 1) - 1)
    yield _lookup_table(shape, np.tile(sawtooth, (2, 1)), 1, extver, **d2im)


def _lookup_table(shape, values, axis, ver, *, extname, kind, record, error):
    """Return the SCI cards and the HDU of a table of shifts along an axis, from edge to edge."""
    table = fits.ImageHDU(values.astype(np.float32), name=extname, ver=ver)
    for i, pixels, nodes in zip((2, 1), shape, values.shape, strict=True):
        step = (pixels - 1) / (nodes - 1)
        table.header.update({f"CRPIX{i}": 1.0, f"CRVAL{i}": 1.0, f"CDELT{i}": step})
    cards = {f"{error}{axis}": float(np.abs(values).max()), f"{kind}{axis}": "Lookup"}
    record_values = {"EXTVER": ver, "NAXES": 2, "AXIS.1": 1, "AXIS.2": 2}
    cards |= {f"{record}{axis}.{name}": value for name, value in record_values.items()}
    return cards, table


def _random_stream(seed, stream, number=0, extver=0):
    """Return the generator of one use of random numbers, independent of all others."""
    return np.random.default_rng((seed, 1 + _STREAMS.index(stream), number, extver))


def _expose(hdus, camera, nominal_sky, flux, *, extver, number, seed):
    """Fill the images of a chip with stars; return the numbers and FITS pixels of those on it."""
    wcs = WCS(hdus["SCI", extver].header, hdus)
    ident, xy = _place(wcs, camera.chip_shape, nominal_sky)
    hot = _hot_pixels(camera, _random_stream(seed, "hot pixels", extver=extver))
    expected = camera.sky + hot + _paint(camera.chip_shape, xy, flux[ident])
    image, saturated = _read_out(expected, camera, _random_stream(seed, "noise", number, extver))
    flags = _DQ_SATURATED * saturated + _DQ_HOT * ((hot > 0) & camera.flag_bad_pixels)
    hdus["SCI", extver].data = image.astype(np.float32)
    variance = np.maximum(image, 0) + camera.read_noise**2
    hdus["ERR", extver].data = np.sqrt(variance).astype(np.float32)
    hdus["DQ", extver].data = flags.astype(np.int16)
    on_chip = np.all((xy >= 0.5) & (xy < np.add(camera.chip_shape[::-1], 0.5)), axis=1)
    return ident[on_chip], xy[on_chip]


def _place(wcs, shape, sky):
    """Return the numbers (N,) and FITS pixels (N, 2) of the stars whose light reaches a chip."""
    low, high = 0.5 - _STAMP, np.add(shape[::-1], 0.5 + _STAMP)
    undistorted = wcs.wcs_world2pix(sky, 1)
    is_near = (undistorted > low - _STAMP) & (undistorted < high + _STAMP)
    near = np.flatnonzero(np.all(is_near, axis=1))
    xy = wcs.all_world2pix(sky[near], 1, tolerance=1e-6)
    reaches = np.all((xy > low) & (xy < high), axis=1)
    return near[reaches], xy[reaches]


def _paint(shape, xy, flux):
    """Return an image of stars, the Gaussians of their PSF integrated over every pixel."""
    margin, stamp = 2 * _STAMP, np.arange(2 * _STAMP + 1)
    image = np.zeros(np.add(shape, 2 * margin))
    for some in np.array_split(np.arange(len(xy)), len(xy) // 4096 + 1):
        first = np.rint(xy[some]).astype(int) - _STAMP
        edges = (first - xy[some])[:, :, None] + np.arange(stamp.size + 1) - 0.5
        light = 0.0
        for share, sigma in _PSF:
            x, y = np.moveaxis(np.diff(ndtr(edges / sigma), axis=2), 1, 0)
            light = light + share * y[:, :, None] * x[:, None, :]
        column, row = np.moveaxis(first[:, :, None] + margin - 1 + stamp, 1, 0)
        np.add.at(image, (row[:, :, None], column[:, None, :]), flux[some, None, None] * light)
    return image[margin:-margin, margin:-margin]


def _hot_pixels(camera, random):
    """Return an image of the electrons of hot pixels, 0 elsewhere."""
    image = np.zeros(camera.chip_shape)
    where = random.choice(image.size, camera.bad_pixels, replace=False)
    image.reshape(-1)[where] = 10 ** random.uniform(2, 4, camera.bad_pixels)
    return image


def _cosmic_rays(shape, count, random):
    """Return an image of the electrons of cosmic rays, straight tracks of a few pixels."""
    length = 1 + random.exponential(4, (count, 1))
    angle = random.uniform(0, np.pi, (count, 1))
    step = np.arange(0, 60, 0.5)
    charge = 10 ** random.normal(2.9, 0.45, (count, 1))
    row, column = (random.uniform(0, size, (count, 1)) for size in shape)
    row, column = row + step * np.sin(angle), column + step * np.cos(angle)
    electrons = charge / np.ceil(2 * length) * random.uniform(0.4, 1.6, row.shape)
    hit = (step < length) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    image = np.zeros(shape)
    np.add.at(image, (row[hit].astype(int), column[hit].astype(int)), electrons[hit])
    return image


def _read_out(expected, camera, random):
    """Return an image with cosmic rays, saturation and noise, and its mask of saturated pixels."""
    tracks = _cosmic_rays(camera.chip_shape, camera.n_cosmic_rays, random)
    noise = random.normal(0, camera.read_noise, camera.chip_shape)
    electrons = random.poisson(expected) + tracks
    return np.minimum(electrons, camera.full_well) + noise, electrons >= camera.full_well
