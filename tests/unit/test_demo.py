"""The simulated visit is what it says: its truth, its WCS, its pixels and its flags."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from imagereg.demo import PointingError, simulate_visit
from imagereg.errors import ParameterError

SMALL = {"chip_shape": (128, 256), "n_stars": 60}
CLEAN = {"n_cosmic_rays": 0, "bad_pixels": 0}
ERRORS = (PointingError(), PointingError(0.4, -0.25, 0.02, 1.0001), PointingError(-4.0, 3.0, 5.0, 0.999))


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    """Three exposures of two small chips, with given pointing errors."""
    return simulate_visit(tmp_path_factory.mktemp("visit"), n_exposures=3, pointing_errors=ERRORS, **SMALL)


def sky_to_plane(sky, center):
    """Project (RA, Dec), degree, to (xi, eta), arcsec; Smart, Spherical Astronomy, section 161."""
    (ra, dec), (ra0, dec0) = np.deg2rad(sky).T, np.deg2rad(center)
    depth = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
    xi = np.cos(dec) * np.sin(ra - ra0) / depth
    eta = (np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra - ra0)) / depth
    return np.rad2deg(np.column_stack([xi, eta])) * 3600


def plane_to_sky(plane, center):
    """Undo `sky_to_plane`."""
    (xi, eta), (ra0, dec0) = np.deg2rad(np.asarray(plane) / 3600).T, np.deg2rad(center)
    depth = np.cos(dec0) - eta * np.sin(dec0)
    ra = ra0 + np.arctan2(xi, depth)
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, depth))
    return np.rad2deg(np.column_stack([ra, dec]))


def displaced(plane, error):
    """Return true plane positions of nominal ones, by the equation of PointingError's docstring."""
    cos, sin = np.cos(np.deg2rad(error.roll)), np.sin(np.deg2rad(error.roll))
    xi, eta = np.asarray(plane).T
    return np.column_stack([error.scale * (cos * xi - sin * eta) + error.dx,
                            error.scale * (sin * xi + cos * eta) + error.dy])


def write_truth(path, error, center):
    """Put into a file the linear WCS that touches the true one at each chip's CRPIX."""
    with fits.open(path, mode="update") as hdus:
        for hdu in (hdu for hdu in hdus if hdu.name == "SCI"):
            wcs = WCS(hdu.header, hdus)
            pixels = wcs.wcs.crpix + [(0, 0), (50, 0), (-50, 0), (0, 50), (0, -50)]
            nominal = sky_to_plane(wcs.wcs_pix2world(pixels, 1), center)
            true = plane_to_sky(displaced(nominal, error), center)
            right, left, up, down = sky_to_plane(true[1:], true[0]) / 3600
            hdu.header["CRVAL1"], hdu.header["CRVAL2"] = true[0]
            hdu.header["CD1_1"], hdu.header["CD2_1"] = (right - left) / 100
            hdu.header["CD1_2"], hdu.header["CD2_2"] = (up - down) / 100


def images(path, name):
    """Return the images of an extension name, one for each chip, (n_chips, rows, columns)."""
    with fits.open(path) as hdus:
        return np.array([hdu.data for hdu in hdus if hdu.name == name])


def cutout(image, xy, half):
    """Return the pixels around a position, and their x and y, FITS 1-based."""
    column, row = np.rint(xy).astype(int)
    y, x = np.mgrid[row - half:row + half + 1, column - half:column + half + 1]
    return image[y - 1, x - 1], x, y


def centroid(image, xy):
    """Return the Gaussian-weighted centroid near `xy`, FITS pixels."""
    pixels, x, y = cutout(image, xy, 5)
    at = np.array(xy)
    for _ in range(60):
        weight = pixels * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 2)
        at = at + np.array([(weight * (x - at[0])).sum(), (weight * (y - at[1])).sum()]) / weight.sum()
    return at


def isolated(chip, shape, distance=22):
    """Return the rows of those stars of a chip that have no neighbour and are not near the edge."""
    apart = np.hypot(*(chip.xy[:, None] - chip.xy[None]).T) + 1e9 * np.eye(len(chip.xy))
    inside = np.all((chip.xy > 12) & (chip.xy < np.array(shape[::-1]) - 11), axis=1)
    return np.flatnonzero(inside & (apart.min(axis=0) > distance))


