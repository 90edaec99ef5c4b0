"""Reading FITS images, and how often a run opens them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from imagereg.demo import simulate_visit
from imagereg.files.images.fits import read_image
from imagereg.files.images.instruments import INSTRUMENTS, electrons_per_count, instrument_of, metadata_of
from imagereg.tweakreg import TweakReg

QUIET = {"see2dplot": False, "residplot": "No plot", "writecat": False, "threshold": 10, "interactive": False}


def test_run_that_updates_headers_opens_an_image_three_times(tmp_path, monkeypatch):
    """Once to check it before work, once to read it, once to rewrite it."""
    visit = simulate_visit(tmp_path, n_exposures=2, n_stars=80, chip_shape=(256, 256), n_cosmic_rays=0)
    monkeypatch.chdir(tmp_path)
    opened = Counter()
    fits_open = fits.open

    def counted(name, *arguments, **options):
        if isinstance(name, str):
            opened[Path(name).name] += 1
        return fits_open(name, *arguments, **options)

    monkeypatch.setattr(fits, "open", counted)
    names = [Path(path).name for path in visit.files]
    result = TweakReg(names, updatehdr=True, num_cores=1, **QUIET)
    assert result.ok and set(names) <= set(result.written)
    assert opened == dict.fromkeys(names, 3)


def test_image_gives_metadata_chips_and_pixels(demo_file, demo_chips):
    with read_image(demo_file) as image, fits.open(demo_file) as hdus:
        (name, metadata, chips), = image.exposures()
        assert name == Path(demo_file).name
        assert metadata.rootname == hdus[0].header["ROOTNAME"] and metadata.exptime == hdus[0].header["EXPTIME"]
        assert metadata.wcsname == hdus["SCI", 1].header["WCSNAME"] and metadata.optics == demo_file
        assert [(chip.extver, chip.shape) for chip in chips] == [(c.extver, c.shape) for c in demo_chips]
        pixels = image.pixels(chips[1], "")
        np.testing.assert_array_equal(pixels.data, hdus["SCI", 2].data)
        np.testing.assert_array_equal(pixels.bad, hdus["DQ", 2].data != 0)
        assert image.pixels(chips[1], "None").bad is None


def test_instruments_are_told_by_telescope_and_name():
    told = instrument_of({"TELESCOP": "HST", "INSTRUME": "stis "})
    assert told.name == "STIS" and told.has_repeated_exposures and told.has_updatewcs
    assert instrument_of({"TELESCOP": "HST", "INSTRUME": "FOC"}).name == ""
    assert not instrument_of({"TELESCOP": "VLT", "INSTRUME": "WFC3"}).has_updatewcs
    assert instrument_of({}) is INSTRUMENTS[-1]


def test_exposures_of_a_space_telescope_share_a_psf():
    filters = {"INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER1": "F606W"}
    optics = [metadata_of({"TELESCOP": telescope, **filters}, path).optics
              for telescope in ("HST", "VLT") for path in ("a.fits", "b.fits")]
    assert optics[0] == optics[1] and optics[2:] == ["a.fits", "b.fits"]
    drizzled = metadata_of({"TELESCOP": "HST", **filters, "D001SCAL": 0.03}, "a.fits").optics
    assert drizzled not in optics


def test_electrons_per_count():
    assert electrons_per_count({"GAIN": 1.6}) == 1.6
    assert electrons_per_count({"BUNIT": "COUNTS", "CCDGAIN": 2.0}) == 2
    assert electrons_per_count({"BUNIT": "ELECTRONS", "CCDGAIN": 2.0}) == 1
    assert electrons_per_count({"BUNIT": "ELECTRONS/S", "EXPTIME": 300.0}) == 300
    assert electrons_per_count({"BUNIT": "counts s-1", "EXPTIME": 300.0, "ATODGAIN": 7.0}) == 2100


@pytest.mark.parametrize("header", [{}, {"BUNIT": "COUNTS"}, {"BUNIT": "MJy/sr", "GAIN": 2.0},
                                    {"BUNIT": "nanomaggy", "GAIN": 4.7, "EXPTIME": 53.9}])
def test_gain_is_not_guessed(header):
    assert electrons_per_count(header) == np.inf


@pytest.mark.parametrize(("unit", "true_gain", "expected"), [
    ("ELECTRONS/S", 1.0, 1.0),  # the header says 700
    ("MJy/sr", 40.0, 40.0),  # it says nothing
    ("ELECTRONS", 0.9, 1.0),  # it says about the same
])
def test_errors_of_pixels_tell_the_gain(tmp_path, unit, true_gain, expected):
    rng = np.random.default_rng(3)
    data = 20 + 5000 * rng.uniform(size=(256, 256)) ** 20
    errors = np.sqrt(data / true_gain + 25)
    errors[:8] = 0
    bad = np.zeros(data.shape, np.int16)
    bad[8:16] = 1
    errors[8:16] = 1e6
    wcs = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": 1e-5, "CDELT2": 1e-5, "BUNIT": unit,
           "EXPTIME": 700.0}
    hdus = [fits.ImageHDU(data, name="SCI"), fits.ImageHDU(errors, name="ERR"), fits.ImageHDU(bad, name="DQ")]
    hdus[0].header.update(wcs)
    path = tmp_path / "a_flt.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    with read_image(str(path)) as image:
        assert image.pixels(image.chips[0], "").gain == pytest.approx(expected, rel=0.02)


def test_errors_that_say_nothing_of_light_leave_the_gain(tmp_path):
    data = np.arange(4096.0).reshape(64, 64)
    sci = fits.ImageHDU(data, fits.Header({"BUNIT": "ELECTRONS", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}), "SCI")
    path = tmp_path / "a_flt.fits"
    fits.HDUList([fits.PrimaryHDU(), sci, fits.ImageHDU(np.full_like(data, 7), name="ERR")]).writeto(path)
    with read_image(str(path)) as image:
        assert image.pixels(image.chips[0], "").gain == 1.0
