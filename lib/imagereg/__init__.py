"""Alignment of images: the task tweakreg, its parameter sets imagefindpars and refimagefindpars.

``from imagereg import tweakreg; tweakreg.TweakReg('*flt.fits', threshold=200, shiftfile=True)``

What works on solutions that exist stands in `solutions`, and in `tweakback` for mosaics.
"""

import importlib
import sys

from imagereg.version import __version__

_TASKS = ("imagefindpars", "refimagefindpars", "tweakreg")
__all__ = ["__version__", "imagefindpars", "refimagefindpars", "solutions", "tweakback", "tweakreg"]


def __getattr__(name):
    """Import a task when it is first asked for, tweakreg with its parameter sets.

    TEAL finds a parameter set by its name alone, once its module is imported.
    """
    if name in __all__:
        for task in _TASKS if name in _TASKS else (name,):
            importlib.import_module(f"{__name__}.{task}")
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """Return the names of the tasks too, for completion."""
    return [*globals(), *__all__]


if "pyraf" in sys.modules:
    from imagereg.interfaces import declare_tasks

    declare_tasks()
