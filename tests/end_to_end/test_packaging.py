"""The package as users install it: wheel, source distribution, editable."""

import configparser
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "lib", "pars", "help", "scripts")
FRESH = r"""
import json, pathlib, sys
import imagereg.parameters.spec as params
from imagereg.parameters import TASKS as tasks
specs = {task: params.Spec.load(task).cfg_text() for task in tasks}
helps = {task: params.package_text("help_files", task + ".help") for task in specs}
pars = {task: params.package_text("iraf", task + ".par") for task in specs}
print(json.dumps([str(pathlib.Path(params.__file__).resolve()), specs, helps, pars]))
"""
HEAVY = (
    "import sys, imagereg; print([m for m in ('matplotlib', 'stwcs', 'tkinter', 'dask') if m in sys.modules])"
)


def run(*command, cwd=None):
    """Run a command; on failure, what it printed is the message."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Return a copy of the sources, so that building leaves nothing in the repository."""
    if importlib.util.find_spec("setuptools.command.bdist_wheel") is None:
        pytest.skip("building needs setuptools >= 70.1; pip install imagereg[test]")
    folder = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            litter = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, folder / name, ignore=litter)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def built(checkout, tmp_path_factory):
    """Return the source distribution, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, checkout)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


@pytest.fixture
def environment(tmp_path):
    """Return a function that installs into a fresh environment with the dependencies of this one, offline."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env")
    python = next((tmp_path / "env").glob("*/python"))
    site = pathlib.Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for item in (i for path in sys.path if path.endswith("-packages") for i in pathlib.Path(path).iterdir()):
        if not ("imagereg" in item.name or item.suffix == ".pth" or (site / item.name).exists()):
            (site / item.name).symlink_to(item)

    def install(*what):
        offline = ("--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed", "--quiet")
        run(sys.executable, "-m", "pip", "--python", python, "install", *offline, *what)
        return python

    return install


def check_installed(python, where, cwd):
    """Check that the package is the one in `where`, and that all its data are found."""
    path, specs, helps, pars = json.loads(run(python, "-c", FRESH, cwd=cwd))
    assert pathlib.Path(path).is_relative_to(where.resolve())
    for task, text in specs.items():
        assert text == (ROOT / "pars" / f"{task}.cfg").read_text()
        assert helps[task] == (ROOT / "help" / f"{task}.help").read_text()
        assert pars[task] == (ROOT / "scripts" / "iraf" / f"{task}.par").read_text()
    entry = (
        "from importlib.metadata import entry_points as e; print(e(group='console_scripts', name='tweakreg'))"
    )
    assert "imagereg.interfaces.shell.cli:main" in run(python, "-c", entry, cwd=cwd)


def test_every_folder_of_code_is_packaged():
    """A new folder under lib/imagereg has to be named in setup.cfg."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = setup["options"]["packages"].split()
    code = {path.parent.relative_to(ROOT / "lib") for path in (ROOT / "lib" / "imagereg").rglob("*.py")}
    assert sorted(named) == sorted(
        {".".join(folder.parts) for folder in code} | {"imagereg.pars", "imagereg.help_files", "imagereg.iraf"}
    )


def test_contents(built):
    """Data, licence and code are in both; the caches of those who built are not."""
    data = {f"pars/{path.name}" for path in (ROOT / "pars").iterdir()}
    data |= {f"{folder}/{path.name}" for folder in ("help", "scripts/iraf") for path in (ROOT / folder).iterdir()}
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert data | {"LICENSE", "setup.cfg", "pyproject.toml", "lib/imagereg/parameters/spec.py"} <= names
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
    assert {"imagereg/" + name.replace("help/", "help_files/").replace("scripts/", "") for name in data} <= names
    assert not [name for name in names if "__pycache__" in name]
    assert {name.partition("/")[0] for name in names} == {
        "imagereg", "imagereg-0.1.0.dist-info", "imagereg-0.1.0.data"}
    assert "imagereg-0.1.0.data/data/share/man/man1/tweakreg.1" in names


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_install(kind, built, environment, tmp_path):
    """Installed from either distribution, the package finds its data."""
    python = environment(built[kind == "wheel"])
    check_installed(python, tmp_path / "env", tmp_path)


def test_editable_install(checkout, environment, tmp_path):
    """An editable install reads the data of the checkout."""
    python = environment("--editable", checkout)
    check_installed(python, checkout, tmp_path)


def test_data_are_resources(built, environment, tmp_path):
    """The data sub-packages of an installed package can be asked for by their names."""
    python = environment(built[1])
    ask = "from importlib.resources import files; print([p.name for p in files('imagereg.{}').iterdir()])"
    assert "tweakreg.cfgspc" in run(python, "-c", ask.format("pars"), cwd=tmp_path)
    assert "tweakreg.help" in run(python, "-c", ask.format("help_files"), cwd=tmp_path)


@pytest.mark.skipif(
    not (ROOT / "lib/imagereg/__init__.py").exists(), reason="no lib/imagereg/__init__.py yet"
)
def test_import_is_light():
    """Importing the package draws in no plotting, no windows, and no header updating."""
    assert run(sys.executable, "-c", HEAVY, cwd=ROOT / "lib").strip() == "[]"
