"""Credits: whether a claim is granted, how much it pays, and everything the decision rests on.

§availability-credit, §availability-target; R1-R6, R27.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from itertools import product
from math import ceil, floor
from typing import Any, Protocol

from ledger import events as e
from ledger.entry import Entry
from ledger.errors import CalendarExhausted
from ledger.instants import stamp
from ledger.readings import Readings, values
from ledger.terms import Version
from ledger.values import Money
from projections import claims, outages
from projections.availability import Availability, availability
from projections.claims import State, evolve
from projections.downtime import Downtime
from projections.entitlements import average_fee
from projections.figures import money_json, rounded, truncated
from projections.judgement import Judgement, in_order
from projections.spans import SECOND, Span, intersection, union
from projections.used_downtime import Granted, Used

FORMAT = 1
NOT_SUBMITTED = "claim:"  # no stream can have this id
PAIRS = list(product(values("lost_from"), values("lost_steps")))

__all__ = ["Assessment", "State", "assess", "evolve"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a credit: whether it holds, and the figures that show it."""

    condition: str
    holds: bool
    detail: dict[str, Any]
    clause: str
    because: list[int]

    def as_json(self) -> dict[str, Any]:
        """Return the condition in its fixed shape."""
        return {
            "condition": self.condition,
            "holds": self.holds,
            "detail": self.detail,
            "clause": self.clause,
            "because": self.because,
        }


@dataclass(frozen=True, slots=True)
class Worth:
    """What an availability is worth in credit, under the terms and at the fee given; nothing unless it is granted."""

    rules: Version
    value: Fraction | None
    fee: Money | None
    is_granted: bool

    def lost(self, lost_from: str) -> Fraction:
        """Return the lost availability in percent, never below zero. R1"""
        if self.value is None:
            return Fraction()
        base = Fraction(100) if lost_from == "hundred" else Fraction(self.rules.terms.availability.target_percent)
        return max(Fraction(), base - self.value * 100)

    def steps(self, lost_from: str, lost_steps: str) -> Fraction:
        """Return for how many steps credit is due. R2"""
        exact = self.lost(lost_from) / Fraction(self.rules.terms.credit.for_every_percent_lost)
        return Fraction({"whole": floor, "begun": ceil}[lost_steps](exact)) if lost_steps != "exact" else exact

    def rate(self, steps: Fraction) -> Fraction:
        """Return the percentage of the monthly fee that so many steps are worth."""
        return steps * Fraction(self.rules.terms.credit.percent_of_monthly_fee)

    def credit(self, lost_from: str, lost_steps: str) -> Money | None:
        """Return what is paid, zero when refused, None without a fee to pay in. R6"""
        if self.fee is None:
            return None
        rate = self._capped(self.rate(self.steps(lost_from, lost_steps))) if self.is_granted else Fraction()
        return rounded(Fraction(self.fee.amount) * rate / 100, self.fee.currency)

    def _capped(self, rate: Fraction) -> Fraction:
        cap = self.rules.readings.cap_percent
        return rate if cap is None else min(rate, Fraction(cap))

    @property
    def warnings(self) -> list[str]:
        """What a reader of the decision should be told."""
        readings = self.rules.readings
        rate = self._capped(self.rate(self.steps(readings.lost_from, readings.lost_steps)))
        return ["above_monthly_fee"] if self.is_granted and self.fee is not None and rate > 100 else []

    def as_json(self) -> dict[str, Any]:
        """Return steps, rate, fee and credit in their fixed shape."""
        readings = self.rules.readings
        steps = self.steps(readings.lost_from, readings.lost_steps)
        return {
            "steps": _steps_json(steps, readings.lost_steps),
            "rate_percent": truncated(self.rate(steps), 4),
            "monthly_fee": money_json(self.fee),
            "credit": money_json(self.credit(readings.lost_from, readings.lost_steps)),
        }


