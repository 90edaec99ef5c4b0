"""Stars of surveys by name: from a service of the tests, from the cache, and sentences where neither has them."""

import re
import sys

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from tap_server import cone_of, serving, votable

from imagereg.catalogs import queries, read_table, reference_catalog
from imagereg.catalogs.queries import SURVEYS, Cone, cone_query, survey_named
from imagereg.errors import InputError
from imagereg.files import services

FIELD = Cone(150.123, -30.457, 0.043)
IDENT = 4611686018427387905  # more digits than a float has


def rows_of(survey, n=3):
    """Return made-up columns as the first service of a survey gives them."""
    names = SURVEYS[survey][0].names
    columns = {name: [round(0.1 + 0.1 * row, 3) for row in range(n)] for name in names}
    for name in names:
        if name.lower() in ("ra", "ramean"):
            columns[name] = [150.1 + 0.001 * row for row in range(n)]
        if name.lower() in ("dec", "decmean"):
            columns[name] = [-30.5 + 0.001 * row for row in range(n)]
        if name in ("source_id", "objID", "ID"):
            columns[name] = [IDENT + row for row in range(n)]
        if name == "ref_epoch":
            columns[name] = [2016.0] * n
        if name in ("epochMean", "jdate"):
            columns[name] = [(55000.0 if name == "epochMean" else 2451000.5) + row for row in range(n)]
    return columns


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(services.ADDRESS, "http://127.0.0.1:9/nothing")  # nothing else is reached by mistake
    return tmp_path


@pytest.fixture
def server(home, monkeypatch):
    pytest.importorskip("pyvo")
    with serving(votable(rows_of("GAIADR3"))) as running:
        monkeypatch.setenv(services.ADDRESS, running.url)
        yield running


def stars_of(text):
    return reference_catalog(read_table(text.encode(), "x"), refxcol="1", refycol="2", refxyunits="degrees",
                             rfluxcol="", rfluxunits="mag")


@pytest.mark.parametrize(("given", "survey"), [
    ("GAIADR3", "GAIADR3"), ("gaia dr3", "GAIADR3"), ("Gaia-DR2", "GAIADR2"), ("ps1", "PS1"), ("2mass", "2MASS"),
    ("LS DR10", "LSDR10"), ("ls_dr10", "LSDR10"), ("gaia.csv", None), ("GAIADR33", None), ("", None)])
def test_names(given, survey):
    assert survey_named(given) == survey


@pytest.mark.parametrize("center", [(0.01, 5.0), (359.9, -89.99), (123.4, 60.0)])
def test_cone_around_holds_the_points(center):
    steps = [(-0.1, -0.03), (-0.1, 0.03), (0.1, -0.03), (0.1, 0.03)]
    points = np.array([(center[0] + dx, np.clip(center[1] + dy, -90, 90)) for dx, dy in steps])
    cone = Cone.around(points, 0.001)
    middle = SkyCoord(cone.ra, cone.dec, unit="deg")
    apart = middle.separation(SkyCoord(*points.T, unit="deg")).deg
    assert apart.max() == pytest.approx(cone.radius - 0.001, abs=1e-9) and cone.radius < 0.15
    assert cone.widened().contains(cone) and not cone.contains(cone.widened())
    assert cone.widened().radius < cone.radius + 0.05


@pytest.mark.parametrize("survey", SURVEYS)
def test_every_service_gives_what_the_reader_knows(survey):
    for service in SURVEYS[survey]:
        query = cone_query(service, FIELD)
        assert cone_of(query) == (150.123, -30.457, 0.043) and f"TOP {queries.MOST_STARS} " in query
        assert service.magnitude in service.names and query.endswith(f"ORDER BY {service.magnitude}")
        columns = {name: rows_of(survey).get(name, [0.5] * 3) for name in service.names}
        table = read_table(votable(columns).encode(), "x")
        found = stars_of(services._ecsv(table, service.names, {}))
        assert {"positions", "errors", "fluxes"} <= found.columns.keys()
        assert np.isfinite(found.epoch).all() == (survey != "LSDR10")
        assert found.has_motions == survey.startswith("GAIA")


