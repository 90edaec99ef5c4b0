"""The exclusions file of tweakreg: a list of the region files and mask images of every chip."""

from __future__ import annotations

from imagereg.catalogs.user import parse_chip_files
from imagereg.detection.ds9 import is_region_text
from imagereg.errors import InputError

_EXPECTED = "the name of an image and one region file, None or INDEF for each of its chips"


def parse_exclusions(text, where=""):
    """Read a list of exclusions; see `usercatalogs.parse_chip_files`, which lists of catalogs are read with too.

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
        A line does not begin with the name of an image, or an image has two lines, or none has any.
    """
    where = where or "exclusions"
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and (words[0].upper() in ("NONE", "INDEF") or is_region_text(line)):
            raise InputError(f"{where}, line {number}: {line.strip()[:100]!r}, expected {_EXPECTED}")
    return parse_chip_files(text, where)
