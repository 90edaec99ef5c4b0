"""Find what the images are aligned with: a catalog, a survey, an image, or the first of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from imagereg.alignment import Exposure
from imagereg.catalogs import (
    Reference,
    SourceCatalog,
    limited,
    queries,
    read_table,
    reference_catalog,
)
from imagereg.errors import InputError, ParameterError
from imagereg.files import (
    InputFile,
    expand_input,
    mef_inputs,
    read_bytes,
    read_image,
    services,
    write_text,
)
from imagereg.files.images import fits
from imagereg.parameters import ParameterSet
from imagereg.tasks.exposures import (
    Limits,
    Measured,
    exclusions_of,
    given_psfs,
    measure_exposures,
)
from imagereg.tasks.writing import footprint
from imagereg.wcs import TangentPlane, border, pixel_to_sky

if TYPE_CHECKING:
    from astropy.wcs import WCS

# Degrees around the middle of all images: a query of Gaia that takes a service some minutes.
_WIDEST = 5.0


def measure_reference(task: ParameterSet, ref_finding: ParameterSet, exposures: Sequence[Exposure],
                      *, images: Sequence[InputFile], star_table: str = "",
                      dry_run: bool = False,
                      ) -> tuple[TangentPlane, Reference | None, Measured | None]:
    """Return the plane and what to align with: catalog, image, or None for the first exposure.

    An image that is the reference is returned as it was measured, too.

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
        return frame.plane, Reference(name, SourceCatalog.empty(), stars), None
    if not task.refimage:
        return TangentPlane.around(_usable(exposures[0]).outlines), None, None
    image, = mef_inputs(expand_input(task.refimage), dry_run=dry_run)
    limits = Limits(task.rminflux, task.rmaxflux, task.rfluxunits, task.refnbright)
    measured = measure_exposures([image], ref_finding, limits=limits,
                                 exclusions=exclusions_of(task), psfs=given_psfs(task))
    first = measured[0].exposure
    same = next((i.path for i in images if os.path.samefile(i.path, image.path)), "")
    plane = TangentPlane.around(_usable(first).outlines)
    name = os.path.basename(task.refimage)
    return plane, Reference(name, first.sources, image=os.path.basename(same)), measured[0]


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
