"""Fit a linear transform to matched positions, with rejection, robust losses and honest errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from imagereg.alignment.fitting import geometry as families
from imagereg.alignment.fitting.weights import MANY_PAIRS, error_model, extra_scatter, known_errors
from imagereg.alignment.significance import is_significantly_better, p_value_unchanged
from imagereg.errors import DegenerateFit, NotEnoughMatches

_ROUNDING = 1e-10  # of positions, relative to the largest
# Weight of a pair by its residual in units of what is expected. The constants give 95 % efficiency
# (Holland & Welsch 1977, Commun. Stat. A6, 813).
LOSSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": np.ones_like,
    "huber": lambda pull: 1.345 / np.maximum(pull, 1.345),
    "cauchy": lambda pull: 1 / (1 + (pull / 2.385) ** 2),
}
_LADDER = ("shift", "rshift", "rscale", "general")  # each contains the one before
# Largest error at the corners of the field, in errors of one match: a parameter known worse than
# that would make positions there worse than one match alone.
_LOOSE_CORNER = 1.5

GEOMETRIES = tuple(families.GEOMETRIES)


@dataclasses.dataclass(frozen=True, eq=False)
class LinearFit:
    """A linear transform from image-plane to reference-plane positions.

    ``ref_xy = centre + matrix @ (image_xy - centre) + shift``

    Parameters
    ----------
    geometry : str
        ``shift``, ``rshift`` (and rotation), ``rscale`` (one rotation, one scale), ``xyscale`` (a
        scale for each axis, no rotation) or ``general``; where `auto` was asked for, what it chose.
    matrix : (2, 2) ndarray
        Rotation, scale and skew.
    shift : (2,) ndarray
        Pixels of the plane.
    centre : (2,) ndarray
        The point that rotation and scale leave in place.
    covariance : (6, 6) ndarray
        Of shift and matrix: x, y, xx, xy, yx, yy.
    residuals : (N, 2) ndarray
        Reference minus transformed image position of all pairs, pixels.
    used : (N,) ndarray of bool
        The pairs that were left after rejection.
    scatter : float
        Scatter beyond the errors of the positions, pixels; it is part of the weights.
    error_scale : float
        By which the stated errors of the positions are multiplied in the weights.
    """

    geometry: str
    matrix: np.ndarray
    shift: np.ndarray
    centre: np.ndarray
    covariance: np.ndarray
    residuals: np.ndarray
    used: np.ndarray
    scatter: float
    error_scale: float = 1.0

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def of(self, rows: np.ndarray) -> LinearFit:
        """Return the same transform with the residuals of some of its pairs."""
        return dataclasses.replace(self, residuals=self.residuals[rows], used=self.used[rows])

    @property
    def p_value_unchanged(self) -> float:
        """Probability of as large a change where none is needed; NaN where nothing tells."""
        change = np.append(self.shift, (self.matrix - np.eye(2)).ravel())
        n_parameters = families.GEOMETRIES[self.geometry].n_parameters
        return p_value_unchanged(change, self.covariance, n_parameters=n_parameters,
                                 n_pairs=self.nmatches)

    def __call__(self, image_xy: ArrayLike) -> np.ndarray:
        """Transform (N, 2) image-plane positions to the reference plane."""
        return self.centre + (np.asarray(image_xy) - self.centre) @ self.matrix.T + self.shift

    def after(self, first: LinearFit) -> LinearFit:
        """Return this transform carried out after another about the same centre.

        The errors are its own, the pairs those of the first one.
        """
        (x, y), turn = first.shift, first.matrix.T
        carry = np.eye(6)
        carry[0, 2:4] = carry[1, 4:6] = x, y
        carry[2:4, 2:4] = carry[4:6, 4:6] = turn
        return dataclasses.replace(
            first, matrix=self.matrix @ first.matrix, shift=self.matrix @ first.shift + self.shift,
            covariance=carry @ self.covariance @ carry.T)

    @property
    def nmatches(self) -> int:
        """Number of pairs used."""
        return int(self.used.sum())

    @property
    def rms(self) -> np.ndarray:
        """(2,) root mean square of the used residuals about zero, pixels."""
        return np.sqrt((self.residuals[self.used] ** 2).mean(axis=0))

    @property
    def mean_residual(self) -> np.ndarray:
        """(2,) mean of the used residuals, pixels."""
        return self.residuals[self.used].mean(axis=0)

    @property
    def shift_error(self) -> np.ndarray:
        """(2,) one-sigma errors of the shift, pixels."""
        return np.sqrt(np.diagonal(self.covariance)[:2])

    @property
    def rotation(self) -> float:
        """Mean rotation from x to y, degrees."""
        (xx, xy), (yx, yy) = self.matrix
        return float(np.rad2deg(np.arctan2(yx - xy, xx + yy)))

    @property
    def rotation_error(self) -> float:
        """One-sigma error of the rotation, degrees."""
        (xx, xy), (yx, yy) = self.matrix
        sine, cosine = yx - xy, xx + yy
        slope = np.array([0, 0, -sine, -cosine, cosine, -sine]) / (sine**2 + cosine**2)
        return float(np.rad2deg(self._error(slope)))

    @property
    def scale(self) -> float:
        """Mean scale, the square root of the area's change."""
        return float(np.sqrt(np.abs(np.linalg.det(self.matrix))))

    @property
    def scale_error(self) -> float:
        """One-sigma error of the scale."""
        (xx, xy), (yx, yy) = self.matrix
        return self._error(np.array([0, 0, yy, -yx, -xy, xx]) / (2 * self.scale))

    def errors_at(self, image_xy: ArrayLike) -> np.ndarray:
        """Return the one-sigma errors (N, 2), pixels, of transformed positions (N, 2)."""
        step = np.asarray(image_xy, float) - self.centre
        lever = np.column_stack([np.ones(len(step)), step])
        variances = []
        with np.errstate(invalid="ignore"):  # infinite where nothing says how well pairs are known
            for axis in ([0, 2, 3], [1, 4, 5]):
                covariance = self.covariance[np.ix_(axis, axis)]
                variances.append(np.einsum("ni,ij,nj->n", lever, covariance, lever))
        variance = np.column_stack(variances)
        return np.sqrt(np.where(np.isnan(variance), np.inf, variance))

    def _error(self, direction):
        free = direction != 0
        direction = direction[free]
        covariance = self.covariance[np.ix_(free, free)]
        if not np.isfinite(covariance).all():
            return np.inf
        variance = direction @ covariance @ direction
        rounding = 1e-13 * (np.abs(direction) @ np.abs(covariance) @ np.abs(direction))
        # What is bound has no error.
        return float(np.sqrt(variance)) if variance > rounding else 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class _Pairs:
    """What is to be fitted: positions and errors (N, 2), relative to the centre; how they round."""

    image_xy: np.ndarray
    ref_xy: np.ndarray
    errors: np.ndarray
    rounding: float
    loss: str

    def variance(self, model):
        """Variance (N, 2) of the pairs for a scale of their errors and a floor."""
        scale, floor = model
        return (scale * self.errors)**2 + floor**2 + self.rounding**2

    def pull(self, residuals, model):
        """Length of residuals in units of what is expected, per axis (N,)."""
        return np.sqrt((residuals**2 / self.variance(model)).sum(axis=1) / 2)


