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
    assert text.count('class="blink"') == 2 * 2 and text.count('class="mean"') == 2  # of each aligned image
    assert "tweakreg &#39;*flt.fits&#39; interactive=no " in text
    assert "imagefindpars.threshold" in text and "10.0" in text


def test_a_dry_run_makes_none(visit):
    assert cli.main([*WORDS, "report=yes", "--dry-run"]) == 0
    assert not list(Path().glob("*.html"))


@pytest.fixture
def afterwards(visit, capsys):
    """Return a function that makes the page of a solution file that is there, and gives its text."""
    def page():
        assert cli.main(["--report", "tweakreg_solution.ecsv"]) == 0
        assert capsys.readouterr().out.endswith("tweakreg_report.html\n")
        return Path("tweakreg_report.html").read_text()
    return page


def told(text):
    """Return what does not depend on the fine print: numbers, parameters, and the stars before and after."""
    numbers = re.findall(r"<td>(dx|rms x, y before|matches used)</td><td>(.*?)</td>", text)
    strips = re.findall(r'<img alt="(image before|image after)" src="(.*?)"', text)
    return numbers, [when for when, _ in strips], re.findall(r"<code>(.*?)</code>", text)


@pytest.mark.parametrize("update", ["no", "yes"])
def test_a_page_afterwards(update, visit, afterwards):
    """It says and shows what the page of the run did, also where headers have been updated since."""
    assert cli.main([*WORDS, "see2dplot=no", "residplot=No", "report=yes", f"updatehdr={update}"]) == 0
    before = Path("tweakreg_report.html").read_text()
    again = afterwards()
    assert told(again) == told(before)
    assert "image before" in told(again)[1] and "rms x, y before" in dict(told(again)[0])
    assert again.count("<polyline class") == before.count("<polyline class") > 0


def test_a_page_of_what_is_left(visit, afterwards):
    """Plots stand in for lists that are gone, and an image that is gone has no outline."""
    assert cli.main([*WORDS, "minobj=70"]) == 1
    text = afterwards()
    verdict = re.search(r'class="verdict failed">(.*?)</p>', text).group(1)
    assert verdict.startswith("none of 3 images aligned") or " failed: " in verdict
    assert text.count("data:image/png") == len(list(Path().glob("*.png"))) > 0
    assert text.count("<polygon") == 6 and "<code>threshold=5</code>" in text
    for path in (visit.names[1], "tweakreg.log", *Path().glob("*.coo")):
        Path(path).unlink()
    text = afterwards()
    assert text.count("<polygon") == 4 and "<code>threshold=2</code>" in text
    assert "<polyline class" in text


@pytest.mark.parametrize(("words", "says"), [
    (["--report", "nosuch.ecsv"], "nosuch.ecsv"),
    (["--report", "tweakreg_solution.ecsv", "threshold=5"], "--report takes no parameters"),
])
def test_what_can_not_be_reported(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    assert says in capsys.readouterr().err
