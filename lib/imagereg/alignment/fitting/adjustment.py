"""Least squares over many lists of stars at once, the positions of the stars eliminated.

The overlap method (Eichhorn 1960, Astron. Nachr. 285, 233; Jefferys 1979, AJ 84, 1775): every list
gives the positions of some of the stars, each list has a few parameters, and the stars themselves
are where all their measurements agree best. Their positions leave the normal equations one by one,
so that these have the size of the parameters, however many stars there are.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from scipy import linalg, sparse

from imagereg.alignment.fitting.fit import LOSSES
from imagereg.alignment.fitting.weights import MEDIAN_CHI2, error_model

_MOST_ROUNDS = 30  # of weights, rejection and solution; ten do in practice
_SETTLED = 0.02  # of its own error: a parameter that moves by less rests
_SETTLED_VARIANCE = 0.01  # relative, on average
_FEW_FLIPS = 1e-3  # of the measurements; at the limit of rejection some come and go for ever
_STARS_AT_ONCE = 2048  # whose equations are dense in memory: 16 MB for 1,000 parameters
_LEAST_SHARE = 0.1  # of its variance in a residual; one with less says little of its own list
_ALONE = 1e-6  # share of a measurement that is its star's only one
_FEWEST_TELL = 5  # measurements; fewer leave the error model of their list as it was
_LEAST_ERROR = 1e-4  # pixels; no position is better, not even where copies agree to the last digit
# Least eigenvalue of the normal equations with unit diagonal that determines a direction: rounding
# gives 1e-15 times their number, the shift and rotation of a field far from the centre 1e-6.
_LEAST_EIGENVALUE = 1e-10


@dataclasses.dataclass(frozen=True, eq=False)
class Measurements:
    """Positions of stars in several lists, each row one star in one list.

    Parameters
    ----------
    star, list_index : (N,) ndarray of int
        Which star, which list.
    xy, error : (N, 2) ndarray
        Where it is, and the one-sigma error as stated; pixels.
    kind : (L,) ndarray of int
        By list: those of one kind have errors of one origin.
    """

    star: np.ndarray
    list_index: np.ndarray
    xy: np.ndarray
    error: np.ndarray
    kind: np.ndarray

    @functools.cached_property
    def n_stars(self) -> int:
        """Number of stars."""
        return int(self.star.max(initial=-1)) + 1

    @functools.cached_property
    def rows(self) -> list[np.ndarray]:
        """Rows of each list."""
        order = np.argsort(self.list_index, kind="stable")
        starts = np.searchsorted(self.list_index[order], np.arange(1, len(self.kind)))
        return np.split(order, starts)

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over the measurements of each star, (S, 2) of (N, 2)."""
        sums = [np.bincount(self.star, column, self.n_stars) for column in values.T]
        return np.column_stack(sums)


@dataclasses.dataclass(frozen=True, eq=False)
class Adjustment:
    """Parameters of all lists, and what they are based on.

    Parameters
    ----------
    parameters : (P,) ndarray
        Zero where lists stay as they are.
    covariance : (P, P) ndarray
        Of these.
    xy : (N, 2) ndarray
        Measured positions with the parameters applied, pixels.
    stars : (S, 2) ndarray
        Positions of the stars; NaN for one without a measurement that is used.
    variance : (N, 2) ndarray
        Of the measurements, as the residuals have it.
    used : (N,) ndarray of bool
        Measurements that were not rejected, of stars that have two at least.
    n_free : int
        Degrees of freedom.
    """

    parameters: np.ndarray
    covariance: np.ndarray
    xy: np.ndarray
    stars: np.ndarray
    variance: np.ndarray
    used: np.ndarray
    n_free: int


