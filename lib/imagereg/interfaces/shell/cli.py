"""The command ``tweakreg``, and those of its parameter sets and of the tasks on solutions."""

from __future__ import annotations

import argparse
import contextlib
import functools
import glob
import logging
import os
import shutil
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from imagereg.errors import AlignmentWarning, ImageregError, ParameterError, printable
from imagereg.files import atomic
from imagereg.interfaces.shell import batch, on_solutions, process
from imagereg.interfaces.shell.completion import SHELLS, script
from imagereg.interfaces.shell.words import Request, has_colours, in_colours
from imagereg.parameters import (
    ARGUMENTS,
    TASKS,
    Spec,
    find_parameter,
    gather,
    saved,
    starting_values,
    texts,
)
from imagereg.parameters import spec as declarations
from imagereg.tasks import signals
from imagereg.version import __version__

_USAGE = """tweakreg [FILE ...] [name=value ...] [name+ ...] [name- ...]

Align images: tweakreg 'j*flt.fits' threshold=50 updatehdr=yes
Apply what was found, without looking for sources again:
tweakreg --apply tweakreg_solution.ecsv [FILE[:SOURCE] ...]
See what that would change: the same with --dry-run.
Bring a WCS back: tweakreg --restore 'j*flt.fits' [--to WCSNAME]
FILE is a name, a wildcard or an @list; without any, the parameter input is used. Parameters are
those of tweakreg and imagefindpars; names and choices may be abbreviated. imagefindpars.name=value
sets one of a parameter set, imagefindpars=FILE takes it from a file. The exit status is 0 when all
images are aligned, 1 when not, 2 when a parameter or a file is wrong, 128+n where signal n ended
it."""
_DEFAULT_INPUT = str(Spec.load("tweakreg")["input"].default)
_INTRODUCTION = f"""\
tweakreg aligns images with each other: it finds their stars, matches them on
the sky, and corrects shift, rotation and scale in a shiftfile or in headers.
No file matches {_DEFAULT_INPUT} here, which it takes where no image is named.

  tweakreg 'j*flc.fits' threshold=50     align images
  tweakreg --demo                        try it on a small visit, made here
  tweakreg --epar                        edit the parameters
  tweakreg --help                        all parameters; --help NAME explains one
"""
_PSET_USAGE = """{task} [name=value ...] [name+ ...] [name- ...]

List or save parameters: {task} threshold=50 --savepars my.cfg"""
_TASK_USAGE = """{task} {words} [name=value ...] [name+ ...] [name- ...]

{summary}: {task} --help all"""


def main(arguments: Sequence[str] | None = None, task: str = "tweakreg") -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        The words after the command's name; by default those of this process.
    task : str
        Name of the command; that of a parameter set has no images to align.

    Returns
    -------
    int
        Exit status: 0 when all images are aligned, 1 when not, 2 for bad input; 128+n where signal
        n has ended it.
    """
    if arguments is None:
        process.set_up()
    # What astropy warns of in a header is harmless, or is said in one of our own sentences.
    warnings.filterwarnings("ignore", module=r"astropy\.")
    warnings.simplefilter("ignore", AlignmentWarning)  # the result is printed
    try:
        with contextlib.ExitStack() as handled:
            handled.enter_context(signals.stopped_by_signals(ends_process=arguments is None))
            options = _parser(task).parse_intermixed_args(arguments)
            if options.epar:  # its windows would swallow what the handlers raise
                handled.close()
            with _escaped_warnings():
                return _dispatch(options, task)
    except ImageregError as error:
        _complain(error.sentence(task))
        return 2
    except KeyboardInterrupt as stopped:
        number = getattr(stopped, "signal", signal.SIGINT)
        is_key = number == signal.SIGINT
        _complain(f"{task}: {'interrupted' if is_key else f'ended by {number.name}'}")
        return 128 + number


imagefindpars = functools.partial(main, task="imagefindpars")
refimagefindpars = functools.partial(main, task="refimagefindpars")
applywcs = functools.partial(main, task="applywcs")
restorewcs = functools.partial(main, task="restorewcs")
activatewcs = functools.partial(main, task="activatewcs")
listwcs = functools.partial(main, task="listwcs")
comparewcs = functools.partial(main, task="comparewcs")
tweakback = functools.partial(main, task="tweakback")


class _Terminal(logging.Handler):
    """Print log records on standard error, each as one line that a terminal can show."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        _complain(self.format(record))


@contextlib.contextmanager
def _escaped_warnings() -> Iterator[None]:
    """Print by `_Terminal` the warnings that no log file takes, which logging would print."""
    plain = logging.lastResort
    logging.lastResort = _Terminal(logging.WARNING)  # type: ignore[assignment]
    try:
        yield
    finally:
        logging.lastResort = plain


