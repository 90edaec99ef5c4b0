"""The keywords that a WCS is made of, and what science headers say about it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from imagereg.wcs.plane import pixel_to_sky

if TYPE_CHECKING:
    from astropy.wcs import WCS

# WCSTYPE of an image that keeps its WCS under the name of a solution; its status follows.
NOT_ALIGNED = "not aligned: "

# Keywords of a WCS that every alternate has too, without letter: those of Greisen & Calabretta 2002
# (A&A 395, 1061), and what stwcs, drizzlepac and we say of where a WCS is from.
_KEYWORD = re.compile(
    r"(WCSAXES|WCSNAME|WCSTYPE|(CRPIX|CRVAL|CTYPE|CUNIT|CDELT|CRDER|CSYER)[12]|(CD|PC)[12]_[12]"
    r"|P[VS][12]_\d+|LONPOLE|LATPOLE|RADESYS|EQUINOX"
    r"|HDRNAME|CATALOG|FITNAME|NMATCH|FITGEOM|RMS_(RA|DEC))$")
_OF_A_FIT = ("WCSTYPE", "HDRNAME", "CATALOG", "FITNAME", "NMATCH", "FITGEOM", "RMS_RA", "RMS_DEC",
             "CRDER1", "CRDER2")
_FITTED = {"REL": "relatively aligned to", "IMG": "aligned image-by-image to",
           "EVM": "aligned by visit-exposures to", "SVM": "aligned by visit to"}
_IN_MAS = re.compile(r"[(\[]mas[)\]]", re.IGNORECASE)
_MAS_PER_DEGREE = 3.6e6
_COMMENTARY = ("HISTORY", "COMMENT", "")
_CARD_ROOM = 65  # characters of a FITS card for a text and its comment, less the marks around them


def is_wcs_keyword(keyword: str) -> bool:
    """Whether a keyword, without the letter of an alternate, is one of a WCS."""
    return bool(_KEYWORD.match(keyword))


def text(header: Mapping, keyword: str) -> str:
    """Value of a keyword as text without blanks around it, '' where there is none."""
    value = header.get(keyword)
    if value is None or isinstance(value, fits.card.Undefined):
        return ""
    return str(value).strip()


def number(header: Mapping, keyword: str) -> float:
    """Value of a keyword as a finite number, else NaN."""
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return math.nan
    return float(value)


def fit_rms(header: fits.Header, axis: int, key: str = "") -> float:
    """Rms of the fit behind the WCS under a letter, along axis 1 or 2, deg; NaN if not known.

    RMS_RA and RMS_DEC are in degrees, as drizzlepac.tweakreg writes them, but in mas where their
    comments say so: HST's pipeline writes those.
    """
    keyword = f"{('RMS_RA', 'RMS_DEC')[axis - 1]}{key}"
    rms = number(header, keyword)
    if rms > 0 and _IN_MAS.search(header.comments[keyword]):
        return rms / _MAS_PER_DEGREE
    if rms > 0:
        return rms
    error = number(header, f"CRDER{axis}{key}")
    return error if error > 0 else math.nan


def wcs_cards(header: fits.Header) -> dict[str, fits.Card]:
    """Cards of the primary WCS by keyword, less those that can be worked out of the others."""
    return {card.keyword: card for card in header.cards if is_wcs_keyword(card.keyword)}


def renamed_card(card: fits.Card, keyword: str) -> fits.Card:
    """Return a card with its value and comment as they are written, to the last digit."""
    return fits.Card.fromstring(f"{keyword:8}{card.image[8:]}")


def with_comment(text: str, comment: str) -> tuple[str, str]:
    """Return the text of a card and its comment, which goes where there is no room for it."""
    return text, comment if len(text) + len(comment) < _CARD_ROOM else ""


def named(wcsname: str) -> tuple[str, str]:
    """Return value and comment of a card WCSNAME."""
    return with_comment(wcsname, "name of this coordinate description")


def matrix_keywords(name: str, matrix: np.ndarray) -> dict[str, float]:
    """Keywords of a matrix (2, 2), such as CD1_1, with their values."""
    return {f"{name}{i}_{j}": float(matrix[i - 1][j - 1]) for i in (1, 2) for j in (1, 2)}


def wcs_type(wcsname: str) -> str:
    """WCSTYPE of a WCSNAME such as IDC_abc-FIT_REL_GAIA, as drizzlepac 3.11 has it.

    See drizzlepac.updatehdr.interpret_wcsname_type.
    """
    base, _, fit = wcsname.upper().partition("-")
    kind = {"IDC": "undistorted", "OPU": "pipeline default"}.get(base[:3])
    fit = fit.partition("-")[0]
    if kind is None:
        return "user-defined"
    if not fit:
        return f"{kind} not aligned"
    if "FIT" not in fit:
        return f"{kind} a priori solution based on {fit}"
    how, _, catalog = fit.partition("_")[2].partition("_")
    to_catalog = f" {_FITTED[how]} {catalog}" if how in _FITTED else ""
    return f"{kind} a posteriori solution{to_catalog}"


def is_fitted(header: fits.Header) -> bool:
    """Whether the primary WCS is from a fit, of ours or, by its name or type, of HST's pipeline."""
    return ("FITNAME" in header or "FIT" in text(header, "WCSNAME").upper()
            or "a posteriori" in text(header, "WCSTYPE") or is_named_only(header))


def is_named_only(header: fits.Header) -> bool:
    """Whether the primary WCS has the name of a solution, but is as it was before that."""
    return text(header, "WCSTYPE").startswith(NOT_ALIGNED)


def forget_fit(header: fits.Header) -> None:
    """Remove, in place, what a header says of the fit of a primary WCS that is another now."""
    for keyword in _OF_A_FIT:
        header.remove(keyword, ignore_missing=True)


def s_region(header: fits.Header, wcs: WCS) -> str:
    """S_REGION as in HST's archive: the centres of the corner pixels, the first one repeated.

    Parameters
    ----------
    header : astropy.io.fits.Header
        For NAXIS1 and NAXIS2, or, of a compressed image, ZNAXIS1 and ZNAXIS2.
    wcs : astropy.wcs.WCS
        With all distortions.
    """
    nx, ny = (header.get(f"ZNAXIS{i}", header[f"NAXIS{i}"]) for i in (1, 2))
    corners = pixel_to_sky(wcs, [(1, 1), (1, ny), (nx, ny), (nx, 1), (1, 1)])
    return "POLYGON ICRS " + " ".join(f"{value:.9f}" for value in np.ravel(corners))


def header_differences(old: fits.Header, new: fits.Header) -> list[str]:
    """Keywords in which two headers differ, a line for each: its name, and both values."""
    before, after = _values(old), _values(new)
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    lines = [f"  {name:8} {before.get(name, 'none')} -> {after.get(name, 'none')}"
             for name in changed]
    history = list(new.get("HISTORY", []))[len(old.get("HISTORY", [])):]
    return lines + [f"  HISTORY  {line}" for line in history]


def _values(header):
    """Return the values of all keywords as text."""
    return {card.keyword: repr(card.value) for card in header.cards
            if card.keyword not in _COMMENTARY}
