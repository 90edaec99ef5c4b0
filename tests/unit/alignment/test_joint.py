"""One solution for all exposures: better than fits to the reference alone, and bound to its frame."""

import dataclasses
import logging
import pickle

import numpy as np
import pytest
from planes import CHIP, ERROR, PLANE, SHAPE, chip_wcs, exposure_at, noise, rules_with, stars, verdicts
from scipy import sparse
from scipy.spatial import cKDTree

from imagereg.alignment import align, joint
from imagereg.alignment.exposure import Chip, Exposure, Metadata
from imagereg.alignment.fitting import adjustment
from imagereg.alignment.fitting.adjustment import Measurements, adjust, solve_once
from imagereg.alignment.fitting.geometry import GEOMETRIES
from imagereg.alignment.fitting.weights import error_model
from imagereg.alignment.matching.overlap import Overlap, StarList
from imagereg.catalogs import Flag, Reference, ReferenceCatalog, SourceCatalog
from imagereg.wcs import Status, pixel_to_sky

JOINT = rules_with(minobj=5, fitgeometry="rscale")
SEQUENTIAL = dataclasses.replace(JOINT, solution="sequential")
CORNERS = np.array([(1.0, 1), (SHAPE[1], 1), (1, SHAPE[0]), SHAPE[::-1]])


def moved(xy, number):
    """Return where exposure `number` has what is at plane positions: shifted and turned a little."""
    rng = np.random.default_rng(number)
    angle = rng.normal(0, 2e-4)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (xy - PLANE.centre) @ turn.T + PLANE.centre + rng.uniform(-5, 5, 2)


def truth(number):
    """Return where the corners of the plane are in exposure `number`."""
    return moved(CORNERS, number)


def visit(count=5, n_stars=200, *, seed=1, part=None):
    """Return exposures of the same stars; `part(number, xy)` tells which of them each has."""
    sky = stars(n_stars, seed)
    exposures = []
    for number in range(count):
        xy = sky if part is None else sky[part(number, sky)]
        place = xy if number == 0 else moved(xy, number)
        exposures.append(exposure_at(place + noise(xy.shape, 100 * seed + number), f"{number}_flt.fits"))
    return exposures


def errors_of(results):
    """Return by name how far each fit puts the corners from where they are, rms in pixels."""
    off = {}
    for result in results:
        if result.status is Status.ALIGNED:
            number = int(result.name[0])
            off[result.name] = np.sqrt(((result.fit(truth(number)) - CORNERS) ** 2).mean())
    return off


def strip(number, xy):
    """Return the stars of an exposure in a row of overlapping ones."""
    return (xy[:, 0] > 120 * number) & (xy[:, 0] < 120 * number + 400)


def test_exposures_have_the_sky_of_their_fits():
    for result in verdicts(visit(), PLANE, JOINT)[1:]:
        (chip,) = result.corrected_chips()
        image = result.exposure.sources[result.rows]
        found = PLANE.sky_to_plane(pixel_to_sky(chip.wcs, image.xy))
        np.testing.assert_allclose(found, result.fit(result.image_xy), atol=2e-3)
        np.testing.assert_allclose(result.fit.residuals, result.ref_xy - found, atol=2e-3)


def test_a_limit_that_rejects_all_is_no_error():
    found = verdicts(visit(5, 300, part=strip), PLANE, dataclasses.replace(JOINT, sigma=0.0))
    assert max(errors_of(found).values()) < 0.1


def test_better_than_each_alone_where_overlaps_with_the_reference_are_small():
    exposures = visit(part=strip, n_stars=600)
    alone = errors_of(verdicts(exposures, PLANE, dataclasses.replace(SEQUENTIAL, minobj=3)))
    joint = errors_of(verdicts(exposures, PLANE, dataclasses.replace(JOINT, minobj=3)))
    assert set(joint) == set(alone)
    assert joint["3_flt.fits"] < 0.7 * alone["3_flt.fits"]


