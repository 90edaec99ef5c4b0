"""Read reference catalogs, whatever survey they come from, and write a reference as a table."""

from __future__ import annotations

import io
import logging
import typing

import numpy as np

from imagereg.catalogs.formats.columns import Table
from imagereg.catalogs.sources import SourceCatalog
from imagereg.catalogs.stars import NO_MOTION, POOR_ASTROMETRY, ReferenceCatalog, julian_year
from imagereg.errors import InputError

# Gaia: above this the single-star model is in doubt (L. Lindegren, technical note
# GAIA-C3-TN-LU-LL-124-01; used for the solution of Lindegren et al. 2021, A&A 649, A2). RUWE is
# the root of chi square over its expectation, so that errors multiplied by it cover the misfit.
_LARGEST_RUWE = 1.4


class _Layout(typing.NamedTuple):
    """Names that a kind of catalog gives to its positions and their errors."""

    ra: str
    dec: str
    ra_error: str = ""
    dec_error: str = ""
    unit: str = ""  # of the errors, where the table has none
    epoch: float = np.nan  # of the positions, where motions bring them to one


# In the order in which they are looked for; case does not count.
_LAYOUTS = (
    _Layout("ra", "dec", "ra_error", "dec_error", "mas"),  # Gaia archive, gaia_source
    _Layout("ra", "dec", "raErr", "decErr", "arcsec"),  # SDSS, PhotoObjAll
    # 2MASS at IRSA, fp_psc, and as distributed: the longer axis of the error ellipse
    _Layout("ra", "dec", "err_maj", "err_maj", "arcsec"),
    _Layout("ra", "decl", "err_maj", "err_maj", "arcsec"),
    # Pan-STARRS, MeanObject and ObjectThin
    _Layout("raMean", "decMean", "raMeanErr", "decMeanErr", "arcsec"),
    _Layout("raStack", "decStack", "raStackErr", "decStackErr", "arcsec"),
    _Layout("MatchRA", "MatchDec", "DSigma", "DSigma", "mas"),  # Hubble Source Catalog
    # Tycho-2, VizieR I/259: Hog et al. 2000
    _Layout("RAmdeg", "DEmdeg", "e_RAmdeg", "e_DEmdeg", "mas", 2000.0),
    # Gaia at VizieR, I/345, I/350, I/355
    _Layout("RA_ICRS", "DE_ICRS", "e_RA_ICRS", "e_DE_ICRS", "mas"),
    _Layout("RAICRS", "DEICRS", "e_RAICRS", "e_DEICRS", "mas", 1991.25),  # Hipparcos, I/239
    _Layout("RAJ2000", "DEJ2000", "errMaj", "errMaj", "arcsec", 2000.0),  # 2MASS, II/246
    # others at VizieR: the unit of the errors differs
    _Layout("RAJ2000", "DEJ2000", "e_RAJ2000", "e_DEJ2000", "", 2000.0),
    _Layout("_RAJ2000", "_DEJ2000", epoch=2000.0),  # computed by VizieR
    _Layout("_RA.icrs", "_DE.icrs"),
    _Layout("_RA", "_DE"),
    _Layout("ALPHAWIN_J2000", "DELTAWIN_J2000"),  # SExtractor
    _Layout("ALPHA_J2000", "DELTA_J2000"),
    _Layout("ALPHAWIN_SKY", "DELTAWIN_SKY"),
    _Layout("ALPHA_SKY", "DELTA_SKY"),
    _Layout("X_WORLD", "Y_WORLD"),
    _Layout("RAdeg", "DEdeg"),
    _Layout("RAdeg", "DECdeg"),
    _Layout("ra_deg", "dec_deg"),
    _Layout("RA", "DE"),
    _Layout("RA2000", "DEC2000"),
    _Layout("ra_j2000", "dec_j2000"),
    _Layout("RA (J2000)", "Dec (J2000)"),  # the archive at STScI
    _Layout("alpha", "delta"),
    _Layout("right_ascension", "declination"),
)
# Motions towards east (times cos dec, in all of these) and north, and their errors; mas/yr where
# the table has no unit.
_MOTIONS = (("pmra", "pmdec", "pmra_error", "pmdec_error"),  # Gaia archive
            ("pmRA", "pmDE", "e_pmRA", "e_pmDE"),  # VizieR
            ("pmRA", "pmDEC", "pmRAErr", "pmDECErr"))
