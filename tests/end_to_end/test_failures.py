"""A failure is never silent: a warning in Python by default, an exception on request, the verdict everywhere."""

import subprocess
import sys

import pytest

from imagereg import tweakreg
from imagereg.interfaces.shell import cli

QUIET = {"threshold": 10, "interactive": False, "see2dplot": False, "residplot": "No plot"}
VERDICT = "none of 3 images aligned: "


def test_a_failure_warns_each_time(visit):
    """Also in a loop, from the same line of the caller."""
    for _ in range(2):
        with pytest.warns(tweakreg.AlignmentWarning, match=VERDICT) as caught:
            result = tweakreg.TweakReg(visit.names, minobj=5000, **QUIET)
        assert not result.ok
        assert caught[0].filename == __file__
    script = f"from imagereg import tweakreg\nfor _ in 'ab': tweakreg.TweakReg('*flt.fits', minobj=5000, **{QUIET})\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.count(f"AlignmentWarning: {VERDICT}") == 2


def test_a_failure_is_an_error_for_pipelines(visit):
    with pytest.raises(tweakreg.NotAligned, match=VERDICT) as caught:
        tweakreg.TweakReg(visit.names, minobj=5000, raise_on_failure=True, **QUIET)
    assert len(caught.value.result.alignments) == 3
    assert isinstance(caught.value, tweakreg.AlignmentError)
    assert tweakreg.TweakReg(visit.names, raise_on_failure=True, **QUIET).ok


def test_the_command_says_it_once(visit, capsys):
    words = ["*flt.fits", "minobj=5000", "interactive=no", "see2dplot=no", "residplot=No"]
    assert cli.main(words) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(VERDICT)
    assert not printed.err
