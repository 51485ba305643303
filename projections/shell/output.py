"""Findings on their way out: tables that are never cut, JSON in a fixed order, CSV and TSV."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import typer

from ledger.text import clean, plain_json
from projections.shell.scope import Scope

# where a spreadsheet may see a formula begin: at a cell's start, or behind what separates cells in half of Europe
_FORMULA = re.compile(r"(?:^|(?<=;))(?=\s*[=+\-@|%＝＋－＠｜％﹦﹢﹣﹫﹪−])")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)

FIELDS: dict[str, tuple[str, ...]] = {  # of a report's rows, for the header of an empty one
    "compliance": (
        "case",
        "kind",
        "request_kind",
        "customer",
        "service",
        "channel",
        "priority",
        "received_at",
        "due_at",
        "responded_at",
        "paused_seconds",
        "business_seconds",
        "late_by_seconds",
        "verdict",
        "terms",
        "clauses",
        "because",
        "doubts",
    ),
    "queue": (
        "rank",
        "case",
        "customer",
        "priority",
        "received_at",
        "due_at",
        "remaining_seconds",
        "at_risk",
        "verdict",
        "doubts",
    ),
    "order": (
        "case",
        "priority",
        "received_at",
        "handled_at",
        "overtook",
        "overtaken_by",
        "terms",
        "clauses",
        "because",
        "doubts",
    ),
    "availability": (
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
        "availability_if_unknown_down",
        "target_percent",
        "met",
        "provisional",
        "outages",
        "terms",
        "clauses",
        "because",
        "doubts",
    ),
    "commitments": (
        "kind",
        "item",
        "customer",
        "since",
        "due_at",
        "done_at",
        "off_by_seconds",
        "verdict",
        "terms",
        "clauses",
        "because",
        "doubts",
    ),
    "privacy": ("customer", "summaries", "since", "by", "key"),
    "log": (
        "position",
        "recorded_at",
        "time",
        "late_by_seconds",
        "stream",
        "version",
        "type",
        "actor",
        "command_id",
        "data",
    ),
}


def rows(
    scope: Scope, found: list[dict[str, Any]], columns: Iterable[str] | None = None, report: str | None = None
) -> None:
    """Print rows; `columns` are those a table shows, all of them go into the other formats.

    report: whose rows they are, so that an empty CSV or TSV still has its header.
    """
    chosen = form(scope)
    if chosen == "table":
        _table(found, list(columns or (found[0] if found else ())))
    elif found or report:
        fields = list(found[0] if found else FIELDS[str(report)])
        together(chosen, [some(chosen, found, fields)], fields)
    else:
        together(chosen, [], [])


def some(chosen: str, found: list[dict[str, Any]], fields: Sequence[str]) -> str:
    """Return the text of some of a report's rows in a format that is no table; `together` prints the whole of it."""
    if chosen == "json":
        return as_json(found)[2:-2]
    if chosen == "jsonl":
        return "".join(f"{json_line(row)}\n" for row in found)
    return _separated(found, fields, chosen, header=False)


def together(chosen: str, texts: Iterable[str], fields: Sequence[str]) -> None:
    """Print a report of which `some` gave the texts, as they come: the same bytes however its rows were divided."""
    found = filter(None, texts)
    first = next(found, None)  # what cannot be answered leaves nothing behind, not even a header
    if chosen in ("csv", "tsv") and fields:
        typer.echo(_separated([], fields, chosen), nl=False)
    opened = False
    for text in chain(() if first is None else (first,), found):
        if chosen == "json":
            typer.echo(",\n" if opened else "[\n", nl=False)
        opened = True
        typer.echo(text, nl=False)
    if chosen == "json":
        typer.echo("\n]" if opened else "[]")


