"""The manual: its commands are understood, and its tables are complete."""

import re
import shlex
from pathlib import Path

import pytest

from imagereg.files.solution import SolvedExposure
from imagereg.interfaces.shell.cli import main
from imagereg.report import summary

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = re.sub(r"\\\n *", "", (DOCS / "howto.md").read_text())
COMMANDS = [shlex.split(line) for line in re.findall(r"^    tweakreg ([^-].*)$", TEXT, re.M)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_parameters_of_a_command(words, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main([*words, "--lpar"]) == 0
    names = [word.partition("=")[0] for word in words if "=" in word]
    printed = capsys.readouterr().out
    assert names and all(f"{name[:12]} = " in printed for name in names)


def test_columns_of_the_solution_file():
    text = (DOCS / "files.md").read_text()
    names = [*summary._COLUMNS, *SolvedExposure.__dataclass_fields__]
    assert not [name for name in names if f"`{name}`" not in text]
