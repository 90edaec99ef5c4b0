"""Match two source lists by an offset: find it, then pair mutual nearest neighbours.

The offset between the lists is where their differences pile up in a two-dimensional histogram. Only
pairs within the search box are ever formed, in portions, so that memory follows the number of such
pairs in a portion and not the product of the lengths.

A matcher is a callable ``(image, reference) -> candidates``, two `PointSet` and an iterator of
`Candidate`. `match_offsets` and `match_given_offset` are here, `match_patterns` is in `pattern`;
each has its settings as keywords.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from imagereg.errors import NotEnoughMatches, NotEnoughSources

_PAIRS_AT_ONCE = 2_000_000  # in a portion: some 100 MB; see tests/bench/match_speed.py
_MOST_PAIRS = 5_000_000  # in a histogram; a peak stands out long before, the rest is thinned out
_N_THINNING = 1000  # sources from which the number of pairs is estimated
_MOST_PEAKS = 6  # of a histogram; lower ones are chance in practice
_PEAK_REACH = 2  # bins to either side of a peak that belong to it
_BINS_ACROSS = 1.5  # radius around a peak in which differences are averaged
_MANY_SOURCES = 100_000  # for which starting threads pays


@dataclasses.dataclass(frozen=True, eq=False)
class PointSet:
    """Sources on the plane, as one of the two lists that are matched.

    Parameters
    ----------
    xy, error : (N, 2) ndarray
        Positions and their errors, pixels of the plane; NaN for an unknown error.
    flux : (N,) ndarray
        In any units; NaN where it is not known.
    pixel : (N, 3) ndarray
        Chip, x and y on the detector; NaN where there is none.
    exposure_index : (N,) ndarray of int
        Number of the exposure, where several share one transform.
    source_index : (N,) ndarray of int
        Row in the catalog of that exposure.
    """

    xy: np.ndarray
    error: np.ndarray
    flux: np.ndarray
    pixel: np.ndarray
    exposure_index: np.ndarray
    source_index: np.ndarray

    @classmethod
    def of(cls, xy: ArrayLike, **columns: np.ndarray) -> PointSet:
        """Make a set of positions (N, 2); columns that are not given are unknown.

        Raises
        ------
        ValueError
            A column is not of the length of the positions.
        """
        xy = np.asarray(xy, float).reshape(-1, 2)
        n = len(xy)
        unknown = {"error": np.full((n, 2), np.nan), "flux": np.full(n, np.nan),
                   "pixel": np.full((n, 3), np.nan), "exposure_index": np.zeros(n, int),
                   "source_index": np.arange(n)}
        for name, column in columns.items():
            if np.shape(column) != unknown[name].shape:
                raise ValueError(f"{n} positions and a column {name} of shape {np.shape(column)}")
        return cls(xy, **{**unknown, **columns})

    @classmethod
    def concat(cls, parts: list[PointSet]) -> PointSet:
        """Return the sources of several sets, one after the other."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})

    def __len__(self) -> int:
        """Return the number of sources."""
        return len(self.xy)

    def __getitem__(self, rows: slice | np.ndarray) -> PointSet:
        """Return some of the sources."""
        columns = {f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)}
        return PointSet(**columns)

    def brightest(self, number: int) -> PointSet:
        """Return the sources of largest flux, in their order; all where no flux is known."""
        if number >= len(self) or not np.isfinite(self.flux).any():
            return self
        order = np.argsort(-np.nan_to_num(self.flux, nan=-np.inf), kind="stable")
        return self[np.sort(order[:number])]

    def at(self, xy: np.ndarray) -> PointSet:
        """Return the same sources at other positions (N, 2)."""
        return dataclasses.replace(self, xy=xy)

    def apart(self, separation: float) -> _Apart:
        """Return the sources that have no other of their exposure within `separation`, pixels."""
        if separation not in self._apart:
            self._apart[separation] = _Apart.of(self, separation)
        return self._apart[separation]

    @functools.cached_property
    def _apart(self):
        """What `apart` has returned: a reference is matched again and again."""
        return {}


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """A transform that a matcher proposes, ``ref_xy = matrix @ image_xy + offset``, and its pairs.

    Parameters
    ----------
    image_index, ref_index : (M,) ndarray of int
        Partners, as indices into both lists.
    offset : (2,) ndarray
        Pixels.
    matrix : (2, 2) ndarray
        Rotation times scale, mirrored where `parity` is -1; unity for an offset.
    prominence : float
        How far it stands out, relative to the most prominent candidate of its matcher.
    half_box : float
        Half the side of the box from which the offset was chosen, pixels; 0 where it was given.
    chance_probability : float
        That unrelated lists match as well; NaN where it is to be worked out after a fit.
    histogram : (n, n) ndarray or None
        Number of differences reference minus image in each bin, y along the first axis.
    edges : (2, n + 1) ndarray or None
        Edges of the bins in x and in y.
    """

    image_index: np.ndarray
    ref_index: np.ndarray
    offset: np.ndarray
    matrix: np.ndarray = dataclasses.field(default_factory=lambda: np.eye(2))
    prominence: float = 1.0
    half_box: float = 0.0
    chance_probability: float = np.nan
    histogram: np.ndarray | None = None
    edges: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.image_index)

    def __call__(self, image_xy: ArrayLike) -> np.ndarray:
        """Transform (N, 2) image positions to the reference."""
        return np.asarray(image_xy, float) @ self.matrix.T + self.offset

    @property
    def parity(self) -> int:
        """1, or -1 for a mirror image."""
        return int(np.sign(np.linalg.det(self.matrix)))


