"""The share that a transform explains of what should match, and what repeats itself."""

import dataclasses

import numpy as np
import pytest

from imagereg.alignment.evidence import Lines, explained, loneliest_half, repetition, within_hull
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


def along_lines(random, n_lines, n_along):
    """Return positions along as many parallel lines, in order, and the direction of these."""
    across = np.repeat(random.uniform(0, 2000, n_lines), n_along) + random.normal(0, 0.1, n_lines * n_along)
    along = random.uniform(0, 2000, n_lines * n_along)
    turn = np.deg2rad(random.uniform(0, 180))
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.column_stack([across, along]) @ axes, axes[1]


@pytest.mark.parametrize("n_lines, n_along", [(1, 5), (2, 3), (3, 10)])
def test_what_lies_along_parallel_lines_counts_by_line(n_lines, n_along):
    xy, _ = along_lines(np.random.default_rng(4), n_lines, n_along)
    found = Lines.among(xy, 1.0)
    assert (found.n_along, found.n_extra) == (len(xy), len(xy) - n_lines - 1)


@pytest.mark.parametrize("extent", [(2000, 2000), (2000, 60), (20, 20)])
@pytest.mark.parametrize("number", [2, 5, 15, 50, 300])
def test_fields_strips_and_crowds_are_no_lines(extent, number):
    draws = [np.random.default_rng(seed).uniform(0, 1, (number, 2)) * extent for seed in range(20)]
    assert sum(Lines.among(xy, 1.0).share > 0 for xy in draws) <= 1


def test_odds_along_lines_are_those_of_one_dimension():
    # Sources that both lists have tell something; sources at chance along the same lines do not.
    random = np.random.default_rng(0)
    image, direction = along_lines(random, 2, 60)
    ref = image + random.uniform(-500, 500, (len(image), 1)) * direction
    n_met = int((np.hypot(*(image[:, None] - ref).T).min(axis=0) < 1).sum())
    assert n_met > 3
    lines = Lines(n_along=n_met, n_extra=n_met - 3, n_matches=len(image), ends=(0, 1))
    assert lines.log10_chance(image, image, ref, 1.0) > -2
    same = dataclasses.replace(lines, n_along=len(image))
    assert same.log10_chance(image, image, image, 1.0) < -60


def test_the_loneliest_half_has_no_cluster():
    cluster = np.random.default_rng(2).normal(500, 5, (100, 2))
    chosen = loneliest_half(np.concatenate([field(100), cluster]))
    assert len(chosen) == 100 and (chosen < 100).mean() > 0.95
