"""Availability of one service for one customer over a period, to the second.

Counted downtime is the union of the frames that count; what is excluded has one reason a second; unwatched time is
shown apart; the rest is up. The parts add up to the period. §availability-target, §service-availability;
R4, R17-R25, R27.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

from ledger import events as e
from ledger.entry import Entry
from ledger.instants import stamp
from ledger.readings import Readings
from ledger.terms import Version
from projections import maintenance, outages
from projections.figures import ratio
from projections.history import folded
from projections.judgement import DOUBTED, Judgement, in_order
from projections.maintenance import Obstacle
from projections.outages import State, TimeFrame, evolve
from projections.spans import SECOND, Span, clip, intersection, minus, total, union

EXCLUSIONS = (
    "planned_maintenance",
    "unplanned_maintenance",
    "emergency",
    "beyond_control",
    "not_covered",
    "customer_side",
)
CLAUSE_OF = {
    "planned_maintenance": "§planned-maintenance",
    "unplanned_maintenance": "§unplanned-maintenance",
    "emergency": "§emergency-service",
    "beyond_control": "§service-availability",
    "not_covered": "§not-provided",
    "customer_side": "§customer-duties",
}
ANYBODY = "*"

__all__ = ["Availability", "State", "availability", "evolve", "findings"]


@dataclass(slots=True)
class Judged:
    """One outage for one service: which of its own seconds count, which are excluded for which reason, and why."""

    stream: str
    state: State
    frame: TimeFrame
    counted: list[Span]
    excluded: dict[str, list[Span]]
    obstacles: list[Obstacle] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    windows: list[maintenance.State] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """The cause that decides, `unattributed` without one."""
        return self.state.attribution.cause if self.state.attribution else "unattributed"

    @property
    def is_provisional(self) -> bool:
        """Whether the frame or the cause has not been settled."""
        return self.state.determined is None or self.state.attributed is None


@dataclass(slots=True)
class Availability:
    """The finding. `begin` and `end` bound the period as it was judged; all spans lie inside it."""

    customer: str
    service: str
    begin: datetime
    end: datetime
    rules: Version
    covered: list[Span]
    counted: list[Span] = field(default_factory=list)
    excluded: dict[str, list[Span]] = field(default_factory=dict)
    already_credited: list[Span] = field(default_factory=list)
    unknown: list[Span] = field(default_factory=list)
    outages: list[Judged] = field(default_factory=list)
    gaps: list[Entry] = field(default_factory=list)
    clauses: list[str] = field(default_factory=list)
    because: list[int] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def period_seconds(self) -> int:
        """The length of the judged period."""
        return (self.end - self.begin) // SECOND

    @property
    def excluded_seconds(self) -> int:
        """All excluded seconds."""
        return sum(total(spans) for spans in self.excluded.values())

    @property
    def is_provisional(self) -> bool:
        """Whether an outage of the period has no settled frame or cause yet."""
        return any(o.is_provisional for o in self.outages)

    def parts(self, *, unknown_down: bool = False) -> tuple[int, int]:
        """Return numerator and denominator of the availability, not reduced. R22"""
        down = total(self.counted) + (total(self.unknown) if unknown_down else 0)
        left_out = self.excluded_seconds if self.rules.readings.excluded_time == "left_out" else 0
        return self.period_seconds - left_out - down, self.period_seconds - left_out

    @property
    def value(self) -> Fraction | None:
        """The availability as an exact fraction; None of a period of zero seconds."""
        numerator, denominator = self.parts()
        return Fraction(numerator, denominator) if denominator > 0 else None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met: 99.0 exactly is."""
        target = Fraction(self.rules.terms.availability.target_percent) / 100
        return None if self.value is None else self.value >= target

    def as_json(self) -> dict[str, Any]:
        """Return the finding in its fixed shape."""
        counted, credited, unknown = total(self.counted), total(self.already_credited), total(self.unknown)
        return {
            "customer": self.customer,
            "service": self.service,
            "from": stamp(self.begin),
            "until": stamp(self.end),
            "period_seconds": self.period_seconds,
            "counted_seconds": counted,
            "excluded_seconds": {reason: total(self.excluded.get(reason, [])) for reason in EXCLUSIONS},
            "already_credited_seconds": credited,
            "unknown_seconds": unknown,
            "up_seconds": self.period_seconds - counted - self.excluded_seconds - credited - unknown,
            "availability": ratio(*self.parts()),
            "availability_if_unknown_down": ratio(*self.parts(unknown_down=True)),
            "target_percent": str(self.rules.terms.availability.target_percent),
            "met": self.is_met,
            "provisional": self.is_provisional,
            "outages": [self._outage_json(o) for o in self.outages],
            "terms": self.rules.terms.id,
            "clauses": self.clauses,
            "because": self.because,
            "doubts": self.doubts,
        }

    def own_seconds(self, spans: list[Span]) -> int:
        """Return how many seconds of an outage's own lie in the period and under the agreement."""
        return total(intersection(spans, self.covered))

    def _outage_json(self, judged: Judged) -> dict[str, Any]:
        excluded = union(s for spans in judged.excluded.values() for s in spans)
        return {
            "outage": judged.stream,
            "from": stamp(judged.frame.spans[0][0]),
            "until": stamp(judged.frame.spans[-1][1]),
            "counted_seconds": self.own_seconds(judged.counted),
            "excluded_seconds": self.own_seconds(excluded),
            "reason": judged.reason,
            "frame": "determined" if judged.state.determined else "proposed",
            "obstacles": [{"obstacle": o.reason, "missed_by_seconds": o.missed_by_seconds} for o in judged.obstacles],
        }


