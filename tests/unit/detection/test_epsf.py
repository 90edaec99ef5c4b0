"""The effective PSF gives positions as good as the photons allow, with honest errors, and tells stars from the rest."""

import dataclasses
import functools

import numpy as np
import pytest
from finders import find_sources, make_kernel
from scipy.spatial import cKDTree
from scipy.special import erf

from imagereg.catalogs.sources import Flag, SourceCatalog
from imagereg.detection.finders.daofind import sky_sigma
from imagereg.detection.psf.epsf import EffectivePSF
from imagereg.detection.psf.epsf_fit import Linearised, refine_positions
from imagereg.detection.psf.epsf_measure import measure_psf
from imagereg.detection.psf.stamps import Stamps

SKY, READ_NOISE, CONV_WIDTH = 30.0, 5.0, 3.5
HALF = max(make_kernel(CONV_WIDTH).half)
NOISE = np.sqrt(SKY + READ_NOISE**2)


def pixel_light(distance, fwhm):
    """Return the share of a Gaussian's light, along one axis, in the pixel at a distance from its centre."""
    edges = 2 * np.sqrt(np.log(2)) / fwhm * (np.asarray(distance) + np.array([[-0.5], [0.5]]))
    return np.diff(erf(edges), axis=0)[0] / 2


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
    """A simulated image of stars, and what is true of them."""

    image: np.ndarray
    xy: np.ndarray
    flux: np.ndarray
    fwhm: float

    @functools.cached_property
    def measured(self):
        """Catalogs of what the finder finds, and of what the PSF makes of that."""
        found = find_sources(self.image, conv_width=CONV_WIDTH, threshold=5.0)
        level, noise = sky_sigma(self.image)
        stamps = Stamps.cut(self.image, found.xy, half=HALF, level=level, noise=noise)
        return found, refine_positions(found, stamps, measure_psf(stamps, CONV_WIDTH))

    @functools.cached_property
    def psf(self):
        """The PSF, measured at the true places of the stars."""
        return measure_psf(stamps_of(self, self.xy), CONV_WIDTH)

    def partners(self, catalog, distance=1.5):
        """Return rows of a catalog, and the stars that are there."""
        gap, star = cKDTree(self.xy).query(catalog.xy)
        rows = np.flatnonzero(gap < distance)
        return rows, star[rows]

    def least_errors(self, half=HALF):
        """Return the Cramer-Rao bounds (N, 2) of the positions, with flux and sky unknown, in boxes around them."""
        bounds, step = [], 1e-4
        for xy, flux in zip(self.xy, self.flux, strict=True):
            pixels = np.rint(xy)[:, None] + np.arange(-half, half + 1)

            def light(x, y, pixels=pixels, flux=flux):
                return flux * np.outer(pixel_light(pixels[1] - y, self.fwhm), pixel_light(pixels[0] - x, self.fwhm))

            x, y = xy
            expected = light(x, y)
            slopes = np.stack([(light(x + step, y) - light(x - step, y)) / (2 * step),
                               (light(x, y + step) - light(x, y - step)) / (2 * step),
                               expected / flux, np.ones_like(expected)]).reshape(4, -1)
            information = slopes / (expected + NOISE**2).ravel() @ slopes.T
            bounds.append(np.sqrt(np.diagonal(np.linalg.inv(information))[:2]))
        return np.array(bounds)


@functools.cache
def star_field(fwhm, seed=1, count=15, step=18, flux_range=(2e3, 1e5)):
    """Return `count` squared stars of random pixel phases, far from each other, with photon and read noise."""
    random = np.random.default_rng(seed)
    nodes = np.arange(count) * step + step / 2
    xy = np.array([(x, y) for y in nodes for x in nodes]) + random.uniform(-1, 1, (count**2, 2))
    flux = np.exp(random.uniform(*np.log(flux_range), count**2))
    pixels = np.arange(1, count * step + 1)
    expected = np.full((count * step, count * step), SKY)
    for (x, y), light in zip(xy, flux, strict=True):
        expected += light * np.outer(pixel_light(pixels - y, fwhm), pixel_light(pixels - x, fwhm))
    return Field(random.poisson(expected) + random.normal(0, READ_NOISE, expected.shape), xy, flux, fwhm)


