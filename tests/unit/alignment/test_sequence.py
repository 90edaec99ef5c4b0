"""Every exposure gets a verdict with its reason, and a success has the shift that a shiftfile wants."""

import dataclasses
import pickle

import numpy as np
import pytest
from planes import (
    CHIP,
    EASY,
    ERROR,
    PLANE,
    SHAPE,
    as_drizzlepac,
    assert_failed,
    chip_wcs,
    exposure_at,
    noise,
    pair,
    rules_with,
    stars,
    verdicts,
)

from imagereg.alignment import sequence
from imagereg.alignment import solve as solve_module
from imagereg.alignment.sequence import Alignment, Chip, Exposure, Metadata, Status, align
from imagereg.catalogs.reference import Reference
from imagereg.catalogs.sources import Flag, SourceCatalog
from imagereg.errors import AlignmentError
from imagereg.wcs.plane import pixel_to_sky

# Successes


@pytest.mark.parametrize(("shift", "rot", "scale"), [
    ((0, 0), 0, 1), ((4.25, -6.5), 0, 1), ((-12, 3), 0.05, 1.0002), ((3, 15), -0.2, 0.9995), ((1, 1), 0.6, 1.004)])
def test_shift_has_the_sign_of_drizzlepac(shift, rot, scale):
    reference, result = verdicts(pair(shift, rot, scale), PLANE, dataclasses.replace(EASY, onlybetter=False))
    assert reference.status is Status.REFERENCE
    assert (result.status, result.reason) == (Status.ALIGNED, "")
    np.testing.assert_allclose(result.offset, shift, atol=0.02)
    assert result.rotation == pytest.approx(rot, abs=0.002)
    assert result.scale == pytest.approx(scale, abs=4e-5)
    assert result.nmatches >= 55
    assert result.chance_probability < 1e-6


def test_equation_of_the_docstring():
    # An image with large rotation and scale, so that a sign or an inverse in the wrong place shows.
    exposures = pair((2.5, -7.5), 0.5, 1.003, size=1e-6)
    result = verdicts(exposures, PLANE, EASY)[1]
    expected = as_drizzlepac(result.ref_xy, *result.offset, result.rotation, result.scale)
    np.testing.assert_allclose(result.image_xy, expected, atol=1e-4)
    np.testing.assert_allclose(result.fit(result.image_xy), result.ref_xy, atol=1e-4)


def test_corrected_chips_have_the_sky_of_the_reference():
    exposures = pair((9.0, 5.0), 0.1, 1.0005, size=1e-6)
    result = verdicts(exposures, PLANE, EASY)[1]
    (chip,) = result.corrected_chips()
    assert (chip.extver, chip.shape) == (1, SHAPE)
    image = exposures[1].sources[result.rows]
    found = PLANE.sky_to_plane(pixel_to_sky(chip.wcs, image.xy))
    np.testing.assert_allclose(found, result.ref_xy, atol=1e-3)
    np.testing.assert_array_equal(exposures[1].chips[0].wcs.wcs.crval, CHIP.wcs.wcs.crval)


def test_rows_point_into_the_catalogs():
    exposures = pair((4, -6))
    order = np.random.default_rng(5).permutation(60)
    exposures[1] = dataclasses.replace(exposures[1], sources=exposures[1].sources[order])
    result = verdicts(exposures, PLANE, EASY)[1]
    np.testing.assert_array_equal(order[result.rows], result.ref_rows)
    np.testing.assert_allclose(PLANE.sky_to_plane(exposures[1].sources.sky[result.rows]), result.image_xy)
    np.testing.assert_allclose(PLANE.sky_to_plane(result.reference.sky[result.ref_rows]), result.ref_xy)
    assert len(result.fit.residuals) == len(result.rows) == len(result.image_xy)


def test_reference_is_at_rest():
    reference = verdicts(pair(), PLANE, EASY)[0]
    assert reference.offset.tolist() == [0, 0]
    assert (reference.rotation, reference.scale, reference.nmatches) == (0, 1, 0)
    assert reference.errors.tolist() == [0] * 4
    assert reference.rms.tolist() == [0, 0]
    assert reference.name == "a_flt.fits"


