"""Signs, units, weights and limits of an alignment."""

import dataclasses

import numpy as np
import pytest
from fields import fit_linear
from planes import CHIP, EASY, ERROR, PLANE, SHAPE, easy, exposure_at, noise, pair, stars, verdicts
from scipy.special import fdtri

from imagereg.alignment.exposure import Metadata
from imagereg.alignment.sequence import Chip, Exposure, Reference, Status
from imagereg.catalogs.sources import SourceCatalog
from imagereg.catalogs.stars import ReferenceCatalog
from imagereg.wcs.plane import TangentPlane

# Numbers of a result


def test_scatter_of_an_unchanged_image_is_that_of_its_present_wcs():
    """The rms is about zero, the spread about the mean that is left."""
    result = verdicts(pair((-0.01, 0.0), count=30, size=0.05), PLANE, easy(fitgeometry="shift"))[
        1
    ]
    assert result.status is Status.UNCHANGED
    residuals = (result.ref_xy - result.image_xy)[result.fit.used]
    assert np.abs(residuals.mean(axis=0)).max() > 0.01
    np.testing.assert_allclose(result.residuals, residuals)
    np.testing.assert_allclose(result.rms, np.sqrt((residuals**2).mean(axis=0)))
    np.testing.assert_allclose(result.spread, residuals.std(axis=0))


def test_errors_of_rotation_and_scale_are_those_of_the_lever():
    """Of exact pairs at distances r from their mean: error / sqrt(sum(r**2))."""
    ref_xy = stars(30)
    exposures = exposure_at(ref_xy, "a"), exposure_at(ref_xy + (4.0, -6.0), "b")
    result = verdicts(exposures, PLANE, easy(fitgeometry="rscale"))[1]
    lever = np.sqrt(((ref_xy - ref_xy.mean(axis=0)) ** 2).sum())
    expected = np.sqrt(2) * ERROR / lever
    np.testing.assert_allclose(result.errors[2:], [np.rad2deg(expected), expected], rtol=1e-3)


# The search


@pytest.mark.parametrize(
    "guess, status",
    [
        ((40.0, -25.0), Status.ALIGNED),
        ((-40.0, 25.0), Status.FAILED),
        ((-25.0, 40.0), Status.FAILED),
        ((0.0, 0.0), Status.FAILED),
    ],
)
def test_first_guess_has_the_sign_and_the_axes_of_the_shiftfile(guess, status):
    rules = easy(xoffset=guess[0], yoffset=guess[1], searchrad=5.0, matching="tolerance")
    result = verdicts(pair((41.0, -26.0)), PLANE, rules)[1]
    assert result.status is status
    if status is Status.ALIGNED:
        np.testing.assert_allclose(result.offset, (41, -26), atol=0.02)


def test_some_matches_on_the_same_pixels_are_no_reason_to_doubt():
    """Ten of 40 stars have the same pixels in both lists, though the telescope moved."""
    wcs = CHIP.wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix + (31.0, 17.0)
    moved = Chip(1, wcs, SHAPE)
    xy = stars(40, seed=5)
    reference = exposure_at(xy + noise(xy.shape, 1), "a").sources
    image = exposure_at(xy + (12.0, -9.0) + noise(xy.shape, 2), "b", moved)
    pixels = reference.xy.copy()
    pixels[:10] = image.sources.xy[:10]
    reference = Reference(
        "a", reference.replace(xy=pixels)
    )  # on the sky its stars are where they were
    result = verdicts([image], PLANE, EASY, reference=reference)[0]
    assert (result.status, result.reason) == (Status.ALIGNED, "")
    assert result.nmatches > 35


def test_weights_are_those_of_both_lists():
    """A bad position counts little, be it the reference's or the image's."""
    ref_xy = stars(30)
    bad = np.arange(30) < 10
    errors = np.where(bad[:, None], 0.3, ERROR) * np.ones(2)
    off = np.where(bad[:, None], 0.3, 0.0) * np.ones(2)
    good = np.full(errors.shape, ERROR)
    for of_ref, of_image in ((errors, good), (good, errors)):
        exposures = (
            exposure_at(ref_xy + noise(ref_xy.shape, 1), "a", xy_error=of_ref),
            exposure_at(ref_xy + (4, -6) + off + noise(ref_xy.shape, 2), "b", xy_error=of_image),
        )
        result = verdicts(exposures, PLANE, easy(fitgeometry="shift", nclip=0))[1]
        np.testing.assert_allclose(result.offset, (4, -6), atol=0.02)


