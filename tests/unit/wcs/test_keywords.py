"""What headers say of a WCS, and in what they differ."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from corrections import celestial, corrected_header, moved

from imagereg.wcs.keywords import fit_rms, header_differences, is_fitted, wcs_type


@pytest.mark.parametrize("name, kind", [
    ("TWEAK", "user-defined"),
    ("IDC_0461802ej", "undistorted not aligned"),
    ("OPUS", "pipeline default not aligned"),
    ("IDC_0461802ej-GSC240", "undistorted a priori solution based on GSC240"),
    ("IDC_0461802ej-FIT_REL_GAIADR2", "undistorted a posteriori solution relatively aligned to GAIADR2"),
    ("idc_x-fit_svm_gaia", "undistorted a posteriori solution aligned by visit to GAIA"),
    ("IDC_x-FIT", "undistorted a posteriori solution"),
])
def test_type_of_a_name(demo_header, name, kind):
    """The first six are what drizzlepac 3.11 makes of them; with the last it ends in an error."""
    assert wcs_type(name) == kind
    header = corrected_header(demo_header, moved(WCS(celestial(demo_header)), (192, 384)), wcsname=name)
    assert header["WCSTYPE"] == kind and is_fitted(header) and not is_fitted(demo_header)


def test_differences_of_headers(demo_header):
    new = demo_header.copy()
    new["CRVAL1"] = 12.5
    new["NEW"] = "x"
    del new["ORIENTAT"]
    new.add_history("something was done")
    assert header_differences(demo_header, demo_header) == []
    assert header_differences(demo_header, new) == [
        f"  CRVAL1   {demo_header['CRVAL1']!r} -> 12.5", f"  ORIENTAT {demo_header['ORIENTAT']!r} -> none",
        "  NEW      none -> 'x'", "  HISTORY  something was done"]


@pytest.mark.parametrize("value, comment, degrees", [
    (9.6, "RMS in RA (mas) of the fit", 9.6 / 3.6e6),
    (2.7e-6, "[deg] rms of the fit in right ascension", 2.7e-6),
    (0.0, "RMS (mas)", np.nan),
    ("text", "", np.nan),
])
def test_rms_is_read_in_the_unit_of_its_comment(value, comment, degrees):
    header = fits.Header([("RMS_RA", value, comment)])
    assert fit_rms(header, 1) == pytest.approx(degrees, nan_ok=True)
    assert np.isnan(fit_rms(header, 2))
