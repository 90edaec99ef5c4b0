"""Measure the effective PSF from stars whose positions are not known either.

Surface and positions are found by turns (Anderson & King 2000, PASP 112, 1360): in each round all
stars are fitted, and linear least squares give the coefficients of the surface, with a Gaussian as
prior where the stars say little.

From one exposure a wrong surface and positions wrong by an amount that repeats in every pixel
explain the pixels nearly as well. Once exposures are aligned, a star that falls on other places of
its pixel in each of them has one position on the sky, which tells the two apart (`Dithers`); then
surface and positions are solved for together, with the position, flux and sky of every star
eliminated from the linear problem.
"""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from imagereg.detection.psf.epsf import EffectivePSF
from imagereg.detection.psf.epsf_equations import Equations
from imagereg.detection.psf.epsf_fit import (
    MEDIAN_OF_SQUARE,
    POOR_CHI2,
    Linearised,
    StarFits,
    fit_stars,
)
from imagereg.detection.psf.stamps import Stamps

_log = logging.getLogger(__name__)

# Prior on the smoothness of the first surface: second differences, as a fraction of a star's flux,
# that the data need not justify.
_SMOOTHNESS = 0.02
# By how much the second surface may depart from a Gaussian before stars say so, as parts of its
# value and of its peak, and over what distance, of its FWHM, it departs alike. On 24 visits of
# WFC3/IR errors are 1.23 photon limits, 1.32 at best with bending as the prior; with some hundred
# bright stars on ACS/WFC bending is better: 1.37 against 1.52 (wfc_moderate, threshold=50).
_DEPARTURE = 0.15
_LEAST_DEPARTURE = 0.007
_ALIKE = 0.3
_UNEVEN = 3.0  # departures of an exposure's own surface, in units of the error of the common one
# Fall of chi squared for a parameter of it, 1 by chance: 3 to 18 where the focus changes by 0.03
# waves from one to the next, up to 1.3 where it does not (stress.py, simulate.py).
_SIGNIFICANT_FALL = 2.0
STEADY_ERROR = 0.003  # of a surface from which exposures depart too little to matter
_SINGLE = 1e-3  # variance of each coefficient by itself, of all: the equations have a solution
# How far the surface is believed, round by round, relative to its value: the first guess is a
# Gaussian, the last surface is that of the stars.
_MODEL_ERRORS = (0.15, 0.06, 0.01)
_LEAST_ERROR = 0.002  # of a surface that was measured: flat fields are no better
_HOPELESS_CHI2 = 100.0  # above, a source is not even a star of another PSF
_MOST_CANDIDATES = 2000  # brightest sources that are looked at: cosmic rays are among them
_FIRST_GUESS_STARS = 500  # enough to tell a width
_MOST_STARS = 500  # brightest stars that are used at first: bounds time
_MOST_DITHERED = 3000  # brightest stamps that are used then: bounds time and memory
_MOST_CANDIDATES_DITHERED = 4000  # of which those are chosen, blends among them
# FWHM of the first guesses in units of the kernel's, which is one to three times the stars'.
_TRIAL_WIDTHS = np.array([0.3, 0.4, 0.52, 0.68, 0.9, 1.2])
_LEAST_WIDTH = 0.9  # pixels; about the width of a pixel itself
_LEAST_SNR = 20.0  # of a star that is used
# The kernel's FWHM in units of the stars' at which all that scales with it here is right: 3.5
# pixels for the 2 of ACS. Another kernel serves for a first surface, whose FWHM sets the scale.
_KERNEL_FWHM = 1.75
_MOST_SCALES = 4  # surfaces that are measured until the scale has settled
_SAME_SPACING = 0.2  # relative; knots that differ by less describe the same surface
_LEAST_HALF = 2  # pixels; half width of the smallest box, with a rim for the sky of the narrowest
_HALF_WIDTH = 0.637  # of the kernel's FWHM; half width of a box, DAOFIND's footprint of 1.5 sigma
# Of how many of those stars the rounds make use: the first ones only bring the surface near, and
# the scatter of positions changes by less than a fifth in the last.
_DITHERED_ROUNDS = (1 / 6, 1 / 3, 1)
_FRAME_ROUNDS = 4  # of two exposures each one takes half of what is left
_FEWEST_OF_FRAME = 10  # stars that tell a linear transform of three terms an axis
# Distance of the knots of the second surface, of its FWHM: 0.36 leaves errors of 0.005 pixel where
# the PSF is undersampled (WFC3/IR), and 0.2 gives more to the noise than it explains.
_FINE_SPACING = 0.27
_SAME_STAR = 0.3  # pixels; positions from a first surface are off by less
_FEWEST_STARS = 4  # below, a second pass knows the surface no better than the first


