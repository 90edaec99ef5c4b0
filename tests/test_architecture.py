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
from mutations import MUTATIONS

from imagereg.parameters import gather

PACKAGE = Path(__file__).resolve().parent.parent / "lib" / "imagereg"

# The rooms of the house and their floors: a room imports from rooms on lower floors, and from itself.
FLOORS = {
    "errors": 0, "version": 0,
    "wcs": 1, "demo": 1,
    "catalogs": 2,
    "detection": 3, "alignment": 3,
    "files": 4, "report": 4,
    "parameters": 5,
    "tasks": 6,
    "interfaces": 7,
    "tweakreg": 8, "imagefindpars": 8, "refimagefindpars": 8, "solutions": 8, "__main__": 8,
    **dict.fromkeys(gather.SOLUTION_TASKS, 8),
    "__init__": 9,
}  # fmt: skip
# Words that in a room are no parameter but what a file says, which may be nothing.
NAMESAKES = {("interfaces", "force"): "of a file that exists", ("tasks", "to"): "the WCS archived last",
             ("files", "wcsname"): "of a header", ("alignment", "wcsname"): "of a header",
             ("wcs", "wcsname"): "of a header", ("tasks", "wcsname"): "that a header got",
             ("files", "author"): "of a headerlet", ("files", "catalog"): "of a headerlet",
             ("files", "history"): "text of a headerlet, not the file it is in"}

DATA = {"pars", "help_files", "iraf"}  # sub-packages without code

# Third-party packages that a room may import, by their first name; any may import numpy and lazy_loader.
THIRD_PARTY = {
    "wcs": {"astropy", "stwcs"},
    "demo": {"astropy", "scipy"},
    "catalogs": {"astropy"},
    "detection": {"astropy", "scipy", "sep", "regions"},
    "alignment": {"astropy", "scipy"},
    "files": {"astropy", "pyvo", "requests", "stsci", "stwcs"},
    "report": {"astropy", "matplotlib", "jinja2"},
    "parameters": {"configobj"},
    "tasks": {"astropy", "stwcs", "threadpoolctl", "distributed", "tqdm"},
    "interfaces": {"prompt_toolkit", "tkinter", "pyraf"},
}  # fmt: skip
ONLY_INSIDE_FUNCTIONS = {"matplotlib", "stwcs", "tkinter", "prompt_toolkit", "dask", "distributed", "pyraf", "jinja2",
                         "tqdm", "pyvo", "requests"}

# Below floor 4 there is no disk, screen, clock, keyboard or network.
OUTSIDE_WORLD = {"os", "io", "pathlib", "shutil", "tempfile", "glob", "subprocess", "socket", "urllib", "time", "sys",
                 "datetime", "getpass", "readline", "curses", "threading", "multiprocessing", "random", "secrets"}
EXCUSED = {("catalogs.formats.readers", "io"): "bytes as a file",
           ("catalogs.surveys", "io"): "text as a file",
           ("wcs.headerlet", "io"): "bytes as a file, and a place for what stwcs prints",
           ("wcs.headerlet", "threading"): "warnings and standard output are turned off for all threads",
           **{("detection.finders.sextractor", name): "a program that reads and writes files"
              for name in ("os", "shutil", "subprocess", "tempfile")}}  # module and import: why
# What these do with astropy.io touches no disk, but for the files that are handed to SExtractor.
IN_MEMORY = {"detection.finders.sextractor", "catalogs.formats.readers", "wcs.keywords", "wcs.history",
             "wcs.alternates", "wcs.correction", "wcs.distortion", "wcs.headerlet", "wcs.updatewcs"}
# They show or keep what the package logs.
LOGS = {"tasks.feedback.runlog", "tasks.parallel", "interfaces.shell.cli", "interfaces.epar.window.running"}
MANY_ARGUMENTS = {("interfaces.python", "TweakReg"): "drizzlepac's signature",
                  ("interfaces.solutions", "apply_tweak"): "drizzlepac's signature"}

MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
                 for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in DATA)
