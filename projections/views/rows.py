"""The rows that findings are kept as: of a case, of its handling, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from projections.replay import Case, Emptied
from projections.stored_facts import FAR, SHIFT, Key, Stay
from projections.views.tables import GROUP_COLUMN, VERDICT, encode, sealed

Totals = dict[tuple[str, str, str], int]  # how many answered cases: grouped, item, verdict

MASK = (1 << SHIFT) - 1
NEVER = FAR  # when a case that still waits will have left


def case_row(case: Case) -> tuple[Any, ...]:
    """Return the row of a case."""
    return sealed(case.row)


def emptied_row(stream: Emptied) -> tuple[Any, ...]:
    """Return the row of a stream of which nothing is left."""
    return sealed((stream.stream, stream.first_position, stream.last_position))


def rank(received: int, position: int) -> int:
    """Return a case's place in the order of receipt: its time, then its position."""
    return received << SHIFT | position


def left_at(case: Case) -> int:
    """Return when a case waited last; NEVER while it waits."""
    if case.handled is not None:
        return case.handled[1] >> SHIFT
    if not case.stays:
        return case.received
    end = case.stays[-1][2]
    return NEVER if end is None else end >> SHIFT


Moves = tuple[int, int, int, list[Stay], tuple[str, Key] | None]  # received, position, left_at, stays, handled


def moves_of(case: Case) -> Moves:
    """Return what is kept of a case until its moves are walked through."""
    return case.received, case.position, left_at(case), case.stays, case.handled


def handling_row(
    position: int,
    received: int,
    left: int,
    overtook: int,
    overtaken_by: int,
    first: int | None,
    passers: list[tuple[int, int]],
    stays: str,
    handled: Iterable[Any],
) -> tuple[Any, ...]:
    """Return the row of a case in the handling order.

    passers: of each stay that was passed, its beginning and who; kept in order of time, in whatever order they were
    found. handled: as `handled_as` gives it.
    """
    text = encode(sorted(passers)).decode() if passers else "[]"
    return sealed((position, received, left, overtook, overtaken_by, first, text, stays, *handled))


def handled_as(handled: tuple[str, int] | None) -> tuple[str | None, int | None, int | None]:
    """Return in which group, when and by which entry a case was handled."""
    return (None, None, None) if handled is None else (handled[0], handled[1] >> SHIFT, handled[1] & MASK)


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
