"""Change a model by keys: the page editor of IRAF, without a terminal."""

from __future__ import annotations

import dataclasses
import os.path
import textwrap

from imagereg.errors import ImageregError, ParameterError
from imagereg.interfaces.epar.model import Model
from imagereg.interfaces.epar.terminal import keys, screen
from imagereg.interfaces.epar.terminal.line_editor import ACTIONS, LineEditor


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What is typed in the bottom line: a command after ``:``, a text to look for after ``/``."""

    kind: str
    editor: LineEditor = LineEditor(fresh=False)


@dataclasses.dataclass(frozen=True)
class Page:
    """A text that is read screen by screen."""

    lines: tuple[str, ...]
    top: int = 0

    def shown(self, height: int) -> tuple[str, ...]:
        """Return the lines on a screen, all but its last line, which holds a prompt."""
        return self.lines[self.top:self.top + height - 1]

    def more(self, height: int) -> bool:
        """Whether there are more lines below."""
        return self.top + height - 1 < len(self.lines)

    def moved(self, by: int) -> Page:
        """Return the page moved on, or back."""
        return dataclasses.replace(self, top=max(self.top + by, 0))


class Session:
    """An editor in use: `press` takes what the user does, `screen.draw` shows the outcome.

    Attributes
    ----------
    model : Model
        Model of the task, or of the parameter set that was opened from it.
    table : str
        Name of the key table.
    height, width : int
        Lines and columns of the screen.
    name : str
        Name of the row under the cursor.
    editor : LineEditor
        Its value, as it is being typed.
    prompt : Prompt or None
        What is typed in the bottom line.
    page : Page or None
        Help or another text that covers the rows.
    candidates : tuple of str
        What the value may become, after a request to complete it.
    alarm : bool
        Whether the last key could not do what it should.
    end : {'', 'leave', 'run', 'run!'}
        How the editor was left: 'run' after saving, 'run!' without.
    """

    def __init__(self, model: Model, *, table: str = "vi", height: int = 24):
        self.model = model
        self.table = table
        self.height = height
        self.width = 80
        self.prompt: Prompt | None = None
        self.page: Page | None = None
        self.candidates: tuple[str, ...] = ()
        self.alarm = False
        self.end = ""
        self._search_text = ""
        self._rows_left: dict[str, str] = {}  # by task, the row from which a set was opened
        self.editor = LineEditor()
        self._enter(model.rows[0].name)

    def press(self, action: str, text: str = "") -> None:
        """Do what a key asks for: one of `keys.TABLES`, or 'type' with the text that is typed."""
        self.candidates = ()
        self.alarm = False
        if self.page:
            self._turn_page(self.page, action, text)
            return
        self.model.message = ""
        try:
            if self.prompt:
                self._edit_prompt(self.prompt, action, text)
            elif action == "click":
                self._click(text)
            elif action in ACTIONS:
                self._edit(action, text)
            else:
                getattr(self, f"_{action}")()
        except ImageregError as error:
            self.model.message = str(error)
            self.alarm = True

    # ---- rows

    def _enter(self, name):
        self.name = name
        self.editor = LineEditor(self.model.row(name).text, deleted=self.editor.deleted)

    def _commit(self):
        """Give the model what was typed; if that raises, a new value may be typed over it."""
        if self._is_typed():
            self.editor = dataclasses.replace(self.editor, cursor=0, fresh=True)
            self.model.set(self.name, self.editor.text)
        self._enter(self.name)

    def _is_typed(self):
        """Whether the line differs from the value of the row."""
        return self.editor.text != self.model.row(self.name).text

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

    def _click(self, name):
        """Go to a row; if it is the one of a parameter set and the cursor is there, open it."""
        if name == self.name and self.model.row(name).pset:
            self._open(name)
            return
        self._commit()
        self._enter(name)

    def _turn(self, by):
        """Go `by` pages on, or back."""
        self._commit()
        pages, number = screen.page_of(self.name, self.model.rows, self.height)
        target = number + by
        if target < 0:
            self._move_start()
        elif target == len(pages):
            self._move_end()
        else:
            self._enter(next(entry.name for entry in pages[target] if not isinstance(entry, str)))

    def _next_page(self):
        self._turn(+1)

    def _prev_page(self):
        self._turn(-1)

    # ---- values

    def _edit(self, action, text):
        """Obey a key in the value of the current row."""
        row = self.model.row(self.name)
        if action != "type":
            if not row.pset:
                self.editor = getattr(self.editor, action)()
        elif self.editor.fresh and text in _KEY_COMMANDS:
            _KEY_COMMANDS[text](self)
        elif row.pset:
            raise ParameterError(f"`{row.name}' is a parameter set: TAB or :e opens it")
        elif self.editor.fresh and text == " " and row.choices:
            following = (row.choices.index(row.text) + 1) % len(row.choices)
            self.model.set(row.name, row.choices[following])
            self._enter(row.name)
        else:
            self.editor = self.editor.type(text)

    def _complete(self):
        """Complete the value as far as it is unique, else show what it may become.

        An old value with choices, or one that can't be completed, shows all there is instead.
        """
        row = self.model.row(self.name)
        if row.pset:
            self._open(row.name)
            return
        typed = self.editor.text
        found = self.model.complete(row.name, typed)
        if self.editor.fresh and (row.choices or not found):
            typed = ""
            found = self.model.complete(row.name)
        if not found:
            raise ParameterError("nothing to complete it with")
        # Choices are matched in any case, names of files are not.
        common = os.path.commonprefix([one.lower() for one in found] if row.choices else found)
        if len(found) == 1 or len(common) > len(typed):
            line = dataclasses.replace(self.editor, fresh=True)
            self.editor = line.type(found[0][:len(common)])
        else:
            self.candidates = tuple(found if row.choices else map(_last_part, found))

    def _cancel(self):
        self._enter(self.name)

    def _undo(self):
        if not self._is_typed():
            self.model.undo()
        self._enter(self.name)

    def _redo(self):
        self.model.redo()
        self._enter(self.name)

    def _repaint(self):
        """Do nothing: the caller redraws the terminal."""

    # ---- text to read

    def _get_help(self):
        self._show(keys.page(self.table))

    def _help_on(self, name=None):
        self._show(self.model.help(name, self.width - 1))

    def _show(self, text):
        self.page = Page(tuple(text.strip("\n").splitlines()))

    def _turn_page(self, page, action, text):
        """Obey a key while a page of text is shown."""
        screenful = self.height - 1
        if action == "move_up":
            self.page = page.moved(-1)
        elif action == "prev_page" or text == "b":
            self.page = page.moved(-screenful)
        elif not page.more(self.height) or action in _GIVE_UP or text == "q":
            self.page = None
        elif action in ("move_down", "return"):
            self.page = page.moved(1)
        else:
            self.page = page.moved(screenful)

    # ---- the bottom line

    def _colon(self):
        self.prompt = Prompt(":")

    def _find(self):
        self.prompt = Prompt("/")

    def _edit_prompt(self, prompt, action, text):
        """Obey a key in the line for a command or a search."""
        line = prompt.editor
        if action in _GIVE_UP or (action == "del_left" and not line.text):
            self.prompt = None
        elif prompt.kind == "/" and self._is_path(action, text, line.text):
            self.prompt = None
            self.editor = self.editor.type(f"/{line.text}{text}")
            if action == "complete":
                self._complete()
        elif action == "complete":
            self._complete_prompt(prompt)
        elif action == "type":
            self.prompt = Prompt(prompt.kind, line.type(text))
        elif action in ACTIONS:
            self.prompt = Prompt(prompt.kind, getattr(line, action)())
        elif action in ("return", "move_down"):
            self.prompt = None
            if prompt.kind == "/":
                self._search(line.text)
            else:
                self._command(line.text)

    def _complete_prompt(self, prompt):
        """Complete a command, or the name of a parameter or of a file after it."""
        begin, blank, last = prompt.editor.text.rpartition(" ")
        if prompt.kind == "/":
            found = self.model.name_completions(last)
        elif not blank:
            found = [name for name in _COMMANDS if name.startswith(last)]
        elif begin.rstrip("!") in ("help", "h"):
            found = self.model.name_completions(last)
        else:
            found = self.model.file_completions(last)
        common = os.path.commonprefix(found)
        if not found:
            raise ParameterError("nothing to complete it with")
        if common == last:
            self.candidates = tuple(found)
        else:
            line = LineEditor(fresh=False).type(f"{begin}{blank}{common}")
            self.prompt = Prompt(prompt.kind, line)

    def _is_path(self, action, text, typed):
        """Whether what follows ``/`` turns out to be a path and no text to look for."""
        if not self.editor.fresh or not self.model.row(self.name).parameter.file:
            return False
        if action == "complete":
            return not self.model.name_completions(typed)
        return action == "type" and "/" in text and typed != ""

    def _search(self, text):
        """Go to the next row that holds a text, by default the one looked for last."""
        self._search_text = text or self._search_text
        self._commit()
        found = None
        if self._search_text:
            found = self.model.search(self._search_text, self.name)
        if not found:
            raise ParameterError(f"no row holds `{self._search_text}'")
        self._go_to(found)

    def _go_to(self, full_name):
        """Go to a row of the task or of any parameter set, which is opened then."""
        self.model.most_used = False
        owner, _, name = full_name.rpartition(".")
        here = self.model.task if self.model.parent else ""
        if owner != here:
            if here:
                self._close(keep=True)
            if owner:
                self._open(owner)
        self._enter(name)

    def _command(self, line):
        """Do what a colon command says."""
        if line.startswith("/"):
            self._search(line[1:])
            return
        word, _, argument = line.strip().partition(" ")
        if not word:
            return
        force = word.endswith("!")
        word = word.removesuffix("!")
        command = None
        if word:
            command = next((do for name, do in _COMMANDS.items() if name.startswith(word)), None)
        if not command:
            raise ParameterError(f"there is no command :{word}; ESC-? lists them")
        if force:
            self._enter(self.name)
        else:
            self._commit()
        command(self, argument.strip(), force)
        if self.editor.fresh:
            self._enter(self.name)

    # ---- colon commands: each takes its argument, and whether ! was said

    def _e(self, name, force):
        """Open a parameter set, or read a file (``:e``)."""
        target = name or self.name
        task = self.model.parent or self.model
        if name and name not in [row.pset for row in task.rows]:
            self.model.load(name)
            return
        if name and self.model.parent:
            self._close(keep=not force)
        self._open(target)

    def _open(self, name):
        child = self.model.child(name)
        self.model.most_used = False
        self._rows_left[self.model.task] = name
        self.model = child
        self._enter(child.rows[0].name)

    def _close(self, *, keep):
        """Go back from a parameter set to its task."""
        if not keep:
            self.model.abort()
        self.model = self.model.parent
        self._enter(self._rows_left[self.model.task])

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
        """Read a file, or go back to what was saved (``:r``)."""
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

    def _most(self, *_):
        """Show the few rows that most users need, or all again."""
        if self.model.parent:
            self._close(keep=True)
        self.model.most_used = not self.model.most_used
        self._enter(self.model.rows[0].name)

    def _notes(self, *_):
        lines = [line for note in self.model.notes for line in textwrap.wrap(note, 78)]
        self._show("\n".join(lines) or "Nothing was found to be told.")


def _last_part(path):
    """Return the last part of a path; of a folder with its slash."""
    return path[path.rstrip(os.sep).rfind(os.sep) + 1:]


_GIVE_UP = ("cancel", "exit_noupdate")
_KEY_COMMANDS = {
    ":": Session._colon,
    "/": Session._find,
    "?": lambda session: session._help_on(session.name),
}
_COMMANDS = {  # an abbreviation means the first that begins with it
    "edit": Session._e,
    "quit": Session._q,
    "write": Session._w,
    "read": Session._r,
    "go": Session._g,
    "undo": lambda session, *_: session.model.undo(),
    "redo": lambda session, *_: session.model.redo(),
    "unset": lambda session, *_: session.model.unset(session.name),
    "unlearn": lambda session, _, force: session.model.unlearn(everything=force),
    "help": lambda session, name, _: session._help_on(name or None),
    "notes": Session._notes,
    "most": Session._most,
}
