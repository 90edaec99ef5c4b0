"""Write the new files of images beforehand, while the images are still being aligned.

Most of what is written are pixels that stay as they are, and the new headers are mostly as long as
those of any other alignment. Then only headers are left to be written in the end.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from typing import BinaryIO

from imagereg.files import atomic
from imagereg.files.images import blocks, rewrite
from imagereg.tasks.parallel import Background

_ROOM = 2  # times the size of a file that have to be free: what else a run writes needs some too


class Drafts:
    """Drafts of the new files of images; a context manager, after which none is left."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self._background: Background | None = None

    def begin(self, paths: Iterable[str], plan_of: Callable[[str], rewrite.Plan],
              num_cores: int | None) -> None:
        """Let a process write drafts, of no more files than are else written at a time.

        Where that is not possible nothing is done; whoever writes the files says why.

        Parameters
        ----------
        paths : iterable of str
            The files.
        plan_of : callable
            Returns what is to become of a file, as far as it is known.
        num_cores : int or None
            See `parallel.mapped`.
        """
        paths = [path for path in paths if not blocks.is_compressed(path)][:atomic.WRITERS]
        try:
            if not _have_room(paths):
                return
            files = [self._stack.enter_context(atomic.beside(path)) for path in paths]
        except OSError:
            return
        self._files = dict(zip(paths, files, strict=True))
        items = [(path, file.name) for path, file in self._files.items()]
        write = functools.partial(_written, plan_of=plan_of)
        self._background = self._stack.enter_context(Background(write, items, num_cores))

    def end(self) -> None:
        """Begin no more drafts; the one in work is finished."""
        if self._background:
            self._background.end()

    def of(self, path: str) -> rewrite.Draft | None:
        """Return the draft of a file, None where there is none; threads may ask too."""
        if not self._background:
            return None
        layouts = dict(zip(self._files, self._background.results(), strict=True))
        layout = layouts.get(path)
        return rewrite.Draft(self._files[path], layout) if layout else None

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *_):
        """Remove the drafts that were not used."""
        self._stack.close()


def _have_room(paths):
    """Whether there is room on their disks for files and for what else is to be written."""
    needed: dict[str, int] = {}
    for path in paths:
        folder = os.path.dirname(os.path.realpath(path))
        needed[folder] = needed.get(folder, 0) + _ROOM * os.path.getsize(path)
    return all(shutil.disk_usage(folder).free > size for folder, size in needed.items())


def _written(item, plan_of):
    """Write a draft, and return its layout; the disk has begun to take it then."""
    path, name = item
    plan = plan_of(path)
    try:
        plan.write_draft(name)
    except OSError:
        os.truncate(name, 0)  # a full disk is needed for other files
        raise
    threading.Thread(target=atomic.flush, args=(name,), daemon=True).start()
    return plan.layout
