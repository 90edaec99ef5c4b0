"""Run a command many times and cheaply, each time in a process of its own, within limits.

The commands are run as users run them, by `python -m imagereg`, but in a fork of this process,
which has imported everything before: a trial costs milliseconds. A trial may be killed, may be
given little memory, and may have something broken in it first (`prepare`). A `Server` runs several
commands one after the other in one fork, as a notebook does, which costs less still.
"""

from __future__ import annotations

import argparse
import concurrent.futures.thread
import dataclasses
import gc
import hashlib
import importlib
import logging
import multiprocessing
import os
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from pathlib import Path

PLAIN = ("threshold=10", "minobj=10", "see2dplot=no", "residplot=No plot", "interactive=no")
LONGEST_LINE = 300  # characters that a message may have
_MODULES = (
    "imagereg.tweakreg",
    "imagereg.interfaces.shell.cli",
    "astropy.io.ascii",
    "astropy.io.fits",
    "astropy.table",
    "astropy.wcs",
    "configobj",
    "regions",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.spatial",
    "scipy.special",
    "scipy.stats",
    "stwcs.wcsutil.headerlet",
    "threadpoolctl",
)  # imported here, so that no trial has to


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a trial printed, how it ended and what it took.

    Parameters
    ----------
    status : int
        Exit status as a shell shows it: 128+n where a signal n ended the process.
    out, err : str
        Standard output and standard error.
    seconds, cpu : float
        Wall time and processor time.
    megabytes : float
        Largest resident set less that of the process that was forked, 1e6 bytes.
    stopped : bool
        Whether the time was up.
    """

    status: int
    out: str
    err: str
    seconds: float
    cpu: float
    megabytes: float
    stopped: bool

    def complaints(self, *, status=(0, 1, 2), cpu=None, megabytes=None):
        """Return what no command may do, whatever its input is: a list of str."""
        text = self.out + self.err
        said = []
        if self.stopped:
            said.append(f"does not end, stopped after {self.seconds:.1f} s")
        elif self.status not in status:
            said.append(f"exit status {self.status}, expected {' or '.join(map(str, status))}")
        if "Traceback (most recent call last)" in text:
            said.append(f"traceback: {text.splitlines()[-1][:150]}")
        if "Warning" in self.err:
            line = next(line for line in self.err.splitlines() if "Warning" in line)
            said.append(f"warning on the terminal: {line[:150]}")
        if self.status == 2 and "Traceback" not in text and len(self.err.splitlines()) != 1:
            said.append(f"{len(self.err.splitlines())} lines on standard error, expected one")
        longest = max(map(len, self.err.splitlines()), default=0)
        if longest > LONGEST_LINE and "Traceback" not in text:
            said.append(f"a line of {longest} characters")
        if any(not letter.isprintable() and letter not in "\n\t" for letter in text):
            said.append("control characters on the terminal")
        if cpu and self.cpu > cpu:
            said.append(f"took {self.cpu:.1f} s of processor time, allowed are {cpu:g}")
        if megabytes and self.megabytes > megabytes:
            said.append(f"took {self.megabytes:.0f} MB, allowed are {megabytes:g}")
        return said


def warm():
    """Import what trials need."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what others wrote
        for name in _MODULES:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all that it looks at


def start(words, folder, output, *, prepare=None, megabytes=None):
    """Start a trial.

    Parameters
    ----------
    words : list of str
        What stands after the command's name.
    folder : path
        Where it runs.
    output : path
        Folder for the files `out` and `err` with what it prints.
    prepare : callable, optional
        Called in the new process, before the command.
    megabytes : float, optional
        Address space that the trial may take beyond what this process has, 1e6 bytes (RLIMIT_AS).

    Returns
    -------
    int
        Process id.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside threads: OpenBLAS restarts its own.
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid:
        return pid
    status = 70  # of a trial that did not come to an end of its own
    try:
        status = _trial(words, folder, Path(output), prepare, megabytes)
    finally:
        os._exit(status)


def _trial(words, folder, output, prepare, megabytes):
    """Be the command in a process of its own; return its exit status."""
    _be_new(folder)
    _redirect(output)
    _limit(megabytes)
    if prepare:
        prepare()
    status = _run(words)
    concurrent.futures.thread._python_exit()
    return _ended(status)


def _be_new(folder):
    """Undo what this process has of the one that was forked."""
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # nohup has the latter ignored
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0, closefd=False)


def _limit(megabytes):
    """Let the address space grow by so much, 1e6 bytes, and no further."""
    if megabytes:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + int(megabytes * 1e6)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _redirect(output):
    """Let standard output and standard error be the files `out` and `err` of a folder."""
    for number, name in ((1, "out"), (2, "err")):
        descriptor = os.open(output / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = open(1, "w", closefd=False, errors="strict")
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace", buffering=1)


def _run(words):
    """Run the command; return its exit status."""
    # As a new interpreter does, wherever this one has pytest collect warnings and log records.
    logging.getLogger().handlers.clear()
    warnings.showwarning = _show
    warnings.resetwarnings()
    for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", kind)
    sys.argv = ["tweakreg", *words]
    try:
        runpy.run_module("imagereg", run_name="__main__", alter_sys=False)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _ended(status):
    """Wait for what the command leaves, as an interpreter does; return the exit status."""
    _wait_for_threads()
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:  # what the interpreter says, and does, at its end
        print(f"Exception ignored while flushing sys.stdout: {error}", file=sys.stderr)
        status = 120
    return status


def _wait_for_threads():
    """Wait for threads as an interpreter does at its end: for those that have begun."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon and thread.is_alive():
            thread.join()


