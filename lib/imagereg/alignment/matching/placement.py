"""Give an exposure without a WCS its first one, by a pattern of sources that the reference has."""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.alignment.exposure import Exposure
from imagereg.alignment.matching.match import Candidate, PointSet
from imagereg.alignment.matching.pattern import match_patterns
from imagereg.alignment.verdict import Rules
from imagereg.errors import NotEnoughSources
from imagereg.wcs import TangentPlane, orientation, pixel_scale

# The pixels of the image may be larger or smaller than those of the plane by 20, the ratio of the
# pixels of small telescopes (5 arcsec) and large ones (0.25 arcsec).
_SCALE_RANGE = 0.95


def placed(exposure: Exposure, rows: np.ndarray, reference: PointSet, plane: TangentPlane, *,
           rules: Rules) -> tuple[Exposure, Candidate]:
    """Return an exposure with a first WCS, and the match of patterns that gave it.

    Its one chip gets an undistorted gnomonic WCS of the offset, rotation, scale and parity that the
    pattern shows.

    Parameters
    ----------
    exposure : Exposure
        Of one chip without a WCS.
    rows : (N,) ndarray of int
        The sources to match.
    reference : PointSet
        What they are matched with.
    plane : TangentPlane
        On which the reference is.
    rules : Rules
        How to match.

    Raises
    ------
    AlignmentError
        There is no pattern that can be believed, or the exposure has several chips.
    """
    if len(exposure.chips) > 1:
        raise NotEnoughSources("it has no WCS, and a pattern can give one to a single chip only")
    chip, = exposure.chips
    sources = exposure.sources[rows]
    image = PointSet(xy=sources.xy, error=np.hypot(*sources.xy_error.T), flux=sources.flux,
                     pixel=np.column_stack([sources.chip, sources.xy]),
                     exposure_index=np.zeros(len(rows), int), source_index=rows)
    pattern, = match_patterns(image, reference, tolerance=rules.tolerance,
                              separation=rules.separation, scale_range=_SCALE_RANGE,
                              judge=rules.judge)
    chip = dataclasses.replace(chip, wcs=plane.first_wcs(chip.shape, pattern))
    found = Exposure.measured(exposure.name, [chip], exposure.sources, path=exposure.path,
                              metadata=exposure.metadata)
    return found, pattern


def rules_once_placed(rules: Rules) -> Rules:
    """Return the rules for an exposure that a pattern has placed: what is left is small.

    No header said where it is, so that its offset is nowhere to be expected, or not.
    """
    return dataclasses.replace(rules, matching="tolerance", use2dhist=False, xoffset=0.0,
                               yoffset=0.0, searchrad=np.inf, onlybetter=False)


def description(exposure: Exposure, pattern: Candidate) -> str:
    """Say in a sentence what WCS a pattern gave an exposure."""
    wcs = exposure.chips[0].wcs
    return (f"it had no WCS, and gets one by a pattern of {len(pattern)} sources: "
            f"{pixel_scale(wcs):.4g} arcsec a pixel, y axis at {orientation(wcs):.1f} degree, "
            f"chance {pattern.chance_probability:.0e}")
