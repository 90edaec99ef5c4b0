"""Which source of one list is which source of another.

The offset between the lists is where their differences pile up in a two-dimensional histogram. Only pairs within the
search box are ever formed, in portions, so that memory follows the number of such pairs in a portion and not the
product of the lengths. Matched are mutual nearest neighbours after that offset.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.special import gammainc

from imagereg.errors import NotEnoughMatches, NotEnoughSources

_PAIRS_AT_ONCE = 2_000_000
_MOST_PAIRS = 5_000_000  # of which a histogram is made; more sources than give these are thinned out
_MOST_COUNTED = 50_000  # sources around which chance pairs are counted
_PEAKS = 6  # of the histogram that are ever of interest
_SURELY_CHANCE = 1e-2  # no need to look closer
_MANY = 100_000  # sources for which threads pay
_SIDES, _ASIDE = 8, (3.5, 5.5)  # directions, and distances in units of the tolerance, of such counts
_RINGS = (2.0, 6.0, 20.0)  # radii in units of the tolerance, between which chance pairs are counted


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
    """Pairs of indices into two lists of positions.

    Parameters
    ----------
    image_index, ref_index : (M,) ndarray of int
        Positions of the partners in either list.
    offset : (2,) ndarray
        What is to be added to an image position to come to its partner, before any fit.
    chance : float
        Probability that unrelated lists give as many pairs anywhere in the search box.
    histogram : (n, n) ndarray or None
        Number of differences reference minus image in each bin, y along the first axis.
    edges : (2, n + 1) ndarray or None
        Edges of the bins in x and in y.
    """

    image_index: np.ndarray
    ref_index: np.ndarray
    offset: np.ndarray
    chance: float
    histogram: np.ndarray | None = None
    edges: np.ndarray | None = None

    def __len__(self):
        """Return the number of pairs."""
        return len(self.image_index)


def match(image_xy, ref_xy, *, tolerance, searchrad=0.0, use2dhist=True, odds=True, **options):
    """Match two lists of positions that differ by an offset.

    Parameters
    ----------
    image_xy, ref_xy, tolerance, searchrad, separation, offset, owner
        See `candidates`.
    use2dhist : bool
        Look for the offset; otherwise `offset` is taken as it is.
    odds : bool
        Work out `Match.chance`, which takes longer than the rest; NaN otherwise.

    Returns
    -------
    Match

    Raises
    ------
    NotEnoughSources
        One of the lists is empty, or is so without its close pairs.
    NotEnoughMatches
        No difference lies within the search box, or no pair within the tolerance.
    """
    if use2dhist:
        first = next((found for _, found in candidates(image_xy, ref_xy, tolerance=tolerance, searchrad=searchrad,
                                                       **options)), None)
    else:
        lists = _Lists.of(image_xy, ref_xy, options.get("separation", 0.0), options.get("owner"))
        first = lists.matched(np.array(options.get("offset", (0.0, 0.0)), float), tolerance)
    if first is None or not len(first):
        raise NotEnoughMatches(f"no two sources are within tolerance={tolerance:g} pixel of each other")
    if not odds:
        return first
    trials = max(1.0, (2 * searchrad) ** 2 / (np.pi * tolerance**2)) if use2dhist else 1.0
    chance = chance_of(len(first), np.asarray(image_xy) + first.offset, ref_xy, tolerance)[0]
    return dataclasses.replace(first, chance=min(1.0, trials * chance))


def candidates(image_xy, ref_xy, *, searchrad, tolerance, separation=0.0, offset=(0.0, 0.0), owner=None):
    """Yield matches by the offsets at which most differences pile up, the likeliest first.

    Parameters
    ----------
    image_xy : (N, 2) array_like
        Positions in the image, plane pixels.
    ref_xy : (M, 2) array_like
        Positions in the reference, plane pixels.
    searchrad : float
        Half the side of the box in which the offset is looked for, plane pixels.
    tolerance : float
        Largest distance of partners after the offset, plane pixels.
    separation : float
        Sources that have another of their own list nearer than this are left out, plane pixels.
    offset : (2,) array_like
        First guess of reference minus image; the centre of the search box.
    owner : (N,) array_like of int, optional
        Image that each position is from, where several share one offset: each has partners of its own.

    Yields
    ------
    share : float
        Height of the peak in the histogram above the ground, relative to the first one's.
    match : Match
        Mutual nearest neighbours at that offset; `chance` is NaN.

    Raises
    ------
    NotEnoughSources
        One of the lists is empty, or is so without its close pairs.
    NotEnoughMatches
        No difference lies within the search box.
    """
    lists, centre = _Lists.of(image_xy, ref_xy, separation, owner), np.array(offset, float)
    thinned = _thinned(lists.image_xy, lists.ref_tree, searchrad)
    histogram, edges = _offset_histogram(thinned, lists.ref_tree, centre, searchrad)
    for share, peak in _peaks(histogram, edges):
        radius = max(tolerance, 1.5 * (edges[0][1] - edges[0][0]))
        found = lists.matched(_centroid(peak, thinned, lists.ref_tree, radius), tolerance)
        if len(found):
            yield share, dataclasses.replace(found, histogram=histogram, edges=edges)


@dataclasses.dataclass(frozen=True, eq=False)
class _Lists:
    """What is matched: positions, the indices they have in the lists given, whose they are; a tree of the reference."""

    image_xy: np.ndarray
    image_rows: np.ndarray
    owner: np.ndarray
    ref_tree: cKDTree
    ref_rows: np.ndarray

    @classmethod
    def of(cls, image_xy, ref_xy, separation, owner):
        image_xy, ref_xy = np.asarray(image_xy, float), np.asarray(ref_xy, float)
        owner = np.zeros(len(image_xy), int) if owner is None else np.asarray(owner)
        parts = [np.flatnonzero(owner == one) for one in np.unique(owner)]
        image_rows = np.concatenate([np.empty(0, int), *(rows[_apart(image_xy[rows], separation)] for rows in parts)])
        ref_rows = _apart(ref_xy, separation)
        for rows, where in ((image_rows, "the image"), (ref_rows, "the reference")):
            if not rows.size:
                apart = " apart from close pairs" if separation > 0 else ""
                raise NotEnoughSources(f"{where} has no sources{apart}")
        return cls(image_xy[image_rows], image_rows, owner[image_rows], cKDTree(ref_xy[ref_rows]), ref_rows)

    def matched(self, offset, tolerance):
        """Return the Match of mutual nearest neighbours at an offset."""
        pairs = [(rows[i], r) for rows in (np.flatnonzero(self.owner == one) for one in np.unique(self.owner))
                 for i, r in [_mutual_nearest(self.image_xy[rows] + offset, self.ref_tree, tolerance)]]
        image_index, ref_index = map(np.concatenate, zip(*pairs, strict=True))
        return Match(self.image_rows[image_index], self.ref_rows[ref_index], offset, np.nan)


def _thinned(image_xy, ref_tree, radius):
    """Leave out sources, evenly along the list, so that their pairs within a box of half side `radius` are not many."""
    some = image_xy[::max(1, len(image_xy) // 1000)]
    pairs = ref_tree.query_ball_point(some, radius, p=np.inf, return_length=True).mean() * len(image_xy)
    return image_xy[::max(1, int(pairs / _MOST_PAIRS))]


def _apart(xy, separation):
    """Return the indices of the positions that are finite and have no other within `separation`."""
    finite = np.flatnonzero(np.isfinite(xy).all(axis=1))
    if separation <= 0 or len(finite) < 2:
        return finite
    nearest = cKDTree(xy[finite]).query(xy[finite], k=2)[0][:, 1]
    return finite[nearest >= separation]


def _differences(image_xy, ref_tree, centre, radius):
    """Yield the differences reference minus image within a box of half side `radius` around `centre`, in portions."""
    counts = ref_tree.query_ball_point(image_xy + centre, radius, p=np.inf, return_length=True)
    portion = np.cumsum(counts) // _PAIRS_AT_ONCE
    for number in np.unique(portion):
        some = image_xy[portion == number]
        pairs = cKDTree(some + centre).sparse_distance_matrix(ref_tree, radius, p=np.inf, output_type="ndarray")
        yield ref_tree.data[pairs["j"]] - some[pairs["i"]]


def _offset_histogram(image_xy, ref_tree, centre, searchrad):
    """Count the differences in bins of about one pixel; returns counts and edges as `Match` has them."""
    bins = 2 * max(int(np.ceil(searchrad)), 2) + 1
    edges = centre[:, None] + np.linspace(-searchrad, searchrad, bins + 1) * (1 + 1 / (bins - 1))
    histogram = np.zeros((bins, bins))
    for dx, dy in (part.T for part in _differences(image_xy, ref_tree, centre, searchrad)):
        histogram += np.histogram2d(dy, dx, bins=(edges[1], edges[0]))[0]
    if not histogram.any():
        raise NotEnoughMatches(f"no source has one of the reference within searchrad={searchrad:.4g} pixel")
    return histogram, edges


def _peaks(histogram, edges):
    """Yield the highest places of a histogram, smoothed, that are apart: share of the first one's height, offset."""
    smooth = histogram
    for axis in (0, 1):
        smooth = ndimage.convolve1d(smooth, [0.25, 0.5, 0.25], axis=axis, mode="constant")
    ground = np.median(smooth)
    highest = smooth.max() - ground
    for _ in range(_PEAKS):
        row, column = np.unravel_index(np.argmax(smooth), smooth.shape)
        height = smooth[row, column] - ground
        if not height > 0:
            break
        yield height / highest, np.array([edges[0][column:column + 2].mean(), edges[1][row:row + 2].mean()])
        smooth[max(row - 2, 0):row + 3, max(column - 2, 0):column + 3] = -np.inf


