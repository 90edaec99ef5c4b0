"""Measure exposures: find the sources of every chip, and improve their positions with the PSF."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from astropy.wcs import WCS
from threadpoolctl import threadpool_limits

from imagereg.alignment import Chip, Exposure, Metadata
from imagereg.catalogs import (
    Reference,
    SourceCatalog,
    limited,
    queries,
    read_table,
    reference_catalog,
)
from imagereg.detection import (
    EffectivePSF,
    Finding,
    Stamps,
    best_of_chip,
    leave_out,
    measure,
    measure_chip,
    noise_from_inverse_variance,
    refine_positions,
)
from imagereg.detection.psf import epsf_measure
from imagereg.errors import InputError, ParameterError
from imagereg.files import (
    InputFile,
    expand_input,
    lists,
    mef_inputs,
    psf,
    read_bytes,
    read_image,
    services,
    write_text,
)
from imagereg.files.images import fits, instruments
from imagereg.parameters import ParameterSet, Spec
from imagereg.tasks import footprint
from imagereg.tasks.feedback.progress import progress
from imagereg.wcs import TangentPlane, border, pixel_to_sky

# Degrees around the middle of all images: a query of Gaia that takes a service some minutes.
_WIDEST = 5.0

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
class Detection:
    """What the finder made of an exposure.

    Parameters
    ----------
    name, path, metadata, chips, problem
        As those of an `Exposure`.
    sources : SourceCatalog
        Of all chips.
    stamps : Stamps or None
        Pixels around the sources; None where positions are not to be improved with the PSF.
    """

    name: str
    path: str
    metadata: Metadata = Metadata()
    chips: tuple[Chip, ...] = ()
    sources: SourceCatalog = dataclasses.field(default_factory=SourceCatalog.empty)
    stamps: Stamps | None = None
    problem: str = ""


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
        What was fitted to the stamps.
    is_given : bool
        Whether the PSF is that of a file.
    """

    exposure: Exposure
    stamps: Stamps | None = None
    psf: EffectivePSF | None = None
    is_given: bool = False


def measure_images(task: ParameterSet, finding: ParameterSet,
                   images: Sequence[InputFile]) -> list[Measured]:
    """Return the exposures of the images to align, with sources found or given by the user."""
    names = ("xcol", "ycol", "fluxcol", "xyunits", "fluxunits")
    columns = {name: task[name] for name in names}
    catalogs = _catalogs(images, task, **columns)
    limits = Limits(task.minflux, task.maxflux, task.fluxunits, task.nbright)
    exclusions = _exclusions(task)
    psfs = psf.read_psfs(task.psf) if task.psf and not footprint.writes_psf(task) else {}
    measured = measure_exposures(images, finding, limits=limits, exclusions=exclusions,
                                 catalogs=catalogs, psfs=psfs, needs_wcs=False)
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


def measure_reference(task: ParameterSet, ref_finding: ParameterSet, exposures: Sequence[Exposure],
                      *, images: Sequence[InputFile], star_table: str = "",
                      dry_run: bool = False) -> tuple[TangentPlane, Reference | None]:
    """Return the plane and what to align with: catalog, image, or None for the first exposure.

    Parameters
    ----------
    task, ref_finding : ParameterSet
        Of tweakreg and refimagefindpars.
    exposures : sequence of Exposure
        The images to align.
    images : sequence of InputFile
        Their files.
    star_table : str
        File to write the stars of a survey to; '' for none.
    dry_run : bool
        Write nothing, in the user's folder neither.

    Raises
    ------
    InputError
        The reference can't be read, or is a catalog of pixels without the image they belong to.
    """
    if task.refcat:
        frame = _frame_of_catalog(task, exposures, dry_run)
        survey = footprint.survey_of(task)
        if survey:
            field = _field(exposures, task, frame)
            stars = _read_survey(survey, task, field, star_table=star_table, keep=not dry_run)
        else:
            stars = _read_refcat(task, frame.wcs)
        name = survey or os.path.basename(task.refcat)
        return frame.plane, Reference(name, SourceCatalog.empty(), stars)
    if not task.refimage:
        return TangentPlane.around(_usable(exposures[0]).outlines), None
    image, = mef_inputs(expand_input(task.refimage), dry_run=dry_run)
    limits = Limits(task.rminflux, task.rmaxflux, task.rfluxunits, task.refnbright)
    measured = measure_exposures([image], ref_finding, limits=limits, exclusions=_exclusions(task))
    first = measured[0].exposure
    same = next((i.path for i in images if os.path.samefile(i.path, image.path)), "")
    plane = TangentPlane.around(_usable(first).outlines)
    name = os.path.basename(task.refimage)
    return plane, Reference(name, first.sources, image=os.path.basename(same))


def _usable(exposure):
    """Return an exposure; InputError with its problem where it has one, or no WCS."""
    if exposure.problem:
        raise InputError(exposure.problem)
    if exposure.lacks_wcs:
        raise InputError(f"{exposure.name} has no celestial WCS, which the reference needs")
    return exposure


