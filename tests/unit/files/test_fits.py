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
    result = TweakReg(names, updatehdr=True, **QUIET)
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
