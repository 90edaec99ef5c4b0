"""Improve positions with the PSF, shared out so that all cores have something to do."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagereg import detection
from imagereg.catalogs import SourceCatalog
from imagereg.tasks.parallel import available_cores, mapped, shares_of

if TYPE_CHECKING:
    from imagereg.detection import EffectivePSF, Stamps

# Fitting so many takes 0.1 s on one core; to start processes and hear of them takes half of that.
_FEW_STARS = 3000


class Stars(NamedTuple):
    """The sources of an exposure: catalog, stamps and PSF as `refine_positions` takes them."""

    sources: SourceCatalog
    stamps: Stamps
    psf: EffectivePSF


def refined(exposures: Sequence[Stars], num_cores: int | None, *,
            is_fitted: bool = False) -> Iterator[SourceCatalog]:
    """Yield the refined sources of each exposure in order, see `refine_positions`.

    Parameters
    ----------
    exposures : sequence of Stars
        Where they would leave cores idle, the last ones are shared out among all.
    num_cores : int or None
        See `parallel.mapped`; one core does a few stars.
    is_fitted : bool
        Whether a PSF was fitted to the stamps before.
    """
    n_stars = sum(len(stars.sources) for stars in exposures)
    n_cores = 1 if n_stars < _FEW_STARS else num_cores or available_cores()
    shares = shares_of(len(exposures), n_cores)
    pieces = []
    for stars, n_shares in zip(exposures, shares, strict=True):
        limits = np.linspace(0, len(stars.sources), n_shares + 1).astype(int)
        pieces += [(stars, slice(*ends)) for ends in itertools.pairwise(limits)]
    found = mapped(functools.partial(_refined, is_fitted=is_fitted), pieces, n_cores)
    for n_shares in shares:
        parts = [next(found) for _ in range(n_shares)]
        yield SourceCatalog.concat(parts) if n_shares > 1 else parts[0]


def _refined(piece, is_fitted):
    """Return the refined sources of some rows of an exposure."""
    stars, rows = piece
    return detection.refine_positions(stars.sources[rows], stars.stamps[rows], stars.psf,
                                      is_fitted=is_fitted)
