"""Letters and names of archived WCSs, and what a header says once one of them is back."""

import functools
import warnings

import corrections
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from imagereg.wcs import correction
from imagereg.wcs.alternates import find_letter, last_archived, restored_header, wcs_names
from imagereg.wcs.correction import Solution

SHAPE = (192, 384)
SOLUTION = Solution(nmatches=9, ra_rms=1e-3, dec_rms=2.5e-3)  # 1 and 2.5 mas


def corrected_header(header, wcs, wcsname):
    """Give a header a new primary WCS."""
    return correction.corrected_header(header, wcs, SOLUTION, wcsname=wcsname)


@pytest.fixture
def read_wcs(demo_file):
    """Return what reads the WCS of a header of the demo, with its tables."""
    with fits.open(demo_file) as hdus:
        yield lambda header: WCS(header, hdus)


moved = functools.partial(corrections.moved, shape=SHAPE)


@pytest.fixture
def twice(demo_header, read_wcs):
    """Return a header that was aligned as FIRST and as SECOND: letters A and B."""
    first = corrected_header(demo_header, moved(read_wcs(demo_header)), wcsname="FIRST")
    return corrected_header(first, moved(read_wcs(first)), wcsname="SECOND")


def test_letter_follows_the_last_one_even_after_a_gap(twice, read_wcs):
    """So the last letter is the WCS that was archived last, which is the one to go back to."""
    for name in [name for name in twice if name.endswith("A") and f"{name[:-1]}B" in twice]:
        del twice[name]
    assert wcs_names(twice) == {" ": "SECOND", "B": "FIRST"}
    third = corrected_header(twice, moved(read_wcs(twice)), wcsname="THIRD")
    assert wcs_names(third) == {" ": "THIRD", "B": "FIRST", "C": "SECOND"}
    assert last_archived(third) == "SECOND"


def test_first_calibration_is_never_the_last(twice):
    twice.update({"WCSNAMEO": "OPUS", "CRVAL1O": 1.0})
    assert last_archived(twice) == "FIRST"


def test_of_equal_names_the_last_is_meant_and_a_name_goes_before_a_letter(twice):
    assert find_letter(twice, "b") == "B"
    twice["WCSNAMEA"] = "FIRST"
    assert find_letter(twice, "first") == "B"
    twice["WCSNAMEA"] = "B"
    assert find_letter(twice, "B") == "A"
    assert find_letter(twice, "second") == " "
    assert find_letter(twice, "third") == ""


def test_what_comes_back_takes_its_orientation_along(demo_header, read_wcs):
    """It does where another program archived the WCS, and so without a twin for ORIENTAT."""
    header = corrected_header(demo_header, moved(read_wcs(demo_header)), wcsname="FIRST")
    assert abs(header["ORIENTAT"] - demo_header["ORIENTAT"]) == pytest.approx(1.0, abs=0.01)
    del header["ORIENTA"]
    back = restored_header(header, "A", read_wcs)
    assert back["ORIENTAT"] == pytest.approx(demo_header["ORIENTAT"], abs=1e-6)


def test_first_calibration_stays_in_the_archive(demo_header, read_wcs):
    header = corrected_header(demo_header, moved(read_wcs(demo_header)), wcsname="FIRST")
    for name in [name for name in header if name.endswith("A") and name[:-1] in header]:
        header.rename_keyword(name, f"{name[:-1]}O")
    back = restored_header(header, "O", read_wcs)
    names = wcs_names(back)
    assert (names.pop(" "), names.pop("O"), *names.values()) == ("DEMO_IDC", "DEMO_IDC", "FIRST")


def test_footprint_runs_through_the_centres_of_the_corner_pixels(demo_header, read_wcs):
    demo_header["S_REGION"] = "POLYGON ICRS 1 2 3 4 5 6 7 8 1 2"
    new = moved(read_wcs(demo_header))
    words = corrected_header(demo_header, new, wcsname="FIRST")["S_REGION"].split()
    assert words[:2] == ["POLYGON", "ICRS"]
    ny, nx = SHAPE
    corners = [(1, 1), (1, ny), (nx, ny), (nx, 1), (1, 1)]
    expected = new.all_pix2world(corners, 1)
    np.testing.assert_allclose(np.array(words[2:], float).reshape(5, 2), expected, atol=2e-9)


def test_headerlet_that_the_wcs_before_came_with_is_not_that_of_the_new_one(demo_header, read_wcs):
    demo_header.update({"HDRNAME": "theirs", "CATALOG": "GAIA"})
    header = corrected_header(demo_header, moved(read_wcs(demo_header)), wcsname="FIRST")
    assert "HDRNAME" not in header and "CATALOG" not in header
    assert (header["HDRNAMEA"], header["CATALOGA"]) == ("theirs", "GAIA")


def test_units_of_the_scatter(demo_header, read_wcs):
    """Degrees in the cards, as drizzlepac has them; milliarcseconds in the HISTORY."""
    header = corrected_header(demo_header, moved(read_wcs(demo_header)), wcsname="FIRST")
    assert "rms 1.00 2.50 mas" in str(header["HISTORY"])
    degrees = (header["RMS_RA"], header["RMS_DEC"])
    assert degrees == pytest.approx((1.0 / 3.6e6, 2.5 / 3.6e6), rel=1e-12)
    assert (header["CRDER1"], header["CRDER2"]) == degrees
    assert header.comments["RMS_RA"].startswith("[deg]")


@pytest.mark.parametrize("ratio", [1.0, -0.5])
def test_archived_crota_is_the_same_sky_with_any_shape_of_pixels(celestial_headers, ratio):
    header = celestial_headers["CROTA"]
    header["CDELT2"] = header["CDELT1"] * ratio
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        old = WCS(header)
        archive = WCS(corrected_header(header, None, wcsname="NAMED"), key="A")
    xy = [(1.0, 1.0), (700, 1), (350, 200), (1, 400)]
    np.testing.assert_allclose(archive.wcs_pix2world(xy, 1), old.wcs_pix2world(xy, 1), atol=1e-10)
