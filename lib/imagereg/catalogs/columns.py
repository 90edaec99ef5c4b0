"""What a table of a catalog file is: columns, and how their cells become numbers, angles and fluxes.

A cell that is no number is an error with its place, unless it is one of the words for "undefined".
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re

import numpy as np

from imagereg.errors import InputError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?", re.ASCII)
_SEXAGESIMAL = re.compile(r"([+-]?)(\d{1,3})([:hd ])\s*(\d{1,2})[:m' ]\s*(\d{1,2}(?:\.\d*)?)[s\"]?", re.ASCII)
_UNDEFINED = frozenset(["", "indef", "nan", "inf", "infinity", "null", "none", "n/a", "masked", "-", "--", "---"])
_BIG = 1e30  # SExtractor writes 1e+30 (BIG in its define.h) for what it could not measure
_FAINT = 60.0  # magnitudes beyond it stand for "none": 99 in SExtractor, -999 in Pan-STARRS, -9999 in SDSS
_UNIT_NAMES = {'"': "arcsec", "degrees": "deg", "hours": "hourangle", "hour": "hourangle", "hr": "hourangle",
               "h": "hourangle", "mas/year": "mas/yr", "milliarcsec/yr": "mas/yr", "arcsec/year": "arcsec/yr"}


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length, made by `read_table`; a column is converted when it is asked for.

    Parameters
    ----------
    where : str
        Name of the file, for errors.
    names : tuple of str
        Of the columns; empty for one without a name.
    units : tuple of str
        Of the columns; empty where not known.
    rows : int
        Number of rows.
    column : callable
        Gives a column by its index from 0, and whether to leave text as it is: (N,) ndarray of numbers or of str.
    lines : (N,) ndarray of int, optional
        Line of the file that each row stands in.
    columns : callable, optional
        Gives several columns of numbers by their indices, faster than one by one: dict of (N,) ndarray by index, which
        may be empty.
    """

    where: str
    names: tuple
    units: tuple
    rows: int
    column: object
    lines: np.ndarray | None = None
    columns: object = None

    def __len__(self):
        """Return the number of rows."""
        return self.rows

    def ahead(self, indices):
        """Return the same table, in which these columns are read already where they are numbers; only faster."""
        if self.columns is None or not self.rows:
            return self
        known = self.columns(sorted(set(indices)))

        def column(index, text):
            return known[index] if index in known and not text else self.column(index, text)

        return dataclasses.replace(self, column=column, columns=None)

    def place(self, row):
        """Return where a row (from 0) stands, for errors."""
        return f"{self.where}, row {row + 1}" if self.lines is None else f"{self.where}, line {self.lines[row]}"

    def title(self, index):
        """Return what to call a column in a message."""
        return (self.names[index] if self.names else "") or f"column {index + 1}"

    def find(self, name):
        """Return the index of the one column of this name, in this case or, failing that, in any; None for no such."""
        for key in (str, str.lower) if name else ():
            found = [index for index, other in enumerate(self.names) if key(other) == key(name)]
            if len(found) == 1:
                return found[0]
        return None

    def pair(self, pairs):
        """Return the indices of the first pair of names of which both are columns, or None."""
        for pair in pairs:
            found = tuple(map(self.find, pair))
            if None not in found:
                return found
        return None

    def index(self, column, parameter):
        """Return the index of the column that a parameter names.

        Parameters
        ----------
        column : str or int
            Number of a column, from 1, or its name.
        parameter : str
            Of the task, for errors.

        Raises
        ------
        InputError
            There is no such column, or more than one.
        """
        text = str(column).strip()
        if not self.names and not self.rows:
            return 0  # a list of nothing
        count = len(self.names)
        if re.fullmatch(r"\d{1,9}", text, re.ASCII):
            if not 1 <= int(text) <= count:
                raise InputError(f"{self.where} has {count} column{'s' * (count > 1)}, {parameter} = {text} is none of "
                                 "them")
            return int(text) - 1
        found = self.find(text)
        if found is None:
            same = sum(name.lower() == text.lower() for name in self.names)
            known = ", ".join(filter(None, self.names[:40])) or "columns without names"
            raise InputError(f"{self.where} has {same or 'no'} column{'s' * (same > 1)} {text!r} for {parameter}, "
                             f"expected one; it has {known}")
        return found

    def numbers(self, index):
        """Return a column as (N,) float64; NaN for INDEF and its like, for infinity, and for 1e30 and more.

        Raises
        ------
        InputError
            A cell is no number.
        """
        return self._numbers(self._checked(index), index)

    def _checked(self, index, text=False):
        if not self.rows:
            return np.empty(0)
        values = self.column(index, text)
        if values.shape != (self.rows,) or values.dtype.kind not in "iufOU":
            raise InputError(f"{self.where}: {self.title(index)} holds cells of type {values.dtype} and shape "
                             f"{values.shape[1:]}, expected one number a row")
        return values

    def _numbers(self, values, index):
        if values.dtype.kind in "OU":
            quick = _quick_numbers(values)
            return self._converted(values, index, _number, expected="a number") if quick is None else quick
        with np.errstate(invalid="ignore"):
            values = values.astype(np.float64)
            return np.where(np.abs(values) < _BIG, values, np.nan)

    def _converted(self, cells, index, convert, *, expected):
        result = np.empty(len(cells))
        for row, cell in enumerate(cells):
            try:
                result[row] = convert(cell)
            except ValueError:
                raise InputError(f"{self.place(row)}: {str(cell)[:60]!r} in {self.title(index)}, expected {expected}") \
                    from None
        return result

    def quantity(self, index, unit, default):
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

    def _factor(self, index, unit, default):
        own = (self.units[index] if self.units else "").strip("()[] ") or default
        own = _UNIT_NAMES.get(own.lower(), own)
        if own == unit:
            return 1.0
        from astropy import units

        try:
            return units.Unit(own).to(unit)
        except (ValueError, TypeError):
            raise InputError(f"{self.where}: {self.title(index)} has the unit {own!r}, expected {unit}") from None

    def angles(self, index, *, hours):
        """Return a column of right ascensions (`hours`) or declinations, (N,) degrees; NaN for undefined.

        Decimal numbers are degrees unless the column has another unit. Sexagesimal ones (``03:14:15.9``,
        ``03 14 15.9``, ``3h14m15.9s``) are hours for right ascension, unless a ``d`` follows the first part.

        Raises
        ------
        InputError
            A cell is neither, the column mixes both, or an angle is out of range.
        """
        values = self._checked(index)
        if values.dtype.kind in "OU" and any(map(_SEXAGESIMAL.fullmatch, values)):
            degrees = self._converted(values, index, functools.partial(_degrees, hours=hours),
                                      expected="hh:mm:ss or dd:mm:ss")
        else:
            degrees = self._numbers(values, index) * self._factor(index, "deg", "deg")
        return self._in_range(degrees, index, hours)

    def sexagesimal(self, indices, *, hours):
        """Return angles whose three parts stand in columns of their own, (N,) degrees; otherwise as `angles`."""
        parts = [self._checked(index, text=True).astype(str) for index in indices]
        cells = [" ".join(cells) for cells in zip(*parts, strict=True)]
        degrees = self._converted(cells, indices[0], functools.partial(_degrees, hours=hours), expected="hh mm ss")
        return self._in_range(degrees, indices[0], hours)

    def _in_range(self, degrees, index, hours):
        limit = 360 if hours else 90
        with np.errstate(invalid="ignore"):
            outside = np.flatnonzero(np.abs(degrees) > limit)
        if len(outside):
            raise InputError(f"{self.place(outside[0])}: {degrees[outside[0]]:.10g} degrees in {self.title(index)}, "
                             f"expected {-limit} to {limit}")
        return degrees % 360 if hours else degrees

    def integers(self, index):
        """Return a column of whole numbers as (N,) int64, to the last digit; None where it holds anything else."""
        values = self._checked(index, text=True)
        if values.dtype.kind in "OU":
            if not all(cell.isascii() and cell.lstrip("+-").isdigit() and len(cell) < 20 for cell in values):
                return None
            with contextlib.suppress(ValueError, OverflowError):
                return np.array([int(cell) for cell in values], dtype=np.int64)
            return None
        return values.astype(np.int64) if values.dtype.kind in "iu" else None

    def fluxes(self, index, fluxunits, exptime=None):
        """Return a column of fluxes as counts (N,), of which more is brighter; NaN for undefined.

        Parameters
        ----------
        index : int
            Of the column.
        fluxunits : str
            What it holds: 'counts'; 'cps', to be multiplied by `exptime`; or 'mag', which become ``10**(-0.4 mag)``.
        exptime : float, optional
            Seconds; 1 where not known.
        """
        values = self.numbers(index)
        if fluxunits != "mag":
            return values * exposure_time(fluxunits, exptime)
        with np.errstate(invalid="ignore"):
            return 10 ** (-0.4 * np.where(np.abs(values) < _FAINT, values, np.nan))


