"""The effective point-spread function: a smooth surface that is the PSF integrated over a pixel.

Its value at (dx, dy) is the fraction of a star's light in a pixel that far from its centre
(Anderson & King 2000, PASP 112, 1360). `epsf_fit` fits it to stars, `epsf_measure` measures it from
stars.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy import sparse
from scipy.special import erf

REACH = 1.0  # pixels; a centre lies within this of the brightest pixel


@dataclasses.dataclass(frozen=True, eq=False)
class Variation:
    """How the effective PSF changes over a chip, to first order in the place.

    Parameters
    ----------
    chip : int
        Its EXTVER.
    shape : (int, int)
        Its rows and columns. Places count from the middle, in halves of the longer side.
    coefficients : (3, m, m) ndarray
        What is added to those of the surface in the middle, and for a unit along x and y.
    centre : (3, 2) ndarray
        What is added to the position of the star on the surface, alike.
    """

    chip: int
    shape: tuple[int, int]
    coefficients: np.ndarray
    centre: np.ndarray


def terms_of_place(xy: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return by how much (N, 3) each part of a `Variation` is added at FITS pixels (N, 2)."""
    middle = (np.array(shape[::-1]) + 1) / 2
    return np.insert((xy - middle) / (max(shape) / 2), 0, 1, axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class LocalPSFs:
    """The effective PSFs of N stars where they are, made for those that are asked for.

    Parameters
    ----------
    psf : EffectivePSF
        With its variation.
    chip : (N,) ndarray of int
        EXTVER of the chip of each star.
    xy : (N, 2) ndarray
        Their FITS pixels.
    """

    psf: EffectivePSF
    chip: np.ndarray
    xy: np.ndarray

    def __getitem__(self, rows: np.ndarray | slice) -> EffectivePSF:
        """Return the surfaces of the stars picked by a mask, an index array or a slice."""
        chip, xy = self.chip[rows], self.xy[rows]
        coefficients = np.repeat(self.psf.coefficients[None], len(xy), axis=0)
        centre = np.tile(self.psf.centre, (len(xy), 1))
        for variation in self.psf.variation:
            own = chip == variation.chip
            terms = terms_of_place(xy[own], variation.shape)
            coefficients[own] += np.tensordot(terms, variation.coefficients, axes=1)
            centre[own] += terms @ variation.centre
        return dataclasses.replace(self.psf, coefficients=coefficients, variation=(),
                                   centre=(centre[:, :1], centre[:, 1:]))


@dataclasses.dataclass(frozen=True, eq=False)
class EffectivePSF:
    """The effective PSF: a bicubic B-spline surface around the centre of a star.

    Parameters
    ----------
    coefficients : (m, m) ndarray
        Coefficients of the cubic B-splines, y along the first axis; (N, m, m) where each of N stars
        has a surface of its own.
    spacing : float
        Distance of their knots, pixels.
    half : int
        Half width of the stamps that it is made for, pixels.
    centre : (float, float)
        Position x, y of the star on the surface, pixels; two (N, 1) ndarrays for N surfaces.
    error : float
        By how much single stars depart from the surface, as a fraction of its value.
    variation : tuple of Variation
        How the surface changes over the chips on which it does.
    """

    coefficients: np.ndarray
    spacing: float
    half: int
    centre: tuple[float, float] | tuple[np.ndarray, np.ndarray] = (0.0, 0.0)
    error: float = 0.01
    variation: tuple[Variation, ...] = ()

    @classmethod
    def gaussian(cls, fwhm: float, half: int, spacing: float = 0.5) -> EffectivePSF:
        """Return a round Gaussian of unit flux, integrated over pixels.

        It covers stamps of 2 `half` + 1 pixels whose star is up to a pixel off their middle.
        """
        reach = half + REACH + 0.5
        m = 2 * int(np.ceil(reach / spacing)) + 3
        blank = cls(np.zeros((m, m)), spacing, half)
        x = np.linspace(-reach, reach, 4 * m)
        edge = np.array([-0.5, 0.5])[:, None] + x
        profile = np.diff(erf(edge * 2 * np.sqrt(np.log(2)) / fwhm), axis=0)[0] / 2
        line = np.linalg.lstsq(blank.basis(x)[0], profile, rcond=None)[0]
        return cls(np.outer(line, line), spacing, half)

    def varying(self, change: Variation) -> EffectivePSF:
        """Return the PSF that changes over another chip too."""
        return dataclasses.replace(self, variation=(*self.variation, change))

    def on(self, shapes: Mapping[int, tuple[int, int]]) -> EffectivePSF:
        """Return the PSF for chips of these shapes by EXTVER: another shape is another place."""
        known = tuple(each for each in self.variation if shapes.get(each.chip) == each.shape)
        return dataclasses.replace(self, variation=known)

    def at(self, chip: np.ndarray, xy: np.ndarray) -> EffectivePSF | LocalPSFs:
        """Return the PSF of stars on chips (N,) at FITS pixels (N, 2)."""
        return LocalPSFs(self, chip, xy) if self.variation else self

    def __getitem__(self, rows: np.ndarray | slice) -> EffectivePSF:
        """Return the surfaces of some stars; itself where all stars have the same."""
        if self.coefficients.ndim == 2:
            return self
        x, y = map(np.asarray, self.centre)
        return dataclasses.replace(
            self, coefficients=self.coefficients[rows], centre=(x[rows], y[rows])
        )

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
        bx, dx = self.basis(x + self.centre[0])
        by, dy = self.basis(y + self.centre[1])
        along = by @ self.coefficients
        bx, dx = np.swapaxes(bx, -1, -2), np.swapaxes(dx, -1, -2)
        return along @ bx, along @ dx, dy @ self.coefficients @ bx

    def design(self, x: np.ndarray, y: np.ndarray) -> sparse.csr_array:
        """Return by how much each coefficient adds to the value of each pixel.

        Parameters
        ----------
        x, y : (N, s) ndarray
            As for a call of the surface.

        Returns
        -------
        (N * s * s, m * m) csr_array
            Sixteen splines reach a pixel.
        """
        m = self.n_splines
        first_x, along_x, _ = self._splines(x + self.centre[0])
        first_y, along_y, _ = self._splines(y + self.centre[1])
        values = along_y[:, :, None, :, None] * along_x[:, None, :, None, :]
        row = first_y[..., None] + np.arange(4)
        column = first_x[..., None] + np.arange(4)
        where = row[:, :, None, :, None] * m + column[:, None, :, None, :]
        n_pixels = x.shape[0] * x.shape[1] ** 2
        start = 16 * np.arange(n_pixels + 1)
        return sparse.csr_array((values.ravel(), where.ravel(), start), (n_pixels, m * m))

    def basis(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the m cubic B-splines and their slopes at distances `t`, along a new last axis."""
        first, values, slopes = self._splines(np.asarray(t))
        basis, slope = np.zeros((2, *first.shape, self.n_splines))
        where = first[..., None] + np.arange(4)
        np.put_along_axis(basis, where, values, axis=-1)
        np.put_along_axis(slope, where, slopes, axis=-1)
        return basis, slope

    def _splines(self, t):
        """Return the number of the first spline that is not zero at `t`, and four values, slopes.

        Four splines are not zero at any place.
        """
        m = self.n_splines
        u = np.clip(t / self.spacing + (m - 1) / 2, 1, m - 2 - 1e-9)
        first = np.floor(u).astype(int) - 1
        z = u - first - 1
        y = 1 - z
        values = [y**3 / 6, 2 / 3 - z**2 * (1 + y) / 2, 2 / 3 - y**2 * (1 + z) / 2, z**3 / 6]
        slopes = [-(y**2) / 2, 1.5 * z**2 - 2 * z, 2 * y - 1.5 * y**2, z**2 / 2]
        return first, np.stack(values, axis=-1), np.stack(slopes, axis=-1) / self.spacing

    @property
    def n_splines(self) -> int:
        """Number of splines along each axis."""
        return self.coefficients.shape[-1]

    def resampled(self, spacing: float) -> EffectivePSF:
        """Return the same surface with knots at another distance, pixels."""
        blank = EffectivePSF.gaussian(1.0, self.half, spacing)
        reach = self.half + REACH + 0.5
        x = np.linspace(-reach, reach, 4 * blank.n_splines)
        fit = np.linalg.pinv(blank.basis(x)[0])
        value = self(x[None], x[None])[0][0]
        return dataclasses.replace(
            self, coefficients=fit @ value @ fit.T, spacing=spacing, centre=(0.0, 0.0)
        )

    def normalised(self) -> EffectivePSF:
        """Return the surface scaled to unit sum over the pixels of a star centred on one."""
        whole = np.arange(-self.half, self.half + 1.0)[None]
        total = self(whole, whole)[0].sum()
        return dataclasses.replace(self, coefficients=self.coefficients / total)

    def centred(self) -> EffectivePSF:
        """Return the same surface with its centre where the light within one FWHM balances.

        Where a star with coma is depends on how much of its light counts, and exposures at another
        roll tell. This is most of the light that a fit uses.
        """
        step = self.spacing / 5
        fine = np.arange(-self.half - REACH, self.half + REACH + step / 2, step)
        value = self(fine[None], fine[None])[0][0]
        radius = min(self.fwhm, self.half + 0.5)
        centre = np.zeros(2)
        for _ in range(40):
            x, y = (fine - c for c in centre)
            distance = np.hypot(x, y[:, None])
            light = value * np.clip((radius - distance) / step + 0.5, 0, 1)
            moment = np.array([(light * x).sum(), (light * y[:, None]).sum()]) / light.sum()
            centre = np.clip(centre + moment, -REACH, REACH)
        x, y = centre + self.centre
        return dataclasses.replace(self, centre=(float(x), float(y)))

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
