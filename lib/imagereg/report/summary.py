"""The result of a run: the verdict in a sentence, a table of all images, and their reasons."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from imagereg.catalogs import SourceCatalog
from imagereg.wcs import Status, TangentPlane

if TYPE_CHECKING:
    from astropy.table import Table

    from imagereg.alignment import Alignment
    from imagereg.report.notebook import Plots

# Columns of the table with their units and formats, in order.
_COLUMNS = {
    "file": (None, None), "status": (None, None), "reason": (None, None),
    "dx": ("pix", ".4f"), "dy": ("pix", ".4f"), "rot": ("deg", ".8f"), "scale": (None, ".8f"),
    "dx_error": ("pix", ".4f"), "dy_error": ("pix", ".4f"),
    "rot_error": ("deg", ".8f"), "scale_error": (None, ".8f"),
    "xrms": ("pix", ".4f"), "yrms": ("pix", ".4f"),
    "xrms_mas": ("mas", ".4f"), "yrms_mas": ("mas", ".4f"),
    "xstd_mas": ("mas", ".4f"), "ystd_mas": ("mas", ".4f"),
    "nsources": (None, None), "nmatches": (None, None), "chance": (None, ".2g"),
}  # fmt: skip
# Columns of the printed table and their units; all else is in the solution file.
_PRINTED = {"file": "", "status": "", "dx": "pix", "dy": "pix", "rot": "deg", "xrms_mas": "mas",
            "yrms_mas": "mas", "nmatches": ""}
# How people are shown numbers; those of a fit are dashes where it was refused.
_LAYOUTS = {"dx": ".3f", "dy": ".3f", "rot": ".5f", "scale": ".7f", "xrms_mas": ".2f",
            "yrms_mas": ".2f", "nmatches": "d", "nsources": "d", "chance": ".1g"}
_IN_NOTEBOOKS = {"dx": "pix", "dy": "pix", "rot": "deg", "scale": "", "xrms_mas": "mas",
                 "yrms_mas": "mas", "nmatches": "", "nsources": "", "chance": ""}
_ALWAYS = ("file", "status", "nsources", "chance")
_HEADINGS = {"file": "image", "xrms_mas": "xrms", "yrms_mas": "yrms", "nmatches": "matches",
             "nsources": "sources"}
_WIDTH = 79  # columns; a line of 80 breaks in IRAF's standard window
_MOST_NAMES = 3  # images that the verdict names


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What a run of tweakreg found and wrote.

    Parameters
    ----------
    alignments : tuple of Alignment
        One for each image, in order.
    plane : TangentPlane
        On which they were aligned.
    reference : SourceCatalog
        What they were aligned with, as it was in the end.
    written : tuple of str
        Names of the files that were written or updated.
    differences : tuple of str
        Of a dry run, the headerlets and the keywords that the images would get.
    """

    alignments: tuple[Alignment, ...]
    plane: TangentPlane
    reference: SourceCatalog
    written: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every image is aligned."""
        return not self.failures

    @property
    def failures(self) -> tuple[Alignment, ...]:
        """Those of the images that are not aligned."""
        return tuple(a for a in self.alignments if a.status is Status.FAILED)

    @property
    def verdict(self) -> str:
        """What became of the images, in one sentence; the first thing that people are told."""
        return verdict_on([(a.name, a.status.value, a.reason) for a in self.alignments])

    def table(self) -> Table:
        """Return what became of each image.

        Returns
        -------
        astropy.table.Table
            file, status, reason; dx, dy (pixels of the plane), rot (degrees), scale as in a
            shiftfile and their errors; rms in x and y about zero in pixels and in mas, and about
            their means in mas; numbers of sources and of matches after rejection; the probability
            that unrelated sources match as well.
        """
        from astropy.table import Table

        rows = [self._row(alignment) for alignment in self.alignments]
        units = {name: unit for name, (unit, _) in _COLUMNS.items() if unit}
        table = Table(rows=rows, names=list(_COLUMNS), units=units)
        for name, (_, layout) in _COLUMNS.items():
            if layout:
                table[name].info.format = layout
        return table

    def _row(self, alignment):
        mas_per_pixel = 1000 * self.plane.pixel_scale
        return (alignment.name, alignment.status.value, alignment.reason,
                *alignment.offset, alignment.rotation, alignment.scale, *alignment.errors,
                *alignment.rms, *(mas_per_pixel * np.append(alignment.rms, alignment.spread)),
                len(alignment.exposure.sources), alignment.nmatches, alignment.chance_probability)

    def __str__(self) -> str:
        """Return the verdict, a table of 79 columns, reasons, and what a dry run has to say."""
        reasons = []
        for each in self.alignments:
            if each.reason:
                reasons += _wrapped(f"{each.name}: {each.reason}")
        table = _aligned_columns(self._printed_rows())
        parts = [_wrapped(self.verdict), table, reasons, self.differences]
        return "\n\n".join("\n".join(part) for part in parts if part)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return verdict and table for a notebook, with small plots and nothing cut."""
        from imagereg.report import notebook

        columns = {name: _with_unit(name, unit) for name, unit in _IN_NOTEBOOKS.items()}
        cells = table_cells(self.table(), list(columns))
        return notebook.result_html(self.verdict, self.alignments, columns, cells)

    def plot(self, image: str | None = None) -> Plots:
        """Return all plots, or those of one image; a notebook shows them.

        Parameters
        ----------
        image : str, optional
            Name of the image.

        Returns
        -------
        Plots
            With `images`, PNG by name.
        """
        from imagereg.report import notebook

        return notebook.all_plots(self.alignments, image)

    def _printed_rows(self):
        """Return headings, units and the cells of each image, as text."""
        headings = [_HEADINGS.get(name, name) for name in _PRINTED]
        return [headings, list(_PRINTED.values()), *table_cells(self.table(), list(_PRINTED))]


