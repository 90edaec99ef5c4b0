"""Over many draws: the errors of a fit are those that are found, and `auto` chooses what the pairs carry."""

import dataclasses

import numpy as np
import pytest
from fields import MATRICES, fit_linear, rotated, scattered

from imagereg.alignment.fitting.fit import GEOMETRIES, LinearFit

# Errors


def pulls(geometry, *, count=25, trials=150, degrees=0.01, sizes=(0.02, 0.2), known=True, box=(1000, 1000)):
    """Return deviations over errors (trials, 2 to 4) of shift x, shift y and, where free, rotation and scale."""
    random = np.random.default_rng(11)
    degrees = 0.0 if geometry in ("shift", "xyscale") else degrees
    scale = 1.0 if geometry in ("shift", "rshift") else 1.0001
    matrix = rotated(degrees, scale)
    image = random.uniform(-1, 1, (count, 2)) * box
    found = []
    for _ in range(trials):
        error = random.uniform(*sizes, (count, 1)) * np.array([1.0, 1.5 if known else 1.0])
        ref = image @ matrix.T + (3, 4) + random.normal(0, 1, image.shape) * error
        fit = fit_linear(image, ref, geometry=geometry, errors=error if known else None, sigma=None)
        row = [*((fit.shift - (3, 4)) / fit.shift_error)]
        if fit.rotation_error:
            row.append(((fit.rotation - degrees + 180) % 360 - 180) / fit.rotation_error)
        if fit.scale_error:
            row.append((fit.scale - scale) / fit.scale_error)
        found.append(row)
    return np.array(found)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_errors_are_honest(geometry):
    spread = np.sqrt((pulls(geometry) ** 2).mean(axis=0))
    assert (0.83 < spread).all(), spread
    assert (spread < 1.18).all(), spread


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_errors_are_honest_where_those_of_the_positions_are_unknown(geometry):
    spread = np.sqrt((pulls(geometry, known=False, sizes=(0.1, 0.101), count=40) ** 2).mean(axis=0))
    assert (0.8 < spread).all(), spread
    assert (spread < 1.3).all(), spread


@pytest.mark.parametrize("geometry", ["rshift", "rscale", "general"])
@pytest.mark.parametrize("degrees", [45, 90, -130, 180])
def test_errors_are_honest_at_any_rotation(geometry, degrees):
    # A long field, and errors that are larger in y: rotation and scale have different errors.
    spread = np.sqrt((pulls(geometry, degrees=degrees, box=(1000, 50)) ** 2).mean(axis=0))
    assert (0.8 < spread).all(), spread
    assert (spread < 1.25).all(), spread


def test_scatter_is_part_of_the_errors():
    random = np.random.default_rng(12)
    image, deviations = scattered(40), []
    for _ in range(120):
        fit = fit_linear(image, image + random.normal(0, 0.3, image.shape), geometry="shift",
                         errors=np.full(image.shape, 0.01))
        deviations.append(fit.shift / fit.shift_error)
    assert 0.85 < np.sqrt(np.mean(np.square(deviations))) < 1.2


@pytest.mark.parametrize("degrees", [0, 30, -135])
def test_errors_of_a_rotation_have_no_scale(degrees):
    image = scattered(10)
    ref = image @ rotated(degrees).T + np.random.default_rng(3).normal(0, 0.1, image.shape)
    fit = fit_linear(image, ref, geometry="rshift")
    assert (fit.scale, fit.scale_error) == (pytest.approx(1, abs=1e-15), 0)
    assert 0 < fit.rotation_error < 0.01
    assert np.linalg.matrix_rank(fit.covariance * np.outer(*[[1, 1, 1e3, 1e3, 1e3, 1e3]] * 2), tol=1e-12) == 3


def test_errors_of_the_scales_of_two_axes():
    random, found = np.random.default_rng(13), []
    image = random.uniform(-1, 1, (25, 2)) * (1000, 200)
    for _ in range(150):
        error = random.uniform(0.02, 0.2, (25, 1)) * (1, 1.5)
        fit = fit_linear(image, image * (1.0001, 0.9998) + random.normal(0, error), geometry="xyscale", errors=error)
        found.append((np.diagonal(fit.matrix) - (1.0001, 0.9998)) / np.sqrt(np.diagonal(fit.covariance)[[2, 5]]))
    spread = np.sqrt(np.square(found).mean(axis=0))
    assert (0.8 < spread).all(), spread
    assert (spread < 1.18).all(), spread


