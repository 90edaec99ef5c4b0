"""Read catalogs: tables in any of the usual formats, told apart by their content.

Bytes go in, a `Table` comes out. astropy converts the numbers; what it would let pass is an error
here: rows of unequal length, cells that are no number by our rules, damaged files. Nothing is
guessed from a part of a file, and nothing is ever evaluated.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import itertools
import re
import warnings
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np

from imagereg.catalogs.formats.columns import Table, is_value
from imagereg.catalogs.formats.fixed_width import read_fixed_width
from imagereg.errors import InputError

_CONTROL = bytes([*range(0x09), *range(0x0e, 0x20), 0x7f])
_GZIP = b"\x1f\x8b"
# Elements of one cell of a VOTable. astropy takes the memory that a file declares; the largest
# cells of catalogs, spectra and light curves, have some ten thousand.
_LONGEST_CELL = 100_000
# Brackets within brackets in the head of an ECSV, which has two or three. The time that YAML takes
# grows with the square of it.
_DEEPEST = 20
# SExtractor's ASCII_HEAD: number, name, comment, [unit];
# https://sextractor.readthedocs.io/en/latest/Param.html
_SEXTRACTOR = re.compile(r"#\s*(\d+)\s+([A-Z][A-Z0-9_]*)(?:\s+(.*))?")
_UNIT_AT_END = re.compile(r"\[([^][]*)\]$")
# Measurements of SExtractor that may take several columns under one name.
_VECTORS = ("FLUX_APER", "FLUXERR_APER", "MAG_APER", "MAGERR_APER", "FLUX_RADIUS", "FLUX_GROWTH",
            "MAG_GROWTH", "VECTOR_", "VIGNET")
# Blanks at the ends of a line; a tab there may stand before or after an empty cell.
_BLANKS = " \f\v"
_SEPARATOR = "\x1f"  # in no text, see _CONTROL
_DASHES = re.compile(r"-*")
# What the archive at STScI calls the types of columns, in a line below their names.
_TYPES = frozenset(["string", "char", "integer", "int", "short", "long", "float", "double",
                    "boolean", "ra", "dec", "datetime"])
# astropy's fast reader takes hexadecimal numbers for numbers; we do not.
_HEXADECIMAL = ("0x", "0X")


def read_table(content: bytes, where: str) -> Table:
    """Read a catalog.

    IRAF and plain columns, with names in ``#N`` lines, in a comment, in the first line, or
    without; SExtractor's ASCII_HEAD; cells with commas, semicolons or tabs between, with and
    without names, also as VizieR writes them; ECSV; IPAC tables and machine-readable tables of
    CDS; a FITS table, also SExtractor's LDAC; VOTable.

    Parameters
    ----------
    content : bytes
        Of the file.
    where : str
        Its name, for errors.

    Returns
    -------
    Table

    Raises
    ------
    InputError
        It is none of these, is empty or damaged, or has rows of different lengths.

    Notes
    -----
    Not for several threads at a time: astropy's warnings are switched off meanwhile, which Python
    does for all threads.
    """
    start = content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        raise InputError(f"{where} is empty")
    if content.startswith(_GZIP):
        raise InputError(f"{where} is compressed, expected a plain file")
    if content.startswith(b"SIMPLE  ="):
        return _read_fits(content, where)
    if start.startswith(b"<"):
        if b"<votable" not in start and b":votable" not in start:
            raise InputError(f"{where} is XML or HTML, expected a table")
        return _read_votable(content, where)
    return _read_text(content, where)


def _read_text(content: bytes, where: str) -> Table:
    """Read a table of text: find its bytes and lines, and tell its head from its records."""
    strange = content.translate(None, bytes(set(range(256)) - set(_CONTROL)))
    if strange:
        before = content[:content.index(strange[:1])].replace(b"\r\n", b"\n")
        number = before.count(b"\n") + before.count(b"\r") + 1
        raise InputError(f"{where}, line {number}: {chr(strange[0])!r}, expected text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    table = read_fixed_width(lines, where)
    if table is not None:
        return table
    lines = [line.strip(_BLANKS) for line in lines]
    data = np.flatnonzero([line.strip() != "" and line.lstrip()[0] != "#" for line in lines])
    head = [line.strip() for line in lines[:data[0] if len(data) else None] if line.strip()]
    records, numbers = _joined([lines[i] for i in data], data + 1)
    del text, lines  # as large as the file, each
    return _text_table(where, head, records, numbers)


def _joined(records: list[str], numbers: np.ndarray) -> tuple[list[str], np.ndarray]:
    r"""Join records that IRAF continues with ``\``, and drop comments at the end of records."""
    if records and "," not in records[0]:
        records = [re.split(r"\s#", record, maxsplit=1)[0].rstrip() if "#" in record else record
                   for record in records]
    if not any(record.endswith("\\") for record in records):
        return records, numbers
    starts = np.array([True, *(not record.endswith("\\") for record in records[:-1])])
    bounds = [*np.flatnonzero(starts), len(records)]
    whole = []
    for low, high in itertools.pairwise(bounds):
        whole.append(" ".join(part.removesuffix("\\") for part in records[low:high]))
    return whole, numbers[starts]


def _text_table(where: str, head: list[str], records: list[str], numbers: np.ndarray) -> Table:
    """Make a table of the comments at the head of a text and of its records with their lines."""
    names, units, delimiter, n_titles = _layout(where, head, records)
    if delimiter == " ":
        records = [" ".join(record.split()) for record in records]
    if not n_titles and not names and records:
        names = [""] * len(_cells(records[0], delimiter, where, numbers[0]))
    for number, record in zip(numbers.tolist(), records, strict=True):
        if '"' in record:
            count = len(_cells(record, delimiter, where, number))
        else:
            count = record.count(delimiter) + 1
        if count != len(names):
            raise InputError(f"{where}, line {number}: {record[:60]!r} has {count} columns, "
                             f"expected {len(names)}")
    if n_titles and delimiter == " " and len(records) == 1 and not _is_ecsv(head):
        raise InputError(f"{where}, line {numbers[0]}: {records[0][:60]!r}, expected numbers")
    records, numbers = records[n_titles:], numbers[n_titles:]
    units = [*units, *[""] * (len(names) - len(units))]
    values = _numeric_columns(records, delimiter, len(names), where)

    def column(index: int, text: bool) -> np.ndarray:
        if index in values and not text:
            return values[index]
        cells = [_cells(record, delimiter, where, 0)[index].strip() for record in records]
        return np.array(cells, dtype=object)

    return Table(where, tuple(names), tuple(units), len(records), column, numbers)


def _cells(record: str, delimiter: str, where: str, number: int) -> list[str]:
    """Split one record."""
    if delimiter == " ":
        record = " ".join(record.split())
    if '"' not in record:
        return record.split(delimiter)
    try:
        return next(csv.reader([record], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InputError(f"{where}, line {number}: {record[:60]!r} can't be split into columns: "
                         f"{error}") from None


def _numeric_columns(records: list[str], delimiter: str, width: int,
                     where: str) -> dict[int, np.ndarray]:
    """Return the columns of finite numbers and empty cells, by their index.

    The lengths of the records were checked before: astropy fills up short ones.
    """
    text = "\n".join(records)
    if delimiter == "\t":  # which the fast reader takes for a blank where it begins a line
        delimiter = _SEPARATOR
        text = text.replace("\t", delimiter)
    if not text or any(mark in text for mark in _HEXADECIMAL):
        return {}
    if not text.isascii():  # which the fast reader needs; such cells are none of its numbers
        text = text.encode("ascii", "backslashreplace").decode()
    from astropy.io import ascii as astropy_ascii

    with _library(where, "a table"):
        table = astropy_ascii.read([text], format="no_header", delimiter=delimiter, guess=False,
                                   names=[str(index) for index in range(width)],
                                   fast_reader={"enable": "force"})
    if len(table) != len(records):
        raise InputError(f"{where} has quotation marks that do not match")
    columns = {}
    for index, column in enumerate(table.itercols()):
        # "info" is infinity and "Nano" is NaN to the fast reader: such columns are read as text
        if column.dtype.kind in "if" and np.isfinite(column).all():
            columns[index] = _filled(column)
    return columns


def _filled(values: np.ndarray) -> np.ndarray:
    """Return numbers of which masked ones are NaN."""
    masked = np.ma.getmaskarray(values)
    return np.where(masked, np.nan, np.asarray(values)) if masked.any() else np.asarray(values)


# Names and units of the columns, the delimiter, and how many records are titles and not rows.
_Layout = tuple[list[str], list[str], str, int]


def _layout(where: str, head: list[str], records: list[str]) -> _Layout:
    """Find out how a text is laid out, from its head and its first record."""
    if _is_ecsv(head):
        return _ecsv_layout(where, head, records)
    for known_layout in (_iraf_columns, _sextractor_columns):
        names, units = known_layout(head, records)
        if names:
            return names, units, " ", 0
    delimiter = _delimiter(records)
    if len(records) > 2 and _is_underline(records[2], delimiter):
        names, units = (_titles(record, delimiter) for record in records[:2])
        return names, units, delimiter, 3
    first = _cells(records[0], delimiter, where, 1) if records else []
    first = [cell.strip() for cell in first]
    if any(map(_is_name, first)) and not any(is_value(cell) for cell in first if cell):
        return first, [], delimiter, 2 if _names_types(records[1:2], delimiter) else 1
    names, units = _commented_columns(head, len(first))
    return names, units, delimiter, 0


def _delimiter(records: list[str]) -> str:
    """Return what stands between cells; tabs count only where all lines have equally many."""
    first = records[0] if records else ""
    for mark in ",;":
        if mark in first:
            return mark
    words = first.split("\t")
    if len(words) > 1 and not any(" " in word.strip() for word in words):
        if all(record.count("\t") == len(words) - 1 for record in records):
            return "\t"
    return " "


def _is_underline(record: str, delimiter: str) -> bool:
    """Return whether a record is the line of dashes with which VizieR underlines its titles."""
    cells = [cell.strip() for cell in record.split(delimiter)]
    return delimiter != " " and any(cells) and all(map(_DASHES.fullmatch, cells))


def _names_types(records: list[str], delimiter: str) -> bool:
    """Return whether the record below the names says what types the columns have."""
    cells = [cell.strip() for record in records for cell in record.split(delimiter)]
    return delimiter != " " and any(cells) and _TYPES.issuperset(cells)


def _titles(record: str, delimiter: str) -> list[str]:
    """Return names or units of columns, without quotation marks around them."""
    return [cell.strip().strip('"').strip() for cell in record.split(delimiter)]


def _is_ecsv(head: list[str]) -> bool:
    return bool(head) and head[0].startswith("# %ECSV")


def _is_name(cell: str) -> bool:
    return not is_value(cell) and bool(re.search("[A-Za-z]", cell)) and cell[0] not in "+-."


def _commented_columns(head: list[str], count: int) -> tuple[list[str], list[str]]:
    """Return names and units from the last comment with as many words as there are columns."""
    words = [line.lstrip("#").replace(",", " ").split() for line in head]
    for number in reversed(range(len(words))):
        names = words[number]
        if len(names) == count == len(set(names)) and all(map(_is_name, names)):
            units = words[number + 1] if number + 1 < len(words) else []
            marked = all(unit[0] in "([" and unit[-1] in ")]" for unit in units)
            return names, units if marked and len(units) <= count else []
    return [], []


def _iraf_columns(head: list[str], records: list[str]) -> tuple[list[str], list[str]]:
    """Return names and units from the #N and #U lines of IRAF's apphot and daophot."""
    found: dict[str, list[str]] = {"#N": [], "#U": []}
    for line in head:
        key, *words = line.rstrip("\\").split()
        if key in found:
            found[key] += words
    names = found["#N"]
    units = ["" if unit == "#" else unit for unit in found["#U"]]
    return names, units if len(units) == len(names) else []


