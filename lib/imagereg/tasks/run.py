"""The task tweakreg: align images with each other, and write what was found."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from astropy.wcs import WCS

from imagereg.alignment.exposure import Alignment, Chip, Exposure, Metadata, Rules
from imagereg.alignment.sequence import align
from imagereg.catalogs.reference import Reference
from imagereg.catalogs.sources import SourceCatalog
from imagereg.errors import InputError
from imagereg.files.atomic import Claim
from imagereg.files.inputs import expand_input, mef_inputs
from imagereg.parameters.spec import ParameterSet
from imagereg.report.summary import Result
from imagereg.tasks.exposures import measure_images, measure_reference
from imagereg.tasks.outputs import Output, changes_images, check_outputs, without_outputs
from imagereg.tasks.updatewcs import recompute
from imagereg.version import __version__
from imagereg.wcs.plane import TangentPlane

_RULES = ("tolerance", "separation", "use2dhist", "fitgeometry", "nclip", "sigma", "minobj",
          "maxchance", "matching", "expand_refcat", "enforce_user_order", "magclip", "loss",
          "onlybetter", "group")

log = logging.getLogger(__name__)


def align_images(given: str | Sequence[str], task: ParameterSet, finding: ParameterSet,
                 ref_finding: ParameterSet, *, dry_run: bool = False) -> Result:
    """Align images with the first of them, with a reference image or with a catalog.

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
    if dry_run:
        task = without_outputs(task)
    inputs = expand_input(given)
    with _claimed(inputs, task, dry_run) as claim, _scratch(task, dry_run) as folder:
        images = mef_inputs(inputs, dry_run=dry_run)
        claim.take(image.path for image in images if changes_images(task) and not dry_run)
        check_outputs(images, task, dry_run=dry_run)
        with _logged(task):
            _log_parameters(images, task, finding)
            if task.updatewcs:
                images, task, remarks, differences = _recomputed(images, task, claim, folder)
            else:
                remarks, differences = {}, []
            exposures = measure_images(task, finding, images)
            _check_companions(exposures, task)
            plane, reference = measure_reference(task, ref_finding, exposures, images=images,
                                                 dry_run=dry_run)
            output = Output(task, claim=claim, dry_run=dry_run)
            alignments, reference = align(exposures, plane, rules_of(task, plane),
                                          reference=reference,
                                          review=output.review if task.interactive else None)
            alignments = [_remarked(alignment, remarks) for alignment in alignments]
            epoch = alignments[0].exposure.metadata.epoch
            result = Result(tuple(alignments), plane, reference.at(epoch))
            output.write(alignments, plane, reference, summary=result.table())
            result = dataclasses.replace(result, written=tuple(output.written))
            if dry_run:
                differences += output.differences
                result = dataclasses.replace(result, differences=tuple(differences))
            log.info("\n%s", result)
    return result


def _claimed(inputs, task, dry_run):
    """Keep other runs from the files that this one is going to change."""
    changing = changes_images(task) and not dry_run
    return Claim(file.path for file in inputs if changing)


def _scratch(task, dry_run):
    """Open a folder for what updatewcs makes in a dry run, else None."""
    if dry_run and task.updatewcs:
        return tempfile.TemporaryDirectory(prefix="imagereg-")
    return contextlib.nullcontext()


def _log_parameters(images, task, finding):
    now = datetime.datetime.now().isoformat(" ", "seconds")
    log.info("tweakreg %s, %s", __version__, now)
    log.info("%s\n%s\ninput: %s", task, finding, ", ".join(image.path for image in images))


def _recomputed(images, task, claim, folder):
    """Make the WCS of images anew, in a dry run that of copies in a folder.

    Returns
    -------
    images, task
        Those to go on with.
    remarks : dict of str to str
        By path, what is to be said of an image.
    differences : list of str
        Of a dry run, what differs.
    """
    warned, differences = recompute([image.path for image in images], claim=claim, folder=folder)
    if not folder:
        return list(images), task, warned, []
    copies = {os.path.realpath(image.path): os.path.join(folder, os.path.basename(image.path))
              for image in images}
    remarks = {copies[os.path.realpath(path)]: remark for path, remark in warned.items()}
    moved = [dataclasses.replace(image, path=copies[os.path.realpath(image.path)])
             for image in images]
    refimage = copies.get(os.path.realpath(task.refimage), task.refimage)
    return moved, task.replace(refimage=refimage), remarks, differences


def _check_companions(exposures, task):
    """Raise InputError where a single image has nothing to be aligned with."""
    if len(exposures) < 2 and not (task.refimage or task.refcat):
        only = exposures[0]
        raise InputError(only.problem or f"{only.name} is the only image: there is nothing to "
                                         "align it with")


def rules_of(task: ParameterSet, plane: TangentPlane) -> Rules:
    """Return what the parameters of tweakreg say of matching and fitting."""
    scale = plane.pixel_scale if task.searchunits == "arcseconds" else 1.0
    same = {name: task[name] for name in _RULES}
    return Rules(searchrad=task.searchrad / scale, xoffset=task.xoffset or 0.0,
                 yoffset=task.yoffset or 0.0, **same)


def _remarked(alignment, remarks):
    """Return an alignment whose reason has what else is to be said of its image."""
    remark = remarks.get(alignment.exposure.path, "")
    reason = "; ".join(filter(None, (alignment.reason, remark)))
    return dataclasses.replace(alignment, reason=reason)


def align_catalogs(image: SourceCatalog, reference: SourceCatalog, *, wcs: WCS | None = None,
                   **parameters: Any) -> Alignment:
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
        reference = reference.replace(sky=plane.plane_to_sky(reference.xy),
                                      sky_error=reference.xy_error)
    else:
        shape = wcs.pixel_shape or np.ceil(image.xy.max(axis=0)).astype(int)
        chip = Chip(1, wcs, tuple(map(int, shape[::-1])))
        plane = TangentPlane.around([(wcs, chip.shape)])
        exposure = Exposure.measured("image", [chip], image)
    rules = rules_of(ParameterSet("tweakreg", parameters), plane)
    alignments, _ = align([exposure], plane, rules, reference=Reference("reference", reference))
    return alignments[0]


@contextlib.contextmanager
def _logged(task: ParameterSet) -> Iterator[None]:
    """Log into the run file, and, where verbose, to the standard output."""
    root = logging.getLogger("imagereg")
    handlers: list[logging.Handler] = []
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
