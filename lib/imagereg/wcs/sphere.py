"""Geometry on the sky: unit vectors, mean directions, and small offsets towards east and north."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def unit_vectors(sky: ArrayLike) -> np.ndarray:
    """Return unit vectors (..., 3) of right ascension and declination (..., 2), degrees."""
    ra, dec = np.moveaxis(np.deg2rad(sky), -1, 0)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def directions(vectors: ArrayLike) -> np.ndarray:
    """Right ascension and declination (..., 2), degrees, of vectors (..., 3) of any length."""
    x, y, z = np.moveaxis(np.asarray(vectors), -1, 0)
    ra = np.arctan2(y, x) % (2 * np.pi)
    dec = np.arctan2(z, np.hypot(x, y))
    return np.rad2deg(np.stack([ra, dec], axis=-1))


def mean_direction(sky: ArrayLike) -> np.ndarray:
    """Right ascension and declination (2,) of the mean of sky positions (N, 2), all in degrees."""
    components = np.ascontiguousarray(unit_vectors(sky).T)
    return directions(components.mean(axis=1))


def sky_offsets(sky: ArrayLike, origin: ArrayLike) -> np.ndarray:
    """Offsets (N, 2) of sky positions towards east and north of others nearby, degrees.

    Parameters
    ----------
    sky, origin : (N, 2) array_like
        Right ascension and declination, degrees. The offset in right ascension is scaled by the
        cosine of the declination of `sky`, which is good for separations far below a degree.
    """
    sky = np.asarray(sky)
    ra, dec = (sky - origin).T
    east = (ra + 180) % 360 - 180
    return np.column_stack([east * np.cos(np.deg2rad(sky[:, 1])), dec])
