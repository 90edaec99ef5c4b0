"""The gain that no header tells is that of the noise of stars."""

import dataclasses

import numpy as np
import pytest

from imagereg.detection import EffectivePSF, Stamps
from imagereg.detection.psf.gain import measure_gain

PSF = EffectivePSF.gaussian(2.0, 4)
SKY_NOISE = 6.0  # electrons


def star_stamps(count, *, gain=1.0, photons=True, noise=SKY_NOISE, misfit=0.0, seed=1):
    """Return boxes around stars, in units of `gain` electrons; their PSF differs by a share `misfit` of itself."""
    random = np.random.default_rng(seed)
    flux = 10 ** random.uniform(2.5, 5, count)
    offset = random.uniform(-0.5, 0.5, (count, 2))
    pixel = np.arange(-4, 5.0)
    light = flux[:, None, None] * PSF(pixel - offset[:, :1], pixel - offset[:, 1:])[0].clip(0)
    light = light * random.normal(1, misfit, light.shape)
    electrons = random.poisson(light.clip(0)) if photons else light
    pixels = (electrons + random.normal(0, noise, light.shape)) / gain
    columns = (np.full(count, value) for value in (0.0, noise / gain, np.inf))
    return Stamps(pixels, np.ones(pixels.shape, bool), np.zeros((count, 2), int), *columns)


@pytest.mark.parametrize("gain", [1e-4, 1.0, 3e5])
@pytest.mark.parametrize("misfit", [0.0, 0.02])
def test_photon_noise_tells_the_gain(gain, misfit):
    found = measure_gain(star_stamps(500, gain=gain, misfit=misfit), PSF)
    assert found == pytest.approx(gain, rel=0.15)


def test_cosmic_rays_do_not_matter():
    stamps = star_stamps(500, gain=2.0)
    random = np.random.default_rng(3)
    for box in stamps.pixels[random.integers(0, 500, 50)]:
        box[random.integers(0, 9), random.integers(0, 9)] += 500
    assert measure_gain(stamps, PSF) == pytest.approx(2.0, rel=0.2)


@pytest.mark.parametrize("stamps", [star_stamps(0), star_stamps(3), star_stamps(200, photons=False),
                                    star_stamps(200, photons=False, misfit=0.02)],
                         ids=["none", "few", "no photons", "another PSF"])
def test_gain_is_infinite_where_photons_make_no_noise(stamps):
    assert measure_gain(stamps, PSF) == np.inf


def test_noise_of_the_sky_alone_tells_no_gain():
    exact = dataclasses.replace(PSF, error=1e-4)
    found = [measure_gain(star_stamps(100, photons=False, seed=seed), exact) for seed in range(10)]
    assert found == [np.inf] * 10


def test_image_without_noise():
    assert measure_gain(star_stamps(200, photons=False, noise=0.0), PSF) > 1e12
