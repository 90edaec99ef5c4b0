"""The editor of parameters in a terminal: `session` and `screen`, joined to a keyboard and a display."""

from __future__ import annotations

import asyncio
import os

from imagereg.errors import InputError
from imagereg.interfaces.epar.terminal import keys, screen
from imagereg.interfaces.epar.terminal.session import Session

_ESCAPE = 0.2  # seconds in which the rest of what a function key sends comes
_TAB = 0.3  # seconds after TAB in which ^W and ^D mean something else


def edit(model):
    """Let the user edit a model in the terminal; what is executed runs when the screen is as it was before.

    Parameters
    ----------
    model : model.Model
        The task.

    Raises
    ------
    InputError
        If prompt_toolkit is missing.
    ImageregError
        Of what is executed.
    """
    session = Session(model, table=keys.chosen(os.environ.get("editor") or os.environ.get("EDITOR") or "vi"))
    application(session).run(in_thread=_in_a_loop())
    if session.end.startswith("run"):
        model.run(save=session.end == "run")


def _in_a_loop():
    """Whether whoever calls has an event loop running, as ``python -m asyncio`` has."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def application(session):
    """Return the prompt_toolkit application that shows a session, and ends when the session does."""
    try:
        from prompt_toolkit.application import Application
        from prompt_toolkit.data_structures import Point
        from prompt_toolkit.layout import FormattedTextControl, Layout, Window
        from prompt_toolkit.output import ColorDepth
    except ImportError as error:
        raise InputError(f"the editor needs prompt_toolkit in a terminal, and it can't be imported: {error}") from None
    place = Point(0, 0)

    def text():
        nonlocal place
        size = app.output.get_size()
        session.height = size.rows
        lines, cursor = screen.draw(session, size.columns, size.rows)
        place = Point(*cursor)
        return [part for line in lines for part in (*line, ("", "\n"))][:-1]

    control = FormattedTextControl(text, focusable=True, get_cursor_position=lambda: place)
    app = Application(Layout(Window(control)), full_screen=True, key_bindings=_bound(session),
                      color_depth=ColorDepth.DEPTH_1_BIT, enable_page_navigation_bindings=False)
    app.ttimeoutlen, app.timeoutlen = _ESCAPE, _TAB
    return app


def _bound(session):
    """Return the keys of the session's table, each of which does what it is for."""
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.keys import Keys

    bindings, reader = KeyBindings(), keys.Reader(session.table)

    @bindings.add(Keys.Any)
    def _(event):
        key = str(getattr(event.key_sequence[0].key, "value", event.key_sequence[0].key))
        text = event.data if event.data.isprintable() else ""
        if key == "c-h":
            key = "bs" if event.data == "\b" else "del"
        busy = session.prompt or session.reading or session.candidates
        _press(event.app, session, reader.read(key, text, alone=bool(busy)))
        if reader.pending:
            session.model.message = f"{keys.label(reader.pending)}-"

    for action, several in keys.TABLES[session.table].items():
        for names in several:
            if names.startswith(f"{keys.TAB} "):
                bindings.add(*names.split())(lambda event, action=action: _press(event.app, session, (action, "")))
    bindings.add(Keys.SIGINT)(lambda event: _press(event.app, session, ("exit_noupdate", "")))
    bindings.add(Keys.BracketedPaste)(lambda event: _press(event.app, session, ("type", _one_line(event.data))))
    return bindings


def _one_line(pasted):
    return "".join(character for character in " ".join(pasted.split()) if character.isprintable())


def _press(app, session, read):
    """Hand an action to the session, and do to the terminal what that asks for."""
    if read in (None, ("type", "")) or session.end:  # a key without a meaning, or typed ahead
        return
    session.press(*read)
    if session.alarm:
        app.output.bell()
    if read[0] == "repaint":
        app.renderer.clear()
    if session.end:
        app.exit()
