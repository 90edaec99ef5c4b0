"""The tasks on solutions that exist, as Python functions, and for all who call them by name.

Each is declared in its ``.cfgspc``: `run_task` runs it with checked parameters, and `function`
makes the Python function with the signature and the docstring that the declaration gives.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

from imagereg import tasks
from imagereg.errors import ParameterError
from imagereg.interfaces import epar as editor
from imagereg.parameters import ParameterSet, Spec
from imagereg.parameters import help as pages


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a task has done.

    Parameters
    ----------
    value : object
        What the Python function returns.
    text : str
        What people are told.
    ok : bool
        Whether all is well.
    problems : tuple of str
        A sentence for each file that was passed over.
    """

    value: Any
    text: str
    ok: bool = True
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return all that there is to tell."""
        return "\n".join([self.text, *self.problems])


def applied(report: Sequence[tasks.AppliedSolution], *, differences: bool) -> Outcome:
    """Return the outcome of applying solutions; with `differences` of headers, if asked for."""
    lines = list(map(str, report))
    if differences:
        lines += [line for one in report for line in one.differences]
    return Outcome(report, "\n".join(lines), all(one.wcsname for one in report))


def restored(lines: list[str], *, differences: bool) -> Outcome:
    """Return the outcome of restoring WCSs; with all `differences`, or only which there is now."""
    if not differences:
        lines = [line for line in lines if line.startswith("  WCSNAME ") or line[:2] != "  "]
    return Outcome(lines, "\n".join(lines))


def listed(solutions: Any) -> Outcome:
    """Return the outcome of listing solutions in an astropy table."""
    problems = tuple(solutions.meta["problems"])
    return Outcome(solutions, _as_text(solutions), not problems, problems)


def compared(scores: Sequence[tasks.Score]) -> Outcome:
    """Return the outcome of comparing solutions."""
    reasons = dict.fromkeys(f"{score.file}: {score.reason}" for score in scores if score.reason)
    text = "\n".join([_as_text(tasks.score_table(scores)), *reasons])
    return Outcome(scores, text, all(score.nmatches for score in scores))


def _as_text(table: Any) -> str:
    return "\n".join(table.pformat(max_lines=-1, max_width=-1))


def _apply(values: ParameterSet) -> Outcome:
    words = [word.strip() for word in values.input.split(",") if word.strip()]
    report = tasks.apply_solution(values.solution, words, wcsname=values.wcsname,
                                  reusename=values.reusename, dry_run=values.dryrun)
    return applied(report, differences=values.dryrun)


def _restore(values: ParameterSet) -> Outcome:
    lines = tasks.restore_wcs(values.input, to=values.to, dry_run=values.dryrun)
    return restored(lines, differences=values.dryrun)


def _activate(values: ParameterSet) -> Outcome:
    if not values.name.strip():
        raise ParameterError("activatewcs: parameter 'name' is empty: expected the name of a WCS "
                             "or of a headerlet")
    lines = tasks.restore_wcs(values.input, to=values.name, dry_run=values.dryrun)
    return restored(lines, differences=values.dryrun)


def _list(values: ParameterSet) -> Outcome:
    return listed(tasks.list_solutions(values.input))


def _compare(values: ParameterSet) -> Outcome:
    parameters = {name: value for name, value in values.items() if name != "input"}
    return compared(tasks.compare_solutions(values.input, **parameters))


def _tweakback(values: ParameterSet) -> Outcome:
    if not values.drzfile.strip():
        raise ParameterError("tweakback: parameter 'drzfile' is empty: expected the name of a "
                             "mosaic")
    names = ("origwcs", "wcsname", "newname", "extname", "force")
    report = tasks.tweakback(values.drzfile, values.input, dry_run=values.dryrun,
                             **{name: values[name] for name in names})
    return applied(report, differences=values.dryrun or values.verbose)


_RUN: dict[str, Callable[[ParameterSet], Outcome]] = {
    "applywcs": _apply, "restorewcs": _restore, "activatewcs": _activate, "listwcs": _list,
    "comparewcs": _compare, "tweakback": _tweakback,
}


def run_task(values: ParameterSet) -> Outcome:
    """Run the task whose parameters these are.

    Raises
    ------
    ParameterError, InputError
        A parameter or a file is not what is expected; nothing has been written then.
    """
    return _RUN[values.task](values)


def edit(task: str) -> Any:
    """Edit the parameters of a task, and run it if the user says Execute.

    Parameters
    ----------
    task : str
        Such as 'applywcs'.

    Returns
    -------
    object
        What the function of that name returns; None if the user left without Execute.
    """
    outcomes = []

    def execute(sets):
        outcomes.append(run_task(sets[task]))
        return outcomes[-1]

    editor.edit(task, run=execute)
    return outcomes[-1].value if outcomes else None


def function(task: str, returns: str) -> Callable[..., Any]:
    """Return the Python function of a task.

    Parameters
    ----------
    task : str
        Such as 'applywcs'.
    returns : str
        The section Returns of its docstring.
    """
    spec = Spec.load(task)
    leading = [inspect.Parameter(p.name, inspect.Parameter.POSITIONAL_OR_KEYWORD,
                                 default=p.default) for p in spec.positional]
    signature = spec.signature(*leading, exclude=[p.name for p in leading])

    @functools.wraps(run_task, assigned=())
    def call(*args: Any, **parameters: Any) -> Any:
        names = [p.name for p in spec.positional]
        if len(args) > len(names):
            raise TypeError(f"{task} takes {' and '.join(names)} by their places, and all else by "
                            "name")
        placed = dict(zip(names, args, strict=False))
        twice = placed.keys() & parameters.keys()
        if twice:
            raise TypeError(f"{task} got two values of {', '.join(twice)}")
        given = placed | parameters
        if "input" in given:
            given["input"] = _joined(given["input"])
        return run_task(spec.validate(given)).value

    call.__name__ = call.__qualname__ = task
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__doc__ = f"""{pages.summary(task)[:1].upper()}{pages.summary(task)[1:]}.

Parameters
----------
{spec.doc_table()}

Returns
-------
{returns}

Raises
------
ParameterError
    A parameter is unknown, or its value is not what is expected.
InputError
    A file can't be read or updated, or has not what is asked for; nothing has been written then.
"""
    return call


def _joined(names: Any) -> Any:
    """Return a list of names as the text that the parameter `input` holds."""
    if isinstance(names, Sequence) and not isinstance(names, str):
        return ",".join(map(os.fspath, names))
    return names


applywcs = function("applywcs", """list of AppliedSolution
    What became of each image: `file`, `source`, `wcsname` ('' where it has no solution), `reason`,
    `differences`, `done`; its text is one line.""")
restorewcs = function("restorewcs", """list of str
    A line for each extension, and the WCS that it has now; with `dryrun` all keywords that
    differ.""")
activatewcs = function("activatewcs", """list of str
    A line for each extension, and the WCS that it has now; with `dryrun` all keywords that
    differ.""")
listwcs = function("listwcs", """astropy.table.Table
    A row for each solution; ``meta["problems"]`` has a sentence for each file that can't be
    read.""")
comparewcs = function("comparewcs", """list of Score
    File by file, the best first: `file`, `place`, `name`, `nmatches`, `rms`, `east` and `north`
    (mas), `best`, `reason`.""")
tweakback = function("tweakback", """list of AppliedSolution
    What became of each image, as for applywcs.""")
