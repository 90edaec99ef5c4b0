"""Units of parameters and of the table of results."""

import numpy as np
import pytest
from planes import CHIP, ERROR, PLANE, noise, stars

from imagereg.tweakreg import SourceCatalog, Status, align_catalogs


def lists(shift):
    """Return catalogs of a chip of 0.05 arcsec, the second off by a shift in pixels."""
    xy = stars()
    return [
        SourceCatalog(
            CHIP.wcs.wcs_world2pix(PLANE.plane_to_sky(places + noise(xy.shape, seed)), 1),
            xy_error=np.full(xy.shape, ERROR),
            flux=np.arange(len(xy), 0, -1.0),
        )
        for seed, places in ((1, xy), (2, xy + shift))
    ]


@pytest.mark.parametrize(
    "searchrad, searchunits, status",
    [
        (20.0, "pixels", Status.ALIGNED),
        (1.0, "arcseconds", Status.ALIGNED),
        (10.0, "pixels", Status.FAILED),
        (0.5, "arcseconds", Status.FAILED),
    ],
)
def test_search_radius_in_arcseconds_is_one_on_the_sky(searchrad, searchunits, status):
    reference, image = lists((15.0, -14.0))  # 0.75 arcsec
    reference = reference.replace(sky=CHIP.wcs.wcs_pix2world(reference.xy, 1))
    result = align_catalogs(
        image,
        reference,
        wcs=CHIP.wcs,
        searchrad=searchrad,
        searchunits=searchunits,
        minobj=10,
        matching="tolerance",
    )
    assert result.status is status, result.reason
