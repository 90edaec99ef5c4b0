"""Pixels, the sky, and the undistorted tangent plane on which exposures are matched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from imagereg.errors import DegenerateFit

if TYPE_CHECKING:
    from astropy.wcs import WCS

# Pixels. WCSs that agree to this over the whole chip are the same: it is a tenth of the error of
# the best centroids, some 0.01 pixel.
SAME_SKY = 1e-3

_ARCSEC = 3600.0  # in a degree
_GRID = 12  # positions along each axis at which WCSs are compared; test_plane looks between them
_ALONG_X = 100.0  # pixels, over which a direction is measured
_PROBE = 40  # pixels over which the scale of a chip is measured: few, so that distortion is linear


def unit_vectors(sky: ArrayLike) -> np.ndarray:
    """Return unit vectors (..., 3) of right ascension and declination (..., 2), degrees."""
    ra, dec = np.moveaxis(np.deg2rad(sky), -1, 0)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def directions(vectors: ArrayLike) -> np.ndarray:
    """Right ascension and declination (..., 2), degrees, of vectors (..., 3) of any length."""
    x, y, z = np.moveaxis(np.asarray(vectors), -1, 0)
    ra = np.arctan2(y, x) % (2 * np.pi)
    dec = np.arctan2(z, np.hypot(x, y))
    return np.rad2deg(np.stack([ra, dec], axis=-1))


def mean_direction(sky: ArrayLike) -> np.ndarray:
    """Right ascension and declination (2,) of the mean of sky positions (N, 2), all in degrees."""
    components = np.ascontiguousarray(unit_vectors(sky).T)
    return directions(components.mean(axis=1))


def sky_offsets(sky: ArrayLike, origin: ArrayLike) -> np.ndarray:
    """Offsets (N, 2) of sky positions towards east and north of others nearby, degrees.

    Parameters
    ----------
    sky, origin : (N, 2) array_like
        Right ascension and declination, degrees. The offset in right ascension is scaled by the
        cosine of the declination of `sky`, which is good for separations far below a degree.
    """
    sky = np.asarray(sky)
    ra, dec = (sky - origin).T
    east = (ra + 180) % 360 - 180
    return np.column_stack([east * np.cos(np.deg2rad(sky[:, 1])), dec])


def great_circle_offsets(centre: ArrayLike, vectors: np.ndarray) -> np.ndarray:
    """Return how far west and north of a centre positions are, along great circles.

    Parameters
    ----------
    centre : (..., 2) array_like
        Longitude and latitude, degrees.
    vectors : (..., M, 3) ndarray
        Unit vectors towards M positions.

    Returns
    -------
    (..., M, 2) ndarray
        Offsets in degrees; their length is the separation from the centre.
    """
    lon, lat = np.moveaxis(np.deg2rad(centre), -1, 0)
    west = np.stack([np.sin(lon), -np.cos(lon), np.zeros_like(lon)], axis=-1)
    north = np.stack(
        [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=-1
    )
    axes = np.stack([west, north, unit_vectors(centre)], axis=-1)
    x, y, z = np.moveaxis(vectors @ axes, -1, 0)
    sine = np.hypot(x, y)
    scale = np.rad2deg(np.arctan2(sine, z) / np.where(sine > 0, sine, 1))
    return np.stack([x * scale, y * scale], axis=-1)


def pixel_to_sky(wcs: WCS, xy: ArrayLike) -> np.ndarray:
    """Right ascension and declination (N, 2), degrees, of FITS pixels (N, 2), with distortion."""
    xy = np.reshape(xy, (-1, 2))
    if not len(xy):
        return np.empty((0, 2))
    world = np.column_stack(wcs.all_pix2world(xy[:, 0], xy[:, 1], 1))
    return world[:, celestial_axes(wcs)]


def celestial_axes(wcs: WCS) -> list[int]:
    """Return the indices of longitude and latitude among the world axes, in either order."""
    return [wcs.wcs.lng, wcs.wcs.lat]


def border(shape: tuple[int, int], steps: int = 8) -> np.ndarray:
    """FITS pixels (4 `steps`, 2), counter-clockwise around an image of `shape` (ny, nx)."""
    ny, nx = shape
    corners = np.array([[0.5, 0.5], [nx + 0.5, 0.5], [nx + 0.5, ny + 0.5], [0.5, ny + 0.5]])
    sides = np.roll(corners, -1, axis=0) - corners
    fractions = np.arange(steps)[:, None] / steps
    return np.concatenate([
        corner + fractions * side for corner, side in zip(corners, sides, strict=True)])


def pixel_grid(shape: tuple[int, int]) -> np.ndarray:
    """FITS pixels (N, 2) that cover a chip of `shape` (ny, nx) evenly."""
    ny, nx = shape
    x, y = np.meshgrid(np.linspace(1, nx, _GRID), np.linspace(1, ny, _GRID))
    return np.column_stack([x.ravel(), y.ravel()])


def pixel_scale(wcs: WCS) -> float:
    """Arcsec per pixel at the reference pixel of a WCS."""
    return float(np.sqrt(np.abs(np.linalg.det(wcs.pixel_scale_matrix))) * _ARCSEC)


def orientation(wcs: WCS) -> float:
    """Position angle of the y axis, degrees east of north (HST: ORIENTAT)."""
    matrix = wcs.pixel_scale_matrix
    return float(np.rad2deg(np.arctan2(matrix[0, 1], matrix[1, 1])))


def max_separation(wcs: WCS, other: WCS, shape: tuple[int, int]) -> float:
    """Largest distance between the sky positions that two WCSs give one pixel of a chip, pixels.

    Infinite where a WCS gives a pixel no finite position.
    """
    xy = pixel_grid(shape)
    separations = np.hypot(*sky_offsets(pixel_to_sky(wcs, xy), pixel_to_sky(other, xy)).T)
    if not np.isfinite(separations).all():
        return np.inf
    return float(separations.max()) * _ARCSEC / pixel_scale(wcs)


def same_sky(wcs: WCS, other: WCS, shape: tuple[int, int]) -> bool:
    """Whether two WCSs give the pixels of a chip of `shape` (ny, nx) the same sky positions."""
    return max_separation(wcs, other, shape) < SAME_SKY


def tangent_wcs(crval: ArrayLike, cd: ArrayLike) -> WCS:
    """Return a gnomonic WCS without distortion, its reference pixel at 0, 0."""
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = crval
    wcs.wcs.crpix = [0.0, 0.0]
    wcs.wcs.cd = cd
    wcs.wcs.set()
    return wcs


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
    shape: tuple[int, int]

    @classmethod
    def around(cls, chips: Sequence[tuple[WCS, tuple[int, int]]]) -> TangentPlane:
        """Lay a plane around chips, with the orientation and the pixel scale of the first one.

        Parameters
        ----------
        chips : sequence of (astropy.wcs.WCS, (ny, nx))
            WCS and shape of each.
        """
        outlines = [pixel_to_sky(wcs, border(shape)) for wcs, shape in chips]
        centre = mean_direction(np.concatenate(outlines))
        wcs = tangent_wcs(centre, _square_pixels(*chips[0], centre) / _ARCSEC)
        outline = np.concatenate([wcs.wcs_world2pix(sky, 1) for sky in outlines])
        low, high = np.floor(outline.min(axis=0)), np.ceil(outline.max(axis=0))
        wcs.wcs.crpix = 1 - low
        wcs.pixel_shape = [int(n) for n in high - low + 1]
        wcs.wcs.set()
        return cls(wcs, tuple(wcs.pixel_shape[::-1]))

    @classmethod
    def of(
        cls, crval: ArrayLike, crpix: ArrayLike, cd: ArrayLike, shape: tuple[int, int]
    ) -> TangentPlane:
        """Return the plane of CRVAL and CRPIX (2,), CD (2, 2), and a shape (ny, nx)."""
        wcs = tangent_wcs(crval, cd)
        wcs.wcs.crpix = crpix
        wcs.pixel_shape = shape[::-1]
        wcs.wcs.set()
        return cls(wcs, (shape[0], shape[1]))

    @classmethod
    def around_stars(cls, sky: np.ndarray, shape: tuple[int, int]) -> TangentPlane:
        """Lay a plane around sky positions (N, 2), degrees, such that they fill an image.

        North is up and east left; the image of `shape` (ny, nx) is one whose scale is not known.
        """
        centre = mean_direction(sky)
        offsets = tangent_wcs(centre, np.eye(2)).wcs_world2pix(sky, 1)
        scale = (np.ptp(offsets, axis=0) / shape[::-1]).max()
        middle = (np.array(shape[::-1]) + 1) / 2
        return cls.of(centre, middle, np.diag([-scale, scale]), shape)

    @classmethod
    def flat(cls, pixel_scale: float = 1.0) -> TangentPlane:
        """Return a plane for positions without a WCS, of `pixel_scale` arcsec, centred on 0, 0."""
        wcs = tangent_wcs([180.0, 0.0], np.diag([-pixel_scale, pixel_scale]) / _ARCSEC)
        return cls(wcs, (1, 1))

    @property
    def centre(self) -> np.ndarray:
        """(2,) reference pixel, about which fits rotate and scale."""
        return np.array(self.wcs.wcs.crpix)

    @property
    def pixel_scale(self) -> float:
        """Arcsec per pixel."""
        return pixel_scale(self.wcs)

    def sky_to_plane(self, sky: np.ndarray) -> np.ndarray:
        """Plane pixels (N, 2) of right ascension and declination (N, 2), degrees."""
        return self.wcs.wcs_world2pix(sky, 1) if len(sky) else np.empty((0, 2))

    def plane_to_sky(self, xy: np.ndarray) -> np.ndarray:
        """Right ascension and declination (N, 2), degrees, of plane pixels (N, 2)."""
        return self.wcs.wcs_pix2world(xy, 1) if len(xy) else np.empty((0, 2))

    def first_wcs(
        self, shape: tuple[int, int], to_plane: Callable[[np.ndarray], np.ndarray]
    ) -> WCS:
        """Return the undistorted gnomonic WCS of a chip that had none.

        Parameters
        ----------
        shape : (int, int)
            Rows and columns of the chip.
        to_plane : callable
            Maps pixels (N, 2) of the chip to those of this plane, on which its place is known.
        """
        grid = pixel_grid(shape)
        middle = (np.array(shape[::-1]) + 1) / 2
        crval = self.plane_to_sky(to_plane(middle[None]))[0]
        projection = tangent_wcs(crval, np.eye(2))
        world = projection.wcs_world2pix(self.plane_to_sky(to_plane(grid)), 1)
        matrix = np.linalg.lstsq(grid - middle, world, rcond=None)[0].T
        wcs = tangent_wcs(crval, matrix)
        wcs.wcs.crpix = middle
        wcs.pixel_shape = shape[::-1]
        wcs.wcs.set()
        return wcs


def _square_pixels(wcs, shape, centre):
    """Matrix (2, 2), arcsec, that is nearest to a chip's and has equal scales and right angles."""
    arcsec_plane = tangent_wcs(centre, np.eye(2) / _ARCSEC)
    middle = (np.array(shape[::-1]) + 1) / 2
    size = np.minimum(shape[::-1], _PROBE)
    steps = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]) * size / 2
    probes = arcsec_plane.wcs_world2pix(pixel_to_sky(wcs, middle + steps), 1)
    left, right, below, above = probes / size.repeat(2)[:, None]
    u, singular, vt = np.linalg.svd(np.column_stack([right - left, above - below]))
    return np.sqrt(np.prod(singular)) * (u @ vt)


