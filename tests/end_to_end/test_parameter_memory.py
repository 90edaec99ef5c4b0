"""One memory of parameters: what is saved in one place is what every other place takes for saved."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sessions import environment

from imagereg import tweakreg
from imagereg.interfaces.epar import Model
from imagereg.interfaces.iraf import install
from imagereg.interfaces.python import TweakReg
from imagereg.interfaces.shell import cli
from imagereg.parameters import gather_parameters

PACKAGE = Path(tweakreg.__file__).parent
PYRAF_EDITOR = """
import sys, types
from pyraf import iraf
import imagereg, imagereg.interfaces
editor = types.ModuleType("imagereg.interfaces.epar")
sys.modules["imagereg.interfaces.epar"] = imagereg.interfaces.epar = editor
def edit(task, *, start=None, store=None, run=None):
    store({**start, "tweakreg": start["tweakreg"].replace(nclip=NCLIP),
           "imagefindpars": start["imagefindpars"].replace(threshold=THRESHOLD)})
from imagereg.interfaces.epar import saved
editor.edit = edit
iraf.epar("tweakreg")
"""
PYRAF_READER = """
from pyraf import iraf
import imagereg
print(iraf.tweakreg.nclip, iraf.imagefindpars.threshold)
"""
TEAL_SAVER = """
from imagereg import tweakreg
from stsci.tools import teal
values = teal.load("tweakreg")
values["CATALOG FITTING PARAMETERS"]["nclip"] = NCLIP
values.saveParList(filename=".teal/tweakreg.cfg")
"""
TEAL_READER = """
from imagereg import tweakreg
from stsci.tools import teal
from imagereg.interfaces import python
python.align_images = lambda images, *sets, **_: print(sets[0].nclip, sets[1].threshold)
tweakreg.run(teal.load("tweakreg"))
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Work in an empty folder below an empty home, which TEAL has been used in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "somebody")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    modes = {path: path.stat().st_mode for path in (PACKAGE / "pars").glob("*.cfg")}
    yield tmp_path
    for path, mode in modes.items():  # TEAL makes them read-only
        path.chmod(mode)


