"""What a visit costs in a batch of few and in one of many, in time and memory.

    python tests/bench/batch_speed.py [NUMBER ...]

Aligns 10 and 1,000 visits of two small exposures each, headers updated, and prints for each number the wall clock
and the CPU a visit, and the memory of the largest process.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from imagereg.demo import simulate_visit

WORDS = ["threshold=10", "see2dplot=no", "residplot=No plot", "updatehdr=yes"]


def main():
    """Print a line for each number of visits."""
    numbers = list(map(int, sys.argv[1:])) or [10, 1000]
    with tempfile.TemporaryDirectory() as folder:
        made = simulate_visit(folder, seed=5, n_exposures=2, chip_shape=(256, 512), n_stars=90, n_cosmic_rays=60,
                              bad_pixels=60)
        print("visits  wall/visit  CPU/visit  largest process")
        for number in numbers:
            archive = Path(folder, f"archive{number}")
            for visit in range(number):
                (archive / f"{visit:04d}").mkdir(parents=True)
                for image in made.files:
                    shutil.copy(image, archive / f"{visit:04d}")
            report(folder, archive, number)
            shutil.rmtree(archive)


def report(folder, archive, number):
    """Align the visits of an archive and print what that took."""
    begun = time.monotonic()
    before = cpu()
    command = [sys.executable, "-m", "imagereg", "--batch", str(archive), *WORDS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    wall = (time.monotonic() - begun) / number
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{number:6d}  {wall:8.2f} s  {(cpu() - before) / number:7.2f} s  {largest:6.0f} MB", flush=True)


def cpu():
    """Return the CPU seconds of all children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
