"""A corrected WCS moves the sky of every pixel as the fit says; its header says what is known of it."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from corrections import SHAPE, assert_same_sky, cards, corrected_header, moved, read_wcs, some_pixels
from fields import fit_linear, rotated
from planes import fine_grid

from imagereg.errors import DegenerateFit
from imagereg.wcs.alternates import wcs_names
from imagereg.wcs.correction import Solution, corrected_wcs, shifted_wcs
from imagereg.wcs.plane import TangentPlane, orientation, pixel_to_sky, rotation_of_sky

CHANGED = ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "ORIENTAT", "WCSNAME", "WCSTYPE", "FITNAME",
           "NMATCH", "FITGEOM", "RMS_RA", "RMS_DEC", "CRDER1", "CRDER2", "HISTORY")


def transform(centre, geometry="rscale", *, degrees=0.0, scale=1.0, shift=(0.0, 0.0), skew=0.0):
    """Return a LinearFit about `centre`."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = scale * np.array([[cos, -sin + skew], [sin, cos]])
    image = centre + [(0, 0), (100, 0), (0, 100), (-100, 30)]
    return fit_linear(image, centre + (image - centre) @ matrix.T + shift, geometry=geometry, centre=centre)


FITS = {"shift": {"geometry": "shift", "shift": (3.31, -7.62)},
        "large shift": {"geometry": "shift", "shift": (-110, 95)},
        "rscale": {"degrees": 0.05, "scale": 1.0003, "shift": (-4.4, 0.7)}, "turn": {"degrees": 40.0, "shift": (2, 1)},
        "general": {"geometry": "general", "degrees": -0.4, "scale": 0.999, "skew": 0.002, "shift": (1, 2)}}


def off_by(old, new, chip_shape, plane, fit):
    """Return the largest distance of a WCS from the one that follows the fit, in pixels of the plane."""
    grid = fine_grid(chip_shape)
    expected = fit(plane.sky_to_plane(pixel_to_sky(old, grid)))
    return np.hypot(*(plane.sky_to_plane(pixel_to_sky(new, grid)) - expected).T).max()


# The WCS


@pytest.mark.parametrize("kind", FITS)
def test_distorted_chips_follow_the_fit(demo_chips, kind):
    plane = TangentPlane.around([(chip.wcs, chip.shape) for chip in demo_chips])
    fit = transform(plane.centre, **FITS[kind])
    for chip in demo_chips:
        new = corrected_wcs(chip.wcs, chip.shape, plane, fit)
        assert off_by(chip.wcs, new, chip.shape, plane, fit) < 1e-3


@pytest.mark.parametrize("kind", FITS)
def test_any_wcs_follows_the_fit(celestial_wcs, kind):
    wcs = celestial_wcs
    plane = TangentPlane.around([(wcs, SHAPE)])
    fit = transform(plane.centre, **FITS[kind])
    new = corrected_wcs(wcs, SHAPE, plane, fit)
    assert off_by(wcs, new, SHAPE, plane, fit) < 1e-3


@pytest.mark.parametrize("kind", ["rscale", "general"])
def test_exposure_follows_a_fit_on_the_plane_of_another_one(celestial_wcs, kind):
    wcs = celestial_wcs
    other = wcs.deepcopy()
    other.wcs.crpix = wcs.wcs.crpix + (300, -150)
    plane = TangentPlane.around([(other, SHAPE), (wcs, SHAPE)])
    fit = transform(plane.centre + (400, 700), **FITS[kind])
    new = corrected_wcs(wcs, SHAPE, plane, fit)
    assert off_by(wcs, new, SHAPE, plane, fit) < 1e-3


