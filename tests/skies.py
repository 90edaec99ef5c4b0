"""Pairs of source lists that look alike without showing the same stars, and the same pairs with stars in common.

A kind is a function that returns what clutters the lists of a reference and of an image, as pixels of one detector.
`sky` makes a pair of exposures of it: the negative has nothing but clutter, the true counterpart has stars besides,
which the image has at a known shift.
"""

import dataclasses

import numpy as np
from astropy.wcs import WCS

from imagereg.alignment.sequence import Chip, Exposure
from imagereg.catalogs.sources import SourceCatalog

SIZE = 2000  # pixels of the detector along a side
_ERROR = 0.05  # pixels, of every position


@dataclasses.dataclass(frozen=True, eq=False)
class Sky:
    """A reference and an image, and what is known of them; `n_shared` stars are the first of both lists."""

    kind: str
    exposures: tuple
    n_shared: int
    shift: np.ndarray


def sky(kind, seed, *, is_true):
    """Make the negative of a kind, or its true counterpart of 6 to 60 stars and more where the clutter is recurring."""
    random = np.random.default_rng([12, KINDS.index(kind), seed])
    lists = kind(random)
    dither = random.uniform(5, 40, 2) * random.choice([-1, 1], 2)
    shift = random.uniform(2, 14, 2) * random.choice([-1, 1], 2)
    n_shared = int(np.exp(random.uniform(np.log(6), np.log(60)))) if is_true else 0
    if is_true and kind in RECURRING:
        n_shared += 2 * max(map(len, lists))
    stars = random.uniform(100, SIZE - 100, (n_shared, 2))
    flux = random.exponential(5000, n_shared) + 500
    exposures = []
    for name, clutter, moved in (("reference", lists[0], np.zeros(2)), ("image", lists[1], dither)):
        wrong = shift if name == "image" else np.zeros(2)
        xy = np.concatenate([stars + moved + wrong, clutter])
        xy += random.normal(0, _ERROR, xy.shape)
        fluxes = np.concatenate([flux, random.exponential(1000, len(clutter)) + 50])
        sources = SourceCatalog(xy, xy_error=np.full(xy.shape, _ERROR), flux=fluxes)
        exposures.append(Exposure.measured(name, [detector(SIZE / 2 + moved)], sources))
    return Sky(kind.__name__, tuple(exposures), n_shared, shift)


def is_right(made, alignment):
    """Tell whether an alignment puts the shared stars where the reference has them, to half a pixel."""
    if not made.n_shared:
        return False
    image, ref = (alignment.plane.sky_to_plane(e.sources.sky[:made.n_shared]) for e in made.exposures[::-1])
    if alignment.changes:
        image = alignment.fit(image)
    return bool(np.hypot(*(image - ref).T).max() < 0.5)


