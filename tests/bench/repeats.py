"""How well positions of real stars repeat: by the PSF, by marginal Gaussians, and windowed by SExtractor.

    python tests/bench/repeats.py [--data FOLDER] [--degree N] [--hrc FILE]

Every figure is of the same stars for all methods: those that each has, and that the PSF leaves without a flag. Kernels
(conv_width) are 3.5 and 5 pixels.

Six frames of the HAT-P-32 field (see hatp32.py) drift by 19 to 269 pixels, so that a star falls on other phases of the
pixels. Between any two, a polynomial is removed, for each class of brightness its own, outliers left out. "Scatter" is
1.48 times the median of what is left in x and y over sqrt(2), made up for the parameters of the fit; "pull" is what is
left in units of the errors stated; both are an rms over pairs of frames. Stars are trailed in the first frame. "Phase"
is the amplitude of an error sin(2 pi x) in each frame, fitted to what is left of the brightest half, by the positions
of a star in its pixels in both frames; where it is positive, positions shun the centres of pixels.

One exposure of 47 Tucanae by ACS/HRC (Debian's python-drizzle-testdata) repeats nothing, so that evidence is split.
Where stars lie in their pixels is chance: harmonics of the density of their phases tell the amplitudes of errors
a1 sin(2 pi x) and a2 sin(4 pi x), and Kuiper's test how probable they are for even ones. Stars that a method leaves
without a flag may be those whose phase suits it; hence two tables. Pixels of each star are divided like a
checkerboard, and both halves fitted with one PSF; that does not show what is wrong with the PSF itself. All stars are
fitted with PSFs of every other star, and with those of the left and the right half of the chip.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import warnings
from pathlib import Path

import numpy as np
from astropy.stats import kuiper
from astropy.wcs import FITSFixedWarning
from scipy.spatial import cKDTree

from imagereg.catalogs import Flag
from imagereg.detection.psf.epsf_fit import fit_stars
from imagereg.detection.psf.epsf_measure import measure_psf
from imagereg.files import InputFile
from imagereg.parameters import ParameterSet
from imagereg.tasks.exposures import measure_exposures

_DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "hatp32"
_HRC = Path("/usr/share/python-drizzle/test_data/j8bt06nyq_flt.fits")
_METHODS = {"psf": ("imagefind", "psf"), "marginal": ("imagefind", "marginal"), "windowed": ("sextractor", "marginal")}
_KINDS = [(method, width) for width in (3.5, 5.0) for method in _METHODS]
_BRIGHT = 1000  # stars of the HRC exposure whose phases count
_SATURATED = 4000.0  # counts; of hatp32
_ARCSEC = 5.16  # a pixel of hatp32
_CLASSES = {"brightest quarter": 0.25, "brightest half": 0.5, "all": 1.0}


def measured(paths, method, width, **parameters):
    """Return exposures measured by a method with a kernel."""
    findmode, centroid = _METHODS[method]
    values = {"threshold": 10.0, "conv_width": width, "findmode": findmode, "centroid": centroid, **parameters}
    images = [InputFile(str(path)) for path in paths]
    return measure_exposures(images, ParameterSet("imagefindpars", values), num_cores=1)


def mutual(first, second, reach):
    """Return the rows of mutual nearest neighbours (n, 2) within a reach."""
    (near, there), (_, back) = (cKDTree(b).query(a) for a, b in ((first, second), (second, first)))
    rows = np.flatnonzero((back[there] == np.arange(len(first))) & (near < reach))
    return rows, there[rows]


def same_stars(catalogs):
    """Return the catalogs of all methods cut to the stars that all have, brightest first."""
    first = catalogs[0]
    rows = [np.where((first.flags & (Flag.UNRELIABLE | Flag.BAD_PIXEL)) == 0, np.arange(len(first)), -1)]
    for other in catalogs[1:]:
        mine, its = mutual(first.xy, other.xy, 1.0)
        rows.append(np.full(len(first), -1))
        rows[-1][mine] = its
    common = np.flatnonzero(np.min(rows, axis=0) >= 0)
    common = common[np.argsort(-first.flux[common])]
    return [catalog[row[common]] for catalog, row in zip(catalogs, rows, strict=True)]


def scatter(values):
    """Return the robust standard deviation about zero."""
    return 1.4826 * np.median(np.abs(values))


def departures(here, there, degree):
    """Return what a polynomial from one frame's positions (N, 2) to the other's leaves, without its outliers."""
    x, y = ((here - here.mean(axis=0)) / 250).T
    terms = np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=1)
    left, fitted = _fitted(terms, there)
    return left * np.sqrt(fitted.sum() / (fitted.sum() - terms.shape[1]))


def _fitted(terms, values):
    """Return the residuals (N, k) of a linear fit that leaves out outliers, and which rows it uses."""
    fitted = np.isfinite(values).all(axis=1)
    for _ in range(20):
        left = values - terms @ np.linalg.lstsq(terms[fitted], values[fitted], rcond=None)[0]
        fitted = (np.abs(left) < 4 * scatter(left)).all(axis=1)
    return left, fitted


def waves(terms, values):
    """Return the coefficients of terms (n, N) that fit values (N,), outliers left out."""
    terms = np.column_stack([*terms, np.ones(len(values))])
    fitted = _fitted(terms, values[:, None])[1]
    return np.linalg.lstsq(terms[fitted], values[fitted], rcond=None)[0][:-1]


def pairs_of(frames):
    """Yield two frames' numbers, and the catalogs of each by all methods, with the stars of both, brightest first."""
    for (i, first), (j, second) in itertools.combinations(enumerate(frames), 2):
        to_pixels = 3600 / _ARCSEC * np.array([np.cos(np.deg2rad(first[0].sky[:, 1].mean())), 1.0])
        a, b = mutual(first[0].sky * to_pixels, second[0].sky * to_pixels, 3.0)
        same = (np.abs(departures(first[0].xy[a], second[0].xy[b], 3)) < 1.0).all(axis=1)
        rows = np.flatnonzero(same)[np.argsort((a + b)[same])]
        yield i, j, [(c[a[rows]], d[b[rows]]) for c, d in zip(first, second, strict=True)]


