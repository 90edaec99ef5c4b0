"""The code keeps to the rules of the design: who imports whom, and how large things are. It is read, not run."""

import ast
import configparser
import functools
import io
import re
import sys
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "lib" / "imagereg"

# A module imports only from a lower floor. Halves are steps within a floor of the design's table.
FLOORS = {
    "interfaces": 0,
    "tasks": 0,
    "parameters": 0,
    "report": 0,
    "files": 0,
    "alignment": 0,
    "detection": 0,
    "catalogs": 0,
    "wcs": 0,
    "errors": 0, "version": 0, "parameters.declaration": 0.5,
    "parameters.spec": 1, "catalogs.sources": 1, "parameters.help": 1.5,
    "detection.daofind": 2, "detection.epsf": 2, "alignment.match": 2, "alignment.geometry": 2, "alignment.fit": 2.5, "detection.outlines": 2, "detection.exclusions": 2.5, "alignment.pattern": 2.5,
    "wcs.plane": 3, "files.text": 3, "files.geomap": 3, "catalogs.columns": 3, "catalogs.readers": 3.5, "catalogs.user": 3.5, "files.exclusion_lists": 3.7,
    "wcs.keywords": 4, "catalogs.reference": 4, "catalogs.surveys": 4, "alignment.exposure": 4,
    "wcs.history": 4.5, "alignment.coverage": 4.3, "alignment.solve": 4.3, "alignment.sequence": 4.5, "joint": 4.5, "files.solution": 4.6,
    "parameters.texts": 3, "interfaces.completion": 3,
    "files.checksum": 4, "files.atomic": 5, "files.disk": 5.1, "files.fits": 5.2, "parameters.saved": 5.2, "parameters.gather": 5.4, "detection.sextractor": 5,
    "report.plots": 5, "report": 5, "files.frames": 5.3, "tasks.apply": 5.9,
    "files.inputs": 5.5, "files.lists": 5.5, "files.headerlets": 5.5, "tasks.exposures": 5.7, "files.stored": 5.7, "tasks.steps": 5.8, "tasks.outputs": 5.8,
    "tasks.updatewcs": 5.8, "tasks.restore": 5.8,
    "interfaces.epar.rules": 5.5, "interfaces.epar.row": 5.5, "interfaces.epar.kept": 5.5,
    "interfaces.epar.terminal.field": 5.5, "interfaces.epar.terminal.keys": 5.5, "interfaces.epar.terminal.screen": 5.81, "interfaces.epar.terminal.session": 5.83,
    "interfaces.epar.window.fields": 5.5, "interfaces.epar.window.form": 5.6, "interfaces.epar.window.shortcuts": 5.5, "interfaces.epar.window.pane": 5.5, "interfaces.epar.window.finder": 5.5,
    "interfaces.epar.model": 5.8, "interfaces.epar.window.running": 5.8, "interfaces.epar.terminal": 5.85, "interfaces.epar.window": 5.85,
    "interfaces.epar": 5.9,
    "tasks.compare": 6, "tweakreg": 6, "imagefindpars": 6.5, "refimagefindpars": 6.5,
    "interfaces.pyraf": 7.5, "interfaces.iraf": 7, "batch": 7, "demo": 7,
    "interfaces.cli": 8, "__init__": 9,
}  # fmt: skip
DATA = {"pars", "help_files", "iraf"}  # sub-packages without code

