"""The examples of the help text of tweakreg 1.0.2, as they stand there but for the package's name."""

from pathlib import Path

import pytest

from imagereg import tweakreg
from imagereg.demo import simulate_visit


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
