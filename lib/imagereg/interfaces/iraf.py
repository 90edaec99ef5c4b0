"""The tasks as a package of IRAF's own cl: ``tweakreg --install-iraf``, then ``imagereg``.

The package is ``scripts/iraf``. The user's ``loginuser.cl`` declares it, in a marked block; the
pages for ``help`` and their database are made in a folder beside that file. A task hands its
parameters to the command ``tweakreg`` in a file that cl's ``dparam`` wrote: lines
``task.parameter = value``, texts between double quotes.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagereg.errors import InputError, of_task
from imagereg.files import atomic
from imagereg.parameters import TASKS, ParameterSet, Spec, gather, package_file, saved
from imagereg.parameters import help as pages

if TYPE_CHECKING:
    from imagereg.interfaces.solutions import Outcome
    from imagereg.report import Result

_PACKAGE_PARAMETERS = "cleimageg.par"  # in which cl saves those of the package itself
_BEGIN = "# >>> imagereg, by tweakreg --install-iraf >>>\n"
_END = "# <<< imagereg <<<"
_BLOCK = """if (deftask ("pyexecute")) {{
    ;	# PyRAF: import imagereg
}} else {{
    reset imagereg = "{package}/"
    reset imageregdb = "{help}/"
    reset imageregcmd = "{command}"
    reset helpdb = (envget ("helpdb") // ",imageregdb$helpdb.mip")
    task imagereg.pkg = "imagereg$imagereg.cl"
}}
"""
_MAKE_HELP = """reset imageregdb = "{help}/"
task mkhelpdb = "system$x_system.e"
mkhelpdb ("imageregdb$root.hd", "imageregdb$helpdb.mip", verbose=no)
logout
"""


def run(path: str) -> Result | Outcome:
    """Run the task whose parameters `dparam` wrote into a file.

    Once the run has ended, the exit status is all that the file holds: 0 where all is well, as
    where all images are aligned, else 1. After an error it is as it was.

    Parameters
    ----------
    path : str
        The file, which begins with the task. Names that are no parameters, such as variables of
        the script, are passed over.

    Raises
    ------
    ParameterError
        A value is not what is expected.
    InputError
        A file can't be read or written.
    """
    lines = re.findall(r"^(\w+)\.(\w+) = (.*)$", atomic.read_text(path), re.MULTILINE)
    given: dict[str, dict[str, str]] = {}
    for task, name, value in lines:
        if task in TASKS and name in Spec.load(task).names:
            text = value[1:-1] if value.startswith('"') else value
            given.setdefault(task, {})[name] = text
    with of_task(next(iter(given))):
        result: Any = _run({task: Spec.load(task).validate(own) for task, own in given.items()})
    atomic.write_text(path, f"{0 if result.ok else 1}\n")
    return result


def _run(sets: dict[str, ParameterSet]) -> Result | Outcome | None:
    """Run the first of the tasks, with its parameter sets."""
    from imagereg.interfaces import solutions
    from imagereg.interfaces.python import TweakReg

    if next(iter(sets)) in gather.SOLUTION_TASKS:
        return solutions.run_task(next(iter(sets.values())))
    return TweakReg(None, False, *sets.values())


def install(command: str) -> str:
    """Declare the package in the user's ``loginuser.cl``, and make its help.

    Parameters
    ----------
    command : str
        Path of the command ``tweakreg``, for cl to run.

    Returns
    -------
    str
        What was done.

    Raises
    ------
    InputError
        IRAF is not there, a file can't be written, or what declares the package is damaged.
    """
    cl = next(filter(None, map(shutil.which, ("irafcl", "ecl", "cl"))), None)
    if cl is None:
        raise InputError("IRAF is not there: expected irafcl, ecl or cl on the path")
    if not os.access(command, os.X_OK):
        problem = "is no command that IRAF could run: expected that of an installed tweakreg"
        raise InputError(f"{command} {problem}")
    home = saved.iraf_home()
    login, pages_folder = home / "loginuser.cl", home / "imagereg"
    saved.make_folder(pages_folder)
    _make_help(pages_folder, cl)
    package = package_file("iraf", "imagereg.cl").parent
    block = _BLOCK.format(package=package, help=pages_folder, command=shlex.quote(command))
    text = _with_block(_without_block(_read(login)), block)
    atomic.write_bytes(login, text.encode("latin-1"))
    return f"{login} declares the package imagereg; help is in {pages_folder}"


def uninstall() -> str:
    """Take away what `install` made, and what cl saved for our tasks; return what was done."""
    home = saved.iraf_home()
    login = home / "loginuser.cl"
    text = _read(login)
    rest = _without_block(text)
    shutil.rmtree(home / "imagereg", ignore_errors=True)
    for path in (*map(saved.cl_file, TASKS), home / "uparm" / _PACKAGE_PARAMETERS):
        path.unlink(missing_ok=True)
    if rest == text:
        return f"{login} does not declare the package imagereg"
    if rest.strip() in ("", "keep"):
        login.unlink()
        with contextlib.suppress(OSError):  # it is not empty: cl has files of its own there
            home.rmdir()
    else:
        atomic.write_bytes(login, rest.encode("latin-1"))
    return f"{login} does not declare the package imagereg any more"


def _read(login: Path) -> str:
    """Return the text of loginuser.cl; Latin-1 gives every byte back as it was."""
    return atomic.read_bytes(login).decode("latin-1") if login.exists() else ""


def _with_block(text: str, block: str) -> str:
    """Return the text of loginuser.cl with our block, before the last ``keep``.

    Where there is no ``keep``, the block has one. Where the text did not end with a line feed, the
    block does not either, so that `_without_block` can give the text back.
    """
    keep = re.search(r"^[ \t]*keep\b[^\n]*\s*\Z", text, re.MULTILINE)
    if keep:
        return f"{text[: keep.start()]}{_BEGIN}{block}{_END}\n{text[keep.start() :]}"
    is_whole = not text or text.endswith("\n")
    begin, end = ("", "\n") if is_whole else ("\n", "")
    return f"{text}{begin}{_BEGIN}{block}keep\n{_END}{end}"


def _without_block(text: str) -> str:
    """Return the text of loginuser.cl without our block, if it has one.

    Raises
    ------
    InputError
        The block has no end; what follows could be the user's.
    """
    before, is_there, rest = text.partition(_BEGIN)
    if not is_there:
        return text
    _, is_ended, after = rest.partition(_END)
    if not is_ended:
        raise InputError(f"loginuser.cl has {_BEGIN.strip()!r} without {_END.strip()!r}: take out "
                         "by hand what declares the package imagereg")
    if after:
        return before + after[1:]  # less the line feed that ends the block
    return before.removesuffix("\n")  # the text had no last line feed, see `_with_block`


def _make_help(folder: Path, cl: str) -> None:
    """Write the pages for IRAF's help, and have IRAF make their database."""
    menu_page = "imagereg\tmen=imageregdb$imagereg.men, hlp=.., pkg=imageregdb$imagereg.hd\n"
    made = {
        "root.hd": "_imagereg\tpkg=imageregdb$_imagereg.hd\n",
        "_imagereg.hd": menu_page,
        "imagereg.hd": "".join(f"{task}\thlp=imageregdb${task}.hlp\n" for task in TASKS),
        "imagereg.men": "".join(f"{task:>20s} - {pages.summary(task)}\n" for task in TASKS),
    }
    made |= {f"{task}.hlp": lroff(task, pages.task_help(task)) for task in TASKS}
    for name, text in made.items():
        atomic.write_text(folder / name, text)
    database = folder / "helpdb.mip"
    database.unlink(missing_ok=True)
    try:
        with tempfile.TemporaryDirectory() as home:  # cl makes folders there
            done = subprocess.run(
                [cl],
                input=_MAKE_HELP.format(help=folder),
                # Without USER cl ends at once.
                env={"USER": getpass.getuser(), **os.environ, "HOME": home},
                timeout=60,
                capture_output=True,
                text=True,
                errors="replace",
                cwd=folder,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{cl} can't make {database}: {error}") from None
    if not database.exists():
        printed = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise InputError(f"{cl} did not make {database}: {' '.join(printed)}")


def script(task: str) -> str:
    """Return the cl script of a task: it asks for the parameters without which it can't run.

    Parameters
    ----------
    task : str
        Name of the task; its parameters are those of the ``.par`` beside the script.
    """
    title = pages.summary(task)
    queried = [p.name for p in Spec.load(task).positional if not p.hidden]
    questions = [f"asked = {name:<20}# asks for it" for name in queried]
    lines = [
        f"# {task.upper()} -- {title[:1].upper()}{title[1:]}. "
        f"The parameters are those of {task}.par.",
        "",
        "string\tasked",
        "",
        *questions,
        f'_align ("{task}")',
        f"{task}.status = imagereg.ended",
        "",
    ]
    return "\n".join(lines)


def lroff(task: str, text: str) -> str:
    """Return a help text in the language of IRAF's help.

    Parameters
    ----------
    task : str
        Name of the task.
    text : str
        Plain text: headings at the margin, the rest indented; entries ``  name = value`` with their
        text indented further. Blocks indented further than the text, lists and columns stay as
        they are.
    """
    lines = [f".help {task} - imagereg"]
    block: list[str] = []
    in_entry = False
    for line in [*text.splitlines(), ""]:
        begins_entry = re.match(r"  \w+ = ", line)
        leaves_entry = in_entry and line.strip() and not line.startswith("   ")
        if not line.startswith(" ") or not line.strip() or begins_entry or leaves_entry:
            lines += _paragraph(block, 6 if in_entry else 2)
            block = []
        if leaves_entry:
            lines.append(".le")
            in_entry = False
        if begins_entry:
            lines.append(f".ls {line.strip()}")
            in_entry = True
        elif line[:1].strip():
            lines += [".ih", line.rstrip()]
        elif line.strip():
            block.append(line.rstrip())
    return "\n".join([*lines, ".endhelp", ""])


def _paragraph(block: list[str], indent: int) -> list[str]:
    """Return the lines of a paragraph, to be filled if it is running text."""
    if not block:
        return []
    text = textwrap.dedent("\n".join(block))
    margins = {len(line) - len(line.lstrip()) for line in block}
    is_numbered = re.match(r"\d+\. .*(\n   \S.*)*$", text)
    has_columns = re.search(r"\S {3}|^- ", text, re.MULTILINE)
    if not is_numbered and (margins != {indent} or has_columns):
        return [".nf", *text.splitlines(), ".fi", ""]
    # A line that begins with a point would be a command.
    return [*re.sub(r"\n\s*(?=\.)", " ", text).splitlines(), ""]
