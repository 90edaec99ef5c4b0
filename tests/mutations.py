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
        "stars not eliminated from the joint solution", "alignment/fitting/adjustment.py",
        "normal[np.ix_(columns, columns)] -= dense.T @ dense",
        "pass",
        "unit/alignment/test_joint.py::test_poor_catalog_does_not_part_the_images"),
    Mutation(
        "errors of lists as stated", "alignment/fitting/adjustment.py",
        "scale, floor = error_model(size[some], known[some].mean(axis=1))",
        "scale, floor = 1.0, 0.0",
        "unit/alignment/test_joint.py::test_images_that_a_poor_catalog_leaves_unchanged_agree_in_the_end"),
    Mutation(
        "gain of the header whatever the errors tell", "files/images/fits.py",
        "return told if max(told / stated, stated / told) > _SAME_GAIN else stated",
        "return stated",
        "unit/files/test_fits.py::test_errors_of_pixels_tell_the_gain"),
    Mutation(
        "lists in the order of the input", "alignment/matching/overlap.py",
        "one.block is not None, one.name))",
        "one.block is not None))",
        "unit/alignment/test_joint.py::test_result_does_not_depend_on_the_order"),
    Mutation(
        "stars of a catalog at rest in the joint solution", "alignment/matching/overlap.py",
        "xy[moving] -= one.shifts[is_reference[moving]]",
        "pass",
        "unit/alignment/test_joint.py::test_stars_that_move_are_where_they_were_on_the_date_of_each_exposure"),
    Mutation(
        "a visit's exposures in several fields", "alignment/joint.py",
        " | (block[:, None] == block)",
        "",
        "unit/alignment/test_joint.py::test_fields_that_touch_an_exposure_at_rest_stay_together"),
    Mutation(
        "trails only where no chip is off", "alignment/joint.py",
        "            overlap = dataclasses.replace(overlap, trailing=_trailing(overlap, solved))\n        if terms:",
        "        if terms:",
        "unit/alignment/test_joint.py::test_charge_that_trails_moves_no_chip_and_no_exposure"),
    Mutation(
        "upper chip read at its lower edge", "alignment/matching/overlap.py",
        "y / upper.shape[0] - 1)",
        "y / upper.shape[0])",
        "unit/alignment/test_joint.py::test_charge_that_trails_moves_no_chip_and_no_exposure"),
    Mutation(
        "unchanged exposures tested one by one", "alignment/joint.py",
        "if is_needless(p_value):",
        "if True:",
        "unit/alignment/test_joint.py::test_images_that_a_poor_catalog_leaves_unchanged_agree_in_the_end"),
    Mutation(
        "shift of a chip with the wrong sign", "alignment/matching/overlap.py",
        "columns[rows, :, 2 * place:2 * place + 2] = -steps",
        "columns[rows, :, 2 * place:2 * place + 2] = steps",
        "unit/alignment/test_joint.py::test_chip_that_is_shifted_is_put_right_in_all_images"),
    Mutation(
        "distortion left behind by a shifted chip", "wcs/correction.py",
        "wcs.sip.bp, wcs.sip.crpix + step)",
        "wcs.sip.bp, wcs.sip.crpix)",
        "unit/wcs/test_correction.py::test_shifted_chip_images_everything_further"),
    Mutation(
        "long words in errors", "errors.py",
        "super().__init__(_shortened(printable(str(text))))",
        "super().__init__(printable(str(text)))",
        "unit/test_errors.py"),
    Mutation(
        "control characters in errors", "errors.py",
        "super().__init__(_shortened(printable(str(text))))",
        "super().__init__(_shortened(str(text)))",
        "unit/test_errors.py"),
    Mutation(
        "digits of a cell matched in many ways", "catalogs/formats/columns.py",
        r"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE]",
        r"[+-]?(\d+\.?\d*|\.\d+)([eE]",
        "unit/test_long_lines.py"),
    Mutation(
        "the limit of open files", "files/atomic.py",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))",
        "pass",
        "unit/files/test_claims.py"),
    Mutation(
        "a reserved name stays after the run", "files/atomic.py",
        "            os.unlink(place)\n        lock.close()",
        "            pass\n        lock.close()",
        "unit/files/test_claims.py"),
    Mutation(
        "the mask of another chip", "files/lists.py",
        "area[min(number, len(area) - 1)]",
        "area[0]",
        "unit/files/test_lists.py::test_each_chip_has_its_own_mask"),
    Mutation(
        "the history of HST images has no table", "files/images/rewrite.py",
        "parts[place:place + 1] = [table]",
        "pass",
        "end_to_end/test_header_updates.py::test_history_of_hst_images"),
    Mutation(
        "NEXTEND without the history", "wcs/history.py",
        'extensions = len(hdus) - ("WCSCORR" in hdus)',
        "extensions = len(hdus) - 1",
        "end_to_end/test_header_updates.py::test_history_of_hst_images"),
    Mutation(
        "a longer table of the history with zeros in its unused rows", "wcs/history.py",
        "longer[column][first:first + room] = table[column][-1]",
        "pass",
        "unit/wcs/test_history.py::test_new_and_longer_tables"),
    Mutation(
        "a row of the history that is entered again", "wcs/history.py",
        "return same.any()",
        "return False",
        "unit/wcs/test_history.py::test_name_used_again"),
    Mutation(
        "the history with all digits of the WCS", "wcs/history.py",
        "WCSHDO_P14 | WCSHDO_safe)",
        "16384 * 2 | WCSHDO_safe)",
        "unit/wcs/test_history.py::test_wcs_of_other_kinds"),
    Mutation(
        "alternates of the image in its headerlet", "tasks/solutions/headerlets.py",
        "plain = alternates.without_alternates(hdu.header)",
        "plain = hdu.header",
        "end_to_end/test_headerlets.py"
        "::test_a_headerlet_of_an_image_whose_letters_are_all_taken"),
    Mutation(
        "a restore without a note", "tasks/solutions/restore.py",
        "names = unfinished.noted_names(paths) or _last_archived(paths)",
        "names = _last_archived(paths)",
        "end_to_end/test_interrupted.py::test_restore_killed_after_its_last_file"),
    Mutation(
        "a note that holds for ever", "tasks/solutions/unfinished.py",
        "return names if unchanged else {}",
        "return names",
        "end_to_end/test_interrupted.py"
        "::test_a_note_of_files_that_were_changed_since_does_not_count"),
    Mutation(
        "the reference WCS of --apply updated", "tasks/solutions/apply.py",
        'read.append((solutions.outwcs, "the reference WCS"))',
        "pass",
        "unit/tasks/test_apply_shiftfile.py"),
    Mutation(
        "error of the mean of a chip without the root of n", "alignment/verdict.py",
        "part.std(axis=0) / np.sqrt(n)",
        "part.std(axis=0)",
        "unit/alignment/test_verdicts.py::test_chip_that_is_shifted_against_the_other_is_re"
        "ported"),
    Mutation(
        "errors of the shiftfile swapped", "alignment/verdict.py",
        "self.fit.rotation_error, self.fit.scale_error",
        "self.fit.scale_error, self.fit.rotation_error",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "residuals of an unchanged image after the fit", "alignment/verdict.py",
        "return self.fit.residuals[used] if self.changes else (self.ref_xy - self.image_xy)"
        "[used]",
        "return self.fit.residuals[used]",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "rms about the mean", "alignment/verdict.py",
        "return np.sqrt((self.residuals**2).mean(axis=0))",
        "return self.residuals.std(axis=0)",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "sky residuals without cos dec", "alignment/verdict.py",
        "east * np.cos(np.deg2rad(ref_sky[:, 1])), north",
        "east, north",
        "unit/alignment/test_sequence.py::test_rms_and_residuals"),
    Mutation(
        "source error not in arcsec", "alignment/exposure.py",
        "sources.xy_error[rows] * pixel_scale(chip.wcs)",
        "sources.xy_error[rows]",
        "unit/alignment/test_sequence.py::test_exposure_has_the_sky_of_its_chips"),
    Mutation(
        "spread about zero", "alignment/verdict.py",
        "return self.residuals.std(axis=0)",
        "return np.sqrt((self.residuals**2).mean(axis=0))",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "clip asked of one axis", "alignment/fitting/fit.py",
        "return np.sqrt((residuals**2 / self.variance(model)).sum(axis=1) / 2)",
        "return np.sqrt((residuals**2 / self.variance(model)).sum(axis=1))",
        "unit/alignment/test_fit.py::test_outliers_are_rejected"),
    Mutation(
        "constant of the cauchy loss", "alignment/fitting/fit.py",
        "(pull / 2.385) ** 2",
        "(pull * 2.385) ** 2",
        "unit/alignment/test_fit.py::test_robust_loss_costs_little_where_all_is_well"),
    Mutation(
        "rotation error in radians", "alignment/fitting/fit.py",
        "return float(np.rad2deg(self._error(slope)))",
        "return float(self._error(slope))",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "scale error twice as large", "alignment/fitting/fit.py",
        "-xy, xx]) / (2 * self.scale))",
        "-xy, xx]) / self.scale)",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "scatter without the degrees of freedom", "alignment/fitting/weights.py",
        "residuals = residuals * np.sqrt(2 * n / max(2 * n - n_parameters, 1))",
        "residuals = residuals * 1.0",
        "unit/alignment/test_fit.py::test_scatter_of_few_pairs"),
    Mutation(
        "unknown errors count as the least", "alignment/fitting/weights.py",
        "errors[known].max(initial=0.0)",
        "errors[known].min(initial=np.inf)",
        "unit/alignment/test_fit.py::test_all_errors_unknown_are_equal_errors"),
    Mutation(
        "match not mutual", "alignment/matching/match.py",
        "mutual = back == np.arange(len(near))",
        "mutual = np.ones(len(back), bool)",
        "unit/alignment/test_match.py::test_pairs_are_mutual_nearest_neighbours"),
    Mutation(
        "separation asked the wrong way", "alignment/matching/match.py",
        "finite[nearest >= separation]",
        "finite[nearest <= separation]",
        "unit/alignment/test_match.py::test_separation_leaves_out_close_pairs_of_either_lis"
        "t"),
    Mutation(
        "loose chip by its error alone", "alignment/sequence.py",
        "if size > CHIP_PIXELS and size > CHIP_SIGMA * np.hypot(*error):",
        "if size > CHIP_SIGMA * np.hypot(*error):",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "loose chip by its size alone", "alignment/sequence.py",
        "if size > CHIP_PIXELS and size > CHIP_SIGMA * np.hypot(*error):",
        "if size > CHIP_PIXELS:",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "no member contradicts its visit", "alignment/sequence.py",
        "if found and len(exposures) > 1 and found.is_contradicted(number, rules):",
        "if False:",
        "unit/alignment/test_verdicts.py::test_exposure_that_does_not_share_the_correction_"
        "of_its_visit_fails"),
    Mutation(
        "depth not cut to the shallower list", "alignment/evidence.py",
        "(count >= FEWEST_MATCHES) & (depth <= n_common)",
        "(count >= FEWEST_MATCHES) & (depth >= n_common)",
        "unit/alignment/test_evidence.py"),
    Mutation(
        "repetition counted", "alignment/solve.py",
        "* (1 - covered) * (1 - along)",
        "* (1 - along)",
        "property/test_false_alignments.py"),
    Mutation(
        "repetition counted along lines", "alignment/evidence.py",
        "* (1 - covered) * self.n_along",
        "* self.n_along",
        "property/test_false_alignments.py"),
    Mutation(
        "lines counted", "alignment/evidence.py",
        "return self.n_extra / self.n_matches",
        "return 0.0",
        "property/test_false_alignments.py"),
    Mutation(
        "one dimension", "alignment/evidence.py",
        "(n_far - n_near + 1) * tolerance",
        "tolerance",
        "unit/alignment/test_evidence.py"),
    Mutation(
        "crowds are lines", "alignment/evidence.py",
        "max(n_beside, 2 *",
        "min(n_beside, 2 *",
        "unit/alignment/test_evidence.py"),
    Mutation(
        "photons against PSF", "detection/psf/gain.py",
        "(light[own] ** 2).mean()",
        "light[own].mean()",
        "unit/detection/test_gain.py"),
    Mutation(
        "gain of noise alone", "detection/psf/gain.py",
        "photons > _LEAST_SIGNIFICANCE * uncertainty",
        "photons > 0",
        "unit/detection/test_gain.py"),
    Mutation(
        "crowded half", "alignment/evidence.py",
        "distance >= np.median(distance)",
        "distance <= np.median(distance)",
        "unit/alignment/test_evidence.py"),
    Mutation(
        "own area", "alignment/order.py",
        "(self._cover & target).sum(axis=1)",
        "self._cover.sum(axis=1)",
        "unit/alignment/test_order.py"),
    Mutation(
        "reference by area and not by overlap", "alignment/order.py",
        "self._cover.sum(axis=0) > 1",
        "self._cover.sum(axis=0) > 0",
        "unit/alignment/test_order.py"),
    Mutation(
        "reference does not stand for its visit", "alignment/sequence.py",
        'visit = first.metadata.visit if rules.group == "visit" else ""',
        'visit = ""',
        "unit/alignment/test_verdicts.py::test_exposures_of_a_visit_share_a_correction"),
    Mutation(
        "reference of the epoch of its catalog", "alignment/sequence.py",
        "reference.at(exposures[0].metadata.epoch)",
        "reference.at(None)",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "rejected pairs are witnesses", "alignment/sequence.py",
        "reference.with_detections(verdict.ref_rows[verdict.fit.used])",
        "reference.with_detections(verdict.ref_rows)",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "unchanged images feed the reference", "alignment/sequence.py",
        "if self.rules.expand_refcat and verdict.changes:",
        "if self.rules.expand_refcat:",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "reference grows by results before the joint solution", "alignment/sequence.py",
        "reference = dataclasses.replace(reference, sources=final)",
        "pass",
        "unit/alignment/test_joint.py::test_catalog_grows_by_the_joint_positions"),
    Mutation(
        "user's stop is a rejection", "alignment/sequence.py",
        "queue.stopped = _STOPPED",
        'queue.stopped = ""',
        "unit/alignment/test_sequence.py::test_review_stops"),
    Mutation(
        "few matches on the same pixels are defects", "alignment/significance.py",
        "if is_fixed.sum() < _FIXED_SHARE * len(is_fixed):",
        "if not is_fixed.any():",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "one degree of freedom a match", "alignment/significance.py",
        "max(2 * n_pairs - n_parameters, 1)",
        "max(n_pairs - n_parameters, 1)",
        "unit/alignment/test_odds.py"),
    Mutation(
        "one offset counted in the odds", "alignment/significance.py",
        "n_offsets = max(1.0, (2 * half_box) ** 2 / (np.pi * tolerance**2))",
        "n_offsets = 1.0",
        "unit/alignment/test_verdicts.py::test_few_stars"),
    Mutation(
        "rotations counted for a shift", "alignment/significance.py",
        'if geometry == "shift":',
        'if geometry != "shift":',
        "unit/alignment/test_odds.py"),
    Mutation(
        "a member with too few sources contradicts", "alignment/evidence.py",
        "if mine.sum() < max(rules.fewest_matches, 1):\n            return False",
        "if not mine.any():\n            return False",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "errors of the reference not in the weights", "alignment/solve.py",
        "pair_errors(self.image.error[i], self.reference.error[r])",
        "self.image.error[i]",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "first offset with the sign of the shiftfile", "alignment/solve.py",
        "first_guess = (-self.rules.xoffset, -self.rules.yoffset)",
        "first_guess = (self.rules.xoffset, self.rules.yoffset)",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "first offset with x and y swapped", "alignment/solve.py",
        "first_guess = (-self.rules.xoffset, -self.rules.yoffset)",
        "first_guess = (-self.rules.yoffset, -self.rules.xoffset)",
        "unit/alignment/test_alignment_details.py"),
    Mutation(
        "magclip one-sided", "alignment/solve.py",
        "deviation = np.abs(difference - np.median(difference[known]))",
        "deviation = difference - np.median(difference[known])",
        "unit/alignment/test_verdicts.py::test_exposures_of_a_visit_share_a_correction"),
    Mutation(
        "partners not distinct", "alignment/solve.py",
        "len(np.unique(fitted.ref_index))",
        "len(fitted.ref_index)",
        "unit/alignment/test_odds.py"),
    Mutation(
        "scatter of magnitudes not robust", "alignment/solve.py",
        "max(1.4826 * np.median(deviation[known])",
        "max(np.median(deviation[known])",
        "unit/alignment/test_verdicts.py::test_exposures_of_a_visit_share_a_correction"),
    Mutation(
        "counts per second divided", "catalogs/formats/columns.py",
        "return values * exposure_time",
        "return values / exposure_time",
        "unit/catalogs/test_user.py::test_limits_in_counts"),
    Mutation(
        "doubtful sources are added", "catalogs/reference.py",
        "np.flatnonzero((found.flags & Flag.UNRELIABLE) == 0)",
        "np.arange(len(found))",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "error of a mean not less", "catalogs/reference.py",
        "np.maximum(total, 1e-300) ** -0.5",
        "np.maximum(old_weight, 1e-300) ** -0.5",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "error of the fit left out", "alignment/verdict.py",
        "np.hypot(moved.sky_error, shift_error)",
        "moved.sky_error",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "rejected pairs are added again", "catalogs/reference.py",
        "np.setdiff1d(reliable, rows)",
        "np.setdiff1d(reliable, rows[used])",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "rejected pairs join the reference", "catalogs/reference.py",
        "used = used & (fixed >= 0)",
        "used = fixed >= 0",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "right ascension of the mean across zero hours", "catalogs/reference.py",
        "(sky - position[rows] + 180) % 360 - 180",
        "sky - position[rows]",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "weights swapped", "catalogs/reference.py",
        "share = np.divide(new_weight, total,",
        "share = np.divide(old_weight, total,",
        "unit/alignment/test_grown_reference.py"),
    Mutation(
        "unreliable sources first", "catalogs/sources.py",
        "np.lexsort((-merit, turn, poor))",
        "np.lexsort((-merit, turn, ~poor))",
        "unit/catalogs/test_sources.py::test_best_are_reliable_before_they_are_bright"),
    Mutation(
        "motion with cos dec twice", "catalogs/stars.py",
        "step[:, :1] * east",
        "step[:, :1] * east * np.cos(dec)[:, None]",
        "unit/catalogs/test_surveys.py::test_errors_grow_with_the_years"),
    Mutation(
        "no motion is no error", "catalogs/stars.py",
        "np.where(self.flags & NO_MOTION, _TYPICAL_MOTION, 0.0)",
        "np.where(self.flags & NO_MOTION, 0.0, 0.0)",
        "unit/catalogs/test_surveys.py::test_errors_grow_with_the_years"),
    Mutation(
        "years from midnight", "catalogs/stars.py",
        "(mjd - 51544.5)",
        "(mjd - 51544.0)",
        "unit/catalogs/test_surveys.py::test_epochs"),
    Mutation(
        "ruwe asked the wrong way", "catalogs/surveys.py",
        "poor = ruwe > _LARGEST_RUWE",
        "poor = ruwe < _LARGEST_RUWE",
        "unit/catalogs/test_surveys.py::test_gaia"),
    Mutation(
        "limits in counts per second multiplied", "catalogs/user.py",
        "return flux / exposure_time",
        "return flux * exposure_time",
        "unit/catalogs/test_user.py::test_limits_in_counts"),
    Mutation(
        "limits of magnitudes the other way", "catalogs/user.py",
        "-2.5 * np.log10(flux), np.inf",
        "2.5 * np.log10(flux), np.inf",
        "unit/catalogs/test_surveys.py::test_limits_work_on_references"),
    Mutation(
        "astray positions without a floor", "detection/finders/daofind.py",
        "np.maximum(xy_error, 1.0), xy_error)",
        "xy_error, xy_error)",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "clip of the sky of one side", "detection/finders/daofind.py",
        "np.abs(deviation, out=deviation) <= clip",
        "deviation <= clip",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "edge one pixel too narrow", "detection/finders/daofind.py",
        "(self.column >= nx - hx)",
        "(self.column > nx - hx)",
        "unit/detection/test_daofind.py::test_stars_on_the_edge_are_marked_or_have_honest_e"
        "rrors"),
    Mutation(
        "errors ignore the noise map", "detection/finders/daofind.py",
        "pixel_noise = relative * (",
        "pixel_noise = 1.0 * (",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "finder looks above the largest noise", "detection/finders/daofind.py",
        "limit * np.nanmin(relative_noise)",
        "limit * np.nanmax(relative_noise)",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "flux limits of the peak", "detection/finders/daofind.py",
        "(flux, finding.fluxmin, finding.fluxmax)",
        "(flux, finding.peakmin, finding.peakmax)",
        "unit/detection/test_daofind.py::test_limits_cut_the_list"),
    Mutation(
        "gain multiplied in the errors", "detection/finders/daofind.py",
        "np.sqrt((flux / gain + 2 * background)",
        "np.sqrt((flux * gain + 2 * background)",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "noise map multiplied", "detection/finders/daofind.py",
        "(image - level) / relative_noise",
        "(image - level) * relative_noise",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "sky by plain deviation", "detection/finders/daofind.py",
        "sigma = SKY_FACTOR * noise if",
        "sigma = noise if",
        "unit/detection/test_daofind.py::test_sky_alone"),
    Mutation(
        "threshold ignores the noise map", "detection/finders/daofind.py",
        "(found.height >= limit * relative)",
        "(found.height >= limit)",
        "unit/detection/test_noise_map.py"),
    Mutation(
        "right ascension of the plane below zero", "wcs/plane.py",
        "np.arctan2(y, x) % (2 * np.pi)",
        "np.arctan2(y, x)",
        "unit/wcs/test_plane.py::test_plane_around_the_places_where_coordinates_jump"),
    Mutation(
        "signs of regions exchanged", "detection/ds9.py",
        '"+": False, "-": True',
        '"+": True, "-": False',
        "unit/detection/test_exclusions.py::test_only_excluding_regions_leave_the_rest_good"),
    Mutation(
        "centre of the innermost core", "detection/psf/epsf.py",
        "radius = min(self.fwhm, self.half + 0.5)",
        "radius = 0.7 * self.fwhm",
        "unit/detection/test_epsf.py::test_lopsided_stars"),
    Mutation(
        "sky without a bound", "detection/psf/epsf_fit.py",
        "is_low = part.sky + step[:, 3] < own.level",
        "is_low = part.sky < -np.inf",
        "unit/detection/test_epsf_measure.py"),
    Mutation(
        "terms of a PSF not judged by other stars", "detection/psf/epsf_variation.py",
        "found = _solved(*_summed(own[others], normal[others], right[others]))",
        "found = _solved(*_summed(own, normal, right))",
        "unit/detection/test_epsf_measure.py::test_a_steady_psf_has_no_variation"),
    Mutation(
        "centre of a PSF does not follow", "detection/psf/epsf.py",
        "centre[own] += terms @ variation.centre",
        "pass",
        "unit/detection/test_epsf_measure.py"),
    Mutation(
        "errors not inflated", "detection/psf/epsf_fit.py",
        "np.sqrt(np.maximum(fit.chi2, 1))[:, None]",
        "1.0",
        "unit/detection/test_epsf.py::test_errors_grow_with_the_residuals"),
    Mutation(
        "flux error of counts", "detection/psf/epsf_fit.py",
        "light / stamps.gain[:, None, None]",
        "light * stamps.gain[:, None, None]",
        "unit/detection/test_epsf.py::test_gain_is_that_of_the_photons"),
    Mutation(
        "poor fits stay unreliable", "detection/psf/epsf_fit.py",
        "catalog.flags & ~Flag.UNRELIABLE, catalog.flags | Flag.POOR_FIT",
        "catalog.flags, catalog.flags | Flag.POOR_FIT",
        "unit/detection/test_epsf.py::test_good_fit_makes_a_position_reliable_again"),
    Mutation(
        "stamps from zero", "detection/psf/stamps.py",
        "y = centre[:, 1, None, None] - 1 + offset[:, None]",
        "y = centre[:, 1, None, None] + offset[:, None]",
        "unit/detection/test_epsf.py::test_measured_surface_is_that_of_the_stars"),
    Mutation(
        "stars are not told from hits", "detection/psf/epsf_fit.py",
        "good = fit.good & (fit.tolerant_chi2 < POOR_CHI2)",
        "good = fit.good",
        "unit/detection/test_epsf.py::test_hits_are_flagged_and_stars_are_not"),
    Mutation(
        "first region wins", "detection/exclusions.py",
        "[inside] = excluded",
        "[inside] |= excluded",
        "unit/detection/test_exclusions.py::test_the_later_region_wins"),
    Mutation(
        "zeros of a mask are good", "detection/exclusions.py",
        "return ~(np.abs(data) > 0)",
        "return np.abs(data) > 0",
        "unit/detection/test_exclusions.py::test_zeros_of_a_mask_image_are_excluded"),
    Mutation(
        "brightest are cosmic rays", "detection/measure.py",
        "(sources.flags & Flag.UNRELIABLE) > 0))",
        "(sources.flags & Flag.UNRELIABLE) < 0))",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "mask a pixel off", "detection/measure.py",
        "(np.rint(sources.xy).astype(int) - 1).T",
        "np.rint(sources.xy).astype(int).T",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "noise of the weight", "detection/measure.py",
        "np.where(inverse_variance > 0, inverse_variance, np.nan) ** -0.5",
        "np.where(inverse_variance > 0, inverse_variance, np.nan) ** 0.5",
        "end_to_end/test_references.py::test_inverse_variance_maps"),
    Mutation(
        "sources on trails stay", "detection/measure.py",
        "sources = sources[~on_trail]",
        "sources = sources[on_trail | ~on_trail]",
        "unit/detection/test_trails.py::test_lists_have_no_sources_on_trails"),
    Mutation(
        "trails are straight", "detection/trails.py",
        "2 if good.sum() > 6 else 1)",
        "1)",
        "unit/detection/test_trails.py"),
    Mutation(
        "faint trails take stars", "detection/trails.py",
        "_LEAST_EXCESS = 2.0",
        "_LEAST_EXCESS = 0.0",
        "unit/detection/test_trails.py::test_faint_trail_that_makes_no_sources_takes_no_stars"),
    Mutation(
        "light on one side is a direction", "detection/trails.py",
        "mean(axis=-1).min(axis=1)",
        "mean(axis=-1).max(axis=1)",
        "unit/detection/test_trails.py::test_light_on_one_side_is_no_direction"),
    Mutation(
        "dqbits reject what they should keep", "files/images/fits.py",
        "good_mask_value=False)",
        "good_mask_value=True)",
        "end_to_end/test_inputs.py::test_dqbits_name_what_is_good"),
    Mutation(
        "rows and columns of the reference WCS swapped", "files/images/fits.py",
        'header["NPIX1"] = (plane.shape[1], "length of axis 1")',
        'header["NPIX1"] = (plane.shape[0], "length of axis 1")',
        "end_to_end/test_run.py::test_headers_move_every_pixel_as_the_shiftfile_says"),
    Mutation(
        "headerlet without the new WCS", "tasks/solutions/headerlets.py",
        "corrected_header(plain, wcs, solution,",
        "corrected_header(plain, None, solution,",
        "end_to_end/test_headerlets.py::test_stwcs_applies_it_as_primary"),
    Mutation(
        "absent members of an association", "files/inputs.py",
        "and here.upper() not in _ABSENT and",
        "and",
        "unit/files/test_expand_inputs.py::test_association"),
    Mutation(
        "products among the members of an association", "files/inputs.py",
        '_NO_EXPOSURE = re.compile(r"PROD|.*WAVE"',
        '_NO_EXPOSURE = re.compile(r".*WAVE"',
        "unit/files/test_expand_inputs.py::test_association"),
    Mutation(
        "waivered flags left as they are", "files/inputs.py",
        "if flags and _look_into(flags) is None:",
        "if not flags:",
        "unit/files/test_expand_inputs.py::test_waivered_file_becomes_extensions"),
    Mutation(
        "what was converted is converted again", "files/inputs.py",
        "if os.path.exists(target):",
        "if False:",
        "unit/files/test_expand_inputs.py::test_what_was_converted_is_kept"),
    Mutation(
        "wildcards unsorted", "files/inputs.py",
        "paths = sorted(glob.glob(_with_lone_brackets_escaped(path)))",
        "paths = sorted(glob.glob(path), reverse=True)",
        "unit/files/test_expand_inputs.py::test_combinations"),
    Mutation(
        "epoch of the start", "files/images/instruments.py",
        "mjd = (start + end) / 2",
        "mjd = start",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "gain of counts a second divided", "files/images/instruments.py",
        "gain *= float(exptime)",
        "gain /= float(exptime)",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "gain of electrons from the header", "files/images/instruments.py",
        'if unit.startswith("ELECTRON"):',
        'if not unit.startswith("ELECTRON"):',
        "unit/tasks/test_image_files.py"),
    Mutation(
        "half the exposure before its start", "files/images/instruments.py",
        'mjd = header["MJD-OBS"] + half',
        'mjd = header["MJD-OBS"] - half',
        "unit/tasks/test_image_files.py"),
    Mutation(
        "visit of the whole root", "files/images/instruments.py",
        'visit=words["VISIT_ID"] or visit_of(root),',
        'visit=words["VISIT_ID"] or root,',
        "unit/tasks/test_image_files.py"),
    Mutation(
        "region files without a sign are searched", "files/lists.py",
        'plain = "include" if _SIGNED.search(text) else "exclude"',
        'plain = "include"',
        "end_to_end/test_references.py::test_meaning_of_regions"),
    Mutation(
        "checksum left as it was", "files/images/rewrite.py",
        'if "CHECKSUM" in header:',
        "if False:",
        "end_to_end/test_header_updates.py::test_checksums_are_right"),
    Mutation(
        "farthest in time", "files/solution.py",
        'np.argsort(distance, kind="stable")[:2]',
        'np.argsort(distance, kind="stable")[::-1][:2]',
        "unit/files/test_solution.py::test_nearest_in_time_of_a_visit"),
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
        "from_shift scale multiplied", "files/solution.py",
        "np.array([[cos, -sin], [sin, cos]]) / shift.scale",
        "np.array([[cos, -sin], [sin, cos]]) * shift.scale",
        "unit/tasks/test_apply_shiftfile.py"),
    Mutation(
        "from_shift transposed", "files/solution.py",
        "np.array([[cos, -sin], [sin, cos]]) / shift.scale",
        "np.array([[cos, sin], [-sin, cos]]) / shift.scale",
        "unit/tasks/test_apply_shiftfile.py"),
    Mutation(
        "moved WCS is corrected", "files/solution.py",
        "if row.is_applied and off > correction.SAME_POSITION:",
        "if False:",
        "end_to_end/test_apply.py::test_wcs_that_somebody_moved"),
    Mutation(
        "other visits are kin", "files/solution.py",
        "if row.visit and row.visit == record.visit and row.is_applied]",
        "if row.is_applied]",
        "unit/files/test_directions.py"),
    Mutation(
        "solutions of a visit that differ are taken", "files/solution.py",
        "< _AGREE:",
        "< np.inf:",
        "end_to_end/test_apply.py::test_solutions_that_differ_are_ambiguous"),
    Mutation(
        "geomap means swapped", "files/text.py",
        "centre = matrix @ fit.centre + constant",
        "centre = fit.centre",
        "unit/files/test_geomap.py"),
    Mutation(
        "geomap record of the fit", "files/text.py",
        "matrix = np.linalg.inv(fit.matrix)",
        "matrix = fit.matrix",
        "unit/files/test_solution.py::test_geomap_record_is_the_inverse_of_the_fit"),
    Mutation(
        "geomap rotation the other way", "files/text.py",
        "np.arctan2([-yx, xy], [xx, yy])",
        "np.arctan2([yx, -xy], [xx, yy])",
        "unit/files/test_geomap.py"),
    Mutation(
        "geomap scales of rows", "files/text.py",
        '_geomap_pair("mag", np.hypot(*matrix))',
        '_geomap_pair("mag", np.hypot(*matrix.T))',
        "unit/files/test_geomap.py"),
    Mutation(
        "geomap shift added", "files/text.py",
        "constant = fit.centre - matrix @ (fit.centre + fit.shift)",
        "constant = fit.centre - matrix @ (fit.centre - fit.shift)",
        "unit/files/test_solution.py::test_geomap_record_is_the_inverse_of_the_fit"),
    Mutation(
        "residuals of the match file", "files/text.py",
        "-fit.residuals[used], ref.xy",
        "fit.residuals[used], ref.xy",
        "unit/files/test_text.py::test_fit_file"),
    Mutation(
        "rotation of the match file", "files/text.py",
        "np.linalg.inv(alignment.fit.matrix).T",
        "np.linalg.inv(alignment.fit.matrix)",
        "unit/files/test_directions.py"),
    Mutation(
        "exit status of apply", "interfaces/solutions.py",
        "all(one.wcsname for one in report)",
        "any(one.wcsname for one in report)",
        "end_to_end/test_apply.py::test_failed_image_is_skipped_and_named"),
    Mutation(
        "mas of the table in arcsec", "report/summary.py",
        "mas_per_pixel = 1000 * self.plane.pixel_scale",
        "mas_per_pixel = self.plane.pixel_scale",
        "unit/tasks/test_image_files.py"),
    Mutation(
        "one success is enough", "report/summary.py",
        "return not self.failures",
        "return len(self.failures) < len(self.alignments)",
        "end_to_end/test_bad_input.py::test_bad_image_among_good_ones"),
    Mutation(
        "failed image is updated", "tasks/writing/outputs.py",
        "for a in alignments if a.status is not Status.FAILED]",
        "for a in alignments]",
        "end_to_end/test_bad_input.py::test_failed_image_is_not_updated"),
    Mutation(
        "failed image with numbers in the shiftfile", "tasks/writing/outputs.py",
        "if alignment.status is Status.FAILED:\n        values",
        "if False:\n        values",
        "end_to_end/test_bad_input.py::test_failed_image_is_not_updated"),
    Mutation(
        "search radius in arcsec taken for pixels", "tasks/run.py",
        "searchrad=task.searchrad / scale",
        "searchrad=task.searchrad",
        "unit/tasks/test_units.py"),
    Mutation(
        "first archive is the last", "wcs/alternates.py",
        "return names[max(names)]",
        "return names[min(names)]",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "letter in the gap", "wcs/alternates.py",
        "next((key for key in free if key > last), free[0])",
        "free[0]",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "restore keeps the ORIENTAT", "wcs/alternates.py",
        'header["ORIENTAT"] = orientation(read_wcs(header))',
        'header["ORIENTAT"] = header["ORIENTAT"]',
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "restore takes O away", "wcs/alternates.py",
        "[key] if key != ORIGINAL else []",
        "[key]",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "ORIENTAT of the old matrix", "wcs/correction.py",
        'header["ORIENTAT"] = orientation(wcs)',
        'header["ORIENTAT"] = header["ORIENTAT"]',
        "unit/wcs/test_correction.py::test_what_is_said_of_the_solution"),
    Mutation(
        "RMS_RA and RMS_DEC swapped in CRDER", "wcs/correction.py",
        'header["CRDER2"] = (dec_rms,',
        'header["CRDER2"] = (ra_rms,',
        "unit/wcs/test_correction.py::test_what_is_said_of_the_solution"),
    Mutation(
        "deviation in plane pixels", "wcs/correction.py",
        "np.hypot(*error.T).max() * (plane.pixel_scale / pixel_scale(wcs))",
        "np.hypot(*error.T).max()",
        "unit/wcs/test_wcs_distances.py"),
    Mutation(
        "rms of the history in arcsec", "wcs/correction.py",
        "(rms / _ARCSEC * _MAS for rms in",
        "(rms for rms in",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "the headerlet of the old WCS stays", "wcs/correction.py",
        'for keyword in ("HDRNAME", "CATALOG"):',
        "for keyword in ():",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "S_REGION of the outer edges", "wcs/keywords.py",
        "[(1, 1), (1, ny), (nx, ny), (nx, 1), (1, 1)]",
        "[(0.5, 0.5), (0.5, ny), (nx, ny), (nx, 0.5), (0.5, 0.5)]",
        "unit/wcs/test_archive_order.py"),
    Mutation(
        "plane with room to one side", "wcs/plane.py",
        "wcs.wcs.crpix = 1 - low",
        "wcs.wcs.crpix = -low",
        "unit/wcs/test_wcs_distances.py"),
    Mutation(
        "apart without cos dec", "wcs/plane.py",
        "np.column_stack([east * np.cos(np.deg2rad(sky[:, 1])), dec])",
        "np.column_stack([east, dec])",
        "unit/wcs/test_wcs_distances.py"),
)


def run_tests(lib, tests):
    """Run tests with the library of another folder; returns the exit status of pytest."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider",
               "-o", f"pythonpath={lib} tests tests/bench", *(f"tests/{test}" for test in tests)]
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
