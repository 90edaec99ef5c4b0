"""Region files: what their lines mean, in every dialect and coordinate system, and which pixels they exclude."""

import logging
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, FITSFixedWarning
from region_cases import mask_from_regions
from regions import PixCoord, Regions

from imagereg.detection.ds9 import is_region_text
from imagereg.detection.exclusions import mask_from_image, parse_regions
from imagereg.errors import InputError
from imagereg.files.lists import parse_exclusions

SHAPE = (120, 160)
HELP_DS9 = """\
# Region file format: DS9 version 4.1
# Filename: j99da1f2q_flt.fits[SCI]
global color=green dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1 highlite=1 dash=0 fixed=0 edit=1 \
move=1 delete=1 include=1 source=1
"""


def mask(text, shape=SHAPE, **options):
    return mask_from_regions(text, shape, where="some.reg", **options)


def by_package(*regions, shape=SHAPE):
    """Return the pixels in any of some regions of the image, as the package `regions` has them."""
    y, x = np.mgrid[:shape[0], :shape[1]]
    found = Regions.parse("image\n" + "\n".join(regions), format="ds9")
    return np.any([region.contains(PixCoord(x, y)) for region in found], axis=0)


def disc(x, y, radius, shape=SHAPE):
    rows, columns = np.mgrid[1:shape[0] + 1, 1:shape[1] + 1]
    return np.hypot(columns - x, rows - y) < radius


def pixel_sky(wcs, shape):
    y, x = np.mgrid[1:shape[0] + 1, 1:shape[1] + 1]
    return SkyCoord(*wcs.all_pix2world(np.column_stack([x.ravel(), y.ravel()]), 1).T, unit="deg", frame="icrs")


SHAPES = ["circle(60.3,50.2,20.4)", "ellipse(60.3,50.2,30.1,12.3,35)", "ellipse(60.3,50.2,10,5,20,10,30,15,120.5)",
          "box(60.33,50.21,40.5,20.3,0)", "box(60.33,50.21,40.5,20.3,222)", "box(60.3,50.2,10.1,5.2,40.3,30.4,17)",
          "annulus(60.3,50.2,10.1,20.2)", "annulus(60.3,50.2,5,10,15,21.7)", "polygon(10.2,20.3,90.4,30.5,50.6,100.7)",
          "polygon(10.2,20.3,90.4,100.5,90.6,20.7,10.8,100.9)", "circle(-10,130,60)", "box(500,50,20,20,0)"]


@pytest.mark.parametrize("region", SHAPES)
def test_shapes_have_the_pixels_that_the_package_regions_has(region):
    np.testing.assert_array_equal(mask("image\n-" + region), by_package(region))
    np.testing.assert_array_equal(mask("image\n" + region), ~by_package(region))


def test_a_box_whose_edges_are_on_pixel_centres_has_its_area():
    assert mask("-box(50,50,20,10,0)").sum() == 200


@pytest.mark.parametrize("slope", [(20, 20), (20, -20), (20, 10), (10, -20), (7, 3)])
def test_areas_that_share_an_edge_through_pixel_centres_share_no_pixel(slope):
    """Two halves of a square, which has as many pixels as its area."""
    origin, along, across = np.array([60, 60]), np.array(slope), np.array([-slope[1], slope[0]])
    halves = [np.ravel([origin, origin + along + across, origin + side]) for side in (along, across)]
    masks = [mask(f"-polygon({','.join(map(str, corners))})") for corners in halves]
    assert not (masks[0] & masks[1]).any()
    assert masks[0].sum() + masks[1].sum() == along @ along


def test_turned_squares_side_by_side_share_no_pixel():
    side = float(np.hypot(10, 10))
    squares = [mask(f"-box({x},{y},{side!r},{side!r},45)") for x, y in ((50, 50), (60, 60), (40, 60), (50, 70))]
    assert np.max(np.sum(squares, axis=0)) == 1
    assert [square.sum() for square in squares] == [200] * 4


