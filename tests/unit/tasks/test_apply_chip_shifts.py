"""A solution with a chip that was put right is applied to that chip."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from planes import CHIP, PLANE

from imagereg.alignment import Chip, Metadata
from imagereg.files import Solutions
from imagereg.files.solution import ExposureRecord, SolvedExposure
from imagereg.interfaces.shell.cli import main
from imagereg.wcs import Solution

SHIFT = np.array([0.31, -0.22])
PIXELS = np.array([(1.0, 1.0), (900, 50), (500, 700)])


def chip(extver):
    """Return one of two chips, the second one above the first."""
    wcs = CHIP.wcs.deepcopy()
    wcs.wcs.crpix = CHIP.wcs.wcs.crpix - (0, 1000 * (extver - 1))
    wcs.wcs.set()
    return Chip(extver, wcs, (800, 1000))


def write_image(name):
    """Write an image of both chips."""
    hdus = [fits.PrimaryHDU()]
    for extver in (1, 2):
        header = chip(extver).wcs.to_header()
        header["WCSNAME"] = "FIRST"
        header["EXTVER"] = extver
        hdus.append(fits.ImageHDU(np.zeros((800, 1000), np.uint8), header, name="SCI"))
    fits.HDUList(hdus).writeto(name)


def write_solution(name, image, solution):
    """Write the solution file of a run with one image."""
    record = ExposureRecord.of(image, Metadata(wcsname="FIRST"), [chip(1), chip(2)], PLANE)
    row = SolvedExposure(**dataclasses.asdict(record), **dataclasses.asdict(solution))
    Path(name).write_text(Solutions(name, PLANE, (row,)).text(Table({"file": [image]})))


@pytest.mark.parametrize("status", ["aligned", "reference"])
def test_chip_is_put_right(tmp_path, monkeypatch, capsys, status):
    monkeypatch.chdir(tmp_path)
    write_image("b.fits")
    move = np.array([12.0, -7.5]) if status == "aligned" else np.zeros(2)
    solution = Solution.mapping(np.eye(2), move, PLANE.centre, status=status,
                                chip_shifts=f"2 {SHIFT[0]} {SHIFT[1]}")
    write_solution("solved.ecsv", "b.fits", solution)
    assert main(["--apply", "solved.ecsv"]) == 0
    for extver, shift in ((1, np.zeros(2)), (2, SHIFT)):
        sky = WCS(fits.getheader("b.fits", ("SCI", extver))).wcs_pix2world(PIXELS, 1)
        old = chip(extver).wcs.wcs_pix2world(PIXELS - shift, 1)
        expected = PLANE.plane_to_sky(PLANE.sky_to_plane(old) + move)
        np.testing.assert_allclose(sky, expected, rtol=0, atol=1e-3 * PLANE.pixel_scale / 3600)
    content = Path("b.fits").read_bytes()
    capsys.readouterr()
    assert main(["--apply", "solved.ecsv"]) == 0
    assert "already" in capsys.readouterr().out
    assert Path("b.fits").read_bytes() == content


def test_solution_file_from_before_is_read(tmp_path):
    text = Solutions("", PLANE, (SolvedExposure(file="b.fits", status="failed"),)).text(Table({"file": ["b.fits"]}))
    lines = [line.replace(" chip_shifts", "").removesuffix(' ""') for line in text.splitlines()
             if "{name: chip_shifts" not in line]
    assert Solutions.parse("\n".join(lines), "old.ecsv").rows[0].chip_shifts == ""
