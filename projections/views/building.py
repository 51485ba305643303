"""Building the views from nothing: cases are judged in parts by stream, then their moves walked through by time.

Both are spread over processes; each part is a file of its own until all are brought together.
"""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from ledger.errors import LedgerBroken
from ledger.store.reading import Reader
from projections.grounds import Grounds
from projections.overtaking import Key, Stay, Walk, joined
from projections.replay import Case, Emptied, cases
from projections.stored_facts import FAR, SHIFT
from projections.views.place import APPLICATION_ID
from projections.views.rows import (
    MASK,
    Alike,
    Totals,
    case_row,
    emptied_row,
    handling_row,
    moving_row,
    rank,
)
from projections.views.tables import CASE_MARKS, GROUPED, HANDLING_MARKS, INDEXES, SCHEMA, SUMS, decode, encode, sealed

KINDS = (("incident:", "incident;"), ("request:", "request;"))
SLICE = 500  # cases of one step of a walk; as many as wait if those are more, for each step looks at them
MOST = 8  # processes; SQLite brings ten files together at most
AT_ONCE = 32  # cases that are judged, then written
FEW = 20_000  # entries that one process has judged before others have begun
Progress = Callable[[int, int], None]
Spread = Callable[[Path, Reader, Grounds, int, Progress], tuple[Totals, int]]  # as `part`, of all cases

_MOVING = """CREATE TABLE moving ( -- what is not yet walked through
    position INTEGER PRIMARY KEY, received INTEGER, left_at INTEGER, stays TEXT,
    handled_in TEXT, handled_at INTEGER, handled_position INTEGER
)"""

sqlite3.register_adapter(type(None), lambda nothing: nothing)  # without one of its own each null costs a long search


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


def fill(
    connection: sqlite3.Connection,
    draft: Path,
    reader: Reader,
    grounds: Grounds,
    up_to: int,
    progress: Progress,
    address: str | None = None,
    jobs: int = 1,
    elsewhere: Spread | None = None,
) -> tuple[Totals, int, dict[str, int]]:
    """Fill empty views with all cases; return the totals, how many entries were read, and the sums of the order.

    address: of the ledger, for other processes to read it by; without one there are none. elsewhere: has the cases
    judged, in place of processes here.
    """
    jobs = min(jobs, MOST) if address is not None and elsewhere is None and up_to > FEW else 1
    names = [draft.with_name(f"{draft.name}.{what}{i}") for what in ("cases", "order") for i in range(jobs)]
    for name in names:
        name.unlink(missing_ok=True)
    for statement in SCHEMA:
        connection.execute(statement)
    try:
        with no_collection(), _workers(jobs) as spread:
            if elsewhere is not None:
                judged = [elsewhere(names[0], reader, grounds, up_to, progress)]
            else:
                progress(0, 3)
                work = partial(_part_of, address, reader if address is None else None, encode(grounds), up_to)
                judged = [f() for f in [spread(work, p, s) for p, s in zip(names, spans(reader, jobs), strict=False)]]
                progress(1, 3)
            made = names[: len(judged)]
            walks = partial(walked, made, grounds.by_priority)
            walking = [spread(walks, *w) for w in zip(names[jobs:], *_windows(made, jobs), strict=False)]
            merged(connection, made)
            walked_through = [f() for f in walking]
            sums = _brought_together(connection, grounds.by_priority, names[jobs : jobs + len(walking)], walked_through)
    finally:
        for name in names:
            name.unlink(missing_ok=True)
    totals: Totals = {}
    for found, _ in judged:
        for key, count in found.items():
            totals[key] = totals.get(key, 0) + count
    return totals, sum(read for _, read in judged), sums


@contextmanager
def _workers(jobs: int) -> Iterator[Callable[..., Callable[[], Any]]]:
    """Yield what calls a function in a process of its own and returns what waits for the result; one job: here."""
    if jobs == 1:
        yield lambda work, *given: partial(work, *given)
        return
    from ledger.processes import pool

    with pool(jobs) as processes:
        yield lambda work, *given: processes.submit(work, *given).result


def spans(reader: Reader, parts: int) -> list[list[tuple[str, str]]]:
    """Return the streams of cases in parts of about equal size, each some ranges of stream ids, half-open."""
    found: list[list[tuple[str, str]]] = [[] for _ in range(parts)]
    for first, until in KINDS:
        cuts = [first, *(reader.bounds(first, until, parts) if parts > 1 else ()), until]
        for number, span in enumerate(pairwise(cuts)):
            found[number].append(span)
    return [f for f in found if f]


