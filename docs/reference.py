"""Write the pages of the parameters from their declarations and the help texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from imagereg.parameters import Spec
from imagereg.parameters import help as pages


def write(task, path):
    """Write the page of a task's parameters in Markdown, to be included by another page.

    Parameters
    ----------
    task : str
        Name of the task.
    path : str or Path
        The file.
    """
    page = pages.parse(pages.refreshed(pages.task_help(task), Spec.load(task)))
    parts = [part for entry in page.entries for part in _entry(entry, task)]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _entry(entry, task) -> Iterator[str]:
    """Yield the paragraphs of a parameter, or of the title of a group."""
    first, *declared = (line.strip() for line in entry.head.splitlines())
    if entry.name:
        yield f"(parameter-{task}-{entry.name})="
        yield f"**`{first}`** {_escaped(' '.join(declared))}"
    else:
        yield f"### {first.capitalize()}"
    for kind, words in pages.blocks(entry.prose):
        if kind == "literal":
            yield f"```text\n{words}\n```"
        else:
            text = "".join(_linked(piece, target) for piece, target in pages.linked(words, task))
            yield f"- {text}" if kind == "item" else text


def _linked(piece, target):
    """Return a piece of a paragraph, as a link where it names a parameter."""
    task, _, name = target.rpartition(".")
    task = task or "tweakreg"
    if name in Spec.load(task).names:
        return f"[`{piece}`](#parameter-{task}-{name})"
    return _escaped(piece)


def _escaped(words):
    """Return words in which nothing means a command to Markdown."""
    return re.sub(r"([\\*_`<>\[\]|~$])", r"\\\1", words)
