"""The text of a solution file and of a geomap database, without files."""

import numpy as np
import pytest
from astropy.table import Table
from fields import fit_linear
from hypothesis import given
from hypothesis import strategies as st

from imagereg.errors import InputError
from imagereg.files.images.instruments import metadata_of
from imagereg.files.solution import ExposureRecord, Solutions, SolvedExposure
from imagereg.files.text import geomap_text
from imagereg.wcs.plane import TangentPlane

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
words = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)


@given(st.lists(numbers, min_size=8, max_size=8), words, st.tuples(st.floats(0, 359), st.floats(-89, 89)))
def test_text_keeps_every_digit(values, reason, crval):
    names = ("xx", "xy", "yx", "yy", "x_shift", "y_shift", "x_centre", "y_centre")
    numbers = dict(zip(names, values, strict=True))
    row = SolvedExposure(file="a_flt.fits", status="failed", rootname="a", reason=reason, nmatches=7, **numbers)
    plane = TangentPlane.of(crval, (1 / 3, 2e5 / 7), np.array([[-1.1, 0.3], [0.3, 1.1]]) / 7e4, (30, 40))
    solutions = Solutions("s.ecsv", plane, (row,))
    again = Solutions.parse(solutions.text(Table({"file": ["a_flt.fits"]})), "s.ecsv")
    assert repr(again.rows) == repr(solutions.rows)  # NaN is not equal to itself
    xy = np.array([[1.0, 2.0], [39.5, 17.0]])
    np.testing.assert_array_equal(again.plane.plane_to_sky(xy), plane.plane_to_sky(xy))
    assert again.plane.shape == (30, 40)


@pytest.mark.parametrize("damage", [
    {"xx": np.nan}, {"x_shift": np.inf}, {"yy": 0.0}, {"xx": 1e308}, {"y_centre": -1e300}, {"xx": 1e-300, "yy": 1e300}])
def test_aligned_row_needs_a_matrix(damage):
    plane = TangentPlane.flat()
    numbers = {"xx": 1.0, "xy": 0.0, "yx": 0.0, "yy": 1.0, "x_shift": 3.0, "y_shift": 0.0, "x_centre": 5.0,
               "y_centre": 5.0}
    whole = SolvedExposure(file="a.fits", **numbers)
    assert Solutions.parse(Solutions("", plane, (whole,)).text(Table({"file": ["a.fits"]})), "s.ecsv").rows[0].has_map
    row = SolvedExposure(file="a.fits", **(numbers | damage))
    text = Solutions("", plane, (row,)).text(Table({"file": ["a.fits"]}))
    with pytest.raises(InputError, match="s.ecsv is damaged: the row of a.fits is aligned and has no matrix"):
        Solutions.parse(text, "s.ecsv")


def test_row_without_a_number():
    row = SolvedExposure(file="a.fits", status="failed", y_first=7.25)
    text = Solutions("", TangentPlane.flat(), (row,)).text(Table({"file": ["a.fits"]}))
    with pytest.raises(InputError, match="s.ecsv is damaged: a row has no number for y_first"):
        Solutions.parse(text.replace(" 7.25 ", ' "" '), "s.ecsv")


@pytest.mark.parametrize("name, rootname, visit", [
    ("j8bt06nyq_flt.fits", "", "j8bt06"), ("x.fits", "J8BT06NYQ", "j8bt06"), ("mosaic_drz.fits", "", ""),
])
def test_visit(name, rootname, visit):
    metadata = metadata_of({"ROOTNAME": rootname}, name)
    assert metadata.visit == visit
    assert ExposureRecord.of(name, metadata, (), TangentPlane.flat()).visit == visit


def kin(letter, epoch, shift):
    return SolvedExposure(file=f"j8bt06n{letter}q_flt.fits", visit="j8bt06", rootname=f"j8bt06n{letter}q",
                          epoch=epoch, xx=1.0, xy=0.0, yx=0.0, yy=1.0, x_shift=shift, y_shift=0.0, x_centre=0.0,
                          y_centre=0.0)


def test_nearest_in_time_of_a_visit():
    frame = ExposureRecord("j8bt06nzq_flt.fits", "j8bt06nzq", "j8bt06", epoch=2000.34, x_first=0.0, y_first=0.0,
                           x_last=9.0, y_last=9.0)
    rows = kin("a", 2000.0, 5.0), kin("b", 2000.3, 0.0), kin("c", 2000.4, 0.1)
    assert Solutions("s", TangentPlane.flat(), rows).rows_for(frame) == [rows[1]]
    with pytest.raises(InputError, match="which differ"):
        Solutions("s", TangentPlane.flat(), rows[:2]).rows_for(frame)
    undated = [kin(row.rootname[7], np.nan, row.x_shift) for row in rows]
    with pytest.raises(InputError, match="which differ"):
        Solutions("s", TangentPlane.flat(), undated).rows_for(frame)


@pytest.mark.parametrize("geometry, name", [("shift", "shift"), ("rshift", "rotate"), ("rscale", "rscale"),
                                            ("xyscale", "xyscale"), ("general", "general")])
def test_geomap_record_is_the_inverse_of_the_fit(geometry, name):
    image = np.random.default_rng(1).uniform(0, 500, (40, 2))
    ref = image @ np.array([[1.01, 0.02], [-0.01, 0.99]]).T + [3, -2]
    fit = fit_linear(image, ref, geometry=geometry, centre=(250, 260), sigma=None)
    lines = geomap_text([("root", fit)], (400, 500), "w.fits").splitlines()
    assert all(line.startswith("#") for line in lines[:2]) and lines[2] == "begin\troot"
    fields = dict(line.split() for line in lines[3:] if not line.startswith("\t\t"))
    surface = np.array([line.split() for line in lines if line.startswith("\t\t")], float)
    assert fields["geometry"] == name and int(fields["surface1"]) == len(surface) == 11 and fields["surface2"] == "0"
    found = surface[8] + fit(image) @ surface[9:]
    np.testing.assert_allclose(found, image, atol=1e-9)
    np.testing.assert_allclose(surface[4:8, 0], [1, 500, 1, 400])
