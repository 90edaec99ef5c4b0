"""Catalogs in every format become the same numbers, and what can't be read is said with its place."""

import io
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table as AstropyTable
from tables import from_table

from imagereg.catalogs.formats.readers import read_table
from imagereg.catalogs.sources import SourceCatalog
from imagereg.errors import InputError
from imagereg.files import text as formats

X, Y, FLUX = [10.25, 200.5, 3000.125], [20.75, -1.5, 1.0], [1000.0, 5.5, 20.0]

IRAF = b"""#K IRAF       = NOAO/IRAFV2.16          version    %-23s
#K THRESHOLD  = 4906.506       sigma      %-23.7g
#
#N XCENTER   YCENTER   MAG      SHARPNESS   SROUND      GROUND      ID         \\
#U pixels    pixels    #        #           #           #           #          \\
#F %-13.3f   %-10.3f   %-9.3f   %-12.3f     %-12.3f     %-12.3f     %-6d       \\
#
   10.25     20.75     -7.5     0.678       -0.02       0.1         1
   200.5     -1.5      -1.85    0.700       INDEF       0.1         2
   3000.125  1.0       -3.25    0.7         0.3         0.1         3
"""
SEXTRACTOR = b"""#   1 NUMBER                 Running object number
#   2 FLUX_AUTO              Flux within a Kron-like elliptical aperture                [count]
#   3 X_IMAGE                Object position along x                                    [pixel]
#   4 Y_IMAGE                Object position along y                                    [pixel]
#   5 MAG_APER               Fixed aperture magnitude vector                            [mag]
#   7 FLAGS                  Extraction flags
         1    1000.0   10.25     20.75    -7.5   99.0  0
         2       5.5   200.5     -1.5     -1.9   99.0  3
         3      20.0   3000.125  1.0      -3.2   99.0  0
"""
DRIZZLEPAC = b"""# Source catalog derived for j1_flt.fits
# Columns:
#    X      Y         Flux       ID      Sharp       Round1       Round2
#   (pixels)   (pixels)
10.25  20.75  1000  1  0.5 0.1 0.2
200.5  -1.5   5.5   2  0.5 0.1 0.2
3000.125  1.0  20   3  0.5 0.1 0.2
"""


def columns_text(separator, head=""):
    return (head + "".join(f"{x}{separator}{y}{separator}{flux}\n"
                           for x, y, flux in zip(X, Y, FLUX, strict=True))).encode()


def written(kind, **names):
    """Return the bytes of a table that astropy writes."""
    buffer = io.BytesIO() if kind in ("fits", "votable") else io.StringIO()
    table = AstropyTable(names or {"X": X, "Y": Y, "FLUX": FLUX})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.write(buffer, format=kind)
    value = buffer.getvalue()
    return value if isinstance(value, bytes) else value.encode()


def ldac():
    head = fits.BinTableHDU.from_columns([fits.Column("Field Header Card", "80A", array=["SIMPLE"])],
                                         name="LDAC_IMHEAD")
    objects = fits.BinTableHDU.from_columns(
        [fits.Column("X_IMAGE", "D", array=X, unit="pixel"), fits.Column("Y_IMAGE", "E", array=Y),
         fits.Column("FLUX_AUTO", "D", array=FLUX), fits.Column("VIGNET", "4E", dim="(2,2)", array=np.ones((3, 2, 2)))],
        name="LDAC_OBJECTS")
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), head, objects]).writeto(buffer)
    return buffer.getvalue()


def votable(kind):
    from astropy.io.votable import from_table as votable_of

    buffer = io.BytesIO()
    votable_of(AstropyTable({"X": X, "Y": Y, "FLUX": FLUX})).to_xml(buffer, tabledata_format=kind)
    return buffer.getvalue()


