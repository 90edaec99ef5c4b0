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


def environment(home, **more):
    """Return the environment of a user whose home folder is `home`, without a display."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "PYRAF_NO_IRAF")}
    return {**inherited, "HOME": str(home), "USER": "tester", "TERM": "xterm", "PAGER": "cat",
            "PYRAF_NO_DISPLAY": "1", "PYRAF_CLCACHE_PATH": "disable", "PYTHONPATH": str(ROOT / "lib"), **more}


class Session:
    """A program at a terminal of 80 columns; its prompt is told so that the end of an answer is known."""

    def __init__(self, command, prompt, cwd, env):
        if shutil.which("tmux") is None:
            pytest.skip("needs tmux")
        self.prompt = prompt
        self._folder = tempfile.mkdtemp(prefix="imagereg")  # short: a socket's path has 107 characters at most
        self._env = env
        self._tmux("new-session", "-d", "-x", "80", "-y", "24", "-c", str(cwd), command)
        self.wait(lambda screen: screen.endswith(prompt), "the first prompt")

    def _tmux(self, *words):
        command = ["tmux", "-f", "/dev/null", "-S", f"{self._folder}/socket", *words]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, check=True).stdout

    @property
    def screen(self):
        """All that was shown so far, wrapped lines joined, without trailing blanks."""
        lines = self._tmux("capture-pane", "-p", "-J", "-S", "-").rstrip().splitlines()
        return "\n".join(line.rstrip() for line in lines)

    def wait(self, met, what, timeout=60):
        """Wait until what is shown meets a condition, and return it."""
        end = time.monotonic() + timeout
        while not met(screen := self.screen):
            assert time.monotonic() < end, f"waited for {what}; on the screen:\n{screen[-3000:]}"
            time.sleep(0.05)
        return screen

    def type(self, *keys):
        """Press keys, by tmux's names or as text."""
        self._tmux("send-keys", *keys)

    def look_for(self, pattern):
        """Wait until a regular expression is found on the visible screen."""
        return self.wait(lambda _: re.search(pattern, self._tmux("capture-pane", "-p")), pattern)

    def say(self, line, prompt=None):
        """Type a line, wait for the next prompt, and return what was answered."""
        prompt = prompt or self.prompt
        before = self.screen
        self._tmux("send-keys", "-l", line)
        self.type("Enter")
        after = self.wait(lambda screen: screen != before and screen.endswith("\n" + prompt), f"{prompt} after {line}")
        # The line itself comes first, unless the screen was cleared in between.
        shown = after[len(before):].partition("\n")[2] if after.startswith(before) else after.rpartition(line)[2]
        return shown.removesuffix(prompt).strip("\n")

    def close(self):
        """End the program and what it runs in."""
        subprocess.run(["tmux", "-S", f"{self._folder}/socket", "kill-server"], check=False, capture_output=True)
        shutil.rmtree(self._folder)
