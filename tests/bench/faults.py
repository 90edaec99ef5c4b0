"""Let every write fail in turn: a full disk (ENOSPC), a broken one (EIO), a size limit.

A run that updates headers, attaches headerlets and writes all its lists and plots is repeated;
each time another of its writes fails, alone (EIO) or with all that follow (ENOSPC). What counts
as a write is each call of `write` on a file that Python opened, of `os.write`,
`os.copy_file_range`, `os.fsync`, `os.replace` and `os.rename`; they are watched inside the
process, so that no privileges are needed. RLIMIT_FSIZE reaches what is written from C.

- Every image is whole, and either old or new; no temporary file is left; there is no traceback.
- The exit status is 0 and all is done, or it is 2 with one line on standard error.
- A side channel (the log, standard output) changes neither exit status nor headers.

Exit status 1 means that something was not so.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import sys
import tempfile
from pathlib import Path

import trials

WORDS = (
    "*flt.fits",
    "threshold=10",
    "minobj=10",
    "interactive=no",
    "updatehdr=yes",
    "headerlet=yes",
    "shiftfile=yes",
    "residplot=vector",
    "see2dplot=no",
)
LOG = "tweakreg.log"
_CALLS = ("write", "copy_file_range", "fsync", "replace", "rename")


class Disk:
    """A disk on which writes fail.

    Parameters
    ----------
    number : int
        The errno.
    first, last : int
        Numbers of the writes that fail, counted from 1, with those between them.
    only : str, optional
        Only writes to a file of this name count.
    note : path, optional
        File that gets one byte for each write that counts.
    """

    def __init__(self, number, first, last, *, only=None, note=None):
        self.number, self.first, self.last = number, first, last
        self.only, self.count = only, 0
        self.note = os.open(note, os.O_WRONLY | os.O_CREAT) if note else None

    def touch(self, name):
        """Count a write, or let it fail."""
        if self.only and os.path.basename(str(name)) != self.only:
            return
        self.count += 1
        if self.note:
            self._write(self.note, b"x")
        if self.first <= self.count <= self.last:
            raise OSError(self.number, os.strerror(self.number))

    def mount(self):
        """Put this disk under all that this process opens from now on."""
        self._write = os.write
        for call in _CALLS:
            setattr(os, call, self._watched(getattr(os, call)))
        io.open = builtins.open = self._open(io.open)

    def _watched(self, function):
        def watched(*words, **named):
            self.touch(words[0])
            return function(*words, **named)

        return watched

    def _open(self, plain_open):
        disk = self

        class File(io.FileIO):
            def write(self, content):
                disk.touch(self.name)
                return super().write(content)

        def watched_open(
            file,
            mode="r",
            buffering=-1,
            encoding=None,
            errors=None,
            newline=None,
            closefd=True,
            opener=None,
        ):
            if not set("wax+") & set(mode):
                return plain_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = File(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            if buffering == 0:
                return raw
            binary = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
            if "b" in mode:
                return binary
            return io.TextIOWrapper(binary, encoding, errors, newline, buffering == 1)

        return watched_open


class Stage:
    """Images, and what the run makes of them when nothing fails."""

    def __init__(self, folder, **visit):
        self.folder, self.work = folder, folder / "work"
        self.names = trials.make_visit(folder / "new", **visit)
        self.spare = {name: trials.spare_hash(folder / "new" / name) for name in self.names}
        self.old = {name: trials.digest(folder / "new" / name) for name in self.names}
        outcome = self.run(None)
        if outcome.status:
            raise RuntimeError(f"the run fails by itself: {outcome.err}")
        self.new = self.solutions()

    def run(self, prepare, words=WORDS):
        """Run on new copies."""
        trials.fresh(self.work, self.folder / "new")
        return trials.run(words, self.work, prepare=prepare)

    def solutions(self):
        """Return what each image knows of the sky."""
        return {name: trials.solutions(self.work / name) for name in self.names}

    def count(self, only=None):
        """Return how many writes a run makes."""
        note = self.folder / "note"
        note.unlink(missing_ok=True)
        self.run(Disk(errno.EIO, 0, 0, only=only, note=note).mount)
        return note.stat().st_size if note.exists() else 0

    def complaints(self, outcome, *, side_channel=False):
        """Return what is wrong with a run in which something failed."""
        said = outcome.complaints(status=(0,) if side_channel else (0, 2))
        for name in self.names:
            try:
                if trials.spare_hash(self.work / name) != self.spare[name]:
                    said.append("an image lost pixels or an extension")
                elif trials.digest(self.work / name) != self.old[name]:
                    self._compare(name, said)
                elif outcome.status == 0 or side_channel:
                    said.append("an image was not updated")
            except Exception as error:  # whatever it is, the file is not readable
                said.append(f"an image can't be read: {error}")
        said += [f"left {path.name}" for path in self.work.glob(".*")]
        return said

    def _compare(self, name, said):
        found = trials.solutions(self.work / name)
        if not trials.same_solutions(found, self.new[name]):
            said.append(f"an image is neither old nor new: {found}")


def full_output():
    """Make standard output /dev/full."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def limited(size):
    """Return a function that lets no file of this process become larger than a size, bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def side_channels(stage):
    """Yield (case, complaints) for the log and the standard output."""
    yield "stdout is /dev/full", stage.complaints(stage.run(full_output), side_channel=True)
    outcome = stage.run(full_output, [*WORDS, "verbose=yes"])
    yield "verbose, stdout is /dev/full", stage.complaints(outcome, side_channel=True)
    outcome = stage.run(None, [*WORDS, "runfile=/dev/full"])
    yield "runfile=/dev/full", stage.complaints(outcome, side_channel=True)
    for first in range(1, stage.count(LOG) + 1):
        for name in ("ENOSPC", "EIO"):
            outcome = stage.run(Disk(getattr(errno, name), first, 10**9, only=LOG).mount)
            yield (
                f"{name} at write {first} to the log",
                stage.complaints(outcome, side_channel=True),
            )


def main():
    """Print what was found; return the exit status."""
    parser = trials.parser(__doc__)
    parser.add_argument("--step", type=int, default=1, help="try every STEP-th write (default: 1)")
    args = parser.parse_args()
    trials.warm()
    tally = trials.Tally()
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        for case, said in side_channels(stage):
            tally.add("side channels", said, case)
        total = stage.count()
        print(f"{total} writes")
        for first in range(1, total + 1, args.step):
            for kind, number, last in (("ENOSPC", errno.ENOSPC, 10**9), ("EIO", errno.EIO, first)):
                outcome = stage.run(Disk(number, first, last).mount)
                tally.add(kind, stage.complaints(outcome), f"write {first}")
        for size in (4000, 10_000, 40_000, 100_000, 400_000, 800_000):
            outcome = stage.run(limited(size))
            tally.add("RLIMIT_FSIZE", stage.complaints(outcome), f"{size} bytes")
    return tally.report()


if __name__ == "__main__":
    sys.exit(main())
