"""What cases are judged by, taken from a ledger's entries, and cases judged by it, stream by stream."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from time import gmtime
from typing import TYPE_CHECKING

import msgspec

from ledger.clock import now
from ledger.store.reading import EVERYTHING, Reader
from projections.grounds import CONTEXT, GENERIC, Customer, Grounds
from projections.replay import Case, Emptied, cases, unreadable
from projections.stored_facts import instant
from projections.views.tables import decode, encode

if TYPE_CHECKING:
    from projections.judgement import Judgement

SAMPLE = 1000  # entries that are looked at for the times that a ledger covers


def kind_range(kind: str) -> tuple[str, str]:
    """Return the first stream id of a kind and the first one after it."""
    return f"{kind}:", f"{kind};"


def context_of(reader: Reader, up_to: int, as_of: int | None = None) -> Judgement:
    """Return what every finding depends on, up to a position, seen at an instant; None: all of it."""
    from ledger.store.mapper import from_state
    from projections.history import History
    from projections.judgement import Judgement

    rows = [row for kind in CONTEXT for row in reader.rows_by_stream(*kind_range(kind), up_to)]
    history = History(from_state(*row) for row in sorted(rows, key=lambda r: r[0]))
    at = datetime.max.replace(tzinfo=UTC, microsecond=0) if as_of is None else datetime.fromtimestamp(as_of, UTC)
    return Judgement(history, at)


def grounds_of(reader: Reader, up_to: int, years: range, as_of: int | None = None) -> Grounds:
    """Return what the cases of a ledger are judged by, up to a position, seen at an instant; None: all of it."""
    return laid_out(context_of(reader, up_to, as_of), years)


def laid_out(context: Judgement, years: range) -> Grounds:
    """Return what cases are judged by; clocks cover these calendar years."""
    from projections.grounding import grounds

    return grounds(context, years)


def years_of(grounds: Grounds) -> range:
    """Return the calendar years that clocks cover."""
    first = next(iter(grounds.months.values()))[1]
    return range(int(first[0][:4]), max(int(first[-1][:4]) + 1, now().year + 3))


def times_of(reader: Reader, last: int) -> list[int]:
    """Return when the facts of some of a ledger's entries happened, among them the last, in ascending order."""
    found = []
    for entry in reader.at([*range(1, last + 1, max(1, last // SAMPLE)), *([last] if last else [])]):
        try:
            found.append(instant(decode(entry[4])["time"]))
        except (msgspec.MsgspecError, KeyError, ValueError, TypeError, AttributeError):
            raise unreadable(entry) from None
    return sorted(found)


def years_around(times: Sequence[int]) -> range:
    """Return the calendar years of instants, in ascending order, and of this one, one before them and two after."""
    years = [now().year, *(gmtime(at).tm_year for at in (*times[:1], *times[-1:]))]
    return range(min(years) - 1, max(years) + 3)


def judged(
    reader: Reader, streams: Iterable[str], grounds: Grounds, up_to: int, as_of: int | None = None
) -> tuple[list[Case], list[Emptied]]:
    """Return the cases of these streams, and those of which nothing is left."""
    rows = (row for s in sorted(streams) for row in reader.rows_by_stream(s, f"{s} ", up_to))
    found = list(cases(rows, grounds, as_of))
    return [c for c in found if isinstance(c, Case)], [c for c in found if isinstance(c, Emptied)]


def changed_since(one: Customer, other: Customer) -> int | None:
    """Return the instant from which two accounts of a customer judge cases differently; None when they do not."""
    if (one.desk, one.positions) != (other.desk, other.positions):
        return -EVERYTHING
    instants = []
    for service in {*one.services, *other.services, GENERIC}:
        a, b = one.timeline(service), other.timeline(service)
        for at in sorted({*a.at, *b.at, -EVERYTHING}):
            i, j = a.index(at), b.index(at)
            if (a.deals[i], a.doubts[i]) != (b.deals[j], b.doubts[j]):
                instants.append(at)
                break
    return min(instants, default=None)


def moved(connection: sqlite3.Connection, one: Grounds, other: Grounds, position: int = EVERYTHING) -> Iterator[str]:
    """Yield the cases with an entry up to a position whose verdict two accounts of the agreements can tell apart."""
    since = {
        name: changed_since(one.customer(name), other.customer(name)) for name in {*one.customers, *other.customers}
    }
    changed = {name: at for name, at in since.items() if at is not None}
    statement = """
        SELECT stream, customer, received FROM cases
        WHERE received >= ? AND customer IN (SELECT value FROM json_each(?)) AND first_position <= ?
    """
    asked = (min(changed.values(), default=EVERYTHING), encode(list(changed)).decode(), position)
    return (s for s, customer, received in connection.execute(statement, asked) if received >= changed[customer])
