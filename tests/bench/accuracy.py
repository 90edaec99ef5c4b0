"""Accuracy, time and memory of `tweakreg` on simulated visits with known truth.

Every case is simulated once and kept in the work folder; what is aligned is a copy. For each image the figure is the
rms over the field of its sky minus the reference's (score.py), the limit is what the photons allow (limit.py), and
the worst image counts. With ``--peer`` drizzlepac aligns a copy of the same files by turns with `tweakreg`; of the
repeats of either, the fastest counts. Exit status 1 means that a bar is missed.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from children import checked, run

_CHECKOUT = Path(__file__).resolve().parents[2]
_PEER_VARIABLE = "IMAGEREG_PEER"
_SAME_AS_PEER = ("updatehdr=yes", "wcsname=TWEAK", "interactive=no", "see2dplot=no", "residplot=No plot",
                 "shiftfile=yes", "writecat=no", "clean=yes")


@dataclasses.dataclass(frozen=True)
class Case:
    """What a case is aligned with and what it must reach.

    Parameters
    ----------
    bar : float
        Worst image, mas.
    threshold, conv_width, searchrad : float
        Parameters of the task.
    speedup : float
        How many times faster than the peer.
    megabytes : float
        Largest resident set.
    cpu : float
        Seconds of all processors together.
    visit : str
        The simulated visit, where it has not the name of the case.
    """

    bar: float
    threshold: float = 50.0
    conv_width: float = 3.5
    searchrad: float = 2.0
    speedup: float = 0.0
    megabytes: float = math.inf
    cpu: float = math.inf
    visit: str = ""


CASES = {
    "wfc_moderate": Case(0.35, speedup=4.0),
    "wfc_mosaic": Case(0.4),
    "ir_visits": Case(2.0, threshold=10.0, conv_width=2.5),
    "wfc_crowded": Case(0.07, threshold=10.0, speedup=10.0, megabytes=2000.0),
    "wfc_bigshift": Case(0.35, searchrad=25.0),
    "wfc_flood": Case(0.022, threshold=4.0, megabytes=600.0, cpu=10.0, visit="wfc_crowded"),  # the default threshold
    "wfc_sparse_cr": Case(0.25, threshold=4.0, cpu=15.0),
}


@dataclasses.dataclass(frozen=True)
class Figures:
    """What one program reached on one case: worst image in mas, and the best of its repeats."""

    worst: float
    seconds: float
    cpu: float
    megabytes: float
    complaint: str


def simulated(case, seed, args):
    """Return the folder of a simulated case, made where the work folder does not have it."""
    case = CASES[case].visit or case if case in CASES else case
    folder = args.work / f"s{seed}" / case
    if not (folder / "truth_stars.ecsv").exists():
        if not args.peer_python:
            raise SystemExit(f"{folder} is missing; a Python with drizzlepac makes it: set {_PEER_VARIABLE}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
            checked([args.peer_python, args.sim / "simulate.py", case, fresh, "--seed", str(seed)])
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(Path(fresh) / case, folder)
    truth = json.loads((folder / "truth.json").read_text())
    if (truth["case"], truth["seed"]) != (case, seed):
        raise SystemExit(f"{folder} holds {truth['case']} of seed {truth['seed']}, expected {case} of seed {seed}")
    return folder


@contextlib.contextmanager
def copied(folder, args):
    """Copy the images of a case to a new folder, on disk before anything is timed."""
    copy = Path(tempfile.mkdtemp(prefix=f"aligned-{folder.name}-", dir=args.work))
    try:
        for image in sorted(folder.glob("*flt.fits")):
            shutil.copy(image, copy)
            with open(copy / image.name, "rb") as file:
                os.fsync(file.fileno())
        yield copy
    finally:
        if args.keep:
            print(f"kept {copy}")
        else:
            shutil.rmtree(copy)


def our_command(case, args):
    """Return the shell command of our task."""
    rules = CASES[case]
    return [sys.executable, "-m", "imagereg", "*flt.fits", f"threshold={rules.threshold}",
            f"conv_width={rules.conv_width}", f"searchrad={rules.searchrad}", *_SAME_AS_PEER]


def peer_command(case, args):
    """Return the command that runs drizzlepac with the same parameters."""
    rules = CASES[case]
    numbers = map(str, (rules.threshold, rules.searchrad, rules.conv_width))
    return [args.peer_python, args.sim / "run_drizzlepac.py", ".", *numbers]


def aligned(command, folder, args):
    """Align a copy of a case and score it; return its Figures."""
    with copied(folder, args) as copy:
        done = run(command, copy)
        score = checked([sys.executable, args.sim / "score.py", folder, "--files", copy])
    images = [float(mas) for mas in re.findall(r"(\S+) mas$", score.output, re.MULTILINE)]
    worst = math.nan if any(map(math.isnan, images)) else max(images, default=math.nan)
    return Figures(worst, done.seconds, done.cpu, done.megabytes, done.complaint)


def best_of(repeats):
    """Return the Figures of several runs: worst accuracy and memory, least time, any complaint."""
    worst = max((f.worst for f in repeats), key=lambda mas: (math.isnan(mas), mas))
    return Figures(worst, min(f.seconds for f in repeats), min(f.cpu for f in repeats),
                   max(f.megabytes for f in repeats),
                   next((f.complaint for f in repeats if f.complaint), ""))


def limit_of(folder, args):
    """Return the photon limit of the worst image of a case, mas; NaN where an image shares no stars."""
    output = checked([sys.executable, args.sim / "limit.py", folder]).output
    limits = [float(mas) for mas in re.findall(r"limit rms (\S+) mas", output)]
    return max(limits) if limits and "no shared stars" not in output else math.nan


def shortcomings(rules, ours, peer):
    """Return what is missed, a list of words."""
    missed = [ours.complaint] if ours.complaint else []
    if not ours.worst <= rules.bar:
        missed.append("accuracy")
    if not ours.megabytes < rules.megabytes:
        missed.append(f"memory (bar {rules.megabytes:g} MB)")
    if not ours.cpu < rules.cpu:
        missed.append(f"CPU (bar {rules.cpu:g} s)")
    if peer and not peer.complaint and ours.worst > peer.worst:
        missed.append("less accurate than the peer")
    if peer and not peer.seconds >= rules.speedup * ours.seconds:
        missed.append(f"speed (bar {rules.speedup:g} x)")
    return missed


def took(figures, limit):
    """Return the columns that follow the limit."""
    return f"{figures.worst / limit:9.2f}{figures.seconds:9.2f}{figures.cpu:7.2f}{figures.megabytes:8.0f}"


def judged(case, seed, args):
    """Align one case, print its lines, and return whether it reaches its bars."""
    folder, rules = simulated(case, seed, args), CASES[case]
    runs = {"ours": [], "peer": []}
    for _ in range(args.repeats):
        runs["ours"].append(aligned(our_command(case, args), folder, args))
        if args.peer is not None:
            runs["peer"].append(aligned(peer_command(case, args), folder, args))
    ours, peer = best_of(runs["ours"]), best_of(runs["peer"]) if runs["peer"] else None
    limit, missed = limit_of(folder, args), shortcomings(rules, ours, peer)
    print(f"{case:14s}{seed:6d}{ours.worst:10.4f}{rules.bar:7.2f}{limit:9.4f}{took(ours, limit)}  "
          f"{'not ok: ' + ', '.join(missed) if missed else 'ok'}", flush=True)
    if peer:
        print(f"{'  drizzlepac':20s}{peer.worst:10.4f}{'':16s}{took(peer, limit)}  "
              f"ours is {peer.seconds / ours.seconds:.1f} x faster {peer.complaint}", flush=True)
    return not missed


def add_places(description):
    """Return a parser that has the options of where things are."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sim", type=Path, default=_CHECKOUT.parent / "shared" / "sim",
                        help="folder of simulate.py, score.py, limit.py (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "imagereg-bench",
                        help="simulated cases are in WORK/s<seed>/<case> (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the aligned copies")
    parser.add_argument("--peer", nargs="?", const="", metavar="PYTHON", help="compare with drizzlepac, in this Python "
                        f"(default: ${_PEER_VARIABLE}, which also simulates what is missing)")
    return parser