def adjust(measured: Measurements, design: tuple[sparse.csr_array, sparse.csr_array], *,
           scatter: np.ndarray, sigma: float | None, loss: str) -> Adjustment:
    """Solve for the parameters of all lists by robust least squares.

    The residuals tell a scale and a floor of the errors of each kind of lists, and a factor for
    each list. Of each star the measurement that is worst is rejected where it is off by more than
    `sigma`; it comes back where the others move to it.

    Parameters
    ----------
    measured : Measurements
        What to bring together.
    design : two (N, P) sparse arrays
        How x and y of a measurement change with each parameter.
    scatter : (L,) ndarray
        First guess of the scatter of each list beyond its errors, pixels.
    sigma : float or None
        Limit of rejection; None rejects nothing.
    loss : str
        See `fit_linear`.

    Raises
    ------
    numpy.linalg.LinAlgError
        The measurements do not determine the parameters, see `undetermined`.
    """
    variance = measured.error**2 + scatter[measured.list_index, None] ** 2 + _LEAST_ERROR**2
    robust = np.ones(len(variance))
    kept = np.ones(len(variance), bool)
    parameters = np.zeros(design[0].shape[1])
    limit = np.inf if sigma is None else sigma
    for _ in range(_MOST_ROUNDS):
        before = parameters, kept, variance
        weight = (robust * kept)[:, None] / variance
        parameters, covariance = solve_once(measured, design, weight)
        xy = measured.xy + np.column_stack([axis @ parameters for axis in design])
        stars, star_variance = _stars(measured, xy, weight)
        step = _transform_variance(measured, design, weight, covariance)
        share = _share_left(weight, variance, star_variance[measured.star] + step)
        square = (xy - stars[measured.star]) ** 2
        counted = np.where(kept[:, None], square, np.nan)
        variance = _modelled(measured, counted, share, variance)
        pull = np.sqrt((square / (share * variance)).sum(axis=1) / 2)
        kept = _kept(measured, pull, kept, limit)
        robust = LOSSES[loss](pull)
        if _is_settled(before, (parameters, kept, variance), covariance):
            break
    used = _in_pairs(measured, kept)
    n_stars = len(np.unique(measured.star[used]))
    n_free = 2 * int(used.sum()) - 2 * n_stars - len(parameters)
    # Variances are those of medians, which a few large residuals do not move, but parameters are.
    chi2 = (square[used] / variance[used]).sum()
    covariance *= max(1.0, chi2 / max(n_free, 1))
    return Adjustment(parameters, covariance, xy, stars, variance, used, n_free)


def undetermined(measured: Measurements, design: tuple[sparse.csr_array, sparse.csr_array],
                 ) -> np.ndarray:
    """Return which parameters (P,) the measurements leave open, bool.

    Such are those of a group of lists that share too few stars with what is fixed.
    """
    weight = np.ones((len(measured.star), 2))
    normal, _ = _normal_equations(measured, design, weight)
    unit = np.sqrt(np.maximum(np.diagonal(normal), 1e-300))
    values, vectors = np.linalg.eigh(normal / np.outer(unit, unit))
    open_part = (vectors[:, values < _LEAST_EIGENVALUE] ** 2).sum(axis=1)
    return open_part > 1e-6  # a share in an open direction that is no rounding


def solve_once(measured, design, weight):
    """Solve for the parameters with given weights (N, 2); return them and their covariance."""
    normal, gradient = _normal_equations(measured, design, weight)
    if not len(gradient):
        return gradient, normal
    unit = np.sqrt(np.maximum(np.diagonal(normal), 1e-300))
    factor = linalg.cho_factor(normal / np.outer(unit, unit))
    covariance = linalg.cho_solve(factor, np.eye(len(unit))) / np.outer(unit, unit)
    return -linalg.cho_solve(factor, gradient / unit) / unit, covariance


def _normal_equations(measured, design, weight):
    """Return matrix (P, P) and gradient (P,) where the stars are at their best."""
    n_parameters = design[0].shape[1]
    normal = np.zeros((n_parameters, n_parameters))
    gradient = np.zeros(n_parameters)
    total = measured.summed(weight)
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    stars = measured.summed(weight * measured.xy) * inverse
    n = len(measured.star)
    for axis, axis_design in enumerate(design):
        w = weight[:, axis]
        weighted = sparse.diags_array(w) @ axis_design
        normal += (axis_design.T @ weighted).toarray()
        gradient += weighted.T @ (measured.xy - stars[measured.star])[:, axis]
        membership = sparse.csr_array((np.ones(n), (measured.star, np.arange(n))),
                                      shape=(measured.n_stars, n))
        _eliminate(normal, (membership @ weighted).tocsr(), inverse[:, axis])
    return normal, gradient


def _eliminate(normal, by_star, inverse):
    """Take the part of the stars out of the matrix, in place."""
    for start in range(0, by_star.shape[0], _STARS_AT_ONCE):
        dense, columns = _occupied(by_star[start:start + _STARS_AT_ONCE])
        root = np.sqrt(inverse[start:start + _STARS_AT_ONCE, None])
        dense *= root
        normal[np.ix_(columns, columns)] -= dense.T @ dense


def _occupied(matrix):
    """Return the columns of a sparse matrix that are not all zero, dense, and which these are."""
    matrix = matrix.tocsc()
    columns = np.flatnonzero(np.diff(matrix.indptr))
    return matrix[:, columns].toarray(), columns


