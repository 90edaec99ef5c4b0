"""The examples of the help text of tweakreg 1.0.2, with the package's name alone changed; and those of our own."""

import functools
import re
import shlex
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from imagereg import tweakreg
from imagereg.demo import simulate_visit
from imagereg.interfaces.shell.cli import main


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
HELP = {task: (ROOT / "help" / f"{task}.help").read_text(encoding="ascii")
        for task in ("tweakreg", "imagefindpars", "refimagefindpars")}
NO_PLOTS = {"see2dplot": False, "residplot": "No plot"}


def shell_examples():
    """Return the words of every command after a %, with its continued lines."""
    texts = [re.sub(r"\\\n *", "", text) for text in HELP.values()]
    return [shlex.split(command) for text in texts for command in re.findall(r"^ *% tweakreg (.*)$", text, re.M)]


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
    visit = simulate_visit(folder, seed=2, n_exposures=3, chip_shape=(200, 300), n_stars=80, full_well=1e9,
                           flux_range=(2e4, 3e5), n_cosmic_rays=10, bad_pixels=10)
    visit.files[-1].rename(folder / "deep_drz.fits")
    names, lines = [path.name for path in visit.files[:-1]], []
    for name, chips in zip(names, visit.chips[:-1], strict=True):
        lists = [f"{name}_{chip.extver}.txt" for chip in chips]
        for chip, own in zip(chips, lists, strict=True):
            np.savetxt(folder / own, np.column_stack([chip.xy, chip.flux]))
        lines.append(" ".join([name, *lists]))
    stars = [f"{ra:.8f},{dec:.8f},1,1,0,0,2016" for ra, dec in visit.sky]
    texts = shown_files() | {
        "catalogs.txt": "\n".join(lines), "exposures.txt": "\n".join(names), "areas.reg": "269 128 9\n100 100 9\n",
        "gaia.csv": "\n".join(["ra,dec,ra_error,dec_error,pmra,pmdec,ref_epoch", *stars])}
    for name, text in texts.items():
        (folder / name).write_text(text)
    columns = [fits.Column("MEMNAME", "14A", array=[name.partition("_")[0] for name in names]),
               fits.Column("MEMTYPE", "14A", array=["EXP-DTH"] * len(names))]
    fits.BinTableHDU.from_columns(columns).writeto(folder / "j99da1010_asn.fits")
    return folder


@pytest.fixture
def in_stock(stocked, tmp_path, monkeypatch):
    """Work in a copy of that folder; stars of Gaia were fetched before."""
    monkeypatch.chdir(shutil.copytree(stocked, tmp_path / "work"))
    kept = tmp_path / "home" / ".imagereg" / "catalogs" / "GAIADR3_150.00_+30.00_0.10.ecsv"
    kept.parent.mkdir(parents=True)
    shutil.copy("gaia.csv", kept)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("words", shell_examples(), ids=" ".join)
def test_shell_example(words, in_stock, capsys):
    no_plots = [f"{name}={value}" for name, value in NO_PLOTS.items()]
    needs = {"--restore": ["updatehdr=yes"], "--activate": ["headerlet=yes", "hdrname=MINE_1"], "--apply": []}
    for option, before in needs.items():
        if option in words:  # what the example before has done
            assert main(["j*flt.fits", "threshold=50", *before, *no_plots]) == 0, "".join(capsys.readouterr())
    aligns = {"--help", "--headerlets", *needs}.isdisjoint(words)
    assert main([*words, *no_plots * aligns]) == 0, "".join(capsys.readouterr())


@pytest.mark.parametrize("task", HELP)
def test_python_examples(task, in_stock, monkeypatch):
    results, original = [], tweakreg.TweakReg

    @functools.wraps(original)
    def noted(*names, **parameters):
        results.append(original(*names, **NO_PLOTS, **parameters))
        return results[-1]

    monkeypatch.setattr(tweakreg, "TweakReg", noted)
    xy = np.random.default_rng(1).uniform(0, 1000, (60, 2))
    space = {"image_xy": xy + 3.0, "ref_xy": xy}
    for statement in python_examples(HELP[task]):
        exec(statement, space)
    assert [result.ok for result in results] == [True] * HELP[task].count(">>> tweakreg.TweakReg(") + \
        [True] * HELP[task].count("= tweakreg.TweakReg(")


def test_examples_are_found():
    """The patterns above see what a reader sees."""
    assert len(shell_examples()) == sum(text.count("% tweakreg") for text in HELP.values()) > 10
    assert [len(python_examples(text)) for text in HELP.values()] == [text.count("  >>> ") for text in HELP.values()]
    assert shown_files().keys() == {"myparam.cfg", "reference.cfg"}
