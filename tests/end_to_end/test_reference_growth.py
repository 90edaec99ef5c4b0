"""The reference: grown by good fits only, in the user's order or by overlap."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from imagereg.demo import PointingError, simulate_visit
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


def test_a_catalog_of_which_each_image_shows_three_stars(tmp_path, monkeypatch):
    """The images fail, agree with each other, and are aligned by what they show together."""
    monkeypatch.chdir(tmp_path)
    errors = [PointingError(0.2, -0.1, 0.02), PointingError(-0.1, 0.3, -0.01)]
    visit = simulate_visit(tmp_path, seed=7, n_exposures=2, n_chips=1, chip_shape=(256, 256), n_stars=60, dither=6.0,
                           flux_range=(3000.0, 3e5), n_cosmic_rays=10, bad_pixels=0, pointing_errors=errors)
    first, second = (set(chip.ident[((chip.xy > 20) & (chip.xy < 236)).all(axis=1)]) for (chip,) in visit.chips)
    rows = [*sorted(first - second)[:3], *sorted(second - first)[:3]]
    np.savetxt("few.cat", visit.sky[rows], fmt="%.9f")
    result = TweakReg("*flt.fits", refcat="few.cat", updatehdr=True, see2dplot=False, residplot="No plot", threshold=10)
    assert result.ok and all("together" in each.reason for each in result.alignments)
    assert [each.nmatches for each in result.alignments] == [3, 3]
    assert (visit.residuals(absolute=True) < 1.5).all()
