"""The tasks in PyRAF: at its prompt, with IRAF and without, and from Python."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sessions import Session, environment

PROMPT = "-->"
# As an editor would: takes what it is given, stores other values, and runs the task.
EDITOR = """
import sys, types
from pyraf import iraf
import imagereg
import imagereg.interfaces
editor = types.ModuleType("imagereg.interfaces.epar")
sys.modules["imagereg.interfaces.epar"] = imagereg.interfaces.epar = editor
def edit(task, *, start=None, store=None, run=None, face=None):
    print(task, sorted(start), start[task].changed, run is not None)
    changes = {"tweakreg": {"nclip": 5, "verbose": True, "nbright": 50}, "imagefindpars": {"threshold": 10.0}}
    chosen = {name: values.replace(**changes.get(name, {})) for name, values in start.items()}
    store(chosen)
    return run(chosen) if run else chosen
editor.edit = edit
"""


@pytest.fixture(autouse=True, scope="module")
def needed():
    if importlib.util.find_spec("pyraf") is None:
        pytest.skip("needs pyraf")


def python(folder, script, **more):
    """Run a script in PyRAF without a terminal; returns what it printed."""
    (folder / "script.py").write_text(script)
    env = environment(folder, PWD=str(folder), **more)  # without IRAF, values are learned in ${PWD}uparm
    run = [sys.executable, "script.py"]
    done = subprocess.run(run, cwd=folder, env=env, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=["with IRAF", "without IRAF"])
def pyraf(request, tmp_path_factory, small_visit):
    """Return a session of PyRAF in a folder with a visit, after ``import imagereg``."""
    if request.param == "with IRAF" and shutil.which("irafcl") is None:
        pytest.skip("needs iraf")
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("pyraf")
    (home / ".iraf" / "uparm").mkdir(parents=True)
    if request.param == "with IRAF":
        shutil.copy("/etc/iraf/login.cl", home / ".iraf")
    for path in small_visit.files:
        shutil.copy(path, folder)
    more = {} if request.param == "with IRAF" else {"PYRAF_NO_IRAF": "1"}
    session = Session(f"{sys.executable} -m pyraf -s -x", PROMPT, folder, environment(home, **more))
    session.folder, session.home, session.iraf = folder, home, request.param == "with IRAF"
    session.listing = session.say("import imagereg")
    yield session
    session.close()


def test_import_lists_the_tasks(pyraf):
    assert "imagefindpars@    refimagefindpars@    tweakreg" in pyraf.listing
    assert "Error" not in pyraf.screen


def test_parameters(pyraf):
    assert "(fitgeometry = \"rscale\")" in pyraf.say("lpar tweakreg")
    assert "imagefindpars.threshold = 4.0" in pyraf.say("dpar imagefindpars")
    pyraf.say("iraf.tweakreg.nclip = 7")
    pyraf.say("iraf.imagefindpars.threshold = 9.5")
    assert "(nclip = 7)" in pyraf.say("lpar tweakreg")
    assert "(threshold = 9.5)" in pyraf.say("lpar imagefindpars")
    pyraf.say("unlearn tweakreg imagefindpars")
    assert "(nclip = 3)" in pyraf.say("lpar tweakreg")
    assert "(threshold = 4.0)" in pyraf.say("lpar imagefindpars")


def test_help(pyraf):
    assert "how tweakreg finds sources in images" in pyraf.say("help imagefindpars")
    assert "tweakreg - align images" in pyraf.say("help tweakreg")


def test_errors_are_sentences(pyraf):
    """Of PyRAF, of the parameters and of the files; the calls that led to one can still be asked for."""
    expected = {
        "tweakreg a_flt.fits nclip=-1": "ERROR: tweakreg: Parameter nclip: value `-1' is less than minimum `0'",
        "tweakreg a_flt.fits threshhold=5":
            "ERROR: tweakreg: unknown parameter 'threshhold'; did you mean 'threshold'?",
        "tweakreg a_flt.fits ref=5": "ERROR: tweakreg: parameter 'ref' is ambiguous: refcat, refimage, "
                                     "refimagefindpars, refnbright, refxcol, refxyunits, refycol",
        "tweakreg nosuch.fits": "ERROR: tweakreg: nosuch.fits does not exist",
        "tweakreg a b c": "ERROR: tweakreg: Too many positional parameters for task tweakreg",
    }
    assert {line: pyraf.say(line) for line in expected} == expected


def test_run_learns_and_sets_one_parameter_set(pyraf):
    answer = pyraf.say('tweakreg jdemo*flt.fits thresh=10 interactive=no see2dplot- residplot="No plot"')
    assert answer.count(" aligned ") == 2
    assert pyraf.say("print(iraf.tweakreg.status)") == "0"
    log = (pyraf.folder / "tweakreg.log").read_text()
    assert "* threshold = 10.0" in log
    assert "(threshold = 4.0)" in pyraf.say("lpar imagefindpars")
    assert 'input = "jdemo*flt.fits"' in pyraf.say("lpar tweakreg")
    # PyRAF without IRAF forgets the slash after the working directory.
    uparm = pyraf.home / ".iraf" / "uparm" if pyraf.iraf else Path(f"{pyraf.folder}uparm")
    assert "'jdemo*flt.fits'" in (uparm / "cletweakg.par").read_text()


def test_run_with_a_parameter_of_a_set(pyraf):
    """PyRAF hands over imagefindparsDOTthreshold; names may be cut, and a wrong one is a sentence."""
    answer = pyraf.say('tweakreg jdemo*flt.fits imagefindpars.thresh=11 interactive=no see2dplot- residplot="No plot"')
    assert answer.count(" aligned ") == 2
    assert "* threshold = 11.0" in (pyraf.folder / "tweakreg.log").read_text()
    assert pyraf.say("tweakreg jdemo*flt.fits refimagefindpars.thresold=5") == (
        "ERROR: refimagefindpars: unknown parameter 'thresold'; did you mean 'threshold'?")
    assert "(threshold = 4.0)" in pyraf.say("lpar imagefindpars")


def test_redirection(pyraf):
    pyraf.say("lpar imagefindpars > pars.txt")
    assert "threshold" in (pyraf.folder / "pars.txt").read_text()
    pyraf.say("help tweakreg > page.txt")
    assert "SEE ALSO" in (pyraf.folder / "page.txt").read_text()
    pyraf.say('tweakreg *flt.fits threshold=10 inter- see2dplot- residplot="No plot" > out.txt')
    assert (pyraf.folder / "out.txt").read_text().count(" aligned ") == 2


def test_prompt_and_the_name_in_python(pyraf):
    """The task is the same before and after the module of that name is imported; what is Python stays Python."""
    pyraf.say("unlearn tweakreg")
    question = "Images: names, wildcards, association, @file ('*flt.fits'):"
    for _ in range(2):
        pyraf.say("tweakreg", prompt=question)
        assert pyraf.say("*none.fits") == "ERROR: tweakreg: no file matches *none.fits"
        assert pyraf.say("tweakreg *none.fits") == "ERROR: tweakreg: no file matches *none.fits"
        assert "nosuch" in pyraf.say("tweakreg @nosuch")
        assert pyraf.say('tweakreg "none.fits"') == "ERROR: tweakreg: none.fits does not exist"
        pyraf.say("from imagereg import tweakreg")
    assert pyraf.say("tweakreg.TweakReg('none.fits')") == "ERROR: none.fits does not exist"
    assert "in TweakReg" in pyraf.say(".fulltraceback")
    assert "ZeroDivisionError" in pyraf.say("1/0")
    pyraf.say("tweakreg.help(file='help.txt')")
    assert "SEE ALSO" in (pyraf.folder / "help.txt").read_text()
    if pyraf.iraf:
        pyraf.type("page help.txt", "Enter")
        pyraf.look_for("tweakreg - align images")
        pyraf.type("q")
        pyraf.look_for(f"{PROMPT}\\s*$")


@pytest.mark.parametrize("more", [{}, {"PYRAF_NO_IRAF": "1"}], ids=["with IRAF", "without IRAF"])
def test_epar_opens_our_editor(more, visit, tmp_path):
    """The editor starts from what PyRAF holds, and PyRAF learns what the editor stores."""
    if not more and shutil.which("irafcl") is None:
        pytest.skip("needs iraf")
    script = EDITOR + """
