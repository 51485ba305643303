"""The rows that findings are kept as: of a case, of its handling, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from projections.replay import Case, Emptied
from projections.stored_facts import FAR, SHIFT
from projections.views.tables import GROUP_COLUMN, VERDICT, encode, sealed

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


def grouped(rows: Iterable[tuple[Any, ...]], totals: dict[tuple[str, str, str], int], count: int = 1) -> None:
    """Add the answered cases among rows to totals, or take them away."""
    for row in rows:
        verdict = row[VERDICT]
        if verdict is not None:
            for name, column in GROUP_COLUMN.items():
                key = (name, row[column], verdict)
                totals[key] = totals.get(key, 0) + count
