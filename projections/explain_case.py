"""How the verdict on a case comes about, step by step. §response-times, §order-of-handling."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.instants import stamp
from projections.derivation import Step, span_of
from projections.spans import SECOND, Span

if TYPE_CHECKING:
    from projections.judgement import Judgement
    from projections.response_times import Verdict


class Assigned(msgspec.Struct):
    """A priority as it was assigned, and the entries that say so."""

    at: datetime
    priority: str
    reason: str
    positions: list[int]


class Order(msgspec.Struct):
    """The cases that one overtook and those that overtook it, and the entries that open them."""

    overtook: list[str]
    overtaken_by: list[str]
    because: list[int]


class Account(msgspec.Struct, kw_only=True):
    """A case judged, as far as it takes to tell how its verdict came about; whoever judged it gives the same."""

    customer: str
    channel: str
    is_remote: bool
    received_at: datetime
    receipt: list[int]  # entries, ascending, like all lists of numbers here
    desk: str
    desks: list[str]  # whose hours count
    zone: tzinfo
    signed: list[int] | None  # entries that say which desk it is; None: the customer has no agreement
    deal: list[int] | None  # entries of the 24x7 deal that covers the case
    readings: dict[str, Any]
    priority: str
    target: str
    hours: int | None  # of the target, in business time
    days: int | None
    assigned: list[Assigned]  # until the clock ended
    has_waits: bool
    waits: list[int]  # entries
    pauses: list[tuple[Span, int]]  # each with its business time in seconds
    spans: Callable[[datetime, datetime], list[Span]]  # of business time
    ended: str | None  # by what the clock ended: answer, cancellation
    ended_at: datetime
    ended_by: list[int]  # entries
    verdict: str
    due_at: datetime | None
    locked_by: tuple[datetime, list[int]] | None  # a change of priority that came after the due time
    paused_seconds: int
    business_seconds: int
    late_by_seconds: int | None
    order: Order


def case(judgement: Judgement, stream: str) -> tuple[Verdict, list[Step]]:
    """Return the verdict on a case by the plain rules and the steps that lead to it."""
    from projections.history import folded
    from projections.response_times import evolve, judge

    verdict = judge(judgement, stream, folded(evolve, judgement.history.stream(stream, judgement.as_of)))
    return verdict, steps(account(judgement, verdict))


def account(judgement: Judgement, v: Verdict) -> Account:
    """Return a verdict by the plain rules as the steps need it."""
    from ledger.events import PriorityAssigned

    agreement, terms = judgement.agreements.get(v.state.case.customer), v.rules.terms
    goal, locked = terms.targets[v.target], v.locked_by  # type: ignore[index]
    ended = v.answered or v.state.cancelled
    return Account(
        customer=v.state.case.customer,
        channel=v.state.case.channel,
        is_remote=v.state.case.remote_assistance,
        received_at=v.received_at,
        receipt=sorted(v.state.opening.positions),
        desk=v.desk,
        desks=list(judgement.desks_for(v.desk, v.rules)),
        zone=v.zone,
        signed=sorted(agreement.desk_entry.positions) if agreement else None,
        deal=sorted(v.deal.positions) if v.deal else None,
        readings=v.rules.readings.as_json(),
        priority=v.priority,
        target=v.target,
        hours=goal.hours,
        days=goal.working_days,
        assigned=[
            Assigned(x.time, x.event.priority, x.event.reason, list(x.positions))
            for x in v.state.assignments
            if isinstance(x.event, PriorityAssigned) and x.time <= v.ended_at
        ],
        has_waits=bool(v.state.waits),
        waits=[p for pair in v.state.waits for x in pair if x and x.time <= v.ended_at for p in x.positions],
        pauses=[(span, v.calendar.between(*span) // SECOND) for span in v.pauses],
        spans=v.calendar.spans,
        ended="answer" if v.answered else "cancellation" if v.state.cancelled else None,
        ended_at=v.ended_at,
        ended_by=sorted(ended.positions) if ended else [],
        verdict=v.verdict,
        due_at=v.due_at,
        locked_by=(locked.time, list(locked.positions)) if locked else None,
        paused_seconds=v.paused_seconds,
        business_seconds=v.business_seconds,
        late_by_seconds=v.late_by_seconds,
        order=_order_of(judgement, v.stream),
    )


def _order_of(judgement: Judgement, stream: str) -> Order:
    from projections.handling_order import overtaken_by

    overtook, by = overtaken_by(judgement, stream)
    as_of = judgement.as_of
    firsts = {x.position for s in (*overtook, *by) for x in judgement.history.stream(s, as_of)[:1]}
    return Order(overtook, by, sorted(firsts))


def steps(a: Account) -> list[Step]:
    """Return the steps that lead to a verdict."""
    found = [_received(a), _calendar(a), _target(a), _pauses(a), _counted(a), _due(a), _outcome(a), _order(a)]
    return [step for step in found if step]


def _taken(a: Account, *names: str) -> dict[str, Any]:
    return {name: a.readings[name] for name in names}


def _local(a: Account, at: datetime) -> str:
    return f"{at.astimezone(a.zone):%a %Y-%m-%d %H:%M:%S} {a.zone}"


def _received(a: Account) -> Step:
    at = stamp(a.received_at)
    says = f"{a.customer} turned to us by {a.channel} at {at} ({_local(a, a.received_at)})"
    return Step("received", says, at, ["§response-times"], because=a.receipt)


def _calendar(a: Account) -> Step:
    if a.deal:
        says = "a 24x7 deal covers this channel: every second counts"
        taken = _taken(a, "round_the_clock")
        return Step("calendar", says, "always_open", ["§phone", "§outside-hours"], taken, a.deal)
    says = f"business hours are those of {' and '.join(a.desks)}; dates are read at the desk {a.desk}"
    if a.signed is None:
        says += ", since the customer has no agreement"
    taken = _taken(a, "business_hours", "zones", "holidays")
    return Step("calendar", says, a.desks, ["§business-hours"], taken, a.signed or [])


def _target(a: Account) -> Step:
    length = f"{a.hours} hours of business time" if a.hours is not None else f"{a.days} working days"
    lines = [f"{stamp(x.at)}  {x.priority}: {x.reason}" for x in a.assigned]
    if a.is_remote:
        says = f"remote assistance keeps the pace of {a.target}: {length}"
        clauses = ["§response-times", "§remote-assistance"]
    else:
        how = "assigned" if a.assigned else "nobody assigned a priority"
        says = f"the priority is {a.priority} ({how}): {length}"
        clauses = ["§response-times", "§remote-assistance" if not a.assigned else "§prioritisation"]
    if a.verdict == "best_effort":
        says = f"{a.channel} is measured apart, by best effort: no target applies"
        clauses = [{"chat": "§chat", "on_site": "§on-site"}.get(a.channel, "§phone")]
        return Step("target", says, None, clauses, _taken(a, "best_effort"), lines=lines)
    taken = _taken(a, "reclassification") if a.assigned else {}
    return Step("target", says, a.target, clauses, taken, [p for x in a.assigned for p in x.positions], lines=lines)


def _pauses(a: Account) -> Step | None:
    if not a.has_waits:
        return None
    parts: list[dict[str, Any]] = [
        {"from": stamp(begin), "until": stamp(end), "business_seconds": seconds} for (begin, end), seconds in a.pauses
    ]
    lines = [f"{p['from']} to {p['until']}: {span_of(p['business_seconds'])} of business time" for p in parts]
    says = f"while we waited for the customer the clock stood still for {span_of(a.paused_seconds)} of business time"
    return Step("pauses", says, a.paused_seconds, ["§full-access"], {}, a.waits, parts, lines)


def _counted(a: Account) -> Step:
    parts, passed, lines = [], 0, []
    for begin, end in a.spans(a.received_at, a.ended_at):
        seconds = (end - begin) // SECOND
        passed += seconds
        parts.append({"from": stamp(begin), "until": stamp(end), "seconds": seconds, "sum_seconds": passed})
        lines.append(f"{stamp(begin)} to {stamp(end)}: {span_of(seconds):<16} sum {span_of(passed)}")
    ended = f"the {a.ended}" if a.ended else "now"
    less = f" less {span_of(a.paused_seconds)} of pauses" if a.paused_seconds else ""
    passed_text = f"from receipt to {ended} {span_of(passed)} of business time passed{less}"
    says = f"{passed_text}: {span_of(a.business_seconds)} on the clock"
    clauses = ["§business-hours"] if not a.deal else ["§phone"]
    return Step("counted", says, a.business_seconds, clauses, parts=parts, lines=lines)


def _due(a: Account) -> Step:
    if a.verdict == "best_effort":
        return Step("due", "there is no due time", None, [], {})
    if a.due_at is None:
        return Step("due", "the due time moves as long as we wait for the customer", None, ["§full-access"])
    taken = _taken(a, "hour_targets" if a.hours is not None else "day_targets")
    says, because = f"an answer was due by {stamp(a.due_at)} ({_local(a, a.due_at)})", a.receipt
    lines = []
    if a.locked_by:
        at, positions = a.locked_by
        lines = [f"the priority changed at {stamp(at)}, after this due time, so that it stands"]
        because = sorted({*because, *positions})
    elif a.hours is not None and not a.deal and a.readings["hour_targets"] == "business":
        passed = timedelta()
        for begin, end in a.spans(a.received_at, a.due_at):
            passed += end - begin
            lines.append(f"{stamp(begin)} to {stamp(end)}: sum {span_of(passed // SECOND)}")
    return Step("due", says, stamp(a.due_at), ["§response-times"], taken, because, lines=lines)


def _outcome(a: Account) -> Step:
    at = stamp(a.ended_at)
    said = f"nobody has answered by {at}"
    if a.ended == "answer":
        said = f"the answer came at {at} ({_local(a, a.ended_at)})"
    elif a.ended == "cancellation":
        said = f"the case was cancelled at {at}"
    late = f", {span_of(a.late_by_seconds)} after it was due" if a.late_by_seconds else ""
    taken = _taken(a, "responder")
    return Step("verdict", f"{a.verdict}: {said}{late}", a.verdict, ["§response-times"], taken, a.ended_by)


def _order(a: Account) -> Step:
    overtook, by = a.order.overtook, a.order.overtaken_by
    says = f"it overtook {len(overtook)} and was overtaken by {len(by)}"
    lines = [f"overtook {x}" for x in overtook] + [f"overtaken by {x}" for x in by]
    clauses, taken = ["§prioritisation", "§order-of-handling"], _taken(a, "order_within")
    return Step("order", says, [len(overtook), len(by)], clauses, taken, a.order.because, lines=lines)
