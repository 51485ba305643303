"""Reading the rows of a ledger in PostgreSQL, past the library: what views, replays and single streams are read by.

Nothing heavier than the driver is imported here. Writing goes through `ledger.book`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from shlex import quote
from typing import Any, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.errors import NoLedger, StorageFailed, damaged, said
from ledger.instants import HAPPENED_AT, RECORDED_AT
from ledger.store.address import is_well_formed, shown
from ledger.store.reading import EVERYTHING, FORMAT, Sealed, Stored, another_format, typed, typed_ids, typed_leaves

CONNECT_SECONDS = 10
BATCH = 5000
LIMITS = {  # unless the address says otherwise
    "connect_timeout": str(CONNECT_SECONDS),
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "application_name": "sla-ledger",
}

_LOOK = """
SELECT obj_description(c.oid, 'pg_class'), current_user,
    has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), c.relkind = 'r'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'sla_ledger' AND c.relname = 'ledger_events'
"""

_DAMAGE = (  # what a server says of tables that are not as they were made
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.DatatypeMismatch,
)
COLUMNS = "SELECT notification_id, originator_id, originator_version, topic, state FROM sla_ledger.ledger_events"
BY_STREAM = f"""{COLUMNS}
WHERE originator_id >= %s AND originator_id < %s AND notification_id <= %s ORDER BY originator_id, originator_version"""
LAST = "SELECT max(notification_id) FROM sla_ledger.ledger_events"


def check_is_ledger(address: str) -> None:
    """Raise NoLedger when the database is empty, StorageFailed when there is no ledger in it or it cannot be read."""
    where = shown(address)
    with connected(address) as connection:
        found = connection.execute(_LOOK).fetchone()
        tables = "SELECT FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        if found is None and connection.execute(tables).fetchone() is None:
            raise NoLedger(where)
    if found is not None and not found[3]:
        raise damaged(where, "its entries are computed, not kept in a table")
    mark = None if found is None else re.fullmatch(r"sla-ledger format ([0-9]+)", str(found[0]))
    if found is None or mark is None:
        todo = f"name a ledger's database; to make one beside what is here: sla-ledger --db {quote(where)} init"
        raise StorageFailed(where, "this database is not a ledger", todo)
    if int(mark[1]) != FORMAT:
        raise StorageFailed(where, *another_format(int(mark[1])))
    _, user, readable, _ = found
    if not readable:
        todo = f"let its owner grant it: GRANT sla_ledger_auditor TO {user}"
        raise StorageFailed(where, "this login may not read the ledger", todo)


@contextlib.contextmanager
def connected(address: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Yield a connection of its own; StorageFailed when there is none, or when what is done with it fails."""
    try:
        with psycopg.connect(told(address), autocommit=True) as connection:
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            yield connection
    except psycopg.Error as error:
        what = said(error)
        todo = "check that the server runs there, and the names of database and login"
        if re.search(r'database ".*" does not exist', what):
            todo = "check its name, or make the database first: createdb"
        elif "password" in what:
            todo = "check user and password; PGPASSWORD and ~/.pgpass keep a password out of the address"
        raise StorageFailed(shown(address), f"the database cannot be used: {what}", todo) from error


def told(address: str) -> str:
    """Return what the driver is told: the address, and limits of time where it names none."""
    if is_well_formed(address):
        with contextlib.suppress(psycopg.ProgrammingError, UnicodeError):  # whose text may quote the password
            return make_conninfo(address, **(LIMITS | conninfo_to_dict(address) | {"client_encoding": "utf8"}))
    todo = "write it like postgresql://USER:PASSWORD@HOST:PORT/DATABASE, other signs in a part as %40 for @"
    raise StorageFailed(shown(address), "this is no address of a database, or a parameter in it is unknown", todo)


