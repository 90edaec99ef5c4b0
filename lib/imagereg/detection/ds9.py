"""Read region files, in DS9's form or as free lines ``x y radius``.

The DS9 reader of the package `regions`, whose shapes `exclusions` draws, can't take the place of
this one: it passes over what it does not know (``rotbox``, ``physical``, three
numbers, an unclosed bracket) where the user should be told the line, and a circle on the sky takes
it 1.6 ms (version 0.12), which is 16 s for the 10,000 of tests/bench/region_speed.py.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from imagereg.errors import InputError
from imagereg.wcs import directions, plane, unit_vectors

PIXEL_SYSTEMS = ("image", "physical")

_log = logging.getLogger(__name__)

_SYSTEMS = {
    "image": "image", "pixel": "image", "pixels": "image", "logical": "image",
    "physical": "physical", "fk4": "fk4", "b1950": "fk4", "fk5": "fk5", "j2000": "fk5",
    "icrs": "icrs", "sky": "icrs", "galactic": "galactic", "ecliptic": "ecliptic",
}


class _Form(NamedTuple):
    """How a shape is written: its text, and how many values it has."""

    text: str
    least: int
    most: float
    step: int

    def allows(self, count: int) -> bool:
        return self.least <= count <= self.most and (count - self.least) % self.step == 0


_FORMS = {
    "circle": _Form("circle(x,y,radius)", 3, 3, 1),
    "ellipse": _Form("ellipse(x,y,a,b[,a,b...],angle)", 5, np.inf, 2),
    "box": _Form("box(x,y,width,height[,width,height...],angle)", 5, np.inf, 2),
    "annulus": _Form("annulus(x,y,radius,radius[,radius...])", 4, np.inf, 1),
    "polygon": _Form("polygon(x,y,x,y,x,y[,x,y...])", 6, np.inf, 2),
    "rectangle": _Form("rectangle(x,y,x,y)", 4, 4, 1),
    "panda": _Form("panda(x,y,start,stop,n,radius,radius,n)", 8, 8, 1),
    "epanda": _Form("epanda(x,y,start,stop,n,a,b,a,b,n[,angle])", 10, 11, 1),
    "bpanda": _Form("bpanda(x,y,start,stop,n,width,height,width,height,n[,angle])", 10, 11, 1),
    "pie": _Form("pie(x,y,radius,radius,start,stop) or pie(x,y,start,stop)", 4, 6, 2),
    "sector": _Form("sector(x,y,start,stop)", 4, 4, 1),
}
_ALIASES = {"rotbox": "box", "cpanda": "panda"}
_RINGS = {"panda": "annulus", "epanda": "ellipse", "bpanda": "box"}  # of which they are a part
_WITH_ANGLE = ("ellipse", "box")
_WITHOUT_AREA = (
    "point", "line", "text", "vector", "ruler", "compass", "projection", "segment",
)
_EXPECTED = f"x y radius, a coordinate system, or one of {', '.join(_FORMS)}"
# Whether a sign excludes; None is no sign. Bars join the members of a composite region.
_SIGNS = {"": None, "||": None, "|": None, "+": False, "-": True, "!": True, "&-": True, "&!": True}

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?"
_SECONDS = r"[0-5]?\d(?:\.\d*)?"
_POSITION = re.compile(
    rf"(?P<number>{_NUMBER})(?P<unit>[drip]?)"
    rf"|(?P<sign>[-+]?)(?:(?P<whole>\d+):(?P<minutes>[0-5]?\d):(?P<seconds>{_SECONDS})"
    rf"|(?P<WHOLE>\d+)(?P<letter>[hd])(?P<MINUTES>[0-5]?\d)m(?P<SECONDS>{_SECONDS})s)",
    re.I,
)
_SIZE = re.compile(rf"(?P<number>{_NUMBER})(?P<unit>''|[\"'drip]?)", re.I)
_ANGLE = re.compile(rf"(?P<number>{_NUMBER})(?P<unit>[dr]?)", re.I)
_DEGREES = {'"': 1 / 3600, "''": 1 / 3600, "'": 1 / 60, "d": 1.0, "r": float(np.rad2deg(1.0))}
_STATEMENT = re.compile(
    r"(?P<sign>[-+!&|\s]*)(?P<name>[a-z]\w*)(?:\s*\((?P<inner>[^()]*)\)|(?P<bare>[\s,][^()]*)?)",
    re.I,
)
_BARE_NUMBERS = re.compile(r"[-+]?\.?\d")
_GLOBAL = re.compile(r"\s*(?:global\b|\w+\s*=)", re.I)
_INCLUDE = re.compile(r"\binclude\s*=\s*([01])")
_CIAO = re.compile(r"#\s*region file format:\s*ciao", re.I)
_COORDSYS = re.compile(r"\bcoordsys\s+(\w+)", re.I)
# A statement behind the ``;`` that ends a comment: CIAO writes several regions on a line.
_AFTER_COMMENT = re.compile(
    rf"\s*(?:(?:{'|'.join(_SYSTEMS)})\s*(?:#|$)|[-+!]?\s*(?:{'|'.join(_FORMS)})\s*\()", re.I
)
_COMMENTED_SHAPE = re.compile(rf"\s*#\s*[-+]?(?P<name>{'|'.join(_WITHOUT_AREA)})\s*\(", re.I)
_QUOTED = re.compile(r"\{[^}]*\}?|\"[^\"]*\"?|'[^']*'?")

# Bounds that no sensible file reaches; they keep a damaged one from taking all time and memory.
_LONGEST_WORD = 40
_LARGEST_NUMBER = 1e9
_MOST_REGIONS = 200_000
LARGEST_ANGLE = 10.0  # degrees from the centre: far beyond any chip, near enough for a flat plane
_LARGEST_SIZE = 90.0  # degrees, of what has its unit beside it: all that a plane can show


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Region:
    """A region of a file: a shape in the plane about its centre.

    Parameters
    ----------
    line : int
        Line of the file.
    excluded : bool
        Whether the region excludes its pixels, or brings them back.
    system : str
        Coordinate system of the centre: image, physical, fk4, fk5, icrs, galactic, or ecliptic.
    centre : (float, float)
        FITS pixels or degrees.
    angular : bool
        Whether the plane lies on the sky, in degrees west and north along great circles from the
        centre; else it is that of the pixels.
    shape : {'circle', 'annulus', 'ellipse', 'box', 'polygon'}
        Kind of shape.
    sizes : tuple of float
        As the file has them, in units of the plane; of a ring the inner ones come first.
    angle : float
        Degrees, counter-clockwise from x.
    wedge : (float, float) or None
        Where the shape begins and ends, degrees counter-clockwise from the x axis that is turned
        by `angle`; None where it goes all round.
    corners : (N, 2) ndarray or None
        Corners of a polygon, from the centre.
    """

    line: int
    excluded: bool
    system: str
    centre: tuple[float, float]
    angular: bool
    shape: str
    sizes: tuple[float, ...] = ()
    angle: float = 0.0
    wedge: tuple[float, float] | None = None
    corners: np.ndarray | None = None

    @property
    def reach(self) -> float:
        """Largest distance of a point of the shape from the centre, in units of the plane."""
        if self.corners is not None:
            return float(np.hypot(*self.corners.T).max())
        if self.shape == "box":
            width, height = self.sizes[-2:]
            return float(np.hypot(width, height)) / 2
        return max(self.sizes)


class RegionReader:
    """Read the lines of a region file one after the other.

    Parameters
    ----------
    where : str
        Name of the file, for errors.
    plain_excludes : bool
        Whether a region without a sign is an area to ignore.

    Attributes
    ----------
    regions : list of Region
        The regions read so far.
    """

    def __init__(self, where: str, *, plain_excludes: bool):
        self.where = where
        self.regions: list[Region] = []
        self._plain_excludes = plain_excludes
        self._has_signs = plain_excludes
        self._lines_without_area: list[int] = []
        # What one line says of these holds for the lines that follow.
        self._system: str | None = None
        self._pixels = "image"  # the system of pixels where none is named
        self._included = True
        self._number = 0
        self._text = ""

    @property
    def searches_only(self) -> bool:
        """Whether only the inside of the regions is searched for sources."""
        if self._plain_excludes:
            return False
        return any(not region.excluded for region in self.regions)

    def log_notices(self) -> None:
        """Log what the user may not expect."""
        lines = self._lines_without_area
        if lines:
            listed = ", ".join(map(str, lines[:10])) + (", ..." if len(lines) > 10 else "")
            _log.info(
                "%s: %d without area exclude nothing (line %s)", self.where, len(lines), listed
            )
        if self.searches_only and not self._has_signs:
            _log.warning(
                "%s: only its regions are searched for sources; one with - before it is ignored",
                self.where,
            )

    def read_line(self, number: int, line: str) -> None:
        """Read a line; an `InputError` says what is expected in place of what can't be read."""
        self._number = number
        self._text = line.strip()
        if _GLOBAL.match(line):
            self._read_global(line)
        elif commented := _COMMENTED_SHAPE.match(line):
            self._text = commented["name"]
            self._lines_without_area.append(number)
        elif _CIAO.match(self._text):
            self._pixels = "physical"
        elif self._text and not self._text.startswith("#"):
            for statement, properties in _statements(line):
                self._read_statement(statement, properties)

    def _error(self, expected: str) -> InputError:
        text = self._text if len(self._text) < 100 else self._text[:97] + "..."
        return InputError(f"{self.where}, line {self._number}: {text!r}, expected {expected}")

    def _read_global(self, line: str) -> None:
        if found := _INCLUDE.search(_QUOTED.sub("", line)):
            self._included = found[1] == "1"
        if found := _COORDSYS.search(line):
            self._read_system(found[1])

    def _read_system(self, word: str) -> None:
        if word.lower() not in _SYSTEMS:
            raise self._error(f"one of the coordinate systems {', '.join(_SYSTEMS)}")
        self._system = _SYSTEMS[word.lower()]

    def _read_statement(self, statement: str, properties: str) -> None:
        if _BARE_NUMBERS.match(statement):
            self._read_free_circle(_words(statement))
            return
        match = _STATEMENT.fullmatch(statement.removesuffix("||").strip())
        sign = re.sub(r"\s", "", match["sign"]) if match else None
        if not match or sign not in _SIGNS:
            raise self._error(_EXPECTED)
        name = match["name"].lower()
        values = match["inner"]
        if values is None:
            values = (match["bare"] or "").strip()
            if not values:
                self._read_system(name)
                return
        if name in _WITHOUT_AREA:
            self._lines_without_area.append(self._number)
        elif name != "composite":
            excluded = self._is_excluded(_SIGNS[sign], properties)
            self._read_shape(_ALIASES.get(name, name), _words(values), excluded)

    def _is_excluded(self, signed: bool | None, properties: str) -> bool:
        if found := _INCLUDE.search(properties):
            signed = found[1] == "0"
        if signed is None:
            return self._plain_excludes or not self._included
        self._has_signs = True
        return signed

    def _read_free_circle(self, words: list[str]) -> None:
        """Read ``x y radius``, on the sky with the radius in arcsec: always an area to ignore."""
        if len(words) != 3:
            raise self._error(_EXPECTED)
        system, centre = self._positions(words[:2])
        radius, angular = self._size(words[2], system, unit='"')
        self._add("circle", system, centre, angular=angular, sizes=(radius,), excluded=True)

    def _read_shape(self, name: str, words: list[str], excluded: bool) -> None:
        """Read a shape of DS9's form, from its name and its values."""
        if name not in _FORMS:
            raise self._error(_EXPECTED)
        form = _FORMS[name]
        if name in _WITH_ANGLE and len(words) == 4:
            words = [*words, "0"]
        if not form.allows(len(words)):
            raise self._error(form.text)
        if name == "rectangle":  # two opposite corners
            words = [words[k] for k in (0, 1, 2, 1, 2, 3, 0, 3)]
        if name in ("rectangle", "polygon"):
            self._read_polygon(words, excluded)
        elif name in _RINGS:
            self._read_panda(name, words, excluded)
        elif name in ("pie", "sector"):
            self._read_pie(words, excluded)
        else:
            self._read_sized_shape(name, words, form.text, excluded)

    def _read_polygon(self, words: list[str], excluded: bool) -> None:
        system, values = self._positions(words)
        corners = np.reshape(values, (-1, 2))
        angular = system not in PIXEL_SYSTEMS
        if angular:
            centre = directions(unit_vectors(corners).mean(axis=0))
            steps = plane.great_circle_offsets(centre, unit_vectors(corners))
        else:
            centre = (corners.min(axis=0) + corners.max(axis=0)) / 2
            steps = corners - centre
        if angular and np.hypot(*steps.T).max() > LARGEST_ANGLE:
            raise self._error(f"corners within {LARGEST_ANGLE:g} degrees of their middle")
        self._add("polygon", system, tuple(centre.tolist()), angular=angular, corners=steps,
                  excluded=excluded)

    def _read_panda(self, name: str, words: list[str], excluded: bool) -> None:
        """Read a part of a ring, which DS9 divides in n by angle and in n by radius."""
        form = _FORMS[name]
        n_sizes = 2 if name == "panda" else 4
        start, stop, n_angles, *rest = words[2:]
        sizes = rest[:n_sizes]
        n_radii, *angle = rest[n_sizes:]
        if not (n_angles.isdecimal() and n_radii.isdecimal()):
            raise self._error(form.text)
        if name != "panda" and not angle:
            angle = ["0"]
        ring = [*words[:2], *sizes, *angle]
        self._read_sized_shape(_RINGS[name], ring, form.text, excluded, wedge=(start, stop))

    def _read_pie(self, words: list[str], excluded: bool) -> None:
        """Read what lies between two angles, and perhaps between two radii."""
        name = "annulus"
        radii = words[2:-2]
        if not radii:
            name = "circle"
            system, _ = self._positions(words[:2])
            far = f"{_LARGEST_NUMBER:g}" if system in PIXEL_SYSTEMS else f"{_LARGEST_SIZE:g}d"
            radii = [far]
        self._read_sized_shape(name, [*words[:2], *radii], _FORMS["pie"].text, excluded,
                               wedge=words[-2:])

    def _read_sized_shape(self, name: str, words: list[str], form: str, excluded: bool, *,
                          wedge: Iterable[str] = ()) -> None:
        """Read a circle, an ellipse, a box or an annulus; `form` is how the line is to be."""
        system, centre = self._positions(words[:2])
        angle = self._angle(words.pop(), form) if name in _WITH_ANGLE else 0.0
        step = 2 if name in _WITH_ANGLE else 1
        if len(words) > 2 + step and all(map(_is_zero, words[2:2 + step])):
            # A ring without a hole: only its outer border counts.
            words = words[:2] + words[-step:]
            name = "circle" if name == "annulus" else name
        sizes = [self._size(word, system) for word in words[2:]]
        on_sky = system not in PIXEL_SYSTEMS
        if name != "circle" and any(angular != on_sky for _, angular in sizes):
            units = "units of angle" if on_sky else "pixels"
            raise self._error(f"{form} with sizes in {units}")
        values = tuple(value for value, _ in sizes)
        if (np.diff(np.reshape(values, (-1, step)), axis=0) <= 0).any():
            raise self._error(f"{form} with sizes that grow")
        borders = tuple(self._angle(word, form) for word in wedge)
        self._add(name, system, centre, angular=sizes[0][1], sizes=values, angle=angle,
                  wedge=borders or None, excluded=excluded)

    def _angle(self, word: str, form: str) -> float:
        """Return an angle in degrees."""
        match = _ANGLE.fullmatch(word) if len(word) <= _LONGEST_WORD else None
        if not match:
            raise self._error(f"{form} with angles in degrees")
        return self._bounded(float(match["number"])) * _DEGREES[match["unit"].lower() or "d"]

    def _add(self, shape: str, system: str, centre, *, excluded: bool, **more) -> None:
        if len(self.regions) >= _MOST_REGIONS:
            raise InputError(f"{self.where} has more than {_MOST_REGIONS} regions")
        region = Region(
            self._number, excluded=excluded, system=system, centre=centre, shape=shape, **more
        )
        self.regions.append(region)

    def _positions(self, words: list[str]) -> tuple[str, tuple[float, ...]]:
        """Return the coordinate system, and the values (pixels or degrees), of x, y, x, y, ..."""
        matches = []
        for word in words:
            match = _POSITION.fullmatch(word) if len(word) <= _LONGEST_WORD else None
            if not match:
                raise self._error("positions as numbers, degrees, or h:m:s d:m:s")
            matches.append(match)
        units = {":" if match["number"] is None else match["unit"].lower() for match in matches}
        system = self._system or ("fk5" if units & {":", "d", "r"} else self._pixels)
        if units == {"i"}:
            system = "image"
        elif units == {"p"}:
            system = "physical"
        elif units & {"i", "p"} or (system in PIXEL_SYSTEMS and units != {""}):
            raise self._error(f"positions in the system {system}, or one named before them")
        if system in PIXEL_SYSTEMS:
            return system, tuple(self._bounded(float(match["number"])) for match in matches)
        equatorial = system not in ("galactic", "ecliptic")
        values = tuple(
            _degrees(match, in_hours=equatorial and k % 2 == 0) for k, match in enumerate(matches)
        )
        if not (max(map(abs, values[::2])) <= 360 and max(map(abs, values[1::2])) <= 90):
            raise self._error("a longitude of at most 360 and a latitude of at most 90 degrees")
        return system, values

    def _size(self, word: str, system: str, unit: str = "d") -> tuple[float, bool]:
        """Return a size, and whether it is an angle, in degrees.

        `unit` is that of a number without unit in a system on the sky.
        """
        match = _SIZE.fullmatch(word) if len(word) <= _LONGEST_WORD else None
        value = float(match["number"]) if match else 0.0
        if not match or not value > 0:
            raise self._error("sizes above 0, as numbers or with one of the units \" ' d r i p")
        given = match["unit"].lower()
        if given == ("i" if system == "physical" else "p"):
            raise self._error(f"sizes in the system {system}")
        if given in ("i", "p") or (not given and system in PIXEL_SYSTEMS):
            return self._bounded(value), False
        value *= _DEGREES[given or unit]
        if given and value > _LARGEST_SIZE:
            raise self._error(f"a size of at most {_LARGEST_SIZE:g} degrees")
        if not given and value > LARGEST_ANGLE:
            raise self._error(
                f"a size of at most {LARGEST_ANGLE:g} degrees (a unit such as \" may be missing)"
            )
        return value, True

    def _bounded(self, value: float) -> float:
        if not abs(value) <= _LARGEST_NUMBER:
            raise self._error(f"numbers of at most {_LARGEST_NUMBER:g}")
        return value


