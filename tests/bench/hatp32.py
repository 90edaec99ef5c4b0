"""Align the six real frames of the HAT-P-32 field to the first, and measure how well they then agree.

The frames are 650 x 500 pixels from a small telescope on the ground, and drift by up to 273 pixels and 0.57 degree;
their TAN-SIP WCS are those of astrometry.net, off by a pixel or so, and each with a skew of its own: hence
``fitgeometry=general``. Stars have an FWHM of 2.2 pixels, but in the first frame they are trailed over 4: hence a wide
kernel. Where a trailed star is depends on how it is measured, by up to 0.2 pixel; with a narrow kernel that shows.

"The residual between two frames" is the length of a median vector: stars of both frames go to the sky by the updated
WCS in the files, mutual nearest neighbours within a pixel are pairs, their differences east and north, in pixels, have
a median each. It is measured twice. "Sources" are all stars that the task found, matched with the first frame or not:
pairs with the first frame show the fit, the others its closure. "Gaussians" owe nothing to the task: they are
two-dimensional Gaussians fitted to all local maxima by code of this script. Either has to reach the bar. The error is
that of the second: 1.25 times the scatter over the square root of the number of pairs. Exit status 1 means that a bar
is missed.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales
from scipy import ndimage, optimize, spatial

from imagereg import tweakreg
from imagereg.catalogs.sources import Flag

_DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "hatp32"
_PARAMETERS = {"threshold": 10.0, "conv_width": 5.0, "searchrad": 5.0, "searchunits": "pixels",
               "fitgeometry": "general"}
_LARGEST_RMS, _FEWEST_MATCHES, _LARGEST_RESIDUAL = 0.12, 60, 0.03
_HALF = 4  # of the stamps, pixels
_SNR = 15.0
_SATURATED = 4000.0


def align(folder, frames):
    """Align copies of the frames in a folder with the first; return the Result."""
    copies = [str(shutil.copy(frame, folder)) for frame in frames]
    for copy in copies:
        Path(copy).chmod(0o644)
    return tweakreg.TweakReg(copies, **_PARAMETERS, updatehdr=True, wcsname="TWEAK", interactive=False, writecat=False,
                             see2dplot=False, residplot="No plot", runfile=str(Path(folder) / "tweakreg.log"))


def centres(data):
    """Return the 0-based x, y (N, 2) of the unsaturated stars of a frame."""
    smooth = ndimage.gaussian_filter(data, 1.0) - np.median(data)
    noise = 1.4826 * np.median(np.abs(smooth - np.median(smooth)))
    y, x = np.nonzero((smooth == ndimage.maximum_filter(smooth, 2 * _HALF + 1)) & (smooth > _SNR * noise))
    inside = (np.minimum(x, y) >= _HALF) & (x < data.shape[1] - _HALF) & (y < data.shape[0] - _HALF)
    found = [centre(data[j - _HALF:j + _HALF + 1, i - _HALF:i + _HALF + 1])
             for j, i in zip(y[inside], x[inside], strict=True)]
    xy = np.column_stack([x[inside], y[inside]]) + np.reshape(found, (-1, 2))
    return xy[np.isfinite(xy).all(axis=1)]


def centre(stamp):
    """Return x, y of an elliptical Gaussian fitted to a stamp, relative to its centre; NaN where there is no star."""
    offset = np.arange(-_HALF, _HALF + 1.0)
    sky = np.median(stamp)

    def residuals(p):
        exponent = ((offset - p[2]) / p[4]) ** 2 + ((offset[:, None] - p[3]) / p[5]) ** 2
        return (p[0] + p[1] * np.exp(-exponent / 2) - stamp).ravel()

    fit = optimize.least_squares(residuals, [sky, stamp.max() - sky, 0.0, 0.0, 1.2, 1.2], method="lm")
    widths = np.abs(fit.x[4:])
    star = fit.success and fit.x[1] > 0 and np.abs(fit.x[2:4]).max() < 1.5 and 0.5 < widths.min() <= widths.max() < 2.5
    return fit.x[2:4] if star and stamp.max() < _SATURATED else np.full(2, np.nan)


def star_sky(wcs, xy):
    """Return the unit vectors (N, 3) of the sky at 0-based pixels (N, 2)."""
    ra, dec = np.deg2rad(wcs.all_pix2world(xy, 0)).T
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def measured(path, alignment):
    """Return the stars of a frame on the sky, as the task and as this script have them, and its pixel in radians."""
    with fits.open(path) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs, gaussians = WCS(hdus[0].header), centres(hdus[0].data.astype(float))
    sources = alignment.exposure.sources
    sources = sources.xy[(sources.flags & Flag.UNRELIABLE) == 0] - 1
    return star_sky(wcs, sources), star_sky(wcs, gaussians), np.deg2rad(np.sqrt(np.prod(proj_plane_pixel_scales(wcs))))


def residual(first, second, pixel):
    """Return the length of the median residual of two frames, its error, pixels, and the number of pairs."""
    (near, there), (_, back) = (spatial.cKDTree(b).query(a) for a, b in ((first, second), (second, first)))
    mutual = (back[there] == np.arange(len(first))) & (near < pixel)
    ra, dec = np.arctan2(*first[mutual].mean(axis=0)[1::-1]), np.arcsin(first[mutual].mean(axis=0)[2])
    east = [-np.sin(ra), np.cos(ra), 0.0]
    north = [-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)]
    axes = np.column_stack([east, north])
    moved = (second[there[mutual]] - first[mutual]) @ axes / pixel
    median = np.median(moved, axis=0)
    scatter = 1.4826 * np.median(np.abs(moved - median), axis=0)
    return np.hypot(*median), 1.25 * np.hypot(*scatter) / np.sqrt(2 * len(moved)), len(moved)


def report_fits(result):
    """Print rms and matches of every frame; return whether all reach their bars."""
    print(f"{'frame':36s}{'status':>11s}{'matches':>9s}{'rms x':>8s}{'rms y':>8s}  verdict")
    good = True
    for alignment in result.alignments[1:]:
        rms, reached = alignment.rms, alignment.status.value == "aligned"
        reached = reached and max(rms) < _LARGEST_RMS and alignment.nmatches >= _FEWEST_MATCHES
        good &= reached
        print(f"{Path(alignment.name).name:36s}{alignment.status.value:>11s}{alignment.nmatches:9d}{rms[0]:8.4f}{rms[1]:8.4f}"
              f"  {'ok' if reached else 'not ok ' + alignment.reason}")
    return good


def report_pairs(paths, alignments):
    """Print the residual between any two frames; return whether all are below the bar."""
    frames = [measured(path, alignment) for path, alignment in zip(paths, alignments, strict=True)]
    print(f"\n{'frames':8s}{'sources':>9s}{'residual':>10s}{'gaussians':>11s}{'residual':>10s}{'error':>8s}  verdict")
    lengths = []
    for (i, first), (j, second) in itertools.combinations(enumerate(frames, 1), 2):
        (own, _, found), (length, error, count) = (residual(first[k], second[k], first[2]) for k in (0, 1))
        lengths.append((own, length))
        verdict = "ok" if max(own, length) < _LARGEST_RESIDUAL else "not ok"
        print(f"{i}, {j:<5d}{found:9d}{own:10.4f}{count:11d}{length:10.4f}{error:8.4f}  {verdict}")
    own, length = np.max(lengths, axis=0)
    print(f"largest {own:19.4f}{length:21.4f} pixel, bar {_LARGEST_RESIDUAL}")
    return max(own, length) < _LARGEST_RESIDUAL


def main():
    """Print both tables; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=_DATA, help="folder of the frames (default: %(default)s)")
    parser.add_argument("--work", type=Path, help="folder for the aligned copies, which are then kept")
    args = parser.parse_args()
    frames = sorted(args.data.glob("*.fits.gz"))
    if len(frames) != 6:
        parser.error(f"{args.data} has {len(frames)} frames, expected 6; give --data")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = align(folder, frames)
        verdicts = [report_fits(result), report_pairs([folder / f.name for f in frames], result.alignments)]
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
