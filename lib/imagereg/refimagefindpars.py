"""The parameter set refimagefindpars: how tweakreg finds the sources of the reference image."""

from imagereg import interfaces as _interfaces
from imagereg.interfaces import edit_refimagefindpars

__all__ = ["edit_refimagefindpars", "getHelpAsString", "help"]

__taskname__ = "refimagefindpars"


def help(file: str | None = None) -> None:
    """Print the help, or write it into a file; see `tweakreg.help`."""
    _interfaces.help(file, task=__taskname__)


def getHelpAsString(docstring: bool = False, show_ver: bool = True) -> str:
    """Return the help as text; see `tweakreg.getHelpAsString`."""
    return _interfaces.getHelpAsString(docstring, show_ver, task=__taskname__)