def test_errors_are_honest():
    pulls = []
    for seed in range(60):
        result = verdicts(pair((4, -6), 0.03, 1.0001, count=30, seed=3 * seed), PLANE, EASY)[1]
        found = np.array([*result.offset, result.rotation, result.scale])
        pulls.append((found - (4, -6, 0.03, 1.0001)) / result.errors)
    spread = np.sqrt(np.mean(np.square(pulls), axis=0))
    assert (0.7 < spread).all(), spread
    assert (spread < 1.35).all(), spread


def test_rms_and_residuals():
    exposures = pair(size=0.1)
    result = verdicts(exposures, PLANE, EASY)[1]
    np.testing.assert_allclose(result.rms, 0.1 * np.sqrt(2), rtol=0.3)
    residuals = result.sky_residuals()
    assert residuals.shape == (result.nmatches, 2)
    length = np.hypot(*residuals.T)
    np.testing.assert_allclose(length, np.hypot(*result.fit.residuals[result.fit.used].T) * 0.05, rtol=1e-4)


def test_residuals_point_to_the_east_and_north():
    ref_xy = stars(40)
    image_xy = ref_xy.copy()
    exposures = [exposure_at(ref_xy, "a"), exposure_at(image_xy + noise(image_xy.shape, 3, 1e-4), "b")]
    star = 7
    sky = exposures[1].sources.sky.copy()
    sky[star] -= np.array([0.004, 0.0]) / 3600 / np.cos(np.deg2rad([40, 0]))  # the image has it to the west
    exposures[1] = dataclasses.replace(exposures[1], sources=exposures[1].sources.replace(sky=sky))
    result = verdicts(exposures, PLANE, dataclasses.replace(EASY, nclip=0))[1]
    residual = result.sky_residuals()[list(result.rows).index(star)]
    np.testing.assert_allclose(residual, (0.004, 0), atol=0.0005)


@pytest.mark.parametrize("geometry", ["shift", "rscale", "general"])
def test_geometries(geometry):
    result = verdicts(pair((4, -6)), PLANE, dataclasses.replace(EASY, fitgeometry=geometry))[1]
    assert result.fit.geometry == geometry
    np.testing.assert_allclose(result.offset, (4, -6), atol=0.02)
    if geometry == "shift":
        assert (result.rotation, result.scale) == (0, 1)


def test_first_guess_is_that_of_the_image():
    # xoffset and yoffset are of the image against the reference, like dx and dy
    rules = dataclasses.replace(EASY, searchrad=3.0, xoffset=40.0, yoffset=-30.0)
    result = verdicts(pair((41, -29)), PLANE, rules)[1]
    assert result.status is Status.ALIGNED
    np.testing.assert_allclose(result.offset, (41, -29), atol=0.02)
    without = dataclasses.replace(EASY, xoffset=41.0, yoffset=-29.0, use2dhist=False)
    np.testing.assert_allclose(verdicts(pair((41, -29)), PLANE, without)[1].offset, (41, -29), atol=0.02)


def test_rotation_brings_in_pairs_that_the_offset_alone_did_not():
    exposures = pair((3, 3), 0.4, 1.0, count=200)
    result = verdicts(exposures, PLANE, EASY)[1]
    assert len(result.match) < 150
    assert result.nmatches > 190


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_fit_is_of_the_pairs_even_where_they_did_not_settle(monkeypatch, rounds):
    monkeypatch.setattr(solve_module, "_MOST_REMATCHES", rounds)
    result = verdicts(pair((3, 3), 0.4, 1.0, count=200), PLANE, EASY)[1]
    assert len(result.fit.residuals) == len(result.fit.used) == len(result.rows) == len(result.image_xy)
    np.testing.assert_allclose(result.fit.residuals, result.ref_xy - result.fit(result.image_xy), atol=1e-9)


