"""Which face of the editor opens, and what `edit` and those who call it hand on."""

import subprocess
import sys
import types

import pytest

from imagereg import imagefindpars, refimagefindpars, tweakreg
from imagereg.errors import InputError, ParameterError
from imagereg.interfaces import epar as editor
from imagereg.interfaces import python
from imagereg.interfaces.epar.faces import _window_obstacle
from imagereg.interfaces.epar.window import look
from imagereg.interfaces.shell import cli
from imagereg.parameters.gather import gather_parameters
from imagereg.parameters.spec import ParameterSet


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Set a home of its own, no display, and no terminal."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "TERM"):
        monkeypatch.delenv(name, raising=False)
    terminal(monkeypatch, False)
    return tmp_path


def terminal(monkeypatch, works):
    """Make standard input and output a terminal, or not."""
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(sys, stream, types.SimpleNamespace(isatty=lambda: works, write=len,
                                                               flush=lambda: None))


def display(monkeypatch, *, status=0, stderr="", error=None):
    """Set DISPLAY, and let the trial of it end as told."""
    def run(command, **_):
        if error:
            raise error
        return subprocess.CompletedProcess(command, status, "", stderr)

    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(subprocess, "run", run)


def at_terminal(monkeypatch, does):
    """Open the terminal's face, which does something with the model."""
    terminal(monkeypatch, True)
    face(monkeypatch, "terminal", does)


def face(monkeypatch, name, does):
    """Put a face in the place of one of the package's; returns the list of the models that it was shown."""
    shown = []

    def edit(model):
        shown.append(model)
        does(model)

    monkeypatch.setitem(sys.modules, f"imagereg.interfaces.epar.{name}", types.SimpleNamespace(edit=edit))
    return shown


@pytest.fixture
def faces(monkeypatch):
    """Both faces; each saves at once."""
    return {name: face(monkeypatch, name, lambda model: model.save()) for name in ("window", "terminal")}


def test_a_window_comes_first(monkeypatch, faces):
    display(monkeypatch)
    terminal(monkeypatch, True)
    editor.edit("tweakreg")
    assert len(faces["window"]) == 1 and not faces["terminal"]


def test_the_terminal_where_asked_for(monkeypatch, faces):
    display(monkeypatch)
    terminal(monkeypatch, True)
    editor.edit("tweakreg", face="terminal")
    assert len(faces["terminal"]) == 1 and not faces["window"]


@pytest.mark.parametrize("trouble", [
    {"status": 1, "stderr": "Traceback\n_tkinter.TclError: couldn't connect to display"},
    {"status": -11},
    {"error": subprocess.TimeoutExpired("python", 10)},
    {"error": OSError("no such file")},
])
def test_the_terminal_where_the_display_does_not_work(monkeypatch, faces, trouble):
    display(monkeypatch, **trouble)
    terminal(monkeypatch, True)
    editor.edit("imagefindpars")
    assert faces["terminal"][0].task == "imagefindpars" and not faces["window"]


def test_neither(monkeypatch, faces):
    with pytest.raises(InputError, match="DISPLAY is not set, and this is no terminal; .* name=value$"):
        editor.edit("tweakreg")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    with pytest.raises(InputError, match="Xwayland"):
        editor.edit("tweakreg", face="window")
    display(monkeypatch, status=1, stderr="a\n_tkinter.TclError: no\n")
    with pytest.raises(InputError, match=r"no window can be opened \(_tkinter.TclError: no\)"):
        editor.edit("tweakreg", face="window")
    monkeypatch.setenv("TERM", "dumb")
    terminal(monkeypatch, True)
    with pytest.raises(InputError, match="TERM is dumb"):
        editor.edit("tweakreg", face="terminal")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="no terminal"):
        editor.edit("tweakreg", face="terminal")
    assert faces == {"window": [], "terminal": []}


def test_a_display_that_is_not_there(monkeypatch):
    """The trial itself, not a fake: no server has this number."""
    monkeypatch.setenv("DISPLAY", "127.0.0.1:987")
    assert "no window can be opened" in _window_obstacle()


def test_unknown_words(monkeypatch):
    terminal(monkeypatch, True)
    with pytest.raises(ParameterError, match="no face 'web' .* window, terminal"):
        editor.edit("tweakreg", face="web")
    with pytest.raises(ParameterError, match="no task 'tweakrag'"):
        editor.edit("tweakrag")


@pytest.mark.parametrize(("does", "threshold"), [
    (lambda m: m.save(), 9),
    (lambda m: m.abort(), None),
    (lambda m: None, None),
    (lambda m: (m.save(), m.abort()), None),
    (lambda m: (m.save(), m.child("imagefindpars").set("threshold", "11")), 9),
    (lambda m: (m.child("imagefindpars").set("threshold", "11"), m.run()), 11),
])
def test_what_comes_back(monkeypatch, does, threshold):
    at_terminal(monkeypatch, does)
    values = editor.edit("tweakreg", start={"imagefindpars": {"threshold": 9}}, run=lambda values: None)
    assert (values and values["imagefindpars"].threshold) == threshold


