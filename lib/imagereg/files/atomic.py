"""Write files whole or not at all, and keep two runs from changing the same file.

A new file is made beside its place, flushed, and put there by one rename; a crash leaves the old
one. A run that is going to replace files claims them first: with a lock on the very file, and on
what takes its place, which the kernel drops when the process ends, however it ends (flock(2)).
Where a file system has no locks, a change by others is still noticed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import logging
import os
import resource
import secrets
import shutil
import weakref
from collections.abc import Iterable, Iterator
from typing import IO, BinaryIO, TextIO

from imagereg.errors import InputError

_OTHER_FILES = 256  # open at a time besides claimed ones; 19 were measured, with plots and log
WRITERS = 4  # files that a run writes at a time: they mostly wait for the disk
_PREFIX, _SUFFIX = ".imagereg-", ".tmp"

log = logging.getLogger(__name__)


class Claim:
    """Files that a run is going to replace, kept from other runs; a context manager.

    Parameters
    ----------
    paths : iterable of str
        The files; links are followed.

    Raises
    ------
    InputError
        Another run has claimed one of them, or it can't be opened.
    """

    def __init__(self, paths: Iterable[str]):
        self._held: dict[str, tuple[BinaryIO, tuple]] = {}  # open file and stamp by place
        self.take(paths)

    def take(self, paths: Iterable[str]) -> None:
        """Claim files, besides those that are claimed already; raises as the class does."""
        path = ""
        paths = list(paths)
        _allow_open_files(len(self._held) + len(paths))
        try:
            for path in paths:
                self._take(path, os.path.realpath(path))
        except OSError as error:
            self.close()
            if error.errno == errno.EMFILE:
                most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                raise InputError(f"{len(paths)} images need as many open files, of which {most} "
                                 "are allowed (ulimit -Hn): align fewer at once, or have that "
                                 "limit raised") from error
            raise InputError(f"{path} can't be read: {reason(error)}") from error
        except InputError:
            self.close()
            raise
        sweep({os.path.dirname(place) for place in self._held})

    def _take(self, path, place):
        while place not in self._held:
            file = open(place, "rb")
            stamp = _stamp(file.fileno())
            mine = any(stamp == known for _, known in self._held.values())  # by another hard link
            if not mine and _locked(file) is False:
                file.close()
                raise InputError(f"{path} is being worked on by another run: wait until that has "
                                 "ended")
            if _stamp(place) == stamp:
                self._held[place] = file, stamp
            else:  # another run has replaced it, and ended, just now
                file.close()

    def check(self, path: str | os.PathLike[str]) -> None:
        """Raise InputError where something else has changed a file since it was claimed."""
        place = os.path.realpath(path)
        if place in self._held and _stamp(place) != self._held[place][1]:
            raise InputError(f"{path} was changed by something else while it was being aligned: it "
                             "is left as it is")

    def follow(self, place: str, file: BinaryIO) -> None:
        """Hold the locked file that has come to a place instead of the one that was there."""
        if place in self._held:
            before, _ = self._held[place]
            copy = os.fdopen(os.dup(file.fileno()), "rb")
            _lock_holders.add(copy)
            self._held[place] = copy, _stamp(place)
            before.close()

    def close(self) -> None:
        """Let go of all files."""
        for file, _ in self._held.values():
            file.close()
        self._held = {}

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *_):
        """Let go of all files."""
        self.close()


def _allow_open_files(number):
    """Raise the soft limit of open files of this process, if it must be and may be.

    A lock needs an open file for each image of a run, and the usual limit of 1,024 is a matter of
    old programs with select(2), which Python's libraries do not use for such files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = number + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


_lock_holders: weakref.WeakSet[IO] = weakref.WeakSet()  # open files that are locked


def _locked(file, wait=False):
    """Lock an open file: True if done, False if another has it, None if there are no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # as on NFS, of a file open for reading only
        return None
    _lock_holders.add(file)
    return True


def _hold_no_locks():
    """Let a forked process hold no locks: it would keep them when this one has been killed."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in _lock_holders:
        if not file.closed:
            os.dup2(nothing, file.fileno(), inheritable=False)
    os.close(nothing)


