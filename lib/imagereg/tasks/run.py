"""The task tweakreg: align images with each other, and write what was found."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import logging
import os
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imagereg import alignment
from imagereg.catalogs import Reference, SourceCatalog
from imagereg.errors import InputError
from imagereg.files import Claim, atomic, expand_input, inputs, mef_inputs, psf
from imagereg.files.images import fits, instruments, rewrite
from imagereg.parameters import ParameterSet
from imagereg.report import Result
from imagereg.tasks.feedback.review import Review
from imagereg.tasks.feedback.runlog import logged
from imagereg.tasks.parallel import mapped
from imagereg.tasks.writing import footprint
from imagereg.tasks.writing.outputs import Output, changes_images, check_outputs, without_outputs
from imagereg.wcs import Status, TangentPlane, headerlet

if TYPE_CHECKING:
    from astropy.wcs import WCS

_RULES = ("tolerance", "separation", "use2dhist", "fitgeometry", "nclip", "sigma", "minobj",
          "maxchance", "matching", "expand_refcat", "enforce_user_order", "magclip", "loss",
          "onlybetter", "group", "solution")

# What is not needed until the sources of all images have been found.
_LOADED_LATER = ("imagereg.alignment.sequence", "imagereg.detection.psf.epsf_fit",
                 "imagereg.detection.psf.epsf_measure", "imagereg.tasks.dithers",
                 "imagereg.tasks.reference")

log = logging.getLogger(__name__)


def align_images(given: str | Sequence[str], task: ParameterSet, finding: ParameterSet,
                 ref_finding: ParameterSet, *, dry_run: bool = False,
                 parameter_files: Sequence[str] = ()) -> Result:
    """Align images with the first of them, with a reference image or with a catalog.

    Parameters
    ----------
    given : str or list of str
        Names, wildcards, @lists; several with commas between.
    task, finding, ref_finding : ParameterSet
        Of tweakreg, imagefindpars and refimagefindpars.
    dry_run : bool
        Write nothing at all; the result's `differences` say what headers would get.
    parameter_files : sequence of str
        Files that parameters are from: they are not written either.

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
    task = task.replace(refimage=inputs.without_extension(task.refimage))
    changing = changes_images(task) and not dry_run
    files = expand_input(given)
    with Claim(file.path for file in files if changing) as claim:
        images = mef_inputs(files, dry_run=dry_run)
        claim.take(image.path for image in images if changing)
        check_outputs(images, task, finding, ref_finding, dry_run=dry_run,
                      parameter_files=parameter_files)
        sets = [task, finding, ref_finding]
        page = functools.partial(_page, given=given, sets=sets)
        output = Output(task, claim=claim, dry_run=dry_run, page=page,
                        kept=footprint.user_files(images, task))
        with logged(given, sets) as last_words, _reserved(task, dry_run), output.drafts, \
                _new_wcs(images, task, output) as (images, task):
            log.info("images   %s", ", ".join(image.path for image in images))
            # Only now, since this takes longer than all that was done: the user sees the start.
            from imagereg.tasks.exposures import measure_images

            measured = measure_images(task, finding, images, load_what_follows)
            from imagereg.tasks.reference import measure_reference

            exposures = [each.exposure for each in measured]
            _check_companions(exposures, task, output)
            star_table = "" if dry_run else footprint.star_table(task)
            plane, reference, refimage = measure_reference(
                task, ref_finding, exposures, images=images, star_table=star_table,
                dry_run=dry_run)
            output.draft(exposures, plane, reference.name if reference else exposures[0].name)
            review = Review(output.redraw) if task.interactive else None
            measured, alignments, reference = _aligned(
                measured, task, plane, reference=reference, refimage=refimage, review=review,
                meanwhile=headerlet.load_stwcs if task.headerlet else None)
            if footprint.writes_psf(task) and not dry_run:
                _write_psfs(task.psf, measured)
            result = output.write(alignments, plane, reference)
            log.info("\n%s", result)
            if task.clean and not changing:
                _remove_converted(images)
            last_words.append(result.verdict)
    return result


def load_what_follows() -> None:
    """Import what aligns images.

    Finding their sources takes as long: where other processes do that, this costs little time.
    """
    for name in _LOADED_LATER:
        importlib.import_module(name)


def _page(result, given, sets):
    """Return the page of a result."""
    from imagereg.tasks.feedback.page import page_text

    return page_text(result, given, sets)


def _aligned(measured, task, plane, *, reference, refimage, review, meanwhile):
    """Align exposures, and measure those that share a PSF again once it is known where they are.

    The reference image, if there is one, is measured again with them. `meanwhile` is what this
    process does while others measure, see `parallel.mapped`. Returns what was measured, the
    alignments, and the reference as it was extended.
    """
    from imagereg.tasks.dithers import remeasured, share_psf

    rules = rules_of(task, plane)
    in_parallel = functools.partial(mapped, num_cores=task.num_cores)
    exposures = [each.exposure for each in measured]
    images = measured if refimage is None else [*measured, refimage]
    if share_psf(images):
        in_turn = dataclasses.replace(rules, solution="sequential")
        first, _ = alignment.align(exposures, plane, in_turn, reference=reference,
                                   mapped=in_parallel)
        if refimage is not None:
            first.append(alignment.Alignment(refimage.exposure, Status.REFERENCE, "", plane))
        images = remeasured(images, first, task.num_cores, meanwhile)
        measured = images[:len(measured)]
        exposures = [each.exposure for each in measured]
        if refimage is not None:
            reference = dataclasses.replace(reference, sources=images[-1].exposure.sources)
    alignments, reference = alignment.align(exposures, plane, rules, reference=reference,
                                            review=review, mapped=in_parallel)
    return measured, alignments, reference


