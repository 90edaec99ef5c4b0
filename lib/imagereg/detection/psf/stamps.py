"""Boxes of pixels around the sources of a chip, which are kept when its pixels are dropped."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Stamps:
    """Small boxes of pixels around the sources of a catalog.

    Parameters
    ----------
    pixels : (N, s, s) ndarray
        Counts.
    good : (N, s, s) ndarray of bool
        Whether a pixel can be used.
    centre : (N, 2) ndarray of int
        FITS x and y of the central pixel.
    level, noise : (N,) ndarray
        Mean and scatter of the sky, counts.
    gain : (N,) ndarray
        Electrons per count.
    """

    pixels: np.ndarray
    good: np.ndarray
    centre: np.ndarray
    level: np.ndarray
    noise: np.ndarray
    gain: np.ndarray

    @classmethod
    def cut(
        cls,
        image: np.ndarray,
        xy: np.ndarray,
        *,
        half: int,
        level: float | np.ndarray,
        noise: float | np.ndarray,
        gain: float = 1.0,
        bad: np.ndarray | None = None,
    ) -> Stamps:
        """Cut boxes of 2 `half` + 1 pixels around `xy` (N, 2), FITS pixels.

        Pixels beyond the edge of the image are not good. `level` and `noise` of the sky are one
        for all, or (N,).
        """
        centre = np.rint(xy).astype(int)
        offset = np.arange(-half, half + 1)
        y = centre[:, 1, None, None] - 1 + offset[:, None]
        x = centre[:, 0, None, None] - 1 + offset
        ny, nx = image.shape
        inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
        y = np.clip(y, 0, ny - 1)
        x = np.clip(x, 0, nx - 1)
        pixels = image[y, x].astype(np.result_type(image.dtype, np.float32).newbyteorder("="))
        good = inside & np.isfinite(pixels)
        if bad is not None:
            good &= ~bad[y, x]
        columns = (np.full(len(centre), value, float) for value in (level, noise, gain))
        pixels[~good] = 0
        return cls(pixels, good, centre, *columns)

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.pixels)

    def __getitem__(self, rows: np.ndarray | slice) -> Stamps:
        """Return the boxes picked by a mask, an index array or a slice."""
        return Stamps(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    @property
    def half(self) -> int:
        """Half width of a box: it has 2 `half` + 1 rows and columns."""
        return self.pixels.shape[1] // 2

    @property
    def n_good(self) -> np.ndarray:
        """Number of good pixels of each box, (N,)."""
        return self.good.sum(axis=(1, 2))

    @property
    def have_gain(self) -> bool:
        """Whether the electrons per count are known."""
        return bool(np.isfinite(self.gain).all())

    def with_gain(self, gain: float) -> Stamps:
        """Return the same boxes with a gain, electrons per count."""
        return dataclasses.replace(self, gain=np.full(len(self), gain))

    def brightest(self, number: int) -> np.ndarray:
        """Return the rows of so many boxes good throughout that hold most light, that first."""
        clean = np.flatnonzero(self.good.all(axis=(1, 2)))
        n_pixels = np.prod(self.pixels.shape[1:])
        light = (self.pixels.sum(axis=(1, 2)) - n_pixels * self.level)[clean]
        return clean[np.argsort(-light, kind="stable")[:number]]

    def cropped(self, half: int) -> Stamps:
        """Return the inner boxes of half width `half`, or of what there is."""
        cut = max(self.half - half, 0)
        inner = slice(cut, self.pixels.shape[1] - cut)
        return dataclasses.replace(
            self, pixels=self.pixels[:, inner, inner], good=self.good[:, inner, inner]
        )

    @classmethod
    def concat(cls, parts: Iterable[Stamps]) -> Stamps:
        """Return the boxes of all `parts`, which have one size."""
        parts = list(parts)
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