_EPOCHS = ("ref_epoch", "epochMean", "epoch", "jdate", "mjd")
_IDENTS = ("source_id", "Source", "objID", "ID")
# Gaia, Tycho-2, 2MASS, Pan-STARRS, SDSS, SExtractor, and what others write.
_MAGNITUDES = ("phot_g_mean_mag", "Gmag", "VTmag", "MAG_VT", "j_m", "Jmag", "rMeanPSFMag",
               "iMeanPSFMag", "rmag", "psfMag_r", "modelMag_r", "MAG_AUTO", "mag", "Vmag")

log = logging.getLogger(__name__)


def reference_catalog(table: Table, *, refxcol: str | int, refycol: str | int, refxyunits: str,
                      rfluxcol: str | int | None, rfluxunits: str,
                      epoch: float | None = None) -> ReferenceCatalog:
    """Find positions, motions and magnitudes of stars in a table, and log in which columns.

    Where `refxcol` and `refycol` are 1 and 2, their defaults, the names of the columns are
    searched for those that Gaia, SDSS, 2MASS, Pan-STARRS, Tycho-2, Hipparcos, SExtractor and
    VizieR use; where none is known, or others are given, those columns are taken. Six columns
    without names that begin a table and can only be hours to seconds of declination are taken as
    such. Errors belong to positions of the same survey. Where `rfluxcol` is empty and `rfluxunits`
    is mag, a magnitude is looked for among the names too. Rows without a position are left out.

    Parameters
    ----------
    table : Table
        Of the catalog.
    refxcol, refycol, rfluxcol : str or int
        Columns, by number from 1 or by name; three numbers, as ``1,2,3``, for a sexagesimal angle.
    refxyunits : str
        'degrees' (or sexagesimal), or 'pixels' of the plane.
    rfluxunits : str
        'counts', 'cps' or 'mag'.
    epoch : float, optional
        Julian year of the positions, which goes before what the table says.

    Raises
    ------
    InputError
        A column is missing, or a cell is not what is expected.
    """
    place, layout = _find_positions(table, refxcol, refycol, refxyunits)
    used: dict[str, tuple[int, ...]] = {"positions": place}
    columns: dict[str, typing.Any] = {}
    if refxyunits == "pixels":
        columns["xy"] = position = np.column_stack([table.numbers(index) for index in place])
        columns["sky"] = np.full_like(position, np.nan)
    else:
        columns["sky"] = position = _sky(table, place)
        columns |= _errors(table, layout, position[:, 1], used)
        columns |= _motions(table, used)
        columns["epoch"] = _epoch(table, layout, used) if epoch is None else epoch
        columns |= _quality(table, columns, used)
    columns["flux"] = _flux(table, rfluxcol, rfluxunits, used)
    columns["ident"] = _idents(table, used)
    titles = {}
    for quantity, indices in used.items() if len(table) else ():
        titles[quantity] = ", ".join(map(table.title, indices))
    catalog = ReferenceCatalog(**columns, origin=table.where, columns=titles)
    has_position = np.isfinite(position).all(axis=1)
    _log(catalog, table.where, n_lost=np.sum(~has_position))
    return catalog[has_position]


def _log(stars: ReferenceCatalog, where: str, n_lost: int) -> None:
    """Log which columns were taken, and what the rows lack."""
    choice = "; ".join(f"{quantity} from {names}" for quantity, names in stars.columns.items())
    log.info("%s: %d rows; %s", where, len(stars), choice or "nothing in them")
    if n_lost:
        log.warning("%s: %d of %d rows have no position and are left out",
                    where, n_lost, len(stars))
    n_still = np.count_nonzero(stars.flags & NO_MOTION)
    if n_still:
        log.info("%s: %d of %d stars have no motion and weigh less", where, n_still, len(stars))
    if np.isfinite(stars.pm).any() and not stars.has_motions:
        log.warning("%s has motions but no epoch: positions are used as they are", where)