def test_sources_that_are_no_stars_are_left_out():
    ref_xy, junk = stars(40), stars(500, seed=9)
    image_xy = as_drizzlepac(ref_xy, 4, -6)
    exposures = []
    for name, xy, seed in (("a", ref_xy, 1), ("b", image_xy, 2)):
        everything = np.concatenate([xy + noise(xy.shape, seed), junk + noise(junk.shape, seed)])  # junk stands still
        flags = np.where(np.arange(540) < 40, 0, (Flag.POOR_FIT, Flag.ASTRAY)[seed - 1])
        exposures.append(exposure_at(everything, name, flags=flags))
    result = verdicts(exposures, PLANE, EASY)[1]
    np.testing.assert_allclose(result.offset, (4, -6), atol=0.02)
    assert result.rows.max() < 40
    assert result.ref_rows.max() < 40


def test_doubtful_sources_are_better_than_none():
    exposures = [dataclasses.replace(exposure, sources=exposure.sources.replace(flags=np.full(60, Flag.POOR_FIT)))
                 for exposure in pair()]
    assert verdicts(exposures, PLANE, EASY)[1].status is Status.ALIGNED


def test_two_chips():
    lower, upper = Chip(1, chip_wcs((500.5, 800.5)), (400, 1000)), Chip(2, chip_wcs((500.5, 350.5)), (400, 1000))
    ref_xy = stars(80)
    exposures = []
    for name, xy in (("a", ref_xy), ("b", as_drizzlepac(ref_xy, 4, -6))):
        sky = PLANE.plane_to_sky(xy + noise(xy.shape, len(exposures)))
        parts = [SourceCatalog(chip.wcs.wcs_world2pix(sky[some], 1), chip=chip.extver, xy_error=np.full((40, 2), ERROR))
                 for chip, some in ((lower, slice(40)), (upper, slice(40, 80)))]
        exposures.append(Exposure.measured(name, [lower, upper], SourceCatalog.concat(parts)))
        np.testing.assert_allclose(exposures[-1].sources.sky, sky, atol=1e-9)
    result = verdicts(exposures, PLANE, EASY)[1]
    np.testing.assert_allclose(result.offset, (4, -6), atol=0.02)
    chips = result.corrected_chips()
    assert [chip.extver for chip in chips] == [1, 2]
    for chip, rows in zip(chips, (slice(40), slice(40, 80)), strict=True):
        found = PLANE.sky_to_plane(pixel_to_sky(chip.wcs, exposures[1].sources.xy[rows]))
        np.testing.assert_allclose(found, ref_xy[rows], atol=0.15)


def test_solution_says_what_was_found():
    reference, result = verdicts(pair((4, -6), 0.1), PLANE, EASY)
    solution = result.solution("a_flt.fits")
    assert (solution.status, solution.reason, solution.reference) == ("aligned", "", "a_flt.fits")
    assert (solution.geometry, solution.nmatches) == ("rscale", result.nmatches)
    assert solution.chance == result.chance_probability
    assert (solution.ra_rms, solution.dec_rms) == tuple(result.sky_rms)
    np.testing.assert_array_equal(solution(result.image_xy), result.fit(result.image_xy))
    unmoved = reference.solution("a_flt.fits")
    np.testing.assert_array_equal(unmoved([(3.0, 4.0)]), [(3.0, 4.0)])
    assert unmoved.stays and unmoved.status == "reference" and unmoved.geometry == ""


def test_solution_of_a_failure_has_no_map():
    result = verdicts(pair((4, -6), count=5), PLANE, EASY)[1]
    solution = result.solution("a_flt.fits")
    assert solution.status == "failed" and solution.reason == result.reason
    assert np.isnan([solution.xx, solution.x_shift, solution.x_centre]).all() and not solution.is_applied


# Failures


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_sources(count):
    good, bad = pair()
    bad = dataclasses.replace(bad, sources=bad.sources[:count])
    third = dataclasses.replace(pair()[1], name="c_flt.fits")
    reference, few, after = verdicts([good, bad, third], PLANE, EASY)
    assert_failed(few, str(count), "minobj=10")
    assert (reference.status, after.status) == (Status.REFERENCE, Status.ALIGNED)
    assert np.isnan(few.offset).all()
    assert np.isnan([few.rotation, few.scale, few.chance_probability, *few.rms, *few.errors]).all()
    assert few.nmatches == 0


