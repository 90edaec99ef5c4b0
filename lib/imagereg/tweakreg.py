"""The task tweakreg: align images with each other.

Help: ``tweakreg.help()`` in Python, ``tweakreg --help`` in a shell.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import os
import sys
from collections.abc import Mapping

import numpy as np

from imagereg import files, formats, plots
from imagereg.align import Alignment, Rules, Status, align
from imagereg.catalog import SourceCatalog
from imagereg.errors import InputError, ParameterError
from imagereg.headers import Solution
from imagereg.inputs import expand_input
from imagereg.measure import measure_exposures
from imagereg.params import ParameterSet, Spec, nearest, package_text
from imagereg.version import __version__
from imagereg.wcs import TangentPlane

__taskname__ = "tweakreg"

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
    """

    alignments: tuple
    plane: TangentPlane
    reference: SourceCatalog
    written: tuple = ()

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
            errors; rms in x and y in pixels and in mas; numbers of sources and matches; the probability that
            unrelated sources match as well.
        """
        from astropy.table import Table

        rows = [(a.name, a.status.value, a.reason, *a.offset, a.rotation, a.scale, *a.errors, *a.rms,
                 *(a.rms * self.plane.pixel_scale * 1000), len(a.exposure.sources), a.nmatches, a.chance)
                for a in self.alignments]
        names = ("file", "status", "reason", "dx", "dy", "rot", "scale", "dx_error", "dy_error", "rot_error",
                 "scale_error", "xrms", "yrms", "xrms_mas", "yrms_mas", "nsources", "nmatches", "chance")
        units = {"rot": "deg", "rot_error": "deg", "xrms_mas": "mas", "yrms_mas": "mas"}
        units.update(dict.fromkeys(("dx", "dy", "dx_error", "dy_error", "xrms", "yrms"), "pix"))
        table = Table(rows=rows, names=names, units=units)
        digits = {"rot": "8f", "rot_error": "8f", "scale": "8f", "scale_error": "8f", "chance": "2g"}
        for name in names[3:15] + ("chance",):
            table[name].info.format = f".{digits.get(name, '4f')}"
        return table

    def __str__(self):
        """Return the shift table, and a line with the reason for every failure."""
        table = self.table()["file", "status", "dx", "dy", "rot", "scale", "xrms", "yrms", "nsources", "nmatches"]
        lines = table.pformat(max_lines=-1, max_width=-1, show_unit=True)
        return "\n".join([*lines, *(f"{a.name}: {a.reason}" for a in self.alignments if a.reason)])

    __repr__ = __str__


def TweakReg(files=None, editpars=False, configobj=None, imagefindcfg=None, refimagefindcfg=None, **input_dict):
    """Align images with the first of them."""
    if editpars:
        raise ParameterError("tweakreg: editpars = True is not available yet")
    task, finding = gather_parameters(configobj, imagefindcfg, refimagefindcfg, input_dict)
    return _run(task.input if files is None else files, task, finding)


def run(configobj):
    """Run the task with the parameters of an object that TEAL, `epar` or a script hands over.

    Parameters
    ----------
    configobj : mapping
        Parameters by name, flat or in sections.

    Returns
    -------
    Result
    """
    return TweakReg(configobj=configobj)


def help(file=None):
    """Print the help, or write it into a file.

    Parameters
    ----------
    file : str, optional
        Name of the file.
    """
    if file is None:
        sys.stdout.write(getHelpAsString())
    else:
        files.write_text(file, getHelpAsString())


def getHelpAsString(docstring=False, show_ver=True):
    """Return the help as text.

    Parameters
    ----------
    docstring : bool
        Without the title.
    show_ver : bool
        Put the version into the title.
    """
    text = package_text("help_files", "tweakreg.help")
    return text if docstring else f"tweakreg{f' {__version__}' if show_ver else ''}\n\n{text}"


def gather_parameters(configobj=None, imagefindcfg=None, refimagefindcfg=None, flat=()):
    """Put together the parameters of one run; later ones win.

    Parameters
    ----------
    configobj : mapping, str, or None
        Parameters, the name of a ``.cfg``, or ``'defaults'`` for the ones last saved with the editor.
    imagefindcfg, refimagefindcfg : mapping, str, or None
        The same for the parameter sets.
    flat : mapping
        Parameters of tweakreg or of imagefindpars by name.

    Returns
    -------
    task, finding : ParameterSet
        Of tweakreg and of imagefindpars.

    Raises
    ------
    ParameterError
        A parameter is unknown, or its value is not what is expected.
    InputError
        A file can't be read.
    """
    specs = Spec.load("tweakreg"), Spec.load("imagefindpars")
    task, finding = _distributed(_mapping(configobj, specs[0]), *specs)
    finding |= specs[1].given(_mapping(imagefindcfg, specs[1]))
    Spec.load("refimagefindpars").validate(_mapping(refimagefindcfg, Spec.load("refimagefindpars")))
    task_flat, finding_flat = _distributed(dict(flat), *specs)
    return ParameterSet(specs[0], task | task_flat), ParameterSet(specs[1], finding | finding_flat)


def _mapping(given, spec):
    """Parameters as a mapping, read from a file where a name is given."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise ParameterError(f"{spec.task}: parameters are given as {type(given).__name__}, expected a mapping or a "
                             "file name")
    if given == "defaults":
        given = files.user_parameters(spec.task)
        return {} if given is None else spec.read_cfg(files.read_text(given))
    return spec.read_cfg(files.read_text(given))


