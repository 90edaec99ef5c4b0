"""What an editor of parameters shows and does, without a screen: one model, which every face draws.

`Model.open` gives the model of a task. A face shows `title`, `path`, `rows` and `message`; passes what the user types
to `set`, `load`, `save` and so on; and draws again after each call, since any of them may change any row. Verbs that
can't do what was asked raise an `ImageregError`, whose text is one sentence for the status line, and change nothing;
those that can leave a word in `message`. A parameter set is a row with `pset`, which opens a `child`: a model of the
same class on the same document, so that undo, saving and running are one for all. The face returns when the user is
done; `kept` is what `edit` returns.
"""

from __future__ import annotations

import dataclasses
import glob
import os

from imagereg.errors import ImageregError, ParameterError
from imagereg.interfaces.epar import kept as places
from imagereg.interfaces.epar import rules
from imagereg.interfaces.epar.row import Row, refusal
from imagereg.parameters import help as helptext
from imagereg.parameters.declaration import shown
from imagereg.parameters.gather import TASKS
from imagereg.parameters.spec import ParameterSet, Spec


@dataclasses.dataclass(frozen=True)
class _State:
    """Values of all sets at one time, what they are kept in, and what was done to get there."""

    values: dict
    kept: places.Kept
    deed: str = ""


@dataclasses.dataclass
class _Document:
    """What the models of a task and of its parameter sets share."""

    specs: dict
    states: list
    store: object = None
    run: object = None
    now: int = 0
    outcome: str = ""
    message: str = ""
    notes: tuple = ()
    result: dict | None = None

    @property
    def state(self):
        return self.states[self.now]

    def change(self, deed, values, kept=None):
        """Go on to other values; what was undone before is forgotten."""
        if values != self.state.values or kept:
            del self.states[self.now + 1:]
            self.states.append(_State(self.state.values | values, kept or self.state.kept, deed))
            self.now += 1
        self.message = deed

    def step(self, by):
        """Go back or forth in what was done."""
        if not 0 <= self.now + by < len(self.states):
            raise ParameterError(f"nothing to {'undo' if by < 0 else 'redo'}")
        deed = self.states[max(self.now, self.now + by)].deed
        self.now += by
        self.message = f"{'undone' if by < 0 else 'done again'}: {deed}"

    def keep(self, kept):
        """Know that the values are kept now, and for every state with them in one place that it is not elsewhere."""
        old = self.state.kept
        self.states = [dataclasses.replace(s, kept=kept) if s.kept is old else s for s in self.states]
        self.result, self.outcome = self.state.values, "saved"


