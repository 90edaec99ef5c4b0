"""Which similarity transform leads from one list to another, without any first guess.

Triangles of the brightest sources look alike in both lists whatever the offset, the rotation, the scale and the
parity (Groth 1986, AJ 91, 1244; Valdes et al. 1995, PASP 107, 1119). A triangle is written as the place of its third
vertex in the frame of its longest side, which is what astrometry.net does with quads (Lang et al. 2010, AJ 139,
1782). Triangles near each other in that space propose transforms; each is judged by how many of the other sources it
brings together, on longer and longer lists, and by the odds that unrelated lists do as well.

Positions are complex numbers in here: a similarity is ``alpha * z + beta``, a mirrored one ``alpha * conj(z) + beta``.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import gammainc

from imagereg.errors import AmbiguousMatch, NotEnoughMatches, NotEnoughSources, ParameterError

_LARGEST_CHANCE = 1e-6
_RIVAL_CHANCE = 1e-3  # a second transform less certain than this is no rival
_RIVAL_SHARE = 0.7  # of the best one's matches; a grid of 4 by 4 moved by one column keeps 0.75
_DIFFERENT = 3.0  # tolerances, by which a rival places the matched sources elsewhere
_APART = 3.0  # tolerances; a source nearer to a brighter one comes late in the list
_SLACK = 1.5  # tolerances, by which a vertex of a triangle may be off
_SMALLEST = 10.0  # longest side of a triangle that is still of use, tolerances
_CLASS = 1.5  # ratio of largest to smallest triangle that share a search tree
_CANDIDATES = 150_000  # transforms that are judged per length of the lists
_AT_ONCE = 4_000
_REFINED = 60  # of these, how many different ones are refined
_KEPT = 12  # and how many are counted on longer lists
_MEDIUM = 1000  # sources of the list between the brightest and all
_RASTER = 1500  # cells along a side
_RINGS = (2.0, 6.0, 20.0, 60.0)  # tolerances, between which chance pairs are counted
_FEW = 10  # pairs in a ring that say nothing yet of the density
_RADII = (1.0, 0.5)  # tolerances, within which matches are counted for the odds
_COMPACT = 25  # sources in which the symmetries of a pattern are looked for


@dataclasses.dataclass(frozen=True, eq=False)
class PatternMatch:
    """A similarity transform that brings two lists together: ``ref_xy = matrix @ image_xy + shift``.

    Parameters
    ----------
    matrix : (2, 2) ndarray
        Rotation times scale, mirrored where `parity` is -1.
    shift : (2,) ndarray
        Pixels of the reference.
    matches : int
        Number of sources that are mutual nearest neighbours within the tolerance, of all in both lists.
    chance : float
        Probability that any transform that was tried does as well with unrelated lists of this density.
    parity : int
        1 or -1, the sign of the determinant of `matrix`.
    """

    matrix: np.ndarray
    shift: np.ndarray
    matches: int
    chance: float
    parity: int

    def __post_init__(self):
        """Make the arrays read-only."""
        self.matrix.flags.writeable = False
        self.shift.flags.writeable = False

    def __call__(self, image_xy):
        """Transform (N, 2) image positions to the reference."""
        return np.asarray(image_xy, float) @ self.matrix.T + self.shift


@dataclasses.dataclass(frozen=True, eq=False)
class _Similarity:
    """One transform, or many of one parity: complex `alpha` and `beta`; `parity` 1 or -1."""

    alpha: complex
    beta: complex
    parity: int

    def __call__(self, z):
        return self.alpha * (z if self.parity > 0 else np.conj(z)) + self.beta


@dataclasses.dataclass(frozen=True, eq=False)
class _Lists:
    """Complex positions of both lists, brightest first, near the origin; and what to compare them with."""

    image: np.ndarray
    ref: np.ndarray
    tolerance: float
    log_scale: float

    def head(self, number):
        """Return the brightest `number` of both."""
        if number >= max(len(self.image), len(self.ref)):
            return self
        return dataclasses.replace(self, image=self.image[:number], ref=self.ref[:number])

    @functools.cached_property
    def ref_tree(self):
        """Search tree of the reference."""
        return cKDTree(_columns(self.ref))

    @functools.cached_property
    def areas(self):
        """Areas that the image and the reference cover."""
        return _area(self.image, self.tolerance), _area(self.ref, self.tolerance)

    @functools.cached_property
    def trials(self):
        """Number of transforms that lay two sources on two, either way round, either parity, scale within range."""
        image, ref = (np.sort(np.log(lengths[lengths > 0])) for lengths in (_lengths(self.image), _lengths(self.ref)))
        upper = np.searchsorted(ref, image + self.log_scale, side="right")
        return 4.0 * float((upper - np.searchsorted(ref, image - self.log_scale)).sum())


@dataclasses.dataclass(frozen=True, eq=False)
class _Solution:
    """A transform with its pairs on some list, how many more of them than chance, and the odds."""

    transform: _Similarity
    rows: np.ndarray
    ref_rows: np.ndarray
    excess: float
    chance: float

    def __len__(self):
        return len(self.rows)

    @property
    def rank(self):
        """What to sort by, best first."""
        return self.chance, -len(self)


def match_pattern(image_xy, ref_xy, *, tolerance, image_flux=None, ref_flux=None, scale_range=0.2, brightest=60,
                  searched=100):
    """Find the similarity transform between two lists without a first guess.

    Parameters
    ----------
    image_xy, ref_xy : (N, 2), (M, 2) array_like
        Positions, pixels. Rows that are not finite are left out.
    tolerance : float
        Largest distance of partners after the transform, pixels; two to three times the errors of the positions.
    image_flux, ref_flux : (N,), (M,) array_like, optional
        Brightness; what is NaN counts as faintest. Where not given, the lists are taken in their order.
    scale_range : float
        The scale lies between 1 - scale_range and 1 / (1 - scale_range).
    brightest : int
        Patterns are looked for among a quarter of this number of sources, then a half, then all.
    searched : int
        Number of sources among which they are looked for at last, where nothing was found.

    Returns
    -------
    PatternMatch

    Raises
    ------
    NotEnoughSources
        A list has fewer than three positions.
    NotEnoughMatches
        No transform has odds of chance below 1e-6.
    AmbiguousMatch
        A clearly different transform has nearly as many matches.
    ParameterError
        A tolerance that is not positive, or a scale range outside 0 to 0.5.
    """
    if not (tolerance > 0 and np.isfinite(tolerance)):
        raise ParameterError(f"tolerance={tolerance!r} is not a positive number of pixels")
    if not 0 <= scale_range <= 0.5:
        raise ParameterError(f"scale_range={scale_range!r} is not between 0 and 0.5")
    image, image_centre = _prepared(image_xy, image_flux, tolerance, where="the image")
    ref, ref_centre = _prepared(ref_xy, ref_flux, tolerance, where="the reference")
    lists = _Lists(image, ref, float(tolerance), -np.log(1 - scale_range) + 1e-3)
    solutions = _search(lists, sorted({max(brightest // 4, 3), max(brightest // 2, 3), brightest, searched}))
    _refuse_rivals(lists, solutions)
    best = solutions[0]
    return _as_match(best, image_centre, ref_centre)


def _prepared(xy, flux, tolerance, *, where):
    """Return complex positions in the order in which to use them, about their median, and that median."""
    xy = np.asarray(xy, float).reshape(-1, 2)
    flux = np.full(len(xy), np.nan) if flux is None else np.asarray(flux, float)
    if flux.shape != (len(xy),):
        raise ValueError(f"{where} has {len(xy)} positions and fluxes of shape {flux.shape}")
    finite = np.isfinite(xy).all(axis=1)
    if finite.sum() < 3:
        raise NotEnoughSources(f"{where} has {finite.sum()} sources, a pattern needs 3")
    xy, flux = xy[finite], flux[finite]
    xy = xy[np.argsort(-np.nan_to_num(flux, nan=-np.inf, posinf=np.inf, neginf=-np.inf), kind="stable")]
    centre = np.median(xy, axis=0)
    z = (xy - centre) @ [1, 1j]
    late = np.zeros(len(z), bool)  # fragments of one source are no pattern
    late[cKDTree(xy[:_MEDIUM]).query_pairs(_APART * tolerance, output_type="ndarray").max(axis=1, initial=0)] = True
    late[0] = False
    return z[np.argsort(late, kind="stable")], centre


def _search(lists, numbers):
    """Return the solutions of the first length of lists that has a significant one, best first."""
    trials, best = 0.0, None
    for number in numbers:
        short = lists.head(number)
        trials += short.trials
        solutions = _solutions(_proposals(short, short), short, lists, trials=trials)
        best = min([*solutions[:1], *([best] if best else [])], key=lambda found: found.rank, default=None)
        if solutions and solutions[0].chance < _LARGEST_CHANCE:
            return solutions
        if short is lists:
            break
    said = f"the best gives {len(best)} matches (chance {best.chance:.2g})" if best else "none gives 4 matches"
    raise NotEnoughMatches(
        f"no pattern of the {len(short.image)} brightest of {len(lists.image)} sources is found among the "
        f"{len(short.ref)} brightest of {len(lists.ref)} of the reference within tolerance={lists.tolerance:g} pixel: "
        f"of {trials:.3g} possible transforms of any offset, rotation and parity, scale "
        f"{np.exp(-lists.log_scale):.2f} to {np.exp(lists.log_scale):.2f}, {said}")


def _solutions(proposals, short, lists, *, trials):
    """Refine proposals on the short lists, count them on longer ones; returns solutions on all sources, best first."""
    levels = [short]
    for level in (lists.head(_MEDIUM), lists):
        if len(level.image) + len(level.ref) > len(levels[-1].image) + len(levels[-1].ref):
            levels.append(level)
    trials *= len(levels)
    found = [_judged(transform, short, trials=trials, widths=(3.0, 2.0, 1.0)) for transform in proposals]
    for level, keep in zip(levels, (_REFINED, _KEPT, 3), strict=False):
        if level is not short:
            found = [_judged(one.transform, level, trials=trials, earlier=one.chance) for one in found[:keep]]
        found = sorted((one for one in found if one is not None), key=lambda one: one.rank)
    return found


def _judged(transform, lists, *, trials, widths=(1.0,), earlier=1.0):
    """Refine a transform on its matches; None where fewer than four are left or the scale is out of range."""
    for width in (*widths, 1.0, 1.0):
        rows, ref_rows, _ = _pairs(transform, lists, width * lists.tolerance)
        if len(rows) < 3:
            return None
        refined = _fitted(lists.image[rows], lists.ref[ref_rows], transform.parity)
        if not np.exp(-lists.log_scale) <= abs(refined.alpha) <= np.exp(lists.log_scale):
            return None
        transform = refined
    rows, ref_rows, distance = _pairs(transform, lists, lists.tolerance)
    if len(rows) < 4:
        return None
    expected = _expected(transform, lists)
    chance = min(trials * len(_RADII) * float(gammainc(max((distance <= radius * lists.tolerance).sum() - 2, 1),
                                                       expected * radius**2)) for radius in _RADII)
    return _Solution(transform, rows, ref_rows, len(rows) - expected, min(chance, earlier, 1.0))


def _pairs(transform, lists, radius):
    """Return indices of mutual nearest neighbours within a radius, and their distances."""
    mapped = _columns(transform(lists.image))
    distance, partner = lists.ref_tree.query(mapped, distance_upper_bound=radius)
    near = np.flatnonzero(np.isfinite(distance))
    if not near.size:
        return near, near, distance[near]
    back = cKDTree(mapped[near]).query(lists.ref_tree.data[partner[near]])[1]
    near = near[back == np.arange(len(near))]
    return near, partner[near], distance[near]


def _fitted(image, ref, parity):
    """Fit by least squares; of one set of pairs, or of many along the first axis."""
    image = image if parity > 0 else np.conj(image)
    image_mean, ref_mean = image.mean(axis=-1, keepdims=True), ref.mean(axis=-1, keepdims=True)
    image, ref = image - image_mean, ref - ref_mean
    alpha = (np.conj(image) * ref).sum(axis=-1) / np.maximum((np.abs(image)**2).sum(axis=-1), 1e-300)
    return _Similarity(alpha, ref_mean[..., 0] - alpha * image_mean[..., 0], parity)


def _expected(transform, lists):
    """Return the number of pairs within the tolerance that unrelated lists of this density have."""
    image_area, ref_area = lists.areas
    area = max(ref_area, image_area * abs(transform.alpha)**2)
    expected = len(lists.image) * len(lists.ref) * np.pi * lists.tolerance**2 / area
    tree, inner = cKDTree(_columns(transform(lists.image))), None
    for radius in _RINGS:  # where both lists are dense together, as in a cluster, there are more
        outer = tree.count_neighbors(lists.ref_tree, radius * lists.tolerance)
        if inner is not None and outer - inner[0] >= _FEW:
            pairs = outer - inner[0]
            expected = max(expected, (pairs + 2 * np.sqrt(pairs)) / (radius**2 - inner[1]**2))
        inner = outer, radius
        if outer > 100 * _FEW and radius > _RINGS[0]:
            break
    return expected


def _proposals(lists, counted):
    """Return the different transforms that equal triangles propose, those of most matches on `counted` first."""
    points = np.abs(counted.image).max() * np.array([1, -1, 1j])
    transforms, keys, counts = [], [], []
    for candidates in _candidates(lists):
        count = _raster_counts(candidates, counted)
        good = np.flatnonzero(count >= 4)
        candidates = _Similarity(candidates.alpha[good], candidates.beta[good], candidates.parity)
        places = candidates(points[:, None]) / (8 * counted.tolerance)
        key = np.rint(np.concatenate([places.real, places.imag]).T).astype(np.int64)
        keys.append(np.column_stack([key, np.full(len(good), candidates.parity)]))
        counts.append(count[good])
        transforms += [_Similarity(alpha, beta, candidates.parity)
                       for alpha, beta in zip(candidates.alpha, candidates.beta, strict=True)]
    if not transforms:
        return []
    order = np.argsort(-np.concatenate(counts), kind="stable")
    _, first = np.unique(np.concatenate(keys)[order], axis=0, return_index=True)
    return [transforms[row] for row in order[np.sort(first)[:_REFINED]]]


def _candidates(lists):
    """Yield the transforms, of one parity at a time, between triangles that are alike; largest triangles first."""
    image_rows, image_shape, image_size = _triangles(lists.image)
    ref_rows, ref_shape, ref_size = _triangles(lists.ref)
    limit = np.exp(lists.log_scale)
    high, left = image_size.max(initial=0.0) * (1 + 1e-9), _CANDIDATES
    while high > _SMALLEST * lists.tolerance and left > 0:
        low, in_image = high / _CLASS, np.flatnonzero((image_size <= high) & (image_size > high / _CLASS))
        in_ref = np.flatnonzero((ref_size < limit * high) & (ref_size > low / limit))
        slack = max(_SLACK * lists.tolerance / low, 1e-6)
        pairs = _alike((image_shape[in_image], image_size[in_image]), (ref_shape[in_ref], ref_size[in_ref]),
                       slack=slack, log_scale=lists.log_scale, most=left)
        left, high = left - len(pairs[0]), low
        i, j = in_image[pairs[0]], in_ref[pairs[1]]
        same = image_shape[i].imag * ref_shape[j].imag > 0
        for parity, chosen in ((1, same), (-1, ~same)):
            if chosen.any():
                yield _fitted(lists.image[image_rows[i[chosen]]], lists.ref[ref_rows[j[chosen]]], parity)


def _triangles(z):
    """Return vertices (T, 3), the third one's place in the frame of the longest side, and that side's length."""
    rows = np.array(list(itertools.combinations(range(len(z)), 3)), dtype=np.intp).reshape(-1, 3)
    rows = rows[np.argsort(rows[:, 2], kind="stable")]  # those of bright sources first
    sides = np.abs(z[rows[:, [1, 2, 0]]] - z[rows])  # from vertex 0 to 1, 1 to 2, 2 to 0
    longest = sides.argmax(axis=1)
    rows = np.take_along_axis(rows, (longest[:, None] + np.arange(3)) % 3, axis=1)
    size = sides.max(axis=1)
    rows, size = rows[size > 0], size[size > 0]
    first, second, third = z[rows.T]
    swap = np.abs(third - first) > np.abs(third - second)
    rows[swap] = rows[swap][:, [1, 0, 2]]
    first, second, third = z[rows.T]
    return rows, (third - first) / (second - first), size


def _keys(shape, slack):
    """Return cells of the shape, mirrored or not, as numbers; cells along the second axis follow each other."""
    return (np.floor(shape.real / slack) * 2**24 + np.floor(np.abs(shape.imag) / slack)).astype(np.int64)


def _alike(image, ref, *, slack, log_scale, most):
    """Return indices of pairs of triangles, given as shapes and sizes, that are alike; about `most` at most."""
    order = np.argsort(_keys(ref[0], slack), kind="stable")
    keys, parts, left = _keys(ref[0], slack)[order], [np.empty((2, 0), np.intp)], most
    for start in range(0, len(image[0]), _AT_ONCE):
        own = _keys(image[0][start:start + _AT_ONCE], slack) + np.array([[-2**24], [0], [2**24]])
        first = np.searchsorted(keys, own - 1)
        number = np.searchsorted(keys, own + 1, side="right") - first
        number[:, np.cumsum(number.sum(axis=0)) > max(10 * left, number[:, 0].sum())] = 0  # so that memory is bounded
        number, first = number.ravel(), first.ravel()
        i = np.repeat(np.tile(np.arange(start, start + own.shape[1]), 3), number)
        j = order[np.repeat(first - np.cumsum(number) + number, number) + np.arange(number.sum())]
        near = np.abs(np.log(ref[1][j] / image[1][i])) <= log_scale
        i, j = i[near], j[near]
        off = ref[0][j].real - image[0][i].real, np.abs(ref[0][j].imag) - np.abs(image[0][i].imag)
        near = np.hypot(*off) <= slack
        parts.append((i[near], j[near]))
        left -= np.count_nonzero(near)
        if left <= 0:
            break
    return np.concatenate(parts, axis=1)


def _raster_counts(candidates, lists):
    """Count roughly, and rather too many than too few, how many image sources each transform puts near one."""
    low = complex(lists.ref.real.min(), lists.ref.imag.min())
    extent = max(np.ptp(lists.ref.real), np.ptp(lists.ref.imag))
    cell = max(2 * lists.tolerance, extent / _RASTER)
    side = int(extent / cell) + 5  # a border of empty cells takes what lies outside
    raster = np.zeros((side, side), bool)
    column, row = _cells((lists.ref - low) / cell, side)
    for step in itertools.product((-1, 0, 1), repeat=2):
        raster[row + step[0], column + step[1]] = True
    counts = np.empty(len(candidates.alpha), int)
    for start in range(0, len(counts), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        mapped = _Similarity(candidates.alpha[some, None] / cell, (candidates.beta[some, None] - low) / cell,
                             candidates.parity)(lists.image)
        column, row = _cells(mapped, side)
        counts[some] = raster.ravel()[row * side + column].sum(axis=1)
    return counts


def _cells(z, side):
    """Return columns and rows of the raster in which positions lie."""
    return (np.clip(part + 2, 0, side - 1).astype(np.intp) for part in (z.real, z.imag))


def _refuse_rivals(lists, solutions):
    """Raise AmbiguousMatch where a clearly different transform has nearly as many matches as the first."""
    best = solutions[0]
    proposals = [one.transform for one in solutions[1:]] + _symmetries(lists, best)
    medium = lists.head(_MEDIUM)
    rivals = _solutions(proposals, medium, lists, trials=lists.head(_COMPACT).trials) if proposals else []
    matched = lists.image[best.rows]
    for rival in rivals:
        step = np.median(np.abs(rival.transform(matched) - best.transform(matched)))
        different = rival.transform.parity != best.transform.parity or step > _DIFFERENT * lists.tolerance
        if different and rival.chance < _RIVAL_CHANCE and rival.excess >= _RIVAL_SHARE * best.excess:
            raise AmbiguousMatch(f"two transforms explain the sources about equally well: one with {len(best)} "
                                 f"matches, and one that is {step:.4g} pixel away with {len(rival)}")


def _symmetries(lists, best):
    """Return transforms that differ from the best by what lays the matched sources onto themselves."""
    image, ref = lists.image[best.rows], lists.ref[best.ref_rows]
    nearest = np.argsort(np.abs(image - image.mean()), kind="stable")[:_COMPACT]  # they overlap most when moved
    compact = dataclasses.replace(lists, image=image[nearest], ref=ref[nearest])
    centre = ref.mean()
    axis = np.sqrt(((ref - centre)**2).sum())  # of a line, which is its own mirror image
    axis = axis / abs(axis) if abs(axis) > 0 else 1.0
    alpha, beta = best.transform.alpha, best.transform.beta
    turn = axis**2
    mirrored = _Similarity(turn * np.conj(alpha), centre + turn * np.conj(beta - centre), -best.transform.parity)
    return [mirrored, *_proposals(compact, compact)]


def _as_match(solution, image_centre, ref_centre):
    """Put a solution into the coordinates of the lists."""
    alpha, beta, parity = solution.transform.alpha, solution.transform.beta, solution.transform.parity
    matrix = np.array([[alpha.real, -alpha.imag * parity], [alpha.imag, alpha.real * parity]])
    shift = ref_centre + [beta.real, beta.imag] - matrix @ image_centre
    return PatternMatch(matrix, shift, len(solution), solution.chance, parity)


def _columns(z):
    """Return (N, 2) real positions."""
    return np.column_stack([z.real, z.imag])


def _lengths(z):
    """Return the distances of all pairs."""
    i, j = np.triu_indices(len(z), 1)
    return np.abs(z[i] - z[j])


def _area(z, tolerance):
    """Return the area of the smallest box around positions, among some orientations; a line has some width."""
    turned = z * np.exp(1j * np.deg2rad(np.arange(0, 90, 15)))[:, None]
    return float(np.prod(2 * tolerance + np.array([np.ptp(turned.real, axis=1), np.ptp(turned.imag, axis=1)]),
                         axis=0).min())
