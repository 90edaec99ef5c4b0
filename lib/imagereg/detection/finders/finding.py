"""How sources are found: the values of imagefindpars, and the convolution kernel they define."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

_FWHM_TO_SIGMA = 0.42467  # IRAF's value of 1 / sqrt(8 ln 2)
_RMIN = 2.001  # pixels; all this near to the centre belong to the kernel (IRAF daofind)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """The zero-sum Gaussian of DAOFIND.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum along the major axis, pixels.
    nsigma : float
        Semi-major axis of the footprint, in sigma of the Gaussian.
    ratio : float
        Minor to major axis, 0 < ratio <= 1.
    theta : float
        Position angle of the major axis, degrees counter-clockwise from x.
    """

    fwhm: float
    nsigma: float
    ratio: float
    theta: float

    @property
    def sigma(self) -> tuple[float, float]:
        """Gaussian sigma along the major and the minor axis, pixels."""
        major = _FWHM_TO_SIGMA * self.fwhm
        return major, _FWHM_TO_SIGMA * self.fwhm * self.ratio

    @functools.cached_property
    def half(self) -> tuple[int, int]:
        """Half widths (hx, hy) of the box that holds the footprint, pixels."""
        a, b, c = self._quadratic_form
        reach = self.nsigma**2 / (a * c - b * b / 4)
        hx, hy = (int(max(np.sqrt(reach * axis), _RMIN)) for axis in (c, a))
        return hx, hy

    @functools.cached_property
    def gauss(self) -> np.ndarray:
        """The Gaussian of height 1 over the whole box, (2 hy + 1, 2 hx + 1)."""
        return np.exp(-self._exponent)

    @functools.cached_property
    def inside(self) -> np.ndarray:
        """Mask of the footprint, (2 hy + 1, 2 hx + 1)."""
        x, y = self._offsets
        return (self._exponent <= self.nsigma**2 / 2) | (np.hypot(x, y) <= _RMIN)

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """Weights of zero sum that give height 1 for a source of the kernel's own shape."""
        weights = np.where(self.inside, self.gauss - self.gauss[self.inside].mean(), 0.0)
        return weights / (weights * self.gauss).sum()

    @functools.cached_property
    def relative_error(self) -> float:
        """Error of the height for an error of 1 in each pixel (IRAF: relerr)."""
        return float(np.sqrt((self.weights**2).sum()))

    @property
    def volume(self) -> float:
        """Flux of a Gaussian of height 1."""
        return 2 * np.pi * self.sigma[0] * self.sigma[1]

    @functools.cached_property
    def _quadratic_form(self) -> tuple[float, float, float]:
        """Coefficients of x*x, x*y, y*y in twice the exponent of the Gaussian."""
        major, minor = self.sigma
        t = np.deg2rad(self.theta)
        a = np.cos(t) ** 2 / major**2 + np.sin(t) ** 2 / minor**2
        b = 2 * (major**-2 - minor**-2) * np.cos(t) * np.sin(t)
        c = np.sin(t) ** 2 / major**2 + np.cos(t) ** 2 / minor**2
        return a, b, c

    @property
    def _offsets(self) -> tuple[np.ndarray, np.ndarray]:
        hx, hy = self.half
        y, x = np.mgrid[-hy : hy + 1, -hx : hx + 1]
        return x, y

    @property
    def _exponent(self) -> np.ndarray:
        a, b, c = self._quadratic_form
        x, y = self._offsets
        return (a * x * x + b * x * y + c * y * y) / 2


@dataclasses.dataclass(frozen=True)
class Finding:
    """How the sources of a chip are found: the values of the parameters of imagefindpars.

    Parameters
    ----------
    findmode : {'imagefind', 'sextractor'}
        Which finder.
    sexconfig : str
        SExtractor configuration file of the user; '' for none.
    centroid : str
        'marginal' where the positions of the finder are to stay.
    nsources : int or None
        How many sources of a chip are wanted.
    conv_width : float
        FWHM of the convolution kernel, pixels (IRAF: fwhmpsf).
    nsigma, ratio, theta : float
        Size of the kernel's footprint in sigma, its axis ratio, its position angle in degrees.
    threshold : float
        Least height of a source, in units of `skysigma` times the kernel's relative error.
    skysigma : float or None
        Standard deviation of the sky, counts; None for 1.5 times the one measured.
    sharplo, sharphi, roundlo, roundhi : float or None
        Limits of the sharpness and of both roundnesses, for daofind; no limit where None.
    peakmin, peakmax : float or None
        Limits of the value of the central pixel, counts.
    fluxmin, fluxmax : float or None
        Limits of the flux, counts.
    """

    findmode: str
    sexconfig: str
    centroid: str
    nsources: int | None
    conv_width: float
    nsigma: float
    ratio: float
    theta: float
    threshold: float
    skysigma: float | None
    sharplo: float | None
    sharphi: float | None
    roundlo: float | None
    roundhi: float | None
    peakmin: float | None
    peakmax: float | None
    fluxmin: float | None
    fluxmax: float | None

    @property
    def kernel(self) -> Kernel:
        """Convolution kernel of the finder."""
        return Kernel(self.conv_width, self.nsigma, self.ratio, self.theta)