def test_store(monkeypatch, home):
    """What is stored elsewhere is not written into the user's folder."""
    at_terminal(monkeypatch, lambda model: (model.set("nclip", "5"), model.save()))
    stored = []
    values = editor.edit("tweakreg", start={"tweakreg": ParameterSet("tweakreg", {"sigma": 2})}, store=stored.append)
    assert stored == [values] and values["tweakreg"].changed == ("nclip", "sigma")
    assert not (home / ".imagereg").exists()


@pytest.fixture
def ran(monkeypatch):
    """Take down the runs of tweakreg in place of doing them: list of the names of the images and of the three sets."""
    runs = []

    def run(*given, dry_run, parameter_files=()):
        runs.append(given)
        return types.SimpleNamespace(ok=True)

    monkeypatch.setattr(python, "align_images", run)
    return runs


def test_editpars_executes(monkeypatch, ran, home):
    """Edited values are run with, and kept; what was given goes over what was last saved."""
    at_terminal(monkeypatch, lambda model: (model.set("nclip", "5"), model.run()))
    result = tweakreg.TweakReg(["a.fits", "b.fits"], editpars=True, threshold=7, fluxmax=100)
    assert result.ok
    (names, task, finding, ref), = ran
    assert names == task.input == "a.fits,b.fits" and (task.nclip, task.maxflux, finding.threshold) == (5, 100, 7)
    tweakreg.TweakReg(editpars=True, nclip=2)
    assert ran[1][0] == "a.fits,b.fits" and ran[1][1].nclip == 5 and ran[1][2].threshold == 7
    tweakreg.TweakReg("c.fits", configobj="defaults")  # what was last saved, the parameter set included
    assert ran[2][1:] == (task, finding, ref)


def test_editpars_with_a_configuration(monkeypatch, ran, home):
    (home / "mine.cfg").write_text("_task_name_ = tweakreg\nnclip = 8\n[imagefindpars]\nthreshold = 6\n"
                                   "[refimagefindpars]\nthreshold = 3\n")
    at_terminal(monkeypatch, lambda model: model.run())
    tweakreg.TweakReg("a.fits", editpars=True, configobj=str(home / "mine.cfg"))
    tweakreg.TweakReg("a.fits", configobj=str(home / "mine.cfg"))
    for _, task, finding, ref in ran:
        assert (task.nclip, finding.threshold, ref.threshold) == (8, 6, 3)


def test_leaving_runs_nothing(monkeypatch, ran):
    at_terminal(monkeypatch, lambda model: model.save())
    assert tweakreg.TweakReg(editpars=True) is None and not ran
    assert cli.main(["--epar"]) == 0 and not ran


def test_command(monkeypatch, ran):
    at_terminal(monkeypatch, lambda model: model.run())
    assert cli.main(["--epar", "x.fits", "thresh=12"]) == 0
    assert ran[0][0] == "x.fits" and ran[0][2].threshold == 12


@pytest.mark.parametrize(("verb", "task"), [
    (tweakreg.edit_imagefindpars, "imagefindpars"), (imagefindpars.edit_imagefindpars, "imagefindpars"),
    (tweakreg.edit_refimagefindpars, "refimagefindpars"), (refimagefindpars.edit_refimagefindpars, "refimagefindpars"),
])
def test_parameter_sets_by_themselves(monkeypatch, home, verb, task):
    """They are saved where the whole task finds them."""
    at_terminal(monkeypatch, lambda model: (model.set("threshold", "33"), model.save()))
    assert verb()[task].threshold == 33
    assert [path.name for path in (home / ".imagereg").iterdir()] == [f"{task}.cfg"]
    found = {values.task: values for values in gather_parameters("defaults")}
    assert found[task].threshold == 33


@pytest.mark.parametrize("module", [imagefindpars, refimagefindpars, tweakreg])
def test_help(module, home):
    task = module.__taskname__
    assert module.getHelpAsString(docstring=True, show_ver=False).startswith(f"NAME\n  {task} - ")
    assert module.getHelpAsString(docstring=True).startswith(f"{task} ")
    module.help(str(home / "help.txt"))
    assert (home / "help.txt").read_text() == module.getHelpAsString(docstring=True)


@pytest.mark.parametrize("theme", look._THEMES.values(), ids=list(look._THEMES))
def test_colours_can_be_read(theme):
    """By the contrast of WCAG 2: text 7:1, all else 4.5:1, on every ground that it stands on."""
    def luminance(colour):
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(text, ground):
        dark, light = sorted([luminance(theme[text]), luminance(theme[ground])])
        return (light + 0.05) / (dark + 0.05)

    for ground in ("ground", "field", "button", "selected"):
        assert contrast("text", ground) >= 7
    assert contrast("text", "found") >= 4.5 and contrast("wrong", "wrong field") >= 4.5
    for use in ("grey", "wrong", "good", "link"):
        assert contrast(use, "ground") >= 4.5 and contrast(use, "field") >= 4.5
