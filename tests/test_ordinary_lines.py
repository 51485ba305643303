"""What is read the quick way is what the plain way reads: every line, every id, every pseudonym, every stored byte."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from unittest.mock import patch

from eventsourcing.persistence import JSONTranscoder
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ledger.entry import Entry, event_data, from_line
from ledger.errors import BadLine
from ledger.exchange import native
from ledger.exchange.batch import Batch
from ledger.instants import stamp
from ledger.privacy.keys import Key
from ledger.privacy.pseudonyms import ANY_NUMBER, PHONE, Pseudonyms, names_nobody
from ledger.store.mapper import to_state
from ledger.store.ordinary_line import ordinary
from ledger.store.stored import EntryMapper, StoredEntries, StoredEntry, columns
from ledger.text import canonical_json

REPORT = {"customer": "acme", "service": "licence", "channel": "phone"}
USUAL: dict[str, list[Any]] = {
    "specversion": ["1.0"],
    "type": ["IncidentReported", "ResponseGiven", "IncidentResolved", "IncidentReopened"],
    "subject": ["incident:INC-1", "incident:INC-2"],
    "time": ["2026-03-27T14:00:00Z", "2026-03-27T15:00:00+01:00", "2026-03-27t14:00:00.5z"],
    "data": [REPORT, REPORT | {"summary": "ligger nede på Ås"}, {"responder": "human"}, {}, {"reason": "down again"}],
}
MORE: dict[str, list[Any]] = {
    "id": ["incident:INC-1/1", "x"],
    "source": ["sla-ledger", "skranke på Ås"],
    "recordedtime": ["2026-03-27T14:00:05Z"],
    "sequence": ["1", "17"],
    "actor": ["desk.oslo", "kari"],
    "commandid": ["row/1", "desk/00000001/1", "0047/22334455", '"', "0049/1/2/3/4/5/6"],
    "datacontenttype": ["application/json"],
    "dataschema": ["https://example.org/x"],
}
ODD: list[Any] = ["", "1.1", "æ", "a b", "x" * 130, None, 1, True, 1e3, [], {}, "incident:a..b", "a\n", "\ud800", "-1"]
ODD += [
    "2026-02-30T12:00:00Z",
    "2026-03-27T14:00:00",
    "2026-W01-1T14:00:00Z",
    "0" * 19,
    "kari@firma.example",
    "Unheard",
]
PERSONS = ["ring 22 33 44 55", "kari@firma.example", "+47 22334455", "02233-4455", "555-123.4567"]
FITTING = {"IncidentReported": 0, "ResponseGiven": 2, "IncidentResolved": 3, "IncidentReopened": 4}


@st.composite
def lines(draw: Any) -> bytes:
    """A line of a stream file, most often a valid one, now and then with something wrong or written otherwise."""
    found = {name: draw(st.sampled_from(values)) for name, values in USUAL.items()}
    found["data"] = USUAL["data"][FITTING[found["type"]]]
    for name in draw(st.lists(st.sampled_from(sorted(MORE)), max_size=4, unique=True)):
        found[name] = draw(st.sampled_from(MORE[name]))
    odd = draw(st.integers(0, 9))
    if odd == 0:
        found[draw(st.sampled_from([*USUAL, *MORE, "more"]))] = draw(st.sampled_from(ODD))
    if odd == 1:
        found["data"] = draw(st.sampled_from([*USUAL["data"], {"reason": draw(st.sampled_from([*PERSONS, *ODD]))}]))
    if odd == 2:
        del found[draw(st.sampled_from(sorted(found)))]
    items = draw(st.permutations(sorted(found.items()))) if draw(st.booleans()) else list(found.items())
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = json.dumps(dict(items), ensure_ascii=draw(st.booleans()) or odd < 2, separators=separators)
    raw = text.encode("utf-8", "surrogatepass")
    if odd == 3:  # a name that stands twice
        name = draw(st.sampled_from([*USUAL, *MORE]))
        again = json.dumps({name: found.get(name, "x")}, separators=separators).encode()
        raw = again[:-1] + separators[0].encode() + raw[1:]
    if odd == 4:
        at = draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + draw(st.binary(max_size=2)) + raw[at + draw(st.integers(0, 2)) :]
    return raw


LINE = b'{"specversion":"1.0","type":"IncidentResolved","subject":"incident:INC-1",'
LINE += b'"time":"2026-03-27T14:00:00Z","data":%b}'
DEEP = LINE.replace(b"IncidentResolved", b"EntryCorrected") % (
    b'{"version":1,"reason":"x","time":"2026-03-27T14:00:00Z","data":' + b'{"a":' * 31 + b"1" + b"}" * 32
)


@given(lines())
@example(LINE % b"{}")
@example(LINE % b'{"a":1,"a":1}')
@example(LINE % b'{"a":NaN}')
@example(DEEP)
@example(LINE.replace(b"{", b'{"id":"",', 1) % b"{}")
@example(LINE.replace(b"{", b'{"source":"",', 1) % b"{}")
@example(LINE.replace(b"{", b'{"type":"IncidentResolved",', 1) % b"{}")
@example(LINE.replace(b"{", b'{"data":{},', 1) % b"{}")
@example(LINE.replace(b"{", b'{"id":null,', 1) % b"{}")
@example(LINE.replace(b"INC-1", b"INC-\xff") % b"{}")
@example(LINE.replace(b"{", b'{"id":"\xed\xa0\x80",', 1) % b"{}")
@example(b"\xef\xbb\xbf" + LINE % b"{}")
def test_an_ordinary_line_says_what_the_plain_way_reads(raw: bytes) -> None:
    found = ordinary(raw, 7)

    if found is not None:
        line = from_line(raw.decode(), "history.jsonl", 7)
        assert found.line == line
        assert found.happened_at == stamp(line.fact.time)
        assert type(found.line.fact.time) is datetime


@given(lines())
def test_most_that_the_plain_way_reads_is_ordinary(raw: bytes) -> None:
    assume(b"\\" not in raw and b"dataschema" not in raw and b"null" not in raw)
    try:
        text = raw.decode()
        from_line(text, "history.jsonl", 7)
    except (BadLine, UnicodeDecodeError):
        return

    assert ordinary(raw, 7) is not None


def brought_in(path: Path) -> tuple[Batch, Pseudonyms]:
    pseudonyms = Pseudonyms(lambda: Key("", "pseudonyms", b"k" * 32))
    return native.read(str(path), pseudonyms), pseudonyms


@given(st.lists(lines(), max_size=6))
def test_a_file_gives_the_same_facts_ids_pseudonyms_and_refusals_either_way(raw: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        path.write_bytes(b"\n".join(raw) + b"\n")

        quick, masked = brought_in(path)
        with patch("ledger.exchange.native.ordinary", return_value=None):
            plain, masked_plainly = brought_in(path)

    assert quick.facts == plain.facts
    assert quick.bad == plain.bad
    assert quick.rows == plain.rows
    assert masked.replaced == masked_plainly.replaced
    assert [quick.raw(fact.line) for fact in quick.facts] == [plain.raw(fact.line) for fact in plain.facts]


PIECES = ["0", "00", "1", "22", "333", "4444", "12345", "123456", "12345678", "ext", "x", "a", '"', "\\", "\n"]
PIECES += [*" -./()+@:,;æş²２\u00a0"]
numbers = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
looks = numbers | st.from_regex(ANY_NUMBER) | st.from_regex(PHONE)


@given(looks)
@example("02233-4455")
@example("\n02233-4455")
@example("0049/171/2345678")
@example("555-123.4567")
def test_where_it_is_plain_that_nobody_is_named_nothing_would_be_masked(text: str) -> None:
    pseudonyms = Pseudonyms(lambda: Key("", "pseudonyms", b"k" * 32))

    if any(names_nobody(json.dumps({"reason": text}, ensure_ascii=x).encode()) for x in (True, False)):
        assert pseudonyms.masked(text, free=True) == text
        assert pseudonyms.masked(text) == text
    if " " not in text and "\n" not in text and names_nobody(text.encode(), free=False):
        assert pseudonyms.masked(text) == text


seconds = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0))
command_ids = st.none() | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)


@given(seconds, seconds, st.none() | st.just("desk.oslo"), command_ids)
def test_what_is_stored_is_canonical(
    time: datetime, recorded_at: datetime, actor: str | None, command_id: str | None
) -> None:
    event = from_line((LINE % b"{}").decode(), "", 1).fact.event
    head = {"time": stamp(time), "recordedtime": stamp(recorded_at)}
    head |= {k: v for k, v in (("actor", actor), ("commandid", command_id)) if v is not None}

    entry = Entry(1, "incident:INC-1", 1, time, recorded_at, event, actor, command_id)

    state = to_state(entry)

    mapper = EntryMapper(JSONTranscoder())
    stored = cast(StoredEntry, mapper.to_stored_event(entry))
    assert [*columns([stored], 5)] == [*columns(StoredEntries(mapper, [entry]), 5)] == [stored.row(5)]
    assert state.decode() == f'{canonical_json(head)[:-1]},"data":{event_data(event)}}}'