def test_reference_is_at_the_epoch_of_each_exposure():
    xy = stars(40)
    sky = PLANE.plane_to_sky(xy)
    motion = np.column_stack([np.full(40, 30.0), np.zeros(40)])  # mas a year to the east: 0.6 pixel
    catalog = ReferenceCatalog(sky, pm=motion, epoch=2016.0, sky_error=np.full((40, 2), 1e-4))
    reference = Reference("gaia", SourceCatalog.empty(), catalog)
    east = np.array([30e-3, 0.0]) / 3600 / np.cos(np.deg2rad(sky[:, 1:]))
    exposures = []
    for years in (-10.0, 10.0):
        exposure = exposure_at(
            PLANE.sky_to_plane(sky + years * east) + noise(xy.shape, 3), f"{years}"
        )
        exposures.append(dataclasses.replace(exposure, metadata=Metadata(epoch=2016.0 + years)))
    for result in verdicts(exposures, PLANE, easy(onlybetter=False), reference=reference):
        np.testing.assert_allclose(result.offset, 0, atol=0.02)


# Richer geometries


@pytest.mark.parametrize("probability, geometry", [(8e-4, "rshift"), (1.2e-3, "shift")])
def test_rotation_is_taken_at_a_thousandth_of_the_f_distribution(probability, geometry):
    """Exact pairs with known errors, turned by as much as a probability allows."""
    count, error = 16, 0.02
    turn = np.arange(count) * 2 * np.pi / count
    image = 300 * np.column_stack([np.cos(turn), np.sin(turn)])
    f_ratio = fdtri(1, 2 * count - 3, 1 - probability)
    angle = error * np.sqrt(f_ratio / (image**2).sum())
    ref = image @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    fit = fit_linear(image, ref, geometry="auto", errors=np.full(image.shape, error), sigma=None)
    assert fit.geometry == geometry


# Chips and visits


@pytest.mark.parametrize(
    "off, size, reported", [(0.08, 0.01, True), (0.015, 0.003, False), (0.2, 0.3, False)]
)
def test_loose_chip_is_more_than_its_error_and_more_than_some_hundredths_of_a_pixel(
    off, size, reported
):
    below = Chip(2, CHIP.wcs.deepcopy(), SHAPE)
    below.wcs.wcs.crpix = CHIP.wcs.wcs.crpix - (0, SHAPE[0])
    plane = TangentPlane.around([(c.wcs, c.shape) for c in (CHIP, below)])
    sky = plane.plane_to_sky(
        np.random.default_rng(1).uniform((20, 20), np.array(plane.shape[::-1]) - 20, (60, 2))
    )
    exposures = []
    for name, seed, shift in (("a", 1, (0.0, 0.0)), ("b", 2, (1.5, 0.7))):
        parts = []
        for chip in (CHIP, below):
            xy = chip.wcs.wcs_world2pix(sky, 1)
            xy = xy[((xy > 5) & (xy < np.array(SHAPE[::-1]) - 5)).all(axis=1)]
            loose = off if (chip is below and name == "b") else 0.0
            parts.append(
                SourceCatalog(
                    xy + noise(xy.shape, seed, size) + shift + (loose, 0.0),
                    chip=chip.extver,
                    xy_error=np.full(xy.shape, size),
                )
            )
        exposures.append(Exposure.measured(name, [CHIP, below], SourceCatalog.concat(parts)))
    result = verdicts(exposures, plane, easy(fitgeometry="shift", tolerance=2.0))[1]
    assert result.status is Status.ALIGNED
    assert ("is off by" in result.reason) is reported, result.reason


def test_member_with_fewer_sources_than_minobj_says_nothing_against_its_visit():
    ref_xy = stars(60)
    first = exposure_at(ref_xy, "a")
    shared = exposure_at(ref_xy[:40] + (4.0, -6.0) + noise((40, 2), 1), "b")
    strays = exposure_at(stars(9, seed=77), "c")  # where no star of the reference is
    members = [dataclasses.replace(exposure, metadata=Metadata(visit="one")) for exposure in (shared, strays)]
    few = verdicts([first, *members], PLANE, easy(group="visit", minobj=10))
    assert [result.status for result in few[1:]] == [Status.ALIGNED, Status.ALIGNED]
    enough = verdicts([first, *members], PLANE, easy(group="visit", minobj=9))
    assert [result.status for result in enough[1:]] == [Status.ALIGNED, Status.FAILED]


@pytest.mark.parametrize("size", [0.0, 0.3])
def test_distortion_that_no_linear_fit_follows_is_said(size):
    ref_xy = stars(200)
    x = (ref_xy[:, 0] - 500) / 500
    bent = np.column_stack([size * x**2, np.zeros(len(x))])
    exposures = [exposure_at(ref_xy + noise(ref_xy.shape, 1), "a"),
                 exposure_at(ref_xy + (4, -6) + bent + noise(ref_xy.shape, 2), "b")]
    result = verdicts(exposures, PLANE, EASY)[1]
    assert result.status is Status.ALIGNED
    assert ("distortion model differs" in result.reason) == (size > 0)
    assert result.curvature == pytest.approx(2 / 3 * size, abs=0.04)  # a parabola, from its best line
    assert result.with_reason("another").corrected_chips() is result.corrected_chips()  # which take time
