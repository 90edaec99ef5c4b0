"""TEAL of stsci.tools finds, edits, saves and executes our tasks, and drizzlepac's beside them."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imagereg import tweakreg
from imagereg.interfaces.shell import cli
from imagereg.parameters.gather import TASKS, gather_parameters

PACKAGE = Path(tweakreg.__file__).parent
FIND = """
import json, sys
import imagereg
from imagereg import tweakreg, solutions
from stsci.tools import cfgpars, teal
cfgpars.integrityTestAllPkgCfgFiles(imagereg, output=False)
found = {name: teal.load(name) for name in sys.argv[1:]}
print(json.dumps({name: [x.filename, x.canExecute(), x.getHelpAsString()] for name, x in found.items()}))
"""
# Does in the window what a user does: presses a button, types a value, presses another button.
DRIVE = """
import json, sys, tkinter
from imagereg import tweakreg
from stsci.tools import teal

ran, edited = [], []
tweakreg.run = lambda configobj: ran.append(configobj.dict())
tweakreg.edit_imagefindpars = lambda: edited.append("imagefindpars")
tweakreg.edit_refimagefindpars = lambda: edited.append("refimagefindpars")

def widgets(parent, kind):
    for child in parent.winfo_children():
        yield from [child] * isinstance(child, kind)
        yield from widgets(child, kind)

def press(dialog, label):
    next(w for w in widgets(dialog.top, tkinter.Button) if w["text"] == label).invoke()

def use(dialog):
    names = [p.name for p in dialog._taskParsObj.getParList()]
    entry = dialog.entryNo[names.index("searchrad")].entry
    entry.delete(0, "end")
    entry.insert(0, "2.5")
    press(dialog, "imagefind Parameters")
    press(dialog, sys.argv[1])

start = teal.ConfigObjEparDialog._preMainLoop
def begin(dialog):
    start(dialog)
    dialog.top.after(300, use, dialog)

teal.ConfigObjEparDialog._preMainLoop = begin
status = teal.teal("tweakreg", returnAs="status")
print("\\n" + json.dumps([status, ran, edited]))
"""
BOTH = """
import json, os, sys
packages = {"ours": "imagereg", "theirs": "drizzlepac"}
modules = [__import__(packages[name], fromlist=["tweakreg", "imagefindpars"]) for name in sys.argv[1:3]]
ours, theirs = (__import__(packages[name] + ".tweakreg", fromlist=["x"]) for name in ("ours", "theirs"))
__import__("imagereg.imagefindpars"), __import__("drizzlepac.imagefindpars")
from stsci.tools import teal
found = [os.path.dirname(os.path.dirname(teal.load(task).filename)) for task in ("tweakreg", "imagefindpars")]
own = teal.load("imagereg.tweakreg")
from imagereg.parameters.gather import gather_parameters
sets = gather_parameters(own, flat={"threshold": 50})
short = teal.load("imagefindpars")  # of whichever package
short["peakmax"] = 500
of_short = gather_parameters(None, short)
print(json.dumps([found, os.path.dirname(theirs.__file__), own["runfile"], sets[1].threshold, of_short[1].peakmax]))
"""
RUN_THEIRS = """
from imagereg import tweakreg, imagefindpars
from drizzlepac import imgclasses, tweakreg as theirs

def stop(*args, **parameters):  # where images that are not of HST are refused
    print("\\nsources found")
    raise SystemExit(0)

imgclasses.RefImage = stop
theirs.TweakReg("*flt.fits", interactive=False, imagefindcfg={"threshold": 10})
"""


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    """Work in an empty folder that is the user's home too, with the package importable anywhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE.parent))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.chdir(tmp_path)
    modes = {path: path.stat().st_mode for path in (PACKAGE / "pars").glob("*.cfg")}
    yield
    for path, mode in modes.items():  # TEAL makes them read-only
        path.chmod(mode)


@pytest.fixture
def display(monkeypatch):
    """Give a screen, without 32-bit visuals, with which Tk crashes when TEAL asks for the best one."""
    if not shutil.which("Xvfb"):
        pytest.skip("needs xvfb")
    if importlib.util.find_spec("tkinter") is None:
        pytest.skip("needs python3-tk")
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x1000x24", "-extension",
                               "Composite"], pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as number:
        monkeypatch.setenv("DISPLAY", f":{number.readline().strip()}")
    yield
    server.terminate()
    server.wait()


