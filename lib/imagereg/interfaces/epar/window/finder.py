"""The search of a window: a line below the form, and what was found in it."""

from __future__ import annotations


class Finder:
    """Looks for rows that hold a text.

    Parameters
    ----------
    parent : tkinter widget
        What holds the line, while it is open.
    window : object
        With `model`, `form`, the field that is `current`, and ``point(field)``, ``say(sentence, wrong)``.
    """

    def __init__(self, parent, window):
        import tkinter
        from tkinter import ttk

        self._window, self._line = window, ttk.Frame(parent)
        self._sought = tkinter.StringVar(parent)
        self._text = ttk.Entry(self._line, width=24, textvariable=self._sought)
        keys = "Return: next    Shift-Return: previous    Esc: done"
        for part in (ttk.Label(self._line, text="Find"), self._text, ttk.Label(self._line, text=keys)):
            part.pack(side="left", padx=4)
        self._sought.trace_add("write", lambda *_: self._search(None))
        self._text.bind("<Return>", lambda _: self.next())
        self._text.bind("<Shift-Return>", lambda _: self.previous())
        self._text.bind("<Escape>", lambda _: self._close())

    def open(self):
        """Ask what to look for."""
        self._line.pack(side="top", fill="x")
        self._text.selection_range(0, "end")
        self._text.focus_set()

    def next(self):
        """Go to the next row that holds the text."""
        self._search(self._window.current.row.name)

    def previous(self):
        """Go to the row before that holds it."""
        self._search(self._window.current.row.name, backward=True)

    def _search(self, after, *, backward=False):
        text, window = self._sought.get(), self._window
        name = window.model.search(text, after, backward=backward) if text else None
        for field in window.form.fields.values():
            field.find(field.row.name == name)
        if name is None:
            window.say(f"no parameter holds {text!r}" if text else "nothing to look for", wrong=True)
            return
        window.say("")
        window.point(window.form.fields[name])
        if self._text.focus_get() is not self._text:
            window.current.focus()

    def _close(self):
        self._line.pack_forget()
        self._window.current.find(False)
        self._window.current.focus()
        return "break"
