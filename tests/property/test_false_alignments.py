"""Over many draws: what has nothing in common is not aligned, and what is right is not changed."""

import numpy as np
import pytest
from planes import EASY, PLANE, assert_failed, exposure_at, noise, pair, rules_with, stars, verdicts
from skies import KINDS, SIZE, detector, is_right, sky

from imagereg.alignment import Exposure
from imagereg.alignment.sequence import Status
from imagereg.catalogs import SourceCatalog
from imagereg.wcs.plane import TangentPlane


def test_unrelated_sources():
    exposures = [exposure_at(stars(300, 1), "a"), exposure_at(stars(300, 2), "b")]
    result = verdicts(exposures, PLANE, rules_with(minobj=2))[1]
    assert_failed(result, "matches", "unrelated")
    assert result.chance_probability > 1e-6


@pytest.mark.parametrize("searchrad", [5.0, 20.0])
def test_unrelated_fields_of_a_cluster_are_not_aligned(searchrad):
    # Two exposures of one cluster, further apart than the search box: every source meets some other one.
    random = np.random.default_rng(8)
    image, ref = random.normal(PLANE.centre, 80, (2, 1000, 2))
    result = verdicts([exposure_at(ref, "a"), exposure_at(image, "b")], PLANE, rules_with(searchrad=searchrad))[1]
    assert_failed(result)


def test_rate_of_needless_changes():
    changed = [verdicts(pair((0, 0), seed=seed), PLANE, EASY)[1].status is Status.ALIGNED for seed in range(200)]
    assert sum(changed) <= 8  # 1 % of them are to be expected


@pytest.mark.parametrize("kind", KINDS)
def test_lists_that_look_alike_are_not_aligned(kind):
    made = sky(kind, 0, is_true=False)
    plane = TangentPlane.around(made.exposures[0].outlines)
    assert_failed(verdicts(made.exposures, plane, rules_with(matching="tolerance"))[1])


@pytest.mark.parametrize("name, seed", [("spikes", 0), ("spikes", 15), ("ghosts", 13), ("bad_columns", 34),
                                        ("bad_columns", 0), ("bad_columns", 12680), ("spikes", 13201),
                                        ("spikes", 16076), ("halos", 13256), ("jittered_grids", 13260),
                                        ("jittered_grids", 13558), ("mirrored", 19214)])
def test_defects_and_artifacts_are_not_aligned_by_patterns_either(name, seed):
    kind = next(kind for kind in KINDS if kind.__name__ == name)
    made = sky(kind, seed, is_true=False)
    plane = TangentPlane.around(made.exposures[0].outlines)
    assert_failed(verdicts(made.exposures, plane, rules_with())[1])


@pytest.mark.parametrize("seed, n_common", [(293, 0), (1, 8)])
def test_sources_at_chance_along_one_column_are_not_aligned(seed, n_common):
    # Eight of twenty meet at some offset by a chance of 2e-5, times thousands of transforms that are tried.
    random = np.random.default_rng(seed)
    lists = []
    for number in (seed, seed + 1):
        column = np.column_stack([500 + noise(20, number), random.uniform(50, 750, 20)])
        lists.append(np.concatenate([column, random.uniform((30, 30), (970, 770), (25, 2))]))
    lists[1][:n_common] = lists[0][:n_common] + (7, -4)
    lists[1][n_common:20, 0] += 7
    assert_failed(verdicts([exposure_at(lists[0], "a"), exposure_at(lists[1], "b")], PLANE, rules_with())[1])


@pytest.mark.parametrize("name, seed", [("globulars", 7), ("spikes", 0), ("clusters", 1), ("trails", 0)])
def test_few_stars_in_lonely_places_outweigh_crowds(name, seed):
    kind = next(kind for kind in KINDS if kind.__name__ == name)
    made = sky(kind, seed, is_true=True)
    plane = TangentPlane.around(made.exposures[0].outlines)
    result = verdicts(made.exposures, plane, rules_with())[1]
    assert is_right(made, result), result.reason


def test_stars_among_what_clutters_the_lists_are_aligned():
    kind = next(kind for kind in KINDS if kind.__name__ == "trails")
    made = sky(kind, 1, is_true=True)
    plane = TangentPlane.around(made.exposures[0].outlines)
    result = verdicts(made.exposures, plane, rules_with(minobj=6, matching="tolerance"))[1]
    assert result.status is Status.ALIGNED
    assert is_right(made, result)


def test_what_exposures_show_together_is_not_aligned_by_hot_pixels():
    # The stars of the last two are not in the first; the hot pixels are, though the telescope moved.
    random = np.random.default_rng(3)
    hot = random.uniform(20, SIZE - 20, (120, 2))
    shown = random.uniform(200, SIZE - 200, (80, 2))
    exposures = []
    for name, moved, own in (("a", (0, 0), stars(80, 3)), ("b", (27, 3), shown), ("c", (-31, 12), shown)):
        xy = np.concatenate([own + moved, hot])
        xy += random.normal(0, 0.02, xy.shape)
        sources = SourceCatalog(xy, xy_error=np.full(xy.shape, 0.02), flux=random.exponential(1000, len(xy)) + 50)
        exposures.append(Exposure.measured(name, [detector(SIZE / 2 + np.array(moved))], sources))
    plane = TangentPlane.around(exposures[0].outlines)
    for result in verdicts(exposures, plane, rules_with(enforce_user_order=True))[1:]:
        assert_failed(result)
