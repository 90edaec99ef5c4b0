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

    The Illinois method (Dowell & Jarratt 1971, BIT 11, 168), of a few steps where the function is
    nearly straight; scipy.optimize takes longer to load than a run takes to align images.

    Parameters
    ----------
    function : callable
        Of one number.
    low, high : float
        Where its signs differ.
    tolerance : float
        Largest step that is none.
    """
    f_low = function(low)
    f_high = function(high)
    for _ in range(_MOST_STEPS):
        new = high - f_high * (high - low) / (f_high - f_low)
        f_new = function(new)
        if (f_new < 0) != (f_high < 0):
            low, f_low = high, f_high
        else:
            f_low /= 2  # the far end stays, and would for ever
        step = abs(new - high)
        high, f_high = new, f_new
        if step <= tolerance or f_new == 0:
            break
    return high
