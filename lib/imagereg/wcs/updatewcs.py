"""Recompute the WCS of HST images from their distortion reference files, by stwcs.updatewcs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from imagereg.errors import InputError
from imagereg.wcs import alternates, distortion, headerlet, keywords

_COMMENTARY = ("HISTORY", "COMMENT", "")
_LONGEST = 200  # characters of an error of stwcs that is passed on; some are a screen long


def recomputed(
    hdus: fits.HDUList, old: list[fits.Header], science: Iterable[int], where: str
) -> tuple[list[Any], str]:
    """Return an image with the headers that stwcs.updatewcs gives it.

    Parameters
    ----------
    hdus : HDUList
        The image, which stays as it is.
    old : list of astropy.io.fits.Header
        Its headers as they stand in the file.
    science : iterable of int
        Indices of its science HDUs.
    where : str
        Its name, for errors.

    Returns
    -------
    parts : list
        The HDUs of the new file: the index of one that stays, an index with a new header, or a new
        table or image.
    warning : str
        What became of a fitted WCS that was there; empty where there was none.

    Raises
    ------
    InputError
        stwcs.updatewcs does not work on it.
    """
    headers = list(old)
    fitted = [index for index in science if keywords.is_fitted(old[index])]
    for index in fitted:
        headers[index] = alternates.archive_primary(old[index])
    phantoms = [_phantom(hdu, header) for hdu, header in zip(hdus, headers, strict=True)]
    before = [phantom.header.copy() for phantom in phantoms]
    indices = {id(phantom): index for index, phantom in enumerate(phantoms)
               if phantom.name not in distortion.TABLES}
    result = fits.HDUList(phantoms)
    _run_stwcs(result, where)
    parts: list[Any] = []
    changed = {}
    for hdu in result:
        if id(hdu) not in indices:
            parts.append(hdu)
            continue
        index = indices[id(hdu)]
        new = _carried_over(headers[index], before[index], hdu.header)
        if index in fitted:
            keywords.forget_fit(new)
        if "S_REGION" in new and hdu.name == "SCI":
            new["S_REGION"] = keywords.s_region(new, WCS(hdu.header, result))
        if new.tostring() != old[index].tostring():
            changed[index] = new
        parts.append((index, new) if index in changed else index)
    warning = _lost(headers[fitted[0]], changed.get(fitted[0])) if fitted else ""
    return parts, warning


def _lost(header, new):
    """Return what became of the fitted WCS of a header in the new one, if any."""
    name = str(header.get("WCSNAME", ""))
    if new is not None and name in alternates.wcs_names(new).values():
        return f"updatewcs replaced the fitted WCS {name!r}, which is now an alternate"
    return (f"updatewcs removed the fitted WCS {name!r}, which goes with another distortion model "
            "(IDCTAB)")


def _phantom(hdu, header):
    """Return an HDU with a header, and with no data but their shape and the distortion tables."""
    if not hdu.is_image:
        return fits.ImageHDU(name=hdu.name, ver=hdu.ver)
    data = None
    if hdu.name in distortion.TABLES:
        data = hdu.data.copy()
    elif hdu.shape:
        zero = np.zeros((), np.dtype(fits.BITPIX2DTYPE[header["BITPIX"]]))
        data = np.broadcast_to(zero, hdu.shape)  # takes no memory
    kind = fits.PrimaryHDU if isinstance(hdu, fits.PrimaryHDU) else fits.ImageHDU
    return kind(data=data, header=header.copy())


def _run_stwcs(hdus, where):
    """Run stwcs.updatewcs in memory, and silently."""
    try:
        with headerlet.silent_stwcs():
            from stwcs.updatewcs import updatewcs

            updatewcs(hdus, checkfiles=False, use_db=False)
    except Exception as error:  # stwcs raises whatever files and reference files bring about
        words = " ".join(re.sub(r"-{3,}", " ", str(error)).split())[:_LONGEST]
        raise InputError(f"{where}: stwcs.updatewcs does not work on it: "
                         f"{words or type(error).__name__}") from error


def _carried_over(header, before, after):
    """Return a header with the changes that another one went through."""
    new = header.copy()
    old_cards = {card.keyword: card for card in before.cards}
    new_cards = {card.keyword: card for card in after.cards}
    for keyword in old_cards.keys() - new_cards.keys():
        new.remove(keyword, ignore_missing=True, remove_all=True)
    for keyword, card in new_cards.items():
        if keyword in old_cards and str(card) == str(old_cards[keyword]):
            continue
        if keyword in new and keyword not in _COMMENTARY:
            place = new.index(keyword)
            del new[place]
            new.insert(place, card)
        else:
            new.append(card)
    return new
