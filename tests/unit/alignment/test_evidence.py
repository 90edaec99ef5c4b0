"""The share that a transform explains of what should match, and what repeats itself."""

import numpy as np
import pytest

from imagereg.alignment.evidence import explained, loneliest_half, repetition, within_hull
from imagereg.alignment.matching.match import PointSet


def field(count, seed=1):
    return np.random.default_rng(seed).uniform(0, 1000, (count, 2))


def pairs(count):
    return np.arange(count), np.arange(count)


def test_all_of_a_deeper_list_is_not_asked_for():
    ref_xy = field(100)
    flux = np.arange(100, 0, -1.0)
    image = PointSet.of(ref_xy[:20], flux=flux[:20])
    found = explained(image, PointSet.of(ref_xy, flux=flux), *pairs(20))
    assert found.share == 1.0


def test_a_minority_that_is_faint_explains_little():
    xy = field(600)
    flux = np.arange(600, 0, -1.0)
    faint = np.arange(540, 600)
    found = explained(PointSet.of(xy, flux=flux), PointSet.of(xy, flux=flux), faint, faint)
    assert found.share == pytest.approx(0.1, abs=0.02)
    assert "sources that should match" in str(found)


def test_the_brightest_tell_where_cosmic_rays_have_no_partners():
    xy = field(600)
    flux = np.arange(600, 0, -1.0)
    found = explained(PointSet.of(xy, flux=flux), PointSet.of(xy, flux=flux), *pairs(30))
    assert (found.n_pairs, found.n_predicted) == (30, 30)


def test_sources_beside_the_common_field_are_not_asked_for():
    near = field(50)
    image = PointSet.of(np.concatenate([near, near + (5000, 0)]))
    reference = PointSet.of(np.concatenate([near, near - (5000, 0)]))
    assert explained(image, reference, *pairs(50)).share > 0.9


@pytest.mark.parametrize("others", [np.zeros((0, 2)), np.array([[1.0, 1.0]]), np.array([[0.0, 0], [2, 2], [5, 5]])])
def test_hull_of_few_points(others):
    inside = within_hull(np.array([[1.0, 1.0], [9.0, 9.0]]), others)
    assert inside.tolist() == [len(others) > 0, False]


def test_a_random_field_does_not_repeat_itself():
    xy = field(300)
    found = repetition(xy, xy, xy, tolerance=1.0)
    assert (found.share, found.covered) == (0.0, 0.0)


def test_ghosts_at_one_distance_are_covered():
    stars = field(40)
    xy = np.concatenate([stars, stars + (31.0, -17.0)])
    found = repetition(xy, xy, xy, tolerance=1.0)
    assert found.share == pytest.approx(0.5, abs=0.05)
    assert np.abs(found.step).round() == pytest.approx([31.0, 17.0], abs=1.5)
    assert found.covered == pytest.approx(1.0, abs=0.05)


def test_the_loneliest_half_has_no_cluster():
    cluster = np.random.default_rng(2).normal(500, 5, (100, 2))
    chosen = loneliest_half(np.concatenate([field(100), cluster]))
    assert len(chosen) == 100 and (chosen < 100).mean() > 0.95
