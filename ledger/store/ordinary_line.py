"""Lines of a stream file that are ordinary, read in a third of the time.

What is ordinary is what nothing can be wrong with: names that stand once, texts without escapes, parts that have their
form. Any other line is left to `from_line`, which says of each what it is or what is wrong with it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder

from ledger.entry import Fact, Line, parsed_event
from ledger.errors import BadLine
from ledger.events import Event
from ledger.instants import instant, stamp
from ledger.streams.identifiers import IDENTIFIERS, is_command_id, is_stream
from ledger.text import MAX_DEPTH, strict_json

_REMEMBERED = 4096  # of a kind: those that come again come soon
_MOST_BYTES = 4000  # of data that are remembered
_QUOTES = 4 * 5 - 2  # in a line with nothing but what it must have, outside its data


class _Parts(Struct, forbid_unknown_fields=True, gc=False):
    specversion: Literal["1.0"]
    type: str
    subject: str
    time: str
    data: Raw
    id: str | None = None
    source: str | None = None
    recordedtime: str | None = None
    sequence: str | None = None
    actor: str | None = None
    commandid: str | None = None
    datacontenttype: Literal["application/json"] | None = None


class Ordinary(Struct, frozen=True, gc=False):
    """An ordinary line: what it says, and the JSON of its data as it stands there."""

    line: Line
    data: bytes
    _time: str

    @property
    def happened_at(self) -> str:
        """The fact's time as `stamp` writes it."""
        at = self._time
        return at if len(at) == 20 and at.isupper() else stamp(self.line.fact.time)


_parts = Decoder(_Parts).decode
_is_stream = lru_cache(_REMEMBERED)(is_stream)
_recorded_at = lru_cache(_REMEMBERED)(instant)


def ordinary(raw: bytes, number: int) -> Ordinary | None:
    """Return what an ordinary line says, exactly as `from_line` does; None for any other line."""
    try:
        parts = _parts(raw)
        data = bytes(parts.data)
        if len(data) > _MOST_BYTES or not _is_once(parts, raw, data) or not _fits(parts):
            return None
        event, at = event_of(parts.type, data), instant(parts.time)
        fact = Fact(parts.subject, at, event, parts.actor, parts.commandid, number)
        recorded_at = None if parts.recordedtime is None else _recorded_at(parts.recordedtime)
        sequence = None if parts.sequence is None else int(parts.sequence)
        return Ordinary(Line(fact, recorded_at, sequence), data, parts.time)
    except (MsgspecError, BadLine, ValueError, RecursionError):
        return None


def _is_once(parts: _Parts, raw: bytes, data: bytes) -> bool:
    """Return whether no text of a line has an escape and no name outside its data stands twice, by counting quotes."""
    further = (
        (parts.id is not None)
        + (parts.source is not None)
        + (parts.recordedtime is not None)
        + (parts.sequence is not None)
        + (parts.actor is not None)
        + (parts.commandid is not None)
        + (parts.datacontenttype is not None)
    )
    return b"\\" not in raw and raw.count(b'"') == _QUOTES + 4 * further + data.count(b'"')


def _fits(parts: _Parts) -> bool:
    actor, command_id, sequence = parts.actor, parts.commandid, parts.sequence
    return (
        _is_stream(parts.subject)
        and parts.id != ""
        and parts.source != ""
        and (actor is None or IDENTIFIERS[actor])
        and (command_id is None or is_command_id(command_id) is not None)
        and (sequence is None or (sequence.isascii() and sequence.isdigit() and len(sequence) < 19))
    )


@lru_cache(_REMEMBERED)
def event_of(name: str, data: bytes) -> Event:
    """Return the event that data say, the same one for the same data; BadLine or ValueError when they say none."""
    text = data.decode()
    if text.count("[") + text.count("{") >= MAX_DEPTH:
        raise ValueError(text)
    return parsed_event(name, strict_json(text), "")
