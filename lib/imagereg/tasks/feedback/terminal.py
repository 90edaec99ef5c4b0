"""Pictures in the terminal, where it can show them: sixels, asked for and drawn."""

from __future__ import annotations

import os
import re
import select
import sys
import time

import numpy as np

_ASK = "\033[c"  # "primary device attributes" (DEC VT510 reference manual)
_ANSWER = re.compile(rb"\033\[\?([\d;]*)c")
_SIXEL = b"4"  # among the attributes of a terminal that draws sixels
_PATIENCE = 0.3  # seconds for the answer; terminals that know the question answer in milliseconds
_LEVELS = 6  # of each colour: 216 colours, of the 256 that terminals have
_WIDEST = 800  # pixels; wider pictures are made smaller by a whole factor


def shows_sixels() -> bool:
    """Whether there is a terminal, and it says that it draws sixels; it is asked, for a moment."""
    try:
        import termios
        import tty

        keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
        before = termios.tcgetattr(keyboard)
    except (ImportError, OSError, ValueError, AttributeError, termios.error):
        return False
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)
        os.write(screen, _ASK.encode())
        answer = _read_answer(keyboard)
    except OSError:
        return False
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)
    return answer is not None and _SIXEL in answer[1].split(b";")


def _read_answer(keyboard):
    """Return the match of the answer; None where none comes in time."""
    read = b""
    end = time.monotonic() + _PATIENCE
    while select.select([keyboard], [], [], max(0.0, end - time.monotonic()))[0]:
        read += os.read(keyboard, 64)
        found = _ANSWER.search(read)
        if found or len(read) > 200:  # somebody types: this is no answer
            return found
    return None


def sixels(picture: np.ndarray) -> str:
    """Return a picture as a sequence of sixels, of 216 colours.

    Parameters
    ----------
    picture : (rows, columns, 3) ndarray
        Red, green and blue from 0 to 1.
    """
    step = -(-picture.shape[1] // _WIDEST)
    rows, columns = (size // step for size in picture.shape[:2])
    blocks = picture[:rows * step, :columns * step].reshape(rows, step, columns, step, 3)
    levels = np.rint(blocks.mean(axis=(1, 3)) * (_LEVELS - 1)).astype(int)
    colours = levels @ [_LEVELS**2, _LEVELS, 1]
    parts = [f'\033Pq"1;1;{columns};{rows}']
    for colour in np.unique(colours):
        shares = np.array(np.unravel_index(colour, (_LEVELS,) * 3)) * 100 // (_LEVELS - 1)
        parts.append("#{};2;{};{};{}".format(colour, *shares))
    for first in range(0, rows, 6):
        parts += [*_band(colours[first:first + 6]), "-"]
    return "".join([*parts, "\033\\"])


def _band(colours):
    """Yield the sixels of six rows: for each of their colours a line over the others."""
    weights = 1 << np.arange(len(colours))
    for colour in np.unique(colours):
        bits = weights @ (colours == colour)
        ends = np.append(np.flatnonzero(np.diff(bits)), len(bits) - 1)
        lengths = np.diff(ends, prepend=-1)
        runs = "".join(f"!{length}{chr(63 + bits[end])}"
                       for end, length in zip(ends, lengths, strict=True))
        yield f"#{colour}{runs}$"
