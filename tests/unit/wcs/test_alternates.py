"""The archive of a header keeps every WCS it had, value for value."""

import re
import string

import pytest
from astropy.io import fits
from astropy.wcs import WCS
from corrections import assert_same_sky, cards, celestial, corrected_header, moved, read_wcs

from imagereg.errors import InputError
from imagereg.wcs.alternates import archive_primary, wcs_names


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


def test_copy_by_stwcs_is_the_same_wcs(demo_header):
    """Its archive is rounded; ours takes its place under a later letter."""
    archive = archive_primary(demo_header)
    archive["CRVAL1A"] = float(f"{archive['CRVAL1A']:.13g}")
    again = archive_primary(archive)
    assert [key for key in wcs_names(again) if key != " "] == ["A"]
    assert again["CRVAL1A"] == demo_header["CRVAL1"]
    archive["CRVAL1A"] += 1e-7
    assert wcs_names(archive_primary(archive)) == {" ": "DEMO_IDC", "A": "DEMO_IDC", "B": "DEMO_IDC-1"}
