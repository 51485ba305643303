"""The cases of a part of the streams, judged: their rows in a file of their own, and what they do beside it.

What a case does - it waits in a group, leaves it, is handled - is kept for each window of time that it concerns, to be
walked through in order of time: a file a window, each line some cases as JSON.
"""

from __future__ import annotations

import gc
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import msgspec

from ledger.store.reading import Reader
from projections.grounds import Grounds
from projections.replay import Case, Emptied, cases
from projections.stored_facts import Moves
from projections.views.judging import kind_range
from projections.views.place import APPLICATION_ID
from projections.views.rows import Alike, Totals, emptied_row
from projections.views.tables import LAST_TIME, SCHEMA, encode, write

KINDS = (kind_range("incident"), kind_range("request"))
AT_ONCE = 32  # cases that are judged, then written
KEPT = 64  # cases whose moves are written together

sqlite3.register_adapter(type(None), lambda nothing: nothing)  # without one of its own each null costs a long search


def connected(path: Path) -> sqlite3.Connection:
    """Return a connection to a file that nobody reads before it is complete: no journal, nothing synchronised."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = MEMORY"):
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
class Part:
    """What a part of the cases adds up to: totals, how many entries were read, and when the latest fact happened."""

    totals: Totals
    read: int
    latest: int


def spans(reader: Reader, parts: int) -> list[list[tuple[str, str]]]:
    """Return the streams of cases in parts of about equal size, each some ranges of stream ids, half-open."""
    found: list[list[tuple[str, str]]] = [[] for _ in range(parts)]
    for first, until in KINDS:
        cuts = [first, *(reader.bounds(first, until, parts) if parts > 1 else ()), until]
        for number, span in enumerate(pairwise(cuts)):
            found[number].append(span)
    return [f for f in found if f]


def part(
    path: Path,
    reader: Reader,
    grounds: Grounds,
    ranges: Iterable[tuple[str, str]],
    up_to: int,
    edges: Sequence[int] = (),
    seen: Callable[[int], None] = lambda read: None,
) -> Part:
    """Write the cases of streams with first <= id < until into a file of their own, and what they do beside it.

    edges: seconds since 1970 between windows of time. seen: called with the count of entries read so far.
    """
    alike, read, latest, windows = Alike(), 0, 0, [list[Moves]() for _ in range(len(edges) + 1)]
    with no_collection(), closing(connected(path)) as connection, ExitStack() as open_files:
        files = [open_files.enter_context(beside.open("wb")) for beside in besides(path, len(windows))]

        def keep(least: int) -> None:
            for file, moves in zip(files, windows, strict=True):
                if len(moves) >= least:
                    file.write(encode(moves) + b"\n")
                    moves.clear()

        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("BEGIN")
        for first, until in ranges:
            found = cases(reader.rows_by_stream(first, until, up_to), grounds)
            while some := list(islice(found, AT_ONCE)):
                judged = [c for c in some if isinstance(c, Case)]
                rows = [c.row for c in judged]
                write(connection, "cases", rows)
                write(connection, "emptied", (emptied_row(c) for c in some if isinstance(c, Emptied)))
                for moves in (c.moves for c in judged):
                    for window in windows[bisect_right(edges, moves[0]) : bisect_right(edges, moves[2]) + 1]:
                        window.append(moves)
                keep(KEPT)
                alike.add(rows)
                read += sum(c.entries for c in some)
                seen(read)
                latest = max([latest, *(row[LAST_TIME] for row in rows)])
        connection.execute("COMMIT")
        keep(1)
    totals: Totals = {}
    alike.count(totals)
    return Part(totals, read, latest)


def besides(path: Path, windows: int) -> list[Path]:
    """Return where the moves of a part are kept, in so many windows of time."""
    return [path.with_name(f"{path.name}.{window}") for window in range(windows)]


def moves_taken(path: Path) -> list[Moves]:
    """Return the moves that a file keeps, which is gone then."""
    with path.open("rb") as file:
        found = [moves for line in file for moves in _moves(line)]
    path.unlink()
    return found


_moves = msgspec.json.Decoder(list[Moves]).decode


def added(parts: Sequence[Part]) -> Part:
    """Return what parts add up to together."""
    totals = Totals()
    for one in parts:
        for key, number in one.totals.items():
            totals[key] = totals.get(key, 0) + number
    return Part(totals, sum(one.read for one in parts), max(one.latest for one in parts))
