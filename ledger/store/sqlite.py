"""The SQLite store: append-only tables, positions that are gap-free from 1, and connections that sync fully.

It takes the library's recorder and gives it a table, a connection and a writer lock of the ledger's own.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from secrets import randbelow
from typing import Any, BinaryIO, cast
from uuid import UUID

from eventsourcing.persistence import OperationalError, StoredEvent
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteFactory,
    SQLiteTransaction,
)
from eventsourcing.utils import Environment, EnvType

from ledger.entry import Fact
from ledger.errors import LedgerError, StorageFailed
from ledger.files import sync
from ledger.store import sqlite_reading
from ledger.store.mapper import Row
from ledger.store.reading import FORMAT, SEALED_SUMMARY, naming
from ledger.store.recorder import Decision
from ledger.store.sqlite_reading import (
    APPLICATION_ID,
    CHECKPOINTS,
    LOCK_SECONDS,
    TABLE,
    distrust,
    is_half_done,
    kept_if_sound,
    undo,
    uri,
)
from ledger.store.stored import StoredEntry, columns

try:
    import fcntl
except ImportError:  # no such lock outside POSIX: SQLite's own lock is enough there, only less fair
    fcntl = None  # type: ignore[assignment]

CHUNK = 500

_SCHEMA = (
    TABLE,
    "CREATE UNIQUE INDEX command_ids ON stored_events (command_id) WHERE command_id IS NOT NULL",
    """CREATE TRIGGER never_updated BEFORE UPDATE ON stored_events
BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END""",
    """CREATE TRIGGER never_deleted BEFORE DELETE ON stored_events
BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END""",
    """CREATE TRIGGER never_replaced BEFORE INSERT ON stored_events
WHEN EXISTS (SELECT 1 FROM stored_events WHERE rowid = NEW.rowid)
  OR EXISTS (SELECT 1 FROM stored_events
             WHERE originator_id = NEW.originator_id AND originator_version = NEW.originator_version)
  OR EXISTS (SELECT 1 FROM stored_events WHERE command_id = NEW.command_id)
BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: entries are never replaced'); END""",
    """CREATE TRIGGER never_a_gap AFTER INSERT ON stored_events
WHEN NEW.rowid <> 1 AND NOT EXISTS (SELECT 1 FROM stored_events WHERE rowid = NEW.rowid - 1)
BEGIN SELECT RAISE(ABORT, 'positions have no gap'); END""",
    CHECKPOINTS,
    """CREATE TRIGGER checkpoints_never_updated BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never changed'); END""",
    """CREATE TRIGGER checkpoints_never_deleted BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never deleted'); END""",
    """CREATE TRIGGER checkpoints_never_replaced BEFORE INSERT ON checkpoints
WHEN EXISTS (SELECT 1 FROM checkpoints WHERE size = NEW.size)
BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: checkpoints are never replaced'); END""",
    """CREATE TRIGGER checkpoints_in_order AFTER INSERT ON checkpoints
WHEN NOT EXISTS (SELECT 1 FROM stored_events WHERE rowid = NEW.size)
  OR EXISTS (SELECT 1 FROM checkpoints WHERE size > NEW.size)
BEGIN SELECT RAISE(ABORT, 'a checkpoint is of entries that are there, and later than the last'); END""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)

_COLUMNS = "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events"
_MADE = "SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_master"  # which may be no text any more
_SELECT = (
    "SELECT originator_id, originator_version, topic, state, command_id, rowid FROM stored_events"
    " WHERE originator_id = ? AND originator_version > ? AND originator_version <= ?"
)
_SELECT_ASCENDING = f"{_SELECT} ORDER BY originator_version LIMIT ?"
_SELECT_DESCENDING = f"{_SELECT} ORDER BY originator_version DESC LIMIT ?"
_LAST_SEALED = """
SELECT state FROM stored_events WHERE rowid > ? AND instr(state, ?) AND instr(state, ?) ORDER BY rowid DESC LIMIT 1
"""
_POSITIONS = "SELECT command_id, rowid FROM stored_events WHERE command_id IN ({})"
_STREAMS = f"{_COLUMNS} WHERE originator_id IN ({{}}) ORDER BY originator_id, originator_version"


def has_wal_fix(version: tuple[int, ...]) -> bool:
    """Return whether this SQLite is free of the bug that can damage a file in WAL mode."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def check_is_ledger(address: str) -> None:
    """Raise NoLedger when nothing is at the path, StorageFailed when it is something else than a ledger."""
    sqlite_reading.check_is_ledger(Path(address))


