"""Images without a WCS get one by a pattern, at any scale, rotation and parity; or the reason why not."""

import dataclasses

import numpy as np
import pytest
from planes import PLANE, SHAPE, assert_failed, chip_wcs, exposure_at, fine_grid, noise, rules_with, stars, verdicts

from imagereg.alignment import Chip, Exposure, Metadata
from imagereg.catalogs import SourceCatalog
from imagereg.wcs import Status

SCATTER = 0.02  # pixels of the reference
PATTERNS = rules_with(minobj=10, matching="triangles")
TURNS_AND_SCALES = [(0.0, 1.0), (180.0, 1.0), (37.0, 0.1), (-100.0, 0.5), (80.0, 4.0), (5.0, 15.0)]


def raw_exposure(ref_xy, *, degrees=0.0, scale=1.0, mirrored=False, seed=9, **metadata):
    """Return an exposure without a WCS, and what leads from the plane to its pixels."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0]) / scale

    def to_pixels(plane_xy):
        return (plane_xy - PLANE.centre) @ matrix.T + (70.0, -30.0)

    xy = to_pixels(ref_xy + noise(ref_xy.shape, seed, SCATTER))
    sources = SourceCatalog(xy, flux=np.arange(len(xy), 0, -1.0), xy_error=np.full(xy.shape, SCATTER / scale))
    shape = tuple(int(side / scale) for side in SHAPE)
    return Exposure.measured("raw", [Chip(1, None, shape)], sources, metadata=Metadata(**metadata)), to_pixels


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees, scale", TURNS_AND_SCALES)
def test_wcs_is_the_true_one(degrees, scale, mirrored):
    ref_xy = stars(150)
    raw, to_pixels = raw_exposure(ref_xy, degrees=degrees, scale=scale, mirrored=mirrored)
    result = verdicts([exposure_at(ref_xy, "a"), raw], PLANE, PATTERNS)[1]
    assert result.status is Status.ALIGNED, result.reason
    assert "had no WCS" in result.reason and f"{0.05 * scale:.3g} arcsec" in result.reason
    chip, = result.corrected_chips()
    places = fine_grid(SHAPE)
    found = PLANE.sky_to_plane(chip.wcs.wcs_pix2world(to_pixels(places), 1))
    np.testing.assert_allclose(found, places, atol=5 * SCATTER)
    assert raw.lacks_wcs and np.isnan(raw.sources.sky).all()


def test_image_that_is_just_right_is_written_all_the_same():
    """Its WCS of the pattern needs no change, but stands in no header yet."""
    ref_xy = stars(60)
    raw, _ = raw_exposure(ref_xy)
    rules = dataclasses.replace(PATTERNS, onlybetter=True)
    assert verdicts([exposure_at(ref_xy, "a"), raw], PLANE, rules)[1].changes


@pytest.mark.parametrize("seed", range(5))
def test_another_field_gives_no_wcs(seed):
    raw, _ = raw_exposure(stars(150, seed=100 + seed), scale=0.7)
    result = verdicts([exposure_at(stars(150, seed=seed), "a"), raw], PLANE, PATTERNS)[1]
    assert_failed(result, "no pattern", "scale 0.05 to 20")
    assert result.exposure.lacks_wcs


def test_several_chips_get_none():
    ref_xy = stars(60)
    raw, _ = raw_exposure(ref_xy)
    two = dataclasses.replace(raw, chips=(*raw.chips, Chip(2, chip_wcs(), SHAPE)))
    assert_failed(verdicts([exposure_at(ref_xy, "a"), two], PLANE, PATTERNS)[1], "single chip")


@pytest.mark.parametrize("group", ["none", "visit"])
def test_its_visit_tells_nothing_of_its_pointing(group):
    ref_xy = stars(60)
    visit = Metadata(visit="v1")
    first, second = (dataclasses.replace(exposure_at(ref_xy + shift, name), metadata=visit)
                     for shift, name in ((0.0, "a"), (3.0, "b")))
    raw, _ = raw_exposure(ref_xy, degrees=20.0, visit="v1")
    rules = dataclasses.replace(PATTERNS, group=group, enforce_user_order=False)
    result = verdicts([first, raw, second], PLANE, rules)[1]
    assert result.status is Status.ALIGNED, result.reason