def test_stars_are_fetched_kept_and_found_again_without_network(server, home, monkeypatch):
    text = services.fetch_stars("GAIADR3", FIELD, keep=True)
    stars = stars_of(text)
    assert stars.ident.tolist() == [IDENT, IDENT + 1, IDENT + 2]
    np.testing.assert_allclose(stars.sky_error[1], [0.0002, 0.0002])
    assert len(server.queries) == 1 and server.deleted == 1
    ra, dec, radius = cone_of(server.queries[0])
    assert Cone(ra, dec, radius).contains(FIELD)
    assert all(word in text for word in ("QUERY", "SERVICE", "DATE", "gaiadr3.gaia_source"))
    monkeypatch.setenv(services.ADDRESS, "http://127.0.0.1:9/nothing")
    monkeypatch.setitem(sys.modules, "pyvo", None)  # not even installed
    assert services.fetch_stars("GAIADR3", FIELD, keep=True) == text
    smaller = Cone(FIELD.ra + 0.001, FIELD.dec, FIELD.radius - 0.01)
    assert services.fetch_stars("GAIADR3", smaller, keep=True) == text
    for survey, cone in (("GAIADR2", FIELD), ("GAIADR3", Cone(FIELD.ra, FIELD.dec, 0.2))):
        with pytest.raises(InputError, match="pip install"):
            services.fetch_stars(survey, cone, keep=True)


def test_a_dry_run_keeps_nothing(server, home):
    services.fetch_stars("GAIADR3", FIELD, keep=False)
    assert list(home.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_warning(server, home, caplog):
    (home / ".imagereg").write_text("a file")
    assert "phot_g_mean_mag" in services.fetch_stars("GAIADR3", FIELD, keep=True)
    assert "is not kept for other runs" in caplog.text


def test_undefined_cells(server):
    server.content = votable({**rows_of("GAIADR3"), "pmra": [1.0, None, 2.0], "pmdec": [1.0, None, 2.0]})
    stars = stars_of(services.fetch_stars("GAIADR3", FIELD, keep=False))
    assert np.isnan(stars.pm).any(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize(("fault", "words"), [
    ("slow", "no answer within 0.5 s"), ("500", "status 500"), ("truncated", "can't be read as VOTable"),
    ("html", "is XML or HTML"), ("error", "cannot parse ADQL"), ("status", "no such table"),
    ("endless", "did not finish within 1 s")])
def test_faults_are_one_sentence_that_says_what_to_do(server, home, monkeypatch, fault, words):
    monkeypatch.setattr(services, "_PATIENCE", 0.5)
    monkeypatch.setattr(services, "_LONGEST", 1.0)
    server.fault = fault
    with pytest.raises(InputError) as caught:
        services.fetch_stars("GAIADR3", FIELD, keep=True)
    message = str(caught.value)
    assert words in message and "refcat = FILE" in message and "\n" not in message and len(message) < 300
    assert not (home / ".imagereg").exists()


def test_end_of_the_answer_is_missing(server):
    server.content = server.content.partition("</RESOURCE>")[0]
    with pytest.raises(InputError, match="can't be read|truncated"):
        services.fetch_stars("GAIADR3", FIELD, keep=False)


def test_other_columns(server):
    server.content = votable({"ra": [1.0], "dec": [2.0]})
    with pytest.raises(InputError, match="has the columns ra, dec, expected source_id, "):
        services.fetch_stars("GAIADR3", FIELD, keep=False)


def test_no_stars(server):
    server.content = votable({name: [] for name in SURVEYS["GAIADR3"][0].names})
    with pytest.raises(InputError, match="GAIADR3 has no stars within 0.08 degrees of RA 150.12, Dec -30.46"):
        services.fetch_stars("GAIADR3", FIELD, keep=True)


def test_answer_that_was_cut_off_is_a_warning(server, caplog):
    server.content = votable(rows_of("GAIADR3"), status="OVERFLOW")
    services.fetch_stars("GAIADR3", FIELD, keep=False)
    assert "only the 3 brightest stars of the field came" in caplog.text


def test_no_network(home):
    pytest.importorskip("pyvo")
    with pytest.raises(InputError, match=r"GAIADR3 can't be fetched \(127.0.0.1: no connection\): give a table"):
        services.fetch_stars("GAIADR3", FIELD, keep=True)


def test_the_second_service_answers_where_the_first_does_not(server, monkeypatch):
    first, second = SURVEYS["GAIADR3"]
    asked = []

    def answer(url, query):
        asked.append(query)
        if len(asked) == 1:
            raise InputError("out of order")
        return votable(rows_of("GAIADR3")).encode()

    monkeypatch.setattr(services, "_answer", answer)
    assert "I/355" in services.fetch_stars("GAIADR3", FIELD, keep=False)
    assert first.table in asked[0] and re.search(r'FROM "I/355/gaiadr3" WHERE', asked[1]) and second.table in asked[1]
