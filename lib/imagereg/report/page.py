"""The page of a run: one self-contained file of HTML that needs no network and runs no script."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from imagereg.alignment import Alignment
from imagereg.report import diagrams
from imagereg.report.cutouts import COARSE, FINE, RADIUS, Detail, Pictures
from imagereg.report.offsets import offset_histogram
from imagereg.report.summary import table_cells, verdict_on
from imagereg.wcs import Status, TangentPlane

if TYPE_CHECKING:
    from astropy.table import Table

_MAP_WIDTH = 760  # of the map's coordinates, which are screen pixels at the page's full width
_MAP_HEIGHT = 460
_MAP_MARGIN = 40
_OPACITY = 0.12  # of an outline of the map; all together stay as light as _OPAQUE allows
_OPAQUE = 0.8
_FEWEST_MATCHES = 5  # of a fit that was refused; the residuals of fewer say nothing
_FEW = 8  # exposures whose sections are open from the beginning; of more only failures are
# A section of an exposure of which nothing is known.
_EMPTY: dict[str, Any] = {"advice": [], "tried": [], "numbers": [], "figures": [], "chips": [],
                          "strips": {}, "n_stars": 0, "psf": "", "fwhm": "",
                          "side": f"{2 * RADIUS} pixels"}
# What a fit measures: column of the table, layout and unit by name.
_MEASURED = {"dx": ("dx", ".4f", "pixels"), "dy": ("dy", ".4f", "pixels"),
             "rotation": ("rot", ".6f", "degrees"), "scale": ("scale", ".8f", "")}
# Columns of the result's table, with headings and units.
_COLUMNS = {"dx": ("dx", "pixels"), "dy": ("dy", "pixels"), "rot": ("rotation", "degrees"),
            "scale": ("scale", ""), "xrms_mas": ("rms x", "mas"), "yrms_mas": ("rms y", "mas"),
            "nmatches": ("matches", ""), "nsources": ("sources", ""), "chance": ("chance", "")}


@dataclasses.dataclass(frozen=True)
class Advice:
    """One thing to try where an image failed.

    Parameters
    ----------
    setting : str
        As it is typed: ``searchrad=5``.
    why : str
        What it is good for, one sentence.
    """

    setting: str
    why: str


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


def report_page(alignments: Sequence[Alignment], table: Table, plane: TangentPlane, facts: Facts, *,
                pictures: Callable[[Alignment, Detail], Pictures | None],
                advise: Callable[[Alignment], Sequence[Advice]],
                drawn_before: Callable[[str], Mapping[str, bytes]] | None = None,
                taken: Iterable[Alignment] | None = None) -> str:
    """Return the page of a run.

    Parameters
    ----------
    alignments : sequence of Alignment
        What is known of each image.
    table : Table
        Of the result, or of a solution file; with a row for each image.
    plane : TangentPlane
        On which the images were aligned.
    facts : Facts
        What else is said of the run.
    pictures : callable
        Returns the pictures of an exposure, or None where its pixels can't be had.
    advise : callable
        Returns what to try for an exposure that failed.
    drawn_before : callable, optional
        Returns the plots of an image that the run has left, PNG by caption; they are shown where
        there are no matches to draw.
    taken : iterable of Alignment, optional
        The alignments one after the other; who gives it sees how far the work is.
    """
    few = len(alignments) <= _FEW
    detail = FINE if few else COARSE
    cells = table_cells(table, list(_COLUMNS))
    rows: list[dict[str, Any]] = []
    sections: list[dict[str, Any]] = []
    for number, (alignment, row, own) in enumerate(
            zip(alignments if taken is None else taken, table, cells, strict=True)):
        told = {"anchor": f"image{number + 1}", "name": alignment.name,
                "status": alignment.status.value, "reason": alignment.reason}
        rows.append({**told, "cells": own})
        failed = alignment.status is Status.FAILED
        section = {**_EMPTY, **told, "open": few or failed, "numbers": _numbers(alignment, row),
                   "advice": advise(alignment) if failed else [],
                   "tried": _tried(alignment, row) if failed else [],
                   "figures": list(_figures(alignment, detail.matches))}
        if not section["figures"] and drawn_before:
            section["figures"] = [_picture(png, caption)
                                  for caption, png in drawn_before(alignment.name).items()]
        seen = pictures(alignment, detail)
        if seen:
            section |= _seen(alignment, seen, detail)
        sections.append(section)
    images = [(row["name"], row["status"], row["reason"]) for row in rows]
    outlines = diagrams.footprints(alignments, plane)
    return _render({"verdict": verdict_on(images), "facts": facts, "rows": rows,
                    "ok": all(status != Status.FAILED.value for _, status, _ in images),
                    "columns": list(_COLUMNS.values()), "map": sky_map(outlines),
                    "changed": facts.changed, "sections": sections})


def _render(content: Mapping[str, Any]) -> str:
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
            "opacity": opacity, "stroke": round(min(1.0, _FEW / len(drawn)), 3),
            "bar": round(length * scale, 1), "bar_text": text}


def _points(xy):
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in xy)


def _round_below(value):
    """Return the largest of 1, 2, 5, 10, ... that is not above a value."""
    steps = 10.0 ** np.floor(np.log10(value)) * np.array([1, 2, 5])
    return float(steps[steps <= value * (1 + 1e-9)][-1])


def _seen(alignment, seen, detail):
    """Return what the section of an exposure shows of its pixels."""
    shown = {"chips": [_overlay(alignment, extver, *picture, most=detail.sources)
                       for extver, picture in seen.chips.items()],
             "strips": {name: _base64(strip) for name, strip in seen.strips.items()},
             "n_stars": seen.n_stars, "psf": _base64(seen.mean_star)}
    if np.isfinite(seen.fwhm):
        arcsec = seen.fwhm * alignment.plane.pixel_scale
        shown["fwhm"] = f"{seen.fwhm:.2f} pixels = {arcsec:.3f} arcsec"
    return shown


def _numbers(alignment, row):
    """Return names and values, with units, of what was measured for an exposure."""
    found = [("sources found", str(row["nsources"]))]
    if not row["nmatches"]:
        return found
    fit = alignment.fit
    of_all = f" of {len(fit.used)}" if fit and len(fit.used) else ""
    found.append(("matches used", f"{row['nmatches']}{of_all}"))
    if np.isfinite(row["chance"]):
        found.append(("probability of a match by chance", f"{row['chance']:.2g}"))
    believed = alignment.status is not Status.FAILED
    if believed:
        found += [(name, f"{row[key]:{layout}} \N{PLUS-MINUS SIGN} {row[f'{key}_error']:{layout}} "
                         f"{unit}") for name, (key, layout, unit) in _MEASURED.items()]
    if fit and fit.nmatches:
        before = np.sqrt(((alignment.ref_xy - alignment.image_xy)[fit.used] ** 2).mean(axis=0))
        x, y = before * 1000 * alignment.plane.pixel_scale
        found.append(("rms x, y before", f"{x:.2f}, {y:.2f} mas"))
    if believed:
        found.append(("rms x, y after", f"{row['xrms_mas']:.2f}, {row['yrms_mas']:.2f} mas = "
                                        f"{row['xrms']:.4f}, {row['yrms']:.4f} pixels"))
    return found


def _tried(alignment, row):
    """Return what is known of the searches that led to nothing, one line each."""
    match = alignment.match
    lines = [f"{row['nsources']} sources were found"]
    if match is not None and match.histogram is not None:
        box = match.half_box * alignment.plane.pixel_scale
        lines.append(f"offsets within {match.half_box:.1f} pixels ({box:.2f} arcsec) of the "
                     f"header's: {match.histogram.max():.0f} in the fullest bin, "
                     f"{match.histogram.mean():.2g} on average")
    if row["nmatches"]:
        chance = f"; unrelated sources give as many with probability {row['chance']:.2g}"
        lines.append(f"the best fit, which was refused, has {row['nmatches']} matches, rms "
                     f"{row['xrms_mas']:.1f}, {row['yrms_mas']:.1f} mas"
                     f"{chance if np.isfinite(row['chance']) else ''}")
    return lines


def _figures(alignment, most):
    """Yield the diagrams that there is something to draw in, of so many matches at most."""
    failed = alignment.status is Status.FAILED
    if diagrams.is_drawn(alignment) and not (failed and alignment.nmatches < _FEWEST_MATCHES):
        marks = ": dots are used, crosses rejected"
        if not failed:
            yield _drawn(diagrams.before_after(alignment, most),
                         f"Residuals, reference minus image, before and after{marks}")
        yield _drawn(diagrams.against_position(alignment, most),
                     f"Residuals against position, with running medians{marks}")
        brightness = diagrams.against_brightness(alignment, most)
        if brightness:
            yield _drawn(brightness, f"Residuals against brightness, with running medians{marks}")
        yield _drawn(diagrams.vectors(alignment, most),
                     "Residuals as arrows from image to reference; crosses are rejected")
    if alignment.match is not None and alignment.match.histogram is not None:
        seen = offset_histogram(alignment)
        x, y = seen.offset
        yield _drawn(diagrams.histogram(alignment),
                     f"Histogram of offsets, reference minus image: {seen.what} at {x:+.2f}, "
                     f"{y:+.2f} pixels; pairs in this bin of {seen.bin_size:.3g} pixel: "
                     f"{seen.pairs:.0f}, on average {seen.mean:.2g}; a cross marks zero, "
                     "small circles rivals")


def _drawn(svg, caption):
    return {"svg": svg, "png": "", "caption": caption}


def _picture(png, caption):
    return {"svg": "", "png": _base64(png), "caption": caption}


def _base64(content):
    return base64.b64encode(content).decode("ascii")


def _overlay(alignment, extver, picture, block, *, most):
    """Return the picture of a chip, and the places of its sources, so many of each kind at most."""
    chip, = (chip for chip in alignment.exposure.chips if chip.extver == extver)
    rows, columns = (size // block for size in chip.shape)
    sources = alignment.exposure.sources
    on_chip = sources.chip == extver
    kinds = {"found": on_chip, "matched": np.zeros(len(sources), bool),
             "rejected": np.zeros(len(sources), bool)}
    if alignment.fit is not None:
        kinds["matched"][alignment.rows[alignment.fit.used]] = True
        kinds["rejected"][alignment.rows[~alignment.fit.used]] = True
    brightest = np.argsort(-np.nan_to_num(sources.flux, nan=-np.inf), kind="stable")
    layers = []
    for kind, chosen in kinds.items():
        own = brightest[(chosen & on_chip)[brightest]]
        xy = (sources.xy[own[:most]] - 0.5) / block
        places = " ".join(f"{x:.0f},{rows - y:.0f}" for x, y in xy if np.isfinite(x + y))
        layers.append({"kind": kind, "number": len(own), "places": places})
    return {"extver": extver, "width": columns, "height": rows, "data": _base64(picture),
            "layers": layers, "most": most if any(kind["number"] > most for kind in layers) else 0}
