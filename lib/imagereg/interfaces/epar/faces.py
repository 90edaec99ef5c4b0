"""Open the editor with the face that works here: a window, or the terminal."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping

from imagereg.errors import InputError, ParameterError
from imagereg.interfaces.epar.model import Model
from imagereg.parameters import ParameterSet

# Run in a process of its own: a display may hang, and an X error ends the process.
_PROBE = "import tkinter; tkinter.Tk().destroy()"
_PROBE_TIMEOUT = 10  # seconds; a display that is forwarded over a slow line takes some


def edit(
    task: str,
    *,
    start: Mapping | None = None,
    store: Callable | None = None,
    run: Callable | None = None,
    face: str | None = None,
) -> dict[str, ParameterSet] | None:
    """Edit the parameters of a task.

    Parameters
    ----------
    task : {'tweakreg', 'imagefindpars', 'refimagefindpars'}
        What to edit; tweakreg comes with its two parameter sets.
    start : dict of str to ParameterSet or dict, optional
        Values to begin with, by task. A plain dict of values by name is applied on top of those
        last saved in the user's folder, which are also used where nothing is given; the defaults
        where nothing was saved.
    store : callable, optional
        Called at Save with a dict of str to ParameterSet. Without it, Save writes files in the
        user's folder, ``~/.imagereg/<task>.cfg`` each.
    run : callable, optional
        Called at Execute with a dict of str to ParameterSet. Without it there is no Execute.
    face : {'window', 'terminal'}, optional
        By default a window where a display works, else the terminal.

    Returns
    -------
    dict of str to ParameterSet or None
        Values by task as last saved or executed; None if the user left without either.

    Raises
    ------
    InputError
        If there is neither a display nor a terminal, or not the one that was asked for.
    ParameterError
        If there is no such task or face, or a value in `start` is invalid.
    """
    face = _choose(face)
    model = Model.open(task, start, store=store, run=run)
    importlib.import_module(f"imagereg.interfaces.epar.{face}").edit(model)
    if model.outcome == "saved" and sys.stdout:
        sys.stdout.write(f"{model.how_to_run}\n")
    return model.result


def _choose(face):
    """Return the first face that works, or the one asked for if it does."""
    if face not in (None, *_OBSTACLES):
        names = ", ".join(_OBSTACLES)
        raise ParameterError(f"there is no face {face!r} of the editor; expected one of {names}")
    wanted = [face] if face else list(_OBSTACLES)
    found = []
    for name in wanted:
        obstacle = _OBSTACLES[name]()
        if not obstacle:
            return name
        found.append(obstacle)
    reasons = ", and ".join(found)
    raise InputError(
        f"parameters can't be edited here: {reasons}; they can be given as name=value"
    )


def _window_obstacle():
    """Return why no window can be opened; empty if one can."""
    display = os.environ.get("DISPLAY", "")
    if sys.platform not in ("darwin", "win32") and not display:
        wayland = " (Tk needs Xwayland)" if os.environ.get("WAYLAND_DISPLAY") else ""
        return f"there is no display: DISPLAY is not set{wayland}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            timeout=_PROBE_TIMEOUT, check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the display {display} does not answer"
    except OSError as error:
        return f"the display can't be tried: {error}"
    if done.returncode == 0:
        return ""
    reason = (done.stderr.strip().splitlines() or ["Tk stopped"])[-1]
    return f"no window can be opened ({reason})"


def _terminal_obstacle():
    """Return why the terminal can't be used; empty if it can."""
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        return "this is no terminal"
    return "TERM is dumb" if os.environ.get("TERM") == "dumb" else ""


_OBSTACLES = {"window": _window_obstacle, "terminal": _terminal_obstacle}  # preferred first