def _find_positions(table: Table, refxcol: str | int, refycol: str | int,
                    refxyunits: str) -> tuple[tuple[int, ...], _Layout]:
    """Return the indices of the columns of positions, and the layout that they are part of."""
    unknown = _Layout("", "")
    place: tuple[int, ...] = ()
    left_at_defaults = (str(refxcol).strip(), str(refycol).strip()) == ("1", "2")
    if left_at_defaults and refxyunits != "pixels":
        if _is_in_six_columns(table):
            return tuple(range(6)), unknown
        found = (table.find_all(layout[:2]) for layout in _LAYOUTS)
        place = next(filter(None, found), ())
    place = place or _given_place(table, refxcol, refycol, refxyunits)
    if not table.names:
        return place, unknown
    layouts = [layout for layout in _LAYOUTS if table.find_all(layout[:2]) == place]
    with_errors = [layout for layout in layouts if table.find_all(layout[2:4])]
    return place, [*with_errors, *layouts, unknown][0]


def _given_place(table: Table, refxcol: str | int, refycol: str | int,
                 refxyunits: str) -> tuple[int, ...]:
    """Return the indices of the columns that the user names, one or three for each coordinate."""
    xs, ys = table.indices(refxcol, "refxcol"), table.indices(refycol, "refycol")
    if len(xs) != len(ys) or (len(xs) > 1 and refxyunits == "pixels"):
        raise InputError(f"refxcol = {refxcol} and refycol = {refycol} are {len(xs)} and "
                         f"{len(ys)} columns, expected one of each, or three of each for "
                         "sexagesimal positions")
    return xs + ys


def _is_in_six_columns(table: Table) -> bool:
    """Return whether a table begins with six unnamed columns of a sexagesimal position."""
    if not len(table) or len(table.names) < 6 or any(table.names):
        return False
    if any(table.integers(index) is None for index in (0, 1, 3, 4)):
        return False
    limits = (24, 60, 60.001, 90.001, 60, 60.001)  # hours to seconds, degrees to seconds
    return all((np.abs(table.numbers(index)) < limit).all() for index, limit in enumerate(limits))


def _sky(table: Table, place: tuple[int, ...]) -> np.ndarray:
    """Return right ascension and declination (N, 2), degrees, of a column or of three for each."""
    if len(place) == 2:
        ra, dec = table.angles(place[0], hours=True), table.angles(place[1], hours=False)
    else:
        ra = table.sexagesimal(place[:3], hours=True)
        dec = table.sexagesimal(place[3:], hours=False)
    return np.column_stack([ra, dec])


def _errors(table: Table, layout: _Layout, dec: np.ndarray, used: dict) -> dict[str, np.ndarray]:
    """Return the errors of positions at declinations `dec`, arcsec, where they are known."""
    place = table.find_all([layout.ra_error, layout.dec_error])
    if not place:
        return {}
    if not layout.unit and not all(table.units[index] for index in place):
        log.warning("%s: %s has no unit and is not used", table.where, table.title(place[0]))
        return {}
    used["errors"] = place
    if table.units and table.units[place[0]].strip() == "s":
        # Of time, as radio surveys at VizieR have it: NVSS, VLSS, FIRST.
        ra_error = 15 * np.cos(np.deg2rad(dec)) * table.numbers(place[0])
    else:
        ra_error = table.quantity(place[0], "arcsec", layout.unit)
    dec_error = table.quantity(place[1], "arcsec", layout.unit)
    return {"sky_error": _complete([ra_error, dec_error])}


def _complete(columns: list[np.ndarray]) -> np.ndarray:
    """Stack columns of errors; a missing or useless one counts as the largest one there is."""
    errors = np.column_stack(columns)
    with np.errstate(invalid="ignore"):
        errors[~(errors > 0)] = np.nan
    if not np.isfinite(errors).any():
        return errors
    return np.nan_to_num(errors, nan=np.nanmax(errors))


def _motions(table: Table, used: dict) -> dict[str, np.ndarray]:
    """Return proper motions and their errors, mas/yr, where they are known."""
    names = next((names for names in _MOTIONS if table.find_all(names[:2])), None)
    if names is None:
        return {}
    used["motions"] = table.find_all(names[:2])
    pm = np.column_stack([table.quantity(i, "mas/yr", "mas/yr") for i in used["motions"]])
    pm[np.isnan(pm).any(axis=1)] = np.nan
    place = table.find_all(names[2:])
    if not place:
        return {"pm": pm}
    used["errors of motions"] = place
    errors = [table.quantity(index, "mas/yr", "mas/yr") for index in place]
    return {"pm": pm, "pm_error": _complete(errors)}


