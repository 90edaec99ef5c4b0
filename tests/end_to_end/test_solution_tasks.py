"""Apply, restore, activate, list, compare and tweakback as tasks: Python, shell, editor, PyRAF and cl."""

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits

from imagereg import solutions, tweakback
from imagereg.errors import InputError, ParameterError
from imagereg.interfaces import iraf
from imagereg.interfaces.epar.model import Model
from imagereg.interfaces.shell.cli import main
from imagereg.interfaces.shell.completion import SHELLS
from imagereg.interfaces.solutions import run_task
from imagereg.parameters import Spec, gather

TASKS = gather.SOLUTION_TASKS
SOLUTION = "tweakreg_solution.ecsv"


def names_of(paths):
    return [fits.getval(path, "WCSNAME", ("SCI", 2)) for path in paths]


def test_a_parameter_of_comparewcs_is_that_of_tweakreg():
    """Its default, range, choices and comment are the same."""
    others = [Spec.load("tweakreg"), Spec.load("imagefindpars")]
    for parameter in list(Spec.load("comparewcs"))[1:]:  # input is that of all
        other = next(spec[parameter.name] for spec in others if parameter.name in spec)
        for field in ("kind", "default", "choices", "range", "unit", "comment", "file", "hidden"):
            assert getattr(parameter, field) == getattr(other, field), parameter.name


def test_names_of_drizzlepac():
    """Tweakback has the parameters of drizzlepac 3.11; mosaic and images by their places, as there."""
    theirs = {"drzfile", "newname", "input", "origwcs", "wcsname", "extname", "verbose", "force"}
    assert theirs | {"dryrun"} == set(Spec.load("tweakback").names)
    assert list(inspect.signature(tweakback.tweakback).parameters)[:2] == ["drzfile", "input"]


def test_python(solved):
    """Each function does its work, and returns what there is to know."""
    first, second, _ = solved.names
    planned = solutions.applywcs(SOLUTION, [first, second], dryrun=True)
    assert all(applied.differences for applied in planned) and names_of(solved.names) == ["DEMO_IDC"] * 3
    assert [applied.wcsname for applied in solutions.applywcs(SOLUTION, wcsname="FIT")] == ["FIT"] * 3
    table = solutions.listwcs("*flt.fits")
    assert list(table["name"]) == ["FIT", "DEMO_IDC"] * 3
    scores = solutions.comparewcs([first, second], threshold=10)
    assert [score.name for score in scores if score.best and score.file == second] == ["FIT"]
    solutions.restorewcs(second)
    assert names_of(solved.names) == ["FIT", "DEMO_IDC", "FIT"]
    solutions.activatewcs("FIT", second)
    assert names_of(solved.names) == ["FIT"] * 3


