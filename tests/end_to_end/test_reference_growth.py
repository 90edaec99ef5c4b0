"""The reference: grown by good fits only, in the user's order or by overlap."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from imagereg.demo import simulate_visit
from imagereg.tweakreg import TweakReg

QUIET = {"see2dplot": False, "residplot": "No plot", "threshold": 10, "minobj": 8}


@pytest.fixture(scope="module")
def wide_visit(tmp_path_factory):
    """Simulate four exposures of which the first overlaps with all, and the others less with each other."""
    return simulate_visit(tmp_path_factory.mktemp("wide"), seed=8, n_exposures=4, n_chips=1, chip_shape=(300, 300),
                          n_stars=200, dither=8.0, n_cosmic_rays=20, bad_pixels=20)


@pytest.fixture
def wide(wide_visit, tmp_path, monkeypatch):
    for path in wide_visit.files:
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    return [path.name for path in wide_visit.files]


def test_reference_grows(wide, wide_visit):
    fixed = TweakReg(wide, **QUIET)
    grown = TweakReg(wide, expand_refcat=True, updatehdr=True, **QUIET)
    assert fixed.ok and grown.ok
    assert len(fixed.reference) == len(fixed.alignments[0].exposure.sources) < len(grown.reference)
    assert grown.alignments[3].nmatches > fixed.alignments[3].nmatches
    assert (wide_visit.residuals(wide)[1:] < 2).all()
    merged = grown.reference[:len(fixed.reference)]
    assert (merged.sky_error <= fixed.reference.sky_error).all()
    assert (merged.sky_error < 0.9 * fixed.reference.sky_error).any()
    table = np.loadtxt("cumulative_sky_refcat_jdemo1aaq_flt.coo", usecols=(0, 1))
    np.testing.assert_allclose(table, grown.reference.sky, atol=1e-11)
    again = TweakReg(wide, refcat="cumulative_sky_refcat_jdemo1aaq_flt.ecsv", wcsname="AGAIN", **QUIET)
    assert again.ok and max(np.abs(a.offset).max() for a in again.alignments) < 0.02


def test_no_source_joins_twice(wide):
    reference = TweakReg(wide, expand_refcat=True, **QUIET).reference
    stars = reference[(reference.flags == 0) & (reference.flux > 2000)]
    east = (stars.sky[:, 0] - 150) * np.cos(np.deg2rad(30)) * 3600
    north = (stars.sky[:, 1] - 30) * 3600
    distance = np.hypot(east[:, None] - east, north[:, None] - north) + 9 * np.eye(len(stars))
    assert distance.min() > 0.03


def test_failed_image_does_not_feed_the_reference(wide):
    with fits.open(wide[1], mode="update") as hdus:
        hdus["SCI"].data[:] = np.random.default_rng(0).permuted(hdus["SCI"].data, axis=0)
    result = TweakReg(wide, expand_refcat=True, **QUIET)
    assert [a.status.value for a in result.alignments] == ["reference", "failed", "aligned", "aligned"]
    assert wide[1] not in set(result.reference.origin)


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1)], ids=str)
def test_order_by_overlap(wide, order):
    names = [wide[i] for i in order]
    mine = TweakReg(names, enforce_user_order=False, expand_refcat=True, **QUIET)
    statuses = dict(zip(names, (a.status.value for a in mine.alignments), strict=True))
    assert statuses[wide[0]] == "reference" and mine.ok
    theirs = TweakReg(names, **QUIET)
    assert theirs.alignments[0].status.value == "reference"


def test_files_of_a_reference_run(wide):
    TweakReg(wide, expand_refcat=True, writecat=False, **QUIET)
    assert not list(Path().glob("cumulative*"))
