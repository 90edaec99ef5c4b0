"""The main job, from files to aligned headers and a shiftfile, judged by what was simulated."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from images import sky
from stwcs.wcsutil import altwcs

from imagereg.files import text as formats
from imagereg.tweakreg import TweakReg

QUIET = {"see2dplot": False, "residplot": "No plot"}
LIMIT = 1.0  # mas; photons allow about 0.3


def pixels(n=200):
    return np.random.default_rng(0).uniform((1, 1), (512, 256), (n, 2))


def shift_row_applied(shift, plane_wcs, position):
    """Take the sky of an image to the reference as a shiftfile says; arithmetic of its own."""
    turn = np.deg2rad(shift.rot)
    matrix = shift.scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    image = plane_wcs.wcs_world2pix(position, 1) - plane_wcs.wcs.crpix
    ref = (image - [shift.dx, shift.dy]) @ np.linalg.inv(matrix).T
    return ref + plane_wcs.wcs.crpix


@pytest.fixture
def aligned(visit):
    visit.result = TweakReg(visit.names, updatehdr=True, shiftfile=True, threshold=10, **QUIET)
    return visit


def test_headers_agree_with_the_truth(aligned):
    assert aligned.result.ok
    before, after = aligned.truth.residuals(), aligned.truth.residuals(aligned.names)
    assert (before[1:] > 20).all() and (after[1:] < LIMIT).all()


def test_shift_table_agrees_with_the_truth(aligned):
    for index, alignment in enumerate(aligned.result.alignments):
        dx, dy, rot, scale = aligned.truth.expected_shift(index, aligned.result.plane.wcs)
        np.testing.assert_allclose(alignment.offset, (dx, dy), atol=0.02)
        assert alignment.rotation == pytest.approx(rot, abs=0.003) and alignment.scale == pytest.approx(scale, abs=4e-5)
        if index:
            pull = (alignment.offset - (dx, dy)) / alignment.errors[:2]
            assert (np.abs(pull) < 5).all() and (alignment.errors > 0).all()


def test_headers_move_every_pixel_as_the_shiftfile_says(aligned):
    shifts, outwcs = formats.parse_shiftfile(Path("shifts.txt").read_text(), "shifts.txt")
    assert outwcs == "shifts_wcs.fits" and [s.name for s in shifts] == aligned.names
    for hdu in (0, "WCS"):
        header = fits.getheader(outwcs, hdu)
        header["NAXIS"] = 2  # astropy warns of a WCS without an image
        plane = WCS(header)
        for shift in shifts:
            for extver in (1, 2):
                old = sky(aligned.originals[shift.name], extver, pixels())
                new = plane.wcs_world2pix(sky(shift.name, extver, pixels()), 1)
                assert np.abs(new - shift_row_applied(shift, plane, old)).max() < 1e-3
    assert fits.getheader(outwcs, "WCS")["NPIX1"] == aligned.result.plane.shape[1]
    with fits.open(outwcs) as hdus:
        assert [hdu.data for hdu in hdus] == [None, None]


def test_keywords_of_an_updated_header(aligned):
    alignment = aligned.result.alignments[1]
    for extver in (1, 2):
        header, old = (fits.getheader(path, ("SCI", extver)) for path in
                       (alignment.name, aligned.originals[alignment.name]))
        assert (header["WCSNAME"], header["FITNAME"], header["FITGEOM"]) == ("TWEAK", "TWEAK", "rscale")
        assert header["WCSTYPE"] == "user-defined" and header["NMATCH"] == alignment.nmatches
        assert header["CRDER1"] == header["RMS_RA"] == pytest.approx(np.mean(alignment.rms) * 0.05 / 3600, rel=0.3)
        assert altwcs.wcsnames(header) == {" ": "TWEAK", "A": old["WCSNAME"]}
        for name in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "CTYPE1", "CTYPE2"):
            assert header[name + "A"] == old[name]
        assert header.comments["CRVAL1"] == old.comments["CRVAL1"]
    reference = fits.getheader(aligned.names[0], ("SCI", 1))
    assert (reference["WCSNAME"], reference["WCSTYPE"]) == ("TWEAK", "not aligned: reference")
    assert "NMATCH" not in reference


def test_nothing_but_science_headers_changes(aligned):
    for name in aligned.names:
        with fits.open(name) as new, fits.open(aligned.originals[name]) as old:
            assert len(new) == len(old)
            for index, (mine, theirs) in enumerate(zip(new, old, strict=True)):
                spans = [h.fileinfo(index) for h in (new, old)]
                contents = [Path(path).read_bytes() for path in (name, aligned.originals[name])]
                start = "datLoc" if mine.name == "SCI" else "hdrLoc"
                parts = [c[s[start]:s["datLoc"] + s["datSpan"]] for c, s in zip(contents, spans, strict=True)]
                assert parts[0] == parts[1], (name, index, theirs.name)


def test_second_run_finds_nothing_left(aligned):
    result = TweakReg(aligned.names, updatehdr=True, wcsname="TWEAK_2", threshold=10, **QUIET)
    for alignment in result.alignments[1:]:
        assert np.abs(alignment.offset).max() < 1e-3 and abs(alignment.rotation) < 1e-5
    assert altwcs.wcsnames(fits.getheader(aligned.names[1], ("SCI", 1))) == {
        " ": "TWEAK_2", "A": "DEMO_IDC", "B": "TWEAK"}


@pytest.mark.parametrize("geometry", ["shift", "rscale", "general"])
@pytest.mark.parametrize("centroid", ["psf", "marginal"])
def test_geometries_and_centroids(visit, geometry, centroid):
    result = TweakReg(visit.names, updatehdr=True, fitgeometry=geometry, centroid=centroid, threshold=10, **QUIET)
    assert result.ok
    after = visit.truth.residuals(visit.names)[1:]
    assert (after < {"psf": 1.5, "marginal": 4.0}[centroid] + 3.0 * (geometry == "shift")).all()


@pytest.mark.parametrize("parameters", [
    {"xoffset": 0.0, "yoffset": 0.0, "use2dhist": False, "tolerance": 12.0},
    {"searchrad": 12, "searchunits": "pixels"},
    {"separation": 6.0},
    {"minflux": 2000.0},
    {"nbright": 30},
    {"sigma": 2.0, "nclip": 5},
    {"nclip": 0, "sigma": None},
    {"peakmax": 30000.0, "use_sharp_round": True},
    {"computesig": False, "skysigma": 9.0},
], ids=str)
def test_parameters_lead_to_the_same_answer(visit, parameters):
    result = TweakReg(visit.names, threshold=10, updatehdr=True, **parameters, **QUIET)
    assert result.ok
    assert (visit.truth.residuals(visit.names)[1:] < 3).all()


def test_given_offset_is_what_the_shiftfile_has(visit):
    dx, dy, _, _ = TweakReg(visit.names[:2], threshold=10, **QUIET).table()[1]["dx", "dy", "rot", "scale"]
    result = TweakReg(visit.names[:2], threshold=10, use2dhist=False, xoffset=dx, yoffset=dy, **QUIET)
    assert result.ok and result.alignments[1].offset == pytest.approx((dx, dy), abs=1e-3)
    elsewhere = TweakReg(visit.names[:2], threshold=10, searchrad=0.2, xoffset=dx + 30, yoffset=dy,
                         matching="tolerance", **QUIET)
    assert not elsewhere.ok


def test_limits_reduce_the_sources(visit):
    every = TweakReg(visit.names, threshold=10, **QUIET).alignments[0].exposure.sources
    bright = TweakReg(visit.names, threshold=10, minflux=3000, fluxmax=20000, **QUIET).alignments[0].exposure.sources
    assert 0 < len(bright) < len(every)
    assert bright.flux.min() >= 3000 and bright.flux.max() <= 20000
    few = TweakReg(visit.names, threshold=10, nbright=20, **QUIET).alignments[0].exposure.sources
    assert [np.sum(few.chip == chip) for chip in (1, 2)] == [20, 20]


@pytest.mark.parametrize("how", [{}, {"centroid": "marginal"}, {"nsources": "INDEF"}])
def test_number_of_sources(visit, how):
    """The best of each chip are kept, and align the images as well; nbright is of those."""
    result = TweakReg(visit.names, updatehdr=True, **{"threshold": 10, "nsources": 40, **how}, **QUIET)
    chips = [np.sum(result.alignments[1].exposure.sources.chip == chip) for chip in (1, 2)]
    said = "the best 40 sources of chip 2 are kept (nsources=40), the faintest at" in Path("tweakreg.log").read_text()
    assert result.ok and said == ("nsources" not in how)
    assert min(chips) > 40 if "nsources" in how else chips == [40, 40]
    assert (visit.truth.residuals(visit.names)[1:] < (20 if "centroid" in how else 2) * LIMIT).all()


def test_limits_of_flux_go_before_the_number_of_sources(visit):
    sources = TweakReg(visit.names, threshold=10, nsources=20, maxflux=3000, **QUIET).alignments[0].exposure.sources
    assert sources.flux.max() <= 3000 and [np.sum(sources.chip == chip) for chip in (1, 2)] == [20, 20]


def test_catalogs_and_match_files(visit):
    result = TweakReg(visit.names, threshold=10, **QUIET)
    alignment, root = result.alignments[1], visit.names[1].removesuffix(".fits")
    for extver in (1, 2):
        table = np.loadtxt(f"{root}_sci{extver}_xy_catalog.coo")
        sources = alignment.exposure.sources[alignment.exposure.sources.chip == extver]
        np.testing.assert_allclose(table[:, :2], sources.xy, atol=1e-4)
        np.testing.assert_allclose(table[:, 2], sources.flux, rtol=1e-5)
    np.testing.assert_allclose(np.loadtxt(f"{root}_sky_catalog.coo"), alignment.exposure.sources.sky, atol=1e-11)
    pairs = np.loadtxt(f"{root}_xy_catalog.match", usecols=range(10))
    np.testing.assert_allclose(pairs[:, :4], np.hstack([alignment.ref_xy, alignment.image_xy]), atol=1e-6)
    fit = np.loadtxt(f"{root}_catalog_fit.match", usecols=range(17))
    assert len(fit) == alignment.nmatches
    residuals = fit[:, 6:8]
    np.testing.assert_allclose(np.sqrt((residuals**2).mean(axis=0)), alignment.rms, rtol=1e-3)
    np.testing.assert_allclose(fit[:, 4:6] - result.plane.centre - fit[:, :2], residuals, atol=2e-6)


def test_clean_leaves_no_lists(visit):
    TweakReg(visit.names, threshold=10, clean=True, **QUIET)
    assert not [*Path().glob("*.coo"), *Path().glob("*.match")]


def test_writecat_off_leaves_no_lists(visit):
    result = TweakReg(visit.names, threshold=10, writecat=False, runfile="", **QUIET)
    assert result.written == ("tweakreg_solution.ecsv",)
    assert sorted(p.name for p in Path().iterdir()) == sorted([*visit.names, *result.written])


def test_plots_are_written(visit):
    result = TweakReg(visit.names, threshold=10, writecat=False)
    expected = {f"{kind}_{name.removesuffix('.fits')}.png" for name in visit.names[1:]
                for kind in ("hist2d", "residuals", "vector")}
    assert set(result.written) == {*expected, "tweakreg_solution.ecsv"}
    assert expected == {p.name for p in Path().glob("*.png")}
    assert all(Path(name).read_bytes().startswith(b"\x89PNG") for name in expected)


def test_log_tells_what_was_done(visit):
    TweakReg(visit.names, threshold=10, runfile="run.log", **QUIET)
    text = Path("run.log").read_text()
    assert "* threshold = 10.0" in text and all(name in text for name in visit.names) and "aligned" in text
    assert not Path("tweakreg.log").exists()


def test_verbose_prints_and_silence_does_not(visit, capsys):
    TweakReg(visit.names, threshold=10, **QUIET)
    assert capsys.readouterr().out == ""
    TweakReg(visit.names, threshold=10, verbose=True, **QUIET)
    assert "sources" in capsys.readouterr().out


def test_command(visit):
    command = [sys.executable, "-m", "imagereg", "jdemo*flt.fits", "thresh=10", "updatehdr+", "see2dplot-",
               "residplot=No plot", "fitgeom=rsc", "shiftfile=yes", "outshifts=mine.txt"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in visit.names) and Path("mine.txt").exists()
    assert (visit.truth.residuals(visit.names)[1:] < LIMIT).all()


def test_interactive_without_terminal_does_not_ask(visit):
    assert TweakReg(visit.names, threshold=10, interactive=True, **QUIET).ok


@pytest.mark.parametrize("answer, statuses", [
    ("", ["reference", "aligned", "aligned"]),
    ("r", ["reference", "failed", "failed"]),
    ("s", ["reference", "failed", "failed"]),
])
def test_review_at_a_terminal(visit, monkeypatch, answer, statuses):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    result = TweakReg(visit.names, threshold=10, updatehdr=True, **QUIET)
    assert [a.status.value for a in result.alignments] == statuses
    assert len(asked) == (1 if answer == "s" else 2) and "matches" in asked[0]
    if answer:
        assert all(Path(n).read_bytes() == Path(visit.originals[n]).read_bytes() for n in visit.names[1:])


def test_parameter_files(visit):
    Path("myparam.cfg").write_text("_task_name_ = tweakreg\nsearchrad = 2.5\n[CATALOG FITTING PARAMETERS]\n"
                                   "fitgeometry = shift\nresidplot = No plot\n")
    Path("find.cfg").write_text("_task_name_ = imagefindpars\nthreshold = 12\n")
    result = TweakReg(visit.names, configobj="myparam.cfg", imagefindcfg="find.cfg", see2dplot=False)
    assert result.alignments[1].fit.geometry == "shift"
    same = TweakReg(visit.names, configobj={"searchrad": 2.5, "fitgeometry": "shift"}, imagefindcfg={"threshold": 12},
                    **QUIET)
    np.testing.assert_array_equal(same.alignments[1].offset, result.alignments[1].offset)
    assert "* threshold = 12.0" in Path("tweakreg.log").read_text()
