"""Reference catalogs: where stars are, how they move, and where that puts them on a given date."""

from __future__ import annotations

import dataclasses
import logging
import types
import typing

import numpy as np

from imagereg.catalogs.sources import SourceCatalog
from imagereg.errors import InputError

#: `SourceCatalog.flags` of a star without a motion in a catalog of motions; beyond those of `catalog.Flag`.
NO_MOTION = 1 << 8
#: `SourceCatalog.flags` of a star that the model of a single star does not fit.
POOR_ASTROMETRY = 1 << 9

_MAS = 1000.0  # in an arcsec
_RADIANS = np.deg2rad(1 / 3600)  # in an arcsec
# Gaia: above this the single-star model is in doubt (L. Lindegren, technical note GAIA-C3-TN-LU-LL-124-01; used for the
# solution of Lindegren et al. 2021, A&A 649, A2). RUWE is the root of chi square over its expectation, so the errors
# that take it into account are larger by that factor.
_LARGEST_RUWE = 1.4
# One-sigma motion along one axis, mas/yr, of a star whose own is not known. At 1 kpc, 1 mas/yr is 4.74 km/s, so this is
# 47 km/s there, the upper end of the random velocities of old stars of the disc; nearer stars, which move faster, are
# bright enough to have a motion in any catalog that has some.
_TYPICAL_MOTION = 10.0


class _Layout(typing.NamedTuple):
    """What a kind of catalog calls its positions and their errors; the unit where the table has none."""

    ra: str
    dec: str
    ra_error: str = ""
    dec_error: str = ""
    unit: str = ""
    epoch: float = np.nan  # of the positions, where motions bring them to one


# In the order in which they are looked for; case does not count.
_LAYOUTS = (
    _Layout("ra", "dec", "ra_error", "dec_error", "mas"),  # Gaia archive, gaia_source
    _Layout("ra", "dec", "raErr", "decErr", "arcsec"),  # SDSS, PhotoObjAll
    _Layout("ra", "dec", "err_maj", "err_maj", "arcsec"),  # 2MASS at IRSA, fp_psc: the ellipse's longer axis
    _Layout("ra", "decl", "err_maj", "err_maj", "arcsec"),  # 2MASS, as distributed
    _Layout("raMean", "decMean", "raMeanErr", "decMeanErr", "arcsec"),  # Pan-STARRS, MeanObject and ObjectThin
    _Layout("raStack", "decStack", "raStackErr", "decStackErr", "arcsec"),  # Pan-STARRS, ObjectThin
    _Layout("RAmdeg", "DEmdeg", "e_RAmdeg", "e_DEmdeg", "mas", 2000.0),  # Tycho-2, VizieR I/259: Hog et al. 2000
    _Layout("RA_ICRS", "DE_ICRS", "e_RA_ICRS", "e_DE_ICRS", "mas"),  # Gaia at VizieR, I/345, I/350, I/355
    _Layout("RAICRS", "DEICRS", "e_RAICRS", "e_DEICRS", "mas", 1991.25),  # Hipparcos, VizieR I/239
    _Layout("RAJ2000", "DEJ2000", "errMaj", "errMaj", "arcsec", 2000.0),  # 2MASS, VizieR II/246
    _Layout("RAJ2000", "DEJ2000", "e_RAJ2000", "e_DEJ2000", "", 2000.0),  # VizieR; the unit differs among catalogs
    _Layout("_RAJ2000", "_DEJ2000", epoch=2000.0),  # computed by VizieR
    _Layout("_RA.icrs", "_DE.icrs"), _Layout("_RA", "_DE"),
    _Layout("ALPHAWIN_J2000", "DELTAWIN_J2000"), _Layout("ALPHA_J2000", "DELTA_J2000"),  # SExtractor
    _Layout("ALPHAWIN_SKY", "DELTAWIN_SKY"), _Layout("ALPHA_SKY", "DELTA_SKY"), _Layout("X_WORLD", "Y_WORLD"),
    _Layout("RAdeg", "DEdeg"), _Layout("RAdeg", "DECdeg"), _Layout("ra_deg", "dec_deg"), _Layout("RA", "DE"),
    _Layout("RA2000", "DEC2000"), _Layout("ra_j2000", "dec_j2000"), _Layout("alpha", "delta"),
    _Layout("right_ascension", "declination"),
)
# Motions towards east (times cos dec, in all of these) and north, and their errors; mas/yr where the table has no unit.
_MOTIONS = (("pmra", "pmdec", "pmra_error", "pmdec_error"),  # Gaia archive
            ("pmRA", "pmDE", "e_pmRA", "e_pmDE"),  # VizieR
            ("pmRA", "pmDEC", "pmRAErr", "pmDECErr"))
