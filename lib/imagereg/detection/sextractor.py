"""Find the sources of a chip with SExtractor, the program, where it is installed.

Everything that is handed over, and what comes back, lies in a folder of its own that is removed in the end.
Manual: Bertin & Arnouts 1996, A&AS 117, 393, and https://sextractor.readthedocs.io.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile

import numpy as np
from astropy.io import fits

from imagereg.catalogs import Flag, SourceCatalog
from imagereg.detection.daofind import Kernel, sky_sigma
from imagereg.errors import InputError

PROGRAMS = ("source-extractor", "sex", "sextractor")

_TIMEOUT = 600.0  # seconds for one chip; the largest takes a few
_COLUMNS = ("NUMBER", "XWIN_IMAGE", "YWIN_IMAGE", "ERRX2WIN_IMAGE", "ERRY2WIN_IMAGE", "X_IMAGE", "Y_IMAGE", "FLUX_AUTO",
            "FLUXERR_AUTO", "FLUX_MAX", "BACKGROUND", "FLAGS", "FLAGS_WIN")
_DAMAGED = 4 | 16 | 32  # of FLAGS: saturated, aperture or isophote with missing pixels
_CUT = 8  # of FLAGS: it reaches the edge
_OVERFLOW = 64 | 128  # of FLAGS: memory ran out while the source was separated from others, or extracted
_SKY_FACTOR = 1.5  # the threshold is in units of this times the measured scatter, as in `find_sources`
_FARTHEST = 0.25  # of the FWHM, between windowed and isophotal position: beyond, a neighbour has drawn the window
_NEVER = 1e29  # a saturation level that no pixel reaches
_ABSURD = 1e18  # no count
_LARGEST_FILTER = 31  # rows and columns; SExtractor takes 1024 pixels at most

_SETTINGS = {  # whatever the user's configuration says
    "CATALOG_TYPE": "FITS_1.0", "CATALOG_NAME": "found.fits", "PARAMETERS_NAME": "columns.param",
    "CHECKIMAGE_TYPE": "NONE", "WRITE_XML": "N", "VERBOSE_TYPE": "QUIET",
}
_OWN_SETTINGS = {  # where there is none
    "FILTER": "Y", "FILTER_NAME": "gauss.conv", "DETECT_MINAREA": "3", "SATUR_LEVEL": f"{_NEVER:g}",
    "MEMORY_OBJSTACK": "30000", "MEMORY_PIXSTACK": "3000000",
}


def find_sources_sextractor(data, *, bad=None, relative_noise=None, sky=None, config=None, chip=1, gain=1.0,
                            conv_width=3.5, threshold=4.0, skysigma=None, nsigma=1.5, ratio=1.0, theta=0.0,
                            fluxmin=None, fluxmax=None, peakmin=None, peakmax=None):
    """Find the sources of one chip with SExtractor.

    Parameters
    ----------
    data : (ny, nx) array_like
        Pixels, counts.
    bad : (ny, nx) array_like of bool, optional
        Pixels not to be used; those that are not finite, or absurdly large, never are.
    relative_noise : (ny, nx) array_like, optional
        Noise of each pixel relative to that of the typical one, where it varies; the threshold and the errors follow.
        A pixel where it is not a positive number is not used.
    sky : (float, float), optional
        What `find.sky_sigma` says of the image, where it has been asked already.
    config : str, optional
        The user's configuration file. It rules over detection and measurement (filter, threshold, deblending,
        background, saturation), in place of `conv_width`, `threshold` and `skysigma`; the input, the columns, the
        output, and the weights where there are bad pixels, are ours all the same. Names in it are relative to its
        folder. It finds `gain` in the header, under the program's default keyword GAIN.
    chip : int
        EXTVER, for the catalog.
    gain : float
        Electrons per count.
    conv_width, nsigma, ratio, theta : float
        The Gaussian that the image is filtered with, as for `find.find_sources`.
    threshold, skysigma : float
        As for `find.find_sources`: a star of the kernel's shape that is just found there is just found here. Where
        `skysigma` is not given, 1.5 times the scatter that SExtractor measures from place to place stands for it.
    fluxmin, fluxmax, peakmin, peakmax : float, optional
        Limits of the flux, and of the brightest pixel with the sky, counts.

    Returns
    -------
    SourceCatalog
        In SExtractor's order, with its numbers as `ident`. Positions are the windowed ones (XWIN_IMAGE), errors
        from ERRX2WIN_IMAGE, fluxes FLUX_AUTO. The flags are

        - `Flag.BAD_PIXEL` where FLAGS has 4 (saturated), 16 or 32 (pixels of the aperture or the isophote are
          missing), or where a bad pixel lies within the kernel's footprint;
        - `Flag.EDGE` where FLAGS has 8 (cut off), or that footprint reaches beyond the image;
        - `Flag.ASTRAY` where FLAGS_WIN is not 0, the windowed position is further from the isophotal one than a
          quarter of `conv_width`, or no error came out; the error is 1 pixel at least;
        - `Flag.POOR_FIT` where FLAGS has 64 or 128 (memory ran out).

        FLAGS 1 and 2 (a neighbour, a blend) leave no trace: in a crowded field most stars have them, and their
        positions are as good as their errors say. No source is centred on a bad pixel.

    Raises
    ------
    InputError
        The program is not installed, fails, or does not finish; the configuration file does not exist.
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
        sky = sky_sigma(data, unusable, None if relative_noise is None else np.where(unusable, 1.0, relative_noise))
    level, scatter = sky
    kernel = Kernel(conv_width, nsigma, ratio, theta)
    with tempfile.TemporaryDirectory(prefix="imagereg-") as folder:
        settings = _write_input(folder, np.where(unusable, level, data), unusable, noise=relative_noise,
                                gain=gain)
        if config is None:
            height = threshold * (skysigma / scatter if skysigma is not None and scatter > 0 else _SKY_FACTOR)
            settings |= _OWN_SETTINGS | _detection(folder, kernel, height)
        found = _run(program, folder, settings, config)
    return _catalog(found, unusable, kernel, chip=chip, flux=(fluxmin, fluxmax), peak=(peakmin, peakmax))


