"""What a user gives for each chip: source catalogs (catfile) and areas to leave out (exclusions)."""

from __future__ import annotations

import dataclasses
import os
import re

import numpy as np

from imagereg.catalogs.readers import read_table
from imagereg.catalogs.sources import SourceCatalog
from imagereg.catalogs.user import image_catalog, parse_chip_files
from imagereg.detection.ds9 import is_region_text
from imagereg.detection.exclusions import RegionList, mask_from_image, parse_regions
from imagereg.errors import InputError
from imagereg.files import atomic
from imagereg.files import fits as files
from imagereg.files.exclusion_lists import parse_exclusions

_SIGNED = re.compile(r"(^|;)\s*[-+!]\s*[a-z]", re.IGNORECASE | re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class UserCatalogs:
    """Catalogs of the chips of images.

    Parameters
    ----------
    path : str
        The catfile, for errors.
    names : dict of str to tuple of (str or None)
        Files by image, one for each chip in order of EXTVER.
    tables : dict of str to tables.Table
        Content of the files.
    columns : dict
        Arguments of `usercatalogs.image_catalog`.
    """

    path: str
    names: dict
    tables: dict
    columns: dict

    @classmethod
    def load(cls, path, **columns):
        """Read a catfile and all catalogs that it names, relative to its folder."""
        folder = os.path.dirname(path)
        names = {image: tuple(name and os.path.join(folder, name) for name in chips)
                 for image, chips in parse_chip_files(atomic.read_text(path), path).items()}
        used = dict.fromkeys(name for chips in names.values() for name in chips if name)
        return cls(path, names, {name: read_table(atomic.read_bytes(name), name) for name in used}, columns)

    def read(self, image, number, extver, exptime):
        """Return the sources of one chip, `number` counting from 0; none where the list has no catalog for it."""
        if image not in self.names:
            raise InputError(f"{self.path} has no line for {image}")
        chips = self.names[image]
        if number >= len(chips) or chips[number] is None:
            return SourceCatalog.empty()
        return image_catalog(self.tables[chips[number]], chip=extver, exptime=exptime, **self.columns)


@dataclasses.dataclass(frozen=True, eq=False)
class Exclusions:
    """Areas of the chips of images to leave out.

    Parameters
    ----------
    areas : dict of str to (RegionList or ndarray or list of ndarray)
        Regions or mask images by file name.
    names : dict of str to tuple of (str or None), or None
        Files by image, one for each chip in order of EXTVER; None where one file holds for all.
    """

    areas: dict
    names: dict | None = None

    @classmethod
    def load(cls, path):
        """Read a list of exclusions with the files that it names, or one region file or mask for all images."""
        if not _is_fits(path) and not is_region_text(atomic.read_text(path)):
            folder = os.path.dirname(path)
            names = {image: tuple(name and os.path.join(folder, name) for name in chips)
                     for image, chips in parse_exclusions(atomic.read_text(path), path).items()}
            used = dict.fromkeys(name for chips in names.values() for name in chips if name)
            return cls({name: _read_area(name) for name in used}, names)
        return cls({path: _read_area(path)})

    def mask(self, image, number, pixels):
        """Return the mask (ny, nx) of one chip, `number` counting from 0; True is excluded. None where nothing is."""
        chips = tuple(self.areas) * (number + 1) if self.names is None else self.names.get(image, ())
        if number >= len(chips) or chips[number] is None:
            return None
        area, chip = self.areas[chips[number]], pixels.chip
        if isinstance(area, RegionList):
            return area.mask(chip.shape, wcs=chip.wcs, ltm=pixels.ltm, ltv=pixels.ltv)
        return mask_from_image(area[min(number, len(area) - 1)], chip.shape, chips[number])


def _is_fits(path):
    return atomic.read_bytes(path, 6) == b"SIMPLE" or atomic.read_bytes(path, 2) == b"\x1f\x8b"


def _read_area(path):
    """Read a region file, or the images of a FITS file, one for each chip."""
    if not _is_fits(path):
        text = atomic.read_text(path)
        # Where no region has a sign all are to be ignored, as in tweakreg 1.0.2; else the file means what DS9 means.
        return parse_regions(text, path, plain="include" if _SIGNED.search(text) else "exclude")
    with files.opened(path) as hdus:
        images = [np.array(hdu.data) for hdu in hdus if hdu.is_image and hdu.data is not None]
    if not images:
        raise InputError(f"{path} holds no mask image")
    return images
