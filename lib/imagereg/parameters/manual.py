"""The help of a task as a page for ``man``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from imagereg.parameters.help import Entry, blocks, parse


def man_page(task: str, text: str) -> str:
    """Return a help text in the language of man pages.

    Parameters
    ----------
    task : str
        Name of the task.
    text : str
        Its help, as `imagereg.parameters.help` describes it.
    """
    lines = [f'.TH {task.upper()} 1 "" "imagereg" "imagereg"']
    page = parse(text)
    for title, body in page.sections.items():
        lines += [f'.SH "{title}"', *_paragraphs(body)]
        if title == "PARAMETERS":
            for entry in page.entries:
                lines += _entry(entry)
    return "\n".join([*lines, ""])


def _entry(entry: Entry) -> Iterator[str]:
    """Yield the lines of the man page for a parameter, or for the title of a group."""
    first, *declared = entry.head.splitlines()
    if not entry.name:
        yield f'.SS "{first.strip()}"'
        yield from _paragraphs(entry.prose)
        return
    head = rf"\fB{_escaped(first.strip())}\fR"
    yield from [".TP", head, _escaped(" ".join(map(str.strip, declared)))]
    if entry.prose:
        yield from [".RS", *_paragraphs(entry.prose), ".RE"]


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the lines of paragraphs, lists and examples."""
    for kind, words in blocks(text):
        if kind == "literal":
            example = textwrap.dedent(words).splitlines()
            yield from [".PP", ".nf", *map(_escaped, example), ".fi"]
        elif kind == "item":
            yield from [r".IP \(bu 2", _escaped(words)]
        else:
            yield from [".PP", _escaped(words)]


def _escaped(line: str) -> str:
    """Return a line of text in which nothing means a command to man."""
    line = line.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{line}" if line.startswith((".", "'")) else line