def _program():
    for name in PROGRAMS:
        if found := shutil.which(name):
            return os.path.abspath(found)
    raise InputError("findmode = sextractor needs the program SExtractor, and there is none on the PATH: install the "
                     "package source-extractor (Debian, Ubuntu) or astromatic-source-extractor (conda-forge)")


def _write_input(folder, data, unusable, *, noise, gain):
    """Write the image, the weights and the list of columns; returns the settings that name them."""
    header = fits.Header([("GAIN", float(gain), "electrons per count")])
    images = {"chip": np.asarray(data, np.float32)}
    settings = dict(_SETTINGS)
    if noise is not None or unusable.any():
        images["weight"] = (~unusable).astype(np.float32)
        if noise is not None:
            images["weight"][~unusable] /= np.clip(np.asarray(noise)[~unusable], 1e-6, 1e6) ** 2
        settings |= {"WEIGHT_TYPE": "MAP_WEIGHT", "WEIGHT_IMAGE": "weight.fits", "RESCALE_WEIGHTS": "Y",
                     "WEIGHT_GAIN": "N", "INTERP_TYPE": "NONE"}
    try:
        for name, image in images.items():
            fits.PrimaryHDU(image, header).writeto(os.path.join(folder, f"{name}.fits"))
        _write_text(folder, _SETTINGS["PARAMETERS_NAME"], _COLUMNS)
    except OSError as error:
        raise InputError(f"{folder} can't hold the input of SExtractor: {error.strerror or error}") from error
    return settings


