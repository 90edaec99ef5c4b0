"""The surveys that can be named as a reference catalog, and what to ask their services for.

The columns of every service get the names under which `surveys` finds them: those of the Gaia
archive, SDSS and 2MASS, with their units.
"""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
from numpy.typing import ArrayLike

from imagereg.wcs import directions, unit_vectors

#: Most stars that are asked for, the brightest; a field of some arcmin has fewer even in the bulge.
MOST_STARS = 100_000
#: Units of the columns, by their names.
UNITS = {"ra": "deg", "dec": "deg", "ra_error": "mas", "dec_error": "mas",
         "raErr": "arcsec", "decErr": "arcsec", "err_maj": "arcsec", "err_min": "arcsec",
         "pmra": "mas/yr", "pmdec": "mas/yr", "pmra_error": "mas/yr", "pmdec_error": "mas/yr",
         "ref_epoch": "yr"}

# A field is asked for a little larger than it is, so that runs that differ by little (searchrad, an
# image more) find it in the cache.
_CENTRE_DECIMALS = 2
_RADIUS_STEP = 0.02  # degrees; more than rounding the centre moves it, 0.007


@dataclasses.dataclass(frozen=True)
class Service:
    """A table of a TAP service that holds a survey.

    Parameters
    ----------
    url : str
        Base address of the service.
    table : str
        What follows FROM in ADQL.
    columns : str
        What follows SELECT: columns, each perhaps renamed by AS.
    position : (str, str)
        Columns of right ascension and declination in the service's table.
    magnitude : str
        Column, as renamed, by which the brightest stars are chosen.
    condition : str
        Which rows are sources of their own; empty for all.
    """

    url: str
    table: str
    columns: str
    position: tuple[str, str]
    magnitude: str
    condition: str = ""

    @property
    def names(self) -> list[str]:
        """Names of the columns of the answer, in order."""
        return [column.split(" AS ")[-1].strip() for column in self.columns.split(",")]


_GAIA_ARCHIVE = "https://gea.esac.esa.int/tap-server/tap"
_VIZIER = "https://tapvizier.cds.unistra.fr/TAPVizieR/tap"
_GAIA = ("source_id, ra, ra_error, dec, dec_error, pmra, pmra_error, pmdec, pmdec_error, "
         "ref_epoch, ruwe, phot_g_mean_mag, phot_bp_mean_mag, phot_rp_mean_mag")
_GAIA_AT_VIZIER = ("Source AS source_id, RA_ICRS AS ra, e_RA_ICRS AS ra_error, DE_ICRS AS dec, "
                   "e_DE_ICRS AS dec_error, pmRA AS pmra, e_pmRA AS pmra_error, pmDE AS pmdec, "
                   "e_pmDE AS pmdec_error, {epoch} AS ref_epoch, Gmag AS phot_g_mean_mag, "
                   "BPmag AS phot_bp_mean_mag, RPmag AS phot_rp_mean_mag")

