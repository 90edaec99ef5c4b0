"""What the detector sees: stars, hot pixels, cosmic rays, saturation and noise."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.special import ndtr

from imagereg.demo.camera import Camera

_DQ_HOT = 16
_DQ_SATURATED = 256
# Gaussians of the PSF: share of the light; sigma without the pixel's width, pixels.
_PSF = ((0.85, 0.75), (0.15, 1.6))
_STAMP = 10  # half width of a painted star, pixels: over 6 sigma of the wider Gaussian
_STREAMS = ("stars", "pointing", "hot pixels", "noise")  # of random numbers


def random_stream(
    seed: int, stream: str, number: int = 0, extver: int = 0
) -> np.random.Generator:
    """Return the generator of one use of random numbers, independent of all others."""
    return np.random.default_rng((seed, 1 + _STREAMS.index(stream), number, extver))


def expose(
    hdus: fits.HDUList,
    camera: Camera,
    nominal_sky: np.ndarray,
    flux: np.ndarray,
    *,
    extver: int,
    number: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill the images of one chip with the light of stars.

    Parameters
    ----------
    hdus : HDUList
        The exposure, whose images are replaced.
    camera : Camera
        The camera.
    nominal_sky, flux : ndarray (N, 2), (N,)
        RA and Dec of all stars by the WCS of the headers, degree; electrons.
    extver, number, seed : int
        The chip, the exposure, and the seed of all random numbers.

    Returns
    -------
    ident, xy : ndarray (M,), (M, 2)
        Which stars have their centre on the chip, and where: FITS 1-based pixels.
    """
    wcs = WCS(hdus["SCI", extver].header, hdus)
    ident, xy = _place(wcs, camera.chip_shape, nominal_sky)
    hot = _hot_pixels(camera, random_stream(seed, "hot pixels", extver=extver))
    expected = camera.sky + hot + _paint(camera.chip_shape, xy, flux[ident])
    image, saturated = _read_out(expected, camera, random_stream(seed, "noise", number, extver))
    flags = _DQ_SATURATED * saturated + _DQ_HOT * ((hot > 0) & camera.flag_bad_pixels)
    hdus["SCI", extver].data = image.astype(np.float32)
    variance = np.maximum(image, 0) + camera.read_noise**2
    hdus["ERR", extver].data = np.sqrt(variance).astype(np.float32)
    hdus["DQ", extver].data = flags.astype(np.int16)
    on_chip = np.all((xy >= 0.5) & (xy < np.add(camera.chip_shape[::-1], 0.5)), axis=1)
    return ident[on_chip], xy[on_chip]


def _place(wcs, shape, sky):
    """Return the numbers (N,) and FITS pixels (N, 2) of the stars whose light reaches a chip."""
    low, high = 0.5 - _STAMP, np.add(shape[::-1], 0.5 + _STAMP)
    undistorted = wcs.wcs_world2pix(sky, 1)
    is_near = (undistorted > low - _STAMP) & (undistorted < high + _STAMP)
    near = np.flatnonzero(np.all(is_near, axis=1))
    xy = wcs.all_world2pix(sky[near], 1, tolerance=1e-6)
    reaches = np.all((xy > low) & (xy < high), axis=1)
    return near[reaches], xy[reaches]


def _paint(shape, xy, flux):
    """Return an image of stars, the Gaussians of their PSF integrated over every pixel."""
    margin, stamp = 2 * _STAMP, np.arange(2 * _STAMP + 1)
    image = np.zeros(np.add(shape, 2 * margin))
    for some in np.array_split(np.arange(len(xy)), len(xy) // 4096 + 1):
        first = np.rint(xy[some]).astype(int) - _STAMP
        edges = (first - xy[some])[:, :, None] + np.arange(stamp.size + 1) - 0.5
        light = 0.0
        for share, sigma in _PSF:
            x, y = np.moveaxis(np.diff(ndtr(edges / sigma), axis=2), 1, 0)
            light = light + share * y[:, :, None] * x[:, None, :]
        column, row = np.moveaxis(first[:, :, None] + margin - 1 + stamp, 1, 0)
        np.add.at(image, (row[:, :, None], column[:, None, :]), flux[some, None, None] * light)
    return image[margin:-margin, margin:-margin]


def _hot_pixels(camera, random):
    """Return an image of the electrons of hot pixels, 0 elsewhere."""
    image = np.zeros(camera.chip_shape)
    where = random.choice(image.size, camera.bad_pixels, replace=False)
    image.reshape(-1)[where] = 10 ** random.uniform(2, 4, camera.bad_pixels)
    return image


def _cosmic_rays(shape, count, random):
    """Return an image of the electrons of cosmic rays, straight tracks of a few pixels."""
    length = 1 + random.exponential(4, (count, 1))
    angle = random.uniform(0, np.pi, (count, 1))
    step = np.arange(0, 60, 0.5)
    charge = 10 ** random.normal(2.9, 0.45, (count, 1))
    row, column = (random.uniform(0, size, (count, 1)) for size in shape)
    row, column = row + step * np.sin(angle), column + step * np.cos(angle)
    electrons = charge / np.ceil(2 * length) * random.uniform(0.4, 1.6, row.shape)
    hit = (step < length) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    image = np.zeros(shape)
    np.add.at(image, (row[hit].astype(int), column[hit].astype(int)), electrons[hit])
    return image


def _read_out(expected, camera, random):
    """Return an image with cosmic rays, saturation and noise, and its mask of saturated pixels."""
    tracks = _cosmic_rays(camera.chip_shape, camera.n_cosmic_rays, random)
    noise = random.normal(0, camera.read_noise, camera.chip_shape)
    electrons = random.poisson(expected) + tracks
    return np.minimum(electrons, camera.full_well) + noise, electrons >= camera.full_well
