"""What of an exposure can be known without its pixels, and the plane that a file of shifts refers to."""

from __future__ import annotations

import os
import warnings

import numpy as np
from astropy.wcs import WCS, FITSFixedWarning

from imagereg.errors import InputError
from imagereg.files import fits as files
from imagereg.files.solution import Frame
from imagereg.wcs.plane import TangentPlane


def _read_header(path, extver):
    """Return the header of a science extension, with the keywords of the primary one that it lacks."""
    with files.opened(path) as hdus:
        science = [hdu.header for hdu in hdus if hdu.name == "SCI" and hdu.ver == extver]
        science = science or [hdu.header for hdu in hdus if "CTYPE1" in hdu.header]
        header = (science or [hdus[0].header])[0].copy()
        header.extend(hdus[0].header, unique=True)
    return header


def describe(exposure, plane):
    """Return the `Frame` of an `align.Exposure` ; little is known of one with a problem."""
    header = _read_header(exposure.path, exposure.chips[0].extver) if exposure.chips else None
    return Frame.of(exposure.name, header, chips=exposure.chips, plane=plane, epoch=exposure.metadata.epoch)


def read_frame(path, plane, extver=None):
    """Read what is known of a file.

    Parameters
    ----------
    path : str
        The file.
    plane : wcs.TangentPlane
        On which to place it.
    extver : int, optional
        Of the one chip that counts.

    Returns
    -------
    frame : solutions.Frame
    chips : tuple of align.Chip
    header : astropy.io.fits.Header
        That of the first chip, with the keywords of the primary one.

    Raises
    ------
    InputError
        The file can't be read, or has no celestial WCS.
    """
    chips = tuple(image.chip for image in files.read_exposure(path, dqbits="None")
                  if extver in (None, image.chip.extver))
    if not chips:
        raise InputError(f"{path} has no chip with EXTVER {extver}")
    header = _read_header(path, chips[0].extver)
    epoch = files.read_metadata(path).epoch
    name = os.path.basename(path) + (f"[sci,{extver}]" if extver else "")
    return Frame.of(name, header, chips=chips, plane=plane, epoch=epoch), chips, header


def read_plane(path):
    """Read the plane of a shiftfile: from an extension WCS, else from the first HDU that has a WCS.

    Raises
    ------
    InputError
        The file can't be read, or what it has is no tangent plane without distortion.
    """
    with files.opened(path) as hdus:
        candidates = [h.header for h in hdus if h.name == "WCS"] + [h.header for h in hdus if "CTYPE1" in h.header]
        if not candidates:
            raise InputError(f"{path} has no WCS")
        header = candidates[0].copy()
    if [header.get(f"CTYPE{i}") for i in (1, 2)] != ["RA---TAN", "DEC--TAN"]:
        raise InputError(f"{path} has a WCS of type {header.get('CTYPE1')}, {header.get('CTYPE2')}, expected RA---TAN, "
                         "DEC--TAN")
    shape = [header.get(f"NPIX{i}", header.get(f"NAXIS{i}", 1)) for i in (2, 1)]
    header["NAXIS"] = 2  # astropy warns of a WCS without an image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header)
    plane = TangentPlane.of(wcs.wcs.crval, wcs.wcs.crpix, wcs.pixel_scale_matrix, tuple(map(int, shape)))
    if not np.isfinite(plane.pixel_scale) or plane.pixel_scale <= 0:
        raise InputError(f"{path} has a WCS without a scale")
    return plane
