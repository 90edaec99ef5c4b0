"""Work on several cores: the same results as on one, and nothing left of the processes."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from threadpoolctl import threadpool_info

from imagereg.errors import InputError
from imagereg.tasks.finding import Detection
from imagereg.tasks.parallel import mapped, write_each

PARENT = os.getpid()
log = logging.getLogger("imagereg.tests")


def square(number):
    log.info("item %d", number)
    return number, number**2, os.getpid()


@pytest.mark.parametrize("cores", [1, 2, 3, None])
def test_results_and_log_are_in_order_for_any_number_of_cores(cores, caplog, alone):
    with caplog.at_level(logging.INFO, "imagereg"):
        results = list(mapped(square, range(8), cores))
    assert [result[:2] for result in results] == [(n, n**2) for n in range(8)]
    assert caplog.messages == [f"item {n}" for n in range(8)]
    number = cores or len(os.sched_getaffinity(0))
    assert ({pid for *_, pid in results} == {PARENT}) == (number == 1)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("cores", [1, 2])
def test_what_the_parent_does_meanwhile_keeps_nobody_waiting(cores, tmp_path, alone):
    """More results than a pipe holds are made before the first one is taken."""
    done = tmp_path / "done"
    done.touch()

    def fill(number):
        with done.open("ab") as file:
            file.write(b".")
        return bytes(10**6)

    def wait_for_all():
        patience = time.monotonic() + 5
        while done.stat().st_size < 4 and time.monotonic() < patience:
            time.sleep(0.01)
        (tmp_path / f"seen {done.stat().st_size}").touch()

    assert list(map(len, mapped(fill, range(4), cores, wait_for_all))) == 4 * [10**6]
    assert (tmp_path / "seen 4").exists() == (cores > 1)


@pytest.mark.parametrize(("cores", "number"), [(1, 2), (2, 0), (2, 1), (2, 2)])
def test_what_is_done_meanwhile_is_done_once_and_beside_a_single_piece_too(cores, number, alone):
    done = []
    results = list(mapped(square, range(number), cores, lambda: done.append(os.getpid())))
    assert done == [PARENT]
    assert {pid == PARENT for *_, pid in results} == ({cores == 1} if number else set())


def test_an_error_is_raised_where_it_belongs(alone):
    def fail(number):
        if number == 3:
            raise ValueError("item 3")
        return number

    results = mapped(fail, range(6), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(results)
    assert not multiprocessing.active_children()


def test_the_work_of_a_killed_process_is_done(alone):
    def die(number):
        if number == 1 and os.getpid() != PARENT:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert list(mapped(die, range(6), 2)) == list(range(6))


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_system_that_refuses_processes(allowed, alone, monkeypatch):
    """As where a limit for each user is reached: there are fewer, or none."""
    plain = os.fork
    forked = []

    def fork():
        if len(forked) == allowed:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        forked.append(plain())
        return forked[-1]

    monkeypatch.setattr(os, "fork", fork)
    results = list(mapped(square, range(8), 2))
    assert [result[:2] for result in results] == [(n, n**2) for n in range(8)]
    assert len(forked) == allowed
    assert ({pid for *_, pid in results} == {PARENT}) == (allowed == 0)


def test_nothing_is_left_where_one_stops_in_the_middle(tmp_path, alone):
    def wait_long(number):
        if number:
            try:
                time.sleep(60)
            finally:
                (tmp_path / "cleaned").touch()
        return number

    results = mapped(wait_long, range(2), 2)
    assert next(results) == 0
    while not psutil.Process().children()[-1].num_ctx_switches().voluntary:
        time.sleep(0.01)
    time.sleep(0.2)  # until it sleeps
    results.close()
    assert not multiprocessing.active_children()
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("size", [0, 10**7])
def test_processes_end_with_a_killed_parent(size):
    """In the middle of their work, and of sending more than a pipe holds."""
    code = ("import os, time; from imagereg.tasks.parallel import mapped\n"
            f"def f(n): os.write(1, b'%d\\n' % os.getpid()); time.sleep(0.3); return bytes({size})\n"
            "for _ in mapped(f, range(40), 2): time.sleep(0.1)")
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    children = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
    time.sleep(0.4)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert psutil.wait_procs(children, timeout=3)[1] == []


def test_other_threads_make_it_work_in_threads():
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        assert {pid for *_, pid in mapped(square, range(4), 2)} == {PARENT}
    finally:
        stop.set()
        other.join()


@pytest.mark.parametrize("cores", [1, 2])
def test_blas_has_one_thread_in_each(cores, alone):
    def threads(_):
        np.ones((300, 300)) @ np.ones((300, 300))
        return {pool["num_threads"] for pool in threadpool_info()}

    assert list(mapped(threads, range(2), cores)) == [{1}, {1}]


def test_writing_stops_at_the_first_error():
    """What is in work is finished, and it is said what was written."""
    def planned():
        for number in range(100):
            time.sleep(0.005)
            yield number

    def write(number):
        if number == 2:
            raise InputError("no space")

    written, error = write_each(planned(), write)
    assert written[:2] == [0, 1] and 2 not in written and len(written) < 50
    assert str(error) == "no space"


def test_an_error_of_the_plan_leaves_what_is_written():
    def planned():
        yield 0
        raise InputError("no such file")

    written, error = write_each(planned(), lambda number: None)
    assert (written, str(error)) == ([0], "no such file")


def test_a_problem_comes_through(alone):
    assert list(mapped(lambda _: Detection("a", "absent.fits", problem="no"), range(2), 2))[1].problem == "no"
