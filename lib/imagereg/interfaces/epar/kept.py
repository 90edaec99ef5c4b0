"""Where the values of a task and its parameter sets are kept.

A ``.cfg`` that the user names holds them all: those of the task, and a section for each parameter set that is not at
its defaults (under hidden names, which TEAL keeps). In the user's own folder each has a file of its
own, so that a parameter set can be edited by itself.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from imagereg.errors import ImageregError, InputError, ParameterError
from imagereg.files import atomic
from imagereg.parameters import saved as userfolder
from imagereg.parameters import spec as params
from imagereg.parameters.spec import is_teals, shared_out

_HERE = Path(params.__file__).resolve().parent.parent
_OWN = (_HERE, *(_HERE.parent.parent / name for name in ("pars", "help")))  # the others in a checkout


@dataclasses.dataclass(frozen=True)
class Kept:
    """What is kept in one place.

    Parameters
    ----------
    path : str or None
        The file; in the user's own folder that of the task; None where something else keeps the values.
    values : dict of str to ParameterSet
        By task.
    unknown : dict of str to dict
        What the files held besides, by task: texts by name, those of a section in a dict.
    texts : dict of str to str
        The files by name, as they were when last read or written.
    notes : tuple of str
        Sentences on what was found in reading: unknown, missing, wrong.
    """

    path: str | None
    values: dict
    unknown: dict = dataclasses.field(default_factory=dict)
    texts: dict = dataclasses.field(default_factory=dict)
    notes: tuple = ()


def read(path, specs):
    """Read the values of a task and its parameter sets from a file; what is wrong in it becomes a note.

    Parameters
    ----------
    path : str
        A ``.cfg`` of this package, of TEAL, or written by hand.
    specs : sequence of Spec
        The task, then its parameter sets.

    Returns
    -------
    Kept

    Raises
    ------
    InputError
        If the file can't be read.
    ParameterError
        If it is no parameter file, or one of another task.
    """
    path = os.path.abspath(os.path.expanduser(path))
    text = atomic.read_text(path)
    if path == userfolder.user_file(specs[0].task):
        return last_saved(specs)
    given, unknown, notes = _parsed(path, text, specs)
    return Kept(path, _complete(specs, given), unknown, {path: text}, notes)


def last_saved(specs):
    """Return what the user's own folder keeps; where a file is missing the defaults, where it is unusable a note too.

    Parameters
    ----------
    specs : sequence of Spec
        The task, then its parameter sets.

    Returns
    -------
    Kept
    """
    given, unknown, texts, notes = {}, {}, {}, []
    for index, spec in enumerate(specs):
        path = userfolder.user_file(spec.task)
        if not os.path.exists(path):
            continue
        try:
            text = atomic.read_text(path)
            values, others, found = _parsed(path, text, specs if index == 0 else (spec,))
        except ImageregError as error:
            notes.append(f"{error}; the defaults are shown")
            continue
        given, unknown, notes = given | values, unknown | others, notes + list(found)
        texts[path] = text
    return Kept(userfolder.user_file(specs[0].task), _complete(specs, given), unknown, texts, tuple(notes))


def write(kept, values, *, path=None, force=False):
    """Write values into their files, each of them whole or not at all.

    Parameters
    ----------
    kept : Kept
        What is known of the files.
    values : dict of str to ParameterSet
        What is to be kept, the task first.
    path : str, optional
        Another file, to write from now on.
    force : bool
        Replace files that are not as `kept` knows them.

    Returns
    -------
    Kept

    Raises
    ------
    InputError
        If a file belongs to this package, was changed by somebody else, or can't be written; `kept` still holds then.
    """
    path = kept.path if path is None else os.path.abspath(os.path.expanduser(path))
    texts = _texts(path, values, kept.unknown)
    current = {name: atomic.read_text(name) if os.path.exists(name) else None for name in texts}
    for name, text in current.items():
        if any(Path(name).resolve().is_relative_to(folder) for folder in _OWN):
            raise InputError(f"{name} can't be written: it belongs to imagereg; save under another name")
        if not force and text not in (None, texts[name], kept.texts.get(name)):
            what = "has changed since it was read" if name in kept.texts else "exists already"
            raise InputError(f"{name} {what}: nothing was written; force the saving, or save under another name")
    if path == userfolder.user_file(next(iter(values))):
        userfolder.make_folder(os.path.dirname(path))
    for name, text in texts.items():
        if text != current[name]:
            atomic.write_text(name, text)
    return Kept(path, values, kept.unknown, texts)


def _texts(path, values, unknown):
    """Return the text of each file that is to be written."""
    task, *sets = values.values()
    if path == userfolder.user_file(task.task):
        return {userfolder.user_file(s.task): s.spec.cfg_text(s, more=unknown.get(s.task)) for s in values.values()}
    of_sets = {s.task: unknown[s.task] for s in sets if s.task in unknown}
    return {path: task.spec.cfg_text(task, sets, more=unknown.get(task.task, {}) | of_sets)}


def _complete(specs, given):
    return {spec.task: spec.validate(given.get(spec.task, {})) for spec in specs}


def _parsed(path, text, specs):
    """Return the values and the unknown things that a text gives, by task, and notes."""
    task, *sets = specs
    try:
        parsed = task.read_cfg(text)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from None
    named = parsed.pop("_task_name_", task.task)
    if named != task.task:
        raise ParameterError(f"{path} holds parameters of {named!r}, expected those of {task.task!r}")
    given, unknown, notes = {}, {}, []
    for spec, share in zip(specs, shared_out(parsed, *specs), strict=True):
        given[spec.task], unknown[spec.task] = _salvaged(spec, share, notes)
    if not any(given.values()):
        raise ParameterError(f"{path} holds no parameters of {task.task!r}")
    others = [name for share in unknown.values() for name in _names(share)]
    missing = [p.name for p in task if p.name not in given[task.task]]  # a section of a set holds what is changed
    notes += [f"unknown, and left in the file: {', '.join(others)}"] if others else []
    notes += [f"not in the file, the default is shown: {', '.join(missing)}"] if missing else []
    found = {name: values for name, values in given.items() if values}
    return found, {name: share for name, share in unknown.items() if share}, tuple(f"{path}: {n}" for n in notes)


def _salvaged(spec, share, notes):
    """Return the values that are as expected and the names that are unknown; add a note on each of the rest."""
    values, unknown = {}, {}
    for name, value in share.items():
        if is_teals(name):
            continue
        if isinstance(value, Mapping):
            inner, others = _salvaged(spec, value, notes)
            values.update(inner)
            unknown.update({name: others} if others else {})
        elif name not in spec:
            unknown[name] = value
        else:
            parameter = spec[name]
            try:
                values[parameter.name] = spec.convert(parameter.name, value)
            except ParameterError as error:
                values[parameter.name] = parameter.default
                notes.append(f"{error}; the default is shown")
    return values, unknown


def _names(share):
    for name, value in share.items():
        yield from _names(value) if isinstance(value, Mapping) else (name,)