@dataclasses.dataclass(frozen=True, eq=False)
class _Solution:
    """Coefficients of one geometry, with what they leave."""

    geometry: str
    coefficients: np.ndarray
    covariance: np.ndarray
    residuals: np.ndarray
    model: tuple[float, float]

    def as_fit(self, used, centre):
        family = families.GEOMETRIES[self.geometry]
        return LinearFit(
            geometry=self.geometry, matrix=family.matrix(self.coefficients),
            shift=self.coefficients[:2], centre=centre.copy(),
            covariance=family.covariance(self.covariance), residuals=self.residuals, used=used,
            error_scale=self.model[0], scatter=self.model[1])


def fit_linear(image_xy: ArrayLike, ref_xy: ArrayLike, *, geometry: str, nclip: int,
               sigma: float | None, loss: str, errors: ArrayLike | None = None,
               centre: ArrayLike = (0.0, 0.0)) -> LinearFit:
    """Fit a linear transform by weighted least squares with rejection.

    Weights are those of the positions' errors with a common scatter added in quadrature, which is
    chosen such that the median residual is what these errors let one expect; so neither bright
    stars with tiny errors nor outliers rule the fit. From 50 pairs on the errors have a scale
    too, see `error_model`, so that those stated too small or too large change nothing. Residuals
    are rejected when longer than `sigma` times their expected error per axis.

    Parameters
    ----------
    image_xy, ref_xy : (N, 2) array_like
        Pairs of positions, pixels of one plane.
    geometry : {'shift', 'rshift', 'rscale', 'xyscale', 'general', 'auto'}
        Which transforms are allowed. Shift; shift and rotation; these and one scale; shift and a
        scale for each axis; any; the richest of shift, rshift, rscale and general that the pairs
        carry, see Notes.
    nclip : int
        Largest number of rounds of rejection.
    sigma : float or None
        Limit of rejection; None rejects nothing.
    loss : {'linear', 'huber', 'cauchy'}
        How much a large residual costs: its square; beyond 1.345 sigma only its size; or the
        logarithm of its square, in units of 2.385 sigma.
    errors : (N, 2) array_like, optional
        One-sigma errors of ``ref_xy - image_xy``; all equal where not given. NaN counts as the
        largest of the others.
    centre : (2,) array_like
        The point about which to rotate and scale.

    Returns
    -------
    LinearFit

    Raises
    ------
    NotEnoughMatches
        Fewer pairs than the geometry needs: 1 for `shift` and `auto`, 3 for `general`, 2 for the
        others.
    DegenerateFit
        The pairs do not determine the transform: coincident, for `general` all on one line, for
        `xyscale` all on a line along an axis.
    ValueError
        Positions of different shapes, an unknown geometry or an unknown loss.

    Notes
    -----
    `auto` begins with `shift` and takes each richer geometry in turn (one that fails does not end
    the climb), where

    - it leaves at least as many degrees of freedom as it has parameters: 3, 4 and 6 pairs for
      `rshift`, `rscale` and `general`;
    - none of its parameters is loose: its error at the corners of the box around the pairs is
      nowhere and in neither axis larger than 1.5 times the median error of one pair;
    - it is better than the one taken so far by an F-test of the extra sum of squares at a level of
      0.001 (Bevington & Robinson, Data Reduction and Error Analysis, 3rd ed. 2003, section 11.4;
      Draper & Smith, Applied Regression Analysis, 3rd ed. 1998, chapter 6). Both are compared with
      the weights of the richer one, on the pairs that neither rejects, so that no single pair,
      outlying or far from the others, makes a rotation. Where errors are given the variance in the
      denominator is not less than theirs.

    Three tests at that level make something else of a pure shift in about 0.3 % of all cases or
    fewer.
    """
    image_xy = np.asarray(image_xy, float)
    ref_xy = np.asarray(ref_xy, float)
    centre = np.asarray(centre, float)
    _check(image_xy, ref_xy, geometry, loss)
    known = np.zeros_like(image_xy) if errors is None else known_errors(np.asarray(errors, float))
    largest = max(np.abs(image_xy).max(initial=1.0), np.abs(ref_xy).max(initial=1.0))
    pairs = _Pairs(image_xy - centre, ref_xy - centre, known, _ROUNDING * largest, loss)
    if geometry == "auto":
        solution, used = _richest(pairs, nclip=nclip, sigma=sigma)
    else:
        solution, used = _clipped(pairs, geometry, nclip=nclip, sigma=sigma)
    if solution is None:
        raise DegenerateFit(f"{used.sum()} matches that coincide or lie on one line do not "
                            f"determine fitgeometry={geometry}")
    return solution.as_fit(used, centre)