def create(address: str, entries: Sequence[StoredEvent]) -> None:
    """Make a new ledger file of these entries, whole or not at all.

    Raises LedgerError when something is at the path already, StorageFailed when the file cannot be made.
    """
    path = Path(address)
    if path.exists():
        todo = "choose another name, or use the ledger as it is"
        raise LedgerError(address, "there is something here already", todo)
    if not path.absolute().parent.is_dir():
        raise LedgerError(address, "its folder does not exist", "make the folder first")
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with closing(_LedgerDatastore(draft, "rwc")) as datastore:
            recorder = EntryRecorder(datastore)
            recorder.create_table()
            recorder.insert_events(entries)
        try:
            os.link(draft, path)
            sync(path.absolute().parent)
        except FileExistsError:
            raise LedgerError(address, "there is something here already", "choose another name") from None
    except OSError as error:
        raise StorageFailed(address, f"could not be made: {error.strerror}", "choose another place") from None
    finally:
        for end in ("", ".lock", "-journal"):
            with contextlib.suppress(OSError):  # what cannot be removed is in nobody's way
                draft.with_name(draft.name + end).unlink()


def fill(path: Path, parts: Iterable[Sequence[StoredEvent]], checkpoints: Iterable[tuple[int, str]]) -> None:
    """Make a ledger of an empty file: entries part by part, then checkpoints, by size."""
    with closing(_LedgerDatastore(path, "rwc")) as datastore:
        recorder = EntryRecorder(datastore)
        recorder.create_table()
        for part in parts:
            recorder.insert_events(part)
        for size, note in checkpoints:
            recorder.keep_checkpoint(size, note)


def altered(path: Path) -> list[str]:
    """Return the names of tables, indexes and triggers that are missing in a ledger, or not as they were made."""
    with (
        closing(sqlite3.connect(":memory:")) as new,
        closing(sqlite_reading.connect(path)) as found,
    ):
        for statement in _SCHEMA:
            new.execute(statement)
        made, there = (set(c.execute(_MADE).fetchall()) for c in (new, found))
    return sorted({name.decode("utf-8", "backslashreplace") for name, _ in made ^ there})


class _WritingTransaction(SQLiteTransaction):
    """A transaction that holds the write lock from its beginning, so that what it reads stays true."""

    def __enter__(self) -> SQLiteCursor:
        cursor = self.connection.cursor()
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise OperationalError(error) from error
        return cursor


class _LedgerConnection(SQLiteConnection):
    """A connection whose writing transactions wait their turn at a lock file, in order of coming."""

    def __init__(self, connection: sqlite3.Connection, path: Path, max_age: float | None) -> None:
        super().__init__(connection, max_age)
        self._path, self._lock = path, path.with_name(path.name + ".lock")
        self._turn: BinaryIO | None = None

    @contextlib.contextmanager
    def transaction(self, *, commit: bool) -> Iterator[SQLiteCursor]:
        """Yield a cursor inside a transaction; writers are let in one after the other."""
        if not commit:
            with SQLiteTransaction(self) as cursor, cursor:
                self._begin_to_read(cursor.sqlite_cursor)
                yield cursor
            return
        if fcntl is None:
            with _WritingTransaction(self, commit=True) as cursor, cursor:
                yield cursor
            return
        if self._turn is None:
            self._turn = self._lock.open("ab")
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            with _WritingTransaction(self, commit=True) as cursor, cursor:
                yield cursor
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _begin_to_read(self, cursor: sqlite3.Cursor) -> None:
        """See one state of the ledger from here on, in which nothing is half-done."""
        try:
            cursor.execute("PRAGMA schema_version")
        except sqlite3.OperationalError as error:
            if not is_half_done(error):
                raise
            undo(self._path)
            cursor.execute("PRAGMA schema_version")

    def _close(self) -> None:
        super()._close()
        if self._turn is not None:
            self._turn.close()


