"""Headerlets: make, attach, read.

A headerlet is a FITS file with the WCS of every chip of an image and without its pixels, which stwcs makes and applies
(Hack et al. 2012, ASP Conf. 461, 439). It may stand in a file of its own and in an extension HDRLET of its image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import logging
import os
import re
import textwrap

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from imagereg.errors import InputError, ParameterError
from imagereg.files import atomic
from imagereg.files import fits as files
from imagereg.files.instruments import headerlet_root
from imagereg.files.rewrite import check_updatable, quiet_stwcs, rewrite
from imagereg.wcs import keywords as headers
from imagereg.wcs.history import Unflushed
from imagereg.wcs.plane import apart

_TABLES = ("WCSDVARR", "D2IMARR")
_FACTS = ("HDRNAME", "CATALOG", "NMATCH", "RMS_RA", "RMS_DEC")  # which hold for all chips
_HISTORY_WIDTH = 70
SAME = 1e-3  # pixels, by which solutions may differ that are the same
_ROOM = 64  # letters for a text and its comment in a FITS card

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Attached:
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

    def cards(self, extver):
        """Return what a science header gets from it as its primary WCS, by keyword, see `headers.with_primary`."""
        about = [self.about.cards[name] for name in _FACTS if self.about.get(name)]
        errors = [fits.Card(f"CRDER{i}", self.about[name], f"[deg] random error of axis {i}")
                  for i, name in enumerate(("RMS_RA", "RMS_DEC"), 1) if self.about.get(name)]
        return headers.wcs_cards(self.headers[extver]) | {card.keyword: card for card in about + errors}


def attached(hdus):
    """Return the headerlets that are attached to an image: list of `Attached`."""
    return [_read(hdu) for hdu in hdus if hdu.name == "HDRLET"]


def _read(hdu):
    with fits.open(io.BytesIO(np.asarray(hdu.data).tobytes())) as inner:
        sips = {sip.header["TG_EVER"]: sip.header for sip in inner if sip.name == "SIPWCS"}
        wcss = {extver: files.wcs_of(header, inner) for extver, header in sips.items()}
        return Attached(inner[0].header["HDRNAME"], f"HDRLET,{hdu.ver}", inner[0].header, sips, wcss)


def file_name(path, hdrfile):
    """Name of the headerlet file of an image: ``j99da1f2q_hdrlet1_hlet.fits`` where `hdrfile` is ``hdrlet1``."""
    if ".fits" in hdrfile:
        return hdrfile
    return "_".join(filter(None, (headerlet_root(path), hdrfile, "hlet.fits")))


def check(paths, task):
    """See before any work whether the headerlets of a run can be made.

    Parameters
    ----------
    paths : sequence of str
        The images; those that can't be read get their verdict elsewhere.
    task : ParameterSet
        Of tweakreg.

    Raises
    ------
    ParameterError
        A text can't stand in a FITS header, or the headerlet has no name.
    InputError
        A file would be overwritten, the name is taken, the history can't be read, or stwcs knows no headerlets of
        such files.
    """
    _words(task)
    names = {}
    for path in paths:
        name = file_name(path, task.hdrfile)
        if (other := names.setdefault(name, path)) != path:
            raise InputError(f"the headerlets of {other} and {path} would both be {name}: give the parameter hdrfile "
                             "the middle part of their names" if ".fits" in task.hdrfile else
                             f"the headerlets of {other} and {path} would both be {name}")
        atomic.check_writable(name)
        if os.path.realpath(name) in map(os.path.realpath, paths):
            raise InputError(f"the headerlet of {path} would take the place of the image {name}: give another hdrfile")
        if os.path.exists(name) and not task.clobber:
            raise InputError(f"the headerlet {name} of {path} exists already: give another hdrfile, or clobber=yes")
        if task.attach:
            check_updatable(path)
        try:
            hdus = _light(path)
        except InputError as error:
            log.debug("%s", error)
            continue
        _try(path, hdus)
        with files.opened(path) as image:
            taken = _place(image, _hdrname(task)) < len(image)
        if task.attach and taken and not task.clobber:
            raise InputError(f"{path} has a headerlet named {_hdrname(task)!r} already: give another hdrname, "
                             "or clobber=yes")


def write(path, solved, task, *, claim=None, dry_run=False):
    """Write the headerlet of an image, and attach it where the task says so; the image's own WCS is not touched.

    Parameters
    ----------
    path : str
        The image.
    solved : sequence of (dict of int to (astropy.wcs.WCS or None), correction.Solution)
        New WCS of its chips by EXTVER, and what is known of them; see `rewrite.update_header`.
    task : ParameterSet
        Of tweakreg.
    claim, dry_run, optional
        See `rewrite.rewrite`.

    Returns
    -------
    list of str
        What differs, see `rewrite.rewrite`; a line for the new file.

    Raises
    ------
    InputError
        A file can't be written, or stwcs can't make the headerlet.
    """
    hdus, name = _light(path), file_name(path, task.hdrfile)
    for wcss, solution in solved:
        for extver, wcs in wcss.items():
            hdu = _science(hdus, extver)
            plain = headers.without_alternates(hdu.header)
            hdu.header = headers.corrected_header(plain, wcs, solution, wcsname=task.wcsname)
    made = _make(path, hdus, _hdrname(task), **_words(task))
    buffer = io.BytesIO()
    with _stwcs(path):
        from stwcs.wcsutil.headerlet import HeaderletHDU

        made.writeto(buffer)
        extension = HeaderletHDU.fromheaderlet(made)
    for card in extension.header.cards:
        if isinstance(card.value, str) and len(card.value) + len(card.comment) > _ROOM:
            card.comment = ""  # with names as long as HST's there is no room for stwcs' comments
    differences = [f"{name}: a new headerlet"]
    if not dry_run:
        atomic.write_bytes(name, buffer.getvalue())
    if task.attach:
        change = functools.partial(_with_headerlet, extension=extension)
        differences += rewrite(path, change, claim=claim, dry_run=dry_run)
    if not dry_run:
        log.info("%s: headerlet %s in %s%s", path, _hdrname(task), name, ", and attached" if task.attach else "")
    return differences


def _hdrname(task):
    return task.hdrname.strip() or task.wcsname.strip()


def _words(task):
    """Return what the task says about a headerlet; raises where a FITS header can't."""
    if not _hdrname(task):
        raise ParameterError("tweakreg: headerlet = yes needs a name for it: hdrname, or wcsname")
    words = {name: task[name].strip() for name in ("author", "descrip", "catalog")}
    for name, value in {**words, "hdrname": _hdrname(task)}.items():
        if not (value.isascii() and (value.isprintable())):
            raise ParameterError(f"tweakreg: parameter {name!r} = {value!r}: expected plain ASCII text, as FITS has")
    words["catalog"] = words["catalog"] or os.path.basename(task.refcat)
    return words | {"history": atomic.read_text(task.history) if task.history.strip() else ""}


