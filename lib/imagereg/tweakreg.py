"""The task tweakreg: align images with each other.

Help: ``tweakreg.help()`` in Python, ``tweakreg --help`` in a shell.
"""

from imagereg.alignment.exposure import Status
from imagereg.catalogs.sources import SourceCatalog
from imagereg.errors import (
    AlignmentError,
    AmbiguousMatch,
    DegenerateFit,
    ImageregError,
    InputError,
    NotEnoughMatches,
    NotEnoughSources,
    ParameterError,
)
from imagereg.interfaces.python import (
    TweakReg,
    edit_imagefindpars,
    edit_refimagefindpars,
    getHelpAsString,
    help,
    run,
)
from imagereg.report.summary import Result
from imagereg.tasks.run import align_catalogs

__all__ = [
    "AlignmentError",
    "AmbiguousMatch",
    "DegenerateFit",
    "ImageregError",
    "InputError",
    "NotEnoughMatches",
    "NotEnoughSources",
    "ParameterError",
    "Result",
    "SourceCatalog",
    "Status",
    "TweakReg",
    "align_catalogs",
    "edit_imagefindpars",
    "edit_refimagefindpars",
    "getHelpAsString",
    "help",
    "run",
]

__taskname__ = "tweakreg"