def test_same_seed_same_files(tmp_path):
    """A seed fixes every byte and the truth; another seed changes them."""
    first, again, other = (simulate_visit(tmp_path / name, seed=seed, n_exposures=2, **SMALL)
                           for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in again.files]
    assert first.errors == again.errors
    assert first.errors[1] != other.errors[1]
    assert not np.array_equal(images(first.files[0], "SCI"), images(other.files[0], "SCI"))
    np.testing.assert_array_equal(first.chips[1][1].xy, again.chips[1][1].xy)


def test_options_do_not_move_the_stars(tmp_path):
    """Stars and pointing errors have random streams of their own."""
    plain = simulate_visit(tmp_path / "a", n_exposures=2, **SMALL)
    clean = simulate_visit(tmp_path / "b", n_exposures=2, **CLEAN, **SMALL)
    assert plain.errors == clean.errors
    np.testing.assert_array_equal(plain.sky, clean.sky)
    np.testing.assert_array_equal(plain.chips[1][0].xy, clean.chips[1][0].xy)


def test_names_layout_and_keywords(visit):
    """Files sort in the order of time; extensions and keywords are those of an HST exposure."""
    assert [path.name for path in visit.files] == [f"jdemo1a{c}q_flt.fits" for c in "abc"]
    starts = []
    for path in visit.files:
        with fits.open(path) as hdus:
            hdus.verify("exception")
            names = [(hdu.name, hdu.ver) for hdu in hdus[1:7]]
            assert names == [(name, ver) for ver in (1, 2) for name in ("SCI", "ERR", "DQ")]
            primary, science = hdus[0].header, hdus["SCI", 2].header
            starts.append(primary["EXPSTART"])
            assert (primary["TELESCOP"], primary["INSTRUME"]) == ("IMAGEREG", "DEMO")
            assert primary["ROOTNAME"] == science["EXPNAME"] == path.name[:9]
            assert (primary["NEXTEND"], primary["EXPTIME"], primary["CCDGAIN"]) == (12, 500.0, 2.0)
            assert {"DETECTOR", "FILTER", "PA_V3"} < set(primary)
            assert (science["WCSNAME"], science["BUNIT"]) == ("DEMO_IDC", "ELECTRONS")
            assert science["ORIENTAT"] == pytest.approx(30.0, abs=0.01)
    assert starts == sorted(starts)
    assert fits.getval(visit.files[0], "DATE-OBS") == "2023-02-25"  # MJD 60000


def test_the_chips_lie_where_they_should(visit):
    """The camera's centre, half way between the chips, is at the field centre, scale 0.05 arcsec."""
    with fits.open(visit.files[0]) as hdus:
        chips = [WCS(hdus["SCI", ver].header, hdus) for ver in (1, 2)]
    centers = sky_to_plane([wcs.wcs.crval for wcs in chips], visit.center)
    np.testing.assert_allclose(centers.mean(axis=0), 0, atol=1e-6)
    half = 0.05 * (128 + 48) / 2
    np.testing.assert_allclose(centers[1], half * np.array([np.sin(np.pi / 6), np.cos(np.pi / 6)]), atol=1e-6)
    for wcs in chips:
        assert np.sqrt(abs(np.linalg.det(wcs.wcs.cd))) * 3600 == pytest.approx(0.05, rel=1e-6)
    plane = [sky_to_plane(wcs.wcs_pix2world([wcs.wcs.crpix + (200, y)], 1), visit.center)
             for wcs, y in zip(chips, (88, -88), strict=True)]
    np.testing.assert_allclose(plane[0], plane[1], atol=1e-6)  # one undistorted plane


