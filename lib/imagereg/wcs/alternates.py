"""The archive of a science header: its alternate WCSs, under the letters A to Z.

A WCS is archived and restored card for card, so that it comes back as it was, to the last bit.
"""

from __future__ import annotations

import itertools
import math
import re
import string
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from astropy.io import fits

from imagereg.errors import InputError
from imagereg.wcs.distortion import has_pv_distortion
from imagereg.wcs.keywords import (
    is_wcs_keyword,
    matrix_keywords,
    named,
    renamed_card,
    s_region,
    wcs_cards,
)
from imagereg.wcs.plane import orientation

if TYPE_CHECKING:
    from astropy.wcs import WCS

# Other keywords that belong to a WCS: they leave no room for a letter, or the standard gives them
# no alternate, or the alternate of CTYPE has to differ. Their cards are kept under these names of
# ours.
_TWINS = {"ORIENTAT": "ORIENT", "S_REGION": "SREGION", "CROTA1": "OROTA1", "CROTA2": "OROTA2",
          "CTYPE1": "OTYPE1", "CTYPE2": "OTYPE2"}
_OF_TWINS = {twin: keyword for keyword, twin in _TWINS.items()}
# Those that no update changes: an alternate that another program archived may do without them.
_LASTING = re.compile(r"WCSAXES|RADESYS|EQUINOX|(CTYPE|CUNIT|CRPIX|CDELT)[12]$")
ORIGINAL = "O"  # stwcs keeps the WCS of the first calibration there
_UNNAMED = "PRE-TWEAKREG"
_RELATIVE, _ABSOLUTE = 1e-10, 1e-15  # within which numbers are equal: stwcs archives some 13 digits

ReadWCS: TypeAlias = "Callable[[fits.Header], WCS]"
Cards = dict[str, fits.Card]


def wcs_names(header: fits.Header) -> dict[str, str]:
    """Names of the primary WCS (key ' ') and of all alternates, by letter."""
    names = {" ": str(header["WCSNAME"])} if "WCSNAME" in header else {}
    for key in string.ascii_uppercase:
        if f"CRVAL1{key}" in header or f"WCSNAME{key}" in header:
            names[key] = str(header.get(f"WCSNAME{key}", ""))
    return names


def _archive(header):
    """Return the names of the alternates by letter, without that of the first calibration."""
    return {key: name for key, name in wcs_names(header).items() if key not in (" ", ORIGINAL)}


def primary_name(header: fits.Header) -> str:
    """Name of the primary WCS, or ours for one without a name."""
    return str(header.get("WCSNAME", "")).strip() or _UNNAMED


def find_letter(header: fits.Header, name: str) -> str:
    """Letter of the WCS that has a name, or that letter; ' ' for the primary one, '' for none."""
    names = wcs_names(header) | {" ": primary_name(header)}
    letters = [key for key, known in names.items() if known.upper() == name.upper()]
    if " " in letters:
        return " "
    if letters:
        return letters[-1]
    return name.upper() if name.upper() in names else ""


def last_archived(header: fits.Header) -> str:
    """Name of the WCS that was archived last: that of the last letter, save the first calibration.

    Raises
    ------
    InputError
        There is none.
    """
    names = {key: name for key, name in _archive(header).items() if name}
    if not names:
        raise InputError("has no archived WCS")
    return names[max(names)]


def archive_primary(header: fits.Header, reuse: str = "") -> fits.Header:
    """Copy the primary WCS to the letter after the last one; a copy that is there moves there.

    Parameters
    ----------
    header : astropy.io.fits.Header
        It is not changed.
    reuse : str
        Name of a solution that is to be replaced: no WCS of that name is kept.

    Raises
    ------
    InputError
        All letters are taken.
    """
    name = primary_name(header)
    replaced = [key for key, taken in _archive(header).items()
                if reuse and taken.upper() == reuse.upper()]
    header = without_alternates(header, replaced + _copies(header))
    if reuse and name.upper() == reuse.upper():
        return header
    _insert_alternate(header, _next_letter(header), _unique_name(header, name))
    return header


