"""Derivations: every step from the entries to a verdict or a credit, with value, clause, readings and entries.

The sentences and the JSON come from the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from ledger import events as e
from ledger.entry import Entry
from ledger.values import stamp
from projections.availability import CLAUSE_OF, EXCLUSIONS, Availability, Judged
from projections.credits import Assessment, Used
from projections.figures import money_json, ratio, truncated
from projections.handling_order import overtaken_by
from projections.history import folded
from projections.judgement import Judgement
from projections.response_times import Verdict, evolve, judge
from projections.spans import SECOND, Span, clip, intersection, total


@dataclass(slots=True)
class Step:
    """One step of a derivation: what holds, in a sentence, and what it rests on. `parts` are the figures below it."""

    step: str
    says: str
    value: Any = None
    clauses: list[str] = field(default_factory=list)
    readings: dict[str, Any] = field(default_factory=dict)
    because: list[int] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the step in its fixed shape."""
        return {
            "step": self.step,
            "says": self.says,
            "value": self.value,
            "clauses": self.clauses,
            "readings": self.readings,
            "because": self.because,
            "parts": self.parts,
        }

    def text(self) -> list[str]:
        """Return the step as lines for a person."""
        rests = [*self.clauses, *(f"{k}={_reading(v)}" for k, v in self.readings.items())]
        if self.because:
            rests.append(f"{'entry' if len(self.because) == 1 else 'entries'} {ranges(self.because)}")
        return [
            f"- {self.says}",
            *(f"    {line}" for line in self.lines),
            *([f"    [{'; '.join(rests)}]"] if rests else []),
        ]


def ranges(positions: list[int]) -> str:
    """Return positions as a short text: 1, 4-6, 9."""
    found: list[list[int]] = []
    for p in sorted(set(positions)):
        if found and found[-1][1] == p - 1:
            found[-1][1] = p
        else:
            found.append([p, p])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def span_of(seconds: int) -> str:
    """Return seconds as hours, minutes and seconds: 8 h, 3 h 30 min, 10 s."""
    hours, rest = divmod(abs(seconds), 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (left, "s")) if n]
    return ("-" if seconds < 0 else "") + (" ".join(parts) or "0 s")


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
    return Step("received", says, stamp(v.received_at), ["§response-times"], because=_at(v.state.opening))


def _calendar(v: Verdict, judgement: Judgement) -> Step:
    readings, taken = v.rules.readings, dict[str, Any]()
    if v.deal:
        says = "a 24x7 deal covers this channel: every second counts"
        taken = {"round_the_clock": readings.round_the_clock}
        return Step("calendar", says, "always_open", ["§phone", "§outside-hours"], taken, _at(v.deal))
    desks = list(judgement.desks_for(v.desk, v.rules))
    says = f"business hours are those of {' and '.join(desks)}; dates are read at the desk {v.desk}"
    taken = {"business_hours": readings.business_hours, "zones": readings.zones, "holidays": readings.holidays}
    agreement = judgement.agreements.get(v.state.case.customer)
    because = _at(agreement.desk_entry) if agreement else []
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
    says, because = f"an answer was due by {stamp(v.due_at)} ({_local(v, v.due_at)})", _at(v.state.opening)
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
        said, because = f"the answer came at {stamp(v.answered.time)} ({_local(v, v.answered.time)})", _at(v.answered)
    elif v.state.cancelled:
        said, because = f"the case was cancelled at {stamp(v.state.cancelled.time)}", _at(v.state.cancelled)
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


def claim(assessment: Assessment) -> list[Step]:
    """Return the steps from a claim's request to its credit, down to outages, evidence and entries."""
    a, found, request = assessment, assessment.availability, assessment.state.request
    says = (
        f"{request.customer} asked for a credit on {request.service}"
        f" from {request.from_} until {request.until}, at {stamp(a.state.opening.time)}"
    )
    steps = [Step("request", says, a.stream, ["§availability-credit"], {}, _at(a.state.opening))]
    for c in a.conditions:
        detail = ", ".join(f"{k.replace('_', ' ')} {_plain(v)}" for k, v in c.detail.items())
        says = f"condition {c.condition.replace('_', ' ')}: {'holds' if c.holds else 'does not hold'} ({detail})"
        taken = {"period": a.rules.readings.period} if c.condition == "twelve_months" else {}
        steps.append(
            Step(c.condition, says, c.holds, [c.clause], taken, c.because if c.condition != "below_target" else [])
        )
    steps.append(waterfall(found))
    steps += [used(found, u) for u in a.used_by]
    steps += [outage(found, o) for o in found.outages]
    return [*steps, *_amounts(a)]