def _sextractor_columns(head: list[str], records: list[str]) -> tuple[list[str], list[str]]:
    """Return names and units from SExtractor's head; a vector goes on up to the next name."""
    found = [match for match in map(_SEXTRACTOR.fullmatch, head) if match]
    if not found or len(found) < len(head):
        return [], []
    numbers = [int(match[1]) for match in found]
    if numbers[0] != 1 or any(b <= a for a, b in itertools.pairwise(numbers)):
        return [], []
    last = numbers[-1]
    if records and found[-1][2].startswith(_VECTORS):
        last = max(last, len(records[0].split()))
    names, units = [], []
    for match, stop in zip(found, [*numbers[1:], last + 1], strict=True):
        unit = _UNIT_AT_END.search(match[3] or "")
        extra = min(stop - int(match[1]) - 1, _LONGEST_CELL)
        names += [match[2], *(f"{match[2]}_{number}" for number in range(1, extra + 1))]
        units += [unit[1] if unit else ""] * (1 + extra)
    return names, units


def _ecsv_layout(where: str, head: list[str], records: list[str]) -> _Layout:
    """Return the layout of an ECSV (https://github.com/astropy/astropy-APEs/blob/main/APE6.rst).

    Only the head is read by astropy: its reader of ECSV fills up short rows, and makes objects of
    the classes that a file names.
    """
    from astropy.table.meta import get_header_from_yaml

    declared = [line[2:] for line in head if line.startswith("# ")][1:]
    brackets = ((mark in "[{") - (mark in "]}") for mark in "".join(declared))
    if max(itertools.accumulate(brackets), default=0) > _DEEPEST:
        raise InputError(f"{where} can't be read as ECSV: brackets within brackets in its head")
    with _library(where, "ECSV"):
        header = get_header_from_yaml(declared)
        names = [str(column["name"]) for column in header["datatype"]]
        units = [str(column.get("unit") or "") for column in header["datatype"]]
        delimiter = {" ": " ", ",": ","}[header.get("delimiter", " ")]
    titles = _cells(records[0], delimiter, where, len(head) + 1) if records else []
    if [title.strip() for title in titles] != names:
        raise InputError(f"{where}: its line of names is {' '.join(titles)[:60]!r}, "
                         f"expected {' '.join(names)[:200]!r}")
    return names, units, delimiter, 1


