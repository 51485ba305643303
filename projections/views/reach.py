"""What a stream can reach of the kept availability: which services, whose, and when.

Read from everything that was ever said in it, corrected or withdrawn since or not, so that it holds for what the stream
said before as well as for what it says now. Nothing is judged here: a reach may be too wide, never too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from ledger.instants import instant, seconds
from ledger.store.reading import Reader, Stored
from projections.stored_facts import FAR
from projections.views.tables import decode

CORRECTIONS = ("EntryWithdrawn", "EntryCorrected")
TIMED = ("OutageReported", "ServiceRestored")  # facts whose own time bounds a frame
ANYBODY = "*"


class Reach(msgspec.Struct, frozen=True):
    """How far one stream of an outage, a window or monitoring gaps reaches.

    customers: None for all. first, until: seconds since 1970; no frame, window or gap of the stream begins before or
    ends after, whichever of its entries count. positions: of its entries. windows: the maintenance that it names.
    """

    stream: str
    services: frozenset[str]
    customers: frozenset[str] | None
    first: int
    until: int
    positions: frozenset[int]
    windows: frozenset[str]

    def hits(self, customer: str, service: str) -> bool:
        """Return whether a customer (`*`: anybody) may have lost a service."""
        return service in self.services and (
            self.customers is None or customer == ANYBODY or customer in self.customers
        )

    def meets(self, begin: int, end: int) -> bool:
        """Return whether something of it may lie in `[begin, end)`, in seconds since 1970."""
        return self.first < end and begin < self.until


def reaches(reader: Reader, first: str, until: str, up_to: int) -> Iterator[tuple[Reach, list[Stored]]]:
    """Yield each stream with first <= id < until as far as a position: its reach, and its rows."""
    for stream, found in groupby(reader.rows_by_stream(first, until, up_to), key=itemgetter(1)):
        rows = list(found)
        yield reach(stream, rows), rows


def reach(stream: str, rows: list[Stored]) -> Reach:
    """Return the reach of a stream. rows: all of it up to a position."""
    facts = [(name, decode(state)) for _, _, _, name, state in rows]
    corrections = [fact["data"] for name, fact in facts if name in CORRECTIONS]
    set_aside = {c["version"] for c in corrections}
    standing = {name for _, _, version, name, _ in rows if version not in set_aside}
    said = [fact["data"] for _, fact in facts] + [c["data"] for c in corrections if "data" in c]
    times = [fact["time"] for name, fact in facts if name in TIMED] + [c["time"] for c in corrections if "time" in c]
    for data in said:
        times += [x[edge] for x in (data, *(data.get("spans") or ())) for edge in ("from", "until") if x.get(edge)]
    instants = [seconds(instant(text)) for text in times]
    customers = [data["customers"] for data in said if "customers" in data]
    kind, _, reference = stream.partition(":")
    return Reach(
        stream,
        frozenset([reference] if kind == "monitoring" else (s for data in said for s in data.get("services") or ())),
        frozenset(c for named in customers for c in named) if customers and "all" not in customers else None,
        min(instants, default=-FAR),
        FAR if not instants or (kind == "outage" and _may_be_open(standing, said)) else max(instants),
        frozenset(row[0] for row in rows),
        frozenset(data["maintenance"] for data in said if data.get("maintenance")),
    )


def _may_be_open(standing: set[str], said: list[dict[str, Any]]) -> bool:
    """Whether an outage may last for as long as nobody says more. standing: names of what was never corrected. R25"""
    if "TimeframeDetermined" in standing:
        return False
    is_seen_open = any("source" in data and not data.get("until") for data in said)
    return is_seen_open or not standing & {"EvidenceRecorded", "ServiceRestored"}
