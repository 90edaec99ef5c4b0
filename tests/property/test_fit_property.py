"""The fit finds every transform that its geometry allows, and does not care how the pairs are presented."""

import numpy as np
import pytest
from fields import fit_linear, rotated
from hypothesis import assume, example, given
from hypothesis import strategies as st

from imagereg.alignment.fitting.fit import GEOMETRIES
from imagereg.errors import DegenerateFit, NotEnoughMatches

seeds = st.integers(0, 10**6)
shifts = st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
geometries = st.sampled_from(GEOMETRIES)
matrices = st.tuples(*[st.floats(-2, 2)] * 4).map(lambda values: np.reshape(values, (2, 2)))


def noisy_pairs(seed, count=30):
    """Return positions, partners half a pixel or so away, a few outliers, and errors."""
    random = np.random.default_rng(seed)
    image = random.uniform(-1000, 1000, (count, 2))
    error = random.uniform(0.05, 0.5, (count, 2))
    ref = image @ rotated(random.uniform(-1, 1), random.uniform(0.99, 1.01)).T
    ref += random.normal(0, 1, image.shape) * error
    ref[:3] += random.uniform(3, 30, (3, 2))
    return image, ref, error


@given(seed=seeds, count=st.integers(3, 60), degrees=st.floats(-180, 180), scale=st.floats(0.5, 2), shift=shifts,
       centre=shifts)