def test_rotation_heeds_the_errors_of_each_axis():
    # Accurate in x alone: of a rotation by 50 degrees that has errors in y only, nothing is lost.
    random = np.random.default_rng(14)
    image, error = scattered(40), np.full((40, 2), (1e-4, 5.0))
    ref = image @ rotated(50).T + (1, 2) + random.normal(0, 1, image.shape) * error
    fit = fit_linear(image, ref, geometry="rshift", errors=error)
    assert fit.scatter < 0.01
    assert fit.rotation == pytest.approx(50, abs=1e-5)
    assert fit.rotation_error < 1e-5
    assert abs(fit.shift[0] - 1) < 1e-3


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_errors_at_positions(geometry):
    random = np.random.default_rng(15)
    image, places = scattered(12), np.array([(0.0, 0), (1000, 1000), (-3000, 50)])
    truth = places @ MATRICES[geometry].T
    pull = []
    for _ in range(150):
        error = random.uniform(0.05, 0.1, image.shape)
        fit = fit_linear(image, image @ MATRICES[geometry].T + random.normal(0, error), geometry=geometry, errors=error,
                         centre=(200, 300))
        pull.append((fit(places) - truth) / fit.errors_at(places))
    spread = np.sqrt(np.square(pull).mean(axis=0))
    assert (0.75 < spread).all(), spread
    assert (spread < 1.25).all(), spread
    np.testing.assert_allclose(fit.errors_at([(200, 300)])[0], fit.shift_error)


def test_errors_of_what_nothing_is_known_about_are_infinite():
    one = fit_linear([(1, 2)], [(2, 3)], geometry="shift")
    two = fit_linear([(1, 2), (5, 7)], [(2, 3), (6, 8)], geometry="rscale")
    assert np.isinf([one.errors_at([(9, 9)]), two.errors_at([(9, 9)])]).all()
    assert (one.rotation_error, one.scale_error, two.rotation_error, two.scale_error) == (0, 0, np.inf, np.inf)


# The richest geometry that the pairs carry

FIELD = 2000.0  # half width, pixels
TRUTHS = {"shift": np.eye(2), "rshift": rotated(0.01), "rscale": rotated(0.01, 1.0002),
          "scale": np.diag([1.0002, 1.0002]), "general": rotated(0.01, 1.0002) @ [[1, 1e-4], [1e-4, 1.0001]]}


def given_pairs(truth, count, seed, *, outliers=0):
    """Return pairs with errors of 0.02 pixel, offset by (3, 4)."""
    random = np.random.default_rng((seed, count))
    image = random.uniform(-FIELD, FIELD, (count, 2))
    ref = image @ TRUTHS[truth].T + (3, 4) + random.normal(0, 0.02, image.shape)
    ref[:outliers] += random.uniform(-1, 1, (outliers, 2))
    return image, ref


def chosen(*arguments, known=True, **options):
    """Return the automatic fit and the fit of a shift for given pairs."""
    image, ref = given_pairs(*arguments, **options)
    error = np.full(image.shape, 0.02) if known else None
    return [fit_linear(image, ref, geometry=geometry, errors=error) for geometry in ("auto", "shift")]


def choices(*arguments, trials, **options):
    """Return how often each geometry was chosen, as a share of all trials."""
    found = [chosen(*arguments, seed, **options)[0].geometry for seed in range(trials)]
    return {geometry: found.count(geometry) / trials for geometry in GEOMETRIES}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("count", [5, 10, 50, 500])
@pytest.mark.parametrize("truth", TRUTHS)
def test_auto_finds_the_true_geometry(truth, count, known):
    if (truth, count) != ("general", 5):  # see the next test
        expected = {"scale": "rscale"}.get(truth, truth)
        assert choices(truth, count, trials=20, known=known)[expected] >= 0.9


