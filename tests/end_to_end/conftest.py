"""A small simulated visit that every test may copy, and a folder to work in."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from imagereg.demo import simulate_visit

# What is known to be wrong, by the end of the test's name: it has to fail, until it is mended and leaves this table.
KNOWN_GAPS = {
    "test_damaged_cfg[brackets]": "a long line of configobj's",
    "test_long_word[list]": "the word is quoted whole",
    "test_long_word[catfile]": "the word is quoted whole",
    "test_long_word[exclusions]": "the word is quoted whole",
    "test_long_word[shiftfile]": "the word is quoted whole",
    "test_matplotlibrc_of_the_folder_is_not_read": "matplotlib reads it when it is imported",
    "test_odd_file_name[hash]": "a number sign begins a comment in a shiftfile",
    "test_odd_file_name[not UTF-8]": "the solution file is UTF-8",
    "test_output_on_input_is_refused[solution file-parameters-symbolic link]": "a .cfg is not known as an input",
    "test_unknown_task_in_clpars": "a traceback",
}


def pytest_collection_modifyitems(items):
    for item in items:
        if reason := KNOWN_GAPS.get(item.nodeid.partition("::")[2]):
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


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
