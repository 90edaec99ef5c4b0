"""Align exposures with a reference: match, fit, judge."""

from __future__ import annotations

import dataclasses
import enum
import functools
import logging

import numpy as np
from astropy.wcs import WCS

from imagereg.catalog import Flag, SourceCatalog
from imagereg.errors import AlignmentError, NotEnoughMatches, NotEnoughSources
from imagereg.fit import LinearFit, fit_linear
from imagereg.match import Match, chance_of, match
from imagereg.pattern import match_pattern
from imagereg.refframe import Reference
from imagereg.wcs import TangentPlane, border, corrected_wcs, pixel_scale, pixel_to_sky

_REMATCHES = 8
_TURNS = 10.0  # distinct rotations and scales that a fit which starts from an offset may end in

log = logging.getLogger(__name__)


class Status(enum.Enum):
    """What became of an exposure."""

    REFERENCE = "reference"
    ALIGNED = "aligned"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, eq=False)
class Chip:
    """One chip of an exposure.

    Parameters
    ----------
    extver : int
        EXTVER of its science extension.
    wcs : astropy.wcs.WCS
        With all distortions.
    shape : (int, int)
        Rows and columns.
    """

    extver: int
    wcs: WCS
    shape: tuple


@dataclasses.dataclass(frozen=True, eq=False)
class Exposure:
    """What is known of an exposure once its pixels are done with.

    Parameters
    ----------
    name : str
        Of its file.
    chips : tuple of Chip
        In order of EXTVER.
    sources : SourceCatalog
        Of all chips, with sky positions as the chips' WCS have them.
    problem : str
        Why there are no chips, one sentence; empty where there are.
    epoch : float
        Julian year of the middle of the exposure; NaN where it is not known.
    """

    name: str
    chips: tuple
    sources: SourceCatalog
    problem: str = ""
    epoch: float = np.nan

    @classmethod
    def measured(cls, name, chips, sources, *, problem="", epoch=np.nan):
        """Make an exposure of chips and of sources that have chip positions only."""
        sky, error = np.full((2, len(sources), 2), np.nan)
        for chip in chips:
            rows = sources.chip == chip.extver
            sky[rows] = pixel_to_sky(chip.wcs, sources.xy[rows])
            error[rows] = sources.xy_error[rows] * pixel_scale(chip.wcs)  # as if x and y were east and north
        return cls(name, tuple(chips), sources.replace(sky=sky, sky_error=error, origin=name), problem, epoch)

    @property
    def outlines(self):
        """Pairs of WCS and shape of all chips."""
        return [(chip.wcs, chip.shape) for chip in self.chips]


