"""Align exposures with a reference one after the other; the reference learns from each."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from imagereg.alignment.exposure import Chip, Exposure, Metadata
from imagereg.alignment.fitting.fit import GEOMETRIES
from imagereg.alignment.joint import CHIP_PIXELS, CHIP_SIGMA, solve_jointly
from imagereg.alignment.matching.match import Candidate, PointSet, pair_at
from imagereg.alignment.matching.placement import description, placed, rules_once_placed
from imagereg.alignment.order import Group, Queue, stars
from imagereg.alignment.significance import is_needless, log10
from imagereg.alignment.solve import FittedCandidate, solve
from imagereg.alignment.verdict import Alignment, Rules, judged_by_parity
from imagereg.catalogs import Reference
from imagereg.errors import AlignmentError, NotEnoughMatches, NotEnoughSources
from imagereg.wcs import Status, TangentPlane

__all__ = ["Alignment", "Chip", "Exposure", "Metadata", "Reference", "Rules", "Status", "align"]

_MOST_HEADS = 3  # exposures with which others are tried that failed; the deepest come first
_MANY_STARS = 5_000  # matching them takes several times as long as starting processes
_STOPPED = "stopped by the user"

log = logging.getLogger(__name__)


def align(exposures: Sequence[Exposure], plane: TangentPlane, rules: Rules, *,
          reference: Reference | None = None,
          review: Callable[[Alignment], str | Alignment] | None = None,
          mapped: Callable = map) -> tuple[list[Alignment], Reference]:
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
    mapped : callable
        As `map`; it may match several exposures at a time, in other processes, and solve several
        fields, see `solve_jointly`.

    Returns
    -------
    alignments : list of Alignment
        One for each exposure, in order; a failure is a status there, not an exception.
    reference : Reference
        What they were aligned with, grown where ``rules.expand_refcat`` is on.
    """
    queue = Queue(exposures, plane, rules)
    anchor = reference or _first_reference(queue, queue.first(), plane, rules)
    aligner = _Aligner(plane, rules, review, mapped=mapped)
    reference = aligner.align_all(queue, anchor)
    for group in _groups(queue, plane, rules):
        reference = aligner.align_group(queue, group, reference)
    verdicts = queue.verdicts
    if rules.solution == "joint":
        verdicts = solve_jointly(verdicts, anchor, plane, rules, mapped=mapped)
        final = _final_sources(anchor, verdicts, queue.teachers)
        reference = dataclasses.replace(reference, sources=final)
    return [_with_remarks(verdict) for verdict in verdicts], reference


def _first_reference(queue, number, plane, rules):
    """Return the reference made of an exposure of the queue, by its index."""
    first = queue.exposures[number]
    visit = first.metadata.visit if rules.group == "visit" else ""
    queue.verdicts[number] = _reference_verdict(first, plane, rules)
    if queue.verdicts[number].status is Status.FAILED:
        queue.stopped = f"the reference {first.name} can't be used"
    return Reference(first.name, first.sources, visit=visit)


def _groups(queue, plane, rules):
    """Yield groups of exposures that failed with the reference but can be aligned together."""
    rules = dataclasses.replace(rules, expand_refcat=True, enforce_user_order=False)
    left = queue.retryable()
    for _ in range(_MOST_HEADS):
        if len(left) < 2 or queue.stopped:
            break
        part = Queue([queue.exposures[i] for i in left], plane, rules)
        number = part.first()
        head = left[number]
        first = _first_reference(part, number, plane, rules)
        found = _Aligner(plane, rules, None, is_trial=True).align_all(part, first)
        rows = [row for row, verdict in enumerate(part.verdicts)
                if verdict.status is not Status.FAILED]
        members = [left[row] for row in rows]
        if len(members) > 1:
            yield Group(members, [part.verdicts[row] for row in rows], found)
        left = [i for i in left if i not in members and i != head]


