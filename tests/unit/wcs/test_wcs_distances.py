"""Distances between WCSs are those on the sky, in pixels of the chip."""

import re

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from fields import fit_linear

from imagereg.errors import DegenerateFit
from imagereg.wcs import TangentPlane, border, corrected_wcs, pixel_to_sky
from imagereg.wcs.plane import max_separation

SHAPE = (400, 700)


@pytest.mark.parametrize("axis", ["CRVAL1", "CRVAL2"])
def test_distance_on_the_sky_and_not_in_right_ascension(celestial_headers, axis):
    header = celestial_headers["CD"]
    header.update({"CRVAL1": 0.0, "CRVAL2": 70.0})
    wcs = WCS(header)
    header[axis] += 0.5 / 3600
    other = WCS(header)
    corners = [(1, 1), (700, 1), (700, 400), (1, 400)]
    first, second = (SkyCoord(*w.wcs_pix2world(corners, 1).T, unit="deg") for w in (wcs, other))
    expected = first.separation(second).arcsec.max() / 0.05
    assert max_separation(wcs, other, SHAPE) == pytest.approx(expected, rel=1e-3)
    assert max_separation(wcs, wcs, SHAPE) == 0


def test_deviation_is_in_pixels_of_the_chip(celestial_headers):
    """How far a WCS misses a fit does not depend on the pixels of the fit's plane."""
    header = celestial_headers["ZEA"]
    for name in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        header[name] *= 1000
    wcs = WCS(header)
    fine = TangentPlane.around([(wcs, SHAPE)])
    coarse = TangentPlane.of(fine.wcs.wcs.crval, fine.centre, 5 * fine.wcs.wcs.cd, fine.shape)
    deviations = []
    for plane in (fine, coarse):
        image = plane.centre + np.array([(0.0, 0), (100, 0), (0, 100), (-100, 30)])
        skewed = plane.centre + (image - plane.centre) @ np.array([[1.0, 0.0], [0.002, 1.0]])
        fit = fit_linear(image, skewed, geometry="general", centre=plane.centre)
        with pytest.raises(DegenerateFit) as raised:
            corrected_wcs(wcs, SHAPE, plane, fit)
        deviations.append(float(re.search(r"off by (\S+) pixel", str(raised.value))[1]))
    assert deviations[1] == pytest.approx(deviations[0], rel=0.02)


def test_plane_begins_with_pixel_one(demo_chips):
    """As an image would that holds all chips: its outermost pixels are within one of theirs."""
    plane = TangentPlane.around([(chip.wcs, chip.shape) for chip in demo_chips])
    outline = np.concatenate(
        [plane.sky_to_plane(pixel_to_sky(chip.wcs, border(chip.shape))) for chip in demo_chips]
    )
    assert ((outline.min(axis=0) >= 1) & (outline.min(axis=0) < 2)).all()
    size = np.array(plane.shape[::-1])
    assert ((outline.max(axis=0) <= size) & (outline.max(axis=0) > size - 1)).all()


@pytest.mark.parametrize("damage", [{"CRVAL1": 180.0, "CRVAL2": -70.0}, {"CD1_1": 1e20}])
def test_a_chip_far_from_the_plane(celestial_headers, damage):
    """A damaged header puts a chip where the plane has no place for it: the fit can't be followed."""
    header = celestial_headers["CD"]
    header.update({"CRVAL1": 0.0, "CRVAL2": 70.0})
    plane = TangentPlane.around([(WCS(header), SHAPE)])
    header.update(damage)
    with pytest.raises(DegenerateFit):
        corrected_wcs(WCS(header), SHAPE, plane, lambda xy: xy + 0.5)
