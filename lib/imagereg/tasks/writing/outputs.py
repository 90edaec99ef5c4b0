"""What a run of tweakreg writes: lists, plots, shiftfile, headerlets, headers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING

import numpy as np

from imagereg.catalogs import Reference, sky_table_text
from imagereg.errors import InputError
from imagereg.files import (
    Claim,
    InputFile,
    Solutions,
    atomic,
    root_name,
    solution,
    write_bytes,
    write_text,
)
from imagereg.files import text as formats
from imagereg.files.images import fits, rewrite
from imagereg.parameters import ParameterSet
from imagereg.report import Result, plots
from imagereg.tasks.feedback.progress import progress
from imagereg.tasks.parallel import mapped, write_each
from imagereg.tasks.solutions import headerlets
from imagereg.tasks.writing import footprint
from imagereg.tasks.writing.drafts import Drafts
from imagereg.wcs import Solution, Status, TangentPlane

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from imagereg.alignment import Alignment, Exposure

# What fonts, settings and missing libraries make matplotlib raise.
_OF_MATPLOTLIB = (RuntimeError, ImportError, OSError, ValueError, TypeError, KeyError)

log = logging.getLogger(__name__)


def changes_images(task: ParameterSet) -> bool:
    """Whether a run changes its input images."""
    return task.updatehdr or task.updatewcs or (task.headerlet and task.attach)


def without_outputs(task: ParameterSet) -> ParameterSet:
    """Return the parameters of a dry run, which writes no files of its own."""
    return task.replace(writecat=False, shiftfile=False, see2dplot=False, residplot="No plot",
                        runfile="", report=False)


def check_outputs(images: Sequence[InputFile], task: ParameterSet, *findings: ParameterSet,
                  dry_run: bool, parameter_files: Sequence[str] = ()) -> None:
    """Raise InputError for what could not or must not be written, before any work is done.

    A chip catalog that is also one of the user's stays as it is, see `Output`.
    """
    kept = footprint.user_files(images, task)
    may_be_kept = (footprint.CHIP_CATALOG, footprint.CATALOG_LIST)
    written = [(name, what)
               for name, what in footprint.files_written(images, task, dry_run=dry_run)
               if what not in may_be_kept or footprint.file_identity(name) not in kept]
    read = footprint.files_read(images, task, *findings)
    read += [(name, "the parameters") for name in parameter_files if os.path.isfile(name)]
    footprint.check_apart(read, written)
    for name in _new_files(task, dry_run):
        atomic.check_writable(name)
    paths = [image.path for image in images]
    if task.headerlet:
        headerlets.check(paths, task)
    for path in paths if task.updatehdr or task.updatewcs else ():
        rewrite.check_updatable(path)
    for path in paths if task.updatewcs else ():
        rewrite.check_recomputable(path)
    for image in images if task.updatehdr and not task.reusename else ():
        rewrite.check_wcsname(image.path, image.wcs_names, task.wcsname)


def _new_files(task, dry_run):
    """Return names of the files that a run makes; one stands for all in the working directory."""
    names = [name for name, _ in footprint.files_of_run(task, dry_run=dry_run)]
    if footprint.writes_catalogs(task) or task.see2dplot or task.residplot != "No plot":
        names.append("tweakreg")
    return names


class Output:
    """Everything that a run writes, in order.

    Parameters
    ----------
    task : ParameterSet
        Of tweakreg.
    claim : Claim, optional
        Of the run that holds the images.
    dry_run : bool
        Of the headers, only find out what would differ.
    page : callable, optional
        Returns the page of a result, where one is asked for.
    kept : set
        Identities of files of the user that are left as they are, see `footprint.user_files`.

    Attributes
    ----------
    remarks : dict of str to str
        By path, what else is to be said of an image.
    written : list of str
        Names of the files that were written or updated.
    differences : list of str
        What headers would get.
    drafts : Drafts
        New files of images, begun before they are aligned.
    """

    def __init__(self, task: ParameterSet, *, claim: Claim | None = None, dry_run: bool = False,
                 page: Callable[[Result], str] | None = None, kept: Set[object] = frozenset()):
        self.task = task
        self.page = page
        self.claim = claim
        self.dry_run = dry_run
        self.remarks: dict[str, str] = {}
        self.written: list[str] = []
        self.differences: list[str] = []
        self._kept = kept
        self.drafts = Drafts()

    def draft(self, exposures: Sequence[Exposure], plane: TangentPlane, reference: str) -> None:
        """Begin to write the new files of exposures that are still to be aligned, see `Drafts`."""
        task = self.task
        if self.dry_run or not task.updatehdr or task.interactive:
            return
        if task.headerlet and task.attach:  # how long it will be is not known
            return
        readable = [exposure for exposure in exposures if not exposure.problem]
        of_file = _grouped(readable, [exposure.path for exposure in readable])

        def plan_of(path):
            solved = [_expected(exposure, plane, task, reference) for exposure in of_file[path]]
            return self._header_plan(path, solved)

        self.drafts.begin(of_file, plan_of, task.num_cores)

    def redraw(self, alignment: Alignment) -> dict[str, np.ndarray]:
        """Draw the plots of an image as it stands for now.

        Returns
        -------
        dict of str to ndarray
            Names of the files, each with the places of the matches, see `plots.match_places`.
        """
        before = self.written
        self.written = []
        self._plot([alignment])
        places = {name: np.empty((0, 3)) for name in self.written}
        self.written = before
        task = self.task
        for kind in ("residuals", "vector"):
            name = _plot_name(kind, alignment)
            if name in places:
                places[name] = plots.match_places(alignment, kind, labelsize=task.labelsize,
                                                  ylimit=task.ylimit)
        return places

    def write(self, alignments: Sequence[Alignment], plane: TangentPlane,
              reference: Reference) -> Result:
        """Write all that the parameters ask for, and return the result of the run."""
        self.drafts.end()
        alignments = [self._remarked(alignment) for alignment in alignments]
        epoch = alignments[0].exposure.metadata.epoch
        result = Result(tuple(alignments), plane, reference.at(epoch))
        if footprint.writes_catalogs(self.task):
            for alignment in alignments:
                self._write_catalogs(alignment)
            self._write_catalog_list(alignments)
            if self.task.expand_refcat:
                self._write_reference(reference)
        self._plot(alignments)
        if not self.dry_run:
            rows = tuple(solution.SolvedExposure.from_alignment(alignment, reference.name)
                         for alignment in alignments)
            text = Solutions("", plane, rows).text(result.table())
            self._text(footprint.product(self.task, "solution.ecsv"), text)
        if self.task.report:
            self._write_page(result)
        if self.task.shiftfile:
            self._write_shifts(alignments, plane)
        if self.task.headerlet or self.task.updatehdr:
            self._write_solutions(alignments, reference.name)
        differences = self.differences if self.dry_run else []
        return dataclasses.replace(result, written=tuple(self.written),
                                   differences=tuple(differences))

    def _write_page(self, result):
        name = footprint.product(self.task, "report.html")
        try:
            text = self.page(result)
        except _OF_MATPLOTLIB as error:
            log.warning("%s can't be made: %s", name, atomic.reason(error))
        else:
            self._text(name, text)

    def _remarked(self, alignment):
        """Return an alignment whose reason has what else is to be said of its image."""
        remark = self.remarks.get(alignment.exposure.path, "")
        reason = "; ".join(filter(None, (alignment.reason, remark)))
        return dataclasses.replace(alignment, reason=reason)

    def _write_reference(self, reference):
        """Write the reference catalog that has grown."""
        final = reference.at(None)
        self._text(footprint.grown_reference(reference.name, ".coo"),
                   formats.grown_catalog_text(final, reference.name))
        self._text(footprint.grown_reference(reference.name, ".ecsv"),
                   sky_table_text(final, reference.name))

    def _write_shifts(self, alignments, plane):
        """Write the shiftfile, its reference WCS, and the database for IRAF."""
        task = self.task
        fitted = [alignment for alignment in alignments if alignment.changes]
        solution_file = footprint.product(task, "solution.ecsv")
        comments = [f"{a.name}: a fit of geometry {a.fit.geometry} is more than this line can "
                    f"hold, see {solution_file}"
                    for a in fitted if a.fit.geometry in ("xyscale", "general")]
        shifts = map(_shift, alignments)
        self._text(task.outshifts, formats.shiftfile_text(shifts, task.outwcs, comments))
        fits.write_reference_wcs(task.outwcs, plane)
        self.written.append(task.outwcs)
        records = [(root_name(a.name), a.fit) for a in fitted]
        text = formats.geomap_text(records, plane.shape, task.outwcs)
        self._text(footprint.product(task, "geomap.db"), text)

    def _text(self, name, text):
        write_text(name, text)
        self.written.append(name)

    def _write_catalog_list(self, alignments):
        """Write the list of all chip catalogs, which another run takes as its catfile."""
        name = footprint.catalog_list(root_name(alignments[0].exposure.path))
        if footprint.file_identity(name) in self._kept:
            log.info("%s is a list of the user: it is left as it is", name)
            return
        images: dict[str, list[str]] = {}
        for alignment in alignments:
            catalogs = images.setdefault(os.path.basename(alignment.exposure.path), [])
            root = root_name(alignment.name)
            chips = range(1, len(alignment.exposure.chips) + 1)
            catalogs += [footprint.chip_catalog(root, number) for number in chips]
        self._text(name, formats.catalog_list_text(images))

    def _write_catalogs(self, alignment):
        """Write the lists of sources and matches of an image."""
        sources = alignment.exposure.sources
        root = root_name(alignment.name)
        for number, chip in enumerate(alignment.exposure.chips, 1):
            name = footprint.chip_catalog(root, number)
            if footprint.file_identity(name) in self._kept:
                log.info("%s is a catalog of the catfile: it is left as it is", name)
                continue
            own = sources[sources.chip == chip.extver]
            self._text(name, formats.chip_catalog_text(own, alignment.name, shapes=True))
        text = formats.sky_catalog_text(sources, alignment.name)
        self._text(f"{root}_sky_catalog.coo", text)
        if np.isfinite(sources.sky).any():  # an image without a WCS has no place on the plane
            text = formats.plane_catalog_text(sources, alignment.plane, alignment.name)
            self._text(f"{root}_refxy_catalog.coo", text)
        if alignment.nmatches:
            self._text(f"{root}_xy_catalog.match", formats.match_text(alignment))
            self._text(f"{root}_catalog_fit.match", formats.fit_text(alignment))

    def _plot(self, alignments):
        """Draw the plots that are asked for and that there is something to draw in, each once."""
        missing = [alignment for alignment in alignments if self._plots_wanted(alignment)]
        if missing:
            with contextlib.suppress(*_OF_MATPLOTLIB):  # each plot says what is wrong
                plots.import_matplotlib()  # once for all processes
        drawn = mapped(self._drawn, missing, self.task.num_cores)
        for contents in progress(drawn, "drawing plots", len(missing)):
            for name, content in contents.items():
                write_bytes(name, content)
                self.written.append(name)

    def _plots_wanted(self, alignment):
        """Return the functions that draw the plots of an image, by the name of the file."""
        task = self.task
        size = {"labelsize": task.labelsize}
        wanted = {}
        if task.see2dplot and alignment.match and alignment.match.histogram is not None:
            wanted["hist2d"] = functools.partial(plots.histogram_png, **size)
        if alignment.nmatches and task.residplot in ("residuals", "both"):
            wanted["residuals"] = functools.partial(plots.residuals_png, ylimit=task.ylimit, **size)
        if alignment.nmatches and task.residplot in ("vector", "both"):
            wanted["vector"] = functools.partial(plots.vector_png, **size)
        named = {_plot_name(kind, alignment): draw for kind, draw in wanted.items()}
        return {name: draw for name, draw in named.items() if name not in self.written}

    def _drawn(self, alignment):
        """Return the plots of an image by the name of the file, those that can be drawn."""
        contents = {}
        for name, draw in self._plots_wanted(alignment).items():
            try:
                contents[name] = draw(alignment)
            except _OF_MATPLOTLIB as error:
                log.warning("%s can't be drawn: %s", name, atomic.reason(error))
        return contents

    def _write_solutions(self, alignments, reference):
        """Write headerlets and headers of all images but failed ones, several files at a time."""
        of_file = _grouped(alignments, [alignment.exposure.path for alignment in alignments])
        plan = functools.partial(self._planned, reference=reference)
        updates = mapped(plan, list(of_file.values()), self.task.num_cores)
        with contextlib.closing(updates):
            shown = progress(updates, "updating headers", len(of_file))
            written, error = write_each(shown, self._carry_out)
        updated = [name for update in written for name in update.files]
        if error:
            self._fail(error, updated)
        self.differences += [line for update in written for line in update.differences]
        if not self.dry_run:
            self.written += updated

    def _fail(self, error, updated):
        """Raise the error that stopped the writing; it says which files were updated before."""
        if not isinstance(error, InputError) or not updated:
            raise error
        clobber = "clobber=yes " if self.task.headerlet else ""
        raise InputError(f"{error}; updated before were {', '.join(updated)}: once that is set "
                         f"right, reusename=yes {clobber}completes the run") from error

    def _planned(self, alignments, reference):
        """Return what is to be written of one file, which may hold several exposures.

        A headerlet holds all chips of a file, so that none of its exposures may have failed.
        """
        task = self.task
        path = alignments[0].exposure.path
        solved = [(_new_wcss(a), a.solution(reference))
                  for a in alignments if a.status is not Status.FAILED]
        update = _Update(path)
        extension = None
        is_whole = len(solved) == len(alignments)
        if task.headerlet and is_whole and headerlets.can_have_headerlet(path):
            update.content, made = headerlets.make(path, solved, task)
            extension = made if task.attach else None
            name = headerlets.file_name(path, task.hdrfile)
            update.files.append(name)
            attached = ", and attached" if extension else ""
            update.said.append(f"headerlet {made.header['HDRNAME']} in {name}{attached}")
            update.differences.append(f"{name}: a new headerlet")
        if not task.updatehdr:
            solved = []
        if extension or solved:
            update.plan = self._header_plan(path, solved, extension)
            update.files.append(path)
            update.differences += update.plan.differences
        if solved:
            update.said.append(f"headers updated, WCSNAME {task.wcsname}")
        return update

    def _header_plan(self, path, solved, extension=None):
        """Return the plan that gives a file the new WCSs, and attaches a headerlet."""
        task = self.task
        change = rewrite.header_change(path, solved, wcsname=task.wcsname, reuse=task.reusename,
                                       extension=extension)
        return rewrite.Plan.of(path, change, dry_run=self.dry_run)

    def _carry_out(self, update):
        """Write what is to be written of a file."""
        if self.dry_run:
            return
        if update.content:
            write_bytes(update.files[0], update.content)
        if update.plan:
            update.plan.carry_out(claim=self.claim, draft=self.drafts.of(update.path))
        for line in update.said:
            log.info("%s: %s", update.path, line)


@dataclasses.dataclass
class _Update:
    """What is to be written of an image.

    Parameters
    ----------
    path : str
        The image.
    content : bytes
        Of the headerlet file; empty where there is none.
    plan : rewrite.Plan or None
        Of the new file of the image; None where it stays.
    files : list of str
        Names of what is written: the headerlet, the image.
    said : list of str
        What the log says of it then.
    differences : list of str
        See `rewrite`.
    """

    path: str
    content: bytes = b""
    plan: rewrite.Plan | None = None
    files: list[str] = dataclasses.field(default_factory=list)
    said: list[str] = dataclasses.field(default_factory=list)
    differences: list[str] = dataclasses.field(default_factory=list)


def _grouped(items, paths):
    """Return the items of each file, by its path, which stands beside each of them."""
    of_file: dict[str, list] = {}
    for item, path in zip(items, paths, strict=True):
        of_file.setdefault(path, []).append(item)
    return of_file


def _expected(exposure, plane, task, reference):
    """Return a WCS and a solution of an exposure that take as much room as those to come."""
    wcss = {chip.extver: chip.wcs for chip in exposure.chips}
    solution = Solution.mapping(np.eye(2), np.zeros(2), plane.centre, geometry=task.fitgeometry,
                                nmatches=len(exposure.sources), ra_rms=0.01, dec_rms=0.01,
                                chance=0.0, reference=reference)
    return wcss, solution


def _plot_name(kind, alignment):
    return f"{kind}_{root_name(alignment.name)}.png"


def _new_wcss(alignment: Alignment) -> dict[int, WCS | None]:
    """Return the new WCS of each chip by EXTVER, None where it stays."""
    old = alignment.exposure.chips
    new = old
    if alignment.changes or alignment.solved_chips is not None:
        new = alignment.corrected_chips()
    return {chip.extver: None if chip is before else chip.wcs
            for chip, before in zip(new, old, strict=True)}


def _shift(alignment):
    """Return the row of the shiftfile: what was measured, NaN for an image that failed."""
    if alignment.status is Status.UNCHANGED and alignment.fit is not None:
        alignment = dataclasses.replace(alignment, status=Status.ALIGNED)
    values = [*alignment.offset, alignment.rotation, alignment.scale, *alignment.rms]
    if alignment.status is Status.FAILED:
        values = [np.nan] * len(values)
    return formats.Shift(alignment.name, *map(float, values))
