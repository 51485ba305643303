"""Reading and writing quickly gives what the slow and obvious way gives, refusals included."""

from __future__ import annotations

import gc
import json
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger import events as e
from ledger.book import Ledger, create
from ledger.entry import Entry, Fact, event_data
from ledger.errors import LedgerBroken, Refused
from ledger.instants import instant, stamp
from ledger.memory import without_cycles
from ledger.store.mapper import from_state, to_state
from ledger.store.sqlite import CHUNK
from ledger.text import LARGEST_EXACT, MAX_DEPTH, strict_json
from ledger.values import REFERENCE

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
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
@example([(LINE.index("9007"), 16, "9007199254740993")])
@example([(LINE.index("9007"), 16, "1e999")])
@example([(LINE.index("9007"), 16, "NaN")])
@example([(LINE.index("\\ud83d"), 6, "")])
@example([(1, 0, '"type":1,')])
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


IDENTIFIERS = st.from_regex(f"^{REFERENCE}$", fullmatch=True).filter(lambda name: len(name) <= 120)
COMMAND_IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)


@given(st.none() | IDENTIFIERS, st.none() | COMMAND_IDS, st.text(min_size=1, max_size=2000))
def test_what_is_stored_is_compact_json_in_a_fixed_order(actor: str | None, command_id: str | None, text: str) -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    event = e.PriorityAssigned(priority="high", reason=text)
    entry = Entry(1, "incident:INC-1", 1, at, at, event, actor, command_id)

    head = {"time": stamp(at), "recordedtime": stamp(at), "actor": actor, "commandid": command_id}
    written = {k: v for k, v in head.items() if v is not None} | {"data": json.loads(event_data(event))}

    assert to_state(entry) == json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode()
    assert from_state(1, "incident:INC-1", 1, entry.name, to_state(entry)) == entry


def fact(stream: str, minutes: int, command_id: str | None = None) -> Fact:
    opening = e.IncidentReported(customer="acme", service="licence", channel="phone")
    event = e.ResponseGiven(responder="human") if minutes else opening
    return Fact(stream, NOON + timedelta(minutes=minutes), event, None, command_id)


def test_a_fact_that_is_recorded_follows_what_another_writer_recorded_a_moment_before(tmp_path: Path) -> None:
    """It is judged with the writers' lock held: there is no conflict, and no position or version is taken twice."""
    create(tmp_path / "ledger.db", facts=[fact("incident:INC-1", 0)])
    with closing(Ledger(tmp_path / "ledger.db")) as one, closing(Ledger(tmp_path / "ledger.db")) as other:
        for minutes in range(1, 9):
            one.record(fact("incident:INC-1", minutes), fact(f"incident:A-{minutes}", 0))
            other.record(fact("incident:INC-1", minutes), fact(f"incident:B-{minutes}", 0))

        assert [x.version for x in one.stream("incident:INC-1")] == list(range(1, 18))
        assert [x.position for x in other.entries()] == list(range(1, 34))


def test_a_refused_fact_leaves_the_next_writer_free(tmp_path: Path) -> None:
    create(tmp_path / "ledger.db", facts=[fact("incident:INC-1", 0)])
    with closing(Ledger(tmp_path / "ledger.db")) as one, closing(Ledger(tmp_path / "ledger.db")) as other:
        with pytest.raises(Refused):
            one.record(fact("incident:INC-1", 0))

        assert [x.position for x in other.record(fact("incident:INC-1", 1))] == [2]


def test_what_is_there_already_comes_first_and_each_entry_once(tmp_path: Path) -> None:
    create(tmp_path / "ledger.db", facts=[fact("incident:INC-1", 0, "row/1")])
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        again, new = fact("incident:INC-1", 0, "row/1"), fact("incident:INC-1", 1, "row/2")

        entries = ledger.record(new, again, new)

        assert [x.position for x in entries] == [1, 2]
        assert entries == list(ledger.entries())
        assert ledger.record() == []


def test_streams_and_ids_are_looked_up_beyond_one_chunk(tmp_path: Path) -> None:
    """Judging more streams and ids than one question holds gives what judging them one by one gives."""
    count = 2 * CHUNK + 1
    opened = [fact(f"incident:INC-{n}", 0, f"row/{n}") for n in range(count)]
    create(tmp_path / "ledger.db", facts=opened)
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        followed = [fact(f"incident:INC-{n}", 1, f"next/{n}") for n in range(count)]

        outcome = ledger.judge([*opened, *followed])

        assert [position for _, position in outcome.already] == list(range(1, count + 1))
        assert [(x.position, x.version) for x in outcome.added] == [(count + n, 2) for n in range(1, count + 1)]


def test_a_damaged_file_is_a_broken_ledger_to_a_recorder_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    create(path, facts=[fact(f"incident:INC-{n}", 0) for n in range(500)])
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))

    with pytest.raises(LedgerBroken, match="damaged"), closing(Ledger(path)) as ledger:
        ledger.record(fact("incident:INC-3", 1))


def test_memory_is_searched_for_cycles_again_whatever_happened() -> None:
    with without_cycles():
        assert not gc.isenabled()
    with pytest.raises(ValueError), without_cycles():
        int("no number")

    assert gc.isenabled()
