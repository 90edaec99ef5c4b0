"""Every form of reference is read as what it is: held against true positions on the sky.

Pixels of a catalog are those of the reference image; limits in magnitudes leave the bright
sources.
"""

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from imagereg.demo import PointingError, simulate_visit
from imagereg.interfaces.shell.cli import main
from imagereg.tweakreg import TweakReg

QUIET = {
    "see2dplot": False,
    "residplot": "No plot",
    "writecat": False,
    "threshold": 10,
    "interactive": False,
    "minobj": 10,
}
FIRST, SECOND = "jdemo1aaq_flt.fits", "jdemo1abq_flt.fits"
LARGEST = 3.0  # mas, of the residuals of the second image; a pixel is 50 mas


@pytest.fixture(scope="module")
def small_field(tmp_path_factory):
    """Two exposures of one chip, the first pointed exactly; nobody writes to them."""
    return simulate_visit(
        tmp_path_factory.mktemp("field"),
        seed=5,
        n_exposures=2,
        n_chips=1,
        chip_shape=(256, 512),
        n_stars=120,
        flux_range=(2000.0, 1e6),
        dither=0.5,
        n_cosmic_rays=10,
        bad_pixels=10,
        pointing_errors=[PointingError(), PointingError(0.2, -0.1, 0.002, 1.00001)],
    )


@pytest.fixture
def field(small_field, tmp_path, monkeypatch):
    """Copy them into the working directory."""
    for path in small_field.files:
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    return small_field


def write_catalog(path, *columns):
    np.savetxt(path, np.column_stack(columns), fmt="%.9f")


def residual(field):
    """Return how far the second image is from the true sky, mas."""
    return field.residuals([FIRST, SECOND], absolute=True)[1]


def true_pixels(field):
    return field.chips[0][0].xy


def linear_image(path, field):
    """Write an image without distortion, as of AstroDrizzle; return the pixels of the stars."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = field.center, [400.25, 300.75]
    wcs.wcs.cdelt = [-0.04 / 3600, 0.04 / 3600]
    angle = np.deg2rad(25)
    wcs.wcs.pc = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    header = wcs.to_header()
    header["EXTNAME"] = "SCI"
    primary = fits.getheader(FIRST)
    science = fits.ImageHDU(np.zeros((600, 800), np.float32), header)
    fits.HDUList([fits.PrimaryHDU(header=primary), science]).writeto(path)
    return wcs.all_world2pix(field.sky, 1)


def plane_file(path, field):
    """Write the file that `outwcs` makes; return the pixels of the stars."""
    TweakReg([FIRST, SECOND], shiftfile=True, outwcs=path, **QUIET)
    with warnings.catch_warnings(), fits.open(path) as hdus:
        warnings.simplefilter("ignore")  # of a WCS without pixels
        return WCS(hdus[-1].header).all_world2pix(field.sky, 1)


def test_degrees(field):
    write_catalog("stars.cat", field.sky)
    assert TweakReg([SECOND], refcat="stars.cat", updatehdr=True, **QUIET).ok
    assert residual(field) < LARGEST


@pytest.mark.parametrize("degrees", [1.0, 5.0])
def test_header_that_points_far_away(field, degrees):
    """A linear fit on one plane is off by 0.4 mas and more."""
    write_catalog("stars.cat", field.sky, -2.5 * np.log10(field.flux))
    with fits.open(SECOND, mode="update") as hdus:
        hdus["SCI"].header["CRVAL2"] += degrees
    columns = {"refxcol": 1, "refycol": 2, "rfluxcol": 3, "rfluxunits": "mag"}
    result = TweakReg(
        [SECOND], refcat="stars.cat", matching="triangles", updatehdr=True, **columns, **QUIET
    )
    assert result.ok and residual(field) < 0.3


PIXELS = {
    "distorted image": lambda field: (FIRST, true_pixels(field)),
    "image without distortion": lambda field: ("drz.fits", linear_image("drz.fits", field)),
    "file of outwcs": lambda field: ("plane.fits", plane_file("plane.fits", field)),
}


@pytest.mark.parametrize("form", PIXELS)
def test_pixels_of_a_reference_image(field, form):
    name, pixels = PIXELS[form](field)
    write_catalog("stars.cat", pixels)
    result = TweakReg(
        [SECOND], refcat="stars.cat", refxyunits="pixels", refimage=name, updatehdr=True, **QUIET
    )
    assert result.ok and residual(field) < LARGEST


def test_pixels_without_a_reference_image(field, capsys):
    write_catalog("stars.cat", true_pixels(field))
    assert main([SECOND, "refcat=stars.cat", "refxyunits=pixels", "interactive=no"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "refimage" in error and "refxyunits" in error


# Limits in magnitudes


def magnitudes(flux):
    return 25 - 2.5 * np.log10(flux)


@pytest.mark.parametrize("name, bright", [("fluxmin", True), ("minflux", True), ("fluxmax", False)])
def test_limits_of_a_catalog_in_magnitudes(field, name, bright):
    """The faint limit is the least flux, whatever its number: it leaves 30 percent, or 70."""
    limit = np.quantile(magnitudes(field.chips[0][0].flux), 0.3)
    for root, (chip,) in zip(("first", "second"), field.chips, strict=True):
        write_catalog(f"{root}.cat", chip.xy, magnitudes(chip.flux))
    Path("cats.txt").write_text(f"{FIRST} first.cat\n{SECOND} second.cat\n")
    result = TweakReg(
        [FIRST, SECOND], catfile="cats.txt", fluxcol="3", fluxunits="mag", **{name: limit}, **QUIET
    )
    stars = magnitudes(field.chips[0][0].flux)
    left = stars <= limit if bright else stars >= limit
    assert result.table()["nsources"][0] == left.sum()


@pytest.mark.parametrize(
    "name, bright", [("rfluxmin", True), ("rminflux", True), ("rfluxmax", False)]
)
def test_limits_of_a_reference_in_magnitudes(field, name, bright):
    stars = magnitudes(field.flux)
    limit = np.quantile(stars, 0.3)
    write_catalog("stars.cat", field.sky, stars)
    result = TweakReg(
        [SECOND], refcat="stars.cat", rfluxcol="3", rfluxunits="mag", **{name: limit}, **QUIET
    )
    assert len(result.reference) == (stars <= limit if bright else stars >= limit).sum()


@pytest.mark.parametrize(
    "words",
    [
        ["fluxmin=abc"],
        ["rfluxmax=abc"],
        ["fluxmin=9", "fluxmax=3"],
        ["rfluxmin=9", "rfluxmax=3", "rfluxunits=counts"],
    ],
    ids=" ".join,
)
def test_errors_name_a_limit_as_the_user_wrote_it(field, capsys, words):
    chip = field.chips[1][0]
    write_catalog("second.cat", chip.xy, chip.flux)
    write_catalog("stars.cat", field.sky, field.flux)
    Path("cats.txt").write_text(f"{SECOND} second.cat\n")
    assert (
        main([SECOND, "refcat=stars.cat", "catfile=cats.txt", "fluxcol=3", "rfluxcol=3", *words])
        == 2
    )
    assert re.search(rf"\b{words[0].partition('=')[0]}\b", capsys.readouterr().err)
