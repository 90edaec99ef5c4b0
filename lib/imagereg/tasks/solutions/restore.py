"""Make another WCS that files hold, in their archive or in a headerlet, the primary one again."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Sequence

from imagereg.errors import InputError
from imagereg.files import Claim, expand_input
from imagereg.files.images import fits as files
from imagereg.files.images import rewrite
from imagereg.tasks import signals
from imagereg.tasks.parallel import write_each
from imagereg.tasks.solutions import unfinished
from imagereg.wcs import alternates, distortion, headerlet, plane


def restore_wcs(given: str | Sequence[str], *, to: str = "", dry_run: bool = False) -> list[str]:
    """Make an archived WCS of every chip, or that of a headerlet, the primary one, to the last bit.

    The present one takes its place in the archive, so that a second restore takes the first one
    back. Files that have the WCS already stay as they are. After a crash the same command completes
    the work, even where only its end was missing, see `unfinished`.

    Parameters
    ----------
    given : str or list of str
        Names, wildcards, @lists, association tables.
    to : str
        WCSNAME of the WCS, or else its letter; of an attached headerlet HDRNAME, or ``HDRLET,n``
        with its EXTVER. Where not given, the WCS that was archived last.
    dry_run : bool
        Write nothing.

    Returns
    -------
    list of str
        What differs: a line for each extension, and one for each of its keywords; a line for each
        file that has the WCS already.

    Raises
    ------
    InputError
        A file can't be read or written, or has no such WCS: then all are as they were. Or they are
        in different states that no interrupted restore leaves, and `to` is not given.
    """
    paths = [file.path for file in expand_input(given)]
    for path in paths:
        rewrite.check_updatable(path)
    with Claim(() if dry_run else paths) as claim:
        if to:
            names = dict.fromkeys(paths, to)
        else:
            names = unfinished.noted_names(paths) or _last_archived(paths)
        changes = {path: functools.partial(_restored, path, name) for path, name in names.items()}
        planned = {path: rewrite.rewrite(path, changes[path], dry_run=True) for path in names}
        if not dry_run:
            changed = {path: changes[path] for path in names if planned[path]}
            if not changed:
                signals.work_is_done()
            with contextlib.nullcontext() if to else unfinished.noted(names):
                _write(changed, claim)
    return [line for path in paths
            for line in planned[path] or [f"{path}: has the WCS {names[path]} already"]]


def _write(changes, claim):
    """Rewrite files, several at a time.

    An interrupt lets those in work be finished. Where these are all, it comes too late to
    interrupt anything: to say so would invite to repeat the command, which would take it back.
    """
    finished = []

    def write(path):
        rewrite.rewrite(path, changes[path], claim=claim)
        finished.append(path)
        if len(finished) == len(changes):
            signals.work_is_done()

    try:
        _, error = write_each(changes, write)
    except BaseException:  # an interrupt, or what became of it in the middle of a library
        if len(finished) < len(changes):
            raise
        return
    if error:
        raise error


def _last_archived(paths):
    """Return the name of the WCS that was archived last, by path.

    Where one file has now what another would get, a restore was interrupted: the WCS that the file
    written last has now is what all are to have.
    """
    last, now = {}, {}
    for path in paths:
        with files.opened(path) as hdus:
            science = [hdus[index].header for index in files.science(hdus, path)]
            now[path] = {header.get("WCSNAME") for header in science}
            try:
                names = {alternates.last_archived(header) for header in science}
            except InputError as error:
                raise InputError(f"{path} {error}") from error
        if len(names) > 1:
            raise InputError(f"{path} has chips that were archived as "
                             f"{' and '.join(sorted(names))}: say with --to which one they are to "
                             "have")
        last[path] = names.pop()
    if set().union(*now.values()).isdisjoint(last.values()):
        return last
    newest = max(paths, key=lambda path: os.stat(path).st_mtime_ns)
    wanted = {name for name in now[newest] if isinstance(name, str)}
    name = next(iter(wanted), "")
    for path in paths:
        if len(wanted) != 1 or (now[path] != wanted and last[path] != name):
            raise InputError(f"{path} would get the WCS {last[path]}, which others have now, or "
                             f"{name or 'none'}, as {newest}: say with --to which one all are to "
                             "have")
    return dict.fromkeys(paths, name)


def _restored(path, name, hdus, old):
    """Return the HDUs of a file with another primary WCS, see `rewrite`."""
    science = files.science(hdus, path)
    archived = any(alternates.find_letter(old[index], name) for index in science)
    attached = [] if archived else headerlet.attached_headerlets(hdus)
    chosen = next((one for one in attached if name.upper() in (one.name.upper(), one.place)), None)
    read = functools.partial(distortion.read_wcs, hdus=hdus)
    parts = list(range(len(hdus)))
    for index in science:
        try:
            if chosen:
                header = _from_headerlet(old[index], chosen, hdus[index], read)
            else:
                header = alternates.restored_header(old[index], name, read)
        except InputError as error:
            others = ", ".join(one.name for one in attached)
            besides = f", and headerlets {others}" if others and not chosen else ""
            raise InputError(f"{path}[{index}] {error}{besides}") from error
        if header is not old[index]:
            parts[index] = (index, header)
    return parts


def _from_headerlet(header, chosen, hdu, read):
    """Return the header of a chip with the WCS of a headerlet; the same one if it has that."""
    if hdu.ver not in chosen.wcss:
        raise InputError(f"has no WCS in the headerlet {chosen.name}")
    cards = chosen.cards(hdu.ver)
    if all(header.get(keyword) == card.value for keyword, card in cards.items()):
        return header
    new = alternates.with_primary(header, cards, read)
    if not plane.same_sky(read(new), chosen.wcss[hdu.ver], hdu.shape):
        raise InputError(f"has another distortion than the headerlet {chosen.name}, "
                         "which stwcs can apply with force=True")
    return new
