"""The fit finds the transform and its errors, and says so when the points do not determine it."""

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
from fields import MATRICES, fit_linear, rotated, scattered

from imagereg.alignment.fitting.fit import GEOMETRIES, LinearFit
from imagereg.alignment.fitting.weights import zero_between
from imagereg.errors import DegenerateFit, NotEnoughMatches

# x and y of the reference, x and y of the input: the rows of an input file of IRAF's immatch.geomap, and what
# geomap of IRAF 2.17 (Debian iraf 2.17-4) wrote into its database for them, with
#     geomap pairs.txt geo.db INDEF INDEF INDEF INDEF fitgeometry=... function=polynomial xxorder=2 xyorder=2
#     yxorder=2 yyorder=2 xxterms=none yxterms=none calctype=double maxiter=0 interactive=no
# (ref to input; numbers: xshift, yshift, then the surfaces' x and y of xref, x and y of yref; xrms, yrms). The rotation
# is negative in our sense because IRAF adds a single-precision 2 pi to an angle that is negative in its own sense,
# and so is off by 1.7e-7 radian for every other one.
PAIRS = np.array([
    (-328.501, 10.352, -339.85, 22.29), (-646.752, 129.815, -656.56, 145.22), (-60.178, -766.188, -81.66, -756.72),
    (-703.673, 1057.447, -702.07, 1072.58), (501.264, -4.428, 488.14, -2.62), (397.263, -362.441, 380.35, -359.02),
    (-274.826, -765.423, -296.25, -753.32), (-792.100, 698.432, -794.83, 714.95),
    (750.319, -889.860, 726.61, -890.06), (-219.030, -733.745, -239.89, -721.83), (44.034, 328.398, 35.89, 335.38),
    (222.537, -637.863, 202.10, -631.88), (513.866, 324.852, 504.89, 325.94), (50.734, -313.693, 34.85, -305.75),
    (959.215, -730.303, 936.79, -733.12), (-597.173, -158.228, -610.47, -142.86),
    (-373.859, 320.543, -381.55, 332.42), (495.826, 506.602, 489.11, 507.79), (667.301, -550.368, 647.77, -549.53),
    (610.430, -408.873, 592.63, -407.90), (190.246, -463.890, 172.00, -457.67), (746.009, -683.713, 724.35, -684.21),
    (-30.205, 359.765, -38.32, 367.44), (516.657, -711.740, 494.85, -709.26),
])
GEOMAP = {
    "shift": (-14.60516666666667, 6.783750000000006, 1.0, 0.0, 0.0, 1.0, 7.022036739509022, 5.93944041611005),
    "rscale": (-12.20641883884559, 7.877481752347222, 0.998679557326419, -0.01216878338488394, 0.01216878338488394,
               0.998679557326419, 0.1849696237225734, 0.1564674480015662),
    "general": (-12.20697457007348, 7.874789390710247, 0.9987034726467127, -0.0121812400076573, 0.01217998466343302,
                0.9986576215310604, 0.1846672246248757, 0.1561300419714015),
}
IRAF_FILES = (Path("/etc/iraf/login.cl"), Path("/usr/lib/iraf/pkg/images/immatch/geomap.par"))


NEEDED = [("shift", 1), ("rshift", 2), ("rscale", 2), ("xyscale", 2), ("general", 3)]


# What is found


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("centre", [(0, 0), (512.5, -2048)])
def test_equation_of_the_docstring(geometry, centre):
    image, shift = scattered(), np.array([3.2, -14.7])
    ref = centre + (image - centre) @ MATRICES[geometry].T + shift
    fit = fit_linear(image, ref, geometry=geometry, centre=centre)
    np.testing.assert_allclose(fit.matrix, MATRICES[geometry], atol=1e-12)
    np.testing.assert_allclose(fit.shift, shift, atol=1e-9)
    np.testing.assert_array_equal(fit.centre, centre)
    np.testing.assert_allclose(fit(image), ref, atol=1e-9)
    np.testing.assert_allclose(fit.residuals, 0, atol=1e-9)
    assert fit.geometry == geometry


@pytest.mark.parametrize("geometry", ["rscale", "general"])
@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (0.001, 1.00001), (-30, 0.7), (90, 1), (135, 1.9), (179.9, 1)])
def test_rotation_and_scale(geometry, degrees, scale):
    image = scattered()
    fit = fit_linear(image, image @ rotated(degrees, scale).T + (5, 6), geometry=geometry)
    assert fit.rotation == pytest.approx(degrees, abs=1e-9)
    assert fit.scale == pytest.approx(scale, rel=1e-12)


