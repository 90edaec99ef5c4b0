"""Draw a session as text: the screen of IRAF's eparam.

A line is a list of (style, text), as prompt_toolkit takes it. Every mark is also a character, so
that any terminal will do. Colours are the two of a terminal that can be read on black and on white.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import textwrap
from collections.abc import Sequence
from typing import Any

from imagereg.interfaces.epar.rows import Row

_HEAD = 3  # lines above the rows
_FOOT = 2  # lines below the rows
_HELP = "ESC-? for HELP"
_CHANGED = "bold ansimagenta"
_WRONG = "bold ansired"
_INDENT = 6  # columns left of the description, where More stands
# Columns of a value: every default and choice fits into 16 (the longest has 15); wide screens give
# names of files up to 40, and the rest to the comments.
_VALUE_WIDTHS = (16, 40)
_NARROWEST = 12  # columns that a narrow screen keeps for a value; names are cut there

Line = list[tuple[str, str]]


def pages(rows: Sequence[Row], height: int) -> list[list[str | Row]]:
    """Distribute rows and the headings of their sections over pages for a screen of so many lines.

    A heading never stands without its first row.
    """
    room = max(height - _HEAD - _FOOT, 2)
    result: list[list[str | Row]] = [[]]
    for section, members in itertools.groupby(rows, key=lambda row: row.parameter.section):
        for index, row in enumerate(members):
            block = [section, row] if section and index == 0 else [row]
            if len(result[-1]) + len(block) > room:
                result.append([])
            result[-1] += block
    return result


def page_of(name: str, rows: Sequence[Row], height: int) -> tuple[list[list[str | Row]], int]:
    """Return the `pages`, and the index of the page that a row is on."""
    found = pages(rows, height)
    for index, page in enumerate(found):
        if any(isinstance(entry, Row) and entry.name == name for entry in page):
            return found, index
    raise KeyError(name)


def draw(session: Any, width: int, height: int) -> tuple[list[Line], tuple[int, int]]:
    """Return the lines of the screen, and the column and the line of the cursor.

    There are `height` lines, of `width` columns at most.
    """
    if session.page:
        return _page(session.page, width, height)
    rows = session.model.rows
    found, number = page_of(session.name, rows, height)
    columns = _Columns.of(rows, width)
    lines = _head(session.model, width, more=number > 0)
    cursor = (0, 0)
    for entry in found[number]:
        if isinstance(entry, str):
            lines.append([("bold", f"{entry} ".ljust(width - 1, "-")[:width - 1])])
        elif entry.name == session.name:
            line, x = _current_row(entry, session.editor, columns)
            cursor = (x, len(lines))
            lines.append(line)
        else:
            lines.append(_row(entry, columns))
    lines += [[] for _ in range(height - _FOOT - len(lines))]
    lines += _foot(session, width, more=number < len(found) - 1)
    if session.prompt:
        lines[-1], x = _prompt(session, width)
        cursor = (x, len(lines) - 1)
    over = _in_columns(session.candidates, width, height // 3) or _long_message(session, width)
    return _overlay(lines, over, cursor[1])[:height], cursor


def row_at(session: Any, height: int, y: int) -> str:
    """Return the name of the row that is drawn in line `y`; empty if there is none."""
    found, number = page_of(session.name, session.model.rows, height)
    index = y - _HEAD
    if not 0 <= index < len(found[number]):
        return ""
    entry = found[number][index]
    return "" if isinstance(entry, str) else entry.name


@dataclasses.dataclass(frozen=True)
class _Columns:
    """Width of the names with their parenthesis, of the values, and of the screen."""

    name: int
    value: int
    width: int

    @classmethod
    def of(cls, rows, width):
        name = max(len(row.name) for row in rows) + 1
        comment = max(len(_comment(row)) for row in rows)
        shortest, longest = _VALUE_WIDTHS
        name = max(min(name, width - _NARROWEST), 1)
        value = min(max(width - name - comment - 5, shortest), longest)
        return cls(name, max(min(value, width - name - 3), 1), width)

    @property
    def start(self):
        """Column where values begin."""
        return self.name + 2

    def rest(self, row, end):
        """Return the text right of a value that ends in column `end`."""
        closing = ")" if row.parameter.hidden else " "
        mark = "*" if row.changed else " "
        text = f"{closing}{mark}{_comment(row)}"
        return text[end - self.start - self.value:][:max(self.width - end - 1, 0)]


def _comment(row):
    comment = row.parameter.comment
    return f"{comment} ({row.unit})" if row.unit else comment


def _value(row, width):
    """Return the value right-justified in its column, cut if it is too long."""
    text = ":e to open" if row.pset else row.text
    return text.rjust(width) if len(text) <= width else f"{text[:width - 1]}>"


def _name(row, columns):
    opening = "(" if row.parameter.hidden else ""
    return f"{opening}{row.name}"[: columns.name].ljust(columns.name) + ("- " if row.why else "= ")


def _style(row):
    marks = {_CHANGED: row.changed, "dim": row.why}
    return " ".join(style for style, on in marks.items() if on)


def _row(row, columns):
    rest = columns.rest(row, columns.start + columns.value)
    return [(_style(row), _name(row, columns) + _value(row, columns.value) + rest)]


def _current_row(row, editor, columns):
    """Return the line of the row under the cursor, and the column of the cursor."""
    if editor.fresh and editor.text == row.text:
        value = _value(row, columns.value)
        x = 0
    else:
        room = max(columns.width - columns.start - 1, 1)
        value, x = _visible(editor, min(max(len(editor.text) + 1, columns.value), room))
    rest = columns.rest(row, columns.start + len(value))
    style = _style(row)
    line = [(style, _name(row, columns)), ("reverse", value), (style, rest)]
    return line, columns.start + x


def _visible(editor, width):
    """Return the part of a line around its cursor that fits, padded, and the cursor in it."""
    first = max(editor.cursor - width + 1, 0)
    return editor.text[first:first + width].ljust(width), editor.cursor - first


def _head(model, width, *, more):
    """Return the lines above the rows: package, file and task."""
    package = "PACKAGE = imagereg"
    state = " (not saved)" if model.dirty else ""
    path = model.path or ""
    home = os.path.expanduser("~") + os.sep
    if path.startswith(home):
        path = f"~{os.sep}{path.removeprefix(home)}"
    title = f"   TASK = {model.title}"
    if model.most_used and not model.parent:
        title += "   the most used parameters (:most shows all)"
    right = max(width - len(package) - 1, 0)
    room = max(right - len(state) - 3, 0)
    if len(path) > room:
        path = f"...{path[len(path) - room + 3:]}" if room > 3 else ""
    return [
        [("bold", package), ("", (path + state).rjust(right)[:right])],
        [("bold", title[:width - 1])],
        [("underline", "More")] if more else [],
    ]


def _foot(session, width, *, more):
    """Return the two lines at the bottom: the description of the row, and the message."""
    message = session.model.message
    description = _description(session.model.row(session.name))
    room = max(width - _INDENT - len(_HELP) - 2, 10)
    wrapped = textwrap.wrap(
        description, room, max_lines=1 if message else 2, placeholder=" ..."
    )
    first, second = [*wrapped, "", ""][:2]
    mark = "More" if more else ""
    first = " " * (_INDENT - len(mark)) + first
    left = max(width - len(_HELP) - 1, 0)
    second = message or " " * _INDENT + second
    return [
        [("underline", mark), ("", first[:width - 1])],
        [(_WRONG if session.alarm else "", second.ljust(left)[:left]), ("bold", _HELP)],
    ]


def _description(row):
    """Return sentences on what a row is for, what it takes, and why it is not in use."""
    sentences = [f"{row.why[0].upper()}{row.why[1:]}."] if row.why else []
    if row.pset:
        sentences.append(f"{row.parameter.comment}. TAB or :e opens it.")
    else:
        sentences.append(row.parameter.description)
        if row.changed:
            sentences.append(f"Default: {row.default or 'empty'}")
    return " ".join(sentences)


def _prompt(session, width):
    """Return the bottom line while something is typed there, and the column of the cursor."""
    text, x = _visible(session.prompt.editor, max(width - 2, 1))
    return [("", session.prompt.kind + text.rstrip(" "))], x + 1


def _long_message(session, width):
    """Return the lines of a message that is too long for the bottom line; else none."""
    message = session.model.message
    if session.prompt or len(message) <= width - len(_HELP) - 2:
        return []
    return textwrap.wrap(message, width - 1)


def _in_columns(texts, width, height):
    """Return texts side by side in as many lines as needed, or as there is room for."""
    if not texts:
        return []
    column = min(max(map(len, texts)) + 2, width - 1)
    across = max((width - 1) // column, 1)
    lines = [
        "".join(text[:column - 1].ljust(column) for text in texts[i:i + across]).rstrip()
        for i in range(0, len(texts), across)
    ]
    if len(lines) > height:
        fitting = height - 1
        lines[fitting:] = [f"... and {len(texts) - fitting * across} more"]
    return lines


def _overlay(lines, texts, y):
    """Lay texts over the lines at the bottom, or at the top where they would hide line `y`.

    If `y` is the last line, a prompt stands there, and stays.
    """
    if not texts:
        return lines
    over = [[("", text)] for text in texts]
    last = len(lines)
    if y == last - 1:
        last -= 1
    first = last - len(over)
    if first <= y < last:
        return over + lines[len(over):]
    return lines[:first] + over + lines[last:]


def _page(page, width, height):
    """Draw a page of text with the prompt at its end."""
    shown = page.shown(height)
    lines = [[("", line[:width])] for line in shown]
    lines += [[] for _ in range(height - 1 - len(shown))]
    more = page.more(height)
    end = "[SPACE: more, b: back, q: leave]" if more else "[hit any key to continue]"
    lines.append([("reverse", end[:width - 1])])
    return lines, (min(len(end), width - 1), height - 1)
