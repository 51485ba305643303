"""The reports a support lead asks for: compliance, queue, order, availability."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

import typer

from projections import commitments as promises
from projections import handling_order, response_times, totals
from projections.availability import findings
from projections.downtime import Downtime
from projections.judgement import Judgement
from projections.response_times import State
from projections.shell import output
from projections.shell.scope import Scope, bound, option_bound, period_of, reading
from projections.spans import SECOND

Filter = Annotated[str | None, typer.Option()]
From = Annotated[str | None, typer.Option("--from", metavar="DATE|T", help="received at or after")]
Until = Annotated[str | None, typer.Option("--until", metavar="DATE|T", help="received before")]
BREACHES = ("breached", "overdue")
VERDICTS = totals.COUNTED


@dataclass(frozen=True, slots=True)
class Filters:
    """Which cases to show; what is not given does not matter."""

    customer: str | None
    service: str | None
    priority: str | None
    channel: str | None
    kind: str | None
    begin: date | datetime | None
    end: date | datetime | None

    def passes(self, judgement: Judgement, stream: str, state: State, priority: str | None = None) -> bool:
        """Return whether a case is one of them, of any priority unless it is given.

        Dates are read in the zone of the customer's desk.
        """
        case = state.case
        if not all(
            wanted in (None, given)
            for wanted, given in (
                (self.customer, case.customer),
                (self.service, case.service),
                (self.priority, priority or self.priority),
                (self.channel, case.channel),
            )
        ):
            return False
        if self.kind not in (None, stream.partition(":")[0], getattr(case, "kind", None)):
            return False
        zone = judgement.zone_of(case.customer, judgement.rules_at(judgement.as_of))
        received_at = state.opening.time
        after = self.begin is None or bound(judgement, self.begin, zone) <= received_at
        return after and (self.end is None or received_at < bound(judgement, self.end, zone))


def filters(
    customer: str | None,
    service: str | None,
    priority: str | None,
    channel: str | None,
    kind: str | None,
    begin: str | None,
    end: str | None,
) -> Filters:
    """Return the filters that options give; a usage error for a value no case can have."""
    choices: list[tuple[str, str | None, tuple[str, ...]]] = [
        ("--priority", priority, ("high", "medium", "low")),
        ("--channel", channel, ("phone", "email", "chat", "web", "video", "on_site", "monitoring")),
    ]
    for hint, value, allowed in choices:
        one_of(hint, value, allowed)
    return Filters(
        customer, service, priority, channel, kind, option_bound(begin, "--from"), option_bound(end, "--until")
    )


def one_of(hint: str, value: str | None, allowed: tuple[str, ...]) -> None:
    """Raise a usage error when an option's value is none of those allowed."""
    if value is not None and value not in allowed:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(allowed)}", param_hint=hint)


@reading
def compliance(
    scope: Scope,
    customer: Filter = None,
    service: Filter = None,
    priority: Filter = None,
    channel: Filter = None,
    kind: Annotated[str | None, typer.Option(help="incident, request, or a kind of request")] = None,
    begin: From = None,
    end: Until = None,
    by: Annotated[str | None, typer.Option(help="totals by month, customer, service, priority, channel, kind")] = None,
    verdict: Annotated[str | None, typer.Option(help="only this verdict")] = None,
    fail_on: Annotated[str | None, typer.Option(metavar="breach", help="exit 3 when a shown case is late")] = None,
) -> None:
    """Response times: every case with its due time and verdict, or totals.

    \b
    Examples:
      sla-ledger compliance --customer acme --from 2026-03-01 --until 2026-04-01
      sla-ledger compliance --by month --format csv
      sla-ledger compliance --verdict overdue --fail-on breach
    """
    one_of("--by", by, tuple(totals.GROUPS))
    one_of("--verdict", verdict, VERDICTS)
    one_of("--fail-on", fail_on, ("breach",))
    chosen = filters(customer, service, priority, channel, kind, begin, end)
    judgement = scope.judgement()
    zone = judgement.zone_of("", judgement.rules_at(judgement.as_of))
    judged_at = None if chosen.end is None else bound(judgement, chosen.end, zone) - SECOND
    found = [
        v
        for v in response_times.findings(judgement, judged_at, lambda s, state: chosen.passes(judgement, s, state))
        if chosen.passes(judgement, v.stream, v.state, v.priority) and verdict in (None, v.verdict)
    ]
    if by:
        output.rows(scope, totals.totals(found, by))
    else:
        columns = (
            "case",
            "customer",
            "priority",
            "received_at",
            "due_at",
            "responded_at",
            "late_by_seconds",
            "verdict",
        )
        output.rows(scope, [v.as_json() for v in found], columns, "compliance")
    if fail_on and any(v.verdict in BREACHES for v in found):
        raise typer.Exit(3)


