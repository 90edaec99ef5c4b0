"""Read GEIS images: the pairs of header and pixels, ``.c0h`` and ``.c0d``, of HST's first decade.

A header holds lines of 80 characters, like the cards of FITS; the pixels of one or more images
(groups) follow each other in the other file, each with a record of the keywords that are its own.
See the HST Data Handbook, "GEIS File Format". stsci.tools.readgeis does not run with numpy 2.3 or
later, takes the byte order of the machine, and does not end where a header has no END.
"""

from __future__ import annotations

import dataclasses
import os
import re

import numpy as np
from astropy.io import fits

from imagereg.errors import InputError
from imagereg.files.atomic import read_bytes

_CARD = 80
_START = b"SIMPLE  ="
_HEADER_NAME = re.compile(r"\.\w\w[hH]$")
_PIXELS_NAME = re.compile(r"\.\w\w[dD]$")
_TYPE = re.compile(r"(REAL|INTEGER|UNSIGNED|LOGICAL|CHARACTER|CH)\*(\d+)")
_CODES = {"REAL": "f", "INTEGER": "i", "UNSIGNED": "u", "LOGICAL": "i", "CHARACTER": "S",
          "CH": "S"}
# Keywords of the format itself, which FITS does not have or has otherwise.
_STRUCTURE = re.compile(r"SIMPLE|BITPIX|NAXIS\d*|GROUPS|[GP]COUNT|PSIZE\d*|P?D?TYPE\d+|PDTYPE\d+|"
                        r"DATATYPE|BSCALE|BZERO|EXTEND|END")
# Values of keywords in the right byte order lie within, but for 0; of those in the wrong one half
# do not.
_SMALLEST, _LARGEST = 1e-15, 1e15


def is_geis(path: str) -> bool:
    """Whether a file is the header of a GEIS image.

    Raises
    ------
    InputError
        It holds the pixels of one, without its header, which is what should be given.
    """
    if _HEADER_NAME.search(path):
        start = read_bytes(path, _CARD)
        return start.startswith(_START) and start[10:30].strip() == b"F"
    if _PIXELS_NAME.search(path) and read_bytes(path, len(_START)) != _START:
        header = path[:-1] + ("h" if path.endswith("d") else "H")
        found = "give that" if os.path.exists(header) else "which is not there"
        raise InputError(f"{path} holds the pixels of a GEIS image, whose header is {header}: "
                         f"{found}")
    return False


def fits_name(path: str) -> str:
    """Return the name of the FITS file that a GEIS header becomes: ``u1_c0h.fits``."""
    root, ending = os.path.splitext(path)
    return f"{root}_{ending[1:]}.fits"


def read_geis(path: str) -> fits.HDUList:
    """Read a GEIS image as FITS with an extension SCI for every group.

    Parameters
    ----------
    path : str
        Its header; the pixels lie beside it.

    Raises
    ------
    InputError
        The pixels are missing or truncated, or the header is damaged.
    """
    pixels_path = path[:-1] + ("d" if path.endswith("h") else "D")
    if not os.path.isfile(pixels_path):
        raise InputError(f"{path} is the header of a GEIS image, and its pixels, {pixels_path}, "
                         "are not beside it")
    header = _header(path)
    try:
        layout = _Layout.of(header)
        size = layout.n_groups * layout.group_size
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is a GEIS header without what says how its pixels are stored: "
                         f"{error}") from error
    content = read_bytes(pixels_path)
    if len(content) < size:
        raise InputError(f"{pixels_path} is truncated: it has {len(content)} bytes of {size}")
    order = layout.byte_order(content)
    primary = fits.PrimaryHDU()
    primary.header.extend(card for card in header.cards if not _STRUCTURE.fullmatch(card.keyword))
    groups = [layout.group(content, number, order) for number in range(layout.n_groups)]
    return fits.HDUList([primary, *groups])


