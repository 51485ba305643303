"""Bringing the views up to the ledger's last entry: what new entries touch is judged again, the rest stands.

To the byte what building from nothing gives; whenever that is the quicker way, or new entries change what everything
rests on, the views are built anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from ledger.store.reading import Reader
from projections.grounds import CONTEXT
from projections.overtaking import Key, Stay, Walk, joined
from projections.replay import Case
from projections.stored_facts import SHIFT, Moves
from projections.views.building import write_totals
from projections.views.file import State, TooMuch, mark
from projections.views.judging import grounds_of, judged, moved, years_of
from projections.views.parts import KINDS
from projections.views.rows import (
    MASK,
    count_alike,
    emptied_row,
    handling_row,
    moves_in,
    rank,
)
from projections.views.tables import (
    CASE_COLUMNS,
    POSITION,
    STREAM,
    Damaged,
    decode,
    unsealed,
    write,
)
from projections.views.uptime import KINDS as UPTIME
from projections.views.uptime import forget_reached

MOST = 50_000  # new entries that are worth catching up with one by one
CASES = tuple(first for first, _ in KINDS)


def catch_up(connection: sqlite3.Connection, reader: Reader, position: int, last: int) -> None:
    """Bring the views from one position to a later one, in one transaction that the caller holds."""
    if last - position > max(MOST, position // 4):
        raise TooMuch
    state, grounds = State(connection), State(connection).grounds()
    touched = reader.streams_after(position, last)
    streams = {s for s in touched if s.startswith(CASES)}
    kinds = {s.partition(":")[0] for s in touched}
    if kinds & set(CONTEXT):
        if "terms" in kinds or ("calendar" in kinds and any(r.holidays for r in grounds.rules)):
            raise TooMuch
        later = grounds_of(reader, last, years_of(grounds))
        streams |= set(moved(connection, grounds, later))
        grounds = later
        state.put_grounds(grounds)
    found, emptied = judged(reader, streams, grounds, last)
    if any(not c.is_judged and not grounds.rules_at(c.moves[0]).plain for c in found):
        raise TooMuch  # a case outside the years of the clocks: they are laid out anew
    if kinds & set(UPTIME):
        forget_reached(connection, reader, (s for s in touched if s.partition(":")[0] in UPTIME), last)
    latest, reached = state.get("last_time"), _latest_of(connection, streams)
    before = _replace(connection, streams, found)
    connection.executemany("DELETE FROM emptied WHERE stream = ?", [(s,) for s in streams])
    write(connection, "emptied", map(emptied_row, emptied))
    _handle(connection, before, found, grounds.by_priority)
    if reached == latest or kinds & set(CONTEXT):  # what was the latest may be so no more
        [(latest,)] = connection.execute("SELECT coalesce(max(last_time), 0) FROM cases")
    latest = max(latest, grounds.last_time, *(c.last_time for c in found))
    state.put(position=last, mark=mark(reader.at([last])[0]), last_time=latest)


def _latest_of(connection: sqlite3.Connection, streams: Iterable[str]) -> int:
    """Return the time of the latest fact of some cases, 0 for none."""
    asked = "SELECT coalesce(max(last_time), 0) FROM cases WHERE stream = ?"
    return max((connection.execute(asked, (s,)).fetchone()[0] for s in streams), default=0)


def _replace(connection: sqlite3.Connection, streams: Iterable[str], found: list[Case]) -> dict[int, tuple[Any, ...]]:
    """Put cases in the place of their streams' rows, keep the totals, and return the handling rows they had."""
    totals: dict[tuple[str, str, str], int] = {}
    old = [
        unsealed(row)
        for s in streams
        for row in connection.execute(f"SELECT {CASE_COLUMNS} FROM cases WHERE stream = ?", (s,))
    ]
    rows = [case.row for case in found]
    count_alike(old, totals, -1)
    count_alike(rows, totals)
    handling = {}
    for row in old:
        known = connection.execute("SELECT * FROM handling WHERE position = ?", (row[POSITION],)).fetchone()
        if known is None:
            raise Damaged(f"the handling of {row[STREAM]} is missing")
        handling[row[POSITION]] = unsealed(known)
    gone = [(p,) for p in handling]
    connection.executemany("DELETE FROM cases WHERE position = ?", gone)
    connection.executemany("DELETE FROM handling WHERE position = ?", gone)
    write(connection, "cases", rows)
    for (name, item, verdict), change in totals.items():
        key = (name, item, verdict)
        known = connection.execute(
            "SELECT * FROM totals WHERE grouped = ? AND item = ? AND verdict = ?", key
        ).fetchone()
        totals[key] = change + (unsealed(known)[3] if known else 0)
    write_totals(connection, totals)
    return handling


