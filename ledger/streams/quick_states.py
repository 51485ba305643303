"""How the states of cases' entries are read quickly: what in them is valid, in canonical bytes, and what they say.

The structs that states are read into are made of the events' own schemas. What was seen in a valid state - the pieces
of its two instants, and what follows them - is not looked at twice.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec

from ledger.events import Event
from ledger.instants import HAPPENED_IN, RECORDED_IN, TAIL, instant, stamp
from ledger.streams import cases
from ledger.streams.identifiers import IDENTIFIERS, is_command_id, is_stream

_MOST_KNOWN = 100_000  # pieces of states that are remembered
_Z = ord("Z")
_CUT = re.compile(rb'"(?:,"actor":"[^"\\]*")?(,"commandid":"([\x21\x23-\x5b\x5d-\x7e]{1,400})"),"data":')
# A state begins with two instants: what was seen in a valid one up to an hour, or past it, is right in any other.
pieces = struct.Struct("23s6s32s6s").unpack_from
_HOURS = [f"{hour:02d}:".encode() for hour in range(24)]
SEEN: set[bytes] = set()
_ZONED = Annotated[datetime, msgspec.Meta(tz=True)]
_STRICT: dict[str, Any] = {"forbid_unknown_fields": True, "omit_defaults": True, "kw_only": True, "gc": False}
DOUBTS = (msgspec.MsgspecError, KeyError, ValueError, TypeError, AttributeError, struct.error)
_encode = msgspec.json.Encoder(enc_hook=attrgetter("text")).encode


@dataclass(frozen=True, slots=True)
class Reading:
    """How the entries of one name are read. what: the field that decides beside the name.

    tails: what was seen to follow the two instants in valid states without a command id, and what it says.
    """

    name: str
    decode: Callable[[bytes], Any]
    what: Callable[[Any], str] | None = None
    tails: dict[bytes, Any] = field(default_factory=dict)


def readings_of(stream: str) -> dict[str, Reading]:
    """Return how the entries of a stream are read, by name; KeyError when it is no stream of a case."""
    if not is_stream(stream):
        raise KeyError(stream)
    return _known()[stream.partition(":")[0]]


def said(reading: Reading, state: bytes) -> tuple[Any, str]:
    """Return the fact that a state says, and its command id or nothing; raises one of DOUBTS when it may not be."""
    if SEEN.issuperset(pieces(state)):
        tail, command_id = _cut(state)
        fact = reading.tails.get(tail)
        if fact is not None:
            return fact, command_id
    return _read(reading, state)


def _read(reading: Reading, state: bytes) -> tuple[Any, str]:
    """Return what `said` does, of a state with parts that were not seen before, and remember these."""
    found = reading.decode(state)
    is_canonical = _encode(found) == state and state[HAPPENED_IN][-1] == _Z == state[RECORDED_IN][-1]
    if not is_canonical or not (found.actor is None or IDENTIFIERS[found.actor]):
        raise ValueError(state)
    fact = reading.name if reading.what is None else (reading.name, reading.what(found))
    tail, command_id = _cut(state)
    if found.commandid is not None and not is_command_id(found.commandid):
        raise ValueError(state)
    if len(reading.tails) < _MOST_KNOWN and command_id == (found.commandid or ""):
        reading.tails[tail] = fact
    _see(*pieces(state))
    return fact, found.commandid or ""


def _see(hour: bytes, past: bytes, recorded_hour: bytes, recorded_past: bytes) -> None:
    """Remember the pieces of two instants that are valid: all hours of a day at once."""
    if len(SEEN) > _MOST_KNOWN:
        SEEN.clear()
    for piece in (hour, recorded_hour):
        if piece not in SEEN:
            SEEN.update(piece[:-3] + other for other in _HOURS)
    SEEN.update((past, recorded_past))


def _cut(state: bytes) -> tuple[bytes, str]:
    """Return what follows the two instants but for a plain command id, and that id; empty when there is none."""
    tail = state[TAIL]
    found = _CUT.match(tail)
    if found is None:
        return tail, ""
    begin, end = found.span(1)
    return tail[:begin] + tail[end:], found[2].decode()


# The structs


class _Unknown(Exception):
    """No type stands for a schema."""


@cache
def _known() -> dict[str, dict[str, Reading]]:
    """Return how the entries of each kind of stream are read, by name."""
    return {kind: {m.__name__: _reading(m) for m in models} for kind, models in cases.KINDS.items()}


@cache
def _reading(model: type[Event]) -> Reading:
    model.model_rebuild()
    try:
        data = _type(model.__pydantic_core_schema__)
    except _Unknown:
        return Reading(model.__name__, _never)
    head: list[Any] = [("time", _ZONED), ("recordedtime", _ZONED), ("actor", str | None, None)]
    whole = msgspec.defstruct("State", [*head, ("commandid", str | None, None), ("data", data)], **_STRICT)
    decides = attrgetter("data.what") if "what" in model.model_fields else None
    return Reading(model.__name__, msgspec.json.Decoder(whole, dec_hook=_made).decode, decides)


def _never(state: bytes) -> Any:
    raise msgspec.ValidationError


def _made(kind: type, given: Any) -> Any:
    return kind(given)


def _type(schema: Any) -> Any:
    """Return the type that takes exactly what a schema does, of what is in canonical bytes. Raises _Unknown."""
    match schema:
        case {"type": "nullable", "schema": inner}:
            return _type(inner) | None
        case {"type": "literal", "expected": [*expected]} if all(isinstance(x, str) for x in expected):
            return Literal[tuple(expected)]
        case {"type": "function-before", "function": {"function": made}, "schema": {"type": "bool"}}:
            if made(True) is True and made(False) is False:
                return bool
        case {"type": "function-before", "function": {"function": made}, "schema": {"type": "datetime"}}:
            if made is instant:
                return _checked(str, lambda text: stamp(instant(text)))
        case {"type": "str", **found} if found.keys() <= {"pattern", "min_length", "max_length", "metadata", "strict"}:
            limits: dict[str, Any] = {k: schema[k] for k in ("min_length", "max_length") if k in found}
            if "pattern" in found:  # a `$` means the text's end, never a line feed before it
                limits["pattern"] = re.sub(r"\$$", r"\\Z", schema["pattern"])
            return Annotated[str, msgspec.Meta(**limits)]
        case {"type": "function-after", "function": {"function": check, "type": "no-info"}, "schema": inner}:
            if inner["type"] == "str":
                return _checked(_type(inner), check)
            return _struct(inner, check)
        case {"type": "model"}:
            return _struct(schema)
    raise _Unknown


def _checked(form: Any, check: Callable[[str], str]) -> type:
    """Return a class of texts that have a form and that a check leaves as they are."""

    def init(self: Any, text: str) -> None:
        if check(msgspec.convert(text, form)) != text:
            raise ValueError(text)
        self.text = text

    return type("Checked", (), {"__init__": init})


def _struct(schema: Any, check: Callable[[Any], Any] | None = None) -> Any:
    """Return the struct with the fields of a model, and its check of the whole, which finds there what it looks at."""
    match schema:
        case {"type": "model", "schema": {"type": "model-fields", "fields": given}, "custom_init": False, **more}:
            if "post_init" in more:
                raise _Unknown
        case _:
            raise _Unknown

    def post_init(self: Any) -> None:
        if check is not None and check(self) is not self:
            raise ValueError(self)

    fields = [_field(name, one) for name, one in given.items()]
    namespace = {} if check is None else {"__post_init__": post_init}
    return msgspec.defstruct(schema["cls"].__name__, fields, namespace=namespace, **_STRICT)


def _field(name: str, given: Any) -> Any:
    """Return a field of a struct; one whose schema no type stands for may only be left out."""
    schema = given["schema"]
    has_default = schema["type"] == "default"
    try:
        if given.keys() & {"validation_alias", "serialization_alias"} or schema.keys() & {"default_factory"}:
            raise _Unknown
        made = _type(schema["schema"] if has_default else schema)
    except _Unknown:
        if "default" not in schema:
            raise
        made = Literal["nothing but leaving it out"]
    return (name, made, schema["default"]) if has_default else (name, made)
