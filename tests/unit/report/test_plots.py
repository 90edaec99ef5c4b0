"""The plots are PNG images that say what they show, with units, and leave matplotlib alone."""

import dataclasses
import functools
import io
import os
import pickle
import re
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS
from defaults import of
from fields import fit_linear
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.quiver import QuiverKey
from planes import rules_with

from imagereg.alignment.matching.match import Candidate
from imagereg.alignment.sequence import Alignment, Chip, Exposure, Status, align
from imagereg.catalogs.sources import SourceCatalog
from imagereg.report import plots, residuals
from imagereg.wcs.plane import TangentPlane

SHAPE, SCALE = (500, 1000), 0.05  # rows and columns; arcsec per pixel
OFFSET = np.array([3.2, -1.7])  # reference minus image, pixels
OUTLIERS = 5
histogram_png, residuals_png, vector_png = PNG_PLOTS = [
    functools.partial(plot, **of("tweakreg", "labelsize"))
    for plot in (plots.histogram_png, plots.residuals_png, plots.vector_png)]
PAGES = {"histogram": plots._histogram_page, "vector": plots._vector_page,
         "large histogram": lambda alignment, labelsize: plots._histogram_page(
             with_histogram(alignment, 1001, peak=(-450.25, 460.5)), labelsize),
         "residuals": lambda alignment, labelsize: plots._residuals_page(alignment, None, labelsize),
         "narrow residuals": lambda alignment, labelsize: plots._residuals_page(alignment, 0.001, labelsize),
         "wide residuals": lambda alignment, labelsize: plots._residuals_page(alignment, 1000.0, labelsize)}


def chip(extver):
    """Return one of two chips above each other."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 30.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [500.5, 510.0 if extver == 1 else -10.0], [-SCALE / 3600, SCALE / 3600]
    wcs.wcs.set()
    return Chip(extver, wcs, SHAPE)


def exposure(name, xy, flux):
    """Return an exposure with sources at places (N, 2) of both chips, or (2, N, 2) of each."""
    chips = chip(1), chip(2)
    places = np.broadcast_to(xy, (2, *np.shape(xy)[-2:]))
    sources = [SourceCatalog(xy=own, flux=flux, chip=one.extver) for one, own in zip(chips, places, strict=True)]
    return Exposure.measured(name, chips, SourceCatalog.concat(sources))


def aligned(number=60, outliers=OUTLIERS, name="j8bt06o1q_flt.fits"):
    """Align exposures of `number` sources a chip, some of them off by half a pixel; return the second alignment."""
    random = np.random.default_rng(7)
    truth = random.uniform(10, (990, 490), (2, number, 2))
    moved = truth - OFFSET + random.normal(0, 0.02, truth.shape)
    moved[:, :outliers] += 0.5
    flux = random.uniform(100, 1e5, number)
    reference, image = exposure("first_flt.fits", truth, flux), exposure(name, moved, flux)
    plane = TangentPlane.around(reference.outlines)
    return align([reference, image], plane, rules_with(minobj=5))[0][1]


@pytest.fixture(scope="module")
def alignment():
    """Return a success with a few rejected matches."""
    found = aligned()
    assert found.status is Status.ALIGNED
    assert (~found.fit.used).sum() == 2 * OUTLIERS
    return found


def with_matches(alignment, image_xy, ref_xy, **settings):
    """Return an alignment with other matches, fitted anew."""
    rows = np.arange(len(image_xy)) % len(alignment.exposure.sources)
    fit = fit_linear(image_xy, ref_xy, centre=alignment.plane.centre, **settings)
    return dataclasses.replace(alignment, fit=fit, image_xy=image_xy, ref_xy=ref_xy, rows=rows, ref_rows=rows)


def with_histogram(alignment, bins, *, peak, radius=None):
    """Return an alignment with a histogram of `bins` each way, empty but for a peak of 321 pairs at an offset."""
    radius = bins / 2 if radius is None else radius
    edges = np.array([np.linspace(-radius, radius, bins + 1)] * 2)
    histogram = np.histogram2d([peak[1]], [peak[0]], bins=edges[::-1])[0] * 321
    return dataclasses.replace(alignment, match=dataclasses.replace(
        alignment.match, histogram=histogram, edges=edges, offset=np.array(peak, float)))


def named(alignment, name):
    """Return an alignment of a file of another name."""
    return dataclasses.replace(alignment, exposure=dataclasses.replace(alignment.exposure, name=name))


def size_of(png):
    """Return width and height of a PNG image, from its header."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", png[16:24])


