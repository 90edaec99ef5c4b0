"""The second pass: a PSF and positions from all aligned exposures together."""

import numpy as np
from planes import PLANE, SHAPE, chip_wcs, stars

from imagereg.alignment import Alignment, Chip, Exposure, Metadata
from imagereg.catalogs import Flag, SourceCatalog
from imagereg.detection import Stamps
from imagereg.detection.psf.epsf import EffectivePSF
from imagereg.tasks.dithers import remeasured
from imagereg.tasks.exposures import Measured
from imagereg.wcs import Status

HALF, SKY = 4, 20.0
COUNT = 40
COSMIC_RAY = COUNT  # row of what the first exposure alone shows


def measured_of(number, sky, flux, flags):
    """Return a dithered exposure of undersampled stars: rough positions, pixels, and true positions."""
    random = np.random.default_rng(number)
    chip = Chip(1, chip_wcs(np.array([500.5, 400.5]) + 0.37 * number), SHAPE)
    xy = chip.wcs.wcs_world2pix(PLANE.plane_to_sky(sky), 1)
    middle = np.rint(xy)
    pixel = np.arange(-HALF, HALF + 1.0)
    x, y = (pixel - (xy - middle)[:, [axis]] for axis in (0, 1))
    light = EffectivePSF.gaussian(1.6, HALF, 0.3)(x, y)[0] * flux[:, None, None]
    pixels = random.poisson(light + SKY).astype(float)
    level, noise, gain = np.multiply.outer([SKY, np.sqrt(SKY), 1.0], np.ones(len(xy)))
    stamps = Stamps(pixels, np.ones(pixels.shape, bool), middle.astype(int), level, noise, gain)
    rough = xy + random.normal(0, 0.02, xy.shape)
    sources = SourceCatalog(rough, xy_error=np.full(xy.shape, 0.02), flux=flux, flux_error=flux / 50, flags=flags,
                            chip=1)
    name = f"{number}_flt.fits"
    exposure = Exposure.measured(name, [chip], sources, path=name, metadata=Metadata(optics="one"))
    return Measured(exposure, stamps, EffectivePSF.gaussian(1.5, HALF)), xy


def test_bright_stars_that_a_first_surface_did_not_fit_are_measured():
    sky = stars(COUNT + 1)
    flux = np.geomspace(1e5, 3e3, COUNT + 1)
    flags = np.where(np.isin(np.arange(COUNT + 1), (0, 1, COSMIC_RAY)), Flag.POOR_FIT, 0)
    count = [COUNT + 1, COUNT, COUNT]
    visit = [measured_of(number, sky[:n], flux[:n], flags[:n]) for number, n in enumerate(count)]
    measured = [each for each, _ in visit]
    alignments = [Alignment(each.exposure, Status.REFERENCE, "", PLANE) for each in measured]
    found = [each.exposure.sources for each in remeasured(measured, alignments, 1)]
    for sources, (_, xy) in zip(found, visit, strict=True):
        assert (sources.flags[:COUNT] == 0).all()
        assert np.abs(sources.xy[:2] - xy[:2]).max() < 0.01
    assert found[0].flags[COSMIC_RAY] == Flag.POOR_FIT
    np.testing.assert_array_equal(found[0].xy[COSMIC_RAY], measured[0].exposure.sources.xy[COSMIC_RAY])
