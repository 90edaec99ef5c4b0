"""Set up the process of a command, which has no other purpose."""

import atexit
import gc
import os

# Objects made between two searches for unreachable cycles, of which there are few in a run. With
# Python's 700 most searches are of modules that are being loaded, for 5 % of a short run's time;
# another 5 % is a last search when all ends.
_RARELY = 100_000


def set_up() -> None:
    """Let Python and the libraries spend no time on what a run has no use for.

    Linear algebra has one thread unless the user says otherwise: the matrices of a run are small,
    and threads that wait for the next one take 5 to 10 % of the time of both cores from processes
    that have work. Libraries read that when they are loaded, so that this comes first.
    """
    gc.set_threshold(_RARELY)
    atexit.register(gc.freeze)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
