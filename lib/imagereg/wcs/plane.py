"""The plane on which exposures meet, and what a fit there means for a chip's WCS."""

from __future__ import annotations

import dataclasses

import numpy as np
from astropy.wcs import WCS

from imagereg.errors import DegenerateFit

_DEGREES = 3600.0  # arcsec
_LARGEST_DEVIATION = 1e-3  # pixels, of a corrected WCS from the fit it stands for
_GRID = 12
# Blocks of PV indices of a TPV polynomial: in each, exchanging x and y reverses the order of the terms. The indices
# left out (0, 3, 11, 23, 39) are the constant and powers of the radius, which the exchange leaves as they are.
_TPV_TERMS = 40
_TPV_BLOCKS = ((1, 2), (4, 6), (7, 10), (12, 16), (17, 22), (24, 30), (31, 38))


def pixel_to_sky(wcs, xy):
    """Right ascension and declination (N, 2), degrees, of FITS pixels (N, 2), with all distortions."""
    xy = np.reshape(xy, (-1, 2))
    if not len(xy):
        return np.empty((0, 2))
    return np.column_stack(wcs.all_pix2world(xy[:, 0], xy[:, 1], 1))[:, _celestial_axes(wcs)]


def _celestial_axes(wcs):
    """Return where longitude and latitude stand among the world axes; either may come first."""
    return [wcs.wcs.lng, wcs.wcs.lat]


def border(shape, steps=8):
    """FITS pixels (4 `steps`, 2) around the border of an image of `shape` (ny, nx), counter-clockwise."""
    (ny, nx), t = shape, np.arange(steps) / steps
    corners = np.array([[0.5, 0.5], [nx + 0.5, 0.5], [nx + 0.5, ny + 0.5], [0.5, ny + 0.5]])
    following = np.roll(corners, -1, axis=0)
    return np.concatenate([a + t[:, None] * (b - a) for a, b in zip(corners, following, strict=True)])


@dataclasses.dataclass(frozen=True, eq=False)
class TangentPlane:
    """An undistorted gnomonic plane with square pixels.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        TAN, without distortion.
    shape : (int, int)
        Rows and columns of the image that would hold all chips.
    """

    wcs: WCS
    shape: tuple

    @classmethod
    def around(cls, chips):
        """Lay a plane around chips, with the orientation and the pixel scale of the first one.

        Parameters
        ----------
        chips : sequence of (astropy.wcs.WCS, (ny, nx))
            WCS and shape of each.
        """
        first, (ny, nx) = chips[0]
        middle = np.array([(nx + 1) / 2, (ny + 1) / 2])
        outlines = [pixel_to_sky(wcs, border(shape)) for wcs, shape in chips]
        centre = _mean_direction(np.concatenate(outlines))
        wcs = _tangent_wcs(centre, np.eye(2) / _DEGREES)
        steps = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]) * np.minimum((nx, ny), 40) / 2
        step = wcs.wcs_world2pix(pixel_to_sky(first, middle + steps), 1) / np.minimum((nx, ny), 40).repeat(2)[:, None]
        jacobian = np.column_stack([step[1] - step[0], step[3] - step[2]])
        u, singular, vt = np.linalg.svd(jacobian)  # nearest matrix with equal scales and right angles
        wcs = _tangent_wcs(centre, np.sqrt(np.prod(singular)) * (u @ vt) / _DEGREES)
        outline = np.concatenate([wcs.wcs_world2pix(sky, 1) for sky in outlines])
        low, high = np.floor(outline.min(axis=0)), np.ceil(outline.max(axis=0))
        wcs.wcs.crpix = 1 - low
        wcs.pixel_shape = [int(n) for n in high - low + 1]
        wcs.wcs.set()
        return cls(wcs, tuple(wcs.pixel_shape[::-1]))

    @classmethod
    def of(cls, crval, crpix, cd, shape):
        """Return the plane of known numbers: CRVAL and CRPIX (2,), CD (2, 2), rows and columns."""
        wcs = _tangent_wcs(crval, cd)
        wcs.wcs.crpix, wcs.pixel_shape = crpix, shape[::-1]
        wcs.wcs.set()
        return cls(wcs, tuple(shape))

    @classmethod
    def flat(cls, pixel_scale=1.0):
        """Return a plane for positions that have no WCS: of `pixel_scale` arcsec, its reference pixel at 0, 0."""
        wcs = _tangent_wcs([180.0, 0.0], np.diag([-pixel_scale, pixel_scale]) / _DEGREES)
        return cls(wcs, (1, 1))

    @property
    def centre(self):
        """(2,) reference pixel, about which fits rotate and scale."""
        return np.array(self.wcs.wcs.crpix)

    @property
    def pixel_scale(self):
        """Arcsec per pixel."""
        return pixel_scale(self.wcs)

    def sky_to_plane(self, sky):
        """Plane pixels (N, 2) of right ascension and declination (N, 2), degrees."""
        return self.wcs.wcs_world2pix(sky, 1) if len(sky) else np.empty((0, 2))

    def plane_to_sky(self, xy):
        """Right ascension and declination (N, 2), degrees, of plane pixels (N, 2)."""
        return self.wcs.wcs_pix2world(xy, 1) if len(xy) else np.empty((0, 2))


def pixel_scale(wcs):
    """Arcsec per pixel at the reference pixel of a WCS."""
    return float(np.sqrt(np.abs(np.linalg.det(wcs.pixel_scale_matrix))) * _DEGREES)


