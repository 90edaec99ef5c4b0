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
from imagereg.parameter import Parameter, parse_check, unquoted

__all__ = ["Parameter", "ParameterSet", "Spec", "nearest", "package_file", "package_text"]

logger = logging.getLogger(__name__)


def package_file(folder, name):
    """Return the path of a data file in sub-package `folder`: 'pars' or 'help_files'."""
    package = files(__package__)
    installed = package / folder / name
    # In a checkout and an editable install they stand beside lib/, as pars/ and help/.
    return installed if installed.is_file() else package / ".." / ".." / folder.removesuffix("_files") / name


def package_text(folder, name):
    """Return the text of a data file; see `package_file`."""
    return package_file(folder, name).read_text(encoding="utf-8")


def nearest(name, known):
    """Return the one of the `known` names that looks most like `name`, or None where none does."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


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
            If `value` is of the wrong type, out of range, no choice, or not available yet.
        """
        parameter = self.find(name)
        shown = f"{self.task}: parameter {parameter.name!r} = {value!r}"
        try:
            converted = parameter.convert(value)
        except ValueError as error:
            raise ParameterError(f"{shown}: expected {error}") from None
        if not parameter.served and converted != parameter.default:
            raise ParameterError(f"{shown} is not available yet")
        return converted

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

    def cfg_text(self, values=(), psets=()):
        """Return the text of a ``.cfg`` with `values`, or with the defaults.

        Parameters
        ----------
        values : mapping
            See `validate`.
        psets : iterable of ParameterSet
            Parameter sets that belong to the task: a section of each holds what is not the default, as ``_name_``,
            which TEAL takes for hidden: it keeps that, and its window, which crashes on others, does not show it.
        """
        values = self.validate(values)
        lines = [f"_task_name_ = {self.task}"]
        for section, parameters in self.sections.items():
            lines += ["", f"[{section}]"] if section else []
            lines += [p.cfg_line(values[p.name]) for p in parameters]
        for pset in psets:
            if pset.changed:
                hidden = (dataclasses.replace(pset.spec[name], name=f"_{name}_") for name in pset.changed)
                lines += ["", f"[{pset.task}]", *(p.cfg_line(pset[p.name[1:-1]]) for p in hidden)]
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
        if name.startswith("_") and name.endswith("_"):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value
