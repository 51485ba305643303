"""Copies of a ledger in a file of their own, made while writers go on: whole and verified, or not there at all.

A copy is a ledger in SQLite, whatever it is a copy of: the same entries, leaves and checkpoints.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from secrets import randbelow, token_hex
from typing import TypeVar

from eventsourcing.persistence import PersistenceError

from ledger.errors import LedgerBroken, LedgerError, StorageFailed, said
from ledger.files import sync
from ledger.seal import sealing
from ledger.seal.by_position import Progress
from ledger.seal.leaves import leaf
from ledger.seal.merkle import Frontier
from ledger.seal.verifying import verified
from ledger.store import sqlite
from ledger.store.address import is_database, reader_at
from ledger.store.mapper import from_state
from ledger.store.reading import Reader, Sealed
from ledger.store.sqlite_reading import FileReader, connect, is_wal, uri
from ledger.store.stored import StoredEntry

try:
    import fcntl
except ImportError:  # no such lock outside POSIX: SQLite's own lock is enough there, only less fair
    fcntl = None  # type: ignore[assignment]

PART = 5000  # entries that are read at once: so long do writers wait for a reader
RESTORE = "restore the ledger from an earlier copy; sla-ledger verify tells more"
BESIDE = ("-journal", "-wal", "-shm", ".lock", "")

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy holds: how many entries, the root over them, and the sizes of its checkpoints."""

    entries: int
    root: bytes
    checkpoints: tuple[int, ...]


def copy(address: str, to: Path, progress: Progress = lambda done: None) -> Copy:
    """Copy a ledger to a path where nothing is yet, readable by its owner alone, and return what the copy holds.

    All of the copy is read again, as `verify` does, and its leaf hashes are compared with those that the ledger keeps.
    Raises LedgerBroken when the ledger itself does not pass, StorageFailed when the copy could not be made; in either
    case, and after a crash, nothing is at the path. progress: is told how many entries have been read.
    """
    if is_database(address):
        with contextlib.closing(reader_at(address)) as reader, _placed(to) as draft, _errors(to):
            _written(reader, draft)
            return _verified(draft, progress, lambda end, after: list(reader.leaves(end, after)))
    path = Path(address)
    with contextlib.closing(_in_turn(path, lambda: FileReader(path))) as reader, _placed(to) as draft, _errors(to):
        _copied(path, draft)
        return _verified(draft, progress, lambda end, after: _in_turn(path, lambda: list(reader.leaves(end, after))))


@contextlib.contextmanager
def _placed(to: Path) -> Iterator[Path]:
    """Yield a new file to fill, beside its place; it is put there, synced, when nothing was raised."""
    todo = "choose another name; a backup never overwrites"
    if os.path.lexists(to):
        raise LedgerError(str(to), "there is something here already", todo)
    draft = to.with_name(f".{to.name}.{token_hex(4)}.draft")
    try:
        held = _begun(to, draft)
        try:
            yield draft
            sync(draft)
            os.link(draft, to)
        finally:
            _remove(draft)
            os.close(held)
        sync(to.absolute().parent)
    except FileExistsError:
        raise LedgerError(str(to), "there is something here already", todo) from None
    except OSError as error:
        raise StorageFailed(str(to), f"could not be made: {error.strerror}", "choose another place") from None


def _begun(to: Path, draft: Path) -> int:
    """Make an empty draft and return what holds its lock, once the drafts of those who were killed are removed.

    One at a time in a folder: who has made a draft has locked it before others look whose it is.
    """
    with contextlib.ExitStack() as held:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # where a folder cannot be listed or locked, what was left there stays
                folder = os.open(to.absolute().parent, os.O_RDONLY)
                held.callback(os.close, folder)
                fcntl.flock(folder, fcntl.LOCK_EX)
                _remove_abandoned(to)
        made = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        if fcntl is not None:
            with contextlib.suppress(OSError):  # nobody else has got a lock here either
                fcntl.flock(made, fcntl.LOCK_EX)
    return made


