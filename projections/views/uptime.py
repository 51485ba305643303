"""Availability of whole calendar years, kept: a row a customer and service, and the instants at which it holds.

A row of a year that is over stays as it is. In a year that goes on, what grows with the instant is time in which
nothing is down: a row is kept only while nothing that it knows of is open or lies ahead. The rows that new entries
reach are forgotten, and judged again when they are asked for; the others stand. §availability-target
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.instants import instant, seconds, stamp
from projections.figures import ratio
from projections.stored_facts import FAR
from projections.views.tables import decode, encode, unsealed, write

if TYPE_CHECKING:
    from ledger.store.reading import Reader
    from projections.availability import Availability
    from projections.downtime import Downtime
    from projections.judgement import Judgement
    from projections.views.basis import Basis
    from projections.views.reach import Reach

KINDS = ("agreement", "outage", "maintenance", "monitoring", "terms")
DAY = 86400  # longer than any zone's offset
NONE = "null"  # in place of a finding that was forgotten


class Kept(msgspec.Struct, frozen=True):
    """A row of a year: its place in the report, whose it is, and the finding; None where it has to be judged again."""

    place: int
    customer: str
    service: str
    finding: dict[str, Any] | None
    basis: str  # a Basis


class Year(msgspec.Struct, frozen=True):
    """Rows of a calendar year at an instant (seconds since 1970), true for the entries up to a position."""

    year: int
    as_of: int
    position: int
    rows: list[Kept]

    @property
    def findings(self) -> list[dict[str, Any]] | None:
        """The findings, None when some have to be judged again."""
        found = [row.finding for row in self.rows if row.finding is not None]
        return found if len(found) == len(self.rows) else None

    @property
    def forgotten(self) -> list[Kept]:
        """The rows that have to be judged again."""
        return [row for row in self.rows if row.finding is None]


def kept(
    connection: sqlite3.Connection, year: int, customer: str | None, service: str | None, as_of: int
) -> list[Kept] | None:
    """Return the rows of a year at an instant, in the order of the report; None when it is not kept."""
    whole = connection.execute("SELECT * FROM state WHERE name = ?", (f"availability {year}",)).fetchone()
    if whole is None:
        return None
    rows = connection.execute(
        "SELECT * FROM availability WHERE year = ? AND ? IN (customer, '') AND ? IN (service, '') ORDER BY place",
        (year, customer or "", service or ""),
    )
    found = []
    for _, place, whose, what, valid_from, valid_until, text, basis in map(unsealed, rows):
        holds = valid_from <= as_of < valid_until
        finding = _settled(decode(text), valid_from, as_of) if holds else None
        found.append(Kept(place, whose, what, finding, basis))
    if customer is None and service is None and len(found) != unsealed(whole)[1]:
        return None
    return found or None


def edges(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Return the years that are kept, each with instants at which its rows or their bases hold: first and last."""
    bases = "SELECT year, json_extract(basis, '$.since'), json_extract(basis, '$.until') FROM availability"
    rows = "SELECT year, valid_from, valid_until FROM availability WHERE valid_from < valid_until"
    found = connection.execute(f"{rows} UNION {bases} WHERE basis <> ?", (NONE,)).fetchall()
    lasting = {(year, until - 1) for year, _, until in found if until != FAR}
    return sorted({(year, since) for year, since, _ in found} | lasting)


def _settled(finding: dict[str, Any], judged_at: int, as_of: int) -> dict[str, Any]:
    """Return a finding at an instant: of a year that goes on, what was up since it was judged is added."""
    more = as_of - judged_at if "cut_at_as_of" in finding["doubts"] else 0
    if not more:
        return finding
    finding["until"] = stamp(datetime.fromtimestamp(as_of, UTC))
    finding["period_seconds"] += more
    finding["up_seconds"] += more
    for name in ("availability", "availability_if_unknown_down"):
        share = finding[name]
        parts = (share["numerator"] + more, share["denominator"] + more)
        finding[name] = ratio(*parts)
        if name == "availability":
            finding["met"] = Fraction(*parts) >= Fraction(finding["target_percent"]) / 100
    return finding


def keep(
    connection: sqlite3.Connection,
    year: int,
    downtime: Downtime,
    found: list[Availability],
    rows: list[Kept] | None = None,
    shown: list[dict[str, Any]] | None = None,
) -> None:
    """Keep findings of a year, each with the instants at which it holds.

    found: on the rows given, in their order, or on all rows of the report. shown: the same in their fixed shape, where
    they have been brought into it already.
    """
    judgement = downtime.judgement
    at = seconds(judgement.as_of)
    if at <= max((seconds(x.time) for x in judgement.history.entries), default=0):
        return  # something is hidden at this instant that a later one shows
    unsteady = _unsteady(downtime)
    places = range(len(found)) if rows is None else [row.place for row in rows]
    if rows is None:
        bases = [_basis(judgement, finding, year) for finding in found]
    else:
        from projections.views.basis import decode as basis_from

        bases = [basis_from(row.basis) for row in rows]
    written = []
    said = shown or [f.as_json() for f in found]
    for place, finding, basis, row in zip(places, found, bases, said, strict=True):
        is_cut = "cut_at_as_of" in finding.doubts
        since = unsteady.get(finding.service)
        if basis is None or (since is not None and (is_cut or since < finding.end)):
            until = at + 1
        else:
            until = basis.until
        text, on = encode(row).decode(), encode(basis).decode()
        written.append((year, place, finding.customer, finding.service, at, until, text, on))
    if rows is None:
        forget(connection, year)
        write(connection, "state", [(f"availability {year}", len(written))], or_replace=True)
    write(connection, "availability", written, or_replace=True)


