"""How the verdict on a case comes about, step by step. §response-times, §order-of-handling."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ledger import events as e
from ledger.instants import stamp
from projections.derivation import Step, at, span_of
from projections.handling_order import overtaken_by
from projections.history import folded
from projections.judgement import Judgement
from projections.response_times import Verdict, evolve, judge
from projections.spans import SECOND, Span


def case(judgement: Judgement, stream: str) -> tuple[Verdict, list[Step]]:
    """Return the verdict on a case and the steps that lead to it."""
    v = judge(judgement, stream, folded(evolve, judgement.history.stream(stream, judgement.as_of)))
    steps = [_received(v), _calendar(v, judgement), _target(v)]
    steps += [s for s in (_pauses(v), _counted(v)) if s]
    steps += [_due(v), _outcome(v), _order(judgement, stream, v)]
    return v, steps


def _local(v: Verdict, at: datetime) -> str:
    return f"{at.astimezone(v.zone):%a %Y-%m-%d %H:%M:%S} {v.zone}"


def _received(v: Verdict) -> Step:
    said = f"{v.state.case.customer} turned to us by {v.state.case.channel}"
    says = f"{said} at {stamp(v.received_at)} ({_local(v, v.received_at)})"
    return Step("received", says, stamp(v.received_at), ["§response-times"], because=at(v.state.opening))


def _calendar(v: Verdict, judgement: Judgement) -> Step:
    readings, taken = v.rules.readings, dict[str, Any]()
    if v.deal:
        says = "a 24x7 deal covers this channel: every second counts"
        taken = {"round_the_clock": readings.round_the_clock}
        return Step("calendar", says, "always_open", ["§phone", "§outside-hours"], taken, at(v.deal))
    desks = list(judgement.desks_for(v.desk, v.rules))
    says = f"business hours are those of {' and '.join(desks)}; dates are read at the desk {v.desk}"
    taken = {"business_hours": readings.business_hours, "zones": readings.zones, "holidays": readings.holidays}
    agreement = judgement.agreements.get(v.state.case.customer)
    because = at(agreement.desk_entry) if agreement else []
    if agreement is None:
        says += ", since the customer has no agreement"
    return Step("calendar", says, desks, ["§business-hours"], taken, because)


def _target(v: Verdict) -> Step:
    goal = v.rules.terms.targets[v.target]  # type: ignore[index]
    length = f"{goal.hours} hours of business time" if goal.hours is not None else f"{goal.working_days} working days"
    assigned = [x for x in v.state.assignments if x.time <= v.ended_at]
    lines = [
        f"{stamp(x.time)}  {x.event.priority}: {x.event.reason}"
        for x in assigned
        if isinstance(x.event, e.PriorityAssigned)
    ]
    if v.state.case.remote_assistance:
        says = f"remote assistance keeps the pace of {v.target}: {length}"
        clauses = ["§response-times", "§remote-assistance"]
    else:
        how = "assigned" if assigned else "nobody assigned a priority"
        says = f"the priority is {v.priority} ({how}): {length}"
        clauses = ["§response-times", "§remote-assistance" if not assigned else "§prioritisation"]
    if v.verdict == "best_effort":
        says = f"{v.state.case.channel} is measured apart, by best effort: no target applies"
        clauses = [{"chat": "§chat", "on_site": "§on-site"}.get(v.state.case.channel, "§phone")]
        return Step("target", says, None, clauses, {"best_effort": list(v.rules.readings.best_effort)}, lines=lines)
    taken = {"reclassification": v.rules.readings.reclassification} if assigned else {}
    return Step("target", says, v.target, clauses, taken, [p for x in assigned for p in x.positions], lines=lines)


def _pauses(v: Verdict) -> Step | None:
    if not v.state.waits:
        return None
    waits = [x for pair in v.state.waits for x in pair if x is not None and x.time <= v.ended_at]
    parts = [_part(v, s) for s in v.pauses]
    lines = [f"{p['from']} to {p['until']}: {span_of(p['business_seconds'])} of business time" for p in parts]
    says = f"while we waited for the customer the clock stood still for {span_of(v.paused_seconds)} of business time"
    return Step(
        "pauses", says, v.paused_seconds, ["§full-access"], {}, [p for x in waits for p in x.positions], parts, lines
    )


def _part(v: Verdict, span: Span) -> dict[str, Any]:
    seconds = v.calendar.between(*span) // SECOND
    return {"from": stamp(span[0]), "until": stamp(span[1]), "business_seconds": seconds}


def _counted(v: Verdict) -> Step:
    parts, passed, lines = [], 0, []
    for begin, end in v.counted():
        seconds = (end - begin) // SECOND
        passed += seconds
        parts.append({"from": stamp(begin), "until": stamp(end), "seconds": seconds, "sum_seconds": passed})
        lines.append(f"{stamp(begin)} to {stamp(end)}: {span_of(seconds):<16} sum {span_of(passed)}")
    ended = "the answer" if v.answered else "the cancellation" if v.state.cancelled else "now"
    less = f" less {span_of(v.paused_seconds)} of pauses" if v.paused_seconds else ""
    passed_text = f"from receipt to {ended} {span_of(passed)} of business time passed{less}"
    says = f"{passed_text}: {span_of(v.business_seconds)} on the clock"
    return Step(
        "counted", says, v.business_seconds, ["§business-hours"] if not v.deal else ["§phone"], parts=parts, lines=lines
    )


def _due(v: Verdict) -> Step:
    readings = v.rules.readings
    if v.verdict == "best_effort":
        return Step("due", "there is no due time", None, [], {})
    if v.due_at is None:
        return Step("due", "the due time moves as long as we wait for the customer", None, ["§full-access"])
    goal = v.rules.terms.targets[v.target]  # type: ignore[index]
    taken = {"hour_targets": readings.hour_targets} if goal.hours is not None else {"day_targets": readings.day_targets}
    says, because = f"an answer was due by {stamp(v.due_at)} ({_local(v, v.due_at)})", at(v.state.opening)
    lines = []
    if v.locked_by:
        lines = [f"the priority changed at {stamp(v.locked_by.time)}, after this due time, so that it stands"]
        because = sorted({*because, *v.locked_by.positions})
    elif goal.hours is not None and not v.deal and readings.hour_targets == "business":
        passed = timedelta()
        for begin, end in v.calendar.spans(v.received_at, v.due_at):
            passed += end - begin
            lines.append(f"{stamp(begin)} to {stamp(end)}: sum {span_of(passed // SECOND)}")
    return Step("due", says, stamp(v.due_at), ["§response-times"], taken, because, lines=lines)


def _outcome(v: Verdict) -> Step:
    if v.answered:
        said, because = f"the answer came at {stamp(v.answered.time)} ({_local(v, v.answered.time)})", at(v.answered)
    elif v.state.cancelled:
        said, because = f"the case was cancelled at {stamp(v.state.cancelled.time)}", at(v.state.cancelled)
    else:
        said, because = f"nobody has answered by {stamp(v.ended_at)}", []
    late = f", {span_of(v.late_by_seconds)} after it was due" if v.late_by_seconds else ""
    taken = {"responder": v.rules.readings.responder}
    return Step("verdict", f"{v.verdict}: {said}{late}", v.verdict, ["§response-times"], taken, because)


def _order(judgement: Judgement, stream: str, v: Verdict) -> Step:
    overtook, by = overtaken_by(judgement, stream)
    says = f"it overtook {len(overtook)} and was overtaken by {len(by)}"
    lines = [f"overtook {x}" for x in overtook] + [f"overtaken by {x}" for x in by]
    taken = {"order_within": v.rules.readings.order_within}
    as_of = judgement.as_of
    because = sorted({x.position for s in [*overtook, *by] for x in judgement.history.stream(s, as_of)[:1]})
    clauses = ["§prioritisation", "§order-of-handling"]
    return Step("order", says, [len(overtook), len(by)], clauses, taken, because, lines=lines)
