"""The editor in a real terminal: in tmux, by itself and called from IRAF's cl."""

import pathlib
import shlex
import shutil
import sys

import pytest
from sessions import Tmux, environment

TWEAKREG = f"{shlex.quote(sys.executable)} -m imagereg"

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")


class Terminal(Tmux):
    """A shell in a folder that is its home."""

    def __init__(self, folder):
        super().__init__("sh", folder, environment(folder, LC_ALL="C.UTF-8"))

    def run(self, command):
        """Type a command at the shell's prompt."""
        self.write(command)
        self.type("Enter")

    def command(self, text):
        """Type a colon command, or / and a text."""
        self.write(text)
        self.until(lambda lines: any(line.startswith(text) for line in lines), text)
        self.type("Enter")


@pytest.fixture
def terminal(tmp_path):
    """Start a terminal in a folder that is its home."""
    started = Terminal(tmp_path)
    try:
        started.run("PS1='ready''$ '; clear")
        started.see("ready$")
        yield started
    finally:
        started.close()


@pytest.fixture
def editing(terminal):
    """Start the editor of tweakreg there."""
    terminal.run(f"stty -a > before; {TWEAKREG} --epar im*.fits; echo status=$?; stty -a > after")
    terminal.see("TASK = tweakreg")
    return terminal


def left(terminal):
    """Wait until the editor is left; the terminal must be as it was."""
    terminal.see("status=")
    terminal.run("echo all $((1 + 1)) well")
    terminal.see("all 2 well")
    assert (terminal.folder / "before").read_text() == (terminal.folder / "after").read_text()


def saved(terminal, task="tweakreg"):
    """Return the text of the file in the user's folder; None where there is none."""
    path = terminal.folder / ".imagereg" / f"{task}.cfg"
    return path.read_text() if path.exists() else None


def test_the_screen(editing):
    lines = editing.see("ESC-? for HELP")
    assert lines[0].startswith("PACKAGE = imagereg") and lines[1] == "   TASK = tweakreg" and lines[2] == ""
    assert lines[3].startswith("input              =         im*.fits *Images: names, wildcards")
    assert lines[5].startswith("(refimage          =                 ) Reference image")
    assert lines[22].startswith("More  Images") and lines[23].endswith("ESC-? for HELP")
    assert editing.tmux("display-message", "-p", "#{cursor_x},#{cursor_y}") == "21,3\n"


def test_saving_and_leaving(editing):
    editing.write("a.fits")
    editing.see("= a.fits  ")
    editing.type("Enter")
    editing.see("input = a.fits")
    editing.command("/nclip")
    editing.see("How often to reject outliers and fit again.")
    editing.write("5")
    editing.type("C-d")
    left(editing)
    assert "input = a.fits" in saved(editing) and "nclip = 5" in saved(editing)


def test_leaving_without_saving(editing):
    editing.write("a.fits")
    editing.type("Enter")
    editing.see("(not saved)")
    editing.type("C-c")
    left(editing)
    assert saved(editing) is None


def test_out_of_range(editing):
    editing.command("/maxchance")
    editing.see("Largest odds of a match by chance to believe it. A number")
    editing.write("7")
    editing.type("Enter")
    lines = editing.see("Parameter value is out of range")
    assert lines[23].startswith("Parameter value is out of range  (minimum=0.: maximum=1.)")
    editing.command(":q!")
    left(editing)


def test_parameter_sets(editing):
    editing.type("Down")
    editing.command(":e")
    editing.see("TASK = imagefindpars of tweakreg")
    editing.command("/thresh")
    editing.see("Detection limit")
    editing.write("44")
    editing.type("C-d")
    editing.see("(imagefindpars     =       :e to open)*")
    editing.command(":w my.cfg")
    editing.see("saved in ")
    assert "_threshold_ = 44" in (editing.folder / "my.cfg").read_text() and saved(editing, "imagefindpars") is None
    editing.command(":w my.cfg")
    editing.see("PACKAGE", "saved in ")
    editing.command(":q")
    left(editing)


def test_help_and_keys(editing):
    editing.write("?")
    editing.see('input = "*flt.fits"', "[hit any key to continue]")
    editing.write(" ")
    editing.see("TASK = tweakreg")
    editing.type("Escape", "?")
    lines = editing.see("EDIT COMMANDS (vi)", "[SPACE: more, b: back, q: leave]")
    assert any("EXIT_UPDATE   = ^D  ^Z" in line for line in lines)
    editing.write(" ")
    editing.see("everything without saving.")