def is_region_text(text: str) -> bool:
    """Tell a region file from a list of region files.

    The first line that is neither empty nor a comment decides: in a region file it begins with a
    number, a coordinate system, the name of a shape, or ``global``. Where there is no such line,
    the first comment that DS9 or CIAO writes decides.
    """
    for line in text.splitlines():
        first = line.partition("#")[0].partition(";")[0].strip()
        if not first:
            continue
        match = _STATEMENT.fullmatch(first)
        if match:
            known = (*_SYSTEMS, "global", *_FORMS, *_ALIASES, *_WITHOUT_AREA)
            return match["name"].lower() in known
        words = _words(first)
        return len(words) > 2 and bool(_POSITION.fullmatch(words[0]))
    return "region file format" in text[:1000].lower()


def _statements(line: str) -> Iterator[tuple[str, str]]:
    """Yield the statements of a line, each with the properties behind its ``#``."""
    content, _, comment = line.partition("#")
    properties, *more = _QUOTED.sub("", comment).split(";")
    for part in content.split(";"):
        if part.strip():
            yield part.strip(), properties
    for part in itertools.takewhile(_AFTER_COMMENT.match, more):
        content, _, properties = part.partition("#")
        yield content.strip(), properties


def _is_zero(size: str) -> bool:
    match = _SIZE.fullmatch(size) if len(size) <= _LONGEST_WORD else None
    return match is not None and float(match["number"]) == 0


def _words(text: str) -> list[str]:
    return re.split(r"\s*,\s*|\s+", text.strip())


def _degrees(match: re.Match, *, in_hours: bool) -> float:
    """Return a longitude or latitude in degrees; `in_hours` is for h:m:s without a letter."""
    if match["number"] is not None:
        return float(match["number"]) * _DEGREES["r" if match["unit"].lower() == "r" else "d"]
    whole, minutes, seconds = (
        float(match[name] or match[name.upper()]) for name in ("whole", "minutes", "seconds")
    )
    if match["letter"]:
        in_hours = match["letter"].lower() == "h"
    value = whole + minutes / 60 + seconds / 3600
    if in_hours:
        value *= 15
    return -value if match["sign"] == "-" else value
