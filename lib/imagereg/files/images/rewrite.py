"""Give FITS files on disk other headers or HDUs; all else stays as it is, byte for byte."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from astropy.io import fits

from imagereg.errors import InputError
from imagereg.files.atomic import Claim, copy_bytes, is_protected, replacing
from imagereg.files.images.blocks import check_structure, is_compressed
from imagereg.files.images.fits import opened, science
from imagereg.files.images.instruments import instrument_of
from imagereg.wcs import Solution, corrected_header, headerlet, history, keywords

if TYPE_CHECKING:
    from astropy.wcs import WCS

#: An HDU of the new file, see `rewrite`.
Part: TypeAlias = int | tuple[int, fits.Header] | Any

#: The new WCS of the chips of an exposure by EXTVER, and what is known of it.
Solved: TypeAlias = "tuple[Mapping[int, WCS | None], Solution]"

#: What makes the new HDUs of a file, see `rewrite`.
Change: TypeAlias = Callable[[fits.HDUList, list[fits.Header]], list[Part]]

_FITS_BLOCK = 2880  # bytes
# Keywords of the files from which stwcs makes a WCS; the first one it must have.
_REFERENCE_FILES = ("IDCTAB", "NPOLFILE", "D2IMFILE")
_NO_FILE = ("", "N/A")
_UNSET_CHECKSUM = "0" * 16
_PUNCTUATION = frozenset(b":;<=>?@[\\]^_`")  # ASCII between digits and letters


def check_updatable(path: str, *, primary: bool = False) -> None:
    """Raise InputError where a file can't be updated, before any file is.

    It or its folder is write-protected, or a header that would change has bytes that FITS does not
    allow: that of a chip, or the primary one where `primary` says so or there is a history to keep.
    A file that can't be read at all is passed over: reading it says why.
    """
    folder = os.path.dirname(os.path.realpath(path))
    for target, what in ((path, "it"), (folder, folder)):
        if is_protected(target):
            raise InputError(f"{path} can't be updated: {what} is write-protected")
    for index, header in _changing_headers(path, primary).items():
        if not header.isascii():
            card = next(header[start:start + 80] for start in range(0, len(header), 80)
                        if not header[start:start + 80].isascii())
            keyword = card[:8].decode("ascii", "replace").strip()
            raise InputError(f"{path}[{index}] can't be updated: its card {keyword} has bytes that "
                             "are no ASCII")


def _changing_headers(path, primary):
    """Return the bytes of the headers that an update may change, by index."""
    try:
        headers = check_structure(path)
    except (InputError, OSError):
        return {}
    changing = {index: header for index, header in enumerate(headers) if b"CTYPE1  =" in header}
    changing = changing or dict(enumerate(headers))  # any may be given a first WCS
    has_history = any(b"IDCSCALE=" in header for header in changing.values())
    if primary or has_history:
        changing[0] = headers[0]
    return dict(sorted(changing.items()))


def check_recomputable(path: str) -> None:
    """Raise InputError where a file is not of HST, or lacks a distortion reference file."""
    with opened(path) as hdus:
        header = hdus[0].header.copy()
        science = any(hdu.name == "SCI" for hdu in hdus)
    if not (instrument_of(header).has_updatewcs and science):
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


def check_wcsname(path: str, taken: Mapping[int, Iterable[str]], wcsname: str) -> None:
    """Raise InputError where a file has a WCS of that name; `taken` is what `wcs_names` returns."""
    for index, names in taken.items():
        if wcsname.upper() in (name.upper() for name in names):
            raise InputError(f"{path}[{index}] has a WCS named {wcsname!r} already: give another "
                             "wcsname, or reusename=yes, which also completes a run that was "
                             "interrupted")


def header_change(path: str, solved: Iterable[Solved], *, wcsname: str, reuse: bool = False,
                  extension: Any = None) -> Change:
    """Return the change, see `rewrite`, that gives science headers a new primary WCS.

    Parameters
    ----------
    path : str
        The file, for messages.
    solved : iterable of (dict of int to (astropy.wcs.WCS or None), Solution)
        For each exposure in the file its new WCS by EXTVER, and what is known of it; None names the
        present one anew. Other extensions stay as they are.
    wcsname : str
        Name of the new WCS.
    reuse : bool
        Replace a WCS of the same name.
    extension : stwcs.wcsutil.headerlet.HeaderletHDU, optional
        A headerlet to attach in the same step, see `wcs.headerlet.attach`.
    """
    new = {extver: (wcs, solution) for wcss, solution in solved for extver, wcs in wcss.items()}

    def change(hdus, old):
        changed = {index: corrected_header(old[index], *new[extver], wcsname=wcsname, reuse=reuse)
                   for index, extver in science(hdus, path).items() if extver in new}
        parts = list(range(len(hdus)))
        if changed and history.keeps_history(hdus):
            place = hdus.index_of("WCSCORR") if "WCSCORR" in hdus else len(hdus)
            changed, table = history.record(hdus, changed)
            if table:
                parts[place:place + 1] = [table]
        parts = [(part, changed[part]) if isinstance(part, int) and part in changed else part
                 for part in parts]
        return headerlet.attach(extension, hdus, parts, old[0]) if extension else parts

    return change


def rewrite(path: str, change: Change, *, claim: Claim | None = None, dry_run: bool = False,
            target: str | None = None) -> list[str]:
    """Replace a FITS file by one that has other headers, or other HDUs.

    Parameters
    ----------
    path : str
        The file, which may be gzipped; a link is followed.
    change : callable
        Takes the HDUList and the list of all headers as they stand in the file, and returns the
        HDUs of the new file in order: the number of an old one, which is kept byte for byte; such a
        number and a header that its data are to have, whose CHECKSUM is brought up to date; or a
        new HDU.
    claim : Claim, optional
        Of the run that holds the file; without it the file is claimed for this call.
    dry_run : bool
        Write nothing, but tell what would differ.
    target : str, optional
        Write the new file there instead.

    Returns
    -------
    list of str
        Of a dry run, what differs: a line for each HDU that does, and one for each of its keywords.

    Raises
    ------
    InputError
        The file can't be read, or can't be replaced; it is then as it was.
    """
    needs_claim = claim is None and not dry_run
    with Claim([path]) if needs_claim else contextlib.nullcontext(claim) as claim:
        plan = Plan.of(path, change, dry_run=dry_run)
        if not dry_run:
            plan.carry_out(claim=claim, target=target)
    return list(plan.differences)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to become of a FITS file; the plan can be made in one process for another.

    Parameters
    ----------
    path : str
        The file.
    pieces : sequence of bytes or (int, int)
        The new file: new bytes, and spans of the old one, of its bytes as they are without gzip.
    differences : sequence of str
        Of a dry run, see `rewrite`.
    """

    path: str
    pieces: Sequence[bytes | tuple[int, int]]
    differences: Sequence[str] = ()

    @classmethod
    def of(cls, path: str, change: Change, *, dry_run: bool) -> Plan:
        """Return the plan of a change, see `rewrite`; InputError where the file can't be read."""
        with opened(path) as hdus, _unpacked(path) as source:
            infos = [hdu.fileinfo() for hdu in hdus]
            spans = [(info["hdrLoc"], info["datLoc"], info["datLoc"] + info["datSpan"])
                     for info in infos]
            old = [fits.Header.fromstring(_read_span(source, start, data))
                   for start, data, _ in spans]
            parts = change(hdus, old)
            if dry_run:
                name = os.path.basename(path)
                lines = [line for part in parts for line in _differences(part, old, name)]
                return cls(path, (), lines)
            return cls(path, list(_pieces(parts, source, spans)))

    @property
    def layout(self) -> list[int | tuple[int, int]]:
        """How long the new bytes are, and the spans of the old file, in order."""
        return [len(piece) if isinstance(piece, bytes) else piece for piece in self.pieces]

    def write_draft(self, name: str) -> None:
        """Write the new file, not gzipped, into one that is there."""
        with open(self.path, "rb") as source, open(name, "r+b") as new:
            _write_pieces(self.pieces, source, new)

    def carry_out(self, *, claim: Claim | None, target: str | None = None,
                  draft: Draft | None = None) -> None:
        """Replace the file, see `rewrite`; InputError where it can't be, it is then as it was."""
        draft_file = draft.file if draft else None
        with _unpacked(self.path) as source, \
                replacing(target or self.path, claim, draft_file) as new:
            pieces = draft.rewritten(self.pieces) if draft else self.pieces
            packed = gzip.GzipFile(fileobj=new, mode="wb", filename="") \
                if is_compressed(self.path) else None
            with packed or contextlib.nullcontext(new) as out:
                _write_pieces(pieces, source, out)


