"""Matching is the same from either side, and wherever the lists are."""

import numpy as np
import pytest
from fields import match
from hypothesis import assume, example, given
from hypothesis import strategies as st

from imagereg.errors import AlignmentError, NotEnoughMatches, NotEnoughSources

offsets = st.tuples(st.floats(-9.5, 9.5), st.floats(-9.5, 9.5))
seeds = st.integers(0, 10**6)
lists = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), max_size=12).map(lambda xy: np.reshape(xy, (-1, 2)))


def field(seed, offset, shared=25, others=40):
    """Return an image list and a reference list, `offset` apart, in random order, and which row is which."""
    random = np.random.default_rng(seed)
    image, ref = random.uniform(0, 400, (2, shared + others, 2))
    ref[:shared] = image[:shared] + random.normal(0, 0.1, (shared, 2))
    order = random.permutation(shared + others)
    return image, ref[order] + offset, order


@given(seed=seeds, offset=offsets)
def test_offset_is_found(seed, offset):
    image, ref, order = field(seed, offset)
    found = match(image, ref, searchrad=10, tolerance=1)
    np.testing.assert_allclose(found.offset, offset, atol=0.15)
    right = (order[found.ref_index] == found.image_index) & (found.image_index < 25)
    assert right.sum() >= 24


@given(seed=seeds, offset=offsets, separation=st.sampled_from([0, 5]))
def test_exchanged_lists(seed, offset, separation):
    image, ref, _ = field(seed, offset)
    options = {"searchrad": 10, "tolerance": 1, "separation": separation}
    there, back = match(image, ref, **options), match(ref, image, **options)
    np.testing.assert_allclose(back.offset, -there.offset, atol=1e-9)
    pairs = zip(there.image_index, there.ref_index, strict=True)
    assert sorted(pairs) == sorted(zip(back.ref_index, back.image_index, strict=True))
    np.testing.assert_array_equal(back.histogram, there.histogram[::-1, ::-1])


@given(seed=seeds, offset=offsets, shift=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)))
def test_both_lists_moved(seed, offset, shift):
    image, ref, _ = field(seed, offset)
    here = match(image, ref, searchrad=10, tolerance=1)
    there = match(image + shift, ref + shift, searchrad=10, tolerance=1)
    np.testing.assert_allclose(there.offset, here.offset, atol=1e-6)
    np.testing.assert_array_equal(there.image_index, here.image_index)
    np.testing.assert_array_equal(there.ref_index, here.ref_index)
    assert there.chance_probability == pytest.approx(here.chance_probability, rel=1e-3)


@given(seed=seeds, offset=offsets, shift=st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)))
def test_one_list_moved_and_the_guess_with_it(seed, offset, shift):
    image, ref, _ = field(seed, offset)
    here = match(image, ref, searchrad=10, tolerance=1)
    there = match(image, ref + shift, searchrad=10, tolerance=1, offset=shift)
    np.testing.assert_allclose(there.offset, here.offset + shift, atol=1e-6)
    np.testing.assert_array_equal(there.image_index, here.image_index)


@given(seed=seeds, offset=offsets)
def test_exchanged_axes(seed, offset):
    image, ref, _ = field(seed, offset)
    here = match(image, ref, searchrad=10, tolerance=1)
    there = match(image[:, ::-1], ref[:, ::-1], searchrad=10, tolerance=1)
    np.testing.assert_allclose(there.offset, here.offset[::-1], atol=1e-9)
    np.testing.assert_array_equal(there.histogram, here.histogram.T)


@given(image=lists, ref=lists, searchrad=st.floats(0.1, 60), tolerance=st.floats(0.01, 20), separation=st.floats(0, 5),
       use2dhist=st.booleans())
def test_any_lists_give_a_match_or_an_alignment_error(image, ref, searchrad, tolerance, separation, use2dhist):
    try:
        found = match(image, ref, searchrad=searchrad, tolerance=tolerance, separation=separation, use2dhist=use2dhist)
    except (NotEnoughMatches, NotEnoughSources) as error:
        assert isinstance(error, AlignmentError)
        return
    assert 1 <= len(found) <= min(len(image), len(ref))
    assert len(set(found.image_index)) == len(set(found.ref_index)) == len(found)
    assert 0 <= found.chance_probability <= 1
    distance = np.hypot(*(ref[found.ref_index] - image[found.image_index] - found.offset).T)
    assert (distance <= tolerance * (1 + 1e-9)).all()


@example(seed=501248, count=1, others=20)
@given(seed=seeds, count=st.integers(1, 4), others=st.integers(0, 30))
def test_three_pairs_or_so_are_never_certain(seed, count, others):
    random = np.random.default_rng(seed)
    image, ref = random.uniform(0, 200, (count, 2)), random.uniform(0, 200, (count + others, 2))
    try:
        found = match(image, ref, searchrad=20, tolerance=1)
    except NotEnoughMatches:
        assume(False)
    assert found.chance_probability > 1e-6
