"""Trails across a chip are found in its list of sources, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from imagereg.detection.trails import on_trails

_SHAPE = (1024, 1500)
_CONV_WIDTH = 3.5


def _random_sources(number, seed=1):
    random = np.random.default_rng(seed)
    return random.uniform(1, (_SHAPE[1], _SHAPE[0]), (number, 2))


def _trail(slope, intercept, seed=2):
    """Return sources every three pixels along a line, a few pixels to its sides."""
    random = np.random.default_rng(seed)
    x = np.arange(1, _SHAPE[1], 3.0)
    y = intercept + slope * x + random.normal(0, 3, len(x))
    inside = (y > 0) & (y < _SHAPE[0])
    return np.column_stack([x, y])[inside]


@pytest.mark.parametrize(("slope", "intercept"), [(0.2, 300), (-0.6, 1000), (0.0, 500), (1.0, -200)])
@pytest.mark.parametrize("others", [50, 1500])
def test_trail_is_found_and_its_surroundings_stay(slope, intercept, others):
    trail = _trail(slope, intercept)
    xy = np.concatenate([_random_sources(others), trail])
    found = on_trails(xy, _SHAPE, _CONV_WIDTH)
    assert found[others:].mean() > 0.98
    assert found[:others].mean() < 0.05


def test_steep_trail():
    xy = np.concatenate([_random_sources(500), _trail(0.1, 300)])
    found = on_trails(xy[:, ::-1], _SHAPE[::-1], _CONV_WIDTH)
    assert np.array_equal(found, on_trails(xy, _SHAPE, _CONV_WIDTH))
    assert found.sum() > 450


def test_two_trails():
    trails = np.concatenate([_trail(0.2, 300), _trail(-0.5, 900)])
    found = on_trails(np.concatenate([trails, _random_sources(500)]), _SHAPE, _CONV_WIDTH)
    assert found[: len(trails)].mean() > 0.98


@pytest.mark.parametrize("number", [0, 1, 100, 3000, 50_000])
def test_random_sources_are_no_trail(number):
    assert not on_trails(_random_sources(number), _SHAPE, _CONV_WIDTH).any()


@pytest.mark.parametrize("step", [12, 18, 40])
def test_grid_of_stars_is_no_trail(step):
    x, y = np.meshgrid(np.arange(9, 1000, step), np.arange(9, 1000, step))
    xy = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    assert not on_trails(xy, (1000, 1000), _CONV_WIDTH).any()


def test_cluster_is_no_trail():
    random = np.random.default_rng(3)
    xy = random.normal((750, 512), 60, (5000, 2))
    assert not on_trails(xy, _SHAPE, _CONV_WIDTH).any()
