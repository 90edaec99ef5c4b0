"""Text to read in a window: help, notes, the log of a running task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagereg.interfaces.epar.window import look

if TYPE_CHECKING:
    import tkinter

_SCROLL = {
    "<Up>": (-1, "units"),
    "<Down>": (1, "units"),
    "<Prior>": (-1, "pages"),
    "<Next>": (1, "pages"),
}


class TextPane:
    """Text with a scroll bar, which can be read and copied but not changed.

    `frame` is the whole, for the caller to lay out; `text` takes the keyboard. Lines have `width`
    characters.
    """

    def __init__(self, parent: tkinter.Misc, width: int = 82, font: str = "TkFixedFont"):
        import tkinter
        from tkinter import ttk

        self.frame = ttk.Frame(parent)
        self.text = tkinter.Text(
            self.frame, width=width, height=24, font=font, wrap="word", state="disabled", padx=6,
            pady=4, borderwidth=0, highlightthickness=1,
        )
        bar = ttk.Scrollbar(self.frame, command=self.text.yview)
        self.text.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self.text.pack(side="left", fill="both", expand=True)
        self.paint()
        for key, amount in _SCROLL.items():
            self._bind(key, lambda amount=amount: self.text.yview_scroll(*amount))
        self._bind("<Home>", lambda: self.text.yview_moveto(0))
        self._bind("<End>", lambda: self.text.yview_moveto(1))

    def paint(self) -> None:
        """Take over the colours of the theme."""
        self.text.configure(
            background=look.colour("field"), foreground=look.colour("text"),
            highlightbackground=look.colour("line"), highlightcolor=look.colour("accent"),
            selectbackground=look.colour("selected"), selectforeground=look.colour("text"),
        )
        self.text.tag_configure("error", foreground=look.colour("wrong"))
        self.text.tag_configure("good", foreground=look.colour("good"))
        self.text.tag_configure("verdict", font="TkHeadingFont", spacing3=4)
        self.text.tag_configure("found", background=look.colour("found"))

    def clear(self) -> None:
        """Remove all text."""
        self.text.configure(state="normal")
        self.text.delete("1.0", "end")
        self.text.configure(state="disabled")

    def _bind(self, key, scroll):
        def pressed(_):
            scroll()
            return "break"

        self.text.bind(key, pressed)

    def add(self, text: str, tag: str | tuple[str, ...] = "") -> None:
        """Append text with a tag, or several; scroll on to it if the end was in view."""
        at_end = self.text.yview()[1] >= 1
        self.text.configure(state="normal")
        self.text.insert("end", text, tag)
        self.text.configure(state="disabled")
        if at_end:
            self.text.see("end")

    def take_back(self, text: str) -> None:
        """Remove a text from the end, if it stands there."""
        begin = f"end-1c-{len(text)}c"
        if self.text.get(begin, "end-1c") == text:
            self.text.configure(state="normal")
            self.text.delete(begin, "end-1c")
            self.text.configure(state="disabled")

    def point_to(self, passage: str) -> None:
        """Scroll to a passage and mark it; do nothing if it is empty or not there."""
        self.text.tag_remove("found", "1.0", "end")
        first = self.text.search(passage, "1.0") if passage else ""
        if first:
            self.text.tag_add("found", first, f"{first}+{len(passage)}c")
            self.text.yview(first)


def show(owner: tkinter.Toplevel, title: str, text: str, passage: str = "") -> None:
    """Open a window with a text, or raise the one with this title; mark a passage of it.

    The window belongs to `owner`, and closes with it.
    """
    import tkinter

    toplevels = (w for w in owner.winfo_children() if isinstance(w, tkinter.Toplevel))
    window: Any = next((w for w in toplevels if w.title() == title), None)

    def close(_):
        window.destroy()
        owner.focus_set()

    if window:
        window.lift()
    else:
        window = tkinter.Toplevel(owner)
        window.title(title)
        window.pane = TextPane(window)
        window.pane.frame.pack(fill="both", expand=True)
        window.pane.add(text)
        window.pane.text.yview_moveto(0)
        look.fit(window)
        window.update()
        window.bind("<Escape>", close)
    window.pane.point_to(passage)
    window.pane.text.focus_set()
