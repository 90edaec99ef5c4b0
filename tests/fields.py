"""Transforms, positions, and fits and matches at default parameters that several test modules use."""

import dataclasses
import functools

import defaults
import numpy as np

from imagereg.alignment import significance
from imagereg.alignment.fitting import fit
from imagereg.alignment.matching import match as matching
from imagereg.alignment.matching import pattern
from imagereg.alignment.matching.match import PointSet


def rotated(degrees, scale=1.0):
    """Return the matrix of a rotation from x to y, and of a scale."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return scale * np.array([[cos, -sin], [sin, cos]])


def scattered(count=30, seed=1, size=1000.0):
    """Return random positions (count, 2) about the origin."""
    return np.random.default_rng(seed).uniform(-size, size, (count, 2))


MATRICES = {"shift": np.eye(2), "rshift": rotated(0.3), "rscale": rotated(0.3, 1.0004),
            "xyscale": np.diag([1.0004, 0.9991]), "general": np.array([[1.001, 0.02], [-0.015, 0.997]])}


def fit_linear(image_xy, ref_xy, **options):
    """Fit with the defaults of the task."""
    usual = defaults.of("tweakreg", "nclip", "sigma", "loss")
    usual["geometry"] = defaults.of("tweakreg", "fitgeometry")["fitgeometry"]
    return fit.fit_linear(image_xy, ref_xy, **{**usual, **options})


def candidates(image_xy, ref_xy, *, tolerance, owner=None, searchrad=0.0, use2dhist=True, separation=0.0,
               offset=(0, 0)):
    """Yield what a matcher of offsets yields; `owner` is the exposure that each position is from."""
    image = PointSet.of(image_xy)
    if owner is not None:
        image = dataclasses.replace(image, exposure_index=owner)
    options = {"tolerance": tolerance, "separation": separation}
    if use2dhist:
        matcher = functools.partial(matching.match_offsets, searchrad=searchrad, first_guess=offset, **options)
    else:
        matcher = functools.partial(matching.match_given_offset, offset=offset, **options)
    return matcher(image, PointSet.of(ref_xy))


def match(image_xy, ref_xy, *, tolerance, **options):
    """Return the first candidate, with the odds of its offset."""
    found = next(candidates(image_xy, ref_xy, tolerance=tolerance, **options), None)
    if found is None:
        raise matching.no_pairs(tolerance)
    log10_one, _ = significance.chance_of_pairs(len(found), np.asarray(image_xy) + found.offset, ref_xy, tolerance)
    trials = significance.n_trials_of_offset(found.half_box, tolerance, geometry="shift", first_tolerance=tolerance)
    return dataclasses.replace(found, chance_probability=min(1.0, trials * 10**log10_one))


def match_pattern(image_xy, ref_xy, *, tolerance, image_flux=None, ref_flux=None, maxchance=1e-6, **options):
    """Return the similarity transform that the pattern matcher finds."""
    lists = [PointSet.of(xy) if flux is None else PointSet.of(xy, flux=np.asarray(flux, float))
             for xy, flux in ((image_xy, image_flux), (ref_xy, ref_flux))]
    judge = significance.Judge(maxchance, tolerance)
    return next(pattern.match_patterns(*lists, tolerance=tolerance, separation=0.0, judge=judge, **options))
