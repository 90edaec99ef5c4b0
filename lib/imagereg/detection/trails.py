"""Find the sources that are pieces of a trail: of a satellite, a bleeding column, a long spike.

A trail is light that goes on between the sources that a finder makes of it; stars that happen to
stand in a row have sky between them. So the evidence is in the pixels. Sources with light on both
sides in one direction propose lines, and a line is a trail where a straight or slightly bent ridge
is brighter than the pixels beside it in nearly every piece of it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.detection.sky import PixelsAboveSky, Sky

# Lengths are in units of the FWHM of the kernel, 3.5 pixels for ACS; brightness is in units of the
# noise of a pixel.
_NEAR, _FAR = 3.0, 8.0  # where light is looked for on both sides: beyond that of a star itself
_SAMPLES = 3  # from near to far, on each side
_DIRECTIONS = 32  # in half a turn: at the far end, the next one is a kernel away
_LIT = 1.5  # mean of the samples of a side; 2.6 times its noise, and on both sides at once
_MOST_LIT = 3.0  # a brighter sample counts as one so bright, lest it stand for three
_MOST_SOURCES = 2000  # that are looked at; bounds the time to 0.03 s a chip
_MOST_WITNESSES = 400  # whose pairs propose lines
_FEWEST_WITNESSES = 5
_AGREEMENT = np.deg2rad(8.0)  # between a line and the direction in which a source has light
_NEARBY = 2.0  # a source this near belongs to a proposed line
_PIECE = 8.0  # length of a piece
_QUANTILE = 0.25  # of a piece: light that goes on has it too; a star, or three in a row, do not
_REACH = 12.0  # to both sides; the outer half is the sky beside the trail
_STRAY = 4.0  # from the line so far, within which the ridge is followed
_ROUNDS = 4  # of following the ridge, each over twice the length
_CONTRAST = 4.0  # of the ridge, in units of the scatter of the sky beside it
_STEADY = 0.2  # of the typical brightness of the ridge: what is fainter is no piece of it
_LEAST_FILLED = 0.8  # part of the pieces that have the ridge
_FEWEST_PIECES = 3  # that a line is drawn through
_LEAST_LENGTH = 50.0  # of a trail: a galaxy seen from its edge is shorter
_FAINTEST = 0.01  # of the brightness: where the trail ends to its sides
# Sources on a trail, relative to those in as much of the chip: a faint trail that makes none of its
# own takes no stars.
_LEAST_EXCESS = 2.0
_MOST_TRAILS = 8  # of a chip


def on_trails(
    image: np.ndarray, xy: np.ndarray, sky: Sky, *, width: float, bad: np.ndarray | None = None
) -> np.ndarray:
    """Tell which sources of a chip are pieces of trails.

    Parameters
    ----------
    image : (ny, nx) ndarray
        Pixels, counts.
    xy : (N, 2) ndarray
        Positions of the sources, FITS pixels.
    sky : Sky
        Level and noise of its sky.
    width : float
        FWHM of the kernel that found them, pixels.
    bad : (ny, nx) ndarray of bool, optional
        Pixels not to be used.

    Returns
    -------
    (N,) ndarray of bool
        True for the pieces of trails.
    """
    is_piece = np.zeros(len(xy), bool)
    if len(xy) < _FEWEST_WITNESSES or not sky.noise > 0:
        return is_piece
    pixels = PixelsAboveSky(image, bad, sky)
    seen = xy[:: len(xy) // _MOST_SOURCES + 1]
    direction = _directions(pixels, seen, width)
    witnesses = np.flatnonzero(np.isfinite(direction))
    for _ in range(_MOST_TRAILS):
        line = _proposed(seen[witnesses], direction[witnesses], width)
        if line is None:
            break
        explained = line.holds(seen[witnesses])
        trail = _followed(pixels, line, width)
        if trail is not None:
            on_trail = trail.holds(xy)
            explained |= trail.holds(seen[witnesses])
            if on_trail.sum() > _LEAST_EXCESS * len(xy) * trail.area / image.size:
                is_piece |= on_trail
        witnesses = witnesses[~explained]
    return is_piece


def _directions(pixels, xy, width):
    """Return the angle from x in which each source has light on both sides; NaN where in none."""
    angle = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    along = np.linspace(_NEAR, _FAR, _SAMPLES) * width
    steps = np.stack([along, -along])[:, None, :, None]
    offset = steps * np.stack([np.cos(angle), np.sin(angle)], axis=-1)[:, None, :]
    x, y = np.moveaxis(xy[:, None, None, None, :] + offset, -1, 0)
    light = np.minimum(pixels.at(x, y), _MOST_LIT).mean(axis=-1).min(axis=1)  # of the darker side
    weight = np.where(light > _LIT, light, 0.0)
    mean = weight @ np.exp(2j * angle)
    return np.where(mean != 0, np.angle(mean) / 2, np.nan)


@dataclasses.dataclass(frozen=True, eq=False)
class _Ridge:
    """A line across a chip, straight or slightly bent.

    Parameters
    ----------
    origin, unit : (2,) ndarray
        A place on it, FITS pixels, and its direction.
    bend : (k,) ndarray
        Coefficients of the polynomial, highest first, that gives its distance to the left of the
        straight line, pixels, `t` pixels along it.
    start, stop : float
        Where it begins and ends, pixels along it.
    half_width : float
        How far it reaches to its sides, pixels.
    """

    origin: np.ndarray
    unit: np.ndarray
    bend: np.ndarray
    start: float
    stop: float
    half_width: float

    @property
    def left(self) -> np.ndarray:
        """The direction to its left."""
        return np.array([-self.unit[1], self.unit[0]])

    @property
    def area(self) -> float:
        """Pixels that it covers."""
        return 2 * self.half_width * (self.stop - self.start)

    def holds(self, xy: np.ndarray) -> np.ndarray:
        """Whether places (N, 2) lie on it."""
        t = (xy - self.origin) @ self.unit
        s = (xy - self.origin) @ self.left - np.polyval(self.bend, t)
        return (t >= self.start) & (t <= self.stop) & (np.abs(s) <= self.half_width)

    def places(self, t: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of what is `t` pixels along it and `s` to its left."""
        s = s + np.polyval(self.bend, t)
        x, y = (self.origin[i] + t * self.unit[i] + s * self.left[i] for i in (0, 1))
        return x, y


