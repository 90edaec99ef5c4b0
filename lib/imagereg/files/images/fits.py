"""Read FITS images: an image is opened once for its metadata, its chips and their pixels."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import io
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from stsci.tools import bitmask

from imagereg import alignment
from imagereg.errors import InputError, ParameterError
from imagereg.files.atomic import reason, write_bytes
from imagereg.files.images.blocks import check_structure
from imagereg.files.images.instruments import electrons_per_count, instrument_of, metadata_of
from imagereg.wcs import TangentPlane, alternates, distortion, headerlet, orientation, pixel_scale

if TYPE_CHECKING:
    from imagereg.alignment import Chip, Metadata

# Rows of a chip whose errors tell the gain, spread over it: not all of ERR need be read.
_ROWS_TELL = 128
_ROWS_HINT = 16  # a first look, which mostly shows that the errors agree with the header
_MOST_FOR_SKY = 10_000  # pixels; its level is then known to 0.013 of its noise
_FEWEST_BRIGHT = 10  # pixels with more light than sky and readout that tell it
# Factor between two gains that are the same: errors have flat fields and CTE in them, 3 % on HRC.
_SAME_GAIN = 1.5
_SURELY_SAME_GAIN = 1.2  # by a first look
# Extensions that have the WCS of an image and are none: flags, errors and weights, by EXTNAME as
# HST, JWST, LSST, NOIRLab and Euclid write it.
_NO_PIXELS = re.compile(r"(?:^|[^A-Z])(?:DQ|MASK|BPM|FLAG|QUAL|ERR|SIGMA|VAR|IVM|WHT|WEIGHT|CONF|"
                        r"CTX|BACK|BKG)", re.IGNORECASE)
_LARGEST_EXTVER = 2**31 - 1
_UNPARSABLE = re.compile(r"Unparsable card \((.*?)\)", re.DOTALL)


@dataclasses.dataclass(frozen=True, eq=False)
class ChipImage:
    """Pixels of one chip.

    Parameters
    ----------
    chip : Chip
        Its EXTVER, shape and WCS.
    data : (ny, nx) ndarray
        Counts.
    bad : (ny, nx) ndarray of bool or None
        Pixels that the data quality flags reject; None where there are no flags.
    gain : float
        Electrons per count.
    ltm, ltv : (float, float)
        Physical pixels: image = ltm * physical + ltv.
    """

    chip: Chip
    data: np.ndarray
    bad: np.ndarray | None
    gain: float
    ltm: tuple[float, float] = (1.0, 1.0)
    ltv: tuple[float, float] = (0.0, 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFile:
    """An open image.

    Parameters
    ----------
    path : str
        The file.
    chips : tuple of Chip
        In order of EXTVER, with their WCS.
    """

    path: str
    chips: tuple[Chip, ...]
    _hdus: fits.HDUList
    _flags: fits.HDUList | None

    @functools.cached_property
    def _science(self) -> dict[int, Any]:
        places = science(self._hdus, self.path)
        return {extver: self._hdus[index] for index, extver in places.items()}

    def header(self, chip: Chip) -> fits.Header:
        """Return the header of a chip, with the keywords of the primary header that it lacks."""
        header = self._science[chip.extver].header.copy()
        header.extend(self._hdus[0].header, unique=True)
        return header

    def _keywords(self, chip):
        """Return a view of what `header` returns, which takes a third of the time of a reading."""
        return collections.ChainMap(self._science[chip.extver].header, self._hdus[0].header)

    @property
    def wcs_names(self) -> dict[int, list[str]]:
        """Names of all WCSs of each science HDU by its index."""
        return wcs_names(self._hdus, self.path)

    def exposures(self) -> list[tuple[str, Metadata, tuple[Chip, ...]]]:
        """Return name, metadata and chips of each exposure in the file.

        The chips of a camera are one exposure: their pointing errors are the same. A file of STIS
        holds repeated exposures of its one chip, whose names tell the extension: ``name[sci,2]``.
        """
        name = os.path.basename(self.path)
        instrument = instrument_of(self._hdus[0].header)
        groups = [(name, self.chips)]
        if instrument.has_repeated_exposures and len(self.chips) > 1:
            groups = [(f"{name}[sci,{chip.extver}]", (chip,)) for chip in self.chips]
        return [(name, metadata_of(self._keywords(chips[0]), self.path), chips)
                for name, chips in groups]

    def pixels(self, chip: Chip, dqbits: str) -> ChipImage:
        """Read the pixels of a chip.

        Parameters
        ----------
        chip : Chip
            One of `chips`.
        dqbits : str
            Flags that make no pixel bad, as ``16,64`` or ``16+64``, or with ``~`` before them those
            that alone do; with ``None`` no flags are used.

        Raises
        ------
        InputError
            They can't be read.
        ParameterError
            `dqbits` is no such list.
        """
        header = self._science[chip.extver].header
        with _as_input_error(self.path):
            data = self._science[chip.extver].data
            bad = self._bad_pixels(chip, dqbits)
            return ChipImage(
                chip=chip,
                data=data,
                bad=bad,
                gain=self._gain(chip, data, bad),
                ltm=(float(header.get("LTM1_1", 1.0)), float(header.get("LTM2_2", 1.0))),
                ltv=(float(header.get("LTV1", 0.0)), float(header.get("LTV2", 0.0))),
            )

    def _gain(self, chip, data, bad):
        """Return electrons per count, as the header has it unless the errors tell otherwise."""
        stated = electrons_per_count(self._keywords(chip))
        errors = self._hdus["ERR", chip.extver].data if ("ERR", chip.extver) in self._hdus else None
        if errors is None or errors.shape != chip.shape:
            return stated
        told = gain_of_errors(data, errors, bad, _ROWS_HINT)
        if max(told / stated, stated / told) < _SURELY_SAME_GAIN:
            return stated
        told = gain_of_errors(data, errors, bad, _ROWS_TELL)
        return told if max(told / stated, stated / told) > _SAME_GAIN else stated

    def _bad_pixels(self, chip, dqbits):
        """Return the mask of bad pixels; in a file of flags alone SCI may hold them."""
        flags = dqbits.strip()
        if flags.upper() in ("NONE", "INDEF"):
            return None
        hdus = self._hdus if self._flags is None else self._flags
        names = ("DQ",) if self._flags is None else ("DQ", "SCI")
        place = next((name for name in names if (name, chip.extver) in hdus), None)
        quality = hdus[place, chip.extver].data if place else None
        if quality is None or quality.shape != chip.shape:
            return None
        try:
            return bitmask.bitfield_to_boolean_mask(quality, ignore_flags=flags or 0,
                                                    good_mask_value=False)
        except (ValueError, TypeError) as error:
            raise ParameterError(f"imagefindpars: dqbits = {dqbits!r} is no list of bit flags such "
                                 "as 16,64") from error


def gain_of_errors(data: np.ndarray, errors: np.ndarray, bad: np.ndarray | None,
                   n_rows: int) -> float:
    """Return the electrons per count that the errors of bright pixels tell; NaN where none does.

    Parameters
    ----------
    data, errors : (ny, nx) ndarray
        Pixels, and the one-sigma error of each.
    bad : (ny, nx) ndarray of bool or None
        Pixels not to be used.
    n_rows : int
        How many rows to ask, spread over the chip.
    """
    some = slice(None, None, max(len(data) // n_rows, 1))
    light = data[some].astype(float)
    with np.errstate(over="ignore", invalid="ignore"):
        variance = errors[some].astype(float) ** 2
    good = np.isfinite(light) & np.isfinite(variance) & (variance > 0)
    if bad is not None:
        good &= ~bad[some]
    light, variance = light[good], variance[good]
    if not light.size:
        return np.nan
    few = slice(None, None, max(light.size // _MOST_FOR_SKY, 1))
    light -= np.median(light[few])
    photons = variance - np.median(variance[few])
    is_bright = (photons > 0.5 * variance) & (light > 0)
    if is_bright.sum() < _FEWEST_BRIGHT:
        return np.nan
    return float(np.median(light[is_bright] / photons[is_bright]))


@contextlib.contextmanager
def read_image(path: str, *, flags_path: str | None = None, needs_wcs: bool = True,
               reads_wcs: bool = True) -> Iterator[ImageFile]:
    """Open an image once, and yield it as an `ImageFile`.

    Parameters
    ----------
    path : str
        A FITS file with any number of SCI extensions, or with one image; it may be gzipped.
    flags_path : str, optional
        A file of its own that holds the data quality flags, see `instruments.quality_file`.
    needs_wcs : bool
        Refuse an image without a WCS; else its chips have None for it.
    reads_wcs : bool
        Read the WCS; else all chips have None for it, and astropy.wcs need not be loaded.

    Raises
    ------
    InputError
        A file is missing, is not FITS, is truncated, holds no image, or an image has no celestial
        WCS.
    """
    with contextlib.ExitStack() as stack:
        with _as_input_error(path):
            hdus = stack.enter_context(_open_whole(path))
            for index in science(hdus, path):
                axes = hdus[index].header["NAXIS"]
                if axes > 2:
                    raise InputError(f"{path}[{index}] is a cube: it has {axes} axes, expected 2; "
                                     "give one of its planes as an image of its own")
                if axes < 2:
                    raise InputError(f"{path}[{index}] has {axes} axes, expected 2")
            chips = tuple(read_chips(hdus, path, needs_wcs=needs_wcs, reads_wcs=reads_wcs))
        flags = None
        if flags_path:
            with _as_input_error(flags_path):
                flags = stack.enter_context(_open_whole(flags_path))
        stack.enter_context(_readable_cards(path))
        yield ImageFile(path, chips, hdus, flags)


@contextlib.contextmanager
def opened(path: str) -> Iterator[fits.HDUList]:
    """Yield the HDUList of a whole FITS file, read lazily; InputError where it is not one."""
    with _as_input_error(path), _open_whole(path) as hdus:
        yield hdus


@contextlib.contextmanager
def _as_input_error(path):
    """Raise every error that a damaged FITS file brings about as an InputError."""
    try:
        with _readable_cards(path):
            yield
    except ParameterError:
        raise
    except (OSError, EOFError, zlib.error, MemoryError, TypeError, ValueError, LookupError,
            ArithmeticError, AttributeError, AssertionError) as error:
        raise InputError(f"{path} can't be read as FITS: {reason(error)}") from error


@contextlib.contextmanager
def _readable_cards(path):
    """Raise an InputError for a card that is looked at and has no value; the others may be so."""
    try:
        yield
    except VerifyError as error:
        card = _UNPARSABLE.search(str(error))
        what = f"the value of {card[1]} is damaged" if card else reason(error)
        raise InputError(f"{path} can't be read as FITS: {what}") from error


def _open_whole(path):
    """Open a FITS file that holds all that its headers declare."""
    check_structure(path)
    with headerlet.SILENCE, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what astropy warns of is an error here, or harmless
        return fits.open(path, mode="readonly", lazy_load_hdus=False)


def science(hdus: fits.HDUList, path: str) -> dict[int, int]:
    """Return EXTVER by index of the science HDUs.

    They are all SCI; where there are none, a primary image, or else all image extensions with a
    celestial WCS but masks and weights, numbered from 1 (CCD1, CCD2, im1, ... of ground cameras),
    or the only image.
    """
    found = {index: hdu.ver for index, hdu in enumerate(hdus)
             if hdu.name == "SCI" and hdu.header.get("NAXIS", 0) > 0}
    for index, extver in found.items():
        if abs(extver) > _LARGEST_EXTVER:
            raise InputError(f"{path}[{index}] has EXTVER = {extver}, which numbers no chip")
    if found:
        return dict(sorted(found.items(), key=lambda item: item[1]))
    images = [index for index, hdu in enumerate(hdus)
              if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2]
    if images[:1] == [0]:
        return {0: 1}
    if len(images) > 1:
        images = [index for index in images
                  if _is_on_sky(hdus[index].header) and not _NO_PIXELS.search(hdus[index].name)]
    if not images:
        raise InputError(f"{path} has no SCI extension and no images with a celestial WCS")
    return {index: number for number, index in enumerate(images, 1)}


def _is_on_sky(header: fits.Header) -> bool:
    """Return whether the first two axes of an image are a longitude and a latitude."""
    types = {str(header.get(f"CTYPE{axis}", ""))[:4].rstrip("-") for axis in (1, 2)}
    return types in ({"RA", "DEC"}, {"GLON", "GLAT"}, {"ELON", "ELAT"})


def read_chips(hdus: fits.HDUList, path: str, key: str = " ", *, needs_wcs: bool = True,
               reads_wcs: bool = True) -> list[Chip]:
    """Return the chips of an open file with the WCS under a letter; InputError for a bad WCS."""
    chips = []
    for index, extver in science(hdus, path).items():
        has_wcs = _has_wcs(hdus, index, path, key, needs_wcs=needs_wcs)
        wcs = _read_wcs(hdus, index, path, key) if has_wcs and reads_wcs else None
        chips.append(alignment.Chip(extver, wcs, hdus[index].shape))
    return chips


def _has_wcs(hdus, index, path, key, *, needs_wcs):
    """Whether an HDU has a WCS under a letter; InputError where it has none and needs one."""
    has_wcs = f"CTYPE1{key}".strip() in hdus[index].header
    if needs_wcs and not has_wcs:
        raise InputError(f"{path}[{index}] has no celestial WCS")
    return has_wcs


def _read_wcs(hdus, index, path, key):
    """Read the WCS of an HDU under a letter; InputError where it is not usable."""
    try:
        wcs = distortion.read_wcs(hdus[index].header, hdus, key)
        numbers = [*wcs.wcs.crpix, *wcs.wcs.crval, *wcs.pixel_scale_matrix.ravel()]
        if not np.isfinite(numbers).all():
            raise ValueError("not all of its numbers are finite")
        usable = wcs.has_celestial and wcs.naxis == 2 and pixel_scale(wcs) > 0
    except Exception as error:  # astropy and wcslib raise some thirty kinds
        kind = hdus[index].header.get(f"CTYPE1{key}".strip())
        raise InputError(f"{path}[{index}] has a WCS of type {kind} that can't be read: "
                         f"{reason(error)}") from error
    if not usable:
        raise InputError(f"{path}[{index}] has no celestial WCS")
    return wcs


def wcs_names(hdus: fits.HDUList, path: str) -> dict[int, list[str]]:
    """Return the names of all WCSs of each science HDU, by its index."""
    return {index: list(alternates.wcs_names(hdus[index].header).values())
            for index in science(hdus, path)}


def read_ivm(path: str, extver: int, shape: tuple[int, int]) -> np.ndarray:
    """Read the inverse-variance map of one chip.

    Parameters
    ----------
    path : str
        A FITS file with extensions IVM or SCI (or WHT), or with one image, which is that of chip 1.
    extver : int
        EXTVER of the chip.
    shape : (int, int)
        Rows and columns of the chip.

    Returns
    -------
    (ny, nx) ndarray of float
        As it stands in the file: what is not a positive number has no weight.

    Raises
    ------
    InputError
        The file can't be read, has no map for the chip, or one of another shape.
    """
    with opened(path) as hdus:
        place = _place_of_map(hdus, path, extver)
        data = hdus[place].data
        if data is None or data.shape != tuple(shape):
            raise InputError(f"{path}[{place}] has the shape {getattr(data, 'shape', ())}, and "
                             f"chip {extver} of the exposure {tuple(shape)}")
        return np.array(data, dtype=float)


def _place_of_map(hdus, path, extver):
    """Return name and EXTVER, or the index, of the HDU with the map of a chip."""
    for name in ("IVM", "SCI", "WHT"):
        if (name, extver) in hdus:
            return name, extver
    images = [index for index, hdu in enumerate(hdus)
              if hdu.is_image and hdu.header.get("NAXIS", 0) > 0]
    if len(images) != 1 or extver != 1:
        single = ", nor one single image" if extver == 1 else ""
        raise InputError(f"{path} has no inverse-variance map for chip {extver}: neither "
                         f"IVM,{extver} nor SCI,{extver}{single}")
    return images[0]


def read_reference_wcs(path: str) -> TangentPlane:
    """Read the plane of a shiftfile from an extension WCS, or else from the first HDU with a WCS.

    Raises
    ------
    InputError
        The file can't be read, or what it has is no tangent plane without distortion.
    """
    from astropy.wcs import WCS, FITSFixedWarning

    with opened(path) as hdus:
        candidates = [hdu.header for hdu in hdus if hdu.name == "WCS"]
        candidates += [hdu.header for hdu in hdus if "CTYPE1" in hdu.header]
        if not candidates:
            raise InputError(f"{path} has no WCS")
        header = candidates[0].copy()
    if [header.get(f"CTYPE{i}") for i in (1, 2)] != ["RA---TAN", "DEC--TAN"]:
        raise InputError(f"{path} has a WCS of type {header.get('CTYPE1')}, "
                         f"{header.get('CTYPE2')}, expected RA---TAN, DEC--TAN")
    ny, nx = (int(header.get(f"NPIX{i}", header.get(f"NAXIS{i}", 1))) for i in (2, 1))
    header["NAXIS"] = 2  # astropy warns of a WCS without an image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header)
    plane = TangentPlane.of(wcs.wcs.crval, wcs.wcs.crpix, wcs.pixel_scale_matrix, (ny, nx))
    if not np.isfinite(plane.pixel_scale) or plane.pixel_scale <= 0:
        raise InputError(f"{path} has a WCS without a scale")
    return plane


def write_reference_wcs(path: str, plane: TangentPlane) -> None:
    """Write the WCS of a plane to a primary header without data, and to an extension WCS.

    The first is what the help text of tweakreg promises; the second, with NPIX1 and NPIX2, is what
    AstroDrizzle and drizzlepac read.
    """
    keywords = plane.wcs.to_header()
    for i in (1, 2):
        keywords[f"CRVAL{i}"] = float(plane.wcs.wcs.crval[i - 1])
        for j in (1, 2):
            keywords[f"PC{i}_{j}"] = float(plane.wcs.wcs.cd[i - 1, j - 1])
    primary = fits.PrimaryHDU(header=keywords)
    extension = fits.ImageHDU(header=keywords, name="WCS", ver=1)
    for header in (primary.header, extension.header):
        header["NPIX1"] = (plane.shape[1], "length of axis 1")
        header["NPIX2"] = (plane.shape[0], "length of axis 2")
        header["PIXVALUE"] = (0.0, "value of all pixels")
        header["ORIENTAT"] = (orientation(plane.wcs), "position angle of y axis (deg. e of n)")
    buffer = io.BytesIO()
    fits.HDUList([primary, extension]).writeto(buffer)
    write_bytes(path, buffer.getvalue())