@dataclass(slots=True)
class Assessment:
    """A claim judged: its availability, conditions and amounts. `missing` keeps it from being decided."""

    stream: str
    state: State
    rules: Version
    availability: Availability
    conditions: list[Condition]
    fee: Money | None
    entries: int
    as_of: datetime
    used_by: list[Used] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unknown_cases: list[str] = field(default_factory=list)

    @property
    def is_granted(self) -> bool:
        """Whether every condition holds."""
        return all(c.holds for c in self.conditions)

    @property
    def worth(self) -> Worth:
        """What the availability is worth."""
        return Worth(self.rules, self.availability.value, self.fee, self.is_granted)

    def as_json(self, root: str | None = None) -> dict[str, Any]:
        """Return the decision in its fixed shape, format 1; root: that of the tree over its entries, when asked for."""
        readings, request, worth = self.rules.readings, self.state.request, self.worth
        because = {*self.availability.because, *(p for c in self.conditions for p in c.because)}
        because |= {u.position for u in self.used_by}
        return {
            "claim": self.stream,
            "customer": request.customer,
            "service": request.service,
            "from": request.from_.isoformat(),
            "until": request.until.isoformat(),
            "verdict": "granted" if self.is_granted else "refused",
            "conditions": [c.as_json() for c in self.conditions],
            "availability": self.availability.as_json(),
            "lost_percent": truncated(worth.lost(readings.lost_from), 4),
            **worth.as_json(),
            "other_readings": [
                {
                    "lost_from": a,
                    "lost_steps": b,
                    "steps": _steps_json(worth.steps(a, b), b),
                    "credit": money_json(worth.credit(a, b)),
                }
                for a, b in PAIRS
                if (a, b) != (readings.lost_from, readings.lost_steps)
            ],
            "warnings": worth.warnings,
            "terms": self.rules.terms.id,
            "readings": readings.as_json(),
            "basis": {"entries": self.entries, "as_of": stamp(self.as_of), "root": root},
            "format": FORMAT,
            "clauses": in_order([*self.availability.clauses, *(c.clause for c in self.conditions)]),
            "because": sorted(because),
            "doubts": self.doubts,
        }

    @property
    def doubts(self) -> list[str]:
        """Return the doubts about the availability, and whether a case that notified us is unknown."""
        return sorted({*self.availability.doubts, *(["dangling_reference"] if self.unknown_cases else [])})


class Measured(Protocol):
    """What the conditions of a credit ask of an availability."""

    @property
    def value(self) -> Fraction | None:
        """The availability as an exact fraction."""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met."""

    @property
    def because(self) -> list[int]:
        """The positions of the entries it rests on."""


@dataclass(slots=True)
class Dossier:
    """All that a claim is judged on, gathered once for any number of readings."""

    judgement: Judgement
    stream: str
    state: State
    begin: datetime
    end: datetime
    downtime: Downtime
    others: list[Used]

    @property
    def used(self) -> list[Span]:
        """The downtime that other granted claims have used up."""
        return union(s for other in self.others for s in other.spans)

    @property
    def rules(self) -> Version:
        """The terms in force at the period's end."""
        return self.judgement.rules_at(self.end - SECOND)


def dossier(judgement: Judgement, stream: str) -> Dossier:
    """Return all that a claim is judged on."""
    state = claims.claim(judgement, stream)
    begin, end = claims.period(judgement, state.request)
    others = Granted(judgement).used_by_others(stream, state.request, (begin, end))
    return Dossier(judgement, stream, state, begin, end, Downtime(judgement), others)


def hypothetical(downtime: Downtime, request: e.CreditRequested, span: Span, granted: Granted) -> Dossier:
    """Return all that a claim would be judged on if it were submitted at the judged instant. Nothing is recorded.

    span: the period asked for.
    """
    judgement = downtime.judgement
    opening = Entry(0, NOT_SUBMITTED, 1, judgement.as_of, judgement.as_of, request)
    others = granted.used_by_others(NOT_SUBMITTED, request, span)
    return Dossier(judgement, NOT_SUBMITTED, State(opening), *span, downtime, others)


def assess(judgement: Judgement, stream: str) -> Assessment:
    """Return a claim judged in the terms in force at its period's end. Nothing is recorded."""
    gathered = dossier(judgement, stream)
    return assessed(gathered, measured(gathered, gathered.rules))


def measured(gathered: Dossier, rules: Version) -> Availability:
    """Return the availability over a claim's period under some terms and readings."""
    request = gathered.state.request
    used = gathered.used if rules.readings.reused_downtime == "once" else []
    return availability(gathered.downtime, request.customer, request.service, gathered.begin, gathered.end, used, rules)


