"""What exposures are aligned with, and how it grows."""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.catalogs.sources import Flag, SourceCatalog


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Sources on the sky that exposures are matched with.

    Parameters
    ----------
    name : str
        Of the image or catalog that they come from.
    sources : SourceCatalog
        Those that stand still, with `sky` and `sky_error`.
    moving : reference.ReferenceCatalog or None
        Those that are to be had for a date, by ``at(epoch)``.
    image : str
        Name of the exposure that it is, where it is one of those to align.
    visit : str
        Visit whose pointing it has, where exposures of a visit share a correction.
    seen : (N,) ndarray of int or None
        How many exposures have seen each of `sources` beside the one it is from; None where there are none yet.
    """

    name: str
    sources: SourceCatalog
    moving: object = None
    image: str = ""
    visit: str = ""
    seen: np.ndarray | None = None

    def at(self, epoch):
        """Return all sources as they are at an epoch, a Julian year; those with motions come first."""
        if self.moving is None:
            return self.sources
        return SourceCatalog.concat([self.moving.at(epoch), self.sources])

    def witnessed(self, ref_rows):
        """Return a reference of which one more exposure has seen some sources, rows of ``self.at(...)``."""
        seen = np.zeros(len(self.sources), int) if self.seen is None else self.seen.copy()
        fixed = ref_rows - self._moving
        seen[fixed[fixed >= 0]] += 1
        return dataclasses.replace(self, seen=seen)

    def confirmed(self, ref_rows):
        """Tell which rows of ``self.at(...)`` are stars by more than one witness: catalogs, and several exposures."""
        fixed = np.asarray(ref_rows) - self._moving
        seen = np.zeros(len(self.sources), int) if self.seen is None else self.seen
        return (fixed < 0) | (seen[fixed] > 0) if len(seen) else fixed < 0

    @property
    def _moving(self):
        return 0 if self.moving is None else len(self.moving)

    def grown(self, exposure, fit, plane, *, rows, ref_rows):
        """Return a reference that an aligned exposure has joined.

        Matched sources that stand still become the mean of both, by their errors; sources of the exposure that are
        stars and have no match are added. What `fit` rejected changes nothing.

        Parameters
        ----------
        exposure : align.Exposure
            With its sources as they were before the fit.
        fit : fit.LinearFit
            From the exposure to the reference, on `plane`.
        plane : wcs.TangentPlane
            Where they were matched.
        rows, ref_rows : (M,) ndarray of int
            The pairs of `fit`, as indices into the exposure's sources and into ``self.at(...)``.

        Returns
        -------
        Reference
        """
        found = exposure.sources
        sky = plane.plane_to_sky(fit(plane.sky_to_plane(found.sky)))
        error = np.hypot(found.sky_error, fit.shift_error * plane.pixel_scale)
        fixed = ref_rows - self._moving
        joined = fit.used & (fixed >= 0)
        old, new = fixed[joined], rows[joined]
        own, other = (np.nan_to_num(e**-2.0) for e in (self.sources.sky_error[old], error[new]))  # unknown: no weight
        total = own + other
        weight = np.divide(other, total, out=np.full_like(total, 0.5), where=total > 0)
        position, spread = self.sources.sky.copy(), self.sources.sky_error.copy()
        step = (sky[new] - position[old] + 180) % 360 - 180
        position[old] += weight * step
        spread[old] = np.where(total > 0, np.maximum(total, 1e-300) ** -0.5, np.nan)
        fresh = np.setdiff1d(np.flatnonzero((found.flags & Flag.UNRELIABLE) == 0), rows)
        added = found[fresh].replace(sky=sky[fresh], sky_error=error[fresh])
        merged = self.sources.replace(sky=position, sky_error=spread)
        seen = None if self.seen is None else np.concatenate([self.seen, np.zeros(len(added), int)])
        return dataclasses.replace(self, sources=SourceCatalog.concat([merged, added]), seen=seen)
