"""Alignment of images: the task tweakreg, its parameter sets imagefindpars and refimagefindpars.

``from imagereg import tweakreg; tweakreg.TweakReg('*flt.fits', threshold=200, shiftfile=True)``
"""

import importlib
import sys

from imagereg.version import __version__

__all__ = ["__version__", "imagefindpars", "refimagefindpars", "tweakreg"]


def __getattr__(name):
    """Import the tasks when one of them is first asked for.

    TEAL finds a parameter set by its name alone, once its module is imported.
    """
    if name in __all__:
        for task in __all__[1:]:
            importlib.import_module(f"{__name__}.{task}")
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """Return the names of the tasks too, for completion."""
    return [*globals(), *__all__]


if "pyraf" in sys.modules:
    from imagereg.interfaces import declare_tasks

    declare_tasks()