def assessed(gathered: Dossier, found: Availability, rules: Version | None = None) -> Assessment:
    """Return a claim judged on an availability; under its rules unless others, that measure alike, are given."""
    judgement, state, rules = gathered.judgement, gathered.state, rules or found.rules
    request, missing = state.request, []
    for o in found.outages:
        missing += _missing(o.stream, o.state)
    conditions, fee = conditions_of(gathered, found, rules)
    return Assessment(
        gathered.stream,
        state,
        rules,
        found,
        conditions,
        fee,
        judgement.history.last_position,
        judgement.as_of,
        [u for u in gathered.others if found.already_credited and intersection(found.already_credited, list(u.spans))],
        missing,
        [s for s in request.notified or () if not judgement.history.stream(s, judgement.as_of)],
    )


def conditions_of(gathered: Dossier, found: Measured, rules: Version) -> tuple[list[Condition], Money | None]:
    """Return the conditions of a credit in the order in which they are printed, and the fee it is a share of. R3"""
    fee, fee_entries = _fee(gathered, rules) or (None, [])
    request, opening, last = gathered.state.request, gathered.state.opening, gathered.end - SECOND
    agreement = gathered.judgement.agreements.get(request.customer)
    target, positions = rules.terms.availability, sorted(gathered.state.opening.positions)
    conditions = [
        Condition(
            "agreement",
            agreement is not None and agreement.fee_at(request.service, last) is not None,
            {"at": stamp(last), "monthly_fee": money_json(fee)},
            "§scope",
            sorted({p for x in fee_entries for p in x.positions}),
        ),
        Condition(
            "twelve_months",
            _is_twelve_months(request, target.months, rules.readings),
            {
                "from": request.from_.isoformat(),
                "until": request.until.isoformat(),
                "expected_until": months_after(request.from_, target.months).isoformat(),
            },
            "§availability-target",
            positions,
        ),
        Condition(
            "ended",
            gathered.end <= opening.time,
            {"ended_at": stamp(gathered.end), "requested_at": stamp(opening.time)},
            "§availability-credit",
            positions,
        ),
        Condition(
            "below_target",
            found.is_met is False,
            {"availability_percent": _percent(found), "target_percent": str(target.target_percent)},
            "§availability-target",
            found.because,
        ),
    ]
    return conditions, fee


def months_after(on: date, months: int) -> date:
    """Return the date so many months later; 29 February becomes 28 February in a common year."""
    year, month = divmod(on.year * 12 + on.month - 1 + months, 12)
    if year > date.max.year:
        raise CalendarExhausted(f"{months} months after {on}", "there is no such date", "check the claim's period")
    for day in range(on.day, on.day - 4, -1):
        try:
            return date(year, month + 1, day)
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")


def _is_twelve_months(request: e.CreditRequested, months: int, readings: Readings) -> bool:
    whole = request.until == months_after(request.from_, months)
    if readings.period == "calendar_year":
        return whole and (request.from_.month, request.from_.day) == (1, 1)
    return whole


def _fee(gathered: Dossier, rules: Version) -> tuple[Money, list[Entry]] | None:
    """Return the monthly fee the credit is a share of, and the entries that set it; None without one. R5"""
    request, end = gathered.state.request, gathered.end
    agreement = gathered.judgement.agreements.get(request.customer)
    if agreement is None:
        return None
    if rules.readings.fee == "period_end":
        last = agreement.fee_at(request.service, end - SECOND)
        return None if last is None else (last[0], [last[1]])
    mean = average_fee(agreement, request.service, (gathered.begin, end))
    return None if mean is None else (mean, [c.entry for c in agreement.changes if c.at < end])


def _percent(found: Measured) -> str | None:
    return None if found.value is None else truncated(found.value * 100, 4)


def _steps_json(steps: Fraction, lost_steps: str) -> int | str:
    return truncated(steps, 4) if lost_steps == "exact" else int(steps)


def _missing(stream: str, state: outages.State) -> list[str]:
    """Return what an outage lacks for a decision, each with the command that supplies it."""
    found = []
    if state.determined is None:
        named = " ".join(f"--evidence {x.version}" for x in state.evidence)
        closed = state.evidence and not outages.is_open(state)
        given = named if closed else f"--from T --until T {named}".strip()
        found.append(f"{stream} undetermined: sla-ledger record TimeframeDetermined {stream} {given} --reason TEXT")
    if state.attributed is None:
        found.append(
            f"{stream} unattributed: sla-ledger record OutageAttributed {stream} --cause failure --reason TEXT"
        )
    return found
