"""Put the alignments of a run together again, from the files that it has left."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Sequence

import numpy as np

from imagereg.alignment import Alignment, Chip, Exposure, LinearFit, Metadata
from imagereg.catalogs import SourceCatalog
from imagereg.errors import ImageregError
from imagereg.files import Solutions, read_image, read_text, root_name, solution
from imagereg.tasks.writing import footprint
from imagereg.wcs import Status, TangentPlane, corrected_wcs, correction

# Pixels of the plane. A header that is this near to its solution has it: with shifts of single
# chips, which the solution file does not tell, it differs by less.
_NEAR = 1.0

log = logging.getLogger(__name__)


def past_alignments(solutions: Solutions, n_sources: Sequence[int],
                    folder: str) -> list[Alignment]:
    """Return the alignments of a run, with all of what they held that can still be found.

    Chips come from the images, as they are now or as they were; sources and matches from the lists
    that ``writecat=yes`` writes, where these are of this run. What is not there is left out.

    Parameters
    ----------
    solutions : Solutions
        Of the run.
    n_sources : sequence of int
        Number of sources that were found in each exposure.
    folder : str
        Where images and lists are.
    """
    return [_alignment(row, int(n), solutions.plane, folder)
            for row, n in zip(solutions.rows, n_sources, strict=True)]


def _alignment(row, n_sources, plane, folder):
    path = os.path.join(folder, row.filename)
    before, after = _chips(row, path, plane)
    sources = _sources(row, n_sources, [chip.extver for chip in before], folder)
    exposure = Exposure(row.file, path, Metadata(), before, sources)
    pairs = _pairs(row, sources, plane, folder) if len(sources) and row.nmatches else {}
    return Alignment(exposure, Status(row.status), row.reason, plane, solved_chips=after, **pairs)


def _chips(row: solution.SolvedExposure, path: str,
           plane: TangentPlane) -> tuple[tuple[Chip, ...], tuple[Chip, ...]]:
    """Return the chips as they were before the run, and with the solution; none if unknown."""
    try:
        with read_image(path) as image:
            chips = image.chips
    except ImageregError as error:
        log.info("%s: no pixels on the page: %s", path, error)
        return (), ()
    chips = tuple(chip for chip in chips if row.extver in (None, chip.extver))
    if row.status != Status.ALIGNED.value:
        return chips, chips
    corners = solution.ExposureRecord.of(row.file, Metadata(), chips, plane).corners
    if np.abs(corners - row.corners).max() < correction.SAME_POSITION:
        return chips, _moved(chips, plane, row)
    if np.abs(corners - row(row.corners)).max() < _NEAR:
        return _moved(chips, plane, row.inverse), chips
    log.warning("%s: no pixels on the page: its WCS is neither that before the run nor the "
                "solution", path)
    return (), ()


def _moved(chips, plane, transform: Callable[[np.ndarray], np.ndarray]):
    """Return chips whose WCS follows a transform of the plane."""
    return tuple(Chip(chip.extver, corrected_wcs(chip.wcs, chip.shape, plane, transform,
                                                 allowed=np.inf), chip.shape) for chip in chips)


def _sources(row, n_sources, extvers, folder):
    """Return the sources of the lists of all chips; none where these are of another run."""
    root = root_name(row.file)
    found = []
    for number in itertools.count(1):
        lines = _lines(os.path.join(folder, footprint.chip_catalog(root, number)))
        if lines is None:
            break
        extver = extvers[number - 1] if number <= len(extvers) else number
        found += [(*map(float, words[:3]), int(words[3]), extver) for words in lines]
    if len(found) != n_sources or not found:
        return SourceCatalog.empty()
    x, y, flux, ident, chip = zip(*found, strict=True)
    return SourceCatalog(xy=np.column_stack([x, y]), flux=np.array(flux),
                         ident=np.array(ident), chip=np.array(chip), origin=row.file)


def _pairs(row, sources, plane, folder):
    """Return the fields of an `Alignment` that its lists of matches tell."""
    path = os.path.join(folder, root_name(row.file))
    matched, fitted = (_lines(f"{path}{ending}")
                       for ending in ("_xy_catalog.match", "_catalog_fit.match"))
    place = {int(ident): index for index, ident in enumerate(sources.ident)}
    if not matched or not fitted or len(fitted) != row.nmatches or len(place) < len(sources):
        return {}
    names = {int(words[13]) for words in fitted}
    idents = [int(words[9]) for words in matched]
    if not set(idents) <= set(place):
        return {}
    numbers = np.array([words[:4] for words in matched], float)
    ref_xy, image_xy = numbers[:, :2], numbers[:, 2:]
    fit = LinearFit(row.geometry, *row.linear_at(image_xy.mean(axis=0)), row.centre,
                    covariance=np.full((6, 6), np.nan),
                    residuals=ref_xy - row(image_xy),
                    used=np.array([ident in names for ident in idents]), scatter=np.nan)
    reference = SourceCatalog(xy=ref_xy, sky=plane.plane_to_sky(ref_xy),
                              origin=np.array([" ".join(words[10:]) for words in matched]))
    return {"fit": fit, "rows": np.array([place[ident] for ident in idents]),
            "ref_rows": np.arange(len(idents)), "reference": reference, "image_xy": image_xy,
            "ref_xy": ref_xy}


def _lines(path):
    """Return the words of each line of a list that is no comment; None where there is no list."""
    if not os.path.isfile(path):
        return None
    lines = [line.split() for line in read_text(path).splitlines()]
    return [words for words in lines if words and not words[0].startswith("#")]
