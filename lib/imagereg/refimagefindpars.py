"""The parameter set refimagefindpars: how tweakreg finds the sources of the reference image."""

from imagereg import tweakreg

__taskname__ = "refimagefindpars"


def help(file=None):
    """Print the help, or write it into a file; see `tweakreg.help`."""
    tweakreg.help(file, task=__taskname__)


def getHelpAsString(docstring=False, show_ver=True):
    """Return the help as text; see `tweakreg.getHelpAsString`."""
    return tweakreg.getHelpAsString(docstring, show_ver, task=__taskname__)