def match_offsets(image: PointSet, reference: PointSet, *, searchrad: float, tolerance: float,
                  separation: float, first_guess: ArrayLike) -> Iterator[Candidate]:
    """Yield candidates by the offsets at which most differences pile up, the likeliest first.

    Parameters
    ----------
    image, reference : PointSet
        The lists. Exposures that share the transform have partners of their own.
    searchrad : float
        Half the side of the box in which the offset is looked for, pixels.
    tolerance : float
        Largest distance of partners after the offset, pixels.
    separation : float
        Sources that have another of their own list nearer than this are left out, pixels.
    first_guess : (2,) array_like
        Reference minus image; the centre of the search box.

    Yields
    ------
    Candidate
        Mutual nearest neighbours at an offset; its `prominence` is the height of the peak above the
        ground, relative to the first one's.

    Raises
    ------
    NotEnoughSources
        One of the lists is empty, or is so without its close pairs.
    NotEnoughMatches
        No difference lies within the search box.
    """
    lists = _Lists.of(image, reference, separation)
    centre = np.array(first_guess, float)
    thinned = _thinned(lists.image.xy, lists.ref.tree, searchrad)
    histogram, edges = _offset_histogram(thinned, lists.ref.tree, centre, searchrad)
    bin_size = edges[0][1] - edges[0][0]
    radius = max(tolerance, _BINS_ACROSS * bin_size)
    for prominence, peak in _peaks(histogram, edges):
        offset = _centroid(peak, thinned, lists.ref.tree, radius)
        image_index, ref_index = lists.pairs(offset, tolerance)
        if image_index.size:
            yield Candidate(image_index, ref_index, offset, prominence=prominence,
                            half_box=searchrad, histogram=histogram, edges=edges)


def match_given_offset(image: PointSet, reference: PointSet, *, tolerance: float,
                       separation: float, offset: ArrayLike) -> Iterator[Candidate]:
    """Yield the only candidate of an offset that is known, see `pair_at`."""
    yield pair_at(image, reference, offset, tolerance=tolerance, separation=separation)


