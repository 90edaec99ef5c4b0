"""Normal equations of the effective PSF, linear in its surface and in the stars that show it."""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.detection.psf.epsf import EffectivePSF
from imagereg.detection.psf.epsf_fit import Linearised, StarFits
from imagereg.detection.psf.stamps import Stamps

_CHUNK = 400  # stamps whose equations are in work at one time: bounds memory
_NOTHING = 1e-150  # of no weight beside any number


@dataclasses.dataclass(frozen=True, eq=False)
class Equations:
    """Normal equations of the K coefficients of a surface.

    Parameters
    ----------
    normal, right : (K, K) ndarray, (K,) ndarray
        Their matrix and right-hand sides.
    """

    normal: np.ndarray
    right: np.ndarray

    @classmethod
    def of_known_stars(
        cls, prior: EffectivePSF, psf: EffectivePSF, stamps: Stamps, fits: StarFits
    ) -> Equations:
        """Return equations for the change of `prior` where fits of `psf` are right."""
        return cls._sum(_Part.of(prior, psf, stamps[rows], fits[rows])
                        for rows in _chunks(np.arange(len(stamps))))

    @classmethod
    def of_single_stars(
        cls, prior: EffectivePSF, psf: EffectivePSF, stamps: Stamps, fits: StarFits
    ) -> Equations:
        """Return the same where every stamp has a position, flux and sky of its own."""
        return cls._sum(_Part.of(prior, psf, stamps[rows], fits[rows]).without_stars()
                        for rows in _chunks(np.arange(len(stamps))))

    @classmethod
    def of_dithered_stars(
        cls, prior: EffectivePSF, psf: EffectivePSF, stamps: Stamps, fits: StarFits, *,
        star: np.ndarray, to_pixels: np.ndarray, scatter: float,
    ) -> Equations:  # fmt: skip
        """Return the same where stamps that show the same star have one position on the sky.

        Parameters
        ----------
        prior, psf, stamps, fits
            As in `of_known_stars`, of N stamps.
        star, to_pixels : (N,), (N, 2, 2) ndarray
            As in `Dithers`.
        scatter : float
            Of positions in the stamps about that of the star, pixels.
        """

        def part(rows):
            each = _Part.of(prior, psf, stamps[rows], fits[rows]).with_positions_alone(scatter)
            return each.by_star(star[rows], to_pixels[rows]).without_stars()

        return cls._sum(map(part, _chunks(star)))

    @classmethod
    def _sum(cls, parts):
        """Return the equations that all stars of `parts` set together."""
        parts = [(part.normal, part.right) for part in parts]
        return cls(sum(normal for normal, _ in parts), sum(right for _, right in parts))


def _chunks(star: np.ndarray) -> list[np.ndarray]:
    """Return the rows of some stars at a time, all those of a star together."""
    order = np.argsort(star, kind="stable")
    first = np.flatnonzero(np.diff(star[order], prepend=-1))
    part = first // _CHUNK
    return np.split(order, first[1:][np.diff(part) > 0])


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """Equations of a surface of K coefficients, and of k unknowns of each of N stars.

    Parameters
    ----------
    normal, right : (K, K) ndarray, (K,) ndarray
        Of the coefficients.
    cross : (N, k, K) ndarray
        Of the unknowns of a star with the coefficients.
    own, own_right : (N, k, k) ndarray, (N, k) ndarray
        Of the unknowns of a star.
    """

    normal: np.ndarray
    right: np.ndarray
    cross: np.ndarray
    own: np.ndarray
    own_right: np.ndarray

    @classmethod
    def of(cls, prior, psf, stamps, fits):
        """Return equations whose unknowns are the x, y, flux and sky of each stamp."""
        n = len(stamps)
        x, y = fits.distances(stamps)
        near = Linearised.of(fits, stamps, psf)
        flux = np.repeat(fits.flux, near.residual.shape[1])
        light = fits.flux[:, None, None] * (psf(x, y)[0] - prior(x, y)[0])
        residual = near.residual.ravel() + light.ravel()  # pixels minus the prior
        weight = near.weight.ravel()
        design = psf.design(x, y).multiply(flux[:, None]).tocsr()
        weighted = design.multiply(weight[:, None]).tocsr()
        rows = psf.basis(y + psf.centre[1])[0].swapaxes(1, 2)[:, None]
        columns = psf.basis(x + psf.centre[0])[0][:, None]
        slopes = near.slopes * near.weight[:, None]
        side = 2 * stamps.half + 1
        cross = rows @ slopes.reshape(n, 4, side, side) @ columns
        cross = cross.reshape(n, 4, -1) * fits.flux[:, None, None]
        own_right = (slopes @ residual.reshape(n, -1, 1))[..., 0]
        normal = (weighted.T @ design).toarray()
        return cls(normal, weighted.T @ residual, cross, near.normal, own_right)

    def with_positions_alone(self, scatter):
        """Return equations with x and y left of the unknowns, about which positions scatter."""
        inverse = np.zeros_like(self.own)
        if scatter > 0:
            inverse = np.linalg.inv(self.own + np.diag([scatter**-2, scatter**-2, 0, 0]))
        else:
            inverse[:, 2:, 2:] = np.linalg.inv(self.own[:, 2:, 2:])
        factor = self.own[:, :2] @ inverse
        own_right = self.own_right[..., None]
        return dataclasses.replace(
            self._minus(inverse),
            cross=self.cross[:, :2] - factor @ self.cross,
            own=self.own[:, :2, :2] - factor @ self.own[:, :, :2],
            own_right=self.own_right[:, :2] - (factor @ own_right)[..., 0],
        )

    def by_star(self, star, to_pixels):
        """Return the equations for the positions of stars on a plane; they stand in order."""
        to_plane = to_pixels.swapaxes(1, 2)
        first = np.flatnonzero(np.diff(star, prepend=-1))
        own_right = (to_plane @ self.own_right[..., None])[..., 0]
        return dataclasses.replace(
            self,
            cross=np.add.reduceat(to_plane @ self.cross, first),
            own=np.add.reduceat(to_plane @ self.own @ to_pixels, first),
            own_right=np.add.reduceat(own_right, first),
        )

    def without_stars(self):
        """Return the equations with the unknowns of the stars eliminated."""
        return self._minus(np.linalg.inv(self.own))

    def _minus(self, inverse):
        """Return the equations less what the unknowns with that inverse matrix take from them."""
        scale = np.sqrt(np.diagonal(inverse, axis1=1, axis2=2)) + _NOTHING
        size, axes = np.linalg.eigh(inverse / (scale[:, None] * scale[..., None]))
        root = (axes * np.sqrt(size.clip(0))[:, None]).swapaxes(1, 2) * scale[:, None]
        half = (root @ self.cross).reshape(-1, self.cross.shape[-1])
        own_right = (root @ self.own_right[..., None]).ravel()
        return dataclasses.replace(
            self,
            normal=self.normal - half.T @ half,  # one matrix twice: BLAS does half of the work
            right=self.right - half.T @ own_right,
        )
