"""Which linear transform brings the sources of an exposure to those of its reference, and whether to believe it.

Offsets are looked for first where they are expected, then in wider boxes; then a pattern is. Every candidate is
fitted, and has to be more than chance gives. Two that are about as good are an ambiguity, and one that keeps sources
on the same pixels of the detector, although the telescope has moved, is one of defects and not of stars.
"""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
from scipy.spatial import cKDTree

from imagereg.alignment.fit import LinearFit, fit_linear
from imagereg.alignment.match import Match, candidates, chance_of, match
from imagereg.alignment.pattern import match_pattern
from imagereg.errors import AlignmentError, AmbiguousMatch, DegenerateFit, NotEnoughMatches, NotEnoughSources

_REMATCHES = 8
_PLENTY = 100_000  # sources of which a part is fitted first
_TURNS = 10.0  # distinct rotations and scales that a fit which starts from an offset may end in
_WIDER = 3.0  # by which the search box grows
_WIDEST = 27.0
_CONTRADICTION = 1e-3  # chance above which the matches of an exposure say nothing for its visit's correction
_CERTAIN = 1e-12  # chance at which a finer tolerance has nothing to add
_FINEST = 1 / 8  # of the tolerance
_RIVAL_HEIGHT = 0.5  # of the first peak; a lower one is no rival
_RIVAL_SHARE = 0.7  # of the matches beyond chance; a grid of 4 by 4 moved by one column keeps 0.75
_DIFFERENT = 3.0  # tolerances, by which a rival places the matched sources elsewhere
_CORE = 200  # matched sources in which repetition is looked for
_SAME_PIXEL = 2.0  # pixels
_STUCK_SHARE = 0.5  # of the matches
_FEW = 5  # magnitudes that say nothing of their scatter

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Lists:
    """What is to be brought together; places are pixels of the plane.

    Parameters
    ----------
    image_xy, ref_xy : (N, 2) and (M, 2) ndarray
        Places of the sources.
    image_error, ref_error : (N, 2) and (M, 2) ndarray
        Their errors.
    image_flux, ref_flux : (N,) and (M,) ndarray
        Their fluxes, in any units.
    image_pixel, ref_pixel : (N, 3) and (M, 3) ndarray
        Chip and pixel of the detector; NaN where there is none.
    owner : (N,) ndarray of int
        Number of the exposure, where several share one transform.
    rows, ref_rows : (N,) and (M,) ndarray of int
        Indices in the catalogs they are from.
    """

    image_xy: np.ndarray
    ref_xy: np.ndarray
    image_error: np.ndarray
    ref_error: np.ndarray
    image_flux: np.ndarray
    ref_flux: np.ndarray
    image_pixel: np.ndarray
    ref_pixel: np.ndarray
    owner: np.ndarray
    rows: np.ndarray
    ref_rows: np.ndarray

    def every(self, step):
        """Return the lists with one of `step` sources of the image."""
        return self._picked(slice(None, None, step), slice(None))

    def _picked(self, image_rows, ref_rows):
        kept = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Lists(**{name: column[ref_rows if name.startswith("ref_") else image_rows]
                        for name, column in kept.items()})

    def moving(self, moved):
        """Return the lists without sources that stay on the same pixel though the plane says that they `moved`.

        Parameters
        ----------
        moved : float
            Distance on the plane, pixels.

        Returns
        -------
        lists : Lists
        count : int
            Number of sources of the image that are left out.
        """
        same = _same_pixels(self.image_pixel, self.ref_pixel)
        i, r = same[:, np.hypot(*(self.image_xy[same[0]] - self.ref_xy[same[1]]).T) > moved]
        of_image, of_ref = np.ones(len(self.image_xy), bool), np.ones(len(self.ref_xy), bool)
        of_image[i], of_ref[r] = False, False
        return self._picked(of_image, of_ref), int((~of_image).sum())


