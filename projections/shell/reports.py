"""The reports a support lead asks for: compliance, queue, order, availability, commitments.

The views answer where they can; readings or terms of one's own, and stream files, are judged from the entries.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from projections.shell import output
from projections.shell.filters import filters, one_of
from projections.shell.options import option_bound, reading
from projections.shell.scope import Scope
from projections.totals import COUNTED, GROUPS
from projections.views.answers import Answers

if TYPE_CHECKING:
    from projections.views.uptime import Year

Filter = Annotated[str | None, typer.Option()]
From = Annotated[str | None, typer.Option("--from", metavar="DATE|T", help="received at or after")]
Until = Annotated[str | None, typer.Option("--until", metavar="DATE|T", help="received before")]
BREACHES = ("breached", "overdue")
PROMISES = ("met", "breached", "open", "overdue", "cancelled", "short_notice")


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
    one_of("--by", by, tuple(GROUPS))
    one_of("--verdict", verdict, COUNTED)
    one_of("--fail-on", fail_on, ("breach",))
    chosen = filters(customer, service, priority, channel, kind, begin, end)

    def ask(views: Answers) -> tuple[list[dict[str, Any]], bool]:
        wanted = chosen.wanted(views, verdict)
        if by:
            found = views.totals(by, wanted)
            return found, any(found[-1][name] for name in BREACHES)
        found = list(views.compliance(wanted))
        return found, any(row["verdict"] in BREACHES for row in found)

    answer = scope.ask(ask)
    if answer is None:
        from projections.shell import plain_reports

        answer = plain_reports.compliance(scope, chosen, by, verdict)
    found, late = answer
    columns = ("case", "customer", "priority", "received_at", "due_at", "responded_at", "late_by_seconds", "verdict")
    output.rows(scope, found, *(() if by else (columns, "compliance")))
    if fail_on and late:
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
    chosen = filters(customer, service)
    found = scope.ask(lambda views: views.queue(chosen.wanted(views)))
    if found is None:
        from projections.shell import plain_reports

        found = plain_reports.queue(scope, chosen)
    columns = (
        "rank",
        "case",
        "customer",
        "priority",
        "received_at",
        "due_at",
        "remaining_seconds",
        "at_risk",
        "verdict",
    )
    output.rows(scope, found, columns, "queue")


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

    def ask(views: Answers) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        wanted = chosen.wanted(views)
        return ([], views.order_totals(wanted)) if totals else (list(views.order(wanted)), {})

    answer = scope.ask(ask)
    if answer is None:
        from projections.shell import plain_reports

        answer = plain_reports.order(scope, chosen)
    found, summed = answer
    if totals:
        lines = [f"{name.replace('_', ' ')}: {output.cell(value)}" for name, value in summed.items()]
        output.thing(scope, summed, lines)
    else:
        columns = ("case", "priority", "received_at", "handled_at", "overtook", "overtaken_by")
        output.rows(scope, found, columns, "order")


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
    if year is not None and (begin or end):
        raise typer.BadParameter("give --year, or --from and --until", param_hint="--year")
    if scope.is_bundle:
        from projections.shell.evidence_bundle import check_pair

        check_pair(scope, customer, service)
    kept = None if year is None else scope.ask(lambda views: views.availability(year, customer, service))
    rows = None if kept is None else kept.findings
    if rows is None:
        rows = None if kept is None else _completed(scope, kept)
        if rows is None:
            from projections.shell import plain_reports

            first, last = option_bound(begin, "--from"), option_bound(end, "--until")
            rows = plain_reports.availability(scope, year, first, last, customer, service)
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
    output.rows(scope, [_plus_sum(row, scope) for row in rows], columns, "availability")


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
    from projections import commitments as promises
    from projections.shell import plain_reports

    one_of("--verdict", verdict, PROMISES)
    one_of("--fail-on", fail_on, ("breach",))
    found = plain_reports.commitments(scope, year, kind, customer, verdict)
    if totals:
        output.rows(scope, promises.totals(found))
    else:
        columns = ("kind", "item", "customer", "due_at", "done_at", "off_by_seconds", "verdict")
        output.rows(scope, [c.as_json() for c in found], columns, "commitments")
    if fail_on and any(c.verdict in BREACHES for c in found):
        raise typer.Exit(3)


def _completed(scope: Scope, kept: Year) -> list[dict[str, Any]] | None:
    """Return a year of which a part is kept: the rest is judged again, and kept for the next question.

    None when all of it has to be judged by the plain rules.
    """
    from projections.views import uptime
    from projections.views.rejudging import rejudged
    from projections.views.tables import NotKept

    try:
        with closing(scope.reader()) as reader:
            downtime, found = rejudged(reader, kept)
    except NotKept:
        return None
    shown = [f.as_json() for f in found]
    if scope.is_present:
        scope.keep(kept.position, lambda views: uptime.keep(views, kept.year, downtime, found, kept.forgotten, shown))
    anew = iter(shown)
    return [next(anew) if row.finding is None else row.finding for row in kept.rows]


def _plus_sum(row: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """Return a row for a table with one sum of what is excluded; other formats get it as it is."""
    return row | {"excluded": sum(row["excluded_seconds"].values())} if output.form(scope) == "table" else row