def detector(crpix):
    """Return an undistorted chip of 0.05 arcsec."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], (150.0, 2.0), crpix
    wcs.wcs.cd = 0.05 / 3600 * np.diag([-1.0, 1.0])
    wcs.wcs.set()
    return Chip(1, wcs, (SIZE, SIZE))


def _even(random, number):
    return random.uniform(1, SIZE, (number, 2))


def _size(random, most=1000):
    """Return a number of sources; as many fields have some ten as some hundred."""
    return int(np.exp(random.uniform(np.log(8), np.log(most))))


def _twice(make):
    """Return what `make` makes, once for the reference and once for the image."""
    return [make(), make()]


def unrelated(random):
    """Two fields."""
    return [_even(random, number) for number in (_size(random), _size(random))]


def clumps(random):
    """Two fields of a few clumps."""
    size = _size(random)

    def make():
        centres = random.uniform(200, SIZE - 200, (5, 2))
        return centres[random.integers(0, 5, size)] + random.normal(0, random.uniform(5, 100), (size, 2))
    return _twice(make)


def clusters(random):
    """Two clusters, each in the middle."""
    width = random.uniform(30, 300)
    return _twice(lambda: SIZE / 2 + random.normal(0, width, (_size(random), 2)))


def globulars(random):
    """Two globular clusters, each in the middle: as many sources in every ring, as a projected r**-3 profile has."""
    size = _size(random)

    def make():
        fraction = random.uniform(0, 0.95, size)
        radius = random.uniform(20, 60) * np.sqrt(1 / (1 - fraction) ** 2 - 1)
        angle = random.uniform(0, 2 * np.pi, size)
        return SIZE / 2 + radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return _twice(make)


def halos(random):
    """Make detections in rings around the bright stars of different fields."""
    radius = random.uniform(8, 40)
    n_around = _size(random, 60)

    def make():
        stars = _even(random, random.integers(1, 12))
        angle = random.uniform(0, 2 * np.pi, (len(stars), n_around))
        ring = radius * random.normal(1, 0.05, angle.shape)
        around = np.stack([ring * np.cos(angle), ring * np.sin(angle)], axis=-1)
        return np.concatenate([stars, (stars[:, None] + around).reshape(-1, 2)])
    return _twice(make)


def spikes(random):
    """Make detections along the diffraction spikes of the bright stars of different fields."""
    step = random.uniform(3, 9)
    arms = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) / np.sqrt(2)
    n_along = random.integers(2, 13)

    def make():
        stars = _even(random, random.integers(1, 12))
        along = (np.arange(1, n_along + 1)[:, None, None] * step * arms).reshape(-1, 2)
        return np.concatenate([stars, (stars[:, None] + along).reshape(-1, 2)])
    return _twice(make)


def jittered_grids(random):
    """Stars of an irregular grid, other ones in each list, among cosmic rays."""
    step = random.uniform(30, 80)
    side = random.integers(3, 13)
    nodes = np.stack(np.meshgrid(*2 * [np.arange(side)]), axis=-1).reshape(-1, 2) * step + 300
    rays = _size(random)
    return _twice(lambda: np.concatenate([nodes + random.normal(0, 2, nodes.shape), _even(random, rays)]))


def cosmic_rays(random):
    """Many sources, each in one list only."""
    return _twice(lambda: _even(random, _size(random, 4000)))


def trails(random):
    """Make detections along one or two satellite trails that run alike in both lists, among other stars."""
    angle = random.uniform(0, np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    along = _size(random, 150)
    beside = _size(random, 300)

    def make():
        starts = random.uniform(0.4 * SIZE, 0.6 * SIZE, (random.integers(1, 3), 1, 2))
        steps = random.uniform(-700, 700, (len(starts), along, 1))
        return np.concatenate([(starts + steps * direction).reshape(-1, 2), _even(random, beside)])
    return _twice(make)


def bad_columns(random):
    """Make detections along the same bad columns."""
    columns = random.uniform(100, SIZE - 100, random.integers(1, 6))
    inside = _size(random, 300)
    beside = _size(random, 300)

    def make():
        x = random.choice(columns, inside)
        return np.concatenate([np.column_stack([x, random.uniform(1, SIZE, inside)]), _even(random, beside)])
    return _twice(make)


def hot_pixels(random):
    """Make the same hot pixels after a dither that the headers know, among other stars."""
    fixed = _even(random, _size(random))
    return _twice(lambda: np.concatenate([fixed, _even(random, len(fixed) // 2)]))


def ghosts(random):
    """Ghosts of the stars of different fields, all at one distance from their star."""
    step = random.uniform(-60, 60, 2)
    size = _size(random, 300)

    def make():
        stars = _even(random, size)
        return np.concatenate([stars, stars + step, stars + 2 * step])
    return _twice(make)


def moving_targets(random):
    """Make a few moons that were followed, in front of other stars."""
    moons = random.uniform(0.4 * SIZE, 0.6 * SIZE, (random.integers(3, 6), 2))
    return _twice(lambda: np.concatenate([moons, _even(random, _size(random))]))


def mirrored(random):
    """Make a field and its mirror image."""
    stars = _even(random, _size(random))
    return [stars, np.column_stack([SIZE - stars[:, 0], stars[:, 1]])]


def few_common(random):
    """Two fields that have three to six stars in common at an offset beyond searchrad, whatever the dither is."""
    common = _even(random, random.integers(3, 7))
    angle = random.uniform(0, 2 * np.pi)
    wrong = random.uniform(90, 150) * np.array([np.cos(angle), np.sin(angle)])
    return [np.concatenate([common + by, _even(random, _size(random))]) for by in (0, wrong)]


def unlike_depths(random):
    """Make a few stars, and a hundred times as many other ones."""
    few = _size(random, 40)
    lists = [_even(random, few), _even(random, 100 * few)]
    random.shuffle(lists)
    return lists


KINDS = (unrelated, clumps, clusters, globulars, halos, spikes, jittered_grids, cosmic_rays, trails, bad_columns,
         hot_pixels, ghosts, moving_targets, mirrored, few_common, unlike_depths)
RECURRING = (hot_pixels,)
