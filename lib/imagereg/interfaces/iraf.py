"""The tasks as a package of IRAF's own cl: ``tweakreg --install-iraf``, then ``imagereg`` at the prompt of cl.

The package is ``scripts/iraf``. The user's ``loginuser.cl`` declares it, in a marked block; the pages for ``help`` and
their database are made in a folder beside that file. The task hands its parameters to the command ``tweakreg`` in a
file that cl's ``dparam`` wrote: lines ``task.parameter = value``, where texts stand between double quotes.
"""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path

from imagereg.errors import InputError
from imagereg.files import atomic
from imagereg.parameters import saved as userfolder
from imagereg.parameters.spec import Spec, package_file, package_text

__all__ = ["align", "install", "lroff", "uninstall"]

_TASKS = {"tweakreg": "Align images with each other", "imagefindpars": "How sources are found in images",
          "refimagefindpars": "How sources are found in the reference image"}
_BEGIN, _END = "# >>> imagereg, by tweakreg --install-iraf >>>\n", "# <<< imagereg <<<\n"
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


def align(path):
    """Run tweakreg with the parameters in a file of `dparam`; the file is removed when that has been done.

    Parameters
    ----------
    path : str
        The file. Names that are no parameters, such as variables of the script, are passed over.

    Returns
    -------
    Result
        See `imagereg.tweakreg.Result`.

    Raises
    ------
    ParameterError
        A value is not what is expected.
    InputError
        A file can't be read or written.
    """
    from imagereg.interfaces.python import TweakReg

    given = {task: {} for task in _TASKS}
    for task, name, value in re.findall(r"^(\w+)\.(\w+) = (.*)$", atomic.read_text(path), re.MULTILINE):
        if name in Spec.load(task).names:
            given[task][name] = value[1:-1] if value.startswith('"') else value
    result = TweakReg(configobj=given["tweakreg"], imagefindcfg=given["imagefindpars"],
                               refimagefindcfg=given["refimagefindpars"])
    os.unlink(path)
    return result


def install(command):
    """Declare the package in the user's ``loginuser.cl``, and make its help; what stands there already is kept.

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
        IRAF is not there, or a file can't be written.
    """
    cl = next(filter(None, map(shutil.which, ("irafcl", "ecl", "cl"))), None)
    if cl is None:
        raise InputError("IRAF is not there: expected irafcl, ecl or cl on the path")
    if not os.access(command, os.X_OK):
        raise InputError(f"{command} is no command that IRAF could run: expected that of an installed tweakreg")
    home = _iraf_home()
    userfolder.make_folder(home / "imagereg")
    _make_help(home / "imagereg", cl)
    block = _BLOCK.format(package=package_file("iraf", "imagereg.cl").parent, help=home / "imagereg",
                          command=shlex.quote(command))
    before, after = _around_block(home)
    atomic.write_bytes(home / "loginuser.cl", (before + _BEGIN + block + _END + after).encode("latin-1"))
    return f"{home / 'loginuser.cl'} declares the package imagereg; help is in {home / 'imagereg'}"


def uninstall():
    """Take away what `install` made; returns what was done."""
    home = _iraf_home()
    shutil.rmtree(home / "imagereg", ignore_errors=True)
    login = home / "loginuser.cl"
    text = "".join(_around_block(home))
    if not login.exists() or text.encode("latin-1") == login.read_bytes():
        return f"{login} does not declare the package imagereg"
    if text.strip() == "keep":
        login.unlink()
    else:
        atomic.write_bytes(login, text.encode("latin-1"))
    return f"{login} does not declare the package imagereg any more"


def _iraf_home():
    """Return the folder that IRAF calls home: ~/.iraf, or ~/iraf where an older IRAF was set up."""
    new, old = Path.home() / ".iraf", Path.home() / "iraf"
    return old if (old / "login.cl").exists() and not (new / "login.cl").exists() else new


def _around_block(home):
    """Return what stands before and after our block in loginuser.cl, or where it would stand: before the last keep."""
    login = home / "loginuser.cl"
    # Latin-1 gives every byte back as it was.
    text = atomic.read_bytes(login).decode("latin-1") if login.exists() else ""
    before, found, rest = text.partition(_BEGIN)
    if found:
        return before, rest.partition(_END)[2]
    keep = re.search(r"^[ \t]*keep\b[^\n]*\s*\Z", text, re.MULTILINE)
    if keep:
        return text[:keep.start()], text[keep.start():]
    return text + "\n" * (not text.endswith("\n") and bool(text)), "keep\n"


def _make_help(folder, cl):
    """Write the pages for IRAF's help, and have IRAF make their database."""
    entries = "".join(f"{task}\thlp=imageregdb${task}.hlp\n" for task in _TASKS)
    menu = "".join(f"{task:>20s} - {what}\n" for task, what in _TASKS.items())
    made = {"root.hd": "_imagereg\tpkg=imageregdb$_imagereg.hd\n",
            "_imagereg.hd": "imagereg\tmen=imageregdb$imagereg.men, hlp=.., pkg=imageregdb$imagereg.hd\n",
            "imagereg.hd": entries, "imagereg.men": menu}
    made |= {f"{task}.hlp": lroff(task, package_text("help_files", f"{task}.help")) for task in _TASKS}
    for name, text in made.items():
        atomic.write_text(folder / name, text)
    database = folder / "helpdb.mip"
    database.unlink(missing_ok=True)
    environment = {"USER": getpass.getuser(), **os.environ}  # without it cl ends at once
    try:
        done = subprocess.run([cl], input=_MAKE_HELP.format(help=folder), env=environment, timeout=60,
                              capture_output=True, text=True, errors="replace", cwd=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{cl} can't make {database}: {error}") from None
    if not database.exists():
        said = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise InputError(f"{cl} did not make {database}: {' '.join(said)}")


def lroff(task, text):
    """Return a help text in the language of IRAF's help.

    Parameters
    ----------
    task : str
        Name of the task.
    text : str
        Plain text: headings at the margin, the rest indented; entries ``  name = value`` with their text indented
        further; blocks that are indented further than the text, lists and columns stay as they are.
    """
    lines, block, entry = [f".help {task} - imagereg"], [], False
    for line in [*text.splitlines(), ""]:
        begins_entry = re.match(r"  \w+ = ", line)
        leaves_entry = entry and line.strip() and not line.startswith("   ")
        if not line.strip() or line[:1] != " " or begins_entry or leaves_entry:
            lines += _paragraph(block, 6 if entry else 2)
            block = []
        if leaves_entry:
            lines.append(".le")
            entry = False
        if begins_entry:
            lines.append(f".ls {line.strip()}")
            entry = True
        elif line[:1].strip():
            lines += [".ih", line.rstrip()]
        elif line.strip():
            block.append(line.rstrip())
    return "\n".join([*lines, ".endhelp", ""])


def _paragraph(block, indent):
    """Return the lines of a paragraph, to be filled where it is running text."""
    text = textwrap.dedent("\n".join(block))
    margins = {len(line) - len(line.lstrip()) for line in block}
    numbered = re.match(r"\d+\. .*(\n   \S.*)*$", text)
    if not numbered and (margins != {indent} or re.search(r"\S {3}|^- ", text, re.MULTILINE)):
        return [".nf", *text.splitlines(), ".fi", ""] if block else []
    return [*re.sub(r"\n\s*(?=\.)", " ", text).splitlines(), ""]