def test_result_does_not_depend_on_the_order():
    exposures = visit(4, 600, part=strip)
    expected = {result.name: result for result in verdicts(exposures, PLANE, JOINT)}
    for order in ([0, 3, 1, 2], [0, 2, 3, 1]):
        for result in verdicts([exposures[i] for i in order], PLANE, JOINT)[1:]:
            other = expected[result.name]
            np.testing.assert_allclose(result.fit(CORNERS), other.fit(CORNERS), atol=1e-7)
            np.testing.assert_allclose(result.fit.covariance, other.fit.covariance, rtol=1e-4)


def test_no_drift_along_a_chain():
    # Each sees half of the one before; the last one has no star of the first one.
    exposures = visit(6, 900, part=strip)
    rules = dataclasses.replace(JOINT, expand_refcat=True)
    off = errors_of(verdicts(exposures, PLANE, rules))
    alone = errors_of(verdicts(exposures, PLANE, dataclasses.replace(rules, solution="sequential")))
    assert len(off) == 5
    assert off["5_flt.fits"] < 1.1 * alone["5_flt.fits"]
    result = verdicts(exposures, PLANE, rules)[5]
    corners = np.array([(600.0, 100), (1000, 700)])
    pull = (result.fit(moved(corners, 5)) - corners) / result.fit.errors_at(moved(corners, 5))
    assert np.abs(pull).max() < 4


def test_doubtful_sources_of_the_reference_count_where_they_were_matched():
    sky = stars(12)
    sky[1] = sky[0] + (50, 0)  # two stars alone would tell no rotation
    exposures = []
    for number in range(3):
        xy = (moved(sky, number) if number else sky) + noise(sky.shape, number)
        # As where the point-spread function was made of hot pixels.
        flags = np.where(np.arange(12) < 2, 0, Flag.POOR_FIT)
        exposures.append(exposure_at(xy, f"{number}_flt.fits", flags=flags))
    results = verdicts(exposures, PLANE, rules_with(minobj=4, fitgeometry="rscale"))
    assert max(errors_of(results).values()) < 0.05


def test_frame_is_that_of_the_reference():
    exposures = visit()
    reference = verdicts(exposures, PLANE, JOINT)[0]
    assert reference.status is Status.REFERENCE
    assert reference.solved_chips is None
    assert reference.offset.tolist() == [0, 0]


def catalog_of(xy, size, seed=77, **columns):
    """Return a reference catalog with errors of a size in pixels."""
    sky = PLANE.plane_to_sky(xy + noise(xy.shape, seed, size))
    return Reference("catalog", SourceCatalog.empty(), moving=ReferenceCatalog(sky, **columns))


@pytest.mark.parametrize("stated", [np.nan, 0.5, 0.05])
def test_poor_catalog_does_not_part_the_images(stated):
    sky = stars(200, 1)
    exposures = visit(4)
    exposures[0] = exposure_at(moved(sky, 9) + noise(sky.shape, 5), "9_flt.fits")
    reference = catalog_of(sky, 0.3, sky_error=np.full(sky.shape, stated) * PLANE.pixel_scale)
    results = verdicts(exposures, PLANE, JOINT, reference=reference)
    placed = np.array([result.fit(truth(int(result.name[0]))) for result in results])
    relative = np.sqrt(((placed - placed.mean(axis=0)) ** 2).mean())
    absolute = np.sqrt(((placed.mean(axis=0) - CORNERS) ** 2).mean())
    assert relative < 0.005
    assert absolute < 0.12
    # The errors of all have what they have in common, that of the catalog.
    common = np.sqrt(2 * 0.3**2 / 200 / 2)
    assert results[0].errors[0] == pytest.approx(common, rel=0.3)


