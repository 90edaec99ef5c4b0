"""Reference catalogs and images, user catalogs, exclusions, weights, associations: all that goes in."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from tap_server import cone_of, serving, votable

from imagereg.catalogs.queries import SURVEYS
from imagereg.catalogs.sources import SourceCatalog
from imagereg.demo import PointingError, simulate_visit
from imagereg.errors import InputError, ParameterError
from imagereg.interfaces.shell.cli import main
from imagereg.tweakreg import TweakReg, align_catalogs

QUIET = {"see2dplot": False, "residplot": "No plot", "threshold": 10, "writecat": False}


def catalog_of(visit, *, error=0.0005, seed=1):
    """Make a table of the true stars, with errors, deg; bright ones first."""
    rng = np.random.default_rng(seed)
    order = np.argsort(-visit.flux)
    sky = visit.sky[order] + rng.normal(0, error / 3600, visit.sky.shape)
    mag, mas = 25 - 2.5 * np.log10(visit.flux[order]), np.full(len(sky), error * 1000)
    return Table({"ra": sky[:, 0], "dec": sky[:, 1], "ra_error": mas, "dec_error": mas, "phot_g_mean_mag": mag})


def absolute(visit, names):
    return visit.truth.residuals(names, absolute=True)


@pytest.mark.parametrize("name", ["gaia.csv", "gaia.ecsv", "gaia.fits", "gaia.vot"])
def test_reference_catalog(visit, name):
    kind = {"vot": "votable"}.get(name.rpartition(".")[2], "ascii." + name.rpartition(".")[2])
    catalog_of(visit.truth).write(name, format="fits" if name.endswith("fits") else kind)
    result = TweakReg(visit.names, refcat=name, updatehdr=True, **QUIET)
    assert result.ok and [a.status.value for a in result.alignments] == ["unchanged", "aligned", "aligned"]
    assert (absolute(visit, visit.names) < 1.5).all()


@pytest.mark.parametrize("columns", ["decimal", "sexagesimal", "numbers"])
def test_plain_reference_catalogs(visit, columns):
    table = catalog_of(visit.truth)
    sky = SkyCoord(table["ra"], table["dec"], unit="deg")
    lines = {"decimal": [f"{c.ra.deg:.8f} {c.dec.deg:.8f}" for c in sky],
             "sexagesimal": [c.to_string("hmsdms", sep=":", precision=5) for c in sky],
             "numbers": [f"x 1 {c.dec.deg:.8f} {c.ra.deg:.8f}" for c in sky]}[columns]
    Path("ref.txt").write_text("# stars\n" + "\n".join(lines) + "\n")
    given = {"refxcol": 4, "refycol": 3} if columns == "numbers" else {}
    result = TweakReg(visit.names, refcat="ref.txt", updatehdr=True, **given, **QUIET)
    assert result.ok and (absolute(visit, visit.names) < 1.5).all()


def test_limits_of_the_reference_catalog(visit):
    catalog_of(visit.truth).write("ref.csv", format="ascii.csv")
    column = {"rfluxcol": "phot_g_mean_mag"}
    every = TweakReg(visit.names[:1], refcat="ref.csv", **column, **QUIET).reference
    some = TweakReg(visit.names[:1], refcat="ref.csv", rfluxmin=16.0, **column, **QUIET).reference
    few = TweakReg(visit.names[:1], refcat="ref.csv", refnbright=40, **column, **QUIET).reference
    assert len(few) == 40 < len(every) and 0 < len(some) < len(every)
    assert few.flux.min() >= np.sort(every.flux)[-40]


def test_proper_motions(visit):
    """The catalog is of 2000, the exposures of 2025 or so: without motions the answer is off by the mean motion."""
    date = Path(visit.names[0])
    header = fits.getheader(date)
    years = (header["EXPSTART"] - 51544.5) / 365.25
    table = catalog_of(visit.truth)
    rng = np.random.default_rng(2)
    pm = np.column_stack([rng.normal(4, 3, len(table)), rng.normal(-3, 3, len(table))])  # mas/yr
    table["pmra"], table["pmdec"] = pm.T
    table["pmra_error"] = table["pmdec_error"] = np.full(len(table), 0.05)
    table["ref_epoch"] = np.full(len(table), 2000.0)
    table["ra"] -= pm[:, 0] * years / 3.6e6 / np.cos(np.deg2rad(table["dec"]))
    table["dec"] -= pm[:, 1] * years / 3.6e6
    table.write("moving.ecsv")
    assert TweakReg(visit.names, refcat="moving.ecsv", updatehdr=True, searchrad=1, **QUIET).ok
    assert (absolute(visit, visit.names) < 2).all()
    table.remove_columns(["pmra", "pmdec", "pmra_error", "pmdec_error"])
    table.write("still.ecsv")
    for name, original in visit.originals.items():
        shutil.copy(original, name)
    assert TweakReg(visit.names, refcat="still.ecsv", updatehdr=True, **QUIET).ok
    assert (absolute(visit, visit.names) > 20).all()


def test_reference_image(visit):
    aside = "reference.fits"
    os.rename(visit.names[0], aside)
    result = TweakReg(visit.names[1:], refimage=aside, refimagefindcfg={"threshold": 10}, updatehdr=True, **QUIET)
    assert result.ok and [a.status.value for a in result.alignments] == ["aligned"] * 2
    assert (visit.truth.residuals([aside, *visit.names[1:]])[1:] < 1).all()
    assert Path(aside).read_bytes() == Path(visit.originals[visit.names[0]]).read_bytes()


@pytest.mark.parametrize("aside", ["reference.fits", ""], ids=["aside", "among the images"])
def test_reference_image_is_measured_again_with_the_images(visit, aside):
    for name in visit.names:
        fits.setval(name, "TELESCOP", value="HST")  # whose exposures share their PSF
    first = TweakReg(visit.names, **QUIET)
    expected = first.alignments[0].exposure.sources
    if aside:
        os.rename(visit.names[0], aside)
    images = visit.names[1:] if aside else visit.names
    refimage = aside or visit.names[0]
    result = TweakReg(images, refimage=refimage, refimagefindcfg={"threshold": 10}, **QUIET)
    moved = np.abs(result.reference.xy - expected.xy)
    assert np.quantile(moved, 0.95) < 1e-3


def test_reference_image_among_the_images(visit):
    result = TweakReg(visit.names, refimage=visit.names[1], refimagefindcfg={"threshold": 10}, updatehdr=True, **QUIET)
    assert [a.status.value for a in result.alignments] == ["aligned", "reference", "aligned"]
    sky = visit.truth.residuals([visit.names[1], visit.names[1], visit.names[1]])
    assert np.isfinite(sky).all()


def test_drizzled_reference_image(visit):
    """A reference without distortion, of another pixel scale and orientation, as drizzle would make it."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], visit.truth.center
    wcs.wcs.crpix, wcs.wcs.cd = [330, 330], np.diag([-1, 1]) * 0.06 / 3600
    y, x = np.mgrid[:660, :660]
    image = np.random.default_rng(0).normal(0, 5, (660, 660))
    for (px, py), flux in zip(wcs.wcs_world2pix(visit.truth.sky, 0), visit.truth.flux, strict=True):
        if -5 < px < 665 and -5 < py < 665 and flux > 800:
            part = np.s_[max(0, int(py) - 8):max(0, int(py) + 9), max(0, int(px) - 8):max(0, int(px) + 9)]
            image[part] += flux / (2 * np.pi * 0.81) * np.exp(-((x[part] - px)**2 + (y[part] - py)**2) / 1.62)
    fits.PrimaryHDU(image.astype(np.float32), wcs.to_header()).writeto("drz.fits")
    result = TweakReg(visit.names, refimage="drz.fits", refimagefindcfg={"threshold": 10}, updatehdr=True, **QUIET)
    assert result.ok and (absolute(visit, visit.names) < 2).all()
    assert result.plane.pixel_scale == pytest.approx(0.06, rel=1e-6)


