"""One line is one entry: both say the same, whatever is read is refused or kept whole, and order is that of lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.entry import from_line, to_line
from ledger.errors import BadLine
from ledger.store import stream_file
from tests.oracle.acceptance import Line, instant
from tests.oracle.histories import case_histories, uptime_histories
from tests.support import entries

CASE = {"customer": "acme", "service": "licence", "channel": "phone"}
REQUIRED = ("specversion", "type", "subject", "time", "data")


def a_line(**changed: Any) -> Line:
    """A line that can be read, with some of it changed; None leaves a field out."""
    whole: Line = {
        "specversion": "1.0",
        "type": "IncidentReported",
        "subject": "incident:INC-1",
        "time": "2026-03-27T14:00:00Z",
        "data": CASE,
    }
    return {key: value for key, value in (whole | changed).items() if value is not None}


def refusal(text: str) -> BadLine:
    """How the text is refused as line 7 of facts.jsonl."""
    with pytest.raises(BadLine) as refused:
        from_line(text, "facts.jsonl", 7)
    return refused.value


def response(time: str, **more: Any) -> Line:
    return a_line(type="ResponseGiven", data={"responder": "human"}, time=time, **more)


@given(case_histories() | uptime_histories())
def test_lines_become_entries_and_the_same_lines_again(history: list[Line]) -> None:
    """An entry's line holds what its own line held, and the entry, complete."""
    known: list[Line] = [line | {"commandid": f"row/{n}"} if n % 3 else line for n, line in enumerate(history, 1)]

    found = entries(known)
    written = [to_line(entry) for entry in found]

    assert entries(json.loads(text) for text in written) == found
    for number, (text, line) in enumerate(zip(written, known, strict=True), 1):
        said = json.loads(text)
        version = found[number - 1].version
        assert said.pop("id") == f"{line['subject']}/{version}"
        assert said.pop("sequence") == str(number)
        assert said == line


@given(case_histories() | uptime_histories())
def test_a_stream_file_read_as_a_ledger_has_line_numbers_as_positions(history: list[Line]) -> None:
    found = entries(history)

    assert [entry.position for entry in found] == list(range(1, len(history) + 1))
    for subject in {line["subject"] for line in history}:
        versions = [entry.version for entry in found if entry.stream == subject]
        assert versions == list(range(1, len(versions) + 1))


