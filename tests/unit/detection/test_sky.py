"""The sky of a chip: one level where it is flat, maps where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from imagereg.detection.finders.daofind import sky_sigma
from imagereg.detection.sky import measure_sky

_SHAPE = (512, 640)


def _nebula(shape, peak):
    """Return a level that falls from `peak` at the middle, with a sigma of 80 pixels."""
    y, x = np.indices(shape)
    distance = np.hypot(x - shape[1] / 2, y - shape[0] / 2)
    return 100.0 + peak * np.exp(-(distance**2) / (2 * 80**2))


@pytest.fixture(scope="module")
def nebula():
    """Return the level of a sky with a nebula, and an image of it with Poisson noise."""
    level = _nebula(_SHAPE, 10_000.0)
    image = np.random.default_rng(1).poisson(level).astype(np.float32)
    return level, image


@pytest.mark.parametrize("seed", range(5))
def test_flat_sky_has_one_level_and_no_maps(seed):
    random = np.random.default_rng(seed)
    image = random.normal(60, 9, _SHAPE)
    stars = random.integers(0, image.size, 300)
    image.ravel()[stars] += random.uniform(100, 10_000, 300)
    sky = measure_sky(image)
    assert sky.level_map is None
    assert sky.relative_noise is None
    assert (sky.level, sky.noise) == sky_sigma(image)


def test_maps_are_those_of_the_nebula(nebula):
    level, image = nebula
    sky = measure_sky(image)
    noise = sky.noise * sky.relative_noise
    assert np.abs(sky.level_map - level).max() < 0.02 * level.max()
    assert np.median(noise / np.sqrt(level)) == pytest.approx(1, abs=0.05)
    assert np.percentile(noise / np.sqrt(level), [5, 95]) == pytest.approx([1, 1], abs=0.2)


def test_bad_pixels_do_not_matter(nebula):
    _, image = nebula
    bad = np.random.default_rng(2).random(_SHAPE) < 0.02
    good = measure_sky(image, bad)
    spoiled = np.where(bad, np.nan, image)
    assert np.array_equal(measure_sky(spoiled, bad).level_map, good.level_map)
    assert np.array_equal(measure_sky(spoiled).level_map, good.level_map)


def test_known_relative_noise_stays(nebula):
    level, image = nebula
    relative = np.sqrt(level / 100.0)
    sky = measure_sky(image, None, relative)
    assert sky.relative_noise is relative
    assert sky.noise == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("shape", [(3, 3), (40, 700), (64, 64)])
def test_small_images(shape):
    image = np.random.default_rng(3).normal(60, 9, shape)
    assert measure_sky(image).noise == sky_sigma(image)[1]


def test_large_image_is_sampled(nebula):
    level, image = nebula
    large = np.kron(image, np.ones((2, 2), np.float32))
    sky = measure_sky(large)
    assert sky.level_map.shape == large.shape
    expected = np.kron(level, np.ones((2, 2)))
    assert np.abs(sky.level_map - expected).max() < 0.02 * level.max()


def test_values_at_places(nebula):
    _, image = nebula
    sky = measure_sky(image)
    xy = np.array([[1.2, 1.0], [300.0, 200.4], [999.0, 1.0]])
    assert sky.level_at(xy) == pytest.approx(sky.level_map[[0, 199, 0], [0, 299, 639]])
    assert sky.noise_at(xy) == pytest.approx(
        sky.noise * sky.relative_noise[[0, 199, 0], [0, 299, 639]])


def test_image_is_not_changed(nebula):
    _, image = nebula
    before = image.copy()
    measure_sky(image)
    assert np.array_equal(image, before)
