"""All solutions that a file holds: its primary WCS, the alternates, and attached headerlets."""

from __future__ import annotations

import dataclasses
import logging
import os

import numpy as np

from imagereg.alignment.sequence import Chip
from imagereg.errors import InputError
from imagereg.files import fits as files
from imagereg.files.inputs import expand_input
from imagereg.wcs.alternates import wcs_names
from imagereg.wcs.headerlet import attached_headerlets
from imagereg.wcs.plane import same_sky

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """A solution that a file holds.

    Parameters
    ----------
    name : str
        WCSNAME, or HDRNAME of a headerlet.
    place : str
        'primary', the letter of an alternate WCS, or 'HDRLET,n' with the EXTVER of an attached headerlet.
    chips : tuple of align.Chip
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
    chips: tuple
    author: str = ""
    catalog: str = ""
    nmatch: int | None = None
    rms: tuple = (np.nan, np.nan)
    active: bool = False


def listing(given):
    """Return the solutions that files hold, a row for each: `astropy.table.Table` of what `Stored` says."""
    from astropy.table import Table

    paths = [file.path for file in expand_input(given)]
    rows = [(os.path.basename(path), one.place, one.name, one.author or "-", one.catalog or "-",
             "-" if one.nmatch is None else str(one.nmatch), *one.rms, "yes" if one.active else "no")
            for path in paths for one in stored(path)]
    names = ("file", "place", "name", "author", "catalog", "nmatch", "rms_ra", "rms_dec", "active")
    table = Table(rows=rows, names=names, units={"rms_ra": "mas", "rms_dec": "mas"})
    for name in ("rms_ra", "rms_dec"):
        table[name].info.format = ".2f"
    return table


def stored(path):
    """Return all solutions that a file holds, the primary WCS first: list of `Stored`; InputError if it has none."""
    with files.opened(path) as hdus:
        first, *others = [*_primary_and_alternates(hdus, path), *_headerlets(hdus, path)]
    return [dataclasses.replace(one, active=one is first or _same_sky(one.chips, first.chips))
            for one in (first, *others)]


def _same_sky(chips, others):
    """Whether two solutions are of the same chips, and give them the same sky."""
    others = {chip.extver: chip.wcs for chip in others}
    return {chip.extver for chip in chips} == others.keys() and all(
        same_sky(chip.wcs, others[chip.extver], chip.shape) for chip in chips)


def _primary_and_alternates(hdus, path):
    """Yield what the science headers hold."""
    header = hdus[next(iter(files.science(hdus, path)))].header
    for letter, name in ({" ": ""} | wcs_names(header)).items():
        key = letter.strip()
        try:
            chips = files.read_chips(hdus, path, letter)
        except InputError as error:
            if not key:
                raise
            log.info("the alternate WCS %s is left out: %s", key, error)
            continue
        yield Stored(name, key or "primary", tuple(chips), **_facts(header, key))


def _headerlets(hdus, path):
    """Yield the attached headerlets."""
    shapes = {chip.extver: chip.shape for chip in files.read_chips(hdus, path)}
    for one in attached_headerlets(hdus):
        chips = (Chip(extver, wcs, shapes[extver]) for extver, wcs in one.wcss.items() if extver in shapes)
        yield Stored(one.name, one.place, tuple(chips), author=str(one.about.get("AUTHOR") or ""), **_facts(one.about))


def _facts(header, key=""):
    """Return what a header says of the WCS that stands under a letter, as fields of `Stored`."""
    rms = [header.get(f"RMS_{axis}{key}") or header.get(f"CRDER{i}{key}") for i, axis in enumerate(("RA", "DEC"), 1)]
    return {"catalog": str(header.get(f"CATALOG{key}") or ""), "nmatch": header.get(f"NMATCH{key}") or None,
            "rms": tuple(float(r) * 3.6e6 if r else np.nan for r in rms)}
