"""Text for other people's scripts has the columns they know, and what is malformed is named by line."""

import dataclasses
import io

import numpy as np
import pytest
from astropy.wcs import WCS
from fields import fit_linear, match

from imagereg.alignment.sequence import Alignment, Chip, Exposure, Status
from imagereg.catalogs.sources import SourceCatalog
from imagereg.errors import InputError
from imagereg.files.inputs import parse_list
from imagereg.files.text import (
    Shift,
    chip_catalog_text,
    fit_text,
    match_text,
    parse_shiftfile,
    shiftfile_text,
    sky_catalog_text,
)
from imagereg.wcs.plane import TangentPlane

# Lists


@pytest.mark.parametrize(("text", "names"), [
    ("a.fits\nb.fits\n", ["a.fits", "b.fits"]),
    ("a.fits", ["a.fits"]),
    ("\n  a.fits  \n\n\tb.fits\n\n", ["a.fits", "b.fits"]),
    ("# two files\na.fits # the first\n   # nothing\nb.fits#too\n", ["a.fits", "b.fits"]),
    ("a.fits\r\nb.fits\r\n", ["a.fits", "b.fits"]),
    ("../folder/a_flt.fits[sci,1]\n", ["../folder/a_flt.fits[sci,1]"]),
])
def test_list(text, names):
    assert parse_list(text, "in.lst") == [[name] for name in names]


def test_list_keeps_its_order():
    assert [name for name, in parse_list("b\na\nc\na\n", "in.lst")] == ["b", "a", "c", "a"]


def test_second_column_of_a_list():
    # drizzlepac: UnboundLocalError
    text = "# images\na.fits INDEF\nb.fits b_ivm.fits\nc.fits None\nd.fits\n"
    assert parse_list(text, "in.lst") == [["a.fits"], ["b.fits", "b_ivm.fits"], ["c.fits"], ["d.fits"]]


@pytest.mark.parametrize("line", ["a.fits, b.fits", "a.fits,b.fits"])
def test_malformed_list(line):
    with pytest.raises(InputError, match=rf"in\.lst, line 3: '{line}', expected the name of a file"):
        parse_list(f"# images\na.fits\n{line}\n", "in.lst")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n   \n"])
def test_empty_list(text):
    with pytest.raises(InputError, match="in.lst names no file"):
        parse_list(text, "in.lst")


# Shiftfiles


def test_text_of_a_shiftfile():
    rows = [Shift("a_flt.fits", 0, 0, 0, 1, 0, 0), Shift("b_flt.fits", 1.25, -3.5, 359.998, 1.00001, 0.05, 0.06)]
    text = shiftfile_text(rows, "shifts_wcs.fits")
    lines = text.splitlines()
    assert lines[:4] == ["# frame: output", "# refimage: shifts_wcs.fits[wcs]", "# form: delta", "# units: pixels"]
    assert [line.split()[0] for line in lines[4:]] == ["a_flt.fits", "b_flt.fits"]
    np.testing.assert_allclose(np.array(lines[5].split()[1:], float), [1.25, -3.5, 359.998, 1.00001, 0.05, 0.06])
    assert len(lines) == 6
    assert text.endswith("\n")


def test_failed_image_is_nan():
    text = shiftfile_text([Shift("a.fits", *[np.nan] * 6)], "w.fits")
    assert text.splitlines()[-1].split() == ["a.fits"] + ["nan"] * 6
    (shift,), _ = parse_shiftfile(text, "shifts.txt")
    assert np.isnan([shift.dx, shift.dy, shift.rot, shift.scale, shift.xrms, shift.yrms]).all()


def test_shiftfile_of_drizzlepac():
    text = ("# frame: output\n# refimage: tweak_wcs.fits[wcs]\n# form: delta \n# units: pixels \n"
            "j8bt06nyq_flt.fits    0.000000  0.000000    0.000000     1.000000   0.000000  0.000000\n"
            "j8bt06nzq_flt.fits    -2.138142  1.004562    359.997210     0.999992   0.042145  0.059301\n")
    shifts, outwcs = parse_shiftfile(text, "shifts.txt")
    assert outwcs == "tweak_wcs.fits"
    assert shifts[1] == Shift("j8bt06nzq_flt.fits", -2.138142, 1.004562, 359.99721, 0.999992, 0.042145, 0.059301)


def test_shiftfile_without_scatter_and_reference():
    # As MultiDrizzle and tran wrote them.
    shifts, outwcs = parse_shiftfile("# units: pixels\n\na.fits 1 2 0.5 1\n  b.fits\t3 -4e-1 0 1.0\n", "s.txt")
    assert outwcs == ""
    found = [(shift.name, shift.dx, shift.dy, shift.rot, shift.scale) for shift in shifts]
    assert found == [("a.fits", 1, 2, 0.5, 1), ("b.fits", 3, -0.4, 0, 1)]
    assert np.isnan([shifts[0].xrms, shifts[0].yrms]).all()