def _proposed(xy, direction, width):
    """Return the line that most pairs of sources with light in its direction agree on."""
    step = len(xy) // _MOST_WITNESSES + 1
    xy, direction = xy[::step], direction[::step]
    if len(xy) < _FEWEST_WITNESSES:
        return None
    apart = xy - xy[:, None]
    bearing = np.arctan2(apart[..., 1], apart[..., 0])
    turn = np.abs((bearing - direction[:, None] + np.pi / 2) % np.pi - np.pi / 2)
    agrees = (turn < _AGREEMENT) & (turn.T < _AGREEMENT)
    np.fill_diagonal(agrees, False)
    first = int(agrees.sum(axis=1).argmax())
    partners = np.flatnonzero(agrees[first])
    if len(partners) < _FEWEST_WITNESSES - 1:
        return None
    apart = apart[first, partners]
    unit = apart / np.hypot(*apart.T)[:, None]
    off = np.outer(unit[:, 0], apart[:, 1]) - np.outer(unit[:, 1], apart[:, 0])
    is_near = np.abs(off) <= _NEARBY * width
    best = int(is_near.sum(axis=1).argmax())
    t = apart[is_near[best]] @ unit[best]
    return _Ridge(xy[first], unit[best], np.zeros(1), min(t.min(), 0.0), max(t.max(), 0.0),
                  _NEARBY * width)


