"""The steps of a run that its parameters rule: measure the images, choose the reference, set the rules of the match."""

from __future__ import annotations

import dataclasses
import os

from imagereg.alignment.sequence import Rules
from imagereg.catalogs.readers import read_table
from imagereg.catalogs.reference import Reference
from imagereg.catalogs.sources import SourceCatalog
from imagereg.catalogs.surveys import reference_catalog
from imagereg.catalogs.user import limited
from imagereg.errors import InputError
from imagereg.files import disk
from imagereg.files.inputs import expand_input, mef_inputs
from imagereg.files.lists import Exclusions, UserCatalogs
from imagereg.tasks.exposures import Limits, measure_exposures
from imagereg.wcs.plane import TangentPlane


def measured(task, finding, images):
    """Return the exposures of images with their sources, found or from the user's catalogs."""
    columns = {name: task[name] for name in ("xcol", "ycol", "fluxcol", "xyunits", "fluxunits")}
    catalogs = UserCatalogs.load(task.catfile, **columns) if task.catfile else None
    limits = Limits(task.minflux, task.maxflux, task.fluxunits, task.nbright)
    return measure_exposures(images, finding, limits=limits, exclusions=_exclusions(task), catalogs=catalogs)


def _exclusions(task):
    return Exclusions.load(task.exclusions) if task.exclusions else None


def reference_of(task, ref_finding, exposures, *, images, dry_run=False):
    """Return the plane, and what to align with: the catalog, the image, or None for the first exposure."""
    frame, name = exposures[0], os.path.basename(task.refimage)
    if task.refimage:
        image, = mef_inputs(expand_input(task.refimage), dry_run=dry_run)
        limits = Limits() if task.refcat else Limits(task.rminflux, task.rmaxflux, task.rfluxunits, task.refnbright)
        frame = measure_exposures([image], ref_finding, limits=limits, exclusions=_exclusions(task))[0]
        same = next((i.path for i in images if os.path.samefile(i.path, image.path)), "")
    elif task.refcat:
        frame = next((exposure for exposure in exposures if not exposure.problem), frame)
    if frame.problem:
        raise InputError(frame.problem)
    plane = TangentPlane.around(frame.outlines)
    if not task.refcat:
        return plane, Reference(name, frame.sources, image=os.path.basename(same)) if task.refimage else None
    table = read_table(disk.read_bytes(task.refcat), task.refcat)
    columns = {name: task[name] for name in ("refxcol", "refycol", "refxyunits", "rfluxcol", "rfluxunits")}
    stars = reference_catalog(table, **columns)
    stars = limited(stars, fluxmin=task.rminflux, fluxmax=task.rmaxflux, fluxunits=task.rfluxunits,
                    nbright=task.refnbright)
    if task.refxyunits == "pixels":
        stars = dataclasses.replace(stars, sky=plane.plane_to_sky(stars.xy))
    return plane, Reference(os.path.basename(task.refcat), SourceCatalog.empty(), stars)


def rules_of(task, plane):
    """Return what the parameters of the task say of matching and fitting."""
    scale = plane.pixel_scale if task.searchunits == "arcseconds" else 1.0
    names = ("tolerance", "separation", "use2dhist", "fitgeometry", "nclip", "sigma", "minobj",
             "maxchance", "matching", "expand_refcat", "enforce_user_order", "magclip", "loss", "onlybetter", "group")
    same = {name: task[name] for name in names}
    return Rules(searchrad=task.searchrad / scale, xoffset=task.xoffset or 0.0, yoffset=task.yoffset or 0.0, **same)
