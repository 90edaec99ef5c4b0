"""Parameters of a task: declared in one ``.cfgspc``, checked, and written in every form users meet.

`Spec` is what a task declares, a `Parameter` one line of it, a `ParameterSet` the values of a run.
TEAL runs the code in the ``[ _RULES_ ]`` of a ``.cfgspc``; nothing here does.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import configobj

from imagereg.errors import ParameterError
from imagereg.parameters.config import read_config
from imagereg.parameters.declaration import Parameter, Value, cfg_value, parse_check, unquoted

# What a task of IRAF leaves behind for scripts, as a parameter only there: a line of its .par.
_STATUS = 'status,i,h,INDEF,0,1,"How the last run ended: 0 all {}, 1 not all"'

# What old scripts give, and what says it today.
_FORMER = {"ascend": "; fluxunits says what the brightest is: with mag the smallest number"}

logger = logging.getLogger(__name__)


def package_file(folder: str, name: str) -> Any:
    """Return the path of a data file in sub-package 'pars', 'help_files' or 'iraf'."""
    package: Any = files("imagereg")
    installed = package / folder / name
    # In a checkout and an editable install the folders stand beside lib/, by other names.
    checkout = {"help_files": "help", "iraf": "scripts/iraf"}.get(folder, folder)
    return installed if installed.is_file() else package.parent.parent / checkout / name


def package_text(folder: str, name: str) -> str:
    """Return the text of a data file; see `package_file`."""
    return package_file(folder, name).read_text(encoding="utf-8")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of the `known` names that looks most like `name`, or None if none does.

    The initials of its words look like a name too: ``cw`` is ``conv_width``.
    """
    known = list(known)
    initials = {"".join(word[:1] for word in other.split("_")): other for other in known}
    return next(iter(difflib.get_close_matches(name, known, n=1)), initials.get(name.lower()))


def unknown_parameter(task: str, name: str, known: Iterable[str]) -> ParameterError:
    """Return the error that says that a parameter is unknown, and which one may be meant."""
    likely = nearest(name, known)
    hint = _FORMER.get(name, f"; did you mean {likely!r}?" if likely else "")
    return ParameterError(f"{task}: unknown parameter {name!r}{hint}")


def ambiguous_parameter(task: str, name: str, meant: Iterable[str]) -> ParameterError:
    """Return the error that says which parameters an abbreviation may mean."""
    return ParameterError(f"{task}: parameter {name!r} is ambiguous: {', '.join(sorted(meant))}")


def is_teals(name: str) -> bool:
    """Whether a name or a heading, such as ``_RULES_``, is TEAL's and no parameter's."""
    return name.startswith("_") and name.endswith("_")