def rotation_of_sky(
    plane: TangentPlane, fit: Callable[[np.ndarray], np.ndarray], place: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the rotation of the celestial sphere that moves a place and its x axis as a fit does.

    It keeps all distances, which a linear map of a plane that moves far does not. It maps (N, 2)
    pixels of the plane to such, as the fit does.

    Parameters
    ----------
    plane : TangentPlane
        Where the fit was made.
    fit : callable
        Maps plane pixels (N, 2) of the image to those of the reference.
    place : (2,) ndarray
        Pixels of the plane.
    """
    points = place + np.array([(0, 0), (_ALONG_X, 0)])
    before = _axes_at(unit_vectors(plane.plane_to_sky(points)))
    after = _axes_at(unit_vectors(plane.plane_to_sky(fit(points))))
    rotation = after.T @ before

    def rotated(xy):
        vectors = unit_vectors(plane.plane_to_sky(xy)) @ rotation.T
        return plane.sky_to_plane(directions(vectors))

    return rotated


def _axes_at(vectors):
    """Return the orthonormal axes, as rows, of a direction and of the way to another one."""
    first, second = vectors
    across = second - (second @ first) * first
    across /= np.linalg.norm(across)
    return np.array([first, across, np.cross(first, across)])


def deprojected(wcs: WCS, crval: np.ndarray, world: np.ndarray) -> np.ndarray:
    """Return the sky position at projection-plane coordinates (2,), degrees, about `crval`."""
    return _projection(wcs, crval).wcs_pix2world([world - 1], 0)[0]


def projected(wcs: WCS, crval: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Return projection-plane coordinates (N, 2), degrees, about `crval`, as `wcs` projects.

    Raises
    ------
    DegenerateFit
        `crval` can't be the reference point, or one of the positions `sky` (N, 2), degrees, does
        not lie on that plane.
    """
    from astropy.wcs import InvalidTransformError

    world = np.full_like(sky, np.nan)
    if np.isfinite(crval).all():
        try:
            world = _projection(wcs, crval).wcs_world2pix(sky, 0) + 1
        except InvalidTransformError as error:
            raise DegenerateFit(f"the reference point of a WCS of type {wcs.wcs.ctype[0]} can't "
                                f"move to {crval[0]:.5f} {crval[1]:.5f}") from error
    if not np.isfinite(world).all():
        raise DegenerateFit("a chip lies beyond the plane on which the image was fitted")
    return world


def _projection(wcs, crval):
    """Return the WCS whose pixels are the projection-plane coordinates of another, less 1."""
    from astropy.wcs import WCS

    projection = WCS(naxis=2)
    projection.wcs.cunit = ["deg", "deg"]
    projection.wcs.crval = crval
    projection.wcs.cd = np.eye(2)
    if wcs.wcs.ctype[0].endswith("-TPV"):
        projection.wcs.ctype = [name.replace("-TPV", "-TAN") for name in wcs.wcs.ctype]
    else:
        projection.wcs.ctype = [name.removesuffix("-SIP") for name in wcs.wcs.ctype]
        projection.wcs.set_pv(wcs.wcs.get_pv())
    projection.wcs.lonpole = wcs.wcs.lonpole
    projection.wcs.set()
    return projection
