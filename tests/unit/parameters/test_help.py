"""The help texts: taken apart, made fresh, one parameter shown, and the pages for a browser."""

import dataclasses
import html.parser
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from imagereg import tweakreg
from imagereg.errors import ParameterError
from imagereg.interfaces.shell.cli import main
from imagereg.parameters import TASKS
from imagereg.parameters import help as helptext
from imagereg.parameters.spec import Spec, package_file

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOY = Spec.parse("""
_task_name_ = string_kw(default="toy")
_edit_btn_ = action_kw(default="Edit", executes='_rule1_', pset="toypars", comment="The rest")
name = string_kw(default="a", comment="A name")
[MORE THINGS]
size = float_kw(default=1, range="0:", unit="pixel", comment="A size")
""")
TEXT = """NAME
  toy - a thing

PARAMETERS
  Some are these.

  size = 3
      An old comment.

      Prose of the size.

        with   an example

      More of it.

  MORE THINGS

      Prose of the group.

SEE ALSO
  nothing
"""


class Reader(html.parser.HTMLParser):
    """Collects words, places and links, and complains of tags that do not match."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.ids, self.links = [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in ("meta", "input", "img"):
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []

    def handle_decl(self, decl):
        assert decl == "DOCTYPE html"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title", "nav", "figcaption"} & set(self.open):
            self.words += data.lower().split()


def read(task):
    reader = Reader()
    reader.feed((ROOT / "help" / f"{task}.html").read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader


def test_parse():
    page = helptext.parse(TEXT)
    assert page.sections == {"NAME": "  toy - a thing", "PARAMETERS": "  Some are these.", "SEE ALSO": "  nothing"}
    size, group = page.entries
    assert (size.name, size.head) == ("size", "  size = 3\n      An old comment.")
    assert size.text.startswith("size = 3\n    An old comment.\n\n    Prose of the size.\n\n      with   an")
    assert (group.name, group.head, group.prose) == ("", "  MORE THINGS", "      Prose of the group.")
    assert str(page) == TEXT


def test_refreshed():
    """Heads are made anew and stand in the order of the declaration; prose stays with its parameter, as it was."""
    text = helptext.refreshed(TEXT, TOY)
    page, before = helptext.parse(text), helptext.parse(TEXT)
    assert [entry.name for entry in page.entries] == ["toypars", "name", "", "size"]
    assert [entry.prose for entry in page.entries] == ["", "", before.entries[1].prose, before.entries[0].prose]
    assert page.entries[3].head == "  size = 1.0\n      A size. A number >= 0 (pixel)."
    assert page.sections == before.sections
    assert helptext.refreshed(text, TOY) == text


def test_prose_is_not_lost():
    """Prose of a parameter or group that is no longer declared stops the making."""
    with pytest.raises(ValueError, match="help/toy.help has prose of size, MORE THINGS, which is not declared"):
        helptext.refreshed(TEXT, dataclasses.replace(TOY, layout=TOY.layout[:1]))


@pytest.mark.parametrize("task", TASKS)
def test_pages_are_whole(task):
    """Each text is what its parts give, and says something of every parameter and button."""
    text = helptext.task_help(task)
    page = helptext.parse(text)
    assert str(page) == text
    said = {entry.name for entry in page.entries if len(entry.prose.split()) > 2}
    assert {p.pset or p.name for p in Spec.load(task).layout} <= said


@pytest.mark.parametrize("name", ["conv_width", "fwhmpsf", "conv_w"])
def test_parameter_help(name):
    """By name, alias or abbreviation: the declaration and the prose, without what stands beside them."""
    text = helptext.parameter_help("imagefindpars", name)
    assert text.startswith("conv_width = 3.5\n    FWHM of the convolution kernel. A number >= 0.1 (pixel), or INDEF.")
    assert "Gaussian" in text and "peakmin" not in text and text == text.strip()


def test_parameter_help_of_a_button():
    text = helptext.parameter_help("tweakreg", "_editipars_btn_")
    assert text == helptext.parameter_help("tweakreg", "imagefindpars")
    assert text.startswith('imagefindpars = "imagefind Parameters"\n')
    with pytest.raises(ParameterError, match="unknown parameter 'serchrad'; did you mean 'searchrad'"):
        helptext.parameter_help("tweakreg", "serchrad")


@pytest.mark.parametrize("task", TASKS)
def test_html_says_what_the_text_says(task):
    """All of it, in its order; only the marks of list items are gone."""
    lines = [line.strip().removeprefix("- ") for line in helptext.task_help(task).lower().splitlines()]
    assert "".join(read(task).words) == "".join([task, *"".join(lines).split()])


@pytest.mark.parametrize("task", TASKS)
def test_html_places_and_links(task):
    """Every parameter, alias and button can be gone to; every link leads somewhere."""
    page, pages = read(task), {f"{other}.html": set(read(other).ids) for other in TASKS}
    assert len(page.ids) == len(set(page.ids))
    for p in Spec.load(task).layout:
        assert {p.name, p.pset, *p.aliases} - {""} <= set(page.ids)
    for link in page.links:
        target, _, place = link.partition("#")
        assert not place or place in pages[target or f"{task}.html"], link
        assert not target or target in pages, link


def test_command(capsys):
    assert main(["--help", "all"]) == 0
    everything = capsys.readouterr().out
    assert everything.startswith("usage: tweakreg [FILE ...]") and helptext.task_help("tweakreg") in everything
    assert main(["--help", "searchr"]) == 0
    assert capsys.readouterr().out == f"tweakreg: {helptext.parameter_help('tweakreg', 'searchrad')}\n"
    assert main(["-h", "threshold"]) == 0
    assert capsys.readouterr().out.startswith("imagefindpars: threshold = 4.0\n")
    assert main(["--help", "fluxmin"]) == 0  # of both
    shown = [helptext.parameter_help(task, "fluxmin") for task in TASKS[:2]]
    assert capsys.readouterr().out == f"tweakreg: {shown[0]}\n\nimagefindpars: {shown[1]}\n"
    assert main(["--help", "imagefindpars"]) == 0
    assert capsys.readouterr().out == helptext.task_help("imagefindpars")
    assert main(["--help", "serchrad"]) == 2
    assert capsys.readouterr().err == "tweakreg: unknown parameter 'serchrad'; did you mean 'searchrad'?\n"


def test_address_for_teal():
    """TEAL goes to ``#name`` of an address that ends in .html, which it asks for without arguments."""
    address = tweakreg.getHelpAsString()
    assert address == (ROOT / "help" / "tweakreg.html").as_uri() == helptext.page_address("tweakreg")
    text = helptext.task_help("tweakreg")
    assert tweakreg.getHelpAsString(docstring=True, show_ver=False) == text
    title, _, rest = tweakreg.getHelpAsString(docstring=True).partition("\n\n")
    assert title.startswith("tweakreg ") and rest == text


