"""The stars that several lists share: which source of which list is which star.

A `StarList` has the sources of one exposure, or of a reference that is none, where the sequential
fits put them on the plane; an `Overlap` tells their stars apart and makes them the measurements and
the design of an `adjustment`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from imagereg.alignment.exposure import Chip, Exposure
from imagereg.alignment.fitting import geometry as families
from imagereg.alignment.fitting.adjustment import Measurements, undetermined
from imagereg.alignment.fitting.weights import known_errors
from imagereg.alignment.verdict import Alignment, Rules
from imagereg.catalogs import Flag, Reference
from imagereg.wcs import Status, TangentPlane, correction, pixel_to_sky

_GATE = 6.0  # expected distances; a partner further away is another source
#: A chip that may be shifted: its detector, see `detector_of`, and its EXTVER.
Term = tuple[Hashable, int]

# The shift by charge that trails is a sum of these powers of the flux: traps are filled by a part
# of the charge that falls as it grows, and bright stars do not move.
_TRAIL_POWERS = np.array([-0.25, -0.5])
_TRAIL_FLUX = 1e3  # counts; unit of the flux
_CHIPS_READ_OUTSIDE = 2  # number of chips of a detector that is read at its outer edges
_CELL = 512.0  # pixels; stars are ordered by such cells, so that neighbours share their lists


@dataclasses.dataclass(frozen=True, eq=False)
class StarList:
    """The stars of an exposure, or of a reference that is none, on the plane.

    Parameters
    ----------
    name : tuple of str
        Of the exposure and its file.
    kind : str
        Lists of one kind have errors of one origin.
    rows : (N,) ndarray of int
        Which sources of the exposure or of the reference these are.
    xy, error : (N, 2) ndarray
        Positions after the sequential fit, and their errors, pixels.
    reach : (N,) ndarray
        How far each may be from its star by what the sequential fit says of itself, pixels.
    scatter : float
        Of the sequential fit beyond the errors, pixels; NaN where there is none.
    shifts : (S, 2) ndarray
        How far the stars of the reference have moved by the date of the exposure, pixels.
    alignment : int
        Its number; -1 for a reference that is none of the exposures.
    chips : tuple of Chip
        With the sequential fit in their WCS.
    block : hashable
        Lists of one block share their transform; None for one that stays where it is.
    geometry : str
        Of the transform.
    chip : (N,) ndarray of int
        EXTVER of the chip of each.
    detector : hashable
        What exposures have in common whose chips lie alike; None where there is one chip.
    trail : (N, 2) ndarray
        How far charge that trails moves each source in y of its chip, for each of the two terms
        of a detector, see `Overlap`.
    """

    name: tuple[str, str]
    kind: str
    rows: np.ndarray
    xy: np.ndarray
    error: np.ndarray
    reach: np.ndarray
    scatter: float = np.nan
    shifts: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 2)))
    alignment: int = -1
    chips: tuple[Chip, ...] = ()
    block: Hashable = None
    geometry: str = "shift"
    chip: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    detector: Hashable = None
    trail: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 2)))


def star_lists(alignments: Sequence[Alignment], reference: Reference, plane: TangentPlane,
               rules: Rules) -> list[StarList]:
    """Return the lists of exposures that did not fail, and of the reference, which comes first.

    Their order does not depend on that of the input. The stars of a catalog are where they are on
    the mean date of the exposures. For the arguments see `joint.solve_jointly`.
    """
    members = [number for number, alignment in enumerate(alignments)
               if alignment.status is not Status.FAILED]
    epochs = [alignments[number].exposure.metadata.epoch for number in members]
    known = np.isfinite(epochs)
    epoch = float(np.mean(np.array(epochs)[known])) if known.any() else None
    matched = _matched_of_reference(alignments)
    anchor = []
    if not any(alignment.status is Status.REFERENCE for alignment in alignments):
        anchor = [_reference_list(matched, reference, epoch, plane)]
    anchors = anchor[0].rows if anchor else np.empty(0, int)
    exposures = []
    rest = plane.sky_to_plane(reference.at(epoch).sky[anchors])
    for number in members:
        alignment = alignments[number]
        is_reference = alignment.status is Status.REFERENCE
        one = _exposure_list(number, alignment, plane, rules,
                             matched=matched if is_reference else alignment.rows)
        if one is None:
            continue
        there = reference.at(alignment.exposure.metadata.epoch).sky[anchors]
        exposures.append(dataclasses.replace(one, shifts=plane.sky_to_plane(there) - rest))
    exposures.sort(key=lambda one: (
        alignments[one.alignment].status is not Status.REFERENCE, one.block is not None, one.name))
    return anchor + exposures


def detector_of(exposure: Exposure) -> Hashable:
    """Return what exposures have in common whose chips lie alike; None where there is one chip."""
    layout = tuple((chip.extver, chip.shape) for chip in exposure.chips)
    return (exposure.metadata.optics, layout) if len(layout) > 1 else None


def _matched_of_reference(alignments):
    """Return the rows of the reference that exposures were matched with."""
    matched = [alignment.ref_rows for alignment in alignments if alignment.fit]
    return np.concatenate([*matched, np.empty(0, int)])


def _reference_list(matched, reference, epoch, plane):
    """Return the list of a reference that is none of the exposures."""
    sources = reference.at(epoch)
    rows = _usable(sources, matched)
    error = known_errors(sources.sky_error[rows] / plane.pixel_scale)
    xy = plane.sky_to_plane(sources.sky[rows])
    return StarList((reference.name, ""), "reference", rows, xy, error, _size(error),
                 shifts=np.zeros_like(xy))


def _usable(sources, matched):
    """Return the rows of sources that are reliable, or were matched all the same."""
    reliable = np.flatnonzero((sources.flags & Flag.UNRELIABLE) == 0)
    rows = np.union1d(reliable, matched[matched < len(sources)]).astype(int)
    return rows[np.isfinite(sources.sky[rows]).all(axis=1)]


def _size(error):
    """Return the mean error of an axis (N,) of errors (N, 2)."""
    return np.sqrt((error**2).mean(axis=1))


def _exposure_list(number, alignment, plane, rules, *, matched):
    """Return the list of an exposure; None for one of which nothing is known.

    Its sources are the reliable ones and those that were `matched`.
    """
    exposure = alignment.exposure
    fit = alignment.fit
    visit = exposure.metadata.visit if rules.group == "visit" else ""
    if fit is None and alignment.status is Status.ALIGNED:
        return None
    rows = _usable(exposure.sources, matched)
    chips = alignment.corrected_chips() if alignment.changes else exposure.chips
    xy, error = placed(exposure, chips, rows, plane)
    if alignment.changes:
        lost = _without_pixels(exposure, chips, rows)
        xy[lost] = fit(xy[lost])
    one = StarList((exposure.name, exposure.path), exposure.metadata.optics, rows, xy, error,
                _size(error), alignment=number, chips=chips,
                chip=exposure.sources.chip[rows], detector=detector_of(exposure),
                trail=_trail(exposure, rows))
    if fit is None:
        return one
    stated = fit.error_scale * one.reach
    reach = np.sqrt(stated**2 + fit.scatter**2 + _size(fit.errors_at(xy))**2)
    return dataclasses.replace(one, reach=reach, scatter=fit.scatter, geometry=fit.geometry,
                               block=visit or number)


def _trail(exposure, rows):
    """Return how charge that trails moves sources, (N, 2): away from the amplifiers.

    It grows with the distance from them and falls with the flux. Detectors of two chips, ACS/WFC
    and WFC3/UVIS, are read at their outer edges; of others nothing is known.
    """
    sources = exposure.sources[rows]
    if len(exposure.chips) != _CHIPS_READ_OUTSIDE:
        return np.zeros((len(sources), 2))
    lower, upper = exposure.chips
    y = sources.xy[:, 1]
    path = np.where(sources.chip == lower.extver, y / lower.shape[0], y / upper.shape[0] - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = (sources.flux[:, None] / _TRAIL_FLUX) ** _TRAIL_POWERS
    trail = path[:, None] * power
    return np.where(np.isfinite(trail), trail, 0.0)


def _without_pixels(exposure, chips, rows):
    """Tell the sources whose sky positions do not follow chips: from lists of the user's."""
    if not chips:
        return np.ones(len(rows), bool)
    return ~np.isfinite(exposure.sources.xy[rows]).all(axis=1)


