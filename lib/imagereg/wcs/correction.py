"""From an alignment to a new WCS: the solution, the WCS of a chip that follows it, the header."""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike

from imagereg.errors import DegenerateFit
from imagereg.version import __version__
from imagereg.wcs.alternates import archive_primary
from imagereg.wcs.distortion import has_pv_distortion, is_tpv, pv_terms, transformed_tpv
from imagereg.wcs.keywords import (
    NOT_ALIGNED,
    is_fitted,
    is_named_only,
    matrix_keywords,
    named,
    s_region,
    wcs_type,
    with_comment,
)
from imagereg.wcs.plane import (
    SAME_SKY,
    TangentPlane,
    celestial_axes,
    deprojected,
    orientation,
    pixel_grid,
    pixel_scale,
    pixel_to_sky,
    projected,
)

if TYPE_CHECKING:
    from astropy.wcs import WCS

# Pixels of the plane: closer positions are the same. Two corrected WCSs deviate by SAME_SKY each.
SAME_POSITION = 2 * SAME_SKY
LARGEST_SCALE = 1000.0  # of a map: no two images have scales further apart, but by a slip

_ARCSEC, _MAS = 3600, 3.6e6  # in a degree
# Numbers of a WCS that mean nothing without CTYPE, and would add to those of another one.
_OF_NO_TYPE = re.compile(r"(CRPIX|CRVAL|CUNIT|CDELT|CROTA)[12]$|(CD|PC)[12]_[12]$|PV[12]_\d+$|"
                         r"(LON|LAT)POLE$")
_LARGEST_NUMBER = 1e9  # pixels of a map; a great circle has 2.6e7 of 0.05 arcsec
_LINEAR = ("xx", "xy", "yx", "yy", "x_shift", "y_shift")  # of a Solution
_CENTRE = ("x_centre", "y_centre")
_TILT = ("x_tilt", "y_tilt")
_ZENITH = 90.0  # native latitude of the reference point of zenithal projections
_ROUNDS = 4  # of the fit of a reference point; each leaves what is second order in the step before


