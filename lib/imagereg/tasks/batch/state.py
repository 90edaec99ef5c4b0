"""The state of a batch in an SQLite file: what is to be done, what was done, and how it ended."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Sequence

from imagereg.errors import InputError
from imagereg.tasks.batch.visits import Visit

WAITING, ALIGNED, NOT_ALIGNED, FAILED = "waiting", "aligned", "not aligned", "failed"

_TABLE = """CREATE TABLE IF NOT EXISTS visit (
    name TEXT PRIMARY KEY, request TEXT NOT NULL, status TEXT NOT NULL,
    verdict TEXT NOT NULL DEFAULT '', n_images INTEGER NOT NULL DEFAULT 0,
    n_aligned INTEGER NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0)"""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a visit.

    Parameters
    ----------
    status : str
        One of the words of this module.
    verdict : str
        In a sentence: of the run, or what is wrong.
    n_images, n_aligned : int
        How many images it has, and how many of them are aligned.
    seconds : float
        How long the run took.
    """

    status: str
    verdict: str = ""
    n_images: int = 0
    n_aligned: int = 0
    seconds: float = 0.0


class State:
    """What is known of the visits of a batch; a context manager.

    Parameters
    ----------
    path : str
        The SQLite file, which is made where there is none.

    Raises
    ------
    InputError
        It can't be used.
    """

    def __init__(self, path: str):
        try:
            self._database = sqlite3.connect(path)
            with self._database:
                self._database.execute(_TABLE)
        except sqlite3.Error as error:
            raise InputError(f"{path} can't be used: {error}") from error

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *_):
        """Close the file."""
        self._database.close()

    def plan(self, visits: Sequence[Visit], *, again: bool = False) -> list[Visit]:
        """Enter the visits of a batch, and return those that are to be done.

        These are the new ones, those whose images or parameters have changed, those that were
        being done when a batch was killed, and with `again` those that did not succeed.
        """
        done = {ALIGNED} if again else {ALIGNED, NOT_ALIGNED, FAILED}
        before = dict(self._database.execute("SELECT name, request || status FROM visit"))
        finished = set()
        for visit in visits:
            request = _request(visit)
            if before.get(visit.name) in {request + status for status in done}:
                finished.add(visit.name)
        waiting = [visit for visit in visits if visit.name not in finished]
        rows = [(visit.name, _request(visit), WAITING) for visit in waiting]
        with self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO visit (name, request, status) VALUES (?, ?, ?)", rows)
        return waiting

    def finish(self, visit: Visit, outcome: Outcome) -> None:
        """Note what became of a visit."""
        columns = ", ".join(f"{field.name} = ?" for field in dataclasses.fields(Outcome))
        with self._database:
            self._database.execute(f"UPDATE visit SET {columns} WHERE name = ?",
                                   [*dataclasses.astuple(outcome), visit.name])

    def outcomes(self) -> dict[str, Outcome]:
        """Return what is known of each visit, by its name."""
        names = ", ".join(field.name for field in dataclasses.fields(Outcome))
        rows = self._database.execute(f"SELECT name, {names} FROM visit ORDER BY name")
        return {name: Outcome(*values) for name, *values in rows}


def _request(visit):
    """Return what is asked for of a visit, as text."""
    return json.dumps([visit.files, visit.parameters], sort_keys=True)
