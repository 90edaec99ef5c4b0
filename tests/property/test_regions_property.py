"""Whatever a region file holds, it is read or refused; and what is read has the pixels that it should."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from region_cases import mask_from_regions
from regions import PixCoord, Regions

from imagereg.demo import tangent_plane
from imagereg.detection.ds9 import is_region_text
from imagereg.detection.exclusions import parse_regions
from imagereg.errors import InputError
from imagereg.files.lists import parse_exclusions

SHAPE = (40, 50)
WCS = tangent_plane((150.0, 30.0))
pieces = st.sampled_from([
    "circle", "-circle", "ellipse", "box", "polygon", "annulus", "point", "fk5", "image", "physical", "galactic", "(",
    ")", ",", " ", ";", "#", "\n", "||", "!", "&", "1", "20", "3.5", "1e300", "-1e-300", "nan", "inf", "10:20:30",
    "-10:20:30.5", "12h30m1s", "150", "30", "5\"", "5'", "2d", "0.001r", "9i", "7p", "global include=0", "# text(1,2)",
    "text={", "}", "\t", "\0", "é", "=", "coordsys", "None", "composite"])
numbers = st.floats(allow_nan=True, allow_infinity=True).map(repr) | st.integers(-100, 200).map(str)
shapes = st.sampled_from(["circle", "ellipse", "box", "polygon", "annulus", "rectangle", "rotbox",
                          "panda", "epanda", "bpanda", "pie", ""])
systems = st.sampled_from(["", "image;", "fk5;", "fk4;", "galactic;", "ecliptic;", "physical;"])
units = st.sampled_from(["", "", "\"", "'", "d", "i"])
statements = st.builds(
    lambda system, shape, place, sizes: f"{system}{shape}({','.join(place + [''.join(size) for size in sizes])})",
    systems, shapes, st.lists(numbers, min_size=2, max_size=2), st.lists(st.tuples(numbers, units), max_size=9))


def read_or_refused(text):
    try:
        found = mask_from_regions(text, SHAPE, wcs=WCS, ltm=(0.5, 2.0), ltv=(3.0, -4.0))
    except InputError as error:
        assert "line" in str(error)
    else:
        assert found.shape == SHAPE and found.dtype == bool


@given(st.lists(pieces, max_size=40).map("".join))
def test_mixed_pieces_are_read_or_refused(text):
    read_or_refused(text)


@given(st.text(max_size=200))
@example("circle(1,2,3)" + "#;circle(1,2,3)" * 3000)
@example("(" * 100_000)
@example("circle(1,2,3) #" + "{" * 100_000 + "\"'" * 100_000)
@example("polygon(" + "1," * 100_000 + "1)")
def test_any_text_is_read_or_refused(text):
    read_or_refused(text)
    is_region_text(text)
    try:
        parse_exclusions(text)
    except InputError:
        pass


@given(st.lists(statements, min_size=1, max_size=5).map("\n".join))
def test_any_numbers_are_read_or_refused(text):
    read_or_refused(text)


places = st.tuples(st.floats(-30, 80), st.floats(-30, 70))
sizes = st.lists(st.floats(0.01, 100), min_size=4, max_size=4, unique=True).map(sorted)
layouts = st.sampled_from(["circle({0},{1},{2})", "ellipse({0},{1},{2},{3},{6})", "box({0},{1},{3},{2},{6})",
                           "annulus({0},{1},{2},{3})", "ellipse({0},{1},{2},{3},{4},{5},{6})",
                           "box({0},{1},{2},{3},{4},{5},{6})", "polygon({0},{1},{2},{3},{4},{5})"])


@given(st.lists(st.tuples(st.booleans(), layouts, places, sizes, st.floats(-720, 720)), min_size=1, max_size=6))
def test_pixels_are_those_of_the_package_regions_in_their_order(drawn):
    regions = [(excluded, layout.format(*(repr(value) for value in (*place, *size, angle))))
               for excluded, layout, place, size, angle in drawn]
    y, x = np.mgrid[:SHAPE[0], :SHAPE[1]]
    expected = np.full(SHAPE, not all(excluded for excluded, _ in regions))
    for excluded, region in regions:
        for part in Regions.parse(f"image\n{region}", format="ds9"):
            expected[part.contains(PixCoord(x, y))] = excluded
    text = "\n".join(("-" if excluded else "") + region for excluded, region in regions)
    differing = (mask_from_regions(text, SHAPE) != expected).sum()
    assert differing <= (2 * sum(SHAPE) if any(_has_edges_on_pixels(*more) for _, *more in drawn) else 0)


def _has_edges_on_pixels(layout, place, size, angle):
    """Whether a region may have pixel centres on its edge, of which it is a matter of taste where they belong."""
    values = np.array([*place, *size]) * 2
    return (np.abs(values - np.round(values)) < 1e-6).any() or abs(angle / 45 - round(angle / 45)) < 1e-6


@given(places, st.floats(0.5, 30))
def test_a_circle_of_the_image_may_be_given_in_any_way(place, radius):
    text = f"-circle({place[0]!r},{place[1]!r},{radius!r})"
    expected = mask_from_regions(text, SHAPE)
    three = f"{place[0]!r} {place[1]!r} {radius!r}"
    for same in (f"image;{text}", text.upper(), text.replace(",", " "), three, text.replace("-c", "!c", 1),
                 text[1:] + "# include=0"):
        np.testing.assert_array_equal(mask_from_regions(same, SHAPE), expected)


@given(st.lists(statements, max_size=3).map("\n".join))
def test_reading_does_not_depend_on_the_chip(text):
    try:
        regions = parse_regions(text, "x")
    except InputError:
        return
    try:
        first = regions.mask(SHAPE, wcs=WCS)
    except InputError:
        return
    np.testing.assert_array_equal(regions.mask(SHAPE, wcs=WCS), first)
