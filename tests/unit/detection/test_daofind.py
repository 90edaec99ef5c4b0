"""The finder finds stars, and nothing else, whatever the image."""

import tracemalloc

import numpy as np
import pytest
from finders import find_sources, make_kernel

from imagereg.catalogs.sources import Flag
from imagereg.detection.finders import daofind as find
from imagereg.detection.finders.daofind import sky_sigma

SKY, NOISE = 100.0, 5.0
COLUMNS = ("xy", "xy_error", "flux", "flux_error", "ident", "chip", "sharp", "round1", "round2", "flags")


def random_sky(shape, seed=0):
    """Return an image of nothing but sky and its noise."""
    return np.random.default_rng(seed).normal(SKY, NOISE, shape)


def gaussians(shape, xy, height, *, fwhm=3.5, ratio=1.0, theta=0.0):
    """Return an image of Gaussian stars at `xy`, FITS pixels; `fwhm` and `theta` as the kernel has them."""
    y, x = np.mgrid[1:shape[0] + 1, 1:shape[1] + 1]
    image, turn = np.zeros(shape), np.deg2rad(theta)
    for (x0, y0), peak in zip(xy, np.broadcast_to(height, len(xy)), strict=True):
        along = (x - x0) * np.cos(turn) + (y - y0) * np.sin(turn)
        across = (y - y0) * np.cos(turn) - (x - x0) * np.sin(turn)
        image += peak * np.exp(-4 * np.log(2) * (along**2 + (across / ratio) ** 2) / fwhm**2)
    return image


def star_grid(step=20, count=6, seed=1):
    """Return an image of `count` squared stars, their positions and heights."""
    random = np.random.default_rng(seed)
    nodes = np.arange(count) * step + step / 2
    xy = np.array([(x, y) for y in nodes for x in nodes]) + random.uniform(-0.5, 0.5, (count**2, 2))
    height = np.geomspace(100, 5000, len(xy))[random.permutation(len(xy))]
    shape = (count * step, count * step)
    return gaussians(shape, xy, height) + random_sky(shape, seed), xy, height


def assert_same(found, expected, **tolerance):
    """Check that two catalogs are equal, in every column."""
    assert len(found) == len(expected)
    for name in COLUMNS:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), err_msg=name,
                                   **({"rtol": 0} | tolerance))


# What is found


@pytest.mark.parametrize("seed", range(5))
def test_sky_alone(seed):
    assert len(find_sources(random_sky((100, 100), seed))) == 0


@pytest.mark.parametrize("xy", [(30.3, 41.2), (50.0, 50.0), (12.5, 77.5)])
def test_single_star_alone(xy):
    # drizzlepac never finds it
    found = find_sources(random_sky((100, 100)) + gaussians((100, 100), [xy], 500))
    assert len(found) == 1
    np.testing.assert_allclose(found.xy[0], xy, atol=0.1)
    assert found.ident.tolist() == [1]
    assert found.flags.tolist() == [0]


def test_all_stars_in_order_and_with_their_fluxes():
    image, xy, height = star_grid()
    found = find_sources(image, threshold=5, skysigma=NOISE, chip=3)
    order = [np.argmin(np.hypot(*(xy - star).T)) for star in found.xy]
    assert sorted(order) == list(range(36))
    np.testing.assert_allclose(found.xy, xy[order], atol=0.3)
    assert (np.diff(found.xy[:, 1]) > -1.1).all()  # by rows of the central pixels
    # the height is that of a Gaussian at a pixel's centre: up to 12 % less where the star is at the pixel's corner
    flux = height[order] * make_kernel(3.5).volume
    np.testing.assert_allclose(found.flux, 0.95 * flux, rtol=0.07, atol=300)
    assert found.ident.tolist() == list(range(1, 37))
    assert set(found.chip) == {3}
    assert set(found.flags) == {0}


@pytest.mark.parametrize("angle", [0, 30, 45, 90, 143.13])
@pytest.mark.parametrize("width", [2.0, 2.5])
def test_blended_pair_three_pixels_apart(angle, width):
    step = 1.5 * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    pair = [np.array([30.2, 30.4]) - step, np.array([30.2, 30.4]) + step]
    image = random_sky((60, 60)) + gaussians((60, 60), pair, 2000, fwhm=width)
    found = find_sources(image, conv_width=width)
    assert len(found) == 2
    assert all(np.hypot(*(found.xy - star).T).min() < 0.9 for star in pair)


