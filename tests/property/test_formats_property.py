"""What is written is what is read, and nothing but an InputError comes out of malformed text."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.errors import InputError
from imagereg.files.inputs import parse_list
from imagereg.files.text import Shift, parse_shiftfile, shiftfile_text

letters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"],
                        exclude_characters="#,\ufeff")
names = st.text(letters, min_size=1, max_size=30)
numbers = st.floats(-1e5, 1e5) | st.just(np.nan)
shifts = st.builds(Shift, names, numbers, numbers, st.floats(-360, 360) | st.just(np.nan), st.floats(0.1, 10), numbers,
                   numbers)
lines = st.text(st.sampled_from("ab12.-+e# \t_[],:'\"nanif"), max_size=30)


@given(rows=st.lists(shifts, max_size=5), outwcs=names)
def test_shiftfile_there_and_back(rows, outwcs):
    found, reference = parse_shiftfile(shiftfile_text(rows, outwcs), "s.txt")
    assert reference == outwcs
    assert [shift.name for shift in found] == [shift.name for shift in rows]
    for shift, row in zip(found, rows, strict=True):
        turn = (shift.rot - row.rot + 180) % 360 - 180  # written from 0 to 360 degrees, as drizzlepac does
        assert np.isnan(row.rot) or abs(turn) < 6e-7
        row = dataclasses.replace(row, rot=shift.rot)
        np.testing.assert_allclose(dataclasses.astuple(shift)[1:], dataclasses.astuple(row)[1:], atol=6e-7)


@given(rows=st.lists(shifts, max_size=5))
def test_shiftfile_that_is_written_again_is_the_same(rows):
    text = shiftfile_text(rows, "w.fits")
    assert shiftfile_text(*parse_shiftfile(text, "s.txt")) == text


@given(content=st.lists(lines, max_size=6))
def test_any_shiftfile(content):
    text = "\n".join(content)
    try:
        found, _ = parse_shiftfile(text, "s.txt")
    except InputError as error:
        number = int(re.match(r"s\.txt, line (\d+): ", str(error)).group(1))
        assert content[number - 1].split()
        assert not content[number - 1].startswith("#")
        return
    assert len(found) == sum(bool(line.split()) and not line.lstrip().startswith("#") for line in content)


@given(content=st.lists(names, min_size=1, max_size=8), pad=st.sampled_from(["", "  ", "\t"]),
       end=st.sampled_from(["\n", "\r\n", "\n\n# remark\n"]))
def test_list_there_and_back(content, pad, end):
    assert parse_list("".join(pad + name + pad + end for name in content), "in.lst") == [
        [name] for name in content]


@given(content=st.lists(lines, max_size=6))
def test_any_list(content):
    try:
        found = parse_list("\n".join(content), "in.lst")
    except InputError as error:
        assert str(error).startswith("in.lst")
        return
    assert found
    assert all(name and not re.search(r"\s|#", name) for pair in found for name in pair if name is not None)


@pytest.mark.parametrize("value", [0.1234565, -12345.6789012, 1e-7])
def test_shifts_have_six_decimals_at_least(value):
    (shift,), _ = parse_shiftfile(shiftfile_text([Shift("a", value, -value, value, 1 + value / 1e6)], "w"), "s")
    np.testing.assert_allclose((shift.dx, shift.dy, shift.rot), (value, -value, value % 360), atol=5.1e-7)
    assert shift.scale == pytest.approx(1 + value / 1e6, abs=5.1e-7)
