"""Sources on trails are left out; stars are not, in rows, grids, crowds and trailed exposures either."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from finders import find_sources, how

from imagereg.detection import measure_chip, trails
from imagereg.detection.sky import PixelsAboveSky, Sky, measure_sky
from imagereg.detection.trails import on_trails

_SHAPE = (600, 800)
_WIDTH = 3.5
_LEVEL, _READ_NOISE = 60.0, 5.0


def _stars(xy, flux, smear=0):
    """Return the light of stars of 2 pixels FWHM, smeared along x."""
    reach = 8 + smear
    light = np.zeros((_SHAPE[0] + 2 * reach, _SHAPE[1] + 2 * reach))
    offset = np.arange(-reach, reach + 1)
    for (x, y), f in zip(xy, flux, strict=True):
        column, row = int(x), int(y)
        along_x = sum(np.exp(-((offset + column - x - shift) ** 2) / 1.44)
                      for shift in range(-smear, smear + 1))
        along_y = np.exp(-((offset + row - y) ** 2) / 1.44)
        box = light[row : row + 2 * reach + 1, column : column + 2 * reach + 1]
        box += f / (2 * smear + 1) / 4.5 * np.outer(along_y, along_x)
    return light[reach:-reach, reach:-reach]


def _field(number, seed=1, smear=0):
    random = np.random.default_rng([number, seed])
    xy = random.uniform(0, _SHAPE[::-1], (number, 2))
    return _stars(xy, 300 * random.uniform(1e-3, 1, number) ** -0.9, smear)


def _trail(peak, sigma=2.0, slope=0.2, start=100.0, bend=0.0, columns=slice(None)):
    y, x = np.indices(_SHAPE)
    ridge = start + slope * x + bend * (x - _SHAPE[1] / 2) ** 2
    light = peak * np.exp(-(((y - ridge) / sigma) ** 2) / 2)
    is_part = np.zeros(_SHAPE[1], bool)
    is_part[columns] = True
    return light * is_part


def _exposed(light, seed=1):
    random = np.random.default_rng(seed)
    return random.poisson(light + _LEVEL) + random.normal(0, _READ_NOISE, light.shape)


def _taken(image, bad=None):
    """Return the sources of an image, FITS pixels, and which of them are on trails."""
    sky = measure_sky(image, bad)
    xy = find_sources(image, conv_width=_WIDTH, threshold=4.0, bad=bad,
                      relative_noise=sky.relative_noise, sky=(sky.level, sky.noise)).xy
    return xy, on_trails(image, xy, sky, width=_WIDTH, bad=bad)


def _light_at(light, xy):
    x, y = np.rint(xy - 1).astype(int).T
    return light[y, x]


@pytest.mark.parametrize("number", [20, 1000])
@pytest.mark.parametrize("options", [
    {}, {"slope": -0.1, "start": 500.0}, {"sigma": 0.8}, {"bend": 1e-4},
    {"columns": slice(200, 600)}, {"peak": 250.0},
], ids=["plain", "falling", "narrow", "bent", "partial", "faint"])  # fmt: skip
def test_sources_of_a_trail_are_found_and_its_surroundings_stay(number, options):
    trail = _trail(**({"peak": 2500.0} | options))
    xy, taken = _taken(_exposed(_field(number) + trail))
    is_piece = _light_at(trail, xy) > 0.3 * trail.max()
    assert is_piece.sum() > 40
    assert taken[is_piece].mean() > 0.98
    assert taken[_light_at(trail, xy) < 1e-6 * trail.max()].mean() < 0.03


def test_lists_have_no_sources_on_trails():
    trail = _trail(2500.0)
    sources, stamps, _ = measure_chip(
        _exposed(_field(200) + trail), how(), bad=None, relative_noise=None,
        excluded=None, gain=1.0, chip=1, where="test",
    )  # fmt: skip
    assert len(sources) == len(stamps) > 100
    assert (_light_at(trail, sources.xy) > 100).sum() <= 2


def test_light_on_one_side_is_no_direction():
    half = np.where(np.arange(_SHAPE[1]) < 400, _trail(2500.0, slope=0.0, start=300.0), 0.0)
    pixels = PixelsAboveSky(half, None, Sky(0.0, 5.0, None, None))
    xy = np.array([[100.0, 301.0], [400.0, 301.0], [600.0, 301.0]])
    direction = trails._directions(pixels, xy, _WIDTH)
    assert abs(direction[0]) < 0.1
    assert np.isnan(direction[1:]).all()


def test_two_trails_that_cross():
    both = [_trail(2500.0), _trail(1000.0, slope=-0.5, start=500.0)]
    xy, taken = _taken(_exposed(_field(200) + sum(both)))
    for trail in both:
        assert taken[_light_at(trail, xy) > 0.3 * trail.max()].mean() > 0.98


def _flipped(image, xy):
    return image[:, ::-1], np.column_stack([image.shape[1] + 1 - xy[:, 0], xy[:, 1]])


def _transposed(image, xy):
    return image.T, xy[:, ::-1]


@pytest.mark.parametrize("change", [_flipped, _transposed])
def test_direction_of_a_trail_does_not_matter(change):
    image = _exposed(_field(200) + _trail(2500.0))
    xy, taken = _taken(image)
    image, xy = change(image, xy)
    assert taken.sum() > 100
    assert (on_trails(image, xy, measure_sky(image), width=_WIDTH) == taken).mean() > 0.99


@pytest.mark.parametrize("number", [0, 1, 20, 300, 3000])
@pytest.mark.parametrize("smear", [0, 6])
def test_stars_are_no_trails(number, smear):
    for seed in range(2):
        _, taken = _taken(_exposed(_field(number, seed, smear)))
        assert not taken.any()


@pytest.mark.parametrize("step", [15, 20, 40])
def test_row_of_stars_is_no_trail(step):
    x = np.arange(10.0, 790, step)
    row = _stars(np.column_stack([x, 200 + 0.1 * x]), np.full(len(x), 5000.0))
    _, taken = _taken(_exposed(_field(100) + row))
    assert not taken.any()


@pytest.mark.parametrize("step", [8, 12, 18, 40])
def test_grid_of_stars_is_no_trail(step):
    x, y = np.meshgrid(np.arange(9.0, 790, step), np.arange(9.0, 590, step))
    xy = np.column_stack([x.ravel(), y.ravel()])
    _, taken = _taken(_exposed(_stars(xy, np.full(len(xy), 3000.0))))
    assert not taken.any()


def test_faint_trail_that_makes_no_sources_takes_no_stars():
    xy, taken = _taken(_exposed(_field(1000) + _trail(40.0, sigma=4.0)))
    assert len(xy) > 500
    assert not taken.any()


def test_bad_pixels_have_no_part():
    bad = _trail(1.0) > 1e-3
    image = _exposed(_field(200) + _trail(2500.0))
    image[bad] = np.nan
    xy, taken = _taken(image, bad)
    assert len(xy) > 100
    assert not taken.any()


def test_unit_of_the_pixels_does_not_matter():
    image = _exposed(_field(100) + _trail(2500.0))
    xy, taken = _taken(image)
    sky = measure_sky(image)
    scaled = dataclasses.replace(sky, level=sky.level * 1e-4, noise=sky.noise * 1e-4)
    if sky.level_map is not None:
        scaled = dataclasses.replace(scaled, level_map=sky.level_map * 1e-4)
    assert taken.sum() > 50
    assert np.array_equal(on_trails(image * 1e-4, xy, scaled, width=_WIDTH), taken)


def test_sky_without_noise_has_no_trails():
    xy = np.random.default_rng(1).uniform(1, 500, (50, 2))
    flat = Sky(0.0, 0.0, None, None)
    assert not on_trails(np.zeros(_SHAPE), xy, flat, width=_WIDTH).any()


def test_arrays_are_not_changed():
    image = _exposed(_field(100) + _trail(2500.0))
    before = image.copy()
    bad = np.zeros(_SHAPE, bool)
    _taken(image, bad)
    assert np.array_equal(image, before)
    assert not bad.any()