def _write_psfs(path, measured):
    """Write the PSFs that were measured, one for each camera and filter."""
    by_optics = {}
    for each in measured:
        if each.psf is not None:
            by_optics[each.exposure.metadata.optics] = each.psf
    if by_optics:
        psf.write_psfs(path, by_optics)
    else:
        log.warning("%s is not written: no point-spread function was measured", path)


def _remove_converted(images):
    """Remove the files that the run converted images of old formats to; nothing is new in them."""
    for name in (name for image in images for name in image.made):
        try:
            os.remove(name)
        except OSError as error:
            log.warning("%s can't be removed: %s", name, atomic.reason(error))


def _reserved(task, dry_run):
    """Keep the solution file, by which all that belongs to a run is named, from other runs."""
    if dry_run:
        return contextlib.nullcontext()
    return atomic.reserved(footprint.product(task, "solution.ecsv"), "runfile")


@contextlib.contextmanager
def _new_wcs(images, task, output):
    """Yield images and task once updatewcs is done, if it is asked for; in a dry run on copies."""
    if not task.updatewcs:
        yield images, task
        return
    paths = [image.path for image in images]
    if not output.dry_run:
        output.remarks, _ = recompute(paths, claim=output.claim)
        yield images, task
        return
    with tempfile.TemporaryDirectory(prefix="imagereg-") as folder:
        remarks, output.differences = recompute(paths, claim=output.claim, folder=folder)
        copies = {os.path.realpath(path): os.path.join(folder, os.path.basename(path))
                  for path in paths}
        output.remarks = {copies[os.path.realpath(path)]: text for path, text in remarks.items()}
        images = [dataclasses.replace(image, path=copies[os.path.realpath(image.path)])
                  for image in images]
        refimage = copies.get(os.path.realpath(task.refimage), task.refimage)
        yield images, task.replace(refimage=refimage)


def recompute(
    paths: Sequence[str], *, claim: Claim | None = None, folder: str | None = None
) -> tuple[dict[str, str], list[str]]:
    """Run stwcs.updatewcs on files, which are replaced only once it has worked for all of them.

    Parameters
    ----------
    paths : sequence of str
        The files.
    claim : Claim, optional
        Of the run that holds them.
    folder : str, optional
        Where to write the new files instead.

    Returns
    -------
    warnings : dict of str to str
        By path, what became of a fitted WCS that was there; empty where there was none.
    differences : list of str
        See `rewrite`.

    Raises
    ------
    InputError
        It does not work for one of the files; all are then as they were.
    """
    from imagereg.wcs import updatewcs

    made: dict[str, tuple[list, str]] = {}

    def change(path, hdus, headers):
        if path not in made:
            made[path] = updatewcs.recomputed(hdus, headers, fits.science(hdus, path), path)
        return made[path][0]

    differences = []
    for path in paths:
        differences += rewrite.rewrite(path, functools.partial(change, path), dry_run=True)
    warnings = {path: warning for path, (_, warning) in made.items()}
    for path, warning in warnings.items():
        target = os.path.join(folder, os.path.basename(path)) if folder else None
        rewrite.rewrite(path, functools.partial(change, path), claim=claim, target=target)
        log.info("%s: WCS recomputed by stwcs.updatewcs", path)
        flags = instruments.quality_file(path)
        if folder and flags:  # which is looked for beside the image
            os.symlink(os.path.abspath(flags), os.path.join(folder, os.path.basename(flags)))
        if warning:
            log.warning("%s: %s", path, warning)
    return warnings, differences


def _check_companions(exposures, task, output):
    """Raise InputError where a single image has nothing to be aligned with.

    Its catalogs are written all the same, if that is all that the run can be for.
    """
    if len(exposures) > 1 or task.refimage or task.refcat:
        return
    only = exposures[0]
    reason = "is the only image: there is nothing to align it with"
    if only.problem or task.updatehdr or task.headerlet or not footprint.writes_catalogs(task):
        raise InputError(only.problem or f"{only.name} {reason}")
    log.warning("%s %s", only.name, reason)
    output.remarks[only.path] = f"it {reason}"


def rules_of(task: ParameterSet, plane: TangentPlane) -> alignment.Rules:
    """Return what the parameters of tweakreg say of matching and fitting."""
    scale = plane.pixel_scale if task.searchunits == "arcseconds" else 1.0
    same = {name: task[name] for name in _RULES}
    same["minobj"] = max(task.minobj, 0)  # -1: no minimum, as in drizzlepac
    return alignment.Rules(searchrad=task.searchrad / scale, xoffset=task.xoffset or 0.0,
                           yoffset=task.yoffset or 0.0, minobj_is_asked="minobj" in task.changed,
                           **same)


def align_catalogs(image: SourceCatalog, reference: SourceCatalog, *, wcs: WCS | None = None,
                   **parameters: Any) -> alignment.Alignment:
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
        metadata = alignment.Metadata()
        exposure = alignment.Exposure("image", "", metadata, (), image)
        reference = reference.replace(sky=plane.plane_to_sky(reference.xy),
                                      sky_error=reference.xy_error)
    else:
        nx, ny = wcs.pixel_shape or np.ceil(image.xy.max(axis=0))
        chip = alignment.Chip(1, wcs, (int(ny), int(nx)))
        plane = TangentPlane.around([(wcs, chip.shape)])
        exposure = alignment.Exposure.measured("image", [chip], image)
    rules = rules_of(ParameterSet("tweakreg", parameters), plane)
    alignments, _ = alignment.align([exposure], plane, rules,
                                    reference=Reference("reference", reference))
    return alignments[0]
