"""Solve for all exposures together, from all the stars that any two of them share.

The sequential alignment has decided which exposures are aligned, and where they are to a fraction
of a pixel. From there the stars of all of them are put together, the reference among them with its
own errors and motions, and one least-squares solution for all transforms takes the place of the
fits to the reference alone. So exposures are as good relative to each other as their own stars
allow, even where the reference is poor, and as good absolutely as the whole reference allows.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import numpy as np
from scipy.sparse import csgraph

from imagereg.alignment.fitting import geometry as families
from imagereg.alignment.fitting.adjustment import Adjustment, adjust, solve_once, undetermined
from imagereg.alignment.fitting.fit import LinearFit
from imagereg.alignment.matching.overlap import (
    Overlap,
    StarList,
    Term,
    detector_of,
    placed,
    shifted,
    star_lists,
)
from imagereg.alignment.significance import is_needless, p_value_unchanged
from imagereg.alignment.verdict import Alignment, Rules
from imagereg.catalogs import Reference
from imagereg.wcs import Status, TangentPlane, correction

# A shift of a chip, or by charge that trails, beyond both is put right: it is significant, and more
# than what the distortion models leave.
CHIP_SIGMA = 5.0
CHIP_PIXELS = 0.02
_CHIP_ROUNDS = 2  # of shifting chips; the first leaves a hundredth, as distortion stretches it
# Positions of a field that is solved for itself: that takes half a second, ten times starting a
# process, and its errors are known from thousands of residuals.
LARGE_FIELD = 20_000
_FEWEST_BLOCKS = 2  # transforms; one alone is no better than its fit to the reference

log = logging.getLogger(__name__)


def solve_jointly(alignments: Sequence[Alignment], reference: Reference, plane: TangentPlane,
                  rules: Rules, *, mapped: Callable = map) -> list[Alignment]:
    """Return alignments with transforms that suit all exposures together.

    Those that failed, and the reference, stay as they are, but for chips that are shifted against
    others of their detector. An exposure whose WCS needed no change keeps it, unless the others
    tell that it is significantly wrong. Exposures that share too few stars with the rest keep the
    fits to their reference. Large fields that have nothing but a catalog in common are solved each
    for itself.

    Parameters
    ----------
    alignments : sequence of Alignment
        As the sequential alignment left them.
    reference : Reference
        What they were aligned with, before it grew.
    plane : TangentPlane
        On which they were.
    rules : Rules
        By which they were.
    mapped : callable
        As `map`; it may solve several fields at a time, in other processes.
    """
    results = list(alignments)
    lists = star_lists(alignments, reference, plane, rules)
    fields = fields_of(lists, rules.tolerance)
    solve = functools.partial(solve_field, alignments=alignments, plane=plane, rules=rules)
    for field, joint in zip(fields, mapped(solve, fields), strict=True):
        if joint is not None:
            for number, alignment in joint.completed(field, alignments).results():
                results[number] = alignment
    return results


def fields_of(lists: Sequence[StarList], tolerance: float) -> list[list[StarList]]:
    """Return the lists by fields that share no stars but those of a catalog, which is in each.

    Fields of fewer than `LARGE_FIELD` positions are left together: their errors are better known
    from all of them.
    """
    fixed = [one for one in lists if one.block is None]
    moving = [one for one in lists if one.block is not None]
    if not fixed or len(moving) < 2 or any(one.alignment >= 0 for one in fixed):
        return [list(lists)]
    lower = np.array([one.xy.min(axis=0, initial=np.inf) for one in moving])
    upper = np.array([one.xy.max(axis=0, initial=-np.inf) for one in moving])
    touching = (lower[:, None] <= upper + 2 * tolerance).all(axis=2)
    block = np.unique([str(one.block) for one in moving], return_inverse=True)[1]
    linked = touching & touching.T | (block[:, None] == block)
    _, field = csgraph.connected_components(linked)
    size = np.bincount(field, [len(one.xy) for one in moving])
    is_large = size[field] >= LARGE_FIELD
    parts = [np.flatnonzero(field == number) for number in np.unique(field[is_large])]
    parts.append(np.flatnonzero(~is_large))
    return [fixed + [moving[row] for row in rows] for rows in parts if len(rows)]


def solve_field(lists: Sequence[StarList], *, alignments: Sequence[Alignment],
                plane: TangentPlane, rules: Rules) -> _Joint | None:
    """Return the joint solution of lists, a bare one; None where there is none."""
    rest = list(lists)
    while len({one.block for one in rest} - {None}) >= _FEWEST_BLOCKS:
        overlap = Overlap.of(rest, plane, rules.tolerance)
        apart = overlap.blocks_apart()
        if not apart:
            try:
                joint = _Joint.of(overlap, alignments, rules)
                return joint.bare([lists.index(one) for one in rest])
            except np.linalg.LinAlgError:
                log.warning("the stars that are left do not determine a joint solution: each image "
                            "keeps the fit to its reference")
                return None
        names = ", ".join(one.name[0] for one in rest if one.block in apart)
        log.info("too few stars are shared with %s for a joint solution", names)
        rest = [one for one in rest if one.block not in apart]
    return None


@dataclasses.dataclass(frozen=True, eq=False)
class _Joint:
    """A joint solution, and what becomes of the alignments by it.

    Parameters
    ----------
    overlap : Overlap
        With its chips put right.
    alignments : sequence of Alignment
        As they were before.
    solved : Adjustment
        The parameters of all transforms.
    steps : sequence of dict
        By how much chips were put right one time after the other: (2,) in their pixels, by term.
    places : sequence of int
        Of a bare one, which of the lists of its field those of its overlap were.
    """

    overlap: Overlap
    alignments: Sequence[Alignment]
    solved: Adjustment
    steps: Sequence[Mapping[Term, np.ndarray]] = ()
    places: Sequence[int] = ()

    @functools.cached_property
    def shifts(self) -> Mapping[Term, np.ndarray]:
        """Shift (2,) of each chip that was put right, in its pixels, by its term."""
        shifts: dict[Term, np.ndarray] = {}
        for step in self.steps:
            shifts = {term: shifts.get(term, np.zeros(2)) + step[term] for term in step}
        return shifts

    def bare(self, places):
        """Return this without lists and alignments: a WCS that is pickled loses its last digits."""
        overlap = dataclasses.replace(self.overlap, lists=())
        return dataclasses.replace(self, overlap=overlap, alignments=(), places=places)

    def completed(self, lists, alignments):
        """Return a bare one with the lists and alignments that it was made of."""
        lists = [lists[place] for place in self.places]
        overlap = dataclasses.replace(self.overlap, lists=lists)
        for step in self.steps:
            overlap = overlap.with_chips_shifted(step, alignments)
        return dataclasses.replace(self, overlap=overlap, alignments=alignments)

    @classmethod
    def of(cls, overlap, alignments, rules):
        """Solve for all transforms, and for the chips that are off significantly."""
        scatter = np.array([one.scatter for one in overlap.lists])
        scatter = np.where(np.isnan(scatter), np.nanmedian(scatter), scatter)
        options = {"scatter": scatter, "sigma": rules.sigma, "loss": rules.loss}
        solved = adjust(overlap.measured, overlap.design, **options)
        overlap = dataclasses.replace(overlap, trailing=_trailing(overlap, solved))
        if overlap.trailing:
            solved = adjust(overlap.measured, overlap.design, **options)
        terms = _significant_terms(overlap, solved)
        steps = []
        for _ in range(_CHIP_ROUNDS if terms else 0):
            solved = adjust(overlap.measured, overlap.design_with(terms), **options)
            found = solved.parameters[-2 * len(terms):].reshape(-1, 2)
            steps.append(dict(zip(terms, found, strict=True)))
            overlap = overlap.with_chips_shifted(steps[-1], alignments)
            # What a chip was off has hidden how well the trails are known.
            overlap = dataclasses.replace(overlap, trailing=_trailing(overlap, solved))
        if terms:  # with the terms once more, so that the errors have theirs
            solved = adjust(overlap.measured, overlap.design_with(terms), **options)
        log.info("joint solution of %d lists: %d stars in two or more, %d measurements, %d left "
                 "out", len(overlap.lists), overlap.measured.n_stars, len(solved.used),
                 (~solved.used).sum())
        return cls(overlap, alignments, solved, steps)

    def results(self) -> Iterator[tuple[int, Alignment]]:
        """Yield the number and the new result of each exposure whose WCS is to change."""
        unchanged = self._unchanged()
        parameters = self._with_unchanged(unchanged)
        detectors = {detector for detector, _ in self.shifts}
        for one in self.overlap.lists:
            if one.alignment < 0:
                continue
            alignment = self._with_shifts(self.alignments[one.alignment])
            if one.block is None:
                if one.detector in detectors:
                    yield one.alignment, self._explained(
                        dataclasses.replace(alignment, solved_chips=one.chips), one)
            elif one.block not in unchanged:
                corrected = self._corrected(alignment, one, parameters)
                yield one.alignment, self._explained(corrected, one)

    def _unchanged(self):
        """Return the blocks that may stay where they are, tested together by an F-test.

        As long as they may not, the one goes that is to blame most.
        """
        detectors = {detector for detector, _ in self.shifts}
        moving = {one.block for one in self.overlap.lists
                  if self.alignments[one.alignment].changes or one.detector in detectors}
        blocks = [block for block in self.overlap.blocks if block not in moving]
        while blocks:
            columns = self._columns(blocks)
            change = self.solved.parameters[columns]
            covariance = self.solved.covariance[np.ix_(columns, columns)]
            p_value = p_value_unchanged(change, covariance, n_parameters=len(columns),
                                        n_pairs=(self.solved.n_free + len(columns)) // 2)
            if is_needless(p_value):
                break
            del blocks[self._most_to_blame(blocks)]
        return blocks

    def _most_to_blame(self, blocks):
        """Return which of some blocks at rest would lower the sum of squares most by moving."""
        columns = self._columns(blocks)
        information = np.linalg.inv(self.solved.covariance[np.ix_(columns, columns)])
        slope = information @ self.solved.parameters[columns]
        gains = []
        for block in blocks:
            own = np.isin(columns, self._columns([block]))
            gains.append(slope[own] @ np.linalg.solve(information[np.ix_(own, own)], slope[own]))
        return int(np.argmax(gains))

    def _columns(self, blocks: Sequence[Hashable]) -> np.ndarray:
        columns = np.arange(len(self.solved.parameters))
        return np.concatenate([columns[self.overlap.blocks[block]] for block in blocks])

    def _with_unchanged(self, blocks):
        """Return the best parameters where those of some blocks are zero."""
        if not blocks:
            return self.solved.parameters
        columns = self._columns(blocks)
        covariance = self.solved.covariance
        gain = np.linalg.solve(covariance[np.ix_(columns, columns)], covariance[columns])
        return self.solved.parameters - self.solved.parameters[columns] @ gain

    def _corrected(self, alignment, one, parameters):
        """Return an alignment after the further correction of its list."""
        further = self._further(one, parameters)
        first = alignment.fit
        reason = alignment.reason
        if not alignment.changes:
            first = dataclasses.replace(first, matrix=np.eye(2), shift=np.zeros(2))
            reason = "its WCS is as good as one from the reference alone, but not as the others'"
        fit = further.after(first)
        fit = dataclasses.replace(fit, residuals=alignment.ref_xy - fit(alignment.image_xy),
                                  used=self._used_pairs(one, alignment))
        # The chips have followed a fit before: what they can't follow now is second order in a
        # fraction of a pixel.
        chips = tuple(
            dataclasses.replace(chip, wcs=correction.corrected_wcs(
                chip.wcs, chip.shape, alignment.plane, further, allowed=np.inf))
            for chip in one.chips)
        return dataclasses.replace(alignment, status=Status.ALIGNED, reason=reason, fit=fit,
                                   solved_chips=chips)

    def _further(self, one: StarList, parameters: np.ndarray) -> LinearFit:
        """Return the transform of a list, after its sequential one."""
        family = families.GEOMETRIES[one.geometry]
        columns = self.overlap.blocks[one.block]
        shift, matrix = family.near_unity(parameters[columns])
        covariance = family.covariance_near_unity(self.solved.covariance[columns, columns])
        return LinearFit(geometry=one.geometry, matrix=matrix, shift=shift,
                         centre=self.overlap.plane.centre, covariance=covariance,
                         residuals=np.empty((0, 2)), used=np.empty(0, bool), scatter=0.0)

    def _used_pairs(self, one, alignment):
        """Tell the matches of an exposure of which the solution uses both measurements.

        Of what the reference has learned from other exposures it has no measurement.
        """
        reference = self.overlap.lists[0]
        star = self.overlap.stars_of(one, len(alignment.exposure.sources), self.solved.used)
        ref_star = self.overlap.stars_of(reference, len(alignment.reference), self.solved.used)
        pairs = star[alignment.rows]
        is_learned = alignment.ref_rows > reference.rows.max(initial=-1)
        return (pairs >= 0) & ((pairs == ref_star[alignment.ref_rows]) | is_learned)

    def _with_shifts(self, alignment):
        """Return an alignment whose matches are where chips that were put right have them."""
        if not self.shifts:
            return alignment
        ref_xy = alignment.ref_xy.copy()
        for other in self.alignments:
            if other.status is Status.REFERENCE:
                own = alignment.ref_rows < len(other.exposure.sources)  # the rest was learned
                ref_xy[own] = self._shifted_xy(other, alignment.ref_rows[own])
        return dataclasses.replace(
            alignment, image_xy=self._shifted_xy(alignment, alignment.rows), ref_xy=ref_xy)

    def _explained(self, alignment, one):
        """Return an alignment whose reason says what was found out about its detector."""
        said = [f"chip {extver} was off by ({x:.3f}, {y:.3f}) pixels from chip "
                f"{one.detector[1][0][0]}"
                for (which, extver), (x, y) in self.shifts.items() if which == one.detector]
        if one.detector in self.overlap.trailing:
            columns = self.overlap.trails[one.detector]
            size = self.overlap.typical_trail(one.detector) @ self.solved.parameters[columns]
            said.append(f"charge that trails moves sources far from the amplifiers by {size:.3f} "
                        "pixel, which is taken into account")
        reason = "; ".join(filter(None, [alignment.reason, *said]))
        return dataclasses.replace(alignment, reason=reason)

    def _shifted_xy(self, alignment, rows):
        """Return where sources of an exposure are on the plane by its shifted chips."""
        exposure = alignment.exposure
        chips = shifted(exposure.chips, detector_of(exposure), self.shifts)
        return placed(exposure, chips, rows, alignment.plane)[0]


def _trailing(overlap, solved):
    """Return the detectors whose charge trails significantly, however their chips lie."""
    detectors = {one.detector for one in overlap.lists if one.trail.any()}
    if not detectors:
        return ()
    overlap = dataclasses.replace(overlap, trailing=tuple(sorted(detectors, key=repr)))
    design = overlap.design_with(overlap.terms())
    known = np.flatnonzero(~undetermined(overlap.measured, design))
    design = tuple(axis[:, known] for axis in design)
    weight = solved.used[:, None] / solved.variance
    parameters, covariance = solve_once(overlap.measured, design, weight)
    found = []
    for detector, columns in overlap.trails.items():
        own = np.flatnonzero((known >= columns.start) & (known < columns.stop))
        if len(own) < columns.stop - columns.start:
            continue
        typical = overlap.typical_trail(detector)
        error = np.sqrt(typical @ covariance[np.ix_(own, own)] @ typical)
        if typical @ parameters[own] > max(CHIP_PIXELS, CHIP_SIGMA * error):
            found.append(detector)
    return tuple(found)


def _significant_terms(overlap, solved):
    """Return the chips that are off significantly from the first one of their detector."""
    terms = overlap.terms()
    n_before = len(solved.parameters)
    if terms:
        is_open = undetermined(overlap.measured, overlap.design_with(terms))
        is_open = is_open[n_before:].reshape(-1, 2).any(axis=1)
        terms = [term for term, unknown in zip(terms, is_open, strict=True) if not unknown]
    if not terms:
        return []
    weight = solved.used[:, None] / solved.variance
    parameters, covariance = solve_once(overlap.measured, overlap.design_with(terms), weight)
    size = np.hypot(*parameters[n_before:].reshape(-1, 2).T)
    error = np.hypot(*np.sqrt(np.diagonal(covariance))[n_before:].reshape(-1, 2).T)
    is_off = (size > CHIP_PIXELS) & (size > CHIP_SIGMA * error)
    return [term for term, off in zip(terms, is_off, strict=True) if off]