def test_shiftfile_with_commas_at_the_ends_of_words():
    (shift,), _ = parse_shiftfile("a.fits  4.88 -1.03, 0.0014, 1.0, 0.04 0.05\n", "s.txt")
    assert shift == Shift("a.fits", 4.88, -1.03, 0.0014, 1, 0.04, 0.05)


@pytest.mark.parametrize("line", ["# reference: w.fits", "#refimage:w.fits[wcs]", "# refimage: w.fits[wcs]  ",
                                  "  # refimage: w.fits"])
def test_spellings_of_the_reference(line):
    assert parse_shiftfile(f"{line}\na.fits 1 2 3 1\n", "s.txt")[1] == "w.fits"


@pytest.mark.parametrize("row", ["b.fits 1 2", "b.fits 1 2 3 four", "b.fits 1 2 3 1 0.1", "b.fits", "1 2 3 4",
                                 "b.fits 1 2 3 1 0 0 0", "b.fits 1,5 2 0 1", "b.fits 1 2 0 1,,"])
def test_malformed_row_is_named_by_its_line(row):
    with pytest.raises(InputError, match=rf"s\.txt, line 4: '{row}', expected name dx dy rot scale"):
        parse_shiftfile(f"# units: pixels\na.fits 0 0 0 1\n\n{row}\nc.fits 0 0 0 1\n", "s.txt")


def test_empty_shiftfile():
    assert parse_shiftfile("# frame: output\n", "s.txt") == ([], "")


# Catalogs


CATALOG = SourceCatalog([(10.12342, 20.5), (1024, 2.00004)], flux=[123456.789, np.nan], ident=[3, 9], sharp=[0.5, 0.6],
                        round1=[-0.1, 0.2], round2=[0.3, -0.4], sky=[(150.123456789012, -2.5), (0.000001, 89.9)])


def numbers(text):
    """Return the columns of a table that numpy reads, (rows, columns)."""
    return np.loadtxt(io.StringIO(text), ndmin=2)


def test_chip_catalog():
    text = chip_catalog_text(CATALOG, "a_flt.fits")
    assert text.splitlines()[:3] == ["# Source catalog derived for a_flt.fits", "# Columns: ",
                                     "#    X      Y         Flux       ID"]
    np.testing.assert_allclose(numbers(text), [(10.1234, 20.5, 123457, 3), (1024, 2, np.nan, 9)], atol=6e-5)
    assert text.endswith("\n")


def test_chip_catalog_with_shapes():
    text = chip_catalog_text(CATALOG, "a_flt.fits", shapes=True)
    assert "Sharp       Round1       Round2" in text
    np.testing.assert_allclose(numbers(text)[:, 4:], [(0.5, -0.1, 0.3), (0.6, 0.2, -0.4)])


def test_sky_catalog():
    text = sky_catalog_text(CATALOG, "a_flt.fits")
    assert text.startswith("#Sky positions for: a_flt.fits\n#RA        Dec\n")
    np.testing.assert_allclose(numbers(text), CATALOG.sky, atol=1e-12)


@pytest.mark.parametrize("text", [chip_catalog_text(SourceCatalog.empty(), "a"),
                                  chip_catalog_text(SourceCatalog.empty(), "a", shapes=True),
                                  sky_catalog_text(SourceCatalog.empty(), "a")], ids=["chip", "shapes", "sky"])
def test_catalogs_of_nothing(text):
    assert all(line.startswith("#") for line in text.splitlines())
    assert len(text.splitlines()) >= 3


# Matches and fits


