"""The result of a run: what became of each image, as a table and as text."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from imagereg.alignment import Alignment
from imagereg.catalogs import SourceCatalog
from imagereg.wcs import Status, TangentPlane

if TYPE_CHECKING:
    from astropy.table import Table

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
_PRINTED = ["file", "status", "dx", "dy", "rot", "scale", "xrms", "yrms", "nsources", "nmatches",
            "chance"]


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
        return all(a.status is not Status.FAILED for a in self.alignments)

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
        """Return the shift table, the reasons, and what a dry run has to say."""
        lines = self.table()[_PRINTED].pformat(max_lines=-1, max_width=-1, show_unit=True)
        reasons = [f"{a.name}: {a.reason}" for a in self.alignments if a.reason]
        return "\n".join([*lines, *reasons, *self.differences])

    __repr__ = __str__
