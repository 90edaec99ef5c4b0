"""Align images with each other and write what was found: the task tweakreg itself."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import os
import sys
import tempfile

import numpy as np

from imagereg.alignment.sequence import Chip, Exposure, Metadata, Status, align
from imagereg.catalogs.reference import Reference
from imagereg.catalogs.sources import SourceCatalog
from imagereg.errors import InputError
from imagereg.files import disk, headerlets
from imagereg.files import fits as files
from imagereg.files.atomic import Claim
from imagereg.files.inputs import expand_input, mef_inputs
from imagereg.parameters.spec import ParameterSet
from imagereg.tasks.outputs import Output, product
from imagereg.tasks.steps import measured, reference_of, rules_of
from imagereg.tasks.updatewcs import check_recomputable, recompute
from imagereg.version import __version__
from imagereg.wcs.plane import TangentPlane

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What a run of tweakreg found and wrote.

    Parameters
    ----------
    alignments : tuple of Alignment
        One for each image, in order.
    plane : TangentPlane
        On which they were aligned.
    reference : SourceCatalog
        What they were aligned with, as it was in the end.
    written : tuple of str
        Names of the files that were written or updated.
    differences : tuple of str
        Of a dry run, the headerlets and the keywords that the images would get.
    """

    alignments: tuple
    plane: TangentPlane
    reference: SourceCatalog
    written: tuple = ()
    differences: tuple = ()

    @property
    def ok(self):
        """Whether every image is aligned."""
        return all(a.status is not Status.FAILED for a in self.alignments)

    def table(self):
        """Return what became of each image.

        Returns
        -------
        astropy.table.Table
            file, status, reason; dx, dy (pixels of the plane), rot (degrees), scale as in a shiftfile and their
            errors; rms in x and y about zero in pixels and in mas, and about their means in mas; numbers of sources
            and of matches after rejection; the probability that unrelated sources match as well.
        """
        from astropy.table import Table

        rows = [(a.name, a.status.value, a.reason, *a.offset, a.rotation, a.scale, *a.errors, *a.rms,
                 *(1000 * self.plane.pixel_scale * np.append(a.rms, a.spread)), len(a.exposure.sources), a.nmatches,
                 a.chance_probability)
                for a in self.alignments]
        names = ("file", "status", "reason", "dx", "dy", "rot", "scale", "dx_error", "dy_error", "rot_error",
                 "scale_error", "xrms", "yrms", "xrms_mas", "yrms_mas", "xstd_mas", "ystd_mas", "nsources",
                 "nmatches", "chance")
        units = {"rot": "deg", "rot_error": "deg", **dict.fromkeys(names[13:17], "mas")}
        units.update(dict.fromkeys(("dx", "dy", "dx_error", "dy_error", "xrms", "yrms"), "pix"))
        table = Table(rows=rows, names=names, units=units)
        digits = {"rot": "8f", "rot_error": "8f", "scale": "8f", "scale_error": "8f", "chance": "2g"}
        for name in names[3:17] + ("chance",):
            table[name].info.format = f".{digits.get(name, '4f')}"
        return table

    def __str__(self):
        """Return the shift table, a line with the reason for every failure, and what a dry run has to say."""
        columns = ["file", "status", "dx", "dy", "rot", "scale", "xrms", "yrms", "nsources", "nmatches", "chance"]
        lines = self.table()[columns].pformat(max_lines=-1, max_width=-1, show_unit=True)
        return "\n".join([*lines, *(f"{a.name}: {a.reason}" for a in self.alignments if a.reason),
                          *self.differences])

    __repr__ = __str__


def align_images(given, task, finding, ref_finding, *, dry_run=False):
    """Align images with the first of them, with a reference image or with a catalog, and write the outcome.

    Parameters
    ----------
    given : str or list of str
        Names, wildcards, @lists; several with commas between.
    task, finding, ref_finding : ParameterSet
        Of tweakreg, imagefindpars and refimagefindpars.
    dry_run : bool
        Write nothing at all; the result's `differences` say what headers would get.

    Returns
    -------
    Result
        With the verdict on every image.

    Raises
    ------
    InputError
        A file is missing, or the reference or an output can't be used; no header has been changed.
    """
    images = mef_inputs(expand_input(given), dry_run=dry_run)
    paths = [image.path for image in images]
    if dry_run:
        task = task.replace(writecat=False, shiftfile=False, see2dplot=False, residplot="No plot", runfile="")
    changing = (task.updatehdr or task.updatewcs or (task.headerlet and task.attach)) and not dry_run
    with Claim(paths if changing else ()) as claim, _scratch(dry_run and task.updatewcs) as folder:
        _check_outputs(paths, task, dry_run)
        with _logged(task):
            log.info("tweakreg %s, %s", __version__, datetime.datetime.now().isoformat(" ", "seconds"))
            log.info("%s\n%s\ninput: %s", task, finding, ", ".join(paths))
            warned, differences = recompute(paths, claim=claim, folder=folder) if task.updatewcs else ({}, [])
            if folder:
                moved = {os.path.realpath(path): os.path.join(folder, os.path.basename(path)) for path in paths}
                images = [dataclasses.replace(image, path=moved[os.path.realpath(image.path)]) for image in images]
                task = task.replace(refimage=moved.get(os.path.realpath(task.refimage), task.refimage))
            output = Output(task, claim=claim, dry_run=dry_run)
            said = {image.path: warned.get(path, "") for image, path in zip(images, paths, strict=True)}
            result = _aligned(images, output, finding, ref_finding, said=said)
            if dry_run:
                result = dataclasses.replace(result, differences=(*differences, *output.differences))
            log.info("\n%s", result)
    return result


