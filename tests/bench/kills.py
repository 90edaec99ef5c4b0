"""Stop every command that writes images, by a signal at a random moment, and run it again.

The writers are an update of headers, headerlets that are attached, --apply, --restore and
--activate; the signals are SIGKILL, SIGTERM and SIGINT. Half of the signals come at any moment
of a run, half after its first temporary file has been seen. After each

- every image is readable, and has the pixels and the extensions that it had;
- no temporary file is left by SIGTERM or SIGINT, and none by SIGKILL once the run is repeated;
- SIGTERM and SIGINT end the run with exit status 128+n and one line on standard error;
- the same command, given again, succeeds and leaves what a run that nobody stops leaves; but for a
  restore that was stopped when all images were done: another one brings back what it has replaced.

1,000 kills take about half an hour on an idle machine. Exit status 1 means that something was
not so.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import trials

_UPDATE = ("*flt.fits", *trials.PLAIN, "writecat=no", "updatehdr=yes", "reusename=yes")
_HEADERLET = ("headerlet=yes", "attach=yes", "clobber=yes")
WRITERS = {
    "update": _UPDATE,
    "headerlet": (*_UPDATE[:-2], *_HEADERLET),
    "update and headerlet": (*_UPDATE, *_HEADERLET),
    "apply": ("--apply", "tweakreg_solution.ecsv", "reusename=yes"),
    "restore": ("--restore", "*flt.fits"),
    "activate": ("--activate", "TWEAK", "*flt.fits"),
}
_STEPS = ("restore",)  # which go another step where all is done
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


class Stage:
    """The folders that commands start from, and what each leaves when nobody stops it.

    Parameters
    ----------
    folder : Path
        Where all is made.
    writers : iterable of str
        Of `WRITERS`.
    **visit
        For `trials.make_visit`.
    """

    def __init__(self, folder, writers=WRITERS, **visit):
        self.folder, self.work = folder, folder / "work"
        self.names = trials.make_visit(folder / "new", **visit)
        self.spare = {name: trials.spare_hash(folder / "new" / name) for name in self.names}
        trials.fresh(folder / "solved", folder / "new")
        self._succeed(WRITERS["update"][:-2], folder / "solved")
        for made, writer in (("updated", "update"), ("attached", "headerlet")):
            trials.fresh(folder / made, folder / "new")
            self._succeed(WRITERS[writer], folder / made)
        self.expected, self.seconds, self.writing = {}, {}, {}
        for writer in writers:
            self.reset(writer)
            started, first = self.start(writer, until_writing=True)
            outcome = trials.finish(self.pid, self.output, started=started)
            if outcome.status:
                raise RuntimeError(f"{writer} fails when nobody stops it: {outcome.err}")
            self.seconds[writer] = outcome.seconds
            self.writing[writer] = outcome.seconds - first
            self.expected[writer] = self.solutions()

    def _succeed(self, words, folder):
        outcome = trials.run(words, folder)
        if outcome.status:
            raise RuntimeError(f"{' '.join(words)} fails: {outcome.err}")

    def reset(self, writer):
        """Put the files back that a command starts from."""
        start = {"apply": "solved", "restore": "updated", "activate": "attached"}
        trials.fresh(self.work, self.folder / start.get(writer, "new"))
        self.output = self.folder / "output"
        self.output.mkdir(exist_ok=True)

    def start(self, writer, *, until_writing=False):
        """Start a command; return when it was, and the seconds until its first temporary file."""
        started = time.perf_counter()
        self.pid = trials.start(WRITERS[writer], self.work, self.output)
        while not trials.handles(self.pid, signal.SIGTERM) and not trials.ended(self.pid):
            time.sleep(0.001)
        while until_writing and not self.leftovers() and not trials.ended(self.pid):
            time.sleep(0.001)
        return started, time.perf_counter() - started

    def leftovers(self):
        """Return the names of temporary files."""
        return sorted(path.name for path in self.work.glob(".*"))

    def solutions(self):
        """Return what each image knows of the sky."""
        return {name: trials.solutions(self.work / name) for name in self.names}

    def spoilt(self):
        """Return complaints about images that lost something."""
        said = []
        for name in self.names:
            try:
                if trials.spare_hash(self.work / name) != self.spare[name]:
                    said.append("an image lost pixels or an extension")
            except Exception as error:  # whatever it is, the file is not readable
                said.append(f"an image can't be read: {error}")
        return said


def kill(stage, writer, number, rng):
    """Stop a command once and repeat it; return complaints, and whether it was stopped in time."""
    stage.reset(writer)
    writing = rng.random() < 0.5
    started, _ = stage.start(writer, until_writing=writing)
    time.sleep(rng.uniform(0, (stage.writing if writing else stage.seconds)[writer]))
    os.kill(stage.pid, number)
    outcome = trials.finish(stage.pid, stage.output, started=started)
    said = stage.spoilt()
    in_time = outcome.status != 0
    if in_time and number != signal.SIGKILL:
        said += outcome.complaints(status=(128 + number,))
        if (count := len(outcome.err.splitlines())) != 1:
            said.append(f"{count} lines on standard error, expected one: {outcome.err[-2000:]}")
    if number != signal.SIGKILL and stage.leftovers():
        said.append(f"left {stage.leftovers()[0]}")
    is_over = writer in _STEPS and not _undone(stage, writer)
    if in_time and not is_over:
        said += [f"repeated: {complaint}" for complaint in _repeat(stage, writer)]
    return said, in_time


def _repeat(stage, writer):
    """Run a command again that was stopped; return complaints."""
    outcome = trials.run(WRITERS[writer], stage.work)
    if outcome.status:
        return [f"exit status {outcome.status}: {outcome.err.strip()[:200]}"]
    return stage.spoilt() + _undone(stage, writer) + [f"left {name}" for name in stage.leftovers()]


def _undone(stage, writer):
    """Return in what images differ from those that a run leaves which nobody stops."""
    said = []
    for name, expected in stage.expected[writer].items():
        found = trials.solutions(stage.work / name)
        if not trials.same_solutions(found, expected):
            said.append(f"{name} has {_short(found)}, expected {_short(expected)}")
    return said


def _short(found):
    """Return the names that a file has, in few words."""
    primary = found["primary"][0]
    return f"{primary[0]} at {primary[1]:.7f} of {found['names'][0]}, {found['headerlets']}"


def main():
    """Print what was found; return the exit status."""
    parser = trials.parser(__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="how often (default: 1000)")
    parser.add_argument("--writer", choices=WRITERS, action="append", help="only this one")
    args = parser.parse_args()
    trials.warm()
    rng, tally, in_time = random.Random(args.seed), trials.Tally(), 0
    writers = args.writer or list(WRITERS)
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), writers)
        for trial in trials.numbered(args.kills, args.minutes):
            writer = writers[trial % len(writers)]
            number = SIGNALS[trial // len(writers) % len(SIGNALS)]
            said, stopped = kill(stage, writer, number, rng)
            tally.add(f"{writer}, {number.name}", said, f"kill {trial}")
            in_time += stopped
    print(f"{in_time} of {tally.trials} runs were stopped before their end")
    return tally.report()


if __name__ == "__main__":
    sys.exit(main())
