"""FITS files on disk: chips are read, headers updated."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import gzip
import io
import os
import re
import threading
import warnings
import zlib

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from stsci.tools import bitmask

from imagereg.alignment.exposure import root_of, visit_of
from imagereg.alignment.sequence import Chip
from imagereg.catalogs.stars import julian_year
from imagereg.errors import InputError, ParameterError
from imagereg.files.atomic import Claim, copy_bytes, reason, replacing
from imagereg.files.checksum import as_bytes, with_checksum
from imagereg.files.disk import protected, write_bytes
from imagereg.wcs import history as wcscorr
from imagereg.wcs import keywords as headers
from imagereg.wcs.plane import orientation, pixel_scale

_SPACE_TELESCOPES = ("HST", "JWST")
_GZIP = b"\x1f\x8b"
_FITS_BLOCK = 2880
_ONE_AT_A_TIME = threading.Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class ChipImage:
    """Pixels of one chip.

    Parameters
    ----------
    chip : align.Chip
        Its place and its WCS.
    data : (ny, nx) ndarray
        Counts.
    bad : (ny, nx) ndarray of bool or None
        Pixels that the data quality array rejects.
    gain : float
        Electrons per count.
    ltm, ltv : (float, float)
        Physical pixels: image = ltm * physical + ltv.
    """

    chip: Chip
    data: np.ndarray
    bad: np.ndarray | None
    gain: float
    ltm: tuple = (1.0, 1.0)
    ltv: tuple = (0.0, 0.0)


@contextlib.contextmanager
def opened(path):
    """Yield the HDUList of a whole FITS file, read lazily; every way in which it is not one is an InputError."""
    try:
        with _quietly_opened(path) as hdus:
            size, expected = os.path.getsize(path), max(map(_end, hdus))
            if size < expected and not _compressed(path):
                raise InputError(f"{path} is truncated: it has {size} bytes of {expected}")
            yield hdus
    except (OSError, EOFError, zlib.error, TypeError, ValueError) as error:
        raise InputError(f"{path} can't be read as FITS: {reason(error)}") from error


def _quietly_opened(path):
    """Open a FITS file; what astropy would warn of is found out, and said, by `opened`."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():  # which is not safe among threads
        warnings.simplefilter("ignore")
        return fits.open(path, mode="readonly", lazy_load_hdus=False)


def _end(hdu):
    info = hdu.fileinfo()  # of the list of HDUs it would write out all headers
    return info["datLoc"] + info["datSpan"]


def _compressed(path):
    with open(path, "rb") as file:
        return file.read(2) == _GZIP


def science(hdus, path):
    """EXTVER by index of the science HDUs: all SCI in order of EXTVER, else the only image, as 1."""
    found = {i: hdu.ver for i, hdu in enumerate(hdus) if hdu.name == "SCI" and hdu.header.get("NAXIS", 0) > 0}
    if found:
        return dict(sorted(found.items(), key=lambda item: item[1]))
    images = [i for i, hdu in enumerate(hdus) if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2]
    if images[:1] == [0]:
        return {0: 1}
    if len(images) != 1:
        raise InputError(f"{path} has no SCI extension and {len(images) or 'no'} images, expected one")
    return {images[0]: 1}


def read_exposure(path, *, dqbits="", quality=None):
    """Read the chips of an exposure, one at a time.

    Parameters
    ----------
    path : str
        A FITS file with any number of SCI extensions, or with one image; it may be gzipped.
    dqbits : str
        Flags of the DQ extension that make no pixel bad, as ``16,64`` or ``16+64``, or with ``~`` before them those
        that alone do; with ``None`` the extension is not used.
    quality : str, optional
        A file of its own that holds the flags, as WFPC2 has.

    Yields
    ------
    ChipImage

    Raises
    ------
    InputError
        The file is missing, is not FITS, is truncated, holds no image, or an image has no celestial WCS.
    ParameterError
        `dqbits` is no such list.
    """
    with opened(path) as hdus, (opened(quality) if quality else contextlib.nullcontext(hdus)) as flags:
        for index, extver in science(hdus, path).items():
            hdu = hdus[index]
            if hdu.header["NAXIS"] != 2:
                raise InputError(f"{path}[{index}] has {hdu.header['NAXIS']} axes, expected 2")
            wcs = _read_wcs(hdus, index, path)
            bad = _bad_pixels(flags, extver, hdu.shape, dqbits, alone="SCI" if quality else None)
            ltm = tuple(float(hdu.header.get(name, 1.0)) for name in ("LTM1_1", "LTM2_2"))
            ltv = tuple(float(hdu.header.get(name, 0.0)) for name in ("LTV1", "LTV2"))
            yield ChipImage(Chip(extver, wcs, hdu.shape), hdu.data, bad, _gain(hdus[0].header, hdu.header), ltm, ltv)


