"""Building the views from nothing: cases are judged in parts by stream, then their moves walked through by time.

Both are spread over processes; each part is a file of its own until all are brought together.
"""

from __future__ import annotations

import gc
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count, islice, pairwise
from pathlib import Path
from typing import Any

import msgspec

from ledger.errors import LedgerBroken
from ledger.files import sync
from ledger.store.reading import Reader
from projections.grounds import Grounds
from projections.overtaking import Key, Walk, joined
from projections.replay import Case, Emptied, cases
from projections.stored_facts import SHIFT
from projections.views.judging import context_of, laid_out, times_of, years_around
from projections.views.place import APPLICATION_ID
from projections.views.rows import (
    MASK,
    Alike,
    Moves,
    Totals,
    case_row,
    emptied_row,
    handled_as,
    handling_row,
    moves_of,
    rank,
)
from projections.views.tables import CASE_MARKS, GROUPED, HANDLING_MARKS, INDEXES, SCHEMA, SUMS, encode, sealed

KINDS = (("incident:", "incident;"), ("request:", "request;"))
FILES = 100  # of parts, and of windows of time, at most
WINDOW = 1_000_000  # entries that happened in a window of time, about, if there are not more processes
WINDOWS = 1
KEPT = 64  # cases whose moves are written together
SLICE = 500  # cases of one step of a walk; as many as wait if those are more, for each step looks at them
MOST = 8  # processes; SQLite brings ten files together at most
AT_ONCE = 32  # cases that are judged, then written
FEW = 20_000  # entries that one process has judged before others have begun
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of the cases adds up to: the totals, and how many entries were read."""

    totals: Totals
    read: int


Spread = Callable[[Path, Reader, Grounds, int, Progress], Part]  # as `part`, of all cases
ReadBy = Callable[[], AbstractContextManager[Reader]]

_MOVING = "CREATE TABLE moving (window INTEGER, moves BLOB)"  # what is not yet walked through

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


@dataclass(frozen=True, slots=True)
class Filled:
    """What views were filled with: judged on which grounds, how many entries were read, and the sums of the order."""

    grounds: Grounds
    totals: Totals
    read: int
    sums: dict[str, int]


def fill(
    connection: sqlite3.Connection,
    draft: Path,
    reader: Reader,
    up_to: int,
    progress: Progress,
    address: str | None = None,
    jobs: int = 1,
    elsewhere: Spread | None = None,
) -> Filled:
    """Fill empty views with all cases.

    address: of the ledger, for other processes to read it by; without one there are none. elsewhere: has the cases
    judged, in place of processes here.
    """
    jobs = min(jobs, MOST) if address is not None and elsewhere is None and up_to > FEW else 1
    files, orders = ([draft.with_name(f"{draft.name}.{what}{i}") for i in range(FILES)] for what in ("cases", "order"))
    for statement in SCHEMA:
        connection.execute(statement)
    try:
        _clear(files, orders)
        with no_collection(), _workers(jobs) as spread:
            progress(0, 3)
            read_by = partial(_read_by, address, reader if jobs == 1 else None)
            looked_at = spread(_looked_at, read_by, up_to, jobs)
            context = context_of(reader, up_to)
            cut, times = looked_at()
            grounds, edges = laid_out(context, years_around(times)), list[int]()
            judging: list[Callable[[], Part]]
            if elsewhere is not None:
                judging = [partial(elsewhere, files[0], reader, grounds, up_to, progress)]
            else:
                edges = _edges(times, min(max(WINDOWS * jobs, up_to // WINDOW), FILES))
                work = partial(_part_of, read_by, encode(grounds), edges, up_to)
                judging = [spread(work, path, ranges) for path, ranges in zip(files, cut, strict=False)]
            read = others(reader, up_to)
            judged = [f() for f in judging]
            progress(1, 3)
            parts, walks = files[: len(judged)], partial(walked, files[: len(judged)], grounds.by_priority)
            windows = zip(orders, count(), [None, *edges], [*edges, None], strict=False)
            walking = [spread(walks, *window) for window in windows]
            merged(connection, parts)
            sync(draft)  # while the walks go on; what is still to come is little
            found = ((path, walk()) for path, walk in zip(orders, walking, strict=False))
            sums = _brought_together(connection, grounds.by_priority, found)
    finally:
        _clear(files, orders)
    total = added(judged)
    return Filled(grounds, total.totals, read + total.read, sums)


def _clear(*files: Iterable[Path]) -> None:
    for path in chain(*files):
        path.unlink(missing_ok=True)


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


@contextmanager
def _read_by(address: str | None, reader: Reader | None) -> Iterator[Reader]:
    """Yield a reader, opened by the ledger's address for this process alone where there is none."""
    from ledger.store.address import reader_at

    if reader is not None:
        yield reader
        return
    with closing(reader_at(str(address))) as own:
        yield own


