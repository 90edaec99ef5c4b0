"""The largest costs of a run, each beside what physics allows: bytes read or written, pixels passed over once.

    python tests/bench/costs.py [--runs N]

Measures an exposure of two chips of 2048 x 4096 pixels, its file in memory, and prints the CPU of each piece of work
and that of the least that any program must do. Writing is wall time, since the disk sets it. The estimate for the
archive in docs/performance.md is made of these.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time

import numpy as np
from children import checked

_LOADED = ("import imagereg.tasks.exposures, astropy.wcs; from imagereg.tasks import run; run.load_what_follows()")
_LEAST_LOADED = "import numpy"


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="whose median counts")
    args = parser.parse_args()
    print("| work | s | least | limit |")
    print("|---|---|---|---|")
    row("loading, a run", load(_LOADED, args), load(_LEAST_LOADED, args), "loading numpy")
    with tempfile.TemporaryDirectory() as folder:
        for work, seconds, least, limit in costs(folder, args):
            row(work, seconds, least, limit)


def row(work, seconds, least, limit):
    """Print a row of the table."""
    print(f"| {work} | {seconds:.3f} | {least:.3f} | {limit} |", flush=True)


def load(code, args):
    """Return the CPU of a Python that imports something."""
    return statistics.median(checked([sys.executable, "-c", code]).cpu for _ in range(args.runs))


def costs(folder, args):
    """Yield what a piece of work costs for an exposure, the least it could cost, and why."""
    from astropy.io import fits

    from imagereg.demo import simulate_visit
    from imagereg.detection import measure_chip, refine_positions
    from imagereg.detection.psf.epsf_measure import measure_psf
    from imagereg.files import read_image
    from imagereg.files.images import rewrite
    from imagereg.parameters import ParameterSet
    from imagereg.tasks.finding import finding_of
    from imagereg.wcs import Solution

    visit = simulate_visit(folder, seed=3, n_exposures=1, chip_shape=(2048, 4096), n_stars=1500)
    path = str(visit.files[0])
    finding = finding_of(ParameterSet("imagefindpars", {"threshold": 10}))

    def read():
        with read_image(path) as image:
            return [image.pixels(chip, "") for chip in image.chips]

    def find(chips):
        return [measure_chip(pixels.data, finding, bad=pixels.bad, relative_noise=None, excluded=None, gain=1.0,
                             chip=pixels.chip.extver, where="chip") for pixels in chips]

    chips = read()
    arrays = [np.array(pixels.data, dtype=np.float32) for pixels in chips]
    flags = [np.zeros(array.shape, np.int16) for array in arrays]

    def copy():
        return [array.byteswap() for array in arrays + flags]

    yield "reading SCI and DQ", cpu(read, args), cpu(copy, args), "copying the bytes in memory"
    yield ("finding", cpu(lambda: find(chips), args), cpu(lambda: [array + 1 for array in arrays], args),
           "one pass over the pixels")
    sources, stamps, _ = find(chips)[0]
    psf = measure_psf(stamps, 2.5)
    yield ("the PSF, a run", cpu(lambda: measure_psf(stamps, 2.5), args), cpu(lambda: stamps.pixels * 2, args),
           f"one pass over {len(sources)} stamps")
    yield ("positions of the stars of a chip", cpu(lambda: refine_positions(sources, stamps, psf), args),
           cpu(lambda: stamps.pixels * 2, args), "the same")
    with read_image(path) as image:
        wcss = {chip.extver: None for chip in image.chips}

    def headers():
        with fits.open(path) as hdus:
            return [hdu.header for hdu in hdus]

    def change():
        return rewrite.header_change(path, [(wcss, Solution(nmatches=9))], wcsname="NEW", reuse=True)

    yield ("new headers", cpu(lambda: rewrite.Plan.of(path, change(), dry_run=False), args),
           cpu(headers, args), "parsing all headers once")
    yield ("writing the file, wall", wall(lambda: rewrite.rewrite(path, change()), args),
           wall(lambda: flushed(path), args), f"copying and flushing {os.path.getsize(path) / 1e6:.0f} MB")


def flushed(path):
    """Copy a file by the kernel, and flush it."""
    copy = f"{path}.copy"
    with open(path, "rb") as source, open(copy, "wb") as target:
        os.sendfile(target.fileno(), source.fileno(), 0, os.path.getsize(path))
        os.fsync(target.fileno())
    os.unlink(copy)


def cpu(work, args):
    """Return the median CPU of a piece of work."""
    return timed(work, args, time.process_time)


def wall(work, args):
    """Return the median wall time of a piece of work."""
    return timed(work, args, time.perf_counter)


def timed(work, args, clock):
    """Return the median time of a piece of work, once it has been done before."""
    work()
    seconds = []
    for _ in range(args.runs):
        begun = clock()
        work()
        seconds.append(clock() - begun)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