@pytest.mark.parametrize("shift", [(3.3, -2.1), (-1.4, 5.2)])
@pytest.mark.parametrize("axes", [("RA---{}", "DEC--{}"), ("DEC--{}", "RA---{}")])
@pytest.mark.parametrize("projection", ["CAR", "SFL", "TAN"])
def test_reference_point_on_the_equator_or_axes_the_other_way_round(projection, axes, shift):
    on_equator = projection in ("CAR", "SFL")
    sky = {"RA": (132.8, -1 / 3600), "DEC": (0.0 if on_equator else 11.8, 1 / 3600)}
    header = fits.Header()
    for i, name in enumerate(axes, 1):
        crval, cdelt = sky[name.partition("-")[0]]
        header.update({f"CTYPE{i}": name.format(projection), f"CRVAL{i}": crval, f"CDELT{i}": cdelt,
                       f"CRPIX{i}": 200.5})
    header[f"CRPIX{1 + axes.index('DEC--{}')}"] -= 11.8 * 3600 * on_equator  # far from the chip, as in atlases
    wcs = WCS(header)
    plane = TangentPlane.around([(wcs, (400, 400))])
    fit = transform(plane.centre, geometry="shift", shift=shift)
    new = corrected_wcs(wcs, (400, 400), plane, fit)
    assert off_by(wcs, new, (400, 400), plane, fit) < 1e-3
    assert not on_equator or list(new.wcs.crval) == list(wcs.wcs.crval)


def test_large_chips_follow_the_fit(celestial_headers):
    header = celestial_headers["SIP"]
    header.update({"CRPIX1": 2048.0, "CRPIX2": 1024.0})
    chips = []
    for row in (0, 2100):
        header["CRPIX2"] = 1024.0 - row
        chips.append((WCS(header), (2048, 4096)))
    plane = TangentPlane.around(chips)
    for kind in FITS.values():
        fit = transform(plane.centre, **kind)
        for wcs, shape in chips:
            assert off_by(wcs, corrected_wcs(wcs, shape, plane, fit), shape, plane, fit) < 1e-3


def test_given_wcs_is_not_changed(celestial_wcs):
    wcs = celestial_wcs
    before, sky = wcs.to_header_string(relax=True), pixel_to_sky(wcs, fine_grid(SHAPE))
    plane = TangentPlane.around([(wcs, SHAPE)])
    plane_before = plane.wcs.to_header_string()
    corrected_wcs(wcs, SHAPE, plane, transform(plane.centre, **FITS["rscale"]))
    assert wcs.to_header_string(relax=True) == before
    assert plane.wcs.to_header_string() == plane_before
    np.testing.assert_array_equal(pixel_to_sky(wcs, fine_grid(SHAPE)), sky)


def test_what_is_not_crval_or_matrix_stays(demo_chips):
    wcs, shape = demo_chips[0].wcs, demo_chips[0].shape
    plane = TangentPlane.around([(wcs, shape)])
    new = corrected_wcs(wcs, shape, plane, transform(plane.centre, **FITS["rscale"]))
    np.testing.assert_array_equal(new.wcs.crpix, wcs.wcs.crpix)
    assert list(new.wcs.ctype) == list(wcs.wcs.ctype)
    for axis in ("a", "b"):
        np.testing.assert_array_equal(getattr(new.sip, axis), getattr(wcs.sip, axis))
    for table in ("cpdis1", "cpdis2", "det2im1"):
        np.testing.assert_array_equal(getattr(new, table).data, getattr(wcs, table).data)
    assert new.det2im2 is None
    assert new.pixel_shape == wcs.pixel_shape


def test_no_change_changes_nothing(celestial_wcs):
    wcs = celestial_wcs
    plane = TangentPlane.around([(wcs, SHAPE)])
    new = corrected_wcs(wcs, SHAPE, plane, transform(plane.centre))
    assert off_by(wcs, new, SHAPE, plane, transform(plane.centre)) < 1e-6
    np.testing.assert_allclose(new.wcs.crval[1], wcs.wcs.crval[1], atol=1e-10)


def test_there_and_back(demo_chips):
    wcs, shape = demo_chips[1].wcs, demo_chips[1].shape
    plane = TangentPlane.around([(wcs, shape)])
    there = transform(plane.centre, degrees=0.3, scale=1.001, shift=(5, 7))
    back = fit_linear(there([(0.0, 0), (500, 0), (0, 500), (400, 300)]), [(0, 0), (500, 0), (0, 500), (400, 300)],
                      centre=plane.centre)
    new = corrected_wcs(corrected_wcs(wcs, shape, plane, there), shape, plane, back)
    np.testing.assert_allclose(new.wcs.crval, wcs.wcs.crval, atol=1e-10)
    np.testing.assert_allclose(new.wcs.cd, wcs.wcs.cd, atol=1e-14)


