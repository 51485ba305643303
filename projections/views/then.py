"""The views as they were: what entries up to a position say, judged at any instant, without a rebuild.

A finding that rests on nothing recorded later, and on nothing that happened after the instant, is the one that is
kept. The others - cases in the middle of things, and those whose grounds changed since - are judged again from their
entries, into tables of this connection alone. The handling order stands up to the first instant at which then and now
differ; from there it is walked through again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from ledger.store.reading import EVERYTHING, Reader
from projections.grounds import Grounds
from projections.overtaking import Key, Stay, Walk, joined
from projections.replay import Case
from projections.stored_facts import FAR, SHIFT, Moves, instant
from projections.views.file import State
from projections.views.judging import grounds_of, judged, moved, years_of
from projections.views.rows import MASK, handling_row, moves_in, rank
from projections.views.tables import CASE_COLUMNS, NotKept, decode, unsealed, write

BEGINNING: Key = -FAR << SHIFT
ASTRIDE, WORTH = 500, 50  # so many wait in any case; looking one up costs as much as walking past so many others


def prepare(connection: sqlite3.Connection, reader: Reader, position: int, as_of: int) -> Grounds:
    """Lay out the views as they were when the ledger ended with a position, and return what cases were judged by.

    Afterwards `asked` stands for the table of cases and `asked_handling` for that of their handling. Raises NotKept
    for the few instants that only the plain rules can judge.
    """
    state = State(connection)
    now = state.grounds()
    then = grounds_of(reader, position, years_of(now), as_of)
    streams = {*_disturbed(connection, position, as_of), *_moved(connection, position, now, then)}
    connection.execute("CREATE TEMP TABLE moved (stream TEXT PRIMARY KEY)")
    connection.executemany("INSERT INTO temp.moved VALUES (?)", [(s,) for s in streams])
    cases, _ = judged(reader, streams, then, position, as_of)
    if then.is_movable or any(not c.is_judged or _is_at_its_edge(c, as_of) for c in cases):
        raise NotKept
    stands = (
        f"last_position <= {position:d} AND last_time < {as_of:d} AND stream NOT IN (SELECT stream FROM temp.moved)"
    )
    _lay_out_cases(connection, stands, cases)
    is_early = position < state.get("position") // 2
    since = BEGINNING  # under other terms others answered (R12), and passed whom they pass (R14)
    if then.rules == now.rules:
        since = _first_difference(reader, position, state.get("position"), state.get("last_time"), as_of)
        since = BEGINNING if _many_wait(connection, since >> SHIFT) else since
    rows = _handling(connection, then.by_priority, since, cases, stands, is_early=is_early)
    _lay_out_handling(connection, since >> SHIFT, rows)
    return then


def _disturbed(connection: sqlite3.Connection, position: int, as_of: int) -> Iterator[str]:
    """Yield the streams that have entries up to a position, and either later ones or facts from an instant on."""
    reached = "SELECT position FROM cases WHERE first_position <= ?1 AND (last_position > ?1 OR last_time >= ?2)"
    emptied = "SELECT stream FROM emptied WHERE first_position <= ?1 AND last_position > ?1"
    found = f"SELECT stream FROM cases WHERE position IN ({reached}) UNION ALL {emptied}"
    yield from (row[0] for row in connection.execute(found, (position, as_of)))


def _moved(connection: sqlite3.Connection, position: int, now: Grounds, then: Grounds) -> Iterator[str]:
    """Yield the cases whose customer had other entitlements then; all of them when other terms applied."""
    if now.rules == then.rules:
        return moved(connection, now, then, position)
    found = connection.execute("SELECT stream FROM cases WHERE first_position <= ?", (position,))
    return (row[0] for row in found)


def _is_at_its_edge(case: Case, as_of: int) -> bool:
    """Whether a pause is open while something happens in the very second of judgement: it may last no time yet."""
    unsettled = case.unsettled
    return unsettled is not None and unsettled.waiting is not None and case.last_time >= as_of


def _lay_out_cases(connection: sqlite3.Connection, stands: str, cases: list[Case]) -> None:
    connection.execute("CREATE TEMP TABLE then_cases AS SELECT * FROM main.cases LIMIT 0")
    write(connection, "temp.then_cases", (case.row for case in cases))
    kept = f"SELECT {CASE_COLUMNS} FROM main.cases WHERE {stands}"
    connection.execute(f"CREATE TEMP VIEW asked AS {kept} UNION ALL SELECT {CASE_COLUMNS} FROM temp.then_cases")


def _lay_out_handling(connection: sqlite3.Connection, second: int, rows: list[tuple[Any, ...]]) -> None:
    connection.execute("CREATE TEMP TABLE then_handling AS SELECT * FROM main.handling LIMIT 0")
    write(connection, "temp.then_handling", rows)
    connection.execute("CREATE INDEX temp.then_handling_by_position ON then_handling (position)")
    kept = f"SELECT * FROM main.handling WHERE left_at < {second:d}"
    connection.execute(f"CREATE TEMP VIEW asked_handling AS {kept} UNION ALL SELECT * FROM temp.then_handling")


def _first_difference(reader: Reader, position: int, last: int, last_time: int, as_of: int) -> Key:
    """Return an instant before which then and now agree: nothing recorded later, and nothing hidden, lies before it."""
    times = [as_of + 1] if last_time > as_of else []
    if position < last:
        earliest, corrected = reader.earliest_after(position)
        times.append(instant(earliest))
        for stream in corrected:
            for row in reader.rows_by_stream(stream, f"{stream} ", EVERYTHING):
                found = decode(row[4])
                times.append(instant(found["time"]))
                if row[3] == "EntryCorrected":
                    times.append(instant(found["data"]["time"]))
    return min(times, default=FAR) << SHIFT


def _many_wait(connection: sqlite3.Connection, second: int) -> bool:
    """Whether so many cases wait at an instant that looking up what each met before costs more than walking there."""
    astride = "SELECT count(*) FROM handling WHERE received < ? AND left_at >= ?"
    [(waiting,)] = connection.execute(astride, (second, second))
    if waiting <= ASTRIDE:
        return False
    [(cases,)] = connection.execute("SELECT count(*) FROM handling")
    return bool(waiting * WORTH > cases)


def _handling(
    connection: sqlite3.Connection, by_priority: bool, since: Key, cases: list[Case], stands: str, *, is_early: bool
) -> list[tuple[Any, ...]]:
    """Return the handling rows, as they were, of the cases that waited or were handled from an instant on.

    is_early: most of what is kept came later, so that cases are looked at first.
    """
    second = since >> SHIFT
    settled = "SELECT 1 FROM handling WHERE position = ? AND left_at = ? AND left_at < ?"  # as it was, and as it stayed
    moving: dict[int, Moves] = {
        c.moves[1]: c.moves
        for c in cases
        if connection.execute(settled, (c.moves[1], c.moves[2], second)).fetchone() is None
    }
    tables = "cases c CROSS JOIN handling h" if is_early else "handling h CROSS JOIN cases c"
    window = f"SELECT h.* FROM {tables} WHERE c.position = h.position AND h.left_at >= ? AND {stands}"
    for row in connection.execute(window, (second,)).fetchall():
        moving[row[0]] = moves_in(unsealed(row))
    walk = Walk(by_priority, since)
    for position, moves in moving.items():
        walk.add(rank(moves[0], position), *moves[3:])
    found = walk.lead()
    rows = []
    for position, moves in moving.items():
        received, _, _, stays, handled = moves
        own = rank(received, position)
        overtook, overtaken, first, passers = found.of(own)
        before = _Before(connection, own, since, by_priority=by_priority, is_early=is_early)
        earlier, known = before.passed(stays if by_priority else joined(stays), passers)
        who = None if first is None else first & MASK
        if handled is not None and handled[1] < since:
            overtook, who = before.overtook()
        rows.append(handling_row(moves, overtook, overtaken + earlier, who, known))
    return rows


class _Before:
    """What became of one case before the walk began, as the kept rows tell.

    is_early: most of what is kept came later. Then it is counted who passed before; otherwise who passed later, which
    is taken away from what is kept.
    """

    def __init__(
        self, connection: sqlite3.Connection, own: Key, since: Key, *, by_priority: bool, is_early: bool
    ) -> None:
        self._connection, self._own, self._since, self._by_priority = connection, own, since, by_priority
        self._is_early = is_early

    def passed(self, stays: Sequence[Stay], passers: list[tuple[Key, Key]]) -> tuple[int, list[tuple[int, int]]]:
        """Return how often it was overtaken before the walk, and the first to do so in each stay, before or in it.

        passers: those found in the walk, in which a stay that goes on begins with the walk.
        """
        earlier = [(g, a, self._since if b is None else min(b, self._since)) for g, a, b in stays if a < self._since]
        kept = None if self._is_early or not earlier else self._kept(self._own & MASK)
        if kept is None:
            total = sum(self._count(*stay) for stay in earlier)
            firsts = {stay[1]: self._first(*stay) for stay in earlier} if total else {}
        else:
            own = moves_in(kept)[3]
            after = [(g, max(a, self._since), b) for g, a, b in (own if self._by_priority else joined(own))]
            total = kept[4] - sum(self._count(*stay) for stay in after)
            firsts = {begin: self._if_earlier(passer) for begin, passer in decode(kept[6])}
        found, known = dict(passers), []
        for _, begin, end in stays:
            first, later = firsts.get(begin), found.get(max(begin, self._since))
            if first is not None:
                known.append((begin, first))
            elif later is not None and (end is None or end > self._since):
                known.append((begin, later & MASK))
        return total, sorted(known)

    def overtook(self) -> tuple[int, int | None]:
        """Return how many it overtook when it was handled, and which of them was received first, as is kept."""
        kept = self._kept(self._own & MASK)
        if kept is None:
            raise NotKept
        return kept[3], kept[5]

    def _kept(self, position: int) -> tuple[Any, ...] | None:
        row = self._connection.execute("SELECT * FROM handling WHERE position = ?", (position,)).fetchone()
        return None if row is None else unsealed(row)

    def _if_earlier(self, passer: int) -> int | None:
        """Return a case that was handled, if it was before the walk."""
        kept = self._kept(passer)
        if kept is None:
            raise NotKept
        return passer if rank(kept[9], kept[10]) < self._since else None

    def _count(self, group: str, begin: Key, end: Key | None) -> int:
        """Return how many cases received later were handled in a group, in `[begin, end)`."""
        where, values = self._passing(group, begin, end)
        return int(self._connection.execute(f"SELECT count(*) FROM handling WHERE {where}", values).fetchone()[0])

    def _first(self, group: str, begin: Key, end: Key | None) -> int | None:
        """Return the first of them."""
        where, values = self._passing(group, begin, end)
        asked = f"SELECT position FROM handling WHERE {where} ORDER BY left_at, handled_position LIMIT 1"
        row = self._connection.execute(asked, values).fetchone()
        return None if row is None else int(row[0])

    def _passing(self, group: str, begin: Key, end: Key | None) -> tuple[str, tuple[Any, ...]]:
        where = "handled_in = ?" if self._by_priority else "handled_in IS NOT ?"
        where += " AND (left_at, handled_position) >= (?, ?) AND (left_at, handled_position) < (?, ?)"
        where += " AND (received, position) > (?, ?)"
        until = (FAR, 0) if end is None else _cut(end)
        return where, (group if self._by_priority else None, *_cut(begin), *until, *_cut(self._own))


def _cut(key: Key) -> tuple[int, int]:
    return key >> SHIFT, key & MASK