def _history_lines(text):
    """Text in lines of 70 characters, its paragraphs kept apart; what FITS can't hold becomes a question mark."""
    plain = re.sub(r"[^ -~\s]", "?", text)
    return [line for paragraph in re.split(r"\n\s*\n", plain)
            for line in textwrap.wrap(" ".join(paragraph.split()), _HISTORY_WIDTH)]


def _light(path):
    """Return the HDUs of a file that stwcs needs, without pixels: headers, and the tables of the distortion."""
    with files.opened(path) as hdus:
        science = [_science(hdus, chip.extver) for chip in files.read_chips(hdus, path)]
        light = Unflushed([fits.PrimaryHDU(header=hdus[0].header.copy())])
        for hdu in hdus[1:]:
            if any(hdu is chip for chip in science):
                light.append(fits.ImageHDU(header=hdu.header.copy()))
            elif hdu.name in _TABLES:
                light.append(fits.ImageHDU(np.array(hdu.data), hdu.header.copy()))
    return light


def _science(hdus, extver):
    """Return the HDU of a chip."""
    if ("SCI", extver) in hdus:
        return hdus["SCI", extver]
    return next(hdu for hdu in hdus if "CTYPE1" in hdu.header and hdu.name not in _TABLES)


def _with_headerlet(hdus, old, extension):
    """Append a headerlet to its image, or put it in the place of one with its name; only NEXTEND follows."""
    place, parts = _place(hdus, extension.header["HDRNAME"]), list(range(len(hdus)))
    versions = [hdu.ver for hdu in hdus if hdu.name == "HDRLET"]
    extension.ver = hdus[place].ver if place < len(hdus) else max(versions, default=0) + 1
    parts[place:place + 1] = [extension]
    if old[0].get("NEXTEND", len(parts) - 1) != len(parts) - 1:
        primary = old[0].copy()
        primary["NEXTEND"] = len(parts) - 1
        parts[0] = 0, primary
    return parts


