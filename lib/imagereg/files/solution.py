"""The solution file: what a run found for every exposure, and for which exposures it holds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from imagereg import alignment
from imagereg.errors import InputError
from imagereg.files.images.instruments import root_of, visit_of
from imagereg.files.text import Shift, quoted, unquoted
from imagereg.version import __version__
from imagereg.wcs import Solution, Status, TangentPlane, correction, pixel_to_sky

if TYPE_CHECKING:
    from astropy.table import Table

    from imagereg.alignment import Alignment, Chip, Metadata

FORMAT_VERSION = 1

_FORMAT = "imagereg solution"
_PLANE = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2",
          "NPIX1", "NPIX2")
_IMSET = re.compile(r"\[sci,(\d+)\]$")
# Name of the distortion in a WCSNAME of HST; the source of the pointing follows.
_DISTORTION = re.compile(r"IDC_[^-]*-?", re.IGNORECASE)
# Solutions of one visit may be carried over where they differ by less, in pixels of the plane.
_AGREE = 0.5
_LATER = {"chip_shifts": "", "x_tilt": 0.0, "y_tilt": 0.0}  # columns that older files do not have


@dataclasses.dataclass(frozen=True)
class ExposureRecord:
    """What tells an exposure from others, and where it is on the plane.

    Parameters
    ----------
    file : str
        Its file without the folder; of one of several exposures in it with its extension,
        ``[sci,2]``.
    rootname, visit, association, target : str
        '' where it is not known; of HST the visit is the first six characters of the rootname.
    epoch : float
        Julian year of the middle of the exposure; NaN where it is not known.
    wcsname : str
        Name of its WCS.
    ra, dec : float
        Where it points, degrees.
    x_first, y_first, x_last, y_last : float
        Position of its first pixel and of the last one of its last chip, pixels of the plane; NaN
        where that is not known.
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
    def of(cls, name: str, metadata: Metadata, chips: Sequence[Chip],
           plane: TangentPlane) -> ExposureRecord:
        """Return the record of an exposure; little is known of one without chips or WCS."""
        root = metadata.rootname or root_of("", name)
        corners = np.full((2, 2), np.nan)
        sky = np.full(2, np.nan)
        if chips and chips[0].wcs is not None:
            first = pixel_to_sky(chips[0].wcs, [1, 1])
            last = pixel_to_sky(chips[-1].wcs, chips[-1].shape[::-1])
            corners = plane.sky_to_plane(np.concatenate([first, last]))
            sky = plane.plane_to_sky(corners.mean(axis=0)[None])[0]
        numbers = map(float, [*sky, *corners.ravel()])
        return cls(name, root, visit_of(root), metadata.association, metadata.target,
                   float(metadata.epoch), metadata.wcsname, *numbers)

    @property
    def filename(self) -> str:
        """Name of the file, without an extension in brackets."""
        return _IMSET.sub("", self.file)

    @property
    def extver(self) -> int | None:
        """EXTVER of the exposure where the file has several, else None."""
        found = _IMSET.search(self.file)
        return int(found[1]) if found else None

    @property
    def corners(self) -> np.ndarray:
        """(2, 2) first and last pixel on the plane."""
        return np.array([[self.x_first, self.y_first], [self.x_last, self.y_last]])


@dataclasses.dataclass(frozen=True)
class SolvedExposure(Solution, ExposureRecord):
    """An exposure with its solution: a row of the solution file."""

    @classmethod
    def from_alignment(cls, alignment: Alignment, reference: str) -> SolvedExposure:
        """Return what was found for an exposure with the reference of that name."""
        exposure = alignment.exposure
        record = ExposureRecord.of(exposure.name, exposure.metadata, exposure.chips,
                                   alignment.plane)
        solution = alignment.solution(reference)
        return cls(**dataclasses.asdict(record), **dataclasses.asdict(solution))

    @classmethod
    def from_shift(cls, shift: Shift, plane: TangentPlane) -> SolvedExposure:
        """Return what a row of a shiftfile says; InputError where its scale is nonsense."""
        largest = correction.LARGEST_SCALE
        if not (np.isnan(shift.scale) or 1 / largest < shift.scale < largest):
            raise InputError(f"the shift of {shift.name} has the scale {shift.scale}, expected "
                             f"one from {1 / largest:g} to {largest:g}")
        angle = np.deg2rad(shift.rot)
        # The inverse of the shiftfile's map, which leads from the reference to the image. What is
        # not finite, or too large to be, is no shift.
        with np.errstate(invalid="ignore", over="ignore"):
            cos = np.cos(angle)
            sin = np.sin(angle)
            matrix = np.array([[cos, -sin], [sin, cos]]) / shift.scale
            offset = -matrix @ [shift.dx, shift.dy]
        xrms, yrms = map(float, np.nan_to_num([shift.xrms, shift.yrms]) * plane.pixel_scale)
        is_known = np.isfinite(matrix).all() and np.isfinite(offset).all()
        if not is_known:
            matrix, offset = np.full((2, 2), np.nan), np.full(2, np.nan)
        record = ExposureRecord.of(shift.name, alignment.Metadata(), (), plane)
        status = Status.ALIGNED if is_known else Status.FAILED
        solution = Solution.mapping(matrix, offset, plane.centre, status=status.value,
                                    reason="" if is_known else "it has no shift",
                                    geometry="rscale", ra_rms=xrms, dec_rms=yrms)
        return cls(**dataclasses.asdict(record), **dataclasses.asdict(solution))