def test_blended_pair_with_default_kernel():
    image = random_sky((60, 60)) + gaussians((60, 60), [(29, 30), (32, 30)], 2000, fwhm=2)
    assert len(find_sources(image)) == 2


@pytest.mark.parametrize("xy", [(30.5, 30.0), (30.0, 30.5), (30.5, 30.5)])
@pytest.mark.parametrize("conv_width", [2.0, 3.5, 5.0])
def test_star_on_the_border_of_equal_pixels_is_one_source(xy, conv_width):
    found = find_sources(gaussians((60, 60), [xy], 2000), skysigma=NOISE, conv_width=conv_width)
    assert len(found) == 1
    np.testing.assert_allclose(found.xy[0], xy, atol=0.15)


@pytest.mark.parametrize("size", [2, 4, 7])
def test_saturated_star(size):
    image = gaussians((60, 60), [(30.0, 30.5)], 1e5)
    full = np.sort(image.ravel())[-size * size]
    image = random_sky((60, 60)) + np.minimum(image, full)
    bad = image > full
    found = find_sources(image, threshold=20)
    assert len(found) >= 1
    assert np.hypot(*(found.xy - (30.0, 30.5)).T).max() < size
    flagged = find_sources(image, bad=bad, threshold=20)
    assert (flagged.flags & Flag.BAD_PIXEL).all()
    assert len(find_sources(image, peakmax=full - 20, threshold=20)) == 0


def test_equal_pixels_beyond_the_kernel_are_sources_of_their_own():
    image = random_sky((60, 60))
    image[[20, 20, 40], [20, 24, 20]] = 1000
    assert len(find_sources(image, threshold=20)) == 3


@pytest.mark.parametrize("xy", [(1.6, 20.2), (59.3, 20.2), (30.3, 1.7), (30.3, 39.4), (2.0, 1.8), (59.0, 39.2)])
def test_stars_on_the_edge(xy):
    found = find_sources(random_sky((40, 60)) + gaussians((40, 60), [xy], 1000))
    assert len(found) == 1
    assert np.hypot(*(found.xy[0] - xy)) < 0.8


@pytest.mark.parametrize("xy", [(1.6, 20.2), (59.3, 20.2), (30.3, 2.1), (30.3, 39.4)])
def test_stars_on_the_edge_are_marked_or_have_honest_errors(xy):
    # Beyond the edge the image is continued, which pushes the centroid outward by some tenths of a pixel.
    found = find_sources(random_sky((40, 60)) + gaussians((40, 60), [xy], 1000))
    assert found.flags[0] or (np.abs(found.xy[0] - xy) < 5 * found.xy_error[0]).all()


def test_no_source_is_off_the_image():
    random = np.random.default_rng(3)
    xy = random.uniform(-2, 63, (60, 2))
    found = find_sources(random_sky((60, 60)) + gaussians((60, 60), xy, 1000), skysigma=NOISE, threshold=2)
    assert len(found) > 20
    assert (found.xy >= 0.5).all()
    assert (found.xy <= 60.5).all()


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0, 1e6, np.float32(0.1)])
def test_constant_image(value):
    assert len(find_sources(np.full((50, 60), value))) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_pixel_is_finite(value):
    assert len(find_sources(np.full((50, 60), value, np.float32))) == 0


def test_all_pixels_bad():
    image, _, _ = star_grid(count=2)
    assert len(find_sources(image, bad=np.ones(image.shape, bool))) == 0


@pytest.mark.parametrize("shape", [(0, 0), (0, 9), (9, 0), (1, 1), (1, 9), (9, 1), (2, 2), (3, 3), (4, 60), (60, 4)])
def test_image_smaller_than_the_kernel(shape):
    found = find_sources(random_sky(shape), conv_width=8)
    assert len(found) <= 1


def test_noiseless_star():
    found = find_sources(SKY + gaussians((60, 60), [(30.3, 29.6)], 2000))
    assert np.hypot(*(found.xy - (30.3, 29.6)).T).min() < 0.03


@pytest.mark.parametrize("limits", [{"threshold": 0.0}, {"skysigma": 0.0}, {"threshold": 0.0, "skysigma": 0.0}],
                         ids=str)
