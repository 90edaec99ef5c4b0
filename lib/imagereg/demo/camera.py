"""The invented camera: its geometry, and exposures with headers and empty images."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

# Much like ACS/WFC.
PIXEL_SCALE = 0.05  # arcsec
_CHIP_GAP = 48  # pixels
# Powers of x and y, shifts in x and y; pixels, at half a chip's width from the centre: a small chip
# is as distorted as a large one.
_SIP = (
    (2, 0, 2.3, -0.5), (1, 1, -1.4, 1.7), (0, 2, 0.7, -2.0),
    (3, 0, -0.12, 0.02), (2, 1, 0.01, -0.11), (1, 2, -0.13, -0.02), (0, 3, 0.03, -0.09),
)  # fmt: skip
_LOOKUP_SIZE = 0.1  # amplitude of the CPDIS tables, pixels
_COLUMN_SIZE = 0.06  # amplitude of the D2IM table, a sawtooth, pixels
_COLUMN_PERIOD = 51.2  # its period, pixels
_MJD_ZERO = datetime.datetime(1858, 11, 17)
_FIRST_MJD = 60000.0


@dataclasses.dataclass(frozen=True)
class Camera:
    """The options of `simulate_visit` that make the images.

    Parameters
    ----------
    n_chips, chip_shape : int, (int, int)
        1 or 2 chips, EXTVER 2 above EXTVER 1; their rows and columns, pixels of 0.05 arcsec.
    distortion : bool
        Whether the WCS has its SIP, CPDIS and D2IM parts.
    orientat, exptime : float
        Position angle of the y axis, degree; exposure time in the headers, seconds.
    sky, read_noise, full_well : float
        Electrons in a pixel: sky, rms noise, and where it saturates (flag 256 in DQ).
    n_cosmic_rays, bad_pixels : int
        Cosmic rays (no flag in DQ) and hot pixels (the same in every exposure) on each chip.
    flag_bad_pixels : bool
        Whether hot pixels have the flag 16 in DQ.
    """

    n_chips: int = 2
    chip_shape: tuple[int, int] = (512, 1024)
    distortion: bool = True
    orientat: float = 30.0
    exptime: float = 500.0
    sky: float = 60.0
    read_noise: float = 4.5
    full_well: float = 80000.0
    n_cosmic_rays: int = 200
    bad_pixels: int = 200
    flag_bad_pixels: bool = True

    @property
    def extvers(self) -> range:
        """EXTVER of the chips, from below."""
        return range(1, self.n_chips + 1)

    def chip_center(self, extver: int) -> np.ndarray:
        """Return the centre of a chip from that of the camera, (2,), pixels."""
        chips_above_center = extver - (self.n_chips + 1) / 2
        return np.array([0.0, chips_above_center * (self.chip_shape[0] + _CHIP_GAP)])

    @property
    def radius(self) -> float:
        """Distance of the camera's corners from its centre, pixels."""
        return np.hypot(*(self.chip_center(self.n_chips) + np.array(self.chip_shape[::-1]) / 2))

    def pixel_to_plane(self, pixels: Any) -> np.ndarray:
        """Return arcsec to the east and north for undistorted pixels from the centre, (N, 2)."""
        cos, sin = cos_sin(self.orientat)
        return PIXEL_SCALE * np.asarray(pixels) @ np.array([[-cos, sin], [sin, cos]])


def cos_sin(angle: float) -> tuple[float, float]:
    """Return cosine and sine of an angle in degrees."""
    return np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))


def tangent_plane(center: Any) -> WCS:
    """Return the WCS with pixels (xi, eta), arcsec, on the tangent plane at (RA, Dec)."""
    plane = WCS(naxis=2)
    plane.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    plane.wcs.crval = center
    plane.wcs.crpix = [0.0, 0.0]
    plane.wcs.cdelt = [1 / 3600, 1 / 3600]
    return plane


def blank_exposure(camera: Camera, rootname: str, number: int, aim: Any) -> fits.HDUList:
    """Return the HDUs of an exposure that nominally points at `aim` (RA, Dec), images empty."""
    hdus = fits.HDUList([fits.PrimaryHDU(header=_primary_header(camera, rootname, number))])
    blank = np.zeros(camera.chip_shape, np.float32)
    tables = []
    for extver in camera.extvers:
        header = _science_header(camera, rootname, extver, aim)
        if camera.distortion:
            header.update(_sip_cards(camera.chip_shape, extver))
            for cards, table in _lookup_tables(camera.chip_shape, extver):
                header.update(cards)
                tables.append(table)
        hdus.append(fits.ImageHDU(blank, header, name="SCI", ver=extver))
        hdus.append(fits.ImageHDU(blank, name="ERR", ver=extver))
        hdus.append(fits.ImageHDU(blank.astype(np.int16), name="DQ", ver=extver))
    hdus.extend(sorted(tables, key=lambda table: (table.name, table.ver)))
    hdus[0].header["NEXTEND"] = len(hdus) - 1
    return hdus


