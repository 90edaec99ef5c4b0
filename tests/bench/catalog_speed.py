"""Time and memory to read catalogs of a million rows: plain csv, and one as Gaia's with empty cells.

Reading means bytes to a reference with positions, errors, motions and magnitudes. Memory is the growth of the peak
while reading, the file itself not counted, in units of the file. Exit status 1 means that a bar is missed; the wide
catalog has none.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np

from imagereg.catalogs.formats.readers import read_table
from imagereg.catalogs.surveys import reference_catalog

_SECONDS, _TIMES_FILE = 5.0, 12.0
_SIMPLE = ("ra", "dec", "ra_error", "phot_g_mean_mag")
_GAIA = ("source_id", "ra", "ra_error", "dec", "dec_error", "pmra", "pmra_error", "pmdec", "pmdec_error", "ref_epoch",
         "phot_g_mean_mag", "ruwe")


def make_csv(names, rows, empty):
    """Return the bytes of a csv; every fiftieth star has no motion where `empty`."""
    rng = np.random.default_rng(8)
    lines = [",".join(names)]
    for number, (ra, dec, small, mag) in enumerate(rng.uniform(size=(rows, 4)).tolist()):
        values = {"ra": ra * 360, "dec": dec * 180 - 90, "phot_g_mean_mag": 10 + 10 * mag, "ref_epoch": 2016.0}
        if empty and number % 50 == 0:
            values.update(dict.fromkeys(("pmra", "pmra_error", "pmdec", "pmdec_error", "ruwe"), ""))
        lines.append(",".join(str(values.get(name, small) if name != "source_id" else 4 * 10**18 + number)
                              for name in names))
    return "\n".join(lines).encode()


def peak():
    """Return the largest resident set so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    """Print time and memory beside their bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each catalog (default: %(default)s)")
    rows = parser.parse_args().rows
    missed = False
    for title, names, bar in (("4 columns", _SIMPLE, _SECONDS), ("12 columns as Gaia's, some empty", _GAIA, np.inf)):
        content = make_csv(names, rows, empty=names is _GAIA)
        before, start = peak(), time.perf_counter()
        stars = reference_catalog(read_table(content, "bench.csv"), refxcol="1", refycol="2", refxyunits="degrees",
                                  rfluxcol="", rfluxunits="mag")
        seconds, growth = time.perf_counter() - start, (peak() - before) / len(content)
        start = time.perf_counter()
        stars.at(2003.5)
        moved = time.perf_counter() - start
        print(f"{title}, {len(stars)} rows, {len(content) / 1e6:.0f} MB: read in {seconds:.2f} s (bar {bar:g} s), "
              f"memory {growth:.1f} times the file (bar {_TIMES_FILE:g}), at a date in {moved:.2f} s")
        missed |= seconds > bar or growth > _TIMES_FILE
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