def _check(image_xy, ref_xy, geometry, loss):
    """Raise where the arguments of `fit_linear` are wrong, or the pairs too few."""
    if image_xy.shape != ref_xy.shape or image_xy.ndim != 2 or image_xy.shape[1] != 2:
        raise ValueError(f"positions have shapes {image_xy.shape} and {ref_xy.shape}, "
                         "expected (N, 2) twice")
    if geometry not in (*GEOMETRIES, "auto"):
        raise ValueError(f"geometry {geometry!r} is none of {', '.join(GEOMETRIES)}, auto")
    if loss not in LOSSES:
        raise ValueError(f"loss {loss!r} is none of {', '.join(LOSSES)}")
    min_pairs = 1 if geometry == "auto" else families.GEOMETRIES[geometry].min_pairs
    if len(image_xy) < min_pairs:
        raise NotEnoughMatches(f"fitgeometry={geometry} needs {min_pairs} matches, "
                               f"there are {len(image_xy)}")


def _richest(pairs, *, nclip, sigma):
    """Solve for the richest geometry of the ladder that the pairs carry."""
    taken = _clipped(pairs, _LADDER[0], nclip=nclip, sigma=sigma)
    for geometry in _LADDER[1:]:
        if len(pairs.image_xy) < families.GEOMETRIES[geometry].n_parameters:
            break
        richer = _clipped(pairs, geometry, nclip=nclip, sigma=sigma)
        if richer[0] is None or _is_loose(pairs, *richer):
            continue
        if _is_better(pairs, taken, richer):
            taken = richer
    return taken


