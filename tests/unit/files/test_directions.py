"""Rotations of the match file, and for whom a solution holds."""

import numpy as np
import pytest
from planes import EASY, PLANE, pair, verdicts

from imagereg.errors import InputError
from imagereg.files.solution import ExposureRecord, Solutions, SolvedExposure
from imagereg.files.text import fit_text
from imagereg.wcs.plane import TangentPlane


def test_rotation_and_scale_of_the_match_file_are_those_of_the_shiftfile():
    result = verdicts(pair((4.0, -6.0), 0.5, 1.003, size=1e-6), PLANE, EASY)[1]
    lines = [
        line.strip("# ").split(": ")
        for line in fit_text(result).splitlines()
        if line.startswith("#    ")
    ]
    values = {
        words[0]: np.array(words[1].split(), float)
        for words in lines
        if words[0].startswith(("X and", "<rot"))
    }
    np.testing.assert_allclose(values["X and Y scale"], result.scale, rtol=1e-6)
    np.testing.assert_allclose(values["X and Y rotation"], result.rotation, atol=1e-5)
    np.testing.assert_allclose(values["<rotation> and skew"], (result.rotation, 0), atol=1e-5)


def test_solution_holds_for_no_other_visit():
    row = SolvedExposure(
        file="j8bt06naq_flt.fits",
        rootname="j8bt06naq",
        visit="j8bt06",
        epoch=2000.0,
        xx=1.0,
        xy=0.0,
        yx=0.0,
        yy=1.0,
        x_shift=5.0,
        y_shift=0.0,
        x_centre=0.0,
        y_centre=0.0,
    )
    solutions = Solutions("s.ecsv", TangentPlane.flat(), (row,))
    place = {"epoch": 2000.1, "x_first": 0.0, "y_first": 0.0, "x_last": 9.0, "y_last": 9.0}
    assert solutions.rows_for(ExposureRecord("j8bt06nbq_flt.fits", "j8bt06nbq", "j8bt06", **place)) == [row]
    for visit in ("j8bt07", ""):
        with pytest.raises(InputError, match="nor for its visit"):
            solutions.rows_for(ExposureRecord("j8bt07nbq_flt.fits", "j8bt07nbq", visit, **place))
