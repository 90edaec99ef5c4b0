"""What is written never falls on what is read: the run is refused, and nothing is lost.

Some cases of tests/bench/outputs_on_inputs.py, which tries every output on every input.
"""

import outputs_on_inputs
import pytest
import trials


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    trials.warm()
    return outputs_on_inputs.Stage(tmp_path_factory.mktemp("outputs"))


CASES = [
    ("outwcs", "image", "name"),
    ("outwcs", "image", "symbolic link"),
    ("outwcs", "image", "hard link"),
    ("outwcs", "refimage", "name"),
    ("outshifts", "catfile", "name"),
    ("outshifts", "list", "name"),
    ("runfile", "refcat", "name"),
    ("runfile", "exclusions", "name"),
    ("hdrfile", "refimage", "name"),
    ("headerlet", "history", "symbolic link"),
    ("chip catalog", "catalog", "name"),
    ("sky catalog", "refcat", "name"),
    ("sky catalog", "image", "hard link"),
    ("vectors", "regions", "name"),
    ("solution file", "parameters", "symbolic link"),
    ("geomap database", "history", "name"),
    ("grown reference", "catalog", "name"),
]


@pytest.mark.parametrize("output, source, relation", CASES)
def test_output_on_input_is_refused(stage, output, source, relation):
    assert stage.run(output, source, relation) == []
