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
from imagereg.interfaces.epar.document import Document, State
from imagereg.interfaces.epar.rows import MOST_USED, Row, inactive, refusal
from imagereg.parameters import ARGUMENTS, TASKS, ParameterSet, Spec, shown
from imagereg.parameters import help as helptext
from imagereg.parameters import saved as userfolder

__all__ = ["TASKS", "Model"]


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

    def __init__(self, document: Document, task: str, parent: Model | None = None):
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
        document = Document(
            {spec.task: spec for spec in specs},
            [State(values, saved)],
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
        task = self._top.task
        if task not in ARGUMENTS:
            return f"Run with it: {task} --pars {path}"
        argument = ARGUMENTS[task]
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
    def most_used(self) -> bool:
        """Whether `rows` are only the few that most users need. A face may set it."""
        return self._document.most_used

    @most_used.setter
    def most_used(self, on: bool) -> None:
        """Set it; ParameterError if there are no such rows, as in a set by itself."""
        if on and self._top.task != "tweakreg":
            raise ParameterError(f"{self.task} has no shorter view")
        self._document.most_used = on

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows in order, those of a section together; with `most_used` from all sets."""
        if self.most_used and not self.parent:
            return tuple(self.row(name) for name in MOST_USED)
        return self._own_rows

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """All rows of the task, with those of each parameter set below its button."""
        rows: list[Row] = []
        for row in self._own_rows:
            rows.append(row)
            if row.pset:
                inner = self.child(row.pset)._own_rows
                rows += [dataclasses.replace(one, owner=row.pset) for one in inner]
        return tuple(rows)

    @property
    def _own_rows(self):
        reasons = inactive(self.spec, self._own)
        return tuple(self._row(p, reasons.get(p.name, "")) for p in self.spec.layout)

    @property
    def _own(self):
        return self._document.state.values[self.task]

    def _row(self, parameter, why):
        """Return a parameter as a row of the editor, with its value and state."""
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
        """Return the row of a name or an alias; ParameterError if there is none.

        ``imagefindpars.threshold`` is a row of a parameter set, here as in the other methods.
        """
        holder, own = self._at(name)
        found = holder.spec[own].name if own in holder.spec else own
        for row in holder._own_rows:
            if row.label == found:
                return row if holder is self else dataclasses.replace(row, owner=holder.task)
        raise ParameterError(f"parameter `{name}' not found")

    def _at(self, name):
        """Return the model that a name belongs to, and what it is called there."""
        owner, dot, own = name.rpartition(".")
        return (self.child(owner), own) if dot else (self, name)

    def child(self, name: str) -> Model:
        """Return the model of a parameter set; ParameterError if the name is not one."""
        if not any(row.pset == name for row in self._own_rows if row.pset):
            raise ParameterError(f"parameter `{name}' is not a pset parameter")
        return Model(self._document, name, self)

    def search(self, text: str, after: str | None = None, *, backward: bool = False) -> str | None:
        """Find the next row with a text in name, comment, section or value, in any case.

        The rows of this set come first, then those of the task and of its other sets.

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
            Name of the row as the model of the task knows it; None if no row has the text.
        """
        own = self.task if self.parent else ""
        rows = sorted(self._top.all_rows, key=lambda row: row.owner != own)
        if backward:
            rows.reverse()
        start = 0
        if after:
            name = self.row(after).name
            full_name = f"{own}.{name}" if own else name
            start = [row.name for row in rows].index(full_name) + 1
        for row in rows[start:] + rows[:start]:
            if _holds(row, text.lower()):
                return row.name
        return None

    def name_completions(self, typed: str) -> list[str]:
        """Return the names of parameters, of all sets, that begin with what is typed."""
        names = [row.name for row in self._top.all_rows]
        names += [row.label for row in self._top.all_rows if row.owner]
        return sorted({name for name in names if name.startswith(typed)})

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
        return [begin + path for path in self.file_completions(stem)]

    def file_completions(self, typed: str) -> list[str]:
        """Return the names of files that begin with what is typed; folders end in a slash."""
        found = sorted(glob.glob(glob.escape(os.path.expanduser(typed)) + "*"))
        return [path + os.sep if os.path.isdir(path) else path for path in found]

    def help(self, name: str | None = None, width: int | None = None) -> str:
        """Return the help on one row, or the whole page: plain text, of 80 columns or wrapped."""
        if name is None:
            return helptext.wrapped(helptext.task_help(self.task), width)
        row = self.row(name)
        if row.pset:
            return helptext.wrapped(helptext.task_help(row.pset), width)
        return helptext.parameter_help(row.owner or self.task, row.label, width)

    # ---- what a user does

    def set(self, name: str, text: str) -> None:
        """Give a parameter a typed value; ParameterError in IRAF's words if it can't have it."""
        row = self.row(name)
        if row.pset:
            raise ParameterError(f"`{name}' is a parameter set: open it to change what it holds")
        holder, own = self._at(row.name)
        try:
            values = holder._own.replace(**{own: text})
        except ParameterError:
            raise ParameterError(refusal(row.parameter, text)) from None
        self._change(f"{row.name} = {shown(values[own])}", [values])

    def unset(self, name: str) -> None:
        """Give a row its default; for a parameter set, all of its defaults."""
        row = self.row(name)
        if row.pset:
            values = self._document.specs[row.pset].validate()
            self._change(f"{row.name} is back at its defaults", [values])
        else:
            holder, own = self._at(row.name)
            values = holder._own.replace(**{own: row.parameter.default})
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


def _holds(row: Row, text: str) -> bool:
    """Whether a row has a text, in small letters, in what a user sees of it."""
    name = row.name if "." in text else row.label
    parameter = row.parameter
    whole = "\n".join((name, parameter.comment, parameter.section, row.text))
    return text in whole.lower()


def _summary(sentences: Sequence[str]) -> str:
    """Return one line for the status line: the first sentence, and how many more there are."""
    if len(sentences) > 1:
        return f"{sentences[0]} (and {len(sentences) - 1} more)"
    return "".join(sentences)