def waterfall(found: Availability) -> Step:
    """Return how the period divides, part by part, down to what was up; the parts add up to it."""
    row = found.as_json()
    parts = [
        {"part": "period", "seconds": row["period_seconds"]},
        {"part": "counted", "seconds": -row["counted_seconds"]},
    ]
    parts += [{"part": r, "seconds": -row["excluded_seconds"][r]} for r in EXCLUSIONS]
    parts += [
        {"part": "already_credited", "seconds": -row["already_credited_seconds"]},
        {"part": "unknown", "seconds": -row["unknown_seconds"]},
        {"part": "up", "seconds": row["up_seconds"]},
    ]
    shown = [p for p in parts if p["seconds"] or p["part"] in ("counted", "up")]
    numerator, denominator = found.parts()
    counted = row["counted_seconds"]
    lines = [f"{row['period_seconds']} s of the period - {counted} s counted = {row['period_seconds'] - counted} s"]
    if denominator != row["period_seconds"]:
        left_out = row["period_seconds"] - denominator
        lines.append(f"{left_out} s excluded leave both sides: {numerator} of {denominator} s")
    shown = [p for p in parts[2:] if p["seconds"]]
    lines.append("of what is not counted:")
    lines += [f"  {p['part'].replace('_', ' '):<22}{abs(p['seconds']):>12} s" for p in shown]
    lines += _overlaps(found, counted + row["already_credited_seconds"])
    for entry in found.gaps:
        assert isinstance(entry.event, e.MonitoringGapRecorded)
        seen = f"{stamp(entry.event.from_)} to {stamp(entry.event.until)}"
        lines.append(f"not watched {seen}: {entry.event.reason} (entry {entry.position})")
    value = ratio(numerator, denominator)
    percent = value["percent"] if value else "nothing"
    says = f"available {numerator} of {denominator} seconds: {percent} % (target {row['target_percent']} %)"
    readings = found.rules.readings
    taken = {
        k: getattr(readings, k)
        for k in ("before_agreement", "excluded_time", "uncovered_monitoring", "reused_downtime")
    }
    gaps = [p for x in found.gaps for p in x.positions]
    return Step(
        "availability", says, value, ["§availability-target", "§service-availability"], taken, gaps, parts, lines
    )


def used(found: Availability, other: Used) -> Step:
    """Return which downtime another granted claim has used up. R27"""
    seconds = total(intersection(list(other.spans), found.already_credited))
    says = f"{seconds} s of downtime earned a credit in {other.claim} and count no more"
    taken = {"reused_downtime": found.rules.readings.reused_downtime}
    return Step("already_credited", says, seconds, ["§availability-credit"], taken, [other.position])


def _overlaps(found: Availability, counted: int) -> list[str]:
    """Return why the outages' own seconds sum up to more than the totals: every second counts once."""
    own = sum(found.own_seconds(o.counted) for o in found.outages)
    lines = []
    if own > counted:
        lines.append(f"the outages below count {own} s, of which {own - counted} s lie in several and count once")
    own = sum(found.own_seconds(s) for o in found.outages for s in o.excluded.values())
    if own > found.excluded_seconds:
        over = own - found.excluded_seconds
        lines.append(
            f"they exclude {own} s, of which {over} s count through another outage or are excluded once already"
        )
    return lines


def outage(found: Availability, judged: Judged) -> Step:
    """Return how one outage counts: its frame, the evidence, the cause, and what speaks against an exclusion."""
    state, spans = judged.state, judged.frame.spans
    counted, excluded = found.own_seconds(judged.counted), sum(found.own_seconds(s) for s in judged.excluded.values())
    frame = f"{stamp(spans[0][0])} to {stamp(spans[-1][1])}" + (f" in {len(spans)} spans" if len(spans) > 1 else "")
    how = "determined" if state.determined else "proposed"
    says = f"{judged.stream}: {frame} ({how}), {judged.reason}: {counted} s count, {excluded} s excluded"
    lines = [f"span {stamp(a)} to {stamp(b)}" for a, b in spans] if len(spans) > 1 else []
    whole = total(clip(list(spans), found.begin, found.end))
    if whole > counted + excluded:
        left = whole - counted - excluded
        lines.append(f"{left} s of it are without an agreement and count as up (before_agreement=available)")
    credited = found.own_seconds(intersection(judged.counted, found.already_credited))
    if credited:
        lines.append(f"{credited} s of it have earned a credit already")
    for entry in state.evidence:
        assert isinstance(entry.event, e.EvidenceRecorded)
        until = stamp(entry.event.until) if entry.event.until else "open"
        lines.append(f"evidence {entry.event.source}: {stamp(entry.event.from_)} to {until} (entry {entry.position})")
    if state.determined and isinstance(state.determined.event, e.TimeframeDetermined):
        settled = state.determined.event
        lines.append(f"frame by {settled.decided_by}: {settled.reason} (entry {state.determined.position})")
    if state.attribution and state.attributed:
        ground = f" on the ground {state.attribution.ground}" if state.attribution.ground else ""
        under = f" under {state.attribution.maintenance}" if state.attribution.maintenance else ""
        lines.append(
            f"cause {state.attribution.cause}{under}{ground} by {state.attribution.decided_by}:"
            f" {state.attribution.reason} (entry {state.attributed.position})"
        )
    for o in judged.obstacles:
        missed = f" by {span_of(o.missed_by_seconds)}" if o.missed_by_seconds else ""
        lines.append(f"not excluded: {o.reason.replace('_', ' ')}{missed}")
    lines += [f"doubt: {d.replace('_', ' ')}" for d in judged.doubts]
    entries = [*state.entries(), *(x for w in judged.windows for x in w.entries())]
    value = {"outage": judged.stream, "counted_seconds": counted, "excluded_seconds": excluded}
    clauses, taken = _outage_rests_on(found, judged)
    return Step("outage", says, value, clauses, taken, sorted({p for x in entries for p in x.positions}), [], lines)


