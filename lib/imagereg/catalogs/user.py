"""Catalogs of sources that users have made of their images."""

from __future__ import annotations

import logging
import typing

import numpy as np

from imagereg.catalogs.formats.columns import Table, exposure_time
from imagereg.catalogs.sources import ColumnTable, SourceCatalog
from imagereg.errors import ParameterError

_FAR = 1e6  # pixels; no detector and no mosaic is as wide
# Names of the columns of positions in SExtractor, IRAF (daofind, phot) and photutils, the most
# accurate first.
_PIXEL_PAIRS = (("XWIN_IMAGE", "YWIN_IMAGE"), ("XPSF_IMAGE", "YPSF_IMAGE"),
                ("X_IMAGE", "Y_IMAGE"), ("XCENTER", "YCENTER"), ("XINIT", "YINIT"), ("X", "Y"))
_SKY_PAIRS = (("ALPHAWIN_J2000", "DELTAWIN_J2000"), ("ALPHA_J2000", "DELTA_J2000"), ("RA", "DEC"))
_SLACK = 1e-12  # part of a limit: rounding, where a flux went from cps to counts and back

Catalog = typing.TypeVar("Catalog", bound=ColumnTable)

log = logging.getLogger(__name__)


def image_catalog(table: Table, *, xcol: str | int, ycol: str | int, fluxcol: str | int | None,
                  xyunits: str, fluxunits: str, exptime: float | None = None,
                  chip: int = 1) -> SourceCatalog:
    """Make a catalog of one chip of a table that a user gives.

    Rows without a position (INDEF, or further out than any detector) are left out, and their
    number is logged. Where `xcol` and `ycol` are 1 and 2, their defaults, columns known by their
    names (SExtractor, IRAF, photutils) come before the first two.

    Parameters
    ----------
    table : Table
        See `read_table`.
    xcol, ycol : str or int
        Columns of the positions, by number from 1 or by name.
    fluxcol : str or int or None
        Column of the flux; empty or None for none.
    xyunits : str
        'pixels', then `xy` of the catalog is given, in FITS pixels; or 'degrees', then `sky` is,
        and `xy` is NaN.
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
    in_degrees = xyunits == "degrees"
    columns: tuple[int, ...] = ()
    if (str(xcol).strip(), str(ycol).strip()) == ("1", "2"):
        columns = _known_columns(table, _SKY_PAIRS if in_degrees else _PIXEL_PAIRS)
    columns = columns or (table.index(xcol, "xcol"), table.index(ycol, "ycol"))
    titles = " and ".join(map(table.title, columns)) if table.names else "none"
    log.debug("%s: positions from %s", table.where, titles)
    brightness = None
    if fluxcol is not None and fluxcol != "":
        brightness = table.index(fluxcol, "fluxcol")
    if in_degrees:
        ra, dec = table.angles(columns[0], hours=True), table.angles(columns[1], hours=False)
        sky = position = np.column_stack([ra, dec])
        xy = np.full_like(position, np.nan)
    else:
        xy = position = np.column_stack([table.numbers(column) for column in columns])
        with np.errstate(invalid="ignore"):
            xy[np.abs(xy) > _FAR] = np.nan
        sky = None
    flux = None if brightness is None else table.fluxes(brightness, fluxunits, exptime)
    sources = SourceCatalog(xy=xy, sky=sky, flux=flux, chip=chip, origin=table.where)
    good = np.isfinite(position).all(axis=1)
    if not good.all():
        log.warning("%s: %d of %d rows have no position and are left out",
                    table.where, np.sum(~good), len(good))
    return sources[good]


def _known_columns(table: Table, pairs: tuple) -> tuple[int, ...]:
    """Return the indices of the first pair of known names, the first two columns before all."""
    first = [table.names[:2]] if table.names[:2] in pairs else []
    return next(filter(None, map(table.find_all, [*first, *pairs])), ())


def limited(catalog: Catalog, *, fluxunits: str, fluxmin: float | None = None,
            fluxmax: float | None = None, nbright: int | None = None,
            exptime: float | None = None, prefix: str = "") -> Catalog:
    """Return the sources of a catalog between two limits of flux, and of those the brightest.

    A source whose flux is not known is in no range. In magnitudes `fluxmin` is the faint limit, the
    largest number to keep, and `fluxmax` the bright one, as in drizzlepac 3.11 (catalogs.py,
    ``apply_flux_limits``).

    Parameters
    ----------
    catalog : SourceCatalog or ReferenceCatalog
        With fluxes in counts, as `Table.fluxes` makes them and the finder has them.
    fluxunits : str
        'counts', 'cps' (with `exptime`) or 'mag'.
    fluxmin, fluxmax : float or None
        Limits, both included, in `fluxunits`.
    nbright : int or None
        Number of the brightest to keep.
    exptime : float, optional
        Seconds; 1 where not known.
    prefix : str
        What the names of the parameters begin with, for errors: 'r' of a reference.

    Raises
    ------
    ParameterError
        The limits exclude everything, or they are given and the catalog has no fluxes.
    """
    faint_to_bright = (fluxmin, fluxmax)
    low, high = reversed(faint_to_bright) if fluxunits == "mag" else faint_to_bright
    if low is not None and high is not None and low > high:
        raise ParameterError(f"{prefix}fluxmin = {fluxmin:g} is brighter than {prefix}fluxmax = "
                             f"{fluxmax:g} (parameters {prefix}minflux and {prefix}maxflux, "
                             f"{prefix}fluxunits = {fluxunits}): no source is left")
    asked = any(limit is not None for limit in (fluxmin, fluxmax, nbright))
    if asked and len(catalog) and np.isnan(catalog.flux).all():
        raise ParameterError(f"{catalog.origin[0] or 'a catalog'} has no fluxes to limit or sort "
                             f"by: name their column by the parameter {prefix}fluxcol, and "
                             f"their unit by {prefix}fluxunits, which is {fluxunits} now")
    if low is not None or high is not None:
        values = _in_units(catalog.flux, fluxunits, exptime)
        lowest = -np.inf if low is None else low - _SLACK * abs(low)
        highest = np.inf if high is None else high + _SLACK * abs(high)
        with np.errstate(invalid="ignore"):
            catalog = catalog[(values >= lowest) & (values <= highest)]
    return catalog.brightest(nbright)


def _in_units(flux: np.ndarray, fluxunits: str, exptime: float | None) -> np.ndarray:
    """Convert fluxes from counts to `fluxunits`; the magnitude of no flux is infinite."""
    if fluxunits != "mag":
        return flux / exposure_time(fluxunits, exptime)
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitudes = np.where(flux > 0, -2.5 * np.log10(flux), np.inf)
    magnitudes[np.isnan(flux)] = np.nan
    return magnitudes