class Downtime:
    """All outages, windows and monitoring gaps of a history, folded once for any number of findings."""

    def __init__(self, judgement: Judgement) -> None:
        history, as_of = judgement.history, judgement.as_of
        self.judgement = judgement
        self.outages = {s: folded(outages.evolve, x) for s, x in history.all(as_of, "outage")}
        self.windows = {s: folded(maintenance.evolve, x) for s, x in history.all(as_of, "maintenance")}
        self.gaps = {s.partition(":")[2]: x for s, x in history.all(as_of, "monitoring")}
        self._judged: dict[tuple[str, str, str, Readings], Judged | None] = {}
        self._by_service: dict[str, list[str]] = {}
        for stream, state in self.outages.items():
            for service in state.report.services:
                self._by_service.setdefault(service, []).append(stream)

    def services(self) -> list[str]:
        """Return every service that an outage, a window or a gap names, in alphabetical order."""
        planned = {service for w in self.windows.values() for service in w.plan.services}
        return sorted({*self._by_service, *planned, *self.gaps})

    def of(self, customer: str, service: str, rules: Version) -> list[Judged]:
        """Return the outages in which a customer lost a service, by frame, then id."""
        found = []
        for stream in self._by_service.get(service, ()):
            if not self.outages[stream].concerns(customer, service):
                continue
            key = (stream, service, rules.terms.id, rules.readings)
            if key not in self._judged:
                self._judged[key] = self._judge(stream, service, rules)
            judged = self._judged[key]
            if judged is not None:
                found.append(judged)
        return sorted(found, key=lambda j: (j.frame.spans[0][0], j.stream))

    def _judge(self, stream: str, service: str, rules: Version) -> Judged | None:
        state, readings = self.outages[stream], rules.readings
        if state.report.degree == "degraded" and readings.degraded == "available":
            return None
        frame = outages.time_frame(state, self.judgement.as_of, readings)
        if not frame.spans:
            return None
        spans = list(frame.spans)
        judged = Judged(stream, state, frame, spans, {}, doubts=list(frame.doubts))
        if state.attribution is None:
            judged.doubts.append("unattributed")
        else:
            self._exclude(judged, state.attribution, service, rules)
        if readings.overlap == "maintenance_wins":
            self._let_windows_win(judged, service, rules)
        return judged

    def _exclude(self, judged: Judged, attribution: e.OutageAttributed, service: str, rules: Version) -> None:
        """Set which seconds a cause excludes. R17, R18, R19, R21"""
        cause, readings, spans = attribution.cause, rules.readings, list(judged.frame.spans)
        excluded: list[Span] = []
        if cause in ("not_covered", "customer_side") or (
            cause in ("beyond_control", "emergency") and getattr(readings, cause) == "excluded"
        ):
            excluded = spans
        elif cause in ("planned_maintenance", "unplanned_maintenance"):
            excluded = self._excluded_by_window(judged, attribution, service, rules)
        if excluded:
            judged.excluded[cause] = excluded
            judged.counted = minus(spans, excluded)

    def _excluded_by_window(
        self, judged: Judged, attribution: e.OutageAttributed, service: str, rules: Version
    ) -> list[Span]:
        planned = attribution.cause == "planned_maintenance"
        reading = rules.readings.short_notice if planned else rules.readings.unplanned
        spans = list(judged.frame.spans)
        window = self.windows.get(str(attribution.maintenance))
        if window is None:
            judged.doubts.append("dangling_reference")
            judged.obstacles.append(Obstacle("no_such_maintenance"))
        else:
            judged.windows.append(window)
            judged.obstacles += (
                maintenance.planned_obstacles(window, service, rules)
                if planned
                else maintenance.unplanned_obstacles(window, service, spans[0][0], rules)
            )
        if reading == "excluded":
            judged.obstacles.clear()
            return spans
        if reading == "counted" and not planned:
            judged.obstacles.append(Obstacle("counted_by_reading"))
        if judged.obstacles or window is None:
            return []
        if planned and maintenance.is_planned_notice_recorded_late(window, rules):
            judged.doubts.append("recorded_late")
        inside = intersection(spans, [window.window])
        if minus(spans, inside):
            judged.obstacles.append(Obstacle("outside_the_window", total(minus(spans, inside))))
        return inside

    def _let_windows_win(self, judged: Judged, service: str, rules: Version) -> None:
        """Take counted seconds inside qualified windows out of what counts. R20"""
        spans = list(judged.frame.spans)
        for category in ("planned", "unplanned"):
            for window in self.windows.values():
                if category == "planned":
                    blocked = bool(maintenance.planned_obstacles(window, service, rules))
                else:
                    blocked = rules.readings.unplanned == "counted" or bool(
                        maintenance.unplanned_obstacles(window, service, spans[0][0], rules)
                    )
                won = [] if blocked else intersection(judged.counted, [window.window])
                if won:
                    reason = f"{category}_maintenance"
                    judged.excluded[reason] = union([*judged.excluded.get(reason, []), *won])
                    judged.counted = minus(judged.counted, won)
                    judged.windows.append(window)
                    if category == "planned" and maintenance.is_planned_notice_recorded_late(window, rules):
                        judged.doubts.append("recorded_late")


