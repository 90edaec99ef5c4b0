"""One line of text that is typed and edited, with a cursor: the value of a row, or what follows ``:`` and ``/``."""

from __future__ import annotations

import dataclasses
import re

_NEXT_WORD = re.compile(r"[^\s,]*[\s,]*")
_LAST_WORD = re.compile(r"[^\s,]*[\s,]*$")


@dataclasses.dataclass(frozen=True)
class Field:
    """A line of text with a cursor; the verbs are named as in IRAF's tables of keys, and give a new field.

    Parameters
    ----------
    text : str
        What it holds.
    at : int
        Where the cursor is: before the character of this index.
    fresh : bool
        Whether it is as it was found: then what is typed takes its place.
    deleted : tuple of (str, str)
        What was deleted last, by kind: char, word, line.
    """

    text: str = ""
    at: int = 0
    fresh: bool = True
    deleted: tuple = ()

    def type(self, text):
        """Put text at the cursor; in place of all, where it is the first."""
        kept = dataclasses.replace(self, text="", at=0) if self.fresh else self
        return kept._cut(kept.at, kept.at, text)

    def move_left(self):
        """One character back."""
        return self._to(self.at - 1)

    def move_right(self):
        """One character on."""
        return self._to(self.at + 1)

    def move_bol(self):
        """Before the first character."""
        return self._to(0)

    def move_eol(self):
        """After the last character."""
        return self._to(len(self.text))

    def next_word(self):
        """To the next word; commas part words too."""
        return self._to(_NEXT_WORD.match(self.text, self.at).end())

    def prev_word(self):
        """To the beginning of this word, or of the one before."""
        return self._to(_LAST_WORD.search(self.text[:self.at].rstrip(" ,")).start())

    def del_left(self):
        """Delete the character before the cursor; the last one, where nothing was typed yet."""
        end = len(self.text) if self.fresh else self.at
        return self._delete("char", max(end - 1, 0), end)

    def del_char(self):
        """Delete the character under the cursor."""
        return self._delete("char", self.at, self.at + 1)

    def del_word(self):
        """Delete from the cursor to the next word."""
        return self._delete("word", self.at, self.next_word().at)

    def del_line(self):
        """Delete all."""
        return self._delete("line", 0, len(self.text))

    def undel_char(self):
        """Put the character that was deleted last at the cursor."""
        return self._undelete("char")

    def undel_word(self):
        """Put the word that was deleted last at the cursor."""
        return self._undelete("word")

    def undel_line(self):
        """Put the line that was deleted last at the cursor."""
        return self._undelete("line")

    def _to(self, at):
        return dataclasses.replace(self, at=min(max(at, 0), len(self.text)), fresh=False)

    def _cut(self, start, end, text=""):
        return dataclasses.replace(self, text=self.text[:start] + text + self.text[end:], at=start + len(text),
                                   fresh=False)

    def _delete(self, kind, start, end):
        if not (gone := self.text[start:end]):
            return self._to(start)
        return dataclasses.replace(self._cut(start, end), deleted=tuple({**dict(self.deleted), kind: gone}.items()))

    def _undelete(self, kind):
        return self._cut(self.at, self.at, dict(self.deleted).get(kind, ""))


EDITS = tuple(name for name in vars(Field) if not name.startswith("_") and callable(getattr(Field, name)))