def _copies(header):
    """Return the letters of the alternates that have the name and numbers of the primary WCS."""
    name = primary_name(header).upper()
    return [key for key, taken in _archive(header).items()
            if taken.upper() == name and _is_copy(header, key)]


def _is_copy(header, key):
    """Whether an alternate has the numbers of the primary WCS, as far as others write them."""
    for keyword, card in wcs_cards(header).items():
        other = header.get(keyword + key)
        if isinstance(card.value, float) and isinstance(other, int | float):
            if not math.isclose(card.value, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE):
                return False
    return True


def _next_letter(header):
    """Return the letter after the last one that any keyword uses, or else the first free one."""
    used = {keyword[-1] for keyword in _alternate_keywords(header)} | {ORIGINAL}
    free = [key for key in string.ascii_uppercase if key not in used]
    if not free:
        raise InputError("all 25 letters for alternate WCSs are taken")
    last = max(used - {ORIGINAL}, default="")
    return next((key for key in free if key > last), free[0])


def _unique_name(header, name):
    """Return a name that no alternate has: the given one, or that with a number."""
    taken = {taken.upper() for key, taken in wcs_names(header).items() if key != " "}
    numbered = (f"{name}-{number}" for number in itertools.count(1))
    return next(one for one in itertools.chain([name], numbered) if one.upper() not in taken)


def restored_header(header: fits.Header, name: str, read_wcs: ReadWCS) -> fits.Header:
    """Make an archived WCS the primary one again; the present one takes its place in the archive.

    Parameters
    ----------
    header : astropy.io.fits.Header
        It is not changed.
    name : str
        Which WCS, see `find_letter`; where it is the primary one, the header itself is returned.
    read_wcs : callable
        Reads the astropy.wcs.WCS of a header, with all distortions.

    Raises
    ------
    InputError
        There is no such WCS, or its distortion is not that of the present one, of which there is
        no archive.
    """
    key = find_letter(header, name)
    if key == " ":
        return header
    names = wcs_names(header)
    if not key:
        known = ", ".join(filter(None, names.values())) or "none at all"
        raise InputError(f"has no WCS named {name!r}, but {known}")
    cards = _archived_cards(header, key)
    types = [cards[f"CTYPE{i}"].value if f"CTYPE{i}" in cards else "" for i in (1, 2)]
    if types != [header.get(f"CTYPE{i}") for i in (1, 2)]:
        raise InputError(f"has a WCS named {name!r} of type {types[0]}, which does not go with its "
                         f"distortion, of type {header.get('CTYPE1')}: updatewcs=yes recomputes "
                         "both")
    if names[key] == _UNNAMED:
        del cards["WCSNAME"]
    replaced = [key] if key != ORIGINAL else []
    return with_primary(without_alternates(header, replaced), cards, read_wcs)


def _archived_cards(header, key):
    """Return the cards of an alternate by the keywords that they have in a primary WCS."""
    alternate = {card.keyword[:-1]: card for card in header.cards if card.keyword[-1:] == key}
    cards = {keyword: card for keyword, card in alternate.items() if is_wcs_keyword(keyword)}
    cards |= {keyword: alternate[twin] for twin, keyword in _OF_TWINS.items() if twin in alternate}
    if "CROTA2" in cards:  # of which the PC matrix was made
        cards = {keyword: card for keyword, card in cards.items() if not keyword.startswith("PC")}
    return cards