def verdict_on(images: Sequence[tuple[str, str, str]]) -> str:
    """Return one sentence on what became of images: name, status and reason of each."""
    n_images = len(images)
    word = "image" if n_images == 1 else "images"
    statuses = [status for _, status, _ in images]
    n_failed = statuses.count(Status.FAILED.value)
    n_unchanged = statuses.count(Status.UNCHANGED.value)
    if not n_failed:
        sentence = f"{n_images} of {n_images} {word} aligned"
    elif n_failed == n_images:
        sentence = f"none of {n_images} {word} aligned"
    else:
        sentence = f"{n_images - n_failed} of {n_images} {word} aligned, {n_failed} failed"
    if n_unchanged:
        sentence += f" ({n_unchanged} unchanged: the WCS was as good)"
    return f"{sentence}: {_failed(images)}" if n_failed else sentence


def _failed(images):
    """Name images that failed for the first of the reasons, and say how many others did."""
    failures = [(name, why) for name, status, why in images if status == Status.FAILED.value]
    reason = failures[0][1]
    alike = [name for name, why in failures if why == reason]
    names = alike[:_MOST_NAMES]
    if len(alike) > _MOST_NAMES:
        names.append(f"and {len(alike) - _MOST_NAMES} more")
    n_others = len(failures) - len(alike)
    others = f"; {n_others} for other reasons, see below" if n_others else ""
    return f"{', '.join(names)}: {reason}{others}"


def _with_unit(name, unit):
    heading = _HEADINGS.get(name, name)
    return f"{heading} ({unit})" if unit else heading


def table_cells(table: Table, names: Sequence[str]) -> list[list[str]]:
    """Return columns of a result's table as texts, a list for each image.

    Numbers of a fit that was refused are dashes: they would look like a solution.
    """
    rows = []
    for row in table:
        is_known = row["status"] != Status.FAILED.value
        layouts = [(name, _LAYOUTS.get(name, "")) for name in names]
        rows.append([_cell(row[name], layout if is_known or name in _ALWAYS else None)
                     for name, layout in layouts])
    return rows


def _cell(value, layout):
    """Return a number as text, without a minus before zero; a dash where there is no layout."""
    if layout is None:
        return "-"
    text = format(value, layout)
    if text == "nan":
        return "-"
    if not layout:
        return text
    return format(abs(value), layout) if float(text) == 0 else text


def _aligned_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines, names to the left and numbers to the right.

    Where lines would be too long, names stand on lines of their own.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    own_line = sum(widths) + len(widths) - 1 > _WIDTH
    if own_line:
        widths[0] = 1
    lines = []
    for name, status, *numbers in rows:
        cells = [name.ljust(widths[0]), status.ljust(widths[1])]
        if own_line and name:
            lines.append(name)
            cells[0] = " "
        cells += [text.rjust(width) for text, width in zip(numbers, widths[2:], strict=True)]
        lines.append(" ".join(cells).rstrip())
    return lines


def _wrapped(text: str) -> list[str]:
    """Return a text as lines, those after the first indented; long words stay whole."""
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_long_words=False,
                         break_on_hyphens=False)
