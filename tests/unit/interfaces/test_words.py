"""Colours of what the command prints."""

import io

import pytest

from imagereg.interfaces.shell.words import has_colours, in_colours

TEXT = """1 of 2 images aligned, 1 failed: failed_flt.fits: aligned with nothing

image           status    dx
                         pix
aligned_flt.fits aligned 0.1
failed_flt.fits failed     -

failed_flt.fits: aligned with nothing"""


def test_verdict_and_statuses_have_colours_and_nothing_else():
    seen = in_colours(TEXT, is_well=False)
    assert seen.startswith("\033[1m\033[31m1 of 2 images") and seen.count("\033[0m") == 3
    assert "aligned_flt.fits \033[32maligned\033[0m 0.1" in seen and "failed_flt.fits \033[31mfailed\033[0m " in seen
    assert seen.endswith("\nfailed_flt.fits: aligned with nothing")
    assert in_colours("1 of 1", is_well=True) == "\033[1m\033[32m1 of 1\033[0m"


@pytest.mark.parametrize(("term", "no_color", "expected"), [
    ("xterm", "", True), ("xterm", "1", False), ("dumb", "", False),
])
def test_only_a_terminal_has_colours(term, no_color, expected, monkeypatch):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", no_color)
    terminal = io.StringIO()
    assert not has_colours(terminal) and not has_colours(None)
    terminal.isatty = lambda: True
    assert has_colours(terminal) is expected
