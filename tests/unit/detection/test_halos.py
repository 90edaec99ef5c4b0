"""Sources made of the light of a bright star are known by it; stars beside it are not."""

from __future__ import annotations

import numpy as np
import pytest
from finders import find_sources

from imagereg.detection.halos import find_hosts
from imagereg.detection.sky import Sky, measure_sky

_SHAPE = (400, 400)
_WIDTH = 3.5
_STAR = np.array([200.0, 180.0])  # FITS pixels
_FULL_WELL = 60000.0


def _distances(xy=_STAR):
    y, x = np.indices(_SHAPE) + 1.0
    return x - xy[0], y - xy[1]


def _star(xy, flux):
    x, y = _distances(xy)
    return flux / 4.5 * np.exp(-(x**2 + y**2) / 1.44)


def _bright_star(flux=3e7):
    """Return a star with a halo, four spikes, and charge that runs along its column."""
    x, y = _distances()
    halo = 0.05 * flux / (25 + x**2 + y**2) ** 1.5
    spikes = sum(3e-4 * flux * np.exp(-(across**2) / 2) / (20 + along**2) ** 0.5
                 for across, along in ((x, y), (y, x)))
    light = np.minimum(_star(_STAR, flux) + halo + spikes, _FULL_WELL)
    light[(np.abs(x) < 1.5) & (np.abs(y) < 60)] = _FULL_WELL
    return light


def _exposed(light, seed=1):
    random = np.random.default_rng(seed)
    return random.poisson(light + 60.0) + random.normal(0, 5.0, light.shape)


def _found(light):
    """Return the sources of an image, FITS pixels, and the stars that explain them."""
    image = _exposed(light)
    sky = measure_sky(image)
    xy = find_sources(image, conv_width=_WIDTH, threshold=4.0, relative_noise=sky.relative_noise,
                      sky=(sky.level, sky.noise)).xy
    return xy, find_hosts(image, xy, sky, width=_WIDTH)


def _crowd(number, brightest, seed=3):
    random = np.random.default_rng(seed)
    xy = random.uniform(1, 400, (number, 2))
    flux = np.minimum(300 * random.uniform(1e-4, 1, number) ** -0.9, brightest)
    return sum(_star(*star) for star in zip(xy, flux, strict=True))


def test_halo_spikes_and_bleeding_are_of_the_star():
    xy, hosts = _found(_bright_star())
    apart = np.hypot(*(xy - _STAR).T)
    is_of_star = (apart > 4) & (apart < 100)
    assert is_of_star.sum() > 20
    assert (hosts.light[is_of_star] > 0).mean() > 0.95
    np.testing.assert_allclose(np.unique(hosts.xy[hosts.light > 0], axis=0), [_STAR], atol=2)


@pytest.mark.parametrize("place", [(230, 210), (165, 150), (220, 150), (200, 290)])
def test_star_that_stands_out_is_another(place):
    xy, hosts = _found(_bright_star() + _star(np.array(place, float), 50000.0))
    nearest = np.hypot(*(xy - place).T).argmin()
    assert np.hypot(*(xy[nearest] - place)) < 1
    assert hosts.light[nearest] == 0


@pytest.mark.parametrize("number", [300, 3000])
def test_crowd_of_stars_is_no_halo(number):
    xy, hosts = _found(_crowd(number, 4e5))
    assert len(xy) > 100
    assert not hosts.light.any()


def test_cosmic_rays_have_no_halo():
    light = np.zeros(_SHAPE)
    for row in range(50, 350, 50):
        light[row, 100:130] = 5000.0
    xy, hosts = _found(light)
    assert len(xy) > 5
    assert not hosts.light.any()


@pytest.mark.parametrize("noise", [0.0, 5.0])
def test_nothing_is_explained_where_nothing_is_bright(noise):
    xy = np.array([[10.0, 10.0], [50.0, 50.0]])
    assert not find_hosts(np.zeros(_SHAPE), xy, Sky(0.0, noise, None, None), width=_WIDTH).light.any()