#: Services by the name of the survey, the first that answers is taken. Columns are those of
#: https://gea.esac.esa.int/archive/documentation, of the ReadMe files of VizieR, of
#: https://irsa.ipac.caltech.edu/data/2MASS/docs and of https://www.legacysurvey.org/dr10/catalogs.
SURVEYS = {
    "GAIADR3": (
        Service(_GAIA_ARCHIVE, "gaiadr3.gaia_source", _GAIA, ("ra", "dec"), "phot_g_mean_mag"),
        Service(_VIZIER, '"I/355/gaiadr3"', _GAIA_AT_VIZIER.format(epoch="2016.0")
                + ", RUWE AS ruwe", ("RA_ICRS", "DE_ICRS"), "phot_g_mean_mag"),
    ),
    "GAIADR2": (
        Service(_GAIA_ARCHIVE, "gaiadr2.gaia_source LEFT JOIN gaiadr2.ruwe USING (source_id)",
                _GAIA, ("ra", "dec"), "phot_g_mean_mag"),
        Service(_VIZIER, '"I/345/gaia2"', _GAIA_AT_VIZIER.format(epoch="2015.5"),
                ("RA_ICRS", "DE_ICRS"), "phot_g_mean_mag"),
    ),
    # Objects of one detection are mostly artifacts.
    "PS1": (
        Service(_VIZIER, '"II/349/ps1"',
                "objID AS objID, RAJ2000 AS raMean, DEJ2000 AS decMean, e_RAJ2000 AS raMeanErr, "
                "e_DEJ2000 AS decMeanErr, Epoch AS epochMean, gmag AS gmag, rmag AS rmag, "
                "imag AS imag, zmag AS zmag, ymag AS ymag",
                ("RAJ2000", "DEJ2000"), "rmag", "Nd > 1"),
    ),
    "2MASS": (
        Service("https://irsa.ipac.caltech.edu/TAP", "fp_psc",
                "ra, dec, err_maj, err_min, jdate, j_m, h_m, k_m", ("ra", "dec"), "j_m"),
        Service(_VIZIER, '"II/246/out"',
                "RAJ2000 AS ra, DEJ2000 AS dec, errMaj AS err_maj, errMin AS err_min, "
                "JD AS jdate, Jmag AS j_m, Hmag AS h_m, Kmag AS k_m",
                ("RAJ2000", "DEJ2000"), "j_m"),
    ),
    # Bricks overlap; a source of type DUP is part of another one.
    "LSDR10": (
        Service("https://datalab.noirlab.edu/tap", "ls_dr10.tractor",
                "ls_id AS ID, ra, dec, 3600 / SQRT(ra_ivar) AS raErr, "
                "3600 / SQRT(dec_ivar) AS decErr, mag_g AS gmag, mag_r AS rmag, mag_z AS zmag",
                ("ra", "dec"), "rmag",
                "brick_primary = 1 AND type <> 'DUP' AND ra_ivar > 0 AND dec_ivar > 0"),
    ),
}


def survey_named(refcat: str) -> str | None:
    """Return the survey that `refcat` names, whatever its case and marks, or None for a file."""
    name = re.sub(r"[\s_-]", "", refcat).upper()
    return name if name in SURVEYS else None


@dataclasses.dataclass(frozen=True)
class Cone:
    """A circle on the sky: centre and radius, degrees."""

    ra: float
    dec: float
    radius: float

    @classmethod
    def around(cls, sky: ArrayLike, margin: float) -> Cone:
        """Return a circle that holds sky positions (N, 2), and a margin around them, degrees."""
        vectors = unit_vectors(sky)
        middle = (vectors.min(axis=0) + vectors.max(axis=0)) / 2
        ra, dec = directions(middle).tolist()
        return cls(ra, dec, _separation(middle, vectors).max() + margin)

    def contains(self, other: Cone) -> bool:
        """Whether another circle lies inside this one."""
        centres = unit_vectors([(self.ra, self.dec), (other.ra, other.dec)])
        return bool(_separation(*centres) + other.radius <= self.radius)

    def widened(self) -> Cone:
        """Return a circle of round numbers that contains this one."""
        steps = math.ceil(self.radius / _RADIUS_STEP)
        return Cone(round(self.ra, _CENTRE_DECIMALS), round(self.dec, _CENTRE_DECIMALS),
                    round((steps + 1) * _RADIUS_STEP, _CENTRE_DECIMALS))


def _separation(first: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the angles, degrees, between a vector (3,) of any length and unit vectors (..., 3)."""
    first = first / np.linalg.norm(first)
    return np.rad2deg(2 * np.arcsin(np.linalg.norm(others - first, axis=-1) / 2))


def cone_query(service: Service, cone: Cone) -> str:
    """Return the ADQL that asks a service for the brightest stars of a circle."""
    ra, dec = service.position
    place = (f"1 = CONTAINS(POINT('ICRS', {ra}, {dec}), "
             f"CIRCLE('ICRS', {cone.ra}, {cone.dec}, {cone.radius}))")
    condition = f" AND {service.condition}" if service.condition else ""
    return (f"SELECT TOP {MOST_STARS} {service.columns} FROM {service.table} "
            f"WHERE {place}{condition} ORDER BY {service.magnitude}")
