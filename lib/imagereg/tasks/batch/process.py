"""Align each visit in a process of its own, forked from one that has loaded all it needs.

Loading takes longer than aligning a small visit. `align_visit` talks with such a server, of which
each thread has one, by lines of JSON. When the process of the thread ends, however it ends, the
server sees the end of its input, kills the run, and ends too: files are then whole and unlocked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from multiprocessing.connection import wait

from imagereg.errors import ImageregError
from imagereg.tasks.batch.state import ALIGNED, FAILED, NOT_ALIGNED, Outcome
from imagereg.tasks.batch.visits import Visit

# In the folder of a visit: what its run prints; and what is there until its outcome is noted, by
# which the next run knows that it may find some of the images, or all, with the new WCS.
_OUTPUT = "tweakreg_output.txt"
_UNFINISHED = "unfinished"

_of_thread = threading.local()
_servers: list[subprocess.Popen] = []


def align_visit(visit: Visit, folder: str) -> Outcome:
    """Align a visit in a process of its own, with `folder` as its working directory.

    Nothing that happens to that process raises; the outcome says what it was.
    """
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    request = json.dumps([*dataclasses.astuple(visit), folder])
    try:
        server.stdin.write(request.encode() + b"\n")
        server.stdin.flush()
        return Outcome(*json.loads(server.stdout.readline()))
    except (OSError, ValueError):
        return Outcome(FAILED, f"the server of runs was ended ({_end_of(_stop(server))})")


def forget_run(folder: str) -> None:
    """Let the next run in the folder of a visit begin from the start; no longer complete this."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, _UNFINISHED))


def _server():
    """Return the server of this thread, which is started where there is none."""
    server = getattr(_of_thread, "server", None)
    if server is None or server.poll() is not None:
        # Not in the group of the terminal: on Ctrl-C this process decides what ends.
        server = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, start_new_session=True)
        _of_thread.server = server
        _servers.append(server)
    return server


def stop_servers() -> None:
    """Stop the servers of all threads of this process, and the runs that they have started."""
    while _servers:
        _stop(_servers.pop())


def _stop(server):
    """End a server, and with it the run that it has started; return its exit status."""
    with contextlib.suppress(OSError):
        server.stdin.close()
    code = server.wait()
    server.stdout.close()
    return code


def _end_of(code):
    """Return how a process ended: the name of a signal, or its exit status."""
    return signal.Signals(-code).name if code < 0 else f"status {code}"


def serve() -> None:
    """Do what lines of standard input ask for, as `align_visit` writes them, and answer each."""
    from imagereg.tasks import run
    from imagereg.wcs import headerlet

    run.load_what_follows()
    importlib.import_module("astropy.wcs")
    headerlet.load_stwcs()
    gc.freeze()  # what is loaded is searched for cycles by no visit
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # where nothing else may be written
    for line in iter(sys.stdin.buffer.readline, b""):
        *visit, folder = json.loads(line)
        outcome = _in_process(Visit(*visit), folder)
        if outcome is None:
            return
        os.write(answers, json.dumps(dataclasses.astuple(outcome)).encode() + b"\n")


def _in_process(visit, folder):
    """Fork a process that aligns a visit; return its outcome, None where nobody waits for it."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_run, args=(visit, folder, sender))
    process.start()
    sender.close()
    with receiver:
        if sys.stdin.fileno() in wait([sys.stdin.fileno(), receiver]):  # it has ended
            process.kill()
            return None
        try:
            outcome = receiver.recv()
        except EOFError:
            outcome = None
    process.join()
    return outcome or Outcome(FAILED, f"its process was ended ({_end_of(process.exitcode)})")


def _run(visit, folder, sender):
    """Align a visit, with all that is printed in a file, and send the outcome."""
    begun = time.monotonic()
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    with open(_OUTPUT, "w", encoding="utf-8") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    was_cut_off = os.path.exists(_UNFINISHED)
    with open(_UNFINISHED, "w", encoding="utf-8"):
        outcome = _aligned(visit, was_cut_off)
    if outcome.status == FAILED:
        forget_run(os.curdir)
    sender.send(dataclasses.replace(outcome, seconds=round(time.monotonic() - begun, 2)))


def _aligned(visit, was_cut_off):
    """Align a visit; return the outcome, but for the seconds.

    Where a run before was cut off, this one completes it: some headers may have the new WCS.
    """
    from imagereg.tasks.run import align_images

    warnings.filterwarnings("ignore", module=r"astropy\.")  # as for the command
    try:
        task, *findings = visit.parameter_sets()
        if was_cut_off:
            task = task.replace(reusename=True, clobber=True)
        result = align_images(visit.files, task, *findings)
    except ImageregError as error:
        return Outcome(FAILED, str(error))
    sys.stdout.write(f"{result}\n")
    sys.stdout.flush()
    n_images = len(result.alignments)
    status = ALIGNED if result.ok else NOT_ALIGNED
    return Outcome(status, result.verdict, n_images, n_images - len(result.failures))


if __name__ == "__main__":
    serve()