_EPOCHS = ("ref_epoch", "epochMean", "epoch", "jdate", "mjd")
_IDENTS = ("source_id", "Source", "objID", "ID")
# Gaia, Tycho-2, 2MASS, Pan-STARRS, SDSS, SExtractor, and what others write.
_MAGNITUDES = ("phot_g_mean_mag", "Gmag", "VTmag", "MAG_VT", "j_m", "Jmag", "rMeanPSFMag", "iMeanPSFMag", "rmag",
               "psfMag_r", "modelMag_r", "MAG_AUTO", "mag", "Vmag")

log = logging.getLogger(__name__)

_COLUMNS = {"sky": (2,), "sky_error": (2,), "pm": (2,), "pm_error": (2,), "xy": (2,), "epoch": (), "flux": ()}


@dataclasses.dataclass(frozen=True, eq=False)
class ReferenceCatalog:
    """Stars at the epoch of their catalog; columns of one length, read-only, NaN for what is not known.

    Parameters
    ----------
    sky : (N, 2) array_like
        Right ascension and declination at `epoch`, degrees.
    sky_error : (N, 2) array_like, optional
        One-sigma errors of `sky` towards east and north, arcsec.
    pm, pm_error : (N, 2) array_like, optional
        Proper motions towards east (that is, times cos dec) and north, and their errors, mas/yr.
    epoch : (N,) array_like or float, optional
        Julian years.
    flux : (N,) array_like, optional
        Counts, or ``10**(-0.4 mag)``.
    ident : (N,) array_like of int, optional
        Number of the star in its catalog, or of its row.
    flags : (N,) array_like of int, optional
        `NO_MOTION`, `POOR_ASTROMETRY`.
    origin : (N,) array_like of str or str, optional
        Name of the catalog.
    xy : (N, 2) array_like, optional
        Pixels of the plane, of a catalog that has no sky positions; such stars do not move.
    columns : dict of str to str, optional
        Where each quantity was found.

    Raises
    ------
    ValueError
        Columns of different lengths or shapes.
    """

    sky: np.ndarray
    sky_error: np.ndarray = np.nan
    pm: np.ndarray = np.nan
    pm_error: np.ndarray = np.nan
    epoch: np.ndarray = np.nan
    flux: np.ndarray = np.nan
    ident: np.ndarray = None
    flags: np.ndarray = 0
    origin: np.ndarray = ""
    xy: np.ndarray = np.nan
    columns: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        """Give every column its type and length, and make it read-only."""
        count = len(np.reshape(self.sky, (-1, 2)))
        if self.ident is None:
            object.__setattr__(self, "ident", np.arange(1, count + 1))
        shapes = {**_COLUMNS, "ident": (), "flags": (), "origin": ()}
        for name, trailing in shapes.items():
            dtype = {"ident": np.int64, "flags": np.int64, "origin": np.str_}.get(name, np.float64)
            value = np.array(getattr(self, name), dtype=dtype)
            if value.ndim == 0:
                value = np.full((count, *trailing), value)
            if value.shape != (count, *trailing):
                raise ValueError(f"column {name!r} has shape {value.shape}, expected {(count, *trailing)}")
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "columns", types.MappingProxyType(dict(self.columns)))

    def __len__(self):
        """Return the number of stars."""
        return len(self.sky)

    def __getitem__(self, rows):
        """Return the stars picked by a mask, a slice or an index array."""
        names = (*_COLUMNS, "ident", "flags", "origin")
        return ReferenceCatalog(**{name: getattr(self, name)[rows] for name in names}, columns=self.columns)

    def brightest(self, n):
        """Return the `n` stars of largest flux (all, for None), in their present order; without flux is faintest."""
        if n is None or n >= len(self):
            return self
        order = np.argsort(-np.nan_to_num(self.flux, nan=-np.inf), kind="stable")
        return self[np.sort(order[:max(n, 0)])]

    @property
    def has_motions(self):
        """Whether the date matters: some stars have a motion and an epoch."""
        return bool((np.isfinite(self.pm).all(axis=1) & np.isfinite(self.epoch)).any())

    def at(self, epoch):
        """Return the stars where they are at an epoch.

        Each moves uniformly along a straight line in space, at right angles to the line of sight (ESA 1997, The
        Hipparcos and Tycho Catalogues, vol. 1, section 1.5.5, without parallax and radial velocity). A star that
        is flagged to have no motion stays, and its error grows with the years by the motion that a star commonly has.
        A star without an epoch stays as it is.

        Parameters
        ----------
        epoch : float or None
            Julian year, see `julian_year`; None, or NaN, leaves all at the epoch of the catalog.

        Returns
        -------
        SourceCatalog
            Of the same length; `xy` is NaN unless the catalog has no sky positions.
        """
        years = np.nan_to_num((np.nan if epoch is None else float(epoch)) - self.epoch, posinf=0.0, neginf=0.0)
        known = np.isfinite(self.pm).all(axis=1)
        sky = _moved(self.sky, np.where(known[:, None], self.pm, 0) / _MAS * years[:, None])
        unknown = np.where(self.flags & NO_MOTION, _TYPICAL_MOTION, 0.0)[:, None]
        growth = np.where(known[:, None], np.nan_to_num(self.pm_error), unknown)
        growth = np.abs(growth / _MAS * years[:, None])
        error = np.where(growth > 0, np.hypot(np.nan_to_num(self.sky_error), growth), self.sky_error)
        return SourceCatalog(xy=self.xy, sky=sky, sky_error=error, flux=self.flux, ident=self.ident, flags=self.flags,
                             origin=self.origin)

    @classmethod
    def from_table(cls, table, *, refxcol="1", refycol="2", refxyunits="degrees", rfluxcol="", rfluxunits="mag",
                   epoch=None):
        """Find positions, motions and the rest in a table, and log where.

        Where `refxcol` and `refycol` are left at 1 and 2, the names of the columns are searched for those that Gaia,
        SDSS, 2MASS, Pan-STARRS, Tycho-2, Hipparcos, SExtractor and VizieR use; where none is known, or others are
        given, those columns are taken; six columns without names that begin a table and can only be hours to seconds of
        declination are. Errors belong to positions of the same kind. Where `rfluxcol` is empty and
        `rfluxunits` is mag, a magnitude is looked for among the names too. Rows without a position are left out.

        Parameters
        ----------
        table : tables.Table
            Of the catalog.
        refxcol, refycol, rfluxcol : str or int
            Columns, by number from 1 or by name.
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
        place, layout = _positions(table, refxcol, refycol, refxyunits)
        found = {"positions": place}
        table = table.ahead([*place, *_likely(table, layout)])
        if refxyunits == "pixels":
            xy = np.column_stack([table.numbers(index) for index in place])
            columns = {"sky": np.full_like(xy, np.nan), "xy": xy}
        else:
            columns = {"sky": _sky(table, place)}
            columns.update(_errors(table, layout, found), **_motions(table, found))
            columns["epoch"] = _epoch(table, layout, epoch, found)
            columns.update(_quality(table, columns, found))
        columns["flux"] = _flux(table, rfluxcol, rfluxunits, found)
        columns["ident"] = _idents(table, found)
        titles = {quantity: ", ".join(map(table.title, indices)) for quantity, indices in found.items() if len(table)}
        catalog = cls(**columns, origin=table.where, columns=titles)
        catalog._log(table.where)
        return catalog[np.isfinite(columns.get("xy", columns["sky"])).all(axis=1)]

    def _log(self, where):
        choice = "; ".join(f"{quantity} from {titles}" for quantity, titles in self.columns.items())
        log.info("%s: %d rows; %s", where, len(self), choice or "nothing in them")
        lost = (np.isnan(self.sky) & np.isnan(self.xy)).any(axis=1).sum()
        if lost:
            log.warning("%s: %d of %d rows have no position and are left out", where, lost, len(self))
        still = ((self.flags & NO_MOTION) != 0).sum()
        if still:
            log.info("%s: %d of %d stars have no motion and weigh less", where, still, len(self))
        if np.isfinite(self.pm).any() and not self.has_motions:
            log.warning("%s has motions but no epoch: positions are used as they are", where)


def julian_year(mjd):
    """Return the Julian year of a modified Julian date, such as EXPSTART."""
    return 2000.0 + (mjd - 51544.5) / 365.25


def _moved(sky, motion):
    """Return sky positions (N, 2), degrees, after `motion` (N, 2) towards east and north, arcsec."""
    moving = (motion != 0).any(axis=1)
    ra, dec = np.deg2rad(sky[moving]).T
    east = np.column_stack([-np.sin(ra), np.cos(ra), np.zeros(len(ra))])
    north = np.column_stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    radial = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    step = motion[moving] * _RADIANS
    x, y, z = (radial + step[:, :1] * east + step[:, 1:] * north).T
    result = np.array(sky)
    result[moving] = np.rad2deg(np.column_stack([np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))]))
    return result


def _positions(table, refxcol, refycol, refxyunits):
    """Return the indices of the columns of positions, and the layout that they are part of."""
    left = (str(refxcol).strip(), str(refycol).strip()) == ("1", "2")
    place = table.pair([layout[:2] for layout in _LAYOUTS]) if left and refxyunits != "pixels" else None
    if left and refxyunits != "pixels" and _is_in_six_columns(table):
        return tuple(range(6)), _Layout("", "")
    place = place or (table.index(refxcol, "refxcol"), table.index(refycol, "refycol"))
    if not table.names:
        return place, _Layout("", "")
    layouts = [layout for layout in _LAYOUTS if (table.find(layout.ra), table.find(layout.dec)) == tuple(place)]
    with_errors = [layout for layout in layouts if table.pair([(layout.ra_error, layout.dec_error)])]
    return place, (with_errors or layouts or [_Layout("", "")])[0]


def _likely(table, layout):
    """Return the indices of columns that will be asked for."""
    names = [layout.ra_error, layout.dec_error, "ruwe", *_EPOCHS, *(name for names in _MOTIONS for name in names)]
    brightness = [index for index in map(table.find, _MAGNITUDES) if index is not None][:1]
    return [index for index in map(table.find, names) if index is not None] + brightness


def _is_in_six_columns(table):
    """Whether a table begins with hours, minutes, seconds, degrees, minutes, seconds, and does not name them."""
    if not len(table) or len(table.names) < 6 or any(table.names):
        return False
    if not all(table.integers(index) is not None for index in (0, 1, 3, 4)):
        return False
    limits = (24, 60, 60.001, 90.001, 60, 60.001)
    return all((np.abs(table.numbers(index)) < limit).all() for index, limit in enumerate(limits))


def _sky(table, place):
    """Return right ascension and declination (N, 2), degrees, of columns of either, or of three columns for each."""
    if len(place) == 2:
        return np.column_stack([table.angles(place[0], hours=True), table.angles(place[1], hours=False)])
    return np.column_stack([table.sexagesimal(place[:3], hours=True), table.sexagesimal(place[3:], hours=False)])


def _errors(table, layout, found):
    """Return the errors of the positions, arcsec, where they are known."""
    place = table.pair([(layout.ra_error, layout.dec_error)]) if layout.ra_error else None
    if place is None:
        return {}
    if not layout.unit and not all(table.units[index] for index in place):
        log.warning("%s: %s has no unit and is not used", table.where, table.title(place[0]))
        return {}
    found["errors"] = place
    return {"sky_error": _complete([table.quantity(index, "arcsec", layout.unit) for index in place])}


def _complete(columns):
    """Stack columns of errors; what is missing, or no error, counts as the largest one there is."""
    errors = np.column_stack(columns)
    with np.errstate(invalid="ignore"):
        errors[~(errors > 0)] = np.nan
    return np.nan_to_num(errors, nan=np.nanmax(errors)) if np.isfinite(errors).any() else errors


def _motions(table, found):
    """Return motions and their errors, mas/yr, where they are known."""
    names = next((names for names in _MOTIONS if table.pair([names[:2]])), None)
    if names is None:
        return {}
    found["motions"] = table.pair([names[:2]])
    pm = np.column_stack([table.quantity(index, "mas/yr", "mas/yr") for index in found["motions"]])
    pm[np.isnan(pm).any(axis=1)] = np.nan
    place = table.pair([names[2:]])
    if place is None:
        return {"pm": pm}
    found["errors of motions"] = place
    return {"pm": pm, "pm_error": _complete([table.quantity(index, "mas/yr", "mas/yr") for index in place])}


def _epoch(table, layout, epoch, found):
    """Return epochs as Julian years, a number or a column; NaN where not known."""
    if epoch is not None:
        return epoch
    if "motions" in found and np.isfinite(layout.epoch):
        return layout.epoch
    index = next((index for index in map(table.find, _EPOCHS) if index is not None), None)
    if index is None:
        return np.nan
    found["epoch"] = (index,)
    values = table.numbers(index)
    # Years, modified Julian dates and Julian dates are told apart by their size.
    kinds = [(low < values) & (values < high) for low, high in ((1800, 2200), (15000, 100000), (2.4e6, 2.5e6))]
    return np.select(kinds, [values, julian_year(values), julian_year(values - 2400000.5)], np.nan)


def _quality(table, columns, found):
    """Return flags, and the errors that are larger for what is flagged as poor."""
    flags = np.zeros(len(table), int)
    pm = columns.get("pm")
    if pm is not None and np.isfinite(pm).any():
        flags[np.isnan(pm).any(axis=1)] |= NO_MOTION
    index = table.find("ruwe")
    if index is None:
        return {"flags": flags}
    found["quality"] = (index,)
    ruwe = np.nan_to_num(table.numbers(index))
    poor = ruwe > _LARGEST_RUWE
    flags[poor] |= POOR_ASTROMETRY
    factor = np.where(poor, ruwe, 1.0)[:, None]
    errors = {name: columns[name] * factor for name in ("sky_error", "pm_error") if name in columns}
    return {"flags": flags, **errors}


def _flux(table, rfluxcol, rfluxunits, found):
    """Return the fluxes, of the column named or, for magnitudes, of one that is known."""
    if rfluxcol not in ("", None):
        index = table.index(rfluxcol, "rfluxcol")
    elif rfluxunits == "mag":
        index = next((index for index in map(table.find, _MAGNITUDES) if index is not None), None)
    else:
        index = None
    if index is None:
        return np.nan
    found["fluxes"] = (index,)
    return table.fluxes(index, rfluxunits)


def _idents(table, found):
    """Return the numbers of the stars where the catalog has whole ones, else None."""
    for index in filter(lambda index: index is not None, map(table.find, _IDENTS)):
        idents = table.integers(index)
        if idents is not None:
            found["numbers"] = (index,)
            return idents
    return None


def sky_table_text(catalog, name):
    """Text of a reference as a table (ECSV) that may serve as `refcat`.

    Columns RA and DEC (degrees), FLUX, ID and ORIGIN, as in drizzlepac's list of reference sources, then RA_ERROR and
    DEC_ERROR (towards east and north, arcsec) and FLAGS.

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
    if np.isnan(catalog.sky).any():
        raise InputError(f"{name}: a source has no position on the sky, and can't be part of a table of the sky")
    kinds = [("RA", "deg", "float64"), ("DEC", "deg", "float64"), ("FLUX", "", "float64"), ("ID", "", "int64"),
             ("ORIGIN", "", "string"), ("RA_ERROR", "arcsec", "float64"), ("DEC_ERROR", "arcsec", "float64"),
             ("FLAGS", "", "int64")]
    declared = [f"# - {{name: {title}, {f'unit: {unit}, ' if unit else ''}datatype: {kind}}}"
                for title, unit, kind in kinds]
    quoted = str(name).replace("'", "''").replace("\n", " ")
    origins = ['"' + str(origin).replace('"', '""').replace("\n", " ") + '"' for origin in catalog.origin]
    columns = [*catalog.sky.T, catalog.flux, catalog.ident, origins, *catalog.sky_error.T, catalog.flags]
    rows = ["%.12f %.12f %.9g %d %s %.6g %.6g %d" % row for row in zip(*columns, strict=True)]
    return "\n".join(["# %ECSV 1.0", "# ---", "# datatype:", *declared, f"# meta: {{REFERENCE: '{quoted}'}}",
                      "# schema: astropy-2.0", " ".join(title for title, _, _ in kinds), *rows, ""])