@dataclasses.dataclass(frozen=True)
class Solutions:
    """All that a solution file, or a shiftfile, says.

    Parameters
    ----------
    where : str
        Name of the file.
    plane : TangentPlane
        On which the fits were made.
    rows : tuple of SolvedExposure
        One for each exposure.
    outwcs : str or None
        File with the reference WCS of a shiftfile; None for a solution file, which holds it.
    """

    where: str
    plane: TangentPlane
    rows: tuple[SolvedExposure, ...]
    outwcs: str | None = None

    def text(self, summary: Table) -> str:
        """Return the text of the solution file, an ECSV.

        Parameters
        ----------
        summary : astropy.table.Table
            What people want to know of each exposure; it has a row for each of ours.
        """
        table = summary.copy()
        for field in dataclasses.fields(SolvedExposure):
            table[field.name] = [getattr(row, field.name) for row in self.rows]
        for name in table.colnames:
            if table[name].dtype.kind == "U":
                table[name] = list(map(quoted, table[name].tolist()))
            table[name].unit = table[name].unit or _unit(name)
        wcs = self.plane.wcs.wcs
        numbers = [*map(float, [*wcs.crval, *wcs.crpix, *wcs.cd.ravel()]),
                   *map(int, self.plane.shape[::-1])]
        table.meta.update({"format": _FORMAT, "format_version": FORMAT_VERSION,
                           "imagereg": __version__,
                           "plane": dict(zip(_PLANE, numbers, strict=True))})
        out = StringIO()
        table.write(out, format="ascii.ecsv")
        return out.getvalue()

    @classmethod
    def parse(cls, text: str, where: str) -> Solutions:
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
        from astropy.table import Table

        try:
            table = Table.read(text.splitlines(), format="ascii.ecsv")
        except Exception as error:  # astropy and the YAML library raise a dozen kinds
            raise InputError(f"{where} can't be read as a solution file: "
                             f"{_first_line(error)}") from error
        if table.meta.get("format") != _FORMAT:
            raise InputError(f"{where} is a table, but no solution file of tweakreg")
        version = table.meta.get("format_version")
        if version != FORMAT_VERSION:
            raise InputError(f"{where} has the format version {version!r}, expected "
                             f"{FORMAT_VERSION}: it is of another version of imagereg")
        for name, absent in _LATER.items():
            if name not in table.colnames:
                table[name] = absent
        for field in dataclasses.fields(SolvedExposure):
            if field.name not in table.colnames:
                raise InputError(f"{where} has no column {field.name}")
        try:
            plane = _plane(table.meta["plane"])
            rows = tuple(map(_solved, table))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where} is damaged: {_first_line(error)}") from error
        return cls(where, plane, rows)

    def named(self, name: str) -> list[SolvedExposure]:
        """Return the rows of a file by its name, with or without its ending, or by its rootname."""
        root = _root(name)
        return [row for row in self.rows if root in (_root(row.filename), row.rootname)]

    def rows_of_source(self, name: str) -> list[SolvedExposure]:
        """Return the rows of the exposure whose solution the user asks for; InputError for none."""
        found = self.named(name)
        if not found:
            raise InputError(f"{self.where} has no row for {name}")
        return found

    def rows_for(self, record: ExposureRecord) -> list[SolvedExposure]:
        """Return the rows that may hold for an exposure.

        Parameters
        ----------
        record : ExposureRecord
            Of the exposure as it is now, with its positions on the plane.

        Returns
        -------
        list of SolvedExposure
            Its own, several where the file holds several exposures; else one of the same visit,
            the nearest in time.

        Raises
        ------
        InputError
            There is none, or the solutions of the visit differ.
        """
        own = [row for row in self.rows if row.filename == record.filename]
        return own or self.named(record.rootname) or [self._of_visit(record)]

    def _of_visit(self, record):
        """Return the row of the same visit that is nearest in time."""
        kin = [row for row in self.rows
               if row.visit and row.visit == record.visit and row.is_applied]
        if not kin:
            raise InputError(f"{self.where} has no row for {record.file}, nor for its visit: "
                             f"{_advice(record)}")
        distance = [abs(row.epoch - record.epoch) for row in kin]
        if np.isfinite(distance).all():
            kin = [kin[index] for index in np.argsort(distance, kind="stable")[:2]]
        moved = kin[0](record.corners)
        for other in kin[1:]:
            if not np.abs(other(record.corners) - moved).max() < _AGREE:
                raise InputError(f"{record.file} could have the solution of {kin[0].file} or of "
                                 f"{other.file}, which differ: {_advice(record)}")
        return kin[0]

    def check(self, row: SolvedExposure, record: ExposureRecord) -> None:
        """Raise InputError where a row does not hold for an exposure as it is now.

        The exposure itself must be where it was when it was solved. Another one must have a WCS
        from the same source, and overlap.
        """
        if row.rootname == record.rootname or row.filename == record.filename:
            _check_same_place(row, record)
            return
        origin, expected = (_DISTORTION.sub("", name).upper()
                            for name in (record.wcsname, row.wcsname))
        if row.wcsname and origin != expected:
            raise InputError(f"{record.file} has the WCS {record.wcsname!r} and {row.file} had "
                             f"{row.wcsname!r} when it was solved: {_advice(record)}")
        sizes = [np.hypot(*np.diff(one.corners, axis=0)[0]) for one in (row, record)]
        if np.hypot(*(row.corners.mean(axis=0) - record.corners.mean(axis=0))) > sum(sizes):
            raise InputError(f"{record.file} is far from {row.file}, of the same visit: "
                             f"{_advice(record)}")