def _distributed(values, task, finding):
    """Share out parameters between tweakreg and imagefindpars; returns two dicts of checked values."""
    flat = {}
    for name, value in values.items():
        flat.update(value if isinstance(value, Mapping) and not name.startswith("_") else {name: value})
    unknown = [name for name in flat if not name.startswith("_") and name not in task and name not in finding]
    if unknown:
        likely = nearest(unknown[0], [*task.names, *finding.names])
        hint = f"; did you mean {likely!r}?" if likely else ""
        raise ParameterError(f"tweakreg: unknown parameter {unknown[0]!r}{hint}")
    mine = {name: value for name, value in flat.items() if name in task or name.startswith("_")}
    return task.given(mine), finding.given({name: value for name, value in flat.items() if name not in mine})


def _run(given, task, finding):
    paths = [file.path for file in expand_input(given)]
    if len(paths) < 2:
        raise InputError(f"{paths[0]} is the only image: there is nothing to align it with")
    _check_outputs(paths, task)
    with _logged(task):
        log.info("tweakreg %s, %s", __version__, datetime.datetime.now().isoformat(" ", "seconds"))
        log.info("%s\n%s\ninput: %s", task, finding, ", ".join(paths))
        exposures = measure_exposures(paths, finding, fluxmin=task.minflux, fluxmax=task.maxflux, nbright=task.nbright)
        if exposures[0].problem:
            raise InputError(exposures[0].problem)
        plane = TangentPlane.around(exposures[0].outlines)
        output = _Output(task, dict(zip((e.name for e in exposures), paths, strict=True)))
        alignments, reference = align(exposures, plane, _rules(task, plane),
                                      review=output.review if task.interactive else None)
        output.write(alignments, plane, reference)
        result = Result(tuple(alignments), plane, reference.sources, tuple(output.written))
        log.info("\n%s", result)
    return result


def _rules(task, plane):
    """Return what the parameters of the task say of matching and fitting."""
    scale = plane.pixel_scale if task.searchunits == "arcseconds" else 1.0
    names = ("tolerance", "separation", "use2dhist", "fitgeometry", "nclip", "sigma", "minobj",
             "expand_refcat", "enforce_user_order")
    same = {name: task[name] for name in names}
    return Rules(searchrad=task.searchrad / scale, xoffset=task.xoffset or 0.0, yoffset=task.yoffset or 0.0, **same)


def _check_outputs(paths, task):
    """Raise InputError for what could not be written, before any work is done."""
    names = [task.runfile] if task.runfile else []
    names += [task.outshifts, task.outwcs] if task.shiftfile else []
    for name in names:
        files.check_writable(name)
    if (task.writecat and not task.clean) or task.see2dplot or task.residplot != "No plot":
        files.check_writable("tweakreg")
    if task.updatehdr:
        for path in paths:
            files.check_updatable(path)
            if not task.reusename:
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


