"""What is believed, what is refused, and what is left as it is."""

import dataclasses

import numpy as np
import pytest
from planes import CHIP, EASY, ERROR, PLANE, SHAPE, easy, exposure_at, noise, pair, rules_with, stars, verdicts

from imagereg.alignment.sequence import Chip, Exposure, Metadata, Status
from imagereg.catalogs.sources import Flag, SourceCatalog
from imagereg.wcs.correction import corrected_wcs
from imagereg.wcs.plane import TangentPlane

FAILED, ALIGNED, UNCHANGED = Status.FAILED, Status.ALIGNED, Status.UNCHANGED


# Ambiguity


@pytest.mark.parametrize("step", [8.0, 30.0, 90.0])  # the last one's rivals are outside the box
def test_grid_of_stars_is_ambiguous(step):
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8)), axis=-1).reshape(-1, 2) * step + 200
    image = grid + (0.4 * step, 0.5) + noise(grid.shape, 2)
    result = verdicts([exposure_at(grid + noise(grid.shape, 1), "a"), exposure_at(image, "b")], PLANE,
                      easy(searchrad=70, matching="tolerance"))[1]
    assert result.status is FAILED
    assert "than one offset explains them" in result.reason or "explain the sources about as well" in result.reason
    assert result.match.histogram is not None  # to be looked at


def test_one_star_off_the_grid_is_not_enough_but_many_are():
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2) * 25.0 + 300
    everywhere = np.concatenate([grid, stars(40, seed=3)])
    image = everywhere + (3, -4) + noise(everywhere.shape, 2)
    result = verdicts([exposure_at(everywhere, "a"), exposure_at(image, "b")], PLANE, easy(searchrad=60))[1]
    assert result.status is ALIGNED
    np.testing.assert_allclose(result.offset, (3, -4), atol=0.02)


# Defects of the detector

DITHER = np.array([31.0, 17.0])


def dithered(stars_, defects, *, jitter=(0.6, -0.4)):
    """Return two exposures; in the second the telescope has moved as its header says, up to a jitter."""
    wcs = CHIP.wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix + DITHER
    moved = Chip(1, wcs, SHAPE)
    on_sky = stars(stars_, seed=5)
    first = np.concatenate([on_sky, stars(defects, seed=6)])
    second = np.concatenate([on_sky + DITHER + jitter, stars(defects, seed=6)])
    exposures = []
    for name, xy, chip in (("a", first, CHIP), ("b", second, moved)):
        xy = xy + noise(xy.shape, len(name) + ord(name))
        pixels = CHIP.wcs.wcs_world2pix(PLANE.plane_to_sky(xy), 1)
        exposures.append(Exposure.measured(name, [chip], SourceCatalog(pixels, xy_error=np.full(xy.shape, ERROR),
                                                                       flux=np.arange(len(xy), 0, -1.0), chip=1)))
    return exposures


@pytest.mark.parametrize("matching", ["auto", "tolerance", "triangles"])
def test_stars_win_over_more_defects(matching):
    result = verdicts(dithered(25, 60), PLANE, easy(searchrad=60, matching=matching))[1]
    assert result.status is ALIGNED, result.reason
    np.testing.assert_allclose(np.abs(result.offset), (0.6, 0.4), atol=0.05)
    assert result.nmatches <= 25


def with_strangers(exposures, count):
    """Return exposures with other stars besides in each."""
    made = []
    for number, exposure in enumerate(exposures):
        pixels = np.random.default_rng(number).uniform(1, SHAPE[::-1], (count, 2))
        xy = np.concatenate([exposure.sources.xy, pixels])
        flux = np.random.default_rng(7).permutation(len(xy)) + 1.0
        sources = SourceCatalog(xy, xy_error=np.full(xy.shape, ERROR), flux=flux, chip=1)
        made.append(Exposure.measured(exposure.name, exposure.chips, sources))
    return made


@pytest.mark.parametrize("matching", ["auto", "tolerance", "triangles"])
def test_defects_among_other_stars_are_no_solution(matching):
    exposures = with_strangers(dithered(0, 60), 40)
    result = verdicts(exposures, PLANE, easy(searchrad=60, matching=matching))[1]
    assert result.status is FAILED
    assert "stay on the same pixels" in result.reason and f"{np.hypot(*DITHER):.1f} pixels" in result.reason