def test_stars_that_move_are_where_they_were_on_the_date_of_each_exposure():
    sky = stars(200, 1)
    motion = np.random.default_rng(8).normal(0, 5, sky.shape)  # mas/yr
    reference = catalog_of(sky, 0.0, pm=motion, epoch=2000.0, sky_error=np.full(sky.shape, 1e-4))
    exposures = []
    for number, epoch in enumerate((2005.0, 2010.0, 2020.0), 1):
        then = PLANE.sky_to_plane(reference.at(epoch).sky)
        one = exposure_at(moved(then, number) + noise(sky.shape, number), f"{number}_flt.fits")
        exposures.append(dataclasses.replace(one, metadata=Metadata(epoch=epoch)))
    results = verdicts(exposures, PLANE, JOINT, reference=reference)
    assert max(errors_of(results).values()) < 0.006
    assert all(result.nmatches > 190 for result in results)


def test_what_failed_or_was_unchanged_is_so_still():
    exposures = visit()
    exposures[2] = exposure_at(stars(60, 99), "2_flt.fits")
    sky = stars(200, 1)
    exposures[3] = exposure_at(sky + noise(sky.shape, 3), "3_flt.fits")
    alone = verdicts(exposures, PLANE, SEQUENTIAL)
    results = verdicts(exposures, PLANE, JOINT)
    assert [r.status for r in results] == [r.status for r in alone]
    assert results[2].reason == alone[2].reason
    assert results[3].status is Status.UNCHANGED
    assert results[3].offset.tolist() == [0, 0]


def test_images_that_a_poor_catalog_leaves_unchanged_agree_in_the_end():
    sky = stars(200, 1)
    exposures = []
    for number, offset in enumerate([(0, 0), (0.02, 0), (0, 0), (0, 0.015)], 1):
        exposures.append(exposure_at(sky + offset + noise(sky.shape, number, 0.01), f"{number}_flt.fits"))
    reference = catalog_of(sky, 0.5, seed=70)
    alone = verdicts(exposures, PLANE, SEQUENTIAL, reference=reference)
    assert {result.status for result in alone} == {Status.UNCHANGED}
    results = verdicts(exposures, PLANE, JOINT, reference=reference)
    assert [r.status for r in results] == [Status.UNCHANGED, Status.ALIGNED, Status.UNCHANGED, Status.ALIGNED]
    np.testing.assert_allclose(results[1].offset, (0.02, 0), atol=0.004)
    np.testing.assert_allclose(results[3].offset, (0, 0.015), atol=0.004)


def test_lists_that_share_too_few_stars_with_the_rest_are_told_apart():
    sky = stars(300, 1)
    left = sky[:, 0] < 500
    lists = []
    for number, rows in enumerate((left, left, ~left, ~left)):
        xy = sky[rows]
        lists.append(StarList((str(number), ""), "", np.arange(len(xy)), xy, np.full(xy.shape, ERROR),
                              np.full(len(xy), ERROR), 0.0, alignment=number, geometry="rscale",
                              block=number or None))
    assert Overlap.of(lists, PLANE, 1.0).blocks_apart() == {2, 3}
    bridge = dataclasses.replace(lists[1], xy=sky, error=np.full(sky.shape, ERROR), rows=np.arange(300),
                                 reach=np.full(300, ERROR))
    assert Overlap.of([lists[0], bridge, *lists[2:]], PLANE, 1.0).blocks_apart() == set()


def two_chips(roll, shift, number, trail=0.0):
    """Return an exposure of two chips, rolled by quarter turns, whose second chip is off by a shift.

    Charge that trails moves sources of 1000 counts by `trail` pixels where they are farthest from the outer edge.
    """
    sky = stars(1500, 4) * 2.4 - 700
    flux = 10 ** np.random.default_rng(5).uniform(2.5, 5, len(sky))
    angle = np.deg2rad(roll)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    chips, parts = [], []
    for extver, crpix in ((1, (500.5, -10.5)), (2, (500.5, 811.5))):
        wcs = chip_wcs(crpix)
        wcs.wcs.cd = wcs.wcs.cd @ turn
        wcs.wcs.set()
        xy = wcs.wcs_world2pix(PLANE.plane_to_sky(sky), 1)
        inside = ((xy > 1) & (xy < SHAPE[::-1])).all(axis=1)
        xy = xy[inside]
        path = xy[:, 1] / SHAPE[0] - (extver == 2)
        xy = xy + noise(xy.shape, 10 * number + extver) + (shift if extver == 2 else 0) + 0.5 * number
        xy[:, 1] += trail * path * (flux[inside] / 1000) ** -0.4
        chips.append(Chip(extver, wcs, SHAPE))
        parts.append(SourceCatalog(xy, xy_error=np.full(xy.shape, ERROR), flux=flux[inside], chip=extver))
    metadata = Metadata(optics="ACS WFC F606W")
    return Exposure.measured(f"{number}_flt.fits", chips, SourceCatalog.concat(parts), metadata=metadata)