def _stars(measured, xy, weight):
    """Return the positions of the stars and their variances, (S, 2) each.

    Transforms count as known. NaN for a star with nothing left.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = 1 / measured.summed(weight)
        return measured.summed(weight * xy) * variance, variance


def _transform_variance(measured, design, weight, covariance):
    """Return what the covariance of the parameters adds to the variances of residuals (N, 2).

    What moves a star in all its lists alike moves none of its residuals.
    """
    added = np.zeros(weight.shape)
    share = weight / np.maximum(measured.summed(weight), 1e-300)[measured.star]
    for axis, axis_design in enumerate(design):
        for rows in measured.rows:
            own, columns = _occupied(axis_design[rows])
            along = own @ covariance[np.ix_(columns, columns)]
            added[rows, axis] = (along * own).sum(axis=1)
        for rows in _by_stars(measured):
            part = axis_design[rows]
            place = measured.star[rows] - measured.star[rows[0]]
            members = sparse.csr_array((share[rows, axis], (place, np.arange(len(rows)))))
            mean, columns = _occupied(members @ part)
            along = mean @ covariance[np.ix_(columns, columns)]
            entries = part[:, columns].tocoo()
            values = entries.data * along[place[entries.row], entries.col]
            common = np.bincount(entries.row, values, len(rows))
            added[rows, axis] += (along * mean).sum(axis=1)[place] - 2 * common
    return np.maximum(added, 0)


def _by_stars(measured):
    """Yield the rows of the measurements of so many stars as are solved at once."""
    order = np.argsort(measured.star, kind="stable")
    starts = np.arange(_STARS_AT_ONCE, measured.n_stars, _STARS_AT_ONCE)
    parts = np.split(order, np.searchsorted(measured.star[order], starts))
    yield from (rows for rows in parts if len(rows))


def _share_left(weight, variance, fitted):
    """Return what share of its variance a residual has, for the variance of where it was fitted.

    A measurement that counts has drawn its star, and the transform of its list, to itself, so that
    its residual is smaller than its error; one that does not adds their errors to its own.
    """
    change = np.where(weight > 0, -fitted, fitted) / variance
    return np.maximum(1 + change, _ALONE)


def _modelled(measured, square, share, before):
    """Return the variance of all measurements (N, 2), from scale and floor of their errors.

    `square` (N, 2) are the squares of the residuals of measurements that count, NaN for others; see
    `_share_left` for `share` (N, 2). Scale and floor are those of all lists of a kind, whose errors
    have one origin; a list's own would shift weight between lists by what its few residuals happen
    to be. It has a factor of its own, see `_own_factor`. A list that has drawn nearly all its stars
    to itself, as an exact catalog does, keeps the variance that it had `before`: its residuals tell
    no more.
    """
    known = measured.error**2
    variance = before.copy()
    tells = (np.isfinite(square) & (share > _LEAST_SHARE)).all(axis=1)
    size = (square / share).sum(axis=1)
    kind = measured.kind[measured.list_index]
    for one in np.unique(measured.kind):
        some = tells & (kind == one)
        if some.sum() < _FEWEST_TELL:
            continue
        scale, floor = error_model(size[some], known[some].mean(axis=1))
        of_kind = np.maximum(scale**2 * known + floor**2, _LEAST_ERROR**2)
        expected = of_kind.mean(axis=1)
        for number in np.flatnonzero(measured.kind == one):
            rows = measured.rows[number]
            own = rows[tells[rows]]
            factor = _own_factor(size[own] / expected[own], share[own].mean(axis=1))
            variance[rows] = factor * of_kind[rows]
    return np.maximum(variance, _LEAST_ERROR**2)


def _own_factor(chi2, share):
    """Return the factor of a list's variances that the chi squared (N,) of its residuals tell.

    It is that of their median, its logarithm shrunk by what chance alone makes of it (James & Stein
    1961, Proc. 4th Berkeley Symp. 1, 361). A residual that has a `share` (N,) of its variance left
    tells that much less: else a list with small residuals would draw its stars to itself, and its
    residuals would become smaller.
    """
    if not len(chi2):
        return 1.0
    logarithm = np.log(max(np.median(chi2) / MEDIAN_CHI2, 1e-12))
    chance = 1 / (np.log(2)**2 * (share**2).sum())  # variance; chi squared is exponential
    return float(np.exp(logarithm * max(0.0, 1 - chance / max(logarithm**2, 1e-12))))


def _kept(measured, pull, kept, limit):
    """Return which measurements stay: of each star the worst goes where it is off too far."""
    is_far = pull > limit
    standing = np.where(kept, pull, -1.0)
    order = np.lexsort((standing, measured.star))
    is_last = np.append(np.diff(measured.star[order]) > 0, True)
    worst = np.zeros(len(pull), bool)
    worst[order[is_last]] = True
    return ~is_far | (kept & ~worst)


def _in_pairs(measured, used):
    """Return the measurements that are used, of stars that have two at least."""
    counts = np.bincount(measured.star, used, measured.n_stars)
    return used & (counts[measured.star] > 1)


def _is_settled(before, now, covariance):
    """Tell whether parameters, rejection and variances have come to rest."""
    step = np.abs(now[0] - before[0])
    return bool((step <= _SETTLED * np.sqrt(np.diagonal(covariance))).all()
                and (now[1] != before[1]).mean() <= _FEW_FLIPS
                and np.abs(now[2] / before[2] - 1).mean() < _SETTLED_VARIANCE)
