"""Our finder finds what IRAF's daofind finds, where and with which shapes.

The frozen tables are IRAF 2.17's own output, written by iraf_daofind.py; data/daofind_settings.json holds
the parameters. IRAF prints three decimals and computes in single precision: a slow prototype of its
arithmetic in double precision finds the same sources and differs from the tables by 0.0015 at most, in every
column. The requirements below leave a little more room, and let one source in a hundred fall out of it.
"""

import functools
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from finders import find_sources
from scipy.spatial import cKDTree

HERE = Path(__file__).parent
DATA = HERE / "data"
CONTENT = json.loads((DATA / "daofind_settings.json").read_text())
SETTINGS = {name: {**CONTENT["defaults"], **own} for name, own in CONTENT["settings"].items()}
IRAF_FILES = (Path("/etc/iraf/login.cl"), Path("/usr/lib/iraf/noao/digiphot/apphot/daofind.par"))

COLUMNS = {"mag": 2, "sharp": 3, "sround": 4, "ground": 5}
PRINTED = 0.002
BORDER = 3.0


def frozen_table(name, folder=DATA):
    """Read x, y, mag, sharp, sround, ground of a setting, and the SHA-256 of the pixels IRAF read."""
    text = gzip.decompress((folder / f"daofind_{name}.csv.gz").read_bytes()).decode()
    digest = text.splitlines()[0].split()[-1]
    return np.loadtxt(text.splitlines()[2:], delimiter=",", ndmin=2), digest


@functools.cache
def pixels(image):
    """Read an image of the settings as IRAF reads it; None without its file."""
    path = Path(CONTENT["images"][image]["file"])
    if not path.exists():
        return None
    if image == "pix":
        # IRAF's pixel file: a header of 2048 bytes, then 512 lines of big-endian 16-bit integers.
        return np.fromfile(path, dtype=">i2", offset=2048).reshape(512, 512).astype(float)
    full = fits.getdata(path, ("SCI", 1)).astype(float)
    return full[:300, :300] if image == "hrc_corner" else full


def image_or_skip(name):
    """Return the pixels of a setting, or skip where they are not those of the frozen table."""
    image = SETTINGS[name]["image"]
    found = pixels(image)
    source = CONTENT["images"][image]
    if found is None:
        pytest.skip(f"{source['file']} is missing: install the Debian package {source['package']}")
    digest = hashlib.sha256(found.astype("<f4").tobytes()).hexdigest()
    if digest != frozen_table(name)[1]:
        pytest.skip(f"{source['file']} is not the file that IRAF read for the frozen table")
    return found


def bad_pixels(name):
    """Mark what IRAF leaves out because of datamin and datamax; None without either."""
    setting = SETTINGS[name]
    if setting["datamin"] is None and setting["datamax"] is None:
        return None
    image = image_or_skip(name)
    low = -np.inf if setting["datamin"] is None else setting["datamin"]
    high = np.inf if setting["datamax"] is None else setting["datamax"]
    return (image < low) | (image > high)


@functools.cache
def our_catalog(name):
    """Run our finder with the parameters of a setting."""
    setting = SETTINGS[name]
    limits = {key: setting[key] for key in ("sharplo", "sharphi", "roundlo", "roundhi")}
    return find_sources(
        image_or_skip(name), bad=bad_pixels(name), conv_width=setting["fwhmpsf"],
        threshold=setting["threshold"], skysigma=setting["sigma"], nsigma=setting["nsigma"],
        ratio=setting["ratio"], theta=setting["theta"], **limits)


def relative_error(setting):
    """Compute the error of the fitted height over that of one pixel: IRAF's relerr."""
    sigma_x = 0.42467 * setting["fwhmpsf"]
    sigma_y = sigma_x * setting["ratio"]
    angle = np.radians(setting["theta"])
    y, x = np.mgrid[-20:21, -20:21]
    along = (x * np.cos(angle) + y * np.sin(angle)) / sigma_x
    across = (y * np.cos(angle) - x * np.sin(angle)) / sigma_y
    exponent = (along**2 + across**2) / 2
    used = (exponent <= setting["nsigma"]**2 / 2) | (np.hypot(x, y) <= 2.001)
    profile = np.exp(-exponent[used])
    return 1 / np.sqrt(np.sum((profile - profile.mean())**2))


def our_table(name):
    """Give our catalog the columns of IRAF's table, magnitudes too."""
    setting = SETTINGS[name]
    found = our_catalog(name)
    volume = 2 * np.pi * (0.42467 * setting["fwhmpsf"])**2 * setting["ratio"]
    limit = relative_error(setting) * setting["threshold"] * setting["sigma"]
    mag = -2.5 * np.log10(found.flux / volume / limit)
    return np.column_stack([found.xy, mag, found.sharp, found.round1, found.round2])


def without_bad_neighbours(table, name):
    """Keep the sources that no bad pixel had a part in.

    With bad pixels under a source IRAF's centroid is no least-squares position any more (it errs by most of
    a pixel), and ours is meant to be one.
    """
    bad = bad_pixels(name)
    if bad is None:
        return table
    # Its own pixels, those of the heights around it, and the way from the centroid to the peak: 2 + 2 + 1.
    reach = 5
    bad_xy = np.argwhere(bad)[:, ::-1] + 1.0
    distance, _ = cKDTree(bad_xy).query(table[:, :2], p=np.inf)
    return table[distance > reach]


