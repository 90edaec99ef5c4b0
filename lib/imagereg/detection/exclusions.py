"""Region files: which pixels of a chip they exclude from source finding.

What a file means
-----------------
A region is one line of DS9's form (also as CIAO and funtools write it), or three numbers, ``x y radius``.

- Three numbers are a circle to ignore.
- A region with ``-`` or ``!`` before it, or with ``include=0``, is an area to ignore.
- Any other region is an area to search, as in DS9 and in drizzlepac 3.11. Where a file has one, all that lies outside
  such areas is ignored; where it has none, all that lies outside its regions is searched.
- Regions count in their order: of two that overlap the later one wins.

The help text of tweakreg 1.0.2 had every region of a file ignored; so it is with ``plain='exclude'``, except for
regions with ``+`` before them.

Positions are FITS pixels until a line names another system. On the sky a size without unit is in degrees, or, among
three numbers, in arcsec. Shapes on the sky keep their shape there; on the chip they are distorted as the chip is.
A pixel belongs to a region if its centre lies inside.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import re

import numpy as np

from imagereg.detection.outlines import (
    LARGEST_ANGLE,
    PIXEL_SYSTEMS,
    ChipPlane,
    Outline,
    direction,
    excluded_pixels,
    offsets,
    position,
)
from imagereg.errors import InputError

_log = logging.getLogger(__name__)

_SYSTEMS = {"image": "image", "pixel": "image", "pixels": "image", "logical": "image", "physical": "physical",
            "fk4": "fk4", "b1950": "fk4", "fk5": "fk5", "j2000": "fk5", "icrs": "icrs", "sky": "icrs",
            "galactic": "galactic", "ecliptic": "ecliptic"}
_ALIASES = {"rotbox": "box"}
_FORMS = {"circle": "circle(x,y,radius)", "ellipse": "ellipse(x,y,a,b[,a,b...],angle)",
          "box": "box(x,y,width,height[,width,height...],angle)", "annulus": "annulus(x,y,radius,radius[,radius...])",
          "polygon": "polygon(x,y,x,y,x,y[,x,y...])", "rectangle": "rectangle(x,y,x,y)"}
_COUNTS = {"circle": (3, 3, 1), "ellipse": (5, None, 2), "box": (5, None, 2), "annulus": (4, None, 1),
           "polygon": (6, None, 2), "rectangle": (4, 4, 1)}  # least, most, and step of the number of values
_WITHOUT_AREA = ("point", "line", "text", "vector", "ruler", "compass", "projection", "segment")
_EXPECTED = f"x y radius, a coordinate system, or one of {', '.join(_FORMS)}"
_SIGNS = {"": None, "||": None, "|": None, "+": False, "-": True, "!": True, "&-": True, "&!": True}

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_PLACE = re.compile(rf"(?P<number>{_NUMBER})(?P<unit>[drip]?)|(?P<sign>[-+]?)(?:(?P<whole>\d+):(?P<minutes>[0-5]?\d):"
                    r"(?P<seconds>[0-5]?\d(?:\.\d*)?)|(?P<WHOLE>\d+)(?P<letter>[hd])(?P<MINUTES>[0-5]?\d)m"
                    r"(?P<SECONDS>[0-5]?\d(?:\.\d*)?)s)", re.I)
_SIZE = re.compile(rf"(?P<number>{_NUMBER})(?P<unit>''|[\"'drip]?)", re.I)
_ANGLE = re.compile(rf"({_NUMBER})([dr]?)", re.I)
_DEGREES = {'"': 1 / 3600, "''": 1 / 3600, "'": 1 / 60, "d": 1.0, "": 1.0, "r": float(np.rad2deg(1.0))}
_STATEMENT = re.compile(r"(?P<sign>[-+!&|\s]*)(?P<shape>[a-z]\w*)(?:\s*\((?P<inner>[^()]*)\)|(?P<bare>[\s,][^()]*)?)",
                        re.I)
_BARE_NUMBERS = re.compile(r"[-+]?\.?\d")
_GLOBAL = re.compile(r"\s*(?:global\b|\w+\s*=)", re.I)
_BEHIND_COMMENT = re.compile(rf"\s*(?:(?:{'|'.join(_SYSTEMS)})\s*(?:#|$)|[-+!]?\s*(?:{'|'.join(_FORMS)})\s*\()", re.I)
_COMMENTED = re.compile(rf"\s*#\s*[-+]?(?P<shape>{'|'.join(_WITHOUT_AREA)})\s*\(", re.I)
_QUOTED = re.compile(r"\{[^}]*\}?|\"[^\"]*\"?|'[^']*'?")
_LONGEST_WORD = 40
_LARGEST_NUMBER = 1e9
_MOST_REGIONS = 200_000
_SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


@dataclasses.dataclass(frozen=True, eq=False)
class RegionList:
    """Regions in the order in which they count.

    Parameters
    ----------
    outlines : tuple of Outline
        Theirs; a ring has two.
    where : str
        Name of the file, for errors.
    elsewhere : bool
        Whether pixels outside of all regions are excluded.
    """

    outlines: tuple
    where: str
    elsewhere: bool = False

    def mask(self, shape, *, wcs=None, ltm=(1.0, 1.0), ltv=(0.0, 0.0)):
        """Mask of the pixels of a chip that the regions exclude; see `mask_from_regions`."""
        chip = ChipPlane(tuple(shape), wcs, ltm, ltv, self.where)
        return excluded_pixels(self.outlines, chip, elsewhere=self.elsewhere)


def mask_from_regions(text, shape, *, wcs=None, where="", plain="include", ltm=(1.0, 1.0), ltv=(0.0, 0.0)):
    """Pixels of a chip that a region file excludes.

    Parameters
    ----------
    text : str
        Content of the region file.
    shape : (int, int)
        Rows and columns of the chip.
    wcs : astropy.wcs.WCS, optional
        Of the chip, distortion included; regions on the sky need it.
    where : str
        Name of the file, for errors.
    plain : {'include', 'exclude'}
        What a region of DS9's form without a sign is: an area to search, or one to ignore.
    ltm, ltv : (float, float)
        LTM1_1, LTM2_2 and LTV1, LTV2 of the header: image = ltm * physical + ltv.

    Returns
    -------
    (ny, nx) ndarray of bool
        True where a pixel is excluded.

    Raises
    ------
    InputError
        A line can't be read, or a region on the sky can't be put on the chip.
    """
    return parse_regions(text, where, plain=plain).mask(shape, wcs=wcs, ltm=ltm, ltv=ltv)


def mask_from_image(data, shape, where=""):
    """Pixels that a mask image excludes: as in drizzlepac those of value 0, and those that are not a number.

    Parameters
    ----------
    data : ndarray
        The mask.
    shape : (int, int)
        Rows and columns of the chip.
    where : str
        Name of the file, for errors.

    Raises
    ------
    InputError
        The mask has another shape than the chip.
    """
    data = np.asarray(data)
    if data.shape != tuple(shape):
        sizes = " and ".join(" x ".join(map(str, size)) for size in (data.shape, shape))
        raise InputError(f"{where}: the mask and the chip differ in size, rows x columns: {sizes}")
    return ~(np.abs(data) > 0)


def is_region_text(text):
    """Whether a text is a region file, and not a list of them.

    The first line that is neither empty nor a comment decides: in a region file it begins with a number, a coordinate
    system, the name of a shape, or ``global``. Where there is no such line, DS9's or CIAO's own first comment decides.
    """
    for line in text.splitlines():
        first = line.partition("#")[0].partition(";")[0].strip()
        if first:
            match, words = _STATEMENT.fullmatch(first), _words(first)
            known = (*_SYSTEMS, "global", *_FORMS, *_ALIASES, *_WITHOUT_AREA)
            return match["shape"].lower() in known if match else len(words) > 2 and bool(_PLACE.fullmatch(words[0]))
    return "region file format" in text[:1000].lower()


def parse_regions(text, where="", *, plain="include"):
    """Read a region file once, for any number of chips; parameters and errors are those of `mask_from_regions`.

    Returns
    -------
    RegionList
    """
    reader = _Reader(where or "regions", plain == "exclude")
    for number, line in enumerate(text.splitlines(), 1):
        reader.read_line(number, line)
    reader.report()
    return RegionList(tuple(reader.outlines), reader.where, reader.searches_only)


class _Reader:
    """Reads lines one after the other; what one says of the coordinate system holds for those that follow."""

    def __init__(self, where, plain_excludes):
        self.where, self.plain_excludes = where, plain_excludes
        self.system, self.included = None, True
        self.number, self.text = 0, ""
        self.outlines, self.without_area, self.signed = [], [], plain_excludes

    def fault(self, expected):
        text = self.text if len(self.text) < 100 else self.text[:97] + "..."
        return InputError(f"{self.where}, line {self.number}: {text!r}, expected {expected}")

    @property
    def searches_only(self):
        """Whether nothing but what the regions bring in is searched."""
        return not self.plain_excludes and any(not outline.excluded for outline in self.outlines)

    def report(self):
        """Log what the user may not expect."""
        if self.without_area:
            lines = ", ".join(map(str, self.without_area[:10])) + (", ..." if len(self.without_area) > 10 else "")
            _log.info("%s: %d without area exclude nothing (line %s)", self.where, len(self.without_area), lines)
        if self.searches_only and not self.signed:
            _log.warning("%s: only its regions are searched for sources; one with - before it is ignored", self.where)

    def read_line(self, number, line):
        self.number, self.text = number, line.strip()
        if _GLOBAL.match(line):
            self.read_global(line)
        elif commented := _COMMENTED.match(line):
            self.text = commented["shape"]
            self.without_area.append(number)
        elif self.text and not self.text.startswith("#"):
            for statement, properties in _statements(line):
                self.read_statement(statement, properties)

    def read_global(self, line):
        found = re.search(r"\binclude\s*=\s*([01])", _QUOTED.sub("", line))
        self.included = found[1] == "1" if found else self.included
        found = re.search(r"\bcoordsys\s+(\w+)", line, re.I)
        if found:
            self.read_system(found[1])

    def read_system(self, word):
        if word.lower() not in _SYSTEMS:
            raise self.fault(f"one of the coordinate systems {', '.join(_SYSTEMS)}")
        self.system = _SYSTEMS[word.lower()]

    def read_statement(self, statement, properties):
        if _BARE_NUMBERS.match(statement):
            self.read_numbers(_words(statement))
            return
        match = _STATEMENT.fullmatch(statement.removesuffix("||").strip())
        sign = match and re.sub(r"\s", "", match["sign"])
        if not match or sign not in _SIGNS:
            raise self.fault(_EXPECTED)
        shape = match["shape"].lower()
        content = (match["bare"] or "").strip() if match["inner"] is None else match["inner"]
        if match["inner"] is None and not content:
            self.read_system(shape)
        elif shape in _WITHOUT_AREA:
            self.without_area.append(self.number)
        elif shape != "composite":
            self.read_shape(_ALIASES.get(shape, shape), _words(content), self.is_excluded(_SIGNS[sign], properties))

    def is_excluded(self, signed, properties):
        found = re.search(r"\binclude\s*=\s*([01])", properties)
        if found:
            signed = found[1] == "0"
        self.signed |= signed is not None
        return (self.plain_excludes or not self.included) if signed is None else signed

    def read_numbers(self, words):
        if len(words) != 3:
            raise self.fault(_EXPECTED)
        system, centre = self.places(words[:2])
        radius, angular = self.size(words[2], system, 1 / 3600)
        self.add(system, centre, _round(radius), angular, excluded=True)

    def read_shape(self, shape, words, excluded):
        if shape not in _FORMS:
            raise self.fault(_EXPECTED)
        if shape in ("ellipse", "box") and len(words) == 4:
            words = [*words, "0"]
        least, most, step = _COUNTS[shape]
        if not least <= len(words) <= (most or len(words)) or (len(words) - least) % step:
            raise self.fault(_FORMS[shape])
        if shape == "circle":
            system, centre = self.places(words[:2])
            radius, angular = self.size(words[2], system)
            self.add(system, centre, _round(radius), angular, excluded=excluded)
        elif shape == "polygon":
            self.read_polygon(words, excluded)
        elif shape == "rectangle":
            self.read_polygon([words[k] for k in (0, 1, 2, 1, 2, 3, 0, 3)], excluded)
        else:
            self.read_with_package(shape, words, excluded)

    def read_polygon(self, words, excluded):
        system, values = self.places(words)
        corners = np.reshape(values, (-1, 2))
        if system in PIXEL_SYSTEMS:
            self.add(system, (0.0, 0.0), _round(1.0), False, corners=corners, excluded=excluded)
            return
        centre = position(direction(corners).mean(axis=0))
        steps = offsets(centre, corners)
        reach = max(float(np.hypot(*steps.T).max()), 1e-12)
        if reach > LARGEST_ANGLE:
            raise self.fault(f"corners within {LARGEST_ANGLE:g} degrees of their middle")
        self.add(system, tuple(centre), _round(reach), True, corners=steps / reach, excluded=excluded)

    def read_with_package(self, shape, words, excluded):
        """Have the package `regions` read a shape, in a plane about its centre: on the sky that is too slow there."""
        from regions import Regions

        system, centre = self.places(words[:2])
        angle = [] if shape == "annulus" else [_ANGLE.fullmatch(words.pop())]
        sizes = [self.size(word, system) for word in words[2:]]
        angular = system not in PIXEL_SYSTEMS
        if any(size[1] != angular for size in sizes) or not all(angle):
            raise self.fault(f"{_FORMS[shape]} with sizes in {'units of angle' if angular else 'pixels'}")
        values = ["0", "0", *(repr(size[0]) for size in sizes)]
        values += [repr(self.small(float(match[1]))) + match[2].lower() for match in angle]
        try:
            found = Regions.parse(f"image\n{shape}({','.join(values)})", format="ds9")
        except ValueError as error:
            raise self.fault(f"{_FORMS[shape]} with sizes that grow") from error
        for axes, corners, weight in itertools.chain.from_iterable(map(_parts, found)):
            self.add(system, centre, axes, angular, corners=corners, weight=weight, excluded=excluded)

    def add(self, system, centre, axes, angular, **more):
        if len(self.outlines) >= _MOST_REGIONS:
            raise InputError(f"{self.where} has more than {_MOST_REGIONS} regions")
        self.outlines.append(Outline(self.number, system=system, centre=centre, axes=axes, angular=angular, **more))

    def places(self, words):
        """Coordinate system and values, pixels or degrees, of x, y, x, y, ..."""
        matches = [_PLACE.fullmatch(word) if len(word) <= _LONGEST_WORD else None for word in words]
        if not all(matches):
            raise self.fault("positions as numbers, degrees, or h:m:s d:m:s")
        kinds = {":" if match["number"] is None else match["unit"].lower() for match in matches}
        system = self.system or ("fk5" if kinds & {":", "d", "r"} else "image")
        if kinds in ({"i"}, {"p"}):
            system = "image" if kinds == {"i"} else "physical"
        elif kinds & {"i", "p"} or system in PIXEL_SYSTEMS and kinds != {""}:
            raise self.fault(f"positions in the system {system}, or one named before them")
        if system in PIXEL_SYSTEMS:
            values = [self.small(float(match["number"])) for match in matches]
        else:
            hours = system not in ("galactic", "ecliptic")
            values = [_degrees(match, hours and k % 2 == 0) for k, match in enumerate(matches)]
            if not (np.abs(values[::2]) <= 360).all() or not (np.abs(values[1::2]) <= 90).all():
                raise self.fault("a longitude of at most 360 and a latitude of at most 90 degrees")
        return system, values

    def size(self, word, system, default=1.0):
        """Read a size: value, and whether it is an angle, in degrees; `default` is the unit of numbers on the sky."""
        match = _SIZE.fullmatch(word) if len(word) <= _LONGEST_WORD else None
        value = float(match["number"]) if match else 0.0
        if not value > 0:
            raise self.fault("sizes above 0, as numbers or with one of the units \" ' d r i p")
        unit = match["unit"].lower()
        if unit == ("i" if system == "physical" else "p"):
            raise self.fault(f"sizes in the system {system}")
        if unit in ("i", "p") or not unit and system in PIXEL_SYSTEMS:
            return self.small(value), False
        value *= _DEGREES[unit] if unit else default
        if value > LARGEST_ANGLE:
            raise self.fault(f"a size of at most {LARGEST_ANGLE:g} degrees (a unit such as \" may be missing)")
        return value, True

    def small(self, value):
        if not abs(value) <= _LARGEST_NUMBER:
            raise self.fault(f"numbers of at most {_LARGEST_NUMBER:g}")
        return value


def _statements(line):
    """Pairs of a statement and what is said of it behind the #."""
    content, _, said = line.partition("#")
    properties, *more = _QUOTED.sub("", said).split(";")
    yield from ((part.strip(), properties) for part in content.split(";") if part.strip())
    for part in itertools.takewhile(_BEHIND_COMMENT.match, more):
        content, _, properties = part.partition("#")
        yield content.strip(), properties