def test_distortion_is_there_and_counts(visit):
    """Astropy reads SIP, CPDIS and D2IM, and each moves positions."""
    y, x = np.mgrid[1:129:4, 1:257]
    pixels = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    with fits.open(visit.files[1]) as hdus:
        for ver in (1, 2):
            wcs = WCS(hdus["SCI", ver].header, hdus)
            assert wcs.sip is not None
            assert wcs.cpdis1 is not None and wcs.cpdis2 is not None
            assert wcs.det2im1 is not None and wcs.det2im2 is None
            sip = np.abs(wcs.sip_pix2foc(pixels, 1) + wcs.wcs.crpix - pixels)
            lookup = np.abs(wcs.p4_pix2foc(pixels, 1) - pixels)
            columns = np.abs(wcs.det2im(pixels, 1) - pixels)
            assert np.all((sip.max(axis=0) > 1) & (sip.max(axis=0) < 5))
            assert np.all((lookup.max(axis=0) > 0.05) & (lookup.max(axis=0) < 0.2))
            assert 0.05 < columns[:, 0].max() < 0.1 and columns[:, 1].max() == 0


def test_lookup_tables_reach_from_edge_to_edge(visit):
    """The tables' first and last values belong to the first and last pixel."""
    with fits.open(visit.files[0]) as hdus:
        wcs = WCS(hdus["SCI", 1].header, hdus)
        corners = np.array([(1.0, 1.0), (256.0, 128.0)])
        for ver, axis in ((1, 0), (2, 1)):
            table = hdus["WCSDVARR", ver].data
            moved = (wcs.p4_pix2foc(corners, 1) - corners)[:, axis]
            np.testing.assert_allclose(moved, [table[0, 0], table[-1, -1]], atol=1e-6)
        moved = (wcs.det2im(corners, 1) - corners)[:, 0]
        np.testing.assert_allclose(moved, hdus["D2IMARR", 1].data[0, [0, -1]], atol=1e-6)


def test_without_distortion_the_wcs_is_linear(tmp_path):
    """`distortion=False` leaves a TAN WCS and no tables; `n_chips=1` one chip, at the centre."""
    path = simulate_visit(tmp_path, n_exposures=1, n_chips=1, distortion=False, **SMALL).files[0]
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "ERR", "DQ"]
        wcs = WCS(hdus["SCI", 1].header, hdus)
    assert not wcs.has_distortion
    np.testing.assert_allclose(wcs.wcs.crval, (150.0, 30.0), atol=1e-10)


def test_true_wcs_scores_zero(visit, tmp_path):
    """Files that hold the pointing error in their WCS agree with the first one and with the sky."""
    copies = [shutil.copy(path, tmp_path) for path in visit.files]
    for path, error in zip(copies, visit.errors, strict=True):
        write_truth(path, error, visit.center)
    np.testing.assert_allclose(visit.residuals(copies), 0, atol=1e-3)
    np.testing.assert_allclose(visit.residuals(copies, absolute=True), 0, atol=1e-3)


@pytest.mark.parametrize("absolute", [False, True])
def test_untouched_files_score_the_pointing_error(visit, absolute):
    """The residual of the nominal WCS is the rms of the documented displacement."""
    def idents(chips):
        return np.concatenate([chip.ident for chip in chips])

    true, expected = sky_to_plane(visit.sky, visit.center), []
    for error, chips in zip(visit.errors, visit.chips, strict=True):
        ident = idents(chips) if absolute else np.intersect1d(idents(chips), idents(visit.chips[0]))
        matrix = displaced(np.eye(2), PointingError(0, 0, error.roll, error.scale)).T
        nominal = np.linalg.solve(matrix, (true[ident] - (error.dx, error.dy)).T).T
        np.testing.assert_allclose(displaced(nominal, error), true[ident], atol=1e-8)
        expected.append(1000 * np.sqrt(np.mean(np.sum((true[ident] - nominal) ** 2, axis=1))))
    np.testing.assert_allclose(visit.residuals(absolute=absolute), expected, atol=1e-3)
    assert expected[1] > 400


def test_default_pointing_errors(tmp_path):
    """The first exposure has none; the others have some tenths of an arcsec at most."""
    visit = simulate_visit(tmp_path, **SMALL)
    assert visit.errors[0] == PointingError()
    scores = visit.residuals()
    assert scores[0] == 0 and np.all((scores[1:] > 10) & (scores[1:] < 450))