@functools.cache
def with_hits(field, count=60, seed=3):
    """Return a copy of a field with cosmic rays of one to four pixels, and where they are, FITS pixels."""
    random = np.random.default_rng(seed)
    image, where = field.image.copy(), []
    while len(where) < count:
        row, column = random.integers(6, len(image) - 10, 2)
        if np.hypot(*(field.xy - (column + 1, row + 1)).T).min() < 7:
            continue
        dy, dx = random.choice([(0, 1), (1, 0), (1, 1), (1, -1)])
        for step in range(random.integers(1, 5)):
            image[row + step * dy, column + step * dx] += 10 ** random.uniform(3, 4)
        where.append((column + 1, row + 1))
    return dataclasses.replace(field, image=image), np.array(where)


def stamps_of(field, xy, image=None, **options):
    """Cut stamps of a field, or of another image with its sky, as if a finder had put sources at `xy`."""
    image = field.image if image is None else image
    return Stamps.cut(image, np.asarray(xy), half=HALF, level=SKY, noise=NOISE, **options)


def catalog_at(xy, error=0.1):
    """Return a catalog of sources at `xy`."""
    return SourceCatalog(xy, xy_error=np.full(np.shape(xy), error), flux=np.full(len(xy), 100.0), flux_error=10.0)


# The surface


@pytest.mark.parametrize("fwhm", [0.9, 1.2, 2.0, 3.0])
@pytest.mark.parametrize("phase", [(0.0, 0.0), (0.3, -0.4), (0.5, 0.5)])
def test_gaussian_holds_all_the_light(fwhm, phase):
    psf = EffectivePSF.gaussian(fwhm, 5)
    pixel = np.arange(-5, 6.0)
    value = psf(pixel[None] - phase[0], pixel[None] - phase[1])[0]
    assert value.sum() == pytest.approx(1, abs=0.01)
    expected = np.outer(pixel_light(pixel - phase[1], fwhm), pixel_light(pixel - phase[0], fwhm))
    np.testing.assert_allclose(value[0], expected, atol=0.004 if fwhm > 1 else 0.015)


def test_first_axis_of_the_surface_is_y():
    psf = EffectivePSF.gaussian(2.0, 3)
    moved = dataclasses.replace(psf, centre=(0.7, 0.0))  # the star's centre is to the right on the surface
    pixel = np.arange(-3, 4.0)[None]
    value = moved(pixel, pixel)[0][0]
    np.testing.assert_allclose(value[3], psf(pixel + 0.7, pixel)[0][0][3])
    assert value[3, 2] > value[3, 4]
    np.testing.assert_allclose(value[2, 3], value[4, 3])


@pytest.mark.parametrize("psf", [EffectivePSF.gaussian(1.4, 2), EffectivePSF.gaussian(3, 4, spacing=0.8),
                                 dataclasses.replace(EffectivePSF.gaussian(2, 2), centre=(0.13, -0.3))])