class _LedgerPool(SQLiteConnectionPool):
    """Connections with full synchronisation, a statement cache, and WAL only where SQLite has it right."""

    path: Path

    def _create_connection(self) -> SQLiteConnection:
        connection = sqlite3.connect(
            self.db_name,
            uri=True,
            check_same_thread=False,
            isolation_level=None,
            cached_statements=64,
            timeout=self.lock_timeout or LOCK_SECONDS,
        )
        with kept_if_sound(connection):
            if "mode=ro" not in self.db_name:
                # a draft has no log beside it: what closing it cannot bring over into the one file would be lost
                wal = has_wal_fix(sqlite3.sqlite_version_info) and "mode=rwc" not in self.db_name
                connection.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'TRUNCATE'}")
                connection.execute(f"PRAGMA synchronous = {'FULL' if wal else 'EXTRA'}")
            connection.execute("PRAGMA recursive_triggers = ON")
            distrust(connection)
        connection.row_factory = sqlite3.Row
        return _LedgerConnection(connection, self.path, self.max_age)


class _LedgerDatastore(SQLiteDatastore):
    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(uri(path, mode), lock_timeout=LOCK_SECONDS, originator_id_type="text")
        self.pool.close()
        self.pool = _LedgerPool(db_name=uri(path, mode), lock_timeout=LOCK_SECONDS)
        self.pool.path = path


