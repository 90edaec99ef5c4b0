"""Families of linear transforms, and weighted least squares within one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

# Least ratio of singular values of a design that determines all coefficients: rounding gives 1e-16
# times the number of steps, real fields of a few sources 1e-4.
_LEAST_SINGULAR = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """A family of transforms that is linear in its coefficients; the first two are the shift.

    Parameters
    ----------
    n_parameters : int
        Number of free parameters. One less than the coefficients where these are bound to be a pure
        rotation.
    terms : callable
        What multiplies the coefficients in x' and in y', as functions of x and y.
    fixed : (4,) ndarray
        Part of the matrix entries xx, xy, yx, yy that is always there.
    entries : (4, K) ndarray
        What each coefficient after the shift adds to the matrix entries.
    """

    n_parameters: int
    terms: Callable[[np.ndarray, np.ndarray], tuple[list, list]]
    fixed: np.ndarray
    entries: np.ndarray

    @property
    def min_pairs(self) -> int:
        """Number of pairs that determine the transform."""
        return (self.n_parameters + 1) // 2

    @property
    def is_rigid(self) -> bool:
        """Whether the coefficients after the shift are the cosine and the sine of one angle."""
        return self.n_parameters < 2 + self.entries.shape[1]

    def design(self, xy: np.ndarray) -> np.ndarray:
        """Return what multiplies the coefficients at positions (N, 2): (2, N, 2 + K), x' and y'."""
        x, y = xy.T
        axes = []
        for terms in self.terms(x, y):
            axes.append([np.broadcast_to(term, x.shape) for term in terms])
        return np.array(axes).swapaxes(1, 2)

    def about_unity(self, xy: np.ndarray) -> np.ndarray:
        """Return how x' and y' at positions (N, 2) change with the parameters, (2, N, P).

        P is `n_parameters`: near unity a rigid transform changes with its angle alone.
        """
        return self.design(xy)[..., self._free]

    def near_unity(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return shift (2,) and matrix (2, 2) of small parameters (P,) as of `about_unity`."""
        coefficients = np.zeros(2 + self.entries.shape[1])
        coefficients[self._free] = parameters
        matrix = np.eye(2) + (self.entries @ coefficients[2:]).reshape(2, 2)
        if self.is_rigid:
            matrix /= np.hypot(*matrix[0])
        return coefficients[:2], matrix

    def covariance_near_unity(self, covariance: np.ndarray) -> np.ndarray:
        """Return the covariance (6, 6) of x, y, xx, xy, yx, yy from that of the parameters."""
        of_coefficients = np.zeros((2 + self.entries.shape[1],) * 2)
        of_coefficients[np.ix_(self._free, self._free)] = covariance
        return self.covariance(of_coefficients)

    @property
    def _free(self):
        """Indices of the coefficients that are free near unity, where a cosine is 1."""
        return np.array([0, 1, 3]) if self.is_rigid else np.arange(2 + self.entries.shape[1])

    def target(self, image_xy: np.ndarray, ref_xy: np.ndarray) -> np.ndarray:
        """Return what the design times the coefficients should be, (N, 2)."""
        return ref_xy - image_xy @ self.fixed.reshape(2, 2).T

    def matrix(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the matrix (2, 2) that belongs to coefficients."""
        return (self.fixed + self.entries @ coefficients[2:]).reshape(2, 2)

    def covariance(self, covariance: np.ndarray) -> np.ndarray:
        """Return the covariance (6, 6) of x, y, xx, xy, yx, yy from that of the coefficients."""
        spread = np.zeros((6, len(covariance)))
        spread[:2, :2] = np.eye(2)
        spread[2:, 2:] = self.entries
        is_free = spread.any(axis=1)  # what the geometry fixes has no error
        with np.errstate(invalid="ignore"):  # zero times an infinite variance
            return np.where(np.outer(is_free, is_free), spread @ covariance @ spread.T, 0.0)


def _turned(x, y):
    return [1, 0, x, -y], [0, 1, y, x]


_UNITY = np.array([1.0, 0, 0, 1])
_ZERO = np.zeros(4)
_COSINE_SINE = np.array([[1.0, 0], [0, -1], [0, 1], [1, 0]])
_DIAGONAL = np.eye(4)[:, [0, 3]]
GEOMETRIES = {
    "shift": Geometry(2, lambda x, y: ([1, 0], [0, 1]), _UNITY, np.zeros((4, 0))),
    "rshift": Geometry(3, _turned, _ZERO, _COSINE_SINE),
    "rscale": Geometry(4, _turned, _ZERO, _COSINE_SINE),
    "xyscale": Geometry(4, lambda x, y: ([1, 0, x, 0], [0, 1, 0, y]), _ZERO, _DIAGONAL),
    "general": Geometry(
        6, lambda x, y: ([1, 0, x, y, 0, 0], [0, 1, 0, 0, x, y]), _ZERO, np.eye(4)),
}


def weighted_solution(geometry: Geometry, design: np.ndarray, target: np.ndarray,
                      variance: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Solve for the coefficients by weighted least squares.

    Parameters
    ----------
    geometry : Geometry
        That the design is of.
    design : (2, N, P) ndarray
        What multiplies the coefficients.
    target : (N, 2) ndarray
        What the product should be.
    variance : (N, 2) ndarray
        Of the target; infinite for what does not count.

    Returns
    -------
    (coefficients, covariance) : (P,) and (P, P) ndarray
        None where the pairs do not determine them.
    """
    weight = (1 / np.sqrt(variance)).T[..., None]
    counts = np.isfinite(variance).all(axis=1)
    norm = np.sqrt((design[:, counts] ** 2).mean(axis=(0, 1)))
    norm = np.where(norm > 0, norm, 1)
    rows = (design / norm * weight).reshape(-1, len(norm))
    directions, triangle = np.linalg.qr(rows)
    singular = np.linalg.svd(triangle, compute_uv=False)
    if singular[-1] <= _LEAST_SINGULAR * singular[0]:
        return None
    weighted_target = (target.T[..., None] * weight).ravel()
    coefficients = np.linalg.solve(triangle, directions.T @ weighted_target) / norm
    free = np.eye(len(norm))
    root = np.linalg.inv(triangle)
    if geometry.is_rigid:
        coefficients, free = _rigid(triangle * norm, coefficients)
        root = np.linalg.inv(np.linalg.qr(triangle @ free, mode="r"))
    half = free @ root / norm[:, None]
    return coefficients, half @ half.T


def _rigid(triangle, coefficients):
    """Return the best coefficients of a shift and rotation, and in which directions they are free.

    The cost of coefficients c other than those of least squares is
    ``|triangle @ (c - coefficients)|**2``; the lower right corner of the triangle is what is left
    of it after the best shift for a given rotation.
    """
    angle = _cheapest_turn(triangle[2:, 2:], coefficients[2:])
    turn = np.array([np.cos(angle), np.sin(angle)])
    to_turn = triangle[:2, 2:] @ (coefficients[2:] - turn)
    shift = coefficients[:2] + np.linalg.solve(triangle[:2, :2], to_turn)
    free = np.zeros((4, 3))
    free[:2, :2] = np.eye(2)
    free[2:, 2] = -turn[1], turn[0]
    return np.concatenate([shift, turn]), free


def _cheapest_turn(root, start):
    """Return the angle, radian, that minimizes ``|root @ ((cos, sin) - start)|**2``.

    The derivative is a polynomial of degree 4 in z = exp(i angle); the best of its zeros is taken,
    and Newton's steps from it.
    """
    cost = root.T @ root
    p, q = cost @ start
    half = cost[0, 1] + 0.5j * (cost[0, 0] - cost[1, 1])
    zeros = np.roots([half, -q - 1j * p, 0, -q + 1j * p, half.conjugate()])
    angles = np.append(np.angle(zeros), np.arctan2(start[1], start[0]))
    turns = np.array([np.cos(angles), np.sin(angles)])
    angle = angles[np.argmin(((root @ (turns - start[:, None])) ** 2).sum(axis=0))]
    for _ in range(3):
        turn = np.array([np.cos(angle), np.sin(angle)])
        along = np.array([-np.sin(angle), np.cos(angle)])
        slope = along @ cost @ (turn - start)
        curvature = along @ cost @ along - turn @ cost @ (turn - start)
        if curvature > abs(slope):
            angle -= slope / curvature
    return angle
