"""The words of a command line: file names, parameters, and files with parameters."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

from imagereg.errors import ParameterError
from imagereg.parameters import (
    ARGUMENTS,
    ParameterSet,
    Spec,
    find_parameter,
    gather,
    gather_parameters,
    texts,
)

_BOLD, _PLAIN = "\033[1m", "\033[0m"
_COLOURS = {"aligned": "\033[32m", "failed": "\033[31m"}  # of a status: green, red


@dataclasses.dataclass(frozen=True)
class Request:
    """What a command line asks for, apart from its options.

    Parameters
    ----------
    task : str
        Name of the command.
    files : list of str
        Names of images, as typed.
    given : dict
        Keyword arguments for `TweakReg`: parameters by full name; those of files and of parameter
        sets as mappings, under the arguments for them.
    """

    task: str
    files: list[str]
    given: dict[str, Any]

    @classmethod
    def parse(cls, task: str, words: Sequence[str], pars: Sequence[str]) -> Request:
        """Return the request that words, and files with parameters after ``--pars``, make.

        Raises
        ------
        ParameterError
            A parameter is ambiguous or given twice, or a file holds those of another task.
        InputError
            A file with parameters can't be read.
        """
        if task in gather.SOLUTION_TASKS:
            return cls._of_one_task(task, words, pars)
        settings = [_setting(word) for word in words if _is_setting(word)]
        sources = [source for path in pars for source in _sources(path, task)]
        sources += [(name, value) for name, value in settings if name in ARGUMENTS]
        given = _from_files(sources, task)
        typed: dict[tuple[str, str], str] = {}
        for name, value in settings:
            if name not in ARGUMENTS:
                place = _place(name, task)
                if typed.setdefault(place, value) != value:
                    both = f"{typed[place]!r} and as {value!r}"
                    raise ParameterError(f"parameter {place[1]!r} is given as {both}")
        for (owner, name), value in typed.items():
            target = given.setdefault(ARGUMENTS[owner], {}) if owner else given
            target[name] = value
        return cls(task, [word for word in words if not _is_setting(word)], given)

    @classmethod
    def _of_one_task(cls, task: str, words: Sequence[str], pars: Sequence[str]) -> Request:
        """Return the request for a task that has no parameter sets."""
        spec = Spec.load(task)
        given: dict[str, Any] = {}
        for path in pars:
            given |= spec.given(texts.read_parameters(path, task))
        typed: dict[str, Any] = {}
        for name, value in (_setting(word) for word in words if _is_setting(word)):
            full_name = spec.find(name.removeprefix(f"{task}."), minimum_match=True).name
            if typed.setdefault(full_name, value) != value:
                raise ParameterError(f"parameter {full_name!r} is given as {typed[full_name]!r} "
                                     f"and as {value!r}")
        return cls(task, [word for word in words if not _is_setting(word)], given | typed)

    @property
    def sources(self) -> tuple[Any, Any, Any]:
        """Mappings given for tweakreg, imagefindpars and refimagefindpars, or None."""
        task, finding, ref_finding = (self.given.get(name) for name in ARGUMENTS.values())
        return task, finding, ref_finding

    @property
    def flat(self) -> dict[str, Any]:
        """Parameters given by their names alone."""
        return {k: value for k, value in self.given.items() if k not in ARGUMENTS.values()}

    def parameter_sets(self) -> list[ParameterSet]:
        """Return the parameter sets of the command, checked and complete; all for tweakreg."""
        if self.task in gather.SOLUTION_TASKS:
            spec = Spec.load(self.task)
            return [spec.validate(self.given | spec.placed(self.files, self.given))]
        images = {"input": ",".join(self.files)} if self.files else {}
        sets = gather_parameters(*self.sources, self.flat | images)
        return [values for values in sets if self.task in ("tweakreg", values.task)]


def _is_setting(word: str) -> bool:
    """Whether a word is ``name=value``, ``name+`` or ``name-``, and not a file."""
    name, equals, _ = word.partition("=")
    if not equals:
        name = word[:-1] if word.endswith(("+", "-")) else ""
    owner, dot, own = name.partition(".")
    is_name = owner in ARGUMENTS and own.isidentifier() if dot else name.isidentifier()
    return is_name and not os.path.exists(word)


def _setting(word: str) -> tuple[str, str]:
    """Return name and value of ``name=value``, ``name+`` or ``name-``."""
    name, equals, value = word.partition("=")
    if equals:
        return name, value
    return word[:-1], "yes" if word.endswith("+") else "no"


def _sources(path: str, task: str) -> list[tuple[str | None, str]]:
    """Return what ``--pars`` names: files, each with the task whose parameters it must hold.

    None stands for any task. 'defaults' names what was saved, of parameter sets too.
    """
    if path == "defaults":
        return [(name, path) for name in (task, *Spec.load(task).psets)]
    return [(None, path)]


def _from_files(sources: Sequence[tuple[str | None, str]], task: str) -> dict[str, Any]:
    """Return the parameters in files, by argument of `TweakReg`.

    With each file comes the task whose parameters it must hold, or None for any.
    """
    given: dict[str, Any] = {}
    for owner, path in sources:
        values = texts.read_parameters(path, owner or task)
        found = values.get("_task_name_", owner or task)
        expected = [owner] if owner else list(ARGUMENTS)
        if found not in expected:
            problem = f"these are parameters of {found!r}, expected those of"
            raise ParameterError(f"{path}: {problem} {' or '.join(expected)}")
        if ARGUMENTS[found] in given:
            raise ParameterError(f"{path}: a file with parameters of {found} is given already")
        given[ARGUMENTS[found]] = values
    return given


def _place(name: str, task: str) -> tuple[str, str]:
    """Return the full name of a typed parameter, and before it the set it is explicitly one of.

    The set is empty for parameters of tweakreg, and for those given to it by their names alone.
    """
    owner, _, own = name.rpartition(".")
    if task == "tweakreg" and not owner:
        return "", find_parameter(name, [Spec.load("tweakreg"), Spec.load("imagefindpars")])[1].name
    owner = owner or task
    full_name = Spec.load(owner).find(own, minimum_match=True).name
    return "" if owner == "tweakreg" else owner, full_name


def has_colours(stream: Any) -> bool:
    """Whether a stream is a terminal with colours, whose user wants them (https://no-color.org)."""
    is_terminal = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    return bool(is_terminal and not os.environ.get("NO_COLOR"))


def in_colours(text: str, *, is_well: bool) -> str:
    """Return the text of a result with its verdict, and the statuses in its table, in colours."""
    verdict, separator, rest = text.partition("\n\n")
    for status, colour in _COLOURS.items():
        rest = re.sub(rf"(?m)^(\S*\s+)({status})(?=\s+[-\d])", rf"\1{colour}\2{_PLAIN}", rest)
    colour = _COLOURS["aligned" if is_well else "failed"]
    return f"{_BOLD}{colour}{verdict}{_PLAIN}{separator}{rest}"
