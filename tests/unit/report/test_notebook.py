"""A result in a notebook: verdict, whole table, small plots; all plots on demand."""

from html.parser import HTMLParser

import pytest
from test_page import EVIL, failed, good  # noqa: F401  (fixtures)

from imagereg.report.summary import Result


class Cells(HTMLParser):
    """Count tags."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


@pytest.fixture(scope="module")
def result(good, failed):  # noqa: F811
    return Result((good,) * 30 + (failed,), good.plane, good.reference)


def test_table_is_whole_and_escaped(result):
    text = result._repr_html_()
    tags = Cells(text).tags
    assert tags.count("tr") == 33 and tags.count("th") == 12 and tags.count("svg") == 30
    assert "..." not in text and "\N{HORIZONTAL ELLIPSIS}" not in text
    assert "30 of 31 images aligned, 1 failed" in text
    assert EVIL not in text and "&lt;script&gt;" in text
    assert set(tags) <= {"p", "b", "div", "table", "tr", "th", "td", "svg", "path", "circle"}


def test_plots_of_one_image_and_of_a_failure(good, failed):  # noqa: F811
    result = Result((good, failed), good.plane, good.reference)
    seen = result.plot(good.name)
    assert list(seen.images) == [f"{kind} of {good.name}" for kind in
                                 ("residuals", "vectors", "offsets")]
    assert all(png.startswith(b"\x89PNG") for png in seen.images.values())
    assert Cells(seen._repr_html_()).tags.count("img") == 3
    lost = result.plot(failed.name)
    assert list(lost.images) == [f"offsets of {EVIL}"]
    assert EVIL not in lost._repr_html_()
    with pytest.raises(KeyError, match="is none of j8bt06o1q"):
        result.plot("nosuch.fits")