def test_expected_shift(visit):
    """The shift in a reference WCS's pixels takes true to nominal pixels, as a shiftfile's does."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.001, 29.999], [400.0, 300.0]
    turn = np.deg2rad(20)
    wcs.wcs.cd = 0.04 / 3600 * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    nominal = np.array([(1.0, 1.0), (500.0, 20.0), (300.0, 600.0)])
    plane = sky_to_plane(wcs.wcs_pix2world(nominal, 1), visit.center)
    for index, error in enumerate(visit.errors):
        true = wcs.wcs_world2pix(plane_to_sky(displaced(plane, error), visit.center), 1)
        dx, dy, rotation, scale = visit.expected_shift(index, wcs)
        cos, sin = np.cos(np.deg2rad(-rotation)), np.sin(np.deg2rad(-rotation))
        predicted = scale * (true - wcs.wcs.crpix) @ np.array([[cos, sin], [-sin, cos]]) + (dx, dy)
        np.testing.assert_allclose(predicted, nominal - wcs.wcs.crpix, atol=1e-4)
        assert (rotation, scale) == pytest.approx((-error.roll, 1 / error.scale), abs=1e-6)


def test_painted_stars_are_where_the_truth_says(tmp_path):
    """Centroid and light of bright, isolated stars agree with the truth."""
    shape, distances, ratios = (192, 320), [], []
    visit = simulate_visit(tmp_path, n_exposures=2, chip_shape=shape, n_stars=40, flux_range=(1e5, 3e5),
                           sky=10.0, read_noise=0.5, full_well=1e9, **CLEAN)
    for path, chips in zip(visit.files, visit.chips, strict=True):
        for image, chip in zip(images(path, "SCI").astype(float) - 10.0, chips, strict=True):
            for row in isolated(chip, shape):
                distances.append(np.hypot(*(centroid(image, chip.xy[row]) - chip.xy[row])))
                ratios.append(cutout(image, chip.xy[row], 10)[0].sum() / chip.flux[row])
    assert len(distances) >= 20
    assert max(distances) < 0.05 and np.median(distances) < 0.01
    np.testing.assert_allclose(ratios, 1, atol=0.02)


def test_truth_lists_the_stars_of_each_chip(visit):
    """Positions lie on the chip, sky and flux by star number, and no star is on both chips."""
    for path, error, chips in zip(visit.files, visit.errors, visit.chips, strict=True):
        assert not set(chips[0].ident) & set(chips[1].ident)
        with fits.open(path) as hdus:
            for chip in chips:
                assert np.all((chip.xy >= 0.5) & (chip.xy < (256.5, 128.5)))
                np.testing.assert_array_equal(chip.flux, visit.flux[chip.ident])
                wcs = WCS(hdus["SCI", chip.extver].header, hdus)
                nominal = sky_to_plane(wcs.all_pix2world(chip.xy, 1), visit.center)
                true = sky_to_plane(visit.sky[chip.ident], visit.center)
                np.testing.assert_allclose(displaced(nominal, error), true, atol=1e-6)
    counts = [len(chip.ident) for chips in visit.chips for chip in chips]
    assert np.mean(counts) == pytest.approx(60, rel=0.25)
    with pytest.raises(ValueError, match="read-only"):
        visit.chips[0][0].xy[0] = 0


def test_chips_do_not_overlap(visit):
    """Along the camera's y axis, the second chip begins above the end of the first."""
    columns = np.linspace(0.5, 256.5, 300)
    heights = []
    with fits.open(visit.files[0]) as hdus:
        for ver, edge in ((1, 128.5), (2, 0.5)):
            wcs = WCS(hdus["SCI", ver].header, hdus)
            border = wcs.all_pix2world(np.column_stack([columns, np.full(300, edge)]), 1)
            heights.append(sky_to_plane(border, visit.center) @ (np.sin(np.pi / 6), np.cos(np.pi / 6)))
    gap = (heights[1].min() - heights[0].max()) / 0.05
    assert 35 < gap < 60