def pair_at(image: PointSet, reference: PointSet, offset: ArrayLike, *, tolerance: float,
            separation: float) -> Candidate:
    """Pair mutual nearest neighbours at an offset (2,), reference minus image, pixels.

    For the other parameters see `match_offsets`.

    Raises
    ------
    NotEnoughSources
        One of the lists is empty, or is so without its close pairs.
    NotEnoughMatches
        No pair lies within the tolerance.
    """
    offset = np.array(offset, float)
    lists = _Lists.of(image, reference, separation)
    image_index, ref_index = lists.pairs(offset, tolerance)
    if not image_index.size:
        raise no_pairs(tolerance)
    return Candidate(image_index, ref_index, offset)


def no_pairs(tolerance: float) -> NotEnoughMatches:
    """Return the error that says that there are no pairs."""
    text = f"no two sources are within tolerance={tolerance:g} pixel of each other"
    return NotEnoughMatches(text)


@dataclasses.dataclass(frozen=True, eq=False)
class _Apart:
    """Positions that are finite and apart from others of their exposure, with their indices."""

    xy: np.ndarray
    index: np.ndarray
    exposure_index: np.ndarray

    @classmethod
    def of(cls, points, separation):
        parts = [np.empty(0, int)]
        for exposure in np.unique(points.exposure_index):
            members = np.flatnonzero(points.exposure_index == exposure)
            parts.append(members[_isolated(points.xy[members], separation)])
        index = np.concatenate(parts)
        return cls(points.xy[index], index, points.exposure_index[index])

    @functools.cached_property
    def tree(self):
        """Search tree of the positions."""
        return cKDTree(self.xy)


@dataclasses.dataclass(frozen=True)
class _Lists:
    """What is matched of an image and of its reference."""

    image: _Apart
    ref: _Apart

    @classmethod
    def of(cls, image, reference, separation):
        lists = cls(image.apart(separation), reference.apart(separation))
        for one, where in ((lists.image, "the image"), (lists.ref, "the reference")):
            if not one.index.size:
                apart = " apart from close pairs" if separation > 0 else ""
                raise NotEnoughSources(f"{where} has no sources{apart}")
        return lists

    def pairs(self, offset, tolerance):
        """Return indices of mutual nearest neighbours at an offset, exposure by exposure."""
        image_parts = []
        ref_parts = []
        for exposure in np.unique(self.image.exposure_index):
            members = np.flatnonzero(self.image.exposure_index == exposure)
            moved = self.image.xy[members] + offset
            own, partner = _mutual_nearest(moved, self.ref.tree, tolerance)
            image_parts.append(members[own])
            ref_parts.append(partner)
        image_index = self.image.index[np.concatenate(image_parts)]
        return image_index, self.ref.index[np.concatenate(ref_parts)]


def _isolated(xy, separation):
    """Return the indices of the positions that are finite and have no other within `separation`."""
    finite = np.flatnonzero(np.isfinite(xy).all(axis=1))
    if separation <= 0 or len(finite) < 2:
        return finite
    nearest = cKDTree(xy[finite]).query(xy[finite], k=2)[0][:, 1]
    return finite[nearest >= separation]


