"""The solutions that files hold: list them, and compare them with a reference."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imagereg.alignment import Chip, Exposure, align
from imagereg.catalogs import Reference
from imagereg.errors import InputError
from imagereg.files import expand_input, mef_inputs
from imagereg.files.images import fits as files
from imagereg.parameters import gather_parameters
from imagereg.tasks.exposures import chip_shapes, measure_images
from imagereg.tasks.reference import measure_reference
from imagereg.tasks.run import rules_of
from imagereg.wcs import alternates, headerlet, keywords
from imagereg.wcs import plane as planes

if TYPE_CHECKING:
    from astropy.table import Table

_MAS_PER_DEGREE = 3.6e6

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class StoredSolution:
    """A solution that a file holds.

    Parameters
    ----------
    name : str
        WCSNAME, or HDRNAME of a headerlet.
    place : str
        'primary', the letter of an alternate WCS, or 'HDRLET,n' with the EXTVER of an attached
        headerlet.
    chips : tuple of Chip
        With their WCS.
    author, catalog : str
        Who made it, and from what; empty where it is not known.
    nmatch : int or None
        Number of sources it is based on.
    rms : (float, float)
        Of the fit, mas; NaN where it is not known.
    active : bool
        Whether it is the primary WCS, or has the same sky.
    """

    name: str
    place: str
    chips: tuple[Chip, ...]
    author: str
    catalog: str
    nmatch: int | None = None
    rms: tuple[float, float] = (np.nan, np.nan)
    active: bool = False


def list_solutions(given: str | Sequence[str]) -> Table:
    """Return the solutions that files hold as a table, a row for each.

    Its ``meta["problems"]`` has a sentence for each file that can't be read.

    Raises
    ------
    InputError
        None of the files can be read.
    """
    from astropy.table import Table

    rows = []
    problems = []
    for file in expand_input(given):
        name = os.path.basename(file.path)
        try:
            solutions = stored_solutions(file.path)
        except InputError as error:
            problems.append(str(error))
            continue
        for one in solutions:
            nmatch = "-" if one.nmatch is None else str(one.nmatch)
            rows.append((name, one.place, one.name, one.author or "-", one.catalog or "-", nmatch,
                         *one.rms, "yes" if one.active else "no"))
    if not rows:
        raise InputError(problems[0])
    names = ("file", "place", "name", "author", "catalog", "nmatch", "rms_ra", "rms_dec", "active")
    table = Table(rows=rows, names=names, units={"rms_ra": "mas", "rms_dec": "mas"},
                  meta={"problems": problems})
    for name in ("rms_ra", "rms_dec"):
        table[name].info.format = ".2f"
    return table


def stored_solutions(path: str) -> list[StoredSolution]:
    """Return all solutions that a file holds, the primary WCS first; InputError if it has none."""
    with files.opened(path) as hdus:
        found = [*_primary_and_alternates(hdus, path), *_headerlets(hdus, path)]
    primary = found[0].chips
    return [dataclasses.replace(one, active=one is found[0] or _same_sky(one.chips, primary))
            for one in found]


def _same_sky(chips, others):
    """Whether two solutions are of the same chips, and give them the same sky."""
    wcs_of = {chip.extver: chip.wcs for chip in others}
    if {chip.extver for chip in chips} != wcs_of.keys():
        return False
    return all(planes.same_sky(chip.wcs, wcs_of[chip.extver], chip.shape) for chip in chips)


def _primary_and_alternates(hdus, path):
    """Yield what the science headers hold."""
    header = hdus[next(iter(files.science(hdus, path)))].header
    for letter, name in ({" ": ""} | alternates.wcs_names(header)).items():
        key = letter.strip()
        try:
            chips = files.read_chips(hdus, path, letter)
        except InputError as error:
            if not key:
                raise
            log.info("the alternate WCS %s is left out: %s", key, error)
            continue
        yield StoredSolution(name, key or "primary", tuple(chips), author="",
                             **_provenance(header, key))


def _headerlets(hdus, path):
    """Yield the attached headerlets."""
    shapes = chip_shapes(files.read_chips(hdus, path))
    for one in headerlet.attached_headerlets(hdus):
        chips = tuple(Chip(extver, wcs, shapes[extver]) for extver, wcs in one.wcss.items()
                      if extver in shapes)
        author = keywords.text(one.about, "AUTHOR")
        yield StoredSolution(one.name, one.place, chips, author=author, **_provenance(one.about))


def _provenance(header, key=""):
    """Return catalog, nmatch and rms of the WCS under a letter, as fields of `StoredSolution`."""
    nmatch = keywords.number(header, f"NMATCH{key}")
    return {"catalog": keywords.text(header, f"CATALOG{key}"),
            "nmatch": int(nmatch) if nmatch > 0 else None,
            "rms": tuple(keywords.fit_rms(header, axis, key) * _MAS_PER_DEGREE
                         for axis in (1, 2))}


@dataclasses.dataclass(frozen=True)
class Score:
    """How far one solution is from the reference, as it is, without any fit.

    Parameters
    ----------
    file, place, name : str
        Which one, see `StoredSolution`.
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
    plane, reference, _ = measure_reference(task, ref_finding, exposures, images=images)
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
