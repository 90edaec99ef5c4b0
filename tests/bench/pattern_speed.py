"""Time to find a pattern among the 500 brightest of two lists, and how often unrelated lists seem to share one.

Every kind of field is matched for several seeds; the worst time (seconds of processor) and the largest memory count.
Exit status 1 means that a bar is missed: a time, the memory, a wrong transform, or unrelated lists that match.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np

from imagereg.alignment.matching.match import PointSet
from imagereg.alignment.matching.pattern import match_patterns
from imagereg.alignment.significance import Judge
from imagereg.errors import AlignmentError

_FIELD = 4096.0
_JUDGE = Judge(maxchance=1e-6, tolerance=1.0)
_MOST_SECONDS, _MOST_MEGABYTES = 1.0, 500.0
_KINDS = {  # name: (sources in common, sources of each list, brightness goes together)
    "150 of 500": (150, 500, True), "none of 500": (0, 500, True), "5 of 17": (5, 17, True),
    "30 of 100, flux unknown": (30, 100, False), "3000 of 10000": (3000, 10_000, True),
}


def field(random, shared, total, *, bright):
    """Return two lists and their fluxes, and the transform between them."""
    turn, scale, parity = random.uniform(0, 2 * np.pi), random.uniform(0.8, 1.2), random.choice([1, -1])
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([1, parity])
    shift = random.uniform(-1e5, 1e5, 2)
    image, ref = random.uniform(0, _FIELD, (2, total, 2))
    ref[:shared] = image[:shared]
    flux = random.exponential(1, (2, total))**3
    if bright:
        flux[1, :shared] = flux[0, :shared] * random.normal(1, 0.1, shared)
    ref = ref @ matrix.T + shift + random.normal(0, 0.2, ref.shape)
    order = random.permutation(total)
    return image, ref[order], flux[0], flux[1, order], lambda xy: xy @ matrix.T + shift


def matched(image, ref):
    """Return the pattern that two lists share; AlignmentError for none."""
    return next(match_patterns(image, ref, tolerance=1.0, separation=0.0, judge=_JUDGE))


def outcome(random, shared, total, *, bright):
    """Match one field; return 'found', 'wrong' or 'refused' and the seconds it took."""
    image, ref, image_flux, ref_flux, truth = field(random, shared, total, bright=bright)
    start = time.process_time()
    try:
        found = matched(PointSet.of(image, flux=image_flux), PointSet.of(ref, flux=ref_flux))
    except AlignmentError:
        return "refused", time.process_time() - start
    right = shared and np.abs(found(image) - truth(image)).max() < 3
    return "found" if right else "wrong", time.process_time() - start


def unrelated(trials):
    """Count the matches of unrelated lists of 3 to 300 sources, spread evenly or in clumps."""
    successes = 0
    for seed in range(trials):
        random = np.random.default_rng([7, seed])
        lists = []
        for number in np.exp(random.uniform(np.log(3), np.log(300.99), 2)).astype(int):
            clumps = random.uniform(0, 1000, (4, 2))[random.integers(0, 4, number)]
            lists.append(random.uniform(0, 1000, (number, 2)) if seed % 2 else
                         clumps + random.normal(0, 40, (number, 2)))
        try:
            matched(*map(PointSet.of, lists))
        except AlignmentError:
            continue
        successes += 1
    return successes


def main():
    """Print the figures; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10, help="fields of each kind")
    parser.add_argument("--unrelated", type=int, default=0, help="pairs of unrelated lists, 1000 take some minutes")
    options = parser.parse_args()
    missed, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, (shared, total, bright) in _KINDS.items():
        runs = [outcome(np.random.default_rng(seed), shared, total, bright=bright) for seed in range(options.repeats)]
        verdicts, seconds = zip(*runs, strict=True)
        missed += verdicts.count("wrong") + (max(seconds) >= _MOST_SECONDS and total <= 500)
        print(f"{name:24s} found {verdicts.count('found')}, refused {verdicts.count('refused')}, "
              f"wrong {verdicts.count('wrong')}; {np.median(seconds):.2f} s, at most {max(seconds):.2f} s "
              f"(bar {_MOST_SECONDS:g} s up to 500)")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    print(f"memory beyond that of the modules {memory:.0f} MB (bar {_MOST_MEGABYTES:g} MB)")
    if options.unrelated:
        successes = unrelated(options.unrelated)
        missed += successes
        print(f"unrelated lists: {successes} matches in {options.unrelated} trials (bar 0)")
    return int(missed > 0 or memory >= _MOST_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
