"""One parameter: its line in a ``.cfgspc``, the values it takes, and its line in each text.

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
from collections.abc import Iterable
from typing import Any, TypeAlias

Value: TypeAlias = str | bool | int | float | None

_UNDEFINED = ("", "none", "indef")
_BOOLEANS = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}
_PYTHON_TYPES: dict[str, type] = {
    "string": str,
    "option": str,
    "boolean": bool,
    "integer": int,
    "float": float,
}
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
        Its name.
    section : str
        Heading it stands under; empty for the first ones.
    kind : str
        'string', 'option', 'boolean', 'integer', 'integer_or_none', 'float', 'float_or_none', or
        'action' for a button.
    default : str, bool, int, float or None
        Value if the user gives none; the label of a button.
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
        False if IRAF asks the user for the value.
    none : str
        What Python's None means to a text or a choice, the default of a choice if not given; where
        that is the default of a text, a blank text and INDEF mean it too.
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
    default: Value
    comment: str = ""
    choices: tuple[str, ...] = ()
    range: tuple[float | None, float | None] = (None, None)
    unit: str = ""
    aliases: tuple[str, ...] = ()
    hidden: bool = True
    none: str = ""
    pset: str = ""
    file: str = ""
    keywords: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, name: str, section: str, line: str) -> Parameter:
        """Return the parameter that ``name = line`` under a heading declares."""
        kind, choices, keywords = parse_check(line)
        low, high = keywords.pop("range", ":").split(":")
        aliases = keywords.pop("aliases", "")
        parameter = cls(
            name,
            section,
            kind,
            keywords.pop("default"),
            comment=keywords.pop("comment"),
            choices=choices,
            range=(float(low) if low else None, float(high) if high else None),
            unit=keywords.pop("unit", ""),
            aliases=tuple(aliases.split("|")) if aliases else (),
            hidden=keywords.pop("mode", "h") == "h",
            none=keywords.pop("none", ""),
            pset=keywords.pop("pset", ""),
            file=keywords.pop("file", ""),
            keywords=tuple(keywords.items()),
        )
        return dataclasses.replace(parameter, default=parameter.convert(parameter.default))

    @property
    def base(self) -> str:
        """Kind without ``_or_none``."""
        return self.kind.removesuffix("_or_none")

    @property
    def optional(self) -> bool:
        """Whether the value may be undefined: None, in IRAF INDEF."""
        return self.kind != self.base

    @property
    def python_type(self) -> Any:
        """Type of the value, as an annotation."""
        kind = _PYTHON_TYPES[self.base]
        return kind | None if self.optional else kind

    @property
    def prompt(self) -> str:
        """Comment with the unit."""
        return f"{self.comment} ({self.unit})" if self.unit else self.comment

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.choices:
            return "one of " + ", ".join(map(repr, self.choices))
        words = _EXPECTED[self.base] + self._limits()
        if self.unit:
            words += f" ({self.unit})"
        if self.optional:
            words += ", or INDEF"
        return words

    def _limits(self) -> str:
        low, high = self.range
        if low is not None and high is not None:
            return f" from {low:g} to {high:g}"
        if low is not None:
            return f" >= {low:g}"
        return "" if high is None else f" <= {high:g}"

    @property
    def description(self) -> str:
        """Comment, expected value unless its type says it all, and aliases, as sentences."""
        return self._described(self.base not in ("string", "boolean"))

    def _described(self, with_expected: bool) -> str:
        sentences = [self.comment if self.comment.endswith("?") else f"{self.comment}."]
        if with_expected:
            sentences.append(f"{self.expected[0].upper()}{self.expected[1:]}.")
        if self.aliases:
            sentences.append(f"Also written {', '.join(self.aliases)}.")
        return " ".join(sentences)

    def convert(self, value: Any) -> Value:
        """Return a value, native or as text in any usual spelling, in the type of the parameter.

        Raises
        ------
        ValueError
            If `value` is of the wrong type, out of range or no choice; its text is `expected`.
        """
        value = _native(value)
        if self.optional and (value is None or str(value).strip().lower() in _UNDEFINED):
            return None
        try:
            value = _CONVERTERS[self.base](self, value)
            self._check_range(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(self.expected) from None
        return value

    def _check_range(self, value):
        low, high = self.range
        if low is not None and value < low:
            raise ValueError
        if high is not None and value > high:
            raise ValueError

    def cfg_line(self, value: Value) -> str:
        """Return the line of a ``.cfg``: name, value, comment."""
        return f"{self.name} = {cfg_value(value)}  # {self.prompt}"

    def par_line(self, value: Value) -> str:
        """Return the line of an IRAF ``.par``.

        Its fields are name, type, mode, value, minimum or choices, maximum, and text.
        """
        if self.pset:
            return f'{self.pset},pset,h,"",,,"{self.prompt}"'
        kind = _PYTHON_TYPES[self.base]
        low, high = ("" if end is None else repr(kind(end)) for end in self.range)
        if self.choices:
            low = f'"|{"|".join(self.choices)}|"'
        mode = "h" if self.hidden else "a"
        head = f"{self.name},{_IRAF_TYPES[self.base]},{mode},{_iraf_value(value)}"
        return f'{head},{low},{high},"{self.prompt}"'

    def doc_lines(self) -> list[str]:
        """Return the entry in the parameter section of a numpydoc docstring."""
        kind = _PYTHON_TYPES[self.base].__name__
        if self.choices:
            kind = f"{{{', '.join(map(repr, self.choices))}}}"
        if self.optional:
            kind += " or None"
        head = f"{self.name} : {kind}, default {self.default!r}"
        return [head, *_wrapped(self.description, width=100, indent=4)]

    def help_lines(self) -> list[str]:
        """Return the entry in the help: plain text, 80 columns."""
        head = f"  {self.pset or self.name} = {_iraf_value(self.default)}"
        return [head, *_wrapped(self._described(True), width=80, indent=6)]


def _wrapped(text, *, width, indent):
    blank = " " * indent
    return textwrap.wrap(text, width, initial_indent=blank, subsequent_indent=blank)


def parse_check(line: str) -> tuple[str, tuple, dict[str, Any]]:
    """Return kind, choices and keywords of ``kind_kw(choice, ..., keyword=value, ...)``."""
    call: Any = ast.parse(line, mode="eval").body
    keywords: dict[str, Any] = {}
    for keyword in call.keywords:
        value = _literal(keyword.value)
        if keyword.arg in keywords:  # TEAL lets a line say triggers= twice
            value = (keywords[keyword.arg], value)
        keywords[keyword.arg] = value
    return call.func.id.removesuffix("_kw"), tuple(map(_literal, call.args)), keywords


def _literal(node):
    """Return the value of a constant, or the text of a bare word such as ``no``."""
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def _native(value):
    """Return the Python value of a path, a numpy scalar, or PyRAF's ``yes``, ``no``, ``INDEF``."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "ndim", None) == 0:
        return value.item()
    return str(value) if str(value) in ("yes", "no", "INDEF") else value


