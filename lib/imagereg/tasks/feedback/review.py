"""Show a person what was found for an image, and ask what to do with it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from imagereg.alignment import Alignment, fit_linear
from imagereg.errors import AlignmentError
from imagereg.files import read_bytes
from imagereg.report import plots
from imagereg.tasks.feedback import terminal

_CLIP = 2.0  # rms beyond which [c]lip leaves pairs out; the fit itself has rejected beyond `sigma`
_CHOICES = ("accept", "reject", "clip", "stop")

log = logging.getLogger(__name__)


class Review:
    """Asks about each success; where nobody is at a terminal, accepts it.

    Parameters
    ----------
    draw : callable
        Draws the plots of an alignment anew, and returns the names of their files, each with the
        places of the matches in it, see `imagereg.report.plots.match_places`.
    """

    def __init__(self, draw: Callable[[Alignment], Mapping[str, np.ndarray]]):
        self._draw = draw

    def __call__(self, alignment: Alignment) -> str | Alignment:
        """Return 'accept', 'reject' or 'stop', or the alignment with another fit to accept."""
        if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
            self._draw(alignment)
            return "accept"
        original = alignment
        while True:
            with _Shown(alignment, self._draw) as shown:
                answer = shown.ask()
                alignment = shown.alignment
            if answer == "clip":
                alignment = _clipped_if_possible(alignment)
            elif answer == "accept" and alignment is not original:
                return alignment
            else:
                return answer


class _Shown:
    """An alignment that a person looks at, and may change by clicks in its plots.

    Clicks come in a thread of their own, since this one waits for the answer.
    """

    def __init__(self, alignment: Alignment, draw: Callable[[Alignment], Mapping[str, np.ndarray]]):
        self.alignment = alignment
        self._draw = draw
        self._changing = threading.Lock()
        self._is_open = True
        self._pictures = draw(alignment)
        self._windows = Windows(self._pictures, self._toggle)

    def __enter__(self) -> _Shown:
        """Open the plots in windows, or show them in the terminal."""
        if not self._windows.open() and self._pictures and terminal.shows_sixels():
            for name in self._pictures:
                sys.stdout.write(f"{terminal.sixels(plots.pixels(read_bytes(name)))}\n")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the windows."""
        self._windows.close()

    def ask(self) -> str:
        """Ask, and return one of the choices; clicks that come after the answer change nothing."""
        answer = self._answer()
        with self._changing:
            self._is_open = False
        return answer

    def _answer(self):
        """Ask until the answer is one of the choices; the end of the input is a stop."""
        while True:
            try:
                answer = input(self._question()).strip().lower() or "accept"
            except EOFError:
                return "stop"
            for choice in _CHOICES:
                if choice.startswith(answer):
                    return choice

    def _question(self):
        x, y = self.alignment.rms
        shown = "".join(f"  {name}\n" for name in self._pictures)
        click = ", or click a point to leave it out" if self._windows.are_open else ""
        return (f"{self.alignment.name}: {self.alignment.nmatches} matches, rms {x:.3f} {y:.3f} "
                f"pixel\n{shown}[a]ccept, [r]eject, [c]lip again or [s]top{click}? ")

    def _toggle(self, number):
        """Leave out a match, or take it in again; draw the new fit, and ask anew."""
        with self._changing:
            if not self._is_open:
                return
            try:
                self.alignment = toggled(self.alignment, number)
            except AlignmentError as error:
                said = f"it stays: {error}"
            else:
                said = "left out" if not self.alignment.fit.used[number] else "taken in again"
                self._pictures = self._draw(self.alignment)
                self._windows.show(self._pictures)
            x, y = self.alignment.rms
            log.info("%s: match %d %s; %d matches, rms %.3f %.3f pixel", self.alignment.name,
                     number + 1, said, self.alignment.nmatches, x, y)
            sys.stdout.write(f"\n{self._question()}")
            sys.stdout.flush()


def _clipped_if_possible(alignment):
    """Return an alignment with its worst pairs left out; as it is where too few would be left."""
    try:
        return clipped(alignment)
    except AlignmentError:
        return alignment


def clipped(alignment: Alignment) -> Alignment:
    """Fit again without the pairs beyond twice the rms, the worst one at least.

    Raises
    ------
    AlignmentError
        What is left does not determine the transform.
    """
    fit = alignment.fit
    assert fit is not None
    length = np.hypot(*fit.residuals.T)
    limit = _CLIP * np.sqrt((length[fit.used] ** 2).mean())
    limit = min(limit, length[fit.used].max() * (1 - 1e-9))
    return _fitted(alignment, fit.used & (length <= limit))


def toggled(alignment: Alignment, number: int) -> Alignment:
    """Fit again without a match, counted from 0, or with it where it had been left out.

    Raises
    ------
    AlignmentError
        What is left does not determine the transform.
    """
    fit = alignment.fit
    assert fit is not None
    kept = fit.used.copy()
    kept[number] = not kept[number]
    return _fitted(alignment, kept)


def _fitted(alignment, kept):
    """Return an alignment with the fit of some of its pairs, of the same geometry."""
    fit = alignment.fit
    sources = alignment.exposure.sources[alignment.rows]
    reference = alignment.reference[alignment.ref_rows]
    errors = np.hypot(sources.sky_error, reference.sky_error) / alignment.plane.pixel_scale
    again = fit_linear(alignment.image_xy[kept], alignment.ref_xy[kept], geometry=fit.geometry,
                       nclip=0, sigma=None, loss="linear", errors=errors[kept], centre=fit.centre)
    residuals = alignment.ref_xy - again(alignment.image_xy)
    fitted = dataclasses.replace(alignment,
                                 fit=dataclasses.replace(again, residuals=residuals, used=kept))
    fitted.corrected_chips()
    return fitted


class Windows:
    """Pictures in windows of their own, all at once.

    They belong to another process, so that they can be moved and closed while this one waits.
    Without a display there are none.

    Parameters
    ----------
    pictures : mapping of str to ndarray
        Names of PNG files, each with the places in it that can be clicked: (K, 3) pixels from its
        upper left corner, and a number.
    clicked : callable, optional
        Called with the number of a place that was clicked, in a thread of its own.
    """

    def __init__(self, pictures: Mapping[str, np.ndarray],
                 clicked: Callable[[int], None] | None = None):
        self._pictures = pictures
        self._clicked = clicked
        self._process: Any = None
        self._listener: Any = None

    @property
    def are_open(self) -> bool:
        """Whether there are any."""
        return self._process is not None and self._process.poll() is None

    def open(self) -> bool:
        """Open them, unless they are open; return whether there are any."""
        if self._pictures and _has_display() and not self.are_open:
            command = [sys.executable, "-m", "imagereg.interfaces.picture_windows"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                             text=True)
            self.show(self._pictures)
            self._listener = threading.Thread(target=self._listen, args=[self._process],
                                              daemon=True)
            self._listener.start()
        return self.are_open

    def show(self, pictures: Mapping[str, np.ndarray]) -> None:
        """Show pictures in place of those that are shown."""
        if not self.are_open:
            return
        places = {name: np.asarray(own, float).tolist() for name, own in pictures.items()}
        with contextlib.suppress(OSError):  # they have been closed meanwhile
            self._process.stdin.write(f"{json.dumps(places)}\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """Close those that are still open."""
        if self._process is not None:
            self._process.terminate()
            self._listener.join()

    def _listen(self, process):
        """Pass on what is clicked, as long as there are windows."""
        with process:
            for line in process.stdout:
                if self._clicked:
                    self._clicked(int(line))


def _has_display():
    names = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "darwin" or any(map(os.environ.get, names))
