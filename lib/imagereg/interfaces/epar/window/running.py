"""Execution from a window: what the task logs is shown while it works, its questions are asked, and it can be stopped.

The task works in a thread of this process, so that its result is at hand afterwards and any callable will do. Stop is
what Ctrl-C is at a terminal: KeyboardInterrupt is raised in that thread. Files are complete or not there then, as
after Ctrl-C. What is being computed outside Python, and the images that other threads have in work, come to their end
first.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import queue
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

from imagereg.errors import ImageregError
from imagereg.interfaces.epar.window.pane import Pane, fit

_POLL = 50  # milliseconds
_LOGGER = "imagereg"


class _Told(logging.Handler):
    """Puts what is logged into a queue."""

    def __init__(self, told):
        super().__init__(logging.INFO)
        self._told = told

    def emit(self, record):
        bad = record.levelno >= logging.WARNING
        self._told.put((f"{record.levelname.lower()}: " * bad + record.getMessage() + "\n", "error" * bad))


class _Console(io.TextIOBase):
    """Stands for the terminal while a task works: passes on what is printed, and asks the window for what is read."""

    def __init__(self, told, output):
        self._told, self._output, self._question = told, output, ""
        self.answers = queue.SimpleQueue()

    def isatty(self):
        return True

    def write(self, text):
        self._question = (self._question + text).rpartition("\n")[2]
        return self._output.write(text) if self._output else len(text)

    def flush(self):
        if self._output:
            self._output.flush()

    def readline(self, size=-1):
        self._told.put((self._question, "question"))
        self._question = ""
        while True:
            with contextlib.suppress(queue.Empty):
                return self.answers.get(timeout=_POLL / 1000)  # in pieces: Stop has to come through


class Work:
    """A function that works in a thread of its own.

    Parameters
    ----------
    function : callable
        Without arguments.

    Attributes
    ----------
    told : queue.SimpleQueue
        Of (text, tag): what was logged, with the tag 'error' for warnings and worse; questions, tagged 'question'.
    future : concurrent.futures.Future
        Its result or exception.
    """

    def __init__(self, function):
        self.told = queue.SimpleQueue()
        self._console = _Console(self.told, sys.stdout)
        self._thread = None
        pool = ThreadPoolExecutor(1, "imagereg-run")
        self.future = pool.submit(self._do, function)
        pool.shutdown(wait=False)

    def _do(self, function):
        self._thread = threading.get_ident()
        logger, handler, stdin = logging.getLogger(_LOGGER), _Told(self.told), sys.stdin
        logger.addHandler(handler)
        try:
            sys.stdin = self._console
            with contextlib.redirect_stdout(self._console):
                return function()
        finally:
            sys.stdin = stdin
            logger.removeHandler(handler)

    def answer(self, text):
        """Answer the question that was asked last."""
        self._console.answers.put(f"{text}\n")

    def stop(self):
        """Raise KeyboardInterrupt in it, as Ctrl-C does; nothing where it has ended."""
        if self._thread and not self.future.done():
            thread, exception = ctypes.c_ulong(self._thread), ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, exception)


class RunWindow:
    """Window of one execution.

    Parameters
    ----------
    owner : tkinter.Toplevel
        Window that waits for it.
    title : str
        What is executed.
    function : callable
        Does it, without arguments.
    ended : callable
        Called with one sentence on how it ended, and whether that is an error.
    """

    def __init__(self, owner, title, function, ended):
        import tkinter
        from tkinter import ttk

        self._owner, self._title, self._ended, self._work = owner, title, ended, Work(function)
        self.top = tkinter.Toplevel(owner)
        self.top.title(f"{title} is executed")
        self._pane = Pane(self.top, width=110)  # tables
        bar = ttk.Frame(self.top, padding=4)
        self._state = ttk.Label(bar, text="working")
        self._answer = ttk.Entry(bar, width=12)
        self._button = ttk.Button(bar, text="Stop", command=self._work.stop)
        bar.pack(side="bottom", fill="x")
        self._pane.frame.pack(fill="both", expand=True)
        self._state.pack(side="left", fill="x", expand=True)
        self._button.pack(side="right")
        self._answer.bind("<Return>", self._reply)
        self.top.bind("<Control-c>", lambda _: self._stop())
        self._button.configure(command=self._stop)
        self.top.protocol("WM_DELETE_WINDOW", self._stop)
        self._button.bind("<Destroy>", lambda _: self._work.stop())  # however the window ends
        fit(self.top)
        self.top.wait_visibility()
        self.top.grab_set()
        self._button.focus_force()  # no window manager does it for a window that appears under the pointer
        self._poll()

    def _stop(self):
        self._state.configure(text="stopping: what is in work is brought to its end first")
        self._work.stop()

    def _reply(self, _):
        self._pane.add(f"{self._answer.get()}\n")
        self._work.answer(self._answer.get())
        self._answer.delete(0, "end")
        self._answer.pack_forget()
        self._state.configure(text="working")
        self._button.focus_set()

    def _poll(self):
        done = self._work.future.done()  # before the queue is emptied: nothing comes after it
        while not self._work.told.empty():
            text, tag = self._work.told.get()
            self._pane.add(text, tag)
            if tag == "question":
                self._ask()
        if done:
            self._end()
        else:
            self.top.after(_POLL, self._poll)

    def _ask(self):
        self._state.configure(text="Answer, then Return:")
        self._answer.pack(side="right", padx=8)
        self._answer.focus_set()

    def _end(self):
        """Show how it ended; from now on the window can be closed."""
        error = self._work.future.exception()
        sentence = _sentence(self._title, error)
        if error is None and (result := self._work.future.result()) is not None:
            self._pane.add(f"\n{result}\n")
        elif error and not isinstance(error, (ImageregError, KeyboardInterrupt)):
            self._pane.add("".join(traceback.format_exception(error)), "error")
        self._pane.add(f"\n{sentence}\n", "error" if error else "")
        self._answer.pack_forget()
        self._state.configure(text="")
        self._button.configure(text="Close", command=self._close)
        self.top.title(sentence)
        self.top.protocol("WM_DELETE_WINDOW", self._close)
        for key in ("<Escape>", "<Return>"):
            self.top.bind(key, lambda _: self._close())
        self._button.focus_set()
        self._ended(sentence, error is not None)

    def _close(self):
        self.top.grab_release()
        self.top.destroy()
        self._owner.focus_lastfor().focus_force()


def _sentence(title, error):
    """Return how it ended, in one sentence."""
    if error is None:
        return f"{title} was executed"
    if isinstance(error, ImageregError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return f"{title} was stopped"
    return f"{title} failed: {type(error).__name__}: {error}"
