"""Measure one chip: find its sources, cut their stamps for the PSF, and choose the best of them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from imagereg.catalogs import Flag, SourceCatalog
from imagereg.detection.finders.daofind import find_sources
from imagereg.detection.finders.finding import Finding
from imagereg.detection.finders.sextractor import find_sources_sextractor
from imagereg.detection.halos import Hosts, find_hosts
from imagereg.detection.psf.stamps import Stamps
from imagereg.detection.sky import measure_sky
from imagereg.detection.trails import on_trails

_log = logging.getLogger(__name__)

_FINDERS: dict[str, Callable[..., SourceCatalog]] = {
    "imagefind": find_sources,
    "sextractor": find_sources_sextractor,
}

# The PSF is compared with this many times the sources asked for, and with at least so many: that
# bounds time and memory, and leaves stars among them where cosmic rays are far more.
_CANDIDATES_PER_SOURCE = 4
_FEWEST_CANDIDATES = 20_000
# Half width of the stamps, pixels: enough for stars of 5 pixels FWHM found by a narrow kernel.
_LEAST_STAMP = 6


def measure_chip(
    data: np.ndarray,
    finding: Finding,
    *,
    bad: np.ndarray | None,
    relative_noise: np.ndarray | None,
    excluded: np.ndarray | None,
    gain: float,
    chip: int,
    where: str,
) -> tuple[SourceCatalog, Stamps | None, Hosts | None]:
    """Find the sources of one chip.

    Parameters
    ----------
    data : (ny, nx) ndarray
        Pixels, counts.
    finding : Finding
        How to find them.
    bad : (ny, nx) ndarray of bool or None
        Pixels not to be used.
    relative_noise : (ny, nx) ndarray or None
        See `noise_from_inverse_variance`; pixels where it is not finite are not used.
    excluded : (ny, nx) ndarray of bool or None
        Pixels on which no source is wanted.
    gain : float
        Electrons per count.
    chip : int
        EXTVER, for the catalog.
    where : str
        Name of the chip, for the log.

    Returns
    -------
    sources : SourceCatalog
        The sources.
    stamps : Stamps or None
        Pixels around them for the PSF; None where their positions are to stay.
    hosts : Hosts or None
        Bright stars whose light explains them, if the PSF does not; None without stamps.
    """
    if relative_noise is not None:
        bad = ~np.isfinite(relative_noise) | (False if bad is None else bad)
        relative_noise = np.where(bad, 1.0, relative_noise)
    sky = measure_sky(data, bad, relative_noise)
    noise = relative_noise
    if finding.findmode == "imagefind" and finding.skysigma is None:  # SExtractor has maps
        noise = sky.relative_noise
    find = _FINDERS[finding.findmode]
    sources = find(data, finding, bad=bad, relative_noise=noise, sky=(sky.level, sky.noise),
                   gain=gain, chip=chip)  # fmt: skip
    sources = leave_out(sources, excluded, where)
    on_trail = on_trails(data, sources.xy, sky, width=finding.conv_width, bad=bad)
    if on_trail.any():
        _log.info("%s: %d sources on trails are left out", where, on_trail.sum())
        sources = sources[~on_trail]
    if finding.centroid == "marginal" or not len(sources):
        return sources, None, None
    if finding.nsources is not None:
        candidates = max(_CANDIDATES_PER_SOURCE * finding.nsources, _FEWEST_CANDIDATES)
        sources = sources.best(candidates, data.shape)
    half = max(*finding.kernel.half, _LEAST_STAMP)
    stamps = Stamps.cut(
        data, sources.xy, half=half, level=sky.level_at(sources.xy),
        noise=sky.noise_at(sources.xy), gain=gain, bad=bad,
    )  # fmt: skip
    return sources, stamps, find_hosts(data, sources.xy, sky, width=finding.conv_width)


def noise_from_inverse_variance(inverse_variance: np.ndarray) -> np.ndarray:
    """Return the noise of pixels relative to the typical one; NaN where there is no weight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.where(inverse_variance > 0, inverse_variance, np.nan) ** -0.5
    if not np.isfinite(noise).any():
        return np.full(noise.shape, np.nan)
    return noise / np.nanmedian(noise)


def leave_out(sources: SourceCatalog, excluded: np.ndarray | None, where: str) -> SourceCatalog:
    """Leave out the sources whose central pixel is excluded, and log how many are left."""
    if excluded is not None:
        ny, nx = excluded.shape
        x, y = (np.rint(sources.xy).astype(int) - 1).T
        good = ~excluded[np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)]
        _log.info("%s: %d pixels and %d sources are excluded", where, excluded.sum(), (~good).sum())
        sources = sources[good]
    _log.info("%s: %d sources", where, len(sources))
    return sources


def best_of_chip(
    sources: SourceCatalog, number: int | None, shape: tuple[int, int], *, name: str, chip: int
) -> SourceCatalog:
    """Return the best sources of a chip, spread over it; log how many they are, and how faint."""
    kept = sources.best(number, shape)
    if len(kept) < len(sources):
        with np.errstate(divide="ignore", invalid="ignore"):
            faintest = np.nanmin(kept.flux / kept.flux_error)
        _log.info(
            "%s: the best %d sources of chip %d are kept (nsources=%d), the faintest at %.1f sigma",
            name, len(kept), chip, number, faintest,
        )  # fmt: skip
    return kept


def brightest(sources: SourceCatalog, number: int | None) -> SourceCatalog:
    """Return the brightest sources; those that are `Flag.UNRELIABLE` come after all others."""
    order = np.lexsort((-sources.flux, (sources.flags & Flag.UNRELIABLE) > 0))
    return sources[np.sort(order[:number])]
