"""Catalogs of sources that users have made of their images: which file for which chip, and what it says."""

from __future__ import annotations

import logging
import posixpath
import re

import numpy as np

from imagereg.catalogs.columns import exposure_time
from imagereg.catalogs.sources import SourceCatalog
from imagereg.errors import InputError, ParameterError

_FAR = 1e6  # no detector and no mosaic is as wide, pixels
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
# What SExtractor, IRAF (daofind, phot) and photutils call the columns of positions, the most accurate first.
_PIXEL_PAIRS = (("XWIN_IMAGE", "YWIN_IMAGE"), ("XPSF_IMAGE", "YPSF_IMAGE"), ("X_IMAGE", "Y_IMAGE"),
                ("XCENTER", "YCENTER"), ("XINIT", "YINIT"), ("X", "Y"))
_SKY_PAIRS = (("ALPHAWIN_J2000", "DELTAWIN_J2000"), ("ALPHA_J2000", "DELTA_J2000"), ("RA", "DEC"))

log = logging.getLogger(__name__)


def image_catalog(table, *, xcol="1", ycol="2", fluxcol="", xyunits="pixels", fluxunits="counts", exptime=None,
                  chip=1):
    """Make a catalog of one chip of a table that a user gives.

    Rows without a position (INDEF, or further out than any detector) are left out, and their number is logged.
    Where `xcol` and `ycol` are left at 1 and 2, columns known by their names (SExtractor, IRAF, photutils) come before
    the first two.

    Parameters
    ----------
    table : Table
        See `read_table`.
    xcol, ycol : str or int
        Columns of the positions, by number from 1 or by name.
    fluxcol : str or int or None
        Column of the flux; empty or None for none.
    xyunits : str
        'pixels', then `xy` of the catalog is given, in FITS pixels; or 'degrees', then `sky` is, and `xy` is NaN.
    fluxunits, exptime : str, float
        See `Table.fluxes`; the catalog's flux is in counts.
    chip : int
        EXTVER of the chip.

    Returns
    -------
    SourceCatalog
        With `ident` the number of the row.

    Raises
    ------
    InputError
        A column is missing, or a cell is not what is expected.
    """
    columns = None
    if (str(xcol).strip(), str(ycol).strip()) == ("1", "2"):
        pairs = _SKY_PAIRS if xyunits == "degrees" else _PIXEL_PAIRS
        first = tuple(table.names[:2])
        columns = table.pair(([first] if first in pairs else []) + list(pairs))
    columns = columns or (table.index(xcol, "xcol"), table.index(ycol, "ycol"))
    log.debug("%s: positions from %s", table.where, " and ".join(map(table.title, columns)) if table.names else "none")
    light = None if fluxcol in ("", None) else table.index(fluxcol, "fluxcol")
    table = table.ahead([*columns] if light is None else [*columns, light])
    if xyunits == "degrees":
        position = np.column_stack([table.angles(columns[0], hours=True), table.angles(columns[1], hours=False)])
    else:
        position = np.column_stack([table.numbers(column) for column in columns])
        with np.errstate(invalid="ignore"):
            position[np.abs(position) > _FAR] = np.nan
    flux = None if light is None else table.fluxes(light, fluxunits, exptime)
    missing = np.full_like(position, np.nan)
    sources = SourceCatalog(xy=missing if xyunits == "degrees" else position, flux=flux, chip=chip, origin=table.where,
                            sky=position if xyunits == "degrees" else None)
    good = np.isfinite(position).all(axis=1)
    if not good.all():
        log.warning("%s: %d of %d rows have no position and are left out", table.where, (~good).sum(), len(good))
    return sources[good]


def limited(catalog, *, fluxmin=None, fluxmax=None, fluxunits="counts", nbright=None, exptime=None):
    """Return the sources of a catalog between two limits of flux, and of those the brightest.

    A source whose flux is not known is in no range. Limits in magnitudes are those of the numbers: `fluxmax` is the
    faintest to keep; the brightest are those of the smallest magnitude.

    Parameters
    ----------
    catalog : SourceCatalog or reference.ReferenceCatalog
        With fluxes in counts, as `Table.fluxes` makes them and the finder has them.
    fluxmin, fluxmax : float or None
        Limits, both included, in `fluxunits`.
    fluxunits : str
        'counts', 'cps' (with `exptime`) or 'mag'.
    nbright : int or None
        Number of the brightest to keep.
    exptime : float, optional
        Seconds; 1 where not known.

    Raises
    ------
    ParameterError
        The limits exclude everything, or they are given and the catalog has no fluxes.
    """
    if fluxmin is not None and fluxmax is not None and fluxmin > fluxmax:
        raise ParameterError(f"fluxmin = {fluxmin:g} is above fluxmax = {fluxmax:g}: no source is left")
    asked = any(limit is not None for limit in (fluxmin, fluxmax, nbright))
    if asked and len(catalog) and np.isnan(catalog.flux).all():
        raise ParameterError(f"{catalog.origin[0] or 'a catalog'} has no fluxes to limit or sort by: name their column")
    if fluxmin is not None or fluxmax is not None:
        if fluxunits == "mag":
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(catalog.flux > 0, -2.5 * np.log10(catalog.flux), np.inf)
            values[np.isnan(catalog.flux)] = np.nan
        else:
            values = catalog.flux / exposure_time(fluxunits, exptime)
        slack = 1e-12  # what going to counts and back costs a value that equals a limit
        low = -np.inf if fluxmin is None else fluxmin - slack * abs(fluxmin)
        high = np.inf if fluxmax is None else fluxmax + slack * abs(fluxmax)
        with np.errstate(invalid="ignore"):
            catalog = catalog[(values >= low) & (values <= high)]
    return catalog.brightest(nbright)


def parse_chip_files(text, where):
    """Read a list of images with a file for each of their chips: a catfile, or a list of exclusions.

    One line an image: its name, then a name for each chip in order of EXTVER, ``None`` or ``INDEF`` (in any case) for a
    chip that has none. What follows a ``#`` is a comment.

    Parameters
    ----------
    text : str
        Content of the list.
    where : str
        Its name, for errors.

    Returns
    -------
    dict of str to tuple of (str or None)
        By name of the image without its folder; as long as the line is, perhaps shorter than the image has chips.

    Raises
    ------
    InputError
        The list is empty, is no text, or names an image twice.
    """
    images = {}
    for number, line in enumerate(text.splitlines(), 1):
        if _CONTROL.search(line):
            raise InputError(f"{where}, line {number}: {line[:60]!r}, expected the name of an image and of files")
        words = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].split()
        if not words:
            continue
        image, names = posixpath.basename(words[0]), words[1:]
        if not image:
            raise InputError(f"{where}, line {number}: {line[:60]!r}, expected the name of an image and of files")
        if image in images:
            raise InputError(f"{where}, line {number}: {image} stands there a second time")
        images[image] = tuple(None if name.upper() in ("NONE", "INDEF") else name for name in names)
    if not images:
        raise InputError(f"{where} names no image")
    return images
