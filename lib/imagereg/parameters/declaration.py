"""One parameter: how a line of a ``.cfgspc`` declares it, what a value of it must be, how values are written.

The line is a check of stsci.tools' TEAL; the keywords that are ours are explained at the top of
``pars/tweakreg.cfgspc``.
"""

from __future__ import annotations

import ast
import dataclasses
import math
import numbers
import os
import textwrap

_UNDEFINED = ("", "none", "indef")
_BOOLEANS = {"yes": True, "no": False, "true": True, "false": False}
_PYTHON_TYPES = {"string": str, "option": str, "boolean": bool, "integer": int, "float": float}
_IRAF_TYPES = {"string": "s", "option": "s", "boolean": "b", "integer": "i", "float": "r"}
_EXPECTED = {
    "string": "one line of text",
    "boolean": "yes or no",
    "integer": "a whole number",
    "float": "a number",
    "action": "a button that opens these parameters",
}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter, as its line declares it.

    Parameters
    ----------
    name : str
        What users write.
    section : str
        Heading that it stands under; empty for the first ones.
    kind : str
        'string', 'option', 'boolean', 'integer', 'integer_or_none', 'float', 'float_or_none', or 'action' for
        a button.
    default : object
        Value where the user gives none; the label of a button.
    comment : str
        What it is for, in one line.
    choices : tuple of str
        Values of an option.
    range : tuple of (float or None)
        Lowest and highest value; None where open.
    unit : str
        Unit of the value, or the name of the parameter that holds the unit.
    aliases : tuple of str
        Other names that users may write.
    hidden : bool
        False where IRAF asks the user for the value.
    none : str
        What Python's None means to a text parameter.
    pset : str
        Parameter set that a button opens.
    file : str
        What a text names: a file to read, 'in'; one to write, 'out'; several, 'list'.
    keywords : tuple of (str, object)
        The other keywords of the line, as written: the rules for greying out.
    """

    name: str
    section: str
    kind: str
    default: object
    comment: str = ""
    choices: tuple = ()
    range: tuple = (None, None)
    unit: str = ""
    aliases: tuple = ()
    hidden: bool = True
    none: str = ""
    pset: str = ""
    file: str = ""
    keywords: tuple = ()

    @classmethod
    def parse(cls, name, section, line):
        """Return the parameter that a line ``name = line`` under a heading declares."""
        kind, choices, keywords = parse_check(line)
        low, high = keywords.pop("range", ":").split(":")
        parameter = cls(
            name,
            section,
            kind,
            keywords.pop("default"),
            comment=keywords.pop("comment"),
            choices=choices,
            range=(float(low) if low else None, float(high) if high else None),
            unit=keywords.pop("unit", ""),
            aliases=tuple(filter(None, keywords.pop("aliases", "").split("|"))),
            hidden=keywords.pop("mode", "h") == "h",
            none=keywords.pop("none", ""),
            pset=keywords.pop("pset", ""),
            file=keywords.pop("file", ""),
            keywords=tuple(keywords.items()),
        )
        return dataclasses.replace(parameter, default=parameter.convert(parameter.default))

    @property
    def base(self):
        """Kind without the ``_or_none``."""
        return self.kind.removesuffix("_or_none")

    @property
    def optional(self):
        """Whether the value may be undefined: None, in IRAF INDEF."""
        return self.kind != self.base

    @property
    def python_type(self):
        """Type of the value, as an annotation."""
        return _PYTHON_TYPES[self.base] | None if self.optional else _PYTHON_TYPES[self.base]

    @property
    def prompt(self):
        """Comment with the unit."""
        return f"{self.comment} ({self.unit})" if self.unit else self.comment

    @property
    def expected(self):
        """What a value must be, in words."""
        if self.choices:
            return "one of " + ", ".join(map(repr, self.choices))
        low, high = self.range
        limits = "" if low is None else f" >= {low:g}"
        if high is not None:
            limits = f" <= {high:g}" if low is None else f" from {low:g} to {high:g}"
        unit = f" ({self.unit})" if self.unit else ""
        return _EXPECTED[self.base] + limits + unit + (", or INDEF" if self.optional else "")

    @property
    def description(self):
        """Comment, what is expected where that is more than a type, and the aliases, as sentences."""
        return self._described(self.base not in ("string", "boolean"))

    def _described(self, expected):
        sentences = [self.comment if self.comment.endswith("?") else f"{self.comment}."]
        if expected:
            sentences.append(f"{self.expected[0].upper()}{self.expected[1:]}.")
        if self.aliases:
            sentences.append(f"Also written {', '.join(self.aliases)}.")
        return " ".join(sentences)

    def convert(self, value):
        """Return `value`, native or as text in any usual spelling, as what the parameter holds.

        Raises
        ------
        ValueError
            If `value` is of the wrong type, out of range or no choice; its text is `expected`.
        """
        value = _native(value)
        if self.optional and (value is None or str(value).strip().lower() in _UNDEFINED):
            return None
        low, high = self.range
        try:
            value = _CONVERTERS[self.base](self, value)
            if (low is not None and value < low) or (high is not None and value > high):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise ValueError(self.expected) from None
        return value

    def cfg_line(self, value):
        """Return the line of a ``.cfg``: name, value, comment."""
        return f"{self.name} = {cfg_value(value)}  # {self.prompt}"

    def par_line(self, value):
        """Return the line of an IRAF ``.par``: name, type, mode, value, minimum or choices, maximum, text."""
        if self.pset:
            return f'{self.pset},pset,h,"",,,"{self.prompt}"'
        low, high = ("" if end is None else repr(_PYTHON_TYPES[self.base](end)) for end in self.range)
        if self.choices:
            low = f'"|{"|".join(self.choices)}|"'
        mode = "h" if self.hidden else "a"
        head = f"{self.name},{_IRAF_TYPES[self.base]},{mode},{_iraf_value(value)}"
        return f'{head},{low},{high},"{self.prompt}"'

    def doc_lines(self):
        """Return the entry in the parameter section of a numpydoc docstring."""
        kind = _PYTHON_TYPES[self.base].__name__
        if self.choices:
            kind = f"{{{', '.join(map(repr, self.choices))}}}"
        head = f"{self.name} : {kind}{' or None' if self.optional else ''}, default {self.default!r}"
        return [head, *_wrapped(self.description, width=100, indent=4)]

    def help_lines(self):
        """Return the entry in the help: plain text, 80 columns."""
        head = f"  {self.pset or self.name} = {_iraf_value(self.default)}"
        return [head, *_wrapped(self._described(expected=True), width=80, indent=6)]


def _wrapped(text, *, width, indent):
    return textwrap.wrap(text, width, initial_indent=" " * indent, subsequent_indent=" " * indent)


def parse_check(line):
    """Return kind, choices and keywords of ``kind_kw(choice, ..., keyword=value, ...)``."""
    call = ast.parse(line, mode="eval").body
    keywords = {}
    for keyword in call.keywords:
        value = _literal(keyword.value)
        # TEAL lets a line say triggers= twice.
        keywords[keyword.arg] = value if keyword.arg not in keywords else (keywords[keyword.arg], value)
    return call.func.id.removesuffix("_kw"), tuple(map(_literal, call.args)), keywords


def _literal(node):
    """Return the value of a constant, or the text of a bare word such as ``no``."""
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def _native(value):
    """Return the Python value of a path, of a numpy scalar, or of PyRAF's ``yes``, ``no`` and ``INDEF``."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "ndim", None) == 0:
        return value.item()
    return str(value) if str(value) in ("yes", "no", "INDEF") else value


