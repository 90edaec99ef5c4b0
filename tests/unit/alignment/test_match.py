"""Matching finds the offset, pairs each source with its own, and knows when it was chance."""

import tracemalloc

import numpy as np
import pytest
from fields import candidates, match

from imagereg.errors import NotEnoughMatches, NotEnoughSources


def scattered(count, seed=0, size=1000.0):
    """Return random positions (count, 2)."""
    return np.random.default_rng(seed).uniform(0, size, (count, 2))


def shared_field(offset, *, shared=60, others=0, noise=0.05, seed=0, size=1000.0):
    """Return two lists whose first `shared` rows are the same stars `offset` apart, and of which `others` are not."""
    random = np.random.default_rng(seed)
    image = random.uniform(0, size, (shared + others, 2))
    ref = random.uniform(0, size, (shared + others, 2)) + offset
    ref[:shared] = image[:shared] + offset
    return image + random.normal(0, noise, image.shape), ref + random.normal(0, noise, ref.shape)


# What is found


@pytest.mark.parametrize("offset", [(0, 0), (3.3, -7.8), (-19.4, 19.6), (20.0, 0.5), (0.49, 0.51)])
@pytest.mark.parametrize("tolerance", [0.5, 1.0, 3.0])
def test_offset_and_pairs(offset, tolerance):
    image, ref = shared_field(offset)
    order = np.random.default_rng(9).permutation(60)
    found = match(image, ref[order], searchrad=20, tolerance=tolerance)
    np.testing.assert_allclose(found.offset, offset, atol=0.05)
    assert len(found) == 60
    np.testing.assert_array_equal(order[found.ref_index], found.image_index)
    assert found.chance_probability < 1e-30


@pytest.mark.parametrize("seed", range(10))
def test_nine_of_ten_sources_are_others(seed):
    image, ref = shared_field((7.3, -4.4), shared=60, others=540, seed=seed)
    found = match(image, ref, searchrad=20, tolerance=1.0)
    np.testing.assert_allclose(found.offset, (7.3, -4.4), atol=0.1)
    true = (found.image_index == found.ref_index) & (found.image_index < 60)
    assert true.sum() >= 57
    assert (~true).sum() <= 5
    assert found.chance_probability < 1e-20


def test_offset_between_bins_among_very_many_others():
    # The pile of 24 true pairs falls into four bins, each of which has some chance pairs too.
    offset, right = (3.5, -4.5), 0
    for seed in range(40):
        image, ref = shared_field(offset, shared=24, others=1976, noise=0.2, seed=seed)
        right += np.hypot(*(match(image, ref, searchrad=20, tolerance=1).offset - offset)) < 0.5
    assert right >= 35


def test_offset_outside_the_search_box_where_sources_are_sparse():
    xy = np.array([(x, y) for x in range(0, 1000, 100) for y in range(0, 1000, 100)], float)
    with pytest.raises(NotEnoughMatches, match="searchrad=20"):
        match(xy, xy + (30, 0), searchrad=20, tolerance=1)
    assert len(match(xy, xy + (30, 0), searchrad=20, tolerance=1, offset=(25, 5))) == 100


@pytest.mark.parametrize("seed", range(5))
def test_offset_outside_the_search_box_where_sources_are_dense(seed):
    image, ref = shared_field((40, 0), shared=500, seed=seed)
    assert match(image, ref, searchrad=20, tolerance=1).chance_probability > 1e-6
    assert match(image, ref, searchrad=50, tolerance=1).chance_probability < 1e-100


@pytest.mark.parametrize("searchrad", [0.5, 1.0, 1.7, 2.0, 5.5, 100.0])
def test_search_boxes_of_any_size(searchrad):
    offset = np.array([0.9, -0.95]) * searchrad
    image, ref = shared_field(offset, noise=0.01, shared=100)
    found = match(image, ref, searchrad=searchrad, tolerance=0.2)
    np.testing.assert_allclose(found.offset, offset, atol=0.01)
    assert len(found) == 100


def test_first_guess_moves_the_search_box():
    image, ref = shared_field((300, -200))
    found = match(image, ref, searchrad=5, tolerance=1, offset=(297, -203))
    np.testing.assert_allclose(found.offset, (300, -200), atol=0.05)
    assert len(found) == 60