@pytest.mark.parametrize("shift", [(0.25, -0.15), (0.0, 0.0)])
def test_chip_that_is_shifted_is_put_right_in_all_images(shift):
    exposures = [two_chips(roll, shift, number) for number, roll in enumerate((0, 180, 90))]
    results = verdicts(exposures, PLANE, JOINT)
    assert [r.status for r in results] == [Status.REFERENCE, Status.ALIGNED, Status.ALIGNED]
    for result in results:
        assert ("chip 2 was off by" in result.reason) == (shift != (0, 0))
        assert "from the common fit" not in result.reason
    if shift == (0, 0):
        return
    first, second = results[0].corrected_chips()
    assert first is exposures[0].chips[0]
    np.testing.assert_allclose(second.wcs.wcs.crpix - exposures[0].chips[1].wcs.wcs.crpix, shift, atol=0.01)
    for result in results:
        found = result.solution("first").shift_of_chip
        assert list(found) == [2]
        np.testing.assert_allclose(found[2], shift, atol=0.01)
    for result in results[1:]:
        assert np.hypot(*result.rms) < 3 * ERROR
        assert result.nmatches > 300


def test_catalog_grows_by_the_joint_positions():
    exposures = [two_chips(roll, (0.25, -0.15), number) for number, roll in enumerate((0, 180, 90))]
    results, reference = align(exposures, PLANE, dataclasses.replace(JOINT, expand_refcat=True))
    assert len(reference.sources) > len(exposures[0].sources) + 50
    off, _ = cKDTree(stars(1500, 4) * 2.4 - 700).query(PLANE.sky_to_plane(reference.sources.sky))
    assert np.sqrt((off**2).mean() / 2) < ERROR
    assert np.quantile(off, 0.99) < 4 * ERROR


@pytest.mark.parametrize("shift", [(0.25, -0.15), (0.0, 0.0)])
def test_charge_that_trails_moves_no_chip_and_no_exposure(shift):
    rolls = (0, 90, 180)
    clean = verdicts([two_chips(roll, shift, number) for number, roll in enumerate(rolls)], PLANE, JOINT)
    trailed = verdicts([two_chips(roll, shift, number, 0.15) for number, roll in enumerate(rolls)], PLANE, JOINT)
    for one, other in zip(clean[1:], trailed[1:], strict=True):
        assert "charge" not in one.reason and "charge that trails moves sources" in other.reason
        assert ("chip 2 was off by" in other.reason) == (shift != (0, 0))
        for chip, same in zip(one.corrected_chips(), other.corrected_chips(), strict=True):
            away = pixel_to_sky(chip.wcs, CORNERS) - pixel_to_sky(same.wcs, CORNERS)
            assert np.abs(away).max() * 3600 < 0.01 * PLANE.pixel_scale


@pytest.mark.parametrize(("factor", "floor"), [(1.0, 0.0), (2.0, 0.0), (1.0, 0.02), (2.0, 0.02), (0.0, 0.01)])
def test_scale_and_floor_of_errors(factor, floor):
    rng = np.random.default_rng(6)
    stated = 10 ** rng.uniform(-3, -0.5, 4000)
    true = np.hypot(factor * stated, floor)
    residuals = rng.normal(0, true[:, None], (4000, 2))
    residuals[:200] = rng.uniform(-5, 5, (200, 2))
    found = error_model((residuals**2).sum(axis=1), stated**2)
    np.testing.assert_allclose(np.hypot(found[0] * stated, found[1]), true, rtol=0.2)