# Third-party packages that a module may import at all, by their first name; numpy goes without saying.
THIRD_PARTY = {
    "parameters.spec": {"configobj"}, "parameters.declaration": {"configobj"},
    "detection.daofind": {"scipy"}, "detection.epsf": {"scipy"}, "alignment.match": {"scipy"}, "alignment.fit": {"scipy"}, "alignment.pattern": {"scipy"}, "joint": {"scipy"},
    "detection.outlines": {"astropy"}, "detection.exclusions": {"astropy", "regions"}, "catalogs.columns": {"astropy"}, "catalogs.readers": {"astropy"},
    "wcs.plane": {"astropy"}, "wcs.keywords": {"astropy"}, "wcs.history": {"astropy", "stwcs"},
    "tasks.updatewcs": {"astropy", "stwcs"}, "files.headerlets": {"astropy", "stwcs"}, "files.stored": {"astropy"},
    "tasks.compare": {"astropy"},
    "catalogs.surveys": {"astropy"}, "alignment.exposure": {"astropy"}, "alignment.solve": {"scipy"},
    "files.solution": {"astropy"}, "files.frames": {"astropy"},
    "files.fits": {"astropy", "stsci", "stwcs"}, "files.inputs": {"astropy", "stsci"}, "detection.sextractor": {"astropy"},
    "files.lists": {"astropy"}, "tasks.exposures": {"threadpoolctl"},
    "report.plots": {"matplotlib", "astropy"}, "report": {"astropy", "matplotlib"},
    "tweakreg": {"astropy", "stsci", "stwcs", "pyraf"},
    "interfaces.epar.terminal": {"prompt_toolkit"},
    **dict.fromkeys(("interfaces.epar.window.fields", "interfaces.epar.window.finder", "interfaces.epar.window.form", "interfaces.epar.window.shortcuts", "interfaces.epar.window.pane",
                     "interfaces.epar.window.running", "interfaces.epar.window"), {"tkinter"}),
    "interfaces.pyraf": {"pyraf"}, "batch": {"dask"}, "demo": {"astropy", "scipy"},
}  # fmt: skip
ONLY_INSIDE_FUNCTIONS = {"matplotlib", "stwcs", "tkinter", "prompt_toolkit", "dask", "distributed", "pyraf"}

# Below floor 5 there is no disk, screen, clock, keyboard or network.
OUTSIDE_WORLD = {"os", "io", "pathlib", "shutil", "tempfile", "glob", "subprocess", "socket", "urllib", "time", "sys",
                 "datetime", "getpass", "readline", "curses", "threading", "multiprocessing", "random", "secrets"}
EXCUSED = {("parameters.declaration", "os"): "os.fspath, for values that are paths",
           ("catalogs.readers", "io"): "bytes as a file",
           ("files.solution", "io"): "a table as text",
           ("wcs.history", "io"): "a place for what stwcs prints"}  # module and import: why
IN_MEMORY = {"catalogs.readers", "wcs.keywords", "wcs.history"}  # what they do with astropy.io touches no disk
LOGS = {"tweakreg", "interfaces.cli", "batch", "interfaces.epar.window.running"}  # they show or keep what the package logs
MANY_ARGUMENTS = {("tweakreg", "TweakReg"): "drizzlepac's signature"}

MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
                 for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in DATA)
NAMES = [name.removesuffix(".__init__") for name in MODULES]
LOW = [name for name in NAMES if FLOORS.get(name, 10) < 5]

MAX_MODULE, MAX_FUNCTION, MAX_DEPTH, MAX_POSITIONAL = 500, 50, 3, 4


@functools.cache
def source(name):
    """Return the text of a module."""
    path = PACKAGE.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path.read_text(encoding="utf-8")


@functools.cache
def tree(name):
    """Return the syntax tree of a module, every node with its `parent`."""
    module = ast.parse(source(name))
    for node in ast.walk(module):
        for child in ast.iter_child_nodes(node):
            child.parent = node
    return module


def ancestors(node):
    """Yield the nodes around a node, from the inside out."""
    while hasattr(node, "parent"):
        node = node.parent
        yield node


def is_lazy(node):
    """Whether a node is inside a function, or only for type checkers."""
    return any(isinstance(a, ast.FunctionDef | ast.AsyncFunctionDef) or (
        isinstance(a, ast.If) and ast.unparse(a.test).endswith("TYPE_CHECKING")) for a in ancestors(node))


@functools.cache
def imports(name):
    """Return full names of what a module imports, with the nodes."""
    return tuple(_imports(name))


def _imports(name):
    package = ["imagereg", *name.split(".")]
    package = package if PACKAGE.joinpath(*name.split(".")).is_dir() else package[:-1]
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[:len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (base, node.module) if part)
            yield from ((f"{base}.{alias.name}", node) for alias in node.names)


def own_module(full_name):
    """Return which of the package's modules a full name stands for, or is in; __init__ for the package itself."""
    parts = full_name.split(".")[1:]
    while parts and ".".join(parts) not in (*FLOORS, *NAMES):
        parts.pop()
    return ".".join(parts) or "__init__"


