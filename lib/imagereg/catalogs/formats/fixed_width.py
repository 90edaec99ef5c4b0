"""Read tables whose columns stand at fixed places: IPAC tables and machine-readable tables of CDS.

IPAC: https://irsa.ipac.caltech.edu/applications/DDGEN/Doc/ipac_tbl.html; names, types, units and
undefined values stand in up to four lines between bars. CDS (also of the AAS journals):
https://vizier.cds.unistra.fr/doc/catstd.htx; a byte-by-byte description comes before the rows.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from imagereg.catalogs.formats.columns import Table
from imagereg.errors import InputError

_RULE = re.compile(r"[-=]{20,}")
_DESCRIPTION = re.compile(r"byte-by-byte description", re.IGNORECASE)
# Bytes, format, unit, label, explanation, which may begin with limits "[0/24]" and "?=undefined".
_COLUMN = re.compile(r"\s*(?:(\d+)\s*-)?\s*(\d+)\s+[AIFE]\d+(?:\.\d+)?\s+(\S+)\s+(\S+)"
                     r"(?:\s+(?:[\[\]][^\[\]]*[\[\]]\s*)?(?:\?=(\S+))?.*)?", re.IGNORECASE)
_NO_UNIT = "---"
# Labels of right ascension and declination in parts, and what to call the whole.
_PARTS = {"RA": ("RAh", "RAm", "RAs"), "DE": ("DE-", "DEd", "DEm", "DEs")}


class _Column(NamedTuple):
    """A column of a line: name, unit, first and last place (from 0, half open), undefined value."""

    name: str
    unit: str
    start: int
    stop: int
    undefined: str = ""


def read_fixed_width(lines: Sequence[str], where: str) -> Table | None:
    """Return the table of an IPAC or CDS text, given by its lines; None where it is neither.

    Right ascension and declination in parts (RAh, RAm, RAs; DE-, DEd, DEm, DEs) are there as a
    whole too, in columns RA and DE after all others.

    Parameters
    ----------
    lines : sequence of str
        With the blanks at their beginnings.
    where : str
        Name of the file, for errors.

    Raises
    ------
    InputError
        The head is damaged, or a row has something between its columns.
    """
    first = next((line for line in lines if line.strip()), "")
    if first.startswith(("\\", "|")):
        return _read_ipac(lines, where)
    if any(map(_DESCRIPTION.search, lines[:1000])):
        return _read_cds(lines, where)
    return None


def _read_ipac(lines: Sequence[str], where: str) -> Table | None:
    head = [line.rstrip() for line in lines if line.startswith("|")]
    if not head:
        return None
    bars = [place for place, mark in enumerate(head[0]) if mark == "|"]
    if len(head) > 4 or len(bars) < 2 or head[0][-1] != "|":
        raise InputError(f"{where}: {head[0][:60]!r}, expected the names of an IPAC table between "
                         "bars, and at most three more lines of bars")
    cells = [_split(line, bars) for line in head] + [[""] * (len(bars) - 1)] * (4 - len(head))
    names, _, units, undefined = cells
    columns = []
    for index, (start, stop) in enumerate(itertools.pairwise(bars)):
        unit = "" if units[index] in ("-", _NO_UNIT) else units[index]
        columns.append(_Column(names[index], unit, start + 1, stop, undefined[index]))
    numbers = [number for number, line in enumerate(lines, 1)
               if line.strip() and not line.startswith(("\\", "|"))]
    return _table(columns, lines, numbers, where)


def _split(line: str, bars: list[int]) -> list[str]:
    """Return what stands between the bars of a line of the head."""
    return [line[start + 1:stop].strip() for start, stop in itertools.pairwise(bars)]


def _read_cds(lines: Sequence[str], where: str) -> Table:
    rules = [number for number, line in enumerate(lines) if _RULE.fullmatch(line.strip())]
    begin = next(number for number, line in enumerate(lines) if _DESCRIPTION.search(line))
    described = [number for number in rules if number > begin]
    if len(described) < 3:
        raise InputError(f"{where}: a byte-by-byte description ends with a line of dashes")
    matches = map(_COLUMN.fullmatch, lines[described[1] + 1:described[2]])
    columns = []
    for first, last, unit, label, undefined in (match.groups() for match in matches if match):
        start = int(first or last) - 1
        columns.append(_Column(label, "" if unit == _NO_UNIT else unit, start, int(last),
                               (undefined or "").rstrip(",;")))
    if not columns:
        raise InputError(f"{where}: the byte-by-byte description names no column")
    numbers = [number for number in range(described[-1] + 2, len(lines) + 1)
               if lines[number - 1].strip()]
    return _table(columns, lines, numbers, where)


def _table(columns: list[_Column], lines: Sequence[str], numbers: list[int], where: str) -> Table:
    """Make a table of the lines of given numbers, from 1."""
    rows = [lines[number - 1] for number in numbers]
    stops = [0, *(column.stop for column in columns)]
    starts = [*(column.start for column in columns), None]
    gaps = [slice(stop, start) for stop, start in zip(stops, starts, strict=True)]
    for number, row in zip(numbers, rows, strict=True):
        between = "".join(row[gap] for gap in gaps)
        if between.strip():
            raise InputError(f"{where}, line {number}: {between.strip()[:60]!r} between the "
                             "columns that the head describes")
    wholes = {whole: parts for whole, parts in _PARTS.items()
              if {column.name for column in columns}.issuperset(parts)}
    by_name = {column.name: column for column in columns}
    cells = [functools.partial(_cells_of, column, rows) for column in columns]
    for parts in wholes.values():
        cells.append(functools.partial(_joined, [by_name[part] for part in parts], rows))

    def column(index: int, text: bool) -> np.ndarray:
        return np.array(cells[index](), dtype=object)

    names = tuple([*(column.name for column in columns), *wholes])
    units = tuple([*(column.unit for column in columns), *[""] * len(wholes)])
    return Table(where, names, units, len(rows), column, np.array(numbers, int))


def _cells_of(column: _Column, rows: list[str]) -> list[str]:
    """Return the cells of a column, empty for undefined."""
    cells = [row[column.start:column.stop].strip() for row in rows]
    return ["" if cell == column.undefined else cell for cell in cells]


def _joined(parts: list[_Column], rows: list[str]) -> list[str]:
    """Return angles whose parts have columns, as text with blanks between; a sign has none."""
    texts = [_cells_of(part, rows) for part in parts]
    joined = [" ".join(filter(None, cells)) for cells in zip(*texts, strict=True)]
    return [re.sub(r"^([-+]) ", r"\1", text) for text in joined]