def _looked_at(read_by: ReadBy, up_to: int, parts: int) -> tuple[list[list[tuple[str, str]]], list[int]]:
    """Return the streams of cases in parts, and the times of some entries."""
    with read_by() as reader:
        return spans(reader, parts), times_of(reader, up_to)


def _edges(times: Sequence[int], windows: int) -> list[int]:
    """Return the instants that part time into windows in which about as much happened; times: ascending."""
    return sorted({times[len(times) * i // windows] for i in range(1, windows)}) if times else []


def _part_of(
    read_by: ReadBy, grounds: bytes, edges: Sequence[int], up_to: int, path: Path, ranges: Sequence[tuple[str, str]]
) -> Part:
    known = msgspec.json.decode(grounds, type=Grounds)
    with read_by() as reader:
        return part(path, reader, known, ranges, up_to, edges)


def part(
    path: Path,
    reader: Reader,
    grounds: Grounds,
    ranges: Iterable[tuple[str, str]],
    up_to: int,
    edges: Sequence[int] = (),
) -> Part:
    """Write the cases of streams with first <= id < until into a file of their own.

    edges: between windows of time; what a case does is kept for each window in which it waits or is handled.
    """
    alike, read, windows = Alike(), 0, [list[Moves]() for _ in range(len(edges) + 1)]
    with no_collection(), closing(connected(path)) as connection:
        for statement in (*SCHEMA, _MOVING):
            connection.execute(statement)

        def keep(least: int) -> None:
            for number, moves in enumerate(windows):
                if len(moves) >= least:
                    connection.execute("INSERT INTO moving VALUES (?, ?)", (number, encode(moves)))
                    moves.clear()

        connection.execute("BEGIN")
        for first, until in ranges:
            found = cases(reader.rows_by_stream(first, until, up_to), grounds)
            while some := list(islice(found, AT_ONCE)):
                judged = [c for c in some if isinstance(c, Case)]
                rows = [case_row(c) for c in judged]
                connection.executemany(f"INSERT INTO cases VALUES ({CASE_MARKS})", rows)
                emptied = [emptied_row(c) for c in some if isinstance(c, Emptied)]
                connection.executemany("INSERT INTO emptied VALUES (?, ?, ?, ?)", emptied)
                for moves in map(moves_of, judged):
                    for window in windows[bisect_right(edges, moves[0]) : bisect_right(edges, moves[2]) + 1]:
                        window.append(moves)
                keep(KEPT)
                alike.add(rows)
                read += sum(c.entries for c in some)
        keep(1)
        connection.execute("COMMIT")
    totals: Totals = {}
    alike.count(totals)
    return Part(totals, read)


def added(parts: Iterable[Part]) -> Part:
    """Return what parts add up to together."""
    totals, read = Totals(), 0
    for one in parts:
        for key, number in one.totals.items():
            totals[key] = totals.get(key, 0) + number
        read += one.read
    return Part(totals, read)


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
    """A case that waited across the edge of a window: what it does, and what each window found."""

    moves: Moves
    overtook: int = 0
    overtaken: int = 0
    first: Key | None = None
    passers: list[tuple[Key, Key]] = field(default_factory=list)


def walked(
    parts: Sequence[Path], by_priority: bool, path: Path, window: int, begin: int | None, end: int | None
) -> tuple[dict[str, int], dict[Key, Astride]]:
    """Walk through a window of time, write the handling of the cases that lie in it, and return its sums.

    window: its number. begin, end: seconds since 1970, half-open. Beside the sums come the cases that waited across an
    edge of the window.
    """
    since = -(1 << 80) if begin is None else begin << SHIFT
    walk, astride, waiting = Walk(by_priority, since), dict[Key, Astride](), dict[Key, Moves]()
    sums = dict.fromkeys(SUMS, 0)

    def rows(until: Key | None) -> Iterator[tuple[Any, ...]]:
        found = walk.lead(until) if until is not None else walk.end(None if end is None else end << SHIFT)
        done = [r for r, moves in waiting.items() if until is None or (moves[2] + 1) << SHIFT <= until]
        for own in done:
            moves = waiting.pop(own)
            overtook, overtaken, first, passers = found.of(own)
            if own < since or (end is not None and moves[2] >= end):
                astride[own] = Astride(moves, overtook, overtaken, first, passers)
            else:
                yield _row(moves, overtook, overtaken, first, passers, sums)

    with no_collection(), closing(connected(path)) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("BEGIN")
        into = f"INSERT INTO handling VALUES ({HANDLING_MARKS})"
        found = iter(_moving(parts, window))
        while batch := list(islice(found, max(SLICE, len(waiting)))):
            for moves in batch:
                received, position, _, stays, handled = moves
                own = received << SHIFT | position
                waiting[own] = moves
                walk.add(own, stays, handled)
            until = rank(batch[-1][0], batch[-1][1])
            if until > since:
                connection.executemany(into, list(rows(until)))
        connection.executemany(into, list(rows(None)))
        connection.execute("COMMIT")
    return sums, astride


def _moving(parts: Sequence[Path], window: int) -> list[Moves]:
    """Return what is kept for a window of time, in order of receipt."""
    found: list[Moves] = []
    for path in parts:
        with closing(connected(path)) as connection:
            for (moves,) in connection.execute("SELECT moves FROM moving WHERE window = ?", (window,)):
                found += _moves(moves)
    found.sort()
    return found


_moves = msgspec.json.Decoder(list[Moves]).decode


def _row(
    moves: Moves,
    overtook: int,
    overtaken: int,
    first: Key | None,
    passers: list[tuple[Key, Key]],
    sums: dict[str, int],
) -> tuple[Any, ...]:
    """Return the handling row of a case, and add it to the sums."""
    received, position, left, stays, handled = moves
    if handled is not None:
        sums["handled"] += 1
    if overtook:
        sums["out_of_turn"] += 1
        sums["overtakings"] += overtook
    if overtaken:
        sums["overtaken"] += 1
    who = None if first is None else first & MASK
    by, text = [(a, b & MASK) for a, b in passers], encode(stays).decode()
    return handling_row(position, received, left, overtook, overtaken, who, by, text, handled_as(handled))


def _brought_together(
    connection: sqlite3.Connection,
    by_priority: bool,
    walks: Iterable[tuple[Path, tuple[dict[str, int], dict[Key, Astride]]]],
) -> dict[str, int]:
    """Bring the handling of all windows together; return the sums."""
    sums = dict.fromkeys(SUMS, 0)
    together: dict[Key, Astride] = {}
    for path, (window_sums, astride) in walks:
        connection.execute("ATTACH ? AS part", (str(path),))
        connection.execute("INSERT INTO handling SELECT * FROM part.handling")
        connection.execute("DETACH part")
        for name in SUMS:
            sums[name] += window_sums[name]
        for own, more in astride.items():
            known = together.setdefault(own, Astride(more.moves))
            known.overtook += more.overtook
            known.overtaken += more.overtaken
            known.first = more.first if known.first is None else known.first
            known.passers += more.passers
    rows = [_row(a.moves, a.overtook, a.overtaken, a.first, _in_stays(a, by_priority), sums) for a in together.values()]
    connection.executemany(f"INSERT INTO handling VALUES ({HANDLING_MARKS})", rows)
    for statement in INDEXES:
        if " ON handling " in statement:
            connection.execute(statement)
    return sums


def _in_stays(case: Astride, by_priority: bool) -> list[tuple[Key, Key]]:
    """Return the first to overtake a case in each stay; a window may begin within one."""
    stays = case.moves[3]
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
