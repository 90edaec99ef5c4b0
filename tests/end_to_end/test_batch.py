"""Many visits in one go: isolated, remembered, and done once, here and on a cluster."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from astropy.io import fits
from astropy.table import Table

from imagereg.errors import InputError, ParameterError
from imagereg.tasks.batch.process import align_visit, stop_servers
from imagereg.tasks.batch.run import batch_outcomes, run_batch
from imagereg.tasks.batch.state import Outcome, State
from imagereg.tasks.batch.visits import Visit, read_visits

QUICK = {"threshold": 10, "see2dplot": False, "residplot": "No plot"}
COMMAND = [sys.executable, "-m", "imagereg", "--batch"]


@pytest.fixture
def archive(small_visit, tmp_path, monkeypatch):
    """Two visits, one with a broken image, and one that has nothing else."""
    monkeypatch.chdir(tmp_path)
    for name, images in {"a": small_visit.files[:2], "b": small_visit.files, "c": small_visit.files[:1]}.items():
        Path("archive", name).mkdir(parents=True)
        for image in images:
            os.link(image, f"archive/{name}/{Path(image).name}")  # replaced and never written to
    for broken in Path("archive/b/jdemo1acq_flt.fits"), Path("archive/c/jdemo1aaq_flt.fits"):
        broken.unlink()
        broken.write_text("no image")
    yield Path("archive")
    stop_servers()


def statuses(outcomes):
    return {name: outcome.status for name, outcome in outcomes.items()}


def test_a_visit_that_goes_wrong_stops_no_other_and_all_are_remembered(archive):
    expected = {"a": "aligned", "b": "not aligned", "c": "failed"}
    assert statuses(run_batch("archive", **QUICK)) == expected
    assert statuses(batch_outcomes("archive")) == expected
    summary = Table.read("archive_batch/summary.ecsv")
    assert list(summary["visit"]) == ["a", "b", "c"] and list(summary["n_aligned"]) == [2, 2, 0]
    page = Path("archive_batch/index.html").read_text()
    assert "1 of 3 visits aligned, 1 failed, 1 not aligned" in page and 'href="a/tweakreg.log"' in page
    assert "2 of 2 images aligned" in Path("archive_batch/a/tweakreg_output.txt").read_text()

    log = Path("archive_batch/a/tweakreg.log")
    log.unlink()
    failed_log = Path("archive_batch/b/tweakreg.log")
    failed_log.unlink()
    assert statuses(run_batch("archive", **QUICK)) == expected
    assert not log.exists() and not failed_log.exists()  # nothing was left to do
    assert statuses(run_batch("archive", again=True, **QUICK)) == expected
    assert not log.exists() and failed_log.exists()


def test_what_is_asked_for_anew_is_done_anew(tmp_path):
    with State(str(tmp_path / "state.sqlite")) as state:
        visits = [Visit.of(name, ["*.fits"], {"threshold": 10}, ".") for name in "abcdef"]
        assert state.plan(visits) == visits
        for visit, status in zip(visits, ["aligned", "failed", "not aligned"], strict=False):
            state.finish(visit, Outcome(status))
        assert state.plan(visits) == visits[3:]
        assert state.plan(visits, again=True) == visits[1:]
        state.finish(visits[1], Outcome("aligned"))
        others = [Visit.of(name, ["*.fits"], {"threshold": 11}, ".") for name in "ab"]
        assert state.plan([*others, *visits[2:]]) == [*others, *visits[2:]]


def test_a_list_and_a_table_have_parameters_for_each_visit(archive, tmp_path):
    Path("stars.cat").write_text("1 2")
    Path("lists").mkdir()
    Path("lists/visits.txt").write_text("# two visits\n\n../archive/a/*.fits threshold=20\n"
                                        "'../archive/c/x y.fits' refcat=stars.cat\n")
    first, second = read_visits("lists/visits.txt", {"threshold": "10", "nclip": 5})
    assert (first.name, first.files) == ("visit0001", [f"{tmp_path}/archive/a/*.fits"])
    task, finding, _ = first.parameter_sets()
    assert (finding.threshold, task.nclip) == (20.0, 5)
    assert second.files == [f"{tmp_path}/archive/c/x y.fits"]
    assert second.parameter_sets()[0].refcat == f"{tmp_path}/stars.cat"
    Path("visits.csv").write_text("visit,input,threshold,searchrad\nm 31,archive/a/*.fits,20,\n,archive/b/*.fits,,2\n")
    first, second = read_visits("visits.csv", {"threshold": 10})
    assert [first.name, second.name] == ["m_31", "visit0002"]
    assert [visit.parameter_sets()[1].threshold for visit in (first, second)] == [20, 10]
    assert [visit.parameter_sets()[0].searchrad for visit in (first, second)] == [1, 2]


@pytest.mark.parametrize(("text", "error", "words"), [
    ("a.fits threshhold=3", ParameterError, "visit0001 of visits.txt: .*threshold"),
    ("threshold=3", InputError, "names no images for visit0001"),
    ("# nothing", InputError, "has no visits"),
])
def test_a_wrong_list_is_refused(text, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("visits.txt").write_text(text)
    with pytest.raises(error, match=words):
        run_batch("visits.txt")
    assert not Path("visits_batch").exists()


def test_two_visits_may_not_change_one_image(archive):
    Path("visits.txt").write_text("archive/a/*.fits\narchive/a/jdemo1aaq_flt.fits archive/c/*.fits\n")
    with pytest.raises(InputError, match="jdemo1aaq_flt.fits is in the visits visit0001 and visit0002"):
        run_batch("visits.txt", updatehdr=True)


def until(condition, seconds=120):
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def test_a_killed_run_is_a_failed_visit_and_its_server_does_the_next(archive):
    visit = Visit.of("a", ["archive/a/*.fits"], QUICK, ".")
    stop_servers()
    others = {*psutil.Process().children()}  # of other tests, ended or not
    assert align_visit(visit, str(archive / "out")).status == "aligned"
    server, = {*psutil.Process().children()} - others
    with ThreadPoolExecutor(1) as thread:
        thread.submit(align_visit, visit, str(archive / "out")).result()  # starts a server of its own
        other, = {*psutil.Process().children()} - others - {server}
        future = thread.submit(align_visit, visit, str(archive / "out"))
        until(other.children)[0].kill()
        assert future.result() == Outcome("failed", "its process was ended (SIGKILL)")
        assert thread.submit(align_visit, visit, str(archive / "out")).result().status == "aligned"
    stop_servers()
    assert not server.is_running() and not other.is_running()


def command(*more):
    words = [f"{name}={value}" for name, value in QUICK.items()]
    return subprocess.Popen([*COMMAND, "archive", *words, "updatehdr=yes", *more], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def visits(small_visit, tmp_path, monkeypatch):
    """Six visits of two images: one that is ended finishes those in work."""
    monkeypatch.chdir(tmp_path)
    for name in "abcdef":
        Path("archive", name).mkdir(parents=True)
        for image in small_visit.files[:2]:
            shutil.copy(image, f"archive/{name}")
    return [Path("archive", name) for name in "abcdef"]


def n_done():
    """Return how many visits of the batch are aligned."""
    with contextlib.suppress(InputError):
        return list(statuses(batch_outcomes("archive")).values()).count("aligned")
    return 0


def assert_all_whole(visits):
    """Every image has been updated once, and nothing else is left beside it."""
    for folder in visits:
        assert sorted(path.name for path in folder.iterdir()) == ["jdemo1aaq_flt.fits", "jdemo1abq_flt.fits"]
        assert fits.getheader(folder / "jdemo1abq_flt.fits", 1)["WCSNAME"] == "TWEAK"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_batch_that_is_ended_goes_on_where_it_stopped(number, visits):
    first = command()
    until(n_done)
    workers = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(number)
    first.communicate()
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    before = n_done()
    assert 1 <= before < len(visits)
    finished = {path: path.stat().st_mtime_ns for path in Path("archive_batch").glob("*/tweakreg.log")
                if "2 of 2 images aligned" in "".join(path.read_text().splitlines()[-1:])}  # it may be empty
    second = command()
    said, _ = second.communicate()
    assert second.returncode == 0 and said.startswith("6 of 6 visits aligned"), said
    again = [path for path, time_ns in finished.items() if path.stat().st_mtime_ns != time_ns]
    assert len(again) <= 2  # those that had ended and were not noted yet
    assert_all_whole(visits)


def test_workers_of_a_cluster_may_be_killed(visits, tmp_path):
    pytest.importorskip("distributed")
    cluster = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
               "--no-dashboard", "--scheduler-file", "scheduler.json"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", "scheduler.json", "--no-nanny",
              "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path / "dask")]
    processes = []
    try:
        with open("cluster.txt", "w") as output:
            for line in (cluster, worker, worker):
                processes.append(subprocess.Popen(line, stdout=output, stderr=output))
        until(lambda: Path("scheduler.json").exists() and Path("scheduler.json").read_text())
        batch = command("--scheduler", json.loads(Path("scheduler.json").read_text())["address"])
        until(n_done)
        processes[1].kill()
        said, _ = batch.communicate(timeout=60)
        # Where the worker had a result that was not fetched yet, dask warns of that first.
        assert batch.returncode == 0 and "6 of 6 visits aligned" in said.splitlines(), said
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert_all_whole(visits)
