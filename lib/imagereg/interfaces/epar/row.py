"""One line of an editor: a parameter with its value, and what is said of a value that it can't have."""

from __future__ import annotations

import dataclasses

from imagereg.parameters.declaration import Parameter, shown

_TYPES = {"boolean": "yes or no", "integer": "a whole number", "float": "a number", "string": "one line of text"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the editor: a parameter, or the button of a parameter set.

    Parameters
    ----------
    parameter : Parameter
        Its declaration.
    value : object
        Native value; None for a parameter set.
    unit : str
        Unit of the value; where another parameter holds it, the value of that one.
    changed : bool
        Whether it differs from the default; of a set, whether anything in it does.
    edited : bool
        Whether it differs from what is kept, in the file being edited or where the editing began.
    why : str
        Why it does not count at present (a face shows it grey, and still lets it be edited); empty where it does.
    """

    parameter: Parameter
    value: object
    unit: str = ""
    changed: bool = False
    edited: bool = False
    why: str = ""

    @property
    def name(self):
        """Name of the parameter, or of the set."""
        return self.parameter.pset or self.parameter.name

    @property
    def pset(self):
        """Name of the parameter set that it opens; empty for a parameter."""
        return self.parameter.pset

    @property
    def text(self):
        """Value in IRAF's spelling, as `Model.set` reads it; empty for a set."""
        return "" if self.pset else shown(self.value)

    @property
    def default(self):
        """Text of the default; empty for a set."""
        return "" if self.pset else shown(self.parameter.default)

    @property
    def active(self):
        """Whether it counts at present."""
        return not self.why

    @property
    def kind(self):
        """What it holds: 'string', 'option', 'boolean', 'integer', 'float', or 'pset'."""
        return "pset" if self.pset else self.parameter.base

    @property
    def comment(self):
        """What it is for, in one line."""
        return self.parameter.comment

    @property
    def section(self):
        """Heading that it stands under; empty for the first ones."""
        return self.parameter.section

    @property
    def choices(self):
        """Values of an option: tuple of str; yes and no for a boolean; else empty."""
        return ("yes", "no") if self.kind == "boolean" else self.parameter.choices

    @property
    def range(self):
        """Lowest and highest value; None where open."""
        return self.parameter.range

    @property
    def expected(self):
        """What a value must be, in words; empty for a set."""
        return "" if self.pset else self.parameter.expected

    @property
    def file(self):
        """'in', 'out' or 'list' where the value names files, to read, to write, or several; else empty."""
        return self.parameter.file

    @property
    def hidden(self):
        """Whether IRAF does not ask for it, and shows it in parentheses."""
        return self.parameter.hidden


def refusal(parameter, text):
    """Return why a parameter can't have a value, in the words of IRAF's eparam where it has some."""
    try:
        dataclasses.replace(parameter, range=(None, None)).convert(text)
    except ValueError:
        if parameter.choices:
            return f"Parameter value is not one of  ({'|'.join(parameter.choices)})"
        return f"Parameter value is not {_TYPES[parameter.base]}{', or INDEF' if parameter.optional else ''}"
    low, high = (_end(parameter, end) for end in parameter.range)
    return f"Parameter value is out of range  (minimum={low}: maximum={high})"


def _end(parameter, end):
    """Return one end of a range as IRAF writes it: 3, 0., nothing where open."""
    if end is None:
        return ""
    text = f"{end:g}"
    return text if parameter.base == "integer" or not text.lstrip("-").isdigit() else f"{text}."