def read_chips(hdus, path, key=" "):
    """Return the chips of an open file, with the WCS that stands under a letter; InputError where one is not usable."""
    return [Chip(extver, _read_wcs(hdus, index, path, key), hdus[index].shape)
            for index, extver in science(hdus, path).items()]


def _read_wcs(hdus, index, path, key=" "):
    header = hdus[index].header
    if f"CTYPE1{key}".strip() not in header:
        raise InputError(f"{path}[{index}] has no celestial WCS")
    try:
        wcs = wcs_of(header, hdus, key)
        usable = wcs.has_celestial and wcs.naxis == 2 and pixel_scale(wcs) > 0
    except Exception as error:  # astropy and wcslib raise some thirty kinds
        raise InputError(f"{path}[{index}] has a WCS that can't be read: {reason(error)}") from error
    if not usable:
        raise InputError(f"{path}[{index}] has no celestial WCS")
    return wcs


def wcs_of(header, hdus, key=" "):
    """Return the WCS that stands in a header under a letter; its tables are among the HDUs, its pixels need not be."""
    if not header.get("NAXIS"):
        header = header.copy()
        header.remove("NAXIS", ignore_missing=True)
    if [str(header[f"CTYPE1{of}".strip()]).endswith("-SIP") for of in (" ", key)] == [True, False]:
        wcs = headers.linear_wcs(header, key)  # HST's WCS of before any calibration is such a one
    else:
        wcs = WCS(header, hdus, fix=False, key=key)
    wcs.wcs.alt = " "  # which letter it stood under matters no more
    wcs.wcs.fix()
    wcs.wcs.set()
    return wcs


def _bad_pixels(hdus, extver, shape, dqbits, *, alone=None):
    """Read the mask of bad pixels; in a file of flags alone they stand in extensions named `alone`."""
    flags = dqbits.strip()
    if flags.upper() in ("NONE", "INDEF"):
        return None
    place = next((name for name in ("DQ", alone) if name and (name, extver) in hdus), None)
    quality = hdus[place, extver].data if place else None
    if quality is None or quality.shape != shape:
        return None
    try:
        return bitmask.bitfield_to_boolean_mask(quality, ignore_flags=flags or 0, good_mask_value=False)
    except (ValueError, TypeError) as error:
        raise ParameterError(f"imagefindpars: dqbits = {dqbits!r} is no list of bit flags such as 16,64") from error


