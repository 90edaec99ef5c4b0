"""Exposures are taken by what they share with those before, not by how large they are."""

import dataclasses

import numpy as np
from planes import CHIP, EASY, PLANE, exposure_at, noise

from imagereg.alignment.sequence import Chip, Status, align

RULES = dataclasses.replace(
    EASY, expand_refcat=True, enforce_user_order=False, minobj=8, onlybetter=False
)


def window(name, corner, size, seed):
    """Return an exposure of a window on the plane, its pointing a bit off."""
    sky_xy = np.random.default_rng(9).uniform((0, 0), (1500, 800), (700, 2))
    inside = ((sky_xy > corner) & (sky_xy < np.add(corner, size))).all(axis=1)
    wcs = CHIP.wcs.deepcopy()
    origin = PLANE.sky_to_plane(CHIP.wcs.wcs_pix2world([[0, 0]], 1))[0]
    wcs.wcs.crpix = wcs.wcs.crpix - (np.asarray(corner) - origin)
    chip = Chip(1, wcs, (size[1], size[0]))
    xy = sky_xy[inside] + noise((inside.sum(), 2), seed) + (seed % 3 - 1, 0.5)
    return exposure_at(xy, name, chip)


def taken(exposures):
    """Return the names of exposures in the order of their alignment, the reference first."""
    names = []

    def review(alignment):
        names.append(alignment.name)
        return "accept"

    results, _ = align(exposures, PLANE, RULES, review=review)
    assert {result.status for result in results} == {Status.REFERENCE, Status.ALIGNED}, [
        r.reason for r in results
    ]
    return [result.name for result in results if result.status is Status.REFERENCE] + names


def test_overlap_rules_and_not_the_area():
    left = window("left", (0, 0), (500, 500), 1)
    middle = window("middle", (100, 0), (500, 500), 2)
    right = window("right", (250, 0), (500, 500), 3)
    large = window("large", (690, 0), (800, 800), 4)
    # Columns shared with others: 400 of left, 500 of middle, 410 of right, 60 of large.
    assert taken([large, right, left, middle]) == ["middle", "left", "right", "large"]


def test_sources_are_where_the_window_is():
    exposure = window("a", (100, 50), (400, 300), 1)
    assert (exposure.sources.xy > -3).all() and (exposure.sources.xy < (404, 304)).all()