@dataclasses.dataclass(frozen=True, eq=False)
class _Frame:
    """What a catalog refers to: the plane to align on, and the WCS of its pixels, if any."""

    plane: TangentPlane
    wcs: WCS | None = None


def _frame_of_catalog(task, exposures, dry_run):
    """Return the frame of a reference catalog: the reference image, or the first exposure."""
    if task.refimage:
        return _frame_of_image(task, dry_run)
    if task.refxyunits == "pixels":
        raise InputError(f"refxyunits = pixels: say by refimage which image the pixels of "
                         f"{task.refcat} are of, or give the WCS file that outwcs wrote")
    usable = [exposure for exposure in exposures if not exposure.problem]
    located = [exposure for exposure in usable if not exposure.lacks_wcs]
    if usable and not located:
        if footprint.survey_of(task):
            raise InputError(f"refcat = {task.refcat}: no image has a WCS, which tells what part "
                             "of the sky to ask for: give a catalog of the field as refcat")
        stars = _read_refcat(task, None)
        return _Frame(TangentPlane.around_stars(stars.sky, usable[0].chips[0].shape))
    first = located[0] if located else exposures[0]
    return _Frame(TangentPlane.around(_usable(first).outlines))


def _frame_of_image(task, dry_run):
    """Return the frame of a reference image, or of the WCS file of a shiftfile."""
    image, = mef_inputs(expand_input(task.refimage), dry_run=dry_run)
    try:
        with read_image(image.path) as file:
            chips = file.chips
    except InputError:
        plane = _plane_file(image.path)
        if plane is None:
            raise
        return _Frame(plane, plane.wcs)
    if task.refxyunits == "pixels" and len(chips) > 1:
        raise InputError(f"refxyunits = pixels: {task.refimage} has {len(chips)} chips, expected "
                         "an image of one, so that pixels have one meaning")
    return _Frame(TangentPlane.around([(chip.wcs, chip.shape) for chip in chips]), chips[0].wcs)


def _plane_file(path):
    """Return the plane of the WCS file of a shiftfile; None where a file is none."""
    try:
        return fits.read_reference_wcs(path)
    except InputError:
        return None


def _field(exposures, task, frame):
    """Return the circle around all images, and around them searchrad."""
    scale = 1.0 if task.searchunits == "arcseconds" else frame.plane.pixel_scale
    borders = [pixel_to_sky(wcs, border(shape))
               for exposure in exposures for wcs, shape in exposure.outlines]
    field = queries.Cone.around(np.concatenate(borders), task.searchrad * scale / 3600)
    if field.radius > _WIDEST:
        raise InputError(f"refcat = {task.refcat}: the images lie up to {2 * field.radius:.3g} "
                         f"degrees apart, expected at most {2 * _WIDEST:g}: align them field by "
                         "field")
    return field


def _read_survey(survey, task, field, *, star_table, keep):
    """Return the stars of a survey within the limits of flux and number; all go into a table."""
    if task.rfluxunits != "mag" or task.refxyunits != "degrees":
        raise ParameterError(f"refcat = {task.refcat} has degrees and magnitudes, expected "
                             "refxyunits = degrees and rfluxunits = mag")
    text = services.fetch_stars(survey, field, keep=keep)
    if star_table:
        write_text(star_table, text)
    return _limited_stars(read_table(text.encode(), survey), task, refxcol="1", refycol="2")


def _read_refcat(task, wcs):
    """Read the reference catalog, whose pixels are those of a WCS, and keep what limits leave."""
    table = read_table(read_bytes(task.refcat), task.refcat)
    stars = _limited_stars(table, task, refxcol=task.refxcol, refycol=task.refycol)
    if task.refxyunits == "pixels":
        stars = dataclasses.replace(stars, sky=pixel_to_sky(wcs, stars.xy))
    return stars


def _limited_stars(table, task, **columns):
    """Return the stars of a table within the limits of flux and number."""
    for name in ("refxyunits", "rfluxcol", "rfluxunits"):
        columns[name] = task[name]
    stars = reference_catalog(table, **columns)
    return limited(stars, fluxmin=task.rminflux, fluxmax=task.rmaxflux,
                   fluxunits=task.rfluxunits, nbright=task.refnbright, prefix="r")


def _catalogs(images, task, **columns):
    """Return the catalogs that an @list names beside the images, else those of the catfile."""
    named = {os.path.basename(image.path): image.catalogs for image in images if image.catalogs}
    if named:
        where = next(image.named_in[-1] for image in images if image.catalogs)
        return lists.UserCatalogs.named(named, where, **columns)
    return lists.UserCatalogs.load(task.catfile, **columns) if task.catfile else None


def _exclusions(task):
    return lists.Exclusions.load(task.exclusions) if task.exclusions else None


