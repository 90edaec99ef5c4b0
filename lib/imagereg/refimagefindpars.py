"""The parameter set refimagefindpars: how tweakreg finds the sources of the reference image."""

from imagereg.interfaces import epar as editor
from imagereg.interfaces import python

__taskname__ = "refimagefindpars"


def edit_refimagefindpars():
    """Edit the parameter set; see `imagereg.interfaces.epar.edit`."""
    return editor.edit(__taskname__)


def help(file=None):
    """Print the help, or write it into a file; see `tweakreg.help`."""
    python.help(file, task=__taskname__)


def getHelpAsString(docstring=False, show_ver=True):
    """Return the help as text; see `tweakreg.getHelpAsString`."""
    return python.getHelpAsString(docstring, show_ver, task=__taskname__)