def _thinned(image_xy, ref_tree, radius):
    """Leave out sources, evenly along the list, where there are too many pairs within a box."""
    if len(image_xy) * ref_tree.n <= _MOST_PAIRS:
        return image_xy
    some = image_xy[:: max(1, len(image_xy) // _N_THINNING)]
    n_each = ref_tree.query_ball_point(some, radius, p=np.inf, return_length=True)
    n_pairs = n_each.mean() * len(image_xy)
    return image_xy[:: max(1, int(n_pairs / _MOST_PAIRS))]


def _differences(image_xy, ref_tree, centre, radius):
    """Yield the differences reference minus image within a box around `centre`, in portions."""
    whole = cKDTree(image_xy + centre)
    portion = np.zeros(len(image_xy), int)
    if whole.count_neighbors(ref_tree, radius, p=np.inf) > _PAIRS_AT_ONCE:
        n_each = ref_tree.query_ball_point(whole.data, radius, p=np.inf, return_length=True)
        portion = np.cumsum(n_each) // _PAIRS_AT_ONCE
    for number in np.unique(portion):
        some = image_xy[portion == number]
        tree = whole if len(some) == whole.n else cKDTree(some + centre)
        pairs = tree.sparse_distance_matrix(ref_tree, radius, p=np.inf, output_type="ndarray")
        yield ref_tree.data[pairs["j"]] - some[pairs["i"]]


def _offset_histogram(image_xy, ref_tree, centre, searchrad):
    """Count the differences in bins of about one pixel; return counts and edges of a Candidate."""
    n_bins = 2 * max(int(np.ceil(searchrad)), 2) + 1
    # One bin is centred on the first guess; half a bin beyond the box on all sides.
    bin_size = 2 * searchrad / (n_bins - 1)
    edges = centre[:, None] + bin_size * (np.arange(n_bins + 1) - n_bins / 2)
    histogram = np.zeros((n_bins, n_bins), np.float32)  # holds such numbers exactly
    for part in _differences(image_xy, ref_tree, centre, searchrad):
        column, row = np.floor((part - edges[:, 0]) / bin_size).astype(int).T
        counts = np.bincount(row * n_bins + column, minlength=n_bins**2)
        histogram += counts.reshape(n_bins, n_bins)
    if not histogram.any():
        text = f"no source has one of the reference within searchrad={searchrad:.4g} pixel"
        failure = NotEnoughMatches(text)
        nothing = np.empty(0, int)
        failure.offsets = Candidate(nothing, nothing, centre.copy(), half_box=searchrad,
                                    histogram=histogram, edges=edges)
        raise failure
    return histogram, edges


def _peaks(histogram, edges):
    """Yield the highest peaks after smoothing: height relative to the first, and offset."""
    smooth = _smoothed(histogram)
    is_mostly_empty = 2 * np.count_nonzero(smooth) < smooth.size
    background = 0.0 if is_mostly_empty else float(np.median(smooth))
    highest_in_row = smooth.max(axis=1)
    highest = float(highest_in_row.max()) - background
    for _ in range(_MOST_PEAKS):
        row = np.argmax(highest_in_row)
        column = np.argmax(smooth[row])
        height = float(smooth[row, column]) - background
        if not height > 0:
            break
        offset = [edges[0][column : column + 2].mean(), edges[1][row : row + 2].mean()]
        yield height / highest, np.array(offset)
        rows = slice(max(row - _PEAK_REACH, 0), row + _PEAK_REACH + 1)
        columns = slice(max(column - _PEAK_REACH, 0), column + _PEAK_REACH + 1)
        smooth[rows, columns] = -np.inf
        highest_in_row[rows] = smooth[rows].max(axis=1)


def _smoothed(histogram):
    """Return counts smoothed by 1/4, 1/2, 1/4 along both axes.

    A peak between two bins must not look half as high as one in the middle of a bin.
    """
    smooth = histogram.copy()
    for along in (smooth, smooth.T):
        quarter = along / 4
        along /= 2
        along[1:] += quarter[:-1]
        along[:-1] += quarter[1:]
    return smooth


def _centroid(offset, image_xy, ref_tree, radius):
    """Return the mean of the differences around an offset, taken again and again around it."""
    near = np.concatenate(list(_differences(image_xy, ref_tree, offset, 2 * radius)))
    for _ in range(10):
        before = offset
        close = near[np.hypot(*(near - offset).T) <= radius]
        if not close.size:
            break
        offset = close.mean(axis=0)
        if (offset == before).all():
            break
    return offset


def _mutual_nearest(image_xy, ref_tree, tolerance):
    """Return the indices of pairs that are each other's nearest within `tolerance`."""
    threads = -1 if len(image_xy) > _MANY_SOURCES else 1
    settings = {"distance_upper_bound": tolerance, "workers": threads}
    distance, partner = ref_tree.query(image_xy, **settings)
    near = np.flatnonzero(np.isfinite(distance))
    partner = partner[near]
    # No other image source is within the tolerance of a partner.
    _, back = cKDTree(image_xy[near]).query(ref_tree.data[partner], **settings)
    is_mutual = back == np.arange(len(near))
    return near[is_mutual], partner[is_mutual]
