"""Entries as rows, and what streams amount to by the plain rules."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from ledger import events as e
from ledger.clock import CLOCK_TOLERANCE
from ledger.entry import Entry, event_data
from ledger.instants import stamp
from ledger.streams.acceptance import kind_of
from projections.figures import money_json
from projections.grounds import CONTEXT
from projections.history import folded
from projections.judgement import Judgement
from projections.shell.options import bound
from projections.shell.scope import Scope
from projections.shell.single_cases import CASES
from projections.spans import SECOND

if TYPE_CHECKING:
    from projections.claims import State

TYPES = tuple(e.EVENTS)
RESTS_ON = {  # the kinds of streams that have a say in what one amounts to
    **dict.fromkeys(CASES, CONTEXT),
    **dict.fromkeys(("outage", "maintenance"), ("terms",)),
    "agreement": ("agreement",),
}


def log(
    scope: Scope, stream: str | None, name: str | None, first: date | datetime | None, last: date | datetime | None
) -> list[dict[str, Any]]:
    """Return the entries of all streams or one, of all types or one, that happened in `[first, last)`.

    Dates begin at the default desk.
    """
    kinds = ("terms",) if first or last else ()
    judgement = scope.judgement(scope.history() if stream is None else scope.history(*kinds, streams=[stream]))

    def instant_of(at: date | datetime | None) -> datetime | None:
        return None if at is None else bound(at, judgement.zone_of("", judgement.rules_at(judgement.as_of)))

    after, before = instant_of(first), instant_of(last)
    return [
        entry_row(x)
        for x in judgement.history.entries
        if stream in (None, x.stream)
        and name in (None, x.name)
        and (after is None or after <= x.time)
        and (before is None or x.time < before)
    ]


def show(scope: Scope, stream: str) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the entries of a stream as they were recorded, and what they amount to."""
    judgement = scope.judgement(scope.history(*RESTS_ON.get(kind_of(stream), ()), streams=[stream]))
    return [entry_row(x) for x in judgement.history.recorded(stream)], amounts_to(judgement, stream)


def entry_row(entry: Entry) -> dict[str, Any]:
    """Return an entry as a row, late or not."""
    late = entry.recorded_at - entry.time
    return {
        "position": entry.position,
        "recorded_at": stamp(entry.recorded_at),
        "time": stamp(entry.time),
        "late_by_seconds": late // SECOND if late > CLOCK_TOLERANCE else None,
        "stream": entry.stream,
        "version": entry.version,
        "type": entry.name,
        "actor": entry.actor,
        "command_id": entry.command_id,
        "data": json.loads(event_data(entry.event)),
    }


def amounts_to(judgement: Judgement, stream: str) -> dict[str, Any] | None:
    """Return what a stream's entries amount to at the instant: a finding, or its state; None when it is hidden."""
    entries, kind = judgement.history.stream(stream, judgement.as_of), kind_of(stream)
    if not entries:
        return None
    if kind in CASES:
        return _case(judgement, stream, entries)
    of_kind = {"outage": _outage, "maintenance": _window, "agreement": _agreement, "claim": _claim}.get(kind)
    return of_kind(judgement, entries) if of_kind else {"standing_entries": [x.position for x in entries]}


def _case(judgement: Judgement, stream: str, entries: list[Entry]) -> dict[str, Any]:
    from projections.response_times import evolve, judge

    return judge(judgement, stream, folded(evolve, entries)).as_json()


def _claim(judgement: Judgement, entries: list[Entry]) -> dict[str, Any]:
    from projections.claims import evolve

    return claim_status(folded(evolve, entries))


def claim_status(state: State) -> dict[str, Any]:
    """Return where a claim stands: the request, the decision in force, and what followed."""
    decision = state.recorded()
    status = "submitted" if decision is None else str(decision.get("verdict"))
    status = "disputed" if state.disputed else "issued" if state.issued else status
    request = state.request
    return {
        "customer": request.customer,
        "service": request.service,
        "from": request.from_.isoformat(),
        "until": request.until.isoformat(),
        "requested_at": stamp(state.opening.time),
        "status": status,
        "verdict": decision.get("verdict") if decision else None,
        "credit": decision.get("credit") if decision else None,
        "decided_at": stamp(state.decision.time) if state.decision else None,
        "decision_entry": state.decision.position if state.decision else None,
        "first_decision_entry": state.first_decision.position if state.first_decision else None,
    }


def _outage(judgement: Judgement, entries: list[Entry]) -> dict[str, Any]:
    from projections import outages

    state = folded(outages.evolve, entries)
    rules = judgement.rules_at(judgement.as_of)
    frame = outages.time_frame(state, judgement.as_of, rules.readings)
    attribution = state.attribution
    return {
        "services": list(state.report.services),
        "customers": state.report.customers
        if isinstance(state.report.customers, str)
        else list(state.report.customers),
        "degree": state.report.degree,
        "frame": "determined" if state.determined else "proposed",
        "spans": [{"from": stamp(a), "until": stamp(b)} for a, b in frame.spans],
        "cause": attribution.cause if attribution else None,
        "maintenance": attribution.maintenance if attribution else None,
        "doubts": sorted({*frame.doubts, *([] if attribution else ["unattributed"])}),
    }


def _window(judgement: Judgement, entries: list[Entry]) -> dict[str, Any]:
    from projections import maintenance

    state = folded(maintenance.evolve, entries)
    rules, category = judgement.rules_at(state.window[0]), state.plan.category
    found: dict[str, Any] = {
        "category": category,
        "services": list(state.plan.services),
        "from": stamp(state.window[0]),
        "until": stamp(state.window[1]),
        "cancelled": state.cancelled is not None,
    }
    if category == "planned":
        missed = maintenance.planned_obstacles(state, state.plan.services[0], rules)
        found["qualifies"] = not missed
        found["obstacles"] = [{"obstacle": o.reason, "missed_by_seconds": o.missed_by_seconds} for o in missed]
    return found


def _agreement(judgement: Judgement, entries: list[Entry]) -> dict[str, Any] | None:
    signed = next((x.event for x in entries if isinstance(x.event, e.AgreementSigned)), None)
    agreement = judgement.agreements.get(signed.customer) if signed else None
    if agreement is None:
        return None
    fees = {s: agreement.fee_at(s, judgement.as_of) for s in agreement.services()}
    return {
        "customer": agreement.customer,
        "desk": agreement.desk,
        "in_force": agreement.is_in_force(judgement.as_of),
        "services": [{"service": s, "monthly_fee": money_json(fee[0])} for s, fee in fees.items() if fee],
        "round_the_clock": [s for s in fees if agreement.deal_at(s, judgement.as_of)],
    }
