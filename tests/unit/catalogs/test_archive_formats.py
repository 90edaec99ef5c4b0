"""Tables as archives hand them out: VizieR's TSV, IPAC tables, machine-readable tables of CDS, csv of MAST."""

import io
import warnings

import numpy as np
import pytest
from astropy.table import Table as AstropyTable
from defaults import of

from imagereg.catalogs.formats.readers import read_table
from imagereg.catalogs.surveys import reference_catalog
from imagereg.errors import InputError

COLUMNS = of("tweakreg", "refxcol", "refycol", "refxyunits", "rfluxcol", "rfluxunits")
VIZIER = """#
#   VizieR Astronomical Server vizier.cds.unistra.fr
#INFO\t-out.max=unlimited\t
#RESOURCE=yCat_1355
#Name: I/355/gaiadr3
#Column\tRA_ICRS\t(F15.11)\tRight ascension (ICRS) at Ep=2016.0
RA_ICRS\tDE_ICRS\te_RA_ICRS\te_DE_ICRS\tName\tpmRA\tpmDE\tGmag
deg\tdeg\tmas\tmas\t \tmas/yr\tmas/yr\tmag
---------------\t---------------\t-------\t-------\t----------\t---------\t---------\t---------
 10.50000000001\t-30.25000000002\t 0.0200\t 0.0300\tNGC 1 a\t  100.000\t  -50.000\t15.500000
 10.60000000000\t-30.35000000000\t 0.2000\t 0.3000\t       \t         \t         \t20.500000
 10.70000000000\t-30.45000000000\t 0.1000\t 0.1000\tNGC 3\t   -3.000\t    2.000\t
#END#
"""
IPAC = r"""\fixlen = T
\RowsRetrieved = 3
\ positions of a catalog | not a bar
|         ra|        dec| err_maj|err_min |designation|    j_m|
|     double|     double|    real|real    |char       | double|
|        deg|        deg|  arcsec|arcsec  |           |    mag|
|       null|       null|    null|null    |null       |    -99|
  10.5000001 -30.2500000     0.06 0.05     00420 a        15.5
  10.6000000 -30.3500000     0.07 0.06     null            -99
  10.7000000 -30.4500000     null null     x              17.0
"""
CDS = """Title: A catalog that nobody has made
Authors: Nobody N.
Table: Stars
================================================================================
Byte-by-byte Description of file: stars.txt
--------------------------------------------------------------------------------
   Bytes Format Units    Label   Explanations
--------------------------------------------------------------------------------
   1-  4 A4     ---      Name    Name of the star
   6-  7 I2     h        RAh     Hour of Right Ascension (J2000)
   9- 10 I2     min      RAm     Minute of Right Ascension (J2000)
  12- 17 F6.3   s        RAs     Second of Right Ascension (J2000)
      19 A1     ---      DE-     Sign of the Declination (J2000)
  20- 21 I2     deg      DEd     Degree of Declination (J2000)
  23- 24 I2     arcmin   DEm     Arcminute of Declination (J2000)
  26- 30 F5.2   arcsec   DEs     Arcsecond of Declination (J2000)
  32- 36 F5.2   mag      Vmag    [10/20]?=-9.9 Magnitude, which has a long
                                 explanation
--------------------------------------------------------------------------------
Note (1): 5-12 A4 mag NOT  a column.
--------------------------------------------------------------------------------
ab c 00 42 00.000 -00 15 00.00 15.50
d    00 42 24.000 -30 21 00.00 -9.9
     00 42 48.000 +30 27 00.00
"""
HSC = """MatchID,MatchRA,MatchDec,DSigma,NumImages,A_F814W
1001,10.5,-30.25,2.5,12,20.1
1002,10.6,-30.35,3.5,2,
"""


def stars(text, **columns):
    return reference_catalog(read_table(text.encode(), "x"), **{**COLUMNS, **columns})


