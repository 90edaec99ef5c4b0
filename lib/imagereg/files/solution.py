"""What a run found for every exposure, as text; for which exposures it holds: the same ones, or others of a visit."""

from __future__ import annotations

import dataclasses
import re
from io import StringIO

import numpy as np
from astropy.table import Table

from imagereg.alignment.exposure import root_of, visit_of
from imagereg.errors import InputError
from imagereg.version import __version__
from imagereg.wcs.correction import SAME_POSITION, Solution, Status
from imagereg.wcs.plane import TangentPlane, pixel_to_sky

FORMAT_VERSION = 1

_FORMAT = "imagereg solution"
_PLANE = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "NPIX1", "NPIX2")
_IMSET = re.compile(r"\[sci,(\d+)\]$")
_DISTORTION = re.compile(r"IDC_[^-]*-?", re.IGNORECASE)  # in a WCSNAME of HST, before the name of the pointing's source
_AGREE = 0.5  # most by which solutions of one visit may differ where one is carried over, pixels of the plane


@dataclasses.dataclass(frozen=True)
class Frame:
    """What tells an exposure from others, and where it is on the plane.

    Parameters
    ----------
    file : str
        Its file without the folder; of one of several exposures in it with its extension, ``[sci,2]``.
    rootname, visit, association, target : str
        '' where it is not known; of HST the visit is what the first six characters of the rootname say.
    epoch : float
        Julian year of the middle of the exposure; NaN where it is not known.
    wcsname : str
        Name of its WCS.
    ra, dec : float
        Where it points, degrees.
    x_first, y_first, x_last, y_last : float
        Where on the plane its first pixel is, and the last one of its last chip; NaN where that is not known.
    """

    file: str
    rootname: str = ""
    visit: str = ""
    association: str = ""
    target: str = ""
    epoch: float = np.nan
    wcsname: str = ""
    ra: float = np.nan
    dec: float = np.nan
    x_first: float = np.nan
    y_first: float = np.nan
    x_last: float = np.nan
    y_last: float = np.nan

    @classmethod
    def of(cls, name, header=None, *, chips=(), plane=None, epoch=np.nan):
        """Tell what is known of an exposure.

        Parameters
        ----------
        name : str
            See `file`.
        header : mapping, optional
            Keywords of the file.
        chips : sequence of align.Chip
            In order.
        plane : wcs.TangentPlane, optional
            Needed where there are chips.
        epoch : float
            Julian year.
        """
        known = {key: str((header or {}).get(key, "")).strip()
                 for key in ("ROOTNAME", "ASN_ID", "TARGNAME", "OBJECT", "WCSNAME")}
        root = root_of(known["ROOTNAME"], name)
        corners, sky = np.full((2, 2), np.nan), np.full(2, np.nan)
        if chips:
            corners = chip_corners(chips, plane)
            sky = plane.plane_to_sky(corners.mean(axis=0)[None])[0]
        return cls(name, root, visit_of(root), known["ASN_ID"],
                   known["TARGNAME"] or known["OBJECT"], float(epoch), known["WCSNAME"],
                   *map(float, sky), *map(float, corners.ravel()))

    @property
    def path(self):
        """Name of the file alone."""
        return _IMSET.sub("", self.file)

    @property
    def extver(self):
        """EXTVER of the exposure where the file has several, else None."""
        found = _IMSET.search(self.file)
        return int(found[1]) if found else None

    @property
    def corners(self):
        """(2, 2) first and last pixel on the plane."""
        return np.array([[self.x_first, self.y_first], [self.x_last, self.y_last]])


def chip_corners(chips, plane):
    """Plane positions (2, 2) of the first pixel of the first chip and the last pixel of the last one."""
    sky = pixel_to_sky(chips[0].wcs, [1, 1]), pixel_to_sky(chips[-1].wcs, chips[-1].shape[::-1])
    return plane.sky_to_plane(np.concatenate(sky))


