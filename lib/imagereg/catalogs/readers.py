"""Catalogs that users give: tables in any of the usual formats, told apart by their content. Bytes in, values out.

Rows of unequal length are an error. Nothing is guessed from a part of a file, and nothing is ever evaluated.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import itertools
import re
import warnings
from xml.etree import ElementTree

import numpy as np

from imagereg.catalogs.columns import Table, is_value
from imagereg.errors import InputError

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_GZIP = b"\x1f\x8b"
_LONGEST_CELL = 100_000  # elements of one cell of a VOTable
_SAMPLE = 10_000  # rows in which to look for columns with empty cells
_DEEPEST = 20  # brackets within brackets in the head of an ECSV
# ASCII_HEAD of SExtractor: number, name, comment, [unit]; https://sextractor.readthedocs.io/en/latest/Param.html
_SEXTRACTOR = re.compile(r"#\s*(\d+)\s+([A-Z][A-Z0-9_]*)(?:\s+(.*?))?\s*(?:\[([^\]]*)\])?")
_VECTORS = ("FLUX_APER", "FLUXERR_APER", "MAG_APER", "MAGERR_APER", "FLUX_RADIUS", "FLUX_GROWTH", "MAG_GROWTH",
            "VECTOR_", "VIGNET")  # measurements of SExtractor that may take several columns under one name


def read_table(content, where):
    """Read a catalog.

    IRAF and plain columns, with names in ``#N`` lines, in a comment, in the first line, or without; SExtractor's
    ASCII_HEAD; csv with and without names; ECSV; a FITS table, also SExtractor's LDAC; VOTable.

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
    Not for several threads at a time: astropy's warnings are switched off meanwhile, which Python does for all threads.
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


def _read_text(content, where):
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    strange = _CONTROL.search(text)
    if strange:
        raise InputError(f"{where}, line {text.count(chr(10), 0, strange.start()) + 1}: {strange[0]!r}, expected text")
    lines = [line.strip() for line in text.split("\n")]
    numbers = np.flatnonzero([line != "" and line[0] != "#" for line in lines])
    head = [line for line in lines[:numbers[0] if len(numbers) else None] if line]
    records, numbers = [lines[i] for i in numbers], numbers + 1
    del text, lines
    return _text_table(where, head, *_logical(records, numbers))


def _logical(records, numbers):
    r"""Join the records that IRAF continues with ``\``, and take the comments off the ends of those without commas."""
    if records and "," not in records[0]:
        records = [re.split(r"\s#", record, maxsplit=1)[0].rstrip() if "#" in record else record for record in records]
    if not any(record.endswith("\\") for record in records):
        return records, numbers
    starts = np.array([True, *(not record.endswith("\\") for record in records[:-1])])
    bounds = [*np.flatnonzero(starts), len(records)]
    joined = [" ".join(part.removesuffix("\\") for part in records[low:high])
              for low, high in itertools.pairwise(bounds)]
    return joined, numbers[starts]


def _text_table(where, head, records, numbers):
    """Make a table of the comments at the head of a text and of the records that follow, with their line numbers."""
    names, units, delimiter, titled = _layout(where, head, records)
    if not titled and records:
        names = names or [""] * len(_cells(records[0], delimiter, where, numbers[0]))
    for number, record in zip(numbers.tolist(), records, strict=True):
        plain = delimiter and '"' not in record
        count = record.count(delimiter) + 1 if plain else len(_cells(record, delimiter, where, number))
        if count != len(names):
            raise InputError(f"{where}, line {number}: {record[:60]!r} has {count} columns, expected {len(names)}")
    if titled and delimiter is None and len(records) == 1 and not _is_ecsv(head):
        raise InputError(f"{where}, line {numbers[0]}: {records[0][:60]!r}, expected numbers")
    records, numbers = records[titled:], numbers[titled:]
    units = (*units, *[""] * (len(names) - len(units)))
    column = functools.partial(_text_column, where=where, records=records, delimiter=delimiter)
    columns = functools.partial(_text_columns, where=where, records=records, delimiter=delimiter)
    return Table(where, tuple(names), units, len(records), column, numbers, columns)