def common(ours, iraf, radius=0.5):
    """Match two tables: indices of the pairs that are each other's nearest within the radius (pixels)."""
    distance, nearest = cKDTree(iraf[:, :2]).query(ours[:, :2], distance_upper_bound=radius)
    _, back = cKDTree(ours[:, :2]).query(iraf[:, :2])
    pairs = [(i, j) for i, j in enumerate(nearest) if np.isfinite(distance[i]) and back[j] == i]
    return np.array(pairs, dtype=int).reshape(-1, 2).T


def both_tables(name, *, bad_too=False):
    """Return our table and IRAF's."""
    ours, iraf = our_table(name), frozen_table(name)[0]
    if bad_too:
        return ours, iraf
    return without_bad_neighbours(ours, name), without_bad_neighbours(iraf, name)


def matched(name):
    """Return our rows and IRAF's rows of the common sources."""
    ours, iraf = both_tables(name)
    i, j = common(ours, iraf)
    return ours[i], iraf[j]


def fraction_within(difference, limit):
    """Return which fraction of the absolute differences is not above the limit."""
    return np.mean(np.abs(difference) <= limit)


@pytest.mark.parametrize("name", SETTINGS)
def test_detections_are_those_of_iraf(name):
    """Of either list all but one per cent is in the other."""
    ours, iraf = both_tables(name)
    n_common = len(common(ours, iraf)[0])
    assert n_common > 0
    assert n_common >= 0.99 * len(iraf), f"{len(iraf) - n_common} of {len(iraf)} IRAF sources missing"
    assert n_common >= 0.99 * len(ours), f"{len(ours) - n_common} of {len(ours)} sources are not IRAF's"


@pytest.mark.parametrize("name", SETTINGS)
def test_positions_are_those_of_iraf(name):
    """Common sources are at the same place, to IRAF's printed decimals."""
    ours, iraf = matched(name)
    difference = np.abs(ours[:, :2] - iraf[:, :2]).max(axis=1)
    assert fraction_within(difference, 0.02) >= 0.99
    assert fraction_within(difference, PRINTED) >= 0.99
    assert np.median(difference) < 0.0006


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("column", COLUMNS)
def test_magnitudes_and_shapes_are_those_of_iraf(name, column):
    """Common sources have the same magnitude and shape, to IRAF's printed decimals."""
    ours, iraf = matched(name)
    assert fraction_within(ours[:, COLUMNS[column]] - iraf[:, COLUMNS[column]], PRINTED) >= 0.99


def border_sources(table, image):
    """Keep the sources within BORDER pixels of an edge of the image."""
    size = np.array(image.shape[::-1])
    outside = (table[:, :2] < 1 + BORDER) | (table[:, :2] > size - BORDER)
    return table[outside.any(axis=1)]


def test_border_sources_are_those_of_iraf():
    """All settings together find IRAF's sources at the border and no others; in one setting they are few."""
    n_common = n_ours = n_iraf = 0
    for name in (name for name in SETTINGS if bad_pixels(name) is None):
        ours, iraf = (border_sources(table, image_or_skip(name)) for table in both_tables(name))
        i, j = common(ours, iraf)
        assert np.all(np.abs(ours[i] - iraf[j]) < PRINTED)
        n_common, n_ours, n_iraf = n_common + len(i), n_ours + len(ours), n_iraf + len(iraf)
    assert n_iraf > 100
    assert n_common >= 0.98 * max(n_ours, n_iraf)


def test_sources_with_bad_pixels_are_found():
    """A star whose core is masked is still found, if not at IRAF's position."""
    ours, iraf = both_tables("hrc_corner_bad_pixels_wide", bad_too=True)
    touched = len(iraf) - len(without_bad_neighbours(iraf, "hrc_corner_bad_pixels_wide"))
    near, _ = cKDTree(ours[:, :2]).query(iraf[:, :2])
    assert touched > 100
    assert np.mean(near < 3.0) > 0.9


def test_iraf_today_gives_the_frozen_table_and_our_sources(tmp_path):
    """The frozen tables are what IRAF writes, and our finder agrees with a fresh one."""
    name = "pix_fwhm25"
    if shutil.which("irafcl") is None or not all(path.exists() for path in IRAF_FILES):
        pytest.skip("IRAF is missing: install the Debian packages iraf and iraf-noao")
    image_or_skip(name)
    command = [sys.executable, HERE / "iraf_daofind.py", name, "--out", tmp_path]
    subprocess.run(command, check=True, timeout=300)
    live, frozen = frozen_table(name, tmp_path)[0], frozen_table(name)[0]
    assert live.shape == frozen.shape
    np.testing.assert_allclose(live, frozen, rtol=0, atol=0.0011)
    ours = our_table(name)
    i, j = common(ours, live)
    assert len(i) >= 0.99 * max(len(ours), len(live))
    assert fraction_within(ours[i] - live[j], PRINTED) >= 0.99