os.register_at_fork(after_in_child=_hold_no_locks)


def _stamp(file):
    """Return what changes with the content of a file: device, inode, size and time of writing."""
    status = os.stat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def beside(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a new binary file in the folder of `path`, removed in the end unless it was renamed."""
    # Its name is known before the file is there, so that no signal in between leaves it behind.
    folder = os.path.dirname(os.path.realpath(path))
    temporary = os.path.join(folder, f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    try:
        with _new_file(temporary) as file:
            yield file
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str], claim: Claim | None = None, draft: BinaryIO | None = None
) -> Iterator[BinaryIO]:
    """Yield a new binary file that takes the place of `path`, its mode and owner once complete.

    The log names a file that has other hard links, which keep what was there.

    Parameters
    ----------
    path : str
        Where it is to be; a link is followed. There may be a file, or none.
    claim : Claim, optional
        Of a run that holds `path`: it goes over to the new file.
    draft : file, optional
        The new file, from `beside`, where it has been begun already.

    Raises
    ------
    InputError
        It can't be written, or `path` has changed since it was claimed; what was there is as it
        was.
    """
    place = os.path.realpath(path)
    try:
        with contextlib.nullcontext(draft) if draft else beside(place) as file:
            yield file
            file.flush()
            _dress(file, place)
            os.fsync(file.fileno())
            if claim:
                claim.check(path)
            _warn_of_links(path)
            os.replace(file.name, place)
            if claim:
                claim.follow(place, file)
        _sync_folder(os.path.dirname(place))
    except OSError as error:
        raise InputError(f"{path} can't be written: {reason(error)}") from error


def _warn_of_links(path):
    """Log that a file about to be replaced has other names."""
    with contextlib.suppress(FileNotFoundError):
        others = os.stat(path).st_nlink - 1
        if others:
            log.warning("%s is parted from %d other hard link%s, where the file stays as it was",
                        path, others, "s" if others > 1 else "")


def _new_file(path):
    """Open a new file; it is locked while it is open, so that no run takes it for a leftover."""
    while True:
        file = open(path, "x+b", opener=_private)
        _locked(file, wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # swept away before the lock was there


def _private(path, flags):
    """Open a file that only its owner may read, until it is known who else may."""
    return os.open(path, flags, 0o600)


def _dress(file, place):
    """Give a new file what belongs to the one that is there, or else what new files get.

    That is mode, owner and extended attributes; access control lists are among these.
    """
    if not os.path.exists(place):
        os.chmod(file.name, 0o666 & ~_umask())
        return
    owner = os.stat(place)
    with contextlib.suppress(PermissionError):
        os.chown(file.name, owner.st_uid, owner.st_gid)
    shutil.copymode(place, file.name)
    if not hasattr(os, "listxattr"):  # as on macOS
        return
    with contextlib.suppress(OSError):  # of a file system that has none
        for name in os.listxattr(place):
            _copy_attribute(place, file.name, name)


def _copy_attribute(source, target, name):
    """Copy an extended attribute, if that is for us to set: some are the system's."""
    with contextlib.suppress(OSError):
        os.setxattr(target, name, os.getxattr(source, name))


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder):
    """Flush the entries of a folder, where its file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(folders: Iterable[str]) -> None:
    """Remove temporary files that killed runs have left in folders."""
    for folder in folders:
        for path in glob.glob(os.path.join(glob.escape(folder), f"{_PREFIX}*{_SUFFIX}")):
            with contextlib.suppress(OSError), open(path, "rb") as file:
                if _locked(file):
                    os.unlink(path)


def copy_bytes(source: BinaryIO, target: BinaryIO, start: int, stop: int) -> None:
    """Copy bytes start..stop of one open file to the end of another, in the kernel if it can.

    Raises
    ------
    InputError
        The file ends before `stop`.
    """
    if start == stop:
        return  # else a gzip target would be told to seek
    target.flush()
    with contextlib.suppress(AttributeError, OSError):
        while start < stop:
            done = os.copy_file_range(source.fileno(), target.fileno(), stop - start, start)
            if not done:
                break
            start += done
        target.seek(0, os.SEEK_END)
    source.seek(start)
    while start < stop:
        block = source.read(min(stop - start, 1 << 22))
        if not block:
            raise InputError("the file ends early")
        target.write(block)
        start += len(block)


def flush(path: str) -> None:
    """Flush a file to the disk early; errors are left to `replacing`, which flushes it again."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        os.fsync(file.fileno())


