"""A year settled for every customer: rows printed as they come, made by one process or by several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ledger.errors import LedgerError
from projections.settlement import FIELDS, KINDS, Row, Settlement, Totals, parts, settled
from projections.shell import output
from projections.shell.scope import Scope, check_year, reading

COLUMNS = ("customer", "service", "availability", "met", "counted_seconds", "provisional", "credit")
PART = 200  # customers settled at a time: what is kept in memory, and handed from one process to another
Filter = Annotated[str | None, typer.Option()]


@dataclass(frozen=True, slots=True)
class Asked:
    """What to make of some customers: only this service; in this format, nothing but the totals without one."""

    service: str | None
    chosen: str | None


@dataclass(frozen=True, slots=True)
class Piece:
    """Some customers settled: their rows as text, of a table its columns, and the sums."""

    customers: int
    text: str
    rows: list[Row]
    totals: Totals


@reading
def settle(
    scope: Scope,
    year: Annotated[int, typer.Option(help="the calendar year to settle")],
    customer: Filter = None,
    service: Filter = None,
    totals: Annotated[bool, typer.Option("--totals", help="only the sums")] = False,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="processes to share the work among")] = 1,
) -> None:
    """Availability and would-be credit of a year, for every customer and service of the agreements.

    A row says what a claim for the year would come to if it were submitted at the judged instant; nothing is recorded.
    Downtime that another granted claim has used up stands under already credited and counts no more. Without a
    verdict, an outage is still undetermined or unattributed. The credit of the totals is that of all rows.

    For the entries behind a figure see availability --year Y --customer C --service S, and claim assess.

    \b
    Examples:
      sla-ledger settle --year 2025
      sla-ledger settle --year 2025 --jobs 4 --format csv
      sla-ledger settle --year 2025 --totals
    """
    check_year(year)
    settlement = Settlement(scope.judgement(scope.history(*KINDS)), year)
    customers = [c for c in settlement.customers() if customer in (None, c)]
    asked = Asked(service, None if totals else output.form(scope))
    ranges = parts(customers, -(-len(customers) // PART))
    summed, kept = Totals(), list[Row]()

    def texts(pieces: Iterator[Piece]) -> Iterator[str]:
        done = 0
        with output.progress("settling", len(customers)) as show:
            for piece in pieces:
                summed.join(piece.totals)
                kept.extend(piece.rows)
                show(done := done + piece.customers)
                yield piece.text

    with _pieces(settlement, asked, ranges, jobs) as pieces:
        if totals:
            list(texts(pieces))
            sums = summed.as_json()
            output.thing(scope, sums, _lines(sums))
        elif asked.chosen == "table":
            list(texts(pieces))
            output.rows(scope, kept, COLUMNS)
            output.note("; ".join(_lines(summed.as_json())))
        else:
            output.together(str(asked.chosen), texts(pieces), FIELDS)


def piece(settlement: Settlement, asked: Asked, customers: list[str]) -> Piece:
    """Return some customers settled."""
    rows, totals = settled(settlement, customers, asked.service), Totals()
    for row in rows:
        totals.add(row)
    if asked.chosen is None:
        return Piece(len(customers), "", [], totals)
    if asked.chosen == "table":
        return Piece(len(customers), "", [{c: row[c] for c in COLUMNS} for row in rows], totals)
    return Piece(len(customers), output.some(asked.chosen, rows, FIELDS) if rows else "", [], totals)


@contextmanager
def _pieces(settlement: Settlement, asked: Asked, ranges: list[list[str]], jobs: int) -> Iterator[Iterator[Piece]]:
    """Yield the pieces in the order of the ranges, from this process or from several."""
    if jobs == 1 or len(ranges) < 2:
        yield (piece(settlement, asked, customers) for customers in ranges)
        return
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in ways else None)  # a fork inherits what was read
    with ProcessPoolExecutor(min(jobs, len(ranges)), context, _begin, (settlement, asked)) as pool:
        try:
            yield pool.map(_piece, ranges)
        except BrokenProcessPool:
            pool.shutdown(cancel_futures=True)
            what = "one of its processes was ended from outside"
            raise LedgerError("settle", what, "try again, with fewer --jobs if memory is short") from None


_SHARED: list[tuple[Settlement, Asked]] = []  # of a worker process: what it was begun with


def _begin(settlement: Settlement, asked: Asked) -> None:
    _SHARED[:] = [(settlement, asked)]


def _piece(customers: list[str]) -> Piece:
    return piece(*_SHARED[0], customers)


def _lines(sums: dict[str, Any]) -> list[str]:
    shown = sums | {"credit": ", ".join(map(output.cell, sums["credit"])) or "none"}
    return [f"{name.replace('_', ' ')}: {output.cell(value)}" for name, value in shown.items()]