def title_of(page):
    """Return the text above all panels."""
    return page.figure.texts[0].get_text()


def legend_of(page):
    """Return the texts of the legend."""
    return [text.get_text() for legend in page.figure.legends for text in legend.get_texts()]


@pytest.mark.parametrize("plot", PNG_PLOTS)
def test_plot_is_a_png_of_a_size_for_a_page(plot, alignment):
    png = plot(alignment)
    width, height = size_of(png)
    assert 600 < width < 1600
    assert 600 < height < 1200
    pixels = imread(io.BytesIO(png))
    assert np.isfinite(pixels).all()
    assert pixels[..., :3].std() > 0.02


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("labelsize", [1, 8, 13, 24, 1000])
def test_nothing_is_clipped_and_panels_do_not_overlap(page, labelsize, alignment):
    made = page(named(alignment, "an_uncommonly_long_name_" * 8 + "flt.fits"), labelsize)
    width, height = made.figure.get_size_inches()
    box = made.figure.get_tightbbox()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    parts = [panel.get_tightbbox() for panel in made.figure.axes] + [made.figure.texts[0].get_window_extent()]
    parts += [legend.get_window_extent() for legend in made.figure.legends]
    for one, other in combinations(parts, 2):
        assert not one.overlaps(other)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize(("labelsize", "letters"), [(1, 4), (8, 8), (13, 13), (100, 24)])
def test_labels_are_of_labelsize(page, labelsize, letters, alignment):
    made = page(alignment, labelsize)
    for panel in made.figure.axes:
        texts = [panel.xaxis.label, panel.yaxis.label, *panel.get_xticklabels(), *panel.get_yticklabels()]
        assert {text.get_fontsize() for text in texts if text.get_text()} <= {letters}
    assert made.figure.texts[0].get_fontsize() == letters


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_axis_has_its_unit(page, alignment):
    made = page(alignment, 8)
    labels = [axis.label.get_text() for panel in made.figure.axes for axis in (panel.xaxis, panel.yaxis)]
    labels = [label for label in labels if label]
    assert len(labels) >= 2
    for label in labels:
        assert re.search(r"\((pixels|mas)\)$|^pairs in a bin", label)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_title_has_the_file_name_as_it_is(page, alignment):
    title = page(named(alignment, "a_b$c$_{d}^%\\flt.fits"), 8).figure.texts[0]
    assert title.get_text().startswith("a_b$c$_{d}^%\\flt.fits\n")
    assert not title.get_parse_math()


@pytest.mark.parametrize("plot", PNG_PLOTS)
def test_title_of_a_failure_says_so(plot, alignment, monkeypatch):
    titles = []
    monkeypatch.setattr(Figure, "text", lambda self, x, y, text, **style: titles.append(text))
    plot(dataclasses.replace(alignment, status=Status.FAILED, reason="too few"))
    assert titles[0].startswith("j8bt06o1q_flt.fits (not aligned)\n")


@pytest.mark.parametrize("plot", PNG_PLOTS)
def test_no_rejected_matches(plot):
    found = aligned(outliers=0)
    assert found.fit.used.all()
    size_of(plot(found))


@pytest.mark.parametrize("plot", PNG_PLOTS)
def test_one_match(plot, alignment):
    one = with_matches(alignment, alignment.image_xy[:1], alignment.ref_xy[:1], geometry="shift")
    size_of(plot(one))


@pytest.mark.parametrize("plot", PNG_PLOTS)
def test_matches_at_one_place(plot, alignment):
    xy = np.tile(alignment.image_xy[:1], (2000, 1))
    size_of(plot(with_matches(alignment, xy, xy + [0.1, 0.2], geometry="shift")))


def test_no_histogram_is_an_error(alignment):
    bare = dataclasses.replace(alignment.match, histogram=None, edges=None)
    for match in (None, bare):
        with pytest.raises(ValueError, match=r"^j8bt06o1q_flt\.fits has no histogram of offsets to plot$"):
            histogram_png(dataclasses.replace(alignment, match=match))


