"""SExtractor, the real one, run on a simulated chip; and what is said where it is missing or fails."""

import os
import shutil
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
from finders import find_sources, find_sources_sextractor
from scipy.spatial import cKDTree
from scipy.special import ndtr

from imagereg.catalogs.sources import Flag
from imagereg.detection.finders import sextractor
from imagereg.errors import InputError

SKY, READ_NOISE, FWHM, SHAPE = 60.0, 5.0, 2.5, (300, 400)

needs_program = pytest.mark.skipif(
    not any(map(shutil.which, sextractor.PROGRAMS)),
    reason="needs SExtractor: the package source-extractor (Debian) or astromatic-source-extractor (conda-forge)")


def paint(shape, xy, flux, fwhm=FWHM):
    """Return Gaussian stars, integrated over the pixels."""
    sigma, image = fwhm / 2.3548, np.zeros(shape)
    x, y = np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5
    for (x0, y0), total in zip(xy, flux, strict=True):
        across, up = (ndtr((axis + 1 - centre) / sigma) - ndtr((axis - centre) / sigma)
                      for axis, centre in ((x, x0), (y, y0)))
        image += total * np.outer(up, across)
    return image


@pytest.fixture(scope="module")
def field():
    """Return 130 stars, none near another, with photon and read noise."""
    random = np.random.default_rng(7)
    nodes = np.array([(x, y) for y in np.arange(15, 300, 30) for x in np.arange(15, 400, 30)], float)
    xy = nodes + random.uniform(-4, 4, nodes.shape)
    flux = random.permutation(np.geomspace(600, 60000, len(xy)))
    expected = SKY + paint(SHAPE, xy, flux)
    image = random.poisson(expected) + random.normal(0, READ_NOISE, SHAPE)
    image.flags.writeable = False
    return SimpleNamespace(image=image, xy=xy, flux=flux, random=random)


@pytest.fixture(autouse=True)
def no_litter(tmp_path, monkeypatch):
    """Let temporary files go into a folder that must be empty afterwards; the working directory stays clean too."""
    home, place = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    place.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield
    assert os.listdir(place) == [] and os.listdir(home) == []


def matched(found, field, radius=1.0):
    """Return the truth's rows of the sources found, and their errors of position; all must be stars."""
    distance, rows = cKDTree(field.xy).query(found.xy)
    assert (distance < radius).all() and len(set(rows)) == len(rows)
    return rows, found.xy - field.xy[rows]


@needs_program
@pytest.mark.parametrize("gain", [1.0, 4.0])
@pytest.mark.parametrize("skysigma", [None, 9.0])
def test_positions_errors_and_fluxes(field, gain, skysigma):
    scaled = None if skysigma is None else skysigma / gain
    found = find_sources_sextractor(field.image / gain, conv_width=FWHM, gain=gain, skysigma=scaled, chip=2)
    rows, error = matched(found, field)
    bright = field.flux[rows] > 3000
    assert bright.sum() == (field.flux > 3000).sum()
    assert np.abs(error[bright]).max() < 0.1
    assert 0.5 < (error / found.xy_error).std() < 2 and 0.5 < (error / found.xy_error)[bright].std() < 2
    np.testing.assert_allclose(found.flux[bright] * gain, field.flux[rows][bright], rtol=0.1)
    pull = (found.flux * gain - field.flux[rows]) / (found.flux_error * gain)
    assert 0.3 < 1.48 * np.median(np.abs(pull)) < 3
    assert set(found.chip) == {2} and (found.flags == 0).all()
    assert found.ident.tolist() == sorted(set(found.ident))


@needs_program
@pytest.mark.parametrize("threshold", [4.0, 12.0])
def test_as_deep_as_the_other_finder(field, threshold):
    """The same threshold lets about the same stars pass."""
    settings = {"conv_width": FWHM, "threshold": threshold}
    here, there = (len(find(field.image, **settings)) for find in (find_sources_sextractor, find_sources))
    assert abs(here - there) <= 0.1 * there


@needs_program
def test_temporary_folder_with_a_blank(field, tmp_path, monkeypatch):
    (tmp_path / "a b").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a b"))
    assert len(find_sources_sextractor(field.image)) > 50
    assert os.listdir(tmp_path / "a b") == []


