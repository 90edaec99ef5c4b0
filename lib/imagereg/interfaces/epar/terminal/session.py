"""What the keys of the terminal do to a model: the page editor of IRAF, without a terminal."""

from __future__ import annotations

import dataclasses
import os.path
import textwrap

from imagereg.errors import ImageregError, ParameterError
from imagereg.interfaces.epar.terminal import keys, screen
from imagereg.interfaces.epar.terminal.field import EDITS, Field


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What is typed in the bottom line: a command after ``:``, a text to look for after ``/``."""

    kind: str
    field: Field = Field(fresh=False)


@dataclasses.dataclass(frozen=True)
class Reading:
    """A text that is read page by page."""

    lines: tuple
    top: int = 0

    def shown(self, height):
        """Return the lines on a screen of this height, whose last line is not for them."""
        return self.lines[self.top:self.top + height - 1]

    def more(self, height):
        """Whether there are more lines below."""
        return self.top + height - 1 < len(self.lines)

    def moved(self, by):
        """Return the text further on, or further back."""
        return dataclasses.replace(self, top=max(self.top + by, 0))


class Session:
    """An editor in use: `press` takes what the user does, `screen.draw` shows what came of it.

    Attributes
    ----------
    model : Model
        Of the task, or of the parameter set that was opened from it.
    name : str
        The row under the cursor.
    field : Field
        Its value, as it is being typed.
    prompt : Prompt or None
        What is typed in the bottom line.
    reading : Reading or None
        The help or another text that covers the rows.
    candidates : tuple of str
        What the value may become, where that was asked for.
    alarm : bool
        Whether the last key could not do what it should.
    end : {'', 'leave', 'run', 'run!'}
        How the editor was left: 'run' after saving, 'run!' without.
    """

    def __init__(self, model, *, table="vi", height=24):
        self.model, self.table, self.height = model, table, height
        self.prompt = self.reading = None
        self.candidates, self.alarm, self.end = (), False, ""
        self._sought, self._places = "", {}
        self.field = Field()
        self._enter(model.rows[0].name)

    def press(self, action, text=""):
        """Do what a key asks for.

        Parameters
        ----------
        action : str
            One of `keys.TABLES`, or 'type'.
        text : str
            What is typed.
        """
        self.candidates, self.alarm = (), False
        if self.reading:
            return self._read_on(action, text)
        self.model.message = ""
        try:
            if self.prompt:
                self._prompted(action, text)
            elif action in EDITS:
                self._edit(action, text)
            else:
                getattr(self, f"_{action}")()
        except ImageregError as error:
            self.model.message, self.alarm = str(error), True

    # ---- rows

    def _enter(self, name):
        self.name = name
        self.field = Field(self.model.row(name).text, deleted=self.field.deleted)

    def _commit(self):
        """Give the model what was typed; ParameterError where it can't be, and then a new value may be typed."""
        if self._typed:
            self.field = dataclasses.replace(self.field, at=0, fresh=True)
            self.model.set(self.name, self.field.text)
        self._enter(self.name)

    @property
    def _typed(self):
        """Whether the field holds anything but the value."""
        return self.field.text != self.model.row(self.name).text

    def _step(self, by):
        self._commit()
        names = [row.name for row in self.model.rows]
        self._enter(names[min(max(names.index(self.name) + by, 0), len(names) - 1)])

    def _move_up(self):
        self._step(-1)

    def _move_down(self):
        self._step(+1)

    _return = _move_down

    def _move_start(self):
        self._step(-len(self.model.rows))

    def _move_end(self):
        self._step(+len(self.model.rows))

    def _turn(self, by):
        self._commit()
        found, number = screen.page_of(self.name, self.model.rows, self.height)
        if not 0 <= number + by < len(found):
            return self._move_end() if by > 0 else self._move_start()
        self._enter(next(row.name for row in found[number + by] if not isinstance(row, str)))

    def _next_page(self):
        self._turn(+1)

    def _prev_page(self):
        self._turn(-1)

    # ---- values

    def _edit(self, action, text):
        row = self.model.row(self.name)
        if action != "type":
            if not row.pset:
                self.field = getattr(self.field, action)()
        elif self.field.fresh and text in _COMMANDS_OF_ONE_KEY:
            _COMMANDS_OF_ONE_KEY[text](self)
        elif row.pset:
            raise ParameterError(f"`{row.name}' is a parameter set: TAB or :e opens it")
        elif self.field.fresh and text == " " and row.choices:
            choices = row.choices
            self.model.set(row.name, choices[(choices.index(row.text) + 1) % len(choices)])
            self._enter(row.name)
        else:
            self.field = self.field.type(text)

    def _complete(self):
        """Complete the value as far as it goes, or show what it may become; of an old value, what else it may be."""
        row, typed = self.model.row(self.name), self.field.text
        if row.pset:
            return self._open(row.name)
        found = self.model.complete(row.name, typed)
        if self.field.fresh and (row.choices or not found):
            typed, found = "", self.model.complete(row.name)
        if not found:
            raise ParameterError("nothing to complete it with")
        common = os.path.commonprefix([one.lower() for one in found] if row.choices else found)
        if len(found) == 1 or len(common) > len(typed):
            self.field = dataclasses.replace(self.field, fresh=True).type(found[0][:len(common)])
        else:
            self.candidates = tuple(one if row.choices else _last(one) for one in found)

    def _cancel(self):
        self._enter(self.name)

    def _undo(self):
        if not self._typed:
            self.model.undo()
        self._enter(self.name)

    def _redo(self):
        self.model.redo()
        self._enter(self.name)

    def _repaint(self):
        """Nothing: the terminal is painted anew by who draws it."""

    # ---- text to read

    def _get_help(self):
        self._read(keys.page(self.table))

    def _help_on(self, name=None):
        self._read(self.model.help(name))

    def _read(self, text):
        self.reading = Reading(tuple(text.strip("\n").splitlines()))

    def _read_on(self, action, text):
        if action in ("prev_page", "move_up") or text == "b":
            self.reading = self.reading.moved(-1 if action == "move_up" else 1 - self.height)
        elif not self.reading.more(self.height) or action in ("cancel", "exit_noupdate") or text == "q":
            self.reading = None
        else:
            self.reading = self.reading.moved(1 if action in ("move_down", "return") else self.height - 1)

    # ---- the bottom line

    def _colon(self):
        self.prompt = Prompt(":")

    def _find(self):
        self.prompt = Prompt("/")

    def _prompted(self, action, text):
        kind, field = self.prompt.kind, self.prompt.field
        if action in ("cancel", "exit_noupdate") or (action == "del_left" and not field.text):
            self.prompt = None
        elif kind == "/" and self._names_a_file(action, text, field.text):
            self.prompt, self.field = None, self.field.type(f"/{field.text}{text}")
            if action == "complete":
                self._complete()
        elif action in EDITS:
            self.prompt = Prompt(kind, getattr(field, action)(*[text] if action == "type" else []))
        elif action in ("return", "move_down"):
            self.prompt = None
            self._search(field.text) if kind == "/" else self._command(field.text)

    def _names_a_file(self, action, text, typed):
        """Whether what follows ``/`` turns out to be the name of a file and no text to look for."""
        return self.field.fresh and bool(self.model.row(self.name).file) and (
            action == "complete" or (action == "type" and "/" in text and bool(typed)))

    def _search(self, text):
        self._sought = text or self._sought
        self._commit()
        found = self.model.search(self._sought, self.name) if self._sought else None
        if not found:
            raise ParameterError(f"no row holds `{self._sought}'")
        self._enter(found)

    def _command(self, line):
        """Do what a colon command says."""
        if line.startswith("/"):
            return self._search(line[1:])
        word, _, rest = line.strip().partition(" ")
        word, force = (word[:-1], True) if word.endswith("!") else (word, False)
        verb = next((verb for name, verb in _COMMANDS.items() if word and name.startswith(word)), None)
        if not line.strip():
            return
        if not verb:
            raise ParameterError(f"there is no command :{word}; ESC-? lists them")
        if force:
            self._enter(self.name)
        else:
            self._commit()
        verb(self, rest.strip(), force)
        if self.field.fresh:
            self._enter(self.name)

    def _e(self, name, force):
        target = name or self.name
        if name and name not in [row.name for row in (self.model.parent or self.model).rows if row.pset]:
            return self.model.load(name)
        if name and self.model.parent:
            self._close(keep=not force)
        self._open(target)

    def _open(self, name):
        child = self.model.child(name)
        self._places[self.model.task] = name
        self.model = child
        self._enter(child.rows[0].name)

    def _close(self, *, keep):
        """Go back from a parameter set to its task."""
        if not keep:
            self.model.abort()
        self.model = self.model.parent
        self._enter(self._places[self.model.task])

    def _q(self, _, force):
        if self.model.parent:
            self._close(keep=not force)
        elif force:
            self._exit_noupdate()
        else:
            self.model.save()
            self.end = "leave"

    def _exit_update(self):
        self._commit()
        self._q("", False)

    def _exit_noupdate(self):
        (self.model.parent or self.model).abort()
        self.end = "leave"

    def _w(self, name, force):
        if name:
            self.model.save_as(name, force=force)
        else:
            self.model.save(force=force)

    def _r(self, name, force):
        if name:
            self.model.load(name)
        elif not force:
            raise ParameterError("no file is named; :r! goes back to what was saved")
        elif self.model.parent:
            self.model.abort()
        elif self.model.path:
            self.model.load(self.model.path)
        else:
            raise ParameterError("there is no file to go back to")

    def _g(self, _, force):
        if not self.model.can_run:
            raise ParameterError(f"there is nothing to run: {self.model.title} is only edited here")
        if not force and self.model.dirty:
            self.model.save()
        self.end = "run!" if force else "run"

    def _unlearn(self, _, force):
        self.model.unlearn(everything=force)

    def _notes(self, *_):
        lines = (line for note in self.model.notes for line in textwrap.wrap(note, 78))
        self._read("\n".join(lines) or "Nothing was found to be told.")


def _last(path):
    """Return the last part of a name, of a folder with its slash."""
    return path[path.rstrip(os.sep).rfind(os.sep) + 1:]


_COMMANDS_OF_ONE_KEY = {":": Session._colon, "/": Session._find, "?": lambda session: session._help_on(session.name)}
# The first one that begins with what was typed is meant.
_COMMANDS = {
    "edit": Session._e, "quit": Session._q, "write": Session._w, "read": Session._r, "go": Session._g,
    "undo": lambda session, *_: session.model.undo(), "redo": lambda session, *_: session.model.redo(),
    "unset": lambda session, *_: session.model.unset(session.name), "unlearn": Session._unlearn,
    "help": lambda session, name, _: session._help_on(name or None), "notes": Session._notes,
}
