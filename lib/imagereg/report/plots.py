"""Plots of an alignment, as PNG images in memory.

Nothing here touches pyplot, a backend or the disk, so plots can be made in any thread and leave
the user's matplotlib as it is. All letters are `labelsize` points high, at least 4 and at most 24;
the picture grows with them.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import textwrap
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from imagereg.alignment import Alignment
from imagereg.report.offsets import is_inside, offset_histogram
from imagereg.report.residuals import (
    REJECTED,
    USED,
    arrow_scale,
    box,
    draw_distribution,
    draw_residuals,
    residual_range,
    signal_to_noise,
)
from imagereg.wcs import Status, border, orientation, pixel_to_sky

if typing.TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import PowerNorm

_DPI = 120
_SMALLEST_LABEL = 4  # points; the smallest that can be read
_LARGEST_LABEL = 24  # points; the largest that pages are laid out for
_LETTERS_PER_HEIGHT = 1.5  # this many letters side by side are as wide as one is high, at least
_LINE = 1.35  # height of a line of text, in heights of its letters
_MOST_ARROWS = 900  # more hide each other
_PEAK, _RIVAL, _NO_PEAK = "tab:red", "tab:orange", "0.35"


def histogram_png(alignment: Alignment, *, labelsize: float) -> bytes:
    """Plot the two-dimensional histogram of offsets, with its peak marked, as a PNG image.

    Where the image is not aligned, the highest bin is marked as not believed, or as no peak where
    others are half as high. Rings mark other peaks of
    half its height and more, a cross the offset zero, where the headers have the image.

    An offset is what is to be added to a position in the image to come to that of its partner in
    the reference; the dx and dy of a shiftfile lead the other way.

    Parameters
    ----------
    alignment : Alignment
        With a match that came from a histogram.
    labelsize : float
        Size of the letters, points.

    Raises
    ------
    ValueError
        There is no histogram: use2dhist is off, or the image was never matched.
    """
    return _histogram_page(alignment, labelsize).png()


def residuals_png(alignment: Alignment, *, labelsize: float,
                  ylimit: float | None = None) -> bytes:
    """Plot the residuals in x and in y against x and against y, as a PNG image.

    Residuals beyond the range of the plot stand as triangles at its edge.

    Parameters
    ----------
    alignment : Alignment
        With a fit.
    labelsize : float
        Size of the letters, points.
    ylimit : float, optional
        Half the height of the plots, pixels of the plane; where not given, what the used matches
        need.

    Raises
    ------
    ValueError
        There is no fit, or `ylimit` is not above 0.
    """
    return _residuals_page(alignment, ylimit, labelsize).png()


def vector_png(alignment: Alignment, *, labelsize: float) -> bytes:
    """Plot the residuals of the used matches as arrows over the outlines of the chips, as a PNG.

    Of more than 900 matches, those with the brightest source in each cell of a 30 by 30 grid are
    drawn.

    Parameters
    ----------
    alignment : Alignment
        With a fit.
    labelsize : float
        Size of the letters, points.

    Raises
    ------
    ValueError
        There is no fit.
    """
    return _vector_page(alignment, labelsize).png()


def _import_matplotlib() -> None:
    """Import matplotlib without ``./matplotlibrc``, which it would read before all other settings.

    Nothing of the working directory is read that the user has not named.
    """
    if "matplotlib" in sys.modules or not os.path.exists("matplotlibrc"):
        return
    here = os.open(os.curdir, os.O_RDONLY)
    try:
        os.chdir(os.path.dirname(os.path.abspath(__file__)))
        importlib.import_module("matplotlib")
    finally:
        os.fchdir(here)
        os.close(here)


class _Page:
    """A figure with a title above an area that is laid out in inches.

    Matplotlib's own layout engines take as long as all the rest and give up where letters are
    large. `letters` is their height in points, `size` the width and height of the area below the
    title in inches; the title has the name of the image, why it failed, and below it the `lines`.
    """

    def __init__(self, alignment: Alignment, letters: float, size: tuple[float, float],
                 lines: Sequence[str]) -> None:
        _import_matplotlib()
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.letters = letters
        em = letters / 72
        lines = [alignment.name, *lines]
        if alignment.status is Status.FAILED:
            lines[0] += " (not aligned)"
            lines.insert(1, alignment.reason)
        columns = int(size[0] / em * _LETTERS_PER_HEIGHT)
        title = [part for line in lines for part in textwrap.wrap(line, columns)]
        self._inches = np.array([size[0], size[1] + (len(title) + 0.5) * _LINE * em])
        no_layout: typing.Any = "none"  # matplotlib's type hints do not know it
        self.figure = Figure(figsize=(size[0], self._inches[1]), dpi=_DPI, layout=no_layout)
        self._canvas = FigureCanvasAgg(self.figure)
        #: Axes and positions of all matches in them, for `match_places`.
        self.matches: list[tuple[Axes, np.ndarray]] = []
        self.figure.text(0.5, 1 - 0.5 * em / self._inches[1], "\n".join(title), ha="center",
                         va="top", fontsize=letters, linespacing=_LINE, parse_math=False)

    def panel(self, place: Sequence[float], *, xlabel: str = "", ylabel: str = "") -> Axes:
        """Add axes at a place: left, bottom, width and height, inches."""
        left, bottom, width, height = np.ravel(np.reshape(place, (2, 2)) / self._inches)
        panel = self.figure.add_axes((left, bottom, width, height))
        panel.tick_params(labelsize=self.letters)
        panel.set_xlabel(xlabel, fontsize=self.letters)
        panel.set_ylabel(ylabel, fontsize=self.letters)
        return panel

    def legend(self, handles: Mapping) -> None:
        """Explain marks, {text: artist}, in a row along the lower edge."""
        self.figure.legend(handles.values(), handles.keys(), loc="lower center",
                           ncols=len(handles), frameon=False, fontsize=self.letters,
                           borderaxespad=0.2)

    def png(self) -> bytes:
        """Return the PNG image, without LaTeX even where the user's settings ask for it."""
        from matplotlib import rcParams
        from matplotlib.text import Text

        if rcParams["text.usetex"]:
            for text in self.figure.findobj(Text):
                text.set_usetex(False)
        buffer = io.BytesIO()
        self._canvas.print_png(buffer)
        return buffer.getvalue()