def test_defects_are_taken_when_asked_for():
    exposures = with_strangers(dithered(0, 60), 40)
    result = verdicts(exposures, PLANE, easy(searchrad=60, onlybetter=False))[1]
    assert result.status is ALIGNED
    assert "stay on the same pixels" in result.reason


def test_stars_that_stay_on_their_pixels_are_stars():
    # Two image sets of one exposure, of which the second has the offset of another pointing in its header.
    result = verdicts(dithered(0, 60), PLANE, easy(searchrad=60))[1]
    assert result.status is ALIGNED
    assert f"moved by {np.hypot(*DITHER):.1f} pixels" in result.reason


def test_without_a_dither_stars_stay_on_their_pixels():
    result = verdicts(pair((0.5, 0.3)), PLANE, EASY)[1]
    assert (result.status, result.reason) == (ALIGNED, "")


# Do no harm


def test_what_is_right_stays():
    exposures = pair((0, 0))
    result = verdicts(exposures, PLANE, EASY)[1]
    assert result.status is UNCHANGED
    assert "as good as a new one" in result.reason
    assert (result.offset == 0).all() and (result.rotation, result.scale) == (0, 1)
    np.testing.assert_allclose(result.rms, np.sqrt(2) * ERROR, rtol=0.2)
    assert verdicts(exposures, PLANE, easy(onlybetter=False))[1].status is ALIGNED


def test_significance_and_not_size_decides():
    small = (4 * ERROR / np.sqrt(30), 0.0)  # four times its error
    assert verdicts(pair(small, seed=9), PLANE, easy(fitgeometry="shift"))[1].status is ALIGNED
    assert verdicts(pair(small, seed=9, size=10 * ERROR), PLANE, easy(fitgeometry="shift"))[1].status is UNCHANGED


# Few matches


@pytest.mark.parametrize(("count", "geometry", "status"), [
    (0, "shift", FAILED), (1, "shift", FAILED), (2, "shift", FAILED), (3, "shift", FAILED), (4, "shift", ALIGNED),
    (4, "rscale", ALIGNED), (4, "general", ALIGNED), (3, "auto", FAILED), (4, "auto", ALIGNED)])
def test_few_stars(count, geometry, status):
    exposures = pair((4, -6), count=count, seed=3)
    result = verdicts(exposures, PLANE, easy(minobj=1, fitgeometry=geometry))
    assert result[-1].status is status and (result[-1].reason or status is ALIGNED)
    if status is ALIGNED:
        np.testing.assert_allclose(result[1].offset, (4, -6), atol=0.3)


@pytest.mark.parametrize(("count", "geometry"), [(1, "shift"), (2, "rscale"), (1, "auto")])
def test_fewest_stars_when_any_odds_are_good_enough(count, geometry):
    exposures = pair((4, -6), count=count, seed=3)
    result = verdicts(exposures, PLANE, easy(minobj=0, maxchance=1, fitgeometry=geometry, matching="tolerance"))[1]
    assert result.status is ALIGNED, result.reason
    np.testing.assert_allclose(result.offset, (4, -6), atol=0.2)


def test_fewer_than_the_geometry_needs():
    result = verdicts(pair((4, -6), count=1), PLANE, easy(minobj=0, maxchance=1))[1]
    assert result.status is FAILED and "fitgeometry=rscale needs 2 matches, there are 1" in result.reason


@pytest.mark.parametrize(("nclip", "used"), [(0, 41), (1, 40), (3, 40)])
def test_nclip(nclip, used):
    ref_xy = stars(41)
    image = ref_xy + (4, -6) + noise(ref_xy.shape, 2)
    image[7] += (0.5, 0.5)
    result = verdicts([exposure_at(ref_xy, "a"), exposure_at(image, "b")], PLANE, easy(nclip=nclip, sigma=5.0))[1]
    assert result.nmatches == used


# Cosmic rays