@pytest.fixture(scope="module")
def alignment():
    """Return an alignment of 30 pairs, one of which the fit rejects; the image is at (4, -6) from the reference."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], (150.0, 2.0), (250.5, 200.5)
    wcs.wcs.cdelt = -1e-5, 1e-5
    chips = [Chip(1, wcs, (400, 500))]
    plane = TangentPlane.around([(wcs, (400, 500))])
    random = np.random.default_rng(1)
    ref_xy = random.uniform(20, 380, (30, 2))
    image_xy = ref_xy + (4, -6) + random.normal(0, 0.02, ref_xy.shape)
    image_xy[11] += 0.7
    exposures = []
    for name, xy, first in (("ref_flt.fits", ref_xy, 100), ("img_flt.fits", image_xy, 500)):
        sources = SourceCatalog(wcs.wcs_world2pix(plane.plane_to_sky(xy), 1), ident=first + np.arange(30))
        exposures.append(Exposure.measured(name, chips, sources))
    pairs = match(image_xy, ref_xy, searchrad=10, tolerance=2)
    fit = fit_linear(image_xy[pairs.image_index], ref_xy[pairs.ref_index], centre=plane.centre, geometry="shift")
    assert (len(pairs), fit.nmatches) == (30, 29)
    return Alignment(exposures[1], Status.ALIGNED, "", plane, match=pairs, fit=fit, reference=exposures[0].sources,
                     rows=pairs.image_index, ref_rows=pairs.ref_index, image_xy=image_xy[pairs.image_index],
                     ref_xy=ref_xy[pairs.ref_index])


def columns(text):
    """Return the numbers of a table whose last column is a name, and that column."""
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return np.array([row[:-1] for row in rows], float), [row[-1] for row in rows]


def test_match_file(alignment):
    text = match_text(alignment)
    assert text.splitlines()[:2] == ["#Reference: ref_flt.fits", "#Input: img_flt.fits"]
    titles = text.splitlines()[2].lstrip("#").split()
    assert titles == ["Ref_X", "Ref_Y", "Input_X", "Input_Y", "Ref_X0", "Ref_Y0", "Input_X0", "Input_Y0", "Ref_ID",
                      "Input_ID", "Ref_Source"]
    table, origin = columns(text)
    assert table.shape == (30, 10)
    assert set(origin) == {"ref_flt.fits"}
    np.testing.assert_allclose(table[:, :2], alignment.ref_xy, atol=1e-6)
    np.testing.assert_allclose(table[:, 2:4], alignment.image_xy, atol=1e-6)
    np.testing.assert_allclose(table[:, 4:6], alignment.reference.xy[alignment.ref_rows], atol=1e-6)
    np.testing.assert_allclose(table[:, 6:8], alignment.exposure.sources.xy[alignment.rows], atol=1e-6)
    np.testing.assert_array_equal(table[:, 8] - 100, table[:, 9] - 500)


def test_a_line_end_in_a_name_ends_no_row(alignment):
    named = dataclasses.replace(alignment.reference, origin="a\nb_flt.fits")
    renamed = dataclasses.replace(alignment, reference=named)
    for text in (match_text(renamed), fit_text(renamed)):
        _, origin = columns(text)
        assert set(origin) == {"a\\nb_flt.fits"}


def test_fit_file(alignment):
    text = fit_text(alignment)
    head = [line for line in text.splitlines() if line.startswith("#")]
    titles = [line.partition(":")[2].strip() for line in head if "Column " in line]
    assert titles == ["X (reference)", "Y (reference)", "X (input)", "Y (input)", "X (fit)", "Y (fit)", "X (residual)",
                      "Y (residual)", "Original X (reference)", "Original Y (reference)", "Original X (input)",
                      "Original Y (input)", "Ref ID", "Input ID", "Input EXTVER ID", "RA (fit)", "Dec (fit)",
                      "Ref source provenience"]
    table, origin = columns(text)
    assert table.shape == (29, 17)
    assert set(origin) == {"ref_flt.fits"}
    used = alignment.fit.used
    centre = alignment.plane.centre
    np.testing.assert_allclose(table[:, :2], alignment.ref_xy[used] - centre, atol=1e-6)
    np.testing.assert_allclose(table[:, 2:4], alignment.image_xy[used] - centre, atol=1e-6)
    # as drizzlepac has them: the residual is that of the image against what the reference and the shift predict
    np.testing.assert_allclose(table[:, 6:8], table[:, 2:4] - table[:, :2] - alignment.offset, atol=3e-6)
    np.testing.assert_allclose(table[:, 4:6], table[:, :2] + centre + table[:, 6:8], atol=3e-6)
    np.testing.assert_allclose(table[:, 15:17], alignment.plane.plane_to_sky(table[:, 4:6]), atol=1e-9)
    assert set(table[:, 14]) == {1}
    np.testing.assert_array_equal(table[:, 12] - 100, table[:, 13] - 500)
    assert len(set(table[:, 12])) == 29


def test_head_of_the_fit_file(alignment):
    head = fit_text(alignment).splitlines()
    assert head[0] == "# Input image: img_flt.fits"
    values = {key.strip("# "): text.split() for key, _, text in (line.partition(":") for line in head)}
    np.testing.assert_allclose(np.array(values["X and Y shift"], float), (4, -6), atol=0.02)
    np.testing.assert_allclose(np.array(values["X and Y rms"], float), alignment.rms, rtol=0.01)
    assert values["X and Y scale"] == ["1", "1"]
    assert values["X and Y rotation"] == ["0", "0"]


@pytest.mark.parametrize("name", ["a b.fits", "a\nb.fits", "a\udcff.fits", "#a.fits", "'a' \"b\".fits", "'a.fits",
                                  "a\x1b[31m.fits", "a'b.fits"])
def test_shiftfile_with_an_odd_name(name):
    text = shiftfile_text([Shift(name, 1.0, 2.0)], "wcs.fits")
    assert text.isascii() and len(text.splitlines()) == 5
    (shift,), _ = parse_shiftfile(text, "shifts.txt")
    assert shift.name == name and shift.dx == 1.0
