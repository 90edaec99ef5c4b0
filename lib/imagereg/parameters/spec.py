"""Parameters of a task: read from one ``.cfgspc``, checked, and written in every form that users meet.

`Spec` is what a task declares, `Parameter` one line of it, `ParameterSet` the values of one run.
TEAL runs the code in the ``[ _RULES_ ]`` of a ``.cfgspc``; nothing here does.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import logging
from collections.abc import Mapping
from importlib.resources import files

import configobj

from imagereg.errors import ParameterError
from imagereg.parameters.declaration import Parameter, cfg_value, parse_check, unquoted

__all__ = ["Parameter", "ParameterSet", "Spec", "is_teals", "nearest", "package_file", "package_text", "shared_out"]

logger = logging.getLogger(__name__)


def package_file(folder, name):
    """Return the path of a data file in sub-package `folder`: 'pars', 'help_files' or 'iraf'."""
    package = files("imagereg")
    installed = package / folder / name
    # In a checkout and an editable install they stand beside lib/, as pars/, help/ and scripts/iraf/.
    checkout = {"help_files": "help", "iraf": "scripts/iraf"}.get(folder, folder)
    return installed if installed.is_file() else package.parent.parent / checkout / name


def package_text(folder, name):
    """Return the text of a data file; see `package_file`."""
    return package_file(folder, name).read_text(encoding="utf-8")


def nearest(name, known):
    """Return the one of the `known` names that looks most like `name`, or None where none does."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def is_teals(name):
    """Whether a name or a heading, as ``_RULES_``, is TEAL's and no parameter's."""
    return name.startswith("_") and name.endswith("_")


def shared_out(values, task, *sets):
    """Share out values between a task and its parameter sets.

    A section that has the name of a set holds values of that set, by their names or as `Spec.cfg_text` hides them.
    Elsewhere a name is one of the task or, where the task has none such, of the first set that has it. The task keeps
    what nobody knows.

    Parameters
    ----------
    values : mapping
        Values by name, flat or in sections.
    task, *sets : Spec

    Returns
    -------
    list of dict
        For the task, with its sections, and for each of the `sets`.
    """
    shares = {spec.task: {} for spec in (task, *sets)}
    for name, value in values.items():
        if isinstance(value, Mapping) and name in shares:
            hidden = {f"_{p.name}_": p.name for spec in sets if spec.task == name for p in spec}
            shares[name].update({hidden.get(inner, inner): text for inner, text in value.items()})
        elif isinstance(value, Mapping) and not is_teals(name):
            own, *others = shared_out(value, task, *sets)
            shares[task.task][name] = own
            for spec, other in zip(sets, others, strict=True):
                shares[spec.task].update(other)
        else:
            owner = next((spec for spec in (task, *sets) if name in spec), task)
            shares[owner.task][name] = value
    return list(shares.values())


