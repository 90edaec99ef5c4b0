"""The prompt_toolkit application that gives a session its keyboard and its display."""

from __future__ import annotations

import asyncio
import os
import sys

from imagereg.errors import InputError
from imagereg.interfaces.epar.model import Model
from imagereg.interfaces.epar.terminal import keys, screen
from imagereg.interfaces.epar.terminal.session import Session

# Seconds to wait for the rest of the characters that a function key sends after its Escape; over
# a slow line they do not come at once.
_ESCAPE_TIMEOUT = 0.2
_COLOURS = 8  # the fewest of a terminal that has colours
_SCROLLING = {"SCROLL_UP": "move_up", "SCROLL_DOWN": "move_down"}  # of the mouse
_TAB_TIMEOUT = 0.3  # seconds after TAB in which ^W and ^D are its second key


def edit(model: Model) -> None:
    """Let the user edit a model in the terminal; then run it, if asked for, on the plain screen.

    Raises
    ------
    InputError
        If prompt_toolkit is missing.
    ImageregError
        What the task raises.
    """
    editor = os.environ.get("editor") or os.environ.get("EDITOR") or "vi"
    session = Session(model, table=keys.table_for(editor))
    _application(session).run(in_thread=_in_event_loop())
    if session.end.startswith("run"):
        sys.stdout.write(f"{model.task} is executed; Ctrl-C stops it\n")
        sys.stdout.flush()
        model.run(save=session.end == "run")


def _in_event_loop():
    """Whether the caller has an event loop running, as ``python -m asyncio`` has."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _application(session):
    """Return the application that shows a session, and ends when the session does."""
    try:
        from prompt_toolkit.application import Application
        from prompt_toolkit.data_structures import Point
        from prompt_toolkit.layout import FormattedTextControl, Layout, Window
        from prompt_toolkit.output import ColorDepth
    except ImportError as error:
        problem = "the editor needs prompt_toolkit in a terminal, and it can't be imported"
        raise InputError(f"{problem}: {error}") from None
    cursor = Point(0, 0)

    def text():
        nonlocal cursor
        size = app.output.get_size()
        session.height = size.rows
        session.width = size.columns
        lines, position = screen.draw(session, size.columns, size.rows)
        # Outside the screen it would make prompt_toolkit scroll, and never back.
        cursor = Point(min(position[0], size.columns - 1), min(position[1], size.rows - 1))
        parts = [part for line in lines for part in (*line, ("", "\n"))][:-1]
        return [(style, text, point_at) for style, text in parts]

    def point_at(event):
        name = screen.row_at(session, session.height, event.position.y)
        read = _pointed(event.event_type.name, name, bool(session.page))
        _press(app, session, read)

    control = FormattedTextControl(text, focusable=True, get_cursor_position=lambda: cursor)
    app = Application(
        Layout(Window(control)),
        full_screen=True,
        key_bindings=_bindings(session),
        color_depth=ColorDepth.DEPTH_4_BIT if _has_colours() else ColorDepth.DEPTH_1_BIT,
        mouse_support=True,
        enable_page_navigation_bindings=False,
    )
    app.ttimeoutlen = _ESCAPE_TIMEOUT
    app.timeoutlen = _TAB_TIMEOUT
    return app


def _has_colours():
    """Whether the terminal has colours and the user wants them (https://no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    try:
        import curses

        curses.setupterm()
        return curses.tigetnum("colors") >= _COLOURS
    except (ImportError, OSError, ValueError, curses.error):
        return False


def _pointed(kind, name, is_page):
    """Return the action that a mouse asks for, and the row that it points at."""
    if kind in _SCROLLING:
        return _SCROLLING[kind], ""
    if kind == "MOUSE_UP" and name and not is_page:
        return "click", name
    return None


def _bindings(session):
    """Return key bindings that pass the actions of the session's table on to it."""
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.keys import Keys

    bindings = KeyBindings()
    reader = keys.Reader(session.table)

    @bindings.add(Keys.Any)
    def _(event):
        key = event.key_sequence[0].key
        key = str(getattr(key, "value", key))
        if key == "c-h":
            key = "bs" if event.data == "\b" else "del"
        text = event.data if event.data.isprintable() else ""
        busy = bool(session.prompt or session.page or session.candidates)
        _press(event.app, session, reader.read(key, text, alone=busy))
        if reader.pending:
            session.model.message = f"{keys.label(reader.pending)}-"

    def bind(pressed, action, text=lambda event: ""):
        bindings.add(*pressed)(lambda event: _press(event.app, session, (action, text(event))))

    for action, sequences in keys.TABLES[session.table].items():
        for sequence in sequences:
            if sequence.startswith(f"{keys.TAB} "):
                bind(sequence.split(), action)
    bind([Keys.SIGINT], "exit_noupdate")
    bind([Keys.BracketedPaste], "type", lambda event: _one_line(event.data))
    return bindings


def _one_line(pasted):
    return "".join(character for character in " ".join(pasted.split()) if character.isprintable())


def _press(app, session, read):
    """Hand an action to the session, then ring, repaint or leave as that asks for."""
    if read in (None, ("type", "")) or session.end:  # no meaning, or typed ahead
        return
    action, text = read
    session.press(action, text)
    if session.alarm:
        app.output.bell()
    if action == "repaint":
        app.renderer.clear()
    if session.end:
        app.exit()