@pytest.mark.parametrize("plot", [residuals_png, vector_png])
def test_no_fit_is_an_error(plot, alignment):
    reference = Alignment(alignment.exposure, Status.REFERENCE, "", alignment.plane)
    with pytest.raises(ValueError, match=r"^j8bt06o1q_flt\.fits has no fit to plot residuals of$"):
        plot(reference)


def test_histogram_is_plotted_where_the_fit_failed(alignment):
    failed = Alignment(alignment.exposure, Status.FAILED, "no", alignment.plane, match=alignment.match)
    size_of(histogram_png(failed))


def test_histogram_marks_the_peak_and_says_the_sign(alignment):
    page = plots._histogram_page(alignment, 8)
    panel, bar = page.figure.axes
    x, y = alignment.match.offset
    np.testing.assert_allclose((x, y), OFFSET, atol=0.1)
    assert [text.get_text() for text in panel.texts] == [f"120 pairs\n({x:+.2f}, {y:+.2f})"]
    zero, = panel.lines
    np.testing.assert_array_equal(np.ravel(zero.get_data()), (0, 0))
    for circle in panel.collections:
        np.testing.assert_array_equal(circle.get_offsets(), [(x, y)])
    assert "reference minus image: what to add to a position in the image" in title_of(page)
    assert f"peak at ({x:+.2f}, {y:+.2f}) pixels: 120 pairs in its bin of 1 pixel; mean of all bins" in title_of(page)
    assert bar.get_ylabel() == "pairs in a bin (cube-root scale)"


def test_no_peak_looks_like_one(alignment):
    """The words, the colour and the broken ring of a failure are others than those of a peak; rivals have rings."""
    random = np.random.default_rng(5)
    noise = random.poisson(1.0, (41, 41)).astype(float)
    noise[30, 8] = 9
    noise[5, 35] = 7
    match = dataclasses.replace(alignment.match, histogram=noise, edges=np.array([np.arange(-20.5, 21)] * 2))
    failed = dataclasses.replace(alignment, match=match, status=Status.FAILED, reason="3 matches, minobj=15 are needed")
    page = plots._histogram_page(failed, 8)
    panel = page.figure.axes[0]
    assert panel.texts[0].get_text() == "no peak: 9 pairs\n(-12.00, +10.00)"
    assert title_of(page).splitlines()[:2] == ["j8bt06o1q_flt.fits (not aligned)", "3 matches, minobj=15 are needed"]
    places = [tuple(circle.get_offsets()[0]) for circle in panel.collections]
    assert places[:2] == [(-12, 10)] * 2 and (15, -15) in places
    assert panel.collections[1].get_linestyle() != panel.collections[-1].get_linestyle()
    alone = with_histogram(failed, 41, peak=(12.0, -7.0))
    panel = plots._histogram_page(alone, 8).figure.axes[0]
    assert panel.texts[0].get_text().startswith("not believed: 321 pairs\n")  # it is a peak, for all that


def test_places_of_matches_are_where_they_are_drawn(alignment):
    """A click on what is seen in the PNG of a match finds this match."""
    for kind, draw in [("residuals", residuals_png), ("vector", vector_png)]:
        picture = 255 * plots.pixels(draw(alignment, labelsize=8))
        places = plots.match_places(alignment, kind, labelsize=8)
        assert set(places[:, 2]) == set(range(len(alignment.rows)))
        x, y = np.rint(places[:, :2]).astype(int).T
        around = np.array([picture[j - 2:j + 3, i - 2:i + 3].min() for i, j in zip(x, y, strict=True)])
        assert (around < 200).mean() > 0.98, kind
        lonely = picture[np.roll(y, 1), x].min(axis=1)
        assert (lonely < 200).mean() < 0.5


