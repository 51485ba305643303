"""Which cases one overtook, and which overtook it, as the rows of the handling order tell.

§order-of-handling, §prioritisation; R14.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from projections.overtaking import Key, Stay, joined
from projections.stored_facts import SHIFT
from projections.views.rows import MASK, NEVER
from projections.views.tables import NotKept, decode, unsealed

Row = tuple[Any, ...]


class Beside:
    """The cases beside one in the handling order.

    cases, handling: the tables to ask. by_priority: whether only cases of one group can overtake each other.
    """

    def __init__(self, connection: sqlite3.Connection, cases: str, handling: str, *, by_priority: bool) -> None:
        self._connection, self._cases, self._handling = connection, cases, handling
        self._by_priority = by_priority

    def of(self, stream: str) -> tuple[list[Row], list[Row]]:
        """Return the rows of the cases that one overtook, and of those that overtook it, in order of receipt.

        Raises NotKept when the views do not tell.
        """
        where = f"position = (SELECT position FROM {self._cases} WHERE stream = ?)"
        own = next(self._rows(where, stream), None)
        if own is None:
            raise NotKept
        return sorted(self._overtaken(own), key=_received), sorted(self._overtakers(own), key=_received)

    def _overtakers(self, own: Row) -> Iterator[Row]:
        """Yield the cases that were received later and handled while this one waited."""
        for group, begin, end in self._stays(own):
            where = "handled_in = ?" if self._by_priority else "handled_in IS NOT ?"
            where += " AND (left_at, handled_position) >= (?, ?) AND (left_at, handled_position) < (?, ?)"
            where += " AND (received, position) > (?, ?)"
            until = (NEVER, 0) if end is None else _cut(end)
            yield from self._rows(where, group if self._by_priority else None, *_cut(begin), *until, own[1], own[0])

    def _overtaken(self, own: Row) -> Iterator[Row]:
        """Yield the cases that were received before this one and waited when it was handled: as many as are counted.

        Most of them leave soon after, so that those that left are looked through in the order in which they did.
        """
        left = own[3]
        if not left:
            return
        group, at = own[8], own[9] << SHIFT | own[10]
        for where, *values in (
            ("left_at >= ?", NEVER),
            ("left_at >= ? AND left_at < ? ORDER BY left_at", own[9], NEVER),
        ):
            for row in self._rows(where, *values):
                if _received(row) < _received(own) and self._waits(row, group, at):
                    yield row
                    left -= 1
                    if not left:
                        return
        raise NotKept

    def _waits(self, row: Row, group: str, at: Key) -> bool:
        return any(
            begin <= at and (end is None or at < end) and (name == group or not self._by_priority)
            for name, begin, end in self._stays(row)
        )

    def _stays(self, row: Row) -> list[Stay]:
        stays = [tuple(stay) for stay in decode(row[7])]
        return stays if self._by_priority else joined(stays)

    def _rows(self, where: str, *values: object) -> Iterator[Row]:
        yield from map(unsealed, self._connection.execute(f"SELECT * FROM {self._handling} WHERE {where}", values))


def _received(row: Row) -> tuple[int, int]:
    return row[1], row[0]


def _cut(key: Key) -> tuple[int, int]:
    return key >> SHIFT, key & MASK
