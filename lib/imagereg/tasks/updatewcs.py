"""The WCS of HST images made anew from their distortion reference files, by stwcs.updatewcs."""

from __future__ import annotations

import logging
import os
import re

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from imagereg.errors import InputError
from imagereg.files import fits as files
from imagereg.files.instruments import instrument_of, quality_file
from imagereg.files.rewrite import quiet_stwcs, rewrite
from imagereg.wcs import keywords as headers

_REFERENCE_FILES = ("IDCTAB", "NPOLFILE", "D2IMFILE")
_TABLES = ("WCSDVARR", "D2IMARR")  # extensions in which stwcs stores what the reference files say
_LONGEST = 200  # letters of what stwcs has to say

log = logging.getLogger(__name__)


def check_recomputable(path):
    """Raise InputError where a file is not of HST, or one of its distortion reference files is missing."""
    with files.opened(path) as hdus:
        header = hdus[0].header.copy()
        science = any(hdu.name == "SCI" for hdu in hdus)
    if not instrument_of(header).has_updatewcs or not science:
        raise InputError(f"{path} is no image of HST with SCI extensions, which updatewcs = yes needs")
    names = {keyword: str(header.get(keyword, "")).strip() for keyword in _REFERENCE_FILES}
    if names["IDCTAB"] in ("", "N/A"):
        raise InputError(f"{path} names no IDCTAB in its primary header, which updatewcs = yes needs")
    for keyword, name in names.items():
        folder, dollar, _ = name.partition("$")
        if dollar and folder not in os.environ:
            raise InputError(f"{path} needs {keyword} {name} for updatewcs = yes, and the environment variable "
                             f"{folder}, which says where that is, is not set")
        if name not in ("", "N/A") and not os.path.exists(_on_disk(name)):
            raise InputError(f"{path} needs {keyword} {name} for updatewcs = yes, and there is no file "
                             f"{_on_disk(name)}")


def _on_disk(name):
    """Path of a reference file that may start with an environment variable: ``jref$name``."""
    folder, dollar, rest = name.partition("$")
    return os.path.join(os.environ.get(folder, ""), rest) if dollar else name


def recompute(paths, *, claim=None, folder=None):
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
        By path, what is to be said of a fitted WCS that was there; empty where there was none.
    differences : list of str
        See `rewrite`.

    Raises
    ------
    InputError
        It does not work for one of the files; all are then as they were.
    """
    changes = {path: _Recomputed(path) for path in paths}
    differences = [line for path, change in changes.items() for line in rewrite(path, change, dry_run=True)]
    for path, change in changes.items():
        target = os.path.join(folder, os.path.basename(path)) if folder else None
        rewrite(path, change, claim=claim, target=target)
        log.info("%s: WCS recomputed by stwcs.updatewcs", path)
        flags = quality_file(path)
        if target and flags:  # which is looked for beside the image
            os.symlink(os.path.abspath(flags), os.path.join(folder, os.path.basename(flags)))
        if change.warning:
            log.warning("%s: %s", path, change.warning)
    return {path: change.warning for path, change in changes.items()}, differences


class _Recomputed:
    """What stwcs makes of one file, worked out when `rewrite` asks first."""

    def __init__(self, path):
        self.path, self.warning, self._parts = path, "", None

    def __call__(self, hdus, old):
        if self._parts is None:
            self._parts = self._worked_out(hdus, old)
        return self._parts

    def _worked_out(self, hdus, old):
        fitted = {index: headers.archived(old[index]) for index in files.science(hdus, self.path)
                  if headers.is_fitted(old[index])}
        phantoms = [_phantom(hdu, fitted.get(index, old[index])) for index, hdu in enumerate(hdus)]
        before = {id(hdu): (index, hdu.header.copy()) for index, hdu in enumerate(phantoms) if hdu.name not in _TABLES}
        result = fits.HDUList(phantoms)
        _run_stwcs(result, self.path)
        parts = []
        for hdu in result:
            index, header = before.get(id(hdu), (None, None))
            if index is None:
                parts.append(hdu)
                continue
            new = _carried_over(fitted.get(index, old[index]), header, hdu.header)
            if index in fitted:
                headers.forget_fit(new)
            if "S_REGION" in new and hdu.name == "SCI":
                new["S_REGION"] = headers.s_region(new, WCS(hdu.header, result))
            parts.append((index, new) if new.tostring() != old[index].tostring() else index)
        self.warning = self._lost(fitted, parts)
        return parts

    def _lost(self, fitted, parts):
        """Return what is to be said of fitted WCSs that were there."""
        if not fitted:
            return ""
        index, header = next(iter(fitted.items()))
        name = str(header.get("WCSNAME", ""))
        new = dict(part for part in parts if isinstance(part, tuple)).get(index)
        if new is not None and name in headers.wcs_names(new).values():
            return f"updatewcs replaced the fitted WCS {name!r}, which is now an alternate"
        return f"updatewcs removed the fitted WCS {name!r}, which goes with another distortion model (IDCTAB)"


def _phantom(hdu, header):
    """Return an HDU that has the header of another, and of its data no more than the shape, but for distortion."""
    shape = hdu.shape if hdu.is_image else ()
    if not hdu.is_image:
        return fits.ImageHDU(name=hdu.name, ver=hdu.ver)
    data = hdu.data.copy() if hdu.name in _TABLES else None
    if data is None and len(shape):
        data = np.broadcast_to(np.zeros((), np.dtype(fits.BITPIX2DTYPE[header["BITPIX"]])), shape)
    kind = fits.PrimaryHDU if isinstance(hdu, fits.PrimaryHDU) else fits.ImageHDU
    return kind(data=data, header=header.copy())


def _run_stwcs(hdus, path):
    """Run stwcs.updatewcs in memory, and silently."""
    try:
        with quiet_stwcs():
            from stwcs.updatewcs import updatewcs

            updatewcs(hdus, checkfiles=False, use_db=False)
    except Exception as error:  # stwcs lets through what the files and the reference files bring about
        words = " ".join(re.sub(r"-{3,}", " ", str(error)).split())[:_LONGEST] or type(error).__name__
        raise InputError(f"{path}: stwcs.updatewcs does not work on it: {words}") from error


def _carried_over(header, before, after):
    """Return a header with the changes that another went through."""
    new = header.copy()
    old_cards, new_cards = ({card.keyword: card for card in h.cards} for h in (before, after))
    for keyword in old_cards.keys() - new_cards.keys():
        new.remove(keyword, ignore_missing=True, remove_all=True)
    for keyword, card in new_cards.items():
        if keyword in old_cards and str(card) == str(old_cards[keyword]):
            continue
        if keyword in new and keyword not in ("HISTORY", "COMMENT", ""):
            place = new.index(keyword)
            del new[place]
            new.insert(place, card)
        else:
            new.append(card)
    return new
