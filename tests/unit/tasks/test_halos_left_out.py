"""Of the sources that a bright star explains, those that the PSF fits stay."""

from __future__ import annotations

import numpy as np

from imagereg.catalogs import Flag, SourceCatalog
from imagereg.detection.halos import Hosts
from imagereg.tasks.exposures import _without_halos
from imagereg.tasks.finding import Detection


def _left(flags, light, caplog):
    """Return the numbers of the sources that stay, and what the log says."""
    light = np.array(light, float)
    place = np.where(light[:, None] > 0, np.column_stack([light, light + 1]), np.nan)
    sources = SourceCatalog(np.arange(2.0 * len(light)).reshape(-1, 2), chip=[1, 1, 2, 2], flags=flags)
    with caplog.at_level("INFO"):
        left = _without_halos(sources, Detection("a.fits", "a.fits", hosts=Hosts(place, light)))
    return left.ident.tolist(), caplog.messages


def test_only_what_is_explained_and_fits_badly_goes(caplog):
    left, said = _left([Flag.POOR_FIT, 0, Flag.POOR_FIT, Flag.POOR_FIT], [30, 30, 50, 0], caplog)
    assert left == [2, 4]
    assert said == ["a.fits: 2 sources in the halo, the spikes or the bleeding of 2 stars are left out: "
                    "the brightest is at x=50 y=51 on chip 2"]


def test_nothing_is_said_where_all_stay(caplog):
    assert _left([0, Flag.BAD_PIXEL, 0, Flag.POOR_FIT], [30, 30, 50, 0], caplog) == ([1, 2, 3, 4], [])
