"""The table WCSCORR has the rows that whole headers give."""

import re

import pytest
from astropy.io import fits

from imagereg.wcs import history
from imagereg.wcs.alternates import archive_primary

_OF_SIP = re.compile(r"[AB]_(ORDER|\d_\d)")
_WCS = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 30.123456789012, "CRVAL2": -12.3456789,
        "CRPIX1": 507.25, "CRPIX2": 506.5, "CD1_1": 1.2345678901e-5, "CD1_2": -3.1e-6, "CD2_1": -2.9e-6,
        "CD2_2": -1.19e-5, "WCSNAME": "IDC_abc", "ORIENTAT": 14.5, "A_ORDER": 2, "A_2_0": 1e-6, "B_ORDER": 2,
        "B_2_0": 1e-6}
_OTHERS = {"IDCSCALE": 0.05, "OCX10": 0.1, "OCX11": 0.05, "OCY10": 0.04, "OCY11": 0.1, "IDCTAB": "jref$abc_idc.fits",
           "VAFACTOR": 1.0001, "CCDCHIP": 1, "DETECTOR": 2, "LTV1": 0.0, "PHOTFLAM": 1e-19, "GOODMEAN": 5.0,
           "BUNIT": "ELECTRONS"}
_CAMERAS = {"ACS": {"DETECTOR": "WFC", "FILTER1": "F606W", "FILTER2": "CLEAR2L"}, "WFC3": {"DETECTOR": "IR"},
            "WFPC2": {"FILTNAM1": "F606W", "MODE": "FULL"}, "NICMOS": {"FILTER": "F160W", "CAMERA": 3},
            "STIS": {"DETECTOR": "CCD"}}


def recorded(camera, keeps):
    """Return the bytes of the table after two solutions, of chips that have an alternate."""
    primary = fits.Header({"TELESCOP": "HST", "INSTRUME": camera, "ROOTNAME": "x1", "IDCTAB": "jref$abc_idc.fits",
                           "NPOLFILE": "jref$x_npl.fits", **_CAMERAS[camera]})
    chips = []
    for extver in (1, 2):
        header = fits.Header({**_WCS, **_OTHERS, "CRVAL2": -12.3 + 0.1 * extver})
        chips.append(fits.ImageHDU(header=archive_primary(header), name="SCI", ver=extver))
    hdus = fits.HDUList([fits.PrimaryHDU(header=primary), *chips])
    for number in (1, 2):
        new = {}
        for index in (1, 2):
            new[index] = hdus[index].header.copy()
            new[index].update({"WCSNAME": f"FIT{number}", "CRVAL1": 30.1 + number * 1e-5, "NMATCH": 12,
                               "CRDER1": 1e-7})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(history, "_is_looked_at", keeps)
            changed, table = history.record(hdus, new)
        assert table is not None and sorted(changed) == [0, 1, 2]
        chips = [fits.ImageHDU(header=changed[index], name="SCI", ver=index) for index in (1, 2)]
        hdus = fits.HDUList([fits.PrimaryHDU(header=changed[0]), *chips, table])
    assert {"OPUS", "FIT1", "FIT2"} <= set(table.data["WCS_ID"])
    return table.header.tostring(), table.data.tobytes()


@pytest.mark.parametrize("camera", _CAMERAS)
def test_rows_are_those_of_whole_headers(camera):
    pytest.importorskip("stwcs")
    assert recorded(camera, history._is_looked_at) == recorded(camera, lambda keyword: not _OF_SIP.match(keyword))