class _Output:
    """Everything that a run writes, in order.

    Parameters
    ----------
    task : ParameterSet
        Of tweakreg.
    paths : dict of str to str
        Path by name of exposure.
    """

    def __init__(self, task, paths):
        self.task, self.paths = task, paths
        self.written = []

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

    def write(self, alignments, plane, reference):
        """Write lists, plots, shiftfile and headers."""
        if self.task.writecat and not self.task.clean:
            for alignment in alignments:
                self._write_catalogs(alignment)
            if self.task.expand_refcat:
                text = formats.sky_catalog_text(reference.sources, reference.name)
                self._text(f"cumulative_sky_refcat_{files.root_name(reference.name)}.coo", text)
        for alignment in alignments:
            self._plot(alignment)
        if self.task.shiftfile:
            self._text(self.task.outshifts, formats.shiftfile_text(map(_shift, alignments), self.task.outwcs))
            files.write_reference_wcs(self.task.outwcs, plane)
            self.written.append(self.task.outwcs)
        if self.task.updatehdr:
            for alignment in alignments:
                self._update(alignment)

    def _text(self, name, text):
        files.write_text(name, text)
        self.written.append(name)

    def _write_catalogs(self, alignment):
        sources, root = alignment.exposure.sources, files.root_name(alignment.name)
        for number, chip in enumerate(alignment.exposure.chips, 1):
            text = formats.chip_catalog_text(sources[sources.chip == chip.extver], alignment.name, shapes=True)
            self._text(f"{root}_sci{number}_xy_catalog.coo", text)
        self._text(f"{root}_sky_catalog.coo", formats.sky_catalog_text(sources, alignment.name))
        if alignment.fit:
            self._text(f"{root}_xy_catalog.match", formats.match_text(alignment))
            self._text(f"{root}_catalog_fit.match", formats.fit_text(alignment))

    def _plot(self, alignment):
        """Draw the plots that are asked for and that there is something to draw in, each once."""
        task, size = self.task, {"labelsize": self.task.labelsize}
        wanted = {}
        if task.see2dplot and alignment.match and alignment.match.histogram is not None:
            wanted["hist2d"] = lambda: plots.histogram_png(alignment, **size)
        if alignment.fit and task.residplot in ("residuals", "both"):
            wanted["residuals"] = lambda: plots.residuals_png(alignment, ylimit=task.ylimit, **size)
        if alignment.fit and task.residplot in ("vector", "both"):
            wanted["vector"] = lambda: plots.vector_png(alignment, **size)
        for kind, draw in wanted.items():
            name = f"{kind}_{files.root_name(alignment.name)}.png"
            if name not in self.written:
                files.write_bytes(name, draw())
                self.written.append(name)

    def _update(self, alignment):
        """Update the header of one image; a failed one stays as it is."""
        if alignment.status is Status.FAILED:
            return
        path, chips, solution = self.paths[alignment.name], None, Solution(self.task.wcsname, "not aligned: reference")
        if alignment.status is Status.ALIGNED:
            chips = {chip.extver: chip.wcs for chip in alignment.corrected_chips()}
            rms = np.sqrt((alignment.sky_residuals() ** 2).mean(axis=0)) / 3600
            solution = Solution(self.task.wcsname, nmatch=alignment.nmatches, rms=tuple(map(float, rms)),
                                fitgeom=alignment.fit.geometry)
        files.update_header(path, chips, solution, reuse=self.task.reusename)
        log.info("%s: headers updated, WCSNAME %s", path, self.task.wcsname)
        self.written.append(path)


def _shift(alignment: Alignment):
    """Row of the shiftfile; NaN for an image that failed."""
    values = [*alignment.offset, alignment.rotation, alignment.scale, *alignment.rms]
    if alignment.status is Status.FAILED:
        values = [np.nan] * len(values)
    return formats.Shift(alignment.name, *map(float, values))


def _describe():
    """Give `TweakReg` the signature and the docstring that the declaration of its parameters makes."""
    import inspect

    task, finding = Spec.load("tweakreg"), Spec.load("imagefindpars")
    leading = [p for p in inspect.signature(TweakReg).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    both = task.signature(*leading, exclude=["input"])
    others = finding.signature(exclude=["fluxmin", "fluxmax"]).parameters.values()
    TweakReg.__signature__ = both.replace(parameters=[*both.parameters.values(), *others], return_annotation=Result)
    TweakReg.__doc__ = f"""Align images with the first of them.

Parameters
----------
files : str or list of str
    Names, wildcards, @lists; several with commas between. The parameter `input` where not given.
editpars : bool
    Edit the parameters first. Not available yet.
configobj : mapping or str or None
    Parameters by name, flat or in sections; the name of a ``.cfg``; or 'defaults', those last saved.
imagefindcfg, refimagefindcfg : mapping or str or None
    The same for imagefindpars and refimagefindpars.
{task.doc_table()}
{finding.doc_table()}

Returns
-------
Result
    With the verdict on every image.

Raises
------
ParameterError
    A parameter is unknown, or its value is not what is expected; nothing has been done.
InputError
    A file is missing, or the reference or an output can't be used; no header has been changed.
"""


_describe()
