"""Exposures that share a PSF: what spoils one of them is not the others' concern."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import uniform_filter1d

from imagereg.demo import simulate_visit
from imagereg.tweakreg import Status, TweakReg


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


def _run(**parameters):
    return TweakReg("*flt.fits", updatehdr=False, interactive=False, see2dplot=False,
                    residplot="No plot", writecat=False, threshold=10.0, **parameters)


def _statuses():
    return [alignment.status for alignment in _run().alignments]


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


def test_bad_wcs_leaves_the_psf_of_the_others_alone(files):
    """Its stars are found by other processes, which do without a WCS, before it is read."""
    fits.setval(files[2], "CD1_1", value=0.0, ext=("SCI", 1))
    fits.setval(files[2], "CD1_2", value=0.0, ext=("SCI", 1))
    results = [_run(num_cores=cores) for cores in (1, 2)]
    for result in results:
        assert [alignment.status for alignment in result.alignments][1:] == [Status.ALIGNED, Status.FAILED]
    one, two = (result.alignments[1].exposure.sources for result in results)
    np.testing.assert_array_equal(one.xy, two.xy)
