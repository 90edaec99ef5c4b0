"""The window of the editor: `edit` shows a model until the user closes it.

All windows of a document, a task and the parameter sets opened from it, are drawn again after every change.
"""

from __future__ import annotations

import operator
import os
import textwrap

from imagereg.errors import ImageregError, InputError
from imagereg.interfaces.epar.window import fields, pane, shortcuts
from imagereg.interfaces.epar.window.finder import Finder
from imagereg.interfaces.epar.window.form import Form

_PAGE = 10  # rows
_RED = "#b00020"
_FONTS = ("TkDefaultFont", "TkTextFont", "TkFixedFont", "TkHeadingFont", "TkMenuFont")


def edit(model):
    """Show a model in a window; returns when the user has closed it.

    Where the process has a Tk application already, as PyRAF, the window becomes one of its windows.

    Parameters
    ----------
    model : Model
        What to edit.
    """
    import tkinter
    from tkinter import ttk

    others = getattr(tkinter, "_default_root", None)
    root = others or tkinter.Tk(className="Imagereg")
    try:
        if not others:
            root.withdraw()
            if root.tk.call("tk", "windowingsystem") == "x11":  # elsewhere Tk looks as the system does
                ttk.Style(root).theme_use("clam")
        root.wait_window(_Window(root, model).top)
    finally:
        if not others:
            root.destroy()


