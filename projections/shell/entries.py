"""The record itself: the log and single streams.

Of a case as it is now the views and its entries as they are stored say all; other questions are judged by the plain
rules, on those streams of the ledger that have a say in them.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ledger.errors import NotFound
from ledger.text import clean
from projections.shell import output
from projections.shell.filters import one_of
from projections.shell.options import option_bound, reading, stream_id
from projections.shell.scope import Scope
from projections.shell.single_cases import CASES, case_of

Shown = tuple[list[dict[str, Any]], dict[str, Any] | None]  # entries as rows, and what they amount to
LONG = "(the whole document; see it: sla-ledger terms show)"


@reading
def log(
    scope: Scope,
    stream: Annotated[str | None, typer.Argument(metavar="[STREAM]", help="only this stream")] = None,
    type_: Annotated[str | None, typer.Option("--type", metavar="T", help="only this event")] = None,
    begin: Annotated[str | None, typer.Option("--from", metavar="DATE|T", help="happened at or after")] = None,
    end: Annotated[str | None, typer.Option("--until", metavar="DATE|T", help="happened before")] = None,
    late: Annotated[bool, typer.Option("--late", help="only late ones, the latest first")] = False,
) -> None:
    """Entries as they were recorded; one that came late shows by how much.

    \b
    Examples:
      sla-ledger log incident:INC-1
      sla-ledger log --type OutageAttributed --json
      sla-ledger log --late
    """
    from projections.shell import plain_entries

    one_of("--type", type_, plain_entries.TYPES)
    first, last = option_bound(begin, "--from"), option_bound(end, "--until")
    found = plain_entries.log(scope, stream, type_, first, last)
    if late:
        found = sorted((r for r in found if r["late_by_seconds"]), key=lambda r: (-r["late_by_seconds"], r["position"]))
    found = _opened(scope, found)
    columns = ("position", "recorded_at", "time", "late_by_seconds", "stream", "version", "type", "data")
    if output.form(scope) == "table":
        found = [r | {"data": LONG} if r["type"] == "TermsPosted" else r for r in found]
    output.rows(scope, found, columns, "log")


@reading
def show(scope: Scope, stream: Annotated[str, typer.Argument(metavar="STREAM", help="like incident:INC-1")]) -> None:
    """One stream: its entries as recorded, and what they amount to.

    \b
    Example:
      sla-ledger show outage:O-7
    """
    kind = stream.partition(":")[0]
    told: Shown | None = None
    if kind in CASES and scope.views_path.exists():  # they are not worth building for one stream
        told = case_of(scope, [stream], lambda case: (case.as_rows(), case.finding()))
    if told is None:
        from projections.shell import plain_entries

        told = plain_entries.show(scope, stream)
    entries, finding = told
    if not entries:
        raise NotFound(clean(stream), "no such stream is known", "see all entries: sla-ledger log")
    entries = _opened(scope, entries)
    found = {"stream": stream, "kind": kind, "entries": entries, "amounts_to": finding}
    output.thing(scope, found, _stream_text(found))


@reading
def reconcile(scope: Scope, outage: Annotated[str, typer.Argument(metavar="OUTAGE", help="like outage:O-7")]) -> None:
    """The evidence of an outage side by side: where the sources agree, what one alone saw, and the proposed frame.

    Take the proposal by naming its evidence: record TimeframeDetermined OUTAGE --evidence 2 --evidence 3 --reason TEXT

    \b
    Example:
      sla-ledger reconcile outage:O-7
    """
    from projections.evidence import reconciled

    stream = stream_id(outage, "outage")
    judgement = scope.judgement(scope.history("terms", "monitoring", streams=[stream]))
    if not judgement.history.stream(stream, judgement.as_of):
        raise NotFound(
            clean(stream), "no such outage is known", "see all outages: sla-ledger log --type OutageReported"
        )
    found = reconciled(judgement, stream)
    output.thing(scope, found.as_json(), found.text())


def _opened(scope: Scope, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return entries with their sealed summaries as text, where they can be opened."""
    if not any("sealed_summary" in x for r in rows for x in (r["data"], r["data"].get("data")) if isinstance(x, dict)):
        return rows
    from projections.shell.privacy import readable

    return readable(scope, rows)


def _stream_text(found: dict[str, Any]) -> list[str]:
    lines = [found["stream"]]
    for row in found["entries"]:
        late = f"  recorded {row['late_by_seconds']} s late" if row["late_by_seconds"] else ""
        data = output.cell(row["data"]) if row["type"] != "TermsPosted" else LONG
        lines.append(f"  {row['position']:>6}  v{row['version']}  {row['time']}  {row['type']}  {data}{late}")
    if found["amounts_to"] is None:
        return [*lines, "  not visible at this instant"]
    lines.append("amounts to")
    return lines + [f"  {k.replace('_', ' ')}: {output.cell(v)}" for k, v in found["amounts_to"].items()]
