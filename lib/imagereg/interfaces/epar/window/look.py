"""Colours, styles, letters and sizes that all windows share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tkinter

GREY = "#707070"  # not in use
RED = "#b00020"  # wrong
PINK = "#ffd6d6"  # behind what is wrong
YELLOW = "#ffe680"  # found
_FONTS = ("TkDefaultFont", "TkTextFont", "TkFixedFont", "TkHeadingFont", "TkMenuFont")
_SMALLEST = 6  # points or pixels; smaller letters can't be read


def make_styles(widget: tkinter.Misc) -> None:
    """Define the styles of controls that are not in use or hold wrong values, for these letters."""
    from tkinter import font, ttk

    style = ttk.Style(widget)
    height = font.nametofont("TkDefaultFont", widget).metrics("linespace")
    for kind in ("TEntry", "TCombobox", "TCheckbutton", "TButton"):
        style.configure(f"Off.{kind}", foreground=GREY)
        style.configure(f"Bad.{kind}", foreground=RED, fieldbackground=PINK)
    for kind in ("TCheckbutton", "Off.TCheckbutton"):
        style.configure(kind, indicatorsize=round(0.7 * height), padding=1)
    style.configure("Browse.TButton", padding=(4, 0), width=3, anchor="center")
    style.configure("TCombobox", arrowsize=round(0.8 * height))
    # The clam theme draws a list of choices grey, as if it could not be used.
    ground = style.lookup("TEntry", "fieldbackground") or "white"
    for kind in ("TCombobox", "Off.TCombobox"):
        style.map(kind, fieldbackground=[("readonly", ground)])


def resize_letters(widget: tkinter.Misc, by: int) -> None:
    """Make the letters of the application larger or smaller."""
    from tkinter import font

    for name in _FONTS:
        named = font.nametofont(name, widget)
        size = named.cget("size")
        resized = abs(size) + by
        if resized >= _SMALLEST:
            named.configure(size=resized if size > 0 else -resized)  # negative: pixels
    make_styles(widget)


def fit(top: tkinter.Toplevel) -> None:
    """Fix a window at the size that it asks for, as far as the screen has room.

    Larger letters do not change it then. The margins are for borders, title and panel.
    """
    top.update_idletasks()
    width = min(top.winfo_reqwidth(), top.winfo_screenwidth() - 20)
    height = min(top.winfo_reqheight(), top.winfo_screenheight() - 60)
    top.geometry(f"{width}x{height}")
