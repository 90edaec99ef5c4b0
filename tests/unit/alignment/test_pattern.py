"""A pattern is found wherever it is, and only where there is one."""

import dataclasses
import re

import numpy as np
import pytest
from fields import match_pattern

from imagereg.errors import AmbiguousMatch, NotEnoughMatches, NotEnoughSources, ParameterError

FIELD = 4096.0


def similarity(*, turn=0.0, scale=1.0, parity=1, shift=(0.0, 0.0)):
    """Return matrix and shift."""
    cosine, sine = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    return scale * np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([1, parity]), np.array(shift, float)


def shared_field(stars, truth, *, shared, total, seed=1):
    """Return two lists in random order that share some of `stars`, and their fluxes, which go together roughly."""
    random = np.random.default_rng(seed)
    matrix, shift = truth
    image, ref = stars(random, (2, total))
    ref[:shared] = image[:shared]
    image_flux, ref_flux = random.exponential(1, (2, total)) ** 3
    ref_flux[:shared] = image_flux[:shared] * random.normal(1, 0.1, shared)
    image = image + random.normal(0, 0.2, image.shape)
    ref = ref @ matrix.T + shift + random.normal(0, 0.2, ref.shape)
    one, other = random.permutation(total), random.permutation(total)
    return {"image_xy": image[one], "ref_xy": ref[other], "image_flux": image_flux[one], "ref_flux": ref_flux[other]}


def uniform(random, shape):
    return random.uniform(0, FIELD, (*shape, 2))


def clustered(random, shape):
    centres = random.uniform(0, FIELD, (3, 2))
    return centres[random.integers(0, 3, shape)] + random.normal(0, 150, (*shape, 2))


def assert_found(found, truth, *, stars, size=FIELD):
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]])
    np.testing.assert_allclose(found(corners), corners @ truth[0].T + truth[1], atol=3.0)
    assert len(found) >= stars
    assert found.chance_probability < 1e-6
    assert found.parity == np.sign(np.linalg.det(truth[0])) == np.sign(np.linalg.det(found.matrix))


