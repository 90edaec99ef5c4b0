"""A header keeps every WCS it had, value for value, and says of the new one what is known of it."""

import re
import string
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from imagereg.alignment.fit import fit_linear
from imagereg.errors import InputError
from imagereg.wcs import correction
from imagereg.wcs.alternates import archive_primary, wcs_names
from imagereg.wcs.correction import Solution, corrected_wcs
from imagereg.wcs.keywords import header_differences, is_fitted, wcs_type
from imagereg.wcs.plane import TangentPlane, orientation, pixel_to_sky

SHAPE = (400, 700)
SOLUTION = Solution(nmatches=87, ra_rms=4.5e-3, dec_rms=9e-3, geometry="rscale")
CHANGED = ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "ORIENTAT", "WCSNAME", "WCSTYPE", "FITNAME",
           "NMATCH", "FITGEOM", "RMS_RA", "RMS_DEC", "CRDER1", "CRDER2", "HISTORY")


def read_wcs(header, hdus=None, key=" "):
    """Return the WCS of a header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header, hdus, key=key)


def moved(wcs, shape=SHAPE):
    """Return a WCS corrected by some fit."""
    plane = TangentPlane.around([(wcs, shape)])
    image = np.array([(0.0, 0), (500, 0), (0, 500)])
    cos, sin = np.cos(0.02), np.sin(0.02)
    fit = fit_linear(image, image @ (1.0007 * np.array([[cos, sin], [-sin, cos]])) + (11.2, -6.9), centre=plane.centre)
    return corrected_wcs(wcs, shape, plane, fit)


def corrected_header(header, wcs, *, wcsname="TWEAK", **options):
    """Give a header a new primary WCS, with what is known of `SOLUTION`."""
    return correction.corrected_header(header, wcs, SOLUTION, wcsname=wcsname, **options)


def some_pixels(shape=SHAPE):
    """Return FITS pixels (N, 2) all over a chip."""
    x, y = np.meshgrid(np.linspace(1, shape[1], 9), np.linspace(1, shape[0], 8))
    return np.column_stack([x.ravel(), y.ravel()])


def assert_same_sky(found, expected, shape=SHAPE, pixels=1e-6):
    """Check that two WCSs put every pixel in the same place, to a fraction of a pixel of 0.05 arcsec."""
    plane = TangentPlane.around([(expected, shape)])
    xy = some_pixels(shape)
    difference = plane.sky_to_plane(pixel_to_sky(found, xy)) - plane.sky_to_plane(pixel_to_sky(expected, xy))
    assert np.abs(difference).max() < pixels


def cards(header):
    """Return the text of all cards, by keyword."""
    return {card.keyword: str(card) for card in header.cards}


# The archive


def test_archive_has_every_value_to_the_last_bit(demo_header):
    demo_header.update({"LONPOLE": 180.0, "LATPOLE": 1 / 3, "EQUINOX": 2000.0, "PV2_1": 0.1 + 0.2, "CRDER1": 1e-7,
                        "CSYER2": 2e-9})
    archive = archive_primary(demo_header)
    names = [name for name in archive if name.endswith("A") and name[:-1] in demo_header and name != "A"]
    for name in ("WCSAXES", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "CD1_1",
                 "CD1_2", "CD2_1", "CD2_2", "RADESYS", "LONPOLE", "LATPOLE", "EQUINOX", "PV2_1", "CRDER1", "CSYER2",
                 "WCSNAME"):
        assert name + "A" in names
    for name in names:
        assert archive[name] == demo_header[name[:-1]]
        assert type(archive[name]) is type(demo_header[name[:-1]])
        if name != "WCSNAMEA":
            assert str(archive.cards[name])[8:] == str(demo_header.cards[name[:-1]])[8:]


def test_archive_survives_the_file(demo_header, tmp_path):
    demo_header["CRVAL1"] = 150.12345678901234
    fits.ImageHDU(header=archive_primary(demo_header)).writeto(tmp_path / "a.fits")
    header = fits.getheader(tmp_path / "a.fits", 1)
    for name in ("CRVAL1", "CRVAL2", "CD1_1", "CD2_2"):
        assert header[name + "A"] == header[name] == demo_header[name]


def test_archive_leaves_the_primary_alone(demo_header):
    archive, before = archive_primary(demo_header), cards(demo_header)
    assert all(cards(archive)[name] == text for name, text in before.items())
    assert cards(demo_header) == before


def test_letters_are_taken_in_order_and_o_is_left(demo_header):
    header, letters = demo_header, ""
    for number in range(25):
        header["WCSNAME"] = f"number {number}"
        known = set(wcs_names(header))
        header = archive_primary(header)
        letters += "".join(set(wcs_names(header)) - known)
    assert letters == string.ascii_uppercase.replace("O", "")
    assert [wcs_names(header)[key] for key in letters] == [f"number {number}" for number in range(25)]
    assert archive_primary(header) == header  # it is in the archive
    header["WCSNAME"] = "one more"
    with pytest.raises(InputError, match="all 25 letters"):
        archive_primary(header)


def test_gaps_are_filled_and_what_is_there_is_kept(demo_header):
    demo_header.update({"CRVAL1A": 1.0, "WCSNAMEA": "first", "CRVAL1C": 3.0, "WCSNAMEO": "OPUS", "WCSNAMEB": "second"})
    archive = archive_primary(demo_header)
    assert archive["WCSNAMED"] == "DEMO_IDC"
    assert (archive["CRVAL1A"], archive["CRVAL1C"], archive["WCSNAMEO"]) == (1.0, 3.0, "OPUS")
    assert "CRVAL1B" not in archive


@pytest.mark.parametrize("alone", ["CTYPE1B", "CD1_1B", "CRPIX2B", "PV1_3B"])
def test_letter_that_any_keyword_uses_is_taken(demo_header, alone):
    demo_header["CRVAL1A"] = 1.0
    demo_header[alone] = "RA---TAN" if "CTYPE" in alone else 5.0
    archive = archive_primary(demo_header)
    assert archive[alone] == demo_header[alone]
    assert archive["CRVAL1C"] == demo_header["CRVAL1"]


def test_keywords_of_other_things_are_not_archived(demo_header):
    others = ("A_ORDER", "A_2_0", "CPDIS1", "DP1.EXTVER", "NAXIS1", "EXTNAME", "ORIENTAT", "VAFACTOR")
    archive = archive_primary(demo_header)
    for name in others:
        assert name in demo_header
        assert name + "A" not in archive
    added = [name for name in archive if name not in demo_header]
    assert all(name == "ORIENTA" or (name.endswith("A") and name[:-1] in demo_header) for name in added)


def test_archive_stands_with_the_wcs(demo_header):
    names = list(archive_primary(demo_header))
    primary = [i for i, name in enumerate(names) if re.fullmatch(r"(CRVAL|CRPIX|CD|CTYPE).*\d", name)]
    archive = [i for i, name in enumerate(names) if re.fullmatch(r"(CRVAL|CRPIX|CD|CTYPE).*\dA", name)]
    assert len(archive) == len(primary)
    assert min(archive) > min(primary)


def test_unnamed_wcs_has_a_name_in_the_archive(demo_header):
    del demo_header["WCSNAME"]
    archive = archive_primary(demo_header)
    assert archive["WCSNAMEA"] == "PRE-TWEAKREG"
    assert "WCSNAME" not in archive


@pytest.mark.parametrize("name", ["", " "])
@pytest.mark.parametrize("reuse", [False, True])
def test_blank_name_is_no_name(demo_header, name, reuse):
    demo_header["WCSNAME"] = name
    new = corrected_header(demo_header, moved(WCS(celestial(demo_header)), (192, 384)), reuse=reuse)
    assert new["CRVAL1A"] == demo_header["CRVAL1"]
    assert new["WCSNAMEA"].strip()


def celestial(header):
    """Return a header without the distortion that needs other HDUs."""
    header = header.copy()
    for name in [name for name in header if re.match(r"(CPDIS|DP|CPERR|D2IM|A_|B_)", name)]:
        del header[name]
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    return header


def test_names_in_the_archive_are_unique(demo_header):
    demo_header.update({"CRVAL1A": 1.0, "WCSNAMEA": "DEMO_IDC", "CRVAL1B": 1.0, "WCSNAMEB": "DEMO_IDC-1",
                        "WCSNAME": "Demo_IDC"})
    names = [name.upper() for name in wcs_names(archive_primary(demo_header)).values()]
    assert names.count("DEMO_IDC") == 2  # the primary and A
    assert len(set(names)) == len(names) - 1
    assert wcs_names(archive_primary(demo_header))["C"].upper() not in ("DEMO_IDC", "DEMO_IDC-1")


def test_names_of_a_header(demo_header):
    assert wcs_names(demo_header) == {" ": "DEMO_IDC"}
    demo_header.update({"WCSNAMEA": "x", "CRVAL1B": 3.0, "WCSNAMEO": "OPUS"})
    assert wcs_names(demo_header) == {" ": "DEMO_IDC", "A": "x", "B": "", "O": "OPUS"}
    assert wcs_names(fits.Header()) == {}


def test_archived_wcs_is_the_old_one(celestial_header, celestial_wcs):
    archive = archive_primary(celestial_header)
    assert_same_sky(read_wcs(archive, key="A"), celestial_wcs)
    assert_same_sky(read_wcs(archive), celestial_wcs)


# The new WCS


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


@pytest.mark.parametrize("name, kind", [
    ("TWEAK", "user-defined"),
    ("IDC_0461802ej", "undistorted not aligned"),
    ("OPUS", "pipeline default not aligned"),
    ("IDC_0461802ej-GSC240", "undistorted a priori solution based on GSC240"),
    ("IDC_0461802ej-FIT_REL_GAIADR2", "undistorted a posteriori solution relatively aligned to GAIADR2"),
    ("idc_x-fit_svm_gaia", "undistorted a posteriori solution aligned by visit to GAIA"),
    ("IDC_x-FIT", "undistorted a posteriori solution"),
])
def test_type_of_a_name(demo_header, name, kind):
    """The first six are what drizzlepac 3.11 makes of them; with the last it ends in an error."""
    assert wcs_type(name) == kind
    header = corrected_header(demo_header, moved(WCS(celestial(demo_header)), (192, 384)), wcsname=name)
    assert header["WCSTYPE"] == kind and is_fitted(header) and not is_fitted(demo_header)


def test_differences_of_headers(demo_header):
    new = demo_header.copy()
    new["CRVAL1"] = 12.5
    new["NEW"] = "x"
    del new["ORIENTAT"]
    new.add_history("something was done")
    assert header_differences(demo_header, demo_header) == []
    assert header_differences(demo_header, new) == [
        f"  CRVAL1   {demo_header['CRVAL1']!r} -> 12.5", f"  ORIENTAT {demo_header['ORIENTAT']!r} -> none",
        "  NEW      none -> 'x'", "  HISTORY  something was done"]


def test_copy_by_stwcs_is_the_same_wcs(demo_header):
    """Its archive is rounded; ours takes its place under a later letter."""
    archive = archive_primary(demo_header)
    archive["CRVAL1A"] = float(f"{archive['CRVAL1A']:.13g}")
    again = archive_primary(archive)
    assert [key for key in wcs_names(again) if key != " "] == ["A"]
    assert again["CRVAL1A"] == demo_header["CRVAL1"]
    archive["CRVAL1A"] += 1e-7
    assert wcs_names(archive_primary(archive)) == {" ": "DEMO_IDC", "A": "DEMO_IDC", "B": "DEMO_IDC-1"}


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
