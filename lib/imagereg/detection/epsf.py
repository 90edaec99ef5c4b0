"""The effective point-spread function of an exposure, and what it says of its stars.

The effective PSF (Anderson & King 2000, PASP 112, 1360) is the PSF already integrated over a pixel: a smooth surface
whose value at (dx, dy) is the fraction of a star's light in a pixel that far from its centre. Here it is a bicubic
B-spline, solved for by linear least squares from all good stars of an exposure at once, with a Gaussian to lean on
where the stars say little. Fitting it to each source gives positions near the photon limit, free of the error that
depends on where in its pixel a star lies, and tells stars from cosmic rays.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse
from scipy.special import erf

from imagereg.catalogs import Flag

_CONTRAST = 0.02  # second differences of the surface that the data need not justify, as a fraction of a star's flux
_MODEL_ERRORS = (0.15, 0.06, 0.01)  # how far the surface is believed, round by round, relative to its value
_TOLERATED = 0.1  # a star may depart from the exposure's mean PSF by this much of its value
_POOR_CHI2, _HOPELESS_CHI2 = 4.0, 100.0  # above: not a star; not even of another PSF
_CANDIDATES, _STARS = 2000, 500  # the brightest sources are looked at, the brightest stars used
_TRIAL_WIDTHS = np.array([0.3, 0.4, 0.52, 0.68, 0.9, 1.2])  # FWHM of the first guess, of the kernel's
_LEAST_SNR = 20.0
_REACH = 1.0  # a centre lies within this many pixels of the brightest pixel
_STEPS, _STILL = 6, 1e-3  # steps of a fit at most; a source that moves by less, pixels, has come to rest


@dataclasses.dataclass(frozen=True, eq=False)
class Stamps:
    """Small boxes of pixels around the sources of a catalog.

    Parameters
    ----------
    pixels : (N, s, s) ndarray
        Counts.
    good : (N, s, s) ndarray of bool
        Which of them can be used.
    centre : (N, 2) ndarray of int
        FITS x and y of the central pixel.
    level, noise : (N,) ndarray
        Mean and scatter of the sky, counts.
    gain : (N,) ndarray
        Electrons per count.
    """

    pixels: np.ndarray
    good: np.ndarray
    centre: np.ndarray
    level: np.ndarray
    noise: np.ndarray
    gain: np.ndarray

    @classmethod
    def cut(cls, image, xy, *, half, level, noise, gain=1.0, bad=None):
        """Cut boxes of 2 `half` + 1 pixels around `xy` (N, 2), FITS pixels; beyond the edge nothing is good."""
        centre = np.rint(xy).astype(int)
        offset = np.arange(-half, half + 1)
        y = centre[:, 1, None, None] - 1 + offset[:, None]
        x = centre[:, 0, None, None] - 1 + offset
        ny, nx = image.shape
        inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
        y, x = np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)
        pixels = image[y, x].astype(np.float64)
        good = inside & np.isfinite(pixels)
        if bad is not None:
            good &= ~bad[y, x]
        n = len(centre)
        return cls(np.where(good, pixels, 0.0), good, centre, *(np.full(n, float(v)) for v in (level, noise, gain)))

    def __len__(self):
        """Return the number of boxes."""
        return len(self.pixels)

    def __getitem__(self, rows):
        """Return the boxes picked by a mask or an index array."""
        return Stamps(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    @classmethod
    def concat(cls, parts):
        """Return the boxes of all `parts`, which have one size."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(cls)))