def _same_pixels(image_pixel, ref_pixel):
    """Return the indices (2, K) of pairs on the same chip within a few pixels."""
    apart = np.array([1e7, 1.0, 1.0])
    known = [np.flatnonzero(np.isfinite(pixel).all(axis=1)) for pixel in (image_pixel, ref_pixel)]
    trees = [cKDTree((pixel * apart)[rows]) for pixel, rows in zip((image_pixel, ref_pixel), known, strict=True)]
    pairs = trees[0].sparse_distance_matrix(trees[1], _SAME_PIXEL, output_type="ndarray")
    return np.array([known[0][pairs["i"]], known[1][pairs["j"]]])


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """A transform from the image to the reference, and what it rests on.

    Parameters
    ----------
    match : Match or None
        The first match, by offset alone, with its histogram.
    fit : LinearFit
        The transform.
    image_index, ref_index : (K,) ndarray of int
        Pairs, as indices into the `lists`.
    lists : Lists
        What was brought together.
    chance : float
        Probability that unrelated lists match as well.
    expected : float
        Number of pairs that chance gives.
    how : str
        How it was found, where that was not as expected.
    """

    match: Match | None
    fit: LinearFit
    image_index: np.ndarray
    ref_index: np.ndarray
    lists: Lists
    chance: float = np.nan
    expected: float = 0.0
    how: str = ""

    @property
    def image_xy(self):
        """(K, 2) places of the matched sources in the image."""
        return self.lists.image_xy[self.image_index]

    @property
    def ref_xy(self):
        """(K, 2) places of their partners."""
        return self.lists.ref_xy[self.ref_index]

    def contradicts(self, number, rules):
        """Whether one of the exposures has sources enough, and matches that are not more than chance gives."""
        mine, pairs = self.lists.owner == number, self.lists.owner[self.image_index] == number
        if mine.sum() < max(rules.minobj, 1):
            return False
        chance, _ = chance_of(int(pairs.sum()), self.fit(self.lists.image_xy[mine]), self.lists.ref_xy, rules.tolerance)
        return not pairs.any() or chance > _CONTRADICTION

    @property
    def beyond_chance(self):
        """Number of matches less what chance gives."""
        return len(self.image_index) - self.expected

    @property
    def stuck(self):
        """How far, pixels, the plane says that the telescope moved while the matches stay on their pixels; else 0."""
        step = self.lists.image_pixel[self.image_index] - self.lists.ref_pixel[self.ref_index]
        with np.errstate(invalid="ignore"):
            same = (step[:, 0] == 0) & (np.hypot(step[:, 1], step[:, 2]) < _SAME_PIXEL)
        if same.sum() < _STUCK_SHARE * len(same):
            return 0.0
        return float(np.median(np.hypot(*(self.image_xy - self.ref_xy)[same].T)))


def solve(lists, plane, rules):
    """Find the transform from an image to its reference.

    Parameters
    ----------
    lists : Lists
        Their sources.
    plane : TangentPlane
        On which they are.
    rules : Rules
        How to.

    Returns
    -------
    Found

    Raises
    ------
    AlignmentError
        There is none to be believed: NotEnoughSources, NotEnoughMatches, DegenerateFit or AmbiguousMatch. Where the
        search got as far as a fit, or to a histogram, the error has that as its attribute `attempt`, a Found or a
        Match.
    """
    moved, found = rules.tolerance + _SAME_PIXEL, None
    try:
        found = _search(lists, plane, rules)
        if found.stuck <= moved:
            return _unique(found, rules)
        failure = _failed(AmbiguousMatch, f"{len(found.image_index)} matches stay on the same pixels of the detector, "
                          f"though the headers say that the telescope moved by {found.stuck:.1f} pixels: defects, not "
                          "stars", found)
    except AmbiguousMatch as error:
        failure = error
    rest, count = lists.moving(moved)
    if count:
        try:
            other = _search(rest, plane, rules)
        except AlignmentError:
            log.debug("nothing is found without the %d sources that stay on the same pixels", count)
        else:
            defects = f"{count} sources that stay on the same pixels of the detector are left out"
            return dataclasses.replace(other, how="; ".join(filter(None, [other.how, defects])))
    if found and not rules.onlybetter:
        return dataclasses.replace(found, how=str(failure))
    raise failure


def _search(lists, plane, rules):
    """Look for an offset, in wider and wider boxes, then for a pattern."""
    if rules.matching == "triangles":
        return _by_pattern(lists, plane, rules)
    failure = None
    for radius in _radii(lists, rules):
        try:
            found = _by_offset(lists, plane, rules, radius=radius)
        except NotEnoughMatches as error:
            failure = failure or error
        else:
            outside = np.abs(found.match.offset + (rules.xoffset, rules.yoffset)).max() > rules.searchrad
            how = f"found in a box of {radius * plane.pixel_scale:.3g} arcsec" if outside else ""
            return dataclasses.replace(found, how=how and _told(found, plane, rules, how))
    if rules.matching == "tolerance":
        raise failure
    log.info("%s; trying patterns", failure)
    try:
        return _by_pattern(lists, plane, rules)
    except (NotEnoughMatches, NotEnoughSources) as error:
        raise failure from error  # of the search that was asked for


def _unique(found, rules):
    """Return a solution; AmbiguousMatch where the sources it rests on repeat themselves, as a regular grid does."""
    (x, y), share = _repetition(found.image_xy, rules.tolerance)
    if share >= _RIVAL_SHARE:
        raise _failed(AmbiguousMatch, f"its sources repeat themselves at a step of ({x:.1f}, {y:.1f}) pixels, so that "
                      "more than one offset explains them", found)
    return found