def run(code, home, **more):
    """Run Python code in a process of its own, in the home folder; return what it printed last."""
    env = environment(home, PWD=str(home), **more)
    done = subprocess.run([sys.executable, "-c", code], cwd=home, env=env, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().rpartition("\n")[2]


def filled(code, nclip, threshold):
    return code.replace("NCLIP", str(nclip)).replace("THRESHOLD", str(threshold))


# ---- save nclip of tweakreg and threshold of imagefindpars


def save_in_editor(home, nclip, threshold):
    model = Model.open("tweakreg")
    model.set("nclip", str(nclip))
    model.child("imagefindpars").set("threshold", str(threshold))
    model.save()


def save_in_shell(home, nclip, threshold):
    assert cli.main([f"nclip={nclip}", f"threshold={threshold}", "--savepars", "defaults"]) == 0


def save_in_sets(home, nclip, threshold):
    """Save the task and its set each by itself, as `edit_imagefindpars` and its command do."""
    for task, name, value in [("tweakreg", "nclip", nclip), ("imagefindpars", "threshold", threshold)]:
        model = Model.open(task)
        model.set(name, str(value))
        model.save()


def save_in_pyraf(home, nclip, threshold):
    if importlib.util.find_spec("pyraf") is None:
        pytest.skip("needs pyraf")
    run(filled(PYRAF_EDITOR, nclip, threshold), home, PYRAF_NO_IRAF="1")


def save_in_teal(home, nclip, threshold):
    """TEAL saves the task; the button for the set opens our editor."""
    run(filled(TEAL_SAVER, nclip, threshold), home)
    model = Model.open("imagefindpars")
    model.set("threshold", str(threshold))
    model.save()


# ---- read both


def read_in_editor(home, capsys):
    values = Model.open("tweakreg").values
    return values["tweakreg"].nclip, values["imagefindpars"].threshold


def read_in_shell(home, capsys):
    assert cli.main(["--pars", "defaults", "--lpar"]) == 0
    printed = capsys.readouterr().out
    found = [re.search(rf"\({name} = ([\d.]+)\)", printed)[1] for name in ("nclip", "threshold")]
    return int(found[0]), float(found[1])


def read_in_python(home, capsys):
    sets = gather_parameters("defaults")
    return sets[0].nclip, sets[1].threshold


def read_in_pyraf(home, capsys):
    if importlib.util.find_spec("pyraf") is None:
        pytest.skip("needs pyraf")
    nclip, threshold = run(PYRAF_READER, home, PYRAF_NO_IRAF="1").split()
    return int(nclip), float(threshold)


def read_in_teal(home, capsys):
    nclip, threshold = run(TEAL_READER, home).split()
    return int(nclip), float(threshold)


SAVERS = [save_in_editor, save_in_shell, save_in_sets, save_in_pyraf, save_in_teal]
READERS = [read_in_editor, read_in_shell, read_in_python, read_in_pyraf, read_in_teal]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("save", SAVERS)
def test_saved_here_and_read_there(save, read, home, capsys):
    """After TEAL or PyRAF, who read, have saved something of their own before."""
    (home / ".teal").mkdir()
    own = {read_in_teal: save_in_teal, read_in_pyraf: save_in_pyraf}
    if read in own:
        own[read](home, 8, 12.0)
    time.sleep(0.02)  # the clock of files ticks in steps of some milliseconds
    save(home, 5, 77.0)
    capsys.readouterr()
    assert read(home, capsys) == (5, 77.0)


@pytest.fixture
def cl(home):
    """Return a function that gives lines to IRAF's cl, which has our package, and returns the numbers it prints."""
    if shutil.which("irafcl") is None:
        pytest.skip("needs iraf")
    folder = home / ".iraf"
    folder.mkdir()
    shutil.copy("/etc/iraf/login.cl", folder)
    install(str(Path(sys.executable).with_name("tweakreg")))
    def say(*lines):
        done = subprocess.run(["irafcl"], input="\n".join(["imagereg", *lines, "logout", ""]), text=True,
                              capture_output=True, cwd=home, timeout=60, env=environment(home, HOME=str(home)))
        return re.findall(r"^([\d.]+)$", done.stdout, re.MULTILINE)
    return say


def test_cl_shares_the_memory(home, cl, capsys):
    """What its epar saves (here update) is what others have for saved, and the other way round."""
    cl("tweakreg.nclip = 5", "imagefindpars.threshold = 77", 'tweakreg.input = "a \\"b\\".fits"', "update tweakreg",
       "update imagefindpars")
    for read in (read_in_editor, read_in_shell, read_in_python):
        assert read(home, capsys) == (5, 77.0)
    time.sleep(0.02)
    save_in_editor(home, 8, 12.5)
    shown = "= tweakreg.nclip", "= imagefindpars.threshold"
    assert cl(*shown) == ["8", "12.5"]
    time.sleep(0.02)
    save_in_shell(home, 2, 3.5)
    assert read_in_editor(home, capsys) == (2, 3.5)
    assert cl(*shown) == ["2", "3.5"]
    assert cli.main(["--unlearn"]) == 0
    assert cl(*shown) == ["3", "4."]


def test_a_file_of_drizzlepac_is_left_alone(home):
    """TEAL's file of its task, which has the same name, is neither read nor written."""
    (home / ".teal").mkdir()
    theirs = home / ".teal" / "tweakreg.cfg"
    theirs.write_text("_task_name_ = tweakreg\nnclip = 9\n")
    save_in_editor(home, 5, 77.0)
    os.utime(theirs, (2e9, 2e9))
    assert read_in_python(home, None) == (5, 77.0)
    assert theirs.read_text() == "_task_name_ = tweakreg\nnclip = 9\n"


def test_nothing_saved_counts_unasked(home, monkeypatch):
    save_in_editor(home, 5, 77.0)
    taken = []
    monkeypatch.setattr("imagereg.interfaces.python.align_images", lambda images, *sets, **_: taken.append(sets))
    TweakReg("x.fits")
    TweakReg("x.fits", configobj="defaults")
    assert [(task.nclip, finding.threshold) for task, finding, _ in taken] == [(3, 4.0), (5, 77.0)]


def test_forgetting(home, capsys):
    """In the shell the task with its sets, as they were saved; in all places where it is saved."""
    (home / ".teal").mkdir()
    save_in_teal(home, 5, 77.0)
    save_in_editor(home, 5, 77.0)
    assert cli.main(["--unlearn"]) == 0
    assert capsys.readouterr().out.count(".cfg") == 4
    assert read_in_python(home, capsys) == (3, 4.0)


def test_how_to_run(home):
    """The line that the editor leaves names what reads the file."""
    model = Model.open("tweakreg")
    assert model.how_to_run == "Run with it: tweakreg --pars defaults, or TweakReg(configobj='defaults')"
    model.save_as("my.cfg")
    assert model.how_to_run == f"Run with it: tweakreg --pars {model.path}, or TweakReg(configobj={model.path!r})"
    finding = Model.open("imagefindpars").how_to_run
    assert finding == "Run with it: tweakreg imagefindpars=defaults, or TweakReg(imagefindcfg='defaults')"