def test_no_threshold(limits):
    image = random_sky((60, 60)) + gaussians((60, 60), [(30.3, 29.6)], 2000)
    image[:20] = SKY  # here heights are zero, or as near to it as rounding lets them
    found = find_sources(image, **limits)
    assert len(found) > 10
    for name in COLUMNS:
        assert np.isfinite(getattr(found, name)).all(), name


# Bad pixels


@pytest.fixture
def flawed():
    """Return stars, and a mask of the bad pixels among them: single ones, columns, a patch, an edge."""
    image, xy, _ = star_grid(seed=2)
    bad = np.random.default_rng(5).uniform(size=image.shape) < 0.01
    bad[:, [30, 55]] = bad[40:50, 70:82] = bad[-1] = True
    return image, bad, xy


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 65535.0, -1e10, 1.6e38])
def test_value_of_a_bad_pixel_does_not_matter(flawed, value):
    image, bad, _ = flawed
    other = np.where(bad, value, image)
    assert_same(find_sources(other, bad=bad), find_sources(image, bad=bad))


def test_not_finite_pixels_are_bad_pixels(flawed):
    image, bad, _ = flawed
    assert_same(find_sources(np.where(bad, np.nan, image)), find_sources(image, bad=bad))


def test_stars_are_found_among_bad_pixels(flawed):
    image, bad, xy = flawed
    found = find_sources(image, bad=bad, skysigma=NOISE)
    stars = [star for star in np.rint(xy).astype(int)
             if not bad[max(star[1] - 6, 0):star[1] + 5, max(star[0] - 6, 0):star[0] + 5].any()]
    assert len(stars) > 5
    for star in stars:
        nearest = np.argmin(np.hypot(*(found.xy - star).T))
        assert np.hypot(*(found.xy[nearest] - star)) < 1
        assert found.flags[nearest] == 0


@pytest.mark.parametrize("value", [1e4, np.nan])
def test_no_source_on_a_bad_pixel(value):
    image, bad = random_sky((60, 60)), np.zeros((60, 60), bool)
    image[30, 20], bad[30, 20] = value, True
    assert len(find_sources(image, bad=bad)) == 0


def test_star_whose_centre_is_bad():
    image, bad = random_sky((60, 60)) + gaussians((60, 60), [(31, 21)], 1000), np.zeros((60, 60), bool)
    bad[20, 30] = True
    assert len(find_sources(image, bad=bad)) == 0
    assert len(find_sources(image)) == 1


@pytest.mark.parametrize(("step", "flagged"), [((0, 1), True), ((1, 0), True), ((-2, 0), True), ((0, -2), True),
                                               ((2, 2), False), ((0, 3), False), ((-3, 0), False), ((5, 5), False)])
def test_flag_of_a_star_with_a_bad_pixel_in_its_footprint(step, flagged):
    # The footprint of the default kernel is a circle of 2.2 pixels.
    image, bad = random_sky((60, 60)) + gaussians((60, 60), [(31, 21)], 1000), np.zeros((60, 60), bool)
    bad[20 + step[1], 30 + step[0]] = True
    found = find_sources(image, bad=bad)
    assert len(found) == 1
    assert bool(found.flags[0] & Flag.BAD_PIXEL) is flagged


def test_patch_of_nan_makes_no_source():
    image = random_sky((80, 80)) + np.linspace(0, 300, 80)  # on a slope a patch filled with the mean has an edge
    image[20:50, 10:40] = np.nan
    found = find_sources(image)
    at_patch = (np.abs(found.xy - (25.5, 35.5)) < 17).all(axis=1)
    assert not at_patch.any()


@pytest.mark.parametrize("value", [1.6e38, -3.4e38, 1e300, -1e300])
def test_absurd_pixel_hides_no_star(value):
    image = random_sky((60, 60)) + gaussians((60, 60), [(40.3, 29.6)], 2000)
    image[10, 10] = value
    found = find_sources(image)
    assert np.hypot(*(found.xy - (40.3, 29.6)).T).min() < 0.05


@pytest.mark.parametrize("kind", [np.uint8, np.int16, int, bool, list])
def test_kinds_of_masks(flawed, kind):
    image, bad, _ = flawed
    given = bad.tolist() if kind is list else bad.astype(kind)
    assert_same(find_sources(image, bad=given), find_sources(image, bad=bad))


# Kinds of images


@pytest.mark.parametrize("kind", [">f4", "<f4", ">f8", ">i2", "<i2", "u2", ">i4", "i8", "f2"])
def test_kinds_of_pixels(kind):
    image = np.rint(star_grid()[0] / 10)
    assert_same(find_sources(image.astype(kind)), find_sources(image))


