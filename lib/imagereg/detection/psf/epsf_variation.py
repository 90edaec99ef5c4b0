"""Measure how the effective PSF changes over the chips of a detector.

A departure from the common surface is a sum of a few smooth modes, those of the prior that
`epsf_measure` has for it, and their amounts are linear in the place on the chip. So each star gives
small normal equations, with its position, flux and sky eliminated, which can be summed for any
terms and any stars, so that some stars can judge what the others ask for.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence

import numpy as np

from imagereg.detection.psf import epsf_measure
from imagereg.detection.psf.epsf import EffectivePSF, Variation, terms_of_place
from imagereg.detection.psf.epsf_fit import Linearised, StarFits, fit_stars
from imagereg.detection.psf.stamps import Stamps

_log = logging.getLogger(__name__)

_N_MODES = 48  # smoothest ones; 36 of largest variance do not follow a star that widens by a fifth
_MOST_STARS = 1000  # brightest stamps that are used: bounds time and memory
_N_FOLDS = 4  # of the stars, each of which judges what the others say
_CHUNK = 100  # stars whose modes are in work at one time
_N_TERMS = (1, 3)  # a chip has another surface; one that changes along x and y


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Boxes around N stars, and what each shows.

    Parameters
    ----------
    stamps : Stamps
        The boxes.
    chip, star, exposure : (N,) ndarray of int
        EXTVER of the chip, number of the star, and number of the exposure, of each.
    shapes : dict of int to (int, int)
        Rows and columns of the chips by EXTVER.
    """

    stamps: Stamps
    chip: np.ndarray
    star: np.ndarray
    exposure: np.ndarray
    shapes: Mapping[int, tuple[int, int]]

    def __getitem__(self, rows: np.ndarray) -> Sample:
        """Return the boxes picked by an index array or a mask."""
        names = ("stamps", "chip", "star", "exposure")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names})

    @property
    def by_exposure(self) -> list[tuple[int, np.ndarray]]:
        """Exposures, with the rows that are theirs."""
        numbers = np.unique(self.exposure)
        return [(int(number), np.flatnonzero(self.exposure == number)) for number in numbers]


def measure_variation(sample: Sample, psfs: Sequence[EffectivePSF]) -> list[EffectivePSF]:
    """Return the PSFs of exposures with how they change over the chips, if they do.

    Parameters
    ----------
    sample : Sample
        Stars.
    psfs : sequence of EffectivePSF
        Of each exposure: the common one, or one of its own with the same knots. They change alike.
    """
    first = psfs[0]
    if max(psf.error for psf in psfs) < epsf_measure.STEADY_ERROR:
        return list(psfs)
    sample = dataclasses.replace(sample, stamps=sample.stamps.cropped(first.half))
    sample = sample[sample.stamps.brightest(2 * _MOST_STARS)]
    fits = _fits(sample, psfs)
    rows = epsf_measure.stars_among(sample.stamps, fits, first.fwhm)[:_MOST_STARS]
    sample, fits = sample[rows], fits[rows]
    modes = epsf_measure.modes_of_departure(first, _N_MODES)
    normal, right = _equations(sample, fits, psfs, modes)
    common = first
    for chip in np.unique(sample.chip):
        own = np.flatnonzero(sample.chip == chip)
        shape = sample.shapes[int(chip)]
        terms = terms_of_place(sample.stamps.centre[own], shape)
        amounts = _amounts(terms, normal[own], right[own], sample.star[own] % _N_FOLDS)
        if amounts is not None:
            change, centre = _change(np.tensordot(amounts, modes, axes=1), first)
            common = common.varying(Variation(int(chip), shape, change, centre))
    if not common.variation:
        return list(psfs)
    varying = [dataclasses.replace(psf, variation=common.variation) for psf in psfs]
    error = _error(sample, fits, varying)
    _log.info(
        "the point-spread function changes over chips %s: it is true to %.1f%%, and would be to "
        "%.1f%%",
        ", ".join(str(each.chip) for each in common.variation), 100 * error,
        100 * max(psf.error for psf in psfs),
    )  # fmt: skip
    return [dataclasses.replace(psf, error=min(error, psf.error)) for psf in varying]


def _fits(sample, psfs):
    """Return fits of the PSF of its exposure to each stamp."""
    rows = np.concatenate([own for _, own in sample.by_exposure])
    parts = [fit_stars(sample.stamps[own], psfs[number]) for number, own in sample.by_exposure]
    return StarFits.concat(parts)[np.argsort(rows)]


