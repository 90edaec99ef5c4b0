"""List the solutions that files hold: primary WCS, alternates, and attached headerlets."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from imagereg.alignment import Chip
from imagereg.errors import InputError
from imagereg.files import expand_input
from imagereg.files import fits as files
from imagereg.wcs import alternates, headerlet, keywords, plane

if TYPE_CHECKING:
    from astropy.table import Table

_MAS_PER_DEGREE = 3.6e6

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class StoredSolution:
    """A solution that a file holds.

    Parameters
    ----------
    name : str
        WCSNAME, or HDRNAME of a headerlet.
    place : str
        'primary', the letter of an alternate WCS, or 'HDRLET,n' with the EXTVER of an attached
        headerlet.
    chips : tuple of Chip
        With their WCS.
    author, catalog : str
        Who made it, and from what; empty where it is not known.
    nmatch : int or None
        Number of sources it is based on.
    rms : (float, float)
        Of the fit, mas; NaN where it is not known.
    active : bool
        Whether it is the primary WCS, or has the same sky.
    """

    name: str
    place: str
    chips: tuple[Chip, ...]
    author: str
    catalog: str
    nmatch: int | None = None
    rms: tuple[float, float] = (np.nan, np.nan)
    active: bool = False


def list_solutions(given: str | Sequence[str]) -> Table:
    """Return the solutions that files hold as a table, a row for each.

    Its ``meta["problems"]`` has a sentence for each file that can't be read.

    Raises
    ------
    InputError
        None of the files can be read.
    """
    from astropy.table import Table

    rows = []
    problems = []
    for file in expand_input(given):
        name = os.path.basename(file.path)
        try:
            solutions = stored_solutions(file.path)
        except InputError as error:
            problems.append(str(error))
            continue
        for one in solutions:
            nmatch = "-" if one.nmatch is None else str(one.nmatch)
            rows.append((name, one.place, one.name, one.author or "-", one.catalog or "-", nmatch,
                         *one.rms, "yes" if one.active else "no"))
    if not rows:
        raise InputError(problems[0])
    names = ("file", "place", "name", "author", "catalog", "nmatch", "rms_ra", "rms_dec", "active")
    table = Table(rows=rows, names=names, units={"rms_ra": "mas", "rms_dec": "mas"},
                  meta={"problems": problems})
    for name in ("rms_ra", "rms_dec"):
        table[name].info.format = ".2f"
    return table


def stored_solutions(path: str) -> list[StoredSolution]:
    """Return all solutions that a file holds, the primary WCS first; InputError if it has none."""
    with files.opened(path) as hdus:
        found = [*_primary_and_alternates(hdus, path), *_headerlets(hdus, path)]
    primary = found[0].chips
    return [dataclasses.replace(one, active=one is found[0] or _same_sky(one.chips, primary))
            for one in found]


def _same_sky(chips, others):
    """Whether two solutions are of the same chips, and give them the same sky."""
    wcs_of = {chip.extver: chip.wcs for chip in others}
    if {chip.extver for chip in chips} != wcs_of.keys():
        return False
    return all(plane.same_sky(chip.wcs, wcs_of[chip.extver], chip.shape) for chip in chips)


def _primary_and_alternates(hdus, path):
    """Yield what the science headers hold."""
    header = hdus[next(iter(files.science(hdus, path)))].header
    for letter, name in ({" ": ""} | alternates.wcs_names(header)).items():
        key = letter.strip()
        try:
            chips = files.read_chips(hdus, path, letter)
        except InputError as error:
            if not key:
                raise
            log.info("the alternate WCS %s is left out: %s", key, error)
            continue
        yield StoredSolution(name, key or "primary", tuple(chips), author="",
                             **_provenance(header, key))


def _headerlets(hdus, path):
    """Yield the attached headerlets."""
    shapes = {chip.extver: chip.shape for chip in files.read_chips(hdus, path)}
    for one in headerlet.attached_headerlets(hdus):
        chips = tuple(Chip(extver, wcs, shapes[extver]) for extver, wcs in one.wcss.items()
                      if extver in shapes)
        author = keywords.text(one.about, "AUTHOR")
        yield StoredSolution(one.name, one.place, chips, author=author, **_provenance(one.about))


def _provenance(header, key=""):
    """Return catalog, nmatch and rms of the WCS under a letter, as fields of `StoredSolution`."""
    nmatch = keywords.number(header, f"NMATCH{key}")
    return {"catalog": keywords.text(header, f"CATALOG{key}"),
            "nmatch": int(nmatch) if nmatch > 0 else None,
            "rms": tuple(keywords.fit_rms(header, axis, key) * _MAS_PER_DEGREE
                         for axis in (1, 2))}
