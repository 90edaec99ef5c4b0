"""The parameter editor without a screen: one model, which the window and the terminal draw.

A face draws `title`, `path`, `rows` and `message`, passes what the user does to `set`, `load`,
`save` and so on, and draws again after each call, since any of them may change any row. A method
that can't do what was asked changes nothing and raises an `ImageregError` whose text is one
sentence for the status line; others may leave a line in `message`. A row with `pset` opens a
`child`: a model of that parameter set on the same document, so that undo, saving and running are
shared. The face returns when the user is done; `result` is what `edit` returns.
"""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Callable, Mapping, Sequence

from imagereg.errors import ImageregError, ParameterError
from imagereg.interfaces.epar import saved as files
from imagereg.interfaces.epar.rows import Row, inactive, refusal
from imagereg.parameters import ARGUMENTS, TASKS, ParameterSet, Spec, shown
from imagereg.parameters import help as helptext
from imagereg.parameters import saved as userfolder

__all__ = ["TASKS", "Model"]


@dataclasses.dataclass(frozen=True)
class _State:
    """All values at one time, what is saved, and a description of the change that led here."""

    values: dict
    saved: files.Saved
    description: str = ""


@dataclasses.dataclass
class _Document:
    """What the models of a task and of its parameter sets share, with the history of changes."""

    specs: dict
    states: list
    store: Callable | None
    run: Callable | None
    notes: tuple
    message: str
    index: int = 0
    outcome: str = ""
    result: dict | None = None

    @property
    def state(self):
        return self.states[self.index]

    def change(self, description, values, saved=None):
        """Add a state with other values; states that were undone are forgotten."""
        state = self.state
        if values != state.values or saved:
            del self.states[self.index + 1:]
            self.states.append(_State(state.values | values, saved or state.saved, description))
            self.index += 1
        self.message = description

    def step(self, by):
        """Go back or forth in the history."""
        target = self.index + by
        if not 0 <= target < len(self.states):
            raise ParameterError(f"nothing to {'undo' if by < 0 else 'redo'}")
        description = self.states[max(self.index, target)].description
        self.message = f"{'undone' if by < 0 else 'done again'}: {description}"
        self.index = target

    def mark_saved(self, saved):
        """Note that the values are saved, in every state that belongs to the same file."""
        before = self.state.saved
        self.states = [
            dataclasses.replace(state, saved=saved) if state.saved is before else state
            for state in self.states
        ]
        self.result = self.state.values
        self.outcome = "saved"