def _gain(primary, header):
    """Electrons per count, from the unit of the pixels."""
    unit = str(header.get("BUNIT", primary.get("BUNIT", ""))).upper().replace(" ", "")
    gain = 1.0
    if not unit.startswith("ELECTRON"):
        keywords = (h.get(k) for k in ("CCDGAIN", "ATODGAIN", "GAIN", "EGAIN") for h in (header, primary))
        gain = next((float(g) for g in keywords if isinstance(g, (int, float)) and g > 0), 1.0)
    if unit.endswith(("/S", "S-1", "/SEC")):
        exptime = header.get("EXPTIME", primary.get("EXPTIME", 1.0))
        gain *= float(exptime) if exptime and exptime > 0 else 1.0
    return gain


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the headers of an exposure say of it.

    Parameters
    ----------
    optics : str
        Exposures of one name share a PSF: in space telescope, instrument, detector and filters; on the ground every
        exposure is on its own.
    epoch : float
        Julian year of the middle of the exposure; NaN where it is not known.
    exptime : float
        Exposure time, seconds; NaN where it is not known.
    visit : str
        Exposures of one visit share their guide stars; empty where it is not known.
    """

    optics: str
    epoch: float
    exptime: float
    visit: str = ""


def read_facts(path):
    """Return the `Facts` of a FITS file."""
    with opened(path) as hdus:
        header = hdus[next(iter(science(hdus, path)))].header.copy()
        header.extend(hdus[0].header, unique=True)
    optics = path
    if str(header.get("TELESCOP", "")).strip() in _SPACE_TELESCOPES:
        keywords = ("TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "FILTNAM1", "PUPIL")
        optics = " ".join(str(header.get(keyword, "")) for keyword in keywords)
    exptime = header.get("EXPTIME")
    exptime = float(exptime) if isinstance(exptime, (int, float)) else np.nan
    root = root_of(str(header.get("ROOTNAME", "")).strip(), os.path.basename(path))
    return Facts(optics, _epoch(header, exptime), exptime, str(header.get("VISIT_ID", "")).strip() or visit_of(root))


def _epoch(header, exptime):
    """Julian year of the middle of an exposure, from the keywords of its times; NaN where there are none."""
    start, end, middle = (header.get(name) for name in ("EXPSTART", "EXPEND", "MJD-AVG"))
    half = (exptime if np.isfinite(exptime) else 0.0) / 86400 / 2
    if isinstance(start, float) and isinstance(end, float):
        mjd = (start + end) / 2
    elif isinstance(middle, float):
        mjd = middle
    elif isinstance(header.get("MJD-OBS"), (int, float)):
        mjd = header["MJD-OBS"] + half
    else:
        date, time = str(header.get("DATE-OBS", "")), str(header.get("TIME-OBS", header.get("UT", "00:00:00")))
        try:
            moment = datetime.datetime.fromisoformat((date if "T" in date else f"{date}T{time}")[:19])
        except ValueError:
            return np.nan
        mjd = (moment - datetime.datetime(1858, 11, 17)).total_seconds() / 86400 + half
    return julian_year(mjd)


def check_updatable(path):
    """Raise InputError where `update_header` has no permission to do its work."""
    folder = os.path.dirname(os.path.realpath(path))
    for target in (path, folder):
        if protected(target):
            raise InputError(f"{path} can't be updated: {'it' if target == path else folder} is write-protected")


def check_wcsname(path, wcsname):
    """Raise InputError where a file has a WCS of that name; of a file that can't be read nothing is said here."""
    try:
        with opened(path) as hdus:
            names = {index: headers.wcs_names(hdus[index].header) for index in science(hdus, path)}
    except InputError:
        return
    for index, taken in names.items():
        if wcsname.upper() in (name.upper() for name in taken.values()):
            raise InputError(f"{path}[{index}] has a WCS named {wcsname!r} already: give another wcsname, or "
                             "reusename=yes, which also completes a run that was interrupted")


def update_header(path, wcss, solution, *, reuse=False, claim=None, dry_run=False):
    """Give the science headers of a file a new primary WCS; all else stays as it is, byte for byte.

    Parameters
    ----------
    path : str
        The file; a link is followed.
    wcss : dict of int to (astropy.wcs.WCS or None)
        New WCS by EXTVER; None names the present one anew. Other extensions stay as they are.
    solution : headers.Solution
        What is known of it.
    reuse : bool
        Replace a WCS of the same name.
    claim, dry_run, optional
        See `rewrite`.

    Returns
    -------
    list of str
        What differs, see `rewrite`.

    Raises
    ------
    InputError
        The file can't be read, or can't be replaced; it is then as it was.
    """
    def change(hdus, old):
        changed = {index: headers.corrected_header(old[index], wcss[extver], solution, reuse)
                   for index, extver in science(hdus, path).items() if extver in wcss}
        parts = list(range(len(hdus)))
        if wcscorr.keeps_history(hdus):
            place = hdus.index_of("WCSCORR") if "WCSCORR" in hdus else len(hdus)
            with _ONE_AT_A_TIME:
                changed, table = wcscorr.record(hdus, changed)
            parts[place:place + 1] = [table] if table else parts[place:place + 1]
        return [(part, changed[part]) if isinstance(part, int) and part in changed else part for part in parts]

    return rewrite(path, change, claim=claim, dry_run=dry_run)


