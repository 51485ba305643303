"""Building the views from nothing: the cases of a ledger in parts by stream, then the walk through their moves."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ledger.errors import LedgerBroken
from ledger.store.reading import Reader
from projections.grounds import Grounds
from projections.overtaking import Walk
from projections.replay import SHIFT, Case, Emptied, cases
from projections.views.place import APPLICATION_ID
from projections.views.rows import MASK, case_row, emptied_row, grouped, handled_as, handling_row, left_at, rank
from projections.views.tables import GROUPED, INDEXES, SCHEMA, decode, encode, sealed

KINDS = (("incident:", "incident;"), ("request:", "request;"))
SLICE = 50_000  # cases of one step of the walk
Progress = Callable[[int, int], None]

_MOVING = """CREATE TABLE moving ( -- what is not yet walked through
    position INTEGER PRIMARY KEY, received INTEGER, left_at INTEGER, stays TEXT,
    handled_in TEXT, handled_at INTEGER, handled_position INTEGER
)"""


def connected(path: Path) -> sqlite3.Connection:
    """Return a connection to a file that nobody reads before it is complete: no journal, nothing synchronised."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -65536", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")  # first of all: a draft left behind is known by it
    return connection


@contextmanager
def no_collection() -> Iterator[None]:
    """Do without the garbage collector for a while: what is made here has no cycles."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def part(
    path: Path, reader: Reader, grounds: Grounds, spans: Iterable[tuple[str, str]], up_to: int
) -> tuple[dict[tuple[str, str, str], int], int]:
    """Write the cases of streams with first <= id < until into a file of their own; return totals and entries read."""
    totals: dict[tuple[str, str, str], int] = {}
    read = 0
    with no_collection(), closing(connected(path)) as connection:
        for statement in (*SCHEMA, _MOVING):
            connection.execute(statement)
        connection.execute("BEGIN")
        for first, until in spans:
            moving: list[tuple[Any, ...]] = []
            emptied: list[tuple[Any, ...]] = []

            def rows(
                found: Iterable[Case | Emptied],
                moving: list[tuple[Any, ...]] = moving,
                emptied: list[tuple[Any, ...]] = emptied,
            ) -> Iterator[tuple[Any, ...]]:
                nonlocal read
                for case in found:
                    read += case.entries
                    if isinstance(case, Emptied):
                        emptied.append(emptied_row(case))
                        continue
                    stays = encode(case.stays).decode()
                    moving.append((case.position, case.received, left_at(case), stays, *handled_as(case.handled)))
                    row = case_row(case)
                    grouped((row,), totals)
                    yield row

            found = cases(reader.rows_by_stream(first, until, up_to), grounds)
            marks = ",".join("?" * 27)
            connection.executemany(f"INSERT INTO cases VALUES ({marks})", rows(found))
            connection.executemany("INSERT INTO moving VALUES (?, ?, ?, ?, ?, ?, ?)", moving)
            connection.executemany("INSERT INTO emptied VALUES (?, ?, ?, ?)", emptied)
        connection.execute("COMMIT")
    return totals, read


def fill(
    connection: sqlite3.Connection,
    draft: Path,
    reader: Reader,
    grounds: Grounds,
    up_to: int,
    jobs: int,
    progress: Progress,
) -> tuple[dict[tuple[str, str, str], int], int]:
    """Judge every case into an empty file; return the totals of the answered ones and how many entries were read."""
    for statement in (*SCHEMA, _MOVING):
        connection.execute(statement)
    own = draft.with_name(f"{draft.name}.part")
    own.unlink(missing_ok=True)
    try:
        totals, read = part(own, reader, grounds, KINDS, up_to)
        merged(connection, [own])
    finally:
        own.unlink(missing_ok=True)
    return totals, read


def others(reader: Reader, up_to: int) -> int:
    """Read all entries that are not those of cases, and return how many there are; LedgerBroken for a damaged one."""
    from ledger.store.mapper import from_state

    edges = ["", *(edge for kind in KINDS for edge in kind), "\U0010ffff"]
    found, stream, last = 0, "", 0
    for first, until in zip(edges[::2], edges[1::2], strict=True):
        for row in reader.rows_by_stream(first, until, up_to):
            if row[2] != (last + 1 if row[1] == stream else 1):
                raise LedgerBroken(
                    f"entry {row[0]}", "a version is missing before it", "restore the ledger from a copy"
                )
            stream, last = row[1:3]
            from_state(*row)
            found += 1
    return found


def find_damage(reader: Reader, up_to: int) -> None:
    """Read every entry in order of position, to raise LedgerBroken that names the first that is missing or damaged."""
    from ledger.store.mapper import checked

    found = sum(1 for _ in checked(reader.rows(up_to)))
    if found != up_to:
        raise LedgerBroken(f"entry {found + 1}", "it is missing", "restore the ledger from a copy")


def merged(connection: sqlite3.Connection, parts: Iterable[Path]) -> None:
    """Bring parts together in one file, in the order of the streams' first entries."""
    for path in parts:
        connection.execute("ATTACH ? AS part", (str(path),))
        connection.execute("INSERT INTO cases SELECT * FROM part.cases ORDER BY position")
        connection.execute("INSERT INTO emptied SELECT * FROM part.emptied ORDER BY stream")
        connection.execute("INSERT INTO moving SELECT * FROM part.moving ORDER BY position")
        connection.execute("DETACH part")
    for statement in INDEXES:
        connection.execute(statement)