def test_residuals_are_reference_minus_image():
    image = scattered(5)
    ref = image.copy()
    ref[2] += (0.5, -0.25)
    fit = fit_linear(image, ref, geometry="shift", sigma=None)
    np.testing.assert_allclose(fit.residuals, ref - fit(image), atol=1e-12)
    np.testing.assert_allclose(fit.residuals[2] - fit.residuals[0], (0.5, -0.25), atol=1e-9)


def test_rms_is_about_zero_and_of_used_pairs():
    random = np.random.default_rng(3)
    image = scattered(40)
    ref = image + random.normal(0, (0.1, 0.3), image.shape)
    ref[7] += 50
    error = random.uniform(0.1, 1, image.shape)  # unequal: the mean of the residuals is not zero
    fit = fit_linear(image, ref, geometry="shift", errors=error)
    assert not fit.used[7]
    assert np.abs(fit.mean_residual).min() > 0.005
    used = fit.residuals[fit.used]
    np.testing.assert_allclose(fit.rms, np.sqrt((used**2).mean(axis=0)))
    np.testing.assert_allclose(fit.mean_residual, used.mean(axis=0))
    assert fit.nmatches == fit.used.sum()
    np.testing.assert_allclose(fit.rms, (0.1, 0.3), rtol=0.4)


