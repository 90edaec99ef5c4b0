"""Find the linear transform from the sources of an exposure to those of its reference.

Offsets are looked for first where they are expected, then in wider boxes; then a pattern is. Every
candidate is fitted, and has to be more than chance gives. Two that are about as good are an
ambiguity, and one that keeps sources on the same pixels of the detector, although the telescope has
moved, is one of defects and not of stars.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Iterator

import numpy as np

from imagereg.alignment.exposure import Rules
from imagereg.alignment.fit import LinearFit, fit_linear, pair_errors
from imagereg.alignment.match import (
    Candidate,
    PointSet,
    match_given_offset,
    match_offsets,
    no_pairs,
    pair_at,
)
from imagereg.alignment.pattern import match_patterns
from imagereg.alignment.significance import (
    SAME_PIXEL,
    Judge,
    chance_of_pairs,
    detector_fixed_shift,
    n_trials_of_offset,
    pairs_on_same_pixel,
)
from imagereg.errors import (
    AlignmentError,
    AmbiguousMatch,
    DegenerateFit,
    NotEnoughMatches,
    NotEnoughSources,
)
from imagereg.wcs import TangentPlane

_MOST_REMATCHES = 8  # after which pairs that still change are taken as they are
_PLENTY = 100_000  # sources; of more, a part is fitted first, see tests/bench/match_speed.py
_WIDER = 3.0  # by which the search box grows
_WIDEST = 27.0  # times searchrad, three steps
_CERTAIN = 1e-12  # chance probability at which a finer tolerance has nothing to add
_FINEST = 1 / 8  # of the tolerance; less than the errors of positions
_RIVAL_HEIGHT = 0.5  # of the first peak; a lower one is no rival
_FEW_FLUXES = 5  # magnitudes that say nothing about their scatter
_LEAST_SCATTER = 0.02  # magnitudes; variable stars and rounding are no mismatches

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedCandidate:
    """A fit from the image to the reference, and what it is based on.

    Parameters
    ----------
    image, reference : PointSet
        What was matched.
    image_index, ref_index : (K,) ndarray of int
        Pairs, as indices into these.
    fit : LinearFit
        The transform.
    candidate : Candidate or None
        The offset from which the fit began, with its histogram; None for a pattern.
    chance_probability : float
        That unrelated lists match as well.
    n_expected : float
        Number of pairs that chance gives.
    how : str
        How it was found, where that was not as expected.
    """

    image: PointSet
    reference: PointSet
    image_index: np.ndarray
    ref_index: np.ndarray
    fit: LinearFit
    candidate: Candidate | None = None
    chance_probability: float = np.nan
    n_expected: float = 0.0
    how: str = ""

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.image_index)

    @property
    def image_xy(self) -> np.ndarray:
        """(K, 2) positions of the matched sources in the image, before the fit."""
        return self.image.xy[self.image_index]

    @property
    def ref_xy(self) -> np.ndarray:
        """(K, 2) positions of their partners."""
        return self.reference.xy[self.ref_index]

    @property
    def n_beyond_chance(self) -> float:
        """Number of matches less what chance gives."""
        return len(self) - self.n_expected

    @property
    def detector_fixed_shift(self) -> float:
        """Dither in pixels where most matches stay at one detector position, else 0."""
        image_pixel = self.image.pixel[self.image_index]
        ref_pixel = self.reference.pixel[self.ref_index]
        return detector_fixed_shift(image_pixel, ref_pixel, self.image_xy - self.ref_xy)

    def is_contradicted(self, exposure: int, rules: Rules) -> bool:
        """Whether an exposure has sources enough, and no more matches than chance gives."""
        mine = self.image.exposure_index == exposure
        if mine.sum() < max(rules.minobj, 1):
            return False
        n_pairs = int((self.image.exposure_index[self.image_index] == exposure).sum())
        image_xy = self.fit(self.image.xy[mine])
        return _judge(rules).contradicts(n_pairs, image_xy, self.reference.xy)


def solve(image: PointSet, reference: PointSet, plane: TangentPlane,
          rules: Rules) -> FittedCandidate:
    """Find the transform from an image to its reference.

    Parameters
    ----------
    image, reference : PointSet
        Their sources.
    plane : TangentPlane
        On which they are.
    rules : Rules
        How to match and fit.

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
        found = _Search(image, reference, plane, rules).run()
        dither = found.detector_fixed_shift
        if dither <= least_dither:
            return _unique(found, rules)
        failure = _failed(
            AmbiguousMatch,
            f"{len(found)} matches stay on the same pixels of the detector, though the headers say "
            f"that the telescope moved by {dither:.1f} pixels: defects, not stars", found)
    except AmbiguousMatch as error:
        failure = error
    moving, ref_moving, n_fixed = _without_fixed(image, reference, least_dither)
    if n_fixed:
        try:
            other = _Search(moving, ref_moving, plane, rules).run()
        except AlignmentError:
            log.debug("nothing is found without the %d sources that stay on the same pixels",
                      n_fixed)
        else:
            said = f"{n_fixed} sources that stay on the same pixels of the detector are left out"
            return dataclasses.replace(other, how="; ".join(filter(None, [other.how, said])))
    if found and not rules.onlybetter:
        return dataclasses.replace(found, how=str(failure))
    raise failure


