"""A small simulated visit that every test may copy, and a folder to work in."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from imagereg.demo import simulate_visit
from imagereg.tweakreg import TweakReg


@pytest.fixture(scope="session")
def small_visit(tmp_path_factory):
    """Three exposures of two small chips; nobody writes to it."""
    return simulate_visit(tmp_path_factory.mktemp("visit"), seed=5, n_exposures=3, chip_shape=(256, 512), n_stars=90,
                          n_cosmic_rays=60, bad_pixels=60)


@pytest.fixture
def visit(small_visit, tmp_path, monkeypatch):
    """Copy the visit into the working directory: names of its files, the truth, and the originals."""
    names = []
    for path in map(Path, small_visit.files):
        shutil.copy(path, tmp_path / path.name)
        names.append(path.name)
    monkeypatch.chdir(tmp_path)
    return SimpleNamespace(names=names, truth=small_visit, originals=dict(zip(names, small_visit.files, strict=True)))


@pytest.fixture(scope="session")
def solved_folder(small_visit, tmp_path_factory):
    """Align the small visit; a folder with solution file, shiftfile, and the new images in `aligned`."""
    folder = tmp_path_factory.mktemp("solved")
    (folder / "aligned").mkdir()
    names = [path.name for path in small_visit.files]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for path in small_visit.files:
            shutil.copy(path, path.name)
        TweakReg(names, updatehdr=True, shiftfile=True, see2dplot=False, residplot="No plot", writecat=False,
                 threshold=10)
        for name in names:
            shutil.move(name, "aligned")
    return folder


@pytest.fixture
def solved(visit, solved_folder):
    """Give the visit as it was and the products of a run, the images that it updated in `aligned`."""
    shutil.copytree(solved_folder, ".", dirs_exist_ok=True)
    return visit