@needs_program
def test_bad_pixels(field):
    image, bad = field.image.copy(), np.zeros(SHAPE, bool)
    on_star = np.argsort(-field.flux)[[3, 8]]
    column, row = (np.rint(field.xy[on_star]).astype(int) - 1).T
    bad[row[0], column[0]] = bad[row[1], column[1] + 2] = True  # the centre of one, the wing of the other
    hot = field.random.integers(0, SHAPE, (300, 2))
    near, _ = cKDTree(field.xy).query(hot[:, ::-1] + 1)
    hot = hot[near > 6]
    bad[tuple(hot.T)] = bad[:, 199] = bad[120] = True
    image[bad] = 60000.0
    image[120] = np.nan
    image[:, 199] = 1e30
    clean = find_sources_sextractor(field.image, conv_width=FWHM)
    found = find_sources_sextractor(image, bad=bad, conv_width=FWHM)
    assert not bad[tuple(np.rint(found.xy[:, ::-1]).astype(int).T - 1)].any()
    plain = found[found.flags == 0]
    rows, error = matched(plain, field)
    assert np.abs(error[field.flux[rows] > 3000]).max() < 0.1
    assert len(plain) > 0.8 * len(clean)
    distance, nearest = cKDTree(found.xy).query(field.xy[on_star])
    assert distance[0] > 0.1 or found.flags[nearest[0]]  # what is left of it, if anything, is flagged
    assert distance[1] < 0.5 and found.flags[nearest[1]] & Flag.BAD_PIXEL
    unflagged = find_sources_sextractor(image, conv_width=FWHM)
    assert len(unflagged) > len(found) + 100  # hot pixels that nobody tells it of are sources


@needs_program
def test_noise_that_varies(field):
    relative = np.ones(SHAPE)
    relative[:, 200:] = 5
    relative[:5, :5] = (np.nan, 0, -1, np.inf, 1)
    extra = np.sqrt((SKY + READ_NOISE**2) * np.clip(np.nan_to_num(relative, posinf=1) ** 2 - 1, 0, None))
    image = field.image + extra * field.random.normal(size=SHAPE)
    for skysigma in (None, 9.2):
        found = find_sources_sextractor(image, relative_noise=2 * relative, conv_width=FWHM, skysigma=skysigma)
        rows, error = matched(found[found.flags == 0], field, radius=2.0)
        pull = error / found[found.flags == 0].xy_error
        for half in (field.xy[rows, 0] < 200, field.xy[rows, 0] > 200):
            assert half.sum() > 20 and 0.5 < pull[half].std() < 2


@needs_program
@pytest.mark.parametrize("image", [
    np.zeros((60, 50)), np.full((60, 50), np.nan), np.full((40, 40), 7, np.int16), np.empty((0, 0)),
    np.random.default_rng(1).normal(100, 5, (100, 120)), np.random.default_rng(1).normal(0, 1, (3, 2)),
], ids=["blank", "undefined", "integers", "empty", "noise", "tiny"])
def test_nothing_to_find(image):
    found = find_sources_sextractor(image)
    assert len(found) == 0 and found.xy.shape == (0, 2)


@needs_program
def test_all_pixels_bad(field):
    assert len(find_sources_sextractor(field.image, bad=np.ones(SHAPE, bool))) == 0


@needs_program
def test_limits(field):
    found = find_sources_sextractor(field.image, conv_width=FWHM)
    limited = find_sources_sextractor(field.image, conv_width=FWHM, fluxmin=2000, fluxmax=20000)
    assert sorted(limited.ident) == sorted(found.ident[(found.flux >= 2000) & (found.flux <= 20000)])
    peaked = find_sources_sextractor(field.image, conv_width=FWHM, peakmin=SKY + 300, peakmax=SKY + 2000)
    rows, _ = matched(peaked, field)
    assert 1500 < field.flux[rows].min() < 3500 and 10000 < field.flux[rows].max() < 25000


@needs_program
@pytest.mark.parametrize("width", [0.5, 12.0, 60.0])
def test_any_width(field, width):
    find_sources_sextractor(field.image, conv_width=width, nsigma=2.0, ratio=0.5, theta=30.0)


@needs_program
def test_edges(field):
    xy = np.array([(1.5, 30.2), (50.1, 60.6), (80.2, 39.4)])
    random = np.random.default_rng(2)
    image = random.poisson(SKY + paint((62, 81), xy, [20000] * 3)).astype(float)
    found = find_sources_sextractor(image, conv_width=FWHM)
    distance, nearest = cKDTree(found.xy).query(xy)
    assert (distance < 1).all()
    assert ((found.flags[nearest] & Flag.EDGE) != 0).all()
    assert len(find_sources_sextractor(field.image[50:250, 50:350], conv_width=FWHM)) > 20


# The user's configuration


