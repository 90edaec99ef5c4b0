"""Geometry on the sky holds across 0 h and at the poles."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from imagereg.wcs.plane import directions, mean_direction, sky_offsets, unit_vectors


def test_vectors_there_and_back():
    sky = np.array([[[0.0, 0.0], [359.5, -80.0]], [[123.0, 45.0], [270.0, 89.9]]])
    vectors = unit_vectors(sky)
    assert vectors.shape == (2, 2, 3)
    np.testing.assert_allclose((vectors**2).sum(axis=-1), 1)
    np.testing.assert_allclose(directions(7 * vectors), sky, atol=1e-10)
    np.testing.assert_allclose(directions([[0, 1, 0], [0, 0, -2]]), [(90, 0), (0, -90)])


def test_mean_direction_across_zero_and_around_the_pole():
    np.testing.assert_allclose(mean_direction([(359.9, 10.0), (0.3, 10.0)])[0], 0.1)
    np.testing.assert_allclose(mean_direction([(ra, 89.0) for ra in (0, 90, 180, 270)])[1], 90)


@pytest.mark.parametrize("place", [(10.0, 0.0), (0.0, 60.0), (200.0, -75.0)])
def test_offsets_are_those_of_great_circles(place):
    sky = np.array([place, np.add(place, (0.002, -0.001))])
    origin = np.column_stack([(sky[:, 0] - 0.001) % 360, sky[:, 1] - 0.0005])
    expected = SkyCoord(origin, unit="deg").spherical_offsets_to(SkyCoord(sky, unit="deg"))
    np.testing.assert_allclose(sky_offsets(sky, origin).T, [e.deg for e in expected], atol=1e-7)
