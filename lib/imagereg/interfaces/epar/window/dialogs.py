"""Choose files for a parameter, and choose what to do with its row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from imagereg.interfaces.epar.window import look
from imagereg.parameters import Parameter

if TYPE_CHECKING:
    import tkinter


def ask_for_files(top: tkinter.Toplevel, parameter: Parameter) -> str:
    """Return the names of files that the user chooses for a parameter; empty if none are."""
    from tkinter import filedialog

    title = f"{parameter.name}: {parameter.comment}"
    names: Sequence[str]
    if parameter.file == "list":
        names = filedialog.askopenfilenames(parent=top, title=title)
    elif parameter.file == "in":
        names = [filedialog.askopenfilename(parent=top, title=title)]
    else:  # only named here, not written
        ask = filedialog.asksaveasfilename
        names = [ask(parent=top, title=title, confirmoverwrite=False)]
    return ",".join(_shortened(name) for name in names if name)


def pop_up_menu(window: Any, widget: Any, event: tkinter.Event) -> None:
    """Show what can be done with a row of an `EditorWindow`, at the pointer or below the row."""
    import tkinter

    menu = tkinter.Menu(window.top, tearoff=False)
    look.paint_menu(menu)
    if widget.row.parameter.file:
        menu.add_command(label="Browse files...", command=window.browse)
    if widget.row.kind == "string":
        menu.add_command(label="Clear", command=window.clear)
    menu.add_command(label=f"Default  {widget.row.default}", command=window.unset)
    menu.add_command(label="Help", command=window.help_here)
    if event.num == 3:
        menu.tk_popup(event.x_root, event.y_root)
    else:  # by a key
        control = widget.control
        menu.tk_popup(control.winfo_rootx(), control.winfo_rooty() + control.winfo_height())


def _shortened(path):
    """Return a path relative to the working directory, if it is in there."""
    short = os.path.relpath(path)
    return path if short.startswith(os.pardir) else short
