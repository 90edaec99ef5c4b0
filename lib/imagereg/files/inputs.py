"""Find the images that the user means: names, wildcards, @lists, association tables.

Old files of the HST archive, which are waivered FITS or GEIS, are converted on the way.
"""

from __future__ import annotations

import dataclasses
import glob
import io
import logging
import os
import re
import warnings
from collections.abc import Iterable, Sequence

from astropy.io import fits

from imagereg.errors import InputError
from imagereg.files.atomic import read_text, write_bytes
from imagereg.files.images.fits import opened, wcs_names
from imagereg.files.images.geis import fits_name, is_geis, read_geis
from imagereg.files.images.instruments import MEMBER_SUFFIXES, quality_file

_FITS = r"\.(?:fits?|fts)(?:\.gz)?"
_ASSOCIATION = re.compile(rf"_as[nc]{_FITS}$", re.IGNORECASE)
_WITH_EXTENSION = re.compile(rf"(?P<file>.*{_FITS})\[[^\[\]]*\]$", re.IGNORECASE)
_WAIVERED = re.compile(rf"(?P<root>_[a-z]\d)f(?P<end>{_FITS})$", re.IGNORECASE)
_COMMA = re.compile(r",(?![^\[\]]*\])")  # not one within brackets
# MEMTYPE of products, and of STIS lamp exposures.
_NO_EXPOSURE = re.compile(r"PROD|.*WAVE", re.IGNORECASE)
_MEMBER_COLUMNS = ("MEMNAME", "MEMTYPE", "MEMPRSNT")
_ABSENT = ("", "F", "N", "NO", "FALSE", "0")
_NOTHING = ("NONE", "INDEF")
_DEEPEST = 16  # lists within lists; one that is deeper is a mistake

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
    wcs_names : dict of int to list of str
        Names of the WCSs of each science HDU by its index, once `mef_inputs` has looked into it.
    catalogs : tuple of (str or None)
        The files with its sources, one for each chip, which a list may name beside it.
    named_in : tuple of str
        The lists and association tables that led to it.
    made : tuple of str
        The files, it and that of its flags, that `mef_inputs` made of old ones.
    """

    path: str
    ivm: str | None = None
    catalogs: tuple[str | None, ...] = ()
    wcs_names: dict[int, list[str]] = dataclasses.field(default_factory=dict, compare=False)
    named_in: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    made: tuple[str, ...] = dataclasses.field(default=(), compare=False)


def expand_input(given: str | os.PathLike | Sequence[str | os.PathLike]) -> list[InputFile]:
    """Return the files that an input stands for.

    Parameters
    ----------
    given : str or os.PathLike or sequence of them
        A name, a wildcard, an ``@list``, an association table (``*_asn.fits``, ``*_asc.fits``), or
        several of them with commas between; a sequence of such. Lists may name all of these, other
        lists too; names in a list or a table are relative to its folder. An extension in brackets
        behind a name is passed over: all chips of a file are aligned together.

    Returns
    -------
    list of InputFile
        In the order given; the files of one wildcard sorted, no file twice.

    Raises
    ------
    InputError
        Nothing is given; a file is missing; a wildcard matches nothing; a list or a table is not
        one; two files share a name; a file has two inverse-variance maps, or a map several files.
    """
    items = [given] if isinstance(given, (str, os.PathLike)) else list(given or ())
    for item in items:
        if not isinstance(item, (str, os.PathLike)):
            raise InputError(f"{item!r} stands among the input files, expected a name")
    words = [word.strip() for item in items for word in _COMMA.split(os.fspath(item))]
    found: dict[str, InputFile] = {}
    done: set[str] = set()
    for file in (file for word in words if word for file in _expand_word(word, (), done)):
        known = found.get(file.path, file)
        if known.ivm and file.ivm and known.ivm != file.ivm:
            raise InputError(f"{file.path} has two inverse-variance maps, {known.ivm} and "
                             f"{file.ivm}")
        found[file.path] = known if known.ivm or known.catalogs else file
    if not found:
        raise InputError("no input files are given")
    _check(found.values())
    return list(found.values())


def _check(inputs):
    """Raise InputError where a file is missing, or two of them share a name."""
    seen = {}
    for file in inputs:
        catalog_of = f", a catalog of {file.path},"
        read = [(file.path, ""), (file.ivm, f", the inverse-variance map of {file.path},")]
        read += [(name, catalog_of) for name in file.catalogs]
        for path, what in read:
            if path and not os.path.isfile(path):
                state = "is not a file" if os.path.exists(path) else "does not exist"
                raise InputError(f"{path}{what} {state}")
        first = seen.setdefault(os.path.basename(file.path), file.path)
        if first != file.path:
            raise InputError(f"{first} and {file.path} share a name, and so would their output")


def _expand_word(word, chain, done):
    """Return the InputFiles of a word without commas; for `chain` and `done` see `_expand_list`."""
    try:
        if word.startswith("@"):
            return _expand_list(os.path.expanduser(word[1:]), chain, done)
        path = without_extension(os.path.expanduser(word))
        if os.path.exists(path) or not glob.has_magic(path):
            paths = [path]
        else:
            paths = sorted(glob.glob(_with_lone_brackets_escaped(path)))
    except ValueError as error:  # a character that no name can have
        raise InputError(f"{word!r} is no name of a file: {error}") from error
    if not paths:
        raise InputError(f"no file matches {word}")
    return [InputFile(name, named_in=(path,) if name != path else ())
            for path in paths for name in _members(path)]


def _with_lone_brackets_escaped(pattern):
    """Escape the brackets that nothing closes: glob would look for the end of each to the end."""
    closed, bracket, rest = pattern.rpartition("]")
    return closed + bracket + rest.replace("[", "[[]")


def without_extension(name: str) -> str:
    """Return the name of a FITS file without an extension in brackets, as in ``m_drz.fits[sci,1]``.

    A file that has such a name keeps it.
    """
    suffixed = _WITH_EXTENSION.match(name)
    if suffixed is None or os.path.exists(name):
        return name
    log.info("%s: the extension is passed over, all chips of a file are used together", name)
    return suffixed["file"]


def _expand_list(path, chain, done):
    """Return the InputFiles of an @list.

    `chain` has the true paths of the lists that led here, `done` those of all that have been read:
    one of them would add nothing.
    """
    true_path = os.path.realpath(path)
    if true_path in chain:
        raise InputError(f"{path} names itself, by way of {chain[-1]}")
    if len(chain) >= _DEEPEST:
        raise InputError(f"{path} is the end of a chain of more than {_DEEPEST} lists")
    if true_path in done:
        return []
    done.add(true_path)

    def beside(name):
        return os.path.join(os.path.dirname(path), os.path.expanduser(name))

    found = []
    for name, *others in parse_list(read_text(path, "surrogateescape"), path):
        mark = "@" if name.startswith("@") else ""
        inputs = _expand_word(mark + beside(name.removeprefix("@")), (*chain, true_path), done)
        ivm, catalogs = _companions(others)
        if others and len(inputs) != 1:
            what = "inverse-variance map" if ivm else "catalog"
            raise InputError(f"{path} has one {what}, {others[0]}, for {name}, which stands for "
                             f"{len(inputs)} files")
        for file in inputs:
            found.append(dataclasses.replace(
                file, ivm=beside(ivm) if ivm else file.ivm,
                catalogs=tuple(name and beside(name) for name in catalogs) or file.catalogs,
                named_in=(path, *file.named_in)))
    return found


def _companions(names):
    """Return the inverse-variance map, or the catalogs, that a list has beside an image.

    One FITS file is a map, as for AstroDrizzle; else they are catalogs, one for each chip, with
    ``None`` or ``INDEF`` for a chip that has none.
    """
    if len(names) == 1 and re.search(rf"{_FITS}$", names[0], re.IGNORECASE):
        return names[0], []
    return None, [None if name.upper() in _NOTHING else name for name in names]


def _members(table):
    """Return the files of an association's members, beside the table; of another file, itself."""
    if not (_ASSOCIATION.search(table) and os.path.isfile(table)):
        return [table]
    folder = os.path.dirname(table)
    there = {name.lower(): name for name in sorted(os.listdir(folder or os.curdir))}
    found = []
    for member in _member_names(table):
        root = member.lower().removesuffix(".fits")
        tried = [root + suffix for suffix in MEMBER_SUFFIXES]
        names = (name + end for name in tried for end in ("", ".gz"))
        name = next((there[name] for name in names if name in there), None)
        if name is None:
            raise InputError(f"{table} has the member {member}, and there is none of "
                             f"{', '.join(tried)} beside it")
        found.append(os.path.join(folder, name))
    return found


