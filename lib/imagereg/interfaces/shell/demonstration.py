"""The demo: a small visit is simulated and aligned, and what was found is told beside the truth."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UNALIGNED = "unaligned"  # folder of the copies to play with
_CHOSEN = {"threshold": 10, "updatehdr": True, "shiftfile": True, "interactive": False}
_DECIMALS = (4, 4, 6, 7)  # of dx, dy, rot, scale


def run(folder: str, given: Mapping[str, Any]) -> tuple[str, bool]:
    """Simulate a visit in a folder, keep a copy of its images, and align them.

    Parameters
    ----------
    folder : str
        Name of the folder; it becomes the working directory.
    given : mapping
        Parameters for `TweakReg` that take the place of the demo's.

    Returns
    -------
    text : str
        What was found, beside the truth.
    is_well : bool
        Whether all images were aligned.
    """
    from imagereg import demo
    from imagereg.interfaces.python import TweakReg

    visit = demo.simulate_visit(folder)
    before = visit.residuals()
    os.chdir(folder)
    os.mkdir(UNALIGNED)
    files = [os.path.basename(path) for path in visit.files]
    for name in files:
        shutil.copy2(name, UNALIGNED)
    result: Any = TweakReg(files, **(_CHOSEN | dict(given)))
    truth = [visit.expected_shift(i, result.plane.wcs) for i in range(len(files))]
    parts = [
        str(result),
        _shift_table(result, truth),
        _residual_table(files, before, visit.residuals(files)),
        f"In {folder}: the aligned images; the log tweakreg.log; shifts.txt; plots as *.png.\n"
        f"In {folder}/{UNALIGNED}: the images as they were, to try tweakreg on.",
    ]
    return "\n\n".join(parts), result.ok


def _shift_table(result: Any, truth: Sequence[Sequence[float]]) -> str:
    """Return the shifts that were found and the true ones, two lines an image."""
    lines: list[tuple[str, ...]] = [("shift of", "", "dx (pix)", "dy (pix)", "rot (deg)", "scale")]
    for alignment, expected in zip(result.alignments, truth, strict=True):
        found = (*alignment.offset, alignment.rotation, alignment.scale)
        lines.append((alignment.name, "found", *_shown(found)))
        lines.append(("", "true", *_shown(expected)))
    return _in_columns(lines)


def _shown(values: Iterable[float]) -> list[str]:
    """Return the numbers of a shift as text, without a minus before zero."""
    texts = []
    for value, decimals in zip(values, _DECIMALS, strict=True):
        rounded = round(float(value), decimals) + 0.0  # -0.0 + 0.0 is 0.0
        texts.append(f"{rounded:.{decimals}f}")
    return texts


def _residual_table(files: Iterable[str], before: Iterable[float], after: Iterable[float]) -> str:
    """Return how well images agree with the first one, before and after."""
    lines = [("rms against the first image, mas", "before", "after")]
    for name, rms_before, rms_after in zip(files, before, after, strict=True):
        lines.append((name, f"{rms_before:.2f}", f"{rms_after:.2f}"))
    return _in_columns(lines)


def _in_columns(lines: Sequence[Sequence[str]]) -> str:
    """Return cells in columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = []
    for first, *others in lines:
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        rows.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join(rows)