FORMATS = {
    "plain": (columns_text("   "), "3"), "tabs": (columns_text("\t"), "3"),
    "plain with names": (columns_text(" ", "# X Y Flux\n"), "flux"),
    "plain with names in the first line": (columns_text(" ", "X Y Flux\n"), "flux"),
    "plain with a title": (columns_text(" ", "# my catalog of stars\n\n"), 3),
    "dos": (columns_text("  ").replace(b"\n", b"\r\n"), "3"), "mac": (columns_text("  ").replace(b"\n", b"\r"), "3"),
    "csv": (columns_text(",", "x,y,flux\n"), "FLUX"), "csv with blanks": (columns_text(" , ", "x, y, flux\n"), "FLUX"),
    "csv without names": (columns_text(","), "3"), "csv with a comment": (columns_text(",", "#Table1\nx,y,f\n"), "f"),
    "csv with BOM": (b"\xef\xbb\xbf" + columns_text(",", "x,y,flux\n"), "flux"),
    "IRAF": (IRAF, None), "SExtractor": (SEXTRACTOR, "flux_auto"), "drizzlepac": (DRIZZLEPAC, "Flux"),
    "ECSV": (written("ascii.ecsv"), "FLUX"), "FITS": (written("fits"), "FLUX"), "LDAC": (ldac(), "FLUX_AUTO"),
    "VOTable": (votable("tabledata"), "FLUX"), "VOTable binary": (votable("binary"), "FLUX"),
    "VOTable binary2": (votable("binary2"), "FLUX"),
}
FORMATS["csv quoted"] = (b'"x","y","flux"\n"10.25","20.75","1000"\n"200.5","-1.5","5.5"\n3000.125,1.0,"20"\n', "3")


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_catalog(kind):
    content, fluxcol = FORMATS[kind]
    catalog = from_table(read_table(content, "cat"), fluxcol=fluxcol, chip=2)
    np.testing.assert_array_equal(catalog.xy, np.column_stack([X, Y]))
    np.testing.assert_array_equal(catalog.ident, [1, 2, 3])
    assert set(catalog.chip) == {2}
    assert set(catalog.origin) == {"cat"}
    np.testing.assert_array_equal(catalog.flux, FLUX if fluxcol else [np.nan] * 3)
    assert np.isnan(catalog.sky).all()


@pytest.mark.parametrize("shapes", [False, True])
@pytest.mark.parametrize("count", [0, 3])
def test_our_own_catalogs_come_back(shapes, count):
    sources = SourceCatalog(np.column_stack([X, Y]), flux=FLUX, sharp=0.5, round1=0.1, round2=0.2)[:count]
    text = formats.chip_catalog_text(sources, "j1_flt.fits", shapes=shapes)
    table = read_table(text.encode(), "j1_sci1_xy_catalog.coo")
    back = from_table(table, fluxcol="Flux" if count else "3")
    np.testing.assert_array_equal(back.xy, sources.xy)
    np.testing.assert_array_equal(back.flux, sources.flux)


def test_our_sky_catalog_comes_back():
    sources = SourceCatalog(np.full((2, 2), np.nan), sky=[(10.5, -30), (359.25, 89)])
    table = read_table(formats.sky_catalog_text(sources, "a b").encode(), "c.coo")
    assert table.names == ("RA", "Dec")
    assert table.units == ("(deg)", "(deg)")
    np.testing.assert_array_equal(from_table(table, xyunits="degrees").sky, sources.sky)


def test_iraf_names_and_units():
    table = read_table(IRAF, "stars.coo")
    assert table.names == ("XCENTER", "YCENTER", "MAG", "SHARPNESS", "SROUND", "GROUND", "ID")
    assert table.units[:3] == ("pixels", "pixels", "")
    np.testing.assert_array_equal(table.numbers(table.find("sround")), [-0.02, np.nan, 0.3])


def test_iraf_records_that_are_continued():
    content = (b"#N ID XCENTER YCENTER \\\n#U ## pixels pixels \\\n#\n#N MAG MERR \\\n#U magnitudes magnitudes \\\n#\n"
               b"1 10.25 20.75 \\\n  12.5  0.1\n2 30.0 40.0 \\\n  INDEF INDEF\n")
    table = read_table(content, "stars.mag")
    np.testing.assert_array_equal(table.numbers(3), [12.5, np.nan])
    assert table.place(1) == "stars.mag, line 9"


def test_sextractor_vectors():
    table = read_table(SEXTRACTOR, "test.cat")
    assert table.names == ("NUMBER", "FLUX_AUTO", "X_IMAGE", "Y_IMAGE", "MAG_APER", "MAG_APER_1", "FLAGS")
    last = b"#   1 X_IMAGE   x [pixel]\n#   2 FLUX_APER   Flux vector [count]\n1.0 2.0 3.0 4.0\n"
    assert read_table(last, "test.cat").names == ("X_IMAGE", "FLUX_APER", "FLUX_APER_1", "FLUX_APER_2")


def test_known_names_come_before_the_first_two_columns_but_not_before_what_is_given():
    table = read_table(SEXTRACTOR, "test.cat")
    np.testing.assert_array_equal(from_table(table).xy[:, 0], X)
    np.testing.assert_array_equal(from_table(table, xcol=2, ycol="4").xy[:, 0], FLUX)
    both = read_table(b"X_IMAGE,Y_IMAGE,XWIN_IMAGE,YWIN_IMAGE\n1,2,3,4\n", "both.csv")
    np.testing.assert_array_equal(from_table(both).xy, [(1, 2)])


@pytest.mark.parametrize("column, index", [("1", 0), (3, 2), (" 2 ", 1), ("RA", 1), ("ra", 0), ("dEc", 2)])
def test_columns_by_number_and_by_name(column, index):
    assert read_table(b"ra,RA,Dec\n1,2,3\n", "cat.csv").index(column, "xcol") == index