def part_of_ring(inner, outer, start, stop, turn=0.0, x=60.0, y=50.0):
    """Return the pixels between two ellipses and two directions, from the formulas."""
    rows, columns = np.mgrid[1:SHAPE[0] + 1, 1:SHAPE[1] + 1]
    turned = (columns - x + 1j * (rows - y)) * np.exp(-1j * np.deg2rad(turn))
    within = [np.hypot(turned.real / a, turned.imag / b) < 1 for a, b in (outer, inner)]
    return within[0] & ~within[1] & ((np.angle(turned, deg=True) - start) % 360 < (stop - start) % 360)


@pytest.mark.parametrize("text, expected", [
    ("panda(60.3,50.2,10,100,3,9.1,30.4,2)", part_of_ring((9.1, 9.1), (30.4, 30.4), 10, 100, 0, 60.3, 50.2)),
    ("panda(60.3,50.2,300,400,1,9.1,30.4,1)", part_of_ring((9.1, 9.1), (30.4, 30.4), 300, 40, 0, 60.3, 50.2)),
    ("pie(60.3,50.2,9.1,30.4,300,400)", part_of_ring((9.1, 9.1), (30.4, 30.4), 300, 40, 0, 60.3, 50.2)),
    ("epanda(60,50,-20,75,2,10.2,5.1,40.8,20.4,3,33)", part_of_ring((10.2, 5.1), (40.8, 20.4), -20, 75, 33)),
    ("pie(60.3,50.2,80,120)", part_of_ring((1e-9, 1e-9), (1e9, 1e9), 80, 120, 0, 60.3, 50.2)),
    ("sector(60.3,50.2,80,120)", part_of_ring((1e-9, 1e-9), (1e9, 1e9), 80, 120, 0, 60.3, 50.2)),
])
def test_parts_of_rings(text, expected):
    np.testing.assert_array_equal(mask("image\n-" + text), expected)


def test_parts_of_rings_make_rings():
    quarters = [mask(f"-bpanda(60,50,{start},{start + 90},1,10,6,40,20,1,27)") for start in (0, 90, 180, 270)]
    assert np.max(np.sum(quarters, axis=0)) == 1
    ring = mask("-box(60,50,10,6,40,20,27)")
    np.testing.assert_array_equal(np.any(quarters, axis=0), ring)
    np.testing.assert_array_equal(mask("-bpanda(60,50,0,360,4,10,6,40,20,1,27)"), ring)
    np.testing.assert_array_equal(mask("-panda(60,50,0,360,4,0,40,2)"), disc(60, 50, 40))
    np.testing.assert_array_equal(mask("-annulus(60,50,0,20,40)"), disc(60, 50, 40))
    np.testing.assert_array_equal(mask("-epanda(60,50,0,360,4,0,0,40,20,1)"), mask("-ellipse(60,50,40,20,0)"))


# What a file means


def test_help_sample_of_ds9_has_no_region_and_excludes_nothing():
    assert not mask(HELP_DS9).any()
    assert not mask("").any()


def test_help_sample_of_three_numbers_is_a_circle_to_ignore():
    shape = (500, 3400)
    np.testing.assert_array_equal(mask("3269 428 20", shape), disc(3269, 428, 20, shape))
    np.testing.assert_array_equal(mask("3269,428,20", shape), disc(3269, 428, 20, shape))
    np.testing.assert_array_equal(mask("# made by hand\npixel\n3269, 428, 20\n", shape), disc(3269, 428, 20, shape))


def test_both_kinds_of_lines_stand_in_one_file():
    text = HELP_DS9 + "image\n-circle(30,40,10)\n100 60 20\n-box(60.5,60.5,4,4,0) # a box\n20,100,7\n"
    expected = disc(30, 40, 10) | disc(100, 60, 20) | by_package("box(60.5,60.5,4,4,0)") | disc(20, 100, 7)
    np.testing.assert_array_equal(mask(text), expected)


