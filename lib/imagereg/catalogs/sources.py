"""What a list of sources is."""

from __future__ import annotations

import dataclasses
import enum

import numpy as np


class Flag(enum.IntFlag):
    """What `SourceCatalog.flags` says of a source."""

    BAD_PIXEL = 1  # a rejected pixel lies within the footprint of the source
    POOR_FIT = 2  # the point-spread function does not fit it: a cosmic ray, a galaxy, a blend
    ASTRAY = 4  # the marginal fit pointed out of the box; the position is a rough first moment
    EDGE = 8  # the footprint of the source reaches beyond the image
    UNRELIABLE = POOR_FIT | ASTRAY | EDGE  # the position may be off by more than its error


_CELLS = 64  # about as many parts of a chip give their best sources

_COLUMNS = {  # name: (trailing shape, dtype, value where none is given)
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


@dataclasses.dataclass(frozen=True, eq=False)
class SourceCatalog:
    """Sources of one image or of a reference; columns of one length, read-only.

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
        0 for a source without blemish.
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

    xy: np.ndarray
    xy_error: np.ndarray = None
    flux: np.ndarray = None
    flux_error: np.ndarray = None
    ident: np.ndarray = None
    chip: np.ndarray = None
    sharp: np.ndarray = None
    round1: np.ndarray = None
    round2: np.ndarray = None
    flags: np.ndarray = None
    sky: np.ndarray = None
    sky_error: np.ndarray = None
    origin: np.ndarray = None

    def __post_init__(self):
        """Give every column its type and length, and make it read-only."""
        n = len(np.reshape(self.xy, (-1, 2)))
        for name, (trailing, dtype, default) in _COLUMNS.items():
            value = getattr(self, name)
            if value is None:
                value = np.arange(1, n + 1) if name == "ident" else default
            column = np.array(value, dtype=dtype)
            if column.ndim == 0:
                column = np.full((n, *trailing), column)
            elif column.size == 0 and n == 0:
                column = column.reshape((0, *trailing))
            if column.shape != (n, *trailing):
                raise ValueError(f"column {name!r} has shape {column.shape}, expected {(n, *trailing)}")
            column.flags.writeable = False
            object.__setattr__(self, name, column)

    def __len__(self):
        """Return the number of sources."""
        return len(self.xy)

    def __getitem__(self, rows):
        """Return the sources picked by a mask, a slice or an index array."""
        if np.ndim(rows) == 0 and not isinstance(rows, slice):
            rows = [rows]
        return SourceCatalog(**{name: getattr(self, name)[rows] for name in _COLUMNS})

    def replace(self, **columns):
        """Return a new catalog with the given columns in place of the present ones."""
        return dataclasses.replace(self, **columns)

    def brightest(self, n):
        """Return the `n` sources of largest flux (all, for None), in their present order.

        A source without a flux counts as the faintest.
        """
        if n is None or n >= len(self):
            return self
        order = np.argsort(-np.nan_to_num(self.flux, nan=-np.inf), kind="stable")
        return self[np.sort(order[:max(n, 0)])]

    def best(self, n, shape):
        """Return the `n` best sources of one chip (all, for None), spread over it, in their present order.

        The cells of a grid give their best sources by turns, each as long as it has any, so that what one lacks the
        others give. Those that are `Flag.UNRELIABLE` come after all others; of two the better one has more signal
        to noise, or more flux where the noise is not known.

        Parameters
        ----------
        n : int or None
            How many to keep.
        shape : (int, int)
            Rows and columns of the chip.
        """
        if n is None or n >= len(self):
            return self
        merit = -np.nan_to_num(self.flux / np.where(self.flux_error > 0, self.flux_error, 1.0), nan=-np.inf)
        poor = (self.flags & Flag.UNRELIABLE) > 0
        size = np.array(shape[::-1])
        cells = np.maximum(np.rint(size * np.sqrt(_CELLS / size.prod())), 1).astype(int)
        column, row = np.clip((self.xy - 0.5) / size * cells, 0, cells - 1).astype(int).T
        groups = (poor * cells[1] + row) * cells[0] + column
        _, counts = np.unique(groups, return_counts=True)
        turn = np.empty(len(self), int)
        turn[np.lexsort((merit, groups))] = np.arange(len(self)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self[np.sort(np.lexsort((merit, turn, poor))[:n])]

    @classmethod
    def concat(cls, catalogs):
        """Return one catalog with the sources of all `catalogs`, renumbered 1 to N."""
        catalogs = list(catalogs)
        if not catalogs:
            return cls.empty()
        columns = {name: np.concatenate([getattr(c, name) for c in catalogs])
                   for name in _COLUMNS if name != "ident"}
        return cls(**columns)

    @classmethod
    def empty(cls):
        """Return a catalog of no sources."""
        return cls(xy=np.empty((0, 2)))
