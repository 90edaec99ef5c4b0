"""Finding, matching and the whole task beside the programs that people use for them.

    scripts/bench [--sizes small medium large] [--runs N] [--plot FILE]

Finding is done on one simulated chip, matching on a list of positions and a shifted copy, the task on a visit of three
exposures. The figures are medians of the CPU seconds of the work alone, without imports (for the task: of the whole
process), the memory of the process, and the ratio to ours. A program that is not there or fails is left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from children import run

#: Rows and columns of a chip, and its stars.
SIZES = {"small": ((512, 512), 200), "medium": ((1024, 2048), 1500), "large": ((2048, 4096), 8000)}

_FIND = {
    "imagereg": """
from imagereg.detection import Finding, measure_chip
from imagereg.parameters import ParameterSet
from imagereg.tasks.exposures import _finding
finding = _finding(ParameterSet("imagefindpars", {"threshold": 10, "centroid": "marginal"}))
def work():
    sources, _ = measure_chip(image, finding, bad=None, relative_noise=None, excluded=None, gain=1.0, chip=1, where="")
    return len(sources)
""",
    "sep": """
import sep
def work():
    background = sep.Background(image)
    return len(sep.extract(image - background.back(), 5.0, err=background.globalrms))
""",
    "photutils": """
from astropy.stats import sigma_clipped_stats
from photutils.detection import DAOStarFinder
def work():
    mean, median, sigma = sigma_clipped_stats(image)
    return len(DAOStarFinder(threshold=10 * sigma, fwhm=2.5)(image - median))
""",
    "drizzlepac": """
from drizzlepac import findobj
def work():
    return len(findobj.findstars(image, fwhm=2.5, threshold=10 * image.std(), skymode=float(np.median(image)))[0])
""",
}
_MATCH = {
    "imagereg": """
from imagereg.catalogs import SourceCatalog
from imagereg.tweakreg import align_catalogs
n = len(first)
catalogs = [SourceCatalog(xy=xy, flux=flux, flux_error=flux ** 0.5, xy_error=np.full((n, 2), 0.02))
            for xy in (first, second)]
def work():
    return align_catalogs(*catalogs, searchrad=30, searchunits="pixels").nmatches
""",
    "stimage": """
from stsci.stimage import xyxymatch
def work():
    return len(xyxymatch(first, second, origin=(7.5, -4.2), tolerance=1.0, separation=0.0))
""",
    "tweakwcs": """
from astropy.table import Table
from tweakwcs import XYXYMatch
tables = [Table({"TPx": xy[:, 0], "TPy": xy[:, 1]}) for xy in (second, first)]
def work():
    return len(XYXYMatch(searchrad=30, tolerance=1, separation=0)(*tables, tp_pscale=1.0, tp_units="pix")[0])
""",
    "astroalign": """
import astroalign
def work():
    return len(astroalign.find_transform(first, second, max_control_points=200)[1][0])
""",
}
_TIMED = """
import json, resource, sys, time
import numpy as np
image, first, second, flux = (np.load(sys.argv[1])[name] for name in ("image", "first", "second", "flux"))
{code}
work()
seconds = []
for _ in range(int(sys.argv[2])):
    begun = time.process_time()
    found = work()
    seconds.append(time.process_time() - begun)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([sorted(seconds)[len(seconds) // 2], memory, int(found)]))
"""
_SIMULATE = """
import sys
import numpy as np
from imagereg.demo import simulate_visit
from imagereg.files import read_image
folder, ny, nx, stars = sys.argv[1], *map(int, sys.argv[2:])
visit = simulate_visit(folder, seed=3, n_exposures=3, n_chips=1, chip_shape=(ny, nx), n_stars=stars)
with read_image(str(visit.files[0])) as opened:
    image = opened.pixels(opened.chips[0], "").data.astype(np.float32)
random = np.random.default_rng(4)
first = random.uniform((1, 1), (nx, ny), (stars, 2))
second = first + (-7.5, 4.2) + random.normal(0, 0.02, first.shape)
np.savez(f"{folder}/data.npz", image=image, first=first, second=second, flux=random.exponential(1e4, stars) + 100)
"""
_TASKS = {
    "imagereg": "from imagereg import tweakreg; tweakreg.TweakReg('*_flt.fits', threshold=10, updatehdr=True, "
                "see2dplot=False, residplot='No plot', writecat=False)",
    "drizzlepac": "from drizzlepac import tweakreg; tweakreg.TweakReg('*_flt.fits', imagefindcfg={'threshold': 10}, "
                  "updatehdr=True, interactive=False, see2dplot=False, residplot='No plot', writecat=False)",
}


def measured(code, data, args):
    """Return CPU seconds, MB and the number of what was found, or None where the program is not there or fails."""
    done = run([sys.executable, "-W", "ignore", "-c", _TIMED.format(code=code), data, str(args.runs)])
    return None if done.status else json.loads(done.output.splitlines()[-1])


def task_measured(code, folder, args):
    """Return CPU seconds and MB of aligning a copy of a visit in a process of its own, and its images."""
    runs = []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as copy:
            for path in Path(folder).glob("*_flt.fits"):
                shutil.copy(path, copy)
            runs.append(run([sys.executable, "-W", "ignore", "-c", code], copy))
    if any(done.status for done in runs):
        return None
    return [statistics.median(done.cpu for done in runs), max(done.megabytes for done in runs), 3]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--runs", type=int, default=3, help="whose median counts")
    parser.add_argument("--plot", metavar="FILE", help="draw the ratios into this file")
    args = parser.parse_args()
    rows = []
    print(f"{'':8s} {'size':7s} {'program':12s} {'CPU s':>8s} {'MB':>6s} {'found':>6s} {'ratio':>6s}")
    for size in args.sizes:
        (ny, nx), stars = SIZES[size]
        with tempfile.TemporaryDirectory() as folder:
            made = run([sys.executable, "-c", _SIMULATE, folder, *map(str, (ny, nx, stars))])
            assert made.status == 0, made.output
            for what, programs in {"finding": _FIND, "matching": _MATCH, "task": _TASKS}.items():
                rows += compared(what, size, programs, folder, args)
    if args.plot:
        draw(rows, args.plot)


def compared(what, size, programs, folder, args):
    """Print and return a row for each program: work, size, program, and its ratio to ours."""
    rows = []
    ours = None
    for program, code in programs.items():
        one = task_measured(code, folder, args) if what == "task" else measured(code, f"{folder}/data.npz", args)
        if one is None:
            print(f"{what:8s} {size:7s} {program:12s}        -", flush=True)
            continue
        seconds, megabytes, found = one
        ours = ours or seconds
        rows.append((what, size, program, seconds / ours))
        print(f"{what:8s} {size:7s} {program:12s} {seconds:8.3f} {megabytes:6.0f} {found:6d} {seconds / ours:6.2f}",
              flush=True)
    return rows


def draw(rows, path):
    """Draw how many times the CPU of ours each program takes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.3 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    labels = [f"{what}, {size}: {program}" for what, size, program, _ in rows]
    axes.barh(labels, [ratio for *_, ratio in rows])
    axes.axvline(1, color="black", lw=1)
    axes.set(xscale="log", xlabel="CPU, in units of that of imagereg")
    axes.invert_yaxis()
    figure.savefig(path)


if __name__ == "__main__":
    main()
