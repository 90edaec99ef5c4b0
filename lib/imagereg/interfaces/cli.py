"""The command ``tweakreg``, and those of its parameter sets, ``imagefindpars`` and ``refimagefindpars``."""

from __future__ import annotations

import argparse
import functools
import os
import sys
import textwrap

from imagereg.errors import ImageregError, ParameterError
from imagereg.interfaces.completion import SHELLS
from imagereg.parameters.gather import ARGUMENTS
from imagereg.version import __version__

_USAGE = """tweakreg [FILE ...] [name=value ...] [name+ ...] [name- ...]

Align images: tweakreg 'j*flt.fits' threshold=50 updatehdr=yes
Apply what was found, without looking for sources again: tweakreg --apply tweakreg_solution.ecsv [FILE[:SOURCE] ...]
See what that would change: the same with --dry-run. Bring a WCS back: tweakreg --restore 'j*flt.fits' [--to WCSNAME]
FILE is a name, a wildcard or an @list; without any, the parameter input is used. Parameters are those of
tweakreg and imagefindpars; names and choices may be abbreviated. imagefindpars.name=value sets one of a parameter
set, imagefindpars=FILE takes it from a file. The exit status is 0 when all images are aligned, 1 when not, 2 when a
parameter or a file is wrong."""
_PSET_USAGE = """{task} [name=value ...] [name+ ...] [name- ...]

List or save parameters: {task} threshold=50 --savepars my.cfg"""