def test_slopes_are_those_of_the_values(psf):
    x, y = np.random.default_rng(1).uniform(-2.5, 2.5, (2, 4, 5))
    _, slope_x, slope_y = psf(x, y)
    step = 1e-5
    np.testing.assert_allclose(slope_x, (psf(x + step, y)[0] - psf(x - step, y)[0]) / (2 * step), atol=1e-8)
    np.testing.assert_allclose(slope_y, (psf(x, y + step)[0] - psf(x, y - step)[0]) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("fwhm", [1.2, 2.0])
def test_measured_surface_is_that_of_the_stars(fwhm):
    field = star_field(fwhm)
    psf, pixel = field.psf, np.arange(-2, 3.0)
    for phase in (-0.4, 0.0, 0.25):
        value = psf(pixel[None] - phase, pixel[None] + phase)[0][0]
        expected = np.outer(pixel_light(pixel + phase, fwhm), pixel_light(pixel - phase, fwhm))
        np.testing.assert_allclose(value, expected, atol=0.012)
    assert np.hypot(*psf.centre) < 0.2


# Positions


@pytest.mark.parametrize("fwhm", [1.2, 2.0])
def test_positions_are_near_the_photon_limit_and_errors_honest(fwhm):
    field = star_field(fwhm)
    found, refined = field.measured
    rows, stars = field.partners(refined)
    assert sorted(stars) == list(range(len(field.xy)))
    poor = (refined.flags[rows] & Flag.POOR_FIT) != 0
    assert poor.mean() < 0.02
    rows, stars = rows[~poor], stars[~poor]
    deviation = refined.xy[rows] - field.xy[stars]
    deviation -= np.median(deviation, axis=0)  # the origin of a PSF is a convention
    bound = field.least_errors()[stars]
    assert np.sqrt(((deviation / bound) ** 2).mean()) < 1.3
    assert 0.85 < np.sqrt(((deviation / refined.xy_error[rows]) ** 2).mean()) < 1.2
    before = found.xy[rows] - field.xy[stars]
    assert np.sqrt((deviation**2).mean()) < 0.7 * np.sqrt((before**2).mean())


@pytest.mark.parametrize("fwhm", [1.2, 2.0])
def test_fluxes_are_those_of_the_stars(fwhm):
    field = star_field(fwhm)
    _, refined = field.measured
    rows, stars = field.partners(refined)
    ratio = refined.flux[rows] / field.flux[stars]
    # Light beyond the stamp belongs to no one: a constant factor.
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    pull = (ratio - np.median(ratio)) * field.flux[stars] / refined.flux_error[rows]
    assert 0.7 < 1.4826 * np.median(np.abs(pull)) < 1.4


def test_no_error_with_the_pixel_phase_is_left():
    field = star_field(1.2, flux_range=(5e4, 1e5))

    def wave(catalog):
        """Return the amplitude of the part of the errors that follows the phase in the pixel."""
        rows, stars = field.partners(catalog)
        phase = 2 * np.pi * field.xy[stars]
        return np.abs(2 * ((catalog.xy[rows] - field.xy[stars]) * np.sin(phase)).mean(axis=0))

    found, refined = field.measured
    assert wave(found).min() > 0.02
    assert wave(refined).max() < 0.003


def test_fitting_again_is_quick_and_changes_nothing(monkeypatch):
    """A second fit of the same surface begins where the first one ended."""
    field = star_field(2.0)
    psf = EffectivePSF.gaussian(2.0, HALF)
    stamps = stamps_of(field, field.xy)
    first = refine_positions(catalog_at(field.xy), stamps, psf)
    fitted = []
    linearised = Linearised.of
    monkeypatch.setattr(Linearised, "of", lambda fits, *rest: fitted.append(len(fits.flux)) or linearised(fits, *rest))
    again = refine_positions(first, stamps, psf, is_fitted=True)
    good = (first.flags & Flag.POOR_FIT) == 0
    assert good.mean() > 0.8
    np.testing.assert_allclose(again.xy[good], first.xy[good], atol=1e-3)
    np.testing.assert_allclose(again.xy_error[good], first.xy_error[good], rtol=0.01)
    assert fitted[0] == len(first) and sum(fitted[1:]) < 1.5 * len(first)


def test_origin_does_not_depend_on_the_stars():
    # Two exposures of one sky through one PSF agree on where its centre is.
    first, second = (star_field(1.2, seed=seed) for seed in (1, 2))
    medians = []
    for field in (first, second):
        _, refined = field.measured
        rows, stars = field.partners(refined)
        medians.append(np.median(refined.xy[rows] - field.xy[stars], axis=0))
    np.testing.assert_allclose(medians[0], medians[1], atol=0.004)
    np.testing.assert_allclose(medians, 0, atol=0.01)


@pytest.mark.parametrize("fwhm", [1.2, 2.0])
def test_hits_are_flagged_and_stars_are_not(fwhm):
    field, hits = with_hits(star_field(fwhm))
    _, refined = field.measured
    poor = (refined.flags & Flag.POOR_FIT) != 0
    rows, _ = field.partners(refined)
    assert len(rows) >= 0.99 * len(field.xy)
    assert poor[rows].mean() < 0.03
    others = np.setdiff1d(np.arange(len(refined)), rows)
    at_hit = others[cKDTree(hits).query(refined.xy[others])[0] < 6]
    assert len(at_hit) >= 50
    assert poor[at_hit].mean() > (0.9 if fwhm > 1.5 else 0.8)


def test_source_that_does_not_fit_keeps_what_it_had():
    field, _ = with_hits(star_field(2.0))
    found, refined = field.measured
    poor = (refined.flags & Flag.POOR_FIT) != 0
    assert 0 < poor.sum() < len(poor)
    for name in ("xy", "xy_error", "flux", "flux_error"):
        np.testing.assert_array_equal(getattr(refined, name)[poor], getattr(found, name)[poor])
        assert (getattr(refined, name)[~poor] != getattr(found, name)[~poor]).any(axis=-1).all()
    np.testing.assert_array_equal(refined.flags & ~int(Flag.POOR_FIT), found.flags)
    for name in ("ident", "chip", "sharp", "round1", "round2"):
        np.testing.assert_array_equal(getattr(refined, name), getattr(found, name))


def test_gain_is_that_of_the_photons():
    field = star_field(2.0)
    counts = refine_positions(catalog_at(field.xy), stamps_of(field, field.xy), field.psf)
    stamps = Stamps.cut(field.image / 4, field.xy, half=HALF, level=SKY / 4, noise=NOISE / 4, gain=4.0)
    other = refine_positions(catalog_at(field.xy), stamps, measure_psf(stamps, CONV_WIDTH))
    np.testing.assert_allclose(other.xy, counts.xy, atol=1e-6)
    np.testing.assert_allclose(other.xy_error, counts.xy_error, rtol=1e-4)
    np.testing.assert_allclose(other.flux, counts.flux / 4, rtol=1e-5)
    np.testing.assert_array_equal(other.flags, counts.flags)


def test_lopsided_stars():
    # The origin of the PSF is where its first moments within one FWHM vanish.
    field = star_field(2.0, flux_range=(2e4, 1e5))
    image = 0.7 * field.image + 0.3 * np.roll(field.image, (1, 2), (0, 1))  # a coma to the right and up
    stamps = stamps_of(field, field.xy, image)
    psf = measure_psf(stamps, CONV_WIDTH)
    refined = refine_positions(catalog_at(field.xy), stamps, psf)
    good = (refined.flags & Flag.POOR_FIT) == 0
    assert good.mean() > 0.9
    fine, origin = np.arange(-3, 5, 0.05), np.zeros(2)
    core, coma = (np.outer(pixel_light(fine - y, 2.0), pixel_light(fine - x, 2.0)) for x, y in ((0, 0), (2, 1)))
    for _ in range(50):
        x, y = fine - origin[0], fine[:, None] - origin[1]
        light = (0.7 * core + 0.3 * coma) * (np.hypot(x, y) < psf.fwhm)
        origin += np.array([(light * x).sum(), (light * y).sum()]) / light.sum()
    assert origin.min() > 0.05
    np.testing.assert_allclose(np.median((refined.xy - field.xy)[good], axis=0), origin, atol=0.03)


# Awkward input


@pytest.mark.parametrize(("fwhm", "steps"), [(2.0, [(0, 0)]), (2.0, [(0, 0), (1, 1), (1, 2)]),
                                             (3.0, [(0, 0), (1, 1), (1, 1), (2, 3)])])
def test_positions_do_not_depend_on_the_kernel(fwhm, steps):
    # A star, and two that are trailed, brighter at one end.
    field = star_field(fwhm, flux_range=(1e4, 1e5))
    image = sum(np.roll(field.image, step, (0, 1)) for step in steps) / len(steps)
    level, noise = sky_sigma(image)
    offsets = []
    for conv_width in (2.0, 2.5, 3.5, 5.0, 7.0, 10.0):
        found = find_sources(image, conv_width=conv_width, threshold=5.0)
        stamps = Stamps.cut(image, found.xy, half=6, level=level, noise=noise)
        refined = refine_positions(found, stamps, measure_psf(stamps, conv_width))
        refined = refined[(refined.flags & Flag.POOR_FIT) == 0]
        rows, stars = field.partners(refined, distance=4)
        assert len(rows) > 0.9 * len(field.xy)
        offsets.append(np.median(refined.xy[rows] - field.xy[stars], axis=0))
    assert np.ptp(offsets, axis=0).max() < 0.01


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5])
def test_few_stars(number):
    field = star_field(2.0)
    bright = np.argsort(-field.flux)[:number]
    xy = np.rint(field.xy[bright])
    stamps = stamps_of(field, xy)
    psf = measure_psf(stamps, CONV_WIDTH)
    assert np.isfinite(psf.coefficients).all()
    pixel = np.arange(-2, 3.0)[None]
    assert psf(pixel, pixel)[0].sum() == pytest.approx(1, abs=0.15)
    refined = refine_positions(catalog_at(xy), stamps, psf)
    assert len(refined) == number
    if number:
        good = (refined.flags & Flag.POOR_FIT) == 0
        assert good.all()
        assert np.abs(refined.xy - field.xy[bright]).max() < 0.05


