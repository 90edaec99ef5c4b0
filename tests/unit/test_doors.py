"""The names that users import: each door gives these, and nothing else."""

import importlib
import subprocess
import sys

import pytest

import imagereg
from imagereg.demo import simulate_visit
from imagereg.parameters.gather import SOLUTION_TASKS

PUBLIC = {
    "imagereg": {"__version__", "imagefindpars", "refimagefindpars", "solutions", "tweakreg", *SOLUTION_TASKS},
    "imagereg.tweakreg": {
        "AlignmentWarning", "NotAligned", "TweakReg", "run", "run_batch", "align_catalogs", "Result", "Status",
        "SourceCatalog", "edit_imagefindpars", "edit_refimagefindpars", "help", "getHelpAsString",
        "ImageregError", "ParameterError", "InputError", "AlignmentError", "NotEnoughSources", "NotEnoughMatches",
        "DegenerateFit", "AmbiguousMatch",
    },
    "imagereg.imagefindpars": {"edit_imagefindpars", "help", "getHelpAsString"},
    "imagereg.refimagefindpars": {"edit_refimagefindpars", "help", "getHelpAsString"},
    "imagereg.solutions": {"applywcs", "restorewcs", "activatewcs", "listwcs", "comparewcs", "edit", "help"},
    **{f"imagereg.{task}": {task, "run", "help", "getHelpAsString"} for task in SOLUTION_TASKS},
}  # fmt: skip
PUBLIC["imagereg.tweakback"].add("apply_tweak")  # drizzlepac's
DOORS = [name for name in PUBLIC if name != "imagereg"]
HEAVY = {"matplotlib", "stwcs", "tkinter", "dask", "prompt_toolkit"}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names(name):
    assert set(importlib.import_module(name).__all__) == PUBLIC[name]


@pytest.mark.parametrize("name", DOORS)
def test_a_door_has_no_other_names(name):
    door = importlib.import_module(name)
    assert {word for word in vars(door) if not word.startswith("_")} == PUBLIC[name]
    if name != "imagereg.solutions":  # which holds several tasks
        assert door.__taskname__ == name.removeprefix("imagereg.")


@pytest.mark.parametrize("name", DOORS)
def test_public_things_are_documented(name):
    door = importlib.import_module(name)
    assert [word for word in PUBLIC[name] if not getattr(door, word).__doc__] == []


def test_the_docstring_names_all():
    """Of the door to tweakreg, where users look first."""
    text = imagereg.tweakreg.__doc__
    assert [word for word in PUBLIC["imagereg.tweakreg"] if f"`{word}`" not in text] == []


def test_import_of_the_task_is_light():
    ask = "import sys; from imagereg import tweakreg; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY.isdisjoint(modules) and "imagereg.interfaces.python" in modules


@pytest.mark.parametrize("task", ["imagefindpars", "refimagefindpars", *SOLUTION_TASKS])
def test_help_of_a_door(task, capsys):
    door = importlib.import_module(f"imagereg.{task}")
    door.help()
    printed = capsys.readouterr().out
    assert printed == door.getHelpAsString(docstring=True) and f"{task} - " in printed
    assert door.getHelpAsString().endswith(f"/{task}.html")


def test_python_m_imagereg():
    """Is the command tweakreg, by that name."""
    run = [sys.executable, "-m", "imagereg"]
    told = subprocess.run([*run, "--version"], capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (0, f"tweakreg {imagereg.__version__}\n")
    refused = subprocess.run([*run, "--nosuch"], capture_output=True, text=True)
    assert refused.returncode == 2 and "tweakreg: there is no option --nosuch" in refused.stderr


def test_the_start_of_a_run_loads_no_sky_and_no_scipy():
    """They take longer to load than all that is done before the first image is read."""
    run = "import sys; from imagereg.interfaces import main; main(['absent.fits']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True).stdout.split()
    assert "imagereg.tasks.writing.outputs" in loaded
    assert not {"astropy.wcs", "astropy.table", "scipy.spatial"} & set(loaded)


def test_finders_start_before_the_sky_and_scipy_are_loaded(tmp_path):
    """The parent loads these while they work."""
    visit = simulate_visit(tmp_path, n_exposures=2, n_stars=80, chip_shape=(256, 256), n_cosmic_rays=0)
    run = ("import sys\nfrom imagereg.interfaces import main\nfrom imagereg.tasks import parallel\n"
           "parallel._started = lambda *_, **__: sys.exit(' '.join(sys.modules))\n"
           "main([*sys.argv[1:], 'num_cores=2', 'runfile='])")
    done = subprocess.run([sys.executable, "-c", run, *visit.files], capture_output=True, text=True, cwd=tmp_path)
    loaded = set(done.stderr.split())
    assert "imagereg.detection.finders.daofind" in loaded
    assert loaded.isdisjoint({"astropy.wcs", "astropy.table", "scipy.spatial", "scipy.special", "stwcs", "matplotlib"})
