"""Find the trails of satellites, and full bleeding columns, in the list of sources of a chip.

A finder of point sources sees a trail as sources close behind each other on a straight line, from
one edge of the chip to another. They are sought as straight lines are in a Hough transform (Duda &
Hart 1972, CACM 15, 11): by the number of sources in strips of all directions.
"""

from __future__ import annotations

import numpy as np

# Length of a stretch and width of a strip, in FWHM of the kernel: on a ridge the finder sees local
# maxima about one FWHM apart, so hardly a stretch of three is without one.
_STRETCH = 3.0
_WIDTH = 4.0
# Part of the stretches with a source. A trail has 0.9 and more in simulated exposures of ACS, its
# surroundings 0.1 to 0.2 with 5,000 cosmic rays a chip.
_LEAST_OCCUPIED = 0.75
_MOST_AROUND = 0.5  # in the strips beside it: more, and the field is crowded
_MOST_SOURCES = 10_000  # that vote for lines; bounds the time to 0.1 s a chip
_MOST_TRAILS = 8  # of a chip


def on_trails(xy: np.ndarray, shape: tuple[int, int], conv_width: float) -> np.ndarray:
    """Tell which sources of a chip lie on trails that cross it.

    Parameters
    ----------
    xy : (N, 2) ndarray
        Positions, FITS pixels.
    shape : (int, int)
        Rows and columns of the chip.
    conv_width : float
        FWHM of the kernel that found them, pixels.

    Returns
    -------
    (N,) ndarray of bool
        True for the sources of a trail.
    """
    on_trail = np.zeros(len(xy), bool)
    for _ in range(_MOST_TRAILS):
        rest = np.flatnonzero(~on_trail)
        members = _trail(xy[rest], shape, conv_width)
        if not members.any():
            break
        on_trail[rest[members]] = True
    return on_trail


def _trail(xy, shape, conv_width):
    """Return which sources lie on the strip with the most sources; none if that is no trail."""
    ny, nx = shape
    if len(xy) < _LEAST_OCCUPIED * min(ny, nx) / (_STRETCH * conv_width):
        return np.zeros(len(xy), bool)
    width = _WIDTH * conv_width
    voters = xy[:: len(xy) // _MOST_SOURCES + 1]
    flat = _fullest_strip(voters, nx, width)
    steep = _fullest_strip(voters[:, ::-1], ny, width)
    if flat[0] >= steep[0]:
        return _members(xy, flat, (nx, ny), conv_width)
    return _members(xy[:, ::-1], steep, (ny, nx), conv_width)


def _members(xy, strip, size, conv_width):
    """Return which sources lie on a strip along x; none if it is not a ridge on plain ground."""
    _, slope, intercept = strip
    x, y = xy.T
    width = _WIDTH * conv_width
    length = _STRETCH * conv_width
    line = intercept + slope * np.arange(size[0])
    on_chip = np.flatnonzero((line > 0) & (line < size[1]))
    stretches = len(np.unique(on_chip // length))
    stretch = x // length
    distance = y - (intercept + slope * x)

    def occupied(offset):
        """Part of the stretches with a source in the strip that is so far beside the line."""
        inside = np.abs(distance - offset) <= width / 2
        return len(np.unique(stretch[inside])) / stretches

    is_long = len(on_chip) >= min(size) / 2
    is_ridge = is_long and occupied(0) >= _LEAST_OCCUPIED
    if not is_ridge or max(occupied(-3 * width), occupied(3 * width)) > _MOST_AROUND:
        return np.zeros(len(xy), bool)
    return np.abs(distance) <= width


def _fullest_strip(xy, length, width):
    """Return count, slope and intercept of the strip y = intercept + slope x with most sources.

    Slopes are -1 to 1, so close that no source at the ends is off by more than half a strip.
    """
    x, y = xy.T
    best = (0, 0.0, 0.0)
    for slope in np.linspace(-1, 1, 2 * int(np.ceil(length / width)) + 1):
        strip = ((y - slope * x + length) / (width / 2)).astype(int)
        half = np.bincount(strip, minlength=2)
        count = half[:-1] + half[1:]
        fullest = int(count.argmax())
        if count[fullest] > best[0]:
            best = (int(count[fullest]), float(slope), (fullest + 1) * width / 2 - length)
    return best
