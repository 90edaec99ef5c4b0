"""Files that keep the values of a task and its parameter sets.

A ``.cfg`` that the user names holds them all: the values of the task, and a section for each
parameter set that is not at its defaults (under hidden names, which TEAL keeps). In the user's
memory (`imagereg.parameters.saved`) each task and set has a file of its own, so that a set can be
edited by itself.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagereg.errors import ImageregError, InputError, ParameterError
from imagereg.files import atomic
from imagereg.parameters import ParameterSet, Spec, is_teals, shared_out
from imagereg.parameters import saved as userfolder
from imagereg.parameters import spec as params

_PACKAGE = Path(params.__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent.parent
_PROTECTED = (_PACKAGE, _CHECKOUT / "pars", _CHECKOUT / "help")


@dataclasses.dataclass(frozen=True)
class Saved:
    """What is saved in one place.

    Parameters
    ----------
    path : str or None
        The file; in the user's folder that of the task; None if a `store` keeps the values.
    values : dict of str to ParameterSet
        Values by task.
    unknown : dict of str to dict
        Unknown entries of the files by task: texts by name, those of a section in a dict.
    texts : dict of str to str
        Content of each file when it was last read or written.
    notes : tuple of str
        Sentences on what was found unknown, missing or wrong in reading.
    """

    path: str | None
    values: dict[str, ParameterSet]
    unknown: dict[str, dict] = dataclasses.field(default_factory=dict)
    texts: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read(path: str, specs: Sequence[Spec]) -> Saved:
    """Read the values of a task and its parameter sets; what is wrong becomes a note.

    Parameters
    ----------
    path : str
        A ``.cfg`` of this package, of TEAL, or written by hand.
    specs : sequence of Spec
        The task, then its parameter sets.

    Raises
    ------
    InputError
        If the file can't be read.
    ParameterError
        If it is no parameter file, or one of another task.
    """
    path = _absolute(path)
    text = atomic.read_text(path)
    if path == userfolder.user_file(specs[0].task):
        return last_saved(specs)
    given, unknown, notes = _parse(path, text, specs)
    return Saved(path, _validated(specs, given), unknown, {path: text}, notes)


def last_saved(specs: Sequence[Spec]) -> Saved:
    """Read the user's folder; defaults stand in for missing files, and with a note for bad ones."""
    given: dict[str, dict] = {}
    unknown: dict[str, dict] = {}
    texts: dict[str, str] = {}
    notes: list[str] = []
    for spec in specs:
        path = userfolder.user_parameters(spec.task)
        if path is None:
            continue
        try:
            text = userfolder.read_memory(path, spec.task)
            values, others, found = _parse(path, text, specs if spec is specs[0] else [spec])
        except ImageregError as error:
            notes.append(f"{error}; the defaults are shown")
            continue
        given |= values
        unknown |= others
        texts |= _current_texts(userfolder.memory_files(spec.task))
        notes += found
    path = userfolder.user_file(specs[0].task)
    return Saved(path, _validated(specs, given), unknown, texts, tuple(notes))


def write(
    saved: Saved,
    values: dict[str, ParameterSet],
    *,
    path: str | None = None,
    force: bool = False,
) -> Saved:
    """Write values into their files, each of them whole or not at all.

    Parameters
    ----------
    saved : Saved
        What is known of the files.
    values : dict of str to ParameterSet
        Values to save, those of the task first.
    path : str, optional
        Another file, to write from now on.
    force : bool
        Replace files that are not as `saved` knows them.

    Raises
    ------
    InputError
        If a file belongs to this package, was changed by somebody else, or can't be written;
        nothing is written then.
    """
    path = saved.path if path is None else _absolute(path)
    texts = _texts(path, values, saved.unknown)
    current = _current_texts(texts)
    for name in texts:
        text = current.get(name)
        if any(Path(name).resolve().is_relative_to(folder) for folder in _PROTECTED):
            reason = "it belongs to imagereg; save under another name"
            raise InputError(f"{name} can't be written: {reason}")
        if not force and text not in (None, texts[name], saved.texts.get(name)):
            problem = "has changed since it was read" if name in saved.texts else "exists already"
            advice = "force the saving, or save under another name"
            raise InputError(f"{name} {problem}: nothing was written; {advice}")
    if path == userfolder.user_file(next(iter(values))):
        userfolder.make_folder(os.path.dirname(path))
    for name, text in texts.items():
        if text != current.get(name):
            atomic.write_text(name, text)
    return Saved(path, values, saved.unknown, texts)


def _current_texts(paths):
    """Return the text of each file that exists."""
    return {path: atomic.read_text(path) for path in paths if os.path.exists(path)}


def _absolute(path):
    return os.path.abspath(os.path.expanduser(path))


def _texts(path, values, unknown):
    """Return the text of each file that is to be written."""
    task, *sets = values.values()
    if path == userfolder.user_file(task.task):
        return {
            file: userfolder.memory_text(file, s, more=unknown.get(s.task))
            for s in values.values()
            for file in userfolder.memory_files(s.task)
        }
    more = unknown.get(task.task, {}) | {s.task: unknown[s.task] for s in sets if s.task in unknown}
    return {path: task.spec.cfg_text(task, sets, more=more)}


def _validated(specs, given):
    return {spec.task: spec.validate(given.get(spec.task, {})) for spec in specs}


def _parse(path, text, specs):
    """Return the values and the unknown entries of a file, by task, and notes on it."""
    task, *sets = specs
    try:
        entries = task.read_cfg(text)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from None
    named = entries.pop("_task_name_", task.task)
    if named != task.task:
        raise ParameterError(
            f"{path} holds parameters of {named!r}, expected those of {task.task!r}"
        )
    given = {}
    unknown = {}
    notes = []
    for spec, share in zip(specs, shared_out(entries, *specs), strict=True):
        values, others = _usable(spec, share, notes)
        if values:
            given[spec.task] = values
        if others:
            unknown[spec.task] = others
    if not given:
        raise ParameterError(f"{path} holds no parameters of {task.task!r}")
    names = list(_names(unknown))
    if names:
        notes.append(f"unknown, and left in the file: {', '.join(names)}")
    # The section of a parameter set holds changed values only, so that none is missing there.
    present = given.get(task.task, {})
    missing = [parameter.name for parameter in task if parameter.name not in present]
    if missing:
        notes.append(f"not in the file, the default is shown: {', '.join(missing)}")
    return given, unknown, tuple(f"{path}: {note}" for note in notes)


def _usable(spec, share, notes):
    """Return the valid values and the unknown entries of a share; add a note on each bad value."""
    values = {}
    unknown = {}
    for name, value in share.items():
        if is_teals(name):
            continue
        if isinstance(value, Mapping):
            inner, others = _usable(spec, value, notes)
            values |= inner
            if others:
                unknown[name] = others
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


def _names(entries):
    """Yield the names of entries that are no sections, at any depth."""
    for name, value in entries.items():
        if isinstance(value, Mapping):
            yield from _names(value)
        else:
            yield name
