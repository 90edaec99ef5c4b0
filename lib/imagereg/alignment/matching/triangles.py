"""Triangles of sources, and which of two lists are alike.

A triangle is written as the place of its third vertex in the frame of its longest side, which is
what astrometry.net does with quads (Lang et al. 2010, AJ 139, 1782): it does not depend on offset,
rotation and scale, and a mirror image has the complex conjugate (Groth 1986, AJ 91, 1244; Valdes et
al. 1995, PASP 107, 1119).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np

_AT_ONCE = 4_000  # triangles whose like are looked for in one step
_CELLS_EACH = 8  # a finer table would be slow to make
_BORDER = 2  # cells beside those in use
# Vertices by the longest side, from 0 to 1, 1 to 2 or 2 to 0; and the same from its other end.
_TURNS = np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1], [1, 0, 2], [2, 1, 0], [0, 2, 1]]).T


@dataclasses.dataclass(frozen=True, eq=False)
class Triangles:
    """Triangles by their shapes.

    Parameters
    ----------
    rows : (3, T) ndarray of int
        Vertices, as indices of sources: those of the longest side first, and of these the one
        nearer to the third.
    place : (T,) ndarray of complex
        Of the third vertex, where the first is at 0 and the second at 1.
    size : (T,) ndarray
        The longest side.
    """

    rows: np.ndarray
    place: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray) -> Triangles:
        """Make all triangles of sources (N,) that do not coincide; those of the first lead."""
        rows = _triples(len(z))
        distance = np.abs(z[:, None] - z)
        sides = np.array([distance[rows[i], rows[j]] for i, j in ((0, 1), (1, 2), (2, 0))])
        longest = sides.argmax(axis=0)
        size = _row_of_each(sides, longest)
        at_second = _row_of_each(sides, (longest + 1) % 3)
        at_first = _row_of_each(sides, (longest + 2) % 3)
        in_turn = _TURNS[:, longest + 3 * (at_first > at_second)]
        rows = np.array([_row_of_each(rows, vertex) for vertex in in_turn])[:, size > 0]
        first, second, third = z[rows]
        return cls(rows, (third - first) / (second - first), size[size > 0])

    def __len__(self) -> int:
        """Return the number of triangles."""
        return len(self.size)

    def __getitem__(self, chosen: slice | np.ndarray) -> Triangles:
        """Return some of the triangles."""
        return Triangles(self.rows[:, chosen], self.place[chosen], self.size[chosen])


def _row_of_each(table, row):
    """Return of each column the value in one row."""
    return table.ravel().take(row * table.shape[1] + np.arange(table.shape[1]))


@functools.lru_cache(maxsize=8)  # of the lengths of lists that the search goes through
def _triples(number):
    """Return all choices (3, T) of three among `number` sources, those of bright ones first."""
    rows = np.array(list(itertools.combinations(range(number), 3)), dtype=np.intp).reshape(-1, 3)
    rows = np.ascontiguousarray(rows[np.argsort(rows[:, 2], kind="stable")].T)
    rows.flags.writeable = False
    return rows


def alike(image: Triangles, ref: Triangles, *, slack: float, limit: float,
          most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of triangles that are alike, mirrored or not, as indices into both.

    Parameters
    ----------
    image, ref : Triangles
        What is compared.
    slack : float
        Largest distance of the third vertices, in lengths of the longest side.
    limit : float
        Largest ratio of sizes, either way.
    most : int
        About how many pairs are looked for; those of the first triangles of the image are found.
    """
    cell = max(slack, 1 / np.sqrt(_CELLS_EACH * max(len(ref), 1)))
    row_length = int(1 / cell) + 2 * _BORDER  # places are within 0 to 0.5, 0 to 0.87
    n_cells = (int(0.5 / cell) + 1 + 2 * _BORDER) * row_length
    keys = _keys(ref.place, cell, row_length)
    starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=n_cells))])
    order = np.argsort(keys, kind="stable")
    along, across = _axes(ref.place[order])
    size = ref.size[order]
    parts = [np.empty((2, 0), np.intp)]
    left = most
    for start in range(0, len(image), _AT_ONCE):
        some = image[start:start + _AT_ONCE]
        # Of every triangle the cells beside its own, three in a row of the second axis at a time.
        own = _keys(some.place, cell, row_length) + np.array([[-row_length], [0], [row_length]])
        first = starts[own - 1]
        number = starts[own + 2] - first
        too_many = np.cumsum(number.sum(axis=0)) > max(10 * left, number[:, 0].sum())
        number[:, too_many] = 0  # so that memory is bounded
        number = number.ravel()
        i = np.repeat(np.tile(np.arange(len(some)), 3), number)
        j = np.repeat(first.ravel() - np.cumsum(number) + number, number) + np.arange(len(i))
        some_along, some_across = _axes(some.place)
        distance = (along[j] - some_along[i])**2 + (across[j] - some_across[i])**2
        near = np.flatnonzero(distance <= slack**2)
        i = i[near]
        j = j[near]
        ratio = size[j] / some.size[i]
        in_range = (ratio <= limit) & (ratio >= 1 / limit)
        parts.append(np.array([start + i[in_range], order[j[in_range]]]))
        left -= int(np.count_nonzero(in_range))
        if left <= 0:
            break
    i, j = np.concatenate(parts, axis=1)
    return i, j


def _axes(place):
    """Return the coordinates of places, mirrored or not."""
    return place.real.copy(), np.abs(place.imag)


def _keys(place, cell, row_length):
    """Return the numbers of cells, mirrored or not; they follow each other on the second axis."""
    row, column = np.floor(np.array(_axes(place)) / cell).astype(np.intp) + _BORDER
    return row * row_length + column
