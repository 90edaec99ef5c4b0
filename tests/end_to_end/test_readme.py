"""Every command of README.md, run from top to bottom on what the demo leaves."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sessions import environment

README = Path(__file__).resolve().parents[2] / "README.md"


def commands(begin):
    """Return the lines of README's examples that begin with a prompt or a command, without it and comments."""
    lines = re.findall(rf"^    ({begin}.*)$", README.read_text(), re.MULTILINE)
    return [line.partition("   #")[0].rstrip() for line in lines]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the commands of the shell in a new folder; returns it, with what was printed in a file."""
    folder = tmp_path_factory.mktemp("readme")
    script = "\n".join(["set -e", f'tweakreg() {{ "{sys.executable}" -m imagereg "$@"; }}',
                        *commands("(?:tweakreg|cd) ")])
    env = environment(folder, HOME=str(folder))
    done = subprocess.run(["sh", "-c", script], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert not done.stderr, done.stderr
    assert len(commands("tweakreg ")) > 15
    (folder / "printed").write_text(done.stdout)
    return folder


def test_shell(demo):
    """The demo tells what was found beside the truth, under headings."""
    printed = (demo / "printed").read_text()
    table = printed.partition("\nshift of ")[2]
    assert table.startswith(" ") and "dx (pix)  dy (pix)  rot (deg)" in table and table.count(" found ") == 4
    assert not re.search(r"-0\.0+\s", printed.partition("In demo/unaligned:")[0])
    before = {path.name: path.read_bytes() for path in (demo / "demo").glob("*.fits")}
    copies = sorted(path.name for path in (demo / "demo" / "unaligned").glob("j*flt.fits"))
    assert len(copies) == 4 and set(copies) <= set(before)


def test_python(demo):
    """Each statement, and what is shown below it."""
    statements = [line.removeprefix(">>> ") for line in commands(">>> ")]
    script = "\n".join([*statements, "print(result.ok, len(table))"])
    work = demo / "demo" / "unaligned"
    env = environment(demo, HOME=str(demo))
    done = subprocess.run([sys.executable, "-c", script], cwd=work, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("True 4\n"), done.stderr


def test_pyraf(demo):
    if importlib.util.find_spec("pyraf") is None:
        pytest.skip("needs pyraf")
    lines = [line.removeprefix("--> ") for line in commands("--> ")]
    work = demo / "demo" / "unaligned"
    env = environment(demo, HOME=str(demo), PYRAF_NO_IRAF="1", PWD=str(work))
    done = subprocess.run([sys.executable, "-m", "pyraf", "-s", "-x"], input="\n".join([*lines, ".exit", ""]),
                          cwd=work, env=env, capture_output=True, text=True, timeout=200)
    assert "4 of 4 images aligned" in done.stdout, done.stdout + done.stderr
    assert os.path.exists(work / "shifts.txt")


def test_cl(demo):
    if shutil.which("irafcl") is None:
        pytest.skip("needs iraf")
    lines = [line.partition("> ")[2] for line in commands("(?:ecl|imagereg)> ")]
    work = demo / "demo" / "unaligned"
    (demo / ".iraf").mkdir(exist_ok=True)
    shutil.copy("/etc/iraf/login.cl", demo / ".iraf")
    env = environment(demo, HOME=str(demo), PWD=str(work))
    command = Path(sys.executable).with_name("tweakreg")
    subprocess.run([command, "--install-iraf"], cwd=work, env=env, check=True, capture_output=True)
    (work / "shifts.txt").unlink(missing_ok=True)
    done = subprocess.run(["irafcl"], input="\n".join([*lines, "= tweakreg.status", "logout", ""]), cwd=work, env=env,
                          capture_output=True, text=True, timeout=200)
    assert "4 of 4 images aligned" in done.stdout and "\n0\n" in done.stdout, done.stdout + done.stderr
    assert os.path.exists(work / "shifts.txt")
