"""Measure positions again once exposures are aligned, with a PSF from all of them together."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from imagereg.alignment import Alignment, Exposure
from imagereg.catalogs import Flag
from imagereg.detection import Stamps, epsf_measure, refine_positions
from imagereg.tasks.exposures import Measured
from imagereg.wcs import Status

log = logging.getLogger(__name__)

_LEAST_SNR = 20.0  # of a star that tells something of the PSF


def remeasured(measured: Sequence[Measured],
               alignments: Sequence[Alignment]) -> list[Measured] | None:
    """Measure the PSF and all positions again, from stars that several aligned exposures show.

    Parameters
    ----------
    measured : sequence of Measured
        Exposures and the pixels of their sources.
    alignments : sequence of Alignment
        Of each.

    Returns
    -------
    list of Measured or None
        None where nothing is learned: exposures that share a PSF show too few stars in common.
    """
    groups: dict[str, list[int]] = {}
    for number, (each, alignment) in enumerate(zip(measured, alignments, strict=True)):
        if each.stamps is None or each.is_given or alignment.status is Status.FAILED:
            continue
        groups.setdefault(each.exposure.metadata.optics, []).append(number)
    shared = [group for group in groups.values() if len(group) > 1]
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        psfs = list(pool.map(lambda group: _dithered_psf([measured[i] for i in group],
                                                         [alignments[i] for i in group]), shared))
        psf_of = {}
        for group, psf in zip(shared, psfs, strict=True):
            if psf is not measured[group[0]].psf:
                psf_of[measured[group[0]].exposure.metadata.optics] = psf
        if not psf_of:
            return None
        return list(pool.map(lambda each: _refined(each, psf_of), measured))


def _dithered_psf(measured, alignments):
    """Return the PSF of exposures that are aligned."""
    stars = [_Stars.of(each, alignment)
             for each, alignment in zip(measured, alignments, strict=True)]
    exposure = np.repeat(np.arange(len(stars)), [len(part.place) for part in stars])
    frame = np.unique([exposure, np.concatenate([part.chip for part in stars])], axis=1,
                      return_inverse=True)[1].ravel()
    to_pixels = np.concatenate([part.to_pixels for part in stars])
    place = np.concatenate([part.place for part in stars])
    dithers, rows = epsf_measure.Dithers.among(place, frame, exposure, to_pixels)
    offset = np.concatenate([part.offset for part in stars])[rows]
    to_plane = np.linalg.inv(dithers.to_pixels)
    middle = dithers.place - (to_plane @ offset[..., None])[..., 0]
    stamps = Stamps.concat([part.stamps for part in stars])[rows]
    dithers = dataclasses.replace(dithers, place=middle)
    return epsf_measure.measure_dithered_psf(stamps, dithers, measured[0].psf)


@dataclasses.dataclass(frozen=True, eq=False)
class _Stars:
    """The well measured stars of an aligned exposure.

    Parameters
    ----------
    stamps : Stamps
        Pixels around N stars.
    chip : (N,) ndarray of int
        EXTVER of their chips.
    offset : (N, 2) ndarray
        Their positions from the middle of the central pixel.
    place : (N, 2) ndarray
        Their positions on the plane.
    to_pixels : (N, 2, 2) ndarray
        Maps steps on the plane to pixels of the chip.
    """

    stamps: Stamps
    chip: np.ndarray
    offset: np.ndarray
    place: np.ndarray
    to_pixels: np.ndarray

    @classmethod
    def of(cls, measured, alignment):
        """Return the stars of an exposure, where its alignment puts them."""
        sources = measured.exposure.sources
        is_star = (sources.flags & Flag.UNRELIABLE) == 0
        is_star &= sources.flux > _LEAST_SNR * sources.flux_error
        sources = sources[is_star]
        stamps = measured.stamps[is_star]
        place = alignment.plane.sky_to_plane(sources.sky)
        if alignment.fit is not None:
            place = alignment.fit(place)
        to_pixels = np.empty((len(sources), 2, 2))
        for chip in np.unique(sources.chip):
            rows = sources.chip == chip
            to_pixels[rows] = _steps_to_pixels(place[rows], sources.xy[rows])
        return cls(stamps, sources.chip, sources.xy - stamps.centre, place, to_pixels)


def _steps_to_pixels(place, xy):
    """Return the matrix that best maps differences of places to those of pixels."""
    if len(xy) < 3:
        return np.eye(2)
    centred = place - place.mean(axis=0)
    return np.linalg.lstsq(centred, xy - xy.mean(axis=0), rcond=None)[0].T


def _refined(measured, psf_of):
    """Return an exposure with positions from the new PSF, if there is one for it."""
    exposure = measured.exposure
    psf = psf_of.get(exposure.metadata.optics)
    if psf is None or measured.stamps is None:
        return measured
    sources = exposure.sources
    # Most of what the first surface did not fit are cosmic rays.
    rows = np.flatnonzero((sources.flags & Flag.POOR_FIT) == 0)
    refined = refine_positions(sources[rows], measured.stamps[rows], psf)
    columns = {}
    for name in ("xy", "xy_error", "flux", "flux_error", "flags"):
        columns[name] = getattr(sources, name).copy()
        columns[name][rows] = getattr(refined, name)
    sources = sources.replace(**columns)
    better = Exposure.measured(exposure.name, exposure.chips, sources, path=exposure.path,
                               metadata=exposure.metadata)
    return Measured(better, measured.stamps, psf)
