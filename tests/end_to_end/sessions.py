"""Sessions at a prompt, driven through tmux as a user at a terminal would."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60  # seconds
UNWANTED = ("DISPLAY", "WAYLAND_DISPLAY", "EDITOR", "editor", "TMUX", "NO_COLOR", "PYRAF_NO_IRAF")


def environment(home, **more):
    """Return the environment of a user whose home folder is `home`, without a display."""
    inherited = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    return {**inherited, "HOME": str(home), "USER": "tester", "TERM": "xterm", "PAGER": "cat",
            "PYRAF_NO_DISPLAY": "1", "PYRAF_CLCACHE_PATH": "disable", "PYTHONPATH": str(ROOT / "lib"), **more}


class Tmux:
    """A program in a terminal of 80 by 24 characters that tmux draws: press keys, and look at its screen."""

    def __init__(self, command, cwd, env):
        if shutil.which("tmux") is None:
            pytest.skip("needs tmux")
        self.folder = Path(cwd)
        self._sockets = tempfile.mkdtemp(prefix="imagereg")  # short: a socket's path has 107 characters at most
        self._env = env
        self.tmux("new-session", "-d", "-x", "80", "-y", "24", "-c", str(cwd), command)

    def tmux(self, *words):
        """Run a command of tmux; return what it prints."""
        command = ["tmux", "-f", "/dev/null", "-S", f"{self._sockets}/socket", *words]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, check=True).stdout

    def type(self, *keys):
        """Press keys, by tmux's names or as text."""
        self.tmux("send-keys", *keys)

    def write(self, text):
        """Send text as it is."""
        self.tmux("send-keys", "-l", text)

    def lines(self):
        """Return the lines of the screen."""
        return self.tmux("capture-pane", "-p").split("\n")

    def until(self, met, what="", look=None):
        """Wait until what is seen, by default the lines of the screen, meets a condition; return it."""
        end = time.monotonic() + PATIENCE
        look = look or self.lines
        while not met(seen := look()):
            shown = "\n".join(self.lines())
            assert time.monotonic() < end, f"waited for {what}; on the screen:\n{shown}"
            time.sleep(0.02)
        return seen

    def see(self, *texts):
        """Wait until the screen shows texts; return its lines."""
        return self.until(lambda lines: all(any(text in line for line in lines) for text in texts), texts)

    def look_for(self, pattern):
        """Wait until a regular expression is found on the screen."""
        return self.until(lambda lines: re.search(pattern, "\n".join(lines)), pattern)

    def close(self):
        """End the program and what it runs in."""
        subprocess.run(["tmux", "-S", f"{self._sockets}/socket", "kill-server"], check=False, capture_output=True)
        shutil.rmtree(self._sockets)


class Session(Tmux):
    """A program with a prompt, which is told so that the end of an answer is known."""

    def __init__(self, command, prompt, cwd, env):
        super().__init__(command, cwd, env)
        self.prompt = prompt
        self.wait(lambda screen: screen.endswith(prompt), "the first prompt")

    @property
    def screen(self):
        """All that was shown so far, wrapped lines joined, without trailing blanks."""
        lines = self.tmux("capture-pane", "-p", "-J", "-S", "-").rstrip().splitlines()
        return "\n".join(line.rstrip() for line in lines)

    def wait(self, met, what):
        """Wait until all that was shown meets a condition, and return it."""
        return self.until(met, what, look=lambda: self.screen)

    def say(self, line, prompt=None):
        """Type a line, wait for the next prompt, and return what was answered."""
        prompt = prompt or self.prompt
        before = self.screen
        self.write(line)
        self.type("Enter")
        after = self.wait(lambda screen: screen != before and screen.endswith("\n" + prompt), f"{prompt} after {line}")
        # The line itself comes first, unless the screen was cleared in between.
        shown = after[len(before):].partition("\n")[2] if after.startswith(before) else after.rpartition(line)[2]
        return shown.removesuffix(prompt).strip("\n")
