"""Every simulated case with many seeds, with one set of parameters for a detector.

Is every image aligned, and how well?

The figure is that of accuracy.py, the rms over the field of the worst image; the bar is 4 times the photon limit.
Exit status 1 means that an image is not aligned or misses the bar.
"""

from __future__ import annotations

import math
import sys

from accuracy import add_places, aligned, limit_of, settled, simulated

_MOST = 4.0  # photon limits
_DETECTORS = {"wfc": {"threshold": 10, "conv_width": 3.5}, "ir": {"threshold": 10, "conv_width": 2.5}}
_CASES = {"wfc_moderate": {}, "wfc_crowded": {}, "wfc_sparse_cr": {}, "wfc_bigshift": {}, "wfc_rotated": {},
          "wfc_mosaic": {}, "ir_visits": {}, "ir_sparse": {"minobj": 4}, "ir_rotated": {}}
_QUIET = {"updatehdr": "yes", "interactive": "no", "see2dplot": "no", "residplot": "No plot", "writecat": "no"}


def main():
    """Print a line for each case and seed; return the exit status."""
    parser = add_places(__doc__)
    parser.add_argument("--cases", nargs="+", choices=_CASES, default=list(_CASES), metavar="CASE",
                        help=", ".join(_CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(301, 311)), metavar="SEED")
    args, missed, worst = settled(parser), 0, {}
    print(f"{'case':14s}{'seed':>6s}{'worst mas':>11s}{'limit':>9s}{'x limit':>9s}{'CPU':>7s}{'MB':>7s}")
    for case in args.cases:
        given = {**_DETECTORS[case.split("_")[0]], **_CASES[case], **_QUIET}
        command = [sys.executable, "-m", "imagereg", "*flt.fits", *(f"{k}={v}" for k, v in given.items())]
        for seed in args.seeds:
            folder = simulated(case, seed, args)
            ours, limit = aligned(command, folder, args), limit_of(folder, args)
            ratio = ours.worst / limit
            bad = ours.complaint or not ratio <= _MOST
            missed += bool(bad)
            worst[case] = max(worst.get(case, 0.0), math.inf if math.isnan(ratio) else ratio)
            print(f"{case:14s}{seed:6d}{ours.worst:11.4f}{limit:9.4f}{ratio:9.2f}{ours.cpu:7.2f}{ours.megabytes:7.0f}  "
                  f"{'not ok ' + ours.complaint if bad else 'ok'}", flush=True)
    print("worst, in photon limits:", ", ".join(f"{case} {ratio:.2f}" for case, ratio in worst.items()))
    print(f"{missed} of {len(args.cases) * len(args.seeds)} are not aligned, or not within {_MOST:g} times the limit")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
