"""Pictures in the terminal: whether it draws sixels, and the sixels."""

import os
import pty
import re
import threading
import types

import numpy as np
import pytest

from imagereg.tasks.feedback import terminal


@pytest.mark.parametrize(("answer", "draws"), [
    (b"\x1b[?62;4;22c", True), (b"\x1b[?62;22c", False), (b"\x1b[?64;14c", False), (b"no answer", False), (b"", False),
])
def test_the_terminal_is_asked(answer, draws, monkeypatch):
    """It answers, or says nothing: then there are no sixels, after a moment."""
    keyboard, screen = pty.openpty()
    asked = []

    def answering():
        asked.append(os.read(keyboard, 10))
        os.write(keyboard, answer)

    thread = threading.Thread(target=answering)
    thread.start()
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{name}", types.SimpleNamespace(fileno=lambda: screen))
    try:
        assert terminal.shows_sixels() is draws
        thread.join()
        assert asked == [b"\x1b[c"]
    finally:
        os.close(keyboard)
        os.close(screen)


def test_nobody_is_asked_in_a_pipe(monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(fileno=lambda: reader))
    monkeypatch.setattr("sys.stdout", types.SimpleNamespace(fileno=lambda: writer))
    assert not terminal.shows_sixels()
    os.close(writer)
    assert os.read(reader, 10) == b""
    os.close(reader)


def drawn(text):
    """Return the picture that a terminal would draw."""
    found = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\', text)
    width, height = int(found[1]), int(found[2])
    colours = {}
    picture = np.full((height + 6, width, 3), np.nan)
    x = y = 0
    for number, red, green, blue in re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", found[3]):
        colours[number] = np.array([red, green, blue], float) / 100
    body = re.sub(r"#(\d+);2;(\d+);(\d+);(\d+)", "", found[3])
    for colour, times, sixel, move in re.findall(r"#(\d+)|!(\d+)(.)|([$-])", body):
        if colour:
            own = colours[colour]
        elif sixel:
            rows = [y + bit for bit in range(6) if ord(sixel) - 63 >> bit & 1]
            picture[rows, x:x + int(times)] = own
            x += int(times)
        else:
            x, y = 0, y + 6 * (move == "-")
    return picture[:height]


def test_sixels_are_the_picture():
    """Its colours are the nearest of 216, and each of its pixels is drawn."""
    picture = np.random.default_rng(2).integers(0, 6, (20, 33, 3)) / 5
    np.testing.assert_allclose(drawn(terminal.sixels(picture)), picture, atol=0.011)


def test_a_wide_picture_is_made_smaller():
    text = terminal.sixels(np.ones((90, 1700, 3)))
    assert text.startswith('\x1bPq"1;1;566;30')
    assert (drawn(text) == 1).all()