@dataclasses.dataclass(frozen=True, eq=False)
class Dithers:
    """Which of N stamps show the same star, and how a position on the sky moves in each of them.

    Parameters
    ----------
    star : (N,) ndarray of int
        Number of the star, from 0.
    frame : (N,) ndarray of int
        Number of the exposure and chip, from 0.
    place : (N, 2) ndarray
        Position on the common plane of the middle of the stamp's central pixel.
    to_pixels : (N, 2, 2) ndarray
        Maps a small step on the plane to pixels of the stamp.
    """

    star: np.ndarray
    frame: np.ndarray
    place: np.ndarray
    to_pixels: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Dithers:
        """Return the stamps picked by a mask or an index array, with the stars renumbered."""
        star = np.unique(self.star[rows], return_inverse=True)[1]
        frame = np.unique(self.frame[rows], return_inverse=True)[1]
        return Dithers(star, frame, self.place[rows], self.to_pixels[rows])

    @classmethod
    def among(
        cls, place: np.ndarray, frame: np.ndarray, exposure: np.ndarray, to_pixels: np.ndarray
    ) -> tuple[Dithers, np.ndarray]:
        """Find the stars that several exposures show, and return them with their rows of N.

        Parameters
        ----------
        place, frame, to_pixels : (N, 2), (N,), (N, 2, 2) ndarray
            As in `Dithers`, but `place` is that of the star.
        exposure : (N,) ndarray of int
            Which exposure shows it.

        Returns
        -------
        dithers : Dithers
            Of the stars that nothing else is near; `place` as it was given.
        rows : (n,) ndarray of int
            Where they are among the N.
        """
        n = len(place)
        if not n:
            return cls(frame, frame, place, to_pixels), frame
        pairs = cKDTree(place).query_pairs(_SAME_STAR, output_type="ndarray")
        links = sparse.coo_array((np.ones(len(pairs)), pairs.T), (n, n))
        _, star = sparse.csgraph.connected_components(links, directed=False)
        number = np.bincount(star)[star]
        once = np.unique(np.column_stack([star, exposure]), axis=0)[:, 0]
        rows = np.flatnonzero((number > 1) & (np.bincount(once)[star] == number))
        return cls(star, frame, place, to_pixels)[rows], rows

    def shared(self, fits: StarFits) -> tuple[StarFits, float]:
        """Return fits at the mean positions of the stars, and the scatter about them, pixels.

        The scatter is what the errors of the fits do not explain, from the best third of them.
        Each frame may be off by a linear transform, since it was aligned with a lesser surface.
        """
        to_plane = np.linalg.inv(self.to_pixels)
        place = self.place + (to_plane @ fits.offset[..., None])[..., 0]
        weight = 1 / (fits.error**2).sum(axis=1)
        for _ in range(_FRAME_ROUNDS):  # frames are moved to the means, and the means follow
            away = place - _means(self.star, weight, place)[self.star]
            place = place - self._by_frame(weight, away)
        away = place - _means(self.star, weight, place)[self.star]
        away = (self.to_pixels @ away[..., None])[..., 0]
        total = np.bincount(self.star, weight)[self.star]
        freedom = 1 - weight / total
        best = freedom > 0.1
        best &= weight >= np.quantile(weight[best], 2 / 3) if best.any() else False
        excess = away**2 / freedom.clip(0.1)[:, None] / MEDIAN_OF_SQUARE - fits.error**2
        scatter = np.sqrt(np.median(excess[best]).clip(0)) if best.any() else 0.0
        return dataclasses.replace(fits, offset=fits.offset - away), float(scatter)


    def _by_frame(self, weight, away):
        """Return `away` as a linear function of the place in each frame; its mean for few stars."""
        smooth = np.empty_like(away)
        for frame in np.unique(self.frame):
            rows = self.frame == frame
            terms = np.ones((rows.sum(), 1))
            if len(terms) >= _FEWEST_OF_FRAME:
                spread = self.place[rows] - self.place[rows].mean(axis=0)
                terms = np.column_stack([terms, spread / (np.abs(spread).max() or 1.0)])
            root = np.sqrt(weight[rows])[:, None]
            solution = np.linalg.lstsq(terms * root, away[rows] * root, rcond=None)[0]
            smooth[rows] = terms @ solution
        return smooth