def availability(
    downtime: Downtime,
    customer: str,
    service: str,
    begin: datetime,
    end: datetime,
    used: list[Span] | None = None,
    rules: Version | None = None,
) -> Availability:
    """Return the availability of a service for a customer over `[begin, end)`, at most until `as_of`.

    customer: `*` for anybody. used: downtime that other granted claims have used up (R27). rules: those in force in the
    period's last second unless given.
    """
    judgement = downtime.judgement
    rules = rules or judgement.rules_at(end - SECOND)
    agreed = _agreed(judgement, customer, service)
    cut = judgement.as_of < end
    end = max(begin, min(end, judgement.as_of))
    if agreed and rules.readings.before_agreement == "left_out":
        begin = min(max(begin, agreed[0][0]), end)
    covered = clip(agreed, begin, end) if agreed else union([(begin, end)])
    found = Availability(customer, service, begin, end, rules, covered)
    judged = downtime.of(customer, service, rules)
    found.outages = [o for o in judged if clip(list(o.frame.spans), begin, end)]
    counted = union(s for o in found.outages for s in o.counted)
    found.counted = intersection(counted, covered)
    taken = found.counted
    for reason in EXCLUSIONS:
        frames = union(s for o in found.outages for s in o.excluded.get(reason, ()))
        found.excluded[reason] = minus(intersection(frames, covered), taken)
        taken = union([*taken, *found.excluded[reason]])
    found.gaps = [x for x in downtime.gaps.get(service, ()) if clip([_gap(x)], begin, end)]
    found.unknown = minus(intersection(union(_gap(x) for x in found.gaps), covered), taken)
    if rules.readings.uncovered_monitoring == "unavailable":
        found.counted, found.unknown = union([*found.counted, *found.unknown]), []
    if used:
        found.already_credited = intersection(found.counted, used)
        found.counted = minus(found.counted, found.already_credited)
    _explain(found, judgement, cut)
    return found


