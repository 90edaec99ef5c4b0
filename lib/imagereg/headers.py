"""The WCS keywords of a science header: which they are, how they are archived, how a fit changes them."""

from __future__ import annotations

import dataclasses
import re
import string

import numpy as np

from imagereg.errors import InputError
from imagereg.wcs import orientation

# Keywords of a WCS that have a twin for every alternate (Greisen & Calabretta 2002, A&A 395, 1061), without letter.
_KEYWORDS = re.compile(r"(WCSAXES|WCSNAME|WCSTYPE|(CRPIX|CRVAL|CTYPE|CUNIT|CDELT|CRDER|CSYER)[12]|(CD|PC)[12]_[12]"
                       r"|P[VS][12]_\d+|LONPOLE|LATPOLE|RADESYS|EQUINOX)$")
_LAST_OF_TAN = 4  # PV terms up to here may belong to a projection
_ORIGINAL = "O"  # stwcs keeps the WCS of the first calibration there
_UNNAMED = "PRE-TWEAKREG"


@dataclasses.dataclass(frozen=True)
class Solution:
    """What a header says of a fit.

    Parameters
    ----------
    wcsname : str
        WCSNAME and FITNAME.
    wcstype : str
        WCSTYPE.
    nmatch : int
        Number of sources the fit is based on.
    rms : (float, float)
        Scatter of their residuals in right ascension and declination, degrees on the sky.
    fitgeom : str
        Geometry of the fit.
    """

    wcsname: str
    wcstype: str = "user-defined"
    nmatch: int = 0
    rms: tuple = (0.0, 0.0)
    fitgeom: str = ""


def wcs_names(header):
    """Names of the primary WCS (key ' ') and of all alternates, a dict by key."""
    names = {" ": str(header["WCSNAME"])} if "WCSNAME" in header else {}
    names.update({key: str(header.get(f"WCSNAME{key}", "")) for key in string.ascii_uppercase
                  if f"CRVAL1{key}" in header or f"WCSNAME{key}" in header})
    return names


def archived(header, reuse=""):
    """Copy the primary WCS to the next free letter, value for value.

    Parameters
    ----------
    header : astropy.io.fits.Header
        It is not changed.
    reuse : str
        Name of a solution that is to be replaced: a primary WCS of that name is not kept.

    Returns
    -------
    astropy.io.fits.Header

    Raises
    ------
    InputError
        All letters are taken.
    """
    header = header.copy()
    name = str(header.get("WCSNAME", "")).strip() or _UNNAMED
    if reuse and name.upper() == reuse.upper():
        return header
    used = {keyword[-1] for keyword in _alternate_keywords(header)} | {_ORIGINAL}
    free = [key for key in string.ascii_uppercase if key not in used]
    if not free:
        raise InputError("all 25 letters for alternate WCSs are taken")
    others = {taken.upper() for key, taken in wcs_names(header).items() if key != " "}
    unique = next(n for n in (name, *(f"{name}-{i}" for i in range(1, 30))) if n.upper() not in others)
    _insert_alternate(header, free[0], unique)
    return header


def with_original(header, before):
    """Return a header that has the primary WCS of `before` under the letter that stwcs keeps the first one under."""
    header, kept = header.copy(), before.copy()
    if _ORIGINAL not in wcs_names(header):
        _insert_alternate(kept, _ORIGINAL, "OPUS")
        header.extend(card for card in kept.cards if card.keyword not in header and card.keyword[-1:] == _ORIGINAL)
    return header


def _insert_alternate(header, key, name):
    """Copy the primary WCS of a header, in place, to an alternate after it."""
    primary = [card for card in header.cards if _KEYWORDS.match(card.keyword)]
    cards = {card.keyword: (card.value, card.comment) for card in primary} | _of_alternate(header)
    cards["WCSNAME"] = (name, "name of this coordinate description")
    position = max(header.index(card.keyword) for card in primary)
    for keyword, (value, comment) in reversed(cards.items()):
        header.insert(position, (keyword + key, value, comment), after=True)


