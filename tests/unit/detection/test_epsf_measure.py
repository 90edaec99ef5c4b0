"""A star that several aligned exposures show has one position: it tells a wrong PSF from wrong positions."""

import dataclasses
import functools

import numpy as np
import pytest
from scipy.special import erf

from imagereg.catalogs import SourceCatalog
from imagereg.detection.psf.epsf import EffectivePSF
from imagereg.detection.psf.epsf_fit import fit_stars, refine_positions
from imagereg.detection.psf.epsf_measure import (
    Dithers,
    measure_dithered_psf,
    measure_psf,
    measure_psf_again,
    measure_psf_of_each,
    shown_by_several,
)
from imagereg.detection.psf.epsf_variation import Sample, measure_variation
from imagereg.detection.psf.stamps import Stamps

FWHM, SKY, NOISE, HALF, EXPOSURES = 1.3, 30.0, 8.0, 4, 4
ROLLS = np.deg2rad([0.0, 0.3, 20.0, 90.0])


def light(distance, fwhm):
    """Return the share of a Gaussian's light in pixels at a distance from its centre, along one axis."""
    edges = 2 * np.sqrt(np.log(2)) / np.asarray(fwhm)[..., None] * (np.asarray(distance)[..., None] + [-0.5, 0.5])
    return np.diff(erf(edges))[..., 0] / 2


def star(x, y, focus):
    """Return lopsided stars (N, s, s) in pixels at distances x and y (N, s) from their centres.

    `focus` (N, 1) is how much wider they are.
    """
    core, halo = (light(y - shift, width * focus)[:, :, None] * light(x - shift, width * focus)[:, None, :]
                  for shift, width in ((-0.06, FWHM), (0.2, 2 * FWHM)))
    return 0.8 * core + 0.2 * halo


@dataclasses.dataclass(frozen=True, eq=False)
class Visit:
    """Stars as several exposures show them, with where they truly are."""

    stamps: Stamps
    true_offset: np.ndarray
    dithers: Dithers

    @functools.cached_property
    def first_psf(self):
        """The PSF by turns with positions."""
        return measure_psf(self.stamps, 2.5)

    def errors(self, psf):
        """Return the errors (N, 2) of the positions that a PSF gives, pixels, without their mean."""
        catalog = SourceCatalog(self.stamps.centre, xy_error=np.full((len(self.stamps), 2), 0.1), flux=1.0,
                                flux_error=1.0, chip=1)
        found = refine_positions(catalog, self.stamps, psf).xy - self.stamps.centre
        error = found - self.true_offset
        return error - error.mean(axis=0)


@functools.cache
def visit(count=150, seed=5, exposures=EXPOSURES, focus=1.0, across=1.0):
    """Return a visit of `count` stars, its exposures rolled and its dithers known to 0.003 pixel.

    Stars of the last exposure are wider by the factor `focus`, those at x = 200 of chips of 200 pixels by `across`
    than those at x = 0.
    """
    random = np.random.default_rng(seed)
    flux = np.tile(10 ** random.uniform(3.7, 5.2, count), exposures)
    offset = random.uniform(-0.5, 0.5, (exposures * count, 2))
    pixel = np.arange(-HALF, HALF + 1.0)
    width = np.where(np.arange(exposures * count) < (exposures - 1) * count, 1.0, focus)[:, None]
    centre = np.full((exposures * count, 2), 100)
    if across != 1:
        centre = np.random.default_rng(seed).integers(0, 201, centre.shape)
        width = width * across ** (centre[:, :1] / 200)
    model = star(pixel - offset[:, :1], pixel - offset[:, 1:], width) * flux[:, None, None]
    pixels = random.poisson(model + SKY) + random.normal(0, np.sqrt(NOISE**2 - SKY), model.shape)
    n = len(pixels)
    stamps = Stamps(pixels, np.ones(pixels.shape, bool), centre, np.full(n, SKY), np.full(n, NOISE),
                    np.ones(n))
    frame = np.repeat(np.arange(exposures), count)
    sine, cosine = np.sin(ROLLS[:exposures]), np.cos(ROLLS[:exposures])
    to_pixels = np.moveaxis(np.array([[cosine, -sine], [sine, cosine]]), 2, 0)[frame]
    to_plane = to_pixels.swapaxes(1, 2)
    place = np.tile(random.uniform(0, 1000, (count, 2)), (exposures, 1))
    middle = place - (to_plane @ offset[..., None])[..., 0] + random.normal(0, 0.003, (exposures, 2))[frame]
    return Visit(stamps, offset, Dithers(np.tile(np.arange(count), exposures), frame, middle, to_pixels))


