"""Measure the gain of an exposure, where no header tells it, from the noise of its stars.

The variance of a pixel grows with the light of a star as photons do, and with its square as far as
the PSF is not that of the star. That is a photon transfer curve (Janesick 2007, SPIE PM170), of
stars in the place of flat fields.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from imagereg.detection.psf.epsf import EffectivePSF
from imagereg.detection.psf.epsf_fit import (
    MEDIAN_OF_SQUARE,
    POOR_CHI2,
    Linearised,
    StarFits,
    fit_stars,
)
from imagereg.detection.psf.stamps import Stamps

_MOST_STARS = 1000  # brightest ones
_N_BINS = 20  # of light, logarithmic
_FEWEST_PIXELS = 100  # of a bin, which tell its variance to 17 %
_FAINTEST = 0.3  # of the noise of the sky; the light of a fainter pixel adds nothing to that
_N_ROUNDS = 4  # by which the gain changes by less than its error
_ERROR_OF_MEDIAN = 2.33  # of the square of n normal deviates, relative, times sqrt(n)
_LEAST_SIGNIFICANCE = 3.0  # sigma


def measure_gain(stamps: Stamps, psf: EffectivePSF) -> float:
    """Return the electrons per count of an exposure; infinity where photons add no noise.

    Parameters
    ----------
    stamps : Stamps
        Boxes around its sources; their gain does not matter.
    psf : EffectivePSF
        That of the exposure. Its error is taken to be right to about itself, which tells photons
        from it where stars are faint.
    """
    stamps = stamps.cropped(psf.half)
    stamps = stamps[stamps.brightest(_MOST_STARS)]
    gain = np.inf
    fits = None
    for _ in range(_N_ROUNDS):
        stamps = stamps.with_gain(gain)
        fits = fit_stars(stamps, psf, fits)
        stars = np.flatnonzero(fits.good & (fits.tolerant_chi2 < POOR_CHI2))
        gain = _gain_of(stamps[stars], fits[stars], psf)
    return gain


def _gain_of(stamps: Stamps, fits: StarFits, psf: EffectivePSF) -> float:
    """Return the electrons per count that explain the scatter of pixels about fits."""
    near = Linearised.of(fits, stamps, psf)
    light = (near.slopes[:, 2] * fits.flux[:, None]).ravel()
    sky = np.repeat(stamps.noise**2, near.residual.shape[1])
    variance = 1 / near.weight.ravel()
    square = near.residual.ravel() ** 2 / variance / (1 - near.leverage.ravel())
    rows = np.flatnonzero(light > _FAINTEST * np.sqrt(sky))
    if not rows.size:
        return np.inf
    edges = np.geomspace(light[rows].min(), light[rows].max(), _N_BINS)
    terms = [np.array([0, psf.error**-2])]
    excess = [1.0]
    for own in (rows[np.digitize(light[rows], edges) == i] for i in range(1, _N_BINS)):
        if len(own) < _FEWEST_PIXELS:
            continue
        measured = np.median(square[own]) / MEDIAN_OF_SQUARE * variance[own].mean()
        error = _ERROR_OF_MEDIAN / np.sqrt(len(own)) * measured
        terms.append(np.array([light[own].mean(), (light[own] ** 2).mean()]) / error)
        excess.append((measured - sky[own].mean()) / error)
    photons, squared_error = nnls(np.array(terms), np.array(excess))[0]
    if len(terms) < 2 or not photons:
        return np.inf
    normal = np.transpose(terms) @ terms
    uncertainty = np.sqrt(np.linalg.inv(normal)[0, 0] if squared_error else 1 / normal[0, 0])
    return 1 / photons if photons > _LEAST_SIGNIFICANCE * uncertainty else np.inf
