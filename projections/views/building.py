"""Building the views from nothing: cases are judged in parts by stream, then their moves walked through by time.

Both are spread over processes; each part is a file of its own until all are brought together.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.errors import LedgerBroken
from ledger.files import sync
from ledger.store.reading import Reader
from projections.grounds import Grounds
from projections.views.judging import context_of, laid_out, times_of, years_around
from projections.views.parts import KINDS, Part, added, besides, connected, no_collection, part, spans
from projections.views.rows import Totals
from projections.views.tables import GROUPED, INDEXES, encode, write
from projections.views.walking import Walked, join, walked

if TYPE_CHECKING:
    from concurrent.futures import Future

MOST = 8  # processes
FEW = 20_000  # entries that one process has judged before others have begun
WINDOW = 1_000_000  # entries that happened in a window of time, about, if there are not more processes
WINDOWS = 100  # at most
TICK = 0.2  # seconds between two looks at how far processes are
Progress = Callable[[int, int], None]
Spread = Callable[[Path, Reader, Grounds, int, Sequence[int], Progress], Part]  # as `part`, of all cases
ReadBy = Callable[[], AbstractContextManager[Reader]]


@dataclass(frozen=True, slots=True)
class Filled:
    """What views were filled with: what all cases add up to, on which grounds, and the sums of the handling order."""

    grounds: Grounds
    cases: Part
    read: int  # entries, those of cases and all others
    sums: dict[str, int]


def fill(
    draft: Path,
    reader: Reader,
    up_to: int,
    progress: Progress,
    address: str | None = None,
    jobs: int = 1,
    elsewhere: Spread | None = None,
) -> Filled:
    """Make a file with all cases and their handling.

    address: of the ledger, for other processes to read it by; without one there are none. elsewhere: has the cases
    judged, in place of processes here.
    """
    jobs = min(jobs, MOST) if address is not None and elsewhere is None and up_to > FEW else 1
    parts, orders = (
        [draft.with_name(f"{draft.name}.{what}{i}") for i in range(most)]
        for what, most in (("cases", MOST), ("order", WINDOWS))
    )
    left_behind = [*parts, *orders, *chain(*(besides(path, WINDOWS) for path in parts))]
    try:
        _clear(left_behind)
        so_far = _SoFar(progress, up_to, jobs)
        with no_collection(), _workers(jobs, so_far) as (begun, let_go):
            read_by = partial(_read_by, address, reader if jobs == 1 else None)
            looked_at = begun(_looked_at, read_by, up_to, jobs)
            context = context_of(reader, up_to)
            cut, times = looked_at()
            edges = _edges(times, min(max(jobs, up_to // WINDOW), WINDOWS))
            grounds = laid_out(context, years_around(times))
            judging: list[Callable[[], Part]]
            if elsewhere is not None:
                judging = [partial(elsewhere, parts[0], reader, grounds, up_to, edges, so_far.put_share)]
            else:
                work = partial(_part_of, read_by, encode(grounds), edges, up_to, so_far.put if jobs == 1 else _count)
                judging = [begun(work, *given) for given in zip(range(MOST), parts, cut, strict=False)]
            read = others(reader, up_to)
            judged = [found() for found in judging]
            made, windows = parts[: len(judged)], pairwise([None, *edges, None])
            moves = zip(*(besides(path, len(edges) + 1) for path in made), strict=True)
            walks = [begun(walked, grounds.by_priority, *given) for given in zip(orders, moves, windows, strict=False)]
            let_go()
            os.replace(made[0], draft)
            with closing(connected(draft)) as connection:
                merge(connection, made[1:])
                for statement in INDEXES:
                    connection.execute(statement)
                sync(draft)  # while the walks go on; what is still to come is little
                sums = join(connection, grounds.by_priority, _in_turn(orders, walks, so_far))
    finally:
        _clear(left_behind)
    cases = added(judged)
    return Filled(grounds, cases, read + cases.read, sums)


class _SoFar:
    """How far a build is: how many entries each part has read, and half as many for the walks, as each is done."""

    def __init__(self, progress: Progress, up_to: int, jobs: int) -> None:
        self._progress, self._read, self._walks = progress, up_to, up_to // 2
        self.counts: MutableSequence[int] = [0] * (MOST + 1)
        if jobs > 1:
            from ledger.processes import counters

            self.counts = counters(MOST + 1)

    def put(self, part: int, read: int) -> None:
        """Note how many entries a part has read."""
        self.counts[part] = read
        self.tell()

    def put_share(self, done: int, of: int) -> None:
        """Note how many of some equal parts are done."""
        self.put(0, self._read * done // of)

    def walked(self, done: int, of: int) -> None:
        """Note how many walks are done."""
        self.put(MOST, self._walks * done // of)

    def tell(self) -> None:
        """Tell of it."""
        self._progress(sum(self.counts), self._read + self._walks)


_SHARED: list[MutableSequence[int]] = []  # in a process of a pool: the counts that it shares with the one that waits


def _share(counts: MutableSequence[int]) -> None:
    _SHARED[:] = [counts]


def _count(part: int, read: int) -> None:
    _SHARED[0][part] = read


def _in_turn(
    orders: Iterable[Path], walks: Sequence[Callable[[], Walked]], so_far: _SoFar
) -> Iterator[tuple[Path, Walked]]:
    """Yield what walks found, one after the other."""
    for done, (path, walk) in enumerate(zip(orders, walks, strict=False), 1):
        yield path, walk()
        so_far.walked(done, len(walks))


def _clear(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


@contextmanager
def _workers(jobs: int, so_far: _SoFar) -> Iterator[tuple[Callable[..., Callable[[], Any]], Callable[[], None]]]:
    """Yield what has a function called by a process of its own and returns what waits for the result, and what lets
    the processes end when they have done what was begun. One job: here, when the result is asked for.

    so_far: told of while somebody waits for a result.
    """
    if jobs == 1:
        yield partial, lambda: None
        return
    from concurrent.futures import wait

    from ledger.processes import pool

    def waited(future: Future[Any]) -> Any:
        while not future.done():
            wait([future], TICK)
            so_far.tell()
        return future.result()

    with pool(jobs, _share, so_far.counts) as processes:
        yield lambda *given: partial(waited, processes.submit(*given)), partial(processes.shutdown, wait=False)


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
    read_by: ReadBy,
    grounds: bytes,
    edges: Sequence[int],
    up_to: int,
    seen: Callable[[int, int], None],
    number: int,
    path: Path,
    ranges: Sequence[tuple[str, str]],
) -> Part:
    known = msgspec.json.decode(grounds, type=Grounds)
    with read_by() as reader:
        return part(path, reader, known, ranges, up_to, edges, partial(seen, number))


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


def merge(connection: sqlite3.Connection, parts: Iterable[Path]) -> None:
    """Add the cases of parts."""
    for path in parts:
        connection.execute("ATTACH ? AS part", (str(path),))
        # in no other order than they stand in: so records are copied as they are
        connection.execute("INSERT INTO cases SELECT * FROM part.cases")
        connection.execute("INSERT INTO emptied SELECT * FROM part.emptied")
        connection.execute("DETACH part")
        path.unlink()


def write_totals(connection: sqlite3.Connection, totals: Totals) -> None:
    """Write how many answered cases of each kind have which verdict."""
    found = [(*key, n) for key, n in sorted(totals.items(), key=lambda t: (GROUPED.index(t[0][0]), t[0])) if n]
    write(connection, "totals", found, or_replace=True)
    connection.executemany(
        "DELETE FROM totals WHERE grouped = ? AND item = ? AND verdict = ?", [k for k, n in totals.items() if not n]
    )
