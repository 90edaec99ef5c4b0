"""WCSs and headers that are corrected by some fit, and how to compare them."""

import re
import warnings

import numpy as np
from astropy.wcs import WCS, FITSFixedWarning
from fields import fit_linear, rotated

from imagereg.files.images import rewrite
from imagereg.wcs import correction
from imagereg.wcs.correction import Solution, corrected_wcs
from imagereg.wcs.plane import TangentPlane, pixel_to_sky

SHAPE = (400, 700)
SOLUTION = Solution(nmatches=87, ra_rms=4.5e-3, dec_rms=9e-3, geometry="rscale")


def read_wcs(header, hdus=None, key=" "):
    """Return the WCS of a header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header, hdus, key=key)


def moved(wcs, shape=SHAPE, shift=(11.2, -6.9)):
    """Return a WCS corrected by some fit: a turn of a degree, a scale, and a shift."""
    plane = TangentPlane.around([(wcs, shape)])
    image = np.array([(0.0, 0), (500, 0), (0, 500)])
    fit = fit_linear(image, image @ rotated(1.0, 1.0007).T + shift, centre=plane.centre)
    return corrected_wcs(wcs, shape, plane, fit)


def corrected_header(header, wcs, *, wcsname="TWEAK", **options):
    """Give a header a new primary WCS, with what is known of `SOLUTION`."""
    return correction.corrected_header(header, wcs, SOLUTION, wcsname=wcsname, **options)


def some_pixels(shape=SHAPE):
    """Return FITS pixels (N, 2) all over a chip."""
    x, y = np.meshgrid(np.linspace(1, shape[1], 9), np.linspace(1, shape[0], 8))
    return np.column_stack([x.ravel(), y.ravel()])


def assert_same_sky(found, expected, shape=SHAPE, pixels=1e-6):
    """Check that two WCSs put every pixel in the same place, to a fraction of a pixel of 0.05 arcsec."""
    plane = TangentPlane.around([(expected, shape)])
    xy = some_pixels(shape)
    difference = plane.sky_to_plane(pixel_to_sky(found, xy)) - plane.sky_to_plane(pixel_to_sky(expected, xy))
    assert np.abs(difference).max() < pixels


def cards(header):
    """Return the text of all cards, by keyword."""
    return {card.keyword: str(card) for card in header.cards}


def celestial(header):
    """Return a header without the distortion that needs other HDUs."""
    header = header.copy()
    for name in [name for name in header if re.match(r"(CPDIS|DP|CPERR|D2IM|A_|B_)", name)]:
        del header[name]
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    return header


def update_header(path, solved, *, wcsname, reuse=False, **options):
    """Give the science headers of a file a new primary WCS; see `rewrite.header_change` and `rewrite.rewrite`."""
    return rewrite.rewrite(path, rewrite.header_change(path, solved, wcsname=wcsname, reuse=reuse), **options)
