"""Headerlets in memory: make them by stwcs, try them out, find and read attached ones.

A headerlet is a FITS file with the WCS of every chip of an image and without its pixels, which
stwcs makes and applies (Hack et al. 2012, ASP Conf. 461, 439). It stands in a file of its own, or
in an extension HDRLET of its image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import re
import textwrap
import threading
import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import astropy
import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.base import NonstandardExtHDU

from imagereg.errors import InputError
from imagereg.wcs.distortion import TABLES, read_wcs
from imagereg.wcs.keywords import fit_rms, wcs_cards

if TYPE_CHECKING:
    from astropy.wcs import WCS

_OF_ALL_CHIPS = ("HDRNAME", "CATALOG", "NMATCH", "RMS_RA", "RMS_DEC")
_HISTORY_WIDTH = 70  # characters of a HISTORY card
_CARD_ROOM = 64  # characters of a FITS card for a text and its comment, less the marks around them
_STWCS_ROUNDING = 1e-9  # relative; stwcs writes at least 10 digits

# Held while warnings or the standard output are turned off: that is done for all threads at once.
SILENCE = threading.Lock()

log = logging.getLogger(__name__)


class InMemory(fits.HDUList):
    """An HDUList that stays in memory, whatever stwcs thinks."""

    def flush(self, *_: Any, **__: Any) -> None:
        """Do nothing."""


@contextlib.contextmanager
def silent_stwcs() -> Iterator[None]:
    """Hide what stwcs and astropy print, log and warn about; what they print goes to our log."""
    from stwcs.wcsutil import headerlet

    def silence(record):
        return False

    loggers = (astropy.log, headerlet.logger)
    printed = io.StringIO()
    try:
        with SILENCE, contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about keywords that stwcs makes for its own use
            for logger in loggers:
                logger.addFilter(silence)
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(silence)
        log.debug("%s", printed.getvalue())


def load_stwcs() -> None:
    """Import what makes headerlets."""
    with silent_stwcs():
        pass


@dataclasses.dataclass(frozen=True, eq=False)
class Headerlet:
    """A headerlet that stands in an extension of its image.

    Parameters
    ----------
    name : str
        HDRNAME.
    place : str
        'HDRLET,n' with its EXTVER.
    about : astropy.io.fits.Header
        What it says of itself.
    headers : dict of int to astropy.io.fits.Header
        The WCS keywords of each chip, by EXTVER.
    wcss : dict of int to astropy.wcs.WCS
        The same with all distortions.
    """

    name: str
    place: str
    about: fits.Header
    headers: dict[int, fits.Header]
    wcss: dict[int, WCS]

    def cards(self, extver: int) -> dict[str, fits.Card]:
        """Cards that a chip gets with it as its primary WCS, see `alternates.with_primary`."""
        about = [self.about.cards[name] for name in _OF_ALL_CHIPS if self.about.get(name)]
        for axis in (1, 2):
            rms = fit_rms(self.about, axis)
            if np.isfinite(rms):
                comment = f"[deg] random error of axis {axis}"
                about.append(fits.Card(f"CRDER{axis}", rms, comment))
        return wcs_cards(self.headers[extver]) | {card.keyword: card for card in about}


def attached_headerlets(hdus: fits.HDUList) -> list[Headerlet]:
    """Read the headerlets that are attached to an image."""
    return [_read(hdu) for hdu in hdus if hdu.name == "HDRLET"]


def _read(hdu):
    with fits.open(io.BytesIO(np.asarray(hdu.data).tobytes())) as inner:
        about = inner[0].header
        headers = {sip.header["TG_EVER"]: sip.header for sip in inner if sip.name == "SIPWCS"}
        wcss = {extver: read_wcs(header, inner) for extver, header in headers.items()}
        return Headerlet(about["HDRNAME"], f"HDRLET,{hdu.ver}", about, headers, wcss)


def place_of(hdus: fits.HDUList, hdrname: str) -> int:
    """Index of the attached headerlet of that name; the number of HDUs where there is none."""
    for index, hdu in enumerate(hdus):
        if hdu.name == "HDRLET" and str(hdu.header.get("HDRNAME", "")).upper() == hdrname.upper():
            return index
    return len(hdus)


def attach(
    extension: NonstandardExtHDU, hdus: fits.HDUList, parts: Sequence[Any], primary: fits.Header
) -> list[Any]:
    """Append a headerlet to its image, or put it in the place of one with its name.

    Parameters
    ----------
    extension : stwcs.wcsutil.headerlet.HeaderletHDU
        The headerlet; it gets its EXTVER.
    hdus : astropy.io.fits.HDUList
        The image.
    parts : list
        The HDUs that its new file is going to have, see `files.images.rewrite`.
    primary : astropy.io.fits.Header
        Its primary header as it stands in the file.

    Returns
    -------
    list
        The same with the headerlet; besides, only NEXTEND changes.
    """
    parts = list(parts)
    place = place_of(hdus, extension.header["HDRNAME"])
    versions = [hdu.ver for hdu in hdus if hdu.name == "HDRLET"]
    extension.ver = hdus[place].ver if place < len(hdus) else max(versions, default=0) + 1
    if place < len(hdus):
        parts[parts.index(place)] = extension
    else:
        parts.append(extension)
    extensions = len(parts) - 1
    if isinstance(parts[0], tuple):
        primary = parts[0][1]
    if primary.get("NEXTEND", extensions) != extensions:
        primary = primary.copy()
        primary["NEXTEND"] = extensions
        parts[0] = (0, primary)
    return parts


def science_hdu(hdus: fits.HDUList, extver: int) -> fits.ImageHDU:
    """HDU of a chip: SCI of that EXTVER, else the first one with a WCS."""
    if ("SCI", extver) in hdus:
        return hdus["SCI", extver]
    return next(hdu for hdu in hdus if "CTYPE1" in hdu.header and hdu.name not in TABLES)


def without_pixels(hdus: fits.HDUList, extvers: Collection[int]) -> fits.HDUList:
    """Copy what stwcs needs of an image: headers, and the tables of the distortion."""
    science = [science_hdu(hdus, extver) for extver in extvers]
    light = InMemory([fits.PrimaryHDU(header=hdus[0].header.copy())])
    for hdu in hdus[1:]:
        if any(hdu is chip for chip in science):
            light.append(fits.ImageHDU(header=hdu.header.copy()))
        elif hdu.name in TABLES:
            light.append(fits.ImageHDU(np.array(hdu.data), hdu.header.copy()))
    return light


def make_headerlet(hdus: fits.HDUList, hdrname: str, history: str, **words: str) -> fits.HDUList:
    """Make a headerlet of the primary WCSs.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        As `without_pixels` gives them.
    hdrname : str
        Name of the headerlet.
    history : str
        Text of any length; what FITS can't hold becomes a question mark.
    **words : str
        AUTHOR, DESCRIP and CATALOG, in lower case.

    Returns
    -------
    stwcs.wcsutil.headerlet.Headerlet

    Raises
    ------
    InputError
        stwcs can't make it.
    """
    science = [("SCI", hdu.ver) for hdu in hdus if hdu.name == "SCI"]
    with _stwcs_at_work():
        from stwcs.wcsutil.headerlet import create_headerlet

        made = create_headerlet(hdus, sciext=science, hdrname=hdrname,
                                destim=hdus[0].header["ROOTNAME"], logging=False, **words)
    for sip in (hdu.header for hdu in made if hdu.name == "SIPWCS"):
        _complete(sip, science_hdu(hdus, sip["TG_EVER"]).header)
    for line in _history_lines(history):
        made[0].header.add_history(line)
    return made


def _complete(sip, header):
    """Give the WCS of a headerlet, in place, the digits and keywords that stwcs leaves out."""
    for name, value in list(sip.items()):
        exact = header.get(name, np.nan)
        if isinstance(value, float) and np.isclose(value, exact, rtol=_STWCS_ROUNDING, atol=0):
            sip[name] = exact
    sip.extend(wcs_cards(header).values(), unique=True)


def _history_lines(text):
    """Break a text into lines for HISTORY cards, its paragraphs kept apart."""
    plain = re.sub(r"[^ -~\s]", "?", text)
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", plain)]
    return [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, _HISTORY_WIDTH)]


def file_and_extension(headerlet: fits.HDUList) -> tuple[bytes, NonstandardExtHDU]:
    """Return a headerlet as the bytes of a file, and as an extension to attach to its image."""
    buffer = io.BytesIO()
    with _stwcs_at_work():
        from stwcs.wcsutil.headerlet import HeaderletHDU

        headerlet.writeto(buffer)
        extension = HeaderletHDU.fromheaderlet(headerlet)
    for card in extension.header.cards:
        if isinstance(card.value, str) and len(card.value) + len(card.comment) > _CARD_ROOM:
            card.comment = ""  # stwcs' comments do not fit beside names as long as HST's
    return buffer.getvalue(), extension


def check_can_have_headerlet(hdus: fits.HDUList) -> None:
    """Raise InputError, which says what is lacking, where stwcs makes no headerlet of an image."""
    primary = hdus[0].header
    science = [hdu for hdu in hdus if hdu.name == "SCI"]
    versions = sorted(hdu.ver for hdu in science)
    if not versions or versions != list(range(1, len(versions) + 1)):
        raise InputError("stwcs needs SCI extensions of EXTVER 1, 2, ... without gaps")
    if not str(primary.get("ROOTNAME", "")).strip():
        raise InputError("stwcs needs ROOTNAME in its primary header")
    if "IDCTAB" not in primary and not any("A_ORDER" in hdu.header for hdu in science):
        raise InputError("stwcs needs a SIP polynomial, or IDCTAB in its primary header")


def trial_wcss(hdus: fits.HDUList, extvers: Collection[int]) -> dict[int, WCS]:
    """WCS of each chip, by EXTVER, that stwcs makes of a headerlet of its present one.

    Raises
    ------
    InputError
        stwcs can't make the headerlet, or can't apply it.
    """
    made = make_headerlet(without_pixels(hdus, extvers), "TRIAL", "")
    copy = without_pixels(hdus, extvers)
    with _stwcs_at_work():
        made.apply_as_primary(copy, attach=False, archive=False)
        return {extver: read_wcs(science_hdu(copy, extver).header, copy) for extver in extvers}


@contextlib.contextmanager
def _stwcs_at_work() -> Iterator[None]:
    """Run stwcs in silence; whatever it stumbles over is an InputError."""
    try:
        with silent_stwcs():
            yield
    except Exception as error:  # of all kinds: stwcs checks little beforehand
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"stwcs makes no headerlet that it can apply to such a file: {reason}") from error
