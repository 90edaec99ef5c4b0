"""Draw the figures of the manual: ``python docs/figures.py FOLDER``; conf.py does so too.

All but the last three are of simulations that are run here; those show tables of the pages.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parent
_OURS, _OTHER, _PLAIN = "#1f6fb4", "#d1602a", "#888888"


def draw(folder):
    """Write all figures into a folder, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for drawing in (pixel_phase, shared_stars, accuracy, peers, programs, mosaic):
        figure = drawing()
        figure.savefig(Path(folder) / f"{drawing.__name__}.svg")


def pixel_phase():
    """Show errors of centroids and of PSF fits against where in its pixel a star lies."""
    figure, axes = _panels(2, sharey=True)
    with _elsewhere():
        for ax, centroid in zip(axes, ("marginal", "psf"), strict=True):
            phase, error = _measured(centroid)
            ax.plot(phase, error, ".", color=_OURS, markersize=3)
            ax.axhline(0, color=_PLAIN, linewidth=0.8)
            rms = np.sqrt(np.mean(error**2))
            ax.set(title=f"centroid={centroid}: {rms:.4f} pixel rms", ylim=(-0.05, 0.05),
                   xlabel="x of the star within its pixel")
    axes[0].set_ylabel("measured minus true x, pixel")
    return figure


def _measured(centroid):
    """Return the place in its pixel, and the error of x, of each bright star of an exposure."""
    from imagereg.demo import simulate_visit
    from imagereg.tweakreg import TweakReg

    visit = simulate_visit(centroid, seed=5, n_exposures=1, n_stars=1500, flux_range=(3e4, 2e5),
                           full_well=1e9, n_cosmic_rays=0, bad_pixels=0)
    TweakReg([str(visit.files[0])], threshold=50, centroid=centroid, see2dplot=False,
             residplot="No plot")
    root = visit.files[0].name.removesuffix(".fits")
    found = np.loadtxt(f"{root}_sci1_xy_catalog.coo", usecols=(0, 1))
    true = visit.chips[0][0].xy
    distance = np.hypot(*np.moveaxis(found[:, None] - true, 2, 0))
    nearest = distance.argmin(axis=1)
    # Blended stars are as far from each other as a few widths of the PSF: those are left out.
    apart = np.hypot(*np.moveaxis(true[:, None] - true, 2, 0)) + 1e9 * np.eye(len(true))
    is_alone = (distance.min(axis=1) < 0.3) & (apart.min(axis=1)[nearest] > 12)
    x = true[nearest[is_alone], 0]
    return x - np.rint(x), found[is_alone, 0] - x


def shared_stars():
    """Show how many fits are believed, right and wrong ones, against the stars in common."""
    from imagereg.tweakreg import SourceCatalog, Status, align_catalogs

    random = np.random.default_rng(1)
    offset, n_trials = np.array([7.0, -4.0]), 10
    numbers = np.arange(0, 15)
    right, wrong = np.zeros((2, len(numbers)))
    for index, n_shared in enumerate(numbers):
        for _ in range(n_trials):
            image_xy, ref_xy = random.uniform(0, 2000, (2, 60, 2))
            noise = random.normal(0, 0.05, (n_shared, 2))
            image_xy[:n_shared] = ref_xy[:n_shared] + offset + noise
            found = align_catalogs(SourceCatalog(image_xy), SourceCatalog(ref_xy), searchrad=20,
                                   searchunits="pixels", fitgeometry="shift",
                                   matching="tolerance")
            if found.status is Status.ALIGNED:
                is_right = np.hypot(*(found.offset - offset)) < 1
                (right if is_right else wrong)[index] += 1 / n_trials
    figure, (ax,) = _panels(1)
    ax.plot(numbers, 100 * right, "o-", color=_OURS, label="aligned, rightly")
    ax.plot(numbers, 100 * wrong, "s-", color=_OTHER, label="aligned, wrongly")
    ax.set(xlabel="stars in both lists, of 60 in each", ylabel="% of the trials")
    ax.legend()
    return figure


