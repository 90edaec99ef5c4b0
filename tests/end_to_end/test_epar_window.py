"""The window in which parameters are edited, on displays without a screen."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagereg.files import atomic
from imagereg.parameters import saved as userfolder
from imagereg.parameters.spec import Spec

pytest.importorskip("tkinter", reason="this Python has no tkinter; apt-get install python3-tk")
SCRIPT = Path(__file__).with_name("epar_window_script.py")
CASES = ["values_are_typed", "a_wrong_value_is_not_lost_nor_saved", "choices_by_key", "parameter_sets",
         "the_most_used", "help_beside", "letters_and_colours", "search_and_help", "closing_asks",
         "closing_asks_when_changed", "files", "a_result", "execution", "within_another_application"]
PATIENCE = 30  # seconds


@pytest.fixture(scope="module")
def display():
    """Start displays as they are asked for; returns a function that gives the environment for one."""
    if not shutil.which("Xvfb"):
        pytest.skip("there is no Xvfb; apt-get install xvfb")
    started = {}

    def start(*options):
        if options not in started:
            read, write = os.pipe()
            command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1024x768x24", "-nolisten", "tcp", *options]
            process = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            os.close(write)
            with os.fdopen(read) as file:
                started[options] = process, file.readline().strip()
        return f":{started[options][1]}"

    yield start
    for process, _ in started.values():
        process.terminate()
        process.wait()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Set a home and a working directory of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def use(case, screen):
    """Run a case of the script on a screen; what it complains of is the test's."""
    command = [sys.executable, "-W", "error::ResourceWarning", SCRIPT, case]
    done = subprocess.run(command, env=os.environ | {"DISPLAY": screen}, capture_output=True, text=True, check=False,
                          timeout=PATIENCE)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("case", CASES)
def test_window(case, display, here):
    use(case, display("-extension", "Composite"))


def test_a_display_that_has_a_visual_of_32_bits(display, here):
    # Tk 8.6 ends the process there for a window with visual="best".
    use("values_are_typed", display())


def xdotool(screen, *words):
    """Press keys, as a user does."""
    return subprocess.run(["xdotool", *words], env=os.environ | {"DISPLAY": screen}, capture_output=True, text=True,
                          check=False).stdout


def appears(screen, title):
    """Wait for a window with a title."""
    end = time.monotonic() + PATIENCE
    while not xdotool(screen, "search", "--onlyvisible", "--name", title):
        assert time.monotonic() < end, f"there is no window {title!r}"
        time.sleep(0.2)


@contextlib.contextmanager
def ended(process):
    """End a process where the test fails: it would wait for its user."""
    try:
        yield
    except BaseException:
        process.kill()
        raise


@pytest.mark.skipif(not shutil.which("xdotool"), reason="there is no xdotool; apt-get install xdotool")
def test_a_session_of_a_user(display, visit, here):
    screen = display()
    command = [sys.executable, "-m", "imagereg", "--epar", "*flt.fits", "interactive=no"]
    with subprocess.Popen(command, env=os.environ | {"DISPLAY": screen}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True) as process, ended(process):
        appears(screen, "tweakreg - ")
        xdotool(screen, "mousemove", "300", "200")  # without a window manager keys go where the pointer is
        time.sleep(0.5)
        for words in (("key", "ctrl+f"), ("type", "thresh"), ("key", "Escape"), ("type", "11"), ("key", "Return"),
                      ("key", "ctrl+f"), ("type", "shift file"), ("key", "Escape", "y"),
                      ("key", "ctrl+Return")):
            time.sleep(0.7)
            xdotool(screen, *words)
        appears(screen, "tweakreg: [0-9]+ of [0-9]+ images? aligned")
        for words in (("key", "Return"), ("mousemove", "320", "220"), ("key", "Escape")):
            time.sleep(0.7)
            xdotool(screen, *words)
        told, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and not complaints, complaints
    assert "aligned" in told and "shifts.txt" in os.listdir()
    finding = Spec.load("imagefindpars")
    kept = finding.read_cfg(atomic.read_text(userfolder.user_file("imagefindpars")))
    assert float(kept["threshold"]) == 11
