"""What broke scripts of drizzlepac once their import was changed: each runs now, or says why not."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import imagereg
from imagereg.catalogs import read_table, reference_catalog
from imagereg.demo import simulate_visit
from imagereg.errors import InputError, ParameterError
from imagereg.parameters import gather_parameters
from imagereg.tweakreg import Status, TweakReg

FILES = "*flt.fits"
QUIET = {"see2dplot": False, "residplot": "No plot", "threshold": 10}


def statuses(result):
    return [alignment.status for alignment in result.alignments]


# ---- parameters: no image is needed


def test_zero_and_one_are_booleans():
    task, *_ = gather_parameters(flat={"interactive": 0, "updatehdr": 1, "verbose": "0", "clean": "Yes"})
    assert (task.interactive, task.updatehdr, task.verbose, task.clean) == (False, True, False, True)


def test_parameters_of_tweakreg_in_a_set(caplog):
    """They are taken as what they are, and their owner is named."""
    task, finding, ref_finding = gather_parameters(imagefindcfg={"threshold": 7, "searchrad": 2.5},
                                                   refimagefindcfg={"nclip": 5, "threshold": 9})
    assert (task.searchrad, task.nclip, finding.threshold, ref_finding.threshold) == (2.5, 5, 7, 9)
    assert caplog.messages == [
        "searchrad is a parameter of tweakreg and not of imagefindpars: it is taken as such",
        "nclip is a parameter of tweakreg and not of refimagefindpars: it is taken as such"]


@pytest.mark.parametrize("given, says", [
    ({"imagefindcfg": {"cw": 3.5}}, "imagefindpars: unknown parameter 'cw'; did you mean 'conv_width'?"),
    ({"flat": {"cw": 3.5}}, "tweakreg: unknown parameter 'cw'; did you mean 'conv_width'?"),
    ({"flat": {"ascend": True}}, "tweakreg: unknown parameter 'ascend'; fluxunits says what the brightest is"),
    ({"flat": {"rfluxunits": "flux"}}, "'rfluxunits' = 'flux': expected one of 'counts', 'cps', 'mag'"),
])
def test_mistakes_are_explained(given, says):
    with pytest.raises(ParameterError) as error:
        gather_parameters(**given)
    assert says in str(error.value)


def test_two_values_of_a_parameter(caplog):
    """What is given by its name alone counts, as in drizzlepac, and it is said; a file is for being overruled."""
    _, finding, _ = gather_parameters(imagefindcfg={"threshold": 20, "peakmax": 100}, flat={"threshold": 10})
    assert finding.threshold == 10
    assert caplog.messages == ["threshold is 20.0 in imagefindcfg and 10.0 by its name alone, which counts"]
    caplog.clear()
    gather_parameters(imagefindcfg={"_task_name_": "imagefindpars", "threshold": 20}, flat={"threshold": 10})
    gather_parameters(imagefindcfg={"threshold": 10}, flat={"threshold": 10})
    assert not caplog.messages


TEAL = """
import json
from imagereg import tweakreg
from stsci.tools import teal
print(json.dumps([teal.load(name).filename for name in ("imagefindpars", "refimagefindpars")]))
"""


def test_teal_finds_the_sets(tmp_path):
    """With the task alone imported, as scripts do that load the sets by their short names."""
    package = Path(imagereg.__file__).parent
    done = subprocess.run([sys.executable, "-c", TEAL], capture_output=True, text=True, check=True, cwd=tmp_path,
                          env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(package.parent)})
    found = json.loads(done.stdout.splitlines()[-1])
    for path in map(Path, found):
        path.chmod(0o644)  # TEAL makes it read-only
        assert path.parent == package / "pars"


# ---- images and lists


def test_minobj_of_minus_one(visit):
    """There is no least number of matches: a fit takes what there is."""
    result = TweakReg(FILES, **QUIET, minobj=-1, nbright=6, writecat=False)
    assert Status.FAILED not in statuses(result)


def test_one_image_alone(visit, caplog):
    """Its catalogs are written, which notebooks on regions run it for; what can't be done is refused."""
    result = TweakReg(visit.names[0], **QUIET)
    assert statuses(result) == [Status.REFERENCE]
    assert "the only image" in result.alignments[0].reason and "the only image" in caplog.text
    root = visit.names[0].removesuffix(".fits")
    assert {f"{root}_sci1_xy_catalog.coo", f"{root}_sci2_xy_catalog.coo", f"{root}_sky_catalog.coo"} <= {
        *os.listdir()}
    for asked in ({"updatehdr": True}, {"writecat": False}):
        with pytest.raises(InputError, match="the only image"):
            TweakReg(visit.names[0], **QUIET, **asked)


