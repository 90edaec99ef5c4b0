"""With updatewcs=yes stwcs makes the WCS anew first; what it makes is what it makes alone, put in place in one step."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from imagereg.demo import simulate_visit
from imagereg.errors import InputError
from imagereg.files.images import rewrite
from imagereg.interfaces.shell.cli import main
from imagereg.tasks.run import recompute
from imagereg.tasks.solutions.restore import restore_wcs
from imagereg.wcs import updatewcs as recompute_module
from imagereg.wcs.alternates import wcs_names

WORDS = ["see2dplot=no", "residplot=No plot", "threshold=10", "writecat=no"]
SHAPE = (256, 512)


def write_distortion(path):
    """Write an IDCTAB of WFC3/IR of which the coefficients are made up: a scale, and a bit of second order."""
    values = {"DETCHIP": 1, "DIRECTION": "FORWARD", "FILTER": "F160W", "XSIZE": SHAPE[1], "YSIZE": SHAPE[0],
              "XREF": SHAPE[1] / 2, "YREF": SHAPE[0] / 2, "V2REF": 1.0, "V3REF": -1.0, "SCALE": 0.05, "THETA": 45.0}
    for axis, linear in (("CX", "11"), ("CY", "10")):
        for term in ("10", "11", "20", "21", "22"):
            values[axis + term] = 0.05 if term == linear else 3e-7 * (term[0] == "2")
    table = fits.table_to_hdu(Table([values]))
    primary = fits.PrimaryHDU()
    primary.header.update({"DETECTOR": "IR", "INSTRUME": "WFC3", "NORDER": 2, "PARITY": 1, "FILETYPE": "DISTORTION"})
    fits.HDUList([primary, table]).writeto(path)


@pytest.fixture
def hst_visit(tmp_path, monkeypatch):
    """Make three exposures of one chip that say they are of WFC3/IR; their WCS has no distortion yet."""
    monkeypatch.chdir(tmp_path)
    visit = simulate_visit(tmp_path / "made", seed=5, n_exposures=3, n_chips=1, chip_shape=SHAPE, n_stars=90,
                           n_cosmic_rays=0, bad_pixels=0)
    (tmp_path / "ref").mkdir()
    write_distortion(tmp_path / "ref" / "made_idc.fits")
    monkeypatch.setenv("iref", f"{tmp_path / 'ref'}{os.sep}")
    names = []
    for path in map(Path, visit.files):
        with fits.open(path) as old:
            primary, header = old[0].header, fits.Header()
            primary.update({"TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "IR", "FILTER": "F160W", "NEXTEND": 3,
                            "IDCTAB": "iref$made_idc.fits", "NPOLFILE": "N/A", "D2IMFILE": "N/A", "PA_V3": 0.0,
                            "BINAXIS1": 1, "BINAXIS2": 1, "ASN_MTYP": ""})
            keywords = ("WCSAXES", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
            header.update({keyword: old["SCI", 1].header[keyword] for keyword in keywords})
            header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "BUNIT": "ELECTRONS", "ORIENTAT": 0.0,
                           "VAFACTOR": 1.0, "CCDCHIP": 1, "NGOODPIX": 1,
                           "LTV1": 0.0, "LTV2": 0.0, "LTM1_1": 1.0, "LTM2_2": 1.0,
                           "S_REGION": "POLYGON ICRS 1.0 2.0 3.0 4.0 5.0 6.0"})
            quality = old["DQ", 1].data.astype(np.uint16)
            fits.HDUList([fits.PrimaryHDU(header=primary), fits.ImageHDU(old["SCI", 1].data, header, "SCI", ver=1),
                          fits.ImageHDU(old["ERR", 1].data, name="ERR", ver=1),
                          fits.ImageHDU(quality, name="DQ", ver=1)]).writeto(path.name)
        names.append(path.name)
    return names


def science(name):
    return fits.getheader(name, ("SCI", 1))


def contents(names):
    return {name: Path(name).read_bytes() for name in names}


def data_bytes(name):
    with fits.open(name) as hdus:
        places = [hdus.fileinfo(index) for index in range(4)]
    return [Path(name).read_bytes()[place["datLoc"]:place["datLoc"] + place["datSpan"]] for place in places]


def test_it_is_what_stwcs_makes(hst_visit):
    name = hst_visit[0]
    before = data_bytes(name)
    with fits.open(name) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from stwcs.updatewcs import updatewcs

        hdus.writeto("theirs.fits")
        updatewcs("theirs.fits", use_db=False)
    recompute([name])
    ours, theirs = science(name), science("theirs.fits")
    assert ours["CTYPE1"] == "RA---TAN-SIP" and ours["WCSNAME"] == "IDC_made" and "A_2_0" in ours
    assert ours.pop("S_REGION") != theirs.pop("S_REGION")
    assert fits.HeaderDiff(ours, theirs, rtol=1e-12).identical
    assert data_bytes(name) == before
    with fits.open(name) as hdus:
        hdus.verify("exception")
        assert hdus["DQ", 1].data.dtype.kind == "u"


def test_updatewcs_then_update(hst_visit, capsys):
    assert main([*hst_visit, "updatewcs=yes", "updatehdr=yes", *WORDS]) == 0
    for name in hst_visit:
        assert {"TWEAK", "IDC_made", "OPUS"} == set(wcs_names(science(name)).values())
    first = contents(hst_visit)
    capsys.readouterr()
    assert main([*hst_visit, "updatewcs=yes", "updatehdr=yes", "wcsname=NEXT", "verbose=yes", *WORDS]) == 0
    said = "updatewcs replaced the fitted WCS 'TWEAK', which is now an alternate"
    printed = capsys.readouterr().out
    assert all(f"{name}: {said}" in printed for name in hst_visit) and said in Path("tweakreg.log").read_text()
    assert "NEXT" in wcs_names(science(hst_visit[1])).values() and "HISTORY" in science(hst_visit[1])
    restore_wcs(hst_visit, to="TWEAK")
    now, then = science(hst_visit[1]), fits.Header.fromstring(first[hst_visit[1]][2880:])
    for keyword in ("CRVAL1", "CD1_1", "CD2_2", "ORIENTAT", "NMATCH", "WCSTYPE", "S_REGION", "RMS_RA"):
        assert now[keyword] == then[keyword]


def test_dry_run(hst_visit, capsys):
    before = contents(hst_visit)
    assert main([*hst_visit, "updatewcs=yes", "updatehdr=yes", "--dry-run", *WORDS]) == 0
    printed = capsys.readouterr().out
    assert "A_ORDER  none -> 3" in printed and "'IDC_made' -> 'TWEAK'" in printed
    assert contents(hst_visit) == before and not Path("tweakreg.log").exists()


@pytest.mark.parametrize("spoil, says", [
    (lambda monkeypatch: monkeypatch.delenv("iref"), "the environment variable iref, which says where that is, is not"),
    (lambda _: os.remove("ref/made_idc.fits"), "there is no file"),
    (lambda _: fits.setval("jdemo1abq_flt.fits", "TELESCOP", value="VLT"), "is no image of HST"),
    (lambda _: fits.setval("jdemo1abq_flt.fits", "IDCTAB", value="N/A"), "names no IDCTAB"),
    (lambda _: Path("ref/made_idc.fits").write_bytes(b"no table"), "stwcs.updatewcs does not work on it"),
])
def test_what_it_needs(hst_visit, monkeypatch, capsys, spoil, says):
    spoil(monkeypatch)
    before = contents(hst_visit)
    assert main([*hst_visit, "updatewcs=yes", *WORDS]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1 and contents(hst_visit) == before


def test_all_files_or_none(hst_visit, monkeypatch):
    run = recompute_module._run_stwcs

    def fail_at_the_last(hdus, path):
        if path == hst_visit[2]:
            raise InputError(f"{path}: stwcs.updatewcs does not work on it: full moon")
        run(hdus, path)

    monkeypatch.setattr(recompute_module, "_run_stwcs", fail_at_the_last)
    before = contents(hst_visit)
    for name in hst_visit:
        rewrite.check_recomputable(name)
    with pytest.raises(InputError, match="full moon"):
        recompute(hst_visit)
    assert contents(hst_visit) == before