def test_trend_and_shades_of_residuals(alignment):
    """A drift of the residuals along x shows as a line; faint sources are light, and each row has its distribution."""
    sources = alignment.exposure.sources
    noisy = dataclasses.replace(alignment.exposure, sources=sources.replace(flux_error=np.sqrt(sources.flux)))
    slope = np.column_stack([1e-4 * (alignment.image_xy[:, 0] - 500), np.zeros(len(alignment.rows))])
    tilted = with_matches(alignment, alignment.image_xy, alignment.image_xy + slope, geometry="shift", sigma=None)
    page = plots._residuals_page(dataclasses.replace(tilted, exposure=noisy), None, 8)
    panel = page.figure.axes[0]
    trend = next(line for line in panel.lines if line.get_color() == "black").get_xydata()
    assert np.polyfit(*trend.T, 1)[0] == pytest.approx(1e-4, rel=0.05)
    shades = panel.collections[0].get_facecolors()[:, 0]
    bright = np.argsort(sources.flux[tilted.rows])
    assert shades[bright[-1]] < shades[bright[0]]
    distributions = [panel for panel in page.figure.axes if not panel.get_ylabel()]
    assert [len(panel.patches) for panel in distributions] == [30, 30]


def test_histogram_has_its_bins_where_they_are(alignment):
    panel, _ = plots._histogram_page(with_histogram(alignment, 41, peak=(12.0, -7.0)), 8).figure.axes
    counts, (left, right, low, high) = panel.images[0].get_array(), panel.images[0].get_extent()
    row, column = np.unravel_index(np.argmax(counts), counts.shape)
    assert counts[row, column] == 321
    assert left + (column + 0.5) * (right - left) / 41 == pytest.approx(12)
    assert low + (row + 0.5) * (high - low) / 41 == pytest.approx(-7)


@pytest.mark.parametrize("bins", [82, 128, 129, 1001])
@pytest.mark.parametrize("place", [(0.013, 0.307), (-0.499, 0.4995), (0.4995, -0.4995)])
def test_large_histogram_shows_one_bin_of_many(bins, place, alignment):
    peak = np.array(place) * bins
    page = plots._histogram_page(with_histogram(alignment, bins, peak=peak), 8)
    whole, zoom, _ = page.figure.axes
    assert max(whole.images[0].get_array().shape) <= 128
    assert zoom.images[0].get_array().shape == (31, 31)
    for panel in (whole, zoom):
        image = panel.images[0]
        (rows, columns), (left, right, low, high) = image.get_array().shape, image.get_extent()
        row, column = np.unravel_index(np.argmax(image.get_array()), (rows, columns))
        assert image.get_array()[row, column] == 321
        x, y = left + (column + [0, 1]) * (right - left) / columns, low + (row + [0, 1]) * (high - low) / rows
        assert x[0] <= peak[0] <= x[1]
        assert y[0] <= peak[1] <= y[1]
    np.testing.assert_allclose(whole.get_xlim(), (-bins / 2, bins / 2))
    assert np.ptp(zoom.get_xlim()) == pytest.approx(31)
    label = zoom.texts[0].get_window_extent()
    assert zoom.bbox.x0 <= label.x0
    assert label.x1 <= zoom.bbox.x1
    assert zoom.bbox.y0 <= label.y0
    assert label.y1 <= zoom.bbox.y1


def test_peak_just_outside_the_histogram_counts_its_nearest_bin(alignment):
    found = with_histogram(alignment, 41, peak=(20.4, 0.0))
    outside = dataclasses.replace(found, match=dataclasses.replace(found.match, offset=np.array([20.9, 0.0])))
    assert "321 pairs" in title_of(plots._histogram_page(outside, 8))


def test_histogram_without_any_pair(alignment):
    empty = dataclasses.replace(alignment.match, histogram=np.zeros((41, 41)), edges=np.array([np.arange(42.0)] * 2))
    size_of(histogram_png(dataclasses.replace(alignment, match=empty)))


def test_residuals_are_drawn_in_pixels_and_in_mas(alignment):
    page = plots._residuals_page(alignment, 0.2, 8)
    fitted = alignment.fit(alignment.image_xy)[alignment.fit.used]
    residuals = alignment.fit.residuals[alignment.fit.used]
    panels = [panel for panel in page.figure.axes if panel.get_ylabel()]
    labels = [(panel.get_xlabel(), panel.get_ylabel()) for panel in panels]
    assert labels == [("", "residual in X (pixels)"), ("", "residual in X (mas)"),
                      ("X on the plane (pixels)", "residual in Y (pixels)"),
                      ("Y on the plane (pixels)", "residual in Y (mas)")]
    for number, panel in enumerate(panels):
        row, column = divmod(number, 2)
        factor = (1, 1000 * alignment.plane.pixel_scale)[column]
        used = next(line for line in panel.lines if line.get_marker() == "o")
        np.testing.assert_allclose(used.get_xdata(), fitted[:, column])
        np.testing.assert_allclose(used.get_ydata(), residuals[:, row] * factor)
        np.testing.assert_allclose(panel.get_ylim(), (-0.2 * factor, 0.2 * factor))
    assert alignment.plane.pixel_scale == pytest.approx(SCALE, rel=1e-3)


