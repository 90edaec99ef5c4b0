"""Find the visits of a batch: in a tree of folders, a list with a visit a line, or a table."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imagereg.errors import InputError, ParameterError
from imagereg.files import atomic, expand_input
from imagereg.parameters import ARGUMENTS, ParameterSet, Spec, gather_parameters

_SETTING = re.compile(r"[a-z]\w*=", re.IGNORECASE)
_NUMBERED = "visit{:04d}"  # the name of a visit that has none
_NO_NAME = re.compile(r"[^\w.+-]+")
_TABLES = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv"}


@dataclasses.dataclass(frozen=True)
class Visit:
    """Images to align with each other.

    Parameters
    ----------
    name : str
        Name of the visit, and of the folder for what its run writes.
    files : sequence of str
        Absolute names of its images, wildcards and @lists.
    parameters : dict of str to dict
        By task the values of parameters that are not as by default; files have absolute names.
    """

    name: str
    files: Sequence[str]
    parameters: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, name: str, words: Sequence[str], given: Mapping[str, Any], folder: str) -> Visit:
        """Return a visit of images that stand relative to a folder.

        Files that parameters name may do so too, or else are relative to the working directory.
        """
        files = []
        for word in words:
            mark = "@" if word.startswith("@") else ""
            files.append(mark + os.path.abspath(os.path.join(folder, word.removeprefix("@"))))
        flat = dict(given)
        sources = {argument: flat.pop(argument, None) for argument in ARGUMENTS.values()}
        parameters = {}
        for values in gather_parameters(**sources, flat=flat):
            changed = {}
            for parameter in values.changed:
                changed[parameter] = _placed(values.task, parameter, values[parameter], folder)
            parameters[values.task] = changed
        return cls(name, files, parameters)

    def parameter_sets(self) -> list[ParameterSet]:
        """Return the parameters of tweakreg, imagefindpars and refimagefindpars."""
        return [ParameterSet(task, self.parameters[task]) for task in ARGUMENTS]


def _placed(task, name, value, folder):
    """Return the value of a parameter, and where it names a file that is read its absolute name."""
    if Spec.load(task)[name].file == "in":
        for place in (folder, os.curdir):
            path = os.path.abspath(os.path.join(place, value))
            if os.path.isfile(path):
                return path
    return value


def read_visits(source: str, given: Mapping[str, Any]) -> list[Visit]:
    """Return the visits that a folder, a list or a table names.

    Parameters
    ----------
    source : str
        A folder: each folder below it with images that match `input` is a visit. A ``.csv`` or
        ``.ecsv`` table: each row is one, with columns `input`, perhaps `visit` for the name, and
        parameters. Any other file: each line is one, images and parameters as on a command line.
    given : mapping
        Arguments of `TweakReg` for all visits; those of a visit itself go before.

    Raises
    ------
    InputError
        It can't be read, has no visits, or two of the same name.
    ParameterError
        A parameter is wrong.
    """
    if os.path.isdir(source):
        visits = _of_folders(source, given)
    elif os.path.splitext(source)[1].lower() in _TABLES:
        visits = _of_table(source, given)
    else:
        visits = _of_list(source, given)
    if not visits:
        raise InputError(f"{source} has no visits")
    names = set()
    for visit in visits:
        if visit.name in names:
            raise InputError(f"{source} has two visits named {visit.name}")
        names.add(visit.name)
    return visits


def refuse_shared_images(visits: Sequence[Visit]) -> None:
    """Raise InputError where an image is in two visits, which would both change it."""
    visit_of: dict[str, str] = {}
    for visit in visits:
        for path in _images(visit):
            other = visit_of.setdefault(path, visit.name)
            if other != visit.name:
                raise InputError(f"{path} is in the visits {other} and {visit.name}, which would "
                                 "both change it")


def _images(visit):
    """Yield the images of a visit; none of a word that its run is going to refuse."""
    for word in visit.files:
        with contextlib.suppress(InputError):
            yield from {os.path.realpath(image.path) for image in expand_input(word)}


def _of_folders(root, given):
    """Return a visit for each folder of a tree that has images."""
    pattern = given.get("input", Spec.load("tweakreg")["input"].default)
    visits = []
    for folder, below, names in os.walk(root):
        below.sort()
        if fnmatch.filter(names, pattern):
            name = _file_name(os.path.relpath(folder, root), folder)
            visits.append(Visit.of(name, [pattern], given, folder))
    return visits


def _of_list(path, given):
    """Return the visits of a list; they are named by their number."""
    visits: list[Visit] = []
    for line in atomic.read_text(path).splitlines():
        words = shlex.split(line, comments=True)
        settings = [word for word in words if _SETTING.match(word)]
        images = [word for word in words if word not in settings]
        if words:
            own = dict(setting.split("=", 1) for setting in settings)
            name = _NUMBERED.format(len(visits) + 1)
            visits.append(_listed(name, images, {**given, **own}, path))
    return visits


def _of_table(path, given):
    """Return the visits of a table; in an empty cell stands what is given for all."""
    from astropy.table import Table

    try:
        table = Table.read(path, format=_TABLES[os.path.splitext(path)[1].lower()])
    except Exception as error:
        raise InputError(f"{path} can't be read as a table: {atomic.reason(error)}") from error
    if "input" not in table.colnames:
        raise InputError(f"{path} has no column input, expected one with the images of each visit")
    visits = []
    for number, row in enumerate(table, 1):
        own = {name: str(row[name]) for name in table.colnames if row[name] is not np.ma.masked}
        own = {name: text for name, text in own.items() if text.strip()}
        name = own.pop("visit", _NUMBERED.format(number))
        images = shlex.split(own.pop("input", ""))
        visits.append(_listed(name, images, {**given, **own}, path))
    return visits


def _listed(name, images, given, path):
    """Return a visit that a file names, with a message that says which where it is wrong."""
    name = _file_name(name, path)
    if not images:
        raise InputError(f"{path} names no images for {name}")
    try:
        return Visit.of(name, images, given, os.path.dirname(os.path.abspath(path)))
    except ParameterError as error:
        raise ParameterError(f"{name} of {path}: {error}") from error


def _file_name(name, alternative):
    """Return a name under which a folder can be made."""
    name = _NO_NAME.sub("_", name).strip("._")
    return name or _NO_NAME.sub("_", os.path.basename(os.path.abspath(alternative)))
