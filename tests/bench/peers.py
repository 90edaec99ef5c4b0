"""Finding, matching and the whole task beside the programs that people use for them.

    scripts/bench [--sizes small medium large] [--runs N] [--plot FILE]

Finding is done on one simulated chip, matching on a list of positions and a shifted copy, the task on a visit of three
exposures. The figures are medians of the CPU of the work alone, without imports, and its wall time (for the task, for
SExtractor and for IRAF: of whole processes), the memory of the largest process, and the CPU in units of ours. A program
that is not there or fails is left out. The task has no peer here, since drizzlepac takes distorted images of HST alone:
accuracy.py --peer compares the two. At the end stand our largest costs beside their physical limits (costs.py).
"""

from __future__ import annotations

import argparse
import json
import os
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
from imagereg.tasks.finding import finding_of
finding = finding_of(ParameterSet("imagefindpars", {"threshold": 10, "centroid": "marginal"}))
def work():
    sources, *_ = measure_chip(image, finding, bad=None, relative_noise=None, excluded=None, gain=1.0, chip=1, where="")
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
    return len(findobj.findstars(image, fwhm=2.5, threshold=10 * noise, skymode=float(np.median(image)))[0])
""",
}
_FIND["SExtractor"] = """
import subprocess
from astropy.io import fits
fits.writeto("chip.fits", image, overwrite=True)
open("columns", "w").write("NUMBER\\nX_IMAGE\\nY_IMAGE\\nFLUX_AUTO\\n")
def work():
    words = "source-extractor chip.fits -FILTER N -DETECT_THRESH 5 -PARAMETERS_NAME columns -CATALOG_NAME list"
    subprocess.run(words.split(), check=True, capture_output=True)
    return sum(not line.startswith("#") for line in open("list"))
"""
_FIND["IRAF daofind"] = """
import os, subprocess
from astropy.io import fits
fits.writeto("chip.fits", image, overwrite=True)
open("login.cl", "w").write(open("/etc/iraf/login.cl").read())
os.makedirs(".iraf/uparm", exist_ok=True)
lines = ["noao", "digiphot", "apphot", "unlearn daofind datapars findpars",
         'daofind ("chip.fits", output="list", fwhmpsf=2.5, threshold=10, boundary="nearest", wcsout="logical", '
         f"sigma={noise}, update-, interactive-, verify-, verbose-)", "logout"]
def work():
    if os.path.exists("list"):
        os.remove("list")
    subprocess.run(["irafcl"], input="\\n".join([*lines, ""]), text=True, check=True, capture_output=True,
                   timeout=60, env=dict(os.environ, HOME=os.getcwd(), USER="user", TERM="vt100"))
    return sum(not line.startswith("#") for line in open("list"))
"""
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
    return len(XYXYMatch(searchrad=30, tolerance=1, separation=1e-3)(*tables, tp_pscale=1.0, tp_units="pix")[0])
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
image, noise, first, second, flux = np.load(sys.argv[1]).values()
{code}
def clocks():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([sum(each.ru_utime + each.ru_stime for each in used), time.perf_counter()])
work()
taken = []
for _ in range(int(sys.argv[2])):
    begun = clocks()
    found = work()
    taken.append(clocks() - begun)
memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
print(json.dumps([*np.median(taken, axis=0), memory, int(found)]))
"""
_SIMULATE = """
import sys
import numpy as np
from astropy.stats import sigma_clipped_stats
from imagereg.demo import simulate_visit
from imagereg.files import read_image
folder, ny, nx, stars = sys.argv[1], *map(int, sys.argv[2:])
visit = simulate_visit(folder, seed=3, n_exposures=3, n_chips=1, chip_shape=(ny, nx), n_stars=stars)
with read_image(str(visit.files[0])) as opened:
    image = opened.pixels(opened.chips[0], "").data.astype(np.float32)
random = np.random.default_rng(4)
first = random.uniform((1, 1), (nx, ny), (stars, 2))
second = first + (-7.5, 4.2) + random.normal(0, 0.02, first.shape)
noise = sigma_clipped_stats(image)[2]
flux = random.exponential(1e4, stars) + 100
np.savez(f"{folder}/data.npz", image=image, noise=noise, first=first, second=second, flux=flux)
"""
_TASKS = {
    "imagereg": "from imagereg import tweakreg; tweakreg.TweakReg('*_flt.fits', threshold=10, updatehdr=True, "
                "see2dplot=False, residplot='No plot', writecat=False)",
}


