"""Measure exposures: find the sources of every chip, and improve their positions with the PSF."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from imagereg.alignment import Chip, Exposure
from imagereg.catalogs import Flag, SourceCatalog, limited
from imagereg.detection import Stamps, best_of_chip, measure
from imagereg.errors import InputError, ParameterError
from imagereg.files import InputFile, lists, psf, read_image
from imagereg.parameters import ParameterSet
from imagereg.tasks.feedback.progress import progress
from imagereg.tasks.finding import Detection, defined, failed, find, joined, pieces_of
from imagereg.tasks.parallel import available_cores, mapped
from imagereg.tasks.refining import Stars, refined
from imagereg.tasks.writing import footprint

if TYPE_CHECKING:
    from imagereg.detection import EffectivePSF

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Which sources of an image to keep.

    Parameters
    ----------
    fluxmin, fluxmax : float or None
        Limits of the flux, both included, in `fluxunits`.
    fluxunits : str
        'counts', 'cps' or 'mag'.
    nbright : int or None
        Number of brightest sources of each chip; what is no star comes last.
    """

    fluxmin: float | None
    fluxmax: float | None
    fluxunits: str
    nbright: int | None


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """An exposure, and what its positions were measured from.

    Parameters
    ----------
    exposure : Exposure
        With its sources.
    stamps : Stamps or None
        Pixels around the sources; None where positions are not those of a PSF.
    psf : EffectivePSF or None
        That of its optics.
    is_given : bool
        Whether the PSF is that of a file.
    """

    exposure: Exposure
    stamps: Stamps | None = None
    psf: EffectivePSF | None = None
    is_given: bool = False


def measure_images(task: ParameterSet, finding: ParameterSet, images: Sequence[InputFile],
                   meanwhile: Callable[[], None] | None = None) -> list[Measured]:
    """Return the exposures of the images to align, with sources found or given by the user.

    `meanwhile` is what this process does while others find them, see `parallel.mapped`.
    """
    names = ("xcol", "ycol", "fluxcol", "xyunits", "fluxunits")
    columns = {name: task[name] for name in names}
    catalogs = _catalogs(images, task, **columns)
    limits = Limits(task.minflux, task.maxflux, task.fluxunits, task.nbright)
    exclusions = exclusions_of(task)
    measured = measure_exposures(images, finding, limits=limits, exclusions=exclusions,
                                 catalogs=catalogs, psfs=given_psfs(task), needs_wcs=False,
                                 num_cores=task.num_cores, meanwhile=meanwhile)
    if task.matching != "triangles" or task.headerlet:
        measured = [dataclasses.replace(each, exposure=_with_wcs_alone(each.exposure))
                    for each in measured]
    if exclusions:
        _report_unused(exclusions, [each.exposure for each in measured], task)
    return measured


def _with_wcs_alone(exposure):
    """Return an exposure; one without a WCS gets a problem that says how it would be given one."""
    if not exposure.lacks_wcs:
        return exposure
    problem = (f"{exposure.name} has no celestial WCS; with matching=triangles and headerlet=no it "
               "gets one, by a pattern of sources that the reference has too")
    log.error("%s", problem)
    return dataclasses.replace(exposure, chips=(), sources=SourceCatalog.empty(), problem=problem)


def _report_unused(exclusions, exposures, task):
    """Log what a list of exclusions names in vain; the reference image may stand in it too."""
    n_chips = {os.path.basename(task.refimage): sys.maxsize}
    for exposure in exposures:
        name = os.path.basename(exposure.path)
        if exposure.problem:
            n_chips[name] = sys.maxsize  # it is not known
        else:
            n_chips[name] = n_chips.get(name, 0) + len(exposure.chips)
    for sentence in exclusions.unused(n_chips):
        log.warning("%s: %s", task.exclusions, sentence)


def _catalogs(images, task, **columns):
    """Return the catalogs that an @list names beside the images, else those of the catfile."""
    named = {os.path.basename(image.path): image.catalogs for image in images if image.catalogs}
    if named:
        where = next(image.named_in[-1] for image in images if image.catalogs)
        return lists.UserCatalogs.named(named, where, **columns)
    return lists.UserCatalogs.load(task.catfile, **columns) if task.catfile else None


def given_psfs(task: ParameterSet) -> dict[str, EffectivePSF]:
    """Return the PSFs of a file by optics; none where the run is to write the file."""
    return psf.read_psfs(task.psf) if task.psf and not footprint.writes_psf(task) else {}


def exclusions_of(task: ParameterSet) -> lists.Exclusions | None:
    """Return where no sources are wanted; None where that is not said."""
    return lists.Exclusions.load(task.exclusions) if task.exclusions else None