def _part_of(
    address: str | None,
    reader: Reader | None,
    grounds: bytes,
    up_to: int,
    path: Path,
    ranges: Sequence[tuple[str, str]],
) -> tuple[Totals, int]:
    import msgspec

    from ledger.store.address import reader_at

    known = msgspec.json.decode(grounds, type=Grounds)
    if reader is not None:
        return part(path, reader, known, ranges, up_to)
    with closing(reader_at(str(address))) as own:
        return part(path, own, known, ranges, up_to)


def part(
    path: Path, reader: Reader, grounds: Grounds, ranges: Iterable[tuple[str, str]], up_to: int
) -> tuple[Totals, int]:
    """Write the cases of streams with first <= id < until into a file of their own; return totals and entries read."""
    alike, read = Alike(), 0
    with no_collection(), closing(connected(path)) as connection:
        for statement in (*SCHEMA, _MOVING):
            connection.execute(statement)
        connection.execute("BEGIN")
        for first, until in ranges:
            found = cases(reader.rows_by_stream(first, until, up_to), grounds)
            while some := list(islice(found, AT_ONCE)):
                judged = [c for c in some if isinstance(c, Case)]
                rows = [case_row(c) for c in judged]
                connection.executemany(f"INSERT INTO cases VALUES ({CASE_MARKS})", rows)
                connection.executemany("INSERT INTO moving VALUES (?, ?, ?, ?, ?, ?, ?)", map(moving_row, judged))
                emptied = [emptied_row(c) for c in some if isinstance(c, Emptied)]
                connection.executemany("INSERT INTO emptied VALUES (?, ?, ?, ?)", emptied)
                alike.add(rows)
                read += sum(c.entries for c in some)
        connection.execute("COMMIT")
    totals: Totals = {}
    alike.count(totals)
    return totals, read


def others(reader: Reader, up_to: int) -> int:
    """Read all entries that are not those of cases, and return how many there are; LedgerBroken for a damaged one."""
    from ledger.store.mapper import from_state

    edges = ["", *(edge for kind in KINDS for edge in kind), "\U0010ffff"]
    found, stream, last = 0, "", 0
    for first, until in zip(edges[::2], edges[1::2], strict=True):
        for row in reader.rows_by_stream(first, until, up_to):
            if row[2] != (last + 1 if row[1] == stream else 1):
                what = "a version of its stream is missing before it"
                raise LedgerBroken(f"entry {row[0]}", what, "restore the ledger from a copy")
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
    """Bring the cases of parts together in one file."""
    for path in parts:
        connection.execute("ATTACH ? AS part", (str(path),))
        # in no other order than they stand in: so records are copied as they are
        connection.execute("INSERT INTO cases SELECT * FROM part.cases")
        connection.execute("INSERT INTO emptied SELECT * FROM part.emptied")
        connection.execute("DETACH part")
    for statement in INDEXES:
        if " ON cases " in statement:
            connection.execute(statement)


# The handling order


@dataclass(slots=True)
class Astride:
    """A case that waited across the edge of a window: what is kept of it, and what each window found."""

    info: tuple[Any, ...]
    overtook: int = 0
    overtaken: int = 0
    first: Key | None = None
    passers: list[tuple[Key, Key]] = field(default_factory=list)


