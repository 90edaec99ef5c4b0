"""Break the library on purpose, one small change at a time, and see whether a test notices.

Each mutation is a text of a module, what to put in its place, and the tests that must fail then.
They run against a copy of `lib` in a temporary folder; the library itself is not touched. Usage,
from any folder::

    python tests/mutations.py [--list] [--only WORD]

It prints ``caught`` or ``survived`` for each mutation; ``not found`` where its text does not stand
exactly once in its module, and ``no such test`` where pytest could not run its tests: the code or
the tests have changed then, and the table here is to be renewed. The exit status is 0 if all are
caught.
"""

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSED, FAILED = 0, 1  # exit status of pytest; others mean that it could not run the tests


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A change that makes the library wrong.

    Parameters
    ----------
    name : str
        What is wrong then.
    module : str
        File below ``lib/imagereg``.
    old, new : str
        Text that stands there exactly once, and what replaces it.
    tests : str
        Tests that have to fail, below ``tests``.
    """

    name: str
    module: str
    old: str
    new: str
    tests: str


MUTATIONS = (
    Mutation(
        "counts per second divided", "catalogs/columns.py",
        "return values * exposure_time",
        "return values / exposure_time",
        "unit/catalogs/test_readers.py::test_limits_in_counts"),
    Mutation(
        "rejected pairs join the reference", "catalogs/reference.py",
        "joined = fit.used & (fixed >= 0)",
        "joined = fixed >= 0",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "right ascension of the mean across zero hours", "catalogs/reference.py",
        "(sky[new] - position[old] + 180) % 360 - 180",
        "sky[new] - position[old]",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "rejected pairs are added again", "catalogs/reference.py",
        "(found.flags & Flag.UNRELIABLE) == 0), rows)",
        "(found.flags & Flag.UNRELIABLE) == 0), new)",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "doubtful sources are added", "catalogs/reference.py",
        "np.flatnonzero((found.flags & Flag.UNRELIABLE) == 0), rows)",
        "np.arange(len(found)), rows)",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "confirmed is what nobody else has seen", "catalogs/reference.py",
        "(seen[fixed] > 0)",
        "(seen[fixed] == 0)",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "error of a mean not less", "catalogs/reference.py",
        "np.maximum(total, 1e-300) ** -0.5",
        "np.maximum(own, 1e-300) ** -0.5",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "weights swapped", "catalogs/reference.py",
        "weight = np.divide(other, total,",
        "weight = np.divide(own, total,",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "error of the fit left out", "catalogs/reference.py",
        "np.hypot(found.sky_error, fit.shift_error * plane.pixel_scale)",
        "found.sky_error",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "unreliable sources first", "catalogs/sources.py",
        "np.lexsort((merit, turn, poor))",
        "np.lexsort((merit, turn, ~poor))",
        "unit/catalogs/test_sources.py::test_best_are_reliable_before_they_are_bright"),
    Mutation(
        "motion with cos dec twice", "catalogs/surveys.py",
        "step[:, :1] * east",
        "step[:, :1] * east * np.cos(dec)[:, None]",
        "unit/catalogs/test_surveys.py::test_errors_grow_with_the_years"),
    Mutation(
        "years before the epoch", "catalogs/surveys.py",
        "(np.nan if epoch is None else float(epoch)) - self.epoch",
        "self.epoch - (np.nan if epoch is None else float(epoch))",
        "unit/catalogs/test_surveys.py::test_errors_grow_with_the_years"),
    Mutation(
        "years from midnight", "catalogs/surveys.py",
        "(mjd - 51544.5)",
        "(mjd - 51544.0)",
        "unit/catalogs/test_surveys.py::test_epochs"),
    Mutation(
        "ruwe asked the wrong way", "catalogs/surveys.py",
        "poor = ruwe > _LARGEST_RUWE",
        "poor = ruwe < _LARGEST_RUWE",
        "unit/catalogs/test_surveys.py::test_gaia"),
    Mutation(
        "errors of poor stars divided", "catalogs/surveys.py",
        "columns[name] * factor",
        "columns[name] / factor",
        "unit/catalogs/test_surveys.py::test_gaia"),
    Mutation(
        "no motion is no error", "catalogs/surveys.py",
        "np.where(self.flags & NO_MOTION, _TYPICAL_MOTION, 0.0)",
        "np.where(self.flags & NO_MOTION, 0.0, 0.0)",
        "unit/catalogs/test_surveys.py::test_errors_grow_with_the_years"),
    Mutation(
        "limits of magnitudes the other way", "catalogs/user.py",
        "-2.5 * np.log10(catalog.flux), np.inf",
        "2.5 * np.log10(catalog.flux), np.inf",
        "unit/catalogs/test_surveys.py::test_limits_work_on_references"),
    Mutation(
        "limits in counts per second multiplied", "catalogs/user.py",
        "catalog.flux / exposure_time",
        "catalog.flux * exposure_time",
        "unit/catalogs/test_readers.py::test_limits_in_counts"),
    Mutation(
        "sky by plain deviation", "detection/daofind.py",
        "sigma = 1.5 * noise if skysigma is None",
        "sigma = noise if skysigma is None",
        "unit/detection/test_daofind.py::test_sky_alone"),
    Mutation(
        "gain multiplied in the errors", "detection/daofind.py",
        "centroid = np.sqrt((flux / gain + 2 * background)",
        "centroid = np.sqrt((flux * gain + 2 * background)",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "errors ignore the noise map", "detection/daofind.py",
        "relative * np.full(len(flux), noise if",
        "1.0 * np.full(len(flux), noise if",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "finder looks above the largest noise", "detection/daofind.py",
        "limit * np.nanmin(relative_noise)",
        "limit * np.nanmax(relative_noise)",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "noise map multiplied", "detection/daofind.py",
        "(image - level) / relative_noise",
        "(image - level) * relative_noise",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "flux limits of the peak", "detection/daofind.py",
        "(flux, fluxmin, fluxmax)",
        "(flux, peakmin, peakmax)",
        "unit/detection/test_daofind.py::test_limits_cut_the_list"),
    Mutation(
        "edge one pixel too narrow", "detection/daofind.py",
        "(column >= nx - hx)",
        "(column > nx - hx)",
        "unit/detection/test_daofind.py::test_stars_on_the_edge_are_marked_or_have_honest_errors"),
    Mutation(
        "astray positions without a floor", "detection/daofind.py",
        "np.maximum(centroid, 1.0), centroid)",
        "centroid, centroid)",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "clip of the sky of one side", "detection/daofind.py",
        "np.abs(sample - sample.mean()) <= clip",
        "(sample - sample.mean()) <= clip",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "threshold ignores the noise map", "detection/daofind.py",
        'found["height"] >= limit * relative',
        'found["height"] >= limit',
        "unit/detection/test_noise_map.py"),
    Mutation(
        "flux error of counts", "detection/epsf.py",
        "light / stamps.gain[:, None, None]",
        "light * stamps.gain[:, None, None]",
        "unit/detection/test_epsf.py::test_gain_is_that_of_the_photons"),
    Mutation(
        "stamps from zero", "detection/epsf.py",
        "y = centre[:, 1, None, None] - 1 + offset[:, None]",
        "y = centre[:, 1, None, None] + offset[:, None]",
        "unit/detection/test_epsf.py::test_measured_surface_is_that_of_the_stars"),
    Mutation(
        "poor fits stay unreliable", "detection/epsf.py",
        "catalog.flags & ~Flag.UNRELIABLE, catalog.flags | Flag.POOR_FIT",
        "catalog.flags, catalog.flags | Flag.POOR_FIT",
        "unit/detection/test_epsf.py::test_good_fit_makes_a_position_reliable_again"),
    Mutation(
        "stars are not told from hits", "detection/epsf.py",
        "good = fit.good & (tolerant < _POOR_CHI2)",
        "good = fit.good",
        "unit/detection/test_epsf.py::test_hits_are_flagged_and_stars_are_not"),
    Mutation(
        "errors not inflated", "detection/epsf.py",
        "np.sqrt(np.maximum(fit.chi2, 1))[:, None]",
        "1.0",
        "unit/detection/test_epsf.py::test_errors_grow_with_the_residuals"),
    Mutation(
        "signs of regions exchanged", "detection/exclusions.py",
        '"+": False, "-": True',
        '"+": True, "-": False',
        "unit/detection/test_exclusions.py::test_only_excluding_regions_leave_the_rest_good"),
    Mutation(
        "zeros of a mask are good", "detection/exclusions.py",
        "return ~(np.abs(data) > 0)",
        "return np.abs(data) > 0",
        "unit/detection/test_exclusions.py::test_zeros_of_a_mask_image_are_excluded"),
    Mutation(
        "first region wins", "detection/outlines.py",
        "mask[tally.window][tally.inside()] = excluded",
        "mask[tally.window][tally.inside()] |= excluded",
        "unit/detection/test_exclusions.py::test_the_later_region_wins"),
    Mutation(
        "RMS_RA and RMS_DEC swapped in CRDER", "wcs/keywords.py",
        'header["CRDER2"] = (solution.rms[1]',
        'header["CRDER2"] = (solution.rms[0]',
        "unit/wcs/test_keywords.py::test_what_is_said_of_the_solution"),
    Mutation(
        "rms of the history in arcsec", "wcs/keywords.py",
        "value * 3.6e6:.2f",
        "value * 3600:.2f",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "first archive is the last", "wcs/keywords.py",
        "return names[max(names)]",
        "return names[min(names)]",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "first of equal names is restored", "wcs/keywords.py",
        "return named[-1] if named else",
        "return named[0] if named else",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "letter before the name", "wcs/keywords.py",
        'return named[-1] if named else name.upper() if name.upper() in names else ""',
        'return name.upper() if name.upper() in names else named[-1] if named else ""',
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "restore takes O away", "wcs/keywords.py",
        "[key] if key != _ORIGINAL else []",
        "[key]",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "S_REGION of the outer edges", "wcs/keywords.py",
        "[(1, 1), (1, ny), (nx, ny), (nx, 1), (1, 1)]",
        "[(0.5, 0.5), (0.5, ny), (nx, ny), (nx, 0.5), (0.5, 0.5)]",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "ORIENTAT of the old matrix", "wcs/keywords.py",
        '            header["ORIENTAT"] = orientation(wcs)\n',
        '            header["ORIENTAT"] = header["ORIENTAT"]\n',
        "unit/wcs/test_keywords.py::test_what_is_said_of_the_solution"),
    Mutation(
        "restore keeps the ORIENTAT", "wcs/keywords.py",
        'header["ORIENTAT"] = orientation(read_wcs(header))',
        'header["ORIENTAT"] = header["ORIENTAT"]',
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "the headerlet of the old WCS stays", "wcs/keywords.py",
        'for keyword in ("HDRNAME", "CATALOG"):',
        "for keyword in ():",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "CROTA turns the other way", "wcs/keywords.py",
        "[[np.cos(turn), -np.sin(turn) * ratio], [np.sin(turn) / ratio, np.cos(turn)]]",
        "[[np.cos(turn), np.sin(turn) * ratio], [-np.sin(turn) / ratio, np.cos(turn)]]",
        "unit/wcs/test_keywords.py::test_archived_wcs_is_the_old_one"),
    Mutation(
        "CROTA with the inverse ratio", "wcs/keywords.py",
        "[[np.cos(turn), -np.sin(turn) * ratio], [np.sin(turn) / ratio, np.cos(turn)]]",
        "[[np.cos(turn), -np.sin(turn) / ratio], [np.sin(turn) * ratio, np.cos(turn)]]",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "letter in the gap", "wcs/keywords.py",
        "next((key for key in free if key > last), free[0])",
        "free[0]",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "right ascension of the plane below zero", "wcs/plane.py",
        "arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))]",
        "arctan2(y, x), np.arctan2(z, np.hypot(x, y))]",
        "unit/wcs/test_plane.py::test_plane_around_the_places_where_coordinates_jump"),
    Mutation(
        "plane with room to one side", "wcs/plane.py",
        "wcs.wcs.crpix = 1 - low",
        "wcs.wcs.crpix = -low",
        "unit/wcs/test_wcs_distances.py"),
    Mutation(
        "apart without cos dec", "wcs/plane.py",
        "np.hypot(east * np.cos(np.deg2rad(sky[:, 1])), (there",
        "np.hypot(east, (there",
        "unit/wcs/test_wcs_distances.py"),
    Mutation(
        "deviation in plane pixels", "wcs/plane.py",
        "    deviation *= plane.pixel_scale / pixel_scale(wcs)\n",
        "",
        "unit/wcs/test_wcs_distances.py"),
    Mutation(
        "own area", "alignment/coverage.py",
        "(cover & target).sum(axis=1)",
        "cover.sum(axis=1)",
        "unit/alignment/test_order.py"),
    Mutation(
        "sky residuals without cos dec", "alignment/exposure.py",
        "east * np.cos(np.deg2rad(ref_sky[:, 1])), ref_sky",
        "east, ref_sky",
        "unit/alignment/test_sequence.py::test_rms_and_residuals"),
    Mutation(
        "rms about the mean", "alignment/exposure.py",
        "return np.sqrt((self.residuals**2).mean(axis=0)) if",
        "return self.residuals.std(axis=0) if",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "spread about zero", "alignment/exposure.py",
        "return self.residuals.std(axis=0) if",
        "return np.sqrt((self.residuals**2).mean(axis=0)) if",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "residuals of an unchanged image after the fit", "alignment/exposure.py",
        "return self.fit.residuals[used] if self.changes else (self.ref_xy - self.image_xy)[used]",
        "return self.fit.residuals[used]",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "error of the mean of a chip without the root of n", "alignment/exposure.py",
        "part.std(axis=0) / np.sqrt(len(part))",
        "part.std(axis=0)",
        "unit/alignment/test_verdicts.py::"
        "test_chip_that_is_shifted_against_the_other_is_reported"),
    Mutation(
        "errors of the shiftfile swapped", "alignment/exposure.py",
        "fit.rotation_error, fit.scale_error]",
        "fit.scale_error, fit.rotation_error]",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "source error not in arcsec", "alignment/exposure.py",
        "sources.xy_error[rows] * pixel_scale(chip.wcs)",
        "sources.xy_error[rows]",
        "unit/alignment/test_sequence.py::test_exposure_has_the_sky_of_its_chips"),
    Mutation(
        "rotation error in radians", "alignment/fit.py",
        "return float(np.rad2deg(self._error(slope)))",
        "return float(self._error(slope))",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "scale error twice as large", "alignment/fit.py",
        "-xy, xx]) / (2 * self.scale))",
        "-xy, xx]) / self.scale)",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "clip asked of one axis", "alignment/fit.py",
        "return np.sqrt((residuals**2 / self.variance(scatter)).sum(axis=1) / 2)",
        "return np.sqrt((residuals**2 / self.variance(scatter)).sum(axis=1))",
        "unit/alignment/test_fit.py::test_outliers_are_rejected"),
    Mutation(
        "constant of the cauchy loss", "alignment/fit.py",
        "(pull / 2.385) ** 2",
        "(pull * 2.385) ** 2",
        "unit/alignment/test_fit.py::test_robust_loss_costs_little_where_all_is_well"),
    Mutation(
        "level of the ladder", "alignment/fit.py",
        "< _LEVEL",
        "< 50 * _LEVEL",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "unknown errors count as the least", "alignment/fit.py",
        "errors[known].max(initial=0.0)",
        "errors[known].min(initial=np.inf)",
        "unit/alignment/test_fit.py::test_all_errors_unknown_are_equal_errors"),
    Mutation(
        "scatter without the degrees of freedom", "alignment/fit.py",
        "residuals = residuals * np.sqrt(2 * n / max(2 * n - parameters, 1))",
        "residuals = residuals * 1.0",
        "unit/alignment/test_fit.py::test_scatter_of_few_pairs"),
    Mutation(
        "one degree of freedom a match", "alignment/fit.py",
        "max(2 * self.nmatches - parameters, 1)",
        "max(self.nmatches - parameters, 1)",
        "unit/alignment/test_odds.py"),
    Mutation(
        "separation asked the wrong way", "alignment/match.py",
        "finite[nearest >= separation]",
        "finite[nearest <= separation]",
        "unit/alignment/test_match.py::test_separation_leaves_out_close_pairs_of_either_list"),
    Mutation(
        "match not mutual", "alignment/match.py",
        "mutual = back == image_index",
        "mutual = np.ones(len(back), bool)",
        "unit/alignment/test_match.py::test_pairs_are_mutual_nearest_neighbours"),
    Mutation(
        "no member contradicts its visit", "alignment/sequence.py",
        "if found and len(exposures) > 1 and found.contradicts(number, rules):",
        "if False:",
        "unit/alignment/test_verdicts.py::"
        "test_exposure_that_does_not_share_the_correction_of_its_visit_fails"),
    Mutation(
        "reference of the epoch of its catalog", "alignment/sequence.py",
        "catalog = reference.at(exposures[0].epoch)",
        "catalog = reference.at(None)",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "reference does not stand for its visit", "alignment/sequence.py",
        'visit=first.visit if rules.group == "visit" else "")',
        'visit="")',
        "unit/alignment/test_verdicts.py::test_exposures_of_a_visit_share_a_correction"),
    Mutation(
        "rejected pairs are witnesses", "alignment/sequence.py",
        "reference.witnessed(verdict.ref_rows[verdict.fit.used])",
        "reference.witnessed(verdict.ref_rows)",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "unchanged images feed the reference", "alignment/sequence.py",
        "if not (self.rules.expand_refcat and verdict.changes):",
        "if not self.rules.expand_refcat:",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "reference by area and not by overlap", "alignment/sequence.py",
        "self._cover.sum(axis=0) > 1)",
        "self._cover.sum(axis=0) > 0)",
        "unit/alignment/test_order.py"),
    Mutation(
        "loose chip by its error alone", "alignment/sequence.py",
        "if size > _CHIP_PIXELS and size > _CHIP_SIGMA * np.hypot(*error):",
        "if size > _CHIP_SIGMA * np.hypot(*error):",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "loose chip by its size alone", "alignment/sequence.py",
        "if size > _CHIP_PIXELS and size > _CHIP_SIGMA * np.hypot(*error):",
        "if size > _CHIP_PIXELS:",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "user's stop is a rejection", "alignment/sequence.py",
        '"stopped before this image" if answer == "stop" else ""',
        '""',
        "unit/alignment/test_sequence.py::test_review_stops"),
    Mutation(
        "first offset with the sign of the shiftfile", "alignment/solve.py",
        '"offset": (-rules.xoffset, -rules.yoffset)}',
        '"offset": (rules.xoffset, rules.yoffset)}',
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "first offset with x and y swapped", "alignment/solve.py",
        '"offset": (-rules.xoffset, -rules.yoffset)}',
        '"offset": (-rules.yoffset, -rules.xoffset)}',
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "errors of the reference not in the weights", "alignment/solve.py",
        "errors=np.hypot(lists.image_error[i], lists.ref_error[r])",
        "errors=lists.image_error[i]",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "one offset counted in the odds", "alignment/solve.py",
        "trials = max(1.0, (2 * radius) ** 2 / (np.pi * tolerance**2)) if rules.use2dhist else 1.0",
        "trials = 1.0",
        "unit/alignment/test_verdicts.py::test_few_stars"),
    Mutation(
        "scatter of magnitudes not robust", "alignment/solve.py",
        "max(1.4826 * np.median(step[known]), 0.02)",
        "max(np.median(step[known]), 0.02)",
        "unit/alignment/test_verdicts.py::test_exposures_of_a_visit_share_a_correction"),
    Mutation(
        "magclip one-sided", "alignment/solve.py",
        "step = np.abs(step - np.median(step[known]))",
        "step = step - np.median(step[known])",
        "unit/alignment/test_verdicts.py::test_exposures_of_a_visit_share_a_correction"),
    Mutation(
        "few matches on the same pixels are defects", "alignment/solve.py",
        "if same.sum() < _STUCK_SHARE * len(same):",
        "if not same.any():",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "a member with too few sources contradicts", "alignment/solve.py",
        "if mine.sum() < max(rules.minobj, 1):\n            return False",
        "if not mine.any():\n            return False",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "rotations counted for a shift", "alignment/solve.py",
        'if rules.fitgeometry != "shift":',
        'if rules.fitgeometry == "shift":',
        "unit/alignment/test_odds.py"),
    Mutation(
        "partners not distinct", "alignment/solve.py",
        "distinct = len(np.unique(found.ref_index))",
        "distinct = len(found.ref_index)",
        "unit/alignment/test_odds.py"),
    Mutation(
        "dqbits reject what they should keep", "files/fits.py",
        "ignore_flags=flags or 0, good_mask_value=False",
        "ignore_flags=flags or 0, good_mask_value=True",
        "end_to_end/test_inputs.py::test_dqbits_name_what_is_good"),
    Mutation(
        "gain of counts a second divided", "files/fits.py",
        "gain *= float(exptime)",
        "gain /= float(exptime)",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "gain of electrons from the header", "files/fits.py",
        'if not unit.startswith("ELECTRON"):',
        'if unit.startswith("ELECTRON"):',
        "unit/tasks/test_image_files.py"),
    Mutation(
        "epoch of the start", "files/fits.py",
        "mjd = (start + end) / 2",
        "mjd = start",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "half the exposure before its start", "files/fits.py",
        'mjd = header["MJD-OBS"] + half',
        'mjd = header["MJD-OBS"] - half',
        "unit/tasks/test_image_files.py"),
    Mutation(
        "visit of the whole root", "files/fits.py",
        ".strip() or visit_of(root))",
        ".strip() or root)",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "checksum left as it was", "files/fits.py",
        'if "CHECKSUM" in header:',
        "if False:",
        "end_to_end/test_header_updates.py::test_checksums_are_right"),
    Mutation(
        "rows and columns of the reference WCS swapped", "files/fits.py",
        'header["NPIX1"] = (plane.shape[1], "length of axis 1")',
        'header["NPIX1"] = (plane.shape[0], "length of axis 1")',
        "end_to_end/test_run.py::test_headers_move_every_pixel_as_the_shiftfile_says"),
    Mutation(
        "geomap record of the fit", "files/geomap.py",
        "matrix = np.linalg.inv(fit.matrix)",
        "matrix = fit.matrix",
        "unit/files/test_solution.py::test_geomap_record_is_the_inverse_of_the_fit"),
    Mutation(
        "geomap shift added", "files/geomap.py",
        "constant = fit.centre - matrix @ (fit.centre + fit.shift)",
        "constant = fit.centre - matrix @ (fit.centre - fit.shift)",
        "unit/files/test_solution.py::test_geomap_record_is_the_inverse_of_the_fit"),
    Mutation(
        "geomap rotation the other way", "files/geomap.py",
        "np.arctan2([-yx, xy], [xx, yy])",
        "np.arctan2([yx, -xy], [xx, yy])",
        "unit/files/test_geomap.py"),
    Mutation(
        "geomap means swapped", "files/geomap.py",
        "centre = matrix @ fit.centre + constant",
        "centre = fit.centre",
        "unit/files/test_geomap.py"),
    Mutation(
        "geomap scales of rows", "files/geomap.py",
        "np.hypot(*matrix)",
        "np.hypot(*matrix.T)",
        "unit/files/test_geomap.py"),
    Mutation(
        "headerlet without the new WCS", "files/headerlets.py",
        "headers.corrected_header(headers.without_alternates(hdu.header), wcs, solution)",
        "headers.corrected_header(headers.without_alternates(hdu.header), None, solution)",
        "end_to_end/test_headerlets.py::test_stwcs_applies_it_as_primary"),
    Mutation(
        "every chip is an exposure of its own", "files/inputs.py",
        "return [(extver,) for extver in extvers] if stis else [tuple(extvers)]",
        "return [(extver,) for extver in extvers]",
        "unit/files/test_inputs.py::test_imsets"),
    Mutation(
        "wildcards unsorted", "files/inputs.py",
        "paths = sorted(glob.glob(path))",
        "paths = sorted(glob.glob(path), reverse=True)",
        "unit/files/test_inputs.py::test_combinations"),
    Mutation(
        "products among the members of an association", "files/inputs.py",
        '_NO_EXPOSURE = re.compile(r"PROD|.*WAVE"',
        '_NO_EXPOSURE = re.compile(r".*WAVE"',
        "unit/files/test_inputs.py::test_association"),
    Mutation(
        "absent members of an association", "files/inputs.py",
        "and here.upper() not in _ABSENT and",
        "and",
        "unit/files/test_inputs.py::test_association"),
    Mutation(
        "waivered flags left as they are", "files/inputs.py",
        "if flags and _is_waivered(flags):",
        "if not flags:",
        "unit/files/test_inputs.py::test_waivered_file_becomes_extensions"),
    Mutation(
        "what was converted is converted again", "files/inputs.py",
        "if os.path.exists(target):",
        "if False:",
        "unit/files/test_inputs.py::test_what_was_converted_is_kept"),
    Mutation(
        "region files without a sign are searched", "files/lists.py",
        'plain="include" if _SIGNED.search(text) else "exclude"',
        'plain="include"',
        "end_to_end/test_references.py::test_meaning_of_regions"),
    Mutation(
        "farthest in time", "files/solution.py",
        'np.argsort(distance, kind="stable")[:2]',
        'np.argsort(distance, kind="stable")[::-1][:2]',
        "unit/files/test_solution.py::test_nearest_in_time_of_a_visit"),
    Mutation(
        "other visits are kin", "files/solution.py",
        "row.visit and row.visit == frame.visit and row.is_applied",
        "row.is_applied",
        "unit/files/test_directions.py"),
    Mutation(
        "from_shift transposed", "files/solution.py",
        "np.array([[cos, -sin], [sin, cos]]) / shift.scale",
        "np.array([[cos, sin], [-sin, cos]]) / shift.scale",
        "unit/tasks/test_apply_shiftfile.py"),
    Mutation(
        "from_shift scale multiplied", "files/solution.py",
        "np.array([[cos, -sin], [sin, cos]]) / shift.scale",
        "np.array([[cos, -sin], [sin, cos]]) * shift.scale",
        "unit/tasks/test_apply_shiftfile.py"),
    Mutation(
        "from_shift offset added", "files/solution.py",
        "-matrix @ [shift.dx, shift.dy]",
        "matrix @ [shift.dx, shift.dy]",
        "unit/tasks/test_apply_shiftfile.py"),
    Mutation(
        "from_shift offset not turned", "files/solution.py",
        "-matrix @ [shift.dx, shift.dy]",
        "-np.array([shift.dx, shift.dy])",
        "unit/tasks/test_apply_shiftfile.py"),
    Mutation(
        "moved WCS is corrected", "files/solution.py",
        "if row.is_applied and off > _SAME:",
        "if False:",
        "end_to_end/test_apply.py::test_wcs_that_somebody_moved"),
    Mutation(
        "solutions of a visit that differ are taken", "files/solution.py",
        "< _AGREE:",
        "< np.inf:",
        "end_to_end/test_apply.py::test_solutions_that_differ_are_ambiguous"),
    Mutation(
        "active solutions of another sky", "files/stored.py",
        "apart(chip.wcs, others[chip.extver], chip.shape) < headerlets.SAME",
        "True",
        "end_to_end/test_headerlets.py::test_list"),
    Mutation(
        "rms of the list in arcsec", "files/stored.py",
        "float(r) * 3.6e6",
        "float(r) * 3600",
        "end_to_end/test_headerlets.py::test_list"),
    Mutation(
        "residuals of the match file", "files/text.py",
        "-fit.residuals[used], ref.xy",
        "fit.residuals[used], ref.xy",
        "unit/files/test_text.py::test_fit_file"),
    Mutation(
        "rotation of the match file", "files/text.py",
        "np.linalg.inv(fit.matrix).T",
        "np.linalg.inv(fit.matrix)",
        "unit/files/test_directions.py"),
    Mutation(
        "scatter of an applied solution in arcsec", "tasks/apply.py",
        "rms=(row.ra_rms / 3600, row.dec_rms / 3600)",
        "rms=(row.ra_rms, row.dec_rms)",
        "end_to_end/test_apply.py::test_solution_makes_the_headers_that_the_run_made"),
    Mutation(
        "solution already there is applied again", "tasks/apply.py",
        "if row.is_applied:\n            _check_new",
        "if False:\n            _check_new",
        "end_to_end/test_apply.py::test_applied_twice"),
    Mutation(
        "noise of the weight", "tasks/exposures.py",
        "np.where(variance > 0, variance, np.nan) ** -0.5",
        "np.where(variance > 0, variance, np.nan) ** 0.5",
        "end_to_end/test_references.py::test_inverse_variance_maps"),
    Mutation(
        "mask a pixel off", "tasks/exposures.py",
        "(np.rint(sources.xy).astype(int) - 1).T",
        "np.rint(sources.xy).astype(int).T",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "brightest are cosmic rays", "tasks/exposures.py",
        "(sources.flags & Flag.UNRELIABLE) > 0))",
        "(sources.flags & Flag.UNRELIABLE) < 0))",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "stamps without the noise map", "tasks/exposures.py",
        "noise=noise * relative_noise[y, x])",
        "noise=noise + 0 * relative_noise[y, x])",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "scatter of the header in arcsec", "tasks/outputs.py",
        "alignment.sky_rms / 3600",
        "alignment.sky_rms",
        "end_to_end/test_run.py::test_keywords_of_an_updated_header"),
    Mutation(
        "failed image with numbers in the shiftfile", "tasks/outputs.py",
        "if alignment.status is Status.FAILED:\n        values",
        "if False:\n        values",
        "end_to_end/test_bad_input.py::test_failed_image_is_not_updated"),
    Mutation(
        "failed image is updated", "tasks/outputs.py",
        "for a in alignments if a.status is not Status.FAILED]",
        "for a in alignments]",
        "end_to_end/test_bad_input.py::test_failed_image_is_not_updated"),
    Mutation(
        "headerlet of another distortion", "tasks/restore.py",
        "hdu.shape) < headerlets.SAME:",
        "hdu.shape) < np.inf:",
        "end_to_end/test_headerlets.py::test_activate_refuses_another_distortion"),
    Mutation(
        "one success is enough", "tasks/run.py",
        "return all(a.status is not Status.FAILED",
        "return any(a.status is not Status.FAILED",
        "end_to_end/test_bad_input.py::test_bad_image_among_good_ones"),
    Mutation(
        "mas of the table in arcsec", "tasks/run.py",
        "(1000 * self.plane.pixel_scale * np",
        "(self.plane.pixel_scale * np",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "search radius in arcsec taken for pixels", "tasks/steps.py",
        "searchrad=task.searchrad / scale",
        "searchrad=task.searchrad",
        "unit/tasks/test_units.py"),
    Mutation(
        "exit status of the alignment", "interfaces/cli.py",
        "return 0 if result.ok else 1\n\n\ndef _is_parameter",
        "return 0\n\n\ndef _is_parameter",
        "end_to_end/test_bad_input.py::test_bad_image_among_good_ones"),
    Mutation(
        "exit status of apply", "interfaces/cli.py",
        "return 0 if all(applied.wcsname for applied in report) else 1",
        "return 0 if any(applied.wcsname for applied in report) else 1",
        "end_to_end/test_apply.py::test_failed_image_is_skipped_and_named"),
)


def run_tests(lib, tests):
    """Run tests with the library of another folder; returns the exit status of pytest."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider",
               "-o", f"pythonpath={lib} tests", *(f"tests/{test}" for test in tests)]
    environment = os.environ | {"PYTHONPATH": str(lib)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True).returncode