def _words(text):
    return re.split(r"\s*,\s*|\s+", text.strip())


def _degrees(match, hours):
    if match["number"] is not None:
        return float(match["number"]) * _DEGREES["r" if match["unit"].lower() == "r" else "d"]
    whole, minutes, seconds = (float(match[name] or match[name.upper()]) for name in ("whole", "minutes", "seconds"))
    hours = match["letter"].lower() == "h" if match["letter"] else hours
    return (-1 if match["sign"] == "-" else 1) * (15 if hours else 1) * (whole + minutes / 60 + seconds / 3600)


def _round(radius):
    return (radius, 0.0), (0.0, radius)


def _parts(region):
    """Axes, corners and weight of the outlines of a region of the package `regions`."""
    turn = region.angle.to_value("rad") if hasattr(region, "angle") else 0.0
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    corners = _SQUARE if "Rectangle" in type(region).__name__ else None
    for prefix, weight in (("", 1), ("outer_", 1), ("inner_", -1)):
        if hasattr(region, prefix + "width"):
            x, y = (getattr(region, prefix + name) / 2 for name in ("width", "height"))
        elif hasattr(region, prefix + "radius"):
            x = y = getattr(region, prefix + "radius")
        else:
            continue
        yield ((x * cos, -y * sin), (x * sin, y * cos)), corners, weight
