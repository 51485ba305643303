"""Reading a ledger in a SQLite file: opened as what somebody else may have made, and believed in nothing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from ledger.errors import LedgerBroken, NoLedger, NotFound, StorageFailed, damaged
from ledger.files import opened, other_than_file
from ledger.instants import HAPPENED_AT, RECORDED_AT
from ledger.store.reading import EVERYTHING, FORMAT, Sealed, Stored, another_format, typed, typed_ids

APPLICATION_ID = 0x534C414C  # "SLAL"
LOCK_SECONDS = 30
PAUSE = 0.002  # seconds, between two looks whether a writer still holds the file
LARGEST_VALUE = 64_000_000  # bytes of one value in a file that is read: no entry comes near it
CACHE, MOST_CACHE = 4096, 65536  # KiB of pages: near the processor
PER_KIB = 500  # entries of a ledger: the longer it is, the more cases go on at a time, each on pages of its own
AT_ONCE = 128  # rows: what is looked at together stays near the processor

TABLE = """CREATE TABLE stored_events (
    rowid INTEGER PRIMARY KEY,
    originator_id TEXT NOT NULL,
    originator_version INTEGER NOT NULL,
    topic TEXT NOT NULL,
    state BLOB NOT NULL,
    command_id TEXT,
    leaf BLOB NOT NULL CHECK (length(leaf) = 32),
    UNIQUE (originator_id, originator_version)
) STRICT"""

CHECKPOINTS = "CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT"

_MAGIC, _VERSION_AT, _ID_AT = b"SQLite format 3\0", 60, 68  # a SQLite file's first bytes, and two numbers in its header
_SHARED_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # how a journal ends that names another one
_COMPUTED = """
SELECT 1 FROM sqlite_schema WHERE name IN ('stored_events', 'checkpoints') AND (type <> 'table' OR rootpage = 0)
UNION ALL SELECT 1 FROM pragma_table_xinfo('stored_events') WHERE hidden
UNION ALL SELECT 1 FROM pragma_table_xinfo('checkpoints') WHERE hidden
"""  # a view, a virtual table, a generated column
_DAMAGE = ("malformed", "not a database", "decode", "too big", "no such", "invalid page")
_TODO = "name a ledger made by sla-ledger init, or a stream file that ends in .jsonl"

_Found = TypeVar("_Found")
_COLUMNS = "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events"
_SAMPLE = """
WITH RECURSIVE sample(position) AS (SELECT 1 UNION ALL SELECT position + ?1 FROM sample WHERE position + ?1 <= ?2)
SELECT originator_id FROM sample CROSS JOIN stored_events ON rowid = position
WHERE originator_id >= ?3 AND originator_id < ?4 ORDER BY originator_id
"""
_COMMAND_IDS = """
SELECT rowid, command_id FROM stored_events WHERE command_id IS NOT NULL AND rowid <= ? ORDER BY command_id
"""


def uri(path: Path, mode: str) -> str:
    """Return the address of a database file; mode: `ro`, `rw` or `rwc`."""
    return f"{path.absolute().as_uri()}?mode={mode}"


def is_interrupted(path: Path) -> bool:
    """Return whether a transaction's journal lies beside the ledger: a writer is at work, or was killed.

    Raises StorageFailed for one that names another journal: undoing what it says would delete that.
    """
    journal = path.with_name(path.name + "-journal")
    try:
        with opened(str(journal)) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8))
            found = file.read(8)
    except NotFound:
        return False
    if found == _SHARED_JOURNAL:
        todo = "move the journal away, or restore the ledger from a copy"
        raise StorageFailed(str(journal), "this journal was not left by a writer of this ledger", todo)
    return bool(found)


def is_wal(path: Path) -> bool:
    """Return whether a database file is in WAL mode, by its header."""
    with path.open("rb") as file:
        return file.read(20)[18:20] == b"\x02\x02"


def check_is_ledger(path: Path) -> None:
    """Raise what `connect` raises."""
    with contextlib.closing(connect(path)):
        pass


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection that reads a ledger and believes nothing in it.

    Raises NoLedger when there is none, StorageFailed for another file, which SQLite never gets to see, LedgerBroken for
    a ledger whose entries or checkpoints are no plain rows of a table, but computed when they are read.
    """
    _check_header(path)
    try:
        connection = _patiently(lambda: _looked_into(path))
        _wait(connection, LOCK_SECONDS)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise failed(path, error) from None
    return connection


def _looked_into(path: Path) -> sqlite3.Connection:
    """Return a connection that reads a ledger and does not wait for writers; raises what SQLite and `connect` do."""
    try:
        connection = _opened(path, "ro", 0)
    except sqlite3.OperationalError as error:
        if not is_half_done(error):
            raise
        undo(path)
        connection = _opened(path, "ro", 0)
    with kept_if_sound(connection):
        if connection.execute(_COMPUTED).fetchone():
            raise damaged(str(path), "its entries or checkpoints are computed, not kept in a table")
        [last] = connection.execute("SELECT max(rowid) FROM stored_events").fetchone()
        if not isinstance(last, int | None):
            raise damaged(str(path), "its positions are no whole numbers")
        connection.execute(f"PRAGMA cache_size = -{min(max(CACHE, (last or 0) // PER_KIB), MOST_CACHE)}")
    return connection


