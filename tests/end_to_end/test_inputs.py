"""What may stand for the images, and files of other shapes than HST's."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from geis_pairs import write_geis

from imagereg.demo import PointingError, simulate_visit
from imagereg.errors import InputError
from imagereg.files.images.fits import read_image
from imagereg.files.inputs import expand_input
from imagereg.tweakreg import TweakReg

QUIET = {"see2dplot": False, "residplot": "No plot", "writecat": False}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b_flt.fits", "a_flt.fits", "c_flt.fits", "d_drz.fits"):
        Path(name).touch()
    return tmp_path


@pytest.mark.parametrize("given, expected", [
    ("b_flt.fits", ["b_flt.fits"]),
    ("c_flt.fits, a_flt.fits", ["c_flt.fits", "a_flt.fits"]),
    ("*flt.fits", ["a_flt.fits", "b_flt.fits", "c_flt.fits"]),
    ("[bc]_flt.fits,a*", ["b_flt.fits", "c_flt.fits", "a_flt.fits"]),
    (["d_drz.fits", "?_flt.fits"], ["d_drz.fits", "a_flt.fits", "b_flt.fits", "c_flt.fits"]),
    (["a_flt.fits", "a_flt.fits"], ["a_flt.fits"]),
    ("@list", ["c_flt.fits", "a_flt.fits", "b_flt.fits"]),
    ("@sub/list", ["sub/e_flt.fits"]),
    (Path("a_flt.fits"), ["a_flt.fits"]),
    ("a_flt.fits[sci,1], a_flt.fits[sci,2], b_flt.fits[1]", ["a_flt.fits", "b_flt.fits"]),
    ("[bc]_flt.fits[SCI]", ["b_flt.fits", "c_flt.fits"]),
])
def test_expansion(folder, given, expected):
    Path("list").write_text("# images\nc_flt.fits\n\n  a_flt.fits\n*_flt.fits # the rest\n")
    os.makedirs("sub")
    Path("sub/e_flt.fits").touch()
    Path("sub/list").write_text("e_flt.fits\n")
    assert [file.path for file in expand_input(given)] == expected


def test_directory_order_decides_nothing(folder, monkeypatch):
    for order in (sorted, lambda names: sorted(names, reverse=True)):
        monkeypatch.setattr("glob.glob", lambda pattern, order=order: order(["a_flt.fits", "b_flt.fits", "c_flt.fits"]))
        assert [file.path for file in expand_input("*flt.fits")] == ["a_flt.fits", "b_flt.fits", "c_flt.fits"]


@pytest.mark.parametrize("given, says", [
    ("nosuch.fits", "nosuch.fits does not exist"),
    ("x*.fits", "no file matches x*.fits"),
    ("@nosuch", "nosuch can't be read"),
    ("@empty", "empty names no file"),
    ("@columns", "ivm.fits, a catalog of a_flt.fits, does not exist"),
    ("", "no input files"),
    ([], "no input files"),
    ("sub", "sub is not a file"),
    (["a_flt.fits", "sub/a_flt.fits"], "share a name"),
], ids=str)
def test_bad_expansion(folder, given, says):
    Path("empty").write_text("# nothing\n")
    Path("columns").write_text("a_flt.fits ivm.fits 2\n")
    os.makedirs("sub")
    Path("sub/a_flt.fits").touch()
    with pytest.raises(InputError) as error:
        expand_input(given)
    assert says in str(error.value)


@pytest.fixture
def single_chip(tmp_path, monkeypatch):
    """Simulate a visit of one chip."""
    monkeypatch.chdir(tmp_path)
    errors = [PointingError(), PointingError(dx=0.2, dy=-0.1, roll=0.01, scale=1.00001)]
    return simulate_visit(tmp_path, seed=3, n_exposures=2, n_chips=1, chip_shape=(300, 400), n_stars=120,
                          pointing_errors=errors, distortion=False)


def as_primary(path):
    with fits.open(path) as hdus:
        header = hdus["SCI"].header.copy()
        data = hdus["SCI"].data.copy()
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True)


def as_integers(path):
    as_primary(path)
    with fits.open(path) as hdus:
        data = np.clip(np.rint(hdus[0].data), 0, 65535).astype(np.uint16)
        fits.PrimaryHDU(data, hdus[0].header).writeto(path + "x", overwrite=True)
    os.replace(path + "x", path)


def as_unnamed_extension(path):
    with fits.open(path) as hdus:
        new = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(hdus["SCI"].data, hdus["SCI"].header)])
        del new[1].header["EXTNAME"], new[1].header["EXTVER"]
        new.writeto(path + "x")
    os.replace(path + "x", path)


def as_pc_matrix(path):
    as_primary(path)
    with fits.open(path, mode="update") as hdus:
        header = hdus[0].header
        cd = [header.pop(f"CD{i}_{j}") for i in (1, 2) for j in (1, 2)]
        header["CDELT1"] = header["CDELT2"] = 2e-5
        for name, value in zip(("PC1_1", "PC1_2", "PC2_1", "PC2_2"), cd, strict=True):
            header[name] = value / 2e-5


def as_tpv(path):
    as_primary(path)
    with fits.open(path, mode="update") as hdus:
        header = hdus[0].header
        header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
        header["PV1_1"], header["PV2_1"] = 1.0, 1.0


@pytest.mark.parametrize("change", [as_primary, as_integers, as_unnamed_extension, as_pc_matrix, as_tpv])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_other_kinds_of_files(single_chip, change, packed):
    names = []
    for path in map(str, single_chip.files):
        change(path)
        names.append(os.path.basename(path))
        if packed:
            with open(path, "rb") as plain, gzip.open(path + ".gz", "wb") as target:
                shutil.copyfileobj(plain, target)
            os.unlink(path)
            names[-1] += ".gz"
    result = TweakReg(names, threshold=10, updatehdr=True, **QUIET)
    assert result.ok
    with fits.open(names[1]) as hdus:
        hdu = hdus[0] if hdus[0].data is not None else hdus[1]
        wcs = WCS(hdu.header)
        truth = single_chip.chips[1][0]
        found = wcs.all_pix2world(truth.xy, 1)
        assert hdu.header["WCSNAME"] == "TWEAK"
    offset = (found - single_chip.sky[truth.ident]) * 3.6e6
    offset[:, 0] *= np.cos(np.deg2rad(found[:, 1]))
    assert np.sqrt((offset**2).sum(axis=1).mean()) < 2.5
    assert result.alignments[1].nmatches > 30


def test_more_chips(tmp_path, monkeypatch):
    """A mosaic camera: four SCI extensions, numbered out of order, with gaps."""
    monkeypatch.chdir(tmp_path)
    visits = [simulate_visit(tmp_path / str(i), seed=4 + i, n_exposures=2, chip_shape=(200, 300), n_stars=60,
                             center=(150 + i * 0.01, 30), dither=2.0,
                             pointing_errors=[PointingError(), PointingError(dx=0.15, dy=0.1)]) for i in (0, 1)]
    names = []
    for index in (0, 1):
        new = fits.HDUList([fits.PrimaryHDU()])
        for extvers, visit in zip(((7, 2), (4, 9)), visits, strict=True):
            with fits.open(visit.files[index]) as hdus:
                for extver, old in zip(extvers, (1, 2), strict=True):
                    header = hdus["SCI", old].header.copy()
                    for name in [n for n in header if n.startswith(("CPDIS", "D2IM", "DP1", "DP2"))]:
                        header.remove(name, ignore_missing=True, remove_all=True)
                    header["EXTVER"] = extver
                    new.append(fits.ImageHDU(hdus["SCI", old].data.copy(), header))
        names.append(f"mosaic{index}.fits")
        new.writeto(names[-1])
    result = TweakReg(names, threshold=10, updatehdr=True, **QUIET)
    assert result.ok and [c.extver for c in result.alignments[0].exposure.chips] == [2, 4, 7, 9]
    assert set(result.alignments[1].exposure.sources.chip[result.alignments[1].rows]) == {2, 4, 7, 9}
    with fits.open(names[1]) as hdus:
        assert all(hdu.header["WCSNAME"] == "TWEAK" for hdu in hdus[1:])


def test_extensions_of_a_ground_camera(visit):
    """Chips named as cameras name them, between them a guide chip without WCS, masks and weights."""
    for name in visit.names:
        with fits.open(name) as hdus:
            chips = [fits.ImageHDU(hdus["SCI", extver].data.copy(), hdus["SCI", extver].header.copy())
                     for extver in (1, 2)]
        for number, hdu in enumerate(chips, 1):
            hdu.header["EXTNAME"] = f"CCD{number}"
            for word in ("EXTVER", *(key for key in hdu.header if key.startswith(("CPDIS", "D2IM", "DP1", "DP2")))):
                hdu.header.remove(word, ignore_missing=True, remove_all=True)
        header = chips[0].header.copy()
        mask, weight = (fits.ImageHDU(np.ones((256, 512)), header, name=kind) for kind in ("im1_mask", "WHT"))
        parts = [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((9, 9)), name="GUIDE"), chips[0], mask, weight, chips[1]]
        fits.HDUList(parts).writeto(name, overwrite=True)
    result = TweakReg(visit.names, threshold=20, searchrad=3, updatehdr=True, **QUIET)
    assert result.ok and [chip.extver for chip in result.alignments[0].exposure.chips] == [1, 2]
    assert set(result.alignments[1].exposure.sources.chip[result.alignments[1].rows]) == {1, 2}
    with fits.open(visit.names[1]) as hdus:
        assert [hdu.header.get("WCSNAME") == "TWEAK" for hdu in hdus] == [False, False, True, False, False, True]


@pytest.mark.parametrize("dqbits, rejected", [
    ("", True), ("16", False), ("16,64", False), ("16+64", False), ("64", True), ("~16", True), ("~64", False),
    ("None", False),
])
def test_dqbits_name_what_is_good(single_chip, dqbits, rejected):
    with read_image(single_chip.files[0]) as opened:
        image = opened.pixels(opened.chips[0], dqbits)
    quality = fits.getdata(single_chip.files[0], "DQ")
    hot = (quality & 16) > 0
    assert hot.any()
    assert (image.bad is not None and image.bad[hot].all()) == rejected
    assert image.bad is None or not image.bad[quality == 0].any()


@pytest.mark.parametrize("updatehdr", [False, True])
def test_geis_images_and_clean(visit, tmp_path, monkeypatch, updatehdr):
    """Old pairs are aligned like any other image; clean removes what they were converted to, unless it has news."""
    names = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
    (tmp_path / "old").mkdir()
    for number, name in enumerate(visit.names):
        with fits.open(name) as hdus:
            headers = [hdus["SCI", extver].header for extver in (1, 2)]
            pixels = [hdus["SCI", extver].data for extver in (1, 2)]
        keywords = {key: [header[key] for header in headers] for key in names}
        write_geis(str(tmp_path / "old" / f"u{number}.c0h"), pixels, **keywords)
    monkeypatch.chdir("old")
    before = sorted(os.listdir("."))
    result = TweakReg("*.c0h", clean=True, updatehdr=updatehdr, threshold=20, searchrad=3, see2dplot=False,
                      residplot="No plot", runfile="")
    assert [alignment.nmatches > 20 for alignment in result.alignments[1:]] == [True] * 2
    made = ["u0_c0h.fits", "u1_c0h.fits", "u2_c0h.fits"]
    assert sorted(set(os.listdir(".")) - set(before)) == sorted(["tweakreg_solution.ecsv", *made * updatehdr])
