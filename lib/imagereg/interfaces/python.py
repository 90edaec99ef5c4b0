"""The tasks as Python functions: what ``from imagereg import tweakreg`` gives."""

from __future__ import annotations

import inspect
import sys

from imagereg.files import atomic
from imagereg.interfaces import epar as editor
from imagereg.parameters.gather import ARGUMENTS, gather_parameters, starting_values
from imagereg.parameters.help import page_address, task_help
from imagereg.parameters.spec import Spec
from imagereg.report.summary import Result
from imagereg.tasks.run import align_images
from imagereg.version import __version__


def TweakReg(files=None, editpars=False, configobj=None, imagefindcfg=None, refimagefindcfg=None, *, dry_run=False,
             **input_dict):
    """Align images with the first of them."""
    if editpars:
        return _edit_andalign_images(files, (configobj, imagefindcfg, refimagefindcfg), input_dict, dry_run=dry_run)
    task, *finding = gather_parameters(configobj, imagefindcfg, refimagefindcfg, input_dict)
    return align_images(task.input if files is None else files, task, *finding, dry_run=dry_run)


def _edit_andalign_images(given, sources, flat, *, dry_run):
    """Edit the parameters, and run with them where the user says Execute; returns a Result, else None."""
    results = []

    def execute(values):
        images = values["tweakreg"].input
        results.append(align_images(images, *values.values(), dry_run=dry_run))

    editor.edit("tweakreg", start=starting_values(given, sources, flat), run=execute)
    return results[-1] if results else None


def edit_imagefindpars():
    """Edit the parameter set imagefindpars; see `imagereg.interfaces.epar.edit`."""
    return editor.edit("imagefindpars")


def edit_refimagefindpars():
    """Edit the parameter set refimagefindpars; see `imagereg.interfaces.epar.edit`."""
    return editor.edit("refimagefindpars")


def run(configobj):
    """Run the task with the parameters of an object that TEAL, `epar` or a script hands over.

    Parameters
    ----------
    configobj : mapping
        Parameters by name, flat or in sections. With TEAL's go the parameter sets that were last saved, which its
        buttons edit, unless it holds some of its own.

    Returns
    -------
    Result
    """
    from_teal = hasattr(configobj, "getPosArgs")
    saved = {argument: "defaults" for task, argument in ARGUMENTS.items() if from_teal and not configobj.get(task)}
    return TweakReg(**{**saved, "configobj": configobj})


def help(file=None, *, task="tweakreg"):
    """Print the help, or write it into a file.

    Parameters
    ----------
    file : str, optional
        Name of the file.
    task : str
        Of what; a parameter set has a help of its own.
    """
    if file is None:
        sys.stdout.write(getHelpAsString(docstring=True, task=task))
    else:
        atomic.write_text(file, getHelpAsString(docstring=True, task=task))


def getHelpAsString(docstring=False, show_ver=True, *, task="tweakreg"):
    """Return the help as text, or where a browser finds it.

    TEAL, which calls this without arguments, opens the page at the parameter that is asked for; as in drizzlepac.

    Parameters
    ----------
    docstring : bool
        Return the text; otherwise the address of the page, where it is a file.
    show_ver : bool
        Put the version into the title of the text.
    task : str
        Of what; a parameter set has a help of its own.
    """
    title = f"{task} {__version__}\n\n" if show_ver else ""
    return (not docstring and page_address(task)) or title + task_help(task)


def _describe():
    """Give `TweakReg` the signature and the docstring that the declaration of its parameters makes."""
    task, finding = Spec.load("tweakreg"), Spec.load("imagefindpars")
    leading = [p for p in inspect.signature(TweakReg).parameters.values() if p.kind is not p.VAR_KEYWORD]
    both = task.signature(*leading, exclude=["input"])
    others = finding.signature(exclude=["fluxmin", "fluxmax"]).parameters.values()
    TweakReg.__signature__ = both.replace(parameters=[*both.parameters.values(), *others], return_annotation=Result)
    TweakReg.__doc__ = f"""Align images with the first of them.

Parameters
----------
files : str or list of str
    Names, wildcards, @lists; several with commas between. The parameter `input` where not given.
editpars : bool
    Edit the parameters first; without a `configobj` and parameter sets, those last saved.
configobj : mapping or str or None
    Parameters by name, flat or in sections; the name of a ``.cfg``; or 'defaults', those last saved.
imagefindcfg, refimagefindcfg : mapping or str or None
    The same for imagefindpars and refimagefindpars.
dry_run : bool
    Write nothing at all; the result's `differences` say what headers would get.
{task.doc_table()}
{finding.doc_table()}

Returns
-------
Result
    With the verdict on every image; None where the parameters were edited and the user left without Execute.

Raises
------
ParameterError
    A parameter is unknown, or its value is not what is expected; nothing has been done.
InputError
    A file is missing, or the reference or an output can't be used; no header has been changed.
"""


_describe()
