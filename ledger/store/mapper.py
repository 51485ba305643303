"""Entries as stored rows and back: a registered name and canonical JSON, never a class path, never an import."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from pydantic import ValidationError
from pydantic_core import from_json

from ledger.entry import Entry, event_bytes, problem
from ledger.errors import LedgerBroken, damaged
from ledger.events import EVENTS
from ledger.instants import instant, stamp
from ledger.text import clean
from ledger.values import REFERENCE, STREAM_PATTERN

_is_stream = lru_cache(4096)(re.compile(STREAM_PATTERN).fullmatch)  # the same ones come again and again
_is_identifier = lru_cache(4096)(re.compile(REFERENCE).fullmatch)
_is_command_id = re.compile(r"[\x21-\x7e]+").fullmatch

_encode = msgspec.json.Encoder(enc_hook=stamp).encode  # the hook: for datetimes of another make

Row = tuple[int, str, int, str, bytes]  # position, stream, version, name, state


class _State(msgspec.Struct, omit_defaults=True, gc=False):
    """What is stored of an entry: instants in UTC are written as `stamp` writes them."""

    time: datetime
    recordedtime: datetime
    actor: str | None = None
    commandid: str | None = None
    data: msgspec.Raw = msgspec.Raw()


def checked(rows: Iterable[Row]) -> Iterator[Entry]:
    """Yield the entries that rows hold, all of a ledger in order; LedgerBroken where one is missing or unreadable."""
    versions: dict[str, int] = {}
    for last, row in enumerate(rows):
        position, stream, version = row[:3]
        if position != last + 1:
            raise damaged(f"entry {last + 1}", f"it is missing: entry {position} follows entry {last}")
        if version != versions.get(stream, 0) + 1:
            raise damaged(
                f"entry {position}", f"it is version {version} of {stream}, after version {versions.get(stream, 0)}"
            )
        versions[stream] = version
        yield from_state(*row)


def of_streams(rows: Iterable[Row]) -> Iterator[Entry]:
    """Yield the entries that rows hold, those of a stream together in order of version; LedgerBroken as `checked`."""
    last, before, at = "", 0, 0
    for row in rows:
        position, stream, version = row[:3]
        before, at = (before, at) if stream == last else (0, 0)
        if version != before + 1:
            raise damaged(f"entry {position}", f"it is version {version} of {stream}, after version {before}")
        if position <= at:
            raise damaged(f"entry {position}", f"version {version} of {stream} stands before version {before}")
        last, before, at = stream, version, position
        yield from_state(*row)


def to_state(entry: Entry) -> bytes:
    """Return the canonical bytes that are stored for an entry."""
    data = msgspec.Raw(event_bytes(entry.event))
    return _encode(_State(entry.time, entry.recorded_at, entry.actor, entry.command_id, data))


def from_state(position: int, stream: str, version: int, name: str, state: bytes) -> Entry:
    """Return the entry that a row holds, or raise LedgerBroken with its position."""
    model = EVENTS.get(name)
    if model is None:
        raise _unreadable(position, stream, version, f"{name!r} is no event of this program")
    try:
        if not isinstance(state, bytes):
            raise TypeError("its state is no bytes")
        found: dict[str, Any] = from_json(state, allow_inf_nan=False)
        actor, command_id = found.get("actor"), found.get("commandid")
        if not _is_stream(stream):
            raise ValueError(f"{clean(stream)[:60]!r} is no stream")
        if actor is not None and not _is_identifier(actor):
            raise ValueError(f"actor: {clean(actor)[:60]!r} is no identifier")
        if command_id is not None and not _is_command_id(command_id):
            raise ValueError(f"commandid: {clean(command_id)[:60]!r} is no command id")
        return Entry(
            position,
            stream,
            version,
            instant(found["time"]),
            instant(found["recordedtime"]),
            model.model_validate(found["data"], by_alias=True, by_name=False),
            actor,
            command_id,
        )
    except ValidationError as error:
        raise _unreadable(position, stream, version, problem(error, f"{name} data")) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(position, stream, version, f"cannot be read: {error}") from None


def _unreadable(position: int, stream: str, version: int, what: str) -> LedgerBroken:
    todo = "restore the ledger from a copy; export what can still be read"
    return LedgerBroken(f"entry {position} ({stream}/{version})", what, todo)
