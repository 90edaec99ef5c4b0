"""One judge: a match is believed up to maxchance, whichever way it was found."""

import numpy as np
import pytest
from planes import PLANE, exposure_at, noise, rules_with, stars, verdicts

from imagereg.alignment import significance
from imagereg.alignment.matching.match import PointSet, pair_at
from imagereg.alignment.significance import Judge, chance_of_pairs, is_expected_peak
from imagereg.errors import NotEnoughMatches
from imagereg.wcs import Status


def sparse_pair():
    """Return two exposures that share 4 stars of 19, far apart: a pattern with a chance of 0.002."""
    random = np.random.default_rng(100)
    shared = stars(4, seed=0)
    exposures = []
    for name, shift in (("a", (0, 0)), ("b", (70, 30))):
        xy = np.concatenate([shared + shift, random.uniform(0, 800, (15, 2))])
        exposures.append(exposure_at(xy + noise(xy.shape, len(exposures) + 1), name))
    return exposures


@pytest.mark.parametrize(("maxchance", "status"), [(0.01, Status.ALIGNED), (1e-3, Status.FAILED),
                                                   (1e-6, Status.FAILED)])
def test_maxchance_holds_for_patterns(maxchance, status):
    rules = rules_with(minobj=3, matching="triangles", maxchance=maxchance)
    result = verdicts(sparse_pair(), PLANE, rules)[1]
    assert result.status is status, result.reason
    if status is Status.ALIGNED:
        np.testing.assert_allclose(result.offset, (70, 30), atol=0.1)
        assert 1e-3 < result.chance_probability <= 0.01
    else:
        assert "the best gives 4 matches (chance 0.00" in result.reason


def test_strict_maxchance_holds_for_patterns():
    exposures = [exposure_at(xy + noise(xy.shape, n), name) for n, (name, xy) in
                 enumerate([("a", stars(6)), ("b", stars(6) + (70, 30))])]
    options = {"minobj": 3, "matching": "triangles"}
    aligned = verdicts(exposures, PLANE, rules_with(**options))[1]
    assert aligned.status is Status.ALIGNED
    strict = rules_with(**options, maxchance=aligned.chance_probability / 2)
    assert verdicts(exposures, PLANE, strict)[1].status is Status.FAILED


def test_judge_believes_up_to_maxchance():
    judge = Judge(maxchance=1e-6, tolerance=1.0)
    assert judge.believes(1e-6) and not judge.believes(1.1e-6)


@pytest.mark.parametrize(("distance", "matches", "expected"), [
    (3.1, 70, True), (2.9, 70, False), (3.1, 69, False), (np.inf, 100, True)])
def test_rival_is_elsewhere_and_about_as_good(distance, matches, expected):
    assert Judge(1e-6, tolerance=1.0).is_rival(distance, matches, 100) is expected


def test_trials_count_offsets_and_turns():
    def trials(tolerance, geometry):
        return significance.n_trials_of_offset(10.0, tolerance, geometry=geometry, first_tolerance=1.0)

    assert trials(1.0, "shift") == pytest.approx(400 / np.pi)
    assert trials(0.5, "shift") == pytest.approx(4 * trials(1.0, "shift"))
    assert trials(1.0, "rscale") == pytest.approx(10 * trials(1.0, "shift"))
    assert trials(0.5, "rscale") == pytest.approx(16 * trials(1.0, "rscale"))
    given = significance.n_trials_of_offset(0.0, 1.0, geometry="shift", first_tolerance=1.0)
    assert given == 1.0


def test_matches_that_stay_on_their_pixels():
    pixel = np.column_stack([np.ones(10), np.arange(20.0).reshape(10, 2) * 50])
    step = np.tile((3.0, 4.0), (10, 1))
    other_chip = pixel + (1, 0, 0)
    assert significance.detector_fixed_shift(pixel, pixel + (0, 1, 1), step) == 5.0
    assert significance.detector_fixed_shift(pixel, pixel + (0, 3, 0), step) == 0.0
    assert significance.detector_fixed_shift(pixel, other_chip, step) == 0.0
    assert significance.detector_fixed_shift(pixel, np.full((10, 3), np.nan), step) == 0.0
    i, r = significance.pairs_on_same_pixel(pixel, np.concatenate([other_chip, pixel[3:5] + (0, 1, 0)]))
    assert (i.tolist(), r.tolist()) == ([3, 4], [10, 11])


def test_odds_of_a_pattern_are_never_zero():
    chance = significance.chance_of_pattern(np.zeros(500), 0.01, tolerance=1.0, n_trials=1e6)
    assert 0 < chance <= 1e-299
    few = significance.chance_of_pattern(np.zeros(6), 0.01, tolerance=1.0, n_trials=1e6)
    assert few == pytest.approx(2e6 * 0.0025**4 / 24, rel=0.01)  # four of them at half the tolerance


def columns(x, random):
    """Return the positions of 200 detections along bad columns and of 100 elsewhere."""
    along = np.column_stack([random.choice(x, 200) + random.normal(0, 0.05, 200), random.uniform(1, 2000, 200)])
    return np.concatenate([along, random.uniform(1, 2000, (100, 2))])


@pytest.mark.parametrize("tolerance", [1.0, 0.5, 0.125])
def test_lonely_sources_of_a_bad_column_are_no_evidence(tolerance):
    """Along a line chance gives more than rings tell, for the sources with room around them too."""
    odds = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        x = random.uniform(100, 1900, 5)
        image, ref = (columns(x, random) for _ in range(2))
        try:
            pairs = pair_at(PointSet.of(image), PointSet.of(ref), (0, 0), tolerance=tolerance, separation=0)
        except NotEnoughMatches:
            continue
        odds.append(chance_of_pairs(len(pairs), image, ref, tolerance, matched=pairs.image_index)[0])
    assert np.median(odds) > -1.5  # -4 at the largest tolerance, were it the rings alone
    assert min(odds) > -6


def test_a_peak_that_chance_gives_somewhere_in_a_wide_box_is_expected():
    random = np.random.default_rng(3)
    image, ref = random.uniform(0, 2000, (2, 300, 2))
    assert is_expected_peak(3, image, ref, 1.0, half_box=500)
    assert not is_expected_peak(3, image, ref, 1.0, half_box=5)
    assert not is_expected_peak(12, image, ref, 1.0, half_box=500)
    assert not is_expected_peak(3, image, ref + 5000, 1.0, half_box=500), "no common field tells nothing"
