"""Settings of Sphinx; ``scripts/docs`` builds the pages, with warnings as errors."""

import os
import re
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

project = "imagereg"
author = "imagereg developers"
copyright = "imagereg developers"
_VERSION = HERE.parent / "lib" / "imagereg" / "version.py"
version = release = runpy.run_path(str(_VERSION))["__version__"]

extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "myst_nb", "numpydoc"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
exclude_patterns = ["_build"]

# Pages with code are run while the pages are built, each in a folder of its own, with the commands
# of this environment; an error in one ends the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
nitpicky = False

html_theme = "alabaster"
html_title = f"imagereg {version}"
html_theme_options = {"description": "Align images before they are combined", "page_width": "60em"}


def draw_rooms(app):
    """Draw the picture of the rooms from the imports, so that it can't be out of date."""
    rooms = runpy.run_path(str(HERE / "rooms.py"))
    rooms["draw"](HERE / "_build" / "rooms.svg")


def draw_figures(app):
    """Simulate what the page on the algorithms shows."""
    figures = runpy.run_path(str(HERE / "figures.py"))
    figures["draw"](HERE / "_build" / "figures")


def write_parameters(app):
    """Write the reference of the parameters from their declarations."""
    reference = runpy.run_path(str(HERE / "reference.py"))
    for task in ("tweakreg", "imagefindpars", "refimagefindpars"):
        reference["write"](task, HERE / "_build" / f"{task}.md")


def quote_wildcards(app, what, name, obj, options, lines):
    """Set defaults that hold an asterisk as code: as plain text it would begin an emphasis."""
    lines[:] = [re.sub(r"default ('[^']*\*[^']*')", r"default ``\1``", line) for line in lines]


def setup(app):
    """Have parts made before the pages are read, and docstrings mended before numpydoc."""
    app.connect("builder-inited", draw_rooms)
    app.connect("builder-inited", draw_figures)
    app.connect("builder-inited", write_parameters)
    app.connect("autodoc-process-docstring", quote_wildcards, priority=100)