def _scratch(wanted):
    """Open a folder for files that are thrown away, or None."""
    return tempfile.TemporaryDirectory(prefix="imagereg-") if wanted else contextlib.nullcontext()


def _aligned(images, output, finding, ref_finding, *, said):
    """Find, match, fit, write; `said` has what is to be said of images, by path."""
    task = output.task
    exposures = measured(task, finding, images)
    if len(exposures) < 2 and not (task.refimage or task.refcat):
        alone = f"{exposures[0].name} is the only image: there is nothing to align it with"
        raise InputError(exposures[0].problem or alone)
    plane, reference = reference_of(task, ref_finding, exposures, images=images, dry_run=output.dry_run)
    alignments, reference = align(exposures, plane, rules_of(task, plane), reference=reference,
                                  review=output.review if task.interactive else None)
    alignments = [dataclasses.replace(a, reason="; ".join(filter(None, (a.reason, said[a.exposure.path]))))
                  for a in alignments]
    result = Result(tuple(alignments), plane, reference.at(alignments[0].exposure.metadata.epoch))
    output.write(alignments, plane, reference, summary=result.table())
    return dataclasses.replace(result, written=tuple(output.written))


def align_catalogs(image, reference, *, wcs=None, **parameters):
    """Align two catalogs, without images.

    Parameters
    ----------
    image : SourceCatalog
        With `xy`, pixels.
    reference : SourceCatalog
        With `sky` where a `wcs` is given, else with `xy` in pixels of the same scale.
    wcs : astropy.wcs.WCS, optional
        Of the image; its `pixel_shape` or the sources tell how large it is.
    **parameters
        Of tweakreg, those for matching and fitting.

    Returns
    -------
    Alignment
        With the offset, its `fit`, and for a `wcs` ``corrected_chips()``.
    """
    if wcs is None:
        plane = TangentPlane.flat()
        image = image.replace(sky=plane.plane_to_sky(image.xy), sky_error=image.xy_error)
        exposure = Exposure("image", "", Metadata(), (), image)
        reference = reference.replace(sky=plane.plane_to_sky(reference.xy), sky_error=reference.xy_error)
    else:
        shape = wcs.pixel_shape or np.ceil(image.xy.max(axis=0)).astype(int)
        chip = Chip(1, wcs, tuple(map(int, shape[::-1])))
        plane, exposure = TangentPlane.around([(wcs, chip.shape)]), Exposure.measured("image", [chip], image)
    rules = rules_of(ParameterSet("tweakreg", parameters), plane)
    return align([exposure], plane, rules, reference=Reference("reference", reference))[0][0]


def _check_outputs(paths, task, dry_run):
    """Raise InputError for what could not be written, before any work is done."""
    names = [] if dry_run else [*filter(None, [task.runfile]), product(task, "solution.ecsv")]
    names += [task.outshifts, task.outwcs, product(task, "geomap.db")] if task.shiftfile else []
    for name in names:
        disk.check_writable(name)
    if (task.writecat and not task.clean) or task.see2dplot or task.residplot != "No plot":
        disk.check_writable("tweakreg")
    if task.headerlet:
        headerlets.check(paths, task)
    for path in paths if task.updatehdr or task.updatewcs else ():
        files.check_updatable(path)
    for path in paths if task.updatewcs else ():
        check_recomputable(path)
    for path in paths if task.updatehdr and not task.reusename else ():
        files.check_wcsname(path, task.wcsname)


@contextlib.contextmanager
def _logged(task):
    """Log into the run file, and, where verbose, to the standard output."""
    root, handlers = logging.getLogger("imagereg"), []
    if task.runfile:
        handlers.append(logging.FileHandler(task.runfile, mode="w", encoding="utf-8"))
    if task.verbose:
        handlers.append(logging.StreamHandler(sys.stdout))
    level = root.level
    root.setLevel(min(level or logging.INFO, logging.INFO))
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    except Exception as error:
        log.error("%s", error)
        raise
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