def test_lists_beside_copies_of_a_catalog_have_the_errors_that_they_show():
    """As where a catalog was made of some of the exposures: these agree with it to the last digit."""
    rng = np.random.default_rng(3)
    which = np.repeat(np.arange(4), 200)
    true = np.array([0.0, 0.0, 0.0, 0.02])[which]
    stated = 10 ** rng.uniform(-2.7, -1.0, 800)[:, None] * np.ones(2)
    measured = Measurements(np.arange(800), which, np.zeros((800, 2)), stated, np.array([0, 1, 1, 1]))
    square = rng.normal(0, true[:, None], (800, 2)) ** 2
    variance = adjustment._modelled(measured, square, np.ones((800, 2)), stated**2)
    assert np.sqrt(np.median(variance[which == 3])) == pytest.approx(0.02, rel=0.15)
    assert np.sqrt(variance[which < 3].max()) < 1e-3


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_three_lists_of_few_stars_are_weighted_nearly_as_by_their_true_errors(factor):
    rng = np.random.default_rng(4)
    star = np.tile(np.arange(60), 3)
    which = np.repeat(np.arange(3), 60)
    stated = np.tile(10 ** rng.uniform(-2.7, -1.3, 60), 3)[:, None] * np.ones(2)
    true = stated * np.array([1.0, factor, 1.0])[which, None]
    blank = np.zeros(len(star))
    first, second = (which == 1).astype(float), (which == 2).astype(float)
    design = (sparse.csr_array(np.column_stack([first, blank, second, blank])),
              sparse.csr_array(np.column_stack([blank, first, blank, second])))
    found, best, stated_errors = [], [], []
    for _ in range(60):
        measured = Measurements(star, which, rng.normal(0, true), stated, np.zeros(3, int))
        solved = adjust(measured, design, scatter=np.zeros(3), sigma=None, loss="linear")
        found.append(solved.parameters)
        stated_errors.append(np.sqrt(np.diagonal(solved.covariance)))
        best.append(solve_once(measured, design, 1 / true**2)[0])
    assert np.square(found).sum() < 1.06 * np.square(best).sum()
    assert np.sqrt(np.square(np.array(found) / stated_errors).mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("n_stars", [8, 20])
def test_errors_of_few_stars_are_true_though_their_transforms_follow_them(n_stars):
    # 1.65 and 1.21 where residuals count as if the transforms were known.
    rng = np.random.default_rng(5)
    star = np.tile(np.arange(n_stars), 3)
    which = np.repeat(np.arange(3), n_stars)
    blank = np.zeros((n_stars, 4))
    pulls = []
    for _ in range(100):
        xy = rng.uniform(-1000, 1000, (n_stars, 2))
        stated = np.tile(10 ** rng.uniform(-3, -1.3, n_stars), 3)[:, None] * np.ones(2)
        seen = np.tile(xy, (3, 1)) + rng.normal(0, np.hypot(stated, 0.005))
        terms = GEOMETRIES["rscale"].about_unity(xy)
        design = tuple(sparse.csr_array(np.block([[blank, blank], [one, blank], [blank, one]]))
                       for one in terms)
        measured = Measurements(star, which, seen, stated, np.zeros(3, int))
        solved = adjust(measured, design, scatter=np.zeros(3), sigma=None, loss="linear")
        pulls.append(solved.parameters / np.sqrt(np.diagonal(solved.covariance)))
    assert 0.9 < np.sqrt(np.square(pulls).mean()) < 1.2


def test_errors_that_are_stated_too_small_change_nothing():
    size = 10 ** np.random.default_rng(2).uniform(-2.3, -0.7, (400, 1)) * np.ones(2)
    results = []
    for factor in (1.0, 0.5):
        exposures = []
        for number, exposure in enumerate(visit(4, 400)):
            xy = exposure.sources.xy + np.random.default_rng(number).normal(0, size)
            sources = SourceCatalog(xy, xy_error=size * factor, flux=1000.0)
            exposures.append(Exposure.measured(exposure.name, [CHIP], sources))
        results.append(verdicts(exposures, PLANE, JOINT))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one.offset, other.offset, atol=0.1 * ERROR / np.sqrt(400))
        np.testing.assert_allclose(one.errors, other.errors, rtol=0.05)



