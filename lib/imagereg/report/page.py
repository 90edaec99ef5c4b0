"""The page of a run: one self-contained file of HTML that needs no network and runs no script."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from imagereg.alignment import Alignment
from imagereg.report import diagrams, plots
from imagereg.report.advice import Advice
from imagereg.report.cutouts import RADIUS, Pictures
from imagereg.report.summary import Result, table_cells, verdict_on
from imagereg.wcs import Status

if TYPE_CHECKING:
    from astropy.table import Table

_MAP_WIDTH = 760  # of the map's coordinates, which are screen pixels at the page's full width
_MAP_HEIGHT = 460
_MAP_MARGIN = 40
_OPACITY = 0.12  # of an outline of the map; all together stay as light as _OPAQUE allows
_OPAQUE = 0.8
_FEW = 8  # exposures whose sections are open from the beginning; of more only failures are
_MOST_CIRCLES = 1500  # sources drawn on a chip, some 40 bytes each
_RING = 5.0  # radius of a circle around a source, pixels of the picture
_LETTERS = 8.0  # points, in the plots
# A section of an exposure of which nothing is known.
_EMPTY: dict[str, Any] = {"advice": [], "tried": [], "numbers": [], "figures": [], "chips": [],
                          "stars": [], "psf": "", "fwhm": "", "side": f"{2 * RADIUS} pixels"}
# Columns of the result's table, with headings and units.
_COLUMNS = {"dx": ("dx", "pixels"), "dy": ("dy", "pixels"), "rot": ("rotation", "degrees"),
            "scale": ("scale", ""), "xrms_mas": ("rms x", "mas"), "yrms_mas": ("rms y", "mas"),
            "nmatches": ("matches", ""), "nsources": ("sources", ""), "chance": ("chance", "")}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a run besides its result.

    Parameters
    ----------
    version, date, folder, command : str
        '' where it is not known.
    changed : sequence of dict
        `name`, `value`, `default` and `comment` of each parameter that differs from its default.
    """

    version: str
    date: str
    folder: str = ""
    command: str = ""
    changed: Sequence[Mapping[str, str]] = ()


def report_page(result: Result, facts: Facts, *, pictures: Callable[[Alignment], Pictures | None],
                advise: Callable[[Alignment], Sequence[Advice]],
                taken: Iterable[Alignment] | None = None) -> str:
    """Return the page of a run.

    Parameters
    ----------
    result : Result
        Of the run.
    facts : Facts
        What else is said of it.
    pictures : callable
        Returns the pictures of an exposure, or None where its pixels can't be had.
    advise : callable
        Returns what to try for an exposure that failed.
    taken : iterable of Alignment, optional
        Those of the result one after the other; who gives it sees how far the work is.
    """
    listed = result.alignments if taken is None else taken
    sections = [_section(alignment, number, pictures(alignment), advise)
                for number, alignment in enumerate(listed)]
    few = len(sections) <= _FEW
    for section in sections:
        section["open"] = few or section["status"] == Status.FAILED.value
    cells = table_cells(result.table(), list(_COLUMNS))
    rows = [{"name": section["name"], "status": section["status"], "reason": section["reason"],
             "anchor": section["anchor"], "cells": own}
            for section, own in zip(sections, cells, strict=True)]
    outlines = diagrams.footprints(result.alignments, result.plane)
    return render({"verdict": result.verdict, "ok": result.ok, "facts": facts,
                   "columns": list(_COLUMNS.values()), "rows": rows, "map": sky_map(outlines),
                   "changed": facts.changed, "sections": sections})


def page_of_table(table: Table, facts: Facts, *, outlines: Sequence[Mapping[str, Any]],
                  plots_of: Callable[[str], Mapping[str, bytes]]) -> str:
    """Return the page of a run of which there is no more than a solution file and plots.

    Parameters
    ----------
    table : Table
        Of the solution file.
    facts : Facts
        What else is said of the run.
    outlines : sequence of mapping
        See `imagereg.report.diagrams.footprints`.
    plots_of : callable
        Returns the plots of an image, PNG by caption.
    """
    images = [(str(row["file"]), str(row["status"]), str(row["reason"])) for row in table]
    rows = []
    sections = []
    for number, ((name, status, reason), cells) in enumerate(
            zip(images, table_cells(table, list(_COLUMNS)), strict=True)):
        anchor = f"image{number + 1}"
        rows.append({"name": name, "status": status, "reason": reason, "anchor": anchor,
                     "cells": cells})
        figures = [_figure(png, caption) for caption, png in plots_of(name).items()]
        sections.append({**_EMPTY, "anchor": anchor, "name": name, "status": status,
                         "reason": reason, "figures": figures,
                         "open": len(table) <= _FEW or status == Status.FAILED.value})
    ok = all(status != Status.FAILED.value for _, status, _ in images)
    return render({"verdict": verdict_on(images), "ok": ok, "facts": facts,
                   "columns": list(_COLUMNS.values()), "rows": rows, "map": sky_map(outlines),
                   "changed": facts.changed, "sections": sections})