def test_residuals_tell_rms_and_numbers(alignment):
    page = plots._residuals_page(alignment, None, 8)
    (x, y), mas = alignment.rms, 1000 * alignment.plane.pixel_scale
    assert f"rms X {x:.4f}, Y {y:.4f} pixels = {x * mas:.2f}, {y * mas:.2f} mas" in title_of(page)
    assert "residual = reference minus fitted image; 110 of 120 matches used" in title_of(page)
    assert legend_of(page) == ["used (110)", "rejected (10)", "running median", "beyond the range (10)"]


def test_residuals_beyond_the_range_stand_at_its_edge(alignment):
    page = plots._residuals_page(alignment, 0.01, 8)
    beyond = (np.abs(alignment.fit.residuals) > 0.01).any(axis=1).sum()
    assert legend_of(page)[-1] == f"beyond the range ({beyond})"
    panel = page.figure.axes[0]
    marks = {end: np.concatenate([line.get_ydata() for line in panel.lines if line.get_marker() == mark])
             for end, mark in ((0.01, "^"), (-0.01, "v"))}
    for end, drawn in marks.items():
        assert (drawn == end).all()
        assert len(drawn) == (alignment.fit.residuals[:, 0] / end > 1).sum()


def test_automatic_range_follows_the_used_matches(alignment):
    limit = plots._residuals_page(alignment, None, 8).figure.axes[0].get_ylim()[1]
    largest = np.abs(alignment.fit.residuals[alignment.fit.used]).max()
    assert largest < limit < 1.5 * largest
    assert limit < 0.3 < np.abs(alignment.fit.residuals).max()


def test_automatic_range_of_perfect_residuals(alignment):
    same = with_matches(alignment, alignment.image_xy, alignment.image_xy)
    assert plots._residuals_page(same, None, 8).figure.axes[0].get_ylim() == pytest.approx((-1e-3, 1e-3))


@pytest.mark.parametrize("value", [0.99e-3, 1e-3, 1.01, 1.21, 9.9, 12.0, 130.0])
def test_round_up(value):
    assert value <= residuals.round_up(value) <= 1.34 * value


@pytest.mark.parametrize("ylimit", [0, -1.0, np.nan])
def test_range_has_to_be_positive(ylimit, alignment):
    with pytest.raises(ValueError, match=f"ylimit is {ylimit}, expected more than 0 pixels"):
        residuals_png(alignment, ylimit=ylimit)


def test_arrows_lead_from_fitted_image_to_reference(alignment):
    page = plots._vector_page(alignment, 8)
    panel, = page.figure.axes
    quiver = panel.collections[0]
    key = next(artist for artist in panel.get_children() if isinstance(artist, QuiverKey))
    pixels, mas = map(float, re.fullmatch(r"(.*) pixels = (.*) mas", panel.texts[0].get_text()).groups())
    used = alignment.fit.used
    np.testing.assert_allclose(quiver.XY, alignment.fit(alignment.image_xy[used]))
    np.testing.assert_allclose(np.column_stack([quiver.U, quiver.V]) * pixels / key.U, alignment.fit.residuals[used])
    assert mas == pytest.approx(pixels * 1000 * alignment.plane.pixel_scale, rel=1e-2)
    assert legend_of(page) == ["rejected, drawn without arrow (10)"]
    assert "for 110 of 110 used matches" in title_of(page)
    assert "y axis at position angle" in title_of(page)


def test_field_has_equal_scales_and_holds_every_arrow(alignment):
    panel, = plots._vector_page(alignment, 8).figure.axes
    quiver = panel.collections[0]
    box = np.array([panel.get_xlim(), panel.get_ylim()]).T
    tips = quiver.XY + np.column_stack([quiver.U, quiver.V])
    assert ((tips > box[0]) & (tips < box[1])).all()
    assert np.divide(*np.ptp(box, axis=0)) == pytest.approx(panel.bbox.width / panel.bbox.height)


