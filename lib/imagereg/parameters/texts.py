"""Parameters as IRAF's lpar and dpar list them, and read back from such a listing or a ``.cfg``."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from imagereg.errors import ParameterError
from imagereg.files import atomic
from imagereg.parameters import saved
from imagereg.parameters.declaration import Value, shown, unquoted
from imagereg.parameters.spec import ParameterSet, Spec

_WIDTH = 80  # columns of a screen
_PROMPT = 32  # column where IRAF's lpar puts what a parameter is for
_FILLER = re.compile("OPTIONAL | (OUTPUT|DESCRIPTION|CREATION|PARAMETERS)")
_DPAR_LINE = re.compile(r"(?P<task>\w+)\.(?P<name>\w+) = (?P<value>.*)")


def lpar_text(sets: Sequence[ParameterSet]) -> str:
    """Return parameters as IRAF's ``lpar`` shows them, a title over all sets but the first."""
    blocks = ["\n".join(_lpar_lines(values)) for values in sets]
    titles = ["", *(f"{values.task}:\n" for values in sets[1:])]
    return "\n\n".join(map("".join, zip(titles, blocks, strict=True))) + "\n"


def _lpar_lines(values: ParameterSet) -> Iterator[str]:
    """Yield the lines of ``--lpar``, as IRAF's lpar prints them."""
    for p in values.spec.layout:
        if p.kind == "action" and not p.pset:
            continue
        name, value = (p.pset, '""') if p.pset else (p.name, _quoted(values[p.name]))
        opening, closing = ("(", ")") if p.hidden else ("", "")
        head = f"{opening + name[:12]:>13} = {value}{closing}"
        line = f"{head:<{_PROMPT - 1}} {p.prompt}"
        # The end of a long line is cut off, but never the value.
        yield line[: max(_WIDTH, len(head))].rstrip()


def dpar_text(sets: Iterable[ParameterSet]) -> str:
    """Return parameters as IRAF's ``dpar`` prints them: a line ``task.name = value`` for each."""
    lines = []
    for values in sets:
        lines += [f"{values.task}.{name} = {_quoted(value)}" for name, value in values.items()]
    return "\n".join([*lines, "# EOF", ""])


def _quoted(value: Value) -> str:
    """Return a value in IRAF's spelling, text in quotes; `unquoted` is the way back."""
    return f'"{value}"' if isinstance(value, str) else shown(value)


def read_parameters(path: str, task: str) -> dict[str, Any]:
    """Return the parameters in a file, unchecked, and its name as ``_file_``; see `parse`.

    Parameters
    ----------
    path : str
        The file; or ``'defaults'`` for what was last saved with the editor, if anything was.
    task : str
        Whose parameters they are if the file does not tell.
    """
    if path == "defaults":
        last_saved = saved.user_parameters(task)
        if last_saved is None:
            return {}
        text = saved.read_memory(last_saved, task)
        return {"_file_": last_saved, **parse(text, last_saved, Spec.load(task))}
    return {"_file_": path, **parse(atomic.read_text(path), path, Spec.load(task))}


def parameter_files(*sources: Mapping | str | None) -> list[str]:
    """Return the files that parameters are from, given as `gather_parameters` takes them."""
    found = []
    for source in sources:
        if isinstance(source, Mapping):
            found.append(source.get("_file_", ""))
        elif source is not None:
            found.append(os.fspath(source))
    return found


def parse(text: str, path: str, spec: Spec) -> dict[str, Any]:
    """Return the parameters in the text of a ``.cfg``, or of a listing by `dpar_text`, unchecked.

    Parameters
    ----------
    text : str
        The text.
    path : str
        Where it is from, for the errors.
    spec : Spec
        Whose parameters they are if the text does not tell.

    Returns
    -------
    dict
        Like a ``.cfg``: `_task_name_`, values by name, sections and parameter sets as dicts.

    Raises
    ------
    ParameterError
        `text` is neither.
    """
    stripped = map(str.strip, text.splitlines())
    lines = [line for line in stripped if line and not line.startswith("#")]
    if lines and _DPAR_LINE.fullmatch(lines[0]):
        return _parse_dpar(lines, path, spec)
    try:
        values = spec.read_cfg(text)
    except ParameterError as error:
        raise ParameterError(f"{path}: {str(error).removeprefix(f'{spec.task}: ')}") from None
    return {"_task_name_": spec.task} | values


def _parse_dpar(lines: list[str], path: str, spec: Spec) -> dict[str, Any]:
    """Read what ``--dpar`` prints, of a task and its parameter sets."""
    tasks: dict[str, dict[str, str]] = {}
    for line in lines:
        found = _DPAR_LINE.fullmatch(line)
        if not found:
            expected = "no line 'task.name = value' as --dpar prints it"
            raise ParameterError(f"{path}: {line[:60]!r} is {expected}")
        tasks.setdefault(found["task"], {})[found["name"]] = unquoted(found["value"].strip())
    task = spec.task if spec.task in tasks else next(iter(tasks))
    return {"_task_name_": task, **tasks.pop(task), **tasks}


def overview(specs: Iterable[Spec]) -> str:
    """Return the names of all parameters, by section, in lines shorter than 80 columns."""
    lines = []
    for spec in specs:
        for section, parameters in spec.sections.items():
            title = _FILLER.sub("", section).lower() or spec.task
            names = " ".join(p.name for p in parameters)
            lines += textwrap.wrap(
                f"{title}: {names}", _WIDTH - 1, subsequent_indent="  ", break_on_hyphens=False
            )
    return "\n".join(lines) + "\n"
