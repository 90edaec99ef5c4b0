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
from scipy.special import fdtrc, gammainc

# Rivals
_RIVAL_SHARE = 0.7  # of the matches beyond chance; a grid of 4 by 4 moved by one column keeps 0.75
_RIVAL_DISTANCE = 3.0  # tolerances; nearer transforms are one and the same after a fit
_REPETITION_SOURCES = 200  # around the middle; all pairs of these are looked at

# Chance probabilities of offsets
_RINGS = (2.0, 6.0, 20.0)  # radii, tolerances; beyond the true pairs, and within a cluster
_N_SIDES = 8  # directions in which pairs beside the true ones are counted
_BESIDE = (3.5, 5.5)  # distances of these places, tolerances; no true pair reaches them
_SURELY_CHANCE = 1e-2  # above this the slower count beside the true pairs changes no verdict
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

    def repetition(self, xy: np.ndarray) -> np.ndarray | None:
        """Return the step (2,) at which most of the positions (N, 2) meet others, if any."""
        to_middle = np.hypot(*(xy - np.median(xy, axis=0)).T)
        core = xy[np.argsort(to_middle)[:_REPETITION_SOURCES]]
        cell_size = 2 * self.tolerance
        steps = (core[:, None] - core)[~np.eye(len(core), dtype=bool)] / cell_size
        most = 0
        step = np.zeros(2)
        # The cells are laid in four ways, so that not every one has a border through the heap.
        for phase in ((0, 0), (0, 0.5), (0.5, 0), (0.5, 0.5)):
            cells, counts = np.unique(np.floor(steps + phase), axis=0, return_counts=True)
            is_close = (cells >= -1).all(axis=1) & (cells <= 0).all(axis=1)
            counts[is_close] = 0  # close pairs are no repetition
            if counts.size and counts.max() > most:
                most = counts.max()
                step = (cells[np.argmax(counts)] + 0.5 - phase) * 2 * self.tolerance
        return step if most / len(core) >= _RIVAL_SHARE else None

    def contradicts(self, n_pairs: int, image_xy: np.ndarray, ref_xy: np.ndarray) -> bool:
        """Tell whether the pairs of one exposure are no more than chance gives.

        Parameters
        ----------
        n_pairs : int
            Of this exposure.
        image_xy, ref_xy : (N, 2) ndarray
            All its positions, with the transform applied, and those of the reference.
        """
        chance_probability, _ = chance_of_pairs(n_pairs, image_xy, ref_xy, self.tolerance)
        return n_pairs == 0 or chance_probability > _CONTRADICTION


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


def chance_of_pairs(n_pairs: int, image_xy: ArrayLike, ref_xy: ArrayLike,
                    tolerance: float) -> tuple[float, float]:
    """Return the probability of as many pairs between unrelated lists, one transform tried.

    Parameters
    ----------
    n_pairs : int
        Pairs within the tolerance.
    image_xy, ref_xy : (N, 2) array_like
        Positions in both lists, with the transform applied. Rows that are not finite are left out.
    tolerance : float
        Pixels.

    Returns
    -------
    chance_probability : float
        Of at least `n_pairs`, by a Poisson distribution.
    n_expected : float
        How many pairs chance gives on average.
    """
    image_xy = np.asarray(image_xy)[np.isfinite(image_xy).all(axis=1)]
    ref_tree = cKDTree(np.asarray(ref_xy)[np.isfinite(ref_xy).all(axis=1)])
    n_sources = len(image_xy)
    image_xy = image_xy[:: max(1, n_sources // _MOST_COUNTED)]
    weight = n_sources / max(1, len(image_xy))
    # Pairs in rings around the tolerance tell how many chance gives within it, where both lists are
    # dense together too, as in a cluster. One more is counted in the outer ring than there is: none
    # seen does not mean none expected.
    radii = [radius * tolerance for radius in _RINGS]
    n_within = np.array([_n_neighbours(image_xy, ref_tree, radius) for radius in radii])
    n_in_rings = n_within[1:] - n_within[:-1] + [0, 1]
    per_source = (n_in_rings / np.diff(np.square(_RINGS))).max()
    chance_probability = gammainc(n_pairs, per_source * weight)
    if chance_probability > _SURELY_CHANCE:
        return float(chance_probability), float(per_source * weight)
    # Along a line, a column of a detector say, the number of pairs grows with the radius and not
    # with its square: what the tolerance holds to one side tells.
    angles = np.arange(_N_SIDES) * 2 * np.pi / _N_SIDES
    for aside in tolerance * np.column_stack([np.cos(angles), np.sin(angles)]):
        n_beside = [_n_neighbours(image_xy + far * aside, ref_tree, tolerance) for far in _BESIDE]
        per_source = max(per_source, np.sum(n_beside) / len(_BESIDE))
    return float(gammainc(n_pairs, per_source * weight)), float(per_source * weight)


def _n_neighbours(xy, tree, radius):
    return tree.query_ball_point(xy, radius, return_length=True).sum()


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
    probabilities = []
    for radius in _PATTERN_RADII:
        n_free = max((distance <= radius * tolerance).sum() - 2, 1)
        one = float(gammainc(n_free, n_expected * radius**2))
        probabilities.append(n_trials * len(_PATTERN_RADII) * one)
    return min(probabilities)


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
