"""Find the sources of a chip with SExtractor, where the program is installed.

All that is handed over and all that comes back lies in a temporary folder of its own.
Manual: Bertin & Arnouts 1996, A&AS 117, 393, and https://sextractor.readthedocs.io.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable

import numpy as np
from astropy.io import fits

from imagereg.catalogs import Flag, SourceCatalog
from imagereg.detection.finders.daofind import SKY_FACTOR, is_within, sky_sigma
from imagereg.detection.finders.finding import Finding, Kernel
from imagereg.errors import InputError

PROGRAMS = ("source-extractor", "sex", "sextractor")

_TIMEOUT = 600.0  # seconds for one chip; the largest takes a few
_COLUMNS = (
    "NUMBER", "XWIN_IMAGE", "YWIN_IMAGE", "ERRX2WIN_IMAGE", "ERRY2WIN_IMAGE", "X_IMAGE", "Y_IMAGE",
    "FLUX_AUTO", "FLUXERR_AUTO", "FLUX_MAX", "BACKGROUND", "FLAGS", "FLAGS_WIN",
)  # fmt: skip
# Bits of FLAGS (manual, "Extraction flags").
_DAMAGED = 4 | 16 | 32  # saturated; aperture or isophote with missing pixels
_CUT = 8  # reaches the edge
_OVERFLOW = 64 | 128  # memory ran out while the source was deblended or extracted
# Of the FWHM, between windowed and isophotal position: beyond, a neighbour has drawn the window.
_FARTHEST = 0.25
_NEVER = 1e29  # counts; a saturation level that no pixel reaches
_ABSURD = 1e18  # counts that no detector gives
_LARGEST_FILTER = 31  # rows and columns: SExtractor takes 1024 pixels at most
_NOISE_RANGE = (1e-6, 1e6)  # of relative noise: weights of its square stay in single precision

_SETTINGS = {  # whatever the user's configuration says
    "CATALOG_TYPE": "FITS_1.0", "CATALOG_NAME": "found.fits", "PARAMETERS_NAME": "columns.param",
    "CHECKIMAGE_TYPE": "NONE", "WRITE_XML": "N", "VERBOSE_TYPE": "QUIET",
}  # fmt: skip
_OWN_SETTINGS = {  # where the user's configuration says nothing of them, or there is none
    "FILTER": "Y", "FILTER_NAME": "gauss.conv", "DETECT_MINAREA": "3",
    "SATUR_LEVEL": f"{_NEVER:g}", "MEMORY_OBJSTACK": "30000", "MEMORY_PIXSTACK": "3000000",
}  # fmt: skip
_SETTING = re.compile(r"^[ \t]*([A-Z][A-Z0-9_]*)[ \t=]", re.MULTILINE)
_THRESHOLD = {"THRESH_TYPE", "DETECT_THRESH"}  # one says what the other means


def find_sources_sextractor(
    data: np.ndarray,
    finding: Finding,
    *,
    bad: np.ndarray | None = None,
    relative_noise: np.ndarray | None = None,
    sky: tuple[float, float] | None = None,
    gain: float = 1.0,
    chip: int = 1,
) -> SourceCatalog:
    """Find the sources of one chip with SExtractor.

    Parameters
    ----------
    data : (ny, nx) array_like
        Pixels, counts.
    finding : Finding
        The Gaussian that the image is filtered with, the limits, and a threshold that means what it
        means to `daofind.find_sources`: a star of the kernel's shape that is just found there is
        just found here. Where `skysigma` is not given, 1.5 times the scatter that SExtractor
        measures from place to place stands for it. What the user's configuration (`sexconfig`) sets
        (filter, threshold, deblending, background, saturation) holds in place of `conv_width`,
        `threshold` and `skysigma`; all else is as without one. The input, the columns, the output,
        and the weights where there are bad pixels, are ours in any case. Names in it are relative
        to its folder. It finds `gain` in the header, under the program's default keyword GAIN.
    bad : (ny, nx) array_like of bool, optional
        Pixels not to be used; those that are not finite, or absurdly large, never are.
    relative_noise : (ny, nx) array_like, optional
        Noise of each pixel relative to that of the typical one, where it varies; the threshold and
        the errors follow. A pixel where it is not a positive number is not used.
    sky : (float, float), optional
        What `daofind.sky_sigma` says of the image, where it has been asked already.
    gain : float
        Electrons per count; infinity where it is not known, and photons have no noise.
    chip : int
        EXTVER, for the catalog.

    Returns
    -------
    SourceCatalog
        In SExtractor's order, with its numbers as `ident`. Positions are the windowed ones
        (XWIN_IMAGE), errors from ERRX2WIN_IMAGE, fluxes FLUX_AUTO. The flags are

        - `Flag.BAD_PIXEL` where FLAGS has 4 (saturated), 16 or 32 (pixels of the aperture or the
          isophote are missing), or where a bad pixel lies within the kernel's footprint;
        - `Flag.EDGE` where FLAGS has 8 (cut off), or that footprint reaches beyond the image;
        - `Flag.ASTRAY` where FLAGS_WIN is not 0, the windowed position is further from the
          isophotal one than a quarter of `conv_width`, or no error came out; the error is 1 pixel
          at least;
        - `Flag.POOR_FIT` where FLAGS has 64 or 128 (memory ran out).

        FLAGS 1 and 2 (a neighbour, a blend) leave no trace: in a crowded field most stars have
        them, and their positions are as good as their errors say. No source is centred on a bad
        pixel.

    Raises
    ------
    InputError
        The program is not installed, fails, or does not finish; the configuration file does not
        exist.
    """
    program = _program()
    data = np.asarray(data)
    unusable = ~(np.abs(data) < _ABSURD)  # so is NaN
    if bad is not None:
        unusable |= bad
    if relative_noise is not None:
        unusable |= ~(np.isfinite(relative_noise) & (np.asarray(relative_noise) > 0))
    good = data[~unusable]
    if not good.size or good.min() == good.max():
        return SourceCatalog.empty()
    if sky is None:
        relative = None if relative_noise is None else np.where(unusable, 1.0, relative_noise)
        sky = sky_sigma(data, unusable, relative)
    level, scatter = sky
    kernel = finding.kernel
    config = finding.sexconfig or None
    with tempfile.TemporaryDirectory(prefix="imagereg-") as folder:
        image = np.where(unusable, level, data)
        settings = _write_input(folder, image, unusable, noise=relative_noise, gain=gain)
        factor = SKY_FACTOR
        if finding.skysigma is not None and scatter > 0:
            factor = finding.skysigma / scatter
        own = _OWN_SETTINGS | _write_filter(folder, kernel, finding.threshold * factor)
        settings |= {name: own[name] for name in own.keys() - _settings_of(config)}
        table = _run(program, folder, settings, config)
    sources, peak, is_usable = _catalog(table, unusable, kernel, chip=chip)
    keep = is_usable & is_within(sources.flux, finding.fluxmin, finding.fluxmax)
    return sources[keep & is_within(peak, finding.peakmin, finding.peakmax)]


def _program() -> str:
    """Return the path of the program; InputError where it is not installed."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return os.path.abspath(found)
    raise InputError(
        "findmode = sextractor needs the program SExtractor, and there is none on the PATH: "
        "install the package source-extractor (Debian, Ubuntu) or astromatic-source-extractor "
        "(conda-forge)"
    )


