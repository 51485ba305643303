"""Handling order: whether cases were handled in the order in which they came, and what to handle next.

§order-of-handling, §prioritisation; R12, R14.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from heapq import heappop, heappush
from typing import Any

from ledger import events as e
from ledger.entry import Entry
from ledger.instants import stamp
from projections.clauses import RANKS
from projections.figures import truncated
from projections.history import folded
from projections.judgement import Judgement, in_order
from projections.response_times import (
    KINDS,
    State,
    Verdict,
    answer,
    assigned_priority,
    assignments_until,
    evolve,
)
from projections.spans import SECOND

__all__ = ["State", "evolve", "findings", "overtaken_by", "queue", "totals"]


@dataclass(slots=True)
class Handled:
    """One case in the order of handling: how many it overtook, and by how many it was overtaken.

    `because` names its own entries, the receipt of the first case it overtook, and the case that overtook it first.
    """

    stream: str
    state: State
    handled: Entry | None
    priority: str
    terms: str
    rank: int = 0
    overtook: int = 0
    overtaken_by: int = 0
    because: list[int] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the finding in its fixed shape."""
        return {
            "case": self.stream,
            "priority": self.priority,
            "received_at": stamp(self.state.opening.time),
            "handled_at": stamp(self.handled.time) if self.handled else None,
            "overtook": self.overtook,
            "overtaken_by": self.overtaken_by,
            "terms": self.terms,
            "clauses": in_order(["§prioritisation", "§order-of-handling"]),
            "because": sorted(set(self.because)),
            "doubts": [],
        }


class _Waiting:
    """Cases that wait, by rank of receipt: how many came before one, and how often each was overtaken.

    `unpassed` is a heap of the ranks that nobody has overtaken since they came; some may have left meanwhile.
    """

    def __init__(self, size: int) -> None:
        self._present = [0] * (size + 1)
        self._passed = [0] * (size + 1)
        self.unpassed: list[int] = []

    def first(self) -> int:
        """Return the lowest rank that waits; one does."""
        index, step = 0, 1 << (len(self._present) - 1).bit_length()
        while step:
            if index + step < len(self._present) and self._present[index + step] == 0:
                index += step
            step >>= 1
        return index + 1

    def put(self, rank: int, change: int) -> None:
        """Add a waiting case (1), or take it away (-1)."""
        self._add(self._present, rank, change)

    def before(self, rank: int) -> int:
        """Return how many waiting cases were received before one."""
        return self._sum(self._present, rank)

    def passed(self, rank: int) -> None:
        """Note that a case was handled: all those received before it were passed."""
        self._add(self._passed, len(self._passed) - rank, 1)

    def passes(self, rank: int) -> int:
        """Return how many of the cases handled so far were received after one."""
        return self._sum(self._passed, len(self._passed) - rank)

    @staticmethod
    def _add(tree: list[int], index: int, change: int) -> None:
        while index < len(tree):
            tree[index] += change
            index += index & -index

    @staticmethod
    def _sum(tree: list[int], rank: int) -> int:
        """Return the sum over indices below a rank."""
        index, found = rank - 1, 0
        while index > 0:
            found += tree[index]
            index -= index & -index
        return found


def findings(judgement: Judgement) -> list[Handled]:
    """Return every case with its overtakings, in order of receipt, then position. In n log n."""
    cases = _cases(judgement)
    for rank, case in enumerate(cases, 1):
        case.rank = rank
    _sweep(judgement, cases)
    return cases


def _cases(judgement: Judgement) -> list[Handled]:
    found = []
    for stream, entries in judgement.history.all(judgement.as_of, *KINDS):
        state = folded(evolve, entries)
        rules = judgement.rules_at(state.opening.time)
        handled = answer(state, rules)
        ended = handled or state.cancelled
        assigned = assignments_until(state, ended)
        priority = assigned_priority(assigned, rules)
        involved = [state.opening, *assigned, *([ended] if ended else [])]
        because = sorted({p for x in involved for p in x.positions})
        found.append(Handled(stream, state, handled, priority, rules.terms.id, because=because))
    return sorted(found, key=lambda h: h.state.opening.order)


