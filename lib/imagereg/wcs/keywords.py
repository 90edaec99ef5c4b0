"""The WCS keywords of a science header: which they are, how they are archived and restored, how a fit changes them."""

from __future__ import annotations

import math
import re
import string

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from imagereg.errors import InputError
from imagereg.version import __version__
from imagereg.wcs.plane import orientation, pixel_to_sky

# Keywords of a WCS that have a twin for every alternate, without letter: those of Greisen & Calabretta 2002 (A&A 395,
# 1061), and what stwcs, drizzlepac and we say of where a WCS is from.
_KEYWORDS = re.compile(r"(WCSAXES|WCSNAME|WCSTYPE|(CRPIX|CRVAL|CTYPE|CUNIT|CDELT|CRDER|CSYER)[12]|(CD|PC)[12]_[12]"
                       r"|P[VS][12]_\d+|LONPOLE|LATPOLE|RADESYS|EQUINOX|HDRNAME|CATALOG|FITNAME|NMATCH|FITGEOM|RMS_(RA|DEC))$")
# Others that belong to a WCS: they leave no room for a letter, or the standard gives them no alternate, or the one
# for CTYPE has to differ. Their cards are kept under these names of ours, so that they come back as they were.
_TWINS = {"ORIENTAT": "ORIENT", "S_REGION": "SREGION", "CROTA1": "OROTA1", "CROTA2": "OROTA2", "CTYPE1": "OTYPE1",
          "CTYPE2": "OTYPE2"}
_OF_TWINS = {twin: keyword for keyword, twin in _TWINS.items()}
# Those that no update changes: an alternate that another program archived may do without them.
_LASTING = re.compile(r"WCSAXES|RADESYS|EQUINOX|(CTYPE|CUNIT|CRPIX|CDELT)[12]$")
_LAST_OF_TAN = 4  # PV terms up to here may belong to a projection
_ORIGINAL = "O"  # stwcs keeps the WCS of the first calibration there
_UNNAMED = "PRE-TWEAKREG"
_NAME_COMMENT = "name of this coordinate description"
_COMMENTARY = ("HISTORY", "COMMENT", "")
_NOT_ALIGNED = "not aligned: "  # WCSTYPE of an image that keeps its WCS under the name of a solution, less the reason
_ROOM = 65  # letters of a card for a text and its comment
_ROUNDING = 1e-10  # stwcs archives to some 13 digits
_FITTED = {"REL": "relatively aligned to", "IMG": "aligned image-by-image to", "EVM": "aligned by visit-exposures to",
           "SVM": "aligned by visit to"}


def _history(wcsname, solution):
    """Return the line of HISTORY that tells of a new WCS."""
    facts = [f"tweakreg {__version__}: {wcsname}"]
    if not solution.stays:
        rms = " ".join(f"{value / 3600 * 3.6e6:.2f}" for value in (solution.ra_rms, solution.dec_rms))
        facts += [f"reference {solution.reference}"] if solution.reference else []
        facts += [f"{solution.nmatches} matches", f"rms {rms} mas"] if solution.nmatches else []
        facts += [f"chance {solution.chance:.1e}"] if math.isfinite(solution.chance) else []
    return ", ".join(facts).encode("ascii", "replace").decode()


def wcs_type(wcsname):
    """WCSTYPE that drizzlepac 3.11 (updatehdr.interpret_wcsname_type) reads from names such as IDC_abc-FIT_REL_GAIA."""
    base, _, fit = wcsname.upper().partition("-")
    kind = {"IDC": "undistorted ", "OPU": "pipeline default "}.get(base[:3])
    fit = fit.partition("-")[0]
    if kind is None:
        return "user-defined"
    if not fit:
        return f"{kind}not aligned"
    if "FIT" not in fit:
        return f"{kind}a priori solution based on {fit}"
    how, _, catalog = fit.partition("_")[2].partition("_")
    return " ".join([f"{kind}a posteriori solution", *([f"{_FITTED[how]} {catalog}"] if how in _FITTED else [])])


def wcs_names(header):
    """Names of the primary WCS (key ' ') and of all alternates, a dict by key."""
    names = {" ": str(header["WCSNAME"])} if "WCSNAME" in header else {}
    names.update({key: str(header.get(f"WCSNAME{key}", "")) for key in string.ascii_uppercase
                  if f"CRVAL1{key}" in header or f"WCSNAME{key}" in header})
    return names


