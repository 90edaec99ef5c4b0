"""Texts that other programs read and write: catalogs, match tables, shiftfiles, geomap databases.

Nothing here touches the disk.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from imagereg.catalogs import SourceCatalog
from imagereg.errors import InputError, printable
from imagereg.wcs import TangentPlane

if TYPE_CHECKING:
    from imagereg.alignment import Alignment, LinearFit

_MATCH_TITLE = ("#Ref_X        Ref_Y        Input_X    Input_Y        Ref_X0    Ref_Y0        "
                "Input_X0    Input_Y0        Ref_ID    Input_ID        Ref_Source")
_FIT_COLUMNS = ("X (reference)", "Y (reference)", "X (input)", "Y (input)", "X (fit)", "Y (fit)",
                "X (residual)", "Y (residual)", "Original X (reference)", "Original Y (reference)",
                "Original X (input)", "Original Y (input)", "Ref ID", "Input ID",
                "Input EXTVER ID ", "RA (fit)", "Dec (fit)", "Ref source provenience")
# Of IRAF's geomap: its name for a geometry where it is not ours, and codes of a surface.
_GEOMETRIES = {"rshift": "rotate"}
_POLYNOMIAL, _LINEAR, _NO_CROSS_TERMS = 3, 2, 0


@dataclasses.dataclass(frozen=True)
class Shift:
    """A row of a shiftfile: the map from the reference to an image, in pixels and degrees."""

    name: str
    dx: float
    dy: float
    rot: float = 0.0
    scale: float = 1.0
    xrms: float = np.nan
    yrms: float = np.nan


def shiftfile_text(shifts: Iterable[Shift], outwcs: str, comments: Iterable[str] = ()) -> str:
    """Return the text of a shiftfile.

    Parameters
    ----------
    shifts : iterable of Shift
        Rows; what is NaN is written as ``nan``.
    outwcs : str
        Name of the file with the reference WCS.
    comments : iterable of str
        Lines that other programs skip.
    """
    head = ["# frame: output", f"# refimage: {_trimmed(outwcs)}[wcs]", "# form: delta",
            "# units: pixels"]
    rows = [f"{_one_word(s.name)}    {s.dx:.6f}  {s.dy:.6f}    {_turn(s.rot):.8f}     "
            f"{s.scale:.10f}   {s.xrms:.6f}  {s.yrms:.6f}" for s in shifts]
    return "\n".join([*head, *(f"# {comment}" for comment in comments), *rows, ""])


def _turn(degrees):
    """Return an angle from 0 to below 360 degrees as a shiftfile prints it, as drizzlepac does."""
    return round(degrees, 8) % 360


def parse_shiftfile(text: str, where: str) -> tuple[list[Shift], str]:
    """Return the rows of a shiftfile.

    Parameters
    ----------
    text : str
        Content of the shiftfile.
    where : str
        Its name, for errors.

    Returns
    -------
    shifts : list of Shift
        Five or seven columns: name, dx, dy, rot, scale, and perhaps xrms and yrms.
    outwcs : str
        Name of the file with the reference WCS, '' where none is given.

    Raises
    ------
    InputError
        A row has another number of columns, or one of them is not a number.
    """
    shifts = []
    outwcs = ""
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            if key.strip() in ("refimage", "reference"):
                outwcs = unquoted(value.strip().removesuffix("[wcs]"))
        elif line:
            shifts.append(_parse_shift(line, f"{where}, line {number}"))
    return shifts, outwcs


def quoted(text: str) -> str:
    """Return a text for a file of ours, an odd one quoted as Python does it; see `unquoted`.

    Odd is what the formats can't hold: control characters, bytes that are not UTF-8, a number sign
    at the beginning, which would make a comment of the line.
    """
    return text if text.isprintable() and text[:1] not in ("#", "'", '"') else ascii(text)


def unquoted(text: str) -> str:
    """Return the text that `quoted` was given."""
    if text[:1] not in ("'", '"'):
        return text
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text  # of a program that does not quote
    return found if isinstance(found, str) else text


def _one_word(name):
    """Return a file name as one word of a shiftfile."""
    return quoted(name) if name.split() == [name] else ascii(name)


def _trimmed(name):
    """Return a file name for the end of a line, where blanks around it would not count."""
    return quoted(name) if name.strip() == name else ascii(name)


def _name_and_words(line):
    """Return the name that begins a row of a shiftfile, and the words after it."""
    if line[0] not in "'\"":
        name, *words = line.split()
        return name, words
    quoted, _, rest = line.rpartition(line[0])
    return ast.literal_eval(quoted + line[0]), rest.split()


def _parse_shift(line, where):
    """Return the row of a shiftfile that a line holds."""
    try:
        name, words = _name_and_words(line)
        if len(words) not in (4, 6):
            raise ValueError
        # Edited by hand, some have a comma after a number; within one it may be the decimal sign.
        return Shift(name, *(float(word.removesuffix(",")) for word in words))
    except (ValueError, SyntaxError):
        raise InputError(f"{where}: {line!r}, expected name dx dy rot scale [xrms yrms]") from None


def chip_catalog_text(sources: SourceCatalog, name: str, shapes: bool = False) -> str:
    """Return the text of ``<root>_sci<n>_xy_catalog.coo``.

    It has x, y, flux and number of each source, and with `shapes` sharpness and both roundnesses.
    """
    titles = "X      Y         Flux       ID"
    columns = [sources.xy, sources.flux, sources.ident]
    layout = ["%.4f", "%.4f", "%.6g", "%d"]
    if shapes:
        titles += "      Sharp       Round1       Round2"
        columns += [sources.sharp, sources.round1, sources.round2]
        layout += ["%.4f"] * 3
    head = [f"# Source catalog derived for {printable(name)}", "# Columns: ", f"#    {titles}",
            "#   (pixels)   (pixels)"]
    return "\n".join([*head, *_rows(columns, layout), ""])


def sky_catalog_text(sources: SourceCatalog, name: str) -> str:
    """Return the text of ``<root>_sky_catalog.coo``: right ascension and declination, degrees."""
    head = [f"#Sky positions for: {printable(name)}", "#RA        Dec", "#(deg)     (deg)"]
    return "\n".join([*head, *_rows([sources.sky], ["%.12f"] * 2), ""])


def grown_catalog_text(sources: SourceCatalog, name: str) -> str:
    """Return the text of ``cumulative_sky_refcat_<root>.coo``: sky, flux, number and origin."""
    head = ["#Sky positions for cumulative reference catalog. Initial catalog from: "
            f"{printable(name)}", "#RA        Dec        Flux        ID        Origin",
            "#(deg)     (deg)       (counts)"]
    origins = np.array([_one_word(str(origin)) for origin in sources.origin])
    columns = [sources.sky, sources.flux, sources.ident, origins]
    layout = ["%.12f", "%.12f", "%.5g", "%d", "%s"]
    return "\n".join([*head, *_rows(columns, layout), ""])


def plane_catalog_text(sources: SourceCatalog, plane: TangentPlane, name: str) -> str:
    """Return the text of ``<root>_refxy_catalog.coo``: positions on the plane, pixels."""
    head = [f"#Pixel positions for: {printable(name)}", "#X           Y", "#(pix)       (pix)"]
    return "\n".join([*head, *_rows([plane.sky_to_plane(sources.sky)], ["%f"] * 2), ""])


def catalog_list_text(images: Mapping[str, Sequence[str]]) -> str:
    """Return the text of ``<root>_xy_catfile.list``: images with the catalogs of their chips."""
    rows = ["    ".join([name, *catalogs]) for name, catalogs in images.items()]
    return "\n".join([*rows, ""])


def match_text(alignment: Alignment) -> str:
    """Return the text of ``<root>_xy_catalog.match``: the matched pairs, before the fit.

    It has their positions on the plane and in their catalogs.

    Parameters
    ----------
    alignment : Alignment
        With matches.
    """
    image = alignment.exposure.sources[alignment.rows]
    ref = alignment.reference[alignment.ref_rows]
    columns = [alignment.ref_xy, alignment.image_xy, ref.xy, image.xy, ref.ident, image.ident,
               _printable_names(ref.origin)]
    layout = ["%.6f"] * 8 + ["%d"] * 2 + ["%s"]
    origin = ref.origin[0] if len(ref) else ""
    head = [f"#Reference: {printable(origin)}", f"#Input: {printable(alignment.name)}",
            _MATCH_TITLE]
    return "\n".join([*head, *_rows(columns, layout), ""])


def fit_text(alignment: Alignment) -> str:
    """Return the text of ``<root>_catalog_fit.match``: the pairs of the fit with their residuals.

    As drizzlepac has them, the first four columns are relative to the reference pixel of the plane,
    and residuals are fit minus reference.

    Parameters
    ----------
    alignment : Alignment
        With a fit.
    """
    fit = cast("LinearFit", alignment.fit)
    plane = alignment.plane
    used = fit.used
    image = alignment.exposure.sources[alignment.rows[used]]
    ref = alignment.reference[alignment.ref_rows[used]]
    fitted = fit(alignment.image_xy[used])
    columns = [alignment.ref_xy[used] - plane.centre, alignment.image_xy[used] - plane.centre,
               fitted, -fit.residuals[used], ref.xy, image.xy, ref.ident, image.ident, image.chip,
               plane.plane_to_sky(fitted), _printable_names(ref.origin)]
    layout = ["%15.6f"] * 12 + ["%8d"] * 3 + ["%20.12f"] * 2 + ["   %s"]
    return "\n".join([*_fit_head(alignment), *_rows(columns, layout), ""])


def _fit_head(alignment):
    """Return the comment lines of a table of a fit."""
    dx, dy = alignment.offset
    xrms, yrms = alignment.rms
    matrix = np.linalg.inv(alignment.fit.matrix).T  # the shiftfile's direction, as in drizzlepac
    sx, sy = np.hypot(*matrix)
    rx, ry = np.rad2deg(np.arctan2([0 - matrix[0, 1], matrix[1, 0]], np.diagonal(matrix)))
    titles = [f"#     Column {number}: {title}" for number, title in enumerate(_FIT_COLUMNS, 1)]
    return [f"# Input image: {printable(alignment.name)}", "# Coordinate mapping parameters: ",
            f"#    X and Y rms: {xrms:.4g}  {yrms:.4g}",
            f"#    X and Y shift: {dx:.4f}  {dy:.4f}",
            f"#    X and Y scale: {sx:.10g}  {sy:.10g}",
            f"#    X and Y rotation: {rx:.10g}  {ry:.10g}",
            f"#    <rotation> and skew: {(rx + ry) / 2:.10g}  {ry - rx:.10g}", "# ",
            "# Input Coordinate Listing", *titles, "#"]


def _printable_names(names):
    """Return an array of names as they can stand in a row."""
    texts = {name: printable(name) for name in set(names.tolist())}
    return np.array([texts[name] for name in names.tolist()], dtype=object)


def _rows(columns, layout):
    """Return lines of columns, of which those of shape (N, 2) count as two."""
    single = []
    for column in columns:
        single += [*column.T] if column.ndim == 2 else [column]
    values = zip(*(part.tolist() for part in single), strict=True)
    return ["  ".join(layout) % row for row in values]


def geomap_text(records: Iterable[tuple[str, LinearFit]], shape: tuple[int, int],
                outwcs: str) -> str:
    """Return the text of a geomap database: for each image the map from reference to image.

    Parameters
    ----------
    records : iterable of (str, LinearFit)
        Name of the record, and the fit from image to reference, in pixels of a plane.
    shape : (int, int)
        Rows and columns of the plane: the range in which IRAF uses the map.
    outwcs : str
        Name of the file with the WCS of the plane.

    Notes
    -----
    For the format see IRAF's help pages of geomap and geotran. ``geoxytran`` takes positions of the
    reference to the image, and with ``direction=backward`` those of the image to the reference;
    ``geotran`` puts an image that was drizzled on the plane with its old WCS where the new one has
    it.
    """
    lines = [f"# Reference and input are pixels of {printable(outwcs)}: there the reference is "
             "right,",
             "# and an input image is where its WCS had it before the fit."]
    for name, fit in records:
        lines += _geomap_record(name, fit, shape)
    return "\n".join([*lines, ""])


def _geomap_record(name, fit, shape):
    """Return the lines of a record."""
    matrix = np.linalg.inv(fit.matrix)
    constant = fit.centre - matrix @ (fit.centre + fit.shift)
    centre = matrix @ fit.centre + constant
    (xx, xy), (yx, yy) = matrix
    rotation = np.rad2deg(np.arctan2([-yx, xy], [xx, yy])) % 360
    surface = [(code, code) for code in (_POLYNOMIAL, _LINEAR, _LINEAR, _NO_CROSS_TERMS)]
    surface += [(limit, limit) for limit in (1, shape[1], 1, shape[0])]
    surface += [constant, *matrix.T]
    lines = [f"begin\t{printable(name)}", *_geomap_pair("refmean", fit.centre),
             *_geomap_pair("mean", centre)]
    lines += [f"\tgeometry\t{_GEOMETRIES.get(fit.geometry, fit.geometry)}",
              "\tfunction\tpolynomial"]
    lines += _geomap_pair("shift", constant)
    lines += _geomap_pair("mag", np.hypot(*matrix))
    lines += _geomap_pair("rotation", rotation)
    lines += _geomap_pair("rms", fit.rms)
    coefficients = [f"\t\t{float(x)!r}\t{float(y)!r}" for x, y in surface]
    return [*lines, f"\tsurface1\t{len(surface)}", *coefficients, "\tsurface2\t0"]


def _geomap_pair(key, values):
    """Return the lines of a value in x and in y."""
    return [f"\t{axis}{key}\t{value:.12g}" for axis, value in zip("xy", values, strict=True)]
