"""Lists of files for the chips of images."""

from types import SimpleNamespace

import numpy as np
import pytest

from imagereg.errors import InputError
from imagereg.files.lists import Exclusions, parse_chip_files


def test_the_sample_catfile_of_the_help():
    text = "image1_flt.fts  cat1_sci1.coo  cat1_sci2.coo\nimage2_flt.fts  cat2_sci1.coo  cat2_sci2.coo\n"
    assert parse_chip_files(text, "catfile") == {"image1_flt.fts": ("cat1_sci1.coo", "cat1_sci2.coo"),
                                                 "image2_flt.fts": ("cat2_sci1.coo", "cat2_sci2.coo")}


@pytest.mark.parametrize("line, names", [
    ("j99da1f2q_flt.fits test_exclusion.reg", ("test_exclusion.reg",)),
    ("j99da1f2q_flt.fits None test_sci2_exclusion.reg", (None, "test_sci2_exclusion.reg")),
    ("j99da1f2q_flt.fits INDEF test_sci2_exclusion.reg", (None, "test_sci2_exclusion.reg")),
    ("j99da1f2q_flt.fits", ()), ("  j99da1f2q_flt.fits\tnone\tindef # b", (None, None)),
    ("# comment\n\nj99da1f2q_flt.fits a#1.coo # b", ("a#1.coo",))])
def test_lines_of_lists_with_files_for_chips(line, names):
    assert parse_chip_files(line, "list") == {"j99da1f2q_flt.fits": names}


@pytest.mark.parametrize("text, message", [
    ("", "list names no image"), ("# a b\n", "list names no image"), ("a b\n\na c\n", "list, line 3: a stands there"),
    ("a b\nc \x01\n", "list, line 2: .* expected the name of an image")])
def test_lists_that_are_none(text, message):
    with pytest.raises(InputError, match=message):
        parse_chip_files(text, "list")


def test_exclusions_that_stand_for_nothing():
    listed = Exclusions({}, {"a.fits": ("r1", None), "b.fits": ("r1", "r2"), "gone.fits": ("r1",)})
    assert listed.unused({"a.fits": 1, "b.fits": 1}) == [
        "b.fits has 2 areas, and 1 chips",
        "gone.fits is none of the images",
    ]
    assert listed.unused({"a.fits": 2, "b.fits": 2, "gone.fits": 1}) == []


def test_each_chip_has_its_own_mask():
    """A mask image has an HDU for each chip; the last one serves for those that follow."""
    masks = [np.eye(3, 4), np.eye(3, 4, k=1)]  # of which zeros exclude
    listed = Exclusions({"m.fits": masks}, {"a.fits": (None, "m.fits", "m.fits")})
    pixels = SimpleNamespace(chip=SimpleNamespace(shape=(3, 4), wcs=None), ltm=(1, 1), ltv=(0, 0))
    assert listed.mask("a.fits", 0, pixels) is None
    for number in (1, 2, 3):
        found = listed.mask("a.fits", number, pixels)
        expected = None if number == 3 else masks[1] == 0
        np.testing.assert_array_equal(found, expected)
    for_all = Exclusions({"m.fits": masks})
    np.testing.assert_array_equal(for_all.mask("any.fits", 0, pixels), masks[0] == 0)
    np.testing.assert_array_equal(for_all.mask("any.fits", 1, pixels), masks[1] == 0)
