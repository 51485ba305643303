"""A year settled: availability and would-be credit of every customer and service, each a row of figures.

A row equals what the claim would be assessed at if it were submitted at the judged instant, without the lists behind
its figures. What the customers of a service share is measured once: the outages that hit all of them and the gaps in
its monitoring are sets of spans with running sums, so that a row costs what its own outages cost.
§availability-target, §availability-credit; R1-R6, R17-R25, R27.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from ledger.events import CreditRequested
from ledger.instants import stamp
from ledger.terms import Version
from ledger.values import Money
from projections import credits
from projections.availability import EXCLUSIONS, Judging, Tally, judging, standing
from projections.downtime import Downtime, Judged, gap
from projections.figures import money_json
from projections.judgement import Judgement, in_order
from projections.spans import SECOND, Span, Sums, intersection, total, union
from projections.used_downtime import Granted

KINDS = ("agreement", "outage", "maintenance", "monitoring", "terms", "calendar", "claim")  # all that has a say
FIELDS = (
    "customer",
    "service",
    "from",
    "until",
    "period_seconds",
    "counted_seconds",
    "excluded_seconds",
    "already_credited_seconds",
    "unknown_seconds",
    "up_seconds",
    "availability",
    "met",
    "provisional",
    "verdict",
    "steps",
    "rate_percent",
    "monthly_fee",
    "credit",
    "outages",
    "terms",
    "clauses",
    "doubts",
)
Row = dict[str, Any]


def parts(customers: Sequence[str], n: int) -> list[list[str]]:
    """Return the customers in `n` ranges that follow each other, as even as can be; fewer when there are fewer."""
    n = min(n, len(customers))
    cuts = [len(customers) * i // n for i in range(n + 1)] if n else []
    return [list(customers[a:b]) for a, b in pairwise(cuts)]


def settled(settlement: Settlement, customers: Iterable[str], service: str | None = None) -> list[Row]:
    """Return the rows of some customers, in their order, then in the order of an agreement's services."""
    agreements = settlement.judgement.agreements
    return [
        settlement.row(customer, named)
        for customer in customers
        for named in agreements[customer].services()
        if service in (None, named)
    ]


