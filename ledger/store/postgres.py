"""The PostgreSQL store: append-only tables, positions that are gap-free from 1, in the order of their commits.

It takes the library's recorder and gives it tables, connections and a turn to write of the ledger's own. The schema
`sla_ledger` belongs to who makes the ledger; two roles are for an administrator to grant to logins: the writer may read
and append, the auditor may read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError, PersistenceError, StoredEvent
from eventsourcing.postgres import ConnectionPool, PostgresApplicationRecorder, PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment, EnvType
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import DictRow, dict_row, tuple_row

from ledger.entry import Fact
from ledger.errors import LedgerError, StorageFailed, said
from ledger.store.address import shown
from ledger.store.mapper import Row
from ledger.store.postgres_reading import (
    BATCH,
    COLUMNS,
    CONNECT_SECONDS,
    LAST,
    check_is_ledger,
    connected,
    told,
)
from ledger.store.reading import SEALED_SUMMARY, naming
from ledger.store.recorder import Decision
from ledger.store.stored import StoredEntry, columns

__all__ = ["LAST", "EntryRecorder", "LedgerFactory", "check_is_ledger", "create"]
_LAST_SEALED = """
SELECT state FROM sla_ledger.ledger_events
WHERE notification_id > %s AND position(%s::bytea IN state) > 0 AND position(%s::bytea IN state) > 0
ORDER BY notification_id DESC LIMIT 1
"""

# An advisory lock, because a role that may only append may not lock a table. What a database sets for itself may make
# a commit safer than `on`, never less safe.
_TAKE_TURN = """
SET LOCAL lock_timeout = '30s';
SET LOCAL idle_in_transaction_session_timeout = '30s';
SELECT set_config('synchronous_commit', 'on', true)
WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
SELECT pg_advisory_xact_lock(1397506380)
"""
_TAKE_TURN_AFTER = f"{_TAKE_TURN};\n{LAST}"

_APPEND = """
INSERT INTO sla_ledger.ledger_events
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::bytea[], %s::text[], %s::bytea[])
"""

_CHECKPOINT = "SELECT note FROM sla_ledger.checkpoints WHERE size >= %s ORDER BY size LIMIT 1"

_STREAM = """
SELECT originator_id, originator_version, topic, state, command_id, notification_id FROM sla_ledger.ledger_events
WHERE originator_id = %s AND originator_version > %s AND originator_version <= %s ORDER BY originator_version"""
_ASCENDING = f"{_STREAM} LIMIT %s"
_DESCENDING = f"{_STREAM} DESC LIMIT %s"

_POSITIONS = "SELECT command_id, notification_id FROM sla_ledger.ledger_events WHERE command_id = ANY(%s)"
_STREAMS = f"{COLUMNS} WHERE originator_id = ANY(%s) ORDER BY originator_id, originator_version"


def create(address: str, entries: Sequence[StoredEvent]) -> None:
    """Make a new ledger of these entries in one transaction: schema, roles, entries, or nothing at all.

    Raises LedgerError when the database holds a ledger already, StorageFailed when it cannot be made.
    """
    where = shown(address)
    with connected(address) as connection, connection.transaction():
        connection.execute(_TAKE_TURN)
        if connection.execute("SELECT FROM pg_namespace WHERE nspname = 'sla_ledger'").fetchone() is not None:
            todo = "choose another database, or use the ledger as it is"
            raise LedgerError(where, "there is something here already", todo)
        try:
            connection.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
        except InsufficientPrivilege as error:
            todo = "use a login that may create schemas in this database, and roles where they are not there yet"
            raise StorageFailed(where, f"this login may not make a ledger here: {said(error)}", todo) from None
        with connection.cursor() as cursor:
            _append(cursor, 0, entries)


def _append(cursor: psycopg.Cursor[Any], last: int, entries: Sequence[StoredEvent]) -> Sequence[int]:
    """Append entries behind the last one and return their positions; the turn to write is taken already."""
    for start in range(0, len(entries), BATCH):
        rows = columns(entries[start : start + BATCH], last + start + 1)
        cursor.execute(_APPEND, [list(c) for c in zip(*rows, strict=True)])
    return range(last + 1, last + len(entries) + 1)


class _LedgerDatastore(PostgresDatastore):
    """Connections that read what is committed, write where they may, and are given up after ten seconds without one."""

    def __init__(self, address: str, mode: str) -> None:
        super().__init__("", "", "", "", "", schema="sla_ledger", originator_id_type="text")
        self.where = shown(address)

        def configure(connection: psycopg.Connection[Any]) -> None:
            connection.autocommit = True
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # a turn shows what came before it
            connection.read_only = mode == "ro"

        self.pool = ConnectionPool(
            told(address),
            connection_class=psycopg.Connection[DictRow],
            kwargs={"row_factory": dict_row},
            min_size=1,
            max_size=4,
            num_workers=1,
            open=False,
            configure=configure,
            timeout=CONNECT_SECONDS,
        )

    @contextlib.contextmanager
    def get_connection(self) -> Iterator[psycopg.Connection[DictRow]]:
        """Yield a connection; when it is lost, those that wait to be used are looked at too."""
        try:
            with super().get_connection() as connection:
                yield connection
        except (OperationalError, InterfaceError):
            self.pool.check()
            raise

    def register_type_adapters(self) -> None:
        """Do nothing: entries are stored in plain columns."""


class EntryRecorder(PostgresApplicationRecorder):
    """Appends stored entries and reads them back, in order of position."""

    datastore: _LedgerDatastore

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Append entries in one transaction and return their positions; never tried twice."""
        with self._turn() as (c, last):
            return self._append(c, last, stored_events)

    def insert_decided(self, facts: Sequence[Fact], decided: Decision) -> Sequence[int]:
        """Append what is decided on how the ledger stands before facts, and return its positions; no other writer comes
        between. What `decided` raises leaves everything as it was.
        """
        with self._turn() as (c, last):
            return self._append(c, last, decided(last, *self._known(c, facts)))

    def keep_checkpoint(self, size: int, note: str) -> str:
        """Keep a checkpoint, unless one of that size or larger is kept; return the first of these that is."""
        with self._turn() as (c, _), self._only_reading(c):
            for row in c.execute(_CHECKPOINT, (size,)).fetchall():
                return str(row["note"])
            c.execute("INSERT INTO sla_ledger.checkpoints VALUES (%s, %s)", (size, note))
        return note

    @contextlib.contextmanager
    def _turn(self) -> Iterator[tuple[psycopg.Cursor[DictRow], int]]:
        """Yield a cursor in a transaction that no other writer comes into, and the position of the last entry.

        When the connection is lost, this waits for the end of the lost transaction, so that who looks it up afterwards
        learns what became of it.
        """
        connection = None
        try:
            with self.datastore.transaction(commit=True) as c:
                connection = c.connection
                c.execute(_TAKE_TURN_AFTER)
                while c.nextset():
                    pass
                yield c, c.fetchall()[0]["max"] or 0
        except (OperationalError, InterfaceError):
            if connection is not None and connection.closed:
                self._await_turn()
            raise

    def _await_turn(self) -> None:
        """Wait until whoever had the turn to write has committed, or has not; without a server, do not wait."""
        with contextlib.suppress(PersistenceError), self.datastore.transaction(commit=True) as c:
            c.execute(_TAKE_TURN)

    def _append(self, c: psycopg.Cursor[DictRow], last: int, stored_events: Sequence[StoredEvent]) -> Sequence[int]:
        self._notify_channel(c)
        with self._only_reading(c):
            return _append(c, last, stored_events)

    @contextlib.contextmanager
    def _only_reading(self, c: psycopg.Cursor[DictRow]) -> Iterator[None]:
        """Raise StorageFailed when the login may not write."""
        try:
            yield
        except InsufficientPrivilege:
            todo = f"let its owner grant it: GRANT sla_ledger_writer TO {c.connection.info.user}"
            raise StorageFailed(self.datastore.where, "this login may only read the ledger", todo) from None

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
        values = (originator_id, gt or 0, 2**62 if lte is None else lte, limit)
        return [StoredEntry(*row) for row in self._select(_DESCENDING if desc else _ASCENDING, values)]

    def max_notification_id(self) -> int | None:
        """Return the position of the last entry, None for none."""
        [[last]] = self._select(LAST, ())
        return cast("int | None", last)

    def rows(self, up_to: int) -> Generator[Row, None, None]:
        """Yield the entries up to a position, in order of position."""
        return self._each(f"{COLUMNS} WHERE notification_id <= %s ORDER BY notification_id", up_to)

    def before(self, facts: Sequence[Fact]) -> tuple[int, dict[str, int], list[Row]]:
        """Return how the ledger stands at one instant, for facts to be judged: the last position, the positions of
        their command ids, and the rows of the streams of those that are not there by id, in order of version.
        """
        with self.datastore.transaction(commit=False) as c:
            c.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            last = c.execute(LAST).fetchall()[0]["max"] or 0
            return (last, *self._known(c, facts))

    def _known(self, c: psycopg.Cursor[DictRow], facts: Sequence[Fact]) -> tuple[dict[str, int], list[Row]]:
        with c.connection.cursor(binary=True, row_factory=tuple_row) as cursor:
            ids = [f.command_id for f in facts if f.command_id is not None]
            positions = dict(cast("list[tuple[str, int]]", cursor.execute(_POSITIONS, (ids,)).fetchall()))
            streams = {f.stream for f in facts if f.command_id not in positions}
            rows = cursor.execute(_STREAMS, (list(streams),)).fetchall()
        return positions, cast("list[Row]", rows)

    def at(self, positions: Iterable[int]) -> list[Row]:
        """Return the entries at these positions, in this order."""
        wanted = list(positions)
        found = {
            row[0]: cast(Row, row) for row in self._select(f"{COLUMNS} WHERE notification_id = ANY(%s)", (wanted,))
        }
        return [found[position] for position in wanted if position in found]

    def positions_of(self, command_ids: Sequence[str]) -> dict[str, int]:
        """Return the positions of those command ids that are already in the ledger."""
        return dict(cast("list[tuple[str, int]]", self._select(_POSITIONS, (list(command_ids),))))

    def last_sealed(self, customer: str = "", after: int = 0) -> bytes | None:
        """Return the state of the last entry with a sealed summary, or of the last that also names a customer."""
        return next(
            (bytes(row[0]) for row in self._select(_LAST_SEALED, (after, SEALED_SUMMARY, naming(customer)))), None
        )

    def identity(self) -> str:
        """Return what tells this ledger from any other: the number the server gave its table."""
        return str(self._select("SELECT 'sla_ledger.ledger_events'::regclass::oid", ())[0][0])

    def sync(self) -> None:
        """Do nothing: what can be read was made durable before it could be."""

    def _each(self, statement: str, *values: str | int) -> Generator[Row, None, None]:
        """Yield rows from a cursor of the server, some thousands at a time."""
        with (
            self.datastore.transaction(commit=False) as c,
            c.connection.cursor("entries", row_factory=tuple_row) as cursor,
        ):
            cursor.itersize = BATCH
            yield from cast("Iterator[Row]", cursor.execute(statement, values, binary=True))

    def _select(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(binary=True, row_factory=tuple_row) as cursor,
        ):
            return cursor.execute(statement, values).fetchall()


class LedgerFactory(PostgresFactory):
    """Builds the store from LEDGER_ADDRESS and LEDGER_MODE."""

    application_recorder_class = EntryRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        found = env if isinstance(env, Environment) else Environment(env=env)
        for part in ("DBNAME", "HOST", "USER", "PASSWORD"):
            found[f"POSTGRES_{part}"] = ""  # the address says it
        super().__init__(found)
        self.datastore = _LedgerDatastore(str(found.get("LEDGER_ADDRESS")), str(found.get("LEDGER_MODE")))