def test_only_excluding_regions_leave_the_rest_good():
    np.testing.assert_array_equal(mask("-circle(50,50,20)\n!circle(90,50,10)"), disc(50, 50, 20) | disc(90, 50, 10))


def test_including_regions_alone_are_searched():
    np.testing.assert_array_equal(mask("circle(50,50,20)\n-circle(50,50,10)"), ~(disc(50, 50, 20) & ~disc(50, 50, 10)))


def test_the_later_region_wins():
    outer, inner = disc(50, 50, 20), disc(60, 50, 15)
    np.testing.assert_array_equal(mask("-circle(60,50,15)\ncircle(50,50,20)"), ~outer)
    np.testing.assert_array_equal(mask("circle(50,50,20)\n-circle(60,50,15)"), ~outer | inner)
    np.testing.assert_array_equal(mask("circle(50,50,20)\n60 50 15\ncircle(60,50,3)"),
                                  (~outer | inner) & ~disc(60, 50, 3))
    wide, narrow = "box(50,50,41,41,0)", "box(60,50,31,31,0)"  # circles are drawn apart from other shapes
    np.testing.assert_array_equal(mask(f"-{narrow}\n{wide}"), ~by_package(wide))
    np.testing.assert_array_equal(mask(f"{wide}\n-{narrow}"), ~by_package(wide) | by_package(narrow))


def test_drizzlepac_sample_is_searched_inside_its_regions():
    text = HELP_DS9 + ("image\ncircle(317,198,20)\nellipse(269,28,30,10,45) # a rotated ellipse\n"
                       "box(141.1146,219.78132,20,20,15) # a rotated box\ncircle(200,200,50)  # outer circle\n"
                       "-circle(200,200,30) # inner circle\n")
    shape = (260, 340)
    searched = by_package("circle(317,198,20)", "ellipse(269,28,30,10,45)", "box(141.1146,219.78132,20,20,15)",
                          "circle(200,200,50)", shape=shape) & ~disc(200, 200, 30, shape)
    assert (mask(text, shape) == searched).sum() <= 6  # of the pixels exactly on the turned edges


def test_plain_regions_are_ignored_on_request():
    text = "circle(50,50,20)\n-circle(90,50,10)\n+circle(50,50,5)"
    np.testing.assert_array_equal(mask(text, plain="exclude"), (disc(50, 50, 20) | disc(90, 50, 10)) & ~disc(50, 50, 5))


def test_include_is_a_property_too():
    excluded = disc(50, 50, 20)
    np.testing.assert_array_equal(mask("circle(50,50,20) # color=red include=0"), excluded)
    np.testing.assert_array_equal(mask("-circle(50,50,20) # text={include=1}"), excluded)
    np.testing.assert_array_equal(mask("global color=red include=0\ncircle(50,50,20)"), excluded)


def test_notices_are_logged_once(caplog):
    caplog.set_level(logging.INFO, logger="imagereg.detection.ds9")
    regions = parse_regions("image\npoint(3,4)\ncircle(50,50,20)\n# text(5,6) text={a; b}\nline(1,2,3,4)", "a.reg")
    regions.mask(SHAPE), regions.mask(SHAPE)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert "a.reg: 3 without area exclude nothing (line 2, 4, 5)" in caplog.text
    assert "only its regions are searched" in caplog.text


# Dialects

SAME_CIRCLE = ["image;-circle(50,60,20)", "image; -circle 50 60 20", "IMAGE\n-CIRCLE(50, 60, 20)",
               "- circle ( 50 60 20 )", "# Region file format: CIAO version 1.0\n-circle(50,60,20)",
               "!circle(50,60,20)", "&!circle(50,60,20)",
               "physical\n-circle(50,60,20)", "-circle(50i,60i,20i)", "global coordsys image\n-circle 50,60,20",
               "image\n-circle(50,60,20) || # tag={a}\n", "fk5;image;-circle(50,60,20);fk5 # color=#ff0000",
               "image\r\n-circle(50,60,20)\r\n", "\n\n-circle(50,60,20) # text={a; circle(1,2,3)} color=red",
               "# circle(1,2,3)\n-circle(50,60,20)", "select=1 highlite=1\n-circle(5.0e1,60.,+20)", "50 60 20",
               "50 60 20i"]


