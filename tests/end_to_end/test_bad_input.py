"""Bad input: one clear sentence, a status that is not 0, other images go on where that makes sense, nothing spoiled."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from images import fill

from imagereg.alignment import verdict
from imagereg.demo import simulate_visit
from imagereg.errors import DegenerateFit, InputError, ParameterError
from imagereg.files import text as formats
from imagereg.interfaces.shell.cli import main
from imagereg.tweakreg import TweakReg

QUIET = {"see2dplot": False, "residplot": "No plot", "threshold": 10}
WORDS = ["see2dplot=no", "residplot=No plot", "threshold=10"]
LAST = "jdemo1acq_flt.fits"


def truncate(path):
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def truncate_header(path):
    path.write_bytes(path.read_bytes()[:1000])


def write_words(path):
    path.write_text("no image at all\n" * 500)


def empty(path):
    path.write_bytes(b"")


def drop_science(path):
    with fits.open(path) as hdus:
        fits.HDUList([hdus[0].copy()]).writeto(path.with_suffix(".x"))
    os.replace(path.with_suffix(".x"), path)


def drop_wcs(path):
    with fits.open(path, mode="update") as hdus:
        for hdu in hdus["SCI", 1], hdus["SCI", 2]:
            for name in ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
                del hdu.header[name]


def spoil_wcs(path):
    with fits.open(path, mode="update") as hdus:
        for hdu in hdus["SCI", 1], hdus["SCI", 2]:
            hdu.header["CD1_1"] = hdu.header["CD1_2"] = hdu.header["CD2_1"] = hdu.header["CD2_2"] = 0.0


def blank(path):
    fill(path, np.nan)


def flatten(path):
    fill(path, 60.0)


def flag_all(path):
    with fits.open(path, mode="update") as hdus:
        for extver in (1, 2):
            hdus["DQ", extver].data[:] = 4


def keep_one_star(path):
    with fits.open(path, mode="update") as hdus:
        rng = np.random.default_rng(0)
        for extver in (1, 2):
            hdus["SCI", extver].data[:] = rng.normal(60, 8, hdus["SCI", extver].data.shape)
        y, x = np.mgrid[:256, :512]
        hdus["SCI", 1].data += 5000 * np.exp(-((x - 100.3)**2 + (y - 80.6)**2) / 2)


def other_sky(path):
    """Put other stars where those of the field should be."""
    with tempfile.TemporaryDirectory() as folder:
        visit = simulate_visit(folder, seed=77, n_exposures=1, chip_shape=(256, 512), n_stars=90, n_cosmic_rays=60)
        with fits.open(path, mode="update") as hdus:
            for extver in (1, 2):
                hdus["SCI", extver].data[:] = fits.getdata(visit.files[0], ("SCI", extver))


def three_axes(path):
    with fits.open(path) as hdus:
        header = hdus["SCI", 1].header
        fits.PrimaryHDU(np.zeros((2, 30, 30), np.float32), header).writeto(path, overwrite=True)


def replace_in_file(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def control_character(path):
    replace_in_file(path, b"INSTRUME= '", b"INSTRUME= \x07")


def damage_extension(path):
    replace_in_file(path, b"XTENSION= 'IMAGE", b"XTEN\x00ION= 'IMAGE")


def billions_of_axes(path):
    cards = ("SIMPLE  =                    T", "BITPIX  =                  -32",
             "NAXIS   =           2147483648", "END")
    path.write_bytes("".join(card.ljust(80) for card in cards).ljust(2880).encode())


def thousands_of_hdus(path):
    cards = ("XTENSION= 'IMAGE   '", "BITPIX  =                    8", "NAXIS   =                    0",
             "PCOUNT  =                    0", "GCOUNT  =                    1", "END")
    path.write_bytes(path.read_bytes() + "".join(card.ljust(80) for card in cards).ljust(2880).encode() * 3000)


BAD = {
    control_character: "the value of INSTRUME is damaged",
    damage_extension: "does not begin with XTENSION",
    billions_of_axes: "NAXIS = 2147483648",
    thousands_of_hdus: "more than 1000 HDUs",
    truncate: "truncated",
    truncate_header: "can't be read as FITS",
    write_words: "can't be read as FITS",
    empty: "can't be read as FITS",
    drop_science: "no SCI extension and no images",
    drop_wcs: "no celestial WCS",
    spoil_wcs: "WCS",
    blank: "0 sources found, 4 are needed",
    flatten: "0 sources found",
    flag_all: "0 sources found",
    keep_one_star: "1 sources found",
    other_sky: "matches within tolerance=1 pixel, 4 are needed",
    three_axes: "is a cube: it has 3 axes, expected 2",
}


def run_and_check(visit, monkeypatch, capsys, spoilt, says):
    """Run the command on all files; return what it printed."""
    before = {name: Path(name).read_bytes() for name in visit.names}
    status = main(["*flt.fits", "updatehdr=yes", "shiftfile=yes", *WORDS])
    printed = capsys.readouterr()
    assert status in (1, 2)
    text = (printed.out + printed.err).replace("\n  ", " ")  # long sentences are wrapped
    assert says in text and "Traceback" not in text
    sentence = next(line for line in text.splitlines() if says in line)
    assert spoilt in sentence and len(sentence) < 300
    assert Path(spoilt).read_bytes() == before[spoilt]
    return status, before


@pytest.mark.parametrize("spoil", BAD, ids=lambda f: f.__name__)
def test_bad_image_among_good_ones(visit, monkeypatch, capsys, spoil):
    spoil(Path(LAST))
    status, before = run_and_check(visit, monkeypatch, capsys, LAST, BAD[spoil])
    assert status == 1
    assert fits.getheader(visit.names[1], ("SCI", 1))["WCSNAME"] == "TWEAK"
    assert visit.truth.residuals([*visit.names[:2], visit.originals[LAST]])[1] < 1.5
    shifts, _ = formats.parse_shiftfile(Path("shifts.txt").read_text(), "shifts.txt")
    assert np.isnan([shifts[2].dx, shifts[2].rot, shifts[2].xrms]).all() and np.isfinite(shifts[1].dx)


@pytest.mark.parametrize("spoil", [f for f in BAD if f is not other_sky], ids=lambda f: f.__name__)
def test_bad_reference(visit, monkeypatch, capsys, spoil):
    first = visit.names[0]
    spoil(Path(first))
    _, before = run_and_check(visit, monkeypatch, capsys, first, BAD[spoil])
    assert all(Path(name).read_bytes() == content for name, content in before.items())


def test_one_chip_blank(visit):
    """The other chip does."""
    with fits.open(LAST, mode="update") as hdus:
        hdus["SCI", 2].data[:] = np.nan
    result = TweakReg(visit.names, updatehdr=True, **QUIET)
    assert result.ok and (visit.truth.residuals(visit.names)[1:] < 3).all()


def test_identical_images(visit, capsys):
    shutil.copy(visit.names[0], LAST)
    before = Path(LAST).read_bytes()
    assert main(["*flt.fits", "updatehdr=yes", *WORDS]) == 1
    assert f"{LAST}: its sources are those of {visit.names[0]} to the last digit" \
        in capsys.readouterr().out.replace("\n  ", " ")
    assert Path(LAST).read_bytes() == before


@pytest.mark.parametrize("words, says", [
    (["nosuch_flt.fits", "jdemo1aaq_flt.fits"], "nosuch_flt.fits does not exist"),
    (["*nosuch.fits"], "no file matches *nosuch.fits"),
    (["jdemo1aaq_flt.fits"], "jdemo1aaq_flt.fits is the only image"),
    (["*flt.fits", "treshold=4"], "unknown parameter 'treshold'; did you mean 'threshold'?"),
    (["*flt.fits", "searchrad=-1"], "searchrad"),
    (["*flt.fits", "searchrad=far"], "'far'"),
    (["*flt.fits", "nclip=2.5"], "nclip"),
    (["*flt.fits", "fitgeometry=spline"], "'shift', 'rshift', 'rscale', 'xyscale', 'general', 'auto'"),
    (["*flt.fits", "threshold=4", "thresh=5"], "given as '4' and as '5'"),
    (["*flt.fits", "computesig=no"], "skysigma"),
    (["*flt.fits", "dqbits=hot"], "dqbits = 'hot'"),
    (["*flt.fits", "updatewcs=yes"], "is no image of HST"),
    (["*flt.fits", "runfile=nosuch/run.log"], "nosuch"),
    (["*flt.fits", "shiftfile=yes", "outshifts=folder"], "folder can't be written"),
    (["*flt.fits", "updatehdr=yes", "wcsname=DEMO_IDC"], "has a WCS named 'DEMO_IDC' already"),
], ids=str)
def test_bad_words(visit, capsys, words, says):
    os.mkdir("folder")
    before = {name: Path(name).read_bytes() for name in visit.names}
    assert main([*words, *([] if "updatehdr=yes" in words else ["updatehdr=yes"]), *WORDS[:2]]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and says in printed.err and len(printed.err.splitlines()) == 1
    assert {name: Path(name).read_bytes() for name in visit.names} == before


def test_process_ends_with_status_and_one_line(visit):
    done = subprocess.run([sys.executable, "-m", "imagereg", "nosuch.fits"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "tweakreg: nosuch.fits does not exist\n" and done.stdout == ""


def test_write_protected_file(visit, capsys):
    os.chmod(LAST, stat.S_IRUSR)
    before = {name: Path(name).read_bytes() for name in visit.names}
    assert main(["*flt.fits", "updatehdr=yes", *WORDS]) == 2
    assert f"{LAST} can't be updated: it is write-protected" in capsys.readouterr().err
    assert {name: Path(name).read_bytes() for name in visit.names} == before
    assert main(["*flt.fits", *WORDS]) == 0


def test_write_protected_folder(visit, capsys):
    os.makedirs("sub")
    for name in visit.names:
        os.rename(name, f"sub/{name}")
    os.chmod("sub", stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert main(["sub/*flt.fits", "updatehdr=yes", *WORDS]) == 2
        assert "is write-protected" in capsys.readouterr().err
        assert main(["sub/*flt.fits", *WORDS]) == 0
        os.chmod(".", stat.S_IRUSR | stat.S_IXUSR)
        assert main(["sub/*flt.fits", *WORDS]) == 2
        assert "can't be written" in capsys.readouterr().err
    finally:
        os.chmod(".", stat.S_IRWXU)
        os.chmod("sub", stat.S_IRWXU)


def test_mode_and_links_stay(visit):
    os.chmod(LAST, 0o640)
    os.rename(LAST, "elsewhere.fits")
    os.symlink("elsewhere.fits", LAST)
    assert TweakReg(visit.names, updatehdr=True, **QUIET).ok
    assert os.path.islink(LAST) and stat.S_IMODE(os.stat("elsewhere.fits").st_mode) == 0o640
    assert fits.getheader("elsewhere.fits", ("SCI", 1))["WCSNAME"] == "TWEAK"
    assert not list(Path().glob(".imagereg*"))


def test_reusename(visit):
    assert TweakReg(visit.names, updatehdr=True, **QUIET).ok
    with pytest.raises(InputError, match="'TWEAK' already"):
        TweakReg(visit.names, updatehdr=True, **QUIET)
    assert TweakReg(visit.names, updatehdr=True, reusename=True, **QUIET).ok
    header = fits.getheader(visit.names[1], ("SCI", 1))
    assert header["WCSNAMEA"] == "DEMO_IDC" and "WCSNAMEB" not in header


def test_unknown_parameter_is_an_error(visit):
    with pytest.raises(ParameterError, match="did you mean 'updatehdr'"):
        TweakReg(visit.names, updatehdrs=True)


def test_stray_parameter_files_change_nothing(visit):
    for name in ("tweakreg.cfg", "imagefindpars.cfg", "tweakreg.cfgspc", "imagefindpars.cfgspc"):
        Path(name).write_text("_task_name_ = imagefindpars\nthreshold = 4000\n")
    assert TweakReg(visit.names, **QUIET).ok


def test_failed_image_is_not_updated(visit):
    other_sky(Path(LAST))
    before = Path(LAST).read_bytes()
    result = TweakReg(visit.names, updatehdr=True, shiftfile=True, **QUIET)
    assert not result.ok and [a.status.value for a in result.alignments] == ["reference", "aligned", "failed"]
    assert Path(LAST).read_bytes() == before
    assert Path("shifts.txt").read_text().splitlines()[-1].split() == [LAST, *["nan"] * 6]


def test_result_is_never_none(visit):
    keep_one_star(Path(LAST))
    result = TweakReg(visit.names, **QUIET)
    assert result.table()["reason"][2] and not result.ok


def test_what_chance_may_be(visit):
    """The odds that are believed are a parameter: with 0 nothing is."""
    result = TweakReg(visit.names, maxchance=0.0, minobj=5, **QUIET)
    assert all(a.chance_probability < 1e-20 for a in result.alignments[1:])
    strict = TweakReg(visit.names, fluxmin=40000, minobj=2, maxchance=1e-300, **QUIET)
    assert not strict.ok and "unrelated sources would give" in strict.alignments[1].reason


def test_fit_that_no_wcs_can_follow(visit, monkeypatch):
    """It shows in the verdict, before any header is written."""
    follow = verdict.corrected_wcs

    def refuse_the_last(wcs, shape, plane, fit, **options):
        if np.allclose(wcs.wcs.crval, last):
            raise DegenerateFit("a WCS of type TAN can't follow the fit")
        return follow(wcs, shape, plane, fit, **options)

    last = [fits.getheader(LAST, ("SCI", 2))[name] for name in ("CRVAL1", "CRVAL2")]
    before = Path(LAST).read_bytes()
    monkeypatch.setattr(verdict, "corrected_wcs", refuse_the_last)
    result = TweakReg(visit.names, updatehdr=True, shiftfile=True, **QUIET)
    assert [a.status.value for a in result.alignments] == ["reference", "aligned", "failed"]
    assert "can't follow the fit" in result.alignments[2].reason and Path(LAST).read_bytes() == before
    assert Path("shifts.txt").read_text().splitlines()[-1].split()[1] == "nan"


def test_outputs_on_inputs(visit):
    os.link(visit.names[1], "linked.fits")
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    with pytest.raises(InputError, match=f"outwcs linked.fits would take the place of the image {visit.names[1]}"):
        TweakReg(visit.names, shiftfile=True, outwcs="linked.fits", **QUIET)
    with pytest.raises(InputError, match="outshifts one.txt and outwcs ./one.txt would be the same file"):
        TweakReg(visit.names, shiftfile=True, outshifts="one.txt", outwcs="./one.txt", **QUIET)
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_catalogs_of_the_user_stay(visit):
    TweakReg(visit.names, **{**QUIET, "writecat": True})
    root = visit.names[1].removesuffix(".fits")
    Path("cats.txt").write_text("".join(
        f"{name} {name[:-5]}_sci1_xy_catalog.coo {name[:-5]}_sci2_xy_catalog.coo\n" for name in visit.names))
    with open(f"{root}_sci1_xy_catalog.coo", "a") as file:
        file.write("# mine\n")
    before = Path(f"{root}_sci1_xy_catalog.coo").read_bytes()
    result = TweakReg(visit.names, catfile="cats.txt", **{**QUIET, "writecat": True})
    assert Path(f"{root}_sci1_xy_catalog.coo").read_bytes() == before
    assert f"{root}_sky_catalog.coo" in result.written and f"{root}_sci1_xy_catalog.coo" not in result.written
