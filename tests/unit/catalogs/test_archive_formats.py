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
# Written after files that archives have handed out, with numbers of our own.
GATOR = r"""\
\fixlen = T
\RowsRetrieved =                 2
\SQL     = 'WHERE (no constraints)
\SQL     = 'SELECT (6 column names follow in next row.)'
\
\ ra (deg)
\ ___ right ascension
\
|          ra|         dec|          clon|          clat| err_maj|       j_m|       angle|
|      double|      double|          char|          char|  double|    double|      double|
|         deg|         deg|              |              |  arcsec|       mag|         deg|
|        null|        null|          null|          null|    null|      null|        null|
   10.5000000  -30.2500000   00h42m00.00s  -30d15m00.00s     0.10     15.500   161.294692
   10.6000000  +30.3500000   00h42m24.00s   30d21m00.00s     null       null         null
"""
GAIA_AT_IRSA = r"""\fixlen = T
|       source_id|ref_epoch|        ra|ra_error|        dec|dec_error|  pmra| pmdec|phot_g_mean_mag|
|            long|   double|    double|   float|     double|    float|double|double|          float|
|                |       yr|       deg|     mas|        deg|      mas|mas/yr|mas/yr|            mag|
|            null|     null|      null|    null|       null|     null|  null|  null|           null|
 1000000000000001    2016.0 10.5000001      0.1 -30.2500001       0.2    1.5   -2.5            15.5
 1000000000000002    2016.0 10.6000001      0.3 -30.3500001       0.4   null   null            17.0
"""
# NVSS and its like: errors of right ascension in seconds of time, positions twice, limits by a sign.
RADIO = """#
#   VizieR Astronomical Server vizier.u-strasbg.fr
#Table\tVIII_1_radio:
#Column\t_RAJ2000\t(F9.5)\tRight ascension

_RAJ2000;_DEJ2000;recno;Radio;RAJ2000;DEJ2000;e_RAJ2000;e_DEJ2000;S1.4;l_MajAxis
deg;deg;;;"h:m:s";"d:m:s";s;arcsec;mJy;
---------;---------;--------;--------------;-----------;-----------;-----;----;--------;-
010.50000;-60.00000;     101;004200-600000  ;00 42 00.00;-60 00 00.0; 0.04; 0.6;    12.3;<
010.60000;+00.00000;     102;004224+000000  ;00 42 24.00;+00 00 00.0; 0.02; 0.7;     4.3;

#END#
"""
# As the search page of the archive writes csv: a line of types below the names.
MAST_SEARCH = """MatchID,MatchRA,MatchDec,DSigma,A_F814W
long,ra,dec,float,float
1001,10.5,-30.25,2.5,20.1
1002,10.6,-30.35,3.5,
"""
MAST_MISSION = """Target Name,RA (J2000),Dec (J2000),Exp Time
string,ra,dec,float
NGC 1 a,00 42 00.000,-30 15 00.00,12
"NGC 1, b",00 42 24.000,-30 21 00.00,
"""
PORTAL = """#
#@long,double,double,float
MatchID,MatchRA,MatchDec,DSigma
1001,10.5,-30.25,2.5
"""
SKYPORTAL = """id,ra,dec,ra_err,dec_err,redshift,altdata,filter,mjd,mag,magerr,transient
AB20a,10.5,-30.25,,,,"{'candid': 12, 'rb': 0.9}",ztfr,59000.1,15.5,0.1,False
AB20b,10.6,-30.35,,,0.12,"{""candid"": 13, ""note"": ""a,b""}",ztfg,59001.1,,,False
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


def test_gator():
    found = stars(GATOR)
    np.testing.assert_array_equal(found.sky, [(10.5, -30.25), (10.6, 30.35)])
    np.testing.assert_allclose(found.sky_error[:, 0], [0.1, 0.1])
    np.testing.assert_allclose(found.flux, [10 ** -6.2, np.nan])


def test_gaia_at_irsa():
    found = stars(GAIA_AT_IRSA)
    np.testing.assert_array_equal(found.sky, [(10.5000001, -30.2500001), (10.6000001, -30.3500001)])
    np.testing.assert_allclose(found.sky_error, [(1e-4, 2e-4), (3e-4, 4e-4)])
    np.testing.assert_array_equal(found.pm, [(1.5, -2.5), (np.nan, np.nan)])
    np.testing.assert_array_equal(found.epoch, 2016)


def test_seconds_of_time_are_errors_of_right_ascension():
    found = stars(RADIO)
    np.testing.assert_allclose(found.sky, [(10.5, -60), (10.6, 0)])
    np.testing.assert_allclose(found.sky_error, [(0.3, 0.6), (0.3, 0.7)])


@pytest.mark.parametrize("text", [MAST_SEARCH, MAST_MISSION, PORTAL, SKYPORTAL])
def test_csv_of_archives(text):
    found = stars(text)
    np.testing.assert_allclose(found.sky[0], (10.5, -30.25))
    assert len(found) == text.count("10.5") + text.count("10.6") + text.count("00 42")
    if text is SKYPORTAL:
        np.testing.assert_allclose(found.flux, [10 ** -6.2, np.nan])
    if text is MAST_SEARCH:
        np.testing.assert_allclose(found.sky_error, [(2.5e-3, 2.5e-3), (3.5e-3, 3.5e-3)])


def test_a_column_of_words_is_no_line_of_types():
    """A row below the names counts as one unless all of its cells are types."""
    table = read_table(b"kind,ra,dec\nlong,10.5,-30.25\n", "x")
    assert len(table) == 1


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
