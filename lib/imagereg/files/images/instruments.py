"""The instruments that are known, and what is read from the headers of their files."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from imagereg import alignment
from imagereg.catalogs import julian_year

if TYPE_CHECKING:
    from imagereg.alignment import Metadata

_FITS_ENDING = r"\.(?:fits?|fts)(?:\.gz)?"
# IPPPSSOOT: instrument, programme, visit, exposure, kind.
_HST_ROOT = re.compile(r"[a-z][a-z0-9]{8}$")
_VISIT_LENGTH = 6  # ipppss
# Exposures of a space telescope for which all of these agree have the same PSF.
_OPTICS = ("TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "FILTNAM1", "PUPIL",
           "D001KERN", "D001SCAL", "S_RESAMP")  # the last are those of drizzled images
_GAIN = ("CCDGAIN", "ATODGAIN", "GAIN", "EGAIN")  # electrons per count
_RATE_UNITS = ("/S", "S-1", "/SEC")
_COUNT_UNITS = ("COUNT", "CT", "ADU", "DN")  # as BUNIT begins in files that have a gain
_MJD_ZERO = datetime.datetime(1858, 11, 17)
_SECONDS_PER_DAY = 86400
# Suffixes that stwcs.wcsutil.headerlet leaves out of the names of headerlets.
_CALIBRATED = re.compile(r"_(crj|flt|flc|sfl|cal|raw|c0h|c0f|c1f)$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Instrument:
    """An instrument, and how its files differ from those of others.

    Parameters
    ----------
    telescope, name : str
        TELESCOP and INSTRUME of its files; '' matches all.
    member_suffixes : tuple of str
        What follows the name of an association's member in the name of its file, the best first.
    shares_psf : bool
        Whether exposures through the same filters have the same PSF; if not, each has its own.
    has_repeated_exposures : bool
        Whether each SCI extension of a file is an exposure, and not a chip of one exposure.
    flags_name : (str, str) or None
        Where a separate file holds the data quality flags: a pattern for the name of an image,
        and by what to replace its match.
    has_updatewcs : bool
        Whether stwcs.updatewcs can make its WCS from reference files.
    """

    telescope: str
    name: str
    member_suffixes: tuple[str, ...] = ()
    shares_psf: bool = False
    has_repeated_exposures: bool = False
    flags_name: tuple[str, str] | None = None
    has_updatewcs: bool = False


def _hst(name: str, *member_suffixes: str, **more: Any) -> Instrument:
    return Instrument("HST", name, member_suffixes, shares_psf=True, **more)


_WFPC2_FLAGS = (rf"(?i)(?P<root>[._][cd])0(?P<kind>[mfh])(?P<end>{_FITS_ENDING}|)$",
                r"\g<root>1\g<kind>\g<end>")
INSTRUMENTS = (
    _hst("ACS", "_flc.fits", "_flt.fits", has_updatewcs=True),
    _hst("WFC3", "_flc.fits", "_flt.fits", has_updatewcs=True),
    _hst("WFPC2", "_c0m.fits", "_c0h.fits", "_c0f.fits", flags_name=_WFPC2_FLAGS,
         has_updatewcs=True),
    _hst("NICMOS", "_cal.fits", has_updatewcs=True),
    _hst("STIS", "_flt.fits", "_crj.fits", has_repeated_exposures=True, has_updatewcs=True),
    _hst(""),
    Instrument("JWST", "", ("_cal.fits",), shares_psf=True),
    Instrument("", "", (".fits",)),
)

#: What follows the name of an association's member, of all instruments; the best first.
MEMBER_SUFFIXES = tuple(dict.fromkeys(
    suffix for instrument in INSTRUMENTS for suffix in instrument.member_suffixes))


def instrument_of(header: Mapping) -> Instrument:
    """Return the instrument that TELESCOP and INSTRUME name; the last of the table for others."""
    telescope = str(header.get("TELESCOP", "")).strip()
    name = str(header.get("INSTRUME", "")).strip().upper()
    return next(known for known in INSTRUMENTS
                if known.telescope in ("", telescope) and known.name in ("", name))


def metadata_of(header: Mapping, path: str) -> Metadata:
    """Return what the headers of an exposure say of it.

    Parameters
    ----------
    header : mapping
        Keywords of its first chip, and those of the primary header that it lacks.
    path : str
        Its file.
    """
    keywords = ("ROOTNAME", "VISIT_ID", "ASN_ID", "TARGNAME", "OBJECT", "WCSNAME")
    words = {keyword: str(header.get(keyword, "")).strip() for keyword in keywords}
    optics = path
    if instrument_of(header).shares_psf:
        optics = " ".join(str(header.get(keyword, "")) for keyword in _OPTICS).strip()
    exptime = header.get("EXPTIME")
    exptime = float(exptime) if isinstance(exptime, (int, float)) else np.nan
    root = root_of(words["ROOTNAME"], os.path.basename(path))
    return alignment.Metadata(
        optics=optics,
        epoch=_epoch(header, exptime),
        exptime=exptime,
        visit=words["VISIT_ID"] or visit_of(root),
        rootname=root,
        association=words["ASN_ID"],
        target=words["TARGNAME"] or words["OBJECT"],
        wcsname=words["WCSNAME"],
    )


def root_of(rootname: str, name: str) -> str:
    """Return ROOTNAME, or else the beginning of the file's name, in lower case."""
    return (rootname or re.split(r"[_.]", name)[0]).lower()


