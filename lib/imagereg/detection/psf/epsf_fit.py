"""Fit the effective PSF to stars: their positions, fluxes and errors.

This gives positions near the photon limit, without the error that depends on where in its pixel a
star lies, and tells stars from cosmic rays (tests/unit/detection/test_epsf.py measures both).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from imagereg.catalogs import Flag, SourceCatalog
from imagereg.detection.psf.epsf import REACH, EffectivePSF, LocalPSFs
from imagereg.detection.psf.stamps import Stamps

POOR_CHI2 = 4.0  # reduced; above, a source is not a star
MEDIAN_OF_SQUARE = 0.455  # of a normal deviate
_TOLERATED = 0.1  # of its value: a star may depart from the mean PSF of the exposure by this much
_LEAST_SPARE_PIXELS = 3  # good pixels beyond the four unknowns
_MOST_STEPS = 6  # of a fit
_LONGEST_STEP = 0.4  # pixels
_STILL = 1e-3  # pixels; a source that moves by less has come to rest
_STEADY = 0.01  # of its flux; and one whose flux changes by less
# Stamps fitted at a time: their arrays stay in a processor's cache, where 10,000 at a time take
# 1.7 times as long.
_CHUNK = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class StarFits:
    """Fits of the PSF to stamps: columns of length N.

    `offset` (N, 2) is the centre from the central pixel, with its `error` (N, 2); `chi2` is
    reduced, `tolerant_chi2` allows each star to depart from the PSF by a tenth of its value; `good`
    is whether the fit ended on a positive flux within reach, with pixels to spare.
    """

    offset: np.ndarray
    error: np.ndarray
    flux: np.ndarray
    flux_error: np.ndarray
    sky: np.ndarray
    chi2: np.ndarray
    tolerant_chi2: np.ndarray
    good: np.ndarray

    @classmethod
    def from_catalog(cls, catalog: SourceCatalog, stamps: Stamps) -> StarFits:
        """Return what another PSF, fitted to the same stamps, left in a catalog."""
        n = len(catalog)
        offset = catalog.xy - stamps.centre
        return cls(
            offset=offset,
            error=catalog.xy_error,
            flux=catalog.flux,
            flux_error=catalog.flux_error,
            sky=stamps.level,
            chi2=np.full(n, np.nan),
            tolerant_chi2=np.full(n, np.nan),
            good=((catalog.flags & Flag.POOR_FIT) == 0) & (np.abs(offset) < REACH).all(axis=1),
        )

    @classmethod
    def concat(cls, parts: Iterable[StarFits]) -> StarFits:
        """Return the fits of all `parts`."""
        parts = list(parts)
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def __len__(self) -> int:
        """Return the number of fits."""
        return len(self.flux)

    def __getitem__(self, rows: np.ndarray | slice) -> StarFits:
        """Return the fits picked by a mask, an index array or a slice."""
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
        size = int(np.prod(stamps.pixels.shape[1:]))  # -1 has no meaning where n is 0
        return cls(slopes.reshape(n, 4, size), weight.reshape(n, size), residual.reshape(n, size))

    def with_known_sky(self, rows: np.ndarray) -> Linearised:
        """Return the same where the sky of some stars does not change."""
        slopes = self.slopes.copy()
        slopes[rows, 3] = 0
        return dataclasses.replace(self, slopes=slopes)

    @property
    def solved(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Normal matrices, right-hand sides, and the steps (N, 4) that solve them."""
        normal, right = self.normal, self.right
        return normal, right, np.linalg.solve(normal, right[..., None])[..., 0]

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

    def tolerant_chi2(self, fits: StarFits, stamps: Stamps, psf: EffectivePSF) -> np.ndarray:
        """Return (N,) chi squared where stars may depart from the PSF by `_TOLERATED`."""
        light = self.slopes[:, 2] * fits.flux[:, None]
        tolerant = dataclasses.replace(psf, error=_TOLERATED)
        variance = _variance(light.reshape(stamps.pixels.shape), stamps, tolerant)
        weight = stamps.good / variance
        return (self.residual**2 * weight.reshape(self.weight.shape)).sum(axis=1)


def _variance(light, stamps, psf):
    """Return the variance of pixels that hold `light` of a star, counts squared."""
    light = np.clip(light, 0, None)
    rounding = 1e-6 * np.abs(stamps.pixels).max(axis=(1, 2), keepdims=True) + 1e-150
    steady = rounding**2 + stamps.noise[:, None, None] ** 2
    return steady + light / stamps.gain[:, None, None] + (psf.error * light) ** 2