def _equations(sample, fits, psfs, modes):
    """Return normal matrices (N, r, r) and right-hand sides (N, r) of amounts of r modes.

    Those of the positions, fluxes and skies of the stars are eliminated.
    """
    n_modes = len(modes)
    normal = np.empty((len(sample.stamps), n_modes, n_modes))
    right = np.empty((len(sample.stamps), n_modes))
    for number, own in sample.by_exposure:
        for rows in (own[i : i + _CHUNK] for i in range(0, len(own), _CHUNK)):
            part, its = sample.stamps[rows], fits[rows]
            near = Linearised.of(its, part, psfs[number])
            light = _light(modes, psfs[number], *its.distances(part)) * its.flux[:, None, None]
            weighted = light * near.weight[:, None]
            cross = weighted @ near.slopes.swapaxes(1, 2)
            taken = cross @ np.linalg.inv(near.normal)
            normal[rows] = weighted @ light.swapaxes(1, 2) - taken @ cross.swapaxes(1, 2)
            residual = (weighted @ near.residual[..., None])[..., 0]
            right[rows] = residual - (taken @ near.right[..., None])[..., 0]
    return normal, right


def _light(modes, psf, x, y):
    """Return the values (N, r, s * s) of r modes (r, m, m) on the pixels of stars."""
    n, side = x.shape
    m = psf.n_splines
    rows = psf.basis(y + psf.centre[1])[0]
    columns = psf.basis(x + psf.centre[0])[0]
    along = (rows.reshape(-1, m) @ modes.swapaxes(0, 1).reshape(m, -1)).reshape(n, -1, m)
    light = (along @ columns.swapaxes(1, 2)).reshape(n, side, -1, side)
    return light.swapaxes(1, 2).reshape(n, -1, side * side)


def _amounts(terms, normal, right, fold):
    """Return the amounts (3, r) of modes that other stars bear out best; None where none do."""
    best, least = None, 0.0
    for n_terms in _N_TERMS:
        own = terms[:, :n_terms]
        fall = 0.0
        for number in range(_N_FOLDS):
            others = fold != number
            found = _solved(*_summed(own[others], normal[others], right[others]))
            judge, told = _summed(own[~others], normal[~others], right[~others])
            fall += found @ (2 * told - judge @ found)
        if fall > least:
            least = fall
            found = _solved(*_summed(own, normal, right)).reshape(n_terms, -1)
            best = np.zeros((3, found.shape[1]))
            best[:n_terms] = found
    return best


def _summed(terms, normal, right):
    """Return the equations of the amounts of modes for each of k terms (N, k), of all stars."""
    size = terms.shape[1] * right.shape[1]
    whole = np.einsum("nj,nk,nab->jakb", terms, terms, normal, optimize=True)
    return whole.reshape(size, size), np.einsum("nj,na->ja", terms, right).ravel()


def _solved(normal, right):
    """Return the most probable amounts, whose prior is that of unit deviates."""
    return np.linalg.solve(normal + np.eye(len(right)), right)


def _change(change, psf):
    """Return changes (3, m, m) of coefficients that keep the flux, and centres that follow."""
    whole = np.arange(-psf.half, psf.half + 1.0)[None]
    totals = [dataclasses.replace(psf, coefficients=part)(whole, whole)[0].sum() for part in change]
    change = change - np.array(totals)[:, None, None] * psf.coefficients
    places = np.array([(1, 0, 0), (1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1)])
    surfaces = psf.coefficients + np.tensordot(places, change, axes=1)
    centres = [dataclasses.replace(psf, coefficients=surface).centred().centre
               for surface in surfaces]
    centre = np.linalg.lstsq(places, np.array(centres) - psf.centre, rcond=None)[0]
    return change, centre


def _error(sample, fits, psfs):
    """Return by how much stars depart from their own surfaces, as a fraction of their value."""
    errors = []
    for number, own in sample.by_exposure:
        stamps = sample.stamps[own]
        local = psfs[number].at(sample.chip[own], stamps.centre)
        again = fit_stars(stamps, local, fits[own])
        errors.append(epsf_measure.model_error(stamps, again, local[:]))
    return float(np.average(errors, weights=[len(own) for _, own in sample.by_exposure]))