@dataclasses.dataclass(frozen=True)
class Draft:
    """A new file that was written by a plan of the same file before all was known.

    Parameters
    ----------
    file : file
        From `atomic.beside`.
    layout : sequence of int or (int, int)
        Of that plan.
    """

    file: BinaryIO
    layout: Sequence[int | tuple[int, int]]

    def rewritten(self, pieces: Sequence[bytes | tuple[int, int]]
                  ) -> Sequence[bytes | tuple[int, int]]:
        """Write the new bytes of a plan over those of the draft; return the pieces left to write.

        The draft is cut off at the first piece that has another length or span in it.
        """
        number = 0
        for piece, own in zip(pieces, self.layout, strict=False):
            if isinstance(piece, bytes) and len(piece) == own:
                self.file.write(piece)
            elif piece == own:
                start, stop = piece
                self.file.seek(stop - start, os.SEEK_CUR)
            else:
                break
            number += 1
        self.file.truncate()
        return pieces[number:]


def _differences(part, old, name):
    """Return the lines in which `rewrite` says what differs in one HDU."""
    if isinstance(part, int):
        return []
    if not isinstance(part, tuple):
        return [f"{name}[{part.name},{part.ver}]: a new table or image"]
    index, new = part
    new = fits.Header.fromstring(_as_bytes(new))  # numbers as they are going to be read
    lines = keywords.header_differences(old[index], new)
    where = f"{new['EXTNAME']},{new.get('EXTVER', 1)}" if "EXTNAME" in new else index
    return [f"{name}[{where}]:", *lines] if lines else []