def _member_names(table):
    """Read the names of an association's members, in order."""
    with opened(table) as hdus:
        hdu = next((hdu for hdu in hdus[1:] if hasattr(hdu, "columns")), None)
        if hdu is None or not {"MEMNAME", "MEMTYPE"} <= set(map(str.upper, hdu.columns.names)):
            raise InputError(f"{table} has no table with the columns MEMNAME and MEMTYPE")
        columns = {name.upper(): [str(value).strip() for value in hdu.data[name]]
                   for name in hdu.columns.names if name.upper() in _MEMBER_COLUMNS}
    names = columns["MEMNAME"]
    kinds = columns["MEMTYPE"]
    present = columns.get("MEMPRSNT", ["yes"] * len(names))
    members = [name for name, kind, here in zip(names, kinds, present, strict=True)
               if name and here.upper() not in _ABSENT and not _NO_EXPOSURE.match(kind)]
    if not members:
        raise InputError(f"{table} names no exposure that is present")
    return members


def parse_list(text: str, where: str) -> list[list[str]]:
    """Return what an ``@list`` names: on each line a file, and perhaps its map or its catalogs.

    Parameters
    ----------
    text : str
        Content of the list.
    where : str
        Its name, for errors.

    Returns
    -------
    list of list of str
        The names of each line; one without a companion where that is ``None`` or ``INDEF``.

    Raises
    ------
    InputError
        A line has a comma; or no line has any name.
    """
    rows = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        words = line.partition("#")[0].split()
        if any(_COMMA.search(word) for word in words):
            raise InputError(f"{where}, line {number}: {line.strip()!r}, expected the name of a "
                             "file and perhaps that of its inverse-variance map, or those of "
                             "catalogs of its chips, with spaces between")
        if len(words) == 2 and words[1].upper() in _NOTHING:
            words = words[:1]
        if words:
            rows.append(words)
    if not rows:
        raise InputError(f"{where} names no file")
    return rows


