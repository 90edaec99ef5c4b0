"""Compare the solutions that files hold with a reference, all of them on the same sources."""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.alignment.exposure import Exposure
from imagereg.alignment.sequence import align
from imagereg.catalogs.reference import Reference
from imagereg.errors import InputError
from imagereg.files.inputs import expand_input, mef_inputs
from imagereg.parameters.gather import gather_parameters
from imagereg.tasks.exposures import measure_images, measure_reference
from imagereg.tasks.listing import stored_solutions
from imagereg.tasks.run import rules_of


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
        Distance of their positions from those of the reference, root mean square about zero, both axes together, mas.
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


def compare(given, configobj=None, imagefindcfg=None, refimagefindcfg=None, **parameters):
    """Measure every solution in files against a reference.

    Sources are found once. Those of a file are matched with the reference by each of its solutions; the one that
    matches most, after a fit that leaves out outliers, says which source is which, and all solutions of the file
    are measured on those same pairs.

    Parameters
    ----------
    given : str or list of str
        The files, as in `tweakreg.TweakReg`.
    configobj, imagefindcfg, refimagefindcfg, **parameters
        As in `tweakreg.TweakReg`. The reference is `refcat` or `refimage`, or the primary WCS of the first file.

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
    task, finding, ref_finding = gather_parameters(configobj, imagefindcfg, refimagefindcfg, parameters)
    images = mef_inputs(expand_input(given or task.input))
    exposures = measure_images(task, finding, images)
    for exposure in exposures:
        if exposure.problem:
            raise InputError(exposure.problem)
    plane, reference = measure_reference(task, ref_finding, exposures, images=images)
    reference = reference or Reference(exposures[0].name, exposures[0].sources, image=exposures[0].name)
    rules = dataclasses.replace(rules_of(task, plane), onlybetter=False, group="none")  # each for itself
    primary = {exposure.name: exposure.sources.sky for exposure in exposures}

    def pairs(exposure):
        if exposure.name == reference.image:
            sky = primary[exposure.name]
            return np.arange(len(sky)), sky, "" if len(sky) else "has no sources"
        return _matched(align([exposure], plane, rules, reference=reference)[0][0])

    return [score for exposure in exposures
            for score in _scores(exposure, stored_solutions(exposure.path), pairs)]


def _matched(alignment):
    """Return the sources (rows) that an alignment is based on, where the reference has them, and why there are none."""
    if not alignment.changes:
        return np.empty(0, int), np.empty((0, 2)), alignment.reason
    used = alignment.fit.used
    return alignment.rows[used], alignment.plane.plane_to_sky(alignment.ref_xy[used]), ""


def _scores(exposure, solutions, pairs):
    """Return the scores of one exposure, the best first."""
    extvers = [chip.extver for chip in exposure.chips]
    seen = [Exposure.measured(exposure.name, [chip for chip in one.chips if chip.extver in extvers], exposure.sources,
                              metadata=exposure.metadata) for one in solutions]
    rows, there, reason = max(map(pairs, seen), key=lambda found: len(found[0]))
    scores = [Score(exposure.name, one.place, one.name, reason=reason) for one in solutions]
    if not len(rows):
        return scores
    scores = [dataclasses.replace(score, nmatches=len(rows), **_residuals(one.sources.sky[rows], there))
              for score, one in zip(scores, seen, strict=True)]
    scores.sort(key=lambda score: score.rms)
    return [dataclasses.replace(score, best=score.rms == scores[0].rms) for score in scores]


def _residuals(sky, there):
    """Return rms and mean of the differences (N, 2) between places on the sky, fields of `Score`."""
    away = there - sky
    east = ((away[:, 0] + 180) % 360 - 180) * np.cos(np.deg2rad(there[:, 1])) * 3.6e6
    north = away[:, 1] * 3.6e6
    return {"rms": float(np.sqrt(np.mean(east**2 + north**2))), "east": float(east.mean()),
            "north": float(north.mean())}


def table(scores):
    """Return scores as an `astropy.table.Table`, a row for each."""
    from astropy.table import Table

    rows = [(s.file, s.place, s.name, s.nmatches, s.rms, s.east, s.north, "yes" if s.best else "no") for s in scores]
    names = ("file", "place", "name", "nmatches", "rms", "east", "north", "best")
    result = Table(rows=rows, names=names, units=dict.fromkeys(("rms", "east", "north"), "mas"))
    for name in ("rms", "east", "north"):
        result[name].info.format = ".2f"
    return result