@dataclasses.dataclass(frozen=True)
class Solved(Solution, Frame):
    """What a run found for an exposure: its `Frame` and its `Solution`."""

    @classmethod
    def from_alignment(cls, alignment, frame, reference):
        """Return what an `align.Alignment` found for a `Frame`; `reference` is the name of what it was aligned with."""
        return cls(**dataclasses.asdict(frame), **dataclasses.asdict(alignment.solution(reference)))

    @classmethod
    def from_shift(cls, shift, plane):
        """Return what a `formats.Shift` says, which leads from the reference to the image; InputError for nonsense."""
        if shift.scale <= 0:
            raise InputError(f"the shift of {shift.name} has the scale {shift.scale}, expected more than 0")
        turn = np.deg2rad(shift.rot)
        cos, sin = np.cos(turn), np.sin(turn)
        matrix = np.array([[cos, -sin], [sin, cos]]) / shift.scale  # the inverse of what leads to the image
        rms = np.nan_to_num([shift.xrms, shift.yrms]) * plane.pixel_scale
        known = bool(np.isfinite(matrix).all() and np.isfinite([shift.dx, shift.dy]).all())
        status, reason = (Status.ALIGNED, "") if known else (Status.FAILED, "it has no shift")
        return cls.mapping(matrix, -matrix @ [shift.dx, shift.dy], plane.centre, status=status.value, reason=reason,
                           geometry="rscale", ra_rms=float(rms[0]), dec_rms=float(rms[1]),
                           **dataclasses.asdict(Frame.of(shift.name)))