def orientation(wcs):
    """Position angle of the y axis, degrees east of north (HST: ORIENTAT)."""
    matrix = wcs.pixel_scale_matrix
    return float(np.rad2deg(np.arctan2(matrix[0, 1], matrix[1, 1])))


def apart(wcs, other, shape):
    """Largest distance, pixels, between the skies that two WCSs give a chip of `shape` (ny, nx); not finite is inf."""
    xy = _grid(shape)
    sky, there = pixel_to_sky(wcs, xy), pixel_to_sky(other, xy)
    east = ((there - sky)[:, 0] + 180) % 360 - 180
    away = np.hypot(east * np.cos(np.deg2rad(sky[:, 1])), (there - sky)[:, 1])
    return float(away.max()) * _DEGREES / pixel_scale(wcs) if np.isfinite(away).all() else np.inf


def _tangent_wcs(crval, cd):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cd = crval, [0.0, 0.0], cd
    wcs.wcs.set()
    return wcs


def _mean_direction(sky):
    """Mean (2,) of sky positions, as a direction."""
    ra, dec = np.deg2rad(sky).T
    x, y, z = (np.mean(v) for v in (np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)))
    return np.rad2deg([np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))])


def corrected_wcs(wcs, shape, plane, fit):
    """Put a fit into the WCS of a chip.

    The sky of every pixel moves as the fit says, to a thousandth of a pixel: the reference point moves to its new
    place, and the rotation and scale that are left turn the CD (or PC) matrix, or, where distortion comes after
    that matrix (TPV), the coefficients of the distortion.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Of the chip, distortion included; it is not changed.
    shape : (int, int)
        Rows and columns of the chip.
    plane : TangentPlane
        Where the fit was made.
    fit : callable
        Maps plane pixels (N, 2) of the image to those of the reference, as `fit.LinearFit` does.

    Returns
    -------
    astropy.wcs.WCS
        With new CRVAL and CD (or PC, or PV) and all else as it was.

    Raises
    ------
    DegenerateFit
        No such WCS follows the fit to a thousandth of a pixel.
    """
    def moved(sky):
        return plane.plane_to_sky(fit(plane.sky_to_plane(sky)))

    grid = _grid(shape)
    old_sky = pixel_to_sky(wcs, grid)
    new_sky = moved(old_sky)
    axes = _celestial_axes(wcs)  # a permutation of two, which is its own inverse
    crval = moved(wcs.wcs.crval[None, axes])[0, axes]
    new_world = _intermediate(wcs.wcs, crval, new_sky[:, axes])
    change = np.linalg.lstsq(_intermediate(wcs.wcs, wcs.wcs.crval, old_sky[:, axes]), new_world, rcond=None)[0].T
    new = (_turned_tpv if _is_tpv(wcs) else _turned)(wcs, change)
    new.wcs.crval = crval
    new.wcs.set()
    deviation = np.hypot(*(plane.sky_to_plane(pixel_to_sky(new, grid)) - plane.sky_to_plane(new_sky)).T).max()
    deviation *= plane.pixel_scale / pixel_scale(wcs)
    if not deviation < _LARGEST_DEVIATION:
        raise DegenerateFit(f"a WCS of type {wcs.wcs.ctype[0]} can't follow the fit: off by {deviation:.3g} pixel")
    return new


def _grid(shape):
    ny, nx = shape
    x, y = np.meshgrid(np.linspace(1, nx, _GRID), np.linspace(1, ny, _GRID))
    return np.column_stack([x.ravel(), y.ravel()])


def _intermediate(prm, crval, sky):
    """Return projection-plane coordinates (N, 2), degrees, about `crval`, in the projection of a Wcsprm."""
    wcs = _tangent_wcs(crval, np.eye(2))
    if list(prm.ctype) != ["RA---TPV", "DEC--TPV"]:
        wcs.wcs.ctype = [name.removesuffix("-SIP") for name in prm.ctype]
        wcs.wcs.set_pv(prm.get_pv())
    wcs.wcs.lonpole = prm.lonpole
    wcs.wcs.set()
    return wcs.wcs_world2pix(sky, 0) + 1


def _turned(wcs, change):
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


def _turned_tpv(wcs, change):
    """Return a copy of a TPV WCS in which `change` (2, 2) acts after the polynomials: new sums of their terms."""
    header = wcs.to_header(relax=True)
    swap = np.arange(_TPV_TERMS)
    for first, last in _TPV_BLOCKS:
        swap[first:last + 1] = swap[first:last + 1][::-1]
    names = [[f"PV{axis}_{term}" for term in range(_TPV_TERMS)] for axis in (1, 2)]
    terms = np.array([[header.get(name, float(term == 1)) for term, name in enumerate(axis)] for axis in names])
    terms[1] = terms[1][swap]
    terms = change @ terms
    terms[1] = terms[1][swap]
    for axis, values in zip(names, terms, strict=True):
        header.update({name: value for name, value in zip(axis, values, strict=True) if value or name in header})
    new = WCS(header)
    new.pixel_shape = wcs.pixel_shape
    return new


def _is_tpv(wcs):
    """Whether distortion comes as PV terms; wcslib hides them once a WCS is in use, its header shows them."""
    return wcs.to_header(relax=True)["CTYPE1"].endswith("TPV")
