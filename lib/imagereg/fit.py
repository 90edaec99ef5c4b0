"""The linear transform between two lists of matched positions."""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.errors import DegenerateFit, NotEnoughMatches

_MEDIAN_CHI2 = 2 * np.log(2)  # of two degrees of freedom
_ROUNDING = 1e-10  # of positions, relative to the largest
_LOOSE = 1e-9  # least ratio of singular values of a design that determines all parameters

# What multiplies the parameters in x' and in y', as functions of x and y relative to the centre.
_DESIGNS = {
    "shift": lambda x, y: ([1, 0], [0, 1]),
    "rscale": lambda x, y: ([1, 0, x, -y], [0, 1, y, x]),
    "general": lambda x, y: ([1, 0, x, y, 0, 0], [0, 1, 0, 0, x, y]),
}
# Matrix entries (xx, xy, yx, yy) = fixed part + these times the parameters after the shift.
_MATRICES = {
    "shift": (np.array([1.0, 0, 0, 1]), np.zeros((4, 0))),
    "rscale": (np.zeros(4), np.array([[1.0, 0], [0, -1], [0, 1], [1, 0]])),
    "general": (np.zeros(4), np.eye(4)),
}
GEOMETRIES = tuple(_DESIGNS)


@dataclasses.dataclass(frozen=True, eq=False)
class LinearFit:
    """A linear transform from image-plane to reference-plane positions.

    ``ref_xy = centre + matrix @ (image_xy - centre) + shift``

    Parameters
    ----------
    geometry : str
        ``shift``, ``rscale`` (one rotation, one scale) or ``general``.
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
    """

    geometry: str
    matrix: np.ndarray
    shift: np.ndarray
    centre: np.ndarray
    covariance: np.ndarray
    residuals: np.ndarray
    used: np.ndarray
    scatter: float

    def __post_init__(self):
        """Make the arrays read-only."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __call__(self, image_xy):
        """Transform (N, 2) image-plane positions to the reference plane."""
        return self.centre + (np.asarray(image_xy) - self.centre) @ self.matrix.T + self.shift

    @property
    def nmatches(self):
        """Number of pairs used."""
        return int(self.used.sum())

    @property
    def rms(self):
        """(2,) root mean square of the used residuals about zero, pixels."""
        return np.sqrt((self.residuals[self.used] ** 2).mean(axis=0))

    @property
    def mean_residual(self):
        """(2,) mean of the used residuals, pixels."""
        return self.residuals[self.used].mean(axis=0)

    @property
    def shift_error(self):
        """(2,) one-sigma errors of the shift, pixels."""
        return np.sqrt(np.diagonal(self.covariance)[:2])

    @property
    def rotation(self):
        """Mean rotation from x to y, degrees."""
        (xx, xy), (yx, yy) = self.matrix
        return float(np.rad2deg(np.arctan2(yx - xy, xx + yy)))

    @property
    def rotation_error(self):
        """One-sigma error of the rotation, degrees."""
        (xx, xy), (yx, yy) = self.matrix
        sine, cosine = yx - xy, xx + yy
        slope = np.array([0, 0, -sine, -cosine, cosine, -sine]) / (sine**2 + cosine**2)
        return float(np.rad2deg(self._error(slope)))

    @property
    def scale(self):
        """Mean scale, the square root of the area's change."""
        return float(np.sqrt(np.abs(np.linalg.det(self.matrix))))

    @property
    def scale_error(self):
        """One-sigma error of the scale."""
        (xx, xy), (yx, yy) = self.matrix
        return self._error(np.array([0, 0, yy, -yx, -xy, xx]) / (2 * self.scale))

    def _error(self, direction):
        return float(np.sqrt(np.asarray(direction) @ self.covariance @ direction))