def _settings_of(config) -> set[str]:
    """Return the names of what a user's configuration sets, and of what goes with it."""
    if config is None:
        return set()
    config = os.path.expanduser(config)
    try:
        with open(config, encoding="latin-1") as file:
            names = set(_SETTING.findall(file.read()))
    except FileNotFoundError:  # SExtractor would go on without
        raise InputError(f"the SExtractor configuration {os.path.abspath(config)} does not exist"
                         ) from None
    except OSError as error:
        raise InputError(f"the SExtractor configuration {config} can't be read: "
                         f"{error.strerror}") from error
    return names | _THRESHOLD if names & _THRESHOLD else names


def _write_input(folder, data, unusable, *, noise, gain) -> dict[str, str]:
    """Write the image, the weights and the list of columns; return the settings that name them."""
    gain = float(gain) if np.isfinite(gain) else 0.0  # to SExtractor 0 is an infinite gain
    header = fits.Header([("GAIN", gain, "electrons per count")])
    images = {"chip": np.asarray(data, np.float32)}
    settings = dict(_SETTINGS)
    if noise is not None or unusable.any():
        weight = (~unusable).astype(np.float32)
        if noise is not None:
            weight[~unusable] /= np.clip(np.asarray(noise)[~unusable], *_NOISE_RANGE) ** 2
        images["weight"] = weight
        settings |= {"WEIGHT_TYPE": "MAP_WEIGHT", "WEIGHT_IMAGE": "weight.fits",
                     "RESCALE_WEIGHTS": "Y", "WEIGHT_GAIN": "N", "INTERP_TYPE": "NONE"}
    try:
        for name, image in images.items():
            fits.PrimaryHDU(image, header).writeto(os.path.join(folder, f"{name}.fits"))
        _write_text(folder, _SETTINGS["PARAMETERS_NAME"], _COLUMNS)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{folder} can't hold the input of SExtractor: {reason}") from error
    return settings


