"""Measure time, memory and open files of runs that are long or large; to be run once for a release.

- 300 images, aligned and updated; and a list of 1,000 of which 100 are broken.
- One image of 16,384 x 16,384 pixels with a reference catalog.
- A reference catalog of 2,000,000 rows.

Open files are counted ten times a second in /proc, so this needs Linux. Images are small but
for the large one, and copies of a few: what is measured is what grows with their number. Exit
status 1 means that a good image was not aligned, a broken one stopped the others, or a bar was
missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import trials

#: What a run may take: seconds of processor time, megabytes beyond the imports', open files.
#: A claimed image is an open file, which its lock needs. Per small image 0.5 s are allowed (0.2 s
#: measured); the large image is 1,074 MB as float32, and the finder may hold six such arrays
#: (tests/bench/memory.py); a row is some ten numbers.
BARS = {
    "300 images": (150, 600, 400),
    "1,000 images, 100 broken": (500, 1200, 1100),
    "16,384 x 16,384 pixels": (600, 7000, 100),
    "2,000,000 rows": (60, 2000, 100),
}
QUIET = (*trials.PLAIN, "writecat=no")


def measured(words, folder, seconds):
    """Run a command; return its Outcome, and the most files that it had open at a time."""
    with tempfile.TemporaryDirectory() as output:
        started, most = time.perf_counter(), 0
        pid = trials.start(words, folder, output)
        while not trials.ended(pid) and time.perf_counter() - started < seconds:
            most = max(most, len(os.listdir(f"/proc/{pid}/fd")))
            time.sleep(0.1)
        return trials.finish(pid, output, started=started, seconds=seconds), most


def copies(folder, number):
    """Make a number of images with names of their own, copies of eight; return the names."""
    from astropy.io import fits

    names = trials.make_visit(folder / "few", n_exposures=8)
    made = []
    for index in range(number):
        rootname = f"jl{index:04d}01q"[:9]
        made.append(f"{rootname}_flt.fits")
        shutil.copy(folder / "few" / names[index % len(names)], folder / made[-1])
        with fits.open(folder / made[-1], mode="update", memmap=False) as hdus:
            # The sources of two images must not be the same to the last digit.
            hdus["SCI", 1].data[0, 0] += index
            hdus[0].header["ROOTNAME"] = rootname
    return made


def many(folder):
    """Align 300 images."""
    names = copies(folder, 300)
    (folder / "images.lis").write_text("\n".join(names))
    outcome, most = measured(("@images.lis", *QUIET, "updatehdr=yes"), folder, 3600)
    good = sum(" aligned " in line or " unchanged " in line for line in outcome.out.splitlines())
    return outcome, most, good, 299


def some_broken(folder):
    """Align 1,000 images of which every tenth is broken."""
    import random

    import fits_mutations

    rng, names = random.Random(1), copies(folder, 1000)
    (folder / "images.lis").write_text("\n".join(names))
    for name in names[9::10]:
        path = folder / name
        damage = rng.choice(
            (fits_mutations.truncate, lambda *_: b"", lambda *_: b"no image\n" * 99)
        )
        path.write_bytes(damage(path.read_bytes()[:20_000], rng))
    outcome, most = measured(("@images.lis", *QUIET, "updatehdr=yes"), folder, 7200)
    good = sum(" aligned " in line or " unchanged " in line for line in outcome.out.splitlines())
    return outcome, most, good, 899


def one_large(folder):
    """Align one image of 16,384 x 16,384 pixels, 16 x 16 tiles of the same stars."""
    import numpy as np
    from astropy.io import fits
    from astropy.wcs import WCS

    from imagereg.demo import simulate_visit

    visit = simulate_visit(
        folder,
        n_exposures=1,
        n_chips=1,
        chip_shape=(1024, 1024),
        n_stars=400,
        flux_range=(3000.0, 1e6),
        n_cosmic_rays=0,
        distortion=False,
    )
    path = Path(visit.files[0])
    with fits.open(path) as hdus:
        primary, header = hdus[0].copy(), hdus["SCI", 1].header.copy()
        pixels = np.tile(hdus["SCI", 1].data, (16, 16))
    fits.HDUList([primary, fits.ImageHDU(pixels, header, name="SCI", ver=1)]).writeto(
        path, overwrite=True
    )
    steps = 1024 * np.stack(np.meshgrid(np.arange(16), np.arange(16)), axis=-1).reshape(-1, 1, 2)
    xy = (visit.chips[0][0].xy + steps).reshape(-1, 2)
    np.savetxt(folder / "stars.cat", WCS(header).all_pix2world(xy, 1) + (1e-4, 1e-4), fmt="%.9f")
    plain = [word for word in QUIET if not word.startswith("threshold=")]
    words = (path.name, *plain, "threshold=50", "refcat=stars.cat", "updatehdr=yes")
    outcome, most = measured(words, folder, 7200)
    good = sum(" aligned " in line for line in outcome.out.splitlines())
    return outcome, most, good, 1


def large_catalog(folder):
    """Align an image with a catalog of 2,000,000 rows."""
    import numpy as np

    from imagereg.demo import simulate_visit

    visit = simulate_visit(
        folder,
        n_exposures=1,
        n_chips=1,
        chip_shape=(512, 512),
        n_stars=200,
        flux_range=(3000.0, 1e6),
    )
    rng = np.random.default_rng(1)
    others = np.column_stack([rng.uniform(148, 152, 2_000_000), rng.uniform(28, 32, 2_000_000)])
    near = np.all(np.abs(others - visit.center) < 0.02, axis=1)
    rows = np.concatenate([others[~near], visit.sky])
    np.savetxt(folder / "stars.cat", rows, fmt="%.9f")
    name = Path(visit.files[0]).name
    outcome, most = measured((name, *QUIET, "refcat=stars.cat", "updatehdr=yes"), folder, 3600)
    good = sum(" aligned " in line or " unchanged " in line for line in outcome.out.splitlines())
    return outcome, most, good, 1


RUNS = {
    "300 images": many,
    "1,000 images, 100 broken": some_broken,
    "16,384 x 16,384 pixels": one_large,
    "2,000,000 rows": large_catalog,
}


def main():
    """Print what was measured; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", choices=RUNS, action="append", help="only this one")
    args = parser.parse_args()
    trials.warm()
    missed = 0
    for name in args.run or RUNS:
        with tempfile.TemporaryDirectory() as folder:
            outcome, most, good, expected = RUNS[name](Path(folder))
        cpu, megabytes, files = BARS[name]
        said = outcome.complaints(status=(0, 1), cpu=cpu, megabytes=megabytes)
        said += [f"{good} images aligned, expected {expected}"] if good < expected else []
        said += [f"{most} files open at a time, allowed are {files}"] if most > files else []
        print(
            f"{name}: {outcome.seconds:.0f} s, {outcome.cpu:.0f} s of processor time, "
            f"{outcome.megabytes:.0f} MB, {most} files, {good} of {expected} aligned   "
            f"{'; '.join(said) or 'ok'}",
            flush=True,
        )
        missed += bool(said)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
