"""What speaks for a transform: the share it explains of what should match, and what repeats.

That matches are not due to chance does not make a transform right: sixty hot pixels stay in place
by more than chance too, and a star with its spikes fits on every other such star. So a transform is
asked how many of the sources that should match do match, and the matches that other places explain
as well do not count.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree

from imagereg.alignment.fitting.fit import LinearFit
from imagereg.alignment.matching.match import Candidate, PointSet
from imagereg.alignment.significance import detector_fixed_shift, log10_poisson, probability
from imagereg.alignment.verdict import FEWEST_MATCHES, Rules

# Repetition is looked for in so many matched sources around the middle, fewer in long lists.
_SMALLEST_CORE, _LARGEST_CORE = 50, 200
_N_AROUND = 3  # neighbours, by whose distance crowded sources are told; a pair is no crowd
# Of the matches, and at least three: fewer meet by chance along a line.
_LEAST_HEAP = 0.25
_MOST_STEPS = 8  # different repetitions that are looked for
_MOST_DIFFERENCES = 200_000  # of positions, in looking for repetition
_MOST_CELLS = 4_000_000  # of the histogram of these
_APART = 3.0  # tolerances; nearer offsets are one and the same
_BESIDE_A_LINE = (2.0, 6.0)  # tolerances; a trail is not wider, nor a column with its neighbours
_ALONG_A_LINE = 200.0  # tolerances, to both sides; sources along a line are this far from another
_BY_CHANCE = 1e-2  # a heap or a line less probable than this is one


@dataclasses.dataclass(frozen=True)
class Explained:
    """How much of what should match a transform explains.

    Parameters
    ----------
    n_pairs : int
        Matches.
    n_predicted : int
        Sources that should match.
    """

    n_pairs: int
    n_predicted: int

    @property
    def share(self) -> float:
        """Of the sources that should match."""
        return self.n_pairs / max(self.n_predicted, 1)

    def __str__(self) -> str:
        """Say it in words."""
        return f"{self.n_pairs} of {self.n_predicted} sources that should match ({self.share:.0%})"


def explained(image: PointSet, reference: PointSet, image_index: np.ndarray,
              ref_index: np.ndarray) -> Explained:
    """Count what matches of what should match, at the depth at which most does.

    Sources should match that lie where both lists have sources, and are brighter than the depth of
    the shallower list. Fluxes in different units and bands are compared by rank: a field has as
    many stars brighter than some depth in one list as in the other. Noise, cosmic rays and faint
    sources that one list alone has make the share smaller the deeper one looks, so the depth is
    chosen at which it is largest.

    Parameters
    ----------
    image, reference : PointSet
        The lists, with the transform applied.
    image_index, ref_index : (K,) ndarray of int
        Pairs, as indices into the lists.
    """
    in_image = within_hull(image.xy, reference.xy)
    in_image[image_index] = True
    in_ref = within_hull(reference.xy, image.xy)
    in_ref[ref_index] = True
    n_common = int(min(in_image.sum(), in_ref.sum()))
    n_pairs = len(np.unique(ref_index))
    best = Explained(n_pairs, max(n_common, n_pairs))
    if not (np.isfinite(image.flux).any() and np.isfinite(reference.flux).any()):
        return best
    rank = np.maximum(_ranks(image.flux, in_image)[image_index],
                      _ranks(reference.flux, in_ref)[ref_index])
    depth = np.sort(rank) + 1
    count = np.arange(1, len(depth) + 1)
    is_depth = (count >= FEWEST_MATCHES) & (depth <= n_common)
    if is_depth.any():
        share = np.where(is_depth, count / depth, 0)
        deepest = int(np.flatnonzero(share == share.max())[-1])
        at_depth = Explained(int(count[deepest]), int(depth[deepest]))
        best = max(best, at_depth, key=lambda one: one.share)
    return best


def _ranks(flux, chosen):
    """Return the rank by flux of each source among the chosen ones, from 0 for the brightest."""
    key = np.where(chosen, np.nan_to_num(flux, nan=-np.inf), -np.inf)
    ranks = np.empty(len(flux), int)
    ranks[np.lexsort((~chosen, -key))] = np.arange(len(flux))
    return ranks


def within_hull(xy: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Tell which positions (N, 2) lie within the convex hull of others (M, 2)."""
    others = others[np.isfinite(others).all(axis=1)]
    if not len(others):
        return np.zeros(len(xy), bool)
    try:
        normals = ConvexHull(others).equations
    except (QhullError, ValueError):  # fewer than three, or all on one line
        low = others.min(axis=0)
        high = others.max(axis=0)
        return ((xy >= low) & (xy <= high)).all(axis=1)
    slack = 1e-9 * np.ptp(others, axis=0).max()
    inside = np.isfinite(xy).all(axis=1)
    for x, y, offset in normals:
        inside &= xy @ (x, y) + offset <= slack
    return inside


