"""Measure the sky of a chip: its level and its noise, with maps of both where they vary.

Most chips have one sky. Nebulae, galaxies and gradients make a sky whose scatter over the chip is
far above the noise at any place; there the level and the noise are measured from place to place.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.detection.finders.daofind import sky_sigma

# Pixels on a side of the meshes, half of SExtractor's default. In a nebula with structure of 2" on
# ACS the measured noise is then within 10 % of Poisson's; with 64 pixels it is up to 3 times that.
_MESH = 32
# Pixels the maps are made of; every third one along x and y of a chip of ACS: maps take 0.04 s.
_SAMPLE = 1_000_000
# Scatter of the mesh levels in units of noise / sqrt(pixels), above which the sky is not the same
# everywhere. It is 1.8 to 1.9 in simulated fields on a flat sky, since SExtractor's mode is noisier
# than a mean, crowded fields included, and 350 in a nebula.
_STRUCTURE = 4.0
_LEAST_PERCENTILE = 1.0  # of the noise; the spline through the meshes may swing below zero


@dataclasses.dataclass(frozen=True, eq=False)
class Sky:
    """The sky of a chip.

    Parameters
    ----------
    level : float
        Its level at a typical place, counts.
    noise : float
        Standard deviation of its pixels at a typical place, counts.
    level_map : (ny, nx) ndarray or None
        Level at each pixel, counts; None where one level serves.
    relative_noise : (ny, nx) ndarray or None
        Noise of each pixel, in units of `noise`; None where all are the same.
    """

    level: float
    noise: float
    level_map: np.ndarray | None
    relative_noise: np.ndarray | None

    def level_at(self, xy: np.ndarray) -> float | np.ndarray:
        """Return the level at the FITS pixels `xy` (N, 2), counts: (N,), or one for all."""
        return self.level if self.level_map is None else _at(self.level_map, xy)

    def noise_at(self, xy: np.ndarray) -> float | np.ndarray:
        """Return the noise at the FITS pixels `xy` (N, 2), counts: (N,), or one for all."""
        relative = 1.0 if self.relative_noise is None else _at(self.relative_noise, xy)
        return self.noise * relative


@dataclasses.dataclass(frozen=True, eq=False)
class PixelsAboveSky:
    """Pixels of a chip above its sky, in units of their noise; 0 where there are none."""

    image: np.ndarray
    bad: np.ndarray | None
    sky: Sky

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the pixels at FITS x and y, arrays of one shape."""
        ny, nx = self.image.shape
        column = np.rint(x).astype(np.intp) - 1
        row = np.rint(y).astype(np.intp) - 1
        usable = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
        place = row.clip(0, ny - 1), column.clip(0, nx - 1)
        level, noise = self.sky.level, self.sky.noise
        if self.sky.level_map is not None:
            level = self.sky.level_map[place]
        if self.sky.relative_noise is not None:
            noise = noise * self.sky.relative_noise[place]
        value = (self.image[place] - level) / noise
        usable &= np.isfinite(value)
        if self.bad is not None:
            usable &= ~self.bad[place]
        return np.where(usable, value, 0.0)


def measure_sky(
    image: np.ndarray, bad: np.ndarray | None = None, relative_noise: np.ndarray | None = None
) -> Sky:
    """Measure the sky of a chip, from place to place where one level does not serve.

    Parameters
    ----------
    image : (ny, nx) ndarray
        Pixels, counts.
    bad : (ny, nx) ndarray of bool, optional
        Pixels to leave out; those that are not finite are left out always.
    relative_noise : (ny, nx) ndarray, optional
        Noise of each pixel relative to that of the typical one, where it is known.

    Returns
    -------
    Sky
        That of `sky_sigma` where the sky is flat. Else the maps are those of SExtractor's
        algorithm (Bertin & Arnouts 1996, A&AS 117, 393); the noise is what is left without the
        level, so that a slope is no noise.
    """
    level, noise = sky_sigma(image, bad, relative_noise)
    flat = Sky(level, noise, None, relative_noise)
    step = int(np.ceil(np.sqrt(image.size / _SAMPLE)))
    mesh = _MESH // step
    if not np.isfinite(noise) or mesh < 2 or min(image.shape) < 2 * _MESH:
        return flat
    pick = (slice(step // 2, None, step),) * 2
    sample, unusable = _sample(image, bad, pick, level)
    # No median of neighbouring meshes: it cuts the tops of knots, and their slopes pass for noise.
    variation = _background(sample, unusable, mesh, smoothing=1).back()
    if variation.std() <= _STRUCTURE * noise / mesh:
        return flat
    residual = sample - variation
    if relative_noise is not None:
        residual = residual / relative_noise[pick]
    rms = _background(residual, unusable, mesh, smoothing=3).rms()
    noise = float(np.median(rms))
    level_map = _enlarged(variation, image.shape, step) + np.float32(level)
    if relative_noise is None and noise > 0:
        rms = np.maximum(rms, np.percentile(rms, _LEAST_PERCENTILE))
        relative_noise = _enlarged(rms / noise, image.shape, step)
    return Sky(level, noise, level_map, relative_noise)


def _sample(image, bad, pick, level):
    """Return the picked pixels above `level`, and which of them are unusable."""
    sample = image[pick].astype(np.float64) - level
    unusable = ~np.isfinite(sample)
    if bad is not None:
        unusable |= bad[pick].astype(bool)
    return np.ascontiguousarray(np.where(unusable, 0.0, sample)), np.ascontiguousarray(unusable)


def _background(sample, unusable, mesh, *, smoothing):
    """Return SExtractor's background, its meshes smoothed by a median of so many each way."""
    import sep  # only here: a chip has to be measured first

    return sep.Background(sample, mask=unusable, bw=mesh, bh=mesh, fw=smoothing, fh=smoothing)


def _enlarged(sample_map, shape, step):
    """Return a map of each pixel from that of the sampled ones."""
    y, x = (np.minimum(np.arange(n) // step, m - 1)
            for n, m in zip(shape, sample_map.shape, strict=True))
    return sample_map[np.ix_(y, x)].astype(np.float32)


def _at(chip_map, xy):
    """Return the values of a map at FITS pixels, those beyond its edge as on the edge."""
    ny, nx = chip_map.shape
    x, y = (np.rint(xy).astype(int) - 1).T
    return chip_map[np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)].astype(np.float64)
