"""GEIS images of HST's first decade: pairs of a header and pixels, in either byte order."""

import os

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from geis_pairs import write_geis

from imagereg.errors import InputError
from imagereg.files.images.instruments import quality_file
from imagereg.files.inputs import InputFile, ensure_mef


@pytest.mark.parametrize("pixel", ["REAL*4", "INTEGER*2", "UNSIGNED*2"])
@pytest.mark.parametrize(("order", "end"), [(">", True), ("<", True), ("<", False)])
def test_pair_becomes_extensions(tmp_path, pixel, order, end):
    path = str(tmp_path / "u1.c0h")
    pixels = write_geis(path, order=order, pixel=pixel, end=end)
    write_geis(str(tmp_path / "u1.c1h"), order=order, pixel="INTEGER*2")
    made = ensure_mef(InputFile(path))
    assert made.path == str(tmp_path / "u1_c0h.fits")
    assert sorted(made.made) == [made.path, str(tmp_path / "u1_c1h.fits")] and len(made.wcs_names) == 4
    with fits.open(made.path) as hdus:
        assert hdus[0].header["INSTRUME"] == "WFPC2" and hdus[0].header["SIMPLE"] is True
        for extver in range(1, 5):
            hdu = hdus["SCI", extver]
            np.testing.assert_array_equal(hdu.data, pixels[extver - 1])
            np.testing.assert_allclose(WCS(hdu.header).wcs.crval,
                                       (150 + (extver - 1) / 3, 2.2 - (extver - 1) / 7), rtol=1e-15)
            assert hdu.header["DETECTOR"] == extver and hdu.header["CTYPE1"] == "RA---TAN"
    assert quality_file(made.path) == str(tmp_path / "u1_c1h.fits")
    again = ensure_mef(InputFile(path))
    assert again.path == made.path and again.made == ()


@pytest.mark.parametrize(("given", "missing", "words"), [
    ("u1.c0h", "u1.c0d", "u1.c0h is the header of a GEIS image, and its pixels, u1.c0d, are not beside it"),
    ("u1.c0d", "u1.c0h", "u1.c0d holds the pixels of a GEIS image, whose header is u1.c0h: which is not there"),
    ("u1.c0d", "", "whose header is u1.c0h: give that")])
def test_a_part_is_missing(tmp_path, monkeypatch, given, missing, words):
    monkeypatch.chdir(tmp_path)
    write_geis("u1.c0h")
    if missing:
        os.remove(missing)
    with pytest.raises(InputError, match=words):
        ensure_mef(InputFile(given))


@pytest.mark.parametrize(("before", "after", "words"), [
    ("DATATYPE= 'REAL*4'", "DATATYPE= 'REAL*x'", "'REAL\\*x' is no type"), ("NAXIS1 ", "NAXISX ", "without what says"),
    ("NAXIS1  =                    8", "NAXIS1  =         999999999999", "without what says"),
    ("GCOUNT  =                    4", "GCOUNT  =                    9", "is truncated: it has"),
    ("PTYPE3 ", "PTYPEX ", "without what says")])
def test_damaged_pairs(tmp_path, before, after, words):
    path = tmp_path / "u1.c0h"
    write_geis(str(path))
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(InputError, match=words):
        ensure_mef(InputFile(str(path)))
    assert sorted(os.listdir(tmp_path)) == ["u1.c0d", "u1.c0h"]


def test_fits_of_such_a_name_is_fits(tmp_path):
    for name in ("a.c0h", "a.c0d"):
        fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / name)
        assert ensure_mef(InputFile(str(tmp_path / name))).path == str(tmp_path / name)


def test_a_dry_run_does_not_convert(tmp_path):
    write_geis(str(tmp_path / "u1.c0h"))
    with pytest.raises(InputError, match="is GEIS, and a dry run does not convert it"):
        ensure_mef(InputFile(str(tmp_path / "u1.c0h")), dry_run=True)
