"""From files to exposures: find the sources of every chip and put them where the PSF has them."""

from __future__ import annotations

import dataclasses
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from imagereg import files
from imagereg.align import Exposure
from imagereg.catalog import Flag, SourceCatalog
from imagereg.errors import InputError, ParameterError
from imagereg.find import Kernel, find_sources, sky_sigma
from imagereg.params import Spec
from imagereg.psf import EffectivePSF, Stamps, refine_positions

_KERNEL = ("conv_width", "nsigma", "ratio", "theta")
_LIMITS = ("peakmin", "peakmax", "fluxmin", "fluxmax")
_SHAPES = ("sharplo", "sharphi", "roundlo", "roundhi")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class _Frame:
    """What the finder made of an exposure."""

    name: str
    chips: tuple = ()
    sources: SourceCatalog = dataclasses.field(default_factory=SourceCatalog.empty)
    stamps: Stamps | None = None
    facts: files.Facts | None = None
    problem: str = ""


def measure_exposures(paths, parameters, *, fluxmin=None, fluxmax=None, nbright=None):
    """Find and measure the sources of exposures, several at a time.

    Parameters
    ----------
    paths : sequence of str
        FITS files.
    parameters : params.ParameterSet
        Of imagefindpars.
    fluxmin, fluxmax : float or None
        Limits of the flux of the sources to keep, counts.
    nbright : int or None
        Number of brightest sources of each chip to keep; cosmic rays come last.

    Returns
    -------
    list of align.Exposure
        One for each path; one that can't be read has a `problem` and no sources.

    Raises
    ------
    ParameterError
        The parameters contradict each other.
    """
    if not parameters.computesig and not parameters.skysigma:
        raise ParameterError("imagefindpars: computesig = no needs skysigma > 0")
    # Each thread has its own work: threads of BLAS below them would only wait for each other.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        frames = list(pool.map(lambda path: _find(path, parameters), paths))
        if parameters.centroid == "psf":
            width = _defined(parameters, "conv_width")
            groups = {}
            for frame in frames:
                if frame.stamps is not None:
                    groups.setdefault(frame.facts.optics, []).append(frame.stamps)
            psfs = pool.map(lambda stamps: EffectivePSF.measure(Stamps.concat(stamps), width), groups.values())
            psf = dict(zip(groups, psfs, strict=True))
            frames = list(pool.map(lambda frame: _refined(frame, psf), frames))
        return list(pool.map(lambda f: _exposure(f, fluxmin=fluxmin, fluxmax=fluxmax, nbright=nbright), frames))


def _defined(parameters, name):
    """Value of a parameter, or its default where it is undefined."""
    value = parameters[name]
    return Spec.load(parameters.task)[name].default if value is None else value


def _find(path, parameters):
    """Find the sources of all chips of one file; an InputError becomes the frame's problem."""
    name = os.path.basename(path)
    settings = {key: _defined(parameters, key) for key in (*_KERNEL, "threshold")}
    settings.update({key: parameters[key] for key in _LIMITS})
    settings.update({key: parameters[key] if parameters.use_sharp_round else None for key in _SHAPES})
    settings["skysigma"] = None if parameters.computesig else parameters.skysigma
    half = max(Kernel(*(settings[key] for key in _KERNEL)).half)
    chips, catalogs, stamps = [], [], []
    try:
        for image in files.read_exposure(path, dqbits=parameters.dqbits):
            extver = image.chip.extver
            found = find_sources(image.data, bad=image.bad, gain=image.gain, chip=extver, **settings)
            chips.append(image.chip)
            catalogs.append(found)
            if len(found):
                level, noise = sky_sigma(image.data, image.bad)
                stamps.append(Stamps.cut(image.data, found.xy, half=half, level=level, noise=noise, gain=image.gain,
                                         bad=image.bad))
            log.info("%s[SCI,%d]: %d sources", name, extver, len(found))
        facts = files.read_facts(path)
    except InputError as error:
        log.error("%s", error)
        return _Frame(name, problem=str(error))
    stamps = Stamps.concat(stamps) if stamps else None
    return _Frame(name, tuple(chips), SourceCatalog.concat(catalogs), stamps, facts)


def _refined(frame, psf):
    if frame.stamps is None:
        return frame
    return dataclasses.replace(frame, sources=refine_positions(frame.sources, frame.stamps, psf[frame.facts.optics]))


def _exposure(frame, *, fluxmin, fluxmax, nbright):
    """Make an exposure of a frame, with the sources that the limits leave."""
    sources = frame.sources
    if fluxmin is not None:
        sources = sources[sources.flux >= fluxmin]
    if fluxmax is not None:
        sources = sources[sources.flux <= fluxmax]
    if nbright is not None:
        sources = SourceCatalog.concat(_brightest(sources[sources.chip == c.extver], nbright) for c in frame.chips)
    epoch = frame.facts.epoch if frame.facts else np.nan
    return Exposure.measured(frame.name, frame.chips, sources, problem=frame.problem, epoch=epoch)


def _brightest(sources, number):
    """Return the brightest sources; those that the PSF does not fit come after all that it does."""
    order = np.lexsort((-sources.flux, (sources.flags & Flag.UNRELIABLE) > 0))
    return sources[np.sort(order[:number])]
