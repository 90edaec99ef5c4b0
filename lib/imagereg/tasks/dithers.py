"""Measure positions again once exposures are aligned, with a PSF from all of them together."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from imagereg.alignment import Alignment, Exposure
from imagereg.catalogs import Flag
from imagereg.detection import Stamps
from imagereg.detection.psf import epsf_measure, epsf_variation
from imagereg.tasks.exposures import Measured, chip_shapes
from imagereg.tasks.parallel import mapped
from imagereg.tasks.refining import Stars, refined
from imagereg.wcs import Status, pixel_to_sky

if TYPE_CHECKING:
    from imagereg.detection import EffectivePSF

_LEAST_SNR = 20.0  # of a star that tells something of the PSF
_STEP = 10.0  # pixels, for derivatives


def remeasured(measured: Sequence[Measured], alignments: Sequence[Alignment],
               num_cores: int | None = None, meanwhile: Callable[[], None] | None = None,
               ) -> list[Measured]:
    """Measure the PSF and all positions again, from stars that several aligned exposures show.

    Parameters
    ----------
    measured : sequence of Measured
        Exposures and the pixels of their sources; the reference image may be among them twice.
    alignments : sequence of Alignment
        Of each.
    num_cores, meanwhile : optional
        See `parallel.mapped`.

    Returns
    -------
    list of Measured
        Those that share a PSF with none, or show too few stars in common, as they are.
    """
    aligned: dict[tuple[str, str], tuple[Measured, Alignment]] = {}
    for each, alignment in zip(measured, alignments, strict=True):
        if alignment.status is not Status.FAILED:
            aligned.setdefault(_file(each), (each, alignment))
    pairs = list(aligned.values())
    groups = _by_optics([each for each, _ in pairs])
    shared = {optics: _reconsidered([pairs[i] for i in rows])
              for optics, rows in groups.items() if len(rows) > 1}
    psfs = mapped(_dithered_psfs, list(shared.values()), num_cores, meanwhile)
    psf_of: dict[str, EffectivePSF] = {}
    aligned_with_psf: dict[tuple[str, str], tuple[Measured, EffectivePSF]] = {}
    for (optics, group), (psf, own_psfs) in zip(shared.items(), psfs, strict=True):
        psf_of[optics] = psf
        for (each, _), own_psf in zip(group, own_psfs, strict=True):
            aligned_with_psf[_file(each)] = each, own_psf
    rows = [row for row, each in enumerate(measured) if _is_improved(each, psf_of)]
    improved = []
    for each in (measured[row] for row in rows):
        as_found = each, psf_of[each.exposure.metadata.optics]
        improved.append(aligned_with_psf.get(_file(each), as_found))
    result = list(measured)
    for row, sources in zip(rows, _refined(improved, num_cores), strict=True):
        psf = psf_of[measured[row].exposure.metadata.optics]
        result[row] = _with_sources(measured[row], sources, psf)
    return result


def _file(measured):
    """Return what an image has in common with itself as the reference."""
    return os.path.realpath(measured.exposure.path), measured.exposure.name


def share_psf(measured: Sequence[Measured]) -> bool:
    """Whether there are exposures that share a PSF, which no file gives."""
    return any(len(rows) > 1 for rows in _by_optics(measured).values())


def _by_optics(measured):
    """Return the indices of exposures with a measured PSF, by the name of their optics."""
    groups: dict[str, list[int]] = {}
    for number, each in enumerate(measured):
        if each.stamps is not None and not each.is_given:
            groups.setdefault(each.exposure.metadata.optics, []).append(number)
    return groups


def _reconsidered(pairs):
    """Return exposures whose sources that another one shows too are no longer said to fit badly.

    Most of what a first surface does not fit are cosmic rays, but where the PSF is undersampled it
    does not fit the brightest stars either.
    """
    places = [_places(each.exposure.sources.sky, alignment) for each, alignment in pairs]
    number = np.repeat(np.arange(len(pairs)), [len(place) for place in places])
    shown = epsf_measure.shown_by_several(np.concatenate(places), number)
    result = []
    for i, (each, alignment) in enumerate(pairs):
        flags = each.exposure.sources.flags.copy()
        flags[shown[number == i]] &= ~Flag.POOR_FIT
        sources = each.exposure.sources.replace(flags=flags)
        exposure = dataclasses.replace(each.exposure, sources=sources)
        result.append((dataclasses.replace(each, exposure=exposure), alignment))
    return result


def _dithered_psfs(pairs):
    """Return the common PSF of exposures, given with their alignments, and the PSF of each."""
    stars = [_Stars.of(each, alignment) for each, alignment in pairs]
    exposure = np.repeat(np.arange(len(stars)), [len(part.place) for part in stars])
    frame = np.unique([exposure, np.concatenate([part.chip for part in stars])], axis=1,
                      return_inverse=True)[1].ravel()
    to_pixels = np.concatenate([part.to_pixels for part in stars])
    place = np.concatenate([part.place for part in stars])
    dithers, rows = epsf_measure.Dithers.among(place, frame, exposure, to_pixels)
    offset = np.concatenate([part.offset for part in stars])[rows]
    to_plane = np.linalg.inv(dithers.to_pixels)
    middle = dithers.place - (to_plane @ offset[..., None])[..., 0]
    half = min(part.stamps.half for part in stars)  # the reference's kernel may be another
    stamps = Stamps.concat([part.stamps.cropped(half) for part in stars])[rows]
    dithers = dataclasses.replace(dithers, place=middle)
    first, _ = pairs[0]
    psf = epsf_measure.measure_dithered_psf(stamps, dithers, first.psf)
    if psf is first.psf:
        return psf, [psf] * len(pairs)
    own = epsf_measure.measure_psf_of_each(stamps, exposure[rows], psf)
    psfs = [psf, *(own.get(number, psf) for number in range(len(pairs)))]
    chip = np.concatenate([part.chip for part in stars])[rows]
    sample = epsf_variation.Sample(stamps, chip, dithers.star, exposure[rows] + 1,
                                   chip_shapes(first.exposure.chips))
    are_alike = [chip_shapes(each.exposure.chips) == sample.shapes for each, _ in pairs]
    psf, *psfs = epsf_variation.measure_variation(sample[np.array(are_alike)[exposure[rows]]], psfs)
    return psf, psfs


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
        is_star &= np.isfinite(sources.sky).all(axis=1)
        sources = sources[is_star]
        stamps = measured.stamps[is_star]
        to_pixels = np.tile(np.eye(2), (len(sources), 1, 1))
        for chip in measured.exposure.chips:
            to_pixels[sources.chip == chip.extver] = _steps_to_pixels(chip, alignment)
        return cls(stamps, sources.chip, sources.xy - stamps.centre,
                   _places(sources.sky, alignment), to_pixels)


def _places(sky, alignment):
    """Return where an alignment puts sky positions on the plane."""
    place = alignment.plane.sky_to_plane(sky)
    return place if alignment.fit is None else alignment.fit(place)


def _steps_to_pixels(chip, alignment):
    """Return the matrix that maps small steps on the plane to pixels in the middle of a chip.

    Distortion changes it by some per cent over a chip, of steps of a few hundredths of a pixel.
    """
    ny, nx = chip.shape
    corners = np.array([nx / 2, ny / 2]) + np.array([(0, 0), (_STEP, 0), (0, _STEP)])
    place = _places(pixel_to_sky(chip.wcs, corners), alignment)
    return np.linalg.inv((place[1:] - place[0]).T / _STEP)


def _is_improved(measured, psf_of):
    """Whether there is a new PSF for an exposure."""
    psf = psf_of.get(measured.exposure.metadata.optics)
    return psf is not None and psf is not measured.psf and measured.stamps is not None


def _refined(pairs, num_cores):
    """Yield the sources of exposures, given with new PSFs, with positions from these."""
    # Most of what the first surface did not fit are cosmic rays.
    fitted = [np.flatnonzero((each.exposure.sources.flags & Flag.POOR_FIT) == 0)
              for each, _ in pairs]
    stars = [Stars(each.exposure.sources[rows], each.stamps[rows],
                   psf.on(chip_shapes(each.exposure.chips)))
             for (each, psf), rows in zip(pairs, fitted, strict=True)]
    found = refined(stars, num_cores, is_fitted=True)
    for (each, _), rows, better in zip(pairs, fitted, found, strict=True):
        sources = each.exposure.sources
        columns = {}
        for name in ("xy", "xy_error", "flux", "flux_error", "flags"):
            columns[name] = getattr(sources, name).copy()
            columns[name][rows] = getattr(better, name)
        yield sources.replace(**columns)


def _with_sources(measured, sources, psf):
    """Return an exposure that has been measured with other sources, by that PSF."""
    exposure = measured.exposure
    better = Exposure.measured(exposure.name, exposure.chips, sources, path=exposure.path,
                               metadata=exposure.metadata)
    return Measured(better, measured.stamps, psf)