def test_larger_and_smaller(editing):
    editing.tmux("resize-window", "-x", "120", "-y", "40")
    lines = editing.see("(outwcs ")
    assert any(line.endswith(") File that lists the region files of each image") for line in lines)
    editing.tmux("resize-window", "-x", "80", "-y", "24")
    editing.until(lambda lines: lines[23].endswith("ESC-? for HELP") and max(map(len, lines)) < 80)


def test_a_tiny_screen_and_back(editing):
    """Nothing is lost on 20 x 5, and all is as before on 80 x 24."""
    before = editing.see("ESC-? for HELP")
    editing.tmux("resize-window", "-x", "20", "-y", "5")
    editing.until(lambda lines: len(lines) < 8 and any("= " in line for line in lines))
    editing.tmux("resize-window", "-x", "80", "-y", "24")
    editing.until(lambda lines: lines == before)


def test_colours(terminal):
    """A terminal that has them shows what is changed in one, unless NO_COLOR is set."""
    for setting, coloured in (("", True), ("NO_COLOR=1", False)):
        terminal.run(f"clear; TERM=screen-256color {setting} {TWEAKREG} --epar a.fits; echo status=$?")
        terminal.see("= ", "a.fits", "ESC-? for HELP")
        assert ("\x1b[35m" in terminal.tmux("capture-pane", "-p", "-e")) is coloured
        terminal.type("C-c")
        terminal.see("status=0")


def test_mouse(editing):
    """A click goes to a row, a second one opens its set; the wheel moves on."""
    for y, seen in ((16, "Tell more while running?"), (4, "TAB or :e opens it."), (4, "of tweakreg")):
        click(editing, 10, y)
        editing.see(seen)
    editing.tmux("send-keys", "-H", *(f"{byte:02x}" for byte in b"\x1b[<65;5;5M"))
    editing.until(lambda lines: "Not used while computesig = yes." in lines[22])


def click(terminal, x, y):
    """Press and release the mouse, as xterm tells it."""
    for kind in "Mm":
        event = f"\x1b[<0;{x + 1};{y + 1}{kind}".encode()
        terminal.tmux("send-keys", "-H", *(f"{byte:02x}" for byte in event))


def test_the_last_line_says_how_to_run(editing):
    editing.command("/threshold")
    editing.see("TASK = imagefindpars of tweakreg")
    editing.type("77")
    editing.type("C-d")
    editing.see("TASK = tweakreg")
    editing.type("C-d")
    left(editing)
    editing.see("Run with it: tweakreg --pars defaults, or TweakReg(configobj='defaults')")
    editing.run(f"clear; {TWEAKREG} --dpar --pars defaults | grep imagefindpars.threshold")
    editing.see("imagefindpars.threshold = 77.0")


def test_simple_terminals(terminal):
    """Nothing rests on colours: as a VT100 sees it."""
    terminal.run(f"TERM=vt100 NO_COLOR=1 EDITOR=emacs {TWEAKREG} --epar; echo status=$?")
    terminal.see("TASK = tweakreg")
    assert "\x1b[3" not in terminal.tmux("capture-pane", "-p", "-e").replace("\x1b[39m", "")
    terminal.type("C-v")
    terminal.see("OPTIONAL SHIFTFILE OUTPUT")
    terminal.type("C-c")
    terminal.see("status=0")


def test_running(editing):
    """The task has the plain terminal: here it says that there are no images."""
    editing.command(":g")
    lines = editing.see("status=2")
    assert any(line.startswith("tweakreg: ") for line in lines) and not any("PACKAGE" in line for line in lines)
    assert "input = im*.fits" in saved(editing)
    left(editing)


def test_running_without_saving(terminal, visit):
    terminal.run(f"cd {pathlib.Path.cwd()}; clear; {TWEAKREG} --epar {visit.names[0][:4]}*.fits interactive-; "
                 "echo status=$?")
    terminal.see("TASK = tweakreg")
    terminal.command(":g!")
    lines = terminal.see("status=")
    assert "status=0" in lines and any(" aligned " in line for line in lines), "\n".join(lines)
    assert saved(terminal) is None


@pytest.mark.skipif(not shutil.which("irafcl"), reason="iraf is not installed")
def test_called_from_cl(terminal):
    (terminal.folder / ".iraf" / "uparm").mkdir(parents=True)
    shutil.copy("/etc/iraf/login.cl", terminal.folder / ".iraf" / "login.cl")
    terminal.run("irafcl")
    terminal.see("cl>")
    terminal.run(f"!{TWEAKREG} --epar")
    terminal.see("TASK = tweakreg")
    terminal.write("a.fits")
    terminal.type("C-d")
    terminal.see("cl>")
    terminal.run("print (40 + 2)")
    terminal.see("42")
    assert "input = a.fits" in saved(terminal)
