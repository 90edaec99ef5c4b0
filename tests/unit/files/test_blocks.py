"""Files whose headers declare what they do not hold are refused, quickly and in one sentence."""

import gzip
import time
import zlib

import pytest

from imagereg.errors import InputError
from imagereg.files.images.blocks import check_structure


def header(*cards):
    text = "".join(card.ljust(80) for card in (*cards, "END")).encode()
    return text.ljust(-(-len(text) // 2880) * 2880)


def primary(*axes, bitpix=-32, n_axes=None):
    sizes = [f"NAXIS{i:<3}= {size}" for i, size in enumerate(axes, 1)]
    return header("SIMPLE  = T", f"BITPIX  = {bitpix}", f"NAXIS   = {len(axes) if n_axes is None else n_axes}",
                  *sizes)


EXTENSION = header("XTENSION= 'IMAGE   '", "BITPIX  = 8", "NAXIS   = 0", "PCOUNT  = 0", "GCOUNT  = 1")

TABLE = header("XTENSION= 'BINTABLE'", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 0", "NAXIS2  = 0", "PCOUNT  = 0",
               "GCOUNT  = 1", "TFIELDS = 2147483648")


@pytest.mark.parametrize("content, says", [
    (b"", "does not begin with SIMPLE"),
    (b"words" * 1000, "does not begin with SIMPLE"),
    (primary()[:1000], "has no END"),
    (primary().replace(b"END", b"   "), "has no END"),
    (primary(10, 10), "truncated: it has 2880 bytes of 5760"),
    (primary(2**31, 2**31), "truncated"),
    (primary(n_axes=2147483648), "NAXIS = 2147483648"),
    (primary(n_axes=2), "missing or negative"),
    (primary(-5, 5), "missing or negative"),
    (primary(bitpix=7), "BITPIX = 7"),
    (primary() + TABLE, "TFIELDS = 2147483648, more than 999"),
    (primary() + b"X" * 2880, "header 1 does not begin with XTENSION"),
    (primary() + EXTENSION * 1000, "more than 1000 HDUs"),
    (gzip.compress(primary(100_000, 100_000)), "more than 200 times"),
    (gzip.compress(primary(10, 10)), "truncated"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_refused(tmp_path, content, says):
    path = tmp_path / "image.fits"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        check_structure(str(path))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize("content", [
    primary(), primary() + EXTENSION * 999, primary() + bytes(2880), primary(10, 10) + bytes(2880),
    gzip.compress(primary(10, 10) + bytes(2880)),
])
def test_accepted(tmp_path, content):
    path = tmp_path / "image.fits"
    path.write_bytes(content)
    check_structure(str(path))


def test_bomb(tmp_path):
    """A gigabyte of zeros in a megabyte, with a header that declares it, is not unpacked."""
    packer = zlib.compressobj(9, wbits=31)
    pieces = [packer.compress(primary(16384, 16384))]
    pieces += [packer.compress(bytes(1 << 24)) for _ in range(16)]
    path = tmp_path / "image.fits.gz"
    path.write_bytes(b"".join([*pieces, packer.flush()]))
    start = time.process_time()
    with pytest.raises(InputError, match="more than 200 times"):
        check_structure(str(path))
    assert time.process_time() - start < 1
