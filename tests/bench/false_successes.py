"""Count alignments that are reported as a success although there is nothing to align, or that are wrong.

Trials on catalogs take turns with these kinds: exposures of different fields, of two fields that share three stars,
pure cosmic rays, regular grids of stars, and the same defects of the detector after a dither; lists of 5 to 3,000
sources, spread evenly or in clumps, with or without fluxes that mean something. Trials on pixels paint the same kinds
and an image of noise with `simulate_visit`. Exit status 1 means that there was a success.
"""

from __future__ import annotations

import argparse
import collections
import logging
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from imagereg import tweakreg
from imagereg.alignment.sequence import Chip, Exposure, Status, align
from imagereg.catalogs.sources import SourceCatalog
from imagereg.demo import simulate_visit
from imagereg.parameters.spec import ParameterSet
from imagereg.tasks.run import rules_of
from imagereg.wcs.plane import TangentPlane

_SHAPE = (2000, 2000)
_GEOMETRIES = ("shift", "rshift", "rscale", "general", "auto")


def chip(crpix):
    """Return an undistorted chip of 0.05 arcsec."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], (150.0, 2.0), crpix
    wcs.wcs.cd = 0.05 / 3600 * np.diag([-1.0, 1.0])
    wcs.wcs.set()
    return Chip(1, wcs, _SHAPE)


def places(random, number, clumped):
    """Return positions of sources, spread evenly or in clumps."""
    if not clumped:
        return random.uniform(1, _SHAPE[0], (number, 2))
    centres = random.uniform(300, _SHAPE[0] - 300, (5, 2))
    return centres[random.integers(0, 5, number)] + random.normal(0, 120, (number, 2))


def different(random, numbers, clumped):
    """Two fields that have nothing in common."""
    return [places(random, number, clumped) for number in numbers]


def three_shared(random, numbers, clumped):
    """Two fields that share three stars."""
    lists, shared = different(random, numbers, clumped), random.uniform(100, _SHAPE[0] - 100, (3, 2))
    return [np.concatenate([xy, shared + random.normal(0, 0.1, (3, 2))]) for xy in lists]


def cosmic_rays(random, numbers, clumped):
    """Cosmic rays: many, and each in one exposure only."""
    return [places(random, 20 * number, False)[:8000] for number in numbers]


def grid(random, numbers, clumped):
    """Regular grid of stars; any shift by a step brings it onto itself, less a margin."""
    side, step = random.integers(5, 30), random.uniform(6, 60)
    nodes = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * step
    turn = random.uniform(0, np.pi)
    nodes = nodes @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) + 700
    shift = step * random.uniform(-1.5, 1.5, 2)
    return [nodes + by + random.normal(0, 0.05, nodes.shape) for by in (0, shift)]


def defects(random, numbers, clumped):
    """Defects of the detector, the same in both."""
    fixed = places(random, max(numbers), clumped)
    return [np.concatenate([fixed, places(random, numbers[0] // 2, False)]) + random.normal(0, 0.05, 2) for _ in "12"]


_KINDS = (different, three_shared, cosmic_rays, grid, defects)


def catalog_trial(seed):
    """Return the kind of a trial and what a success said; None where it was refused."""
    random = np.random.default_rng([11, seed])
    kind = _KINDS[seed % len(_KINDS)]
    numbers = np.exp(random.uniform(np.log(5), np.log(3000), 2)).astype(int)
    dither = random.uniform(8, 40, 2) * random.choice([-1, 1], 2)
    exposures = []
    for name, xy, crpix in zip("ab", kind(random, numbers, seed % 2), ((1000, 1000), 1000 + dither), strict=True):
        sources = SourceCatalog(xy, xy_error=np.full(xy.shape, 0.05), flux=random.exponential(1000, len(xy)) + 50)
        exposures.append(Exposure.measured(name, [chip(crpix)], sources))
    plane = TangentPlane.around(exposures[0].outlines)
    task = ParameterSet("tweakreg", {
        "searchunits": "pixels", "minobj": int(random.choice([3, 15])), "fitgeometry": str(random.choice(_GEOMETRIES)),
        "searchrad": float(random.choice([20, 60])), "matching": str(random.choice(["auto", "tolerance"]))})
    rules = rules_of(task, plane)
    result = align(exposures, plane, rules)[0][1]
    said = f"{result.status.value}: {result.reason} {len(result.rows)} matches {rules}"
    return kind.__name__, None if result.status is Status.FAILED else said


def pixel_trial(seed):
    """Return the kind of a trial and what a success said; None where it was refused."""
    kinds = ("different", "cosmic rays", "noise", "grid")
    kind, small = kinds[seed % len(kinds)], {"chip_shape": (256, 512), "n_exposures": 2}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if kind == "different":
            names = [simulate_visit(f"{i}", seed=1000 + 2 * seed + i, n_stars=90, n_cosmic_rays=60, **small).files[i]
                     for i in (0, 1)]
        else:
            names = simulate_visit("0", seed=1000 + seed, n_stars=1, bad_pixels=60,
                                   n_cosmic_rays=0 if kind == "noise" else 400, **small).files
        if kind == "grid":
            paint_grid(names, np.random.default_rng(seed))
        minobj = 5 if seed % 2 else 15
        result = tweakreg.TweakReg(names, threshold=3 if kind == "noise" else 6, minobj=minobj, interactive=False,
                                   see2dplot=False, residplot="No plot", writecat=False, searchrad=3)
        os.chdir("/")
    last = result.alignments[-1]
    return kind, None if last.status is Status.FAILED else f"{last.status.value}: {last.reason} {last.nmatches} matches"


def paint_grid(names, random):
    """Put a regular grid of stars into images, on one grid of the sky."""
    step = random.integers(18, 40)
    for name in names:
        with fits.open(name, mode="update") as hdus:
            offset = random.integers(-step, step, 2)
            for extver in (1, 2):
                data = hdus["SCI", extver].data
                y, x = np.mgrid[:data.shape[0], :data.shape[1]]
                dx, dy = ((v + o + step // 2) % step - step // 2 for v, o in zip((x, y), offset, strict=True))
                data += 3000 * np.exp(-(dx**2 + dy**2) / 2)


def counted(trial, number, processes):
    """Run trials; print the successes and return their number."""
    kinds, successes = collections.Counter(), 0
    with ProcessPoolExecutor(processes) as pool:
        for seed, (kind, success) in enumerate(pool.map(trial, range(number), chunksize=5)):
            kinds[kind] += 1
            if success:
                successes += 1
                print(f"{trial.__name__} {seed}, {kind}: {success}", flush=True)
    print(f"{trial.__name__}: {successes} false successes in {number} ({dict(kinds)})", flush=True)
    return successes


def main():
    """Print the counts; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogs", type=int, default=1000, help="trials on catalogs")
    parser.add_argument("--pixels", type=int, default=50, help="trials on pixels")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    return int(counted(catalog_trial, options.catalogs, options.processes)
               + counted(pixel_trial, options.pixels, options.processes) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
