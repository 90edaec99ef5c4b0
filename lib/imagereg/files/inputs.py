"""What an input stands for: names, wildcards, lists, association tables; and what belongs to an exposure.

Beside an exposure there may be its inverse-variance map, and, for WFPC2, a file with the flags of its pixels.
"""

from __future__ import annotations

import dataclasses
import glob
import io
import logging
import os
import re
import warnings

import numpy as np
from astropy.io import fits

from imagereg.errors import InputError
from imagereg.files import disk
from imagereg.files import fits as files

#: What follows the name of an association's member, in order of preference.
MEMBER_SUFFIXES = ("_flc.fits", "_flt.fits", "_c0m.fits", "_c0h.fits", "_c0f.fits", "_cal.fits", "_crj.fits", ".fits")

_FITS = r"\.(?:fits?|fts)(?:\.gz)?"
_ASSOCIATION = re.compile(rf"_as[nc]{_FITS}$", re.IGNORECASE)
_WITH_EXTENSION = re.compile(rf"(?P<file>.*{_FITS})\[[^\[\]]*\]$", re.IGNORECASE)
_WAIVERED = re.compile(rf"(?P<root>_[a-z]\d)f(?P<end>{_FITS})$", re.IGNORECASE)
_WFPC2_IMAGE = re.compile(rf"(?P<root>_[cd])0(?P<kind>[mfh])(?P<end>{_FITS})$", re.IGNORECASE)
_COMMA = re.compile(r",(?![^\[\]]*\])")  # not one within brackets
_NO_EXPOSURE = re.compile(r"PROD|.*WAVE", re.IGNORECASE)  # MEMTYPE of products, and of STIS lamp exposures
_ABSENT = ("", "F", "N", "NO", "FALSE", "0")
_DEEPEST = 16  # lists within lists

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class InputFile:
    """One image to align.

    Parameters
    ----------
    path : str
        Its file.
    ivm : str or None
        The file with its inverse-variance map.
    """

    path: str
    ivm: str | None = None


def expand_input(given):
    """Return the files that an input stands for.

    Parameters
    ----------
    given : str or os.PathLike or sequence of them
        A name, a wildcard, an ``@list``, an association table (``*_asn.fits``, ``*_asc.fits``), or several of them
        with commas between; a sequence of such. Lists may name all of these, other lists too; names in a list or a
        table are relative to its folder.

    Returns
    -------
    list of InputFile
        In the order given; the files of one wildcard sorted, no file twice.

    Raises
    ------
    InputError
        Nothing is given; a file is missing, or has an extension in brackets; a wildcard matches nothing; a list or a
        table is not one; two files share a name; a file has two inverse-variance maps, or a map several files.
    """
    items = [given] if isinstance(given, (str, os.PathLike)) else list(given or ())
    if strange := [item for item in items if not isinstance(item, (str, os.PathLike))]:
        raise InputError(f"{strange[0]!r} stands among the input files, expected a name")
    words = (word.strip() for item in items for word in _COMMA.split(os.fspath(item)))
    found, done = {}, set()
    for file in (file for word in words if word for file in _expand_word(word, (), done)):
        known = found.setdefault(file.path, file)
        if known.ivm and file.ivm and known.ivm != file.ivm:
            raise InputError(f"{file.path} has two inverse-variance maps, {known.ivm} and {file.ivm}")
        found[file.path] = known if known.ivm else file
    if not found:
        raise InputError("no input files are given")
    _check(found.values())
    return list(found.values())


def _check(inputs):
    """Raise InputError where a file is missing, or two of them share a name."""
    seen = {}
    for file in inputs:
        for path, what in ((file.path, ""), (file.ivm, f", the inverse-variance map of {file.path},")):
            if path and not os.path.isfile(path):
                raise InputError(f"{path}{what} {'is not a file' if os.path.exists(path) else 'does not exist'}")
        path, name = file.path, os.path.basename(file.path)
        if seen.setdefault(name, path) != path:
            raise InputError(f"{seen[name]} and {path} share a name, and so would their output")


def _expand_word(word, chain, done):
    """Return the InputFiles of a word without commas; for `chain` and `done` see `_expand_list`."""
    try:
        if word.startswith("@"):
            return _expand_list(os.path.expanduser(word[1:]), chain, done)
        path = os.path.expanduser(word)
        if os.path.exists(path) or not glob.has_magic(path):
            paths = [path]
        elif suffixed := _WITH_EXTENSION.match(word):
            raise InputError(f"{word} names an extension, but all chips of a file are aligned together: "
                             f"give {suffixed['file']}")
        else:
            paths = sorted(glob.glob(path))
    except ValueError as error:  # a character that no name can have
        raise InputError(f"{word!r} is no name of a file: {error}") from error
    if not paths:
        raise InputError(f"no file matches {word}")
    return [InputFile(name) for path in paths for name in _members(path)]