iraf.tweakreg.interactive, iraf.tweakreg.see2dplot, iraf.tweakreg.residplot = iraf.no, iraf.no, "No plot"
iraf.epar("tweakreg")
iraf.tpar("refimagefindpars")
print(iraf.tweakreg.nclip, iraf.tweakreg.verbose, iraf.tweakreg.nbright, iraf.tweakreg.ylimit,
      iraf.imagefindpars.threshold, iraf.refimagefindpars.threshold)
"""
    lines = python(tmp_path, script, **more).splitlines()
    opened = "tweakreg ['imagefindpars', 'refimagefindpars', 'tweakreg'] ('interactive', 'see2dplot', 'residplot') True"
    assert opened in lines
    assert "refimagefindpars ['refimagefindpars'] () False" in lines
    assert sum(" aligned " in line for line in lines) == 2 * 2  # verbose: in the log and as the result
    assert lines[-1] == "5 yes 50 INDEF 10.0 4.0"


def test_from_python(visit, tmp_path):
    """A script of PyRAF gets the output, and errors as exceptions; nothing is listed."""
    script = """
from pyraf import iraf
import imagereg
from imagereg.errors import ParameterError
lines = iraf.tweakreg("*flt.fits", fwhmpsf=3.0, fluxmax=1e9, interactive=False, see2dplot=False, residplot="No plot",
                      threshold=10, Stdout=1)