def test_chip_outlines_are_where_the_fit_puts_them(alignment):
    panel, = plots._vector_page(alignment, 8).figure.axes
    outlines = [line.get_xydata() for line in panel.lines if line.get_linestyle() == "-"]
    assert len(outlines) == 2
    for outline in outlines:
        assert tuple(outline[0]) == tuple(outline[-1])
        np.testing.assert_allclose(np.ptp(outline, axis=0), SHAPE[::-1], atol=0.5)
    corner = np.min([outline.min(axis=0) for outline in outlines], axis=0)
    chips = np.min([alignment.plane.sky_to_plane(one.wcs.all_pix2world([[0.5, 0.5], [1000.5, 500.5]], 1)).min(axis=0)
                    for one in alignment.exposure.chips], axis=0)
    np.testing.assert_allclose(corner - chips, OFFSET, atol=0.1)


def test_narrow_field_keeps_room_for_its_labels(alignment):
    strip = Chip(1, chip(1).wcs, (16, 1000))
    field = dataclasses.replace(alignment, exposure=dataclasses.replace(alignment.exposure, chips=(strip,)))
    xy = alignment.image_xy * [1, 0.01] + [0, 500]
    width, height = size_of(vector_png(with_matches(field, xy, xy + [0.1, 0.0])))
    assert height > 0.4 * width


def test_many_matches_are_thinned_evenly(alignment):
    random = np.random.default_rng(1)
    xy = random.uniform(0, 1000, (7000, 2))
    many = with_matches(alignment, xy, xy + random.normal(0, 0.02, xy.shape), sigma=None)
    page = plots._vector_page(many, 8)
    drawn = page.figure.axes[0].collections[0].XY
    assert 800 < len(drawn) <= 900
    assert f"for {len(drawn)} of 7000 used matches" in title_of(page)
    assert (np.histogram2d(*drawn.T, bins=5)[0] >= 30).all()
    assert vector_png(many) == vector_png(many)


def test_brightest_of_each_cell():
    xy = np.repeat(np.array(np.meshgrid(np.arange(30.0), np.arange(30.0))).reshape(2, -1).T, 3, axis=0)
    flux = np.tile([1.0, np.nan, 2.0], 900)
    np.testing.assert_array_equal(plots._brightest_of_cells(xy, flux), np.arange(2, 2700, 3))
    np.testing.assert_array_equal(plots._brightest_of_cells(xy[:900], flux[:900]), np.arange(900))
    assert len(plots._brightest_of_cells(xy, np.full(2700, np.nan))) == 900


def test_threads_give_the_same_pictures(alignment):
    expected = [plot(alignment) for plot in PNG_PLOTS]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda plot: plot(alignment), PNG_PLOTS * 4))
    assert found == expected * 4


def test_matplotlib_is_imported_late_and_left_alone(alignment, tmp_path):
    saved = tmp_path / "alignment.pickle"
    saved.write_bytes(pickle.dumps(alignment))
    code = f"""
import pickle, sys
from pathlib import Path
from imagereg.report import plots, residuals
assert "matplotlib" not in sys.modules
alignment = pickle.loads(Path({str(saved)!r}).read_bytes())
import matplotlib
matplotlib.rcParams.update({{"text.usetex": True, "figure.autolayout": True, "savefig.bbox": "tight"}})
before = matplotlib.rcParams.copy()
for plot in (plots.histogram_png, plots.residuals_png, plots.vector_png):
    assert plot(alignment, labelsize=8).startswith(b"\\x89PNG")
assert dict.__eq__(matplotlib.rcParams, before)
assert "matplotlib.pyplot" not in sys.modules
"""
    environment = os.environ | {"PYTHONPATH": str(Path(plots.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


def test_match_without_histogram_comes_from_use2dhist_off(alignment):
    reference = exposure("first_flt.fits", np.array([[10.0, 10], [500, 100], [900, 400]]), np.ones(3))
    image = exposure("second_flt.fits", np.array([[10.1, 10], [500, 100.1], [900, 400]]), np.ones(3))
    found = align([reference, image], alignment.plane, rules_with(minobj=1, use2dhist=False))[0][1]
    assert isinstance(found.match, Candidate)
    with pytest.raises(ValueError, match="no histogram"):
        histogram_png(found)
