"""Apply the solutions of a solution file or a shiftfile to the headers of images."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.wcs import WCS

from imagereg.errors import DegenerateFit, InputError
from imagereg.files import (
    Claim,
    Solutions,
    expand_input,
    read_image,
    read_text,
    solution,
    text,
)
from imagereg.files.images import fits, instruments, rewrite
from imagereg.tasks.parallel import mapped, write_each
from imagereg.tasks.writing import footprint
from imagereg.wcs import alternates, corrected_wcs, correction, distortion, pixel_scale


@dataclasses.dataclass(frozen=True)
class AppliedSolution:
    """What became of an image.

    Parameters
    ----------
    file, source : str
        Its name, and the exposure whose solution it has now.
    wcsname : str
        Name of its WCS with the solution; '' where it was not given any.
    reason : str
        Why not.
    differences : tuple of str
        What differs in its header.
    done : bool
        Whether it had the solution already, and was left as it is.
    """

    file: str
    source: str
    wcsname: str = ""
    reason: str = ""
    differences: tuple[str, ...] = ()
    done: bool = False

    def __str__(self) -> str:
        """Return one line that says it."""
        if not self.wcsname:
            return f"{self.file}: not updated: {self.reason}"
        if self.done:
            return (f"{self.file}: has the solution of {self.source} already, as WCS "
                    f"{self.wcsname!r}")
        other = "" if self.source == self.file else f", with the solution of {self.source}"
        return f"{self.file}: updated, WCSNAME {self.wcsname}{other}"


@dataclasses.dataclass(frozen=True, eq=False)
class _Update:
    """A solution for one file, its new WCS by EXTVER, and the names of the WCSs that it has."""

    path: str
    row: solution.SolvedExposure
    wcss: dict[int, WCS | None]
    wcs_names: dict[int, list[str]]


def apply_solution(solution: str, given: Sequence[str] = (), *, wcsname: str, reusename: bool,
                   dry_run: bool = False) -> list[AppliedSolution]:
    """Put solutions into the headers of images, without looking at their pixels.

    Parameters
    ----------
    solution : str
        A solution file or a shiftfile.
    given : sequence of str
        Files, wildcards, lists and associations; or pairs ``FILES:SOURCE``, where the source is the
        exposure or mosaic whose solution is to be applied whatever the file's name and WCS. Where
        nothing is given, the files that the solution names, beside it or in the working directory.
    wcsname : str
        Name of the new WCS.
    reusename : bool
        Replace a WCS that has this name.
    dry_run : bool
        Write nothing, and tell what would differ.

    Returns
    -------
    list of AppliedSolution
        One for each exposure; one that has its solution already, as a run that was interrupted
        leaves it, counts as done.

    Raises
    ------
    InputError
        A file can't be read or updated, or has no solution; nothing has been written then.
    DegenerateFit
        The WCS of a file can't follow its solution; nothing has been written then.
    """
    solutions = read_solutions(solution)
    targets = _targets(given, solutions)
    read = [(solution, "the solution file")]
    if solutions.outwcs:
        read.append((solutions.outwcs, "the reference WCS"))
    footprint.check_apart(read, [(path, "the updated image") for path in targets])
    return update_files(solutions, targets, wcsname=wcsname, reusename=reusename, dry_run=dry_run)


def update_files(solutions: Solutions, targets: Mapping[str, str], *, wcsname: str,
                 reusename: bool, dry_run: bool = False) -> list[AppliedSolution]:
    """Put solutions into the headers of files.

    Parameters
    ----------
    solutions : Solutions
        Where they are from.
    targets : dict of str to str
        By path of each file the source whose solution it gets, '' for what its own name says.
    wcsname, reusename, dry_run
        As in `apply_solution`.
    """
    with Claim(() if dry_run else targets) as claim:
        report: list[_Update | AppliedSolution] = []
        for path, source in targets.items():
            report += _planned(path, source, solutions, wcsname)
        updates = [step for step in report if isinstance(step, _Update)]
        written = _written(updates, wcsname, reusename=reusename, claim=claim, dry_run=dry_run)
    return [written[step] if isinstance(step, _Update) else step for step in report]


def _written(updates, wcsname, *, reusename, claim, dry_run):
    """Write updates, several files at a time, or none if one can't be; what became of each."""
    by_path = {}
    for update in updates:
        by_path.setdefault(update.path, []).append(update)
    for path, own in by_path.items():
        rewrite.check_updatable(path)
        if not reusename:
            rewrite.check_wcsname(path, own[0].wcs_names, wcsname)

    def plan(own):
        solved = [(update.wcss, update.row) for update in own]
        path = own[0].path
        change = rewrite.header_change(path, solved, wcsname=wcsname, reuse=reusename)
        return rewrite.Plan.of(path, change, dry_run=dry_run)

    def carry_out(planned):
        if not dry_run:
            planned.carry_out(claim=claim)

    with contextlib.closing(mapped(plan, list(by_path.values()), None)) as plans:
        written, error = write_each(plans, carry_out)
    if error:
        raise error
    applied = {}
    for planned in written:
        differences = tuple(planned.differences)
        for update in by_path[planned.path]:
            applied[update] = AppliedSolution(os.path.basename(planned.path), update.row.filename,
                                              wcsname, differences=differences)
            differences = ()  # of the file, told once
    return applied


