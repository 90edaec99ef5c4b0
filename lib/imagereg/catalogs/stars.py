"""Stars of a reference catalog: their positions at one epoch, and how they move."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping

import numpy as np

from imagereg.catalogs.sources import Column, ColumnTable, SourceCatalog

#: Bit of `flags` beyond those of `Flag`: a star without a motion in a catalog of motions.
NO_MOTION = 1 << 8
#: Bit of `flags` beyond those of `Flag`: the model of a single star does not fit.
POOR_ASTROMETRY = 1 << 9

_MAS_PER_ARCSEC = 1000.0
_RADIANS_PER_ARCSEC = np.deg2rad(1 / 3600)
# One-sigma motion along one axis, mas/yr, of a star whose own is not known. At 1 kpc, 1 mas/yr is
# 4.74 km/s, so this is 47 km/s there, the upper end of the random velocities of old stars of the
# disc; nearer stars, which move faster, are bright enough to have a motion in any catalog that has
# motions at all.
_TYPICAL_MOTION = 10.0


@dataclasses.dataclass(frozen=True, eq=False)
class ReferenceCatalog(ColumnTable):
    """Stars at the epoch of their catalog; NaN for what is not known.

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
        Names of the columns that each quantity was read from.

    Raises
    ------
    ValueError
        Columns of different lengths or shapes.
    """

    sky: Column
    sky_error: Column = None
    pm: Column = None
    pm_error: Column = None
    epoch: Column = None
    flux: Column = None
    ident: Column = None
    flags: Column = None
    origin: Column = None
    xy: Column = None
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)

    layout = {
        "sky": ((2,), np.float64, None),
        "sky_error": ((2,), np.float64, np.nan),
        "pm": ((2,), np.float64, np.nan),
        "pm_error": ((2,), np.float64, np.nan),
        "epoch": ((), np.float64, np.nan),
        "flux": ((), np.float64, np.nan),
        "ident": ((), np.int64, None),
        "flags": ((), np.int64, 0),
        "origin": ((), np.str_, ""),
        "xy": ((2,), np.float64, np.nan),
    }

    def __post_init__(self) -> None:
        """Check the columns, and make `columns` read-only too."""
        super().__post_init__()
        object.__setattr__(self, "columns", types.MappingProxyType(dict(self.columns)))

    @property
    def has_motions(self) -> bool:
        """Whether any star has both a motion and an epoch, so that its position depends on date."""
        return bool((np.isfinite(self.pm).all(axis=1) & np.isfinite(self.epoch)).any())

    def at(self, epoch: float | None) -> SourceCatalog:
        """Return the stars at their positions at an epoch.

        Each moves uniformly along a straight line in space, at right angles to the line of sight
        (ESA 1997, The Hipparcos and Tycho Catalogues, vol. 1, section 1.5.5, without parallax and
        radial velocity). A `NO_MOTION` star stays, and its error grows with the years by the
        motion that a star commonly has. A star without an epoch stays as it is.

        Parameters
        ----------
        epoch : float or None
            Julian year, see `julian_year`; None or NaN leaves all at the epoch of the catalog.

        Returns
        -------
        SourceCatalog
            Of the same length; `xy` is NaN unless the catalog has no sky positions.
        """
        target = np.nan if epoch is None else float(epoch)
        years = np.nan_to_num(target - self.epoch, posinf=0.0, neginf=0.0)
        known = np.isfinite(self.pm).all(axis=1)
        pm = np.where(known[:, None], self.pm, 0)
        sky = _displaced(self.sky, pm / _MAS_PER_ARCSEC * years[:, None])
        unknown = np.where(self.flags & NO_MOTION, _TYPICAL_MOTION, 0.0)[:, None]
        growth = np.where(known[:, None], np.nan_to_num(self.pm_error), unknown)
        growth = np.abs(growth / _MAS_PER_ARCSEC * years[:, None])
        grown = np.hypot(np.nan_to_num(self.sky_error), growth)
        return SourceCatalog(xy=self.xy, sky=sky, flux=self.flux, ident=self.ident,
                             sky_error=np.where(growth > 0, grown, self.sky_error),
                             flags=self.flags, origin=self.origin)


def julian_year(mjd: typing.Any) -> typing.Any:
    """Return the Julian year of a modified Julian date, such as EXPSTART."""
    return 2000.0 + (mjd - 51544.5) / 365.25


def _displaced(sky: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Return sky positions (N, 2), degrees, moved by (N, 2) arcsec towards east and north."""
    moving = (motion != 0).any(axis=1)  # the others keep their coordinates to the last digit
    ra, dec = np.deg2rad(sky[moving]).T
    sin_ra, cos_ra, sin_dec, cos_dec = np.sin(ra), np.cos(ra), np.sin(dec), np.cos(dec)
    east = np.column_stack([-sin_ra, cos_ra, np.zeros(len(ra))])
    north = np.column_stack([-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec])
    radial = np.column_stack([cos_dec * cos_ra, cos_dec * sin_ra, sin_dec])
    step = motion[moving] * _RADIANS_PER_ARCSEC
    x, y, z = (radial + step[:, :1] * east + step[:, 1:] * north).T
    new_ra = np.arctan2(y, x) % (2 * np.pi)
    new_dec = np.arctan2(z, np.hypot(x, y))
    result = np.array(sky)
    result[moving] = np.rad2deg(np.column_stack([new_ra, new_dec]))
    return result