def measured(code, folder, args):
    """Return CPU and wall seconds, MB and the number found, or None where the program is not there or fails."""
    timed = _TIMED.replace("{code}", code)
    done = run([sys.executable, "-W", "ignore", "-c", timed, "data.npz", str(args.runs)], folder)
    return None if done.status else json.loads(done.output.splitlines()[-1])


def task_measured(code, folder, args):
    """Return the same of aligning a copy of a visit in a process of its own."""
    runs = []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as copy:
            for path in Path(folder).glob("*_flt.fits"):
                shutil.copy(path, copy)
            runs.append(run([sys.executable, "-W", "ignore", "-c", code], copy))
    if any(done.status for done in runs):
        return None
    return [statistics.median(done.cpu for done in runs), statistics.median(done.seconds for done in runs),
            max(done.megabytes for done in runs), 3]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--runs", type=int, default=3, help="whose median counts")
    parser.add_argument("--plot", metavar="FILE", help="draw the CPU of all into this file")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as our command has it: threads that wait would count as CPU
    rows = []
    print("| work | size | program | CPU s | wall s | MB | found | CPU / ours |")
    print("|---|---|---|--:|--:|--:|--:|--:|")
    for size in args.sizes:
        (ny, nx), stars = SIZES[size]
        with tempfile.TemporaryDirectory() as folder:
            made = run([sys.executable, "-c", _SIMULATE, folder, *map(str, (ny, nx, stars))])
            assert made.status == 0, made.output
            for what, programs in {"finding": _FIND, "matching": _MATCH, "task": _TASKS}.items():
                rows += compared(what, size, programs, folder, args)
    if args.plot:
        draw(rows).savefig(args.plot)
    print()
    print(run([sys.executable, Path(__file__).with_name("costs.py"), "--runs", str(args.runs)]).output)


def compared(what, size, programs, folder, args):
    """Print a row for each program, and return work, size, program and CPU."""
    rows = []
    ours = None
    for program, code in programs.items():
        one = task_measured(code, folder, args) if what == "task" else measured(code, folder, args)
        if one is None:
            print(f"| {what} | {size} | {program} | - |", flush=True)
            continue
        cpu, wall, megabytes, found = one
        ours = ours or cpu
        rows.append((what, size, program, cpu))
        figures = f"{cpu:.4f} | {wall:.4f} | {megabytes:.0f} | {found} | {cpu / ours:.2f}"
        print(f"| {what} | {size} | {program} | {figures} |", flush=True)
    return rows


def draw(rows):
    """Return a figure of the CPU of each program against the size: of a chip for finding, of a list for matching."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(8, 4), layout="constrained")
    for axes, what, scale in zip(figure.subplots(1, 2), ("finding", "matching"), ("pixels", "positions"), strict=True):
        taken = {}
        for work, size, program, cpu in rows:
            (ny, nx), stars = SIZES[size]
            if work == what:
                taken.setdefault(program, []).append((ny * nx if scale == "pixels" else stars, cpu))
        for program, points in taken.items():
            axes.plot(*zip(*points, strict=True), marker="o", label=program, lw=3 if program == "imagereg" else 1)
        axes.set(title=what, xscale="log", yscale="log", xlabel=scale, ylabel="CPU, s")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize="small")
    return figure


if __name__ == "__main__":
    main()
