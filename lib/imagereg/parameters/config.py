"""Parse the text of a ``.cfg`` or ``.cfgspc``."""

from __future__ import annotations

import re

import configobj


class _Config(configobj.ConfigObj):
    """A ConfigObj whose lines are read in time linear in their length.

    The patterns of configobj try every end of a text before each blank that follows it: a line
    with a run of 7,000 blanks took 2 s. Here a run of blanks belongs to a text only where more of
    the text comes after it, so that there is one way to read a line.
    """

    _keyword = re.compile(
        r"""^(\s*)                                            # indentation
        (".*?" | '.*?' | [^'"=\s](?:[^=\s]|\s+(?=[^=\s]))*)  # name
        \s*=\s*(.*)$                                         # value and comment
        """,
        re.VERBOSE,
    )
    _sectionmarker = re.compile(
        r"""^(\s*)((?:\[\s*)+)                                # indentation, opening brackets
        ("\s*[^"\s][^"]*" | '\s*[^'\s][^']*'
         | [^'"\s\[\]](?:[^\]\s]|\s+(?=[^\]\s]))*)            # heading
        ((?:\s*\])+)\s*(\#.*)?$                              # closing brackets, comment
        """,
        re.VERBOSE,
    )
    _nolistvalue = re.compile(
        r"""^(".*?" | '.*?' | [^'"\#\s](?:[^\#\s]|\s+(?=[^\#\s]))* | )  # value
        \s*(\#.*)?$                                         # comment
        """,
        re.VERBOSE,
    )


def read_config(text: str, **options: bool) -> configobj.ConfigObj:
    """Return the parsed text of a ``.cfg`` or ``.cfgspc``."""
    lines = text.removeprefix("\ufeff").split("\n")
    # Without lists: commas are part of a value. Without interpolation: so is %.
    return _Config(lines, list_values=False, interpolation=False, **options)
