"""A result in a notebook: the verdict, the table with small plots, and all plots on demand."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from imagereg.alignment import Alignment
from imagereg.report import plots
from imagereg.wcs import Status

_COLOURS = {Status.ALIGNED: "#1a7f4b", Status.REFERENCE: "#2456a6", Status.UNCHANGED: "#7a6a00",
            Status.FAILED: "#b3261e"}
_SIDE = 48  # screen pixels of a small plot
_MOST_DOTS = 200  # in a small plot
_LETTERS = 8.0  # points


@dataclasses.dataclass(frozen=True)
class Plots:
    """Plots by name, as PNG images; a notebook shows them.

    Parameters
    ----------
    images : mapping of str to bytes
        PNG by name, such as ``residuals of j99da1f2q_flt.fits``.
    """

    images: Mapping[str, bytes]

    def __repr__(self) -> str:
        """Name the plots."""
        return "\n".join(self.images)

    def _repr_html_(self) -> str:
        pictures = [f'<figure style="margin:0"><img style="max-width:100%" alt="{escape(name)}" '
                    f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
                    f"<figcaption>{escape(name)}</figcaption></figure>"
                    for name, png in self.images.items()]
        return f'<div style="display:grid;gap:1em">{"".join(pictures)}</div>'


def all_plots(alignments: Sequence[Alignment], image: str | None = None) -> Plots:
    """Return the plots of images, or of one of them.

    Raises
    ------
    KeyError
        There is no such image.
    """
    chosen = [a for a in alignments if image in (None, a.name)]
    if not chosen:
        raise KeyError(f"{image!r} is none of {', '.join(a.name for a in alignments)}")
    images = {}
    for alignment in chosen:
        name = alignment.name
        if alignment.nmatches and alignment.status is not Status.REFERENCE:
            images[f"residuals of {name}"] = plots.residuals_png(alignment, labelsize=_LETTERS)
            images[f"vectors of {name}"] = plots.vector_png(alignment, labelsize=_LETTERS)
        if alignment.match is not None and alignment.match.histogram is not None:
            images[f"offsets of {name}"] = plots.histogram_png(alignment, labelsize=_LETTERS)
    return Plots(images)


def result_html(verdict: str, alignments: Sequence[Alignment], headings: Mapping[str, str],
                cells: Sequence[Sequence[str]]) -> str:
    """Return the verdict and the table of a result, with a small plot of residuals in each row.

    Parameters
    ----------
    verdict : str
        In a sentence.
    alignments : sequence of Alignment
        The images.
    headings : mapping of str to str
        Of the columns, in order.
    cells : list of list of str
        Of each image.
    """
    failed = any(alignment.status is Status.FAILED for alignment in alignments)
    colour = _COLOURS[Status.FAILED if failed else Status.ALIGNED]
    head = "".join(f"<th>{escape(text)}</th>"
                   for text in ("image", "status", *headings.values(), "residuals"))
    rows = []
    for alignment, row in zip(alignments, cells, strict=True):
        status = (f'<td style="color:{_COLOURS[alignment.status]};text-align:left"><b>'
                  f"{alignment.status.value}</b></td>")
        numbers = "".join(f'<td style="text-align:right">{escape(text)}</td>' for text in row)
        rows.append(f'<tr><td style="text-align:left">{escape(alignment.name)}</td>{status}'
                    f"{numbers}<td>{_small_plot(alignment)}</td></tr>")
        if alignment.reason:  # below, where a narrow notebook does not cut it off
            rows.append(f'<tr><td colspan="{len(headings) + 3}" style="text-align:left;'
                        f'white-space:normal;max-width:50em">{escape(alignment.reason)}</td></tr>')
    return (f'<p style="border-left:.4em solid {colour};padding:.3em .8em"><b>'
            f"{escape(verdict)}</b></p>"
            f'<div style="overflow-x:auto"><table><tr>{head}</tr>{"".join(rows)}</table></div>')


def _small_plot(alignment: Alignment) -> str:
    """Return the residuals after the run as dots in a square, as SVG; empty where there are none.

    Its side is three times the rms to either side of zero.
    """
    residuals = alignment.residuals
    if not len(residuals) or alignment.status is Status.FAILED:
        return ""
    scale = 3 * max(np.sqrt((residuals**2).mean()), 1e-12)
    middle = _SIDE / 2
    places = residuals[:_MOST_DOTS] / scale
    places = places[(np.abs(places) < 1).all(axis=1)]
    xy = middle + middle * places * [1, -1]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.2"/>' for x, y in xy)
    return (f'<svg width="{_SIDE}" height="{_SIDE}" fill="#2456a6" stroke="none">'
            f'<path d="M0 {middle}H{_SIDE}M{middle} 0V{_SIDE}" stroke="#999" fill="none"/>'
            f"{dots}</svg>")
