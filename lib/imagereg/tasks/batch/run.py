"""Align many visits, on all cores of this machine or by the workers of a dask cluster."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from typing import Any

from imagereg.errors import InputError, ParameterError
from imagereg.files import atomic, write_text
from imagereg.tasks.batch import pages
from imagereg.tasks.batch.process import align_visit, forget_run, stop_servers
from imagereg.tasks.batch.state import FAILED, Outcome, State
from imagereg.tasks.batch.visits import Visit, read_visits, refuse_shared_images
from imagereg.tasks.feedback.progress import progress
from imagereg.tasks.parallel import available_cores
from imagereg.tasks.writing.outputs import changes_images

_PATIENCE = 10  # seconds for a scheduler to answer

log = logging.getLogger(__name__)


def batch_folder(source: str) -> str:
    """Return the folder of a batch: ``archive_batch`` for the folder or list ``archive``."""
    name = os.path.basename(os.path.abspath(source))
    return f"{os.path.splitext(name)[0] or 'visits'}_batch"


def batch_outcomes(source: str) -> dict[str, Outcome]:
    """Return what is known of each visit of a batch, by its name.

    Raises
    ------
    InputError
        There is no such batch here.
    """
    path = os.path.join(batch_folder(source), "state.sqlite")
    if not os.path.isfile(path):
        raise InputError(f"there is no {path}: the batch has not begun in this folder")
    with State(path) as state:
        return state.outcomes()


def run_batch(source: str, *, again: bool = False, scheduler: str = "",
              **given: Any) -> dict[str, Outcome]:
    """Align the visits of a batch that are not done yet, each in a folder and process of its own.

    All that is written is in the folder ``<source>_batch``: a folder for each visit, the state as
    an SQLite file, the table ``summary.ecsv`` and the page ``index.html``.

    Parameters
    ----------
    source : str
        What names the visits, see `visits.read_visits`.
    again : bool
        Do those that did not succeed again.
    scheduler : str
        Address of a dask scheduler, whose workers see the same files; empty: this machine.
    **given
        Arguments of `TweakReg` for all visits; `num_cores` is how many are aligned at a time here.

    Returns
    -------
    dict of str to Outcome
        What became of each visit, by its name. One that goes wrong stops no other.

    Raises
    ------
    InputError, ParameterError
        The visits can't be read, two would change one image, or another run does this batch.
    """
    task, *_ = Visit.of("", (), given, os.curdir).parameter_sets()
    cores = task.num_cores or available_cores()
    visits = read_visits(source, {**given, "num_cores": 1})
    if any(_changes_images(visit) for visit in visits):
        refuse_shared_images(visits)
    folder = batch_folder(source)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "state.sqlite")
    with atomic.reserved(path, "folder"), State(path) as state:
        waiting = state.plan(visits, again=again)
        with _cluster(scheduler) if scheduler else _threads(cores) as executor:
            _work(executor, waiting, state, folder)
        known = state.outcomes()
    outcomes = {visit.name: known[visit.name] for visit in visits}
    write_text(os.path.join(folder, "summary.ecsv"), pages.summary_text(outcomes))
    write_text(os.path.join(folder, "index.html"), pages.index_page(outcomes, folder))
    return outcomes


def _changes_images(visit):
    """Whether a visit changes its images."""
    task, *_ = visit.parameter_sets()
    return changes_images(task)


@contextlib.contextmanager
def _threads(number) -> Iterator[Executor]:
    """Yield an executor of threads, each of which waits for the processes of its visits."""
    executor = ThreadPoolExecutor(number)
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        stop_servers()


@contextlib.contextmanager
def _cluster(address) -> Iterator[Executor]:
    """Yield an executor that hands work to a dask scheduler, which gives lost work to others."""
    try:
        from distributed import Client
    except ImportError:
        raise ParameterError("--scheduler needs dask.distributed: pip install "
                             "'imagereg[cluster]'") from None
    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(f"there is no dask scheduler at {address}: "
                         f"{atomic.reason(error)}") from error
    with client:  # which cancels what is not done when it is closed
        yield client.get_executor(pure=False)


def _work(executor, visits: list[Visit], state: State, folder: str) -> None:
    """Align visits, and note what becomes of each as soon as it is known."""
    visit_of = {}
    for visit in visits:
        own = os.path.abspath(os.path.join(folder, visit.name))
        visit_of[executor.submit(align_visit, visit, own)] = visit
    for future in progress(as_completed(visit_of), "aligning visits", len(visits)):
        visit = visit_of[future]
        error = future.exception()
        outcome = Outcome(FAILED, f"its workers ended: {error}") if error else future.result()
        state.finish(visit, outcome)
        if outcome.status != FAILED:
            forget_run(os.path.join(folder, visit.name))
        log.info("%s: %s", visit.name, outcome.verdict)
