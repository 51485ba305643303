"""Entries as stored events and back: a registered name and canonical JSON, never a class path, never an import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, Notification, StoredEvent
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from ledger.entry import Entry, event_bytes, problem
from ledger.errors import LedgerBroken
from ledger.events import EVENTS
from ledger.instants import instant, stamp

Row = tuple[int, str, int, str, bytes]  # position, stream, version, name, state


@dataclass(frozen=True)
class StoredEntry(StoredEvent):
    """A stored event with what the ledger's own table keeps beside it; position 0 is not yet recorded."""

    command_id: str | None = None
    position: int = 0


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


def checked(rows: Iterable[tuple[int, str, int, str, bytes]]) -> Iterator[Entry]:
    """Yield the entries that rows hold, all of a ledger in order; LedgerBroken where one is missing or unreadable."""
    versions: dict[str, int] = {}
    for last, row in enumerate(rows):
        position, stream, version = row[:3]
        if position != last + 1:
            raise _broken(f"entry {last + 1}", f"it is missing: entry {position} follows entry {last}")
        if version != versions.get(stream, 0) + 1:
            raise _broken(
                f"entry {position}", f"it is version {version} of {stream}, after version {versions.get(stream, 0)}"
            )
        versions[stream] = version
        yield from_state(*row)


def _broken(where: str, what: str) -> LedgerBroken:
    return LedgerBroken(where, what, "restore the ledger from a copy; something else than this program wrote to it")


def to_state(entry: Entry) -> bytes:
    """Return the canonical bytes that are stored for an entry."""
    head = {"time": stamp(entry.time), "recordedtime": stamp(entry.recorded_at)}
    if entry.actor is not None:
        head["actor"] = entry.actor
    if entry.command_id is not None:
        head["commandid"] = entry.command_id
    return b'%b,"data":%b}' % (to_json(head)[:-1], event_bytes(entry.event))


def from_state(position: int, stream: str, version: int, name: str, state: bytes) -> Entry:
    """Return the entry that a row holds, or raise LedgerBroken with its position."""
    model = EVENTS.get(name)
    if model is None:
        raise _unreadable(position, stream, version, f"{name!r} is no event of this program")
    try:
        found: dict[str, Any] = from_json(state, allow_inf_nan=False)
        return Entry(
            position,
            stream,
            version,
            instant(found["time"]),
            instant(found["recordedtime"]),
            model.model_validate(found["data"], by_alias=True, by_name=False),
            found.get("actor"),
            found.get("commandid"),
        )
    except ValidationError as error:
        raise _unreadable(position, stream, version, problem(error, f"{name} data")) from None
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(position, stream, version, f"cannot be read: {error}") from None


def recorded_at(position: int, stream: str, version: int, name: str, state: bytes) -> datetime:
    """Return when the entry that a row holds was recorded, or raise LedgerBroken with its position."""
    try:
        return instant(from_json(state)["recordedtime"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(position, stream, version, f"cannot be read: {error}") from None


def _unreadable(position: int, stream: str, version: int, what: str) -> LedgerBroken:
    todo = "restore the ledger from a copy; export what can still be read"
    return LedgerBroken(f"entry {position} ({stream}/{version})", what, todo)