@contextlib.contextmanager
def _library(where: str, kind: str) -> Iterator[None]:
    """Turn what a library raises on a damaged file into an InputError, and hide its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # of some thirty kinds
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"{where} can't be read as {kind}: {reason}") from error


def _only_one(tables: list, where: str):
    """Return the one of (name, number of rows, table) that has rows, or the first if none has."""
    filled = [entry for entry in tables if entry[1]] or tables[:1]
    if not filled:
        raise InputError(f"{where} holds no table, expected one")
    if len(filled) > 1:
        names = ", ".join(repr(str(entry[0])) for entry in filled[:9])
        raise InputError(f"{where} holds {len(filled)} tables: {names}, expected one")
    return filled[0][2]


def _read_fits(content: bytes, where: str) -> Table:
    """Read the only table of a FITS file."""
    from astropy.io import fits

    with _library(where, "FITS"):
        hdus = fits.open(io.BytesIO(content), memmap=False, lazy_load_hdus=False)
        places = [hdus.fileinfo(index) for index in range(len(hdus))]
        end = max(place["datLoc"] + place["datSpan"] for place in places)
        if content[end:].strip(b"\0 "):
            raise InputError(f"{where} is damaged after its first {end} bytes")
        if end > len(content):
            raise InputError(f"{where} is truncated: it has {len(content)} bytes of {end}")
        found = [hdu for hdu in hdus if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))]
        # In an LDAC (https://sextractor.readthedocs.io, FITS_LDAC) the header of the image is a
        # table of its own.
        found = [hdu for hdu in found if hdu.name == "LDAC_OBJECTS"] or found
        hdu = _only_one([(h.name, h.header["NAXIS2"], h) for h in found], where)
        names = tuple(hdu.columns.names)
        units = tuple(unit or "" for unit in hdu.columns.units)
        n_rows = len(hdu.data) if hdu.header["NAXIS2"] else 0
    return Table(where, names, units, n_rows, functools.partial(_fits_column, where=where, hdu=hdu))


def _fits_column(index: int, text: bool, *, where: str, hdu) -> np.ndarray:
    with _library(where, "FITS"):
        values, definition = np.asarray(hdu.data.field(index)), hdu.columns[index]
        if definition.null is not None and values.dtype.kind in "iuf":
            null = float(definition.null) * (definition.bscale or 1) + (definition.bzero or 0)
            return np.where(values == null, np.nan, values)
        return np.char.strip(values) if values.dtype.kind == "U" else values


def _read_votable(content: bytes, where: str) -> Table:
    """Read a VOTable; its text by `_tabledata`, its binary by astropy.

    A table elsewhere is not fetched, entities do not unfold, and no cell takes memory that the
    file does not have.
    """
    if re.search(rb"<\w*:?STREAM[^>]*\shref", content, re.IGNORECASE) or b"<!ENTITY" in content:
        raise InputError(f"{where} refers to other files, expected a VOTable that holds its rows")
    arrays = b" ".join(re.findall(rb"arraysize\s*=\s*[\"']([^\"']*)", content))
    sizes = [int(size[:18]) for size in re.findall(rb"\d+", arrays)]
    counts = [int(count[:18]) for count in re.findall(rb"nrows\s*=\s*[\"'](\d+)", content)]
    if max(sizes, default=0) > _LONGEST_CELL or max(counts, default=0) > len(content):
        raise InputError(f"{where} declares more than it can hold")
    if re.search(rb"<(\w+:)?TABLEDATA", content):
        with _library(where, "VOTable"):
            return _only_one(list(_tabledata(content, where)), where)
    from astropy.io import votable

    with _library(where, "VOTable"):
        tables = votable.parse(io.BytesIO(content), verify="ignore").iter_tables()
        table = _only_one([(t.name or t.ID, len(t.array), t) for t in tables], where)
        names = tuple(str(field.name or "") for field in table.fields)
        units = tuple(str(field.unit or "") for field in table.fields)
        columns = [table.array[name] for name in table.array.dtype.names]
    column = functools.partial(_votable_column, columns=columns)
    return Table(where, names, units, len(table.array), column)


def _votable_column(index: int, text: bool, *, columns: list) -> np.ndarray:
    values = columns[index]
    if values.dtype.kind in "iuf":
        return _filled(values)
    if values.ndim > 1:
        return values
    return np.array([str(value) for value in values.filled("")], dtype=object)


def _tabledata(content: bytes, where: str) -> Iterator[tuple[str, int, Table]]:
    """Yield name, number of rows and `Table` of what a VOTable holds as text.

    astropy takes a cell that is no number for an undefined one, and one with a damaged tag for
    none at all, which moves the rest of the row. Here both are errors.
    """
    fields: list[tuple[str, str, set]] = []
    rows: list[list[str]] = []
    for _, element in ElementTree.iterparse(io.BytesIO(content)):
        tag = element.tag.rpartition("}")[2]
        if tag == "FIELD":
            values = [child for child in element if child.tag.endswith("VALUES")]
            undefined = {"", *(child.get("null") for child in values)}
            fields.append((_name(element), element.get("unit", ""), undefined))
        elif tag == "TR":
            nulls = [field[2] for field in fields]
            rows.append(_row(element, nulls, f"{where}, row {len(rows) + 1}"))
            element.clear()
        elif tag == "TABLEDATA":
            if any(child.tag.rpartition("}")[2] != "TR" for child in element):
                raise InputError(f"{where} has something else than rows among its rows")
        elif tag == "TABLE":
            names, units, _ = zip(*fields, strict=True) if fields else ((), (), ())
            column = functools.partial(_column_of_rows, rows=rows)
            yield _name(element), len(rows), Table(where, names, units, len(rows), column)
            fields, rows = [], []


def _name(element: ElementTree.Element) -> str:
    return element.get("name") or element.get("ID") or ""


def _row(element: ElementTree.Element, nulls: list[set], place: str) -> list[str]:
    """Return the cells of one row of a VOTable, empty for undefined."""
    if len(element) != len(nulls):
        raise InputError(f"{place} has {len(element)} columns, expected {len(nulls)}")
    cells = []
    for cell, undefined in zip(element, nulls, strict=True):
        text = (cell.text or "").strip()
        is_plain = not len(cell) and not cell.get("encoding") and not (cell.tail or "").strip()
        if not cell.tag.endswith("TD") or not is_plain:
            tag = cell.tag.rpartition("}")[2]
            raise InputError(f"{place}: {tag} {text[:60]!r}, expected a cell")
        cells.append("" if text in undefined else text)
    return cells


def _column_of_rows(index: int, text: bool, *, rows: list[list[str]]) -> np.ndarray:
    """Return a column of a table that was read row by row."""
    return np.array([row[index] for row in rows], dtype=object)
