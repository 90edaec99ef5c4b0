"""Parameters as IRAF's lpar and dpar list them, and back from such a listing or a ``.cfg``; an overview of names."""

from __future__ import annotations

import re
import textwrap

from imagereg.errors import ParameterError
from imagereg.parameters.declaration import unquoted

_WIDTH, _PROMPT = 80, 32  # columns: of a screen; where IRAF puts what a parameter is for
_FILLER = re.compile("OPTIONAL | (OUTPUT|DESCRIPTION|CREATION|PARAMETERS)")
_DPAR_LINE = re.compile(r"(?P<task>\w+)\.(?P<name>\w+) = (?P<value>.*)")


def lpar_text(sets):
    """Return parameters as IRAF's ``lpar`` shows them.

    Parameters
    ----------
    sets : iterable of ParameterSet
        The title of each stands over all but the first.
    """
    blocks = ["\n".join(_lpar_lines(values)) for values in sets]
    titles = ["", *(f"{values.task}:\n" for values in sets[1:])]
    return "\n\n".join(title + block for title, block in zip(titles, blocks, strict=True)) + "\n"


def _lpar_lines(values):
    for p in values.spec.layout:
        if p.kind == "action" and not p.pset:
            continue
        name, value = (p.pset, '""') if p.pset else (p.name, _value(values[p.name]))
        head = f"{'(' * p.hidden + name[:12]:>13} = {value}{')' * p.hidden}"
        # What has no room is cut, save the value.
        yield f"{head:<{_PROMPT - 1}} {p.prompt}"[:max(_WIDTH, len(head))].rstrip()


def dpar_text(sets):
    """Return parameters as IRAF's ``dpar`` prints them: a line ``task.name = value`` for each."""
    lines = [f"{values.task}.{name} = {_value(value)}" for values in sets for name, value in values.items()]
    return "\n".join([*lines, "# EOF", ""])


def _value(value):
    """Return a value in IRAF's spelling; `unquoted` is the way back, whatever a text holds."""
    if isinstance(value, str):
        return f'"{value}"'
    return "INDEF" if value is None else ("no", "yes")[value] if isinstance(value, bool) else repr(value)


def parse(text, path, spec):
    """Return what the text of a ``.cfg``, or of a listing by `dpar_text`, holds, unchecked.

    Parameters
    ----------
    text : str
        The text.
    path : str
        Where it is from, for the errors.
    spec : Spec
        Whose parameters they are, where the text does not tell.

    Returns
    -------
    dict
        As of a ``.cfg``: `_task_name_`, values by name, sections and parameter sets as dicts by theirs.

    Raises
    ------
    ParameterError
        `text` is neither.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines or not _DPAR_LINE.fullmatch(lines[0]):
        try:
            values = spec.read_cfg(text)
        except ParameterError as error:
            raise ParameterError(f"{path}: {str(error).removeprefix(f'{spec.task}: ')}") from None
        return {"_task_name_": spec.task} | values
    tasks = {}
    for line in lines:
        found = _DPAR_LINE.fullmatch(line)
        if not found:
            raise ParameterError(f"{path}: {line[:60]!r} is no line 'task.name = value' as --dpar prints it")
        tasks.setdefault(found["task"], {})[found["name"]] = unquoted(found["value"].strip())
    task = spec.task if spec.task in tasks else next(iter(tasks))
    return {"_task_name_": task, **tasks.pop(task), **tasks}


def overview(specs):
    """Return the names of all parameters, by section, each line no longer than 80 columns."""
    lines = []
    for spec in specs:
        for section, parameters in spec.sections.items():
            title = _FILLER.sub("", section).lower() or spec.task
            names = " ".join(p.name for p in parameters)
            lines += textwrap.wrap(f"{title}: {names}", _WIDTH - 1, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines) + "\n"
