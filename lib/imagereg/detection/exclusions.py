"""Exclude pixels of a chip from source finding, by region files and mask images.

What a region file means
------------------------
A region is one line of DS9's form (also as CIAO and funtools write it), or three numbers,
``x y radius``.

- Three numbers are a circle to ignore.
- A region with ``-`` or ``!`` before it, or with ``include=0``, is an area to ignore.
- Any other region is an area to search, as in DS9 and in drizzlepac 3.11. Where a file has one,
  all that lies outside such areas is ignored; where it has none, all that lies outside its
  regions is searched.
- Regions count in their order: of two that overlap the later one wins.

The help text of tweakreg 1.0.2 had every region of a file ignored; so it is with
``plain='exclude'``, except for regions with ``+`` before them.

Positions are FITS pixels until a line names another system, in files that CIAO wrote physical ones.
On the sky a size without unit is in degrees, or, among three numbers, in arcsec. Shapes on the sky
keep their shape there; on the chip they are distorted as the chip is. The angles of a panda or a
pie run counter-clockwise from the x axis, of an ellipse or a box that is turned from its own.

A pixel belongs to a region if its centre lies inside. A centre on the edge of a box or a polygon is
inside on the left and lower edges and outside on the right and upper ones, so that of two which
share an edge one has it; on the edge of a circle or an ellipse it is outside.

How pixels are found
--------------------
Every region lives in a flat plane about its centre, of pixels or of degrees on the sky. The pixel
centres around it are put into that plane, and the package `regions` says which are inside.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from astropy.coordinates import Angle, SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from scipy.spatial import cKDTree

from imagereg.detection.ds9 import PIXEL_SYSTEMS, Region, RegionReader
from imagereg.errors import InputError
from imagereg.wcs import plane as on_sky
from imagereg.wcs import unit_vectors

_ASTROPY_FRAMES = {"ecliptic": "barycentricmeanecliptic"}
# Pixels between knots at which the WCS is asked; between them positions are interpolated. With
# distortions as strong as those of ACS/WFC that errs by less than 0.001 pixel.
_STEP = 16
_SMALL = 24  # pixels; so near a centre the map to the sky is linear to 0.01 pixel
_TOGETHER = 500  # small circles that are drawn together
# Boxes and polygons are nudged by this much, pixels or degrees, to the left and the golden section
# of it down, which is along no edge through pixel centres: a centre on the edge that two of them
# share is then in one of the two, and a box of 20 by 10 pixels has 200 of them.
_EDGE = 1e-9
_NUDGE = (-_EDGE, -0.618034 * _EDGE)
_BAND_PIXELS = 2**20  # pixels that are looked at together: bounds the memory
_MOST_WORK = 2e10  # pixels times corners of a polygon: at the worst some minutes


@dataclasses.dataclass(frozen=True, eq=False)
class RegionList:
    """Regions in the order in which they count.

    Parameters
    ----------
    regions : tuple of Region
        The regions.
    where : str
        Name of the file, for errors.
    elsewhere : bool
        Whether pixels outside of all regions are excluded.
    """

    regions: tuple[Region, ...]
    where: str
    elsewhere: bool = False

    def mask(
        self,
        shape: Sequence[int],
        *,
        wcs: WCS | None = None,
        ltm: Sequence[float] = (1.0, 1.0),
        ltv: Sequence[float] = (0.0, 0.0),
    ) -> np.ndarray:
        """Mark the pixels of a chip that are excluded.

        Parameters
        ----------
        shape : (int, int)
            Rows and columns of the chip.
        wcs : astropy.wcs.WCS, optional
            WCS of the chip, distortion included; regions on the sky need it.
        ltm, ltv : (float, float)
            LTM1_1, LTM2_2 and LTV1, LTV2 of the header: image = ltm * physical + ltv.

        Returns
        -------
        (ny, nx) ndarray of bool
            True where a pixel is excluded.

        Raises
        ------
        InputError
            A region on the sky can't be put on the chip, or they take too long to draw.
        """
        chip = _Chip((shape[0], shape[1]), wcs, np.asarray(ltm), np.asarray(ltv), self.where)
        mask = np.full(chip.shape, self.elsewhere)
        work = 0
        for excluded, run in itertools.groupby(self.regions, lambda region: region.excluded):
            for region in _draw_small_circles(mask, chip, list(run)):
                plane = chip.plane(region)
                rows, columns = plane.window(region.reach)
                corners = 1 if region.corners is None else len(region.corners)
                work += len(rows) * len(columns) * corners
                if work > _MOST_WORK:
                    raise InputError(
                        f"{self.where}: the regions up to line {region.line} cover the chip "
                        "too often"
                    )
                for band in _bands(rows, columns, corners):
                    inside = _inside(region, plane.coordinates(band, columns))
                    mask[band.start:band.stop, columns.start:columns.stop][inside] = excluded
        return mask


def parse_regions(text: str, where: str = "", *, plain: str = "include") -> RegionList:
    """Read a region file; an `InputError` names the line that can't be read.

    Parameters
    ----------
    text, where : str
        Content of the file; its name, for errors.
    plain : {'include', 'exclude'}
        What a region of DS9's form without a sign is: an area to search, or one to ignore.
    """
    reader = RegionReader(where or "regions", plain_excludes=plain == "exclude")
    for number, line in enumerate(text.splitlines(), 1):
        reader.read_line(number, line)
    reader.log_notices()
    return RegionList(tuple(reader.regions), reader.where, reader.searches_only)


def mask_from_image(data: np.ndarray, shape: Sequence[int], where: str = "") -> np.ndarray:
    """Mark the pixels that a mask image excludes: as in drizzlepac those of value 0, and NaN.

    Parameters
    ----------
    data : (ny, nx) array_like
        The mask.
    shape : (int, int)
        Rows and columns of the chip.
    where : str
        Name of the file, for errors.

    Raises
    ------
    InputError
        The mask has another shape than the chip.
    """
    data = np.asarray(data)
    if data.shape != tuple(shape):
        sizes = " and ".join(" x ".join(map(str, size)) for size in (data.shape, shape))
        raise InputError(
            f"{where}: the mask and the chip differ in size, rows x columns: {sizes}"
        )
    return ~(np.abs(data) > 0)


def _bands(rows: range, columns: range, corners: int) -> Iterator[range]:
    """Cut rows into bands of about `_BAND_PIXELS` pixels, fewer for a polygon of many corners."""
    pixels = _BAND_PIXELS // corners
    height = max(pixels // max(len(columns), 1), _STEP)
    for start in range(rows.start, rows.stop, height):
        yield range(start, min(start + height, rows.stop))


def _inside(region: Region, xy: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Whether positions in the plane of a region are inside."""
    from regions import PixCoord

    if region.corners is not None:
        corners = _near_corners(region.corners, xy[1].min(), xy[1].max())
        region = dataclasses.replace(region, corners=corners)
    # Shapes of 1e-300 pixels overflow; nothing is inside them.
    with np.errstate(all="ignore"):
        inside = _package_shape(region).contains(PixCoord(*xy))
    return inside if region.wedge is None else inside & _in_wedge(xy, region.wedge, region.angle)


