"""Kill an update of six images at random moments, and look at what is left.

Six simulated exposures are updated by a process that is killed (SIGKILL) at a random moment of it, again and again.
After each time every file must be readable and either old or new, with data and all other HDUs as they were, and the
next claim must leave no leftovers. Exit status 1 means that one was not.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_IMAGES, _SHAPE = 6, (512, 1024)


def update(paths):
    """Update the headers of files; run in a process of its own."""
    from imagereg.files.images.fits import read_image
    from imagereg.files.images.rewrite import header_change, rewrite
    from imagereg.wcs.correction import Solution

    exposures = []
    for path in paths:
        with read_image(path) as image:
            exposures.append({chip.extver: chip.wcs for chip in image.chips})
    print("ready", flush=True)
    sys.stdin.readline()
    for path, wcss in zip(paths, exposures, strict=True):
        for wcs in wcss.values():
            wcs.wcs.crval = wcs.wcs.crval + 1e-4
        rewrite(path, header_change(path, [(wcss, Solution(nmatches=50))], wcsname="KILLED"))


def started(paths):
    """Start an update and wait until it is about to write."""
    child = subprocess.Popen([sys.executable, __file__, "--update", *paths], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    child.stdout.readline()
    return child


def state(path):
    """Return the names of the WCSs of a file, and a digest of all that an update leaves alone."""
    from astropy.io import fits

    content, digest = Path(path).read_bytes(), hashlib.sha256()
    with fits.open(path, memmap=False) as hdus:
        hdus.verify("exception")
        for index, hdu in enumerate(hdus):
            info = hdus.fileinfo(index)
            start = info["datLoc" if hdu.name == "SCI" else "hdrLoc"]
            digest.update(content[start:info["datLoc"] + info["datSpan"]])
        return {hdu.header["WCSNAME"] for hdu in hdus if hdu.name == "SCI"}, digest.hexdigest()


def kill(times, folder):
    """Kill an update some times; returns complaints, and how often how many files were new."""
    from imagereg import demo
    from imagereg.files import atomic

    visit = demo.simulate_visit(folder / "originals", n_exposures=_IMAGES, chip_shape=_SHAPE, n_stars=30)
    originals = [Path(path) for path in visit.files]
    paths = [str(folder / path.name) for path in originals]
    before = [state(path) for path in originals]
    complaints, counts, seconds, rng = [], [0] * (_IMAGES + 1), None, random.Random(1)
    for number in range(times + 1):
        for original, path in zip(originals, paths, strict=True):
            shutil.copy(original, path)
        with started(paths) as child:
            start = time.perf_counter()
            child.stdin.write(b"\n")
            child.stdin.flush()
            if seconds is not None:
                time.sleep(rng.uniform(0, seconds))
                child.send_signal(signal.SIGKILL)
            child.wait()
            seconds = seconds or time.perf_counter() - start
        new = 0
        for path, (old_names, digest) in zip(paths, before, strict=True):
            try:
                names, now = state(path)
                good = now == digest and names in (old_names, {"KILLED"})
            except Exception as error:  # whatever it is, the file is not readable
                names, good = {repr(error)}, False
            new += names == {"KILLED"}
            complaints += [] if good else [f"run {number}: {path}: {names}"]
        counts[new] += 1
        atomic.Claim(paths).close()
        complaints += [f"run {number}: left {path.name}" for path in folder.glob(".imagereg-*")]
    return complaints, counts


def main():
    """Print what was found; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="how often (default: 300)")
    parser.add_argument("--update", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.update:
        update(args.update)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        complaints, counts = kill(args.kills, Path(folder))
    print("\n".join(complaints))
    print(f"{args.kills} kills; runs by number of new files, 0 to {_IMAGES}, the first run whole: {counts}")
    print(f"spoiled: {len(complaints)}   bar 0  {'not ok' if complaints else 'ok'}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
