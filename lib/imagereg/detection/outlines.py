"""Outlines of regions put on a chip, with its distortion, and the pixels inside them.

A region is a unit circle, or a polygon, that an affine map stretches on the chip or on the sky. What lies on the sky
and is small is an affine image of itself on the chip too; of what is larger, the outline is followed point by point.
A pixel is inside an outline if its centre is; of a polygon that crosses itself, if a ray from there crosses it an odd
number of times.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs.utils import wcs_to_celestial_frame

from imagereg.errors import InputError

PIXEL_SYSTEMS = ("image", "physical")
LARGEST_ANGLE = 10.0  # degrees, of a region from its centre
_ASTROPY_FRAMES = {"ecliptic": "barycentricmeanecliptic"}
_CIRCLE = np.array([[np.cos(t), np.sin(t)] for t in np.arange(32) * np.pi / 16])
_FLAT = 0.04  # pixels, by which a region may bend and still be taken as an affine image of itself
_STEP = 128.0  # pixels, longest straight piece of an outline that is not flat
_HALVINGS = 40
_CLOSE = 1e-4  # pixels
_ITERATIONS = 30
_MOST_CORNERS = 1_000_000
_TOGETHER = 256  # outlines that are traced together
_AT_ONCE = 2_000_000  # crossings of rows and outlines that are worked on at a time
_MOST_WORK = 4e9  # pixels, and crossings times _CROSSING
_CROSSING = 10
_EDGE = 1e-9  # pixels; what is this near to a circle is not inside, however the sums are rounded


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Outline:
    """A unit circle, or a polygon, stretched and moved.

    Parameters
    ----------
    line : int
        Where it stands in its file.
    excluded : bool
        Whether it excludes what is inside, or brings it back.
    system : str
        Of its centre: image, physical, fk4, fk5, icrs, galactic, or ecliptic.
    centre : (float, float)
        FITS pixels or degrees.
    axes : ((float, float), (float, float))
        Matrix of the map from the unit plane: to x and y, in pixels, or to west and north, in degrees.
    angular : bool
        Whether the map leads to the sky.
    corners : (N, 2) ndarray or None
        Polygon in the unit plane; None is the unit circle.
    weight : int
        1, or -1 for the hole in the outline before it.
    """

    line: int
    excluded: bool
    system: str
    centre: tuple
    axes: tuple
    angular: bool
    corners: np.ndarray | None = None
    weight: int = 1


def excluded_pixels(outlines, chip, *, elsewhere=False):
    """Mask (ny, nx) of the pixels of a chip that outlines exclude, the later ones over the earlier.

    `elsewhere` is whether pixels are excluded that no outline holds.
    """
    outlines = tuple(outlines)
    centre, axes, polygons = chip.place(outlines)
    weights = np.array([outline.weight for outline in outlines], np.int32)
    mask = np.full(chip.shape, elsewhere)
    work = 0
    for excluded, run in itertools.groupby(range(len(outlines)), lambda i: outlines[i].excluded):
        run = list(run)
        discs = np.array([i for i in run if i not in polygons], int)
        traced = [i for i in run if i in polygons]
        tally = _Tally(chip.shape, centre[discs], axes[discs], [polygons[i] for i in traced])
        work += tally.work
        if work > _MOST_WORK:
            raise InputError(f"{chip.where}: the regions up to line {outlines[run[-1]].line} cover the chip too often")
        tally.add_discs(weights[discs])
        tally.add_polygons(weights[traced])
        mask[tally.window][tally.inside()] = excluded
    return mask


@dataclasses.dataclass(frozen=True, eq=False)
class ChipPlane:
    """The pixels of a chip, and how other coordinate systems lead there.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    wcs : astropy.wcs.WCS or None
        With distortion.
    ltm, ltv : (float, float)
        image = ltm * physical + ltv.
    where : str
        Name of the file that the regions are from, for errors.
    """

    shape: tuple
    wcs: object
    ltm: tuple
    ltv: tuple
    where: str

    def place(self, outlines):
        """Centres (N, 2) and axes (N, 2, 2) on the chip; and corners (K, 2) of those that are polygons, by index.

        Outlines far from the chip have axes of length 0.
        """
        centre = np.reshape([outline.centre for outline in outlines], (-1, 2)).astype(float)
        axes = np.reshape([outline.axes for outline in outlines], (-1, 2, 2)).astype(float)
        kinds = [(outline.system, outline.angular) for outline in outlines]
        polygons = {}
        for kind in dict.fromkeys(kinds):
            which = np.flatnonzero([other == kind for other in kinds])
            some = [outlines[i] for i in which]
            if self.wcs is None and (kind[1] or kind[0] not in PIXEL_SYSTEMS):
                raise InputError(f"{self.where}, line {some[0].line}: a region on the sky, but the image has no WCS")
            place = self._place_angular if kind[1] else self._place_flat
            centre[which], axes[which], found = place(kind[0], centre[which], axes[which], some)
            polygons.update({which[k]: corners for k, corners in found.items()})
        bad = ~np.isfinite(np.column_stack([centre, axes.reshape(-1, 4)])).all(axis=1)
        bad[list(polygons)] = [not np.isfinite(corners).all() for corners in polygons.values()]
        if bad.any():
            line = outlines[int(np.argmax(bad))].line
            raise InputError(f"{self.where}, line {line}: the WCS of the image does not reach this region")
        return centre, axes, polygons

    def _place_flat(self, system, centre, axes, outlines):
        if system == "physical":
            centre, axes = centre * self.ltm + self.ltv, np.array(self.ltm)[:, None] * axes
        elif system != "image":
            centre = self._sky_to_pixel(self._own_frame(system, centre)[0])
        polygons = {k: centre[k] + outline.corners @ axes[k].T for k, outline in enumerate(outlines)
                    if outline.corners is not None}
        return centre, axes, polygons

    def _place_angular(self, system, centre, axes, outlines):
        if system in PIXEL_SYSTEMS:
            pixel = self._place_flat(system, centre, axes, [])[0]
            sky, turn = self._pixel_to_sky(pixel), np.eye(2)
        else:
            sky, turn = self._own_frame(system, centre)
        axes = turn @ axes
        middle, radius = self._cap
        reach = np.array([_reach(outline) for outline in outlines])
        near = np.flatnonzero(~(_separation(sky, middle) > reach + radius))
        on_chip, bent = np.zeros_like(sky), np.zeros(len(sky), bool)
        affine = np.zeros_like(axes)
        on_chip[near], affine[near], bent[near] = self._linearised(sky[near], axes[near])
        polygons = {k: on_chip[k] + outlines[k].corners @ affine[k].T for k in near
                    if not bent[k] and outlines[k].corners is not None}
        bent = np.flatnonzero(bent)
        for some in np.split(bent, np.arange(_TOGETHER, len(bent), _TOGETHER)) if len(bent) else []:
            polygons.update(zip(some, self._trace([outlines[k] for k in some], sky[some], axes[some]), strict=True))
        return on_chip, affine, polygons

    def _linearised(self, sky, axes):
        """Centres and axes on the chip, and whether a region bends too much for these to stand for it."""
        ends = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]) @ np.swapaxes(axes, 1, 2)
        xy = self._sky_to_pixel(_moved(sky[:, None], ends).reshape(-1, 2)).reshape(-1, 5, 2)
        bend = np.abs((xy[:, 1::2] + xy[:, 2::2]) / 2 - xy[:, :1]).max(axis=(1, 2))
        affine = np.stack([xy[:, 1] - xy[:, 2], xy[:, 3] - xy[:, 4]], axis=2) / 2
        return xy[:, 0], affine, ~(bend < _FLAT)

    def _trace(self, outlines, sky, axes):
        """Corners (K, 2) on the chip of every outline on the sky, as close to each other as they must be there."""
        starts = [_CIRCLE if outline.corners is None else outline.corners for outline in outlines]
        owner = np.repeat(np.arange(len(starts)), [len(points) for points in starts])
        arc = np.array([outline.corners is None for outline in outlines])

        def on_chip(points, owner):
            steps = (axes[owner] @ points[:, :, None])[:, :, 0]
            return self._sky_to_pixel(_moved(sky[owner], steps))

        points = np.concatenate(starts)
        xy, is_open = on_chip(points, owner), np.ones(len(points), bool)
        for _ in range(_HALVINGS):
            first = np.flatnonzero(is_open)
            second = _following(owner)[first]
            middle, whose = (points[first] + points[second]) / 2, owner[first]
            middle[arc[whose]] /= np.hypot(*middle[arc[whose]].T)[:, None]
            between = on_chip(middle, whose)
            split = self._is_rough(xy[first], between, xy[second])
            is_open[first] = split
            if not split.any():
                break
            if len(points) + split.sum() > _MOST_CORNERS:
                raise InputError(f"{self.where}, line {outlines[0].line}: too many corners from here on")
            at = first[split] + 1
            points, xy = np.insert(points, at, middle[split], axis=0), np.insert(xy, at, between[split], axis=0)
            owner, is_open = np.insert(owner, at, whose[split]), np.insert(is_open, at, True)
        return np.split(xy, np.flatnonzero(np.diff(owner)) + 1)

    def _is_rough(self, start, middle, stop):
        """Whether the straight line for a piece of an outline is too far from it where it matters."""
        length = np.abs(stop - start).max(axis=1)
        bend = np.abs(middle - (start + stop) / 2).max(axis=1)
        beside = np.minimum(start, stop) - length[:, None] > np.array(self.shape[::-1])
        beside |= np.maximum(start, stop) + length[:, None] < 0
        return ((bend > _FLAT) | (length > _STEP)) & ~beside.any(axis=1)

    def _own_frame(self, system, sky):
        """Positions (N, 2) in the frame of the WCS, and matrices (N, 2, 2) that turn west and north to its own."""
        own = wcs_to_celestial_frame(self.wcs)
        both = np.concatenate([sky, _moved(sky, np.array([0.0, 1e-3]))])
        found = SkyCoord(*both.T, unit="deg", frame=_ASTROPY_FRAMES.get(system, system)).transform_to(own).spherical
        start, end = np.split(np.column_stack([found.lon.deg, found.lat.deg]), 2)
        north = offsets(start, end)
        x, y = (north / np.hypot(*north.T)[:, None]).T
        return start, np.moveaxis(np.array([[y, x], [-x, y]]), 2, 0)

    def _pixel_to_sky(self, xy):
        return self.wcs.all_pix2world(xy, 1)

    def _sky_to_pixel(self, sky):
        """FITS pixels (N, 2); the distortion that the surroundings of the chip have holds for all that is farther."""
        if not len(sky):
            return np.empty((0, 2))
        focal = xy = self.wcs.wcs_world2pix(sky, 1)
        margin = max(self.shape) / 4
        for _ in range(_ITERATIONS):
            near = np.clip(xy, 1 - margin, np.array(self.shape[::-1]) + margin)
            before, xy = xy, focal - (self.wcs.pix2foc(near, 1) - near)
            if not (np.abs(xy - before) > _CLOSE).any():
                break
        return xy

    @property
    def _cap(self):
        """Centre and radius, degrees, of a circle on the sky around the chip."""
        (ny, nx), t = self.shape, np.linspace(0, 1, 9)
        x, y = np.meshgrid(0.5 + nx * t, 0.5 + ny * t)
        sky = self._pixel_to_sky(np.column_stack([x.ravel(), y.ravel()]))
        middle = sky[len(sky) // 2]
        return middle, 1.1 * _separation(sky, middle).max()


class _Tally:
    """How many outlines every pixel of a part of the chip is in: the sum along rows of what begins and ends."""

    def __init__(self, shape, centre, axes, polygons):
        self.centre, self.axes, self.polygons = centre, axes, polygons
        half = np.hypot(axes[..., 0], axes[..., 1])
        some = half.all(axis=1)
        low = [*(centre - half)[some], *(corners.min(axis=0) for corners in polygons)]
        high = [*(centre + half)[some], *(corners.max(axis=0) for corners in polygons)]
        self.x0, self.y0 = self.x1, self.y1 = 1, 1
        if low:
            size = np.array(shape[::-1])
            self.x0, self.y0 = np.clip(np.floor(np.min(low, axis=0)), 1, size + 1).astype(int).tolist()
            self.x1, self.y1 = np.clip(np.ceil(np.max(high, axis=0)) + 1, 1, size + 1).astype(int).tolist()
        self.count = np.zeros((self.y1 - self.y0, self.x1 - self.x0 + 1), np.int32)
        self.rows = self._inner_rows(centre[:, 1] - half[:, 1], centre[:, 1] + half[:, 1])
        self.edges = [self._edges(corners) for corners in polygons]
        crossings = sum(int(_sizes(*rows).sum()) for rows in [self.rows, *(edges[2] for edges in self.edges)])
        self.work = self.count.size + _CROSSING * crossings

    @property
    def window(self):
        return slice(self.y0 - 1, self.y1 - 1), slice(self.x0 - 1, self.x1 - 1)

    def inside(self):
        """Whether a pixel of the window is in any outline."""
        np.cumsum(self.count, axis=1, out=self.count)
        return self.count[:, :-1] > 0

    def add_discs(self, weights):
        """Count the affine images of unit circles."""
        major = np.hypot(self.axes[:, 1, 0], self.axes[:, 1, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (self.axes[:, 0] * self.axes[:, 1]).sum(axis=1) / major
            half = np.abs(np.linalg.det(self.axes)) / major
        for item, row in _crossings(*self.rows):
            s = np.clip((row - self.centre[item, 1]) / major[item], -1, 1)
            x = self.centre[item, 0] + s * slope[item]
            width = half[item] * np.sqrt((1 - s) * (1 + s))
            start, stop = np.floor(x - width + _EDGE) + 1, np.ceil(x + width - _EDGE)
            some = stop > start
            self._add(row[some], start[some], weights[item[some]])
            self._add(row[some], stop[some], -weights[item[some]])

    def add_polygons(self, weights):
        """Count polygons."""
        for (start, slope, rows), weight in zip(self.edges, weights, strict=True):
            size = _sizes(*rows).sum()
            pieces = int(size // _AT_ONCE) + 1
            limits = np.linspace(self.y0, self.y1, pieces + 1).astype(int)
            for low, high in itertools.pairwise(limits):
                part = np.maximum(rows[0], low), np.minimum(rows[1], high)
                some = part[1] > part[0]
                item = np.repeat(np.flatnonzero(some), (part[1] - part[0])[some])
                row = np.concatenate([row for _, row in _crossings(part[0][some], part[1][some])] or [np.empty(0, int)])
                place = self._index(row, np.ceil(start[item, 0] + (row - start[item, 1]) * slope[item]))
                place.sort()
                np.add.at(self.count.reshape(-1), place[::2], weight)
                np.add.at(self.count.reshape(-1), place[1::2], -weight)

    def _edges(self, corners):
        """Return starts and slopes of the edges of a polygon and the rows that they cross."""
        following = np.roll(corners, -1, axis=0)
        low, high = np.minimum(corners[:, 1], following[:, 1]), np.maximum(corners[:, 1], following[:, 1])
        rows = (np.clip(np.ceil(bound), self.y0, self.y1).astype(int) for bound in (low, high))
        step = following - corners
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return corners, step[:, 0] / step[:, 1], tuple(rows)

    def _inner_rows(self, low, high):
        """First row and the one behind the last whose centre is between bounds."""
        return tuple(np.clip(bound, self.y0, self.y1).astype(int) for bound in (np.floor(low) + 1, np.ceil(high)))

    def _index(self, row, x):
        return (row - self.y0) * self.count.shape[1] + np.clip(x, self.x0, self.x1).astype(int) - self.x0

    def _add(self, row, x, weight):
        np.add.at(self.count.reshape(-1), self._index(row, x), weight)


def _following(owner):
    """Index of the next corner of the same outline, for the corners of outlines one after the other."""
    following = np.arange(1, len(owner) + 1)
    last = np.flatnonzero(np.diff(owner, append=-1))
    following[last] = np.concatenate([[0], last[:-1] + 1])
    return following


def _sizes(first, behind):
    return np.maximum(behind - first, 0)


def _crossings(first, behind):
    """Item and row for every row of items that each have some, a good number of them at a time."""
    sizes = _sizes(first, behind)
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(_AT_ONCE, total + _AT_ONCE, _AT_ONCE))
    for low, high in itertools.pairwise([0, *(cuts + 1).tolist()]):
        part = sizes[low:high]
        item = np.repeat(np.arange(low, low + len(part)), part)
        yield item, np.arange(len(item)) - np.repeat(np.cumsum(part) - part, part) + first[item]


def _reach(outline):
    """Largest distance, degrees, of a point of an outline from its centre."""
    corners = 1.0 if outline.corners is None else np.hypot(*outline.corners.T).max()
    return float(corners * np.hypot(*np.ravel(outline.axes).reshape(2, 2)).max() * np.sqrt(2))


def direction(sky):
    """Vectors (..., 3) of length 1 to positions (..., 2), degrees."""
    lon, lat = np.moveaxis(np.deg2rad(sky), -1, 0)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def position(vectors):
    """Positions (..., 2), degrees, of vectors (..., 3) of any length."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.rad2deg(np.stack([np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))], axis=-1))


def offsets(sky, others):
    """How far west and north (..., 2), degrees, other positions are from the first, along great circles."""
    west, north = _west_and_north(sky)
    centre, vectors = direction(sky), direction(others)
    x, y, z = ((vectors * axis).sum(axis=-1) for axis in (west, north, centre))
    sine = np.hypot(x, y)
    scale = np.arctan2(sine, z) / np.where(sine > 0, sine, 1)
    return np.rad2deg(np.stack([x * scale, y * scale], axis=-1))


def _moved(sky, steps):
    """Positions (..., 2) some degrees west and north of others: the inverse of `offsets`."""
    west, north = _west_and_north(sky)
    x, y = np.moveaxis(np.deg2rad(steps), -1, 0)[..., None]
    far = np.hypot(x, y)
    return position(np.cos(far) * direction(sky) + np.sinc(far / np.pi) * (x * west + y * north))


def _west_and_north(sky):
    lon, lat = np.moveaxis(np.deg2rad(sky), -1, 0)
    west = np.stack([np.sin(lon), -np.cos(lon), np.zeros_like(lon)], axis=-1)
    return west, np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=-1)


def _separation(sky, other):
    return np.hypot(*np.moveaxis(offsets(other, sky), -1, 0))
