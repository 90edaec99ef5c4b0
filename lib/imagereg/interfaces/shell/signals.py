"""Let the signals that end a command end it as Ctrl-C does, with all its cleaning up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

#: The signals that end a command, and what they do before it begins.
_ENDING: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler,
                                      signal.SIGTERM: signal.SIG_DFL,
                                      signal.SIGHUP: signal.SIG_DFL}


class _Stopped(KeyboardInterrupt):
    """A signal that ends the command, as Ctrl-C does."""

    def __init__(self, number):
        super().__init__(number)
        self.signal = signal.Signals(number)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let a signal end the block by an exception; ignore further ones while it cleans up.

    A signal that is ignored already, as under nohup, or handled by a calling program is left alone.
    Where the exception came upon a library's own cleaning up, and became another one there, as in
    the start of a thread ("release unlocked lock"), it ends the block as the signal all the same.
    """
    can_handle = threading.current_thread() is threading.main_thread()
    handled = [number for number, usual in _ENDING.items()
               if can_handle and signal.getsignal(number) == usual]

    received = []

    def stop(number, _):
        for each in handled:
            signal.signal(each, signal.SIG_IGN)
        received.append(_Stopped(number))
        raise received[0]

    try:
        for number in handled:
            signal.signal(number, stop)
        yield
    except Exception as error:
        if received:
            raise received[0] from error
        raise
    finally:
        for number in handled:
            signal.signal(number, _ENDING[number])
