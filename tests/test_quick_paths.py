"""Reading and writing quickly gives what the slow and obvious way gives, refusals included."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from ledger import events as e
from ledger.entry import Entry, event_data
from ledger.store.mapper import from_state, to_state
from ledger.text import LARGEST_EXACT, MAX_DEPTH, strict_json
from ledger.values import instant, stamp

LINE = (
    '{"specversion":"1.0","type":"PriorityAssigned","subject":"incident:INC-1","time":"2026-03-02T12:00:00Z",'
    '"sequence":"1","data":{"reason":"caf\\u00e9 åpen \\ud83d\\ude00","n":[1,-0,2.50,9007199254740992]}}'
)
PIECES = st.sampled_from(
    ['"', "\\", "\\ud800", "\ud800", "\\u0000", "\x00", "\x7f", "NaN", "-Infinity", "1e999", "1e5", "9007199254740993"]
    + ["[" * 33, "{", "}", "]", ",", ":", " ", "\t", "\u00a0", "\ufeff", '"type":1,', "null", "true", "01", "-", "é"]
)
MUTATIONS = st.lists(st.tuples(st.integers(0, len(LINE)), st.integers(0, 12), PIECES | st.just("")), max_size=3)


def plainly(text: str) -> Any:
    """A JSON text read with nothing but the rules, one after the other."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if twice := [key for key, times in Counter(key for key, _ in found).items() if times > 1]:
            raise ValueError(f"key {twice[0]!r} stands twice")
        return dict(found)

    def number(digits: str) -> Any:
        if not digits.lstrip("-").isdigit():
            if abs(float(digits)) == float("inf"):
                raise ValueError(f"{digits} is too large")
            return float(digits)
        if abs(int(digits)) > LARGEST_EXACT:
            raise ValueError(f"{digits[:20]} is too large to be exact")
        return int(digits)

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not a number")

    if text.startswith("\ufeff"):
        raise ValueError("begins with a byte order mark")
    value = json.loads(text, object_pairs_hook=pairs, parse_int=number, parse_float=number, parse_constant=constant)
    if any("\ud800" <= c <= "\udfff" for c in json.dumps(value, ensure_ascii=False)):
        raise ValueError("a lone surrogate is not a character")
    return value


def outcome(read: Any, text: str) -> Any:
    """What reading gives: the value with its types, or the message."""
    try:
        return repr(read(text))
    except ValueError as error:
        return str(error)


@example([(0, 0, "")])
@example([(0, 0, "\ufeff")])
@given(MUTATIONS)
def test_strict_json_reads_and_refuses_by_its_rules(mutations: list[tuple[int, int, str]]) -> None:
    text = LINE
    for at, length, piece in mutations:
        text = text[:at] + piece + text[at + length :]

    if text.count("[") + text.count("{") <= MAX_DEPTH:
        assert outcome(strict_json, text) == outcome(plainly, text)
    else:
        assert outcome(strict_json, text) in (f"more than {MAX_DEPTH} levels deep", outcome(plainly, text))


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_reads_the_same_in_each_of_its_notations(at: datetime) -> None:
    at = at.replace(microsecond=0)
    text = f"{at.year:04}-{at.month:02}-{at.day:02}T{at.hour:02}:{at.minute:02}:{at.second:02}Z"

    assert stamp(at) == text
    assert [instant(x) for x in (text, text.lower(), text[:-1] + ".9Z", text[:-1] + "+00:00")] == [at] * 4


PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)


@given(st.none() | PRINTABLE, st.none() | PRINTABLE, st.text(min_size=1, max_size=2000))
def test_what_is_stored_is_compact_json_in_a_fixed_order(actor: str | None, command_id: str | None, text: str) -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    event = e.PriorityAssigned(priority="high", reason=text)
    entry = Entry(1, "incident:INC-1", 1, at, at, event, actor, command_id)

    head = {"time": stamp(at), "recordedtime": stamp(at), "actor": actor, "commandid": command_id}
    written = {k: v for k, v in head.items() if v is not None} | {"data": json.loads(event_data(event))}

    assert to_state(entry) == json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode()
    assert from_state(1, "incident:INC-1", 1, entry.name, to_state(entry)) == entry
