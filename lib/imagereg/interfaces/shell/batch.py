"""Many visits for the command: align them, and say which are not aligned.

Each takes the value of its option and the request, and returns what is for the command to tell.
"""

from __future__ import annotations

import dataclasses

from imagereg.errors import ParameterError
from imagereg.interfaces.shell.words import Request


@dataclasses.dataclass(frozen=True)
class Told:
    """What to say of a batch, what is wrong with it, and whether all visits are aligned."""

    text: str
    ok: bool
    problems: tuple[str, ...] = ()


def run(source: str, request: Request) -> Told:
    """Align the visits of a batch."""
    from imagereg.tasks.batch import run as batch

    if request.files:
        raise ParameterError(f"--batch takes its images from {source}, but {request.files[0]!r} is "
                             "given too")
    return _told(source, batch.run_batch(source, **request.given))


def status(source: str, _: Request) -> Told:
    """Tell what became of the visits of a batch so far."""
    from imagereg.tasks.batch import run as batch

    return _told(source, batch.batch_outcomes(source))


def _told(source, outcomes):
    """Tell the verdict, a line for each visit that is not aligned, and where to read on."""
    from imagereg.tasks.batch import pages, state
    from imagereg.tasks.batch import run as batch

    lines = [pages.verdict_of_batch(outcomes)]
    for name, outcome in outcomes.items():
        if outcome.status != state.ALIGNED:
            lines.append(f"  {name} {outcome.status}: {outcome.verdict}".removesuffix(": "))
    ok = len(lines) == 1
    lines.append(f"see {batch.batch_folder(source)}/index.html")
    return Told("\n".join(lines), ok)
