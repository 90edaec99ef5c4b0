"""Lists of files for the chips of images: source catalogs (catfile), areas to leave out."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import re
from collections.abc import Iterable, Mapping

import numpy as np

from imagereg.catalogs import SourceCatalog, Table, image_catalog, read_table
from imagereg.detection import RegionList, is_region_text, mask_from_image, parse_regions
from imagereg.errors import InputError
from imagereg.files import atomic
from imagereg.files.images import fits as files

#: Names of files by image, one for each chip in order of EXTVER, None for a chip that has none.
ChipFiles = dict[str, tuple[str | None, ...]]

_SIGNED = re.compile(r"(^|;)\s*[-+!]\s*[a-z]", re.IGNORECASE | re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


@dataclasses.dataclass(frozen=True)
class UserCatalogs:
    """Catalogs that a user gives for the chips of images.

    Parameters
    ----------
    path : str
        The catfile, for errors.
    names : dict of str to tuple of (str or None)
        Files by image, one for each chip in order of EXTVER.
    tables : dict of str to Table
        Content of the files.
    columns : dict
        Arguments of `image_catalog` that say where in a table is what.
    """

    path: str
    names: ChipFiles
    tables: Mapping[str, Table]
    columns: dict

    @classmethod
    def load(cls, path: str, **columns) -> UserCatalogs:
        """Read a catfile and all catalogs that it names, relative to its folder."""
        return cls.named(_beside(path, parse_chip_files(_read_list(path), path)), path, **columns)

    @classmethod
    def named(cls, names: ChipFiles, path: str, **columns) -> UserCatalogs:
        """Read catalogs that are named by image in the list `path`."""
        tables = {name: read_table(atomic.read_bytes(name), name) for name in _used(names)}
        return cls(path, names, tables, columns)

    def read(self, image: str, number: int, extver: int, exptime: float | None) -> SourceCatalog:
        """Return the sources of one chip, `number` counting from 0; none for one not listed."""
        if image not in self.names:
            raise InputError(f"{self.path} has no line for {image}")
        name = _file_of(self.names[image], number)
        if name is None:
            return SourceCatalog.empty()
        return image_catalog(self.tables[name], chip=extver, exptime=exptime, **self.columns)


@dataclasses.dataclass(frozen=True, eq=False)
class Exclusions:
    """Areas of the chips of images to leave out.

    Parameters
    ----------
    areas : dict of str to (RegionList or list of ndarray)
        Regions or mask images by file name.
    names : dict of str to tuple of (str or None), or None
        Files by image, one for each chip in order of EXTVER; None where one file holds for all.
    """

    areas: Mapping[str, RegionList | list[np.ndarray]]
    names: ChipFiles | None = None

    @classmethod
    def load(cls, path: str) -> Exclusions:
        """Read a list of exclusions with its files, or one region file or mask for all images."""
        if _is_fits(path) or is_region_text(_read_list(path)):
            return cls({path: _read_area(path)})
        names = _beside(path, parse_exclusions(_read_list(path), path))
        return cls({name: _read_area(name) for name in _used(names)}, names)

    def mask(self, image: str, number: int, pixels) -> np.ndarray | None:
        """Return the mask (ny, nx) of one chip, True where excluded; None where nothing is.

        `number` counts the chips from 0; `pixels` are those of the chip, with ``chip.shape``,
        ``chip.wcs``, ``ltm`` and ``ltv``.
        """
        name: str | None = None
        if self.names is None:
            name = next(iter(self.areas))
        else:
            name = _file_of(self.names.get(image, ()), number)
        if name is None:
            return None
        area, chip = self.areas[name], pixels.chip
        if isinstance(area, RegionList):
            return area.mask(chip.shape, wcs=chip.wcs, ltm=pixels.ltm, ltv=pixels.ltv)
        return mask_from_image(area[min(number, len(area) - 1)], chip.shape, name)

    def unused(self, n_chips: Mapping[str, int]) -> list[str]:
        """Return a sentence for each name in the list that stands for no image or no chip.

        Parameters
        ----------
        n_chips : dict of str to int
            Number of chips by image.
        """
        sentences = []
        for image, names in (self.names or {}).items():
            if image not in n_chips:
                sentences.append(f"{image} is none of the images")
            elif any(names[n_chips[image]:]):
                sentences.append(f"{image} has {len(names)} areas, and "
                                 f"{n_chips[image]} chips")
        return sentences


def files_named(path: str) -> list[str]:
    """Return the files that a catfile or a list of exclusions names, relative to its folder.

    A region file or mask that takes the place of a list names none. Raises InputError where the
    list can't be read.
    """
    if _is_fits(path):
        return []
    text = _read_list(path)
    return [] if is_region_text(text) else list(_used(_beside(path, parse_chip_files(text, path))))


def _read_list(path: str) -> str:
    """Return the text of a list, in which names need not be UTF-8."""
    return atomic.read_text(path, "surrogateescape")


def _beside(path: str, listed: ChipFiles) -> ChipFiles:
    """Return the names of files relative to the folder of the list that names them."""
    folder = os.path.dirname(path)
    result = {}
    for image, names in listed.items():
        result[image] = tuple(name and os.path.join(folder, name) for name in names)
    return result


def _used(listed: ChipFiles) -> Iterable[str]:
    """Return the names of all files, each once, in the order of the list."""
    return dict.fromkeys(name for names in listed.values() for name in names if name)


def _file_of(names: tuple[str | None, ...], number: int) -> str | None:
    """Return the name of the file of one chip, which may have none."""
    return names[number] if number < len(names) else None


def parse_chip_files(text: str, where: str) -> ChipFiles:
    """Read a list of images with a file for each of their chips: a catfile or exclusions.

    One line an image: its name, then a name for each chip in order of EXTVER, ``None`` or
    ``INDEF`` (in any case) for a chip that has none. What follows a ``#`` is a comment.

    Parameters
    ----------
    text : str
        Content of the list.
    where : str
        Its name, for errors.

    Returns
    -------
    dict of str to tuple of (str or None)
        By name of the image without its folder; as long as the line is, perhaps shorter than the
        image has chips.

    Raises
    ------
    InputError
        The list is empty, is no text, or names an image twice.
    """
    images: ChipFiles = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].split()
        image = posixpath.basename(words[0]) if words else ""
        if _CONTROL.search(line) or (words and not image):
            raise InputError(f"{where}, line {number}: {line[:60]!r}, expected the name of an "
                             "image and of files")
        if not words:
            continue
        if image in images:
            raise InputError(f"{where}, line {number}: {image} stands there a second time")
        images[image] = tuple(None if _is_none(name) else name for name in words[1:])
    if not images:
        raise InputError(f"{where} names no image")
    return images


def parse_exclusions(text: str, where: str = "exclusions") -> ChipFiles:
    """Read a list of exclusions; as `parse_chip_files`, but a line must not hold a region.

    Raises
    ------
    InputError
        A line does not begin with the name of an image, or an image has two lines, or none has
        any.
    """
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and (_is_none(words[0]) or is_region_text(line)):
            raise InputError(f"{where}, line {number}: {line.strip()[:100]!r}, expected the name "
                             "of an image and one region file, None or INDEF for each of its chips")
    return parse_chip_files(text, where)


def _is_none(name: str) -> bool:
    return name.upper() in ("NONE", "INDEF")


def _is_fits(path: str) -> bool:
    """Return whether a file begins as FITS or gzip files do."""
    start = atomic.read_bytes(path, 6)
    return start == b"SIMPLE" or start.startswith(b"\x1f\x8b")


def _read_area(path: str) -> RegionList | list[np.ndarray]:
    """Read a region file, or the images of a FITS file, one for each chip."""
    if not _is_fits(path):
        text = atomic.read_text(path)
        # Where no region has a sign, all are areas to ignore, as in tweakreg 1.0.2; else the file
        # means what DS9 means.
        plain = "include" if _SIGNED.search(text) else "exclude"
        return parse_regions(text, path, plain=plain)
    with files.opened(path) as hdus:
        images = [np.array(hdu.data) for hdu in hdus if hdu.is_image and hdu.data is not None]
    if not images:
        raise InputError(f"{path} holds no mask image")
    return images
