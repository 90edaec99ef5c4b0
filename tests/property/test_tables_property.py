"""Whatever is in a file, reading ends soon, in numbers that stand there or in one InputError."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table as AstropyTable
from defaults import of
from hypothesis import example, given
from hypothesis import strategies as st

from imagereg.catalogs.formats.readers import read_table
from imagereg.catalogs.sources import SourceCatalog
from imagereg.catalogs.surveys import reference_catalog, sky_table_text
from imagereg.catalogs.user import image_catalog
from imagereg.errors import InputError
from imagereg.files.lists import parse_chip_files

TYCHO = Path(os.environ.get("IMAGEREG_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "hatp32"


def made(kind):
    """Return a table as the shared ones are, of fewer rows."""
    rng = np.random.default_rng(3)
    table = AstropyTable({"MAG_VT": rng.uniform(8, 12, 20).astype("f4"), "RA": rng.uniform(30, 33, 20),
                          "DEC": rng.uniform(45, 48, 20)}, units={"RA": "deg", "DEC": "deg"})
    buffer = io.BytesIO() if kind in ("fits", "votable") else io.StringIO()
    table.write(buffer, format={"ecsv": "ascii.ecsv", "csv": "ascii.csv"}.get(kind, kind))
    value = buffer.getvalue()
    return value if isinstance(value, bytes) else value.encode()


def files(kind):
    path = TYCHO / f"hatp32_tycho2.{kind}"
    return [made(kind)] + ([path.read_bytes()] if path.is_file() else [])


SEXTRACTOR = (b"#   1 X_IMAGE   Object position along x  [pixel]\n#   2 Y_IMAGE   Object position along y  [pixel]\n"
              b"#   3 MAG_AUTO  Kron-like magnitude      [mag]\n"
              + b"  12.25   100.5   -3.5\n  14.75   200.5   -4.5\n" * 9)
IRAF = b"#N XCENTER YCENTER MAG \\\n#U pixels pixels # \\\n#\n" + b" 12.25   100.5   -3.5 \\\n -1.0  2.0   INDEF\n" * 5
MANY = {kind: files(kind) for kind in ("csv", "ecsv", "fits", "votable")}
MANY |= {"sextractor": [SEXTRACTOR], "iraf": [IRAF], "plain": [b"# x y mag\n" + b"1.5 2.5 3.5\n" * 20]}


def image_sources(table, **columns):
    return image_catalog(table, **{**of("tweakreg", "xcol", "ycol", "fluxcol", "xyunits", "fluxunits"), **columns})


def reference_stars(table, **columns):
    defaults = of("tweakreg", "refxcol", "refycol", "refxyunits", "rfluxcol", "rfluxunits")
    return reference_catalog(table, **{**defaults, **columns})


def use(content):
    """Do all that is done with a catalog; an InputError is an answer."""
    for make in (lambda table: image_sources(table, fluxcol="3"), lambda table: image_sources(table, xyunits="degrees"),
                 reference_stars, lambda table: reference_stars(table, refxyunits="pixels")):
        try:
            found = make(read_table(content, "cat"))
        except InputError as error:
            assert "cat" in str(error)
            assert "\n" not in str(error)
        else:
            assert len(found.at(2020.0) if hasattr(found, "at") else found) == len(found)


@given(st.binary(max_size=300))
@example(b"SIMPLE  =                    T" + b" " * 2850)
@example(b"SIMPLE  =")
@example(b"# %ECSV 1.0\n# ---\n# datatype:\n# - {name: [1], datatype: float64}\n1\n2\n")
@example(b"# %ECSV 1.0\n# ---\n# " + b"[" * 2000 + b"\nx\n1\n")
@example(b"<VOTABLE><TABLE><TR><TD>1</TD></TR></TABLE></VOTABLE>")
@example(b'"')
@example(b"#N\n1")
@example(b"#N a b \\")
@example(b"1 2 \\\n\\\n")
def test_any_bytes(content):
    use(content)


@given(st.text(alphabet="0123456789.,+-eEdD:# \t\n\\\"'naINF_xyUra", max_size=120))
def test_anything_like_a_table(text):
    use(text.encode())


@pytest.mark.parametrize("kind", MANY)
@given(data=st.data())
def test_damaged_files(kind, data):
    content = bytearray(data.draw(st.sampled_from(MANY[kind])))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        change = data.draw(st.sampled_from(["flip", "cut", "drop", "double", "put"]))
        if change == "flip":
            content[start] ^= 1 << data.draw(st.integers(0, 7))
        elif change == "cut":
            del content[max(start, 1):]
        elif change == "drop":
            del content[start:start + data.draw(st.integers(1, 9))]
        elif change == "double":
            content[start:start] = content[start:start + data.draw(st.integers(1, 99))]
        else:
            content[start:start] = data.draw(st.sampled_from([b",", b"\n", b'"', b" ", b"<", b"\\", b"#", b"\0", b"e"]))
        content = content or bytearray(b" ")
    use(bytes(content))


def line_before(content, position):
    return content[content.rfind(b"\n", 0, position) + 1:position]


@pytest.mark.parametrize("kind", ["csv", "ecsv", "plain", "iraf", "sextractor", "votable"])
@given(data=st.data())
def test_a_cell_that_is_lost_moves_no_other(kind, data):
    """Without one cell, or with one more, a row is an error: no number turns up in another column."""
    content = data.draw(st.sampled_from(MANY[kind]))
    cells = [match.span() for match in re.finditer(rb"(?<![\w.])-?\d+\.\d+(?![\w.])", content)
             if not re.match(rb"\s*(#|<[?V!])|.*http", line_before(content, match.start()))]
    start, stop = data.draw(st.sampled_from(cells))
    if kind == "votable":
        changed = [content[:start - 4] + content[stop + 5:], content[:start] + b"1</TD><TD>" + content[start:]]
        assert content[start - 4:start] == b"<TD>"
    else:
        separator = b"," if kind == "csv" else b" "
        low, high = (start - 1, stop) if content[start - 1:start] == separator else (start, stop + 1)
        changed = [content[:low] + content[high:], content[:start] + b"7.5" + separator + content[start:]]
    for damaged in changed:
        with pytest.raises(InputError):
            read_table(damaged, "cat").numbers(0)


@given(st.lists(st.tuples(*[st.floats(-1e29, 1e29)] * 3), min_size=1, max_size=9), st.sampled_from([",", " ", "\t"]))
def test_numbers_come_back_to_the_last_bit(rows, separator):
    table = read_table("\n".join(separator.join(map(repr, row)) for row in rows).encode(), "cat")
    np.testing.assert_array_equal(np.column_stack([table.numbers(index) for index in range(3)]), rows)


@given(st.lists(st.tuples(st.floats(0, 359.999), st.floats(-90, 90)), max_size=9), st.text(max_size=9))
def test_written_references_come_back(sky, name):
    sources = SourceCatalog(np.full((len(sky), 2), np.nan), sky=sky or None, sky_error=0.01, flux=1, origin=name)
    try:
        table = read_table(sky_table_text(sources, name).encode(), "cat")
    except InputError:
        assert not name.isprintable()
    else:
        np.testing.assert_allclose(reference_stars(table).sky, np.reshape(sky, (-1, 2)), atol=1e-12)


@given(st.text(max_size=80))
@example("a\x1eb\n")
def test_any_list_of_files(text):
    try:
        images = parse_chip_files(text, "list")
    except InputError as error:
        assert str(error).startswith("list")
    else:
        assert all(" " not in name and isinstance(names, tuple) for name, names in images.items())