def main(arguments=None, task="tweakreg"):
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        What stands after the command's name; that of this process where not given.
    task : str
        Name of the command; that of a parameter set has no images to align.

    Returns
    -------
    int
        Exit status: 0 when all images are aligned, 1 when not, 2 for bad input.
    """
    options = _parser(task).parse_intermixed_args(arguments)
    try:
        return _dispatch(options, task)
    except ImageregError as error:
        print(f"{task}: {str(error).removeprefix(f'{task}: ')}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # a pager or head has seen enough
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print(f"{task}: interrupted", file=sys.stderr)
        return 130


imagefindpars = functools.partial(main, task="imagefindpars")
refimagefindpars = functools.partial(main, task="refimagefindpars")


def _parser(task):
    usage = _USAGE if task == "tweakreg" else _PSET_USAGE.format(task=task)
    parser = argparse.ArgumentParser(task, usage=usage, add_help=False, allow_abbrev=False)
    add = parser.add_argument

    def owned(value):
        return task, value

    add("words", nargs="*", help=argparse.SUPPRESS)
    add("--help", "-h", metavar="PARAMETER", nargs="?", type=owned, const=(task, ""),
        help="print what there is, in short; all about a parameter; or, for 'all', the whole help")
    add("--version", action="version", version=f"tweakreg {__version__}")
    add("--epar", action="store_const", const=task, help="edit the parameters, beginning with those last saved")
    add("--lpar", action="store_const", const=task, help="list the parameters, with those given, as IRAF does")
    add("--dpar", action="store_const", const=task, help="the same as lines task.name = value, which --pars reads")
    add("--pars", metavar="FILE", action="append", default=[],
        help="take parameters from a .cfg or from what --dpar wrote; 'defaults' are those saved in the editor")
    add("--savepars", metavar="FILE", type=owned, help="save the parameters in a .cfg")
    add("--unlearn", action="store_const", const=task, help="forget the parameters saved in the editor")
    add("--completion", choices=SHELLS, help="print the script that completes names in bash or zsh")
    if task == "tweakreg":
        add("--dry-run", action="store_true", help="print what headers would get, and write nothing")
        add("--apply", metavar="SOLUTION", help="apply a solution file or a shiftfile")
        add("--restore", action="store_const", const=True, help="bring back the WCS that was archived last")
        add("--to", metavar="WCSNAME", help="with --restore: which WCS")
        add("--activate", metavar="WCSNAME", help="the same as --restore --to WCSNAME; it may be a headerlet")
        add("--headerlets", action="store_const", const=True,
            help="list the solutions that files hold: primary and alternate WCSs, attached headerlets")
        add("--compare", action="store_const", const=True,
            help="measure each of these solutions against the reference")
        add("--install-iraf", action="store_const", const=True, help="declare the package imagereg to IRAF's cl")
        add("--uninstall-iraf", action="store_const", const=True, help="take that back")
        add("--clpars", metavar="FILE", help="align as cl's dparam wrote into FILE, and remove it")
        add("--demo", metavar="FOLDER", nargs="?", const="tweakreg_demo",
            help="simulate a small visit in FOLDER and align it")
    return parser


def _dispatch(options, task):
    given = _parameters([word for word in options.words if _is_parameter(word)], options.pars, task)
    names = [word for word in options.words if not _is_parameter(word)]
    given |= _modifiers(options) if task == "tweakreg" else {}
    for name, action in _ACTIONS.items():
        if (value := getattr(options, name, None)) is not None:
            return action(value, names, given)
    if task != "tweakreg":
        if names:
            raise ParameterError(f"{names[0]!r}: expected name=value")
        return _lpar(task, names, given)
    from imagereg.interfaces.python import TweakReg

    return _told(TweakReg(names or None, **given))


def _modifiers(options):
    """Return what options say that go with another, as arguments by name."""
    if options.to and not options.restore:
        raise ParameterError("--to says which WCS to bring back: give it with --restore")
    return ({"dry_run": True} if options.dry_run else {}) | ({"to": options.to or ""} if options.restore else {})


def _told(result):
    """Print a result; returns the exit status."""
    print(result)
    return 0 if result.ok else 1


def _is_parameter(word):
    """Whether a word is ``name=value``, ``name+`` or ``name-`` and not a file."""
    name = word.partition("=")[0] if "=" in word else word[:-1] if word[-1:] in "+-" else ""
    owner, dot, own = name.partition(".")
    known = own.isidentifier() and owner in ARGUMENTS if dot else name.isidentifier()
    return known and not os.path.exists(word)


def _parameters(words, pars, task):
    """Parameters as arguments of TweakReg: by full name; those of files and of parameter sets as mappings."""
    pairs = [_pair(word) for word in words]
    given, typed = {}, {}
    for owner, path in [*((None, path) for path in pars), *(pair for pair in pairs if pair[0] in ARGUMENTS)]:
        values = _from_file(path, owner, task)
        argument = ARGUMENTS[values.get("_task_name_", owner or task)]
        if argument in given:
            raise ParameterError(f"{path}: a file with parameters of {values['_task_name_']} is given already")
        given[argument] = values
    for name, value in (pair for pair in pairs if pair[0] not in ARGUMENTS):
        place = _owner_and_name(name, task)
        if typed.setdefault(place, value) != value:
            raise ParameterError(f"parameter {place[1]!r} is given as {typed[place]!r} and as {value!r}")
    for (owner, name), value in typed.items():
        (given.setdefault(ARGUMENTS[owner], {}) if owner else given)[name] = value
    return given


def _pair(word):
    name, equals, value = word.partition("=")
    return (name, value) if equals else (word[:-1], {"+": "yes", "-": "no"}[word[-1]])


def _from_file(path, owner, task):
    """Parameters of a file: of the task named as its owner, or else of any of ours."""
    from imagereg.parameters import gather

    values = gather.read_parameters(path, owner or task)
    found = values.get("_task_name_", owner or task)
    expected = [owner] if owner else list(ARGUMENTS)
    if found not in expected:
        raise ParameterError(f"{path}: these are parameters of {found!r}, expected those of {' or '.join(expected)}")
    return values


def _owner_and_name(name, task):
    """Return the parameter set, None for a plain parameter, and the full name of what a user calls `name`."""
    from imagereg.parameters.spec import Spec

    owner, dot, own = name.rpartition(".")
    if dot or task != "tweakreg":
        owner = owner or task
        return None if owner == "tweakreg" else owner, Spec.load(owner).find(own, minimum_match=True).name
    return None, _full_name(name, (Spec.load("tweakreg"), Spec.load("imagefindpars")))


def _full_name(name, specs):
    """Return the parameter that a name, an alias or an abbreviation stands for; an unknown one as it is."""
    for spec in specs:
        if name in spec:
            return spec[name].name
    known = sorted({known for spec in specs for known in spec.names if known.startswith(name)})
    if len(known) > 1:
        raise ParameterError(f"parameter {name!r} is ambiguous: {', '.join(known)}")
    return known[0] if known else name


def _sets(names, given):
    """Return the parameter sets that file names and arguments of TweakReg make up."""
    from imagereg.parameters import gather

    flat = given | ({"input": ",".join(names)} if names else {})
    return gather.gather_parameters(*(flat.pop(argument, None) for argument in ARGUMENTS.values()), flat)


def _listed(task, names, given):
    """Return the sets that belong to a command: all to tweakreg."""
    sets = _sets(names, given)
    return sets if task == "tweakreg" else [values for values in sets if values.task == task]


def _help(wanted, *_):
    """Print what there is, what a parameter means, or the whole help."""
    from imagereg.parameters import help as helptext
    from imagereg.parameters import texts as listing
    from imagereg.parameters.spec import Spec

    task, name = wanted
    parser, specs = _parser(task), [Spec.load(task)] + [Spec.load("imagefindpars")] * (task == "tweakreg")
    if name == "all":
        print(f"{parser.format_help()}\n{helptext.task_help(task)}", end="")
    elif name in ARGUMENTS:
        print(helptext.task_help(name), end="")
    elif name:
        known = [spec for spec in specs if name in spec]
        if not known:
            owner, name = _owner_and_name(name, task)
            known = [spec for spec in specs if name in spec and owner in (None, spec.task)] or specs[:1]
        print("\n\n".join(f"{spec.task}: {helptext.parameter_help(spec.task, name)}" for spec in known))
    else:
        usage, _, example = parser.usage.splitlines()[:3]
        options = " ".join(_options(parser)).replace("--help", "--help [PARAMETER|all]")
        print(f"usage: {usage}\n       {example}")
        print(textwrap.fill(f"options: {options}", 79, subsequent_indent="  ", break_on_hyphens=False))
        print(listing.overview(specs), end="")
    return 0


def _options(parser):
    """Return what of the command line begins with two dashes."""
    return [name for action in parser._actions for name in action.option_strings if name.startswith("--")]


def _lpar(task, names, given):
    from imagereg.parameters import texts as listing

    print(listing.lpar_text(_listed(task, names, given)), end="")
    return 0


def _dpar(task, names, given):
    from imagereg.parameters import texts as listing

    print(listing.dpar_text(_listed(task, names, given)), end="")
    return 0


def _savepars(target, names, given):
    """Write a .cfg; that of tweakreg holds its parameter sets."""
    from imagereg.files import atomic

    task, path = target
    values, *psets = _listed(task, names, given)
    atomic.write_text(path, values.spec.cfg_text(values, psets))
    return 0


def _unlearn(task, *_):
    """Remove what the user saved."""
    from imagereg.parameters import saved as userfolder

    path = userfolder.forget_parameters(task)
    print(f"removed {path}" if path else f"no parameters of {task} are saved")
    return 0


def _completion(shell, *_):
    """Print the script for a shell."""
    from imagereg.interfaces import completion
    from imagereg.parameters.spec import Spec

    print(completion.script(shell, [Spec.load(task) for task in ARGUMENTS], _options(_parser("tweakreg"))), end="")
    return 0


def _demo(folder, _, given):
    """Simulate a visit, align it, and print what was found beside the truth."""
    from imagereg import demo
    from imagereg.interfaces.python import TweakReg

    if os.path.isdir(folder) and os.listdir(folder):
        raise ParameterError(f"the folder {folder} for the demo is not empty")
    visit = demo.simulate_visit(folder)
    before = visit.residuals()
    os.chdir(folder)
    chosen = {"threshold": 10, "updatehdr": True, "shiftfile": True, "interactive": False, **given}
    result = TweakReg([os.path.basename(path) for path in visit.files], **chosen)
    print(result, "\n\ntruth:")
    for index, alignment in enumerate(result.alignments):
        dx, dy, rot, scale = visit.expected_shift(index, result.plane.wcs)
        print(f"{alignment.name}  {dx:9.4f} {dy:9.4f} {rot:11.8f} {scale:10.8f}")
    after = visit.residuals([os.path.basename(path) for path in visit.files])
    print("\nrms against the first image, mas")
    print("before:", *(f"{rms:.2f}" for rms in before), "\nafter: ", *(f"{rms:.2f}" for rms in after))
    print(f"\nIn {folder}: the log tweakreg.log, the shifts shifts.txt, plots of every image as *.png")
    return 0 if result.ok else 1


def _epar(task, names, given):
    """Edit the parameters; those of tweakreg with its parameter sets, and align where the user says Execute."""
    if task != "tweakreg":
        from imagereg.interfaces import epar as editor

        editor.edit(task, start={values.task: values for values in _listed(task, names, given)} if given else None)
        return 0
    from imagereg.interfaces import epar as editor
    from imagereg.parameters import gather

    results, flat = [], dict(given)
    sources = [flat.pop(argument, None) for argument in ARGUMENTS.values()]

    def run(values):
        from imagereg.interfaces.python import TweakReg  # it takes a second, which the editor need not wait for

        results.append(TweakReg(None, False, *values.values()))

    editor.edit("tweakreg", start=gather.starting_values(names, sources, flat), run=run)
    return _told(results[-1]) if results else 0


def _restore(_, names, given):
    """Bring a WCS back, and print which there is now; of a dry run, all keywords that would change."""
    from imagereg.tasks.restore import restore_wcs

    to, dry_run = given.pop("to"), given.pop("dry_run", False)
    if given:
        raise ParameterError(f"--restore takes no parameters, and {next(iter(given))!r} is one")
    lines = restore_wcs(names, to=to, dry_run=dry_run)
    print("\n".join(line for line in lines if dry_run or not line.startswith("  ") or line.startswith("  WCSNAME ")))
    return 0


def _activate(name, names, given):
    """Bring a named WCS or headerlet back."""
    return _restore(True, names, given | {"to": name})


def _headerlets(_, names, given):
    """Print the solutions that files hold."""
    from imagereg.tasks.listing import list_solutions

    if given:
        raise ParameterError(f"--headerlets takes files and no parameters, but {next(iter(given))!r} is given")
    print("\n".join(list_solutions(names).pformat(max_lines=-1, max_width=-1)))
    return 0


def _compare(_, names, given):
    """Print how far the solutions that files hold are from the reference."""
    from imagereg.tasks.compare import compare_solutions, score_table

    scores = compare_solutions(names, **given)
    print("\n".join(score_table(scores).pformat(max_lines=-1, max_width=-1)))
    for line in dict.fromkeys(f"{score.file}: {score.reason}" for score in scores if score.reason):
        print(line)
    return 0 if all(score.nmatches for score in scores) else 1


def _apply(solution, names, given):
    """Put the solutions of an earlier run into headers, and tell which."""
    from imagereg.parameters.spec import ParameterSet
    from imagereg.tasks.apply import apply_solution

    dry_run = given.pop("dry_run", False)
    if strange := sorted(given.keys() - {"wcsname", "reusename"}):
        raise ParameterError(f"{strange[0]!r} has no meaning with --apply, expected wcsname or reusename")
    task = ParameterSet("tweakreg", given)
    report = apply_solution(solution, names, wcsname=task.wcsname, reusename=task.reusename, dry_run=dry_run)
    print("\n".join([*map(str, report), *(line for applied in report if dry_run for line in applied.differences)]))
    return 0 if all(applied.wcsname for applied in report) else 1


def _install_iraf(*_):
    """Make the tasks a package of IRAF's cl."""
    from imagereg.interfaces import iraf as iraf_package

    print(iraf_package.install(os.path.abspath(sys.argv[0])))
    print("Log in to cl again, then: imagereg")
    return 0


def _uninstall_iraf(*_):
    """Take away what `_install_iraf` made."""
    from imagereg.interfaces import iraf as iraf_package

    print(iraf_package.uninstall())
    return 0


def _align_for_cl(path, *_):
    """Align as a task of IRAF's cl."""
    from imagereg.interfaces import iraf as iraf_package

    return _told(iraf_package.align(path))


# What an option does in place of an alignment: a function of its value, of the file names and of the parameters.
_ACTIONS = {"help": _help, "lpar": _lpar, "dpar": _dpar, "savepars": _savepars, "unlearn": _unlearn,
            "completion": _completion, "epar": _epar, "apply": _apply, "restore": _restore,
            "activate": _activate, "headerlets": _headerlets, "compare": _compare,
            "install_iraf": _install_iraf, "uninstall_iraf": _uninstall_iraf, "clpars": _align_for_cl, "demo": _demo}

if __name__ == "__main__":
    sys.exit(main())
