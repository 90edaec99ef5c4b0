"""Headerlets of images: check beforehand that they can be made and written, and make them."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any

from imagereg.errors import InputError, ParameterError
from imagereg.files import atomic
from imagereg.files.images import fits as files
from imagereg.files.images import instruments, rewrite
from imagereg.parameters import ParameterSet
from imagereg.wcs import alternates, corrected_header, plane
from imagereg.wcs import headerlet as headerlets

log = logging.getLogger(__name__)


def file_name(path: str, hdrfile: str) -> str:
    """Name of a headerlet file: ``j99da1f2q_hdrlet1_hlet.fits`` where `hdrfile` is ``hdrlet1``."""
    if ".fits" in hdrfile:
        return hdrfile
    parts = (instruments.headerlet_root(path), hdrfile, "hlet.fits")
    return "_".join(filter(None, parts))


def check(paths: Sequence[str], task: ParameterSet) -> None:
    """Check, before any work is done, that the headerlets of a run can be made.

    Parameters
    ----------
    paths : sequence of str
        The images. One that can't be read is passed over here: the run reports it. A simple one,
        which stwcs makes no headerlet of, gets the solution in its header alone.
    task : ParameterSet
        Of tweakreg.

    Raises
    ------
    ParameterError
        A text can't stand in a FITS header.
    InputError
        A file would be overwritten, the name is taken, the history can't be read, or stwcs can't
        make headerlets of such files.
    """
    _words(task)  # for its ParameterError
    names: dict[str, str] = {}
    for path in paths:
        if task.updatehdr and not can_have_headerlet(path):
            log.warning("%s has no SCI extension, as stwcs needs for a headerlet: the solution "
                        "goes into its header alone", path)
            continue
        name = file_name(path, task.hdrfile)
        other = names.setdefault(name, path)
        if other != path:
            advice = ": give the parameter hdrfile without .fits, as the middle part of their names"
            raise InputError(f"the headerlets of {other} and {path} would both be {name}"
                             f"{advice if '.fits' in task.hdrfile else ''}")
        _check_file(name, path, task)
        if task.attach:
            rewrite.check_updatable(path, primary=True)
        _check_image(path, task)


def can_have_headerlet(path: str) -> bool:
    """Whether an image has SCI extensions, as stwcs needs; also where it can't be read."""
    with contextlib.suppress(InputError), files.opened(path) as hdus:
        return any(hdu.name == "SCI" for hdu in hdus)
    return True


def _check_file(name, path, task):
    """Raise InputError where the file of a headerlet can't be written, or must not be."""
    atomic.check_writable(name)
    if os.path.exists(name) and not task.clobber:
        raise InputError(f"the headerlet {name} of {path} exists already: give another hdrfile, "
                         "or clobber=yes")


def _check_image(path, task):
    """Raise InputError where an image can't have a headerlet, or has one of that name."""
    with contextlib.ExitStack() as stack:
        try:
            hdus = stack.enter_context(files.opened(path))
            chips = files.read_chips(hdus, path)
        except InputError as error:
            log.debug("%s", error)
            return
        _check_trial(path, hdus, chips)
        taken = headerlets.place_of(hdus, _hdrname(task)) < len(hdus)
    if task.attach and taken and not task.clobber:
        raise InputError(f"{path} has a headerlet named {_hdrname(task)!r} already: give another "
                         "hdrname, or clobber=yes")


def _check_trial(path, hdus, chips):
    """Raise InputError unless a headerlet of the present WCS, once applied, gives that again."""
    extvers = [chip.extver for chip in chips]
    try:
        headerlets.check_can_have_headerlet(headerlets.without_pixels(hdus, extvers))
    except InputError as error:
        raise InputError(f"{path} can't have a headerlet: {error}") from error
    with _errors_of(path):
        applied = headerlets.trial_wcss(hdus, extvers)
    off = max(plane.max_separation(chip.wcs, applied[chip.extver], chip.shape) for chip in chips)
    if not off < plane.SAME_SKY:
        raise InputError(
            f"{path}: a headerlet would be off by {off:.3g} pixel when stwcs applies it")


def make(path: str, solved: Iterable[rewrite.Solved], task: ParameterSet) -> tuple[bytes, Any]:
    """Make the headerlet of an image, which is not touched.

    Parameters
    ----------
    path : str
        The image.
    solved : iterable of (dict of int to (astropy.wcs.WCS or None), Solution)
        New WCS of its chips by EXTVER, and what is known of them; see `rewrite.header_change`.
    task : ParameterSet
        Of tweakreg.

    Returns
    -------
    content : bytes
        The headerlet as a file.
    extension : stwcs.wcsutil.headerlet.HeaderletHDU
        The extension that attaches it to the image.

    Raises
    ------
    InputError
        The image can't be read, or stwcs can't make the headerlet.
    """
    with files.opened(path) as image:
        extvers = [chip.extver for chip in files.read_chips(image, path)]
        hdus = headerlets.without_pixels(image, extvers)
    for wcss, solution in solved:
        for extver, wcs in wcss.items():
            hdu = headerlets.science_hdu(hdus, extver)
            plain = alternates.without_alternates(hdu.header)
            hdu.header = corrected_header(plain, wcs, solution, wcsname=task.wcsname)
    words = _words(task)
    with _errors_of(path):
        made = headerlets.make_headerlet(hdus, _hdrname(task), **words)
        return headerlets.file_and_extension(made)


@contextlib.contextmanager
def _errors_of(path):
    """Put the name of an image before the text of an InputError."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _hdrname(task):
    return task.hdrname.strip() or task.wcsname.strip()


def _words(task):
    """Return what the task says about a headerlet; ParameterError where a FITS header can't."""
    words = {name: task[name].strip() for name in ("author", "descrip", "catalog")}
    for name, value in {**words, "hdrname": _hdrname(task)}.items():
        if not (value.isascii() and value.isprintable()):
            raise ParameterError(f"tweakreg: parameter {name!r} = {value!r}: "
                                 "expected plain ASCII text, as FITS has")
    words["catalog"] = words["catalog"] or os.path.basename(task.refcat)
    words["history"] = atomic.read_text(task.history) if task.history.strip() else ""
    return words
