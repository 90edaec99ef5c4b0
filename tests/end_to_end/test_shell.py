"""What users type in a shell, and what bash, fish and zsh complete for them."""

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imagereg.interfaces import python
from imagereg.interfaces.shell import cli
from imagereg.parameters.gather import gather_parameters
from imagereg.parameters.spec import Spec

COMMANDS = ("tweakreg", "imagefindpars", "refimagefindpars")
PROGRAM = "import sys; from imagereg.interfaces.shell.cli import main; sys.exit(main(sys.argv[2:], task=sys.argv[1]))"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Work in an empty folder that is the user's home too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shell(capsys):
    """Return a function that runs a command line, expects it to end well, and returns what it printed."""
    def run(line):
        task, *words = line.split()
        assert cli.main(words, task=task) == 0, capsys.readouterr().err
        return capsys.readouterr().out
    return run


def gathered(**given):
    return gather_parameters(**given)


# ---- listings


def test_lpar_has_the_layout_of_iraf(shell):
    lines = shell("tweakreg --lpar nclip=5 verbose+").splitlines()
    assert lines[0] == '        input = "*flt.fits"     Images: names, wildcards, association, @file'
    assert "       (nclip = 5)              How often to reject outliers and fit again" in lines
    assert "     (verbose = yes)            Tell more while running?" in lines
    assert '(enforce_user = yes)            Align the images in the order given?' in lines
    assert {"imagefindpars:", "refimagefindpars:"} <= set(lines) and max(map(len, lines)) <= 80
    assert "   (threshold = 4.0)            Detection limit above the sky (sky sigma)" in lines
    long = shell(f"tweakreg --lpar runfile={'x' * 90}")
    assert f'     (runfile = "{"x" * 90}")\n' in long


def test_parameter_set_lists_itself(shell):
    listed = shell("imagefindpars thres=50")
    assert listed == shell("imagefindpars --lpar threshold=50.0") and "(threshold = 50.0)" in listed
    assert len(listed.splitlines()) == len(Spec.load("imagefindpars").names)


@pytest.mark.parametrize("value", ["plain", "a b", "it's", 'a "b" c', '"', "'", "# x", "a = b", "x.y = 3", ""])
def test_dpar_is_read_again(shell, value):
    cli.main(["--savepars", "all.cfg", "searchrad=2", "imagefindpars.dqbits=16,64", "refimagefindpars.thre=9",
              f"runfile={value}"])
    listed = shell("tweakreg --dpar --pars all.cfg")
    assert "tweakreg.searchrad = 2.0\n" in listed and 'imagefindpars.dqbits = "16,64"\n' in listed
    assert "refimagefindpars.threshold = 9.0\n" in listed and listed.endswith("\n# EOF\n")
    Path("all.txt").write_text(listed)
    assert gathered(configobj="all.txt") == gathered(configobj="all.cfg")
    assert shell("tweakreg --dpar --pars all.txt") == listed


# ---- files of parameters


def test_savepars_keeps_all_sets(shell):
    shell("tweakreg a.fits b.fits --savepars my.cfg fitgeom=gen imagefindpars.thresh=50 refimagefindpars.conv_width=2")
    task, finding, ref_finding = gathered(configobj="my.cfg")
    assert (task.input, task.fitgeometry) == ("a.fits,b.fits", "general")
    assert (finding.changed, finding.threshold) == (("threshold",), 50.0)
    assert (ref_finding.changed, ref_finding.conv_width) == (("conv_width",), 2.0)
    assert "(threshold = 50.0)" in shell("imagefindpars --pars my.cfg")
    assert not list(Path().glob(".imagereg-*"))
    assert "\n[imagefindpars]\n_threshold_ = 50.0 " in Path("my.cfg").read_text()
    Path("mine.cfg").write_text("_task_name_ = tweakreg\n[imagefindpars]\nthreshold = 50\n")  # as a user may write it
    assert gathered(configobj="mine.cfg")[1] == finding


def test_files_are_told_apart_by_their_task(shell):
    shell("imagefindpars threshold=50 --savepars find.cfg")
    shell("refimagefindpars threshold=60 --savepars ref.cfg")
    assert "_task_name_ = imagefindpars\n" in Path("find.cfg").read_text()
    by_option = shell("tweakreg --dpar --pars find.cfg --pars ref.cfg")
    by_name = shell("tweakreg --dpar imagefindpars=find.cfg refimagefindpars=ref.cfg")
    assert by_option == by_name
    assert "\nimagefindpars.threshold = 50.0\n" in by_name and "\nrefimagefindpars.threshold = 60.0\n" in by_name
    typed = shell("tweakreg --dpar imagefindpars=find.cfg imagefindpars.threshold=INDEF imagefindpars.conv=3")
    assert "\nimagefindpars.threshold = INDEF\n" in typed and "\nimagefindpars.conv_width = 3.0\n" in typed


