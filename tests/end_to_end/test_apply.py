"""What was found is applied later: to the same files, to others of the visit, from a shiftfile; or refused."""

import shutil
from pathlib import Path

import defaults
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from corrections import read_wcs
from images import fill, sky

from imagereg.demo import PointingError, simulate_visit
from imagereg.interfaces.shell.cli import main
from imagereg.tasks.solutions.apply import apply_solution, read_solutions
from imagereg.tweakreg import TweakReg
from imagereg.wcs import TangentPlane, corrected_wcs
from imagereg.wcs.keywords import matrix_keywords
from imagereg.wcs.plane import rotation_of_sky

QUIET = {"see2dplot": False, "residplot": "No plot", "writecat": False, "threshold": 10}
NAMING = defaults.of("tweakreg", "wcsname", "reusename")
SOLUTION = "tweakreg_solution.ecsv"


def apart(first, second):
    """Return the largest difference of the sky of two files, degrees."""
    return max(np.abs(sky(first, extver) - sky(second, extver)).max() for extver in (1, 2))


def changed(path, **keywords):
    """Change keywords of the primary header, or of the science headers those that they have."""
    with fits.open(path, mode="update") as hdus:
        for name, value in keywords.items():
            for hdu in hdus:
                if hdu is hdus[0] or (hdu.name == "SCI" and name in hdu.header):
                    hdu.header[name] = value


def point_away(path, degrees):
    """Turn the sky of all chips of a file together, northwards."""
    with fits.open(path, mode="update") as hdus:
        chips = [hdu for hdu in hdus if hdu.name == "SCI"]
        wcss = [read_wcs(hdu.header, hdus) for hdu in chips]
        plane = TangentPlane.around([(wcs, hdu.shape) for wcs, hdu in zip(wcss, chips, strict=True)])
        step = np.array([0, degrees * 3600 / plane.pixel_scale])
        turn = rotation_of_sky(plane, lambda xy: xy + step, plane.centre)
        for hdu, wcs in zip(chips, wcss, strict=True):
            new = corrected_wcs(wcs, hdu.shape, plane, turn)
            numbers = {"CRVAL1": new.wcs.crval[0], "CRVAL2": new.wcs.crval[1], **matrix_keywords("CD", new.wcs.cd)}
            hdu.header.update(numbers)


def untouched(visit):
    return all(Path(name).read_bytes() == Path(visit.originals[name]).read_bytes() for name in visit.names)


def test_solution_makes_the_headers_that_the_run_made(solved):
    report = apply_solution(SOLUTION, **NAMING)
    assert [str(applied) for applied in report] == [f"{name}: updated, WCSNAME TWEAK" for name in solved.names]
    for name in solved.names:
        assert apart(name, f"aligned/{name}") < 1e-9
        mine, theirs = (fits.getheader(path, ("SCI", 2)) for path in (name, f"aligned/{name}"))
        for keyword in ("WCSNAME", "WCSTYPE", "FITNAME", "NMATCH", "FITGEOM", "RMS_RA", "RMS_DEC", "WCSNAMEA"):
            assert mine.get(keyword) == theirs.get(keyword)
    assert (solved.truth.residuals(solved.names)[1:] < 1).all()


@pytest.mark.parametrize("geometry", ["shift", "general"])
def test_every_geometry_survives_the_file(visit, geometry):
    TweakReg(visit.names, updatehdr=True, fitgeometry=geometry, runfile="g.log", **QUIET)
    Path("mine").mkdir()
    copies = [shutil.copy(path, "mine") for path in visit.originals.values()]
    apply_solution("g_solution.ecsv", copies, wcsname="MINE", reusename=False)
    assert all(apart(name, f"mine/{name}") < 1e-9 for name in visit.names)


def test_shiftfile_gives_the_same_sky(solved):
    report = apply_solution("shifts.txt", **NAMING)
    assert all(applied.wcsname for applied in report)
    assert all(apart(name, f"aligned/{name}") * 3600 / 0.05 < 1e-3 for name in solved.names)
    assert (solved.truth.residuals(solved.names)[1:] < 1).all()


