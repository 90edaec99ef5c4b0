"""Every error that imagereg raises on purpose.

::

    ImageregError
     ├── ParameterError        a parameter is unknown, or its value is not what is expected
     ├── InputError            a file can't be read, written, or does not hold what is needed
     └── AlignmentError        an image can't be aligned; `align` turns it into a status
          ├── NotEnoughSources     too few sources to start from
          ├── NotEnoughMatches     too few of them have a counterpart
          ├── DegenerateFit        the matches do not determine the transform
          ├── AmbiguousMatch       more than one offset explains the sources
          └── NotAligned           images of a run are not aligned, and raise_on_failure is set

`AlignmentWarning` says the same as `NotAligned` where nobody asked for an error.

The text of an error is one sentence: what is wrong, where, and what was expected. Whatever it
quotes of a file or a name, it is one line that a terminal can show.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

_LONGEST = 280  # characters of an error: with the command's name before it less than 300
_LONGEST_WORD = 80  # characters of a word in an error that is too long


class ImageregError(Exception):
    """Base of all errors raised on purpose; their text is one printable line of limited length.

    Attributes
    ----------
    task : str
        Name of the task that it ended, where several of them could be meant; else empty.
    """

    task = ""

    def __init__(self, text: object = "") -> None:
        super().__init__(_shortened(printable(str(text))))

    def sentence(self, task: str = "") -> str:
        """Return the text with the name of the task before it: `task`, if it has none itself."""
        name = self.task or task
        if not name:
            return str(self)
        own = str(self).removeprefix(f"{name}: ")
        return f"{name}: {own}"


@contextlib.contextmanager
def of_task(name: str) -> Iterator[None]:
    """Note in the errors that a task raises that they are its own."""
    try:
        yield
    except ImageregError as error:
        error.task = name
        raise


def printable(text: str, keep: str = "") -> str:
    """Return a text with escapes in place of all that could control a terminal.

    Parameters
    ----------
    text : str
        Any text; names of files that are not UTF-8 have surrogates.
    keep : str
        Characters to leave as they are, such as line ends.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep
                   else letter.encode("unicode_escape").decode() for letter in text)


def _shortened(text):
    """Return a text that is short enough: long words lose their middle, then the whole does."""
    if len(text) > _LONGEST:
        text = " ".join(_without_middle(word, _LONGEST_WORD) for word in text.split(" "))
    return _without_middle(text, _LONGEST)


def _without_middle(text, length):
    """Return a text of at most `length` characters: two thirds of them from its beginning."""
    if len(text) <= length:
        return text
    end = length // 3
    return f"{text[:length - end - 3]}...{text[-end:]}"


class ParameterError(ImageregError, ValueError):
    """A parameter is unknown, of the wrong type, or outside its range."""


class InputError(ImageregError):
    """A file can't be read or written, or does not hold what is needed."""


class AlignmentError(ImageregError):
    """An image can't be aligned with the reference.

    Attributes
    ----------
    attempt : object
        How far it got before, for a look at it; None where there is nothing to see.
    offsets : object
        The candidate with the histogram of offsets in which it was searched for first, or None.
    """

    attempt: Any = None
    offsets: Any = None


class NotEnoughSources(AlignmentError):
    """An image or a reference has too few sources to start from."""


class NotEnoughMatches(AlignmentError):
    """Too few sources have a counterpart in the reference."""


class DegenerateFit(AlignmentError):
    """The matched positions do not determine the transform."""


class AmbiguousMatch(AlignmentError):
    """More than one offset explains the sources about equally well."""


class NotAligned(AlignmentError):
    """Images of a run are not aligned, and the caller wants an error for that.

    Parameters
    ----------
    text : str
        The verdict.
    result : Result
        What the run found and wrote.
    """

    def __init__(self, text: str, result: Any = None) -> None:
        super().__init__(text)
        self.result = result


class AlignmentWarning(UserWarning):
    """Images of a run are not aligned."""
