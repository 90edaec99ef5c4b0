"""Carry the alignment of a mosaic back to the images that it was made of."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.io import fits as pyfits
from astropy.wcs import WCS

from imagereg.alignment import Metadata
from imagereg.errors import InputError
from imagereg.files import Solutions, expand_input, inputs, solution
from imagereg.files.images import fits
from imagereg.tasks.solutions.apply import AppliedSolution, beside, update_files
from imagereg.tasks.writing import footprint
from imagereg.wcs import Solution, TangentPlane, alternates, keywords, pixel_to_sky
from imagereg.wcs import plane as planes

# How far the sky of the mosaic may have moved otherwise than a linear map on the plane says,
# pixels: what tweakreg fits is linear, and another map than that is no alignment.
_LARGEST_MISFIT = 0.01


def tweakback(drzfile: str, given: Sequence[str] | str, *, origwcs: str, wcsname: str,
              newname: str, extname: str, force: bool,
              dry_run: bool = False) -> list[AppliedSolution]:
    """Give the images of a mosaic the correction that its own WCS has got.

    The mosaic's header holds the WCS that it was made with and the one that it was aligned to. What
    leads from one to the other on the sky moves the images, whose WCSs must be those that the
    mosaic was made with.

    Parameters
    ----------
    drzfile : str
        The mosaic; of an exposure with several chips the first one counts.
    given : str or list of str
        The images; where empty, those that the keywords D001DATA, ... of the mosaic name, beside it
        or in the working directory.
    origwcs : str
        WCSNAME, or letter, of the WCS that it was made with; where empty, the one archived last.
    wcsname : str
        The same of the WCS that it was aligned to; where empty, its primary one.
    newname : str
        Name of the new WCS of the images; where empty, that of the mosaic's.
    extname : str
        Name of the extensions of the images that are updated: SCI, or PRIMARY for simple images.
    force : bool
        Replace a WCS that has this name already.
    dry_run : bool
        Write nothing, and tell what would differ.

    Returns
    -------
    list of AppliedSolution
        One for each image.

    Raises
    ------
    InputError
        The mosaic lacks one of the WCSs, an image can't be read or updated, or is none of the
        mosaic's; nothing has been written then.
    """
    path = inputs.without_extension(os.path.expanduser(drzfile))
    with fits.opened(path) as hdus:
        chips = fits.read_chips(hdus, path)[:1]
        header = _science_header(hdus, path)
        key = _letter(header, path, wcsname or alternates.primary_name(header))
        old_key = _letter(header, path, origwcs or _last_archived(header, path))
        new, old = (fits.read_chips(hdus, path, letter)[0].wcs for letter in (key, old_key))
        facts = _facts_of_fit(header, key)
        names = _members(hdus[0].header)
    if planes.same_sky(old, new, chips[0].shape):
        raise InputError(f"{path}: the WCS it was made with and the one it was aligned to give the "
                         "same sky: name them by origwcs and wcsname")
    if not given and not names:
        raise InputError(f"{path} names no images in keywords D001DATA and so on: give them")
    found = given or [beside(path, name, f"named in {path}") for name in names]
    targets = dict.fromkeys((file.path for file in expand_input(found)), os.path.basename(path))
    footprint.check_apart([(path, "the mosaic")],
                          [(name, "the updated image") for name in targets])
    _check_extensions(targets, extname)
    plane = TangentPlane.around([(old, chips[0].shape)])
    misfit, moved = _linear_map(old, new, chips[0].shape, plane)
    if not misfit < _LARGEST_MISFIT:
        raise InputError(f"{path}: its WCSs differ by more than shift, rotation and scale, by up "
                         f"to {misfit:.3g} pixel")
    moved = dataclasses.replace(moved, reference=os.path.basename(path), **facts)
    record = solution.ExposureRecord.of(os.path.basename(path), Metadata(), chips, plane)
    row = solution.SolvedExposure(**dataclasses.asdict(record), **dataclasses.asdict(moved))
    name = newname or alternates.wcs_names(header).get(key) or alternates.primary_name(header)
    return update_files(Solutions(path, plane, (row,)), targets, wcsname=name, reusename=force,
                        dry_run=dry_run)


def _science_header(hdus, path):
    return hdus[next(iter(fits.science(hdus, path)))].header


def _last_archived(header, path):
    try:
        return alternates.last_archived(header)
    except InputError as error:
        raise InputError(f"{path} {error}: expected the one that it was made with") from error


def _letter(header: pyfits.Header, path: str, name: str) -> str:
    """Return the letter of the WCS of the mosaic that has a name, or is of that letter."""
    letter = alternates.find_letter(header, name.strip())
    if not letter:
        known = alternates.wcs_names(header) | {" ": alternates.primary_name(header)}
        raise InputError(f"{path} has no WCS {name!r}, expected one of {', '.join(known.values())}")
    return letter


def _facts_of_fit(header: pyfits.Header, letter: str) -> dict[str, Any]:
    """Return what the header says of the fit behind a WCS, as fields of `Solution`."""
    key = letter.strip()
    nmatches = keywords.number(header, f"NMATCH{key}")
    rms = [keywords.fit_rms(header, axis, key) * 3600 for axis in (1, 2)]
    ra_rms, dec_rms = map(float, np.nan_to_num(rms))
    return {"nmatches": int(np.nan_to_num(nmatches)), "ra_rms": ra_rms, "dec_rms": dec_rms}


def _members(primary: pyfits.Header) -> list[str]:
    """Return the names of the files that AstroDrizzle made a mosaic of, each once."""
    values = [str(value) for value in primary["D???DATA"].values()]
    return list(dict.fromkeys(value.partition("[")[0].strip() for value in values))


def _check_extensions(paths, extname):
    """Raise InputError where the image of a file is not in extensions of the name asked for."""
    for path in paths if extname.upper() == "PRIMARY" else ():
        with fits.opened(path) as hdus:
            if list(fits.science(hdus, path).values()) != [0]:
                raise InputError(f"{path} has its image in {_science_header(hdus, path)['EXTNAME']}"
                                 ", expected extname = PRIMARY")


def _linear_map(old: WCS, new: WCS, shape: tuple[int, int],
                plane: TangentPlane) -> tuple[float, Solution]:
    """Return the map on the plane from the sky of one WCS to that of another, and its misfit."""
    grid = planes.pixel_grid(shape)
    before = plane.sky_to_plane(pixel_to_sky(old, grid)) - plane.centre
    after = plane.sky_to_plane(pixel_to_sky(new, grid)) - plane.centre
    terms = np.column_stack([np.ones(len(grid)), before])
    coefficients, *_ = np.linalg.lstsq(terms, after, rcond=None)
    misfit = float(np.abs(terms @ coefficients - after).max())
    return misfit, Solution.mapping(coefficients[1:].T, coefficients[0], plane.centre,
                                    geometry="general")
