"""Check the structure of FITS files by their blocks, before anything believes what headers say.

Only the keywords that say where the next header begins are read. The time is that of reading the
headers, whatever sizes they declare.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import zlib
from typing import IO

from imagereg.errors import InputError

_BLOCK = 2880
_CARD = 80
_END = b"END" + b" " * (_CARD - 3)
_NAMES = (b"BITPIX", b"NAXIS", b"PCOUNT", b"GCOUNT", b"TFIELDS")
_SIZE = re.compile(rb"([A-Z]{5,7}\d{0,3}) *= *([+-]?\d{1,20}) *(?:/.*)?$", re.DOTALL)
_BITPIX = (8, 16, 32, 64, -32, -64)
_MOST_AXES = 999  # FITS standard 4.0, section 4.4.1.1
_MOST_FIELDS = 999  # section 7.3.1
# 2.9 MB, or 36,000 cards: the longest headers of HST's pipelines have some 40 blocks.
_MOST_HEADER_BLOCKS = 1000
# Archived ramps of WFC3/IR, with 16 reads of 5 extensions, have 81.
_MOST_HDUS = 1000
# Images with noise shrink 2 to 10 times; gzip can't shrink anything by more than 1032 times.
_LARGEST_RATIO = 200
_ALWAYS_ALLOWED = 64 << 20  # bytes, for small images of constant pixels
_GZIP = b"\x1f\x8b"


def is_compressed(path: str) -> bool:
    """Whether a file is gzipped."""
    with open(path, "rb") as file:
        return file.read(2) == _GZIP


def check_structure(path: str) -> list[bytes]:
    """Check that a file holds all that its headers declare, and return these as they stand in it.

    Parameters
    ----------
    path : str
        A file that should be FITS; a gzipped one is unpacked in passing, a piece at a time.

    Returns
    -------
    list of bytes
        The blocks of each header, in order of the HDUs.

    Raises
    ------
    InputError
        It is not FITS, is truncated, declares impossible sizes, has too many HDUs, or unpacks to
        far more than an image would.
    """
    size = os.path.getsize(path)
    if is_compressed(path):
        room = max(_LARGEST_RATIO * size, _ALWAYS_ALLOWED)
        try:
            with gzip.open(path) as file:
                return _walk(file, path, room, packed=True)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{path} can't be unpacked: {error}") from error
    with open(path, "rb") as file:
        return _walk(file, path, size, packed=False)


def _walk(file: IO[bytes] | gzip.GzipFile, path: str, room: int, *, packed: bool) -> list[bytes]:
    """Return all headers, going from one to the next; a file may hold `room` bytes at most."""
    headers: list[bytes] = []
    offset = 0
    for number in range(_MOST_HDUS + 1):
        header = _read_header(file, path, number)
        if not header:
            return headers
        headers.append(header)
        if number == _MOST_HDUS:
            break
        offset += len(header)
        end = offset + _data_size(header, f"{path}[{number}]")
        if end > room and packed:
            raise InputError(f"{path} declares {end} bytes, more than {_LARGEST_RATIO} times its "
                             "compressed size")
        if end > room:
            raise InputError(f"{path} is truncated: it has {room} bytes of {end}")
        offset = end
        file.seek(offset)
        if packed and file.tell() < offset:
            raise InputError(f"{path} is truncated: it has {file.tell()} bytes of {offset}")
    raise InputError(f"{path} has more than {_MOST_HDUS} HDUs")


def _read_header(file, path, number):
    """Return the blocks of a header; none at the end of the file, or where only padding follows."""
    first = file.read(_BLOCK)
    if number and not first.strip(b"\0 "):
        return b""
    start = b"XTENSION=" if number else b"SIMPLE  ="
    if not first.startswith(start) or not first[:_CARD].isascii() or b"\0" in first[:_CARD]:
        raise InputError(f"{path} can't be read as FITS: its header {number} does not begin with "
                         f"{start[:-1].decode().strip()}")
    blocks = []
    block = first
    while len(block) == _BLOCK and len(blocks) < _MOST_HEADER_BLOCKS:
        blocks.append(block)
        if _has_end(block):
            return b"".join(blocks)
        block = file.read(_BLOCK)
    raise InputError(f"{path} can't be read as FITS: its header {number} has no END")


def _has_end(block):
    """Whether a card of a block is END; the same letters may stand within another card."""
    at = block.find(_END)
    while at >= 0 and at % _CARD:
        at = block.find(_END, at + 1)
    return at >= 0


def _declared_sizes(header):
    """Return the keywords of a header that declare sizes, with their values."""
    sizes: dict[str, int] = {}
    for name in _NAMES:
        at = header.find(name)
        while at >= 0:
            match = _SIZE.match(header[at:at + _CARD])
            if match and at % _CARD == 0:
                sizes.setdefault(match[1].decode(), int(match[2]))
            at = header.find(name, at + len(name))
    return sizes


def _data_size(header, where):
    """Return the bytes of the data after a header, with their padding."""
    sizes = _declared_sizes(header)
    n_axes = sizes.get("NAXIS", -1)
    if sizes.get("BITPIX") not in _BITPIX or not 0 <= n_axes <= _MOST_AXES:
        raise InputError(f"{where} can't be read as FITS: BITPIX = {sizes.get('BITPIX')}, "
                         f"NAXIS = {sizes.get('NAXIS')}")
    if sizes.get("TFIELDS", 0) > _MOST_FIELDS:
        raise InputError(f"{where} can't be read as FITS: TFIELDS = {sizes['TFIELDS']}, more than "
                         f"{_MOST_FIELDS}")
    axes = [sizes.get(f"NAXIS{axis}", -1) for axis in range(1, n_axes + 1)]
    groups = sizes.get("GCOUNT", 1)
    extra = sizes.get("PCOUNT", 0)
    if min([*axes, groups, extra]) < 0:
        raise InputError(f"{where} can't be read as FITS: a size in its header is missing or "
                         "negative")
    if not axes:
        return 0
    if axes[0] == 0 and len(axes) > 1 and extra:
        axes = axes[1:]  # random groups
    n_bytes = abs(sizes["BITPIX"]) // 8 * groups * (extra + math.prod(axes))
    return -(-n_bytes // _BLOCK) * _BLOCK
