"""What a rewrite of an image keeps, and two runs in one folder."""

import os
import time
from pathlib import Path

import pytest
import trials
from astropy.io import fits

FIRST, SECOND = "jdemo1aaq_flt.fits", "jdemo1abq_flt.fits"
UPDATE = (FIRST, SECOND, *trials.PLAIN, "writecat=no", "updatehdr=yes")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stays")
    trials.warm()
    trials.make_visit(folder / "new", n_exposures=4)
    return folder / "new"


@pytest.fixture
def work(originals, tmp_path):
    trials.fresh(tmp_path / "work", originals)
    return tmp_path / "work"


def updated(path):
    return fits.getheader(path, ("SCI", 1))["WCSNAME"] == "TWEAK"


def set_attribute(path, name, value):
    try:
        os.setxattr(path, name, value)
    except (AttributeError, OSError) as error:
        pytest.skip(f"no extended attributes here: {error}")


def test_extended_attributes_stay(work):
    set_attribute(work / SECOND, "user.note", b"checked by hand")
    assert trials.run(UPDATE, work).status == 0
    assert updated(work / SECOND)
    assert "user.note" in os.listxattr(work / SECOND)
    assert os.getxattr(work / SECOND, "user.note") == b"checked by hand"


def test_access_control_list_stays(work):
    """Another user (uid 1) may read and write: the list as Linux stores it, version 2."""
    entries = (
        (0x01, 6, 0xFFFFFFFF),
        (0x02, 6, 1),
        (0x04, 4, 0xFFFFFFFF),
        (0x10, 6, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    )
    packed = (2).to_bytes(4, "little") + b"".join(
        tag.to_bytes(2, "little") + mode.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, mode, who in entries
    )
    set_attribute(work / SECOND, "system.posix_acl_access", packed)
    assert trials.run(UPDATE, work).status == 0
    assert updated(work / SECOND)
    assert "system.posix_acl_access" in os.listxattr(work / SECOND)
    assert os.getxattr(work / SECOND, "system.posix_acl_access") == packed


def test_hard_link_is_kept_or_named(work):
    """Either both names have the new header, or the log says that they are parted."""
    os.link(work / SECOND, work / "other.fits")
    outcome = trials.run(UPDATE, work)
    assert outcome.status == 0 and updated(work / SECOND)
    log = (work / "tweakreg.log").read_text() + outcome.out + outcome.err
    named = any(SECOND in line and "link" in line for line in log.splitlines())
    assert named or os.path.samefile(work / SECOND, work / "other.fits")


def test_two_runs_in_one_folder(work, tmp_path):
    """The second is refused, or writes beside: log and solution file are those of one run."""

    def wait_when_writing():
        plain = os.fsync

        def waiting(descriptor):
            Path("writing").touch()
            while not os.path.exists("go on"):
                time.sleep(0.01)
            return plain(descriptor)

        os.fsync = waiting

    output = tmp_path / "output"
    output.mkdir()
    started = time.perf_counter()
    quiet = (*trials.PLAIN, "writecat=no")
    pid = trials.start((FIRST, SECOND, *quiet), work, output, prepare=wait_when_writing)
    try:
        while not (work / "writing").exists() and time.perf_counter() < started + 50:
            time.sleep(0.01)
        second = trials.run(("jdemo1acq_flt.fits", "jdemo1adq_flt.fits", *quiet), work)
    finally:
        (work / "go on").touch()
        first = trials.finish(pid, output, started=started)
    assert first.status == 0 and second.complaints() == []
    log, solution = ((work / f"tweakreg{end}").read_text() for end in (".log", "_solution.ecsv"))
    for text in (log, solution):
        assert SECOND in text and "jdemo1acq" not in text and "\0" not in text
    beside = [path for path in work.glob("*.ecsv") if "jdemo1acq" in path.read_text()]
    assert beside if second.status == 0 else second.status == 2
