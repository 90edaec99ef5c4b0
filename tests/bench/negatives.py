"""Count false successes on pairs of catalogs of many kinds, and true pairs that are aligned rightly.

The kinds are those of tests/skies.py; the parameters are the task's defaults. The false successes are those on
negatives, and alignments of true pairs that are wrong. Exit status 1 means that there was one.
"""

from __future__ import annotations

import argparse
import bisect
import collections
import logging
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does for the modules of tests/

from skies import KINDS, is_right, sky  # noqa: E402

from imagereg.alignment.sequence import Status, align  # noqa: E402
from imagereg.parameters.spec import ParameterSet  # noqa: E402
from imagereg.tasks.run import rules_of  # noqa: E402
from imagereg.wcs.plane import TangentPlane  # noqa: E402

_SHARED = (6, 9, 16, 31)  # least numbers of shared stars by which true pairs are counted


def trial(number):
    """Return kind, number of shared stars, whether there was a success, whether it is right, and what it said."""
    index, is_true = divmod(number, 2)
    seed, kind = divmod(index, len(KINDS))
    made = sky(KINDS[kind], seed, is_true=bool(is_true))
    plane = TangentPlane.around(made.exposures[0].outlines)
    result = align(made.exposures, plane, rules_of(ParameterSet("tweakreg"), plane))[0][1]
    said = f"{result.status.value}, {result.nmatches} matches, {result.chance_probability:.0e}; {result.reason}"
    is_success = result.status is not Status.FAILED
    return made.kind, made.n_shared, is_success, is_success and is_right(made, result), said


def main():
    """Print the counts; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=320, help="negatives, and as many true pairs")
    parser.add_argument("--first", type=int, default=0, help="number of the first pair; others have other seeds")
    parser.add_argument("--only", choices=("negatives", "true"), help="leave out the others")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--all", action="store_true", help="print what was said of every true pair that failed, too")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    counts = collections.defaultdict(collections.Counter)
    by_shared = collections.defaultdict(collections.Counter)
    step = 2 if options.only else 1
    start = 2 * options.first + (options.only == "true")
    numbers = range(start, 2 * (options.first + options.pairs), step)
    with ProcessPoolExecutor(options.processes) as pool:
        results = pool.map(trial, numbers, chunksize=4)
        for number, (kind, n_shared, is_success, right, said) in zip(numbers, results, strict=True):
            which = "true" if n_shared else "negative"
            if n_shared:
                by_shared[bisect.bisect(_SHARED, n_shared)].update(true=1, right=right)
            counts[kind][which] += 1
            counts[kind]["right"] += right
            counts[kind]["false"] += is_success and not right
            if is_success and not right or options.all and n_shared and not right:
                print(f"{number} {kind}, {n_shared} shared: {said}", flush=True)
    for kind, count in counts.items():
        print(f"{kind:15s} {count['false']:4d} false in {count['negative'] + count['true']}, "
              f"{count['right']:4d} of {count['true']} true ones right")
    for group, count in sorted(by_shared.items()):
        print(f"{_SHARED[group - 1]:3d} shared stars or more: {count['right']:4d} of {count['true']} right")
    total = sum(counts.values(), collections.Counter())
    print(f"{'all':15s} {total['false']:4d} false in {total['negative'] + total['true']}, "
          f"{total['right']:4d} of {total['true']} true ones right")
    return int(total["false"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