def read_bytes(path: str | os.PathLike[str], size: int = -1) -> bytes:
    """Return the content of a file, or its first bytes; InputError where it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise InputError(f"{path} can't be read: {reason(error)}") from error


def read_text(path: str | os.PathLike[str], errors: str = "strict") -> str:
    """Return the content of a text file; InputError where it can't be read.

    With ``errors="surrogateescape"`` bytes that are not UTF-8 come as in names of files (PEP 383):
    for a list of names, which may have any.
    """
    try:
        with open(path, encoding="utf-8", errors=errors) as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read: {reason(error)}") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file, whole or not at all; InputError where it can't be.

    What came from names that are not UTF-8 is written as it is in them.
    """
    write_bytes(path, text.encode(errors="surrogateescape"))


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file, whole or not at all; InputError where it can't be."""
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def open_alone(path: str, parameter: str) -> Iterator[TextIO]:
    """Yield a text file, written anew as a run goes on, that no other run may write meanwhile.

    Parameters
    ----------
    path : str
        The file.
    parameter : str
        The parameter that names it, for the error.

    Raises
    ------
    InputError
        Another run writes it; its first line says which.
    OSError
        It can't be opened.
    """
    file = open(path, "a+", encoding="utf-8", errors="backslashreplace")
    try:
        if os.path.isfile(path):  # and no device, as /dev/null
            if _locked(file) is False:
                file.seek(0)
                begun = file.readline(80).strip()
                raise InputError(f"{path} is being written by another run ({begun}): wait until "
                                 f"that has ended, or give another {parameter}")
            file.truncate(0)
        yield file
    finally:
        with contextlib.suppress(OSError):  # of the last words, which the disk has no room for
            file.close()


@contextlib.contextmanager
def reserved(path: str, parameter: str) -> Iterator[None]:
    """Keep other runs from making a file that this one is going to make in the end.

    Parameters
    ----------
    path : str
        The file, which need not be there.
    parameter : str
        The parameter that names it, for the error.

    Raises
    ------
    InputError
        Another run has reserved it.
    """
    place = os.path.join(os.path.dirname(path), f"{_PREFIX}{os.path.basename(path)}{_SUFFIX}")
    try:
        lock = _new_lock(place)
    except OSError:  # nothing can be written there, which is found out elsewhere
        yield
        return
    if lock is None:
        raise InputError(f"{path} is going to be written by another run: wait until that has "
                         f"ended, or give another {parameter}")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(place)
        lock.close()


def _new_lock(place):
    """Return a locked file, None where another run has it; the run that had it may remove it."""
    while True:
        file = open(place, "ab")
        is_locked = _locked(file)
        if is_locked is not False and os.fstat(file.fileno()).st_nlink:
            return file
        file.close()
        if is_locked is False:
            return None


def is_protected(path: str) -> bool:
    """Whether a file or folder is meant not to be written, even by those who could."""
    return not os.access(path, os.W_OK) or not os.stat(path).st_mode & 0o222


def check_writable(path: str) -> None:
    """Raise InputError where a file of that name could not be written."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise InputError(f"{path} can't be written: there is no folder {folder}")
    if is_protected(folder):
        raise InputError(f"{path} can't be written: {folder} is write-protected")
    if os.path.isdir(path):
        raise InputError(f"{path} can't be written: it is a folder")
    if os.path.exists(path) and is_protected(path):
        raise InputError(f"{path} can't be written: {path} is write-protected")


def reason(error: BaseException) -> str:
    """Return the words of an error for the end of a sentence."""
    lines = str(error).splitlines()
    begins = bool(lines) and lines[0].endswith(":")
    said = " ".join(lines[:2] if begins else lines[:1]).rstrip(": ")
    text = getattr(error, "strerror", None) or said
    return (text or type(error).__name__).lower()