def _centroid(offset, image_xy, ref_tree, radius):
    """Mean of the differences around an offset, taken again and again around that mean."""
    near = np.concatenate(list(_differences(image_xy, ref_tree, offset, 2 * radius)))
    for _ in range(10):
        close = near[np.hypot(*(near - offset).T) <= radius]
        if not close.size:
            break
        offset = close.mean(axis=0)
    return offset


def _mutual_nearest(image_xy, ref_tree, tolerance):
    """Return the indices of pairs that are each other's nearest within `tolerance`."""
    threads = -1 if len(image_xy) > _MANY else 1
    distance, partner = ref_tree.query(image_xy, distance_upper_bound=tolerance, workers=threads)
    image_index = np.flatnonzero(np.isfinite(distance))
    partner = partner[image_index]
    back = cKDTree(image_xy).query(ref_tree.data[partner], distance_upper_bound=tolerance, workers=threads)[1]
    mutual = back == image_index
    return image_index[mutual], partner[mutual]


def chance_of(number, image_xy, ref_xy, tolerance):
    """Odds of at least `number` pairs between unrelated lists of their density, one transform tried.

    Parameters
    ----------
    number : int
        Pairs within the tolerance.
    image_xy, ref_xy : (N, 2) array_like or cKDTree
        Positions in both lists, with the transform applied; the reference may be a tree. Rows that are not finite
        are left out.
    tolerance : float
        Pixels.

    Returns
    -------
    chance : float
        Probability of as many.
    expected : float
        How many chance gives on average.
    """
    image_xy = np.asarray(image_xy)[np.isfinite(image_xy).all(axis=1)]
    ref_tree = ref_xy if isinstance(ref_xy, cKDTree) else cKDTree(ref_xy[np.isfinite(ref_xy).all(axis=1)])
    step = max(1, len(image_xy) // _MOST_COUNTED)
    image_xy, step = image_xy[::step], len(image_xy) / max(1, len(image_xy[::step]))
    # Pairs in rings around the tolerance tell how many chance gives within it, where both lists are dense together
    # too, as in a cluster. One more is counted than there is: none seen does not mean none expected.
    within = np.array([ref_tree.query_ball_point(image_xy, radius * tolerance, return_length=True).sum()
                       for radius in _RINGS])
    expected = ((within[1:] - within[:-1] + [0, 1]) / np.diff(np.square(_RINGS))).max()
    if (chance := gammainc(number, expected * step)) > _SURELY_CHANCE:
        return float(chance), float(expected * step)
    # Along a line, a column of a detector say, pairs go with the radius: what the tolerance holds to one side tells.
    turns = np.arange(_SIDES) * 2 * np.pi / _SIDES
    for aside in tolerance * np.column_stack([np.cos(turns), np.sin(turns)]):
        beside = [ref_tree.query_ball_point(image_xy + far * aside, tolerance, return_length=True) for far in _ASIDE]
        expected = max(expected, np.sum(beside) / len(_ASIDE))
    return float(gammainc(number, expected * step)), float(expected * step)  # of a Poisson distribution
