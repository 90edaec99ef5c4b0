"""Headers are updated whole or not at all, the way back is exact, and a dry run writes nothing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from corrections import update_header
from images import edit

from imagereg.errors import InputError
from imagereg.files import atomic
from imagereg.files.atomic import Claim
from imagereg.files.images import rewrite
from imagereg.files.images.fits import read_image
from imagereg.interfaces.shell.cli import main
from imagereg.tasks.solutions.restore import restore_wcs
from imagereg.tweakreg import TweakReg
from imagereg.wcs.alternates import wcs_names
from imagereg.wcs.correction import Solution

QUIET = {"see2dplot": False, "residplot": "No plot", "threshold": 10}
WORDS = ["see2dplot=no", "residplot=No plot", "threshold=10"]
OF_WCS = re.compile(r"WCSAXES|WCSNAME|WCSTYPE|HDRNAME|C(RPIX|RVAL|TYPE|UNIT|DELT|RDER)\d|CD\d_\d|LONPOLE|LATPOLE"
                    r"|RADESYS|EQUINOX|ORIENTAT|S_REGION|FITNAME|NMATCH|FITGEOM|RMS_(RA|DEC)|[AB]_\w+"
                    r"|(CPDIS|CPERR|D2IM|DP)\d.*")


def wcs_cards(path):
    """Text of all cards of the primary WCS of each chip."""
    with fits.open(path) as hdus:
        return [{card.keyword: str(card) for card in hdu.header.cards if OF_WCS.fullmatch(card.keyword)}
                for hdu in hdus if hdu.name == "SCI"]


def assert_same_wcs(names, expected):
    """Check the text of all cards of the primary WCSs."""
    for name, chips in zip(names, expected, strict=True):
        for found, wanted in zip(wcs_cards(name), chips, strict=True):
            assert dict(found.items() - wanted.items()) == dict(wanted.items() - found.items()) == {}


def everything():
    """Content and times of all that is in the folder."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in Path().rglob("*")}


def long_numbers(path):
    """Write CRVAL1 with more digits than astropy writes."""
    content = Path(path).read_bytes()
    for card in {match.group() for match in re.finditer(rb"CRVAL1  = .{70}", content)}:
        value = float(card[10:30])
        content = content.replace(card, b"CRVAL1  = " + f"{value:.20f} / as long as can be".ljust(70).encode())
    Path(path).write_bytes(content)


# What is written


def test_region_and_history(visit):
    for name in visit.names:
        edit(name, S_REGION="POLYGON ICRS 1.0 2.0 3.0 4.0 5.0 6.0", HDRNAME="old one")
    result = TweakReg(visit.names, updatehdr=True, **QUIET)
    alignment = result.alignments[1]
    with fits.open(visit.names[1]) as hdus:
        for extver in (1, 2):
            header = hdus["SCI", extver].header
            frame, *numbers = header["S_REGION"].removeprefix("POLYGON ").split()
            corners = WCS(header, hdus).all_pix2world([(1, 1), (1, 256), (512, 256), (512, 1), (1, 1)], 1)
            assert frame == "ICRS"
            np.testing.assert_allclose(np.reshape(numbers, (5, 2)).astype(float), corners, atol=1e-9)
            text = "".join(header["HISTORY"])
            chance = f"chance {alignment.chance_probability:.1e}"
            for said in (visit.names[0], f"{alignment.nmatches} matches", chance, "rms "):
                assert said in text
            assert "HDRNAME" not in header and header["HDRNAMEA"] == "old one"
    assert "S_REGION" in fits.getheader(visit.names[0], ("SCI", 1))


