"""The handling order walked through by time, in windows of it, each in a file of its own until all are joined."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from projections.overtaking import Key, Walk, joined
from projections.stored_facts import FAR, SHIFT, Moves
from projections.views.parts import connected, moves_taken, no_collection
from projections.views.rows import MASK, handling_row, rank
from projections.views.tables import SCHEMA, SUMS, write

SLICE = 500  # cases of one step of a walk; as many as wait if those are more, for each step looks at them


@dataclass(slots=True)
class Astride:
    """A case that waited across the edge of a window: what it does, and what each window found."""

    moves: Moves
    overtook: int = 0
    overtaken: int = 0
    first: Key | None = None
    passers: list[tuple[Key, Key]] = field(default_factory=list)


Walked = tuple[dict[str, int], dict[Key, Astride]]  # the sums of a window, and the cases that waited across its edges


def walked(by_priority: bool, path: Path, moves: Iterable[Path], window: tuple[int | None, int | None]) -> Walked:
    """Walk through a window of time, write the handling of the cases that lie in it, and return its sums.

    moves: where they are kept. window: begin and end in seconds since 1970, half-open; None: of time. Beside the sums
    come the cases that waited across an edge of the window.
    """
    begin, end = window
    since = -(1 << 80) if begin is None else begin << SHIFT
    walk, astride, waiting = Walk(by_priority, since), dict[Key, Astride](), dict[Key, Moves]()
    sums = dict.fromkeys(SUMS, 0)

    def rows(until: Key | None) -> Iterator[tuple[Any, ...]]:
        found = walk.lead(until) if until is not None else walk.end(None if end is None else end << SHIFT)
        second = FAR + 1 if until is None else until >> SHIFT
        done = [own for own, each in waiting.items() if each[2] < second]
        for own in done:
            each = waiting.pop(own)
            overtook, overtaken, first, passers = found.of(own)
            if own < since or (end is not None and each[2] >= end):
                astride[own] = Astride(each, overtook, overtaken, first, passers)
            else:
                yield _row(each, overtook, overtaken, first, passers, sums)

    with no_collection(), closing(connected(path)) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("BEGIN")
        found = iter(sorted(each for kept in moves for each in moves_taken(kept)))
        while batch := list(islice(found, max(SLICE, len(waiting)))):
            for each in batch:
                received, position, _, stays, handled = each
                own = received << SHIFT | position
                waiting[own] = each
                walk.add(own, stays, handled)
            until = rank(batch[-1][0], batch[-1][1])
            if until > since:
                write(connection, "handling", rows(until))
        write(connection, "handling", rows(None))
        connection.execute("COMMIT")
    return sums, astride


def _row(
    moves: Moves,
    overtook: int,
    overtaken: int,
    first: Key | None,
    passers: list[tuple[Key, Key]],
    sums: dict[str, int],
) -> tuple[Any, ...]:
    """Return the handling row of a case, and add it to the sums."""
    if moves[4] is not None:
        sums["handled"] += 1
    if overtook:
        sums["out_of_turn"] += 1
        sums["overtakings"] += overtook
    if overtaken:
        sums["overtaken"] += 1
    who, by = None if first is None else first & MASK, [(begin, passer & MASK) for begin, passer in passers]
    return handling_row(moves, overtook, overtaken, who, by)


def join(
    connection: sqlite3.Connection,
    by_priority: bool,
    windows: Iterable[tuple[Path, Walked]],
) -> dict[str, int]:
    """Add the handling of all windows, in order of time, and return the sums."""
    sums = dict.fromkeys(SUMS, 0)
    together: dict[Key, Astride] = {}
    for path, (window_sums, astride) in windows:
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
    write(connection, "handling", rows)
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
