"""Entries as stored events and back: a registered name and canonical JSON, never a class path, never an import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, Notification, StoredEvent
from pydantic import ValidationError
from pydantic_core import from_json

from ledger.entry import Entry, event_data, problem
from ledger.errors import LedgerBroken
from ledger.events import EVENTS
from ledger.text import canonical_json
from ledger.values import instant, stamp


@dataclass(frozen=True)
class StoredEntry(StoredEvent):
    """A stored event with what the ledger's own table keeps beside it; position 0 is not yet recorded."""

    command_id: str | None = None
    position: int = 0


class EntryMapper(Mapper[str]):
    """Maps an Entry to topic = the event's name and state = its envelope and data as canonical JSON."""

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """Return the entry as it is stored."""
        return stored(cast(Entry, domain_event))

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


def stored(entry: Entry) -> StoredEntry:
    """Return the entry as it is stored."""
    return StoredEntry(entry.stream, entry.version, entry.name, to_state(entry), entry.command_id, entry.position)


def to_state(entry: Entry) -> bytes:
    """Return the canonical bytes that are stored for an entry."""
    head = {"time": stamp(entry.time), "recordedtime": stamp(entry.recorded_at)}
    if entry.actor is not None:
        head["actor"] = entry.actor
    if entry.command_id is not None:
        head["commandid"] = entry.command_id
    return f'{canonical_json(head)[:-1]},"data":{event_data(entry.event)}}}'.encode()


def from_state(position: int, stream: str, version: int, name: str, state: bytes) -> Entry:
    """Return the entry that a row holds, or raise LedgerBroken with its position."""
    where = f"entry {position} ({stream}/{version})"
    todo = "restore the ledger from a copy; export what can still be read"
    model = EVENTS.get(name)
    if model is None:
        raise LedgerBroken(where, f"{name!r} is no event of this program", todo)
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
        raise LedgerBroken(where, problem(error, f"{name} data"), todo) from None
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerBroken(where, f"cannot be read: {error}", todo) from None