def verdict(mutation, lib):
    """Apply a mutation to the copy of the library, run its tests, and take the mutation back."""
    path = lib / "imagereg" / mutation.module
    original = path.read_text() if path.exists() else ""
    if original.count(mutation.old) != 1:
        return "not found"
    path.write_text(original.replace(mutation.old, mutation.new))
    try:
        status = run_tests(lib, [mutation.tests])
    finally:
        path.write_text(original)
    return {PASSED: "survived", FAILED: "caught"}.get(status, "no such test")


def main():
    """Try the mutations that are asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="print the mutations and do nothing")
    parser.add_argument("--only", default="", metavar="WORD", help="by name or module")
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if options.only in m.name or options.only in m.module]
    if options.list:
        print(*(f"{m.module}: {m.name}" for m in chosen), sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        lib = Path(folder) / "lib"
        shutil.copytree(ROOT / "lib", lib)
        for kind in ("unit", "end_to_end"):  # apart: files of both may share a name
            tests = sorted({m.tests for m in chosen if m.tests.startswith(kind)})
            if tests and run_tests(lib, tests) != PASSED:
                print(f"the {kind} tests do not pass without any mutation")
                return 1
        verdicts = []
        for mutation in chosen:
            verdicts.append(verdict(mutation, lib))
            print(f"{verdicts[-1]:12} {mutation.module}: {mutation.name}", flush=True)
    caught = verdicts.count("caught")
    print(f"{caught} of {len(verdicts)} caught")
    return 0 if caught == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
