"""The parameters of a run, put together from files, mappings and single values."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping

from imagereg.errors import ParameterError
from imagereg.files import atomic
from imagereg.parameters import saved as userfolder
from imagereg.parameters import texts as listing
from imagereg.parameters.spec import ParameterSet, Spec, is_teals, nearest, shared_out

# Under which argument of TweakReg the parameters of a task stand.
ARGUMENTS = {"tweakreg": "configobj", "imagefindpars": "imagefindcfg", "refimagefindpars": "refimagefindcfg"}
TASKS = tuple(ARGUMENTS)


def gather_parameters(configobj=None, imagefindcfg=None, refimagefindcfg=None, flat=()):
    """Put together the parameters of one run; later ones win.

    Parameters
    ----------
    configobj : mapping, str, or None
        Parameters, perhaps with those of a parameter set as a mapping under its name; the name of a ``.cfg``; or
        ``'defaults'`` for the ones last saved with the editor, those of the parameter sets included.
    imagefindcfg, refimagefindcfg : mapping, str, or None
        The same for the parameter sets.
    flat : mapping
        Parameters of tweakreg or of imagefindpars by name.

    Returns
    -------
    task, finding, ref_finding : ParameterSet
        Of tweakreg, imagefindpars and refimagefindpars.

    Raises
    ------
    ParameterError
        A parameter is unknown, or its value is not what is expected.
    InputError
        A file can't be read.
    """
    specs, sources = [Spec.load(name) for name in TASKS], [configobj, imagefindcfg, refimagefindcfg]
    if isinstance(configobj, str) and configobj == "defaults":
        sources = [source or "defaults" for source in sources]
    shares = distributed(_mapping(sources[0], specs[0]))
    for spec, share, source in zip(specs[1:], shares[1:], sources[1:], strict=True):
        share |= spec.given(_mapping(source, spec))
    given = distributed(flat)
    return tuple(ParameterSet(*of) for of in zip(specs, map(operator.or_, shares, given), strict=True))


def starting_values(given, sources, flat):
    """Return the values that the editor of tweakreg begins with, over those last saved.

    Parameters
    ----------
    given : str, list of str, or None
        Names of images.
    sources : sequence of (mapping, str, or None)
        `configobj`, `imagefindcfg`, `refimagefindcfg`, as `gather_parameters` takes them.
    flat : mapping
        Parameters of tweakreg or of imagefindpars by name.

    Returns
    -------
    dict
        By task: ParameterSet, whole, where there are any `sources`; else a dict of what was given.
    """
    names = ",".join(map(os.fspath, [given] if isinstance(given, (str, os.PathLike)) else given or []))
    flat = {**flat, "input": names} if names else flat
    if any(source is not None for source in sources):
        return {values.task: values for values in gather_parameters(*sources, flat)}
    return dict(zip(TASKS, distributed(flat), strict=True))


def read_parameters(path, task):
    """Return what a file holds of parameters, unchecked; see `listing.parse`.

    Parameters
    ----------
    path : str
        The file, or ``'defaults'`` for what was last saved with the editor: nothing where nothing was.
    task : str
        Whose they are, where the file does not tell.
    """
    if path == "defaults":
        path = userfolder.user_parameters(task)
        if path is None:
            return {}
    return listing.parse(atomic.read_text(path), path, Spec.load(task))


def _mapping(given, spec):
    """Parameters as a mapping, read from a file where a name is given."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise ParameterError(f"{spec.task}: parameters are given as {type(given).__name__}, expected a mapping or a "
                             "file name")
    return read_parameters(given, spec.task)


def distributed(values):
    """Share out parameters between tweakreg and its parameter sets.

    Parameters
    ----------
    values : mapping
        By name, flat or in sections.

    Returns
    -------
    list of dict
        Checked values of tweakreg, imagefindpars and refimagefindpars.

    Raises
    ------
    ParameterError
        One is unknown, or its value is not what is expected.
    """
    specs = [Spec.load(name) for name in TASKS]
    mine, *others = shared_out(dict(values), *specs)
    flat = {}
    for name, value in mine.items():
        flat.update(value if isinstance(value, Mapping) and not is_teals(name) else {name: value})
    unknown = [name for name in flat if not is_teals(name) and name not in specs[0]]
    if unknown:
        likely = nearest(unknown[0], [*specs[0].names, *specs[1].names])
        hint = f"; did you mean {likely!r}?" if likely else ""
        raise ParameterError(f"tweakreg: unknown parameter {unknown[0]!r}{hint}")
    return [spec.given(share) for spec, share in zip(specs, (flat, *others), strict=True)]
