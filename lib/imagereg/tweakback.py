"""The task tweakback: give the images of a mosaic the alignment of the mosaic."""

from collections.abc import Mapping as _Mapping
from typing import Any as _Any

from imagereg import interfaces as _interfaces
from imagereg.interfaces import solutions as _solutions

__all__ = ["getHelpAsString", "help", "run", "tweakback"]

__taskname__ = "tweakback"

tweakback = _solutions.tweakback


def run(configobj: _Mapping) -> _Any:
    """Run the task with the parameters that TEAL or a script hands over; see `tweakback`."""
    return tweakback(**{name: value for name, value in dict(configobj).items()
                        if not name.startswith("_")})


def help(file: str | None = None) -> None:
    """Print the help, or write it into a file; see `tweakreg.help`."""
    _interfaces.help(file, task=__taskname__)


def getHelpAsString(docstring: bool = False, show_ver: bool = True) -> str:
    """Return the help as text; see `tweakreg.getHelpAsString`."""
    return _interfaces.getHelpAsString(docstring, show_ver, task=__taskname__)