def test_pictures_links_and_filter():
    """The page of tweakreg shows good and bad results, links its sections, and can be filtered."""
    page = helptext.html_page("tweakreg")
    pictures = re.findall('<img src="([^"]+)" alt="(Good|Bad)', page)
    assert sorted(kind for _, kind in pictures) == ["Bad", "Bad", "Good", "Good"]
    assert all(package_file("help_files", name).is_file() for name, _ in pictures)
    assert '<a href="#input-section">INPUT</a>' in page and 'id="input-section"' in page
    assert 'type="search"' in page and "https:" not in page and "http:" not in page


def test_text_is_wrapped_and_all_there():
    """At any width; what stands in columns stays."""
    for task in TASKS:
        text = helptext.task_help(task)
        for width in (40, 60, 100):
            wrapped = helptext.wrapped(text, width)
            assert wrapped.split() == text.split()
            long = [line for line in wrapped.splitlines() if len(line) > width]
            assert set(long) <= set(text.splitlines()), long[:3]


def test_what_a_link_of_the_editor_means():
    pieces = list(helptext.linked("Raise threshold=50 (nclip=3); see INPUT.", "tweakreg"))
    assert [(text, to) for text, to in pieces if to] == [
        ("threshold", "imagefindpars.threshold"), ("nclip", "nclip"), ("INPUT", "INPUT")]
    assert "".join(text for text, _ in pieces) == "Raise threshold=50 (nclip=3); see INPUT."
    own = dict(helptext.linked("threshold=5", "refimagefindpars"))
    assert own["threshold"] == "refimagefindpars.threshold"


@pytest.mark.parametrize("task", TASKS)
def test_man_page(task):
    """Man has nothing to complain of, and shows every word of the help."""
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("needs man and groff")
    path = package_file("help_files", f"{task}.1")
    environment = os.environ | {"MANWIDTH": "200", "LC_ALL": "C.UTF-8", "MANROFFOPT": "-c"}
    command = ["man", "--warnings", "--no-hyphenation", "--no-justification", "-P", "cat", "-l", str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    shown = re.sub("(.)\b\\1|_\b", r"\1", done.stdout).replace("•", "-").replace("−", "-").split()
    missing = set(helptext.task_help(task).split()) - set(shown)
    assert not missing
