"""The text of every error is one printable line of limited length."""

import pytest

from imagereg.errors import AmbiguousMatch, ImageregError, InputError, ParameterError, printable


@pytest.mark.parametrize("kind", [ImageregError, InputError, ParameterError, AmbiguousMatch])
def test_a_sentence_stays_as_it_is(kind):
    text = "café.fits has 2 columns, refxcol = 99 is none of them"
    assert str(kind(text)) == text
    assert kind(text).args == (text,)


def test_a_long_word_loses_its_middle():
    text = str(InputError("list.txt: " + "x" * 5000 + ".fits does not exist"))
    assert text.startswith("list.txt: xxx") and text.endswith("xxx.fits does not exist")
    assert "..." in text and len(text) < 130


def test_many_words_lose_their_middle():
    text = str(InputError("expected one of " + "word " * 1000 + "at the end"))
    assert text.startswith("expected one of word") and text.endswith("word at the end")
    assert len(text) == 280


def test_an_error_within_an_error_is_as_short():
    first = InputError("a" * 1000)
    assert len(str(InputError(f"{'b ' * 200}{first}"))) <= 280


@pytest.mark.parametrize("text, shown", [
    ("a\nb", r"a\nb"),
    ("\x1b[31m", r"\x1b[31m"),
    ("\x1b]0;own\x07", r"\x1b]0;own\x07"),
    ("\udcff.fits", r"\udcff.fits"),
    ("\u202eabc", r"\u202eabc"),
])
def test_what_controls_a_terminal_is_escaped(text, shown):
    assert str(InputError(text)) == shown == printable(text)


def test_printable_keeps_what_it_is_told_to():
    assert printable("a\tb\n\x07", keep="\n\t") == "a\tb\n" + r"\x07"