@dataclasses.dataclass(frozen=True)
class Solutions:
    """What a run found, or what a shiftfile says.

    Parameters
    ----------
    where : str
        Name of its file.
    plane : wcs.TangentPlane
        On which the fits were made.
    rows : tuple of Solved
        One for each exposure.
    """

    where: str
    plane: TangentPlane
    rows: tuple

    def text(self, summary):
        """Text of the solution file, an ECSV.

        Parameters
        ----------
        summary : astropy.table.Table
            What people want to know of each exposure; it has a row for each of ours.
        """
        table, wcs = summary.copy(), self.plane.wcs.wcs
        for field in dataclasses.fields(Solved):
            table[field.name] = [getattr(row, field.name) for row in self.rows]
        for name in table.colnames:
            table[name].unit = table[name].unit or _unit(name)
        numbers = [*map(float, [*wcs.crval, *wcs.crpix, *wcs.cd.ravel()]), *map(int, self.plane.shape[::-1])]
        table.meta.update({"format": _FORMAT, "format_version": FORMAT_VERSION, "imagereg": __version__,
                           "plane": dict(zip(_PLANE, numbers, strict=True))})
        out = StringIO()
        table.write(out, format="ascii.ecsv")
        return out.getvalue()

    @classmethod
    def parse(cls, text, where):
        """Read the text of a solution file.

        Parameters
        ----------
        text : str
            Content of the file.
        where : str
            Its name.

        Raises
        ------
        InputError
            It is no solution file, is damaged, or is of a later version of the format.
        """
        try:
            table = Table.read(text.splitlines(), format="ascii.ecsv")
        except Exception as error:  # astropy and the YAML library raise a dozen kinds
            raise InputError(f"{where} can't be read as a solution file: {_first_line(error)}") from error
        if table.meta.get("format") != _FORMAT:
            raise InputError(f"{where} is a table, but no solution file of tweakreg")
        if table.meta.get("format_version") != FORMAT_VERSION:
            raise InputError(f"{where} has the format version {table.meta.get('format_version')!r}, expected "
                             f"{FORMAT_VERSION}: it is of another version of imagereg")
        missing = [field.name for field in dataclasses.fields(Solved) if field.name not in table.colnames]
        if missing:
            raise InputError(f"{where} has no column {missing[0]}")
        try:
            plane = _plane(table.meta["plane"])
            rows = tuple(_solved(row) for row in table)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where} is damaged: {_first_line(error)}") from error
        return cls(where, plane, rows)

    def named(self, name):
        """Return the rows of a file by its name, with or without its ending, or by its rootname."""
        root = _root(name)
        return [row for row in self.rows if root in (_root(row.path), row.rootname)]

    def source(self, name):
        """Return the rows of the file that the user names as the source of a solution; InputError for none."""
        found = self.named(name)
        if not found:
            raise InputError(f"{self.where} has no row for {name}")
        return found

    def rows_for(self, frame):
        """Return the rows that may hold for an exposure.

        Parameters
        ----------
        frame : Frame
            With its positions on the plane.

        Returns
        -------
        list of Solved
            Its own, several where the file holds several exposures; else one of the same visit, the nearest in time.

        Raises
        ------
        InputError
            There is none, or the solutions of the visit differ.
        """
        own = [row for row in self.rows if row.path == frame.path] or self.named(frame.rootname)
        return own or [self._of_visit(frame)]

    def _of_visit(self, frame):
        """Return the row of the same visit that is nearest in time."""
        kin = [row for row in self.rows if row.visit and row.visit == frame.visit and row.is_applied]
        if not kin:
            raise InputError(f"{self.where} has no row for {frame.file}, nor for its visit: {_advice(frame)}")
        distance = [abs(row.epoch - frame.epoch) for row in kin]
        if np.isfinite(distance).all():
            kin = [kin[index] for index in np.argsort(distance, kind="stable")[:2]]
        moved = kin[0](frame.corners)
        for other in kin[1:]:
            if not np.abs(other(frame.corners) - moved).max() < _AGREE:
                raise InputError(f"{frame.file} could have the solution of {kin[0].file} or of {other.file}, which "
                                 f"differ: {_advice(frame)}")
        return kin[0]

    def check(self, row, frame):
        """Raise InputError where a row does not hold for an exposure as it is now.

        The exposure itself must be where it was when it was solved. Another one must have a WCS from the same source,
        and overlap.
        """
        if row.rootname == frame.rootname or row.path == frame.path:
            off = np.abs(row.corners - frame.corners).max()
            if row.is_applied and off > SAME_POSITION:
                raise InputError(f"{frame.file} has another WCS, {frame.wcsname!r}, than when it was solved, "
                                 f"{row.wcsname!r}: they differ by {off:.3g} pixel; restore that one, or give "
                                 f"{frame.file}:{row.file} to apply the solution all the same")
            return
        origin, expected = (_DISTORTION.sub("", name).upper() for name in (frame.wcsname, row.wcsname))
        if row.wcsname and origin != expected:
            raise InputError(f"{frame.file} has the WCS {frame.wcsname!r} and {row.file} had {row.wcsname!r} when it "
                             f"was solved: {_advice(frame)}")
        reach = sum(np.hypot(*np.diff(f.corners, axis=0)[0]) for f in (row, frame))
        if np.hypot(*(row.corners.mean(axis=0) - frame.corners.mean(axis=0))) > reach:
            raise InputError(f"{frame.file} is far from {row.file}, of the same visit: {_advice(frame)}")


def _advice(frame):
    return f"give {frame.file}:SOURCE to name the exposure whose solution to apply"


def _root(name):
    return re.sub(r"\.(fits?|fts)(\.gz)?$", "", name.lower())


def _unit(name):
    """Return the unit of a column of ours."""
    if name.endswith("_rms"):
        return "arcsec"
    return {"ra": "deg", "dec": "deg", "epoch": "yr"}.get(name, "pix" if name[:2] in ("x_", "y_") else None)


def _plane(keywords):
    values = [float(keywords[name]) for name in _PLANE]
    if not np.isfinite(values).all():
        raise ValueError("the plane has a keyword that is no number")
    return TangentPlane.of(values[:2], values[2:4], np.reshape(values[4:8], (2, 2)), (int(values[9]), int(values[8])))


def _solved(row):
    """Make a row of a table a `Solved`."""
    kinds = {"str": str, "float": float, "int": int}
    values = {}
    for field in dataclasses.fields(Solved):
        empty = row[field.name] is np.ma.masked
        values[field.name] = "" if empty else kinds[field.type](row[field.name])
    solved = Solved(**values)
    if solved.is_applied and not np.isfinite(solved(np.zeros((1, 2)))).all():
        raise ValueError(f"the row of {solved.file} is {solved.status} and has no matrix")
    return solved


def _first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
