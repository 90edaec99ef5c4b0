"""Find the stars of an image: DAOFIND.

The algorithm is that of Stetson (1987, PASP 99, 191) as IRAF's ``noao.digiphot.apphot.daofind`` carries it out:
the image is correlated with a truncated Gaussian of zero sum, which gives at every pixel the height of the
least-squares Gaussian on a constant sky; the local maxima of that height above a threshold are the sources.
The image is worked through in bands of rows, so that memory does not grow with it.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from imagereg.catalogs import Flag, SourceCatalog

_FWHM_TO_SIGMA = 0.42467
_RMIN = 2.001  # pixels this near the centre always belong to the kernel
_BAND_PIXELS = 2**20
_SKY_SAMPLE = 1_000_000
_ABSURD = 1e18  # no count; squares of it would overflow
_CENTROID_LOSS = 1.3  # error of the marginal fits relative to that of an ideal centroid, from simulations


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
    nsigma: float = 1.5
    ratio: float = 1.0
    theta: float = 0.0

    @property
    def sigma(self):
        """Gaussian sigma along the major and the minor axis, pixels."""
        return _FWHM_TO_SIGMA * self.fwhm, _FWHM_TO_SIGMA * self.fwhm * self.ratio

    @functools.cached_property
    def _form(self):
        (major, minor), t = self.sigma, np.deg2rad(self.theta)
        a = np.cos(t) ** 2 / major**2 + np.sin(t) ** 2 / minor**2
        b = 2 * (major**-2 - minor**-2) * np.cos(t) * np.sin(t)
        c = np.sin(t) ** 2 / major**2 + np.cos(t) ** 2 / minor**2
        return a, b, c

    @functools.cached_property
    def half(self):
        """Half widths (hx, hy) of the box that holds the footprint, pixels."""
        a, b, c = self._form
        reach = self.nsigma**2 / (a * c - b * b / 4)
        return tuple(int(max(np.sqrt(reach * axis), _RMIN)) for axis in (c, a))

    @functools.cached_property
    def gauss(self):
        """The Gaussian of height 1 over the whole box, (2 hy + 1, 2 hx + 1)."""
        return np.exp(-self._exponent)

    @functools.cached_property
    def inside(self):
        """The footprint, a mask over the box."""
        x, y = self._offsets
        return (self._exponent <= self.nsigma**2 / 2) | (np.hypot(x, y) <= _RMIN)

    @functools.cached_property
    def weights(self):
        """What the image is correlated with: zero sum, height 1 for a source of the kernel's own shape."""
        weights = np.where(self.inside, self.gauss - self.gauss[self.inside].mean(), 0.0)
        return weights / (weights * self.gauss).sum()

    @functools.cached_property
    def relative_error(self):
        """Error of the height for an error of 1 in each pixel."""
        return float(np.sqrt((self.weights**2).sum()))

    @property
    def volume(self):
        """Flux of a Gaussian of height 1."""
        return 2 * np.pi * self.sigma[0] * self.sigma[1]

    @property
    def _offsets(self):
        hx, hy = self.half
        y, x = np.mgrid[-hy:hy + 1, -hx:hx + 1]
        return x, y

    @property
    def _exponent(self):
        (a, b, c), (x, y) = self._form, self._offsets
        return (a * x * x + b * x * y + c * y * y) / 2


