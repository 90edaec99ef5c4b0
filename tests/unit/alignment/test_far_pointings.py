"""Headers that are far off or turned: the WCS that comes out is the true one."""

import numpy as np
import pytest
from planes import PLANE, SHAPE, chip_wcs, exposure_at, fine_grid, noise, rules_with, stars, verdicts

from imagereg.alignment import Chip, Exposure
from imagereg.catalogs import SourceCatalog
from imagereg.tweakreg import align_catalogs
from imagereg.wcs import Status, TangentPlane

SCATTER = 0.01  # pixels


def wide_wcs():
    """Return a WCS of large pixels, whose field is degrees wide."""
    wcs = chip_wcs()
    wcs.wcs.cd = wcs.wcs.cd * 100
    wcs.wcs.set()
    return wcs


def off_header(wcs, *, turn, north):
    """Return a WCS turned by degrees and moved north by degrees."""
    wcs = wcs.deepcopy()
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    wcs.wcs.cd = np.array([[cos, -sin], [sin, cos]]) @ wcs.wcs.cd
    wcs.wcs.crval = wcs.wcs.crval + [0.0, north]
    wcs.wcs.set()
    return wcs


@pytest.mark.parametrize("turn, north", [(0.0, 0.05), (180.0, 0.02), (3.0, -0.1), (-90.0, 0.3)])
def test_wcs_is_the_true_one(turn, north):
    """On a field of degrees what is linear on one tangent plane is not linear on another."""
    first = wide_wcs()
    true = first.deepcopy()
    true.wcs.crpix = true.wcs.crpix + [60.0, -25.0]  # the dither
    true.wcs.set()
    sky = first.wcs_pix2world(stars(150, seed=4), 1)
    exposures = []
    headers = (("a", first, first), ("b", true, off_header(true, turn=turn, north=north)))
    for seed, (name, wcs, header) in enumerate(headers):
        xy = wcs.wcs_world2pix(sky, 1)
        measured = SourceCatalog(xy + noise(xy.shape, seed, SCATTER), flux=np.arange(len(xy), 0, -1.0),
                                 xy_error=np.full(xy.shape, SCATTER))
        exposures.append(Exposure.measured(name, [Chip(1, header, SHAPE)], measured))
    plane = TangentPlane.around([(first, SHAPE)])
    result = verdicts(exposures, plane, rules_with(minobj=10, tolerance=2.0))[1]
    assert result.status is Status.ALIGNED, result.reason
    chip, = result.corrected_chips()
    grid = fine_grid(SHAPE)
    error = true.wcs_world2pix(chip.wcs.wcs_pix2world(grid, 1), 1) - grid
    assert np.hypot(*error.T).max() < 5 * SCATTER


def test_fit_of_a_small_shift_is_in_the_wcs_to_the_last_digit():
    """Where the direct way is good enough, nothing is fitted a second time."""
    ref_xy = stars(60)
    exposures = [exposure_at(ref_xy, "a"), exposure_at(ref_xy + (4.0, -6.0) + noise(ref_xy.shape, 2, 1e-3), "b")]
    result = verdicts(exposures, PLANE, rules_with(minobj=10))[1]
    chip, = result.corrected_chips()
    grid = fine_grid(SHAPE)
    old = result.exposure.chips[0].wcs.wcs_pix2world(grid, 1)
    expected = result.fit(PLANE.sky_to_plane(old))
    np.testing.assert_allclose(PLANE.sky_to_plane(chip.wcs.wcs_pix2world(grid, 1)), expected, atol=1e-3)


def mirror(xy):
    """Return positions on a chip seen in a mirror."""
    return np.column_stack([SHAPE[1] + 1 - xy[:, 0], xy[:, 1]])


@pytest.mark.parametrize("geometry", ["general", "auto"])
@pytest.mark.parametrize("header_is_mirrored", [False, True])
def test_mirrored_image(geometry, header_is_mirrored):
    """It is refused where the header has the right parity; a header of the wrong parity is turned round."""
    first = chip_wcs()
    xy = stars(150, seed=4)
    header = first.deepcopy()
    if header_is_mirrored:
        header.wcs.cd = header.wcs.cd @ np.diag([-1.0, 1.0])
        header.wcs.set()
    seen = xy if header_is_mirrored else mirror(xy)
    columns = {"flux": np.arange(len(xy), 0, -1.0), "xy_error": np.full(xy.shape, SCATTER)}
    exposures = [Exposure.measured(name, [Chip(1, wcs, SHAPE)],
                                   SourceCatalog(places + noise(xy.shape, seed, SCATTER), **columns))
                 for seed, (name, wcs, places) in enumerate([("a", first, xy), ("b", header, seen + (40.0, 25.0))])]
    rules = rules_with(minobj=10, fitgeometry=geometry, matching="triangles")
    result = verdicts(exposures, PLANE, rules)[1]
    if not header_is_mirrored:
        assert result.status is Status.FAILED and "mirror" in result.reason
        return
    assert result.status is Status.ALIGNED and "parity" in result.reason, result.reason
    chip, = result.corrected_chips()
    assert np.linalg.det(chip.wcs.pixel_scale_matrix) * np.linalg.det(first.pixel_scale_matrix) > 0


def test_catalogs_alone_have_no_chips_to_correct():
    xy = stars(60)
    columns = {"xy_error": np.full(xy.shape, SCATTER)}
    image = SourceCatalog(xy + (4.0, -6.0) + noise(xy.shape, 1, SCATTER), **columns)
    alignment = align_catalogs(image, SourceCatalog(xy, **columns), searchrad=20, searchunits="pixels")
    assert alignment.status is Status.ALIGNED and alignment.corrected_chips() == ()
