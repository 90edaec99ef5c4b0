"""Probabilities count degrees of freedom, transforms tried, and independent pairs."""

import dataclasses

import numpy as np
import pytest
from planes import ERROR, PLANE, easy, exposure_at, noise, stars, verdicts
from scipy.special import fdtri

from imagereg.alignment.exposure import Metadata
from imagereg.alignment.sequence import Status


@pytest.mark.parametrize(
    "probability, status", [(0.0095, Status.ALIGNED), (0.0105, Status.UNCHANGED)]
)
@pytest.mark.parametrize("count", [5, 12])
def test_a_shift_is_needed_at_one_percent_of_the_f_distribution(count, probability, status):
    """Degrees of freedom: two a match, less two for the shift; both lists have errors."""
    f_ratio = fdtri(2, 2 * count - 2, 1 - probability)
    shift = np.sqrt(f_ratio * 2 * (2 * ERROR**2) / count)
    ref_xy = stars(count, seed=3)
    exposures = exposure_at(ref_xy, "a"), exposure_at(ref_xy + shift * np.array([0.6, 0.8]), "b")
    result = verdicts(exposures, PLANE, easy(fitgeometry="shift", minobj=count))[1]
    assert result.nmatches == count
    assert result.status is status, result.reason


def test_rotations_are_tried_by_fits_that_rotate():
    ref_xy = stars(12, seed=3)
    exposures = exposure_at(ref_xy, "a"), exposure_at(ref_xy + (4.0, -6.0), "b")
    shift, rscale = (
        verdicts(exposures, PLANE, easy(fitgeometry=geometry))[1].chance_probability
        for geometry in ("shift", "rscale")
    )
    assert 0 < shift < rscale


def test_offsets_of_the_search_box_are_tried():
    ref_xy = stars(5, seed=3)
    exposures = exposure_at(ref_xy, "a"), exposure_at(ref_xy + (0.4, -0.3), "b")
    found, known = (
        verdicts(
            exposures,
            PLANE,
            easy(
                fitgeometry="shift",
                minobj=5,
                matching="tolerance",
                maxchance=1.0,
                searchrad=20.0,
                use2dhist=use2dhist,
            ),
        )[1].chance_probability
        for use2dhist in (True, False)
    )
    assert found > 100 * known > 0  # the box holds (2 * 20)**2 / pi = 509 circles of the tolerance


def test_one_star_seen_by_several_exposures_of_a_visit_is_one_coincidence():
    ref_xy = stars(8, seed=3)
    first = exposure_at(ref_xy, "a")
    others = [
        dataclasses.replace(
            exposure_at(ref_xy + (4.0, -6.0) + noise(ref_xy.shape, seed, 0.001), f"b{seed}"),
            metadata=Metadata(visit="shared"),
        )
        for seed in range(4)
    ]
    rules = easy(fitgeometry="shift", minobj=8, group="visit", maxchance=1.0)
    alone = verdicts([first, others[0]], PLANE, rules)[1]
    together = verdicts([first, *others], PLANE, rules)[1]
    assert (alone.status, together.status) == (Status.ALIGNED, Status.ALIGNED), together.reason
    assert together.chance_probability >= alone.chance_probability > 0