def wave(visit, psf):
    """Return the amplitude of the errors that repeat in every pixel."""
    errors = visit.errors(psf)
    phase = 2 * np.pi * visit.true_offset
    return max(np.hypot((errors * np.sin(phase)).mean(axis=0), (errors * np.cos(phase)).mean(axis=0)) * 2)


def test_dithers_take_away_the_error_with_the_pixel_phase():
    field = visit()
    better = measure_dithered_psf(field.stamps, field.dithers, field.first_psf)
    before, after = (field.errors(psf).std() for psf in (field.first_psf, better))
    assert after < 0.9 * before
    assert wave(field, better) < 0.002 < wave(field, field.first_psf)


def test_lopsided_surface_stays_where_it_is_when_measured_again():
    field = visit()
    again = measure_psf_again(field.stamps, field.first_psf)
    moved = field.errors(again) - field.errors(field.first_psf)
    assert np.hypot(*field.first_psf.centre) > 0.03
    assert moved.std() < 0.001


def test_surface_is_that_of_the_stars():
    field = visit()
    better = measure_dithered_psf(field.stamps, field.dithers, field.first_psf)
    bright = field.stamps[np.argsort(-field.stamps.pixels.max(axis=(1, 2)))[:20]]
    catalog = SourceCatalog(bright.centre, xy_error=np.full((20, 2), 0.1), flux=1.0, flux_error=1.0)
    assert (refine_positions(catalog, bright, better).flags == 0).all()
    assert better.error < 0.01


@pytest.mark.parametrize("focus", [1.0, 1.02])
def test_exposure_out_of_focus_has_a_surface_of_its_own(focus):
    field = visit(focus=focus)
    exposure = np.repeat(np.arange(EXPOSURES), 150)
    shared = measure_dithered_psf(field.stamps, field.dithers, field.first_psf)
    own = measure_psf_of_each(field.stamps, exposure, shared)
    if focus == 1:
        assert own == {}
        return
    better = own[EXPOSURES - 1]
    assert better.error < 0.6 * shared.error
    last = exposure == EXPOSURES - 1
    assert field.errors(better)[last].std() < field.errors(shared)[last].std()


def test_too_few_stars_change_nothing():
    field = visit(count=3)
    psf = field.first_psf
    assert measure_dithered_psf(field.stamps, field.dithers, psf) is psf


def test_few_stars_tell_more_together():
    field = visit(count=8, seed=2)
    better = measure_dithered_psf(field.stamps, field.dithers, field.first_psf)
    assert field.errors(better).std() < 0.2 * field.errors(field.first_psf).std()


def test_what_another_exposure_shows_too():
    place = np.array([(1, 1), (5, 5), (1.1, 1), (5.1, 5), (np.nan, 1), (9, 9)])
    shown = shown_by_several(place, np.array([0, 0, 1, 0, 1, 1]))
    assert shown.tolist() == [True, False, True, False, False, False]


def test_stars_are_what_several_exposures_show_alone():
    place = np.array([(1, 1), (5, 5), (9, 9), (9.1, 9), (1.1, 1), (9, 9.1), (20, 20.0)])
    exposure = np.array([0, 0, 0, 0, 1, 1, 1])
    dithers, rows = Dithers.among(place, exposure, exposure, np.tile(np.eye(2), (7, 1, 1)))
    assert rows.tolist() == [0, 4]  # 9, 9 has two of one exposure; the others are seen once
    assert len(np.unique(dithers.star)) == 1