def _epoch(table: Table, layout: _Layout, used: dict) -> np.ndarray | float:
    """Return the Julian years of the positions, a number or a column; NaN where not known."""
    if "motions" in used and np.isfinite(layout.epoch):
        return layout.epoch
    index = table.first(_EPOCHS)
    if index is None:
        return np.nan
    used["epoch"] = (index,)
    values = table.numbers(index)
    # Years, modified Julian dates and Julian dates are told apart by their size.
    is_year = (values > 1800) & (values < 2200)
    is_mjd = (values > 15000) & (values < 100000)
    is_jd = (values > 2.4e6) & (values < 2.5e6)
    years = [values, julian_year(values), julian_year(values - 2400000.5)]
    return np.select([is_year, is_mjd, is_jd], years, np.nan)


def _quality(table: Table, columns: dict, used: dict) -> dict[str, np.ndarray]:
    """Return flags, and the errors that are larger for stars flagged as poor."""
    flags = np.zeros(len(table), int)
    pm = columns.get("pm")
    if pm is not None and np.isfinite(pm).any():
        flags[np.isnan(pm).any(axis=1)] |= NO_MOTION
    index = table.find("ruwe")
    if index is None:
        return {"flags": flags}
    used["quality"] = (index,)
    ruwe = np.nan_to_num(table.numbers(index))
    poor = ruwe > _LARGEST_RUWE
    flags[poor] |= POOR_ASTROMETRY
    result = {"flags": flags}
    for name in ("sky_error", "pm_error"):
        if name in columns:
            result[name] = columns[name] * np.where(poor, ruwe, 1.0)[:, None]
    return result


def _flux(table: Table, rfluxcol: str | int | None, rfluxunits: str,
          used: dict) -> np.ndarray | float:
    """Return the fluxes of the column named or, for magnitudes, of one that is known."""
    index = table.first(_MAGNITUDES) if rfluxunits == "mag" else None
    if rfluxcol is not None and rfluxcol != "":
        index = table.index(rfluxcol, "rfluxcol")
    if index is None:
        return np.nan
    used["fluxes"] = (index,)
    return table.fluxes(index, rfluxunits)


def _idents(table: Table, used: dict) -> np.ndarray | None:
    """Return the numbers of the stars where the catalog has whole ones, else None."""
    for index in map(table.find, _IDENTS):
        idents = None if index is None else table.integers(index)
        if idents is not None:
            used["numbers"] = (index,)
            return idents
    return None


def sky_table_text(catalog: SourceCatalog, name: str) -> str:
    """Return a reference as the text of a table (ECSV) that may serve as `refcat`.

    Columns RA and DEC (degrees), FLUX, ID and ORIGIN, as in drizzlepac's list of reference
    sources, then RA_ERROR and DEC_ERROR (towards east and north, arcsec) and FLAGS.

    Parameters
    ----------
    catalog : SourceCatalog
        With `sky`.
    name : str
        Of the reference, for the head.

    Raises
    ------
    InputError
        A source has no sky position.
    """
    from astropy.table import Table as AstropyTable

    if np.isnan(catalog.sky).any():
        raise InputError(f"{name}: a source has no position on the sky, and can't be part of a "
                         "table of the sky")
    origins = [str(origin).replace("\n", " ") for origin in catalog.origin]
    columns = {"RA": catalog.sky[:, 0], "DEC": catalog.sky[:, 1], "FLUX": catalog.flux,
               "ID": catalog.ident, "ORIGIN": np.array(origins, dtype=str),
               "RA_ERROR": catalog.sky_error[:, 0], "DEC_ERROR": catalog.sky_error[:, 1],
               "FLAGS": catalog.flags}
    units = {"RA": "deg", "DEC": "deg", "RA_ERROR": "arcsec", "DEC_ERROR": "arcsec"}
    table = AstropyTable(columns, units=units, meta={"REFERENCE": str(name).replace("\n", " ")})
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()