def test_wcs_that_cannot_follow(celestial_headers):
    # A skew of a wide field in a projection that is not gnomonic is beyond CRVAL and CD.
    header = celestial_headers["ZEA"]
    for name in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        header[name] *= 1000
    wcs = WCS(header)
    plane = TangentPlane.around([(wcs, SHAPE)])
    with pytest.raises(DegenerateFit, match="can't follow the fit: off by .* pixel"):
        corrected_wcs(wcs, SHAPE, plane, transform(plane.centre, **FITS["general"]))


# The header


def test_new_header_has_the_new_wcs(celestial_header, celestial_wcs):
    new_wcs = moved(celestial_wcs)
    header = corrected_header(celestial_header, new_wcs)
    assert_same_sky(read_wcs(header), new_wcs)
    assert_same_sky(read_wcs(header, key="A"), celestial_wcs)


def test_new_header_has_the_new_wcs_in_a_file(celestial_header, celestial_wcs, tmp_path):
    new_wcs = moved(celestial_wcs)
    header = corrected_header(celestial_header, new_wcs)
    fits.PrimaryHDU(np.zeros(SHAPE, np.uint8), header).writeto(tmp_path / "new.fits")
    assert_same_sky(read_wcs(fits.getheader(tmp_path / "new.fits")), new_wcs)


def test_a_second_correction(celestial_header, celestial_wcs):
    first = moved(celestial_wcs)
    header = corrected_header(celestial_header, first)
    again = corrected_header(header, moved(read_wcs(header)), wcsname="SECOND")
    assert_same_sky(read_wcs(again), moved(first), pixels=1e-5)
    assert_same_sky(read_wcs(again, key="A"), celestial_wcs)
    assert_same_sky(read_wcs(again, key="B"), first)
    assert wcs_names(again)[" "] == "SECOND"
    assert wcs_names(again)["B"] == "TWEAK"


def test_distorted_chip(demo_file, demo_header, demo_chips):
    chip = demo_chips[0]
    new_wcs = moved(chip.wcs, chip.shape)
    header = corrected_header(demo_header, new_wcs)
    with fits.open(demo_file) as hdus:
        assert_same_sky(WCS(header, hdus), new_wcs, chip.shape)
        assert_same_sky(WCS(header, hdus, key="A"), chip.wcs, chip.shape)
    assert header["CRVAL1"] == new_wcs.wcs.crval[0]
    assert header["CD2_1"] == new_wcs.wcs.cd[1, 0]


def test_shifted_chip_images_everything_further(demo_chips):
    wcs = demo_chips[0].wcs.deepcopy()
    assert wcs.sip is not None
    wcs.cpdis1 = wcs.cpdis2 = wcs.det2im1 = wcs.det2im2 = None  # lookup tables do not move
    xy = fine_grid(demo_chips[0].shape)
    new = shifted_wcs(wcs, (3.5, -2.25))
    np.testing.assert_allclose(pixel_to_sky(new, xy + (3.5, -2.25)), pixel_to_sky(wcs, xy), rtol=0, atol=1e-11)


def test_header_of_a_shifted_chip(demo_file, demo_header, demo_chips):
    chip = demo_chips[0]
    new = shifted_wcs(chip.wcs, (0.5, -0.25))
    header = corrected_header(demo_header, new)
    with fits.open(demo_file) as hdus:
        assert_same_sky(WCS(header, hdus), new, chip.shape)
        assert_same_sky(WCS(header, hdus, key="A"), chip.wcs, chip.shape)
    assert header["CRPIX1"] == demo_header["CRPIX1"] + 0.5


def test_nothing_else_changes(demo_header, demo_chips):
    before = cards(demo_header)
    header = corrected_header(demo_header, moved(demo_chips[0].wcs, (192, 384)))
    assert cards(demo_header) == before
    after = cards(header)
    assert {name for name in before if after[name] != before[name]} <= set(CHANGED)
    added = set(after) - set(before)
    assert {name for name in added if not name.endswith("A")} <= set(CHANGED)
    for name in ("CRVAL1", "CD1_1"):
        assert header.comments[name] == demo_header.comments[name]


