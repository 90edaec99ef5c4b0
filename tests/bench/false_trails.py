"""Count the stars that are taken for pieces of a trail, and the sources of trails that are not.

Clean fields have 20 to 10,000 stars on 1024 x 1024 pixels: Gaussian ones, Moffat ones with their wings, and stars
trailed by 12 pixels as a whole. The same fields are crossed by a trail of a random direction, width and brightness.
Exit status 1 means that more than 0.5 % of the stars were taken, or fewer than 95 % of the sources on trails.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does for the modules of tests/

from finders import find_sources

from imagereg.detection.sky import measure_sky
from imagereg.detection.trails import on_trails

_SIZE = 1024
_LEVEL, _READ_NOISE = 60.0, 4.5
_NUMBERS = (20, 100, 500, 2000, 5000, 10000)
_KINDS = ("gaussian", "moffat", "trailed")
_MOST_FALSE, _LEAST_FOUND = 0.005, 0.95


def profile(kind, square_x, square_y):
    """Return the light of a star of unit flux and 2 pixels FWHM, 3 for a Moffat star."""
    square = square_x + square_y
    if kind == "moffat":
        scale = 1.5**2 / (2 ** (1 / 2.5) - 1)
        return 1.5 / np.pi / scale * (1 + square / scale) ** -2.5
    return np.exp(-square / 1.44) / 1.44 / np.pi


def field(random, number, kind):
    """Return the light of stars of fluxes 300 to 400,000."""
    reach = 32
    offset = np.arange(-reach, reach + 1)
    light = np.zeros((_SIZE + 2 * reach, _SIZE + 2 * reach))
    shifts = np.arange(-6, 7) if kind == "trailed" else np.zeros(1)
    share = random.uniform(size=number)
    fluxes = (300**-0.9 + share * (4e5**-0.9 - 300**-0.9)) ** (-1 / 0.9)
    for (x, y), flux in zip(random.uniform(0, _SIZE, (number, 2)), fluxes, strict=True):
        column, row = int(x), int(y)
        square_y = (offset[:, None] + row - y) ** 2
        box = light[row : row + 2 * reach + 1, column : column + 2 * reach + 1]
        for shift in shifts:
            box += flux / len(shifts) * profile(kind, (offset + column - x - shift) ** 2, square_y)
    return light[reach:-reach, reach:-reach]


def trail(random):
    """Return the light of a trail from edge to edge, in any direction."""
    y, x = np.indices((_SIZE, _SIZE)) - _SIZE / 2
    angle = random.uniform(0, np.pi)
    distance = x * np.sin(angle) - y * np.cos(angle) + random.uniform(-_SIZE / 3, _SIZE / 3)
    return 10 ** random.uniform(2.5, 4) * np.exp(-((distance / random.uniform(0.8, 3)) ** 2) / 2)


def taken(light, random, width):
    """Return positions of the sources from 0, and which of them are taken for pieces of a trail."""
    image = random.poisson(light + _LEVEL) + random.normal(0, _READ_NOISE, light.shape)
    sky = measure_sky(image)
    xy = find_sources(image, conv_width=width, threshold=4.0,
                      relative_noise=sky.relative_noise, sky=(sky.level, sky.noise)).xy
    return xy - 1, on_trails(image, xy, sky, width=width)


def main():
    """Print a line for each kind and number of stars; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="fields of each kind (default 3)")
    seeds = parser.parse_args().seeds
    is_missed = False
    print("kind      stars  sources  taken   on trails  found  others taken")
    for kind in _KINDS:
        width = 5.25 if kind == "moffat" else 3.5
        for number in _NUMBERS:
            counts = np.zeros(5, int)
            for seed in range(seeds):
                random = np.random.default_rng([number, seed])
                stars, line = field(random, number, kind), trail(random)
                _, is_false = taken(stars, random, width)
                xy, is_taken = taken(stars + line, random, width)
                column, row = np.rint(xy).astype(int).T
                is_piece = line[row, column] > 0.3 * line.max()
                counts += (len(is_false), is_false.sum(), is_piece.sum(), (is_piece & is_taken).sum(),
                           (is_taken & ~is_piece).sum())
            print(f"{kind:9} {number:5} {counts[0]:8} {counts[1]:6} {counts[2]:11} {counts[3]:6} {counts[4]:13}",
                  flush=True)
            is_missed |= counts[1] > _MOST_FALSE * counts[0] or counts[3] < _LEAST_FOUND * counts[2]
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
