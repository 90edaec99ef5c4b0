"""The package in IRAF's own cl: installed by one command, then used at its prompt."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sessions import Session, environment

from imagereg.errors import InputError, ParameterError
from imagereg.interfaces.iraf import install, lroff, run, uninstall

COMMAND = Path(os.path.abspath(sys.executable)).with_name("tweakreg")
MINE = "# of the user, in Latin-1: \xe9\nset stdimage = imt4096\nkeep\n".encode("latin-1")


def new_home(folder, login=MINE):
    """Make a home folder with a loginuser.cl, where one is given; returns the folder."""
    (folder / ".iraf").mkdir(parents=True)
    if login is not None:
        (folder / ".iraf" / "loginuser.cl").write_bytes(login)
    return folder


@pytest.fixture
def fake_cl(tmp_path, monkeypatch):
    """Put a cl on the path that makes an empty database, for tests that look at the other files only."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "irafcl"
    program.write_text("#!/bin/sh\n: > helpdb.mip\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


def test_install_twice_and_take_back(tmp_path, fake_cl, monkeypatch):
    """The lines of the user stay as they are, byte by byte."""
    login = new_home(tmp_path / "home") / ".iraf" / "loginuser.cl"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    install(sys.executable)
    once = login.read_bytes()
    install(sys.executable)
    assert login.read_bytes() == once
    lines = MINE.splitlines()
    assert once.splitlines()[:2] == lines[:2]
    assert once.splitlines()[-1] == b"keep"
    assert f'reset imageregcmd = "{sys.executable}"'.encode() in once
    assert "any more" in uninstall()
    assert login.read_bytes() == MINE
    assert [path.name for path in login.parent.iterdir()] == ["loginuser.cl"]
    assert "any more" not in uninstall()


@pytest.mark.parametrize("login", [None, b"set editor = emacs"])
def test_keep_is_added_and_what_was_made_is_removed(login, tmp_path, fake_cl, monkeypatch):
    path = new_home(tmp_path / "home", login) / ".iraf" / "loginuser.cl"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    install(sys.executable)
    assert path.read_text().rstrip().endswith("\nkeep\n# <<< imagereg <<<")
    assert path.read_bytes().startswith(login or b"# >>> imagereg")
    install(sys.executable)
    uninstall()
    assert (path.read_bytes() if path.exists() else None) == login
    assert path.parent.exists() == (login is not None)


@pytest.mark.parametrize("command", [lambda: install(sys.executable), uninstall])
def test_a_block_without_an_end_is_left_to_the_user(command, tmp_path, fake_cl, monkeypatch):
    path = new_home(tmp_path / "home") / ".iraf" / "loginuser.cl"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    install(sys.executable)
    damaged = path.read_bytes().replace(b"# <<< imagereg <<<\n", b"")
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="take out by hand what declares the package imagereg"):
        command()
    assert path.read_bytes() == damaged


def test_nothing_is_left(tmp_path, monkeypatch):
    """After IRAF's own cl has made the help, used the package and saved its parameters."""
    if shutil.which("irafcl") is None:
        pytest.skip("needs iraf")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "tester")
    install(str(COMMAND))
    assert [path.name for path in tmp_path.rglob("*")].count("helpdb.mip") == 1
    uparm = tmp_path / ".iraf" / "uparm"
    script = ("imagereg\nimagefindpars.threshold = 9\ntweakreg.nclip = 5\n"
              "update tweakreg\nupdate imagefindpars\nlogout\n")
    shutil.copy("/etc/iraf/login.cl", tmp_path / ".iraf")
    subprocess.run(["irafcl"], input=script, text=True, capture_output=True, cwd=tmp_path, timeout=60)
    assert sorted(path.name for path in uparm.glob("img*")) == ["imgimages.par", "imgtweakg.par"]
    uninstall()
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "login.cl"]
    assert not [path for path in left if b"imagereg" in path.read_bytes() or path.parent == uparm], left


def test_an_older_iraf(tmp_path, fake_cl, monkeypatch):
    """Where mkiraf made ~/iraf, that is IRAF's home."""
    (tmp_path / "iraf").mkdir()
    (tmp_path / "iraf" / "login.cl").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    install(sys.executable)
    assert (tmp_path / "iraf" / "loginuser.cl").exists()


def test_what_can_not_be_installed(tmp_path, fake_cl, monkeypatch):
    """Nothing is changed where IRAF or the command is missing, or IRAF makes no help."""
    login = new_home(tmp_path / "home") / ".iraf" / "loginuser.cl"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(InputError, match="nosuch is no command that IRAF could run"):
        install(str(tmp_path / "nosuch"))
    (tmp_path / "bin" / "irafcl").write_text("#!/bin/sh\necho CL dies\n")
    with pytest.raises(InputError, match="did not make .*helpdb.mip: CL dies"):
        install(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="IRAF is not there"):
        install(sys.executable)
    assert login.read_bytes() == MINE


def test_parameters_of_cl(visit, tmp_path):
    """What cl does not check is checked; the file holds the status when the work is done, and not before."""
    pars = tmp_path / "pars"
    lines = ['tweakreg.input = "*flt.fits"', "tweakreg.interactive = no", 'tweakreg.residplot = "No"',
             "tweakreg.see2dplot = no", "tweakreg.$nargs = 1", 'tweakreg.files = "x"', 'tweakreg.imagefindpars = ""',
             "# EOF", "imagefindpars.threshold = 10.", "imagefindpars.peakmax = INDEF", 'imagefindpars.mode = "ql"']
    pars.write_text("\n".join([*lines, "tweakreg.searchrad = -1.", ""]))
    with pytest.raises(ParameterError, match="'searchrad' = '-1.': expected a number >= 0"):
        run(pars)
    assert pars.read_text().startswith("tweakreg.input = ")
    pars.write_text("\n".join([*lines, "tweakreg.searchrad = 2.", ""]))
    assert run(pars).ok
    assert pars.read_text() == "0\n"
    assert "* threshold = 10.0" in (tmp_path / "tweakreg.log").read_text()


