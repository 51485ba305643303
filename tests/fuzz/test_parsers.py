"""Each parser takes any bytes: it gives what it promises or says no in its own words, and in time."""

# ruff: noqa: PT017  reading and refusing are both right, and each has to keep its own promise

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.entry import from_line, to_line
from ledger.errors import BadLine, LedgerBroken, LedgerError
from ledger.exchange import servicenow, upptime
from ledger.instants import day, instant, stamp
from ledger.readings import READING_IDS, Readings
from ledger.store.address import shown
from ledger.store.mapper import from_state, to_state
from ledger.store.stream_file import decoded, read
from ledger.terms import built_in_document, parse
from ledger.text import clean, identifier, strict_json
from tests.hostile import anything, fuzzed, unsafe_in

STORIES = sorted((Path(__file__).resolve().parents[2] / "fixtures" / "streams").glob("*.jsonl"))
LINES = [line.encode() for story in STORIES[:6] for line in story.read_text(encoding="utf-8").splitlines()]
LINES = [line for line in LINES if len(line) < 2000]
ENTRIES = [x for x in read(str(STORIES[0])) if x.name == "IncidentReported"]
STATES = [to_state(x) for x in ENTRIES]
TOKENS = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b",",
    b":",
    b"null",
    b"1e999",
    b"NaN",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"\x1b",
    b"-1",
    b"=",
    b".",
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything | st.text(max_size=20),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(anything, x, max_size=4),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn, whole: Callable[[], list[bytes]]) -> bytes:
    """One of these texts with some of its bytes changed, cut out, doubled or replaced by what a parser looks for."""
    found = bytearray(draw(st.sampled_from(whole())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(found)))
        match draw(st.integers(0, 3)):
            case 0:
                found[at : at + 1] = draw(st.binary(max_size=2))
            case 1:
                del found[at : at + draw(st.integers(1, 30))]
            case 2:
                found[at:at] = draw(st.sampled_from(TOKENS))
            case _:
                found[at:at] = found[at : at + draw(st.integers(1, 60))]
    return bytes(found)


@fuzzed(5)
@given(st.binary(max_size=200) | changed(lambda: LINES) | ANY_JSON.map(lambda v: json.dumps(v).encode()))
def test_lines_of_stream_files(raw: bytes) -> None:
    try:
        line = from_line(decoded(raw, "file", 7), "file", 7)
    except BadLine as error:
        assert error.where == "file, line 7"
        assert unsafe_in(str(error)) == set()
        assert len(str(error)) < 600
    else:
        entry = line.entry(1, 1, line.recorded_at or line.fact.time)
        assert from_line(to_line(entry), "file", 1).fact.event == line.fact.event


@st.composite
def fields(draw: st.DrawFn) -> bytes:
    """A good line with one attribute or field of its data replaced, added or left out."""
    line: dict[str, Any] = json.loads(draw(st.sampled_from(LINES)))
    place = draw(st.sampled_from([line, line["data"]]))
    key = draw(
        st.sampled_from(sorted(place) or ["data"]) | st.sampled_from(["_type_", "_data_", "sequence", "commandid", ""])
    )
    if draw(st.booleans()):
        place[key] = draw(ANY_JSON)
    else:
        place.pop(key, None)
    return json.dumps(line).encode()


@fuzzed(5)
@given(st.lists(fields() | st.deferred(lambda: st.sampled_from(LINES)) | changed(lambda: LINES), max_size=4))
def test_stream_files(tmp_path: Path, lines: list[bytes]) -> None:
    file = tmp_path / "history.jsonl"
    file.write_bytes(b"\n".join(lines))

    try:
        entries = read(str(file))
    except LedgerError as error:
        assert error.where.startswith(f"{file}, line ")
        assert len(str(error).splitlines()) == 3
    else:
        assert len(entries) <= len(lines) * 5


@fuzzed(5)
@given(ANY_JSON)
@example({"a": [10**400]})
def test_strict_json_gives_back_what_it_takes(value: Any) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        try:
            found = strict_json(text)
        except ValueError as error:
            assert len(str(error)) < 300
        else:
            assert found == value or value != value
            assert json.dumps(found) == json.dumps(value)