@pytest.mark.parametrize("image", [
    np.full((60, 60), 30.0), np.zeros((60, 60)), np.full((60, 60), np.nan),
    np.random.default_rng(1).normal(30, 5, (60, 60))], ids=["flat", "zero", "nan", "noise"])
def test_no_stars(image):
    xy = np.array([(10, 10), (30, 31), (50, 20)])
    stamps = Stamps.cut(image, xy, half=HALF, level=30.0, noise=5.0)
    psf = measure_psf(stamps, CONV_WIDTH)
    pixel = np.arange(-2, 3.0)[None]
    value = psf(pixel, pixel)[0][0]
    np.testing.assert_allclose(value, value.T, atol=1e-9)
    np.testing.assert_allclose(value, value[::-1], atol=1e-6)
    refined = refine_positions(catalog_at(xy), stamps, psf)
    for name in ("xy", "xy_error", "flux", "flux_error"):
        assert np.isfinite(getattr(refined, name)).all()


def test_empty_catalog():
    field = star_field(2.0)
    stamps = stamps_of(field, np.empty((0, 2)))
    assert len(stamps) == 0
    assert len(refine_positions(SourceCatalog.empty(), stamps, EffectivePSF.gaussian(2, HALF))) == 0


def test_image_without_noise():
    field = star_field(2.0)
    pixels = np.arange(1, len(field.image) + 1)
    image = np.full(field.image.shape, SKY)
    for (x, y), light in zip(field.xy, field.flux, strict=True):
        image += light * np.outer(pixel_light(pixels - y, 2.0), pixel_light(pixels - x, 2.0))
    stamps = Stamps.cut(image, field.xy, half=HALF, level=SKY, noise=0.0)
    refined = refine_positions(catalog_at(field.xy), stamps, measure_psf(stamps, CONV_WIDTH))
    assert ((refined.flags & Flag.POOR_FIT) == 0).mean() > 0.9
    assert np.median(np.abs(refined.xy - field.xy)) < 0.01


