"""Text and bytes on disk, whatever they are of."""

from __future__ import annotations

import os

from imagereg.errors import InputError
from imagereg.files.atomic import reason, replacing


def read_bytes(path, size=-1):
    """Content of a file, or its first bytes; InputError where it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise InputError(f"{path} can't be read: {reason(error)}") from error


def read_text(path):
    """Content of a text file; InputError where it can't be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read: {reason(error)}") from error


def write_text(path, text):
    """Write a text file, whole or not at all; InputError where it can't be."""
    with replacing(path) as file:
        file.write(text.encode())


def write_bytes(path, content):
    """Write a binary file, whole or not at all; InputError where it can't be."""
    with replacing(path) as file:
        file.write(content)


def protected(path):
    """Whether a file or folder is meant not to be written, even by those who could."""
    return not os.access(path, os.W_OK) or not os.stat(path).st_mode & 0o222


def check_writable(path):
    """Raise InputError where a file of that name could not be written."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise InputError(f"{path} can't be written: there is no folder {folder}")
    for target in (folder, *([path] if os.path.exists(path) else [])):
        if os.path.isdir(path):
            raise InputError(f"{path} can't be written: it is a folder")
        if protected(target):
            raise InputError(f"{path} can't be written: {target} is write-protected")
