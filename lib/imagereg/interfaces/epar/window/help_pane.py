"""The help on the current row, beside the form: headings, paragraphs, and links to other rows."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

from imagereg.interfaces.epar.rows import Row
from imagereg.interfaces.epar.window import look
from imagereg.interfaces.epar.window.text_pane import TextPane
from imagereg.parameters import help as pages

if TYPE_CHECKING:
    import tkinter

_WIDTH = 44  # characters: lines of prose that read well in a column


class HelpPane:
    """Help on one row; `go` is called with the row or the section that a link names.

    `frame` is the whole, for the caller to lay out.
    """

    def __init__(self, parent: tkinter.Misc, go: Callable[[str], None]):
        self._go = go
        self._shown: tuple[str, str] = ("", "")
        self._pane = TextPane(parent, width=_WIDTH, font="TkTextFont")
        self.frame = self._pane.frame
        self._pane.text.configure(takefocus=False, spacing3=4, padx=10)
        self.paint()

    def paint(self) -> None:
        """Take over the colours and letters of the application."""
        self._pane.paint()
        text = self._pane.text
        text.tag_configure("name", font="TkHeadingFont", spacing1=4, spacing3=6)
        text.tag_configure("made", foreground=look.colour("grey"), spacing3=8)
        text.tag_configure("item", lmargin2=14)
        text.tag_configure("literal", font="TkFixedFont", wrap="none")
        text.tag_configure("link", foreground=look.colour("link"), underline=True)

    def show(self, task: str, row: Row, help_text: str) -> None:
        """Show the help on a row; `task` is the one whose page it is from."""
        if self._shown == (row.name, help_text):
            return
        self._shown = (row.name, help_text)
        head, _, prose = help_text.partition("\n\n")
        _, *made = head.splitlines()
        self._pane.clear()
        self._pane.add(f"{row.label}\n", "name")
        if not row.pset:
            sentences = [*map(str.strip, made), f"Default: {row.default or 'empty'}."]
            self._pane.add(" ".join(sentences) + "\n", "made")
        for kind, words in pages.blocks(textwrap.dedent(prose)):
            if kind == "literal":
                self._pane.add(f"{words}\n", "literal")
            else:
                self._add_prose(task, kind, f"- {words}" if kind == "item" else words)
        self._pane.text.yview_moveto(0)

    def _add_prose(self, task, kind, words):
        text = self._pane.text
        for piece, target in pages.linked(words, task):
            tags = (kind, "link", f"to {target}") if target else (kind,)
            self._pane.add(piece, tags)
            if target:
                text.tag_bind(f"to {target}", "<Button-1>", lambda _, to=target: self._go(to))
                text.tag_bind(f"to {target}", "<Enter>", lambda _: text.configure(cursor="hand2"))
                text.tag_bind(f"to {target}", "<Leave>", lambda _: text.configure(cursor=""))
        self._pane.add("\n", kind)
