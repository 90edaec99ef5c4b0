"""The parameters of a run, put together from files, mappings and single values."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from imagereg.errors import ParameterError
from imagereg.parameters import texts
from imagereg.parameters.declaration import Parameter
from imagereg.parameters.spec import (
    ParameterSet,
    Spec,
    ambiguous_parameter,
    is_teals,
    shared_out,
    unknown_parameter,
)

# The argument of TweakReg that holds the parameters of each task.
ARGUMENTS = {
    "tweakreg": "configobj",
    "imagefindpars": "imagefindcfg",
    "refimagefindpars": "refimagefindcfg",
}
# What works on solutions that exist. Each is declared by itself, without parameter sets.
SOLUTION_TASKS = ("applywcs", "restorewcs", "activatewcs", "listwcs", "comparewcs", "tweakback")
TASKS = (*ARGUMENTS, *SOLUTION_TASKS)
_SETS = tuple(ARGUMENTS)[1:]

log = logging.getLogger(__name__)


def gather_parameters(
    configobj: Mapping | str | None = None,
    imagefindcfg: Mapping | str | None = None,
    refimagefindcfg: Mapping | str | None = None,
    flat: Mapping | Sequence[tuple[str, Any]] = (),
) -> tuple[ParameterSet, ParameterSet, ParameterSet]:
    """Put together the parameters of one run; later ones win.

    Parameters
    ----------
    configobj : mapping, str, or None
        Parameters, perhaps with those of a parameter set as a mapping under its name; the name of a
        ``.cfg``; or ``'defaults'`` for the ones last saved with the editor, with parameter sets.
    imagefindcfg, refimagefindcfg : mapping, str, or None
        The same for the parameter sets. What is a parameter of tweakreg and stands there is taken
        as such, with a warning.
    flat : mapping
        Parameters of tweakreg or of imagefindpars by name; there is a warning where one differs
        from what a mapping of a parameter set says.

    Returns
    -------
    tweakreg, finding, ref_finding : ParameterSet
        Of tweakreg, imagefindpars and refimagefindpars.

    Raises
    ------
    ParameterError
        A parameter is unknown, or its value is not what is expected.
    InputError
        A file can't be read.
    """
    sources = [configobj, imagefindcfg, refimagefindcfg]
    if isinstance(configobj, str) and configobj == "defaults":
        sources = [source or "defaults" for source in sources]
    given = _by_task(_mapping(configobj, Spec.load("tweakreg")))
    for task, source in zip(_SETS, sources[1:], strict=True):
        own, strays = _sorted_out(_mapping(source, Spec.load(task)), task)
        given[task] |= own
        given["tweakreg"] |= strays
    for task, values in _by_task(flat).items():
        if _is_typed(dict(zip(ARGUMENTS, sources, strict=True))[task]):
            _warn_of_differences(task, given[task], values)
        given[task] |= values
    tweakreg, finding, ref_finding = (ParameterSet(name, given[name]) for name in ARGUMENTS)
    return tweakreg, finding, ref_finding


def starting_values(
    files: str | Sequence[str] | None,
    sources: tuple[Mapping | str | None, Mapping | str | None, Mapping | str | None],
    flat: Mapping,
) -> dict[str, Any]:
    """Return the values with which the editor of tweakreg begins, over those last saved.

    Parameters
    ----------
    files : str, list of str, or None
        Names of images.
    sources : tuple of (mapping, str, or None)
        `configobj`, `imagefindcfg`, `refimagefindcfg`, as `gather_parameters` takes them.
    flat : mapping
        Parameters of tweakreg or of imagefindpars by name.

    Returns
    -------
    dict
        By task: a ParameterSet if there are any `sources`; else a dict of what was given.
    """
    if files:
        names = [files] if isinstance(files, (str, os.PathLike)) else files
        flat = {**flat, "input": ",".join(map(os.fspath, names))}
    if any(source is not None for source in sources):
        return {values.task: values for values in gather_parameters(*sources, flat=flat)}
    return _by_task(flat)


def find_parameter(
    name: str, specs: Sequence[Spec], *, buttons: bool = False
) -> tuple[Spec, Parameter]:
    """Return the parameter that a user means, and the first of the specs that knows it so.

    Parameters
    ----------
    name : str
        Name or alias of a parameter, or an abbreviation that fits no other.
    specs : sequence of Spec
        Where to look; errors name the task of the first.
    buttons : bool
        Whether the name of a parameter set means the button that opens it.

    Raises
    ------
    ParameterError
        `name` is unknown or ambiguous.
    """
    known: dict[str, tuple[Spec, Parameter]] = {}
    for spec in reversed(specs):
        known |= {spelling: (spec, parameter) for spelling, parameter in spec.spellings.items()}
        if buttons:
            known |= {p.pset: (spec, p) for p in spec.layout if p.pset}
    if name in known:
        return known[name]
    found = [known[spelling] for spelling in known if spelling.startswith(name)]
    meant = {p.pset or p.name: (spec, p) for spec, p in found}
    if not meant or not name:
        raise unknown_parameter(specs[0].task, name, known)
    if len(meant) > 1:
        raise ambiguous_parameter(specs[0].task, name, meant)
    return next(iter(meant.values()))


def _mapping(given: Any, spec: Spec) -> Mapping:
    """Return parameters as a mapping, read from a file if its name is given."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return given
    if isinstance(given, (str, os.PathLike)):
        return texts.read_parameters(os.fspath(given), spec.task)
    kind = type(given).__name__
    raise ParameterError(
        f"{spec.task}: parameters are given as {kind}, expected a mapping or a file name"
    )


def _sorted_out(values: Mapping, task: str) -> tuple[dict, dict]:
    """Return the values for a parameter set that are its own, and those of tweakreg, checked."""
    own, tweakreg = Spec.load(task), Spec.load("tweakreg")
    if isinstance(values, ParameterSet):
        return own.given(values), {}
    strays = {name: value for name, value in values.items()
              if name not in own and name in tweakreg}
    for name in strays:
        log.warning("%s is a parameter of tweakreg and not of %s: it is taken as such", name, task)
    kept = {name: value for name, value in values.items() if name not in strays}
    return own.given(kept), tweakreg.given(strays)


def _is_typed(source: Any) -> bool:
    """Whether parameters are a mapping that a script made, and not a file or what TEAL read."""
    return isinstance(source, Mapping) and "_task_name_" not in source


def _warn_of_differences(task: str, given: Mapping, flat: Mapping) -> None:
    """Say which parameters of a set have two values, of which the one given by name counts."""
    for name, value in flat.items():
        if given.get(name, value) != value:
            log.warning("%s is %s in %s and %s by its name alone, which counts", name, given[name],
                        ARGUMENTS[task], value)


def _by_task(values: Any) -> dict[str, dict]:
    """Share out parameters, flat or in sections, between tweakreg and its sets, and check them."""
    specs = [Spec.load(name) for name in ARGUMENTS]
    mine, *others = shared_out(dict(values), *specs)
    flat: dict[str, Any] = {}
    for name, value in mine.items():
        in_section = isinstance(value, Mapping) and not is_teals(name)
        flat |= value if in_section else {name: value}
    for name in flat:
        if not is_teals(name) and name not in specs[0]:
            raise unknown_parameter("tweakreg", name, [*specs[0].names, *specs[1].names])
    shares = (flat, *others)
    return {spec.task: spec.given(share) for spec, share in zip(specs, shares, strict=True)}
