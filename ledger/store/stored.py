"""Entries as the library's stored events and back: what only writing through the library needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, Notification, StoredEvent

from ledger.entry import Entry
from ledger.seal.leaves import leaf
from ledger.store.mapper import from_state, to_state

Columns = tuple[int, str, int, str, bytes, str | None, bytes]  # a row, its command id, its leaf hash


@dataclass(frozen=True)
class StoredEntry(StoredEvent):
    """A stored event with what the ledger's own table keeps beside it; position 0 is not yet recorded."""

    command_id: str | None = None
    position: int = 0

    def row(self, position: int) -> Columns:
        """Return the columns that keep it at a position, its leaf hash last."""
        stream, version = str(self.originator_id), self.originator_version
        hashed = leaf(position, stream, version, self.topic, self.state)
        return position, stream, version, self.topic, self.state, self.command_id, hashed


class StoredEntries(Sequence[StoredEvent]):
    """Entries as they are stored, each mapped when it is asked for: a million are never held twice."""

    def __init__(self, mapper: Mapper[str], entries: Sequence[Entry]) -> None:
        self._mapper, self._entries = mapper, entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: Any) -> Any:
        found = self._entries[index]
        return StoredEntries(self._mapper, found) if isinstance(index, slice) else self._mapper.to_stored_event(found)

    def __iter__(self) -> Iterator[StoredEvent]:
        return map(self._mapper.to_stored_event, self._entries)

    def columns(self, first: int) -> Iterator[Columns]:
        """Yield what keeps each entry, from a position on, as its stored event would say it."""
        for position, x in enumerate(self._entries, first):
            state = to_state(x)
            hashed = leaf(position, x.stream, x.version, x.name, state)
            yield position, x.stream, x.version, x.name, state, x.command_id, hashed


def columns(stored_events: Sequence[StoredEvent], first: int) -> Iterator[Columns]:
    """Yield what keeps each stored event, from a position on."""
    if isinstance(stored_events, StoredEntries):
        return stored_events.columns(first)
    return (x.row(position) for position, x in enumerate(cast(Sequence[StoredEntry], stored_events), first))


class EntryMapper(Mapper[str]):
    """Maps an Entry to topic = the event's name and state = its envelope and data as canonical JSON."""

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """Return the entry as it is stored."""
        entry = cast(Entry, domain_event)
        return StoredEntry(entry.stream, entry.version, entry.name, to_state(entry), entry.command_id, entry.position)

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[str]:
        """Return the entry that a stored event holds; LedgerBroken when it holds none."""
        position = 0
        if isinstance(stored_event, StoredEntry):
            position = stored_event.position
        elif isinstance(stored_event, Notification):
            position = stored_event.id
        return from_state(
            position,
            str(stored_event.originator_id),
            stored_event.originator_version,
            stored_event.topic,
            stored_event.state,
        )