@pytest.mark.parametrize("text", SAME_CIRCLE)
def test_dialects_agree(text):
    np.testing.assert_array_equal(mask(text), disc(50, 60, 20))


def test_dialects_of_boxes():
    np.testing.assert_array_equal(mask("-rotbox(50.2,60.3,20,10,30)"), by_package("box(50.2,60.3,20,10,30)"))
    np.testing.assert_array_equal(mask("-box(50.2,60.3,20,10)"), by_package("box(50.2,60.3,20,10,0)"))
    np.testing.assert_array_equal(mask("-rectangle(40.2,55.3,60.4,65.1)"), by_package("box(50.3,60.2,20.2,9.8,0)"))


def test_several_statements_stand_on_a_line():
    text = "-circle(30,30,5);-circle(60,60,5) # color=red;-circle(90,90,5) # text={x};1,2,3"
    np.testing.assert_array_equal(mask(text), disc(30, 30, 5) | disc(60, 60, 5) | disc(90, 90, 5))


def test_composite_regions_are_their_members():
    text = "image\n# composite(50,50,0) || composite=1\n-circle(50,50,9) || # color=red\n-circle(70,70,9)\n"
    np.testing.assert_array_equal(mask(text), disc(50, 50, 9) | disc(70, 70, 9))


def test_physical_pixels_follow_ltm_and_ltv():
    options = {"ltm": (0.5, 0.25), "ltv": (10.0, 20.0)}
    expected = by_package("ellipse(60.15,45.05,10,5,0)", "polygon(35.1,33.7,55.1,33.7,55.1,43.7)")
    text = "physical\n-circle(100.3,100.2,20)\n-polygon(50.2,54.8,90.2,54.8,90.2,94.8)"
    np.testing.assert_array_equal(mask(text, **options), expected)


def test_pixels_of_ciao_are_physical_ones():
    """Those of the whole detector, of which a subarray shows a part; what a line names goes before."""
    options = {"ltv": (-500.0, -1000.0)}
    head = "# Region file format: CIAO version 1.0\n"
    np.testing.assert_array_equal(mask(head + "-circle(550,1060,20)", **options), disc(50, 60, 20))
    np.testing.assert_array_equal(mask(head + "image\n-circle(50,60,20)", **options), disc(50, 60, 20))
    assert not mask("-circle(550,1060,20)", **options).any()


# The sky

@pytest.fixture
def plain_wcs(celestial_headers):
    return WCS(celestial_headers["CD"])


def centre_of(wcs, frame="icrs", xy=(80.3, 60.2)):
    place = SkyCoord(*wcs.all_pix2world([xy], 1).T, unit="deg", frame="icrs").transform_to(frame)
    return place[0], float(place.spherical.lon.deg[0]), float(place.spherical.lat.deg[0])


@pytest.mark.parametrize("frame, radius", [("icrs", 0.8), ("icrs", 400.0), ("fk5", 2.5), ("fk4", 8.0),
                                           ("galactic", 400.0), ("ecliptic", 2.5)])
def test_circles_on_the_sky_are_within_a_tenth_of_a_pixel(celestial_wcs, frame, radius):
    astropy_frame = {"ecliptic": "barycentricmeanecliptic"}.get(frame, frame)
    centre, lon, lat = centre_of(celestial_wcs, astropy_frame, (350.3 + max(0, radius * 20 - 250), 200.2))
    found = mask(f'{frame}\n-circle({lon!r},{lat!r},{radius}")', (400, 700), wcs=celestial_wcs)
    separation = pixel_sky(celestial_wcs, (400, 700)).transform_to(astropy_frame).separation(centre).arcsec
    sure = np.abs(separation - radius) > 0.1 * 0.05
    np.testing.assert_array_equal(found.ravel()[sure], (separation < radius)[sure])
    assert 0 < found.sum() < found.size


