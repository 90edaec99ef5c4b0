"""Each row of docs/coming_from_drizzlepac.md is true."""

import inspect
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from imagereg import solutions, tweakback, tweakreg
from imagereg.errors import AlignmentWarning, ParameterError
from imagereg.parameters import Spec, gather_parameters
from imagereg.tasks import align_catalogs
from imagereg.tweakreg import SourceCatalog, Status, TweakReg

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming_from_drizzlepac.md"
ROWS = [line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if line.startswith("|")][2:]
QUIET = {"see2dplot": False, "residplot": "No plot", "threshold": 10, "writecat": False}
CHECKS = {}


def row(topic):
    """Register the check of a row."""
    def keep(check):
        CHECKS[topic] = check
        return check
    return keep


@pytest.mark.parametrize("topic", ROWS)
def test_row(topic, visit):
    CHECKS[topic](visit)


def test_every_check_is_of_a_row():
    assert sorted(CHECKS) == sorted(ROWS)


def default(name, task="tweakreg"):
    return Spec.load(task)[name].default


def sources(count, seed=3):
    """Return sources over 1000 pixels."""
    return np.random.default_rng(seed).uniform(0, 1000, (count, 2))


def catalog(xy):
    return SourceCatalog(xy, xy_error=np.full(xy.shape, 0.05), flux=np.geomspace(1e4, 1e2, len(xy)))


def matched(n_shared, *, shift=(3.0, -2.0), n_others=40, **given):
    """Align two lists that share some sources, at a shift."""
    shared = sources(n_shared)
    image = catalog(np.concatenate([shared + shift, sources(n_others, seed=5)]))
    reference = catalog(np.concatenate([shared, sources(n_others, seed=6)]))
    return align_catalogs(image, reference, searchrad=10, searchunits="pixels", **given)


@row("names in Python")
def _(visit):
    names = {"TweakReg", "run", "help", "getHelpAsString", "edit_imagefindpars", "edit_refimagefindpars"}
    assert names <= set(dir(tweakreg))
    assert list(inspect.signature(TweakReg).parameters)[:5] == ["files", "editpars", "configobj", "imagefindcfg",
                                                                "refimagefindcfg"]


@row("result")
def _(visit):
    result = TweakReg(visit.names[:2], **QUIET)
    assert result.ok and result.verdict == "2 of 2 images aligned" and len(result.table()) == 2


@row("failed image")
def _(visit):
    blank(visit.names[1])
    before = Path(visit.names[1]).read_bytes()
    with pytest.warns(AlignmentWarning):
        result = TweakReg(visit.names[:2], **QUIET, updatehdr=True, shiftfile=True)
    assert result.alignments[1].status is Status.FAILED and Path(visit.names[1]).read_bytes() == before
    assert rows()[1][1:] == ["nan"] * 6


@row("first row when all fail")
def _(visit):
    blank(visit.names[1])
    with pytest.warns(AlignmentWarning):
        assert not TweakReg(visit.names[:2], **QUIET, shiftfile=True).ok
    assert list(map(float, rows()[0][1:])) == [0, 0, 0, 1, 0, 0]


def blank(name):
    """Leave nothing but noise in an image."""
    from astropy.io import fits

    with fits.open(name, mode="update") as hdus:
        for hdu in hdus:
            if hdu.name == "SCI":
                hdu.data[:] = np.random.default_rng(1).normal(60, 5, hdu.data.shape)


def rows():
    """Return the words of the rows of the shiftfile."""
    return [line.split() for line in Path("shifts.txt").read_text().splitlines() if line[0] != "#"]


@row("`dqbits` empty")
def _(visit):
    """Without the flags of the hot pixels there are more sources."""
    numbers = [number_of_sources(visit, dqbits=bits) for bits in ("", None)]
    assert default("dqbits", "imagefindpars") == "" and numbers[0] < numbers[1]


def number_of_sources(visit, **given):
    return len(TweakReg(visit.names[0], **{**QUIET, "writecat": True, **given}).alignments[0].exposure.sources)


@row("`nsources`")
def _(visit):
    assert default("nsources", "imagefindpars") == 5000
    assert gather_parameters(flat={"nsources": None})[1].nsources is None
    assert number_of_sources(visit, nsources=20) == 40  # of two chips


@row("`nbright`")
def _(visit):
    assert number_of_sources(visit, nbright=1) == 2  # of two chips


@row("`matching=auto`")
def _(visit):
    assert default("matching") == "auto"
    far = {"shift": (150.0, 90.0), "n_others": 10}
    assert matched(60, **far).status is Status.ALIGNED
    assert matched(60, **far, matching="tolerance").status is Status.FAILED


