"""Align exposures with a reference one after the other; the reference learns from each."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from imagereg.alignment.exposure import Alignment, Chip, Exposure, Metadata, Rules
from imagereg.alignment.joint import CHIP_PIXELS, CHIP_SIGMA, solve_jointly
from imagereg.alignment.matching.match import Candidate, PointSet
from imagereg.alignment.matching.placement import description, placed, rules_once_placed
from imagereg.alignment.significance import is_needless, log10
from imagereg.alignment.solve import FittedCandidate, solve
from imagereg.catalogs import Flag, Reference
from imagereg.errors import AlignmentError, NotEnoughSources
from imagereg.wcs import Status, TangentPlane, border, pixel_to_sky

__all__ = ["Alignment", "Chip", "Exposure", "Metadata", "Reference", "Rules", "Status", "align"]

_GRID_STEPS = 200  # along a side, to see which exposure covers what
_STOPPED = "stopped by the user"

log = logging.getLogger(__name__)


def align(exposures: Sequence[Exposure], plane: TangentPlane, rules: Rules, *,
          reference: Reference | None = None,
          review: Callable[[Alignment], str | Alignment] | None = None,
          ) -> tuple[list[Alignment], Reference]:
    """Align exposures with a reference, or with one of them.

    Parameters
    ----------
    exposures : sequence of Exposure
        The first one is the reference where none is given; the one that overlaps most with the
        others where ``rules.enforce_user_order`` is off.
    plane : TangentPlane
        On which to match and fit.
    rules : Rules
        How to.
    reference : Reference, optional
        What to align with.
    review : callable, optional
        Called with every success; returns 'accept', 'reject' or 'stop', or the alignment with
        another fit, which is accepted.

    Returns
    -------
    alignments : list of Alignment
        One for each exposure, in order; a failure is a status there, not an exception.
    reference : Reference
        What they were aligned with, grown where ``rules.expand_refcat`` is on.
    """
    queue = _Queue(exposures, plane, rules)
    if reference is None:
        number = queue.first()
        first = queue.exposures[number]
        visit = first.metadata.visit if rules.group == "visit" else ""
        reference = Reference(first.name, first.sources, visit=visit)
        queue.verdicts[number] = _reference_verdict(first, plane, rules)
        if queue.verdicts[number].status is Status.FAILED:
            queue.stopped = f"the reference {first.name} can't be used"
    anchor = reference
    aligner = _Aligner(plane, rules, review)
    while members := queue.following():
        reference = aligner.align(queue, members, reference)
    for members in queue.failed():  # what several exposures have seen may help
        reference = aligner.align(queue, members, reference, confirmed=True)
    verdicts = queue.verdicts
    if rules.solution == "joint":
        verdicts = solve_jointly(verdicts, anchor, plane, rules)
    return [_with_loose_chips(verdict) for verdict in verdicts], reference


class _Queue:
    """Exposures, the results so far, and the order in which they are taken."""

    def __init__(self, exposures, plane, rules):
        self.exposures = list(exposures)
        self.verdicts = [None] * len(self.exposures)
        self.stopped = ""
        self.rejected = set()
        self._cover = None if rules.enforce_user_order else _coverage(self.exposures, plane)
        self._group = rules.group == "visit"

    def first(self):
        """Return the index of the exposure that is the reference."""
        if self._cover is None:
            return 0
        is_shared = self._cover.sum(axis=0) > 1
        return self._most_shared(is_shared, np.ones(len(self.exposures), bool))

    def following(self):
        """Return the indices to take next, several that share a correction; none at the end."""
        is_open = np.array([verdict is None for verdict in self.verdicts])
        if not is_open.any():
            return []
        if self._cover is None:
            number = int(np.argmax(is_open))
        else:
            reached = self._cover[~is_open].any(axis=0)
            number = self._most_shared(reached, is_open)
        return self._with_visit(number, np.flatnonzero(is_open))

    def _most_shared(self, target, candidates):
        """Return the candidate that has most sources within a target area; the first of equals.

        Sources are counted by the depth and the area of each, and no deeper than half of all are.
        """
        area = self._cover.sum(axis=1)
        n_stars = np.array([len(_stars(e.sources, 1)) for e in self.exposures])
        density = n_stars / np.maximum(area, 1)
        density = np.minimum(density, np.median(density))
        shared = (self._cover & target).sum(axis=1)
        return int(np.argmax(np.where(candidates, shared * density, -1)))

    def failed(self):
        """Yield the indices of exposures that may be tried again, as `following` returns them."""
        shared = {self._visit(i) for i, verdict in enumerate(self.verdicts)
                  if self._group and verdict.status is not Status.FAILED} - {""}
        failed = [i for i, verdict in enumerate(self.verdicts)
                  if verdict.status is Status.FAILED and verdict.match
                  and i not in self.rejected and self._visit(i) not in shared]
        has_helpers = any(verdict.changes or verdict.status is Status.UNCHANGED
                          for verdict in self.verdicts)
        while failed and has_helpers and not self.stopped:
            members = self._with_visit(failed[0], failed)
            failed = [i for i in failed if i not in members]
            yield members

    def _visit(self, number):
        """Return the visit of an exposure; one without a WCS shares no pointing with others."""
        exposure = self.exposures[number]
        return "" if exposure.lacks_wcs else exposure.metadata.visit

    def _with_visit(self, number, among):
        visit = self._visit(number)
        if not (self._group and visit):
            return [int(number)]
        return [int(i) for i in among if self._visit(i) == visit]


def _coverage(exposures, plane):
    """Sample on a grid over all footprints which exposure covers what: (N, grid points) bool."""
    footprints = []
    for exposure in exposures:
        borders = [pixel_to_sky(wcs, border(shape)) for wcs, shape in exposure.outlines]
        footprints.append([plane.sky_to_plane(sky) for sky in borders])
    corners = [outline for outlines in footprints for outline in outlines]
    corners = np.concatenate(corners or [np.zeros((1, 2))])
    low = corners.min(axis=0)
    high = corners.max(axis=0)
    sides = [np.linspace(a, b, _GRID_STEPS) for a, b in zip(low, high, strict=True)]
    x, y = np.meshgrid(*sides)
    points = np.column_stack([x.ravel(), y.ravel()])
    cover = np.zeros((len(footprints), len(points)), bool)
    for row, outlines in zip(cover, footprints, strict=True):
        for outline in outlines:
            row |= _inside(points, outline)
    return cover


def _inside(points, outline):
    """Tell which of `points` (N, 2) lie within a polygon (M, 2), by counting crossings."""
    x, y = points.T
    inside = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y0 != y1:
            is_level = (y0 > y) != (y1 > y)
            inside ^= is_level & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


@dataclasses.dataclass(frozen=True)
class _Aligner:
    """Aligns one exposure, or several that share a correction."""

    plane: TangentPlane
    rules: Rules
    review: Callable[[Alignment], str | Alignment] | None

    def align(self, queue, members, reference, *, confirmed=False):
        """Align exposures of the queue; return the reference that has learned from them.

        Where only what is `confirmed` of the reference is matched, a failure changes no result.
        """
        exposures = [queue.exposures[i] for i in members]
        if queue.stopped:
            found = [Alignment(e, Status.FAILED, queue.stopped, self.plane) for e in exposures]
        else:
            found = _align_together(exposures, reference, self.plane, self.rules,
                                    confirmed=confirmed)
            if confirmed and all(verdict.status is Status.FAILED for verdict in found):
                return reference
        for i, verdict in zip(members, found, strict=True):
            verdict, answer = _reviewed(verdict, self.review)
            if answer != "accept":
                queue.rejected.add(i)
            if answer == "stop":
                queue.stopped = _STOPPED
            queue.verdicts[i] = verdict
            _tell(verdict)
            if verdict.fit and verdict.status in (Status.ALIGNED, Status.UNCHANGED):
                reference = self._learned(reference, verdict)
        return reference

    def _learned(self, reference, verdict):
        reference = reference.with_detections(verdict.ref_rows[verdict.fit.used])
        if not (self.rules.expand_refcat and verdict.changes):
            return reference
        return reference.extended_with(verdict.exposure, verdict.fit, self.plane,
                                       rows=verdict.rows, ref_rows=verdict.ref_rows)


def _tell(verdict):
    """Log what became of an exposure."""
    is_found = verdict.status in (Status.ALIGNED, Status.UNCHANGED) and verdict.nmatches
    matches = f", {verdict.nmatches} matches" if is_found else ""
    reason = f": {verdict.reason}" if verdict.reason else ""
    log.info("%s %s%s%s", verdict.name, verdict.status.value, matches, reason)


def _reviewed(verdict, review):
    """Ask the user about a success; return the result that stands, and the answer."""
    if review is None or not verdict.changes:
        return verdict, "accept"
    answer = review(verdict)
    if isinstance(answer, Alignment):
        return answer, "accept"
    if answer == "accept":
        return verdict, answer
    reason = _STOPPED if answer == "stop" else "rejected by the user"
    return dataclasses.replace(verdict, status=Status.FAILED, reason=reason), answer


def _reference_verdict(reference, plane, rules):
    try:
        _selection(reference.sources, rules, reference.problem)
    except NotEnoughSources as error:
        return Alignment(reference, Status.FAILED, str(error), plane)
    return Alignment(reference, Status.REFERENCE, "", plane, reference=reference.sources)


def _selection(sources, rules, problem=""):
    """Return the indices of the sources to match: the stars, or all where those are too few."""
    if problem:
        raise NotEnoughSources(problem)
    rows = _stars(sources, max(rules.minobj, 1))
    _check_number(len(rows), rules)
    return rows


def _stars(sources, needed):
    rows = np.flatnonzero((sources.flags & Flag.UNRELIABLE) == 0)
    return rows if len(rows) >= needed else np.arange(len(sources))


def _check_number(n_sources, rules):
    if n_sources < max(rules.fewest_matches, 1):
        raise NotEnoughSources(f"{n_sources} sources found, {rules.needed} are needed")


def _align_together(exposures, reference, plane, rules, *, confirmed=False):
    """Align exposures that share a correction, mostly one; an AlignmentError becomes a status."""
    first = exposures[0]
    if len(exposures) == 1 and first.name == reference.image:
        return [_reference_verdict(first, plane, rules)]
    shares_visit = reference.visit == first.metadata.visit and not first.lacks_wcs
    if reference.visit and shares_visit:
        shared = f"of the visit of {reference.name}, whose pointing it shares (group=visit)"
        return [Alignment(e, Status.FAILED if e.problem else Status.UNCHANGED, e.problem or shared,
                          plane) for e in exposures]
    catalog = reference.at(first.metadata.epoch)
    usable = [e for e in exposures if not e.problem]
    found = None
    error = None
    pattern = None
    try:
        image = _image_points(usable or exposures, plane, rules)
        ref_rows = _selection(catalog, rules)
        if confirmed:
            ref_rows = ref_rows[reference.confirmed(ref_rows)]
        ref = _points([catalog], [ref_rows], plane)
        if first.lacks_wcs:
            first, pattern = placed(first, image.source_index, ref, plane, rules=rules)
            usable = [first]
            rules = rules_once_placed(rules)
            image = _image_points(usable, plane, rules)
        if len(usable) == 1 and np.array_equal(image.xy, ref.xy):
            raise AlignmentError(f"its sources are those of {reference.name} to the last digit: "
                                 "the same exposure")
        everything = functools.partial(_all_points, [e.sources for e in usable], catalog, plane)
        names = ", ".join(exposure.name for exposure in usable)
        found = solve(image, ref, plane, rules, name=names, everything=everything)
        if pattern:
            log10_chance = max(found.log10_chance, log10(pattern.chance_probability))
            found = dataclasses.replace(found, how=description(first, pattern),
                                        log10_chance=log10_chance)
    except AlignmentError as failure:
        error = failure
    verdicts = iter(_split(found, error, usable, catalog, plane=plane, rules=rules))
    return [Alignment(e, Status.FAILED, e.problem, plane) if e.problem else next(verdicts)
            for e in exposures]


def _image_points(exposures, plane, rules):
    """Return the sources of exposures to match; NotEnoughSources where they are too few."""
    if len(exposures) == 1:
        rows = [_selection(exposures[0].sources, rules, exposures[0].problem)]
    else:
        rows = [_stars(e.sources, rules.minobj) for e in exposures]
        _check_number(sum(map(len, rows)), rules)
    return _points([e.sources for e in exposures], rows, plane)


def _all_points(catalogs, ref_catalog, plane):
    """Return the sources of exposures and of the reference, unreliable ones among them."""
    image = _points(catalogs, [np.arange(len(catalog)) for catalog in catalogs], plane)
    return image, _points([ref_catalog], [np.arange(len(ref_catalog))], plane)


def _points(catalogs, rows, plane):
    """Return some rows of each of several catalogs as one PointSet on a plane."""
    parts = []
    for number, (catalog, some) in enumerate(zip(catalogs, rows, strict=True)):
        sources = catalog[some]
        parts.append(PointSet(
            xy=plane.sky_to_plane(sources.sky), error=sources.sky_error / plane.pixel_scale,
            flux=sources.flux, pixel=np.column_stack([sources.chip, sources.xy]),
            exposure_index=np.full(len(some), number), source_index=some))
    return PointSet.concat(parts)


def _split(found, error, exposures, catalog, *, plane, rules):
    """Yield the result of each exposure, from the fit for all of them or from the error."""
    status, reason = _verdict(found, error, plane, rules)
    attempt = found or error.attempt
    for number, exposure in enumerate(exposures):
        details = {"reference": catalog}
        if isinstance(attempt, Candidate):
            details["match"] = attempt
        elif isinstance(attempt, FittedCandidate):
            details.update(_details(attempt, number))
        match = details.get("match")
        searched = error.offsets if error else None
        if searched is not None and (match is None or match.histogram is None):
            details["match"] = searched
        verdict = Alignment(exposure, status, reason, plane, **details)
        if found and len(exposures) > 1 and found.is_contradicted(number, rules):
            alone = "its sources do not follow the correction that its visit shares (group=visit)"
            verdict = dataclasses.replace(verdict, status=Status.FAILED, reason=alone)
        if verdict.changes and verdict.mirrors:
            verdict = _parity_verdict(verdict)
        try:
            if verdict.changes:  # what no WCS can follow must show before any header is written
                verdict.corrected_chips()
        except AlignmentError as failure:
            verdict = dataclasses.replace(verdict, status=Status.FAILED, reason=str(failure))
        yield verdict


def _parity_verdict(verdict):
    """Return the verdict on a fit that mirrors, right only for a header of wrong parity."""
    if verdict.header_is_mirrored:
        said = "its header has the opposite parity of the reference, and the fit turns it round"
        reason = "; ".join(filter(None, [verdict.reason, said]))
        return dataclasses.replace(verdict, reason=reason)
    mirrored = ("the fit would mirror the image, which no pointing error does, and its header has "
                "the parity of the reference")
    return dataclasses.replace(verdict, status=Status.FAILED, reason=mirrored)


def _verdict(found, error, plane, rules):
    """Return status and reason: a success, one that would change nothing, or a failure."""
    if error is not None:
        return Status.FAILED, str(error)
    p_value = found.fit.p_value_unchanged
    if not (rules.onlybetter and is_needless(p_value)):
        return Status.ALIGNED, found.how
    used = found.fit.used
    before = _rms_mas(found.ref_xy - found.image_xy, used, plane)
    after = _rms_mas(found.fit.residuals, used, plane)
    needless = (f"its WCS is as good as a new one, rms {before:.3g} and {after:.3g} mas of "
                f"{used.sum()} matches (probability {p_value:.2g})")
    return Status.UNCHANGED, "; ".join(filter(None, [needless, found.how]))


def _rms_mas(residuals, used, plane):
    length = np.sqrt((residuals[used] ** 2).sum(axis=1).mean())
    return length * plane.pixel_scale * 1000


def _details(found, number):
    """Return what an Alignment says of a fit: the pairs of one of the exposures that share it."""
    mine = found.image.exposure_index[found.image_index] == number
    i = found.image_index[mine]
    r = found.ref_index[mine]
    return {"match": found.candidate, "fit": found.fit.of(mine),
            "log10_chance": found.log10_chance,
            "rows": found.image.source_index[i], "ref_rows": found.reference.source_index[r],
            "image_xy": found.image.xy[i], "ref_xy": found.reference.xy[r]}


def _with_loose_chips(verdict):
    """Return a result whose reason names the chips that are shifted against the others."""
    reasons = filter(None, [verdict.reason, *_loose_chips(verdict)])
    return dataclasses.replace(verdict, reason="; ".join(reasons))


def _loose_chips(verdict: Alignment) -> Iterator[str]:
    """Yield a sentence for each chip that is shifted against the others."""
    if verdict.status is Status.FAILED or len(verdict.by_chip) < 2:
        return
    for chip, (number, mean, error) in verdict.by_chip.items():
        size = np.hypot(*mean)
        if size > CHIP_PIXELS and size > CHIP_SIGMA * np.hypot(*error):
            yield (f"chip {chip} is off by ({mean[0]:.3f}, {mean[1]:.3f}) pixels from the common "
                   f"fit, {number} matches")