def test_given_offset_is_taken_as_it_is():
    image, ref = shared_field((5, 5), noise=0.0)
    found = match(image, ref, searchrad=20, tolerance=1, offset=(4.5, 5.2), use2dhist=False)
    np.testing.assert_array_equal(found.offset, (4.5, 5.2))
    assert (found.histogram, found.edges) == (None, None)
    np.testing.assert_array_equal(found.image_index, found.ref_index)
    assert len(found) == 60
    with pytest.raises(NotEnoughMatches, match="tolerance=1 "):
        match(image[:3], ref[:3], searchrad=20, tolerance=1, use2dhist=False)


def test_histogram_counts_every_difference_in_the_box_once():
    image, ref = scattered(40, 1, 30), scattered(50, 2, 30)
    found = match(image, ref, searchrad=8, tolerance=1, offset=(2, -1))
    difference = (ref[None] - image[:, None]).reshape(-1, 2)
    inside = (np.abs(difference - (2, -1)) <= 8).all(axis=1)
    assert found.histogram.sum() == inside.sum()
    np.testing.assert_allclose(np.diff(found.edges, axis=1), found.edges[0][1] - found.edges[0][0])
    assert 0.9 <= np.diff(found.edges[0])[0] <= 1.1
    np.testing.assert_allclose(found.edges.mean(axis=1), (2, -1))
    expected = np.histogram2d(*difference[inside].T, bins=tuple(found.edges))[0]
    np.testing.assert_array_equal(found.histogram, expected.T)


def test_histogram_does_not_depend_on_the_portions(monkeypatch):
    image, ref = scattered(300, 1, 100), scattered(300, 2, 100)
    whole = match(image, ref, searchrad=30, tolerance=1)
    monkeypatch.setattr("imagereg.alignment.matching.match._PAIRS_AT_ONCE", 500)
    parts = match(image, ref, searchrad=30, tolerance=1)
    np.testing.assert_array_equal(parts.histogram, whole.histogram)
    np.testing.assert_allclose(parts.offset, whole.offset)
    np.testing.assert_array_equal(parts.image_index, whole.image_index)


# Pairs


def test_pairs_are_mutual_nearest_neighbours():
    image = np.array([(0.0, 0), (0.6, 0), (10, 0), (20, 0)])
    ref = np.array([(0.2, 0), (10.3, 0), (10.7, 0), (21.5, 0)])
    found = match(image, ref, searchrad=1, tolerance=1, use2dhist=False)
    assert list(zip(found.image_index, found.ref_index, strict=True)) == [(0, 0), (2, 1)]


def test_no_source_is_in_two_pairs():
    image, ref = shared_field((0, 0), shared=400, noise=0.5, size=60)
    found = match(image, ref, searchrad=3, tolerance=2)
    assert len(set(found.image_index)) == len(set(found.ref_index)) == len(found) > 200
    distance = np.hypot(*(ref[found.ref_index] - image[found.image_index] - found.offset).T)
    assert distance.max() <= 2


