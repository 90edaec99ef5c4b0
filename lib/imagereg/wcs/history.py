"""The table WCSCORR, in which HST files keep the history of their WCS. stwcs writes its rows."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings

import astropy
from astropy.io import fits

from imagereg.wcs.keywords import with_original, without_alternates

_DISTORTION = re.compile(r"[AB]P?_(ORDER|DMAX|\d_\d)$|(CPDIS|D2IMDIS|CPERR|D2IMERR)[12]$|(DP|D2IM)[12](\.|$)")

log = logging.getLogger(__name__)


class Unflushed(fits.HDUList):
    """An HDUList that stays in memory, whatever stwcs thinks."""

    def flush(self, *_, **__):
        """Do nothing."""


@contextlib.contextmanager
def quietly():
    """Keep to oneself what stwcs and astropy print, log and warn of; what is printed goes to our own log."""
    from stwcs.wcsutil import headerlet

    printed, hushed, loggers = io.StringIO(), lambda record: False, (astropy.log, headerlet.logger)
    try:
        for logger in loggers:
            logger.addFilter(hushed)
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keywords that stwcs makes for its own use
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(hushed)
        log.debug("%s", printed.getvalue())


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
    changed = {index: with_original(header, hdus[index].header) for index, header in changed.items()}
    before = [with_original(hdus[index].header, hdus[index].header) for index in changed]
    copy = Unflushed([fits.PrimaryHDU(header=hdus[0].header), *map(_light, before)])
    copy.extend(hdu for hdu in hdus if hdu.name == "WCSCORR")
    try:
        with quietly():
            from stwcs.wcsutil import wcscorr

            wcscorr.init_wcscorr(copy)
            for place, header in enumerate(changed.values(), 1):
                copy[place] = _light(without_alternates(header))  # those before have their rows
            wcscorr.update_wcscorr(copy)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, OSError) as error:
        log.warning("the table WCSCORR is left as it is: %s", str(error) or type(error).__name__)
        return changed, None
    primary = hdus[0].header
    if "NEXTEND" in primary:
        primary["NEXTEND"] = len(hdus) - ("WCSCORR" in hdus)
    return {0: primary, **changed}, copy["WCSCORR"]


def _light(header):
    """Return an HDU with a header less its distortion: rows hold none, and it takes long to read."""
    header = header.copy()
    for name in [name for name in header if _DISTORTION.match(name)]:
        header.remove(name, ignore_missing=True, remove_all=True)
    for name in [name for name in header if name.startswith("CTYPE")]:
        header[name] = header[name].removesuffix("-SIP")
    return fits.ImageHDU(header=header, name=header["EXTNAME"], ver=header.get("EXTVER", 1))