@contextlib.contextmanager
def kept_if_sound(connection: sqlite3.Connection) -> Iterator[None]:
    """Close a connection when something is wrong with it: it refers to itself, and would stay open for a while."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _wait(connection: sqlite3.Connection, seconds: float) -> None:
    """Let SQLite wait so long for writers, with its own pauses."""
    connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def _patiently(asked: Callable[[], _Found]) -> _Found:
    """Return what is asked of a file that writers may hold, tried again at short intervals.

    SQLite's own pauses grow to 100 ms: among several writers, which hold a file most of the time, few of them end when
    it is free, and a reader could wait for many seconds.
    """
    for _ in range(int(LOCK_SECONDS / PAUSE)):
        try:
            return asked()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        time.sleep(PAUSE)
    return asked()


def distrust(connection: sqlite3.Connection) -> None:
    """Let nothing in the file that a connection reads do more than be read: no function, no huge value, no mapping."""
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {pragma}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)


def is_damage(error: Exception) -> bool:
    """Return whether a database says that what is stored is not what was written."""
    return any(sign in str(error) for sign in _DAMAGE)


def failed(path: Path, error: Exception) -> LedgerBroken | StorageFailed:
    """Return what SQLite says of a ledger as an error with three lines; damage is a broken ledger."""
    if is_damage(error):
        return damaged(str(path), f"the file is damaged: {error}")
    return StorageFailed(str(path), f"the store failed: {error}", "check the disk and the file, then try again")


def _check_header(path: Path) -> None:
    """Raise NoLedger when nothing is at the path, StorageFailed when its first bytes are not a ledger's."""
    try:
        if kind := other_than_file(path):
            raise StorageFailed(str(path), f"cannot be read as a ledger: it is {kind}", _TODO)
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        raise NoLedger(str(path)) from None
    except (OSError, ValueError) as error:
        what = f"cannot be read as a ledger: {getattr(error, 'strerror', None) or error}"
        raise StorageFailed(str(path), what, _TODO) from None
    made_by, found = (int.from_bytes(head[at : at + 4], "big") for at in (_VERSION_AT, _ID_AT))
    if len(head) < 100 or not head.startswith(_MAGIC) or found != APPLICATION_ID:
        raise StorageFailed(str(path), "this file is not a ledger", _TODO)
    if made_by != FORMAT:
        raise StorageFailed(str(path), *another_format(made_by))