def mef_inputs(inputs: Iterable[InputFile], *, dry_run: bool = False) -> list[InputFile]:
    """Look into every input once: replace old formats, and note the names of the WCSs.

    Parameters
    ----------
    inputs : iterable of InputFile
        As `expand_input` returns them.
    dry_run : bool
        See `ensure_mef`.

    Returns
    -------
    list of InputFile
        With `wcs_names`; no file twice.
    """
    found: dict[str, InputFile] = {}
    for given in inputs:
        file = ensure_mef(given, dry_run=dry_run)
        known = found.get(file.path)
        if known and not (file.ivm or file.catalogs):
            file = known
        found[file.path] = file
    _check(found.values())
    return list(found.values())


def ensure_mef(file: InputFile, *, dry_run: bool = False) -> InputFile:
    """Convert a waivered FITS file, or a GEIS image, into FITS with an extension for every chip.

    A waivered file has all chips in one cube, and a table with the keywords of each (HST archive,
    WFPC2 and FOC): ``u9zh010bm_c0f.fits`` becomes ``u9zh010bm_c0h.fits`` beside it, and its flags
    ``u9zh010bm_c1f.fits`` likewise. So does the pair ``u9zh010bm.c0h``, ``u9zh010bm.c0d``. What was
    converted before is used as it is: it may have been aligned since.

    Parameters
    ----------
    file : InputFile
        Any file.
    dry_run : bool
        Write nothing.

    Returns
    -------
    InputFile
        The converted file, or else the one given, with `wcs_names`; they are empty for one that
        can't be read: reading it will say why.

    Raises
    ------
    InputError
        It can't be converted, or the new file can't be written, or is not to be.
    """
    path = file.path
    names = _look_into(path)
    made = []
    if names is None:
        flags = quality_file(path)
        if flags and _look_into(flags) is None:
            made += _convert(flags, dry_run)
        made += _convert(path, dry_run)
        path = _converted_name(path)
        names = _look_into(path)
    return dataclasses.replace(file, path=path, wcs_names=names or {}, made=tuple(made))


def _look_into(path):
    """Return the names of the WCSs of a file, see `wcs_names`; None for one of an old format."""
    if is_geis(path):
        return None
    try:
        with opened(path) as hdus:
            return None if _is_waivered(hdus) else wcs_names(hdus, path)
    except InputError:
        return {}


def _is_waivered(hdus):
    """Whether there are an image or a cube, and an ASCII table that has a row for each plane."""
    if len(hdus) != 2 or not isinstance(hdus[1], fits.TableHDU):
        return False
    shape = hdus[0].shape
    has_keywords = "SDASMGNU" in hdus[0].header or "CRVAL1" in hdus[1].columns.names
    return len(shape) in (2, 3) and hdus[1].header["NAXIS2"] in (1, shape[0]) and has_keywords


def _converted_name(path):
    """Return the name of the FITS file with extensions that a file of an old format becomes."""
    if is_geis(path):
        return fits_name(path)
    target = _WAIVERED.sub(r"\g<root>h.fits", path)
    if target == path:
        target = re.sub(rf"{_FITS}$", "", path, flags=re.IGNORECASE) + "_mef.fits"
    return target


def _convert(path, dry_run):
    """Write the converted file, if there is none yet; return the names of those written."""
    target = _converted_name(path)
    kind = "GEIS" if is_geis(path) else "waivered FITS"
    if os.path.exists(target):
        log.info("%s: %s, converted before, is used in its place", path, target)
        return []
    if dry_run:
        raise InputError(f"{path} is {kind}, and a dry run does not convert it")
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # keywords of the nineties
            converted = read_geis(path) if is_geis(path) else _read_waivered(path)
            converted[0].header["FILENAME"] = os.path.basename(target)
            converted.writeto(buffer, output_verify="silentfix")
    except (ArithmeticError, LookupError, AttributeError, SyntaxError, NameError,
            ValueError) as error:
        raise InputError(f"{path} is {kind} that can't be converted: {error}") from error
    write_bytes(target, buffer.getvalue())
    log.info("%s: %s, converted to %s", path, kind, target)
    return [target]


def _read_waivered(path):
    """Read a waivered file as FITS with an extension for every chip."""
    from stsci.tools.convertwaiveredfits import convertwaiveredfits

    with opened(path) as hdus:
        converted = convertwaiveredfits(hdus)
    for number, hdu in enumerate(converted[1:], 1):
        if not hdu.name:
            hdu.name = "SCI"
            hdu.ver = number
    return converted
