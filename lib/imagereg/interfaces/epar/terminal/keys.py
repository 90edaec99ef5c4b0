"""Which key does what in the terminal: IRAF's two tables, and the page that shows them.

Keys are named as prompt_toolkit names them, two in a row with a space between; TAB is ^I, RETURN ^M. Actions are named
as in IRAF's tables, in lower case. `del` and `bs` are the codes 127 and 8, which prompt_toolkit takes for one key.
"""

from __future__ import annotations

import itertools

TAB = "c-i"
_BOTH = {
    "move_up": ("up",), "move_down": ("down",), "move_left": ("left",), "move_right": ("right",),
    "prev_page": ("pageup",), "next_page": ("pagedown",),
    "move_bol": ("home",), "move_eol": ("end",), "del_char": ("delete",),
    "return": ("c-m",), "complete": (TAB,), "cancel": ("escape escape", "escape"),
    "undo": ("escape u",), "redo": ("escape r",), "find": ("escape /",),
    "get_help": ("escape ?", "f1"), "exit_update": ("c-d", "c-z"), "exit_noupdate": ("c-c",),
}
_VI = {
    "move_up": ("c-k",), "move_down": ("c-j",), "move_left": ("bs",), "move_right": ("c-l",),
    "next_word": ("c-w",), "prev_word": ("c-b",), "prev_page": ("c-p",), "next_page": ("c-n",),
    "move_eol": ("c-e",), "move_bol": ("c-a",), "move_start": ("c-t c-s",), "move_end": ("c-t c-e",),
    "del_left": ("del",), "del_char": ("c-f",), "del_word": (f"{TAB} c-w",), "del_line": (f"{TAB} c-d",),
    "undel_char": ("c-u c-c",), "undel_word": ("c-u c-w",), "undel_line": ("c-u c-l",), "repaint": ("c-r",),
}
_EMACS = {
    "move_up": ("c-p",), "move_down": ("c-n", "c-j"), "move_left": ("c-b",), "move_right": ("c-f",),
    "next_word": ("escape f", "escape F"), "prev_word": ("escape b", "escape B"),
    "prev_page": ("escape v", "escape V"), "next_page": ("c-v",),
    "move_eol": ("c-e",), "move_bol": ("c-a",), "move_start": ("escape <",), "move_end": ("escape >",),
    # In IRAF's table DEL is del_char; today it is what the backspace key sends.
    "del_left": ("bs", "del"), "del_word": ("escape d", "escape D"), "del_line": ("c-k",),
    "undel_char": ("escape c-d",), "undel_word": ("escape c-w",), "undel_line": ("escape c-k",), "repaint": ("c-l",),
}
TABLES = {name: {action: own.get(action, ()) + _BOTH.get(action, ()) for action in {**_BOTH, **own}}
          for name, own in (("vi", _VI), ("emacs", _EMACS))}

_LABELS = {"up": "UP", "down": "DOWN", "left": "LEFT", "right": "RIGHT", "escape": "ESC", "del": "DEL", "bs": "^H",
           TAB: "TAB", "c-m": "RETURN"}

_MORE = """
A value       Typing takes the place of the old value; keys that move or delete
              edit it. RETURN goes to the next row. SPACE shows the next choice;
              TAB completes choices and names of files, or shows what there is,
              and opens a parameter set. ESC-ESC brings back the old value; in
              the bottom line, ESC gives up what was begun there.
Rows          (name = value) is hidden: IRAF would not ask for it.
              * marks a value that is not the default, and name - value, in
              grey, a row that does not count while others are as they are.

Before anything is typed in a field:
?             help on the parameter
/text         go to the next row that holds the text; / goes on with the last.
              /path/ is the beginning of a value, where it names files.
:             a command, which may be abbreviated:
:e [set]      edit the parameter set under the cursor, or the one that is named
:e file       read a file that ^D will write
:q            save and leave; a parameter set: back to its task
:q!           leave without saving; a parameter set: back to what it was
:w [file]     save, as a file where one is named; :w! replaces any file
:r file       read a file, which ^D will write then; :r! goes back to the saved
:g            save and run the task; :g! runs it without saving
:undo :redo   take back a change, and make it again
:unset        the default for this row
:unlearn      the defaults for all rows; :unlearn! for the parameter sets too
:help [name]  the whole help; that on one parameter
:notes        what was found in the file that was read
^D saves and leaves, or goes back from a parameter set to its task. ^C leaves
everything without saving.
"""


class Reader:
    """Puts keys together to actions.

    Attributes
    ----------
    pending : str
        The first of two keys, once it was typed. There is no hurry: only TAB, which means something by itself, is put
        together with the next key by who hands it over.
    """

    def __init__(self, table):
        self._actions = {names: action for action, several in TABLES[table].items() for names in several}
        self._first = {names.split()[0] for names in self._actions if " " in names} - {TAB}
        self.pending = ""

    def read(self, key, text="", *, alone=False):
        """Return the action that a key asks for, and the text that it types.

        Parameters
        ----------
        key : str
            Its name.
        text : str
            What it types; empty for a key that has no character.
        alone : bool
            Whether no second key is waited for.

        Returns
        -------
        (str, str) or None
            None where it is the first of two, or means nothing.
        """
        names, self.pending = f"{self.pending} {key}".strip(), ""
        if names in self._first and not alone:
            self.pending = names
        elif names in self._actions:
            return self._actions[names], ""
        elif " " not in names and text:
            return "type", text
        return None


def chosen(editor):
    """Return the name of the table for the command of the user's editor: emacs for one that is called so, else vi."""
    return "emacs" if "emacs" in editor.lower() else "vi"


def label(keys):
    """Return the name of keys as IRAF writes it: ^K, ESC-f, UP."""
    names = [_LABELS.get(key, f"^{key[2:].upper()}" if key.startswith("c-") else key if len(key) == 1 else key.upper())
             for key in keys.split()]
    return "-".join(names) if names[0] == "ESC" else "".join(names)


def page(name):
    """Return the page on the keys of a table: plain text, 80 columns."""
    entries = [f"{action.upper():<14}= {'  '.join(map(label, keys))}" for action, keys in sorted(TABLES[name].items())]
    half = (len(entries) + 1) // 2
    pairs = itertools.zip_longest(entries[:half], entries[half:], fillvalue="")
    lines = [f"  {left:<38}{right}".rstrip() for left, right in pairs]
    return "\n".join([f"EDIT COMMANDS ({name})".center(78).rstrip(), "", *lines, _MORE])
