"""Compare, byte for byte, what two revisions of the package write for the same images.

The demo's visit and the simulated cases of the work folder are aligned by the code of `--base` and by that of this
checkout, each on copies of its own: headers updated, headerlets, lists, shiftfile, plots. Dates, checksums and the
version of the package are blanked, then every file must be the same; of the log only the name is compared, since its
words are for people. Exit status 1 means that a file differs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
_MAIN = ("try:\n    from imagereg.interfaces import main\nexcept ImportError:\n    from imagereg.cli import main\n"
         "import sys\nsys.exit(main(sys.argv[1:]))")
_WORDS = ("updatehdr=yes", "headerlet=yes", "shiftfile=yes", "interactive=no", "expand_refcat=yes", "verbose=no")
_SETTINGS = {  # of the simulated cases, as in accuracy.py
    "wfc_moderate": ("threshold=50",),
    "wfc_mosaic": ("threshold=50", "enforce_user_order=no"),
    "wfc_bigshift": ("threshold=50", "searchrad=25", "fitgeometry=auto"),
    "ir_visits": ("threshold=10", "conv_width=2.5", "group=visit"),
    "ir_rotated": ("threshold=10", "conv_width=2.5"),
    "demo": ("threshold=10",),
}
# What may differ: times, days, checksums, the version of the package.
_VARYING = (
    (re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?"), rb"<time>"),
    (re.compile(rb"\d{4}-\d\d-\d\d|\d\d/\d\d/\d\d"), rb"<day>"),
    (re.compile(rb"\d\d:\d\d:\d\d"), rb"<time of day>"),
    (re.compile(rb"(CHECKSUM|DATASUM ) *= '[^']*'"), rb"<sum>"),
    (re.compile(rb"(HDU checksum|data unit checksum) updated"), rb"<sum>"),
    (re.compile(rb"(imagereg:? |tweakreg )\d+\.\d+\.\w+"), rb"<version>"),
)


def main():
    """Print a line for every case; return the exit status."""
    args = read_arguments()
    with tempfile.TemporaryDirectory(prefix="same-outputs-", dir=args.work) as scratch:
        base = exported(args.base, Path(scratch) / "base")
        verdicts = [is_same(case, base, Path(scratch) / case, args) for case in args.cases]
    return 0 if all(verdicts) else 1


def read_arguments():
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="HEAD~1", help="revision to compare with (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "imagereg-bench",
                        help="simulated cases are in WORK/s<seed>/<case> (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=202)
    parser.add_argument("--cases", nargs="+", choices=_SETTINGS, default=["demo"], metavar="CASE")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    return args


def exported(revision, folder):
    """Return a folder with the files of a revision."""
    folder.mkdir()
    archive = subprocess.run(["git", "-C", str(_CHECKOUT), "archive", revision], check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def is_same(case, base, scratch, args):
    """Align a case with both revisions and compare; print and return whether all files are the same."""
    scratch.mkdir()
    images = images_of(case, scratch, args)
    folders = {}
    for name, checkout in (("before", base), ("now", _CHECKOUT)):
        folders[name] = scratch / name
        folders[name].mkdir()
        for image in images:
            shutil.copy(image, folders[name])
        align(checkout, folders[name], _SETTINGS[case])
    differences = list(differing(folders["before"], folders["now"]))
    number = len(list(folders["now"].iterdir()))
    print(f"{case}: {number} files, {len(differences)} differ {' '.join(differences)}", flush=True)
    shutil.rmtree(scratch)
    return not differences


def images_of(case, scratch, args):
    """Return the images of a case."""
    if case != "demo":
        found = sorted((args.work / f"s{args.seed}" / case).glob("*flt.fits"))
        if not found:
            raise SystemExit(f"{args.work}/s{args.seed}/{case} is missing: accuracy.py makes it")
        return found
    sys.path.insert(0, str(_CHECKOUT / "lib"))
    from imagereg.demo import simulate_visit

    folder = scratch / "visit"
    folder.mkdir()
    return [Path(path) for path in simulate_visit(folder, seed=args.seed).files]


def align(checkout, folder, words):
    """Run tweakreg of a checkout on the images of a folder; images that fail are part of the comparison."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "lib")}
    command = [sys.executable, "-c", _MAIN, "*flt.fits", *_WORDS, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{checkout}: exit status {done.returncode}\n{done.stderr[-2000:]}")


def differing(before, now):
    """Yield the names of the files that differ, or that only one of two folders has."""
    names = {path.name for path in before.iterdir()} ^ {path.name for path in now.iterdir()}
    yield from sorted(names)
    for path in sorted(before.iterdir()):
        other = now / path.name
        if other.exists() and path.suffix != ".log" and blanked(path) != blanked(other):
            yield path.name


def blanked(path):
    """Return the content of a file without what may vary."""
    content = path.read_bytes()
    for pattern, replacement in _VARYING:
        content = pattern.sub(replacement, content)
    return content


if __name__ == "__main__":
    sys.exit(main())
