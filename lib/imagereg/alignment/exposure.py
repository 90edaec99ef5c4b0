"""What exposures are, by what rules they are aligned, and what became of them."""

from __future__ import annotations

import dataclasses
import functools
import re

import numpy as np
from astropy.wcs import WCS

from imagereg.alignment.fit import LinearFit
from imagereg.alignment.match import Match
from imagereg.catalogs.sources import SourceCatalog
from imagereg.wcs.correction import Status, corrected_wcs
from imagereg.wcs.plane import TangentPlane, pixel_scale, pixel_to_sky

_HST_ROOT = re.compile(r"[a-z][a-z0-9]{8}$")  # instrument, programme, visit, exposure, kind: IPPPSSOOT


def root_of(rootname, name):
    """Return the root of an exposure in lower case: its keyword ROOTNAME, or what its file's name begins with."""
    return (rootname or re.split(r"[_.]", name)[0]).lower()


def visit_of(root):
    """Return the visit that the root of an HST exposure tells, ipppss; empty for other names."""
    return root[:6] if _HST_ROOT.match(root) else ""


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
    epoch : float
        Julian year of the middle of the exposure; NaN where it is not known.
    visit : str
        Exposures of one visit share their guide stars; empty where it is not known.
    """

    name: str
    chips: tuple
    sources: SourceCatalog
    problem: str = ""
    epoch: float = np.nan
    visit: str = ""

    @classmethod
    def measured(cls, name, chips, sources, **more):
        """Make an exposure of chips and of sources, whose places on the chips give those on the sky."""
        sky, error = sources.sky.copy(), sources.sky_error.copy()
        for chip in chips:
            rows = (sources.chip == chip.extver) & np.isfinite(sources.xy).all(axis=1)
            sky[rows] = pixel_to_sky(chip.wcs, sources.xy[rows])
            error[rows] = sources.xy_error[rows] * pixel_scale(chip.wcs)  # as if x and y were east and north
        return cls(name, tuple(chips), sources.replace(sky=sky, sky_error=error, origin=name), **more)

    @property
    def outlines(self):
        """Pairs of WCS and shape of all chips."""
        return [(chip.wcs, chip.shape) for chip in self.chips]


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
    maxchance: float = 1e-6
    matching: str = "auto"
    magclip: float | None = 5.0
    loss: str = "linear"
    onlybetter: bool = True
    group: str = "none"
    expand_refcat: bool = False
    enforce_user_order: bool = True


def _unknown(_):
    """Return the rms of no residuals."""
    return np.full(2, np.nan)


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
        Why it is so, one sentence; empty for a success that needs no word.
    plane : TangentPlane
        On which the fit was made.
    match : Match or None
        The first match, by offset alone, with its histogram.
    chance : float
        Probability that unrelated lists match as well; NaN where nothing was matched.
    fit : LinearFit or None
        From image to reference.
    reference : SourceCatalog
        What the exposure was matched with.
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
    chance: float = np.nan
    fit: LinearFit | None = None
    reference: SourceCatalog = dataclasses.field(default_factory=SourceCatalog.empty)
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
    def residuals(self):
        """(N, 2) reference minus image of the used pairs in the WCS that the image ends with, pixels of the plane."""
        if self.fit is None:
            return np.empty((0, 2))
        used = self.fit.used
        return self.fit.residuals[used] if self.changes else (self.ref_xy - self.image_xy)[used]

    @property
    def rms(self):
        """(2,) rms of the residuals in x and y about zero, pixels of the plane."""
        return np.sqrt((self.residuals**2).mean(axis=0)) if self.nmatches else self._of_fit(_unknown, np.zeros(2))

    @property
    def spread(self):
        """(2,) rms of the residuals in x and y about their mean, pixels of the plane."""
        return self.residuals.std(axis=0) if self.nmatches else self._of_fit(_unknown, np.zeros(2))

    @property
    def by_chip(self):
        """Number, mean (2,) and error of the mean (2,) of the used residuals of each chip, pixels; a dict by EXTVER."""
        residuals, chips = self.residuals, self.exposure.sources.chip[self.rows]
        parts = {chip: residuals[chips[self.fit.used] == chip] for chip in np.unique(chips)} if self.fit else {}
        return {int(chip): (len(part), part.mean(axis=0), part.std(axis=0) / np.sqrt(len(part)))
                for chip, part in parts.items() if len(part) > 1}

    @property
    def nmatches(self):
        """Number of sources the fit is based on."""
        return self.fit.nmatches if self.fit else 0

    @property
    def changes(self):
        """Whether the WCS of the image is to be corrected."""
        return self.status is Status.ALIGNED

    def _of_fit(self, value, reference):
        if self.status in (Status.REFERENCE, Status.UNCHANGED):
            return reference
        return value(self.fit) if self.fit else np.full(np.shape(reference), np.nan)[()]

    def sky_residuals(self):
        """Residuals (N, 2) of the used pairs towards east and north, arcsec."""
        ref_sky = self.plane.plane_to_sky(self.ref_xy[self.fit.used])
        image_sky = self.plane.plane_to_sky(self.fit(self.image_xy[self.fit.used]))
        east = (ref_sky[:, 0] - image_sky[:, 0] + 180) % 360 - 180
        return np.column_stack([east * np.cos(np.deg2rad(ref_sky[:, 1])), ref_sky[:, 1] - image_sky[:, 1]]) * 3600

    @property
    def sky_rms(self):
        """(2,) rms of `sky_residuals`, arcsec; 0 where there are none."""
        return np.sqrt((self.sky_residuals() ** 2).mean(axis=0)) if self.nmatches else np.zeros(2)

    def corrected_chips(self):
        """Return the exposure's chips with the fit in their WCS; DegenerateFit where that can't follow it."""
        return self._corrected

    @functools.cached_property
    def _corrected(self):
        return tuple(dataclasses.replace(chip, wcs=corrected_wcs(chip.wcs, chip.shape, self.plane, self.fit))
                     for chip in self.exposure.chips)
