"""From files to exposures: find the sources of every chip and put them where the PSF has them."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from imagereg.alignment.sequence import Exposure, Metadata
from imagereg.catalogs.sources import Flag, SourceCatalog
from imagereg.catalogs.user import limited
from imagereg.detection.daofind import Kernel, find_sources, sky_sigma
from imagereg.detection.epsf import EffectivePSF, Stamps, refine_positions
from imagereg.detection.sextractor import find_sources_sextractor
from imagereg.errors import InputError, ParameterError
from imagereg.files import fits as files
from imagereg.files import inputs
from imagereg.parameters.spec import Spec

_KERNEL = ("conv_width", "nsigma", "ratio", "theta")
_LIMITS = ("peakmin", "peakmax", "fluxmin", "fluxmax")
_SHAPES = ("sharplo", "sharphi", "roundlo", "roundhi")
_CANDIDATES, _LEAST = 4, 20_000  # times nsources, and at least: as many are compared with the PSF, cosmic rays too

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Which sources of an image to keep.

    Parameters
    ----------
    fluxmin, fluxmax : float or None
        Limits of the flux, both included, in `fluxunits`.
    fluxunits : str
        'counts', 'cps' or 'mag'.
    nbright : int or None
        Number of brightest sources of each chip; what is no star comes last.
    """

    fluxmin: float | None = None
    fluxmax: float | None = None
    fluxunits: str = "counts"
    nbright: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class _Frame:
    """What the finder made of an exposure; stamps are those of its sources, or None where the PSF is not to be used."""

    name: str
    path: str
    metadata: Metadata = Metadata()
    chips: tuple = ()
    sources: SourceCatalog = dataclasses.field(default_factory=SourceCatalog.empty)
    stamps: Stamps | None = None
    problem: str = ""


def measure_exposures(images, parameters, *, limits=None, exclusions=None, catalogs=None):
    """Find and measure the sources of exposures, several at a time.

    Parameters
    ----------
    images : sequence of inputs.InputFile
        FITS files, perhaps with inverse-variance maps.
    parameters : params.ParameterSet
        Of imagefindpars or refimagefindpars.
    limits : Limits, optional
        Which sources to keep.
    exclusions : exclude.Exclusions, optional
        Where not to look for sources.
    catalogs : userlists.UserCatalogs, optional
        Sources that the user gives, in place of the finder's.

    Returns
    -------
    list of align.Exposure
        In order; a file of STIS gives one for each of its exposures, all others give one. One that can't be read has
        a `problem` and no sources.

    Raises
    ------
    ParameterError
        The parameters contradict each other.
    """
    if not parameters.computesig and not parameters.skysigma:
        raise ParameterError(f"{parameters.task}: computesig = no needs skysigma > 0")
    # Each thread has its own work: threads of BLAS below them would only wait for each other.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda image: _find(image, parameters, exclusions, catalogs), images)
        frames = [frame for part in found for frame in part]
        stamps = {}
        for frame in frames:
            if frame.stamps is not None:
                stamps.setdefault(frame.metadata.optics, []).append(frame.stamps)
        width = _defined(parameters, "conv_width")
        measured = pool.map(lambda parts: EffectivePSF.measure(Stamps.concat(parts), width), stamps.values())
        psf = dict(zip(stamps, measured, strict=True))
        frames = list(pool.map(lambda frame: _refined(frame, psf), frames))
        number = parameters.nsources if catalogs is None else None
        return list(pool.map(lambda frame: _exposure(frame, limits or Limits(), number), frames))


def _defined(parameters, name):
    """Value of a parameter, or its default where it is undefined."""
    value = parameters[name]
    return Spec.load(parameters.task)[name].default if value is None else value


def _settings(parameters):
    """Return what the parameters say to `find.find_sources`."""
    settings = {key: _defined(parameters, key) for key in (*_KERNEL, "threshold")}
    settings.update({key: parameters[key] for key in _LIMITS})
    settings.update({key: parameters[key] if parameters.use_sharp_round else None for key in _SHAPES})
    return settings | {"skysigma": None if parameters.computesig else parameters.skysigma}


def _find(image, parameters, exclusions, catalogs):
    """Find the sources of one file; returns a frame for each exposure in it. An InputError becomes its problem."""
    name = os.path.basename(image.path)
    try:
        metadata, groups = files.read_metadata(image.path), inputs.imsets(image.path)
        quality = inputs.quality_file(image.path)
        parts = {}
        for number, pixels in enumerate(files.read_exposure(image.path, dqbits=parameters.dqbits, quality=quality)):
            chip = pixels.chip
            mask = None if exclusions is None else exclusions.mask(name, number, pixels)
            outside = functools.partial(_outside, mask=mask, where=f"{name}[SCI,{chip.extver}]")
            if catalogs is not None:
                sources, stamps = outside(catalogs.read(name, number, chip.extver, metadata.exptime)), None
            else:
                sources, stamps = _find_chip(pixels, parameters, _relative_noise(image, chip), outside)
            parts[chip.extver] = chip, sources, stamps
    except InputError as error:
        log.error("%s", error)
        return [_Frame(name, image.path, problem=str(error))]
    frame = _Frame(name, image.path, metadata)
    if len(groups) == 1:
        return [_with_chips(frame, [parts[extver] for extver in groups[0]])]
    return [_with_chips(dataclasses.replace(frame, name=f"{name}[sci,{group[0]}]"), [parts[extver] for extver in group])
            for group in groups]


