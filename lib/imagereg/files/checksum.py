"""The keywords CHECKSUM and DATASUM of a header (FITS standard 4.0, section 4.4.2.7 and appendix J)."""

from __future__ import annotations

import numpy as np

_UNSET = "0" * 16
_PUNCTUATION = frozenset(b":;<=>?@[\\]^_`")


def as_bytes(header):
    """Bytes of a header as they stand in a file, END and padding included."""
    return header.tostring(endcard=True, padding=True).encode("ascii")


def with_checksum(header, data):
    """Return a header whose CHECKSUM, and DATASUM where there is one, are right; the one given is not changed.

    Parameters
    ----------
    header : astropy.io.fits.Header
        With a CHECKSUM.
    data : bytes
        What follows it in the file, padding included.

    Returns
    -------
    astropy.io.fits.Header
    """
    header, total = header.copy(), _sum32(data)
    if "DATASUM" in header:
        header["DATASUM"] = str(total)
    header["CHECKSUM"] = _UNSET
    header["CHECKSUM"] = _encoded(~_sum32(as_bytes(header), total) & 0xFFFFFFFF)
    return header


def _sum32(data, start=0):
    """Ones' complement sum of big-endian words of 32 bits."""
    total = start + int(np.frombuffer(data, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encoded(value):
    """Write a word of 32 bits as 16 letters and digits, which add up to it."""
    letters = bytearray(16)
    for place, byte in enumerate(value.to_bytes(4, "big")):
        quarter, rest = divmod(byte, 4)
        letters[place::4] = bytes(_spelt(quarter + rest, quarter) + _spelt(quarter, quarter))
    return (letters[-1:] + letters[:-1]).decode("ascii")


def _spelt(first, second):
    """Two letters or digits with the sum of two numbers, each from 0x30."""
    first, second = first + 0x30, second + 0x30
    while not _PUNCTUATION.isdisjoint((first, second)):
        first, second = first + 1, second - 1
    return [first, second]
