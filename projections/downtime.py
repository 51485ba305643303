"""Downtime: which outages a service had, which of their seconds count, and which are excluded for which reason.

§service-availability, §availability-calculation; R17-R21, R23, R25.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, cast

from projections import maintenance, outages
from projections.folding import folded
from projections.maintenance import Obstacle
from projections.outages import State, TimeFrame
from projections.spans import Span, clip, intersection, minus, total, union

if TYPE_CHECKING:
    from ledger import events as e
    from ledger.entry import Entry
    from ledger.readings import Readings
    from ledger.terms import Version
    from projections.judgement import Judgement

CLAUSE_OF = {
    "planned_maintenance": "§planned-maintenance",
    "unplanned_maintenance": "§unplanned-maintenance",
    "emergency": "§emergency-service",
    "beyond_control": "§service-availability",
    "not_covered": "§not-provided",
    "customer_side": "§customer-duties",
}
ANYBODY = "*"


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

    @property
    def clauses(self) -> set[str]:
        """The clauses that its frame, its cause and what is excluded of it rest on."""
        reasons = [r for r in (self.reason, *self.excluded) if r in CLAUSE_OF]
        return {"§availability-calculation", *(CLAUSE_OF[r] for r in reasons)}

    def meets(self, begin: datetime, end: datetime) -> bool:
        """Return whether the frame has a second in `[begin, end)`."""
        return bool(clip(list(self.frame.spans), begin, end))


class Downtime:
    """All outages, windows and monitoring gaps of a history, folded once for any number of findings."""

    def __init__(self, judgement: Judgement) -> None:
        history, as_of = judgement.history, judgement.as_of
        self.judgement = judgement
        self.outages = {s: folded(outages.evolve, x) for s, x in history.all(as_of, "outage")}
        self.windows = {s: folded(maintenance.evolve, x) for s, x in history.all(as_of, "maintenance")}
        self.gaps = {s.partition(":")[2]: x for s, x in history.all(as_of, "monitoring")}
        self._judged: dict[tuple[str, Readings], dict[tuple[str, str], Judged | None]] = {}
        self._by_service: dict[str, list[str]] = {}
        self._hitting: dict[tuple[str, str], list[str]] = {}  # by service and customer, `*` for all
        for stream, state in self.outages.items():
            hit = state.report.customers
            for service in state.report.services:
                self._by_service.setdefault(service, []).append(stream)
                for customer in (ANYBODY,) if hit == "all" else hit:
                    self._hitting.setdefault((service, customer), []).append(stream)

    def services(self) -> list[str]:
        """Return every service that an outage, a window or a gap names, in alphabetical order."""
        planned = {service for w in self.windows.values() for service in w.plan.services}
        return sorted({*self._by_service, *planned, *self.gaps})

    def of(self, customer: str, service: str, rules: Version) -> list[Judged]:
        """Return the outages in which a customer (`*`: anybody) lost a service, by frame, then id."""
        if customer == ANYBODY:
            found = self._judged_of(self._by_service.get(service, ()), service, rules)
        else:
            found = [*self.of_all(service, rules), *self.of_one(customer, service, rules)]
        return sorted(found, key=lambda j: (j.frame.spans[0][0], j.stream))

    def of_all(self, service: str, rules: Version) -> list[Judged]:
        """Return the outages in which all customers lost a service, in no order."""
        return self._judged_of(self._hitting.get((service, ANYBODY), ()), service, rules)

    def of_one(self, customer: str, service: str, rules: Version) -> list[Judged]:
        """Return the outages that name a customer among those who lost a service, in no order."""
        return self._judged_of(self._hitting.get((service, customer), ()), service, rules)

    def _judged_of(self, streams: Iterable[str], service: str, rules: Version) -> list[Judged]:
        if not streams:
            return []
        known = self._judged.setdefault((rules.terms.id, rules.readings), {})
        for stream in streams:
            if (stream, service) not in known:
                known[stream, service] = self._judge(stream, service, rules)
        return [judged for stream in streams if (judged := known[stream, service]) is not None]

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


def gap(entry: Entry) -> Span:
    """Return when a service was not watched."""
    found = cast("e.MonitoringGapRecorded", entry.event)
    return found.from_, found.until
