"""The tasks as tasks of PyRAF: ``import imagereg`` in a PyRAF session declares them.

They are native ones, made from ``.par`` files: ``tweakreg *flt.fits threshold=50``, prompts,
``lpar``, ``dpar``, ``unlearn``, parameter sets, redirection and learned values are PyRAF's own.
What PyRAF 2.2 lacks or gets wrong is replaced for these tasks alone: ``epar`` and ``tpar`` open the
editor of this package, ``help`` shows its pages.
"""

from __future__ import annotations

import functools
import os
import pydoc
import sys
import traceback
import types
import warnings
from typing import Any

from imagereg.errors import AlignmentWarning, ImageregError, ParameterError, of_task
from imagereg.parameters import (
    TASKS,
    ParameterSet,
    Spec,
    find_parameter,
    package_file,
    saved,
    shown,
)
from imagereg.parameters import help as pages
from imagereg.version import __version__

_SETS = ("imagefindpars", "refimagefindpars")
_WELCOME = f"""\
imagereg {__version__} has these tasks for epar, lpar, unlearn and help (@ is a parameter set):
    imagefindpars@    refimagefindpars@    tweakreg       tweakback
    applywcs          restorewcs           activatewcs    listwcs      comparewcs
"""


def declare_tasks() -> None:
    """Declare the tasks to PyRAF, and name them if somebody sits at its prompt."""
    from pyraf import iraf

    at_prompt = "pyraf.pycmdline" in sys.modules
    declare = functools.partial(iraf.IrafTaskFactory, pkgname="clpackage", pkgbinary="")
    for name in _SETS:
        _equip(declare(taskname=name, value=_par_file(name)))
    for name in TASKS:
        if name not in _SETS:
            _declare_task(declare, name)
    if not iraf.defvar("dev"):
        iraf.set(dev="/dev/")  # PyRAF without IRAF misses dev$null at every redirection
    _adapt_prompt()
    if at_prompt:
        sys.stdout.write(_WELCOME)


def _declare_task(declare, name: str) -> None:
    """Declare a task that runs."""
    task: Any = declare(taskname=name, value=_par_file(name), function=lambda *_: _run(task))
    _equip(task, setParList=functools.partial(_set_parameters, task))
    _recall(task)


def _par_file(name: str) -> str:
    return str(package_file("iraf", f"{name}.par"))


def _equip(task, **methods) -> None:
    """Give a PyRAF task our editor and our help, and further methods."""
    edit = functools.partial(_edit, task)
    # To PyRAF the attributes of a task are parameters, but those in its dictionary come first.
    unlearn = functools.partial(_unlearn, task)
    vars(task).update(eParam=edit, tParam=edit, unlearn=unlearn, **methods)
    # PyRAF's help looks for a module whose name ends with the task's; the real one takes a second
    # to import.
    page: Any = types.ModuleType(f"{__name__}.{task.getName()}")
    page.help = functools.partial(_show_help, task.getName())
    sys.modules[page.__name__] = page


def _parameters(task) -> dict[str, ParameterSet]:
    """Return the present values of a PyRAF task and of its parameter sets, by name."""
    values = {}
    for name, holder in _holders(task).items():
        known = {p.name: p for p in holder.getParList()}
        spec = Spec.load(name)
        values[name] = spec.validate({n: known[n].get(native=1, prompt=0) for n in spec.names})
    return values


def _holders(task) -> dict[str, Any]:
    """Return the PyRAF tasks that hold the parameters of `task`: itself and its parameter sets."""
    name = task.getName()
    return {name: task, **{pset: task.getParObject(pset).get() for pset in Spec.load(name).psets}}


def _set_parameters(task, *args, **keywords) -> None:
    """Set parameters of a task for one run, for tweakreg those of imagefindpars among them."""
    keywords = {_full_name(task.getName(), name): value for name, value in keywords.items()}
    try:
        type(task).setParList(task, *args, **keywords)
    except (ValueError, SyntaxError) as error:  # out of range, or too many
        # PyRAF forgets the values of a run only once it has begun.
        for holder in _holders(task).values():
            holder._deleteRunningParList()
        raise ParameterError(f"{task.getName()}: {error}") from None


def _full_name(task: str, name: str) -> str:
    """Return the full name of a parameter, with the set it is in.

    PyRAF would give ``threshold`` to both parameter sets, and an abbreviation of it to none. It
    hands over ``imagefindpars.threshold`` as ``imagefindparsDOTthreshold``.
    """
    owner, dot, own = name.replace("DOT", ".").rpartition(".")
    if dot and owner in TASKS:
        return f"{owner}.{Spec.load(owner).find(own, minimum_match=True).name}"
    if name.startswith("_") or dot or name in ("ParList", "mode"):
        return name
    specs = [Spec.load(task), *map(Spec.load, Spec.load(task).psets[:1])]
    spec, parameter = find_parameter(name, specs, buttons=True)
    prefix = "" if spec.task == task else f"{spec.task}."
    return prefix + (parameter.pset or parameter.name)


