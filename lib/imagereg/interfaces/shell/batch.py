"""Many visits for the command: align them, and say which are not aligned.

Each takes the value of its option and the request, and returns the outcome for the command to tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagereg.errors import ParameterError
from imagereg.interfaces.shell.words import Request

if TYPE_CHECKING:
    from imagereg.interfaces.solutions import Outcome


def run(source: str, request: Request) -> Outcome:
    """Align the visits of a batch."""
    from imagereg.tasks.batch import run as batch

    if request.files:
        raise ParameterError(f"--batch takes its images from {source}, but {request.files[0]!r} is "
                             "given too")
    return _told(source, batch.run_batch(source, **request.given))


def status(source: str, _: Request) -> Outcome:
    """Tell what became of the visits of a batch so far."""
    from imagereg.tasks.batch import run as batch

    return _told(source, batch.batch_outcomes(source))


def _told(source, outcomes):
    """Tell the verdict, a line for each visit that is not aligned, and where to read on."""
    from imagereg.interfaces.solutions import Outcome
    from imagereg.tasks.batch import pages, state
    from imagereg.tasks.batch import run as batch

    lines = [pages.verdict_of_batch(outcomes)]
    for name, outcome in outcomes.items():
        if outcome.status != state.ALIGNED:
            lines.append(f"  {name} {outcome.status}: {outcome.verdict}".removesuffix(": "))
    ok = len(lines) == 1
    lines.append(f"see {batch.batch_folder(source)}/index.html")
    return Outcome(outcomes, "\n".join(lines), ok)
