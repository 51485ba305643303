"""A year settled for every customer: rows printed as they come, made by one process or by several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from typing import Annotated, Any

import typer

from ledger.errors import LedgerError
from ledger.processes import pool
from projections.judgement import Judgement
from projections.settlement import FIELDS, KINDS, Row, Settlement, Totals, parts, settled
from projections.shell import output
from projections.shell.cluster import spread
from projections.shell.options import Scheduler, check_year, reading
from projections.shell.scope import Scope

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
    scheduler: Scheduler = None,
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
      sla-ledger settle --year 2025 --json --scheduler tcp://10.0.0.5:8786
    """
    check_year(year)
    asked = Asked(service, None if totals else output.form(scope))
    if scheduler is not None:
        if jobs > 1:
            raise typer.BadParameter("give --jobs or --scheduler, not both", param_hint="--scheduler")
        _print(scope, asked, *_spread(scope, year, asked, customer, scheduler))
        return
    settlement = Settlement(scope.judgement(scope.history(*KINDS)), year)
    ranges = _ranges(settlement.judgement, customer)
    with _pieces(settlement, asked, ranges, jobs) as pieces:
        _print(scope, asked, pieces, sum(map(len, ranges)))


def _ranges(judgement: Judgement, customer: str | None) -> list[list[str]]:
    customers = [c for c in sorted(judgement.agreements) if customer in (None, c)]
    return parts(customers, -(-len(customers) // PART))


def _print(scope: Scope, asked: Asked, pieces: Iterable[Piece], customers: int) -> None:
    summed, kept = Totals(), list[Row]()

    def texts() -> Iterator[str]:
        done = 0
        with output.progress("settling", customers) as show:
            for piece in pieces:
                summed.join(piece.totals)
                kept.extend(piece.rows)
                show(done := done + piece.customers)
                yield piece.text

    if asked.chosen is None:
        list(texts())
        sums = summed.as_json()
        output.thing(scope, sums, _lines(sums))
    elif asked.chosen == "table":
        list(texts())
        output.rows(scope, kept, COLUMNS)
        output.note("; ".join(_lines(summed.as_json())))
    else:
        output.together(asked.chosen, texts(), FIELDS)


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
    with pool(min(jobs, len(ranges)), _begin, settlement, asked) as processes:  # a fork inherits what was read
        try:
            yield processes.map(_piece, ranges)
        except BrokenProcessPool:
            processes.shutdown(cancel_futures=True)
            what = "one of its processes was ended from outside"
            raise LedgerError("settle", what, "try again, with fewer --jobs if memory is short") from None


@dataclass(frozen=True, slots=True)
class Source:
    """What a worker elsewhere gathers a settlement from: a ledger's address, the position and instant to judge at."""

    address: str = field(repr=False)  # a password may stand in it, and workers may log what they fail at
    at_entry: int
    as_of: datetime
    terms: str | None
    readings: tuple[tuple[str, str], ...]
    year: int


def _spread(scope: Scope, year: int, asked: Asked, customer: str | None, scheduler: str) -> tuple[Iterable[Piece], int]:
    """Return the pieces that the workers of a scheduler made, in order, and how many customers they settle."""
    if scope.db == "-":
        what = "the workers of a scheduler cannot read standard input"
        raise LedgerError("--db -", what, "name a ledger or a stream file that they can reach")
    judgement = scope.judgement(scope.history("agreement"))
    position, readings = judgement.history.last_position, tuple(scope.readings.items())
    source = Source(scope.elsewhere, position, judgement.as_of, scope.terms, readings, year)
    ranges = _ranges(judgement, customer)
    with output.progress("waiting for the workers", len(ranges)) as show:
        found = spread(scheduler, partial(settled_from, source, asked), ranges, show)
    return found, sum(map(len, ranges))


def settled_from(source: Source, asked: Asked, customers: list[str]) -> Piece:
    """Return some customers settled, from a ledger opened by its address."""
    return piece(_gathered(source), asked, customers)


@lru_cache(maxsize=1)
def _gathered(source: Source) -> Settlement:
    scope = Scope(source.address, source.as_of, None, source.at_entry, source.terms, dict(source.readings))
    return Settlement(scope.judgement(scope.history(*KINDS)), source.year)


_SHARED: list[tuple[Settlement, Asked]] = []  # of a worker process: what it was begun with


def _begin(settlement: Settlement, asked: Asked) -> None:
    _SHARED[:] = [(settlement, asked)]


def _piece(customers: list[str]) -> Piece:
    return piece(*_SHARED[0], customers)


def _lines(sums: dict[str, Any]) -> list[str]:
    shown = sums | {"credit": ", ".join(map(output.cell, sums["credit"])) or "none"}
    return [f"{name.replace('_', ' ')}: {output.cell(value)}" for name, value in shown.items()]
