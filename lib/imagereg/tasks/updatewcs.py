"""Recompute the WCS of HST images from their distortion reference files, by stwcs.updatewcs."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from imagereg.errors import InputError
from imagereg.files import fits as files
from imagereg.files import instruments, rewrite
from imagereg.wcs import alternates, distortion, history, keywords

_REFERENCE_FILES = ("IDCTAB", "NPOLFILE", "D2IMFILE")
_NO_FILE = ("", "N/A")
_COMMENTARY = ("HISTORY", "COMMENT", "")
_LONGEST = 200  # characters of an error of stwcs that is passed on; some are a screen long

log = logging.getLogger(__name__)


def check_recomputable(path: str) -> None:
    """Raise InputError where a file is not of HST, or lacks a distortion reference file."""
    with files.opened(path) as hdus:
        header = hdus[0].header.copy()
        science = any(hdu.name == "SCI" for hdu in hdus)
    if not (instruments.instrument_of(header).has_updatewcs and science):
        raise InputError(f"{path} is no image of HST with SCI extensions, which updatewcs = yes "
                         "needs")
    names = {keyword: str(header.get(keyword, "")).strip() for keyword in _REFERENCE_FILES}
    if names["IDCTAB"] in _NO_FILE:
        raise InputError(f"{path} names no IDCTAB in its primary header, which updatewcs = yes "
                         "needs")
    for keyword, name in names.items():
        needed = f"{path} needs {keyword} {name} for updatewcs = yes"
        variable, dollar, rest = name.rpartition("$")
        if dollar and variable not in os.environ:
            raise InputError(f"{needed}, and the environment variable {variable}, which says where "
                             "that is, is not set")
        on_disk = os.path.join(os.environ.get(variable, ""), rest)
        if name not in _NO_FILE and not os.path.exists(on_disk):
            raise InputError(f"{needed}, and there is no file {on_disk}")


def recompute(
    paths: Sequence[str], *, claim: Any = None, folder: str | None = None
) -> tuple[dict[str, str], list[str]]:
    """Run stwcs.updatewcs on files, which are replaced only once it has worked for all of them.

    Parameters
    ----------
    paths : sequence of str
        The files.
    claim : atomic.Claim, optional
        Of the run that holds them.
    folder : str, optional
        Where to write the new files instead.

    Returns
    -------
    warned : dict of str to str
        Warning about a fitted WCS that was there, by path; empty where there was none.
    differences : list of str
        See `rewrite`.

    Raises
    ------
    InputError
        It does not work for one of the files; all are then as they were.
    """
    changes = {path: _Recomputed(path) for path in paths}
    differences = []
    for path, change in changes.items():
        differences += rewrite.rewrite(path, change, dry_run=True)
    for path, change in changes.items():
        target = os.path.join(folder, os.path.basename(path)) if folder else None
        rewrite.rewrite(path, change, claim=claim, target=target)
        log.info("%s: WCS recomputed by stwcs.updatewcs", path)
        flags = instruments.quality_file(path)
        if folder and flags:  # which is looked for beside the image
            os.symlink(os.path.abspath(flags), os.path.join(folder, os.path.basename(flags)))
        if change.warning:
            log.warning("%s: %s", path, change.warning)
    return {path: change.warning for path, change in changes.items()}, differences


class _Recomputed:
    """The change of one file by stwcs, worked out when `rewrite` first asks for it."""

    def __init__(self, path):
        self.path = path
        self.warning = ""
        self._parts = None

    def __call__(self, hdus, old):
        if self._parts is None:
            self._parts = self._worked_out(hdus, old)
        return self._parts

    def _worked_out(self, hdus, old):
        """Return the HDUs of the file with the headers that stwcs gives them, see `rewrite`."""
        headers = list(old)
        science = files.science(hdus, self.path)
        fitted = [index for index in science if keywords.is_fitted(old[index])]
        for index in fitted:
            headers[index] = alternates.archive_primary(old[index])
        phantoms = [_phantom(hdu, header) for hdu, header in zip(hdus, headers, strict=True)]
        before = [phantom.header.copy() for phantom in phantoms]
        indices = {id(phantom): index for index, phantom in enumerate(phantoms)
                   if phantom.name not in distortion.TABLES}
        result = fits.HDUList(phantoms)
        _run_stwcs(result, self.path)
        parts, changed = [], {}
        for hdu in result:
            index = indices.get(id(hdu))
            if index is None:
                parts.append(hdu)
                continue
            new = _carried_over(headers[index], before[index], hdu.header)
            if index in fitted:
                keywords.forget_fit(new)
            if "S_REGION" in new and hdu.name == "SCI":
                new["S_REGION"] = keywords.s_region(new, WCS(hdu.header, result))
            if new.tostring() != old[index].tostring():
                changed[index] = new
            parts.append((index, new) if index in changed else index)
        if fitted:
            self.warning = _lost(headers[fitted[0]], changed.get(fitted[0]))
        return parts


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


def _run_stwcs(hdus, path):
    """Run stwcs.updatewcs in memory, and silently."""
    try:
        with history.silent_stwcs():
            from stwcs.updatewcs import updatewcs

            updatewcs(hdus, checkfiles=False, use_db=False)
    except Exception as error:  # stwcs raises whatever files and reference files bring about
        words = " ".join(re.sub(r"-{3,}", " ", str(error)).split())[:_LONGEST]
        raise InputError(f"{path}: stwcs.updatewcs does not work on it: "
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