def test_distortion_is_that_of_the_chip(demo_chips):
    for chip in demo_chips:
        centre, lon, lat = centre_of(chip.wcs, xy=(200, 90))
        found = mask(f"icrs\n-annulus({lon!r},{lat!r},1.5\",3\")", chip.shape, wcs=chip.wcs)
        separation = pixel_sky(chip.wcs, chip.shape).separation(centre).arcsec.reshape(chip.shape)
        sure = (np.abs(separation - 3) > 0.006) & (np.abs(separation - 1.5) > 0.006)
        np.testing.assert_array_equal(found[sure], ((separation < 3) & (separation > 1.5))[sure])


def test_units_and_sexagesimal_positions_agree(plain_wcs):
    centre, lon, lat = centre_of(plain_wcs)
    ra, dec = centre.ra.to_string("hour", sep=":", precision=7), centre.dec.to_string(sep=":", precision=6)
    expected = mask(f"icrs\n-circle({lon!r},{lat!r},2\")", wcs=plain_wcs)
    hms, dms = centre.ra.to_string("hour", precision=7), centre.dec.to_string(precision=6, alwayssign=True)
    for text in (f"icrs;-circle({ra},{dec},2\")", f"icrs;-circle({lon!r}d,{lat!r}d,{2 / 3600!r}d)",
                 "icrs;-circle({}r,{}r,{}r)".format(*np.deg2rad([lon, lat, 2 / 3600])),
                 f"icrs;-circle({hms},{dms},{2 / 60!r}')", f"icrs;-circle({lon!r},{lat!r},{2 / 3600!r})",
                 f"icrs;-circle({lon!r} {lat!r} 2'')", f"sky\n{ra} {dec} 2", f"sky\n{lon!r}, {lat!r}, 2",
                 f"icrs\n{lon!r} {lat!r} 2\"", "-circle(80.3,60.2,2\")", f"icrs;-circle({lon!r},{lat!r},40i)"):
        difference = mask(text, wcs=plain_wcs) != expected
        assert difference.sum() <= 4, text  # a circle in pixels is one on the sky to a ten-thousandth here


def test_ciao_positions_need_no_system(plain_wcs):
    centre, lon, lat = centre_of(plain_wcs, "fk5")
    ra, dec = centre.ra.to_string("hour", sep=":", precision=7), centre.dec.to_string(sep=":", precision=6)
    expected = mask(f"fk5;-circle({lon!r},{lat!r},0.05')", wcs=plain_wcs)
    np.testing.assert_array_equal(mask(f"-circle({ra},{dec},0.05')", wcs=plain_wcs), expected)
    np.testing.assert_array_equal(mask(f"{ra} {dec} 3", wcs=plain_wcs), expected)


@pytest.mark.parametrize("region", ['ellipse({x},{y},3",1",30)', 'box({x},{y},4",2",70)', 'box({x},{y},4",2",400)',
                                    'ellipse({x},{y},1",0.5",2",1",30)', 'annulus({x},{y},1",2",2.5")'])
def test_turned_shapes_on_the_sky_are_those_of_the_package_regions(plain_wcs, region):
    _, lon, lat = centre_of(plain_wcs)
    text = region.format(x=repr(lon), y=repr(lat))
    found = Regions.parse(f"icrs\n{text}", format="ds9")
    y, x = np.mgrid[:SHAPE[0], :SHAPE[1]]
    expected = np.any([part.to_pixel(plain_wcs).contains(PixCoord(x, y)) for part in found], axis=0)
    assert (mask(f"icrs\n-{text}", wcs=plain_wcs) != expected).sum() <= 0.005 * expected.sum()