def test_layouts_of_images():
    image, _, _ = star_grid()
    expected = find_sources(image)
    assert_same(find_sources(np.asfortranarray(image)), expected)
    assert_same(find_sources(image.tolist()), expected)
    wide = np.zeros((image.shape[0] * 2, image.shape[1] * 3))
    wide[::2, ::3] = image
    assert_same(find_sources(wide[::2, ::3]), expected)


def test_input_is_not_changed(flawed):
    image, bad, _ = flawed
    image[3, 3] = np.nan
    before = image.copy(), bad.copy()
    find_sources(image, bad=bad)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(bad, before[1])
    image.flags.writeable = bad.flags.writeable = False
    find_sources(image, bad=bad)


@pytest.mark.parametrize("rows", [1, 17, 37, 119])
@pytest.mark.parametrize("share", [0, 0.03], ids=["all good", "some bad"])
@pytest.mark.parametrize("options", [{}, {"conv_width": 9.0}, {"conv_width": 16.0, "ratio": 0.4, "theta": 70.0}],
                         ids=str)
def test_bands_do_not_show(monkeypatch, rows, share, options):
    random = np.random.default_rng(8)
    image = random_sky((120, 120)) + gaussians((120, 120), random.uniform(0, 120, (300, 2)), 500)
    bad = random.uniform(size=image.shape) < share
    options = {"bad": bad, "skysigma": NOISE, "threshold": 2.0, **options}
    whole = find_sources(image, **options)
    monkeypatch.setattr(find, "_BAND_PIXELS", rows * 120)
    assert_same(find_sources(image, **options), whole, atol=1e-8)


@pytest.mark.parametrize(("flaw", "share"), [("none", 0), ("dark half", 0), ("sprinkled", 0.03)])
def test_memory(flaw, share):
    image = np.random.default_rng(1).normal(SKY, NOISE, (2048, 4096)).astype(np.float32)
    image[::50, ::50] += 1000
    bad = np.random.default_rng(2).uniform(size=image.shape) < share
    if flaw == "dark half":
        image[:1024] = np.nan
    tracemalloc.start()
    try:
        found = find_sources(image, bad=bad)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) > 1500
    assert peak + image.nbytes < 6 * image.nbytes


# Limits


@pytest.mark.parametrize("column", ["sharp", "round", "flux"])
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_limits_cut_the_list(column, share):
    image, _, _ = star_grid()
    found = find_sources(image, threshold=1)
    values = [found.round1, found.round2] if column == "round" else [getattr(found, column)]
    low, high = np.quantile(values, [share / 2, 1 - share / 2])
    kept = np.all([(v >= low) & (v <= high) for v in values], axis=0)
    names = ("fluxmin", "fluxmax") if column == "flux" else (column + "lo", column + "hi")
    cut = find_sources(image, threshold=1, **dict(zip(names, (low, high), strict=True)))
    assert 0 < len(cut) < len(found)
    np.testing.assert_array_equal(cut.xy, found.xy[kept])
    assert cut.ident.tolist() == list(range(1, len(cut) + 1))
    only_low = find_sources(image, threshold=1, **{names[0]: low})
    np.testing.assert_array_equal(only_low.xy, found.xy[np.all([v >= low for v in values], axis=0)])


def test_limits_include_their_values():
    found = find_sources(star_grid()[0])
    flux = np.sort(found.flux)[[3, 10]]
    assert len(find_sources(star_grid()[0], fluxmin=flux[0], fluxmax=flux[1])) == 8


def test_limits_of_the_peak():
    xy, height = [(20, 20), (40, 20), (20, 40), (40, 40)], [200, 400, 800, 1600]
    image = random_sky((60, 60)) + gaussians((60, 60), xy, height)
    for low, high, expected in ((None, 950, 3), (450, None, 3), (450, 950, 2), (300.0, 300.0, 0)):
        assert len(find_sources(image, skysigma=NOISE, peakmin=low, peakmax=high)) == expected
    peak = np.float32(image[19, 19])
    assert len(find_sources(image, skysigma=NOISE, peakmin=peak, peakmax=peak)) == 1


