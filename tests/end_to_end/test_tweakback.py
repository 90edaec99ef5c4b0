"""The alignment of a mosaic is carried back to its images from the mosaic alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from corrections import update_header
from images import edit, sky

from imagereg.errors import InputError, ParameterError
from imagereg.tweakback import apply_tweak, tweakback
from imagereg.tweakreg import TweakReg
from imagereg.wcs import Solution, TangentPlane, corrected_wcs
from imagereg.wcs.plane import tangent_wcs

SHAPE = (700, 700)
MOSAIC = "m_drz.fits"


def turned(angle, scale):
    angle = np.deg2rad(angle)
    return scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.fixture
def mosaic(visit):
    """Write a mosaic that was aligned; return the plane and the map on it that leads to where it is now."""
    wcs = tangent_wcs(visit.truth.center, 0.05 / 3600 * np.diag([-1.0, 1.0]))
    wcs.wcs.crpix = np.array(SHAPE) / 2
    header = wcs.to_header()
    header["WCSNAME"] = "DRZWCS"
    wcs = WCS(header)
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros(SHAPE, np.float32), header, name="SCI")])
    for number, name in enumerate(visit.names, 1):
        for extver in (1, 2):
            hdus[0].header[f"D{2 * number + extver - 2:03d}DATA"] = f"{name}[sci,{extver}]"
    hdus.writeto(MOSAIC)
    plane = TangentPlane.around([(wcs, SHAPE)])
    solution = Solution.mapping(turned(0.01, 1.00002), [4.2, -1.7], plane.centre, geometry="rscale", nmatches=57,
                                ra_rms=0.002, dec_rms=0.003)
    new = corrected_wcs(wcs, SHAPE, plane, solution)
    update_header(MOSAIC, [({1: new}, solution)], wcsname="ON_GAIA")
    return plane, solution


def test_images_move_as_the_mosaic_did(visit, mosaic):
    """Every pixel of every chip, by names and WCSs that stand in the mosaic; a second time nothing changes."""
    plane, solution = mosaic
    before = {(name, extver): sky(name, extver) for name in visit.names for extver in (1, 2)}
    assert [applied.file for applied in tweakback(MOSAIC)] == visit.names
    for (name, extver), old in before.items():
        expected = solution(plane.sky_to_plane(old))
        assert np.abs(plane.sky_to_plane(sky(name, extver)) - expected).max() < 2e-3
        header = fits.getheader(name, ("SCI", extver))
        assert (header["WCSNAME"], header["NMATCH"]) == ("ON_GAIA", 57)
        assert header["RMS_RA"] == pytest.approx(0.002 / 3600, rel=1e-3)
    contents = {name: Path(name).read_bytes() for name in visit.names}
    assert all(applied.done for applied in tweakback(MOSAIC))
    assert {name: Path(name).read_bytes() for name in visit.names} == contents


def test_words_of_drizzlepac(visit, mosaic):
    """Other names than those by default, one image only, an extension behind the mosaic's name; then back."""
    before = sky(visit.names[1])
    applied, = tweakback(f"{MOSAIC}[sci,1]", visit.names[1], origwcs="DRZWCS", wcsname="ON_GAIA", newname="BACK")
    assert applied.wcsname == "BACK" == fits.getval(visit.names[1], "WCSNAME", ("SCI", 2))
    assert "WCSNAME" in fits.getheader(visit.names[0], ("SCI", 1))
    assert fits.getval(visit.names[0], "WCSNAME", ("SCI", 1)) == "DEMO_IDC"
    tweakback(MOSAIC, visit.names[1], origwcs="ON_GAIA", wcsname="DRZWCS", newname="AGAIN")
    assert np.abs(sky(visit.names[1]) - before).max() * 3600 < 1e-3


@pytest.mark.parametrize("words", [
    {"orig_wcs_name": "DRZWCS"},
    {"orig_wcs_key": "A", "orig_wcs_name": "ignored", "tweaked_wcs_key": " "},
    {"orig_wcs_name": "drzwcs", "tweaked_wcs_name": "ON_GAIA", "output_wcs_name": "ON_GAIA", "default_extname": "SCI"},
])
def test_apply_tweak(visit, mosaic, words):
    """The name that drizzlepac's newer function has, with its words."""
    plane, solution = mosaic
    expected = solution(plane.sky_to_plane(sky(visit.names[1])))
    applied, = apply_tweak(MOSAIC, input_files=visit.names[1], **words)
    assert applied.wcsname == "ON_GAIA"
    assert np.abs(plane.sky_to_plane(sky(visit.names[1])) - expected).max() < 2e-3