def _sweep(judgement: Judgement, cases: list[Handled]) -> None:
    """Walk through all facts in order; keep who waits under which priority; count at every handling."""
    by_priority = judgement.rules_at(judgement.as_of).readings.order_within == "priority"
    waiting = {p: _Waiting(len(cases)) for p in RANKS}
    standing = [_Standing(c, judgement.rules_at(c.state.opening.time).terms.priorities.unassigned) for c in cases]
    facts = sorted(
        ((fact, s) for s in standing for fact in s.facts()),
        key=lambda item: (item[0].time, item[0].position),
    )
    index = 0
    while index < len(facts):
        end = index
        while end < len(facts) and facts[end][0].time == facts[index][0].time:
            end += 1
        second = facts[index:end]
        for fact, s in second:  # a case handled in this very second is handled
            if fact is s.case.handled:
                s.leave(waiting)
                s.handled = True
        for fact, s in second:
            if fact is s.case.handled:
                group = s.group if by_priority else "high"
                s.case.overtook = waiting[group].before(s.case.rank)
                waiting[group].passed(s.case.rank)
                if s.case.overtook:
                    s.case.because += cases[waiting[group].first() - 1].state.opening.positions
                    _witness(s.case, group, waiting[group], standing)
            else:
                s.take(fact, waiting, by_priority)
        index = end
    for s in standing:
        s.leave(waiting)


def _witness(passer: Handled, group: str, waiting: _Waiting, standing: list[_Standing]) -> None:
    """Note a case as the first to overtake each of those that it passes and nobody did before."""
    while waiting.unpassed and waiting.unpassed[0] < passer.rank:
        passed = standing[heappop(waiting.unpassed) - 1]
        if passed.place == group:
            assert passer.handled is not None
            passed.case.because += (*passer.state.opening.positions, *passer.handled.positions)


@dataclass(slots=True)
class _Standing:
    """Where a case stands during the sweep."""

    case: Handled
    group: str
    place: str | None = None  # the group it waits in
    open_waits: frozenset[str] = frozenset()
    received: bool = False
    handled: bool = False
    cancelled: bool = False
    passes_before: int = 0

    def facts(self) -> Iterable[Entry]:
        """Yield the facts that matter to the order: receipt, assignments, waits, handling, cancellation."""
        state = self.case.state
        yield state.opening
        yield from state.assignments
        for asked, granted in state.waits:
            yield asked
            if granted:
                yield granted
        if self.case.handled:
            yield self.case.handled
        if state.cancelled:
            yield state.cancelled

    def take(self, fact: Entry, waiting: dict[str, _Waiting], by_priority: bool) -> None:
        """Let one fact move the case in or out of those that wait."""
        match fact.event:
            case e.CaseReported():
                self.received = True
            case e.PriorityAssigned(priority=priority):
                self.group = priority
            case e.AccessRequested(what=what):
                self.open_waits |= {what}
            case e.AccessGranted(what=what):
                self.open_waits -= {what}
            case e.IncidentCancelled() | e.RequestCancelled():
                self.cancelled = True
        waits = self.received and not (self.handled or self.cancelled or self.open_waits)
        place = (self.group if by_priority else "high") if waits else None
        if place != self.place:
            self.leave(waiting)
            if place is not None:
                waiting[place].put(self.case.rank, 1)
                self.passes_before = waiting[place].passes(self.case.rank)
                heappush(waiting[place].unpassed, self.case.rank)
            self.place = place

    def leave(self, waiting: dict[str, _Waiting]) -> None:
        """Leave those that wait, and note how often the case was overtaken meanwhile."""
        if self.place is not None:
            self.case.overtaken_by += waiting[self.place].passes(self.case.rank) - self.passes_before
            waiting[self.place].put(self.case.rank, -1)
            self.place = None