def archived(header, reuse=""):
    """Copy the primary WCS to the letter after the last one, card for card; one that is there already moves there.

    Parameters
    ----------
    header : astropy.io.fits.Header
        It is not changed.
    reuse : str
        Name of a solution that is to be replaced: no WCS of that name is kept.

    Returns
    -------
    astropy.io.fits.Header

    Raises
    ------
    InputError
        All letters are taken.
    """
    name = _primary_name(header)
    others = {key: taken.upper() for key, taken in wcs_names(header).items() if key not in (" ", _ORIGINAL)}
    dropped = [key for key, taken in others.items() if taken == reuse.upper() != ""]
    header = without_alternates(header, dropped + _copies(header))
    if reuse and name.upper() == reuse.upper():
        return header
    used = {keyword[-1] for keyword in _alternate_keywords(header)} | {_ORIGINAL}
    free = [key for key in string.ascii_uppercase if key not in used]
    if not free:
        raise InputError("all 25 letters for alternate WCSs are taken")
    last = max(used - {_ORIGINAL}, default="")
    taken = {taken.upper() for key, taken in wcs_names(header).items() if key != " "}
    unique = next(n for n in (name, *(f"{name}-{i}" for i in range(1, 30))) if n.upper() not in taken)
    _insert_alternate(header, next((key for key in free if key > last), free[0]), unique)
    return header


def _primary_name(header):
    return str(header.get("WCSNAME", "")).strip() or _UNNAMED


def _copies(header):
    """Return the letters of the alternates that have the name and the numbers of the primary WCS."""
    name = _primary_name(header).upper()
    return [key for key, taken in wcs_names(header).items()
            if key not in (" ", _ORIGINAL) and taken.upper() == name and _is_copy(header, key)]


def _is_copy(header, key):
    """Whether an alternate has the numbers of the primary WCS, as far as other programs keep them."""
    pairs = [(value, header[keyword + key]) for keyword, value in header.items()
             if _KEYWORDS.match(keyword) and keyword + key in header]
    return all(math.isclose(a, b, rel_tol=_ROUNDING, abs_tol=1e-15) for a, b in pairs
               if isinstance(a, float) and isinstance(b, (int, float)))


def last_archived(header):
    """Name of the WCS that was archived last: that of the last letter, the first calibration's apart.

    Raises
    ------
    InputError
        There is none.
    """
    names = {key: name for key, name in wcs_names(header).items() if key not in (" ", _ORIGINAL) and name}
    if not names:
        raise InputError("has no archived WCS")
    return names[max(names)]


def find_wcs(header, name):
    """Return the letter of the WCS that has a name, or that letter; ' ' for the primary one, '' where there is none."""
    names = wcs_names(header) | {" ": _primary_name(header)}
    named = [key for key, known in names.items() if known.upper() == name.upper()]
    if " " in named:
        return " "
    return named[-1] if named else name.upper() if name.upper() in names else ""


def restored_header(header, name, read_wcs):
    """Make an archived WCS the primary one again, card for card; the present one takes its place in the archive.

    Parameters
    ----------
    header : astropy.io.fits.Header
        It is not changed.
    name : str
        Which WCS, see `find_wcs`; where it is the primary one, nothing changes.
    read_wcs : callable
        Reads the astropy.wcs.WCS of a header, with all distortions.

    Returns
    -------
    astropy.io.fits.Header

    Raises
    ------
    InputError
        There is no such WCS, or its distortion is not that of the present one, of which there is no archive.
    """
    key = find_wcs(header, name)
    if key == " ":
        return header
    names = wcs_names(header)
    if not key:
        raise InputError(f"has no WCS named {name!r}, but {', '.join(filter(None, names.values())) or 'none at all'}")
    kept = {card.keyword[:-1]: card for card in header.cards if card.keyword[-1:] == key}
    cards = {keyword: card for keyword, card in kept.items() if _KEYWORDS.match(keyword)}
    cards |= {keyword: kept[twin] for twin, keyword in _OF_TWINS.items() if twin in kept}
    if "CROTA2" in cards:
        cards = {keyword: card for keyword, card in cards.items() if not keyword.startswith("PC")}
    ctype = [cards[f"CTYPE{i}"].value if f"CTYPE{i}" in cards else "" for i in (1, 2)]
    if ctype != [header.get(f"CTYPE{i}") for i in (1, 2)]:
        raise InputError(f"has a WCS named {name!r} of type {ctype[0]}, which does not go with its distortion, of type "
                         f"{header.get('CTYPE1')}: updatewcs=yes recomputes both")
    if names[key] == _UNNAMED:
        del cards["WCSNAME"]
    return with_primary(without_alternates(header, [key] if key != _ORIGINAL else []), cards, read_wcs)


