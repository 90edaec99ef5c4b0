"""Exposures that share a PSF: what spoils one of them is not the others' concern."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import uniform_filter1d
from scipy.spatial import cKDTree

from imagereg.demo import simulate_visit
from imagereg.tweakreg import Status, TweakReg

QUIET = {"see2dplot": False, "residplot": "No plot", "writecat": False, "threshold": 10.0}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three exposures of one filter of a space telescope, whose PSF is measured together."""
    monkeypatch.chdir(tmp_path)
    made = simulate_visit(".", seed=3, n_exposures=3, n_stars=100, n_chips=1, chip_shape=(700, 700))
    for path in made.files:
        fits.setval(path, "TELESCOP", value="HST")
    return made.files


def _change(path, change):
    with fits.open(path, mode="update") as hdus:
        data = hdus["SCI"].data
        data[:] = change(data.astype(float))


def _statuses():
    return [alignment.status for alignment in TweakReg("*flt.fits", **QUIET).alignments]


def test_trails_of_satellites_on_two_of_three(files):
    random = np.random.default_rng(1)

    def crossed(data):
        y, x = np.indices(data.shape)
        slope = random.uniform(-0.2, 0.2)
        for start in (150, 300, 450, 600):
            data = data + random.poisson(2500 * np.exp(-((y - start - slope * x) ** 2) / 18))
        return data

    for path in files[1:]:
        _change(path, crossed)
    assert _statuses() == [Status.REFERENCE, Status.ALIGNED, Status.ALIGNED]
    log = Path("tweakreg.log").read_text()
    assert log.count("sources on trails are left out") == 2


def test_exposure_without_guiding_fails_alone(files):
    _change(files[2], lambda data: uniform_filter1d(data, 25, axis=1))
    assert _statuses() == [Status.REFERENCE, Status.ALIGNED, Status.FAILED]


def _as_other_unit(path):
    """Leave a file without gain, errors or a unit that tells either."""
    with fits.open(path, mode="update") as hdus:
        del hdus["ERR"]
        hdus["SCI"].data = (hdus["SCI"].data * 0.01).astype(np.float32)
        hdus["SCI"].header["BUNIT"] = "MJy/sr"


def test_gain_that_no_header_tells_is_that_of_the_noise(files, caplog):
    known = TweakReg("*flt.fits", **QUIET)
    for path in files:
        _as_other_unit(path)
    with caplog.at_level("INFO"):
        told = TweakReg("*flt.fits", **QUIET)
    gains = re.findall("the noise of stars tells (\\S+) electrons", caplog.text)
    assert [float(gain) for gain in gains] == pytest.approx([100] * 3, rel=0.2)
    for one, other in zip(known.alignments, told.alignments, strict=True):
        sources, others = one.exposure.sources, other.exposure.sources
        distance, partner = cKDTree(others.xy).query(sources.xy)
        stars = (distance < 0.1) & (sources.flux > 1000) & (sources.flags == 0)
        ratio = others.xy_error[partner][stars] / sources.xy_error[stars]
        assert stars.sum() > 20 and np.median(ratio) == pytest.approx(1, abs=0.1)


def test_bad_wcs_leaves_the_psf_of_the_others_alone(files):
    """Its stars are found by other processes, which do without a WCS, before it is read."""
    fits.setval(files[2], "CD1_1", value=0.0, ext=("SCI", 1))
    fits.setval(files[2], "CD1_2", value=0.0, ext=("SCI", 1))
    results = [TweakReg("*flt.fits", num_cores=cores, **QUIET) for cores in (1, 2)]
    for result in results:
        assert [alignment.status for alignment in result.alignments][1:] == [Status.ALIGNED, Status.FAILED]
    one, two = (result.alignments[1].exposure.sources for result in results)
    np.testing.assert_array_equal(one.xy, two.xy)


def test_halo_of_a_saturated_star_is_left_out_and_said(files):
    def with_star(data):
        random = np.random.default_rng(2)
        y, x = np.indices(data.shape) - np.array([300, 400])[:, None, None]
        square = x**2 + y**2
        wings = 3e6 / (25 + square) ** 1.5 + 1e7 * np.exp(-square / 1.44)
        spikes = sum(1e5 * np.exp(-(one**2) / 2) / (20 + other**2) for one, other in ((x, y), (y, x)))
        light = np.minimum(random.poisson((wings + spikes) * random.gamma(16, 1 / 16, data.shape)), 80000)
        light[280:321, 400] = 80000
        return np.minimum(data + light, 80000)

    _change(files[2], with_star)
    result = TweakReg("*flt.fits", **QUIET)
    assert [alignment.status for alignment in result.alignments][1:] == [Status.ALIGNED] * 2
    log = Path("tweakreg.log").read_text()
    said = re.findall(r"(\S+): (\d+) sources in the halo, the spikes or the bleeding of (.*) are left out: "
                      r"\S+( brightest)? is at x=(\d+) y=(\d+) on chip 1", log)
    assert len(said) == 1
    name, number, _, _, x, y = said[0]
    assert name == files[2].name and int(number) > 5
    assert (int(x), int(y)) == pytest.approx((401, 301), abs=2)
