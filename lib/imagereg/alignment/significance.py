"""Decide what to believe: chance probabilities, rivals, repetition, detector defects, F-tests.

The matchers and the fit ask here whether what they found could be due to chance, and whether
something else explains the sources as well. The thresholds were chosen such that
tests/bench/false_successes.py counts no false success.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree
from scipy.special import fdtrc, gammainc, gammaln

# Rivals
_RIVAL_SHARE = 0.7  # of the matches beyond chance; a grid of 4 by 4 moved by one column keeps 0.75
# Of what should match: stars among ten times as many cosmic rays are more. A few at an offset that
# was not expected are believed only where they are most of it.
_LEAST_SHARE = 0.1
_MOST = 0.5
# Matches at an offset that was not expected: unrelated fields may have three to six sources in
# common (tests/bench/negatives.py).
_TELLING = 7
_RIVAL_DISTANCE = 3.0  # tolerances; nearer transforms are one and the same after a fit

# Chance probabilities of offsets
_RINGS = (2.0, 6.0, 20.0)  # radii, tolerances; beyond the true pairs, and within a cluster
_N_AXES = 24  # directions of lines through the true pairs; 7.5 degrees apart
_ALONG = (2.5, 6.5)  # tolerances, part of these lines in which chance pairs are counted
_A_LINE = 0.05  # a line with more pairs than this probability allows is one, and no chance
_LONELY = (0, 2)  # most sources of the reference in the outer ring around a lonely one
_MOST_NEAR = 1_000_000  # chance pairs whose directions are looked at
_MOST_COUNTED = 50_000  # sources around which chance pairs are counted; more tell no more
_N_TURNS = 10.0  # distinguishable rotations and scales that a fit from an offset may end in
_CONTRADICTION = 1e-3  # an exposure above this does not support the correction of its visit

# Chance probabilities of patterns
_PATTERN_RINGS = (2.0, 6.0, 20.0, 60.0)  # radii, tolerances
_PATTERN_RADII = (1.0, 0.5)  # tolerances, within which matches are counted: bright stars fit better
_FEW_PAIRS = 10  # in a ring say nothing yet about the density
_MANY_PAIRS = 1000  # in a ring say all; wider ones would be slow

# Defects of the detector
SAME_PIXEL = 2.0  # pixels; a hot pixel's position varies by less, a dither is larger
_FIXED_SHARE = 0.5  # of the matches: most of them decide
_CHIPS_APART = 1e7  # pixels; so that sources of different chips are never near each other

_SMALLEST = -300.0  # log10 of a probability that is written

# F-tests
_CHANGE_LEVEL = 0.01  # one right WCS in a hundred is changed (test_rate_of_needless_changes)
_RICHER_LEVEL = 1e-3  # three steps up the ladder make something else of 0.3 % of pure shifts


@dataclasses.dataclass(frozen=True)
class Judge:
    """Decide whether a match is believed, and whether another one explains the sources as well.

    Parameters
    ----------
    maxchance : float
        Largest probability that unrelated lists match as well.
    tolerance : float
        Largest distance of partners, pixels.
    """

    maxchance: float
    tolerance: float

    def believes(self, chance_probability: float) -> bool:
        """Tell whether a match is more than chance gives."""
        return not chance_probability > self.maxchance

    def is_rival(self, distance: float, n_beyond_chance: float,
                 n_beyond_chance_best: float) -> bool:
        """Tell whether a transform is another one than the best and explains about as much.

        Parameters
        ----------
        distance : float
            Between the places where both put the matched sources, pixels.
        n_beyond_chance, n_beyond_chance_best : float
            Matches of both less what chance gives.
        """
        is_other = distance > _RIVAL_DISTANCE * self.tolerance
        return bool(is_other and n_beyond_chance >= _RIVAL_SHARE * n_beyond_chance_best)

    def is_repetition(self, share: float) -> bool:
        """Tell whether so large a share of the matches fits elsewhere that nothing is decided."""
        return share >= _RIVAL_SHARE

    def may_be_accident(self, n_matches: int) -> bool:
        """Tell whether unrelated fields have as many sources in common, at some offset."""
        return n_matches < _TELLING

    def explains(self, share: float, *, are_few: bool) -> bool:
        """Tell whether the share that matches of what should match is enough to believe in it."""
        return share >= (_MOST if are_few else _LEAST_SHARE)

    def contradicts(self, n_pairs: int, image_xy: np.ndarray, ref_xy: np.ndarray) -> bool:
        """Tell whether the pairs of one exposure are no more than chance gives.

        Parameters
        ----------
        n_pairs : int
            Of this exposure.
        image_xy, ref_xy : (N, 2) ndarray
            All its positions, with the transform applied, and those of the reference.
        """
        log10_chance, _ = chance_of_pairs(n_pairs, image_xy, ref_xy, self.tolerance)
        return n_pairs == 0 or log10_chance > np.log10(_CONTRADICTION)


def probability(log10_chance: float) -> float:
    """Return a probability by its logarithm; one that is too small for a float becomes 1e-300."""
    return float(10.0 ** max(log10_chance, _SMALLEST)) if np.isfinite(log10_chance) else np.nan


def log10(chance_probability: float) -> float:
    """Return the logarithm of a probability; that of one too small for a float is -300."""
    return float(np.log10(max(chance_probability, 10.0**_SMALLEST)))


def n_trials_of_offset(half_box: float, tolerance: float, *, geometry: str,
                       first_tolerance: float) -> float:
    """Return how many distinguishable transforms a fit that starts from an offset may end in.

    Parameters
    ----------
    half_box : float
        Half the side of the box from which the offset was chosen, pixels; 0 for a given one.
    tolerance, first_tolerance : float
        Largest distance of partners now, and of those with which the fit began, pixels.
    geometry : str
        Of the fit; any but ``shift`` may turn and stretch.
    """
    n_offsets = max(1.0, (2 * half_box) ** 2 / (np.pi * tolerance**2))
    if geometry == "shift":
        return n_offsets
    return n_offsets * (_N_TURNS * (first_tolerance / tolerance) ** 2)


def chance_of_pairs(n_pairs: float, image_xy: ArrayLike, ref_xy: ArrayLike, tolerance: float, *,
                    matched: ArrayLike = ()) -> tuple[float, float]:
    """Return the probability of as many pairs between unrelated lists, one transform tried.

    Parameters
    ----------
    n_pairs : float
        Pairs within the tolerance, those that count.
    image_xy, ref_xy : (N, 2) and (M, 2) array_like
        Positions in both lists, with the transform applied. Rows that are not finite are left out.
    tolerance : float
        Pixels.
    matched : (K,) array_like of int, optional
        Indices of image sources that have a partner. Where these lie in lonely places the odds are
        those of the sources there, if they are better.

    Returns
    -------
    log10_chance : float
        Logarithm of the probability of at least `n_pairs`, by a Poisson distribution.
    n_expected : float
        How many pairs chance gives on average.
    """
    positions: np.ndarray = np.asarray(image_xy, float)
    is_matched = np.zeros(len(positions), bool)
    is_matched[np.asarray(matched, int)] = True
    is_finite = np.isfinite(positions).all(axis=1)
    positions = positions[is_finite]
    is_matched = is_matched[is_finite]
    ref_tree = cKDTree(np.asarray(ref_xy)[np.isfinite(ref_xy).all(axis=1)])
    step = max(1, len(positions) // _MOST_COUNTED)
    weight = len(positions) / max(1, len(positions[::step]))
    # Pairs in rings around the tolerance tell how many chance gives within it, where both lists are
    # dense together too, as in a cluster. One more is counted in the outer ring than there is: none
    # seen does not mean none expected.
    n_within = np.array([ref_tree.query_ball_point(positions[::step], radius * tolerance,
                                                   return_length=True) for radius in _RINGS])
    n_inner, n_outer = np.diff(n_within, axis=0)
    inner_area, outer_area = np.pi * np.diff(np.square(_RINGS))  # square tolerances
    per_area = max(n_inner.sum() / inner_area, (n_outer.sum() + 1) / outer_area)
    line = _NearPairs.of(positions[::step], ref_tree, tolerance)
    along_line = line.along_line(per_area)
    n_expected = np.pi * max(per_area, along_line) * weight
    log10_chance = min(log10_poisson(n_pairs, n_expected), 0.0)
    share_counted = n_pairs / max(is_matched.sum(), 1)
    # In a cluster many pairs are chance; the few sources beside it may tell more. The outer ring
    # says which these are, the inner one, or a line that they share, what chance gives them.
    for most in _LONELY:
        lonely = n_outer <= most
        n_matched = is_matched[::step][lonely].sum() * weight * min(share_counted, 1.0)
        if n_matched:
            per_area = (n_inner[lonely].sum() + 1) / inner_area
            along_line = line.along_line(per_area, lonely)
            log10_there = log10_poisson(n_matched, np.pi * max(per_area, along_line) * weight)
            log10_chance = min(log10_chance, log10_there + np.log10(1 + len(_LONELY)))
    return float(log10_chance), float(n_expected)


def is_expected_peak(n_pairs: int, image_xy: np.ndarray, ref_xy: np.ndarray, tolerance: float, *,
                     half_box: float) -> bool:
    """Tell whether unrelated lists have so high a peak somewhere in the box that was searched.

    Sources are taken to be spread evenly. Where they come in clumps chance gives more, so that no
    peak is dismissed that could be right.

    Parameters
    ----------
    n_pairs : int
        At the peak.
    image_xy, ref_xy : (N, 2) and (M, 2) ndarray
        Positions in both lists, with the offset of the peak applied.
    tolerance, half_box : float
        See `n_trials_of_offset`.
    """
    low = np.maximum(np.nanmin(image_xy, axis=0), np.nanmin(ref_xy, axis=0))
    high = np.minimum(np.nanmax(image_xy, axis=0), np.nanmax(ref_xy, axis=0))
    if not (high > low).all():
        return False
    n_common = [((xy >= low) & (xy <= high)).all(axis=1).sum() for xy in (image_xy, ref_xy)]
    n_expected = np.prod(n_common) * np.pi * tolerance**2 / np.prod(high - low)
    n_trials = n_trials_of_offset(half_box, tolerance, geometry="shift", first_tolerance=tolerance)
    return bool(log10_poisson(n_pairs, n_expected) + np.log10(n_trials) > 0)


@dataclasses.dataclass(frozen=True, eq=False)
class _NearPairs:
    """Pairs beside the matches: which image source each has, and what lies along which direction.

    Along a line, a column of the detector or the trail of a satellite, the number of chance pairs
    grows with the distance and not with its square, so that rings tell too little.
    """

    owner: np.ndarray
    is_along: np.ndarray
    step: int

    @classmethod
    def of(cls, image_xy, ref_tree, tolerance):
        """Find the pairs, of some of the sources where they are too many."""
        near, far = _ALONG
        n_near = len(image_xy) * ref_tree.n  # if all were near each other
        if n_near > _MOST_NEAR:
            n_near = ref_tree.query_ball_point(image_xy, far * tolerance, return_length=True).sum()
        step = 1 + int(n_near // _MOST_NEAR)
        image_tree = cKDTree(image_xy[::step])
        pairs = image_tree.sparse_distance_matrix(ref_tree, far * tolerance, output_type="ndarray")
        pairs = pairs[pairs["v"] > near * tolerance]
        difference = ref_tree.data[pairs["j"]] - image_tree.data[pairs["i"]]
        angles = np.arange(_N_AXES) * np.pi / _N_AXES
        across = np.abs(difference @ np.array([-np.sin(angles), np.cos(angles)]))
        return cls(step * pairs["i"], across < tolerance, step)

    def along_line(self, per_area, chosen=None):
        """Return the density of pairs, per square tolerance, along the densest line; 0 without one.

        `per_area` is what chance gives. Only image sources that are `chosen`, (N,) bool, count.
        """
        near, far = _ALONG
        is_along = self.is_along if chosen is None else self.is_along[chosen[self.owner]]
        most = self.step * is_along.sum(axis=0).max(initial=0)
        area = 2 * (far - near) * 2  # to both sides of the middle and of the axis
        if _N_AXES * gammainc(max(most, 1), per_area * area) > _A_LINE:
            return 0.0
        return most / area


def log10_poisson(n: float, n_expected: float) -> float:
    """Return the logarithm of the probability of `n` events or more where fewer are expected.

    It is finite where the probability itself is too small for a float.
    """
    if n <= 0:
        return 0.0
    probability = gammainc(n, n_expected)
    if probability > 1e-200:
        return float(np.log10(probability))
    # The leading terms of the series, DLMF 8.11.4, which converges fast for n above n_expected.
    terms = n_expected / (n + np.arange(1, 200))
    series = 1 + np.cumprod(terms).sum()
    with np.errstate(divide="ignore"):
        log_first = n * np.log(n_expected) - n_expected - gammaln(n + 1)
    return float(max((log_first + np.log(series)) / np.log(10), -1e9))


def chance_of_pattern(distance: np.ndarray, n_expected: float, *, tolerance: float,
                      n_trials: float) -> float:
    """Return the probability that one of the transforms tried does as well with unrelated lists.

    Parameters
    ----------
    distance : (N,) ndarray
        Between partners, pixels. Two of them fix the transform and are no evidence.
    n_expected : float
        Number of pairs within the tolerance that chance gives.
    tolerance : float
        Pixels.
    n_trials : float
        Number of transforms tried.
    """
    log10_chances = []
    for radius in _PATTERN_RADII:
        n_free = max((distance <= radius * tolerance).sum() - 2, 1)
        log10_chances.append(log10_poisson(n_free, n_expected * radius**2))
    return probability(min(log10_chances) + log10(n_trials * len(_PATTERN_RADII)))


def pairs_expected_of_pattern(image_xy: np.ndarray, ref_tree: cKDTree, area: float,
                              tolerance: float) -> float:
    """Return how many pairs within the tolerance unrelated lists of these densities have.

    Parameters
    ----------
    image_xy : (N, 2) ndarray
        Positions, with the transform applied.
    ref_tree : cKDTree
        Of the positions in the reference.
    area : float
        That the wider of the two lists covers, square pixels.
    tolerance : float
        Pixels.
    """
    n_expected = len(image_xy) * ref_tree.n * np.pi * tolerance**2 / area
    image_tree = cKDTree(image_xy)
    # Where both lists are dense together, as in a cluster, there are more. Two sigma are added to
    # what is counted.
    inner = _PATTERN_RINGS[0]
    n_inner = image_tree.count_neighbors(ref_tree, inner * tolerance)
    for outer in _PATTERN_RINGS[1:]:
        n_outer = image_tree.count_neighbors(ref_tree, outer * tolerance)
        n_in_ring = n_outer - n_inner
        if n_in_ring >= _FEW_PAIRS:
            per_area = (n_in_ring + 2 * np.sqrt(n_in_ring)) / (outer**2 - inner**2)
            n_expected = max(n_expected, per_area)
        if n_outer > _MANY_PAIRS:
            break
        inner = outer
        n_inner = n_outer
    return n_expected


def pairs_on_same_pixel(image_pixel: np.ndarray, ref_pixel: np.ndarray) -> np.ndarray:
    """Return the indices (2, K) of pairs on one chip within a few pixels.

    Parameters
    ----------
    image_pixel, ref_pixel : (N, 3) and (M, 3) ndarray
        Chip, x and y of sources on the detector; NaN where there is none.
    """
    known = [np.flatnonzero(np.isfinite(p).all(axis=1)) for p in (image_pixel, ref_pixel)]
    stretch = np.array([_CHIPS_APART, 1.0, 1.0])
    image_tree = cKDTree((image_pixel * stretch)[known[0]])
    ref_tree = cKDTree((ref_pixel * stretch)[known[1]])
    pairs = image_tree.sparse_distance_matrix(ref_tree, SAME_PIXEL, output_type="ndarray")
    return np.array([known[0][pairs["i"]], known[1][pairs["j"]]])


def detector_fixed_shift(image_pixel: np.ndarray, ref_pixel: np.ndarray,
                         step: np.ndarray) -> float:
    """Dither in pixels where most matches stay at one detector position (hot pixels), else 0.

    Parameters
    ----------
    image_pixel, ref_pixel : (N, 3) ndarray
        Chip, x and y of matched sources on the detector; NaN where there is none.
    step : (N, 2) ndarray
        From the places in the reference to those in the image by the headers, pixels of the plane.
    """
    on_detector = image_pixel - ref_pixel
    with np.errstate(invalid="ignore"):
        distance = np.hypot(on_detector[:, 1], on_detector[:, 2])
        is_fixed = (on_detector[:, 0] == 0) & (distance < SAME_PIXEL)
    if is_fixed.sum() < _FIXED_SHARE * len(is_fixed):
        return 0.0
    return float(np.median(np.hypot(*step[is_fixed].T)))


def p_value_unchanged(change: np.ndarray, covariance: np.ndarray, *, n_parameters: int,
                      n_pairs: int) -> float:
    """Return the probability of as large a change where none is needed; NaN where nothing tells.

    An F-test (Bevington & Robinson 2003, section 11.4) of all parameters against zero.

    Parameters
    ----------
    change : (6,) ndarray
        Shift, and matrix less unity.
    covariance : (6, 6) ndarray
        Of these; 0 for what is bound.
    n_parameters : int
        Number of free parameters of the fit.
    n_pairs : int
        On which it is based.
    """
    variance = np.diagonal(covariance)
    is_bound = variance <= 0
    if not np.isfinite(variance).all() or is_bound.all():
        return np.nan
    unit = np.where(is_bound, 1.0, np.sqrt(np.abs(variance)))
    inverse = np.linalg.pinv(covariance / np.outer(unit, unit), rcond=1e-9, hermitian=True)
    ratio = (change / unit) @ inverse @ (change / unit) / n_parameters
    n_free = max(2 * n_pairs - n_parameters, 1)
    return float(fdtrc(n_parameters, n_free, max(ratio, 0.0)))


def is_needless(p_value: float) -> bool:
    """Tell whether a change is one that a right WCS would be given as well."""
    return p_value > _CHANGE_LEVEL


def is_significantly_better(poorer_sum: float, richer_sum: float, *, n_extra: int, n_free: int,
                            least_variance: float) -> bool:
    """F-test of the extra sum of squares that a richer fit explains.

    Bevington & Robinson 2003, section 11.4; Draper & Smith 1998, chapter 6.

    Parameters
    ----------
    poorer_sum, richer_sum : float
        Weighted sums of squares that both fits leave.
    n_extra : int
        Number of parameters that the richer one has more.
    n_free : int
        Degrees of freedom that it leaves.
    least_variance : float
        Of one residual by the errors of the positions, in the same weights.
    """
    variance = max(richer_sum / n_free, least_variance)
    ratio = (poorer_sum - richer_sum) / n_extra / variance
    return bool(fdtrc(n_extra, n_free, max(ratio, 0.0)) < _RICHER_LEVEL)
