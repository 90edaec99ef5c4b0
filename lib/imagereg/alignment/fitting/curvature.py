"""What a linear transform leaves of the difference between two distortion models."""

from __future__ import annotations

import numpy as np

from imagereg.alignment.significance import is_significantly_better

_DEGREE = 3  # of the polynomial; detectors' own distortion models differ little beyond
_ROUNDING = 1e-8  # pixels, of positions that went to the sky and back


def curvature(xy: np.ndarray, residuals: np.ndarray, variance: np.ndarray) -> float:
    """Return how far a cubic trend of residuals departs from a linear one, at most at the pairs.

    Parameters
    ----------
    xy : (N, 2) ndarray
        Positions of the pairs, pixels.
    residuals : (N, 2) ndarray
        Reference minus image, pixels.
    variance : (N, 2) ndarray
        Of these, as it is expected, square pixels.

    Returns
    -------
    float
        Pixels; 0 where an F-test of the extra sum of squares does not tell it from noise.
    """
    variance = np.maximum(variance, _ROUNDING**2)
    linear = _terms(xy, 1)
    cubic = _terms(xy, _DEGREE)
    n_free = 2 * (len(xy) - cubic.shape[1])
    n_extra = 2 * (cubic.shape[1] - linear.shape[1])
    if n_free < n_extra:
        return 0.0
    trends = [_trend(terms, residuals, variance) for terms in (linear, cubic)]
    sums = [((residuals - trend)**2 / variance).sum() for trend in trends]
    is_better = is_significantly_better(*sums, n_extra=n_extra, n_free=n_free, least_variance=1.0)
    return float(np.hypot(*(trends[1] - trends[0]).T).max()) if is_better else 0.0


def _terms(xy, degree):
    """Return the terms (N, K) of a polynomial in positions, which are brought to -1 to 1."""
    low = xy.min(axis=0)
    x, y = (2 * (xy - low) / np.maximum(np.ptp(xy, axis=0), 1e-9) - 1).T
    return np.column_stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)])


def _trend(terms, values, variance):
    """Return the weighted least-squares fit of terms to both columns of values."""
    columns = []
    for value, weight in zip(values.T, variance.T**-0.5, strict=True):
        solution = np.linalg.lstsq(terms * weight[:, None], value * weight, rcond=None)[0]
        columns.append(terms @ solution)
    return np.column_stack(columns)
