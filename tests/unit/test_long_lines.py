"""Long lines are read, or refused, in time that grows with their length and not faster."""

import contextlib
import time

import pytest

from imagereg.catalogs import read_table
from imagereg.detection import is_region_text, parse_regions
from imagereg.errors import ImageregError
from imagereg.files import inputs, lists, solution, text
from imagereg.parameters import Spec, texts

TWEAKREG = Spec.load("tweakreg")
# Four times the length may take this many times the time: a square law makes it 16. What takes
# less than the floor says nothing.
MOST_TIMES, FLOOR = 9, 0.02  # seconds


def _columns(words):
    table = read_table(words.encode(), "w")
    table.numbers(0)
    table.angles(0, hours=True)


READERS = {
    "cfg": lambda line: texts.parse(line, "w", TWEAKREG),
    "dpar": lambda line: texts.parse(f"tweakreg.input = x\n{line}", "w", TWEAKREG),
    "value": lambda line: TWEAKREG.convert("wcsname", line),
    "number": lambda line: TWEAKREG.convert("searchrad", line),
    "catalog": _columns,
    "csv": lambda line: _columns(f"ra,dec\n1,{line}"),
    "SExtractor": lambda line: read_table(f"# 1 X {line}\n1\n".encode(), "w"),
    "regions": lambda line: parse_regions(f"image\n{line}", "w", plain="exclude"),
    "regions or list": is_region_text,
    "catfile": lambda line: lists.parse_chip_files(line, "w"),
    "exclusions": lambda line: lists.parse_exclusions(line, "w"),
    "list": lambda line: inputs.parse_list(line, "w"),
    "shiftfile": lambda line: text.parse_shiftfile(f"{line} 1 2 0 1", "w"),
    "solution": lambda line: solution.Solutions.parse(f"# %ECSV 1.0\n{line}", "w"),
}
RUNS = (" ", "[", "(", "{", '"', "'", "9", "0.", "#", "=", ",", "-", "\\", "a ")
SHAPES = ("{}", "a = b{}c", "{}x", "1 2{}3", "circle(1,2,3){}", "circle({})", '"{}"')


def _seconds(read, line):
    started = time.thread_time()
    with contextlib.suppress(ImageregError):
        read(line)
    return time.thread_time() - started


@pytest.mark.parametrize("kind", READERS)
def test_time_is_linear_in_the_length(kind):
    read = READERS[kind]
    _seconds(read, "x")  # what is imported and compiled
    slow = []
    for shape in SHAPES:
        for run in RUNS:
            short, long = (shape.format(run * (length // len(run))) for length in (500, 2_000))
            took = _seconds(read, long)
            if took > FLOOR:
                took = min(took, _seconds(read, long))
                allowed = MOST_TIMES * max(_seconds(read, short), FLOOR / 4)
                if took > allowed:
                    slow.append((shape, run, took, allowed))
    assert slow == []


LONG = 100_000


@pytest.mark.parametrize("cell", ["9" * LONG + "x", "0." * (LONG // 2), "1" + " " * LONG + "2 x",
                                  "-" * LONG, ":" * LONG, "1:" * (LONG // 2)])
def test_a_cell_of_100_thousand_letters(cell):
    assert _seconds(_columns, f"ra dec\n{cell} 2\n") < 2.0
    assert _seconds(lambda line: read_table(line.encode(), "w"), f"# 1 X {cell}\n1\n") < 2.0
    assert _seconds(is_region_text, cell) < 2.0