def _cells(record, delimiter, where, number):
    """Split one record."""
    if '"' not in record:
        return record.split(delimiter)
    try:
        return next(csv.reader([record if delimiter else " ".join(record.split())], delimiter=delimiter or " ",
                               skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InputError(f"{where}, line {number}: {record[:60]!r} can't be split into columns: {error}") from None


def _text_columns(indices, *, where, records, delimiter):
    """Return columns of numbers and of empty cells, read in one go; none where a cell is something else."""
    sample = [_cells(record, delimiter, where, 0) for record in records[:_SAMPLE]]
    gaps = {index: _number_or_gap for index in indices if not all(row[index].strip() for row in sample)}
    try:
        values = np.loadtxt(records, delimiter=delimiter, usecols=indices, comments=None, quotechar='"', ndmin=2,
                            converters=gaps or None, encoding=None)
    except ValueError:
        return {}
    return dict(zip(indices, values.T, strict=True)) if len(values) == len(records) else {}


def _number_or_gap(cell):
    if "_" in cell or not cell.isascii():  # float() takes more for a number than we do
        raise ValueError
    return float(cell) if cell else np.nan


def _text_column(index, text, *, where, records, delimiter):
    """Return a column of numbers, or of str where a cell is none or `text` is asked for."""
    read = functools.partial(np.loadtxt, records, delimiter=delimiter, usecols=[index], comments=None, quotechar='"',
                             ndmin=1, encoding=None)
    values = None
    if not text:
        with contextlib.suppress(ValueError):
            values = read()
    if values is None:
        try:
            values = read(dtype=object, converters={index: str.strip})
        except ValueError as error:
            raise InputError(f"{where} can't be read as a table: {_reason(error)}") from None
    if len(values) != len(records):
        raise InputError(f"{where} has quotation marks that do not match")
    return values


def _layout(where, head, records):
    """Return the names and units of the columns, what separates them, and whether the first record holds the names."""
    if _is_ecsv(head):
        return _ecsv_layout(where, head, records)
    for known in (_iraf_layout, _sextractor_layout):
        names, units = known(head, records)
        if names:
            return names, units, None, False
    delimiter = "," if records and "," in records[0] else None
    first = [cell.strip() for cell in _cells(records[0], delimiter, where, 1)] if records else []
    if any(map(_is_name, first)) and not any(is_value(cell) for cell in first if cell):
        return first, (), delimiter, True
    return *_commented_names(head, len(first)), delimiter, False


def _is_ecsv(head):
    return bool(head) and head[0].startswith("# %ECSV")


def _is_name(cell):
    return not is_value(cell) and bool(re.search("[A-Za-z]", cell)) and cell[0] not in "+-."


def _commented_names(head, count):
    """Return names, and perhaps units, from the last comment that has as many words as there are columns."""
    words = [line.lstrip("#").replace(",", " ").split() for line in head]
    for number in reversed(range(len(words))):
        names = words[number]
        if len(names) == count and len(set(names)) == count and all(map(_is_name, names)):
            units = words[number + 1] if number + 1 < len(words) else []
            marked = len(units) <= count and all(unit[0] in "([" and unit[-1] in ")]" for unit in units)
            return names, units if marked else []
    return [], []


def _iraf_layout(head, records):
    """Return names and units from the #N and #U lines of IRAF's apphot and daophot."""
    names, units = ([word for line in head if line.startswith(mark) for word in line[2:].rstrip("\\").split()]
                    for mark in ("#N", "#U"))
    return names, ["" if unit == "#" else unit for unit in units] if len(units) == len(names) else []


def _sextractor_layout(head, records):
    """Return names and units from the head that SExtractor writes; a vector takes the columns up to the next name."""
    found = [_SEXTRACTOR.fullmatch(line) for line in head]
    if not found or not all(found):
        return [], []
    numbers = [int(match[1]) for match in found]
    if numbers[0] != 1 or any(b <= a for a, b in itertools.pairwise(numbers)):
        return [], []
    last = numbers[-1]
    if records and found[-1][2].startswith(_VECTORS):
        last = max(last, len(records[0].split()))
    names, units = [], []
    for match, stop in zip(found, [*numbers[1:], last + 1], strict=True):
        extra = [f"{match[2]}_{number}" for number in range(1, stop - int(match[1]))][:_LONGEST_CELL]
        names += [match[2], *extra]
        units += [match[4] or ""] * (1 + len(extra))
    return names, units


def _ecsv_layout(where, head, records):
    """Return the layout of an ECSV (https://github.com/astropy/astropy-APEs/blob/main/APE6.rst)."""
    from astropy.table.meta import get_header_from_yaml

    declared = [line[2:] for line in head if line.startswith("# ")][1:]
    depth = itertools.accumulate((mark in "[{") - (mark in "]}") for mark in "".join(declared))
    if max(depth, default=0) > _DEEPEST:  # the time that YAML takes grows with the square of it
        raise InputError(f"{where} can't be read as ECSV: brackets within brackets in its head")
    with _library(where, "ECSV"):
        header = get_header_from_yaml(declared)
        names = [str(column["name"]) for column in header["datatype"]]
        units = [str(column.get("unit") or "") for column in header["datatype"]]
        delimiter = {" ": None, ",": ","}[header.get("delimiter", " ")]
    titles = _cells(records[0], delimiter, where, len(head) + 1) if records else []
    if [title.strip() for title in titles] != names:
        raise InputError(f"{where}: its line of names is {' '.join(titles)[:60]!r}, expected {' '.join(names)[:200]!r}")
    return names, units, delimiter, True


@contextlib.contextmanager
def _library(where, kind):
    """Turn whatever a library raises on a damaged file into an InputError, and keep its warnings to ourselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # of some thirty kinds
            raise InputError(f"{where} can't be read as {kind}: {_reason(error)}") from error


def _reason(error):
    return " ".join(str(error).split())[:200] or type(error).__name__


def _only_one(tables, where, kind):
    """Return the one of (name, rows, table) that has rows, or the first where none has."""
    filled = [entry for entry in tables if entry[1]] or tables[:1]
    if len(filled) != 1:
        names = ", ".join(repr(str(entry[0])) for entry in filled[:9])
        raise InputError(f"{where} holds {len(filled) or 'no'} {kind}{'s' * (len(filled) > 1)}"
                         f"{': ' * bool(filled)}{names}, expected one")
    return filled[0][2]


def _read_fits(content, where):
    from astropy.io import fits

    with _library(where, "FITS"):
        hdus = fits.open(io.BytesIO(content), memmap=False, lazy_load_hdus=False)
        ends = [sum(map(hdus.fileinfo(index).get, ("datLoc", "datSpan"))) for index in range(len(hdus))]
        if content[max(ends):].strip(b"\0 "):
            raise InputError(f"{where} is damaged after its first {max(ends)} bytes")
        if max(ends) > len(content):
            raise InputError(f"{where} is truncated: it has {len(content)} bytes of {max(ends)}")
        found = [hdu for hdu in hdus if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))]
        # LDAC: https://sextractor.readthedocs.io, FITS_LDAC; the header of the image is a table of its own.
        ldac = [hdu for hdu in found if hdu.name == "LDAC_OBJECTS"]
        hdu = _only_one([(h.name, h.header["NAXIS2"], h) for h in ldac or found], where, "table")
        names, units = tuple(hdu.columns.names), tuple(unit or "" for unit in hdu.columns.units)
        rows = len(hdu.data) if hdu.header["NAXIS2"] else 0
    return Table(where, names, units, rows, functools.partial(_fits_column, where=where, hdu=hdu))


def _fits_column(index, text, *, where, hdu):
    with _library(where, "FITS"):
        values, definition = np.asarray(hdu.data.field(index)), hdu.columns[index]
        if definition.null is not None and values.dtype.kind in "iuf":
            null = float(definition.null) * (definition.bscale or 1) + (definition.bzero or 0)
            return np.where(values == null, np.nan, values)
        return np.char.strip(values) if values.dtype.kind == "U" else values


def _read_votable(content, where):
    # A table elsewhere is not fetched, entities do not unfold, and no cell takes memory that the file does not.
    if re.search(rb"<\w*:?STREAM[^>]*\shref", content, re.IGNORECASE) or b"<!ENTITY" in content:
        raise InputError(f"{where} refers to other files, expected a VOTable that holds its rows")
    sizes = [int(size[:18]) for attribute in re.findall(rb"arraysize\s*=\s*[\"']([^\"']*)", content)
             for size in re.findall(rb"\d+", attribute)]
    counts = [int(count[:18]) for count in re.findall(rb"nrows\s*=\s*[\"'](\d+)", content)]
    if max(sizes, default=0) > _LONGEST_CELL or max(counts, default=0) > len(content):
        raise InputError(f"{where} declares more than it can hold")
    if re.search(rb"<(\w+:)?TABLEDATA", content):
        with _library(where, "VOTable"):
            return _only_one(list(_tabledata(content, where)), where, "table")
    from astropy.io import votable

    with _library(where, "VOTable"):
        tables = list(votable.parse(io.BytesIO(content), verify="ignore").iter_tables())
        table = _only_one([(t.name or t.ID, len(t.array), t) for t in tables], where, "table")
        names, units = (tuple(str(getattr(field, key) or "") for field in table.fields) for key in ("name", "unit"))
        keys, array = table.array.dtype.names, table.array
    return Table(where, names, units, len(array), lambda index, text: _votable_column(array[keys[index]]))


def _tabledata(content, where):
    """Yield name, number of rows and `Table` of what a VOTable holds as text.

    astropy takes a cell that is no number for an undefined one, and one with a damaged tag for none at all, which moves
    the rest of the row. Here both are errors.
    """
    fields, rows = [], []
    for _, element in ElementTree.iterparse(io.BytesIO(content)):
        tag = element.tag.rpartition("}")[2]
        if tag == "FIELD":
            nulls = [child.get("null") for child in element if child.tag.endswith("VALUES")]
            fields.append((element.get("name") or element.get("ID", ""), element.get("unit", ""), {"", *nulls}))
        elif tag == "TR":
            rows.append(_row(element, [nulls for _, _, nulls in fields], f"{where}, row {len(rows) + 1}"))
            element.clear()
        elif tag == "TABLEDATA" and any(child.tag.rpartition("}")[2] != "TR" for child in element):
            raise InputError(f"{where} has something else than rows among its rows")
        elif tag == "TABLE":
            names, units = (tuple(field[part] for field in fields) for part in (0, 1))
            column = functools.partial(_column_of_rows, rows=rows)
            yield element.get("name") or element.get("ID", ""), len(rows), Table(where, names, units, len(rows), column)
            fields, rows = [], []


def _row(element, nulls, place):
    """Return the cells of one row of a VOTable, empty for undefined."""
    if len(element) != len(nulls):
        raise InputError(f"{place} has {len(element)} columns, expected {len(nulls)}")
    cells = []
    for cell, undefined in zip(element, nulls, strict=True):
        text = (cell.text or "").strip()
        if not cell.tag.endswith("TD") or len(cell) or cell.get("encoding") or (cell.tail or "").strip():
            raise InputError(f"{place}: {cell.tag.rpartition('}')[2]} {text[:60]!r}, expected a cell")
        cells.append("" if text in undefined else text)
    return cells


def _column_of_rows(index, text, *, rows):
    return np.array([row[index] for row in rows], dtype=object)


def _votable_column(values):
    if values.dtype.kind in "iuf":
        masked = np.ma.getmaskarray(values)
        return np.where(masked, np.nan, values.data) if masked.any() else np.asarray(values)
    return np.array([str(value) for value in values.filled("")], dtype=object) if values.ndim == 1 else values