def read_solutions(path: str) -> Solutions:
    """Read a solution file, or a shiftfile with its reference WCS.

    Raises
    ------
    InputError
        It can't be read, or is neither.
    """
    content = read_text(path)
    if content.startswith("# %ECSV"):
        return Solutions.parse(content, path)
    shifts, outwcs = text.parse_shiftfile(content, path)
    if not shifts:
        raise InputError(f"{path} is neither a solution file nor a shiftfile: it has no rows")
    if not outwcs:
        raise InputError(f"{path} does not say what its shifts refer to: expected a line "
                         "'# refimage: NAME'")
    outwcs = beside(path, outwcs, f"the reference WCS of {path}")
    plane = fits.read_reference_wcs(outwcs)
    rows = tuple(solution.SolvedExposure.from_shift(shift, plane) for shift in shifts)
    return Solutions(path, plane, rows, outwcs)


def beside(path: str, name: str, what: str) -> str:
    """Return where a file is: beside another one, or in the working directory.

    Raises
    ------
    InputError
        It is in neither; `what` it is goes into the words.
    """
    for folder in (os.path.dirname(path), ""):
        if os.path.isfile(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise InputError(f"{name}, {what}, does not exist, neither beside it nor in the working "
                     "directory")


def _targets(given, solutions):
    """Return, by path of each file to update, the source that the user names for it, or ''."""
    targets = {}
    for word in given:
        names, colon, source = word.rpartition(":")
        if os.path.exists(word) or not colon:
            names, source = word, ""
        for file in expand_input(names):
            targets[file.path] = source or targets.get(file.path, "")
    if not given:
        what = f"named in {solutions.where}"
        for name in dict.fromkeys(row.filename for row in solutions.rows):
            targets[beside(solutions.where, name, what)] = ""
    return targets


def _planned(path, source, solutions, wcsname):
    """Return for each solution that holds for a file the update, or why none is needed or made."""
    plane = solutions.plane
    planned = []
    with read_image(path) as image:
        name = os.path.basename(path)
        whole = _record(image, name, image.chips, plane)
        for row in solutions.rows_of_source(source) if source else solutions.rows_for(whole):
            record, chips = whole, image.chips
            if row.extver is not None and row.filename == whole.filename:
                chips = tuple(chip for chip in chips if chip.extver == row.extver)
                if not chips:
                    raise InputError(f"{path} has no chip with EXTVER {row.extver}")
                record = _record(image, f"{name}[sci,{row.extver}]", chips, plane)
            headers = {chip.extver: image.header(chip) for chip in chips}
            moved = row.is_applied and _is_done(row, record, headers, plane)
            if not source and not moved:
                solutions.check(row, record)
            stays = row.stays or not row.leads(record.corners, row(record.corners))
            stays = stays and not row.chip_shifts
            if moved or (row.is_applied and stays and record.wcsname.upper() == wcsname.upper()):
                planned.append(AppliedSolution(name, row.filename, record.wcsname, done=True))
            elif row.is_applied:
                wcss = {chip.extver: _new_wcs(chip, row, plane, name) for chip in chips}
                planned.append(_Update(path, row, wcss, image.wcs_names))
            else:
                reason = row.reason or f"it was {row.status}"
                planned.append(AppliedSolution(name, row.filename, reason=reason))
    return planned


def _record(image, name, chips, plane):
    metadata = instruments.metadata_of(image.header(chips[0]), image.path)
    return solution.ExposureRecord.of(name, metadata, chips, plane)


def _new_wcs(chip, row, plane, name):
    """Return the WCS of a chip of the file `name` that follows a solution; None where it stays."""
    shift = row.shift_of_chip.get(chip.extver)
    wcs = chip.wcs if shift is None else correction.shifted_wcs(chip.wcs, shift)
    if row.stays:
        return None if shift is None else wcs
    # A third of the scatter, as for `Alignment.corrected_chips`.
    scatter = np.hypot(row.ra_rms, row.dec_rms) / pixel_scale(chip.wcs)
    try:
        return corrected_wcs(wcs, chip.shape, plane, row, allowed=scatter / 3)
    except DegenerateFit as error:
        raise DegenerateFit(f"{name}: {error}") from error


def _is_done(row, record, headers, plane):
    """Whether the WCS is what this very solution has made of the one before.

    `headers` are those of the chips by EXTVER.
    """
    if row.stays and row.chip_shifts:
        return all(_has_shifted(headers[extver], shift)
                   for extver, shift in row.shift_of_chip.items() if extver in headers)
    first = next(iter(headers.values()))
    return _has_moved(row, record, first, plane)


def _has_shifted(header, shift):
    """Whether the reference pixel is a shift away from where an archived WCS has it."""
    now = np.array([header[f"CRPIX{i}"] for i in (1, 2)])
    return any(np.allclose([header.get(f"CRPIX{i}{key}", np.nan) for i in (1, 2)], now - shift,
                           rtol=0, atol=correction.SAME_POSITION)
               for key in alternates.wcs_names(header) if key.strip())


def _has_moved(row, record, header, plane):
    """Whether the first pixels and last ones of a WCS are where the map leads them."""
    corners = [[1, 1], [header.get("NAXIS1", 2), header.get("NAXIS2", 2)]]
    places = {}
    for key in {" ": "", **alternates.wcs_names(header)}:
        try:
            wcs = distortion.linear_wcs(header, key)
        except InputError as error:
            raise InputError(f"{record.file} {error}") from error
        places[key] = plane.sky_to_plane(wcs.wcs_pix2world(corners, 1))
    is_archived = any(row.leads(place, places[" "]) for key, place in places.items() if key != " ")
    is_own = row.filename == record.filename
    return is_archived or (is_own and row.leads(row.corners, record.corners))
