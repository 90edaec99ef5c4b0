"""The record of geomap leads from the reference to the image, in all of its fields."""

import dataclasses

import numpy as np
import pytest
from planes import EASY, PLANE, as_drizzlepac, exposure_at, pair, stars, verdicts

from imagereg.files.text import geomap_text


def record(result):
    """Return the fields of the record of an alignment, and its surface: (11, 2)."""
    text = geomap_text([("b", result.fit)], PLANE.shape, "shifts_wcs.fits")
    lines = [line for line in text.splitlines() if not line.startswith(("#", "begin"))]
    fields = dict(line.split() for line in lines if not line.startswith("\t\t"))
    return fields, np.array([line.split() for line in lines if line.startswith("\t\t")], float)


@pytest.fixture(scope="module")
def result():
    """Return the alignment of an image that is shifted, turned and scaled."""
    return verdicts(pair((12.0, -7.5), 0.5, 1.003, size=1e-6), PLANE, EASY)[1]


def test_surface_takes_the_reference_to_the_image(result):
    """IRAF's help page of geomap: x_in = a + b x_ref + c y_ref; y_in = d + e x_ref + f y_ref."""
    _, surface = record(result)
    np.testing.assert_allclose(surface[8] + result.ref_xy @ surface[9:], result.image_xy, atol=1e-4)


def test_fields_are_those_of_the_surface(result):
    """There b, c, e, f = xmag cos(xrot), ymag sin(yrot), -xmag sin(xrot), ymag cos(yrot)."""
    fields, surface = record(result)
    xmag, ymag, xrot, yrot = (
        float(fields[name]) for name in ("xmag", "ymag", "xrotation", "yrotation")
    )
    xrot, yrot = np.deg2rad([xrot, yrot])
    (b, e), (c, f) = surface[9:]
    np.testing.assert_allclose([xmag * np.cos(xrot), ymag * np.sin(yrot)], [b, c], rtol=1e-9)
    np.testing.assert_allclose([-xmag * np.sin(xrot), ymag * np.cos(yrot)], [e, f], rtol=1e-9)
    np.testing.assert_allclose(
        [float(fields["xshift"]), float(fields["yshift"])], surface[8], rtol=1e-9
    )


def test_means_correspond(result):
    fields, _ = record(result)
    ref, image = (
        np.array([[float(fields[f"{axis}{name}"]) for axis in "xy"]])
        for name in ("refmean", "mean")
    )
    np.testing.assert_allclose(
        image, as_drizzlepac(ref, *result.offset, result.rotation, result.scale), atol=1e-4
    )


def test_scales_of_the_axes_are_those_of_x_and_y():
    ref_xy = stars(40)
    image_xy = PLANE.centre + (ref_xy - PLANE.centre) * (1.004, 0.998) @ np.array(
        [[1.0, 0.01], [-0.01, 1.0]]
    )
    exposures = exposure_at(ref_xy, "a"), exposure_at(image_xy, "b")
    fields, surface = record(
        verdicts(exposures, PLANE, dataclasses.replace(EASY, fitgeometry="general"))[1]
    )
    assert float(fields["xmag"]) == pytest.approx(np.hypot(*surface[9]), rel=1e-9)
    assert float(fields["ymag"]) == pytest.approx(np.hypot(*surface[10]), rel=1e-9)
    assert float(fields["xmag"]) - float(fields["ymag"]) == pytest.approx(0.006, abs=1e-4)