def _in_wedge(xy, wedge, angle):
    """Whether positions lie in a wedge that is turned by an angle; equal borders are all round."""
    start, stop = wedge
    width = (stop - start) % 360 or 360
    direction = np.rad2deg(np.arctan2(xy[1], xy[0])) - angle - start
    return direction % 360 < width


def _near_corners(corners: np.ndarray, low: float, high: float) -> np.ndarray:
    """Drop corners of a polygon without changing it where y is between `low` and `high`.

    Dropped is a corner beyond a bound whose neighbours are beyond it too: no edge of theirs is
    crossed there. The package's time goes with pixels times corners.
    """
    side = np.sign(corners[:, 1] - np.clip(corners[:, 1], low - 2 * _EDGE, high + 2 * _EDGE))
    dropped = (side != 0) & (side == np.roll(side, 1)) & (side == np.roll(side, -1))
    return corners if (~dropped).sum() < 3 else corners[~dropped]


def _package_shape(region: Region):
    """Return the shape of a region as one of the package `regions`, about (0, 0).

    Of a ring of several sizes the innermost and the outermost count: the others lie between them.
    """
    import regions

    origin, nudged = regions.PixCoord(0.0, 0.0), regions.PixCoord(*_NUDGE)
    if region.corners is not None:
        return regions.PolygonPixelRegion(regions.PixCoord(*(region.corners + _NUDGE).T))
    if region.shape == "circle":
        return regions.CirclePixelRegion(origin, *region.sizes)
    if region.shape == "annulus":
        return regions.CircleAnnulusPixelRegion(origin, region.sizes[0], region.sizes[-1])
    sizes = np.array(region.sizes).reshape(-1, 2)
    angle = Angle(region.angle, "deg")
    if region.shape == "ellipse":
        sizes *= 2
        if len(sizes) == 1:
            return regions.EllipsePixelRegion(origin, *sizes[0], angle)
        inner_outer = (*sizes[[0, -1], 0], *sizes[[0, -1], 1])
        return regions.EllipseAnnulusPixelRegion(origin, *inner_outer, angle)
    if len(sizes) == 1:
        return regions.RectanglePixelRegion(nudged, *sizes[0], angle)
    inner_outer = (*sizes[[0, -1], 0], *sizes[[0, -1], 1])
    return regions.RectangleAnnulusPixelRegion(nudged, *inner_outer, angle)