@dataclasses.dataclass(frozen=True)
class Spec:
    """What one task or parameter set declares; iterating gives its parameters in order.

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
    layout: tuple
    rules: tuple = ()

    @classmethod
    @functools.cache
    def load(cls, task):
        """Return the `Spec` of a task of this package, such as 'tweakreg'."""
        return cls.parse(package_text("pars", f"{task}.cfgspc"))

    @classmethod
    def parse(cls, text):
        """Return the `Spec` that the text of a ``.cfgspc`` declares."""
        lines = text.splitlines()
        top = configobj.ConfigObj(lines, _inspec=True, list_values=False, interpolation=False).dict()
        task = parse_check(top.pop("_task_name_"))[2]["default"]
        rules = {name: parse_check(line)[2] for name, line in top.pop("_RULES_", {}).items()}
        layout = []
        for name, line in top.items():
            if isinstance(line, dict):
                # A section of __many__ holds the values of a parameter set, which are declared elsewhere.
                layout += [Parameter.parse(inner, name, check) for inner, check in line.items() if inner != "__many__"]
            else:
                layout.append(Parameter.parse(name, "", line))
        return cls(task, tuple(layout), tuple((name, tuple(rule.items())) for name, rule in rules.items()))

    def __iter__(self):
        """Iterate over the parameters, without the buttons."""
        return (p for p in self.layout if p.kind != "action")

    def __contains__(self, name):
        """Whether `name` is that of a parameter, or an alias."""
        return name in self._spellings

    def __getitem__(self, name):
        """Return the `Parameter` that has this name or alias."""
        return self._spellings[name]

    @functools.cached_property
    def _spellings(self):
        return {alias: p for p in self for alias in p.aliases} | {p.name: p for p in self}

    @property
    def names(self):
        """Names of the parameters, in order."""
        return tuple(p.name for p in self)

    @property
    def sections(self):
        """Parameters under each heading: dict of str to tuple of `Parameter`."""
        return {s: tuple(p for p in self if p.section == s) for s in dict.fromkeys(p.section for p in self)}

    def find(self, name, *, minimum_match=False):
        """Return the parameter that a user means by its name, an alias (which is logged), or an abbreviation.

        Raises
        ------
        ParameterError
            If `name` is unknown or ambiguous.
        """
        found = [name] if name in self else []
        if minimum_match and name:
            found = found or [spelling for spelling in self._spellings if spelling.startswith(name)]
        names = sorted({self[s].name for s in found})
        if not names:
            likely = nearest(name, self._spellings)
            hint = f"; did you mean {likely!r}?" if likely else ""
            raise ParameterError(f"{self.task}: unknown parameter {name!r}{hint}")
        if len(names) > 1:
            raise ParameterError(f"{self.task}: parameter {name!r} is ambiguous: {', '.join(names)}")
        if names[0] not in found:
            _log_alias(self.task, found[0], names[0])
        return self[names[0]]

    def convert(self, name, value):
        """Return `value` as what parameter `name` holds; see `Parameter.convert`.

        Raises
        ------
        ParameterError
            If `value` is of the wrong type, out of range, or no choice.
        """
        parameter = self.find(name)
        shown = f"{self.task}: parameter {parameter.name!r} = {value!r}"
        try:
            return parameter.convert(value)
        except ValueError as error:
            raise ParameterError(f"{shown}: expected {error}") from None

    def given(self, values=(), *, minimum_match=False):
        """Return those values alone that a mapping gives, checked: dict by name; see `validate`."""
        task = values.task if isinstance(values, ParameterSet) else dict(values).get("_task_name_", self.task)
        if task != self.task:
            raise ParameterError(f"{self.task}: these are parameters of {task!r}")
        result = {}
        for spelling, value in _flat(dict(values)):
            name = self.find(spelling, minimum_match=minimum_match).name
            value = self.convert(name, value)
            if result.setdefault(name, value) != value:
                both = f"{result[name]!r} and as {value!r}"
                raise ParameterError(f"{self.task}: parameter {name!r} is given as {both}")
        return result

    def validate(self, values=(), *, minimum_match=False):
        """Return the values of one run.

        Parameters
        ----------
        values : mapping
            Values by name, flat or under the headings of the sections; the rest are the defaults. Buttons and
            rules, which a saved file may hold, are passed over.
        minimum_match : bool
            Accept abbreviated names.

        Returns
        -------
        ParameterSet

        Raises
        ------
        ParameterError
            If a name is unknown, a parameter is given twice with different values, a value is not what is
            expected, or the values are those of another task.
        """
        return ParameterSet(self, values, minimum_match=minimum_match)

    def read_cfg(self, text):
        """Return what the text of a ``.cfg`` holds, unchecked: dict of str to str, or to dict for a section.

        Raises
        ------
        ParameterError
            If `text` is not of that format.
        """
        lines = text.removeprefix("\ufeff").split("\n")
        try:
            # Without lists: commas are part of a value. Without interpolation: so is %.
            parsed = configobj.ConfigObj(lines, list_values=False, interpolation=False)
        except configobj.ConfigObjError as error:
            raise ParameterError(f"{self.task}: not a parameter file: {error}") from None
        parsed.walk(_unquote)
        return parsed.dict()

    @property
    def psets(self):
        """Names of the parameter sets that belong to the task."""
        return tuple(p.pset for p in self.layout if p.pset)

    def cfg_text(self, values=(), psets=(), more=None):
        """Return the text of a ``.cfg`` with `values`, or with the defaults.

        Parameters
        ----------
        values : mapping
            See `validate`.
        psets : iterable of ParameterSet
            Parameter sets that belong to the task: a section of each holds what is not the default, as ``_name_``,
            which TEAL takes for hidden: it keeps that, and its window, which crashes on others, does not show it.
        more : mapping, optional
            Texts to write besides, by name; those of a section, new or not, as a mapping.
        """
        values, more = self.validate(values), dict(more or {})
        lines = [f"_task_name_ = {self.task}"]
        sections = {name: more.pop(name) for name in list(more) if isinstance(more[name], Mapping)}
        for section, parameters in self.sections.items():
            lines += ["", f"[{section}]"] if section else []
            lines += [p.cfg_line(values[p.name]) for p in parameters]
            lines += _more_lines(sections.pop(section, {}) if section else more)
        for pset in psets:
            others = sections.pop(pset.task, {})
            if pset.changed or others:
                hidden = (dataclasses.replace(pset.spec[name], name=f"_{name}_") for name in pset.changed)
                lines += ["", f"[{pset.task}]", *(p.cfg_line(pset[p.name[1:-1]]) for p in hidden), *_more_lines(others)]
        for section, others in sections.items():
            lines += ["", f"[{_key(section)}]", *_more_lines(others)]
        return "\n".join([*lines, "", "[_RULES_]", ""])

    def par_text(self, values=()):
        """Return the text of an IRAF ``.par`` with `values`, or with the defaults.

        Raises
        ------
        ParameterError
            If a text holds both kinds of quotes, which IRAF can't write.
        """
        values = self.validate(values)
        try:
            lines = [p.par_line(values.get(p.name)) for p in self.layout if p.kind != "action" or p.pset]
        except ValueError as error:
            raise ParameterError(f"{self.task}: {error}") from None
        return "\n".join([*lines, 'mode,s,h,"ql"', ""])

    def doc_table(self):
        """Return the parameters as the section of a numpydoc docstring."""
        return "\n".join(line for p in self for line in p.doc_lines())

    def signature(self, *leading, exclude=()):
        """Return the signature of the Python function that takes these parameters as keywords.

        Parameters
        ----------
        *leading : inspect.Parameter
            What stands before them.
        exclude : iterable of str
            Names to leave out.

        Returns
        -------
        inspect.Signature
        """
        keyword = functools.partial(inspect.Parameter, kind=inspect.Parameter.KEYWORD_ONLY)
        own = [p for p in self if p.name not in exclude]
        keywords = (keyword(p.name, default=p.default, annotation=p.python_type) for p in own)
        return inspect.Signature([*leading, *keywords])


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class ParameterSet(Mapping):
    """Checked values of one run: a mapping that does not change, with attributes.

    Parameters
    ----------
    spec : Spec or str
        What they are values of; a name is that of a task of this package.
    values : mapping
        See `Spec.validate`, which makes one.
    minimum_match : bool
        Accept abbreviated names.

    Raises
    ------
    ParameterError
        See `Spec.validate`.
    """

    spec: Spec
    _items: tuple

    def __init__(self, spec, values=(), *, minimum_match=False):
        spec = Spec.load(spec) if isinstance(spec, str) else spec
        given = spec.given(values, minimum_match=minimum_match)
        vars(self).update(spec=spec, _items=tuple((p.name, given.get(p.name, p.default)) for p in spec))

    @property
    def task(self):
        """Name of the task."""
        return self.spec.task

    @property
    def changed(self):
        """Names of those that differ from their defaults."""
        return tuple(name for name, value in self._items if value != self.spec[name].default)

    def replace(self, **values):
        """Return a `ParameterSet` with these values changed."""
        return ParameterSet(self.spec, {**self, **self.spec.given(values)})

    @functools.cached_property
    def _values(self):
        return dict(self._items)

    def __getitem__(self, name):
        """Return the value of a parameter."""
        return self._values[name]

    def __getattr__(self, name):
        """Return the value of a parameter."""
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"no parameter {name!r}")
        return self._values[name]

    def __iter__(self):
        """Iterate over the names, in order."""
        return iter(self._values)

    def __len__(self):
        """Return the number of parameters."""
        return len(self._items)

    def __dir__(self):
        """Return the attributes, for completion."""
        return [*super().__dir__(), *self._values]

    def __repr__(self):
        """Return the expression that makes it: the task and what was changed."""
        changed = {name: self[name] for name in self.changed}
        return f"ParameterSet({self.task!r}, {changed!r})" if changed else f"ParameterSet({self.task!r})"


def _more_lines(values, depth=2):
    """Yield the lines of a ``.cfg`` for texts, and for sections inside a section, that are no parameters."""
    yield from (f"{_key(name)} = {cfg_value(value)}" for name, value in values.items()
                if not isinstance(value, Mapping))
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield "[" * depth + _key(name) + "]" * depth
            yield from _more_lines(value, depth + 1)


def _key(name):
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


def _flat(values):
    """Yield (name, value) of a flat or sectioned mapping, without the ``_xxx_`` of TEAL."""
    for name, value in values.items():
        if is_teals(name):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value
