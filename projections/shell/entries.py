"""The record itself: the log, single streams, and the terms."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Annotated, Any

import typer

from ledger import events as e
from ledger.entry import Entry, event_data
from ledger.errors import NotFound
from ledger.events import EVENTS
from ledger.instants import stamp
from ledger.streams.acceptance import CLOCK_TOLERANCE, kind_of
from ledger.text import clean
from projections import claims, maintenance, outages, response_times
from projections.evidence import reconciled
from projections.figures import money_json
from projections.grounds import CONTEXT
from projections.history import folded
from projections.judgement import Judgement
from projections.shell import output
from projections.shell.filters import one_of
from projections.shell.scope import Scope, bound, option_bound, reading, stream_id
from projections.spans import SECOND

RESTS_ON = {  # the kinds of streams that have a say in what one amounts to
    **dict.fromkeys(response_times.KINDS, CONTEXT),
    **dict.fromkeys(("outage", "maintenance"), ("terms",)),
    "agreement": ("agreement",),
}
LONG = "(the whole document; see it: sla-ledger terms show)"


@reading
def log(
    scope: Scope,
    stream: Annotated[str | None, typer.Argument(metavar="[STREAM]", help="only this stream")] = None,
    type_: Annotated[str | None, typer.Option("--type", metavar="T", help="only this event")] = None,
    begin: Annotated[str | None, typer.Option("--from", metavar="DATE|T", help="happened at or after")] = None,
    end: Annotated[str | None, typer.Option("--until", metavar="DATE|T", help="happened before")] = None,
    late: Annotated[bool, typer.Option("--late", help="only late ones, the latest first")] = False,
) -> None:
    """Entries as they were recorded; one that came late shows by how much.

    \b
    Examples:
      sla-ledger log incident:INC-1
      sla-ledger log --type OutageAttributed --json
      sla-ledger log --late
    """
    one_of("--type", type_, tuple(EVENTS))
    first, last = option_bound(begin, "--from"), option_bound(end, "--until")
    known = (
        scope.history() if stream is None else scope.history(*(("terms",) if first or last else ()), streams=[stream])
    )
    judgement = scope.judgement(known)
    after = None if first is None else _bound(judgement, first)
    before = None if last is None else _bound(judgement, last)
    found = [
        entry_row(x)
        for x in judgement.history.entries
        if stream in (None, x.stream)
        and type_ in (None, x.name)
        and (after is None or after <= x.time)
        and (before is None or x.time < before)
    ]
    if late:
        found = sorted((r for r in found if r["late_by_seconds"]), key=lambda r: (-r["late_by_seconds"], r["position"]))
    columns = ("position", "recorded_at", "time", "late_by_seconds", "stream", "version", "type", "data")
    if output.form(scope) == "table":
        found = [r | {"data": LONG} if r["type"] == "TermsPosted" else r for r in found]
    output.rows(scope, found, columns, "log")


def _bound(judgement: Judgement, at: date | datetime) -> datetime:
    """Return a date as the instant it begins at the default desk."""
    return bound(at, judgement.zone_of("", judgement.rules_at(judgement.as_of)))


@reading
def show(scope: Scope, stream: Annotated[str, typer.Argument(metavar="STREAM", help="like incident:INC-1")]) -> None:
    """One stream: its entries as recorded, and what they amount to.

    \b
    Example:
      sla-ledger show outage:O-7
    """
    judgement = scope.judgement(scope.history(*RESTS_ON.get(kind_of(stream), ()), streams=[stream]))
    found = {
        "stream": stream,
        "kind": kind_of(stream),
        "entries": [entry_row(x) for x in judgement.history.recorded(stream)],
        "amounts_to": amounts_to(judgement, stream),
    }
    if not found["entries"]:
        raise NotFound(clean(stream), "no such stream is known", "see all entries: sla-ledger log")
    output.thing(scope, found, _stream_text(found))


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
    if kind in response_times.KINDS:
        return response_times.judge(judgement, stream, folded(response_times.evolve, entries)).as_json()
    if kind == "outage":
        return _outage(judgement, folded(outages.evolve, entries))
    if kind == "maintenance":
        return _window(judgement, folded(maintenance.evolve, entries))
    if kind == "agreement":
        return _agreement(judgement, entries)
    if kind == "claim":
        return claim_status(folded(claims.evolve, entries))
    return {"standing_entries": [x.position for x in entries]}


def claim_status(state: claims.State) -> dict[str, Any]:
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


def _outage(judgement: Judgement, state: outages.State) -> dict[str, Any]:
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


def _window(judgement: Judgement, state: maintenance.State) -> dict[str, Any]:
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


@reading
def reconcile(scope: Scope, outage: Annotated[str, typer.Argument(metavar="OUTAGE", help="like outage:O-7")]) -> None:
    """The evidence of an outage side by side: where the sources agree, what one alone saw, and the proposed frame.

    Take the proposal by naming its evidence: record TimeframeDetermined OUTAGE --evidence 2 --evidence 3 --reason TEXT

    \b
    Example:
      sla-ledger reconcile outage:O-7
    """
    stream = stream_id(outage, "outage")
    judgement = scope.judgement(scope.history("terms", "monitoring", streams=[stream]))
    if not judgement.history.stream(stream, judgement.as_of):
        raise NotFound(
            clean(stream), "no such outage is known", "see all outages: sla-ledger log --type OutageReported"
        )
    found = reconciled(judgement, stream)
    output.thing(scope, found.as_json(), found.text())


def _stream_text(found: dict[str, Any]) -> list[str]:
    lines = [found["stream"]]
    for row in found["entries"]:
        late = f"  recorded {row['late_by_seconds']} s late" if row["late_by_seconds"] else ""
        data = output.cell(row["data"]) if row["type"] != "TermsPosted" else LONG
        lines.append(f"  {row['position']:>6}  v{row['version']}  {row['time']}  {row['type']}  {data}{late}")
    if found["amounts_to"] is None:
        return [*lines, "  not visible at this instant"]
    lines.append("amounts to")
    return lines + [f"  {k.replace('_', ' ')}: {output.cell(v)}" for k, v in found["amounts_to"].items()]