def measure_exposures(images: Sequence[InputFile], parameters: ParameterSet, *,
                      limits: Limits | None = None, exclusions: lists.Exclusions | None = None,
                      catalogs: lists.UserCatalogs | None = None,
                      psfs: Mapping[str, EffectivePSF] | None = None,
                      needs_wcs: bool = True) -> list[Measured]:
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
    # Each thread has its own work: threads of BLAS below them would only wait for each other.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda image: _detect(image, parameters, exclusions, catalogs,
                                               needs_wcs=needs_wcs), images)
        found = progress(found, "finding sources", len(images))
        detections = [detection for part in found for detection in part]
        given = psfs or {}
        stamps: dict[str, list[Stamps]] = {}
        for detection in detections:
            if detection.stamps is not None and detection.metadata.optics not in given:
                stamps.setdefault(detection.metadata.optics, []).append(detection.stamps)
        width = _defined(parameters, "conv_width")
        found = pool.map(lambda parts: epsf_measure.measure_psf(Stamps.concat(parts), width),
                         stamps.values())
        psf_of = {**given, **dict(zip(stamps, found, strict=True))}
        number = parameters.nsources if catalogs is None else None
        found = pool.map(lambda detection: _measured(detection, psf_of, limits, number),
                         detections)
        measured = list(progress(found, "measuring sources", len(detections)))
    return [dataclasses.replace(each, is_given=each.exposure.metadata.optics in given)
            for each in measured]


def _detect(image, parameters, exclusions, catalogs, *, needs_wcs):
    """Return a `Detection` for each exposure in a file; an InputError becomes a problem of one."""
    name = os.path.basename(image.path)
    finding = _finding(parameters)

    def sources_of(opened, chip, metadata):
        number = opened.chips.index(chip)
        pixels = opened.pixels(chip, parameters.dqbits)
        mask = exclusions.mask(name, number, pixels) if exclusions else None
        where = f"{name}[SCI,{chip.extver}]"
        if catalogs is not None:
            given = catalogs.read(name, number, chip.extver, metadata.exptime)
            return leave_out(given, mask, where), None
        return measure_chip(pixels.data, finding, bad=pixels.bad, gain=pixels.gain,
                            relative_noise=_relative_noise(image, chip), excluded=mask,
                            chip=chip.extver, where=where)

    try:
        detections = []
        with read_image(image.path, flags_path=instruments.quality_file(image.path),
                        needs_wcs=needs_wcs) as opened:
            for exposure, metadata, chips in opened.exposures():
                parts = [sources_of(opened, chip, metadata) for chip in chips]
                detection = Detection(exposure, image.path, metadata, chips)
                detections.append(_with_sources(detection, parts))
        return detections
    except InputError as error:
        log.error("%s", error)
        return [Detection(name, image.path, problem=str(error))]


def _with_sources(detection, parts):
    """Return a detection with the sources and stamps of its chips, one pair for each."""
    sources, stamps = zip(*parts, strict=True)
    stamps = [part for part in stamps if part is not None]
    return dataclasses.replace(detection, sources=SourceCatalog.concat(sources),
                               stamps=Stamps.concat(stamps) if stamps else None)


def _measured(detection, psf_of, limits, nsources):
    """Return the exposure with positions from the PSF, `nsources` that the limits leave a chip."""
    if detection.problem:
        return Measured(Exposure(detection.name, detection.path, detection.metadata, (),
                                 detection.sources, detection.problem))
    stamps = detection.stamps
    surface = None
    sources = detection.sources
    if stamps is not None:
        surface = psf_of[detection.metadata.optics]
        sources = refine_positions(sources, stamps, surface)
    sources, rows = _kept(sources, detection, limits, nsources)
    if stamps is not None:
        stamps = stamps.cropped(surface.half)[rows]
    exposure = Exposure.measured(detection.name, detection.chips, sources, path=detection.path,
                                 metadata=detection.metadata)
    return Measured(exposure, stamps, surface)


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


def _defined(parameters, name):
    """Value of a parameter, or its default where it is undefined."""
    value = parameters[name]
    return Spec.load(parameters.task)[name].default if value is None else value


def _finding(parameters):
    """Return how the parameters want sources to be found."""
    same = ("findmode", "sexconfig", "centroid", "nsources",
            "peakmin", "peakmax", "fluxmin", "fluxmax")  # fmt: skip
    values = {name: parameters[name] for name in same}
    for name in ("conv_width", "nsigma", "ratio", "theta", "threshold"):
        values[name] = _defined(parameters, name)
    for name in ("sharplo", "sharphi", "roundlo", "roundhi"):
        values[name] = parameters[name] if parameters.use_sharp_round else None
    skysigma = None if parameters.computesig else parameters.skysigma
    return Finding(skysigma=skysigma, **values)


def _relative_noise(image, chip):
    """Return the relative noise of pixels from the inverse-variance map of an image, if any."""
    if image.ivm is None:
        return None
    return noise_from_inverse_variance(fits.read_ivm(image.ivm, chip.extver, chip.shape))