def accuracy():
    """Show how far a fit is from the truth, over the field, against the number of stars."""
    from imagereg.alignment import fit_linear

    random = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 2000, 9)] * 2), axis=-1).reshape(-1, 2)
    numbers = np.array([5, 8, 12, 20, 40, 80, 160, 320])
    figure, (ax,) = _panels(1)
    # Parameters of each geometry; the mean error of both axes over a field that the stars cover
    # is sigma sqrt(parameters / N), as in any linear least squares.
    for colour, (geometry, n_parameters) in zip((_OURS, _OTHER, "#3a8a4d"),
                                                (("shift", 2), ("rscale", 4), ("general", 6)),
                                                strict=True):
        errors = []
        for number in numbers:
            squares = []
            for _ in range(60):
                ref_xy = random.uniform(0, 2000, (number, 2))
                xy = ref_xy + random.normal(0, 0.02, (number, 2))
                fit = fit_linear(xy, ref_xy, geometry=geometry, nclip=0, sigma=None,
                                 loss="linear")
                squares.append(np.sum((fit(grid) - grid) ** 2, axis=1).mean())
            errors.append(np.sqrt(np.mean(squares)))
        ax.loglog(numbers, errors, "o", color=colour, label=geometry)
        ax.loglog(numbers, 0.02 * np.sqrt(n_parameters / numbers), color=colour, linewidth=0.8)
    ax.set(xlabel="stars", ylabel="error over the field, pixel")
    ax.legend()
    return figure


def peers():
    """Show the table of measured accuracy as bars."""
    page = (DOCS / "algorithms.md").read_text()
    rows = re.findall(r"^\| `(\w+)`.*?\| ([\d.]+) \| ([\d.]+) \| ([\d.]+)", page, re.M)
    names = [row[0] for row in rows]
    values = np.array([row[1:] for row in rows], dtype=float)
    figure, (ax,) = _panels(1)
    places = np.arange(len(rows))
    titles = ("limit by the photons", "tweakreg", "drizzlepac 3.11")
    for column, (title, colour) in enumerate(zip(titles, (_PLAIN, _OURS, _OTHER), strict=True)):
        ax.barh(places + 0.27 * (column - 1), values[:, column], 0.25, color=colour, label=title)
    ax.set(yticks=places, yticklabels=names, xscale="log", xlabel="worst image, mas")
    ax.invert_yaxis()
    ax.legend()
    return figure


def programs():
    """Show the tables of CPU beside other programs."""
    sys.path.insert(0, str(DOCS.parent / "tests" / "bench"))
    from peers import SIZES, draw

    page = (DOCS / "performance.md").read_text()
    row = re.compile(r"^\| (\w[\w ]*)" + 3 * r" \| ([\d.]+) \(\d+\)", re.MULTILINE)
    rows = []
    for work in ("finding", "matching"):
        table = page.partition(f"| {work}: CPU s")[2].partition("\n\n")[0]
        for program, *cells in row.findall(table):
            for size, cpu in zip(SIZES, cells, strict=True):
                rows.append((work, size, program, float(cpu)))
    return draw(rows)


def mosaic():
    """Show the table of large mosaics, with the power of the number of exposures that fits it."""
    page = (DOCS / "performance.md").read_text()
    table = page.partition("## Large mosaics")[2].partition("## ")[0]
    rows = re.findall(r"^\| (\d+) \| [\d,]+ \| ([\d.]+) \| (\d+) \|", table, re.MULTILINE)
    exposures, cpu, megabytes = np.array(rows, dtype=float).T
    figure, axes = _panels(2)
    for ax, values, label in zip(axes, (cpu, megabytes), ("CPU, s", "memory, MB"), strict=True):
        power, factor = np.polyfit(np.log(exposures), np.log(values), 1)
        ax.loglog(exposures, values, "o", color=_OURS)
        ax.loglog(exposures, np.exp(factor) * exposures**power, color=_OURS, linewidth=0.8,
                  label=f"power {power:.2f}")
        ax.set(xlabel="exposures of 3,000 stars", ylabel=label)
        for axis, marks in ((ax.xaxis, exposures), (ax.yaxis, values)):
            axis.set_ticks(marks, [f"{mark:g}" for mark in marks])
            axis.set_ticks([], minor=True)
        ax.legend()
    return figure


def _panels(number, **settings):
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, number, figsize=(4.2 * max(number, 1.4), 3.4), squeeze=False,
                                   layout="constrained", **settings)
    return figure, axes[0]


@contextlib.contextmanager
def _elsewhere():
    """Work in a folder that is gone afterwards, without warnings of what can't be aligned."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


if __name__ == "__main__":
    draw(sys.argv[1])
