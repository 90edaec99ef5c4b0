"""Finding follows the image: turned, mirrored, moved, or in other units, it has the same sources."""

import numpy as np
from finders import find_sources, make_kernel
from hypothesis import assume, given
from hypothesis import strategies as st

from imagereg.catalogs.sources import Flag

SIZE = (70, 90)
STEADY = ("flux", "flux_error", "sharp")
seeds = st.integers(0, 10**6)
kernels = st.fixed_dictionaries({"conv_width": st.floats(1.2, 8), "nsigma": st.floats(0.8, 2.5)})


def starry(seed, size=SIZE, flawed=False):
    """Return an image of random stars, some of them close pairs, and a mask of bad pixels."""
    random = np.random.default_rng(seed)
    image = random.normal(100, 5, size)
    y, x = np.mgrid[:size[0], :size[1]]
    for _ in range(25):
        x0, y0, width = random.uniform(-1, size[1]), random.uniform(-1, size[0]), random.uniform(0.8, 2)
        image += 10 ** random.uniform(2, 4) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * width**2))
    return image, (random.uniform(size=size) < 0.01) & flawed


def find(image, bad, **options):
    """Find with a threshold that does not depend on the image."""
    return find_sources(image, bad=bad, **{"skysigma": 5.0, "threshold": 4.0, **options})


def steady(catalog, xy=None):
    """Return a catalog without its astray sources: IRAF's fallback, followed there, moves some the wrong way."""
    catalog = catalog if xy is None else catalog.replace(xy=xy)
    return catalog[(catalog.flags & Flag.ASTRAY) == 0]


def assert_same(found, expected, *, sign=1):
    """Check that two lists agree but for order, and for the sign of the roundness."""
    assume(len(expected))
    assert len(found) == len(expected)
    found, expected = (c[np.lexsort(np.round(c.xy, 5).T)] for c in (found, expected))
    np.testing.assert_allclose(found.xy, expected.xy, atol=1e-6)
    np.testing.assert_allclose(found.round2, sign * expected.round2, atol=1e-6)
    np.testing.assert_array_equal(found.flags, expected.flags)
    for name in ("flux", "flux_error", "sharp"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-4, err_msg=name)


@given(seed=seeds, kernel=kernels, flawed=st.booleans(), ratio=st.floats(0.3, 1), upright=st.booleans())
def test_mirrored_image(seed, kernel, flawed, ratio, upright):
    image, bad = starry(seed, flawed=flawed)
    options = {"ratio": ratio, "theta": 90.0 * upright, **kernel}
    expected, middle = find(image, bad, **options), (np.array(SIZE[::-1]) + 1) / 2
    upside_down = find(image[::-1], bad[::-1], **options)
    assert_same(steady(upside_down), steady(expected, middle + (expected.xy - middle) * (1, -1)))
    left_right = find(image[:, ::-1], bad[:, ::-1], **options)
    assert_same(steady(left_right), steady(expected, middle + (expected.xy - middle) * (-1, 1)))


@given(seed=seeds, kernel=kernels, flawed=st.booleans())
def test_transposed_image(seed, kernel, flawed):
    image, bad = starry(seed, flawed=flawed)
    expected = find(image, bad, **kernel)
    assert_same(steady(find(image.T, bad.T, **kernel)), steady(expected, expected.xy[:, ::-1]), sign=-1)


@given(seed=seeds, kernel=kernels, flawed=st.booleans())
def test_image_turned_by_a_right_angle(seed, kernel, flawed):
    image, bad = starry(seed, flawed=flawed)
    expected = find(image, bad, **kernel)
    xy = np.column_stack([expected.xy[:, 1], SIZE[1] + 1 - expected.xy[:, 0]])
    assert_same(steady(find(np.rot90(image), np.rot90(bad), **kernel)), steady(expected, xy), sign=-1)


