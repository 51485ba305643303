"""Key files: a private key in a file of its own that nobody but its owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ledger.errors import LedgerError
from ledger.files import sync
from ledger.seal.notes import Signer, new_signer, signer
from ledger.text import clean

MODE = 0o600
MAX_BYTES = 4096


class BadKey(LedgerError):
    """A key file cannot be made or used."""

    def __init__(self, path: Path, what: str, todo: str) -> None:
        super().__init__(clean(str(path)), what, todo)


def make(path: Path, name: str) -> Signer:
    """Make the file of a new key with that name and return the key.

    Raises BadKey when something is at the path already or no file can be made there, BadNote for a name that is none.
    """
    key = new_signer(name)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError:
        todo = "name another file: --key FILE; a key that is overwritten is lost"
        raise BadKey(path, "there is something here already", todo) from None
    except OSError as error:
        raise BadKey(path, f"cannot be made: {error.strerror}", "name another file: --key FILE") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(key.secret() + "\n")
            file.flush()
            os.fsync(file.fileno())
        sync(path.absolute().parent)
    except OSError as error:
        path.unlink()
        raise BadKey(path, f"cannot be written: {error.strerror}", "make room, then try again") from None
    return key


def read(path: Path) -> Signer:
    """Return the key in a file. Raises BadKey for a file that others may read, BadNote for one without a key."""
    try:
        with open(path, "rb", opener=_at_once) as file:
            status, data = os.fstat(file.fileno()), file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        todo = "name its file, or a copy of it: --key FILE; for a ledger not sealed yet: sla-ledger seal --new-key NAME"
        raise BadKey(path, "there is no key here", todo) from None
    except OSError as error:
        raise BadKey(path, f"cannot be read: {error.strerror}", "name the key's file: --key FILE") from None
    if not stat.S_ISREG(status.st_mode) or len(data) > MAX_BYTES:
        raise BadKey(path, "this is no key file", "name the key's file: --key FILE")
    mode = stat.S_IMODE(status.st_mode)
    if os.name == "posix" and mode & ~MODE:
        todo = "if nobody else has read it: chmod 600; otherwise make another key, and let both sign once"
        raise BadKey(path, f"others may read or change this key: its mode is {mode:04o}, not 0600", todo)
    return signer(data.decode("utf-8", "replace"), clean(str(path)))


def _at_once(path: str, flags: int) -> int:
    """Open a file without waiting: a pipe that nobody writes to would keep us for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