@pytest.mark.parametrize("column, message", [
    ("0", "cat.csv has 3 columns, xcol = 0 is none of them"), ("4", "xcol = 4"), ("Ra", "2 columns 'Ra' for xcol"),
    ("x", "no column 'x' for xcol, expected one; it has ra, RA, Dec"), ("-1", "no column '-1'"), ("1.5", "no column"),
    ("__import__('os')", "no column"), ("", "no column ''")])
def test_columns_that_are_not_there(column, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")):
        read_table(b"ra,RA,Dec\n1,2,3\n", "cat.csv").index(column, "xcol")


@pytest.mark.parametrize("cell, value", [
    ("INDEF", np.nan), ("indef", np.nan), ("nan", np.nan), ("-inf", np.nan), ("inf", np.nan), ("1e300", np.nan),
    ("1e999", np.nan), ("-1E30", np.nan), ("", np.nan), ("null", np.nan), ("--", np.nan), ("1.5D+02", 150.0),
    ("9.9e29", 9.9e29), (".5", 0.5), ("+7", 7.0), ("1.", 1.0)])
def test_numbers_and_what_stands_for_none(cell, value):
    for content in (f"1,{cell},3\n4,5,6\n", f'1,"{cell}",3\n4,5,6\n'):
        np.testing.assert_array_equal(read_table(content.encode(), "cat.csv").numbers(1), [value, 5])


@pytest.mark.parametrize("cell", ["1_000", "0x10", "1,5", "12..5", "1e", "abc", "1 2", "٣", "1.5f", "0o7", "1+1",
                                  "exit()", "True", "1e5e5", "−5"])
def test_what_is_no_number(cell):
    with pytest.raises(InputError, match="cat.csv, line 3: .* in y, expected a number"):
        read_table(f'x,y\n1,2\n3,"{cell}"\n'.encode(), "cat.csv").numbers(1)


@pytest.mark.parametrize("content, message", [
    (b"", "cat is empty"), (b" \n\n", "cat is empty"), (b"x,y\n1,2\n3\n", "cat, line 3: '3' has 1 columns, expected 2"),
    (b"1 2 3\n# x\n4 5\n", "cat, line 3: '4 5' has 2 columns, expected 3"), (b"1,2\n3,4,5\n", "line 2: '3,4,5' has 3"),
    (b"x,y,z\n1,2\n", "cat, line 2: '1,2' has 2 columns, expected 3"),
    (b"hello world\n", "line 1: .* expected numbers"),
    (b"1 2\n3 \x00 4\n", "cat, line 2: '.x00', expected text"), (b'1,2\n"3,4\n5,6\n', "line 2: .* can't be split"),
    (b"\x1f\x8b\x08\x00", "compressed"), (b"<html><body>404</body></html>", "XML or HTML"),
    (SEXTRACTOR.replace(b"1.0      -3.2   99.0  0", b"1.0 -3.2 99.0"), "line 9: .* has 6 columns, expected 7"),
    (IRAF.replace(b"YCENTER", b""), "has 7 columns, expected 6"), (b"# %ECSV 1.0\n# ---\n# [[[\nx y\n1 2\n", "ECSV"),
    (b"# %ECSV 1.0\n# ---\n# datatype: 3\nx y\n1 2\n", "can't be read as ECSV"),
    (written("ascii.ecsv").replace(b"\nX Y FLUX", b"\nY X FLUX"), "line of names is 'Y X FLUX', expected 'X Y FLUX'"),
    (written("fits")[:5000], "damaged after its first 2880 bytes"),
    (written("fits")[:-2880], "truncated"), (written("fits")[:2880], "no table"),
    (written("votable")[:-60], "can't be read as VOTable"),
    (votable("tabledata").replace(b"20.75", b"2O.75"), "cat, row 1: '2O.75' in Y, expected a number"),
    (votable("tabledata").replace(b"<TD>20.75</TD>", b""), "cat, row 1 has 2 columns, expected 3"),
    (votable("tabledata").replace(b"<TD>20.75</TD>", b"<TE>20.75</TE>"), "cat, row 1: TE '20.75', expected a cell"),
    (votable("tabledata").replace(b"<TD>20.75</TD>", b"<TD>20</TD>.75"), "cat, row 1: TD '20', expected a cell"),
    (b'<?xml version="1.0"?><VOTABLE><STREAM encoding="base64" href="file:///etc/passwd"/></VOTABLE>', "other files"),
    (b'<!DOCTYPE x [<!ENTITY a "b">]><VOTABLE>&a;</VOTABLE>', "other files"),
    (b'<VOTABLE><FIELD arraysize="99999999999999"/></VOTABLE>', "more than it can hold"),
    (b"<VOTABLE></VOTABLE>", "VOTable|no table")])
def test_what_cannot_be_read(content, message):
    with pytest.raises(InputError, match=message):
        table = read_table(content, "cat")
        table.numbers(0)
        table.numbers(1)


def test_which_table_of_a_fits_file():
    one = fits.BinTableHDU(AstropyTable({"x": [1.0], "y": [2.0]}), name="ONE")
    two = fits.BinTableHDU(AstropyTable({"a": [1.0], "b": [2.0]}), name="TWO")
    empty = fits.BinTableHDU(AstropyTable({"a": [1.0]})[:0], name="NONE")
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), one, two]).writeto(buffer)
    with pytest.raises(InputError, match="holds 2 tables: 'ONE', 'TWO', expected one"):
        read_table(buffer.getvalue(), "cat.fits")
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), empty, two]).writeto(buffer)
    assert read_table(buffer.getvalue(), "cat.fits").names == ("a", "b")