def _say(*words: object, end: str = "\n", painted: Callable[[str], str] = str) -> None:
    """Print, `painted` on a terminal with colours; if standard output can't be written, go on."""
    text = printable(" ".join(map(str, words)), keep="\n\t")
    try:
        print(painted(text) if has_colours(sys.stdout) else text, end=end, flush=True)
    except BrokenPipeError:  # a pager or head has seen enough
        sys.stdout = None  # type: ignore[assignment]
    except OSError as error:
        sys.stdout = None  # type: ignore[assignment]
        _complain(f"standard output can't be written: {atomic.reason(error)}")


def _complain(text: str) -> None:
    """Print one line on standard error, if that can be written."""
    with contextlib.suppress(OSError):
        print(printable(text), file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are those of the package: one line, with the nearest option."""

    def error(self, message: str) -> NoReturn:
        """Raise a ParameterError."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown == message:
            raise ParameterError(f"{message}: see {self.prog} --help")
        word = unknown.split(" ")[0].partition("=")[0]
        near = declarations.nearest(word, self._option_string_actions)
        meant = f"did you mean {near}?" if near else f"see {self.prog} --help"
        raise ParameterError(f"there is no option {word}: {meant}")


def _parser(task: str) -> argparse.ArgumentParser:
    """Return the parser of a command; its default `actions` say what options do, by `dest`."""
    usage = _usage(task)
    parser = _Parser(task, usage=usage, add_help=False, allow_abbrev=False)
    add = parser.add_argument
    actions: dict[str, Callable[..., int | None]] = {}
    parser.set_defaults(actions=actions)

    def option(run, *names, **settings):
        actions[add(*names, **settings).dest] = run

    flag = functools.partial(option, action="store_const", const=True)
    add("words", nargs="*", help=argparse.SUPPRESS)
    # Of several options the first one here is obeyed.
    option(_help, "--help", "-h", metavar="PARAMETER", nargs="?", const="",
           help="print what there is, in short; all about a parameter; or, for 'all', the whole "
                "help")
    flag(_lpar, "--lpar", help="list the parameters, with those given, as IRAF does")
    flag(_dpar, "--dpar", help="the same as lines task.name = value, which --pars reads")
    add("--pars", metavar="FILE", action="append", default=[],
        help="take parameters from a .cfg or from what --dpar wrote; 'defaults' are those saved in "
             "the editor")
    option(_savepars, "--savepars", metavar="FILE",
           help="save the parameters in a .cfg; 'defaults' saves them as the editor does")
    flag(_unlearn, "--unlearn", help="forget what was saved in the editor, sets included")
    option(_completion, "--completion", choices=SHELLS,
           help="print the script that completes names in a shell")
    flag(_epar, "--epar", help="edit the parameters, beginning with those last saved")
    add("--version", action="version", version=f"tweakreg {__version__}")
    if task != "tweakreg":
        return parser
    add("--dry-run", action="store_true", help="print what headers would get, and write nothing")
    option(_telling(on_solutions.apply), "--apply", metavar="SOLUTION",
           help="apply a solution file or a shiftfile")
    option(_report_page, "--report", metavar="SOLUTION",
           help="make the page of a run of which the solution file is left")
    flag(_telling(on_solutions.restore), "--restore",
         help="bring back the WCS that was archived last")
    add("--to", metavar="WCSNAME", help="with --restore: which WCS")
    option(_telling(on_solutions.activate), "--activate", metavar="WCSNAME",
           help="the same as --restore --to WCSNAME; it may be a headerlet")
    flag(_telling(on_solutions.list_held), "--headerlets",
         help="list the solutions that files hold: primary and alternate WCSs, attached headerlets")
    flag(_telling(on_solutions.compare), "--compare",
         help="measure each of these solutions against the reference")
    flag(_install_iraf, "--install-iraf", help="declare the package imagereg to IRAF's cl")
    flag(_uninstall_iraf, "--uninstall-iraf", help="take that back")
    option(_align_for_cl, "--clpars", metavar="FILE",
           help="align as cl's dparam wrote into FILE, and leave the exit status there")
    option(_demo, "--demo", metavar="FOLDER", nargs="?", const="tweakreg_demo",
           help="simulate a small visit in FOLDER and align it")
    _add_batch_options(add, option)
    return parser


def _add_batch_options(add, option):
    """Add the options of a batch to the parser of tweakreg."""
    option(_telling(batch.run), "--batch", metavar="VISITS",
           help="align many visits: the folders below a folder, the lines of a list, or the rows "
                "of a table; what is done already is not done again")
    option(_telling(batch.status), "--batch-status", metavar="VISITS",
           help="print what became of the visits of a batch")
    add("--again", action="store_true", help="with --batch: also do what did not succeed again")
    add("--scheduler", metavar="ADDRESS",
        help="with --batch: let the workers of this dask scheduler do it")


def _usage(task: str) -> str:
    """Return how a command is called, and an example."""
    from imagereg.parameters import help as pages

    if task == "tweakreg":
        return _USAGE
    if task not in gather.SOLUTION_TASKS:
        return _PSET_USAGE.format(task=task)
    words = " ".join(f"[{p.name.upper()}]" for p in Spec.load(task).positional)
    return _TASK_USAGE.format(task=task, words=words, summary=pages.summary(task))


def _dispatch(options: argparse.Namespace, task: str) -> int:
    """Do what the first option that has an action says; without any, align or list."""
    if _is_bare(options) and _introduction(task):
        _say(_introduction(task), end="")
        return 2
    request = Request.parse(task, options.words, options.pars)
    if task == "tweakreg":
        _qualify(request, options)
    for name, action in options.actions.items():
        value = getattr(options, name)
        if value is not None:
            return action(value, request) or 0
    if task in gather.SOLUTION_TASKS:
        return _tell(on_solutions.run_task(request), task)
    return _align(request) if task == "tweakreg" else _list_set(request)


def _qualify(request: Request, options: argparse.Namespace) -> None:
    """Put into a request the options that say how to do what another one asks for."""
    if options.dry_run:
        request.given["dry_run"] = True
    if options.restore:
        request.given["to"] = options.to or ""
    elif options.to:
        raise ParameterError("--to says which WCS to bring back: give it with --restore")
    if options.batch:
        request.given.update(again=options.again, scheduler=options.scheduler or "")
    elif options.again or options.scheduler:
        raise ParameterError("--again and --scheduler say how to do a batch: give --batch")


def _introduction(task: str) -> str:
    """Return what a command says that is given no words and could not know what to do."""
    if task in gather.SOLUTION_TASKS:
        return _short_help(_parser(task), _specs(task))
    return _INTRODUCTION if task == "tweakreg" and not glob.glob(_DEFAULT_INPUT) else ""


def _is_bare(options: argparse.Namespace) -> bool:
    """Whether nothing at all was said after the command."""
    said = [value for name, value in vars(options).items() if name != "actions"]
    return all(value in (None, [], False) for value in said)


# ---- What an option does in place of an alignment: takes its value; returns the exit status,
# None for 0.


def _align(request: Request) -> int:
    from imagereg.interfaces.python import TweakReg

    return _report(TweakReg(request.files or None, **request.given))


def _telling(action: Callable) -> Callable[..., int]:
    """Return an action that tells the outcome of another one."""
    return lambda value, request: _tell(action(value, request), request.task)


def _tell(outcome, task: str) -> int:
    """Print the outcome of a task on solutions; return the exit status."""
    _say(outcome.text)
    for problem in outcome.problems:
        _complain(f"{task}: {problem}")
    return 0 if outcome.ok else 1


def _report(result) -> int:
    """Print a result, on a terminal in colours; return the exit status."""
    _say(result, painted=lambda text: in_colours(text, is_well=result.ok))
    return 0 if result.ok else 1


def _list_set(request: Request) -> int:
    """List a parameter set: its command without options."""
    if request.files:
        raise ParameterError(f"{request.files[0]!r}: expected name=value")
    _lpar(True, request)
    return 0


def _help(name: str, request: Request) -> None:
    """Print what there is, what a parameter means, or the whole help."""
    from imagereg.parameters import help as pages

    parser = _parser(request.task)
    width = _terminal_width()
    if name == "all":
        tasks = (request.task, *Spec.load(request.task).psets)
        texts = [pages.wrapped(pages.task_help(task), width) for task in tasks]
        _say("\n".join([parser.format_help(), *texts]), end="")
    elif name in ARGUMENTS:
        _say(pages.wrapped(pages.task_help(name), width), end="")
    elif name:
        meant = _meant(name, request.task)
        entries = [f"{task}: {pages.parameter_help(task, own, width)}" for task, own in meant]
        _say("\n\n".join(entries))
    else:
        _say(_short_help(parser, _specs(request.task)), end="")


def _terminal_width() -> int | None:
    """Return the columns to wrap help at, as many as read well; None where there's no terminal."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return min(max(shutil.get_terminal_size().columns - 1, 30), 100)


def _specs(task: str) -> list[Spec]:
    """Return the declarations of the parameters that a command takes by their names alone."""
    tasks = [task, "imagefindpars"] if task == "tweakreg" else [task]
    return [Spec.load(name) for name in tasks]


def _meant(name: str, task: str) -> list[tuple[str, str]]:
    """Return task and name of the parameters that a user asks for; two tasks may have one."""
    owner, dot, own = name.rpartition(".")
    if dot and owner in ARGUMENTS:
        return [(owner, own)]
    specs = _specs(task)
    known = [(spec.task, name) for spec in specs if name in spec]
    if known:
        return known
    spec, parameter = find_parameter(name, specs)
    return [(spec.task, parameter.name)]


def _short_help(parser: argparse.ArgumentParser, specs: Sequence[Spec]) -> str:
    usage, _, example = str(parser.usage).splitlines()[:3]
    options = " ".join(_options(parser)).replace("--help", "--help [PARAMETER|all]")
    filled = textwrap.fill(
        f"options: {options}", 79, subsequent_indent="  ", break_on_hyphens=False
    )
    return f"usage: {usage}\n       {example}\n{filled}\n{texts.overview(specs)}"


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """Return the options that begin with two dashes."""
    names = [name for action in parser._actions for name in action.option_strings]
    return [name for name in names if name.startswith("--")]


def _lpar(_: bool, request: Request) -> None:
    _say(texts.lpar_text(request.parameter_sets()), end="")


def _dpar(_: bool, request: Request) -> None:
    _say(texts.dpar_text(request.parameter_sets()), end="")


def _savepars(path: str, request: Request) -> None:
    """Write a .cfg; that of tweakreg holds its parameter sets. Or save them as the editor does."""
    if path == "defaults":
        saved.remember_parameters(request.parameter_sets())
        return
    values, *psets = request.parameter_sets()
    atomic.write_text(path, values.spec.cfg_text(values, psets))


def _unlearn(_: bool, request: Request) -> None:
    """Remove the parameters that the user saved."""
    removed = []
    for task in (request.task, *Spec.load(request.task).psets):
        removed += saved.forget_parameters(task)
    for path in removed:
        _say(f"removed {path}")
    if not removed:
        _say(f"no parameters of {request.task} are saved")


def _completion(shell: str, _: Request) -> None:
    """Print the script for a shell."""
    specs = [Spec.load(task) for task in TASKS]
    _say(script(shell, specs, _options(_parser("tweakreg"))), end="")


def _epar(_: bool, request: Request) -> int:
    """Edit the parameters; for tweakreg, align if the user says Execute."""
    from imagereg.interfaces import epar as editor

    if request.task in gather.SOLUTION_TASKS:
        outcome = on_solutions.edit_task(request)
        return _tell(outcome, request.task) if outcome else 0
    if request.task != "tweakreg":
        sets = request.parameter_sets() if request.given else []
        editor.edit(request.task, start={values.task: values for values in sets} or None)
        return 0
    results = []

    def run(values):
        # The import takes a second, which the editor need not wait for.
        from imagereg.interfaces.python import TweakReg

        with signals.stopped_by_signals():
            results.append(TweakReg(None, False, *values.values()))
        return results[-1]

    start = starting_values(request.files, request.sources, request.flat)
    editor.edit("tweakreg", start=start, run=run)
    return _report(results[-1]) if results else 0


def _report_page(solution: str, request: Request) -> None:
    """Make the page of a run afterwards, and name it."""
    from imagereg.tasks import report_solution

    on_solutions.refuse_parameters(request.given, "--report takes no parameters, and {!r} is one")
    _say(report_solution(solution))


def _install_iraf(*_) -> None:
    """Make the tasks a package of IRAF's cl."""
    from imagereg.interfaces import iraf

    _say(iraf.install(os.path.abspath(sys.argv[0])))
    _say("Log in to cl again, then: imagereg")


def _uninstall_iraf(*_) -> None:
    from imagereg.interfaces import iraf

    _say(iraf.uninstall())


def _align_for_cl(path: str, _: Request) -> int:
    """Align as a task of IRAF's cl."""
    from imagereg.interfaces import iraf

    return _report(iraf.run(path))


def _demo(folder: str, request: Request) -> int:
    """Simulate a visit, align it, and print what was found beside the truth."""
    from imagereg.interfaces.shell import demonstration

    if os.path.isdir(folder) and os.listdir(folder):
        raise ParameterError(f"the folder {folder} for the demo is not empty")
    text, is_well = demonstration.run(folder, request.given)
    _say(text)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