@dataclasses.dataclass(frozen=True, eq=False)
class EffectivePSF:
    """A bicubic B-spline surface around the centre of a star.

    Parameters
    ----------
    coefficients : (m, m) ndarray
        Of the cubic B-splines, y along the first axis.
    spacing : float
        Distance of their knots, pixels.
    centre : tuple of float
        Where on the surface the star is, x and y, pixels.
    """

    coefficients: np.ndarray
    spacing: float
    centre: tuple = (0.0, 0.0)

    @classmethod
    def gaussian(cls, fwhm, half, spacing=0.5):
        """Return a round Gaussian of unit flux, integrated over pixels, for stamps of 2 `half` + 1 pixels."""
        reach = half + _REACH + 0.5
        m = 2 * int(np.ceil(reach / spacing)) + 3
        blank = cls(np.zeros((m, m)), spacing)
        x = np.linspace(-reach, reach, 4 * m)
        edge = np.array([-0.5, 0.5])[:, None] + x
        profile = np.diff(erf(edge * 2 * np.sqrt(np.log(2)) / fwhm), axis=0)[0] / 2
        line = np.linalg.lstsq(blank._basis(x)[0], profile, rcond=None)[0]
        return cls(np.outer(line, line), spacing)

    @classmethod
    def measure(cls, stamps, conv_width):
        """Measure the effective PSF from stamps among which are stars.

        Parameters
        ----------
        stamps : Stamps
            Boxes around sources of any kind.
        conv_width : float
            FWHM of the kernel that found them, pixels: one to three times that of the stars.

        Returns
        -------
        EffectivePSF
            Its centre is where its first moments, weighted with a Gaussian that depends on `conv_width` only, vanish.
            Where no source looks like a star, it is a Gaussian.
        """
        clean = np.flatnonzero(stamps.good.all(axis=(1, 2)))
        light = (stamps.pixels.sum(axis=(1, 2)) - np.prod(stamps.pixels.shape[1:]) * stamps.level)[clean]
        stamps = stamps[clean[np.argsort(-light, kind="stable")[:_CANDIDATES]]]
        if not len(stamps):
            return cls.gaussian(conv_width / 2, stamps.pixels.shape[1] // 2, max(0.5, conv_width / 7))
        prior = psf = cls._first_guess(stamps, conv_width)
        for model_error in _MODEL_ERRORS:
            fit = _fit(stamps, psf, model_error)
            noise = np.sqrt(np.clip(fit.flux, 0, None) / stamps.gain + (conv_width * stamps.noise) ** 2)
            stars = np.flatnonzero(fit.good & (fit.flux > _LEAST_SNR * noise) & (fit.chi2 < _POOR_CHI2))
            if not stars.size:
                break
            stars = stars[np.argsort(-fit.flux[stars], kind="stable")[:_STARS]]
            psf = prior._corrected(stamps[stars], fit[stars], model_error)
            stamps = stamps[fit.chi2 < _HOPELESS_CHI2]
        return psf._centred(0.23 * conv_width)

    @classmethod
    def _first_guess(cls, stamps, conv_width):
        """Of Gaussians of several widths, the one that fits most of the brightest sources."""
        stamps = stamps[:_STARS]
        spacing = max(0.5, conv_width / 7)
        trials = [cls.gaussian(fwhm, stamps.pixels.shape[1] // 2, spacing)
                  for fwhm in np.maximum(_TRIAL_WIDTHS * conv_width, 0.9)]
        fits = [_fit(stamps, trial, _MODEL_ERRORS[0]) for trial in trials]
        return trials[int(np.argmax([(fit.good / (1 + fit.chi2**2)).sum() for fit in fits]))]

    def __call__(self, x, y):
        """Value and slopes on the pixel grid around centres.

        Parameters
        ----------
        x, y : (N, s) ndarray
            Distances of the columns and of the rows from each centre, pixels.

        Returns
        -------
        value, slope_x, slope_y : (N, s, s) ndarray
            Fraction of the flux in each pixel, and its derivatives along dx and dy.
        """
        (bx, dx), (by, dy) = (self._basis(t + c) for t, c in zip((x, y), self.centre, strict=True))
        along = by @ self.coefficients
        bx, dx = np.swapaxes(bx, -1, -2), np.swapaxes(dx, -1, -2)
        return along @ bx, along @ dx, dy @ self.coefficients @ bx

    def _basis(self, t):
        """Cubic B-splines and their slopes at distances `t`, along a new last axis; four of them are not zero."""
        m = len(self.coefficients)
        u = np.clip(np.asarray(t) / self.spacing + (m - 1) / 2, 1, m - 2 - 1e-9)
        first = np.floor(u).astype(int) - 1
        z = u - first - 1
        y = 1 - z
        values = np.stack([y**3 / 6, 2 / 3 - z**2 * (1 + y) / 2, 2 / 3 - y**2 * (1 + z) / 2, z**3 / 6], axis=-1)
        slopes = np.stack([-(y**2) / 2, 1.5 * z**2 - 2 * z, 2 * y - 1.5 * y**2, z**2 / 2], axis=-1) / self.spacing
        basis, slope = np.zeros((2, *u.shape, m))
        where = first[..., None] + np.arange(4)
        np.put_along_axis(basis, where, values, axis=-1)
        np.put_along_axis(slope, where, slopes, axis=-1)
        return basis, slope

    def _corrected(self, stamps, fit, model_error):
        """Least-squares correction of this surface by the stars of `stamps`, as smooth as they allow."""
        m = len(self.coefficients)
        x, y = fit.distances(stamps)
        value = self(x, y)[0]
        weight = stamps.good / _variance(fit.flux[:, None, None] * value, stamps, model_error)
        weight = weight * fit.flux[:, None, None] ** 2
        light = (stamps.pixels - fit.sky[:, None, None]) / fit.flux[:, None, None]
        design = np.einsum("nyi,nxj->nyxij", self._basis(y)[0], self._basis(x)[0]).reshape(-1, m * m)
        design = sparse.csr_array(design)  # sixteen splines reach a pixel
        weighted = design.multiply(weight.reshape(-1, 1)).tocsr()
        second = np.diff(np.eye(m), 2, axis=0)
        bend = second.T @ second
        stiffness = np.kron(bend, np.eye(m)) + np.kron(np.eye(m), bend) + 1e-3 * np.eye(m * m)
        change = np.linalg.solve((weighted.T @ design).toarray() + stiffness / _CONTRAST**2,
                                 weighted.T @ (light - value).ravel())
        return dataclasses.replace(self, coefficients=self.coefficients + change.reshape(m, m))._normalised()

    def _normalised(self):
        """Return the surface scaled to unit sum over the pixels of a star centred on one."""
        whole = np.arange(-self._half, self._half + 1.0)[None]
        return dataclasses.replace(self, coefficients=self.coefficients / self(whole, whole)[0].sum())

    def _centred(self, sigma):
        """Return the same surface; the star is where its Gaussian-weighted first moments vanish."""
        fine = np.arange(-self._half, self._half + 0.01, self.spacing / 5)
        value = np.clip(self(fine[None], fine[None])[0][0], 0, None)
        centre = np.zeros(2)
        for _ in range(40):
            wx, wy = (np.exp(-((fine - c) ** 2) / (2 * sigma**2)) for c in centre)
            light = wy[:, None] * value * wx
            total = light.sum()
            moment = np.array([(light * fine).sum(), (light * fine[:, None]).sum()]) / total - centre
            centre = np.clip(centre + 1.5 * moment, -_REACH, _REACH)
        return dataclasses.replace(self, centre=tuple(map(float, centre)))

    @property
    def _half(self):
        return int((len(self.coefficients) - 3) / 2 * self.spacing - _REACH - 0.5 + 1e-9)


@dataclasses.dataclass(frozen=True, eq=False)
class _Fit:
    """Fits of the PSF to stamps: columns of length N."""

    offset: np.ndarray  # (N, 2) of the centre from the central pixel
    error: np.ndarray  # (N, 2)
    flux: np.ndarray
    flux_error: np.ndarray
    sky: np.ndarray
    chi2: np.ndarray  # reduced
    good: np.ndarray  # converged on a positive flux, with pixels to spare

    def __getitem__(self, rows):
        return _Fit(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    def distances(self, stamps):
        """Distances (N, s) of columns and rows from the centres."""
        half = stamps.pixels.shape[1] // 2
        pixel = np.arange(-half, half + 1.0)
        return pixel - self.offset[:, :1], pixel - self.offset[:, 1:]


def _variance(light, stamps, model_error):
    """Variance of each pixel that holds `light` of a star, counts squared."""
    light = np.clip(light, 0, None)
    rounding = 1e-6 * np.abs(stamps.pixels).max(axis=(1, 2), keepdims=True) + 1e-12
    steady = rounding**2 + stamps.noise[:, None, None] ** 2
    return steady + light / stamps.gain[:, None, None] + (model_error * light) ** 2


def _fit(stamps, psf, model_error):
    """Fit x, y, flux and local sky of every stamp by Gauss-Newton steps; returns a _Fit."""
    n = len(stamps)
    state = _Fit(np.zeros((n, 2)), np.full((n, 2), np.nan), np.zeros(n), np.full(n, np.nan), stamps.level,
                 np.full(n, np.inf), np.zeros(n, bool))
    value = psf(*state.distances(stamps))[0] * stamps.good
    light = (stamps.pixels - state.sky[:, None, None]) * stamps.good
    flux = (light * value).sum(axis=(1, 2)) / np.maximum((value**2).sum(axis=(1, 2)), 1e-12)
    offset, sky, moving = state.offset.copy(), state.sky.copy(), np.arange(n)
    for _ in range(_STEPS):
        part = dataclasses.replace(state, offset=offset, flux=flux, sky=sky)[moving]
        normal, step, _ = _equations(part, stamps[moving], psf, model_error)
        step = np.linalg.solve(normal, step[..., None])[..., 0]
        offset[moving] = np.clip(part.offset + np.clip(step[:, :2], -0.4, 0.4), -_REACH, _REACH)
        flux[moving], sky[moving] = part.flux + step[:, 2], part.sky + step[:, 3]
        moving = moving[(np.abs(step[:, :2]) > _STILL).any(axis=1)]
        if not moving.size:
            break
    state = dataclasses.replace(state, offset=offset, flux=flux, sky=sky)
    normal, _, chi2 = _equations(state, stamps, psf, model_error)
    error = np.sqrt(np.abs(np.diagonal(np.linalg.inv(normal), axis1=1, axis2=2)))
    spare = stamps.good.sum(axis=(1, 2)) - 4
    good = (state.flux > 0) & (np.abs(state.offset) < _REACH).all(axis=1) & (spare > 3)
    return dataclasses.replace(state, error=error[:, :2], flux_error=error[:, 2],
                               chi2=chi2 / np.maximum(spare, 1), good=good)


def _equations(state, stamps, psf, model_error):
    """Return normal matrices (N, 4, 4), right-hand sides (N, 4) and chi squared (N,) at the present state."""
    value, slope_x, slope_y = psf(*state.distances(stamps))
    flux = state.flux[:, None, None]
    residual = (stamps.pixels - flux * value - state.sky[:, None, None]).reshape(len(stamps), -1)
    weight = (stamps.good / _variance(flux * value, stamps, model_error)).reshape(len(stamps), -1)
    slopes = np.stack([-flux * slope_x, -flux * slope_y, value, np.ones_like(value)], axis=1)
    slopes = slopes.reshape(len(stamps), 4, -1)
    weighted = slopes * weight[:, None]
    normal = weighted @ slopes.swapaxes(1, 2)
    diagonal = np.einsum("nii->ni", normal)
    diagonal += 1e-9 * diagonal + 1e-12
    return normal, (weighted @ residual[..., None])[..., 0], (residual**2 * weight).sum(axis=1)


def refine_positions(catalog, stamps, psf):
    """Put the sources where the PSF fits them best.

    Parameters
    ----------
    catalog : SourceCatalog
        N sources.
    stamps : Stamps
        Their pixels.
    psf : EffectivePSF
        Of the exposure.

    Returns
    -------
    SourceCatalog
        With positions, fluxes and their errors from the fit. A source that the PSF does not fit keeps those it had
        and is flagged `Flag.POOR_FIT`.
    """
    if not len(catalog):
        return catalog
    fit = _fit(stamps, psf, _MODEL_ERRORS[-1])
    tolerant = _equations(fit, stamps, psf, _TOLERATED)[2] / np.maximum(stamps.good.sum(axis=(1, 2)) - 4, 1)
    good = fit.good & (tolerant < _POOR_CHI2)
    inflation = np.sqrt(np.maximum(fit.chi2, 1))[:, None]
    return catalog.replace(
        xy=np.where(good[:, None], stamps.centre + fit.offset, catalog.xy),
        xy_error=np.where(good[:, None], fit.error * inflation, catalog.xy_error),
        flux=np.where(good, fit.flux, catalog.flux), flux_error=np.where(good, fit.flux_error, catalog.flux_error),
        flags=np.where(good, catalog.flags & ~Flag.UNRELIABLE, catalog.flags | Flag.POOR_FIT))
