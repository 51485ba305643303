"""Response times: when each case was due, when it was answered, and the verdict.

The clock runs on business time from receipt to the first human answer, with pauses taken out while we wait for
access. §response-times, §business-hours, §remote-assistance, §full-access, §phone, §chat, §on-site;
R7-R13, R15, R16, R30.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ledger import events as e
from ledger.entry import Entry
from ledger.errors import CalendarExhausted
from ledger.instants import stamp
from projections.business_time import Calendar
from projections.history import folded
from projections.judgement import ALWAYS_OPEN, DOUBTED, Judgement, Rules, in_order
from projections.spans import SECOND, Span, clip, union

KINDS = ("incident", "request")


@dataclass(frozen=True, slots=True)
class State:
    """A case as its entries leave it: what was asked, every assignment, every wait, and what ended the clock."""

    opening: Entry
    assignments: tuple[Entry, ...] = ()
    answers: tuple[Entry, ...] = ()  # every response of any kind, every resolution or fulfilment
    waits: tuple[tuple[Entry, Entry | None], ...] = ()
    cancelled: Entry | None = None

    @property
    def case(self) -> e.CaseReported:
        """What was reported."""
        assert isinstance(self.opening.event, e.CaseReported)
        return self.opening.event


def evolve(state: State | None, entry: Entry) -> State:
    """Return the case after one more of its entries, in order of time, then position."""
    if state is None:
        return State(entry)
    match entry.event:
        case e.PriorityAssigned():
            return replace(state, assignments=(*state.assignments, entry))
        case e.ResponseGiven() | e.IncidentResolved() | e.RequestFulfilled():
            return replace(state, answers=(*state.answers, entry))
        case e.AccessRequested():
            return replace(state, waits=(*state.waits, (entry, None)))
        case e.AccessGranted(what=what):
            waits = [(a, entry if b is None and _what(a) == what else b) for a, b in state.waits]
            return replace(state, waits=tuple(waits))
        case e.IncidentCancelled() | e.RequestCancelled():
            return replace(state, cancelled=entry)
    return state


def answer(state: State, rules: Rules) -> Entry | None:
    """Return the entry that answered a case, None while it is unanswered or when it was cancelled first. R12"""
    for entry in state.answers:
        if state.cancelled is not None and state.cancelled.order < entry.order:
            return None
        automatic = isinstance(entry.event, e.ResponseGiven) and entry.event.responder == "automatic"
        if not automatic or rules.readings.responder == "any":
            return entry
    return None


def assignments_until(state: State, ended: Entry | None) -> list[Entry]:
    """Return the assignments of priority before the entry that ended the clock, all of them while it runs."""
    return [x for x in state.assignments if ended is None or x.order < ended.order]


def assigned_priority(assigned: list[Entry], rules: Rules) -> str:
    """Return the priority that assignments leave in force, the default without one. §prioritisation"""
    return _priority(assigned[-1]) if assigned else rules.terms.priorities.unassigned


@dataclass(slots=True)
class Verdict:
    """One case judged. Instants are UTC; `due_at` is None for paused and best-effort cases.

    `counted` are the spans of business time from receipt to the end of the clock, `pauses` what is taken out of them.
    """

    stream: str
    state: State
    rules: Rules
    desk: str
    zone: Any
    calendar: Calendar
    deal: Entry | None
    priority: str
    target: str
    answered: Entry | None
    ended_at: datetime
    verdict: str = "open"
    due_at: datetime | None = None
    locked_by: Entry | None = None  # the change of priority that came after the due time and changed nothing
    pauses: list[Span] = field(default_factory=list)
    paused_seconds: int = 0
    business_seconds: int = 0
    late_by_seconds: int | None = None
    clauses: list[str] = field(default_factory=list)
    because: list[int] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def received_at(self) -> datetime:
        """When the case was received."""
        return self.state.opening.time

    @property
    def is_unanswered(self) -> bool:
        """Whether the case still waits for its answer."""
        return self.answered is None and self.state.cancelled is None

    def counted(self) -> list[Span]:
        """Return the spans of business time from receipt to the end of the clock."""
        return self.calendar.spans(self.received_at, self.ended_at)

    def as_json(self) -> dict[str, Any]:
        """Return the finding in its fixed shape."""
        case = self.state.case
        return {
            "case": self.stream,
            "kind": self.stream.partition(":")[0],
            "request_kind": case.kind if isinstance(case, e.ServiceRequested) else None,
            "customer": case.customer,
            "service": case.service,
            "channel": case.channel,
            "priority": self.priority,
            "received_at": stamp(self.received_at),
            "due_at": stamp(self.due_at) if self.due_at else None,
            "responded_at": stamp(self.answered.time) if self.answered else None,
            "paused_seconds": self.paused_seconds,
            "business_seconds": self.business_seconds,
            "late_by_seconds": self.late_by_seconds,
            "verdict": self.verdict,
            "terms": self.rules.terms.id,
            "clauses": self.clauses,
            "because": self.because,
            "doubts": self.doubts,
        }


def findings(
    judgement: Judgement,
    judged_at: datetime | None = None,
    wanted: Callable[[str, State], bool] = lambda stream, state: True,
) -> list[Verdict]:
    """Return the verdict on every case that is wanted, in order of receipt, then position.

    judged_at: the last second of the reported period, for terms_change=period_end (R26); `as_of` without one.
    Raises CalendarExhausted naming the first case that lies outside the calendar's years.
    """
    found = []
    for stream, entries in judgement.history.all(judgement.as_of, *KINDS):
        state = folded(evolve, entries)
        if wanted(stream, state):
            found.append(judge(judgement, stream, state, judged_at))
    return sorted(found, key=lambda v: v.state.opening.order)


def judge(judgement: Judgement, stream: str, state: State, judged_at: datetime | None = None) -> Verdict:
    """Return the verdict on one case."""
    received_at = state.opening.time
    rules = judgement.rules_at(received_at)
    if rules.readings.terms_change == "period_end":
        rules = judgement.rules_at(judged_at or judgement.as_of)
    answered = answer(state, rules)
    cancelled = state.cancelled if answered is None else None
    ended = answered or cancelled
    desk = judgement.desk_of(state.case.customer, rules)
    deal = _deal(judgement, state, rules)
    assigned = assignments_until(state, ended)
    priority = assigned_priority(assigned, rules)
    verdict = Verdict(
        stream=stream,
        state=state,
        rules=rules,
        desk=desk,
        zone=judgement.zone_of(state.case.customer, rules),
        calendar=ALWAYS_OPEN if deal else judgement.calendar(desk, rules),
        deal=deal,
        priority=priority,
        target=rules.terms.priorities.remote_assistance if state.case.remote_assistance else priority,
        answered=answered,
        ended_at=ended.time if ended else judgement.as_of,
    )
    try:
        _measure(verdict)
        if is_best_effort(verdict):
            verdict.verdict = "best_effort"
        else:
            _decide(verdict, judgement, assigned, cancelled)
    except CalendarExhausted as error:
        where = f"{stream} (entry {state.opening.position}), judged at {stamp(judgement.as_of)}: {error.where}"
        raise CalendarExhausted(where, error.what, error.todo) from None
    _explain(verdict, judgement, assigned, ended)
    return verdict


def is_best_effort(verdict: Verdict) -> bool:
    """Return whether a case is measured apart: its channel is, or it is a call out of hours. R16, R30"""
    case, readings = verdict.state.case, verdict.rules.readings
    if case.channel in readings.best_effort:
        return True
    return (
        readings.off_hours_phone == "best_effort"
        and case.channel == "phone"
        and verdict.deal is None
        and not verdict.calendar.is_open(verdict.received_at)
    )


def due_time(verdict: Verdict, target: str, judgement: Judgement, base: datetime | None = None) -> datetime:
    """Return when a case is due under the target of a priority, with the pauses that move it.

    base: from when the target counts, receipt unless it is given (R13). Pauses move the due time one after the other:
    one that begins after it does not, one that begins exactly then does. R10, R11
    """
    goal, readings = verdict.rules.terms.targets[target], verdict.rules.readings  # type: ignore[index]
    base = base or verdict.received_at
    by_clock = goal.hours is not None and readings.hour_targets == "elapsed"
    calendar = ALWAYS_OPEN if by_clock else verdict.calendar
    if by_clock and verdict.state.case.channel == "phone" and not verdict.calendar.is_open(base):
        base = verdict.calendar.add(base, SECOND) - SECOND  # R30: the clock of a call starts at the next opening
    pauses = clip(verdict.pauses, base, verdict.ended_at)
    if goal.hours is not None:
        wanted = timedelta(hours=goal.hours)
        due = calendar.add(base, wanted)
    else:
        wanted = timedelta()
        days = goal.working_days or 0
        due = first_due = judgement.working_days_after(calendar, verdict.desk, verdict.rules, base, days)
    paused = timedelta()
    for begin, end in pauses:
        if begin > due:
            break
        paused += calendar.between(begin, end)
        due = calendar.add(base, wanted + paused) if goal.hours is not None else calendar.add(first_due, paused)
    return due


def _measure(verdict: Verdict) -> None:
    """Set the pauses, clipped to receipt and the end of the clock, and the business time of pauses and case."""
    waits = [(a.time, b.time if b else verdict.ended_at) for a, b in verdict.state.waits]
    verdict.pauses = clip(union(waits), verdict.received_at, verdict.ended_at)
    paused = sum((verdict.calendar.between(a, b) for a, b in verdict.pauses), timedelta())
    verdict.paused_seconds = paused // SECOND
    verdict.business_seconds = (verdict.calendar.between(verdict.received_at, verdict.ended_at) - paused) // SECOND


def _decide(verdict: Verdict, judgement: Judgement, assigned: list[Entry], cancelled: Entry | None) -> None:
    """Set due time and verdict."""
    current: str = verdict.rules.terms.priorities.unassigned
    if verdict.state.case.remote_assistance:
        assigned, current = [], verdict.rules.terms.priorities.remote_assistance
    due = due_time(verdict, current, judgement)
    for entry in assigned:
        if _priority(entry) == current:
            continue
        if entry.time > due and not _is_held(verdict, entry.time, due):
            verdict.locked_by = entry
            break
        current = _priority(entry)
        base = entry.time if verdict.rules.readings.reclassification == "from_change" else None
        due = due_time(verdict, current, judgement, base)
    verdict.due_at = due
    late = verdict.ended_at > due
    if verdict.is_unanswered and verdict.locked_by is None and _is_waiting(verdict, due):
        verdict.verdict, verdict.due_at = "paused", None
        return
    if verdict.answered:
        verdict.verdict = "breached" if late else "met"
    elif cancelled:
        verdict.verdict = "breached" if late else "cancelled"
    else:
        verdict.verdict = "overdue" if late else "open"
    if late:
        verdict.late_by_seconds = (verdict.ended_at - due) // SECOND


def _is_waiting(verdict: Verdict, due: datetime) -> bool:
    """Return whether a pause is open that began no later than the due time."""
    if all(granted for _, granted in verdict.state.waits):
        return False
    opened = min(a.time for a, granted in verdict.state.waits if granted is None)
    begun = next((a for a, b in verdict.pauses if a <= opened <= b), opened)
    return begun <= due


def _is_held(verdict: Verdict, at: datetime, due: datetime) -> bool:
    """Return whether a pause that began no later than the due time still held the clock at an instant."""
    return any(begin <= due and begin <= at < end for begin, end in verdict.pauses)


def _deal(judgement: Judgement, state: State, rules: Rules) -> Entry | None:
    """Return the entry of the 24x7 deal under which a case was received, None without one. R15"""
    agreement = judgement.agreements.get(state.case.customer)
    if agreement is None or (rules.readings.round_the_clock == "phone" and state.case.channel != "phone"):
        return None
    return agreement.deal_at(state.case.service, state.opening.time)


def _explain(verdict: Verdict, judgement: Judgement, assigned: list[Entry], ended: Entry | None) -> None:
    """Set clauses, entries and doubts."""
    case, state = verdict.state.case, verdict.state
    entries = [state.opening, *assigned, *([ended] if ended else []), *([verdict.deal] if verdict.deal else [])]
    clauses = {"§response-times"}
    if verdict.deal:
        clauses |= {"§phone", "§outside-hours"}
    else:
        clauses.add("§business-hours")
        channel = {"phone": "§phone", "email": "§email"}.get(case.channel)
        if channel and not verdict.calendar.is_open(verdict.received_at):
            clauses.add(channel)
    if case.channel in ("chat", "on_site"):
        clauses.add("§chat" if case.channel == "chat" else "§on-site")
    if case.remote_assistance:
        clauses.add("§remote-assistance")
    if assigned:
        clauses.add("§prioritisation")
    for asked, granted in state.waits:
        if asked.time <= verdict.ended_at:
            clauses |= {"§customer-duties", "§full-access"}
            entries += [asked, *([granted] if granted and granted.time <= verdict.ended_at else [])]
    positions = {p for x in entries for p in x.positions} | set(verdict.rules.positions)
    positions.update(judgement.desk_positions(case.customer, verdict.rules))
    verdict.doubts = judgement.doubts_about(case.customer, case.service, verdict.received_at)
    clauses.update(DOUBTED[d] for d in verdict.doubts)
    verdict.clauses, verdict.because = in_order(clauses), sorted(positions)


def _priority(entry: Entry) -> str:
    assert isinstance(entry.event, e.PriorityAssigned)
    return entry.event.priority


def _what(entry: Entry) -> str:
    assert isinstance(entry.event, e.AccessRequested)
    return entry.event.what