def two_fields():
    """Return exposures of two fields that do not overlap, and a catalog of the stars of both."""
    exposures = []
    catalog = []
    for field, origin in enumerate([(0, 0), (3000, 0)]):
        chip = Chip(1, chip_wcs(np.subtract((500.5, 400.5), origin)), SHAPE)
        sky = stars(80, seed=10 + field)
        catalog.append(sky + origin)
        for number in range(1, 4):
            xy = moved(sky, number) + origin + noise(sky.shape, 10 * field + number)
            exposures.append(exposure_at(xy, f"{field}{number}_flt.fits", chip))
    catalog = PLANE.plane_to_sky(np.concatenate(catalog))
    return exposures, Reference("catalog", SourceCatalog.empty(), moving=ReferenceCatalog(catalog))


def sent(function, items):
    """Do as `map`, with results that come from another process."""
    return (pickle.loads(pickle.dumps(function(item))) for item in items)


def test_large_fields_are_solved_for_themselves_and_the_same_by_other_processes(monkeypatch, caplog):
    exposures, reference = two_fields()
    together = verdicts(exposures, PLANE, JOINT, reference=reference)
    monkeypatch.setattr(joint, "LARGE_FIELD", 240)
    caplog.clear()
    with caplog.at_level(logging.INFO, "imagereg"):
        apart = verdicts(exposures, PLANE, JOINT, reference=reference)
    assert [message for message in caplog.messages if "joint solution of 4 lists" in message] == caplog.messages[-2:]
    elsewhere = verdicts(exposures, PLANE, JOINT, reference=reference, mapped=sent)
    alone = verdicts(exposures[3:], PLANE, JOINT, reference=reference)
    for one, same in zip(apart, elsewhere, strict=True):
        np.testing.assert_array_equal(one.fit.shift, same.fit.shift)
        np.testing.assert_array_equal(one.solved_chips[0].wcs.wcs.crval, same.solved_chips[0].wcs.wcs.crval)
    for one, same in zip(apart[3:], alone, strict=True):
        np.testing.assert_array_equal(one.fit.shift, same.fit.shift)
    for one, same in zip(apart, together, strict=True):
        np.testing.assert_allclose(one.fit.shift, same.fit.shift, atol=ERROR / 10)


def test_fields_that_touch_an_exposure_at_rest_stay_together(monkeypatch):
    monkeypatch.setattr(joint, "LARGE_FIELD", 20)
    rng = np.random.default_rng(1)

    def a_list(number, corner, **columns):
        xy = rng.uniform(0, 100, (30, 2)) + corner
        return StarList((f"{number}", ""), "", np.arange(30), xy, np.zeros((30, 2)), np.zeros(30), 0.0,
                        alignment=number, **columns)

    moving = [a_list(number, (x, 0), block=number) for number, x in ((1, 0), (2, 70), (3, 500))]
    at_rest = a_list(-1, (0, 0))
    fields = joint.fields_of([at_rest, *moving], 1.0)
    assert [[one.alignment for one in field] for field in fields] == [[-1, 1, 2], [-1, 3]]
    exposure = dataclasses.replace(at_rest, alignment=0)
    assert joint.fields_of([exposure, *moving], 1.0) == [[exposure, *moving]]
    of_one_visit = [dataclasses.replace(one, block="visit") for one in moving]
    assert joint.fields_of([at_rest, *of_one_visit], 1.0) == [[at_rest, *of_one_visit]]
    monkeypatch.setattr(joint, "LARGE_FIELD", 31)
    fields = joint.fields_of([at_rest, *moving, a_list(4, (900, 0), block=4)], 1.0)
    assert [[one.alignment for one in field] for field in fields] == [[-1, 1, 2], [-1, 3, 4]]