@needs_program
def test_own_configuration(field, tmp_path):
    folder = tmp_path / "my settings"
    folder.mkdir()
    (folder / "mine.conv").write_text("CONV NORM\n1 2 1\n2 4 2\n1 2 1\n")
    (folder / "mine.sex").write_text(
        "DETECT_THRESH 30  # high\nANALYSIS_THRESH 30\nFILTER Y\nFILTER_NAME mine.conv\nCATALOG_NAME other.cat\n"
        "CATALOG_TYPE ASCII\nPARAMETERS_NAME nosuch.param\nCHECKIMAGE_TYPE BACKGROUND\nSATUR_LEVEL 3000\nGAIN 77\n")
    bad = np.zeros(SHAPE, bool)
    bad[100] = True
    found = find_sources_sextractor(field.image, bad=bad, sexconfig=folder / "mine.sex", threshold=1.0, conv_width=FWHM)
    rows, error = matched(found[found.flags == 0], field)
    everything = find_sources_sextractor(field.image, threshold=1.0, conv_width=FWHM)
    assert 20 < len(found) < 0.9 * len(everything)
    assert 0.5 < (error / found[found.flags == 0].xy_error).std() < 2  # with our gain, not 77
    peak = field.image[tuple(np.rint(found.xy[:, ::-1]).astype(int).T - 1)]
    np.testing.assert_array_equal((found.flags & Flag.BAD_PIXEL) != 0,
                                  (peak > 3000) | (np.abs(found.xy[:, 1] - 101) <= 2))
    assert sorted(os.listdir(folder)) == ["mine.conv", "mine.sex"]


@needs_program
def test_configuration_of_two_lines(field, tmp_path):
    """What it does not set is as without one: no file of SExtractor's own is missed."""
    plain = find_sources_sextractor(field.image, threshold=4.0, conv_width=FWHM)
    short = tmp_path / "short.sex"
    short.write_text("# mine\nDETECT_MINAREA 3   # pixels\nDEBLEND_NTHRESH 32\n")
    same = find_sources_sextractor(field.image, sexconfig=short, threshold=4.0, conv_width=FWHM)
    np.testing.assert_array_equal(same.xy, plain.xy)
    short.write_text("DETECT_MINAREA 3\nDETECT_THRESH 50\n")
    fewer = find_sources_sextractor(field.image, sexconfig=short, threshold=4.0, conv_width=FWHM)
    assert 0 < len(fewer) < len(plain)
    short.write_text("FILTER Y\nDETECT_MINAREA 3\n")
    same = find_sources_sextractor(field.image, sexconfig=short, threshold=4.0, conv_width=FWHM)
    np.testing.assert_array_equal(same.xy, plain.xy)


@needs_program
def test_bad_configuration(field, tmp_path):
    with pytest.raises(InputError, match="the SExtractor configuration .*nosuch.sex does not exist"):
        find_sources_sextractor(field.image, sexconfig=str(tmp_path / "nosuch.sex"))
    (tmp_path / "bad.sex").write_text("FILTER Y\nFILTER_NAME nosuch.conv\n")
    with pytest.raises(InputError, match=r"failed: .*nosuch\.conv"):
        find_sources_sextractor(field.image, sexconfig=str(tmp_path / "bad.sex"))


# Without the program, or with one that does not work


def fake(tmp_path, monkeypatch, name, script):
    """Put a program of our own on the PATH, alone."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


IMAGE = np.random.default_rng(3).normal(100, 5, (30, 40))


def test_not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError) as error:
        find_sources_sextractor(IMAGE)
    assert "source-extractor (Debian" in str(error.value) and "(conda-forge)" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("script, says", [
    (r"printf '\033[1M> Setting up\n\033[1A' >&2; printf '> *ERROR*: not enough memory\n\n' >&2; exit 1",
     "{} failed: not enough memory"),
    ("exit 3", "{} failed: status 3"),
    ("exit 0", "{} wrote no catalog that can be read"),
    ("while [ $# -gt 0 ]; do if [ $1 = -CATALOG_NAME ]; then echo rubbish > $2; fi; shift; done",
     "{} wrote no catalog that can be read"),
])
@pytest.mark.parametrize("name", sextractor.PROGRAMS)
def test_failure(tmp_path, monkeypatch, name, script, says):
    fake(tmp_path, monkeypatch, name, script)
    with pytest.raises(InputError) as error:
        find_sources_sextractor(IMAGE)
    assert says.format(name) in str(error.value) and "\n" not in str(error.value)


def test_first_name_wins(tmp_path, monkeypatch):
    for name in reversed(sextractor.PROGRAMS):
        fake(tmp_path, monkeypatch, name, "exit 1")
        with pytest.raises(InputError, match=f"^{name} failed"):
            find_sources_sextractor(IMAGE)


def test_not_a_program(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, "sex", "")
    (tmp_path / "bin" / "sex").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(InputError, match="sex can't be run"):
        find_sources_sextractor(IMAGE)


def test_never_finishing(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, "sex", "while true; do :; done")
    monkeypatch.setattr(sextractor, "_TIMEOUT", 0.3)
    with pytest.raises(InputError, match=r"sex did not finish within 0\.3 s"):
        find_sources_sextractor(IMAGE)