def _with_chips(frame, parts):
    """Put the chips of one exposure together."""
    chips, sources, stamps = zip(*parts, strict=True)
    stamps = [part for part in stamps if part is not None]
    return dataclasses.replace(frame, chips=chips, sources=SourceCatalog.concat(sources),
                               stamps=Stamps.concat(stamps) if stamps else None)


def _relative_noise(image, chip):
    """Noise of the pixels of a chip relative to the typical one, from the inverse-variance map; None without."""
    if image.ivm is None:
        return None
    variance = inputs.read_ivm(image.ivm, chip.extver, chip.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.where(variance > 0, variance, np.nan) ** -0.5
    return noise / np.nanmedian(noise) if np.isfinite(noise).any() else np.full(chip.shape, np.nan)


def _find_chip(pixels, parameters, relative_noise, outside):
    """Find the sources of one chip; returns them and their stamps, None where their positions are to stay.

    Of those that `outside` leaves, the PSF is compared with some times as many as are asked for: that bounds time and
    memory, and there are stars among them even where cosmic rays are far more.
    """
    settings, bad = _settings(parameters), pixels.bad
    if relative_noise is not None:
        bad = ~np.isfinite(relative_noise) | (False if bad is None else bad)
        relative_noise = np.where(bad, 1.0, relative_noise)
    sky = level, noise = sky_sigma(pixels.data, bad, relative_noise)
    more = {"gain": pixels.gain, "chip": pixels.chip.extver, "relative_noise": relative_noise, "sky": sky}
    if parameters.findmode == "sextractor":
        for key in _SHAPES:
            settings.pop(key)
        sources = find_sources_sextractor(pixels.data, bad=bad, config=parameters.sexconfig or None, **more, **settings)
    else:
        sources = find_sources(pixels.data, bad=bad, **more, **settings)
    sources = outside(sources)
    if parameters.centroid == "marginal" or not len(sources):
        return sources, None
    if parameters.nsources is not None:
        sources = sources.best(max(_CANDIDATES * parameters.nsources, _LEAST), pixels.chip.shape)
    half = max(Kernel(*(settings[key] for key in _KERNEL)).half)
    stamps = Stamps.cut(pixels.data, sources.xy, half=half, level=level, noise=noise, gain=pixels.gain, bad=bad)
    if relative_noise is not None:
        x, y = (stamps.centre - 1).T
        stamps = dataclasses.replace(stamps, noise=noise * relative_noise[y, x])
    return sources, stamps


def _outside(sources, mask, where):
    """Leave out the sources whose central pixel is excluded; says how many that were and how many there are."""
    if mask is not None:
        ny, nx = mask.shape
        x, y = (np.rint(sources.xy).astype(int) - 1).T
        good = ~mask[np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)]
        log.info("%s: %d pixels and %d sources are excluded", where, mask.sum(), (~good).sum())
        sources = sources[good]
    log.info("%s: %d sources", where, len(sources))
    return sources


def _refined(frame, psf):
    if frame.stamps is None:
        return frame
    return dataclasses.replace(frame, sources=refine_positions(frame.sources, frame.stamps, psf[frame.metadata.optics]))


def _exposure(frame, limits, nsources):
    """Make an exposure of a frame, with the sources that the limits leave, `nsources` a chip at most."""
    if frame.problem:
        return Exposure(frame.name, frame.path, frame.metadata, (), frame.sources, problem=frame.problem)
    sources = frame.sources
    if limits != Limits():
        sources = limited(sources, fluxmin=limits.fluxmin, fluxmax=limits.fluxmax, fluxunits=limits.fluxunits,
                          exptime=frame.metadata.exptime)
    if limits.nbright is not None or nsources is not None:
        sources = SourceCatalog.concat(
            _brightest(_best(sources[sources.chip == chip.extver], nsources, frame.name, chip), limits.nbright)
            for chip in frame.chips)
    return Exposure.measured(frame.name, frame.chips, sources, path=frame.path, metadata=frame.metadata)


def _best(sources, number, name, chip):
    """Return the best sources of a chip, spread over it; says how many that are, and how faint."""
    kept = sources.best(number, chip.shape)
    if len(kept) < len(sources):
        with np.errstate(divide="ignore", invalid="ignore"):
            faintest = np.nanmin(kept.flux / kept.flux_error)
        log.info("%s: the best %d sources of chip %d are kept (nsources=%d), the faintest at %.1f sigma", name,
                 len(kept), chip.extver, number, faintest)
    return kept


def _brightest(sources, number):
    """Return the brightest sources; those that are not to be relied on come after all others."""
    order = np.lexsort((-sources.flux, (sources.flags & Flag.UNRELIABLE) > 0))
    return sources[np.sort(order[:number])]