def _remove_abandoned(to: Path) -> None:
    """Remove the drafts of copies to a place whose makers are gone: nobody holds their locks."""
    named = re.compile(rf"\.{re.escape(to.name)}\.[0-9a-f]{{8}}\.draft")
    for draft in to.absolute().parent.iterdir():
        if named.fullmatch(draft.name):
            with contextlib.suppress(OSError), draft.open("rb") as file:  # another's, or still being made
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(draft)


def _remove(draft: Path) -> None:
    for ending in BESIDE:
        draft.with_name(draft.name + ending).unlink(missing_ok=True)


@contextlib.contextmanager
def _errors(to: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, PersistenceError) as error:
        todo = "nothing was left there; make room, or choose another place"
        raise StorageFailed(str(to), f"could not be made: {said(error)}", todo) from error


def _copied(path: Path, draft: Path) -> None:
    """Copy a ledger's file in one step: page by page a copy never ends while others write."""

    def given_up(status: int, _left: int, _pages: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):  # which would be tried for ever
            raise StorageFailed(str(path), "another program holds the ledger", "look who does, then try again")

    with contextlib.closing(_plain(draft)) as target:

        def copied() -> None:
            with contextlib.closing(connect(path)) as source:
                source.backup(target, pages=-1, progress=given_up)

        _in_turn(path, copied)
        _settle(target)


def _written(reader: Reader, draft: Path) -> None:
    """Write the entries and checkpoints of a database to a file, as they are stored."""
    notes = [(said.size, str(note)) for said, note in sealing.kept(reader)]
    last = reader.last_position()
    stored = _stored(reader.sealed(last))
    parts = iter(lambda: list(islice(stored, PART)), [])
    sqlite.fill(draft, parts, notes)
    with contextlib.closing(_plain(draft)) as target:
        _settle(target)


def _plain(draft: Path) -> sqlite3.Connection:
    """Return a connection to a draft; nobody waits for its syncs, for the whole file is synced in the end."""
    connection = sqlite3.connect(uri(draft, "rw"), uri=True, isolation_level=None)
    for pragma in ("synchronous = OFF", "journal_mode = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _settle(target: sqlite3.Connection) -> None:
    """Make a copy one file that stands alone, and another ledger than any: views of neither fit the other."""
    target.execute("PRAGMA journal_mode = DELETE")
    target.execute(f"PRAGMA schema_version = {randbelow(2**31)}")


def _verified(draft: Path, progress: Progress, leaves: Callable[[int, int], list[bytes]]) -> Copy:
    """Return what a copy holds once all of it has been read again. leaves: the ledger's, in `(after, end]`."""
    with contextlib.closing(FileReader(draft)) as reader:
        verdict = verified(reader, [], [], progress, str(draft))
        if (error := verdict.error("the copy, and most likely the ledger")) is not None:
            raise error
        tree, last = Frontier(), verdict.last
        for after in range(0, last, PART):
            end = min(after + PART, last)
            ours = list(reader.leaves(end, after))
            if ours != leaves(end, after):
                where, what = f"entries {after + 1} to {end}", "the copy does not hold them as the ledger does"
                raise StorageFailed(where, what, "try again; sla-ledger verify tells which is right")
            tree.extend(ours)
        return Copy(last, tree.root(), tuple(one.checkpoint.size for one in verdict.kept))


def _stored(entries: Iterable[Sealed]) -> Iterator[StoredEntry]:
    """Yield entries as they are stored; LedgerBroken for one that is not what the leaf hash kept with it says."""
    for position, stream, version, name, state, kept in entries:
        if leaf(position, stream, version, name, state) != kept:
            raise LedgerBroken(f"entry {position}", "it is not what its leaf hash was taken of", RESTORE)
        command_id = from_state(position, stream, version, name, state).command_id
        yield StoredEntry(stream, version, name, state, command_id, position)


def _in_turn(path: Path, read: Callable[[], _Read]) -> _Read:
    """Return what is read while no writer of a ledger's file is at work: where it is not in WAL mode, a reader that
    does not take its turn may never come through.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # nobody has written yet, or nothing is there to be read
            if fcntl is not None and not is_wal(path):
                turn = held.enter_context(path.with_name(f"{path.name}.lock").open("rb"))
                fcntl.flock(turn, fcntl.LOCK_SH)
        return read()
