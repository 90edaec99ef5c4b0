"""The table WCSCORR, in which HST files keep the history of their WCS; stwcs writes its rows."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import astropy
from astropy.io import fits

from imagereg.wcs.alternates import with_original, without_alternates
from imagereg.wcs.keywords import is_wcs_keyword

# Held while warnings or the standard output are turned off: that is done for all threads at once.
SILENCE = threading.Lock()

# What stwcs looks at besides the WCS (wcsutil/instruments.py, wcsutil/hstwcs.py of stwcs 1.7.7).
_OF_CHIP = re.compile("EXTNAME|EXTVER|NPIX|IDC|OC[XY]1|VAFACTOR|LTV|BINAXIS|CCDCHIP|DETECTOR"
                      "|OPT_ELEM|FILTER|DATE-OBS")

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
    """Import what `record` needs of stwcs."""
    with silent_stwcs():
        from stwcs.wcsutil import wcscorr  # noqa: F401


def keeps_history(hdus: fits.HDUList) -> bool:
    """Whether a file is one of HST whose WCS stwcs made."""
    science = [hdu.header for hdu in hdus if hdu.name == "SCI"]
    from_stwcs = bool(science) and all("IDCSCALE" in header for header in science)
    return from_stwcs and hdus[0].header.get("TELESCOP") == "HST"


def record(
    hdus: fits.HDUList, changed: dict[int, fits.Header]
) -> tuple[dict[int, fits.Header], fits.BinTableHDU | None]:
    """Enter a new WCS into the history, as ``drizzlepac`` does.

    The table is made where there is none; the WCS of before is then also archived under the letter
    O.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The file as it was; its headers are not to be used after this.
    changed : dict of int to astropy.io.fits.Header
        New headers by index.

    Returns
    -------
    changed : dict of int to astropy.io.fits.Header
        The headers, with what belongs to the table.
    table : astropy.io.fits.BinTableHDU or None
        The table; None where stwcs can't make one, which is logged.
    """
    old = {index: hdus[index].header for index in changed}
    changed = {index: with_original(header, old[index]) for index, header in changed.items()}
    before = [_light(with_original(header, header)) for header in old.values()]
    copy = InMemory([fits.PrimaryHDU(header=hdus[0].header), *before])
    copy.extend(hdu for hdu in hdus if hdu.name == "WCSCORR")
    try:
        with silent_stwcs():
            from stwcs.wcsutil import wcscorr

            wcscorr.init_wcscorr(copy)
            for place, header in enumerate(changed.values(), 1):
                copy[place] = _light(without_alternates(header))  # those have their rows
            wcscorr.update_wcscorr(copy)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, OSError) as error:
        reason = str(error) or type(error).__name__
        log.warning("the table WCSCORR is left as it is: %s", reason)
        return changed, None
    primary = hdus[0].header
    if "NEXTEND" in primary:
        primary["NEXTEND"] = len(hdus) - ("WCSCORR" in hdus)
    return {0: primary, **changed}, copy["WCSCORR"]


def _light(header):
    """Return an HDU of what stwcs looks at for a row, which holds no distortion.

    It copies and formats several times whatever is there.
    """
    cards = [card for card in header.cards if _is_looked_at(card.rawkeyword)]
    header = fits.Header(cards).copy()
    for keyword in header["CTYPE*"]:
        header[keyword] = header[keyword].removesuffix("-SIP")
    return fits.ImageHDU(header=header, name=header["EXTNAME"], ver=header.get("EXTVER", 1))


def _is_looked_at(keyword):
    """Whether stwcs looks at a keyword for a row of the table."""
    return is_wcs_keyword(keyword) or is_wcs_keyword(keyword[:-1]) or bool(_OF_CHIP.match(keyword))