print(sum(" aligned " in line for line in lines))
try:
    iraf.tweakreg("*flt.fits", sigma=-1)
except ParameterError as error:
    print(error)
"""
    assert python(tmp_path, script, PYRAF_NO_IRAF="1").splitlines() == [
        "2", "tweakreg: Parameter sigma: value `-1.0' is less than minimum `0.0'"]
    log = (tmp_path / "tweakreg.log").read_text()
    assert "* maxflux = 1000000000.0\n" in log
    assert "* conv_width = 3.0\n" in log and "* threshold = 10.0\n" in log


def test_values_that_are_not_ours(tmp_path):
    """What PyRAF accepts and the declaration does not, such as text with a line break, is a sentence too."""
    script = """
from pyraf import iraf
import imagereg
try:
    iraf.tweakreg("a\\nb.fits")
except imagereg.errors.ParameterError as error:
    print(error)
"""
    script = script.replace("import imagereg\n", "import imagereg.errors\n")
    assert "expected one line of text" in python(tmp_path, script, PYRAF_NO_IRAF="1")


def test_epar_in_the_session(pyraf):
    """The terminal editor takes over PyRAF's screen, PyRAF learns what is typed there, and the prompt is as before."""
    pyraf.type("epar tweakreg", "Enter")
    pyraf.look_for("TASK = tweakreg")
    pyraf.look_for("ESC-[?] for HELP")
    pyraf.type(":e imagefindpars", "Enter")
    pyraf.look_for("TASK = imagefindpars of tweakreg")
    pyraf.type("/threshold", "Enter")
    pyraf.look_for("Detection limit above the sky")
    pyraf.type("77", "Enter")
    pyraf.type("C-d")
    pyraf.look_for("TASK = tweakreg")
    pyraf.type("/nclip", "Enter")
    pyraf.look_for("How often to reject outliers")
    pyraf.type("6", "Enter", "C-d")
    pyraf.wait(lambda screen: screen.endswith("\n" + PROMPT), "the prompt")
    assert "(nclip = 6)" in pyraf.say("lpar tweakreg")
    assert "threshold = 77" in pyraf.say("lpar imagefindpars")
    pyraf.say("unlearn tweakreg")
    pyraf.say("unlearn imagefindpars")
    assert "(nclip = 3)" in pyraf.say("lpar tweakreg")


def test_without_pyraf_nothing_is_declared():
    """Outside PyRAF the import draws in nothing."""
    run = [sys.executable, "-c", "import imagereg, sys; print('imagereg.interfaces.pyraf' in sys.modules)"]
    env = environment(os.path.expanduser("~"))
    assert subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout.strip() == "False"
