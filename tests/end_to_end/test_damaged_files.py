"""A damaged file costs its own verdict only: one sentence, in seconds, in little memory.

Some cases of tests/bench/fits_mutations.py and tests/bench/text_mutations.py, and a few at
random.
"""

import random

import fits_mutations
import pytest
import text_mutations
import trials


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    trials.warm()
    return fits_mutations.Stage(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    trials.warm()
    return text_mutations.Stage(tmp_path_factory.mktemp("texts"))


COMMANDS = ("align", "list", "apply")
IMAGES = [(damage, command) for damage in fits_mutations.SPECIAL for command in COMMANDS]


@pytest.mark.parametrize("damage, command", [pytest.param(*case, id="-".join(case)) for case in IMAGES])
def test_damaged_image(images, damage, command):
    images.damage(fits_mutations.SPECIAL[damage](images.content))
    assert images.complaints(command) == []


def test_damaged_association(images):
    images.damage(images.content)
    rng = random.Random(2)
    for _ in range(5):
        said, _ = fits_mutations.association(images, rng)
        assert said == []


def test_a_few_damaged_images(images):
    rng = random.Random(4)
    for mutate in fits_mutations.MUTATIONS:
        images.damage(mutate(images.content, rng))
        assert (mutate.__name__, images.complaints("list")) == (mutate.__name__, [])


CFG = {
    "long run of blanks": lambda text: text.replace(b" = ", b" =" + b" " * 7000, 1),
    "blanks in a value": lambda text: (
        b"_task_name_ = tweakreg\nwcsname = 'a" + b" " * 7000 + b"b' x\n"
    ),
    "blanks alone": lambda text: (b" " * 100 + b"\n") * 70,
    "blanks before a comment": lambda text: (
        text + b"x = 1" + b" " * 7000 + b"#" + b" " * 7000 + b"'\n"
    ),
    "blanks before a word": lambda text: text + b" " * 7000 + b"x\n",
    "blanks within a value": lambda text: text + b"wcsname = a" + b" " * 7000 + b"b # c\n",
    "brackets": lambda text: b"[" * 7000 + text,
    "sections": lambda text: b"".join(b"[" * n + b"a" + b"]" * n + b"\n" for n in range(1, 80)),
    "no equals sign": lambda text: text + b"x" * 7000 + b"\n",
    "many bad lines": lambda text: b"= 1\n" * 3000,
    "the same name twice": lambda text: text + text,
    "not UTF-8": lambda text: text.replace(b"TWEAK", b"TW\xff\xc3AK"),
    "control characters": lambda text: text.replace(b"TWEAK", b"\x1b]0;x\x07\x1b[31m"),
    "NUL": lambda text: text.replace(b"TWEAK", b"TW\x00EAK"),
    "long value": lambda text: text.replace(b"rscale", b"r" * 7000),
    "long list": lambda text: text.replace(b"rscale", b"r, " * 3000),
    "quotes": lambda text: text.replace(b"TWEAK", b"'''" + b"a\n" * 3000),
}


@pytest.mark.parametrize("damage", CFG)
def test_damaged_cfg(texts, damage):
    assert texts.complaints("cfg", CFG[damage](texts.originals["cfg"]), cpu=3.0) == []


LONG = b"x" * 5000
TEXTS = {
    "list": LONG + b".fits\n",
    "catfile": b"jdemo1abq_flt.fits " + LONG + b"\n",
    "catalog": LONG + b" 1 2\n",
    "reference": b"150.0 30.0\n" + LONG + b"\n",
    "exclusions": b"jdemo1abq_flt.fits " + LONG + b".reg\n",
    "regions": b"image\ncircle(" + LONG + b")\n",
    "shiftfile": b"# refimage: " + LONG + b"\njdemo1abq_flt.fits 1 2 0 1\n",
    "solution": b"# %ECSV 1.0\n# ---\n# datatype: " + LONG + b"\n",
    "csv": b"ra,dec\n1," + LONG + b"\n",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_long_word(texts, kind):
    assert texts.complaints(kind, TEXTS[kind], cpu=3.0) == []


def test_brackets_that_nothing_closes(texts):
    assert texts.complaints("list", b"[" * 20_000 + b"\n", cpu=3.0) == []


VALUES = {"long": "x" * 5000, "newline": "a\nb", "escape": "\x1b[31m", "not UTF-8": "\udcff"}
GIVEN = [(name, kind) for name in ("fitgeometry", "refimage", "searchrad") for kind in VALUES]


@pytest.mark.parametrize("name, kind", GIVEN)
def test_value_on_the_command_line(texts, name, kind):
    outcome = trials.run(("--lpar", f"{name}={VALUES[kind]}"), texts.folder)
    assert outcome.complaints(cpu=3.0) == []


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            (text_mutations.SECOND, "refcat=refcat.cat", "refxcol=99", "runfile="),
            id="no log"        ),
        pytest.param(
            (text_mutations.SECOND, "refcat=refcat.cat", "refxcol=99", "verbose=yes"), id="verbose"
        ),
    ],
)
def test_an_error_is_said_once(texts, words):
    outcome = trials.run((*words, *trials.PLAIN), texts.folder)
    assert outcome.status == 2 and len(outcome.err.splitlines()) == 1


def test_a_few_damaged_texts(texts):
    rng = random.Random(6)
    for kind in ("cfg", "list", "shiftfile", "solution"):
        for _ in range(4):
            content = text_mutations.mutate(texts.originals[kind], rng)
            assert (content, texts.complaints(kind, content)) == (content, [])