def _followed(pixels, line, width):
    """Return the trail along a line, with its bend, its ends and its width; None if it is none."""
    for _ in range(_ROUNDS):
        t, s, profiles = _profiles(pixels, line, width)
        smooth, filled = _filled(profiles, s, _STRAY * width, width)
        inside = (t >= line.start) & (t <= line.stop)
        if filled[inside].sum() < _LEAST_FILLED / 2 * inside.sum():
            return None
        length = line.stop - line.start
        near = filled & (t > line.start - length / 2) & (t < line.stop + length / 2)
        if near.sum() < _FEWEST_PIECES:
            return None
        middle = np.abs(s) <= _STRAY * width
        centre = s[middle][smooth[near][:, middle].argmax(axis=1)]
        bend = _robust_polynomial(t[near], centre + np.polyval(line.bend, t[near]), width)
        line = dataclasses.replace(line, bend=bend, start=t[near].min(), stop=t[near].max())
    t, s, profiles = _profiles(pixels, line, width)
    _, filled = _filled(profiles, s, width, width)
    first, last = _densest(filled)
    piece = _PIECE * width
    line = dataclasses.replace(line, start=t[first] - piece, stop=t[last] + piece)
    if (last + 1 - first) * piece < _LEAST_LENGTH * width:
        return None
    profile = np.median(profiles[first : last + 1][filled[first : last + 1]], axis=0)
    return dataclasses.replace(line, half_width=_half_width(profile, s, width) + width)


def _profiles(pixels, line, width):
    """Return the brightness across a line, piece by piece, above that of its sides.

    Returns
    -------
    t : (P,) ndarray
        Middle of each piece, pixels along the line: all pieces on the chip.
    s : (S,) ndarray
        Distance to the left of the line, pixels.
    profiles : (P, S) ndarray
        Lower quartile along each piece.
    """
    ny, nx = pixels.image.shape
    along = np.arange(round(_PIECE * width)) - (_PIECE * width - 1) / 2
    reach = np.hypot(nx, ny)
    t = np.arange(-reach, reach, _PIECE * width)
    x, y = line.places(t, 0.0)
    t = t[(x > 0.5) & (x < nx + 0.5) & (y > 0.5) & (y < ny + 0.5)]
    s = np.arange(-round(_REACH * width), round(_REACH * width) + 1.0)
    x, y = line.places(t[:, None, None] + along[:, None], s)
    rank = int(_QUANTILE * len(along))
    profiles = np.partition(pixels.at(x, y), rank, axis=1)[:, rank]
    beside = np.abs(s) > _REACH * width / 2
    return t, s, profiles - np.median(profiles[:, beside], axis=1, keepdims=True)


def _filled(profiles, s, stray, width):
    """Return smoothed profiles, and which of them have a ridge within `stray` of the middle."""
    window = np.ones(2 * round(width / 2) + 1)
    window /= len(window)
    smooth = np.apply_along_axis(np.convolve, 1, profiles, window, mode="same")
    beside = np.abs(s) > _REACH * width / 2
    # Of a lower quartile along a piece and a mean across the window.
    least_scatter = 1.36 / np.sqrt(_PIECE * width * len(window))
    scatter = np.maximum(1.48 * np.median(np.abs(smooth[:, beside]), axis=1), least_scatter)
    height = smooth[:, np.abs(s) <= stray].max(axis=1)
    filled = height > _CONTRAST * scatter
    if filled.any():
        filled &= height > _STEADY * np.median(height[filled])
    return smooth, filled


def _robust_polynomial(t, s, width):
    """Return the parabola through most of the points (t, s), those that lie off left out."""
    good = np.ones(len(t), bool)
    for _ in range(_ROUNDS):
        bend = np.polyfit(t[good], s[good], 2 if good.sum() > 6 else 1)
        off = np.abs(s - np.polyval(bend, t))
        good = off <= max(width, 2 * np.median(off))
    return bend


def _densest(filled):
    """Return the first and the last of the longest run of pieces of which most are filled."""
    gain = np.concatenate([[0.0], np.cumsum(filled - _LEAST_FILLED)])
    lowest = np.minimum.accumulate(gain)
    last = int((gain - lowest).argmax())
    first = int(gain[: last + 1].argmin())
    return first, max(last - 1, first)


def _half_width(profile, s, width):
    """Return how far to its sides the light of a trail reaches, pixels."""
    beside = np.abs(s) > _REACH * width / 2
    least = max(_FAINTEST * profile.max(), 3 * np.std(profile[beside]))
    dark = np.abs(s[profile < least])
    return float(dark[dark > width / 2].min(initial=_REACH * width))
