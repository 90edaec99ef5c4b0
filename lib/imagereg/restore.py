"""The way back: an archived WCS becomes the primary one again."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from astropy.wcs import WCS

from imagereg import files, headers
from imagereg.atomic import Claim
from imagereg.errors import InputError
from imagereg.inputs import expand_input


def restore(given, *, to="", dry_run=False):
    """Make an archived WCS of every chip the primary one again, to the last bit.

    The present one takes its place in the archive, so that a second restore takes the first one back. Files that have
    the WCS already stay as they are.

    Parameters
    ----------
    given : str or list of str
        Names, wildcards, @lists, association tables.
    to : str
        WCSNAME of the WCS; where not given, the one that was archived last.
    dry_run : bool
        Write nothing.

    Returns
    -------
    list of str
        What differs: a line for each extension, and one for each of its keywords; a line for each file that has the
        WCS already.

    Raises
    ------
    InputError
        A file can't be read or written, or has no such WCS: then all are as they were. Or they are in different
        states, as an interrupted restore leaves them, and `to` is not given.
    """
    paths = [file.path for file in expand_input(given)]
    for path in paths:
        files.check_updatable(path)
    with Claim(() if dry_run else paths) as claim:
        targets = _targets(paths, to)
        planned = {path: files.rewrite(path, _Restored(path, name), dry_run=True) for path, name in targets.items()}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda path: files.rewrite(path, _Restored(path, targets[path]), claim=claim),
                          [path for path, differences in planned.items() if differences and not dry_run]))
    return [line for path in paths for line in planned[path] or [f"{path}: has the WCS {targets[path]} already"]]


def _targets(paths, to):
    """Return the name of the WCS to restore, by path."""
    if to:
        return dict.fromkeys(paths, to)
    present, last = {}, {}
    for path in paths:
        with files.opened(path) as hdus:
            science = [hdus[index].header for index in files.science(hdus, path)]
        try:
            names = {headers.last_archived(header) for header in science}
        except InputError as error:
            raise InputError(f"{path} {error}") from error
        if len(names) > 1:
            raise InputError(f"{path} has chips that were archived as {' and '.join(sorted(names))}: say with --to "
                             "which one they are to have")
        last[path], = names
        present.update((header.get("WCSNAME"), path) for header in science)
    for path, name in last.items():
        if name in present:
            raise InputError(f"{present[name]} has the WCS {name} now, which {path} would get: say with --to which one "
                             "all are to have")
    return last


class _Restored:
    """The change of one file for `files.rewrite`."""

    def __init__(self, path, name):
        self.path, self.name = path, name

    def __call__(self, hdus, old):
        parts = list(range(len(hdus)))
        for index in files.science(hdus, self.path):
            try:
                header = headers.restored_header(old[index], self.name, lambda new: _read_wcs(new, hdus))
            except InputError as error:
                raise InputError(f"{self.path}[{index}] {error}") from error
            parts[index] = index if header is old[index] else (index, header)
        return parts


def _read_wcs(header, hdus):
    wcs = WCS(header, hdus, fix=False)
    wcs.wcs.set()
    return wcs
