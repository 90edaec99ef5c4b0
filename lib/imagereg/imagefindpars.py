"""The parameter set imagefindpars: how tweakreg finds the sources of the images."""

from imagereg import interfaces as _interfaces
from imagereg.interfaces import edit_imagefindpars

__all__ = ["edit_imagefindpars", "getHelpAsString", "help"]

__taskname__ = "imagefindpars"


def help(file: str | None = None) -> None:
    """Print the help, or write it into a file; see `tweakreg.help`."""
    _interfaces.help(file, task=__taskname__)


def getHelpAsString(docstring: bool = False, show_ver: bool = True) -> str:
    """Return the help as text; see `tweakreg.getHelpAsString`."""
    return _interfaces.getHelpAsString(docstring, show_ver, task=__taskname__)
