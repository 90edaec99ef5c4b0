"""A bar for long work, on a terminal and nowhere else."""

import io
import sys

import pytest

from imagereg.tasks.feedback import progress as module
from imagereg.tasks.feedback.progress import progress


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "long", "shown"), [
    (Terminal, 0.0, True),
    (Terminal, 1000.0, False),  # short work
    (io.StringIO, 0.0, False),  # a pipe or a file
])
def test_a_bar_only_where_somebody_looks(stream, long, shown, monkeypatch):
    monkeypatch.setattr(module, "_LONG", long)
    monkeypatch.setattr(sys, "stderr", stream())
    assert list(progress(iter("abc"), "finding sources", 3)) == ["a", "b", "c"]
    assert ("finding sources" in sys.stderr.getvalue()) is shown
    if shown:
        assert sys.stderr.getvalue().endswith("\r")  # the line is wiped


def test_without_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert list(progress([1, 2], "measuring sources", 2)) == [1, 2]


def test_an_error_passes_through(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())

    def work():
        yield 1
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        list(progress(work(), "finding sources", 2))
