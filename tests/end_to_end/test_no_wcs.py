"""Raw frames without a WCS get one with matching=triangles, and else a sentence that says so."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from imagereg.demo import simulate_visit
from imagereg.errors import InputError
from imagereg.tweakreg import TweakReg

QUIET = {"see2dplot": False, "residplot": "No plot", "threshold": 10, "updatehdr": True, "interactive": False}
LINEAR_WCS = ("CTYPE", "CRVAL", "CRPIX", "CUNIT", "CD1", "CD2")


def write_frame(path, target, *, with_wcs=False, flipped=False):
    """Write the first chip of an image as a file of its own, with its linear WCS or without one."""
    with fits.open(path) as hdus:
        old = hdus["SCI", 1].header
        data = hdus["SCI", 1].data[:, ::-1] if flipped else hdus["SCI", 1].data
        header = fits.Header({"BUNIT": old["BUNIT"]})
        for name in old:
            if with_wcs and name.startswith(LINEAR_WCS):
                header[name] = old[name].removesuffix("-SIP") if name.startswith("CTYPE") else old[name]
        fits.PrimaryHDU(data, header).writeto(target)


@pytest.fixture
def frames(tmp_path, monkeypatch):
    """Make one frame with a WCS and a mirrored one without in the working directory."""
    visit = simulate_visit(tmp_path / "visit", n_exposures=2, n_stars=150, chip_shape=(400, 600), n_cosmic_rays=0)
    monkeypatch.chdir(tmp_path)
    write_frame(visit.files[0], "a.fits", with_wcs=True)
    write_frame(visit.files[1], "b.fits", flipped=True)
    return ["a.fits", "b.fits"]


def test_raw_frame_gets_a_wcs(frames):
    result = TweakReg(frames, matching="triangles", shiftfile=True, writecat=True, **QUIET)
    raw = result.alignments[1]
    assert raw.status.value == "aligned", raw.reason
    header = fits.getheader("b.fits")
    assert (header["CTYPE1"], header["WCSNAME"], header["NMATCH"]) == ("RA---TAN", "TWEAK", raw.nmatches)
    # Stars that both frames have lie at one place of the sky.
    own, other = (WCS(fits.getheader(name)) for name in frames)
    rows, ref_rows = raw.rows[raw.fit.used], raw.ref_rows[raw.fit.used]
    sky = other.wcs_pix2world(raw.exposure.sources.xy[rows], 1)
    off = own.wcs_world2pix(sky, 1) - raw.reference.xy[ref_rows]
    assert len(rows) >= 15
    # The frames have the distortion of the visit and none in their headers, so that the fit leaves some.
    assert np.sqrt((off**2).sum(axis=1).mean()) == pytest.approx(np.hypot(*raw.rms), rel=0.05)
    assert np.hypot(*raw.rms) < 0.5
    again = TweakReg(frames, wcsname="AGAIN", **QUIET).alignments[1]
    assert again.status.value == "unchanged", again.reason


def test_without_being_asked_for_it_says_how(frames):
    before = Path("b.fits").read_bytes()
    raw = TweakReg(frames, **QUIET).alignments[1]
    assert raw.status.value == "failed"
    assert "no celestial WCS; with matching=triangles" in raw.reason
    assert Path("b.fits").read_bytes() == before


def test_image_without_a_wcs_gets_no_headerlet(tmp_path, monkeypatch):
    """Those of the other images are written."""
    visit = simulate_visit(tmp_path, n_exposures=3, n_stars=60, chip_shape=(192, 384), n_cosmic_rays=0)
    monkeypatch.chdir(tmp_path)
    with fits.open(visit.files[2], mode="update") as hdus:
        for extver in (1, 2):
            del hdus["SCI", extver].header["CTYPE1"]
    result = TweakReg(list(visit.files), matching="triangles", headerlet=True, hdrname="RAW", attach=False,
                      **(QUIET | {"updatehdr": False}))
    assert [one.status.value for one in result.alignments][::2] == ["reference", "failed"]
    assert "headerlet=no" in result.alignments[2].reason
    assert len(list(tmp_path.glob("*_hlet.fits"))) == 2


def test_reference_needs_a_wcs(frames):
    with pytest.raises(InputError, match="b.fits has no celestial WCS, which the reference needs"):
        TweakReg(frames[::-1], matching="triangles", **QUIET)


def test_catalog_places_frames_of_which_none_has_a_wcs(frames):
    TweakReg(frames, matching="triangles", writecat=True, **(QUIET | {"updatehdr": False}))
    result = TweakReg(["b.fits"], matching="triangles", refcat="a_sky_catalog.coo", **QUIET)
    assert result.alignments[0].status.value == "aligned", result.alignments[0].reason
    assert fits.getheader("b.fits")["CTYPE2"] == "DEC--TAN"


def test_survey_needs_to_know_the_field(frames):
    with pytest.raises(InputError, match="refcat = GAIADR3: no image has a WCS"):
        TweakReg(["b.fits"], matching="triangles", refcat="GAIADR3", rfluxunits="mag", **QUIET)
