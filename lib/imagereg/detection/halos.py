"""Find the sources that may be made of the light of a bright star: its halo, spikes and bleeding.

Such a source adds little to what the star has all around it, or on the way to it: light goes on
from the star to the source, and at the same distance to all sides. A star beside a bright one
stands out of that light. Both can be measured, whatever the shape of the wings of the PSF and how
far a star is saturated; whether the source is a star all the same is left to the fit of the PSF.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from imagereg.detection.sky import PixelsAboveSky, Sky

# Lengths are in units of the FWHM of the kernel, 3.5 pixels for ACS; brightness is in units of the
# noise of a pixel.
_FAINTEST = 1.0  # percentile of the peaks of the sources: what is fainter makes none
_OWN = 1.0  # distance from the middle of a star within which a source is the star itself
_NEAREST = 0.7  # least radius of the disc over which all light of a star is spread
_CORE = 20.0  # peak of a star with wings worth a look, in units of the faintest source
_CIRCLE = 1.5  # where wings begin: a star that explains no source there explains none farther out
_SAMPLES = 32  # on a circle, and on the way from a star to a source
_STANDS_OUT = 2.0  # a source of more than so many times the light of the star there is another's
_MOST_PIXELS = 100_000  # of all cores, the brightest: bounds the time
_MOST_STARS = 1000
_MOST_OF_CORE = 300  # pixels of a core to which distances are measured


@dataclasses.dataclass(frozen=True, eq=False)
class Hosts:
    """The bright stars whose light explains sources, for each of N sources.

    Parameters
    ----------
    xy : (N, 2) ndarray
        Where the star is, FITS pixels of the chip of the source; NaN where there is none.
    light : (N,) ndarray
        Light of the star, in units of the noise of a pixel; 0 where there is none.
    """

    xy: np.ndarray
    light: np.ndarray

    @classmethod
    def none(cls, number: int) -> Hosts:
        """Return those of sources that no star explains."""
        return cls(np.full((number, 2), np.nan), np.zeros(number))

    @classmethod
    def concat(cls, parts: Iterable[Hosts]) -> Hosts:
        """Return the stars of all `parts`."""
        parts = list(parts)
        return cls(np.concatenate([part.xy for part in parts]),
                   np.concatenate([part.light for part in parts]))


def find_hosts(image: np.ndarray, xy: np.ndarray, sky: Sky, *, width: float) -> Hosts:
    """Find the bright stars whose light explains sources of a chip.

    Parameters
    ----------
    image : (ny, nx) ndarray
        Pixels, counts; saturated ones, too.
    xy : (N, 2) ndarray
        Positions of the sources, FITS pixels.
    sky : Sky
        Level and noise of its sky.
    width : float
        FWHM of the kernel that found them, pixels.
    """
    hosts = Hosts.none(len(xy))
    if not len(xy) or not sky.noise > 0:
        return hosts
    pixels = PixelsAboveSky(image, None, sky)
    peak = _peaks(pixels, xy)
    faintest = max(np.percentile(peak, _FAINTEST), 1.0)
    by_row = np.argsort(xy[:, 1])
    row = xy[by_row, 1]
    for star in _stars(pixels, faintest, width):
        low, high = star.rows(faintest)
        near = by_row[np.searchsorted(row, low) : np.searchsorted(row, high)]
        near = near[hosts.light[near] == 0]
        explained = near[star.explains(pixels, xy[near], peak[near], width)]
        hosts.xy[explained] = star.xy
        hosts.light[explained] = star.light
    return hosts


def _peaks(pixels, xy):
    """Return the brightest pixels of sources and their neighbours."""
    step = np.arange(-1, 2)
    return pixels.at(xy[:, :1, None] + step, xy[:, 1:, None] + step[:, None]).max(axis=(1, 2))


@dataclasses.dataclass(frozen=True, eq=False)
class _Star:
    """A bright star.

    Parameters
    ----------
    xy : (2,) ndarray
        The middle of its light, FITS pixels.
    light : float
        Light of its core; what bleeds is not lost.
    core : (n, 2) ndarray
        The pixels of its core.
    """

    xy: np.ndarray
    light: float
    core: np.ndarray

    def rows(self, faintest):
        """Return the first and the last row in which it may explain the faintest source."""
        reach = np.sqrt(self.light / np.pi / faintest)
        return self.core[:, 1].min() - reach, self.core[:, 1].max() + reach

    def explains(self, pixels, xy, peak, width):
        """Tell which sources at `xy` (N, 2), of brightness `peak`, its light explains."""
        step = self.core[:: len(self.core) // _MOST_OF_CORE + 1]
        distance = np.hypot(*(xy[:, None] - step).transpose(2, 0, 1))
        nearest = distance.argmin(axis=1)
        distance = distance.min(axis=1)
        # All of its light, spread over the disc around it that reaches to the source, is brighter.
        area = np.pi * np.maximum(distance, _NEAREST * width) ** 2
        explained = peak * area <= self.light
        explained &= np.hypot(*(xy - self.xy).T) > _OWN * width
        rows = np.flatnonzero(explained)
        foot, own = step[nearest[rows]], xy[rows]
        light = np.maximum(_on_the_way(pixels, foot, own, width), _around(pixels, self.xy, own))
        explained[rows] = (light > 1) & (peak[rows] <= _STANDS_OUT * light)
        return explained


def _on_the_way(pixels, start, end, width):
    """Return the least light on the ways from places to sources (N, 2), short of the sources."""
    way = end - start
    length = np.maximum(np.hypot(*way.T), 1e-9)[:, None]
    part = np.maximum(length - width, length / 2) / length * np.linspace(0, 1, _SAMPLES)
    x, y = (start[:, i, None] + part * way[:, i, None] for i in (0, 1))
    side = way[:, ::-1] / length * (-1, 1)
    beside = [pixels.at(x + s * side[:, :1], y + s * side[:, 1:]) for s in (-1, 0, 1)]
    return np.max(beside, axis=0).min(axis=1)


def _around(pixels, centre, xy):
    """Return the median light on circles about a place (2,), or places, through sources (N, 2)."""
    angle = np.arange(_SAMPLES) * 2 * np.pi / _SAMPLES
    x, y = (xy - centre).T[:, :, None]
    x, y = (np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y)
    centre = np.broadcast_to(centre, xy.shape)
    return np.median(pixels.at(centre[:, :1] + x, centre[:, 1:] + y), axis=1)


def _stars(pixels, faintest, width):
    """Return the stars with enough light to explain the faintest source, the brightest first."""
    column, row, value = _bright_pixels(pixels, _CORE * faintest)
    label = _groups(column, row)
    light = np.bincount(label, value)
    xy = np.column_stack([np.bincount(label, value * each) / light for each in (column, row)])
    wings = _around(pixels, xy, xy + (_CIRCLE * width, 0))
    bright = np.flatnonzero(faintest <= _STANDS_OUT * wings)
    bright = bright[np.argsort(-light[bright])[:_MOST_STARS]]
    by_label = np.argsort(label, kind="stable")
    first, last = (np.searchsorted(label[by_label], bright, side) for side in ("left", "right"))
    for number, start, stop in zip(bright, first, last, strict=True):
        own = by_label[start:stop]
        yield _Star(xy[number], light[number], np.column_stack([column[own], row[own]]))


def _bright_pixels(pixels, least):
    """Return FITS x and y and brightness of the pixels above `least`, in the order of rows."""
    image, sky = pixels.image, pixels.sky
    level = sky.level + least * sky.noise
    while True:
        place = np.flatnonzero(image > level)
        if len(place) <= _MOST_PIXELS:
            break
        level = sky.level + 4 * (level - sky.level)
    row, column = np.divmod(place, image.shape[1])
    value = pixels.at(column + 1, row + 1)
    bright = value > least
    return column[bright] + 1, row[bright] + 1, value[bright]


def _groups(column, row):
    """Return the number of the group of pixels that touch, of each; they are in order of rows.

    Chips are measured before scipy is loaded, which has this too.
    """
    stride = column.max(initial=0) + 2
    place = row * stride + column
    links = []
    for step in (1, stride - 1, stride, stride + 1):
        other = np.searchsorted(place, place + step).clip(max=len(place) - 1)
        meets = np.flatnonzero(place[other] == place + step)
        links.append(np.stack([meets, other[meets]]))
    one, other = np.concatenate(links, axis=1)
    label = np.arange(len(place))
    while True:
        least = np.minimum(label[one], label[other])
        new = label.copy()
        np.minimum.at(new, one, least)
        np.minimum.at(new, other, least)
        new = new[new]
        if np.array_equal(new, label):
            return np.unique(label, return_inverse=True)[1]
        label = new
