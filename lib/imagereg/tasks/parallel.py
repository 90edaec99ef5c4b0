"""Do independent pieces of work on all cores, in forked processes or else in threads.

Threads of one interpreter mostly wait for each other: on two cores they do the work of 1.2. Forked
processes share what is in memory already, so that only results are sent. They are used on Linux
and while the program has no other thread, which a fork could catch in the middle of something.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import logging
import logging.handlers
import multiprocessing
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_message
from typing import Any, Generic, TypeVar

from threadpoolctl import threadpool_limits

from imagereg.errors import InputError
from imagereg.files import atomic
from imagereg.tasks import signals

_NUMBER = struct.Struct("i")
_PR_SET_PDEATHSIG = 1  # of prctl(2)
_GIVES_WAY = 10  # nice(2): a tenth of a core's time where others want all of it
_PATIENCE = 5.0  # seconds that a process has for cleaning up; a step of numpy takes less than one

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

log = logging.getLogger(__name__)


def mapped(
    function: Callable[[Item], Outcome],
    items: Sequence[Item],
    num_cores: int | None,
    meanwhile: Callable[[], None] | None = None,
) -> Iterator[Outcome]:
    """Yield ``function(item)`` of each item in order, the same whatever the number of cores.

    Processes log what a plain loop would, in its order. Where one is killed or can't be started,
    its items are done in this process. Nothing is left of them when the iterator is closed or an
    error ends it.

    Parameters
    ----------
    function : callable
        Its results can be pickled.
    items : sequence
        What it takes.
    num_cores : int or None
        Pieces that are done at a time; None for as many as there are cores.
    meanwhile : callable, optional
        What this process does while others do the pieces, be it a single one, or before it does
        them itself.

    Raises
    ------
    Exception
        What the function raises.
    """
    n_cores = num_cores or available_cores()
    number = min(n_cores, len(items))
    with threadpool_limits(1):  # threads of BLAS within each would only wait for each other
        if number == 0 or n_cores == 1 or number == 1 and not meanwhile:
            if meanwhile:
                meanwhile()
            yield from map(function, items)
        elif _can_fork():
            yield from _in_processes(function, items, number, meanwhile)
        else:
            with ThreadPoolExecutor(number) as pool:
                results = pool.map(function, items)
                if meanwhile:
                    meanwhile()
                yield from results


def write_each(
    planned: Iterable[Item], write: Callable[[Item], None]
) -> tuple[list[Item], BaseException | None]:
    """Write what is planned, several files at a time while others are planned, up to an error.

    Files in work are finished whatever happens; the others stay as they are.

    Parameters
    ----------
    planned : iterable
        What is to be written; an InputError that it raises ends the writing.
    write : callable
        Writes one of them, in a thread: it mostly waits for the disk.

    Returns
    -------
    written : list
        What was written, in order.
    error : BaseException or None
        The first error.
    """
    pool = ThreadPoolExecutor(atomic.WRITERS)
    writing: dict[Future, Item] = {}
    errors: list[BaseException] = []
    try:
        for each in planned:
            writing[pool.submit(write, each)] = each
            if any(future.done() and future.exception() for future in writing):
                break
        wait(writing, return_when=FIRST_EXCEPTION)
    except InputError as error:
        errors.append(error)
    finally:
        pool.shutdown(cancel_futures=True)
    written = []
    for future, each in writing.items():
        if future.cancelled():
            continue
        failure = future.exception()
        if failure:
            errors.append(failure)
        else:
            written.append(each)
    return written, next(iter(errors), None)


def shares_of(number: int, n_cores: int) -> list[int]:
    """Return into how many shares to divide each of some equal pieces of work.

    The last ones, which would leave cores idle, are for all cores together.
    """
    rest = number % n_cores
    return [1] * (number - rest) + [n_cores] * rest


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_worker() -> bool:
    """Whether this process does pieces of work for another."""
    return multiprocessing.current_process().daemon


@dataclasses.dataclass(frozen=True)
class _Message:
    """What a process sends of an item: whether it is done, its result, and what it logged."""

    number: int
    is_done: bool = False
    result: Any = None
    records: Sequence[logging.LogRecord] = ()


def _in_processes(function, items, n_processes, meanwhile):
    """Yield the results of processes, each of which takes the next item when it has done one."""
    with _at_work(function, items, n_processes) as (_, connections):
        if meanwhile:
            meanwhile()
        messages = _in_order(connections, len(items))
        for item, message in zip(items, messages, strict=True):
            for record in message.records:
                logging.getLogger(record.name).handle(record)
            # What failed fails again here, with its whole traceback.
            yield message.result if message.is_done else function(item)


class Background(Generic[Item, Outcome]):
    """Pieces of work that a process does while this one goes on; a context manager.

    The process gives way to all others, and what it logs is lost.

    Parameters
    ----------
    function, items, num_cores
        See `mapped`; with one core, or where a fork is not safe, nothing is done.
    """

    def __init__(self, function: Callable[[Item], Outcome], items: Sequence[Item],
                 num_cores: int | None):
        self._number = len(items)
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._results: dict[int, Outcome] | None = {}
        if (num_cores or available_cores()) > 1 and items and _can_fork():
            at_work = _at_work(function, items, 1, niceness=_GIVES_WAY)
            self._places, self._connections = self._stack.enter_context(at_work)
            self._results = None if self._connections else {}

    def end(self) -> None:
        """Let the process begin no other piece than that in work."""
        if self._results is None:
            os.lseek(self._places, 0, os.SEEK_END)

    def results(self) -> list[Outcome | None]:
        """Wait for the piece in work, and return results in order, None of what is not done."""
        self.end()
        with self._lock:  # of threads that ask at the same time
            if self._results is None:
                messages = _messages(self._connections)
                self._results = {each.number: each.result for each in messages if each.is_done}
        return list(map(self._results.get, range(self._number)))

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *_):
        """End the process, with the piece in work as it is."""
        self._stack.close()


def _can_fork():
    """Whether processes can be forked: on Linux, with no other thread to be caught in a lock."""
    return sys.platform == "linux" and threading.active_count() == 1


@contextlib.contextmanager
def _at_work(function, items, n_processes, *, niceness=0):
    """Start processes that do items; yield the position in the items, and their connections.

    There are fewer, or none, where the system refuses more processes or open files.
    """
    numbers = None  # a position that all processes share: no item is done twice
    workers: list[tuple[Any, Connection]] = []
    try:
        with contextlib.suppress(OSError):
            numbers = os.memfd_create("items")
            os.write(numbers, b"".join(map(_NUMBER.pack, range(len(items)))))
            os.lseek(numbers, 0, os.SEEK_SET)
            for _ in range(n_processes):
                workers.append(_started(function, items, numbers, niceness=niceness))
        yield numbers, [connection for _, connection in workers]
    finally:
        if numbers is not None:
            os.close(numbers)
        for process, connection in workers:
            connection.close()
            process.terminate()
        for process, _ in workers:
            process.join(_PATIENCE)
            process.kill()
            process.join()


def _started(function, items, numbers, *, niceness):
    """Start a process; return it and the connection on which its messages come."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    work = functools.partial(_work, niceness=niceness)
    process = context.Process(target=work, args=(function, items, numbers, sender), daemon=True)
    # Until the process handles signals in its own way it must not do so as this one does.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    sender.close()
    return process, receiver