def _windows(parts: Sequence[Path], count: int) -> tuple[list[int | None], list[int | None]]:
    """Return the instants at which windows of time with about as many receipts each begin and end."""
    if count == 1:
        return [None], [None]
    received = sorted(at for p in parts for at in _sample(p))
    cuts = sorted({received[len(received) * i // count] for i in range(1, count)}) if received else []
    return [None, *cuts], [*cuts, None]


def _sample(path: Path) -> list[int]:
    with closing(connected(path)) as connection:
        return [row[0] for row in connection.execute("SELECT received FROM moving WHERE position % 64 = 0")]


def walked(
    parts: Sequence[Path], by_priority: bool, path: Path, begin: int | None, end: int | None
) -> tuple[dict[str, int], dict[Key, Astride]]:
    """Walk through a window of time, write the handling of the cases that lie in it, and return its sums.

    begin, end: seconds since 1970, half-open. Beside the sums come the cases that waited across an edge of the window.
    """
    since = -(1 << 80) if begin is None else begin << SHIFT
    walk, astride, waiting = Walk(by_priority, since), dict[Key, Astride](), dict[Key, tuple[Any, ...]]()
    sums = dict.fromkeys(SUMS, 0)

    def rows(until: Key | None) -> Iterator[tuple[Any, ...]]:
        found = walk.lead(until) if until is not None else walk.end(None if end is None else end << SHIFT)
        done = [r for r, info in waiting.items() if until is None or (info[2] + 1) << SHIFT <= until]
        for own in done:
            info = waiting.pop(own)
            overtook, overtaken, first, passers = found.of(own)
            if own < since or (end is not None and info[2] >= end):
                astride[own] = Astride(info, overtook, overtaken, first, passers)
            else:
                yield _row(info, overtook, overtaken, first, passers, sums)

    with no_collection(), closing(connected(path)) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        names = []
        for number, source in enumerate(parts):
            connection.execute(f"ATTACH ? AS part{number}", (str(source),))
            names.append(f"SELECT * FROM part{number}.moving WHERE received < ? AND left_at >= ?")
        edges = (FAR if end is None else end, -FAR if begin is None else begin) * len(names)
        cursor = connection.execute(f"{' UNION ALL '.join(names)} ORDER BY received, position", edges)
        connection.execute("BEGIN")
        into = f"INSERT INTO handling VALUES ({HANDLING_MARKS})"
        while batch := cursor.fetchmany(max(SLICE, len(waiting))):
            for row in batch:
                position, received, _, stays, group, at, entry = row
                own = received << SHIFT | position
                waiting[own] = row
                walk.add(own, decode(stays), None if group is None else (group, at << SHIFT | entry))
            until = rank(batch[-1][1], batch[-1][0])
            if until > since:
                connection.executemany(into, list(rows(until)))
        connection.executemany(into, list(rows(None)))
        connection.execute("COMMIT")
    return sums, astride


def _row(
    info: tuple[Any, ...],
    overtook: int,
    overtaken: int,
    first: Key | None,
    passers: list[tuple[Key, Key]],
    sums: dict[str, int],
) -> tuple[Any, ...]:
    """Return the handling row of a case, and add it to the sums."""
    position, received, left, stays, group, at, entry = info
    if group is not None:
        sums["handled"] += 1
    if overtook:
        sums["out_of_turn"] += 1
        sums["overtakings"] += overtook
    if overtaken:
        sums["overtaken"] += 1
    who = None if first is None else first & MASK
    by = [(a, b & MASK) for a, b in passers]
    return handling_row(position, received, left, overtook, overtaken, who, by, stays, (group, at, entry))


def _brought_together(
    connection: sqlite3.Connection,
    by_priority: bool,
    files: Sequence[Path],
    found: Sequence[tuple[dict[str, int], dict[Key, Astride]]],
) -> dict[str, int]:
    """Bring the handling of all windows together; return the sums."""
    sums = dict.fromkeys(SUMS, 0)
    together: dict[Key, Astride] = {}
    for window_sums, astride in found:
        for name in SUMS:
            sums[name] += window_sums[name]
        for own, more in astride.items():
            known = together.setdefault(own, Astride(more.info))
            known.overtook += more.overtook
            known.overtaken += more.overtaken
            known.first = more.first if known.first is None else known.first
            known.passers += more.passers
    for path in files:
        connection.execute("ATTACH ? AS part", (str(path),))
        connection.execute("INSERT INTO handling SELECT * FROM part.handling")
        connection.execute("DETACH part")
    rows = [_row(a.info, a.overtook, a.overtaken, a.first, _in_stays(a, by_priority), sums) for a in together.values()]
    connection.executemany(f"INSERT INTO handling VALUES ({HANDLING_MARKS})", rows)
    for statement in INDEXES:
        if " ON handling " in statement:
            connection.execute(statement)
    return sums


def _in_stays(case: Astride, by_priority: bool) -> list[tuple[Key, Key]]:
    """Return the first to overtake a case in each stay; a window may begin within one."""
    stays: list[Stay] = decode(case.info[3])
    begins = [a for _, a, _ in (stays if by_priority else joined(stays))]
    found: dict[Key, Key] = {}
    for begun, by in case.passers:
        stay = max(a for a in begins if a <= begun)
        found.setdefault(stay, by)
    return list(found.items())


def write_totals(connection: sqlite3.Connection, totals: Totals) -> None:
    """Write how many answered cases of each kind have which verdict."""
    found = [sealed((*key, n)) for key, n in sorted(totals.items(), key=lambda t: (GROUPED.index(t[0][0]), t[0])) if n]
    connection.executemany("INSERT OR REPLACE INTO totals VALUES (?, ?, ?, ?, ?)", found)
    connection.executemany(
        "DELETE FROM totals WHERE grouped = ? AND item = ? AND verdict = ?", [k for k, n in totals.items() if not n]
    )
