"""A table of a catalog file: named columns, and how cells become numbers, angles and fluxes.

A cell that is no number is an error that tells its place, unless it is a word for "undefined".
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
from collections.abc import Callable, Iterable

import numpy as np

from imagereg.errors import InputError

# One way only to match digits, so that a long cell that is no number takes no longer to refuse.
_DECIMAL = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NUMBER = re.compile(_DECIMAL.pattern.replace("eE", "eEdD"), re.ASCII)
_SEXAGESIMAL = re.compile(
    r"([+-]?)(\d{1,3})([:hd ])\s*(\d{1,2})[:m' ]\s*(\d{1,2}(?:\.\d*)?)[s\"]?", re.ASCII)
# Numbers of several columns, in the ways that drizzlepac understands.
_SEVERAL = re.compile(r"c?\d{1,9}(?:(?P<range>\s?[-:]\s?)c?\d{1,9}|(?:[ ,]\s?c?\d{1,9})+)",
                      re.ASCII | re.IGNORECASE)
_UNDEFINED = frozenset(["", "indef", "nan", "inf", "infinity", "null", "none", "n/a", "masked",
                        "-", "--", "---"])
# SExtractor writes 1e+30 (BIG in its define.h) for what it could not measure.
_BIG = 1e30
# Magnitudes beyond it stand for "none": 99 in SExtractor, -999 in Pan-STARRS, -9999 in SDSS.
_FAINT = 60.0
# Spellings that astropy.units does not know.
_UNIT_NAMES = {'"': "arcsec", "degrees": "deg", "hours": "hourangle", "hour": "hourangle",
               "hr": "hourangle", "h": "hourangle", "mas/year": "mas/yr",
               "milliarcsec/yr": "mas/yr", "arcsec/year": "arcsec/yr"}


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length, made by `read_table`; a column is converted when asked for.

    Parameters
    ----------
    where : str
        Name of the file, for errors.
    names : tuple of str
        Of the columns; empty for one without a name.
    units : tuple of str
        Of the columns; empty where not known.
    n_rows : int
        Number of rows.
    column : callable
        ``column(index, text)`` returns a column by its index from 0, as (N,) ndarray of numbers or
        of str; of str in any case where `text` is true and the file holds text.
    lines : (N,) ndarray of int, optional
        Line of the file that each row stands in.
    """

    where: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    n_rows: int
    column: Callable[[int, bool], np.ndarray]
    lines: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.n_rows

    def place(self, row: int) -> str:
        """Return where a row (from 0) stands, for errors."""
        if self.lines is None:
            return f"{self.where}, row {row + 1}"
        return f"{self.where}, line {self.lines[row]}"

    def title(self, index: int) -> str:
        """Return what to call a column in a message."""
        name = self.names[index] if self.names else ""
        return name or f"column {index + 1}"

    def find(self, name: str) -> int | None:
        """Return the index of the one column of this name, else of the one but for case."""
        if not name:
            return None
        for key in (str, str.lower):
            found = [i for i, other in enumerate(self.names) if key(other) == key(name)]
            if len(found) == 1:
                return found[0]
        return None

    def find_all(self, names: Iterable[str]) -> tuple[int, ...]:
        """Return the indices of columns by name; nothing unless all of them are there."""
        found = [self.find(name) for name in names]
        return tuple(index for index in found if index is not None) if None not in found else ()

    def first(self, names: Iterable[str]) -> int | None:
        """Return the index of the first of some names that is a column, or None."""
        return next((index for index in map(self.find, names) if index is not None), None)

    def index(self, column: str | int, parameter: str) -> int:
        """Return the index of the column that a parameter names.

        Parameters
        ----------
        column : str or int
            Number of a column, from 1, as 2 or c2, or its name.
        parameter : str
            Of the task, for errors.

        Raises
        ------
        InputError
            There is no such column, or more than one.
        """
        text = str(column).strip()
        if not self.names and not self.n_rows:
            return 0  # an empty list
        count = len(self.names)
        found = self.find(text)
        number = re.fullmatch(r"c?(\d{1,9})", text, re.ASCII | re.IGNORECASE)
        if number and (found is None or text.isdecimal()):
            if 1 <= int(number[1]) <= count:
                return int(number[1]) - 1
            columns = "1 column" if count == 1 else f"{count} columns"
            raise InputError(f"{self.where} has {columns}, {parameter} = {text} is none of them")
        if found is None:
            same = sum(name.lower() == text.lower() for name in self.names)
            columns = f"{same} columns" if same > 1 else f"{same or 'no'} column"
            known = ", ".join(filter(None, self.names[:40])) or "columns without names"
            raise InputError(f"{self.where} has {columns} {text!r} for {parameter}, expected one; "
                             f"it has {known}")
        return found

    def indices(self, columns: str | int, parameter: str) -> tuple[int, ...]:
        """Return the index of one column, or those of the three of a sexagesimal angle.

        Parameters
        ----------
        columns : str or int
            As for `index`; or three numbers, as ``1,2,3``, ``1 2 3``, ``1-3`` or ``c1:c3``.
        parameter : str
            Of the task, for errors.

        Raises
        ------
        InputError
            There is no such column, or they are not one or three.
        """
        text = str(columns).strip()
        several = _SEVERAL.fullmatch(text)
        if several is None or self.find(text) is not None:
            return (self.index(columns, parameter),)
        numbers = [int(number) for number in re.findall(r"\d+", text)]
        if several["range"]:
            numbers = [*range(numbers[0], min(numbers[1], len(self.names)) + 1)]
        if len(numbers) != 3:
            raise InputError(f"{parameter} = {text}: expected one column, or the three of hours or "
                             "degrees, minutes and seconds")
        return tuple(self.index(number, parameter) for number in numbers)

    def numbers(self, index: int) -> np.ndarray:
        """Return a column as (N,) float64; NaN for INDEF and its like, infinity, and 1e30 or more.

        Raises
        ------
        InputError
            A cell is no number.
        """
        return self._numbers(self._cells(index), index)

    def _cells(self, index: int, text: bool = False) -> np.ndarray:
        """Return a column as it is in the file, one number or str a row."""
        if not self.n_rows:
            return np.empty(0)
        values = self.column(index, text)
        if values.shape != (self.n_rows,) or values.dtype.kind not in "iufOU":
            raise InputError(f"{self.where}: {self.title(index)} holds cells of type "
                             f"{values.dtype} and shape {values.shape[1:]}, expected one number "
                             "a row")
        return values

    def _numbers(self, values: np.ndarray, index: int) -> np.ndarray:
        """Return cells as numbers; NaN for those that are no finite number."""
        is_text = values.dtype.kind in "OU"
        if is_text and not all(map(_DECIMAL.fullmatch, values)):
            return self._converted(values, index, _number, expected="a number")
        with np.errstate(invalid="ignore"):
            values = values.astype(np.float64)
            return np.where(np.abs(values) < _BIG, values, np.nan)

    def _converted(self, cells: Iterable[str], index: int, convert: Callable[[str], float], *,
                   expected: str) -> np.ndarray:
        """Convert cells of text one by one; an error tells the place of the cell."""
        result = np.empty(self.n_rows)
        for row, cell in enumerate(cells):
            try:
                result[row] = convert(cell)
            except ValueError:
                raise InputError(f"{self.place(row)}: {str(cell)[:60]!r} in {self.title(index)}, "
                                 f"expected {expected}") from None
        return result

    def quantity(self, index: int, unit: str, default: str) -> np.ndarray:
        """Return a column in a unit, with NaN as in `numbers`.

        Parameters
        ----------
        index : int
            Of the column.
        unit : str
            To convert to, as astropy.units writes it.
        default : str
            Unit of a column without one.

        Raises
        ------
        InputError
            A cell is no number, or the unit of the column is of another kind.
        """
        return self.numbers(index) * self._factor(index, unit, default)

    def _factor(self, index: int, unit: str, default: str) -> float:
        """Return the factor from the unit of a column to another unit."""
        own = self.units[index].strip("()[] ") if self.units else ""
        own = own or default
        own = _UNIT_NAMES.get(own.lower(), own)
        if own == unit:
            return 1.0
        from astropy import units

        try:
            return units.Unit(own).to(unit)
        except (ValueError, TypeError):
            raise InputError(f"{self.where}: {self.title(index)} has the unit {own!r}, "
                             f"expected {unit}") from None

    def angles(self, index: int, *, hours: bool) -> np.ndarray:
        """Return a column of right ascensions (`hours`) or declinations as (N,) degrees.

        Decimal numbers are degrees unless the column has another unit. Sexagesimal ones
        (``03:14:15.9``, ``03 14 15.9``, ``3h14m15.9s``) are hours for right ascension, unless a
        ``d`` follows the first part. Undefined cells become NaN.

        Raises
        ------
        InputError
            A cell is neither, the column mixes both, or an angle is out of range.
        """
        values = self._cells(index)
        if values.dtype.kind in "OU" and any(map(_SEXAGESIMAL.fullmatch, values)):
            convert = functools.partial(_degrees, hours=hours)
            degrees = self._converted(values, index, convert, expected="hh:mm:ss or dd:mm:ss")
        else:
            degrees = self._numbers(values, index) * self._factor(index, "deg", "deg")
        return self._in_range(degrees, index, hours)

    def sexagesimal(self, indices: tuple[int, ...], *, hours: bool) -> np.ndarray:
        """Return angles whose three parts have a column each, (N,) degrees; see `angles`."""
        parts = [self._cells(index, text=True).astype(str) for index in indices]
        cells = map(" ".join, zip(*parts, strict=True))
        convert = functools.partial(_degrees, hours=hours)
        degrees = self._converted(cells, indices[0], convert, expected="hh mm ss")
        return self._in_range(degrees, indices[0], hours)

    def _in_range(self, degrees: np.ndarray, index: int, hours: bool) -> np.ndarray:
        """Return right ascensions in 0 to 360, declinations as they are, all of them checked."""
        limit = 360 if hours else 90
        with np.errstate(invalid="ignore"):
            outside = np.flatnonzero(np.abs(degrees) > limit)
        if len(outside):
            first = outside[0]
            raise InputError(f"{self.place(first)}: {degrees[first]:.10g} degrees in "
                             f"{self.title(index)}, expected {-limit} to {limit}")
        return degrees % 360 if hours else degrees

    def integers(self, index: int) -> np.ndarray | None:
        """Return a column of whole numbers as (N,) int64; None where it holds anything else."""
        values = self._cells(index)
        if values.dtype.kind in "iu":
            return values.astype(np.int64)
        if values.dtype.kind == "f" or not all(map(_is_integer, values)):
            return None
        with contextlib.suppress(ValueError, OverflowError):
            return np.array([int(cell) for cell in values], dtype=np.int64)
        return None

    def fluxes(self, index: int, fluxunits: str, exptime: float | None = None) -> np.ndarray:
        """Return a column of fluxes as counts (N,), of which more is brighter; NaN for undefined.

        Parameters
        ----------
        index : int
            Of the column.
        fluxunits : str
            'counts'; 'cps', to be multiplied by `exptime`; or 'mag', which become
            ``10**(-0.4 mag)``.
        exptime : float, optional
            Seconds; 1 where not known.
        """
        values = self.numbers(index)
        if fluxunits != "mag":
            return values * exposure_time(fluxunits, exptime)
        with np.errstate(invalid="ignore"):
            return 10 ** (-0.4 * np.where(np.abs(values) < _FAINT, values, np.nan))


