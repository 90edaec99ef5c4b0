"""Headers that others wrote, or an earlier run, are read for what they say."""

from pathlib import Path

import pytest
from astropy.io import fits
from images import edit

from imagereg.interfaces.shell.cli import main

WORDS = ["threshold=10", "see2dplot=no", "residplot=No plot", "interactive=no", "writecat=no"]


def listed(name, capsys):
    """Return the rms in RA and Dec that --headerlets prints for the primary WCS of an image."""
    assert main(["--headerlets", name]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(name))
    return [float(word) for word in line.split()[6:8]]


@pytest.mark.parametrize("comment", ["RMS in RA (mas)", "RA RMS of the fit [mas]"])
def test_rms_in_mas(visit, capsys, comment):
    """As the archive's pipeline writes it."""
    edit(
        visit.names[0],
        WCSNAME="IDC_X-FIT_REL_GAIA",
        NMATCH=50,
        RMS_RA=(9.627, comment),
        RMS_DEC=(8.5, comment),
    )
    assert listed(visit.names[0], capsys) == pytest.approx([9.63, 8.5], abs=0.006)


def test_rms_in_degrees(visit, capsys):
    edit(
        visit.names[0],
        WCSNAME="IDC_X-FIT",
        NMATCH=50,
        RMS_RA=(9.627 / 3.6e6, "RMS in RA (deg)"),
        RMS_DEC=8.5 / 3.6e6,
    )
    assert listed(visit.names[0], capsys) == pytest.approx([9.63, 8.5], abs=0.006)


@pytest.mark.parametrize("given", ["", " ", "None", "INDEF"])
def test_wcsname_that_is_none_is_tweak(visit, given):
    assert main(["*flt.fits", *WORDS, "updatehdr=yes", f"wcsname={given}"]) == 0
    assert {fits.getheader(name, ("SCI", 1))["WCSNAME"] for name in visit.names} == {"TWEAK"}


@pytest.mark.parametrize("again", [["reusename=yes"], ["wcsname=AGAIN"]], ids=" ".join)
def test_second_run_keeps_what_the_first_says(visit, again):
    """An aligned image is not said to be unaligned because a second run finds nothing to change."""
    assert main(["*flt.fits", *WORDS, "updatehdr=yes"]) == 0
    first = fits.getheader(visit.names[1], ("SCI", 1))
    assert main(["*flt.fits", *WORDS, "updatehdr=yes", *again]) == 0
    second = fits.getheader(visit.names[1], ("SCI", 1))
    assert "not aligned" not in str(second.get("WCSTYPE"))
    assert second["NMATCH"] == first["NMATCH"] and second["RMS_RA"] == pytest.approx(
        first["RMS_RA"], rel=0.2
    )


@pytest.mark.parametrize(
    "line, says",
    [
        ("jdemo1axq_flt.fits area.reg", "jdemo1axq_flt.fits"),
        ("jdemo1abq_flt.fits area.reg None area.reg", "jdemo1abq_flt.fits"),
    ],
)
def test_exclusions_of_what_is_not_there(visit, capsys, line, says):
    """A list that names another image, or a third chip of two, says so."""
    Path("area.reg").write_text("image\ncircle(20, 20, 5)\n")
    Path("exclusions.txt").write_text(f"{line}\n")
    status = main(["*flt.fits", *WORDS, "exclusions=exclusions.txt"])
    printed = capsys.readouterr()
    said = [
        text
        for text in (printed.out + printed.err + Path("tweakreg.log").read_text()).splitlines()
        if "exclusions.txt" in text and says in text
    ]
    assert said and status in (0, 1, 2)
