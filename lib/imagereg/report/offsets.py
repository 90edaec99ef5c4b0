"""The histogram of offsets of an image, as plots and the page show it: peak, rivals, views."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence

import numpy as np

from imagereg.alignment import Alignment
from imagereg.wcs import Status

_ZOOM_FROM = 82  # bins a side of a histogram from which its peak gets a panel: bins of 7 dots
_ZOOM = 31  # bins a side of that panel
_MOST_BLOCKS = 128  # a side, of the panel for the whole histogram
_MOST_RIVALS = 3  # peaks beside the highest that are marked
_RIVAL_SHARE = 0.5  # of the pairs of the highest peak that a rival has at least
_PEAK_BINS = 3  # bins to either side that belong to a peak


@dataclasses.dataclass(frozen=True)
class OffsetHistogram:
    """What there is to see in the histogram of offsets of an image.

    Parameters
    ----------
    offset : (2,) ndarray
        The peak, or, where the image is not aligned, the highest bin, pixels.
    failed : bool
        Whether the image is not aligned.
    pairs, highest, mean : float
        Pairs in the bin of the offset, in the highest bin, and in a bin on average.
    bin_size : float
        Side of a bin, pixels.
    rivals : tuple of (2,) ndarray
        Other peaks that are half as high or more.
    views : list of tuple
        Title, counts, their extent, and the ranges of x and y, of the whole and of a part.
    """

    offset: np.ndarray
    failed: bool
    pairs: float
    highest: float
    mean: float
    bin_size: float
    rivals: tuple[np.ndarray, ...]
    views: list[tuple]

    @property
    def what(self) -> str:
        """What the offset is: a peak, one that was refused, or no more than the highest bin."""
        if not self.failed:
            return "peak"
        return "no peak; the highest bin" if self.rivals else "peak, not believed,"


def offset_histogram(alignment: Alignment) -> OffsetHistogram:
    """Return what there is to see in the histogram of offsets; ValueError where there is none."""
    if alignment.match is None or alignment.match.histogram is None:
        raise ValueError(f"{alignment.name} has no histogram of offsets to plot")
    match: typing.Any = alignment.match
    histogram, edges = match.histogram, match.edges
    failed = alignment.status is Status.FAILED
    peaks = _highest_bins(histogram, edges)
    offset = peaks[0] if failed else match.offset
    row, column = _bin_of(offset, edges)
    rivals = [place for place in peaks if np.abs(place - offset).max() > _PEAK_BINS]
    return OffsetHistogram(offset, failed, histogram[row, column], histogram.max(),
                           histogram.mean(), edges[0][1] - edges[0][0],
                           tuple(rivals[:_MOST_RIVALS]), _views(histogram, edges, row, column))


def is_inside(place: np.ndarray, limits: Sequence[Sequence[float]]) -> bool:
    """Whether a place is between the ends of the ranges of x and y."""
    (x_low, x_high), (y_low, y_high) = limits
    return bool(x_low < place[0] < x_high and y_low < place[1] < y_high)


def _bin_of(offset: np.ndarray, edges: np.ndarray) -> tuple[int, int]:
    """Return row and column of the bin in which an offset lies, or that is nearest to it."""
    bins = []
    for edge, at in zip(edges, offset, strict=True):
        after = np.searchsorted(edge, at, side="right")
        bins.append(int(np.clip(after - 1, 0, len(edge) - 2)))
    column, row = bins
    return row, column


def _views(histogram: np.ndarray, edges: np.ndarray, row: int, column: int) -> list[tuple]:
    """Return the views of a histogram to show: title, counts, their extent, ranges of x and y.

    Of a thousand bins a side each would be less than a dot. So the whole of a large histogram is
    shown by the largest of each block of bins, and the surroundings of the peak bin by bin in a
    second view.
    """
    n = len(histogram)
    block = -(-n // _MOST_BLOCKS)
    blocks = -(-n // block)
    padded = np.pad(histogram, (0, blocks * block - n))
    counts = padded.reshape(blocks, block, blocks, block).max(axis=(1, 3))
    (left, low), side = edges[:, 0], blocks * block * (edges[:, 1] - edges[:, 0])
    title = "all offsets"
    if block > 1:
        title += f"; each dot is the largest of {block} by {block} bins"
    extent = left, left + side[0], low, low + side[1]
    views = [(title, counts, extent, edges[:, [0, -1]])]
    if n >= _ZOOM_FROM:
        first = np.clip(np.array([column, row]) - _ZOOM // 2, 0, n - _ZOOM)
        last = first + _ZOOM
        box = np.column_stack([edges[[0, 1], first], edges[[0, 1], last]])
        counts = histogram[first[1]:last[1], first[0]:last[0]]
        views.append(("around the peak", counts, tuple(box.ravel()), box))
    return views


def _highest_bins(histogram: np.ndarray, edges: np.ndarray) -> list[np.ndarray]:
    """Return the offset of the highest bin, and of others apart from it that are rivals to it."""
    left = histogram.copy()
    highest = histogram.max()
    places: list[np.ndarray] = []
    while len(places) <= _MOST_RIVALS:
        row, column = np.unravel_index(np.argmax(left), left.shape)
        if places and (left[row, column] < _RIVAL_SHARE * highest or highest == 0):
            break
        places.append(np.array([edges[0][column:column + 2].mean(),
                                edges[1][row:row + 2].mean()]))
        rows = slice(max(row - _PEAK_BINS, 0), row + _PEAK_BINS + 1)
        columns = slice(max(column - _PEAK_BINS, 0), column + _PEAK_BINS + 1)
        left[rows, columns] = -1
    return places
