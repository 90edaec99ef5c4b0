"""Fetch the stars of a survey around a field from a TAP service, and keep them for the next run.

What was fetched is a table (ECSV) in the user's folder, named by the survey and its circle on the
sky. A later field inside that circle needs no network. See
https://www.ivoa.net/documents/TAP for the protocol; queries are asynchronous, as the Gaia archive
cuts the answers to others off at 2000 rows.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import io
import logging
import os
import re
import time
import urllib.parse
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from imagereg.catalogs import Table, queries, read_table
from imagereg.errors import InputError
from imagereg.files.atomic import read_text, reason, write_text

#: Environment variable with the base address of a TAP service to ask in place of all others.
ADDRESS = "IMAGEREG_TAP"

_PATIENCE = 30.0  # seconds without a byte from a service
_LONGEST = 300.0  # seconds for a query; on cones of a degree the archives take some ten
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between questions whether a query has finished
_LARGEST = 200_000_000  # bytes of an answer: ten times those of MOST_STARS rows
_CHUNK = 1 << 16  # bytes
_OVERFLOW = re.compile(rb"<INFO[^>]*\bQUERY_STATUS\b[^>]*\bOVERFLOW\b")
_FAILED = re.compile(rb"<INFO[^>]*\bQUERY_STATUS\b[^>]*\bERROR\b[^>]*>([^<]*)")
_CACHED = re.compile(r"(?P<survey>\w+)_(?P<ra>[\d.]+)_(?P<dec>[-+][\d.]+)_(?P<radius>[\d.]+)\.ecsv")

log = logging.getLogger(__name__)


def fetch_stars(survey: str, cone: queries.Cone, *, keep: bool) -> str:
    """Return the stars of a survey in a circle, the text of a table (ECSV).

    Parameters
    ----------
    survey : str
        One of `imagereg.catalogs.queries.SURVEYS`.
    cone : Cone
        The circle; the table covers it, and perhaps more.
    keep : bool
        Whether to keep in the user's folder what is fetched.

    Raises
    ------
    InputError
        No service answers as it should, or the survey has no stars there.
    """
    known = _kept(survey, cone)
    if known:
        log.info("%s: stars of an earlier query, %s", survey, known)
        return read_text(known)
    wanted = cone.widened()
    text = _fetched(survey, wanted)
    if keep:
        _keep(os.path.join(_folder(), _file_name(survey, wanted)), text)
    return text


def _folder() -> str:
    return os.path.join(os.path.expanduser("~"), ".imagereg", "catalogs")


def _file_name(survey: str, cone: queries.Cone) -> str:
    return f"{survey}_{cone.ra:.2f}_{cone.dec:+.2f}_{cone.radius:.2f}.ecsv"


def _kept(survey: str, cone: queries.Cone) -> str | None:
    """Return the file of an earlier query whose circle contains this one."""
    folder = _folder()
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        found = _CACHED.fullmatch(name)
        if found is None or found["survey"] != survey:
            continue
        ra, dec, radius = map(float, found.group("ra", "dec", "radius"))
        if queries.Cone(ra, dec, radius).contains(cone):
            return os.path.join(folder, name)
    return None


def _keep(path: str, text: str) -> None:
    """Write a table into the user's folder; where that can't be done, a warning says why."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_text(path, text)
    except (OSError, InputError) as error:
        log.warning("%s is not kept for other runs: %s", path, reason(error))


def _fetched(survey: str, cone: queries.Cone) -> str:
    """Ask the services of a survey, one after the other, and return the first answer as a table."""
    advice = "give a table of stars instead, refcat = FILE"
    problems = []
    for service in queries.SURVEYS[survey]:
        url = os.environ.get(ADDRESS) or service.url
        query = queries.cone_query(service, cone)
        log.info("%s: asking %s: %s", survey, url, query)
        try:
            content = _answer(url, query)
            table = _checked(content, service, _host(url))
        except InputError as error:
            log.warning("%s: %s", survey, error)
            problems.append(str(error))
            continue
        if not len(table):
            raise InputError(f"{survey} has no stars within {cone.radius:g} degrees of RA "
                             f"{cone.ra:g}, Dec {cone.dec:g}: {advice}")
        if len(table) >= queries.MOST_STARS or _OVERFLOW.search(content):
            log.warning("%s: only the %d brightest stars of the field came", survey, len(table))
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        meta = {"SURVEY": survey, "SERVICE": url, "QUERY": query, "DATE": date}
        return _ecsv(table, service.names, meta)
    raise InputError(f"{survey} can't be fetched ({'; '.join(dict.fromkeys(problems))}): {advice}")


