"""Find the stars of an image with the DAOFIND algorithm.

The algorithm is that of Stetson (1987, PASP 99, 191) as IRAF's ``noao.digiphot.apphot.daofind``
carries it out. The image is correlated with a truncated Gaussian of zero sum (`Kernel`), which
gives at every pixel the height of the least-squares Gaussian on a constant sky. Local maxima of
that height above a threshold are the sources; `_Candidates` measures them. The image is worked
through in bands of rows, so that memory does not grow with it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from imagereg.catalogs import Flag, SourceCatalog
from imagereg.detection.finders.finding import Finding, Kernel

_BAND_PIXELS = 2**20  # pixels of a band: some tens of MB with all that is derived from them
_BLOCK_PIXELS = 2**17  # pixels that are correlated at a time: three such arrays fit into a cache
_SKY_SAMPLE = 250_000  # pixels; the sky's scatter is then known to 0.15 %, its level to 0.002 of it
_ABSURD = 1e18  # counts that no detector gives, whose squares would overflow single precision
# Error of the marginal fits relative to that of an ideal centroid; with it the errors of simulated
# stars are honest (tests/unit/detection/test_daofind.py, test_errors_are_honest).
_CENTROID_LOSS = 1.3
# The threshold is in units of this times the measured scatter: tweakreg's help text has skysigma
# = 1.5 * imstat(image, nclip=3, fields='stddev').
SKY_FACTOR = 1.5
_ROUNDING = 1e-6  # of the sky level: heights below this are rounding of single precision


def sky_sigma(
    image: np.ndarray,
    bad: np.ndarray | None = None,
    relative_noise: np.ndarray | None = None,
    *,
    rounds: int = 3,
    clip: float = 3.0,
) -> tuple[float, float]:
    """Measure the level and the scatter of the sky by clipping, as ``imstatistics nclip=3`` does.

    Parameters
    ----------
    image : (ny, nx) array_like
        Pixels; an evenly spread sample of 250,000 is used where there are more.
    bad : (ny, nx) array_like of bool, optional
        Pixels to leave out; those that are not finite are left out always.
    relative_noise : (ny, nx) array_like, optional
        Noise of each pixel relative to that of the typical one, whose `sigma` is returned.
    rounds : int
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
    if not is_usual(sample):
        sample = sample[np.abs(sample) < _ABSURD]
    for _ in range(rounds):
        if not sample.size:
            break
        deviation = sample - sample.mean()
        sigma = np.sqrt(np.square(deviation).mean())
        sample = sample[np.abs(deviation, out=deviation) <= clip * sigma]
    if not sample.size:
        level, sigma = np.nan, np.nan
    else:
        level, sigma = float(sample.mean()), float(sample.std())
    if relative_noise is not None:
        _, sigma = sky_sigma((image - level) / relative_noise, bad, rounds=rounds, clip=clip)
    return level, sigma


def is_usual(pixels: np.ndarray) -> bool:
    """Whether all pixels are numbers that detectors give; it takes a fraction of asking each."""
    return pixels.size > 0 and bool(pixels.min() > -_ABSURD and pixels.max() < _ABSURD)


