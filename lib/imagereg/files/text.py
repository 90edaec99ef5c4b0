"""Text that other people's scripts read and write: catalogs, match tables, shiftfiles. No disk here."""

from __future__ import annotations

import dataclasses

import numpy as np

from imagereg.errors import InputError

_GEOMETRIES = {"rshift": "rotate"}  # what IRAF calls otherwise
_POLYNOMIAL, _LINEAR, _NO_CROSS_TERMS = 3, 2, 0


@dataclasses.dataclass(frozen=True)
class Shift:
    """One row of a shiftfile: what leads from the reference to an image, in pixels and degrees."""

    name: str
    dx: float
    dy: float
    rot: float = 0.0
    scale: float = 1.0
    xrms: float = np.nan
    yrms: float = np.nan


def shiftfile_text(shifts, outwcs, comments=()):
    """Text of a shiftfile.

    Parameters
    ----------
    shifts : iterable of Shift
        Rows; what is NaN is written as ``nan``.
    outwcs : str
        Name of the file with the reference WCS.
    comments : iterable of str
        Lines that other programs skip.
    """
    rows = [f"{s.name}    {s.dx:.6f}  {s.dy:.6f}    {s.rot:.8f}     {s.scale:.10f}   {s.xrms:.6f}  {s.yrms:.6f}"
            for s in shifts]
    return "\n".join(["# frame: output", f"# refimage: {outwcs}[wcs]", "# form: delta", "# units: pixels",
                      *(f"# {comment}" for comment in comments), *rows, ""])


