"""All that touches disk: chips are read, headers updated, text written.

What is written appears whole or not at all: it is made as a new file beside its place, flushed, and put there by
one rename.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import gzip
import io
import os
import re
import shutil
import tempfile
import threading
import warnings
import zlib

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from stsci.tools import bitmask

from imagereg import headers, wcscorr
from imagereg.align import Chip
from imagereg.errors import InputError, ParameterError
from imagereg.reference import julian_year
from imagereg.wcs import orientation, pixel_scale

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


def read_bytes(path, size=-1):
    """Content of a file, or its first bytes; InputError where it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise InputError(f"{path} can't be read: {_reason(error)}") from error


def read_text(path):
    """Content of a text file; InputError where it can't be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read: {_reason(error)}") from error


def _reason(error):
    return (getattr(error, "strerror", None) or str(error).splitlines()[0] or type(error).__name__).lower()


@contextlib.contextmanager
def opened(path):
    """Yield the HDUList of a whole FITS file, read lazily; every way in which it is not one is an InputError."""
    try:
        with _quietly_opened(path) as hdus:
            size, expected = os.path.getsize(path), max(_end(hdus, index) for index in range(len(hdus)))
            if size < expected and not _compressed(path):
                raise InputError(f"{path} is truncated: it has {size} bytes of {expected}")
            yield hdus
    except (OSError, EOFError, zlib.error, TypeError, ValueError) as error:
        raise InputError(f"{path} can't be read as FITS: {_reason(error)}") from error


def _quietly_opened(path):
    """Open a FITS file; what astropy would warn of is found out, and said, by `opened`."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():  # which is not safe among threads
        warnings.simplefilter("ignore")
        return fits.open(path, mode="readonly", lazy_load_hdus=False)


def _end(hdus, index):
    info = hdus.fileinfo(index)
    return info["datLoc"] + info["datSpan"]


def _compressed(path):
    with open(path, "rb") as file:
        return file.read(2) == _GZIP


def _science(hdus, path):
    """Return the indices of the science HDUs: all SCI in order of EXTVER, else the only image."""
    science = [i for i, hdu in enumerate(hdus) if hdu.name == "SCI" and hdu.header.get("NAXIS", 0) > 0]
    if science:
        return sorted(science, key=lambda i: hdus[i].ver)
    images = [i for i, hdu in enumerate(hdus) if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2]
    if images[:1] == [0]:
        return [0]
    if len(images) != 1:
        raise InputError(f"{path} has no SCI extension and {len(images) or 'no'} images, expected one")
    return images


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
        for index in _science(hdus, path):
            hdu = hdus[index]
            if hdu.header["NAXIS"] != 2:
                raise InputError(f"{path}[{index}] has {hdu.header['NAXIS']} axes, expected 2")
            extver = hdu.ver if hdu.name == "SCI" else 1
            wcs = _read_wcs(hdus, index, path)
            bad = _bad_pixels(flags, extver, hdu.shape, dqbits, alone="SCI" if quality else None)
            ltm = tuple(float(hdu.header.get(name, 1.0)) for name in ("LTM1_1", "LTM2_2"))
            ltv = tuple(float(hdu.header.get(name, 0.0)) for name in ("LTV1", "LTV2"))
            yield ChipImage(Chip(extver, wcs, hdu.shape), hdu.data, bad, _gain(hdus[0].header, hdu.header), ltm, ltv)