def _opened(path: Path, mode: str, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(uri(path, mode), uri=True, timeout=patience, isolation_level=None)
    with kept_if_sound(connection):
        distrust(connection)
        connection.execute(f"PRAGMA cache_size = -{CACHE}")  # the first to look into the file
    return connection


def is_half_done(error: sqlite3.Error) -> bool:
    """Return whether a killed writer's transaction must be undone before this reader can go on."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_ROLLBACK


def undo(path: Path) -> None:
    """Undo what a killed writer left half-done, which only a connection that may write can."""
    if is_interrupted(path):
        _opened(path, "rw", LOCK_SECONDS).close()


class FileReader:
    """Reads the rows of a ledger in a SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = connect(path)
        _wait(self._connection, 0)  # `_begun` does

    def identity(self) -> str:
        """Return what tells this ledger from any other: a number drawn when it was made."""
        return str(next(self._read("PRAGMA schema_version"))[0])

    def first_position(self) -> int:
        """Return the position of the first entry, 1 for none; in a ledger that is whole it is 1."""
        return int(next(self._read("SELECT coalesce(min(rowid), 1) FROM stored_events"))[0])

    def last_position(self) -> int:
        """Return the position of the last entry, 0 for none."""
        return int(next(self._read("SELECT coalesce(max(rowid), 0) FROM stored_events"))[0])

    def rows(self, up_to: int, after: int = 0) -> Iterator[Stored]:
        """Yield the entries in `(after, up_to]` in order of position."""
        return self._entries(f"{_COLUMNS} WHERE rowid > ? AND rowid <= ? ORDER BY rowid", after, up_to)

    def rows_by_stream(self, first: str, until: str, up_to: int) -> Iterator[Stored]:
        """Yield the entries of streams with first <= id < until, up to a position, by id (as bytes), then version."""
        return self._entries(
            f"{_COLUMNS} WHERE originator_id >= ? AND originator_id < ? AND +rowid <= ?"
            " ORDER BY originator_id, originator_version",
            first,
            until,
            up_to,
        )

    def streams_after(self, after: int, up_to: int) -> list[str]:
        """Return the streams that have entries in `(after, up_to]`."""
        found = self._read("SELECT originator_id FROM stored_events WHERE rowid > ? AND rowid <= ?", after, up_to)
        return list(dict.fromkeys(row[0] for row in found))

    def at(self, positions: Iterable[int]) -> list[Stored]:
        """Return the entries at these positions."""
        return [row for p in positions for row in self._entries(f"{_COLUMNS} WHERE rowid = ?", p)]

    def known_position(self, at: str, up_to: int) -> int:
        """Return the position before the first entry recorded after an instant (RFC 3339 in UTC), at most `up_to`."""
        later = "SELECT rowid FROM stored_events WHERE rowid <= ? AND substr(state, ?, ?) > CAST(? AS BLOB) LIMIT 1"
        found = next(self._read(f"{later}", up_to, *RECORDED_AT, at), None)
        return up_to if found is None else int(found[0]) - 1

    def earliest_after(self, position: int) -> tuple[str, list[str]]:
        """Return the earliest time of an entry after a position, and the streams that are corrected after it."""
        earliest = "SELECT CAST(min(substr(state, ?, ?)) AS TEXT) FROM stored_events WHERE rowid > ?"
        corrected = (
            "SELECT DISTINCT originator_id FROM stored_events NOT INDEXED"
            " WHERE rowid > ? AND topic IN ('EntryWithdrawn', 'EntryCorrected')"
        )
        [(time,)] = self._read(earliest, *HAPPENED_AT, position)
        return time, [row[0] for row in self._read(corrected, position)]

    def bounds(self, first: str, until: str, parts: int) -> list[str]:
        """Return stream ids that cut the streams with first <= id < until into parts of about equal size."""
        last = self.last_position()
        ids = [row[0] for row in self._read(_SAMPLE, max(1, last // 4096), last, first, until)]
        return list(dict.fromkeys(ids[len(ids) * k // parts] for k in range(1, parts) if ids))

    def leaves(self, up_to: int, after: int = 0) -> Iterator[bytes]:
        """Yield the leaf hashes that are kept with the entries in `(after, up_to]`, in order of position."""
        found = self._read("SELECT leaf FROM stored_events WHERE rowid > ? AND rowid <= ? ORDER BY rowid", after, up_to)
        return (row[0] for row in found)

    def sealed(self, up_to: int, after: int = 0) -> Iterator[Sealed]:
        """Yield the entries in `(after, up_to]` in order of position, each with the leaf hash that is kept with it."""
        columns = _COLUMNS.replace("state", "state, leaf", 1)
        return self._entries(f"{columns} WHERE rowid > ? AND rowid <= ? ORDER BY rowid", after, up_to)

    def command_ids(self, up_to: int) -> Iterator[tuple[int, str]]:
        """Yield position and command id of the entries up to a position that are known by one, in order of the ids."""
        return chain.from_iterable(map(typed_ids, self._some_at_a_time(_COMMAND_IDS, up_to)))

    def kept_checkpoints(self) -> list[tuple[int, str]]:
        """Return all checkpoints that are kept, by the size that each is kept under: that size, and the note."""
        return list(self._read("SELECT size, note FROM checkpoints ORDER BY size"))

    def checkpoints(self) -> list[str]:
        """Return the notes of all checkpoints that are kept, by size."""
        return [note for _, note in self.kept_checkpoints()]

    def count(self, up_to: int = EVERYTHING) -> int:
        """Return how many entries there are up to a position."""
        return int(next(self._read("SELECT count(*) FROM stored_events WHERE rowid <= ?", up_to))[0])

    def check_file(self) -> None:
        """Raise LedgerBroken when SQLite finds the file damaged: its pages, a value's type, an index that differs.

        A bit that changes an index changes no entry, and yet what is asked for by stream or by command id is not found.
        """
        [found] = next(self._read("PRAGMA integrity_check(1)"))
        if found != "ok":
            raise damaged(str(self.path), f"the file is damaged: {' '.join(found.split())}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _entries(self, statement: str, *values: object) -> Iterator[Any]:
        """Return rows that begin with an entry's; LedgerBroken for one whose values are not of an entry's types."""
        return chain.from_iterable(map(typed, self._some_at_a_time(statement, *values)))

    def _read(self, statement: str, *values: object) -> Iterator[Any]:
        """Return rows, read some at a time: for a million of them that is quicker than one by one."""
        return chain.from_iterable(self._some_at_a_time(statement, *values))

    def _some_at_a_time(self, statement: str, *values: object) -> Iterator[list[Any]]:
        return iter(partial(self._some, self._begun(statement, values)), [])

    def _begun(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        with self._errors():
            try:
                return _patiently(lambda: self._connection.execute(statement, values))
            except sqlite3.OperationalError as error:
                if not is_half_done(error):
                    raise
                undo(self.path)
                return _patiently(lambda: self._connection.execute(statement, values))

    def _some(self, cursor: sqlite3.Cursor) -> list[Any]:
        with self._errors():
            return cursor.fetchmany(AT_ONCE)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise failed(self.path, error) from error
