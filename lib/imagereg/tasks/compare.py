"""Compare the solutions that files hold with a reference, all of them on the same sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imagereg.alignment import Exposure, align
from imagereg.catalogs import Reference
from imagereg.errors import InputError
from imagereg.files import expand_input, mef_inputs
from imagereg.parameters import gather_parameters
from imagereg.tasks.exposures import measure_images, measure_reference
from imagereg.tasks.listing import stored_solutions
from imagereg.tasks.run import rules_of

if TYPE_CHECKING:
    from astropy.table import Table

_MAS_PER_DEGREE = 3.6e6


@dataclasses.dataclass(frozen=True)
class Score:
    """How far one solution is from the reference, as it is, without any fit.

    Parameters
    ----------
    file, place, name : str
        Which one, see `listing.StoredSolution`.
    nmatches : int
        Number of sources.
    rms : float
        Distance of their positions from those of the reference, root mean square about zero, both
        axes together, mas.
    east, north : float
        Mean of the reference's positions less those of the solution, mas.
    best : bool
        Whether no other solution of the file is nearer.
    reason : str
        Why nothing was measured, one sentence.
    """

    file: str
    place: str
    name: str
    nmatches: int = 0
    rms: float = np.nan
    east: float = np.nan
    north: float = np.nan
    best: bool = False
    reason: str = ""


def compare_solutions(given: str | Sequence[str], configobj: Any = None, imagefindcfg: Any = None,
            refimagefindcfg: Any = None, **parameters: Any) -> list[Score]:
    """Measure every solution in files against a reference.

    Sources are found once. Those of a file are matched with the reference by each of its solutions;
    the one that matches most, after a fit that leaves out outliers, says which source is which, and
    all solutions of the file are measured on those same pairs.

    Parameters
    ----------
    given : str or list of str
        The files, as in `tweakreg.TweakReg`.
    configobj, imagefindcfg, refimagefindcfg, **parameters
        As in `tweakreg.TweakReg`. The reference is `refcat` or `refimage`, or the primary WCS of
        the first file.

    Returns
    -------
    list of Score
        File by file, the best first.

    Raises
    ------
    ParameterError
        A parameter is unknown, or its value is not what is expected.
    InputError
        A file can't be read, or the reference can't be used.
    """
    task, finding, ref_finding = gather_parameters(configobj, imagefindcfg, refimagefindcfg,
                                                   parameters)
    images = mef_inputs(expand_input(given or task.input))
    exposures = [measured.exposure for measured in measure_images(task, finding, images)]
    for exposure in exposures:
        if exposure.problem:
            raise InputError(exposure.problem)
    plane, reference = measure_reference(task, ref_finding, exposures, images=images)
    first = exposures[0]
    reference = reference or Reference(first.name, first.sources, image=first.name)
    # Each exposure is compared by itself, whatever is better or shared.
    rules = dataclasses.replace(rules_of(task, plane), onlybetter=False, group="none")
    primary = {exposure.name: exposure.sources.sky for exposure in exposures}

    def pairs(exposure):
        if exposure.name == reference.image:
            sky = primary[exposure.name]
            return np.arange(len(sky)), sky, "" if len(sky) else "has no sources"
        alignments, _ = align([exposure], plane, rules, reference=reference)
        return _matched(alignments[0])

    scores = []
    for exposure in exposures:
        scores += _scores(exposure, stored_solutions(exposure.path), pairs)
    return scores


def _matched(alignment):
    """Return the sources (rows) of a fit, where the reference has them, and why there are none."""
    if not alignment.changes:
        return np.empty(0, int), np.empty((0, 2)), alignment.reason
    used = alignment.fit.used
    ref_sky = alignment.plane.plane_to_sky(alignment.ref_xy[used])
    return alignment.rows[used], ref_sky, ""


def _scores(exposure, solutions, pairs):
    """Return the scores of one exposure, the best first."""
    extvers = [chip.extver for chip in exposure.chips]
    seen = []
    for one in solutions:
        chips = [chip for chip in one.chips if chip.extver in extvers]
        seen.append(Exposure.measured(exposure.name, chips, exposure.sources, path=exposure.path,
                                      metadata=exposure.metadata))
    rows, ref_sky, reason = max(map(pairs, seen), key=lambda found: len(found[0]))
    scores = [Score(exposure.name, one.place, one.name, reason=reason) for one in solutions]
    if not len(rows):
        return scores
    scores = [dataclasses.replace(score, nmatches=len(rows),
                                  **_residuals(one.sources.sky[rows], ref_sky))
              for score, one in zip(scores, seen, strict=True)]
    scores.sort(key=lambda score: score.rms)
    return [dataclasses.replace(score, best=score.rms == scores[0].rms) for score in scores]


def _residuals(sky, ref_sky):
    """Return rms and means of the differences between positions (N, 2), as fields of `Score`."""
    away = ref_sky - sky
    cos_dec = np.cos(np.deg2rad(ref_sky[:, 1]))
    east = ((away[:, 0] + 180) % 360 - 180) * cos_dec * _MAS_PER_DEGREE
    north = away[:, 1] * _MAS_PER_DEGREE
    return {"rms": float(np.sqrt(np.mean(east**2 + north**2))), "east": float(east.mean()),
            "north": float(north.mean())}


def score_table(scores: Sequence[Score]) -> Table:
    """Return scores as a table, a row for each."""
    from astropy.table import Table

    names = ("file", "place", "name", "nmatches", "rms", "east", "north", "best")
    rows = [(s.file, s.place, s.name, s.nmatches, s.rms, s.east, s.north, "yes" if s.best else "no")
            for s in scores]
    units = dict.fromkeys(("rms", "east", "north"), "mas")
    result = Table(rows=rows, names=names, units=units)
    for name in units:
        result[name].info.format = ".2f"
    return result
