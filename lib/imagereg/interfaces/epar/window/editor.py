"""The window of a task or of a parameter set.

All windows of a document, those of a task and of the parameter sets opened from it, are redrawn
after every change.
"""

from __future__ import annotations

import operator
import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagereg.errors import ImageregError, InputError
from imagereg.interfaces.epar.model import Model
from imagereg.interfaces.epar.window import look, shortcuts, text_pane
from imagereg.interfaces.epar.window.form import Form, ParameterWidget, SearchLine

if TYPE_CHECKING:
    import tkinter

_PAGE = 10  # rows
_FILE_TYPES = [("Parameter files", "*.cfg"), ("All files", "*")]


def edit(model: Model) -> None:
    """Show a model in a window until the user has closed it.

    If the process has a Tk application already, as PyRAF has, the window becomes one of its
    windows.
    """
    import tkinter
    from tkinter import ttk

    others = getattr(tkinter, "_default_root", None)
    root = others or tkinter.Tk(className="Imagereg")
    try:
        if not others:
            root.withdraw()
            # Elsewhere Tk looks as the system does.
            if root.tk.call("tk", "windowingsystem") == "x11":
                ttk.Style(root).theme_use("clam")
        root.wait_window(EditorWindow(root, model).top)
    finally:
        if not others:
            root.destroy()