def test_what_several_exposures_have_seen_helps_the_one_that_failed():
    stars_, random = stars(14, seed=1), np.random.default_rng(4)

    def exposure(name, shift, rays):
        xy = np.concatenate([stars_ + shift + noise(stars_.shape, rays + ord(name)),
                             random.uniform((0, 0), SHAPE[::-1], (rays, 2))])
        unknown = np.full(len(xy), np.nan)  # neither errors nor fluxes tell anything
        return exposure_at(xy, name, xy_error=np.full(xy.shape, 0.3), flux=unknown)

    rules = easy(searchrad=40, minobj=8, matching="tolerance", fitgeometry="shift")
    first, last, middle = exposure("a", (0, 0), 1200), exposure("b", (9, 5), 6000), exposure("c", (-7, 3), 30)
    alone = verdicts([first, last], PLANE, rules)
    assert alone[1].status is FAILED
    together = verdicts([first, last, middle], PLANE, rules)
    assert [verdict.status for verdict in together[1:]] == [ALIGNED, ALIGNED]
    np.testing.assert_allclose(together[1].offset, (9, 5), atol=0.1)


# Failures that agree with each other


def faint_ones(shifts, *, bright_each=3):
    """Return a reference of bright stars, and exposures of many faint stars that show few of the bright ones each."""
    bright = stars(bright_each * len(shifts), seed=1)
    faint = stars(40, seed=2)
    exposures = [exposure_at(np.concatenate([bright, stars(10, seed=3)]), "a")]
    for number, shift in enumerate(shifts):
        some = bright[number * bright_each:(number + 1) * bright_each]
        xy = np.concatenate([some, faint]) + shift
        exposures.append(exposure_at(xy + noise(xy.shape, number), "bcd"[number]))
    return exposures


def test_exposures_that_fail_are_aligned_by_what_they_show_together():
    shifts = [(4, -6), (-7, 3), (5, 5)]
    rules = easy(searchrad=40, minobj=6, fitgeometry="shift", enforce_user_order=True)
    reference, *others = faint_ones(shifts)
    assert [verdicts([reference, other], PLANE, rules)[1].status for other in others] == [FAILED] * 3
    results = verdicts([reference, *others], PLANE, rules)
    assert [result.status for result in results[1:]] == [ALIGNED] * 3, [result.reason for result in results]
    np.testing.assert_allclose([result.offset for result in results[1:]], shifts, atol=0.03)
    assert all("together" in result.reason for result in results[1:])
    for result in results[1:]:
        np.testing.assert_allclose(result.fit(result.image_xy), result.ref_xy, atol=0.1)


def test_exposures_that_fail_stay_failed_where_their_group_does_not_fit_either():
    reference, *others = faint_ones([(4, -6), (-7, 3)], bright_each=1)
    results = verdicts([reference, *others], PLANE, easy(searchrad=40, minobj=6, fitgeometry="shift"))
    assert [result.status for result in results[1:]] == [FAILED, FAILED]


def test_a_group_whose_frame_is_right_moves_only_what_is_off():
    shifts = [(0, 0), (-7, 3), (5, 5)]
    rules = easy(searchrad=40, minobj=6, fitgeometry="shift", solution="sequential")
    results = verdicts(faint_ones(shifts), PLANE, rules)
    assert sorted(result.status.value for result in results[1:]) == ["aligned", "aligned", "unchanged"]
    np.testing.assert_allclose([result.offset for result in results[1:]], shifts, atol=0.05)


def test_twenty_stars_among_sixteen_thousand_cosmic_rays():
    stars_, random = stars(20, seed=1), np.random.default_rng(4)
    xys = [np.concatenate([stars_ + shift + noise(stars_.shape, seed), random.uniform((0, 0), SHAPE[::-1], (600, 2))])
           for seed, shift in enumerate([(0, 0), (9, 5)])]  # as dense as 16,000 on ACS/WFC
    results = verdicts([exposure_at(xy, name) for xy, name in zip(xys, "ab", strict=True)], PLANE, EASY)
    assert results[1].status is ALIGNED
    np.testing.assert_allclose(results[1].offset, (9, 5), atol=0.05)


# Magnitudes