@row("`maxchance`")
def _(visit):
    """Three matches, which unrelated lists would give with 4e-6."""
    assert default("maxchance") == 1e-6
    given = {"n_others": 5, "minobj": 3, "matching": "tolerance", "onlybetter": False}
    refused = matched(3, **given)
    assert refused.status is Status.FAILED and 1e-6 < refused.chance_probability < 1e-5
    assert matched(3, **given, maxchance=1).status is Status.ALIGNED


@row("`minobj`")
def _(visit):
    assert default("minobj") == 15
    found = matched(10, n_others=0)
    assert found.status is Status.ALIGNED and found.nmatches <= 10 and "minobj=15" in found.reason
    assert matched(10, n_others=0, minobj=12).status is Status.FAILED
    assert matched(10, n_others=0, minobj=-1).status is Status.ALIGNED


@row("`onlybetter`")
def _(visit):
    assert default("onlybetter") is True
    assert matched(50, shift=(0.0, 0.0)).status is Status.UNCHANGED
    assert matched(50, shift=(0.0, 0.0), onlybetter=False).status is Status.ALIGNED


@row("`group`")
def _(visit):
    assert default("group") == "none" and Spec.load("tweakreg")["group"].choices == ("none", "visit")


@row("`solution=joint`")
def _(visit):
    assert default("solution") == "joint"
    together = TweakReg(visit.names, **QUIET)
    in_turn = TweakReg(visit.names, **QUIET, solution="sequential")
    assert together.ok and in_turn.ok
    assert not np.array_equal(together.alignments[1].offset, in_turn.alignments[1].offset)


@row("`centroid=psf`")
def _(visit):
    assert default("centroid", "imagefindpars") == "psf"
    assert Spec.load("imagefindpars")["centroid"].choices == ("psf", "marginal")


@row("`interactive`")
def _(visit):
    # There is no terminal here: a question would hang.
    assert default("interactive") is True
    assert TweakReg(visit.names[:2], **QUIET, interactive=True).ok


@row("order of a wildcard")
def _(visit):
    result = TweakReg("*flt.fits", **QUIET)
    assert [alignment.name for alignment in result.alignments] == sorted(visit.names)


@row("parameter files")
def _(visit):
    Path("imagefindpars.cfg").write_text("_task_name_ = imagefindpars\nthreshold = 77\n")
    assert gather_parameters()[1].threshold == 4
    assert gather_parameters(None, "imagefindpars.cfg")[1].threshold == 77


@row("unknown parameter")
def _(visit):
    with pytest.raises(ParameterError, match="did you mean 'threshold'"):
        TweakReg(visit.names, treshold=5)


@row("rotation in the shiftfile")
def _(visit):
    result = TweakReg(visit.names, **QUIET, shiftfile=True)
    found = [alignment.rotation for alignment in result.alignments]
    assert min(found) < 0
    np.testing.assert_allclose([float(words[3]) for words in rows()], np.mod(found, 360), atol=1e-8)


@row("`clean`")
def _(visit):
    TweakReg(visit.names[:2], **{**QUIET, "writecat": True}, clean=True)
    assert not list(Path().glob("*.coo")) and not list(Path().glob("*.match"))


@row("`refcat`")
def _(visit):
    assert "GAIADR3" in Spec.load("tweakreg")["refcat"].comment


@row("headerlet of a simple image")
def _(visit):
    from imagereg.tasks.solutions.headerlets import can_have_headerlet

    shutil.copy(visit.names[0], "m_drz.fits")
    assert can_have_headerlet("m_drz.fits")  # what happens is told by test_migration_breaks


@row("`updatehdr.update_from_shiftfile`")
def _(visit):
    result = TweakReg(visit.names, shiftfile=True, **QUIET)
    assert result.ok
    report = solutions.applywcs("shifts.txt", wcsname="TWEAK")
    assert [applied.wcsname for applied in report] == ["TWEAK"] * 3
    assert visit.truth.residuals(visit.names)[1:].max() < 15


@row("`tweakback`, `apply_tweak`")
def _(visit):
    theirs = ["drzfile", "newname", "input", "origwcs", "wcsname", "extname", "verbose", "force"]
    assert [name for name in Spec.load("tweakback").names if name in theirs] == theirs
    assert default("origwcs", "tweakback") == "" and callable(tweakback.tweakback) and callable(solutions.applywcs)


def test_the_page_names_parameters_that_there_are():
    names = {name for task in ("tweakreg", "imagefindpars") for name in Spec.load(task).names}
    settings = re.findall(r"`(\w+)=(\w+|-1)`", PAGE.read_text())
    assert settings and {name for name, _ in settings} <= names
    for name, value in settings:
        spec = Spec.load("tweakreg" if name in Spec.load("tweakreg") else "imagefindpars")
        spec.convert(name, None if value == "None" else value)
