"""The table WCSCORR, in which HST files keep the history of their WCS. stwcs writes its rows."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings

from astropy.io import fits

from imagereg.headers import without_alternates

log = logging.getLogger(__name__)


class _Unflushed(fits.HDUList):
    """An HDUList that stays in memory, whatever stwcs thinks."""

    def flush(self, *_, **__):
        """Do nothing."""


def keeps_history(hdus):
    """Whether a file is one of HST whose WCS stwcs made."""
    science = [hdu.header for hdu in hdus if hdu.name == "SCI"]
    return hdus[0].header.get("TELESCOP") == "HST" and bool(science) and all("IDCSCALE" in h for h in science)


def record(hdus, changed):
    """Enter a new WCS into the history, as ``drizzlepac`` does.

    The table is made where there is none; the WCS of before is then also archived under the letter O.

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
    copy = _Unflushed(hdus)
    before = {index: hdus[index].header for index in changed}
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keywords that stwcs makes for its own use
            from stwcs.wcsutil import wcscorr

            wcscorr.init_wcscorr(copy)
            opus = {index: [card for card in header.cards if card.keyword.endswith("O") and card.keyword[:-1] in header]
                    for index, header in before.items()}
            for index, header in changed.items():
                header.extend(card for card in opus[index] if card.keyword not in header)
                copy[index].header = without_alternates(header)  # those before have their rows
            wcscorr.update_wcscorr(copy)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, OSError) as error:
        log.warning("the table WCSCORR is left as it is: %s", str(error) or type(error).__name__)
        return changed, None
    log.debug("%s", printed.getvalue())
    return {0: copy[0].header, **changed}, copy["WCSCORR"]
