"""Headerlets: stwcs applies what we make; the solutions of a file are listed, compared and exchanged."""

import gzip
import shutil
import string
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from images import sky

from imagereg.errors import InputError, ParameterError
from imagereg.files.atomic import Claim
from imagereg.interfaces.shell.cli import main
from imagereg.tasks.solutions import headerlets
from imagereg.tasks.solutions.compare import compare_solutions, stored_solutions
from imagereg.tasks.solutions.restore import restore_wcs
from imagereg.tweakreg import TweakReg
from imagereg.wcs.alternates import wcs_names

QUIET = {"threshold": 10, "see2dplot": False, "residplot": "No plot", "interactive": False, "writecat": False}
SCALE = 0.05  # arcsec per pixel


def pixels_apart(path, other, key=" "):
    differences = np.concatenate([sky(path, extver, key=key) - sky(other, extver) for extver in (1, 2)])
    return np.abs(differences * [np.cos(np.deg2rad(30)), 1]).max() * 3600 / SCALE


def hdu_bytes(path):
    """Header and data of each HDU, as they stand in the file."""
    content = Path(path).read_bytes()
    with fits.open(path) as hdus:
        infos = [hdus.fileinfo(index) for index in range(len(hdus))]
    return [(content[info["hdrLoc"]:info["datLoc"]], content[info["datLoc"]:info["datLoc"] + info["datSpan"]])
            for info in infos]


def attached(path):
    with fits.open(path) as hdus:
        return [(hdu.ver, hdu.header["HDRNAME"]) for hdu in hdus if hdu.name == "HDRLET"]


def by_stwcs(apply, path, headerlet, **options):
    """Let stwcs apply a headerlet file, with the noise it makes kept away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apply(str(path), str(headerlet), **options)


@pytest.fixture
def stwcs_headerlet(visit):
    """Give the module of stwcs, in a folder where it may write its log."""
    return pytest.importorskip("stwcs.wcsutil.headerlet")


@pytest.fixture(scope="module")
def runs(small_visit, tmp_path_factory):
    """Run once what many tests look at; returns a folder for each."""
    solved, several = tmp_path_factory.mktemp("solved"), tmp_path_factory.mktemp("several")
    names = [path.name for path in small_visit.files]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(solved)
        for path in small_visit.files:
            shutil.copy(path, path.name)
            shutil.copy(path, f"updated_{path.name}")
        TweakReg(names, headerlet=True, hdrfile="hdrlet1", wcsname="FIRST", author="A. Nonym", **QUIET)
        TweakReg([f"updated_{name}" for name in names], updatehdr=True, wcsname="FIRST", **QUIET)
        shutil.copytree(solved, several, dirs_exist_ok=True)
        patch.chdir(several)
        TweakReg(names, updatehdr=True, fitgeometry="shift", wcsname="SHIFTED", **QUIET)
    return {"solved": solved, "several": several}


@pytest.fixture
def solved(visit, runs):
    """Give images with headerlets in files and attached; only copies have the solution in their headers."""
    shutil.copytree(runs["solved"], ".", dirs_exist_ok=True)
    return visit


# What a run writes


def test_names_are_those_of_the_help_text(solved):
    assert Path("jdemo1aaq_hdrlet1_hlet.fits").exists() and Path("jdemo1abq_hdrlet1_hlet.fits").exists()
    assert headerlets.file_name("j99da1f2q_flt.fits", "hdrlet1") == "j99da1f2q_hdrlet1_hlet.fits"
    assert headerlets.file_name("data/j99da1f2q_flc.fits.gz", "") == "j99da1f2q_hlet.fits"
    assert headerlets.file_name("field_2.fits", "") == "field_2_hlet.fits"
    assert headerlets.file_name("j99da1f2q_flt.fits", "out/mine.fits") == "out/mine.fits"


def test_an_image_keeps_everything_but_gets_an_extension(solved):
    for name in solved.names:
        before, after = hdu_bytes(solved.originals[name]), hdu_bytes(name)
        assert len(after) == len(before) + 1 and after[1:-1] == before[1:]
        old, new = (fits.Header.fromstring(primary[0][0]) for primary in (before, after))
        assert new["NEXTEND"] == len(before) == old["NEXTEND"] + 1
        old["NEXTEND"] = new["NEXTEND"]
        assert old.tostring() == new.tostring()
        assert attached(name) == [(1, "FIRST")]


def test_a_headerlet_of_an_image_whose_letters_are_all_taken(visit):
    """It is one solution; those that the image has besides stay with the image, and in nobody's way."""
    letters = string.ascii_uppercase.replace("O", "")
    for name in visit.names:
        with fits.open(name, mode="update") as hdus:
            for extver in (1, 2):
                header = hdus["SCI", extver].header
                for key in letters:
                    for keyword in ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"):
                        header[keyword + key] = header[keyword]
                    header[f"WCSNAME{key}"] = f"NUMBER {key}"
    assert TweakReg(visit.names, headerlet=True, attach=False, **QUIET).ok
    with fits.open("jdemo1abq_hlet.fits") as hdus:
        for extver in (1, 2):
            assert set(wcs_names(hdus["SIPWCS", extver].header)) == {" "}