@pytest.mark.parametrize("value", [0.0, 1e5, -1e5, np.nan, np.inf])
@pytest.mark.parametrize("step", [(0, 1), (1, 1), (-2, 0)])
def test_bad_pixels_have_no_weight(value, step):
    field = star_field(2.0)
    star = int(np.argmax(field.flux))
    column, row = np.rint(field.xy[star]).astype(int) - 1
    image, bad = field.image.copy(), np.zeros(field.image.shape, bool)
    image[row + step[1], column + step[0]], bad[row + step[1], column + step[0]] = value, True
    xy = field.xy[[star]]
    flawed, known, whole = (refine_positions(catalog_at(xy), stamps, field.psf) for stamps in (
        stamps_of(field, xy, image, bad=bad), stamps_of(field, xy, bad=bad), stamps_of(field, xy)))
    np.testing.assert_array_equal(flawed.xy, known.xy)
    assert (np.abs(flawed.xy - field.xy[star]) < 5 * flawed.xy_error).all()
    assert (flawed.xy_error >= whole.xy_error).all()
    assert flawed.flags[0] == 0


def test_every_stamp_has_a_bad_pixel():
    # Then there is no star to measure the PSF with.
    field = star_field(2.0)
    bad = np.zeros(field.image.shape, bool)
    column, row = np.rint(field.xy).astype(int).T
    bad[row, column - 3] = True  # a neighbour of the core
    stamps = stamps_of(field, field.xy, bad=bad)
    assert not stamps.good.all(axis=(1, 2)).any()
    refined = refine_positions(catalog_at(field.xy), stamps, measure_psf(stamps, CONV_WIDTH))
    assert np.isfinite(refined.xy_error).all()
    assert np.abs(refined.xy - field.xy).max() < 1.5


def test_stamp_without_a_good_pixel_is_flagged():
    field = star_field(2.0)
    xy = field.xy[[0, 1]]
    stamps = stamps_of(field, xy)
    stamps = dataclasses.replace(stamps, good=stamps.good & np.array([False, True])[:, None, None])
    refined = refine_positions(catalog_at(xy), stamps, EffectivePSF.gaussian(2, HALF))
    assert bool(refined.flags[0] & Flag.POOR_FIT)
    assert not refined.flags[1] & Flag.POOR_FIT
    np.testing.assert_array_equal(refined.xy[0], xy[0])
    assert np.isfinite(refined.xy_error).all()


