"""The rows that findings are kept as, but for those of cases, and what cases add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from projections.replay import Emptied
from projections.stored_facts import FAR, SHIFT, Moves
from projections.views.tables import GROUP_COLUMN, VERDICT, decode, encode

Totals = dict[tuple[str, str, str], int]  # how many answered cases: grouped, item, verdict

MASK = (1 << SHIFT) - 1
NEVER = FAR  # when a case that still waits will have left


def emptied_row(stream: Emptied) -> tuple[Any, ...]:
    """Return the row of a stream of which nothing is left."""
    return stream.stream, stream.first_position, stream.last_position


def rank(received: int, position: int) -> int:
    """Return a case's place in the order of receipt: its time, then its position."""
    return received << SHIFT | position


def handling_row(
    moves: Moves, overtook: int, overtaken_by: int, first: int | None, passers: list[tuple[int, int]]
) -> tuple[Any, ...]:
    """Return the row of a case in the handling order.

    passers: of each stay that was passed, its beginning and who; kept in order of time, in whatever order they were
    found.
    """
    received, position, left, stays, handled = moves
    by, text = encode(sorted(passers)).decode() if passers else "[]", encode(stays).decode()
    if handled is None:
        return position, received, left, overtook, overtaken_by, first, by, text, None, None, None
    group, key = handled
    at, entry = key >> SHIFT, key & MASK
    return position, received, left, overtook, overtaken_by, first, by, text, group, at, entry


def moves_in(row: tuple[Any, ...]) -> Moves:
    """Return what a case does, as its row in the handling order keeps it."""
    stays = [(group, begin, end) for group, begin, end in decode(row[7])]
    return row[1], row[0], row[2], stays, None if row[8] is None else (row[8], rank(row[9], row[10]))


class Alike:
    """How many cases are alike in what reports group them by, and in their verdict.

    Counted twice, each time in some of it: in all of it hardly two cases are alike.
    """

    def __init__(self) -> None:
        self._counts = [Counter[tuple[Any, ...]]() for _ in _ALIKE]

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Count rows of cases."""
        for count, (_, likeness) in zip(self._counts, _ALIKE, strict=True):
            count.update(map(likeness, rows))

    def count(self, totals: Totals, sign: int = 1) -> None:
        """Add how many are alike to the totals of answered cases, or take them away with sign -1."""
        for count, (names, _) in zip(self._counts, _ALIKE, strict=True):
            for (*items, verdict), cases in count.items():
                if verdict is not None:
                    for name, item in zip(names, items, strict=True):
                        key = (name, item, verdict)
                        totals[key] = totals.get(key, 0) + sign * cases


_ALIKE = [
    (names, itemgetter(*(GROUP_COLUMN[n] for n in names), VERDICT))
    for names in (("month", "customer"), ("service", "priority", "channel", "kind"))
]


def count_alike(rows: Sequence[tuple[Any, ...]], totals: Totals, sign: int = 1) -> None:
    """Add rows of cases to the totals of answered cases, or take them away with sign -1."""
    alike = Alike()
    alike.add(rows)
    alike.count(totals, sign)
