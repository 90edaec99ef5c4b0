"""Reference catalogs: columns find themselves, stars are where they are on the day, and errors grow with the years."""

import io
import os
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import ascii as astropy_ascii
from astropy.io import fits
from astropy.table import Table as AstropyTable
from astropy.time import Time
from defaults import of

from imagereg.catalogs.formats.readers import read_table
from imagereg.catalogs.sources import Flag, SourceCatalog
from imagereg.catalogs.stars import NO_MOTION, POOR_ASTROMETRY, ReferenceCatalog, julian_year
from imagereg.catalogs.surveys import reference_catalog, sky_table_text
from imagereg.catalogs.user import limited
from imagereg.errors import InputError

COLUMNS = of("tweakreg", "refxcol", "refycol", "refxyunits", "rfluxcol", "rfluxunits")
GAIA = (b"source_id,ra,ra_error,dec,dec_error,pmra,pmra_error,pmdec,pmdec_error,ref_epoch,phot_g_mean_mag,ruwe\n"
        b"4611686018427387905,10.5,0.02,-30.25,0.03,100,0.04,-50,0.05,2016.0,15.5,1.01\n"
        b"4611686018427387906,10.6,0.2,-30.35,0.3,,,,,2016.0,20.5,\n"
        b"4611686018427387907,10.7,0.1,-30.45,0.1,-3,0.1,2,0.1,2016.0,17.0,2.0\n")
TYCHO = Path(os.environ.get("IMAGEREG_SHARED", Path(__file__).parents[4] / "shared")) / "data" / "hatp32"


def catalog(content, **columns):
    content = content.encode() if isinstance(content, str) else content
    return reference_catalog(read_table(content, "ref.csv"), **{**COLUMNS, **columns})


def test_gaia():
    stars = catalog(GAIA)
    np.testing.assert_array_equal(stars.sky, [(10.5, -30.25), (10.6, -30.35), (10.7, -30.45)])
    np.testing.assert_allclose(stars.sky_error, [(2e-5, 3e-5), (2e-4, 3e-4), (2e-4, 2e-4)])
    np.testing.assert_array_equal(stars.pm, [(100, -50), (np.nan, np.nan), (-3, 2)])
    np.testing.assert_allclose(stars.pm_error[[0, 2]], [(0.04, 0.05), (0.2, 0.2)])
    np.testing.assert_array_equal(stars.epoch, 2016.0)
    np.testing.assert_allclose(stars.flux, 10 ** (-0.4 * np.array([15.5, 20.5, 17])))
    assert stars.ident.tolist() == [4611686018427387905, 4611686018427387906, 4611686018427387907]
    assert stars.flags.tolist() == [0, NO_MOTION, POOR_ASTROMETRY]
    assert stars.has_motions
    assert stars.columns["positions"] == "ra, dec"
    assert stars.columns["motions"] == "pmra, pmdec"
    assert not (NO_MOTION | POOR_ASTROMETRY) & sum(Flag)


def test_what_was_found_is_logged(caplog):
    caplog.set_level("INFO")
    catalog(GAIA)
    assert caplog.messages == [
        "ref.csv: 3 rows; positions from ra, dec; errors from ra_error, dec_error; motions from pmra, pmdec; errors of "
        "motions from pmra_error, pmdec_error; epoch from ref_epoch; quality from ruwe; fluxes from phot_g_mean_mag; "
        "numbers from source_id", "ref.csv: 1 of 3 stars have no motion and weigh less"]


def test_errors_grow_with_the_years():
    stars = catalog(GAIA)
    at_home, later = stars.at(2016.0), stars.at(2026.0)
    np.testing.assert_array_equal(at_home.sky, stars.sky)
    np.testing.assert_array_equal(at_home.sky_error, stars.sky_error)
    np.testing.assert_allclose(later.sky_error[0], np.hypot([2e-5, 3e-5], [4e-4, 5e-4]))
    np.testing.assert_allclose(later.sky_error[1], 0.1, rtol=1e-3)  # 10 mas/yr
    np.testing.assert_array_equal(later.sky[1], stars.sky[1])
    np.testing.assert_allclose((later.sky[0] - stars.sky[0]) * 3.6e6 * [np.cos(np.deg2rad(30.25)), 1], [1000, -500],
                               rtol=1e-5)
    assert later.flags.tolist() == stars.flags.tolist()
    assert np.isnan(later.xy).all()
    np.testing.assert_allclose(stars.at(2006.0).sky_error, later.sky_error)