def as_of_hst(path):
    """Give an image what tells that stwcs made its WCS."""
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update({"TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "WFC"})
        for extver in (1, 2):
            hdus["SCI", extver].header["IDCSCALE"] = 0.05


def wcs_history(path):
    """Return NEXTEND, the number of extensions, and EXTVER, letter and name of each WCSCORR row."""
    with fits.open(path) as hdus:
        table = hdus["WCSCORR"].data
        rows = [(int(row["EXTVER"]), row["WCS_KEY"].strip(), row["WCS_ID"].strip())
                for row in table if row["WCS_ID"].strip()]
        return hdus[0].header["NEXTEND"], len(hdus) - 1, sorted(rows)


def test_history_of_hst_images(visit):
    """The table WCSCORR is made, and grows; the WCS of before is kept as O; NEXTEND counts it."""
    pytest.importorskip("stwcs")
    for name in visit.names:
        as_of_hst(name)
    name = visit.names[1]
    extensions = fits.getheader(name)["NEXTEND"]
    assert TweakReg(visit.names, updatehdr=True, wcsname="ONE", **QUIET).ok
    said, present, rows = wcs_history(name)
    assert said == present == extensions + 1
    for extver in (1, 2):
        names = {wcs_id for version, _, wcs_id in rows if version == extver}
        assert {"OPUS", "ONE"} <= names
        assert wcs_names(fits.getheader(name, ("SCI", extver)))["O"] == "OPUS"
    assert TweakReg(visit.names, updatehdr=True, wcsname="TWO", **QUIET).ok
    said, present, more = wcs_history(name)
    assert said == present == extensions + 1
    assert {wcs_id for _, _, wcs_id in more} >= {"OPUS", "ONE", "TWO"}
    assert len(more) > len(rows)


def test_stwcs_is_not_loaded_for_the_history(visit):
    for name in visit.names:
        as_of_hst(name)
    run = (f"import sys; from imagereg.tweakreg import TweakReg; "
           f"TweakReg({visit.names!r}, updatehdr=True, num_cores=1, **{QUIET!r}); print('stwcs' in sys.modules)")
    told = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "False"
    with fits.open(visit.names[1]) as hdus:
        assert "WCSCORR" in hdus


def test_nextend_counts_a_headerlet_and_the_history(visit):
    pytest.importorskip("stwcs")
    for name in visit.names:
        as_of_hst(name)
    assert TweakReg(visit.names, updatehdr=True, headerlet=True, **QUIET).ok
    said, present, _ = wcs_history(visit.names[1])
    with fits.open(visit.originals[visit.names[1]]) as hdus:
        assert said == present == len(hdus) - 1 + 2


def test_checksums_are_right(visit):
    for name in visit.names:
        with fits.open(name) as hdus:
            hdus.writeto("with.fits", checksum=True)
        os.replace("with.fits", name)
    assert TweakReg(visit.names, updatehdr=True, **QUIET).ok
    for name in visit.names:
        with fits.open(name, checksum=True) as hdus:  # a wrong one is a warning, which is an error here
            hdus.verify("exception")
            assert "CHECKSUM" in hdus["SCI", 2].header and "DATASUM" in hdus["SCI", 2].header
            assert hdus["SCI", 2].verify_checksum() == hdus["SCI", 2].verify_datasum() == 1


def test_name_of_an_alternate_used_again(visit):
    assert TweakReg(visit.names, updatehdr=True, **QUIET).ok
    restore_wcs(visit.names)
    assert TweakReg(visit.names, updatehdr=True, reusename=True, **QUIET).ok
    assert list(wcs_names(fits.getheader(visit.names[1], ("SCI", 1))).values()) == ["TWEAK", "DEMO_IDC"]


# The way back


def test_restore_is_exact(visit):
    for name in visit.names:
        edit(name, S_REGION="POLYGON ICRS 1.0 2.0 3.0 4.0 5.0 6.0", WCSTYPE="undistorted not aligned", LATPOLE=-5.125)
        long_numbers(name)
    before = [wcs_cards(name) for name in visit.names]
    assert "as long as can be" in before[0][0]["CRVAL1"] and len(before[0][0]) > 40
    assert TweakReg(visit.names, updatehdr=True, wcsname="ONE", **QUIET).ok
    one = [wcs_cards(name) for name in visit.names]
    assert TweakReg(visit.names, updatehdr=True, wcsname="TWO", **QUIET).ok
    two = [wcs_cards(name) for name in visit.names]
    assert main(["--restore", *visit.names]) == 0
    assert_same_wcs(visit.names, one)
    restore_wcs(visit.names)  # takes it back
    assert_same_wcs(visit.names, two)
    restore_wcs(visit.names, to="demo_idc")
    assert_same_wcs(visit.names, before)
    restore_wcs(visit.names, to="one")
    assert_same_wcs(visit.names, one)
    for extver in (1, 2):
        names = wcs_names(fits.getheader(visit.names[1], ("SCI", extver)))
        assert sorted(names.values()) == ["DEMO_IDC", "ONE", "TWO"]


def test_previous_is_the_one_before_the_last_update(visit):
    """Not one that was given up before it."""
    TweakReg(visit.names, updatehdr=True, wcsname="BAD", **QUIET)
    restore_wcs(visit.names)
    TweakReg(visit.names, updatehdr=True, wcsname="GOOD", **QUIET)
    restore_wcs(visit.names)
    assert fits.getheader(visit.names[1], ("SCI", 1))["WCSNAME"] == "DEMO_IDC"


@pytest.mark.filterwarnings("ignore:Removed redundant SIP")
@pytest.mark.parametrize("kind", ["CROTA", "TPV by SCAMP", "PC", "SIP", "other LONPOLE", "at the pole"])
def test_restore_of_any_image(celestial_headers, kind, tmp_path):
    path = str(tmp_path / "any.fits")
    fits.PrimaryHDU(np.zeros((400, 700), np.float32), celestial_headers[kind]).writeto(path)
    before = [str(card) for card in fits.getheader(path).cards]
    with read_image(path) as image:
        new = image.chips[0].wcs.deepcopy()
    new.wcs.crval = new.wcs.crval + 1e-3 * np.sign(45 - new.wcs.crval)
    if kind == "CROTA":
        turn, steps = new.wcs.get_pc(), new.wcs.cdelt
        del new.wcs.crota
        new.wcs.pc, new.wcs.cdelt = turn, steps
    update_header(path, [({1: new}, Solution(nmatches=9))], wcsname="NEW")
    assert fits.getheader(path)["WCSNAME"] == "NEW" and fits.getheader(path)["CRVAL1"] != fits.Header.fromstring(
        "".join(before))["CRVAL1"]
    restore_wcs([path])
    header = fits.getheader(path)
    assert {str(card) for card in header.cards} >= set(before)
    left = [card.keyword for card in header.cards if str(card) not in before and card.keyword != "HISTORY"]
    assert left and all(keyword[-1] == "A" for keyword in left)


@pytest.mark.parametrize("arguments, says", [
    ([], "has no archived WCS"),
    (["--to", "OTHER"], "has no WCS named 'OTHER', but DEMO_IDC"),
    (["threshold=3"], "takes no parameters"),
])
def test_what_can_not_be_restored(visit, capsys, arguments, says):
    before = everything()
    assert main(["--restore", *visit.names, *arguments]) == 2
    assert says in capsys.readouterr().err
    assert everything() == before


def test_restore_that_was_interrupted(visit, capsys):
    TweakReg(visit.names, updatehdr=True, **QUIET)
    restore_wcs(visit.names[:1])
    assert main(["--restore", *visit.names]) == 0
    assert f"{visit.names[0]}: has the WCS DEMO_IDC already" in capsys.readouterr().out
    assert {fits.getheader(name, ("SCI", 2))["WCSNAME"] for name in visit.names} == {"DEMO_IDC"}


# Dry run


def test_dry_run_writes_nothing(visit, capsys):
    before = everything()
    status = main(["*flt.fits", "--dry-run", "updatehdr=yes", "shiftfile=yes", "threshold=10"])
    printed = capsys.readouterr().out
    assert status == 0 and everything() == before
    assert f"{visit.names[1]}[SCI,2]:" in printed and "WCSNAMEA none -> 'DEMO_IDC'" in printed
    assert main(["*flt.fits", "updatehdr=yes", *WORDS]) == 0
    for name in visit.names:
        old, new = fits.getheader(visit.originals[name], ("SCI", 1)), fits.getheader(name, ("SCI", 1))
        for keyword in ("CRVAL1", "CD1_2"):
            changed = f"  {keyword:8} {old[keyword]!r} -> {new[keyword]!r}"
            assert (changed in printed) is (old[keyword] != new[keyword])
    before = everything()
    assert main(["--restore", "*flt.fits", "--dry-run"]) == 0
    assert "WCSNAME  'TWEAK' -> 'DEMO_IDC'" in capsys.readouterr().out and everything() == before


# Crashes, and others at the same time


def update_all(names, wcsname, **options):
    """Give files a WCS that is a bit off."""
    for name in names:
        with read_image(name) as image:
            wcss = {chip.extver: chip.wcs.deepcopy() for chip in image.chips}
        for wcs in wcss.values():
            wcs.wcs.crval = wcs.wcs.crval + 1e-4
        update_header(name, [(wcss, Solution(nmatches=50))], wcsname=wcsname, **options)


def is_old_or_new(path, original):
    """Check that a file is whole and either old or new, and its data untouched; return whether it is new."""
    with fits.open(path) as new, fits.open(original) as old:
        states = {hdu.header["WCSNAME"] for hdu in new if hdu.name == "SCI"}
        assert len(states) == 1 and len(new) == len(old)
        content, before = Path(path).read_bytes(), Path(original).read_bytes()
        for index in range(len(old)):
            spans = [h.fileinfo(index) for h in (new, old)]
            start = "datLoc" if old[index].name == "SCI" else "hdrLoc"
            parts = [c[s[start]:s["datLoc"] + s["datSpan"]] for c, s in zip((content, before), spans, strict=True)]
            assert parts[0] == parts[1]
    return states == {"KILLED"}


def test_a_killed_run_is_completed(visit):
    update_all(visit.names[:1], "TWEAK")
    with pytest.raises(InputError, match="reusename=yes, which also completes"):
        TweakReg(visit.names, updatehdr=True, **QUIET)
    assert TweakReg(visit.names, updatehdr=True, reusename=True, **QUIET).ok
    for name in visit.names:
        assert list(wcs_names(fits.getheader(name, ("SCI", 1))).values()) == ["TWEAK", "DEMO_IDC"]
    assert np.ptp([fits.getheader(n, ("SCI", 1))["CRVAL1A"] for n in visit.names]) > 0


def test_two_runs_at_once(visit, capsys):
    with Claim(visit.names[1:2]):
        before = everything()
        assert main([*visit.names, "updatehdr=yes", *WORDS]) == 2
        assert f"{visit.names[1]} is being worked on by another run" in capsys.readouterr().err
        assert main(["--restore", *visit.names]) == 2
        assert everything() == before
        assert main([*visit.names, "--dry-run", "updatehdr=yes", *WORDS]) == 0
    assert main([*visit.names, "updatehdr=yes", *WORDS]) == 0


def test_claim_goes_over_to_the_new_file(visit):
    name = visit.names[0]
    with Claim([name]) as claim:
        update_all([name], "FIRST", claim=claim)
        with pytest.raises(InputError, match="another run"):
            Claim([name])
        update_all([name], "SECOND", claim=claim)
    with Claim([name]):
        assert fits.getheader(name, 1)["WCSNAME"] == "SECOND"


@pytest.mark.parametrize("how", ["written", "replaced"])
def test_file_that_changes_meanwhile(visit, how):
    name = visit.names[0]
    with Claim([name]) as claim:
        if how == "written":
            edit(name, OTHER=1)
        else:
            shutil.copy(name, "copy.fits")
            os.replace("copy.fits", name)
        before = Path(name).read_bytes()
        with pytest.raises(InputError, match="was changed by something else"):
            update_all([name], "NEW", claim=claim)
    assert Path(name).read_bytes() == before and not list(Path().glob(".imagereg-*"))


def test_without_locks(visit, monkeypatch):
    """As on some network file systems."""
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(atomic.fcntl, "flock", refuse)
    Path(".imagereg-0.tmp").write_text("perhaps of a run on another machine")
    assert TweakReg(visit.names, updatehdr=True, **QUIET).ok
    assert Path(".imagereg-0.tmp").exists()


def test_leftovers_are_swept(visit):
    Path(".imagereg-dead.tmp").write_text("of a killed run")
    with atomic.replacing("other") as file:
        alive = file.name
        assert TweakReg(visit.names, updatehdr=True, **QUIET).ok
        assert os.path.exists(alive) and not os.path.exists(".imagereg-dead.tmp")


def test_full_disk(visit):
    code = ("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); import signal;"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); import sys; from imagereg.interfaces.shell.cli import main;"
            "sys.exit(main(sys.argv[1:]))").format(os.path.getsize(visit.names[0]) // 2)
    done = subprocess.run([sys.executable, "-c", code, *visit.names, "updatehdr=yes", "writecat=no", *WORDS],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "can't be written: file too large" in done.stderr
    for name in visit.names:
        assert Path(name).read_bytes() == Path(visit.originals[name]).read_bytes()
    assert not list(Path().glob(".imagereg-*"))


def test_disk_that_fills_on_the_way(visit, monkeypatch):
    """It is said which files are updated, and how to go on."""
    carry_out = rewrite.Plan.carry_out

    def fail(plan, **options):
        if plan.path == visit.names[2]:
            raise InputError(f"{plan.path} can't be written: no space left on device")
        carry_out(plan, **options)

    monkeypatch.setattr(rewrite.Plan, "carry_out", fail)
    with pytest.raises(InputError, match=f"updated before were {visit.names[0]}, {visit.names[1]}: .*reusename=yes"):
        TweakReg(visit.names, updatehdr=True, **QUIET)


CHILD = """
import sys; sys.path += {folders!r}
import shutil
from test_header_updates import update_all
shutil.copy(sys.argv[1], "first.fits")
update_all(["first.fits"], "FIRST")  # whatever is imported late is there then
print("ready", flush=True); sys.stdin.readline()
update_all(sys.argv[1:], "KILLED")
"""


def test_a_reader_meanwhile_sees_old_or_new(visit):
    name = visit.names[0]
    folders = list(map(str, Path(__file__).parents[:2]))
    command = [sys.executable, "-c", CHILD.format(folders=folders), name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        child.stdin.write(b"\n")
        child.stdin.flush()
        seen = []
        while child.poll() is None:
            with fits.open(name, memmap=False) as hdus:
                hdus["DQ", 2].data.sum()
                seen.append({hdus["SCI", extver].header["WCSNAME"] for extver in (1, 2)})
    assert all(names in ({"DEMO_IDC"}, {"KILLED"}) for names in seen) and {"DEMO_IDC"} in seen
    assert is_old_or_new(name, visit.originals[name])


# What a rewrite needs and keeps


def test_header_that_can_not_be_written(visit):
    content = Path(visit.names[2]).read_bytes()
    at = content.index(b"BUNIT   = '")
    Path(visit.names[2]).write_bytes(content[:at + 11] + b"\xe9" + content[at + 12:])
    before = everything()
    with pytest.raises(InputError, match=rf"{visit.names[2]}\[1\] can't be updated: its card BUNIT"):
        TweakReg(visit.names, updatehdr=True, **QUIET)
    assert everything() == before


def test_attributes_stay_and_hard_links_are_named(visit, caplog):
    name = visit.names[0]
    try:
        os.setxattr(name, "user.note", b"mine")
    except (AttributeError, OSError) as error:
        pytest.skip(f"no extended attributes here: {error}")
    os.link(name, "other.fits")
    update_all([name], "NEW")
    assert os.getxattr(name, "user.note") == b"mine"
    assert f"{name} is parted from 1 other hard link" in caplog.text
    assert fits.getheader("other.fits", 1)["WCSNAME"] == "DEMO_IDC"