def _in_order(connections, number):
    """Yield a message of each item in order, an empty one where the process has been killed."""
    messages = _messages(connections)
    arrived = {}
    for wanted in range(number):
        while wanted not in arrived:
            message = next(messages, _Message(wanted))
            arrived[message.number] = message
        yield arrived.pop(wanted)


def _messages(connections):
    """Yield what processes send until all have ended."""
    while connections:
        for connection in wait_for_message(connections):
            try:
                yield connection.recv()
            except (EOFError, OSError):
                connections.remove(connection)


def _work(function, items, numbers, connection, *, niceness):
    """Do items until none is left, and send a message of each; end by SIGTERM without a word."""
    os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends others
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with ThreadPoolExecutor(1) as sender:  # so that no item waits for a parent that is busy
            sender.submit(int)  # starts its thread while signals are blocked, which could spoil it
            with signals.stopped_by_signals():
                signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.ENDING)
                _end_with_parent()
                send = functools.partial(sender.submit, connection.send)
                _do_items(function, items, numbers, send)
    except KeyboardInterrupt:
        sys.exit(1)


def _do_items(function, items, numbers, send):
    """Do items until none is left, and send a message of each."""
    records = _collected_log()
    while packed := os.read(numbers, _NUMBER.size):
        number, = _NUMBER.unpack(packed)
        message = _Message(number)
        records.clear()
        with contextlib.suppress(Exception):  # it fails again in the parent, which raises
            message = _Message(number, True, function(items[number]), tuple(records))
        send(message)


def _end_with_parent():
    """Have Linux kill this process when the one that forked it ends, in whatever way (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is None or os.getppid() != parent.pid:  # it had ended before that
        os._exit(1)


def _collected_log():
    """Let all that the package logs go into a list, which is returned."""
    records: list[logging.LogRecord] = []

    class Collector(logging.handlers.QueueHandler):
        def enqueue(self, record):
            records.append(record)

    package = logging.getLogger("imagereg")
    package.handlers = [Collector(None)]
    package.propagate = False
    return records
