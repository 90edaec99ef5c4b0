"""Settings of Sphinx; ``scripts/docs`` builds the pages, with warnings as errors."""

import re
import runpy
from pathlib import Path

HERE = Path(__file__).resolve().parent

project = "imagereg"
author = "imagereg developers"
copyright = "imagereg developers"
_VERSION = HERE.parent / "lib" / "imagereg" / "version.py"
version = release = runpy.run_path(str(_VERSION))["__version__"]

extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "myst_parser", "numpydoc"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
exclude_patterns = ["_build"]
nitpicky = False

html_theme = "alabaster"
html_title = f"imagereg {version}"
html_theme_options = {"description": "Align images before they are combined", "page_width": "60em"}


def draw_rooms(app):
    """Draw the picture of the rooms from the imports, so that it can't be out of date."""
    rooms = runpy.run_path(str(HERE / "rooms.py"))
    rooms["draw"](HERE / "_build" / "rooms.svg")


def quote_wildcards(app, what, name, obj, options, lines):
    """Set defaults that hold an asterisk as code: as plain text it would begin an emphasis."""
    lines[:] = [re.sub(r"default ('[^']*\*[^']*')", r"default ``\1``", line) for line in lines]


def setup(app):
    """Have the picture drawn before the pages are read, and docstrings mended before numpydoc."""
    app.connect("builder-inited", draw_rooms)
    app.connect("autodoc-process-docstring", quote_wildcards, priority=100)
