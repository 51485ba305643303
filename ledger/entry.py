"""An entry of the ledger, the fact it was before it was recorded, and the CloudEvents line both are written as."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ledger.errors import BadLine
from ledger.events import EVENTS, EntryCorrected, Event
from ledger.instants import instant, stamp
from ledger.text import canonical_json, clean, strict_json
from ledger.values import REFERENCE, STREAM_PATTERN, CommandId, Identifier, StreamId

MAX_LINE = 16_000_000  # bytes: a document of terms whose every character is escaped still fits
_FORMS = {  # what a value should look like, for people
    f"^{REFERENCE}$": "expected letters, digits, '.', '_', '-' or '/', beginning with a letter or digit, without '..'",
    STREAM_PATTERN: "expected a stream id like incident:INC-1",
    "^maintenance:": "expected a stream id like maintenance:M-1",
    "^[A-Z]{3}$": "expected three capital letters like NOK",
    "^[0-9a-f]{64}$": "expected 64 hexadecimal digits",
    "model_type": "expected an object",
    "missing": "field required",
    "extra_forbidden": "unknown field",
}
_REQUIRED = ("specversion", "type", "subject", "time", "data")
_KNOWN = {*_REQUIRED, "id", "source", "recordedtime", "sequence", "actor", "commandid", "datacontenttype", "dataschema"}
_NEEDED = frozenset(_REQUIRED)
_LATER = ConfigDict(defer_build=True)  # when it is first needed
_STREAM: TypeAdapter[str] = TypeAdapter(StreamId, config=_LATER)
_ACTOR: TypeAdapter[str] = TypeAdapter(Identifier, config=_LATER)
_COMMAND: TypeAdapter[str] = TypeAdapter(CommandId, config=_LATER)


class Fact(Struct, frozen=True, gc=False):
    """What somebody wants recorded. `line` says where in its source it stood, 0 when nowhere."""

    stream: str
    time: datetime
    event: Event
    actor: str | None = None
    command_id: str | None = None
    line: int = 0


class Entry(Struct, frozen=True, gc=False):
    """A recorded fact. `position` counts all entries from 1, `version` those of the stream; both instants are UTC.

    `corrections` holds the positions of the entries that gave this one its present time and data.
    """

    position: int
    stream: str
    version: int
    time: datetime
    recorded_at: datetime
    event: Event
    actor: str | None = None
    command_id: str | None = None
    corrections: tuple[int, ...] = ()

    @property
    def originator_id(self) -> str:
        """The stream, under the name the event store knows it by."""
        return self.stream

    @property
    def originator_version(self) -> int:
        """The version, under the name the event store knows it by."""
        return self.version

    @property
    def name(self) -> str:
        """The event's registered name."""
        return type(self.event).__name__

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions of this entry and of what corrected it."""
        return (self.position, *self.corrections)

    @property
    def order(self) -> tuple[datetime, int]:
        """By what facts of a stream are judged: time, then position."""
        return (self.time, self.position)

    def corrected(self, position: int, time: datetime, event: Event) -> Entry:
        """Return the entry as a correction at `position` makes it read."""
        return replace(self, time=time, event=event, corrections=(*self.corrections, position))


def event_data(event: Event) -> str:
    """Return the canonical JSON of an event's data."""
    return event_bytes(event).decode()


def event_bytes(event: Event) -> bytes:
    """Return the canonical JSON of an event's data in UTF-8."""
    return event.__pydantic_serializer__.to_json(event, by_alias=True, exclude_defaults=True)


def parsed_event(name: str, data: Any, where: str) -> Event:
    """Return the event of that registered name with that data, or raise BadLine naming the field."""
    model = EVENTS.get(name)
    if model is None:
        raise BadLine(where, f"type: {clean(str(name))[:80]!r} is no event", "see all types: sla-ledger record --list")
    try:
        return cast(Event, model.__pydantic_validator__.validate_python(data, by_alias=True, by_name=False))
    except ValidationError as error:
        raise BadLine(where, problem(error, f"{name} data")) from None


def corrected_event(correction: EntryCorrected, target: Entry, where: str) -> Event:
    """Return the event that a correction puts in the place of its target's, of the same type."""
    return parsed_event(target.name, correction.data, where)


