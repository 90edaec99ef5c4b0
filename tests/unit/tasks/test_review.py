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
from imagereg.tasks.feedback.review import Review, Windows, clipped, toggled
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


def test_a_match_is_left_out_and_taken_in_again(found):
    without = toggled(found, 0)
    assert without.nmatches == 59 and not without.fit.used[0] and np.abs(without.fit.residuals[0]).min() > 0.3
    assert toggled(without, 0).nmatches == 60


def test_a_click_changes_the_fit_and_asks_anew(found, person, monkeypatch, capsys, caplog):
    """As often as one clicks, before one answers; what was left out is not in what is accepted."""
    caplog.set_level("INFO", "imagereg")
    person("a")
    answer = __import__("builtins").input
    shown = []

    class Clicked(Windows):
        are_open = True

        def open(self):
            monkeypatch.setattr("builtins.input", lambda question: [self._clicked(n) for n in (0, 1, 0)]
                                and answer(question))
            return True

        def show(self, pictures):
            shown.append(pictures)

    monkeypatch.setattr(module, "Windows", Clicked)
    accepted = Review(lambda alignment: {"residuals_second.png": [alignment.nmatches]})(found)
    assert np.flatnonzero(~accepted.fit.used).tolist() == [1]
    assert [pictures["residuals_second.png"] for pictures in shown] == [[59], [58], [59]]
    assert "second: match 1 taken in again; 59 matches" in caplog.text
    printed = capsys.readouterr().out
    assert printed.count("or click a point to leave it out?") == 3 and "second: 58 matches, rms" in printed


def test_clip_and_accept(found, person):
    asked = person("c", "a")
    drawn = []
    answer = Review(lambda alignment: drawn.append(alignment.nmatches) or {"hist2d_second.png": []})(found)
    assert answer.nmatches == 57
    assert drawn == [60, 57]
    assert "60 matches" in asked[0] and "57 matches" in asked[1] and "hist2d_second.png" in asked[0]


@pytest.mark.parametrize(("typed", "answer"), [("", "accept"), ("a", "accept"), ("r", "reject"), ("s", "stop")])
def test_answers(typed, answer, found, person):
    person("what?", typed)
    assert Review(lambda alignment: {})(found) == answer


def test_the_end_of_the_input_is_a_stop(found, person):
    person()
    assert Review(lambda alignment: {})(found) == "stop"


def test_nobody_is_asked_without_a_terminal(found, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(module.subprocess, "Popen", lambda *_, **__: pytest.fail("a window opens"))
    assert Review(lambda alignment: {"a.png": []})(found) == "accept"


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
        return sorted({title.partition(":")[0] for title in found.stdout.splitlines()})

    def until(true):
        end = time.monotonic() + 30
        while not true() and time.monotonic() < end:
            time.sleep(0.1)
        assert true()

    clicked = []
    windows = Windows(dict.fromkeys(names, ()), clicked.append)
    try:
        assert windows.open() and windows.open()
        until(lambda: titles() == sorted(names))
        windows.show({names[1]: [[700, 450, 5], [740, 450, 6]]})
        window = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "click a point", "windowraise"]
        # The picture is shown in two thirds of its size on this screen.
        subprocess.run([*window, "mousemove", "--window", "%1", "468", "298", "click", "1"], check=True)
        subprocess.run([*window, "mousemove", "--window", "%1", "40", "40", "click", "1"], check=True)
        until(lambda: clicked == [5])
        windows.close()
        assert windows._process.poll() is not None
    finally:
        server.terminate()
        server.wait()


def test_without_a_display_there_are_no_windows(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    windows = Windows({"a.png": ()})
    assert not windows.open() and windows._process is None
    windows.show({})
    windows.close()