def test_help_for_iraf():
    """Running text is filled, the rest stays as it stands, and no line of text is taken for a command."""
    text = """NAME
  task - align

DESCRIPTION
  Names such as those of IRAF's
  .coo files.

    a_flt.fits  a.coo

PARAMETERS
  nclip = 3
      How often.

      More of it.

EXAMPLES
  1. First of
     all:

       % task
"""
    expected = """.help task - imagereg
.ih
NAME
task - align

.ih
DESCRIPTION
Names such as those of IRAF's .coo files.

.nf
a_flt.fits  a.coo
.fi

.ih
PARAMETERS
.ls nclip = 3
How often.

More of it.

.le
.ih
EXAMPLES
1. First of
   all:

.nf
% task
.fi

.endhelp
"""
    assert lroff("task", text) == expected


@pytest.fixture(scope="module")
def cl(tmp_path_factory, small_visit):
    """Return a session of cl in a folder with a visit, the package installed and loaded."""
    if shutil.which("irafcl") is None:
        pytest.skip("needs iraf")
    if not COMMAND.exists():
        pytest.skip("needs the command tweakreg: pip install --editable .[test]")
    home, folder = new_home(tmp_path_factory.mktemp("home") / "user"), tmp_path_factory.mktemp("cl")
    for path in small_visit.files:
        shutil.copy(path, folder)
    run = [COMMAND, "--install-iraf"]
    done = subprocess.run(run, env=environment(home), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    session = Session("irafcl", "ecl>", folder, environment(home))
    session.folder = folder
    session.prompt = "imagereg>"
    session.say("imagereg")
    for parameter in ("interactive = no", "see2dplot = no", 'residplot = "No plot"'):
        session.say(f"tweakreg.{parameter}")
    yield session
    session.close()


def test_listing(cl):
    assert "(threshold = 4.)" in cl.say("lpar imagefindpars")
    assert 'tweakreg.fitgeometry = "rscale"' in cl.say("dpar tweakreg | match fitgeom")
    assert "4096" in cl.say("show stdimage")  # of the user's own loginuser.cl


def test_help(cl):
    assert "How often to reject outliers" in cl.say("help tweakreg par=nclip")
    cl.say("help tweakreg > help.txt")
    assert "Tweakreg measures" in " ".join((cl.folder / "help.txt").read_text().split())
    cl.say("help imagereg > menu.txt")
    assert "align images to each other" in (cl.folder / "menu.txt").read_text()


def test_run_and_redirection(cl):
    assert cl.say("tweakreg *flt.fits threshold=10 clean+ > out.txt") == ""
    table = (cl.folder / "out.txt").read_text()
    assert table.count(" aligned ") == 2
    assert cl.say("lpar tweakreg | match input").strip().startswith('input = "*flt.fits"')
    log = (cl.folder / "tweakreg.log").read_text()
    assert "* threshold = 10.0" in log


def test_prompt_and_error(cl):
    asked = cl.say("tweakreg searchrad=-1", prompt="Images: names, wildcards, association, @file (*flt.fits):")
    assert "ERROR" not in asked
    answer = cl.say("nosuch*.fits")
    assert "tweakreg: parameter 'searchrad' = '-1.': expected a number >= 0" in answer
    assert "ERROR: tweakreg stopped" in answer


def test_scripts_can_test_the_status(cl):
    """The parameter status is 0 when all is well and 1 when an image is not aligned; no file is left behind."""
    cl.say("tweakreg *flt.fits threshold=10 > out.txt")
    assert "0" in cl.say("= tweakreg.status").split()
    printed = cl.say("tweakreg *flt.fits threshold=10 minobj=5000")
    assert "none of 3 images aligned" in printed
    assert "1" in cl.say("= tweakreg.status").split()
    cl.say("files tmp$tweakreg* > left.txt")
    assert not any(Path("/tmp").glob("tweakreg[0-9]*[a-z]"))
    cl.say("unlearn tweakreg")
    for parameter in ("interactive = no", "see2dplot = no", 'residplot = "No plot"'):
        cl.say(f"tweakreg.{parameter}")


def test_epar_with_nested_pset_and_go(cl):
    cl.type("epar tweakreg", "Enter")
    cl.look_for(r"TASK = tweakreg(.|\n)*ESC-\? for HELP")
    cl.type("*flt.fits", "Enter")
    cl.type(":e", "Enter")
    cl.look_for(r"TASK = imagefindpars(.|\n)*ESC-\? for HELP")
    for _ in range(5):
        cl.type("Down")
    cl.type("12", "Enter")
    cl.look_for(r"thresho= +12\.?\)")
    cl.type("C-d")
    cl.look_for(r"TASK = tweakreg(.|\n)*ESC-\? for HELP")
    cl.type(":g", "Enter")
    cl.look_for(r" aligned (.|\n)*imagereg>\s*$")
    assert "* threshold = 12.0" in (cl.folder / "tweakreg.log").read_text()
    assert "(threshold = 12.)" in cl.say("lpar imagefindpars | match threshold")
    cl.say("unlearn imagefindpars")
    assert "(threshold = 4.)" in cl.say("lpar imagefindpars | match threshold")
