"""The note of a restore in progress, by which the same command completes it after a crash.

A restore is its own reverse: without the note, one that was killed after its last file would be
taken back when it is repeated. The note lies beside the first file while files are written.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping

from imagereg.files import atomic
from imagereg.files.images import fits as files
from imagereg.wcs import alternates

_NOTE = ".imagereg-restore.json"


@contextlib.contextmanager
def noted(names: Mapping[str, str]) -> Iterator[None]:
    """Keep a note of the name of the WCS that each file, by its path, is about to get."""
    note = _place(names)
    entries = {}
    for path, name in names.items():
        entries[_key(path, note)] = {"name": name, "mtime_ns": os.stat(path).st_mtime_ns}
    try:
        atomic.write_text(note, json.dumps(entries, indent=1))
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(note)


def noted_names(paths: list[str]) -> dict[str, str]:
    """Return the name of the WCS that each file was about to get when a restore was killed.

    The dict is empty where there is no note of all the files, and where one has been changed since:
    each must have its old modification time, or the WCS that the restore was giving it.
    """
    note = _place(paths)
    try:
        with open(note, encoding="utf-8") as file:
            entries = json.load(file)
        names = {path: entries[_key(path, note)]["name"] for path in paths}
        times = {path: entries[_key(path, note)]["mtime_ns"] for path in paths}
    except (OSError, ValueError, LookupError, TypeError):  # none, or a damaged one
        return {}
    unchanged = all(os.stat(path).st_mtime_ns == times[path]
                    or _primary_names(path) == {names[path]} for path in paths)
    return names if unchanged else {}


def _place(paths):
    """Return the name of the note on files."""
    return os.path.join(os.path.dirname(os.path.realpath(next(iter(paths)))), _NOTE)


def _key(path, note):
    """Return the name of a file in a note."""
    return os.path.relpath(os.path.realpath(path), os.path.dirname(note))


def _primary_names(path):
    """Return the names of the primary WCSs of a file."""
    with files.opened(path) as hdus:
        headers = [hdus[index].header for index in files.science(hdus, path)]
    return {alternates.primary_name(header) for header in headers}