def with_primary(header, cards, read_wcs):
    """Give a header another primary WCS, card for card; the present one is archived.

    Parameters
    ----------
    header : astropy.io.fits.Header
        It is not changed.
    cards : dict of str to astropy.io.fits.Card
        By keyword; the distortion stays as it is.
    read_wcs : callable
        See `restored_header`.

    Returns
    -------
    astropy.io.fits.Header

    Raises
    ------
    InputError
        No letter is left for the archive.
    """
    header = archived(header)
    _put_primary(header, cards)
    if "ORIENTAT" in header and "ORIENTAT" not in cards:
        header["ORIENTAT"] = orientation(read_wcs(header))
    if "S_REGION" in header and "S_REGION" not in cards:
        header["S_REGION"] = s_region(header, read_wcs(header))
    return without_alternates(header, _copies(header))


def _put_primary(header, cards):
    """Give a header, in place, these cards by keyword as its primary WCS."""
    place = max(header.index(keyword) for keyword in header if _KEYWORDS.match(keyword))
    for keyword in [keyword for keyword in header if _KEYWORDS.match(keyword) and keyword not in cards]:
        if not _LASTING.match(keyword):
            header.remove(keyword)
            place -= 1
    for keyword, card in cards.items():
        at = header.index(keyword) if keyword in header else min(place + 1, len(header))
        if keyword in header:
            del header[at]
        header.insert(at, _renamed(card, keyword))


def _belongs(keyword):
    """Whether a keyword, less its letter, is one of an alternate WCS."""
    return _KEYWORDS.match(keyword) or keyword in _OF_TWINS


def _renamed(card, keyword):
    """Return a card with its value and comment as they are written, to the last digit."""
    return fits.Card.fromstring(f"{keyword:8}{card.image[8:]}")


def is_fitted(header):
    """Whether the primary WCS is from a fit: of a run of ours, or with a name or type that HST's pipeline gives."""
    kind = str(header.get("WCSTYPE", ""))
    return ("FITNAME" in header or "FIT" in str(header.get("WCSNAME", "")).upper() or "a posteriori" in kind
            or kind.startswith(_NOT_ALIGNED))


def forget_fit(header):
    """Remove, in place, what a header says of the fit of a primary WCS that is another now."""
    for keyword in ("WCSTYPE", "HDRNAME", "CATALOG", "FITNAME", "NMATCH", "FITGEOM", "RMS_RA", "RMS_DEC", "CRDER1",
                    "CRDER2"):
        header.remove(keyword, ignore_missing=True)


def with_original(header, before):
    """Return a header that has the primary WCS of `before` under the letter that stwcs keeps the first one under."""
    header, kept = header.copy(), before.copy()
    if _ORIGINAL not in wcs_names(header):
        _insert_alternate(kept, _ORIGINAL, "OPUS")
        header.extend(card for card in kept.cards if card.keyword not in header and card.keyword[-1:] == _ORIGINAL)
    return header


def _insert_alternate(header, key, name):
    """Copy the primary WCS of a header, in place, to an alternate after it."""
    primary = {card.keyword: card for card in header.cards if _KEYWORDS.match(card.keyword) or card.keyword in _TWINS}
    other = _of_alternate(header)
    if name != header.get("WCSNAME"):
        other["WCSNAME"] = _with_comment(name, _NAME_COMMENT)
        primary.pop("WCSNAME", None)
    cards = [_renamed(card, (keyword if _KEYWORDS.match(keyword) and keyword not in other else _TWINS[keyword]) + key)
             for keyword, card in primary.items()]
    cards += [fits.Card(keyword + key, *content) for keyword, content in other.items()]
    position = max(header.index(keyword) for keyword in primary if _KEYWORDS.match(keyword))
    for card in reversed(cards):
        header.insert(position, card, after=True)


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


def linear_wcs(header, key=" "):
    """Return the WCS of a header, or its alternate of that letter, without distortion by SIP or tables."""
    letter = key.strip()
    own = [(card.keyword.removesuffix(letter), card.value) for card in header.cards if card.keyword.endswith(letter)]
    plain = {keyword: value.removesuffix("-SIP") if isinstance(value, str) else value
             for keyword, value in own if _KEYWORDS.match(keyword) or (not letter and keyword.startswith("CROTA"))}
    return WCS(fits.Header({"NAXIS": 2, **plain}), fix=False)