@dataclasses.dataclass(frozen=True)
class Rules:
    """How to match and fit; lengths in pixels of the plane. The parameters are those of the task, see its help."""

    searchrad: float = 20.0
    tolerance: float = 1.0
    separation: float = 0.0
    xoffset: float = 0.0
    yoffset: float = 0.0
    use2dhist: bool = True
    fitgeometry: str = "rscale"
    nclip: int = 3
    sigma: float | None = 3.0
    minobj: int = 15
    maxchance: float = 1e-6
    matching: str = "auto"
    expand_refcat: bool = False
    enforce_user_order: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """What became of an exposure, and why.

    Offsets are those of a shiftfile: what leads from the reference to the image as it is, in pixels of the plane,
    so that ``image_xy - centre = matrix(rot, scale) @ (ref_xy - centre) + (dx, dy)``.

    Parameters
    ----------
    exposure : Exposure
        As it was.
    status : Status
        The verdict.
    reason : str
        Why it is so, one sentence; empty for a success that needs no word.
    plane : TangentPlane
        On which the fit was made.
    match : Match or None
        The first match, by offset alone, with its histogram.
    chance : float
        Probability that unrelated lists match as well; NaN where nothing was matched.
    fit : LinearFit or None
        From image to reference.
    reference : SourceCatalog
        What the exposure was matched with.
    rows, ref_rows : (M,) ndarray of int
        The matched sources, as indices into the catalogs of the exposure and of the reference.
    image_xy, ref_xy : (M, 2) ndarray
        Their positions on the plane, before the fit.
    """

    exposure: Exposure
    status: Status
    reason: str
    plane: TangentPlane
    match: Match | None = None
    chance: float = np.nan
    fit: LinearFit | None = None
    reference: SourceCatalog = dataclasses.field(default_factory=SourceCatalog.empty)
    rows: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    ref_rows: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    image_xy: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 2)))
    ref_xy: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 2)))

    @property
    def name(self):
        """Name of the file."""
        return self.exposure.name

    @property
    def offset(self):
        """(2,) dx and dy of the shiftfile, pixels."""
        return self._of_fit(lambda fit: -np.linalg.solve(fit.matrix, fit.shift), np.zeros(2))

    @property
    def rotation(self):
        """Rot of the shiftfile, degrees."""
        return self._of_fit(lambda fit: fit.rotation, 0.0)

    @property
    def scale(self):
        """Scale of the shiftfile."""
        return self._of_fit(lambda fit: 1 / fit.scale, 1.0)

    @property
    def errors(self):
        """(4,) one-sigma errors of dx, dy, rot and scale."""
        return self._of_fit(lambda fit: np.array([*fit.shift_error, fit.rotation_error, fit.scale_error]), np.zeros(4))

    @property
    def rms(self):
        """(2,) rms of the residuals in x and y, pixels of the plane."""
        return self._of_fit(lambda fit: fit.rms, np.zeros(2))

    @property
    def nmatches(self):
        """Number of sources the fit is based on."""
        return self.fit.nmatches if self.fit else 0

    def _of_fit(self, value, reference):
        if self.status is Status.REFERENCE:
            return reference
        return value(self.fit) if self.fit else np.full(np.shape(reference), np.nan)[()]

    def sky_residuals(self):
        """Residuals (N, 2) of the used pairs towards east and north, arcsec."""
        ref_sky = self.plane.plane_to_sky(self.ref_xy[self.fit.used])
        image_sky = self.plane.plane_to_sky(self.fit(self.image_xy[self.fit.used]))
        east = (ref_sky[:, 0] - image_sky[:, 0] + 180) % 360 - 180
        return np.column_stack([east * np.cos(np.deg2rad(ref_sky[:, 1])), ref_sky[:, 1] - image_sky[:, 1]]) * 3600

    def corrected_chips(self):
        """Return the exposure's chips with the fit in their WCS; DegenerateFit where that can't follow it."""
        return self._corrected

    @functools.cached_property
    def _corrected(self):
        return tuple(dataclasses.replace(chip, wcs=corrected_wcs(chip.wcs, chip.shape, self.plane, self.fit))
                     for chip in self.exposure.chips)


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
    queue = list(exposures)
    cover = None if rules.enforce_user_order else coverage(exposures, plane)
    verdicts, stopped, reached = [None] * len(queue), "", np.zeros(len(queue), bool)
    if reference is None:
        number = 0 if cover is None else _most_overlap(cover, cover.sum(axis=0) > 1, ~reached)
        first, reached[number] = queue[number], True
        reference = Reference(first.name, first.sources)
        verdicts[number] = _reference_verdict(first, plane, rules)
        if verdicts[number].status is Status.FAILED:
            stopped = f"the reference {first.name} can't be used"
    while not reached.all():
        number = _following(cover, reached)
        exposure, reached[number] = queue[number], True
        if stopped:
            verdict, answer = Alignment(exposure, Status.FAILED, stopped, plane), ""
        else:
            verdict, answer = _reviewed(_align_one(exposure, reference, plane, rules), review)
        if answer == "stop":
            stopped = "stopped before this image"
        if rules.expand_refcat and verdict.status is Status.ALIGNED:
            reference = reference.grown(exposure, verdict.fit, plane, rows=verdict.rows, ref_rows=verdict.ref_rows)
        verdicts[number] = verdict
    return verdicts, reference


def _following(cover, reached):
    """Index of the exposure to take next: in order, or the one that overlaps most with those before."""
    if cover is None:
        return int(np.argmin(reached))
    return _most_overlap(cover, cover[reached].any(axis=0), ~reached)


def _reviewed(verdict, review):
    """Ask the user about a success; returns the verdict that stands and the answer."""
    if review is None or verdict.status is not Status.ALIGNED:
        return verdict, "accept"
    answer = review(verdict)
    if answer == "accept":
        return verdict, answer
    return dataclasses.replace(verdict, status=Status.FAILED, reason="rejected by the user"), answer