def find_sources(
    image: np.ndarray,
    finding: Finding,
    *,
    bad: np.ndarray | None = None,
    relative_noise: np.ndarray | None = None,
    sky: tuple[float, float] | None = None,
    gain: float = 1.0,
    chip: int = 1,
) -> SourceCatalog:
    """Find point sources in an image.

    Parameters
    ----------
    image : (ny, nx) array_like
        Pixels of one chip, counts.
    finding : Finding
        The kernel, the threshold and the limits.
    bad : (ny, nx) array_like of bool, optional
        Pixels not to be used; pixels that are not finite never are. They are bridged with the mean
        of their good neighbours, no source is centred on one, and a source that has one in its
        footprint is flagged.
    relative_noise : (ny, nx) array_like, optional
        Noise of each pixel relative to that of the typical one, where it varies; the threshold and
        the errors follow.
    sky : (float, float), optional
        What `sky_sigma` says of the image, where it has been asked already.
    gain : float
        Electrons per count, for the errors.
    chip : int
        EXTVER, for the catalog.

    Returns
    -------
    SourceCatalog
        In order of y, then x, of the central pixel. The flux is that of the best-fitting kernel
        Gaussian, and positions come from one-dimensional fits to the marginal sums, as in IRAF.

    References
    ----------
    Stetson, P. B. 1987, PASP 99, 191; IRAF help pages of daofind, datapars and findpars.
    """
    kernel = finding.kernel
    level, noise = sky or sky_sigma(image, bad, relative_noise)
    if not np.isfinite(noise):
        return SourceCatalog.empty()
    sigma = SKY_FACTOR * noise if finding.skysigma is None else finding.skysigma
    limit = kernel.relative_error * finding.threshold * sigma
    limit = max(limit, _ROUNDING * abs(level), float(np.finfo(np.float32).tiny))
    lowest = limit if relative_noise is None else limit * np.nanmin(relative_noise)
    bad = None if bad is None else np.asarray(bad, bool)
    bands = _bands(np.asarray(image), bad, kernel.half, level)
    found = _Found.concat([_measured(band, kernel, lowest, sigma**2) for band in bands])

    flux = found.height * kernel.volume
    relative = np.ones(len(flux))
    if relative_noise is not None:
        relative = np.asarray(relative_noise)[found.row, found.column]
    keep = found.is_on_image(np.shape(image)) & (found.height >= limit * relative)
    keep &= is_within(found.sharp, finding.sharplo, finding.sharphi)
    keep &= is_within(found.round1, finding.roundlo, finding.roundhi)
    keep &= is_within(found.round2, finding.roundlo, finding.roundhi)
    keep &= is_within(found.peak, finding.peakmin, finding.peakmax)
    keep &= is_within(flux, finding.fluxmin, finding.fluxmax)
    pixel_noise = relative * (noise if finding.skysigma is None else finding.skysigma)
    is_edge = found.is_cut_off(np.shape(image), kernel.half)
    return _catalog(found[keep], kernel, flux=flux[keep], noise=pixel_noise[keep],
                    is_edge=is_edge[keep], gain=gain, chip=chip)