def sky_sigma(image, bad=None, relative_noise=None, *, nclip=3, clip=3.0):
    """Measure the sky's level and scatter by clipping, as ``imstatistics nclip=3`` does.

    Parameters
    ----------
    image : (ny, nx) array_like
        Pixels; an evenly spread sample of a million is used where there are more.
    bad : (ny, nx) array_like of bool, optional
        Pixels to leave out; those that are not finite are left out always.
    relative_noise : (ny, nx) array_like, optional
        Noise of each pixel relative to that of the typical one, whose `sigma` is returned.
    nclip : int
        Rounds of clipping.
    clip : float
        Limit in standard deviations, both sides.

    Returns
    -------
    level, sigma : float
        Mean and standard deviation of what is left; NaN where nothing is.
    """
    step = max(1, np.size(image) // _SKY_SAMPLE) | 1  # odd: no column is favoured
    sample = np.ravel(image)[::step]
    if bad is not None:
        sample = sample[~np.ravel(bad)[::step].astype(bool)]
    sample = sample.astype(np.float64)
    sample = sample[np.abs(sample) < _ABSURD]
    for _ in range(nclip):
        if not sample.size:
            break
        sample = sample[np.abs(sample - sample.mean()) <= clip * sample.std()]
    level, sigma = (float(sample.mean()), float(sample.std())) if sample.size else (np.nan, np.nan)
    if relative_noise is not None:
        _, sigma = sky_sigma((image - level) / relative_noise, bad, nclip=nclip, clip=clip)
    return level, sigma


def find_sources(image, *, bad=None, relative_noise=None, sky=None, conv_width=3.5, threshold=4.0, skysigma=None,
                 nsigma=1.5, ratio=1.0, theta=0.0,
                 sharplo=None, sharphi=None, roundlo=None, roundhi=None, peakmin=None, peakmax=None,
                 fluxmin=None, fluxmax=None, gain=1.0, chip=1):
    """Find point sources in an image.

    Parameters
    ----------
    image : (ny, nx) array_like
        Pixels of one chip, counts.
    bad : (ny, nx) array_like of bool, optional
        Pixels not to be used; pixels that are not finite never are. They are bridged with the mean of their good
        neighbours, no source is centred on one, and a source that has one in its footprint is flagged.
    relative_noise : (ny, nx) array_like, optional
        Noise of each pixel relative to that of the typical one, where it varies; the threshold and the errors follow.
    sky : (float, float), optional
        What `sky_sigma` says of the image, where it has been asked already.
    conv_width : float
        FWHM of the convolution kernel, pixels (IRAF: fwhmpsf).
    threshold : float
        Least height of a source, in units of `skysigma` times the kernel's relative error.
    skysigma : float, optional
        Standard deviation of the sky, counts; 1.5 times the clipped one of `image` where not given.
    nsigma, ratio, theta : float
        Size of the kernel's footprint in sigma, its axis ratio, its position angle in degrees.
    sharplo, sharphi, roundlo, roundhi : float, optional
        Limits of the sharpness and of both roundnesses; no limit where None.
    peakmin, peakmax : float, optional
        Limits of the value of the central pixel, counts.
    fluxmin, fluxmax : float, optional
        Limits of the flux, counts.
    gain : float
        Electrons per count, for the errors.
    chip : int
        EXTVER, for the catalog.

    Returns
    -------
    SourceCatalog
        In order of y, then x, of the central pixel. The flux is that of the best-fitting kernel Gaussian, and
        positions come from one-dimensional fits to the marginal sums, as in IRAF.

    References
    ----------
    Stetson, P. B. 1987, PASP 99, 191; IRAF help pages of daofind, datapars and findpars.
    """
    kernel = Kernel(conv_width, nsigma, ratio, theta)
    level, noise = sky or sky_sigma(image, bad, relative_noise)
    if not np.isfinite(noise):
        return SourceCatalog.empty()
    sigma = 1.5 * noise if skysigma is None else skysigma
    limit = kernel.relative_error * threshold * sigma
    limit = max(limit, 1e-6 * abs(level), np.finfo(np.float32).tiny)  # below it is rounding
    lowest = limit if relative_noise is None else limit * np.nanmin(relative_noise)
    bad = None if bad is None else np.asarray(bad, bool)
    bands = [_measure(band, kernel, lowest, sigma**2) for band in _bands(np.asarray(image), bad, kernel.half, level)]
    found = {name: np.concatenate([band[name] for band in bands]) for name in bands[0]}
    (ny, nx), (hx, hy) = np.shape(image), kernel.half
    column, row = found.pop("column"), found.pop("row")
    found["edge"] = (column < hx) | (column >= nx - hx) | (row < hy) | (row >= ny - hy)
    flux = found["height"] * kernel.volume
    relative = 1.0 if relative_noise is None else np.asarray(relative_noise)[row, column]
    found["noise"] = relative * np.full(len(flux), noise if skysigma is None else skysigma)
    keep = (np.abs(found["x"] - (nx + 1) / 2) <= nx / 2) & (np.abs(found["y"] - (ny + 1) / 2) <= ny / 2)
    keep &= found["height"] >= limit * relative
    for values, low, high in ((found["sharp"], sharplo, sharphi), (found["round1"], roundlo, roundhi),
                              (found["round2"], roundlo, roundhi), (found["peak"], peakmin, peakmax),
                              (flux, fluxmin, fluxmax)):
        keep &= values >= (-np.inf if low is None else low)
        keep &= values <= (np.inf if high is None else high)
    found = {name: values[keep] for name, values in found.items()}
    return _catalog(found, flux[keep], kernel, gain=gain, chip=chip)


def _catalog(found, flux, kernel, *, gain, chip):
    """Put what was measured into a catalog, with photon errors of a Gaussian centroid (Thompson et al. 2002)."""
    background = 4 * np.pi * kernel.sigma[0] * kernel.sigma[1] * found["noise"] ** 2
    relative = np.sqrt((flux / gain + background) / flux**2)
    centroid = np.sqrt((flux / gain + 2 * background) / flux**2) * kernel.sigma[0] * _CENTROID_LOSS
    centroid = np.where(found["astray"], np.maximum(centroid, 1.0), centroid)
    return SourceCatalog(xy=np.column_stack([found["x"], found["y"]]), flux=flux, flux_error=relative * flux,
                         xy_error=np.column_stack([centroid, centroid]),
                         sharp=found["sharp"], round1=found["round1"], round2=found["round2"],
                         flags=(Flag.BAD_PIXEL * found["blemish"] + Flag.ASTRAY * found["astray"]
                                + Flag.EDGE * found["edge"]), chip=chip)


@dataclasses.dataclass(frozen=True, eq=False)
class _Band:
    """Rows start..stop of an image of ny rows, with twice the kernel's half widths around them."""

    start: int
    stop: int
    ny: int
    data: np.ndarray
    unusable: np.ndarray


def _bands(image, bad, half, level):
    """Cut the image into bands of rows, continued beyond its edges and bridged where pixels are bad."""
    (hx, hy), (ny, nx) = half, image.shape
    height = max(_BAND_PIXELS // nx, 16)
    for start in range(0, ny, height):
        stop = min(start + height, ny)
        rows = np.clip(np.arange(start - 2 * hy - 1, stop + 2 * hy + 1), 0, ny - 1)
        margin = ((0, 0), (2 * hx + 1, 2 * hx + 1))  # one more than needed: there are no neighbours to bridge it with
        data = np.pad(image[rows].astype(np.result_type(image.dtype, np.float32)), margin, mode="edge")
        unusable = ~(np.abs(data) < _ABSURD)
        data = np.where(unusable, level, data).astype(np.float32)
        if bad is not None:
            unusable |= np.pad(bad[rows], margin, mode="edge")
        _bridge(data, unusable, level)
        yield _Band(start, stop, ny, data[1:-1, 1:-1], unusable[1:-1, 1:-1])


def _bridge(data, unusable, level):
    """Replace unusable pixels, in place, by the mean of their good neighbours, or by `level` where there are none."""
    inner = np.ones_like(unusable)
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(unusable, step, axis)
    data[unusable & inner] = level
    y, x = np.nonzero(unusable & ~inner)
    dy, dx = np.mgrid[-1:2, -1:2].reshape(2, 1, -1)
    near = np.clip(y[:, None] + dy, 0, data.shape[0] - 1), np.clip(x[:, None] + dx, 0, data.shape[1] - 1)
    good = ~unusable[near]
    total = np.where(good, data[near], 0).sum(axis=1, dtype=np.float64)
    count = good.sum(axis=1)
    data[y, x] = np.where(count, total / np.maximum(count, 1), level)


def _heights(data, kernel):
    """Correlate with the kernel; the result is smaller than `data` by the half widths on every side."""
    (hx, hy), (ny, nx) = kernel.half, data.shape
    height = np.zeros((ny - 2 * hy, nx - 2 * hx), np.float32)
    term = np.empty_like(height)
    weights = np.float32(kernel.weights)
    for weight in np.unique(weights[kernel.inside]):
        offsets = np.argwhere(kernel.inside & (weights == weight))
        shifted = [data[j:ny - 2 * hy + j, i:nx - 2 * hx + i] for j, i in offsets]
        np.copyto(term, shifted[0])
        for other in shifted[1:]:
            term += other
        term *= weight
        height += term
    return height


def _measure(band, kernel, limit, sky):
    """Find and measure the sources whose centre is in the rows of one band; returns a dict of columns."""
    hx, hy = kernel.half
    height = _heights(band.data, kernel)
    rows = np.arange(band.start - hy, band.stop + hy)
    inside = (rows >= 0) & (rows < band.ny)
    height = height[np.clip(rows, 0, band.ny - 1) - rows[0]]
    y, x = _local_maxima(np.where(inside[:, None], height, -np.inf)[:, hx:-hx], kernel, limit)
    height = np.pad(height[:, hx:-hx], ((0, 0), (hx, hx)), mode="edge")  # heights too continue beyond the edge
    usable = ~band.unusable[y + hy, x + 2 * hx]
    y, x = y[usable], x[usable]
    pixels = _stamps(band.data, y + hy, x + 2 * hx, (hx, hy)).astype(np.float64)
    found = _shapes(_stamps(height, y, x + hx, (hx, hy)), pixels, kernel, sky)
    found["blemish"] = _stamps(band.unusable, y + hy, x + 2 * hx, (hx, hy))[:, kernel.inside].any(axis=1)
    found["column"], found["row"] = x, y - hy + band.start
    found["x"], found["y"] = found["column"] + 1 + found.pop("dx"), found["row"] + 1 + found.pop("dy")
    good = found.pop("fitted")
    return {name: values[good] for name, values in found.items()}


def _local_maxima(height, kernel, limit):
    """Rows and columns of the pixels not below `limit` nor below any in the footprint; the first one of equals.

    The first and last half-height rows of `height` are only looked at from their neighbours.
    """
    (hx, hy), width = kernel.half, height.shape[1] + 2 * kernel.half[0]
    padded = np.pad(height, ((0, 0), (hx, hx)), constant_values=-np.inf).ravel()
    peak = hy * width + np.flatnonzero(padded[hy * width:-hy * width] >= limit)
    for j, i in np.argwhere(kernel.inside) - (hy, hx):
        other, mine = padded[peak + j * width + i], padded[peak]
        peak = peak[(other < mine) | ((other == mine) & ((j, i) >= (0, 0)))]
    y, x = np.divmod(peak, width)
    return y, x - hx


def _stamps(array, y, x, half):
    """Boxes of `array` around pixels: (N, 2 hy + 1, 2 hx + 1)."""
    hx, hy = half
    return np.lib.stride_tricks.sliding_window_view(array, (2 * hy + 1, 2 * hx + 1))[y - hy, x - hx]


def _shapes(heights, pixels, kernel, sky):
    """Sharpness, both roundnesses and centroid offsets of sources, from stamps of heights and of pixels."""
    hx, hy = kernel.half
    height, peak = heights[:, hy, hx].astype(np.float64), pixels[:, hy, hx]
    around = kernel.inside.copy()
    around[hy, hx] = False
    dx, x_height, x_step = _marginal(pixels, kernel, 0, sky)
    dy, y_height, y_step = _marginal(pixels, kernel, 1, sky)
    with np.errstate(divide="ignore", invalid="ignore"):
        round2 = 2 * (x_height - y_height) / (x_height + y_height)
    return dict(height=height, peak=peak, sharp=(peak - pixels[:, around].mean(axis=1)) / height,
                round1=_symmetry(heights.astype(np.float64), min(hx, hy)), round2=round2, dx=dx, dy=dy,
                astray=~(x_step & y_step), fitted=(x_height > 0) & (y_height > 0))


def _symmetry(heights, m):
    """SROUND: twice the difference between opposite pairs of quadrants over the sum, from the heights."""
    n, by, bx = heights.shape
    box = heights[:, by // 2 - m:by // 2 + m + 1, bx // 2 - m:bx // 2 + m + 1]
    y, x = np.mgrid[-m:m + 1, -m:m + 1]
    sign = np.where(((x < 0) & (y >= 0)) | ((x > 0) & (y <= 0)), -1.0, 1.0)
    sign[m, m] = 0
    total = (np.abs(box) * np.abs(sign)).sum(axis=(1, 2))
    return 2 * (box * sign).sum(axis=(1, 2)) / np.where(total > 0, total, 1)


def _marginal(pixels, kernel, axis, sky):
    """Fit the kernel's marginal to that of the pixels: one linear step for the centre.

    Where the step leaves the box, IRAF falls back on a first moment, with the wrong sign in x; it is followed so
    that lists agree, and the source is marked, for such a position is poor whatever is done.

    Returns
    -------
    delta, height : (N,) ndarray
        Offset from the central pixel and height along x (axis 0) or y (axis 1).
    step : (N,) ndarray of bool
        Whether `delta` is the step.
    """
    gauss = kernel.gauss if axis == 0 else kernel.gauss.T
    pixels = pixels if axis == 0 else pixels.transpose(0, 2, 1)
    across, along = ((np.arange(n) - n // 2) for n in gauss.shape)
    across, weight = (offset.max() + 1.0 - np.abs(offset) for offset in (across, along))
    model, data = across @ gauss, across @ pixels
    total = weight.sum()
    mean_model, mean_data = weight @ model / total, data @ weight / total
    height = (data @ (weight * model) - total * mean_model * mean_data) / (weight @ model**2 - total * mean_model**2)
    reach = along.max() + 0.5
    signal = data - sky * across.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        delta = kernel.sigma[axis] ** 2 * (data @ (weight * model * along)) / (height * (weight @ (model * along) ** 2))
        moment = (-1, 1)[axis] * (signal @ (weight * along)) / (signal @ weight)
    step = np.abs(delta) <= reach
    return np.where(step, delta, np.where(np.abs(moment) <= reach, moment, 0.0)), height, step