class Model:
    """Parameters of one task or parameter set while they are edited; made by `Model.open` and `child`.

    Attributes
    ----------
    task : str
        Name of the task or of the parameter set.
    spec : Spec
        Its declaration.
    parent : Model or None
        Of a parameter set that was opened from its task.
    """

    def __init__(self, document, task, parent=None):
        self.task, self.spec, self.parent = task, document.specs[task], parent
        self._document, self._opened = document, document.state.values[task]

    @classmethod
    def open(cls, task, start=None, *, store=None, run=None):
        """Return the model of a task, its parameter sets included; the arguments are those of `editor.edit`.

        Raises
        ------
        ParameterError
            If there is no such task, or a value to begin with is not what is expected.
        """
        if task not in TASKS:
            raise ParameterError(f"there is no task {task!r} to edit; expected one of {', '.join(TASKS)}")
        top = Spec.load(task)
        specs = [top, *(Spec.load(p.pset) for p in top.layout if p.pset)]
        kept = places.Kept(None, {s.task: s.validate() for s in specs}) if store else places.last_saved(specs)
        values = dict(kept.values)
        for name, given in (start or {}).items():
            if name not in values:
                raise ParameterError(f"{task} has no parameter set {name!r}; expected one of {', '.join(values)}")
            values[name] = given if isinstance(given, ParameterSet) else values[name].replace(**given)
        if store:  # what is kept elsewhere is what was handed over
            kept = dataclasses.replace(kept, values=values)
        document = _Document({s.task: s for s in specs}, [_State(values, kept)], store, run)
        document.notes, document.message = kept.notes, _summary(kept.notes)
        return cls(document, task)

    # ---- what a face shows

    @property
    def title(self):
        """Task, and for a parameter set the task that it belongs to: ``imagefindpars of tweakreg``."""
        return f"{self.task} of {self.parent.task}" if self.parent else self.task

    @property
    def path(self):
        """Name of the file that `save` writes; None where something else keeps the values."""
        return self._document.state.kept.path

    @property
    def values(self):
        """All values: dict of str to ParameterSet, by task."""
        return dict(self._document.state.values)

    @property
    def dirty(self):
        """Whether anything differs from what is kept, in this set or another."""
        return self._document.state.values != self._document.state.kept.values

    @property
    def can_undo(self):
        """Whether there is anything to undo."""
        return self._document.now > 0

    @property
    def can_redo(self):
        """Whether there is anything to do again."""
        return self._document.now + 1 < len(self._document.states)

    @property
    def can_run(self):
        """Whether there is an Execute."""
        return self._document.run is not None

    @property
    def message(self):
        """One line for the status line: what was done last. A face may set it."""
        return self._document.message

    @message.setter
    def message(self, text):
        """Put a line of the face's own there."""
        self._document.message = text

    @property
    def notes(self):
        """Sentences on what was found in the file that was read last: unknown, missing or wrong; tuple of str."""
        return self._document.notes

    @property
    def outcome(self):
        """'saved', 'executed' or 'aborted', whichever came last; empty as long as none did."""
        return self._document.outcome

    @property
    def kept(self):
        """Values as last saved or executed here, dict of str to ParameterSet; None where there are none, or aborted."""
        return None if self.outcome == "aborted" else self._document.result

    @property
    def rows(self):
        """All rows, in order; rows of one section stand together: tuple of `Row`."""
        values, reasons = self._document.state.values, rules.inactive(self.spec, self._own)
        kept = self._document.state.kept.values
        return tuple(self._row(p, values, kept, reasons.get(p.name, "")) for p in self.spec.layout)

    @property
    def _own(self):
        return self._document.state.values[self.task]

    def _row(self, parameter, values, kept, why):
        task = parameter.pset or self.task
        if parameter.pset:
            return Row(parameter, None, changed=bool(values[task].changed), edited=values[task] != kept[task], why=why)
        value = self._own[parameter.name]
        unit = parameter.unit if parameter.unit == parameter.name else self._own.get(parameter.unit, parameter.unit)
        return Row(parameter, value, unit, value != parameter.default, value != kept[task][parameter.name], why)

    def row(self, name):
        """Return the row of a name or an alias; ParameterError where there is none."""
        found = self.spec[name].name if name in self.spec else name
        for row in self.rows:
            if row.name == found:
                return row
        raise ParameterError(f"parameter `{name}' not found")

    def child(self, name):
        """Return the model of a parameter set; ParameterError where the name is not that of one."""
        if not self.row(name).pset:
            raise ParameterError(f"parameter `{name}' is not a pset parameter")
        return Model(self._document, name, self)

    def search(self, text, after=None, *, backward=False):
        """Return the name of the next row whose name, comment, section or value holds a text, in any case.

        Parameters
        ----------
        text : str
            What to look for.
        after : str, optional
            Name of the row to begin after; the search goes on from the other end and comes to this row last. From
            the first row, or backward from the last, where not given.
        backward : bool
            Look upward.

        Returns
        -------
        str or None
            None where no row holds it.
        """
        rows = self.rows[::-1] if backward else self.rows
        start = [row.name for row in rows].index(self.row(after).name) + 1 if after else 0
        for row in rows[start:] + rows[:start]:
            if text.lower() in "\n".join((row.name, row.comment, row.section, row.text)).lower():
                return row.name
        return None

    def complete(self, name, text=""):
        """Return what the value of a row, of which `text` is typed, may become: list of whole values.

        Choices, yes and no, or names of files that exist; folders end in a slash. In a list of files the last one
        is completed, and may begin with ``@``.
        """
        row = self.row(name)
        if not row.file:
            return [choice for choice in row.choices if choice.lower().startswith(text.strip().lower())]
        before, comma, last = text.rpartition(",") if row.file == "list" else ("", "", text)
        begin = before + comma + last[:len(last) - len(last.lstrip(" @"))]
        last = last[len(begin) - len(before + comma):]
        found = sorted(glob.glob(glob.escape(os.path.expanduser(last)) + "*"))
        return [begin + path + os.sep * os.path.isdir(path) for path in found]

    def help(self, name=None):
        """Return the help on one row, or the whole page: plain text, 80 columns."""
        if name is None:
            return helptext.task_help(self.task)
        row = self.row(name)
        return helptext.task_help(row.pset) if row.pset else helptext.parameter_help(self.task, row.name)

    # ---- what a user does

    def set(self, name, text):
        """Give a parameter the value that was typed; ParameterError in IRAF's words where it can't have it."""
        row = self.row(name)
        if row.pset:
            raise ParameterError(f"`{name}' is a parameter set: open it to change what it holds")
        try:
            values = self._own.replace(**{row.name: text})
        except ParameterError:
            raise ParameterError(refusal(row.parameter, text)) from None
        self._change(f"{row.name} = {shown(values[row.name])}", values)

    def unset(self, name):
        """Give a row its default; of a parameter set, all of it."""
        row = self.row(name)
        values = Spec.load(row.pset).validate() if row.pset else self._own.replace(**{row.name: row.parameter.default})
        self._change(f"{row.name} is back at its default{'s' * bool(row.pset)}", values)

    def unlearn(self, *, everything=False):
        """Give all rows their defaults; with `everything` those of the other sets of the document too."""
        specs = self._document.specs.values() if everything else (self.spec,)
        self._change(f"{', '.join(s.task for s in specs)} back at the defaults", *(s.validate() for s in specs))

    def _change(self, deed, *sets):
        self._document.change(deed, self.values | {values.task: values for values in sets})

    def undo(self):
        """Take back the last change, in whichever set it was; ParameterError where there is none."""
        self._document.step(-1)

    def redo(self):
        """Make again the change that was taken back last; ParameterError where there is none."""
        self._document.step(+1)

    def load(self, path):
        """Read values from a file, which `save` writes from then on; can be undone.

        What is unknown, missing or wrong in it is told in `notes`. From a child, or where `edit` was given a
        `store`, only the values are taken, and `save` keeps them where it did.

        Raises
        ------
        InputError, ParameterError
            If the file can't be read, is no parameter file, or one of another task.
        """
        document = self._document
        specs = [self.spec] if self.parent else list(document.specs.values())
        read = places.read(path, specs)
        document.change(f"read {read.path}", self.values | read.values, read if self._owns_file else None)
        document.notes = read.notes
        document.message = "; ".join(filter(None, (f"read {read.path}", _summary(read.notes))))

    def save(self, *, force=False):
        """Keep all values where they belong: with the `store` that `edit` was given, or in their file.

        Parameters
        ----------
        force : bool
            Write even where somebody else has changed the file since it was read.

        Raises
        ------
        InputError
            If the file has been changed since, or can't be written; nothing is changed then.
        """
        document = self._document
        if document.store:
            document.store(self.values)
            document.keep(places.Kept(None, self.values))
            document.message = "saved"
        else:
            document.keep(places.write(document.state.kept, self.values, force=force))
            document.message = f"saved in {self.path}"

    def save_as(self, path, *, force=False):
        """Write values into another file, which `save` writes from then on.

        From a child, or where `edit` was given a `store`, it is a copy, of the child's values or of all, and `save`
        keeps them where it did.

        Parameters
        ----------
        path : str
            Name of the file; ``~`` is understood.
        force : bool
            Replace a file that exists.

        Raises
        ------
        InputError
            If the file exists, belongs to this package, or can't be written.
        """
        values = {self.task: self._own} if self.parent else self.values
        kept = places.write(self._document.state.kept, values, path=path, force=force)
        if self._owns_file:
            self._document.keep(kept)
        self.message = f"saved in {kept.path}"

    @property
    def _owns_file(self):
        return not self.parent and not self._document.store

    def run(self, *, save=True):
        """Execute: save what was changed, as IRAF's ``:go`` does, then do what `edit` was given to do.

        Parameters
        ----------
        save : bool
            False leaves what is kept as it is, as IRAF's ``:go!`` does.

        Returns
        -------
        object
            What was returned.

        Raises
        ------
        ImageregError
            What `save` raises; what is executed may raise its own.
        """
        if not self.can_run:
            raise ImageregError(f"there is nothing to execute: {self.title} is only edited here")
        if save and self.dirty:
            self.save()
        result = self._document.run(self.values)
        self._document.result, self._document.outcome = self.values, "executed"
        self.message = f"{self.task} was executed"
        return result

    def abort(self):
        """Leave without keeping; a child takes back what was changed in its set since it was opened."""
        if self.parent:
            self._change(f"{self.task} is as it was", self._opened)
        else:
            self._document.outcome = "aborted"


def _summary(sentences):
    """Return one line for the status line: the first sentence, and how many there are more."""
    first, *others = sentences or ("",)
    return f"{first} (and {len(others)} more)" if others else first
