"""Settings of Sphinx; ``scripts/docs`` builds the pages, with warnings as errors."""

import runpy
from pathlib import Path

HERE = Path(__file__).resolve().parent

project = "imagereg"
author = "imagereg developers"
copyright = "imagereg developers"
version = release = runpy.run_path(str(HERE.parent / "lib" / "imagereg" / "version.py"))["__version__"]

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


def setup(app):
    """Have the picture drawn before the pages are read."""
    app.connect("builder-inited", draw_rooms)
