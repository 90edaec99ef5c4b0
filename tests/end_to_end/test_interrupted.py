"""Work that was interrupted, or is given twice, is completed; signals leave nothing half done.

Some cases of tests/bench/kills.py, which stops every writer at random moments, and what it
can't choose.
"""

import multiprocessing
import os
import random
import shutil
import signal
import threading
from pathlib import Path

import kills
import pytest
import trials
from astropy.io import fits

from imagereg.tasks import parallel

APPLY = ["--apply", "tweakreg_solution.ecsv", "reusename=yes"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    trials.warm()
    return kills.Stage(tmp_path_factory.mktemp("kills"), ["update", "update and headerlet"])


@pytest.mark.parametrize("writer", ["update", "update and headerlet"])
def test_killed(stage, writer):
    rng = random.Random(3)
    for _ in range(3):
        said, _ = kills.kill(stage, writer, signal.SIGKILL, rng)
        assert said == []


def interrupt(number, call):
    """Return a function after which the first call of a function of `os` sends a signal."""

    def prepare():
        plain = getattr(os, call)

        def interrupted(*words, **named):
            setattr(os, call, plain)
            os.kill(os.getpid(), number)
            return plain(*words, **named)

        setattr(os, call, interrupted)

    return prepare


def stopped(stage, number, call, writer="update"):
    stage.reset(writer)
    return trials.run(kills.WRITERS[writer], stage.work, prepare=interrupt(number, call))


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_while_writing(stage, number):
    """Images are whole, no temporary file is left, one line is said, a second run succeeds."""
    outcome = stopped(stage, number, "fsync")
    assert outcome.complaints(status=(128 + number,)) == []
    assert len(outcome.err.splitlines()) == 1
    assert stage.spoilt() == [] and stage.leftovers() == []
    assert trials.run(kills.WRITERS["update"], stage.work).status == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_while_an_image_is_written(stage, number):
    """The solution file is renamed first: the second rename is that of an image."""

    def prepare():
        plain = os.replace

        def second(*words, **named):
            os.replace = plain
            interrupt(number, "replace")()
            return plain(*words, **named)

        os.replace = second

    stage.reset("update")
    outcome = trials.run(kills.WRITERS["update"], stage.work, prepare=prepare)
    assert outcome.complaints(status=(128 + number,)) == []
    assert stage.spoilt() == [] and stage.leftovers() == []


def test_signal_that_becomes_another_error(stage):
    """A signal in the start of a thread can end it by "release unlocked lock" (CPython 3.11)."""

    def prepare():
        plain = threading.Thread.start

        def start(thread):
            if multiprocessing.parent_process():  # which starts one while signals are blocked
                return plain(thread)
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                raise RuntimeError("release unlocked lock")

        threading.Thread.start = start

    stage.reset("update")
    outcome = trials.run(kills.WRITERS["update"], stage.work, prepare=prepare)
    assert outcome.complaints(status=(128 + signal.SIGTERM,)) == []


# The same command again


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """Make a folder `new` of images with a solution file, and one `updated` by that solution."""
    folder = tmp_path_factory.mktemp("solved")
    trials.warm()
    names = trials.make_visit(folder / "new")
    assert trials.run(["*flt.fits", *trials.PLAIN, "writecat=no"], folder / "new").status == 0
    trials.fresh(folder / "updated", folder / "new")
    assert trials.run(APPLY, folder / "updated").status == 0
    return folder, names


def mixed(solved, work, start, done):
    """Copy a folder, its second image from the folder where the work is done."""
    folder, names = solved
    trials.fresh(work, folder / start)
    shutil.copy(folder / done / names[1], work)
    return names


def test_apply_after_a_kill(solved, tmp_path):
    names = mixed(solved, tmp_path / "work", "new", "updated")
    outcome = trials.run(APPLY, tmp_path / "work")
    assert outcome.status == 0
    assert {fits.getheader(tmp_path / "work" / name, ("SCI", 1))["WCSNAME"] for name in names} == {
        "TWEAK"
    }


def test_restore_after_a_kill(solved, tmp_path):
    folder, names = solved
    trials.fresh(tmp_path / "work", folder / "updated")
    assert trials.run(["--restore", names[0]], tmp_path / "work").status == 0
    outcome = trials.run(["--restore", "*flt.fits"], tmp_path / "work")
    assert outcome.status == 0
    assert {fits.getheader(tmp_path / "work" / name, ("SCI", 1))["WCSNAME"] for name in names} == {
        "DEMO_IDC"
    }


def primary_names(work, names):
    return {fits.getheader(work / name, ("SCI", 1))["WCSNAME"] for name in names}


def at_the_end(number):
    """Return a function after which a restore gets a signal when its last file is written."""

    def prepare():
        plain = os.unlink

        def signalled(path, *words, **named):
            if "restore" in os.path.basename(path):
                os.kill(os.getpid(), number)
            return plain(path, *words, **named)

        os.unlink = signalled

    return prepare


def test_restore_killed_after_its_last_file(solved, tmp_path):
    """The same command completes it; only the one after that takes it back."""
    folder, names = solved
    work = tmp_path / "work"
    trials.fresh(work, folder / "updated")
    words = ["--restore", "*flt.fits"]
    killed = trials.run(words, work, prepare=at_the_end(signal.SIGKILL))
    assert killed.status == 128 + signal.SIGKILL
    assert primary_names(work, names) == {"DEMO_IDC"}
    repeated = trials.run(words, work)
    assert repeated.status == 0 and repeated.out.count("has the WCS DEMO_IDC already") == 3
    assert primary_names(work, names) == {"DEMO_IDC"} and not list(work.glob(".*"))
    assert trials.run(words, work).status == 0
    assert primary_names(work, names) == {"TWEAK"}


def test_signal_while_the_note_of_a_restore_is_written(solved, tmp_path):
    """The note is the first file that is renamed; the signal comes when that is done."""
    folder, names = solved
    work = tmp_path / "work"
    trials.fresh(work, folder / "updated")

    def prepare():
        plain = os.replace

        def then_stopped(*words, **named):
            os.replace = plain
            plain(*words, **named)
            os.kill(os.getpid(), signal.SIGINT)

        os.replace = then_stopped

    outcome = trials.run(["--restore", "*flt.fits"], work, prepare=prepare)
    assert outcome.complaints(status=(128 + signal.SIGINT,)) == []
    assert primary_names(work, names) == {"TWEAK"} and not list(work.glob(".*"))


def test_signal_to_a_restore_that_becomes_another_error(solved, tmp_path):
    """Where all files in work are finished then, it comes too late as well."""
    folder, names = solved
    work = tmp_path / "work"
    trials.fresh(work, folder / "updated")

    def prepare():
        def wait(_, **options):
            try:
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                raise RuntimeError("release unlocked lock")

        parallel.wait = wait

    outcome = trials.run(["--restore", "*flt.fits"], work, prepare=prepare)
    is_done = primary_names(work, names) == {"DEMO_IDC"}
    assert outcome.complaints(status=(0 if is_done else 128 + signal.SIGINT,)) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_to_a_restore_that_is_done(solved, tmp_path, number):
    """It does not change the exit status, up to the end of the process: repeating would undo."""
    folder, names = solved
    work = tmp_path / "work"
    trials.fresh(work, folder / "updated")

    def prepare():
        at_the_end(number)()
        trials._wait_for_threads = lambda: os.kill(os.getpid(), number)

    outcome = trials.run(["--restore", "*flt.fits"], work, prepare=prepare)
    assert outcome.complaints(status=(0,)) == [] and "DEMO_IDC" in outcome.out
    assert primary_names(work, names) == {"DEMO_IDC"} and not list(work.glob(".*"))


def test_a_note_of_files_that_were_changed_since_does_not_count(solved, tmp_path):
    folder, names = solved
    work = tmp_path / "work"
    trials.fresh(work, folder / "updated")
    trials.run(["--restore", "*flt.fits"], work, prepare=at_the_end(signal.SIGKILL))
    for words in ([*APPLY[:-1], "wcsname=OTHER"], ["--activate", "TWEAK", "*flt.fits"]):
        assert trials.run(words, work).status == 0
    assert trials.run(["--restore", "*flt.fits"], work).status == 0
    assert primary_names(work, names) == {"OTHER"} and not list(work.glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_restore_interrupted_while_its_last_files_are_written(solved, tmp_path, number):
    """Files in work are finished, be that all of them; the same command completes the restore."""
    folder, names = solved
    work = tmp_path / "work"
    trials.fresh(work, folder / "updated")

    def prepare():
        plain = os.replace
        count = iter(range(9))

        def second(*words, **named):  # the first file of all is the note
            if next(count) == 1:
                os.kill(os.getpid(), number)
            return plain(*words, **named)

        os.replace = second

    outcome = trials.run(["--restore", "*flt.fits"], work, prepare=prepare)
    assert outcome.complaints(status=(0, 128 + number)) == [] and not list(work.glob(".*"))
    if outcome.status:
        assert primary_names(work, names) <= {"DEMO_IDC", "TWEAK"}
    if "TWEAK" in primary_names(work, names):
        assert outcome.status
        assert trials.run(["--restore", "*flt.fits"], work).status == 0
    assert primary_names(work, names) == {"DEMO_IDC"}


@pytest.mark.parametrize(
    "words",
    [
        APPLY,
        ["--activate", "DEMO_IDC", "*flt.fits"],
        ["*flt.fits", *trials.PLAIN, "writecat=no", "updatehdr=yes", "reusename=yes"],
        ["*flt.fits", *trials.PLAIN, "writecat=no", "headerlet=yes", "clobber=yes"],
    ],
    ids=["apply", "activate", "update", "headerlet"],
)
def test_given_twice(solved, tmp_path, words):
    """The second time nothing changes: no alternate WCS and no headerlet more."""
    folder, names = solved
    work = tmp_path / "work"
    trials.fresh(work, folder / ("updated" if "--activate" in words else "new"))
    assert trials.run(words, work).status == 0
    first = {name: trials.solutions(work / name) for name in names}
    outcome = trials.run(words, work)
    assert outcome.status == 0, outcome.err
    for name in names:
        assert trials.same_solutions(trials.solutions(work / name), first[name])


def spoil_card(path, keyword):
    """Put a byte that is not ASCII into a card."""
    content = path.read_bytes()
    at = content.index(keyword.ljust(8).encode() + b"= '")
    path.write_bytes(content[: at + 11] + b"\xe9" + content[at + 12 :])


def test_restore_of_an_archive_that_can_not_be_read(solved, tmp_path):
    folder, names = solved
    work = tmp_path / "work"
    trials.fresh(work, folder / "updated")
    spoil_card(work / names[1], "WCSNAMEA")
    outcome = trials.run(["--restore", "*flt.fits"], work)
    assert outcome.complaints(status=(2,)) == [] and names[1] in outcome.err and "WCSNAMEA" in outcome.err


WRITE = {
    "update": ["*flt.fits", *trials.PLAIN, "writecat=no", "updatehdr=yes"],
    "headerlet": ["*flt.fits", *trials.PLAIN, "writecat=no", "headerlet=yes"],
    "apply": APPLY,
}


@pytest.mark.parametrize(
    "writer, keyword",
    [
        ("update", "TARGNAME"),
        ("update", "BUNIT"),
        ("headerlet", "TARGNAME"),
        ("headerlet", "BUNIT"),
        ("apply", "TARGNAME"),
        ("apply", "BUNIT"),
    ],
)
def test_header_that_can_not_be_written(solved, tmp_path, writer, keyword):
    """It is found before the first file is written, or it costs its own image only."""
    folder, names = solved
    work = tmp_path / "work"
    trials.fresh(work, folder / "new")
    spoil_card(work / names[2], keyword)
    before = {name: trials.digest(work / name) for name in names}
    outcome = trials.run(WRITE[writer], work)
    after = {name: trials.digest(work / name) for name in names}
    if outcome.status == 2:
        assert after == before and names[2] in outcome.err
    else:
        assert all(after[name] != before[name] for name in names[:2])
    assert outcome.complaints() == []
    assert not list(Path(work).glob(".*"))
