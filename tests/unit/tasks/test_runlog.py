"""The log of a run in the manner of IRAF: what was asked for, what happened, how it ended."""

import contextlib
import datetime
import logging
import re
import shlex
from pathlib import Path

import pytest

from imagereg.interfaces.shell.words import Request
from imagereg.parameters import ParameterSet
from imagereg.tasks.feedback import runlog
from imagereg.version import __version__

SETS = [ParameterSet("tweakreg", {"searchrad": 2, "updatehdr": True, "residplot": "No plot", "sigma": None}),
        ParameterSet("imagefindpars", {"threshold": 12.5, "fluxmax": 9e4}),
        ParameterSet("refimagefindpars", {"threshold": 3})]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def head(given="*flt.fits"):
    return runlog.head(given, SETS, datetime.datetime(2026, 3, 4, 5, 6, 7))


def test_head_has_version_date_folder_and_all_parameters():
    lines = head().splitlines()
    assert lines[:3] == [f"tweakreg {__version__}", "begun    2026-03-04 05:06:07", f"folder   {Path.cwd()}"]
    for values in SETS:
        for name in values:
            mark = "*" if name in values.changed else " "
            assert any(line.startswith(f"  {mark} {name} = ") for line in lines)
    assert "  * sigma = INDEF" in lines
    assert "  * updatehdr = yes" in lines
    assert '    refcat = ""' in lines
    assert sum(line.startswith("  * ") for line in lines) == 7


def test_the_head_is_read_back():
    past = runlog.parse_head(f"{head()}what happened\n\n  imagefindpars\n  * threshold = 99\n")
    assert (past.version, past.begun, past.folder) == (__version__, "2026-03-04 05:06:07", str(Path.cwd()))
    assert past.command == runlog.command_line("*flt.fits", SETS)
    assert past.changed == [
        ("tweakreg", "updatehdr", "yes"), ("tweakreg", "searchrad", "2.0"), ("tweakreg", "residplot", "No plot"),
        ("tweakreg", "sigma", "INDEF"), ("imagefindpars", "threshold", "12.5"),
        ("imagefindpars", "fluxmax", "90000.0"), ("refimagefindpars", "threshold", "3.0")]
    assert past.number("imagefindpars", "threshold") == 12.5
    assert past.number("tweakreg", "sigma") == past.number("tweakreg", "nclip") == 3
    assert runlog.parse_head("tweakreg 1\nof another program\n") is None


@pytest.mark.parametrize("given", ["*flt.fits", ["a flt.fits", "b_flt.fits"]])
def test_the_command_does_the_same_again(given):
    """It is read back as the shell and the command would; the set of fluxmax is told, as tweakreg has one too."""
    command = runlog.command_line(given, SETS)
    assert "imagefindpars.fluxmax=90000.0" in command
    assert " threshold=12.5 " in command
    request = Request.parse("tweakreg", shlex.split(command)[1:], [])
    assert request.files == ([given] if isinstance(given, str) else given)
    again = request.parameter_sets()
    assert [values.replace(input="*flt.fits") if values.task == "tweakreg" else values for values in again] == SETS


def last_line(ending=None):
    """Log a run that ends with an error, or well; return the last line of the log."""
    with contextlib.suppress(BaseException), runlog.logged("*", SETS) as last_words:
        logging.getLogger("imagereg.tasks").info("in the middle")
        if ending is not None:
            raise ending
        last_words.append("3 of 3 images aligned")
    text = Path("tweakreg.log").read_text()
    assert "\nin the middle\n" in text
    return text.splitlines()[-1]


@pytest.mark.parametrize(("ending", "words"), [
    (None, "3 of 3 images aligned"),
    (KeyboardInterrupt(), "stopped by the user"),
    (ValueError("a sentence"), "error: a sentence"),
    (MemoryError(), "error: MemoryError"),
])
def test_how_it_ended(ending, words):
    assert re.fullmatch(rf"ended    \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d, after \d+\.\d s: {words}", last_line(ending))


def test_the_head_is_for_the_log_alone(caplog):
    """A window that shows what is logged does not show a hundred parameters."""
    caplog.set_level(logging.INFO, "imagereg")
    last_line()
    assert [record.getMessage() for record in caplog.records] == ["in the middle"]
