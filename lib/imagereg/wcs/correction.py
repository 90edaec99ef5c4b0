"""What an alignment says about the WCS of an exposure."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Pixels of the plane: positions closer than this are the same. A corrected WCS may deviate from its fit by half of it.
SAME_POSITION = 2e-3


class Status(enum.Enum):
    """What became of an exposure."""

    REFERENCE = "reference"
    ALIGNED = "aligned"
    UNCHANGED = "unchanged"
    FAILED = "failed"


_KEEPS_WCS = (Status.REFERENCE.value, Status.UNCHANGED.value)


@dataclasses.dataclass(frozen=True)
class Solution:
    """What is known of the alignment of one exposure; as a function, its map from image to reference plane.

    Parameters
    ----------
    status : str
        Value of a `Status`.
    reason : str
        Why it is so, one sentence; empty for a success that needs no word.
    reference : str
        Name of what the exposure was aligned with.
    geometry : str
        Geometry of the fit.
    xx, xy, yx, yy : float
        Matrix of the map; NaN where there is none, as in all numbers of the map.
    x_shift, y_shift : float
        Shift of the map, pixels of the plane.
    x_centre, y_centre : float
        Position about which the matrix rotates and scales, pixels of the plane.
    ra_rms, dec_rms : float
        Scatter of the matches in right ascension and declination, arcsec on the sky.
    nmatches : int
        Number of sources the fit is based on.
    chance : float
        Probability that unrelated sources match as well; NaN where it is not known.
    """

    status: str = Status.ALIGNED.value
    reason: str = ""
    reference: str = ""
    geometry: str = ""
    xx: float = np.nan
    xy: float = np.nan
    yx: float = np.nan
    yy: float = np.nan
    x_shift: float = np.nan
    y_shift: float = np.nan
    x_centre: float = np.nan
    y_centre: float = np.nan
    ra_rms: float = 0.0
    dec_rms: float = 0.0
    nmatches: int = 0
    chance: float = np.nan

    @classmethod
    def mapping(cls, matrix: ArrayLike, shift: ArrayLike, centre: ArrayLike, **facts: Any) -> Solution:
        """Return the solution ``centre + matrix @ (xy - centre) + shift``; `facts` are its other fields."""
        names = ("xx", "xy", "yx", "yy", "x_shift", "y_shift", "x_centre", "y_centre")
        numbers = [*np.ravel(matrix), *np.ravel(shift), *np.ravel(centre)]
        return cls(**dict(zip(names, map(float, numbers), strict=True)), **facts)

    def __call__(self, image_xy: ArrayLike) -> np.ndarray:
        """Transform (N, 2) image-plane positions to the reference plane."""
        centre = np.array([self.x_centre, self.y_centre])
        matrix = np.array([[self.xx, self.xy], [self.yx, self.yy]])
        return centre + (np.asarray(image_xy) - centre) @ matrix.T + (self.x_shift, self.y_shift)

    @property
    def is_applied(self) -> bool:
        """Whether there is something to write into a header."""
        return self.status == Status.ALIGNED.value or self.stays

    @property
    def stays(self) -> bool:
        """Whether the WCS stays: that of the reference, and one that a new one would not improve."""
        return self.status in _KEEPS_WCS

    def leads(self, before: np.ndarray, now: np.ndarray) -> bool:
        """Whether positions (N, 2) on the plane have moved as the map says, and by more than nothing."""
        moved = np.abs(now - before).max() > SAME_POSITION
        return bool(moved and np.abs(self(before) - now).max() < SAME_POSITION)