def thing(scope: Scope, found: dict[str, Any], text: Iterable[str]) -> None:
    """Print one object: its JSON, its fields in CSV or TSV, or the lines a person reads."""
    chosen = form(scope, piped="table")
    if chosen == "json":
        write(as_json(found))
    elif chosen == "jsonl":
        write(json_line(found))
    elif chosen == "table":
        for line in text:
            write(clean(line))
    else:
        pairs = [{"field": k, "value": v} for k, v in found.items()]
        typer.echo(_separated(pairs, ["field", "value"], chosen), nl=False)


def form(scope: Scope, piped: str = "tsv") -> str:
    """Return the format to print in: as asked, else a table on a terminal and `piped` in a pipe."""
    return scope.format or ("table" if sys.stdout and sys.stdout.isatty() else piped)


def as_json(found: Any) -> str:
    """Return JSON for people and programs: two spaces, keys as they come, characters as they are where that is safe."""
    return plain_json(json.dumps(found, ensure_ascii=False, indent=2))


def json_line(found: Any) -> str:
    """Return JSON in one line, keys as they come, characters as they are where that is safe."""
    return plain_json(json.dumps(found, ensure_ascii=False, separators=(",", ":")))


def write(text: str) -> None:
    """Write a line, or several, to standard output."""
    typer.echo("\n".join(map(clean, text.split("\n"))))


def note(line: str) -> None:
    """Write a message to standard error."""
    typer.echo(clean(line), err=True)


def cell(value: Any) -> str:
    """Return a value as the text of one cell: money as `600.00 NOK`, lists with commas, nothing as nothing."""
    return clean(_text(value))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        if set(value) == {"amount", "currency"}:
            return f"{value['amount']} {value['currency']}"
        if set(value) == {"numerator", "denominator", "percent"}:
            return str(value["percent"])
        return json_line(value)
    if isinstance(value, list):
        plain = all(not isinstance(v, dict | list) for v in value)
        return ",".join(map(str, value)) if plain else json_line(value)
    return str(value)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Any]:
    """Yield a function to call with what is done (of how much): a bar on a terminal's standard error, else nothing."""
    if not sys.stderr.isatty():
        yield lambda done, of=None: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    # what is printed meanwhile goes where it belongs, not into the bar's console
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(escape(clean(label)), total=total)
        yield lambda done, of=None: bar.update(task, completed=done, total=of or total)


def _table(found: list[dict[str, Any]], columns: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = any(isinstance(r.get(column), int) and not isinstance(r.get(column), bool) for r in found)
        table.add_column(
            Text(column.replace("_", " ")), justify="right" if numeric else "left", overflow="fold", no_wrap=True
        )
    for row in found:
        table.add_row(*(Text(cell(row.get(c)), style=_style(c, row.get(c))) for c in columns))
    console = Console(highlight=False)
    needed = Console(width=100_000).measure(table).maximum
    if needed > console.width or not (sys.stdout and sys.stdout.isatty()):
        console.width = max(needed, 20)
    console.print(table, soft_wrap=False)


def _style(column: str, value: Any) -> str:
    if column != "verdict":
        return ""
    return {"breached": "red", "overdue": "red", "refused": "red", "met": "green", "granted": "green"}.get(
        str(value), ""
    )


def _separated(found: list[dict[str, Any]], columns: Sequence[str], chosen: str, *, header: bool = True) -> str:
    """Return rows as CSV or TSV. CSV is for spreadsheets: what they might run gets an apostrophe, numbers do not.

    TSV holds a row a line and loses nothing: a backslash in a cell is doubled, and what a terminal must not get is
    spelled out as `clean` does.
    """
    if chosen == "tsv":
        lines = [columns] if header else []
        lines += [[clean(_text(row.get(c)).replace("\\", "\\\\")) for c in columns] for row in found]
        return "".join("\t".join(line) + "\n" for line in lines)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows([_defused(cell(row.get(c))) for c in columns] for row in found)
    return text.getvalue()


def _defused(text: str) -> str:
    """Return a cell that a spreadsheet will not run: what begins like a formula gets an apostrophe, no number does."""
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub("'", text)
