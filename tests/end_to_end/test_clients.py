"""Programs that work with our files afterwards: drizzlepac, stwcs, IRAF, fitsverify.

drizzlepac is run by the Python that IMAGEREG_PEER names. The files are those of the demo, with the keywords that it
wants to see of WFC3/IR.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from corrections import update_header
from images import sky
from scipy.optimize import curve_fit
from stwcs.wcsutil import altwcs

from imagereg.demo import PointingError, simulate_visit
from imagereg.files.images.fits import read_image
from imagereg.tasks.solutions.apply import apply_solution
from imagereg.tweakreg import TweakReg
from imagereg.wcs.correction import Solution, corrected_wcs
from imagereg.wcs.plane import TangentPlane

PEER = os.environ.get("IMAGEREG_PEER", "")
QUIET = {"see2dplot": False, "residplot": "No plot", "writecat": False, "threshold": 10, "interactive": False}
SHAPE = (400, 400)
PRIMARY = {"TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "IR", "FILTER": "F160W", "SAMP_SEQ": "STEP50",
           "NSAMP": 14, "IDCTAB": "N/A", "MDRIZTAB": "N/A", "CCDAMP": "ABCD", "CCDGAIN": 2.5,
           **{f"{name}{amplifier}": 2.5 for name in ("ATODGN", "READNSE") for amplifier in "ABCD"}}
ERRORS = PointingError(), PointingError(0.07, -0.04, 0.004, 1.00002), PointingError(-0.05, -0.07, -0.003, 0.99999)
SCIENCE = {"IDCSCALE": 0.05, "IDCV2REF": 1.02, "IDCV3REF": -0.507, "IDCTHETA": 45.0, "OCX10": 0.0, "OCX11": 0.05,
           "OCY10": 0.05, "OCY11": 0.0, "NGOODPIX": SHAPE[0] * SHAPE[1], "MEANDARK": 0.05, "PHOTPLAM": 15000.0,
           "PHOTMODE": "WFC3 IR F160W", "PHOTFLAM": 1e-20}
DRIZZLE = """
from drizzlepac.astrodrizzle import AstroDrizzle
AstroDrizzle({names!r}, output="mosaic", preserve=False, clean=True, context=False, build=True, updatewcs=False,
             static=False, skysub=False, driz_separate=False, median=False, blot=False, driz_cr=False,
             final_bits="~0", in_memory=False, num_cores=1)
