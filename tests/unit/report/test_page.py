"""The page of a run is one file without network and scripts, whose texts are escaped, and shows what there is."""

import base64
import dataclasses
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread
from test_plots import OFFSET, SCALE, aligned, with_histogram

from imagereg.alignment.sequence import Alignment, Status
from imagereg.report import page
from imagereg.report.cutouts import FINE, pictures
from imagereg.report.summary import Result
from imagereg.tasks.feedback.advice import advice

EVIL = "<script>alert('x')</script>&\"_flt.fits"
FACTS = page.Facts("0.1.0", "2026-01-02", "/data/" + EVIL, "tweakreg '" + EVIL + "'",
                   [{"name": "tweakreg.wcsname", "value": EVIL, "default": "TWEAK", "comment": "Name of the new WCS"}])
VALUES = {"threshold": 10.0, "searchrad": 1.0, "tolerance": 1.0}


@pytest.fixture(scope="module")
def good():
    return aligned()


@pytest.fixture(scope="module")
def failed(good):
    exposure = dataclasses.replace(good.exposure, name=EVIL)
    lost = Alignment(exposure, Status.FAILED, f"3 matches within tolerance=1 pixel, minobj=15 are needed {EVIL}",
                     good.plane, match=good.match)
    return with_histogram(lost, 41, peak=(12.0, -7.0))


def sky(alignment):
    """Return pixels of the chips of an exposure with a star of one height at each source, on a noisy sky."""
    random = np.random.default_rng(3)
    found = {}
    for one in alignment.exposure.chips:
        pixels = random.normal(100, 3, one.shape)
        y, x = np.mgrid[-6:7, -6:7]
        for column, row in np.round(alignment.exposure.sources.xy[alignment.exposure.sources.chip == one.extver]):
            i, j = int(row) - 1, int(column) - 1
            if 6 <= i < one.shape[0] - 6 and 6 <= j < one.shape[1] - 6:
                pixels[i - 6:i + 7, j - 6:j + 7] += 500 * np.exp(-(x**2 + y**2) / (2 * 1.5**2))
        found[one.extver] = pixels
    return found


def made(*alignments, pixels=False):
    result = Result(alignments, alignments[0].plane, alignments[0].reference)
    return page.report_page(alignments, result.table(), result.plane, FACTS,
                            advise=lambda alignment: advice(alignment, **VALUES),
                            pictures=lambda a, detail: pictures(a, sky(a), None, detail) if pixels else None)


