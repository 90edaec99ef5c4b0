"""The database that IRAF's geomap writes, and that geotran and geoxytran read."""

from __future__ import annotations

import numpy as np

_GEOMETRIES = {"rshift": "rotate"}  # what IRAF calls otherwise
_POLYNOMIAL, _LINEAR, _NO_CROSS_TERMS = 3, 2, 0


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