class Status(enum.Enum):
    """What became of an exposure."""

    REFERENCE = "reference"
    ALIGNED = "aligned"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class Solution:
    """What is known of the alignment of one exposure; as a function, its map of plane positions.

    Parameters
    ----------
    status : str
        Value of a `Status`.
    reason : str
        Why it is so, one sentence; empty for a success that needs no word.
    reference : str
        Name of what the exposure was aligned with.
    geometry : str
        Geometry of the fit.
    xx, xy, yx, yy, x_shift, y_shift, x_centre, y_centre : float
        Matrix of the map from image to reference, its shift, and the position about which it
        rotates and scales, pixels of the plane; NaN where there is no map.
    x_tilt, y_tilt : float
        Change of its scale towards x and y, per pixel: a rotation of the sky by a degree, say, is
        linear on a tangent plane but for that. 0 where the map is linear.
    ra_rms, dec_rms : float
        Scatter of the matches in right ascension and declination, arcsec on the sky.
    nmatches : int
        Number of sources the fit is based on.
    chance : float
        Probability that unrelated sources match as well; NaN where it is not known.
    chip_shifts : str
        How much further than the others chips image all positions: EXTVER, and x and y in pixels of
        the chip, of each, with semicolons between them.
    """

    status: str = Status.ALIGNED.value
    reason: str = ""
    reference: str = ""
    geometry: str = ""
    xx: float = np.nan
    xy: float = np.nan
    yx: float = np.nan
    yy: float = np.nan
    x_shift: float = np.nan
    y_shift: float = np.nan
    x_centre: float = np.nan
    y_centre: float = np.nan
    x_tilt: float = 0.0
    y_tilt: float = 0.0
    ra_rms: float = 0.0
    dec_rms: float = 0.0
    nmatches: int = 0
    chance: float = np.nan
    chip_shifts: str = ""

    @classmethod
    def mapping(
        cls, matrix: ArrayLike, shift: ArrayLike, centre: ArrayLike, **facts: Any
    ) -> Solution:
        """Return the solution ``centre + matrix @ (xy - centre) + shift`` with other `facts`."""
        numbers = [*np.ravel(matrix), *np.ravel(shift), *np.ravel(centre)]
        facts.update(zip(_LINEAR + _CENTRE, map(float, numbers), strict=True))
        return cls(**facts)

    def fitted_to(self, before: np.ndarray, now: np.ndarray) -> Solution:
        """Return the solution with the projective map that leads positions (N, 2) to others.

        Every rotation of the sky is such a map of a tangent plane, (A d + s) / (1 + t d) with d
        the distance from the centre, and what is linear on the plane may follow it.
        """
        size = np.abs(before - self.centre).max()
        x, y = ((before - self.centre) / size).T
        u, v = (now - self.centre).T / size
        one, none = np.ones_like(x), np.zeros_like(x)
        design = np.vstack([
            np.column_stack([x, y, none, none, one, none, -x * u, -y * u]),
            np.column_stack([none, none, x, y, none, one, -x * v, -y * v])])
        found = np.linalg.lstsq(design, np.concatenate([u, v]), rcond=None)[0]
        scaled = map(float, found * [1, 1, 1, 1, size, size, 1 / size, 1 / size])
        numbers: dict[str, Any] = dict(zip(_LINEAR + _TILT, scaled, strict=True))
        return dataclasses.replace(self, **numbers)

    @property
    def has_map(self) -> bool:
        """Whether its numbers are those of a map that images can have."""
        numbers = [getattr(self, name) for name in _LINEAR + _CENTRE + _TILT]
        is_number = np.abs(numbers) < _LARGEST_NUMBER  # not so NaN
        xx, xy, yx, yy = numbers[:4]
        return bool(is_number.all() and abs(xx * yy - xy * yx) > LARGEST_SCALE**-2)

    @property
    def shift_of_chip(self) -> dict[int, np.ndarray]:
        """Shift (2,) of the chips that have one, pixels, by EXTVER."""
        shifts = {}
        for chip in filter(None, self.chip_shifts.split(";")):
            extver, x, y = chip.split()
            shifts[int(extver)] = np.array([float(x), float(y)])
        return shifts

    @property
    def matrix(self) -> np.ndarray:
        """(2, 2) matrix of the map."""
        return np.array([[self.xx, self.xy], [self.yx, self.yy]])

    @property
    def shift(self) -> np.ndarray:
        """(2,) shift of the map."""
        return np.array([self.x_shift, self.y_shift])

    @property
    def centre(self) -> np.ndarray:
        """(2,) position about which the map rotates and scales."""
        return np.array([self.x_centre, self.y_centre])

    def __call__(self, image_xy: ArrayLike) -> np.ndarray:
        """Transform (N, 2) image-plane positions to the reference plane."""
        from_centre = np.asarray(image_xy) - self.centre
        scale = 1 + (from_centre @ self._tilt)[..., None]
        return self.centre + from_centre @ self.matrix.T / scale + self.shift / scale

    def inverse(self, ref_xy: ArrayLike) -> np.ndarray:
        """Transform (N, 2) positions on the reference plane to where the map has them from."""
        moved = np.asarray(ref_xy) - self.centre
        matrices = self.matrix - moved[..., None] * self._tilt
        return self.centre + np.linalg.solve(matrices, (moved - self.shift)[..., None])[..., 0]

    def linear_at(self, place: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return matrix (2, 2) and shift (2,) of the linear map that is the same near a place."""
        from_centre = np.asarray(place) - self.centre
        moved = self(place) - self.centre
        matrix = (self.matrix - moved[:, None] * self._tilt) / (1 + from_centre @ self._tilt)
        return matrix, moved - matrix @ from_centre

    @property
    def _tilt(self):
        return np.array([self.x_tilt, self.y_tilt])

    @property
    def is_applied(self) -> bool:
        """Whether there is something to write into a header."""
        return self.status == Status.ALIGNED.value or self.stays

    @property
    def stays(self) -> bool:
        """Whether the WCS stays: that of the reference, or one that a fit would not improve."""
        return self.status in (Status.REFERENCE.value, Status.UNCHANGED.value)

    def leads(self, before: np.ndarray, now: np.ndarray) -> bool:
        """Whether positions (N, 2) on the plane have moved, and as the map says."""
        moved = np.abs(now - before).max() > SAME_POSITION
        return bool(moved and np.abs(self(before) - now).max() < SAME_POSITION)


def corrected_wcs(
    wcs: WCS, shape: tuple[int, int], plane: TangentPlane, fit: Callable[[np.ndarray], np.ndarray],
    *, allowed: float = 0.0,
) -> WCS:
    """Return the WCS of a chip that follows a fit.

    The sky position of every pixel moves as the fit says: the reference point moves to its new
    place, and the rotation and scale that are left go into the CD (or PC) matrix, or, where
    distortion comes after that matrix (TPV), into the coefficients of the distortion. Where that
    leaves more than `SAME_SKY`, since what is linear on the plane is not linear about a reference
    point that moves far, the reference point is fitted too. Where the projection is not zenithal,
    such as CAR, a reference point that moves tilts the graticule, or can't cross the equator: its
    pixel moves instead if that follows the fit. All else stays as it was.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Of the chip, distortion included; it is not changed.
    shape : (int, int)
        Rows and columns of the chip.
    plane : TangentPlane
        Where the fit was made.
    fit : callable
        Maps plane pixels (N, 2) of the image to those of the reference, as a `Solution` does.
    allowed : float
        How far the WCS may be from the fit, pixels of the chip; `SAME_SKY` is allowed always.

    Raises
    ------
    DegenerateFit
        No such WCS follows the fit.
    """
    def moved(sky):
        return plane.plane_to_sky(fit(plane.sky_to_plane(sky)))

    grid = pixel_grid(shape)
    axes = celestial_axes(wcs)  # a permutation of two, which is its own inverse
    old_world = projected(wcs, wcs.wcs.crval, pixel_to_sky(wcs, grid)[:, axes])
    new_sky = moved(pixel_to_sky(wcs, grid))
    if wcs.wcs.theta0 != _ZENITH:
        new = _with_reference_pixel(wcs, old_world, new_sky[:, axes])
        if deviation_from_fit(new, wcs, shape=shape, plane=plane, fit=fit) < SAME_SKY:
            return new
    crval = moved(wcs.wcs.crval[None, axes])[0, axes]
    new = _with_reference_point(wcs, crval, old_world, new_sky[:, axes])
    deviation = deviation_from_fit(new, wcs, shape=shape, plane=plane, fit=fit)
    if not deviation < SAME_SKY:
        crval = _fitted_reference_point(wcs, crval, old_world, new_sky[:, axes])
        new = _with_reference_point(wcs, crval, old_world, new_sky[:, axes])
        deviation = deviation_from_fit(new, wcs, shape=shape, plane=plane, fit=fit)
    if not deviation < max(allowed, SAME_SKY):
        raise DegenerateFit(f"a WCS of type {wcs.wcs.ctype[0]} can't follow the fit: "
                            f"off by {deviation:.3g} pixel")
    return new


def shifted_wcs(wcs: WCS, step: ArrayLike) -> WCS:
    """Return the WCS of a chip on which every position is imaged `step` (2,) pixels further.

    The reference pixel moves, and the polynomial of the distortion with it.
    """
    from astropy.wcs import Sip

    new = wcs.deepcopy()
    new.wcs.crpix = wcs.wcs.crpix + step
    if wcs.sip is not None:
        new.sip = Sip(wcs.sip.a, wcs.sip.b, wcs.sip.ap, wcs.sip.bp, wcs.sip.crpix + step)
    new.wcs.set()
    return new


def deviation_from_fit(
    new: WCS, wcs: WCS, *, shape: tuple[int, int], plane: TangentPlane,
    fit: Callable[[np.ndarray], np.ndarray],
) -> float:
    """Return how far at most a new WCS of a chip is from what a fit makes of the old one.

    Parameters
    ----------
    new, wcs : astropy.wcs.WCS
        The new WCS, and the one for which the fit was made.
    shape, plane, fit
        See `corrected_wcs`.

    Returns
    -------
    float
        Pixels of the chip.
    """
    grid = pixel_grid(shape)
    expected = fit(plane.sky_to_plane(pixel_to_sky(wcs, grid)))
    error = plane.sky_to_plane(pixel_to_sky(new, grid)) - expected
    return float(np.hypot(*error.T).max() * (plane.pixel_scale / pixel_scale(wcs)))


def _with_reference_point(wcs, crval, old_world, new_sky):
    """Return a WCS with another reference point, and the matrix that suits new positions best."""
    new_world = projected(wcs, crval, new_sky)
    change = np.linalg.lstsq(old_world, new_world, rcond=None)[0].T
    if not abs(np.linalg.det(change)) > LARGEST_SCALE**-2:
        raise DegenerateFit("a chip shrinks to nothing at the rim of the plane of the fit")
    new = transformed_tpv(wcs, change) if is_tpv(wcs) else _with_changed_matrix(wcs, change)
    new.wcs.crval = crval
    new.wcs.set()
    return new


def _with_reference_pixel(wcs, old_world, new_sky):
    """Return a WCS with another reference pixel, and the matrix that suits new positions best."""
    new_world = projected(wcs, wcs.wcs.crval, new_sky)
    design = np.column_stack([old_world, np.ones(len(old_world))])
    *change, offset = np.linalg.lstsq(design, new_world, rcond=None)[0]
    new = _with_changed_matrix(wcs, np.transpose(change))
    return shifted_wcs(new, -np.linalg.solve(new.pixel_scale_matrix, offset))


def _fitted_reference_point(wcs, crval, old_world, new_sky):
    """Return the reference point about which a linear change suits new positions best."""
    design = np.column_stack([old_world, np.ones(len(old_world))])
    for _ in range(_ROUNDS):
        new_world = projected(wcs, crval, new_sky)
        offset = np.linalg.lstsq(design, new_world, rcond=None)[0][2]
        crval = deprojected(wcs, crval, offset)
    return crval


def _with_changed_matrix(wcs, change):
    """Return a copy of a WCS in which `change` (2, 2) acts after the CD or PC matrix."""
    new = wcs.deepcopy()
    if wcs.wcs.has_cd():
        new.wcs.cd = change @ wcs.wcs.cd
        return new
    cdelt = np.diag(wcs.wcs.cdelt)
    if wcs.wcs.has_crota():
        del new.wcs.crota
    new.wcs.pc = np.linalg.inv(cdelt) @ change @ cdelt @ wcs.wcs.get_pc()
    return new


def corrected_header(
    header: fits.Header, wcs: WCS | None, solution: Solution, *, wcsname: str, reuse: bool = False
) -> fits.Header:
    """Give a science header a new primary WCS; the one before, if there is one, is archived.

    Parameters
    ----------
    header : astropy.io.fits.Header
        It is not changed.
    wcs : astropy.wcs.WCS or None
        The new one, which differs from that of `header` in CRVAL and CD, PC or PV, and in CRPIX
        where the chip was shifted, or is its first one; None leaves the numbers alone.
    solution : Solution
        What is known of it.
    wcsname : str
        Name of the new WCS.
    reuse : bool
        Replace a primary WCS of the same name instead of archiving it.

    Raises
    ------
    InputError
        No letter is left for the archive.
    """
    if "CTYPE1" in header:
        header = archive_primary(header, wcsname if reuse else "")
    else:
        header = _with_frame(header, wcs)
    if wcs is not None:
        _put_numbers(header, wcs)
    stays_aligned = solution.stays and is_fitted(header) and not is_named_only(header)
    header["WCSNAME"] = named(wcsname)
    if not stays_aligned:  # else what is known of the earlier fit holds on
        for keyword in ("HDRNAME", "CATALOG"):  # of the headerlet that the WCS of before came with
            header.remove(keyword, ignore_missing=True)
        kind = NOT_ALIGNED + solution.status if solution.stays else wcs_type(wcsname)
        header.set("WCSTYPE", *with_comment(kind, "kind of this coordinate description"),
                   after="WCSNAME")
    if wcs is not None and not solution.stays:  # the reference may have a chip that was shifted
        _put_fit(header, solution, wcsname)
    header.add_history(_history(wcsname, solution))
    return header


def _with_frame(header, wcs):
    """Return a header without a WCS with what `_put_numbers` leaves out, and nothing at odds."""
    header = header.copy()
    for keyword in filter(_OF_NO_TYPE.match, list(header)):
        header.remove(keyword, ignore_missing=True)
    for i in (1, 2):
        header[f"CTYPE{i}"] = wcs.wcs.ctype[i - 1]
        header[f"CUNIT{i}"] = "deg"
        header[f"CRPIX{i}"] = float(wcs.wcs.crpix[i - 1])
    header["RADESYS"] = "ICRS"  # which is what positions of no system mean
    return header


def _put_numbers(header, wcs):
    """Give a header, in place, the numbers in which a corrected WCS differs; comments stay."""
    _put_degrees(header, wcs)
    for i in (1, 2):
        header[f"CRVAL{i}"] = float(wcs.wcs.crval[i - 1])
        if header.get(f"CRPIX{i}") != wcs.wcs.crpix[i - 1]:  # of a chip that was shifted
            header[f"CRPIX{i}"] = float(wcs.wcs.crpix[i - 1])
    if "LONPOLE" not in header and wcs.wcs.lonpole != 180:
        header["LONPOLE"] = float(wcs.wcs.lonpole)  # at the pole its default is another one
    if has_pv_distortion(header):
        numbers = pv_terms(wcs)
    elif wcs.wcs.has_cd():
        numbers = matrix_keywords("CD", wcs.wcs.cd)
    else:
        numbers = matrix_keywords("PC", wcs.wcs.get_pc())
        for name in ("CROTA1", "CROTA2"):
            header.remove(name, ignore_missing=True)
    for name, value in numbers.items():
        header[name] = value
    if "ORIENTAT" in header:
        header["ORIENTAT"] = orientation(wcs)
    if "S_REGION" in header:
        header["S_REGION"] = s_region(header, wcs)


def _put_degrees(header, wcs):
    """Make degrees, in place, the unit of a header: wcslib converts all numbers that it reads."""
    for i in (1, 2):
        if not str(header.get(f"CUNIT{i}") or "deg").lower().startswith("deg"):
            header[f"CUNIT{i}"] = "deg"
            if f"CDELT{i}" in header:
                header[f"CDELT{i}"] = float(wcs.wcs.cdelt[i - 1])


def _put_fit(header, solution, wcsname):
    """Enter, in place, what is known of a fit after WCSTYPE."""
    ra_rms, dec_rms = solution.ra_rms / _ARCSEC, solution.dec_rms / _ARCSEC
    after = "WCSTYPE"
    for keyword, value, comment in (
        ("FITNAME", *with_comment(wcsname, "name of the fit that led to it")),
        ("NMATCH", solution.nmatches, "sources the fit is based on"),
        ("FITGEOM", solution.geometry, "geometry of the fit"),
        ("RMS_RA", ra_rms, "[deg] rms of the fit in right ascension"),
        ("RMS_DEC", dec_rms, "[deg] rms of the fit in declination"),
    ):
        header.set(keyword, value, comment, after=after)
        after = keyword
    header["CRDER1"] = (ra_rms, "[deg] random error of axis 1")
    header["CRDER2"] = (dec_rms, "[deg] random error of axis 2")


def _history(wcsname, solution):
    """Return the line of HISTORY about a new WCS."""
    facts = [f"tweakreg {__version__}: {wcsname}"]
    if not solution.stays:
        if solution.reference:
            facts.append(f"reference {solution.reference}")
        if solution.nmatches:
            ra_rms, dec_rms = (rms / _ARCSEC * _MAS for rms in (solution.ra_rms, solution.dec_rms))
            facts += [f"{solution.nmatches} matches", f"rms {ra_rms:.2f} {dec_rms:.2f} mas"]
        if math.isfinite(solution.chance):
            facts.append(f"chance {solution.chance:.1e}")
    return ", ".join(facts).encode("ascii", "replace").decode()