def _basis(judgement: Judgement, finding: Availability, year: int) -> Basis | None:
    from projections.views.basis import basis_of

    zone = judgement.zone_of(finding.customer, judgement.rules_at(judgement.as_of))
    return basis_of(judgement, finding, judgement.instant_of(date(year + 1, 1, 1), zone))


def forget(connection: sqlite3.Connection, year: int | None = None) -> None:
    """Forget the findings of a year, or of all years, and which rows there are."""
    connection.execute("DELETE FROM availability WHERE ? IN (year, 0)", (year or 0,))
    if year is None:
        connection.execute("DELETE FROM state WHERE name LIKE 'availability %'")


def forget_reached(connection: sqlite3.Connection, reader: Reader, streams: Iterable[str], last: int) -> None:
    """Forget the findings that streams with new entries reach; all of them when there may be other rows now.

    streams: of the kinds that availability rests on. last: the position up to which they are read.
    """
    touched = [*streams]
    none = connection.execute("SELECT 1 FROM availability LIMIT 1").fetchone() is None
    if none or any(s.startswith(("agreement:", "terms:")) for s in touched):
        forget(connection)
        return
    from projections.views.reach import reaches

    found = [r for s in touched for r, _ in reaches(reader, s, f"{s} ", last)]
    named = sorted({s for r in found for s in r.services})
    any_service = any(s.startswith("maintenance:") for s in touched)  # whatever is attributed to it
    where = f"? OR service IN ({','.join('?' * len(named))})"
    selected = connection.execute(f"SELECT * FROM availability WHERE {where}", (any_service, *named))
    rows = [unsealed(row) for row in selected]
    if {*named} - {service for _, _, customer, service, *_ in rows if customer != "*"}:
        forget(connection)  # a service in no agreement has a row while something names it
        return
    reached = (row for row in rows if row[6] != NONE and _is_reached(row, found))
    write(connection, "availability", [(*row[:4], 0, 0, NONE, row[7]) for row in reached], or_replace=True)


class _Outage(msgspec.Struct, rename={"from_": "from"}):
    outage: str
    from_: str
    until: str


class _RestsOn(msgspec.Struct):
    """What of a finding tells what it rests on."""

    outages: list[_Outage]
    because: list[int]
    doubts: list[str]


_rests_on = msgspec.json.Decoder(_RestsOn).decode


def _is_reached(row: tuple[Any, ...], found: list[Reach]) -> bool:
    """Whether a row may be another one when streams are no longer, or not yet, what they are now."""
    year, _, customer, service, _, _, text, _ = row
    begin, end = year_in_seconds(year)
    finding = _rests_on(text)
    for reach in found:
        if not reach.stream.startswith("maintenance:"):
            is_hit = reach.hits(customer, service) and reach.meets(begin, end)
            if is_hit or any(o.outage == reach.stream for o in finding.outages):
                return True
        elif "dangling_reference" in finding.doubts or not reach.positions.isdisjoint(finding.because):
            return True
        elif service in reach.services and any(
            reach.meets(seconds(instant(o.from_)), seconds(instant(o.until))) for o in finding.outages
        ):
            return True  # R20: where windows win
    return False


def year_in_seconds(year: int) -> tuple[int, int]:
    """Return begin and end of a calendar year in seconds since 1970, in whatever zone it is read."""
    begin, end = (seconds(datetime(y, 1, 1, tzinfo=UTC)) for y in (year, year + 1))
    return begin - DAY, end + DAY


def _unsteady(downtime: Downtime) -> dict[str, datetime]:
    """Return the services of which something is open, or lies ahead of the instant of judgement, and since when."""
    from projections.downtime import gap

    at, found = downtime.judgement.as_of, dict[str, datetime]()
    for state in downtime.outages.values():
        spans, seen = state.frames, state.seen
        untils = [x.until for x in seen]
        is_open = state.determined is None and (None in untils or (not untils and state.restored is None))
        if is_open or any(s.until > at for s in spans) or any(u is not None and u > at for u in untils):
            begins = [state.opening.time, *(s.from_ for s in spans), *(x.from_ for x in seen)]
            for service in state.report.services:
                found[service] = min(found.get(service, begins[0]), *begins)
    for service, gaps in downtime.gaps.items():
        for begin, end in map(gap, gaps):
            if end > at:
                found[service] = min(found.get(service, begin), begin)
    return found
