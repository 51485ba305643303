"""The other promises: delivery, start of troubleshooting, notice of maintenance, backups.

Each item has a due time, what was done when, and how far off that was. §delivery-metrics, §planned-maintenance,
§unplanned-maintenance, §emergency-service, §company-duties; R7-R11, R28, R29.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, tzinfo
from typing import Any

from ledger import events as e
from ledger.entry import Entry
from ledger.instants import stamp
from ledger.terms import Delivery, Version
from projections import maintenance
from projections.business_time import DAY, Calendar, local_instant
from projections.history import folded
from projections.judgement import DOUBTED, Judgement, in_order
from projections.spans import SECOND

VERDICTS = ("met", "breached", "open", "overdue", "cancelled", "short_notice")
TROUBLESHOOTING = "troubleshooting"
NOTICES = ("planned_scheduled", "planned_communicated", "unplanned_communicated", "emergency_announced")
BACKUPS = ("backup_kept", "backup_followed")
ANNOUNCEMENT_CLAUSES = {
    "planned": "§planned-maintenance",
    "unplanned": "§unplanned-maintenance",
    "emergency": "§emergency-service",
}


@dataclass(frozen=True, slots=True)
class State:
    """A case or a backup as its entries leave it: what was asked or taken, and what ended the promise."""

    opening: Entry
    done: Entry | None = None
    cancelled: Entry | None = None


def evolve(state: State | None, entry: Entry) -> State:
    """Return the case or backup after one more of its entries, in order of time, then position.

    Resolving an incident on which nobody noted the start of troubleshooting is that start.
    """
    if state is None:
        return State(entry)
    match entry.event:
        case e.RequestFulfilled() | e.TroubleshootingStarted() | e.IncidentResolved() | e.BackupDeleted():
            return state if state.done else replace(state, done=entry)
        case e.RequestCancelled() | e.IncidentCancelled():
            return replace(state, cancelled=entry)
    return state


@dataclass(slots=True)
class Commitment:
    """One promise judged. `off_by_seconds` is positive when the promise was missed by so much, else negative."""

    kind: str
    item: str
    customer: str | None
    since: datetime
    due_at: datetime | None
    done_at: datetime | None
    verdict: str
    rules: Version
    clauses: list[str]
    because: list[int]
    doubts: list[str] = field(default_factory=list)

    @property
    def off_by_seconds(self) -> int | None:
        """How far what was done lies on the wrong side of when it was due; a backup kept is due no earlier."""
        if self.done_at is None or self.due_at is None:
            return None
        return (self.done_at - self.due_at) // SECOND * (-1 if self.kind == "backup_kept" else 1)

    def as_json(self) -> dict[str, Any]:
        """Return the finding in its fixed shape."""
        return {
            "kind": self.kind,
            "item": self.item,
            "customer": self.customer,
            "since": stamp(self.since),
            "due_at": stamp(self.due_at) if self.due_at else None,
            "done_at": stamp(self.done_at) if self.done_at else None,
            "off_by_seconds": self.off_by_seconds,
            "verdict": self.verdict,
            "terms": self.rules.terms.id,
            "clauses": in_order(self.clauses),
            "because": sorted(set(self.because)),
            "doubts": self.doubts,
        }


def findings(judgement: Judgement) -> list[Commitment]:
    """Return every promise that is known, in order of when it arose, then item."""
    found = [*_deliveries(judgement), *_notices(judgement), *_backups(judgement)]
    return sorted(found, key=lambda c: (c.since, c.item, c.kind))


def kinds(judgement: Judgement) -> list[str]:
    """Return every kind of promise that the terms make."""
    deliveries = {kind for version in judgement.terms_book.versions for kind in version.terms.delivery}
    return sorted({*deliveries, *NOTICES, *BACKUPS})


def streams_of(kind: str | None, customer: str | None) -> tuple[str, ...]:
    """Return the kinds of streams in which promises of a kind arise that a customer may ask for; all without one."""
    if kind in NOTICES or kind in BACKUPS:
        found = ("maintenance",) if kind in NOTICES else ("backup",)
        return () if customer is not None else found
    if kind is not None:
        return ("incident",) if kind == TROUBLESHOOTING else ("request",)
    return ("incident", "request", *(("maintenance", "backup") if customer is None else ()))


def totals(found: Iterable[Commitment]) -> list[dict[str, Any]]:
    """Return how many promises of each kind were kept, a row a kind, and a last one for all."""
    rows: dict[str, dict[str, Any]] = {}
    for commitment in found:
        for kind in (commitment.kind, "all"):
            row = rows.setdefault(kind, {"kind": kind, "total": 0, **dict.fromkeys(VERDICTS, 0)})
            row["total"] += 1
            row[commitment.verdict] += 1
    everything = rows.pop("all", {"kind": "all", "total": 0, **dict.fromkeys(VERDICTS, 0)})
    return [*(rows[kind] for kind in sorted(rows)), everything]


# Delivery and the start of troubleshooting


def _deliveries(judgement: Judgement) -> Iterable[Commitment]:
    for stream, entries in judgement.history.all(judgement.as_of, "incident", "request"):
        state, opening = folded(evolve, entries), entries[0].event
        assert isinstance(opening, e.CaseReported)
        kind = opening.kind if isinstance(opening, e.ServiceRequested) else TROUBLESHOOTING
        rules = judgement.rules_at(state.opening.time)
        metric = rules.terms.delivery.get(kind)
        if metric is not None:
            yield _delivery(judgement, stream, state, kind, metric, rules)


def _delivery(
    judgement: Judgement, stream: str, state: State, kind: str, metric: Delivery, rules: Version
) -> Commitment:
    case = state.opening.event
    assert isinstance(case, e.CaseReported)
    due = _due(judgement, state, metric, rules)
    short = metric.notice is not None and due is None
    verdict = "short_notice" if short else _verdict(judgement.as_of, due, state.done, state.cancelled)
    done = state.done if state.cancelled is None or (state.done and state.done.order < state.cancelled.order) else None
    ended = [x for x in (done, state.cancelled) if x is not None]
    because = [p for x in (state.opening, *ended) for p in x.positions] + list(rules.positions)
    clauses, doubts = [metric.clause], judgement.doubts_about(case.customer, case.service, state.opening.time)
    if not metric.at_once and metric.notice is None:
        clauses.append("§business-hours")
        because += judgement.desk_positions(case.customer, rules)
    clauses += [DOUBTED[d] for d in doubts]
    return Commitment(
        kind,
        stream,
        case.customer,
        state.opening.time,
        due,
        done.time if done else None,
        verdict,
        rules,
        clauses,
        because,
        doubts,
    )


def _due(judgement: Judgement, state: State, metric: Delivery, rules: Version) -> datetime | None:
    """Return when a delivery is due; None for one that was wanted on short notice or on no date at all."""
    case, received_at = state.opening.event, state.opening.time
    assert isinstance(case, e.CaseReported)
    if metric.at_once:
        return received_at + rules.readings.instantly
    if metric.notice is not None:
        wanted = case.wanted_for if isinstance(case, e.ServiceRequested) else None
        return wanted if wanted is not None and wanted - received_at >= metric.notice else None
    desk = judgement.desk_of(case.customer, rules)
    calendar, zone = judgement.calendar(desk, rules), judgement.zone_of(case.customer, rules)
    if metric.full_business_days is not None:
        return full_business_day(calendar, received_at, metric.full_business_days, zone)
    return judgement.working_days_after(calendar, desk, rules, received_at, metric.business_days or 0)


def full_business_day(calendar: Calendar, begin: datetime, days: int, zone: tzinfo) -> datetime:
    """Return the close of the first full business day: a working day that opens at or after an instant."""
    on = begin.astimezone(zone).date()
    while True:
        first = calendar.first_span_begun_on(on, zone)
        if first is not None and begin <= first[0]:
            days -= 1
        if days == 0:
            last = calendar.last_span_begun_on(on, zone)
            assert last is not None
            return last[1]
        on += DAY


def _verdict(as_of: datetime, due: datetime | None, done: Entry | None, cancelled: Entry | None = None) -> str:
    assert due is not None
    ended = min((x for x in (done, cancelled) if x is not None), key=lambda x: x.order, default=None)
    if ended is None:
        return "overdue" if as_of > due else "open"
    if ended.time > due:
        return "breached"
    return "met" if ended is done else "cancelled"


# Notice of maintenance


def _notices(judgement: Judgement) -> Iterable[Commitment]:
    for stream, entries in judgement.history.all(judgement.as_of, "maintenance"):
        state = folded(maintenance.evolve, entries)
        rules, begin = judgement.rules_at(state.scheduled.time), state.window[0]
        notice = rules.terms.planned_maintenance
        if state.plan.category == "planned":
            yield _notice(judgement, stream, state, rules, "planned_scheduled", begin - notice.scheduled_before)
            yield _notice(judgement, stream, state, rules, "planned_communicated", begin - notice.communicated_before)
        elif state.plan.category == "unplanned":
            due = state.scheduled.time + rules.readings.immediately
            yield _notice(judgement, stream, state, rules, "unplanned_communicated", due)
        else:
            yield _notice(
                judgement, stream, state, rules, "emergency_announced", _announced_by(judgement, rules, begin)
            )


def _notice(
    judgement: Judgement, stream: str, state: maintenance.State, rules: Version, kind: str, due: datetime
) -> Commitment:
    done: Entry | None = state.scheduled if kind == "planned_scheduled" else next(iter(state.announced), None)
    entries = [
        state.opening,
        state.scheduled,
        *([done] if done else []),
        *([state.cancelled] if state.cancelled else []),
    ]
    return Commitment(
        kind,
        stream,
        None,
        state.scheduled.time,
        due,
        done.time if done else None,
        _verdict(judgement.as_of, due, done, state.cancelled),
        rules,
        [ANNOUNCEMENT_CLAUSES[state.plan.category], "§company-duties"],
        [p for x in entries for p in x.positions] + list(rules.positions),
    )


def _announced_by(judgement: Judgement, rules: Version, failed_at: datetime) -> datetime:
    """Return by when an emergency is announced: the day it happens, out of hours the next business day's close."""
    desk = rules.terms.default_desk
    calendar, zone = judgement.calendar(desk, rules), judgement.zone_of("", rules)
    if calendar.is_open(failed_at):
        on: date = failed_at.astimezone(zone).date() + DAY
        return local_instant(datetime.combine(on, time()), zone) - SECOND
    return full_business_day(calendar, failed_at, 1, zone)