def _minimum_match(text, choices):
    """Return the one of `choices` that `text` spells or abbreviates, in any case."""
    if not isinstance(text, str):
        raise TypeError
    text = text.strip().lower()
    found = [choice for choice in choices if choice.lower() == text]
    found = found or [choice for choice in choices if text and choice.lower().startswith(text)]
    if len(found) != 1:
        raise ValueError
    return found[0]


def _as_string(parameter, value):
    if value is None:
        return parameter.none
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return str(value)  # the number of a column, the sum of flags
    if not isinstance(value, str) or not {"\n", "\r"}.isdisjoint(value):
        raise ValueError
    cfg_value(value)  # what can't be saved is not accepted
    return value


def _as_option(parameter, value):
    return _minimum_match(value, parameter.choices)


def _as_boolean(_, value):
    return value if isinstance(value, bool) else _BOOLEANS[_minimum_match(value, _BOOLEANS)]


def _as_number(parameter, value):
    wanted = numbers.Integral if parameter.base == "integer" else numbers.Real
    if isinstance(value, bool) or not isinstance(value, wanted | str):
        raise TypeError
    value = _PYTHON_TYPES[parameter.base](value)
    if not math.isfinite(value):
        raise ValueError
    return value


_CONVERTERS = {
    "string": _as_string,
    "action": _as_string,
    "option": _as_option,
    "boolean": _as_boolean,
    "integer": _as_number,
    "float": _as_number,
}


def unquoted(text):
    """Return `text` without the quotes around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def cfg_value(value):
    """Return `value` as it stands in a ``.cfg``, quoted so that both `Spec.read_cfg` and TEAL read it."""
    text = str(value)
    if text and text == text.strip() and set("\"'#,\n").isdisjoint(text):
        return text
    for quote in "\"'":
        if quote not in text and "\n" not in text:
            return quote + text + quote
    for body in (text, f'"{text}"', f"'{text}'"):  # the reader takes off quotes inside the triple ones too
        for triple in ('"""', "'''"):
            if triple not in body and unquoted(body) == text:
                return triple + body + triple
    raise ValueError(f"{text!r} holds both kinds of triple quotes, which no parameter file can hold")


def shown(value):
    """Return `value` in IRAF's spelling, which `Parameter.convert` reads: yes, no, INDEF, text without quotes."""
    return "INDEF" if value is None else ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _iraf_value(value):
    """Return `value` as it stands in an IRAF ``.par``: text has quotes."""
    if isinstance(value, str):
        for quote in "\"'":
            if quote not in value:
                return quote + value + quote
        raise ValueError(f"{value!r} holds both kinds of quotes, which no .par file can hold")
    return shown(value)