def _run(task) -> None:
    """Do what the name of the task at PyRAF's prompt asks for."""
    _execute(task, _parameters(task))


def _execute(task, sets: dict[str, ParameterSet]) -> Any:
    """Run a task, print its result, and leave 0 in `status` if all is well, else 1."""
    from imagereg.interfaces import solutions
    from imagereg.interfaces.python import TweakReg

    name = task.getName()
    with warnings.catch_warnings(), of_task(name):
        warnings.simplefilter("ignore", AlignmentWarning)  # the result is printed
        result: Any
        if name == "tweakreg":
            result = TweakReg(None, False, *sets.values())
        else:
            result = solutions.run_task(sets[name])
    sys.stdout.write(f"{result}\n")
    task.setParam("status", 0 if result.ok else 1)
    return result


def _edit(task) -> None:
    """Edit the parameters of a PyRAF task and of its parameter sets, and let PyRAF learn them."""
    from imagereg.interfaces import epar as editor

    _recall(task)

    def run(sets):
        _store(task, sets)
        return _execute(task, sets)

    editor.edit(
        task.getName(),
        start=_parameters(task),
        store=functools.partial(_store, task),
        run=None if task.getName() in _SETS else run,
    )


def _store(task, sets: dict[str, ParameterSet]) -> None:
    """Save parameters for everybody, and have PyRAF learn them."""
    saved.remember_parameters(sets.values())
    _learn(task, sets)


def _learn(task, sets: dict[str, ParameterSet]) -> None:
    """Give parameters to a PyRAF task and to its parameter sets, and have them learned."""
    holders = _holders(task)
    for name, values in sets.items():
        for parameter, value in values.items():
            native = not (value is None or isinstance(value, bool))
            holders[name].setParam(parameter, value if native else shown(value))
        holders[name].saveParList()
        _seen[name] = _saved_at(name)


#: When the parameters were saved that PyRAF holds, by task.
_seen: dict[str, float] = {}


def _saved_at(name: str) -> float:
    """Return when the parameters of a task were saved last; 0 if they are not."""
    path = saved.user_parameters(name)
    return os.path.getmtime(path) if path else 0.0


def _recall(task) -> None:
    """Learn what was saved elsewhere after PyRAF had learned its own."""
    from imagereg.interfaces.epar import saved as files

    holders = _holders(task)
    newer = [name for name in holders if _saved_at(name) > _learned_at(holders[name])]
    if newer:
        values = files.last_saved([Spec.load(name) for name in holders]).values
        _learn(task, {name: values[name] for name in newer})


def _learned_at(holder) -> float:
    """Return when PyRAF learned the parameters that it holds; 0 if they are the defaults."""
    from pyraf import iraf

    holder.getParList()  # which finds out where they are
    path = iraf.Expand(holder._scrunchParpath, noerror=1)
    learned = os.path.getmtime(path) if os.path.exists(path) else 0.0
    return max(learned, _seen.get(holder.getName(), 0.0))


def _unlearn(task) -> None:
    """Go back to the defaults, and forget what was saved."""
    saved.forget_parameters(task.getName())
    type(task).unlearn(task)


def _show_help(task: str) -> None:
    """Show the help of a task page by page, or all of it if the output is not a terminal."""
    pydoc.getpager()(pages.task_help(task))


def _adapt_prompt() -> None:
    """Make PyRAF's prompt run a task whose name begins a line, and show our errors as sentences.

    After ``from imagereg import tweakreg`` PyRAF takes ``tweakreg *flt.fits`` for a product in
    Python, and ``tweakreg`` alone for a question what it is. With an error it shows the calls that
    led there; ``.fulltraceback`` still does.
    """
    from pyraf.pycmdline import PyCmdLine

    is_local = PyCmdLine.isLocal
    show_traceback = PyCmdLine.showtraceback

    def is_variable(console, word):
        module = getattr(console.locals.get(word), "__name__", "")
        is_ours = word in TASKS and module == f"imagereg.{word}"
        return is_local(console, word) and not is_ours

    def show_error(console, reprint=0):
        error = sys.exc_info()[1]
        if reprint or not isinstance(error, ImageregError):
            show_traceback(console, reprint)
        else:
            # What .fulltraceback shows.
            console.lasttrace = type(error), error, traceback.extract_tb(error.__traceback__)
            console.write(f"ERROR: {error.sentence()}\n")

    PyCmdLine.isLocal = is_variable
    PyCmdLine.showtraceback = show_error