def _check_same_place(row, record):
    """Raise InputError where an exposure is not where it was when it was solved."""
    off = np.abs(row.corners - record.corners).max()
    if row.is_applied and off > correction.SAME_POSITION:
        raise InputError(f"{record.file} has another WCS, {record.wcsname!r}, than when it was "
                         f"solved, {row.wcsname!r}: they differ by {off:.3g} pixel; restore that "
                         f"one, or give {record.file}:{row.file} to apply the solution all the "
                         "same")


def _advice(record):
    return f"give {record.file}:SOURCE to name the exposure whose solution to apply"


def _root(name):
    return re.sub(r"\.(fits?|fts)(\.gz)?$", "", name.lower())


def _unit(name):
    """Return the unit of a column of ours."""
    if name.endswith("_rms"):
        return "arcsec"
    units = {"ra": "deg", "dec": "deg", "epoch": "yr", "x_tilt": "1 / pix", "y_tilt": "1 / pix"}
    return units.get(name, "pix" if name.startswith(("x_", "y_")) else None)


def _plane(keywords: Mapping[str, float]) -> TangentPlane:
    *numbers, nx, ny = (float(keywords[name]) for name in _PLANE)
    if not np.isfinite([*numbers, nx, ny]).all():
        raise ValueError("the plane has a keyword that is no number")
    return TangentPlane.of(numbers[:2], numbers[2:4], np.reshape(numbers[4:], (2, 2)),
                           (int(ny), int(nx)))


def _solved(row):
    """Return a row of a table as a `SolvedExposure`."""
    kinds = {"str": lambda text: unquoted(str(text)), "float": float, "int": int}
    values = {}
    for field in dataclasses.fields(SolvedExposure):
        is_empty = row[field.name] is np.ma.masked
        if is_empty and field.type != "str":
            raise ValueError(f"a row has no number for {field.name}")
        values[field.name] = "" if is_empty else kinds[field.type](row[field.name])
    solved = SolvedExposure(**values)
    if not np.isfinite([*solved.shift_of_chip.values()]).all():
        raise ValueError(f"the row of {solved.file} has a chip shift that is no number")
    if solved.is_applied and not solved.has_map:
        raise ValueError(f"the row of {solved.file} is {solved.status} and has no matrix")
    return solved


def _first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
