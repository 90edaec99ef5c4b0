"""Errors of pairs of positions, and what the residuals tell of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MEDIAN_CHI2 = 2 * np.log(2)  # of two degrees of freedom
# Pairs that tell a scale of the errors besides their floor: the medians of two halves are known to
# a quarter.
MANY_PAIRS = 50
_PAIRS_A_BIN = 25
_MOST_BINS = 12
_LEAST_SQUARE = 1e-40  # square pixels, far below rounding; exact pairs leave nothing
_MOST_STEPS = 100  # of the search for a zero; eight do in practice


def error_model(square: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """Return scale and floor of errors, such that residuals are what these let one expect.

    ``scale**2 * variance + floor**2`` is compared with the medians of the squares in bins of equal
    numbers, so that neither outliers nor the few best positions rule. Few pairs tell a floor only.

    Parameters
    ----------
    square : (N,) ndarray
        Squares of the lengths of residuals, x and y together, pixels.
    variance : (N,) ndarray
        Of each along one axis, as stated.

    Returns
    -------
    scale, floor : float
        The floor in pixels.
    """
    n = len(square)
    if n == 0:
        return 1.0, 0.0
    if n < MANY_PAIRS:
        return 1.0, extra_scatter(np.sqrt(square / 2)[:, None].repeat(2, axis=1),
                             np.sqrt(variance)[:, None].repeat(2, axis=1), 0)
    order = np.argsort(variance, kind="stable")
    bins = np.array_split(order, min(n // _PAIRS_A_BIN, _MOST_BINS))
    found = np.array([np.median(square[rows]) / MEDIAN_CHI2 for rows in bins])
    stated = np.array([np.median(variance[rows]) for rows in bins])
    found = np.maximum(found, max(1e-12 * found.max(), _LEAST_SQUARE))
    # Errors of the medians are in proportion to what is expected.
    expected = found
    for _ in range(3):
        slope, level = _non_negative(stated / expected, 1 / expected, found / expected)
        expected = np.maximum(slope * stated + level, 1e-3 * found)
    return float(np.sqrt(slope)), float(np.sqrt(level))


def _non_negative(first, second, target):
    """Return the two factors, neither negative, whose sum of columns is nearest to a target."""
    norms = np.maximum([first @ first, second @ second], 1e-300)
    alone = [(first @ target / norms[0], 0.0), (0.0, second @ target / norms[1])]
    unit = np.sqrt(norms)
    both = np.linalg.lstsq(np.column_stack([first, second]) / unit, target, rcond=1e-9)[0] / unit
    if (both >= 0).all():
        return float(both[0]), float(both[1])
    return min(alone, key=lambda pair: ((pair[0] * first + pair[1] * second - target)**2).sum())


def pair_errors(image_error: np.ndarray, ref_error: np.ndarray) -> np.ndarray:
    """Return the errors (N, 2) of the differences of pairs of positions.

    Where a list states none at all, those of the other one are taken, and the scatter that a fit
    finds has the rest.
    """
    return np.hypot(known_errors(image_error), known_errors(ref_error))


def known_errors(errors: np.ndarray) -> np.ndarray:
    """Give positions of unknown error the largest one that is known, 0 where none is."""
    known = np.isfinite(errors)
    return np.where(known, errors, errors[known].max(initial=0.0))


def extra_scatter(residuals, errors, n_parameters):
    """Return what added to the errors makes the median residual as expected; 0 if they suffice."""
    n = len(residuals)
    residuals = residuals * np.sqrt(2 * n / max(2 * n - n_parameters, 1))
    square = residuals.T**2
    known = errors.T**2
    ranks = [(n - 1) // 2, n // 2]  # of the median; np.median takes four times longer

    def excess(variance):
        """Reciprocals of the median's expectation less the median's: nearly a straight line."""
        in_x, in_y = square / np.maximum(known + variance, 1e-300)
        median = np.partition(in_x + in_y, ranks)[ranks].sum() / 2
        return 1 / MEDIAN_CHI2 - 1 / max(median, 1e-300)

    if excess(1e-24) <= 0:
        return 0.0
    high = float(np.abs(residuals).max()) * 2 + 1e-12
    return float(np.sqrt(zero_between(excess, 0.0, high**2, (1e-12 * high)**2)))


def zero_between(function: Callable[[float], float], low: float, high: float,
                 tolerance: float) -> float:
    """Return where a function is zero, between two places where it has opposite signs.

    Brent's method (1973, Algorithms for Minimization without Derivatives, chapter 4), step for step
    as scipy.optimize.brentq does it, which takes longer to load than a run takes to align images.

    Parameters
    ----------
    function : callable
        Of one number.
    low, high : float
        Where its signs differ.
    tolerance : float
        How near the result is to a zero, besides four roundings of itself.
    """
    before = low
    now = high
    f_before = function(before)
    f_now = function(now)
    other, f_other = before, f_before  # on the other side of the zero
    last = step = now - before
    for _ in range(_MOST_STEPS):
        if f_before and (f_before < 0) != (f_now < 0):
            other, f_other = before, f_before
            last = step = now - before
        if abs(f_other) < abs(f_now):
            before, now, other = now, other, now
            f_before, f_now, f_other = f_now, f_other, f_now
        nearest = (tolerance + 4 * np.finfo(float).eps * abs(now)) / 2
        half = (other - now) / 2
        if f_now == 0 or abs(half) < nearest:
            break
        trial = np.inf
        if abs(last) > nearest and abs(f_now) < abs(f_before):
            trial = _step_to_zero((now, f_now), (before, f_before), (other, f_other))
        is_short = 2 * abs(trial) < min(abs(last), 3 * abs(half) - nearest)
        last, step = (step, trial) if is_short else (half, half)
        before, f_before = now, f_now
        now += step if abs(step) > nearest else np.copysign(nearest, half)
        f_now = function(now)
    return float(now)


def _step_to_zero(now, before, other):
    """Return how far from `now` a line or a parabola through points (x, y) has its zero."""
    x, y = now
    if before == other:
        return -y * (x - before[0]) / (y - before[1])
    slope_before = (before[1] - y) / (before[0] - x)
    slope_other = (other[1] - y) / (other[0] - x)
    return (-y * (other[1] * slope_other - before[1] * slope_before)
            / (slope_other * slope_before * (other[1] - before[1])))
