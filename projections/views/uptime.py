"""Availability of whole calendar years, kept: a row a customer and service, and the instants at which it holds.

A row of a year that is over stays as it is. In a year that goes on, what grows with the instant is time in which
nothing is down: a row is kept only while nothing that it knows of is open or lies ahead. What new entries touch is
forgotten and judged again when it is asked for. §availability-target
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ledger.instants import seconds, stamp
from projections.figures import ratio
from projections.views.tables import decode, encode, sealed, unsealed

if TYPE_CHECKING:
    from projections.availability import Availability
    from projections.downtime import Downtime
    from projections.judgement import Judgement

KINDS = ("agreement", "outage", "maintenance", "monitoring", "terms")
FAR = 1 << 40  # later than any instant


def kept(
    connection: sqlite3.Connection, year: int, customer: str | None, service: str | None, as_of: int
) -> list[dict[str, Any]] | None:
    """Return the findings of a year at an instant, in the order of the report; None when they are not all kept."""
    whole = connection.execute("SELECT value FROM state WHERE name = ?", (f"availability {year}",)).fetchone()
    if whole is None:
        return None
    rows = connection.execute(
        "SELECT * FROM availability WHERE year = ? AND ? IN (customer, '') AND ? IN (service, '') ORDER BY place",
        (year, customer or "", service or ""),
    )
    found = []
    for row in map(unsealed, rows):
        valid_from, valid_until, finding = row[-3:]
        if not valid_from <= as_of < valid_until:
            return None
        found.append(_settled(decode(finding), valid_from, as_of))
    if customer is None and service is None and len(found) != whole[0]:
        return None
    return found or None


def edges(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Return the years that are kept, each with the first and the last instants at which its rows hold."""
    found = connection.execute("SELECT DISTINCT year, valid_from, valid_until FROM availability").fetchall()
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


def keep(connection: sqlite3.Connection, year: int, downtime: Downtime, found: list[Availability]) -> None:
    """Keep all findings of a year, in the order of the report, each with the instants at which it holds."""
    judgement = downtime.judgement
    at = seconds(judgement.as_of)
    if at <= max((seconds(x.time) for x in judgement.history.entries), default=0):
        return  # something is hidden at this instant that a later one shows
    unsteady = _unsteady(downtime)
    rows = []
    for place, finding in enumerate(found):
        is_cut = "cut_at_as_of" in finding.doubts
        until = FAR
        if finding.service in unsteady or (is_cut and not _is_steady(judgement, finding)):
            until = at + 1
        elif is_cut:
            zone = judgement.zone_of(finding.customer, judgement.rules_at(judgement.as_of))
            until = seconds(judgement.instant_of(date(year + 1, 1, 1), zone))
        text = encode(finding.as_json()).decode()
        rows.append(sealed((year, place, finding.customer, finding.service, at, until, text)))
    forget(connection, year)
    connection.executemany(f"INSERT INTO availability VALUES ({','.join('?' * 8)})", rows)
    connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", sealed((f"availability {year}", len(rows))))


def forget(connection: sqlite3.Connection, year: int | None = None) -> None:
    """Forget the findings of a year, or of all years."""
    connection.execute("DELETE FROM availability WHERE ? IN (year, 0)", (year or 0,))
    if year is None:
        connection.execute("DELETE FROM state WHERE name LIKE 'availability %'")


def _unsteady(downtime: Downtime) -> set[str]:
    """Return the services of which something is open, or lies ahead of the instant of judgement."""
    from projections.downtime import gap

    at, found = downtime.judgement.as_of, set[str]()
    for state in downtime.outages.values():
        spans = [] if state.determined is None else state.determined.event.frames  # type: ignore[attr-defined]
        seen = [x.event.until for x in state.evidence]  # type: ignore[attr-defined]
        is_open = state.determined is None and (None in seen or (not seen and state.restored is None))
        if is_open or any(s.until > at for s in spans) or any(u is not None and u > at for u in seen):
            found.update(state.report.services)
    for service, gaps in downtime.gaps.items():
        if any(gap(x)[1] > at for x in gaps):
            found.add(service)
    return found


def _is_steady(judgement: Judgement, found: Availability) -> bool:
    """Whether nothing but time passes in a year that goes on: no change of the agreement lies ahead."""
    agreement = judgement.agreements.get(found.customer)
    ahead = agreement is not None and any(c.at > judgement.as_of for c in agreement.changes)
    return not ahead and found.rules.readings.before_agreement == "available" and found.begin < found.end