def test_no_source_and_no_least_number():
    good, bad = pair()
    result = verdicts([good, dataclasses.replace(bad, sources=bad.sources[:0])], PLANE, rules_with(minobj=0))[1]
    assert_failed(result, "0 sources")


def test_reference_without_sources():
    first, second = pair()
    failed, other = verdicts([dataclasses.replace(first, sources=first.sources[:3]), second], PLANE, EASY)
    assert_failed(failed, "3 sources", "minobj=10")
    assert_failed(other, "reference", "a_flt.fits")


def test_exposure_that_could_not_be_read():
    first, second = pair()
    broken = Exposure("c_flt.fits", "c_flt.fits", Metadata(), (), SourceCatalog.empty(),
                      "c_flt.fits is not a FITS file")
    results = verdicts([first, broken, second], PLANE, EASY)
    assert [result.status for result in results] == [Status.REFERENCE, Status.FAILED, Status.ALIGNED]
    assert results[1].reason == "c_flt.fits is not a FITS file"
    results = verdicts([broken, first, second], PLANE, EASY)
    assert {result.status for result in results} == {Status.FAILED}
    assert_failed(results[2], "c_flt.fits")


def test_too_few_matches():
    ref_xy = stars(60)
    image_xy = np.concatenate([as_drizzlepac(ref_xy[:8], 4, -6), stars(50, seed=77)])
    result = verdicts([exposure_at(ref_xy, "a"), exposure_at(image_xy, "b")], PLANE, EASY)[1]
    assert_failed(result, "matches", "minobj=10", "tolerance=1")


def test_offset_outside_the_search_box():
    result = verdicts(pair((35, 0), count=12), PLANE, dataclasses.replace(EASY, matching="tolerance"))[1]
    assert_failed(result)


@pytest.mark.parametrize("matching", ["auto", "triangles"])
def test_pattern_finds_what_is_outside_the_search_box(matching):
    result = verdicts(pair((35, 0), count=12), PLANE, dataclasses.replace(EASY, matching=matching))[1]
    assert result.status is Status.ALIGNED and result.chance_probability < 1e-6
    assert result.reason.startswith("offset 1.75 arcsec is outside searchrad=1 arcsec; found ")
    assert ("by pattern match" in result.reason) == (matching == "triangles")
    np.testing.assert_allclose(result.offset, (35, 0), atol=0.05)


@pytest.mark.parametrize("count", [5, 6, 7])
def test_few_matches_outside_the_search_box(count):
    """Other fields may share six sources by accident; whoever asks for so few gets them."""
    rules = dataclasses.replace(EASY, minobj=15, minobj_is_asked=False)
    exposures = pair((35, 0), count=count)
    result = verdicts(exposures, PLANE, rules)[1]
    if count < 7:
        assert_failed(result, "outside searchrad", f"minobj={count}")
    else:
        assert result.status is Status.ALIGNED
    asked = dataclasses.replace(EASY, minobj=count, minobj_is_asked=True)
    assert verdicts(exposures, PLANE, asked)[1].status is Status.ALIGNED
    for expected in ((15, 0), (16, 16)):  # the box has corners
        assert verdicts(pair(expected, count=count), PLANE, rules)[1].status is Status.ALIGNED


def test_few_of_many_outside_the_search_box():
    """Seven matches are believed where they are most of what should match, or where they are expected."""
    rules = dataclasses.replace(EASY, minobj=15, minobj_is_asked=False)
    for offset, status in (((35, 0), Status.FAILED), ((15, 0), Status.ALIGNED)):
        ref_xy = stars(30)
        image_xy = np.concatenate([stars(20, seed=77), as_drizzlepac(ref_xy[-7:], *offset)])
        result = verdicts([exposure_at(ref_xy, "a"), exposure_at(image_xy, "b")], PLANE, rules)[1]
        assert result.status is status


