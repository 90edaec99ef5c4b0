"""Time from the command to the first screen of the editor of parameters, in a terminal of its own.

The editor is started a few times; the median counts. Exit status 1 means that the bar is missed.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import pty
import signal
import statistics
import sys
import tempfile
import time

LIB = pathlib.Path(__file__).resolve().parent.parent.parent / "lib"
_MOST = 0.7  # seconds


def seconds_to_screen(home):
    """Start the editor in a terminal of its own, and wait for the end of the screen; then leave it."""
    environment = {**os.environ, "HOME": home, "PYTHONPATH": str(LIB), "TERM": "xterm", "LINES": "24", "COLUMNS": "80"}
    environment.pop("DISPLAY", None)
    start = time.perf_counter()
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [sys.executable, "-m", "imagereg", "--epar"], environment)
    screen = b""
    while b"for HELP" not in screen:
        screen += os.read(terminal, 4096)
    elapsed = time.perf_counter() - start
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(terminal)
    return elapsed


def main():
    """Print the figure beside its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="how often the editor is started")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as home:
        found = [seconds_to_screen(home) for _ in range(times)]
    median = statistics.median(found)
    print(f"first screen after {median:.2f} s ({min(found):.2f} to {max(found):.2f}), at most {_MOST}")
    return 0 if median <= _MOST else 1


if __name__ == "__main__":
    sys.exit(main())
