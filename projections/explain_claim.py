"""How the decision on a claim comes about, from request down to evidence and entries. §availability-credit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ledger import events as e
from ledger.instants import stamp
from projections.availability import EXCLUSIONS, Availability
from projections.credits import Assessment
from projections.derivation import Step, at, span_of
from projections.downtime import CLAUSE_OF, Judged
from projections.figures import money_json, ratio, truncated
from projections.spans import clip, intersection, total
from projections.used_downtime import Used


def claim(assessment: Assessment) -> list[Step]:
    """Return the steps from a claim's request to its credit, down to outages, evidence and entries."""
    a, found, request = assessment, assessment.availability, assessment.state.request
    says = (
        f"{request.customer} asked for a credit on {request.service}"
        f" from {request.from_} until {request.until}, at {stamp(a.state.opening.time)}"
    )
    steps = [Step("request", says, a.stream, ["§availability-credit"], {}, at(a.state.opening))]
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
        lines.append(f"{left} s of it are without an agreement and count as up")
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
    readings, terms, worth = a.rules.readings, a.rules.terms, a.worth
    lost, steps = worth.lost(readings.lost_from), worth.steps(readings.lost_from, readings.lost_steps)
    base = "100" if readings.lost_from == "hundred" else str(terms.availability.target_percent)
    rate = worth.rate(steps)
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
    credit = worth.credit(readings.lost_from, readings.lost_steps)
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