def test_same_catalog_twice():
    first, second = pair()
    twin = dataclasses.replace(first, name="copy_flt.fits")
    results = verdicts([first, twin, second], PLANE, EASY)
    assert_failed(results[1], "a_flt.fits", "same exposure")
    assert results[2].status is Status.ALIGNED


def test_fit_that_the_pairs_do_not_determine():
    line = np.random.default_rng(5).uniform(100, 700, 30)[:, None] * (1, 1) + (0, 30)
    exposures = [exposure_at(line, "a"), exposure_at(as_drizzlepac(line, 4, -6), "b")]
    result = verdicts(exposures, PLANE, dataclasses.replace(EASY, fitgeometry="general"))[1]
    assert_failed(result, "general")
    assert verdicts(exposures, PLANE, EASY)[1].status is Status.ALIGNED


@pytest.mark.parametrize("place", [(180.0, -40.0), (90.0, 0.0), (120.0, 10.0)])
def test_exposure_of_another_part_of_the_sky(place):
    first, second = pair()
    wcs = CHIP.wcs.deepcopy()
    wcs.wcs.crval = place
    xy = stars(50)
    away = Exposure.measured("away.fits", [Chip(1, wcs, SHAPE)], SourceCatalog(xy, xy_error=np.full(xy.shape, ERROR)))
    results = verdicts([first, away, second], PLANE, EASY)
    assert_failed(results[1])
    assert results[2].status is Status.ALIGNED


def test_sources_without_a_place_on_the_sky():
    first, second = pair()
    sky = second.sources.sky.copy()
    sky[5] = np.nan
    second = dataclasses.replace(second, sources=second.sources.replace(sky=sky))
    result = verdicts([first, second], PLANE, EASY)[1]
    assert result.status is Status.FAILED or 5 not in result.rows


@pytest.mark.parametrize("which", ["image", "reference", "both"])
def test_sources_without_errors(which):
    exposures = pair()
    for number, name in enumerate(("reference", "image")):
        if which in (name, "both"):
            sources = exposures[number].sources
            exposures[number] = dataclasses.replace(exposures[number], sources=sources.replace(
                sky_error=np.full(sources.sky.shape, np.nan), xy_error=np.full(sources.sky.shape, np.nan)))
    result = verdicts(exposures, PLANE, EASY)[1]
    assert result.status is Status.ALIGNED
    np.testing.assert_allclose(result.offset, (4, -6), atol=0.02)
    assert result.errors[0] == pytest.approx(ERROR * np.sqrt(2 / 60), rel=0.4)


