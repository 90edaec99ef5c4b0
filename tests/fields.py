"""Transforms and positions that several test modules use."""

import numpy as np


def rotated(degrees, scale=1.0):
    """Return the matrix of a rotation from x to y, and of a scale."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return scale * np.array([[cos, -sin], [sin, cos]])


def scattered(count=30, seed=1, size=1000.0):
    """Return random positions (count, 2) about the origin."""
    return np.random.default_rng(seed).uniform(-size, size, (count, 2))


MATRICES = {"shift": np.eye(2), "rshift": rotated(0.3), "rscale": rotated(0.3, 1.0004),
            "xyscale": np.diag([1.0004, 0.9991]), "general": np.array([[1.001, 0.02], [-0.015, 0.997]])}