def test_empty_lines_are_counted_but_add_nothing(tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text(f"\n{json.dumps(a_line())}\r\n  \n{json.dumps(response('2026-03-27T15:00:00Z'))}")

    found = stream_file.read(str(file))

    assert [(entry.position, entry.version, entry.name) for entry in found] == [
        (2, 1, "IncidentReported"),
        (4, 2, "ResponseGiven"),
    ]


@pytest.mark.parametrize("field", REQUIRED)
def test_a_required_field_that_is_missing_is_named(field: str) -> None:
    text = json.dumps(a_line(**{field: None}))

    refused = refusal(text)

    assert (refused.where, refused.what) == ("facts.jsonl, line 7", f"{field}: missing")


@pytest.mark.parametrize("field", ["id", "source", "sequence", "recordedtime", "actor", "commandid"])
def test_other_fields_may_be_left_out_or_null(field: str) -> None:
    given_null = from_line(json.dumps(a_line() | {field: None}), "facts.jsonl", 7)

    assert given_null == from_line(json.dumps(a_line()), "facts.jsonl", 7)


BAD_FIELDS: dict[str, tuple[Line, str]] = {
    "another version of CloudEvents": ({"specversion": "0.3"}, "specversion: "),
    "a version that is a number": ({"specversion": 1.0}, "specversion: "),
    "unknown field": ({"colour": "red"}, "colour: unknown field"),
    "an id that is nothing, and no text": ({"id": 0}, "id: expected text"),
    "a source that is nothing, and no text": ({"source": []}, "source: expected text"),
    "unknown type": ({"type": "IncidentCreated"}, "type: 'IncidentCreated' is no event"),
    "a type that is a class path": ({"type": "ledger.events:IncidentReported"}, "type: "),
    "a type that is only a common ground": ({"type": "CaseReported"}, "type: "),
    "a type that is no text": ({"type": ["IncidentReported"]}, "type: "),
    "a stream without kind": ({"subject": "INC-1"}, "subject: "),
    "a stream without reference": ({"subject": "incident:"}, "subject: "),
    "a stream with a blank": ({"subject": "incident:INC 1"}, "subject: "),
    "a stream with two dots": ({"subject": "incident:a/../b"}, "subject: "),
    "a stream that begins with a slash": ({"subject": "incident:/etc"}, "subject: "),
    "a stream with two colons": ({"subject": "incident:a:b"}, "subject: "),
    "a stream with a line end": ({"subject": "incident:INC-1\n"}, "subject: "),
    "a stream beyond ASCII": ({"subject": "incident:Å-1"}, "subject: "),
    "a kind in capitals": ({"subject": "Incident:INC-1"}, "subject: "),
    "a reference of 121 characters": ({"subject": f"incident:{'a' * 121}"}, "subject: "),
    "a stream that is no text": ({"subject": 5}, "subject: "),
    "naive time": ({"time": "2026-03-27T14:00:00"}, "time: "),
    "a time with a blank": ({"time": "2026-03-27 14:00:00Z"}, "time: "),
    "a time that is a number": ({"time": 1774620000}, "time: "),
    "no such hour": ({"time": "2026-03-27T24:00:00Z"}, "time: "),
    "before the first year": ({"time": "0001-01-01T00:00:00+01:00"}, "time: "),
    "naive recording": ({"recordedtime": "2026-03-27T14:00:00"}, "recordedtime: "),
    "a sequence that is a number": ({"sequence": 7}, "sequence: "),
    "a sequence below zero": ({"sequence": "-7"}, "sequence: "),
    "a sequence beyond ASCII": ({"sequence": "٧"}, "sequence: "),
    "an actor with a blank": ({"actor": "Kari Nordmann"}, "actor: "),
    "a command id with a blank": ({"commandid": "a b"}, "commandid: "),
    "an empty command id": ({"commandid": ""}, "commandid: "),
    "other content": ({"datacontenttype": "text/xml"}, "datacontenttype: "),
    "data that are a list": ({"data": [CASE]}, "IncidentReported data: "),
    "data that are text": ({"data": json.dumps(CASE)}, "IncidentReported data: "),
}


@pytest.mark.parametrize("changed, what", BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_a_bad_field_is_refused_with_file_line_and_field(changed: Line, what: str) -> None:
    refused = refusal(json.dumps(a_line(**changed)))

    assert refused.where == "facts.jsonl, line 7"
    assert refused.what.startswith(what)


def test_a_reference_of_120_characters_is_the_longest() -> None:
    longest = f"maintenance:{'a' * 120}"

    assert from_line(json.dumps(a_line(subject=longest)), "facts.jsonl", 7).fact.stream == longest


NOT_STRICT: dict[str, tuple[str, str]] = {
    "a key twice": ('{"n":1,"n":2}', "key 'n' stands twice"),
    "a key twice, once spelled out": ('{"n":1,"\\u006e":2}', "key 'n' stands twice"),
    "not a number": ("NaN", "NaN is not a number"),
    "infinity": ("Infinity", "Infinity is not a number"),
    "minus infinity": ("-Infinity", "-Infinity is not a number"),
    "a number that overflows": ("1e999", "1e999 is too large"),
    "a whole number that a float cannot hold": ("9007199254740993", "9007199254740993 is too large to be exact"),
    "a very long number": ("9" * 5000, "99999999999999999999 is too large to be exact"),
    "a lone surrogate": ('"\\ud800"', "a lone surrogate is not a character"),
    "a lone surrogate as a key": ('{"\\udc00":1}', "a lone surrogate is not a character"),
    "33 levels": ("[" * 32 + "]" * 32, "more than 32 levels deep"),
    "100,000 levels": ("[" * 100_000 + "]" * 100_000, "more than 32 levels deep"),
    "a comma too many": ("[1,]", ""),
    "a control character": ('"\x07"', ""),
    "something after it": ("1}} {", ""),
}


@pytest.mark.parametrize("value, why", NOT_STRICT.values(), ids=NOT_STRICT)
def test_what_strict_json_does_not_allow_is_refused(value: str, why: str) -> None:
    text = json.dumps(a_line(data={"customer": 0})).replace("0}", f"{value}}}")

    refused = refusal(text)

    assert refused.where == "facts.jsonl, line 7"
    assert refused.what.startswith(f"not strict JSON: {why}")


def test_a_byte_order_mark_a_list_and_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(f"{json.dumps(a_line())}\n".encode() + b'{"type":"\xe5"}\n')

    with pytest.raises(BadLine) as refused:
        stream_file.read(str(latin))

    assert (refused.value.where, refused.value.what) == (f"{latin}, line 2", "not UTF-8")
    assert refusal("\ufeff" + json.dumps(a_line())).what == "not strict JSON: begins with a byte order mark"
    assert refusal("[]").what == "expected one JSON object"


def test_a_sequence_is_the_line_number_or_is_refused() -> None:
    agreeing = [a_line(sequence="1"), response("2026-03-27T15:00:00Z"), response("2026-03-27T16:00:00Z", sequence="3")]

    assert [entry.position for entry in entries(agreeing)] == [1, 2, 3]
    with pytest.raises(BadLine) as refused:
        entries([agreeing[0], agreeing[2]])
    assert (refused.value.where, refused.value.what) == (
        "test, line 2",
        "sequence: 3 contradicts the line number 2",
    )


def test_without_recordedtime_it_is_the_time_but_never_before_the_line_ahead() -> None:
    lines = [
        a_line(time="2026-03-27T14:00:00Z"),
        response("2026-03-27T16:00:00Z"),
        response("2026-03-27T15:00:00Z"),
        response("2026-03-27T15:30:00Z", recordedtime="2026-03-27T17:00:00+01:00"),
        response("2026-03-27T15:45:00Z", recordedtime="2026-03-28T00:00:00Z"),
        response("2026-03-27T18:00:00Z"),
    ]

    recorded = [entry.recorded_at for entry in entries(lines)]

    hours = [(27, 14), (27, 16), (27, 16), (27, 16), (28, 0), (28, 0)]
    assert recorded == [datetime(2026, 3, day, hour, tzinfo=UTC) for day, hour in hours]


def test_a_repeated_command_id_adds_nothing() -> None:
    """Not even when the line says something else, or could not be accepted a second time."""
    lines = [
        a_line(commandid="row/1"),
        a_line(commandid="row/1"),
        response("2026-03-27T15:00:00Z", commandid="row/1"),
        response("2026-03-27T16:00:00Z", commandid="row/2"),
    ]

    found = entries(lines)

    assert [(entry.position, entry.version, entry.command_id) for entry in found] == [(1, 1, "row/1"), (4, 2, "row/2")]


def test_a_line_that_its_stream_refuses_is_named_with_the_reason() -> None:
    with pytest.raises(BadLine) as refused:
        entries([a_line(), a_line()])

    assert refused.value.where == "test, line 2"
    assert refused.value.what == "incident:INC-1 refuses IncidentReported: opened twice (opened_twice)"


@given(st.text(max_size=300) | st.text(alphabet='{}[]",:\\ud80fNa1e', max_size=60))
def test_any_text_is_refused_as_a_bad_line_and_never_otherwise(text: str) -> None:
    assert refusal(text).where == "facts.jsonl, line 7"


def test_instants_of_a_line_are_utc_in_whole_seconds() -> None:
    line = from_line(json.dumps(a_line(time="2026-03-27t15:30:00.999+01:30")), "facts.jsonl", 7)

    assert line.fact.time == instant("2026-03-27T14:00:00Z")
    assert line.fact.time.tzinfo is UTC