def with_primary(header: fits.Header, cards: Cards, read_wcs: ReadWCS) -> fits.Header:
    """Give a header another primary WCS; the present one is archived.

    Parameters
    ----------
    header : astropy.io.fits.Header
        It is not changed.
    cards : dict of str to astropy.io.fits.Card
        By keyword; the distortion stays as it is.
    read_wcs : callable
        See `restored_header`.

    Raises
    ------
    InputError
        No letter is left for the archive.
    """
    header = archive_primary(header)
    _put_primary(header, cards)
    if "ORIENTAT" in header and "ORIENTAT" not in cards:
        header["ORIENTAT"] = orientation(read_wcs(header))
    if "S_REGION" in header and "S_REGION" not in cards:
        header["S_REGION"] = s_region(header, read_wcs(header))
    return without_alternates(header, _copies(header))


def _put_primary(header, cards):
    """Give a header, in place, these cards by keyword as its primary WCS."""
    present = [keyword for keyword in header if is_wcs_keyword(keyword)]
    place = max(map(header.index, present))
    for keyword in present:
        if keyword not in cards and not _LASTING.match(keyword):
            header.remove(keyword)
            place -= 1
    for keyword, card in cards.items():
        at = min(place + 1, len(header))
        if keyword in header:
            at = header.index(keyword)
            del header[at]
        header.insert(at, renamed_card(card, keyword))


def with_original(header: fits.Header, before: fits.Header) -> fits.Header:
    """Return a header that has the primary WCS of `before` as the one of the first calibration."""
    header = header.copy()
    if ORIGINAL not in wcs_names(header):
        header.extend(card for card in _alternate_cards(before, ORIGINAL, "OPUS")
                      if card.keyword not in header)
    return header


def _insert_alternate(header, key, name):
    """Copy the primary WCS of a header, in place, to an alternate after it."""
    primary = set(wcs_cards(header))
    if name != header.get("WCSNAME"):
        primary.discard("WCSNAME")
    place = max(map(header.index, primary))
    for card in reversed(_alternate_cards(header, key, name)):
        header.insert(place, card, after=True)


def _alternate_cards(header, key, name):
    """Return the cards of an alternate that is a copy of the primary WCS of a header."""
    own = _of_alternate(header)
    primary = wcs_cards(header)
    if name != header.get("WCSNAME"):
        own["WCSNAME"] = named(name)
    cards = []
    for keyword, card in {card.keyword: card for card in header.cards}.items():
        if keyword in primary and keyword not in own:
            cards.append(renamed_card(card, keyword + key))
        elif keyword in _TWINS:
            cards.append(renamed_card(card, _TWINS[keyword] + key))
    return cards + [fits.Card(keyword + key, *content) for keyword, content in own.items()]


def _of_alternate(header):
    """Return the cards (value, comment) that an alternate has instead of those of the primary WCS.

    CROTA has no alternate, and PV terms are a distortion only where CTYPE says TPV, which SCAMP's
    primary WCS does not.
    """
    cards = {}
    if "CROTA2" in header and not any(f"{name}1_1" in header for name in ("CD", "PC")):
        angle = np.deg2rad(header["CROTA2"])
        ratio = header.get("CDELT2", 1.0) / header.get("CDELT1", 1.0)
        pc = np.array([[np.cos(angle), -np.sin(angle) * ratio],
                       [np.sin(angle) / ratio, np.cos(angle)]])
        for keyword, value in matrix_keywords("PC", pc).items():
            cards[keyword] = (value, "from CROTA2")
    if has_pv_distortion(header):
        for i in (1, 2):
            cards[f"CTYPE{i}"] = (header[f"CTYPE{i}"].replace("-TAN", "-TPV"), "")
    return cards


def without_alternates(
    header: fits.Header, keys: Collection[str] = string.ascii_uppercase
) -> fits.Header:
    """Return a header without the alternate WCSs of some letters, or of all."""
    header = header.copy()
    for keyword in _alternate_keywords(header):
        if keyword[-1] in keys:
            header.remove(keyword, ignore_missing=True, remove_all=True)
    return header


def _alternate_keywords(header):
    """Return the keywords of all alternate WCSs."""
    return [name for name in header
            if name[-1:].isalpha() and (is_wcs_keyword(name[:-1]) or name[:-1] in _OF_TWINS)]