@pytest.mark.parametrize("epoch", [None, np.nan, np.inf])
def test_a_date_that_is_not_known(epoch):
    np.testing.assert_array_equal(catalog(GAIA).at(epoch).sky, catalog(GAIA).sky)


@pytest.mark.parametrize("years", [-100, -16.4, 10, 100])
def test_motion_is_that_of_astropy(years):
    rng = np.random.default_rng(5)
    count = 400
    sky = np.column_stack([rng.uniform(0, 360, count), rng.uniform(-85, 85, count)])
    sky[:4] = [(0, 84.9), (359.99999, -84.9), (0.00001, 0), (180, 30)]
    pm = rng.normal(0, 100, (count, 2))
    pm[:8] = rng.uniform(-10000, 10000, (8, 2))  # up to Barnard's star
    moved = ReferenceCatalog(sky, pm=pm, epoch=2016.0).at(2016.0 + years).sky
    start = SkyCoord(*sky.T * u.deg, pm_ra_cosdec=pm[:, 0] * u.mas / u.yr, pm_dec=pm[:, 1] * u.mas / u.yr,
                     obstime=Time(2016.0, format="jyear", scale="tdb"), distance=10 * u.pc)
    end = start.apply_space_motion(Time(2016.0 + years, format="jyear", scale="tdb"))
    # erfa.starpm carries the time that light takes over the change of distance: 1e-5 of the motion at 10 "/yr.
    apart = SkyCoord(*moved.T * u.deg).separation(SkyCoord(end.ra, end.dec)).to_value("mas")
    assert apart.max() < 0.1


def test_motion_over_the_pole_and_through_zero_hours():
    moved = ReferenceCatalog([(10, 89.9999), (359.9999, 0)], pm=[(0, 1e4), (1e4, 0)], epoch=2000).at(2100.0).sky
    np.testing.assert_allclose(moved[0], [190, 180 - 89.9999 - 1000 / 3600], atol=1e-6)
    np.testing.assert_allclose(moved[1], [1000 / 3600 - 0.0001, 0], atol=1e-5)