def _draw_small_circles(mask: np.ndarray, chip: _Chip, run: list[Region]) -> list[Region]:
    """Draw the small circles among regions of one sign, many at a time; return the other regions.

    One by one the package `regions` takes several times as long: see tests/bench/region_speed.py.
    """
    others = []
    by_system = collections.defaultdict(list)
    for region in run:
        in_own_plane = region.angular != (region.system in PIXEL_SYSTEMS)
        if region.shape == "circle" and in_own_plane and region.wedge is None:
            by_system[region.system].append(region)
        else:
            others.append(region)
    size = np.array(chip.shape[::-1])
    for circles in by_system.values():
        centre, matrix = chip.linear_planes(circles)
        radius = np.array([circle.sizes[0] for circle in circles])
        with np.errstate(all="ignore"):
            to_pixels = np.nan_to_num(np.linalg.inv(matrix), nan=np.inf)
            reach = radius * np.sqrt((to_pixels**2).sum(axis=2).max(axis=1))
            on_chip = (np.abs(centre - size / 2) <= size / 2).all(axis=1)
        small = on_chip & (reach < _SMALL)
        others += [circle for circle, is_small in zip(circles, small, strict=True) if not is_small]
        drawn = np.flatnonzero(small)
        drawn = drawn[np.argsort(reach[drawn])]  # those drawn together have boxes of one size
        for part in np.array_split(drawn, len(drawn) // _TOGETHER + 1):
            half = int(reach[part].max(initial=0)) + 1
            y, x = _pixels_inside(centre[part], matrix[part], radius[part], half)
            within = (y >= 1) & (y <= size[1]) & (x >= 1) & (x <= size[0])
            mask[y[within] - 1, x[within] - 1] = run[0].excluded
    return others


def _pixels_inside(centre, matrix, radius, half):
    """Return y and x, FITS pixels, of the pixels inside small circles of linear planes.

    A pixel lies at matrix (N, 2, 2) @ (pixel - centre (N, 2)) in the plane of its circle; pixels
    farther than `half` along an axis from the central one are not looked at.
    """
    step = np.arange(-half, half + 1)
    x, y = np.moveaxis(np.rint(centre).astype(int)[:, :, None] + step, 1, 0)
    dx = (x - centre[:, :1])[:, None, :]
    dy = (y - centre[:, 1:])[:, :, None]
    m = matrix[..., None, None]
    distance = np.hypot(m[:, 0, 0] * dx + m[:, 0, 1] * dy, m[:, 1, 0] * dx + m[:, 1, 1] * dy)
    circle, row, column = np.nonzero(distance < radius[:, None, None])
    return y[circle, row], x[circle, column]


@dataclasses.dataclass(frozen=True, eq=False)
class _Chip:
    """The pixels of a chip, and how other coordinate systems lead there."""

    shape: tuple[int, int]
    wcs: WCS | None
    ltm: np.ndarray
    ltv: np.ndarray
    where: str

    def plane(self, region: Region) -> _PixelPlane | _SkyPlane:
        """Return the plane of a region."""
        centre = np.array(region.centre)
        in_pixels = region.system in PIXEL_SYSTEMS
        if region.system == "physical":
            centre = centre * self.ltm + self.ltv
        if region.angular:
            if in_pixels:
                centre = self._wcs(region).all_pix2world([centre], 1)[0]
            return _SkyPlane(self._knots(region), centre)
        if not in_pixels:
            centre = self._to_pixel(region)
        scale = self.ltm if region.system == "physical" else np.ones(2)
        return _PixelPlane(self.shape, centre, scale)

    def linear_planes(self, circles: list[Region]) -> tuple[np.ndarray, np.ndarray]:
        """Return centres (N, 2), FITS pixels, and matrices (N, 2, 2) that lead to the planes.

        The circles are all of one system; on the sky the matrix is that of the cell of knots
        around the centre, which is NaN where the centre is not near the chip.
        """
        centre = np.array([circle.centre for circle in circles])
        system = circles[0].system
        if system == "physical":
            return centre * self.ltm + self.ltv, np.broadcast_to(
                np.diag(1 / self.ltm), (len(centre), 2, 2)
            )
        if system == "image":
            return centre, np.broadcast_to(np.eye(2), (len(centre), 2, 2))
        return self._knots(circles[0]).linear_planes(centre)

    def _to_pixel(self, region: Region) -> np.ndarray:
        """Return the centre, FITS pixels, of a circle on the sky whose radius is in pixels."""
        wcs = self._wcs(region)
        frame = _ASTROPY_FRAMES.get(region.system, region.system)
        own = SkyCoord(*region.centre, unit="deg", frame=frame).transform_to(self._own_frame)
        lonlat = [own.spherical.lon.deg, own.spherical.lat.deg]
        centre = wcs.all_world2pix([lonlat], 1, quiet=True)[0]
        if not np.isfinite(centre).all():
            raise self._error(region, "the WCS of the image does not reach this region")
        return centre

    def _wcs(self, region: Region) -> WCS:
        if self.wcs is None:
            raise self._error(region, "a region on the sky, but the image has no WCS")
        return self.wcs

    def _error(self, region: Region, problem: str) -> InputError:
        return InputError(f"{self.where}, line {region.line}: {problem}")

    @functools.cached_property
    def _own_frame(self):
        return wcs_to_celestial_frame(self.wcs)

    @functools.cached_property
    def _knots_by_system(self) -> dict:
        return {}

    def _knots(self, region: Region) -> _Knots:
        """Return the knots in the system of a region; in the own one of the WCS for pixels."""
        system = region.system
        if system not in self._knots_by_system:
            wcs = self._wcs(region)
            y, x = (1 + _STEP * np.arange((size - 1) // _STEP + 2) for size in self.shape)
            pixels = np.stack(np.meshgrid(x, y), axis=-1)
            lonlat = wcs.all_pix2world(pixels.reshape(-1, 2), 1)
            if system not in PIXEL_SYSTEMS:
                own = SkyCoord(*lonlat.T, unit="deg", frame=self._own_frame)
                found = own.transform_to(_ASTROPY_FRAMES.get(system, system)).spherical
                lonlat = np.column_stack([found.lon.deg, found.lat.deg])
            vectors = unit_vectors(lonlat).reshape(len(y), len(x), 3)
            self._knots_by_system[system] = _Knots(self.shape, vectors)
        return self._knots_by_system[system]


@dataclasses.dataclass(frozen=True, eq=False)
class _PixelPlane:
    """The plane of the pixels about a centre, FITS pixels; a unit of it is `scale` pixels."""

    shape: tuple[int, int]
    centre: np.ndarray
    scale: np.ndarray

    def window(self, reach: float) -> tuple[range, range]:
        """Return rows and columns (from 0) that hold all pixels within a reach of the centre."""
        half = reach * np.abs(self.scale)
        first = np.floor(self.centre - half) - 1
        stop = np.ceil(self.centre + half)
        return _within(self.shape, (first[1], stop[1]), (first[0], stop[0]))

    def coordinates(self, rows: range, columns: range) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y (rows, columns) of pixels in the plane."""
        with np.errstate(all="ignore"):
            x = (np.array(columns) + 1 - self.centre[0]) / self.scale[0]
            y = (np.array(rows) + 1 - self.centre[1]) / self.scale[1]
        x, y = np.meshgrid(x, y)
        return x, y


@dataclasses.dataclass(frozen=True, eq=False)
class _Knots:
    """Directions on the sky at every `_STEP`-th pixel of a chip, and beyond its last ones.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the chip.
    vectors : (n, m, 3) ndarray
        Unit vectors; NaN where the WCS knows no position.
    """

    shape: tuple[int, int]
    vectors: np.ndarray

    @functools.cached_property
    def tree(self) -> cKDTree:
        """Search tree of the knots; those without a position are far from all others."""
        return cKDTree(np.nan_to_num(self.vectors.reshape(-1, 3), nan=0.0))

    @functools.cached_property
    def gap(self) -> float:
        """Largest distance of a pixel from its nearest knot: half the longest diagonal."""
        v = self.vectors
        diagonals = np.concatenate([v[1:, 1:] - v[:-1, :-1], v[1:, :-1] - v[:-1, 1:]])
        return float(np.nan_to_num(np.linalg.norm(diagonals, axis=-1)).max()) / 2

    def linear_planes(self, sky: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels (N, 2) of positions near the chip, and matrices (N, 2, 2) from pixels."""
        distance, nearest = self.tree.query(unit_vectors(sky))
        row, column = np.divmod(nearest, self.vectors.shape[1])
        row = np.minimum(row, self.vectors.shape[0] - 2)
        column = np.minimum(column, self.vectors.shape[1] - 2)
        corners = np.stack(
            [self.vectors[row + j, column + i] for j in (0, 1) for i in (0, 1)], axis=1
        )
        first, right, up, diagonal = np.moveaxis(on_sky.great_circle_offsets(sky, corners), 1, 0)
        along_x = (right - first + diagonal - up) / (2 * _STEP)
        along_y = (up - first + diagonal - right) / (2 * _STEP)
        matrix = np.stack([along_x, along_y], axis=2)
        matrix[distance > 1.1 * self.gap] = np.nan
        middle = (first + right + up + diagonal) / 4
        knot = np.column_stack([column, row]) * _STEP + 1.0 + _STEP / 2
        return knot - (np.linalg.inv(matrix) @ middle[:, :, None])[:, :, 0], matrix


@dataclasses.dataclass(frozen=True, eq=False)
class _SkyPlane:
    """The plane on the sky about a centre, degrees, in which x is west and y is north."""

    knots: _Knots
    centre: np.ndarray

    def window(self, reach: float) -> tuple[range, range]:
        """Return rows and columns (from 0) that hold all pixels within a reach of the centre."""
        chord = 2 * np.sin(np.deg2rad(reach) / 2)
        # A tenth more than the gap: distortion is not the same at both ends of a diagonal.
        near = self.knots.tree.query_ball_point(
            unit_vectors(self.centre), chord + 1.1 * self.knots.gap
        )
        if not near:
            return range(0), range(0)
        row, column = np.divmod(near, self.knots.vectors.shape[1])
        bounds = (
            ((index.min() - 1) * _STEP, (index.max() + 1) * _STEP + 1) for index in (row, column)
        )
        return _within(self.knots.shape, *bounds)

    def coordinates(self, rows: range, columns: range) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y (rows, columns) of pixels in the plane."""
        knots = self.knots.vectors[_cells(rows), _cells(columns)]
        values = on_sky.great_circle_offsets(self.centre, knots)
        values = np.nan_to_num(values, nan=180.0)  # nowhere
        values = _interpolated(_interpolated(values, rows).swapaxes(0, 1), columns)
        return values[..., 0].T, values[..., 1].T


def _within(shape: tuple[int, int], rows, columns) -> tuple[range, range]:
    """Return the rows and columns, each from first to stop, that a chip has."""
    clipped = (
        np.clip(bounds, 0, size).astype(int).tolist()
        for bounds, size in zip((rows, columns), shape, strict=True)
    )
    row_range, column_range = (range(*bounds) for bounds in clipped)
    return row_range, column_range


def _cells(pixels: range) -> slice:
    """Return the knots between which pixels (from 0) lie."""
    return slice(pixels[0] // _STEP, pixels[-1] // _STEP + 2)


def _interpolated(values: np.ndarray, pixels: range) -> np.ndarray:
    """Interpolate values at the knots around pixels, along the first axis."""
    knot, step = np.divmod(np.array(pixels), _STEP)
    knot -= knot[0]
    share = (step / _STEP)[:, None, None]
    return values[knot] * (1 - share) + values[knot + 1] * share
