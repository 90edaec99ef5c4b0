"""The page of a run: made by the run, or afterwards from its solution file."""

import re
from pathlib import Path

import pytest

from imagereg.interfaces.shell import cli

WORDS = ["*flt.fits", "threshold=10", "interactive=no"]


def test_the_run_makes_its_page(visit, capsys):
    assert cli.main([*WORDS, "see2dplot=no", "residplot=No", "runfile=night1.log", "report=yes"]) == 0
    text = Path("night1_report.html").read_text()
    assert len(text) < 5e6
    assert text.count("<details") == 3 and "3 of 3 images aligned" in text
    assert text.count('class="blink"') == 2 * (2 * 6 + 1)  # of each aligned image six stars twice, and the mean
    assert "tweakreg &#39;*flt.fits&#39; interactive=no " in text
    assert "imagefindpars.threshold" in text and "10.0" in text


def test_a_dry_run_makes_none(visit):
    assert cli.main([*WORDS, "report=yes", "--dry-run"]) == 0
    assert not list(Path().glob("*.html"))


def test_a_page_afterwards(visit, capsys):
    """It says what the run said, and shows the plots that are left; pixels are not read again."""
    assert cli.main([*WORDS, "minobj=70"]) == 1
    capsys.readouterr()
    assert cli.main(["--report", "tweakreg_solution.ecsv"]) == 0
    assert capsys.readouterr().out == "tweakreg_report.html\n"
    text = Path("tweakreg_report.html").read_text()
    verdict = re.search(r'class="verdict failed">(.*?)</p>', text).group(1)
    assert verdict.startswith("none of 3 images aligned") or " failed: " in verdict
    assert text.count("data:image/png") == len(list(Path().glob("*.png"))) > 0
    assert text.count("<polygon") == 6
    Path(visit.names[1]).unlink()
    assert cli.main(["--report", "tweakreg_solution.ecsv"]) == 0
    assert Path("tweakreg_report.html").read_text().count("<polygon") == 4


@pytest.mark.parametrize(("words", "says"), [
    (["--report", "nosuch.ecsv"], "nosuch.ecsv"),
    (["--report", "tweakreg_solution.ecsv", "threshold=5"], "--report takes no parameters"),
])
def test_what_can_not_be_reported(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    assert says in capsys.readouterr().err