def placed(exposure: Exposure, chips: Sequence[Chip], rows: np.ndarray,
           plane: TangentPlane) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and errors (N, 2) of sources on the plane by the WCS of chips, pixels."""
    sources = exposure.sources[rows]
    if chips:
        sources = Exposure.measured(exposure.name, chips, sources).sources
    return (plane.sky_to_plane(sources.sky),
            known_errors(sources.sky_error / plane.pixel_scale))


def _identified(lists, tolerance):
    """Tell which sources are the same star; return star, list and place of each measurement.

    The lists are taken one after the other. A source is that star, the mean of its measurements so
    far, which is its mutual nearest neighbour within the tolerance and within what the errors
    allow; one that has none within the tolerance is a new star. Stars of one measurement are left
    out.
    """
    total = np.empty((0, 2))
    count = np.empty(0)
    reach = np.empty(0)
    found = []
    for one in lists:
        shifts = one.shifts[:len(total)]
        n_reference = len(shifts)
        xy = total / count[:, None]
        xy[:n_reference] += shifts
        own = one.xy.copy()
        own_star, star, is_new = _partners(one, xy, reach, tolerance)
        own[own_star[star < n_reference]] -= shifts[star[star < n_reference]]
        total[star] += own[own_star]
        count[star] += 1
        found.append((np.concatenate([own_star, is_new]),
                      np.concatenate([star, len(total) + np.arange(len(is_new))])))
        total = np.concatenate([total, own[is_new]])
        count = np.concatenate([count, np.ones(len(is_new))])
        reach = np.concatenate([reach, one.reach[is_new]])
    member = np.concatenate([members for members, _ in found])
    star = np.concatenate([stars for _, stars in found])
    list_index = np.repeat(np.arange(len(lists)), [len(members) for members, _ in found])
    shared = count[star] > 1
    place = np.full(len(count), -1)
    cells = np.floor(total / count[:, None] / _CELL)
    order = np.lexsort((cells[:, 0], cells[:, 1]))
    order = order[count[order] > 1]
    place[order] = np.arange(len(order))
    return place[star[shared]], list_index[shared], member[shared]


def _partners(one, star_xy, star_reach, tolerance):
    """Pair sources with stars; return both indices, and the sources that are near no star."""
    xy = one.xy
    if not len(xy):
        return np.empty(0, int), np.empty(0, int), np.empty(0, int)
    near = ((star_xy >= xy.min(axis=0) - tolerance)
            & (star_xy <= xy.max(axis=0) + tolerance)).all(axis=1)
    stars = np.flatnonzero(near)
    if not len(stars):
        return np.empty(0, int), np.empty(0, int), np.arange(len(xy))
    tree = cKDTree(star_xy[stars])
    distance, partner = tree.query(xy, distance_upper_bound=tolerance)
    own = np.flatnonzero(np.isfinite(distance))
    star = partner[own]
    _, back = cKDTree(xy).query(tree.data[star])
    distance = distance[own]
    star = stars[star]
    allowed = _GATE * np.hypot(one.reach[own], star_reach[star])
    is_pair = (back == own) & (distance <= allowed)
    return own[is_pair], star[is_pair], np.setdiff1d(np.arange(len(xy)), own)


@dataclasses.dataclass(frozen=True, eq=False)
class Overlap:
    """What is to be solved: lists, and which of their sources are the same star.

    Parameters
    ----------
    lists : sequence of StarList
        What is fixed comes first.
    plane : TangentPlane
        On which they are.
    tolerance : float
        Largest distance of a source from its star, pixels.
    star, list_index, member : (N,) ndarray of int
        Of each measurement: its star, its list, and its place in that.
    trailing : tuple of hashable
        Detectors whose charge trails: each has two parameters after those of the blocks.
    """

    lists: Sequence[StarList]
    plane: TangentPlane
    tolerance: float
    star: np.ndarray
    list_index: np.ndarray
    member: np.ndarray
    trailing: tuple[Hashable, ...] = ()

    @classmethod
    def of(cls, lists: Sequence[StarList], plane: TangentPlane, tolerance: float) -> Overlap:
        """Tell the stars of lists apart; those of one star are within a tolerance, pixels."""
        return cls(lists, plane, tolerance, *_identified(lists, tolerance))

    @functools.cached_property
    def blocks(self):
        """The columns of each block of parameters, in order."""
        columns = {}
        n_columns = 0
        for one in self.lists:
            if one.block is None or one.block in columns:
                continue
            n = families.GEOMETRIES[one.geometry].n_parameters
            columns[one.block] = slice(n_columns, n_columns + n)
            n_columns += n
        return columns

    @functools.cached_property
    def measured(self):
        """Measurements of all lists, those of moving stars brought to the date of the reference."""
        xy = np.empty((len(self.star), 2))
        error = np.empty_like(xy)
        is_reference = self._of_reference
        for number, one in enumerate(self.lists):
            own = self.list_index == number
            xy[own] = one.xy[self.member[own]]
            error[own] = one.error[self.member[own]]
            moving = own & (is_reference >= 0)
            xy[moving] -= one.shifts[is_reference[moving]]
        kinds = [one.kind for one in self.lists]
        kind = np.array([kinds.index(one) for one in kinds])
        return Measurements(self.star, self.list_index, xy, error, kind)

    @property
    def _of_reference(self):
        """Place in the list of the reference of the star of each measurement, or -1."""
        place = np.full(self.star.max(initial=-1) + 1, -1)
        if self.lists[0].alignment < 0:
            first = self.list_index == 0
            place[self.star[first]] = self.member[first]
        return place[self.star]

    def stars_of(self, one: StarList, n_sources: int, used: np.ndarray) -> np.ndarray:
        """Return the star of each source of a list, -1 where its measurement is not `used`."""
        star = np.full(n_sources, -1)
        own = used & (self.list_index == self.lists.index(one))
        star[one.rows[self.member[own]]] = self.star[own]
        return star

    def terms(self) -> list[Term]:
        """Return the chips that may be shifted against the first one of their detector."""
        return sorted({(one.detector, chip.extver) for one in self.lists if one.detector
                       for chip in one.chips[1:]})

    @functools.cached_property
    def design(self):
        """How x and y of the measurements change with the parameters, two sparse (N, P)."""
        n_columns = max((columns.stop for columns in self.blocks.values()), default=0)
        parts = []
        for number, one in enumerate(self.lists):
            if one.block is None:
                continue
            rows = np.flatnonzero(self.list_index == number)
            terms = families.GEOMETRIES[one.geometry].about_unity(
                one.xy[self.member[rows]] - self.plane.centre)
            columns = np.arange(n_columns)[self.blocks[one.block]]
            parts.append((terms, np.repeat(rows, len(columns)), np.tile(columns, len(rows))))
        axes = []
        for axis in (0, 1):
            values = np.concatenate([terms[axis].ravel() for terms, _, _ in parts])
            rows = np.concatenate([rows for _, rows, _ in parts])
            columns = np.concatenate([columns for _, _, columns in parts])
            axes.append(sparse.csr_array((values, (rows, columns)),
                                         shape=(len(self.star), n_columns)))
        return self._widened(axes, self._trail_columns()) if self.trailing else tuple(axes)

    @property
    def trails(self) -> dict[Hashable, slice]:
        """The columns of the two parameters of each detector whose charge trails."""
        first = max((columns.stop for columns in self.blocks.values()), default=0)
        return {detector: slice(first + 2 * place, first + 2 * place + 2)
                for place, detector in enumerate(self.trailing)}

    def typical_trail(self, detector: Hashable) -> np.ndarray:
        """Return the trail (2,) of a typical source of a detector, far from the amplifiers."""
        trails = [np.abs(one.trail) for one in self.lists if one.detector == detector]
        return 2 * np.median(np.concatenate(trails), axis=0)  # most are half-way

    def _trail_columns(self):
        """How x and y of the measurements change with trails, two columns a detector."""
        columns = np.zeros((len(self.star), 2, 2 * len(self.trailing)))
        for number, one in enumerate(self.lists):
            if one.detector not in self.trailing:
                continue
            own = np.flatnonzero(self.list_index == number)
            place = 2 * self.trailing.index(one.detector)
            for chip in one.chips:
                rows = own[one.chip[self.member[own]] == chip.extver]
                along_y = _pixel_steps(chip, self.plane)[:, 1]
                trail = one.trail[self.member[rows]]
                columns[rows, :, place:place + 2] = -along_y[:, None] * trail[:, None]
        return columns

    @staticmethod
    def _widened(design, columns):
        """Return a design with further columns (N, 2, K)."""
        x, y = (sparse.hstack([axis, sparse.csr_array(columns[:, number])], format="csr")
                for number, axis in enumerate(design))
        return x, y

    def blocks_apart(self) -> set[Hashable]:
        """Return the blocks whose parameters the shared stars leave open."""
        is_open = undetermined(self.measured, self.design)
        return {block for block, columns in self.blocks.items() if is_open[columns].any()}

    def design_with(self, terms: Sequence[Term]) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Return the design with two more columns for the shift of each chip, in its pixels."""
        columns = np.zeros((len(self.star), 2, 2 * len(terms)))
        for number, one in enumerate(self.lists):
            own = np.flatnonzero(self.list_index == number)
            chips = {(one.detector, chip.extver): chip for chip in one.chips}
            for place, term in enumerate(terms):
                if term in chips:
                    rows = own[one.chip[self.member[own]] == term[1]]
                    steps = _pixel_steps(chips[term], self.plane)
                    columns[rows, :, 2 * place:2 * place + 2] = -steps
        return self._widened(self.design, columns)

    def with_chips_shifted(self, shifts: Mapping[Term, np.ndarray],
                           alignments: Sequence[Alignment]) -> Overlap:
        """Return the overlap of the sources where shifted chips have them, see `shifted`."""
        detectors = {detector for detector, _ in shifts}
        lists = []
        for one in self.lists:
            chips = shifted(one.chips, one.detector, shifts)
            if one.detector in detectors:
                exposure = alignments[one.alignment].exposure
                xy, error = placed(exposure, chips, one.rows, self.plane)
                lost = _without_pixels(exposure, chips, one.rows)
                xy[lost] = one.xy[lost]
                one = dataclasses.replace(one, chips=chips, xy=xy, error=error)
            lists.append(one)
        return dataclasses.replace(self, lists=lists)


def _pixel_steps(chip, plane):
    """Return how the middle of a chip moves on the plane with x and y, (2, 2)."""
    middle = (np.array(chip.shape[::-1]) + 1) / 2
    corner, along_x, along_y = plane.sky_to_plane(
        pixel_to_sky(chip.wcs, middle + np.array([[0, 0], [1, 0], [0, 1]])))
    return np.column_stack([along_x - corner, along_y - corner])


def shifted(chips: Sequence[Chip], detector: Hashable,
            shifts: Mapping[Term, np.ndarray]) -> tuple[Chip, ...]:
    """Return chips of a detector, of which some image all stars further by a shift (2,), pixels."""
    result = []
    for chip in chips:
        shift = shifts.get((detector, chip.extver))
        if shift is not None:
            chip = dataclasses.replace(chip, wcs=correction.shifted_wcs(chip.wcs, shift))
        result.append(chip)
    return tuple(result)
