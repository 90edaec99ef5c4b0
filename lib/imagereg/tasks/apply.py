"""Apply what was found before, from a solution file or a shiftfile, to the headers of images."""

from __future__ import annotations

import dataclasses
import logging
import os
from concurrent.futures import ThreadPoolExecutor

from imagereg.errors import InputError
from imagereg.files import disk, frames
from imagereg.files import fits as files
from imagereg.files import text as formats
from imagereg.files.atomic import WRITERS, Claim
from imagereg.files.inputs import expand_input
from imagereg.files.solution import Solutions, Solved
from imagereg.wcs.alternates import wcs_names
from imagereg.wcs.correction import corrected_wcs
from imagereg.wcs.distortion import linear_wcs

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Applied:
    """What became of an image.

    Parameters
    ----------
    file, source : str
        Its name, and the exposure whose solution it has now.
    wcsname : str
        Name of its new WCS; '' where it was left as it is.
    reason : str
        Why it was left.
    differences : tuple of str
        What differs in its header.
    """

    file: str
    source: str
    wcsname: str = ""
    reason: str = ""
    differences: tuple = ()

    def __str__(self):
        """Return one line that says it."""
        if not self.wcsname:
            return f"{self.file}: not updated: {self.reason}"
        other = "" if self.source == self.file else f", with the solution of {self.source}"
        return f"{self.file}: updated, WCSNAME {self.wcsname}{other}"


@dataclasses.dataclass(frozen=True, eq=False)
class _Update:
    """What is to be written into one file: new WCS by EXTVER."""

    path: str
    row: Solved
    wcss: dict

    def write(self, wcsname, reusename, **options):
        """Update the header; returns what differs."""
        return files.update_header(self.path, self.wcss, self.row, wcsname=wcsname, reuse=reusename, **options)


def apply_solution(solution, given=(), *, wcsname="TWEAK", reusename=False, dry_run=False):
    """Put solutions into the headers of images, without looking at their pixels.

    Parameters
    ----------
    solution : str
        A solution file or a shiftfile.
    given : sequence of str
        Files, wildcards, lists and associations; or pairs ``FILES:SOURCE``, where the source is the exposure or mosaic
        whose solution is to be applied whatever the file's name and WCS. Where nothing is given, the files that
        the solution names, beside it or in the working directory.
    wcsname : str
        Name of the new WCS.
    reusename : bool
        Replace a WCS that has this name.
    dry_run : bool
        Write nothing, and tell what would differ.

    Returns
    -------
    list of Applied
        One for each exposure.

    Raises
    ------
    InputError
        A file can't be read or updated, has no solution, or has it already; nothing has been written then.
    DegenerateFit
        The WCS of a file can't follow its solution; nothing has been written then.
    """
    solutions = read_solutions(solution)
    targets = _targets(given, solutions)
    with Claim(() if dry_run else targets) as claim:
        report = []
        for path, source in targets.items():
            for row, chips in _rows(path, source, solutions):
                if row.is_applied:
                    report.append(_Update(path, row, {chip.extver: _new_wcs(chip, row, solutions) for chip in chips}))
                else:
                    reason = row.reason or f"it was {row.status}"
                    report.append(Applied(os.path.basename(path), row.path, reason=reason))
        written = _written([step for step in report if isinstance(step, _Update)], wcsname, reusename=reusename,
                           claim=claim, dry_run=dry_run)
        return [written.get(step, step) for step in report]


def _new_wcs(chip, row, solutions):
    return None if row.stays else corrected_wcs(chip.wcs, chip.shape, solutions.plane, row)


def _written(updates, wcsname, *, reusename, **options):
    """Write updates, several files at a time; returns an Applied by update. Nothing is written if one file can't be."""
    by_path = {}
    for update in updates:
        by_path.setdefault(update.path, []).append(update)
    for path in by_path:
        files.check_updatable(path)
        if not reusename:
            files.check_wcsname(path, wcsname)

    def write(own):
        return {update: Applied(os.path.basename(update.path), update.row.path, wcsname,
                                differences=tuple(update.write(wcsname, reusename, **options))) for update in own}

    with ThreadPoolExecutor(WRITERS) as pool:
        return {update: applied for own in pool.map(write, by_path.values()) for update, applied in own.items()}


def read_solutions(path):
    """Read a solution file, or a shiftfile with its reference WCS.

    Returns
    -------
    solutions.Solutions

    Raises
    ------
    InputError
        It can't be read, or is neither.
    """
    text = disk.read_text(path)
    if text.startswith("# %ECSV"):
        return Solutions.parse(text, path)
    shifts, outwcs = formats.parse_shiftfile(text, path)
    if not shifts:
        raise InputError(f"{path} is neither a solution file nor a shiftfile: it has no rows")
    if not outwcs:
        raise InputError(f"{path} does not say what its shifts refer to: expected a line '# refimage: NAME'")
    plane = frames.read_plane(_beside(path, outwcs, f"the reference WCS of {path}"))
    return Solutions(path, plane, tuple(Solved.from_shift(shift, plane) for shift in shifts))


def _beside(path, name, what):
    """Return where a file is: beside another one, or in the working directory."""
    for folder in (os.path.dirname(path), ""):
        if os.path.isfile(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise InputError(f"{name}, {what}, does not exist, neither beside it nor in the working directory")


def _targets(given, solutions):
    """Return the source that the user names, or '', by path of the files to update."""
    targets = {}
    for word in given:
        names, colon, source = word.rpartition(":")
        if os.path.exists(word) or not colon:
            names, source = word, ""
        for file in expand_input(names):
            targets[file.path] = source or targets.get(file.path, "")
    if not given:
        own = dict.fromkeys(row.path for row in solutions.rows)
        targets = dict.fromkeys((_beside(solutions.where, name, f"named in {solutions.where}") for name in own), "")
    return targets


def _rows(path, source, solutions):
    """Return the solutions for a file, each with the chips that it is for; InputError for one that is there already."""
    whole = frames.read_frame(path, solutions.plane)
    found = []
    for row in solutions.source(source) if source else solutions.rows_for(whole[0]):
        several = row.extver is not None and row.path == whole[0].path
        frame, chips, header = frames.read_frame(path, solutions.plane, row.extver) if several else whole
        if row.is_applied:
            _check_new(row, frame, header, solutions.plane)
        if not source:
            solutions.check(row, frame)
        found.append((row, chips))
    return found


def _check_new(row, frame, header, plane):
    """Raise InputError where the WCS is what this very solution has made of the one before."""
    shape, names = (header.get("NAXIS2", 2), header.get("NAXIS1", 2)), wcs_names(header)
    places = {key: plane.sky_to_plane(linear_wcs(header, key).wcs_pix2world([[1, 1], shape[::-1]], 1))
              for key in {" ": "", **names}}
    archived = any(row.leads(place, places[" "]) for key, place in places.items() if key != " ")
    if archived or (row.path == frame.path and row.leads(row.corners, frame.corners)):
        raise InputError(f"{frame.file} has the solution of {row.file} already, as WCS {frame.wcsname!r}")