def loneliest_half(xy: np.ndarray) -> np.ndarray:
    """Return the indices of the half of the positions (N, 2) with most room around them.

    Clusters, trails, bad columns and halos are crowded: what they hide shows among the others.
    """
    finite = np.flatnonzero(np.isfinite(xy).all(axis=1))
    if len(finite) <= _N_AROUND:
        return finite
    distance = cKDTree(xy[finite]).query(xy[finite], k=_N_AROUND + 1)[0][:, -1]
    return finite[distance >= np.median(distance)]


@dataclasses.dataclass(frozen=True, eq=False)
class Repetition:
    """How much of the matched sources meets others at other offsets too.

    Parameters
    ----------
    share : float
        Of the matches, that meets others at one other offset; 0 where that is no more than chance.
    step : (2,) ndarray
        This offset, pixels.
    covered : float
        Share of the matches that does so at any of several offsets.
    """

    share: float = 0.0
    step: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(2))
    covered: float = 0.0


def repetition(matched_xy: np.ndarray, image_xy: np.ndarray, ref_xy: np.ndarray, *,
               tolerance: float) -> Repetition:
    """Find which of the matches other offsets explain as well.

    Regular grids, and stars that have spikes, halos or ghosts, look alike at more than one place.
    The matched sources are laid upon all of either list at all other offsets, and those are counted
    that meet others there, where they are more than chance gives.

    Parameters
    ----------
    matched_xy : (K, 2) ndarray
        Positions of the matches.
    image_xy, ref_xy : (N, 2) and (M, 2) ndarray
        Those of both lists, with the transform applied.
    tolerance : float
        Largest distance of partners, pixels.
    """
    found = [_repetition(matched_xy, others, tolerance) for others in (ref_xy, image_xy)]
    return max(found, key=lambda one: (one.share, one.covered))