class _Window:
    """One model on the screen; `owner` is the window of the task where it is a parameter set."""

    def __init__(self, root, model, owner=None):
        import tkinter

        self.root, self.model, self.owner = root, model, owner
        self.windows = owner.windows if owner else []
        self.top = tkinter.Toplevel(root)
        self.top.withdraw()
        self._verbs = [verb for verb in shortcuts.VERBS if verb[-1] != "execute" or model.can_run]
        fields.make_styles(self.top)
        self._fill()
        self._bind()
        self.current = next(iter(self.form.fields.values()))
        self.form.settle(round(0.65 * self.top.winfo_screenheight()))
        self.windows.append(self)
        self.refresh()
        pane.fit(self.top)
        self.top.deiconify()
        self.current.focus()

    # ---- how it is made

    def _fill(self):
        from tkinter import ttk

        self.top.configure(menu=shortcuts.menu(self.top, self._verbs, self._obey))
        bottom = ttk.Frame(self.top, padding=(6, 2))
        self.form = Form(self.top, self.model.rows, self)
        self.finder = Finder(bottom, self)
        self._about, self._status = ttk.Label(bottom), ttk.Label(bottom)
        self._buttons(bottom).pack(side="bottom", fill="x", pady=3)
        self._status.pack(side="bottom", fill="x")
        self._about.pack(side="bottom", fill="x")
        bottom.pack(side="bottom", fill="x")
        self.form.frame.pack(side="top", fill="both", expand=True)
        for label in (self._about, self._status):
            label.bind("<Configure>", lambda event: event.widget.configure(wraplength=event.width))

    def _buttons(self, parent):
        from tkinter import ttk

        bar = ttk.Frame(parent)
        ends = [("Done", "close"), ("Take back", "take_back")] if self.owner else [("Close", "close")]
        run = [("Execute", "execute")] if self.model.can_run and not self.owner else []
        for text, verb in (*run, ("Save", "save"), *ends, ("Defaults", "unlearn"), ("Help", "help_all")):
            button = ttk.Button(bar, text=text, command=getattr(self, verb))
            button.bind("<Return>", lambda event: event.widget.invoke())
            button.pack(side="left", padx=2)
        return bar

    def _bind(self):
        """Give keys to the verbs: in the rows before the widgets' own, so that no entry takes Ctrl-F for itself."""
        tag = f"Rows{self.top}"
        self.form.tag(tag)
        shortcuts.bind(self.top.bind, self._verbs, self._obey)
        shortcuts.bind(lambda *of: self.top.bind_class(tag, *of), self._verbs, self._obey)
        moves = {"<Down>": 1, "<Up>": -1, "<Next>": _PAGE, "<Prior>": -_PAGE,
                 "<Control-Home>": -len(self.form.fields), "<Control-End>": len(self.form.fields)}
        for event, by in moves.items():
            self.top.bind_class(tag, event, lambda _, by=by: self._go(by))
        for event in ("<Return>", "<KP_Enter>"):
            self.top.bind_class(tag, event, self._enter)
        for event in ("<<NextWindow>>", "<<PrevWindow>>"):
            self.top.bind_class(tag, event, lambda _: None if self.take(self.current) else "break")
        for event in ("<Button-3>", "<Menu>", "<Shift-F10>"):
            self.top.bind_class(tag, event, self._popup)
        self.top.bind_class(tag, "<FocusIn>", self._focused)
        self.top.bind_class(tag, "<FocusOut>", self._left)
        self.top.protocol("WM_DELETE_WINDOW", self.close)

    def _obey(self, verb):
        operator.attrgetter(verb)(self)()

    # ---- what is shown

    def refresh(self):
        """Draw again what has changed, in all windows of the document."""
        for window in self.windows:
            window._draw()

    def _draw(self):
        for row in self.model.rows:
            self.form.fields[row.name].show(row)
        place = (self.model.path or "").replace(os.path.expanduser("~") + os.sep, "~" + os.sep)
        self.top.title(f"{'* ' * self.model.dirty}{self.model.title}{f' - {place}' * bool(place)}")
        self.say(self.model.message)
        self._tell()

    def say(self, sentence, wrong=False):
        """Put a sentence into the status line."""
        self._status.configure(text=sentence, foreground=_RED if wrong else "")

    def point(self, field):
        """Make a field the current one: it is in view, and what it may hold is said."""
        self.current = field
        self.form.see(field)
        self._tell()

    def _tell(self):
        row = self.current.row
        facts = (row.expected, f"default {row.default or 'empty'}" * (not row.pset), row.why, "not saved" * row.edited)
        self._about.configure(text=f"{row.name}: {'; '.join(filter(None, facts)) or row.comment}")

    def _focused(self, event):
        field = self.form.field_of(event.widget)
        if field:
            self.point(field)

    def _left(self, event):
        field = self.form.field_of(event.widget)
        if field and self in self.windows:  # not while the window is being closed
            field.deselect()
            self.take(field)

    def _attempt(self, verb, *arguments, about="", **more):
        """Do something; where it can't be done the status line says why. Returns whether it was done."""
        try:
            verb(*arguments, **more)
        except ImageregError as error:
            self.say(f"{about}{error}", wrong=True)
            self.top.bell()
            return False
        self.refresh()
        return True

    # ---- values

    def take(self, field):
        """Take what is typed in a field; returns whether the parameter may have it."""
        if not field.pending:
            return True
        if self._attempt(self.model.set, field.row.name, field.typed, about=f"{field.row.name}: "):
            field.restore()
            return True
        field.refuse()
        return False

    def _all_taken(self):
        """Take what is typed anywhere; goes to the first field whose value can't be taken."""
        for window in self.windows:
            for field in window.form.fields.values():
                if not window.take(field):
                    window.top.lift()
                    field.focus()
                    return False
        return True

    def _go(self, by):
        if self.take(self.current):
            self.form.beside(self.current, by).focus()
        return "break"

    def _enter(self, _):
        if not self.current.row.pset:
            return self._go(+1)
        self.open_set(self.current.row.name)
        return "break"

    def unset(self):
        """Give the current row its default."""
        self.current.restore()
        self._attempt(self.model.unset, self.current.row.name)

    def unlearn(self):
        """Give all rows their defaults."""
        for field in self.form.fields.values():
            field.restore()
        self._attempt(self.model.unlearn)

    def undo(self):
        """Give up what is typed, or take the last change back."""
        self.current.restore() if self.current.pending else self._step(self.model.undo)

    def redo(self):
        """Make the last change again."""
        self._step(self.model.redo)

    def _step(self, verb):
        before = {row.name: row.text for row in self.model.rows}
        if self._attempt(verb):
            for row in self.model.rows:
                if row.text != before[row.name]:
                    self.form.fields[row.name].focus()
                    break

    def clear(self):
        """Empty the current field."""
        self.current.type("")
        self.take(self.current)

    def browse(self, field=None):
        """Choose files for a field."""
        from tkinter import filedialog

        field = field or self.current
        if not field.row.file:
            self.say(f"{field.row.name} is no name of a file", wrong=True)
            return
        title = f"{field.row.name}: {field.row.comment}"
        if field.row.file == "out":
            chosen = filedialog.asksaveasfilename(parent=self.top, title=title, confirmoverwrite=False)
        else:
            ask = filedialog.askopenfilenames if field.row.file == "list" else filedialog.askopenfilename
            chosen = ask(parent=self.top, title=title)
        names = [chosen] if isinstance(chosen, str) else chosen
        if names := ",".join(_short(name) for name in names if name):
            field.type(names)
            self.take(field)
        field.focus()

    def _popup(self, event):
        import tkinter

        field = self.form.field_of(event.widget)
        if not field:
            return
        field.focus()
        self.top.update_idletasks()
        menu = tkinter.Menu(self.top, tearoff=False)
        if field.row.file:
            menu.add_command(label="Browse files...", command=self.browse)
        if field.row.kind == "string":
            menu.add_command(label="Clear", command=self.clear)
        menu.add_command(label=f"Default  {field.row.default}", command=self.unset)
        menu.add_command(label="Help", command=self.help_here)
        at = field.widget
        menu.tk_popup(event.x_root if event.num == 3 else at.winfo_rootx(),
                      event.y_root if event.num == 3 else at.winfo_rooty() + at.winfo_height())

    # ---- files, execution, the end

    def open_set(self, name):
        """Open a parameter set."""
        for window in self.windows:
            if window.model.task == name:
                window.top.lift()
                window.current.focus()
                return
        top = _Window(self.root, self.model.child(name), self).top
        at = [max(0, min(here + 30, screen - size)) for here, screen, size in (
            (self.top.winfo_rootx(), top.winfo_screenwidth(), top.winfo_width() + 10),
            (self.top.winfo_rooty(), top.winfo_screenheight(), top.winfo_height() + 80))]
        top.geometry("+{}+{}".format(*at))

    def load(self):
        """Read the values of a file."""
        from tkinter import filedialog

        if path := filedialog.askopenfilename(parent=self.top, filetypes=_KINDS):
            self._attempt(self.model.load, path)

    def save(self):
        """Keep the values; returns whether that was done."""
        from tkinter import messagebox

        if not self._all_taken():
            return False
        try:
            self.model.save()
        except InputError as error:
            question = f"{error}.\n\nWrite all the same?"
            if not messagebox.askyesno("Save", question, parent=self.top, default="no", icon="warning"):
                self.say(str(error), wrong=True)
                return False
            return self._attempt(self.model.save, force=True)
        self.refresh()
        return True

    def save_as(self):
        """Write the values into another file; that it may be replaced has been asked by the dialog."""
        from tkinter import filedialog

        if self._all_taken():
            path = filedialog.asksaveasfilename(parent=self.top, filetypes=_KINDS, defaultextension=".cfg",
                                                initialfile=f"{self.model.task}.cfg")
            if path:
                self._attempt(self.model.save_as, path, force=True)

    def show_notes(self):
        """Show what was found in the file."""
        pane.show(self.top, f"Notes: {self.model.title}", "\n\n".join(self.model.notes) or "Nothing is to be noted.")

    def execute(self):
        """Save, then execute in a window of its own."""
        from imagereg.interfaces.epar.window.running import RunWindow

        model = (self.owner or self).model
        if self._all_taken() and (not model.dirty or self.save()):
            RunWindow(self.top, model.task, lambda: model.run(save=False), self._ended)

    def _ended(self, sentence, wrong):
        self.refresh()
        self.say(sentence, wrong)

    def escape(self):
        """Give up what is typed in the current field; where nothing is, close."""
        if self.current.pending:
            self.current.restore()
            self.current.focus()
            self.say(f"{self.current.row.name} is as it was")
        else:
            self.close()

    def take_back(self):
        """Give a parameter set the values that it had when it was opened, and close it."""
        for field in self.form.fields.values():
            field.restore()
        self.model.abort()
        self.close()

    def close(self):
        """Close the window; with the window of a task everything ends, and unsaved changes are asked for."""
        from tkinter import messagebox

        if not (self if self.owner else self.windows[0])._all_taken():
            return
        if not self.owner and self.model.dirty:
            keep = messagebox.askyesnocancel("Close", "Save the changes?", parent=self.top)
            if keep is None or (keep and not self.save()):
                return
        if not self.owner and not self.model.outcome:
            self.model.abort()
        for window in [self] if self.owner else self.windows[::-1]:
            self.windows.remove(window)
            window.top.destroy()
        if self.owner:
            self.owner.refresh()
            self.owner.current.focus()

    # ---- looking things up

    def help_here(self):
        """Show the help of the current row."""
        row = self.current.row
        if row.pset:
            pane.show(self.top, f"Help: {row.name}", self.model.help(row.name))
        else:
            passage = textwrap.indent(self.model.help(row.name), "  ")  # as it stands in the page
            pane.show(self.top, f"Help: {self.model.task}", self.model.help(), passage)

    def help_all(self):
        """Show the help of the task."""
        pane.show(self.top, f"Help: {self.model.task}", self.model.help())

    def help_keys(self):
        """Show what the keys do."""
        pane.show(self.top, "Keys", shortcuts.explained(self._verbs))

    def larger(self, by=1):
        """Make the letters larger, everywhere in this application."""
        from tkinter import font

        for name in _FONTS:
            named = font.nametofont(name, self.top)
            size = named.cget("size")  # negative: pixels
            named.configure(size=(abs(size) + by if abs(size) + by > 5 else abs(size)) * (1 if size > 0 else -1))
        fields.make_styles(self.top)

    def smaller(self):
        """Make the letters smaller."""
        self.larger(-1)


_KINDS = [("Parameter files", "*.cfg"), ("All files", "*")]


def _short(path):
    """Return the name of a file from the working directory, where it is in there."""
    short = os.path.relpath(path)
    return path if short.startswith(os.pardir) else short
