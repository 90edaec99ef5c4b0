"""The result in words: the verdict first, then a table of 79 columns, then the reasons."""

import dataclasses
import re

import numpy as np
import pytest
from fields import fit_linear

from imagereg.alignment.sequence import Alignment, Exposure, Metadata, Status
from imagereg.catalogs.sources import SourceCatalog
from imagereg.report.summary import Result
from imagereg.wcs.plane import TangentPlane

PLANE = TangentPlane.flat(0.05)
TOO_FEW = "4 matches, as unrelated sources would give with probability 0.3"


def alignment(number, status=Status.ALIGNED, reason="", *, name="", shift=(3.0, -2.0)):
    """Return an alignment with a fit, on ten sources that are off by a shift."""
    name = name or f"j8bt0{number}nyq_flt.fits"
    xy = np.random.default_rng(number).uniform(0, 1000, (10, 2))
    exposure = Exposure(name, name, Metadata(), (), SourceCatalog(xy=xy))
    fit = fit_linear(xy, xy + shift + np.random.default_rng(1).normal(0, 0.05, xy.shape), centre=PLANE.centre)
    rows = np.arange(len(xy))
    return Alignment(exposure, status, reason, PLANE, fit=fit, image_xy=xy, ref_xy=xy + shift, rows=rows, ref_rows=rows)


def result(*alignments):
    reference = alignment(0, Status.REFERENCE)
    return Result((dataclasses.replace(reference, fit=None), *alignments), PLANE, SourceCatalog.empty())


FAILED = alignment(3, Status.FAILED, TOO_FEW)


@pytest.mark.parametrize(("alignments", "verdict"), [
    ([alignment(1), alignment(2)], "3 of 3 images aligned"),
    ([alignment(1, Status.UNCHANGED, "as good")], "2 of 2 images aligned (1 unchanged: the WCS was as good)"),
    ([alignment(1), alignment(2), FAILED], f"3 of 4 images aligned, 1 failed: j8bt03nyq_flt.fits: {TOO_FEW}"),
    ([FAILED, alignment(4, Status.FAILED, TOO_FEW), alignment(5, Status.FAILED, "no sources")],
     f"1 of 4 images aligned, 3 failed: j8bt03nyq_flt.fits, j8bt04nyq_flt.fits: {TOO_FEW}; 1 for other reasons, see "
     "below"),
    ([alignment(n, Status.FAILED, "stopped by the user") for n in range(1, 9)],
     "1 of 9 images aligned, 8 failed: j8bt01nyq_flt.fits, j8bt02nyq_flt.fits, j8bt03nyq_flt.fits, and 5 more: stopped "
     "by the user"),
])
def test_verdict(alignments, verdict):
    made = result(*alignments)
    assert made.verdict == verdict
    assert made.ok is ("failed" not in verdict)
    assert " ".join(str(made).split()).startswith(verdict)


def test_verdict_of_nothing_aligned():
    assert Result((FAILED,), PLANE, SourceCatalog.empty()).verdict.startswith("none of 1 image aligned: j8bt03nyq")


@pytest.mark.parametrize("name", ["", "a_name_of_a_mosaic_that_is_much_longer_than_those_of_exposures_drz.fits[sci,2]"])
def test_lines_fit_a_screen_and_nothing_is_cut(name):
    turned = alignment(2, name=name, shift=(-12345.678, -9999.9))
    lines = str(result(alignment(1), turned, FAILED)).splitlines()
    assert max(map(len, lines)) <= 79 or max(lines, key=len).startswith(name) and name
    assert any(line.startswith(turned.name) for line in lines)
    assert not any("..." in line for line in lines)


def test_numbers_of_a_refused_fit_are_not_shown():
    """They would look like a solution; the table in Python has them."""
    row, = (line for line in str(result(FAILED)).splitlines() if re.match(r"j8bt03nyq_flt.fits +failed", line))
    assert set(row.split()[2:-1]) == {"-"}


def test_no_minus_before_zero():
    assert not re.search(r"-0\.0+\b", str(result(alignment(1, shift=(1e-9, -1e-9)))))
