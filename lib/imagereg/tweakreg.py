"""Align images with each other: what ``from imagereg import tweakreg`` gives.

| name | what it is |
|---|---|
| `TweakReg` | align images |
| `run` | the same for the parameters that TEAL, epar or a script hands over |
| `run_batch` | align many visits |
| `align_catalogs` | align lists of sources, without files |
| `Result`, `Status`, `SourceCatalog` | result of a run, verdict on an image, list of sources |
| `edit_imagefindpars`, `edit_refimagefindpars` | edit the parameter sets |
| `help`, `getHelpAsString` | print or return the help |
| `ImageregError` | base of all errors: `ParameterError`, `InputError`, and `AlignmentError` with |
| | `NotEnoughSources`, `NotEnoughMatches`, `DegenerateFit`, `AmbiguousMatch`, `NotAligned` |
| `AlignmentWarning` | what tells of images that are not aligned |

These names are public and stay; all else in the package may change.
"""

from imagereg.catalogs import SourceCatalog
from imagereg.errors import (
    AlignmentError,
    AlignmentWarning,
    AmbiguousMatch,
    DegenerateFit,
    ImageregError,
    InputError,
    NotAligned,
    NotEnoughMatches,
    NotEnoughSources,
    ParameterError,
)
from imagereg.interfaces import (
    TweakReg,
    edit_imagefindpars,
    edit_refimagefindpars,
    getHelpAsString,
    help,
    run,
)
from imagereg.report import Result
from imagereg.tasks import align_catalogs, run_batch
from imagereg.wcs import Status

__all__ = [
    "AlignmentError",
    "AlignmentWarning",
    "AmbiguousMatch",
    "DegenerateFit",
    "ImageregError",
    "InputError",
    "NotAligned",
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
    "run_batch",
]

__taskname__ = "tweakreg"