def _show(message, category, filename, lineno, file=None, line=None):
    """Print a warning as the interpreter does."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    print(text, end="", file=file or sys.stderr)


def handles(pid, number):
    """Whether a trial catches a signal: no interpreter does until its program has begun."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


def ended(pid):
    """Whether a trial has ended that nobody waited for yet (Linux)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def finish(pid, output, *, started, seconds=60):
    """Wait for a trial, no longer than some seconds; return its Outcome."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stopped, pause = False, 0.0005
    while True:
        done, code, used = os.wait4(pid, os.WNOHANG)
        if done:
            break
        if time.perf_counter() - started > seconds * _crowd() and not stopped:
            os.kill(pid, signal.SIGKILL)
            stopped = True
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    return Outcome(
        _as_shell(code),
        *_printed(output),
        time.perf_counter() - started,
        used.ru_utime + used.ru_stime,
        max(0, used.ru_maxrss - before) * 1024 / 1e6,
        stopped,
    )


def _as_shell(code):
    """Return the exit status that a shell shows for what waiting for a process returned."""
    status = os.waitstatus_to_exitcode(code)
    return status if status >= 0 else 128 - status


def _printed(output):
    """Return what a trial printed on standard output and on standard error."""
    paths = (Path(output) / name for name in ("out", "err"))
    return [path.read_text(errors="surrogateescape") if path.exists() else "" for path in paths]


def _crowd():
    """How many processes want each processor, at least 1: a trial waits for its turn so often."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def run(words, folder, *, seconds=60, **how):
    """Run a command to its end; see `start`."""
    with tempfile.TemporaryDirectory() as output:
        started = time.perf_counter()
        return finish(start(words, folder, output, **how), output, started=started, seconds=seconds)


class Server:
    """Run commands one after the other in one process; a new one follows after some, or a crash.

    Parameters
    ----------
    served : int
        How many commands one process runs.
    seconds : float
        How long one may take, wall time.
    megabytes : float, optional
        Address space that a process may take beyond what this one has, 1e6 bytes (RLIMIT_AS).
    """

    def __init__(self, *, served=25, seconds=60, megabytes=None):
        self.served, self.seconds, self.megabytes = served, seconds, megabytes
        self._pid = self._connection = None
        self._left = 0

    def run(self, words, folder):
        """Run a command to its end; return its Outcome."""
        with tempfile.TemporaryDirectory() as output:
            started = time.perf_counter()
            if not self._left:
                self.close()
                self._start()
            self._left -= 1
            self._connection.send((list(words), str(folder), output))
            stopped = not self._connection.poll(self.seconds * _crowd())
            if stopped:
                os.kill(self._pid, signal.SIGKILL)
            try:
                status, cpu, megabytes = self._connection.recv()
            except EOFError:
                status, cpu, megabytes = self._wait(), 0.0, 0.0
            seconds = time.perf_counter() - started
            return Outcome(status, *_printed(output), seconds, cpu, megabytes, stopped)

    def close(self):
        """End the process."""
        if self._pid:
            self._connection.close()
            os.kill(self._pid, signal.SIGKILL)  # another server may hold the pipe open
            self._wait()

    def _wait(self):
        """Wait for the end of the process; return its exit status."""
        _, code = os.waitpid(self._pid, 0)
        self._pid, self._left = None, 0
        return _as_shell(code)

    def _start(self):
        self._connection, theirs = multiprocessing.Pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in `start`
            self._pid = os.fork()
        self._left = self.served
        if self._pid:
            theirs.close()
            return
        try:
            self._connection.close()
            self._serve(theirs)
        finally:
            os._exit(0)

    def _serve(self, connection):
        """Be the process: run what is asked for until nobody asks."""
        _be_new("/")
        _limit(self.megabytes)
        while True:
            try:
                words, folder, output = connection.recv()
            except EOFError:
                return
            os.chdir(folder)
            _redirect(Path(output))
            cpu, kilobytes = _used()
            status = _ended(_run(words))
            spent, peak = _used()
            connection.send((status, spent - cpu, (peak - kilobytes) * 1024 / 1e6))


def _used():
    """Return the processor time and the memory, kB, that this process and its children took."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both), max(one.ru_maxrss for one in both)