NAMES = [name.removesuffix(".__init__") for name in MODULES]
LOW = [name for name in NAMES if FLOORS.get(name.partition(".")[0], 10) < 4 and name != "demo"]

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
    assert {"errors", "alignment.fitting.fit", "__init__"} <= set(NAMES)
    assert sum(1 for name in NAMES for _ in functions(name)) > 100


def room(name):
    """Return the room of a module, or the module itself where it stands in none."""
    return name.partition(".")[0]


@pytest.mark.parametrize("name", NAMES)
def test_module_stands_in_a_room(name):
    assert room(name) in FLOORS, f"{name} stands in no room of the design: put it into one"
    assert not name.split(".")[-1].startswith(("util", "helper", "misc", "common")), "a name that says nothing"


def test_every_room_exists():
    assert {room(name) for name in NAMES} == FLOORS.keys()


@pytest.mark.parametrize("name", NAMES)
def test_module_imports_from_lower_floors_only(name):
    own = [(own_module(full), node) for full, node in imports(name) if full.split(".")[0] == "imagereg"]
    complaints = [where(name, node, f"imports {other}, of floor {FLOORS[room(other)]}") for other, node in own
                  if room(other) != room(name) and FLOORS[room(other)] >= FLOORS[room(name)]]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_other_rooms_import_from_the_face(name):
    """From another room come the names of its face, or modules of it, never names out of its modules."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - DATA
    nodes = [node for node in ast.walk(tree(name)) if isinstance(node, ast.ImportFrom) and node.module]
    foreign = [(node, node.module.split(".")) for node in nodes if node.module.startswith("imagereg.")]
    complaints = [where(name, node, f"imports out of {node.module}, not from its room") for node, path in foreign
                  if path[1] in rooms - {room(name)} and len(path) > 2 and path[1:3] != ["interfaces", "epar"]
                  and not {f"{'.'.join(path[1:])}.{alias.name}" for alias in node.names} <= set(NAMES)]
    assert not complaints, "\n".join(complaints)


FOLDERS = sorted({path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE} - {PACKAGE / name for name in DATA})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_folder_holds_three_to_eight_modules(folder):
    modules = [path for path in folder.glob("*.py") if path.stem != "__init__"]
    assert 3 <= len(modules) <= 8, "divide it, or put it together with another"


@pytest.mark.parametrize("face", sorted(PACKAGE.glob("*/__init__.pyi")), ids=lambda path: path.parent.name)
def test_faces_are_small_and_say_what_the_room_does(face):
    module = ast.parse(face.read_text(encoding="utf-8"))
    names = [alias.asname for node in module.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    files = [path.relative_to(face.parent).with_suffix("") for path in face.parent.rglob("*.py")]
    modules = {".".join(path.parts) for path in files}
    taken_from = [node.module for node in module.body if isinstance(node, ast.ImportFrom) and node.module]
    assert len([name for name in names if name not in modules]) <= 12
    assert set(taken_from) <= modules
    doc = ast.get_docstring(ast.parse(face.with_suffix(".py").read_text(encoding="utf-8")))
    assert doc and "`" in doc, "the docstring names the file to read first"


def test_no_circle_of_imports():
    arrows = {name: {own_module(full) for full, _ in imports(name) if full.split(".")[0] == "imagereg"} - {name}
              for name in NAMES}
    left = dict(arrows)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"these import each other: {', '.join(sorted(left))}"


@pytest.mark.parametrize("name", NAMES)
def test_module_imports_the_third_parties_it_may(name):
    standard = set(sys.stdlib_module_names) - {"tkinter"}
    allowed = {"numpy", "lazy_loader", "imagereg"} | THIRD_PARTY.get(room(name), set())
    foreign = [(full, node) for full, node in imports(name) if full.split(".")[0] not in standard]
    complaints = [where(name, node, f"imports {full}") for full, node in foreign if full.split(".")[0] not in allowed]
    complaints += [where(name, node, f"imports {full} at the top") for full, node in foreign
                   if full.split(".")[0] in ONLY_INSIDE_FUNCTIONS and not is_lazy(node)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", LOW)
def test_no_outside_world_below_floor_four(name):
    complaints = [where(name, node, f"imports {full}") for full, node in imports(name)
                  if full.split(".")[0] in OUTSIDE_WORLD and (name, full.split(".")[0]) not in EXCUSED]
    complaints += [where(name, node, f"imports {full}") for full, node in imports(name)
                   if full.startswith("astropy.io") and name not in IN_MEMORY]
    complaints += [where(name, node, f"calls {text}") for text, node in calls(name)
                   if (text == "open" and name != "detection.finders.sextractor")
                   or text in ("input", "breakpoint", "exec", "eval") or text.startswith("np.random.")]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_command_prints(name):
    complaints = [where(name, node, "prints") for text, node in calls(name) if text in ("print", "pprint.pprint")]
    assert name == "interfaces.shell.cli" or not complaints, "\n".join(complaints)


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
                   if FLOORS[room(name)] < 6 and name not in LOGS and text.endswith(handling)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_alignment_errors_end_in_align_only(name):
    """Elsewhere they may be raised again, with the name of the image."""
    caught = {"AlignmentError", "NotEnoughSources", "NotEnoughMatches", "DegenerateFit", "AmbiguousMatch"}
    handlers = [node for node in ast.walk(tree(name)) if isinstance(node, ast.ExceptHandler)
                and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))]
    complaints = [where(name, node, f"catches {ast.unparse(node.type)}") for node in handlers
                  if node.type is not None and any(isinstance(part, ast.Name | ast.Attribute)
                                                   and ast.unparse(part).split(".")[-1] in caught
                                                   for part in ast.walk(node.type))]
    trials = ("alignment.sequence", "alignment.solve", "tasks.feedback.review")
    assert name in trials or not complaints, "\n".join(complaints)


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


def defaults(name):
    """Yield class or function, word, node and text of each default of an argument or a dataclass field."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            positional = node.args.posonlyargs + node.args.args
            given = list(zip(positional[::-1], node.args.defaults[::-1], strict=False))
            given += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            pairs = [(argument.arg, default) for argument, default in given]
        elif isinstance(node, ast.ClassDef):
            fields = [inner for inner in node.body if isinstance(inner, ast.AnnAssign)]
            pairs = [(ast.unparse(field.target), field.value) for field in fields]
        else:
            continue
        for word, default in pairs:
            if default is not None and ast.unparse(default) != "None":
                yield node, word, ast.unparse(default)


