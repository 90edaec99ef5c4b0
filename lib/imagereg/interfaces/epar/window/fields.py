"""One parameter in a window: its name, a field for its value, its comment.

A field is an entry, a list of choices, or a box for yes and no; a parameter set is a button. What is typed stays in
the field, wrong or not, until it is taken or given up: a redraw never loses it.
"""

from __future__ import annotations

_NUMBER_WIDTH, _TEXT_WIDTH = 12, 18  # characters; an entry for text grows with the window
_GREY, _RED, _PINK, _FOUND = "#707070", "#b00020", "#ffd6d6", "#ffe680"


def make_styles(widget):
    """Make the styles of fields that do not count or hold what they can't, for the letters that are in use now."""
    from tkinter import font, ttk

    style, height = ttk.Style(widget), font.nametofont("TkDefaultFont", widget).metrics("linespace")
    for kind in ("TEntry", "TCombobox", "TCheckbutton", "TButton"):
        style.configure(f"Off.{kind}", foreground=_GREY)
        style.configure(f"Bad.{kind}", foreground=_RED, fieldbackground=_PINK)
    for kind in ("TCheckbutton", "Off.TCheckbutton"):
        style.configure(kind, indicatorsize=round(0.7 * height), padding=1)
    style.configure("Browse.TButton", padding=(4, 0), width=3, anchor="center")
    style.configure("TCombobox", arrowsize=round(0.8 * height))
    ground = style.lookup("TEntry", "fieldbackground") or "white"  # clam has grey for what can only be chosen
    for kind in ("TCombobox", "Off.TCombobox"):
        style.map(kind, fieldbackground=[("readonly", ground)])


class Field:
    """One row of the model on the screen.

    Parameters
    ----------
    parent : tkinter widget
        Where the name, the value and the comment are laid into columns 0, 1 and 2.
    row : Row
        What to show.
    line : int
        Line of the grid.
    acts : object
        With ``take(field)`` for a value that was chosen, ``browse(field)`` and ``open_set(name)``.

    Attributes
    ----------
    row : Row
        What was shown last.
    widget : tkinter widget
        The one that takes the keyboard.
    comment : tkinter widget
        Text that may be wrapped.
    """

    def __init__(self, parent, row, line, acts):
        import tkinter
        from tkinter import ttk

        self.row, self._bad, self._found = None, False, False
        self._typed = tkinter.StringVar(parent, row.text)
        self._name, self._unit = ttk.Label(parent), None
        self.comment = ttk.Label(parent, text=row.comment)
        value = ttk.Frame(parent)
        value.columnconfigure(0, weight=row.kind == "string")
        self.widget = self._made(value, row, acts)
        self.widget.grid(row=0, column=0, sticky="ew" if row.kind == "string" else "w")
        if row.file:
            browse = ttk.Button(value, text="...", style="Browse.TButton", takefocus=False,
                                command=lambda: acts.browse(self))
            browse.grid(row=0, column=1, padx=(3, 0), sticky="ns")
        elif row.unit:
            self._unit = ttk.Label(value)
            self._unit.grid(row=0, column=1, padx=4)
        for column, part in enumerate((self._name, value, self.comment)):
            part.grid(row=line, column=column, sticky="ew" if part is value else "w", padx=4, pady=1)
        self.parts = (self._name, value, *value.winfo_children(), self.comment)
        self.show(row)

    def _made(self, parent, row, acts):
        from tkinter import ttk

        if row.pset:
            return ttk.Button(parent, text=f"{row.parameter.default}...", command=lambda: acts.open_set(row.name))
        if row.kind == "boolean":
            box = ttk.Checkbutton(parent, variable=self._typed, textvariable=self._typed, onvalue="yes",
                                  offvalue="no", command=lambda: acts.take(self))
            box.bind("<Key>", lambda event: self._choose(event.char, acts))
            return box
        if row.choices:
            box = ttk.Combobox(parent, textvariable=self._typed, values=row.choices, state="readonly",
                               width=max(map(len, row.choices)) + 1)
            box.bind("<<ComboboxSelected>>", lambda _: acts.take(self))
            box.bind("<Key>", lambda event: self._choose(event.char, acts))
            box.bind("<space>", lambda _: box.event_generate("<Button-1>") or "break")
            for key, by in (("<Left>", -1), ("<Right>", +1)):
                box.bind(key, lambda _, by=by: self._turn(by, acts))
            return box
        width = _TEXT_WIDTH if row.kind == "string" else _NUMBER_WIDTH
        return ttk.Entry(parent, textvariable=self._typed, width=width)

    def _choose(self, letter, acts):
        """Go to the next choice that begins with a letter."""
        now = self.row.choices.index(self.typed)
        order = (*self.row.choices[now + 1:], *self.row.choices[:now + 1])
        fitting = [choice for choice in order if letter.strip() and choice.lower().startswith(letter.lower())]
        if fitting:
            self.type(fitting[0])
            acts.take(self)

    def _turn(self, by, acts):
        """Go to the next or the last choice."""
        choices = self.row.choices
        self.type(choices[(choices.index(self.typed) + by) % len(choices)])
        acts.take(self)
        return "break"

    @property
    def typed(self):
        """Text in the field."""
        return self._typed.get()

    @property
    def pending(self):
        """Whether the text in the field is not the value of the row."""
        return not self.row.pset and self.typed != self.row.text

    def type(self, text):
        """Put a text into the field, as if it were typed."""
        self._typed.set(text)

    def refuse(self):
        """Mark what is typed as wrong."""
        self._bad = True
        self._draw()

    def restore(self):
        """Give up what is typed."""
        self.type(self.row.text)
        self.settle()

    def settle(self):
        """Take the mark of what is wrong away."""
        self._bad = False
        self._draw()

    def find(self, found):
        """Mark the name as what was looked for, or not."""
        if found != self._found:
            self._found = found
            self._draw()

    def show(self, row):
        """Draw a row, if it is another one; what is typed stays where its value is the same."""
        old, self.row = self.row, row
        if row == old:
            return
        if old is None or row.text != old.text:
            self.type(row.text)
            self._bad = False
        self._draw()

    def _draw(self):
        row, grey = self.row, "" if self.row.active else _GREY
        self._name.configure(text=f"{'•' if row.changed else '  '}{'*' if row.edited else ' '}{row.name}",
                             font="TkHeadingFont" if row.changed else "TkDefaultFont", foreground=grey,
                             background=_FOUND if self._found else "")
        self.comment.configure(foreground=grey)
        if self._unit:
            self._unit.configure(text=row.unit, foreground=grey)
        state = "Bad." if self._bad else "" if row.active else "Off."
        self.widget.configure(style=f"{state}{self.widget.winfo_class()}")

    def focus(self):
        """Give it the keyboard; what will be typed takes the place of what is there, as in IRAF."""
        self.widget.focus_set()
        if self.widget.winfo_class() == "TEntry":
            self.widget.selection_range(0, "end")
            self.widget.icursor("end")

    def deselect(self):
        """Mark nothing in it."""
        if self.widget.winfo_class() != "TButton" and self.row.kind != "boolean":
            self.widget.selection_clear()