def _means(label, weight, values):
    """Return the weighted mean (n, 2) of `values` (N, 2) for each label from 0 to n - 1."""
    total = np.bincount(label, weight)
    return np.column_stack([np.bincount(label, weight * v) for v in values.T]) / total[:, None]


def shown_by_several(place: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """Tell the sources at `place` (N, 2) where another one of another `exposure` (N,) lies."""
    shown = np.zeros(len(place), bool)
    known = np.flatnonzero(np.isfinite(place).all(axis=1))
    pairs = known[cKDTree(place[known]).query_pairs(_SAME_STAR, output_type="ndarray")]
    differ = exposure[pairs[:, 0]] != exposure[pairs[:, 1]]
    shown[pairs[differ]] = True
    return shown


def measure_psf(stamps: Stamps, conv_width: float) -> EffectivePSF:
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
        Its centre is where its first moments within one FWHM vanish. Where no source looks like a
        star, it is a Gaussian.
    """
    width = conv_width
    for _ in range(_MOST_SCALES):
        half, spacing = _half_width(width, stamps), _spacing(width)
        psf = _measured(stamps.cropped(half), width)
        width = _KERNEL_FWHM * psf.fwhm
        is_same = abs(_spacing(width) / spacing - 1) < _SAME_SPACING
        if is_same and _half_width(width, stamps) == half:
            break
    return psf.centred()


def measure_psf_again(stamps: Stamps, first: EffectivePSF) -> EffectivePSF:
    """Measure the effective PSF again from the same stamps once their gain is known.

    Parameters
    ----------
    stamps : Stamps
        With the gain.
    first : EffectivePSF
        What `measure_psf` found without it; that is returned where no source looks like a star.
    """
    stamps = stamps.cropped(first.half)
    stamps = stamps[stamps.brightest(_MOST_CANDIDATES)]
    psf = first.resampled(first.spacing)  # with its centre at that of the prior
    fits = fit_stars(stamps, psf)
    stars = stars_among(stamps, fits, first.fwhm)[:_MOST_STARS]
    if not stars.size:
        return first
    prior = EffectivePSF.gaussian(first.fwhm, first.half, first.spacing)
    equations = Equations.of_known_stars(prior, psf, stamps[stars], fits[stars])
    return _solved(prior, psf, equations, _bending(prior)).centred()


def measure_dithered_psf(stamps: Stamps, dithers: Dithers, first: EffectivePSF) -> EffectivePSF:
    """Measure the effective PSF again from stars that were seen in several aligned exposures.

    Parameters
    ----------
    stamps : Stamps
        N boxes around stars.
    dithers : Dithers
        Which of them show the same star.
    first : EffectivePSF
        What `measure_psf` found.

    Returns
    -------
    EffectivePSF
        `first` itself where too few stars tell more.
    """
    stamps = stamps.cropped(first.half)
    rows = stamps.brightest(_MOST_CANDIDATES_DITHERED)
    stamps, dithers = stamps[rows], dithers[rows]
    prior = EffectivePSF.gaussian(first.fwhm, first.half, _FINE_SPACING * first.fwhm)
    psf = first.resampled(prior.spacing)
    stiffness = _departure(prior)
    fits = None
    for share in _DITHERED_ROUNDS:
        candidates = stamps[: int(share * _MOST_CANDIDATES_DITHERED)]
        fits = fit_stars(candidates, psf, fits)
        stars = stars_among(candidates, fits, psf.fwhm)[: int(share * _MOST_DITHERED)]
        if np.unique(dithers.star[stars]).size < _FEWEST_STARS:
            return first
        used, its = stamps[stars], fits[stars]
        psf = dataclasses.replace(psf, error=model_error(used, its, psf))
        shared, scatter = dithers[stars].shared(its)
        equations = Equations.of_dithered_stars(
            prior, psf, used, shared, star=dithers.star[stars],
            to_pixels=dithers.to_pixels[stars], scatter=scatter,
        )  # fmt: skip
        psf = _solved(prior, psf, equations, stiffness)
    _log.info(
        "point-spread function measured again from %d images of %d stars, to which it is true to "
        "%.1f%%; their positions agree to %.4f pixel beyond their errors",
        len(stars), np.unique(dithers.star[stars]).size, 100 * psf.error, scatter,
    )  # fmt: skip
    return psf.centred()


def measure_psf_of_each(
    stamps: Stamps, exposure: np.ndarray, psf: EffectivePSF
) -> dict[int, EffectivePSF]:
    """Measure the PSFs of exposures that depart from the one they share, as the focus changes.

    Parameters
    ----------
    stamps : Stamps
        N boxes around stars.
    exposure : (N,) ndarray of int
        Which exposure each is from.
    psf : EffectivePSF
        What they share, from `measure_dithered_psf`.

    Returns
    -------
    dict of int to EffectivePSF
        By exposure: those whose stars say so significantly.
    """
    if psf.error < STEADY_ERROR:
        return {}
    stamps = stamps.cropped(psf.half)
    rows = stamps.brightest(_MOST_CANDIDATES_DITHERED)
    stamps, exposure = stamps[rows], exposure[rows]
    fits = fit_stars(stamps, psf)
    stars = stars_among(stamps, fits, psf.fwhm)[:_MOST_DITHERED]
    stiffness = _departure(psf) * (_DEPARTURE / (_UNEVEN * psf.error)) ** 2
    found = {}
    for number in np.unique(exposure[stars]):
        own = stars[exposure[stars] == number]
        used, its = stamps[own], fits[own]
        equations = Equations.of_single_stars(psf, psf, used, its)
        if _fall_of_chi2(equations, stiffness) > _SIGNIFICANT_FALL:
            better = _solved(psf, psf, equations, stiffness)
            error = model_error(used, fit_stars(used, better, its), better)
            found[int(number)] = dataclasses.replace(better, error=error).centred()
    if found:
        _log.info(
            "%d images have point-spread functions of their own, true to %.1f%% where the common "
            "one is to %.1f%%",
            len(found), 100 * max(each.error for each in found.values()), 100 * psf.error,
        )  # fmt: skip
    return found


def _fall_of_chi2(equations, stiffness):
    """Return by how much chi squared falls for each effective parameter that equations set."""
    whole = equations.normal + stiffness
    change = np.linalg.solve(whole, equations.right)
    fall = change @ (2 * equations.right - equations.normal @ change)
    return fall / np.trace(np.linalg.solve(whole, equations.normal))


def _spacing(conv_width: float) -> float:
    """Return the distance of the knots, pixels: half a pixel, or more where stars are wide."""
    return max(0.5, conv_width / 7)


def _half_width(conv_width: float, stamps: Stamps) -> int:
    """Return the half width of a box that holds the core of a star, pixels."""
    return min(max(round(_HALF_WIDTH * conv_width), _LEAST_HALF), stamps.half)


def _measured(stamps, conv_width):
    """Return the surface measured in boxes and with knots that suit `conv_width`."""
    stamps = stamps[stamps.brightest(_MOST_CANDIDATES)]
    if not len(stamps):
        _log.info("no star tells the point-spread function: a Gaussian takes its place")
        return EffectivePSF.gaussian(conv_width / 2, stamps.half, _spacing(conv_width))
    prior = psf = _first_guess(stamps, conv_width)
    stiffness = _bending(prior)
    fits = None
    for error in _MODEL_ERRORS:
        psf = dataclasses.replace(psf, error=error)
        fits = fit_stars(stamps, psf, fits)
        stars = stars_among(stamps, fits, conv_width / _KERNEL_FWHM)[:_MOST_STARS]
        if not stars.size:
            _log.info("no star tells the point-spread function: a Gaussian takes its place")
            break
        used, its = stamps[stars], fits[stars]
        psf = _solved(prior, psf, Equations.of_known_stars(prior, psf, used, its), stiffness)
        is_hopeful = fits.chi2 < _HOPELESS_CHI2
        stamps, fits = stamps[is_hopeful], fits[is_hopeful]
    return dataclasses.replace(psf, error=_MODEL_ERRORS[-1])


def _first_guess(stamps, conv_width):
    """Return the Gaussian, of several widths, that fits most of the brightest sources.

    The box is too small to tell a star that is too wide from a sky that is too low: positions of
    real stars repeat to 0.010 pixel where the sky has a bound, and else to 0.020 and 0.032
    (tests/bench/repeats.py).
    """
    stamps = stamps[:_FIRST_GUESS_STARS]
    spacing = _spacing(conv_width)
    widths = np.maximum(_TRIAL_WIDTHS * conv_width, _LEAST_WIDTH)
    trials = [EffectivePSF.gaussian(fwhm, stamps.half, spacing) for fwhm in widths]
    fits = [fit_stars(stamps, dataclasses.replace(trial, error=_MODEL_ERRORS[0]), bounds_sky=True)
            for trial in trials]
    scores = [(fit.good / (1 + fit.chi2**2)).sum() for fit in fits]
    return trials[int(np.argmax(scores))]


def stars_among(stamps: Stamps, fits: StarFits, fwhm: float) -> np.ndarray:
    """Return the indices of the fits that are those of stars, the brightest first."""
    photons = np.clip(fits.flux, 0, None) / stamps.gain
    noise = np.sqrt(photons + (_KERNEL_FWHM * fwhm * stamps.noise) ** 2)
    stars = np.flatnonzero(fits.good & (fits.flux > _LEAST_SNR * noise) & (fits.chi2 < POOR_CHI2))
    return stars[np.argsort(-fits.flux[stars], kind="stable")]


def model_error(stamps: Stamps, fits: StarFits, psf: EffectivePSF) -> float:
    """Return by how much stars depart from the surface, as a fraction of its value.

    It is what photons and sky do not explain, the median of the stars for which it is best known.
    """
    near = Linearised.of(fits, stamps, dataclasses.replace(psf, error=0.0))
    light = near.slopes[:, 2] * fits.flux[:, None]
    variance = 1 / near.weight
    excess = near.residual**2 / (1 - near.leverage) - variance
    sensitivity = (light**2 / variance).sum(axis=1)
    bright = sensitivity >= np.quantile(sensitivity, 0.8)
    square = (excess * light**2 / variance**2).sum(axis=1) / (light**4 / variance**2).sum(axis=1)
    return float(np.sqrt(np.clip(np.median(square[bright]), _LEAST_ERROR**2, 0.1**2)))


def _solved(prior, psf, equations, stiffness):
    """Return `psf` with the surface of `prior` and the least change that equations ask for."""
    change = np.linalg.solve(equations.normal + stiffness, equations.right)
    coefficients = prior.coefficients + change.reshape(prior.coefficients.shape)
    return dataclasses.replace(psf, coefficients=coefficients).normalised()


def _bending(prior):
    """Return the matrix of the bending of coefficients, in units of what needs no reason.

    The last term keeps the surface where no star reaches: bending alone says nothing of it.
    """
    m = prior.n_splines
    second = np.diff(np.eye(m), 2, axis=0)
    bend = second.T @ second
    whole = np.kron(bend, np.eye(m)) + np.kron(np.eye(m), bend) + 1e-3 * np.eye(m * m)
    return whole / _SMOOTHNESS**2


def _departure(prior):
    """Return the inverse covariance of the coefficients about those of the prior.

    Departures are a Gaussian process: they grow with the light, and are alike nearby.
    """
    precision = np.linalg.inv(_alike(prior))
    size = _size_of_departure(prior).ravel()
    return np.kron(precision, precision) / np.outer(size, size)


def modes_of_departure(psf: EffectivePSF, number: int) -> np.ndarray:
    """Return the smoothest modes (number, m, m) in which surfaces depart from a PSF.

    They are those of the prior of an exposure's own surface: of amounts with unit variance.
    """
    variance, shapes = np.linalg.eigh(_alike(psf))
    product = np.multiply.outer(variance, variance)
    largest = np.argsort(-product, axis=None, kind="stable")[:number]
    rows, columns = np.unravel_index(largest, product.shape)
    modes = shapes.T[rows][:, :, None] * shapes.T[columns][:, None, :]
    amount = np.sqrt(product[rows, columns]) * _UNEVEN * psf.error / _DEPARTURE
    return modes * amount[:, None, None] * _size_of_departure(psf)


def _alike(prior):
    """Return the covariance of coefficients along one axis, of unit variance."""
    m = prior.n_splines
    place = np.arange(m) * prior.spacing / prior.fwhm
    return np.exp(-((place[:, None] - place) ** 2) / (2 * _ALIKE**2)) + _SINGLE * np.eye(m)


def _size_of_departure(prior):
    """Return the standard deviation of each coefficient."""
    light = np.abs(prior.coefficients)
    return _DEPARTURE * light + _LEAST_DEPARTURE * light.max()
