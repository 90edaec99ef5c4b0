"""Seconds of `tweakreg --apply` for the four ACS/WFC files of a simulated case.

The files are copied and solved, then the solution is applied; status 1 means that the bar is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from children import checked

_BAR = 5.0  # seconds


def main():
    """Solve, apply, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", type=Path, help="folder with *flt.fits files")
    folder = parser.parse_args().case
    with tempfile.TemporaryDirectory() as work:
        paths = [shutil.copy(path, work) for path in sorted(folder.glob("*flt.fits"))]
        command = [sys.executable, "-m", "imagereg"]
        quick = ["writecat=no", "see2dplot=no", "residplot=No plot"]
        checked([*command, *paths, "threshold=50", "searchrad=2", *quick], work)
        done = checked([*command, "--apply", "tweakreg_solution.ecsv"], work)
        size = sum(Path(path).stat().st_size for path in paths) / 1e6
    print(f"{len(paths)} files, {size:.0f} MB: {done.seconds:.2f} s, {done.cpu:.2f} s of CPU (bar {_BAR:.0f} s)")
    return int(done.seconds > _BAR)


if __name__ == "__main__":
    sys.exit(main())
