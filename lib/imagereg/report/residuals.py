"""Residuals drawn into a panel: those used and rejected, their running median and distribution."""

from __future__ import annotations

import typing
from collections.abc import Sequence

import numpy as np

from imagereg.alignment import Alignment

if typing.TYPE_CHECKING:
    from matplotlib.axes import Axes

USED, REJECTED = "tab:blue", "tab:red"
_TREND = "black"
_SMALLEST = 1e-3  # pixels; the scale of a plot of residuals does not go below it
_TREND_PARTS = 10  # of the matches, in order of position, one is in each running median
_FEWEST_FOR_TREND = 30  # matches; of fewer the line would follow single ones
_FEWEST_IN_PART = 15  # whose median has a third of the scatter of one


def draw_residuals(panel: Axes, positions: np.ndarray, residuals: np.ndarray, *,
                   used: np.ndarray, limit: float, snr: np.ndarray) -> dict:
    """Draw the residuals of one axis, those beyond the limit at the edge; darker for a high S/N.

    Returns {text: mark} for the legend.
    """
    panel.axhline(0, color="0.5", linewidth=0.8, zorder=1)
    handles = {}
    size = float(np.clip(80 / np.sqrt(len(residuals)), 1.6, 4.5))
    dot = {"marker": "o", "color": USED, "markeredgewidth": 0, "alpha": 0.8, "markersize": size}
    cross = {"marker": "x", "color": REJECTED, "markersize": max(size, 4)}
    shaded = used & np.isfinite(snr) & (np.abs(residuals) <= limit)
    kinds: list[tuple[np.ndarray, str, dict]] = [(used, "used", dot), (~used, "rejected", cross)]
    for chosen, name, style in kinds:
        if not chosen.any():
            continue
        within = chosen & (np.abs(residuals) <= limit)
        mark, = panel.plot(positions[within], residuals[within], linestyle="none", **style)
        handles[f"{name} ({chosen.sum()})"] = mark
        for end, triangle in ((limit, "^"), (-limit, "v")):
            beyond = positions[chosen & (residuals * np.sign(end) > limit)]
            if beyond.size:
                panel.plot(beyond, np.full(beyond.size, end), triangle, color=style["color"],
                           markersize=5, markeredgewidth=0, clip_on=False)
    if shaded.any():
        colours = _shades(snr[shaded])
        panel.scatter(positions[shaded], residuals[shaded], s=size**2, c=colours, linewidths=0,
                      zorder=2.5)
    trend = running_median(positions[used], residuals[used])
    if len(trend):
        line, = panel.plot(*trend.T, color=_TREND, linewidth=1.2, zorder=3)
        handles["running median"] = line
    return handles


def draw_distribution(panel: Axes, residuals: np.ndarray, limit: float) -> None:
    """Draw how many used residuals there are, along the axis of the panels beside it."""
    within = residuals[np.abs(residuals) <= limit]
    bins = list(np.linspace(-limit, limit, 31))
    panel.hist(within, bins=bins, orientation="horizontal", color=USED, alpha=0.6)
    panel.axhline(0, color="0.5", linewidth=0.8)
    panel.set_ylim(-limit, limit)
    panel.tick_params(labelleft=False, labelbottom=False, bottom=False)


def signal_to_noise(alignment: Alignment) -> np.ndarray:
    """Return (M,) flux over its error of the matched sources, NaN where it is not known."""
    sources = alignment.exposure.sources[alignment.rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = sources.flux / sources.flux_error
    return np.where(snr > 0, snr, np.nan)


def _shades(snr: np.ndarray) -> np.ndarray:
    """Return a shade of blue for each S/N, (N, 4): light for the faintest."""
    from matplotlib import colormaps

    rank = np.argsort(np.argsort(snr)) / max(len(snr) - 1, 1)
    return colormaps["Blues"](0.35 + 0.65 * rank)


def running_median(positions: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Return (K, 2) medians of positions and residuals, in parts that overlap by half."""
    n = len(positions)
    if n < _FEWEST_FOR_TREND:
        return np.empty((0, 2))
    order = np.argsort(positions)
    width = max(n // _TREND_PARTS, _FEWEST_IN_PART)
    parts = [order[first:first + width] for first in range(0, n - width + 1, max(width // 2, 1))]
    return np.array([(np.median(positions[part]), np.median(residuals[part])) for part in parts])


def residual_range(residuals: np.ndarray) -> float:
    """Return half the height of a plot of all residuals but a few far off the rest, pixels."""
    size = np.abs(residuals)
    largest = size.max()
    typical = 1.4826 * np.median(size, axis=0).max()  # one sigma of a normal distribution
    if typical > 0:
        largest = min(largest, 6 * typical)
    return round_up(max(1.08 * largest, _SMALLEST))


def round_up(value: float) -> float:
    """Return the least of 1, 1.2, 1.5, 2, ... times a power of ten that is not below a value."""
    round_numbers = np.array([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12])
    steps = 10.0 ** np.floor(np.log10(value)) * round_numbers
    return float(steps[steps >= value][0])


def box(parts: Sequence[np.ndarray], *, margin: float = 0.0,
        flattest: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper corner of a box around positions.

    It is a pixel wide at least, leaves a margin (a part of its size), and its sides have at least
    the ratio `flattest`.
    """
    every = np.concatenate(parts)
    low, high = every.min(axis=0), every.max(axis=0)
    size = np.maximum((1 + 2 * margin) * (high - low), 1)
    size = np.maximum(size, flattest * size.max())
    return (low + high - size) / 2, (low + high + size) / 2


def arrow_scale(residuals: np.ndarray, field: float) -> tuple[float, float]:
    """Return the enlargement of residuals for a field, and the length of a key arrow, pixels."""
    length = np.maximum(np.hypot(*residuals.T), _SMALLEST)
    longest = length.max()
    typical = max(np.percentile(length, 80), 1e-3 * longest)
    wanted = field * min(0.06, 1 / np.sqrt(len(residuals)))
    enlargement = min(wanted / typical, 0.2 * field / longest)
    steps = 10.0 ** np.floor(np.log10(typical)) * np.array([1, 2, 5])
    return enlargement, float(steps[steps <= typical * (1 + 1e-9)][-1])  # but for rounding