def measure_exposures(images: Sequence[InputFile], parameters: ParameterSet, *,
                      limits: Limits | None = None, exclusions: lists.Exclusions | None = None,
                      catalogs: lists.UserCatalogs | None = None,
                      psfs: Mapping[str, EffectivePSF] | None = None,
                      needs_wcs: bool = True, num_cores: int | None = None,
                      meanwhile: Callable[[], None] | None = None) -> list[Measured]:
    """Find and measure the sources of exposures, several at a time.

    Parameters
    ----------
    images : sequence of InputFile
        FITS files, perhaps with inverse-variance maps.
    parameters : ParameterSet
        Of imagefindpars or refimagefindpars.
    limits : Limits, optional
        Which sources to keep.
    exclusions : Exclusions, optional
        Where not to look for sources.
    catalogs : UserCatalogs, optional
        Sources that the user gives, in place of the finder's.
    psfs : mapping of str to EffectivePSF, optional
        Known PSFs by optics; the others are measured.
    needs_wcs : bool
        An image without a WCS has a problem; else its sources have no sky positions.
    num_cores, meanwhile : optional
        See `parallel.mapped`.

    Returns
    -------
    list of Measured
        In order; a file of STIS gives one for each of its exposures, all others give one. One that
        can't be read has a `problem` and no sources.

    Raises
    ------
    ParameterError
        The parameters contradict each other.
    """
    if not parameters.computesig and not parameters.skysigma:
        raise ParameterError(f"{parameters.task}: computesig = no needs skysigma > 0")
    pieces = pieces_of(images, num_cores or available_cores())
    find_in = functools.partial(find, parameters=parameters, exclusions=exclusions,
                                catalogs=catalogs, needs_wcs=needs_wcs)
    found = mapped(find_in, pieces, num_cores, meanwhile)
    files = list(progress(joined(pieces, found), "finding sources", len(images)))
    detections, psf_of = _with_psfs(files, psfs or {}, defined(parameters, "conv_width"),
                                    needs_wcs=needs_wcs, num_cores=num_cores)
    improved = progress(_refined(detections, psf_of, num_cores), "measuring sources",
                        len(detections))
    number = parameters.nsources if catalogs is None else None
    measured = []
    for detection, sources in zip(detections, improved, strict=True):
        surface = psf_of.get(detection.metadata.optics)
        each = _measured(detection, sources, surface, limits=limits, nsources=number)
        measured.append(each)
    return [dataclasses.replace(each, is_given=each.exposure.metadata.optics in (psfs or {}))
            for each in measured]


def _with_psfs(files, known, width, *, needs_wcs, num_cores):
    """Return the detections of files with their chips, and the PSFs of their optics.

    The WCSs of the chips are read while other processes measure the PSFs.
    """
    complete: list[Detection] = []

    def read_chips():
        for detections in files:
            complete.extend(_with_chips(detections, needs_wcs))

    found = [each for detections in files for each in detections]
    psf_of, gains = _psfs_of(found, known, width, num_cores=num_cores, meanwhile=read_chips)
    if [each.problem for each in complete] != [each.problem for each in found]:
        # The stars of an image whose WCS is bad do not count, no more than with one process.
        psf_of, gains = _psfs_of(complete, known, width, num_cores=num_cores)
    return list(map(_with_gain, complete, gains)), psf_of


def _psfs_of(detections, known, width, *, num_cores, meanwhile=None):
    """Return the PSFs by optics, known ones and those of all stars of the others, and gains.

    The gains are those of detections of which no header told them; None of the others.
    """
    by_optics: dict[str, list[int]] = {}
    for number, detection in enumerate(detections):
        if detection.stamps is not None:
            by_optics.setdefault(detection.metadata.optics, []).append(number)
    groups = [(known.get(optics), [detections[i].stamps for i in numbers],
               [detections[i].metadata.exptime for i in numbers])
              for optics, numbers in by_optics.items()]
    measure_psf = functools.partial(_psf_of, width=width)
    measured = list(mapped(measure_psf, groups, num_cores, meanwhile))
    psf_of = dict(known)
    gains: list[float | None] = [None] * len(detections)
    for (optics, numbers), (surface, told) in zip(by_optics.items(), measured, strict=True):
        psf_of[optics] = surface
        for number, electrons in zip(numbers, told, strict=True):
            gains[number] = electrons
    return psf_of, gains


def _with_gain(detection, electrons):
    """Return a detection with a gain that its stars have told, if any."""
    if electrons is None:
        return detection
    log.info("%s: no gain is known; the noise of stars tells %.3g electrons a unit",
             detection.name, electrons)
    return dataclasses.replace(detection, stamps=detection.stamps.with_gain(electrons))