def test_shiftfile_says_what_it_cannot_hold(visit):
    TweakReg(visit.names, shiftfile=True, fitgeometry="general", **QUIET)
    comments = [line for line in Path("shifts.txt").read_text().splitlines() if line.startswith("#")]
    assert [name for name in visit.names if any(f"{name}: a fit of geometry general" in line for line in comments)] \
        == visit.names[1:]
    assert all(SOLUTION in line for line in comments[4:])


def test_failed_image_is_skipped_and_named(visit, capsys):
    fill(visit.names[2], 0)
    TweakReg(visit.names, shiftfile=True, **QUIET)
    for found in (SOLUTION, "shifts.txt"):
        for name in visit.names:
            shutil.copy(visit.originals[name], name)
        fill(visit.names[2], 0)
        before = Path(visit.names[2]).read_bytes()
        assert main(["--apply", found]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[1] == f"{visit.names[1]}: updated, WCSNAME TWEAK"
        assert lines[2].startswith(f"{visit.names[2]}: not updated: ") and len(lines) == 3
        assert Path(visit.names[2]).read_bytes() == before


def test_solution_file_holds_what_people_ask_for(solved):
    table, solutions = Table.read(SOLUTION, format="ascii.ecsv"), read_solutions(SOLUTION)
    wanted = {"file", "rootname", "visit", "target", "status", "reason", "geometry", "dx", "dy", "rot", "scale",
              "dx_error", "xrms", "yrms_mas", "nmatches", "chance", "reference", "ra", "dec", "wcsname"}
    assert wanted <= set(table.colnames) and table.meta["format_version"] == 1
    assert list(table["visit"]) == ["jdemo1"] * 3 and list(table["target"]) == ["SIMULATED"] * 3
    assert table["dx"].unit == "pix" and table["ra"].unit == "deg"
    again = solutions.text(Table({"file": table["file"]}))
    Path("again.ecsv").write_text(again)
    assert repr(read_solutions("again.ecsv").rows) == repr(solutions.rows)  # the chance of the reference is NaN


@pytest.mark.parametrize("solution", ["joint", "sequential"])
@pytest.mark.parametrize("degrees", [1.0, 5.0])
def test_solution_of_a_header_that_pointed_far_away(visit, degrees, solution):
    for name in visit.names[1:]:
        point_away(name, degrees)
    Path("far").mkdir()
    copies = [shutil.copy(name, "far") for name in visit.names]
    assert TweakReg(visit.names, updatehdr=True, solution=solution, matching="triangles", **QUIET).ok
    assert (visit.truth.residuals(visit.names)[1:] < 1).all()
    report = apply_solution(SOLUTION, copies, **NAMING)
    assert all(applied.wcsname for applied in report)
    assert all(apart(name, f"far/{name}") * 3600 / 0.05 < 1e-3 for name in visit.names)
    again = apply_solution(SOLUTION, copies, **NAMING)
    assert all(applied.done for applied in again)


# Other files of the visit


@pytest.fixture
def other_filter(tmp_path_factory, monkeypatch):
    """Simulate a visit whose pointing errors are all the same, three files solved and one of another filter."""
    folder = tmp_path_factory.mktemp("other")
    monkeypatch.chdir(folder)
    error = PointingError(0.2, -0.1, 0.002, 1.00001)
    truth = simulate_visit(".", seed=5, n_exposures=4, chip_shape=(256, 512), n_stars=90, n_cosmic_rays=20,
                           pointing_errors=[error] * 4)
    names = [path.name for path in truth.files]
    stars = np.column_stack([truth.sky, -2.5 * np.log10(truth.flux)])
    rows = ["%.10f %.10f %.4f" % tuple(star) for star in stars]
    Path("stars.cat").write_text("\n".join(rows) + "\n")
    changed(names[3], FILTER="F814W")
    assert TweakReg(names[:3], refcat="stars.cat", rfluxcol="3", **QUIET).ok
    return names, truth


def test_solution_of_the_visit(other_filter, capsys):
    names, truth = other_filter
    before = truth.residuals(absolute=True)[3]
    assert main(["--apply", SOLUTION, names[3], "wcsname=OTHER"]) == 0
    assert capsys.readouterr().out == f"{names[3]}: updated, WCSNAME OTHER, with the solution of {names[2]}\n"
    after = truth.residuals(absolute=True)[3]
    assert before > 200 and after < 2
    for again in ([names[3]], [f"{names[3]}:{names[2]}"], ["reusename=yes", "wcsname=OTHER", names[3]]):
        content = Path(names[3]).read_bytes()
        assert main(["--apply", SOLUTION, *again]) == 0
        assert "already" in capsys.readouterr().out and Path(names[3]).read_bytes() == content


@pytest.mark.parametrize("keywords, complaint", [
    ({"ROOTNAME": "jother1aq"}, "nor for its visit"),
    ({"WCSNAME": "DEMO_IDC-GAIA"}, "when it was solved"),
    ({"CRVAL1": 150.1}, "is far from"),
], ids=str)
def test_files_that_the_visit_says_nothing_of(other_filter, keywords, complaint, capsys):
    names, _ = other_filter
    changed(names[3], **keywords)
    before = [Path(name).read_bytes() for name in names]
    assert main(["--apply", SOLUTION, *names]) == 2
    error = capsys.readouterr().err
    assert complaint in error and f"give {names[3]}:SOURCE" in error and error.count("\n") == 1
    assert [Path(name).read_bytes() for name in names] == before
    assert main(["--apply", SOLUTION, f"{names[3]}:{names[0]}"]) == 0  # which the user knows better


def test_distortion_in_the_name_of_a_wcs_does_not_count(other_filter):
    names, _ = other_filter
    text = Path(SOLUTION).read_text()
    Path(SOLUTION).write_text(text.replace("DEMO_IDC", "IDC_4bb1536cj-GSC240"))
    changed(names[3], WCSNAME="IDC_2bb1234aj-GSC240")
    assert apply_solution(SOLUTION, [names[3]], **NAMING)[0].source == names[2]


def test_solutions_that_differ_are_ambiguous(solved, capsys):
    other = "jdemo1azq_flt.fits"
    shutil.copy(solved.originals[solved.names[1]], other)
    changed(other, ROOTNAME="jdemo1azq")
    assert main(["--apply", SOLUTION, other]) == 2
    assert "which differ: give" in capsys.readouterr().err
    assert apply_solution(SOLUTION, [f"{other}:jdemo1abq"], **NAMING)[0].source == solved.names[1]
    assert apart(other, f"aligned/{solved.names[1]}") < 1e-9


def test_exposures_of_one_file(visit, capsys):
    for name in visit.names:
        changed(name, TELESCOP="HST", INSTRUME="STIS")
    Path("untouched").mkdir()
    copies = [shutil.copy(name, "untouched") for name in visit.names]
    result = TweakReg(visit.names[:2], updatehdr=True, refimage=visit.names[2], **{**QUIET, "minobj": 8})
    assert {a.status.value for a in result.alignments} == {"aligned", "failed"}  # a chip overlaps with its like alone
    report = apply_solution(SOLUTION, copies[:2], **NAMING)
    assert [applied.wcsname for applied in report] == [{"aligned": "TWEAK", "failed": ""}[a.status.value]
                                                       for a in result.alignments]
    assert all(apart(name, f"untouched/{name}") < 1e-9 for name in visit.names[:2])
    main(["--apply", SOLUTION, *copies[:2], "wcsname=B"])
    assert capsys.readouterr().out.count("already, as WCS 'TWEAK'") == 2


# Again


def test_applied_twice(solved, capsys):
    apply_solution(SOLUTION, **NAMING)
    before = [Path(name).read_bytes() for name in solved.names]
    for found in (SOLUTION, "shifts.txt"):
        for words in ([], ["reusename=yes"], [f"{solved.names[1]}:{solved.names[1]}", "wcsname=C"]):
            assert main(["--apply", found, *words]) == 0
            assert "already" in capsys.readouterr().out
    assert [Path(name).read_bytes() for name in solved.names] == before


def test_applied_twice_without_an_archive(visit, capsys):
    for name in visit.names:
        changed(name, WCSNAME="TWEAK")
    TweakReg(visit.names, **QUIET)
    assert main(["--apply", SOLUTION, "reusename=yes"]) == 0
    assert "WCSNAMEA" not in fits.getheader(visit.names[1], ("SCI", 1))
    for words in ([], [f"{visit.names[1]}:{visit.names[1]}"]):
        assert main(["--apply", SOLUTION, "reusename=yes", *words]) == 0
        assert f"{visit.names[1]}: has the solution of {visit.names[1]} already" in capsys.readouterr().out


# Refusals


def test_wcs_that_somebody_moved(solved, capsys):
    name = solved.names[1]
    changed(name, CRVAL2=30.0005)
    assert main(["--apply", SOLUTION]) == 2
    error = capsys.readouterr().err
    assert f"{name} has another WCS" in error and f"{name}:{name}" in error
    assert all(Path(n).read_bytes() == Path(solved.originals[n]).read_bytes() for n in solved.names if n != name)
    assert main(["--apply", SOLUTION, f"{name}:{name}"]) == 0


def test_files_that_are_not_there(solved, capsys):
    Path(solved.names[2]).unlink()
    assert main(["--apply", SOLUTION]) == 2
    assert f"{solved.names[2]}, named in {SOLUTION}, does not exist" in capsys.readouterr().err
    assert main(["--apply", SOLUTION, *solved.names[:2]]) == 0
    Path("shifts_wcs.fits").unlink()
    assert main(["--apply", "shifts.txt", *solved.names[:2]]) == 2
    assert "shifts_wcs.fits, the reference WCS of shifts.txt, does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("words, complaint", [
    ([SOLUTION, "jdemo1a?q_flt.fits:nothing.fits"], "has no row for nothing.fits"),
    ([SOLUTION, "nothing.fits"], "nothing.fits does not exist"),
    ([SOLUTION, "searchrad=3"], "'searchrad' has no meaning with --apply"),
    ([SOLUTION, "wcsname=DEMO_IDC"], "has a WCS named 'DEMO_IDC' already"),
    (["missing.ecsv"], "missing.ecsv can't be read"),
    (["jdemo1aaq_flt.fits"], "can't be read"),
    (["shifts_wcs.fits"], "expected"),
], ids=str)
def test_words_that_make_no_sense(solved, words, complaint, capsys):
    assert main(["--apply", *words]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1 and untouched(solved)


@pytest.mark.parametrize("old, new, complaint", [
    ("format: imagereg solution", "format: other", "no solution file of tweakreg"),
    ("format_version: 1", "format_version: 2", "format version 2, expected 1"),
    ("CRPIX1: ", "CRPIX9: ", "damaged"),
    ("NPIX1: ", "NPIX1: x", "damaged"),
    (" x_shift ", " y_shove ", "can't be read"),
    ("\njdemo1abq_flt.fits aligned", "\njdemo1abq_flt.fits aligned extra", "can't be read"),
    ("name: geometry, ", "name: {", "can't be read"),
    (" rscale ", " rscale nan ", "can't be read"),
])
def test_damaged_solution(solved, old, new, complaint, capsys):
    text = Path(SOLUTION).read_text()
    assert old in text
    Path(SOLUTION).write_text(text.replace(old, new))
    assert main(["--apply", SOLUTION]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1 and untouched(solved)


@pytest.mark.parametrize("text, complaint", [
    ("", "neither a solution file nor a shiftfile"),
    ("no shifts here\n", "expected name dx dy rot scale"),
    ("jdemo1abq_flt.fits 1 2 0 1\n", "does not say what its shifts refer to"),
    ("# refimage: shifts_wcs.fits[wcs]\njdemo1abq_flt.fits 1 2 0 0\n", "has the scale 0.0"),
    ("# refimage: jdemo1abq_flt.fits\njdemo1abq_flt.fits 1 2 0 1\n", "expected RA---TAN"),
])
def test_damaged_shiftfile(solved, text, complaint, capsys):
    Path("shifts.txt").write_text(text)
    assert main(["--apply", "shifts.txt"]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1 and untouched(solved)


def test_dry_run_says_what_would_differ(solved, capsys):
    before = {name: Path(name).read_bytes() for name in solved.names}
    assert main(["--apply", SOLUTION, "--dry-run", "wcsname=LATER"]) == 0
    said = capsys.readouterr().out
    assert f"{solved.names[1]}[SCI,1]:" in said and "-> 'LATER'" in said and "CRVAL1" in said
    assert all(Path(name).read_bytes() == content for name, content in before.items())