@fuzzed(5)
@given(st.binary(max_size=300) | changed(lambda: STATES), anything, st.integers())
def test_stored_states(state: bytes, stream: str, version: int) -> None:
    try:
        entry = from_state(5, stream, version, "IncidentReported", state)
    except LedgerBroken as error:
        assert error.exit_status == 4
    else:
        assert clean(entry.stream) == entry.stream


DOCUMENT = built_in_document().encode()


@fuzzed(5)
@given(
    changed(lambda: [DOCUMENT]) | st.binary(max_size=200) | st.sampled_from([b"a=" * 50, b"[" * 999, b"a.b=1\n" * 50])
)
def test_documents_of_terms(raw: bytes) -> None:
    try:
        parse(raw.decode("utf-8", "replace"))
    except LedgerError as error:
        assert len(str(error).splitlines()) == 3
        assert len(str(error)) < 600


TABLE = b"committed_at,site,status,commit\n2026-01-01T00:00:00Z,Portal,down,abc1\n2026-01-01T01:00:00Z,Portal,up,abc2\n"
LOG = (
    b"number,incident_state,opened_at,sys_updated_at,contact_type,location,priority\n"
    b"INC1,New,29/2/2016 01:16,29/2/2016 01:23,Phone,Location 143,3 - Moderate\n"
    b'INC1,Resolved,29/2/2016 01:16,"1/3/2016 11:29",Phone,Location 143,3 - Moderate\n'
)


@fuzzed(5)
@pytest.mark.parametrize(
    ("reader", "whole"),
    [
        (lambda path: upptime.read(path, heads=None, attribute="failure", decided_by="ops"), TABLE),
        (lambda path: servicenow.read(path, zone="Europe/Oslo"), LOG),
    ],
    ids=["upptime", "servicenow"],
)
@given(data=st.data())
def test_tables(tmp_path: Path, reader: Callable[[str], Any], whole: bytes, data: st.DataObject) -> None:
    file = tmp_path / "table.csv"
    raw = data.draw(changed(lambda: [whole]) | changed(lambda: [whole + b'"\n' * 20]) | st.binary(max_size=200))
    file.write_bytes(gzip.compress(raw) if data.draw(st.booleans()) else raw)

    try:
        batch = reader(str(file))
    except LedgerError as error:
        assert len(str(error).splitlines()) == 3
    else:
        told = {fact.line for fact in batch.facts} | {bad.line for bad in batch.bad}
        assert len(told) + batch.passed_over == batch.rows
        assert all(batch.raw(line) for line in told)


@fuzzed(5)
@given(
    changed(
        lambda: [b'{"portal": {"startTime": "2025-01-01T00:00:00Z"}, "api": {"startTime": "2025-01-01T00:00:00Z"}}']
    )
    | ANY_JSON.map(lambda v: json.dumps(v).encode())
)
def test_heads(tmp_path: Path, raw: bytes) -> None:
    heads, table = tmp_path / "heads.json", tmp_path / "table.csv"
    heads.write_bytes(raw)
    table.write_bytes(TABLE)

    try:
        upptime.read(str(table), heads=str(heads), attribute=None, decided_by=None)
    except LedgerError as error:
        assert len(str(error).splitlines()) == 3
        assert unsafe_in(str(error)) == set()


@fuzzed(5)
@given(anything | st.from_regex(r"\A\d{4}-\d\d-\d\d([Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d))?\Z"))
def test_instants_and_dates(text: str) -> None:
    for reader in (instant, day):
        try:
            found = reader(text)
        except ValueError as error:
            assert len(str(error)) < 200
        else:
            assert reader(stamp(found) if reader is instant else found.isoformat()) == found  # type: ignore[arg-type]


@fuzzed(5)
@given(
    st.sampled_from(sorted(READING_IDS)), anything | st.sampled_from(["1e9", "NaN", "999999999 d", "-1", "none", "0"])
)
def test_readings(key: str, value: str) -> None:
    try:
        Readings().but({key: value})
    except LedgerError as error:
        assert len(str(error).splitlines()) == 3
        assert unsafe_in(str(error)) == set()


@fuzzed(5)
@given(anything)
def test_labels_and_addresses(text: str) -> None:
    try:
        made = identifier(text)
    except ValueError as error:
        assert unsafe_in(str(error)) == set()
    else:
        assert identifier(made) == made
    for address in (text, f"postgresql://u:secret@{text}", f"postgresql://{text}:secret@h/d"):
        assert unsafe_in(shown(address)) == set()