def is_within(values: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """Whether values lie within limits, both included; None is no limit."""
    least = -np.inf if low is None else low
    most = np.inf if high is None else high
    return (values >= least) & (values <= most)


def _catalog(found, kernel, *, flux, noise, is_edge, gain, chip):
    """Return a catalog, with the photon errors of a Gaussian's flux and centroid.

    The errors are those of Thompson, Larson & Webb (2002, Biophys. J. 82, 2775, eq. 17), where
    the sky has its measured noise.
    """
    background = 4 * np.pi * kernel.sigma[0] * kernel.sigma[1] * noise**2
    relative_error = np.sqrt((flux / gain + background) / flux**2)
    centroid_error = np.sqrt((flux / gain + 2 * background) / flux**2) * kernel.sigma[0]
    xy_error = centroid_error * _CENTROID_LOSS
    xy_error = np.where(found.is_astray, np.maximum(xy_error, 1.0), xy_error)
    flags = Flag.BAD_PIXEL * found.has_bad_pixel
    flags = flags + Flag.ASTRAY * found.is_astray
    flags = flags + Flag.EDGE * is_edge
    return SourceCatalog(
        xy=np.column_stack([found.x, found.y]),
        xy_error=np.column_stack([xy_error, xy_error]),
        flux=flux,
        flux_error=relative_error * flux,
        sharp=found.sharp,
        round1=found.round1,
        round2=found.round2,
        flags=flags,
        chip=chip,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Band:
    """Rows start..stop of an image of ny rows, with twice the kernel's half widths around them."""

    start: int
    stop: int
    ny: int
    data: np.ndarray
    unusable: np.ndarray


def _bands(image, bad, half, level) -> Iterator[_Band]:
    """Cut the image into bands of rows, continued beyond its edges and bridged over bad pixels."""
    hx, hy = half
    ny, nx = image.shape
    height = max(_BAND_PIXELS // nx, 16)
    # One pixel more than the kernel needs: on the outermost ones there are no neighbours to bridge.
    margin = 2 * hx + 1
    for start in range(0, ny, height):
        stop = min(start + height, ny)
        rows = np.clip(np.arange(start - 2 * hy - 1, stop + 2 * hy + 1), 0, ny - 1)
        data = _continued(image[rows], margin, np.float32)
        unusable = np.zeros(data.shape, bool) if is_usual(data) else ~(np.abs(data) < _ABSURD)
        data[unusable] = level
        if bad is not None:
            unusable |= _continued(bad[rows], margin, bool)
        _bridge(data, unusable, level)
        yield _Band(start, stop, ny, data[1:-1, 1:-1], unusable[1:-1, 1:-1])


def _continued(rows, margin, dtype):
    """Return rows of an image continued by `margin` pixels to the left and to the right."""
    continued = np.empty((len(rows), rows.shape[1] + 2 * margin), dtype)
    with np.errstate(over="ignore"):  # of what single precision can't hold, which is no pixel
        continued[:, margin:-margin] = rows
    continued[:, :margin] = continued[:, [margin]]
    continued[:, -margin:] = continued[:, [-margin - 1]]
    return continued


def _bridge(data, unusable, level):
    """Replace unusable pixels, in place, by the mean of their good neighbours, else by `level`."""
    ny, nx = data.shape
    y, x = np.divmod(np.flatnonzero(unusable), nx)
    data[y, x] = level
    is_inner = unusable[y - 1, x] & unusable[(y + 1) % ny, x]
    is_inner &= unusable[y, x - 1] & unusable[y, (x + 1) % nx]
    y, x = y[~is_inner], x[~is_inner]
    dy, dx = np.mgrid[-1:2, -1:2].reshape(2, 1, -1)
    near_y = np.clip(y[:, None] + dy, 0, ny - 1)
    near_x = np.clip(x[:, None] + dx, 0, nx - 1)
    good = ~unusable[near_y, near_x]
    total = np.where(good, data[near_y, near_x], 0).sum(axis=1, dtype=np.float64)
    count = good.sum(axis=1)
    data[y, x] = np.where(count, total / np.maximum(count, 1), level)


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """Sources of an image as they were measured: columns of length N.

    `column`, `row` are the central pixel, from 0; `x`, `y` the position, FITS pixels; `peak`,
    `height`, `sharp`, `round1`, `round2`, `is_astray` are those of `_Candidates`.
    """

    column: np.ndarray
    row: np.ndarray
    x: np.ndarray
    y: np.ndarray
    peak: np.ndarray
    height: np.ndarray
    sharp: np.ndarray
    round1: np.ndarray
    round2: np.ndarray
    is_astray: np.ndarray
    has_bad_pixel: np.ndarray

    def __getitem__(self, rows) -> _Found:
        columns = (getattr(self, field.name)[rows] for field in dataclasses.fields(self))
        return _Found(*columns)

    @classmethod
    def concat(cls, parts: list[_Found]) -> _Found:
        """Return the sources of all parts."""
        names = [field.name for field in dataclasses.fields(cls)]
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        return cls(*columns)

    def is_on_image(self, shape) -> np.ndarray:
        """Whether the position lies on the image."""
        ny, nx = shape
        on_x = np.abs(self.x - (nx + 1) / 2) <= nx / 2
        return on_x & (np.abs(self.y - (ny + 1) / 2) <= ny / 2)

    def is_cut_off(self, shape, half) -> np.ndarray:
        """Whether the box around the central pixel reaches beyond the image."""
        (ny, nx), (hx, hy) = shape, half
        cut_x = (self.column < hx) | (self.column >= nx - hx)
        return cut_x | (self.row < hy) | (self.row >= ny - hy)


def _measured(band, kernel, limit, sky) -> _Found:
    """Find and measure the sources whose centre is in the rows of one band."""
    hx, hy = kernel.half
    height = _heights(band.data, kernel)
    rows = np.arange(band.start - hy, band.stop + hy)
    is_beyond = (rows < 0) | (rows >= band.ny)
    height[is_beyond] = -np.inf
    height[:, :hx] = -np.inf
    height[:, -hx:] = -np.inf
    y, x = _local_maxima(height, kernel, limit)
    height[:, :hx] = height[:, [hx]]  # continued like the image
    height[:, -hx:] = height[:, [-hx - 1]]
    height[is_beyond] = height[np.clip(rows[is_beyond], 0, band.ny - 1) - rows[0]]
    usable = ~band.unusable[y + hy, x + 2 * hx]
    y, x = y[usable], x[usable]
    candidates = _Candidates(
        heights=_boxes(height, y, x + hx, kernel.half).astype(np.float64),
        pixels=_boxes(band.data, y + hy, x + 2 * hx, kernel.half).astype(np.float64),
        kernel=kernel,
        sky=sky,
    )
    unusable = _boxes(band.unusable, y + hy, x + 2 * hx, kernel.half)
    column, row = x, y - hy + band.start
    found = _Found(
        column=column,
        row=row,
        x=column + 1 + candidates.along_x.delta,
        y=row + 1 + candidates.along_y.delta,
        peak=candidates.peak,
        height=candidates.height,
        sharp=candidates.sharp,
        round1=candidates.round1,
        round2=candidates.round2,
        is_astray=candidates.is_astray,
        has_bad_pixel=unusable[:, kernel.inside].any(axis=1),
    )
    return found[candidates.is_fitted]


def _heights(data, kernel):
    """Correlate with the kernel; the result is smaller by the half widths on every side."""
    (hx, hy), (ny, nx) = kernel.half, data.shape
    height = np.zeros((ny - 2 * hy, nx - 2 * hx), np.float32)
    weights = np.float32(kernel.weights)
    # Pixels of one weight are added first.
    terms = [(weight, np.argwhere(kernel.inside & (weights == weight)))
             for weight in np.unique(weights[kernel.inside])]
    step = max(_BLOCK_PIXELS // nx, 1)
    for top in range(0, len(height), step):
        block = height[top:top + step]
        term = np.empty_like(block)
        for weight, offsets in terms:
            first, *others = [data[top + j : top + j + len(block), i : nx - 2 * hx + i]
                              for j, i in offsets]
            np.copyto(term, first)
            for other in others:
                term += other
            term *= weight
            block += term
    return height


def _local_maxima(height, kernel, limit):
    """Return rows and columns of local maxima: not below `limit` nor any pixel in the footprint.

    Of equal pixels the first counts. Along the edges, half a kernel wide, are no maxima; columns
    count from there.
    """
    hx, hy = kernel.half
    width = height.shape[1]
    flat = height.ravel()
    peak = hy * width + np.flatnonzero(flat[hy * width : -hy * width] >= limit)
    for j, i in np.argwhere(kernel.inside) - (hy, hx):
        other, own = flat[peak + j * width + i], flat[peak]
        is_first = (j, i) >= (0, 0)
        peak = peak[(other < own) | ((other == own) & is_first)]
    y, x = np.divmod(peak, width)
    return y, x - hx


def _boxes(array, y, x, half):
    """Return the boxes of `array` around pixels: (N, 2 hy + 1, 2 hx + 1)."""
    hx, hy = half
    windows = np.lib.stride_tricks.sliding_window_view(array, (2 * hy + 1, 2 * hx + 1))
    return windows[y - hy, x - hx]


@dataclasses.dataclass(frozen=True, eq=False)
class _Candidates:
    """Local maxima, and what is measured of each.

    Parameters
    ----------
    heights, pixels : (N, 2 hy + 1, 2 hx + 1) ndarray
        Heights and pixels around each.
    kernel : Kernel
        The kernel.
    sky : float
        What the first moment takes off where a marginal fit fails: the squared sigma of the sky,
        with which positions agree with IRAF's.
    """

    heights: np.ndarray
    pixels: np.ndarray
    kernel: Kernel
    sky: float

    @property
    def height(self) -> np.ndarray:
        """Height of the best-fitting kernel Gaussian, counts."""
        hx, hy = self.kernel.half
        return self.heights[:, hy, hx]

    @property
    def peak(self) -> np.ndarray:
        """Central pixel, counts with the sky."""
        hx, hy = self.kernel.half
        return self.pixels[:, hy, hx]

    @property
    def sharp(self) -> np.ndarray:
        """Sharpness: central pixel above the mean of the rest of the footprint, over the height."""
        hx, hy = self.kernel.half
        around = self.kernel.inside.copy()
        around[hy, hx] = False
        return (self.peak - self.pixels[:, around].mean(axis=1)) / self.height

    @property
    def round1(self) -> np.ndarray:
        """SROUND: twice the difference of opposite pairs of quadrants over the sum of heights."""
        m = min(self.kernel.half)
        _, ny, nx = self.heights.shape
        box = self.heights[:, ny // 2 - m : ny // 2 + m + 1, nx // 2 - m : nx // 2 + m + 1]
        y, x = np.mgrid[-m : m + 1, -m : m + 1]
        sign = np.where(((x < 0) & (y >= 0)) | ((x > 0) & (y <= 0)), -1.0, 1.0)
        sign[m, m] = 0
        total = (np.abs(box) * np.abs(sign)).sum(axis=(1, 2))
        return 2 * (box * sign).sum(axis=(1, 2)) / np.where(total > 0, total, 1)

    @property
    def round2(self) -> np.ndarray:
        """GROUND: twice the difference of the marginal heights along x and y over their sum."""
        along_x, along_y = self.along_x.height, self.along_y.height
        with np.errstate(divide="ignore", invalid="ignore"):
            return 2 * (along_x - along_y) / (along_x + along_y)

    @functools.cached_property
    def along_x(self) -> _MarginalFit:
        """Fit to the marginal sums along x."""
        return _fit_marginal(self.pixels, self.kernel, axis=0, sky=self.sky)

    @functools.cached_property
    def along_y(self) -> _MarginalFit:
        """Fit to the marginal sums along y."""
        return _fit_marginal(self.pixels, self.kernel, axis=1, sky=self.sky)

    @property
    def is_astray(self) -> np.ndarray:
        """Whether a marginal fit points out of the box: the position is a first moment."""
        return ~(self.along_x.is_inside & self.along_y.is_inside)

    @property
    def is_fitted(self) -> np.ndarray:
        """Whether both marginals have a positive height; IRAF drops the others."""
        return (self.along_x.height > 0) & (self.along_y.height > 0)


@dataclasses.dataclass(frozen=True, eq=False)
class _MarginalFit:
    """Fits to marginal sums: columns of length N."""

    delta: np.ndarray  # offset from the central pixel, pixels
    height: np.ndarray  # of the marginal, counts
    is_inside: np.ndarray  # whether the fit stays in the box, so that `delta` comes from it


def _fit_marginal(pixels, kernel, *, axis, sky) -> _MarginalFit:
    """Fit the kernel's marginal to that of the pixels along x (axis 0) or y (axis 1).

    One linear step gives the centre. Where it leaves the box, IRAF falls back on a first moment,
    with the wrong sign in x; it is followed so that lists agree, and the source is marked, for such
    a position is poor whatever is done.
    """
    gauss = kernel.gauss if axis == 0 else kernel.gauss.T
    pixels = pixels if axis == 0 else pixels.transpose(0, 2, 1)
    offset_across, along = (np.arange(n) - n // 2 for n in gauss.shape)
    # Weights fall linearly from the centre to the edge of the box.
    across = offset_across.max() + 1.0 - np.abs(offset_across)
    weight = along.max() + 1.0 - np.abs(along)
    model = across @ gauss
    data = across @ pixels
    total = weight.sum()
    mean_model = weight @ model / total
    mean_data = data @ weight / total
    covariance = data @ (weight * model) - total * mean_model * mean_data
    height = covariance / (weight @ model**2 - total * mean_model**2)
    reach = along.max() + 0.5
    signal = data - sky * across.sum()
    slope = data @ (weight * model * along)
    sign = -1 if axis == 0 else 1
    with np.errstate(divide="ignore", invalid="ignore"):
        delta = kernel.sigma[axis] ** 2 * slope / (height * (weight @ (model * along) ** 2))
        moment = sign * (signal @ (weight * along)) / (signal @ weight)
    is_inside = np.abs(delta) <= reach
    fallback = np.where(np.abs(moment) <= reach, moment, 0.0)
    return _MarginalFit(np.where(is_inside, delta, fallback), height, is_inside)
