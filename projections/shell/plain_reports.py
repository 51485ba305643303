"""The reports made of the entries themselves: what the views do not hold, and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from typing import Any

from projections import commitments as promises
from projections import handling_order, response_times, totals
from projections.availability import findings
from projections.downtime import Downtime
from projections.grounds import CONTEXT
from projections.judgement import Judgement
from projections.response_times import KINDS
from projections.shell.filters import Filters, one_of
from projections.shell.options import bound, period_of
from projections.shell.scope import Scope
from projections.spans import SECOND, Span, in_seconds
from projections.views import uptime
from projections.views.answers import Wanted

LATE = ("breached", "overdue")


def passes(
    chosen: Filters, judgement: Judgement, stream: str, state: response_times.State, priority: str | None = None
) -> bool:
    """Return whether a case is one of those chosen, of any priority unless it is given.

    Dates are read in the zone of the customer's desk.
    """
    case = state.case
    if not all(
        wanted in (None, given)
        for wanted, given in (
            (chosen.customer, case.customer),
            (chosen.service, case.service),
            (chosen.priority, priority or chosen.priority),
            (chosen.channel, case.channel),
        )
    ):
        return False
    if chosen.kind not in (None, stream.partition(":")[0], getattr(case, "kind", None)):
        return False
    zone = judgement.zone_of(case.customer, judgement.rules_at(judgement.as_of))
    received_at = state.opening.time
    after = chosen.begin is None or bound(chosen.begin, zone) <= received_at
    return after and (chosen.end is None or received_at < bound(chosen.end, zone))


def verdicts(scope: Scope, chosen: Filters, verdict: str | None = None) -> list[response_times.Verdict]:
    """Return the verdicts on the cases chosen."""
    judgement = scope.judgement()
    zone = judgement.zone_of("", judgement.rules_at(judgement.as_of))
    judged_at = None if chosen.end is None else bound(chosen.end, zone) - SECOND
    return [
        v
        for v in response_times.findings(judgement, judged_at, lambda s, state: passes(chosen, judgement, s, state))
        if passes(chosen, judgement, v.stream, v.state, v.priority) and verdict in (None, v.verdict)
    ]


def compliance(scope: Scope, chosen: Filters, by: str | None, verdict: str | None) -> tuple[list[dict[str, Any]], bool]:
    """Return findings or totals, and whether a case among them is late."""
    found = verdicts(scope, chosen, verdict)
    late = any(v.verdict in LATE for v in found)
    return (totals.totals(found, by) if by else [v.as_json() for v in found]), late


def queue(scope: Scope, chosen: Filters) -> list[dict[str, Any]]:
    """Return the unanswered cases in the order to handle them."""
    judgement = scope.judgement()
    found = response_times.findings(judgement, None, lambda s, state: passes(chosen, judgement, s, state))
    return handling_order.queue(judgement, found)


def order(scope: Scope, chosen: Filters) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the cases chosen with their overtakings, and the sums of these."""
    judgement = scope.judgement()
    found = [h for h in handling_order.findings(judgement) if passes(chosen, judgement, h.stream, h.state, h.priority)]
    return [h.as_json() for h in found], handling_order.totals(found)


def commitments(
    scope: Scope, year: int | None, kind: str | None, customer: str | None, verdict: str | None
) -> list[promises.Commitment]:
    """Return the other promises that are chosen."""
    judgement = scope.judgement(scope.history(*CONTEXT))
    one_of("--kind", kind, tuple(promises.kinds(judgement)))
    period = None if year is None else period_of(judgement, year, None, None)
    known, kinds = judgement.history, promises.streams_of(kind, customer)
    cases = None if set(kinds).isdisjoint(KINDS) else _cases(scope, known.last_position, customer, period)
    if cases is not None:
        cases = [case for case in cases if case.partition(":")[0] in kinds]
        kinds = tuple(k for k in kinds if k not in KINDS)
    judgement = scope.judgement(scope.more(known, *kinds, streams=cases or ()), judgement.as_of)
    return [
        c
        for c in promises.findings(judgement)
        if (period is None or _arose(c, period(c.customer or "")))
        and kind in (None, c.kind)
        and customer in (None, c.customer)
        and verdict in (None, c.verdict)
    ]


def _arose(commitment: promises.Commitment, period: Span) -> bool:
    return period[0] <= commitment.since < period[1]


def _cases(scope: Scope, last: int, customer: str | None, period: Callable[[str], Span] | None) -> list[str] | None:
    """Return the cases of a customer or a period, as the views name them up to a last position; None when unknown."""
    if customer is None and period is None:
        return None
    received = None if period is None else cache(lambda whose: in_seconds(period(whose)))
    wanted = Wanted(customer=customer, period=received)
    found = scope.ask(lambda views: (views.position, views.streams(wanted)), as_it_is=True)
    return None if found is None or found[0] != last else found[1]


def availability(
    scope: Scope,
    year: int | None,
    begin: date | datetime | None,
    end: date | datetime | None,
    customer: str | None,
    service: str | None,
) -> list[dict[str, Any]]:
    """Return the availability per customer and service; of a whole calendar year it is kept for the next question."""
    judgement = scope.judgement(scope.history(*uptime.KINDS))
    period, downtime = period_of(judgement, year, begin, end), Downtime(judgement)
    if year is not None and scope.is_present:
        found = findings(downtime, period)
        scope.keep(judgement.history.last_position, lambda views: uptime.keep(views, year, downtime, found))
        if customer is None and service is None:
            return [f.as_json() for f in found]
    return [f.as_json() for f in findings(downtime, period, customer, service)]
