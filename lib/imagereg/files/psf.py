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


def write_psfs(path: str, psfs: Mapping[str, detection.EffectivePSF]) -> None:
    """Write PSFs by the name of their optics: an extension for each, of B-spline coefficients."""
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for number, (optics, psf) in enumerate(psfs.items(), start=1):
        hdu = fits.ImageHDU(psf.coefficients, name="EPSF", ver=number)
        hdu.header["OPTICS"] = (optics, "exposures of this name have this PSF")
        values = (psf.spacing, psf.half, *psf.centre, psf.error)
        for keyword, value in zip(_COMMENTS, values, strict=True):
            hdu.header[keyword] = (value, _COMMENTS[keyword])
        hdus.append(hdu)
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    write_bytes(path, buffer.getvalue())


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
