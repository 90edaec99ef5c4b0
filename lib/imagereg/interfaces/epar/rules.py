"""Which parameters count while others have the values they have: the greying-out that a ``.cfgspc`` declares.

Parameters say ``triggers="_rule_"``, ``active_if="_rule_"``, ``inactive_if="_rule_"``, and ``[ _RULES_ ]`` has
``_rule_ = string_kw(code='OUT = VAL == "yes"')``: VAL is the value of the parameter that triggers, as text. TEAL runs
the code. Here it is a formula of constants, VAL, comparisons, ``and``, ``or``, ``not``, and the methods ``strip``,
``lower`` and ``upper``; nothing else is evaluated. The trigger ``_section_switch_`` needs no code: where its value is
``no`` or empty, the rest of its section does not count.
"""

from __future__ import annotations

import ast
import operator

from imagereg.parameters.declaration import shown

_SWITCH = "_section_switch_"
_OFF = ("", "no", "INDEF")
_COMPARISONS = {ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.In: lambda a, b: a in b,
                ast.NotIn: lambda a, b: a not in b}
_METHODS = ("strip", "lower", "upper")


def inactive(spec, values):
    """Return why parameters do not count.

    Parameters
    ----------
    spec : Spec
        The task.
    values : mapping
        Values of its parameters.

    Returns
    -------
    dict of str to str
        By name, of those alone, buttons included, that do not count.

    Raises
    ------
    ValueError
        If the code of a rule that is needed is no such formula.
    """
    triggers = {rule: p.name for p in spec for rule in _many(p, "triggers")}
    codes = {name: dict(rule)["code"] for name, rule in spec.rules}
    off = {}  # by section, the switch that is off
    for p in spec:
        if _SWITCH in _many(p, "triggers") and shown(values[p.name]) in _OFF:
            off[p.section] = p.name
    reasons = {}
    for p in spec.layout:
        if off.get(p.section, p.name) != p.name:
            reasons[p.name] = _because(off[p.section], values)
            continue
        wanted = {rule: True for rule in _many(p, "active_if")} | {rule: False for rule in _many(p, "inactive_if")}
        for rule, want in wanted.items():
            if bool(outcome(codes[rule], shown(values[triggers[rule]]))) != want:
                reasons[p.name] = _because(triggers[rule], values)
    return reasons


def outcome(code, value):
    """Return what ``OUT = formula`` gives for the text `value` of VAL; ValueError where it is no such formula."""
    match ast.parse(code.strip()).body:
        case [ast.Assign(targets=[ast.Name(id="OUT")], value=formula)]:
            return _evaluated(formula, value)
    raise ValueError(f"expected OUT = formula, not {code!r}")


def _evaluated(node, value):
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id="VAL"):
            return value
        case ast.UnaryOp(op=ast.Not()):
            return not _evaluated(node.operand, value)
        case ast.BoolOp():
            parts = (_evaluated(part, value) for part in node.values)
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        case ast.Compare(ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            return _COMPARISONS[type(op)](_evaluated(node.left, value), _evaluated(right, value))
        case ast.Call(func=ast.Attribute(value=text, attr=method), args=[], keywords=[]) if method in _METHODS:
            return getattr(str(_evaluated(text, value)), method)()
    raise ValueError(f"a rule can't hold {ast.unparse(node)!r}")


def _many(parameter, keyword):
    """Return the rules that a keyword names: none, one, or several."""
    given = dict(parameter.keywords).get(keyword, ())
    return (given,) if isinstance(given, str) else given


def _because(trigger, values):
    return f"not used while {trigger} {f'= {value}' if (value := shown(values[trigger])) else 'is empty'}"
