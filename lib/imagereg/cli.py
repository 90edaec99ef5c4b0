"""The command ``tweakreg``."""

from __future__ import annotations

import argparse
import os
import sys

from imagereg.errors import ImageregError, ParameterError
from imagereg.version import __version__

_USAGE = """tweakreg [FILE ...] [name=value ...] [name+ ...] [name- ...]

Align images: tweakreg 'j*flt.fits' threshold=50 updatehdr=yes
FILE is a name, a wildcard or an @list; without any, the parameter input is used. Parameters are those of
tweakreg and imagefindpars; names and choices may be abbreviated. The exit status is 0 when all images are aligned,
1 when not, 2 when a parameter or a file is wrong."""


def main(arguments=None):
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        What stands after the command's name; that of this process where not given.

    Returns
    -------
    int
        Exit status: 0 when all images are aligned, 1 when not, 2 for bad input.
    """
    parser = argparse.ArgumentParser("tweakreg", usage=_USAGE, add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--help", "-h", metavar="PARAMETER", nargs="?", const="",
                        help="print the help of the task, or of one parameter")
    parser.add_argument("--version", action="version", version=f"tweakreg {__version__}")
    parser.add_argument("--demo", metavar="FOLDER", nargs="?", const="tweakreg_demo",
                        help="simulate a small visit in FOLDER and align it")
    options = parser.parse_intermixed_args(arguments)
    try:
        return _dispatch(options)
    except ImageregError as error:
        print(f"tweakreg: {str(error).removeprefix('tweakreg: ')}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # a pager or head has seen enough
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print("tweakreg: interrupted", file=sys.stderr)
        return 130


def _dispatch(options):
    from imagereg import tweakreg

    given = _parameters([word for word in options.words if _is_parameter(word)])
    names = [word for word in options.words if not _is_parameter(word)]
    for name, action in _ACTIONS.items():
        if (value := getattr(options, name)) is not None:
            return action(value, names, given)
    result = tweakreg.TweakReg(names or None, **given)
    print(result)
    return 0 if result.ok else 1


def _is_parameter(word):
    """Whether a word is ``name=value``, ``name+`` or ``name-`` and not a file."""
    name = word.partition("=")[0] if "=" in word else word[:-1] if word[-1:] in "+-" else ""
    return name.isidentifier() and not os.path.exists(word)


def _parameters(words):
    """Parameters by full name."""
    from imagereg.params import Spec

    specs = Spec.load("tweakreg"), Spec.load("imagefindpars")
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            name, value = word[:-1], {"+": "yes", "-": "no"}[word[-1]]
        name = _full_name(name, specs)
        if values.setdefault(name, value) != value:
            raise ParameterError(f"parameter {name!r} is given as {values[name]!r} and as {value!r}")
    return values


def _full_name(name, specs):
    """Return the parameter that a name, an alias or an abbreviation stands for; an unknown one as it is."""
    for spec in specs:
        if name in spec:
            return spec[name].name
    known = sorted({known for spec in specs for known in spec.names if known.startswith(name)})
    if len(known) > 1:
        raise ParameterError(f"parameter {name!r} is ambiguous: {', '.join(known)}")
    return known[0] if known else name


def _help(name, *_):
    """Print the help of the task, or what it says of a parameter or a parameter set."""
    from imagereg import helptext
    from imagereg.params import Spec

    tasks = "tweakreg", "imagefindpars"
    if not name:
        print(f"{_USAGE}\n\n{helptext.task_help('tweakreg')}", end="")
    elif name in (*tasks, "refimagefindpars"):
        print(helptext.task_help(name), end="")
    else:
        specs = [Spec.load(task) for task in tasks]
        if not any(name in spec for spec in specs):
            name = _full_name(name, specs)
        known = [spec.task for spec in specs if name in spec] or tasks[:1]
        print("\n\n".join(f"{task}: {helptext.parameter_help(task, name)}" for task in known))
    return 0


def _demo(folder, _, given):
    """Simulate a visit, align it, and print what was found beside the truth."""
    from imagereg import demo, tweakreg

    if os.path.isdir(folder) and os.listdir(folder):
        raise ParameterError(f"the folder {folder} for the demo is not empty")
    visit = demo.simulate_visit(folder)
    before = visit.residuals()
    os.chdir(folder)
    chosen = {"threshold": 10, "updatehdr": True, "shiftfile": True, "interactive": False, **given}
    result = tweakreg.TweakReg([os.path.basename(path) for path in visit.files], **chosen)
    print(result, "\n\ntruth:")
    for index, alignment in enumerate(result.alignments):
        dx, dy, rot, scale = visit.expected_shift(index, result.plane.wcs)
        print(f"{alignment.name}  {dx:9.4f} {dy:9.4f} {rot:11.8f} {scale:10.8f}")
    after = visit.residuals([os.path.basename(path) for path in visit.files])
    print("\nrms against the first image, mas")
    print("before:", *(f"{rms:.2f}" for rms in before), "\nafter: ", *(f"{rms:.2f}" for rms in after))
    print(f"\nIn {folder}: the log tweakreg.log, the shifts shifts.txt, plots of every image as *.png")
    return 0 if result.ok else 1


# What an option does in place of an alignment: a function of its value, of the file names and of the parameters.
_ACTIONS = {"help": _help, "demo": _demo}

if __name__ == "__main__":
    sys.exit(main())