def _minimum_match(text: Any, choices: Iterable[str]) -> str:
    """Return the choice that a text spells or, if it is the only one, abbreviates, in any case."""
    if not isinstance(text, str):
        raise TypeError
    text = text.strip().lower()
    found = [choice for choice in choices if choice.lower() == text]
    if text and not found:
        found = [choice for choice in choices if choice.lower().startswith(text)]
    if len(found) != 1:
        raise ValueError
    return found[0]


def _as_string(parameter, value):
    """Return a value as the text that the parameter holds; ValueError where it is none."""
    if value is None:
        return parameter.none
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return str(value)  # the number of a column, the sum of flags
    if not isinstance(value, str) or "\n" in value or "\r" in value:
        raise ValueError
    cfg_value(value)  # raises for what can't be saved
    if parameter.none and parameter.none == parameter.default:
        return parameter.none if value.strip().lower() in _UNDEFINED else value
    return value


def _as_option(parameter, value):
    """Return the choice that a value means; None, also as text, means what is declared for it."""
    if value is None or (str(value).lower() == "none" and "none" not in parameter.choices):
        return parameter.none or parameter.default
    return _minimum_match(value, parameter.choices)


def _as_boolean(_, value):
    """Return yes or no; None, 0 and 1 mean what they do to Python."""
    if value is None or (isinstance(value, numbers.Integral) and value in (0, 1)):
        return bool(value)
    return _BOOLEANS[_minimum_match(value, _BOOLEANS)]


def _as_number(parameter, value):
    wanted = numbers.Integral if parameter.base == "integer" else numbers.Real
    if isinstance(value, bool) or not isinstance(value, wanted | str):
        raise TypeError
    number = _PYTHON_TYPES[parameter.base](value)
    if not math.isfinite(number):
        raise ValueError
    return number


_CONVERTERS = {
    "string": _as_string,
    "action": _as_string,
    "option": _as_option,
    "boolean": _as_boolean,
    "integer": _as_number,
    "float": _as_number,
}


def unquoted(text: str) -> str:
    """Return a text without the quotes around it."""
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if is_quoted else text


def cfg_value(value: Value) -> str:
    """Return a value as it stands in a ``.cfg``, quoted for `Spec.read_cfg` and TEAL to read."""
    text = str(value)
    if text and text == text.strip() and set("\"'#,\n").isdisjoint(text):
        return text
    for quote in "\"'":
        if quote not in text and "\n" not in text:
            return quote + text + quote
    # The reader takes off quotes inside the triple ones too.
    for body in (text, f'"{text}"', f"'{text}'"):
        for triple in ('"""', "'''"):
            if triple not in body and unquoted(body) == text:
                return triple + body + triple
    problem = "holds both kinds of triple quotes, which no parameter file can hold"
    raise ValueError(f"{text!r} {problem}")


def shown(value: Value) -> str:
    """Return a value in IRAF's spelling: yes, no, INDEF, text without quotes."""
    if value is None:
        return "INDEF"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _iraf_value(value):
    """Return a value as it stands in an IRAF ``.par``: text has quotes."""
    if not isinstance(value, str):
        return shown(value)
    for quote in "\"'":
        if quote not in value:
            return quote + value + quote
    raise ValueError(f"{value!r} holds both kinds of quotes, which no .par file can hold")