def test_typed_parameters_reach_the_run(monkeypatch, capsys):
    """What is typed, and what stands in files, is what the task gets."""
    seen = []
    monkeypatch.setattr(python, "align_images", lambda files, *sets, **_: seen.append((files, *sets)) or Fine())
    Path("find.cfg").write_text("_task_name_ = imagefindpars\nconv_width = 2\n")
    words = ["x.fits", "imagefindpars=find.cfg", "imagefindpars.threshold=50", "refimagefindpars.threshold=60",
             "tweakreg.nclip=7", "minflux=3"]
    assert cli.main(words) == 0
    files, task, finding, ref_finding = seen[0]
    assert files == ["x.fits"] and (task.nclip, task.minflux) == (7, 3.0)
    assert (finding.threshold, finding.conv_width, ref_finding.threshold) == (50.0, 2.0, 60.0)


class Fine:
    """A result that is well."""

    ok = True


def test_last_saved(shell):
    assert "no parameters of tweakreg are saved" in shell("tweakreg --unlearn")
    Path(".imagereg").mkdir()
    shell("tweakreg nclip=9 --savepars .imagereg/tweakreg.cfg")
    shell("imagefindpars threshold=9 --savepars .imagereg/imagefindpars.cfg")
    assert "tweakreg.nclip = 9\n" in shell("tweakreg --dpar --pars defaults")
    assert "tweakreg.nclip = 3\n" in shell("tweakreg --dpar")
    assert shell("tweakreg --unlearn") == "".join(
        f"removed {Path('.imagereg').resolve()}/{task}.cfg\n" for task in ("tweakreg", "imagefindpars"))
    assert "tweakreg.nclip = 3\n" in shell("tweakreg --dpar --pars defaults")
    assert list(Path(".imagereg").iterdir()) == []


def test_saved_by_drizzlepacs_teal(shell):
    """Its comments are glued to the values, its names are ours."""
    Path("theirs.cfg").write_text("_task_name_ = tweakreg# \ninput = j*_flt.fits# Input files (name, or @list)\n"
                                  "[UPDATE HEADER]\nupdatehdr = True# Update headers?\n[ _RULES_ ]\n")
    listed = shell("tweakreg --dpar --pars theirs.cfg")
    assert 'tweakreg.input = "j*_flt.fits"\n' in listed and "tweakreg.updatehdr = yes\n" in listed


# ---- errors