def test_polygons_on_the_sky_have_their_corners_on_the_chip(plain_wcs):
    corners = [(20.3, 30.4), (140.2, 15.3), (90.7, 110.2), (80.1, 60.9)]
    sky = plain_wcs.all_pix2world(corners, 1)
    text = f"polygon({','.join(f'{value:.9f}' for value in sky.ravel())})"
    expected = by_package("polygon(" + ",".join(map(str, np.ravel(corners))) + ")")
    assert (mask("icrs;-" + text, wcs=plain_wcs) != expected).sum() <= 2


@pytest.mark.parametrize("distance, radius", [(14, "14d"), (60, "3600'"), (85, "306000.0\"")])
def test_areas_on_the_sky_may_be_very_large(plain_wcs, distance, radius):
    """Their edge crosses the chip."""
    centre, lon, lat = centre_of(plain_wcs)
    far = centre.directional_offset_by(200 * u.deg, distance * u.deg)
    separation = pixel_sky(plain_wcs, SHAPE).separation(far).deg.reshape(SHAPE)
    for shape in (f"circle({far.ra.deg},{far.dec.deg},{radius})",
                  f"ellipse({far.ra.deg},{far.dec.deg},{radius},{radius},20)"):
        found = mask("icrs\n-" + shape, wcs=plain_wcs)
        sure = np.abs(separation - distance) > 0.1 * 0.05 / 3600
        np.testing.assert_array_equal(found[sure], (separation < distance)[sure])
        assert 0 < found.sum() < found.size


def test_regions_elsewhere_on_the_sky_exclude_nothing(plain_wcs):
    text = "icrs\n-circle(330,-30,5\")\n-circle(150,-80,9)\n-polygon(0,0,5,0,5,5)\n-box(150,31.5,10',10',3)"
    assert not mask(text, wcs=plain_wcs).any()


def test_the_sky_needs_a_wcs():
    with pytest.raises(InputError, match=r"some.reg, line 2: a region on the sky, but the image has no WCS"):
        mask("fk5\n-circle(10,10,1)")


# What can't be read

BAD = {"circle(1,2)": "circle(x,y,radius)", "circle(1,2,3,4)": "circle(x,y,radius)", "circle(1,2,x)": "sizes",
       "circle(1,2,0)": "sizes above 0", "circle(1,2,-3)": "sizes above 0", "circle(nan,2,3)": "positions",
       "circle(1,,3)": "positions", "circle(1,2,3": "x y radius", "hexagon(1,2,3)": "polygon", "1 2": "x y radius",
       "1 2 3 4": "x y radius", "wcsa": "coordinate systems", "detector;circle(1,2,3)": "coordinate systems",
       "panda(1,2,0,360,4,5,1)": "panda(x,y,start",
       "panda(1,2,0,360,x,5,6,1)": "panda(x,y,start", "epanda(1,2,0,9,1,0,3,4,5,1)": "sizes above 0",
       "pie(1,2,3,4,x,5)": "angles in degrees", "pie(1,2,3,4,5)": "pie(x,y,", "fk5;circle(1,2,91d)": "at most 90",
       "annulus(1,2,5,3)": "sizes that grow",
       "ellipse(1,2,3,4,x)": "ellipse", "box(1,2,3,4,5,6)": "box(x,y,width", "polygon(1,2,3,4)": "polygon(x,y",
       "image;circle(1:2:3,4:5:6,7)": "system image", "fk5;circle(12:61:00,1:1:1,3)": "positions",
       "fk5;circle(1,91,3)": "latitude",
       "fk5;circle(1,2,30)": "may be missing", "circle(1,2,1e300)": "at most 1e+09",
       "circle(1,2,3)&circle(4,5,6)": "x y radius",
       "fk5;box(1,2,3i,4i,5)": "angle", "box(1,2,3',4',5)": "pixels", "circle(1i,2,3)": "system",
       "__import__('os').getcwd()": "x y radius",
       "box(1,2,3,4,1e999)": "at most 1e+09", "circle(10*2,3,4)": "positions",
       "1+1 2 3": "positions", "fk5;polygon(1,2,50,2,3,50)": "corners within"}


