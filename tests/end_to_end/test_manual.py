"""The manual: its commands do what they are for, and its tables are complete."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from stock import BEFORE, NO_PLOTS, keep_gaia, stock

from imagereg.files.solution import SolvedExposure
from imagereg.interfaces.shell.cli import main
from imagereg.report import summary

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = re.sub(r"\\\n *", "", (DOCS / "howto.md").read_text())
SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n?)*)", TEXT, re.M))
# Files of the stock under the names that a section has for them; there are no others then.
NAMED = {
    "Give the solution to other filters and to grisms": {
        "jdirect_f814w_flt.fits": "jdemo1aaq_flt.fits", "jother_f814w_flt.fits": "jdemo1abq_flt.fits",
        "jgrism_g800l_flt.fits": "jdemo1abq_flt.fits"},
    "Align drizzled images, and their inputs": {
        "mosaic_f606w_drz.fits": "m_drz.fits", "mosaic_f814w_drz.fits": "deep_drz.fits",
        "i1_flt.fits": "jdemo1aaq_flt.fits"},
}


@pytest.fixture(scope="module")
def stocked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stocked")
    stock(folder)
    with fits.open(folder / "m_drz.fits") as hdus:
        fits.PrimaryHDU(hdus["SCI"].data).writeto(folder / "raw1.fits")
        stars = Table.read(folder / "stars.csv")
        x, y = WCS(hdus["SCI"].header, hdus).all_world2pix(stars["ra"], stars["dec"], 0, quiet=True)
        stars[(np.abs(x - 150) < 200) & (np.abs(y - 100) < 150)].write(folder / "field.csv")
    return folder


@pytest.mark.parametrize("title", SECTIONS)
def test_commands(title, stocked, tmp_path, monkeypatch, capsys):
    """Of a section, in their order; each aligns all images, or does what it says."""
    commands = [shlex.split(line) for line in re.findall(r"^    tweakreg (.*)$", SECTIONS[title], re.M)]
    if "findmode=sextractor" in str(commands) and not any(map(shutil.which, ("sex", "source-extractor"))):
        pytest.skip("needs SExtractor")
    work = shutil.copytree(stocked, tmp_path / "work")
    for name, source in NAMED.get(title, {}).items():
        shutil.copy(work / source, work / name)
    if title in NAMED:
        for path in work.glob("jdemo1*"):
            path.unlink()
    monkeypatch.chdir(work)
    keep_gaia(stocked, tmp_path / "home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if title == "Take it back":
        assert main([*BEFORE["--restore"], *NO_PLOTS]) == 0
    for words in commands:
        aligns = not words[0].startswith("--")
        assert main([*words, *NO_PLOTS * aligns]) == 0, f"{words}: " + "".join(capsys.readouterr())


def test_columns_of_the_solution_file():
    text = (DOCS / "files.md").read_text()
    names = [*summary._COLUMNS, *SolvedExposure.__dataclass_fields__]
    assert not [name for name in names if f"`{name}`" not in text]
