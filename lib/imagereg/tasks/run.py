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

from imagereg.alignment import Alignment, Chip, Exposure, Metadata, Rules, align
from imagereg.catalogs import Reference, SourceCatalog
from imagereg.errors import InputError, printable
from imagereg.files import Claim, InputFile, atomic, expand_input, mef_inputs
from imagereg.parameters import ParameterSet
from imagereg.report import Result
from imagereg.tasks import footprint
from imagereg.tasks.exposures import measure_images, measure_reference
from imagereg.tasks.outputs import Output, changes_images, check_outputs, without_outputs
from imagereg.tasks.updatewcs import recompute
from imagereg.version import __version__
from imagereg.wcs import TangentPlane

_RULES = ("tolerance", "separation", "use2dhist", "fitgeometry", "nclip", "sigma", "minobj",
          "maxchance", "matching", "expand_refcat", "enforce_user_order", "magclip", "loss",
          "onlybetter", "group")

_LAYOUT = "\n\t"  # control characters that a log may hold

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
    changing = changes_images(task) and not dry_run
    inputs = expand_input(given)
    with Claim(file.path for file in inputs if changing) as claim:
        images = mef_inputs(inputs, dry_run=dry_run)
        claim.take(image.path for image in images if changing)
        check_outputs(images, task, finding, ref_finding, dry_run=dry_run,
                      parameter_files=parameter_files)
        output = Output(task, claim=claim, dry_run=dry_run)
        with _logged(images, task, finding), _reserved(task, dry_run), \
                _new_wcs(images, task, output) as (images, task):
            exposures = measure_images(task, finding, images)
            _check_companions(exposures, task)
            plane, reference = measure_reference(task, ref_finding, exposures, images=images,
                                                 dry_run=dry_run)
            alignments, reference = align(exposures, plane, rules_of(task, plane),
                                          reference=reference,
                                          review=output.review if task.interactive else None)
            result = output.write(alignments, plane, reference)
            log.info("\n%s", result)
    return result


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
        remarks, output.differences = recompute(paths, claim=output.claim,
                                                folder=folder)
        copies = {os.path.realpath(path): os.path.join(folder, os.path.basename(path))
                  for path in paths}
        output.remarks = {copies[os.path.realpath(path)]: text for path, text in remarks.items()}
        images = [dataclasses.replace(image, path=copies[os.path.realpath(image.path)])
                  for image in images]
        refimage = copies.get(os.path.realpath(task.refimage), task.refimage)
        yield images, task.replace(refimage=refimage)


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
        nx, ny = wcs.pixel_shape or np.ceil(image.xy.max(axis=0))
        chip = Chip(1, wcs, (int(ny), int(nx)))
        plane = TangentPlane.around([(wcs, chip.shape)])
        exposure = Exposure.measured("image", [chip], image)
    rules = rules_of(ParameterSet("tweakreg", parameters), plane)
    alignments, _ = align([exposure], plane, rules, reference=Reference("reference", reference))
    return alignments[0]


@contextlib.contextmanager
def _logged(images: Sequence[InputFile], task: ParameterSet,
            finding: ParameterSet) -> Iterator[None]:
    """Log into the run file, and, where verbose, to the standard output; parameters first.

    A run file that can't be written changes nothing else; in the end a warning says why.
    """
    with contextlib.ExitStack() as stack:
        handlers = [_Log(sys.stdout)] if task.verbose else []
        run_log = None
        problem = ""
        if task.runfile:
            try:
                file = stack.enter_context(atomic.open_alone(task.runfile, "runfile"))
                run_log = _Log(file)
                handlers.append(run_log)
            except OSError as error:
                problem = atomic.reason(error)
        with _handled_by(handlers):
            now = datetime.datetime.now().isoformat(" ", "seconds")
            log.info("tweakreg %s, %s", __version__, now)
            log.info("%s\n%s\ninput: %s", task, finding,
                     ", ".join(image.path for image in images))
            yield
    if run_log:
        problem = run_log.problem
    if problem:
        log.warning("%s can't be written: %s", task.runfile, problem)


class _Log(logging.Handler):
    """A handler that stops at the first record that it can't write, and keeps the reason."""

    def __init__(self, stream):
        super().__init__()
        self.stream = stream
        self.problem = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless one before could not be written."""
        if self.problem:
            return
        try:
            self.stream.write(f"{printable(self.format(record), keep=_LAYOUT)}\n")
            self.stream.flush()
        except (OSError, UnicodeError) as error:
            self.problem = atomic.reason(error)


@contextlib.contextmanager
def _handled_by(handlers: Sequence[logging.Handler]) -> Iterator[None]:
    """Let handlers have what the package logs, and the error that ends it."""
    root = logging.getLogger("imagereg")
    level = root.level
    root.setLevel(min(level or logging.INFO, logging.INFO))
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    except Exception as error:
        if handlers:  # else the caller alone says it
            log.error("%s", error)
        raise
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