class EditorWindow:
    """One model on the screen; a parameter set has the window of its task as `owner`.

    `windows` are all open windows of the document, that of the task first; `current` is the row
    that has, or had last, the keyboard.
    """

    def __init__(self, root: tkinter.Misc, model: Model, owner: EditorWindow | None = None):
        import tkinter

        self.root = root
        self.model = model
        self.owner = owner
        self.windows: list[EditorWindow] = owner.windows if owner else []
        self.top = tkinter.Toplevel(root)
        self.top.withdraw()
        self._shortcuts = [
            shortcut for shortcut in shortcuts.SHORTCUTS
            if shortcut.verb != "execute" or model.can_run
        ]
        look.make_styles(self.top)
        self._fill()
        self._bind()
        self.current = next(iter(self.form.widgets.values()))
        # The rest of the screen is for menu, buttons, title and other windows.
        self.form.request_size(round(0.65 * self.top.winfo_screenheight()))
        self.windows.append(self)
        self.refresh()
        look.fit(self.top)
        self.top.deiconify()
        self.current.focus()

    # ---- how it is made

    def _fill(self):
        """Put menu, form, search line and buttons into the window."""
        from tkinter import ttk

        self.top.configure(menu=shortcuts.make_menu(self.top, self._shortcuts, self._obey))
        bottom = ttk.Frame(self.top, padding=(6, 2))
        self.form = Form(self.top, self.model.rows, self)
        self.search = SearchLine(bottom, self)
        self._about = ttk.Label(bottom)
        self._status = ttk.Label(bottom)
        self._make_buttons(bottom).pack(side="bottom", fill="x", pady=3)
        self._status.pack(side="bottom", fill="x")
        self._about.pack(side="bottom", fill="x")
        bottom.pack(side="bottom", fill="x")
        self.form.frame.pack(side="top", fill="both", expand=True)
        for label in (self._about, self._status):
            label.bind("<Configure>", lambda event: event.widget.configure(wraplength=event.width))

    def _make_buttons(self, parent):
        """Return the row of buttons at the bottom."""
        from tkinter import ttk

        bar = ttk.Frame(parent)
        buttons = [("Save", self.save)]
        if self.owner:
            buttons += [("Done", self.close), ("Take back", self.take_back)]
        else:
            buttons += [("Close", self.close)]
        buttons += [("Defaults", self.unlearn), ("Help", self.help_all)]
        if self.model.can_run and not self.owner:
            buttons.insert(0, ("Execute", self.execute))
        for text, command in buttons:
            button = ttk.Button(bar, text=text, command=command)
            button.bind("<Return>", lambda event: event.widget.invoke())
            button.pack(side="left", padx=2)
        return bar

    def _bind(self):
        """Bind keys, in the rows before those of the controls: no entry keeps Ctrl-F for itself."""
        tag = f"Rows{self.top}"
        self.form.tag(tag)

        def bind(event, function):
            self.top.bind_class(tag, event, function)

        shortcuts.bind_keys(self.top.bind, self._shortcuts, self._obey)
        shortcuts.bind_keys(bind, self._shortcuts, self._obey)
        count = len(self.form.widgets)
        moves = {
            "<Down>": 1, "<Up>": -1, "<Next>": _PAGE, "<Prior>": -_PAGE,
            "<Control-Home>": -count, "<Control-End>": count,
        }
        for event, by in moves.items():
            bind(event, lambda _, by=by: self._go(by))
        for event in ("<Return>", "<KP_Enter>"):
            bind(event, self._enter)
        for event in ("<<NextWindow>>", "<<PrevWindow>>"):  # Tab, Shift-Tab
            bind(event, lambda _: None if self.take(self.current) else "break")
        for event in ("<Button-3>", "<Menu>", "<Shift-F10>"):
            bind(event, self._pop_up_menu)
        bind("<FocusIn>", self._focus_in)
        bind("<FocusOut>", self._focus_out)
        self.top.protocol("WM_DELETE_WINDOW", self.close)

    def _obey(self, verb):
        operator.attrgetter(verb)(self)()

    # ---- what is shown

    def refresh(self) -> None:
        """Draw what has changed, in all windows of the document."""
        for window in self.windows:
            window._draw()

    def _draw(self):
        """Show all rows, the title, and what the model has to say."""
        for row in self.model.rows:
            self.form.widgets[row.name].show(row)
        home = os.path.expanduser("~") + os.sep
        path = (self.model.path or "").replace(home, "~" + os.sep)
        title = f"{self.model.title} - {path}" if path else self.model.title
        self.top.title(f"* {title}" if self.model.dirty else title)
        self.say(self.model.message)
        self._describe_current()

    def say(self, sentence: str, wrong: bool = False) -> None:
        """Put a sentence into the status line."""
        self._status.configure(text=sentence, foreground=look.RED if wrong else "")

    def point(self, widget: ParameterWidget) -> None:
        """Make a widget the current one: scroll to it and describe it."""
        self.current = widget
        self.form.see(widget)
        self._describe_current()

    def _describe_current(self):
        """Say below the form what the current row expects."""
        row = self.current.row
        facts = []
        if not row.pset:
            facts += [row.parameter.expected, f"default {row.default or 'empty'}"]
        if row.why:
            facts.append(row.why)
        if row.edited:
            facts.append("not saved")
        self._about.configure(text=f"{row.name}: {'; '.join(facts) or row.parameter.comment}")

    def _focus_in(self, event):
        widget = self.form.widget_of(event.widget)
        if widget:
            self.point(widget)

    def _focus_out(self, event):
        widget = self.form.widget_of(event.widget)
        if widget and self in self.windows:  # not while the window is being closed
            widget.deselect()
            self.take(widget)

    def _attempt(self, verb, *arguments, about="", **more):
        """Call a method of the model, and return whether it worked; else say why not."""
        try:
            verb(*arguments, **more)
        except ImageregError as error:
            self.say(f"{about}{error}", wrong=True)
            self.top.bell()
            return False
        self.refresh()
        return True

    # ---- values

    def take(self, widget: ParameterWidget) -> bool:
        """Give the model what is typed in a widget; return whether the parameter may have it."""
        if not widget.pending:
            return True
        name = widget.row.name
        if self._attempt(self.model.set, name, widget.typed, about=f"{name}: "):
            widget.restore()
            return True
        widget.refuse()
        return False

    def _take_all(self):
        """Take what is typed anywhere; go to the first widget whose value can't be taken."""
        for window in self.windows:
            for widget in window.form.widgets.values():
                if not window.take(widget):
                    window.top.lift()
                    widget.focus()
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

    def unset(self) -> None:
        """Give the current row its default."""
        self.current.restore()
        self._attempt(self.model.unset, self.current.row.name)

    def unlearn(self) -> None:
        """Give all rows their defaults."""
        for widget in self.form.widgets.values():
            widget.restore()
        self._attempt(self.model.unlearn)

    def undo(self) -> None:
        """Give up what is typed, or else undo the last change."""
        if self.current.pending:
            self.current.restore()
        else:
            self._step(self.model.undo)

    def redo(self) -> None:
        """Redo the change that was undone last."""
        self._step(self.model.redo)

    def _step(self, verb):
        """Undo or redo, and go to the first row that changed."""
        before = {row.name: row.text for row in self.model.rows}
        if not self._attempt(verb):
            return
        for row in self.model.rows:
            if row.text != before[row.name]:
                self.form.widgets[row.name].focus()
                return

    def clear(self) -> None:
        """Empty the current row."""
        self.current.type("")
        self.take(self.current)

    def browse(self, widget: ParameterWidget | None = None) -> None:
        """Choose files for a widget, by default the current one."""
        from tkinter import filedialog

        widget = widget or self.current
        parameter = widget.row.parameter
        if not parameter.file:
            self.say(f"{widget.row.name} is no name of a file", wrong=True)
            return
        title = f"{widget.row.name}: {parameter.comment}"
        names: Sequence[str]
        if parameter.file == "list":
            names = filedialog.askopenfilenames(parent=self.top, title=title)
        elif parameter.file == "in":
            names = [filedialog.askopenfilename(parent=self.top, title=title)]
        else:  # only named here, not written
            ask = filedialog.asksaveasfilename
            names = [ask(parent=self.top, title=title, confirmoverwrite=False)]
        chosen = ",".join(_shortened(name) for name in names if name)
        if chosen:
            widget.type(chosen)
            self.take(widget)
        widget.focus()

    def _pop_up_menu(self, event):
        """Show the menu of what can be done with a row."""
        import tkinter

        widget = self.form.widget_of(event.widget)
        if not widget:
            return
        widget.focus()
        self.top.update_idletasks()
        menu = tkinter.Menu(self.top, tearoff=False)
        if widget.row.parameter.file:
            menu.add_command(label="Browse files...", command=self.browse)
        if widget.row.kind == "string":
            menu.add_command(label="Clear", command=self.clear)
        menu.add_command(label=f"Default  {widget.row.default}", command=self.unset)
        menu.add_command(label="Help", command=self.help_here)
        if event.num == 3:
            menu.tk_popup(event.x_root, event.y_root)
        else:  # by a key
            control = widget.control
            menu.tk_popup(control.winfo_rootx(), control.winfo_rooty() + control.winfo_height())

    # ---- files, execution, the end

    def open_set(self, name: str) -> None:
        """Open a parameter set, or raise its window."""
        for window in self.windows:
            if window.model.task == name:
                window.top.lift()
                window.current.focus()
                return
        top = EditorWindow(self.root, self.model.child(name), self).top
        # A little right of and below this window; on the screen, with its border and title.
        right = top.winfo_screenwidth() - top.winfo_width() - 10
        bottom = top.winfo_screenheight() - top.winfo_height() - 80
        x = max(0, min(self.top.winfo_rootx() + 30, right))
        y = max(0, min(self.top.winfo_rooty() + 30, bottom))
        top.geometry(f"+{x}+{y}")

    def load(self) -> None:
        """Read the values of a file."""
        from tkinter import filedialog

        path = filedialog.askopenfilename(parent=self.top, filetypes=_FILE_TYPES)
        if path:
            self._attempt(self.model.load, path)

    def save(self) -> bool:
        """Save the values; return whether that was done."""
        from tkinter import messagebox

        if not self._take_all():
            return False
        try:
            self.model.save()
        except InputError as error:
            question = f"{error}.\n\nWrite all the same?"
            if messagebox.askyesno(
                "Save", question, parent=self.top, default="no", icon="warning"
            ):
                return self._attempt(self.model.save, force=True)
            self.say(str(error), wrong=True)
            return False
        self.refresh()
        return True

    def save_as(self) -> None:
        """Write the values into another file; the dialog asks before it replaces one."""
        from tkinter import filedialog

        if not self._take_all():
            return
        path = filedialog.asksaveasfilename(
            parent=self.top, filetypes=_FILE_TYPES, defaultextension=".cfg",
            initialfile=f"{self.model.task}.cfg",
        )
        if path:
            self._attempt(self.model.save_as, path, force=True)

    def execute(self) -> None:
        """Save, then execute in a window of its own."""
        from imagereg.interfaces.epar.window.running import RunWindow

        model = (self.owner or self).model
        if self._take_all() and (not model.dirty or self.save()):
            RunWindow(self.top, model.task, lambda: model.run(save=False), self._run_ended)

    def _run_ended(self, sentence, wrong):
        """Show what a run has changed, and how it ended."""
        self.refresh()
        self.say(sentence, wrong)

    def escape(self) -> None:
        """Give up what is typed in the current row; if nothing is, close."""
        if self.current.pending:
            self.current.restore()
            self.current.focus()
            self.say(f"{self.current.row.name} is as it was")
        else:
            self.close()

    def take_back(self) -> None:
        """Give a parameter set the values that it had when it was opened, and close it."""
        for widget in self.form.widgets.values():
            widget.restore()
        self.model.abort()
        self.close()

    def close(self) -> None:
        """Close the window; that of a task asks whether to save, and closes all others."""
        if self.owner:
            if self._take_all():
                self._destroy()
                self.owner.refresh()
                self.owner.current.focus()
            return
        if not self._take_all() or not self._settle_changes():
            return
        if not self.model.outcome:
            self.model.abort()
        for window in self.windows[::-1]:
            window._destroy()

    def _settle_changes(self):
        """Ask whether unsaved changes are to be saved; return whether the window may close."""
        from tkinter import messagebox

        if not self.model.dirty:
            return True
        save = messagebox.askyesnocancel("Close", "Save the changes?", parent=self.top)
        if save is None:
            return False
        return self.save() if save else True

    def _destroy(self):
        self.windows.remove(self)
        self.top.destroy()

    # ---- what can be looked up

    def help_here(self) -> None:
        """Show the help of the current row."""
        row = self.current.row
        if row.pset:
            text_pane.show(self.top, f"Help: {row.name}", self.model.help(row.name))
        else:
            passage = textwrap.indent(self.model.help(row.name), "  ")  # as it stands in the page
            text_pane.show(self.top, f"Help: {self.model.task}", self.model.help(), passage)

    def help_all(self) -> None:
        """Show the help of the task."""
        text_pane.show(self.top, f"Help: {self.model.task}", self.model.help())

    def help_keys(self) -> None:
        """Show what the keys do."""
        text_pane.show(self.top, "Keys", shortcuts.explain(self._shortcuts))

    def show_notes(self) -> None:
        """Show what was found in the file."""
        notes = "\n\n".join(self.model.notes) or "Nothing is to be noted."
        text_pane.show(self.top, f"Notes: {self.model.title}", notes)

    def larger(self) -> None:
        """Make the letters larger, everywhere in this application."""
        look.resize_letters(self.top, +1)

    def smaller(self) -> None:
        """Make the letters smaller."""
        look.resize_letters(self.top, -1)


def _shortened(path):
    """Return a path relative to the working directory, if it is in there."""
    short = os.path.relpath(path)
    return path if short.startswith(os.pardir) else short