def test_pairs_of_other_brightness_are_mismatches():
    ref_xy = stars(60)
    flux = np.random.default_rng(1).uniform(1e3, 1e5, 60)
    image = ref_xy + (4, -6) + noise(ref_xy.shape, 2)
    image[:3] += 0.05
    other = flux * 3 * np.random.default_rng(2).normal(1, 0.03, 60)
    other[:3] *= 8
    exposures = [exposure_at(ref_xy, "a", flux=flux), exposure_at(image, "b", flux=other)]
    assert set(range(3)).isdisjoint(verdicts(exposures, PLANE, EASY)[1].rows)
    assert set(range(3)) <= set(verdicts(exposures, PLANE, easy(magclip=None))[1].rows)
    unknown = [exposures[0], exposure_at(image, "b", flux=np.full(60, np.nan))]
    assert verdicts(unknown, PLANE, EASY)[1].nmatches >= 58


# Visits


def visit(shift, counts, name, random):
    """Return exposures of one visit that share a shift."""
    sky = stars(200, seed=2)
    return [dataclasses.replace(exposure_at(sky[some] + shift + noise((count, 2), 50 + number), f"{name}{number}"),
                                metadata=Metadata(visit=name))
            for number, count in enumerate(counts) for some in [random.choice(200, count, replace=False)]]


def test_exposures_of_a_visit_share_a_correction():
    random = np.random.default_rng(3)
    first = visit((0, 0), [200, 150], "one", random)
    second = visit((5, -3), [40, 4, 60], "two", random)
    rules = easy(group="visit", minobj=15)
    results = verdicts([*first, *second], PLANE, rules)
    assert [r.status for r in results] == [Status.REFERENCE, UNCHANGED, ALIGNED, ALIGNED, ALIGNED]
    assert "shares" in results[1].reason
    assert len({tuple(r.offset) for r in results[2:]}) == 1
    np.testing.assert_allclose(results[2].offset, (5, -3), atol=0.02)
    np.testing.assert_allclose([len(r.rows) for r in results[2:]], [40, 4, 60], atol=1)
    alone = verdicts([*first, *second], PLANE, easy(minobj=15))
    assert alone[3].status is FAILED


def test_exposure_that_does_not_share_the_correction_of_its_visit_fails():
    random = np.random.default_rng(3)
    odd = dataclasses.replace(visit((12, 9), [60], "two", random)[0], name="odd")
    exposures = [*visit((0, 0), [200], "one", random), *visit((5, -3), [80, 70], "two", random), odd]
    results = verdicts(exposures, PLANE, easy(group="visit"))
    assert [r.status for r in results] == [Status.REFERENCE, ALIGNED, ALIGNED, FAILED]
    assert "do not follow the correction" in results[3].reason


def test_exposure_without_a_match_of_its_own_is_carried_by_its_visit():
    random = np.random.default_rng(3)
    second = visit((5, -3), [80, 70], "two", random)
    empty = dataclasses.replace(second[0], name="empty", sources=second[0].sources[:0])
    results = verdicts([*visit((0, 0), [200], "one", random), *second, empty], PLANE, easy(group="visit"))
    assert results[3].status is ALIGNED and results[3].nmatches == 0 and np.isnan(results[3].rms).all()
    np.testing.assert_allclose(results[3].offset, (5, -3), atol=0.02)


def test_group_without_known_visits_is_one_by_one():
    exposures = pair()
    assert verdicts(exposures, PLANE, easy(group="visit"))[1].status is ALIGNED


def test_unreadable_member_of_a_visit_fails_alone():
    random = np.random.default_rng(3)
    broken = Exposure("two9", "two9.fits", Metadata(visit="two"), (), SourceCatalog.empty(), "two9 is truncated")
    results = verdicts([*visit((0, 0), [200], "one", random), *visit((5, -3), [60], "two", random), broken], PLANE,
                       easy(group="visit"))
    assert [r.status for r in results] == [Status.REFERENCE, ALIGNED, FAILED]
    assert results[2].reason == "two9 is truncated"


# Chips


