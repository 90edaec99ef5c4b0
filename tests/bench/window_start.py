"""How long the editor's window takes from the start of Python until it is drawn, on a display; best of several.

Exit status 1 means that the bar is missed.
"""

import argparse
import subprocess
import sys
import time

_MOST_SECONDS = 1.0
OPEN = """
import tkinter
def wait(root, top):
    top.update()
tkinter.Tk.wait_window = wait
from imagereg.interfaces.epar import window
from imagereg.interfaces.epar.model import Model
window.edit(Model.open("tweakreg"))
"""


def best(command, repeats):
    """Return the shortest time of a command, seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", command], check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    """Print the figures; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    imports, window = best("import imagereg.interfaces.epar.model", repeats), best(OPEN, repeats)
    print(f"window after {window:.2f} s, {imports:.2f} s of it for imports (bar {_MOST_SECONDS:g} s)")
    return int(window > _MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
