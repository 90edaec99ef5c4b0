"""Many visits for the command: align them, and say which are not aligned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagereg.errors import ParameterError
from imagereg.tasks.batch import pages, state
from imagereg.tasks.batch import run as batch


def run(source: str, files: Sequence[str], given: Mapping[str, Any]) -> tuple[str, bool]:
    """Align the visits of a batch; return what to say, and whether all are aligned."""
    if files:
        raise ParameterError(f"--batch takes its images from {source}, but {files[0]!r} is given "
                             "too")
    return _told(source, batch.run_batch(source, **given))


def status(source: str) -> tuple[str, bool]:
    """Return what became of the visits of a batch so far, and whether all are aligned."""
    return _told(source, batch.batch_outcomes(source))


def _told(source, outcomes):
    """Return the verdict, a line for each visit that is not aligned, and where to read on."""
    lines = [pages.verdict_of_batch(outcomes)]
    for name, outcome in outcomes.items():
        if outcome.status != state.ALIGNED:
            lines.append(f"  {name} {outcome.status}: {outcome.verdict}".removesuffix(": "))
    is_well = len(lines) == 1
    lines.append(f"see {batch.batch_folder(source)}/index.html")
    return "\n".join(lines), is_well
