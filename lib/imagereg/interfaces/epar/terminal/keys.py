"""Key tables of the terminal, IRAF's two, and the page that explains them.

Keys have prompt_toolkit's names, two in a row with a space between; TAB is ^I, RETURN ^M. Actions
have the names of IRAF's tables, in lower case. `del` and `bs` are the codes 127 and 8, which
prompt_toolkit takes for one key.
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
}  # fmt: skip
_VI = {
    "move_up": ("c-k",), "move_down": ("c-j",), "move_left": ("bs",), "move_right": ("c-l",),
    "next_word": ("c-w",), "prev_word": ("c-b",), "prev_page": ("c-p",), "next_page": ("c-n",),
    "move_eol": ("c-e",), "move_bol": ("c-a",),
    "move_start": ("c-t c-s",), "move_end": ("c-t c-e",),
    "del_left": ("del",), "del_char": ("c-f",),
    "del_word": (f"{TAB} c-w",), "del_line": (f"{TAB} c-d",),
    "undel_char": ("c-u c-c",), "undel_word": ("c-u c-w",), "undel_line": ("c-u c-l",),
    "repaint": ("c-r",),
}  # fmt: skip
_EMACS = {
    "move_up": ("c-p",), "move_down": ("c-n", "c-j"),
    "move_left": ("c-b",), "move_right": ("c-f",),
    "next_word": ("escape f", "escape F"), "prev_word": ("escape b", "escape B"),
    "prev_page": ("escape v", "escape V"), "next_page": ("c-v",),
    "move_eol": ("c-e",), "move_bol": ("c-a",),
    "move_start": ("escape <",), "move_end": ("escape >",),
    # DEL is del_char in IRAF's table, but is what the backspace key of today sends.
    "del_left": ("bs", "del"), "del_word": ("escape d", "escape D"), "del_line": ("c-k",),
    "undel_char": ("escape c-d",), "undel_word": ("escape c-w",), "undel_line": ("escape c-k",),
    "repaint": ("c-l",),
}  # fmt: skip


def _with_both(own):
    actions = _BOTH | own  # order of the actions
    return {action: own.get(action, ()) + _BOTH.get(action, ()) for action in actions}


TABLES = {"vi": _with_both(_VI), "emacs": _with_both(_EMACS)}

_LABELS = {
    "up": "UP", "down": "DOWN", "left": "LEFT", "right": "RIGHT", "escape": "ESC",
    "del": "DEL", "bs": "^H", TAB: "TAB", "c-m": "RETURN",
}  # fmt: skip

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
/text         go to the next row that holds it, in the parameter sets too;
              / goes on with the last. /path/ is the beginning of a value, where
              it names files.
:             a command, which may be abbreviated; TAB completes it, and names
              of parameters and files after it:
:most         only the parameters that most users need; again for all of them
:e [set]      edit the parameter set under the cursor, or the one that is named
:q            save and leave; a parameter set: back to its task
:q!           leave without saving; a parameter set: back to what it was
:w [file]     save, as a file where one is named; :w! replaces any file
:r file       read a file, which ^D will write then; :r! goes back to the saved
:g            save and run the task; :g! runs it without saving
:undo :redo   take back a change, and make it again
:unset        the default for this row; :unlearn for all, :unlearn! in sets too
:help [name]  the whole help; that on one parameter; :notes on the file read
^D saves and leaves, or goes back from a parameter set to its task. ^C leaves
everything without saving. The mouse points at a row, and turns pages.
"""


class Reader:
    """Translate keys to actions, putting two keys together where the table has such a pair.

    `pending` is the first of two keys, once typed. The second may come at any time; only TAB, which
    has a meaning by itself, must be joined to its second key by the caller.
    """

    def __init__(self, table: str):
        self._actions = {
            sequence: action for action, several in TABLES[table].items() for sequence in several
        }
        self._first = {sequence.split()[0] for sequence in self._actions if " " in sequence}
        self._first.discard(TAB)
        self.pending = ""

    def read(self, key: str, text: str = "", *, alone: bool = False) -> tuple[str, str] | None:
        """Return the action that a key asks for, and the text that it types.

        None if the key is the first of two, or means nothing. `text` is empty for a key without a
        character; `alone` takes the key by itself, not as the first of two.
        """
        sequence = f"{self.pending} {key}".strip()
        self.pending = ""
        if sequence in self._first and not alone:
            self.pending = sequence
        elif sequence in self._actions:
            return self._actions[sequence], ""
        elif " " not in sequence and text:
            return "type", text
        return None


def table_for(editor: str) -> str:
    """Return the key table for the command of the user's editor: vi unless it names emacs."""
    return "emacs" if "emacs" in editor.lower() else "vi"


def label(sequence: str) -> str:
    """Return the name of one or two keys as IRAF writes it: ^K, ESC-f, UP."""
    names = [_label(key) for key in sequence.split()]
    return ("-" if names[0] == "ESC" else "").join(names)


def _label(key):
    if key in _LABELS:
        return _LABELS[key]
    if key.startswith("c-"):
        return f"^{key[2:].upper()}"
    return key if len(key) == 1 else key.upper()


def page(table: str) -> str:
    """Return the help page on the keys of a table: plain text, 80 columns."""
    entries = [
        f"{action.upper():<14}= {'  '.join(map(label, sequences))}"
        for action, sequences in sorted(TABLES[table].items())
    ]
    half = (len(entries) + 1) // 2
    pairs = itertools.zip_longest(entries[:half], entries[half:], fillvalue="")
    lines = [f"  {left:<38}{right}".rstrip() for left, right in pairs]
    title = f"EDIT COMMANDS ({table})".center(78).rstrip()
    return "\n".join([title, "", *lines, _MORE])
