"""Time to make the mask of a 4096 x 2048 chip from 10,000 circles, in pixels and on the sky.

Each text is read and drawn anew a few times; the median counts. The chip of the sky's has SIP distortion as strong as
that of ACS/WFC. Exit status 1 means that the bar is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
from astropy.wcs import WCS

from imagereg.detection import parse_regions

_SHAPE = (2048, 4096)
_CIRCLES = 10_000
_MOST = 2.0  # seconds
_DISTORTION = {"a": {(2, 0): 8e-6, (1, 1): -5e-6, (0, 2): 2e-6, (3, 0): 1e-11},
               "b": {(2, 0): 1e-6, (1, 1): 6e-6, (0, 2): -7e-6, (0, 3): 1e-11}}


def distorted_wcs():
    """Return a WCS of 0.05 arcsec per pixel with SIP."""
    header = {"NAXIS": 2, "NAXIS1": _SHAPE[1], "NAXIS2": _SHAPE[0], "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP",
              "CRPIX1": 2048.0, "CRPIX2": 1024.0, "CRVAL1": 150.0, "CRVAL2": 30.0, "RADESYS": "ICRS",
              "CD1_1": -1.2e-5, "CD1_2": 7e-6, "CD2_1": 7e-6, "CD2_2": 1.2e-5, "A_ORDER": 3, "B_ORDER": 3}
    header.update({f"{axis.upper()}_{i}_{j}": value for axis, terms in _DISTORTION.items()
                   for (i, j), value in terms.items()})
    return WCS(header)


def texts(wcs):
    """Return region files by their name."""
    random = np.random.default_rng(1)
    xy, radius = random.uniform(1, _SHAPE[::-1], (_CIRCLES, 2)), random.uniform(3, 20, _CIRCLES)
    sky = wcs.all_pix2world(xy, 1)
    rows = np.column_stack([xy, sky, radius, radius * 0.05])
    return {"image": "\n".join(["image", *(f"-circle({x:.3f},{y:.3f},{r:.3f})" for x, y, _, _, r, _ in rows)]),
            "fk5": "\n".join(["fk5", *(f'-circle({ra:.8f},{dec:.8f},{r:.4f}")' for _, _, ra, dec, _, r in rows)]),
            "x y radius": "\n".join(["sky", *(f"{ra:.8f} {dec:.8f} {r:.4f}" for _, _, ra, dec, _, r in rows)])}


def main():
    """Print the figures; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, of which the median counts")
    repeats = parser.parse_args().repeats
    wcs, slow = distorted_wcs(), 0
    for name, text in texts(wcs).items():
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            mask = parse_regions(text).mask(_SHAPE, wcs=wcs)
            seconds.append(time.perf_counter() - start)
        middle = statistics.median(seconds)
        slow += middle >= _MOST
        print(f"{_CIRCLES} circles, {name:10s} {middle:5.2f} s (bar {_MOST:g} s), {mask.mean():.1%} of the chip")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