def report_frames(folder, degree):
    """Print how well positions repeat between the frames of hatp32."""
    paths = sorted(folder.glob("*.fits.gz"))
    found = [measured(paths, *kind, peakmax=_SATURATED) for kind in _KINDS]
    frames = [same_stars([each.exposure.sources for each in exposures]) for exposures in zip(*found, strict=True)]
    pairs = list(pairs_of(frames))
    print(f"\nhatp32, pixels, degree {degree}")
    heading("")
    for trailed, (name, part) in itertools.product((False, True), _CLASSES.items()):
        chosen = [own for i, _, own in pairs if (i == 0) == trailed]
        repeats = [[repeat(*own, part, degree) for own in kinds] for kinds in chosen]
        spread, pull = np.sqrt(np.mean(np.square(repeats), axis=0)).T
        stars = np.mean([int(part * len(kinds[0][0])) for kinds in chosen])
        title = f"{'with' if trailed else 'without'} the first: {name} ({stars:.0f})"
        row(f"{title}, scatter", spread, 4)
        row(f"{'pull':>48s}", pull, 2)
    for number, axis in itertools.product(range(len(frames)), (0, 1)):
        row(f"frame {number + 1}: phase, {'xy'[axis]}", phases_of(pairs, number, axis, degree), 3)


def repeat(first, second, part, degree):
    """Return the scatter and the pull of the brightest part of the stars of two frames."""
    first, second = (catalog[:int(part * len(first))] for catalog in (first, second))
    left = departures(first.xy, second.xy, degree)
    return scatter(left) / np.sqrt(2), scatter(left / np.hypot(first.xy_error, second.xy_error))