def _is_loose(pairs, solution, used):
    """Whether the transform is known worse than one pair, at a corner of the box around them."""
    xy = pairs.image_xy[used]
    x, y = np.array([xy.min(axis=0), xy.max(axis=0)]).T
    corners = np.array([(x[0], y[0]), (x[0], y[1]), (x[1], y[0]), (x[1], y[1])])
    one = np.median(np.sqrt(pairs.variance(solution.model)[used]), axis=0)
    return (solution.as_fit(used, np.zeros(2)).errors_at(corners) > _LOOSE_CORNER * one).any()


def _is_better(pairs, poorer, richer):
    """Compare sums of squares on the pairs that both use, with the weights of the richer one."""
    common = poorer[1] & richer[1]
    n_poorer = families.GEOMETRIES[poorer[0].geometry].n_parameters
    n_richer = families.GEOMETRIES[richer[0].geometry].n_parameters
    n_free = 2 * int(common.sum()) - n_richer
    if n_free < n_richer:
        return False
    variance = pairs.variance(richer[0].model)
    weighted = np.where(common[:, None], variance, np.inf)
    poorer_sum = _sum_of_squares(pairs, poorer[0].geometry, weighted)
    richer_sum = _sum_of_squares(pairs, richer[0].geometry, weighted)
    if poorer_sum is None or richer_sum is None:
        return False
    least = (pairs.variance((richer[0].model[0], 0.0)) / variance)[common].mean()
    return is_significantly_better(poorer_sum, richer_sum, n_extra=n_richer - n_poorer,
                                   n_free=n_free, least_variance=least)


def _sum_of_squares(pairs, geometry, variance):
    """Return the least weighted sum of squares that a geometry leaves; None where undetermined."""
    family = families.GEOMETRIES[geometry]
    design = family.design(pairs.image_xy)
    target = family.target(pairs.image_xy, pairs.ref_xy)
    found = families.weighted_solution(family, design, target, variance)
    if found is None:
        return None
    residuals = target - (design @ found[0]).T
    return float((residuals ** 2 / variance).sum())


def _clipped(pairs, geometry, *, nclip, sigma):
    """Solve and reject in turns; return the solution, None where undetermined, and used pairs."""
    used = np.ones(len(pairs.image_xy), bool)
    min_pairs = families.GEOMETRIES[geometry].min_pairs
    limit = np.inf if sigma is None else sigma
    solution = _solve(pairs, used, geometry)
    for _ in range(nclip):
        if solution is None:
            break
        keep = pairs.pull(solution.residuals, solution.model) <= limit
        if (keep == used).all() or keep.sum() <= min_pairs:
            break
        used = keep
        solution = _solve(pairs, used, geometry)
    return solution, used


def _solve(pairs, used, geometry):
    """Solve with the scatter that fits the residuals; None where coefficients stay undetermined."""
    family = families.GEOMETRIES[geometry]
    design = family.design(pairs.image_xy)
    target = family.target(pairs.image_xy, pairs.ref_xy)
    model = 1.0, float(np.median(np.hypot(*(target - np.median(target, axis=0)).T)))
    weight = np.ones(len(used))
    for _ in range(20 if pairs.loss == "linear" else 100):  # robust weights settle more slowly
        variance = (pairs.variance(model) + 1e-24) / weight[:, None]
        variance = np.where(used[:, None], variance, np.inf)
        found = families.weighted_solution(family, design, target, variance)
        if found is None:
            return None
        coefficients, covariance = found
        residuals = target - (design @ coefficients).T
        model_before = model
        weight_before = weight
        model = _model(residuals[used], pairs.errors[used], family.n_parameters)
        weight = LOSSES[pairs.loss](pairs.pull(residuals, model))
        is_settled = _is_settled(model, model_before)
        if is_settled and np.abs(weight - weight_before).max() < 1e-4:
            break
    nothing_left = 2 * used.sum() == family.n_parameters
    if nothing_left and not pairs.errors[used].any():  # nothing says how well pairs are known
        covariance = np.full_like(covariance, np.inf)
    return _Solution(geometry, coefficients, covariance, residuals, model_before)


def _is_settled(model, before):
    """Tell whether scale and floor have changed by less than a thousandth."""
    return all(abs(new - old) <= 1e-3 * old for new, old in zip(model, before, strict=True))


def _model(residuals, errors, n_parameters):
    """Return scale and floor of the errors for residuals (N, 2) of a fit."""
    n = len(residuals)
    if n < MANY_PAIRS or not errors.any():
        return 1.0, extra_scatter(residuals, errors, n_parameters)
    square = (residuals**2).sum(axis=1) * (2 * n / (2 * n - n_parameters))
    return error_model(square, (errors**2).mean(axis=1))
