"""Availability of one service for one customer over a period, to the second.

Counted downtime is the union of the frames that count; what is excluded has one reason a second; unwatched time is
shown apart; the rest is up. The parts add up to the period. §availability-target, §service-availability;
R4, R17-R25, R27.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ledger.instants import stamp
from projections.clauses import DOUBTED, in_order
from projections.downtime import ANYBODY, Downtime, Judged, gap
from projections.figures import ratio
from projections.outages import State, evolve
from projections.spans import SECOND, Span, clip, intersection, minus, total, union

if TYPE_CHECKING:
    from ledger.entry import Entry
    from ledger.terms import Version
    from projections.judgement import Judgement

EXCLUSIONS = (
    "planned_maintenance",
    "unplanned_maintenance",
    "emergency",
    "beyond_control",
    "not_covered",
    "customer_side",
)

__all__ = ["Availability", "State", "availability", "evolve", "findings"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How the seconds of a judged period divide under some rules; the parts add up to it."""

    rules: Version
    period: int
    counted: int
    excluded: dict[str, int]
    already_credited: int
    unknown: int

    @property
    def excluded_seconds(self) -> int:
        """All excluded seconds."""
        return sum(self.excluded.values())

    def parts(self, *, unknown_down: bool = False) -> tuple[int, int]:
        """Return numerator and denominator of the availability, not reduced. R22"""
        down = self.counted + (self.unknown if unknown_down else 0)
        left_out = self.excluded_seconds if self.rules.readings.excluded_time == "left_out" else 0
        return self.period - left_out - down, self.period - left_out

    @property
    def value(self) -> Fraction | None:
        """The availability as an exact fraction; None of a period of zero seconds."""
        numerator, denominator = self.parts()
        return Fraction(numerator, denominator) if denominator > 0 else None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met: 99.0 exactly is."""
        value = self.value
        return None if value is None else value >= Fraction(self.rules.terms.availability.target_percent) / 100

    def as_json(self) -> dict[str, Any]:
        """Return the seconds and the availability in their fixed shape."""
        used = self.counted + self.excluded_seconds + self.already_credited + self.unknown
        return {
            "period_seconds": self.period,
            "counted_seconds": self.counted,
            "excluded_seconds": {reason: self.excluded[reason] for reason in EXCLUSIONS},
            "already_credited_seconds": self.already_credited,
            "unknown_seconds": self.unknown,
            "up_seconds": self.period - used,
            "availability": ratio(*self.parts()),
        }


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
    def tally(self) -> Tally:
        """How the seconds of the period divide."""
        return Tally(
            self.rules,
            (self.end - self.begin) // SECOND,
            total(self.counted),
            {reason: total(self.excluded.get(reason, [])) for reason in EXCLUSIONS},
            total(self.already_credited),
            total(self.unknown),
        )

    @property
    def excluded_seconds(self) -> int:
        """All excluded seconds."""
        return self.tally.excluded_seconds

    @property
    def is_provisional(self) -> bool:
        """Whether an outage of the period has no settled frame or cause yet."""
        return any(o.is_provisional for o in self.outages)

    def parts(self) -> tuple[int, int]:
        """Return numerator and denominator of the availability, not reduced. R22"""
        return self.tally.parts()

    @property
    def value(self) -> Fraction | None:
        """The availability as an exact fraction; None of a period of zero seconds."""
        return self.tally.value

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met: 99.0 exactly is."""
        return self.tally.is_met

    def as_json(self) -> dict[str, Any]:
        """Return the finding in its fixed shape."""
        tally = self.tally
        return {
            "customer": self.customer,
            "service": self.service,
            "from": stamp(self.begin),
            "until": stamp(self.end),
            **tally.as_json(),
            "availability_if_unknown_down": ratio(*tally.parts(unknown_down=True)),
            "target_percent": str(self.rules.terms.availability.target_percent),
            "met": tally.is_met,
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


@dataclass(frozen=True, slots=True)
class Judging:
    """What is judged of a period: from `begin` to `end`, the agreement's spans in it, whether `as_of` cut it short."""

    begin: datetime
    end: datetime
    covered: list[Span]
    is_cut: bool


def judging(judgement: Judgement, customer: str, service: str, period: Span, rules: Version) -> Judging:
    """Return what is judged of a period for a customer and service. R4"""
    begin, until = period
    agreed = agreed_spans(judgement, customer, service)
    end = max(begin, min(until, judgement.as_of))
    if agreed and rules.readings.before_agreement == "left_out":
        begin = min(max(begin, agreed[0][0]), end)
    covered = clip(agreed, begin, end) if agreed else union([(begin, end)])
    return Judging(begin, end, covered, judgement.as_of < until)


def agreed_spans(judgement: Judgement, customer: str, service: str) -> list[Span]:
    """Return when a customer's agreement covers a service, whatever is judged; the last span may be open-ended."""
    agreement = judgement.agreements.get(customer)
    return union(span for span, _ in agreement.fees(service)) if agreement else []


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
    asked = judging(judgement, customer, service, (begin, end), rules)
    found = measured(downtime, customer, service, rules, asked, used)
    agreement = judgement.agreements.get(customer)
    changes = [c for c in agreement.changes if c.at < found.end] if agreement else []
    explain(found, *standing(judgement, customer, service, asked), (p for c in changes for p in c.entry.positions))
    return found


def measured(
    downtime: Downtime, customer: str, service: str, rules: Version, asked: Judging, used: list[Span] | None = None
) -> Availability:
    """Return the finding on what is judged, without what explains it."""
    begin, end, covered = asked.begin, asked.end, asked.covered
    found = Availability(customer, service, begin, end, rules, covered)
    found.outages = [o for o in downtime.of(customer, service, rules) if o.meets(begin, end)]
    counted = union(s for o in found.outages for s in o.counted)
    found.counted = intersection(counted, covered)
    taken = found.counted
    for reason in EXCLUSIONS:
        frames = union(s for o in found.outages for s in o.excluded.get(reason, ()))
        found.excluded[reason] = minus(intersection(frames, covered), taken)
        taken = union([*taken, *found.excluded[reason]])
    found.gaps = [x for x in downtime.gaps.get(service, ()) if clip([gap(x)], begin, end)]
    found.unknown = minus(intersection(union(gap(x) for x in found.gaps), covered), taken)
    if rules.readings.uncovered_monitoring == "unavailable":
        found.counted, found.unknown = union([*found.counted, *found.unknown]), []
    if used:
        found.already_credited = intersection(found.counted, used)
        found.counted = minus(found.counted, found.already_credited)
    return found


def findings(
    downtime: Downtime, period: Callable[[str], Span], customer: str | None = None, service: str | None = None
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


def standing(judgement: Judgement, customer: str, service: str, asked: Judging) -> tuple[set[str], set[str]]:
    """Return the clauses and doubts of a finding that do not come from its outages: agreement, terms, instant."""
    clauses, agreement = {"§availability-target", "§service-availability"}, judgement.agreements.get(customer)
    doubts = {"cut_at_as_of"} if asked.is_cut else set()
    if agreement:
        clauses.add("§scope")
    elif customer != ANYBODY:
        doubts.add("no_agreement")
    if agreement and not agreement.fees(service):
        doubts.add("out_of_scope")
    if judgement.terms_book.is_before_first(max(asked.begin, asked.end - SECOND)):
        doubts.add("before_first_terms")
    clauses.update(DOUBTED[d] for d in doubts if d in DOUBTED)
    return clauses, doubts


def explain(found: Availability, clauses: set[str], doubts: set[str], agreed: Iterable[int]) -> None:
    """Set clauses, entries and doubts: those given, and those of outages and gaps. agreed: entries of the agreement."""
    positions = {*found.rules.positions, *agreed}
    for judged in found.outages:
        clauses |= judged.clauses
        doubts.update(judged.doubts)
        for entry in [*judged.state.entries(), *(x for w in judged.windows for x in w.entries())]:
            positions.update(entry.positions)
    positions.update(p for x in found.gaps for p in x.positions)
    found.clauses, found.because, found.doubts = in_order(clauses), sorted(positions), sorted(doubts)