def test_threshold_is_in_units_of_the_sky_and_of_the_kernel():
    image = random_sky((60, 60)) + gaussians((60, 60), [(30, 30)], 1000)
    height = find_sources(image).flux[0] / make_kernel(3.5).volume
    for noise in (2.0, 7.0):
        limit = height / (make_kernel(3.5).relative_error * noise)
        assert len(find_sources(image, threshold=0.999 * limit, skysigma=noise)) == 1
        assert len(find_sources(image, threshold=1.001 * limit, skysigma=noise)) == 0


def test_measured_sky_counts_half_as_much_again():
    image, _, _ = star_grid()
    given = find_sources(image, skysigma=1.5 * sky_sigma(image)[1], threshold=7)
    np.testing.assert_array_equal(find_sources(image, sky=sky_sigma(image), threshold=7).xy, given.xy)
    twice = sky_sigma(image)[0], 2 * sky_sigma(image)[1]
    np.testing.assert_array_equal(find_sources(image, sky=twice, threshold=3.5).xy, given.xy)
    np.testing.assert_array_equal(find_sources(image, threshold=7).xy, given.xy)


def test_shapes_tell_stars_from_other_things():
    places = (20, 20), (60, 20), (20, 60), (60, 60)
    image = random_sky((80, 80)) + gaussians((80, 80), places[:1], 2000)
    image[19, 59] += 2000
    image += gaussians((80, 80), places[2:3], 2000, fwhm=14) + gaussians((80, 80), places[3:], 2000, fwhm=6, ratio=0.3)
    found = find_sources(image, threshold=15, skysigma=NOISE)
    star, pixel, blob, streak = (found[[np.argmin(np.hypot(*(found.xy - xy).T))]] for xy in places)
    assert len(found) == 4
    assert blob.sharp[0] < 0.35 < star.sharp[0] < 0.9 < pixel.sharp[0]
    assert abs(star.round1[0]) < 0.1
    assert abs(star.round2[0]) < 0.1
    assert streak.round2[0] < -0.4  # long in x: less height in the marginal over x
    assert abs(streak.round1[0]) > 0.3


# The kernel


KERNELS = [make_kernel(3.5), make_kernel(2.0), make_kernel(0.9), make_kernel(2.5, nsigma=3),
           make_kernel(4, ratio=0.5, theta=30), make_kernel(5, nsigma=2, ratio=0.3, theta=135),
           make_kernel(6, nsigma=1, ratio=0.6, theta=90), make_kernel(4, ratio=0.05, theta=45)]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_kernel_has_zero_sum_and_measures_heights(kernel):
    assert abs(kernel.weights.sum()) < 1e-12
    assert (kernel.weights * (7 * kernel.gauss + 3)).sum() == pytest.approx(7)
    assert (kernel.weights[~kernel.inside] == 0).all()
    hx, hy = kernel.half
    assert kernel.weights.shape == (2 * hy + 1, 2 * hx + 1)
    assert kernel.gauss[hy, hx] == 1


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_kernel_error_is_that_of_a_height(kernel):
    noise = np.random.default_rng(1).normal(0, 2, (4000, *kernel.weights.shape))
    scatter = (noise * kernel.weights).sum(axis=(1, 2)).std()
    assert scatter == pytest.approx(2 * kernel.relative_error, rel=0.05)


def test_kernel_agrees_with_iraf():
    # IRAF 2.17 daofind prints, for fwhmpsf=2.5 ratio=1 theta=0 nsigma=1.5: relerr: 1.140
    assert make_kernel(2.5).relative_error == pytest.approx(1.140, abs=5e-4)


@pytest.mark.parametrize("theta", [0, 30, 60, 90, 120, 150, 180])
def test_kernel_angle_runs_from_x_to_y(theta):
    kernel = make_kernel(5, nsigma=2, ratio=0.4, theta=theta)
    hx, hy = kernel.half
    y, x = np.mgrid[-hy:hy + 1, -hx:hx + 1]
    along = x * np.cos(np.deg2rad(theta)) + y * np.sin(np.deg2rad(theta))
    across = y * np.cos(np.deg2rad(theta)) - x * np.sin(np.deg2rad(theta))
    sigma = 0.42467 * 5
    np.testing.assert_allclose(kernel.gauss, np.exp(-(along**2 + (across / 0.4) ** 2) / (2 * sigma**2)))