def test_saturation_is_flagged_and_clipped(tmp_path):
    """DQ has 256 exactly where the full well is reached, at the brightest stars."""
    visit = simulate_visit(tmp_path, n_exposures=1, flux_range=(2e4, 4e6), full_well=5e4, **CLEAN, **SMALL)
    image, flags = images(visit.files[0], "SCI"), images(visit.files[0], "DQ")
    saturated = flags & 256 > 0
    assert saturated.sum() > 20
    assert image[saturated].min() > 5e4 - 30 and image[saturated].max() < 5e4 + 30
    assert image[~saturated].max() < 5e4 + 30
    for mask, chip in zip(saturated, visit.chips[0], strict=True):
        bright = chip.xy[chip.flux > 5e5]
        assert len(bright) > 0
        column, row = np.clip(np.rint(bright).astype(int) - 1, 0, (255, 127)).T
        assert np.all(mask[row, column])


def test_hot_pixels_stay_on_the_detector(tmp_path):
    """Hot pixels are the same in all exposures, flagged or not."""
    options = {"n_exposures": 2, "n_cosmic_rays": 0, "bad_pixels": 30, **SMALL}
    visit = simulate_visit(tmp_path / "a", **options)
    first, second = (images(path, "DQ") & 16 > 0 for path in visit.files)
    np.testing.assert_array_equal(first, second)
    assert np.all(first.sum(axis=(1, 2)) == 30)
    assert np.all(images(visit.files[1], "SCI")[first] > 100)
    plain = simulate_visit(tmp_path / "b", flag_bad_pixels=False, **options)
    assert not np.any(images(plain.files[0], "DQ") & 16)
    np.testing.assert_array_equal(images(plain.files[0], "SCI"), images(visit.files[0], "SCI"))


def test_cosmic_rays_are_not_flagged(tmp_path):
    """They add light, to different pixels of each exposure, and no flag."""
    options = {"n_exposures": 2, "bad_pixels": 0, "chip_shape": (128, 256), "n_stars": 0}
    visit = simulate_visit(tmp_path, n_cosmic_rays=50, **options)
    hits = [images(path, "SCI") > 60 + 8 * 9 for path in visit.files]
    assert all(100 < hit.sum() < 4000 for hit in hits)
    assert (hits[0] & hits[1]).sum() < 0.2 * hits[0].sum()
    assert not np.any(images(visit.files[0], "DQ"))


def test_noise_and_err_agree(tmp_path):
    """An empty field has the sky level, and the noise that ERR says; it can't be scored."""
    visit = simulate_visit(tmp_path, n_exposures=1, n_stars=0, chip_shape=(128, 256), **CLEAN)
    image, error = images(visit.files[0], "SCI"), images(visit.files[0], "ERR")
    assert image.mean() == pytest.approx(60, abs=0.3)
    assert image.std() == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.02)
    np.testing.assert_allclose(error, np.sqrt(np.maximum(image, 0) + 4.5**2), rtol=1e-5)
    assert np.all(np.isnan(visit.residuals()))


def test_across_the_origin_of_right_ascension(tmp_path):
    """A field at RA 0 is scored like any other."""
    visit = simulate_visit(tmp_path, n_exposures=2, center=(0.0, -60.0), **SMALL)
    dx, dy = visit.errors[1].dx, visit.errors[1].dy
    np.testing.assert_allclose(visit.residuals(), [0, 1000 * np.hypot(dx, dy)], rtol=0.02)


@pytest.mark.parametrize("options", [{"n_chips": 3}, {"n_exposures": 0}, {"n_exposures": 677},
                                     {"n_exposures": 2, "pointing_errors": [PointingError()]}])
def test_impossible_options(tmp_path, options):
    """Options that no visit can have are refused before a file is written."""
    with pytest.raises(ParameterError, match="expected"):
        simulate_visit(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_files_are_not_overwritten_unasked(tmp_path):
    """A second visit of the same names needs `overwrite`."""
    options = {"n_exposures": 1, "n_chips": 1, **SMALL}
    simulate_visit(tmp_path, **options)
    with pytest.raises(OSError, match="exists"):
        simulate_visit(tmp_path, **options)
    simulate_visit(tmp_path, overwrite=True, **options)