@example(seed=3, count=40, degrees=0, scale=1, shift=(0, 0), centre=(0, 0))
def test_similarities_are_recovered(seed, count, degrees, scale, shift, centre):
    image = np.random.default_rng(seed).uniform(-2000, 2000, (count, 2))
    ref = centre + (image - centre) @ rotated(degrees, scale).T + shift
    fit = fit_linear(image, ref, geometry="rscale", centre=centre)
    np.testing.assert_allclose(fit(image), ref, atol=1e-6)
    np.testing.assert_allclose(fit.matrix, rotated(degrees, scale), atol=1e-8)
    np.testing.assert_allclose(fit.shift, shift, atol=1e-5)
    assert fit.scale == pytest.approx(scale, rel=1e-8)
    assert (fit.rotation - degrees + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    assert fit.used.all()


@given(seed=seeds, count=st.integers(4, 60), matrix=matrices, shift=shifts, centre=shifts)
def test_linear_transforms_are_recovered(seed, count, matrix, shift, centre):
    image = np.random.default_rng(seed).uniform(-2000, 2000, (count, 2))
    ref = centre + (image - centre) @ matrix.T + shift
    fit = fit_linear(image, ref, geometry="general", centre=centre)
    np.testing.assert_allclose(fit(image), ref, atol=1e-5)
    np.testing.assert_allclose(fit.matrix, matrix, atol=1e-6)
    assert fit.used.all()


@given(seed=seeds, count=st.integers(2, 60), degrees=st.floats(-180, 180), shift=shifts, centre=shifts)
@example(seed=0, count=2, degrees=180, shift=(0, 0), centre=(0, 0))
def test_rotations_are_recovered(seed, count, degrees, shift, centre):
    random = np.random.default_rng(seed)
    image = random.uniform(-2000, 2000, (count, 2))
    ref = centre + (image - centre) @ rotated(degrees, 1).T + shift
    for errors in (None, random.uniform(0.01, 1, image.shape)):
        fit = fit_linear(image, ref, geometry="rshift", centre=centre, errors=errors)
        np.testing.assert_allclose(fit(image), ref, atol=1e-6)
        np.testing.assert_allclose(fit.matrix @ fit.matrix.T, np.eye(2), atol=1e-14)
        assert (fit.rotation - degrees + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
        assert fit.scale_error == 0


@given(seed=seeds, ratio=st.sampled_from([1.0, 3.0, 30.0]), degrees=st.floats(-180, 180))
def test_no_rotation_is_better(seed, ratio, degrees):
    random = np.random.default_rng(seed)
    image = random.uniform(-1000, 1000, (12, 2))
    errors = random.uniform(0.1, 0.3, image.shape) * (1, ratio)
    ref = image @ rotated(degrees, 1.1).T + random.normal(0, errors)
    fit = fit_linear(image, ref, geometry="rshift", errors=errors, sigma=None)
    weight = 1 / (errors**2 + fit.scatter**2)

    def cost(angle):
        left = ref - image @ rotated(angle, 1).T
        return (weight * (left - (weight * left).sum(axis=0) / weight.sum(axis=0)) ** 2).sum()

    best = cost(fit.rotation)
    for step in (0.001, 0.1, 3, 90, 180):
        assert min(cost(fit.rotation + step), cost(fit.rotation - step)) > best * (1 - 1e-4)


@given(seed=seeds, count=st.integers(2, 60), scales=st.tuples(st.floats(-2, 2), st.floats(-2, 2)), shift=shifts)
def test_scales_of_the_axes_are_recovered(seed, count, scales, shift):
    image = np.random.default_rng(seed).uniform(-2000, 2000, (count, 2))
    assume(np.ptp(image, axis=0).min() > 1)
    fit = fit_linear(image, image * scales + shift, geometry="xyscale")
    np.testing.assert_allclose(fit.matrix, np.diag(scales), atol=1e-8)
    np.testing.assert_allclose(fit.shift, shift, atol=1e-5)


@given(seed=seeds, count=st.integers(8, 40), degrees=st.floats(-180, 180), scale=st.floats(0.9, 1.1), shift=shifts)
@example(seed=0, count=8, degrees=0, scale=1, shift=(0, 0))
def test_auto_is_exact_where_the_pairs_are(seed, count, degrees, scale, shift):
    image = np.random.default_rng(seed).uniform(-2000, 2000, (count, 2))
    ref = image @ rotated(degrees, scale).T + shift
    fit = fit_linear(image, ref, geometry="auto")
    np.testing.assert_allclose(fit(image), ref, atol=1e-4)
    assert fit.used.all()
    assert fit.geometry != "general"


@given(seed=seeds, shift=shifts)
def test_shifts_are_recovered(seed, shift):
    image = np.random.default_rng(seed).uniform(-2000, 2000, (20, 2))
    fit = fit_linear(image, image + shift, geometry="shift")
    np.testing.assert_allclose(fit.shift, shift, atol=1e-9)
    np.testing.assert_array_equal(fit.matrix, np.eye(2))
    assert (fit.rotation, fit.scale, fit.rotation_error, fit.scale_error) == (0, 1, 0, 0)


@given(seed=seeds, geometry=geometries)
def test_order_of_the_pairs(seed, geometry):
    image, ref, error = noisy_pairs(seed)
    order = np.random.default_rng(seed + 1).permutation(len(image))
    fit = fit_linear(image, ref, geometry=geometry, errors=error)
    other = fit_linear(image[order], ref[order], geometry=geometry, errors=error[order])
    np.testing.assert_allclose(other.shift, fit.shift, atol=1e-7)
    np.testing.assert_allclose(other.matrix, fit.matrix, atol=1e-9)
    np.testing.assert_array_equal(other.used, fit.used[order])
    np.testing.assert_allclose(other.residuals, fit.residuals[order], atol=1e-6)


@given(seed=seeds, geometry=geometries, shift=shifts)
def test_origin_of_the_coordinates(seed, geometry, shift):
    image, ref, error = noisy_pairs(seed)
    fit = fit_linear(image, ref, geometry=geometry, errors=error)
    other = fit_linear(image + shift, ref + shift, geometry=geometry, errors=error, centre=shift)
    np.testing.assert_allclose(other.shift, fit.shift, atol=1e-6)
    np.testing.assert_allclose(other.matrix, fit.matrix, atol=1e-9)
    np.testing.assert_allclose(other.covariance, fit.covariance, rtol=1e-4, atol=1e-15)


@given(seed=seeds, geometry=geometries, centre=shifts)
def test_centre_changes_the_shift_alone(seed, geometry, centre):
    image, ref, error = noisy_pairs(seed)
    fit = fit_linear(image, ref, geometry=geometry, errors=error)
    other = fit_linear(image, ref, geometry=geometry, errors=error, centre=centre)
    np.testing.assert_allclose(other.matrix, fit.matrix, atol=1e-8)
    np.testing.assert_allclose(other(image), fit(image), atol=1e-5)
    np.testing.assert_allclose(other.shift, fit(np.array([centre]))[0] - centre, atol=1e-5)


@given(seed=seeds, geometry=geometries, factor=st.sampled_from([1e-3, 0.1, 7.0, 1000.0]))
def test_units_of_length(seed, geometry, factor):
    image, ref, error = noisy_pairs(seed)
    fit = fit_linear(image, ref, geometry=geometry, errors=error)
    other = fit_linear(image * factor, ref * factor, geometry=geometry, errors=error * factor)
    np.testing.assert_allclose(other.shift, fit.shift * factor, rtol=1e-5, atol=1e-6 * factor)
    np.testing.assert_allclose(other.matrix, fit.matrix, atol=1e-8)
    np.testing.assert_allclose(other.shift_error, fit.shift_error * factor, rtol=1e-3)
    np.testing.assert_array_equal(other.used, fit.used)


@given(seed=seeds, geometry=geometries)
def test_exchanged_axes(seed, geometry):
    image, ref, error = noisy_pairs(seed)
    fit = fit_linear(image, ref, geometry=geometry, errors=error)
    other = fit_linear(image[:, ::-1], ref[:, ::-1], geometry=geometry, errors=error[:, ::-1])
    np.testing.assert_allclose(other.shift, fit.shift[::-1], atol=1e-7)
    np.testing.assert_allclose(other.matrix, fit.matrix[::-1, ::-1], atol=1e-9)
    np.testing.assert_allclose(other.shift_error, fit.shift_error[::-1], rtol=1e-6)


@example(seed=5, geometry="general", nclip=1, sigma=2.0)
@given(seed=seeds, geometry=geometries, nclip=st.integers(0, 5), sigma=st.none() | st.floats(1, 5))
def test_no_shift_makes_the_fit_better(seed, geometry, nclip, sigma):
    image, ref, error = noisy_pairs(seed)
    fit = fit_linear(image, ref, geometry=geometry, errors=error, nclip=nclip, sigma=sigma)
    np.testing.assert_allclose(fit.residuals, ref - fit(image), atol=1e-8)
    weight = fit.used[:, None] / (error**2 + fit.scatter**2)

    def cost(residuals):
        return (weight * residuals**2).sum()

    for step in np.random.default_rng(seed).normal(0, 0.05, (5, 2)):
        assert cost(fit.residuals + step) > cost(fit.residuals) * (1 - 1e-4)  # the scatter is iterated to a thousandth


@given(image=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=6),
       ref=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=6), geometry=geometries,
       nclip=st.integers(0, 3))
def test_any_pairs_give_a_fit_or_an_alignment_error(image, ref, geometry, nclip):
    count = min(len(image), len(ref))
    image, ref = (np.reshape(xy[:count], (-1, 2)).astype(float) for xy in (image, ref))
    needed = {"shift": 1, "general": 3}.get(geometry, 2)
    try:
        fit = fit_linear(image, ref, geometry=geometry, nclip=nclip)
        fit_linear(image, ref, geometry="auto", nclip=nclip)  # needs one pair, and is never degenerate
    except NotEnoughMatches:
        assert count < needed
        return
    except DegenerateFit:
        assert geometry != "shift"
        centred = image - image.mean(axis=0)
        if geometry == "xyscale":
            assert not np.ptp(image, axis=0).all() or nclip
        else:
            assert np.linalg.matrix_rank(centred) < (2 if geometry == "general" else 1) or nclip
        return
    assert count >= needed
    assume(count)
    assert np.isfinite(fit.matrix).all()
    assert np.isfinite(fit.residuals).all()
    assert fit.nmatches >= needed
