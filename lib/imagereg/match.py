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


def match(image_xy, ref_xy, *, searchrad, tolerance, separation=0.0, offset=(0.0, 0.0), use2dhist=True,
          odds=True):
    """Match two lists of positions that differ by an offset.

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
    image_xy, ref_xy = np.asarray(image_xy, float), np.asarray(ref_xy, float)
    image_rows, ref_rows = _apart(image_xy, separation), _apart(ref_xy, separation)
    for rows, where in ((image_rows, "the image"), (ref_rows, "the reference")):
        if not rows.size:
            raise NotEnoughSources(f"{where} has no sources" + (" apart from close pairs" if separation > 0 else ""))
    image_tree, ref_tree = cKDTree(image_xy[image_rows]), cKDTree(ref_xy[ref_rows])
    offset, histogram, edges = np.array(offset, float), None, None
    if use2dhist:
        histogram, edges = _offset_histogram(image_tree.data, ref_tree, offset, searchrad)
        offset = _peak(histogram, edges, image_tree.data, ref_tree, tolerance=tolerance)
    image_index, ref_index = _mutual_nearest(image_tree.data + offset, ref_tree, tolerance)
    if not image_index.size:
        raise NotEnoughMatches(f"no two sources are within tolerance={tolerance:g} pixel of each other")
    trials = max(1.0, (2 * searchrad) ** 2 / (np.pi * tolerance**2)) if use2dhist else 1.0
    chance = np.nan
    if odds:
        chance = min(1.0, trials * chance_of(image_index.size, image_tree.data + offset, ref_tree, tolerance))
    return Match(image_rows[image_index], ref_rows[ref_index], offset, chance, histogram, edges)


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


def _peak(histogram, edges, image_xy, ref_tree, *, tolerance):
    """Offset at which most differences lie: the fullest bins, then the mean of what is near their mean."""
    smooth = histogram
    for axis in (0, 1):
        smooth = ndimage.convolve1d(smooth, [0.25, 0.5, 0.25], axis=axis, mode="constant")
    row, column = np.unravel_index(np.argmax(smooth), smooth.shape)
    offset = np.array([edges[0][column:column + 2].mean(), edges[1][row:row + 2].mean()])
    radius = max(tolerance, 1.5 * (edges[0][1] - edges[0][0]))
    near = np.concatenate(list(_differences(image_xy, ref_tree, offset, 2 * radius)))
    for _ in range(10):
        close = near[np.hypot(*(near - offset).T) <= radius]
        if not close.size:
            break
        offset = close.mean(axis=0)
    return offset


def _mutual_nearest(image_xy, ref_tree, tolerance):
    """Return the indices of pairs that are each other's nearest within `tolerance`."""
    distance, partner = ref_tree.query(image_xy, distance_upper_bound=tolerance)
    back = cKDTree(image_xy).query(ref_tree.data, distance_upper_bound=tolerance)[1]
    image_index = np.flatnonzero(np.isfinite(distance))
    image_index = image_index[back[partner[image_index]] == image_index]
    return image_index, partner[image_index]


def chance_of(number, image_xy, ref_xy, tolerance):
    """Probability of at least `number` pairs between unrelated lists of their density, one transform tried.

    Parameters
    ----------
    number : int
        Pairs within the tolerance.
    image_xy, ref_xy : (N, 2) array_like or cKDTree
        Positions in both lists, with the transform applied; the reference may be a tree. Rows that are not finite
        are left out.
    tolerance : float
        Pixels.
    """
    image_xy = np.asarray(image_xy)[np.isfinite(image_xy).all(axis=1)]
    ref_tree = ref_xy if isinstance(ref_xy, cKDTree) else cKDTree(ref_xy[np.isfinite(ref_xy).all(axis=1)])
    # Pairs in rings around the tolerance tell how many chance gives within it, where both lists are dense together
    # too, as in a cluster. One more is counted than there is: none seen does not mean none expected.
    within = np.array([ref_tree.query_ball_point(image_xy, radius * tolerance, return_length=True).sum()
                       for radius in _RINGS])
    expected = ((within[1:] - within[:-1] + [0, 1]) / np.diff(np.square(_RINGS))).max()
    # Along a line, a column of a detector say, pairs go with the radius: what the tolerance holds to one side tells.
    turns = np.arange(_SIDES) * 2 * np.pi / _SIDES
    for step in tolerance * np.column_stack([np.cos(turns), np.sin(turns)]):
        beside = [ref_tree.query_ball_point(image_xy + far * step, tolerance, return_length=True) for far in _ASIDE]
        expected = max(expected, np.sum(beside) / len(_ASIDE))
    return float(gammainc(number, expected))  # of a Poisson distribution
