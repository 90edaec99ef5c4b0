"""Find the linear transform from the sources of an exposure to those of its reference.

Offsets are looked for first where they are expected, then in wider boxes; then a pattern is. Every
candidate is fitted, and has to be more than chance gives. Two that are about as good are an
ambiguity, and one that keeps sources on the same pixels of the detector, although the telescope has
moved, is one of defects and not of stars.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
from collections.abc import Callable, Iterator

import numpy as np

from imagereg.alignment.evidence import FittedCandidate, explained, loneliest_half, repetition
from imagereg.alignment.fitting.fit import fit_linear
from imagereg.alignment.fitting.weights import pair_errors
from imagereg.alignment.matching.match import (
    Candidate,
    PointSet,
    match_given_offset,
    match_offsets,
    no_pairs,
    pair_at,
)
from imagereg.alignment.matching.pattern import match_patterns
from imagereg.alignment.significance import (
    SAME_PIXEL,
    chance_of_pairs,
    is_expected_peak,
    log10,
    n_trials_of_offset,
    pairs_on_same_pixel,
)
from imagereg.alignment.verdict import Rules
from imagereg.errors import AlignmentError, AmbiguousMatch, DegenerateFit, NotEnoughMatches
from imagereg.wcs import TangentPlane

_MOST_REMATCHES = 8  # after which pairs that still change are taken as they are
_PLENTY = 100_000  # sources; of more, a part is fitted first, see tests/bench/match_speed.py
_WIDER = 3.0  # by which the search box grows
_WIDEST = 27.0  # times searchrad, three steps
_CERTAIN = -12.0  # log10 of the chance probability at which a finer tolerance adds nothing
_FINEST = 1 / 8  # of the tolerance; less than the errors of positions
_RIVAL_HEIGHT = 0.5  # of the first peak; a lower one is no rival
# Of many sources that one list alone has, cosmic rays say, fewer are among the brightest.
_BRIGHTEST = (50, 200)
_N_PARTS = 2 + len(_BRIGHTEST)  # all sources, the brightest, the loneliest
_FEW_EXPLAINED = 0.25  # of what should match; patterns may explain more
_MOST_EXPLAINED = 0.5  # of what should match; nothing else can explain more
# Of the shorter list, where it stays on its pixels although the headers say that it moves: nearly
# all does where the headers are wrong, a part only where there are defects and stars.
_STARS_THAT_STAY = 0.8
_FEW_FLUXES = 5  # magnitudes that say nothing about their scatter
_LEAST_SCATTER = 0.02  # magnitudes; variable stars and rounding are no mismatches

log = logging.getLogger(__name__)


def solve(image: PointSet, reference: PointSet, plane: TangentPlane, rules: Rules, *, name: str,
          everything: Callable[[], tuple[PointSet, PointSet]] | None = None) -> FittedCandidate:
    """Find the transform from an image to its reference.

    Parameters
    ----------
    image, reference : PointSet
        Their sources.
    plane : TangentPlane
        On which they are.
    rules : Rules
        How to match and fit.
    name : str
        Of the image, for the log.
    everything : callable, optional
        Returns both lists with their unreliable sources, which are asked where the others stay on
        their pixels: a point-spread function made of hot pixels fits no star.

    Raises
    ------
    AlignmentError
        There is none to be believed: NotEnoughSources, NotEnoughMatches, DegenerateFit or
        AmbiguousMatch. Where the search got as far as a fit, or to a histogram, the error has that
        as its attribute `attempt`, a FittedCandidate or a Candidate.
    """
    least_dither = rules.tolerance + SAME_PIXEL
    found = None
    try:
        found = _Search(image, reference, plane, rules, name).run()
        dither = found.detector_fixed_shift
        if dither <= least_dither:
            return found
        failure = _failed(
            AmbiguousMatch,
            f"{len(found)} matches stay on the same pixels of the detector, though the headers say "
            f"that the telescope moved by {dither:.1f} pixels: defects, not stars", found)
    except AmbiguousMatch as error:
        failure = error
    lists = everything() if everything else (image, reference)
    moving, ref_moving, n_fixed = _without_fixed(*lists, least_dither)
    if n_fixed:
        try:
            other = _Search(moving, ref_moving, plane, rules, name).run()
        except AlignmentError:
            log.debug("%s: nothing is found without the %d sources that stay on the same pixels",
                      name, n_fixed)
        else:
            said = f"{n_fixed} sources that stay on the same pixels of the detector are left out"
            return dataclasses.replace(other, how="; ".join(filter(None, [other.how, said])))
    # On the detector the lists lie upon each other: no source is outside of the other one's area.
    if found and len(found) >= _STARS_THAT_STAY * min(len(found.image), len(found.reference)):
        stay = (f"the sources stay on the same pixels of the detector, though the headers say that "
                f"the telescope moved by {found.detector_fixed_shift:.1f} pixels")
        return dataclasses.replace(found, how="; ".join(filter(None, [found.how, stay])))
    if found and not rules.onlybetter:
        return dataclasses.replace(found, how=str(failure))
    raise failure


def _failed(kind, text, attempt):
    """Return an error that knows how far the search got."""
    failure = kind(text)
    failure.attempt = attempt
    return failure


def _without_fixed(image, reference, least_dither):
    """Leave out sources that stay on their pixel though the plane says that they moved.

    Returns the rest of the image and of the reference, and the number left out of the image.
    """
    i, r = pairs_on_same_pixel(image.pixel, reference.pixel)
    moved = np.hypot(*(image.xy[i] - reference.xy[r]).T) > least_dither
    of_image = np.ones(len(image), bool)
    of_image[i[moved]] = False
    of_ref = np.ones(len(reference), bool)
    of_ref[r[moved]] = False
    return image[of_image], reference[of_ref], int((~of_image).sum())


@dataclasses.dataclass(frozen=True, eq=False)
class _Search:
    """The search for one transform: what is matched, where, and how."""

    image: PointSet
    reference: PointSet
    plane: TangentPlane
    rules: Rules
    name: str
    whole: _Search | None = None  # where this one is among a part of the sources

    @property
    def _spacing(self):
        """Keywords of all matchers."""
        return {"tolerance": self.rules.tolerance, "separation": self.rules.separation}

    def run(self):
        """Return the fit that explains most: by offsets in wider and wider boxes, or by patterns.

        The search goes on until a fit explains most of what should match.
        """
        found = []
        failures = []
        if self.rules.matching != "triangles":
            for search in itertools.chain([self], self._among_some()):
                found += search._by_offsets(failures)
                if found:
                    break
        share = max((fitted.share for fitted in found), default=0)
        if self.rules.matching != "tolerance" and share < _FEW_EXPLAINED:
            if failures:
                log.info("%s: %s; trying patterns", self.name, failures[0])
            by_pattern = functools.partial(match_patterns, judge=self.rules.judge,
                                           **self._spacing)
            try:
                found += self._fits(by_pattern, "found by pattern match")
            except AlignmentError as error:
                failures.append(error)
        if found:
            return self._few_told(self._best(found))
        # What was found and can't be used says more than what was not found; else the search that
        # was asked for counts.
        telling = (e for e in failures if isinstance(e, (AmbiguousMatch, DegenerateFit)))
        failure = next(telling, failures[0])
        failure.offsets = failure.offsets or failures[0].offsets
        raise failure

    def _by_offsets(self, failures):
        """Return the fits by offsets in wider and wider boxes; add to the failures where one fails.

        The search goes on until a fit explains most of what should match.
        """
        found = []
        for searchrad in self._search_radii():
            box = searchrad * self.plane.pixel_scale
            try:
                found += self._fits(self._offset_matcher(searchrad),
                                    f"found in a box of {box:.3g} arcsec")
            except AlignmentError as error:
                failures.append(error)
                continue
            if self._most(found).share >= _MOST_EXPLAINED and not self._rivals(found):
                break
        return found

    def _among_some(self):
        """Yield searches among the brightest sources of both lists, and among the loneliest."""
        for number in _BRIGHTEST:
            if number < max(len(self.image), len(self.reference)):
                yield self._among(self.image.brightest(number), self.reference.brightest(number))
        yield self._among(self.image[loneliest_half(self.image.xy)],
                          self.reference[loneliest_half(self.reference.xy)])

    def _among(self, image, reference):
        return dataclasses.replace(self, image=image, reference=reference, whole=self)

    def _search_radii(self) -> Iterator[float]:
        """Yield half sides of search boxes, pixels, as far as the sources reach."""
        searchrad = min(self.rules.searchrad, self._farthest)
        yield searchrad
        can_grow = self.rules.matching == "auto" and self.rules.use2dhist
        if can_grow and len(self.image) and len(self.reference):
            extent = max(np.ptp(xy, axis=0).max() for xy in (self.image.xy, self.reference.xy))
            radius = searchrad * _WIDER
            while radius < min(extent, searchrad * _WIDEST * 1.01):  # and rounding
                yield radius
                radius *= _WIDER

    @property
    def _farthest(self) -> float:
        """Half side of a box, pixels, around the first guess that holds the offsets of all pairs.

        A search for some degrees, as scripts ask for it, would need a histogram of gigabytes.
        """
        if not len(self.image) or not len(self.reference):
            return self.rules.searchrad
        guess = np.array([self.rules.xoffset, self.rules.yoffset])
        ends = [xy.max(axis=0) for xy in (self.image.xy - guess, self.reference.xy)]
        starts = [xy.min(axis=0) for xy in (self.image.xy - guess, self.reference.xy)]
        return float(np.ceil(np.abs([ends[0] - starts[1], ends[1] - starts[0]]).max() + 1))

    def _offset_matcher(self, searchrad):
        """Return the matcher that finds an offset in a box, or takes the one that is given."""
        first_guess = (-self.rules.xoffset, -self.rules.yoffset)
        if not self.rules.use2dhist:
            return functools.partial(match_given_offset, offset=first_guess, **self._spacing)
        return functools.partial(match_offsets, searchrad=searchrad, first_guess=first_guess,
                                 **self._spacing)

    def _fits(self, matcher, how):
        """Return the fits of a matcher's candidates that stand out and are believed, best first.

        Raises an AlignmentError where there is none.
        """
        found = []
        first = None
        failure = None
        for candidate in matcher(self.image, self.reference):
            if found and candidate.prominence < _RIVAL_HEIGHT:
                break
            if first and self._is_hopeless(candidate):
                continue
            first = first or candidate
            try:
                found.append(self._told(self._fitted(candidate), how))
            except (NotEnoughMatches, DegenerateFit, AmbiguousMatch) as error:
                failure = failure or error
        if not found:
            failure = failure or no_pairs(self.rules.tolerance)
            failure.attempt = failure.attempt or first
            failure.offsets = first
            raise failure
        return sorted(found, key=lambda fitted: -fitted.n_beyond_chance)

    def _is_hopeless(self, candidate):
        """Tell whether chance alone gives a peak as high; fitting many of these would take long."""
        return is_expected_peak(
            len(candidate), self.image.xy + candidate.offset, self.reference.xy,
            self.rules.tolerance, half_box=candidate.half_box)

    def _few_told(self, found):
        """Say that the matches are fewer than minobj where the user did not insist on that."""
        if len(found) >= self.rules.minobj:
            return found
        few = (f"{len(found)} matches, fewer than minobj={self.rules.minobj}, explain "
               f"{found.share:.0%} of what should match, chance {found.chance_probability:.0e}")
        return dataclasses.replace(found, how="; ".join(filter(None, [found.how, few])))

    @staticmethod
    def _most(found):
        """Return the fit with most matches beyond chance."""
        return max(found, key=lambda fitted: fitted.n_beyond_chance)

    def _best(self, found):
        """Return the fit that explains most; AmbiguousMatch where another explains as much."""
        best = self._most(found)
        rivals = self._rivals(found)
        if rivals:
            second = self._most(rivals)
            middle = best.image_xy.mean(axis=0)
            shifts = [fitted.fit(best.image_xy).mean(axis=0) - middle for fitted in (best, second)]
            first, other = (f"({x:.1f}, {y:.1f})" for x, y in shifts)
            raise _failed(
                AmbiguousMatch, f"offsets {first} and {other} pixels explain the sources about as "
                f"well, with {len(best)} and {len(second)} matches", best)
        # A wider box finds the same again: the first one knows where it was looked for.
        return next(fitted for fitted in found
                    if fitted is best or self._distance(fitted, best) < self.rules.tolerance
                    and len(fitted) >= len(best))

    def _rivals(self, found):
        """Return the fits that differ from the best one and explain about as much."""
        best = self._most(found)
        is_rival = self.rules.judge.is_rival
        return [fitted for fitted in found if is_rival(
            self._distance(fitted, best), fitted.n_beyond_chance, best.n_beyond_chance)]

    @staticmethod
    def _distance(one, other):
        """Return how far apart two fits put the sources that the second one matches, pixels."""
        return np.hypot(*(one.fit(other.image_xy) - other.fit(other.image_xy)).T).max()

    def _fitted(self, candidate):
        """Fit from a candidate on; an AlignmentError where it is not to be believed."""
        fitted = self._settled(candidate, self.rules.tolerance)
        if np.isfinite(candidate.chance_probability):  # of a pattern, by all that was tried for it
            # A fit that can't mirror keeps hardly any pair of the pattern of a mirrored field.
            kept = min(len(fitted) / len(candidate), 1.0)
            log10_chance = log10(candidate.chance_probability) * kept
            fitted = dataclasses.replace(fitted, log10_chance=log10_chance)
        else:
            fitted = self._with_odds(fitted, candidate, self.rules.tolerance)
            fitted = self._finer(fitted, candidate)
        self._require(fitted)
        return self._examined(fitted, candidate)

    def _require(self, fitted):
        """Raise NotEnoughMatches where chance would give as many matches."""
        if not self.rules.judge.believes(fitted.chance_probability):
            raise _failed(
                NotEnoughMatches, f"{len(fitted)} matches, as unrelated sources would give with "
                f"probability {fitted.chance_probability:.2g}", fitted)

    def _examined(self, fitted, candidate):
        """Ask a fit that is no chance for what repeats itself, and for what should match.

        Raises AmbiguousMatch or NotEnoughMatches where that speaks against it.
        """
        image_xy = fitted.fit(self.image.xy)
        whole = self.whole or self
        repeated = repetition(fitted.ref_xy, fitted.fit(whole.image.xy), whole.reference.xy,
                              tolerance=self.rules.tolerance)
        judge = self.rules.judge
        if judge.is_repetition(repeated.share):
            x, y = repeated.step
            raise _failed(
                AmbiguousMatch, f"its sources repeat themselves at a step of ({x:.1f}, {y:.1f}) "
                "pixels, so that more than one offset explains them", fitted)
        lines = fitted.lines(self.rules.tolerance)
        counted = (1 - repeated.covered) * (1 - lines.share)
        if counted < 1:
            if np.isnan(candidate.chance_probability):
                fitted = self._with_odds(fitted, candidate, self.rules.tolerance,
                                         covered=repeated.covered, lines=lines)
            else:  # the logarithm of a pattern's odds goes with the number of its matches
                log10_chance = fitted.log10_chance * counted
                fitted = dataclasses.replace(fitted, log10_chance=log10_chance)
            self._require(fitted)
        share = explained(self.image.at(image_xy), self.reference, fitted.image_index,
                          fitted.ref_index)
        fitted = dataclasses.replace(fitted, explained=share)
        are_few = self._is_outside(fitted) and len(fitted) < self.rules.minobj
        if are_few and judge.may_be_accident(len(fitted)):
            raise _failed(
                AmbiguousMatch, f"{len(fitted)} matches at an offset outside searchrad are what "
                f"fields may have by accident: a larger searchrad, or minobj={len(fitted)}, takes "
                "them", fitted)
        if not judge.explains(share.share, are_few=are_few):
            raise _failed(NotEnoughMatches, f"{len(fitted)} matches explain {share}", fitted)
        return fitted

    def _offset(self, fitted):
        """Return by how much (2,) a fit moves the image beyond the first guess, pixels."""
        middle = self.image.xy.mean(axis=0)
        first_guess = np.array([-self.rules.xoffset, -self.rules.yoffset])
        return fitted.fit(middle) - middle - first_guess

    def _is_outside(self, fitted):
        """Tell whether a fit has its offset outside the box where it was expected."""
        return np.abs(self._offset(fitted)).max() > self.rules.searchrad

    def _finer(self, fitted, candidate):
        """Fit with smaller tolerances, as long as that makes chance less probable."""
        tolerance = self.rules.tolerance / 2
        finest = _FINEST * self.rules.tolerance
        while fitted.log10_chance > _CERTAIN and tolerance >= finest:
            try:
                finer = self._settled(fitted, tolerance)
            except AlignmentError:
                break
            finer = self._with_odds(finer, candidate, tolerance)
            if not finer.log10_chance < fitted.log10_chance:
                break
            fitted = finer
            tolerance /= 2
        return fitted

    def _with_odds(self, fitted, candidate, tolerance, *, covered=0.0, lines=None):
        """Work out the odds; a reference source counts once, and a share of the matches not."""
        along = lines.share if lines else 0.0
        n_counted = len(np.unique(fitted.ref_index)) * (1 - covered) * (1 - along)
        image_xy = fitted.fit(self.image.xy)
        log10_one, n_expected = chance_of_pairs(n_counted, image_xy, self.reference.xy, tolerance,
                                                matched=fitted.image_index)
        if lines and lines.number == 1:  # several may be rows of a grid, which agree along too
            log10_along = fitted.log10_chance_along(lines, tolerance, covered)
            log10_one = min(log10_one, log10_along) + np.log10(2)
        n_trials = n_trials_of_offset(candidate.half_box, tolerance,
                                      geometry=self.rules.fitgeometry,
                                      first_tolerance=self.rules.tolerance)
        n_trials *= _N_PARTS if self.whole else 1
        return dataclasses.replace(fitted, candidate=candidate, n_expected=n_expected,
                                   log10_chance=min(0.0, log10_one + np.log10(n_trials)))

    def _settled(self, pairs, tolerance):
        """Fit, and match again with the fit applied, until the pairs stay the same.

        `pairs` is a Candidate or a FittedCandidate. NotEnoughMatches where they are too few.
        """
        rules = self.rules
        n_rounds = _MOST_REMATCHES
        step = len(self.image) // _PLENTY
        if step > 1:
            pairs = self._rematched(self._settled_on_part(pairs, step, tolerance).fit, tolerance)
            n_rounds = 1
        for remaining in reversed(range(n_rounds)):
            i = pairs.image_index
            r = pairs.ref_index
            alike = _alike(self.image.flux[i], self.reference.flux[r], rules.magclip)
            i = i[alike]
            r = r[alike]
            errors = pair_errors(self.image.error[i], self.reference.error[r])
            fit = fit_linear(self.image.xy[i], self.reference.xy[r], geometry=rules.fitgeometry,
                             nclip=rules.nclip, sigma=rules.sigma, errors=errors,
                             centre=self.plane.centre, loss=rules.loss)
            again = self._rematched(fit, tolerance) if remaining else pairs
            if _are_same(again, pairs):
                break
            pairs = again
        found = FittedCandidate(self.image, self.reference, i, r, fit)
        if fit.nmatches < rules.fewest_matches:
            raise _failed(
                NotEnoughMatches, f"{fit.nmatches} matches within tolerance={tolerance:g} pixel, "
                f"{rules.needed} are needed", found)
        return found

    def _settled_on_part(self, pairs, step, tolerance):
        """Settle on one of `step` sources of the image."""
        own = np.flatnonzero(pairs.image_index % step == 0)
        some = Candidate(pairs.image_index[own] // step, pairs.ref_index[own], np.zeros(2))
        part = dataclasses.replace(self, image=self.image[::step])
        return part._settled(some, tolerance)

    def _rematched(self, fit, tolerance):
        """Pair mutual nearest neighbours after a fit."""
        return pair_at(self.image.at(fit(self.image.xy)), self.reference, (0, 0),
                       tolerance=tolerance, separation=self.rules.separation)

    def _told(self, found, how):
        """Say how a fit was found that is not where it was expected."""
        is_outside = self._is_outside(found)
        if found.candidate is not None and not is_outside:
            return found
        where = f"offset {np.hypot(*self._offset(found)) * self.plane.pixel_scale:.2f} arcsec"
        if is_outside:
            searchrad = self.rules.searchrad * self.plane.pixel_scale
            where += f" is outside searchrad={searchrad:.3g} arcsec"
        how = (f"{where}; {how}, rotation {found.fit.rotation:.3f} degree, {len(found)} matches, "
               f"chance {found.chance_probability:.0e}")
        return dataclasses.replace(found, how=how)


def _are_same(one, other):
    return (np.array_equal(one.image_index, other.image_index)
            and np.array_equal(one.ref_index, other.ref_index))


def _alike(flux, ref_flux, magclip):
    """Tell the pairs whose difference in magnitude is that of the others, or is not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = 2.5 * np.log10(flux / ref_flux)
    known = np.isfinite(difference)
    if magclip is None or known.sum() < _FEW_FLUXES:
        return np.ones(len(difference), bool)
    deviation = np.abs(difference - np.median(difference[known]))
    scatter = max(1.4826 * np.median(deviation[known]), _LEAST_SCATTER)  # sigma of a normal one
    return ~known | (deviation <= magclip * scatter)