@pytest.mark.parametrize(("count", "allowed"), [(1, {"shift"}), (2, {"shift"}), (3, {"shift", "rshift"}),
                                                (4, {"shift", "rshift", "rscale"}), (5, {"shift", "rshift", "rscale"})])
@pytest.mark.parametrize("truth", TRUTHS)
def test_auto_is_never_loose(truth, count, allowed):
    for seed in range(20):
        fit, _ = chosen(truth, count, seed)
        assert fit.geometry in allowed
        image, _ = given_pairs(truth, count, seed)
        used = image[fit.used]
        corners = np.stack(np.meshgrid(*np.transpose([used.min(axis=0), used.max(axis=0)])), axis=-1).reshape(-1, 2)
        assert fit.geometry == "shift" or (fit.errors_at(corners) <= 1.5 * np.hypot(0.02, fit.scatter) * 1.001).all()


@pytest.mark.parametrize(("known", "outliers"), [(True, 0), (False, 0), (True, 5)])
def test_auto_leaves_a_shift_alone(known, outliers):
    corners, deviations, richer = FIELD * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]), [], 0
    for seed in range(150):
        fits = chosen("shift", (5, 10, 20, 50)[seed % 4] + outliers, seed, known=known, outliers=outliers)
        richer += fits[0].geometry != "shift"
        deviations.append([np.hypot(*(fit(corners) - corners - (3, 4)).T).max() for fit in fits])
    auto, shift = np.transpose(deviations)
    assert richer <= 1  # of 1,000 it is 1; at ten times the level of significance 6
    assert np.sqrt((auto**2).mean()) < 1.1 * np.sqrt((shift**2).mean())
    assert auto.max() < 1.5 * shift.max()


@pytest.mark.parametrize("count", [6, 10])
def test_one_outlier_makes_no_rotation(count):
    image = scattered(count, size=FIELD)
    for seed in range(50):
        ref = image + np.random.default_rng(seed).normal(0, 0.02, image.shape)
        ref[seed % count] += (0.7, -0.9)
        fit = fit_linear(image, ref, geometry="auto", errors=np.full(image.shape, 0.02))
        assert fit.geometry == "shift"
        assert not fit.used[seed % count]


def test_auto_with_outliers():
    for truth in ("rshift", "rscale", "general"):
        assert choices(truth, 60, trials=20, outliers=15)[truth] >= 0.9


def test_a_clump_and_a_far_pair_carry_a_shift():
    random = np.random.default_rng(16)
    image = np.concatenate([random.uniform(-30, 30, (20, 2)), [(1900.0, 1500)]])
    ref = image @ rotated(0.02).T + random.normal(0, 0.02, image.shape)
    for known in (None, np.full(image.shape, 0.02)):
        assert fit_linear(image, ref, geometry="auto", errors=known).geometry == "shift"
    # Where nothing is rejected the far pair counts for a rotation, but not for more than that.
    assert fit_linear(image, ref, geometry="auto", errors=known, sigma=None).geometry in ("shift", "rshift")


@pytest.mark.parametrize("direction", [(1, 0), (1, 1), (-2, 3)])
def test_auto_with_pairs_on_a_line(direction):
    image = np.linspace(-400, 500, 20)[:, None] * direction + (5.0, 7.0)
    for matrix, expected in ((np.eye(2), "shift"), (rotated(2), "rshift"), (MATRICES["general"], "rscale")):
        fit = fit_linear(image, image @ matrix.T + (3, 4), geometry="auto")
        assert fit.geometry == expected
        np.testing.assert_allclose(fit.residuals, 0, atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_auto_with_coincident_pairs(count):
    image = np.full((count, 2), (1024.3, 0.1))
    fit = fit_linear(image, image + 2, geometry="auto")
    assert fit.geometry == "shift"
    np.testing.assert_allclose(fit.shift, 2)


def test_auto_is_the_fit_of_its_geometry():
    for truth in ("shift", "rshift", "rscale", "general"):
        fit, _ = chosen(truth, 30, 1, outliers=3)
        same = fit_linear(*given_pairs(truth, 30, 1, outliers=3), geometry=fit.geometry, errors=np.full((30, 2), 0.02))
        for field in dataclasses.fields(LinearFit):
            np.testing.assert_array_equal(getattr(fit, field.name), getattr(same, field.name))