def shared_out(values: Mapping, task: Spec, *sets: Spec) -> list[dict]:
    """Share out values between a task and its parameter sets.

    A section named like a set holds values of that set, by their names or as `Spec.cfg_text` hides
    them. Elsewhere a name is the task's or, if the task has none such, that of the first set that
    has it. Unknown names stay with the task.

    Parameters
    ----------
    values : mapping
        Values by name, flat or in sections.
    task, *sets : Spec
        The task and its parameter sets.

    Returns
    -------
    list of dict
        For the task, with its sections, and for each of the `sets`.
    """
    shares: dict[str, dict] = {spec.task: {} for spec in (task, *sets)}
    for name, value in values.items():
        if isinstance(value, Mapping) and name in shares:
            hidden = {f"_{p.name}_": p.name for spec in sets if spec.task == name for p in spec}
            shares[name] |= {hidden.get(inner, inner): text for inner, text in value.items()}
        elif isinstance(value, Mapping) and not is_teals(name):
            section, *others = shared_out(value, task, *sets)
            shares[task.task][name] = section
            for spec, other in zip(sets, others, strict=True):
                shares[spec.task] |= other
        else:
            owner = next((spec for spec in (task, *sets) if name in spec), task)
            shares[owner.task][name] = value
    return list(shares.values())


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a task or parameter set declares; iterating gives its parameters in order.

    Parameters
    ----------
    task : str
        Name of the task.
    layout : tuple of Parameter
        Parameters, and the buttons among them, in the order of the file.
    rules : tuple of (str, tuple)
        Name and keywords of each rule for greying out, as written.
    """

    task: str
    layout: tuple[Parameter, ...]
    rules: tuple[tuple[str, tuple], ...] = ()

    @classmethod
    @functools.cache
    def load(cls, task: str) -> Spec:
        """Return the `Spec` of a task of this package, such as 'tweakreg'."""
        return cls.parse(package_text("pars", f"{task}.cfgspc"))

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Return the `Spec` that the text of a ``.cfgspc`` declares."""
        top = read_config(text, _inspec=True).dict()
        task = parse_check(top.pop("_task_name_"))[2]["default"]
        rules = top.pop("_RULES_", {})
        layout = []
        for name, line in top.items():
            section, lines = (name, line) if isinstance(line, dict) else ("", {name: line})
            # A section of __many__ holds the values of a parameter set, declared elsewhere.
            lines.pop("__many__", None)
            layout += [Parameter.parse(inner, section, check) for inner, check in lines.items()]
        parsed = ((name, tuple(parse_check(line)[2].items())) for name, line in rules.items())
        return cls(task, tuple(layout), tuple(parsed))

    def __iter__(self) -> Iterator[Parameter]:
        """Iterate over the parameters, without the buttons."""
        return (p for p in self.layout if p.kind != "action")

    def __contains__(self, name: str) -> bool:
        """Whether `name` is that of a parameter, or an alias."""
        return name in self.spellings

    def __getitem__(self, name: str) -> Parameter:
        """Return the `Parameter` that has this name or alias."""
        return self.spellings[name]

    @functools.cached_property
    def spellings(self) -> dict[str, Parameter]:
        """Parameters by alias and by name; where both are the same, the name wins."""
        return {alias: p for p in self for alias in p.aliases} | {p.name: p for p in self}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        return tuple(p.name for p in self)

    @property
    def sections(self) -> dict[str, list[Parameter]]:
        """Parameters under each heading."""
        sections: dict[str, list[Parameter]] = {}
        for parameter in self:
            sections.setdefault(parameter.section, []).append(parameter)
        return sections

    @property
    def positional(self) -> tuple[Parameter, ...]:
        """What a task is told first: the parameters that IRAF asks for, and `input`."""
        asked = [p for p in self if not p.hidden]
        return tuple(asked + [p for p in self if p.name == "input" and p.hidden])

    def placed(self, words: Sequence[str], given: Iterable[str] = ()) -> dict[str, str]:
        """Return words of a command line by the name of the parameter whose place they have.

        Parameters
        ----------
        words : sequence of str
            The words; the list of images, which is last, takes all that are left.
        given : iterable of str
            Names of parameters that are given otherwise, and have no place then.

        Raises
        ------
        ParameterError
            There are more words than places.
        """
        places = [p.name for p in self.positional if p.name not in given]
        n_single = len(places) - ("input" in places)
        values = dict(zip(places[:n_single], words, strict=False))
        rest = words[n_single:]
        if rest and "input" not in places:
            raise ParameterError(f"{self.task}: {rest[0]!r}: expected name=value")
        return values | ({"input": ",".join(rest)} if rest else {})

    def find(self, name: str, *, minimum_match: bool = False) -> Parameter:
        """Return the parameter meant by its name, an alias (which is logged), or an abbreviation.

        Raises
        ------
        ParameterError
            If `name` is unknown or ambiguous.
        """
        found = [name] if name in self else []
        if minimum_match and name:
            found = found or [spelling for spelling in self.spellings if spelling.startswith(name)]
        names = {self[spelling].name for spelling in found}
        if not names:
            raise unknown_parameter(self.task, name, self.spellings)
        if len(names) > 1:
            raise ambiguous_parameter(self.task, name, names)
        meant = self[found[0]]
        if meant.name not in found:
            _log_alias(self.task, found[0], meant.name)
        return meant

    def convert(self, name: str, value: Any) -> Value:
        """Return a value in the type of a parameter; see `Parameter.convert`.

        Raises
        ------
        ParameterError
            If `value` is of the wrong type, out of range, or no choice.
        """
        parameter = self.find(name)
        try:
            return parameter.convert(value)
        except ValueError as error:
            aliases = f" ({', '.join(parameter.aliases)})" if parameter.aliases else ""
            setting = f"parameter {parameter.name!r}{aliases} = {value!r}"
            raise ParameterError(f"{self.task}: {setting}: expected {error}") from None

    def given(self, values: Any = ()) -> dict[str, Value]:
        """Return the values that a mapping gives, checked, without defaults; see `ParameterSet`."""
        if isinstance(values, ParameterSet):
            task = values.task
        else:
            task = dict(values).get("_task_name_", self.task)
        if task != self.task:
            raise ParameterError(f"{self.task}: these are parameters of {task!r}")
        result: dict[str, Value] = {}
        for spelling, value in _flat(dict(values)):
            name = self.find(spelling).name
            value = self.convert(name, value)
            if result.setdefault(name, value) != value:
                both = f"{result[name]!r} and as {value!r}"
                raise ParameterError(f"{self.task}: parameter {name!r} is given as {both}")
        return result

    def validate(self, values: Any = ()) -> ParameterSet:
        """Return the values of one run; see `ParameterSet`."""
        return ParameterSet(self, values)

    def read_cfg(self, text: str) -> dict[str, Any]:
        """Return what the text of a ``.cfg`` holds, unchecked: texts by name, sections as dicts.

        Raises
        ------
        ParameterError
            If `text` is not of that format.
        """
        try:
            parsed = read_config(text)
        except configobj.ConfigObjError as error:
            reason = " ".join(str(error).split())
            raise ParameterError(f"{self.task}: not a parameter file: {reason}") from None
        parsed.walk(_unquote)
        return parsed.dict()

    @property
    def psets(self) -> tuple[str, ...]:
        """Names of the parameter sets that belong to the task."""
        return tuple(p.pset for p in self.layout if p.pset)

    def cfg_text(
        self,
        values: Any = (),
        psets: Iterable[ParameterSet] = (),
        more: Mapping | None = None,
    ) -> str:
        """Return the text of a ``.cfg`` with `values`, or with the defaults.

        Parameters
        ----------
        values : mapping
            See `ParameterSet`.
        psets : iterable of ParameterSet
            Parameter sets of the task. Each gets a section with the values that are not the
            default, named ``_name_``: TEAL hides such names, but keeps them. On any other name
            that is not declared its window would crash.
        more : mapping, optional
            Further texts to write, by name. A mapping among them holds the texts of the section of
            that name, which is added if there is none.
        """
        values = self.validate(values)
        more = dict(more or {})
        sections = {name: more.pop(name) for name in list(more) if isinstance(more[name], Mapping)}
        lines = [f"_task_name_ = {self.task}"]
        for section, parameters in self.sections.items():
            if section:
                lines += ["", f"[{section}]"]
            lines += [p.cfg_line(values[p.name]) for p in parameters]
            lines += _more_lines(sections.pop(section, {}) if section else more)
        for pset in psets:
            others = sections.pop(pset.task, {})
            if pset.changed or others:
                lines += ["", f"[{pset.task}]", *_hidden_lines(pset), *_more_lines(others)]
        for section, others in sections.items():
            lines += ["", f"[{_key(section)}]", *_more_lines(others)]
        return "\n".join([*lines, "", "[_RULES_]", ""])

    def par_text(self, values: Any = ()) -> str:
        """Return the text of an IRAF ``.par`` with `values`, or with the defaults.

        Raises
        ------
        ParameterError
            If a text holds both kinds of quotes, which IRAF can't write.
        """
        values = self.validate(values)
        shown = [p for p in self.layout if p.kind != "action" or p.pset]
        try:
            lines = [p.par_line(values.get(p.name)) for p in shown]
        except ValueError as error:
            raise ParameterError(f"{self.task}: {error}") from None
        if self.positional:
            lines.append(_STATUS.format("aligned" if self.psets else "well"))
        return "\n".join([*lines, 'mode,s,h,"ql"', ""])

    def doc_table(self) -> str:
        """Return the parameters as the section of a numpydoc docstring."""
        return "\n".join(line for p in self for line in p.doc_lines())

    def signature(
        self, *leading: inspect.Parameter, exclude: Iterable[str] = ()
    ) -> inspect.Signature:
        """Return the signature of the Python function that takes these parameters as keywords.

        Parameters
        ----------
        *leading : inspect.Parameter
            What stands before them.
        exclude : iterable of str
            Names to leave out.
        """
        keywords = []
        for p in self:
            if p.name not in exclude:
                kind = inspect.Parameter.KEYWORD_ONLY
                keywords.append(
                    inspect.Parameter(p.name, kind, default=p.default, annotation=p.python_type)
                )
        return inspect.Signature([*leading, *keywords])


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class ParameterSet(Mapping):
    """Checked values of one run: an immutable mapping whose values are attributes too.

    Parameters
    ----------
    spec : Spec or str
        What they are values of; a name is that of a task of this package.
    values : mapping
        Values by name, flat or under the headings of the sections; the rest are the defaults.
        Buttons and rules, which a saved file may hold, are passed over.

    Raises
    ------
    ParameterError
        If a name is unknown, a parameter is given twice with different values, a value is not
        what is expected, or the values are those of another task.
    """

    spec: Spec
    _items: tuple[tuple[str, Value], ...]

    def __init__(self, spec: Spec | str, values: Any = ()) -> None:
        spec = Spec.load(spec) if isinstance(spec, str) else spec
        given = spec.given(values)
        items = tuple((p.name, given.get(p.name, p.default)) for p in spec)
        vars(self).update(spec=spec, _items=items)

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.spec.task

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of those that differ from their defaults."""
        return tuple(name for name, value in self._items if value != self.spec[name].default)

    def replace(self, **values: Any) -> ParameterSet:
        """Return a `ParameterSet` with these values changed."""
        return ParameterSet(self.spec, {**self, **self.spec.given(values)})

    @functools.cached_property
    def _values(self) -> dict[str, Any]:
        return dict(self._items)

    def __getitem__(self, name: str) -> Any:
        """Return the value of a parameter."""
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        """Return the value of a parameter."""
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"no parameter {name!r}")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in order."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return the number of parameters."""
        return len(self._items)

    def __dir__(self) -> list[str]:
        """Return the attributes, for completion."""
        return [*super().__dir__(), *self._values]

    def __repr__(self) -> str:
        """Return the expression that makes it: the task and what was changed."""
        changed = {name: self[name] for name in self.changed}
        values = f", {changed!r}" if changed else ""
        return f"ParameterSet({self.task!r}{values})"


