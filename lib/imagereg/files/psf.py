"""Effective PSFs in a FITS file, so that a sparse field can use those of a rich one."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from astropy.io import fits

from imagereg import detection
from imagereg.errors import InputError
from imagereg.files.atomic import write_bytes
from imagereg.files.images.fits import opened

_COMMENTS = {
    "SPACING": "distance of the knots (pixel)",
    "HALF": "half width of the boxes (pixel)",
    "XCENTRE": "x of the star on the surface (pixel)",
    "YCENTRE": "y of the star on the surface (pixel)",
    "RELERR": "departure of single stars (part of value)",
}
_OF_VARIATION = {
    "CHIP": "EXTVER of the chip",
    "NX": "columns of the chip",
    "NY": "rows of the chip",
    "DX0": "added to x of the star (pixel)",
    "DY0": "added to y of the star (pixel)",
    "DX1": "the same, towards x",
    "DY1": "the same, towards x",
    "DX2": "the same, towards y",
    "DY2": "the same, towards y",
}


def write_psfs(path: str, psfs: Mapping[str, detection.EffectivePSF]) -> None:
    """Write PSFs by the name of their optics.

    There is an extension for each, of B-spline coefficients, and one for each chip on which they
    change: what is added to them in the middle, and towards x and y, see `epsf.Variation`.
    """
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for number, (optics, psf) in enumerate(psfs.items(), start=1):
        values = (psf.spacing, psf.half, *psf.centre, psf.error)
        cards = _cards(optics, _COMMENTS, values)
        hdus.append(fits.ImageHDU(psf.coefficients, cards, name="EPSF", ver=number))
        for part in psf.variation:
            values = (part.chip, *part.shape[::-1], *part.centre.ravel())
            cards = _cards(optics, _OF_VARIATION, values)
            hdus.append(fits.ImageHDU(part.coefficients, cards, name="EPSFVAR", ver=len(hdus)))
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    write_bytes(path, buffer.getvalue())


def _cards(optics, comments, values):
    """Return the header of an extension of some optics, with a value for each of its keywords."""
    header = fits.Header()
    header["OPTICS"] = (optics, "exposures of this name have this PSF")
    for keyword, value in zip(comments, values, strict=True):
        header[keyword] = (value, comments[keyword])
    return header


def read_psfs(path: str) -> dict[str, detection.EffectivePSF]:
    """Read what `write_psfs` wrote.

    Raises
    ------
    InputError
        The file can't be read, or holds something else.
    """
    psfs = {}
    with opened(path) as hdus:
        for hdu in hdus:
            if hdu.name == "EPSF":
                psfs[str(hdu.header["OPTICS"])] = _psf_of(hdu)
            if hdu.name == "EPSFVAR":
                optics = str(hdu.header["OPTICS"])
                psfs[optics] = _with_variation(psfs[optics], hdu)
    if not psfs or not all(np.isfinite(psf.coefficients).all() for psf in psfs.values()):
        raise InputError(f"{path} holds no point-spread function, expected a file that an earlier "
                         "run wrote")
    return psfs


def _psf_of(hdu):
    """Return the PSF in an extension."""
    spacing, half, x, y, error = (hdu.header[keyword] for keyword in _COMMENTS)
    coefficients = np.array(hdu.data, float)
    rows, columns = coefficients.shape
    if rows != columns or rows < 4 or not (spacing > 0 and half > 0 and error >= 0):
        raise ValueError(f"extension EPSF,{hdu.ver} is no surface of B-splines")
    origin = (float(x), float(y))
    return detection.EffectivePSF(coefficients, float(spacing), int(half), origin, float(error))


def _with_variation(psf, hdu):
    """Return a PSF that changes over a chip as an extension says."""
    from imagereg.detection.psf import epsf  # which loads scipy

    chip, nx, ny, *centre = (hdu.header[keyword] for keyword in _OF_VARIATION)
    coefficients = np.array(hdu.data, float)
    numbers = np.array([chip, nx, ny, *centre], float)
    is_known = np.isfinite(coefficients).all() and np.isfinite(numbers).all()
    if coefficients.shape != (3, *psf.coefficients.shape) or not (is_known and min(nx, ny) > 0):
        raise ValueError(f"extension EPSFVAR,{hdu.ver} is no change of a surface of B-splines")
    change = epsf.Variation(int(chip), (int(ny), int(nx)), coefficients, numbers[3:].reshape(3, 2))
    return psf.varying(change)
