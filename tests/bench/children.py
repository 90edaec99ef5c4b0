"""Run a command and note what it took."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes


@dataclasses.dataclass(frozen=True)
class Run:
    """What a finished command took.

    Parameters
    ----------
    seconds : float
        Wall time from its start to its end, interpreter and imports included.
    cpu : float
        Seconds that all processors together worked for it: wall time without what others on the machine took.
    megabytes : float
        Largest resident set of the process, or of one that it started and waited for, 1e6 bytes. Linux counts the
        caller's own size at the time of the call as the least, so the bench scripts import nothing large.
    status : int
        Exit status.
    output : str
        Standard output and standard error.
    """

    seconds: float
    cpu: float
    megabytes: float
    status: int
    output: str

    @property
    def complaint(self):
        """The last line of the output, empty for a success."""
        lines = self.output.strip().splitlines()
        return "" if self.status == 0 else f"exit status {self.status}: {lines[-1] if lines else 'no output'}"


def run(command, folder=None):
    """Run a command to its end, with no terminal to ask questions at.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    folder : path, optional
        Working directory.

    Returns
    -------
    Run
    """
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen([os.fspath(word) for word in command], cwd=folder, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _RSS_UNIT / 1e6, process.returncode, text)


def checked(command, folder=None):
    """Run a command that has to succeed, and return its Run; a failure ends the script with its last words."""
    done = run(command, folder)
    if done.status != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.output[-2000:]}")
    return done