def test_fits_cells_that_are_no_number():
    table = read_table(ldac(), "cat.fits")
    with pytest.raises(InputError, match="VIGNET holds cells of .* expected one number a row"):
        table.numbers(3)
    columns = [fits.Column("n", "J", null=-99, array=[1, -99]), fits.Column("s", "3A", array=["1.5", "x"]),
               fits.Column("l", "L", array=[True, False])]
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(buffer)
    table = read_table(buffer.getvalue(), "cat.fits")
    np.testing.assert_array_equal(table.numbers(0), [1, np.nan])
    with pytest.raises(InputError, match="cat.fits, row 2: 'x' in s"):
        table.numbers(1)
    with pytest.raises(InputError, match="l holds"):
        table.numbers(2)


def test_undefined_cells_of_a_votable():
    content = votable("tabledata").replace(b"20.75", b"")
    np.testing.assert_array_equal(read_table(content, "c.vot").numbers(1), [np.nan, *Y[1:]])
    content = votable("tabledata").replace(b'name="Y"/>', b'name="Y"><VALUES null="-1.5"/></FIELD>')
    np.testing.assert_array_equal(read_table(content, "c.vot").numbers(1), [Y[0], np.nan, Y[2]])


@pytest.mark.parametrize("ra, dec, sky", [
    ("48.066", "-12.5", (48.066, -12.5)), ("03:12:15.84", "-12:30:00", (48.066, -12.5)),
    ("03 12 15.84", "-00 30 00", (48.066, -0.5)), ("3h12m15.84s", "-12d30m00s", (48.066, -12.5)),
    ("48d03m57.6s", "+12:30:60", (48.066, 12 + 31 / 60)), ("-10", "90", (350, 90)), ("INDEF", "1", (np.nan, 1))])
def test_angles(ra, dec, sky):
    table = read_table(f"RA,Dec\n{ra},{dec}\n".encode(), "cat.csv")
    np.testing.assert_allclose([table.angles(0, hours=True)[0], table.angles(1, hours=False)[0]], sky, rtol=1e-14)


@pytest.mark.parametrize("ra, dec", [
    ("361", "0"), ("0", "91"), ("25:00:00", "0"), ("1:60:00", "0"), ("1:00:61", "0"), ("0", "5h00m00s"), ("1:2", "0"),
    ("1:00:00\n2.5", "0\n0"), ("1 2", "0"), ("x", "0"), ("0", "-90:00:01")])
def test_angles_that_are_none(ra, dec):
    rows = zip(ra.split("\n"), dec.split("\n"), strict=False)
    table = read_table(("RA,Dec\n" + "".join(f"{a},{b}\n" for a, b in rows)).encode(), "cat.csv")
    with pytest.raises(InputError, match="cat.csv, line [23]: "):
        from_table(table, xyunits="degrees")


@pytest.mark.parametrize("unit, factor", [("hourangle", 15), ("h", 15), ("rad", np.rad2deg(1)), ("arcmin", 1 / 60)])
def test_angles_in_other_units(unit, factor):
    content = f"# %ECSV 1.0\n# ---\n# datatype:\n# - {{name: RA, unit: {unit}, datatype: float64}}\nRA\n1.5\n".encode()
    np.testing.assert_allclose(read_table(content, "cat").angles(0, hours=True), 1.5 * factor, rtol=1e-14)


def test_a_unit_of_another_kind():
    content = b"# %ECSV 1.0\n# ---\n# datatype:\n# - {name: RA, unit: pix, datatype: float64}\nRA\n1.5\n"
    with pytest.raises(InputError, match="RA has the unit 'pix', expected deg"):
        read_table(content, "cat").angles(0, hours=True)


def test_whole_numbers_keep_all_digits():
    for content in (b"4611686018427387905,1\n5,2\n", b'"4611686018427387905",1\n5,2\n'):
        assert read_table(content, "gaia.csv").integers(0).tolist() == [4611686018427387905, 5]
    assert read_table(b"1.5,1\n5,2\n", "gaia.csv").integers(0) is None