def _outage_rests_on(found: Availability, judged: Judged) -> tuple[list[str], dict[str, Any]]:
    readings = found.rules.readings
    key = {
        "planned_maintenance": "short_notice",
        "unplanned_maintenance": "unplanned",
        "emergency": "emergency",
        "beyond_control": "beyond_control",
    }.get(judged.reason)
    taken = {key: getattr(readings, key)} if key else {}
    if judged.state.determined is None:
        taken["evidence"] = readings.evidence
    clauses = ["§availability-calculation"]
    if judged.reason in CLAUSE_OF:
        clauses.insert(0, CLAUSE_OF[judged.reason])
    return clauses, taken


def _amounts(a: Assessment) -> list[Step]:
    readings, terms = a.rules.readings, a.rules.terms
    lost, steps = a.lost(readings.lost_from), a.steps(readings.lost_from, readings.lost_steps)
    base = "100" if readings.lost_from == "hundred" else str(terms.availability.target_percent)
    rate = a.rate(steps)
    says = f"lost: {base} % less the availability is {truncated(lost, 4)} %"
    found = [Step("lost", says, truncated(lost, 4), ["§availability-credit"], {"lost_from": readings.lost_from})]
    shown = truncated(steps, 4) if readings.lost_steps == "exact" else str(int(steps))
    how = {"whole": "completed", "begun": "begun", "exact": "exactly"}[readings.lost_steps]
    says = f"steps of {terms.credit.for_every_percent_lost} % {how} in {truncated(lost, 4)} %: {shown}"
    found.append(Step("steps", says, shown, ["§availability-credit"], {"lost_steps": readings.lost_steps}))
    says = f"rate: {shown} x {terms.credit.percent_of_monthly_fee} % is {_short(rate)} % of the monthly fee"
    found.append(
        Step(
            "rate",
            says,
            truncated(rate, 4),
            ["§availability-credit"],
            {"cap_percent": readings.as_json()["cap_percent"]},
        )
    )
    fee = money_json(a.fee)
    says = f"monthly fee: {a.fee}" if a.fee else "monthly fee: none, there is no agreement over the service"
    because = next(c.because for c in a.conditions if c.condition == "agreement")
    found.append(Step("monthly_fee", says, fee, ["§availability-credit"], {"fee": readings.fee}, because))
    credit = a.credit(readings.lost_from, readings.lost_steps)
    failed = [c.condition.replace("_", " ") for c in a.conditions if not c.holds]
    if failed:
        says = f"refused: {', '.join(failed)} {'does' if len(failed) == 1 else 'do'} not hold"
    else:
        says = f"{'would be granted' if a.missing else 'granted'}: {_short(rate)} % of {a.fee} is {credit}"
    found.append(Step("credit", says, money_json(credit), ["§availability-credit"]))
    others = a.as_json()["other_readings"]
    lines = [
        f"lost_from={p['lost_from']}, lost_steps={p['lost_steps']}: {p['steps']} steps, {_plain(p['credit'])}"
        for p in others
    ]
    says = "under the other readings of lost availability and of its steps it would be"
    found.append(Step("other_readings", says, None, ["§availability-credit"], {}, [], others, lines))
    return found


def _short(value: Fraction) -> str:
    text = truncated(value, 4).rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def _plain(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"amount", "currency"}:
        return f"{value['amount']} {value['currency']}"
    return "none" if value is None else str(value)


def _reading(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)


def _at(entry: Entry) -> list[int]:
    return sorted(entry.positions)