def _write_filter(folder, kernel: Kernel, threshold: float) -> dict[str, str]:
    """Write the filter; return the settings of the threshold, which is one on the filtered image.

    A star of height 1 has, after a filter g of sum 1, the height sum(g**2) / sum(g).
    """
    inner = []
    for size, reach in zip(kernel.gauss.shape, kernel.half[::-1], strict=True):
        reach = min(reach, _LARGEST_FILTER // 2)
        inner.append(slice(size // 2 - reach, size // 2 + reach + 1))
    gauss = kernel.gauss[tuple(inner)]
    rows = (" ".join(f"{value:.6f}" for value in row) for row in gauss)
    _write_text(folder, _OWN_SETTINGS["FILTER_NAME"], ["CONV NORM", *rows])
    height = threshold * kernel.relative_error * (gauss**2).sum() / gauss.sum()
    return {"THRESH_TYPE": "RELATIVE", "DETECT_THRESH": f"{height:.6g}"}


def _write_text(folder, name: str, lines: Iterable[str]) -> None:
    with open(os.path.join(folder, name), "w", encoding="ascii") as file:
        file.write("\n".join([*lines, ""]))


def _run(program, folder, settings, config) -> dict[str, np.ndarray]:
    """Run the program on what lies in a folder; return the table of what it found."""
    # Names are relative where we can: SExtractor cuts a name at a blank, as folders may have.
    if config is None:
        config, home, place = "empty.sex", folder, ""
        _write_text(folder, config, [])
    else:
        config = os.path.abspath(os.path.expanduser(config))
        home, place = os.path.dirname(config), folder
    command = [program, os.path.join(place, "chip.fits"), "-c", config]
    for name, value in settings.items():
        is_file = name.endswith(("_NAME", "_IMAGE"))
        command += [f"-{name}", os.path.join(place, value) if is_file else value]
    name = os.path.basename(program)
    try:
        done = subprocess.run(command, cwd=home, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{name} did not finish within {_TIMEOUT:g} s") from error
    except OSError as error:
        raise InputError(f"{name} can't be run: {error.strerror or error}") from error
    if done.returncode != 0:
        reason = _last_line(done.stdout + done.stderr) or f"status {done.returncode}"
        raise InputError(f"{name} failed: {reason}")
    try:
        with fits.open(os.path.join(folder, settings["CATALOG_NAME"]), memmap=False) as hdus:
            return {column: np.array(hdus[1].data[column]) for column in _COLUMNS}
    except (OSError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name} wrote no catalog that can be read: {error}") from error


def _last_line(output: bytes) -> str:
    """Return the last line that a program printed, without the codes that move the cursor."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output.decode("utf-8", "replace"))
    lines = [line.strip(" >\t\r") for line in text.splitlines()]
    return next((line.removeprefix("*ERROR*:").strip() for line in reversed(lines) if line), "")


def _catalog(table, unusable, kernel, *, chip):
    """Return a catalog of the table, the peaks with the sky, and whether a source is usable."""
    xy = _columns(table, "XWIN_IMAGE", "YWIN_IMAGE")
    isophotal = _columns(table, "X_IMAGE", "Y_IMAGE")
    variance = _columns(table, "ERRX2WIN_IMAGE", "ERRY2WIN_IMAGE")
    is_usable, has_bad_pixel, is_cut_off = _surroundings(xy, unusable, kernel)
    no_error = ~(variance > 0).all(axis=1)
    drawn = np.hypot(*(xy - isophotal).T) > _FARTHEST * kernel.fwhm
    astray = no_error | (table["FLAGS_WIN"] != 0) | drawn
    error = np.sqrt(np.where(no_error[:, None], 0.0, variance))
    flags = Flag.ASTRAY * astray
    flags = flags + Flag.BAD_PIXEL * (_has(table, _DAMAGED) | has_bad_pixel)
    flags = flags + Flag.EDGE * (_has(table, _CUT) | is_cut_off)
    flags = flags + Flag.POOR_FIT * _has(table, _OVERFLOW)
    sources = SourceCatalog(
        xy=xy,
        xy_error=np.where(astray[:, None], np.maximum(error, 1.0), error),
        chip=chip,
        ident=table["NUMBER"],
        flux=table["FLUX_AUTO"],
        flux_error=table["FLUXERR_AUTO"],
        flags=flags,
    )
    return sources, table["FLUX_MAX"] + table["BACKGROUND"], is_usable


def _columns(table, *names) -> np.ndarray:
    return np.column_stack([table[name] for name in names]).astype(float)


def _has(table, bits: int) -> np.ndarray:
    return (table["FLAGS"] & bits) != 0


def _surroundings(xy, unusable, kernel):
    """Return whether each source has a good central pixel, a bad one around it, and an edge."""
    hx, hy = kernel.half
    ny, nx = unusable.shape
    column, row = (np.rint(np.nan_to_num(axis)).astype(int) for axis in xy.T)
    is_cut_off = (column <= hx) | (column > nx - hx) | (row <= hy) | (row > ny - hy)
    is_on_chip = (column >= 1) & (column <= nx) & (row >= 1) & (row <= ny)
    column, row = np.clip(column, 1, nx), np.clip(row, 1, ny)
    y, x = np.nonzero(kernel.inside)
    padded = np.pad(unusable, ((hy, hy), (hx, hx)))
    has_bad_pixel = padded[row[:, None] - 1 + y, column[:, None] - 1 + x].any(axis=1)
    return is_on_chip & ~unusable[row - 1, column - 1], has_bad_pixel, is_cut_off
