"""Find the sources of files, shared out so that all cores have something to do."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from imagereg.alignment import Chip, Metadata
from imagereg.catalogs import SourceCatalog
from imagereg.detection import (
    Finding,
    Stamps,
    halos,
    leave_out,
    measure_chip,
    noise_from_inverse_variance,
)
from imagereg.errors import InputError
from imagereg.files import InputFile, lists, read_image
from imagereg.files.images import fits, instruments
from imagereg.parameters import ParameterSet, Spec
from imagereg.tasks.parallel import is_worker, shares_of

log = logging.getLogger(__name__)

@dataclasses.dataclass(frozen=True, eq=False)
class Detection:
    """What the finder made of an exposure.

    Parameters
    ----------
    name, path, metadata, chips, problem
        As those of an `Exposure`.
    sources : SourceCatalog
        Of all chips.
    stamps : Stamps or None
        Pixels around the sources; None where positions are not to be improved with the PSF.
    hosts : Hosts or None
        Bright stars whose light explains sources that the PSF does not; None without stamps.
    """

    name: str
    path: str
    metadata: Metadata = Metadata()
    chips: tuple[Chip, ...] = ()
    sources: SourceCatalog = dataclasses.field(default_factory=SourceCatalog.empty)
    stamps: Stamps | None = None
    hosts: halos.Hosts | None = None
    problem: str = ""


class Piece(NamedTuple):
    """A file whose sources are to be found, or some chips of it by their numbers, from 0."""

    image: InputFile
    numbers: Sequence[int] | None = None


def pieces_of(images: Sequence[InputFile], n_cores: int) -> list[Piece]:
    """Return the files, but some chips of the last ones where that keeps all cores at work."""
    pieces = []
    for image, n_shares in zip(images, shares_of(len(images), n_cores), strict=True):
        n_chips = len(image.wcs_names)
        n_shares = min(n_shares, n_chips)
        if n_shares < 2:
            pieces.append(Piece(image))
        else:
            shares = np.array_split(np.arange(n_chips), n_shares)
            pieces += [Piece(image, share.tolist()) for share in shares]
    return pieces


def find(piece: Piece, *, parameters: ParameterSet, exclusions: lists.Exclusions | None,
         catalogs: lists.UserCatalogs | None, needs_wcs: bool) -> list[Detection]:
    """Find the sources of a piece; return a detection of each chip.

    Parameters
    ----------
    piece : Piece
        The file, or some chips of it.
    parameters, exclusions, catalogs, needs_wcs
        See `exposures.measure_exposures`.

    Returns
    -------
    list of Detection
        One with a problem where the file can't be read. A process whose results are sent leaves
        the chips out.
    """
    path = piece.image.path
    finding = finding_of(parameters)

    def sources_of(opened, chip, metadata):
        name = os.path.basename(path)
        number = opened.chips.index(chip)
        pixels = opened.pixels(chip, parameters.dqbits)
        mask = exclusions.mask(name, number, pixels) if exclusions else None
        where = f"{name}[SCI,{chip.extver}]"
        if catalogs is not None:
            given = catalogs.read(name, number, chip.extver, metadata.exptime)
            return leave_out(given, mask, where), None, None
        return measure_chip(pixels.data, finding, bad=pixels.bad, gain=pixels.gain,
                            relative_noise=_relative_noise(piece.image, chip), excluded=mask,
                            chip=chip.extver, where=where)

    is_sent = is_worker()
    detections = []
    try:
        with read_image(path, flags_path=instruments.quality_file(path), needs_wcs=needs_wcs,
                        reads_wcs=bool(exclusions) or not is_sent) as opened:
            for exposure, metadata, chips, chip in _wanted(opened, piece.numbers):
                found = sources_of(opened, chip, metadata)
                sent = () if is_sent else chips
                detections.append(Detection(exposure, path, metadata, sent, *found))
    except InputError as error:
        return [failed(path, error)]
    return detections


def _wanted(opened, numbers):
    """Yield each chip, or those of some numbers, after what `ImageFile.exposures` says of it."""
    for exposure, metadata, chips in opened.exposures():
        for chip in chips:
            if numbers is None or opened.chips.index(chip) in numbers:
                yield exposure, metadata, chips, chip


def failed(path: str, error: InputError) -> Detection:
    """Return the detection of a file that can't be read."""
    return Detection(os.path.basename(path), path, problem=str(error))


def joined(
    pieces: Sequence[Piece], found: Iterable[list[Detection]]
) -> Iterator[list[Detection]]:
    """Yield the exposures of each file from what was found in the pieces, in order.

    One with a problem is all there is of a file; it is logged.
    """
    both = zip(pieces, found, strict=True)
    for _, group in itertools.groupby(both, key=lambda each: id(each[0].image)):
        chips = [chip for _, detections in group for chip in detections]
        bad = next((chip for chip in chips if chip.problem), None)
        if bad:
            log.error("%s", bad.problem)
            yield [bad]
            continue
        by_name: dict[str, list[Detection]] = {}
        for chip in chips:
            by_name.setdefault(chip.name, []).append(chip)
        yield list(map(_together, by_name.values()))


def _together(chips):
    """Return one detection with what was found on all chips of an exposure."""
    stamps = [chip.stamps for chip in chips if chip.stamps is not None]
    hosts = [chip.hosts for chip in chips if chip.hosts is not None]
    sources = SourceCatalog.concat(chip.sources for chip in chips)
    return dataclasses.replace(chips[0], sources=sources,
                               stamps=Stamps.concat(stamps) if stamps else None,
                               hosts=halos.Hosts.concat(hosts) if hosts else None)


def defined(parameters: ParameterSet, name: str) -> Any:
    """Value of a parameter, or its default where it is undefined."""
    value = parameters[name]
    return Spec.load(parameters.task)[name].default if value is None else value


def finding_of(parameters: ParameterSet) -> Finding:
    """Return how the parameters want sources to be found."""
    same = ("findmode", "sexconfig", "centroid", "nsources",
            "peakmin", "peakmax", "fluxmin", "fluxmax")  # fmt: skip
    values = {name: parameters[name] for name in same}
    for name in ("conv_width", "nsigma", "ratio", "theta", "threshold"):
        values[name] = defined(parameters, name)
    for name in ("sharplo", "sharphi", "roundlo", "roundhi"):
        values[name] = parameters[name] if parameters.use_sharp_round else None
    skysigma = None if parameters.computesig else parameters.skysigma
    return Finding(skysigma=skysigma, **values)


def _relative_noise(image, chip):
    """Return the relative noise of pixels from the inverse-variance map of an image, if any."""
    if image.ivm is None:
        return None
    return noise_from_inverse_variance(fits.read_ivm(image.ivm, chip.extver, chip.shape))
