"""Source catalogs: tables of sources whose columns have one length and cannot be changed."""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Iterable

import numpy as np

#: A column of a catalog: array_like when it is given, a read-only ndarray when it is read.
Column: typing.TypeAlias = typing.Any


class Flag(enum.IntFlag):
    """Defects of a source, as in `SourceCatalog.flags`."""

    BAD_PIXEL = 1  # a rejected pixel lies within the footprint of the source
    POOR_FIT = 2  # the point-spread function does not fit: a cosmic ray, a galaxy, a blend
    ASTRAY = 4  # the marginal fit left its box; the position is a rough first moment
    EDGE = 8  # the footprint of the source reaches beyond the image
    UNRELIABLE = POOR_FIT | ASTRAY | EDGE  # the position may be off by more than its error


# `SourceCatalog.best` divides a chip into about this many cells. Some ten sources a cell are left
# where several hundred are kept, so the brightest corner of a cluster cannot take the whole list.
_CELLS = 64


class ColumnTable:
    """Base of the catalogs: columns of one length, read-only, checked when the catalog is made.

    `layout` maps the name of each column to its shape beyond the first axis, its type, and the
    value of all rows where the column is not given; the first column gives the number of rows.
    `ident` counts from 1 where it is not given.
    """

    layout: typing.ClassVar[dict[str, tuple[tuple[int, ...], type, typing.Any]]]
    flux: Column
    origin: Column

    def __post_init__(self) -> None:
        """Give every column its type and length, and make it read-only."""
        n = len(np.reshape(getattr(self, next(iter(self.layout))), (-1, 2)))
        for name, (trailing, dtype, default) in self.layout.items():
            value = getattr(self, name)
            if value is None:
                value = np.arange(1, n + 1) if name == "ident" else default
            column: np.ndarray = np.array(value, dtype=dtype)
            if column.ndim == 0:
                column = np.full((n, *trailing), column)
            elif column.size == 0 and n == 0:
                column = column.reshape((0, *trailing))
            if column.shape != (n, *trailing):
                expected = (n, *trailing)
                raise ValueError(f"column {name!r} has shape {column.shape}, expected {expected}")
            column.flags.writeable = False
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.flux)

    def __getitem__(self, rows) -> typing.Self:
        """Return the rows picked by a mask, a slice, an index or an array of indices."""
        if np.ndim(rows) == 0 and not isinstance(rows, slice):
            rows = [rows]
        return self.replace(**{name: getattr(self, name)[rows] for name in self.layout})

    def replace(self, **columns) -> typing.Self:
        """Return a new catalog with the given columns in place of the present ones."""
        return dataclasses.replace(self, **columns)  # type: ignore[type-var]

    def brightest(self, n: int | None) -> typing.Self:
        """Return the `n` sources of largest flux (all, for None), in their present order.

        A source without a flux counts as the faintest.
        """
        if n is None or n >= len(self):
            return self
        order = np.argsort(-np.nan_to_num(self.flux, nan=-np.inf), kind="stable")
        return self[np.sort(order[:max(n, 0)])]


@dataclasses.dataclass(frozen=True, eq=False)
class SourceCatalog(ColumnTable):
    """Sources of one image or of a reference.

    Parameters
    ----------
    xy : (N, 2) array_like
        Positions in FITS pixels of the chip (the first pixel's centre is 1, 1).
    xy_error : (N, 2) array_like, optional
        One-sigma errors of `xy`, pixels.
    flux, flux_error : (N,) array_like, optional
        Counts, in the units of the image.
    ident : (N,) array_like of int, optional
        Number of the source in its list; 1, 2, ... where not given.
    chip : (N,) array_like of int or int, optional
        EXTVER of the chip.
    sharp, round1, round2 : (N,) array_like, optional
        DAOFIND sharpness, SROUND and GROUND (Stetson 1987, PASP 99, 191; IRAF daofind).
    flags : (N,) array_like of int, optional
        `Flag`; 0 for a source without defects.
    sky : (N, 2) array_like, optional
        Right ascension and declination, degrees.
    sky_error : (N, 2) array_like, optional
        One-sigma errors of `sky` towards east and north, arcsec.
    origin : (N,) array_like of str or str, optional
        Name of the image or catalog that the source comes from.

    Raises
    ------
    ValueError
        Columns of different lengths or shapes.
    """

    xy: Column
    xy_error: Column = None
    flux: Column = None
    flux_error: Column = None
    ident: Column = None
    chip: Column = None
    sharp: Column = None
    round1: Column = None
    round2: Column = None
    flags: Column = None
    sky: Column = None
    sky_error: Column = None
    origin: Column = None

    layout = {
        "xy": ((2,), np.float64, None),
        "xy_error": ((2,), np.float64, np.nan),
        "flux": ((), np.float64, np.nan),
        "flux_error": ((), np.float64, np.nan),
        "ident": ((), np.int64, None),
        "chip": ((), np.int64, 1),
        "sharp": ((), np.float64, np.nan),
        "round1": ((), np.float64, np.nan),
        "round2": ((), np.float64, np.nan),
        "flags": ((), np.int64, 0),
        "sky": ((2,), np.float64, np.nan),
        "sky_error": ((2,), np.float64, np.nan),
        "origin": ((), np.str_, ""),
    }

    def best(self, n: int | None, shape: tuple[int, int]) -> SourceCatalog:
        """Return the `n` best sources of one chip (all, for None), spread over it.

        The chip is divided into cells, which take turns to give their best remaining source.
        `Flag.UNRELIABLE` sources come after all others; of two sources the better one has the
        higher signal to noise, or more flux where the noise is not known. The order of the sources
        is kept.

        Parameters
        ----------
        n : int or None
            How many to keep.
        shape : (int, int)
            Rows and columns of the chip.
        """
        if n is None or n >= len(self):
            return self
        noise = np.where(self.flux_error > 0, self.flux_error, 1.0)
        merit = np.nan_to_num(self.flux / noise, nan=-np.inf)
        poor = (self.flags & Flag.UNRELIABLE) > 0
        size = np.array(shape[::-1])
        n_cells = np.maximum(np.rint(size * np.sqrt(_CELLS / size.prod())), 1).astype(int)
        column, row = np.clip((self.xy - 0.5) / size * n_cells, 0, n_cells - 1).astype(int).T
        # The reliable sources of a cell are one group, its unreliable ones another.
        group = (poor * n_cells[1] + row) * n_cells[0] + column
        by_group = np.lexsort((-merit, group))
        _, counts = np.unique(group, return_counts=True)
        group_start = np.repeat(np.cumsum(counts) - counts, counts)
        turn = np.empty(len(self), int)  # 0 for the best source of a group, 1 for the next, ...
        turn[by_group] = np.arange(len(self)) - group_start
        best_first = np.lexsort((-merit, turn, poor))
        return self[np.sort(best_first[:n])]

    @classmethod
    def concat(cls, catalogs: Iterable[SourceCatalog]) -> SourceCatalog:
        """Return one catalog with the sources of all `catalogs`, renumbered 1 to N."""
        catalogs = list(catalogs)
        if not catalogs:
            return cls.empty()
        columns = {}
        for name in cls.layout:
            if name != "ident":
                columns[name] = np.concatenate([getattr(catalog, name) for catalog in catalogs])
        return cls(**columns)

    @classmethod
    def empty(cls) -> SourceCatalog:
        """Return a catalog of no sources."""
        return cls(xy=np.empty((0, 2)))