def _unpacked(path):
    """Open the bytes of a FITS file for reading, as they are without gzip."""
    if not is_compressed(path):
        return open(path, "rb")
    with gzip.open(path, "rb") as file:
        return io.BytesIO(file.read())


def _read_span(source, start, stop):
    source.seek(start)
    return source.read(stop - start)


def _pieces(parts, source, spans):
    """Yield the pieces of a plan."""
    for part in parts:
        if isinstance(part, int):
            start, _, stop = spans[part]
            yield start, stop
        elif isinstance(part, tuple):
            index, header = part
            _, start, stop = spans[index]
            if "CHECKSUM" in header:
                header = with_checksum(header, _read_span(source, start, stop))
            yield _as_bytes(header)
            yield start, stop
        else:
            yield _as_extension(part)


def _write_pieces(pieces, source, target):
    """Write the pieces of a plan."""
    for piece in pieces:
        if isinstance(piece, bytes):
            target.write(piece)
        else:
            copy_bytes(source, target, *piece)


def _as_extension(hdu):
    """Return the bytes of an extension HDU."""
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer, checksum="CHECKSUM" in hdu.header)
    return buffer.getvalue()[_FITS_BLOCK:]


def _as_bytes(header):
    """Return a header as it stands in a file, END and padding included."""
    return header.tostring(endcard=True, padding=True).encode("ascii")


def with_checksum(header: fits.Header, data: bytes) -> fits.Header:
    """Return a copy of a header with CHECKSUM, and DATASUM where there is one, brought up to date.

    See the FITS standard 4.0, section 4.4.2.7 and appendix J.

    Parameters
    ----------
    header : astropy.io.fits.Header
        With a CHECKSUM.
    data : bytes
        What follows it in the file, padding included.
    """
    header = header.copy()
    total = _sum32(data)
    if "DATASUM" in header:
        header["DATASUM"] = str(total)
    header["CHECKSUM"] = _UNSET_CHECKSUM
    header["CHECKSUM"] = _encoded(~_sum32(_as_bytes(header), total) & 0xFFFFFFFF)
    return header


def _sum32(data, start=0):
    """Return the ones' complement sum of big-endian words of 32 bits."""
    total = start + int(np.frombuffer(data, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encoded(value):
    """Write a word of 32 bits as 16 letters and digits that add up to it."""
    letters = bytearray(16)
    for place, byte in enumerate(value.to_bytes(4, "big")):
        quarter, rest = divmod(byte, 4)
        letters[place::4] = bytes(_spelt(quarter + rest, quarter) + _spelt(quarter, quarter))
    return (letters[-1:] + letters[:-1]).decode("ascii")


def _spelt(first, second):
    """Return two letters or digits with the sum of two numbers, each from 0x30."""
    first += 0x30
    second += 0x30
    while not _PUNCTUATION.isdisjoint((first, second)):
        first += 1
        second -= 1
    return [first, second]
