"""What a run of tweakreg writes: lists, plots, shiftfile, headerlets, headers."""

from __future__ import annotations

import logging
import os
import sys
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import numpy as np

from imagereg.alignment.sequence import Status
from imagereg.catalogs.surveys import sky_table_text
from imagereg.errors import InputError
from imagereg.files import disk, frames, headerlets
from imagereg.files import fits as files
from imagereg.files import text as formats
from imagereg.files.atomic import WRITERS
from imagereg.files.geomap import geomap_text
from imagereg.files.solution import Solutions, Solved
from imagereg.report import plots

log = logging.getLogger(__name__)


def product(task, ending):
    """Name of a file that belongs to a run: that of its log with another ending."""
    return f"{os.path.splitext(task.runfile)[0] or 'tweakreg'}_{ending}"


class Output:
    """Everything that a run writes, in order.

    Parameters
    ----------
    task : ParameterSet
        Of tweakreg.
    claim : atomic.Claim, optional
        Of the run that holds them.
    dry_run : bool
        Of the headers, only find out what would differ.
    """

    def __init__(self, task, *, claim=None, dry_run=False):
        self.task, self.claim, self.dry_run = task, claim, dry_run
        self.written, self.differences = [], []

    def review(self, alignment):
        """Draw the plots of an image, and ask at a terminal what to do with it."""
        self._plot(alignment)
        if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
            return "accept"
        x, y = alignment.rms
        question = (f"{alignment.name}: {alignment.nmatches} matches, rms {x:.3f} {y:.3f} pixel: "
                    "[a]ccept, [r]eject or [s]top? ")
        while True:
            answer = input(question).strip().lower() or "accept"
            for choice in ("accept", "reject", "stop"):
                if choice.startswith(answer):
                    return choice

    def write(self, alignments, plane, reference, *, summary):
        """Write lists, plots, solution file, shiftfile, headerlets and headers; `summary` is the table of results."""
        if self.task.writecat and not self.task.clean:
            for alignment in alignments:
                self._write_catalogs(alignment)
            if self.task.expand_refcat:
                root, final = f"cumulative_sky_refcat_{files.root_name(reference.name)}", reference.at(None)
                self._text(f"{root}.coo", formats.sky_catalog_text(final, reference.name))
                self._text(f"{root}.ecsv", sky_table_text(final, reference.name))
        for alignment in alignments:
            self._plot(alignment)
        if not self.dry_run:
            rows = tuple(Solved.from_alignment(a, frames.describe(a.exposure, plane), reference.name)
                         for a in alignments)
            self._text(product(self.task, "solution.ecsv"), Solutions("", plane, rows).text(summary))
        if self.task.shiftfile:
            self._write_shifts(alignments, plane)
        if self.task.headerlet or self.task.updatehdr:
            self._write_solutions(alignments, reference.name)

    def _write_shifts(self, alignments, plane):
        """Write the shiftfile, its reference WCS, and the database for IRAF."""
        task, fitted = self.task, [a for a in alignments if a.changes]
        comments = [f"{a.name}: a fit of geometry {a.fit.geometry} is more than this line can hold, see "
                    f"{product(task, 'solution.ecsv')}" for a in fitted if a.fit.geometry in ("xyscale", "general")]
        self._text(task.outshifts, formats.shiftfile_text(map(_shift, alignments), task.outwcs, comments))
        files.write_reference_wcs(task.outwcs, plane)
        self.written.append(task.outwcs)
        records = [(files.root_name(a.name), a.fit) for a in fitted]
        self._text(product(task, "geomap.db"), geomap_text(records, plane.shape, task.outwcs))

    def _text(self, name, text):
        disk.write_text(name, text)
        self.written.append(name)

    def _write_catalogs(self, alignment):
        sources, root = alignment.exposure.sources, files.root_name(alignment.name)
        for number, chip in enumerate(alignment.exposure.chips, 1):
            text = formats.chip_catalog_text(sources[sources.chip == chip.extver], alignment.name, shapes=True)
            self._text(f"{root}_sci{number}_xy_catalog.coo", text)
        self._text(f"{root}_sky_catalog.coo", formats.sky_catalog_text(sources, alignment.name))
        if alignment.nmatches:
            self._text(f"{root}_xy_catalog.match", formats.match_text(alignment))
            self._text(f"{root}_catalog_fit.match", formats.fit_text(alignment))

    def _plot(self, alignment):
        """Draw the plots that are asked for and that there is something to draw in, each once."""
        task, size = self.task, {"labelsize": self.task.labelsize}
        wanted = {}
        if task.see2dplot and alignment.match and alignment.match.histogram is not None:
            wanted["hist2d"] = lambda: plots.histogram_png(alignment, **size)
        if alignment.nmatches and task.residplot in ("residuals", "both"):
            wanted["residuals"] = lambda: plots.residuals_png(alignment, ylimit=task.ylimit, **size)
        if alignment.nmatches and task.residplot in ("vector", "both"):
            wanted["vector"] = lambda: plots.vector_png(alignment, **size)
        for kind, draw in wanted.items():
            name = f"{kind}_{files.root_name(alignment.name)}.png"
            if name not in self.written:
                disk.write_bytes(name, draw())
                self.written.append(name)

    def _write_solutions(self, alignments, reference):
        """Write headerlets and update headers, several files at a time; failed images get neither."""
        files_of, updated = {}, []
        for alignment in alignments:
            files_of.setdefault(alignment.exposure.path, []).append(alignment)
        with ThreadPoolExecutor(WRITERS) as pool:
            tasks = [pool.submit(self._write_solution, path, group, reference) for path, group in files_of.items()]
            wait(tasks, return_when=FIRST_EXCEPTION)
            pool.shutdown(cancel_futures=True)
        errors = [future.exception() for future in tasks if not future.cancelled() and future.exception()]
        for future in tasks:
            if not future.cancelled() and not future.exception():
                written, differences = future.result()
                updated += written
                self.differences += differences
        for error in errors[:1]:
            if not isinstance(error, InputError) or not updated:
                raise error
            raise InputError(f"{error}; updated before were {', '.join(updated)}: once that is set right, "
                             f"reusename=yes {'clobber=yes ' * self.task.headerlet}completes the run") from error
        if not self.dry_run:
            self.written += updated

    def _write_solution(self, path, alignments, reference):
        """Write what is known of one file, which may hold several exposures.

        A headerlet holds all chips of a file, so that none of its exposures may have failed.

        Returns
        -------
        written : list of str
            Names of files.
        differences : list of str
            See `files.rewrite`.
        """
        solved = [(_new_wcss(a), a.solution(reference)) for a in alignments if a.status is not Status.FAILED]
        how, written, differences = {"claim": self.claim, "dry_run": self.dry_run}, [], []
        if self.task.headerlet and len(solved) == len(alignments):
            differences += headerlets.write(path, solved, self.task, **how)
            written += [headerlets.file_name(path, self.task.hdrfile), *[path] * self.task.attach]
        if self.task.updatehdr and solved:
            for wcss, solution in solved:
                differences += files.update_header(path, wcss, solution, wcsname=self.task.wcsname,
                                                   reuse=self.task.reusename, **how)
            written.append(path)
            if not self.dry_run:
                log.info("%s: headers updated, WCSNAME %s", path, self.task.wcsname)
        return list(dict.fromkeys(written)), differences


def _new_wcss(alignment):
    """Return the new WCS of each chip by EXTVER, None where it stays."""
    if not alignment.changes:
        return {chip.extver: None for chip in alignment.exposure.chips}
    return {chip.extver: chip.wcs for chip in alignment.corrected_chips()}


def _shift(alignment):
    """Row of the shiftfile; NaN for an image that failed."""
    values = [*alignment.offset, alignment.rotation, alignment.scale, *alignment.rms]
    if alignment.status is Status.FAILED:
        values = [np.nan] * len(values)
    return formats.Shift(alignment.name, *map(float, values))