def settled(parser):
    """Return the options, with all paths absolute and the Python that simulates."""
    args = parser.parse_args()
    args.work, args.sim = args.work.absolute(), args.sim.absolute()
    args.peer_python = shutil.which(args.peer or os.environ.get(_PEER_VARIABLE, ""))
    if args.peer_python:
        args.peer_python = os.path.abspath(args.peer_python)  # not resolved: a link is what makes a virtual environment
    elif args.peer is not None:
        parser.error(f"--peer needs a Python that has drizzlepac, here or in ${_PEER_VARIABLE}")
    return args


def read_arguments():
    """Return the command line's options."""
    parser = add_places(__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--seed", type=int, action="append", help="may be repeated (default: 202)")
    parser.add_argument("--repeats", type=int, help="runs of each program (default: 3 with --peer, else 1)")
    args = settled(parser)
    args.seed = args.seed or [202]
    args.repeats = args.repeats or (1 if args.peer is None else 3)
    return args


def main():
    """Print the table; return the exit status."""
    args = read_arguments()
    compileall.compile_dir(_CHECKOUT / "lib", quiet=1)  # as an installed package is
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    print(f"{'case':14s}{'seed':>6s}{'worst mas':>10s}{'bar':>7s}{'limit':>9s}{'x limit':>9s}"
          f"{'seconds':>9s}{'CPU':>7s}{'MB':>8s}  verdict")
    verdicts = [judged(case, seed, args) for seed in args.seed for case in args.cases]
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
