"""The examples of the help text of tweakreg 1.0.2, with the package's name alone changed; and those of our own."""

import functools
import re
import shlex
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest
from stock import BEFORE, NO_PLOTS, keep_gaia, stock

from imagereg import tweakreg
from imagereg.demo import simulate_visit
from imagereg.interfaces.shell.cli import main
from imagereg.parameters.gather import SOLUTION_TASKS, TASKS


@pytest.fixture
def bright_visit(tmp_path, monkeypatch):
    """Simulate three exposures of bright stars."""
    monkeypatch.chdir(tmp_path)
    return simulate_visit(tmp_path, seed=2, n_exposures=3, chip_shape=(256, 512), n_stars=60, full_well=1e9,
                          flux_range=(8e4, 1e6), n_cosmic_rays=30, bad_pixels=30)


def test_shifts_saved_to_a_file(bright_visit):
    tweakreg.TweakReg('*flt.fits', updatehdr=False, fwhmpsf=3.5, threshold=200, \
                      shiftfile=True, outshifts='shift.txt')  # fmt: skip
    rows = [line.split() for line in Path("shift.txt").read_text().splitlines() if not line.startswith("#")]
    assert [row[0] for row in rows] == [path.name for path in bright_visit.files]
    assert all(len(row) == 7 and "nan" not in row for row in rows)


def test_parameters_in_a_file(bright_visit):
    Path("myparam.cfg").write_text("_task_name_ = tweakreg\nthreshold = 200\nfwhmpsf = 3.5\n"
                                   "[OPTIONAL SHIFTFILE OUTPUT]\nshiftfile = yes\noutshifts = shift.txt\n")
    assert tweakreg.TweakReg('*flt.fits', configobj='myparam.cfg').ok
    assert Path("shift.txt").exists() and Path("shifts_wcs.fits").exists()


def test_help_saved_to_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tweakreg.help(file='help.txt')
    text = Path("help.txt").read_text()
    assert "threshold" in text and "EXAMPLES" in text and capsys.readouterr().out == ""
    tweakreg.help()
    assert capsys.readouterr().out == text


# ---- our own

ROOT = Path(__file__).resolve().parent.parent.parent
HELP = {task: (ROOT / "help" / f"{task}.help").read_text(encoding="ascii") for task in TASKS}


def shell_examples():
    """Return the words of every command after a %, with its continued lines."""
    texts = [re.sub(r"\\\n *", "", text) for text in HELP.values()]
    pattern = re.compile(rf"^ *% ((?:{'|'.join(TASKS)}) .*)$", re.M)
    return [shlex.split(command) for text in texts for command in pattern.findall(text)]


def python_examples(text):
    """Return the statements after every >>>, with their continued lines, in order."""
    found = re.findall(r"^ *>>> (.*(?:\n *\.\.\. .*)*)$", text, re.M)
    return [re.sub(r"\n *\.\.\. ", "\n", statement) for statement in found]


def shown_files():
    """Return the content of the files that are shown after ``with <name>:``, by name."""
    found = [re.findall(r"^ +with (\S+\.cfg):\n\n((?: +.*\n)+)", text, re.M) for text in HELP.values()]
    return {name: textwrap.dedent(body) for pairs in found for name, body in pairs}


@pytest.fixture(scope="module")
def stocked(tmp_path_factory):
    """Make a folder with all that the examples name."""
    folder = tmp_path_factory.mktemp("stocked")
    stock(folder)
    for name, text in shown_files().items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def in_stock(stocked, tmp_path, monkeypatch):
    """Work in a copy of that folder; stars of Gaia were fetched before."""
    monkeypatch.chdir(shutil.copytree(stocked, tmp_path / "work"))
    keep_gaia(stocked, tmp_path / "home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def prepare(command):
    """Do what an example with this command or option goes on from."""
    if command in ("applywcs", "tweakback"):
        shutil.copy("jdemo1aaq_flt.fits", "ib1g_flt.fits")
    if command in BEFORE:
        assert main([*BEFORE[command], "threshold=50", *NO_PLOTS]) == 0


@pytest.mark.parametrize("words", shell_examples(), ids=" ".join)
def test_shell_example(words, in_stock, capsys):
    task, *words = words
    for command in (task, *words):
        prepare(command)
    aligns = task == "tweakreg" and {"--help", "--headerlets", *BEFORE}.isdisjoint(words)
    assert main([*words, *NO_PLOTS * aligns], task=task) == 0, "".join(capsys.readouterr())


@pytest.mark.parametrize("task", [task for task in TASKS if ">>>" in HELP[task]])
def test_python_examples(task, in_stock, monkeypatch):
    """All that is aligned in them is, and what works on solutions finds them."""
    results, original = [], tweakreg.TweakReg
    prepare(task)

    @functools.wraps(original)
    def noted(*names, **parameters):
        results.append(original(*names, see2dplot=False, residplot="No plot", **parameters))
        return results[-1]

    monkeypatch.setattr(tweakreg, "TweakReg", noted)
    xy = np.random.default_rng(1).uniform(0, 1000, (60, 2))
    space = {"image_xy": xy + 3.0, "ref_xy": xy}
    for statement in python_examples(HELP[task]):
        exec(statement, space)
    assert [result.ok for result in results] == [True] * len(re.findall(r"(?:>>>|=) tweakreg\.TweakReg\(", HELP[task]))


def test_examples_are_found():
    """The patterns above see what a reader sees."""
    assert {words[0] for words in shell_examples()} == {"tweakreg", *SOLUTION_TASKS}
    assert len(shell_examples()) == sum(len(re.findall(r"^ *% ", text, re.M)) for text in HELP.values()) - 1
    assert [len(python_examples(text)) for text in HELP.values()] == [text.count("  >>> ") for text in HELP.values()]
    assert shown_files().keys() == {"myparam.cfg", "reference.cfg"}