def totals(cases: Iterable[Handled]) -> dict[str, Any]:
    """Return how many cases were handled, and how many of them in turn (truncated to two decimals)."""
    cases = list(cases)
    handled = sum(1 for c in cases if c.handled)
    out_of_turn = sum(1 for c in cases if c.handled and c.overtook)
    return {
        "handled": handled,
        "out_of_turn": out_of_turn,
        "overtaken": sum(1 for c in cases if c.overtaken_by),
        "overtakings": sum(c.overtook for c in cases),
        "in_turn_percent": truncated(Fraction(handled - out_of_turn, handled) * 100, 2) if handled else None,
    }


def overtaken_by(judgement: Judgement, stream: str) -> tuple[list[str], list[str]]:
    """Return the cases that one overtook, and those that overtook it, by the plain definition."""
    cases = _cases(judgement)
    by_priority = judgement.rules_at(judgement.as_of).readings.order_within == "priority"
    default = {c.stream: judgement.rules_at(c.state.opening.time).terms.priorities.unassigned for c in cases}
    one = next(c for c in cases if c.stream == stream)

    def overtakes(b: Handled, a: Handled) -> bool:
        if b.handled is None or a is b or b.state.opening.order <= a.state.opening.order:
            return False
        now = b.handled.order
        gone = a.state.cancelled and a.state.cancelled.order < now
        waits = any(x.order < now and (y is None or y.order > now) for x, y in a.state.waits)
        if (a.handled and a.handled.time <= b.handled.time) or gone or waits:
            return False
        same = _assigned(a, now, default[a.stream]) == _assigned(b, now, default[b.stream])
        return same or not by_priority

    return [c.stream for c in cases if overtakes(one, c)], [c.stream for c in cases if overtakes(c, one)]


def _assigned(case: Handled, now: tuple[datetime, int], default: str) -> str:
    found = default
    for entry in case.state.assignments:
        if entry.order < now and isinstance(entry.event, e.PriorityAssigned):
            found = entry.event.priority
    return found


def queue(judgement: Judgement, verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Return the unanswered cases in the order to handle them, paused ones last and without rank."""
    readings = judgement.rules_at(judgement.as_of).readings
    waiting = [v for v in verdicts if v.is_unanswered]
    by_priority = readings.order_within == "priority"
    waiting.sort(key=lambda v: (v.verdict == "paused", RANKS[v.priority] if by_priority else 0, v.state.opening.order))
    rows, rank = [], 0
    for v in waiting:
        rank += v.verdict != "paused"
        remaining = _remaining(v, judgement.as_of)
        rows.append(
            {
                "rank": None if v.verdict == "paused" else rank,
                "case": v.stream,
                "customer": v.state.case.customer,
                "priority": v.priority,
                "received_at": stamp(v.received_at),
                "due_at": stamp(v.due_at) if v.due_at else None,
                "remaining_seconds": remaining,
                "at_risk": _is_at_risk(v, remaining),
                "verdict": v.verdict,
                "doubts": v.doubts,
            }
        )
    return rows


def _remaining(verdict: Verdict, as_of: datetime) -> int | None:
    if verdict.due_at is None:
        return None
    if verdict.due_at < as_of:
        return -((as_of - verdict.due_at) // SECOND)
    return verdict.calendar.between(as_of, verdict.due_at) // SECOND


def _is_at_risk(verdict: Verdict, remaining: int | None) -> bool:
    if verdict.due_at is None or remaining is None:
        return False
    if remaining < 0 or verdict.due_at < verdict.received_at:
        return True
    whole = verdict.calendar.between(verdict.received_at, verdict.due_at)
    return remaining <= verdict.rules.terms.queue.share * (whole // SECOND)
