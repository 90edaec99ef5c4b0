"""Over many draws: what has nothing in common is not aligned, and what is right is not changed."""

import numpy as np
import pytest
from planes import EASY, PLANE, assert_failed, exposure_at, pair, rules_with, stars, verdicts

from imagereg.alignment.sequence import Status


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
