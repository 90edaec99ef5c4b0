"""Exposures that are to be aligned: their metadata, chips and sources."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from imagereg.catalogs import SourceCatalog
from imagereg.wcs import pixel_scale, pixel_to_sky

if TYPE_CHECKING:
    from astropy.wcs import WCS


@dataclasses.dataclass(frozen=True, eq=False)
class Chip:
    """One chip of an exposure.

    Parameters
    ----------
    extver : int
        EXTVER of its science extension.
    wcs : astropy.wcs.WCS or None
        With all distortions; None where the header has none.
    shape : (int, int)
        Rows and columns.
    """

    extver: int
    wcs: WCS | None
    shape: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Metadata:
    """Facts about an exposure from its headers; unknown ones are '' or NaN.

    Parameters
    ----------
    optics : str
        Exposures of one name share a PSF.
    epoch : float
        Julian year of the middle of the exposure.
    exptime : float
        Exposure time, seconds.
    visit : str
        Exposures of one visit share their guide stars.
    rootname : str
        Identifies the exposure, in lower case: ``j99da1f2q``.
    association, target : str
        ASN_ID, and TARGNAME or OBJECT.
    wcsname : str
        WCSNAME of its primary WCS.
    """

    optics: str = ""
    epoch: float = np.nan
    exptime: float = np.nan
    visit: str = ""
    rootname: str = ""
    association: str = ""
    target: str = ""
    wcsname: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Exposure:
    """An exposure that has been measured: its metadata, chips and sources, without pixels.

    Parameters
    ----------
    name : str
        Of its file without the folder; ``name[sci,2]`` for one of several exposures in a file.
    path : str
        Its file; '' for one that is in no file.
    metadata : Metadata
        Facts from its headers.
    chips : tuple of Chip
        In order of EXTVER.
    sources : SourceCatalog
        Of all chips, with sky positions as the chips' WCS have them.
    problem : str
        Why there are no chips, one sentence; empty where there are.
    """

    name: str
    path: str
    metadata: Metadata
    chips: tuple[Chip, ...]
    sources: SourceCatalog
    problem: str = ""

    @classmethod
    def measured(cls, name, chips, sources, *, path="", metadata=None):
        """Make an exposure of chips and sources, whose sky positions follow from the chips' WCS."""
        sky, error = sources.sky.copy(), sources.sky_error.copy()
        for chip in (chip for chip in chips if chip.wcs is not None):
            rows = (sources.chip == chip.extver) & np.isfinite(sources.xy).all(axis=1)
            sky[rows] = pixel_to_sky(chip.wcs, sources.xy[rows])
            # As if x and y were east and north.
            error[rows] = sources.xy_error[rows] * pixel_scale(chip.wcs)
        sources = sources.replace(sky=sky, sky_error=error, origin=name)
        return cls(name, path, metadata or Metadata(), tuple(chips), sources)

    @property
    def lacks_wcs(self) -> bool:
        """Whether a header has no WCS, so that the sources have no sky positions."""
        return any(chip.wcs is None for chip in self.chips)

    @property
    def outlines(self):
        """Pairs of WCS and shape of all chips that have a WCS."""
        return [(chip.wcs, chip.shape) for chip in self.chips if chip.wcs is not None]
