"""The tasks as tasks of PyRAF: ``import imagereg`` in a PyRAF session declares them.

They are native ones, made from ``.par`` files: ``tweakreg *flt.fits threshold=50``, prompts, ``lpar``, ``dpar``,
``unlearn``, parameter sets, redirection and learned values are PyRAF's own. What PyRAF 2.2 lacks or gets wrong is
replaced for these tasks alone: ``epar`` and ``tpar`` open the editor of this package, ``help`` shows its pages.
"""

from __future__ import annotations

import functools
import pydoc
import sys
import traceback
import types

from imagereg.errors import ImageregError, ParameterError
from imagereg.parameters.spec import ParameterSet, Spec, nearest, package_file, package_text
from imagereg.version import __version__

__all__ = ["TASKS", "register"]

TASKS = ("imagefindpars", "refimagefindpars", "tweakreg")
_SPOKEN = {True: "yes", False: "no", None: "INDEF"}


def register():
    """Declare the tasks to PyRAF, and name them where somebody sits at its prompt."""
    from pyraf import iraf

    at_prompt = "pyraf.pycmdline" in sys.modules
    declare = functools.partial(iraf.IrafTaskFactory, pkgname="clpackage", pkgbinary="")
    for name in TASKS[:2]:
        _equip(declare(taskname=name, value=str(package_file("iraf", f"{name}.par"))))
    task = declare(taskname="tweakreg", value=str(package_file("iraf", "tweakreg.par")),
                   function=lambda *_: _align(_parameters(task)))
    _equip(task, setParList=functools.partial(_set_parameters, task))
    if not iraf.defvar("dev"):
        iraf.set(dev="/dev/")  # PyRAF without IRAF misses dev$null at every redirection
    _adapt_prompt()
    if at_prompt:
        sys.stdout.write(f"imagereg {__version__} has these tasks for epar, lpar, unlearn and help (@ is a parameter "
                         "set):\n    imagefindpars@    refimagefindpars@    tweakreg\n")


def _equip(task, **methods):
    """Give a PyRAF task our editor and our help, and further methods."""
    edit = functools.partial(_edit, task)
    # The attributes of a task are parameters to PyRAF, but what is in its dictionary goes before them.
    vars(task).update(eParam=edit, tParam=edit, **methods)
    # PyRAF's help looks for a module that ends with the task's name; the real one takes a second to import.
    page = types.ModuleType(f"{__name__}.{task.getName()}")
    page.help = functools.partial(_show_help, task.getName())
    sys.modules[page.__name__] = page


def _parameters(task):
    """Return the values of a PyRAF task and of its parameter sets as they are now: dict of str to `ParameterSet`."""
    values = {}
    for name, holder in _holders(task).items():
        known = {p.name: p for p in holder.getParList()}
        values[name] = ParameterSet(name, {n: known[n].get(native=1, prompt=0) for n in Spec.load(name).names})
    return values


def _holders(task):
    """Return the PyRAF tasks that hold the parameters of `task`, by name: itself and its parameter sets."""
    name = task.getName()
    sets = (p.pset for p in Spec.load(name).layout if p.pset)
    return {name: task, **{pset: task.getParObject(pset).get() for pset in sets}}


def _set_parameters(task, *args, **keywords):
    """Set parameters of tweakreg for one run, those of imagefindpars among them."""
    keywords = {_full_name(name): value for name, value in keywords.items()}
    try:
        type(task).setParList(task, *args, **keywords)
    except (ValueError, SyntaxError) as error:  # out of range, or too many
        for holder in _holders(task).values():  # PyRAF forgets the values of this run only where it has begun
            holder._deleteRunningParList()
        raise ParameterError(f"tweakreg: {error}") from None


def _full_name(name):
    """Return the name, with that of its set, of the parameter that a name, alias or abbreviation stands for.

    PyRAF would give ``threshold`` to both parameter sets, and to none where it is abbreviated.
    """
    if name.startswith("_") or "." in name or name in ("ParList", "mode"):
        return name
    names = {pset: pset for pset in TASKS[:2]}
    for spec, prefix in ((Spec.load("imagefindpars"), "imagefindpars."), (Spec.load("tweakreg"), "")):
        names |= {spelling: prefix + p.name for p in spec for spelling in (p.name, *p.aliases)}
    found = {names[name]} if name in names else {names[spelling] for spelling in names if spelling.startswith(name)}
    if not found:
        likely = nearest(name, names)
        hint = f"; did you mean {likely!r}?" if likely else ""
        raise ParameterError(f"tweakreg: unknown parameter {name!r}{hint}")
    if len(found) > 1:
        raise ParameterError(f"tweakreg: parameter {name!r} is ambiguous: {', '.join(sorted(found))}")
    return found.pop()


def _align(sets):
    """Run tweakreg, and print what became of each image."""
    from imagereg.interfaces.python import TweakReg

    result = TweakReg(configobj=sets["tweakreg"], imagefindcfg=sets["imagefindpars"],
                               refimagefindcfg=sets["refimagefindpars"])
    sys.stdout.write(f"{result}\n")


def _edit(task):
    """Edit the parameters of a PyRAF task and of its parameter sets; they are kept where PyRAF keeps them."""
    from imagereg.interfaces import epar as editor

    def run(sets):
        _store(task, sets)
        _align(sets)

    editor.edit(task.getName(), start=_parameters(task), store=functools.partial(_store, task),
                run=run if task.getName() == "tweakreg" else None)


def _store(task, sets):
    """Give parameters to a PyRAF task and to its parameter sets, and have them learned."""
    holders = _holders(task)
    for name, values in sets.items():
        for parameter, value in values.items():
            spoken = value is None or isinstance(value, bool)
            holders[name].setParam(parameter, _SPOKEN[value] if spoken else value)
        holders[name].saveParList()


def _show_help(task):
    """Show the help of a task page by page, or all of it where the output is not a terminal."""
    pydoc.getpager()(package_text("help_files", f"{task}.help"))


def _adapt_prompt():
    """Have PyRAF's prompt take lines that begin with a task's name for that task, and show our errors as sentences.

    After ``from imagereg import tweakreg`` PyRAF takes ``tweakreg *flt.fits`` for a product in Python, and ``tweakreg``
    alone for a question what it is. With an error it shows the calls that led there; ``.fulltraceback`` still does.
    """
    from pyraf.pycmdline import PyCmdLine

    is_local, show_traceback = PyCmdLine.isLocal, PyCmdLine.showtraceback

    def is_variable(console, word):
        ours = word in TASKS and getattr(console.locals.get(word), "__name__", "") == f"imagereg.{word}"
        return is_local(console, word) and not ours

    def show_error(console, reprint=0):
        error = sys.exc_info()[1]
        if reprint or not isinstance(error, ImageregError):
            show_traceback(console, reprint)
        else:
            console.lasttrace = type(error), error, traceback.extract_tb(error.__traceback__)
            console.write(f"ERROR: {error}\n")

    PyCmdLine.isLocal, PyCmdLine.showtraceback = is_variable, show_error
