"""A shiftfile that somebody else wrote is applied in the direction that drizzlepac gives it."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from planes import CHIP, PLANE, as_drizzlepac

from imagereg.interfaces.shell.cli import main


def write_image(name):
    """Write an image of the undistorted chip that lies on the plane."""
    header = CHIP.wcs.to_header()
    for i in (1, 2):
        for j in (1, 2):
            header[f"CD{i}_{j}"] = CHIP.wcs.wcs.cd[i - 1, j - 1]
            header.remove(f"PC{i}_{j}", ignore_missing=True)
        header.remove(f"CDELT{i}", ignore_missing=True)
    fits.PrimaryHDU(np.zeros((8, 10), np.uint8), header).writeto(name)


def write_plane(name):
    """Write the plane as a reference WCS."""
    header = PLANE.wcs.to_header()
    header["NPIX1"], header["NPIX2"] = PLANE.shape[::-1]
    fits.PrimaryHDU(header=header).writeto(name)


def to_plane(name, xy):
    """Return where on the plane pixels of an image are by its header."""
    return PLANE.sky_to_plane(WCS(fits.getheader(name)).wcs_pix2world(xy, 1))


@pytest.mark.parametrize(
    "shift, rot, scale",
    [
        ((12.0, -7.5), 0.0, 1.0),
        ((0.0, 0.0), 1.5, 1.0),
        ((0.0, 0.0), 0.0, 1.01),
        ((12.0, -7.5), -2.0, 0.97),
    ],
)
def test_what_the_image_has_at_a_place_comes_to_where_the_reference_has_it(
    tmp_path, monkeypatch, shift, rot, scale
):
    monkeypatch.chdir(tmp_path)
    write_image("b.fits")
    write_plane("plane.fits")
    Path("theirs.txt").write_text(
        "# frame: output\n# refimage: plane.fits[wcs]\n"
        f"b.fits {shift[0]} {shift[1]} {rot} {scale} 0.1 0.2\n"
    )
    pixels = np.array([(1.0, 1.0), (900, 50), (500, 700), (333, 444)])
    before = to_plane("b.fits", pixels)
    assert main(["--apply", "theirs.txt"]) == 0
    after = to_plane("b.fits", pixels)
    np.testing.assert_allclose(as_drizzlepac(after, *shift, rot, scale), before, atol=1e-3)
    header = fits.getheader("b.fits")
    np.testing.assert_allclose(
        [header["RMS_RA"], header["RMS_DEC"]], np.array([0.1, 0.2]) * 0.05 / 3600, rtol=1e-6
    )
    assert header["WCSNAMEA"]


@pytest.mark.parametrize("name", ["plane.fits", "link.fits"])
def test_the_reference_wcs_is_not_updated(tmp_path, monkeypatch, capsys, name):
    """It is an image too, where the shiftfile refers to one."""
    monkeypatch.chdir(tmp_path)
    write_image("plane.fits")
    Path("link.fits").symlink_to("plane.fits")
    before = Path("plane.fits").read_bytes()
    Path("theirs.txt").write_text(f"# refimage: plane.fits[wcs]\n{name} 12.0 -7.5 0 1\n")
    assert main(["--apply", "theirs.txt"]) == 2
    assert "would take the place of the reference WCS plane.fits" in capsys.readouterr().err
    assert Path("plane.fits").read_bytes() == before


@pytest.mark.parametrize("row", ["nan 0 0 1", "inf 1 0 1", "0 -inf 0 1", "0 0 inf 1", "1e308 1e308 0 0.01"])
def test_a_shift_that_is_not_finite_is_none(tmp_path, monkeypatch, capsys, row):
    monkeypatch.chdir(tmp_path)
    write_image("b.fits")
    write_plane("plane.fits")
    Path("theirs.txt").write_text(f"# frame: output\n# refimage: plane.fits[wcs]\nb.fits {row} 0.1 0.2\n")
    content = Path("b.fits").read_bytes()
    assert main(["--apply", "theirs.txt"]) == 1
    printed = capsys.readouterr()
    assert "it has no shift" in printed.out + printed.err and "Warning" not in printed.err
    assert Path("b.fits").read_bytes() == content


@pytest.mark.parametrize("scale", ["0", "-1", "1e-300", "inf"])
def test_a_scale_that_no_image_has_is_refused(tmp_path, monkeypatch, capsys, scale):
    monkeypatch.chdir(tmp_path)
    write_image("b.fits")
    write_plane("plane.fits")
    Path("theirs.txt").write_text(f"# frame: output\n# refimage: plane.fits[wcs]\nb.fits 1 2 0 {scale}\n")
    assert main(["--apply", "theirs.txt"]) == 2
    assert "expected one from 0.001 to 1000" in capsys.readouterr().err


def test_a_shift_to_the_rim_of_the_plane_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_image("b.fits")
    write_plane("plane.fits")
    Path("theirs.txt").write_text("# refimage: plane.fits[wcs]\nb.fits 1e20 0 0 1\n")
    assert main(["--apply", "theirs.txt"]) == 2
    assert "b.fits: a chip shrinks to nothing at the rim" in capsys.readouterr().err


def test_an_image_beyond_the_plane_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_image("b.fits")
    write_plane("plane.fits")
    header = fits.getheader("b.fits")
    fits.setval("b.fits", "CRVAL1", value=(header["CRVAL1"] + 180) % 360)
    fits.setval("b.fits", "CRVAL2", value=-header["CRVAL2"])
    Path("theirs.txt").write_text("# refimage: plane.fits[wcs]\nb.fits 12.0 -7.5 0 1\n")
    assert main(["--apply", "theirs.txt"]) != 0
    assert "b.fits: a chip lies beyond the plane" in capsys.readouterr().err