def _hidden_lines(pset: ParameterSet) -> list[str]:
    """Return the lines of a ``.cfg`` for the changed values of a parameter set, as ``_name_``."""
    hidden = {name: dataclasses.replace(pset.spec[name], name=f"_{name}_") for name in pset.changed}
    return [parameter.cfg_line(pset[name]) for name, parameter in hidden.items()]


def _more_lines(values: Mapping, depth: int = 2) -> Iterator[str]:
    """Yield the lines of a ``.cfg`` for texts and inner sections that are no parameters."""
    sections = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    for name, value in values.items():
        if name not in sections:
            yield f"{_key(name)} = {cfg_value(value)}"
    for name, section in sections.items():
        yield "[" * depth + _key(name) + "]" * depth
        yield from _more_lines(section, depth + 1)


def _key(name: str) -> str:
    """Return a name or a heading as it stands in a ``.cfg``."""
    if name and name == name.strip() and set("\"'=[]#").isdisjoint(name):
        return name
    return f"'{name}'" if '"' in name else f'"{name}"'


def _unquote(section, name):
    """Take the quotes off one value of a ``.cfg``."""
    section[name] = unquoted(section[name])


@functools.cache
def _log_alias(task, spelling, name):
    """Say once for each spelling which parameter it stands for."""
    logger.info("%s: parameter %r is taken as %r", task, spelling, name)


def _flat(values: Mapping) -> Iterator[tuple[str, Any]]:
    """Yield name and value of a flat or sectioned mapping, without the ``_xxx_`` of TEAL."""
    for name, value in values.items():
        if is_teals(name):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value