def _expand_list(path, chain, done):
    """Return the InputFiles of an @list.

    `chain` has the true paths of the lists that led here, `done` those of all that have been read: one of them would
    add nothing.
    """
    true_path, folder = os.path.realpath(path), os.path.dirname(path)
    if true_path in chain or len(chain) >= _DEEPEST:
        raise InputError(f"{path} names itself, by way of {chain[-1]}" if true_path in chain else
                         f"{path} is the end of a chain of more than {_DEEPEST} lists")
    if true_path in done:
        return []
    done.add(true_path)
    found, expand = [], lambda name: os.path.join(folder, os.path.expanduser(name))
    for name, ivm in parse_list(disk.read_text(path), path):
        mark = "@" if name.startswith("@") else ""
        inputs = _expand_word(mark + expand(name.removeprefix("@")), (*chain, true_path), done)
        if ivm and len(inputs) != 1:
            raise InputError(f"{path} has one inverse-variance map, {ivm}, for {name}, which stands for {len(inputs)} "
                             "files")
        found += [InputFile(file.path, expand(ivm)) for file in inputs] if ivm else inputs
    return found


def _members(table):
    """Return the files of an association's members, which are beside the table; of another file, itself."""
    if not (_ASSOCIATION.search(table) and os.path.isfile(table)):
        return [table]
    folder = os.path.dirname(table)
    there = {name.lower(): name for name in sorted(os.listdir(folder or os.curdir))}
    found = []
    for member in _member_names(table):
        tried = [member.lower().removesuffix(".fits") + suffix for suffix in MEMBER_SUFFIXES]
        names = [there[name] for name in (n + end for n in tried for end in ("", ".gz")) if name in there]
        if not names:
            raise InputError(f"{table} has the member {member}, and there is none of {', '.join(tried)} beside it")
        found.append(os.path.join(folder, names[0]))
    return found


def _member_names(table):
    """Read the names of an association's members, in order."""
    with files.opened(table) as hdus:
        hdu = next((hdu for hdu in hdus[1:] if hasattr(hdu, "columns")), None)
        columns = {name.upper(): hdu.data[name] for name in hdu.columns.names} if hdu is not None else {}
        if not {"MEMNAME", "MEMTYPE"} <= columns.keys():
            raise InputError(f"{table} has no table with the columns MEMNAME and MEMTYPE")
        names, kinds, present = ([str(value).strip() for value in columns.get(column, ["yes"] * len(hdu.data))]
                                 for column in ("MEMNAME", "MEMTYPE", "MEMPRSNT"))
    members = [name for name, kind, here in zip(names, kinds, present, strict=True)
               if name and here.upper() not in _ABSENT and not _NO_EXPOSURE.match(kind)]
    if not members:
        raise InputError(f"{table} names no exposure that is present")
    return members


def parse_list(text, where):
    """Names in an ``@list``: a file, and perhaps its inverse-variance map, on every line that is not a comment.

    Parameters
    ----------
    text : str
        Content of the list.
    where : str
        Its name, for errors.

    Returns
    -------
    list of tuple
        Pairs of str, and str or None: ``None`` and ``INDEF`` in the second column stand for no map.

    Raises
    ------
    InputError
        A line has more than two columns, or a comma; or no line has any.
    """
    pairs = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        words = line.partition("#")[0].split()
        if len(words) > 2 or any(_COMMA.search(word) for word in words):
            raise InputError(f"{where}, line {number}: {line.strip()!r}, expected the name of a file and perhaps that "
                             "of its inverse-variance map, with a space between")
        if words:
            ivm = words[1] if len(words) == 2 and words[1].upper() not in ("NONE", "INDEF") else None
            pairs.append((words[0], ivm))
    if not pairs:
        raise InputError(f"{where} names no file")
    return pairs


def mef_inputs(inputs, *, dry_run=False):
    """Return inputs with waivered files replaced by what they convert to, see `ensure_mef`; no file twice."""
    found = {}
    for file in inputs:
        path = ensure_mef(file.path, dry_run=dry_run)
        found[path] = InputFile(path, file.ivm or getattr(found.get(path), "ivm", None))
    _check(found.values())
    return list(found.values())


def ensure_mef(path, *, dry_run=False):
    """Convert a waivered FITS file into one with an extension for every chip.

    A waivered file has all chips in one cube, and a table with the keywords of each (HST archive, WFPC2 and FOC):
    ``u9zh010bm_c0f.fits`` becomes ``u9zh010bm_c0h.fits`` beside it, and its flags ``u9zh010bm_c1f.fits`` likewise. What
    was converted before is used as it is: it may have been aligned since.

    Parameters
    ----------
    path : str
        Any file.
    dry_run : bool
        Write nothing.

    Returns
    -------
    str
        The converted file; `path` where it is not waivered, or can't be read: reading it will say why.

    Raises
    ------
    InputError
        It can't be converted, or the new file can't be written, or is not to be.
    """
    if not _is_waivered(path):
        return path
    flags = quality_file(path)
    if flags and _is_waivered(flags):
        _convert(flags, dry_run)
    return _convert(path, dry_run)


