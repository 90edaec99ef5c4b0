"""The order in which exposures are aligned, and what has become of them so far."""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.alignment.verdict import Alignment
from imagereg.catalogs import Flag, Reference, SourceCatalog
from imagereg.wcs import Status, border, pixel_to_sky

_GRID_STEPS = 200  # along a side, to see which exposure covers what


class Queue:
    """Exposures, the results so far, and the order in which they are taken."""

    def __init__(self, exposures, plane, rules):
        self.exposures = list(exposures)
        self.verdicts = [None] * len(self.exposures)
        self.stopped = ""
        self.rejected = set()
        self.teachers = []  # indices of those whose sources have joined the reference, in turn
        self._cover = None if rules.enforce_user_order else _coverage(self.exposures, plane)
        self._group = rules.group == "visit"

    def first(self):
        """Return the index of the exposure that is the reference."""
        if self._cover is None:
            return 0
        is_shared = self._cover.sum(axis=0) > 1
        return self._most_shared(is_shared, np.ones(len(self.exposures), bool))

    def following(self):
        """Return the indices to take next, several that share a correction; none at the end."""
        is_open = np.array([verdict is None for verdict in self.verdicts])
        if not is_open.any():
            return []
        if self._cover is None:
            number = int(np.argmax(is_open))
        else:
            reached = self._cover[~is_open].any(axis=0)
            number = self._most_shared(reached, is_open)
        return self._with_visit(number, np.flatnonzero(is_open))

    def _most_shared(self, target, candidates):
        """Return the candidate that has most sources within a target area; the first of equals.

        Sources are counted by the depth and the area of each, and no deeper than half of all are.
        """
        area = self._cover.sum(axis=1)
        n_stars = np.array([len(stars(e.sources, 1)) for e in self.exposures])
        density = n_stars / np.maximum(area, 1)
        density = np.minimum(density, np.median(density))
        shared = (self._cover & target).sum(axis=1)
        return int(np.argmax(np.where(candidates, shared * density, -1)))

    def retryable(self):
        """Return the indices of exposures that failed and may be tried again."""
        shared = {self._visit(i) for i, verdict in enumerate(self.verdicts)
                  if self._group and verdict.status is not Status.FAILED} - {""}
        return [i for i, verdict in enumerate(self.verdicts)
                if verdict.status is Status.FAILED and verdict.match
                and i not in self.rejected and self._visit(i) not in shared]

    def failed(self):
        """Yield the indices of exposures to try again, as `following` returns them."""
        failed = self.retryable()
        has_helpers = any(verdict.changes or verdict.status is Status.UNCHANGED
                          for verdict in self.verdicts)
        while failed and has_helpers and not self.stopped:
            members = self._with_visit(failed[0], failed)
            failed = [i for i in failed if i not in members]
            yield members

    def _visit(self, number):
        """Return the visit of an exposure; one without a WCS shares no pointing with others."""
        exposure = self.exposures[number]
        return "" if exposure.lacks_wcs else exposure.metadata.visit

    def _with_visit(self, number, among):
        visit = self._visit(number)
        if not (self._group and visit):
            return [int(number)]
        return [int(i) for i in among if self._visit(i) == visit]


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Exposures that agree with each other.

    Parameters
    ----------
    members : list of int
        Their indices in the queue.
    alignments : list of Alignment
        Of each with the first of them.
    stars : Reference
        What they show together.
    """

    members: list[int]
    alignments: list[Alignment]
    stars: Reference


def _coverage(exposures, plane):
    """Sample on a grid over all footprints which exposure covers what: (N, grid points) bool."""
    footprints = []
    for exposure in exposures:
        borders = [pixel_to_sky(wcs, border(shape)) for wcs, shape in exposure.outlines]
        footprints.append([plane.sky_to_plane(sky) for sky in borders])
    corners = [outline for outlines in footprints for outline in outlines]
    corners = np.concatenate(corners or [np.zeros((1, 2))])
    low = corners.min(axis=0)
    high = corners.max(axis=0)
    sides = [np.linspace(a, b, _GRID_STEPS) for a, b in zip(low, high, strict=True)]
    x, y = np.meshgrid(*sides)
    points = np.column_stack([x.ravel(), y.ravel()])
    cover = np.zeros((len(footprints), len(points)), bool)
    for row, outlines in zip(cover, footprints, strict=True):
        for outline in outlines:
            row |= _inside(points, outline)
    return cover


def _inside(points, outline):
    """Tell which of `points` (N, 2) lie within a polygon (M, 2), by counting crossings."""
    x, y = points.T
    inside = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y0 != y1:
            is_level = (y0 > y) != (y1 > y)
            inside ^= is_level & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


def stars(sources: SourceCatalog, needed: int) -> np.ndarray:
    """Return the indices of the reliable sources, or of all where those are too few."""
    rows = np.flatnonzero((sources.flags & Flag.UNRELIABLE) == 0)
    return rows if len(rows) >= needed else np.arange(len(sources))
