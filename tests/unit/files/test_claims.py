"""Claims on many files, and on files that are going to be made."""

import multiprocessing
import resource
import subprocess
import sys
import time

import pytest

from imagereg.errors import InputError
from imagereg.files import atomic

CLAIM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[1])))
from imagereg.errors import InputError
from imagereg.files import Claim
try:
    with Claim(f"{number}.fits" for number in range(400)):
        print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except InputError as error:
    print(error)
"""


def claimed(folder, hard):
    """Claim 400 files where 64 may be open, and `hard` at most; return what is printed."""
    for number in range(400):
        (folder / f"{number}.fits").write_bytes(b"")
    command = [sys.executable, "-c", CLAIM, str(hard)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_more_files_than_may_be_open(tmp_path):
    assert int(claimed(tmp_path, 1000)) == 400 + 256


def test_more_files_than_can_be_open(tmp_path):
    said = claimed(tmp_path, 300)
    assert said.startswith("400 images need as many open files, of which 300 are allowed (ulimit -Hn)")


def test_the_limit_stays_where_it_is_enough(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with atomic.Claim([]):
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_a_reserved_name(tmp_path):
    path = str(tmp_path / "solution.ecsv")
    with atomic.reserved(path, "runfile"):
        with pytest.raises(InputError, match="solution.ecsv is going to be written by another run"):
            with atomic.reserved(path, "runfile"):
                pass
        with atomic.reserved(str(tmp_path / "other.ecsv"), "runfile"):
            pass
    assert list(tmp_path.iterdir()) == []
    with atomic.reserved(path, "runfile"):
        pass


def test_a_name_that_a_killed_run_reserved(tmp_path):
    (tmp_path / ".imagereg-solution.ecsv.tmp").write_bytes(b"")
    with atomic.reserved(str(tmp_path / "solution.ecsv"), "runfile"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    with atomic.reserved(str(tmp_path / "no" / "solution.ecsv"), "runfile"):
        pass


def _begin(begun):
    begun.set()
    time.sleep(60)


def test_a_process_that_was_forked_holds_no_claim(tmp_path):
    """Else the images of a run that was killed could not be claimed before its children end."""
    path = tmp_path / "a.fits"
    path.write_bytes(b"")
    processes = multiprocessing.get_context("fork")
    begun = processes.Event()
    with atomic.Claim([str(path)]):
        child = processes.Process(target=_begin, args=(begun,))
        child.start()
        begun.wait()
    try:
        with atomic.Claim([str(path)]):
            assert child.is_alive()
    finally:
        child.kill()
        child.join()
