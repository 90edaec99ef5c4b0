"""All parameters of a task in a window: fields under the headings of their sections, in a form that scrolls."""

from __future__ import annotations

from imagereg.interfaces.epar.window.fields import Field

_WHEEL = ("<Button-4>", "<Button-5>", "<MouseWheel>")
_PADDING = 32  # pixels, of the form and its three columns


class Form:
    """Fields, by name, and the view of them.

    Parameters
    ----------
    parent : tkinter widget
        What holds it.
    rows : sequence of Row
        What to show.
    acts : object
        See `Field`.

    Attributes
    ----------
    frame : tkinter widget
        The whole, to be laid out.
    fields : dict of str to Field
        In order.
    """

    def __init__(self, parent, rows, acts):
        import tkinter
        from tkinter import ttk

        self.frame = ttk.Frame(parent)
        self._canvas = tkinter.Canvas(self.frame, highlightthickness=0, borderwidth=0, takefocus=False,
                                      background=ttk.Style(parent).lookup("TFrame", "background"))
        bar = ttk.Scrollbar(self.frame, command=self._canvas.yview)
        self._canvas.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self._canvas.pack(side="left", fill="both", expand=True)
        self._inner = ttk.Frame(self._canvas, padding=(2, 4))
        self._inner.columnconfigure(1, weight=1)
        self._item = self._canvas.create_window(0, 0, anchor="nw", window=self._inner)
        self.fields = {}
        self._fill(rows, acts)
        self._owner = {str(part): field for field in self.fields.values() for part in field.parts}
        self._canvas.bind("<Configure>", self._fit)
        self._inner.bind("<Configure>", lambda _: self._canvas.configure(scrollregion=self._canvas.bbox("all")))

    def _fill(self, rows, acts):
        from tkinter import ttk

        section = ""
        for row in rows:
            line = self._inner.grid_size()[1]
            if row.section != section:
                section = row.section
                ttk.Separator(self._inner).grid(row=line, columnspan=3, sticky="ew", pady=(8, 0))
                ttk.Label(self._inner, text=section, font="TkHeadingFont").grid(row=line + 1, columnspan=3, sticky="w")
                line += 2
            self.fields[row.name] = Field(self._inner, row, line, acts)

    def settle(self, highest):
        """Ask for the room that the rows need and a little more for long values; in height at most `highest` pixels."""
        self._inner.update_idletasks()
        width, height = self._inner.winfo_reqwidth(), self._inner.winfo_reqheight()
        self._canvas.configure(width=round(1.15 * width), height=min(height, highest))

    def tag(self, tag):
        """Let the bindings of a tag come before those of every widget."""
        for widget in (self._canvas, self._inner, *self._inner.winfo_children(), *self._parts()):
            widget.bindtags((tag, *(name for name in widget.bindtags() if name != tag)))
        for event in _WHEEL:
            self._canvas.bind_class(tag, event, self._wheel)

    def _parts(self):
        return [part for field in self.fields.values() for part in field.parts]

    def _wheel(self, event):
        by = {4: -1, 5: +1}.get(event.num) or (-1 if event.delta > 0 else +1)
        self._canvas.yview_scroll(3 * by, "units")
        return "break"

    def _fit(self, event):
        """Use the whole width; comments are wrapped where there is no room for a line of them."""
        self._canvas.itemconfigure(self._item, width=event.width)
        parts = [field.parts[:2] for field in self.fields.values()]
        others = sum(max(part.winfo_reqwidth() for part in column) for column in zip(*parts, strict=True))
        room = max(event.width - others - _PADDING, others // 4)
        for field in self.fields.values():
            field.comment.configure(wraplength=room)

    def field_of(self, widget):
        """Return the field that a widget is part of; None where it is of none."""
        return self._owner.get(str(widget))

    def beside(self, field, by):
        """Return the field that stands so many rows further down, at most the last one."""
        fields = list(self.fields.values())
        return fields[min(max(fields.index(field) + by, 0), len(fields) - 1)]

    def see(self, field):
        """Scroll as little as needed to show a field, with a row above and below it."""
        self._inner.update_idletasks()
        top, height = field.widget.master.winfo_y(), field.widget.master.winfo_height()
        whole, shown = self._inner.winfo_height(), self._canvas.winfo_height()
        first = self._canvas.canvasy(0)
        if top - height < first:
            self._canvas.yview_moveto((top - 2 * height) / whole)
        elif top + 2 * height > first + shown:
            self._canvas.yview_moveto((top + 2 * height - shown) / whole)