@pytest.mark.parametrize("mark", ["\t", ";"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_vizier(mark, line_end):
    found = stars(VIZIER.replace("\t", mark).replace("\n", line_end))
    np.testing.assert_array_equal(found.sky, [(10.50000000001, -30.25000000002), (10.6, -30.35), (10.7, -30.45)])
    np.testing.assert_allclose(found.sky_error, [(2e-5, 3e-5), (2e-4, 3e-4), (1e-4, 1e-4)])
    np.testing.assert_array_equal(found.pm, [(100, -50), (np.nan, np.nan), (-3, 2)])
    np.testing.assert_allclose(found.flux, [10 ** -6.2, 10 ** -8.2, np.nan])


def test_vizier_sexagesimal():
    found = stars('_RAJ2000\t_DEJ2000\tVmag\n"h:m:s"\t"d:m:s"\tmag\n-----------\t-----------\t-----\n'
                  "00 42 00.000\t-00 15 00.00\t15.5\n")
    np.testing.assert_allclose(found.sky, [(10.5, -0.25)])


@pytest.mark.parametrize(("text", "line"), [
    (VIZIER.replace("NGC 3\t", "NGC 3 "), 12), (VIZIER.replace("\t20.500000", "\t20.500000\t1"), 11)])
def test_vizier_row_of_another_length_names_its_line(text, line):
    with pytest.raises(InputError, match=f"x, line {line}: .* columns, expected"):
        stars(text.replace("\t", ";"))


def test_tabs_with_empty_cells():
    table = read_table(b"name\tra\tdec\tmag\n\t10.5\t-30.25\t\nNGC 1\t10.6\t-30.35\t15\n", "x")
    np.testing.assert_array_equal(table.numbers(3), [np.nan, 15])
    np.testing.assert_array_equal(table.numbers(1), [10.5, 10.6])


@pytest.mark.parametrize("text", ["1.5\t2.5 3\n4 5 6\n", "1.5\t2.5\t3\n4 5 6\n", "\t1.5\t2.5\t3\n\t4\t5\t6\n",
                                  "1.5 \t2.5 \t3\t\n4\t5\t6\n"])
def test_tabs_are_blanks_where_columns_are_aligned_by_them(text):
    table = read_table(text.encode(), "x")
    found = np.array([table.numbers(index) for index in range(len(table.names))])
    np.testing.assert_array_equal(found[np.isfinite(found).all(axis=1)].T, [(1.5, 2.5, 3), (4, 5, 6)])


def test_ipac():
    found = stars(IPAC)
    np.testing.assert_array_equal(found.sky, [(10.5000001, -30.25), (10.6, -30.35), (10.7, -30.45)])
    np.testing.assert_allclose(found.sky_error[:, 0], [0.06, 0.07, 0.07])  # the largest for a missing one
    np.testing.assert_allclose(found.flux, [10 ** -6.2, np.nan, 10 ** -6.8])
    table = read_table(IPAC.encode(), "x")
    assert table.names[4] == "designation" and table.column(4, True).tolist() == ["00420 a", "", "x"]
    assert table.units[:3] == ("deg", "deg", "arcsec")


@pytest.mark.parametrize(("before", "after", "words"), [
    (" -30.3500000", "-130.3500000", r"line 9: '-' between"), ("17.0", "17.01", "line 10: '1' between"),
    ("10.6000000", "10.6x     ", "line 9: '10.6x' in ra, expected a number"),
    ("|mag|\n", "|mag\n", None), ("    j_m|\n", "    j_m\n", "expected the names of an IPAC table")])
def test_damaged_ipac(before, after, words):
    text = IPAC.replace(before, after, 1)
    if words is None:
        assert len(stars(text)) == 3
        return
    with pytest.raises(InputError, match=words):
        stars(text)


def test_cds():
    found = stars(CDS)
    np.testing.assert_allclose(found.sky, [(10.5, -0.25), (10.6, -30.35), (10.7, 30.45)])
    np.testing.assert_allclose(found.flux, [10 ** -6.2, np.nan, np.nan])
    table = read_table(CDS.encode(), "x")
    assert table.names == ("Name", "RAh", "RAm", "RAs", "DE-", "DEd", "DEm", "DEs", "Vmag", "RA", "DE")
    assert table.column(0, True).tolist() == ["ab c", "d", ""]


@pytest.mark.parametrize(("before", "after", "words"), [
    ("d    00 42", "d   x00 42", "line 23: 'x' between the columns"),
    ("42 24.000", "4x 24.000", "line 23: '00 4x 24.000'"),
    ("   1-  4 A4     ---      Name ", "   the first column is a Name", "line 22: 'ab c' between"),
    ("-" * 80, "", "ends with a line of dashes")])
def test_damaged_cds(before, after, words):
    with pytest.raises(InputError, match=words):
        stars(CDS.replace(before, after))


def test_csv_of_the_hubble_source_catalog():
    found = stars(HSC, rfluxcol="A_F814W")
    np.testing.assert_array_equal(found.sky, [(10.5, -30.25), (10.6, -30.35)])
    np.testing.assert_allclose(found.sky_error, [(0.0025, 0.0025), (0.0035, 0.0035)])
    np.testing.assert_allclose(found.flux, [10 ** -8.04, np.nan])


@pytest.mark.parametrize("kind", ["ascii.ipac", "ascii.mrt", "ascii.tab"])
def test_what_astropy_writes(kind):
    rng = np.random.default_rng(3)
    columns = {"RAdeg": rng.uniform(0, 360, 20).round(8), "DEdeg": rng.uniform(-90, 90, 20).round(8),
               "ID": np.arange(20), "mag": rng.uniform(10, 20, 20).round(3)}
    text = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        AstropyTable(columns).write(text, format=kind)
    found = stars(text.getvalue())
    np.testing.assert_allclose(found.sky, np.column_stack([columns["RAdeg"], columns["DEdeg"]]), atol=1e-8)
    np.testing.assert_allclose(found.flux, 10 ** (-0.4 * columns["mag"]))
    assert found.ident.tolist() == list(range(20))
