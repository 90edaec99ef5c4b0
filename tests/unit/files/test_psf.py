"""Point-spread functions are read as they were written, and nothing else is taken for one."""

import dataclasses

import numpy as np
import pytest
from astropy.io import fits

from imagereg.detection import EffectivePSF
from imagereg.detection.psf.epsf import Variation
from imagereg.errors import InputError
from imagereg.files.psf import read_psfs, write_psfs

WIDE = dataclasses.replace(EffectivePSF.gaussian(2.5, 3), centre=(0.1, -0.2), error=0.004)
LONG_NAME = "HST ACS WFC " + "F606W CLEAR2L " * 6


def test_round_trip(tmp_path):
    psfs = {"HST WFC3 IR F160W": EffectivePSF.gaussian(1.4, 2, 0.4), LONG_NAME.strip(): WIDE}
    write_psfs(tmp_path / "psf.fits", psfs)
    found = read_psfs(str(tmp_path / "psf.fits"))
    assert list(found) == list(psfs)
    for name, psf in psfs.items():
        np.testing.assert_array_equal(found[name].coefficients, psf.coefficients)
        assert (found[name].spacing, found[name].half) == (psf.spacing, psf.half)
        assert (found[name].centre, found[name].error) == (psf.centre, psf.error)


def test_variation_over_chips_is_kept(tmp_path):
    change = np.random.default_rng(1).normal(0, 0.01, (3, *WIDE.coefficients.shape))
    parts = tuple(Variation(chip, (2048, 4096), chip * change, chip * 0.1 * change[:, 0, :2])
                  for chip in (1, 2))
    varying = dataclasses.replace(WIDE, variation=parts)
    write_psfs(tmp_path / "psf.fits", {"a": varying, "b": WIDE})
    found = read_psfs(str(tmp_path / "psf.fits"))
    assert found["b"].variation == () and len(found["a"].variation) == 2
    for own, expected in zip(found["a"].variation, parts, strict=True):
        assert (own.chip, own.shape) == (expected.chip, expected.shape)
        np.testing.assert_array_equal(own.coefficients, expected.coefficients)
        np.testing.assert_allclose(own.centre, expected.centre, rtol=1e-12)


@pytest.mark.parametrize(("keyword", "value"), [("NX", 0), ("CHIP", "two"), ("DY2", None), ("OPTICS", "z")])
def test_damaged_variation_is_refused(tmp_path, keyword, value):
    change = np.zeros((3, *WIDE.coefficients.shape))
    varying = dataclasses.replace(WIDE, variation=(Variation(1, (9, 9), change, np.zeros((3, 2))),))
    write_psfs(tmp_path / "psf.fits", {"x": varying})
    with fits.open(tmp_path / "psf.fits", mode="update") as hdus:
        hdus[2].header[keyword] = value
    with pytest.raises(InputError, match="psf.fits"):
        read_psfs(str(tmp_path / "psf.fits"))


def test_other_images_are_refused(tmp_path):
    fits.writeto(tmp_path / "image.fits", np.zeros((9, 9)))
    with pytest.raises(InputError, match="holds no point-spread function"):
        read_psfs(str(tmp_path / "image.fits"))


@pytest.mark.parametrize(("keyword", "value"), [("SPACING", 0.0), ("HALF", -1), ("SPACING", "wide"), ("RELERR", None)])
def test_damaged_ones_are_refused(tmp_path, keyword, value):
    write_psfs(tmp_path / "psf.fits", {"x": WIDE})
    with fits.open(tmp_path / "psf.fits", mode="update") as hdus:
        hdus[1].header[keyword] = value
    with pytest.raises(InputError, match="psf.fits"):
        read_psfs(str(tmp_path / "psf.fits"))


def test_surface_of_no_numbers_is_refused(tmp_path):
    write_psfs(tmp_path / "psf.fits", {"x": dataclasses.replace(WIDE, coefficients=np.full((9, 9), np.nan))})
    with pytest.raises(InputError, match="holds no point-spread function"):
        read_psfs(str(tmp_path / "psf.fits"))