@reading
def queue(
    scope: Scope,
    customer: Filter = None,
    service: Filter = None,
) -> None:
    """Unanswered cases in the order to handle them: due time, business time left, at risk. Paused ones come last.

    \b
    Example:
      sla-ledger queue --as-of 2026-03-27T14:00:00Z
    """
    judgement = scope.judgement()
    chosen = filters(customer, service, None, None, None, None, None)
    verdicts = response_times.findings(judgement, None, lambda s, state: chosen.passes(judgement, s, state))
    output.rows(
        scope,
        handling_order.queue(judgement, verdicts),
        ("rank", "case", "customer", "priority", "received_at", "due_at", "remaining_seconds", "at_risk", "verdict"),
        "queue",
    )


@reading
def order(
    scope: Scope,
    customer: Filter = None,
    service: Filter = None,
    priority: Filter = None,
    channel: Filter = None,
    kind: Annotated[str | None, typer.Option(help="incident, request, or a kind of request")] = None,
    begin: From = None,
    end: Until = None,
    totals: Annotated[bool, typer.Option("--totals", help="only the sums")] = False,
) -> None:
    """Handling order: how many cases each one overtook, and by how many it was overtaken.

    All cases of the ledger take part, whatever is selected for display.

    \b
    Example:
      sla-ledger order --totals --from 2026-01-01
    """
    chosen = filters(customer, service, priority, channel, kind, begin, end)
    judgement = scope.judgement()
    found = [h for h in handling_order.findings(judgement) if chosen.passes(judgement, h.stream, h.state, h.priority)]
    if totals:
        summed = handling_order.totals(found)
        output.thing(
            scope, summed, [f"{name.replace('_', ' ')}: {output.cell(value)}" for name, value in summed.items()]
        )
    else:
        columns = ("case", "priority", "received_at", "handled_at", "overtook", "overtaken_by")
        output.rows(scope, [h.as_json() for h in found], columns, "order")


@reading
def availability(
    scope: Scope,
    year: Annotated[int | None, typer.Option(help="a calendar year")] = None,
    begin: Annotated[str | None, typer.Option("--from", metavar="DATE|T", help="the period's begin")] = None,
    end: Annotated[str | None, typer.Option("--until", metavar="DATE|T", help="the period's end, not included")] = None,
    customer: Filter = None,
    service: Filter = None,
) -> None:
    """Availability per customer and service; a service in no agreement stands under customer *.

    Years and dates are read in the zone of the customer's desk.

    \b
    Example:
      sla-ledger availability --year 2025 --customer acme
    """
    judgement = scope.judgement(scope.history("agreement", "outage", "maintenance", "monitoring", "terms"))
    if year is not None and (begin or end):
        raise typer.BadParameter("give --year, or --from and --until", param_hint="--year")
    period = period_of(judgement, year, option_bound(begin, "--from"), option_bound(end, "--until"))
    found = findings(Downtime(judgement), period, customer, service)
    columns = (
        "customer",
        "service",
        "availability",
        "target_percent",
        "met",
        "counted_seconds",
        "excluded",
        "unknown_seconds",
        "provisional",
        "doubts",
    )
    rows = [_plus_sum(f.as_json(), scope) for f in found]
    output.rows(scope, rows, columns, "availability")


@reading
def commitments(
    scope: Scope,
    year: Annotated[int | None, typer.Option(help="only promises that arose in this year")] = None,
    kind: Annotated[str | None, typer.Option(help="only this kind, like backup_kept")] = None,
    customer: Filter = None,
    verdict: Annotated[str | None, typer.Option(help="only this verdict")] = None,
    totals: Annotated[bool, typer.Option("--totals", help="only the sums by kind")] = False,
    fail_on: Annotated[str | None, typer.Option(metavar="breach", help="exit 3 when a shown promise is late")] = None,
) -> None:
    """The other promises: delivery, start of troubleshooting, notice of maintenance, backups.

    \b
    Examples:
      sla-ledger commitments --year 2025 --totals
      sla-ledger commitments --kind licence_manual --fail-on breach
    """
    one_of("--verdict", verdict, promises.VERDICTS)
    one_of("--fail-on", fail_on, ("breach",))
    judgement = scope.judgement()
    one_of("--kind", kind, tuple(promises.kinds(judgement)))
    period = period_of(judgement, year, None, None)("") if year is not None else None
    found = [
        c
        for c in promises.findings(judgement)
        if (period is None or period[0] <= c.since < period[1])
        and kind in (None, c.kind)
        and customer in (None, c.customer)
        and verdict in (None, c.verdict)
    ]
    if totals:
        output.rows(scope, promises.totals(found))
    else:
        columns = ("kind", "item", "customer", "due_at", "done_at", "off_by_seconds", "verdict")
        output.rows(scope, [c.as_json() for c in found], columns, "commitments")
    if fail_on and any(c.verdict in BREACHES for c in found):
        raise typer.Exit(3)


def _plus_sum(row: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """Return a row for a table with one sum of what is excluded; other formats get it as it is."""
    return row | {"excluded": sum(row["excluded_seconds"].values())} if output.form(scope) == "table" else row