def _judge(rules):
    return Judge(rules.maxchance, rules.tolerance)


def _failed(kind, text, attempt):
    """Return an error that knows how far the search got."""
    failure = kind(text)
    failure.attempt = attempt
    return failure


def _unique(found, rules):
    """Return a fit; AmbiguousMatch where its sources repeat themselves, as a regular grid does."""
    step = _judge(rules).repetition(found.image_xy)
    if step is not None:
        x, y = step
        raise _failed(
            AmbiguousMatch, f"its sources repeat themselves at a step of ({x:.1f}, {y:.1f}) "
            "pixels, so that more than one offset explains them", found)
    return found


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

    @property
    def _spacing(self):
        """Keywords of all matchers."""
        return {"tolerance": self.rules.tolerance, "separation": self.rules.separation}

    def run(self):
        """Try offsets, in wider and wider boxes, then patterns; return the first fit believed."""
        rules = self.rules
        match_by_pattern = functools.partial(match_patterns, judge=_judge(rules), **self._spacing)
        if rules.matching == "triangles":
            return self._told(self._best_fit(match_by_pattern), "found by pattern match")
        failure = None
        for searchrad in self._search_radii():
            try:
                found = self._best_fit(self._offset_matcher(searchrad))
            except NotEnoughMatches as error:
                failure = failure or error
                continue
            offset = found.candidate.offset + (rules.xoffset, rules.yoffset)
            if np.abs(offset).max() > rules.searchrad:
                box = searchrad * self.plane.pixel_scale
                return self._told(found, f"found in a box of {box:.3g} arcsec")
            return found
        if rules.matching == "tolerance":
            raise failure
        log.info("%s; trying patterns", failure)
        try:
            return self._told(self._best_fit(match_by_pattern), "found by pattern match")
        except (NotEnoughMatches, NotEnoughSources) as error:
            raise failure from error  # of the search that was asked for

    def _search_radii(self) -> Iterator[float]:
        """Yield half sides of search boxes, pixels, as far as the sources reach."""
        searchrad = self.rules.searchrad
        yield searchrad
        if self.rules.matching == "auto" and self.rules.use2dhist:
            extent = max(np.ptp(xy, axis=0).max() for xy in (self.image.xy, self.reference.xy))
            radius = searchrad * _WIDER
            while radius < min(extent, searchrad * _WIDEST * 1.01):  # and rounding
                yield radius
                radius *= _WIDER

    def _offset_matcher(self, searchrad):
        """Return the matcher that finds an offset in a box, or takes the one that is given."""
        first_guess = (-self.rules.xoffset, -self.rules.yoffset)
        if not self.rules.use2dhist:
            return functools.partial(match_given_offset, offset=first_guess, **self._spacing)
        return functools.partial(match_offsets, searchrad=searchrad, first_guess=first_guess,
                                 **self._spacing)

    def _best_fit(self, matcher):
        """Fit the candidates of a matcher that stand out; AmbiguousMatch for two equally good."""
        best = None
        first = None
        failure = None
        for candidate in matcher(self.image, self.reference):
            if best and candidate.prominence < _RIVAL_HEIGHT:
                break
            first = first or candidate
            try:
                fitted = self._fitted(candidate)
            except (NotEnoughMatches, DegenerateFit) as error:
                failure = failure or error
                continue
            best = self._better(best, fitted) if best else fitted
        if best:
            return best
        failure = failure or no_pairs(self.rules.tolerance)
        failure.attempt = failure.attempt or first
        raise failure

    def _better(self, one, other):
        """Return the better of two fits; AmbiguousMatch where that can't be told."""
        distance = np.hypot(*(one.fit(one.image_xy) - other.fit(one.image_xy)).T).max()
        best, second = sorted((one, other), key=lambda fitted: -fitted.n_beyond_chance)
        is_rival = _judge(self.rules).is_rival
        if is_rival(distance, second.n_beyond_chance, best.n_beyond_chance):
            middle = best.image_xy.mean(axis=0)
            shifts = [fitted.fit(best.image_xy).mean(axis=0) - middle for fitted in (best, second)]
            first, other = (f"({x:.1f}, {y:.1f})" for x, y in shifts)
            raise _failed(
                AmbiguousMatch, f"offsets {first} and {other} pixels explain the sources about as "
                f"well, with {len(best)} and {len(second)} matches", best)
        return best

    def _fitted(self, candidate):
        """Fit from a candidate on; NotEnoughMatches where chance would give as many matches."""
        fitted = self._settled(candidate, self.rules.tolerance)
        if np.isfinite(candidate.chance_probability):  # of a pattern, by all that was tried for it
            fitted = dataclasses.replace(fitted, chance_probability=candidate.chance_probability)
        else:
            fitted = self._with_odds(fitted, candidate, self.rules.tolerance)
            fitted = self._finer(fitted, candidate)
        if not _judge(self.rules).believes(fitted.chance_probability):
            raise _failed(
                NotEnoughMatches, f"{len(fitted)} matches, as unrelated sources would give with "
                f"probability {fitted.chance_probability:.2g}", fitted)
        return fitted

    def _finer(self, fitted, candidate):
        """Fit with smaller tolerances, as long as that makes chance less probable."""
        tolerance = self.rules.tolerance / 2
        finest = _FINEST * self.rules.tolerance
        while fitted.chance_probability > _CERTAIN and tolerance >= finest:
            try:
                finer = self._settled(fitted, tolerance)
            except AlignmentError:
                break
            finer = self._with_odds(finer, candidate, tolerance)
            if not finer.chance_probability < fitted.chance_probability:
                break
            fitted = finer
            tolerance /= 2
        return fitted

    def _with_odds(self, fitted, candidate, tolerance):
        """Work out the odds; pairs of one source of the reference count once."""
        n_distinct = len(np.unique(fitted.ref_index))
        image_xy = fitted.fit(self.image.xy)
        one, n_expected = chance_of_pairs(n_distinct, image_xy, self.reference.xy, tolerance)
        n_trials = n_trials_of_offset(candidate.half_box, tolerance,
                                      geometry=self.rules.fitgeometry,
                                      first_tolerance=self.rules.tolerance)
        return dataclasses.replace(fitted, candidate=candidate, n_expected=n_expected,
                                   chance_probability=min(1.0, one * n_trials))

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
        if fit.nmatches < rules.minobj:
            raise _failed(
                NotEnoughMatches, f"{fit.nmatches} matches within tolerance={tolerance:g} pixel, "
                f"minobj={rules.minobj} are needed", found)
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
        middle = self.image.xy.mean(axis=0)
        offset = np.hypot(*(found.fit(middle) - middle + (self.rules.xoffset, self.rules.yoffset)))
        where = f"offset {offset * self.plane.pixel_scale:.2f} arcsec"
        if offset > self.rules.searchrad:
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
