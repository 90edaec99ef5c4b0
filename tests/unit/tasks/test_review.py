"""What a person is shown of an image, and what the answers do."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from planes import rules_with

from imagereg.alignment.exposure import Exposure, Metadata
from imagereg.alignment.sequence import align
from imagereg.catalogs.sources import SourceCatalog
from imagereg.tasks.feedback import review as module
from imagereg.tasks.feedback.review import Review, Windows, clipped
from imagereg.wcs import Status, TangentPlane


@pytest.fixture(scope="module")
def found():
    """Return an alignment of catalogs of one plane, with three pairs that are off by 0.4 pixel."""
    random = np.random.default_rng(4)
    plane = TangentPlane.flat()
    xy = random.uniform(0, 1000, (60, 2))
    moved = xy - [3, -2] + random.normal(0, 0.02, xy.shape)
    moved[:3] += 0.4
    lists = [SourceCatalog(xy=places, sky=plane.plane_to_sky(places)) for places in (xy, moved)]
    exposures = [Exposure(name, "", Metadata(), (), sources)
                 for name, sources in zip(("first", "second"), lists, strict=True)]
    aligned = align(exposures, plane, rules_with(minobj=5, sigma=None))[0][1]
    assert aligned.status is Status.ALIGNED and aligned.nmatches == 60
    return aligned


@pytest.fixture
def person(monkeypatch):
    """Return a function that puts a person at a terminal, who gives some answers; it returns the questions."""
    def sits(*answers):
        left = list(answers)
        asked = []

        def answer(question):
            asked.append(question)
            if not left:
                raise EOFError
            return left.pop(0)

        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", answer)
        return asked

    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return sits


def test_clipping_leaves_out_the_worst(found):
    again = clipped(found)
    assert again.nmatches == 57 and not again.fit.used[:3].any()
    assert len(again.fit.residuals) == 60  # those left out are still to be seen
    assert np.abs(again.fit.residuals[:3]).min() > 0.3
    assert (again.rms < 0.5 * found.rms).all()
    assert clipped(again).nmatches < 57  # one at least


def test_clip_and_accept(found, person):
    asked = person("c", "a")
    drawn = []
    answer = Review(lambda alignment: drawn.append(alignment.nmatches) or ["hist2d_second.png"])(found)
    assert answer.nmatches == 57
    assert drawn == [60, 57]
    assert "60 matches" in asked[0] and "57 matches" in asked[1] and "hist2d_second.png" in asked[0]


@pytest.mark.parametrize(("typed", "answer"), [("", "accept"), ("a", "accept"), ("r", "reject"), ("s", "stop")])
def test_answers(typed, answer, found, person):
    person("what?", typed)
    assert Review(lambda alignment: [])(found) == answer


def test_the_end_of_the_input_is_a_stop(found, person):
    person()
    assert Review(lambda alignment: [])(found) == "stop"


def test_nobody_is_asked_without_a_terminal(found, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(module.subprocess, "Popen", lambda *_, **__: pytest.fail("a window opens"))
    assert Review(lambda alignment: pytest.fail("nobody sees this plot"))(found) == "accept"


def test_windows_open_all_at_once_and_go(tmp_path, monkeypatch):
    """On a display there is a window for each picture, as long as the question is open."""
    if shutil.which("Xvfb") is None or shutil.which("xdotool") is None:
        pytest.skip("needs xvfb, xdotool")
    pytest.importorskip("tkinter", reason="needs python3-tk")
    from matplotlib.image import imsave

    names = [str(tmp_path / f"{kind}_a.png") for kind in ("hist2d", "residuals", "vector")]
    for name in names:
        imsave(name, np.random.default_rng(1).random((900, 1400)))
    number = f":{90 + os.getpid() % 900}"
    server = subprocess.Popen(["Xvfb", number, "-screen", "0", "1024x768x24"], stderr=subprocess.DEVNULL)
    monkeypatch.setenv("DISPLAY", number)

    def titles():
        found = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", "_a.png", "getwindowname", "%@"],
                               capture_output=True, text=True, check=False)
        return sorted(set(found.stdout.split()))

    try:
        with Windows(names) as windows:
            until = time.monotonic() + 30
            while titles() != sorted(names) and time.monotonic() < until:
                time.sleep(0.2)
            assert titles() == sorted(names)
        assert windows._process.poll() is not None
    finally:
        server.terminate()
        server.wait()


def test_without_a_display_there_are_no_windows(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with Windows(["a.png"]) as windows:
        assert windows._process is None