@pytest.mark.parametrize("given, words", [
    (lambda names: names, {}),  # a list, by its place
    (lambda names: ",".join(names), {"force": "True"}),  # yes and no as words, names with commas
    (lambda names: "@members.list", {"force": "True", "newname": "IRwcs"}),
    (lambda names: names[0], {"force": False, "origwcs": "DRZWCS", "wcsname": "ON_GAIA", "newname": "HSC"}),
])
def test_calls_of_public_scripts(visit, mosaic, given, words):
    """Each names the images in another way."""
    Path("members.list").write_text("\n".join([*visit.names, ""]))
    plane, solution = mosaic
    expected = solution(plane.sky_to_plane(sky(visit.names[0])))
    report = tweakback(MOSAIC, given(visit.names), **words)
    assert {applied.wcsname for applied in report} == {words.get("newname", "ON_GAIA")}
    assert np.abs(plane.sky_to_plane(sky(visit.names[0])) - expected).max() < 2e-3


def test_from_an_exposure_to_another_version_of_it(visit, tmp_path):
    """One that was aligned in its place, without cosmic rays, or the flags of a WFPC2 image: of chips the first."""
    cleaned = "clean_flt.fits"
    shutil.copy(visit.names[1], cleaned)
    result = TweakReg([visit.names[0], cleaned], threshold=10, updatehdr=True, wcsname="IR_FLT", see2dplot=False,
                      residplot="No plot", writecat=False)
    assert result.ok
    tweakback(cleaned, visit.names[1], wcsname="IR_FLT")
    assert np.abs(sky(visit.names[1], 2) - sky(cleaned, 2)).max() * 3600 < 1e-3


def test_apply_tweak_must_know_the_old_wcs(mosaic):
    with pytest.raises(ParameterError, match="expected orig_wcs_name or orig_wcs_key"):
        apply_tweak(MOSAIC)


def test_dry_run(visit, mosaic):
    contents = {name: Path(name).read_bytes() for name in visit.names}
    report = tweakback(MOSAIC, dryrun=True)
    assert all(any("WCSNAME" in line for line in applied.differences) for applied in report)
    assert {name: Path(name).read_bytes() for name in visit.names} == contents


def not_aligned(names):
    with fits.open(MOSAIC, mode="update") as hdus:
        header = hdus["SCI"].header
        for keyword in [word for word in header if word.endswith(("A", "B")) and word.startswith(("WCSNAME", "C"))]:
            del header[keyword]


def without_names(names):
    with fits.open(MOSAIC, mode="update") as hdus:
        del hdus[0].header["D???DATA"]


def one_is_lost(names):
    Path(names[2]).unlink()


@pytest.mark.parametrize("spoil, given, says", [
    (not_aligned, {}, "has no archived WCS: expected the one that it was made with"),
    (without_names, {}, "names no images in keywords D001DATA"),
    (one_is_lost, {}, "jdemo1acq_flt.fits, named in m_drz.fits, does not exist"),
    (None, {"origwcs": "NOSUCH"}, "m_drz.fits has no WCS 'NOSUCH', expected one of"),
    (None, {"origwcs": "ON_GAIA"}, "give the same sky"),
    (None, {"newname": "DEMO_IDC"}, "has a WCS named 'DEMO_IDC' already"),
    (None, {"extname": "PRIMARY"}, "has its image in SCI, expected extname = PRIMARY"),
    (None, {"input": MOSAIC}, "m_drz.fits"),
])
def test_what_is_wrong_is_said(visit, mosaic, spoil, given, says):
    """And nothing is written."""
    if spoil:
        spoil(visit.names)
    contents = {path: path.read_bytes() for path in Path().glob("*.fits")}
    with pytest.raises(InputError) as error:
        tweakback(MOSAIC, **given)
    assert says in str(error.value)
    assert {path: path.read_bytes() for path in Path().glob("*.fits")} == contents


def test_force_replaces_a_name(visit, mosaic):
    """A WCS of that name makes room, as for reusename of tweakreg."""
    edit(visit.names[0], WCSNAME="ON_GAIA")
    with pytest.raises(InputError, match="has a WCS named 'ON_GAIA' already"):
        tweakback(MOSAIC)
    tweakback(MOSAIC, force=True)
    assert fits.getval(visit.names[0], "WCSNAME", ("SCI", 1)) == "ON_GAIA"