def fit_stars(
    stamps: Stamps, psf: EffectivePSF | LocalPSFs, start: StarFits | None = None, *,
    bounds_sky: bool = False,
) -> StarFits:  # fmt: skip
    """Fit x, y, flux and local sky of every stamp by Gauss-Newton steps.

    Parameters
    ----------
    stamps : Stamps
        N boxes of pixels.
    psf : EffectivePSF or LocalPSFs
        What is fitted to them.
    start : StarFits, optional
        Fits of another PSF to all stamps or to the first of them. Those that are good are where the
        fits begin, which takes half the steps.
    bounds_sky : bool
        Let no sky be lower than its level around the star, to which the wings of the star only add:
        a PSF that is too wide fits with a sky that is too low.
    """
    if start is None:
        start = _not_fitted(stamps)
    elif len(start) < len(stamps):
        start = StarFits.concat([start, _not_fitted(stamps[len(start) :])])
    parts = []
    for first in range(0, max(len(stamps), 1), _CHUNK):
        rows = slice(first, first + _CHUNK)
        parts.append(_fit_chunk(stamps[rows], psf[rows], start[rows], bounds_sky))
    return StarFits.concat(parts)


def _not_fitted(stamps):
    """Return what is known of stamps before any fit."""
    n = len(stamps)
    unknown = np.full(n, np.nan)
    return StarFits(
        offset=np.zeros((n, 2)),
        error=np.full((n, 2), np.nan),
        flux=np.zeros(n),
        flux_error=unknown,
        sky=stamps.level,
        chi2=unknown,
        tolerant_chi2=unknown,
        good=np.zeros(n, bool),
    )


def _fit_chunk(stamps, psf, start, bounds_sky):
    """Fit stamps all at once.

    Errors and chi squared are those of the last place but one, which is as good as the last: a
    source at rest moves by less than `_STILL` between them.
    """
    n = len(stamps)
    state = _with_guesses(start, stamps, psf)
    offset, flux, sky = state.offset.copy(), state.flux.copy(), state.sky.copy()
    normal = np.empty((n, 4, 4))
    chi2 = np.empty(n)
    tolerant_chi2 = np.empty(n)
    moving = np.arange(n)
    for _ in range(_MOST_STEPS):
        part = dataclasses.replace(state, offset=offset, flux=flux, sky=sky)[moving]
        own = stamps[moving]
        surface = psf[moving]
        near = Linearised.of(part, own, surface)
        equations, right, step = near.solved
        if bounds_sky:
            is_low = part.sky + step[:, 3] < own.level
            near = near.with_known_sky(is_low)
            equations, right, step = near.solved
            step[is_low, 3] = (own.level - part.sky)[is_low]
        normal[moving] = equations
        shift = np.clip(step[:, :2], -_LONGEST_STEP, _LONGEST_STEP)
        offset[moving] = np.clip(part.offset + shift, -REACH, REACH)
        flux[moving] = part.flux + step[:, 2]
        sky[moving] = part.sky + step[:, 3]
        is_moving = (np.abs(step[:, :2]) > _STILL).any(axis=1)
        is_moving |= np.abs(step[:, 2]) > _STEADY * np.abs(part.flux)
        gained = np.where(is_moving, 0, (step * right).sum(axis=1))
        chi2[moving] = near.chi2 - gained
        tolerant_chi2[moving] = near.tolerant_chi2(part, own, surface)
        moving = moving[is_moving]
        if not moving.size:
            break
    error = np.sqrt(np.abs(np.diagonal(np.linalg.inv(normal), axis1=1, axis2=2)))
    spare = stamps.n_good - 4
    is_near = (np.abs(offset) < REACH).all(axis=1)
    return StarFits(
        offset=offset,
        error=error[:, :2],
        flux=flux,
        flux_error=error[:, 2],
        sky=sky,
        chi2=chi2 / np.maximum(spare, 1),
        tolerant_chi2=tolerant_chi2 / np.maximum(spare, 1),
        good=(flux > 0) & is_near & (spare > _LEAST_SPARE_PIXELS),
    )


def _with_guesses(start, stamps, psf):
    """Return fits in which those that are not good begin anew, at the central pixel."""
    rows = np.flatnonzero(~start.good)
    if not rows.size:
        return start
    stamps = stamps[rows]
    guess = _not_fitted(stamps)
    value = psf[rows](*guess.distances(stamps))[0] * stamps.good
    light = (stamps.pixels - guess.sky[:, None, None]) * stamps.good
    offset, flux, sky = start.offset.copy(), start.flux.copy(), start.sky.copy()
    offset[rows] = 0
    flux[rows] = (light * value).sum(axis=(1, 2)) / np.maximum((value**2).sum(axis=(1, 2)), 1e-12)
    sky[rows] = stamps.level
    return dataclasses.replace(start, offset=offset, flux=flux, sky=sky)


def refine_positions(
    catalog: SourceCatalog, stamps: Stamps, psf: EffectivePSF, *, is_fitted: bool = False
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
    is_fitted : bool
        Whether a PSF has been fitted to these stamps before, which saves half the time.

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
    start = StarFits.from_catalog(catalog, stamps) if is_fitted else None
    fit = fit_stars(stamps, psf.at(catalog.chip, catalog.xy), start)
    good = fit.good & (fit.tolerant_chi2 < POOR_CHI2)
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
