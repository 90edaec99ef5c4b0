"""Fit the effective PSF to stars: their positions, fluxes and errors.

This gives positions near the photon limit, without the error that depends on where in its pixel a
star lies, and tells stars from cosmic rays (tests/unit/detection/test_epsf.py measures both).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.catalogs import Flag, SourceCatalog
from imagereg.detection.psf.epsf import REACH, EffectivePSF
from imagereg.detection.psf.stamps import Stamps

POOR_CHI2 = 4.0  # reduced; above, a source is not a star
_TOLERATED = 0.1  # of its value: a star may depart from the mean PSF of the exposure by this much
_LEAST_SPARE_PIXELS = 3  # good pixels beyond the four unknowns
_MOST_STEPS = 6  # of a fit
_LONGEST_STEP = 0.4  # pixels
_STILL = 1e-3  # pixels; a source that moves by less has come to rest


@dataclasses.dataclass(frozen=True, eq=False)
class StarFits:
    """Fits of the PSF to stamps: columns of length N.

    `offset` (N, 2) is the centre from the central pixel, with its `error` (N, 2); `chi2` is
    reduced; `good` is whether the fit ended on a positive flux within reach, with pixels to spare.
    """

    offset: np.ndarray
    error: np.ndarray
    flux: np.ndarray
    flux_error: np.ndarray
    sky: np.ndarray
    chi2: np.ndarray
    good: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> StarFits:
        """Return the fits picked by a mask or an index array."""
        return StarFits(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    def distances(self, stamps: Stamps) -> tuple[np.ndarray, np.ndarray]:
        """Return the distances (N, s) of columns and of rows from the centres, pixels."""
        pixel = np.arange(-stamps.half, stamps.half + 1.0)
        return pixel - self.offset[:, :1], pixel - self.offset[:, 1:]


@dataclasses.dataclass(frozen=True, eq=False)
class Linearised:
    """What the pixels of N stamps are near a fit, to first order.

    Parameters
    ----------
    slopes : (N, 4, s * s) ndarray
        Derivatives of each pixel by x, y, flux and sky.
    weight : (N, s * s) ndarray
        Of the pixels: one over their variance, 0 for bad ones.
    residual : (N, s * s) ndarray
        Pixels minus the fit.
    """

    slopes: np.ndarray
    weight: np.ndarray
    residual: np.ndarray

    @classmethod
    def of(cls, fits: StarFits, stamps: Stamps, psf: EffectivePSF) -> Linearised:
        """Linearise fits of `psf`."""
        n = len(stamps)
        value, slope_x, slope_y = psf(*fits.distances(stamps))
        flux = fits.flux[:, None, None]
        residual = stamps.pixels - flux * value - fits.sky[:, None, None]
        weight = stamps.good / _variance(flux * value, stamps, psf)
        slopes = np.stack([-flux * slope_x, -flux * slope_y, value, np.ones_like(value)], axis=1)
        return cls(slopes.reshape(n, 4, -1), weight.reshape(n, -1), residual.reshape(n, -1))

    @property
    def normal(self) -> np.ndarray:
        """(N, 4, 4) normal matrices of x, y, flux and sky."""
        normal = (self.slopes * self.weight[:, None]) @ self.slopes.swapaxes(1, 2)
        diagonal = np.einsum("nii->ni", normal)  # a view
        diagonal += 1e-9 * diagonal + 1e-100  # a stamp without a good pixel can be solved too
        return normal

    @property
    def right(self) -> np.ndarray:
        """(N, 4) right-hand sides."""
        return (self.slopes @ (self.weight * self.residual)[..., None])[..., 0]

    @property
    def leverage(self) -> np.ndarray:
        """(N, s * s) share of the variance of each pixel that the fit takes from its residual."""
        taken = np.linalg.inv(self.normal) @ self.slopes
        return (taken * self.slopes).sum(axis=1) * self.weight

    @property
    def chi2(self) -> np.ndarray:
        """(N,) chi squared."""
        return (self.residual**2 * self.weight).sum(axis=1)


def _variance(light, stamps, psf):
    """Return the variance of pixels that hold `light` of a star, counts squared."""
    light = np.clip(light, 0, None)
    rounding = 1e-6 * np.abs(stamps.pixels).max(axis=(1, 2), keepdims=True) + 1e-12
    steady = rounding**2 + stamps.noise[:, None, None] ** 2
    return steady + light / stamps.gain[:, None, None] + (psf.error * light) ** 2


def fit_stars(stamps: Stamps, psf: EffectivePSF) -> StarFits:
    """Fit x, y, flux and local sky of every stamp by Gauss-Newton steps."""
    n = len(stamps)
    state = StarFits(
        offset=np.zeros((n, 2)),
        error=np.full((n, 2), np.nan),
        flux=np.zeros(n),
        flux_error=np.full(n, np.nan),
        sky=stamps.level,
        chi2=np.full(n, np.inf),
        good=np.zeros(n, bool),
    )
    value = psf(*state.distances(stamps))[0] * stamps.good
    light = (stamps.pixels - state.sky[:, None, None]) * stamps.good
    flux = (light * value).sum(axis=(1, 2)) / np.maximum((value**2).sum(axis=(1, 2)), 1e-12)
    offset = state.offset.copy()
    sky = state.sky.copy()
    moving = np.arange(n)
    for _ in range(_MOST_STEPS):
        part = dataclasses.replace(state, offset=offset, flux=flux, sky=sky)[moving]
        near = Linearised.of(part, stamps[moving], psf)
        step = np.linalg.solve(near.normal, near.right[..., None])[..., 0]
        shift = np.clip(step[:, :2], -_LONGEST_STEP, _LONGEST_STEP)
        offset[moving] = np.clip(part.offset + shift, -REACH, REACH)
        flux[moving] = part.flux + step[:, 2]
        sky[moving] = part.sky + step[:, 3]
        moving = moving[(np.abs(step[:, :2]) > _STILL).any(axis=1)]
        if not moving.size:
            break
    state = dataclasses.replace(state, offset=offset, flux=flux, sky=sky)
    near = Linearised.of(state, stamps, psf)
    error = np.sqrt(np.abs(np.diagonal(np.linalg.inv(near.normal), axis1=1, axis2=2)))
    spare = stamps.n_good - 4
    is_near = (np.abs(state.offset) < REACH).all(axis=1)
    return dataclasses.replace(
        state,
        error=error[:, :2],
        flux_error=error[:, 2],
        chi2=near.chi2 / np.maximum(spare, 1),
        good=(state.flux > 0) & is_near & (spare > _LEAST_SPARE_PIXELS),
    )


def refine_positions(
    catalog: SourceCatalog, stamps: Stamps, psf: EffectivePSF
) -> SourceCatalog:
    """Move sources to where the PSF fits them best.

    Parameters
    ----------
    catalog : SourceCatalog
        N sources.
    stamps : Stamps
        Pixels around each.
    psf : EffectivePSF
        PSF of the exposure.

    Returns
    -------
    SourceCatalog
        With positions, fluxes and their errors from the fit, the position errors inflated where
        chi squared is above 1. A source that the PSF does not fit keeps what it had and is flagged
        `Flag.POOR_FIT`.
    """
    if not len(catalog):
        return catalog
    stamps = stamps.cropped(psf.half)
    fit = fit_stars(stamps, psf)
    tolerant = dataclasses.replace(psf, error=_TOLERATED)
    tolerant_chi2 = Linearised.of(fit, stamps, tolerant).chi2
    good = fit.good & (tolerant_chi2 / np.maximum(stamps.n_good - 4, 1) < POOR_CHI2)
    inflation = np.sqrt(np.maximum(fit.chi2, 1))[:, None]
    both = good[:, None]
    flags = np.where(good, catalog.flags & ~Flag.UNRELIABLE, catalog.flags | Flag.POOR_FIT)
    return catalog.replace(
        xy=np.where(both, stamps.centre + fit.offset, catalog.xy),
        xy_error=np.where(both, fit.error * inflation, catalog.xy_error),
        flux=np.where(good, fit.flux, catalog.flux),
        flux_error=np.where(good, fit.flux_error, catalog.flux_error),
        flags=flags,
    )