def _with_chips(detections, needs_wcs):
    """Return the detections of a file with its chips, which other processes do not send.

    A WCS that is pickled loses its last digits.
    """
    path = detections[0].path
    if detections[0].problem or detections[0].chips:
        return detections
    try:
        with read_image(path, needs_wcs=needs_wcs) as opened:
            chips = {name: chips for name, _, chips in opened.exposures()}
    except InputError as error:
        log.error("%s", error)
        return [failed(path, error)]
    return [dataclasses.replace(each, chips=chips[each.name]) for each in detections]


def chip_shapes(chips: Iterable[Chip]) -> dict[int, tuple[int, int]]:
    """Return the rows and columns of chips by EXTVER."""
    return {chip.extver: chip.shape for chip in chips}


def _psf_of(group, width):
    """Return the PSF that exposures of the same optics share, and their gains; None if known.

    Exposures of the same time have the same gain, be it of counts or of counts a second.
    """
    from imagereg.detection.psf import epsf_measure  # scipy is not needed until here

    given, stamps, exptimes = group
    surface = given or epsf_measure.measure_psf(Stamps.concat(stamps), width)
    gains = [None] * len(stamps)
    kinds = list(map(str, exptimes))  # NaN is not equal to itself
    for kind in dict.fromkeys(kinds):
        alike = [i for i, own in enumerate(stamps) if kinds[i] == kind and not own.have_gain]
        if alike:
            from imagereg.detection.psf import gain  # which loads scipy.optimize, as few need it

            electrons = gain.measure_gain(Stamps.concat(stamps[i] for i in alike), surface)
            for i in alike:
                gains[i] = electrons
                stamps[i] = stamps[i].with_gain(electrons)
    if given is None and any(electrons is not None for electrons in gains):
        surface = epsf_measure.measure_psf_again(Stamps.concat(stamps), surface)
    return surface, gains


def _refined(detections, psf_of, num_cores):
    """Yield the sources of detections; where there are stamps, with positions from their PSF."""
    exposures = []
    for detection in detections:
        if detection.stamps is not None:
            psf = psf_of[detection.metadata.optics].on(chip_shapes(detection.chips))
            exposures.append(Stars(detection.sources, detection.stamps, psf))
    found = refined(exposures, num_cores)
    for detection in detections:
        yield detection.sources if detection.stamps is None else next(found)


def _measured(detection, sources, surface, *, limits, nsources):
    """Return the exposure with the sources that the limits leave, `nsources` a chip at most."""
    if detection.problem:
        return Measured(Exposure(detection.name, detection.path, detection.metadata, (),
                                 detection.sources, detection.problem))
    if detection.hosts is not None:
        sources = _without_halos(sources, detection)
    sources, rows = _kept(sources, detection, limits, nsources)
    exposure = Exposure.measured(detection.name, detection.chips, sources, path=detection.path,
                                 metadata=detection.metadata)
    if detection.stamps is None:
        return Measured(exposure)
    return Measured(exposure, detection.stamps.cropped(surface.half)[rows], surface)


def _without_halos(sources, detection):
    """Leave out the sources that no PSF fits and the light of a bright star explains."""
    hosts = detection.hosts
    explained = (hosts.light > 0) & ((sources.flags & Flag.POOR_FIT) > 0)
    if not explained.any():
        return sources
    rows = np.flatnonzero(explained)
    n_stars = len(np.unique(np.column_stack([sources.chip, hosts.xy])[rows], axis=0))
    brightest = rows[hosts.light[rows].argmax()]
    x, y = hosts.xy[brightest]
    log.info("%s: %d sources in the halo, the spikes or the bleeding of %s are left out: %s at "
             "x=%.0f y=%.0f on chip %d", detection.name, len(rows),
             "1 star" if n_stars == 1 else f"{n_stars} stars",
             "it is" if n_stars == 1 else "the brightest is", x, y, sources.chip[brightest])
    return sources[~explained]


def _kept(sources, detection, limits, nsources):
    """Return the sources that the limits leave, `nsources` a chip at most, and their rows."""
    if limits is not None:
        sources = limited(sources, fluxmin=limits.fluxmin, fluxmax=limits.fluxmax,
                          fluxunits=limits.fluxunits, exptime=detection.metadata.exptime)
    nbright = limits.nbright if limits else None
    if nbright is None and nsources is None:
        return sources, sources.ident - 1
    parts = []
    for chip in detection.chips:
        best = best_of_chip(sources[sources.chip == chip.extver], nsources, chip.shape,
                            name=detection.name, chip=chip.extver)
        parts.append(measure.brightest(best, nbright))
    rows = np.concatenate([part.ident for part in parts]) - 1
    return SourceCatalog.concat(parts), rows
