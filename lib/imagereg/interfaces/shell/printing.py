"""Print what a terminal can show, on streams that may be closed or full."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator

from imagereg.errors import printable
from imagereg.files import atomic
from imagereg.interfaces.shell.words import has_colours


class _Terminal(logging.Handler):
    """Print log records on standard error, each as one line that a terminal can show."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        complain(self.format(record))


@contextlib.contextmanager
def escaped_warnings() -> Iterator[None]:
    """Print by `_Terminal` the warnings that no log file takes, which logging would print."""
    plain = logging.lastResort
    logging.lastResort = _Terminal(logging.WARNING)  # type: ignore[assignment]
    try:
        yield
    finally:
        logging.lastResort = plain


def say(*words: object, end: str = "\n", painted: Callable[[str], str] = str) -> None:
    """Print, `painted` on a terminal with colours; if standard output can't be written, go on."""
    text = printable(" ".join(map(str, words)), keep="\n\t")
    try:
        print(painted(text) if has_colours(sys.stdout) else text, end=end, flush=True)
    except BrokenPipeError:  # a pager or head has seen enough
        sys.stdout = None  # type: ignore[assignment]
    except OSError as error:
        sys.stdout = None  # type: ignore[assignment]
        complain(f"standard output can't be written: {atomic.reason(error)}")


def complain(text: str) -> None:
    """Print one line on standard error, if that can be written."""
    with contextlib.suppress(OSError):
        print(printable(text), file=sys.stderr, flush=True)
