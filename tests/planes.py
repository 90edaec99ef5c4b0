"""Exposures of one undistorted chip, with their sources at given places of a plane."""

import dataclasses

import defaults
import numpy as np
from astropy.wcs import WCS

from imagereg.alignment.sequence import Chip, Exposure, Rules, Status, align
from imagereg.catalogs.sources import SourceCatalog
from imagereg.wcs.plane import TangentPlane

SHAPE = (800, 1000)
ERROR = 0.02  # pixels


def rules_with(**changed):
    """Return the rules of the task's defaults with some changed; searchrad is 1 arcsec, 20 pixels."""
    names = [field.name for field in dataclasses.fields(Rules) if field.name != "minobj_is_asked"]
    asked = {"searchrad": 20.0, "minobj_is_asked": "minobj" in changed}
    return Rules(**{**defaults.of("tweakreg", *names), **asked, **changed})


EASY = rules_with(minobj=10)


def easy(**changed):
    """Return the easy rules with some changed."""
    return dataclasses.replace(EASY, **changed)


def chip_wcs(crpix=(500.5, 400.5)):
    """Return the WCS of an undistorted chip of 0.05 arcsec."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], (0.001, 40.0), crpix
    wcs.wcs.cd = 0.05 / 3600 * np.array([[-0.8, 0.6], [0.6, 0.8]])
    wcs.wcs.set()
    return wcs


CHIP = Chip(1, chip_wcs(), SHAPE)
PLANE = TangentPlane.around([(CHIP.wcs, CHIP.shape)])


def fine_grid(shape):
    """Return FITS pixels all over a chip, edges included, that are not those the code itself looks at."""
    x, y = np.meshgrid(np.linspace(0.5, shape[1] + 0.5, 23), np.linspace(0.5, shape[0] + 0.5, 19))
    return np.column_stack([x.ravel(), y.ravel()])


def exposure_at(plane_xy, name, chip=CHIP, **columns):
    """Return an exposure that has its sources at given places of the plane."""
    sky = PLANE.plane_to_sky(plane_xy)
    xy = chip.wcs.wcs_world2pix(sky, 1)
    columns = {"xy_error": np.full(xy.shape, ERROR), "flux": np.arange(len(xy), 0, -1.0), "chip": chip.extver,
               **columns}
    return Exposure.measured(name, [chip], SourceCatalog(xy, **columns))


def stars(count=60, seed=1):
    """Return the places (count, 2) of stars on the plane."""
    return np.random.default_rng(seed).uniform((30, 30), np.subtract(SHAPE[::-1], 30), (count, 2))


def noise(shape, seed, size=ERROR):
    """Return errors of positions, pixels."""
    return np.random.default_rng(seed).normal(0, size, shape)


def as_drizzlepac(ref_xy, dx, dy, rot=0.0, scale=1.0):
    """Return where an image has what a shiftfile of drizzlepac says to be at `ref_xy` of the reference.

    drizzlepac 3.11, updatehdr.updatewcs_with_shift and linearfit.buildFitMatrix: F turns and scales, and with
    positions from the reference pixel, image = F^T ref + (dx, dy).
    """
    cos, sin = np.cos(np.deg2rad(rot)), np.sin(np.deg2rad(rot))
    matrix = np.array([[scale * cos, -scale * sin], [scale * sin, scale * cos]])
    return (ref_xy - PLANE.centre) @ matrix + (dx, dy) + PLANE.centre


def pair(shift=(4.0, -6.0), rot=0.0, scale=1.0, *, count=60, seed=1, size=ERROR):
    """Return a reference exposure and one that is off by a shift."""
    ref_xy = stars(count, seed)
    image_xy = as_drizzlepac(ref_xy, *shift, rot, scale)
    return [exposure_at(ref_xy + noise(ref_xy.shape, seed + 1, size), "a_flt.fits"),
            exposure_at(image_xy + noise(ref_xy.shape, seed + 2, size), "b_flt.fits")]


def verdicts(*arguments, **options):
    """Align, and return the verdicts alone."""
    return align(*arguments, **options)[0]


def assert_failed(result, *words):
    """Check that an image failed for a reason that holds some words."""
    assert result.status is Status.FAILED
    assert result.reason
    for word in words:
        assert word in result.reason
    assert "\n" not in result.reason