def _detection(folder, kernel, threshold):
    """Write the filter; returns the settings of the threshold, which is one on the filtered image.

    A star of height 1 has, after a filter g of sum 1, the height sum(g**2) / sum(g).
    """
    half = [min(reach, _LARGEST_FILTER // 2) for reach in kernel.half]
    inner = tuple(slice(size // 2 - reach, size // 2 + reach + 1)
                  for size, reach in zip(kernel.gauss.shape, half[::-1], strict=True))
    gauss = kernel.gauss[inner]
    rows = (" ".join(f"{value:.6f}" for value in row) for row in gauss)
    _write_text(folder, _OWN_SETTINGS["FILTER_NAME"], ["CONV NORM", *rows])
    height = threshold * kernel.relative_error * (gauss**2).sum() / gauss.sum()
    return {"THRESH_TYPE": "RELATIVE", "DETECT_THRESH": f"{height:.6g}"}


def _write_text(folder, name, lines):
    with open(os.path.join(folder, name), "w", encoding="ascii") as file:
        file.write("\n".join([*lines, ""]))


def _run(program, folder, settings, config):
    """Run the program on what lies in a folder; returns the table of what it found."""
    if config is None:
        config, home, place = "empty.sex", folder, ""  # a name with a blank, as folders may have, is cut there
        _write_text(folder, config, [])
    else:
        config = os.path.abspath(os.path.expanduser(config))
        home, place = os.path.dirname(config), folder
        if not os.path.isfile(config):  # SExtractor would go on without
            raise InputError(f"the SExtractor configuration {config} does not exist")
    command = [program, os.path.join(place, "chip.fits"), "-c", config]
    for name, value in settings.items():
        command += [f"-{name}", os.path.join(place, value) if name.endswith(("_NAME", "_IMAGE")) else value]
    name = os.path.basename(program)
    try:
        done = subprocess.run(command, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT,
                              check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{name} did not finish within {_TIMEOUT:g} s") from error
    except OSError as error:
        raise InputError(f"{name} can't be run: {error.strerror or error}") from error
    if done.returncode != 0:
        raise InputError(f"{name} failed: {_last_line(done.stdout + done.stderr) or f'status {done.returncode}'}")
    try:
        with fits.open(os.path.join(folder, settings["CATALOG_NAME"]), memmap=False) as hdus:
            return {column: np.array(hdus[1].data[column]) for column in _COLUMNS}
    except (OSError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name} wrote no catalog that can be read: {error}") from error


def _last_line(output):
    """Return the last line of what a program printed, without the codes that move the cursor."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output.decode("utf-8", "replace"))
    lines = [line.strip(" >\t\r") for line in text.splitlines()]
    return next((line.removeprefix("*ERROR*:").strip() for line in reversed(lines) if line), "")


def _catalog(found, unusable, kernel, *, chip, flux, peak):
    """Make a catalog of the table, with those that the limits leave."""
    xy, isophotal, variance = (np.column_stack([found[name.format(axis)] for axis in "XY"]).astype(float)
                               for name in ("{}WIN_IMAGE", "{}_IMAGE", "ERR{}2WIN_IMAGE"))
    central, blemish, edge = _surroundings(xy, unusable, kernel)
    lost = ~(variance > 0).all(axis=1)
    astray = lost | (found["FLAGS_WIN"] != 0) | (np.hypot(*(xy - isophotal).T) > _FARTHEST * kernel.fwhm)
    error = np.sqrt(np.where(lost[:, None], 0.0, variance))
    flags = Flag.ASTRAY * astray
    for flag, bits, ours in ((Flag.BAD_PIXEL, _DAMAGED, blemish), (Flag.EDGE, _CUT, edge),
                             (Flag.POOR_FIT, _OVERFLOW, False)):
        flags = flags + flag * (((found["FLAGS"] & bits) != 0) | ours)
    sources = SourceCatalog(
        xy=xy, xy_error=np.where(astray[:, None], np.maximum(error, 1.0), error), chip=chip, ident=found["NUMBER"],
        flux=found["FLUX_AUTO"], flux_error=found["FLUXERR_AUTO"], flags=flags)
    keep = ~central
    for values, (low, high) in ((sources.flux, flux), (found["FLUX_MAX"] + found["BACKGROUND"], peak)):
        keep &= values >= (-np.inf if low is None else low)
        keep &= values <= (np.inf if high is None else high)
    return sources[keep]


def _surroundings(xy, unusable, kernel):
    """Whether the central pixel of each source is bad or off the chip, any of its footprint is bad, any is off it."""
    hx, hy = kernel.half
    ny, nx = unusable.shape
    column, row = (np.rint(np.nan_to_num(axis)).astype(int) for axis in xy.T)
    edge = (column <= hx) | (column > nx - hx) | (row <= hy) | (row > ny - hy)
    off = (column < 1) | (column > nx) | (row < 1) | (row > ny)
    column, row = np.clip(column, 1, nx), np.clip(row, 1, ny)
    y, x = np.nonzero(kernel.inside)
    blemish = np.pad(unusable, ((hy, hy), (hx, hx)))[row[:, None] - 1 + y, column[:, None] - 1 + x].any(axis=1)
    return off | unusable[row - 1, column - 1], blemish, edge
