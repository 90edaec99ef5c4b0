"""Where the noise of the pixels is known, the threshold and the errors follow it."""

import numpy as np
import pytest
from finders import find_sources, make_kernel

from imagereg.catalogs.sources import Flag
from imagereg.detection.finders.daofind import sky_sigma

SKY, NOISE, FWHM = 100.0, 5.0, 3.5
SHAPE = (60, 120)
XY = np.array([(30.0, 30.0), (90.0, 30.0)])
LOUDER = 3.0  # noise of the right half, in units of that of the left one


def image_of(height):
    """Return an image with a star of some height in each half, and no noise."""
    y, x = np.mgrid[1 : SHAPE[0] + 1, 1 : SHAPE[1] + 1]
    image = np.full(SHAPE, SKY)
    for x0, y0 in XY:
        image += height * np.exp(-4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / FWHM**2)
    return image


@pytest.fixture
def noise_map():
    """Return the noise of each pixel, of which that of the left half is the typical one."""
    return np.where(np.arange(SHAPE[1]) < 60, 1.0, LOUDER) * np.ones(SHAPE)


def found_in(image, **options):
    """Return how many stars are found in the left and in the right half."""
    found = find_sources(image, sky=(SKY, NOISE), threshold=4.0, **options)
    left = int((found.xy[:, 0] < 60).sum())
    return left, len(found) - left


@pytest.mark.parametrize(
    "share, expected",
    [(0.9, (0, 0)), (1.1, (1, 0)), (0.9 * LOUDER, (1, 0)), (1.1 * LOUDER, (1, 1))],
)
def test_threshold_follows_the_noise(noise_map, share, expected):
    limit = 4.0 * 1.5 * NOISE * make_kernel(FWHM).relative_error
    assert found_in(image_of(share * limit), relative_noise=noise_map) == expected
    assert (
        found_in(image_of(share * limit), relative_noise=noise_map, skysigma=1.5 * NOISE)
        == expected
    )
    assert found_in(image_of(share * limit)) == ((1, 1) if share > 1 else (0, 0))


def test_errors_follow_the_noise(noise_map):
    found = find_sources(image_of(150.0), sky=(SKY, NOISE), relative_noise=noise_map, gain=1e9)
    assert len(found) == 2
    order = np.argsort(found.xy[:, 0])
    for errors in (found.xy_error[order, 0], found.flux_error[order]):
        assert errors[1] == pytest.approx(LOUDER * errors[0], rel=1e-4)


def test_scatter_of_the_sky_is_that_of_the_typical_pixel(noise_map):
    image = SKY + np.random.default_rng(1).normal(0, NOISE, SHAPE) * noise_map
    level, sigma = sky_sigma(image, relative_noise=noise_map)
    assert level == pytest.approx(SKY, abs=0.5)
    assert sigma == pytest.approx(NOISE, rel=0.05)


def test_footprint_that_is_cut_is_marked_to_the_last_column():
    """A star whose kernel just fits on the image has no flag; a pixel further out it has."""
    half = make_kernel(FWHM).half[0]
    for axis in (0, 1):
        for side, inwards in ((half + 1, 1), (60 - half, -1)):
            for step, flagged in ((0, False), (-inwards, True)):
                xy = np.full(2, 30.0)
                xy[axis] = side + step
                y, x = np.mgrid[1:61, 1:61]
                image = SKY + 500 * np.exp(
                    -4 * np.log(2) * ((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / FWHM**2
                )
                found = find_sources(image, sky=(SKY, NOISE))
                assert len(found) == 1
                assert bool(found.flags[0]) is flagged, (axis, side, step)


def test_sky_is_clipped_on_both_sides():
    """Deep pixels, as of dead columns, are no sky either."""
    image = SKY + np.random.default_rng(2).normal(0, NOISE, (100, 100))
    image[::10, ::4] = SKY - 40 * NOISE
    level, sigma = sky_sigma(image)
    assert level == pytest.approx(SKY, abs=0.3)
    assert sigma == pytest.approx(NOISE, rel=0.05)


@pytest.mark.parametrize("gain", [4.0, 0.25])
def test_errors_of_bright_stars_go_with_the_root_of_the_gain(gain):
    one, other = (find_sources(image_of(1e5), sky=(SKY, NOISE), gain=g) for g in (1.0, gain))
    np.testing.assert_allclose(other.xy_error, one.xy_error / np.sqrt(gain), rtol=0.02)
    np.testing.assert_allclose(other.flux_error, one.flux_error / np.sqrt(gain), rtol=0.02)


def test_position_that_is_a_first_moment_is_a_pixel_off_by_its_own_account():
    """A bright pixel beside a star draws the marginal fit out of its box."""
    random, found = np.random.default_rng(3), []
    for _ in range(30):
        image = image_of(300.0) + random.normal(0, 3 * NOISE, SHAPE)
        image[29, 32:34] += 4000
        found.append(find_sources(image, sky=(SKY, NOISE), threshold=3.0))
    astray = np.concatenate([f.xy_error[(f.flags & Flag.ASTRAY) != 0, 0] for f in found])
    assert astray.size and (astray >= 1.0).all()
    assert min(f.xy_error.min() for f in found) < 0.2
