"""Settings and fixtures that several test modules share."""

import os
import signal
import threading
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from hypothesis import settings

from imagereg.alignment.sequence import Chip
from imagereg.demo import simulate_visit

# The same examples in every run: a failure is one for everybody. `--hypothesis-profile=search` looks for new ones.
settings.register_profile("imagereg", deadline=None, derandomize=True, max_examples=30)
settings.register_profile("search", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("imagereg")


def pytest_configure():
    """Keep each process of pytest-xdist on a core of its own, which is all that its runs then find.

    Commands that get a Ctrl-C must not ignore it as what a shell runs in the background does, and what that starts.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker) % len(cores)]})


@pytest.fixture
def alone(monkeypatch):
    """Let this be the only thread, as it is but for those of the test runner."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.fixture(scope="session")
def demo_file(tmp_path_factory):
    """One exposure of two small chips with SIP, CPDIS and D2IM distortion; nobody writes to it."""
    visit = simulate_visit(tmp_path_factory.mktemp("demo"), n_exposures=1, n_stars=20, chip_shape=(192, 384),
                           n_cosmic_rays=0, bad_pixels=0)
    return visit.files[0]


@pytest.fixture(scope="session")
def demo_chips(demo_file):
    """Return the two chips of `demo_file`, a tuple of Chip."""
    with fits.open(demo_file) as hdus:
        return tuple(Chip(extver, WCS(hdus["SCI", extver].header, hdus), hdus["SCI", extver].shape)
                     for extver in (1, 2))


@pytest.fixture
def demo_header(demo_file):
    """Return the header of the first chip of `demo_file`, the test's own copy."""
    return fits.getheader(demo_file, ("SCI", 1))


_POLYNOMIAL = {"PV1_0": 1e-5, "PV1_1": 1.0002, "PV1_2": 3e-4, "PV1_4": 0.05, "PV1_7": 2.0, "PV2_0": -2e-5,
               "PV2_1": 0.9999, "PV2_2": -1e-4, "PV2_5": 0.03, "PV2_9": 1.0}
_SIP = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 4e-6, "A_0_2": -2e-6, "B_1_1": 3e-6, "B_2_0": -1e-6}


def _celestial_header(projection="TAN", *, matrix="CD", crval=(150.0, 30.0), rotation=20.0, scale=0.05, **more):
    """Return the header of a chip of 400 rows and 700 columns; `scale` in arcsec, `rotation` in degrees."""
    header = fits.Header({"NAXIS": 2, "NAXIS1": 700, "NAXIS2": 400, "WCSAXES": 2})
    dash = "-" * (6 - len(projection.partition("-")[0]))
    header.update({"CTYPE1": f"RA{dash}{projection}", "CTYPE2": f"DEC{dash[1:]}{projection}", "CUNIT1": "deg",
                   "CUNIT2": "deg", "CRPIX1": 360.25, "CRPIX2": 190.5, "CRVAL1": crval[0], "CRVAL2": crval[1],
                   "RADESYS": "ICRS"})
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    steps, turn = np.array([-scale, scale]) / 3600, np.array([[cos, -sin], [sin, cos]])
    if matrix != "CD":
        header.update({"CDELT1": steps[0], "CDELT2": steps[1]})
    if matrix == "CROTA":
        header["CROTA2"] = -rotation  # so that the y axis points where it does with a CD matrix
    else:
        values = turn if matrix == "PC" else steps[:, None] * turn
        header.update({f"{matrix}{i}_{j}": values[i - 1, j - 1] for i in (1, 2) for j in (1, 2)})
    header.update(more)
    return header


def _mirrored(header):
    header["CD1_1"], header["CD2_1"] = -header["CD1_1"], -header["CD2_1"]
    return header


def _without_cdelt(header):
    for i in (1, 2):
        step = header.pop(f"CDELT{i}")
        for j in (1, 2):
            header[f"PC{i}_{j}"] *= step
    return header


_HEADERS = {
    "CD": _celestial_header(),
    "PC": _celestial_header(matrix="PC"),
    "PC without CDELT": _without_cdelt(_celestial_header(matrix="PC")),
    "CROTA": _celestial_header(matrix="CROTA"),
    "SIP": _celestial_header("TAN-SIP", **_SIP),
    "TPV": _celestial_header("TPV", **_POLYNOMIAL),
    "TPV by SCAMP": _celestial_header(**_POLYNOMIAL),
    "ZEA": _celestial_header("ZEA"),
    "STG": _celestial_header("STG", matrix="PC"),
    "ZPN": _celestial_header("ZPN", PV2_1=1.0, PV2_3=40.0),
    "other LONPOLE": _celestial_header(LONPOLE=150.0),
    "mirrored": _mirrored(_celestial_header()),
    "turned by 140": _celestial_header(rotation=140.0),
    "RA = 0": _celestial_header(crval=(0.0, -60.0)),
    "RA = 360": _celestial_header(crval=(359.9999, 10.0)),
    "beside the pole": _celestial_header(crval=(77.0, 89.9995)),
    "at the pole": _celestial_header(crval=(77.0, 90.0)),
    "at the south pole": _celestial_header(crval=(200.0, -90.0), matrix="PC"),
}


@pytest.fixture
def celestial_headers():
    """Return headers by the kind of their WCS; each chip has 400 rows and 700 columns."""
    return {kind: header.copy() for kind, header in _HEADERS.items()}


@pytest.fixture(params=_HEADERS)
def celestial_kind(request):
    """Return the names of the `celestial_headers`, one after the other."""
    return request.param


@pytest.fixture
def celestial_header(celestial_headers, celestial_kind):
    """Return the `celestial_headers`, one after the other."""
    return celestial_headers[celestial_kind]


@pytest.fixture
def celestial_wcs(celestial_header):
    """Return the WCS of `celestial_header`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(celestial_header)


# In continuous integration IMAGEREG_PARTS names the system parts that were installed for the tests (.ci/run). A test
# says in its reason for being skipped which part it misses; of an installed one that is a failure.
_PARTS = os.environ.get("IMAGEREG_PARTS", "").split()
_wrongly_skipped = []


def pytest_runtest_logreport(report):
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if any(part in reason.replace(",", " ").split() for part in _PARTS):
            _wrongly_skipped.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session):
    if _wrongly_skipped:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    for line in _wrongly_skipped:
        terminalreporter.write_line(f"FAILED: skipped although the part is installed: {line}")