def make_visit(folder, *, n_exposures=3, chip_shape=(64, 128), n_stars=80, **more):
    """Simulate small images that align, within a second; return their names."""
    from imagereg.demo import simulate_visit

    visit = simulate_visit(
        folder,
        seed=5,
        n_exposures=n_exposures,
        chip_shape=chip_shape,
        n_stars=n_stars,
        flux_range=(3000.0, 1e6),
        n_cosmic_rays=10,
        bad_pixels=10,
        dither=0.5,
        **more,
    )
    return [path.name for path in visit.files]


def fresh(folder, source):
    """Make a folder anew as the copy of another, links as links."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, symlinks=True)


def digest(path):
    """Return a hash of a file's content."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def spare_hash(path):
    """Return a hash of what a change of its WCS leaves alone in an image: pixels, other HDUs."""
    from astropy.io import fits

    content, found = Path(path).read_bytes(), hashlib.sha256()
    with warnings.catch_warnings(), fits.open(path, memmap=False) as hdus:
        warnings.simplefilter("error")
        hdus.verify("exception")
        for index, hdu in enumerate(hdus):
            info = hdus.fileinfo(index)
            if index and hdu.name != "HDRLET":
                start = info["datLoc" if hdu.name == "SCI" else "hdrLoc"]
                found.update(content[start : info["datLoc"] + info["datSpan"]])
    return found.hexdigest()


def solutions(path):
    """Return what a file knows of the sky: primary WCS, names of alternates and of headerlets."""
    from astropy.io import fits

    with fits.open(path, memmap=False) as hdus:
        science = [hdu.header for hdu in hdus if hdu.name == "SCI"]
        attached = sorted(hdu.header["HDRNAME"] for hdu in hdus if hdu.name == "HDRLET")
    names = [
        sorted(header[key] for key in header if key.startswith("WCSNAME")) for header in science
    ]
    primary = [(header["WCSNAME"], header["CRVAL1"], header["CRVAL2"]) for header in science]
    return {"primary": primary, "names": names, "headerlets": attached}


def same_solutions(first, second, tolerance=1e-6):
    """Whether two files know the same of the sky; CRVAL within a tolerance in degrees."""
    if (first["names"], first["headerlets"]) != (second["names"], second["headerlets"]):
        return False
    for one, other in zip(first["primary"], second["primary"], strict=True):
        if one[0] != other[0] or max(abs(one[i] - other[i]) for i in (1, 2)) > tolerance:
            return False
    return True


def parser(text):
    """Return an argument parser with the options that all these scripts have."""
    made = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--seed", type=int, default=1, help="of all that is random (default: 1)")
    made.add_argument("--minutes", type=float, help="stop after so long, whatever was tried")
    made.add_argument("--keep", metavar="FOLDER", help="where to put inputs that fail")
    return made


def numbered(count, minutes=None):
    """Yield the numbers of trials from 0, no longer than some minutes."""
    started = time.monotonic()
    for number in range(count):
        if minutes and time.monotonic() - started > 60 * minutes:
            return
        yield number


class Tally:
    """Count trials and failures by kind, and print the first failures of each kind as they come.

    Parameters
    ----------
    keep : path, optional
        Folder for copies of inputs that fail.
    examples : int
        How many failures of a kind are printed.
    """

    def __init__(self, keep=None, examples=3):
        self.trials, self.failed, self.kinds, self.counts = 0, 0, {}, {}
        self.keep, self.examples = keep and Path(keep), examples

    def add(self, kind, complaints, case, *files):
        """Note a trial: its kind, what is wrong with it, and what it was."""
        self.trials += 1
        tried, failed = self.counts.get(kind, (0, 0))
        self.counts[kind] = tried + 1, failed + bool(complaints)
        self.failed += bool(complaints)
        for complaint in complaints:
            key = kind, _without_numbers(complaint)
            self.kinds[key] = self.kinds.get(key, 0) + 1
            if self.kinds[key] <= self.examples:
                print(f"{kind}: {case}: {complaint}", flush=True)
        if self.trials % 1000 == 0:
            print(f"{self.trials} tried   {self.failed} failed", file=sys.stderr, flush=True)
        if complaints and self.keep:
            for path in map(Path, files):
                self.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, self.keep / f"{self.trials:06d}_{path.name}")

    def report(self):
        """Print the counts; return the exit status."""
        print()
        for kind, (tried, failed) in self.counts.items():
            print(f"{kind:32s} {tried:7d} tried  {failed:6d} failed")
        for (kind, complaint), times in self.kinds.items():
            print(f"{times:6d} times  {kind}: {complaint}")
        verdict = "not ok" if self.failed else "ok"
        print(f"\n{self.trials} tried   {self.failed} failed   bar 0  {verdict}")
        return 1 if self.failed else 0


def _without_numbers(text):
    return "".join(letter for letter in text if not letter.isdigit())[:60]
