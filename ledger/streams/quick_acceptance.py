"""Which streams of cases are beyond doubt: every entry valid, in canonical bytes, and accepted.

The structs that entries are read into are made of the events' own schemas, and where a fact leads is asked of the
streams' own rules, once for each state and kind of fact. Whatever is not plain to see is left to the plain rules, so
that nothing passes here that they would refuse.
"""

from __future__ import annotations

import re
import struct
from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal, cast

import msgspec

from ledger.clock import CLOCK_TOLERANCE
from ledger.entry import Entry
from ledger.events import EVENTS, Event
from ledger.instants import instant, stamp
from ledger.streams import cases
from ledger.streams.acceptance import refusal_at
from ledger.values import REFERENCE

Stored = tuple[int, str, int, str, bytes]  # position, stream, version, name, state

_MOST_KNOWN = 100_000  # identifiers that are remembered
_LONGEST = 120  # characters of an identifier
_Z = ord("Z")
_TIME, _RECORDED_AT, _TAIL = slice(9, 29), slice(47, 67), slice(67, None)
_IDENTIFIER = re.compile(REFERENCE)
_STREAM = re.compile(rf"[a-z]{{1,20}}:[A-Za-z0-9][A-Za-z0-9._/-]{{0,{_LONGEST - 1}}}")  # quicker than with its dots
_CUT = re.compile(rb'"(?:,"actor":"[^"\\]*")?(,"commandid":"([\x21\x23-\x5b\x5d-\x7e]{1,400})"),"data":')
is_command_id = re.compile(r"[\x21-\x7e]{1,400}").fullmatch
# A state begins with two instants: what was seen in a valid one up to an hour, or past it, is right in any other.
_pieces = struct.Struct("23s6s32s6s").unpack_from
_HOURS = [f"{hour:02d}:".encode() for hour in range(24)]
_SEEN: set[bytes] = set()
_ZONED = Annotated[datetime, msgspec.Meta(tz=True)]
_STRICT: dict[str, Any] = {"forbid_unknown_fields": True, "omit_defaults": True, "kw_only": True, "gc": False}
_DOUBTS = (msgspec.MsgspecError, KeyError, ValueError, TypeError, AttributeError, struct.error)
_encode = msgspec.json.Encoder(enc_hook=attrgetter("text")).encode


def is_stream(stream: str) -> bool:
    """Return whether a text has the form of a stream id."""
    return _STREAM.fullmatch(stream) is not None and ".." not in stream


def accepts(rows: Sequence[Stored], command_ids: list[tuple[int, str]]) -> bool:
    """Return whether all entries of a stream are beyond doubt; False says nothing.

    rows: in order of version. When True, each is valid and in canonical bytes, versions have no gap and go with
    positions, and each was accepted after those before it; command ids have been added with their positions. No stream
    is beyond doubt of which an entry was corrected or withdrawn.
    """
    expected, before, last, here = 0, 0, b"", _BEGIN
    facts: list[tuple[bytes, int, Any]] = []
    try:
        known = _known_of(rows[0][1])
        for position, _, version, name, state in rows:
            expected += 1
            if version != expected or position <= before:
                return False
            before = position
            fact, command_id = _said(known[name], state)
            if command_id:
                command_ids.append((position, command_id))
            at = state[_TIME]
            if at > state[_RECORDED_AT] and _is_too_early(state):
                return False
            if at >= last:
                facts.append((at, version, fact))
                here, last = here[fact], at
            else:
                insort(facts, (at, version, fact))
                here = _led(facts)
    except _DOUBTS:
        return False
    return True


class Following:
    """Streams of cases whose entries go by in order of position.

    doubtful: those that began here and are not beyond doubt, each with the position of the first entry that is not;
    such a stream is followed no further, and nothing is said of it. Beside what `accepts` cannot tell, it is one with a
    fact that happened before two others ahead of it. earlier: streams that began before, each with the position of its
    first entry here; nothing is said of them either. command_ids: with their positions, of entries beyond doubt.
    """

    def __init__(self) -> None:
        self.doubtful: dict[str, int] = {}
        self.earlier: dict[str, int] = {}
        self.command_ids: list[tuple[int, str]] = []
        self._heads: dict[str, _Head | None] = {}

    def followed(self) -> Iterable[str]:
        """Return the streams that are beyond doubt."""
        return (stream for stream, head in self._heads.items() if head is not None)

    def follow(self, rows: Iterable[tuple[int, str, int, str, bytes, Any]], recorded_at: Iterable[bytes]) -> None:
        """Let more entries go by: position, stream, version, name, state, and anything."""
        heads, seen, said_early = self._heads, _SEEN.issuperset, _is_too_early
        for (position, stream, version, name, state, _), recorded in zip(rows, recorded_at, strict=True):
            head = heads.get(stream, _UNSEEN)
            if head is None:
                continue
            try:
                expected, known, here, last, fact_before, before, last_before = (
                    head if head is not _UNSEEN else (1, _known_of(stream), _BEGIN, b"", None, _BEGIN, b"")
                )
                if version != expected:
                    raise ValueError(version)
                reading, fact, command_id = known[name], None, ""
                if seen(_pieces(state)):
                    fact = reading.tails.get(state[_TAIL])
                if fact is None:
                    fact, command_id = _said(reading, state)
                at = state[_TIME]
                if at > recorded and said_early(state):
                    raise ValueError(at)
                if at >= last:
                    heads[stream] = (version + 1, known, here[fact], at, fact, here, last)
                elif at >= last_before:
                    between = before[fact]
                    heads[stream] = (version + 1, known, between[fact_before], last, fact_before, between, at)
                else:
                    raise ValueError(at)
                if command_id:
                    self.command_ids.append((position, command_id))
            except _DOUBTS:
                heads[stream] = None
                (self.earlier if head is _UNSEEN and version != 1 else self.doubtful)[stream] = position


