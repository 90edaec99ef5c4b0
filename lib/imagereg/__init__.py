"""Alignment of images: the task tweakreg, its parameter sets imagefindpars and refimagefindpars.

``from imagereg import tweakreg; tweakreg.TweakReg('*flt.fits', threshold=200, shiftfile=True)``

What works on solutions that exist stands in `solutions`, and in `tweakback` for mosaics. Each of
these tasks has a module of its own too, for TEAL.
"""

import importlib
import sys

from imagereg.version import __version__

_ALIGN = ("imagefindpars", "refimagefindpars", "tweakreg")
_ON_SOLUTIONS = ("activatewcs", "applywcs", "comparewcs", "listwcs", "restorewcs", "solutions",
                 "tweakback")
__all__ = ["__version__", *_ALIGN, *_ON_SOLUTIONS]


def __getattr__(name):
    """Import a task when it is first asked for, with those that belong to it.

    TEAL finds a task or a parameter set by its name alone, once its module is imported.
    """
    for group in (_ALIGN, _ON_SOLUTIONS):
        if name in group:
            for task in group:
                importlib.import_module(f"{__name__}.{task}")
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """Return the names of the tasks too, for completion."""
    return [*globals(), *__all__]


if "pyraf" in sys.modules:
    from imagereg.interfaces import declare_tasks

    declare_tasks()
