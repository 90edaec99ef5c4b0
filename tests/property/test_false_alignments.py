"""Over many draws: what has nothing in common is not aligned, and what is right is not changed."""

import numpy as np
import pytest
from planes import EASY, PLANE, assert_failed, exposure_at, noise, pair, rules_with, stars, verdicts
from skies import KINDS, is_right, sky

from imagereg.alignment.sequence import Status
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
                                        ("bad_columns", 0), ("bad_columns", 12680)])
def test_defects_and_artifacts_are_not_aligned_by_patterns_either(name, seed):
    kind = next(kind for kind in KINDS if kind.__name__ == name)
    made = sky(kind, seed, is_true=False)
    plane = TangentPlane.around(made.exposures[0].outlines)
    assert_failed(verdicts(made.exposures, plane, rules_with())[1])


@pytest.mark.parametrize("width, status", [(0.1, Status.FAILED), (300, Status.ALIGNED)])
def test_sources_along_a_line_are_no_evidence(width, status):
    # Ten sources that both lists have, along a column or over the field, among forty that one list has.
    random = np.random.default_rng(6)
    common = np.column_stack([500 + random.uniform(-width, width, 10), random.uniform(50, 750, 10)])
    lists = [np.concatenate([common + by, stars(40, seed)]) for by, seed in ((0, 1), ((7.0, -4.0), 2))]
    exposures = [exposure_at(xy + noise(xy.shape, 3), name) for xy, name in zip(lists, "ab", strict=True)]
    assert verdicts(exposures, PLANE, rules_with())[1].status is status


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
