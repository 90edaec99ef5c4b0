"""The plane is where the sky is."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from planes import fine_grid

from imagereg.wcs.plane import (
    TangentPlane,
    border,
    max_separation,
    orientation,
    pixel_scale,
    pixel_to_sky,
    same_sky,
)

SHAPE = (400, 700)

# Pixels and sky


def test_pixel_to_sky_counts_from_one_and_keeps_distortion(demo_chips):
    for chip in demo_chips:
        xy = np.array([(1.0, 1.0), (100.5, 60.25)])
        ra, dec = chip.wcs.all_pix2world(xy[:, 0] - 1, xy[:, 1] - 1, 0)
        np.testing.assert_allclose(pixel_to_sky(chip.wcs, xy), np.column_stack([ra, dec]), rtol=1e-14)
        linear = chip.wcs.wcs_pix2world(xy, 1)
        assert np.abs(pixel_to_sky(chip.wcs, xy) - linear).max() * 3600 > 0.01


def test_no_pixels(demo_chips):
    assert pixel_to_sky(demo_chips[0].wcs, np.empty((0, 2))).shape == (0, 2)
    assert pixel_to_sky(demo_chips[0].wcs, []).shape == (0, 2)


def test_declination_may_come_first():
    header = fits.Header({"WCSAXES": 2, "CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 30.0, "CRVAL2": 150.0,
                          "CRPIX1": 200.0, "CRPIX2": 300.0, "CDELT1": 1e-5, "CDELT2": -1e-5})
    sky = pixel_to_sky(WCS(header), np.array([(200.0, 300.0), (200.0, 400.0), (300.0, 300.0)]))
    np.testing.assert_allclose(sky[0], (150, 30))
    assert sky[1, 0] < 149.999
    assert sky[2, 1] > 30.0009


@pytest.mark.parametrize("shape", [(10, 20), (1, 1), (2048, 4096)])
def test_border_runs_around_the_pixels(shape):
    xy = border(shape, steps=5)
    assert xy.shape == (20, 2)
    np.testing.assert_allclose(xy.min(axis=0), 0.5)
    np.testing.assert_allclose(xy.max(axis=0), (shape[1] + 0.5, shape[0] + 0.5))
    x, y = xy.T
    area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
    assert area == pytest.approx(shape[0] * shape[1])  # positive: counter-clockwise


def test_pixel_scale_and_orientation(celestial_wcs, celestial_kind):
    assert pixel_scale(celestial_wcs) == pytest.approx(0.05, rel=1e-9)
    assert orientation(celestial_wcs) == pytest.approx(140 if "140" in celestial_kind else 20, abs=1e-9)


def test_orientation_is_that_of_the_header(demo_chips, demo_header):
    assert orientation(demo_chips[0].wcs) == pytest.approx(demo_header["ORIENTAT"], abs=1e-9)


# The plane


def test_round_trip(celestial_wcs):
    plane = TangentPlane.around([(celestial_wcs, SHAPE)])
    xy = fine_grid(plane.shape)
    np.testing.assert_allclose(plane.sky_to_plane(plane.plane_to_sky(xy)), xy, atol=1e-6)


@pytest.mark.parametrize("celestial_kind", ["CD", "PC", "CROTA", "ZEA", "STG", "mirrored", "other LONPOLE", "RA = 0",
                                            "beside the pole", "at the pole", "at the south pole"], indirect=True)
def test_plane_of_an_undistorted_chip_is_the_chip(celestial_wcs):
    wcs = celestial_wcs
    plane = TangentPlane.around([(wcs, SHAPE)])
    grid = fine_grid(SHAPE)
    difference = plane.sky_to_plane(pixel_to_sky(wcs, grid)) - grid
    np.testing.assert_allclose(difference - difference[0], 0, atol=2e-4)  # tangent elsewhere, and ZEA is not TAN
    assert np.abs(difference).max() < 2
    assert np.abs(np.subtract(plane.shape, SHAPE)).max() <= 3


def test_plane_holds_all_chips(demo_chips):
    plane = TangentPlane.around([(chip.wcs, chip.shape) for chip in demo_chips])
    xy = np.concatenate([plane.sky_to_plane(pixel_to_sky(chip.wcs, border(chip.shape, 50))) for chip in demo_chips])
    assert (xy > 0.5 - 0.1).all()
    assert (xy < np.add(plane.shape[::-1], 0.5) + 0.1).all()
    assert (xy.min(axis=0) < 2.5).all()
    assert (xy.max(axis=0) > np.subtract(plane.shape[::-1], 2)).all()
    assert plane.wcs.pixel_shape == plane.shape[::-1]


def test_plane_has_scale_and_orientation_of_the_first_chip(demo_chips):
    for chips in (demo_chips, demo_chips[::-1]):
        plane = TangentPlane.around([(chip.wcs, chip.shape) for chip in chips])
        chip = chips[0]
        middle = (np.array(chip.shape[::-1]) + 1) / 2 + [(-20, 0), (20, 0), (0, -20), (0, 20)]
        left, right, below, above = plane.sky_to_plane(pixel_to_sky(chip.wcs, middle))
        # no distortion is left out of the comparison: the chip is sheared and scaled by some parts in 100 at most
        np.testing.assert_allclose((right - left) / 40, (1, 0), atol=0.03)
        np.testing.assert_allclose((above - below) / 40, (0, 1), atol=0.03)
        assert np.linalg.det([right - left, above - below]) / 1600 == pytest.approx(1, abs=1e-3)


def test_plane_is_square_and_undistorted(demo_chips):
    plane = TangentPlane.around([(chip.wcs, chip.shape) for chip in demo_chips])
    assert list(plane.wcs.wcs.ctype) == ["RA---TAN", "DEC--TAN"]
    assert not plane.wcs.has_distortion
    matrix = plane.wcs.wcs.cd
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(2) * (plane.pixel_scale / 3600) ** 2, atol=1e-18)
    assert np.linalg.det(matrix) < 0  # east is to the left of north, as on the sky


def test_mirrored_chip_has_a_mirrored_plane(celestial_headers):
    plane = TangentPlane.around([(WCS(celestial_headers["mirrored"]), SHAPE)])
    assert np.linalg.det(plane.wcs.wcs.cd) > 0


@pytest.mark.parametrize("crval", [(0.0, 0.0), (359.99995, 45.0), (0.00001, -80.0), (250.0, 10.0),
                                   (123.0, 90.0), (50.0, -89.9999)])
def test_plane_around_the_places_where_coordinates_jump(celestial_headers, crval):
    header = celestial_headers["CD"]
    header["CRVAL1"], header["CRVAL2"] = crval
    wcs = WCS(header)
    plane = TangentPlane.around([(wcs, SHAPE)])
    assert np.abs(np.subtract(plane.shape, SHAPE)).max() <= 3
    assert 0 <= plane.wcs.wcs.crval[0] <= 360
    middle = SkyCoord(*pixel_to_sky(wcs, [(350.5, 200.5)])[0], unit="deg")
    assert SkyCoord(*plane.wcs.wcs.crval, unit="deg").separation(middle).arcsec < 1
    sky = pixel_to_sky(wcs, fine_grid(SHAPE))
    found = SkyCoord(plane.plane_to_sky(plane.sky_to_plane(sky)), unit="deg")
    assert found.separation(SkyCoord(sky, unit="deg")).arcsec.max() < 1e-6


def test_centre_is_the_reference_pixel_and_a_copy(demo_chips):
    plane = TangentPlane.around([(demo_chips[0].wcs, demo_chips[0].shape)])
    np.testing.assert_allclose(plane.plane_to_sky([plane.centre])[0], plane.wcs.wcs.crval)
    plane.centre[:] = 0
    assert (plane.centre > 50).all()


def test_nothing_on_the_plane(demo_chips):
    plane = TangentPlane.around([(demo_chips[0].wcs, demo_chips[0].shape)])
    assert plane.sky_to_plane(np.empty((0, 2))).shape == plane.plane_to_sky(np.empty((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("celestial_kind", ["CD", "SIP", "RA = 0"], indirect=True)
def test_separation_of_two_wcss(celestial_wcs):
    other = celestial_wcs.deepcopy()
    assert max_separation(celestial_wcs, other, SHAPE) == 0
    other.wcs.crpix = celestial_wcs.wcs.crpix + (0.003, 0.004)
    assert max_separation(celestial_wcs, other, SHAPE) == pytest.approx(0.005, rel=0.01)
    assert not same_sky(celestial_wcs, other, SHAPE)
    other.wcs.crpix = celestial_wcs.wcs.crpix + (0.0003, 0.0004)
    assert same_sky(celestial_wcs, other, SHAPE)
