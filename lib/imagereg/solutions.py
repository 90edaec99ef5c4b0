"""Work with solutions that exist: what ``from imagereg import solutions`` gives.

| name | what it is |
|---|---|
| `applywcs` | put solutions that tweakreg found into headers |
| `restorewcs`, `activatewcs` | make an archived, or a named, WCS the primary one |
| `listwcs`, `comparewcs` | list the solutions of images, and measure them |
| `edit`, `help` | edit the parameters of one of these, and run it; print its help |

`imagereg.tweakback` carries the alignment of a mosaic back to its images.
"""

from imagereg import interfaces as _interfaces
from imagereg.interfaces import solutions as _solutions

__all__ = ["activatewcs", "applywcs", "comparewcs", "edit", "help", "listwcs", "restorewcs"]

applywcs = _solutions.applywcs
restorewcs = _solutions.restorewcs
activatewcs = _solutions.activatewcs
listwcs = _solutions.listwcs
comparewcs = _solutions.comparewcs
edit = _solutions.edit


def help(task: str = "applywcs", file: str | None = None) -> None:
    """Print the help of a task, or write it into a file; see `tweakreg.help`."""
    _interfaces.help(file, task=task)