def test_no_stars_at_all():
    none = np.empty(0, int)
    dithers, rows = Dithers.among(np.empty((0, 2)), none, none, np.empty((0, 2, 2)))
    assert len(dithers.star) == len(rows) == 0


@pytest.mark.parametrize("scatter", [0.0, 0.05])
def test_scatter_is_what_errors_do_not_explain(scatter):
    field = visit()
    psf = measure_dithered_psf(field.stamps, field.dithers, field.first_psf)
    moved = np.random.default_rng(2).normal(0, scatter, field.dithers.place.shape)
    dithers = dataclasses.replace(field.dithers, place=field.dithers.place + moved)
    stamps = field.stamps.cropped(psf.half)
    _, found = dithers.shared(fit_stars(stamps, psf))
    assert found == pytest.approx(scatter, abs=0.004, rel=0.15)


def varying(field, psf, chip=None):
    """Return a PSF with its variation over the chips."""
    dithers = field.dithers
    chip = np.ones(len(field.stamps), int) if chip is None else chip
    shapes = dict.fromkeys(np.unique(chip).tolist(), (200, 200))
    sample = Sample(field.stamps, chip, dithers.star, dithers.frame, shapes)
    return measure_variation(sample, [psf] * EXPOSURES)[0]


def width_at(psf, chip, x):
    """Return the FWHM in a column of a chip, where the light balances about the position of the star."""
    local = psf.at(np.array([chip]), np.array([(x, 100.0)]))[:]
    own = dataclasses.replace(psf, coefficients=local.coefficients[0], variation=())
    assert np.abs(np.ravel(local.centre) - own.centred().centre).max() < 0.0015
    return own.fwhm


def test_stars_that_widen_across_a_chip_have_their_own_psfs():
    field = visit(count=300, across=1.2)
    common = measure_dithered_psf(field.stamps, field.dithers, field.first_psf)
    better = varying(field, common)
    assert [each.chip for each in better.variation] == [1] and better.error < 0.7 * common.error
    assert field.errors(better).std() < 0.9 * field.errors(common).std()
    assert width_at(better, 1, 200) / width_at(better, 1, 0) == pytest.approx(1.2, abs=0.05)
    assert better.on({1: (200, 200)}).variation == better.variation
    assert better.on({1: (100, 200)}).variation == ()  # a subarray


def test_each_chip_has_its_own_psf():
    field = visit(count=300, across=1.2)
    chip = np.where(field.stamps.centre[:, 0] <= 100, 1, 2)
    common = measure_dithered_psf(field.stamps, field.dithers, field.first_psf)
    better = varying(field, common, chip)
    assert [each.chip for each in better.variation] == [1, 2]
    narrow, wide = (width_at(better, chip, x) for chip, x in ((1, 50), (2, 150)))
    assert wide / narrow == pytest.approx(1.2**0.5, abs=0.03)


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_a_steady_psf_has_no_variation(seed):
    field = visit(seed=seed)
    common = measure_dithered_psf(field.stamps, field.dithers, field.first_psf)
    doubtful = dataclasses.replace(common, error=0.01)  # as if there were something to explain
    assert varying(field, doubtful).variation == ()


def test_a_wide_psf_does_not_fit_by_a_low_sky():
    stamps = visit().stamps.cropped(2)
    wide = dataclasses.replace(EffectivePSF.gaussian(2.5 * FWHM, 2), error=0.02)
    free = fit_stars(stamps, wide)
    bounded = fit_stars(stamps, wide, bounds_sky=True)
    assert np.mean(free.sky < stamps.level - stamps.noise) > 0.9
    assert (bounded.sky >= stamps.level - 1e-9).all()
    assert np.median(bounded.chi2) > 2 * np.median(free.chi2)
    assert bounded.good.all() and (bounded.error < 1).all()


def test_a_bound_of_the_sky_leaves_good_fits_alone():
    stamps = visit().stamps
    raised = dataclasses.replace(stamps, level=stamps.level - 5 * stamps.noise)
    expected, found = (fit_stars(raised, visit().first_psf, bounds_sky=bounds) for bounds in (False, True))
    np.testing.assert_array_equal(found.offset, expected.offset)
