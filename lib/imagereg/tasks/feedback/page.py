"""Make the page of a run: read the pixels that it shows, and tell it what the run was."""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Sequence

from astropy.table import Table

from imagereg.alignment import Alignment
from imagereg.errors import ImageregError
from imagereg.files import Solutions, read_bytes, read_image, read_text, root_name, write_text
from imagereg.files.images import instruments
from imagereg.parameters import ParameterSet, Spec, shown
from imagereg.report import Result, cutouts, page
from imagereg.tasks.feedback import advice, rebuild, runlog
from imagereg.tasks.feedback.progress import progress
from imagereg.version import __version__

# What the advice on a failure begins with.
_FOR_ADVICE = (("imagefindpars", "threshold"), ("tweakreg", "searchrad"),
               ("tweakreg", "tolerance"))

log = logging.getLogger(__name__)


def page_text(result: Result, given: str | Sequence[str], sets: Sequence[ParameterSet]) -> str:
    """Return the page of a run.

    Parameters
    ----------
    result : Result
        Of the run, before headers were changed.
    given : str or sequence of str
        The images as the user named them.
    sets : sequence of ParameterSet
        Of tweakreg and its parameter sets.
    """
    task, finding, _ = sets
    date = f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}"
    facts = page.Facts(__version__, date, os.getcwd(), runlog.command_line(given, sets),
                       changed_parameters(sets))
    values = {"threshold": 4.0 if finding.threshold is None else finding.threshold,
              "searchrad": task.searchrad, "tolerance": task.tolerance}
    pixels = _Pixels(result.alignments)
    taken = progress(result.alignments, "drawing the page", len(result.alignments))
    return page.report_page(result.alignments, result.table(), result.plane, facts,
                            pictures=pixels.pictures, taken=taken,
                            advise=lambda alignment: advice.advice(alignment, **values))


def report_solution(path: str) -> str:
    """Write the page of a run that is over, from its solution file; return the page's name.

    Pixels, matches and parameters are shown where the images, the lists of ``writecat=yes`` and
    the log still lie beside it.

    Raises
    ------
    InputError
        The file can't be read, or the page can't be written.
    """
    text = read_text(path)
    solutions = Solutions.parse(text, path)
    table = Table.read(text, format="ascii.ecsv")
    folder = os.path.dirname(path)
    root = path.removesuffix(".ecsv").removesuffix("_solution")
    past = _log_beside(f"{root}.log")
    if past is None:
        version = str(table.meta.get("imagereg", ""))
        past = runlog.PastRun(version, _date_of(path), os.path.abspath(folder), "", {})
    facts = page.Facts(past.version, past.begun, past.folder, past.command,
                       list(map(_change, past.changed)))
    values = {name: past.number(task, name) for task, name in _FOR_ADVICE}
    known = rebuild.past_alignments(solutions, table["nsources"].tolist(), folder)
    html = page.report_page(known, table, solutions.plane, facts,
                            pictures=_Pixels(known).pictures,
                            advise=lambda alignment: advice.advice(alignment, **values),
                            drawn_before=lambda name: _plots_beside(folder, name))
    name = f"{root}_report.html"
    write_text(name, html)
    return name


def _log_beside(path):
    """Return what the log of a run says; None where there is none that can be read."""
    try:
        return runlog.parse_head(read_text(path))
    except ImageregError as error:
        log.info("no parameters on the page: %s", error)
        return None


def _date_of(path):
    return f"{datetime.datetime.fromtimestamp(os.path.getmtime(path)):%Y-%m-%d %H:%M:%S}"


def _plots_beside(folder, name):
    """Return the plots of an image that lie in a folder, PNG by caption."""
    captions = {"residuals": "Residuals against position", "vector": "Residuals as arrows",
                "hist2d": "Histogram of offsets"}
    found = {}
    for kind, caption in captions.items():
        path = os.path.join(folder, f"{kind}_{root_name(name)}.png")
        if os.path.isfile(path):
            found[caption] = read_bytes(path)
    return found


def changed_parameters(sets: Sequence[ParameterSet]) -> list[dict[str, str]]:
    """Return name, value, default and comment of each parameter that differs from its default."""
    return [_change((values.task, name, shown(values[name])))
            for values in sets for name in values.changed]


def _change(change):
    """Return what the page says of a parameter that differs: its task, name, and value."""
    task, name, value = change
    parameter = Spec.load(task)[name]
    return {"name": f"{task}.{name}", "value": value, "default": shown(parameter.default),
            "comment": parameter.comment}


class _Pixels:
    """The pixels of a run's exposures, read again one exposure at a time; the reference's stay."""

    def __init__(self, alignments: Sequence[Alignment]):
        self._of_name = {alignment.name: alignment for alignment in alignments}
        self._kept: dict[str, cutouts.Pixels | None] = {}

    def pictures(self, alignment: Alignment, detail: cutouts.Detail) -> cutouts.Pictures | None:
        """Return the pictures of an exposure; None where its pixels can't be read."""
        pixels = self._read(alignment)
        if not pixels:
            return None
        return cutouts.pictures(alignment, pixels, self._reference(alignment), detail)

    def _reference(self, alignment):
        """Return chips and pixels of the exposure that another was matched with, or None."""
        origins = set(alignment.reference.origin[alignment.ref_rows].tolist())
        name = next((name for name in sorted(origins) if name in self._of_name), None)
        if name is None or name == alignment.name:
            return None
        other = self._of_name[name]
        if name not in self._kept:
            self._kept = {name: self._read(other)}
        pixels = self._kept[name]
        return (other.exposure.chips, pixels) if pixels else None

    def _read(self, alignment):
        exposure = alignment.exposure
        if not (exposure.path and exposure.chips):
            return None
        try:
            with read_image(exposure.path,
                            flags_path=instruments.quality_file(exposure.path)) as image:
                own = {chip.extver: chip for chip in image.chips}
                return {chip.extver: image.pixels(own[chip.extver], "None").data.astype("f4")
                        for chip in exposure.chips}
        except ImageregError as error:
            log.warning("%s: no pictures on the page: %s", exposure.name, error)
            return None