def render(content: Mapping[str, Any]) -> str:
    """Return the page with its content, every text of which is escaped."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined,
                                     trim_blocks=True, lstrip_blocks=True)
    template = files("imagereg.report").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(**content)


def sky_map(outlines: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what the map of footprints is drawn from; None where there is no outline."""
    corners = [polygon for outline in outlines for polygon in outline["polygons"]]
    if not corners:
        return None
    low = np.min([polygon.min(axis=0) for polygon in corners], axis=0)
    high = np.max([polygon.max(axis=0) for polygon in corners], axis=0)
    room = np.array([_MAP_WIDTH, _MAP_HEIGHT]) - 2 * _MAP_MARGIN
    scale = (room / np.maximum(high - low, 1e-6)).min()
    shift = (room - scale * (high - low)) / 2 + _MAP_MARGIN - scale * low
    drawn = [{**outline, "polygons": [_points(polygon * scale + shift)
                                      for polygon in outline["polygons"]]}
             for outline in outlines]
    length = _round_below(120 / scale)
    text = f"{length:g} arcsec" if length < 60 else f"{length / 60:.3g} arcmin"
    statuses = [outline["status"] for outline in outlines]
    legend = [(status.value, statuses.count(status.value)) for status in Status
              if status.value in statuses]
    drawn.sort(key=lambda outline: outline["status"] == Status.FAILED.value)  # these on top
    opacity = round(min(_OPACITY, _OPAQUE / len(drawn)), 3)
    return {"width": _MAP_WIDTH, "height": _MAP_HEIGHT, "outlines": drawn, "legend": legend,
            "opacity": opacity, "bar": round(length * scale, 1), "bar_text": text}


def _points(xy):
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in xy)


def _round_below(value):
    """Return the largest of 1, 2, 5, 10, ... that is not above a value."""
    steps = 10.0 ** np.floor(np.log10(value)) * np.array([1, 2, 5])
    return float(steps[steps <= value * (1 + 1e-9)][-1])


def _section(alignment, number, seen, advise):
    """Return what the page says and shows of an exposure."""
    failed = alignment.status is Status.FAILED
    section = {**_EMPTY, "anchor": f"image{number + 1}", "name": alignment.name,
               "reason": alignment.reason, "status": alignment.status.value,
               "advice": advise(alignment) if failed else [],
               "tried": _tried(alignment) if failed else [], "numbers": _numbers(alignment),
               "figures": list(_figures(alignment))}
    if seen is None:
        return section
    section["chips"] = [_overlay(alignment, extver, picture, block)
                        for extver, (picture, block) in seen.chips.items()]
    section["stars"] = [{name: _base64(getattr(star, name))
                         for name in ("reference", "before", "after")} for star in seen.stars]
    section["psf"] = _base64(seen.psf)
    if np.isfinite(seen.fwhm):
        mas = seen.fwhm * alignment.plane.pixel_scale
        section["fwhm"] = f"{seen.fwhm:.2f} pixels = {mas:.3f} arcsec"
    return section


