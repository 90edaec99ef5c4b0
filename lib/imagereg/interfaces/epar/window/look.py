"""Colours, styles, letters and sizes that all windows share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from imagereg.files import atomic
from imagereg.parameters import saved

if TYPE_CHECKING:
    import tkinter

#: Colours by use. Text has a contrast of 7:1 or more with its ground, all else 4.5:1 (WCAG 2).
_THEMES = {
    "light": {
        "ground": "#f6f7f9", "field": "#ffffff", "text": "#1b1e23", "line": "#c3c9d2",
        "button": "#e6e9ee", "pressed": "#d3d9e2", "accent": "#0b57d0", "selected": "#cfe0fb",
        "grey": "#6a707a", "wrong": "#b00020", "wrong field": "#ffe1e1", "found": "#ffe680",
        "good": "#146c2e", "link": "#0b57d0",
    },
    "dark": {
        "ground": "#1e2126", "field": "#282c33", "text": "#e6e8ec", "line": "#454b55",
        "button": "#343a43", "pressed": "#454d59", "accent": "#8ab4f8", "selected": "#2c4568",
        "grey": "#9aa2ae", "wrong": "#ff9c9c", "wrong field": "#5a2a30", "found": "#6b5900",
        "good": "#81d69a", "link": "#8ab4f8",
    },
}  # fmt: skip
_FONTS = ("TkDefaultFont", "TkTextFont", "TkFixedFont", "TkHeadingFont", "TkMenuFont")
_SMALLEST = 6  # points or pixels; smaller letters can't be read
_LARGEST = 40  # points or pixels: four times the usual ones
_current = "dark" if "dark" in os.environ.get("GTK_THEME", "").lower() else "light"


def colour(use: str) -> str:
    """Return the colour for a use, such as 'wrong', in the present theme."""
    return _THEMES[_current][use]


def recall_theme() -> None:
    """Take the theme that the user chose last, in any window; else that of the desktop."""
    global _current
    path = _theme_file()
    if os.path.isfile(path):
        chosen = atomic.read_text(path).strip()
        if chosen in _THEMES:
            _current = chosen


def swap_theme() -> None:
    """Take dark colours in place of light ones, or the other way round, also the next time.

    Raises
    ------
    InputError
        That can't be saved; the colours are changed all the same.
    """
    global _current
    _current = "light" if _current == "dark" else "dark"
    saved.make_folder(os.path.dirname(_theme_file()))
    atomic.write_text(_theme_file(), f"{_current}\n")


def _theme_file():
    """Return the file in the user's folder that holds the name of the theme."""
    return os.path.join(os.path.dirname(saved.user_file("tweakreg")), "theme")


def make_styles(widget: tkinter.Misc) -> None:
    """Define the styles of all controls for the present theme and letters."""
    from tkinter import font, ttk

    style = ttk.Style(widget)
    height = font.nametofont("TkDefaultFont", widget).metrics("linespace")
    if widget.tk.call("tk", "windowingsystem") == "x11":
        _paint(widget, style)
    for kind in ("TEntry", "TCombobox", "TCheckbutton", "TButton"):
        style.configure(f"Off.{kind}", foreground=colour("grey"))
        style.configure(
            f"Bad.{kind}", foreground=colour("wrong"), fieldbackground=colour("wrong field")
        )
    for kind in ("TCheckbutton", "Off.TCheckbutton"):
        style.configure(kind, indicatorsize=round(0.7 * height), padding=1)
    style.configure("TButton", padding=(round(0.4 * height), round(0.2 * height)), width=-6)
    style.configure("Browse.TButton", padding=(4, 0), width=3, anchor="center")
    style.configure("TCombobox", arrowsize=round(0.8 * height))
    # The clam theme draws a list of choices grey, as if it could not be used.
    ground = style.lookup("TEntry", "fieldbackground") or "white"
    for kind in ("TCombobox", "Off.TCombobox"):
        style.map(kind, fieldbackground=[("readonly", ground)])


def _paint(widget, style):
    """Draw ttk's flat theme, and Tk's own menus and lists, in our colours."""
    ground, field, text, line, accent = map(colour, ("ground", "field", "text", "line", "accent"))
    style.theme_use("clam")
    style.configure(
        ".", background=ground, foreground=text, fieldbackground=field, insertcolor=text,
        bordercolor=line, lightcolor=ground, darkcolor=ground, troughcolor=colour("button"),
        selectbackground=colour("selected"), selectforeground=text, arrowcolor=text,
        indicatorbackground=field, indicatorforeground=accent, focuscolor=accent,
    )
    button, pressed = colour("button"), colour("pressed")
    for kind in ("TButton", "Vertical.TScrollbar"):
        style.configure(kind, background=button, lightcolor=button, darkcolor=button)
        style.map(kind, background=[("pressed", pressed), ("active", pressed)])
    style.configure(
        "TCheckbutton", indicatorbackground=field, indicatorforeground=accent,
        upperbordercolor=line, lowerbordercolor=line,
    )
    style.map(
        "TCheckbutton", background=[("active", ground)], indicatorbackground=[("active", field)]
    )
    for kind in ("TEntry", "TCombobox"):
        style.configure(kind, lightcolor=field, padding=(3, 1))
        style.map(kind, bordercolor=[("focus", accent)], lightcolor=[("focus", accent)])
    style.configure("TCombobox", background=button)
    style.configure("Horizontal.TProgressbar", background=colour("accent"))
    lists = {"background": field, "foreground": text, "selectBackground": colour("selected"),
             "selectForeground": text}
    for name, value in lists.items():
        widget.option_add(f"*TCombobox*Listbox.{name}", value)
    root = widget.nametowidget(".")
    for top in (root, *root.winfo_children()):
        if top.winfo_class() == "Toplevel":
            top.configure(background=ground)


def paint_menu(menu: tkinter.Menu) -> None:
    """Draw a menu in the colours of the theme."""
    if menu.tk.call("tk", "windowingsystem") == "x11":
        menu.configure(
            background=colour("button"), foreground=colour("text"), relief="flat",
            activebackground=colour("selected"), activeforeground=colour("text"),
        )


def letter_width(widget: tkinter.Misc) -> int:
    """Return the width of a usual letter, in pixels."""
    from tkinter import font

    return font.nametofont("TkDefaultFont", widget).measure("n")


def resize_letters(widget: tkinter.Misc, by: int) -> None:
    """Make the letters of the application larger or smaller."""
    from tkinter import font

    for name in _FONTS:
        named = font.nametofont(name, widget)
        size = named.cget("size")
        resized = abs(size) + by
        if _SMALLEST <= resized <= _LARGEST:
            named.configure(size=resized if size > 0 else -resized)  # negative: pixels
    widget.update_idletasks()  # else entries draw their text where the old letters were
    make_styles(widget)


def fit(top: tkinter.Toplevel) -> None:
    """Give a window the size that it asks for, as far as the screen has room.

    The margins are for borders, title and panel.
    """
    top.update_idletasks()
    width = min(top.winfo_reqwidth(), top.winfo_screenwidth() - 20)
    height = min(top.winfo_reqheight(), top.winfo_screenheight() - 60)
    top.geometry(f"{width}x{height}")
