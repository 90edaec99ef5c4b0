"""Diagrams for the page of a run, besides the plots that a run writes as files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imagereg.alignment import Alignment, Chip
from imagereg.report import plots, residuals
from imagereg.wcs import TangentPlane, border, pixel_to_sky

_LETTERS = 9.0  # points; on a page that is 8 inches wide


def before_after_png(alignment: Alignment) -> bytes:
    """Plot the residuals in y against those in x, before the run and after it, as a PNG image.

    Raises
    ------
    ValueError
        There is no fit.
    """
    fit, _ = plots._fit_of(alignment)
    scale = 1000 * alignment.plane.pixel_scale
    before = (alignment.ref_xy - alignment.image_xy) * scale
    after = (fit.residuals if alignment.changes else alignment.ref_xy - alignment.image_xy) * scale
    letters, em, (left, bottom) = plots._room(_LETTERS)
    side = 3.0
    page = plots._Page(alignment, letters, (2 * (left + side) + 2 * em, bottom + side + 2 * em),
                       ["reference minus image of all matches, crosses are rejected"])
    for place, (title, offsets) in enumerate([("before", before), ("after", after)]):
        panel = page.panel((left + place * (left + side), bottom, side, side),
                           xlabel="X (mas)", ylabel="Y (mas)")
        rms = np.sqrt((offsets[fit.used] ** 2).mean(axis=0))
        panel.set_title(f"{title}: rms {rms[0]:.3g}, {rms[1]:.3g} mas", fontsize=letters)
        panel.plot(*offsets[fit.used].T, ".", color=residuals.USED, alpha=0.7)
        panel.plot(*offsets[~fit.used].T, "x", color=residuals.REJECTED, markersize=4)
        panel.axhline(0, color="0.5", linewidth=0.8)
        panel.axvline(0, color="0.5", linewidth=0.8)
        low, high = plots._box([offsets[fit.used], np.zeros((1, 2))], margin=0.15)
        half = (high - low).max() / 2
        middle = (low + high) / 2
        panel.set(xlim=middle[0] + [-half, half], ylim=middle[1] + [-half, half])
    return page.png()


def brightness_png(alignment: Alignment) -> bytes:
    """Plot the residuals against magnitude and S/N, with running medians, as a PNG image.

    Raises
    ------
    ValueError
        There is no fit, or no matched source has a flux.
    """
    fit, _ = plots._fit_of(alignment)
    flux = alignment.exposure.sources.flux[alignment.rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = -2.5 * np.log10(flux)
        log_snr = np.log10(residuals.signal_to_noise(alignment))
    kinds = [(name, values) for name, values in
             [("instrumental magnitude", magnitude), ("log10 of S/N", log_snr)]
             if np.isfinite(values[fit.used]).any()]
    if not kinds:
        raise ValueError(f"{alignment.name} has no fluxes")
    scale = 1000 * alignment.plane.pixel_scale
    limit = residuals.residual_range(fit.residuals[fit.used]) * scale
    letters, em, (left, bottom) = plots._room(_LETTERS)
    wide, tall = 3.0, 1.9
    bottom += 2 * em
    size = len(kinds) * (left + wide) + 2 * em, bottom + 2 * tall + 2 * em
    page = plots._Page(alignment, letters, size, ["residual = reference minus fitted image"])
    unknown = np.full(len(flux), np.nan)
    for column, (name, values) in enumerate(kinds):
        known = np.isfinite(values)
        for row in (0, 1):
            x, y = left + column * (left + wide), bottom + (1 - row) * (tall + em)
            panel = page.panel((x, y, wide, tall), xlabel=name if row == 1 else "",
                               ylabel=f"{'XY'[row]} (mas)")
            handles = residuals.draw_residuals(panel, values[known],
                                            fit.residuals[known, row] * scale,
                                            used=fit.used[known], limit=limit, snr=unknown[known])
            panel.set_ylim(-limit, limit)
            panel.tick_params(labelbottom=row == 1)
    page.legend(handles)
    return page.png()


def footprints(alignments: Sequence[Alignment], plane: TangentPlane) -> list[dict]:
    """Return the outlines of all exposures for a map of the sky, north up and east to the left.

    Returns
    -------
    list of dict
        `name`, `status`, and `polygons`: for each chip the corners (N, 2), arcsec west and south
        of the plane's centre, as a map in SVG counts them.
    """
    found = []
    for alignment in alignments:
        chips = alignment.exposure.chips
        if alignment.changes:
            chips = alignment.corrected_chips()
        found.append({"name": alignment.name, "status": alignment.status.value,
                      "polygons": polygons(chips, plane)})
    return found


def polygons(chips: Sequence[Chip], plane: TangentPlane) -> list[np.ndarray]:
    """Return the outline of each chip as `footprints` does."""
    centre = plane.plane_to_sky(plane.centre[None])[0]
    outlines = []
    for chip in chips:
        sky = pixel_to_sky(chip.wcs, border(chip.shape, steps=4))
        east = (sky[:, 0] - centre[0] + 180) % 360 - 180
        east *= np.cos(np.deg2rad(centre[1]))
        outlines.append(-3600 * np.column_stack([east, sky[:, 1] - centre[1]]))
    return outlines