class Model:
    """Parameters of a task or a parameter set being edited; made by `Model.open` and `child`.

    Attributes
    ----------
    task : str
        Name of the task or of the parameter set.
    spec : Spec
        Its declaration.
    parent : Model or None
        Model from which a parameter set was opened.
    """

    def __init__(self, document: _Document, task: str, parent: Model | None = None):
        self.task = task
        self.spec: Spec = document.specs[task]
        self.parent = parent
        self._document = document
        self._values_at_opening = document.state.values[task]

    @classmethod
    def open(
        cls,
        task: str,
        start: Mapping | None = None,
        *,
        store: Callable | None = None,
        run: Callable | None = None,
    ) -> Model:
        """Return the model of a task and its parameter sets; the arguments are those of `edit`.

        Raises
        ------
        ParameterError
            If there is no such task, or a value in `start` is invalid.
        """
        if task not in TASKS:
            names = ", ".join(TASKS)
            raise ParameterError(f"there is no task {task!r} to edit; expected one of {names}")
        top = Spec.load(task)
        specs = [top, *(Spec.load(p.pset) for p in top.layout if p.pset)]
        if store:
            saved = files.Saved(None, {spec.task: spec.validate() for spec in specs})
        else:
            saved = files.last_saved(specs)
        values = _started(task, saved.values, start or {})
        if store:  # what it keeps is what was handed over
            saved = dataclasses.replace(saved, values=values)
        document = _Document(
            {spec.task: spec for spec in specs},
            [_State(values, saved)],
            store,
            run,
            saved.notes,
            _summary(saved.notes),
        )
        return cls(document, task)

    # ---- what a face draws

    @property
    def title(self) -> str:
        """Name of the task; for a parameter set ``imagefindpars of tweakreg``."""
        return f"{self.task} of {self.parent.task}" if self.parent else self.task

    @property
    def path(self) -> str | None:
        """File that `save` writes; None if a `store` keeps the values."""
        return self._document.state.saved.path

    @property
    def how_to_run(self) -> str:
        """How a run takes what `save` wrote, in a line."""
        if self._document.store:
            return f"{self._top.task} runs with what was saved"
        path = self.path or ""
        if path == userfolder.user_file(self._top.task):
            path = "defaults"
        task, argument = self._top.task, ARGUMENTS[self._top.task]
        option = f"--pars {path}" if task == "tweakreg" else f"{task}={path}"
        return f"Run with it: tweakreg {option}, or TweakReg({argument}={path!r})"

    @property
    def _top(self):
        return self.parent or self

    @property
    def values(self) -> dict[str, ParameterSet]:
        """Values of the task and its parameter sets."""
        return dict(self._document.state.values)

    @property
    def dirty(self) -> bool:
        """Whether any value, in this set or another, differs from what is saved."""
        state = self._document.state
        return state.values != state.saved.values

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return self._document.index > 0

    @property
    def can_run(self) -> bool:
        """Whether there is an Execute."""
        return self._document.run is not None

    @property
    def message(self) -> str:
        """Line for the status line: what was done last. A face may set it."""
        return self._document.message

    @message.setter
    def message(self, text: str) -> None:
        """Set the line."""
        self._document.message = text

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was unknown, missing or wrong in the file that was read last."""
        return self._document.notes

    @property
    def outcome(self) -> str:
        """The last of 'saved', 'executed' and 'aborted'; empty before any of them."""
        return self._document.outcome

    @property
    def result(self) -> dict[str, ParameterSet] | None:
        """Values as last saved or executed; None if there are none, or after `abort`."""
        return None if self.outcome == "aborted" else self._document.result

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows in order; the rows of a section stand together."""
        reasons = inactive(self.spec, self._own)
        return tuple(self._row(p, reasons.get(p.name, "")) for p in self.spec.layout)

    @property
    def _own(self):
        return self._document.state.values[self.task]

    def _row(self, parameter, why):
        state = self._document.state
        pset = parameter.pset
        if pset:
            changed = bool(state.values[pset].changed)
            edited = state.values[pset] != state.saved.values[pset]
            return Row(parameter, None, changed=changed, edited=edited, why=why)
        value = self._own[parameter.name]
        unit = parameter.unit
        if unit != parameter.name:  # sigma is in units of sigma
            unit = self._own.get(unit, unit)
        edited = value != state.saved.values[self.task][parameter.name]
        return Row(parameter, value, unit, value != parameter.default, edited, why)

    def row(self, name: str) -> Row:
        """Return the row of a name or an alias; ParameterError if there is none."""
        found = self.spec[name].name if name in self.spec else name
        for row in self.rows:
            if row.name == found:
                return row
        raise ParameterError(f"parameter `{name}' not found")

    def child(self, name: str) -> Model:
        """Return the model of a parameter set; ParameterError if the name is not one."""
        if not self.row(name).pset:
            raise ParameterError(f"parameter `{name}' is not a pset parameter")
        return Model(self._document, name, self)

    def search(self, text: str, after: str | None = None, *, backward: bool = False) -> str | None:
        """Find the next row with a text in name, comment, section or value, in any case.

        Parameters
        ----------
        text : str
            Text to look for.
        after : str, optional
            Name of the row after which to begin; the search wraps around and comes to this row
            last. By default it begins with the first row, or backward with the last.
        backward : bool
            Search upward.

        Returns
        -------
        str or None
            Name of the row; None if no row has the text.
        """
        rows = self.rows[::-1] if backward else self.rows
        start = 0
        if after:
            start = [row.name for row in rows].index(self.row(after).name) + 1
        for row in rows[start:] + rows[:start]:
            parameter = row.parameter
            whole = "\n".join((row.name, parameter.comment, parameter.section, row.text))
            if text.lower() in whole.lower():
                return row.name
        return None

    def complete(self, name: str, text: str = "") -> list[str]:
        """Return the whole values that a partly typed value of a row may become.

        These are choices, yes and no, or names of files that exist; folders end in a slash. In a
        list of files the last one is completed, and may begin with ``@``.
        """
        row = self.row(name)
        kind = row.parameter.file
        if not kind:
            typed = text.strip().lower()
            return [choice for choice in row.choices if choice.lower().startswith(typed)]
        begin = text[:text.rfind(",") + 1] if kind == "list" else ""
        stem = text[len(begin):].lstrip(" @")
        begin = text[:len(text) - len(stem)]
        found = sorted(glob.glob(glob.escape(os.path.expanduser(stem)) + "*"))
        return [begin + (path + os.sep if os.path.isdir(path) else path) for path in found]

    def help(self, name: str | None = None) -> str:
        """Return the help on one row, or the whole page: plain text, 80 columns."""
        if name is None:
            return helptext.task_help(self.task)
        row = self.row(name)
        if row.pset:
            return helptext.task_help(row.pset)
        return helptext.parameter_help(self.task, row.name)

    # ---- what a user does

    def set(self, name: str, text: str) -> None:
        """Give a parameter a typed value; ParameterError in IRAF's words if it can't have it."""
        row = self.row(name)
        if row.pset:
            raise ParameterError(f"`{name}' is a parameter set: open it to change what it holds")
        try:
            values = self._own.replace(**{row.name: text})
        except ParameterError:
            raise ParameterError(refusal(row.parameter, text)) from None
        self._change(f"{row.name} = {shown(values[row.name])}", [values])

    def unset(self, name: str) -> None:
        """Give a row its default; for a parameter set, all of its defaults."""
        row = self.row(name)
        if row.pset:
            values = self._document.specs[row.pset].validate()
            self._change(f"{row.name} is back at its defaults", [values])
        else:
            values = self._own.replace(**{row.name: row.parameter.default})
            self._change(f"{row.name} is back at its default", [values])

    def unlearn(self, *, everything: bool = False) -> None:
        """Give all rows their defaults; with `everything`, in all sets of the document."""
        specs = self._document.specs.values() if everything else [self.spec]
        names = ", ".join(spec.task for spec in specs)
        self._change(f"{names} back at the defaults", [spec.validate() for spec in specs])

    def _change(self, description, sets):
        changed = {values.task: values for values in sets}
        self._document.change(description, self.values | changed)

    def undo(self) -> None:
        """Undo the last change, in whichever set it was; ParameterError if there is none."""
        self._document.step(-1)

    def redo(self) -> None:
        """Redo the change that was undone last; ParameterError if there is none."""
        self._document.step(+1)

    def load(self, path: str) -> None:
        """Read values from a file, which `save` writes from then on; can be undone.

        What is unknown, missing or wrong in it goes to `notes`. In a child, or with a `store`,
        only the values are taken, and `save` writes where it did.

        Raises
        ------
        InputError, ParameterError
            If the file can't be read, is no parameter file, or one of another task.
        """
        document = self._document
        specs = [self.spec] if self.parent else list(document.specs.values())
        read = files.read(path, specs)
        description = f"read {read.path}"
        document.change(description, self.values | read.values, read if self._owns_file else None)
        document.notes = read.notes
        document.message = "; ".join(filter(None, (description, _summary(read.notes))))

    def save(self, *, force: bool = False) -> None:
        """Save all values in their file, or hand them to the `store`.

        Parameters
        ----------
        force : bool
            Write even if somebody else has changed the file since it was read.

        Raises
        ------
        InputError
            If the file has changed since, or can't be written; nothing is changed then.
        """
        document = self._document
        if document.store:
            document.store(self.values)
            document.mark_saved(files.Saved(None, self.values))
            document.message = "saved"
        else:
            document.mark_saved(files.write(document.state.saved, self.values, force=force))
            document.message = f"saved in {self.path}"

    def save_as(self, path: str, *, force: bool = False) -> None:
        """Write values into another file, which `save` writes from then on.

        In a child, or with a `store`, the file is a copy, of the child's values or of all, and
        `save` writes where it did.

        Parameters
        ----------
        path : str
            Name of the file; ``~`` is understood.
        force : bool
            Replace an existing file.

        Raises
        ------
        InputError
            If the file exists, belongs to this package, or can't be written.
        """
        values = {self.task: self._own} if self.parent else self.values
        saved = files.write(self._document.state.saved, values, path=path, force=force)
        if self._owns_file:
            self._document.mark_saved(saved)
        self.message = f"saved in {saved.path}"

    @property
    def _owns_file(self):
        return not self.parent and not self._document.store

    def run(self, *, save: bool = True) -> object:
        """Execute the task and return what it returns; save changes first, as IRAF's ``:go`` does.

        Parameters
        ----------
        save : bool
            False leaves the saved values as they are, as IRAF's ``:go!`` does.

        Raises
        ------
        ImageregError
            What `save` raises; the task may raise its own.
        """
        run = self._document.run
        if run is None:
            raise ImageregError(f"there is nothing to execute: {self.title} is only edited here")
        if save and self.dirty:
            self.save()
        result = run(self.values)
        self._document.result = self.values
        self._document.outcome = "executed"
        self.message = f"{self.task} was executed"
        return result

    def abort(self) -> None:
        """Leave without saving; a child takes back the changes in its set since it was opened."""
        if self.parent:
            self._change(f"{self.task} is as it was", [self._values_at_opening])
        else:
            self._document.outcome = "aborted"


def _started(task: str, saved: Mapping, start: Mapping) -> dict[str, ParameterSet]:
    """Return the values to begin with: those saved, with those given to `Model.open` on top."""
    values = dict(saved)
    for name, given in start.items():
        if name not in values:
            names = ", ".join(values)
            raise ParameterError(f"{task} has no parameter set {name!r}; expected one of {names}")
        is_whole = isinstance(given, ParameterSet)
        values[name] = given if is_whole else values[name].replace(**given)
    return values


def _summary(sentences: Sequence[str]) -> str:
    """Return one line for the status line: the first sentence, and how many more there are."""
    if len(sentences) > 1:
        return f"{sentences[0]} (and {len(sentences) - 1} more)"
    return "".join(sentences)
