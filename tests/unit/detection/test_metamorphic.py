"""What does not change the sky does not change its sources: units, a constant, flips, a crop."""

from __future__ import annotations

import numpy as np
import pytest
from finders import how
from scipy.spatial import cKDTree

from imagereg.catalogs import Flag
from imagereg.detection import measure_chip, refine_positions
from imagereg.detection.psf.epsf_measure import measure_psf

_SHAPE = (300, 400)


@pytest.fixture(scope="module")
def image():
    """Return lopsided stars, hits of single pixels, and noise, in counts of an unknown gain."""
    random = np.random.default_rng(1)
    y, x = np.indices(_SHAPE)
    expected = np.full(_SHAPE, 40.0)
    for row in range(20, 290, 24):
        for column in range(20, 390, 24):
            dx, dy = x - column - random.uniform(-0.5, 0.5), y - row - random.uniform(-0.5, 0.5)
            flux = 10 ** random.uniform(3.5, 5)
            expected += flux * np.exp(-(dx**2 + dy**2) / 1.7) / 7
            expected += flux * np.exp(-((dx - 1) ** 2 + (dy - 0.5) ** 2) / 3) / 60
    image = random.poisson(expected) + random.normal(0, 5, _SHAPE)
    hits = random.integers(0, image.size, 100)
    image.ravel()[hits] += random.uniform(300, 3000, 100)
    return image


@pytest.fixture(scope="module")
def nebula(image):
    """Return the same stars on a sky that varies from place to place."""
    y, x = np.indices(_SHAPE)
    light = 400 * np.exp(-((x - 250) ** 2 + (y - 120) ** 2) / 2 / 60**2)
    return image + np.random.default_rng(2).poisson(light)


def _sources(image, gain=np.inf, bad=None):
    """Return positions of the sources, and which are unreliable."""
    finding = how(threshold=5.0)
    sources, stamps, _ = measure_chip(image, finding, bad=bad, relative_noise=None, excluded=None,
                                   gain=gain, chip=1, where="test")
    refined = refine_positions(sources, stamps, measure_psf(stamps, finding.conv_width))
    return refined.xy, (refined.flags & Flag.UNRELIABLE) > 0


def _assert_same(found, expected, *, atol):
    """Compare the stars of two lists, in any order."""
    stars = [xy[~poor] for xy, poor in (found, expected)]
    assert len(stars[0]) == len(stars[1]) > 100
    distance, partner = cKDTree(stars[0]).query(stars[1])
    assert len(np.unique(partner)) == len(partner)
    assert distance.max() < atol


@pytest.mark.parametrize("factor", [1e-32, 1e-20, 1e-4, 8.0, 1e4])
def test_unit_of_the_pixels_does_not_matter(image, factor):
    _assert_same(_sources(image * factor), _sources(image), atol=1e-4)


def test_electrons_and_counts_with_a_gain_are_the_same(image):
    _assert_same(_sources(image / 4, gain=4.0), _sources(image, gain=1.0), atol=1e-4)


@pytest.mark.parametrize("factor", [1e-4, 8.0])
def test_unit_does_not_matter_where_the_sky_varies(nebula, factor):
    _assert_same(_sources(nebula * factor), _sources(nebula), atol=1e-4)


def test_constant_does_not_matter_where_the_sky_varies(nebula):
    _assert_same(_sources(nebula + 1000), _sources(nebula), atol=1e-3)


def test_transposed_image_has_transposed_sources_where_the_sky_varies(nebula):
    xy, poor = _sources(nebula.T)
    _assert_same((xy[:, ::-1], poor), _sources(nebula), atol=1e-3)


def test_bad_pixels_are_flipped_with_the_image(image):
    bad = np.random.default_rng(3).random(_SHAPE) < 0.002
    xy, poor = _sources(image[:, ::-1], bad=bad[:, ::-1])
    flipped = np.column_stack([_SHAPE[1] + 1 - xy[:, 0], xy[:, 1]])
    _assert_same((flipped, poor), _sources(image, bad=bad), atol=2e-3)


def test_constant_does_not_matter(image):
    _assert_same(_sources(image + 1000), _sources(image), atol=1e-3)


def test_transposed_image_has_transposed_sources(image):
    xy, poor = _sources(image.T)
    _assert_same((xy[:, ::-1], poor), _sources(image), atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1])
def test_flipped_image_has_flipped_sources(image, axis):
    xy, poor = _sources(np.flip(image, axis))
    along = 1 - axis
    xy = xy.copy()
    xy[:, along] = _SHAPE[axis] + 1 - xy[:, along]
    _assert_same((xy, poor), _sources(image), atol=2e-3)


def test_cropped_image_has_the_same_stars(image):
    xy, poor = _sources(image[104:, 56:])
    whole, whole_poor = _sources(image)
    whole = whole - (56, 104)
    inside = (whole > 10).all(axis=1)
    shared = (xy > 10).all(axis=1)
    _assert_same((xy[shared], poor[shared]), (whole[inside], whole_poor[inside]), atol=0.01)