@dataclasses.dataclass(frozen=True)
class _Aligner:
    """Aligns one exposure, or several that share a correction; a trial says nothing in the log."""

    plane: TangentPlane
    rules: Rules
    review: Callable[[Alignment], str | Alignment] | None
    is_trial: bool = False
    mapped: Callable = map

    def align_all(self, queue, reference):
        """Align the exposures of the queue in turn; return the reference that has learned."""
        for found in self._found_ahead(queue, reference):
            reference = self._accepted(queue, queue.following(), found, reference)
        while members := queue.following():
            reference = self.align(queue, members, reference)
        for members in queue.failed():  # what several exposures have seen may help
            reference = self.align(queue, members, reference, confirmed=True)
        return reference

    def _found_ahead(self, queue, reference):
        """Yield the results to come where no exposure depends on another and stars are many."""
        left = [e for e, verdict in zip(queue.exposures, queue.verdicts, strict=True)
                if verdict is None]
        rules = self.rules
        depends = (rules.expand_refcat or rules.group == "visit" or self.review or queue.stopped
                   or not rules.enforce_user_order or any(e.lacks_wcs for e in left))
        if depends or sum(len(stars(e.sources, 1)) for e in left) < _MANY_STARS:
            return
        align = functools.partial(_aligned_apart, reference=reference, plane=self.plane,
                                  rules=rules)
        for verdict, exposure in zip(self.mapped(align, left), left, strict=True):
            catalog = verdict.reference
            if len(catalog):
                catalog = reference.at(exposure.metadata.epoch)
            yield [dataclasses.replace(verdict, exposure=exposure, plane=self.plane,
                                       reference=catalog)]

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
        return self._accepted(queue, members, found, reference)

    def align_group(self, queue, group, reference):
        """Align a group by the stars that its exposures show together; as `align`."""
        sources = group.stars.sources
        metadata = group.alignments[0].exposure.metadata
        names = ", ".join(alignment.name for alignment in group.alignments)
        # Cosmic rays are in one exposure alone; but stars may be too, where there are few.
        for rows in (np.flatnonzero(group.stars.n_detections), np.arange(len(sources))):
            merged = Exposure(names, "", metadata, (), sources[rows])
            found, = _align_together([merged], reference, self.plane, self.rules)
            if found.status is Status.UNCHANGED:  # for the first of the group, not for all
                rules = dataclasses.replace(self.rules, onlybetter=False)
                found, = _align_together([merged], reference, self.plane, rules)
            if found.changes:
                verdicts = [_followed(_within_group(alignment, found, self.rules))
                            for alignment in group.alignments]
                return self._accepted(queue, group.members, verdicts, reference)
        return reference

    def _accepted(self, queue, members, found, reference):
        """Put results into the queue as the user wants them; return the reference, as `align`."""
        for i, verdict in zip(members, found, strict=True):
            verdict, answer = _reviewed(verdict, self.review)
            if answer != "accept":
                queue.rejected.add(i)
            if answer == "stop":
                queue.stopped = _STOPPED
            queue.verdicts[i] = verdict
            if not self.is_trial:
                _tell(verdict)
            if verdict.fit and verdict.status in (Status.ALIGNED, Status.UNCHANGED):
                reference = reference.with_detections(verdict.ref_rows[verdict.fit.used])
                if self.rules.expand_refcat and verdict.changes:
                    queue.teachers.append(i)
                    reference = _taught(reference, verdict)
        return reference


def _aligned_apart(exposure, reference, plane, rules):
    """Return the result of an exposure without the exposure, which need not be sent back."""
    verdict, = _align_together([exposure], reference, plane, rules)
    return dataclasses.replace(verdict, exposure=None)


def _taught(reference, verdict):
    """Return a reference with the sources of an exposure that has been aligned."""
    return reference.extended_with(verdict.aligned_sources(), rows=verdict.rows,
                                   ref_rows=verdict.ref_rows, used=verdict.fit.used)


def _final_sources(anchor, verdicts, teachers):
    """Return the sources of a reference that has learned from its teachers' final results."""
    reference = anchor
    for verdict in verdicts:
        if verdict.status is Status.REFERENCE and verdict.solved_chips:
            shifted = Exposure.measured(anchor.name, verdict.solved_chips, anchor.sources)
            reference = dataclasses.replace(anchor, sources=shifted.sources)
    for number in teachers:
        reference = _taught(reference, verdicts[number])
    return reference.sources


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
        _selection(reference.sources, rules.minobj, rules, reference.problem)
    except NotEnoughSources as error:
        return Alignment(reference, Status.FAILED, str(error), plane)
    return Alignment(reference, Status.REFERENCE, "", plane, reference=reference.sources)


def _selection(sources, n_stars, rules, problem=""):
    """Return the indices of the sources to match: the stars, or all where those are too few."""
    if problem:
        raise NotEnoughSources(problem)
    rows = stars(sources, max(n_stars, 1))
    _check_number(len(rows), rules)
    return rows