def test_what_is_said_of_the_solution(demo_header, demo_chips):
    new_wcs = moved(demo_chips[0].wcs, (192, 384))
    header = corrected_header(demo_header, new_wcs)
    assert (header["WCSNAME"], header["FITNAME"], header["WCSTYPE"]) == ("TWEAK", "TWEAK", "user-defined")
    assert (header["NMATCH"], header["FITGEOM"]) == (87, "rscale")
    assert (header["RMS_RA"], header["RMS_DEC"], header["CRDER1"], header["CRDER2"]) == (4.5e-3 / 3600, 9e-3 / 3600) * 2
    assert header["ORIENTAT"] == pytest.approx(orientation(new_wcs))
    assert abs(header["ORIENTAT"] - demo_header["ORIENTAT"]) > 0.1
    header.tostring()  # every card is valid


def test_keywords_that_were_not_there_are_not_made(demo_header, demo_chips):
    del demo_header["ORIENTAT"]
    assert "ORIENTAT" not in corrected_header(demo_header, moved(demo_chips[0].wcs, (192, 384)))


def test_reference_has_a_name_but_no_other_numbers(demo_header):
    header = corrected_header(demo_header, None)
    for name in ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "ORIENTAT"):
        assert str(header.cards[name]) == str(demo_header.cards[name])
    assert (header["WCSNAME"], header["WCSNAMEA"]) == ("TWEAK", "DEMO_IDC")
    assert "NMATCH" not in header


def test_crota_goes_where_a_matrix_comes(celestial_headers):
    old = celestial_headers["CROTA"]
    header = corrected_header(old, moved(WCS(old)))
    assert not [name for name in header if name.startswith("CROTA")]
    assert {"PC1_1", "PC1_2", "PC2_1", "PC2_2"} <= set(header)
    assert header["CDELT1"] == old["CDELT1"]
    assert "CROTA2" in old


@pytest.mark.parametrize("matrix", ["CD", "PC"])
def test_header_in_other_units(matrix):
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec",
                          "CRVAL1": 132.8 * 3600, "CRVAL2": 11.8 * 3600, "CRPIX1": 500.0, "CRPIX2": 400.0})
    if matrix == "CD":
        header.update({"CD1_1": -0.05, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.05})
    else:
        header.update({"CDELT1": -0.05, "CDELT2": 0.05, "PC1_1": 1.0, "PC2_2": 1.0})
    new = moved(WCS(header))
    after = corrected_header(header, new)
    assert_same_sky(WCS(after), new)
    assert_same_sky(WCS(after, key="A"), WCS(header))


@pytest.mark.parametrize("reuse", [True, False])
def test_name_used_again(demo_header, demo_chips, reuse):
    new_wcs = moved(demo_chips[0].wcs, (192, 384))
    first = corrected_header(demo_header, new_wcs, reuse=reuse)
    again = corrected_header(first, moved(new_wcs, (192, 384)), reuse=reuse)
    assert again["CRVAL1A"] == demo_header["CRVAL1"]
    assert ("CRVAL1B" in again) is not reuse
    assert again["CRVAL1"] != first["CRVAL1"]
    if reuse:
        assert wcs_names(again) == {" ": "TWEAK", "A": "DEMO_IDC"}


# The first WCS


@pytest.mark.parametrize("leftover", [{}, {"CDELT1": 1.0, "CDELT2": 1.0, "CROTA2": 30.0}, {"PC1_1": 0.5, "CRVAL1": 7.0},
                                      {"CD1_1": 3.0, "LONPOLE": 90.0, "PV1_1": 2.0}])