def match_places(alignment: Alignment, kind: str, *, labelsize: float,
                 ylimit: float | None = None) -> np.ndarray:
    """Return where the matches stand in a plot, for who clicks them.

    Parameters
    ----------
    alignment : Alignment
        With a fit.
    kind : {'residuals', 'vector'}
        The plot.
    labelsize, ylimit : float
        As it was drawn with.

    Returns
    -------
    (K, 3) ndarray
        Place in the PNG, pixels from its upper left corner, and number of the match; each match as
        often as the plot has it.
    """
    if kind == "vector":
        page = _vector_page(alignment, labelsize)
    else:
        page = _residuals_page(alignment, ylimit, labelsize)
    height = page.figure.bbox.height
    places = []
    for panel, xy in page.matches:
        x, y = panel.transData.transform(xy).T
        places.append(np.column_stack([x, height - y, np.arange(len(xy))]))
    return np.concatenate(places)


def pixels(png: bytes) -> np.ndarray:
    """Return a PNG image as (rows, columns, 3) numbers from 0 to 1."""
    from matplotlib.image import imread

    return imread(io.BytesIO(png), format="png")[..., :3]


def _room(labelsize: float) -> tuple[float, float, np.ndarray]:
    """Return the height of letters in points and in inches, and the room beside axes, inches.

    The room is that left of axes and that below.
    """
    letters = float(np.clip(labelsize, _SMALLEST_LABEL, _LARGEST_LABEL))
    em = letters / 72
    return letters, em, np.array([0.2 + 6 * em, 0.2 + 2.7 * em])


def _histogram_page(alignment: Alignment, labelsize: float) -> _Page:
    seen = offset_histogram(alignment)
    offset = seen.offset
    number = f"{seen.pairs:.0f} pairs"
    peak = f"({offset[0]:+.2f}, {offset[1]:+.2f})"
    letters, em, (left, bottom) = _room(labelsize)
    side = max(4.6 if len(seen.views) > 1 else 5.2, 24 * em)
    bar_left = len(seen.views) * (left + side) + 1.5 * em
    lines = ["offset = reference minus image: what to add to a position in the image to reach its "
             "partner",
             f"{seen.what} at {peak} pixels: {number} in its bin of {seen.bin_size:.3g} pixel; "
             f"mean of all bins {seen.mean:.2g}"]
    size = bar_left + 0.4 + 5.5 * em, bottom + side + 0.1 + 1.5 * em
    page = _Page(alignment, letters, size, lines)
    norm = _cube_root(max(seen.highest, 1))
    for place_number, (title, counts, extent, limits) in enumerate(seen.views):
        place = left + place_number * (side + left), bottom, side, side
        panel = page.panel(place, xlabel="X offset (pixels)", ylabel="Y offset (pixels)")
        picture = panel.imshow(counts, norm=norm, cmap="bone_r", extent=extent, origin="lower",
                               interpolation="nearest")
        panel.set_title(title, fontsize=letters)
        panel.plot(0, 0, marker="+", markersize=14, color=_RIVAL, markeredgewidth=1.2,
                   zorder=5)  # above what is written beside the peak
        panel.set(xlim=limits[0], ylim=limits[1])
        _circle(panel, offset, _NO_PEAK if seen.failed else _PEAK)
        for rival in seen.rivals:
            if is_inside(rival, limits):
                _circle(panel, rival, _RIVAL, size=14)
    word = ("no peak: " if seen.rivals else "not believed: ") if seen.failed else ""
    text = f"{word}{number}\n{peak}"
    _write_beside(panel, offset, text, letters=letters,
                  colour=_NO_PEAK if seen.failed else _PEAK)
    bar = page.figure.colorbar(picture, cax=page.panel((bar_left, bottom, 0.2, side)))
    bar.set_label("pairs in a bin (cube-root scale)", fontsize=letters)
    return page


