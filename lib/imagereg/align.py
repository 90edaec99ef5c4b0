"""Align exposures with a reference: match, fit, judge."""

from __future__ import annotations

import dataclasses
import enum
import functools
import logging

import numpy as np
from astropy.wcs import WCS

from imagereg.catalog import Flag, SourceCatalog
from imagereg.errors import AlignmentError, NotEnoughMatches, NotEnoughSources
from imagereg.fit import LinearFit, fit_linear
from imagereg.match import Match, match
from imagereg.wcs import TangentPlane, corrected_wcs, pixel_scale, pixel_to_sky

_LARGEST_CHANCE = 1e-6
_REMATCHES = 8

log = logging.getLogger(__name__)


class Status(enum.Enum):
    """What became of an exposure."""

    REFERENCE = "reference"
    ALIGNED = "aligned"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, eq=False)
class Chip:
    """One chip of an exposure.

    Parameters
    ----------
    extver : int
        EXTVER of its science extension.
    wcs : astropy.wcs.WCS
        With all distortions.
    shape : (int, int)
        Rows and columns.
    """

    extver: int
    wcs: WCS
    shape: tuple


@dataclasses.dataclass(frozen=True, eq=False)
class Exposure:
    """What is known of an exposure once its pixels are done with.

    Parameters
    ----------
    name : str
        Of its file.
    chips : tuple of Chip
        In order of EXTVER.
    sources : SourceCatalog
        Of all chips, with sky positions as the chips' WCS have them.
    problem : str
        Why there are no chips, one sentence; empty where there are.
    """

    name: str
    chips: tuple
    sources: SourceCatalog
    problem: str = ""

    @classmethod
    def measured(cls, name, chips, sources, problem=""):
        """Make an exposure of chips and of sources that have chip positions only."""
        sky, error = np.full((2, len(sources), 2), np.nan)
        for chip in chips:
            rows = sources.chip == chip.extver
            sky[rows] = pixel_to_sky(chip.wcs, sources.xy[rows])
            error[rows] = sources.xy_error[rows] * pixel_scale(chip.wcs)  # as if x and y were east and north
        return cls(name, tuple(chips), sources.replace(sky=sky, sky_error=error, origin=name), problem)

    @property
    def outlines(self):
        """Pairs of WCS and shape of all chips."""
        return [(chip.wcs, chip.shape) for chip in self.chips]

    @functools.cached_property
    def stars(self):
        """Indices of the sources that the PSF fits."""
        return np.flatnonzero((self.sources.flags & (Flag.POOR_FIT | Flag.ASTRAY)) == 0)


@dataclasses.dataclass(frozen=True)
class Rules:
    """How to match and fit; lengths in pixels of the plane. The parameters are those of the task, see its help."""

    searchrad: float = 20.0
    tolerance: float = 1.0
    separation: float = 0.0
    xoffset: float = 0.0
    yoffset: float = 0.0
    use2dhist: bool = True
    fitgeometry: str = "rscale"
    nclip: int = 3
    sigma: float | None = 3.0
    minobj: int = 15


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """What became of an exposure, and why.

    Offsets are those of a shiftfile: what leads from the reference to the image as it is, in pixels of the plane,
    so that ``image_xy - centre = matrix(rot, scale) @ (ref_xy - centre) + (dx, dy)``.

    Parameters
    ----------
    exposure : Exposure
        As it was.
    status : Status
        The verdict.
    reason : str
        Why it is so, one sentence; empty for a success.
    plane : TangentPlane
        On which the fit was made.
    match : Match or None
        Indices into `rows` and `ref_rows`.
    fit : LinearFit or None
        From image to reference.
    rows, ref_rows : (M,) ndarray of int
        The matched sources, as indices into the catalogs of the exposure and of the reference.
    image_xy, ref_xy : (M, 2) ndarray
        Their positions on the plane, before the fit.
    """

    exposure: Exposure
    status: Status
    reason: str
    plane: TangentPlane
    match: Match | None = None
    fit: LinearFit | None = None
    rows: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    ref_rows: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    image_xy: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 2)))
    ref_xy: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 2)))

    @property
    def name(self):
        """Name of the file."""
        return self.exposure.name

    @property
    def offset(self):
        """(2,) dx and dy of the shiftfile, pixels."""
        return self._of_fit(lambda fit: -np.linalg.solve(fit.matrix, fit.shift), np.zeros(2))

    @property
    def rotation(self):
        """Rot of the shiftfile, degrees."""
        return self._of_fit(lambda fit: fit.rotation, 0.0)

    @property
    def scale(self):
        """Scale of the shiftfile."""
        return self._of_fit(lambda fit: 1 / fit.scale, 1.0)

    @property
    def errors(self):
        """(4,) one-sigma errors of dx, dy, rot and scale."""
        return self._of_fit(lambda fit: np.array([*fit.shift_error, fit.rotation_error, fit.scale_error]), np.zeros(4))

    @property
    def rms(self):
        """(2,) rms of the residuals in x and y, pixels of the plane."""
        return self._of_fit(lambda fit: fit.rms, np.zeros(2))

    @property
    def nmatches(self):
        """Number of sources the fit is based on."""
        return self.fit.nmatches if self.fit else 0

    @property
    def chance(self):
        """Probability that unrelated lists match as well."""
        return self.match.chance if self.match else np.nan

    def _of_fit(self, value, reference):
        if self.status is Status.REFERENCE:
            return reference
        return value(self.fit) if self.fit else np.full(np.shape(reference), np.nan)[()]

    def sky_residuals(self):
        """Residuals (N, 2) of the used pairs towards east and north, arcsec."""
        ref_sky = self.plane.plane_to_sky(self.ref_xy[self.fit.used])
        image_sky = self.plane.plane_to_sky(self.fit(self.image_xy[self.fit.used]))
        east = (ref_sky[:, 0] - image_sky[:, 0] + 180) % 360 - 180
        return np.column_stack([east * np.cos(np.deg2rad(ref_sky[:, 1])), ref_sky[:, 1] - image_sky[:, 1]]) * 3600

    def corrected_chips(self):
        """Return the exposure's chips with the fit in their WCS."""
        return tuple(dataclasses.replace(chip, wcs=corrected_wcs(chip.wcs, chip.shape, self.plane, self.fit))
                     for chip in self.exposure.chips)


