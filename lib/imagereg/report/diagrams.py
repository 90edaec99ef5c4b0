"""Diagrams for the page of a run, as SVG: small, sharp in print, and drawn without matplotlib.

Numbers come in, markup goes out. It holds no text from a file, so that there is nothing to escape.
All colours are attributes, and a diagram looks the same in a page and as a picture of its own.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from imagereg.alignment import Alignment, Chip
from imagereg.report import offsets, plots, residuals
from imagereg.wcs import Status, TangentPlane, border, pixel_to_sky

_WIDTH = 480  # of a diagram; on a phone's 350 pixels letters are 9 pixels high
_LEFT, _RIGHT, _TOP, _BOTTOM = 59, 8, 22, 38  # room beside a panel for labels
_LETTERS = 12.5
_INK, _GRID, _USED, _REJECTED = "#1d2430", "#c3c9d2", "#1f77b4", "#d62728"
_PEAK, _RIVAL, _NO_PEAK = "#d62728", "#c56a00", "#555555"
_TICKS = 4  # on an axis, about
_MOST_ARROWS = 300  # on the page; more hide each other at its size


@dataclasses.dataclass(frozen=True)
class Panel:
    """Axes at a place of a diagram, which turn positions into markup.

    Parameters
    ----------
    left, top, width, height : float
        Place of the frame in the diagram.
    xlim, ylim : (float, float)
        Values at its edges.
    """

    left: float
    top: float
    width: float
    height: float
    xlim: tuple[float, float]
    ylim: tuple[float, float]

    def places(self, xy: ArrayLike) -> np.ndarray:
        """Return (N, 2) places in the diagram of positions, those beyond the frame at its edge."""
        (x_low, x_high), (y_low, y_high) = self.xlim, self.ylim
        share = (np.asarray(xy, float) - [x_low, y_low]) / [x_high - x_low, y_high - y_low]
        share = np.clip(share, 0, 1)
        corner = np.array([self.left, self.top + self.height])
        return corner + share * [self.width, -self.height]

    def frame(self, *, xlabel: str = "", ylabel: str = "", title: str = "") -> str:
        """Return the frame with ticks, their numbers, and labels; without `xlabel` none of x."""
        right, bottom = self.left + self.width, self.top + self.height
        parts = [f'<path d="M{self.left} {self.top}H{right}V{bottom}H{self.left}Z" fill="none" '
                 f'stroke="{_INK}"/>']
        for value in _ticks(*self.xlim):
            x, _ = self.places([[value, 0]])[0]
            parts.append(f'<path d="M{x:.1f} {bottom}v4" stroke="{_INK}"/>')
            if xlabel:
                parts.append(_text(x, bottom + 15, f"{value:g}"))
        for value in _ticks(*self.ylim):
            _, y = self.places([[0, value]])[0]
            parts.append(f'<path d="M{self.left} {y:.1f}h-4" stroke="{_INK}"/>')
            parts.append(_text(self.left - 6, y + 4, f"{value:g}", anchor="end"))
        x, y = self.left + self.width / 2, self.top + self.height / 2
        parts.append(_text(x, bottom + 31, xlabel))
        parts.append(_text(x, self.top - 7, title))
        parts.append(f'<g transform="translate({self.left - 47} {y}) rotate(-90)">'
                     f"{_text(0, 0, ylabel)}</g>")
        return "".join(parts)

    def zero_lines(self) -> str:
        """Return lines at x = 0 and y = 0, as far as these are inside."""
        x, y = self.places([[0, 0]])[0]
        lines = ""
        if self.xlim[0] < 0 < self.xlim[1]:
            lines += f"M{x:.1f} {self.top}v{self.height}"
        if self.ylim[0] < 0 < self.ylim[1]:
            lines += f"M{self.left} {y:.1f}h{self.width}"
        return f'<path d="{lines}" stroke="{_GRID}"/>'

    def dots(self, xy: np.ndarray, colour: str, size: float = 3.5) -> str:
        """Return a dot at each position."""
        path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in self.places(xy))
        return (f'<path d="{path}" stroke="{colour}" stroke-width="{size}" '
                'stroke-linecap="round" stroke-opacity=".65"/>')

    def crosses(self, xy: np.ndarray, colour: str) -> str:
        """Return a cross at each position."""
        path = "".join(f"M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6" for x, y in self.places(xy))
        return f'<path d="{path}" stroke="{colour}" fill="none"/>'

    def line(self, xy: np.ndarray, colour: str, width: float = 1.0) -> str:
        """Return a line through positions."""
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in self.places(xy))
        return (f'<polyline points="{points}" fill="none" stroke="{colour}" '
                f'stroke-width="{width}"/>')


def before_after(alignment: Alignment, most: int) -> str:
    """Return the residuals in y against those in x, before the run and after it.

    Parameters
    ----------
    alignment : Alignment
        With a fit.
    most : int
        Number of matches to draw; of more, some from the brightest to the faintest.
    """
    fit, _ = plots.fit_of(alignment)
    scale = 1000 * alignment.plane.pixel_scale
    before = (alignment.ref_xy - alignment.image_xy) * scale
    after = fit.residuals * scale if alignment.changes else before
    shown = _some(alignment, most)
    side = (_WIDTH - 2 * (_LEFT + _RIGHT)) / 2
    parts = []
    for place, (title, moved) in enumerate([("before", before), ("after", after)]):
        low, high = residuals.box([moved[fit.used], np.zeros((1, 2))], margin=0.15)
        half = (high - low).max() / 2
        x, y = (low + high) / 2
        panel = Panel(_LEFT + place * (side + _LEFT + _RIGHT), _TOP, side, side,
                      (x - half, x + half), (y - half, y + half))
        rms = np.sqrt((moved[fit.used] ** 2).mean(axis=0))
        parts += [panel.zero_lines(), *_used_and_rejected(panel, moved, fit.used, shown),
                  panel.frame(xlabel="X (mas)", ylabel="Y (mas)",
                              title=f"{title}: rms {rms[0]:.3g}, {rms[1]:.3g} mas")]
    return _svg(_TOP + side + _BOTTOM, parts)


def against_position(alignment: Alignment, most: int) -> str:
    """Return the residuals in x and y against x and y, with running medians.

    Residuals beyond the range of a panel stand at its edge. For the parameters see `before_after`.
    """
    _, xy = plots.fit_of(alignment)
    named = {"X on the plane (pixels)": xy[:, 0], "Y on the plane (pixels)": xy[:, 1]}
    return _residuals(alignment, named, most)


def against_brightness(alignment: Alignment, most: int) -> str:
    """Return the residuals against magnitude and S/N, with running medians.

    It is empty where no matched source has a flux. For the parameters see `before_after`.
    """
    fit, _ = plots.fit_of(alignment)
    flux = alignment.exposure.sources.flux[alignment.rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        named = {"instrumental magnitude": -2.5 * np.log10(flux),
                 "log10 of S/N": np.log10(residuals.signal_to_noise(alignment))}
    known = {name: values for name, values in named.items()
             if np.isfinite(values[fit.used]).any()}
    return _residuals(alignment, known, most) if known else ""


def _residuals(alignment, named, most):
    """Return panels of residuals in x and y, a column for each of the named values."""
    fit, _ = plots.fit_of(alignment)
    scale = 1000 * alignment.plane.pixel_scale
    limit = residuals.residual_range(fit.residuals[fit.used]) * scale
    shown = _some(alignment, most)
    wide = _WIDTH / len(named) - _LEFT - _RIGHT
    tall = 105
    parts = []
    for (column, (name, values)), row in _grid(named, 2):
        known = np.isfinite(values)
        low, high = values[known].min(), values[known].max()
        margin = 0.03 * (high - low) or 0.5
        panel = Panel(_LEFT + column * (wide + _LEFT + _RIGHT), _TOP / 2 + row * (tall + 18),
                      wide, tall, (low - margin, high + margin), (-limit, limit))
        xy = np.column_stack([values, fit.residuals[:, row] * scale])
        trend = residuals.running_median(*xy[fit.used & known].T)
        parts += [panel.zero_lines(),
                  *_used_and_rejected(panel, xy, fit.used, shown & known),
                  panel.line(trend, _INK, 1.6),
                  panel.frame(xlabel=name if row else "", ylabel=f"{'XY'[row]} (mas)")]
    return _svg(_TOP / 2 + 2 * tall + 18 + _BOTTOM, parts)


def _grid(named, n_rows):
    for column in enumerate(named.items()):
        for row in range(n_rows):
            yield column, row


def vectors(alignment: Alignment, most: int) -> str:
    """Return the residuals of used matches as arrows over the outlines of the chips, with a scale.

    For the parameters see `before_after`.
    """
    fit, xy = plots.fit_of(alignment)
    scale = 1000 * alignment.plane.pixel_scale
    outlines = [plots.chip_outline(chip, fit, alignment.plane) for chip in alignment.exposure.chips]
    drawn = np.flatnonzero(fit.used & _some(alignment, min(most, _MOST_ARROWS)))
    low, high = residuals.box([xy, *outlines])
    enlargement, key = residuals.arrow_scale(fit.residuals[drawn], (high - low).max())
    tips = xy[drawn] + fit.residuals[drawn] * enlargement
    low, high = residuals.box([xy, *outlines, tips], margin=0.04, flattest=0.4)
    wide = _WIDTH - _LEFT - _RIGHT
    tall = wide * (high - low)[1] / (high - low)[0]
    panel = Panel(_LEFT, _TOP, wide, tall, (low[0], high[0]), (low[1], high[1]))
    arrows = "".join(f"M{x:.1f} {y:.1f}L{x_tip:.1f} {y_tip:.1f}" for (x, y), (x_tip, y_tip)
                     in zip(panel.places(xy[drawn]), panel.places(tips), strict=True))
    length = key * enlargement * wide / (high - low)[0]
    parts = [*(panel.line(outline, _GRID) for outline in outlines),
             panel.dots(xy[drawn], _USED, 3),
             f'<path d="{arrows}" stroke="{_USED}" stroke-width="1.2"/>',
             panel.crosses(xy[~fit.used & _some(alignment, most)], _REJECTED),
             panel.frame(xlabel="X on the plane (pixels)", ylabel="Y on the plane (pixels)"),
             f'<path d="M{_LEFT} 12h{length:.1f}" stroke="{_USED}" stroke-width="2"/>',
             _text(_LEFT + length + 6, 16, f"{key:.3g} pixels = {key * scale:.3g} mas",
                   anchor="start")]
    return _svg(_TOP + tall + _BOTTOM, parts)


def histogram(alignment: Alignment) -> str:
    """Return the two-dimensional histogram of offsets, all of it and around its peak.

    Circles mark the peak and its rivals, a cross the offset zero.
    """
    seen = offsets.offset_histogram(alignment)
    colour = _NO_PEAK if seen.failed else _PEAK
    side = _WIDTH / len(seen.views) - _LEFT - _RIGHT
    side = min(side, 300)
    parts = []
    for place, (title, counts, extent, limits) in enumerate(seen.views):
        panel = Panel(_LEFT + place * (side + _LEFT + _RIGHT), _TOP, side, side,
                      tuple(limits[0]), tuple(limits[1]))
        parts.append(_bins(panel, counts, extent, seen.highest))
        x, y = panel.places([[0, 0]])[0]
        parts.append(f'<path d="M{x - 7:.1f} {y:.1f}h14m-7-7v14" stroke="{_RIVAL}"/>')
        marks = [(seen.offset, 11, colour), *((rival, 7, _RIVAL) for rival in seen.rivals)]
        for offset, radius, own in marks:
            if offsets.is_inside(offset, limits):
                x, y = panel.places([offset])[0]
                dashes = ' stroke-dasharray="4 2"' if own == _NO_PEAK else ""
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="none" '
                             f'stroke="{own}" stroke-width="1.5"{dashes}/>')
        parts.append(panel.frame(xlabel="X offset (pixels)", ylabel="Y offset (pixels)",
                                 title=title))
    return _svg(_TOP + side + _BOTTOM, parts)


def _bins(panel, counts, extent, highest):
    """Return the bins of a histogram as a picture that a browser enlarges dot by dot."""
    from matplotlib.image import imsave

    out = io.BytesIO()
    shades = 1 - np.cbrt(counts / max(highest, 1))  # a few pairs are seen beside the peak
    imsave(out, shades, cmap="gray", vmin=0, vmax=1, format="png", origin="lower",
           pil_kwargs={"optimize": True})
    left, right, low, high = extent
    width, height = panel.xlim[1] - panel.xlim[0], panel.ylim[1] - panel.ylim[0]
    x = panel.left + (left - panel.xlim[0]) / width * panel.width
    y = panel.top + (panel.ylim[1] - high) / height * panel.height
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return (f'<svg x="{panel.left}" y="{panel.top}" width="{panel.width}" '
            f'height="{panel.height}" viewBox="{panel.left} {panel.top} {panel.width} '
            f'{panel.height}"><image x="{x:.2f}" y="{y:.2f}" '
            f'width="{(right - left) / width * panel.width:.2f}" '
            f'height="{(high - low) / height * panel.height:.2f}" preserveAspectRatio="none" '
            f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/></svg>')


def _some(alignment, most):
    """Return which matches to draw (M,), all or some of every brightness."""
    n = len(alignment.rows)
    flux = alignment.exposure.sources.flux[alignment.rows]
    order = np.argsort(-np.nan_to_num(flux, nan=-np.inf), kind="stable")
    drawn = np.zeros(n, bool)
    drawn[order[:: max(1, -(-n // most))]] = True
    return drawn


def _used_and_rejected(panel: Panel, xy, used, shown) -> Iterable[str]:
    return panel.dots(xy[used & shown], _USED), panel.crosses(xy[~used & shown], _REJECTED)


def _ticks(low, high):
    """Return round values between two others."""
    steps = 10.0 ** np.floor(np.log10((high - low) / _TICKS)) * np.array([1, 2, 5, 10])
    step = steps[np.abs((high - low) / steps - _TICKS).argmin()]
    return np.round(np.arange(np.ceil(low / step), high / step + 1e-9) * step, 10) + 0.0


def _text(x, y, text, anchor="middle"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>' if text else ""


def _svg(height: float, parts: Sequence[str]) -> str:
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
            f'font-family="system-ui, sans-serif" font-size="{_LETTERS}" fill="{_INK}">'
            f"{''.join(parts)}</svg>")


def is_drawn(alignment: Alignment) -> bool:
    """Whether there are matches whose residuals can be drawn."""
    return bool(alignment.nmatches) and alignment.status is not Status.REFERENCE


def footprints(alignments: Sequence[Alignment], plane: TangentPlane) -> list[dict]:
    """Return the outlines of all exposures for a map of the sky, north up and east to the left.

    Returns
    -------
    list of dict
        `name`, `status`, and `polygons`: for each chip the corners (N, 2), arcsec west and south
        of the plane's centre, as a map in SVG counts them.
    """
    found = []
    for alignment in alignments:
        chips = alignment.exposure.chips
        if alignment.changes:
            chips = alignment.corrected_chips()
        found.append({"name": alignment.name, "status": alignment.status.value,
                      "polygons": polygons(chips, plane)})
    return found


def polygons(chips: Sequence[Chip], plane: TangentPlane) -> list[np.ndarray]:
    """Return the outline of each chip as `footprints` does."""
    centre = plane.plane_to_sky(plane.centre[None])[0]
    outlines = []
    for chip in chips:
        sky = pixel_to_sky(chip.wcs, border(chip.shape, steps=4))
        east = (sky[:, 0] - centre[0] + 180) % 360 - 180
        east *= np.cos(np.deg2rad(centre[1]))
        outlines.append(-3600 * np.column_stack([east, sky[:, 1] - centre[1]]))
    return outlines
