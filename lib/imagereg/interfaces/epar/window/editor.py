"""The window of a task: its parameters, those of its parameter sets among them, and their help."""

from __future__ import annotations

import operator
import os
import textwrap
from typing import TYPE_CHECKING

from imagereg.errors import ImageregError, InputError
from imagereg.interfaces.epar.model import Model
from imagereg.interfaces.epar.window import dialogs, look, shortcuts, text_pane
from imagereg.interfaces.epar.window.form import Form, ParameterWidget, SearchLine
from imagereg.interfaces.epar.window.help_pane import HelpPane
from imagereg.parameters import help as pages

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

    others = getattr(tkinter, "_default_root", None)
    root = others or tkinter.Tk(className="Imagereg")
    try:
        if not others:
            root.withdraw()
        root.wait_window(EditorWindow(root, model).top)
    finally:
        if not others:
            root.destroy()


class EditorWindow:
    """One model on the screen.

    `current` is the row that has, or had last, the keyboard; `unfolded` are the parameter sets
    whose rows are shown; `is_open` is False once the window is closed.
    """

    def __init__(self, root: tkinter.Misc, model: Model):
        import tkinter

        self.root = root
        self.model = model
        self.is_open = True
        self._with_help = True
        self.unfolded: set[str] = set()
        self.top = tkinter.Toplevel(root)
        self.top.withdraw()
        self._shortcuts = [
            shortcut for shortcut in shortcuts.SHORTCUTS
            if shortcut.verb != "execute" or model.can_run
        ]
        look.recall_theme()
        look.make_styles(self.top)
        self._fill()
        self._bind()
        self.current = next(iter(self.form.widgets.values()))
        self._arrange()
        self._request_size()
        self.refresh()
        self.top.deiconify()
        self.current.focus()

    # ---- how it is made

    def _fill(self):
        """Put menu, form, search line and buttons into the window."""
        from tkinter import ttk

        self.top.configure(menu=shortcuts.make_menu(self.top, self._shortcuts, self._obey))
        bottom = ttk.Frame(self.top, padding=(6, 2))
        body = self._body = ttk.Panedwindow(self.top, orient="horizontal")
        self.form = Form(body, self.model.all_rows, self)
        self.help = HelpPane(body, self._follow)
        self.search = SearchLine(bottom, self)
        self._about = ttk.Label(bottom)
        self._status = ttk.Label(bottom)
        self._make_buttons(bottom).pack(side="bottom", fill="x", pady=3)
        self._status.pack(side="bottom", fill="x")
        self._about.pack(side="bottom", fill="x")
        bottom.pack(side="bottom", fill="x")
        body.add(self.form.frame, weight=3)
        body.pack(side="top", fill="both", expand=True)
        for label in (self._about, self._status):
            label.bind("<Configure>", lambda event: event.widget.configure(wraplength=event.width))

    def _make_buttons(self, parent):
        """Return the row of buttons at the bottom."""
        from tkinter import ttk

        bar = ttk.Frame(parent)
        buttons = [("Save", self.save)]
        buttons += [("Close", self.close), ("Defaults", self.unlearn), ("Help", self.help_all)]
        if self.model.can_run:
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

    def _arrange(self):
        """Show the rows of the view: the most used ones, or all but those of folded sets."""
        rows = self.model.rows if self.model.most_used else self.model.all_rows
        visible = {row.name for row in rows if self.model.most_used or self._is_unfolded(row)}
        self.form.arrange(visible, self.unfolded)

    def _is_unfolded(self, row):
        return not row.owner or row.owner in self.unfolded

    def _request_size(self):
        """Give the window the room that rows and help ask for; leave out help that does not fit."""
        # The rest of the screen is for menu, buttons, title and other windows.
        self.form.request_size(round(0.65 * self.top.winfo_screenheight()))
        panes = [str(pane) for pane in self._body.panes()]
        self.top.update_idletasks()
        form_width = self.form.frame.winfo_reqwidth()
        width = form_width + self.help.frame.winfo_reqwidth()
        # Comments may be wrapped, so that both find room on a screen of three quarters the width.
        fits = 0.75 * width < self.top.winfo_screenwidth()
        with_help = fits and self._with_help
        if with_help and len(panes) == 1:
            self._body.add(self.help.frame, weight=2)
        elif len(panes) == 2 and not with_help:
            self._body.forget(self.help.frame)
        # Panes keep the sizes that they had first unless they are told.
        height = self.form.frame.winfo_reqheight()
        self._body.configure(width=width if with_help else form_width, height=height)
        look.fit(self.top)
        self.top.update_idletasks()
        self.form.fit_width()
        self.form.see(self.current)

    def fold(self, name: str) -> None:
        """Show the parameters of a set below its button, or hide them again."""
        if self.take(self.current):
            self.unfolded ^= {name}
            self._arrange()
            self.form.widgets[name].focus()

    def most_used(self) -> None:
        """Show the few parameters that most users need, or all again."""
        if not self.take(self.current):
            return
        try:
            self.model.most_used = not self.model.most_used
        except ImageregError as error:
            self.say(str(error), wrong=True)
            return
        self._arrange()
        self.form.beside(next(iter(self.form.widgets.values())), 0).focus()

    def refresh(self) -> None:
        """Draw what has changed."""
        for row in self.model.all_rows:
            self.form.widgets[row.name].show(row)
        home = os.path.expanduser("~") + os.sep
        path = (self.model.path or "").replace(home, "~" + os.sep)
        title = f"{self.model.title} - {path}" if path else self.model.title
        self.top.title(f"* {title}" if self.model.dirty else title)
        self.say(self.model.message)
        self._describe_current()

    def say(self, sentence: str, wrong: bool = False) -> None:
        """Put a sentence into the status line."""
        self._status.configure(text=sentence, foreground=look.colour("wrong") if wrong else "")

    def point(self, widget: ParameterWidget) -> None:
        """Make a widget the current one: show it, scroll to it and describe it."""
        self.current = widget
        if not widget.visible:
            self.model.most_used = False
            if widget.row.owner:
                self.unfolded.add(widget.row.owner)
            self._arrange()
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
        self.help.show(row.pset or row.owner or self.model.task, row, self._help_text(row))

    def _help_text(self, row):
        """Return the help on a row; of a set, what it is for."""
        if not row.pset:
            return self.model.help(row.name)
        sections = pages.parse(self.model.help(row.pset)).sections
        return f"{row.pset}\n\n{sections['DESCRIPTION']}"

    def _follow(self, target):
        """Go where a link of the help leads: to a row, or to a section of the page."""
        if target in self.form.widgets:
            self.point(self.form.widgets[target])
            self.current.focus()
        else:
            text_pane.show(self.top, f"Help: {self.model.task}", self.model.help(), f"{target}\n")

    def _focus_in(self, event):
        widget = self.form.widget_of(event.widget)
        if widget:
            self.point(widget)

    def _focus_out(self, event):
        widget = self.form.widget_of(event.widget)
        if widget and self.is_open:  # not while the window is being closed
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
        for widget in self.form.widgets.values():
            if not self.take(widget):
                self.point(widget)
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
        self.fold(self.current.row.name)
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
        before = {row.name: row.text for row in self.model.all_rows}
        if not self._attempt(verb):
            return
        for row in self.model.all_rows:
            if row.text != before[row.name]:
                self.point(self.form.widgets[row.name])
                self.current.focus()
                return

    def clear(self) -> None:
        """Empty the current row."""
        self.current.type("")
        self.take(self.current)

    def browse(self, widget: ParameterWidget | None = None) -> None:
        """Choose files for a widget, by default the current one."""
        widget = widget or self.current
        parameter = widget.row.parameter
        if not parameter.file:
            self.say(f"{widget.row.name} is no name of a file", wrong=True)
            return
        chosen = dialogs.ask_for_files(self.top, parameter)
        if chosen:
            widget.type(chosen)
            self.take(widget)
        widget.focus()

    def _pop_up_menu(self, event):
        """Show the menu of what can be done with a row."""
        widget = self.form.widget_of(event.widget)
        if widget:
            widget.focus()
            self.top.update_idletasks()
            dialogs.pop_up_menu(self, widget, event)

    # ---- files, execution, the end

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
        self.say(f"{self.model.message}. {self.model.how_to_run}")
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

        model = self.model
        if self._take_all() and (not model.dirty or self.save()):
            RunWindow(self.top, model.task, lambda: model.run(save=False), self._run_ended)

    def _run_ended(self, sentence, wrong):
        """Show what a run has changed, and how it ended."""
        self.refresh()
        self._status.configure(text=sentence, foreground=look.colour("wrong" if wrong else "good"))

    def escape(self) -> None:
        """Give up what is typed in the current row; if nothing is, close."""
        if self.current.pending:
            self.current.restore()
            self.current.focus()
            self.say(f"{self.current.row.name} is as it was")
        else:
            self.close()

    def close(self) -> None:
        """Close the window; ask before whether changes are to be saved."""
        if not self._take_all() or not self._settle_changes():
            return
        if not self.model.outcome:
            self.model.abort()
        self.is_open = False
        self.top.destroy()

    def _settle_changes(self):
        """Ask whether unsaved changes are to be saved; return whether the window may close."""
        from tkinter import messagebox

        if not self.model.dirty:
            return True
        save = messagebox.askyesnocancel("Close", "Save the changes?", parent=self.top)
        if save is None:
            return False
        return self.save() if save else True

    # ---- what can be looked up

    def help_here(self) -> None:
        """Show the help of the current row."""
        row = self.current.row
        if row.pset:
            text_pane.show(self.top, f"Help: {row.name}", self.model.help(row.name))
        else:
            task = row.owner or self.model.task
            page = self.model.help(row.owner or None)
            passage = textwrap.indent(self.model.help(row.name), "  ")  # as it stands in the page
            text_pane.show(self.top, f"Help: {task}", page, passage)

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
        self._resize_letters(+1)

    def smaller(self) -> None:
        """Make the letters smaller."""
        self._resize_letters(-1)

    def _resize_letters(self, by):
        look.resize_letters(self.top, by)
        self.form.paint()
        self.help.paint()
        self._request_size()

    def swap_theme(self) -> None:
        """Take dark colours in place of light ones, or the other way round."""
        self._attempt(look.swap_theme)
        look.make_styles(self.top)
        self.form.paint()
        self.help.paint()
        self.top.configure(menu=shortcuts.make_menu(self.top, self._shortcuts, self._obey))

    def toggle_help(self) -> None:
        """Show the help beside the form, or leave it out."""
        self._with_help = not self._with_help
        self._request_size()
