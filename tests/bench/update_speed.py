"""What updating and restoring headers costs.

The exposures of a folder, say the case wfc_moderate, are copied and aligned with updatehdr=no and with updatehdr=yes,
and then restored. Exit status 1 means that a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from children import checked

_SHARE, _RESTORE = 0.25, 5.0
_WORDS = ["threshold=50", "interactive=no"]  # with lists and plots, as users run it


def main():
    """Print the figures; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", type=Path, help="folder with *_flt.fits")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the median counts (default: 3)")
    args = parser.parse_args()
    command, times = [sys.executable, "-m", "imagereg"], {"align": [], "update": [], "restore": []}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        names = [shutil.copy(path, folder) for path in sorted(args.case.glob("*_flt.fits"))]
        for _ in range(args.repeats):
            times["align"].append(checked([*command, *names, *_WORDS], folder).seconds)
            update = [*command, *names, *_WORDS, "updatehdr=yes", "reusename=yes"]
            times["update"].append(checked(update, folder).seconds)
            times["restore"].append(checked([*command, "--restore", *names], folder).seconds)
    align, update, restore = (statistics.median(times[name]) for name in ("align", "update", "restore"))
    share = (update - align) / update
    print(f"{len(names)} files: align {align:.2f} s, align and update {update:.2f} s")
    print(f"updating, part of the run  {share:6.2f}    bar {_SHARE}  {'ok' if share < _SHARE else 'not ok'}")
    print(f"restoring                  {restore:6.2f} s  bar {_RESTORE}  {'ok' if restore < _RESTORE else 'not ok'}")
    return 0 if share < _SHARE and restore < _RESTORE else 1


if __name__ == "__main__":
    sys.exit(main())
