"""The place of the views: what may lie there, whose turn it is to change it, and whether another hand has touched it.

Views bear a mark in their header, so that nothing else is ever overwritten. The lock beside them says how they were
left; a file that looks otherwise is not believed, whatever can still be read in it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ledger.errors import StorageFailed

try:
    import fcntl
except ImportError:  # no such lock outside POSIX: SQLite's own lock keeps writers apart there
    fcntl = None  # type: ignore[assignment]

APPLICATION_ID = 0x534C5657  # "SLVW"
_MAGIC, _ID_AT = b"SQLite format 3\0", 68  # a SQLite file's first bytes, and where it names its application
_LEFT = "sla-ledger views"
_WIDTH = 128  # bytes of what the lock says, whatever it says
BESIDE = ("-journal", "-wal", "-shm", ".lock")


class Unwritable(StorageFailed):
    """Nothing can be kept at the place for the views."""

    def __init__(self, path: Path, what: str, todo: str = "name another file for them: --views FILE") -> None:
        super().__init__(str(path), f"the views cannot be kept here: {what}", todo)


class NotViews(Unwritable):
    """Something else lies at the place for the views; it is left alone."""


def check(path: Path) -> None:
    """Raise NotViews when something lies at a path that is not views, Unwritable when nobody can tell."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NotViews(path, "it is not a file")
            head = file.read(_ID_AT + 4)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise NotViews(path, "it is a folder") from None
    except OSError as error:
        raise Unwritable(path, str(error.strerror)) from None
    is_database = head.startswith(_MAGIC) and len(head) == _ID_AT + 4
    is_marked = is_database and head[_ID_AT:] == APPLICATION_ID.to_bytes(4, "big")
    was_left_here = not is_database and _said(lock_of(path)).startswith(_LEFT)
    if head and not is_marked and not was_left_here:
        todo = "name another file for them: --views FILE, or move this one away"
        raise NotViews(path, "another file lies here", todo)


def check_name(path: Path, ledger: Path) -> None:
    """Raise NotViews for a name that belongs to the ledger itself, or to a stream file."""
    place, whole = Path(os.path.realpath(path)), Path(os.path.realpath(ledger))
    taken = [whole, *(whole.with_name(f"{whole.name}{end}") for end in BESIDE)]
    if place in taken or (path.exists() and ledger.exists() and path.samefile(ledger)):
        raise NotViews(path, "this place is the ledger's own")
    if path.suffix == ".jsonl":
        raise NotViews(path, "this is the name of a stream file")


def lock_of(path: Path) -> Path:
    """Return the file beside views at which those take turns who change them."""
    return path.with_name(f"{path.name}.lock")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Let one process at a time change the views; yield what it has to call when they are as it leaves them."""
    beside = lock_of(path)
    try:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)
    except OSError as error:
        raise Unwritable(path, str(error.strerror)) from None
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        said = _said(beside)
        if said and not said.startswith(_LEFT):
            raise NotViews(path, f"{beside} beside it is another file")
        yield lambda: _leave(lock, path)
    finally:
        os.close(lock)


def is_as_left(path: Path) -> bool:
    """Return whether the views' file is as the program left it when it last changed it."""
    return _said(lock_of(path)) == _look(path)


def _leave(lock: int, path: Path) -> None:
    """Say how the views are left; set off their time by a nanosecond, so that a change in the same tick shows too."""
    try:
        found = path.stat()
        with contextlib.suppress(PermissionError):  # they belong to somebody else
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns - 1))
        os.lseek(lock, 0, os.SEEK_SET)
        os.write(lock, _look(path).ljust(_WIDTH - 1).encode() + b"\n")
    except OSError as error:
        raise Unwritable(path, str(error.strerror)) from None


def _look(path: Path) -> str:
    """Return how a file looks from outside; every change through the file system changes it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return f"{_LEFT} gone"
    return f"{_LEFT} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def _said(lock: Path) -> str:
    try:
        with open(lock, "rb", opener=_without_waiting) as file:
            return (file.read(_WIDTH) or b"").decode(errors="replace").strip()
    except OSError:
        return ""  # nobody has said anything yet


def _without_waiting(path: str, flags: int) -> int:
    """Open a file, without waiting for somebody to write should it be a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