def test_no_stray_files_or_words(visit, capfd):
    TweakReg(visit.names, headerlet=True, runfile="", **QUIET)
    assert capfd.readouterr() == ("", "")
    made = {f"{name[:9]}_hlet.fits" for name in visit.names} | {"tweakreg_solution.ecsv"}
    assert {path.name for path in Path().iterdir()} == made | set(visit.names)


def test_stwcs_applies_it_as_primary(solved, stwcs_headerlet):
    for name in solved.names:
        shutil.copy(solved.originals[name], "copy.fits")
        by_stwcs(stwcs_headerlet.apply_headerlet_as_primary, "copy.fits", f"{name[:9]}_hdrlet1_hlet.fits")
        assert pixels_apart("copy.fits", f"updated_{name}") < 1e-6
        assert attached("copy.fits")[-1][1] == "FIRST"
    assert pixels_apart(solved.originals[name], f"updated_{name}") > 1  # so that this is not for nothing


def test_stwcs_applies_it_as_alternate(solved, stwcs_headerlet):
    name = solved.names[1]
    shutil.copy(solved.originals[name], "copy.fits")
    by_stwcs(stwcs_headerlet.apply_headerlet_as_alternate, "copy.fits", f"{name[:9]}_hdrlet1_hlet.fits", wcskey="B")
    assert pixels_apart("copy.fits", f"updated_{name}", key="B") < 1e-6
    assert pixels_apart("copy.fits", solved.originals[name]) == 0


