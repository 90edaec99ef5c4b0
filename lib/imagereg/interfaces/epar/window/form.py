"""All parameters of a task in a window, in a form that scrolls and can be searched.

The parameters of a set stand below its button, and are shown once it is unfolded.

What is typed stays in the control of a parameter, wrong or not, until it is taken or given up: a
redraw never loses it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

from imagereg.interfaces.epar.rows import Row
from imagereg.interfaces.epar.window import look

if TYPE_CHECKING:
    import tkinter

# Characters; the entry of a text grows with the window, and the values that numbers have are short.
_NUMBER_WIDTH = 12
_TEXT_WIDTH = 18
_WHEEL = ("<Button-4>", "<Button-5>", "<MouseWheel>")
_PADDING = 32  # pixels: of the form and its three columns, together
_COMMENT = 12  # characters of the smallest font; a narrower column of comments is left out


class ParameterWidget:
    """One row of the model: name, control, and comment, in columns 0, 1 and 2 of a grid.

    The control is an entry, a list of choices, or a box for yes and no; a parameter set has a
    button. `take`, `browse` and `open_set` of the `EditorWindow` do what the user asks for.

    Attributes
    ----------
    row : Row
        Row that was shown last.
    control : tkinter widget
        Widget that takes the keyboard.
    comment : tkinter widget
        Label that may be wrapped.
    parts : tuple of tkinter widget
        The name, the frame of the control, all in it, and the comment.
    """

    def __init__(self, parent: tkinter.Misc, row: Row, line: int, window: Any):
        import tkinter
        from tkinter import ttk

        self.row = row
        self._window = window
        self._bad = False
        self._found = False
        self.visible = True
        self.unfolded = False
        self._typed = tkinter.StringVar(parent, row.text)
        self._name = ttk.Label(parent)
        self._unit = None
        self.comment = ttk.Label(parent, text=row.parameter.comment)
        is_text = row.kind == "string"
        value = ttk.Frame(parent)
        self._value = value
        value.columnconfigure(0, weight=1 if is_text else 0)
        self.control = self._make_control(value)
        self.control.grid(row=0, column=0, sticky="ew" if is_text else "w")
        if row.parameter.file:
            browse = ttk.Button(
                value, text="...", style="Browse.TButton", takefocus=False,
                command=lambda: window.browse(self),
            )
            browse.grid(row=0, column=1, padx=(3, 0), sticky="ns")
        elif row.unit:
            self._unit = ttk.Label(value)
            self._unit.grid(row=0, column=1, padx=4)
        self._name.grid(row=line, column=0, sticky="w", padx=4, pady=1)
        value.grid(row=line, column=1, sticky="ew", padx=4, pady=1)
        self.comment.grid(row=line, column=2, sticky="w", padx=4, pady=1)
        self.parts = (self._name, value, *value.winfo_children(), self.comment)
        self._draw()

    def _make_control(self, parent):
        """Return the button, box or entry that holds the value of the row."""
        from tkinter import ttk

        row = self.row
        if row.pset:
            return ttk.Button(parent, command=lambda: self._window.fold(row.name))
        if row.kind == "boolean":
            box = ttk.Checkbutton(
                parent, variable=self._typed, textvariable=self._typed,
                onvalue="yes", offvalue="no", command=lambda: self._window.take(self),
            )
            box.bind("<Key>", self._choose)
            return box
        if row.choices:
            width = max(map(len, row.choices)) + 1
            box = ttk.Combobox(
                parent, textvariable=self._typed, values=row.choices, state="readonly", width=width
            )
            box.bind("<<ComboboxSelected>>", lambda _: self._window.take(self))
            box.bind("<Key>", self._choose)
            box.bind("<space>", lambda _: box.event_generate("<Button-1>") or "break")
            box.bind("<Left>", lambda _: self._turn(-1))
            box.bind("<Right>", lambda _: self._turn(+1))
            return box
        width = _TEXT_WIDTH if row.kind == "string" else _NUMBER_WIDTH
        return ttk.Entry(parent, textvariable=self._typed, width=width)

    def _choose(self, event):
        """Go to the next choice that begins with the letter of a key."""
        letter = event.char.strip().lower()
        after = self.row.choices.index(self.typed) + 1
        following = self.row.choices[after:] + self.row.choices[:after]
        fitting = [choice for choice in following if choice.lower().startswith(letter)]
        if letter and fitting:
            self.type(fitting[0])
            self._window.take(self)

    def _turn(self, by):
        """Go to the next or the previous choice."""
        choices = self.row.choices
        self.type(choices[(choices.index(self.typed) + by) % len(choices)])
        self._window.take(self)
        return "break"

    @property
    def typed(self) -> str:
        """Text in the control."""
        return self._typed.get()

    @property
    def pending(self) -> bool:
        """Whether the text in the control is not the value of the row."""
        return not self.row.pset and self.typed != self.row.text

    def type(self, text: str) -> None:
        """Put a text into the control, as if it were typed."""
        self._typed.set(text)

    def refuse(self) -> None:
        """Mark the typed text as wrong."""
        self._bad = True
        self._draw()

    def restore(self) -> None:
        """Give up the typed text."""
        self.type(self.row.text)
        self._bad = False
        self._draw()

    def place(self, visible: bool) -> None:
        """Show it in the form, or take it out."""
        if visible != self.visible:
            self.visible = visible
            for part in (self._name, self._value, self.comment):
                if visible:
                    part.grid()
                else:
                    part.grid_remove()

    def unfold(self, unfolded: bool) -> None:
        """Say on the button of a set whether its parameters are shown."""
        self.unfolded = unfolded
        self._draw()

    def repaint(self) -> None:
        """Take over the colours and letters of the application."""
        if self.control.winfo_class() in ("TEntry", "TCombobox"):
            # Else its text stays where letters of the old size had their place.
            self.control.configure(font="TkTextFont")
        self._draw()

    def mark_found(self, found: bool) -> None:
        """Mark the name as found by a search, or not."""
        if found != self._found:
            self._found = found
            self._draw()

    def show(self, row: Row) -> None:
        """Draw a row if it has changed; typed text stays while the value is the same."""
        old = self.row
        self.row = row
        if row == old:
            return
        if row.text != old.text:
            self.type(row.text)
            self._bad = False
        self._draw()

    def _draw(self):
        """Show the name, unit and state of the row."""
        row = self.row
        grey = look.colour("grey") if row.why else ""
        changed = "•" if row.changed else "  "
        edited = "*" if row.edited else " "
        indent = "    " if row.owner else ""
        self._name.configure(
            text=f"{changed}{edited}{indent}{row.label}",
            font="TkHeadingFont" if row.changed else "TkDefaultFont",
            foreground=grey,
            background=look.colour("found") if self._found else "",
        )
        self.comment.configure(foreground=grey)
        if self._unit:
            self._unit.configure(text=row.unit, foreground=grey)
        if row.pset:
            sign = "▾" if self.unfolded else "▸"
            self.control.configure(text=f"{sign} {row.parameter.default}")
        state = "Off." if row.why else ""
        if self._bad:
            state = "Bad."
        self.control.configure(style=f"{state}{self.control.winfo_class()}")

    def focus(self) -> None:
        """Give it the keyboard; typing replaces what is there, as in IRAF."""
        self.control.focus_set()
        if self.control.winfo_class() == "TEntry":
            self.control.selection_range(0, "end")
            self.control.icursor("end")

    def deselect(self) -> None:
        """Select nothing in it."""
        if self.control.winfo_class() in ("TEntry", "TCombobox"):
            self.control.selection_clear()


class Form:
    """Parameters under the headings of their sections, in a view that scrolls.

    `widgets` has them by name, in order; `frame` is the whole, for the caller to lay out.
    """

    def __init__(self, parent: tkinter.Misc, rows: Sequence[Row], window: Any):
        import tkinter
        from tkinter import ttk

        self.frame = ttk.Frame(parent)
        self._canvas = tkinter.Canvas(
            self.frame, highlightthickness=0, borderwidth=0, takefocus=False,
        )
        bar = ttk.Scrollbar(self.frame, command=self._canvas.yview)
        self._canvas.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self._canvas.pack(side="left", fill="both", expand=True)
        self._inner = ttk.Frame(self._canvas, padding=(2, 4))
        self._inner.columnconfigure(1, weight=1)
        self._item = self._canvas.create_window(0, 0, anchor="nw", window=self._inner)
        self._is_measured = False  # what rows ask for, without regard to the window
        self._headings: dict[str, tuple[Any, ...]] = {}
        self.widgets = self._fill(rows, window)
        self.paint()
        self._owners = {
            str(part): widget for widget in self.widgets.values() for part in widget.parts
        }
        self._canvas.bind("<Configure>", lambda _: self.fit_width())
        self._inner.bind("<Configure>", self._fit_scrolling)

    def _fill(self, rows, window):
        """Return a widget for each row, with a heading above each section."""
        from tkinter import ttk

        widgets = {}
        section = ""
        for row in rows:
            line = self._inner.grid_size()[1]
            if row.parameter.section != section and not row.owner:
                section = row.parameter.section
                rule = ttk.Separator(self._inner)
                rule.grid(row=line, columnspan=3, sticky="ew", pady=(8, 0))
                heading = ttk.Label(self._inner, text=section, font="TkHeadingFont")
                heading.grid(row=line + 1, columnspan=3, sticky="w")
                self._headings[section] = rule, heading
                line += 2
            widgets[row.name] = ParameterWidget(self._inner, row, line, window)
        return widgets

    def paint(self) -> None:
        """Take over the colours of the theme."""
        from tkinter import ttk

        ground = ttk.Style(self.frame).lookup("TFrame", "background")
        self._canvas.configure(background=ground)
        for widget in self.widgets.values():
            widget.repaint()

    def arrange(self, visible: Container[str], unfolded: Container[str]) -> None:
        """Show the rows with these names, and the headings of their sections."""
        sections = set()
        for name, widget in self.widgets.items():
            widget.place(name in visible)
            if widget.row.pset:
                widget.unfold(name in unfolded)
            if widget.visible:
                sections.add(widget.row.parameter.section)
        for section, parts in self._headings.items():
            for part in parts:
                if section in sections:
                    part.grid()
                else:
                    part.grid_remove()

    def request_size(self, max_height: int) -> None:
        """Ask for the room that the rows need, and 15 % more in width for long values."""
        self._is_measured = True
        for widget in self.widgets.values():
            if widget.visible:
                widget.comment.configure(wraplength=0)
                widget.comment.grid()
        self._inner.update_idletasks()
        self._is_measured = False
        width = round(1.15 * self._inner.winfo_reqwidth())
        height = min(self._inner.winfo_reqheight(), max_height)
        self._canvas.configure(width=width, height=height)

    def tag(self, tag: str) -> None:
        """Let the bindings of a tag come before those of every widget."""
        parts = [part for widget in self.widgets.values() for part in widget.parts]
        for widget in (self._canvas, self._inner, *self._inner.winfo_children(), *parts):
            others = [name for name in widget.bindtags() if name != tag]
            widget.bindtags((tag, *others))
        for event in _WHEEL:
            self._canvas.bind_class(tag, event, self._wheel)

    def _wheel(self, event):
        upward = event.num == 4 or (event.num != 5 and event.delta > 0)
        self._canvas.yview_scroll(-3 if upward else 3, "units")
        return "break"

    def _fit_scrolling(self, _):
        self._canvas.configure(scrollregion=self._canvas.bbox("all"))
        if self._inner.winfo_height() < self._canvas.winfo_height():
            self._canvas.yview_moveto(0)

    def fit_width(self) -> None:
        """Use the whole width; wrap comments, or leave them out where there is no room at all.

        Names and values are never cut off: the line below the form has the comment of a row.
        """
        if self._is_measured:
            return
        width = self._canvas.winfo_width()
        self._canvas.itemconfigure(self._item, width=width)
        widgets = [widget for widget in self.widgets.values() if widget.visible]
        names = max(widget.parts[0].winfo_reqwidth() for widget in widgets)
        values = max(widget.parts[1].winfo_reqwidth() for widget in widgets)
        room = width - names - values - _PADDING
        for widget in self.widgets.values():
            widget.comment.configure(wraplength=max(room, 1))
            if room < _COMMENT * look.letter_width(self.frame):
                widget.comment.grid_remove()
            elif widget.visible:
                widget.comment.grid()

    def widget_of(self, part: tkinter.Misc) -> ParameterWidget | None:
        """Return the parameter widget that a tkinter widget is part of, if any."""
        return self._owners.get(str(part))

    def beside(self, widget: ParameterWidget, by: int) -> ParameterWidget:
        """Return the widget so many rows further down, the first or last at most."""
        widgets = [one for one in self.widgets.values() if one.visible or one is widget]
        return widgets[min(max(widgets.index(widget) + by, 0), len(widgets) - 1)]

    def see(self, widget: ParameterWidget) -> None:
        """Scroll as little as needed to show a widget with a row above and below it."""
        self._inner.update_idletasks()
        top = widget.parts[1].winfo_y()
        height = widget.parts[1].winfo_height()
        whole = self._inner.winfo_height()
        shown = self._canvas.winfo_height()
        first = self._canvas.canvasy(0)
        if top - height < first:
            self._canvas.yview_moveto((top - 2 * height) / whole)
        elif top + 2 * height > first + shown:
            self._canvas.yview_moveto((top + 2 * height - shown) / whole)


class SearchLine:
    """A line below the form in which the user types a text to look for."""

    def __init__(self, parent: tkinter.Misc, window: Any):
        import tkinter
        from tkinter import ttk

        self._window = window
        self._line = ttk.Frame(parent)
        self._text = tkinter.StringVar(parent)
        self._entry = ttk.Entry(self._line, width=24, textvariable=self._text)
        keys = "Return: next    Shift-Return: previous    Esc: done"
        labels = [ttk.Label(self._line, text=text) for text in ("Find", keys)]
        for part in (labels[0], self._entry, labels[1]):
            part.pack(side="left", padx=4)
        self._text.trace_add("write", lambda *_: self._search(None))
        self._entry.bind("<Return>", lambda _: self.next())
        self._entry.bind("<Shift-Return>", lambda _: self.previous())
        self._entry.bind("<Escape>", self._close)

    def open(self) -> None:
        """Ask what to look for."""
        self._line.pack(side="top", fill="x")
        self._entry.selection_range(0, "end")
        self._entry.focus_set()

    def next(self) -> None:
        """Go to the next row that has the text."""
        self._search(self._window.current.row.name)

    def previous(self) -> None:
        """Go to the previous row that has the text."""
        self._search(self._window.current.row.name, backward=True)

    def _search(self, after, *, backward=False):
        window = self._window
        text = self._text.get()
        name = window.model.search(text, after, backward=backward) if text else None
        for widget in window.form.widgets.values():
            widget.mark_found(widget.row.name == name)
        if name is None:
            problem = f"no parameter holds {text!r}" if text else "nothing to look for"
            window.say(problem, wrong=True)
            return
        window.say("")
        window.point(window.form.widgets[name])
        if self._entry.focus_get() is not self._entry:
            window.current.focus()

    def _close(self, _):
        self._line.pack_forget()
        self._window.current.mark_found(False)
        self._window.current.focus()
        return "break"
