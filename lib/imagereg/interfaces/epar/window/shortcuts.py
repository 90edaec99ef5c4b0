"""What can be done in a window: one table that makes the menus, the keys, and the help on keys."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from imagereg.interfaces.epar.window import look

if TYPE_CHECKING:
    import tkinter


class Shortcut(NamedTuple):
    """A line in a menu, and its key."""

    menu: str
    line: str
    key: str  # as users call it
    event: str  # as Tk calls it
    verb: str  # method of `EditorWindow`


SHORTCUTS = (
    Shortcut("File", "Open...", "Ctrl-O", "<Control-o>", "load"),
    Shortcut("File", "Save", "Ctrl-S", "<Control-s>", "save"),
    Shortcut("File", "Save As...", "Ctrl-Shift-S", "<Control-Shift-S>", "save_as"),
    Shortcut("File", "Notes on the file", "Ctrl-N", "<Control-n>", "show_notes"),
    Shortcut("File", "Execute", "Ctrl-Return", "<Control-Return>", "execute"),
    Shortcut("File", "Close", "Esc", "<Escape>", "escape"),
    Shortcut("Edit", "Undo", "Ctrl-Z", "<Control-z>", "undo"),
    Shortcut("Edit", "Redo", "Ctrl-Y", "<Control-y>", "redo"),
    Shortcut(
        "Edit", "Default of this parameter", "Ctrl-BackSpace", "<Control-BackSpace>", "unset"
    ),
    Shortcut("Edit", "Defaults of all", "Ctrl-D", "<Control-d>", "unlearn"),
    Shortcut("Edit", "Browse files...", "Ctrl-B", "<Control-b>", "browse"),
    Shortcut("Edit", "Find...", "Ctrl-F", "<Control-f>", "search.open"),
    Shortcut("Edit", "Find next", "F3", "<F3>", "search.next"),
    Shortcut("Edit", "Find previous", "Shift-F3", "<Shift-F3>", "search.previous"),
    Shortcut("View", "Most used parameters", "Ctrl-M", "<Control-m>", "most_used"),
    Shortcut("View", "Help beside the form", "F9", "<F9>", "toggle_help"),
    Shortcut("View", "Dark or light", "Ctrl-L", "<Control-l>", "swap_theme"),
    Shortcut("View", "Larger letters", "Ctrl-plus", "<Control-plus>", "larger"),
    Shortcut("View", "Smaller letters", "Ctrl-minus", "<Control-minus>", "smaller"),
    Shortcut("Help", "This parameter", "F1", "<F1>", "help_here"),
    Shortcut("Help", "The task", "Shift-F1", "<Shift-F1>", "help_all"),
    Shortcut("Help", "Keys", "F2", "<F2>", "help_keys"),
)
_OTHERS = """\
Tab, Return, Down    check the value and go to the next one
Shift-Tab, Up        the one before
PageDown, PageUp     ten rows on, back; Ctrl-Home, Ctrl-End: the first, the last
Space                yes or no; the list of choices
Space, Return        show the parameters of a set, or hide them
y, n                 yes, no; any letter: the next choice that begins with it
Left, Right          the choice before, the next choice
Esc                  give up what is typed; else close
Menu, Shift-F10      what can be done with the row, as the right mouse button

•  not the default      *  not saved      grey: not used at present
"""


def make_menu(
    top: tkinter.Toplevel, shortcuts: Sequence[Shortcut], obey: Callable[[str], None]
) -> tkinter.Menu:
    """Return the menu bar of a window; `obey` is called with the verb that was chosen."""
    import tkinter

    bar = tkinter.Menu(top, tearoff=False)
    look.paint_menu(bar)
    menus: dict[str, tkinter.Menu] = {}
    for name, line, key, _, verb in shortcuts:
        if name not in menus:
            menus[name] = tkinter.Menu(bar, tearoff=False)
            look.paint_menu(menus[name])
            bar.add_cascade(label=name, menu=menus[name], underline=0)
        command = functools.partial(obey, verb)
        menus[name].add_command(label=line, accelerator=key, command=command)
    return bar


def bind_keys(
    bind: Callable, shortcuts: Sequence[Shortcut], obey: Callable[[str], None]
) -> None:
    """Bind keys to verbs, letters also as capitals, which Caps Lock sends.

    `bind` is called with a key and a function of its event; `obey` with the verb.
    """
    for shortcut in shortcuts:
        def pressed(_, verb=shortcut.verb):
            obey(verb)
            return "break"

        event = shortcut.event
        bind(event, pressed)
        modifier, _, key = event.strip("<>").rpartition("-")
        if len(key) == 1 and key.islower():
            bind(f"<{modifier}-{key.upper()}>", pressed)


def explain(shortcuts: Sequence[Shortcut]) -> str:
    """Return what the keys do: plain text, 80 columns."""
    lines = [f"{shortcut.key:<21}{shortcut.menu}: {shortcut.line}" for shortcut in shortcuts]
    return "\n".join([*lines, "", _OTHERS])