@pytest.mark.parametrize(("shared", "total"), [(5, 12), (5, 17), (30, 100), (150, 500)])
@pytest.mark.parametrize("parity", [1, -1])
def test_few_among_many(shared, total, parity):
    truth = similarity(turn=123.4, scale=0.93, parity=parity, shift=(9e4, -1e5))
    found = match_pattern(**shared_field(uniform, truth, shared=shared, total=total), tolerance=1.0)
    assert_found(found, truth, stars=shared - shared // 10)


@pytest.mark.parametrize("scale", [0.8, 0.9, 1.0, 1.1, 1.2])
@pytest.mark.parametrize("turn", [0, 45, 90, 180, 271])
def test_scales_and_turns(scale, turn):
    truth = similarity(turn=turn, scale=scale, shift=(-300, 40))
    assert_found(match_pattern(**shared_field(uniform, truth, shared=9, total=30), tolerance=1.0), truth, stars=9)


def test_scale_out_of_range_is_not_found():
    lists = shared_field(uniform, similarity(scale=1.4), shared=15, total=30)
    with pytest.raises(NotEnoughMatches):
        match_pattern(**lists, tolerance=1.0)
    assert len(match_pattern(**lists, tolerance=1.0, scale_range=0.3)) >= 15


@pytest.mark.parametrize("seed", range(3))
def test_clustered_fields(seed):
    truth = similarity(turn=-70, scale=1.1, parity=-1, shift=(5e3, 7e3))
    lists = shared_field(clustered, truth, shared=20, total=60, seed=seed)
    assert_found(match_pattern(**lists, tolerance=1.0), truth, stars=19)


@pytest.mark.parametrize("flux", [None, np.full(100, np.nan)])
def test_brightness_that_tells_nothing(flux):
    truth = similarity(turn=10, scale=1.05)
    lists = shared_field(uniform, truth, shared=30, total=100) | {"image_flux": flux, "ref_flux": flux}
    assert_found(match_pattern(**lists, tolerance=1.0), truth, stars=29)


def test_faint_stars_decide_where_bright_ones_are_few():
    truth = similarity(turn=200)
    lists = shared_field(uniform, truth, shared=100, total=400)
    bright = np.argsort(-lists["image_flux"])[:50]
    lists["image_xy"][bright[4:]] = uniform(np.random.default_rng(5), (46,))
    assert_found(match_pattern(**lists, tolerance=1.0), truth, stars=50)


def test_lists_of_different_lengths():
    random = np.random.default_rng(2)
    ref, truth = uniform(random, (3000,)), similarity(turn=33, shift=(10, 20))
    flux = random.exponential(1, 3000)
    chosen = np.argsort(-flux)[:12]
    image = (ref[chosen] - truth[1]) @ np.linalg.inv(truth[0]).T + random.normal(0, 0.2, (12, 2))
    found = match_pattern(image, ref, tolerance=1.0, image_flux=flux[chosen], ref_flux=flux)
    np.testing.assert_allclose(found(image), ref[chosen], atol=1.0)


def test_equal_lists():
    xy = uniform(np.random.default_rng(3), (40,))
    found = match_pattern(xy, xy, tolerance=0.5)
    np.testing.assert_allclose(found.matrix, np.eye(2), atol=1e-9)
    np.testing.assert_allclose(found.offset, 0, atol=1e-6)
    assert len(found) == 40
    assert found.chance_probability < 1e-30


@pytest.mark.parametrize("side", [4, 7, 20])
@pytest.mark.parametrize("flux", ["the same", None])
def test_regular_grid_is_ambiguous(side, flux):
    random = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * 100.0
    flux = random.exponential(1, len(grid)) if flux else None
    image, ref = grid + random.normal(0, 0.1, (2, *grid.shape))
    with pytest.raises(AmbiguousMatch, match=r"one with (\d+) matches.*with (\d+)") as caught:
        match_pattern(image, ref, tolerance=1.0, image_flux=flux, ref_flux=flux)
    best, rival = (int(number) for number in re.findall(r"with (\d+)", str(caught.value)))
    assert best >= 4 and rival >= 0.7 * best


def test_stars_on_a_line_are_their_own_mirror_image():
    xy = np.column_stack([np.random.default_rng(6).uniform(0, FIELD, 20), np.zeros(20)])
    with pytest.raises(AmbiguousMatch):
        match_pattern(xy, xy @ similarity(turn=30)[0].T, tolerance=1.0)


@pytest.mark.parametrize("number", [4, 10, 30, 100, 300])
@pytest.mark.parametrize("stars", [uniform, clustered])
def test_unrelated_lists(number, stars):
    random = np.random.default_rng(number)
    image, ref = stars(random, (number,)), stars(random, (number // 2 + 2,))
    with pytest.raises(NotEnoughMatches, match=f"of {number} sources .* possible transforms"):
        match_pattern(image, ref, tolerance=1.0)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_too_few_sources(number):
    some, many = np.ones((number, 2)), uniform(np.random.default_rng(1), (10,))
    with pytest.raises(NotEnoughSources, match=f"the image has {number} sources"):
        match_pattern(some, many, tolerance=1.0)
    with pytest.raises(NotEnoughSources, match=f"the reference has {number} sources"):
        match_pattern(many, some, tolerance=1.0)


@pytest.mark.parametrize("xy", [np.ones((3, 2)), np.ones((50, 2)), [[0, 0], [1, 0], [0, 1]],
                                [[0, 0], [9, 0], [500, 0]]])
def test_degenerate_lists(xy):
    with pytest.raises(NotEnoughMatches):
        match_pattern(xy, xy, tolerance=1.0)


def test_positions_that_are_not_finite_are_left_out():
    truth = similarity(turn=20)
    lists = shared_field(uniform, truth, shared=20, total=40)
    lists["image_xy"][:2], lists["ref_xy"][3, 1] = np.nan, np.inf
    assert_found(match_pattern(**lists, tolerance=1.0), truth, stars=15)
    with pytest.raises(NotEnoughSources):
        match_pattern(np.full((5, 2), np.nan), lists["ref_xy"], tolerance=1.0)


def test_input_is_unchanged_and_output_cannot_be():
    lists = shared_field(uniform, similarity(turn=20), shared=20, total=40)
    before = {name: value.copy() for name, value in lists.items()}
    for value in lists.values():
        value.flags.writeable = False
    found, again = (match_pattern(**lists, tolerance=1.0) for _ in range(2))
    for name, value in lists.items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_array_equal(found.matrix, again.matrix)
    np.testing.assert_array_equal(found.offset, again.offset)
    with pytest.raises(ValueError, match="read-only"):
        found.matrix[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.chance_probability = 0.0


@pytest.mark.parametrize("wrong", [{"tolerance": 0}, {"tolerance": np.nan}, {"tolerance": 1, "scale_range": 1.0}])
def test_wrong_parameters(wrong):
    with pytest.raises(ParameterError, match="is not"):
        match_pattern(np.ones((5, 2)), np.ones((5, 2)), **wrong)


def test_fluxes_of_another_length():
    with pytest.raises(ValueError, match="5 positions and a column flux of shape"):
        match_pattern(np.ones((5, 2)), np.ones((5, 2)), tolerance=1.0, image_flux=[1, 2])