def align(exposures, plane, rules, review=None):
    """Align exposures with the first of them.

    Parameters
    ----------
    exposures : sequence of Exposure
        The first one is the reference.
    plane : TangentPlane
        On which to match and fit.
    rules : Rules
        How to.
    review : callable, optional
        Called with every success; returns 'accept', 'reject' or 'stop'.

    Returns
    -------
    list of Alignment
        One for each exposure, in order; a failure is a status there, not an exception.
    """
    reference, *others = exposures
    verdicts = [_reference_verdict(reference, plane, rules)]
    usable, stopped = verdicts[0].status is Status.REFERENCE, False
    for exposure in others:
        if not usable:
            verdict = Alignment(exposure, Status.FAILED, f"the reference {reference.name} can't be used", plane)
        elif stopped:
            verdict = Alignment(exposure, Status.FAILED, "stopped before this image", plane)
        else:
            verdict = _align_one(exposure, reference, plane, rules)
            if review and verdict.status is Status.ALIGNED:
                answer = review(verdict)
                stopped = answer == "stop"
                if answer != "accept":
                    verdict = dataclasses.replace(verdict, status=Status.FAILED, reason="rejected by the user")
        verdicts.append(verdict)
    return verdicts


def _reference_verdict(reference, plane, rules):
    try:
        _selection(reference, rules)
    except NotEnoughSources as error:
        return Alignment(reference, Status.FAILED, str(error), plane)
    return Alignment(reference, Status.REFERENCE, "", plane)


def _align_one(exposure, reference, plane, rules):
    """Match and fit one exposure; every AlignmentError becomes a status here."""
    found = {}
    try:
        rows, ref_rows = _selection(exposure, rules), _selection(reference, rules)
        image_xy = plane.sky_to_plane(exposure.sources.sky[rows])
        ref_xy = plane.sky_to_plane(reference.sources.sky[ref_rows])
        if np.array_equal(image_xy, ref_xy):
            raise AlignmentError(f"its sources are those of {reference.name} to the last digit: the same exposure")
        first = match(image_xy, ref_xy, searchrad=rules.searchrad, tolerance=rules.tolerance, use2dhist=rules.use2dhist,
                      separation=rules.separation, offset=(-rules.xoffset, -rules.yoffset))
        found["match"] = first
        errors = (exposure.sources.sky_error[rows] / plane.pixel_scale,
                  reference.sources.sky_error[ref_rows] / plane.pixel_scale)
        pairs, fit = _iterate(first, image_xy, ref_xy, errors, plane.centre, rules)
        found.update(fit=fit, rows=rows[pairs.image_index], ref_rows=ref_rows[pairs.ref_index],
                     image_xy=image_xy[pairs.image_index], ref_xy=ref_xy[pairs.ref_index])
        _judge(pairs, fit, first.chance, rules)
    except AlignmentError as error:
        return Alignment(exposure, Status.FAILED, str(error), plane, **found)
    return Alignment(exposure, Status.ALIGNED, "", plane, **found)


def _selection(exposure, rules):
    """Return the indices of the sources to match: the stars, or, where there are too few of them, all."""
    if exposure.problem:
        raise NotEnoughSources(exposure.problem)
    needed = max(rules.minobj, 1)
    rows = exposure.stars if len(exposure.stars) >= needed else np.arange(len(exposure.sources))
    if len(rows) < needed:
        raise NotEnoughSources(f"{len(rows)} sources found, minobj={rules.minobj} are needed")
    return rows


def _iterate(pairs, image_xy, ref_xy, errors, centre, rules):
    """Fit, match again with the fit applied, until the pairs stay; returns the last pairs and fit."""
    for _ in range(_REMATCHES):
        i, r = pairs.image_index, pairs.ref_index
        fit = fit_linear(image_xy[i], ref_xy[r], geometry=rules.fitgeometry, nclip=rules.nclip, sigma=rules.sigma,
                         errors=np.hypot(errors[0][i], errors[1][r]), centre=centre)
        again = match(fit(image_xy), ref_xy, searchrad=rules.tolerance, tolerance=rules.tolerance,
                      separation=rules.separation, use2dhist=False)
        if np.array_equal(again.image_index, i) and np.array_equal(again.ref_index, r):
            break
        pairs = again
    return pairs, fit


def _judge(pairs, fit, chance, rules):
    """Raise NotEnoughMatches where the matches are too few or what chance would give."""
    if fit.nmatches < rules.minobj:
        raise NotEnoughMatches(f"{fit.nmatches} matches within tolerance={rules.tolerance:g} pixel, "
                               f"minobj={rules.minobj} are needed")
    if chance > _LARGEST_CHANCE:
        raise NotEnoughMatches(f"{len(pairs)} matches, as unrelated sources would give with probability {chance:.2g}")