@pytest.mark.parametrize("times", [2, 5])
def test_duplicates(times):
    image, ref = shared_field((3, 2), noise=0.0)
    found = match(np.repeat(image, times, axis=0), np.repeat(ref, 3, axis=0), searchrad=10, tolerance=1)
    np.testing.assert_allclose(found.offset, (3, 2), atol=1e-6)
    assert len(found) <= 60
    assert len(set(found.image_index)) == len(set(found.ref_index)) == len(found)
    np.testing.assert_array_equal(found.image_index // times, found.ref_index // 3)


def test_separation_leaves_out_close_pairs_of_either_list():
    image = np.array([(0.0, 0), (100, 0), (100, 4), (200, 0), (300, 0), (400, 0)])
    ref = np.array([(0.0, 0), (100, 0), (200, 0), (203, 0), (300, 0), (300, 5), (400, 0)])
    found = match(image, ref, searchrad=2, tolerance=1, separation=5)
    assert list(zip(found.image_index, found.ref_index, strict=True)) == [(0, 0), (4, 4), (5, 6)]
    found = match(image, ref, searchrad=2, tolerance=1, separation=5.01)
    assert list(zip(found.image_index, found.ref_index, strict=True)) == [(0, 0), (5, 6)]


def test_nothing_is_left_after_separation():
    pair = np.array([(0.0, 0), (1, 0)])
    with pytest.raises(NotEnoughSources, match="the reference has no sources apart from close pairs"):
        match(scattered(5), pair, searchrad=5, tolerance=1, separation=2)
    with pytest.raises(NotEnoughSources, match="the image has no sources apart from close pairs"):
        match(pair, scattered(5), searchrad=5, tolerance=1, separation=2)


@pytest.mark.parametrize(("image", "ref", "which"), [([], [(1, 2)], "image"), ([(1, 2)], [], "reference"),
                                                     ([], [], "image")])
@pytest.mark.parametrize("use2dhist", [True, False])
def test_empty_lists(image, ref, which, use2dhist):
    image, ref = np.reshape(image, (-1, 2)), np.reshape(ref, (-1, 2))
    with pytest.raises(NotEnoughSources, match=f"the {which} has no sources$"):
        match(image, ref, searchrad=5, tolerance=1, use2dhist=use2dhist)


@pytest.mark.parametrize("shift", [(0, 0), (1.3, -2.2), (0.1, 0.7), (-3, 3)])
def test_one_source_each(shift):
    found = match([(50.3, 60.1)], np.add((50.3, 60.1), [shift]), searchrad=3.5, tolerance=1)
    assert (found.image_index.tolist(), found.ref_index.tolist()) == ([0], [0])
    np.testing.assert_allclose(found.offset, shift, atol=1e-9)
    assert found.chance_probability > 1e-3


def test_one_source_each_too_far_apart():
    with pytest.raises(NotEnoughMatches):
        match([(50, 60)], [(60, 60)], searchrad=3, tolerance=1)


def test_all_points_are_one():
    found = match(np.full((5, 2), 7.0), np.full((9, 2), 8.0), searchrad=3, tolerance=1)
    np.testing.assert_allclose(found.offset, (1, 1))
    assert len(found) == 1
    assert found.chance_probability > 1e-6


def test_identical_lists():
    xy = scattered(50)
    found = match(xy, xy, searchrad=5, tolerance=1)
    np.testing.assert_allclose(found.offset, 0, atol=1e-9)
    np.testing.assert_array_equal(found.image_index, np.arange(50))
    np.testing.assert_array_equal(found.ref_index, np.arange(50))


def test_input_is_not_changed():
    image, ref = shared_field((3, 2))
    before, offset = (image.copy(), ref.copy()), np.array([1.0, 1.0])
    found = match(image, ref, searchrad=5, tolerance=1, separation=1, offset=offset)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(ref, before[1])
    np.testing.assert_array_equal(offset, (1, 1))
    with pytest.raises(ValueError, match="read-only"):
        found.offset[:] = 99
    np.testing.assert_array_equal(offset, (1, 1))
    assert image.flags.writeable
    for array in (image, ref, offset):
        array.flags.writeable = False
    match(image, ref, searchrad=5, tolerance=1, offset=offset)
    match(image, ref, searchrad=5, tolerance=5, offset=offset, use2dhist=False)


# Memory


@pytest.mark.parametrize(("count", "searchrad", "limit"), [(30_000, 2.0, 60e6), (8_000, 600.0, 220e6)])
def test_memory(count, searchrad, limit):
    # drizzlepac takes 14 GB for 28,000 sources; 30,000 x 30,000 differences of two numbers are 14 GB.
    image, ref = shared_field((1.1, -0.6), shared=count // 2, others=count // 2, size=4000.0)
    tracemalloc.start()
    try:
        found = match(image, ref, searchrad=searchrad, tolerance=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(found.offset, (1.1, -0.6), atol=0.1)
    assert len(found) > 0.4 * count
    assert peak < limit


# Chance


@pytest.mark.parametrize(("count", "size"), [(2, 200), (3, 100), (5, 200), (8, 60), (15, 300), (40, 300), (100, 1000)])
def test_unrelated_lists_are_not_taken_for_a_match(count, size):
    chances = []
    for seed in range(170):
        random = np.random.default_rng((count, seed))
        image, ref = random.uniform(0, size, (count, 2)), random.uniform(0, size, (count + seed % 5, 2))
        try:
            chances.append(match(image, ref, searchrad=20, tolerance=1).chance_probability)
        except NotEnoughMatches:
            chances.append(1.0)
    assert min(chances) > 1e-6
    assert np.median(chances) > 0.3


@pytest.mark.parametrize(("count", "width"), [(300, 300), (1000, 300), (1000, 150), (3000, 300)])
def test_unrelated_sources_of_a_cluster(count, width):
    # In the core of a cluster more sources meet by chance than their mean density over the field lets one expect.
    chances = []
    for seed in range(10):
        random = np.random.default_rng((count, seed))
        image, ref = random.normal(2000, width, (2, count, 2))
        field = random.uniform(0, 4000, (2, count // 4, 2))
        found = match(np.concatenate([image, field[0]]), np.concatenate([ref, field[1]]), searchrad=20, tolerance=1)
        chances.append(found.chance_probability)
    assert min(chances) > 1e-6


def test_unrelated_sources_in_columns():
    # Bad columns, or the trails of bright stars: sources meet along a line, and nowhere beside it.
    chances = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        image, ref = (np.column_stack([random.choice([100, 300, 500], 200), random.uniform(0, 1000, 200)])
                      + random.normal(0, 0.1, (200, 2)) for _ in range(2))
        chances.append(match(image, ref, searchrad=20, tolerance=1).chance_probability)
    assert min(chances) > 1e-6


@pytest.mark.parametrize("width", [150, 300])
def test_true_matches_of_a_cluster(width):
    random = np.random.default_rng(3)
    image = random.normal(2000, width, (1000, 2))
    found = match(image, image + random.normal((9, -3), 0.1, image.shape), searchrad=20, tolerance=1)
    np.testing.assert_allclose(found.offset, (9, -3), atol=0.1)
    assert found.chance_probability < 1e-100


@pytest.mark.parametrize("seed", range(20))
def test_unrelated_lists_that_barely_overlap(seed):
    # The overlap holds next to nothing: what is matched there is no evidence.
    random = np.random.default_rng(seed)
    image, ref = random.uniform(0, 100, (30, 2)), random.uniform(0, 100, (30, 2)) + (98, 97)
    try:
        found = match(image, ref, searchrad=10, tolerance=1)
    except NotEnoughMatches:
        return
    assert found.chance_probability > 1e-6


@pytest.mark.parametrize("axis", [0, 1])
def test_unrelated_sources_on_a_line(axis):
    # A line has no area: the density of sources must not come out as zero or as infinite.
    chances = []
    for seed in range(50):
        image, ref = scattered(12, seed), scattered(12, 1000 + seed)
        image[:, axis] = ref[:, axis] = 500
        chances.append(match(image, ref, searchrad=20, tolerance=1).chance_probability)
    assert min(chances) > 1e-6


@pytest.mark.parametrize("number", [6, 10, 15])
def test_few_but_true_matches(number):
    image, ref = shared_field((4, 4), shared=number, others=5)
    assert match(image, ref, searchrad=10, tolerance=1).chance_probability < 1e-8


def test_chance_grows_with_what_was_tried():
    image, ref = shared_field((0.1, 0.1), shared=5, others=40, size=300)
    small, large = (match(image, ref, searchrad=r, tolerance=1).chance_probability for r in (3, 6))
    given = match(image, ref, searchrad=3, tolerance=1, use2dhist=False).chance_probability
    assert given < small < large


# Several peaks, several exposures


def test_candidates_come_by_height():
    image = scattered(60, seed=3)
    ref = np.concatenate([image + (5, -7), image[:25] + (-12, 9), scattered(40, seed=8)])
    found = list(candidates(image, ref, searchrad=20, tolerance=1))
    assert [len(one) for one in found[:2]] == [60, 25]
    assert found[0].prominence == 1 and 0.3 < found[1].prominence < 0.6
    np.testing.assert_allclose([one.offset for one in found[:2]], [(5, -7), (-12, 9)], atol=1e-9)
    prominences = [one.prominence for one in found]
    assert prominences == sorted(prominences, reverse=True) and len(found) <= 6


def test_exposures_that_share_an_offset_have_partners_of_their_own():
    ref = scattered(50)
    image, owner = np.concatenate([ref[:30], ref[10:]]) - (4, 2), np.repeat([0, 7], [30, 40])
    together = match(image, ref, searchrad=10, tolerance=1, owner=owner, separation=0.5)
    np.testing.assert_array_equal(together.image_index, np.arange(70))
    np.testing.assert_array_equal(together.ref_index, [*range(30), *range(10, 50)])
    assert len(match(image, ref, searchrad=10, tolerance=1)) == 50  # of one exposure, a star has one partner


def test_more_pairs_than_are_counted_give_the_same_offset(monkeypatch):
    image = scattered(400)
    ref = image + (3.25, -8.5)
    whole = match(image, ref, searchrad=20, tolerance=1)
    monkeypatch.setattr("imagereg.alignment.matching.match._MOST_PAIRS", 300)
    monkeypatch.setattr("imagereg.alignment.significance._MOST_COUNTED", 90)
    thinned = match(image, ref, searchrad=20, tolerance=1)
    np.testing.assert_allclose(thinned.offset, (3.25, -8.5), atol=1e-9)
    assert len(thinned) == len(whole) == 400 and thinned.chance_probability < 1e-100
    assert thinned.histogram.sum() < whole.histogram.sum()