class Reader(HTMLParser):
    """Collect the tags and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_every_text_is_escaped(good, failed):
    """Names of files and values of parameters may hold anything."""
    text = made(good, failed)
    assert EVIL not in text and "<script" not in text
    assert text.count("&lt;script&gt;") >= 5
    assert not any(tag == "script" or any(name.startswith("on") for name in attrs) for tag, attrs in Reader(text).tags)


def test_the_page_is_one_file(good, failed):
    """Nothing is loaded from elsewhere, and the browser is told not to."""
    tags = Reader(made(good, failed, pixels=True)).tags
    links = [value for _, attrs in tags for name, value in attrs.items() if name in ("src", "href", "srcset")]
    assert links and all(link.startswith(("data:image/", "#")) for link in links)
    assert {tag for tag, _ in tags}.isdisjoint({"link", "iframe", "object", "script"})
    policy = next(attrs["content"] for tag, attrs in tags if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'")
    anchors = {attrs["id"] for _, attrs in tags if "id" in attrs}
    assert {link[1:] for link in links if link.startswith("#")} <= anchors


def test_the_verdict_comes_first_and_a_failure_has_advice(good, failed):
    text = made(good, failed)
    body = text.partition("<body>")[2]
    assert body.index("1 of 2 images aligned, 1 failed") < body.index("<table>")
    section = body.partition('id="image2"')[2]
    assert 'What to try next' in section and "searchrad=5</code>" in section and "threshold=5</code>" in section
    assert "321 in the fullest bin" in section and "peak, not believed, at" in section
    assert "Histogram of offsets" in section
    assert "Residuals before" not in section


def test_size_of_a_page_of_six_exposures(good):
    """Under 1 MB, with pictures of six exposures of two chips; one of sixty takes a fifth of the room."""
    assert len(made(*[good] * 6, pixels=True)) < 1e6
    assert len(made(*[good] * 10, pixels=True)) < 10 * 7e4


def test_sections_of_many_exposures_are_closed_but_for_failures(good, failed, monkeypatch):
    monkeypatch.setattr(page, "_figures", lambda alignment, most: ())
    tags = Reader(made(*[good] * 59, failed)).tags
    opened = ["open" in attrs for tag, attrs in tags if tag == "details"]
    assert opened == [False] * 59 + [True]
    text = made(*[good] * 59, failed)
    # Inside, where a link from the table opens a section that is closed.
    assert text.index('<div id="image60">') > text.index("</summary>", text.rindex("<details"))


def test_footprints_are_north_up_and_east_left(good):
    """The image north of another is above it, that east of it to the left."""
    outlines = page.diagrams.footprints([good], good.plane)
    assert [len(outlines), len(outlines[0]["polygons"])] == [1, 2]
    width = np.ptp(outlines[0]["polygons"][0][:, 0])
    assert width == pytest.approx(1000 * SCALE, rel=0.01)
    first, second = (polygon[:, 1].mean() for polygon in outlines[0]["polygons"])
    assert first - second == pytest.approx(520 * SCALE, rel=0.01)  # the second chip is north of the first one
    drawn = page.sky_map(outlines)
    points = np.array([pair.split(",") for pair in " ".join(drawn["outlines"][0]["polygons"]).split()], float)
    assert (points > 0).all() and (points < [drawn["width"], drawn["height"]]).all()
    assert drawn["bar_text"] == "10 arcsec"


def test_before_and_after_show_a_star_where_each_wcs_has_it(good):
    """By the WCS after the run stars are in the middle, before it they are off by the offset."""
    seen = pictures(good, sky(good), None, FINE)
    assert seen.fwhm == pytest.approx(2.355 * 1.5, rel=0.15)
    assert set(seen.chips) == {1, 2} and seen.strips == {}
    reference = good.exposure.chips, sky(good)
    seen = pictures(good, sky(good), reference, FINE)
    assert seen.n_stars == 6
    middles = []
    for when in ("before", "after"):
        darkness = 255.0 - imread(io.BytesIO(seen.strips[when]), format="jpg")[:, :48, 0][::-1]
        darkness[darkness < 128] = 0
        y, x = np.mgrid[:48, :48]
        middles.append([np.average(x, weights=darkness), np.average(y, weights=darkness)])
    step = 16 / 47  # pixels of the plane a sample
    before, after = (np.array(middles) - 23.5) * step
    assert np.hypot(*after) < 0.75  # stars were put on whole pixels
    np.testing.assert_allclose(before - after, -OFFSET, atol=0.5)


@pytest.mark.parametrize(("reason", "setting"), [
    ("9 sources found, minobj=15 are needed", "threshold=5"),
    ("no source has one of the reference within searchrad=20 pixel", "searchrad=5"),
    ("4 matches, as unrelated sources would give with probability 0.1", "searchrad=5"),
    ("two transforms explain the sources about equally well", "searchrad=0.5"),
    ("its sources do not follow the correction that its visit shares (group=visit)", "group=none"),
    ("rejected by the user", None),
])
def test_advice_has_a_parameter_and_a_value(reason, setting, failed):
    found = advice(dataclasses.replace(failed, reason=reason), **VALUES)
    assert (found[0].setting if found else None) == setting


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_in_a_browser(width, good, failed, tmp_path):
    """Chromium draws it without a complaint, and nothing is wider than the window."""
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium")
    probe = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    text = made(good, failed, pixels=True).replace("default-src 'none'", "script-src 'unsafe-inline'")
    (tmp_path / "page.html").write_text(text.replace("</body>", probe))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
               f"--window-size={width},2000", "--dump-dom", f"file://{tmp_path}/page.html"]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    needed, there = map(int, re.search(r"<title>(\d+) of (\d+)</title>", drawn).groups())
    assert needed <= there


def test_pictures_are_images(good):
    tags = Reader(made(good, pixels=True)).tags
    data = [attrs["src"] for tag, attrs in tags if tag == "img"]
    assert len(data) == 1  # the mean star; where the reference is an image, strips of stars besides
    for uri in data:
        content = base64.b64decode(uri.partition("base64,")[2], validate=True)
        assert content.startswith(b"\xff\xd8\xff")