def phases_of(pairs, number, axis, degree):
    """Return the amplitude of the error with the period of a pixel in a frame, for each method."""
    amplitudes = []
    for first, _, kinds in (pair for pair in pairs if number in pair[:2]):
        bright = slice(0, len(kinds[0][0]) // 2)
        both = [[catalog.xy[bright] for catalog in own] for own in kinds]
        left = [departures(*own, degree)[:, axis] for own in both]
        found = [waves([np.sin(2 * np.pi * xy[:, axis]) for xy in own], values)
                 for own, values in zip(both, left, strict=True)]
        amplitudes.append([-fit[0] if number == first else fit[1] for fit in found])
    return np.mean(amplitudes, axis=0)


def heading(title):
    """Print a line that names the methods and the kernels."""
    print(f"{title:50s}" + "".join(f"{method} {width}".rjust(14) for method, width in _KINDS))


def row(title, values, digits):
    """Print a line of figures."""
    print(f"{title:50s}" + "".join(f"{value:14.{digits}f}" for value in values))


def report_hrc(path):
    """Print the split evidence of one exposure."""
    found = [measured([path], *kind)[0] for kind in _KINDS]
    catalogs = [each.exposure.sources for each in found]
    own = [catalog[catalog.flags == 0].brightest(_BRIGHT) for catalog in catalogs]
    same = same_stars(catalogs)
    report_phases("HRC, its own stars", own)
    report_phases("HRC, the same stars", [catalog.brightest(_BRIGHT) for catalog in same])
    print("\nHRC: scatter (and pull) of the differences of halves of pixels, and of PSFs of halves of the stars")
    for (method, width), each in zip(_KINDS, found, strict=True):
        if each.psf is not None:
            report_halves(f"{method} {width}", each, width, same[0])


def report_phases(title, catalogs):
    """Print whether positions are even over the pixel, for each method."""
    heading(f"\n{title}: phases of {len(catalogs[0])}")
    for axis in (0, 1):
        phases = [2 * np.pi * catalog.xy[:, axis] for catalog in catalogs]
        row(f"{'xy'[axis]}: a1, {1 / np.pi / np.sqrt(2 * len(phases[0])):.3f} by chance",
            [-np.cos(phase).mean() / np.pi for phase in phases], 3)
        row("   a2, half of that by chance", [-np.cos(2 * phase).mean() / np.pi / 2 for phase in phases], 3)
        row("   probability (Kuiper)", [kuiper(phase / (2 * np.pi) % 1)[1] for phase in phases], 4)


def report_halves(title, measured_exposure, width, stars):
    """Print how positions by the PSF differ between halves of the pixels, and with PSFs of halves of the stars."""
    sources, stamps, psf = measured_exposure.exposure.sources, measured_exposure.stamps, measured_exposure.psf
    chosen, rows = mutual(stars.xy, sources.xy, 0.5)
    rows = rows[np.argsort(chosen)]
    pixel = np.arange(-stamps.half, stamps.half + 1)
    dark = (stamps.centre.sum(axis=1)[:, None, None] + pixel[:, None] + pixel) % 2 == 0
    boxes = [dataclasses.replace(stamps, good=stamps.good & part)[rows] for part in (dark, ~dark)]
    odd = np.arange(len(stamps)) % 2 == 1
    left = stamps.centre[:, 0] < np.median(stamps.centre[:, 0])
    fits = {"pixels": [fit_stars(box, psf) for box in boxes]}
    for name, part in (("every other star", odd), ("left and right", left)):
        fits[name] = [fit_stars(stamps[rows], measure_psf(stamps[half], width)) for half in (part, ~part)]
    for name, part in _CLASSES.items():
        bright = slice(0, int(part * len(rows)))
        texts = [f"{kind} {difference(first[bright], second[bright])}" for kind, (first, second) in fits.items()]
        print(f"{title}, {name}".ljust(30) + "   ".join(texts))


def difference(first, second):
    """Return the scatter and the pull of the differences of two fits, without what all have in common."""
    both = first.good & second.good
    moved = (first.offset - second.offset)[both]
    moved -= np.median(moved, axis=0)
    error = [fit.error[both] * np.sqrt(np.maximum(fit.chi2[both], 1))[:, None] for fit in (first, second)]
    return f"{scatter(moved):.4f} ({scatter(moved / np.hypot(*error)):.2f})"


def main():
    """Print all tables; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=_DATA, help="folder of the frames (default: %(default)s)")
    parser.add_argument("--degree", type=int, default=2, help="of the polynomial between them (default: %(default)s)")
    parser.add_argument("--hrc", type=Path, default=_HRC, help="exposure of ACS/HRC (default: %(default)s)")
    args = parser.parse_args()
    warnings.simplefilter("ignore", FITSFixedWarning)
    report_frames(args.data, args.degree)
    if not args.hrc.exists():
        print(f"\n{args.hrc} is missing: install Debian's python-drizzle-testdata, or give --hrc.")
        return 1
    report_hrc(args.hrc)
    return 0


if __name__ == "__main__":
    sys.exit(main())
