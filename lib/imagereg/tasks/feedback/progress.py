"""Progress of long work: a bar on a terminal and in notebooks, nothing in pipes and files.

A window that runs the task shows it itself, see `shown_by`.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_LONG = 2.0  # seconds; shorter work shows no bar

Item = TypeVar("Item")

#: What shows the progress in this thread instead of a bar; None for a bar.
_shown_by: contextvars.ContextVar[Callable[[str, int, int], None] | None]
_shown_by = contextvars.ContextVar("shown_by", default=None)


@contextlib.contextmanager
def shown_by(show: Callable[[str, int, int], None]) -> Iterator[None]:
    """Have a function show the progress of what runs in this thread.

    It gets the name of the work, the number of items that are done, and that of all.
    """
    token = _shown_by.set(show)
    try:
        yield
    finally:
        _shown_by.reset(token)


def progress(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Yield items, and show how many of them there have been.

    Parameters
    ----------
    items : iterable
        Each comes when a piece of work is done.
    what : str
        Name of the work: ``finding sources``.
    total : int
        Number of the items.
    """
    show = _shown_by.get()
    if show:
        show(what, 0, total)
        for done, item in enumerate(items, 1):
            show(what, done, total)
            yield item
        return
    if not (_in_notebook() or (sys.stderr is not None and sys.stderr.isatty())):
        yield from items
        return
    from tqdm import TqdmWarning
    from tqdm.auto import tqdm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # of notebooks without widgets: they get text
        bar = tqdm(items, desc=what, total=total, unit="image", leave=False, delay=_LONG)
    yield from bar


def _in_notebook():
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"