def is_value(cell: str) -> bool:
    """Return whether the text of a cell is a number, an angle, or a word for undefined."""
    if _NUMBER.fullmatch(cell) or _SEXAGESIMAL.fullmatch(cell):
        return True
    return cell.lower() in _UNDEFINED


def exposure_time(fluxunits: str, exptime: float | None) -> float:
    """Return the factor that turns fluxes into counts."""
    if fluxunits != "cps" or exptime is None:
        return 1.0
    if not 0 < exptime < np.inf:
        raise InputError(f"fluxunits = cps needs an exposure time, and EXPTIME is {exptime}")
    return float(exptime)


def _is_integer(cell: str) -> bool:
    # 19 digits and a sign: no int64 has more
    return cell.isascii() and cell.lstrip("+-").isdigit() and len(cell) < 20


def _number(cell: str) -> float:
    """Return the number in a cell of text, NaN for undefined; ValueError where it is neither."""
    cell = cell.strip()
    if _NUMBER.fullmatch(cell):
        value = float(cell.replace("D", "e").replace("d", "e"))
        return value if abs(value) < _BIG else np.nan
    if cell.lower().lstrip("+-") in _UNDEFINED or cell in _UNDEFINED:
        return np.nan
    raise ValueError


def _degrees(cell: str, hours: bool) -> float:
    """Return the degrees of a sexagesimal cell, NaN for undefined; ValueError where neither."""
    cell = cell.strip()
    found = _SEXAGESIMAL.fullmatch(cell)
    if not found:
        if _NUMBER.fullmatch(cell):
            raise ValueError
        return _number(cell)
    sign, first, mark, second, third = found.groups()
    whole, minutes, seconds = int(first), int(second), float(third)
    in_hours = mark == "h" or (hours and mark != "d")
    if minutes > 59 or seconds > 60 or whole > (24 if in_hours else 360):
        raise ValueError
    if mark == "h" and not hours:
        raise ValueError
    value = (whole + minutes / 60 + seconds / 3600) * (15 if in_hours else 1)
    return -value if sign == "-" else value