@pytest.mark.parametrize("line", BAD)
def test_what_can_not_be_read_is_said_with_its_line(line):
    with pytest.raises(InputError) as caught:
        mask("# a comment\nimage\n-circle(50,50,3)\n".replace("image", "" if ":" in line else "image") + line)
    message = str(caught.value)
    assert message.startswith("some.reg, line 4: ") and repr(line)[1:-1] in message and BAD[line] in message


def test_the_wcs_must_reach_a_region(celestial_headers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(celestial_headers["TPV"])
    assert not mask("icrs;-circle(150,38,2d)", (400, 700), wcs=wcs).any()


# Masks, lists


def test_zeros_of_a_mask_image_are_excluded():
    data = np.array([[0, 1, -1], [2, 0, 3]])
    np.testing.assert_array_equal(mask_from_image(data, (2, 3), "m.fits"), data == 0)
    np.testing.assert_array_equal(mask_from_image([[np.nan, 0.5]], (1, 2), "m.fits"), [[True, False]])
    np.testing.assert_array_equal(mask_from_image([[True, False]], (1, 2), "m.fits"), [[False, True]])
    with pytest.raises(InputError, match=r"m.fits: .* differ in size, rows x columns: 2 x 3 and 3 x 2"):
        mask_from_image(data, (3, 2), "m.fits")


def test_lists_of_the_help_text():
    assert parse_exclusions("j99da1f2q_flt.fits test_exclusion.reg") == {"j99da1f2q_flt.fits": ("test_exclusion.reg",)}
    text = "j99da1emq_flt.fits\nj99da1f2q_flt.fits None test_sci2_exclusion.reg\n"
    assert parse_exclusions(text) == {"j99da1emq_flt.fits": (), "j99da1f2q_flt.fits": (None, "test_sci2_exclusion.reg")}
    assert parse_exclusions(text.replace("None", "indef")) == parse_exclusions(text)


def test_lists_have_comments_and_folders():
    text = "# name sci1 sci2\n\n  ../raw/a_flt.fits\tone.reg  NONE # first\nb.fits c#1.reg\n"
    assert parse_exclusions(text) == {"a_flt.fits": ("one.reg", None), "b.fits": ("c#1.reg",)}


@pytest.mark.parametrize("line", ["None a.reg", "-circle(1,2,3)", "fk5", "3269 428 20", "a/"])
def test_a_list_names_images(line):
    with pytest.raises(InputError, match=r"list.txt, line 2: .*, expected the name of an image"):
        parse_exclusions("a_flt.fits\n" + line, "list.txt")


def test_a_list_names_an_image_once():
    with pytest.raises(InputError, match=r"list.txt, line 3: a.fits stands there a second time"):
        parse_exclusions("a.fits x.reg\nb.fits\nraw/a.fits y.reg", "list.txt")


@pytest.mark.parametrize("text", [HELP_DS9, "fk5\n", "3269 428 20", "-circle(1,2,3)", "# x\nimage;circle 1 2 3",
                                  "12:30:00 -10:00:00 5", "1,2,3", "J2000", "# text(1,2)\npoint(3,4)"])
def test_region_files_are_known(text):
    assert is_region_text(text)


@pytest.mark.parametrize("text", ["", "# a list\nj99da1f2q_flt.fits test.reg", "circle.fits a.reg", "image.fits None",
                                  "1234_flt.fits a.reg b.reg", "fk5_flt.fits", "raw/a.fits"])
def test_lists_are_known(text):
    assert not is_region_text(text)