def _header(path: str) -> fits.Header:
    """Read the lines of a header, up to END or the end of the file."""
    text = read_bytes(path).decode("latin-1")
    lines = text.splitlines() if "\n" in text else re.findall(f".{{1,{_CARD}}}", text)
    cards = []
    for line in lines:
        if line[:8].strip() == "END":
            break
        cards.append(line[:_CARD].ljust(_CARD))
    return fits.Header.fromstring("".join(cards))


def _dtype(name: str) -> str:
    """Return the numpy type, without byte order, of ``REAL*4`` and its like."""
    found = _TYPE.fullmatch(name.strip())
    if found is None:
        raise ValueError(f"{name!r} is no type")
    return _CODES[found[1]] + found[2]


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How the pixels and the keywords of the groups are stored.

    Parameters
    ----------
    shape : tuple of int
        Of an image, the slowest axis first.
    pixel : str
        Type of a pixel, without byte order.
    n_groups : int
        Number of images.
    keywords : tuple of (str, str, str)
        Name, type and comment of the keywords of a group.
    n_spare : int
        Bytes after the keywords of a group.
    """

    shape: tuple[int, ...]
    pixel: str
    n_groups: int
    keywords: tuple[tuple[str, str, str], ...]
    n_spare: int

    @classmethod
    def of(cls, header: fits.Header) -> _Layout:
        """Return what a header says; KeyError, TypeError or ValueError where it does not."""
        shape = tuple(header[f"NAXIS{axis}"] for axis in range(header["NAXIS"], 0, -1))
        keywords = []
        for number in range(1, header.get("PCOUNT", 0) + 1):
            keywords.append((header[f"PTYPE{number}"].strip(), _dtype(header[f"PDTYPE{number}"]),
                             header.comments[f"PTYPE{number}"]))
        n_used = sum(np.dtype(kind).itemsize for _, kind, _ in keywords)
        n_spare = header.get("PSIZE", 8 * n_used) // 8 - n_used
        if min(shape, default=0) < 1 or n_spare < 0:
            raise ValueError(f"NAXIS = {len(shape)}, PSIZE = {header.get('PSIZE')}")
        return cls(shape, _dtype(header["DATATYPE"]), header.get("GCOUNT", 1), tuple(keywords),
                   n_spare)

    @property
    def group_size(self) -> int:
        """Bytes of a group."""
        return self._record("<").itemsize

    def _record(self, order: str) -> np.dtype:
        """Return the type of a group in a byte order, ``<`` or ``>``."""
        fields: list[tuple] = [("pixels", order + self.pixel, self.shape)]
        fields += [(name, order + kind) for name, kind, _ in self.keywords]
        return np.dtype([*fields, ("spare", f"V{self.n_spare}")])

    def byte_order(self, content: bytes) -> str:
        """Return the byte order in which more of the keywords have sensible values; ``>`` if same.

        The archive's files are big-endian; IRAF writes that of the machine.
        """
        counts = {}
        for order in "><":
            group = np.frombuffer(content, self._record(order), count=1)[0]
            values = [abs(float(group[name])) for name, kind, _ in self.keywords if kind[0] == "f"]
            counts[order] = sum(value == 0 or _SMALLEST < value < _LARGEST for value in values)
        return max(counts, key=lambda order: counts[order])

    def group(self, content: bytes, number: int, order: str) -> fits.ImageHDU:
        """Return an image with its keywords as the extension SCI of its number, from 0."""
        start = number * self.group_size
        group = np.frombuffer(content, self._record(order), count=1, offset=start)[0]
        pixels = group["pixels"]
        hdu = fits.ImageHDU(pixels.astype(pixels.dtype.newbyteorder("=")), name="SCI",
                            ver=number + 1)
        for name, kind, comment in self.keywords:
            value = group[name]
            value = value.decode("latin-1").strip() if kind[0] == "S" else value.item()
            if not (isinstance(value, float) and not np.isfinite(value)):
                hdu.header[name] = (value, comment)
        return hdu