def _repetition(xy, tolerance):
    """Return the step (2,) at which most of some sources meet others of them, and the share of these sources."""
    core = xy[np.argsort(np.hypot(*(xy - np.median(xy, axis=0)).T))[:_CORE]]
    steps = (core[:, None] - core)[~np.eye(len(core), dtype=bool)] / (2 * tolerance)
    most, step = 0, np.zeros(2)
    for phase in ((0, 0), (0, 0.5), (0.5, 0), (0.5, 0.5)):  # so that no cell's border cuts all heaps
        cells, counts = np.unique(np.floor(steps + phase), axis=0, return_counts=True)
        counts[(cells >= -1).all(axis=1) & (cells <= 0).all(axis=1)] = 0  # close pairs are no repetition
        if counts.size and counts.max() > most:
            most, step = counts.max(), (cells[np.argmax(counts)] + 0.5 - phase) * 2 * tolerance
    return step, most / len(core)


def _radii(lists, rules):
    """Yield half sides of search boxes, pixels, as far as the sources reach."""
    yield rules.searchrad
    if rules.matching == "auto" and rules.use2dhist:
        extent = max(np.ptp(xy, axis=0).max() for xy in (lists.image_xy, lists.ref_xy))
        radius = rules.searchrad * _WIDER
        while radius < min(extent, rules.searchrad * _WIDEST * 1.01):
            yield radius
            radius *= _WIDER


def _told(found, plane, rules, how):
    """Say how a solution was found that is not where it was expected."""
    middle = found.lists.image_xy.mean(axis=0)
    offset = np.hypot(*(found.fit(middle) - middle + (rules.xoffset, rules.yoffset)))
    outside = offset > rules.searchrad
    where = f"offset {offset * plane.pixel_scale:.2f} arcsec"
    if outside:
        where += f" is outside searchrad={rules.searchrad * plane.pixel_scale:.3g} arcsec"
    return (f"{where}; {how}, rotation {found.fit.rotation:.3f} degree, {len(found.image_index)} matches, "
            f"chance {found.chance:.0e}")


def _by_offset(lists, plane, rules, *, radius):
    """Fit from the offsets that stand out within a box; AmbiguousMatch where two are about as good."""
    options = {"tolerance": rules.tolerance, "separation": rules.separation, "owner": lists.owner,
               "offset": (-rules.xoffset, -rules.yoffset)}
    if rules.use2dhist:
        starts = candidates(lists.image_xy, lists.ref_xy, searchrad=radius, **options)
    else:
        starts = [(1.0, match(lists.image_xy, lists.ref_xy, use2dhist=False, odds=False, **options))]
    best, failure, first = None, None, None
    for height, start in starts:
        if best and height < _RIVAL_HEIGHT:
            break
        first = first or start
        try:
            found = _fitted(lists, start, plane, rules=rules, radius=radius)
        except (NotEnoughMatches, DegenerateFit) as error:
            failure = failure or error
            continue
        best = _better(best, found, rules) if best else found
    if best:
        return best
    none = f"no two sources are within tolerance={rules.tolerance:g} pixel of each other"
    failure = failure or NotEnoughMatches(none)
    failure.attempt = failure.attempt or first
    raise failure


def _better(one, other, rules):
    """Return the better of two solutions; AmbiguousMatch where that can't be told."""
    apart = np.hypot(*(one.fit(one.image_xy) - other.fit(one.image_xy)).T).max()
    one, other = sorted((one, other), key=lambda found: -found.beyond_chance)
    if apart > _DIFFERENT * rules.tolerance and other.beyond_chance >= _RIVAL_SHARE * one.beyond_chance:
        shifts = [found.fit(one.image_xy).mean(axis=0) - one.image_xy.mean(axis=0) for found in (one, other)]
        first, second = (f"({x:.1f}, {y:.1f})" for x, y in shifts)
        raise _failed(AmbiguousMatch, f"offsets {first} and {second} pixels explain the sources about as well, with "
                      f"{len(one.image_index)} and {len(other.image_index)} matches", one)
    return one


def _fitted(lists, start, plane, *, rules, radius):
    """Fit from a first match on and judge the result, with the tolerance that tells most."""
    found, tolerance = None, rules.tolerance
    while found is None or (found.chance > _CERTAIN and tolerance >= _FINEST * rules.tolerance):
        try:
            finer = _settled(lists, start, plane, rules=rules, tolerance=tolerance)
        except AlignmentError:
            if found is None:
                raise
            break
        finer = dataclasses.replace(_with_odds(finer, tolerance, rules, radius), match=found.match if found else start)
        if found and not finer.chance < found.chance:
            break
        found, start, tolerance = finer, Match(finer.image_index, finer.ref_index, start.offset, np.nan), tolerance / 2
    return _judged(found, rules)


