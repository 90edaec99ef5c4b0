"""With expand_refcat a reference learns from aligned exposures: means, errors, new stars."""

import dataclasses

import numpy as np
import pytest
from planes import EASY, ERROR, PLANE, exposure_at, noise, stars

from imagereg.alignment.sequence import Status, align
from imagereg.catalogs.sources import Flag

GROWING = dataclasses.replace(EASY, expand_refcat=True, fitgeometry="shift", magclip=None)
COUNT = 14
REJECTED = 3  # row of the pair that the fit rejects
NEW, DOUBTFUL = COUNT, COUNT + 1  # rows of the sources that the image alone has


def seen():
    """Return a reference and an image with various errors, some on either side of RA 0."""
    random = np.random.default_rng(4)
    ref_xy = stars(COUNT, seed=11)
    ref_xy[4:8] = PLANE.sky_to_plane(
        [(0.0, 40.0 + step) for step in (-0.003, -0.001, 0.001, 0.003)]
    )
    ref_error, image_error = (
        random.uniform(0.5, 2, (count, 1)) * [ERROR, ERROR] for count in (COUNT, COUNT + 2)
    )
    image_xy = np.concatenate([ref_xy, stars(2, seed=12)]) + (4.0, -6.0)
    image_xy = image_xy + noise(image_xy.shape, 13)
    image_xy[REJECTED] += (0.5, 0.4)
    flags = np.zeros(COUNT + 2, int)
    flags[DOUBTFUL] = Flag.POOR_FIT
    return (
        exposure_at(ref_xy + noise(ref_xy.shape, 14), "a", xy_error=ref_error),
        exposure_at(image_xy, "b", xy_error=image_error, flags=flags),
    )


@pytest.fixture(scope="module")
def grown():
    """Return both exposures, the verdict on the second, and the reference in the end."""
    first, second = seen()
    verdicts, reference = align([first, second], PLANE, GROWING)
    assert verdicts[1].status is Status.ALIGNED
    assert REJECTED in verdicts[1].rows
    assert verdicts[1].nmatches == len(verdicts[1].rows) - 1 >= COUNT - 3
    return first, second, verdicts[1], reference


def errors(sources):
    """Return the errors of sources, pixels of the plane."""
    return sources.sky_error / PLANE.pixel_scale


@pytest.fixture(scope="module")
def sources(grown):
    """Return the sources of the reference in the end."""
    return grown[3].at(None)


def test_matched_sources_are_the_mean_weighted_by_all_errors(grown, sources):
    first, second, verdict, _ = grown
    used = verdict.fit.used
    rows, ref_rows = verdict.rows[used], verdict.ref_rows[used]
    own = errors(first.sources)[ref_rows] ** -2
    other = (
        errors(second.sources)[rows] ** 2 + verdict.fit.shift_error**2
    ) ** -1  # the fit's error is one too
    moved = verdict.fit(verdict.image_xy[used])
    mean = (own * verdict.ref_xy[used] + other * moved) / (own + other)
    np.testing.assert_allclose(PLANE.sky_to_plane(sources.sky[ref_rows]), mean, atol=1e-6)
    np.testing.assert_allclose(errors(sources)[ref_rows], (own + other) ** -0.5, rtol=1e-6)


def test_rejected_pair_changes_nothing(grown, sources):
    first, _, verdict, _ = grown
    row = verdict.ref_rows[list(verdict.rows).index(REJECTED)]
    np.testing.assert_array_equal(sources.sky[row], first.sources.sky[row])
    np.testing.assert_array_equal(sources.sky_error[row], first.sources.sky_error[row])


def test_new_stars_are_added_where_the_fit_has_them(grown, sources):
    first, second, verdict, _ = grown
    assert len(sources) == COUNT + 1  # neither the rejected pair nor the doubtful source
    expected = verdict.fit(PLANE.sky_to_plane(second.sources.sky[[NEW]]))
    np.testing.assert_allclose(PLANE.sky_to_plane(sources.sky[[COUNT]]), expected, atol=1e-6)
    error = np.hypot(errors(second.sources)[NEW], verdict.fit.shift_error)
    np.testing.assert_allclose(errors(sources)[COUNT], error, rtol=1e-6)


def test_rejected_pair_is_no_witness(grown):
    """A star is what a second exposure has seen where the fit puts it."""
    _, _, verdict, reference = grown
    confirmed = reference.confirmed(np.arange(COUNT + 1))
    expected = np.isin(np.arange(COUNT + 1), verdict.ref_rows[verdict.fit.used])
    np.testing.assert_array_equal(confirmed, expected)
    assert not confirmed[verdict.ref_rows[list(verdict.rows).index(REJECTED)]]


def test_image_that_stays_teaches_the_reference_nothing():
    first, _ = seen()
    ref_xy = PLANE.sky_to_plane(first.sources.sky)
    image_xy = np.concatenate([ref_xy + noise(ref_xy.shape, 15), stars(2, seed=12)])
    verdicts, reference = align([first, exposure_at(image_xy, "b")], PLANE, GROWING)
    assert verdicts[1].status is Status.UNCHANGED
    np.testing.assert_array_equal(reference.at(None).sky, first.sources.sky)


def test_some_pairs_lie_on_either_side_of_right_ascension_zero(grown):
    first, _, verdict, _ = grown
    ref_ra = first.sources.sky[verdict.ref_rows, 0]
    image_ra = PLANE.plane_to_sky(verdict.fit(verdict.image_xy))[:, 0]
    assert (np.abs(ref_ra - image_ra) > 180).any()