def coverage(exposures, plane, steps=200):
    """Sample which exposure covers what: (N, `steps` squared) bool on a grid over all footprints on the plane."""
    outlines = [[plane.sky_to_plane(pixel_to_sky(chip.wcs, border(chip.shape))) for chip in exposure.chips]
                for exposure in exposures]
    corners = np.concatenate([outline for chips in outlines for outline in chips] or [np.zeros((1, 2))])
    low, high = corners.min(axis=0), corners.max(axis=0)
    x, y = np.meshgrid(*(np.linspace(a, b, steps) for a, b in zip(low, high, strict=True)))
    points = np.column_stack([x.ravel(), y.ravel()])
    cover = np.zeros((len(outlines), len(points)), bool)
    for row, chips in zip(cover, outlines, strict=True):
        for outline in chips:
            row |= _inside(points, outline)
    return cover


def _inside(points, outline):
    """Tell which of `points` (N, 2) lie within a polygon (M, 2), by counting crossings."""
    (x, y), inside = points.T, np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


def _most_overlap(cover, target, candidates):
    """Index of the candidate that covers most of a target area; the first of equals."""
    shared = np.where(candidates, (cover & target).sum(axis=1), -1)
    return int(np.argmax(shared))


def _reference_verdict(reference, plane, rules):
    try:
        _selection(reference.sources, rules, reference.problem)
    except NotEnoughSources as error:
        return Alignment(reference, Status.FAILED, str(error), plane)
    return Alignment(reference, Status.REFERENCE, "", plane, reference=reference.sources)


@dataclasses.dataclass(frozen=True, eq=False)
class _Lists:
    """What of an exposure and of its reference is to be matched: indices, plane positions, their errors, fluxes."""

    rows: np.ndarray
    ref_rows: np.ndarray
    image_xy: np.ndarray
    ref_xy: np.ndarray
    errors: tuple
    fluxes: tuple

    @classmethod
    def of(cls, exposure, catalog, plane, rules):
        """Select the sources; NotEnoughSources where there are too few."""
        rows, ref_rows = _selection(exposure.sources, rules, exposure.problem), _selection(catalog, rules)
        image, ref = exposure.sources, catalog
        return cls(rows, ref_rows, plane.sky_to_plane(image.sky[rows]), plane.sky_to_plane(ref.sky[ref_rows]),
                   (image.sky_error[rows] / plane.pixel_scale, ref.sky_error[ref_rows] / plane.pixel_scale),
                   (image.flux[rows], ref.flux[ref_rows]))


def _align_one(exposure, reference, plane, rules):
    """Match and fit one exposure; every AlignmentError becomes a status here."""
    if exposure.name == reference.image:
        return _reference_verdict(exposure, plane, rules)
    catalog = reference.at(exposure.epoch)
    found, reason = {"reference": catalog}, ""
    try:
        lists = _Lists.of(exposure, catalog, plane, rules)
        if np.array_equal(lists.image_xy, lists.ref_xy):
            raise AlignmentError(f"its sources are those of {reference.name} to the last digit: the same exposure")
        try:
            if rules.matching != "triangles":
                _match_by_offset(found, lists, plane, rules)
        except NotEnoughMatches as failure:
            if rules.matching == "tolerance":
                raise
            log.info("%s: %s; trying patterns", exposure.name, failure)
            reason = _match_by_pattern(found, lists, plane, rules=rules, otherwise=str(failure))
        if rules.matching == "triangles":
            reason = _match_by_pattern(found, lists, plane, rules=rules)
        verdict = Alignment(exposure, Status.ALIGNED, reason, plane, **found)
        verdict.corrected_chips()  # a fit that no WCS can follow must show before any header is written
    except AlignmentError as error:
        return Alignment(exposure, Status.FAILED, str(error), plane, **found)
    return verdict


def _match_by_offset(found, lists, plane, rules):
    """Match by the offset within searchrad, fit and judge; what is found goes into a dict as far as it comes."""
    first = match(lists.image_xy, lists.ref_xy, searchrad=rules.searchrad, tolerance=rules.tolerance,
                  separation=rules.separation, offset=(-rules.xoffset, -rules.yoffset), use2dhist=rules.use2dhist,
                  odds=False)
    found["match"] = first
    pairs = _fit_into(found, first, lists, plane, rules=rules)
    chance = chance_of(len(pairs), found["fit"](lists.image_xy), lists.ref_xy, rules.tolerance)
    found["chance"] = min(1.0, chance * _trials(rules))
    _judge(len(pairs), found["fit"], found["chance"], rules)


