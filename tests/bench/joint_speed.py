"""Time and memory of the joint solution: many exposures of many stars, catalogs made up.

Positions have errors of 0.002 to 0.1 pixel, one in a hundred is off by up to a pixel, and each exposure is shifted and
turned by what a sequential fit leaves. ``stack``: all exposures show the same field, 60 of 5,000 stars. ``mosaic``:
they lie in rows that overlap by half, 200 of 3,000 stars. ``survey``: 8 such fields of 25, far from each other, and a
catalog of all stars, solved on one core and on all; CPU and memory are the parent's. Exit status 1 means that the stack
takes 20 s or 2 GB, or that the survey's results are not the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import resource
import sys
import time

import numpy as np

from imagereg.alignment import joint
from imagereg.alignment.fitting.adjustment import adjust
from imagereg.alignment.matching.overlap import Overlap, StarList
from imagereg.parameters import ParameterSet
from imagereg.tasks import parallel, run
from imagereg.wcs import TangentPlane

_SIDE = 4000.0  # pixels of an exposure
_CASES = {"stack": (60, 5000, 0.0), "mosaic": (200, 3000, 0.5)}
_MOST_SECONDS, _MOST_MEGABYTES = 20.0, 2000.0


def made_sky(count, n_stars, step, rng):
    """Return the corners of exposures in rows, and positions and errors of the stars that they show."""
    n_columns = int(np.ceil(np.sqrt(count))) if step else 1
    corners = [np.array([i % n_columns, i // n_columns]) * step * _SIDE for i in range(count)]
    extent = np.max(corners, axis=0) + _SIDE
    density = n_stars / _SIDE**2
    sky = rng.uniform(0, extent, (int(density * extent.prod()), 2))
    return corners, sky, 10 ** rng.uniform(-2.7, -1, len(sky))


def made_lists(count, n_stars, step, seed=1):
    """Return the lists of `count` exposures, each of which lies `step` sides from the one before in its row."""
    rng = np.random.default_rng(seed)
    corners, sky, size = made_sky(count, n_stars, step, rng)
    lists = []
    for number, corner in enumerate(corners):
        rows = np.flatnonzero(((sky > corner) & (sky < corner + _SIDE)).all(axis=1))
        error = np.repeat(size[rows, None], 2, axis=1)
        xy = sky[rows] + rng.normal(0, error)
        wild = rng.uniform(size=len(rows)) < 0.01
        xy[wild] += rng.uniform(-1, 1, (wild.sum(), 2))
        if number:
            off, turn = rng.normal(0, 0.003, 2), rng.normal(0, 1e-6)
            xy += off + turn * (xy - corner - _SIDE / 2)[:, ::-1] * (-1, 1)
        lists.append(StarList((f"{number:03d}", ""), "", rows, xy, error, np.full(len(rows), 0.05), 0.01,
                              alignment=number, geometry="rscale", block=number or None))
    return lists


def survey_lists(n_fields, count, n_stars):
    """Return a catalog that is at rest and the lists of fields that have nothing else in common."""
    lists = []
    catalog = []
    for field in range(n_fields):
        far = np.array([100 * field * _SIDE, 0])
        own = made_lists(count, n_stars, 0.5, seed=field + 1)
        _, sky, _ = made_sky(count, n_stars, 0.5, np.random.default_rng(field + 1))
        catalog.append(sky + far + np.random.default_rng(field).normal(0, 0.01, sky.shape))
        for one in own:
            number = field * count + one.alignment
            lists.append(dataclasses.replace(one, name=(f"{number:04d}", ""), xy=one.xy + far, alignment=number,
                                             block=number))
    xy = np.concatenate(catalog)
    reference = StarList(("catalog", ""), "reference", np.arange(len(xy)), xy, np.full(xy.shape, 0.01),
                         np.full(len(xy), 0.05), 0.01)
    return [dataclasses.replace(one, shifts=np.zeros(xy.shape)) for one in [reference, *lists]]


def same_survey(n_fields=8, count=25, n_stars=3000):
    """Solve the fields of a survey on one core and on all, and print both; whether the results are the same."""
    lists = survey_lists(n_fields, count, n_stars)
    plane = TangentPlane.flat()
    rules = run.rules_of(ParameterSet("tweakreg"), plane)
    solve = functools.partial(joint.solve_field, alignments=(), plane=plane, rules=rules)
    solved = {}
    for cores in (1, max(2, parallel.available_cores())):
        start, cpu = time.perf_counter(), time.process_time()
        fields = joint.fields_of(lists, rules.tolerance)
        solved[cores] = [one.solved for one in parallel.mapped(solve, fields, cores)]
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        measured = sum(len(one.used) for one in solved[cores])
        print(f"survey  {n_fields * count:8d} images in {len(fields)} fields, {measured} measured, {cores} cores: "
              f"{seconds:.1f} s wall, {cpu:.1f} s CPU, {megabytes:.0f} MB", flush=True)
    return all(np.array_equal(one.parameters, other.parameters) and np.array_equal(one.covariance, other.covariance)
               for one, other in zip(*solved.values(), strict=True))


def main():
    """Print a line for each case; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*_CASES, "survey", []], default=["stack"], metavar="CASE",
                        help=", ".join([*_CASES, "survey"]))
    parser.add_argument("--count", type=int, nargs="+", help="other numbers of exposures")
    args = parser.parse_args()
    missed = False
    print(f"{'case':8s}{'images':>8s}{'stars':>8s}{'measured':>10s}{'wall s':>8s}{'CPU s':>8s}{'MB':>7s}{'error':>9s}")
    for case in args.cases:
        if case == "survey":
            missed |= not same_survey()
            continue
        count, n_stars, step = _CASES[case]
        for number in args.count or [count]:
            lists = made_lists(number, n_stars, step)
            start, cpu = time.perf_counter(), time.process_time()
            overlap = Overlap.of(lists, TangentPlane.flat(), 1.0)
            apart = overlap.blocks_apart()
            solved = adjust(overlap.measured, overlap.design, scatter=np.full(number, 0.01), sigma=3.0, loss="linear")
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            error = np.sqrt(np.diagonal(solved.covariance))[0]
            print(f"{case:8s}{number:8d}{overlap.measured.n_stars:8d}{len(solved.used):10d}{seconds:8.1f}{cpu:8.1f}"
                  f"{megabytes:7.0f}{error:9.5f}{'  apart: ' + str(len(apart)) if apart else ''}", flush=True)
            if (case, number) == ("stack", _CASES["stack"][0]):
                missed |= cpu > _MOST_SECONDS or megabytes > _MOST_MEGABYTES
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