def visit_of(root: str) -> str:
    """Return the visit, ipppss, that the rootname of an HST exposure tells; '' for other names."""
    return root[:_VISIT_LENGTH] if _HST_ROOT.match(root) else ""


def _epoch(header, exptime):
    """Return the Julian year of the middle of an exposure; NaN where no keyword tells it."""
    start = header.get("EXPSTART")
    end = header.get("EXPEND")
    middle = header.get("MJD-AVG")
    half = (exptime if np.isfinite(exptime) else 0.0) / _SECONDS_PER_DAY / 2
    if isinstance(start, float) and isinstance(end, float):
        mjd = (start + end) / 2
    elif isinstance(middle, float):
        mjd = middle
    elif isinstance(header.get("MJD-OBS"), (int, float)):
        mjd = header["MJD-OBS"] + half
    else:
        date = str(header.get("DATE-OBS", ""))
        time = str(header.get("TIME-OBS", header.get("UT", "00:00:00")))
        moment = date if "T" in date else f"{date}T{time}"
        try:
            passed = datetime.datetime.fromisoformat(moment[:19]) - _MJD_ZERO
        except ValueError:
            return np.nan
        mjd = passed.total_seconds() / _SECONDS_PER_DAY + half
    return julian_year(mjd)


def electrons_per_count(header: Mapping) -> float:
    """Return how many electrons a unit of the pixels stands for; infinity where it is not known.

    It is known of electrons, and of counts, or pixels without a unit, with a gain. In other units
    (MJy/sr, nanomaggies) a gain of the detector says nothing of the pixels.

    Parameters
    ----------
    header : mapping
        As for `metadata_of`.
    """
    unit = str(header.get("BUNIT", "")).upper().replace(" ", "")
    if unit.startswith("ELECTRON"):
        gain = 1.0
    elif not unit or unit.startswith(_COUNT_UNITS):
        values = (header.get(keyword) for keyword in _GAIN)
        gain = next((float(g) for g in values if isinstance(g, (int, float)) and g > 0), np.inf)
    else:
        gain = np.inf
    if unit.endswith(_RATE_UNITS):
        exptime = header.get("EXPTIME", 1.0)
        gain *= float(exptime) if exptime and exptime > 0 else 1.0
    return gain


def quality_file(path: str) -> str | None:
    """Return the file beside an image that holds the flags of its pixels; None where there is none.

    WFPC2 has such files: for ``<root>_c0m.fits`` it is ``<root>_c1m.fits`` (``_c1h`` for ``_c0h``,
    ``_c1f`` for ``_c0f``, and ``.c1h`` for the GEIS header ``.c0h``), with image extensions of the
    same EXTVER, whatever their name.
    """
    for pattern, replacement in filter(None, (known.flags_name for known in INSTRUMENTS)):
        if re.search(pattern, path):
            name = re.sub(r"(?i)\.gz$", "", re.sub(pattern, replacement, path))
            return next((file for file in (name, f"{name}.gz") if os.path.isfile(file)), None)
    return None


def root_name(path: str) -> str:
    """Return the root of an image's output names: ``j99da1f2q_flt`` of ``j99da1f2q_flt.fits``."""
    return re.sub(rf"(?i){_FITS_ENDING}$", "", os.path.basename(path))


def headerlet_root(path: str) -> str:
    """Return the root of the name of an image's headerlet, as stwcs makes it: ``j99da1f2q``."""
    return _CALIBRATED.sub("", root_name(path))