def problem(error: ValidationError, prefix: str) -> str:
    """Return the first problem of a validation error as one line: field, what is wrong, what was given."""
    errors = error.errors(include_url=False)
    first = next((x for x in errors if x["type"] == "extra_forbidden"), errors[0])
    path = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier())
    message = _FORMS.get(str(first.get("ctx", {}).get("pattern", first["type"])), first["msg"])
    message = message.removeprefix("Value error, ")
    message = message if message[1:2].isupper() else message[0].lower() + message[1:]
    given = first.get("input")
    if isinstance(given, int) and given.bit_length() > 64:  # to write it out would take the square of its digits
        given = f"{given:#x}"[:20] + "..."
    shown = "" if given is None or isinstance(given, dict | list) else f", not {clean(str(given))[:60]!r}"
    return f"{prefix}{'.' if path else ''}{path}: {message}{shown}"


def to_line(entry: Entry, source: str = "sla-ledger") -> str:
    """Return the entry as one CloudEvents 1.0 JSON object, without a line end."""
    head: dict[str, str] = {
        "specversion": "1.0",
        "id": f"{entry.stream}/{entry.version}",
        "source": source,
        "type": entry.name,
        "subject": entry.stream,
        "time": stamp(entry.time),
        "recordedtime": stamp(entry.recorded_at),
        "sequence": str(entry.position),
    }
    if entry.actor is not None:
        head["actor"] = entry.actor
    if entry.command_id is not None:
        head["commandid"] = entry.command_id
    return f'{canonical_json(head)[:-1]},"data":{event_data(entry.event)}}}'


class Line(Struct, frozen=True, gc=False):
    """A CloudEvents line that was read: the fact, and what the line says of its recording."""

    fact: Fact
    recorded_at: datetime | None
    sequence: int | None

    def entry(self, position: int, version: int, recorded_at: datetime) -> Entry:
        """Return the fact as an entry."""
        f = self.fact
        return Entry(position, f.stream, version, f.time, recorded_at, f.event, f.actor, f.command_id)


def from_line(text: str, file: str, number: int) -> Line:
    """Return what one CloudEvents line says, or raise BadLine with file, line and field."""
    where = f"{clean(file)}, line {number}"
    try:
        found = strict_json(text)
    except (ValueError, RecursionError) as error:
        what = clean(str(error)).replace("line 1 column", "column")
        raise BadLine(where, f"not strict JSON: {what}") from None
    if not isinstance(found, dict):
        raise BadLine(where, "expected one JSON object")
    if not found.keys() >= _NEEDED:
        field = next(x for x in _REQUIRED if x not in found)
        raise BadLine(where, f"{field}: missing")
    if not found.keys() <= _KNOWN:
        field = next(x for x in found if x not in _KNOWN)
        raise BadLine(where, f"{clean(field)[:60]}: unknown field")
    if found["specversion"] != "1.0":
        raise BadLine(where, "specversion: expected '1.0'")
    if found.get("datacontenttype", "application/json") != "application/json":
        raise BadLine(where, "datacontenttype: expected 'application/json'")
    for field in ("id", "source"):
        given = found.get(field)
        if given is not None and not isinstance(given, str):
            raise BadLine(where, f"{field}: expected text")
        if given == "":
            raise BadLine(where, f"{field}: expected text that is not empty")
    if not isinstance(found["type"], str):
        raise BadLine(where, "type: expected the name of an event")
    stream = _field(found, "subject", _STREAM, where)
    at = _instant(found, "time", where)
    recorded_at = _instant(found, "recordedtime", where) if found.get("recordedtime") is not None else None
    event = parsed_event(found["type"], found["data"], where)
    actor = _field(found, "actor", _ACTOR, where) if found.get("actor") is not None else None
    command_id = _field(found, "commandid", _COMMAND, where) if found.get("commandid") is not None else None
    return Line(Fact(stream, at, event, actor, command_id, number), recorded_at, _sequence(found, where))


def _field(found: dict[str, Any], name: str, adapter: TypeAdapter[str], where: str) -> str:
    try:
        return adapter.validate_python(found[name], strict=True)
    except ValidationError as error:
        raise BadLine(where, problem(error, name)) from None


def _instant(found: dict[str, Any], name: str, where: str) -> datetime:
    try:
        return instant(found[name])
    except ValueError as error:
        raise BadLine(where, f"{name}: {error}") from None


def _sequence(found: dict[str, Any], where: str) -> int | None:
    given = found.get("sequence")
    if given is None:
        return None
    if not isinstance(given, str) or not given.isascii() or not given.isdigit() or not 0 < len(given) < 19:
        raise BadLine(where, "sequence: expected a position as a decimal string")
    return int(given)
