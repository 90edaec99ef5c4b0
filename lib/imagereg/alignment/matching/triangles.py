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
_ROW = 2**24  # cells along the second axis, more than there are
# Vertices by the longest side, from 0 to 1, 1 to 2 or 2 to 0; and the same from its other end.
_TURNS = np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1], [1, 0, 2], [2, 1, 0], [0, 2, 1]])


@dataclasses.dataclass(frozen=True, eq=False)
class Triangles:
    """All triangles of some sources.

    Parameters
    ----------
    z : (N,) ndarray of complex
        Positions of the sources.
    rows : (T, 3) ndarray of int
        Vertices, as indices of sources; triangles of the first sources come first.
    sides : (3, T) ndarray
        From the first vertex to the second, from there to the third, and back.
    size : (T,) ndarray
        The longest side.
    """

    z: np.ndarray
    rows: np.ndarray
    sides: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray) -> Triangles:
        """Make the triangles of sources (N,) that do not coincide."""
        rows = _triples(len(z))
        distance = np.abs(z[:, None] - z)
        sides = np.array([distance[rows[:, i], rows[:, j]] for i, j in ((0, 1), (1, 2), (2, 0))])
        size = sides.max(axis=0)
        is_one = size > 0
        return cls(z, rows[is_one], sides[:, is_one], size[is_one])

    def shapes(self, chosen: np.ndarray) -> Shapes:
        """Return the shapes of some triangles, (T,) bool."""
        sides = self.sides[:, chosen]
        longest = sides.argmax(axis=0)
        to_second = np.take_along_axis(sides, (longest[None] + 1) % 3, axis=0)[0]
        to_first = np.take_along_axis(sides, (longest[None] + 2) % 3, axis=0)[0]
        in_turn = _TURNS[longest + 3 * (to_first > to_second)]
        rows = np.take_along_axis(self.rows[chosen], in_turn, axis=1)
        first, second, third = self.z[rows.T]
        return Shapes(rows, (third - first) / (second - first), self.size[chosen])


@functools.lru_cache(maxsize=8)  # of the lengths of lists that the search goes through
def _triples(number):
    """Return all choices (T, 3) of three among `number` sources, those of bright ones first."""
    rows = np.array(list(itertools.combinations(range(number), 3)), dtype=np.intp).reshape(-1, 3)
    rows = rows[np.argsort(rows[:, 2], kind="stable")]
    rows.flags.writeable = False
    return rows


@dataclasses.dataclass(frozen=True, eq=False)
class Shapes:
    """Triangles by their shapes.

    Parameters
    ----------
    rows : (T, 3) ndarray of int
        Vertices, those of the longest side first; of these the one nearer to the third vertex.
    place : (T,) ndarray of complex
        Of the third vertex, where the first is at 0 and the second at 1.
    size : (T,) ndarray
        The longest side.
    """

    rows: np.ndarray
    place: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        """Return the number of triangles."""
        return len(self.rows)


def alike(image: Shapes, ref: Shapes, *, slack: float, limit: float,
          most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of triangles that are alike, mirrored or not, as indices into both.

    Parameters
    ----------
    image, ref : Shapes
        The triangles.
    slack : float
        Largest distance of the third vertices, in lengths of the longest side.
    limit : float
        Largest ratio of sizes, either way.
    most : int
        About how many pairs are looked for; those of the first triangles of the image are found.
    """
    keys = _keys(ref.place, slack)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    parts = [np.empty((2, 0), np.intp)]
    left = most
    for start in range(0, len(image), _AT_ONCE):
        # Of every triangle the cells beside its own, three in a row of the second axis at a time.
        own = _keys(image.place[start:start + _AT_ONCE], slack)
        sorting = np.argsort(own)  # what is sorted is found several times faster
        own = own[sorting] + np.array([[-_ROW], [0], [_ROW]])
        first = np.empty_like(own)
        number = np.empty_like(own)
        first[:, sorting] = np.searchsorted(keys, own - 1)
        number[:, sorting] = np.searchsorted(keys, own + 1, side="right")
        number -= first
        too_many = np.cumsum(number.sum(axis=0)) > max(10 * left, number[:, 0].sum())
        number[:, too_many] = 0  # so that memory is bounded
        number = number.ravel()
        first = first.ravel()
        i = np.repeat(np.tile(np.arange(start, start + own.shape[1]), 3), number)
        j = order[np.repeat(first - np.cumsum(number) + number, number) + np.arange(number.sum())]
        along = ref.place.real[j] - image.place.real[i]
        across = np.abs(ref.place.imag[j]) - np.abs(image.place.imag[i])
        near = along**2 + across**2 <= slack**2
        i = i[near]
        j = j[near]
        ratio = ref.size[j] / image.size[i]
        in_range = (ratio <= limit) & (ratio >= 1 / limit)
        parts.append(np.array([i[in_range], j[in_range]]))
        left -= int(np.count_nonzero(in_range))
        if left <= 0:
            break
    i, j = np.concatenate(parts, axis=1)
    return i, j


def _keys(place, slack):
    """Return the numbers of cells, mirrored or not; they follow each other on the second axis."""
    cells = np.floor(place.real / slack) * _ROW + np.floor(np.abs(place.imag) / slack)
    return cells.astype(np.int64)
