"""The tasks as Python functions: what ``from imagereg import tweakreg`` gives."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from imagereg.errors import AlignmentWarning, NotAligned
from imagereg.files import atomic
from imagereg.interfaces import epar as editor
from imagereg.parameters import (
    ARGUMENTS,
    ParameterSet,
    Spec,
    gather_parameters,
    starting_values,
)
from imagereg.parameters import help as pages
from imagereg.report import Result
from imagereg.tasks import align_images
from imagereg.version import __version__

# Python shows a warning once a line of the caller; a loop over visits shall hear of each failure.
warnings.simplefilter("always", AlignmentWarning, append=True)


def TweakReg(
    files: str | Sequence[str] | None = None,
    editpars: bool = False,
    configobj: Mapping | str | None = None,
    imagefindcfg: Mapping | str | None = None,
    refimagefindcfg: Mapping | str | None = None,
    *,
    dry_run: bool = False,
    raise_on_failure: bool = False,
    **input_dict: Any,
) -> Result | None:
    """Align images with the first of them."""
    sources = (configobj, imagefindcfg, refimagefindcfg)
    if editpars:
        result = _edit_and_align(files, sources, input_dict, dry_run=dry_run)
    else:
        task, *finding = gather_parameters(*sources, input_dict)
        images = task.input if files is None else files
        result = align_images(images, task, *finding, dry_run=dry_run)
    if result is not None and not result.ok:
        if raise_on_failure:
            raise NotAligned(result.verdict, result)
        warnings.warn(result.verdict, AlignmentWarning, stacklevel=2)
    return result


def _edit_and_align(files, sources, flat, *, dry_run):
    """Edit the parameters; align the images if the user says Execute, else return None."""
    results = []

    def execute(values):
        images = values["tweakreg"].input
        results.append(align_images(images, *values.values(), dry_run=dry_run))
        return results[-1]

    editor.edit("tweakreg", start=starting_values(files, sources, flat), run=execute)
    return results[-1] if results else None


def edit_imagefindpars() -> dict[str, ParameterSet] | None:
    """Edit the parameter set imagefindpars; see `imagereg.interfaces.epar.edit`."""
    return editor.edit("imagefindpars")


def edit_refimagefindpars() -> dict[str, ParameterSet] | None:
    """Edit the parameter set refimagefindpars; see `imagereg.interfaces.epar.edit`."""
    return editor.edit("refimagefindpars")


def run(configobj: Mapping) -> Result | None:
    """Run tweakreg with the parameters of an object that TEAL, epar or a script hands over.

    TEAL's buttons edit the parameter sets that were last saved: with its object these are used,
    unless the object holds some of its own.

    Parameters
    ----------
    configobj : mapping
        Parameters by name, flat or in sections.

    Returns
    -------
    Result
    """
    from_teal = hasattr(configobj, "getPosArgs")
    saved: dict[str, Any] = {}
    if from_teal:
        saved = {ARGUMENTS[task]: "defaults" for task in ARGUMENTS if not configobj.get(task)}
    return TweakReg(**{**saved, "configobj": configobj})


def help(file: str | None = None, *, task: str = "tweakreg") -> None:
    """Print the help, or write it into a file.

    Parameters
    ----------
    file : str, optional
        Name of the file.
    task : str
        The task, or the parameter set, that the help is about.
    """
    text = getHelpAsString(docstring=True, task=task)
    if file is None:
        sys.stdout.write(text)
    else:
        atomic.write_text(file, text)


def getHelpAsString(
    docstring: bool = False, show_ver: bool = True, *, task: str = "tweakreg"
) -> str:
    """Return the help as text, or the address of its page for a browser.

    TEAL calls this without arguments, as it does drizzlepac's, and opens the page at a parameter.

    Parameters
    ----------
    docstring : bool
        Return the text; otherwise the address of the page, if it is a file.
    show_ver : bool
        Put the version into the title of the text.
    task : str
        The task, or the parameter set, that the help is about.
    """
    address = "" if docstring else pages.page_address(task)
    if address:
        return address
    title = f"{task} {__version__}\n\n" if show_ver else ""
    return title + pages.task_help(task)


def _describe() -> None:
    """Give `TweakReg` the signature and the docstring that the declared parameters make."""
    task, finding = Spec.load("tweakreg"), Spec.load("imagefindpars")
    own = inspect.signature(TweakReg).parameters.values()
    leading = [p.replace(annotation=p.empty) for p in own if p.kind is not p.VAR_KEYWORD]
    task_parameters = task.signature(*leading, exclude=["input"]).parameters
    # fluxmin and fluxmax, aliases of tweakreg's minflux and maxflux, mean those here.
    finding_parameters = finding.signature(exclude=["fluxmin", "fluxmax"]).parameters
    TweakReg.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*task_parameters.values(), *finding_parameters.values()], return_annotation=Result
    )
    TweakReg.__doc__ = f"""Align images with the first of them.

Parameters
----------
files : str or list of str
    Names, wildcards, @lists, several with commas between; the parameter `input` if not given.
editpars : bool
    Edit the parameters first: those last saved, unless a `configobj` or parameter sets are given.
configobj : mapping or str or None
    Parameters by name, flat or in sections; the name of a ``.cfg``; or 'defaults': last saved.
imagefindcfg, refimagefindcfg : mapping or str or None
    The same for imagefindpars and refimagefindpars.
dry_run : bool
    Write nothing at all; the result's `differences` say what headers would get.
raise_on_failure : bool
    Raise NotAligned where an image is not aligned, once all is written; else there is a warning.
{task.doc_table()}
{finding.doc_table()}

Returns
-------
Result
    The verdict on every image; None if the user left the editor without Execute.

Raises
------
ParameterError
    A parameter is unknown, or its value is not what is expected; nothing has been done.
InputError
    A file is missing, or the reference or an output can't be used; no header has been changed.
NotAligned
    An image is not aligned, and `raise_on_failure` is set; its `result` is what would be returned.

Warns
-----
AlignmentWarning
    An image is not aligned.
"""


_describe()