def test_reference_image_and_catalog(visit):
    """The image gives the plane, the catalog the stars."""
    catalog_of(visit.truth).write("ref.csv", format="ascii.csv")
    shutil.copy(visit.names[0], "reference.fits")
    result = TweakReg(visit.names[1:], refimage="reference.fits", refcat="ref.csv", updatehdr=True, **QUIET)
    assert result.ok and (absolute(visit, [visit.originals[visit.names[0]], *visit.names[1:]])[1:] < 1.5).all()


def write_chip_lists(visit, form):
    """Write true positions of every chip as a user's catalogs, and the catfile that names them."""
    lines = []
    for name, chips in zip(visit.names, visit.truth.chips, strict=True):
        names = []
        for chip in chips:
            names.append(f"{name[:-10]}_sci{chip.extver}.{form}")
            table = Table({"X_IMAGE": chip.xy[:, 0], "Y_IMAGE": chip.xy[:, 1], "FLUX_AUTO": chip.flux})
            if form == "coo":
                np.savetxt(names[-1], np.column_stack([chip.xy, chip.flux]))
            else:
                table.write(names[-1], format={"csv": "ascii.csv", "fits": "fits"}[form])
        lines.append(" ".join([name, *names]))
    Path("catfile.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("form", ["coo", "csv", "fits"])
def test_user_catalogs(visit, form):
    write_chip_lists(visit, form)
    result = TweakReg(visit.names, catfile="catfile.txt", updatehdr=True, fluxcol="3", fluxmin=1000, **QUIET)
    assert result.ok and (visit.truth.residuals(visit.names)[1:] < 0.05).all()
    assert result.alignments[0].exposure.sources.flux.min() >= 1000


def test_user_catalogs_in_degrees_and_with_gaps(visit):
    write_chip_lists(visit, "coo")
    lines = [line.split() for line in Path("catfile.txt").read_text().splitlines()]
    Path("catfile.txt").write_text("\n".join([f"{lines[0][0]} {lines[0][1]}", f"{lines[1][0]} None {lines[1][2]}",
                                              " ".join(lines[2])]))
    result = TweakReg(visit.names, catfile="catfile.txt", **QUIET)
    assert [set(a.exposure.sources.chip) for a in result.alignments] == [{1}, {2}, {1, 2}]
    Path("catfile.txt").write_text(" ".join(lines[0]))
    assert main(["*flt.fits", "catfile=catfile.txt", "see2dplot-", "residplot=No plot"]) == 1


def test_user_catalogs_of_the_sky(visit):
    found = TweakReg(visit.names, **{**QUIET, "writecat": True})
    lists = [f"{name} {name.removesuffix('.fits')}_sky_catalog.coo" for name in visit.names]
    Path("catfile.txt").write_text("\n".join(lists))
    result = TweakReg(visit.names, catfile="catfile.txt", xyunits="degrees", **QUIET)
    assert result.ok, result
    for alignment, expected in zip(result.alignments[1:], found.alignments[1:], strict=True):
        np.testing.assert_allclose(alignment.offset, expected.offset, atol=0.02)


def test_catalogs_alone():
    rng = np.random.default_rng(3)
    xy = rng.uniform(0, 1000, (80, 2))
    turn = np.deg2rad(0.02)
    moved = xy @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + (7.3, -4.1)
    image = SourceCatalog(xy=moved[:70] + rng.normal(0, 0.02, (70, 2)))
    alignment = align_catalogs(image, SourceCatalog(xy=xy), searchrad=20, searchunits="pixels")
    assert alignment.status.value == "aligned" and alignment.nmatches >= 68
    np.testing.assert_allclose(alignment.fit(moved), xy, atol=0.03)


def test_catalogs_with_a_wcs(visit):
    chip = visit.truth.chips[1][0]
    with fits.open(visit.names[1]) as hdus:
        wcs = WCS(hdus["SCI", chip.extver].header, hdus)
    sky = SourceCatalog(xy=np.full((len(visit.truth.sky), 2), np.nan), sky=visit.truth.sky)
    alignment = align_catalogs(SourceCatalog(xy=chip.xy), sky, wcs=wcs, minobj=10)
    corrected = alignment.corrected_chips()[0].wcs.all_pix2world(chip.xy, 1)
    offset = (corrected - visit.truth.sky[chip.ident]) * 3.6e6
    assert alignment.status.value == "aligned" and np.abs(offset).max() < 0.2


def test_exclusions(visit, caplog):
    root = visit.names[0]
    Path("box.reg").write_text("image\n-box(128,128,256,256,0)\n")
    Path("free.reg").write_text("300 100 60\n")
    Path("excl.txt").write_text(f"{root} box.reg free.reg\n{visit.names[1]} None box.reg\n{visit.names[2]}\n")
    result = TweakReg(visit.names, exclusions="excl.txt", **QUIET)
    assert result.ok
    first, second = (result.alignments[i].exposure.sources for i in (0, 1))
    assert (first.xy[first.chip == 1][:, 0] > 255).all()
    near = np.hypot(*(first.xy[first.chip == 2] - (300, 100)).T)
    assert near.min() > 59
    assert (second.xy[second.chip == 1][:, 0] < 200).any() and (second.xy[second.chip == 2][:, 0] > 255).all()
    assert f"{root}[SCI,1]: 65" in Path("tweakreg.log").read_text()  # some 65,000 pixels


def test_sky_region_for_all_images(visit):
    ra, dec = visit.truth.center
    Path("sky.reg").write_text(f"fk5\n-circle({ra},{dec},4\")\n")
    result = TweakReg(visit.names, exclusions="sky.reg", **QUIET)
    assert result.ok
    for alignment in result.alignments:
        offset = (alignment.exposure.sources.sky - (ra, dec)) * 3600 * (np.cos(np.deg2rad(dec)), 1)
        assert np.hypot(*offset.T).min() > 3.9


def test_bad_exclusions(visit):
    Path("bad.reg").write_text("image\ncircle(10,20)\n")
    Path("excl.txt").write_text(f"{visit.names[0]} bad.reg\n")
    with pytest.raises(InputError, match="bad.reg, line 2"):
        TweakReg(visit.names, exclusions="excl.txt", **QUIET)


def test_inverse_variance_maps(visit):
    """Pixels of no weight hold no sources, and those of less weight fewer."""
    lines = []
    for name in visit.names:
        with fits.open(name, mode="update") as hdus:
            weight = [fits.PrimaryHDU()]
            for extver in (1, 2):
                ivm = np.full(hdus["SCI", extver].shape, 0.012, np.float32)
                ivm[:, :100] = 0
                ivm[:, 300:] = 1 / (83 + 60.0**2)
                hdus["SCI", extver].data[:, 300:] += np.random.default_rng(extver).normal(0, 60, (256, 212))
                weight.append(fits.ImageHDU(ivm, name="IVM", ver=extver))
        fits.HDUList(weight).writeto(name.replace("flt", "ivm"))
        lines.append(f"{name} {name.replace('flt', 'ivm')}")
    Path("images").write_text("\n".join(lines) + "\n")
    weighted = TweakReg("@images", **QUIET)
    plain = TweakReg(visit.names, **QUIET)
    assert weighted.ok
    x, every = (r.alignments[0].exposure.sources.xy[:, 0] for r in (weighted, plain))
    assert x.min() > 99.5 and 0 < (x > 301).sum() < 0.8 * (every > 301).sum()


def test_association(visit):
    members = [name[:9] for name in visit.names] + ["jdemo1010"]
    columns = [fits.Column("MEMNAME", "14A", array=[m.upper() for m in members]),
               fits.Column("MEMTYPE", "14A", array=["EXP-DTH"] * 3 + ["PROD-DTH"]),
               fits.Column("MEMPRSNT", "L", array=[True] * 4)]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto("jdemo1010_asn.fits")
    result = TweakReg("jdemo1010_asn.fits", updatehdr=True, **QUIET)
    assert [a.name for a in result.alignments] == visit.names and (visit.truth.residuals(visit.names)[1:] < 1).all()


def test_stis_exposures_are_aligned_each(tmp_path, monkeypatch):
    """One file with three exposures of one chip: each has an error of its own."""
    monkeypatch.chdir(tmp_path)
    visit = simulate_visit(tmp_path / "v", seed=6, n_exposures=3, n_chips=1, chip_shape=(300, 300), n_stars=120,
                           dither=0.5, distortion=False)
    new = fits.HDUList([fits.PrimaryHDU()])
    new[0].header.update({"TELESCOP": "HST", "INSTRUME": "STIS"})
    for number, path in enumerate(visit.files, 1):
        with fits.open(path) as hdus:
            for kind in ("SCI", "DQ"):
                header = hdus[kind, 1].header.copy()
                header["EXTVER"] = number
                new.append(fits.ImageHDU(hdus[kind, 1].data.copy(), header))
    new.writeto("o4_flt.fits")
    shutil.copy("o4_flt.fits", "other_flt.fits")
    result = TweakReg("o4_flt.fits", updatehdr=True, **QUIET)
    assert [a.name for a in result.alignments] == [f"o4_flt.fits[sci,{n}]" for n in (1, 2, 3)] and result.ok
    with fits.open("o4_flt.fits") as hdus:
        for number, chips in enumerate(visit.chips, 1):
            sky = WCS(hdus["SCI", number].header).all_pix2world(chips[0].xy, 1)
            assert np.abs(sky - visit.sky[chips[0].ident]).max() * 3.6e6 < 3
            assert hdus["SCI", number].header["WCSNAME"] == "TWEAK"


def test_wfpc2_flags_in_a_file_of_their_own(visit):
    names = []
    for name in visit.names:
        root = name.removesuffix("_flt.fits")
        with fits.open(name) as hdus:
            kept = [hdu.copy() for hdu in hdus if hdu.name in ("PRIMARY", "SCI", "WCSDVARR", "D2IMARR")]
            fits.HDUList(kept).writeto(f"{root}_c0m.fits")
            flags = [fits.ImageHDU(hdus["DQ", v].data.copy(), name="SCI", ver=v) for v in (1, 2)]
            for hdu in flags:
                hdu.data[:, :200] = 2
            fits.HDUList([fits.PrimaryHDU(), *flags]).writeto(f"{root}_c1m.fits")
        names.append(f"{root}_c0m.fits")
    result = TweakReg(names, **QUIET)
    assert result.ok and (result.alignments[0].exposure.sources.xy[:, 0] > 199).all()


@pytest.mark.skipif(not (shutil.which("source-extractor") or shutil.which("sex")),
                    reason="needs SExtractor: install the Debian package source-extractor")
@pytest.mark.parametrize("centroid", ["psf", "marginal"])
def test_sextractor(visit, centroid):
    result = TweakReg(visit.names, findmode="sextractor", centroid=centroid, updatehdr=True, **QUIET)
    assert result.ok and (visit.truth.residuals(visit.names)[1:] < 4).all()


def test_sextractor_that_is_missing(visit, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert main(["*flt.fits", "findmode=sextractor", "see2dplot-", "residplot=No plot"]) == 2
    error = capsys.readouterr().err
    assert "source-extractor" in error and len(error.splitlines()) == 1


def test_alignments_hold_their_reference(visit):
    result = TweakReg(visit.names, **QUIET)
    alignment = result.alignments[1]
    plane = result.plane
    np.testing.assert_allclose(plane.sky_to_plane(alignment.reference.sky[alignment.ref_rows]), alignment.ref_xy)
    assert dataclasses.replace(alignment).reference is alignment.reference


@pytest.mark.parametrize("text, inside", [
    ("image\ncircle(256,128,90)\n", False),  # an exclusions file of the help text: areas to ignore
    ("image\n-circle(256,128,90)\n", False),
    ("256 128 90\n", False),
    ("image\n+circle(256,128,90)\n", True),
    ("image\ncircle(256,128,90)\n-circle(256,128,5)\n", True),  # of DS9: search there, but not in the middle
])
def test_meaning_of_regions(visit, text, inside):
    Path("areas.reg").write_text(text)
    sources = TweakReg(visit.names[:2], exclusions="areas.reg", minobj=5, **QUIET).alignments[0].exposure.sources
    distance = np.hypot(*(sources.xy - (256, 128)).T)
    assert (distance.max() < 91) if inside else (distance.min() > 89)


@pytest.mark.parametrize("matching", ["auto", "triangles"])
def test_large_rotation_and_offset(tmp_path, monkeypatch, matching):
    """An image turned by 25 degrees and off by 6 arcsec, with searchrad=1: found by its pattern, as the table says."""
    monkeypatch.chdir(tmp_path)
    errors = [PointingError(), PointingError(dx=5.0, dy=-3.5, roll=25.0, scale=1.0)]
    visit = simulate_visit(tmp_path, seed=9, n_exposures=2, n_chips=1, chip_shape=(400, 400), n_stars=150,
                           pointing_errors=errors, n_cosmic_rays=60)
    names = [path.name for path in visit.files]
    assert not TweakReg(names, matching="tolerance", **QUIET).ok
    result = TweakReg(names, matching=matching, updatehdr=True, **QUIET)
    assert result.ok and "pattern" in result.table()["reason"][1] and "rotation -25.0" in str(result)
    assert visit.residuals(names)[1] < 1.5


@pytest.fixture
def gaia(visit, monkeypatch, tmp_path_factory):
    """Serve the true stars as Gaia DR3 would have them, moving, and of 2016."""
    pytest.importorskip("pyvo")
    table = catalog_of(visit.truth)
    years = (fits.getheader(visit.names[0])["EXPSTART"] - 51544.5) / 365.25 - 16
    cos = np.cos(np.deg2rad(table["dec"]))
    columns = {name: [0.05] * len(table) for name in SURVEYS["GAIADR3"][0].names}
    columns |= {name: list(map(float, table[name])) for name in ("ra_error", "dec_error", "phot_g_mean_mag")}
    columns |= {"source_id": list(range(1, len(table) + 1)), "ref_epoch": [2016.0] * len(table),
                "pmra": [30.0] * len(table), "pmdec": [-20.0] * len(table), "ruwe": [1.0] * len(table),
                "ra": (table["ra"] - 30 * years / 3.6e6 / cos).tolist(),
                "dec": (table["dec"] + 20 * years / 3.6e6).tolist()}
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(votable(columns)) as server:
        monkeypatch.setenv("IMAGEREG_TAP", server.url)
        yield server


def test_gaia_by_name(visit, gaia):
    result = TweakReg(visit.names, refcat="Gaia DR3", updatehdr=True, searchrad=2, **QUIET)
    assert result.ok and (absolute(visit, visit.names) < 1.5).all()
    ra, dec, radius = cone_of(gaia.queries[0])
    center = SkyCoord(ra, dec, unit="deg")
    for name in visit.names:
        with fits.open(name) as hdus:
            corners = WCS(hdus["SCI", 1].header, hdus).calc_footprint()
        assert (center.separation(SkyCoord(corners, unit="deg")).arcsec + 2 < radius * 3600).all()
    # The table beside the run is a reference of its own; the cache serves without network.
    assert len(Table.read("tweakreg_GAIADR3.ecsv")) == len(visit.truth.sky)
    gaia.fault = "500"
    for refcat in ("tweakreg_GAIADR3.ecsv", "GAIADR3"):
        again = TweakReg(visit.names, refcat=refcat, searchrad=2, refnbright=150, **QUIET)
        assert again.ok and len(again.reference) == 150
    assert len(gaia.queries) == 1
    with pytest.raises(ParameterError, match="expected refxyunits = degrees and rfluxunits = mag"):
        TweakReg(visit.names, refcat="GAIADR3", rfluxunits="counts", **QUIET)


def test_gaia_out_of_order(visit, gaia):
    gaia.fault = "500"
    with pytest.raises(InputError, match=r"GAIADR3 can't be fetched \(127.0.0.1: status 500\): give a table of stars"):
        TweakReg(visit.names, refcat="GAIADR3", updatehdr=True, **QUIET)
    for name, original in visit.originals.items():
        assert Path(name).read_bytes() == Path(original).read_bytes()


def test_gaia_in_a_dry_run_writes_nothing(visit, gaia):
    assert main([*visit.names, "refcat=GAIADR3", "searchrad=2", "threshold=10", "--dry-run"]) == 0
    assert sorted(os.listdir(".")) == sorted(visit.names) and os.listdir(os.environ["HOME"]) == []


def test_a_file_named_as_a_survey_is_read(visit, gaia):
    catalog_of(visit.truth).write("GAIADR3", format="ascii.csv")
    assert TweakReg(visit.names, refcat="GAIADR3", **QUIET).ok and gaia.queries == []