class EntryRecorder(SQLiteApplicationRecorder):
    """Appends stored entries and reads them back, in order of position."""

    def construct_create_table_statements(self) -> list[str]:
        """Return the statements that make an empty ledger."""
        return [*_SCHEMA, f"PRAGMA schema_version = {randbelow(2**31)}"]  # tells one ledger from another

    def _insert_events(self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int]:
        first = (self._max_notification_id(c) or 0) + 1
        c.executemany("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", columns(stored_events, first))
        return range(first, first + len(stored_events))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return the stored entries of a stream, with their positions."""
        statement = _SELECT_DESCENDING if desc else _SELECT_ASCENDING
        with self.datastore.transaction(commit=False) as c:
            c.execute(
                statement, (originator_id, gt or 0, 2**62 if lte is None else lte, -1 if limit is None else limit)
            )
            return [StoredEntry(*row) for row in c.fetchall()]

    def rows(self, up_to: int) -> Generator[Row, None, None]:
        """Yield position, stream, version, name and state of every entry up to a position."""
        with self.datastore.transaction(commit=False) as c:
            cursor = c.sqlite_cursor
            cursor.row_factory = None
            yield from cursor.execute(f"{_COLUMNS} WHERE rowid <= ? ORDER BY rowid", (up_to,))

    def at(self, positions: Iterable[int]) -> list[Row]:
        """Return position, stream, version, name and state of the entries at these positions."""
        with self.datastore.transaction(commit=False) as c:
            found = []
            for position in positions:
                c.execute(f"{_COLUMNS} WHERE rowid = ?", (position,))
                found += [cast(Row, tuple(row)) for row in c.fetchall()]
        return found

    def positions_of(self, command_ids: Sequence[str]) -> dict[str, int]:
        """Return the positions of those command ids that are already in the ledger."""
        with self.datastore.transaction(commit=False) as c:
            return {row[0]: row[1] for row in _in_chunks(c, _POSITIONS, command_ids)}

    def last_sealed(self, customer: str = "", after: int = 0) -> bytes | None:
        """Return the state of the last entry with a sealed summary, or of the last that also names a customer."""
        with self.datastore.transaction(commit=False) as c:
            c.execute(_LAST_SEALED, (after, SEALED_SUMMARY, naming(customer)))
            return next((bytes(row[0]) for row in c.fetchall()), None)

    def identity(self) -> str:
        """Return what tells this ledger from any other: a number drawn when it was made."""
        with self.datastore.transaction(commit=False) as c:
            c.execute("PRAGMA schema_version")
            return str(c.fetchone()[0])

    def sync(self) -> None:
        """Make sure that what is read here survives a power cut, after an error that came once it was committed.

        What is committed is a journal cut to nothing, or a log. The ledger's own file was made durable before, and to
        open and close it here would give up this process's locks on it.
        """
        path = cast(_LedgerPool, self.datastore.pool).path
        try:
            for beside in (path.with_name(f"{path.name}-journal"), path.with_name(f"{path.name}-wal")):
                if beside.exists():
                    sync(beside)
        except OSError as error:
            raise OperationalError(error) from error

    def before(self, facts: Sequence[Fact]) -> tuple[int, dict[str, int], list[Row]]:
        """Return how the ledger stands at one instant, for facts to be judged: the last position, the positions of
        their command ids, and the rows of the streams of those that are not there by id, in order of version.
        """
        with self.datastore.transaction(commit=False) as c:
            return self._before(c, facts)

    def insert_decided(self, facts: Sequence[Fact], decided: Decision) -> Sequence[int]:
        """Append what is decided on how the ledger stands before facts, and return its positions; no other writer comes
        between. What `decided` raises leaves everything as it was.
        """
        with self.datastore.transaction(commit=True) as c:
            return self._insert_events(c, decided(*self._before(c, facts)))

    def keep_checkpoint(self, size: int, note: str) -> str:
        """Keep a checkpoint, unless one of that size or larger is kept; return the first of these that is."""
        with self.datastore.transaction(commit=True) as c:
            c.execute("SELECT note FROM checkpoints WHERE size >= ? ORDER BY size LIMIT 1", (size,))
            for row in c.fetchall():
                return str(row["note"])
            c.execute("INSERT INTO checkpoints VALUES (?, ?)", (size, note))
        return note

    def _before(self, c: SQLiteCursor, facts: Sequence[Fact]) -> tuple[int, dict[str, int], list[Row]]:
        last = self._max_notification_id(c) or 0
        if not last:
            return 0, {}, []
        ids = [f.command_id for f in facts if f.command_id is not None]
        known = {row[0]: row[1] for row in _in_chunks(c, _POSITIONS, ids)}
        streams = dict.fromkeys(f.stream for f in facts if f.command_id not in known)
        return last, known, list(_in_chunks(c, _STREAMS, list(streams)))


def _in_chunks(c: SQLiteCursor, statement: str, values: Sequence[str]) -> Iterator[Any]:
    """Yield the rows of a statement whose marks stand for values, asked for some hundreds of them at a time."""
    cursor = c.sqlite_cursor
    cursor.row_factory = None
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK]
        yield from cursor.execute(statement.format(",".join("?" * len(part))), part)


class LedgerFactory(SQLiteFactory):
    """Builds the store from LEDGER_ADDRESS and LEDGER_MODE: `rw` to record, `ro` to read."""

    application_recorder_class = EntryRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        found = env if isinstance(env, Environment) else Environment(env=env)
        found["SQLITE_DBNAME"] = ":memory:"
        super().__init__(found)
        self.datastore.close()
        path, mode = Path(str(found.get("LEDGER_ADDRESS"))), str(found.get("LEDGER_MODE"))
        self.datastore = _LedgerDatastore(path, mode)