def test_extensions_in_brackets(visit):
    """On inputs and on refimage: the whole file is used."""
    result = TweakReg(f"{visit.names[1]}[sci,1],{visit.names[2]}[1]", **QUIET, refimage=f"{visit.names[0]}[1]")
    assert result.ok and [a.name for a in result.alignments] == visit.names[1:]
    for index, alignment in enumerate(result.alignments, 1):
        expected = visit.truth.expected_shift(index, result.plane.wcs)
        np.testing.assert_allclose(alignment.offset, expected[:2], atol=0.1)


def test_headerlet_of_a_simple_image(tmp_path, monkeypatch, caplog):
    """Stwcs makes none of it: its header gets the solution all the same, and the rest of the run is done."""
    monkeypatch.chdir(tmp_path)
    visit = simulate_visit(tmp_path / "visit", seed=5, n_exposures=2, n_chips=1, distortion=False, n_stars=90,
                           chip_shape=(256, 512), n_cosmic_rays=20, bad_pixels=0)
    names = []
    for path in visit.files:
        with fits.open(path) as hdus:
            hdu = fits.PrimaryHDU(hdus["SCI"].data, hdus["SCI"].header)
        for keyword in ("EXTNAME", "EXTVER"):
            del hdu.header[keyword]
        names.append(path.name.replace("flt", "drz_sci"))
        hdu.writeto(names[-1])
    result = TweakReg(names, **QUIET, headerlet=True, updatehdr=True, clobber=True, clean=True)
    assert statuses(result) == [Status.REFERENCE, Status.ALIGNED]
    assert [fits.getval(name, "WCSNAME") for name in names] == ["TWEAK", "TWEAK"]
    assert f"{names[1]} has no SCI extension" in caplog.text
    with pytest.raises(InputError, match="can't have a headerlet"):
        TweakReg(names, **QUIET, headerlet=True)


@pytest.fixture
def listed(visit):
    """Write catalogs of the images, and return the text of a list of images with them."""
    TweakReg(FILES, **QUIET)
    return Path(f"{visit.names[0].removesuffix('.fits')}_xy_catfile.list").read_text()


def test_list_with_catalogs_beside_images(visit, listed):
    """The sources are those of the catalogs; drizzlepac ended with an UnboundLocalError."""
    catalogs = [line.split()[1:] for line in listed.splitlines()]
    number = sum(len(Table.read(name, format="ascii")) for name in catalogs[1])
    Path("images.list").write_text(listed)
    assert [len(row) for row in catalogs] == [2, 2, 2]
    before = {name: os.stat(name).st_mtime_ns for row in catalogs for name in row}
    result = TweakReg("@images.list", threshold=1000, see2dplot=False, residplot="No plot")
    assert result.ok and len(result.alignments[1].exposure.sources) == number
    assert {name: os.stat(name).st_mtime_ns for name in before} == before


def test_written_list_is_a_catfile(visit, listed):
    """It names the images and the catalogs of their chips, and a run with it leaves it as it is."""
    name = f"{visit.names[0].removesuffix('.fits')}_xy_catfile.list"
    assert [line.split()[0] for line in listed.splitlines()] == visit.names
    assert TweakReg(FILES, **QUIET, catfile=name).ok
    assert Path(name).read_text() == listed


def test_positions_on_the_plane(visit):
    """Of each image as it was, in the list that drizzlepac writes."""
    result = TweakReg(FILES, **QUIET)
    for alignment in result.alignments:
        text = Path(alignment.name.replace(".fits", "_refxy_catalog.coo")).read_text()
        assert text.splitlines()[:2] == [f"#Pixel positions for: {alignment.name}", "#X           Y"]
        expected = result.plane.sky_to_plane(alignment.exposure.sources.sky)
        np.testing.assert_allclose(np.loadtxt(text.splitlines()), expected, atol=1e-5)


def test_columns_of_the_grown_reference(visit):
    """Position, flux, number and origin, as scripts read them."""
    TweakReg(FILES, **QUIET, expand_refcat=True)
    name = f"cumulative_sky_refcat_{visit.names[0].removesuffix('.fits')}.coo"
    table = Table.read(name, format="ascii.no_header", names=["ra", "dec", "flux", "id", "origin"])
    assert len(table) > 100 and set(visit.names) >= set(table["origin"])
    assert (table["flux"] > 0).all() and table["id"].dtype.kind == "i"