def rewrite(path, change, *, claim=None, dry_run=False, target=None):
    """Replace a FITS file by one that has other headers, or other HDUs.

    Parameters
    ----------
    path : str
        The file, which may be gzipped; a link is followed.
    change : callable
        Takes the HDUList and the list of all headers as they stand in the file, and returns the HDUs of the new file
        in order: the number of an old one, which is kept byte for byte; such a number and a header that its data are
        to have, whose CHECKSUM is brought up to date; or a new HDU.
    claim : atomic.Claim, optional
        Of the run that holds the file; without it the file is claimed for this call.
    dry_run : bool
        Write nothing, but tell what would differ.
    target : str, optional
        Write the new file there instead.

    Returns
    -------
    list of str
        Of a dry run, what differs: a line for each HDU that does, and one for each of its keywords.

    Raises
    ------
    InputError
        The file can't be read, or can't be replaced; it is then as it was.
    """
    own = Claim([path]) if claim is None and not dry_run else contextlib.nullcontext(claim)
    with own as claim, opened(path) as hdus, _unpacked(path) as source:
        spans = [(info["hdrLoc"], info["datLoc"], info["datLoc"] + info["datSpan"])
                 for info in (hdu.fileinfo() for hdu in hdus)]
        old = [fits.Header.fromstring(_read_span(source, start, data)) for start, data, _ in spans]
        parts = change(hdus, old)
        if dry_run:
            return [line for part in parts for line in _differences(part, old, os.path.basename(path))]
        with replacing(target or path, claim) as new:
            packing = gzip.GzipFile(fileobj=new, mode="wb", filename="") if _compressed(path) else None
            with packing or contextlib.nullcontext(new) as out:
                _write_parts(parts, source, out, spans)
    return []


@contextlib.contextmanager
def quiet_stwcs():
    """Let stwcs do its work in silence, in one thread at a time."""
    with _ONE_AT_A_TIME, wcscorr.quietly():
        yield


def _differences(part, old, name):
    """Return the lines in which `rewrite` says what differs in one HDU."""
    if isinstance(part, int):
        return []
    if not isinstance(part, tuple):
        return [f"{name}[{part.name},{part.ver}]: a new table or image"]
    index, new = part
    new = fits.Header.fromstring(as_bytes(new))  # numbers as they are going to be read
    lines = headers.differences(old[index], new)
    where = f"{new['EXTNAME']},{new.get('EXTVER', 1)}" if "EXTNAME" in new else index
    return [f"{name}[{where}]:", *lines] if lines else []


def _unpacked(path):
    """Open the bytes of a FITS file for reading, as they are without gzip."""
    if not _compressed(path):
        return open(path, "rb")
    with gzip.open(path, "rb") as file:
        return io.BytesIO(file.read())


def _read_span(source, start, stop):
    source.seek(start)
    return source.read(stop - start)


def _write_parts(parts, source, target, spans):
    """Write the HDUs that `rewrite` is told of."""
    for part in parts:
        if isinstance(part, int):
            copy_bytes(source, target, spans[part][0], spans[part][2])
        elif isinstance(part, tuple):
            index, header = part
            _, start, stop = spans[index]
            if "CHECKSUM" in header:
                header = with_checksum(header, _read_span(source, start, stop))
            target.write(as_bytes(header))
            copy_bytes(source, target, start, stop)
        else:
            target.write(_as_extension(part))


def _as_extension(hdu):
    """Bytes of an extension HDU."""
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer, checksum="CHECKSUM" in hdu.header)
    return buffer.getvalue()[_FITS_BLOCK:]


def write_reference_wcs(path, plane):
    """Write the WCS of a plane: in a primary header without data, and in an extension WCS with NPIX1 and NPIX2.

    The first is what the help text of tweakreg promises, the second what AstroDrizzle and drizzlepac read.
    """
    keywords = plane.wcs.to_header()
    for i in (1, 2):
        keywords[f"CRVAL{i}"] = float(plane.wcs.wcs.crval[i - 1])
        for j in (1, 2):
            keywords[f"PC{i}_{j}"] = float(plane.wcs.wcs.cd[i - 1, j - 1])
    primary, extension = fits.PrimaryHDU(header=keywords), fits.ImageHDU(header=keywords, name="WCS", ver=1)
    for header in (primary.header, extension.header):
        header["NPIX1"] = (plane.shape[1], "length of axis 1")
        header["NPIX2"] = (plane.shape[0], "length of axis 2")
        header["PIXVALUE"] = (0.0, "value of all pixels")
        header["ORIENTAT"] = (orientation(plane.wcs), "position angle of y axis (deg. e of n)")
    buffer = io.BytesIO()
    fits.HDUList([primary, extension]).writeto(buffer)
    write_bytes(path, buffer.getvalue())


def root_name(path):
    """Root of the names of the files that belong to an exposure: ``j99da1f2q_flt`` of ``j99da1f2q_flt.fits``."""
    return re.sub(r"\.(fits?|fts)(\.gz)?$", "", os.path.basename(path), flags=re.IGNORECASE)
