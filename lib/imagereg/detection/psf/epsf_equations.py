"""Normal equations of the effective PSF, linear in its surface and in the stars that show it."""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.detection.psf.epsf import EffectivePSF
from imagereg.detection.psf.epsf_fit import Linearised, StarFits
from imagereg.detection.psf.stamps import Stamps

_CHUNK = 500  # stars whose pixels are in work at one time


@dataclasses.dataclass(frozen=True, eq=False)
class Equations:
    """Normal equations of a surface of K coefficients, and of k unknowns of each of N stars.

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
    def of(
        cls, prior: EffectivePSF, psf: EffectivePSF, stamps: Stamps, fits: StarFits
    ) -> Equations:
        """Return equations for the change of `prior`, linear about fits of `psf`.

        The unknowns of a star are its x, y, flux and sky.
        """
        chunks = [slice(first, first + _CHUNK) for first in range(0, len(stamps), _CHUNK)]
        parts = [cls._of_chunk(prior, psf, stamps[rows], fits[rows]) for rows in chunks]
        return cls(
            normal=sum(part.normal for part in parts),
            right=sum(part.right for part in parts),
            cross=np.concatenate([part.cross for part in parts]),
            own=np.concatenate([part.own for part in parts]),
            own_right=np.concatenate([part.own_right for part in parts]),
        )

    @classmethod
    def _of_chunk(cls, prior, psf, stamps, fits):
        """Return the equations of stars whose pixels are in work at one time."""
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

    def without_flux_and_sky(self) -> Equations:
        """Return the equations with the last two unknowns of each star eliminated."""
        inverse = np.linalg.inv(self.own[:, 2:, 2:])
        factor = self.own[:, :2, 2:] @ inverse
        cross, own_right = self.cross[:, 2:], self.own_right[:, 2:, None]
        return dataclasses.replace(
            self._minus(cross, inverse, own_right),
            cross=self.cross[:, :2] - factor @ cross,
            own=self.own[:, :2, :2] - factor @ self.own[:, 2:, :2],
            own_right=self.own_right[:, :2] - (factor @ own_right)[..., 0],
        )

    def without_scatter(self, scatter: float) -> Equations:
        """Return the equations where positions of each stamp scatter about those of the star."""
        identity = np.eye(self.own.shape[1])
        if scatter == 0:
            return self
        inverse = np.linalg.inv(self.own + identity / scatter**2)
        factor = self.own @ inverse
        own_right = self.own_right[..., None]
        return dataclasses.replace(
            self._minus(self.cross, inverse, own_right),
            cross=self.cross - factor @ self.cross,
            own=self.own - factor @ self.own,
            own_right=self.own_right - (factor @ own_right)[..., 0],
        )

    def by_star(self, star: np.ndarray, to_pixels: np.ndarray) -> Equations:
        """Return the equations for the positions of stars on a plane, see `Dithers`."""
        to_plane = to_pixels.swapaxes(1, 2)
        order = np.argsort(star, kind="stable")
        first = np.flatnonzero(np.diff(star[order], prepend=-1))
        own_right = (to_plane @ self.own_right[..., None])[..., 0]
        return dataclasses.replace(
            self,
            cross=np.add.reduceat((to_plane @ self.cross)[order], first),
            own=np.add.reduceat((to_plane @ self.own @ to_pixels)[order], first),
            own_right=np.add.reduceat(own_right[order], first),
        )

    def without_own(self) -> Equations:
        """Return the equations with the unknowns of the stars eliminated."""
        return self._minus(self.cross, np.linalg.inv(self.own), self.own_right[..., None])

    def _minus(self, cross, inverse, own_right):
        """Return the equations less what eliminated unknowns take from the coefficients."""
        flat = cross.reshape(-1, cross.shape[-1])
        taken = (inverse @ cross).reshape(flat.shape)
        return dataclasses.replace(
            self,
            normal=self.normal - taken.T @ flat,
            right=self.right - taken.T @ own_right.ravel(),
        )