def _place(hdus, hdrname):
    """Where an attached headerlet of that name stands; the end of the file where there is none."""
    names = [str(hdu.header.get("HDRNAME", "")).upper() if hdu.name == "HDRLET" else None for hdu in hdus]
    return names.index(hdrname.upper()) if hdrname.upper() in names else len(names)


@contextlib.contextmanager
def _stwcs(path):
    """Let stwcs do its work on a file; whatever it stumbles over is an InputError."""
    try:
        with quiet_stwcs():
            yield
    except Exception as error:  # of all kinds: it looks for little before it leaps
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: stwcs makes no headerlet that it can apply to such a file: {reason}") from error


def _make(path, hdus, hdrname, *, history="", **words):
    """Return the headerlet of the primary WCS in the HDUs that `_light` gives."""
    science = [("SCI", hdu.ver) for hdu in hdus if hdu.name == "SCI"]
    with _stwcs(path):
        from stwcs.wcsutil.headerlet import create_headerlet

        made = create_headerlet(hdus, sciext=science, hdrname=hdrname, destim=hdus[0].header["ROOTNAME"],
                                logging=False, **words)
    for sip in (hdu.header for hdu in made if hdu.name == "SIPWCS"):
        header = _science(hdus, sip["TG_EVER"]).header
        for name, value in list(sip.items()):  # which stwcs rounds
            if isinstance(value, float) and np.isclose(value, header.get(name, np.nan), rtol=1e-9, atol=0):
                sip[name] = header[name]
        sip.extend(headers.wcs_cards(header).values(), unique=True)  # those which it leaves out
    for line in _history_lines(history):
        made[0].header.add_history(line)
    return made


def _try(path, hdus):
    """Raise InputError unless a headerlet of the present WCS, applied to the image, gives that WCS again."""
    science = [hdu for hdu in hdus if hdu.name == "SCI"]
    needs = {"SCI extensions of EXTVER 1, 2, ... without gaps":
             science and sorted(hdu.ver for hdu in science) == [*range(1, len(science) + 1)],
             "ROOTNAME in its primary header": str(hdus[0].header.get("ROOTNAME", "")).strip(),
             "a SIP polynomial, or IDCTAB in its primary header":
             "IDCTAB" in hdus[0].header or any("A_ORDER" in hdu.header for hdu in science)}
    if lacking := [need for need, met in needs.items() if not met]:
        raise InputError(f"{path} can't have a headerlet: stwcs needs {lacking[0]}")
    made, copy = _make(path, hdus, "TRIAL"), _light(path)
    with files.opened(path) as image:
        chips = files.read_chips(image, path)
    with _stwcs(path):
        made.apply_as_primary(copy, attach=False, archive=False)
        applied = [files.wcs_of(_science(copy, chip.extver).header, copy) for chip in chips]
    off = max(apart(chip.wcs, wcs, chip.shape) for chip, wcs in zip(chips, applied, strict=True))
    if not off < SAME:
        raise InputError(f"{path}: a headerlet would be off by {off:.3g} pixel when stwcs applies it")