def _answer(url: str, query: str) -> bytes:
    """Return what a service answers to a query; InputError where it does not."""
    try:
        import pyvo
        import requests
    except ImportError:
        raise InputError("the package pyvo is not installed: pip install 'imagereg[catalogs]'"
                         ) from None
    deadline = time.monotonic() + _LONGEST
    try:
        with _session(requests) as session:
            service = pyvo.dal.TAPService(url, session=session)
            job = service.submit_job(query, maxrec=queries.MOST_STARS)
            try:
                _wait(job, deadline)
                return _downloaded(session, job.result_uri, deadline)
            finally:
                with contextlib.suppress(pyvo.dal.DALServiceError):
                    job.delete()
    except InputError as error:
        raise InputError(f"{_host(url)}: {error}") from error
    except Exception as error:  # pyvo, requests and the XML parsers have some twenty kinds
        raise InputError(f"{_host(url)}: {_words(error, requests)}") from error


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).hostname or url


@contextlib.contextmanager
def _session(requests: Any) -> Iterator[Any]:
    """Yield a session of requests that waits for no answer for ever, and closes what pyvo opens."""
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pyvo thinks of a service's XML
        session = stack.enter_context(requests.Session())
        session.request = functools.partial(session.request, timeout=_PATIENCE)

        def close_later(response, *_, **__):
            stack.callback(response.close)

        session.hooks["response"].append(close_later)
        yield session


def _wait(job: Any, deadline: float) -> None:
    """Wait until a query has finished; an error of pyvo says why it failed."""
    job.run()
    pause = _FIRST_PAUSE
    while job.phase not in ("COMPLETED", "ERROR", "ABORTED"):
        if time.monotonic() + pause > deadline:
            raise InputError(f"the query did not finish within {_LONGEST:g} s")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    job.raise_if_error()


def _downloaded(session: Any, url: str, deadline: float) -> bytes:
    """Return the content of an address, which must not be endless."""
    content = bytearray()
    with session.get(url, stream=True) as response:
        response.raise_for_status()
        for chunk in response.iter_content(_CHUNK):
            content += chunk
            if time.monotonic() > deadline or len(content) > _LARGEST:
                raise InputError(f"the answer did not end within {_LONGEST:g} s and "
                                 f"{_LARGEST / 1e6:g} MB")
    return bytes(content)


def _words(error: Exception, requests: Any) -> str:
    """Return in a few words what went wrong with a service."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, requests.Timeout):
        return f"no answer within {_PATIENCE:g} s"
    if isinstance(cause, requests.HTTPError):
        return f"status {cause.response.status_code}"
    if isinstance(cause, requests.ConnectionError):
        return "no connection"
    lines = str(cause).splitlines()
    return (lines[0] if lines else type(cause).__name__)[:100]


def _checked(content: bytes, service: queries.Service, host: str) -> Table:
    """Return the table that a service answered with; InputError where it is damaged or another."""
    failed = _FAILED.search(content)
    if failed:
        raise InputError(f"{host}: {' '.join(failed[1].decode('utf-8', 'replace').split())[:100]}")
    table = read_table(content, f"the answer of {host}")
    if not re.search(rb"</(\w+:)?VOTABLE>\s*$", content):
        raise InputError(f"the answer of {host} is truncated")
    if not table.find_all(service.names):
        raise InputError(f"the answer of {host} has the columns {', '.join(table.names)[:100]}, "
                         f"expected {', '.join(service.names)}")
    return table


def _ecsv(table: Table, names: list[str], meta: dict[str, str]) -> str:
    """Return columns of a table under given names as the text of an ECSV file."""
    from astropy.table import Table as AstropyTable

    columns: dict[str, np.ndarray] = {}
    for name, index in zip(names, table.find_all(names), strict=True):
        integers = table.integers(index)
        columns[name] = table.numbers(index) if integers is None else integers
    units = {name: unit for name, unit in queries.UNITS.items() if name in columns}
    text = io.StringIO()
    AstropyTable(columns, units=units, meta=meta).write(text, format="ascii.ecsv")
    return text.getvalue()