@pytest.mark.parametrize("call, error, says", [
    (lambda: solutions.applywcs(SOLUTION, "a.fits", "TWEAK"), TypeError, "takes solution and input by their places"),
    (lambda: solutions.applywcs(SOLUTION, solution="x"), TypeError, "two values of solution"),
    (lambda: solutions.restorewcs("a.fits", tu="X"), ParameterError, "restorewcs: unknown parameter 'tu'"),
    (lambda: solutions.activatewcs(input="a.fits"), ParameterError, "expected the name of a WCS"),
    (lambda: tweakback.tweakback(), ParameterError, "expected the name of a mosaic"),
    (lambda: solutions.listwcs("nosuch.fits"), InputError, "nosuch.fits does not exist"),
])
def test_python_refuses(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_shell(solved, capsys):
    """Words have their places, images come last; settings and options are those of tweakreg."""
    first, second, third = solved.names
    assert main([SOLUTION, first, second, "wcsname=FIT"], task="applywcs") == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: updated, WCSNAME FIT" for name in (first, second)]
    assert main([first, "dry+"], task="restorewcs") == 0
    assert "WCSTYPE" in capsys.readouterr().out and names_of([first]) == ["FIT"]
    assert main(["name=DEMO_IDC", first, second], task="activatewcs") == 0
    assert main(["FIT", second], task="activatewcs") == 0
    assert names_of(solved.names) == ["DEMO_IDC", "FIT", "DEMO_IDC"]
    capsys.readouterr()
    Path("bad_flt.fits").write_text("no image")
    assert main([third, "bad_flt.fits"], task="listwcs") == 1
    told = capsys.readouterr()
    assert third in told.out and told.err.startswith("listwcs: bad_flt.fits can't be read")


@pytest.mark.parametrize("task, words, says", [
    ("tweakback", ["m.fits", "a.fits", "input=b.fits"], "tweakback: 'a.fits': expected name=value"),
    ("applywcs", ["wcsname=A", "wcs=B"], "applywcs: parameter 'wcsname' is given as 'A' and as 'B'"),
    ("listwcs", ["inptu=3"], "listwcs: unknown parameter 'inptu'; did you mean 'input'?"),
    ("restorewcs", ["--pars", "mine.cfg"], "restorewcs: these are parameters of 'applywcs'"),
])
def test_shell_refuses(tmp_path, monkeypatch, capsys, task, words, says):
    monkeypatch.chdir(tmp_path)
    Path("mine.cfg").write_text(Spec.load("applywcs").cfg_text())
    assert main(words, task=task) == 2
    assert capsys.readouterr().err == says + "\n"


@pytest.mark.parametrize("task", TASKS)
def test_options_of_commands(task, tmp_path, monkeypatch, capsys):
    """A bare command says what it takes and does nothing; lists and .cfg go out and in; names are completed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main([], task=task) == 2
    spec = Spec.load(task)
    assert f"usage: {task} [" in (told := capsys.readouterr().out) and " ".join(spec.names) in " ".join(told.split())
    name = spec.names[0]
    assert main([f"{name}=xyz", "--savepars", "mine.cfg"], task=task) == 0
    assert main(["--pars", "mine.cfg", "--lpar"], task=task) == 0
    assert f'{name} = "xyz"' in capsys.readouterr().out
    assert main([f"{name}=xyz", "--savepars", "defaults"], task=task) == 0
    assert main(["--pars", "defaults", "--dpar"], task=task) == 0
    assert f'{task}.{name} = "xyz"' in capsys.readouterr().out
    assert main(["--help", name], task=task) == 0
    assert spec[name].comment in capsys.readouterr().out
    for shell in SHELLS:
        assert main(["--completion", shell], task=task) == 0
        assert task in capsys.readouterr().out


def test_editor(solved, monkeypatch):
    """The editor has the rows, saves, and runs; `how_to_run` says how a run takes what was saved."""
    monkeypatch.setenv("HOME", str(Path.cwd()))
    model = Model.open("applywcs", run=lambda sets: run_task(sets["applywcs"]))
    assert [row.name for row in model.rows] == list(Spec.load("applywcs").names)
    model.set("wcsname", "EDITED")
    model.set("input", solved.names[0])
    assert model.run().ok and names_of(solved.names) == ["EDITED", "DEMO_IDC", "DEMO_IDC"]
    assert model.how_to_run == "Run with it: applywcs --pars defaults"
    assert "WCSNAME of the new WCS" in model.help("wcsname")


def test_parameters_from_cl(solved):
    """In the file that dparam of cl wrote; the exit status is left there."""
    lines = [f'restorewcs.input = "{solved.names[0]}"', 'restorewcs.to = "DEMO_IDC"', "restorewcs.dryrun = no",
             'restorewcs.asked = "x"', "restorewcs.status = INDEF", 'restorewcs.mode = "ql"', "# EOF"]
    Path("pars").write_text("\n".join([*lines, ""]))
    assert "has the WCS DEMO_IDC already" in str(iraf.run("pars"))
    assert Path("pars").read_text() == "0\n"


def test_errors_in_cl_are_those_of_the_task(tmp_path, monkeypatch, capsys):
    """Though the command that cl calls is tweakreg."""
    monkeypatch.chdir(tmp_path)
    Path("pars").write_text('applywcs.solution = "nosuch.ecsv"\napplywcs.input = ""\n')
    assert main(["--clpars", "pars"]) == 2
    assert capsys.readouterr().err.startswith("applywcs: nosuch.ecsv")


PYRAF = """
from pyraf import iraf
import imagereg
iraf.applywcs("{solution}", "{image}", wcsname="PYRAF")
print(iraf.applywcs.status)
iraf.restorewcs("{image}", dry="yes")
iraf.lpar("tweakback")
"""


def test_pyraf(solved):
    if importlib.util.find_spec("pyraf") is None:
        pytest.skip("needs pyraf")
    Path("script.py").write_text(PYRAF.format(solution=SOLUTION, image=solved.names[0]))
    env = {**os.environ, "HOME": os.getcwd(), "PWD": os.getcwd(), "USER": "somebody", "PYRAF_NO_IRAF": "1",
           "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "script.py"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{solved.names[0]}: updated, WCSNAME PYRAF\n0\n" in done.stdout
    assert "WCSNAME  'PYRAF' -> 'DEMO_IDC'" in done.stdout and "drzfile =" in done.stdout
    assert names_of(solved.names) == ["PYRAF", "DEMO_IDC", "DEMO_IDC"]
