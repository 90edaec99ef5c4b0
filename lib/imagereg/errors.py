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

The text of an error is one sentence: what is wrong, where, and what was expected.
"""

from typing import Any


class ImageregError(Exception):
    """Base of all errors raised on purpose."""


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