def _is_waivered(path):
    """Whether there are two HDUs, an image or a cube, and an ASCII table that has a row for each plane."""
    try:
        with files.opened(path) as hdus:
            shape, table = hdus[0].shape, hdus[-1].header
            return (len(hdus) == 2 and len(shape) in (2, 3) and isinstance(hdus[1], fits.TableHDU)
                    and table["NAXIS2"] in (1, shape[0])
                    and ("SDASMGNU" in hdus[0].header or "CRVAL1" in hdus[1].columns.names))
    except InputError:
        return False


def _convert(path, dry_run):
    """Write the converted file, if there is none yet; returns its name."""
    target = _WAIVERED.sub(r"\g<root>h.fits", path)
    if target == path:
        target = re.sub(rf"{_FITS}$", "", path, flags=re.IGNORECASE) + "_mef.fits"
    if os.path.exists(target):
        log.info("%s: %s, converted before, is used in its place", path, target)
        return target
    if dry_run:
        raise InputError(f"{path} is waivered FITS, and a dry run does not convert it")
    from stsci.tools.convertwaiveredfits import convertwaiveredfits

    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), files.opened(path) as hdus:
            warnings.simplefilter("ignore")  # keywords of the nineties
            converted = convertwaiveredfits(hdus)
            for number, hdu in enumerate(converted[1:], 1):
                if not hdu.name:
                    hdu.name, hdu.ver = "SCI", number
            converted[0].header["FILENAME"] = os.path.basename(target)
            converted.writeto(buffer, output_verify="silentfix")
    except (ArithmeticError, LookupError, AttributeError, SyntaxError, NameError) as error:
        raise InputError(f"{path} is waivered FITS that can't be converted: {error}") from error
    disk.write_bytes(target, buffer.getvalue())
    log.info("%s: waivered FITS, converted to %s", path, target)
    return target


def quality_file(path):
    """Return the file with the flags of a WFPC2 exposure's pixels.

    For ``<root>_c0m.fits`` that is ``<root>_c1m.fits`` beside it (``_c1h`` for ``_c0h``, ``_c1f`` for ``_c0f``), with
    image extensions of the same EXTVER, whatever their name. None where there is no such file.
    """
    if not _WFPC2_IMAGE.search(path):
        return None
    name = re.sub(r"\.gz$", "", _WFPC2_IMAGE.sub(r"\g<root>1\g<kind>\g<end>", path), flags=re.IGNORECASE)
    return next((candidate for candidate in (name, f"{name}.gz") if os.path.isfile(candidate)), None)


def imsets(path):
    """Return the EXTVERs of the science extensions, those of one exposure together.

    The chips of a camera are one exposure, whose pointing errors are the same. A file of STIS has repeated exposures
    of its one chip, each for itself.
    """
    with files.opened(path) as hdus:
        extvers = sorted(hdu.ver for hdu in hdus if hdu.name == "SCI" and hdu.header.get("NAXIS", 0) > 0) or [1]
        stis = str(hdus[0].header.get("INSTRUME", "")).strip().upper() == "STIS"
    return [(extver,) for extver in extvers] if stis else [tuple(extvers)]


def read_ivm(path, extver, shape):
    """Read the inverse-variance map of one chip.

    Parameters
    ----------
    path : str
        A FITS file with extensions IVM or SCI (or WHT), or with one image, which is that of chip 1.
    extver : int
        EXTVER of the chip.
    shape : (int, int)
        Rows and columns of the chip.

    Returns
    -------
    (ny, nx) ndarray of float
        As it stands in the file: what is not a positive number has no weight.

    Raises
    ------
    InputError
        The file can't be read, has no map for the chip, or one of another shape.
    """
    with files.opened(path) as hdus:
        found = next(((name, extver) for name in ("IVM", "SCI", "WHT") if (name, extver) in hdus), None)
        if found is None:
            images = [index for index, hdu in enumerate(hdus) if hdu.is_image and hdu.header.get("NAXIS", 0) > 0]
            if len(images) != 1 or extver != 1:
                raise InputError(f"{path} has no inverse-variance map for chip {extver}: neither IVM,{extver} nor "
                                 f"SCI,{extver}" + (", nor one single image" if extver == 1 else ""))
            found = images[0]
        data = hdus[found].data
        if data is None or data.shape != tuple(shape):
            raise InputError(f"{path}[{found}] has the shape {getattr(data, 'shape', ())}, and chip {extver} of the "
                             f"exposure {tuple(shape)}")
        return np.array(data, dtype=float)
