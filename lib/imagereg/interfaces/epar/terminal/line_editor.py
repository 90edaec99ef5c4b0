"""A line of text that is typed and edited: the value of a row, or what follows ``:`` and ``/``."""

from __future__ import annotations

import dataclasses
import re

_NEXT_WORD = re.compile(r"[^\s,]*[\s,]*")
_LAST_WORD = re.compile(r"[^\s,]*[\s,]*$")


@dataclasses.dataclass(frozen=True)
class LineEditor:
    """A line of text with a cursor; each editing command of IRAF's key tables returns a new line.

    prompt_toolkit's `Buffer` would not shorten this: it has the plain motions, one line each here,
    but no words parted by commas, no first key that replaces the text, and no undelete by kind.

    Parameters
    ----------
    text : str
        The line.
    cursor : int
        Index of the character that the cursor stands on.
    fresh : bool
        Whether nothing has been typed yet: typing then replaces the text.
    deleted : tuple of (str, str)
        What was deleted last, by kind: char, word, line.
    """

    text: str = ""
    cursor: int = 0
    fresh: bool = True
    deleted: tuple[tuple[str, str], ...] = ()

    def type(self, text: str) -> LineEditor:
        """Insert text at the cursor; replace the whole line if it is fresh."""
        start = 0 if self.fresh else self.cursor
        end = len(self.text) if self.fresh else self.cursor
        return self._replaced(start, end, text)

    def move_left(self) -> LineEditor:
        """Move back by one character."""
        return self._moved(self.cursor - 1)

    def move_right(self) -> LineEditor:
        """Move on by one character."""
        return self._moved(self.cursor + 1)

    def move_bol(self) -> LineEditor:
        """Move to the beginning of the line."""
        return self._moved(0)

    def move_eol(self) -> LineEditor:
        """Move to the end of the line."""
        return self._moved(len(self.text))

    def next_word(self) -> LineEditor:
        """Move to the next word; words are parted by blanks and commas."""
        return self._moved(self._word_end())

    def prev_word(self) -> LineEditor:
        """Move to the beginning of this word, or of the one before."""
        before = self.text[:self.cursor].rstrip(" ,")
        words = _LAST_WORD.sub("", before, count=1)
        return self._moved(len(words))

    def del_left(self) -> LineEditor:
        """Delete the character before the cursor; the last character if the line is fresh."""
        end = len(self.text) if self.fresh else self.cursor
        return self._without("char", max(end - 1, 0), end)

    def del_char(self) -> LineEditor:
        """Delete the character under the cursor."""
        return self._without("char", self.cursor, self.cursor + 1)

    def del_word(self) -> LineEditor:
        """Delete from the cursor to the next word."""
        return self._without("word", self.cursor, self._word_end())

    def del_line(self) -> LineEditor:
        """Delete the whole line."""
        return self._without("line", 0, len(self.text))

    def undel_char(self) -> LineEditor:
        """Insert the character that was deleted last."""
        return self._with_deleted("char")

    def undel_word(self) -> LineEditor:
        """Insert the word that was deleted last."""
        return self._with_deleted("word")

    def undel_line(self) -> LineEditor:
        """Insert the line that was deleted last."""
        return self._with_deleted("line")

    def _word_end(self):
        return _NEXT_WORD.match(self.text, self.cursor).end()

    def _moved(self, cursor):
        cursor = min(max(cursor, 0), len(self.text))
        return dataclasses.replace(self, cursor=cursor, fresh=False)

    def _replaced(self, start, end, text):
        whole = self.text[:start] + text + self.text[end:]
        return dataclasses.replace(self, text=whole, cursor=start + len(text), fresh=False)

    def _without(self, kind, start, end):
        gone = self.text[start:end]
        if not gone:
            return self._moved(start)
        deleted = dict(self.deleted) | {kind: gone}
        return dataclasses.replace(self._replaced(start, end, ""), deleted=tuple(deleted.items()))

    def _with_deleted(self, kind):
        return self._replaced(self.cursor, self.cursor, dict(self.deleted).get(kind, ""))


ACTIONS = tuple(
    name for name, member in vars(LineEditor).items()
    if callable(member) and not name.startswith("_")
)