@pytest.mark.parametrize("cut", [(8, 0), (9, 0), (0, 8), (0, 9), (8, 9)])
def test_stars_on_the_edge(cut):
    # The frame cuts through, or just beside, the cores of the first column or row of stars.
    field = star_field(2.0)
    image, xy = field.image[cut[1]:, cut[0]:], field.xy - cut
    on_edge = (xy < 3).any(axis=1) & (xy > 0.5).all(axis=1)
    xy = xy[on_edge]
    stamps = stamps_of(field, np.clip(np.rint(xy), 1, None), image)
    refined = refine_positions(catalog_at(xy), stamps, field.psf)
    good = (refined.flags & Flag.POOR_FIT) == 0
    assert good.sum() >= 2
    pull = (refined.xy - xy)[good] / refined.xy_error[good]
    assert np.sqrt((pull**2).mean()) < 1.5
    assert np.abs(pull).max() < 5


# Stamps


def test_stamp_is_the_box_around_its_source():
    image = np.arange(200.0).reshape(10, 20)
    stamps = Stamps.cut(image, np.array([(7.4, 3.6), (1.0, 10.0)]), half=2, level=3, noise=4, gain=1.5)
    np.testing.assert_array_equal(stamps.pixels[0], image[1:6, 4:9])
    assert stamps.good[0].all()
    np.testing.assert_array_equal(stamps.centre, [(7, 4), (1, 10)])
    np.testing.assert_array_equal(stamps.good[1], np.outer([1, 1, 1, 0, 0], [0, 0, 1, 1, 1]))
    np.testing.assert_array_equal(stamps.pixels[1][stamps.good[1]], image[7:10, 0:3].ravel())
    assert (stamps.level.tolist(), stamps.noise.tolist(), stamps.gain.tolist()) == ([3, 3], [4, 4], [1.5, 1.5])


@pytest.mark.parametrize("kind", [">f4", ">i2", "u2", "f4"])
def test_stamps_of_any_kind_of_pixels(kind):
    image = np.arange(200.0).reshape(10, 20)
    expected = Stamps.cut(image, np.array([(7, 4)]), half=2, level=0, noise=1)
    stamps = Stamps.cut(image.astype(kind), np.array([(7, 4)]), half=2, level=0, noise=1)
    np.testing.assert_array_equal(stamps.pixels, expected.pixels)
    assert stamps.pixels.dtype.isnative


def test_stamps_of_several_chips():
    image = np.arange(200.0).reshape(10, 20)
    first = Stamps.cut(image, np.array([(7, 4), (8, 5)]), half=2, level=0, noise=1)
    second = Stamps.cut(image, np.array([(9, 6)]), half=2, level=5, noise=2, gain=3)
    both = Stamps.concat([first, second])
    assert len(both) == 3
    assert both[np.array([2])].gain.tolist() == [3]
    np.testing.assert_array_equal(both[np.array([False, True, True])].centre, [(8, 5), (9, 6)])


def test_errors_grow_with_the_residuals():
    # The same pixels, once with their true noise and once believed to have less: what they say of a faint star is the
    # same, for the fit sees by its residuals what the noise is.
    field = star_field(2.0, flux_range=(1e3, 3e3))
    true, believed = (Stamps.cut(field.image, field.xy, half=HALF, level=SKY, noise=noise)
                      for noise in (NOISE, NOISE / 1.6))
    psf = EffectivePSF.gaussian(2.0, HALF)
    expected, found = (refine_positions(catalog_at(field.xy), stamps, psf) for stamps in (true, believed))
    both = ((expected.flags | found.flags) & Flag.POOR_FIT) == 0
    assert both.sum() > 150
    assert 0.95 < np.median(found.xy_error[both] / expected.xy_error[both]) < 1.15


def test_good_fit_makes_a_position_reliable_again():
    field = star_field(2.0)
    doubtful = catalog_at(field.xy).replace(flags=np.full(len(field.xy), Flag.ASTRAY | Flag.BAD_PIXEL))
    refined = refine_positions(doubtful, stamps_of(field, field.xy), field.psf)
    good = (refined.flags & Flag.POOR_FIT) == 0
    assert good.mean() > 0.9
    assert set(refined.flags[good]) == {Flag.BAD_PIXEL}
    assert set(refined.flags[~good]) <= {Flag.ASTRAY | Flag.BAD_PIXEL | Flag.POOR_FIT}