def _cube_root(largest: float) -> PowerNorm:
    """Return a scale of colours on which a few pairs are seen beside the peak."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(1 / 3, vmin=0, vmax=largest)


def _circle(panel: Axes, place: np.ndarray, colour: str, size: float = 22) -> None:
    """Draw a circle around a place, with a white border; broken where it is no peak."""
    style = (0, (3, 2)) if colour == _NO_PEAK else "-"
    for border_colour, width in (("white", 3), (colour, 1.5)):
        panel.scatter(place[0], place[1], s=size**2, facecolors="none", edgecolors=border_colour,
                      linewidths=width, linestyles=[style])


def _write_beside(panel: Axes, place: np.ndarray, text: str, *, letters: float,
                  colour: str) -> None:
    """Write beside a place, on the side where there is room."""
    middle = np.mean([panel.get_xlim(), panel.get_ylim()], axis=1)
    x, y = np.where(place > middle, -1, 1)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.9, "pad": 2}
    panel.annotate(text, (place[0], place[1]), (15 * x, 15 * y), textcoords="offset points",
                   fontsize=letters, color=colour, ha="left" if x > 0 else "right",
                   va="bottom" if y > 0 else "top", bbox=box)


def _residuals_page(alignment: Alignment, ylimit: float | None, labelsize: float) -> _Page:
    fit, xy = fit_of(alignment)
    if ylimit is not None and not ylimit > 0:
        raise ValueError(f"ylimit is {ylimit}, expected more than 0 pixels")
    scale = alignment.plane.pixel_scale * 1000
    limit = residual_range(fit.residuals[fit.used]) if ylimit is None else ylimit
    letters, em, (left, bottom) = _room(labelsize)
    bottom += 2 * em
    wide, tall = max(2.9, 20 * em), max(2.3, 15 * em)
    margin = 0.25 * wide  # of the histogram beside the panels of a row
    right = 2 * left + 2 * wide + 2.5 * em
    size = right + margin + 1.5 * em, bottom + 2 * tall + 3 * em
    snr = signal_to_noise(alignment)
    numbers = f"{fit.nmatches} of {len(fit.used)} matches used"
    page = _Page(alignment, letters, size, [
        f"residual = reference minus fitted image; {numbers}", _rms_text(fit, scale)])
    low, high = box([xy], margin=0.03)
    for row, column in np.ndindex(2, 2):
        factor, unit = ((1, "pixels"), (scale, "mas"))[column]
        x, y = left + column * (wide + 2.5 * em), bottom + (1 - row) * (tall + 2 * em)
        panel = page.panel((x, y, wide, tall), ylabel=f"residual in {'XY'[row]} ({unit})",
                           xlabel=f"{'XY'[column]} on the plane (pixels)" if row == 1 else "")
        handles = draw_residuals(panel, xy[:, column], fit.residuals[:, row] * factor,
                                  used=fit.used, limit=limit * factor, snr=snr)
        panel.set(xlim=(low[column], high[column]), ylim=(-limit * factor, limit * factor))
        seen = np.clip(fit.residuals[:, row], -limit, limit) * factor
        page.matches.append((panel, np.column_stack([xy[:, column], seen])))
        panel.tick_params(labelbottom=row == 1)
        if column == 1:
            panel.yaxis.tick_right()
            panel.yaxis.set_label_position("right")
            beside = page.panel((right, y, margin, tall))
            draw_distribution(beside, fit.residuals[fit.used, row] * factor, limit * factor)
    page.legend(handles | _beyond(panel, fit, limit))
    return page


def _beyond(panel: Axes, fit, limit: float) -> dict:
    """Return {text: mark} of the legend for matches beyond the limit, where there are any."""
    number = (np.abs(fit.residuals) > limit).any(axis=1).sum()
    if not number:
        return {}
    mark, = panel.plot([], [], "^", color="0.5", markersize=5)
    return {f"beyond the range ({number})": mark}


def _vector_page(alignment: Alignment, labelsize: float) -> _Page:
    fit, xy = fit_of(alignment)
    scale = alignment.plane.pixel_scale * 1000
    outlines = [chip_outline(chip, fit, alignment.plane) for chip in alignment.exposure.chips]
    drawn = np.flatnonzero(fit.used)
    flux = alignment.exposure.sources.flux[alignment.rows[drawn]]
    drawn = drawn[_brightest_of_cells(xy[drawn], flux)]
    low, high = box([xy, *outlines])
    enlargement, key = arrow_scale(fit.residuals[drawn], (high - low).max())
    arrows = fit.residuals[drawn] * enlargement
    low, high = box([xy, *outlines, xy[drawn] + arrows], margin=0.03, flattest=0.4)
    letters, em, (left, bottom) = _room(labelsize)
    if not fit.used.all():
        bottom += 2 * em
    wide, tall = max(6.4, 30 * em) * (high - low) / (high - low).max()
    numbers = f"{len(drawn)} of {fit.nmatches} used matches"
    angle = orientation(alignment.plane.wcs) % 360
    page = _Page(alignment, letters, (left + wide + 2 * em, bottom + tall + 2.5 * em), [
        f"arrows from the fitted image to the reference for {numbers}", _rms_text(fit, scale),
        f"y axis at position angle {angle:.2f} degrees"])
    panel = page.panel((left, bottom, wide, tall), xlabel="X on the plane (pixels)",
                       ylabel="Y on the plane (pixels)")
    panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    page.matches.append((panel, xy))
    for outline in outlines:
        panel.plot(*outline.T, color="0.6", linewidth=0.8, zorder=1)
    panel.plot(*xy[drawn].T, ".", color=USED, markersize=2)
    quiver = panel.quiver(*xy[drawn].T, *arrows.T, angles="xy", scale_units="xy", scale=1,
                          units="inches", width=0.01, color=USED)
    tip = key * enlargement / (high - low)[0], 1 + em / tall
    panel.quiverkey(quiver, *tip, key * enlargement, "", labelpos="E")
    panel.annotate(f"{key:.3g} pixels = {key * scale:.3g} mas", tip, (6, 0), va="center",
                   xycoords="axes fraction", textcoords="offset points", fontsize=letters)
    if not fit.used.all():
        rejected, = panel.plot(*xy[~fit.used].T, "x", color=REJECTED, markersize=4)
        page.legend({f"rejected, drawn without arrow ({(~fit.used).sum()})": rejected})
    return page


def fit_of(alignment: Alignment) -> tuple[typing.Any, np.ndarray]:
    """Return the fit, and where it puts the matched sources of the image, (N, 2) on the plane.

    ValueError where there is no fit.
    """
    if alignment.fit is None:
        raise ValueError(f"{alignment.name} has no fit to plot residuals of")
    return alignment.fit, alignment.fit(alignment.image_xy)


def _rms_text(fit, scale: float) -> str:
    x, y = fit.rms
    return f"rms X {x:.4f}, Y {y:.4f} pixels = {x * scale:.2f}, {y * scale:.2f} mas"


def chip_outline(chip, fit, plane) -> np.ndarray:
    """Return the border of a chip on the plane after the fit, closed, (N, 2)."""
    sky = pixel_to_sky(chip.wcs, border(chip.shape))
    xy = fit(plane.sky_to_plane(sky))
    return np.concatenate([xy, xy[:1]])


def _brightest_of_cells(xy: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Return indices of all sources or, if too many, of the brightest in each cell of a grid."""
    if len(xy) <= _MOST_ARROWS:
        return np.arange(len(xy))
    side = int(np.sqrt(_MOST_ARROWS))
    low, high = box([xy])
    column, row = np.minimum((xy - low) / (high - low) * side, side - 1).astype(int).T
    cell = row * side + column
    order = np.lexsort((-np.nan_to_num(flux, nan=-np.inf), cell))
    return np.sort(order[np.unique(cell[order], return_index=True)[1]])