def _with_odds(found, tolerance, rules, radius):
    """Work out the odds; pairs of one source of the reference count once, and all transforms that could be found do."""
    distinct = len(np.unique(found.ref_index))
    chance, expected = chance_of(distinct, found.fit(found.lists.image_xy), found.lists.ref_xy, tolerance)
    trials = max(1.0, (2 * radius) ** 2 / (np.pi * tolerance**2)) if rules.use2dhist else 1.0
    if rules.fitgeometry != "shift":
        trials *= _TURNS * (rules.tolerance / tolerance) ** 2
    return dataclasses.replace(found, chance=min(1.0, chance * trials), expected=expected)


def _judged(found, rules):
    """Return a solution; NotEnoughMatches where its matches are what chance would give."""
    if found.chance > rules.maxchance:
        raise _failed(NotEnoughMatches, f"{len(found.image_index)} matches, as unrelated sources would give with "
                      f"probability {found.chance:.2g}", found)
    return found


def _failed(kind, text, attempt):
    """Return an error that knows how far the search got."""
    failure = kind(text)
    failure.attempt = attempt
    return failure


def _by_pattern(lists, plane, rules):
    """Fit from the transform of a pattern; of several exposures the one with most sources has to show it."""
    _, counts = np.unique(lists.owner, return_counts=True)
    some = lists.owner == np.unique(lists.owner)[np.argmax(counts)]
    pattern = match_pattern(lists.image_xy[some], lists.ref_xy, tolerance=rules.tolerance,
                            image_flux=lists.image_flux[some], ref_flux=lists.ref_flux)
    start = match(pattern(lists.image_xy), lists.ref_xy, tolerance=rules.tolerance, separation=rules.separation,
                  owner=lists.owner, use2dhist=False, odds=False)
    found = dataclasses.replace(_settled(lists, start, plane, rules=rules, tolerance=rules.tolerance),
                                chance=pattern.chance)
    return dataclasses.replace(_judged(found, rules), how=_told(found, plane, rules, "found by pattern match"))


def _settled(lists, pairs, plane, *, rules, tolerance):
    """Fit, match again with the fit applied, until the pairs stay; NotEnoughMatches where they are too few."""
    def rematched(fit):
        return match(fit(lists.image_xy), lists.ref_xy, tolerance=tolerance, separation=rules.separation,
                     owner=lists.owner, use2dhist=False, odds=False)

    rounds, step = _REMATCHES, len(lists.image_xy) // _PLENTY
    if step > 1:
        own = np.flatnonzero(pairs.image_index % step == 0)
        some = dataclasses.replace(pairs, image_index=pairs.image_index[own] // step, ref_index=pairs.ref_index[own])
        pairs = rematched(_settled(lists.every(step), some, plane, rules=rules, tolerance=tolerance).fit)
        rounds = 1
    for remaining in reversed(range(rounds)):
        i, r = pairs.image_index, pairs.ref_index
        alike = _alike(lists.image_flux[i], lists.ref_flux[r], rules.magclip)
        i, r = i[alike], r[alike]
        fit = fit_linear(lists.image_xy[i], lists.ref_xy[r], geometry=rules.fitgeometry, nclip=rules.nclip,
                         sigma=rules.sigma, errors=np.hypot(lists.image_error[i], lists.ref_error[r]),
                         centre=plane.centre, loss=rules.loss)
        if not remaining:
            break
        again = rematched(fit)
        if np.array_equal(again.image_index, pairs.image_index) and np.array_equal(again.ref_index, pairs.ref_index):
            break
        pairs = again
    found = Found(None, fit, i, r, lists)
    if fit.nmatches < rules.minobj:
        raise _failed(NotEnoughMatches, f"{fit.nmatches} matches within tolerance={tolerance:g} pixel, "
                      f"minobj={rules.minobj} are needed", found)
    return found


def _alike(flux, ref_flux, magclip):
    """Tell the pairs whose difference in magnitude is that of the others, or is not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        step = 2.5 * np.log10(flux / ref_flux)
    known = np.isfinite(step)
    if magclip is None or known.sum() < _FEW:
        return np.ones(len(step), bool)
    step = np.abs(step - np.median(step[known]))
    scatter = max(1.4826 * np.median(step[known]), 0.02)  # variable stars and rounding are no mismatches
    return ~known | (step <= magclip * scatter)
