"""Show a person what was found for an image, and ask what to do with it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from imagereg.errors import AlignmentError

if TYPE_CHECKING:
    from imagereg.alignment import Alignment

_CLIP = 2.0  # rms beyond which [c]lip leaves pairs out; the fit itself has rejected beyond `sigma`
_CHOICES = ("accept", "reject", "clip", "stop")


class Review:
    """Asks about each success; where nobody is at a terminal, accepts it.

    Parameters
    ----------
    draw : callable
        Draws the plots of an alignment anew, and returns the names of their files.
    """

    def __init__(self, draw: Callable[[Alignment], Sequence[str]]):
        self._draw = draw

    def __call__(self, alignment: Alignment) -> str | Alignment:
        """Return 'accept', 'reject' or 'stop', or the alignment with another fit to accept."""
        if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
            return "accept"
        original = alignment
        while True:
            pictures = self._draw(alignment)
            with Windows(pictures):
                answer = _ask(alignment, pictures)
            if answer == "clip":
                alignment = _clipped_if_possible(alignment)
            elif answer == "accept" and alignment is not original:
                return alignment
            else:
                return answer


def _ask(alignment, pictures):
    """Ask until the answer is one of the choices; the end of the input is a stop."""
    x, y = alignment.rms
    shown = f" ({', '.join(pictures)})" if pictures else ""
    question = (f"{alignment.name}: {alignment.nmatches} matches, rms {x:.3f} {y:.3f} pixel"
                f"{shown}: [a]ccept, [r]eject, [c]lip again or [s]top? ")
    while True:
        try:
            answer = input(question).strip().lower() or "accept"
        except EOFError:
            return "stop"
        for choice in _CHOICES:
            if choice.startswith(answer):
                return choice


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
    kept = fit.used & (length <= min(limit, length[fit.used].max() * (1 - 1e-9)))
    sources = alignment.exposure.sources[alignment.rows]
    reference = alignment.reference[alignment.ref_rows]
    errors = np.hypot(sources.sky_error, reference.sky_error) / alignment.plane.pixel_scale
    from imagereg.alignment import fit_linear

    again = fit_linear(alignment.image_xy[kept], alignment.ref_xy[kept], geometry=fit.geometry,
                       nclip=0, sigma=None, loss="linear", errors=errors[kept], centre=fit.centre)
    residuals = alignment.ref_xy - again(alignment.image_xy)
    fitted = dataclasses.replace(alignment,
                                 fit=dataclasses.replace(again, residuals=residuals, used=kept))
    fitted.corrected_chips()
    return fitted


class Windows:
    """Pictures in windows of their own, all at once, as long as a question is open.

    They belong to another process, so that they can be moved and closed while this one waits.
    Without a display there are none.
    """

    def __init__(self, names: Sequence[str]):
        self._names = list(names)
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Windows:
        """Open them."""
        if self._names and _has_display():
            command = [sys.executable, "-m", "imagereg.interfaces.picture_windows", *self._names]
            nothing = subprocess.DEVNULL
            self._process = subprocess.Popen(command, stdin=nothing, stdout=nothing,
                                             stderr=nothing)
        return self

    def __exit__(self, *_: object) -> None:
        """Close those that are still open."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def _has_display():
    names = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "darwin" or any(map(os.environ.get, names))