def _repetition(matched, others, tolerance):
    """Return the repetition of matched positions among others."""
    others = others[np.isfinite(others).all(axis=1)]
    to_middle = np.hypot(*(matched - np.median(matched, axis=0)).T)
    n_core = int(np.clip(_MOST_DIFFERENCES // max(len(others), 1), _SMALLEST_CORE, _LARGEST_CORE))
    core = matched[np.argsort(to_middle, kind="stable")[:n_core]]
    steps = others.T[:, None] - core.T[:, :, None]  # x and y, of each core source to each other one
    length = np.abs(steps).max(axis=0)
    is_other = (length > _APART * tolerance) & (length < np.sqrt(_MOST_CELLS) * tolerance)
    owner = np.nonzero(is_other)[0]
    steps = steps[:, is_other]
    left = np.ones(len(core), bool)
    first = Repetition()
    for _ in range(_MOST_STEPS):
        members, step = _heap(steps, owner, 2 * tolerance)
        if len(members) < max(_LEAST_HEAP * len(core), 3):
            break
        if not first.share:
            first = Repetition(len(members) / len(core), step)
        left[members] = False
        rows = left[owner]
        steps = steps[:, rows]
        owner = owner[rows]
    return dataclasses.replace(first, covered=1 - left.mean())


def _heap(steps, owner, size):
    """Return the owners of the steps in the fullest of all cells, and the step; none by chance."""
    if not len(owner):
        return np.empty(0, int), np.zeros(2)
    low = steps.min(axis=1)
    places = steps - low[:, None]
    places /= size
    n_columns, n_rows = (int(most) + 2 for most in places.max(axis=1))
    members = np.empty(0, int)
    where = low
    # The cells are laid in four ways, so that not every one has a border through the heap.
    cells = {phase: (places + phase).astype(np.int32) for phase in (0, 0.5)}
    for phase in itertools.product(cells, repeat=2):
        cell = cells[phase[1]][1] * n_columns + cells[phase[0]][0]
        fullest = _most_frequent(cell)
        inside = np.unique(owner[cell == fullest])
        if len(inside) > len(members):
            members = inside
            corner = np.array([fullest % n_columns, fullest // n_columns]) - phase
            where = low + (corner + 0.5) * size
    n_cells = n_columns * n_rows
    log10_chance = np.log10(4 * n_cells) + log10_poisson(len(members), len(owner) / n_cells)
    if log10_chance > np.log10(_BY_CHANCE):
        return np.empty(0, int), where
    return members, where


@dataclasses.dataclass(frozen=True)
class Lines:
    """Parallel lines along which matches lie: bad columns and trails of satellites; stars do not.

    An offset that lays the lines of two lists upon each other makes all sources along them agree
    across the lines at once. So each line counts as one match, and one is added since any two are
    on a line; what the matches agree along the lines is judged by itself.

    Parameters
    ----------
    n_along : int
        Matches that lie along lines; 0 where chance gives as many.
    n_extra : int
        Those of them that do not count.
    n_matches : int
        Among which they were looked for.
    ends : (2,) tuple of int
        Two of the matches, along one line.
    """

    n_along: int = 0
    n_extra: int = 0
    n_matches: int = 1
    ends: tuple[int, int] = (0, 0)

    @property
    def number(self) -> int:
        """Number of lines."""
        return max(self.n_along - self.n_extra - 1, 0)

    @property
    def share(self) -> float:
        """Of the matches, that does not count."""
        return self.n_extra / self.n_matches

    @classmethod
    def among(cls, xy: np.ndarray, tolerance: float) -> Lines:
        """Find lines among positions (N, 2) of matches, pixels; `tolerance` is that across."""
        step = 1 + len(xy) // _SMALLEST_CORE
        core = xy[::step]
        pairs = np.array(np.triu_indices(len(core), 1))
        difference = core[pairs[1]] - core[pairs[0]]
        length = np.hypot(*difference.T)
        is_apart = length > _APART * tolerance
        if not is_apart.any():
            return cls()
        normals = difference[is_apart][:, ::-1] * (-1, 1) / length[is_apart, None]
        places = normals @ core.T
        is_next = np.diff(np.sort(places, axis=1), axis=1) < tolerance
        best = int(np.argmax(is_next.sum(axis=1)))
        n_extra = int(is_next[best].sum()) - 1
        # Pairs of positions that are a little farther apart across the lines tell what chance
        # gives; where there are none, the extent of the field does.
        across = np.abs(places[best][pairs[0]] - places[best][pairs[1]])
        near, far = _BESIDE_A_LINE
        n_beside = ((across >= near * tolerance) & (across < far * tolerance)).sum() / (far - near)
        n_expected = max(n_beside, 2 * len(across) * tolerance / length.max())
        log10_chance = np.log10(len(normals)) + log10_poisson(n_extra, n_expected)
        if log10_chance > np.log10(_BY_CHANCE):
            return cls()
        n_lines = np.count_nonzero(np.diff(is_next[best].astype(int), prepend=0) == 1)
        first, second = step * pairs[:, is_apart][:, best]
        return cls(n_extra + 1 + int(n_lines), n_extra, len(core), (int(first), int(second)))

    def log10_chance(self, matched_xy: np.ndarray, image_xy: np.ndarray, ref_xy: np.ndarray,
                     tolerance: float, *, covered: float = 0.0) -> float:
        """Return the logarithm of the probability that as many agree along the lines by chance.

        Parameters
        ----------
        matched_xy : (K, 2) ndarray
            Positions of the matches, pixels.
        image_xy, ref_xy : (N, 2) and (M, 2) ndarray
            Those of both lists, with the transform applied.
        tolerance : float
            Largest distance of partners, pixels.
        covered : float
            Share of the matches that does not count, since other offsets explain it as well.
        """
        first, second = matched_xy[list(self.ends)]
        along = (second - first) / np.hypot(*(second - first))
        axes = np.array([along, (-along[1], along[0])]).T
        matched, image, ref = (xy[np.isfinite(xy).all(axis=1)] @ axes
                               for xy in (matched_xy, image_xy, ref_xy))
        near = _APART * tolerance
        far = max(min(_ALONG_A_LINE * tolerance, np.ptp(matched[:, 0]) / 2), 2 * near)
        width = 2 * tolerance
        on_line = [xy[cKDTree(matched / (far, width)).query(xy / (far, width), p=np.inf)[0] < 1]
                   for xy in (image, ref)]
        n_far, n_near = (cKDTree(on_line[0] / box).count_neighbors(
            cKDTree(on_line[1] / box), 1, p=np.inf) for box in ((far, width), (near, width)))
        n_expected = (n_far - n_near + 1) * tolerance / (far - near)
        n_agreeing = len(matched) * (1 - covered) * self.n_along / self.n_matches
        return log10_poisson(n_agreeing, n_expected)


def _most_frequent(numbers):
    """Return the most frequent of whole numbers; the smallest of equals."""
    ordered = np.sort(numbers)
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    return int(ordered[starts[np.argmax(np.diff(starts, append=len(ordered)))]])


@dataclasses.dataclass(frozen=True, eq=False)
class FittedCandidate:
    """A fit from the image to the reference, and what it is based on.

    Parameters
    ----------
    image, reference : PointSet
        What was matched.
    image_index, ref_index : (K,) ndarray of int
        Pairs, as indices into these.
    fit : LinearFit
        The transform.
    candidate : Candidate or None
        The offset from which the fit began, with its histogram; None for a pattern.
    log10_chance : float
        Logarithm of the probability that unrelated lists match as well.
    n_expected : float
        Number of pairs that chance gives.
    explained : Explained or None
        How much of what should match does.
    how : str
        How it was found, where that was not as expected.
    """

    image: PointSet
    reference: PointSet
    image_index: np.ndarray
    ref_index: np.ndarray
    fit: LinearFit
    candidate: Candidate | None = None
    log10_chance: float = np.nan
    n_expected: float = 0.0
    explained: Explained | None = None
    how: str = ""

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.image_index)

    @property
    def chance_probability(self) -> float:
        """That unrelated lists match as well; never 0, see `log10_chance`."""
        return probability(self.log10_chance)

    @property
    def share(self) -> float:
        """Of what should match that does."""
        return self.explained.share if self.explained else 1.0

    @property
    def image_xy(self) -> np.ndarray:
        """(K, 2) positions of the matched sources in the image, before the fit."""
        return self.image.xy[self.image_index]

    @property
    def ref_xy(self) -> np.ndarray:
        """(K, 2) positions of their partners."""
        return self.reference.xy[self.ref_index]

    @property
    def n_beyond_chance(self) -> float:
        """Number of matches less what chance gives."""
        return len(self) - self.n_expected

    @property
    def detector_fixed_shift(self) -> float:
        """Dither in pixels where most matches stay at one detector position, else 0."""
        image_pixel = self.image.pixel[self.image_index]
        ref_pixel = self.reference.pixel[self.ref_index]
        return detector_fixed_shift(image_pixel, ref_pixel, self.image_xy - self.ref_xy)

    def lines(self, tolerance: float) -> Lines:
        """Return the lines on the sky, or on either detector, along which most matches lie."""
        rows = self._distinct
        on_image = self.image.pixel[self.image_index[rows], 1:]
        on_ref = self.reference.pixel[self.ref_index[rows], 1:]
        return max((Lines.among(xy, tolerance) for xy in (self.ref_xy[rows], on_image, on_ref)
                    if np.isfinite(xy).all()), key=lambda found: found.share)

    def log10_chance_along(self, lines: Lines, tolerance: float, covered: float) -> float:
        """Return the logarithm of the odds of what matches agree along their `lines`."""
        return lines.log10_chance(self.ref_xy[self._distinct], self.fit(self.image.xy),
                                  self.reference.xy, tolerance, covered=covered)

    @property
    def _distinct(self):
        """Return the matches of different sources; several exposures may show the same."""
        return np.unique(self.ref_index, return_index=True)[1]

    def is_contradicted(self, exposure: int, rules: Rules) -> bool:
        """Whether an exposure has sources enough, and no more matches than chance gives."""
        mine = self.image.exposure_index == exposure
        if mine.sum() < max(rules.fewest_matches, 1):
            return False
        n_pairs = int((self.image.exposure_index[self.image_index] == exposure).sum())
        image_xy = self.fit(self.image.xy[mine])
        return rules.judge.contradicts(n_pairs, image_xy, self.reference.xy)