@pytest.mark.parametrize("theta", [0, 30, 90, 120])
def test_elongated_stars_stand_out_in_their_own_kernel(theta):
    image = random_sky((60, 60)) + gaussians((60, 60), [(30.2, 29.7)], 500, fwhm=5, ratio=0.4, theta=theta)
    own = find_sources(image, conv_width=5, ratio=0.4, theta=theta, nsigma=2, threshold=8)
    other = find_sources(image, conv_width=5, ratio=0.4, theta=theta + 90, nsigma=2, threshold=8)
    assert len(own) == 1
    # IRAF's centroid does not know of theta, and ours follows it: only along the axes of the image is it good.
    np.testing.assert_allclose(own.xy[0], (30.2, 29.7), atol=0.2 if theta == 0 else 1.5)
    assert own.flux[0] == pytest.approx(500 * make_kernel(5, ratio=0.4).volume, rel=0.15)
    assert not len(other) or other.flux.max() < 0.8 * own.flux[0]


@pytest.mark.parametrize("options", [{"conv_width": 0.1}, {"conv_width": 90.0}, {"nsigma": 0.1}, {"nsigma": 40.0},
                                     {"ratio": 0.01}, {"ratio": 0.01, "theta": 45.0}, {"ratio": 0.01, "theta": 90.0}],
                         ids=str)
def test_extreme_kernels(options):
    image = random_sky((60, 60)) + gaussians((60, 60), [(30.3, 29.6)], 5000)
    found = find_sources(image, skysigma=NOISE, **options)
    assert len(found) > 0
    assert np.abs(found[found.flux.argmax()].xy - (30.3, 29.6)).max() < 2


# Errors


@pytest.mark.parametrize("gain", [1.0, 4.0])
@pytest.mark.parametrize("height", [60.0, 100.0, 200.0])
def test_errors_are_honest(gain, height):
    random = np.random.default_rng(7)
    nodes = np.arange(20) * 16 + 8.0
    xy = np.array([(x, y) for y in nodes for x in nodes]) + random.uniform(-0.5, 0.5, (400, 2))
    electrons = gain * (SKY + gaussians((320, 320), xy, height))
    image = (random.poisson(electrons) + random.normal(0, NOISE, electrons.shape)) / gain
    found = find_sources(image, gain=gain, threshold=1.5)
    nearest = [np.argmin(np.hypot(*(found.xy - star).T)) for star in xy]
    pull = (found.xy[nearest] - xy) / found.xy_error[nearest]
    assert np.abs(np.median(pull, axis=0)).max() < 0.3
    assert 0.8 < 1.4826 * np.median(np.abs(pull)) < 1.25


def test_astray_positions_are_marked_and_poor():
    # Close blends make the marginal fit point out of the box.
    random = np.random.default_rng(4)
    image = random_sky((200, 200)) + gaussians((200, 200), random.uniform(0, 200, (1500, 2)), 300, fwhm=2)
    found = find_sources(image, conv_width=2, threshold=1)
    astray = (found.flags & Flag.ASTRAY) != 0
    assert 0 < astray.sum() < len(found) / 2
    assert found.xy_error[astray].min() >= 1


# The sky


def test_sky_of_noise_with_stars():
    image = random_sky((400, 400))
    image[::10, ::10] += 1000
    level, sigma = sky_sigma(image)
    assert level == pytest.approx(SKY, abs=0.1)
    assert sigma == pytest.approx(NOISE, rel=0.02)


def test_sky_without_clipping_is_mean_and_deviation():
    image = star_grid()[0]
    assert sky_sigma(image, rounds=0) == pytest.approx((image.mean(), image.std()))


def test_sky_without_bad_and_not_finite_pixels():
    image, bad = random_sky((100, 100)), np.zeros((100, 100), bool)
    expected = sky_sigma(image[:50])
    image[50:75], image[75:80], image[80:], bad[80:] = np.nan, np.inf, 1e4, True
    assert sky_sigma(image, bad) == pytest.approx(expected)


@pytest.mark.parametrize("image", [np.empty((0, 0)), np.full((5, 5), np.nan)], ids=["empty", "nan"])
def test_no_sky(image):
    assert np.isnan(sky_sigma(image)).all()


def test_sky_of_a_large_image_is_sampled():
    columns = np.tile(np.arange(2048) % 8, (2048, 1)).astype(np.float32)  # no column may be favoured
    assert sky_sigma(columns, rounds=0) == pytest.approx((3.5, columns.std()), rel=1e-3)


def test_sky_of_constant_pixels():
    assert sky_sigma(np.full((9, 9), 4)) == (4.0, 0.0)
