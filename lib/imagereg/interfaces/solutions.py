"""The tasks on solutions that exist, as Python functions, and for all who call them by name.

Each is declared in its ``.cfgspc``: `run_task` runs it with checked parameters, and `function`
makes the Python function with the signature and the docstring that the declaration gives.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from imagereg import tasks
from imagereg.errors import ParameterError
from imagereg.interfaces import epar as editor
from imagereg.interfaces import python
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


def edit_and_run(task: str, start: Mapping[str, Any] | None = None,
                 run: Callable[[ParameterSet], Outcome] = run_task) -> Outcome | None:
    """Edit the parameters of a task; return the outcome of its last Execute, None without one.

    Parameters
    ----------
    task : str
        Such as 'applywcs'.
    start : mapping, optional
        Values to begin with, by task, as for `imagereg.interfaces.epar.edit`.
    run : callable
        What Execute does with the parameters.
    """
    outcomes: list[Outcome] = []

    def execute(sets):
        outcomes.append(run(sets[task]))
        return outcomes[-1]

    editor.edit(task, start=start, run=execute)
    return outcomes[-1] if outcomes else None


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
    outcome = edit_and_run(task)
    return outcome.value if outcome else None


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


def teal_functions(task: str) -> tuple[Callable, Callable, Callable]:
    """Return what TEAL and PyRAF look for in the module of a task: run, help, getHelpAsString."""

    def run(configobj: Mapping) -> Any:
        """Run the task with the parameters that TEAL, epar or a script hands over; tell of it.

        Parameters
        ----------
        configobj : mapping
            Parameters by name.

        Returns
        -------
        object
            What the function of the task's name returns.
        """
        spec = Spec.load(task)
        outcome = run_task(spec.validate(spec.given(configobj)))
        sys.stdout.write(f"{outcome}\n")
        return outcome.value

    def help(file: str | None = None) -> None:
        """Print the help, or write it into a file; see `tweakreg.help`."""
        python.help(file, task=task)

    def getHelpAsString(docstring: bool = False, show_ver: bool = True) -> str:
        """Return the help as text; see `tweakreg.getHelpAsString`."""
        return python.getHelpAsString(docstring, show_ver, task=task)

    return run, help, getHelpAsString


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


def apply_tweak(
    drz_file: str,
    orig_wcs_name: str | None = None,
    output_wcs_name: str | None = None,
    input_files: str | Sequence[str] | None = None,
    default_extname: str = "SCI",
    *,
    orig_wcs_key: str | None = None,
    tweaked_wcs_name: str | None = None,
    tweaked_wcs_key: str | None = None,
) -> list[tasks.AppliedSolution]:
    """Give the images of a mosaic its alignment: `tweakback` in the words of drizzlepac.

    Parameters
    ----------
    drz_file : str
        The mosaic.
    orig_wcs_name, orig_wcs_key : str
        Name or letter of the WCS that it was made with; a letter goes before a name.
    output_wcs_name : str, optional
        Name of the new WCS of the images; by default that of the mosaic's.
    input_files : str or list of str, optional
        The images; by default those that the mosaic was made of.
    default_extname : str
        Extensions of the images that are updated: 'SCI' or 'PRIMARY'.
    tweaked_wcs_name, tweaked_wcs_key : str, optional
        Name or letter of the WCS that it was aligned to; by default its primary one.

    Returns
    -------
    list of AppliedSolution
        What became of each image.

    Raises
    ------
    ParameterError
        Neither a name nor a letter says which WCS the mosaic was made with.
    InputError
        As for `tweakback`; nothing has been written then.
    """
    origwcs = (orig_wcs_key or orig_wcs_name or "").strip()
    if not origwcs:
        raise ParameterError("apply_tweak: expected orig_wcs_name or orig_wcs_key, the WCS that "
                             "the mosaic was made with")
    return tweakback(drz_file, input_files or "", origwcs=origwcs,
                     wcsname=(tweaked_wcs_key or tweaked_wcs_name or "").strip(),
                     newname=output_wcs_name or "", extname=default_extname)
