"""What can be done in a window: one table that makes the menus, the keys, and the help on keys."""

from __future__ import annotations

# Menu, line in it, key as users call it, Tk's name of the key, verb of the window.
VERBS = (
    ("File", "Open...", "Ctrl-O", "<Control-o>", "load"),
    ("File", "Save", "Ctrl-S", "<Control-s>", "save"),
    ("File", "Save As...", "Ctrl-Shift-S", "<Control-Shift-S>", "save_as"),
    ("File", "Notes on the file", "Ctrl-N", "<Control-n>", "show_notes"),
    ("File", "Execute", "Ctrl-Return", "<Control-Return>", "execute"),
    ("File", "Close", "Esc", "<Escape>", "escape"),
    ("Edit", "Undo", "Ctrl-Z", "<Control-z>", "undo"),
    ("Edit", "Redo", "Ctrl-Y", "<Control-y>", "redo"),
    ("Edit", "Default of this parameter", "Ctrl-BackSpace", "<Control-BackSpace>", "unset"),
    ("Edit", "Defaults of all", "Ctrl-D", "<Control-d>", "unlearn"),
    ("Edit", "Browse files...", "Ctrl-B", "<Control-b>", "browse"),
    ("Edit", "Find...", "Ctrl-F", "<Control-f>", "finder.open"),
    ("Edit", "Find next", "F3", "<F3>", "finder.next"),
    ("Edit", "Find previous", "Shift-F3", "<Shift-F3>", "finder.previous"),
    ("View", "Larger letters", "Ctrl-plus", "<Control-plus>", "larger"),
    ("View", "Smaller letters", "Ctrl-minus", "<Control-minus>", "smaller"),
    ("Help", "This parameter", "F1", "<F1>", "help_here"),
    ("Help", "The task", "Shift-F1", "<Shift-F1>", "help_all"),
    ("Help", "Keys", "F2", "<F2>", "help_keys"),
)
_OTHERS = """\
Tab, Return, Down    check the value and go to the next one
Shift-Tab, Up        the one before
PageDown, PageUp     ten rows on, back; Ctrl-Home, Ctrl-End: the first, the last
Space                yes or no; the list of choices
Space, Return        open a parameter set
y, n                 yes, no; any letter: the next choice that begins with it
Left, Right          the choice before, the next choice
Esc                  give up what is typed; else close
Menu, Shift-F10      what can be done with the row, as the right mouse button

•  not the default      *  not saved      grey: not used at present
"""


def menu(top, verbs, obey):
    """Return the menus of a window.

    Parameters
    ----------
    top : tkinter.Toplevel
        The window.
    verbs : sequence
        Lines of `VERBS`.
    obey : callable
        Called with the verb that was chosen.
    """
    import tkinter

    bar, menus = tkinter.Menu(top, tearoff=False), {}
    for name, line, key, _, verb in verbs:
        if name not in menus:
            menus[name] = tkinter.Menu(bar, tearoff=False)
            bar.add_cascade(label=name, menu=menus[name], underline=0)
        menus[name].add_command(label=line, accelerator=key, command=lambda verb=verb: obey(verb))
    return bar


def bind(bind_one, verbs, obey):
    """Give keys to verbs; letters too where Caps Lock is on.

    Parameters
    ----------
    bind_one : callable
        Called with a key and what is to be called with its event.
    verbs : sequence
        Lines of `VERBS`.
    obey : callable
        Called with the verb.
    """
    def pressed(verb):
        obey(verb)
        return "break"

    for *_, key, verb in verbs:
        for event in {key, f"{key[:-2]}{key[-2].upper()}>"} if key[-3] == "-" else {key}:
            bind_one(event, lambda _, verb=verb: pressed(verb))


def explained(verbs):
    """Return what the keys do: plain text, 80 columns."""
    return "\n".join(f"{key:<21}{name}: {line}" for name, line, key, *_ in verbs) + f"\n\n{_OTHERS}"