# ---- reference catalogs


def sexagesimal(degrees, hours):
    """Return an angle as three texts."""
    total = abs(degrees) / (15 if hours else 1)
    whole, minutes = int(total), int(total * 60) % 60
    sign = "-" if degrees < 0 else ""
    return f"{sign}{whole}", str(minutes), f"{total * 3600 % 60:.6f}"


def star_catalog(visit):
    """Return the text of a catalog of the true stars: sexagesimal from column 2 on, degrees in columns 9 and 10."""
    rows = [" ".join([f"s{number}", *sexagesimal(ra, hours=True), *sexagesimal(dec, hours=False), "1.0",
                      f"{ra:.9f}", f"{dec:.9f}"]) for number, (ra, dec) in enumerate(visit.sky)]
    return "\n".join([*rows, ""])


@pytest.mark.parametrize("refxcol, refycol", [
    ("2,3,4", "5,6,7"), ("2-4", "5-7"), ("c2:c4", "c5:c7"), ("2 3 4", "5 6 7"), ("c2,c3,c4", "c5,c6,c7"), ("c9", "c10"),
    (9, "10")])
def test_columns_of_a_reference_catalog(small_visit, refxcol, refycol):
    """One column of degrees, or three of hours or degrees, minutes and seconds."""
    table = read_table(star_catalog(small_visit).encode(), "stars.cat")
    stars = reference_catalog(table, refxcol=refxcol, refycol=refycol, refxyunits="degrees", rfluxcol="",
                              rfluxunits="mag")
    np.testing.assert_allclose(stars.sky, small_visit.sky, atol=1e-8)


@pytest.mark.parametrize("refxcol, refycol, says", [("2,3,4", "5", "3 and 1 columns"), ("2,3", "5,6", "2,3: expected"),
                                                    ("2-4", "9-11", "9-11: expected"), ("c12", "c13", "c12 is none")])
def test_columns_that_are_none(small_visit, refxcol, refycol, says):
    table = read_table(star_catalog(small_visit).encode(), "stars.cat")
    with pytest.raises(InputError, match=says):
        reference_catalog(table, refxcol=refxcol, refycol=refycol, refxyunits="degrees", rfluxcol="",
                          rfluxunits="mag")


def test_sexagesimal_reference_catalog(visit):
    """The image ends where the stars are."""
    Path("stars.cat").write_text(star_catalog(visit.truth))
    assert TweakReg(visit.names[1], **QUIET, refcat="stars.cat", refxcol="2,3,4", refycol="5-7", updatehdr=1).ok
    assert visit.truth.residuals(absolute=True)[1] > 100
    assert visit.truth.residuals(visit.names, absolute=True)[1] < 3


def test_fluxes_that_are_no_magnitudes(visit):
    """The message names the parameter that says what they are."""
    rows = [f"{ra:.9f} {dec:.9f} {flux:.1f}" for (ra, dec), flux in zip(visit.truth.sky, visit.truth.flux, strict=True)]
    Path("stars.cat").write_text("\n".join([*rows, ""]))
    given = {**QUIET, "refcat": "stars.cat", "rfluxcol": 3, "refnbright": 40, "writecat": False}
    with pytest.raises(ParameterError, match="by rfluxunits, which is mag now"):
        TweakReg(visit.names[0], **given)
    assert TweakReg(visit.names[0], **given, rfluxunits="counts").ok


# ---- the shiftfile


def shifts(name="shifts.txt"):
    return Table.read(name, format="ascii.no_header", names=["file", "dx", "dy", "rot", "scale", "xrms", "yrms"])


def test_rotations_of_a_shiftfile(visit):
    """From 0 to 360 degrees, as linearfit of drizzlepac gives them."""
    result = TweakReg(FILES, **QUIET, shiftfile=True)
    found = [alignment.rotation for alignment in result.alignments]
    assert min(found) < 0
    np.testing.assert_allclose(shifts()["rot"], np.mod(found, 360), atol=1e-8)


def test_unchanged_image_in_a_shiftfile(visit):
    """What was measured stands there, since scripts look how far off it is, and a shift that is too small to apply."""
    Path("stars.cat").write_text(star_catalog(visit.truth))
    result = TweakReg(visit.names[0], **QUIET, refcat="stars.cat", refxcol=9, refycol=10, shiftfile=True)
    assert statuses(result) == [Status.UNCHANGED]
    row, = shifts()
    assert 0 < np.hypot(row["dx"], row["dy"]) < 0.1 and row["xrms"] > 0


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.WARNING)