class DatabaseReader:
    """Reads the rows of a ledger in PostgreSQL over one connection, in one transaction that ends when it is closed."""

    def __init__(self, address: str) -> None:
        check_is_ledger(address)
        self.where = shown(address)
        self._names = count(1)
        self._open = contextlib.ExitStack()
        self._connection = self._open.enter_context(connected(address))
        self._open.callback(self._connection.rollback)
        self._connection.autocommit, self._connection.read_only = False, True

    def identity(self) -> str:
        """Return what tells this ledger from any other: the number the server gave its table."""
        return str(self._one("SELECT 'sla_ledger.ledger_events'::regclass::oid"))

    def first_position(self) -> int:
        """Return the position of the first entry, 1 for none; in a ledger that is whole it is 1."""
        first = self._one("SELECT min(notification_id) FROM sla_ledger.ledger_events")
        return 1 if first is None else int(first)

    def last_position(self) -> int:
        """Return the position of the last entry, 0 for none."""
        return int(self._one(LAST) or 0)

    def rows(self, up_to: int, after: int = 0) -> Iterator[Stored]:
        """Yield the entries in `(after, up_to]` in order of position."""
        where = "notification_id > %s AND notification_id <= %s ORDER BY notification_id"
        return self._each(f"{COLUMNS} WHERE {where}", after, up_to)

    def rows_by_stream(self, first: str, until: str, up_to: int) -> Iterator[Stored]:
        """Yield the entries of streams with first <= id < until, up to a position, by id (as bytes), then version."""
        return self._each(BY_STREAM, first, until, up_to)

    def streams_after(self, after: int, up_to: int) -> list[str]:
        """Return the streams that have entries in `(after, up_to]`."""
        statement = (
            "SELECT originator_id FROM sla_ledger.ledger_events"
            " WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id"
        )
        return list(dict.fromkeys(row[0] for row in self._all(statement, after, up_to)))

    def at(self, positions: Iterable[int]) -> list[Stored]:
        """Return the entries at these positions, in this order."""
        wanted = list(positions)
        found = {row[0]: row for row in typed(self._all(f"{COLUMNS} WHERE notification_id = ANY(%s)", wanted))}
        return [cast(Stored, found[position]) for position in wanted if position in found]

    def known_position(self, at: str, up_to: int) -> int:
        """Return the position before the first entry recorded after an instant (RFC 3339 in UTC), at most `up_to`."""
        later = (
            "SELECT notification_id FROM sla_ledger.ledger_events WHERE notification_id <= %s"
            " AND substring(state FROM %s FOR %s) > convert_to(%s, 'UTF8') ORDER BY notification_id LIMIT 1"
        )
        found = self._all(later, up_to, *RECORDED_AT, at)
        return int(found[0][0]) - 1 if found else up_to

    def earliest_after(self, position: int) -> tuple[str, list[str]]:
        """Return the earliest time of an entry after a position, and the streams that are corrected after it."""
        earliest = (
            "SELECT min(convert_from(substring(state FROM %s FOR %s), 'UTF8') COLLATE \"C\")"
            " FROM sla_ledger.ledger_events WHERE notification_id > %s"
        )
        corrected = (
            "SELECT DISTINCT originator_id FROM sla_ledger.ledger_events"
            " WHERE notification_id > %s AND topic IN ('EntryWithdrawn', 'EntryCorrected')"
        )
        time = str(self._all(earliest, *HAPPENED_AT, position)[0][0])
        return time, [row[0] for row in self._all(corrected, position)]

    def bounds(self, first: str, until: str, parts: int) -> list[str]:
        """Return stream ids that cut the streams with first <= id < until into parts of about equal size."""
        last = self.last_position()
        sample = self.at(range(1, last + 1, max(1, last // 4096)))
        ids = sorted(row[1] for row in sample if first <= row[1] < until)
        return list(dict.fromkeys(ids[len(ids) * k // parts] for k in range(1, parts) if ids))

    def leaves(self, up_to: int, after: int = 0) -> Iterator[bytes]:
        """Yield the leaf hashes that are kept with the entries in `(after, up_to]`, in order of position."""
        statement = (
            "SELECT leaf FROM sla_ledger.ledger_events"
            " WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id"
        )
        return (row[0] for row in self._each(statement, after, up_to, check=typed_leaves))

    def sealed(self, up_to: int, after: int = 0) -> Iterator[Sealed]:
        """Yield the entries in `(after, up_to]` in order of position, each with the leaf hash that is kept with it."""
        columns = COLUMNS.replace("state", "state, leaf", 1)
        where = "notification_id > %s AND notification_id <= %s ORDER BY notification_id"
        return self._each(f"{columns} WHERE {where}", after, up_to)

    def command_ids(self, up_to: int) -> Iterator[tuple[int, str]]:
        """Yield position and command id of the entries up to a position that are known by one, in order of the ids."""
        statement = (
            "SELECT notification_id, command_id FROM sla_ledger.ledger_events"
            " WHERE command_id IS NOT NULL AND notification_id <= %s ORDER BY command_id"
        )
        return self._each(statement, up_to, check=typed_ids)

    def kept_checkpoints(self) -> list[tuple[int, str]]:
        """Return all checkpoints that are kept, by the size that each is kept under: that size, and the note."""
        return [(row[0], row[1]) for row in self._all("SELECT size, note FROM sla_ledger.checkpoints ORDER BY size")]

    def checkpoints(self) -> list[str]:
        """Return the notes of all checkpoints that are kept, by size."""
        return [note for _, note in self.kept_checkpoints()]

    def count(self, up_to: int = EVERYTHING) -> int:
        """Return how many entries there are up to a position."""
        counted = "SELECT count(*) FROM sla_ledger.ledger_events WHERE notification_id <= %s"
        return int(self._all(counted, up_to)[0][0])

    def close(self) -> None:
        """End the transaction and close the connection."""
        self._open.close()

    def _one(self, statement: str) -> int | None:
        return cast("int | None", self._all(statement)[0][0])

    def _all(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._errors(), self._connection.cursor(binary=True) as cursor:
            return cursor.execute(statement, values).fetchall()

    def _each(self, statement: str, *values: object, check: Callable[[list[Any]], list[Any]] = typed) -> Iterator[Any]:
        """Yield rows from a cursor of the server, some thousands at a time, each of the types that are stored."""
        with self._errors(), self._connection.cursor(f"entries_{next(self._names)}") as cursor:
            cursor.execute(statement, values, binary=True)
            while rows := cursor.fetchmany(BATCH):
                yield from check(rows)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            if "invalid page" in str(error) or isinstance(error, _DAMAGE):
                raise damaged(self.where, f"what is stored is damaged: {said(error)}") from error
            todo = "check the server, then try again"
            raise StorageFailed(self.where, f"the store failed: {said(error)}", todo) from error
