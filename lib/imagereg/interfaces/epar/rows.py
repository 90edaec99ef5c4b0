"""Rows of the editor: a parameter with its value, and whether it is in use at present.

A ``.cfgspc`` declares which parameters are in use while others have certain values. Parameters say
``triggers="_rule_"``, ``active_if="_rule_"`` or ``inactive_if="_rule_"``, and ``[ _RULES_ ]`` has
``_rule_ = string_kw(code='OUT = VAL == "yes"')``, where VAL is the triggering value as text.
TEAL runs that code. Here it is parsed as a formula of constants, VAL, comparisons, ``and``, ``or``,
``not`` and the methods ``strip``, ``lower`` and ``upper``; nothing else is evaluated. The trigger
``_section_switch_`` needs no code: where its value is ``no`` or empty, the rest of its section is
not in use.
"""

from __future__ import annotations

import ast
import dataclasses
import operator
from collections.abc import Mapping

from imagereg.parameters import Parameter, Spec, shown

#: What users of tweakreg-like tasks set in most of their runs, as the notebooks of STScI do.
MOST_USED = ("input", "imagefindpars.threshold", "searchrad", "fitgeometry", "updatehdr")
_TYPES = {
    "boolean": "yes or no",
    "integer": "a whole number",
    "float": "a number",
    "string": "one line of text",
}
_SWITCH = "_section_switch_"
_OFF = ("", "no", "INDEF")
_COMPARISONS = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}
_METHODS = ("strip", "lower", "upper")


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the editor: a parameter, or the button of a parameter set.

    Parameters
    ----------
    parameter : Parameter
        Its declaration: comment, section, file, hidden, ...
    value : object
        Native value; None for a parameter set.
    unit : str
        Unit of the value; if another parameter holds the unit, the value of that one.
    changed : bool
        Whether the value differs from the default; for a set, whether any of its values does.
    edited : bool
        Whether the value differs from what is saved.
    why : str
        Why the parameter is not in use (it is drawn grey, and can still be edited); empty if it is.
    owner : str
        Parameter set that holds the parameter; empty for those of the model's own task.
    """

    parameter: Parameter
    value: str | bool | int | float | None
    unit: str = ""
    changed: bool = False
    edited: bool = False
    why: str = ""
    owner: str = ""

    @property
    def label(self) -> str:
        """Name of the parameter or of the set."""
        return self.parameter.pset or self.parameter.name

    @property
    def name(self) -> str:
        """The same, after the name of its owner and a point if it has one."""
        return f"{self.owner}.{self.label}" if self.owner else self.label

    @property
    def pset(self) -> str:
        """Name of the parameter set that the row opens; empty for a parameter."""
        return self.parameter.pset

    @property
    def text(self) -> str:
        """Value in IRAF's spelling, as `Model.set` reads it; empty for a set."""
        return "" if self.pset else shown(self.value)

    @property
    def default(self) -> str:
        """Default in IRAF's spelling; empty for a set."""
        return "" if self.pset else shown(self.parameter.default)

    @property
    def kind(self) -> str:
        """Type: 'string', 'option', 'boolean', 'integer', 'float' or 'pset'."""
        return "pset" if self.pset else self.parameter.base

    @property
    def choices(self) -> tuple[str, ...]:
        """Values to choose from: those of an option, yes and no for a boolean, else none."""
        return ("yes", "no") if self.kind == "boolean" else self.parameter.choices


def refusal(parameter: Parameter, text: str) -> str:
    """Return why a parameter can't have a value, in the words of IRAF's eparam if it has some."""
    low, high = parameter.range
    try:
        dataclasses.replace(parameter, range=(None, None)).convert(text)
    except ValueError:
        if parameter.choices:
            return f"Parameter value is not one of  ({'|'.join(parameter.choices)})"
        undefined = ", or INDEF" if parameter.optional else ""
        return f"Parameter value is not {_TYPES[parameter.base]}{undefined}"
    limits = f"minimum={_limit(parameter, low)}: maximum={_limit(parameter, high)}"
    return f"Parameter value is out of range  ({limits})"


def _limit(parameter, value):
    """Return one end of a range as IRAF writes it: 3, 0., nothing if open."""
    if value is None:
        return ""
    text = f"{value:g}"
    is_integer = text.lstrip("-").isdigit()
    return f"{text}." if parameter.base != "integer" and is_integer else text


def inactive(spec: Spec, values: Mapping) -> dict[str, str]:
    """Find the parameters that are not in use, and why.

    Parameters
    ----------
    spec : Spec
        Declaration of the task.
    values : mapping
        Values of its parameters.

    Returns
    -------
    dict of str to str
        Reason by name, of the parameters and buttons that are not in use.

    Raises
    ------
    ValueError
        If the code of a rule that is needed is no formula as described above.
    """
    codes = {name: dict(rule)["code"] for name, rule in spec.rules}
    triggers = {}  # by rule, the parameter that triggers it
    switched_off = {}  # by section, the switch that is off
    for parameter in spec:
        rules = _rules(parameter, "triggers")
        triggers.update(dict.fromkeys(rules, parameter.name))
        if _SWITCH in rules and shown(values[parameter.name]) in _OFF:
            switched_off[parameter.section] = parameter.name
    reasons = {}
    for parameter in spec.layout:
        name = parameter.name
        switch = switched_off.get(parameter.section, name)
        if switch != name:
            reasons[name] = _because(switch, values)
            continue
        wanted = dict.fromkeys(_rules(parameter, "active_if"), True)
        wanted |= dict.fromkeys(_rules(parameter, "inactive_if"), False)
        for rule, expected in wanted.items():
            trigger = triggers[rule]
            if bool(evaluate(codes[rule], shown(values[trigger]))) != expected:
                reasons[name] = _because(trigger, values)
    return reasons


def evaluate(code: str, value: str) -> object:
    """Evaluate ``OUT = formula`` for a value of VAL; ValueError if it is no such formula."""
    match ast.parse(code.strip()).body:
        case [ast.Assign(targets=[ast.Name(id="OUT")], value=formula)]:
            return _evaluate(formula, value)
    raise ValueError(f"expected OUT = formula, not {code!r}")


def _evaluate(node, value):
    """Evaluate the syntax tree of a rule, in which VAL is `value`."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id="VAL"):
            return value
        case ast.UnaryOp(op=ast.Not()):
            return not _evaluate(node.operand, value)
        case ast.BoolOp():
            parts = (_evaluate(part, value) for part in node.values)
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        case ast.Compare(ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            compare = _COMPARISONS[type(op)]
            return compare(_evaluate(node.left, value), _evaluate(right, value))
        case ast.Call(func=ast.Attribute(), args=[], keywords=[]) if node.func.attr in _METHODS:
            text = str(_evaluate(node.func.value, value))
            return getattr(text, node.func.attr)()
    raise ValueError(f"a rule can't hold {ast.unparse(node)!r}")


def _rules(parameter, keyword):
    """Return the rules that a keyword of a parameter names, a tuple or list."""
    named = dict(parameter.keywords).get(keyword, ())
    return (named,) if isinstance(named, str) else named


def _because(trigger, values):
    value = shown(values[trigger])
    state = f"= {value}" if value else "is empty"
    return f"not used while {trigger} {state}"
