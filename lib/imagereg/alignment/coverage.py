"""Which exposure covers what part of the sky, and in what order to take them."""

from __future__ import annotations

import numpy as np

from imagereg.wcs.plane import border, pixel_to_sky


def coverage(exposures, plane, steps=200):
    """Sample which exposure covers what on a grid over all footprints.

    Parameters
    ----------
    exposures : sequence of Exposure
        With their chips.
    plane : TangentPlane
        On which the grid is.
    steps : int
        Along a side of the grid.

    Returns
    -------
    (N, `steps` squared) ndarray of bool
    """
    outlines = [[plane.sky_to_plane(pixel_to_sky(chip.wcs, border(chip.shape))) for chip in exposure.chips]
                for exposure in exposures]
    corners = np.concatenate([outline for chips in outlines for outline in chips] or [np.zeros((1, 2))])
    low, high = corners.min(axis=0), corners.max(axis=0)
    x, y = np.meshgrid(*(np.linspace(a, b, steps) for a, b in zip(low, high, strict=True)))
    points = np.column_stack([x.ravel(), y.ravel()])
    cover = np.zeros((len(outlines), len(points)), bool)
    for row, chips in zip(cover, outlines, strict=True):
        for outline in chips:
            row |= _inside(points, outline)
    return cover


def _inside(points, outline):
    """Tell which of `points` (N, 2) lie within a polygon (M, 2), by counting crossings."""
    (x, y), inside = points.T, np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


def most_overlap(cover, target, candidates=True):
    """Index of the candidate that covers most of a target area; the first of equals.

    Parameters
    ----------
    cover : (N, K) ndarray of bool
        See `coverage`.
    target : (K,) ndarray of bool
        The area.
    candidates : (N,) ndarray of bool, optional
        Which may be chosen; all where not given.
    """
    shared = np.where(candidates, (cover & target).sum(axis=1), -1)
    return int(np.argmax(shared))


def following(cover, reached):
    """Index of the exposure to take next: in order, or the one that overlaps most with those before.

    Parameters
    ----------
    cover : (N, K) ndarray of bool or None
        See `coverage`; None for the order as it is.
    reached : (N,) ndarray of bool
        Those before.
    """
    if cover is None:
        return int(np.argmin(reached))
    return most_overlap(cover, cover[reached].any(axis=0), ~reached)
