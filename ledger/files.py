"""Files to be read: plain ones, of a size that is looked at first. A pipe or a device would keep the reader waiting.

And files to be handed out: new ones, so that none is lost.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from ledger.errors import LedgerError, NotFound, StorageFailed
from ledger.text import clean

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def other_than_file(path: str | Path) -> str | None:
    """Return what lies at a path when it is no plain file, like "a folder"; OSError or ValueError when nothing can."""
    return _KINDS.get(stat.S_IFMT(os.stat(path).st_mode))


def opened(path: str) -> BinaryIO:
    """Return a plain file, to be read from its beginning; NotFound when there is none."""
    try:
        kind = other_than_file(path)
        if kind is None:
            return open(path, "rb", opener=_without_waiting)
    except (OSError, ValueError) as error:
        what = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise NotFound(clean(path), what, "check the file's name") from None
    raise NotFound(clean(path), f"cannot be read: it is {kind}", "name a plain file")


def content(path: str, most: int) -> bytes:
    """Return the bytes of a plain file; NotFound when there is none, LedgerError when it has more than `most`."""
    with opened(path) as file:
        found = file.read(most + 1)
    check_size(path, found, most)
    return found


def check_size(path: str, found: bytes, most: int) -> None:
    """Raise LedgerError when what was found at a path takes more than `most` bytes."""
    if len(found) > most:
        what = f"larger than {most:,} bytes"
        raise LedgerError(clean(path), what, "check that this is the right file, or divide it")


def sync(path: Path) -> None:
    """Make sure that a file's content, or a new name in a folder, survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_new(path: str, data: bytes) -> None:
    """Put bytes into a new file, whole and onto the disk; what is at the path already, a link too, stays as it is.

    Raises LedgerError when something is there, StorageFailed, with nothing left there, when it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        todo = "name another file, or remove this one first: nothing is overwritten"
        raise LedgerError(clean(path), "there is something here already", todo) from None
    except (OSError, ValueError) as error:
        what = f"cannot be made: {getattr(error, 'strerror', None) or error}"
        raise StorageFailed(clean(path), what, "name another file") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync(Path(path).absolute().parent)
    except BaseException as error:
        os.unlink(path)
        if not isinstance(error, OSError):
            raise
        what = f"could not be written: {error.strerror}"
        raise StorageFailed(clean(path), what, "nothing was left there; make room, or name another file") from None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # should it have become a pipe meanwhile
