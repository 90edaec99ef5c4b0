"""What a run takes from the files of its images: gain, date, visit, weights, areas to leave out."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from planes import chip_wcs

from imagereg.tweakreg import Status, TweakReg

QUIET = {
    "see2dplot": False,
    "residplot": "No plot",
    "writecat": False,
    "runfile": "",
    "centroid": "marginal",
    "threshold": 20,
    "minobj": 3,
}
EXPTIME = 100.0


def write(name, *, seed=1, bright=20000.0, noise=0.05, hits=(), rootname="", **keywords):
    """Write an image of nine stars on a dark sky."""
    y, x = np.mgrid[1:91, 1:91]
    image = np.random.default_rng(seed).normal(0, noise, x.shape)
    for place in range(9):
        # But for two of them not quite a grid, which would look alike at every step.
        off = 7 * (place % 4 > 0)
        x0 = 15 + 30 * (place % 3) + off * np.sin(3.7 * place) + 0.37 * place
        y0 = 15 + 30 * (place // 3) - off * np.sin(2.3 * place + 1) - 0.23 * place
        image += (
            bright
            * (1 + place / 20)
            * np.exp(-4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / 2.5**2)
        )
    for row, column in hits:
        image[row, column] += 5 * bright
    primary = fits.Header(
        {"TELESCOP": "HST", "INSTRUME": "ACS", "ROOTNAME": rootname, "EXPTIME": EXPTIME, **keywords}
    )
    header = chip_wcs().to_header()
    header.update({"EXTNAME": "SCI", "EXTVER": 1})
    fits.HDUList([fits.PrimaryHDU(header=primary), fits.ImageHDU(image, header)]).writeto(name)
    return name


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


def test_gain_is_that_of_the_unit_of_the_pixels():
    """Photon noise rules here: errors fall with the root of the electrons per count."""
    variants = {
        "electrons.fits": ({"BUNIT": "ELECTRONS", "CCDGAIN": 4.0}, 1.0),
        "counts.fits": ({"BUNIT": "COUNTS", "CCDGAIN": 4.0}, 4.0),
        "rate.fits": ({"BUNIT": "ELECTRONS/S"}, EXPTIME),
        "counted.fits": ({"BUNIT": "COUNTS/S", "CCDGAIN": 4.0}, 4.0 * EXPTIME),
    }
    names = [write(name, **keywords) for name, (keywords, _) in variants.items()]
    measured = [
        alignment.exposure.sources
        for alignment in TweakReg(names, computesig=False, skysigma=0.05, **QUIET).alignments
    ]
    assert {len(sources) for sources in measured} == {9}
    for sources, (_, gain) in zip(measured, variants.values(), strict=True):
        np.testing.assert_allclose(sources.flux_error, np.sqrt(measured[0].flux / gain), rtol=0.1)
        np.testing.assert_allclose(sources.xy_error, measured[0].xy_error / np.sqrt(gain), rtol=0.1)


@pytest.mark.parametrize(
    "keywords, mjd",
    [
        ({"EXPSTART": 60000.0, "EXPEND": 60000.5}, 60000.25),
        ({"MJD-OBS": 60000.0, "EXPTIME": 43200.0}, 60000.25),
        ({"MJD-AVG": 60000.25}, 60000.25),
        ({"DATE-OBS": "2023-02-25", "TIME-OBS": "06:00:00", "EXPTIME": 43200.0}, 60000.5),
    ],
)
def test_epoch_is_the_middle_of_the_exposure(keywords, mjd):
    """In Julian years: J2000.0 is MJD 51544.5, noon of 1 January."""
    names = write("a.fits", **keywords), write("b.fits", seed=2)
    exposure = TweakReg(names, **QUIET).alignments[0].exposure
    assert exposure.metadata.epoch == pytest.approx(2000 + (mjd - 51544.5) / 365.25, abs=1e-7)


def test_exposures_of_a_visit_share_the_first_six_letters_of_their_rootname():
    names = [
        write(f"{name}.fits", seed=seed, rootname=root)
        for seed, (name, root) in enumerate(
            [("a", "j8bt06nyq"), ("b", "j8bt06nzq"), ("c", "j8bt07nzq")]
        )
    ]
    first, same, other = TweakReg(names, group="visit", **QUIET).alignments
    assert first.status is Status.REFERENCE
    assert same.status is Status.UNCHANGED and "shares (group=visit)" in same.reason
    assert "shares" not in other.reason


def test_milliarcseconds_of_the_table_are_those_of_its_pixels():
    result = TweakReg(
        [write("a.fits"), write("b.fits", seed=2)], onlybetter=False, fitgeometry="shift", **QUIET
    )
    row = result.table()[1]
    assert row["xrms"] > 0
    for axis in "xy":
        assert row[f"{axis}rms_mas"] == pytest.approx(
            50 * row[f"{axis}rms"], rel=1e-3
        )  # of 0.05 arcsec


def test_noise_of_the_weights_is_in_the_errors_of_the_psf_fit():
    """Nine times the variance in the right third makes errors three times as large there."""
    weights = np.where(np.arange(90) < 60, 1.0, 1 / 9) * np.ones((90, 90))
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(weights, name="IVM", ver=1)]).writeto("map.fits")
    names = [
        write(name, seed=seed, bright=60.0, noise=1.0, CCDGAIN=1000.0)
        for seed, name in enumerate(("a.fits", "b.fits"))
    ]
    Path("list").write_text("".join(f"{name} map.fits\n" for name in names))
    sources = (
        TweakReg("@list", **{**QUIET, "centroid": "psf", "threshold": 4})
        .alignments[0]
        .exposure.sources
    )
    right = sources.xy[:, 0] > 60
    assert (right.sum(), (~right).sum()) == (3, 6)
    ratio = np.median(sources.xy_error[right]) / np.median(sources.xy_error[~right])
    assert ratio == pytest.approx(3, rel=0.25)


def test_source_is_excluded_by_its_central_pixel():
    """The first star is at (15, 15), and the circle holds that pixel alone."""
    names = write("a.fits"), write("b.fits", seed=2)
    Path("areas.reg").write_text("15 15 0.6\n")
    found, left = (
        TweakReg(names, exclusions=exclusions, **QUIET).alignments[0].exposure.sources
        for exclusions in ("", "areas.reg")
    )
    assert len(found) == 9
    np.testing.assert_array_equal(left.xy, found.xy[np.hypot(*(found.xy - 15).T) > 2])
    assert len(left) == 8


def test_brightest_sources_are_stars_before_cosmic_rays():
    hits = [(29, 29), (60, 30), (31, 61)]
    names = [
        write(name, seed=seed, bright=300.0, noise=1.0, hits=hits)
        for seed, name in enumerate(("a.fits", "b.fits"))
    ]
    sources = (
        TweakReg(names, nbright=9, **{**QUIET, "centroid": "psf", "threshold": 5})
        .alignments[0]
        .exposure.sources
    )
    assert len(sources) == 9
    for row, column in hits:
        assert np.hypot(*(sources.xy - (column + 1, row + 1)).T).min() > 2
