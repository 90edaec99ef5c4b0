"""The parameters that a user saved: one memory for the editor, shell, Python, PyRAF and TEAL.

Each task and parameter set has a file in the user's folder, ``~/.imagereg/<task>.cfg``. TEAL looks
only into its own folder, ``~/.teal``: of the two files the newer one counts, and what is saved here
is written there too, once TEAL has a file of ours. It makes the first one itself: drizzlepac's
tasks have the same names, and can't read our files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from imagereg.errors import InputError
from imagereg.files import atomic
from imagereg.parameters.spec import ParameterSet

# A parameter that drizzlepac's task of the same name does not have.
_OURS = {"tweakreg": "maxchance", "imagefindpars": "nsources", "refimagefindpars": "nsources",
         "tweakback": "dryrun"}


def user_file(task: str) -> str:
    """Return the path where the parameters of a task are saved, whether the file exists or not."""
    return os.path.join(os.path.expanduser("~"), ".imagereg", f"{task}.cfg")


def memory_files(task: str) -> list[str]:
    """Return the paths that saving writes: `user_file`, and TEAL's file if it has one of ours."""
    teals = os.path.join(os.path.expanduser("~"), ".teal", f"{task}.cfg")
    if task in _OURS and os.path.isfile(teals):
        ours = rf"^{_OURS[task]}\s*=".encode()
        if re.search(ours, atomic.read_bytes(teals), re.MULTILINE):
            return [user_file(task), teals]
    return [user_file(task)]


def user_parameters(task: str) -> str | None:
    """Return the path of the parameters of a task last saved, or None if there are none."""
    existing = [path for path in memory_files(task) if os.path.isfile(path)]
    return max(existing, key=os.path.getmtime, default=None)


def remember_parameters(sets: Iterable[ParameterSet]) -> None:
    """Save parameter sets, each in its own file.

    Raises
    ------
    InputError
        A file can't be written.
    """
    for values in sets:
        make_folder(os.path.dirname(user_file(values.task)))
        for path in memory_files(values.task):
            atomic.write_text(path, values.spec.cfg_text(values))


def forget_parameters(task: str) -> list[str]:
    """Remove the saved parameters of a task; return the paths of what was removed."""
    existing = [path for path in memory_files(task) if os.path.isfile(path)]
    for path in existing:
        try:
            os.remove(path)
        except OSError as error:
            raise InputError(f"{path} can't be removed: {atomic.reason(error)}") from error
    return existing


def make_folder(path: str | os.PathLike) -> None:
    """Make a folder if there is none; InputError if that can't be done."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {path} can't be made: {atomic.reason(error)}") from error
