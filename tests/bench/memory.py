"""Memory of the finder and time to start.

The finder works on a simulated chip of ACS/WFC's size, once with few stars and once crowded, in a process of its own.
Its peak is the largest resident set while it runs, less the resident set before the chip was there: the chip itself
and its mask of bad pixels are part of it. The unit is the chip, 4 bytes a pixel. Starting is timed as the median of
several fresh processes. Exit status 1 means that a bar is missed.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
from pathlib import Path

from children import checked, run

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does for the modules of tests/

_SHAPE = (2048, 4096)
_STARS = {"a field of 1,000 stars": 1000, "crowded, 30,000 stars": 30000}
_LARGEST, _IMPORT, _START = 6.0, 0.5, 1.5
_TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def make_chip(stars, folder):
    """Simulate one chip and save it and its bad pixels as image.npy and bad.npy; run in a process of its own."""
    import numpy as np

    from imagereg import demo
    from imagereg.files.images.fits import read_image

    visit = demo.simulate_visit(folder, n_exposures=1, n_stars=stars, n_chips=1, chip_shape=_SHAPE)
    with read_image(str(visit.files[0])) as image:
        chip = image.pixels(image.chips[0], dqbits="")
        np.save(f"{folder}/image.npy", chip.data.astype(np.float32))
        np.save(f"{folder}/bad.npy", chip.bad)


def find_in_chip(folder):
    """Print the peak of find_sources in units of the chip, and the number of sources; run in a process of its own."""
    import numpy as np
    from finders import find_sources

    kernel = {"conv_width": 3.5}
    noise = np.random.default_rng(1).normal(0, 1, (64, 64))
    find_sources(noise, threshold=10.0, **kernel)  # whatever is imported late is there now
    before = _resident()
    image, bad = np.load(f"{folder}/image.npy"), np.load(f"{folder}/bad.npy")
    found = find_sources(image, bad=bad, threshold=10.0, **kernel)
    print((_resident() - before) / image.nbytes, len(found))


def _resident():
    """Return the largest resident set so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def finder_figures():
    """Print the memory of the finder; return whether the bar is reached."""
    reached = []
    for name, stars in _STARS.items():
        with tempfile.TemporaryDirectory() as folder:
            itself = [sys.executable, __file__, "--step"]
            checked([*itself, "make", str(stars), folder])
            peak, count = map(float, checked([*itself, "find", "0", folder]).output.split())
        reached.append(peak < _LARGEST)
        print(f"find_sources, {name:26s}{peak:7.2f} chips   bar {_LARGEST:.1f}  {_verdict(reached[-1])}"
              f"  ({count:.0f} sources)")
    return all(reached)


def import_seconds(statement):
    """Return how long an import takes in a fresh process, without the start of Python."""
    return float(checked([sys.executable, "-c", _TIMED.format(statement)]).output)


def start_figures(repeats):
    """Print how long it takes to start; return whether the bars are reached."""
    command = [sys.executable, "-m", "imagereg"]
    measures = {
        "import imagereg": (_IMPORT, lambda: import_seconds("import imagereg")),
        "from imagereg import tweakreg": (_START, lambda: import_seconds("from imagereg import tweakreg")),
        "tweakreg --help": (_START, lambda: checked([*command, "--help"]).seconds),
        "tweakreg of files that are missing": (_START, lambda: run([*command, "missing_flt.fits"]).seconds),
    }
    reached = []
    for name, (bar, measure) in measures.items():
        measure()  # compiles, and brings the files into memory
        seconds = statistics.median(measure() for _ in range(repeats))
        reached.append(seconds < bar)
        print(f"{name:40s}{seconds:7.3f} seconds bar {bar:.1f}  {_verdict(reached[-1])}")
    return all(reached)


def _verdict(reached):
    return "ok" if reached else "not ok"


def main():
    """Print the figures; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="starts of which the median counts (default: 5)")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        step, stars, folder = args.step
        make_chip(int(stars), folder) if step == "make" else find_in_chip(folder)
        return 0
    return 0 if all([finder_figures(), start_figures(args.repeats)]) else 1


if __name__ == "__main__":
    sys.exit(main())