def _numbers(alignment):
    """Return names and values, with units, of what was measured for an exposure."""
    found = [("sources found", str(len(alignment.exposure.sources)))]
    if alignment.fit is None:
        return found
    fit = alignment.fit
    mas = 1000 * alignment.plane.pixel_scale
    believed = alignment.status is not Status.FAILED
    found += [("matches used", f"{fit.nmatches} of {len(fit.used)}"),
              ("probability of a match by chance", f"{alignment.chance_probability:.2g}")]
    if believed:
        dx, dy = alignment.offset
        dx_error, dy_error, rot_error, scale_error = alignment.errors
        found += [("dx", f"{dx:.4f} \N{PLUS-MINUS SIGN} {dx_error:.4f} pixels"),
                  ("dy", f"{dy:.4f} \N{PLUS-MINUS SIGN} {dy_error:.4f} pixels"),
                  ("rotation", f"{alignment.rotation:.6f} \N{PLUS-MINUS SIGN} "
                               f"{rot_error:.6f} degrees"),
                  ("scale", f"{alignment.scale:.8f} \N{PLUS-MINUS SIGN} {scale_error:.8f}")]
    before = np.sqrt(((alignment.ref_xy - alignment.image_xy)[fit.used] ** 2).mean(axis=0))
    found.append(("rms x, y before", f"{before[0] * mas:.2f}, {before[1] * mas:.2f} mas"))
    if believed:
        x, y = alignment.rms
        found.append(("rms x, y after", f"{x * mas:.2f}, {y * mas:.2f} mas = {x:.4f}, {y:.4f} "
                                        "pixels"))
    return found


def _tried(alignment):
    """Return what is known of the searches that led to nothing, one line each."""
    match = alignment.match
    lines = []
    if match is not None and match.histogram is not None:
        box = match.half_box * alignment.plane.pixel_scale
        lines.append(f"offsets within {match.half_box:.1f} pixels ({box:.2f} arcsec) of the "
                     f"header's: at most {match.histogram.max():.0f} pairs in a bin, "
                     f"{match.histogram.mean():.2g} on average")
    if alignment.nmatches:
        x, y = alignment.fit.rms * 1000 * alignment.plane.pixel_scale
        lines.append(f"the best fit has {alignment.nmatches} matches, rms {x:.1f}, {y:.1f} mas, "
                     f"and was refused")
    return lines


def _figures(alignment):
    """Yield the plots that there is something to draw in."""
    if alignment.nmatches and alignment.status is not Status.REFERENCE:
        yield _figure(diagrams.before_after_png(alignment), "Residuals before and after")
        yield _figure(plots.residuals_png(alignment, labelsize=_LETTERS),
                      "Residuals against position, with running medians")
        if np.isfinite(alignment.exposure.sources.flux[alignment.rows][alignment.fit.used]).any():
            yield _figure(diagrams.brightness_png(alignment), "Residuals against brightness")
        yield _figure(plots.vector_png(alignment, labelsize=_LETTERS), "Residuals as arrows")
    if alignment.match is not None and alignment.match.histogram is not None:
        yield _figure(plots.histogram_png(alignment, labelsize=_LETTERS),
                      "Histogram of offsets, with its peak, rivals, and the zero")


def _figure(png, caption):
    return {"type": "image/png", "data": _base64(png), "caption": caption}


def _base64(content):
    return base64.b64encode(content).decode("ascii")


def _overlay(alignment, extver, picture, block):
    """Return the picture of a chip with circles around its sources."""
    chip, = (chip for chip in alignment.exposure.chips if chip.extver == extver)
    rows, columns = (size // block for size in chip.shape)
    sources = alignment.exposure.sources
    on_chip = sources.chip == extver
    matched = np.zeros(len(sources), bool)
    rejected = np.zeros(len(sources), bool)
    if alignment.fit is not None:
        matched[alignment.rows[alignment.fit.used]] = True
        rejected[alignment.rows[~alignment.fit.used]] = True
    found = np.flatnonzero(on_chip)
    flux = np.nan_to_num(sources.flux[found], nan=-np.inf)
    shown = found[np.argsort(-flux, kind="stable")[:_MOST_CIRCLES]]

    def rings(indices, radius):
        xy = (sources.xy[indices] - 0.5) / block
        return "".join(f"M{x - radius:.1f} {rows - y:.1f}a{radius:g} {radius:g} 0 1 0 "
                       f"{2 * radius:g} 0a{radius:g} {radius:g} 0 1 0 {-2 * radius:g} 0"
                       for x, y in xy if np.isfinite(x + y))

    return {"extver": extver, "width": columns, "height": rows, "data": _base64(picture),
            "found": rings(shown, _RING), "matched": rings(np.flatnonzero(on_chip & matched),
                                                           1.5 * _RING),
            "rejected": rings(np.flatnonzero(on_chip & rejected), 1.5 * _RING),
            "n_found": len(found), "n_shown": len(shown),
            "n_matched": int((on_chip & matched).sum()),
            "n_rejected": int((on_chip & rejected).sum())}