def test_stwcs_restores_an_attached_one(solved, stwcs_headerlet):
    name = solved.names[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(name, mode="update") as hdus:
            attached_one = stwcs_headerlet.Headerlet(hdus["HDRLET", 1].hdulist)
            attached_one.init_attrs()
            attached_one.apply_as_primary(hdus, attach=False, archive=False)
    assert pixels_apart(name, f"updated_{name}") < 1e-6


def test_what_it_says(visit):
    words = ("Aligned with the stars of the first exposure, one by one, and looked at again. " * 3).strip()
    Path("history.txt").write_text(f"{words}\n\nSecond paragraph, of Ängström.\n", encoding="utf-8")
    result = TweakReg(visit.names, headerlet=True, hdrname="BEST", author="A. Nonym", descrip="Made by hand",
                      catalog="GAIADR3", history="history.txt", **QUIET)
    with fits.open("jdemo1abq_hlet.fits") as hdus:
        header = hdus[0].header
    expected = {"HDRNAME": "BEST", "WCSNAME": "TWEAK", "AUTHOR": "A. Nonym", "DESCRIP": "Made by hand",
                "CATALOG": "GAIADR3", "DESTIM": "jdemo1abq", "NMATCH": result.alignments[1].nmatches}
    assert {name: header[name] for name in expected} == expected
    rms = np.sqrt((result.alignments[1].sky_residuals() ** 2).mean(axis=0)) / 3600
    np.testing.assert_allclose([header["RMS_RA"], header["RMS_DEC"]], rms, rtol=1e-6)
    lines = list(header["HISTORY"])
    assert max(map(len, lines)) <= 70 and lines[-1] == "Second paragraph, of ?ngstr?m."
    assert " ".join(lines[:-1]) == words


def test_several_are_numbered_and_clobber_replaces(solved):
    name = solved.names[1]
    TweakReg(solved.names, headerlet=True, hdrname="SECOND", runfile="", **QUIET)
    TweakReg(solved.names, headerlet=True, hdrname="THIRD", hdrfile="third", updatehdr=True, wcsname="THIRD", **QUIET)
    assert attached(name) == [(1, "FIRST"), (2, "SECOND"), (3, "THIRD")]
    before = hdu_bytes(name)
    TweakReg(solved.names, headerlet=True, hdrname="second", descrip="again", clobber=True, **QUIET)
    assert attached(name) == [(1, "FIRST"), (2, "second"), (3, "THIRD")]
    after = hdu_bytes(name)
    assert [a == b for a, b in zip(after, before, strict=True)].count(False) == 1


def test_long_names_of_reference_files(visit):
    for name in visit.names:
        with fits.open(name, mode="update") as hdus:
            hdus[0].header.update({"IDCTAB": "jref$0461802dj_idc.fits", "NPOLFILE": "jref$02c1450oj_npl.fits",
                                   "D2IMFILE": "jref$02c1450nj_d2i.fits"})
    TweakReg(visit.names, headerlet=True, **QUIET)
    kept = fits.getheader(visit.names[1], "HDRLET", 1)
    assert kept["DISTNAME"] == "jdemo1abq_0461802dj-02c1450oj-02c1450nj"


def test_gzipped_and_not_attached(visit):
    packed = []
    for name in visit.names:
        Path(f"{name}.gz").write_bytes(gzip.compress(Path(name).read_bytes(), 1))
        packed.append(f"{name}.gz")
    before = Path(packed[1]).read_bytes()
    TweakReg(packed, headerlet=True, attach=False, **QUIET)
    assert Path(packed[1]).read_bytes() == before and Path("jdemo1abq_hlet.fits").exists()
    TweakReg(packed, headerlet=True, clobber=True, **QUIET)
    assert attached(packed[1]) == [(1, "TWEAK")]


def test_a_failed_image_gets_none(visit):
    with fits.open(visit.names[2], mode="update") as hdus:
        for extver in (1, 2):
            hdus["SCI", extver].data[:] = 0
    before = Path(visit.names[2]).read_bytes()
    result = TweakReg(visit.names, headerlet=True, **QUIET)
    assert not result.ok and Path(visit.names[2]).read_bytes() == before
    assert {path.name for path in Path().glob("*_hlet.fits")} == {f"{name[:9]}_hlet.fits" for name in visit.names[:2]}


def test_an_unchanged_image_gets_one_as_the_reference_does(visit):
    TweakReg(visit.names, updatehdr=True, wcsname="FIRST", **QUIET)
    before = [Path(name).read_bytes() for name in visit.names]
    result = TweakReg(visit.names, headerlet=True, attach=False, hdrname="AGAIN", **QUIET)
    assert [a.status.value for a in result.alignments] == ["reference", "unchanged", "unchanged"]
    assert [Path(name).read_bytes() for name in visit.names] == before
    for name, kind in zip(visit.names, ["not aligned: reference", "user-defined", "user-defined"], strict=True):
        with fits.open(f"{name[:9]}_hlet.fits") as hdus:
            assert hdus[0].header["HDRNAME"] == "AGAIN" and hdus["SIPWCS", 1].header["WCSNAME"] == "TWEAK"
            assert hdus["SIPWCS", 1].header["WCSTYPE"] == kind
            assert hdus["SIPWCS", 2].header["CRVAL1"] == fits.getheader(name, ("SCI", 2))["CRVAL1"]


def test_dry_run_writes_nothing(visit, capsys):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path().iterdir()}
    assert main([*visit.names, "--dry-run", "headerlet=yes", "updatehdr=yes", "threshold=10"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path().iterdir()} == before
    for name in visit.names:
        for line in (f"{name[:9]}_hlet.fits: a new headerlet", f"{name}[HDRLET,1]: a new table or image",
                     f"{name}[SCI,2]:"):
            assert printed.count(line) == 1


def test_two_runs_at_once(visit):
    with Claim(visit.names[1:2]):
        with pytest.raises(InputError, match=f"{visit.names[1]} is being worked on by another run"):
            TweakReg(visit.names, headerlet=True, **QUIET)
        assert not list(Path().glob("*_hlet.fits"))
        assert TweakReg(visit.names, headerlet=True, attach=False, **QUIET).ok


# What is refused before any work


@pytest.mark.parametrize(("given", "error", "words"), [
    ({"hdrfile": "taken"}, InputError, "jdemo1abq_taken_hlet.fits of jdemo1abq_flt.fits exists already"),
    ({"hdrfile": "one.fits"}, InputError, "would both be one.fits: give the parameter hdrfile"),
    ({"hdrfile": "nowhere/one.fits"}, InputError, "there is no folder"),
    ({"hdrfile": "jdemo1abq_flt.fits", "clobber": True}, InputError, "would take the place of the image"),
    ({"history": "missing.txt"}, InputError, "missing.txt can't be read"),
    ({"author": "Ångström"}, ParameterError, "expected plain ASCII text"),
    ({"hdrname": "\x07"}, ParameterError, "expected plain ASCII text"),
])
def test_refused(visit, given, error, words):
    Path("jdemo1abq_taken_hlet.fits").write_text("mine")
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    with pytest.raises(error, match=words):
        TweakReg(visit.names, headerlet=True, updatehdr=True, **(QUIET | given))
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_a_name_that_is_taken_is_refused(solved):
    before = Path(solved.names[0]).read_bytes()
    with pytest.raises(InputError, match="has a headerlet named 'first' already"):
        TweakReg(solved.names, headerlet=True, hdrname="first", **QUIET)
    assert Path(solved.names[0]).read_bytes() == before
    assert TweakReg(solved.names, headerlet=True, hdrname="first", attach=False, **QUIET).ok


def plain(hdus):
    """Take the SIP polynomial away."""
    for extver in (1, 2):
        header = hdus["SCI", extver].header
        for name in [name for name in header if name[:2] in ("A_", "B_")]:
            del header[name]
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"


def rootless(hdus):
    """Take away what stwcs knows the image by."""
    del hdus[0].header["ROOTNAME"]


def renumbered(hdus):
    """Leave a gap in the numbers of the chips."""
    hdus["SCI", 2].ver = 3


@pytest.mark.parametrize(("change", "words"), [(plain, "SIP polynomial"), (rootless, "ROOTNAME"),
                                               (renumbered, "EXTVER 1, 2")])
def test_files_that_stwcs_does_not_know_are_refused(visit, change, words):
    with fits.open(visit.names[1], mode="update") as hdus:
        change(hdus)
    before = [Path(name).read_bytes() for name in visit.names]
    with pytest.raises(InputError, match=f"{visit.names[1]} can't have a headerlet: stwcs needs .*{words}"):
        TweakReg(visit.names, headerlet=True, **QUIET)
    assert [Path(name).read_bytes() for name in visit.names] == before


# The solutions of a file


@pytest.fixture
def several(visit, runs):
    """Give images with a primary WCS, an alternate and an attached headerlet that differs from both."""
    shutil.copytree(runs["several"], ".", dirs_exist_ok=True)
    return visit


def test_list(several, capsys):
    assert main(["--headerlets", several.names[1]]) == 0
    rows = {line.split()[1]: line.split() for line in capsys.readouterr().out.splitlines() if "_flt" in line}
    assert {place: row[2] for place, row in rows.items()} == {"primary": "SHIFTED", "A": "DEMO_IDC",
                                                             "HDRLET,1": "FIRST"}
    assert [row[-1] for row in rows.values()] == ["yes", "no", "no"] and "A. Nonym" in " ".join(rows["HDRLET,1"])
    kept = stored_solutions(several.names[1])[-1]
    assert kept.nmatch > 15 and 0.1 < kept.rms[0] < 5


def test_an_alternate_without_distortion(several, capfd):
    """HST keeps the WCS of before any calibration so: a linear one, which the image's SIP is not for."""
    name = several.names[1]
    with fits.open(name, mode="update") as hdus:
        for extver in (1, 2):
            for axis, ctype in enumerate(("RA---TAN", "DEC--TAN"), 1):
                hdus["SCI", extver].header[f"CTYPE{axis}A"] = ctype
    capfd.readouterr()
    linear = next(one for one in stored_solutions(name) if one.place == "A")
    assert all(chip.wcs.sip is None for chip in linear.chips) and capfd.readouterr() == ("", "")
    with pytest.raises(InputError, match="does not go with its distortion"):
        restore_wcs([name], to="A")


def test_compare(several, capsys):
    scores = {score.place: score for score in compare_solutions(several.names, threshold=10)
              if score.file == several.names[1]}
    assert scores["HDRLET,1"].best and not scores["primary"].best and not scores["A"].best
    assert scores["HDRLET,1"].rms < scores["primary"].rms < scores["A"].rms
    assert len({score.nmatches for score in scores.values()}) == 1 and scores["A"].nmatches > 15
    before = several.truth.residuals()[1]
    assert scores["A"].rms == pytest.approx(before, rel=0.1)  # what was simulated
    assert np.hypot(scores["primary"].east, scores["primary"].north) < 2 < np.hypot(scores["A"].east, scores["A"].north)
    assert main(["--compare", *several.names, "threshold=10"]) == 0
    assert "HDRLET,1" in capsys.readouterr().out


def test_compare_says_what_it_could_not_measure(visit, capsys):
    assert main(["--compare", *visit.names, "threshold=10", "minobj=10000"]) == 1
    assert f"{visit.names[1]}: " in capsys.readouterr().out


def test_activate_a_headerlet_and_go_back(several):
    name = several.names[1]
    shutil.copy(name, "before.fits")
    assert main(["--activate", "first", *several.names]) == 0
    assert pixels_apart(name, f"updated_{name}") == 0
    assert [(one.place, one.name, one.active) for one in stored_solutions(name)] == [
        ("primary", "FIRST", True), ("A", "DEMO_IDC", False), ("B", "SHIFTED", False), ("HDRLET,1", "FIRST", True)]
    assert fits.getheader(name, "SCI", 1)["NMATCH"] == fits.getheader(f"updated_{name}", "SCI", 1)["NMATCH"]
    assert restore_wcs([name], to="hdrlet,1") == [f"{name}: has the WCS hdrlet,1 already"]
    restore_wcs([name], to="B")
    assert pixels_apart(name, "before.fits") == 0
    assert restore_wcs([name], to="SHIFTED") == [f"{name}: has the WCS SHIFTED already"]
    for after, before in zip(hdu_bytes(name), hdu_bytes("before.fits"), strict=True):
        assert after[1] == before[1]


def test_activate_an_alternate_is_restore(several):
    name = several.names[1]
    shutil.copy(name, "other.fits")
    assert main(["--activate", "DEMO_IDC", name]) == 0
    restore_wcs(["other.fits"], to="DEMO_IDC")
    assert Path("other.fits").read_bytes() == Path(name).read_bytes()


def test_activate_keeps_region_and_checksum_right(several):
    name = several.names[1]
    with fits.open(name) as hdus:
        for extver in (1, 2):
            hdus["SCI", extver].header["S_REGION"] = "POLYGON ICRS 1.0 2.0 3.0 4.0 5.0 6.0"
        hdus.writeto("with.fits", checksum=True)
    before = Path("with.fits").read_bytes()
    changes = restore_wcs(["with.fits"], to="FIRST", dry_run=True)
    assert Path("with.fits").read_bytes() == before and "with.fits[SCI,1]:" in changes
    assert restore_wcs(["with.fits"], to="FIRST") == changes
    with fits.open("with.fits", checksum=True) as hdus:  # a wrong one is a warning, which is an error here
        hdus.verify("exception")
        for extver in (1, 2):
            header = hdus["SCI", extver].header
            corner = WCS(header, hdus).all_pix2world([(1, 1)], 1)[0]
            numbers = header["S_REGION"].removeprefix("POLYGON ICRS ").split()[:2]
            np.testing.assert_allclose(np.array(numbers, float), corner, atol=1e-9)
            assert header["WCSNAME"] == header["HDRNAME"] == "FIRST" and hdus["SCI", extver].verify_checksum() == 1


def test_activate_a_headerlet_that_is_an_alternate_too(visit):
    TweakReg(visit.names, headerlet=True, hdrname="KEPT", updatehdr=True, **QUIET)
    restore_wcs(visit.names, to="DEMO_IDC")
    restore_wcs(visit.names, to="KEPT")
    assert list(wcs_names(fits.getheader(visit.names[1], ("SCI", 2))).values()) == ["TWEAK", "DEMO_IDC"]


def test_activate_exchanges_without_filling_the_letters(several):
    name = several.names[1]
    for _ in range(4):
        restore_wcs([name], to="DEMO_IDC")
        restore_wcs([name], to="HDRLET,1")
    assert pixels_apart(name, f"updated_{name}") == 0
    assert len(stored_solutions(name)) <= 5


def test_activate_changes_all_or_none(several):
    restore_wcs(several.names[:1], to="FIRST")
    before = [Path(name).read_bytes() for name in several.names]
    with pytest.raises(InputError, match="has no WCS named 'NONE', but SHIFTED, DEMO_IDC, and headerlets FIRST"):
        restore_wcs(several.names[1:], to="NONE")
    shutil.copy(several.originals[several.names[2]], several.names[2])
    before[2] = Path(several.names[2]).read_bytes()
    with pytest.raises(InputError, match=f"{several.names[2]}.* has no WCS named 'FIRST', but DEMO_IDC$"):
        restore_wcs(several.names, to="FIRST")
    assert [Path(name).read_bytes() for name in several.names] == before


def test_activate_refuses_another_distortion(several):
    name = several.names[1]
    with fits.open(name, mode="update") as hdus:
        hdus["SCI", 1].header["A_2_0"] *= 1.1
    before = Path(name).read_bytes()
    with pytest.raises(InputError, match="has another distortion than the headerlet FIRST"):
        restore_wcs([name], to="FIRST")
    assert Path(name).read_bytes() == before
