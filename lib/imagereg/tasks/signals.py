"""Let the signals that end a command end it as Ctrl-C does, with all its cleaning up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

#: The signals that end a command, and what they do before it begins.
ENDING: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler,
                                     signal.SIGTERM: signal.SIG_DFL,
                                     signal.SIGHUP: signal.SIG_DFL}
_work_is_done = threading.Event()


class _Stopped(KeyboardInterrupt):
    """A signal that ends the command, as Ctrl-C does."""

    def __init__(self, number):
        super().__init__(number)
        self.signal = signal.Signals(number)


def work_is_done() -> None:
    """Say, from any thread, that nothing is left to stop: signals are ignored from here on.

    To report a stop would invite to repeat a command that is its own reverse.
    """
    _work_is_done.set()


@contextlib.contextmanager
def stopped_by_signals(*, ends_process: bool = False) -> Iterator[None]:
    """Let a signal end the block by an exception; ignore further ones while it cleans up.

    A signal that is ignored already, as under nohup, or handled by a calling program is left alone.
    Where the exception came upon a library's own cleaning up, and became another one there, as in
    the start of a thread ("release unlocked lock"), it ends the block as the signal all the same.

    Parameters
    ----------
    ends_process : bool
        Whether the process ends with the block: then signals that come after `work_is_done` do not
        change its exit status either.
    """
    can_handle = threading.current_thread() is threading.main_thread()
    handled = [number for number, usual in ENDING.items()
               if can_handle and signal.getsignal(number) == usual]
    _work_is_done.clear()
    received = []

    def stop(number, _):
        if _work_is_done.is_set():
            return
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
            is_ignored = ends_process and _work_is_done.is_set()
            signal.signal(number, signal.SIG_IGN if is_ignored else ENDING[number])