def functions(name):
    """Yield all functions and methods of a module."""
    return (node for node in ast.walk(tree(name)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@functools.cache
def code_lines(name):
    """Return the numbers of the lines that hold code: no comment, no docstring, not blank."""
    docstrings = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = set()
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(source(name)).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return lines - docstrings


def depth(node):
    """Return how deep control flow is nested in a node; elif and with do not count."""
    flow = ast.For | ast.While | ast.If | ast.Try | ast.Match | ast.AsyncFor
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, depth(child) + (isinstance(child, flow) and not is_elif))
    return deepest


def calls(name):
    """Yield the full text of what is called, with the node."""
    return ((ast.unparse(node.func), node) for node in ast.walk(tree(name)) if isinstance(node, ast.Call))


def where(name, node, text):
    """Return a complaint about a place."""
    return f"{name}.py, line {node.lineno}: {text}"


def test_the_package_is_where_it_is_looked_for():
    assert {"errors", "alignment.fit", "__init__"} <= set(NAMES)
    assert sum(1 for name in NAMES for _ in functions(name)) > 100


@pytest.mark.parametrize("name", NAMES)
def test_module_has_a_floor(name):
    assert name in FLOORS, f"{name} has no floor: put it into the table of the design and into FLOORS"
    assert not name.split(".")[-1].startswith(("util", "helper", "misc", "common")), "a name that says nothing"


@pytest.mark.parametrize("name", NAMES)
def test_module_imports_from_lower_floors_only(name):
    own = [(own_module(full), node) for full, node in imports(name) if full.split(".")[0] == "imagereg"]
    complaints = [where(name, node, f"imports {other}, of floor {FLOORS[other]}") for other, node in own
                  if other != name and FLOORS.get(other, -1) >= FLOORS.get(name, 10)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_module_imports_the_third_parties_it_may(name):
    standard = set(sys.stdlib_module_names) - {"tkinter"}
    allowed = {"numpy", "imagereg"} | THIRD_PARTY.get(name, set())
    foreign = [(full, node) for full, node in imports(name) if full.split(".")[0] not in standard]
    complaints = [where(name, node, f"imports {full}") for full, node in foreign if full.split(".")[0] not in allowed]
    complaints += [where(name, node, f"imports {full} at the top") for full, node in foreign
                   if full.split(".")[0] in ONLY_INSIDE_FUNCTIONS and not is_lazy(node)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", LOW)
def test_no_outside_world_below_floor_five(name):
    complaints = [where(name, node, f"imports {full}") for full, node in imports(name)
                  if full.split(".")[0] in OUTSIDE_WORLD and (name, full.split(".")[0]) not in EXCUSED]
    complaints += [where(name, node, f"imports {full}") for full, node in imports(name)
                   if full.startswith("astropy.io") and name not in IN_MEMORY]
    complaints += [where(name, node, f"calls {text}") for text, node in calls(name)
                   if text in ("open", "input", "breakpoint", "exec", "eval") or text.startswith("np.random.")]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_command_prints(name):
    complaints = [where(name, node, "prints") for text, node in calls(name) if text in ("print", "pprint.pprint")]
    assert name == "interfaces.cli" or not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_logging(name):
    asked = [(text, node) for text, node in calls(name) if text.startswith("logging.")]
    complaints = [where(name, node, f"calls {text}, not a logger of its own") for text, node in asked
                  if text.removeprefix("logging.") in ("debug", "info", "warning", "error", "critical", "exception")]
    complaints += [where(name, node, f"calls {ast.unparse(node)}") for text, node in asked
                   if text == "logging.getLogger" and name not in LOGS
                   and ast.unparse(node) != "logging.getLogger(__name__)"]
    handling = ("addHandler", "basicConfig", "setLevel", "logging.FileHandler", "logging.StreamHandler")
    complaints += [where(name, node, f"calls {text} below floor 6") for text, node in calls(name)
                   if FLOORS.get(name, 0) < 6 and name not in LOGS and text.endswith(handling)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_alignment_errors_are_caught_in_align_only(name):
    caught = {"AlignmentError", "NotEnoughSources", "NotEnoughMatches", "DegenerateFit", "AmbiguousMatch"}
    handlers = [node for node in ast.walk(tree(name)) if isinstance(node, ast.ExceptHandler)]
    complaints = [where(name, node, f"catches {ast.unparse(node.type)}") for node in handlers
                  if node.type is not None and any(isinstance(part, ast.Name | ast.Attribute)
                                                   and ast.unparse(part).split(".")[-1] in caught
                                                   for part in ast.walk(node.type))]
    assert name in ("alignment.sequence", "joint", "alignment.solve") or not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_no_error_is_swallowed(name):
    handlers = [node for node in ast.walk(tree(name)) if isinstance(node, ast.ExceptHandler)]
    complaints = [where(name, node, "catches everything") for node in handlers
                  if (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
                  and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_size_of_the_module(name):
    assert len(source(name).splitlines()) <= MAX_MODULE


@pytest.mark.parametrize("name", NAMES)
def test_size_of_functions(name):
    complaints = [where(name, node, f"{node.name} has {count} lines of code") for node in functions(name)
                  if (count := sum(node.lineno <= n <= node.end_lineno for n in code_lines(name))) > MAX_FUNCTION]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_depth_of_functions(name):
    complaints = [where(name, node, f"{node.name} is nested {depth(node)} deep") for node in functions(name)
                  if depth(node) > MAX_DEPTH]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_positional_arguments(name):
    complaints = []
    for node in functions(name):
        names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
        if isinstance(node.parent, ast.ClassDef) and names[:1] in (["self"], ["cls"]):
            names = names[1:]
        if len(names) > MAX_POSITIONAL and (name, node.name) not in MANY_ARGUMENTS:
            complaints.append(where(name, node, f"{node.name} has {len(names)} positional arguments"))
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_public_things_have_docstrings(name):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    complaints = [] if ast.get_docstring(tree(name)) else [f"{name}.py has no docstring"]
    for node in (node for node in ast.walk(tree(name)) if isinstance(node, kinds)):
        nested = any(isinstance(a, ast.FunctionDef) for a in ancestors(node))
        private = node.name.startswith("_") or any(getattr(a, "name", "").startswith("_") for a in ancestors(node))
        if not (nested or private or ast.get_docstring(node)):
            complaints.append(where(name, node, f"{node.name} has no docstring"))
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_that_are_documented_exist(name):
    complaints = []
    for node in functions(name):
        text = ast.get_docstring(node) or ""
        if "\nParameters\n" not in text:
            continue
        section = text.split("\nParameters\n")[1].partition("\n")[2]
        for heading in ("\nReturns\n", "\nRaises\n", "\nYields\n", "\nNotes\n", "\nReferences\n", "\nSee Also\n"):
            section = section.partition(heading)[0]
        entries = [line.partition(" : ")[0] for line in section.splitlines() if " : " in line and line[0] != " "]
        documented = {word.strip().lstrip("*") for entry in entries for word in entry.split(",")}
        given = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        if documented - given:
            complaints.append(where(name, node, f"{node.name} has no argument {', '.join(sorted(documented - given))}"))
    assert not complaints, "\n".join(complaints)


def test_dependencies_are_declared():
    settings = configparser.ConfigParser()
    settings.read(PACKAGE.parent.parent / "setup.cfg")
    lines = settings["options"]["install_requires"].split("\n")
    required = {re.match(r"[\w.-]+", line).group() for line in lines if line}
    names = {full.split(".")[0] for name in NAMES for full, node in imports(name) if not is_lazy(node)}
    needed = names - set(sys.stdlib_module_names) - {"imagereg"}
    assert {"stsci.tools" if name == "stsci" else name for name in needed} <= required


def test_excuses_are_needed():
    used = {(name, full.split(".")[0]) for name in LOW for full, _ in imports(name)}
    assert [(name, what) for name, what in EXCUSED if name in NAMES and (name, what) not in used] == []
    defined = {(name, node.name) for name in NAMES for node in functions(name)}
    assert [(name, what) for name, what in MANY_ARGUMENTS if name in NAMES and (name, what) not in defined] == []


def test_the_checks_find_what_they_look_for():
    # The counting functions, held against code that is known.
    lines = ["def f():", " for i in a:", "  if i:", "   pass", "  elif j:", "   while k:", "    with m:", "     pass"]
    assert depth(ast.parse("\n".join(lines)).body[0]) == 3
    assert own_module("imagereg.detection.daofind.Kernel") == "detection.daofind"
    assert own_module("imagereg.interfaces.epar.model.Model") == "interfaces.epar.model"
    assert own_module("imagereg") == own_module("imagereg.__version__") == "__init__"
    assert "imagereg.errors.DegenerateFit" in {full for full, _ in imports("alignment.fit")}
