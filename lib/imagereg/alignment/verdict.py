"""The rules by which exposures are aligned, and the result of aligning each."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from imagereg.alignment.exposure import Chip, Exposure
from imagereg.alignment.fitting.curvature import curvature
from imagereg.alignment.fitting.fit import LinearFit, fit_linear
from imagereg.alignment.fitting.weights import pair_errors
from imagereg.alignment.matching.match import Candidate
from imagereg.alignment.significance import Judge, probability
from imagereg.catalogs import SourceCatalog
from imagereg.wcs import (
    Solution,
    Status,
    TangentPlane,
    border,
    corrected_wcs,
    correction,
    pixel_scale,
    pixel_to_sky,
    plane,
)

# Pixels by which a WCS departs from a fit that moves far, and below which the error of both, of the
# same order, adds nothing to that of the best centroids.
_LINEAR = 0.1 * correction.SAME_SKY
FEWEST_MATCHES = 4  # by which the odds can decide; three stars never are


@dataclasses.dataclass(frozen=True)
class Rules:
    """How to match and fit: parameters of the task, see its help; lengths in plane pixels."""

    searchrad: float
    tolerance: float
    separation: float
    xoffset: float
    yoffset: float
    use2dhist: bool
    fitgeometry: str
    nclip: int
    sigma: float | None
    minobj: int
    minobj_is_asked: bool
    maxchance: float
    matching: str
    magclip: float | None
    loss: str
    onlybetter: bool
    group: str
    expand_refcat: bool
    enforce_user_order: bool
    solution: str

    @property
    def judge(self) -> Judge:
        """Who holds to these rules."""
        return Judge(self.maxchance, self.tolerance)

    @property
    def fewest_matches(self) -> int:
        """Matches that a fit needs; few are enough where the user did not ask for more."""
        return self.minobj if self.minobj_is_asked else min(self.minobj, FEWEST_MATCHES)

    @property
    def needed(self) -> str:
        """What is needed, as a message says it."""
        return f"minobj={self.minobj}" if self.minobj_is_asked else f"{self.fewest_matches}"


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """The result of aligning an exposure, and the reason for it.

    Offsets are those of a shiftfile: what leads from the reference to the image as it is, in pixels
    of the plane, so that
    ``image_xy - centre = matrix(rot, scale) @ (ref_xy - centre) + (dx, dy)``.

    Parameters
    ----------
    exposure : Exposure
        As it was.
    status : Status
        What became of it.
    reason : str
        Why it is so, one sentence; empty for a success that needs no word.
    plane : TangentPlane
        On which the fit was made.
    match : Candidate or None
        The first match, by offset alone, with its histogram; None for a pattern.
    log10_chance : float
        Logarithm of the probability that unrelated lists match as well; NaN where nothing was
        matched.
    fit : LinearFit or None
        From image to reference.
    reference : SourceCatalog
        What the exposure was matched with.
    rows, ref_rows : (M,) ndarray of int
        The matched sources, as indices into the catalogs of the exposure and of the reference.
    image_xy, ref_xy : (M, 2) ndarray
        Their positions on the plane, before the fit.
    solved_chips : tuple of Chip or None
        The chips with the solution in their WCS, where it is not from this fit alone.
    """

    exposure: Exposure
    status: Status
    reason: str
    plane: TangentPlane
    match: Candidate | None = None
    log10_chance: float = np.nan
    fit: LinearFit | None = None
    reference: SourceCatalog = dataclasses.field(default_factory=SourceCatalog.empty)
    rows: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    ref_rows: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    image_xy: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 2)))
    ref_xy: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 2)))
    solved_chips: tuple[Chip, ...] | None = None

    @property
    def chance_probability(self) -> float:
        """That unrelated lists match as well; NaN where nothing was matched, and never 0."""
        return probability(self.log10_chance)

    @property
    def name(self) -> str:
        """Name of the exposure."""
        return self.exposure.name

    @property
    def offset(self) -> np.ndarray:
        """(2,) dx and dy of the shiftfile, pixels."""
        if self.fit is None or self._keeps_wcs:
            return self._without_fit(2)
        return -np.linalg.solve(self.fit.matrix, self.fit.shift)

    @property
    def rotation(self) -> float:
        """Rot of the shiftfile, degrees."""
        if self.fit is None or self._keeps_wcs:
            return float(self._without_fit(1)[0])
        return self.fit.rotation

    @property
    def scale(self) -> float:
        """Scale of the shiftfile."""
        if self.fit is None or self._keeps_wcs:
            return 1.0 + float(self._without_fit(1)[0])
        return 1 / self.fit.scale

    @property
    def errors(self) -> np.ndarray:
        """(4,) one-sigma errors of dx, dy, rot and scale."""
        if self.fit is None or self._keeps_wcs:
            return self._without_fit(4)
        return np.array([*self.fit.shift_error, self.fit.rotation_error, self.fit.scale_error])

    @property
    def residuals(self) -> np.ndarray:
        """(N, 2) reference minus image of used pairs, pixels, in the WCS the image ends with."""
        if self.fit is None:
            return np.empty((0, 2))
        used = self.fit.used
        return self.fit.residuals[used] if self.changes else (self.ref_xy - self.image_xy)[used]

    @property
    def rms(self) -> np.ndarray:
        """(2,) rms of the residuals in x and y about zero, pixels of the plane."""
        if not self.nmatches:
            return self._without_fit(2)
        return np.sqrt((self.residuals**2).mean(axis=0))

    @property
    def spread(self) -> np.ndarray:
        """(2,) rms of the residuals in x and y about their mean, pixels of the plane."""
        if not self.nmatches:
            return self._without_fit(2)
        return self.residuals.std(axis=0)

    @property
    def by_chip(self) -> dict[int, tuple[int, np.ndarray, np.ndarray]]:
        """By EXTVER: number, mean (2,) and its error (2,) of the used residuals, pixels."""
        if self.fit is None:
            return {}
        chips = self.exposure.sources.chip[self.rows]
        residuals = self.residuals
        statistics = {}
        for chip in np.unique(chips):
            part = residuals[chips[self.fit.used] == chip]
            n = len(part)
            if n > 1:
                statistics[int(chip)] = n, part.mean(axis=0), part.std(axis=0) / np.sqrt(n)
        return statistics

    @property
    def nmatches(self) -> int:
        """Number of sources the fit is based on."""
        return self.fit.nmatches if self.fit else 0

    @property
    def changes(self) -> bool:
        """Whether the WCS of the image is to be corrected."""
        return self.status is Status.ALIGNED

    @property
    def _keeps_wcs(self):
        return self.status in (Status.REFERENCE, Status.UNCHANGED)

    def _without_fit(self, n):
        """Return n zeros for an exposure that stays where it is, NaN for one that failed."""
        return np.zeros(n) if self._keeps_wcs else np.full(n, np.nan)

    def sky_residuals(self) -> np.ndarray:
        """Residuals (N, 2) of the used pairs towards east and north, arcsec."""
        if self.fit is None:
            return np.empty((0, 2))
        used = self.fit.used
        ref_sky = self.plane.plane_to_sky(self.ref_xy[used])
        image_sky = self.plane.plane_to_sky(self.fit(self.image_xy[used]))
        east = (ref_sky[:, 0] - image_sky[:, 0] + 180) % 360 - 180
        north = ref_sky[:, 1] - image_sky[:, 1]
        return np.column_stack([east * np.cos(np.deg2rad(ref_sky[:, 1])), north]) * 3600

    @property
    def sky_rms(self) -> np.ndarray:
        """(2,) rms of `sky_residuals`, arcsec; 0 where there are none."""
        return np.sqrt((self.sky_residuals() ** 2).mean(axis=0)) if self.nmatches else np.zeros(2)

    def solution(self, reference_name: str) -> Solution:
        """Return what files and headers say; `reference_name` is that of the reference."""
        facts: dict[str, Any] = {"status": self.status.value, "reason": self.reason,
                                 "reference": reference_name,
                                 "chance": float(self.chance_probability),
                                 "chip_shifts": self._chip_shifts}
        if self._keeps_wcs:
            return Solution.mapping(np.eye(2), np.zeros(2), self.plane.centre, **facts)
        fit = self.fit
        if fit is None or not self.changes:
            return Solution(**facts)
        ra_rms, dec_rms = map(float, self.sky_rms)
        linear = Solution.mapping(fit.matrix, fit.shift, fit.centre, geometry=fit.geometry,
                                  nmatches=fit.nmatches, ra_rms=ra_rms, dec_rms=dec_rms, **facts)
        before, now = self._chips_before_and_now(linear.shift_of_chip)
        follows = np.abs(linear(before) - now).max(initial=0.0) < correction.SAME_POSITION
        return linear if follows else linear.fitted_to(before, now)

    def _chips_before_and_now(self, shifts):
        """Return positions (N, 2) on all chips by the WCS before, and by the new one."""
        before = [np.empty((0, 2))]
        now = [np.empty((0, 2))]
        for chip, new in zip(self.exposure.chips, self.corrected_chips(), strict=True):
            own = correction.shifted_wcs(chip.wcs, shifts.get(chip.extver, (0.0, 0.0)))
            grid = plane.pixel_grid(chip.shape)
            before.append(self.plane.sky_to_plane(pixel_to_sky(own, grid)))
            now.append(self.plane.sky_to_plane(pixel_to_sky(new.wcs, grid)))
        return np.concatenate(before), np.concatenate(now)

    @property
    def _chip_shifts(self):
        """Return by how much chips were put right, as a `Solution` says it."""
        shifts = []
        for chip, solved in zip(self.exposure.chips, self.solved_chips or (), strict=False):
            x, y = map(float, solved.wcs.wcs.crpix - chip.wcs.wcs.crpix)
            if x or y:
                shifts.append(f"{chip.extver} {x!r} {y!r}")
        return "; ".join(shifts)

    @property
    def mirrors(self) -> bool:
        """Whether the fit maps the image onto its mirror image."""
        return self.fit is not None and float(np.linalg.det(self.fit.matrix)) < 0

    @property
    def header_is_mirrored(self) -> bool:
        """Whether the WCS in the header has the opposite parity of the plane of the fit."""
        first_chip = next(iter(self.exposure.chips), None)  # stands for all
        if first_chip is None or first_chip.wcs is None:
            return False
        own = np.linalg.det(first_chip.wcs.pixel_scale_matrix)
        of_plane = np.linalg.det(self.plane.wcs.pixel_scale_matrix)
        return bool(own * of_plane < 0)

    def corrected_chips(self) -> tuple[Chip, ...]:
        """Return the chips with the fit in their WCS; DegenerateFit where it can't follow."""
        return self._corrected if self.solved_chips is None else self.solved_chips

    def aligned_sources(self) -> SourceCatalog:
        """Return the sources where the fit has them on the sky; their errors include the fit's."""
        assert self.fit is not None
        sources = self.exposure.sources
        xy = self.fit(self.plane.sky_to_plane(sources.sky))
        moved = sources.replace(sky=self.plane.plane_to_sky(xy))
        moved = Exposure.measured(self.name, self.solved_chips or (), moved).sources
        shift_error = self.fit.shift_error * self.plane.pixel_scale
        return moved.replace(sky_error=np.hypot(moved.sky_error, shift_error))

    def with_reason(self, reason: str) -> Alignment:
        """Return the same result for another reason; corrected chips are not worked out again."""
        other = dataclasses.replace(self, reason=reason)
        if "_corrected" in vars(self):
            vars(other)["_corrected"] = self._corrected
        return other

    @functools.cached_property
    def _corrected(self):
        chips = self._following(self.exposure.chips, self.fit, np.inf)
        deviations = [correction.deviation_from_fit(new.wcs, chip.wcs, shape=chip.shape,
                                                    plane=self.plane, fit=self.fit)
                      for new, chip in zip(chips, self.exposure.chips, strict=True)]
        if max(deviations, default=0.0) < _LINEAR:  # catalogs alone have no chips
            return chips
        # A fit that moves far is linear on the plane in a first approximation only: the chips are
        # moved as rigid bodies, and what is left of the matches then is fitted.
        middle = self.image_xy[self.fit.used].mean(axis=0)
        rotation = plane.rotation_of_sky(self.plane, self.fit, middle)
        chips = self._following(self.exposure.chips, rotation, np.inf)
        return self._following(chips, self._refitted(chips), self._allowed_deviation)

    def _following(self, chips, fit, allowed):
        """Return chips with a fit in their WCS."""
        return tuple(dataclasses.replace(chip, wcs=corrected_wcs(chip.wcs, chip.shape, self.plane,
                                                                 fit, allowed=allowed))
                     for chip in chips)

    def _refitted(self, chips):
        """Return the fit of the used matches to the reference where chips have moved already."""
        xy, errors = self._moved_with(chips)
        return fit_linear(xy, self.ref_xy[self.fit.used], geometry=self.fit.geometry,
                          errors=errors, nclip=0, sigma=None, loss="linear",
                          centre=self.plane.centre)

    def _moved_with(self, chips):
        """Return where chips have the used matches, and the errors of these pairs, pixels."""
        rows = self.rows[self.fit.used]
        ref_rows = self.ref_rows[self.fit.used]
        moved = Exposure.measured(self.name, chips, self.exposure.sources[rows]).sources
        errors = pair_errors(moved.sky_error, self.reference.sky_error[ref_rows])
        return self.plane.sky_to_plane(moved.sky), errors / self.plane.pixel_scale

    @property
    def curvature(self) -> float:
        """How far the new WCS departs from its matches beyond any linear change, pixels."""
        if self.fit is None or not self.exposure.chips:
            return 0.0
        xy, errors = self._moved_with(self.corrected_chips())
        variance = (self.fit.error_scale * errors)**2 + self.fit.scatter**2
        return curvature(xy, self.ref_xy[self.fit.used] - xy, variance)

    @property
    def largest_error(self) -> float:
        """Largest error of the fit at the matches, pixels."""
        assert self.fit is not None
        errors = self.fit.errors_at(self.image_xy[self.fit.used])
        return float(np.hypot(*errors.T).max())

    @property
    def _allowed_deviation(self):
        """What a WCS may be off its fit, pixels: the fit's own error, or a third of the scatter.

        A third of the scatter adds 5 % to it in quadrature.
        """
        chip = self.exposure.chips[0]
        corners = self.plane.sky_to_plane(pixel_to_sky(chip.wcs, border(chip.shape, steps=1)))
        own = np.hypot(*self.fit.errors_at(corners).T).max()
        scatter = np.hypot(*self.fit.rms) / 3
        scale = self.plane.pixel_scale / pixel_scale(chip.wcs)
        return float(max(own if np.isfinite(own) else 0.0, scatter) * scale)


def judged_by_parity(verdict: Alignment) -> Alignment:
    """Return the verdict on a fit that mirrors, right only for a header of wrong parity."""
    if verdict.header_is_mirrored:
        said = "its header has the opposite parity of the reference, and the fit turns it round"
        reason = "; ".join(filter(None, [verdict.reason, said]))
        return dataclasses.replace(verdict, reason=reason)
    mirrored = ("the fit would mirror the image, which no pointing error does, and its header has "
                "the parity of the reference")
    return dataclasses.replace(verdict, status=Status.FAILED, reason=mirrored)
