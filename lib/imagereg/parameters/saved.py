"""The parameters that a user saved: one memory for the editor, shell, Python, PyRAF, cl and TEAL.

Each task and parameter set has a file in the user's folder, ``~/.imagereg/<task>.cfg``. TEAL looks
only into its own folder, ``~/.teal``: of the two files the newer one counts, and what is saved here
is written there too, once TEAL has a file of ours. It makes the first one itself: drizzlepac's
tasks have the same names, and can't read our files. IRAF's cl keeps its own in a ``.par`` each, in
the folder ``uparm`` of its home: they belong to the memory likewise, once cl knows our package.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from imagereg.errors import InputError, ParameterError
from imagereg.files import atomic
from imagereg.parameters.spec import ParameterSet, Spec

# A parameter that drizzlepac's task of the same name does not have.
_OURS = {"tweakreg": "maxchance", "imagefindpars": "nsources", "refimagefindpars": "nsources",
         "tweakback": "dryrun"}


def iraf_home() -> Path:
    """Return the folder that IRAF calls home: ~/.iraf, or ~/iraf of an older IRAF."""
    new, old = Path.home() / ".iraf", Path.home() / "iraf"
    is_old = (old / "login.cl").exists() and not (new / "login.cl").exists()
    return old if is_old else new


def cl_file(task: str) -> Path:
    """Return where cl saves the parameters of a task.

    Its name has letters 1, 2 and the last of the package, 1 to 5 and the last of the task.
    """
    return iraf_home() / "uparm" / f"img{task[:5]}{task[-1]}.par"


def user_file(task: str) -> str:
    """Return the path where the parameters of a task are saved, whether the file exists or not."""
    return os.path.join(os.path.expanduser("~"), ".imagereg", f"{task}.cfg")


def memory_files(task: str) -> list[str]:
    """Return the paths that saving writes: `user_file`, and those of TEAL and cl if they are ours.

    That of TEAL is, if it has a parameter of ours; that of cl, if our package is installed there.
    """
    paths = [user_file(task)]
    teals = os.path.join(os.path.expanduser("~"), ".teal", f"{task}.cfg")
    if task in _OURS and os.path.isfile(teals):
        ours = rf"^{_OURS[task]}\s*=".encode()
        if re.search(ours, atomic.read_bytes(teals), re.MULTILINE):
            paths.append(teals)
    home = iraf_home()
    if (home / "imagereg").is_dir() and (home / "uparm").is_dir():
        paths.append(str(cl_file(task)))
    return paths


def memory_text(path: str, values: ParameterSet, more: Mapping | None = None) -> str:
    """Return the text of a file of the memory that holds values, and in a ``.cfg`` other texts."""
    if path.endswith(".par"):
        return values.spec.par_text(values)
    return values.spec.cfg_text(values, more=more)


def read_memory(path: str, task: str) -> str:
    """Return what a file of the memory says of a task, as the text of a ``.cfg``.

    Raises
    ------
    InputError
        It can't be read.
    ParameterError
        A value in a ``.par`` is not what is expected.
    """
    text = atomic.read_text(path)
    if not path.endswith(".par"):
        return text
    spec = Spec.load(task)
    lines = [line for line in csv.reader(text.splitlines(), escapechar="\\") if len(line) > 3]
    given = {name: value for name, _, _, value, *_ in lines
             if name in spec and not spec[name].pset}
    try:
        return spec.cfg_text(spec.validate(given))
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from None


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
            atomic.write_text(path, memory_text(path, values))


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
