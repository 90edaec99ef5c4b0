"""The folder in which the editor keeps what a user saves."""

from __future__ import annotations

import os

from imagereg.errors import InputError
from imagereg.files.atomic import reason


def user_file(task):
    """Name of the file in the user's own folder that keeps the parameters of a task, whether there is one or not."""
    return os.path.join(os.path.expanduser("~"), ".imagereg", f"{task}.cfg")


def user_parameters(task):
    """Name of the file in which the user last saved the parameters of a task; None where there is none."""
    path = user_file(task)
    return path if os.path.isfile(path) else None


def forget_parameters(task):
    """Remove the parameters of a task that the user saved; returns the name of the file, None where there was none."""
    path = user_parameters(task)
    if path:
        try:
            os.remove(path)
        except OSError as error:
            raise InputError(f"{path} can't be removed: {reason(error)}") from error
    return path


def make_folder(path):
    """Make a folder where there is none; InputError where that can't be done."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {path} can't be made: {reason(error)}") from error
