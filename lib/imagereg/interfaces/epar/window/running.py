"""Execution from a window: show the log of the task while it runs, ask its questions, stop it.

The task runs in a thread of this process, so that its result is at hand afterwards and any callable
will do. Stop does what Ctrl-C does at a terminal: it raises KeyboardInterrupt, in that thread, and
files are complete or absent then. What is being computed outside Python, and images that other
threads are working on, are finished first.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import queue
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from imagereg.errors import ImageregError
from imagereg.interfaces.epar.window import look
from imagereg.interfaces.epar.window.text_pane import TextPane
from imagereg.tasks.feedback import progress, review

if TYPE_CHECKING:
    import tkinter

_POLL = 50  # milliseconds: at once, to a user
_LOGGER = "imagereg"
_COLOURS = {"aligned": "good", "reference": "good", "failed": "error"}  # of a status in the table
_STATUS = re.compile(rf"(?m)\b({'|'.join(_COLOURS)})\b(?=\s+[-\d])")


class _QueueHandler(logging.Handler):
    """Puts log messages into a queue."""

    def __init__(self, messages):
        super().__init__(logging.INFO)
        self._messages = messages

    def emit(self, record):
        text = f"{record.getMessage()}\n"
        if record.levelno >= logging.WARNING:
            self._messages.put((f"{record.levelname.lower()}: {text}", "error"))
        else:
            self._messages.put((text, ""))


class _Console(io.TextIOBase):
    """Stands in for the terminal: passes on what is printed, and asks the window for input."""

    def __init__(self, messages, output):
        self._messages = messages
        self._output = output
        self._question = ""
        self.answers = queue.SimpleQueue()

    def isatty(self):
        return True

    def write(self, text):
        self._question = "" if text.endswith("\n") else self._question + text
        return self._output.write(text) if self._output else len(text)

    def flush(self):
        if self._output:
            self._output.flush()

    def readline(self, size=-1):
        self._messages.put((self._question, "question"))
        self._question = ""
        while True:  # in short waits: an exception reaches a thread only between them
            with contextlib.suppress(queue.Empty):
                return self.answers.get(timeout=_POLL / 1000)


class Job:
    """A function running in a thread of its own.

    Attributes
    ----------
    messages : queue.SimpleQueue of (str, str)
        Text and tag: log messages, tagged 'error' from warnings on, and questions, 'question'.
    future : concurrent.futures.Future
        Result or exception of the function.
    progress : (str, int, int)
        The long work it is at, how many items of it are done, and of how many; ('', 0, 0) before.
    """

    def __init__(self, function: Callable[[], object]):
        self.messages: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._console = _Console(self.messages, sys.stdout)
        self._thread: int | None = None
        self.progress = ("", 0, 0)
        pool = ThreadPoolExecutor(1, "imagereg-run")
        self.future: Future = pool.submit(self._run, function)
        pool.shutdown(wait=False)

    def _run(self, function):
        """Run a function in this thread, its log and its prints going to the queue."""
        self._thread = threading.get_ident()
        logger = logging.getLogger(_LOGGER)
        handler = _QueueHandler(self.messages)
        stdin = sys.stdin
        logger.addHandler(handler)
        try:
            sys.stdin = self._console
            with contextlib.redirect_stdout(self._console), progress.shown_by(self._advance):
                return function()
        finally:
            sys.stdin = stdin
            logger.removeHandler(handler)

    def _advance(self, *progress: Any) -> None:
        self.progress = progress

    def answer(self, text: str) -> None:
        """Answer the question that was asked last."""
        self._console.answers.put(f"{text}\n")

    def stop(self) -> None:
        """Raise KeyboardInterrupt in it, as Ctrl-C does; do nothing if it has ended."""
        if self._thread and not self.future.done():
            thread = ctypes.c_ulong(self._thread)
            exception = ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, exception)


class RunWindow:
    """Window of one execution of `function`, for which the `owner` waits.

    `title` says what is executed; `ended` is called with a sentence on how it ended, and whether
    that is an error.
    """

    def __init__(
        self,
        owner: tkinter.Toplevel,
        title: str,
        function: Callable[[], object],
        ended: Callable[[str, bool], None],
    ):
        import tkinter
        from tkinter import ttk

        self._owner = owner
        self._title = title
        self._ended = ended
        self._job = Job(function)
        self.top = tkinter.Toplevel(owner)
        self.top.title(f"{title} is executed")
        self._pane = TextPane(self.top, width=90)  # the table has 79, log lines some more
        self._bar = bar = ttk.Frame(self.top, padding=4)
        self._pictures: review.Windows | None = None
        self._begun = time.monotonic()
        self._state = ttk.Label(bar)
        self._progress = ttk.Progressbar(bar, mode="indeterminate", length=120)
        self._progress.start()
        self._answer = ttk.Entry(bar, width=12)
        self._button = ttk.Button(bar, text="Stop", command=self._stop)
        bar.pack(side="bottom", fill="x")
        self._pane.frame.pack(fill="both", expand=True)
        self._progress.pack(side="left", padx=(0, 8))
        self._state.pack(side="left", fill="x", expand=True)
        self._button.pack(side="right")
        self._answer.bind("<Return>", self._reply)
        self._button.bind("<Return>", lambda _: self._button.invoke())
        for key in ("<Control-c>", "<Escape>"):
            self.top.bind(key, lambda _: self._stop())
        self._word = "working"
        self.top.protocol("WM_DELETE_WINDOW", self._stop)
        self._button.bind("<Destroy>", lambda _: self._job.stop())  # however the window ends
        look.fit(self.top)
        self.top.wait_visibility()
        self.top.grab_set()
        # No window manager does this for a window that appears under the pointer.
        self._button.focus_force()
        self._poll()

    def _stop(self):
        self._word = "stopping: what is in work is brought to its end first"
        self._job.stop()

    def _reply(self, _):
        """Hand the typed answer to the run."""
        answer = self._answer.get()
        self._pane.add(f"{answer}\n")
        self._job.answer(answer)
        self._answer.delete(0, "end")
        self._answer.pack_forget()
        self._word = "working"
        self._button.focus_set()

    def _poll(self):
        """Show what the run has said since the last time."""
        done = self._job.future.done()  # before the queue is emptied: nothing comes after it
        while not self._job.messages.empty():
            text, tag = self._job.messages.get()
            self._pane.add(text, tag)
            if tag == "question":
                self._ask()
        if done:
            self._end()
        else:
            self._show_progress()
            self.top.after(_POLL, self._poll)

    def _show_progress(self):
        """Say what is being done, how much of it, and since when."""
        elapsed = round(time.monotonic() - self._begun)
        what, done, total = self._job.progress
        if self._word != "working" or not 0 < total > done:
            text = self._word
            if str(self._progress["mode"]) == "determinate":
                self._progress.configure(mode="indeterminate")
                self._progress.start()
        else:
            text = f"{what}: {done} of {total}"
            self._progress.stop()
            self._progress.configure(mode="determinate", maximum=total, value=done)
        self._state.configure(text=f"{text}   {elapsed} s")

    def _ask(self):
        self._word = "Answer, then Return:"
        self._answer.pack(side="right", padx=8)
        self._answer.focus_set()

    def _end(self):
        """Show how it ended; from now on the window can be closed."""
        error = self._job.future.exception()
        result = None if error else self._job.future.result()
        if result is not None:
            self._show_result(result)
        elif error and not isinstance(error, (ImageregError, KeyboardInterrupt)):
            self._pane.add("".join(traceback.format_exception(error)), "error")
        is_well = error is None and getattr(result, "ok", True)
        sentence = _outcome(self._title, error, result)
        if not hasattr(result, "verdict"):
            self._pane.add(f"\n{sentence}\n", "good" if is_well else "error")
        self._answer.pack_forget()
        self._progress.pack_forget()
        self._state.configure(
            text=sentence, foreground=look.colour("good" if is_well else "wrong"),
            wraplength=self._state.winfo_width(),
        )
        self._button.configure(text="Close", command=self._close)
        self.top.title(f"{self._title}: {sentence}")
        self.top.protocol("WM_DELETE_WINDOW", self._close)
        for key in ("<Escape>", "<Return>"):
            self.top.bind(key, lambda _: self._close())
        self._button.unbind("<Return>")
        self._button.focus_set()
        self._ended(sentence, not is_well)

    def _show_result(self, result):
        """Show the verdict large, the table with statuses in colour, and offer the pictures."""
        self._pane.take_back(f"\n{result}\n")  # as the log has it
        head, separator, rest = str(result).partition("\n\n")
        verdict = getattr(result, "verdict", None)
        is_verdict = verdict is not None and " ".join(head.split()) == " ".join(verdict.split())
        self._pane.add("\n")
        self._pane.add(head, ("verdict", "good" if result.ok else "error") if is_verdict else "")
        self._pane.add(separator)
        for part in _STATUS.split(rest):
            self._pane.add(part, _COLOURS.get(part, ""))
        self._pane.add("\n")
        self._pane.text.see("end")
        pictures = [name for name in getattr(result, "written", ()) if name.endswith(".png")]
        if pictures:
            self._pictures = review.Windows(dict.fromkeys(pictures, ()))
            button = type(self._button)(self._bar, text="Plots", command=self._pictures.open)
            button.pack(side="right", padx=8, before=self._state)
            self.top.update_idletasks()

    def _close(self):
        if self._pictures:
            self._pictures.close()
        self.top.grab_release()
        self.top.destroy()
        self._owner.focus_lastfor().focus_force()


def _outcome(title, error, result):
    """Return how it ended, in one sentence: the verdict on the images, if there is one."""
    if error is None:
        return getattr(result, "verdict", "") or f"{title} was executed"
    if isinstance(error, ImageregError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return f"{title} was stopped"
    return f"{title} failed: {type(error).__name__}: {error}"