@pytest.mark.parametrize("line, says", [
    ("tweakreg treshold=4", "unknown parameter 'treshold'; did you mean 'threshold'?"),
    ("tweakreg imagefindpars.treshold=4", "imagefindpars: unknown parameter 'treshold'; did you mean 'threshold'?"),
    ("imagefindpars treshold=4", "unknown parameter 'treshold'; did you mean 'threshold'?"),
    ("imagefindpars nclip=4", "unknown parameter 'nclip'"),
    ("imagefindpars some.fits", "'some.fits': expected name=value"),
    ("tweakreg --lpar tolerance=-1", "'tolerance' = '-1': expected a number >= 0.001 (pixel)"),
    ("imagefindpars ratio=2", "'ratio' = '2': expected a number from 0.01 to 1"),
    ("tweakreg --lpar nclip=4 nclip=5", "'nclip' is given as '4' and as '5'"),
    ("tweakreg --lpar imagefindpars.thr=4 imagefindpars.threshold=5", "'threshold' is given as '4' and as '5'"),
    ("tweakreg --help serchrad", "unknown parameter 'serchrad'; did you mean 'searchrad'?"),
    ("tweakreg --pars missing.cfg", "missing.cfg can't be read: no such file or directory"),
    ("tweakreg --lpar imagefindpars=missing.cfg", "missing.cfg can't be read: no such file or directory"),
    ("tweakreg --pars folder", "folder can't be read: is a directory"),
    ("tweakreg --pars garbage.cfg", "garbage.cfg can't be read: 'utf-8' codec can't decode"),
    ("tweakreg --pars zeros.cfg", "zeros.cfg: not a parameter file: "),
    ("tweakreg --pars prose.txt", "prose.txt: not a parameter file: "),
    ("tweakreg --pars half.txt", "half.txt: 'and then' is no line 'task.name = value' as --dpar prints it"),
    ("tweakreg --pars drizzle.cfg", "drizzle.cfg: these are parameters of 'astrodrizzle', expected those of tweakreg"),
    ("tweakreg imagefindpars=tweak.cfg", "tweak.cfg: these are parameters of 'tweakreg', expected those of image"),
    ("tweakreg --pars tweak.cfg --pars tweak.cfg", "tweak.cfg: a file with parameters of tweakreg is given already"),
    ("tweakreg --savepars folder", "folder can't be written: is a directory"),
    ("tweakreg --savepars nosuch/x.cfg", "x.cfg can't be written: no such file or directory"),
    ("tweakreg --savepars tweak.cfg nclip=-1", "expected a whole number >= 0"),
    ("tweakreg --nosuch", "there is no option --nosuch: see tweakreg --help"),
    ("tweakreg --dryrun a.fits", "there is no option --dryrun: did you mean --dry-run?"),
    (f"tweakreg --{'x' * 1000}", "see tweakreg --help"),
    ("imagefindpars --apply x", "there is no option --apply: see imagefindpars --help"),
    ("tweakreg --pars", "argument --pars: expected one argument: see tweakreg --help"),
    ("tweakreg --completion tcsh", "argument --completion: invalid choice: 'tcsh'"),
])
def test_errors(line, says, capsys):
    """One sentence, status 2, and nothing written."""
    os.mkdir("folder")
    Path("garbage.cfg").write_bytes(bytes(range(256)))
    Path("zeros.cfg").write_bytes(bytes(99))
    Path("prose.txt").write_text("once upon a time\n")
    Path("half.txt").write_text("tweakreg.nclip = 3\nand then\n")
    Path("drizzle.cfg").write_text("_task_name_ = astrodrizzle\n")
    Path("tweak.cfg").write_text("_task_name_ = tweakreg\n")
    before = {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}
    task, *words = line.split()
    assert cli.main(words, task=task) == 2
    printed = capsys.readouterr()
    assert says in printed.err and printed.err.startswith(f"{task}: ") and printed.err.count("\n") == 1
    assert len(printed.err) < 310
    assert printed.out == ""
    assert {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")} == before


# ---- help


@pytest.mark.parametrize("task", COMMANDS)
def test_help_is_one_screen(shell, task):
    text = shell(f"{task} --help")
    assert len(text.splitlines()) <= 24 and max(map(len, text.splitlines())) < 80
    words = set(re.findall(r"[\w-]+", text))
    assert set(Spec.load(task).names) <= words and {"--lpar", "--savepars", "--completion"} <= words


def test_help_of_a_parameter(shell):
    text = shell("tweakreg --help thresh")
    assert "threshold = 4.0" in text and "sky sigma" in text and "conv_width" not in text
    assert "0.01 to 1" in shell("refimagefindpars --help ratio")


@pytest.mark.parametrize("task", COMMANDS)
def test_whole_help(shell, task):
    text = shell(f"{task} --help all")
    assert "--savepars FILE" in text and "DESCRIPTION" in text and f"{task} - " in text
    assert all(f"{other} - " in text for other in COMMANDS) == (task == "tweakreg")


# ---- completion


def completed(argv, environment):
    """Type the CASES into a shell on a terminal of its own; return what it does not complete, with what it shows."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, environment)
    _shown(terminal, "ready>")
    wrong = []
    for line, expected in CASES:
        os.write(terminal, line.encode())
        shown = _shown(terminal, expected)
        if expected not in shown:
            wrong.append((line, shown))
        os.write(terminal, b"\x15")  # clears the line
    os.write(terminal, b"exit\n")
    os.close(terminal)
    os.waitpid(pid, 0)
    return wrong


def _shown(terminal, expected):
    """Read what a terminal shows until it is what is expected, or nothing comes."""
    text = ""
    while expected not in text and select.select([terminal], [], [], 10)[0]:
        text += os.read(terminal, 65536).decode(errors="replace").replace("\a", "")
    return text


CASES = [
    ("tweakreg fitg\t", "fitgeometry="),
    ("tweakreg fitgeometry=rsh\t", "fitgeometry=rshift"),
    ("tweakreg updatehdr=y\t", "updatehdr=yes"),
    ("tweakreg residplot=N\t", r"residplot=No\ plot"),
    ("tweakreg imagefindpars.thr\t", "imagefindpars.threshold="),
    ("tweakreg imagefindpars.centroid=ps\t", "imagefindpars.centroid=psf"),
    ("imagefindpars conv\t", "conv_width="),
    ("tweakreg --savep\t", "--savepars"),
    ("tweakreg --pars jd\t", "jdemo_flt.cfg"),
    ("tweakreg refcat=jd\t", "refcat=jdemo_flt.cfg"),
    ("tweakreg jd\t", "jdemo_flt.cfg"),
    ("tweakreg --completion z\t", "zsh"),
    ("tweakreg --help searchr\t", "searchrad "),
]


IN_FISH = {
    "tweakreg thres": ["threshold="], "tweakreg fitgeometry=rsh": ["fitgeometry=rshift"],
    "tweakreg residplot=N": ["residplot=No plot"], "tweakreg imagefindpars.findm": ["imagefindpars.findmode="],
    "tweakreg imagefindpars.findmode=s": ["imagefindpars.findmode=sextractor"],
    "tweakreg clean=": ["clean=no", "clean=yes"], "tweakreg minobj=": [], "tweakreg --dry": ["--dry-run"],
    "tweakreg --completion f": ["fish"], "tweakreg --help searchr": ["searchrad"],
    "tweakreg refcat=jd": ["refcat=jdemo_flt.cfg"], "tweakreg jd": ["jdemo_flt.cfg"],
    "imagefindpars nsou": ["nsources="],
}


def test_bash_completes(shell, home):
    Path("jdemo_flt.cfg").touch()
    settings = "PS1='ready> '\nbind 'set enable-bracketed-paste off'\n"
    (home / "rc").write_text(shell("tweakreg --completion bash") + settings)
    environment = os.environ | {"TERM": "dumb", "INPUTRC": "/dev/null", "COLUMNS": "200"}
    assert completed(["bash", "--rcfile", "rc", "-i"], environment) == []


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
def test_zsh_completes(shell, home):
    Path("jdemo_flt.cfg").touch()
    start = "autoload -Uz compinit && compinit -u -D\nunsetopt zle_bracketed_paste\n"
    (home / ".zshrc").write_text(f"{start}{shell('tweakreg --completion zsh')}PS1='ready> '\n")
    environment = os.environ | {"TERM": "dumb", "ZDOTDIR": str(home), "COLUMNS": "200"}
    assert completed(["zsh", "-i"], environment) == []


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish_completes(shell, home):
    Path("jdemo_flt.cfg").touch()
    Path("tweakreg.fish").write_text(shell("tweakreg --completion fish"))
    lines = "; ".join(f"echo '>'; complete --do-complete {shlex.quote(line)}" for line in IN_FISH)
    done = subprocess.run(["fish", "--no-config", "-c", f"source tweakreg.fish; {lines}"],
                          capture_output=True, text=True, timeout=60)
    found = [[text.partition("\t")[0] for text in part.splitlines()] for part in done.stdout.split(">\n")[1:]]
    assert dict(zip(IN_FISH, found, strict=True)) == IN_FISH and done.stderr == ""


@pytest.mark.parametrize("name", ["bash", "fish", "zsh"])
def test_completion_knows_all(shell, name):
    """Every parameter and option stands in the script; a choice that somebody adds does so by itself."""
    text = shell(f"tweakreg --completion {name}")
    wanted = {f"{p.name}=" for task in COMMANDS for p in Spec.load(task)}
    wanted |= {f"{task}.{p.name}=" for task in COMMANDS[1:] for p in Spec.load(task)}
    assert wanted <= set(text.split())
    assert all(repr(choice).strip("'") in text for task in COMMANDS for p in Spec.load(task) for choice in p.choices)
    assert text == shell(f"imagefindpars --completion {name}")


def test_bare_command_says_what_it_is(tmp_path):
    """In a folder without images, the module as the command; with an image that is taken, it is another matter."""
    for command in (["-m", "imagereg"], ["-m", "imagereg.interfaces.shell.cli"]):
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2 and done.stdout.startswith("tweakreg aligns images with each other")
        assert "tweakreg --help" in done.stdout and "tweakreg --demo" in done.stdout and not done.stderr
    (tmp_path / "x_flt.fits").touch()
    done = subprocess.run([sys.executable, "-m", "imagereg"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "x_flt.fits" in done.stderr and not done.stdout


@pytest.mark.parametrize("wrong", ["thresold", "imagefindpars.thresold"])
def test_help_suggests(wrong, capsys):
    assert cli.main(["--help", wrong]) == 2
    assert "did you mean 'threshold'?" in capsys.readouterr().err


def test_help_wraps_at_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "41")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert cli.main(["--help", "threshold"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40 and len(lines) > 20