def run(code, *words, python=sys.executable):
    """Run Python code; return what it printed."""
    done = subprocess.run([python, "-c", code, *words], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_teal_finds_the_tasks():
    """By their names, and by those of their modules; in a checkout as in an installed package."""
    names = [*TASKS, *(f"imagereg.{task}" for task in TASKS)]
    for name, (path, executable, text) in json.loads(run(FIND, *names)).items():
        task = name.removeprefix("imagereg.")
        assert path == str(PACKAGE / "pars" / f"{task}.cfg")
        assert executable == (not task.endswith("findpars"))
        assert text.startswith("file:///") and text.endswith(f"/{task}.html")  # so that it goes to #parameter there


@pytest.mark.parametrize("button, status, executed", [("Save & Quit", 0, 0), ("Execute", 1, 1), ("Cancel", -1, 0)])
def test_teal_window(button, status, executed, display):
    """A value that is typed is saved, and is what the task is run with; parameter sets in the file are kept."""
    Path(".teal").mkdir()
    words = ["nclip=7", "imagefindpars.threshold=50", "refimagefindpars.dqbits=16,64"]
    assert cli.main(["--savepars", ".teal/tweakreg.cfg", *words]) == 0
    before = gather_parameters(".teal/tweakreg.cfg")
    expected = before if button == "Cancel" else (before[0].replace(searchrad=2.5), *before[1:])
    found, ran, edited = json.loads(run(DRIVE, button).splitlines()[-1])
    assert (found, len(ran), edited) == (status, executed, ["imagefindpars"])
    assert [gather_parameters(given) for given in ran] == [expected] * executed
    assert gather_parameters(".teal/tweakreg.cfg") == expected


SAVED = """
import json
from stsci.tools import teal
from imagereg import imagefindpars, tweakreg
from imagereg.interfaces import python
ran = []
python.align_images = lambda given, *sets, **_: ran.append([values.get("threshold") for values in sets])
tweakreg.run(teal.load("tweakreg"))
tweakreg.run(teal.load("sets/with_sets.cfg"))
tweakreg.run({"input": "x.fits"})
print("\\n" + json.dumps(ran))
"""


def test_what_the_buttons_of_teal_saved_is_what_a_run_takes():
    """As drizzlepac does; a file that holds parameter sets of its own goes before, and a script's mapping is all."""
    Path(".imagereg").mkdir()
    Path("sets").mkdir()  # out of the way: TEAL takes any file of the task in the working directory
    assert cli.main(["--savepars", ".imagereg/imagefindpars.cfg", "threshold=50"], task="imagefindpars") == 0
    assert cli.main(["--savepars", "sets/with_sets.cfg", "threshold=7"]) == 0
    assert json.loads(run(SAVED).splitlines()[-1]) == [[None, 50.0, 4.0], [None, 7.0, 4.0], [None, 4.0, 4.0]]


ON_SOLUTIONS = """
from imagereg import listwcs
from stsci.tools import teal
values = teal.load("listwcs")
values["input"] = "*flt.fits"
table = listwcs.run(values)
print(len(table))
"""


def test_a_task_on_solutions_runs_with_what_teal_hands_over(small_visit):
    """And tells what it found, as its function does not."""
    for path in small_visit.files:
        shutil.copy(path, ".")
    printed = run(ON_SOLUTIONS)
    assert printed.count("DEMO_IDC") == len(small_visit.files) and printed.endswith(f"{len(small_visit.files)}\n")


# ---- beside drizzlepac


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """Return a Python that has drizzlepac, with ours put beside it."""
    python = os.environ.get("IMAGEREG_PEER")
    if not python:
        pytest.skip("IMAGEREG_PEER names no Python with drizzlepac")
    needed = ("configobj", "validate", "regions", "threadpoolctl", "stwcs")
    ask = "import sys, importlib.util as u; print(*(n for n in sys.argv[1:] if u.find_spec(n) is None))"
    for name in run(ask, *needed, python=python).split():
        shutil.copytree(Path(importlib.util.find_spec(name).origin).parent, tmp_path / "more" / name)
    monkeypatch.setenv("PYTHONPATH", f"{PACKAGE.parent}:{tmp_path / 'more'}")
    return python


@pytest.mark.parametrize("order", [("ours", "theirs"), ("theirs", "ours")])
def test_both_imported(order, peer):
    """TEAL gives a name that both have to the one that came first; ours goes by the whole name in any order."""
    found, theirs, runfile, threshold, peakmax = json.loads(run(BOTH, *order, python=peer).splitlines()[-1])
    assert found == [str(PACKAGE) if order[0] == "ours" else theirs] * 2
    assert (runfile, threshold, peakmax) == ("tweakreg.log", 50.0, 500.0)


def test_theirs_runs_after_ours(peer, small_visit):
    """Drizzlepac's task asks TEAL for its parameters, and gets our declaration of them."""
    for path in small_visit.files:
        shutil.copy(path, ".")
    printed = run(RUN_THEIRS, python=peer)
    assert printed.count("FINAL number of objects") == 3 and "\nsources found\n" in printed
