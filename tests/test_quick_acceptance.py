"""What is beyond doubt on the quick path is accepted by the plain rules too, and what is ordinary is beyond doubt."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ledger.seal.by_stream import readmitted
from ledger.store.reading import Stored
from ledger.streams import cases
from ledger.streams.identifiers import is_stream
from ledger.streams.quick_acceptance import accepts
from ledger.values import StreamId
from tests.benchmarks import history

TIMES = [f"2026-02-0{day}T12:0{minute}:00Z" for day in (1, 2) for minute in (0, 4, 9)]
ODD_TIMES = ["2026-02-30T12:00:00Z", "2026-02-01T24:00:00Z", "2026-02-01T12:00:60Z", "2026-02-01T12:00:00+00:00"]
ODD_TIMES += ["2026-02-01T12:00:00.5Z", "2026-02-01t12:00:00z", "2026-02-01T12:00:00", "2026-02-01T13:00:00+01:00"]
ODD_TIMES += ["9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "2026-02-01 12:00:00Z"]
IDENTIFIERS = ["acme", "a/b-c.d", "desk.oslo"]
ODD_IDENTIFIERS = ["a b", "a..b", "a\n", "-a", "", "x" * 120, "x" * 121, "æ", 1, None, True]
TEXTS = ["", "down", "ligger nede på Ås", 'a "quoted" word', "x" * 500, "x" * 501, "x" * 2001, "\t", "\x7f", "\u2028"]
SEALED = {"key": "a2" * 8, "sealed": "QUJD" * 12}
FIELDS: dict[str, list[Any]] = {
    "customer": IDENTIFIERS,
    "service": IDENTIFIERS,
    "source": [*IDENTIFIERS, "jira"],
    "channel": ["phone", "web", "fax"],
    "kind": ["support", "feature", "nothing"],
    "remote_assistance": [True, False, None, 1],
    "summary": TEXTS,
    "sealed_summary": [
        SEALED,
        SEALED | {"sealed": "A" * 41},
        SEALED | {"sealed": "B" * 39 + "="},
        {"key": "a" * 16},
        "x",
    ],
    "reason": TEXTS,
    "priority": ["high", "urgent"],
    "responder": ["human", "automatic"],
    "what": ["remote_access", "details", "more"],
    "wanted_for": [*TIMES, *ODD_TIMES],
}
OPTIONAL = {"sealed_summary", "remote_assistance", "summary", "source", "wanted_for"}
NAMES = sorted({m.__name__ for models in cases.KINDS.values() for m in models})
NEEDED = {m.__name__: [*m.model_fields] for models in cases.KINDS.values() for m in models}


HARMLESS = ["PriorityAssigned", "ResponseGiven", "TroubleshootingStarted"]
OPENING = {"incident": "IncidentReported", "request": "ServiceRequested"}


@st.composite
def states(draw: Any, name: str, odd: bool) -> bytes:
    """A state as the store might keep it; odd: now and then something is wrong with it."""

    def rarely(once_in: int) -> bool:
        return odd and draw(st.integers(1, once_in)) == 1

    head: dict[str, Any] = {}
    for key in ("time", "recordedtime"):
        head[key] = draw(st.sampled_from(ODD_TIMES if rarely(20) else TIMES))
    if not rarely(10):
        head["recordedtime"] = "2026-02-03T00:00:00Z"
    if draw(st.booleans()):
        head["actor"] = draw(st.sampled_from(ODD_IDENTIFIERS if rarely(10) else IDENTIFIERS))
    if draw(st.integers(0, 3)) == 0:
        head["commandid"] = draw(st.sampled_from(["", "a b", "é", "x" * 400, "x" * 401, 7] if rarely(5) else ["row:1"]))
    data = {}
    for field in NEEDED.get(name, []):
        if field not in OPTIONAL or draw(st.integers(0, 2)) == 0:
            fitting: dict[str, list[Any]] = {
                "remote_assistance": [True],
                "wanted_for": TIMES,
                "reason": TEXTS[1:4],
                "summary": TEXTS[:4],
            }
            usual = fitting.get(field, FIELDS[field][:2])
            data[field] = draw(st.sampled_from([*FIELDS[field], *ODD_IDENTIFIERS] if rarely(15) else usual))
    if rarely(30):
        data["more"] = 1
    return json.dumps({**head, "data": data}, ensure_ascii=rarely(20), separators=(",", ":")).encode()


@st.composite
def streams(draw: Any) -> list[Stored]:
    """A stream of a case, often one that is in order, now and then with a byte changed."""
    kind, odd = draw(st.sampled_from(["incident", "request"])), draw(st.booleans())
    usual = [m.__name__ for m in cases.KINDS[kind]][1:]
    usual += [name for name in HARMLESS if name in usual] * 4 + ["AccessRequested"] * 3
    following = draw(
        st.lists(st.sampled_from([*usual, *NAMES, "EntryWithdrawn", "Unheard"] if odd else usual), max_size=6)
    )
    rows: list[Stored] = []
    position = version = 0
    for name in [OPENING[kind], *following]:
        position += draw(st.sampled_from([1, 2, 3]))
        version += 2 if odd and draw(st.integers(0, 30)) == 0 else 1
        state = draw(states(name, odd))
        if not rows and draw(st.integers(0, 3)):
            state = state.replace(state[9:29], TIMES[0].encode(), 1)
        if odd and draw(st.integers(0, 8)) == 0:
            at = draw(st.integers(0, len(state) - 1))
            state = state[:at] + draw(st.binary(max_size=2)) + state[at + draw(st.integers(0, 2)) :]
        if odd and draw(st.integers(0, 20)) == 0:
            state = state.replace(b'"data":{', b'"data":{"what":"details",')
        rows.append((position, f"{kind}:C-1", version, name, state))
    return rows


def is_plainly_accepted(rows: list[Stored]) -> bool:
    with patch("ledger.seal.by_stream.accepts", return_value=False):
        return not readmitted(rows).findings.listed


REPORTED = b'{"time":"2026-02-01T12:00:00Z","recordedtime":"2026-02-01T12:00:00Z","data":%b}'
REPORT = b'{"customer":"acme","service":"licence","channel":"web"}'

SUMMARIES = (
    b'"channel":"web","summary":"x","sealed_summary":{"key":"a2a2a2a2a2a2a2a2","sealed":"' + b"QUJD" * 12 + b'"}'
)
BOTH = REPORT.replace(b'"channel":"web"', SUMMARIES)


@given(streams())
@example([(1, "incident:C-1", 1, "IncidentReported", REPORTED % BOTH)])
@example([(1, "incident:C-1", 1, "IncidentReported", REPORTED % REPORT)])
@example([(1, "incident:C-1", 1, "IncidentReported", REPORTED % REPORT.replace(b"acme", b"acme\\n"))])
@example([(1, "incident:C-1\n", 1, "IncidentReported", REPORTED % REPORT)])
@example(
    [(1, "incident:C-1", 1, "IncidentReported", REPORTED % REPORT.replace(b'"acme"', b'"acme","customer":"acme"'))]
)
@example([(1, "incident:C-1", 1, "IncidentReported", REPORTED.replace(b"12:00:00Z", b"12:00:00z") % REPORT)])
def test_nothing_passes_the_quick_path_that_the_plain_rules_refuse(rows: list[Stored]) -> None:
    if accepts(rows, []):
        assert is_plainly_accepted(rows)


@given(streams())
def test_what_the_plain_rules_accept_is_beyond_doubt_unless_it_was_corrected(rows: list[Stored]) -> None:
    is_ordinary = all(name in NAMES and b"\\" not in state for _, _, _, name, state in rows)

    if is_ordinary and is_plainly_accepted(rows):
        assert accepts(rows, [])


@given(st.one_of(st.from_regex(r"[a-z]{1,21}:[A-Za-z0-9./_-]{0,122}"), st.text("a:.-/_A é\n", max_size=12)))
@example("incident:" + "x" * 120)
@example("incident:" + "x" * 121)
def test_a_stream_id_has_the_form_that_facts_must_have(stream: str) -> None:
    try:
        TypeAdapter(StreamId).validate_python(stream, strict=True)
    except ValidationError:
        assert not is_stream(stream)
    else:
        assert is_stream(stream)


def test_command_ids_come_with_their_positions() -> None:
    state = REPORTED.replace(b',"data"', b',"commandid":"row:1","data"') % REPORT
    found: list[tuple[int, str]] = []

    assert accepts([(7, "incident:C-1", 1, "IncidentReported", state)], found)

    assert found == [(7, "row:1")]


def test_a_sealed_summary_is_beyond_doubt_and_one_beside_a_plain_one_is_not() -> None:
    sealed = BOTH.replace(b'"summary":"x",', b"")

    assert accepts([(1, "incident:C-1", 1, "IncidentReported", REPORTED % sealed)], [])
    assert not accepts([(1, "incident:C-1", 1, "IncidentReported", REPORTED % BOTH)], [])
    assert not is_plainly_accepted([(1, "incident:C-1", 1, "IncidentReported", REPORTED % BOTH)])


def test_most_of_a_history_is_beyond_doubt() -> None:
    by_stream: dict[str, list[Stored]] = {}
    for row in history.entries(3000):
        if row[1].startswith(("incident:", "request:")):
            by_stream.setdefault(row[1], []).append(row[:5])

    doubtful = [rows for rows in by_stream.values() if not accepts(rows, [])]

    assert len(doubtful) < len(by_stream) / 50
    assert all(any(name.startswith("Entry") for _, _, _, name, _ in rows) for rows in doubtful)
