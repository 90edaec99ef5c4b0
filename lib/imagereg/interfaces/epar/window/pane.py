"""Text in a window, to be read: help, notes, what a task tells while it runs."""

from __future__ import annotations

_SCROLL = {"<Up>": (-1, "units"), "<Down>": (1, "units"), "<Prior>": (-1, "pages"), "<Next>": (1, "pages")}
_RED, _FOUND = "#b00020", "#ffe680"


class Pane:
    """Text with a scroll bar, which can be read and copied but not changed.

    Parameters
    ----------
    parent : tkinter widget
        What holds it.
    width : int
        Characters in a line.

    Attributes
    ----------
    frame : tkinter widget
        The whole, to be laid out.
    text : tkinter.Text
        What takes the keyboard.
    """

    def __init__(self, parent, width=82):
        import tkinter
        from tkinter import ttk

        self.frame = ttk.Frame(parent)
        self.text = tkinter.Text(self.frame, width=width, height=24, font="TkFixedFont", wrap="word", state="disabled",
                                 padx=6, pady=4, background="white", foreground="black")
        bar = ttk.Scrollbar(self.frame, command=self.text.yview)
        self.text.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self.text.pack(side="left", fill="both", expand=True)
        self.text.tag_configure("error", foreground=_RED)
        self.text.tag_configure("found", background=_FOUND)
        for key, (number, what) in _SCROLL.items():
            self.text.bind(key, lambda _, number=number, what=what: self.text.yview_scroll(number, what) or "break")
        for key, fraction in (("<Home>", 0), ("<End>", 1)):
            self.text.bind(key, lambda _, fraction=fraction: self.text.yview_moveto(fraction) or "break")

    def add(self, text, tag=""):
        """Put text at the end; it is followed where the end was in view."""
        at_end = self.text.yview()[1] >= 1
        self.text.configure(state="normal")
        self.text.insert("end", text, tag)
        self.text.configure(state="disabled")
        if at_end:
            self.text.see("end")

    def point_to(self, passage):
        """Bring a passage to the top and mark it; nothing where it is empty or not there."""
        self.text.tag_remove("found", "1.0", "end")
        first = self.text.search(passage, "1.0") if passage else ""
        if first:
            self.text.tag_add("found", first, f"{first}+{len(passage)}c")
            self.text.yview(first)


def fit(top):
    """Give a window the size that it asks for, as far as the screen has it; letters made larger do not change that."""
    top.update_idletasks()
    width, height = top.winfo_reqwidth(), top.winfo_reqheight()
    top.geometry(f"{min(width, top.winfo_screenwidth() - 20)}x{min(height, top.winfo_screenheight() - 60)}")


def show(owner, title, text, passage=""):
    """Open a window with a text, or the one of this title that is open already.

    Parameters
    ----------
    owner : tkinter.Toplevel
        Window that it belongs to, and closes with.
    title : str
        Of the window.
    text : str
        What to show.
    passage : str
        What to bring into view.
    """
    import tkinter

    for window in owner.winfo_children():
        if window.winfo_class() == "Toplevel" and window.title() == title:
            window.pane.point_to(passage)
            window.lift()
            window.pane.text.focus_set()
            return
    window = tkinter.Toplevel(owner)
    window.title(title)
    window.pane = Pane(window)
    window.pane.frame.pack(fill="both", expand=True)
    window.pane.add(text)
    window.pane.text.yview_moveto(0)
    fit(window)
    window.update()
    window.pane.point_to(passage)
    window.bind("<Escape>", lambda _: (window.destroy(), owner.focus_set()))
    window.pane.text.focus_set()
