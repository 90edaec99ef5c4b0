"""Distortion in headers: SIP polynomials, look-up tables, and polynomials in PV terms (TPV)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from imagereg.errors import InputError
from imagereg.wcs.keywords import is_wcs_keyword

if TYPE_CHECKING:
    from astropy.wcs import WCS

# Extensions in which stwcs stores the look-up tables of the distortion reference files.
TABLES = ("WCSDVARR", "D2IMARR")

_SIP_OR_TABLE = re.compile(
    r"[AB]P?_(ORDER|DMAX|\d_\d)$|(CPDIS|D2IMDIS|CPERR|D2IMERR)[12]$|(DP|D2IM)[12](\.|$)")
_PV_TERM = re.compile(r"PV[12]_\d+$")
_IS_TPV = re.compile(r"CTYPE1 += '\S+TPV'")  # in a header as wcslib writes it
_LAST_OF_TAN = 4  # PV terms up to here may be parameters of a projection
# Blocks of PV indices of a TPV polynomial: in each, exchanging x and y reverses the order of the
# terms. The indices left out (0, 3, 11, 23, 39) are the constant and powers of the radius, which
# the exchange leaves as they are (https://fits.gsfc.nasa.gov/registry/tpvwcs.html).
_TPV_TERMS = 40
_TPV_BLOCKS = ((1, 2), (4, 6), (7, 10), (12, 16), (17, 22), (24, 30), (31, 38))


def read_wcs(header: fits.Header, hdus: fits.HDUList, key: str = " ") -> WCS:
    """Return the WCS of a header, or its alternate of that letter, ready for use.

    The look-up tables of its distortion are among `hdus`; pixels need not be.
    """
    from astropy.wcs import WCS

    if not header.get("NAXIS"):
        header = header.copy()
        header.remove("NAXIS", ignore_missing=True)
    primary, wanted = (str(header[f"CTYPE1{k}".strip()]).endswith("-SIP") for k in (" ", key))
    if primary and not wanted:
        wcs = linear_wcs(header, key)  # so is HST's WCS from before the calibration
    else:
        wcs = WCS(header, hdus, fix=False, key=key)
    wcs.wcs.alt = " "  # it is a WCS of its own now
    wcs.wcs.fix()
    wcs.wcs.set()
    return wcs


def linear_wcs(header: fits.Header, key: str = " ") -> WCS:
    """Return the WCS of a header, or its alternate of that letter, without SIP and tables.

    Raises
    ------
    InputError
        One of its values is infinite.
    """
    from astropy.wcs import WCS

    letter = key.strip()
    plain = {}
    for card in header.cards:
        keyword = card.keyword.removesuffix(letter)
        own = is_wcs_keyword(keyword) or (not letter and keyword.startswith("CROTA"))
        if own and card.keyword.endswith(letter):
            text = isinstance(card.value, str)
            plain[keyword] = card.value.removesuffix("-SIP") if text else card.value
    try:
        plain_header = fits.Header({"NAXIS": 2, **plain})
    except ValueError as error:  # astropy reads infinite numbers, but makes no card of them
        raise InputError("has a WCS of which not all numbers are finite") from error
    return WCS(plain_header, fix=False)


def has_pv_distortion(header: fits.Header) -> bool:
    """Whether the distortion of a header is in PV terms; CTYPE says TPV, or, as SCAMP's, TAN."""
    ctype = str(header.get("CTYPE1", ""))
    many = any(_PV_TERM.match(name) and int(name[4:]) > _LAST_OF_TAN for name in header)
    return ctype.endswith("-TPV") or (ctype.endswith("-TAN") and many)


def pv_terms(wcs: WCS) -> dict[str, float]:
    """PV keywords of a WCS with their values."""
    header = wcs.to_header(relax=True)
    return {name: value for name, value in header.items() if _PV_TERM.match(name)}


def is_tpv(wcs: WCS) -> bool:
    """Whether a WCS is a TPV; wcslib hides that once it is in use, only its header tells."""
    return _IS_TPV.search(wcs.wcs.to_header(relax=True)) is not None


def transformed_tpv(wcs: WCS, change: np.ndarray) -> WCS:
    """Return a TPV WCS in which `change` (2, 2) acts after the polynomials: new sums of terms."""
    from astropy.wcs import WCS

    header = wcs.to_header(relax=True)
    names = [[f"PV{axis}_{term}" for term in range(_TPV_TERMS)] for axis in (1, 2)]
    terms = np.zeros((2, _TPV_TERMS))
    terms[:, 1] = 1.0  # what is left out stands for x and y themselves
    for axis in (0, 1):
        terms[axis] = [header.get(*pair) for pair in zip(names[axis], terms[axis], strict=True)]
    swap = np.arange(_TPV_TERMS)  # the second polynomial is one of y and x
    for first, last in _TPV_BLOCKS:
        swap[first:last + 1] = swap[first:last + 1][::-1]
    terms[1] = terms[1][swap]
    terms = change @ terms
    terms[1] = terms[1][swap]
    for name, value in zip(np.ravel(names), terms.ravel(), strict=True):
        if value or name in header:
            header[str(name)] = value
    new = WCS(header)
    new.pixel_shape = wcs.pixel_shape
    return new
