"""What the editor shows in a terminal, as text: the screen of IRAF's eparam.

A line is a list of (style, text), as prompt_toolkit takes it. The styles are bold, reverse, underline and dim, and
nothing rests on them alone: any terminal will do.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import textwrap

HEAD, FOOT = 3, 2  # lines above and below the rows
_HELP = "ESC-? for HELP"
_INDENT = 6  # room for More
_SHORTEST, _LONGEST = 16, 40  # of a value


def pages(rows, height):
    """Share out rows and their headings.

    Parameters
    ----------
    rows : sequence of Row
        All of them.
    height : int
        Lines of the screen.

    Returns
    -------
    list of list of (str or Row)
        What stands on each page; a heading never without its first row.
    """
    result = [[]]
    for section, members in itertools.groupby(rows, key=lambda row: row.section):
        for block in _blocks(section, members):
            if len(result[-1]) + len(block) > max(height - HEAD - FOOT, 2):
                result.append([])
            result[-1] += block
    return result


def _blocks(section, rows):
    first, *others = rows
    yield [section, first] if section else [first]
    yield from ([row] for row in others)


def page_of(name, rows, height):
    """Return the `pages`, and the index of the one that a row is on."""
    found = pages(rows, height)
    return found, next(i for i, page in enumerate(found) if any(getattr(row, "name", None) == name for row in page))


def draw(session, width, height):
    """Draw the screen.

    Parameters
    ----------
    session : session.Session
        What is shown.
    width, height : int
        Columns and lines of the screen.

    Returns
    -------
    lines : list of list of (str, str)
        Style and text; `height` lines of `width` columns at most.
    cursor : (int, int)
        Its column and line.
    """
    if session.reading:
        return _reading(session.reading, width, height)
    rows = session.model.rows
    found, number = page_of(session.name, rows, height)
    columns = _Columns.of(rows, width)
    lines, cursor = _head(session.model, width, more=number > 0), (0, 0)
    for entry in found[number]:
        if isinstance(entry, str):
            lines.append([("bold", f"{entry} ".ljust(width - 1, "-")[:width - 1])])
        elif entry.name == session.name:
            line, x = _current(entry, session.field, columns)
            cursor = x, len(lines)
            lines.append(line)
        else:
            lines.append(_row(entry, columns))
    lines += [[] for _ in range(height - FOOT - len(lines))]
    lines += _foot(session, width, more=number < len(found) - 1)
    if session.prompt:
        lines[-1], x = _prompt(session, width)
        cursor = x, len(lines) - 1
    over = _in_columns(session.candidates, width, height // 3) or _long(session, width)
    return _laid_over(lines, over, cursor[1])[:height], cursor


@dataclasses.dataclass(frozen=True)
class _Columns:
    """How wide the names and the values are, and the screen."""

    name: int
    value: int
    width: int

    @classmethod
    def of(cls, rows, width):
        name = max(len(row.name) for row in rows) + 1
        comment = max(len(_comment(row)) for row in rows)
        return cls(name, min(max(width - name - comment - 5, _SHORTEST), _LONGEST), width)

    @property
    def start(self):
        """Where values begin."""
        return self.name + 2

    def rest(self, row, end):
        """Return what stands right of a value that ends in column `end`."""
        text = f"{')' if row.hidden else ' '}{'*' if row.changed else ' '}{_comment(row)}"
        return text[end - self.start - self.value:][:max(self.width - end - 1, 0)]


def _comment(row):
    return f"{row.comment} ({row.unit})" if row.unit else row.comment


def _shown(row, width):
    """Return the value as it stands in its column, cut where it is longer."""
    text = ":e to open" if row.pset else row.text
    return text.rjust(width) if len(text) <= width else f"{text[:width - 1]}>"


def _name(row, columns):
    return f"{'(' if row.hidden else ''}{row.name}".ljust(columns.name) + ("= " if row.active else "- ")


def _style(row):
    return " ".join(["bold"] * row.changed + ["dim"] * (not row.active))


def _row(row, columns):
    rest = columns.rest(row, columns.start + columns.value)
    return [(_style(row), _name(row, columns) + _shown(row, columns.value) + rest)]


def _current(row, field, columns):
    """Return the line of the row under the cursor, and the column of the cursor."""
    if field.fresh and field.text == row.text:
        shown, x = _shown(row, columns.value), columns.start
    else:
        room = max(columns.width - columns.start - 1, 1)
        shown, x = _window(field, min(max(len(field.text) + 1, columns.value), room))
        x += columns.start
    rest = columns.rest(row, columns.start + len(shown))
    return [(_style(row), _name(row, columns)), ("reverse", shown), (_style(row), rest)], x


def _window(field, width):
    """Return the part of a field around its cursor that fits, padded, and where the cursor is in it."""
    first = max(field.at - width + 1, 0)
    return field.text[first:first + width].ljust(width), field.at - first


def _head(model, width, *, more):
    package, state = "PACKAGE = imagereg", " (not saved)" if model.dirty else ""
    path, home = model.path or "", os.path.expanduser("~") + os.sep
    path = f"~{os.sep}{path.removeprefix(home)}" if path.startswith(home) else path
    room = max(width - len(package) - len(state) - 4, 0)
    path = path if len(path) <= room else f"...{path[len(path) - room + 3:]}" if room > 3 else ""
    right = (path + state).rjust(width - len(package) - 1)[:max(width - len(package) - 1, 0)]
    return [[("bold", package), ("", right)], [("bold", f"   TASK = {model.title}"[:width - 1])],
            [("underline", "More")] if more else []]


def _foot(session, width, *, more):
    """Return the two lines at the bottom: what the row takes, and what there is to say."""
    message = session.model.message
    row = session.model.row(session.name)
    room = max(width - _INDENT - len(_HELP) - 2, 10)
    told = textwrap.wrap(_told(row), room, max_lines=1 if message else 2, placeholder=" ...")
    first, second = [*told, "", ""][:2]
    second = message if message else " " * _INDENT + second
    return [[("underline", "More" if more else ""), ("", (" " * (_INDENT - 4 * more) + first)[:width - 1])],
            [("", second.ljust(width - len(_HELP) - 1)[:max(width - len(_HELP) - 1, 0)]), ("bold", _HELP)]]


def _told(row):
    """Say what a row is for, what it takes, and why it does not count."""
    sentences = [f"{row.why[0].upper()}{row.why[1:]}."] if row.why else []
    if row.pset:
        return " ".join([*sentences, f"{row.comment}. TAB or :e opens it."])
    default = [f"Default: {row.default or 'empty'}"] if row.changed else []
    return " ".join([*sentences, row.parameter.description, *default])


def _prompt(session, width):
    """Return the bottom line while something is typed there, and the column of the cursor."""
    shown, x = _window(session.prompt.field, max(width - 2, 1))
    return [("", session.prompt.kind + shown.rstrip(" "))], x + 1


def _long(session, width):
    """Return the message where it needs more than its place in the bottom line: list of lines."""
    message = session.model.message
    return textwrap.wrap(message, width - 1) if len(message) > width - len(_HELP) - 2 and not session.prompt else []


def _in_columns(texts, width, height):
    """Return texts side by side in as many lines as needed, or as there is room for."""
    if not texts:
        return []
    wide = min(max(map(len, texts)) + 2, width - 1)
    across = max((width - 1) // wide, 1)
    lines = ["".join(text[:wide - 1].ljust(wide) for text in texts[i:i + across]).rstrip()
             for i in range(0, len(texts), across)]
    if len(lines) > height:
        kept = height - 1
        lines[kept:] = [f"... and {len(texts) - kept * across} more"]
    return lines


def _laid_over(lines, over, y):
    """Put lines over those at the bottom, or at the top where they would hide line `y`; a prompt stays."""
    if not over:
        return lines
    over = [[("", line)] for line in over]
    last = len(lines) - (y == len(lines) - 1)
    return over + lines[len(over):] if last - len(over) <= y < last else \
        lines[:last - len(over)] + over + lines[last:]


def _reading(reading, width, height):
    """Draw a page of text that is read."""
    shown = reading.shown(height)
    lines = [[("", line[:width])] for line in shown] + [[] for _ in range(height - 1 - len(shown))]
    end = "[SPACE: more, b: back, q: leave]" if reading.more(height) else "[hit any key to continue]"
    return [*lines, [("reverse", end[:width - 1])]], (min(len(end), width - 1), height - 1)
