"""What commands do with solutions that exist, by options of tweakreg or as commands of their own.

Each takes the value of its option and the request, and returns the outcome for the command to tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagereg.errors import ParameterError
from imagereg.interfaces.shell.words import Request
from imagereg.parameters import ParameterSet, Spec
from imagereg.tasks import signals

if TYPE_CHECKING:
    from imagereg.interfaces.solutions import Outcome


def run_task(request: Request) -> Outcome:
    """Run a command of its own, such as applywcs."""
    from imagereg.interfaces import solutions

    return solutions.run_task(request.parameter_sets()[0])


def edit_task(request: Request) -> Outcome | None:
    """Edit the parameters of such a command; run it if the user says Execute, else None."""
    from imagereg.interfaces import solutions

    def run(values):
        with signals.stopped_by_signals():
            return solutions.run_task(values)

    spec = Spec.load(request.task)
    placed = spec.placed(request.files, request.given)
    start = {request.task: spec.given(request.given | placed)}
    return solutions.edit_and_run(request.task, start, run)


def apply(solution: str, request: Request) -> Outcome:
    """Put the solutions of an earlier run into headers, and tell which."""
    from imagereg.interfaces import solutions
    from imagereg.tasks import apply_solution

    given = dict(request.given)
    dry_run = given.pop("dry_run", False)
    unused = sorted(given.keys() - {"wcsname", "reusename"})
    if unused:
        problem = "has no meaning with --apply, expected wcsname or reusename"
        raise ParameterError(f"{unused[0]!r} {problem}")
    task = ParameterSet("tweakreg", given)
    names = {"wcsname": task.wcsname, "reusename": task.reusename}
    report = apply_solution(solution, request.files, **names, dry_run=dry_run)
    return solutions.applied(report, differences=dry_run)


def restore(_: bool, request: Request) -> Outcome:
    """Bring a WCS back, and tell which there is now; with --dry-run, all keywords that differ."""
    from imagereg.interfaces import solutions
    from imagereg.tasks import restore_wcs

    given = dict(request.given)
    name = given.pop("to")
    dry_run = given.pop("dry_run", False)
    refuse_parameters(given, "--restore takes no parameters, and {!r} is one")
    lines = restore_wcs(request.files, to=name, dry_run=dry_run)
    return solutions.restored(lines, differences=dry_run)


def activate(name: str, request: Request) -> Outcome:
    """Bring a named WCS or headerlet back."""
    return restore(True, Request(request.task, request.files, request.given | {"to": name}))


def list_held(_: bool, request: Request) -> Outcome:
    """Tell the solutions that files hold."""
    from imagereg.interfaces import solutions
    from imagereg.tasks import list_solutions

    message = "--headerlets takes files and no parameters, but {!r} is given"
    refuse_parameters(request.given, message)
    return solutions.listed(list_solutions(request.files))


def compare(_: bool, request: Request) -> Outcome:
    """Tell how far the solutions that files hold are from the reference."""
    from imagereg.interfaces import solutions
    from imagereg.tasks import compare_solutions

    return solutions.compared(compare_solutions(request.files, **request.given))


def refuse_parameters(given: dict, message: str) -> None:
    """Raise a ParameterError with the first parameter, if there are any, in a message."""
    if given:
        raise ParameterError(message.format(next(iter(given))))
