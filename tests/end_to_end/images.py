"""What files on disk have in their headers, and how to change it."""

import warnings

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS


def sky(path, extver=1, xy=None, key=" "):
    """Return the sky (N, 2), degrees, of pixels of a chip by the WCS in a file; of a hundred where none are given."""
    with warnings.catch_warnings(), fits.open(path) as hdus:
        warnings.simplefilter("ignore")  # of what stwcs writes
        hdu = hdus["SCI", extver]
        if xy is None:
            xy = np.random.default_rng(0).uniform((1, 1), hdu.shape[::-1], (100, 2))
        return WCS(hdu.header, hdus, key=key).all_pix2world(xy, 1)


def edit(path, **cards):
    """Put cards, values or (value, comment), into the headers of both chips."""
    with fits.open(path, mode="update") as hdus:
        for hdu in hdus["SCI", 1], hdus["SCI", 2]:
            for keyword, card in cards.items():
                hdu.header[keyword] = card


def fill(path, value):
    """Give all pixels of both chips one value."""
    with fits.open(path, mode="update") as hdus:
        for extver in (1, 2):
            hdus["SCI", extver].data[:] = value