def _check_number(n_sources, rules):
    if n_sources < max(rules.fewest_matches, 1):
        raise NotEnoughSources(f"{n_sources} sources found, {rules.needed} are needed")


def _align_together(exposures, reference, plane, rules, *, confirmed=False):
    """Align exposures that share a correction, mostly one.

    A few stars by themselves tell more than among all sources that are no stars, as most are of an
    exposure of some seconds; only where they do not suffice the others are asked too.
    """
    catalog = reference.at(exposures[0].metadata.epoch)
    lists = [catalog, *(e.sources for e in exposures)]
    # Of two numbers by which the same sources are chosen one is enough.
    numbers = {tuple(len(stars(sources, n_stars)) for sources in lists): n_stars
               for n_stars in (rules.minobj, rules.fewest_matches)}
    for n_stars in sorted(numbers.values()):
        verdicts = _align_with(n_stars, exposures, reference, plane, catalog=catalog, rules=rules,
                               confirmed=confirmed)
        if any(verdict.status is not Status.FAILED for verdict in verdicts):
            break
    return verdicts


def _align_with(n_stars, exposures, reference, plane, *, catalog, rules, confirmed):
    """Align exposures by their stars, by all sources of a list that has fewer than `n_stars`.

    `catalog` is the reference at their epoch. An AlignmentError becomes a status.
    """
    first = exposures[0]
    if len(exposures) == 1 and first.name == reference.image:
        return [_reference_verdict(first, plane, rules)]
    shares_visit = reference.visit == first.metadata.visit and not first.lacks_wcs
    if reference.visit and shares_visit:
        shared = f"of the visit of {reference.name}, whose pointing it shares (group=visit)"
        return [Alignment(e, Status.FAILED if e.problem else Status.UNCHANGED, e.problem or shared,
                          plane) for e in exposures]
    usable = [e for e in exposures if not e.problem]
    found = None
    error = None
    pattern = None
    try:
        image = _image_points(usable or exposures, n_stars, plane, rules)
        ref_rows = _selection(catalog, n_stars, rules)
        if confirmed:
            ref_rows = ref_rows[reference.confirmed(ref_rows)]
        ref = _points([catalog], [ref_rows], plane)
        if first.lacks_wcs:
            first, pattern = placed(first, image.source_index, ref, plane, rules=rules)
            usable = [first]
            rules = rules_once_placed(rules)
            image = _image_points(usable, n_stars, plane, rules)
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


def _image_points(exposures, n_stars, plane, rules):
    """Return the sources of exposures to match; NotEnoughSources where they are too few."""
    if len(exposures) == 1:
        rows = [_selection(exposures[0].sources, n_stars, rules, exposures[0].problem)]
    else:
        rows = [stars(e.sources, n_stars) for e in exposures]
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
            verdict = judged_by_parity(verdict)
        yield _followed(verdict)


def _followed(verdict):
    """Return a verdict; that of a failure where no WCS can follow its fit."""
    try:
        if verdict.changes:  # it must show before any header is written
            verdict.corrected_chips()
    except AlignmentError as failure:
        return dataclasses.replace(verdict, status=Status.FAILED, reason=str(failure))
    return verdict


def _within_group(alignment, found, rules):
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


def _with_remarks(verdict):
    """Return a result whose reason says what its WCS does not put right: chips and distortion."""
    reasons = filter(None, [verdict.reason, *_loose_chips(verdict), *_distortion_left(verdict)])
    return verdict.with_reason("; ".join(reasons))


def _loose_chips(verdict: Alignment) -> Iterator[str]:
    """Yield a sentence for each chip that is shifted against the others."""
    if verdict.status is Status.FAILED or len(verdict.by_chip) < 2:
        return
    for chip, (number, mean, error) in verdict.by_chip.items():
        size = np.hypot(*mean)
        if size > CHIP_PIXELS and size > CHIP_SIGMA * np.hypot(*error):
            yield (f"chip {chip} is off by ({mean[0]:.3f}, {mean[1]:.3f}) pixels from the common "
                   f"fit, {number} matches")


def _distortion_left(verdict: Alignment) -> Iterator[str]:
    """Yield a sentence where the distortion models of image and reference differ."""
    if not verdict.changes or not verdict.nmatches:
        return
    size = verdict.curvature
    if size > max(CHIP_PIXELS, verdict.largest_error):
        yield ("its distortion model differs from the reference's by up to "
               f"{size:.2f} pixel, which the new WCS leaves")