def is_value(cell):
    """Whether the text of a cell is a number, an angle, or a word for undefined."""
    return bool(_NUMBER.fullmatch(cell) or _SEXAGESIMAL.fullmatch(cell) or cell.lower() in _UNDEFINED)


def _quick_numbers(cells):
    """Return the numbers in cells of which some are empty; None where one is something else."""
    result, given = np.full(len(cells), np.nan), cells != ""
    if given.any():
        try:
            values = np.loadtxt(cells[given].tolist(), delimiter=",", comments=None, ndmin=1, encoding=None)
        except ValueError:
            return None
        if values.shape != (given.sum(),):
            return None
        result[given] = np.where(np.abs(values) < _BIG, values, np.nan)
    return result


def _number(cell):
    """Return the number in a cell of text, NaN for undefined; ValueError where it is neither."""
    cell = cell.strip()
    if _NUMBER.fullmatch(cell):
        value = float(cell.replace("D", "e").replace("d", "e"))
        return value if abs(value) < _BIG else np.nan
    if cell.lower().lstrip("+-") in _UNDEFINED or cell in _UNDEFINED:
        return np.nan
    raise ValueError


def _degrees(cell, hours):
    """Return the degrees of a sexagesimal cell, NaN for undefined; ValueError where it is neither."""
    found = _SEXAGESIMAL.fullmatch(cell.strip())
    if not found:
        if _NUMBER.fullmatch(cell.strip()):
            raise ValueError
        return _number(cell)
    sign, whole, mark, minutes, seconds = found.groups()
    whole, minutes, seconds = int(whole), int(minutes), float(seconds)
    in_hours = mark == "h" or (hours and mark != "d")
    if minutes > 59 or seconds > 60 or whole > (24 if in_hours else 360) or (mark == "h" and not hours):
        raise ValueError
    value = (whole + minutes / 60 + seconds / 3600) * (15 if in_hours else 1)
    return -value if sign == "-" else value


def exposure_time(fluxunits, exptime):
    """Return what turns fluxes into counts."""
    if fluxunits != "cps" or exptime is None:
        return 1.0
    if not 0 < exptime < np.inf:
        raise InputError(f"fluxunits = cps needs an exposure time, and EXPTIME is {exptime}")
    return float(exptime)