"""


def peer(code, folder):
    """Run code where drizzlepac is."""
    if not PEER:
        pytest.skip("needs drizzlepac in the Python that IMAGEREG_PEER names")
    done = subprocess.run([PEER, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def pixels_apart(first, second):
    """Return the largest distance of positions on the sky, in pixels of the demo's camera."""
    step = (first - second) * [np.cos(np.deg2rad(30)), 1]
    return np.hypot(*step.T).max() * 3600 / 0.05


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Three exposures that look like WFC3/IR; nobody writes to them."""
    visit = simulate_visit(tmp_path_factory.mktemp("hst"), seed=3, n_exposures=3, n_chips=1, chip_shape=SHAPE,
                           n_stars=80, flux_range=(2000.0, 1e5), n_cosmic_rays=0, bad_pixels=0, root="idemo1",
                           pointing_errors=ERRORS)
    for path in visit.files:
        with fits.open(path, mode="update") as hdus:
            hdus[0].header.update(PRIMARY)
            hdus["SCI", 1].header.update(SCIENCE)
    return visit


@pytest.fixture
def hst(simulated, tmp_path, monkeypatch):
    """Copy the exposures, and align the copies."""
    monkeypatch.chdir(tmp_path)
    names = [shutil.copy(path, tmp_path / path.name).name for path in simulated.files]
    result = TweakReg(names, updatehdr=True, shiftfile=True, **QUIET)
    assert result.ok
    return SimpleNamespace(names=names, truth=simulated, result=result)


def width(mosaic, truth):
    """Median width of the bright stars of a mosaic that stand alone: sigma of a Gaussian, pixels."""
    with fits.open(mosaic) as hdus:
        image, wcs = hdus["SCI"].data.astype(float), WCS(hdus["SCI"].header)
    xy = wcs.all_world2pix(truth.sky, 0)
    found, stamp = [], np.arange(-5, 6)
    for star in np.argsort(-truth.flux)[:60]:
        column, row = np.rint(xy[star]).astype(int)
        alone = np.hypot(*(xy - xy[star]).T)[truth.flux > truth.flux[star] / 100]
        inside = 40 < column < image.shape[1] - 40 and 40 < row < image.shape[0] - 40
        cut = image[row - 5:row + 6, column - 5:column + 6]
        if not inside or np.sort(alone)[1] < 9 or not (np.isfinite(cut) & (cut != 0)).all():
            continue
        y, x = np.meshgrid(stamp + row, stamp + column, indexing="ij")

        def star_image(_, height, x0, y0, sigma, level, x=x, y=y):
            return (height * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / sigma**2) + level).ravel()

        found.append(curve_fit(star_image, None, cut.ravel(), (cut.max(), *xy[star], 1.2, np.median(cut)))[0][3])
    assert len(found) >= 10
    return np.median(np.abs(found))


@pytest.mark.slow
def test_astrodrizzle_combines_what_we_aligned(hst):
    plane = TangentPlane.of(hst.truth.center, (0, 0), np.eye(2) / 3600, (1, 1))  # where the errors were made, in arcsec
    widths = {}
    for kind in ("before", "aligned", "true"):
        folder = Path(kind)
        folder.mkdir()
        for name, original, error in zip(hst.names, hst.truth.files, hst.truth.errors, strict=True):
            shutil.copy(name if kind == "aligned" else original, folder / name)
            if kind == "true":
                with read_image(original) as image:
                    chip, = image.chips
                wcs = corrected_wcs(chip.wcs, chip.shape, plane, error.apply)
                update_header(folder / name, [({1: wcs}, Solution())], wcsname="TRUE")
        peer(DRIZZLE.format(names=hst.names), folder)
        widths[kind] = width(folder / "mosaic_drz.fits", hst.truth)
    assert widths["aligned"] == pytest.approx(widths["true"], rel=0.02)
    assert widths["before"] > 1.2 * widths["true"]


@pytest.mark.slow
def test_tweakback_does_what_our_solution_does(hst):
    peer(DRIZZLE.format(names=hst.names), ".")
    stars = np.column_stack([hst.truth.sky + np.array([0.12, -0.07]) / 3600, -2.5 * np.log10(hst.truth.flux)])
    rows = ["%.10f %.10f %.4f" % tuple(star) for star in stars]
    Path("stars.cat").write_text("\n".join(rows) + "\n")
    result = TweakReg("mosaic_drz.fits", refcat="stars.cat", rfluxcol="3", updatehdr=True, wcsname="SKY",
                      runfile="sky.log", **QUIET)
    assert result.ok
    ours = Path("ours")
    ours.mkdir()
    for name in hst.names:
        shutil.copy(name, ours)
    peer("from drizzlepac import tweakback; tweakback.apply_tweak('mosaic_drz.fits[sci,1]', orig_wcs_name='TWEAK')",
         ".")
    report = apply_solution("sky_solution.ecsv", [f"{ours}/*flt.fits:mosaic_drz.fits"], wcsname="SKY",
                            reusename=False)
    assert [(a.file, a.source, a.wcsname) for a in report] == [(n, "mosaic_drz.fits", "SKY") for n in hst.names]
    for name in hst.names:
        assert altwcs.wcsnames(fits.getheader(name, ("SCI", 1)))[" "] == "SKY"
        assert pixels_apart(sky(name), sky(ours / name)) < 2e-3
    assert (hst.truth.residuals([ours / name for name in hst.names], absolute=True) > 50).all()


def test_shiftfile_is_what_updatewcs_with_shift_expects(hst):
    numbers = {a.name: (*a.offset, a.rotation % 360, a.scale) for a in hst.result.alignments}
    copies = Path("theirs")
    copies.mkdir()
    for path in hst.truth.files:
        shutil.copy(path, copies)
    rows = [line.split() for line in Path("shifts.txt").read_text().splitlines() if not line.startswith("#")]
    assert {row[0]: pytest.approx(tuple(map(float, row[1:5])), abs=1e-6) for row in rows} == numbers
    calls = [f"updatewcs_with_shift({row[0]!r}, '../shifts_wcs.fits', wcsname='TWEAK', xsh={row[1]}, ysh={row[2]}, "
             f"rot={row[3]}, scale={row[4]}, force=True)" for row in rows]
    peer("\n".join(["from drizzlepac.updatehdr import updatewcs_with_shift", *calls]), copies)
    for name in hst.names:
        assert pixels_apart(sky(name), sky(copies / name)) < 1e-3
        assert name == hst.names[0] or pixels_apart(sky(name), sky(hst.truth.files[hst.names.index(name)])) > 1


def test_stwcs_lists_and_restores(hst):
    name = hst.names[1]
    assert altwcs.wcsnames(name, ("SCI", 1))[" "] == "TWEAK"
    assert "DEMO_IDC" in altwcs.wcsnames(name, ("SCI", 1)).values()
    aligned = sky(name)
    restore = f"from stwcs.wcsutil import altwcs; altwcs.restoreWCS({name!r}, [('SCI', 1)], wcsname='DEMO_IDC')"
    subprocess.run([sys.executable, "-c", restore], check=True, timeout=60)  # which warns, and leaves the file open
    assert pixels_apart(sky(name), sky(hst.truth.files[1])) < 1e-6
    apply_solution("tweakreg_solution.ecsv", [name], wcsname="AGAIN", reusename=False)
    assert pixels_apart(sky(name), aligned) < 1e-6


def test_fitsverify_finds_nothing_new(hst):
    if not shutil.which("fitsverify"):
        pytest.skip("needs fitsverify")

    def faults(path):
        done = subprocess.run(["fitsverify", "-l", path], capture_output=True, text=True, timeout=60, check=False)
        assert "Verification found" in done.stdout
        return {re.sub(r"#\d+", "#", line) for line in done.stdout.splitlines() if line.startswith(("***", "*** "))}

    for name, original in zip(hst.names, hst.truth.files, strict=True):
        assert faults(name) <= faults(original)


@pytest.mark.parametrize("geometry", ["rscale", "general"])
def test_iraf_maps_points_as_we_do(hst, geometry):
    if not (shutil.which("irafcl") and Path("/etc/iraf/login.cl").exists()):
        pytest.skip("needs iraf")
    result = TweakReg([str(path) for path in hst.truth.files], shiftfile=True, fitgeometry=geometry, **QUIET)
    alignment, root = result.alignments[2], hst.names[2].removesuffix(".fits")
    points = np.random.default_rng(0).uniform(60, 340, (50, 2))
    np.savetxt("in.txt", points, fmt="%.8f")
    Path("login.cl").write_text(Path("/etc/iraf/login.cl").read_text())
    Path(".iraf/uparm").mkdir(parents=True)
    calls = [f'geoxytran ("in.txt", "{way}.txt", "tweakreg_geomap.db", "{root}", geometry="geometric", '
             f'direction="{way}", calctype="double", xformat="%16.8f", yformat="%16.8f")'
             for way in ("forward", "backward")]
    home = {**os.environ, "HOME": os.getcwd(), "USER": os.environ.get("USER", "user"), "TERM": "vt100"}
    done = subprocess.run(["irafcl"], input="\n".join(["images", "immatch", *calls, "logout", ""]), env=home, text=True,
                          capture_output=True, timeout=120, check=False)
    assert "ERROR" not in done.stdout, done.stdout
    assert np.abs(np.loadtxt("backward.txt") - alignment.fit(points)).max() < 1e-4
    assert np.abs(alignment.fit(np.loadtxt("forward.txt")) - points).max() < 1e-4
    assert np.abs(alignment.fit(points) - points).max() > 1
