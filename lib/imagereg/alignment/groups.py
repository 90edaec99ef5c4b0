"""Exposures that fail with the reference, but agree with each other: what they show together."""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.alignment.fitting.fit import GEOMETRIES
from imagereg.alignment.matching.match import PointSet, pair_at
from imagereg.alignment.significance import is_needless
from imagereg.alignment.verdict import Alignment, Rules
from imagereg.catalogs import Reference
from imagereg.errors import NotEnoughMatches
from imagereg.wcs import Status


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Exposures that agree with each other.

    Parameters
    ----------
    members : list of int
        Their indices in the queue.
    alignments : list of Alignment
        Of each with the first of them.
    stars : Reference
        What they show together.
    """

    members: list[int]
    alignments: list[Alignment]
    stars: Reference


def within_group(alignment: Alignment, found: Alignment, rules: Rules) -> Alignment:
    """Return the alignment of an exposure whose group is aligned.

    `alignment` is that with the group, `found` that of the group with the reference, of which those
    sources that it uses are matched.
    """
    exposure = alignment.exposure
    fit = found.fit
    if alignment.changes:
        fit = fit.after(alignment.fit)
        richer = max(found.fit, alignment.fit, key=lambda one: GEOMETRIES.index(one.geometry))
        fit = dataclasses.replace(fit, geometry=richer.geometry,
                                  covariance=fit.covariance + alignment.fit.covariance)
    rows, ref_rows = _partners(exposure, found, fit, rules.tolerance)
    image_xy = found.plane.sky_to_plane(exposure.sources.sky[rows])
    ref_xy = found.plane.sky_to_plane(found.reference.sky[ref_rows])
    fit = dataclasses.replace(fit, residuals=ref_xy - fit(image_xy), used=np.ones(len(rows), bool))
    status = Status.ALIGNED
    if rules.onlybetter and not alignment.changes and is_needless(found.fit.p_value_unchanged):
        status = Status.UNCHANGED
    how = f"aligned by what {found.name} show together, which none of them does alone"
    reason = "; ".join(filter(None, [how, found.reason]))
    return dataclasses.replace(
        found, exposure=exposure, status=status, reason=reason, fit=fit,
        rows=rows, ref_rows=ref_rows, image_xy=image_xy, ref_xy=ref_xy)


def _partners(exposure, found, fit, tolerance):
    """Pair the sources of an exposure with those of the reference that its group uses."""
    used = np.unique(found.ref_rows[found.fit.used])
    image = PointSet.of(fit(found.plane.sky_to_plane(exposure.sources.sky)))
    reference = PointSet.of(found.plane.sky_to_plane(found.reference.sky[used]))
    try:
        pairs = pair_at(image, reference, (0, 0), tolerance=tolerance, separation=0)
    except NotEnoughMatches:
        return np.empty(0, int), np.empty(0, int)
    return pairs.image_index, used[pairs.ref_index]