def order(connection: sqlite3.Connection, by_priority: bool, progress: Progress) -> dict[str, int]:
    """Walk through the moves of all cases in slices of time, write the handling order, and return its sums."""
    walk = Walk(by_priority)
    sums = {"handled": 0, "out_of_turn": 0, "overtaken": 0, "overtakings": 0}
    waiting: dict[int, tuple[Any, ...]] = {}

    def rows(until: int | None) -> Iterator[tuple[Any, ...]]:
        found = walk.lead(until)
        for own in [r for r, info in waiting.items() if until is None or (info[2] + 1) << SHIFT <= until]:
            position, received, left, stays, *handled = waiting.pop(own)
            overtook, overtaken, first, passers = found.of(own)
            is_handled = handled[0] is not None
            sums["handled"] += is_handled
            sums["out_of_turn"] += is_handled and overtook > 0
            sums["overtaken"] += overtaken > 0
            sums["overtakings"] += overtook
            by = [(a, b & MASK) for a, b in passers]
            who = None if first is None else first & MASK
            yield handling_row(position, received, left, overtook, overtaken, who, by, stays, handled)

    into = "INSERT INTO handling VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    total, done = connection.execute("SELECT count(*) FROM moving").fetchone()[0], 0
    cursor = connection.execute("SELECT * FROM moving ORDER BY received, position")
    while batch := cursor.fetchmany(SLICE):
        for row in batch:
            own = rank(row[1], row[0])
            waiting[own] = row
            walk.add(own, decode(row[3]), None if row[4] is None else (row[4], rank(row[5], row[6])))
        done += len(batch)
        last = batch[-1]
        connection.executemany(into, rows(rank(last[1], last[0])))
        progress(done, total)
    connection.executemany(into, rows(None))
    connection.execute("DROP TABLE moving")
    return sums


def write_totals(connection: sqlite3.Connection, totals: dict[tuple[str, str, str], int]) -> None:
    """Write how many answered cases of each kind have which verdict."""
    found = [sealed((*key, n)) for key, n in sorted(totals.items(), key=lambda t: (GROUPED.index(t[0][0]), t[0])) if n]
    connection.executemany("INSERT OR REPLACE INTO totals VALUES (?, ?, ?, ?, ?)", found)
    connection.executemany(
        "DELETE FROM totals WHERE grouped = ? AND item = ? AND verdict = ?", [k for k, n in totals.items() if not n]
    )