KINDS = {
    "SDSS": ("objID,ra,dec,raErr,decErr,psfMag_r\n7,10,20,0.1,0.2,18\n", (0.1, 0.2)),
    "2MASS at IRSA": ("ra,dec,err_maj,err_min,err_ang,j_m\n10,20,0.06,0.05,90,12\n", (0.06, 0.06)),
    "2MASS": ("ra,decl,err_maj,err_min,j_m\n10,20,0.06,0.05,12\n", (0.06, 0.06)),
    "2MASS at VizieR": ("RAJ2000,DEJ2000,errMaj,errMin,Jmag\n10,20,0.06,0.05,12\n", (0.06, 0.06)),
    "Pan-STARRS": ("objID,raMean,decMean,raMeanErr,decMeanErr,epochMean,rMeanPSFMag\n7,10,20,0.01,0.02,56000,18\n",
                   (0.01, 0.02)),
    "Tycho-2": ("TYC1,RAmdeg,DEmdeg,e_RAmdeg,e_DEmdeg,pmRA,pmDE,e_pmRA,e_pmDE,VTmag\n1,10,20,50,60,5,6,2,2,11\n",
                (0.05, 0.06)),
    "Gaia at VizieR": ("RA_ICRS,DE_ICRS,Source,e_RA_ICRS,e_DE_ICRS,pmRA,pmDE,RUWE,Gmag\n10,20,7,0.1,0.2,5,6,1.0,18\n",
                       (1e-4, 2e-4)),
    "SExtractor": ("NUMBER,ALPHA_J2000,DELTA_J2000,MAG_AUTO\n1,10,20,18\n", None),
    "generic": ("n,RA,DEC,mag\n1,10,20,18\n", None), "reversed": ("DEC,RA\n20,10\n", None),
    "degrees": ("id,RAdeg,DEdeg\n3,10,20\n", None), "computed": ("a,b,_RAJ2000,_DEJ2000\n1,2,10,20\n", None),
    "sexagesimal": ("id,RA,Dec\n1,00:40:00,+20:00:00\n", None),
    "blanks": ('id,RA,Dec\n1,"00 40 00","+20 00 00"\n', None),
    "without names": ("10,20,3\n", None), "plain": ("# RA Dec\n10 20\n", None), "unknown": ("p,q\n10,20\n", None),
    "six columns": ("00 40 00.0 +20 00 00 18.5\n", None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_columns_find_themselves(kind):
    content, errors = KINDS[kind]
    stars = catalog(content)
    np.testing.assert_allclose(stars.sky, [(10, 20)])
    np.testing.assert_allclose(stars.sky_error, [errors or (np.nan, np.nan)])
    assert np.isfinite(stars.flux).all() == ("mag" in content.lower() or "j_m" in content)


def test_epochs():
    assert catalog(KINDS["Pan-STARRS"][0]).epoch[0] == pytest.approx(julian_year(56000))
    assert catalog(KINDS["Tycho-2"][0]).epoch[0] == 2000
    assert np.isnan(catalog(KINDS["Gaia at VizieR"][0]).epoch[0])
    assert catalog(KINDS["Gaia at VizieR"][0], epoch=2016.0).at(2026).sky[0, 1] > 20
    assert catalog("ra,dec,jdate\n1,2,2451545.0\n").epoch[0] == 2000
    assert np.isnan(catalog("ra,dec,ref_epoch\n1,2,0\n").epoch[0])
    assert julian_year(51544.5) == 2000


def test_motions_without_an_epoch_are_said_and_not_used(caplog):
    stars = catalog(KINDS["Gaia at VizieR"][0])
    assert "ref.csv has motions but no epoch: positions are used as they are" in caplog.messages
    np.testing.assert_array_equal(stars.at(1950.0).sky, stars.sky)


def test_a_catalog_without_motions_is_used_as_it_is():
    stars = catalog(KINDS["Pan-STARRS"][0])
    np.testing.assert_array_equal(stars.at(1990.0).sky, stars.sky)
    np.testing.assert_array_equal(stars.at(1990.0).sky_error, stars.sky_error)
    assert stars.flags.tolist() == [0]


def test_columns_that_are_given_win():
    content = "RA,DEC,ra2,dec2,flux\n10,20,30,40,5\n"
    assert catalog(content, refxcol="ra2", refycol=4).sky.tolist() == [[30, 40]]
    assert catalog(content, refxcol=3, refycol=4, rfluxcol="flux", rfluxunits="counts").flux.tolist() == [5]
    assert catalog(content, refxcol="2", refycol="1").sky.tolist() == [[20, 10]]
    with pytest.raises(InputError, match="no column 'x' for refxcol"):
        catalog(content, refxcol="x")
    with pytest.raises(InputError, match="ref.csv, line 2: 100 degrees in dec2, expected -90 to 90"):
        catalog("RA,DEC,ra2,dec2\n10,20,30,100\n", refxcol="ra2", refycol=4)


def test_pixels():
    stars = catalog("X,Y,mag\n100,200,15\n-5,7000,16\n", refxyunits="pixels")
    assert stars.xy.tolist() == [[100, 200], [-5, 7000]]
    assert stars.at(2020).xy.tolist() == [[100, 200], [-5, 7000]]
    assert np.isnan(stars.at(2020).sky).all()


def test_missing_errors_count_as_the_largest():
    stars = catalog("ra,dec,ra_error,dec_error\n1,2,3,4\n1,2,,-1\n1,2,0,nan\n")
    np.testing.assert_allclose(stars.sky_error, [(3e-3, 4e-3), (4e-3, 4e-3), (4e-3, 4e-3)])


def test_errors_without_a_unit_that_is_known_are_not_used(caplog):
    assert np.isnan(catalog("RAJ2000,DEJ2000,e_RAJ2000,e_DEJ2000\n1,2,3,4\n").sky_error).all()
    assert "ref.csv: e_RAJ2000 has no unit and is not used" in caplog.messages


def test_units_of_the_table():
    table = AstropyTable({"ra": [np.deg2rad(30)] * u.rad, "dec": [0.5] * u.rad, "ra_error": [1.0] * u.arcsec,
                          "dec_error": [1e-3] * u.deg, "pmra": [1.0] * u.arcsec / u.yr, "pmdec": [1.0] * u.mas / u.yr,
                          "ref_epoch": [2015.5] * u.yr})
    for kind, buffer in (("fits", io.BytesIO()), ("ascii.ecsv", io.StringIO()), ("votable", io.BytesIO())):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table.write(buffer, format=kind)
        content = buffer.getvalue()
        stars = catalog(content)
        np.testing.assert_allclose(stars.sky, [(30, np.rad2deg(0.5))])
        np.testing.assert_allclose(stars.sky_error, [(1, 3.6)])
        np.testing.assert_allclose(stars.pm, [(1000, 1)])


def test_rows_without_a_position_are_left_out(caplog):
    stars = catalog("source_id,ra,dec\n5,INDEF,2\n6,1,2\n")
    assert stars.ident.tolist() == [6]
    assert "ref.csv: 1 of 2 rows have no position and are left out" in caplog.messages


def test_an_empty_catalog():
    for content in ("ra,dec\n", "# nothing\n"):
        stars = catalog(content)
        assert len(stars) == len(stars.at(2020)) == 0


def test_limits_work_on_references():
    stars = catalog(GAIA)
    assert limited(stars, fluxmin=17, fluxunits="mag").ident.tolist() == [4611686018427387905, 4611686018427387907]
    assert limited(stars, nbright=1, fluxunits="mag").ident.tolist() == [4611686018427387905]
    assert limited(stars, nbright=1, fluxunits="mag").at(2026).sky[0, 0] > 10.5
    np.testing.assert_allclose(stars[1:2].at(2026).sky_error, catalog(GAIA).at(2026).sky_error[1:2])


def test_it_does_not_change():
    stars = catalog(GAIA)
    with pytest.raises(ValueError, match="read-only"):
        stars.sky[0] = 1
    with pytest.raises(TypeError):
        stars.columns["x"] = 1
    with pytest.raises(ValueError, match="column 'pm' has shape"):
        ReferenceCatalog([(1, 2)], pm=[1, 2, 3])


@pytest.mark.parametrize("origin", ["a.fits", 'a "b" c', "line\nbreak", ""])
def test_a_table_of_the_sky_comes_back(origin):
    sources = SourceCatalog(np.full((2, 2), np.nan), sky=[(10.123456789012, -30), (359.25, 89)], flux=[5, np.nan],
                            sky_error=[(0.01, 0.02), (0.3, 0.4)], origin=[origin, "b"], flags=[0, 2])
    text = sky_table_text(sources, f"it's {origin}")
    stars = catalog(text, rfluxcol="flux", rfluxunits="counts")
    np.testing.assert_allclose(stars.sky, sources.sky, rtol=1e-14)
    np.testing.assert_allclose(stars.sky_error, sources.sky_error)
    np.testing.assert_array_equal(stars.flux, [5, np.nan])
    other = astropy_ascii.read(text, format="ecsv")
    assert other.colnames[:5] == ["RA", "DEC", "FLUX", "ID", "ORIGIN"]
    assert origin == "" or other["ORIGIN"][0] == origin.replace("\n", " ")
    assert other["RA_ERROR"].unit == u.arcsec


def test_a_table_of_the_sky_needs_positions():
    with pytest.raises(InputError, match="shifts: a source has no position on the sky"):
        sky_table_text(SourceCatalog([(1, 2)]), "shifts")


@pytest.mark.skipif(not TYCHO.is_dir(), reason="no shared data")
@pytest.mark.parametrize("kind", ["csv", "ecsv", "fits"])
def test_the_tycho_tables(kind):
    stars = reference_catalog(read_table((TYCHO / f"hatp32_tycho2.{kind}").read_bytes(), "tycho"), **COLUMNS)
    expected = fits.getdata(TYCHO / "hatp32_tycho2.fits")
    np.testing.assert_allclose(stars.sky, np.column_stack([expected["RA"], expected["DEC"]]), rtol=1e-15)
    np.testing.assert_allclose(-2.5 * np.log10(stars.flux), expected["MAG_VT"], rtol=1e-4)