def test_first_wcs_of_a_header(leftover):
    """What stands there without CTYPE does not add to it, and all else stays."""
    other = {"EQUINOX": 2000.0, "OBJECT": "M 67", "RA": 132.8}
    header = fits.Header({"NAXIS": 2, "NAXIS1": SHAPE[1], "NAXIS2": SHAPE[0], **leftover, **other})
    plane = TangentPlane.of((10.0, 60.0), (300.0, 200.0), np.diag([-1e-4, 1e-4]), SHAPE)
    wcs = plane.first_wcs(SHAPE, lambda xy: xy[:, ::-1] + 500)
    new = corrected_header(header, wcs)
    assert_same_sky(read_wcs(new), wcs)
    np.testing.assert_allclose(plane.sky_to_plane(pixel_to_sky(wcs, fine_grid(SHAPE))),
                               fine_grid(SHAPE)[:, ::-1] + 500, atol=1e-3)
    assert {name: new[name] for name in other} == other
    assert wcs_names(new) == {" ": "TWEAK"}
    assert new["CTYPE1"] == "RA---TAN" and new["NMATCH"] == 87
    assert list(header) == ["NAXIS", "NAXIS1", "NAXIS2", *leftover, *other]


# As stwcs has it


@pytest.fixture
def updated_file(demo_file, demo_chips, tmp_path):
    """Return a copy of `demo_file` with both chips corrected."""
    with fits.open(demo_file) as hdus:
        for chip in demo_chips:
            hdu = hdus["SCI", chip.extver]
            hdu.header = corrected_header(hdu.header, moved(chip.wcs, chip.shape))
        hdus.writeto(tmp_path / "updated_flt.fits")
    return tmp_path / "updated_flt.fits"


def quietly(function, *arguments, **options):
    """Call stwcs, whose warnings are its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def test_stwcs_reads_the_archive(updated_file):
    altwcs = pytest.importorskip("stwcs.wcsutil.altwcs")
    with fits.open(updated_file) as hdus:
        for extver in (1, 2):
            assert quietly(altwcs.wcsnames, hdus, ("SCI", extver)) == {" ": "TWEAK", "A": "DEMO_IDC"}
            assert quietly(altwcs.wcskeys, hdus, ("SCI", extver)) == [" ", "A"]


def test_stwcs_restores_the_old_sky(updated_file, demo_file, demo_chips):
    altwcs = pytest.importorskip("stwcs.wcsutil.altwcs")
    quietly(altwcs.restoreWCS, str(updated_file), ext=[("SCI", 1), ("SCI", 2)], wcskey="A")
    with fits.open(updated_file) as hdus, fits.open(demo_file) as old:
        for chip in demo_chips:
            header = hdus["SCI", chip.extver].header
            assert_same_sky(WCS(header, hdus), chip.wcs, chip.shape)
            for name in ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
                assert header[name] == pytest.approx(old["SCI", chip.extver].header[name], rel=1e-11)  # stwcs rounds
            assert header["WCSNAME"] == "DEMO_IDC"


def test_stwcs_opens_the_new_wcs(updated_file, demo_chips):
    hstwcs = pytest.importorskip("stwcs.wcsutil")
    with fits.open(updated_file) as hdus:
        for chip in demo_chips:
            expected = moved(chip.wcs, chip.shape)
            found = quietly(hstwcs.HSTWCS, hdus, ext=("SCI", chip.extver))
            assert_same_sky(found, expected, chip.shape)


@pytest.mark.parametrize("degrees", [0.0, 1.0, 20.0])
def test_solution_follows_a_rotation_of_the_sky(degrees):
    plane = TangentPlane.of((150.0, 30.0), (500, 400), 0.05 / 3600 * np.diag([-1, 1]), (800, 1000))
    step = np.array([0.6, 0.8]) * degrees * 3600 / plane.pixel_scale
    turn = rotation_of_sky(plane, lambda xy: xy @ rotated(0.01, 1).T + step, plane.centre)
    before = some_pixels()
    now = turn(before)
    solution = Solution.mapping(np.eye(2), (0, 0), plane.centre).fitted_to(before, now)
    assert np.abs(solution(before) - now).max() < 1e-5
    assert np.abs(solution.inverse(now) - before).max() < 1e-5
    matrix, shift = solution.linear_at(before[10])
    near = before[10] + np.array([(0, 0), (1e-2, 0), (0, 1e-2)])
    linear = plane.centre + (near - plane.centre) @ matrix.T + shift
    assert np.abs(linear - solution(near)).max() < 1e-6
