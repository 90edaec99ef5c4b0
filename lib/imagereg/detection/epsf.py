"""Measure the effective point-spread function of an exposure, and fit it to the sources.

The effective PSF (Anderson & King 2000, PASP 112, 1360) is the PSF already integrated over a pixel:
a smooth surface whose value at (dx, dy) is the fraction of a star's light in a pixel that far from
its centre. Here it is a bicubic B-spline, solved for by linear least squares from all good stars of
an exposure at once, with a Gaussian as prior where the stars say little. Fitting it to each source
gives positions near the photon limit, without the error that depends on where in its pixel a star
lies, and tells stars from cosmic rays (tests/unit/detection/test_epsf.py measures both).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from scipy import sparse
from scipy.special import erf

from imagereg.catalogs import Flag, SourceCatalog

# Prior on the smoothness: second differences of the surface, as a fraction of a star's flux, that
# the data need not justify.
_SMOOTHNESS = 0.02
# How far the surface is believed, round by round, relative to its value: the first guess is a
# Gaussian, the last surface is that of the stars.
_MODEL_ERRORS = (0.15, 0.06, 0.01)
_TOLERATED = 0.1  # of its value: a star may depart from the mean PSF of the exposure by this much
_POOR_CHI2 = 4.0  # reduced; above, a source is not a star
_HOPELESS_CHI2 = 100.0  # above, a source is not even a star of another PSF
_MOST_CANDIDATES = 2000  # brightest sources that are looked at: cosmic rays are among them
_MOST_STARS = 500  # brightest stars that are used: bounds time and memory
# FWHM of the first guesses in units of the kernel's, which is one to three times the stars'.
_TRIAL_WIDTHS = np.array([0.3, 0.4, 0.52, 0.68, 0.9, 1.2])
_LEAST_WIDTH = 0.9  # pixels; about the width of a pixel itself
_LEAST_SNR = 20.0  # of a star that is used
_LEAST_SPARE_PIXELS = 3  # good pixels beyond the four unknowns
_REACH = 1.0  # pixels; a centre lies within this of the brightest pixel
_MOST_STEPS = 6  # of a fit
_LONGEST_STEP = 0.4  # pixels
_STILL = 1e-3  # pixels; a source that moves by less has come to rest
# The kernel's FWHM in units of the stars' at which all that scales with it here is right: 3.5
# pixels for the 2 of ACS. Another kernel serves for a first surface, whose FWHM sets the scale.
_KERNEL_FWHM = 1.75
_MOST_SCALES = 4  # surfaces that are measured until the scale has settled
_SAME_SPACING = 0.2  # relative; knots that differ by less describe the same surface
_SIGMA_OF_FWHM = 0.42466  # of a Gaussian
_LEAST_HALF = 2  # pixels; half width of the smallest box, with a rim for the sky of the narrowest
_HALF_WIDTH = 0.637  # of the kernel's FWHM; half width of a box, DAOFIND's footprint of 1.5 sigma


@dataclasses.dataclass(frozen=True, eq=False)
class Stamps:
    """Small boxes of pixels around the sources of a catalog.

    Parameters
    ----------
    pixels : (N, s, s) ndarray
        Counts.
    good : (N, s, s) ndarray of bool
        Whether a pixel can be used.
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
    def cut(
        cls,
        image: np.ndarray,
        xy: np.ndarray,
        *,
        half: int,
        level: float | np.ndarray,
        noise: float | np.ndarray,
        gain: float = 1.0,
        bad: np.ndarray | None = None,
    ) -> Stamps:
        """Cut boxes of 2 `half` + 1 pixels around `xy` (N, 2), FITS pixels.

        Pixels beyond the edge of the image are not good. `level` and `noise` of the sky are one
        for all, or (N,).
        """
        centre = np.rint(xy).astype(int)
        offset = np.arange(-half, half + 1)
        y = centre[:, 1, None, None] - 1 + offset[:, None]
        x = centre[:, 0, None, None] - 1 + offset
        ny, nx = image.shape
        inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
        y = np.clip(y, 0, ny - 1)
        x = np.clip(x, 0, nx - 1)
        pixels = image[y, x].astype(np.result_type(image.dtype, np.float32).newbyteorder("="))
        good = inside & np.isfinite(pixels)
        if bad is not None:
            good &= ~bad[y, x]
        columns = (np.full(len(centre), value, float) for value in (level, noise, gain))
        pixels[~good] = 0
        return cls(pixels, good, centre, *columns)

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.pixels)

    def __getitem__(self, rows: np.ndarray) -> Stamps:
        """Return the boxes picked by a mask or an index array."""
        return Stamps(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    @property
    def half(self) -> int:
        """Half width of a box: it has 2 `half` + 1 rows and columns."""
        return self.pixels.shape[1] // 2

    @property
    def n_good(self) -> np.ndarray:
        """Number of good pixels of each box, (N,)."""
        return self.good.sum(axis=(1, 2))

    def cropped(self, half: int) -> Stamps:
        """Return the inner boxes of half width `half`, or of what there is."""
        cut = max(self.half - half, 0)
        inner = slice(cut, self.pixels.shape[1] - cut)
        return dataclasses.replace(
            self, pixels=self.pixels[:, inner, inner], good=self.good[:, inner, inner]
        )

    @classmethod
    def concat(cls, parts: Iterable[Stamps]) -> Stamps:
        """Return the boxes of all `parts`, which have one size."""
        parts = list(parts)
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclasses.dataclass(frozen=True, eq=False)
class EffectivePSF:
    """The effective PSF: a bicubic B-spline surface around the centre of a star.

    Parameters
    ----------
    coefficients : (m, m) ndarray
        Coefficients of the cubic B-splines, y along the first axis.
    spacing : float
        Distance of their knots, pixels.
    half : int
        Half width of the stamps that it is made for, pixels.
    centre : (float, float)
        Position x, y of the star on the surface, pixels.
    """

    coefficients: np.ndarray
    spacing: float
    half: int
    centre: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def gaussian(cls, fwhm: float, half: int, spacing: float = 0.5) -> EffectivePSF:
        """Return a round Gaussian of unit flux, integrated over pixels.

        It covers stamps of 2 `half` + 1 pixels whose star is up to a pixel off their middle.
        """
        reach = half + _REACH + 0.5
        m = 2 * int(np.ceil(reach / spacing)) + 3
        blank = cls(np.zeros((m, m)), spacing, half)
        x = np.linspace(-reach, reach, 4 * m)
        edge = np.array([-0.5, 0.5])[:, None] + x
        profile = np.diff(erf(edge * 2 * np.sqrt(np.log(2)) / fwhm), axis=0)[0] / 2
        line = np.linalg.lstsq(blank._basis(x)[0], profile, rcond=None)[0]
        return cls(np.outer(line, line), spacing, half)

    @classmethod
    def measure(cls, stamps: Stamps, conv_width: float) -> EffectivePSF:
        """Measure the effective PSF from stamps, some of which hold stars.

        Parameters
        ----------
        stamps : Stamps
            Boxes around sources of any kind.
        conv_width : float
            FWHM of the kernel that found them, pixels: half to five times that of the stars. It is
            the first guess of the scale of the box, the knots and the window of the centre, which
            then follow the FWHM that is measured.

        Returns
        -------
        EffectivePSF
            Its centre is where its first moments vanish, weighted with a Gaussian of 0.4 times its
            FWHM. Where no source looks like a star, it is a Gaussian.
        """
        width = conv_width
        for _ in range(_MOST_SCALES):
            half, spacing = _half_width(width, stamps), _spacing(width)
            psf = cls._measured(stamps.cropped(half), width)
            width = _KERNEL_FWHM * psf.fwhm
            is_same = abs(_spacing(width) / spacing - 1) < _SAME_SPACING
            if is_same and _half_width(width, stamps) == half:
                break
        return psf._centred()

    @classmethod
    def _measured(cls, stamps, conv_width):
        """Return the surface measured in boxes and with knots that suit `conv_width`."""
        stamps = _brightest(stamps)
        if not len(stamps):
            return cls.gaussian(conv_width / 2, stamps.half, _spacing(conv_width))
        prior = psf = cls._first_guess(stamps, conv_width)
        for model_error in _MODEL_ERRORS:
            fit = _fit(stamps, psf, model_error)
            photons = np.clip(fit.flux, 0, None) / stamps.gain
            noise = np.sqrt(photons + (conv_width * stamps.noise) ** 2)
            is_star = fit.good & (fit.flux > _LEAST_SNR * noise) & (fit.chi2 < _POOR_CHI2)
            stars = np.flatnonzero(is_star)
            if not stars.size:
                break
            stars = stars[np.argsort(-fit.flux[stars], kind="stable")[:_MOST_STARS]]
            psf = prior._corrected(stamps[stars], fit[stars], model_error)
            stamps = stamps[fit.chi2 < _HOPELESS_CHI2]
        return psf

    @classmethod
    def _first_guess(cls, stamps, conv_width):
        """Return the Gaussian, of several widths, that fits most of the brightest sources."""
        stamps = stamps[:_MOST_STARS]
        spacing = _spacing(conv_width)
        widths = np.maximum(_TRIAL_WIDTHS * conv_width, _LEAST_WIDTH)
        trials = [cls.gaussian(fwhm, stamps.half, spacing) for fwhm in widths]
        fits = [_fit(stamps, trial, _MODEL_ERRORS[0]) for trial in trials]
        scores = [(fit.good / (1 + fit.chi2**2)).sum() for fit in fits]
        return trials[int(np.argmax(scores))]

    def __call__(
        self, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the values and slopes of the surface on the pixels around centres.

        Parameters
        ----------
        x, y : (N, s) ndarray
            Distances of the columns and of the rows from each centre, pixels.

        Returns
        -------
        value, slope_x, slope_y : (N, s, s) ndarray
            Fraction of the flux in each pixel, and its derivatives along dx and dy.
        """
        bx, dx = self._basis(x + self.centre[0])
        by, dy = self._basis(y + self.centre[1])
        along = by @ self.coefficients
        bx, dx = np.swapaxes(bx, -1, -2), np.swapaxes(dx, -1, -2)
        return along @ bx, along @ dx, dy @ self.coefficients @ bx

    def _basis(self, t):
        """Return the cubic B-splines and their slopes at distances `t`, along a new last axis.

        Four of them are not zero at any place.
        """
        m = len(self.coefficients)
        u = np.clip(np.asarray(t) / self.spacing + (m - 1) / 2, 1, m - 2 - 1e-9)
        first = np.floor(u).astype(int) - 1
        z = u - first - 1
        y = 1 - z
        values = [y**3 / 6, 2 / 3 - z**2 * (1 + y) / 2, 2 / 3 - y**2 * (1 + z) / 2, z**3 / 6]
        slopes = [-(y**2) / 2, 1.5 * z**2 - 2 * z, 2 * y - 1.5 * y**2, z**2 / 2]
        basis, slope = np.zeros((2, *u.shape, m))
        where = first[..., None] + np.arange(4)
        np.put_along_axis(basis, where, np.stack(values, axis=-1), axis=-1)
        np.put_along_axis(slope, where, np.stack(slopes, axis=-1) / self.spacing, axis=-1)
        return basis, slope

    def _corrected(self, stamps, fit, model_error):
        """Return this surface with the smoothest correction that the stars of `stamps` ask for."""
        m = len(self.coefficients)
        x, y = fit.distances(stamps)
        value = self(x, y)[0]
        weight = stamps.good / _variance(fit.flux[:, None, None] * value, stamps, model_error)
        weight = weight * fit.flux[:, None, None] ** 2
        light = (stamps.pixels - fit.sky[:, None, None]) / fit.flux[:, None, None]
        design = np.einsum("nyi,nxj->nyxij", self._basis(y)[0], self._basis(x)[0])
        design = sparse.csr_array(design.reshape(-1, m * m))  # sixteen splines reach a pixel
        weighted = design.multiply(weight.reshape(-1, 1)).tocsr()
        second = np.diff(np.eye(m), 2, axis=0)
        bend = second.T @ second
        # The last term keeps the surface where no star reaches: bend alone says nothing of it.
        stiffness = np.kron(bend, np.eye(m)) + np.kron(np.eye(m), bend) + 1e-3 * np.eye(m * m)
        normal = (weighted.T @ design).toarray() + stiffness / _SMOOTHNESS**2
        change = np.linalg.solve(normal, weighted.T @ (light - value).ravel())
        coefficients = self.coefficients + change.reshape(m, m)
        return dataclasses.replace(self, coefficients=coefficients)._normalised()

    def _normalised(self):
        """Return the surface scaled to unit sum over the pixels of a star centred on one."""
        whole = np.arange(-self.half, self.half + 1.0)[None]
        total = self(whole, whole)[0].sum()
        return dataclasses.replace(self, coefficients=self.coefficients / total)

    def _centred(self):
        """Return the same surface with its centre where the weighted first moments vanish.

        The weight is the round Gaussian that fits the surface best, found along with the centre
        (adaptive moments: Bernstein & Jarvis 2002, AJ 123, 583), whatever the kernel that found
        the stars. It draws the moment towards the present centre, so a step is 1.5 moments.
        """
        fine = np.arange(-self.half, self.half + 0.01, self.spacing / 5)
        value = self(fine[None], fine[None])[0][0]
        value = value - np.median([value[0], value[-1], value[:, 0], value[:, -1]])
        centre = np.zeros(2)
        variance = (self.fwhm * _SIGMA_OF_FWHM) ** 2
        for _ in range(40):
            x, y = (fine - c for c in centre)
            square = x**2 + y[:, None] ** 2
            light = value * np.exp(-square / (2 * variance))
            moment = np.array([(light * x).sum(), (light * y[:, None]).sum()]) / light.sum()
            spread = (light * square).sum() / light.sum()
            centre = np.clip(centre + 1.5 * moment, -_REACH, _REACH)
            variance = np.clip(spread, variance / 2, self.half**2)
        return dataclasses.replace(self, centre=(float(centre[0]), float(centre[1])))

    @property
    def fwhm(self) -> float:
        """FWHM, pixels: the diameter of the circle as large as what is above half the height.

        The height is taken from the edge of the box, since the fits leave the zero of the surface
        and the local sky to each other.
        """
        step = self.spacing / 10
        fine = np.arange(-self.half, self.half + 0.5 * step, step)[None]
        value = self(fine, fine)[0][0]
        edge = np.median([value[0], value[-1], value[:, 0], value[:, -1]])
        area = (value > (value.max() + edge) / 2).sum() * step**2
        return float(2 * np.sqrt(area / np.pi))


@dataclasses.dataclass(frozen=True, eq=False)
class _Fit:
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

    def __getitem__(self, rows):
        return _Fit(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    def distances(self, stamps: Stamps) -> tuple[np.ndarray, np.ndarray]:
        """Return the distances (N, s) of columns and of rows from the centres, pixels."""
        pixel = np.arange(-stamps.half, stamps.half + 1.0)
        return pixel - self.offset[:, :1], pixel - self.offset[:, 1:]


def _spacing(conv_width: float) -> float:
    """Return the distance of the knots, pixels: half a pixel, or more where stars are wide."""
    return max(0.5, conv_width / 7)


def _half_width(conv_width: float, stamps: Stamps) -> int:
    """Return the half width of a box that holds the core of a star, pixels."""
    return min(max(round(_HALF_WIDTH * conv_width), _LEAST_HALF), stamps.half)


def _brightest(stamps: Stamps) -> Stamps:
    """Return the stamps that are good throughout and hold most light, brightest first."""
    clean = np.flatnonzero(stamps.good.all(axis=(1, 2)))
    n_pixels = np.prod(stamps.pixels.shape[1:])
    light = (stamps.pixels.sum(axis=(1, 2)) - n_pixels * stamps.level)[clean]
    return stamps[clean[np.argsort(-light, kind="stable")[:_MOST_CANDIDATES]]]


def _variance(light, stamps, model_error):
    """Return the variance of pixels that hold `light` of a star, counts squared."""
    light = np.clip(light, 0, None)
    rounding = 1e-6 * np.abs(stamps.pixels).max(axis=(1, 2), keepdims=True) + 1e-12
    steady = rounding**2 + stamps.noise[:, None, None] ** 2
    return steady + light / stamps.gain[:, None, None] + (model_error * light) ** 2


def _fit(stamps: Stamps, psf: EffectivePSF, model_error: float) -> _Fit:
    """Fit x, y, flux and local sky of every stamp by Gauss-Newton steps."""
    n = len(stamps)
    state = _Fit(
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
        normal, right, _ = _equations(part, stamps[moving], psf, model_error)
        step = np.linalg.solve(normal, right[..., None])[..., 0]
        shift = np.clip(step[:, :2], -_LONGEST_STEP, _LONGEST_STEP)
        offset[moving] = np.clip(part.offset + shift, -_REACH, _REACH)
        flux[moving] = part.flux + step[:, 2]
        sky[moving] = part.sky + step[:, 3]
        moving = moving[(np.abs(step[:, :2]) > _STILL).any(axis=1)]
        if not moving.size:
            break
    state = dataclasses.replace(state, offset=offset, flux=flux, sky=sky)
    normal, _, chi2 = _equations(state, stamps, psf, model_error)
    error = np.sqrt(np.abs(np.diagonal(np.linalg.inv(normal), axis1=1, axis2=2)))
    spare = stamps.n_good - 4
    is_near = (np.abs(state.offset) < _REACH).all(axis=1)
    return dataclasses.replace(
        state,
        error=error[:, :2],
        flux_error=error[:, 2],
        chi2=chi2 / np.maximum(spare, 1),
        good=(state.flux > 0) & is_near & (spare > _LEAST_SPARE_PIXELS),
    )


def _equations(state, stamps, psf, model_error):
    """Return the normal equations of a step of the fits, and chi squared.

    Returns
    -------
    normal : (N, 4, 4) ndarray
        For x, y, flux, and sky.
    right : (N, 4) ndarray
        Right-hand sides.
    chi2 : (N,) ndarray
        Before the step.
    """
    value, slope_x, slope_y = psf(*state.distances(stamps))
    flux = state.flux[:, None, None]
    residual = (stamps.pixels - flux * value - state.sky[:, None, None]).reshape(len(stamps), -1)
    weight = (stamps.good / _variance(flux * value, stamps, model_error)).reshape(len(stamps), -1)
    slopes = np.stack([-flux * slope_x, -flux * slope_y, value, np.ones_like(value)], axis=1)
    slopes = slopes.reshape(len(stamps), 4, -1)
    weighted = slopes * weight[:, None]
    normal = weighted @ slopes.swapaxes(1, 2)
    diagonal = np.einsum("nii->ni", normal)  # a view
    diagonal += 1e-9 * diagonal + 1e-100  # a stamp without a good pixel can be solved too
    right = (weighted @ residual[..., None])[..., 0]
    return normal, right, (residual**2 * weight).sum(axis=1)


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
    fit = _fit(stamps, psf, _MODEL_ERRORS[-1])
    _, _, tolerant_chi2 = _equations(fit, stamps, psf, _TOLERATED)
    good = fit.good & (tolerant_chi2 / np.maximum(stamps.n_good - 4, 1) < _POOR_CHI2)
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