def _known_of(stream: str) -> dict[str, _Reading]:
    """Return how the entries of a stream are read, by name; KeyError when it is no stream of a case."""
    if not is_stream(stream):
        raise KeyError(stream)
    return _known()[stream.partition(":")[0]]


def _said(reading: _Reading, state: bytes) -> tuple[Any, str]:
    """Return the fact that a state says, and its command id or nothing; raises one of _DOUBTS when it may not be."""
    if _SEEN.issuperset(_pieces(state)):
        tail, command_id = _cut(state)
        fact = reading.tails.get(tail)
        if fact is not None:
            return fact, command_id
    return _read(reading, state)


def _read(reading: _Reading, state: bytes) -> tuple[Any, str]:
    """Return what `_said` does, of a state with parts that were not seen before, and remember these."""
    found = reading.decode(state)
    is_canonical = _encode(found) == state and state[_TIME][-1] == _Z == state[_RECORDED_AT][-1]
    if not is_canonical or not (found.actor is None or IDENTIFIERS[found.actor]):
        raise ValueError(state)
    fact = reading.name if reading.what is None else (reading.name, reading.what(found))
    tail, command_id = _cut(state)
    if found.commandid is not None and not is_command_id(found.commandid):
        raise ValueError(state)
    if len(reading.tails) < _MOST_KNOWN and command_id == (found.commandid or ""):
        reading.tails[tail] = fact
    _see(*_pieces(state))
    return fact, found.commandid or ""


def _see(hour: bytes, past: bytes, recorded_hour: bytes, recorded_past: bytes) -> None:
    """Remember the pieces of two instants that are valid: all hours of a day at once."""
    if len(_SEEN) > _MOST_KNOWN:
        _SEEN.clear()
    for piece in (hour, recorded_hour):
        if piece not in _SEEN:
            _SEEN.update(piece[:-3] + other for other in _HOURS)
    _SEEN.update((past, recorded_past))


def _cut(state: bytes) -> tuple[bytes, str]:
    """Return what follows the two instants but for a plain command id, and that id; empty when there is none."""
    tail = state[_TAIL]
    found = _CUT.match(tail)
    if found is None:
        return tail, ""
    begin, end = found.span(1)
    return tail[:begin] + tail[end:], found[2].decode()


def _is_too_early(state: bytes) -> bool:
    """Return whether a fact was recorded long before it happened."""
    at, recorded_at = (datetime.fromisoformat(state[x].decode()) for x in (_TIME, _RECORDED_AT))
    return at - recorded_at > CLOCK_TOLERANCE


class Identifiers(dict[str, bool]):
    """Whether texts are identifiers, remembered for those that come again."""

    def __missing__(self, text: str) -> bool:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        found = self[text] = len(text) <= _LONGEST and _IDENTIFIER.fullmatch(text) is not None
        return found


IDENTIFIERS = Identifiers()


# Where a fact leads


class _Place(dict[Any, "_Place"]):
    """A state of a case, and where each fact leads from it; KeyError for one that is refused."""

    def __init__(self, state: cases.State) -> None:
        self._state = state

    def __missing__(self, fact: Any) -> _Place:
        name, fields = (fact, {}) if isinstance(fact, str) else (fact[0], {"what": fact[1]})
        event = EVENTS[name].model_construct(**fields)
        nowhere = cast(Any, None)  # rules that looked at anything else would fail on it
        entry = Entry(nowhere, nowhere, nowhere, nowhere, nowhere, event)
        if refusal_at(cases, self._state, entry):
            raise KeyError(fact)
        found = self[fact] = _place(cases.evolve(self._state, entry))
        return found


_place = cache(_Place)
_BEGIN = _place(cases.State())
# The version to come, how entries are read; where a case stands, since when, by which fact; where it stood before, and
# since when.
_Head = tuple[int, dict[str, "_Reading"], _Place, bytes, Any, _Place, bytes]
_UNSEEN: _Head = (0, {}, _BEGIN, b"", None, _BEGIN, b"")


def _led(facts: list[tuple[bytes, int, Any]]) -> _Place:
    """Return where facts in order of time lead from the beginning; KeyError when one of them is refused."""
    here = _BEGIN
    for _, _, fact in facts:
        here = here[fact]
    return here


# How an entry is read


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the entries of one name are read. what: the field that decides beside the name.

    tails: what was seen to follow the two instants in valid states without a command id, and what it says.
    """

    name: str
    decode: Callable[[bytes], Any]
    what: Callable[[Any], str] | None = None
    tails: dict[bytes, Any] = field(default_factory=dict)


class _Unknown(Exception):
    """No type stands for a schema."""


@cache
def _known() -> dict[str, dict[str, _Reading]]:
    """Return how the entries of each kind of stream are read, by name."""
    return {kind: {m.__name__: _reading(m) for m in models} for kind, models in cases.KINDS.items()}


@cache
def _reading(model: type[Event]) -> _Reading:
    model.model_rebuild()
    try:
        data = _type(model.__pydantic_core_schema__)
    except _Unknown:
        return _Reading(model.__name__, _never)
    head: list[Any] = [("time", _ZONED), ("recordedtime", _ZONED), ("actor", str | None, None)]
    whole = msgspec.defstruct("State", [*head, ("commandid", str | None, None), ("data", data)], **_STRICT)
    decides = attrgetter("data.what") if "what" in model.model_fields else None
    return _Reading(model.__name__, msgspec.json.Decoder(whole, dec_hook=_made).decode, decides)


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