def _primary_header(camera, rootname, number):
    """Return a primary header with the HST keywords that mean something here."""
    start = _FIRST_MJD + number * (camera.exptime + 180) / 86400
    begin = _MJD_ZERO + datetime.timedelta(days=start)
    date, time = begin.isoformat(timespec="seconds").split("T")
    return fits.Header({
        "FILENAME": f"{rootname}_flt.fits", "ROOTNAME": rootname,
        "TELESCOP": "IMAGEREG", "INSTRUME": "DEMO", "DETECTOR": "CCD", "FILTER": "F606W",
        "IMAGETYP": "EXT", "TARGNAME": "SIMULATED", "EQUINOX": 2000.0,
        "DATE-OBS": date, "TIME-OBS": time,
        "EXPSTART": start, "EXPEND": start + camera.exptime / 86400, "EXPTIME": camera.exptime,
        "PA_V3": camera.orientat, "SUBARRAY": False,
        "CCDGAIN": 2.0, "READNSE": camera.read_noise,
    })  # fmt: skip


def _science_header(camera, rootname, extver, aim):
    """Return a SCI header with the nominal WCS, still without distortion.

    The chip is tangent to the sky at its own centre, on the camera's common undistorted plane.
    """
    pixels = camera.chip_center(extver) + [(0, 0), (100, 0), (-100, 0), (0, 100), (0, -100)]
    sky = tangent_plane(aim).wcs_pix2world(camera.pixel_to_plane(pixels), 1)
    right, left, up, down = tangent_plane(sky[0]).wcs_world2pix(sky[1:], 1) / 3600
    x_step, y_step = (right - left) / 200, (up - down) / 200
    return fits.Header({
        "ROOTNAME": rootname, "EXPNAME": rootname,
        "BUNIT": "ELECTRONS", "CCDCHIP": camera.n_chips + 1 - extver,
        "WCSAXES": 2, "WCSNAME": "DEMO_IDC", "RADESYS": "ICRS",
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg",
        "CRPIX1": (camera.chip_shape[1] + 1) / 2, "CRPIX2": (camera.chip_shape[0] + 1) / 2,
        "CRVAL1": sky[0, 0], "CRVAL2": sky[0, 1],
        "CD1_1": x_step[0], "CD1_2": y_step[0], "CD2_1": x_step[1], "CD2_2": y_step[1],
        "ORIENTAT": np.rad2deg(np.arctan2(*y_step)),
        "LTV1": 0.0, "LTV2": 0.0, "LTM1_1": 1.0, "LTM2_2": 1.0, "VAFACTOR": 1.0,
        "RA_APER": aim[0], "DEC_APER": aim[1], "PA_APER": camera.orientat,
    })  # fmt: skip


def _sip_cards(shape, extver):
    """Return the SIP cards of a chip; the second chip is a little less distorted than the first."""
    cards: dict[str, Any] = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    cards |= {"A_ORDER": 3, "B_ORDER": 3}
    for i, j, *shifts in _SIP:
        unit = (1.15 - 0.15 * extver) / (shape[1] / 2) ** (i + j)
        cards |= {f"{axis}_{i}_{j}": shift * unit for axis, shift in zip("AB", shifts, strict=True)}
    return cards


def _lookup_tables(shape, extver) -> Iterator[tuple[dict, fits.ImageHDU]]:
    """Yield (SCI cards, table HDU) of each lookup table of a chip."""
    y, x = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 17), indexing="ij")
    npol = {"extname": "WCSDVARR", "kind": "CPDIS", "record": "DP", "error": "CPERR"}
    d2im = {"extname": "D2IMARR", "kind": "D2IMDIS", "record": "D2IM", "error": "D2IMERR"}
    for axis in (1, 2):
        wave = _LOOKUP_SIZE * np.sin(7 * x + extver + axis) * np.cos(4 * y + axis)
        yield _lookup_table(shape, wave, axis, 2 * extver - 2 + axis, **npol)
    sawtooth = _COLUMN_SIZE * (2 * (np.arange(shape[1]) / _COLUMN_PERIOD % 1) - 1)
    yield _lookup_table(shape, np.tile(sawtooth, (2, 1)), 1, extver, **d2im)


def _lookup_table(shape, values, axis, ver, *, extname, kind, record, error):
    """Return the SCI cards and the HDU of a table of shifts along an axis, from edge to edge."""
    table = fits.ImageHDU(values.astype(np.float32), name=extname, ver=ver)
    for i, pixels, nodes in zip((2, 1), shape, values.shape, strict=True):
        step = (pixels - 1) / (nodes - 1)
        table.header.update({f"CRPIX{i}": 1.0, f"CRVAL{i}": 1.0, f"CDELT{i}": step})
    cards = {f"{error}{axis}": float(np.abs(values).max()), f"{kind}{axis}": "Lookup"}
    record_values = {"EXTVER": ver, "NAXES": 2, "AXIS.1": 1, "AXIS.2": 2}
    cards |= {f"{record}{axis}.{name}": value for name, value in record_values.items()}
    return cards, table