def _in_order(moves: Moves) -> list[tuple[Key, Any]]:
    *_, stays, handled = moves
    found: list[tuple[Key, Any]] = [(a, ("enters", g)) for g, a, _ in stays]
    found += [(b, ("leaves", g)) for g, _, b in stays if b is not None]
    return sorted([*found, *([(handled[1], ("handled", handled[0]))] if handled else [])])


def _first_difference(one: Moves | None, other: Moves | None) -> Key | None:
    """Return the first instant at which two accounts of a case's moves differ; None when they do not."""
    a, b = ([] if m is None else _in_order(m) for m in (one, other))
    if one and other and one[0] != other[0]:
        return min(a[0][0] if a else 1 << 80, b[0][0] if b else 1 << 80)
    for x, y in zip(a, b, strict=False):
        if x != y:
            return min(x[0], y[0])
    longer = a[len(b) :] or b[len(a) :]
    return longer[0][0] if longer else None


def _handle(
    connection: sqlite3.Connection, before: dict[int, tuple[Any, ...]], found: list[Case], by_priority: bool
) -> None:
    """Count the handling order again from the first instant at which the moves of the cases found differ.

    Two walks from there, through the moves as they were and as they are: what each case was overtaken before stays.
    """
    old = {p: moves_in(row) for p, row in before.items()}
    new = {c.moves[1]: c.moves for c in found}
    firsts = [_first_difference(old.get(p), new.get(p)) for p in {*old, *new}]
    since = min((f for f in firsts if f is not None), default=None)
    rows = {p: row for p, row in before.items() if p in new}
    if since is not None:
        window = connection.execute("SELECT * FROM handling WHERE left_at >= ?", (since >> SHIFT,))
        rows |= {row[0]: unsealed(row) for row in window}
    then, after = Walk(by_priority, since or 0), Walk(by_priority, since or 0)
    moving = {p: moves_in(row) for p, row in rows.items()}
    for p, m in {**moving, **old}.items():
        then.add(rank(m[0], p), *m[3:])
    for p, m in {**{p: m for p, m in moving.items() if p not in old}, **new}.items():
        after.add(rank(m[0], p), *m[3:])
    was, now_ = (then.lead(), after.lead()) if since is not None else (then.found, after.found)
    sums: dict[str, int] = dict.fromkeys(("handled", "out_of_turn", "overtaken", "overtakings"), 0)
    _sum(sums, before.values(), -1)
    written = []
    for p, m in {**{p: m for p, m in moving.items() if p not in old}, **new}.items():
        received, _, _, stays, handled = m
        row = before.get(p) or rows.get(p)
        own_old = rank(old[p][0], p) if p in old else rank(received, p)
        own = rank(received, p)
        _, was_overtaken, _, was_passers = was.of(own_old)
        overtook, overtaken, first, passers = now_.of(own)
        if since is None or (handled is not None and handled[1] < since):
            assert row is not None
            overtook, first_position = row[3], row[5]
        else:
            first_position = None if first is None else first & MASK
        overtaken += (row[4] if row else 0) - was_overtaken
        kept = _passers(row, stays if by_priority else joined(stays), since, was_passers, passers)
        new_row = handling_row(m, overtook, overtaken, first_position, kept)
        if p in new:
            written.append(new_row)
            _sum(sums, (new_row,), 1)
        elif row is not None and new_row != tuple(row):
            _sum(sums, (row,), -1)
            _sum(sums, (new_row,), 1)
            written.append(new_row)
    write(connection, "handling", written, or_replace=True)
    state = State(connection)
    state.put(**{name: state.get(name) + change for name, change in sums.items() if change})


def _passers(
    row: tuple[Any, ...] | None,
    stays: Sequence[Stay],
    since: Key | None,
    was: list[tuple[Key, Key]],
    found: list[tuple[Key, Key]],
) -> list[tuple[int, int]]:
    """Return the first to overtake a case in each stay: those of before the walk stand, the others are those found."""
    known = [tuple(p) for p in decode(row[6])] if row else []
    if since is None:
        return known
    straddling = next((a for _, a, b in stays if a < since and (b is None or b > since)), None)
    came_later = {by & MASK for a, by in was if a == since}  # in a stay that went on
    kept = [(a, by) for a, by in known if a < since and by not in came_later]
    settled = {a for a, _ in kept}
    for a, by in found:
        begin = straddling if a == since and straddling is not None else a
        if begin not in settled:
            kept.append((begin, by & MASK))
    return sorted(kept)


def _sum(sums: dict[str, int], rows: Iterable[tuple[Any, ...]], count: int) -> None:
    for row in rows:
        handled = row[8] is not None
        sums["handled"] += count * handled
        sums["out_of_turn"] += count * (handled and row[3] > 0)
        sums["overtaken"] += count * (row[4] > 0)
        sums["overtakings"] += count * row[3]