def _match_by_pattern(found, lists, plane, *, rules, otherwise=""):
    """Match by patterns, fit and judge; returns what is to be said of it.

    Where nothing is found, the error of the offsets, `otherwise`, is the one to tell.
    """
    try:
        pattern = match_pattern(lists.image_xy, lists.ref_xy, tolerance=rules.tolerance, image_flux=lists.fluxes[0],
                                ref_flux=lists.fluxes[1])
    except (NotEnoughMatches, NotEnoughSources) as error:
        raise NotEnoughMatches(otherwise or str(error)) from error
    start = match(pattern(lists.image_xy), lists.ref_xy, searchrad=rules.tolerance, tolerance=rules.tolerance,
                  separation=rules.separation, use2dhist=False, odds=False)
    pairs = _fit_into(found, start, lists, plane, rules=rules)
    found["chance"] = pattern.chance
    _judge(len(pairs), found["fit"], pattern.chance, rules)
    middle = lists.image_xy.mean(axis=0)
    offset = np.hypot(*(found["fit"](middle) - middle)) * plane.pixel_scale
    return (f"found by pattern match: offset {offset:.1f} arcsec, rotation {found['fit'].rotation:.3f} degree, "
            f"{len(pairs)} matches, chance {pattern.chance:.0e}")


def _fit_into(found, start, lists, plane, *, rules):
    """Fit from first pairs on, and put the fit and its pairs into a dict; returns the last Match."""
    pairs, fit = _iterate(start, lists.image_xy, lists.ref_xy, lists.errors, centre=plane.centre, rules=rules)
    i, r = pairs.image_index, pairs.ref_index
    found.update(fit=fit, rows=lists.rows[i], ref_rows=lists.ref_rows[r], image_xy=lists.image_xy[i],
                 ref_xy=lists.ref_xy[r])
    return pairs


def _selection(sources, rules, problem=""):
    """Return the indices of the sources to match: the stars, or, where there are too few of them, all."""
    if problem:
        raise NotEnoughSources(problem)
    needed = max(rules.minobj, 1)
    rows = np.flatnonzero((sources.flags & Flag.UNRELIABLE) == 0)
    if len(rows) < needed:
        rows = np.arange(len(sources))
    if len(rows) < needed:
        raise NotEnoughSources(f"{len(rows)} sources found, minobj={rules.minobj} are needed")
    return rows


def _iterate(pairs, image_xy, ref_xy, errors, *, centre, rules):
    """Fit, match again with the fit applied, until the pairs stay; returns the last pairs and fit."""
    for remaining in reversed(range(_REMATCHES)):
        i, r = pairs.image_index, pairs.ref_index
        fit = fit_linear(image_xy[i], ref_xy[r], geometry=rules.fitgeometry, nclip=rules.nclip, sigma=rules.sigma,
                         errors=np.hypot(errors[0][i], errors[1][r]), centre=centre)
        if not remaining:
            break
        again = match(fit(image_xy), ref_xy, searchrad=rules.tolerance, tolerance=rules.tolerance,
                      separation=rules.separation, use2dhist=False, odds=False)
        if np.array_equal(again.image_index, i) and np.array_equal(again.ref_index, r):
            break
        pairs = again
    return pairs, fit


def _trials(rules):
    """Return how many independent transforms could have been found: offsets, and a little rotation and scale."""
    offsets = (2 * rules.searchrad) ** 2 / (np.pi * rules.tolerance**2) if rules.use2dhist else 1.0
    return max(1.0, offsets) * (1 if rules.fitgeometry == "shift" else _TURNS)


def _judge(matches, fit, chance, rules):
    """Raise NotEnoughMatches where the matches are too few or what chance would give."""
    if fit.nmatches < rules.minobj:
        raise NotEnoughMatches(f"{fit.nmatches} matches within tolerance={rules.tolerance:g} pixel, "
                               f"minobj={rules.minobj} are needed")
    if chance > rules.maxchance:
        raise NotEnoughMatches(f"{matches} matches, as unrelated sources would give with probability {chance:.2g}")