@dataclass(slots=True)
class Totals:
    """Rows summed up. The credit is that of all rows, provisional ones too, by currency."""

    customers: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("rows", "met", "below_target", "provisional", "granted"), 0)
    )
    credit: dict[str, Decimal] = field(default_factory=dict)
    counted_seconds: int = 0

    def add(self, row: Row) -> None:
        """Count one more row."""
        self.customers.add(row["customer"])
        self.counts["rows"] += 1
        self.counts["met"] += row["met"] is True
        self.counts["below_target"] += row["met"] is False
        self.counts["provisional"] += row["provisional"]
        self.counts["granted"] += row["verdict"] == "granted"
        self.counted_seconds += row["counted_seconds"]
        if row["credit"]:
            currency = row["credit"]["currency"]
            self.credit[currency] = self.credit.get(currency, Decimal()) + Decimal(row["credit"]["amount"])

    def join(self, other: Totals) -> None:
        """Add the sums of another part, of other customers or the same."""
        self.customers |= other.customers
        self.counts = {name: count + other.counts[name] for name, count in self.counts.items()}
        for currency, amount in other.credit.items():
            self.credit[currency] = self.credit.get(currency, Decimal()) + amount
        self.counted_seconds += other.counted_seconds

    def as_json(self) -> dict[str, Any]:
        """Return the sums in their fixed shape."""
        credit = [money_json(Money(amount=self.credit[c], currency=c)) for c in sorted(self.credit)]
        return {
            "customers": len(self.customers),
            **self.counts,
            "credit": credit,
            "counted_seconds": self.counted_seconds,
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """What the outages of a period say together."""

    count: int
    is_provisional: bool
    clauses: frozenset[str]
    doubts: frozenset[str]

    @staticmethod
    def of(judged: Iterable[Judged], asked: Judging) -> Summary:
        """Return it of those outages whose frame meets the judged period."""
        met = [o for o in judged if o.meets(asked.begin, asked.end)]
        return Summary(
            len(met),
            any(o.is_provisional for o in met),
            frozenset(c for o in met for c in o.clauses),
            frozenset(d for o in met for d in o.doubts),
        )


Layers = list[list[Span]]


def layers(judged: Iterable[Judged], gaps: Iterable[Span] = ()) -> Layers:
    """Return growing sets of spans: what counts, then with what each further reason excludes, then with the gaps.

    What one holds more than the one before is what counts, is excluded for that reason, or is unknown.
    """
    judged = list(judged)
    found = [union(s for o in judged for s in o.counted)]
    for more in [*([s for o in judged for s in o.excluded.get(r, ())] for r in EXCLUSIONS), list(gaps)]:
        found.append(union([*found[-1], *more]) if more else found[-1])
    return found


class Common:
    """What all customers of a service share in a period: outages that hit all, gaps, and the rules that judge it."""

    def __init__(self, downtime: Downtime, service: str, period: Span, rules: Version) -> None:
        self.period, self.rules = period, rules
        self.judged = downtime.of_all(service, rules)
        self._layers = [Sums(spans) for spans in layers(self.judged, (gap(x) for x in downtime.gaps.get(service, ())))]
        self._summaries: dict[Span, Summary] = {}
        self._alone: dict[tuple[Span, ...], list[int]] = {}

    def summary(self, asked: Judging) -> Summary:
        """Return what the outages that hit all say together."""
        key = (asked.begin, asked.end)
        if key not in self._summaries:
            self._summaries[key] = Summary.of(self.judged, asked)
        return self._summaries[key]

    def tally(self, asked: Judging, own: Layers, used: list[Span]) -> Tally:
        """Return how the period divides for a customer with outages of its own, and with downtime used up. R24, R27"""
        grown = self._seconds(own, asked.covered)
        counted, unknown = grown[0], grown[-1] - grown[-2]
        watched = self.rules.readings.uncovered_monitoring == "available"
        credited = 0
        if used:
            taken = self._seconds(own, intersection(asked.covered, used))
            credited = taken[0] if watched else taken[0] + taken[-1] - taken[-2]
        if not watched:
            counted, unknown = counted + unknown, 0
        excluded = dict(zip(EXCLUSIONS, (b - a for a, b in pairwise(grown[:-1])), strict=True))
        period = (asked.end - asked.begin) // SECOND
        return Tally(self.rules, period, counted - credited, excluded, credited, unknown)

    def _seconds(self, own: Layers, covered: list[Span]) -> list[int]:
        """Return how many seconds under the agreement each layer holds, a customer's own outages joined in."""
        key = tuple(covered)
        if key not in self._alone:
            self._alone[key] = [sum(common.within(*span) for span in covered) for common in self._layers]
        alone = self._alone[key]
        if not own:
            return alone
        found: list[int] = []
        for index, (common, spans) in enumerate(zip(self._layers, own, strict=True)):
            held = intersection(spans, covered)
            found.append(alone[index] + total(held) - sum(common.within(*span) for span in held))
        return found


@dataclass(frozen=True, slots=True)
class _Measured:
    """The part of an availability that the conditions of a credit ask for."""

    value: Fraction | None
    is_met: bool | None
    because: list[int]


class Settlement:
    """All that the rows of a year are made of, gathered once for any number of customers."""

    def __init__(self, judgement: Judgement, year: int) -> None:
        self.judgement = judgement
        self.dates = date(year, 1, 1), date(year + 1, 1, 1)
        self.downtime = Downtime(judgement)
        self.granted = Granted(judgement)
        self._common: dict[tuple[str, str], Common] = {}

    def row(self, customer: str, service: str) -> Row:
        """Return the row of a customer and a service of its agreement."""
        common = self._of(customer, service)
        rules, judgement = common.rules, self.judgement
        asked = judging(judgement, customer, service, common.period, rules)
        judged = self.downtime.of_one(customer, service, rules)
        request = CreditRequested(customer=customer, service=service, from_=self.dates[0], until=self.dates[1])
        dossier = credits.hypothetical(self.downtime, request, common.period, self.granted)
        used = dossier.used if rules.readings.reused_downtime == "once" else []
        tally = common.tally(asked, layers(judged) if judged else [], used)
        both = (common.summary(asked), Summary.of(judged, asked))
        conditions, fee = credits.conditions_of(dossier, _Measured(tally.value, tally.is_met, []), rules)
        granted, provisional = all(c.holds for c in conditions), any(s.is_provisional for s in both)
        clauses, doubts = standing(judgement, customer, service, asked)
        return {
            "customer": customer,
            "service": service,
            "from": stamp(asked.begin),
            "until": stamp(asked.end),
            **tally.as_json(),
            "met": tally.is_met,
            "provisional": provisional,
            "verdict": None if provisional else "granted" if granted else "refused",
            **credits.Worth(rules, tally.value, fee, granted).as_json(),
            "outages": sum(s.count for s in both),
            "terms": rules.terms.id,
            "clauses": in_order(clauses.union(*(s.clauses for s in both), (c.clause for c in conditions))),
            "doubts": sorted(doubts.union(*(s.doubts for s in both))),
        }

    def _of(self, customer: str, service: str) -> Common:
        judgement = self.judgement
        key = (judgement.agreements[customer].desk, service)
        if key not in self._common:
            zone = judgement.zone_of(customer, judgement.rules_at(judgement.as_of))
            begin, end = (judgement.instant_of(on, zone) for on in self.dates)
            self._common[key] = Common(self.downtime, service, (begin, end), judgement.rules_at(end - SECOND))
        return self._common[key]
