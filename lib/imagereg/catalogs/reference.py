"""The reference that exposures are aligned with, and how aligned exposures extend it."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from imagereg.catalogs.sources import Flag, SourceCatalog
from imagereg.catalogs.stars import ReferenceCatalog


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Sources on the sky that exposures are matched with.

    Parameters
    ----------
    name : str
        Of the image or catalog that they come from.
    sources : SourceCatalog
        Those without proper motion, with `sky` and `sky_error`.
    moving : ReferenceCatalog or None
        Stars of a catalog, whose positions depend on the date.
    image : str
        Name of the exposure that serves as reference, where it is one of those to align.
    visit : str
        Visit whose pointing the reference has, where exposures of a visit share a correction.
    n_detections : (N,) ndarray of int, optional
        Number of exposures in which each of `sources` was matched, the one it comes from not
        counted; 0 where not given.
    """

    name: str
    sources: SourceCatalog
    moving: ReferenceCatalog | None = None
    image: str = ""
    visit: str = ""
    n_detections: typing.Any = 0

    def __post_init__(self) -> None:
        """Give every source its number of detections."""
        counts = np.broadcast_to(self.n_detections, len(self.sources))
        object.__setattr__(self, "n_detections", counts)

    def at(self, epoch: float | None) -> SourceCatalog:
        """Return all sources as they are at an epoch, a Julian year; moving stars come first."""
        if self.moving is None:
            return self.sources
        return SourceCatalog.concat([self.moving.at(epoch), self.sources])

    def with_detections(self, ref_rows: np.ndarray) -> Reference:
        """Return the reference with one more detection of some sources, rows of ``self.at()``."""
        counts = self.n_detections.copy()
        fixed = ref_rows - self._n_moving
        counts[fixed[fixed >= 0]] += 1
        return dataclasses.replace(self, n_detections=counts)

    def confirmed(self, ref_rows: np.ndarray) -> np.ndarray:
        """Return which rows of ``self.at()`` are in a catalog or in more than one exposure."""
        fixed = np.asarray(ref_rows) - self._n_moving
        in_sources = fixed >= 0
        result = ~in_sources
        result[in_sources] = self.n_detections[fixed[in_sources]] > 0
        return result

    @property
    def _n_moving(self) -> int:
        """Number of stars with motions, which come first in `at`."""
        return 0 if self.moving is None else len(self.moving)

    def extended_with(self, found: SourceCatalog, *, rows: np.ndarray, ref_rows: np.ndarray,
                      used: np.ndarray) -> Reference:
        """Return the reference together with the sources of an aligned exposure.

        Matched sources without proper motion become the mean of both positions, weighted by their
        errors. Unmatched sources of the exposure are added if they are reliable. Matches that the
        fit rejected change nothing.

        Parameters
        ----------
        found : SourceCatalog
            The sources where the alignment has them on the sky.
        rows, ref_rows : (M,) ndarray of int
            The matches, as rows of `found` and of ``self.at()``.
        used : (M,) ndarray of bool
            Those that the fit did not reject.
        """
        fixed = ref_rows - self._n_moving
        used = used & (fixed >= 0)
        partners = found[rows[used]]
        merged = _merged(self.sources, fixed[used], partners.sky, partners.sky_error)
        reliable = np.flatnonzero((found.flags & Flag.UNRELIABLE) == 0)
        added = found[np.setdiff1d(reliable, rows)]
        counts = np.concatenate([self.n_detections, np.zeros(len(added), int)])
        return dataclasses.replace(self, sources=SourceCatalog.concat([merged, added]),
                                   n_detections=counts)


def _merged(sources: SourceCatalog, rows: np.ndarray, sky: np.ndarray,
            error: np.ndarray) -> SourceCatalog:
    """Average the positions in some rows with new ones `sky`, weighted by the errors of both.

    Where neither error is known, the weights are equal, and the error of the mean is NaN.
    """
    old_weight, new_weight = _inverse_variance(sources.sky_error[rows]), _inverse_variance(error)
    total = old_weight + new_weight
    known = total > 0
    share = np.divide(new_weight, total, out=np.full_like(total, 0.5), where=known)
    position, spread = sources.sky.copy(), sources.sky_error.copy()
    step = (sky - position[rows] + 180) % 360 - 180  # the short way round
    position[rows] += share * step
    # 1e-300 only avoids a warning of 1 / 0 where the result is NaN.
    spread[rows] = np.where(known, np.maximum(total, 1e-300) ** -0.5, np.nan)
    return sources.replace(sky=position, sky_error=spread)


def _inverse_variance(error: np.ndarray) -> np.ndarray:
    """Return the weight of a measurement, 0 where its error is not known."""
    return np.nan_to_num(error**-2.0)
