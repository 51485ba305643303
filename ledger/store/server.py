"""How a PostgreSQL server keeps a ledger: its version and settings, what the login may do, and whether guards stand."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import clock
from ledger.instants import seconds
from ledger.store.postgres_reading import connected

GUARDS = {  # the functions that keep a table's rows as they are, by table
    "ledger_events": {"never_changed", "never_a_gap"},
    "checkpoints": {"never_changed", "in_order"},
}
_KEEPERS = sorted({name for names in GUARDS.values() for name in names})

_SETTINGS = """
SELECT current_setting('server_version'), current_user::text, current_setting('synchronous_commit'),
    current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on',
    current_setting('data_checksums') = 'on', extract(epoch FROM clock_timestamp())::bigint - %s::bigint
"""
_MAY = """
SELECT right_, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
    unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) right_
WHERE n.nspname = 'sla_ledger' AND c.relkind = 'r' AND has_table_privilege(c.oid, right_) ORDER BY right_, c.relname
"""
_TABLES = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'sla_ledger' AND c.relkind = 'r'
"""
_TRIGGERS = """
SELECT c.relname::text, t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = t.tgfoid
WHERE n.nspname = 'sla_ledger' AND NOT t.tgisinternal AND t.tgenabled = 'A' AND p.proname = t.tgname
"""
_FUNCTIONS = """
SELECT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'sla_ledger' AND NOT p.proname = ANY(%s) ORDER BY p.proname
"""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself and of this login.

    may: rights on tables, as pairs. asleep: guards that are not there or do not always fire, as `table: name`.
    ahead_by_seconds: the server's clock before this machine's, to about a second.
    """

    version: str
    login: str
    synchronous_commit: str
    syncs: bool
    writes_whole_pages: bool
    has_checksums: bool
    ahead_by_seconds: int
    may: tuple[tuple[str, str], ...]
    asleep: tuple[str, ...]
    other_functions: tuple[str, ...]

    @property
    def may_change(self) -> list[str]:
        """What the login could do to entries that are there: `UPDATE ledger_events` and the like."""
        return [f"{right} {table}" for right, table in self.may if right != "INSERT"]


def asked(address: str) -> Server:
    """Return what the server of a ledger says. Raises StorageFailed when it is out of reach."""
    with connected(address) as connection:
        found = connection.execute(_SETTINGS, (seconds(clock.now()),)).fetchone()
        assert found is not None
        may = connection.execute(_MAY).fetchall()
        tables = {name for (name,) in connection.execute(_TABLES).fetchall()}
        there = set(connection.execute(_TRIGGERS).fetchall())
        others = connection.execute(_FUNCTIONS, (_KEEPERS,)).fetchall()
    wanted = [(table, name) for table, names in GUARDS.items() if table in tables for name in sorted(names)]
    asleep = [f"{table}: {name}" for table, name in wanted if (table, name) not in there]
    version, login, commit, syncs, whole, sums, ahead = found
    rights, names = tuple((right, table) for right, table in may), tuple(name for (name,) in others)
    return Server(version, login, commit, syncs, whole, sums, ahead, rights, tuple(asleep), names)