@given(seed=seeds, kernel=kernels, dx=st.integers(0, 20), dy=st.integers(0, 20))
def test_moved_window(seed, kernel, dx, dy):
    image, _ = starry(seed, size=(110, 110))
    margin = 3 * max(make_kernel(kernel["conv_width"], nsigma=kernel["nsigma"]).half) + 2
    low, high = np.add((dx, dy), margin), np.add((dx, dy), SIZE[::-1]) - margin
    whole = find(image, None, **kernel)
    part = find(image[dy:dy + SIZE[0], dx:dx + SIZE[1]], None, **kernel)
    part = part.replace(xy=part.xy + (dx, dy))
    inner = [catalog[((catalog.xy > low) & (catalog.xy < high)).all(axis=1)] for catalog in (part, whole)]
    assert_same(*map(steady, inner))


@given(seed=seeds, level=st.floats(-1000, 1000), kernel=kernels)
def test_level_of_the_sky_does_not_matter(seed, level, kernel):
    image, bad = starry(seed)
    found, expected = (steady(find(sky, bad, **kernel)) for sky in (image + level, image))
    assume(len(expected))
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.xy, expected.xy, atol=5e-3)
    np.testing.assert_allclose(found.flux, expected.flux, rtol=1e-3)
    np.testing.assert_array_equal(found.flags, expected.flags)


@given(seed=seeds, factor=st.sampled_from([1e-4, 0.03, 2.0, 1024.0, 3e5]), kernel=kernels)
def test_units_do_not_matter(seed, factor, kernel):
    image, bad = starry(seed, flawed=True)
    expected = steady(find_sources(image, bad=bad, **kernel))
    found = steady(find_sources(image * factor, bad=bad, gain=1 / factor, **kernel))
    assume(len(expected))
    assert len(found) == len(expected)
    np.testing.assert_array_equal(found.flags, expected.flags)
    np.testing.assert_allclose(found.xy, expected.xy, atol=1e-3)
    np.testing.assert_allclose(found.xy_error, expected.xy_error, rtol=1e-3)
    np.testing.assert_allclose(found.flux, expected.flux * factor, rtol=1e-4)
    np.testing.assert_allclose(found.flux_error, expected.flux_error * factor, rtol=1e-3)
    np.testing.assert_allclose(found.round1, expected.round1, atol=1e-3)


@given(seed=seeds, low=st.floats(2, 6), high=st.floats(6, 60), kernel=kernels)
def test_a_higher_threshold_finds_some_of_the_same(seed, low, high, kernel):
    image, bad = starry(seed, flawed=True)
    many, few = find(image, bad, threshold=low, **kernel), find(image, bad, threshold=high, **kernel)
    assert len(few) <= len(many)
    nearest = [np.argmin(np.abs(many.xy - xy).sum(axis=1) + np.abs(many.flux - flux))
               for xy, flux in zip(few.xy, few.flux, strict=True)]
    np.testing.assert_allclose(few.xy, many.xy[nearest], atol=1e-9)
    np.testing.assert_allclose(few.flux, many.flux[nearest])
    floor = high * 5 * make_kernel(kernel["conv_width"], nsigma=kernel["nsigma"]).relative_error
    height = many.flux / make_kernel(kernel["conv_width"]).volume
    assert len(few) == (height >= floor).sum()


@given(seed=seeds, size=st.tuples(st.integers(0, 25), st.integers(0, 25)), share=st.sampled_from([0, 0.1, 0.5, 0.9, 1]),
       kernel=kernels)
def test_any_image_gives_a_catalog_of_finite_numbers(seed, size, share, kernel):
    random = np.random.default_rng(seed)
    image = random.normal(10, 3, size)
    image[random.uniform(size=size) < 0.1] = 500
    image[random.uniform(size=size) < share / 2] = random.choice([np.nan, np.inf, -np.inf])
    bad = random.uniform(size=size) < share / 2
    found = find_sources(image, bad=bad, threshold=1.0, **kernel)
    assert (found.xy >= 0.5).all()
    assert (found.xy <= np.add(size[::-1], 0.5)).all()
    for name in ("xy_error", "flux", "flux_error", "sharp", "round1", "round2"):
        assert np.isfinite(getattr(found, name)).all(), name
    assert (found.xy_error > 0).all()
    assert (found.flux > 0).all()
