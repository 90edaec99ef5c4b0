"""Masks of regions against recorded ones, pixel by pixel, and against areas."""

from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area
from region_cases import CASES, HEADERS, SHAPE, mask_from_regions
from regions import PixCoord, Regions
from scipy.ndimage import binary_dilation, binary_erosion

# Recorded with outlines that were followed point by point, before the package `regions` drew them.
RECORDED = Path(__file__).parent / "data" / "region_masks.npz"


@pytest.mark.parametrize("chip", HEADERS)
@pytest.mark.parametrize("case", CASES)
def test_masks_differ_from_recorded_ones_in_edge_pixels_only(chip, case):
    with np.load(RECORDED) as masks:
        packed = masks[f"{chip} {case}"]
    recorded = np.unpackbits(packed, count=SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(bool)
    found = mask_from_regions(CASES[case], SHAPE, wcs=WCS(HEADERS[chip]))
    edge = binary_dilation(recorded) & ~binary_erosion(recorded, border_value=1)
    differing = found != recorded
    assert not (differing & ~edge).any()
    # On the distorted chip what is recorded may bend by 0.04 pixel more or less than it should.
    exact = chip == "plain" or case == "pixels"
    assert differing.sum() <= (0 if exact else 0.015 * edge.sum())


@pytest.mark.parametrize(
    "region, area",
    [("circle(350.3,200.2,{0})", np.pi * 90**2),
     ("circle(350.3,200.2,{1})", np.pi * 12**2),
     ("ellipse(350.3,200.2,{0},{2},33)", np.pi * 90 * 60),
     ("box(350.3,200.2,{0},{2},33)", 90 * 60),
     ("annulus(350.3,200.2,{2},{0})", np.pi * (90**2 - 60**2))],
)  # fmt: skip
@pytest.mark.parametrize("chip", ["pixels", "plain", "distorted"])
def test_areas(region, area, chip):
    """In pixels, and on the sky in arcsec with the area of a pixel there."""
    wcs, lengths = None, [90.0, 12.0, 60.0]
    if chip == "pixels":
        region = "image\n-" + region.format(*lengths)
    else:
        wcs = WCS(HEADERS[chip])
        here, right, up = wcs.all_pix2world([[350.3, 200.2], [351.3, 200.2], [350.3, 201.2]], 1)
        shrink = np.array([np.cos(np.deg2rad(here[1])), 1.0])
        pixel = abs(np.linalg.det([(right - here) * shrink, (up - here) * shrink]))
        if chip == "plain":
            assert pixel == pytest.approx(proj_plane_pixel_area(wcs), rel=1e-6)
        sides = [f'{length * np.sqrt(pixel) * 3600}"' for length in lengths]
        place = f"{here[0]!r},{here[1]!r}".replace("np.float64(", "").replace(")", "")
        region = "icrs\n-" + region.format(*sides).replace("350.3,200.2", place)
    found = mask_from_regions(region, SHAPE, wcs=wcs).sum()
    # A pixel of the edge is in or out by its centre; the scale of the distorted chip changes by
    # a thousandth within such a region.
    assert found == pytest.approx(area, rel=0.006 if area > 1000 else 0.03)


@pytest.mark.parametrize("turns", [1, 3])
def test_polygons_of_many_corners_are_those_of_the_package_regions(turns):
    """They are worked through in narrow bands, each without the corners far from it."""
    angle = np.linspace(0, 2 * np.pi * turns, 3001)[:-1]
    radius = 150 + 40 * np.sin(7 * angle / turns)  # it crosses itself where it turns thrice
    x = 350.3 + radius * np.cos(angle)
    y = 190.7 + radius * np.sin(angle)
    values = ",".join(f"{value:.3f}" for value in np.column_stack([x, y]).ravel())
    (polygon,) = Regions.parse(f"image\npolygon({values})", format="ds9")
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    expected = polygon.contains(PixCoord(columns, rows))
    assert (mask_from_regions(f"-polygon({values})", SHAPE) != expected).sum() <= 3  # on an edge
