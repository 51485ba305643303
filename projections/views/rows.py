"""The rows that findings are kept as: of a case, of its handling, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from projections.clauses import in_order
from projections.replay import SHIFT, Case, Emptied, stamped
from projections.views.tables import GROUP_COLUMN, VERDICT, encode, sealed

MASK = (1 << SHIFT) - 1
NEVER = 1 << 40  # later than any instant: a case that still waits leaves then
_TEXTS: dict[frozenset[str] | tuple[str, ...], str] = {}


def _text(names: frozenset[str] | tuple[str, ...]) -> str:
    """Return clauses (a set, in the agreement's order) or doubts (in their own) as JSON; each list is written once."""
    found = _TEXTS.get(names)
    if found is None:
        found = _TEXTS[names] = encode(in_order(names) if isinstance(names, frozenset) else names).decode()
    return found


def case_row(case: Case) -> tuple[Any, ...]:
    """Return the row of a case; a case that only the plain rules can judge has no verdict."""
    opening, figures = case.opening, case.figures
    head = (
        case.position,
        case.stream,
        case.stream.partition(":")[0],
        opening.kind,
        opening.customer,
        opening.service,
        opening.channel,
        case.priority,
        case.received_at,
    )
    tail = (case.received, case.last_time, case.first_position, case.last_position, encode(case.steps).decode())
    if figures is None:
        return sealed((*head, None, case.answered_at, None, None, None, None, "", "[]", "[]", "[]", "", *tail, None))
    settled = figures.verdict is not None
    return sealed(
        (
            *head,
            None if figures.due is None else stamped(figures.due),
            case.answered_at,
            figures.paused if settled else None,
            figures.passed if settled else None,
            figures.late,
            figures.verdict,
            figures.rules.id,
            _text(figures.clauses),
            f"[{','.join(map(str, figures.because))}]",
            _text(figures.doubts),
            figures.month,
            *tail,
            None if figures.unsettled is None else encode(figures.unsettled).decode(),
        )
    )


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