def _alternate_keywords(header):
    return [keyword for keyword in header if keyword[-1:].isalpha() and _belongs(keyword[:-1])]


def wcs_cards(header):
    """Return the cards of the primary WCS by keyword, less those that can be worked out of the others."""
    return {card.keyword: card for card in header.cards if _KEYWORDS.match(card.keyword)}


def without_alternates(header, keys=string.ascii_uppercase):
    """Return a header less the alternate WCSs of some letters, or of all; the one given is not changed."""
    header = header.copy()
    for keyword in _alternate_keywords(header):
        if keyword[-1] in keys:
            header.remove(keyword, ignore_missing=True, remove_all=True)
    return header


def corrected_header(header, wcs, solution, *, wcsname, reuse=False):
    """Give a science header a new primary WCS; the one before is archived.

    Parameters
    ----------
    header : astropy.io.fits.Header
        It is not changed.
    wcs : astropy.wcs.WCS or None
        The new one, which differs from that of `header` in CRVAL and CD, PC or PV; None leaves the numbers alone.
    solution : correction.Solution
        What is known of it.
    wcsname : str
        Name of the new WCS.
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
    header = archived(header, wcsname if reuse else "")
    if wcs is not None:
        for name, value in _numbers(header, wcs).items():
            header[name] = value  # the comment stays
        if "ORIENTAT" in header:
            header["ORIENTAT"] = orientation(wcs)
        if "S_REGION" in header:
            header["S_REGION"] = s_region(header, wcs)
    for keyword in ("HDRNAME", "CATALOG"):  # of the headerlet that the WCS of before came with
        header.remove(keyword, ignore_missing=True)
    kind = _NOT_ALIGNED + solution.status if solution.stays else wcs_type(wcsname)
    header["WCSNAME"] = _with_comment(wcsname, _NAME_COMMENT)
    header.set("WCSTYPE", *_with_comment(kind, "kind of this coordinate description"), after="WCSNAME")
    if wcs is not None:
        rms = (solution.ra_rms / 3600, solution.dec_rms / 3600)
        header.set("FITNAME", *_with_comment(wcsname, "name of the fit that led to it"), after="WCSTYPE")
        header.set("NMATCH", solution.nmatches, "sources the fit is based on", after="FITNAME")
        header.set("FITGEOM", solution.geometry, "geometry of the fit", after="NMATCH")
        header.set("RMS_RA", rms[0], "[deg] rms of the fit in right ascension", after="FITGEOM")
        header.set("RMS_DEC", rms[1], "[deg] rms of the fit in declination", after="RMS_RA")
        header["CRDER1"] = (rms[0], "[deg] random error of axis 1")
        header["CRDER2"] = (rms[1], "[deg] random error of axis 2")
    header.add_history(_history(wcsname, solution))
    return header


def _with_comment(text, comment):
    """Return the text of a card and its comment, which goes where there is no room for it."""
    return text, comment if len(text) + len(comment) < _ROOM else ""


def s_region(header, wcs):
    """S_REGION of an image, as HST's archive has it: the centres of its corner pixels, the first one again at the end.

    Parameters
    ----------
    header : astropy.io.fits.Header
        For NAXIS1 and NAXIS2, or, of a compressed image, ZNAXIS1 and ZNAXIS2.
    wcs : astropy.wcs.WCS
        With all distortions.

    Returns
    -------
    str
    """
    nx, ny = (header.get(f"ZNAXIS{i}", header[f"NAXIS{i}"]) for i in (1, 2))
    corners = pixel_to_sky(wcs, [(1, 1), (1, ny), (nx, ny), (nx, 1), (1, 1)])
    return "POLYGON ICRS " + " ".join(f"{value:.9f}" for value in np.ravel(corners))


def differences(old, new):
    """Return the keywords in which two headers differ, a line for each: its name, and both values."""
    before, after = ({card.keyword: repr(card.value) for card in header.cards if card.keyword not in _COMMENTARY}
                     for header in (old, new))
    lines = [f"  {keyword:8} {before.get(keyword, 'none')} -> {after.get(keyword, 'none')}"
             for keyword in dict.fromkeys([*before, *after]) if before.get(keyword) != after.get(keyword)]
    return lines + [f"  HISTORY  {line}" for line in list(new.get("HISTORY", []))[len(old.get("HISTORY", [])):]]


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