def _read_wcs(hdus, index, path):
    header = hdus[index].header
    if "CTYPE1" not in header:
        raise InputError(f"{path}[{index}] has no celestial WCS")
    try:
        wcs = WCS(header, hdus, fix=False)
        wcs.wcs.fix()
        wcs.wcs.set()
        usable = wcs.has_celestial and wcs.naxis == 2 and pixel_scale(wcs) > 0
    except Exception as error:  # astropy and wcslib raise some thirty kinds
        raise InputError(f"{path}[{index}] has a WCS that can't be read: {_reason(error)}") from error
    if not usable:
        raise InputError(f"{path}[{index}] has no celestial WCS")
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
        header = hdus[_science(hdus, path)[0]].header.copy()
        header.extend(hdus[0].header, unique=True)
    optics = path
    if str(header.get("TELESCOP", "")).strip() in _SPACE_TELESCOPES:
        keywords = ("TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "FILTNAM1", "PUPIL")
        optics = " ".join(str(header.get(keyword, "")) for keyword in keywords)
    exptime = header.get("EXPTIME")
    exptime = float(exptime) if isinstance(exptime, (int, float)) else np.nan
    # HST names exposures ipppssoot: programme and visit come first (HST Data Handbook).
    visit = {"HST": str(header.get("ROOTNAME", ""))[:6], "JWST": str(header.get("VISIT_ID", ""))}
    return Facts(optics, _epoch(header, exptime), exptime, visit.get(header.get("TELESCOP"), ""))


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
        if _protected(target):
            raise InputError(f"{path} can't be updated: {'it' if target == path else folder} is write-protected")


def check_wcsname(path, wcsname):
    """Raise InputError where a file has a WCS of that name; of a file that can't be read nothing is said here."""
    try:
        with opened(path) as hdus:
            names = {index: headers.wcs_names(hdus[index].header) for index in _science(hdus, path)}
    except InputError:
        return
    for index, taken in names.items():
        if wcsname.upper() in (name.upper() for name in taken.values()):
            raise InputError(f"{path}[{index}] has a WCS named {wcsname!r} already: give another wcsname, "
                             "or reusename=yes")


def _protected(path):
    """Whether a file or folder is meant not to be written, even by those who could."""
    return not os.access(path, os.W_OK) or not os.stat(path).st_mode & 0o222


def check_writable(path):
    """Raise InputError where a file of that name could not be written."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise InputError(f"{path} can't be written: there is no folder {folder}")
    for target in (folder, *([path] if os.path.exists(path) else [])):
        if os.path.isdir(path):
            raise InputError(f"{path} can't be written: it is a folder")
        if _protected(target):
            raise InputError(f"{path} can't be written: {target} is write-protected")


def update_header(path, wcss, solution, *, reuse=False):
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

    Raises
    ------
    InputError
        The file can't be read, or can't be replaced; it is then as it was.
    """
    packed = _compressed(path)
    with opened(path) as hdus, (gzip.open if packed else open)(path, "rb") as source:
        if packed:
            source = io.BytesIO(source.read())
        spans = [(info["hdrLoc"], info["datLoc"], info["datLoc"] + info["datSpan"])
                 for info in map(hdus.fileinfo, range(len(hdus)))]
        changed, tables = {}, {}
        for index in _science(hdus, path):
            extver = hdus[index].ver if hdus[index].name == "SCI" else 1
            if extver in wcss:
                start, stop, _ = spans[index]
                source.seek(start)
                header = fits.Header.fromstring(source.read(stop - start))
                changed[index] = headers.corrected_header(header, wcss[extver], solution, reuse)
        if wcscorr.keeps_history(hdus):
            place = hdus.index_of("WCSCORR") if "WCSCORR" in hdus else len(hdus)
            with _ONE_AT_A_TIME:
                changed, table = wcscorr.record(hdus, changed)
            tables = {place: table} if table else {}
        with _replacing(path) as target:
            plain = contextlib.nullcontext(target)
            with gzip.GzipFile(fileobj=target, mode="wb", filename="") if packed else plain as out:
                _copy_hdus(source, out, spans, changed=changed, tables=tables)


def _copy_hdus(source, target, spans, *, changed, tables):
    """Copy a FITS file with new headers for some of its HDUs, and with whole new tables in some places."""
    for index, (start, data, stop) in enumerate(spans):
        if index in tables:
            target.write(_as_extension(tables[index]))
            continue
        if index in changed:
            target.write(changed[index].tostring(endcard=True, padding=True).encode("ascii"))
            start = data
        _copy_bytes(source, target, start, stop)
    if len(spans) in tables:
        target.write(_as_extension(tables[len(spans)]))


def _as_extension(hdu):
    """Bytes of an extension HDU."""
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    return buffer.getvalue()[_FITS_BLOCK:]


def _copy_bytes(source, target, start, stop):
    """Copy bytes start..stop of one file to the end of another, within the kernel where it can."""
    target.flush()
    with contextlib.suppress(AttributeError, OSError):
        while start < stop and (done := os.copy_file_range(source.fileno(), target.fileno(), stop - start, start)):
            start += done
        target.seek(0, os.SEEK_END)
    source.seek(start)
    while start < stop:
        block = source.read(min(stop - start, 1 << 22))
        if not block:
            raise InputError("the file ends early")
        target.write(block)
        start += len(block)


@contextlib.contextmanager
def _replacing(path):
    """Yield a new binary file that takes the place of `path` once it is complete, with its mode and owner."""
    path = os.path.realpath(path)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), prefix=".imagereg-", suffix=".tmp",
                                         delete=False) as file:
            temporary = file.name
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            shutil.copymode(path, temporary)
            owner = os.stat(path)
            with contextlib.suppress(PermissionError):
                os.chown(temporary, owner.st_uid, owner.st_gid)
        else:
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f"{path} can't be written: {_reason(error)}") from error
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path, text):
    """Write a text file, whole or not at all; InputError where it can't be."""
    with _replacing(path) as file:
        file.write(text.encode())


def write_bytes(path, content):
    """Write a binary file, whole or not at all; InputError where it can't be."""
    with _replacing(path) as file:
        file.write(content)


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


def user_file(task):
    """Name of the file in the user's own folder that keeps the parameters of a task, whether there is one or not."""
    return os.path.join(os.path.expanduser("~"), ".imagereg", f"{task}.cfg")


def user_parameters(task):
    """Name of the file in which the user last saved the parameters of a task; None where there is none."""
    path = user_file(task)
    return path if os.path.isfile(path) else None


def forget_parameters(task):
    """Remove the parameters of a task that the user saved; returns the name of the file, None where there was none."""
    path = user_parameters(task)
    if path:
        try:
            os.remove(path)
        except OSError as error:
            raise InputError(f"{path} can't be removed: {_reason(error)}") from error
    return path
def make_folder(path):
    """Make a folder where there is none; InputError where that can't be done."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {path} can't be made: {_reason(error)}") from error