def parse_shiftfile(text, where):
    """Rows of a shiftfile.

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
    shifts, outwcs = [], ""
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            if key.strip() in ("refimage", "reference"):
                outwcs = value.strip().removesuffix("[wcs]")
            continue
        words = line.split()
        if not words:
            continue
        try:
            if len(words) not in (5, 7):
                raise ValueError
            shifts.append(Shift(words[0], *map(float, words[1:])))
        except ValueError:
            raise InputError(f"{where}, line {number}: {line.strip()!r}, expected name dx dy rot scale [xrms yrms]") \
                from None
    return shifts, outwcs


def chip_catalog_text(sources, name, shapes=False):
    """Text of ``<root>_sci<n>_xy_catalog.coo``: x, y, flux, number, and with `shapes` sharpness and roundness."""
    titles = "X      Y         Flux       ID" + ("      Sharp       Round1       Round2" if shapes else "")
    columns = [sources.xy, sources.flux, sources.ident] + [sources.sharp, sources.round1, sources.round2] * shapes
    layout = ["%.4f", "%.4f", "%.6g", "%d"] + ["%.4f"] * 3 * shapes
    return "\n".join([f"# Source catalog derived for {name}", "# Columns: ", f"#    {titles}",
                      "#   (pixels)   (pixels)", *_rows(columns, layout), ""])


def sky_catalog_text(sources, name):
    """Text of ``<root>_sky_catalog.coo``: right ascension and declination, degrees."""
    return "\n".join([f"#Sky positions for: {name}", "#RA        Dec", "#(deg)     (deg)",
                      *_rows([sources.sky], ["%.12f"] * 2), ""])


_MATCH_TITLE = ("#Ref_X        Ref_Y        Input_X    Input_Y        Ref_X0    Ref_Y0        Input_X0    Input_Y0"
                "        Ref_ID    Input_ID        Ref_Source")


def match_text(alignment):
    """Text of ``<root>_xy_catalog.match``: the matched pairs, on the plane and where they were found.

    Parameters
    ----------
    alignment : align.Alignment
        With matches.
    """
    image, ref = alignment.exposure.sources[alignment.rows], alignment.reference[alignment.ref_rows]
    columns = [alignment.ref_xy, alignment.image_xy, ref.xy, image.xy, ref.ident, image.ident, ref.origin]
    head = [f"#Reference: {ref.origin[0] if len(ref) else ''}", f"#Input: {alignment.name}", _MATCH_TITLE]
    return "\n".join([*head, *_rows(columns, ["%.6f"] * 8 + ["%d"] * 2 + ["%s"]), ""])


_FIT_COLUMNS = ("X (reference)", "Y (reference)", "X (input)", "Y (input)", "X (fit)", "Y (fit)", "X (residual)",
                "Y (residual)", "Original X (reference)", "Original Y (reference)", "Original X (input)",
                "Original Y (input)", "Ref ID", "Input ID", "Input EXTVER ID ", "RA (fit)", "Dec (fit)",
                "Ref source provenience")


def fit_text(alignment):
    """Text of ``<root>_catalog_fit.match``: the pairs that the fit is based on, with their residuals.

    As drizzlepac has them, the first four columns are relative to the reference pixel of the plane, and residuals are
    fit minus reference. Parameters are those of `match_text`.
    """
    fit, plane, used = alignment.fit, alignment.plane, alignment.fit.used
    image, ref = alignment.exposure.sources[alignment.rows[used]], alignment.reference[alignment.ref_rows[used]]
    fitted = fit(alignment.image_xy[used])
    columns = [alignment.ref_xy[used] - plane.centre, alignment.image_xy[used] - plane.centre, fitted,
               -fit.residuals[used], ref.xy, image.xy, ref.ident, image.ident, image.chip,
               plane.plane_to_sky(fitted), ref.origin]
    (dx, dy), (xrms, yrms) = alignment.offset, alignment.rms
    matrix = np.linalg.inv(fit.matrix).T  # of the shiftfile's direction, as drizzlepac has it
    (sx, sy), sines = np.hypot(*matrix), [0 - matrix[0, 1], matrix[1, 0]]
    rx, ry = np.rad2deg(np.arctan2(sines, np.diagonal(matrix)))
    head = [f"# Input image: {alignment.name}", "# Coordinate mapping parameters: ",
            f"#    X and Y rms: {xrms:.4g}  {yrms:.4g}", f"#    X and Y shift: {dx:.4f}  {dy:.4f}",
            f"#    X and Y scale: {sx:.10g}  {sy:.10g}", f"#    X and Y rotation: {rx:.10g}  {ry:.10g}",
            f"#    <rotation> and skew: {(rx + ry) / 2:.10g}  {ry - rx:.10g}", "# ",
            "# Input Coordinate Listing",
            *(f"#     Column {number}: {title}" for number, title in enumerate(_FIT_COLUMNS, 1)), "#"]
    layout = ["%15.6f"] * 12 + ["%8d"] * 3 + ["%20.12f"] * 2 + ["   %s"]
    return "\n".join([*head, *_rows(columns, layout), ""])


def _rows(columns, layout):
    """Lines of columns, of which those of shape (N, 2) count as two."""
    single = [part for column in columns for part in (column.T if column.ndim == 2 else [column])]
    return ["  ".join(layout) % row for row in zip(*(part.tolist() for part in single), strict=True)]


def geomap_text(records, shape, outwcs):
    """Text of a geomap database: for each image a record that maps reference to image, as IRAF's geomap makes it.

    Parameters
    ----------
    records : iterable of (str, fit.LinearFit)
        Name of the record, and the fit from image to reference, in pixels of a plane.
    shape : (int, int)
        Rows and columns of the plane: the range in which IRAF uses the map.
    outwcs : str
        Name of the file with the WCS of the plane.

    Notes
    -----
    For the format see IRAF's help pages of geomap and geotran. ``geoxytran`` takes positions of the reference to the
    image, and with ``direction=backward`` those of the image to the reference; ``geotran`` puts an image that was
    drizzled on the plane with its old WCS where the new one has it.
    """
    head = [f"# Reference and input are pixels of {outwcs}: there the reference is right,",
            "# and an input image is where its WCS had it before the fit."]
    return "\n".join([*head, *(line for name, fit in records for line in _record(name, fit, shape)), ""])


def _record(name, fit, shape):
    """Return the lines of a record."""
    matrix = np.linalg.inv(fit.matrix)
    constant = fit.centre - matrix @ (fit.centre + fit.shift)
    centre = matrix @ fit.centre + constant
    (xx, xy), (yx, yy) = matrix
    turns = np.rad2deg(np.arctan2([-yx, xy], [xx, yy])) % 360
    numbers = {"shift": constant, "mag": np.hypot(*matrix), "rotation": turns, "rms": fit.rms}
    surface = [[kind, kind] for kind in (_POLYNOMIAL, _LINEAR, _LINEAR, _NO_CROSS_TERMS)]
    surface += [[limit, limit] for limit in (1, shape[1], 1, shape[0])] + [constant, *matrix.T]
    return [f"begin\t{name}",
            *(f"\t{axis}refmean\t{value:.12g}" for axis, value in zip("xy", fit.centre, strict=True)),
            *(f"\t{axis}mean\t{value:.12g}" for axis, value in zip("xy", centre, strict=True)),
            f"\tgeometry\t{_GEOMETRIES.get(fit.geometry, fit.geometry)}", "\tfunction\tpolynomial",
            *(f"\t{axis}{key}\t{value:.12g}" for key, pair in numbers.items()
              for axis, value in zip("xy", pair, strict=True)),
            f"\tsurface1\t{len(surface)}", *(f"\t\t{float(x)!r}\t{float(y)!r}" for x, y in surface), "\tsurface2\t0"]
