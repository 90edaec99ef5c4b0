"""The exclusions file of tweakreg: a list of the region files and mask images of every chip."""

from __future__ import annotations

import posixpath

from imagereg.errors import InputError
from imagereg.regions import is_region_text

_PLACEHOLDERS = ("NONE", "INDEF")
_EXPECTED = "the name of an image and one region file, None or INDEF for each of its chips"


def parse_exclusions(text, where=""):
    """Read a list with one line an image: its name, then one column a chip in the order of EXTVER.

    A chip whose column is None or INDEF, in any case, or is missing has no regions; nor has an image that stands
    alone in its line. A ``#`` that begins a line or follows a space begins a comment.

    Parameters
    ----------
    text : str
        Content of the list; where `regions.is_region_text` finds a region file, it is none.
    where : str
        Its name, for errors.

    Returns
    -------
    dict of str to tuple of (str or None)
        Names of files, as they are written, by the name of the image without its folder.

    Raises
    ------
    InputError
        A line does not begin with the name of an image, or an image has two lines.
    """
    where, found, lines = where or "exclusions", {}, {}
    for number, line in enumerate(text.splitlines(), 1):
        words = _before_comment(line).split()
        if not words:
            continue
        name = posixpath.basename(words[0])
        if not name or name.upper() in _PLACEHOLDERS or is_region_text(line):
            raise InputError(f"{where}, line {number}: {line.strip()[:100]!r}, expected {_EXPECTED}")
        if name in found:
            raise InputError(f"{where}, line {number}: {name} has a line already, line {lines[name]}")
        found[name] = tuple(None if word.upper() in _PLACEHOLDERS else word for word in words[1:])
        lines[name] = number
    return found


def _before_comment(line):
    return f" {line}".replace("\t", " ").partition(" #")[0]
