"""The log of a run, as IRAF's tasks keep one: what was asked for, what happened, how it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence

from imagereg.errors import printable
from imagereg.files import atomic
from imagereg.parameters import ARGUMENTS, ParameterSet, Spec, shown
from imagereg.version import __version__

_LAYOUT = "\n\t"  # control characters that a log may hold

log = logging.getLogger(__name__)


class RunLog(logging.Handler):
    """A handler that stops at the first record that it can't write, and keeps the reason."""

    def __init__(self, stream):
        super().__init__()
        self.stream = stream
        self.problem = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless one before could not be written."""
        self.write(self.format(record))

    def write(self, text: str) -> None:
        """Write lines that are for the log alone, and not for everybody who listens."""
        if self.problem:
            return
        try:
            self.stream.write(f"{printable(text, keep=_LAYOUT)}\n")
            self.stream.flush()
        except (OSError, UnicodeError) as error:
            self.problem = atomic.reason(error)


@contextlib.contextmanager
def logged(given: str | Sequence[str], sets: Sequence[ParameterSet]) -> Iterator[list[str]]:
    """Log into the run file, and, where verbose, to the standard output.

    A run file that can't be written changes nothing else; in the end a warning says why.

    Parameters
    ----------
    given : str or sequence of str
        The images as the user named them.
    sets : sequence of ParameterSet
        Of tweakreg and its parameter sets.

    Yields
    ------
    list of str
        To which the verdict is to be added: the log's last words. Without it they are the error
        or the signal that ended the run.
    """
    task = sets[0]
    with contextlib.ExitStack() as stack:
        handlers = [RunLog(sys.stdout)] if task.verbose else []
        run_log = None
        problem = ""
        if task.runfile:
            try:
                file = stack.enter_context(atomic.open_alone(task.runfile, "runfile"))
                run_log = RunLog(file)
                handlers.append(run_log)
            except OSError as error:
                problem = atomic.reason(error)
        with _handled_by(handlers):
            yield from _with_head_and_end(handlers, given, sets)
    if run_log:
        problem = run_log.problem
    if problem:
        log.warning("%s can't be written: %s", task.runfile, problem)


def _with_head_and_end(handlers, given, sets):
    """Write the head of the log, let the run happen, and write how it ended: also with an error."""
    begun = datetime.datetime.now()
    _write(handlers, head(given, sets, begun))
    last_words: list[str] = []
    try:
        yield last_words
        ended = "; ".join(last_words)
    except KeyboardInterrupt as stopped:
        number = getattr(stopped, "signal", signal.SIGINT)
        ended = f"stopped by {'the user' if number == signal.SIGINT else number.name}"
        raise
    except BaseException as error:
        ended = f"error: {str(error) or type(error).__name__}"
        raise
    finally:
        now = datetime.datetime.now()
        seconds = (now - begun).total_seconds()
        _write(handlers, f"\nended    {now:%Y-%m-%d %H:%M:%S}, after {seconds:.1f} s: {ended}")


def head(given: str | Sequence[str], sets: Sequence[ParameterSet],
         begun: datetime.datetime) -> str:
    """Return the first lines of a log: version, date, folder, command, and all parameters."""
    lines = [f"tweakreg {__version__}",
             f"begun    {begun:%Y-%m-%d %H:%M:%S}",
             f"folder   {os.getcwd()}",
             f"command  {command_line(given, sets)}",
             "",
             "parameters (* differs from its default)"]
    for values in sets:
        lines.append(f"  {values.task}")
        for name, value in values.items():
            mark = "*" if name in values.changed else " "
            written = f'"{value}"' if isinstance(value, str) else shown(value)
            lines.append(f"  {mark} {name} = {written}")
    return "\n".join([*lines, ""])


@dataclasses.dataclass(frozen=True)
class PastRun:
    """What the log of a run that is over says in its head.

    Parameters
    ----------
    version, begun, folder, command : str
        As they are written.
    values : dict of (str, str) to (str, bool)
        By task and name, a parameter's value, and whether it differs from its default.
    """

    version: str
    begun: str
    folder: str
    command: str
    values: Mapping[tuple[str, str], tuple[str, bool]]

    @property
    def changed(self) -> list[tuple[str, str, str]]:
        """Task, name and value of each parameter that differs from its default."""
        return [(*key, value) for key, (value, differs) in self.values.items() if differs]

    def number(self, task: str, name: str) -> float:
        """Return the value of a parameter; its default where the log tells no number."""
        known, _ = self.values.get((task, name), ("", False))
        try:
            return float(known)
        except ValueError:
            return float(str(Spec.load(task)[name].default))


def parse_head(text: str) -> PastRun | None:
    """Return what `head` wrote; None where the text is no log, or one of another version."""
    facts = dict(re.findall(r"^(tweakreg|begun|folder|command) +(.*)$", text, re.MULTILINE))
    if len(facts) < 4:
        return None
    task = ""
    values = {}
    for line in text.partition("\nparameters")[2].partition("\n\n")[0].splitlines():
        found = re.match(r"  ([* ]) (\w+) = (.*)$", line)
        if not found:
            task = line.strip()
        elif task in ARGUMENTS and found[2] in Spec.load(task).names:
            values[task, found[2]] = found[3].strip('"'), found[1] == "*"
    return PastRun(facts["tweakreg"], facts["begun"], facts["folder"], facts["command"], values)


def command_line(given: str | Sequence[str], sets: Sequence[ParameterSet]) -> str:
    """Return the command that does the same again, as one pastes it into a shell."""
    words = [given] if isinstance(given, str) else list(given)
    own = Spec.load(sets[0].task)
    for values in sets:
        for name in values.changed:
            if name == "input":
                continue
            is_found_alone = values.task == "imagefindpars" and name not in own
            prefix = "" if values is sets[0] or is_found_alone else f"{values.task}."
            words.append(f"{prefix}{name}={shown(values[name])}")
    return shlex.join(["tweakreg", *map(str, words)])


def _write(handlers, text):
    for handler in handlers:
        handler.write(text)


@contextlib.contextmanager
def _handled_by(handlers):
    """Let handlers have what the package logs."""
    root = logging.getLogger("imagereg")
    level = root.level
    root.setLevel(min(level or logging.INFO, logging.INFO))
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