def findings(
    downtime: Downtime, period: Any, customer: str | None = None, service: str | None = None
) -> list[Availability]:
    """Return a row for each customer and service of the agreements, and one for `*` for each service in none.

    period: a function of a customer that gives its (begin, end). customer, service: only these rows; both together
    give a row even without an agreement.
    """
    agreements = downtime.judgement.agreements
    pairs = [(c, s) for c in sorted(agreements) for s in agreements[c].services()]
    agreed = {s for _, s in pairs}
    pairs += [(ANYBODY, s) for s in downtime.services() if s not in agreed]
    chosen = [(c, s) for c, s in pairs if customer in (None, c) and service in (None, s)]
    if not chosen and customer is not None and service is not None:
        chosen = [(customer, service)]
    return [availability(downtime, c, s, *period(c)) for c, s in chosen]


def _agreed(judgement: Judgement, customer: str, service: str) -> list[Span]:
    """Return when a customer had an agreement over a service; nothing for one who never had."""
    agreement = judgement.agreements.get(customer)
    return union(span for span, _ in agreement.fees(service)) if agreement else []


def _gap(entry: Entry) -> Span:
    assert isinstance(entry.event, e.MonitoringGapRecorded)
    return entry.event.from_, entry.event.until


def _explain(found: Availability, judgement: Judgement, cut: bool) -> None:
    """Set clauses, entries and doubts."""
    clauses, positions = {"§availability-target", "§service-availability"}, set(found.rules.positions)
    doubts = {"cut_at_as_of"} if cut else set()
    for judged in found.outages:
        clauses.add("§availability-calculation")
        if judged.reason in CLAUSE_OF:
            clauses.add(CLAUSE_OF[judged.reason])
        clauses.update(CLAUSE_OF[reason] for reason in judged.excluded)
        doubts.update(judged.doubts)
        for entry in [*judged.state.entries(), *(x for w in judged.windows for x in w.entries())]:
            positions.update(entry.positions)
    positions.update(p for x in found.gaps for p in x.positions)
    agreement = judgement.agreements.get(found.customer)
    if agreement:
        clauses.add("§scope")
        positions.update(p for c in agreement.changes if c.at < found.end for p in c.entry.positions)
    elif found.customer != ANYBODY:
        doubts.add("no_agreement")
    if agreement and not agreement.fees(found.service):
        doubts.add("out_of_scope")
    if judgement.terms_book.is_before_first(max(found.begin, found.end - SECOND)):
        doubts.add("before_first_terms")
    clauses.update(DOUBTED[d] for d in doubts if d in DOUBTED)
    found.clauses, found.because, found.doubts = in_order(clauses), sorted(positions), sorted(doubts)
