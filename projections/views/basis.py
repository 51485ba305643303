"""What a kept row of availability rests on beside outages, windows and gaps: terms, agreement, period.

As long as neither terms nor agreements change, a row is judged again on it from those streams alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import msgspec

from ledger.clock import EPOCH
from ledger.instants import seconds
from projections.availability import Availability, Judging, agreed_spans, explain, measured, standing
from projections.downtime import Downtime
from projections.spans import Span, clip, in_seconds, union
from projections.stored_facts import FAR

if TYPE_CHECKING:
    from ledger.terms import Version
    from projections.judgement import Judgement


class _Notice(msgspec.Struct, frozen=True):
    scheduled_before: timedelta
    communicated_before: timedelta


class _Target(msgspec.Struct, frozen=True):
    target_percent: Decimal


class _Terms(msgspec.Struct, frozen=True):
    id: str
    availability: _Target
    planned_maintenance: _Notice


class _Readings(msgspec.Struct, frozen=True):
    unplanned: str
    emergency: str
    short_notice: str
    overlap: str
    beyond_control: str
    excluded_time: str
    degraded: str
    uncovered_monitoring: str
    evidence: str
    immediately: timedelta


class Rules(msgspec.Struct, frozen=True):
    """The part of the terms that availability is judged by, under the names it has there."""

    terms: _Terms
    readings: _Readings
    positions: tuple[int, ...]


class Basis(msgspec.Struct, frozen=True):
    """What a row rests on. It holds for instants of judgement in `[since, until)`. All in seconds since 1970."""

    since: int
    until: int
    period: tuple[int, int]
    covered: list[tuple[int, int]]
    rules: Rules
    clauses: list[str]
    doubts: list[str]
    agreed: list[int]

    def judged(self, downtime: Downtime, customer: str, service: str) -> Availability:
        """Return the finding at the instant of a downtime."""
        as_of, (begin, until) = downtime.judgement.as_of, _span(self.period)
        end, is_cut = min(until, as_of), as_of < until
        asked = Judging(begin, end, clip([_span(x) for x in self.covered], begin, end), is_cut)
        found = measured(downtime, customer, service, cast("Version", self.rules), asked)
        explain(found, {*self.clauses}, {*self.doubts} | ({"cut_at_as_of"} if is_cut else set()), self.agreed)
        return found


def basis_of(judgement: Judgement, found: Availability, until: datetime) -> Basis | None:
    """Return the basis of a finding on a period that ends at an instant; None when more than time may change it.

    A year that is over stays as it is; one that goes on may be changed by what is agreed or posted ahead of time.
    """
    is_cut = "cut_at_as_of" in found.doubts
    agreement = judgement.agreements.get(found.customer)
    changes = agreement.changes if agreement else []
    if is_cut and (
        any(c.at > judgement.as_of for c in changes)
        or found.rules.readings.before_agreement != "available"
        or not found.begin < found.end
        or "before_first_terms" in found.doubts
    ):
        return None
    period = (found.begin, until)
    agreed = agreed_spans(judgement, found.customer, found.service)
    covered = clip(agreed, *period) if agreed else union([period])
    clauses, doubts = standing(
        judgement, found.customer, found.service, Judging(found.begin, found.end, found.covered, is_cut)
    )
    positions = [p for c in changes if c.at < found.end for p in c.entry.positions]
    rules = msgspec.convert(found.rules, Rules, from_attributes=True)
    return Basis(
        seconds(judgement.as_of),
        seconds(until) if is_cut else FAR,
        in_seconds(period),
        [in_seconds(span) for span in covered],
        rules,
        sorted(clauses),
        sorted(doubts - {"cut_at_as_of"}),
        positions,
    )


def _span(found: tuple[int, int]) -> Span:
    return EPOCH + timedelta(seconds=found[0]), EPOCH + timedelta(seconds=found[1])


decode = msgspec.json.Decoder(Basis | None).decode
