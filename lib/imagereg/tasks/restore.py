"""The way back: another WCS that a file holds, in its archive or in a headerlet, becomes the primary one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from imagereg.errors import InputError
from imagereg.files import fits as files
from imagereg.files import headerlets
from imagereg.files.atomic import WRITERS, Claim
from imagereg.files.inputs import expand_input
from imagereg.files.rewrite import check_updatable, rewrite
from imagereg.wcs import keywords as headers
from imagereg.wcs.plane import apart


def restore_wcs(given, *, to="", dry_run=False):
    """Make an archived WCS of every chip, or that of an attached headerlet, the primary one, to the last bit.

    The present one takes its place in the archive, so that a second restore takes the first one back. Files that have
    the WCS already stay as they are.

    Parameters
    ----------
    given : str or list of str
        Names, wildcards, @lists, association tables.
    to : str
        WCSNAME of the WCS, or else its letter; of a headerlet HDRNAME, or ``HDRLET,n`` with its EXTVER. Where not
        given, the WCS that was archived last.
    dry_run : bool
        Write nothing.

    Returns
    -------
    list of str
        What differs: a line for each extension, and one for each of its keywords; a line for each file that has the
        WCS already.

    Raises
    ------
    InputError
        A file can't be read or written, or has no such WCS: then all are as they were. Or they are in different
        states, as an interrupted restore leaves them, and `to` is not given.
    """
    paths = [file.path for file in expand_input(given)]
    for path in paths:
        check_updatable(path)
    with Claim(() if dry_run else paths) as claim:
        targets = _targets(paths, to)
        planned = {path: rewrite(path, _Restored(path, name), dry_run=True) for path, name in targets.items()}
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda path: rewrite(path, _Restored(path, targets[path]), claim=claim),
                          [path for path, differences in planned.items() if differences and not dry_run]))
    return [line for path in paths for line in planned[path] or [f"{path}: has the WCS {targets[path]} already"]]


def _targets(paths, to):
    """Return the name of the WCS to restore, by path."""
    if to:
        return dict.fromkeys(paths, to)
    present, last = {}, {}
    for path in paths:
        with files.opened(path) as hdus:
            science = [hdus[index].header for index in files.science(hdus, path)]
        try:
            names = {headers.last_archived(header) for header in science}
        except InputError as error:
            raise InputError(f"{path} {error}") from error
        if len(names) > 1:
            raise InputError(f"{path} has chips that were archived as {' and '.join(sorted(names))}: say with --to "
                             "which one they are to have")
        last[path], = names
        present.update((header.get("WCSNAME"), path) for header in science)
    for path, name in last.items():
        if name in present:
            raise InputError(f"{present[name]} has the WCS {name} now, which {path} would get: say with --to which one "
                             "all are to have")
    return last


class _Restored:
    """The change of one file for `rewrite`."""

    def __init__(self, path, name):
        self.path, self.name = path, name

    def __call__(self, hdus, old):
        parts, science = list(range(len(hdus))), files.science(hdus, self.path)
        archived = any(headers.find_wcs(old[index], self.name) for index in science)
        attached = [] if archived else headerlets.attached(hdus)
        headerlet = next((one for one in attached if self.name.upper() in (one.name.upper(), one.place)), None)

        def read_wcs(header):
            return files.wcs_of(header, hdus)

        for index in science:
            try:
                header = (_from_headerlet(old[index], headerlet, hdus[index], read_wcs) if headerlet else
                          headers.restored_header(old[index], self.name, read_wcs))
            except InputError as error:
                besides = ", ".join(one.name for one in attached if not headerlet)
                raise InputError(f"{self.path}[{index}] {error}{besides and f', and headerlets {besides}'}") from error
            parts[index] = index if header is old[index] else (index, header)
        return parts


def _from_headerlet(header, headerlet, hdu, read_wcs):
    """Return the header of a chip with the WCS of a headerlet; the same one where it has that already."""
    if hdu.ver not in headerlet.wcss:
        raise InputError(f"has no WCS in the headerlet {headerlet.name}")
    cards = headerlet.cards(hdu.ver)
    if all(header.get(keyword) == card.value for keyword, card in cards.items()):
        return header
    new = headers.with_primary(header, cards, read_wcs)
    if not apart(read_wcs(new), headerlet.wcss[hdu.ver], hdu.shape) < headerlets.SAME:
        raise InputError(f"has another distortion than the headerlet {headerlet.name}, which stwcs can apply with "
                         "force=True")
    return new
