"""Align exposures with a reference: which is next, what becomes of it, what the reference learns from it."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np

from imagereg.alignment.coverage import coverage, following, most_overlap
from imagereg.alignment.exposure import Alignment, Chip, Exposure, Rules, Status
from imagereg.alignment.match import Match
from imagereg.alignment.solve import Found, Lists, solve
from imagereg.catalogs.reference import Reference
from imagereg.catalogs.sources import Flag
from imagereg.errors import AlignmentError, NotEnoughSources

__all__ = ["Alignment", "Chip", "Exposure", "Reference", "Rules", "Status", "align"]

_NEEDED = 0.01  # probability below which a change is significant
_CHIP_SIGMA, _CHIP_PIXELS = 5.0, 0.02  # a mean residual of a chip beyond both is worth a word

log = logging.getLogger(__name__)


def align(exposures, plane, rules, *, reference=None, review=None):
    """Align exposures with a reference, or with one of them.

    Parameters
    ----------
    exposures : sequence of Exposure
        The first one is the reference where none is given; the one that overlaps most with the others where
        ``rules.enforce_user_order`` is off.
    plane : TangentPlane
        On which to match and fit.
    rules : Rules
        How to.
    reference : refframe.Reference, optional
        What to align with.
    review : callable, optional
        Called with every success; returns 'accept', 'reject' or 'stop'.

    Returns
    -------
    alignments : list of Alignment
        One for each exposure, in order; a failure is a status there, not an exception.
    reference : refframe.Reference
        What they were aligned with, grown where ``rules.expand_refcat`` is on.
    """
    queue = _Queue(exposures, plane, rules)
    if reference is None:
        number = queue.first()
        first = queue.exposures[number]
        reference = Reference(first.name, first.sources, visit=first.visit if rules.group == "visit" else "")
        queue.verdicts[number] = _reference_verdict(first, plane, rules)
        if queue.verdicts[number].status is Status.FAILED:
            queue.stopped = f"the reference {first.name} can't be used"
    work = _Work(plane, rules, review)
    while members := queue.following():
        reference = work.on(queue, members, reference)
    for members in queue.failed():  # what several exposures have seen may help where a single one did not
        reference = work.on(queue, members, reference, confirmed=True)
    return queue.verdicts, reference


class _Queue:
    """Exposures with the verdicts on them, and the order in which they are taken."""

    def __init__(self, exposures, plane, rules):
        self.exposures = list(exposures)
        self.verdicts, self.stopped, self.rejected = [None] * len(self.exposures), "", set()
        self._cover = None if rules.enforce_user_order else coverage(self.exposures, plane)
        self._group = rules.group == "visit"

    def first(self):
        """Return the index of the exposure that is the reference."""
        return 0 if self._cover is None else most_overlap(self._cover, self._cover.sum(axis=0) > 1)

    def following(self):
        """Return the indices of the exposures to take next, several where they share a correction; none at the end."""
        open_ = np.array([verdict is None for verdict in self.verdicts])
        if not open_.any():
            return []
        number = following(self._cover, ~open_)
        return self._with_visit(number, np.flatnonzero(open_))

    def failed(self):
        """Yield the indices of exposures that may be tried again, as `following` gives them."""
        shared = {e.visit for e, verdict in zip(self.exposures, self.verdicts, strict=True)
                  if self._group and e.visit and verdict.status is not Status.FAILED}
        failed = [i for i, verdict in enumerate(self.verdicts) if verdict.status is Status.FAILED and verdict.match
                  and i not in self.rejected and self.exposures[i].visit not in shared]
        helped = any(verdict.changes or verdict.status is Status.UNCHANGED for verdict in self.verdicts)
        while failed and helped and not self.stopped:
            members = self._with_visit(failed[0], failed)
            failed = [i for i in failed if i not in members]
            yield members

    def _with_visit(self, number, among):
        visit = self.exposures[number].visit
        if not (self._group and visit):
            return [int(number)]
        return [int(i) for i in among if self.exposures[i].visit == visit]


@dataclasses.dataclass(frozen=True)
class _Work:
    """How one exposure, or several that share a correction, come to their verdicts."""

    plane: object
    rules: Rules
    review: object

    def on(self, queue, members, reference, *, confirmed=False):
        """Put verdicts on exposures of the queue; returns the reference that has learned from them.

        Where only what is `confirmed` of the reference is asked, a failure leaves the verdicts that there are.
        """
        exposures = [queue.exposures[i] for i in members]
        if queue.stopped:
            found = [Alignment(e, Status.FAILED, queue.stopped, self.plane) for e in exposures]
        else:
            found = _align_together(exposures, reference, self.plane, self.rules, confirmed=confirmed)
            if confirmed and all(verdict.status is Status.FAILED for verdict in found):
                return reference
        for i, verdict in zip(members, found, strict=True):
            verdict, answer = _reviewed(verdict, self.review)
            if answer != "accept":
                queue.rejected.add(i)
                queue.stopped = queue.stopped or ("stopped before this image" if answer == "stop" else "")
            queue.verdicts[i] = verdict
            if verdict.fit and verdict.status in (Status.ALIGNED, Status.UNCHANGED):
                reference = self._learned(reference, verdict)
        return reference

    def _learned(self, reference, verdict):
        reference = reference.with_detections(verdict.ref_rows[verdict.fit.used])
        if not (self.rules.expand_refcat and verdict.changes):
            return reference
        return reference.extended_with(verdict.exposure, verdict.fit, self.plane, rows=verdict.rows,
                                       ref_rows=verdict.ref_rows)


def _reviewed(verdict, review):
    """Ask the user about a success; returns the verdict that stands and the answer."""
    if review is None or not verdict.changes:
        return verdict, "accept"
    answer = review(verdict)
    if answer == "accept":
        return verdict, answer
    return dataclasses.replace(verdict, status=Status.FAILED, reason="rejected by the user"), answer


def _reference_verdict(reference, plane, rules):
    try:
        _selection(reference.sources, rules, reference.problem)
    except NotEnoughSources as error:
        return Alignment(reference, Status.FAILED, str(error), plane)
    return Alignment(reference, Status.REFERENCE, "", plane, reference=reference.sources)


def _selection(sources, rules, problem=""):
    """Return the indices of the sources to match: the stars, or, where there are too few of them, all."""
    if problem:
        raise NotEnoughSources(problem)
    rows = _stars(sources, max(rules.minobj, 1))
    if len(rows) < max(rules.minobj, 1):
        raise NotEnoughSources(f"{len(rows)} sources found, minobj={rules.minobj} are needed")
    return rows


def _stars(sources, needed):
    rows = np.flatnonzero((sources.flags & Flag.UNRELIABLE) == 0)
    return rows if len(rows) >= needed else np.arange(len(sources))


def _align_together(exposures, reference, plane, rules, *, confirmed=False):
    """Match and fit exposures that share a correction, mostly one; every AlignmentError becomes a status here."""
    if len(exposures) == 1 and exposures[0].name == reference.image:
        return [_reference_verdict(exposures[0], plane, rules)]
    if reference.visit and reference.visit == exposures[0].visit:
        shared = f"of the visit of {reference.name}, whose pointing it shares (group=visit)"
        return [Alignment(e, Status.FAILED if e.problem else Status.UNCHANGED, e.problem or shared, plane)
                for e in exposures]
    catalog = reference.at(exposures[0].epoch)
    usable = [e for e in exposures if not e.problem]
    found, error = None, None
    try:
        among = reference.confirmed if confirmed else None
        lists = _lists(usable or exposures, catalog, plane, rules=rules, among=among)
        if len(usable) == 1 and np.array_equal(lists.image_xy, lists.ref_xy):
            raise AlignmentError(f"its sources are those of {reference.name} to the last digit: the same exposure")
        found = solve(lists, plane, rules)
    except AlignmentError as failure:
        error = failure
    verdicts = iter(_split(found, error, usable, catalog, plane=plane, rules=rules))
    return [Alignment(e, Status.FAILED, e.problem, plane) if e.problem else next(verdicts) for e in exposures]


def _lists(exposures, catalog, plane, *, rules, among):
    """Return what of the exposures and of the reference is to be matched; NotEnoughSources where that is too little."""
    if len(exposures) == 1:
        rows = [_selection(exposures[0].sources, rules, exposures[0].problem)]
    else:
        rows = [_stars(e.sources, rules.minobj) for e in exposures]
        if sum(map(len, rows)) < max(rules.minobj, 1):
            raise NotEnoughSources(f"{sum(map(len, rows))} sources found, minobj={rules.minobj} are needed")
    ref_rows = _selection(catalog, rules)
    if among is not None:
        ref_rows = ref_rows[among(ref_rows)]
    chosen = [e.sources[r] for e, r in zip(exposures, rows, strict=True)]
    ref = catalog[ref_rows]

    def column(of):
        return np.concatenate([of(sources) for sources in chosen])

    def pixel(sources):
        return np.column_stack([sources.chip, sources.xy])

    def error(sources):
        return sources.sky_error / plane.pixel_scale

    return Lists(image_xy=column(lambda s: plane.sky_to_plane(s.sky)), ref_xy=plane.sky_to_plane(ref.sky),
                 image_error=column(error), ref_error=error(ref), image_flux=column(lambda s: s.flux),
                 ref_flux=ref.flux, image_pixel=column(pixel), ref_pixel=pixel(ref),
                 owner=np.repeat(np.arange(len(rows)), list(map(len, rows))), rows=np.concatenate(rows),
                 ref_rows=ref_rows)


def _split(found, error, exposures, catalog, *, plane, rules):
    """Yield the verdict on each exposure, from what was found for all of them or the error that says why not."""
    status, reason = _verdict(found, error, plane, rules)
    attempt = found or error.attempt
    for number, exposure in enumerate(exposures):
        details = {"reference": catalog, "match": attempt if isinstance(attempt, Match) else None}
        if isinstance(attempt, Found):
            details.update(_details(attempt, number))
        verdict = Alignment(exposure, status, reason, plane, **details)
        if found and len(exposures) > 1 and found.contradicts(number, rules):
            alone = "its sources do not follow the correction that its visit shares (group=visit)"
            verdict = dataclasses.replace(verdict, status=Status.FAILED, reason=alone)
        try:
            if verdict.changes:
                verdict.corrected_chips()  # a fit that no WCS can follow must show before any header is written
        except AlignmentError as failure:
            verdict = dataclasses.replace(verdict, status=Status.FAILED, reason=str(failure))
        yield dataclasses.replace(verdict, reason="; ".join(filter(None, [verdict.reason, *_loose_chips(verdict)])))


def _verdict(found, error, plane, rules):
    """Return status and reason: a success, one that would change nothing, or a failure."""
    if error is not None:
        return Status.FAILED, str(error)
    if rules.onlybetter and found.fit.needlessness > _NEEDED:
        used = found.fit.used
        before, after = (np.sqrt((r[used] ** 2).sum(axis=1).mean()) * plane.pixel_scale * 1000
                         for r in (found.ref_xy - found.image_xy, found.fit.residuals))
        needless = (f"its WCS is as good as a new one, rms {before:.3g} and {after:.3g} mas of {used.sum()} matches "
                    f"(probability {found.fit.needlessness:.2g})")
        return Status.UNCHANGED, "; ".join(filter(None, [needless, found.how]))
    return Status.ALIGNED, found.how


def _details(found, number):
    """Return what an Alignment knows of a solution: the pairs of one of the exposures that share it."""
    mine = found.lists.owner[found.image_index] == number
    i, r = found.image_index[mine], found.ref_index[mine]
    return {"match": found.match, "fit": found.fit.of(mine), "chance": found.chance, "rows": found.lists.rows[i],
            "ref_rows": found.lists.ref_rows[r], "image_xy": found.lists.image_xy[i], "ref_xy": found.lists.ref_xy[r]}


def _loose_chips(verdict):
    """Yield a sentence for each chip that is shifted against the others."""
    if verdict.status is Status.FAILED or len(verdict.by_chip) < 2:
        return
    for chip, (number, mean, error) in verdict.by_chip.items():
        size = np.hypot(*mean)
        if size > _CHIP_PIXELS and size > _CHIP_SIGMA * np.hypot(*error):
            yield (f"chip {chip} is off by ({mean[0]:.3f}, {mean[1]:.3f}) pixels from the common fit, "
                   f"{number} matches")