# Backups


def _backups(judgement: Judgement) -> Iterable[Commitment]:
    taken = [(s, folded(evolve, x)) for s, x in judgement.history.all(judgement.as_of, "backup")]
    by_scope: dict[str, list[tuple[str, State]]] = {}
    for stream, state in sorted(taken, key=lambda item: item[1].opening.order):
        assert isinstance(state.opening.event, e.BackupTaken)
        by_scope.setdefault(state.opening.event.scope, []).append((stream, state))
    for backups in by_scope.values():
        for (stream, state), after in zip(backups, [*backups[1:], None], strict=True):
            yield _kept(judgement, stream, state)
            yield _followed(judgement, stream, state, after[1] if after else None)


def _kept(judgement: Judgement, stream: str, state: State) -> Commitment:
    """Return whether a backup was kept long enough: deleted no earlier than it may be."""
    rules = judgement.rules_at(state.opening.time)
    due = state.opening.time + rules.terms.backup.kept_for
    if state.done:
        verdict = "breached" if state.done.time < due else "met"
    else:
        verdict = "met" if judgement.as_of >= due else "open"
    return _backup(stream, state, rules, "backup_kept", due, state.done, verdict)


def _followed(judgement: Judgement, stream: str, state: State, after: State | None) -> Commitment:
    """Return whether the next backup of the same scope came in time."""
    rules = judgement.rules_at(state.opening.time)
    due = state.opening.time + rules.terms.backup.at_least_every
    done = after.opening if after else None
    return _backup(stream, state, rules, "backup_followed", due, done, _verdict(judgement.as_of, due, done))


def _backup(
    stream: str, state: State, rules: Version, kind: str, due: datetime, done: Entry | None, verdict: str
) -> Commitment:
    because = [p for x in (state.opening, done) if x is not None for p in x.positions] + list(rules.positions)
    return Commitment(
        kind,
        stream,
        None,
        state.opening.time,
        due,
        done.time if done else None,
        verdict,
        rules,
        [rules.terms.backup.clause],
        because,
    )
