"""Alignment of images: the task tweakreg and its parameter sets imagefindpars and refimagefindpars.

``from imagereg import tweakreg; tweakreg.TweakReg('*flt.fits', threshold=200, shiftfile=True)``
"""

import importlib
import sys

from imagereg.version import __version__

__all__ = ["__version__", "imagefindpars", "refimagefindpars", "tweakreg"]
_TASKS = ("tweakreg", "imagefindpars", "refimagefindpars")


def __getattr__(name):
    """Import a task when it is first asked for."""
    if name in _TASKS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """Return the names of the tasks too."""
    return [*globals(), *_TASKS]


if "pyraf" in sys.modules:
    importlib.import_module(f"{__name__}.interfaces.pyraf").register()
