"""Files and sources shared out among cores: each once, in order, with the same results for any number."""

import dataclasses

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from imagereg.catalogs import SourceCatalog
from imagereg.demo import simulate_visit
from imagereg.files import InputFile, mef_inputs
from imagereg.parameters import ParameterSet
from imagereg.tasks import refining
from imagereg.tasks.exposures import measure_exposures
from imagereg.tasks.finding import pieces_of


@given(chips=st.lists(st.integers(0, 60), max_size=20), cores=st.integers(1, 8))
def test_each_chip_is_in_one_piece(chips, cores):
    """Only the last files are divided, fewer than there are cores, and into no more pieces than that."""
    images = [InputFile(str(number), wcs_names={k: [] for k in range(n)}) for number, n in enumerate(chips)]
    pieces = pieces_of(images, cores)
    assert list(dict.fromkeys(piece.image.path for piece in pieces)) == [image.path for image in images]
    for number, (image, n) in enumerate(zip(images, chips, strict=True)):
        own = [piece.numbers for piece in pieces if piece.image is image]
        if number < len(images) // cores * cores or n < 2:
            assert own == [None]
        else:
            assert sum(own, []) == list(range(n)) and len(own) == min(cores, n)
            assert max(map(len, own)) - min(map(len, own)) <= 1


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("visit")
    return simulate_visit(folder, n_exposures=3, n_stars=60, chip_shape=(300, 300), n_cosmic_rays=20).files


def measured(files, cores, caplog):
    caplog.clear()
    images = mef_inputs([InputFile(str(path)) for path in files])
    parameters = ParameterSet("imagefindpars", {"threshold": 20})
    with caplog.at_level("INFO", "imagereg"):
        found = measure_exposures(images, parameters, num_cores=cores)
    columns = [getattr(each.exposure.sources, field.name) for each in found
               for field in dataclasses.fields(SourceCatalog) if field.name != "origin"]
    return [each.exposure.problem for each in found], columns, caplog.messages


@pytest.mark.parametrize("cores", [2, 4, 5])
@pytest.mark.parametrize("few", [0, 10**6])
def test_the_same_sources_and_log_for_any_number_of_cores(visit, cores, few, caplog, alone, monkeypatch):
    monkeypatch.setattr(refining, "_FEW_STARS", few)
    problems, columns, said = measured(visit, 1, caplog)
    assert problems == ["", "", ""] and len(columns[0]) > 30
    again, same_columns, same = measured(visit, cores, caplog)
    assert again == problems and same == said
    for column, same_column in zip(columns, same_columns, strict=True):
        np.testing.assert_array_equal(same_column, column)


@pytest.mark.parametrize("cores", [1, 2, 4])
@pytest.mark.parametrize("extensions", [[("IVM", 1)], []])
def test_a_bad_file_is_one_problem_and_said_once(visit, extensions, cores, tmp_path, caplog, alone):
    """Of its last chip or of both, whichever piece has it."""
    ivm = str(tmp_path / "ivm.fits")
    maps = [fits.ImageHDU(np.ones((300, 300)), name=name, ver=ver) for name, ver in extensions]
    fits.HDUList([fits.PrimaryHDU(), *maps]).writeto(ivm)
    images = mef_inputs([InputFile(str(path)) for path in visit])
    images[-1] = dataclasses.replace(images[-1], ivm=ivm)
    parameters = ParameterSet("imagefindpars", {"threshold": 20})
    found = measure_exposures(images, parameters, num_cores=cores)
    problems = [each.exposure.problem for each in found]
    chip = 1 + len(extensions)
    assert problems[:2] == ["", ""] and f"no inverse-variance map for chip {chip}" in problems[2]
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [problems[2]]
    assert len(found[2].exposure.sources) == 0
