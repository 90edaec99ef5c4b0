"""Wherever on the sky: planes go there and back, and corrected WCSs follow the fit."""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from fields import fit_linear
from hypothesis import example, given
from hypothesis import strategies as st

from imagereg.wcs.correction import corrected_wcs
from imagereg.wcs.plane import TangentPlane, orientation, pixel_scale, pixel_to_sky

SHAPE = (300, 500)
places = st.tuples(st.floats(0, 360), st.floats(-90, 90))
angles = st.floats(-180, 180)
transforms = st.fixed_dictionaries({"degrees": st.floats(-180, 180), "scale": st.floats(0.99, 1.01),
                                    "shift": st.tuples(st.floats(-60, 60), st.floats(-60, 60)),
                                    "skew": st.just(0.0) | st.floats(-0.01, 0.01)})


def chip(place, degrees, *, scale=0.1, mirrored=False, crpix=(250.5, 150.5), sip=False):
    """Return the WCS of a chip; `scale` in arcsec."""
    wcs, turn = WCS(naxis=2), np.deg2rad(degrees)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"] if sip else ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.pixel_shape = place, crpix, SHAPE[::-1]
    steps = np.diag([scale if mirrored else -scale, scale]) / 3600
    wcs.wcs.cd = steps @ [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    if sip:
        header = wcs.to_header()
        header.update({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-5,
                       "A_1_1": 1e-5, "B_0_2": -2e-5, "B_2_0": 1e-5})
        wcs = WCS(header)
    wcs.wcs.set()
    return wcs


def transform(centre, *, degrees, scale, shift, skew):
    """Return a fit about `centre`, without errors."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = scale * np.array([[cos, -sin + skew], [sin, cos]])
    image = centre + [(0, 0), (300, 0), (0, 300), (-200, -100)]
    return fit_linear(image, centre + (image - centre) @ matrix.T + shift, geometry="general", centre=centre, nclip=0)


def grid():
    """Return pixels all over a chip."""
    x, y = np.meshgrid(np.linspace(0.5, SHAPE[1] + 0.5, 7), np.linspace(0.5, SHAPE[0] + 0.5, 6))
    return np.column_stack([x.ravel(), y.ravel()])


@given(place=places, degrees=angles, mirrored=st.booleans(),
       crpix=st.tuples(st.floats(-3e3, 3e3), st.floats(-3e3, 3e3)))
@example(place=(0.0, 90.0), degrees=0.0, mirrored=False, crpix=(250.5, 150.5))
@example(place=(0.0, -90.0), degrees=0.0, mirrored=False, crpix=(0.0, 0.0))
@example(place=(360.0, 0.0), degrees=0.0, mirrored=False, crpix=(250.5, 150.5))
def test_plane_there_and_back(place, degrees, mirrored, crpix):
    wcs = chip(place, degrees, mirrored=mirrored, crpix=crpix)
    plane = TangentPlane.around([(wcs, SHAPE)])
    sky = pixel_to_sky(wcs, grid())
    xy = plane.sky_to_plane(sky)
    back = SkyCoord(plane.plane_to_sky(xy), unit="deg")
    assert back.separation(SkyCoord(sky, unit="deg")).arcsec.max() < 1e-5
    assert (xy > 0).all()
    assert (xy < np.add(plane.shape[::-1], 1)).all()
    assert np.abs(np.subtract(plane.shape, SHAPE)).max() <= 3
    np.testing.assert_allclose(xy - xy[0], grid() - grid()[0], atol=0.01)  # same scale, orientation and parity


@given(place=places, degrees=angles, change=transforms, mirrored=st.booleans(), sip=st.booleans())
@example(place=(10.0, 90.0), degrees=0.0, change={"degrees": 0.1, "scale": 1.0, "shift": (3, 4), "skew": 0.0},
         mirrored=False, sip=False)
@example(place=(10.0, -90.0), degrees=0.0, change={"degrees": 0.1, "scale": 1.0, "shift": (3, 4), "skew": 0.0},
         mirrored=False, sip=True)
def test_corrected_wcs_follows_the_fit(place, degrees, change, mirrored, sip):
    wcs = chip(place, degrees, mirrored=mirrored, sip=sip)
    plane = TangentPlane.around([(wcs, SHAPE)])
    fit = transform(plane.centre, **change)
    new = corrected_wcs(wcs, SHAPE, plane, fit)
    expected = fit(plane.sky_to_plane(pixel_to_sky(wcs, grid())))
    assert np.hypot(*(plane.sky_to_plane(pixel_to_sky(new, grid())) - expected).T).max() < 1e-3


@given(place=st.tuples(st.floats(0, 360), st.floats(-80, 80)), degrees=angles, turn=st.floats(-90, 90),
       factor=st.floats(0.9, 1.1))
def test_rotation_and_scale_of_a_fit_are_those_of_the_wcs(place, degrees, turn, factor):
    wcs = chip(place, degrees)
    plane = TangentPlane.around([(wcs, SHAPE)])
    fit = transform(plane.centre, degrees=turn, scale=factor, shift=(0, 0), skew=0)
    new = corrected_wcs(wcs, SHAPE, plane, fit)
    np.testing.assert_allclose(pixel_scale(new) / pixel_scale(wcs), factor, rtol=1e-6)
    # East is to the left of north: a turn from x to y is one from north to east.
    difference = (orientation(new) - orientation(wcs) - turn + 180) % 360 - 180
    assert abs(difference) < 1e-3