def test_chip_that_is_shifted_against_the_other_is_reported():
    below = Chip(2, CHIP.wcs.sub(2), SHAPE)
    below.wcs.wcs.crpix = CHIP.wcs.wcs.crpix - (0, SHAPE[0])
    plane = TangentPlane.around([(c.wcs, c.shape) for c in (CHIP, below)])
    sky = plane.plane_to_sky(np.random.default_rng(1).uniform((20, 20), np.array(plane.shape[::-1]) - 20, (200, 2)))

    def exposure(name, seed, shift):
        parts = []
        for chip, off in ((CHIP, 0.0), (below, shift)):
            xy = chip.wcs.wcs_world2pix(sky, 1)
            xy = xy[((xy > 5) & (xy < np.array(SHAPE[::-1]) - 5)).all(axis=1)]
            parts.append(SourceCatalog(xy + noise(xy.shape, seed) + (1.5 * (seed - 1) + off, 0.7), chip=chip.extver,
                                       xy_error=np.full(xy.shape, ERROR)))
        return Exposure.measured(name, [CHIP, below], SourceCatalog.concat(parts))

    for shift, reported in ((0.0, False), (0.08, True)):
        result = verdicts([exposure("a", 1, 0.0), exposure("b", 2, shift)], plane, easy(fitgeometry="shift"))[1]
        assert result.status is ALIGNED
        assert ("is off by" in result.reason) == reported
        assert set(result.by_chip) == {1, 2}
        number, mean, error = result.by_chip[2]
        assert number > 30 and np.hypot(*mean) == pytest.approx(shift / 2, abs=0.015)
        assert (error < 0.01).all()


def test_rms_about_zero_and_about_the_mean():
    result = verdicts(pair(size=5 * ERROR), PLANE, EASY)[1]
    expected = result.residuals.std(axis=0)
    np.testing.assert_allclose(result.spread, expected)
    np.testing.assert_allclose(result.rms**2, expected**2 + result.residuals.mean(axis=0) ** 2)


def test_unreliable_sources_are_not_used_where_there_are_stars():
    exposures = pair(count=40)
    flags = np.where(np.arange(40) < 20, 0, Flag.POOR_FIT)
    exposures[1] = dataclasses.replace(exposures[1], sources=exposures[1].sources.replace(flags=flags))
    assert verdicts(exposures, PLANE, EASY)[1].nmatches <= 20


def test_corrected_chips_of_an_unchanged_image_are_not_asked_for():
    exposures = pair((0, 0))
    result = verdicts(exposures, PLANE, EASY)[1]
    assert not result.changes
    wcs = corrected_wcs(CHIP.wcs, SHAPE, PLANE, result.fit)  # what was found is still there
    assert np.abs(wcs.wcs.crval - CHIP.wcs.wcs.crval).max() * 3600 < 0.01


@pytest.mark.parametrize("n_stars", [6, 10, 14])
def test_few_stars_are_not_outnumbered_by_what_is_no_star(n_stars):
    # An exposure of five seconds with ten times as many cosmic rays, brighter than the stars.
    shown = stars(300)
    rays = stars(150, seed=2)
    xy = np.concatenate([rays, shown[:n_stars] + (3.0, -2.0)])
    flags = np.repeat([int(Flag.POOR_FIT), 0], [len(rays), n_stars])
    exposures = [exposure_at(shown, "long"), exposure_at(xy + noise(xy.shape, 3), "short", flags=flags)]
    result = verdicts(exposures, PLANE, rules_with())[1]
    assert result.status is Status.ALIGNED, result.reason
    assert f"{n_stars} matches, fewer than minobj=15, explain 100%" in result.reason


def test_sources_that_fit_badly_are_asked_where_the_few_stars_do_not_suffice():
    shown = stars(60)
    xy = np.concatenate([shown + (3.0, -2.0), stars(6, seed=2)])
    flags = np.repeat([int(Flag.POOR_FIT), 0], [60, 6])
    exposures = [exposure_at(shown, "long"), exposure_at(xy + noise(xy.shape, 3), "short", flags=flags)]
    result = verdicts(exposures, PLANE, rules_with())[1]
    assert result.status is Status.ALIGNED and result.nmatches > 50
