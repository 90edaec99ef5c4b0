"""The parameter psf: written where the file does not exist, else read and left as it is."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from imagereg.errors import InputError
from imagereg.files.psf import read_psfs
from imagereg.tweakreg import TweakReg

QUIET = {"see2dplot": False, "residplot": "No plot", "threshold": 10, "writecat": False}


def positions(result):
    """Return the positions of the sources of all exposures."""
    return np.concatenate([alignment.exposure.sources.xy for alignment in result.alignments])


def test_positions_are_those_of_the_file(visit):
    for name in visit.names:  # exposures of other telescopes have a PSF each
        fits.setval(name, "TELESCOP", value="HST")
    first = TweakReg(visit.names, psf="psf.fits", **QUIET)
    assert first.ok
    written = Path("psf.fits").read_bytes()
    (known,) = read_psfs("psf.fits").values()
    again = TweakReg(visit.names[:2], psf="psf.fits", **QUIET)
    assert again.ok
    assert Path("psf.fits").read_bytes() == written
    count = len(positions(again))
    moved = np.abs(positions(again) - positions(first)[:count]).max(axis=1)
    assert (moved < 1e-3).mean() > 0.99  # what a lesser surface did not fit may be fitted now
    alone = TweakReg(visit.names[:2], **QUIET)
    assert np.abs(positions(alone) - positions(first)[:count]).max() > 1e-3  # it has a PSF of its own
    assert known.error < 0.05


def test_dry_run_writes_none(visit):
    TweakReg(visit.names, psf="psf.fits", dry_run=True, **QUIET)
    assert not Path("psf.fits").exists()


def test_image_in_its_place_is_refused(visit):
    with pytest.raises(InputError, match="holds no point-spread function"):
        TweakReg(visit.names, psf=visit.names[0], **QUIET)
