"""Match two source lists by patterns: find their similarity transform without any first guess.

Triangles of the brightest sources look alike in both lists whatever the offset, the rotation, the
scale and the parity, see `triangles`. Those that do propose transforms; each is judged by how many
of the other sources it brings together, on longer and longer lists, and by the odds that unrelated
lists do as well.

Positions are complex numbers in here: a similarity is ``alpha * z + beta``, a mirrored one
``alpha * conj(z) + beta``. Lengths given in tolerances follow from the errors of the positions; the
numbers of what is tried bound the time to a second (tests/bench/pattern_speed.py).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np
from scipy.spatial import cKDTree

from imagereg.alignment.matching.match import Candidate, PointSet, pair_at
from imagereg.alignment.matching.triangles import Triangles, alike
from imagereg.alignment.significance import Judge, chance_of_pattern, pairs_expected_of_pattern
from imagereg.errors import AmbiguousMatch, NotEnoughMatches, NotEnoughSources, ParameterError

_FRAGMENT = 3.0  # tolerances; a source nearer to a brighter one may be a part of it
_SLACK = 1.5  # tolerances, by which a vertex of a triangle may be off
_SMALLEST = 10.0  # tolerances; the shape of a smaller triangle tells little
_SIZE_CLASS = 1.5  # ratio of largest to smallest triangle that share a slack
_MIN_MATCHES = 4  # three sources make a triangle, the fourth is the first evidence
_MOST_TRANSFORMS = 150_000  # that are counted roughly per length of the lists
_PLACES_AT_ONCE = 30_000  # transformed positions: the arrays stay in the processor's cache
_N_REFINED = 60  # the best by rough counts, which are refined
_N_KEPT = 12  # the best of these, which are counted on longer lists
_N_MEDIUM = 1000  # sources of the list between the brightest and all
_N_COMPACT = 25  # matched sources in which the symmetries of a pattern are looked for
_RASTER = 1500  # cells along a side
_BORDER = 2  # cells beside these: neighbours of the outermost, and empty ones for what is outside
_RIVAL_CHANCE = 1e-3  # a second transform less certain than this is no rival


@dataclasses.dataclass(frozen=True, eq=False)
class _Similarity:
    """One transform, or many of one parity: complex `alpha` and `beta`; `parity` 1 or -1."""

    alpha: complex | np.ndarray
    beta: complex | np.ndarray
    parity: int

    def __call__(self, z):
        return self.alpha * (z if self.parity > 0 else np.conj(z)) + self.beta


@dataclasses.dataclass(frozen=True, eq=False)
class _Lists:
    """Complex positions of both lists, brightest first, near the origin."""

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
    def n_trials(self):
        """Number of transforms that lay two sources on two, with the scale within range."""
        image = _sorted_log_lengths(self.image)
        ref = _sorted_log_lengths(self.ref)
        first = np.searchsorted(ref, image - self.log_scale)
        last = np.searchsorted(ref, image + self.log_scale, side="right")
        return 4.0 * float((last - first).sum())  # either way round, either parity


@dataclasses.dataclass(frozen=True, eq=False)
class _Solution:
    """A transform with its pairs on some list, how many more than chance gives, and the odds."""

    transform: _Similarity
    rows: np.ndarray
    ref_rows: np.ndarray
    n_beyond_chance: float
    chance_probability: float

    def __len__(self):
        return len(self.rows)

    @property
    def rank(self):
        """What to sort by, best first."""
        return self.chance_probability, -len(self)


def match_patterns(image: PointSet, reference: PointSet, *, tolerance: float, separation: float,
                   judge: Judge, scale_range: float = 0.2, brightest: int = 60,
                   searched: int = 100) -> Iterator[Candidate]:
    """Yield the similarity transform between two lists as the only candidate.

    Parameters
    ----------
    image, reference : PointSet
        The lists. Of several exposures that share the transform the one with most sources has to
        show the pattern. Sources of unknown flux count as faintest.
    tolerance : float
        Largest distance of partners after the transform, pixels; two to three times the errors.
    separation : float
        See `match_offsets`.
    judge : Judge
        Who says when a transform is believed, so that no longer lists are searched.
    scale_range : float
        The scale lies between 1 - scale_range and 1 / (1 - scale_range).
    brightest : int
        Patterns are looked for among a quarter of this number of sources, then a half, then all.
    searched : int
        Number of sources among which they are looked for at last, where nothing was found.

    Raises
    ------
    NotEnoughSources
        A list has fewer than three positions.
    NotEnoughMatches
        No transform is believed.
    AmbiguousMatch
        A clearly different transform has nearly as many matches.
    ParameterError
        A tolerance that is not positive, or a scale range that is not from 0 to below 1.
    """
    if not (tolerance > 0 and np.isfinite(tolerance)):
        raise ParameterError(f"tolerance={tolerance!r} is not a positive number of pixels")
    if not 0 <= scale_range < 1:
        raise ParameterError(f"scale_range={scale_range!r} is not from 0 to below 1")
    largest = np.argmax(np.bincount(image.exposure_index, minlength=1))
    shown = image[image.exposure_index == largest]
    image_z, image_centre = _prepared(shown, tolerance, where="the image")
    ref_z, ref_centre = _prepared(reference, tolerance, where="the reference")
    log_scale = -np.log(1 - scale_range) + 1e-3  # and some for the errors of the positions
    lists = _Lists(image_z, ref_z, float(tolerance), log_scale)
    numbers = {max(brightest // 4, 3), max(brightest // 2, 3), brightest, searched}
    solutions = _search(lists, sorted(numbers), judge)
    _refuse_rivals(lists, solutions, judge)
    matrix, offset = _in_pixels(solutions[0].transform, image_centre, ref_centre)
    moved = image.at(image.xy @ matrix.T + offset)
    pairs = pair_at(moved, reference, (0, 0), tolerance=tolerance, separation=separation)
    yield dataclasses.replace(pairs, offset=offset, matrix=matrix,
                              chance_probability=solutions[0].chance_probability)


def _prepared(points, tolerance, *, where):
    """Return complex positions in the order in which to use them, about their median, and that."""
    is_finite = np.isfinite(points.xy).all(axis=1)
    if is_finite.sum() < 3:
        raise NotEnoughSources(f"{where} has {is_finite.sum()} sources, a pattern needs 3")
    flux = np.nan_to_num(points.flux[is_finite], nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    xy = points.xy[is_finite][np.argsort(-flux, kind="stable")]
    centre = np.median(xy, axis=0)
    z = (xy - centre) @ [1, 1j]
    # Fragments of one source are no pattern; they come after all others.
    close = cKDTree(xy[:_N_MEDIUM]).query_pairs(_FRAGMENT * tolerance, output_type="ndarray")
    is_fragment = np.zeros(len(z), bool)
    is_fragment[close.max(axis=1, initial=0)] = True
    is_fragment[0] = False
    return z[np.argsort(is_fragment, kind="stable")], centre


def _search(lists, numbers, judge):
    """Return the solutions of the first length of lists that has a believed one, best first."""
    n_trials = 0.0
    best = None
    for number in numbers:
        short = lists.head(number)
        n_trials += short.n_trials
        solutions = _solutions(_proposals(short, short), short, lists, n_trials=n_trials)
        if solutions and judge.believes(solutions[0].chance_probability):
            return solutions
        best = min([*solutions[:1], *([best] if best else [])], key=_rank, default=None)
        if short is lists:
            break
    said = "none gives 4 matches"
    if best:
        said = f"the best gives {len(best)} matches (chance {best.chance_probability:.2g})"
    smallest, largest = np.exp(-lists.log_scale), np.exp(lists.log_scale)
    raise NotEnoughMatches(
        f"no pattern of the {len(short.image)} brightest of {len(lists.image)} sources is found "
        f"among the {len(short.ref)} brightest of {len(lists.ref)} of the reference within "
        f"tolerance={lists.tolerance:g} pixel: of {n_trials:.3g} possible transforms of any "
        f"offset, rotation and parity, scale {smallest:.2f} to {largest:.2f}, {said}")


def _solutions(proposals, short, lists, *, n_trials):
    """Refine proposals on the short lists, count them on longer ones; return those on all."""
    levels = [short]
    for level in (lists.head(_N_MEDIUM), lists):
        if len(level.image) + len(level.ref) > len(levels[-1].image) + len(levels[-1].ref):
            levels.append(level)
    n_trials *= len(levels)
    found = [_refined(p, short, n_trials=n_trials, widths=(3.0, 2.0, 1.0)) for p in proposals]
    for level, keep in zip(levels, (_N_REFINED, _N_KEPT, 3), strict=False):
        if level is not short:
            found = [_refined(one.transform, level, n_trials=n_trials,
                              earlier=one.chance_probability) for one in found[:keep]]
        found = sorted((one for one in found if one is not None), key=_rank)
    return found


def _rank(solution):
    return solution.rank


def _refined(transform, lists, *, n_trials, widths=(1.0,), earlier=1.0):
    """Refine a transform on its matches; None where too few are left or its scale is out of range.

    The odds are the better ones of these and of `earlier`, on shorter lists.
    """
    limit = np.exp(lists.log_scale)
    fitted_rows = None
    for width in (*widths, 1.0, 1.0):
        rows, ref_rows, distance = _pairs(transform, lists, width * lists.tolerance)
        is_settled = np.array_equal(np.array([rows, ref_rows]), fitted_rows)
        if is_settled and width == 1.0:
            break
        if len(rows) < 3:
            return None
        transform = _fitted(lists.image[rows], lists.ref[ref_rows], transform.parity)
        fitted_rows = np.array([rows, ref_rows])
        if not 1 / limit <= abs(transform.alpha) <= limit:
            return None
    else:
        rows, ref_rows, distance = _pairs(transform, lists, lists.tolerance)
    if len(rows) < _MIN_MATCHES:
        return None
    image_area, ref_area = lists.areas
    area = max(ref_area, image_area * abs(transform.alpha)**2)
    mapped = _columns(transform(lists.image))
    n_expected = pairs_expected_of_pattern(mapped, lists.ref_tree, area, lists.tolerance)
    chance = chance_of_pattern(distance, n_expected, tolerance=lists.tolerance, n_trials=n_trials)
    n_beyond_chance = len(rows) - n_expected
    return _Solution(transform, rows, ref_rows, n_beyond_chance, min(chance, earlier, 1.0))


def _pairs(transform, lists, radius):
    """Return indices of mutual nearest neighbours within a radius, and their distances."""
    mapped = _columns(transform(lists.image))
    distance, partner = lists.ref_tree.query(mapped, distance_upper_bound=radius)
    near = np.flatnonzero(np.isfinite(distance))
    if not near.size:
        return near, near, distance[near]
    _, back = cKDTree(mapped[near]).query(lists.ref_tree.data[partner[near]])
    near = near[back == np.arange(len(near))]
    return near, partner[near], distance[near]


def _fitted(image, ref, parity):
    """Fit by least squares; one set of pairs, or many along the second axis."""
    image = image if parity > 0 else np.conj(image)
    image_mean = image.mean(axis=0)
    ref_mean = ref.mean(axis=0)
    image = image - image_mean
    ref = ref - ref_mean
    size = np.maximum((image.real**2 + image.imag**2).sum(axis=0), 1e-300)
    alpha = (np.conj(image) * ref).sum(axis=0) / size
    return _Similarity(alpha, ref_mean - alpha * image_mean, parity)


def _proposals(lists, counted):
    """Return the different transforms that equal triangles propose, best on `counted` first."""
    raster = _Raster.of(counted)
    counts = [np.empty(0, int)]
    transforms = [np.empty((3, 0))]
    for batch in _transforms(lists):
        count = raster.counts(batch, counted.image)
        good = np.flatnonzero(count >= _MIN_MATCHES)
        parity = np.full(len(good), batch.parity)
        transforms.append(np.array([batch.alpha[good], batch.beta[good], parity]))
        counts.append(count[good])
    order = np.argsort(-np.concatenate(counts), kind="stable")
    transforms = np.concatenate(transforms, axis=1)[:, order]
    size = np.abs(counted.image).max()
    return [_Similarity(alpha, beta, int(parity.real))
            for alpha, beta, parity in _different(transforms, size, 8 * counted.tolerance).T]


def _different(transforms, size, cell):
    """Return the first of the transforms (3, T) that put three places into different cells."""
    points = size * np.array([1, -1, 1j])[:, None]
    n_tried = 0
    chosen = np.empty(0, int)
    while len(chosen) < _N_REFINED and n_tried < transforms.shape[1]:
        n_tried = 10 * max(n_tried, _N_REFINED)  # most often the first few hundred will do
        alpha, beta, parity = transforms[:, :n_tried]
        places = (alpha * np.where(parity.real > 0, points, points.conj()) + beta) / cell
        keys = np.rint([*places.real, *places.imag, parity.real]).astype(np.int64)
        chosen = np.sort(np.unique(keys, axis=1, return_index=True)[1])[:_N_REFINED]
    return transforms[:, chosen]


def _transforms(lists):
    """Yield the transforms between triangles that are alike, by parity, largest triangles first."""
    image = Triangles.of(lists.image)
    ref = Triangles.of(lists.ref)
    limit = np.exp(lists.log_scale)
    high = image.size.max(initial=0.0) * (1 + 1e-9)
    left = _MOST_TRANSFORMS
    while high > _SMALLEST * lists.tolerance and left > 0:
        low = high / _SIZE_CLASS
        in_image = image[(image.size <= high) & (image.size > low)]
        in_ref = ref[(ref.size < limit * high) & (ref.size > low / limit)]
        slack = max(_SLACK * lists.tolerance / low, 1e-6)
        i, j = alike(in_image, in_ref, slack=slack, limit=limit, most=left)
        left -= len(i)
        high = low
        same = in_image.place[i].imag * in_ref.place[j].imag > 0
        for parity, chosen in ((1, same), (-1, ~same)):
            if chosen.any():
                yield _fitted(lists.image[in_image.rows[:, i[chosen]]],
                              lists.ref[in_ref.rows[:, j[chosen]]], parity)


@dataclasses.dataclass(frozen=True, eq=False)
class _Raster:
    """Cells in which a reference source lies, or which are beside one; to count roughly."""

    is_near: np.ndarray
    low: complex
    cell: float

    @classmethod
    def of(cls, lists):
        """Make the raster of the reference."""
        low = complex(lists.ref.real.min(), lists.ref.imag.min())
        extent = max(np.ptp(lists.ref.real), np.ptp(lists.ref.imag))
        cell = max(2 * lists.tolerance, extent / _RASTER)
        side = int(extent / cell) + 1 + 2 * _BORDER
        is_near = np.zeros((side, side), bool)
        place = (lists.ref - low) / cell
        column = place.real.astype(np.intp) + _BORDER
        row = place.imag.astype(np.intp) + _BORDER
        for step in itertools.product((-1, 0, 1), repeat=2):
            is_near[row + step[0], column + step[1]] = True
        return cls(is_near, low, cell)

    def counts(self, transforms, image):
        """Count the image sources that each transform puts near a reference source.

        Near is in the cell of such a source or in one beside it, which is at least two tolerances
        wide: a count may be too high, but not too low.
        """
        side = len(self.is_near)
        # Single precision is enough to tell a cell, and takes half of the time.
        mirrored = image if transforms.parity > 0 else np.conj(image)
        places = np.array([mirrored.real, mirrored.imag, np.ones(len(image))], np.float32)
        origin = self.low - self.cell * _BORDER * (1 + 1j)
        alpha = transforms.alpha / self.cell
        beta = (transforms.beta - origin) / self.cell
        to_cells = np.array([[alpha.real, -alpha.imag, beta.real],
                             [alpha.imag, alpha.real, beta.imag]], np.float32).swapaxes(1, 2)
        counts = np.empty(len(alpha), int)
        step = max(1, _PLACES_AT_ONCE // max(len(image), 1))
        for start in range(0, len(counts), step):
            batch = slice(start, start + step)
            column, row = (to_cells[:, batch] @ places).clip(0, side - 1).astype(np.int32)
            near = self.is_near.ravel().take(row * side + column)
            counts[batch] = near.view(np.uint8).sum(axis=1, dtype=np.uint16)
        return counts


def _refuse_rivals(lists, solutions, judge):
    """Raise AmbiguousMatch where another transform has nearly as many matches as the best."""
    best = solutions[0]
    proposals = [one.transform for one in solutions[1:]] + _symmetries(lists, best)
    if not proposals:
        return
    n_trials = lists.head(_N_COMPACT).n_trials
    rivals = _solutions(proposals, lists.head(_N_MEDIUM), lists, n_trials=n_trials)
    matched = lists.image[best.rows]
    for rival in rivals:
        step = np.median(np.abs(rival.transform(matched) - best.transform(matched)))
        distance = step if rival.transform.parity == best.transform.parity else np.inf
        is_rival = judge.is_rival(distance, rival.n_beyond_chance, best.n_beyond_chance)
        if is_rival and rival.chance_probability < _RIVAL_CHANCE:
            raise AmbiguousMatch(
                f"two transforms explain the sources about equally well: one with {len(best)} "
                f"matches, and one that is {step:.4g} pixel away with {len(rival)}")


def _symmetries(lists, best):
    """Return transforms that differ from the best by what lays the sources onto themselves."""
    image = lists.image[best.rows]
    ref = lists.ref[best.ref_rows]
    to_middle = np.abs(image - image.mean())
    nearest = np.argsort(to_middle, kind="stable")[:_N_COMPACT]  # they overlap most when moved
    compact = dataclasses.replace(lists, image=image[nearest], ref=ref[nearest])
    centre = ref.mean()
    axis = np.sqrt(((ref - centre)**2).sum())  # of a line, which is its own mirror image
    axis = axis / abs(axis) if abs(axis) > 0 else 1.0
    turn = axis**2
    alpha = turn * np.conj(best.transform.alpha)
    beta = centre + turn * np.conj(best.transform.beta - centre)
    return [_Similarity(alpha, beta, -best.transform.parity), *_proposals(compact, compact)]


def _in_pixels(transform, image_centre, ref_centre):
    """Return matrix and offset of a transform in the coordinates of the lists."""
    alpha, beta, parity = transform.alpha, transform.beta, transform.parity
    matrix = np.array([[alpha.real, -alpha.imag * parity], [alpha.imag, alpha.real * parity]])
    return matrix, ref_centre + [beta.real, beta.imag] - matrix @ image_centre


def _columns(z):
    """Return (N, 2) real positions."""
    return np.column_stack([z.real, z.imag])


def _sorted_log_lengths(z):
    """Return the logarithms of the distances of all pairs that do not coincide, sorted."""
    i, j = np.triu_indices(len(z), 1)
    lengths = np.abs(z[i] - z[j])
    return np.sort(np.log(lengths[lengths > 0]))


def _area(z, tolerance):
    """Return the area of the smallest box of some orientations; a line has some width."""
    turned = z * np.exp(1j * np.deg2rad(np.arange(0, 90, 15)))[:, None]
    sides = np.array([np.ptp(turned.real, axis=1), np.ptp(turned.imag, axis=1)])
    return float(np.prod(2 * tolerance + sides, axis=0).min())