def fit_linear(image_xy, ref_xy, *, geometry="rscale", errors=None, nclip=3, sigma=3.0, centre=(0.0, 0.0)):
    """Fit a linear transform by weighted least squares with rejection.

    Weights are those of the positions' errors with a common scatter added in quadrature, which is chosen such that
    the median residual is what these errors let one expect; so neither bright stars with tiny errors nor outliers rule
    the fit. Residuals are rejected when longer than `sigma` times their expected error per axis.

    Parameters
    ----------
    image_xy, ref_xy : (N, 2) array_like
        Pairs of positions, pixels of one plane.
    geometry : {'shift', 'rscale', 'general'}
        Which transforms are allowed.
    errors : (N, 2) array_like, optional
        One-sigma errors of ``ref_xy - image_xy``; all equal where not given. NaN counts as the largest of the others.
    nclip : int
        Largest number of rounds of rejection.
    sigma : float or None
        Limit of rejection; None rejects nothing.
    centre : (2,) array_like
        The point about which to rotate and scale.

    Returns
    -------
    LinearFit

    Raises
    ------
    NotEnoughMatches
        Fewer pairs than the geometry needs: 1, 2 or 3.
    DegenerateFit
        The pairs do not determine the transform: coincident, or for `general` all on one line.
    ValueError
        Positions of different shapes or an unknown geometry.
    """
    image_xy, ref_xy, centre = (np.asarray(v, float) for v in (image_xy, ref_xy, centre))
    if image_xy.shape != ref_xy.shape or image_xy.ndim != 2 or image_xy.shape[1] != 2:
        raise ValueError(f"positions have shapes {image_xy.shape} and {ref_xy.shape}, expected (N, 2) twice")
    if geometry not in _DESIGNS:
        raise ValueError(f"geometry {geometry!r} is none of {', '.join(GEOMETRIES)}")
    errors = _known(np.zeros_like(image_xy) if errors is None else np.asarray(errors, float))
    used = np.ones(len(image_xy), bool)
    rounding = _ROUNDING * max(np.abs(image_xy).max(initial=1.0), np.abs(ref_xy).max(initial=1.0))
    for _ in range(max(nclip, 0) + 1):
        parameters, covariance, residuals, scatter = _solve(image_xy - centre, ref_xy - centre, errors, used,
                                                           geometry=geometry)
        expected = np.sqrt(errors**2 + scatter**2 + rounding**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = np.sqrt(np.nansum((residuals / expected) ** 2, axis=1) / 2)
        keep = pull <= (np.inf if sigma is None else sigma)
        if nclip <= 0 or (keep == used).all() or 2 * keep.sum() < len(parameters) + 1:
            break
        used, nclip = keep, nclip - 1
    fixed, linear = _MATRICES[geometry]
    spread = np.zeros((6, len(parameters)))
    spread[:2, :2] = np.eye(2)
    spread[2:, 2:] = linear
    with np.errstate(invalid="ignore"):
        covariance = np.where((np.abs(spread) @ np.ones_like(covariance) @ np.abs(spread.T)) > 0,
                              spread @ covariance @ spread.T, 0.0)
    return LinearFit(geometry=geometry, matrix=(fixed + linear @ parameters[2:]).reshape(2, 2), shift=parameters[:2],
                     centre=centre.copy(), covariance=covariance, residuals=residuals,
                     used=used, scatter=scatter)


def _known(errors):
    """Give positions of unknown error the largest one that is known."""
    known = np.isfinite(errors)
    return np.where(known, errors, errors[known].max(initial=0.0))


def _design(xy, geometry):
    """Design matrix (2, N, p) for x' and y'."""
    x, y = xy.T
    rows = _DESIGNS[geometry](x, y)
    return np.array([[np.broadcast_to(term, x.shape) for term in row] for row in rows]).swapaxes(1, 2)


def _solve(image_xy, ref_xy, errors, used, *, geometry):
    """Solve with the scatter that fits the residuals; returns parameters, covariance, residuals and scatter."""
    design = _design(image_xy, geometry)
    target = ref_xy - image_xy @ np.reshape(_MATRICES[geometry][0], (2, 2)).T
    needed = design.shape[2]
    if 2 * used.sum() < needed:
        raise NotEnoughMatches(f"fitgeometry={geometry} needs {needed // 2} matches, there are {used.sum()}")
    norm = np.sqrt((design[:, used] ** 2).mean(axis=(0, 1)))
    norm = np.where(norm > 0, norm, 1)
    scatter = float(np.median(np.hypot(*(target - np.median(target, axis=0)).T)))
    for _ in range(20):
        variance = errors**2 + scatter**2 + 1e-24
        weight = np.sqrt(used[:, None] / variance).T[..., None]
        rows = (design / norm * weight).reshape(-1, needed)
        _, singular, _ = np.linalg.svd(rows, full_matrices=False)
        if singular[-1] <= _LOOSE * singular[0]:
            raise DegenerateFit(f"{used.sum()} matches that coincide or lie on one line do not determine "
                                f"fitgeometry={geometry}")
        normal = rows.T @ rows
        parameters = np.linalg.solve(normal, rows.T @ (target.T[..., None] * weight).ravel()) / norm
        residuals = target - (design @ parameters).T
        weighted_with, scatter = scatter, _scatter(residuals[used], errors[used], needed)
        if abs(scatter - weighted_with) <= 1e-3 * weighted_with:
            break
    covariance = np.linalg.inv(normal) / np.outer(norm, norm)
    if 2 * used.sum() == needed and not errors[used].any():  # nothing says how well the pairs are known
        covariance = np.full_like(covariance, np.inf)
    return parameters, covariance, residuals, weighted_with


def _scatter(residuals, errors, parameters):
    """Scatter that, added to the errors, makes the median residual what is expected; 0 where the errors suffice."""
    n = len(residuals)
    residuals = residuals * np.sqrt(2 * n / max(2 * n - parameters, 1))

    def excess(scatter):
        variance = errors**2 + scatter**2
        return np.median((residuals**2 / np.where(variance > 0, variance, 1e-300)).sum(axis=1)) - _MEDIAN_CHI2

    low, high = 0.0, float(np.abs(residuals).max()) * 2 + 1e-12
    if excess(1e-12) <= 0:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high
