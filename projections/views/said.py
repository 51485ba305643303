"""Entries of outages, windows and monitoring gaps, read from where the store keeps them for the rules to judge.

They are what `ledger.entry` makes of the same rows, as far as the rules look at them, without the models that check
every field. What does not fit, or is hidden at the instant, is left to those: NotKept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal

import msgspec

from ledger.instants import instant
from ledger.store.reading import Stored
from projections.views.tables import NotKept

NAMES = {
    *("OutageReported", "EvidenceRecorded", "ServiceRestored", "TimeframeDetermined", "OutageAttributed"),
    *("MaintenanceScheduled", "MaintenanceCommunicated", "MaintenanceRescheduled", "MaintenanceStarted"),
    *("MaintenanceCompleted", "MaintenanceCancelled", "MonitoringGapRecorded"),
}


class Edges(msgspec.Struct, rename={"from_": "from"}):
    """From when until when."""

    from_: Any
    until: Any

    def __post_init__(self) -> None:
        self.from_, self.until = instant(self.from_), instant(self.until)


class Event(msgspec.Struct, rename={"from_": "from"}):
    """What an entry says, whichever it is."""

    services: tuple[str, ...] = ()
    customers: tuple[str, ...] | Literal["all"] = "all"
    degree: Literal["unavailable", "degraded"] = "unavailable"
    source: Literal["event_monitoring", "infrastructure_log", "client_report"] | None = None
    from_: Any = None
    until: Any = None
    spans: tuple[Edges, ...] | None = None
    evidence: tuple[int, ...] = ()
    cause: str = ""
    maintenance: str | None = None
    category: str = ""
    audience: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.from_ = None if self.from_ is None else instant(self.from_)
        self.until = None if self.until is None else instant(self.until)

    @property
    def frames(self) -> tuple[Any, ...]:
        """The spans in the order given; one when `from` and `until` were."""
        return self.spans or (self,)


class _Correction(msgspec.Struct):
    version: int
    time: str | None = None
    data: Event | None = None


class _State(msgspec.Struct):
    time: str
    recordedtime: str
    data: msgspec.Raw


class Said(msgspec.Struct, frozen=True):
    """An entry, as the rules see it."""

    position: int
    stream: str
    time: datetime
    recorded_at: datetime
    name: str
    event: Event
    corrections: tuple[int, ...] = ()

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions of this entry and of what corrected it."""
        return (self.position, *self.corrections)


class Heard:
    """A history of such entries: the streams in order of their first entries, corrections applied."""

    def __init__(self, streams: dict[str, list[Said]]) -> None:
        self.streams = streams

    @property
    def entries(self) -> list[Said]:
        """All entries."""
        return [x for found in self.streams.values() for x in found]

    def all(self, as_of: datetime, kind: str) -> Iterator[tuple[str, list[Said]]]:
        """Yield every stream of a kind with what it amounts to; nothing of it lies after `as_of`."""
        return ((s, found) for s, found in self.streams.items() if s.startswith(f"{kind}:") and found)


def heard(rows: Iterable[Stored], as_of: datetime) -> Heard:
    """Return what rows say, those of a stream together in order of version. NotKept when the models have to look."""
    try:
        found = [(own[0][0], stream, _effective(own)) for stream, own in _by_stream(rows)]
    except (msgspec.MsgspecError, ValueError):
        raise NotKept from None
    if any(x.time > as_of for _, _, entries in found for x in entries):
        raise NotKept
    return Heard({stream: entries for _, stream, entries in sorted(found, key=lambda f: f[0])})


def _by_stream(rows: Iterable[Stored]) -> Iterator[tuple[str, list[Stored]]]:
    for stream, found in groupby(rows, key=lambda row: row[1]):
        own = list(found)
        if [row[2] for row in own] != [*range(1, len(own) + 1)]:
            raise NotKept
        yield stream, own


_state = msgspec.json.Decoder(_State).decode
_event = msgspec.json.Decoder(Event).decode
_correction = msgspec.json.Decoder(_Correction).decode


def _effective(rows: list[Stored]) -> list[Said]:
    """Return the entries of a stream as its corrections leave them, in order of time, then position."""
    found: dict[int, Said] = {}
    for position, stream, version, name, text in rows:
        state = _state(text)
        if name in NAMES:
            at, recorded_at = instant(state.time), instant(state.recordedtime)
            found[version] = Said(position, stream, at, recorded_at, name, _event(state.data))
            continue
        if name not in ("EntryWithdrawn", "EntryCorrected"):
            raise NotKept
        correction = _correction(state.data)
        if name == "EntryWithdrawn":
            found.pop(correction.version, None)
        elif correction.version in found:
            if correction.data is None or correction.time is None:
                raise NotKept
            old, at = found[correction.version], instant(correction.time)
            corrections = (*old.corrections, position)
            found[correction.version] = msgspec.structs.replace(
                old, time=at, event=correction.data, corrections=corrections
            )
    return sorted(found.values(), key=attrgetter("time", "position"))