def _of_alternate(header):
    """Return what an alternate needs because what the primary WCS has in its place holds for that alone.

    CROTA has no alternate, and a distortion in PV terms has one only where CTYPE says TPV, as SCAMP's does not.
    """
    cards = {}
    if "CROTA2" in header and not any(f"{name}1_1" in header for name in ("CD", "PC")):
        turn, ratio = np.deg2rad(header["CROTA2"]), header.get("CDELT2", 1.0) / header.get("CDELT1", 1.0)
        pc = [[np.cos(turn), -np.sin(turn) * ratio], [np.sin(turn) / ratio, np.cos(turn)]]
        cards.update({f"PC{i}_{j}": (float(pc[i - 1][j - 1]), "from CROTA2") for i in (1, 2) for j in (1, 2)})
    if is_tpv(header):
        cards.update({f"CTYPE{i}": (header[f"CTYPE{i}"].replace("-TAN", "-TPV"), "") for i in (1, 2)})
    return cards


def is_tpv(header):
    """Whether distortion comes as PV terms; CTYPE may say TPV, or, as SCAMP's, TAN."""
    ctype = str(header.get("CTYPE1", ""))
    many = any(re.fullmatch(r"PV[12]_\d+", name) and int(name[4:]) > _LAST_OF_TAN for name in header)
    return ctype.endswith("-TPV") or (ctype.endswith("-TAN") and many)


def _alternate_keywords(header):
    return [keyword for keyword in header if keyword[-1:].isalpha() and _KEYWORDS.match(keyword[:-1])]


def without_alternates(header):
    """Return a header with its primary WCS only; the one given is not changed."""
    header = header.copy()
    for keyword in _alternate_keywords(header):
        header.remove(keyword, ignore_missing=True, remove_all=True)
    return header


def corrected_header(header, wcs, solution, reuse=False):
    """Give a science header a new primary WCS; the one before is archived.

    Parameters
    ----------
    header : astropy.io.fits.Header
        It is not changed.
    wcs : astropy.wcs.WCS or None
        The new one, which differs from that of `header` in CRVAL and CD, PC or PV; None leaves the numbers alone.
    solution : Solution
        What is known of it.
    reuse : bool
        Replace a primary WCS of the same name instead of archiving it.

    Returns
    -------
    astropy.io.fits.Header

    Raises
    ------
    InputError
        No letter is left for the archive.
    """
    header = archived(header, solution.wcsname if reuse else "")
    if wcs is not None:
        for name, value in _numbers(header, wcs).items():
            header[name] = value  # the comment stays
        if "ORIENTAT" in header:
            header["ORIENTAT"] = orientation(wcs)
    header["WCSNAME"] = (solution.wcsname, "name of this coordinate description")
    header.set("WCSTYPE", solution.wcstype, "kind of this coordinate description", after="WCSNAME")
    if wcs is not None:
        header.set("FITNAME", solution.wcsname, "name of the fit that led to it", after="WCSTYPE")
        header.set("NMATCH", solution.nmatch, "sources the fit is based on", after="FITNAME")
        header.set("FITGEOM", solution.fitgeom, "geometry of the fit", after="NMATCH")
        header.set("RMS_RA", solution.rms[0], "[deg] rms of the fit in right ascension", after="FITGEOM")
        header.set("RMS_DEC", solution.rms[1], "[deg] rms of the fit in declination", after="RMS_RA")
        header["CRDER1"] = (solution.rms[0], "[deg] random error of axis 1")
        header["CRDER2"] = (solution.rms[1], "[deg] random error of axis 2")
    return header


def _numbers(header, wcs):
    """Return the keywords in which the new WCS differs, with their values."""
    changed = {f"CRVAL{i}": float(wcs.wcs.crval[i - 1]) for i in (1, 2)}
    terms = {name: value for name, value in wcs.to_header(relax=True).items() if re.fullmatch(r"PV[12]_\d+", name)}
    if "LONPOLE" not in header and wcs.wcs.lonpole != 180:
        changed["LONPOLE"] = float(wcs.wcs.lonpole)  # what is left out changes its meaning at the pole
    if is_tpv(header):
        return changed | terms
    if wcs.wcs.has_cd():
        return changed | {f"CD{i}_{j}": float(wcs.wcs.cd[i - 1, j - 1]) for i in (1, 2) for j in (1, 2)}
    for name in ("CROTA1", "CROTA2"):
        header.remove(name, ignore_missing=True)
    pc = wcs.wcs.get_pc()
    return changed | {f"PC{i}_{j}": float(pc[i - 1, j - 1]) for i in (1, 2) for j in (1, 2)}
