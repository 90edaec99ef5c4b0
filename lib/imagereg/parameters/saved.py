"""The user's own folder, in which the editor saves parameters."""

from __future__ import annotations

import os

from imagereg.errors import InputError
from imagereg.files import atomic


def user_file(task: str) -> str:
    """Return the path where the parameters of a task are saved, whether the file exists or not."""
    return os.path.join(os.path.expanduser("~"), ".imagereg", f"{task}.cfg")


def user_parameters(task: str) -> str | None:
    """Return the path of the parameters of a task last saved, or None if there are none."""
    path = user_file(task)
    return path if os.path.isfile(path) else None


def forget_parameters(task: str) -> str | None:
    """Remove the saved parameters of a task; return their path, or None if there were none."""
    path = user_parameters(task)
    if path:
        try:
            os.remove(path)
        except OSError as error:
            raise InputError(f"{path} can't be removed: {atomic.reason(error)}") from error
    return path


def make_folder(path: str | os.PathLike) -> None:
    """Make a folder if there is none; InputError if that can't be done."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {path} can't be made: {atomic.reason(error)}") from error