@pytest.mark.parametrize("name", NAMES)
def test_defaults_of_parameters_stand_in_the_cfgspc_only(name):
    declared = {word for path in (PACKAGE.parent.parent / "pars").glob("*.cfgspc")
                for word in re.findall(r"^(\w+) = ", path.read_text(encoding="utf-8"), re.MULTILINE)}
    complaints = [where(name, node, f"{node.name} gives {word} the default {text}")
                  for node, word, text in defaults(name)
                  if word in declared and not (text in ("''", "False") and (room(name), word) in NAMESAKES)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutations_are_of_the_code_there_is(mutation):
    """The script tests/mutations.py applies them; each of its texts stands in its module once."""
    assert (PACKAGE / mutation.module).read_text(encoding="utf-8").count(mutation.old) == 1
    assert mutation.new != mutation.old
    assert (PACKAGE.parent.parent / "tests" / mutation.tests.partition("::")[0]).exists()


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
    assert own_module("imagereg.detection.finders.finding.Kernel") == "detection.finders.finding"
    assert own_module("imagereg.interfaces.epar.model.Model") == "interfaces.epar.model"
    assert own_module("imagereg") == own_module("imagereg.__version__") == "__init__"
    assert "imagereg.errors.DegenerateFit" in {full for full, _ in imports("alignment.fitting.fit")}
    found = {(node.name, word, text) for node, word, text in defaults("demo")}
    assert {("PointingError", "scale", "1.0"), ("simulate_visit", "dither", "3.0")} <= found