def test_no_other_error_is_hidden(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(solve_module, "match_offsets", broken)
    with pytest.raises(ZeroDivisionError):
        align(pair(), PLANE, EASY)


def test_every_alignment_error_is_a_status(monkeypatch):
    def broken(*_, **__):
        raise AlignmentError("some reason")

    monkeypatch.setattr(solve_module, "fit_linear", broken)
    assert_failed(verdicts(pair(), PLANE, EASY)[1], "some reason")


# Several exposures


def test_files_of_one_name_are_told_apart():
    # a/x_flt.fits and b/x_flt.fits
    first, second = pair()
    second = dataclasses.replace(second, name=first.name)
    third = pair((7, 2))[1]
    results = verdicts([first, second, third], PLANE, EASY)
    assert [result.status for result in results] == [Status.REFERENCE, Status.ALIGNED, Status.ALIGNED]
    assert [result.exposure for result in results] == [first, second, third]
    np.testing.assert_allclose(results[1].offset, (4, -6), atol=0.02)


def test_one_exposure_alone():
    results = verdicts(pair()[:1], PLANE, EASY)
    assert [result.status for result in results] == [Status.REFERENCE]


def three():
    """Return a reference and three exposures that are off by known shifts."""
    return [pair()[0], *(dataclasses.replace(pair((shift, 0), seed=1)[1], name=f"{shift}.fits") for shift in (2, 5, 8))]


def test_verdicts_are_in_order():
    results = verdicts(three(), PLANE, EASY)
    assert [result.name for result in results] == ["a_flt.fits", "2.fits", "5.fits", "8.fits"]
    np.testing.assert_allclose([result.offset[0] for result in results], [0, 2, 5, 8], atol=0.02)


def test_many_stars_are_matched_by_other_processes_with_the_same_results(monkeypatch):
    sent = []

    def mapped(function, items):  # as other processes do: what comes back is no object of this one
        for item in items:
            sent.append(item.name)
            yield pickle.loads(pickle.dumps(function(item)))

    exposures = three()
    few = dataclasses.replace(exposures[2], name="few.fits", sources=exposures[2].sources[:2])
    bad = Exposure("bad.fits", "", Metadata(), (), SourceCatalog.empty(), "bad.fits can't be read")
    exposures = [*exposures[:2], few, bad, exposures[3]]
    rules = dataclasses.replace(EASY, solution="sequential")
    expected = verdicts(exposures, PLANE, rules, mapped=mapped)
    assert not sent  # they are too few
    monkeypatch.setattr(sequence, "_MANY_STARS", 1)
    results = verdicts(exposures, PLANE, rules, mapped=mapped)
    assert sent == ["2.fits", "few.fits", "bad.fits", "8.fits"]
    for result, one in zip(results, expected, strict=True):
        assert result.exposure is one.exposure and result.plane is PLANE
        assert result.reference is one.reference or len(one.reference) == len(result.reference) == 0
        assert (result.status, result.reason, result.nmatches) == (one.status, one.reason, one.nmatches)
        np.testing.assert_array_equal(result.offset, one.offset)
        np.testing.assert_array_equal(result.rows, one.rows)


@pytest.mark.parametrize("rules", [
    dataclasses.replace(EASY, expand_refcat=True), dataclasses.replace(EASY, enforce_user_order=False),
    dataclasses.replace(EASY, group="visit")])
def test_what_depends_on_others_is_not_matched_ahead(monkeypatch, rules):
    monkeypatch.setattr(sequence, "_MANY_STARS", 1)
    rules = dataclasses.replace(rules, solution="sequential")
    results = verdicts(three(), PLANE, rules, mapped=lambda *_: pytest.fail("matched ahead"))
    assert [result.status for result in results[1:]] == 3 * [Status.ALIGNED]


@pytest.mark.parametrize("answer", ["accept", "reject"])
def test_review(answer):
    seen = []

    def review(alignment):
        seen.append(alignment)
        return answer if alignment.name == "5.fits" else "accept"

    results = verdicts(three(), PLANE, EASY, review=review)
    assert [alignment.name for alignment in seen] == ["2.fits", "5.fits", "8.fits"]
    assert all(alignment.status is Status.ALIGNED and isinstance(alignment, Alignment) for alignment in seen)
    if answer == "accept":
        assert results[2].status is Status.ALIGNED
    else:
        assert_failed(results[2], "rejected by the user")
        np.testing.assert_allclose(results[2].offset, (5, 0), atol=0.02)  # what was found is still to be seen
    assert results[3].status is Status.ALIGNED


def test_review_stops():
    seen = []

    def review(alignment):
        seen.append(alignment.name)
        return "stop" if alignment.name == "5.fits" else "accept"

    results = verdicts(three(), PLANE, EASY, review=review)
    assert seen == ["2.fits", "5.fits"]
    assert results[1].status is Status.ALIGNED
    assert_failed(results[2], "stopped by the user")
    assert_failed(results[3], "stopped by the user")


def test_review_is_not_asked_about_failures():
    first, second = pair()
    few = dataclasses.replace(second, sources=second.sources[:2])
    results = verdicts([first, few], PLANE, EASY, review=lambda alignment: pytest.fail("asked"))
    assert_failed(results[1])


def test_given_reference():
    exposures = pair()
    catalog = Reference("gaia", exposures[0].sources)
    results, reference = align(exposures[1:], PLANE, EASY, reference=catalog)
    assert [result.status for result in results] == [Status.ALIGNED]
    np.testing.assert_allclose(results[0].offset, (4, -6), atol=0.02)
    assert reference.sources is catalog.sources


def chain():
    """Return three exposures of which the first and the third share nothing."""
    ref_xy = stars(150, seed=4)
    exposures = []
    for number, (low, high) in enumerate([(0, 500), (250, 750), (510, 1000)]):
        some = ref_xy[(ref_xy[:, 0] > low) & (ref_xy[:, 0] < high)]
        image = as_drizzlepac(some, 3 * number, -2 * number) + noise(some.shape, number)
        chip = Chip(1, chip_wcs((500.5 - low, 400.5)), (800, high - low))
        exposures.append(exposure_at(image, f"{number}.fits", chip))
    return exposures


def test_reference_grows_where_it_may():
    results = verdicts(chain(), PLANE, EASY)
    assert [result.status for result in results] == [Status.REFERENCE, Status.ALIGNED, Status.FAILED]
    exposures = chain()
    results, reference = align(exposures, PLANE, dataclasses.replace(EASY, expand_refcat=True))
    assert [result.status for result in results] == [Status.REFERENCE, Status.ALIGNED, Status.ALIGNED]
    np.testing.assert_allclose(results[2].offset, (6, -4), atol=0.06)
    assert len(reference.sources) > len(exposures[0].sources) + 30
    assert len(exposures[0].sources) == len(results[0].exposure.sources)


def test_growing_with_sources_of_unknown_error():
    exposures = chain()
    sources = exposures[1].sources
    sources = sources.replace(sky_error=np.full(sources.sky.shape, np.nan))
    exposures[1] = dataclasses.replace(exposures[1], sources=sources)
    results, reference = align(exposures, PLANE, dataclasses.replace(EASY, expand_refcat=True))
    assert np.isfinite(reference.sources.sky).all()
    assert [result.status for result in results] == [Status.REFERENCE, Status.ALIGNED, Status.ALIGNED]


def test_order_by_overlap():
    first, second, third = chain()
    rules = dataclasses.replace(EASY, expand_refcat=True)
    in_order = verdicts([first, third, second], PLANE, rules)
    assert [result.status for result in in_order] == [Status.REFERENCE, Status.FAILED, Status.ALIGNED]
    by_overlap = verdicts([first, third, second], PLANE, dataclasses.replace(rules, enforce_user_order=False))
    assert [result.name for result in by_overlap] == ["0.fits", "2.fits", "1.fits"]
    assert sorted(result.status.name for result in by_overlap) == ["ALIGNED", "ALIGNED", "REFERENCE"]
    assert by_overlap[2].status is Status.REFERENCE  # the middle one has most in common with the others


# Exposures


def test_exposure_has_the_sky_of_its_chips(demo_chips):
    random = np.random.default_rng(2)
    sources = SourceCatalog(random.uniform(1, 190, (20, 2)), chip=np.arange(20) % 2 + 1, xy_error=np.full((20, 2), 0.1))
    exposure = Exposure.measured("x.fits", demo_chips, sources)
    for chip in demo_chips:
        rows = sources.chip == chip.extver
        np.testing.assert_allclose(exposure.sources.sky[rows], pixel_to_sky(chip.wcs, sources.xy[rows]))
    assert set(exposure.sources.origin) == {"x.fits"}
    np.testing.assert_allclose(exposure.sources.sky_error, 0.1 * 0.05, rtol=0.05)
    assert np.isnan(sources.sky).all()
    assert exposure.outlines == [(chip.wcs, chip.shape) for chip in demo_chips]


def test_exposure_without_sources(demo_chips):
    exposure = Exposure.measured("x.fits", demo_chips, SourceCatalog.empty())
    assert len(exposure.sources) == 0
    assert exposure.sources.sky.shape == (0, 2)


@pytest.mark.parametrize("value", [rules_with(), CHIP, pair()[0], Alignment(pair()[0], Status.FAILED, "", PLANE)],
                         ids=lambda value: type(value).__name__)
def test_values_are_frozen(value):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)
