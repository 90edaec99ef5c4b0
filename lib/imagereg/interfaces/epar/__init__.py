"""Editing of parameters: what IRAF calls epar.

`edit` chooses a face, window or terminal, and lets it show one `model.Model`.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

from imagereg.errors import InputError, ParameterError
from imagereg.interfaces.epar.model import TASKS, Model

__all__ = ["TASKS", "edit"]

# In a process of its own: a display may hang, and an X error ends the process.
_PROBE = "import tkinter; tkinter.Tk().destroy()"
_PATIENCE = 10  # seconds


def edit(task, *, start=None, store=None, run=None, face=None):
    """Edit the parameters of a task.

    Parameters
    ----------
    task : {'tweakreg', 'imagefindpars', 'refimagefindpars'}
        What to edit; tweakreg comes with its two parameter sets.
    start : dict of str to ParameterSet, optional
        Values to begin with, by task. Those last saved in the user's folder where not given, else the defaults; a
        plain dict of values by name goes over those.
    store : callable, optional
        Called with a dict of str to ParameterSet to keep the values at Save. Where not given they go to the user's
        folder, ``~/.imagereg/<task>.cfg`` each.
    run : callable, optional
        What Execute does, called with a dict of str to ParameterSet. Without it there is no Execute.
    face : {'window', 'terminal'}, optional
        A window where a display works, else the terminal, where not given.

    Returns
    -------
    dict of str to ParameterSet or None
        By task, as last saved or executed; None where the user left without keeping anything.

    Raises
    ------
    InputError
        If there is neither a display nor a terminal, or not the one that was asked for.
    ParameterError
        If there is no such task or face, or a value in `start` is not what is expected.
    """
    face = _chosen(face)
    model = Model.open(task, start, store=store, run=run)
    importlib.import_module(f"{__name__}.{face}").edit(model)
    return model.kept


def _chosen(face):
    """Return the face that works, or the one asked for if it does."""
    if face not in (None, *_FACES):
        raise ParameterError(f"there is no face {face!r} of the editor; expected one of {', '.join(_FACES)}")
    obstacles = []
    for name, obstacle in _FACES.items():
        if face in (None, name):
            if not (found := obstacle()):
                return name
            obstacles.append(found)
    raise InputError(f"parameters can't be edited here: {', and '.join(obstacles)}; they can be given as name=value")


def _window_obstacle():
    """Return why no window can be opened; empty where one can."""
    if sys.platform not in ("darwin", "win32") and not os.environ.get("DISPLAY"):
        wayland = " (Tk needs Xwayland)" if os.environ.get("WAYLAND_DISPLAY") else ""
        return f"there is no display: DISPLAY is not set{wayland}"
    command = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
                              timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return f"the display {os.environ.get('DISPLAY', '')} does not answer"
    except OSError as error:
        return f"the display can't be tried: {error}"
    reason = (done.stderr.strip().splitlines() or ["Tk stopped"])[-1]
    return f"no window can be opened ({reason})" if done.returncode else ""


def _terminal_obstacle():
    """Return why the terminal can't be used; empty where it can."""
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        return "this is no terminal"
    return "TERM is dumb" if os.environ.get("TERM") == "dumb" else ""


_FACES = {"window": _window_obstacle, "terminal": _terminal_obstacle}  # the best first
