"""Sources of tables that users give, and the limits of their fluxes."""

import numpy as np
import pytest
from tables import COLUMNS, from_table

from imagereg.catalogs.formats.readers import read_table
from imagereg.catalogs.sources import SourceCatalog
from imagereg.catalogs.user import limited
from imagereg.errors import InputError, ParameterError


def limits_of(catalog, **limits):
    return limited(catalog, **{"fluxunits": COLUMNS["fluxunits"], **limits})


def test_rows_without_a_position_are_left_out_and_counted(caplog):
    catalog = from_table(read_table(b"1 2\nINDEF 3\n4 1e7\n5 6\n", "stars.coo"))
    np.testing.assert_array_equal(catalog.xy, [(1, 2), (5, 6)])
    np.testing.assert_array_equal(catalog.ident, [1, 4])
    assert caplog.messages == ["stars.coo: 2 of 4 rows have no position and are left out"]


MAGS = b"1 1 20.0\n2 2 18.0\n3 3 INDEF\n4 4 22.0\n5 5 99.0\n"


@pytest.mark.parametrize("limits, kept", [
    ({}, [1, 2, 3, 4, 5]), ({"fluxmin": 20}, [1, 2]), ({"fluxmax": 20}, [1, 4]), ({"fluxmin": 20, "fluxmax": 19}, [1]),
    ({"nbright": 1}, [2]), ({"nbright": 2}, [1, 2]), ({"fluxmax": 20, "nbright": 1}, [1]),
    ({"nbright": 9}, [1, 2, 3, 4, 5])])
def test_limits_in_magnitudes(limits, kept):
    catalog = from_table(read_table(MAGS, "cat"), fluxcol=3, fluxunits="mag")
    assert limits_of(catalog, fluxunits="mag", **limits).ident.tolist() == kept


@pytest.mark.parametrize("fluxunits, exptime, scale", [("counts", 100.0, 1), ("cps", 100.0, 100), ("cps", None, 1)])
def test_limits_in_counts(fluxunits, exptime, scale):
    catalog = from_table(read_table(b"1 1 0.3\n2 2 7\n3 3 0.1\n4 4 nan\n", "cat"), fluxcol="3", fluxunits=fluxunits,
                            exptime=exptime)
    np.testing.assert_allclose(catalog.flux, np.array([0.3, 7, 0.1, np.nan]) * scale)
    asked = {"fluxunits": fluxunits, "exptime": exptime}
    assert limits_of(catalog, fluxmin=0.3, **asked).ident.tolist() == [1, 2]
    assert limits_of(catalog, fluxmin=0.1, fluxmax=0.3, **asked).ident.tolist() == [1, 3]
    assert limits_of(catalog, fluxmax=0.3, nbright=1, **asked).ident.tolist() == [1]


def test_limits_that_make_no_sense():
    plain = from_table(read_table(b"1 1\n2 2\n", "stars.coo"))
    assert len(limits_of(plain)) == 2
    for limits in ({"fluxmin": 1}, {"fluxmax": 1}, {"nbright": 1}):
        with pytest.raises(ParameterError, match="stars.coo has no fluxes"):
            limits_of(plain, **limits)
    with pytest.raises(ParameterError, match="fluxmin = 2 is brighter than fluxmax = 1"):
        limits_of(plain, fluxmin=2, fluxmax=1)
    with pytest.raises(ParameterError, match="rfluxmin = 1 is brighter than rfluxmax = 2"):
        limits_of(plain, fluxmin=1, fluxmax=2, fluxunits="mag", prefix="r")
    with pytest.raises(InputError, match="EXPTIME is 0"):
        limits_of(plain.replace(flux=[1, 2]), fluxmin=1, fluxunits="cps", exptime=0)
    assert len(limits_of(SourceCatalog.empty(), fluxmin=1, nbright=1)) == 0
