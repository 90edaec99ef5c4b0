"""Pictures of pixels for the page of a run: whole chips, and stars before and after.

Values come in, JPEG images in memory go out; who reads the pixels is no matter here.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np

from imagereg.alignment import Alignment, Chip
from imagereg.wcs import pixel_to_sky

RADIUS = 8  # pixels of the plane from a star to the side of its cut-out
_SAMPLES = 48  # along the side of a cut-out
_QUALITY = 60  # of a JPEG, of 100: noise needs not be kept, and artefacts are not seen yet
_DARK, _LIGHT = 25.0, 99.7  # percentiles of the pixels that are white and black in a picture

#: Pixels of each chip of an exposure, by EXTVER.
Pixels = Mapping[int, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Detail:
    """How much of an exposure is shown; where there are many of them, each is shown in less.

    Parameters
    ----------
    widest : int
        Width of a chip's picture, pixels.
    stars : int
        Number of stars in a strip.
    matches, sources : int
        Most of them drawn in a diagram, and on a chip.
    """

    widest: int
    stars: int
    matches: int
    sources: int


#: Of up to 8 exposures: as wide as the column of a desktop page. An exposure takes some 300 kB.
FINE = Detail(widest=720, stars=6, matches=600, sources=1500)
#: Of more of them. An exposure takes some 60 kB.
COARSE = Detail(widest=240, stars=3, matches=120, sources=250)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """What there is to see of an exposure's pixels.

    Parameters
    ----------
    chips : dict of int to (bytes, float)
        JPEG of each chip by EXTVER, and how many of its pixels are one of the picture's.
    strips : dict of str to bytes
        Some of the matched stars side by side as JPEG: ``reference``, and the image by its WCS
        ``before`` and ``after`` the run; empty where the reference is no image.
    n_stars : int
        Number of stars in a strip.
    mean_star : bytes
        Mean image of the matched stars as JPEG; empty where there are none.
    fwhm : float
        Of that mean, pixels of the plane; NaN where it is not known.
    """

    chips: dict[int, tuple[bytes, float]]
    strips: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    n_stars: int = 0
    mean_star: bytes = b""
    fwhm: float = np.nan


def pictures(alignment: Alignment, pixels: Pixels,
             reference: tuple[Sequence[Chip], Pixels] | None, detail: Detail) -> Pictures:
    """Return the pictures of an exposure.

    Parameters
    ----------
    alignment : Alignment
        Of the exposure.
    pixels : mapping of int to ndarray
        Of its chips.
    reference : (sequence of Chip, mapping) or None
        Chips of the reference image and their pixels; None where it is a catalog.
    detail : Detail
        How much is shown.
    """
    chips = {extver: _overview(data, detail.widest) for extver, data in pixels.items()}
    if not alignment.nmatches:
        return Pictures(chips)
    rows = _chosen(alignment)
    before = _by_extver(alignment.exposure.chips)
    after = _by_extver(alignment.corrected_chips()) if alignment.changes else before
    cuts: dict[str, list[np.ndarray]] = {"reference": [], "before": [], "after": []}
    stamps = []
    for row in rows:
        sky = alignment.reference.sky[alignment.ref_rows[row]]
        extver = int(alignment.exposure.sources.chip[alignment.rows[row]])
        grid = _sky_grid(alignment.plane, sky)
        there = _sampled(after[extver], pixels[extver], grid)
        stamps.append(there)
        if reference is None or len(cuts["after"]) == detail.stars:
            continue
        own = _on_any_chip(reference, grid)
        if own is not None:
            cuts["reference"].append(own)
            cuts["before"].append(_sampled(before[extver], pixels[extver], grid))
            cuts["after"].append(there)
    strips = {name: _strip(own) for name, own in cuts.items() if own}
    mean = _mean_star(stamps)
    return Pictures(chips, strips, len(cuts["after"]), _jpeg(_stretched(mean)), _fwhm(mean))


def _strip(stamps):
    """Return stars side by side as JPEG, each from its own sky to its own peak."""
    return _jpeg(np.hstack([_stretched(stamp) for stamp in stamps]))


def _by_extver(chips):
    return {chip.extver: chip for chip in chips}


def _chosen(alignment, number=30):
    """Return rows of used pairs: those with the brightest sources, after the very brightest."""
    used = np.flatnonzero(alignment.fit.used)
    flux = np.nan_to_num(alignment.exposure.sources.flux[alignment.rows[used]], nan=-np.inf)
    order = used[np.argsort(-flux, kind="stable")]
    saturated = len(order) // 20  # the brightest twentieth may be
    return order[saturated:saturated + number]


def _sky_grid(plane, sky):
    """Return (n, n, 2) sky positions around a star on the plane, y along the first axis."""
    centre = plane.sky_to_plane(sky[None])[0]
    steps = np.linspace(-RADIUS, RADIUS, _SAMPLES)
    x, y = np.meshgrid(steps + centre[0], steps + centre[1])
    xy = np.column_stack([x.ravel(), y.ravel()])
    return plane.plane_to_sky(xy).reshape(_SAMPLES, _SAMPLES, 2)


def _on_any_chip(reference, grid):
    """Return the sampled pixels of the chip of the reference that the grid is on, or None."""
    chips, pixels = reference
    for chip in chips:
        corners = pixel_to_sky(chip.wcs, np.array([[1.0, 1.0], chip.shape[::-1]]))
        if np.abs(grid[0, 0] - corners.mean(axis=0))[1] > 5:  # degrees: another part of the sky
            continue
        found = _sampled(chip, pixels[chip.extver], grid)
        if np.isfinite(found).all():
            return found
    return None


def _sampled(chip, data, grid):
    """Return pixels at sky positions, by bilinear interpolation; NaN beyond the chip."""
    sky = grid.reshape(-1, 2)
    try:
        x, y = chip.wcs.all_world2pix(*sky.T, 0, quiet=True)
    except ValueError:  # far from the chip the distortion can't be turned round
        return np.full(grid.shape[:2], np.nan)
    rows, columns = data.shape
    with np.errstate(invalid="ignore"):
        inside = (x >= 0) & (x < columns - 1) & (y >= 0) & (y < rows - 1)
    column = np.where(inside, x, 0).astype(int)
    row = np.where(inside, y, 0).astype(int)
    dx = x - column
    dy = y - row
    lower = data[row, column] * (1 - dx) + data[row, column + 1] * dx
    upper = data[row + 1, column] * (1 - dx) + data[row + 1, column + 1] * dx
    return np.where(inside, lower * (1 - dy) + upper * dy, np.nan).reshape(grid.shape[:2])


def _mean_star(stamps):
    """Return the median of stamps, each from its own sky, 0, to its own peak, 1."""
    scaled = []
    for stamp in stamps:
        sky = np.nanmedian(stamp) if np.isfinite(stamp).any() else np.nan
        peak = np.nanmax(stamp - sky) if np.isfinite(sky) else np.nan
        if peak > 0:
            scaled.append((stamp - sky) / peak)
    return np.nanmedian(scaled, axis=0) if scaled else np.full((_SAMPLES, _SAMPLES), np.nan)


def _fwhm(mean):
    """Return the width of a star at half its peak, pixels: that of a disk of the same area."""
    if not np.isfinite(mean).any():
        return np.nan
    step = 2 * RADIUS / (_SAMPLES - 1)
    area = np.count_nonzero(mean > 0.5 * np.nanmax(mean)) * step**2
    return float(2 * np.sqrt(area / np.pi))


def _overview(data, widest):
    """Return a chip as JPEG, the mean of blocks of pixels, and the size of a block."""
    block = max(1, -(-data.shape[1] // widest))
    rows, columns = (size // block * block for size in data.shape)
    blocks = np.asarray(data[:rows, :columns], float)
    blocks = blocks.reshape(rows // block, block, columns // block, block).mean(axis=(1, 3))
    return _jpeg(_stretched(blocks)), block


def _stretched(data: np.ndarray) -> np.ndarray:
    """Return pixels as a negative, from 0, black, to 1."""
    finite = data[np.isfinite(data)]
    dark, light = np.percentile(finite, [_DARK, _LIGHT]) if finite.size else (0.0, 1.0)
    scaled = np.clip((np.nan_to_num(data, nan=dark) - dark) / max(light - dark, 1e-30), 0, 1)
    return 1 - np.sqrt(scaled)


def _jpeg(grey: np.ndarray) -> bytes:
    """Return a picture of values from 0 to 1 as JPEG, y upwards."""
    from matplotlib.image import imsave

    out = io.BytesIO()
    imsave(out, grey, cmap="gray", vmin=0, vmax=1, format="jpg", origin="lower",
           pil_kwargs={"quality": _QUALITY})
    return out.getvalue()