@pytest.mark.parametrize("geometry", GEOMAP)
def test_agrees_with_iraf_geomap(geometry):
    fit = fit_linear(PAIRS[:, :2], PAIRS[:, 2:], geometry=geometry, nclip=0)
    x_shift, y_shift, xx, yx, xy, yy, x_rms, y_rms = GEOMAP[geometry]
    np.testing.assert_allclose(fit.shift, (x_shift, y_shift), rtol=1e-10)
    np.testing.assert_allclose(fit.matrix, [(xx, xy), (yx, yy)], rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(fit.rms * np.sqrt(24 / 23), (x_rms, y_rms), rtol=1e-10)  # IRAF divides by N - 1
    assert fit.used.all()


@pytest.mark.skipif(not shutil.which("irafcl") or not all(path.exists() for path in IRAF_FILES),
                    reason="needs IRAF: install the Debian packages iraf and iraf-noao")
@pytest.mark.slow
def test_frozen_numbers_are_those_of_iraf(tmp_path):
    np.savetxt(tmp_path / "pairs.txt", PAIRS, fmt="%.3f")
    (tmp_path / "login.cl").write_text(IRAF_FILES[0].read_text())
    (tmp_path / ".iraf" / "uparm").mkdir(parents=True)
    script = ["images", "immatch", "unlearn geomap"] + [
        'geomap ("pairs.txt", "geo.db", INDEF, INDEF, INDEF, INDEF, transforms="%s", fitgeometry="%s",'
        ' function="polynomial", xxorder=2, xyorder=2, yxorder=2, yyorder=2, xxterms="none", yxterms="none",'
        ' calctype="double", maxiter=0, interactive-)' % (name, name) for name in GEOMAP] + ["logout", ""]
    environment = {**os.environ, "HOME": str(tmp_path), "USER": os.environ.get("USER", "user"), "TERM": "vt100"}
    subprocess.run(["irafcl"], input="\n".join(script), cwd=tmp_path, env=environment, text=True, capture_output=True,
                   timeout=120, check=True)
    for record in (tmp_path / "geo.db").read_text().split("begin")[1:]:
        lines = [line.split() for line in record.splitlines()]
        values = {line[0]: line[1] for line in lines if len(line) == 2}
        end = next(number for number, line in enumerate(lines) if line[:1] == ["surface2"])
        found = [values["xshift"], values["yshift"], *lines[end - 2], *lines[end - 1], values["xrms"], values["yrms"]]
        np.testing.assert_allclose(np.array(found, float), GEOMAP[lines[0][0]], rtol=1e-12)


# Weights


def test_accurate_pairs_decide():
    image = scattered(40)
    error = np.where(np.arange(40) < 4, 0.001, 1.0)[:, None] * np.ones(2)
    ref = image + (2, 3) + np.random.default_rng(5).normal(0, 1, image.shape) * error
    fit = fit_linear(image, ref, geometry="shift", errors=error)
    np.testing.assert_allclose(fit.shift, (2, 3), atol=0.002)
    assert fit.shift_error.max() < 0.001


def test_weights_of_a_shift_are_inverse_variances():
    random = np.random.default_rng(6)
    image, error = scattered(40), random.uniform(0.02, 0.3, (40, 2))
    ref = image + random.normal(0, 0.8, image.shape) * error  # errors that suffice: no scatter is added
    fit = fit_linear(image, ref, geometry="shift", errors=error, sigma=None)
    assert fit.scatter == 0
    np.testing.assert_allclose(fit.shift, ((ref - image) / error**2).sum(axis=0) / (error**-2.0).sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(fit.shift_error, (error**-2.0).sum(axis=0) ** -0.5, rtol=1e-9)


@pytest.mark.parametrize("scatter", [0.05, 0.5])
def test_scatter_beyond_the_errors(scatter):
    random = np.random.default_rng(7)
    image, error = scattered(400), random.uniform(0.001, 0.03, (400, 2))
    ref = image + random.normal(0, np.hypot(error, scatter))
    fit = fit_linear(image, ref, errors=error)
    assert fit.scatter == pytest.approx(scatter, rel=0.12)
    assert fit_linear(image, ref).scatter == pytest.approx(scatter, rel=0.15)


@pytest.mark.parametrize(("geometry", "count"), [("shift", 3), ("rshift", 4), ("rscale", 5), ("xyscale", 5),
                                                  ("general", 6)])
def test_scatter_of_few_pairs(geometry, count):
    found = []
    for seed in range(120):
        image = scattered(count, seed)
        ref = image + np.random.default_rng((seed, 1)).normal(0, 0.1, image.shape)
        found.append(fit_linear(image, ref, geometry=geometry, sigma=None).scatter)
    assert np.median(found) == pytest.approx(0.1, rel=0.1)


def test_one_tiny_error_does_not_rule_where_there_is_scatter():
    random = np.random.default_rng(8)
    image, error = scattered(40), np.full((40, 2), 0.01)
    ref = image + random.normal(0, 0.2, image.shape)
    ref[0], error[0] = image[0] + 0.4, 1e-6
    assert np.abs(fit_linear(image, ref, geometry="shift", errors=error).shift).max() < 0.15


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_a_pair_of_unknown_error_does_not_rule(unknown):
    image, error = scattered(50), np.full((50, 2), 0.1)
    ref = image + np.random.default_rng(9).normal(0, 0.08, image.shape)
    ref[3], error[3] = image[3] + 0.25, unknown
    fit = fit_linear(image, ref, geometry="shift", errors=error)
    assert np.abs(fit.shift).max() < 0.05
    assert fit.shift_error.min() > 0.005


def test_all_errors_unknown_are_equal_errors():
    image = scattered(30)
    ref = image + np.random.default_rng(1).normal(0, 0.1, image.shape)
    without = fit_linear(image, ref)
    for value in (np.nan, 0.0):
        fit = fit_linear(image, ref, errors=np.full(image.shape, value))
        np.testing.assert_array_equal(fit.shift, without.shift)
        np.testing.assert_array_equal(fit.covariance, without.covariance)


# Rejection


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("outliers", [1, 10, 20])
@pytest.mark.parametrize("with_errors", [True, False])
def test_outliers_are_rejected(geometry, outliers, with_errors):
    random = np.random.default_rng(outliers)
    image = scattered(60)
    ref = image @ MATRICES[geometry].T + (1, 2) + random.normal(0, 0.1, image.shape)
    turn = random.uniform(0, 2 * np.pi, outliers)
    ref[:outliers] += random.uniform(2, 10, (outliers, 1)) * np.column_stack([np.cos(turn), np.sin(turn)])
    fit = fit_linear(image, ref, geometry=geometry, errors=np.full(image.shape, 0.1) if with_errors else None, nclip=10)
    assert not fit.used[:outliers].any()
    assert fit.used[outliers:].sum() >= 58 - outliers
    assert (np.abs(fit.shift - (1, 2)) < 5 * fit.shift_error).all()
    assert len(fit.residuals) == len(fit.used) == 60
    assert fit.nmatches == fit.used.sum()


@pytest.mark.parametrize("options", [{"nclip": 0}, {"sigma": None}, {"nclip": -1}, {"nclip": 0, "sigma": None}],
                         ids=str)
def test_nothing_is_rejected(options):
    image = scattered(30)
    ref = image + np.random.default_rng(1).normal(0, 0.1, image.shape)
    ref[4] += (3, 30)
    fit = fit_linear(image, ref, geometry="shift", **options)
    assert fit.used.all()
    expected = fit_linear(image, ref, geometry="shift", sigma=1e9)
    np.testing.assert_array_equal(fit.shift, expected.shift)


def test_rounds_of_rejection_are_limited():
    image = scattered(40)
    ref = image + np.random.default_rng(1).normal(0, 0.1, image.shape)
    ref[:12] += np.geomspace(1, 300, 12)[:, None] * (1, -1)
    numbers = [fit_linear(image, ref, geometry="shift", nclip=nclip).nmatches for nclip in (0, 1, 2, 10)]
    assert numbers[0] == 40
    assert numbers[0] > numbers[1] >= numbers[2] >= numbers[3]
    assert 25 <= numbers[3] <= 28


def test_sigma_is_the_limit():
    image = scattered(500)
    ref = image + np.random.default_rng(1).normal(0, 0.1, image.shape)
    error = np.full(image.shape, 0.1)
    used = [fit_linear(image, ref, geometry="shift", errors=error, sigma=sigma, nclip=1) for sigma in (1.5, 2, 3, 4)]
    # The length of a residual per axis: chi squared of two degrees of freedom over two.
    expected = [1 - np.exp(-sigma**2) for sigma in (1.5, 2, 3, 4)]
    np.testing.assert_allclose([fit.nmatches / 500 for fit in used], expected, atol=0.03)


def test_exact_pairs_are_all_used():
    # Residuals are rounding errors then, some of them zero: no reason to reject any.
    for seed in range(20):
        image = np.random.default_rng(seed).integers(-2000, 2000, (40, 2)).astype(float)
        for geometry in GEOMETRIES:
            ref = image @ MATRICES[geometry].T + (3.1, 4.7)
            assert fit_linear(image, ref, geometry=geometry).used.all()


def test_rejection_leaves_enough_for_the_fit():
    image = scattered(4)
    ref = image + [(0, 0), (9, 2), (-3, 14), (5, -7)]
    fit = fit_linear(image, ref, geometry="rscale", sigma=0.1)
    assert fit.nmatches >= 2
    assert np.isfinite(fit.covariance).all()


# Few pairs, and pairs on a line


@pytest.mark.parametrize(("geometry", "needed"), NEEDED + [("auto", 1)])
def test_too_few_pairs(geometry, needed):
    for count in range(needed):
        with pytest.raises(NotEnoughMatches, match=f"fitgeometry={geometry}") as raised:
            fit_linear(scattered(count), scattered(count), geometry=geometry)
        assert {str(count), str(needed)} <= set(re.findall(r"\d+", str(raised.value)))


@pytest.mark.parametrize(("geometry", "needed"), NEEDED)
def test_just_enough_pairs(geometry, needed):
    image = scattered(needed)
    ref = image @ MATRICES[geometry].T + (1, 2)
    error = np.full(image.shape, 0.2)
    fit = fit_linear(image, ref, geometry=geometry, errors=error)
    np.testing.assert_allclose(fit(image), ref, atol=1e-8)
    assert fit.used.all()
    assert fit.shift_error.min() > 0.1


def test_error_of_an_exactly_determined_fit_is_not_tiny():
    # One pair without an error says where, and nothing about how well.
    fit = fit_linear([(1.0, 2.0)], [(2.0, 3.0)], geometry="shift")
    np.testing.assert_allclose(fit.shift, 1)
    assert not (fit.shift_error < 1e-6).any()


@pytest.mark.parametrize("direction", [(1, 0), (0, 1), (1, 1), (3, -2)])
@pytest.mark.parametrize("centre", [(0, 0), (700, 300)])
def test_pairs_on_a_line(direction, centre):
    # drizzlepac: NameError
    image = np.linspace(-400, 500, 20)[:, None] * direction + (5.0, 7.0)
    ref = image @ rotated(2, 1.01).T + (3, 4)
    fit = fit_linear(image, ref, geometry="rscale", centre=centre)
    np.testing.assert_allclose(fit.matrix, rotated(2, 1.01), atol=1e-9)
    with pytest.raises(DegenerateFit, match="20 matches.*fitgeometry=general"):
        fit_linear(image, ref, geometry="general", centre=centre)


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize("point", [(0.0, 0.0), (7.0, 8.0), (1024.3, 0.1)])
def test_coincident_pairs(count, point):
    image = np.full((count, 2), point)
    np.testing.assert_allclose(fit_linear(image, image + 2, geometry="shift").shift, 2)
    for geometry in GEOMETRIES[1:]:
        if count >= 3 or geometry != "general":
            with pytest.raises(DegenerateFit, match=f"fitgeometry={geometry}"):
                fit_linear(image, image + 2, geometry=geometry)


def test_far_but_not_degenerate():
    image = scattered(30, size=5) + 20000
    ref = image @ rotated(1.5, 0.99).T + (3, 4)
    fit = fit_linear(image, ref, geometry="general")
    np.testing.assert_allclose(fit(image), ref, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_pairs_along_an_axis_have_no_scale_for_the_other(axis):
    image = scattered(20)
    image[:, axis] = 7
    with pytest.raises(DegenerateFit, match="20 matches.*fitgeometry=xyscale"):
        fit_linear(image, image + 2, geometry="xyscale")


def test_two_pairs_are_more_than_a_rotation_needs():
    image = np.array([(-500.0, 0), (500, 0)])
    fit = fit_linear(image, image @ rotated(30).T + (0.1, 0) * np.sign(image), geometry="rshift")
    np.testing.assert_allclose(fit.matrix, rotated(fit.rotation), atol=1e-15)
    assert fit.rotation == pytest.approx(30, abs=0.01)
    left = 0.1 * np.cos(np.deg2rad(30))  # what is along the line from one to the other
    np.testing.assert_allclose(np.hypot(*fit.residuals.T), left, rtol=1e-3)
    assert np.isfinite(fit.rotation_error)


# Input


@pytest.mark.parametrize(("image", "ref"), [((4, 2), (5, 2)), ((4, 3), (4, 3)), ((4,), (4,)), ((2, 4), (2, 4))])
def test_positions_of_wrong_shape(image, ref):
    with pytest.raises(ValueError, match="expected .N, 2. twice"):
        fit_linear(np.zeros(image), np.zeros(ref))


def test_unknown_geometry():
    with pytest.raises(ValueError, match="'affine' is none of shift, rshift, rscale, xyscale, general, auto"):
        fit_linear(scattered(), scattered(), geometry="affine")


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_input_is_not_changed(geometry):
    # drizzlepac's fit changes the caller's arrays
    arrays = {"image_xy": scattered(20), "ref_xy": scattered(20) + 0.1, "errors": np.full((20, 2), 0.1),
              "centre": np.array([5.0, 6.0])}
    arrays["errors"][3] = np.nan
    before = {name: array.copy() for name, array in arrays.items()}
    fit = fit_linear(geometry=geometry, **arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name])
        assert array.flags.writeable
        assert not np.shares_memory(array, getattr(fit, name, np.zeros(0)))
        array.flags.writeable = False
    fit_linear(geometry=geometry, **arrays)


def test_result_is_read_only():
    fit = fit_linear(scattered(), scattered() + 1)
    for field in dataclasses.fields(LinearFit):
        value = getattr(fit, field.name)
        assert not isinstance(value, np.ndarray) or not value.flags.writeable, field.name
    with pytest.raises(dataclasses.FrozenInstanceError):
        fit.shift = np.zeros(2)


def test_lists_will_do():
    fit = fit_linear([(0, 0), (10, 0), (0, 10)], [(1, 1), (11, 1), (1, 11)], centre=[5, 5])
    np.testing.assert_allclose(fit.shift, 1)


# Robust loss


def contaminated(share, *, seed=4, count=400, error=0.02):
    """Return pairs of a shift of (3, -2), their errors, some of them off by a few errors and to one side."""
    random = np.random.default_rng(seed)
    image_xy = random.uniform(0, 1000, (count, 2))
    ref_xy = image_xy + (3, -2) + random.normal(0, error, (count, 2))
    off = random.random(count) < share
    ref_xy[off] += random.exponential(6 * error, (off.sum(), 2))
    return image_xy, ref_xy, np.full((count, 2), error)


@pytest.mark.parametrize(("loss", "gain"), [("huber", 1.3), ("cauchy", 1.6)])
def test_robust_loss_is_less_misled(loss, gain):
    image_xy, ref_xy, errors = contaminated(0.25)
    off = {name: np.hypot(*(fit_linear(image_xy, ref_xy, geometry="shift", errors=errors, loss=name, nclip=0).shift
                            - (3, -2))) for name in ("linear", loss)}
    assert off["linear"] > gain * off[loss]


@pytest.mark.parametrize("loss", ["huber", "cauchy"])
def test_robust_loss_costs_little_where_all_is_well(loss):
    ratio = []
    for seed in range(40):
        image_xy, ref_xy, errors = contaminated(0.0, seed=seed, count=60)
        linear, robust = (fit_linear(image_xy, ref_xy, geometry="shift", errors=errors, loss=name, nclip=0).shift
                          for name in ("linear", loss))
        ratio.append([np.square(linear - (3, -2)).sum(), np.square(robust - (3, -2)).sum()])
    linear, robust = np.mean(ratio, axis=0)
    assert robust < 1.2 * linear  # 1 / 0.95, and the noise of 80 numbers


@pytest.mark.parametrize("loss", ["huber", "cauchy"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_robust_fit_of_exact_pairs(loss, geometry):
    image_xy = np.random.default_rng(1).uniform(0, 1000, (30, 2))
    fit = fit_linear(image_xy, image_xy + (1.5, 2.5), geometry=geometry, loss=loss)
    np.testing.assert_allclose(fit(image_xy), image_xy + (1.5, 2.5), atol=1e-7)


def test_unknown_loss():
    with pytest.raises(ValueError, match="'lorentz' is none of linear, huber, cauchy"):
        fit_linear(np.zeros((3, 2)), np.zeros((3, 2)), loss="lorentz")


# Is there anything to change?


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_needlessness_is_uniform_where_nothing_is_needed(geometry):
    found = []
    for seed in range(150):
        random = np.random.default_rng(seed)
        image_xy = random.uniform(0, 1000, (40, 2))
        ref_xy = image_xy + random.normal(0, 0.02, image_xy.shape)
        found.append(fit_linear(image_xy, ref_xy, geometry=geometry, errors=np.full(image_xy.shape, 0.02), nclip=0,
                                centre=(500, 500)).p_value_unchanged)
    assert 0.4 < np.mean(found) < 0.62 and np.mean(np.array(found) < 0.1) < 0.2


def test_needlessness_sees_small_changes():
    image_xy, ref_xy, errors = contaminated(0.0)
    fit = fit_linear(image_xy, image_xy + (ref_xy - image_xy - (3, -2)) + (0.006, 0), geometry="shift", errors=errors)
    assert fit.p_value_unchanged < 1e-3  # six times its error
    turned = image_xy @ np.array([[1, 1e-5], [-1e-5, 1]]) + (ref_xy - image_xy - (3, -2))
    assert fit_linear(image_xy, turned, geometry="rshift", errors=errors, centre=(500, 500)).p_value_unchanged < 0.01


def test_needlessness_of_what_is_not_known():
    fit = fit_linear([[0.0, 0.0]], [[1.0, 1.0]], geometry="shift")
    assert np.isnan(fit.p_value_unchanged)


def test_fit_of_some_pairs():
    image_xy, ref_xy, errors = contaminated(0.0)
    fit = fit_linear(image_xy, ref_xy, errors=errors)
    some = fit.of(np.arange(400) < 100)
    assert some.nmatches <= 100 and len(some.residuals) == 100
    np.testing.assert_array_equal(some.matrix, fit.matrix)


@pytest.mark.parametrize("high", [0.9, 3.0, 40.0])
@pytest.mark.parametrize("function", [
    lambda x: np.cos(x) - x if x < 2 else -x,
    lambda x: 0.5 - 1 / max(2.0 - x, 1e-3) if x < 2 else -1e9,
    lambda x: 0.3 - x,
    lambda x: np.exp(-x) - 0.5,
    lambda x: float(x < 0.123) - 0.5,
])
def test_a_zero_is_that_of_scipy(function, high):
    expected = scipy.optimize.brentq(function, 0.0, high)
    assert zero_between(function, 0.0, high, 1e-12) == pytest.approx(expected, abs=1e-10)
