"""A sealed summary opens for its customer, its case and its key, and nothing else; the door leaves none in plain."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.book import Ledger, create
from ledger.entry import Fact, event_data, parsed_event
from ledger.errors import Refused
from ledger.events import EntryCorrected, IncidentReported, ServiceRequested
from ledger.privacy.keys import PSEUDONYMS, Key, KeyFile, KeysUnusable, place_of
from ledger.privacy.sealing import ALTERED, FORGOTTEN, SEALED, Summaries, Unopened, opened, seal
from ledger.values import MAX_SUMMARY, SealedText
from tests.support import do, log

CASE: dict[str, Any] = {"customer": "acme", "service": "licence", "channel": "phone"}
KEY = Key("q46iohqtgmeawszb", "acme", bytes(range(32)))
OTHER = Key("q46iohqtgmeawszb", "acme", bytes(range(1, 33)))
AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
SAID = "Kari Nordmann has no sound"
REPORT = ["record", "IncidentReported", "--customer=acme", "--service=licence", "--channel=phone"]
summaries = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_SUMMARY)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A ledger that seals the summaries of acme."""
    do(tmp_path / "ledger.db", "init")
    do(tmp_path / "ledger.db", "privacy", "on", "acme")
    return tmp_path / "ledger.db"


def line(number: int, **data: Any) -> str:
    head = {"specversion": "1.0", "type": "IncidentReported", "subject": f"incident:{number}"}
    return json.dumps(head | {"time": "2026-01-05T12:00:00Z", "data": CASE | data}) + "\n"


# Sealing


@given(summaries)
def test_what_was_sealed_opens_and_fits_its_event(text: str) -> None:
    sealed = seal(KEY, "incident:1", text)

    event = parsed_event("IncidentReported", CASE | {"sealed_summary": sealed.model_dump()}, "here")

    assert isinstance(event, IncidentReported)
    assert event.sealed_summary == sealed
    assert opened(KEY, "acme", "incident:1", sealed) == text


def test_the_longest_summary_fits() -> None:
    longest = "\U0010ffff" * MAX_SUMMARY

    assert opened(KEY, "acme", "incident:1", seal(KEY, "incident:1", longest)) == longest


@given(summaries, summaries)
def test_the_same_summary_of_the_same_case_gives_the_same_bytes_and_no_other_does(text: str, other: str) -> None:
    sealed = seal(KEY, "incident:1", text)

    assert sealed == seal(KEY, "incident:1", text)
    assert (sealed == seal(KEY, "incident:1", other)) == (text == other)
    nonces = {b64decode(seal(k, s, text).sealed)[:12] for k in (KEY, OTHER) for s in ("incident:1", "incident:2")}
    assert len(nonces) == 4


@given(summaries, st.data())
def test_an_altered_byte_does_not_open(text: str, data: st.DataObject) -> None:
    box = bytearray(b64decode(seal(KEY, "incident:1", text).sealed))
    box[data.draw(st.integers(0, len(box) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(Unopened):
        opened(KEY, "acme", "incident:1", SealedText(key=KEY.id, sealed=b64encode(box).decode()))


@pytest.mark.parametrize(
    "key, customer, stream",
    [
        (KEY, "acme", "incident:2"),
        (KEY, "acme", "request:1"),
        (KEY, "beta", "incident:1"),
        (OTHER, "acme", "incident:1"),
    ],
)
def test_another_case_customer_or_key_does_not_open(key: Key, customer: str, stream: str) -> None:
    sealed = seal(KEY, "incident:1", SAID)

    with pytest.raises(Unopened):
        opened(key, customer, stream, sealed)


def test_a_key_does_not_print_its_secret() -> None:
    assert KEY.secret.hex() not in f"{KEY!r} {KEY}"
    assert repr(KEY.secret) not in repr(KEY)


# The door


@pytest.mark.parametrize(
    "event",
    [
        IncidentReported(**CASE, summary=SAID),
        ServiceRequested(**CASE, kind="support", summary=SAID),
        EntryCorrected(version=1, reason="typing error", time=AT, data=CASE | {"summary": SAID}),
    ],
)
def test_no_event_passes_the_door_with_a_plain_summary(db: Path, event: Any) -> None:
    stream = "request:1" if isinstance(event, ServiceRequested) else "incident:1"
    ledger = Ledger(db)
    if isinstance(event, EntryCorrected):
        ledger.record(Fact(stream, AT, IncidentReported(**CASE)))

    [entry] = ledger.record(Fact(stream, AT, event))

    assert SAID not in event_data(entry.event)
    assert Summaries(ledger.keys).readable(stream, json.loads(event_data(entry.event))) == json.loads(event_data(event))


def test_judging_and_committing_seals_too(db: Path) -> None:
    ledger = Ledger(db)

    ledger.commit(ledger.judge([Fact("incident:1", AT, IncidentReported(**CASE, summary=SAID))]))

    assert SAID.encode() not in db.read_bytes()
    assert b"sealed_summary" in db.read_bytes()


def test_only_the_customer_s_summaries_are_sealed(db: Path) -> None:
    do(db, *REPORT, "incident:1", "--summary", SAID)
    do(db, *[a.replace("acme", "beta") for a in REPORT], "incident:2", "--summary", "no picture")

    assert [row["data"].get("summary") for row in log(db)][1:] == [SAID, "no picture"]
    assert SAID.encode() not in db.read_bytes()
    assert b"no picture" in db.read_bytes()


def test_a_summary_of_501_characters_is_refused_in_a_correction_too(db: Path) -> None:
    do(db, *REPORT, "incident:1")
    long = json.dumps(CASE | {"summary": "x" * 501})

    do(db, *REPORT, "incident:2", "--summary", "x" * 501, code=1)
    corrected = ["record", "EntryCorrected", "incident:1", "--version=1", "--reason=r", "--time=2026-01-05T12:00:00Z"]
    done = do(db, *corrected, "--data", long, code=1)

    assert "500" in done.stderr
    assert len(log(db)) == 2


def test_a_summary_given_plain_and_sealed_is_refused_and_not_sealed_over(db: Path) -> None:
    ledger = Ledger(db)
    ledger.record(Fact("incident:1", AT, IncidentReported(**CASE)))
    both = CASE | {"summary": SAID, "sealed_summary": seal(KEY, "incident:1", SAID).model_dump()}

    with pytest.raises(Refused, match="not both"):
        ledger.record(Fact("incident:1", AT, EntryCorrected(version=1, reason="r", time=AT, data=both)))


def test_the_same_fact_twice_is_one(db: Path, tmp_path: Path) -> None:
    (tmp_path / "facts.jsonl").write_text(line(1, summary=SAID) + line(2, summary="other"))
    do(db, *REPORT, "incident:3", "--summary", SAID, "--command-id", "call-3")

    first = do(db, "--json", "import", str(tmp_path / "facts.jsonl"))
    second = do(db, "--json", "import", str(tmp_path / "facts.jsonl"))
    third = do(db, *REPORT, "incident:3", "--summary", SAID, "--command-id", "call-3")

    assert [json.loads(r.stdout)["added"] for r in (first, second)] == [2, 0]
    assert json.loads(second.stdout)["already_there"] == 2
    assert "warning" not in third.stderr
    assert len(log(db)) == 4


def test_what_was_recorded_by_hand_is_known_when_it_comes_by_import(db: Path, tmp_path: Path) -> None:
    do(db, *REPORT, "incident:1", "--summary", SAID, "--at", "2026-01-05T12:00:00Z")
    (tmp_path / "facts.jsonl").write_text(line(1, summary=SAID))

    again = do(db, "--json", "import", str(tmp_path / "facts.jsonl"))

    assert (json.loads(again.stdout)["added"], json.loads(again.stdout)["already_there"]) == (0, 1)


def test_what_came_in_plain_before_sealing_is_known_after_it(tmp_path: Path) -> None:
    db, facts = tmp_path / "ledger.db", tmp_path / "facts.jsonl"
    facts.write_text(line(1, summary=SAID) + line(2, summary=SAID))
    do(db, "init")
    do(db, "import", str(facts))
    do(db, "privacy", "on", "acme")
    facts.write_text(line(1, summary=SAID) + line(2, summary=SAID) + line(3, summary=SAID))

    again = do(db, "--json", "import", str(facts))

    assert (json.loads(again.stdout)["added"], json.loads(again.stdout)["already_there"]) == (1, 2)


def test_no_id_tells_what_a_sealed_summary_says(db: Path, tmp_path: Path) -> None:
    """An id made of the text would let a guess be confirmed when the key is long gone."""
    ids = list[str]()
    for text in (SAID, "something else"):
        copy = tmp_path / f"{len(ids)}.db"
        do(copy, "init")
        do(copy, "privacy", "on", "acme")
        (tmp_path / "facts.jsonl").write_text(line(1, summary=text))
        do(copy, "import", str(tmp_path / "facts.jsonl"))
        ids.append(log(copy)[-1]["command_id"])

    assert ids[0] == ids[1]


@pytest.mark.parametrize("there", [{"subject": "incident:2"}, {"customer": "beta"}])
def test_a_ciphertext_that_was_moved_is_not_imported_where_its_key_is(
    db: Path, tmp_path: Path, there: dict[str, str]
) -> None:
    do(db, *REPORT, "incident:1", "--summary", SAID)
    moved = json.loads(do(db, "export").stdout.splitlines()[-1])
    moved = {k: v for k, v in moved.items() if k not in ("id", "sequence", "recordedtime")}
    moved["subject"] = there.get("subject", "incident:1")
    moved["data"]["customer"] = there.get("customer", "acme")
    corrected = {"version": 1, "reason": "r", "time": moved["time"], "data": moved["data"]}
    lines = [moved, moved | {"type": "EntryCorrected", "data": corrected}]
    facts, rejects = tmp_path / "facts.jsonl", tmp_path / "rejects.jsonl"
    facts.write_text("".join(json.dumps(x) + "\n" for x in lines))

    done = do(db, "--json", "import", str(facts), "--rejects", str(rejects))

    assert json.loads(done.stdout)["rejected"] == 2
    assert all("sealed for another case" in json.loads(x)["reason"] for x in rejects.read_text().splitlines())
    assert rejects.stat().st_mode & 0o777 == 0o600
    do(tmp_path / "keyless.db", "init")
    assert json.loads(do(tmp_path / "keyless.db", "--json", "import", str(facts)).stdout)["rejected"] == 0


# Keys that are elsewhere


def refused(db: Path, customer: str = "acme") -> str:
    """What is said of a summary that was neither sealed nor let in."""
    report = [a.replace("acme", customer) for a in REPORT]
    before = len(log(db))
    said = do(db, *report, "incident:9", "--summary", "Ola has no picture", code=1).stderr
    assert len(log(db)) == before
    assert b"Ola" not in db.read_bytes()
    return said


def test_a_link_to_the_ledger_seals_as_the_ledger_does(db: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.db").symlink_to(db)

    do(tmp_path / "elsewhere" / "link.db", *REPORT, "incident:1", "--summary", SAID)

    assert SAID.encode() not in db.read_bytes()
    assert log(db, "incident:1")[0]["data"]["summary"] == SAID


def test_what_is_sealed_elsewhere_enters_nowhere_in_plain(db: Path, tmp_path: Path) -> None:
    """By another name of the same file, in a copy, and where the keys were moved away."""
    do(db, *REPORT, "incident:1", "--summary", SAID)
    (tmp_path / "hard").mkdir()
    (tmp_path / "hard" / "l.db").hardlink_to(db)
    do(db, "backup", str(tmp_path / "copy.db"))
    (tmp_path / "facts.jsonl").write_text(line(8, summary="Ola has no picture"))

    for other in (tmp_path / "hard" / "l.db", tmp_path / "copy.db"):
        assert "sealed in this ledger, under key" in refused(other)
        assert "bring the key files" in do(other, "import", str(tmp_path / "facts.jsonl"), code=1).stderr
    db.with_name("ledger.db.keys").rename(tmp_path / "away")
    assert "which is not here" in refused(db)
    assert "which is not here" in refused(db, "beta")  # who was to be sealed, only the keys tell
    do(db, *REPORT, "incident:2")
    KeyFile(place_of(str(db), {})).make(PSEUDONYMS, "ops")  # as an import does
    assert "which is not here" in refused(db, "beta")

    do(tmp_path / "copy.db", "privacy", "on", "acme")
    do(tmp_path / "copy.db", *REPORT, "incident:9", "--summary", "Ola has no picture")
    assert log(tmp_path / "copy.db", "incident:9")[0]["data"]["summary"] == "Ola has no picture"
    assert b"Ola" not in (tmp_path / "copy.db").read_bytes()


def test_a_ledger_that_stays_open_looks_through_its_entries_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path / "ledger.db")
    ledger = Ledger(tmp_path / "ledger.db")
    asked = list[int]()
    look = ledger.store.last_sealed

    def looked(customer: str, after: int) -> bytes | None:
        asked.append(after)
        return look(customer, after)

    monkeypatch.setattr(ledger.store, "last_sealed", looked)

    for number in range(4):
        ledger.record(Fact(f"incident:{number}", AT, IncidentReported(**CASE, summary=SAID)))
    sealed = IncidentReported(**CASE, sealed_summary=seal(KEY, "incident:9", SAID))
    Ledger(tmp_path / "ledger.db").record(Fact("incident:9", AT, sealed))
    for _ in range(2):
        with pytest.raises(KeysUnusable, match="under key q46iohqtgmeawszb, which is not here"):
            ledger.record(Fact("incident:10", AT, IncidentReported(**CASE, summary=SAID)))

    assert asked == [0, 0, 1, 2, 3, 5]


def test_the_keys_of_another_ledger_do_not_seal_here(db: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    do(other, "init")
    do(other, "privacy", "on", "acme")
    for ledger in (db, other):
        do(ledger, *REPORT, "incident:1", "--summary", SAID)
    for end in ("keys", "kek"):
        db.with_name(f"ledger.db.{end}").rename(tmp_path / f"right.{end}")
        other.with_name(f"other.db.{end}").rename(db.with_name(f"ledger.db.{end}"))

    assert "which is not here" in refused(db)

    for end in ("keys", "kek"):
        (tmp_path / f"right.{end}").rename(db.with_name(f"ledger.db.{end}"))
    do(db, *REPORT, "incident:9", "--summary", SAID)


def test_a_copy_with_its_keys_goes_on(db: Path, tmp_path: Path) -> None:
    do(db, *REPORT, "incident:1", "--summary", SAID)
    do(db, "backup", str(tmp_path / "copy.db"))
    for end in ("keys", "kek"):
        shutil.copy2(f"{db}.{end}", tmp_path / f"copy.db.{end}")

    do(tmp_path / "copy.db", *REPORT, "incident:9", "--summary", SAID)

    assert log(tmp_path / "copy.db", "incident:9")[0]["data"]["summary"] == SAID


def test_a_database_knows_what_was_sealed_too(emptied: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    do(emptied, "init")
    do(emptied, "privacy", "on", "acme")
    do(emptied, *REPORT, "incident:1", "--summary", SAID)
    do(emptied, *REPORT, "incident:2", "--summary", SAID)

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "empty"))

    assert "which is not here" in do(emptied, *REPORT, "incident:3", "--summary", SAID, code=1).stderr
    do(emptied, *REPORT, "incident:3")


# Looking


def test_who_has_the_key_reads_it_and_nobody_else(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    do(db, *REPORT, "incident:1", "--summary", SAID)
    shown = [do(db, *how, "incident:1").stdout for how in (["show"], ["log"], ["--json", "show"], ["--json", "log"])]
    do(db, "rebuild")
    assert SAID in do(db, "show", "incident:1").stdout  # by the views
    assert all(SAID in text for text in shown)

    monkeypatch.setenv("SLA_LEDGER_KEYS", str(tmp_path / "elsewhere.keys"))
    blind = do(db, "show", "incident:1")

    assert SEALED in blind.stdout
    assert SAID not in blind.stdout
    assert "the key file that was named is not here" in blind.stderr


def test_a_ciphertext_that_was_moved_to_another_case_is_named(db: Path) -> None:
    do(db, *REPORT, "incident:1", "--summary", SAID)
    sealed = json.loads(do(db, "export").stdout.splitlines()[-1])["data"]["sealed_summary"]

    do(db, *REPORT, "incident:2", "--sealed-summary", json.dumps(sealed))

    assert log(db, "incident:2")[0]["data"]["summary"] == ALTERED
    assert log(db, "incident:1")[0]["data"]["summary"] == SAID


@pytest.mark.parametrize("stored", [5, {}, {"key": [], "sealed": "x"}, SEALED, None])
def test_what_was_never_sealed_like_this_is_named(db: Path, stored: Any) -> None:
    """A row that another hand wrote: whatever it holds, reading it says so and goes on."""
    told = Summaries(place_of(str(db), {})).readable("incident:1", {"version": 1, "data": {"sealed_summary": stored}})

    assert told == {"version": 1, "data": {"summary": ALTERED}}
    assert Summaries(None).readable("incident:1", {"data": stored}) == {"data": stored}


def test_exports_carry_the_sealed_form_and_copies_are_exact(db: Path, tmp_path: Path) -> None:
    do(db, *REPORT, "incident:1", "--summary", SAID)
    exported, copy = tmp_path / "all.jsonl", tmp_path / "copy.db"
    exported.write_text(do(db, "export").stdout)

    do(copy, "import", "--verbatim", str(exported))
    fresh = tmp_path / "fresh.db"
    do(fresh, "init")
    do(fresh, "import", str(exported))

    assert SAID not in exported.read_text()
    assert do(copy, "export").stdout == exported.read_text()
    assert (
        json.loads(do(fresh, "export").stdout.splitlines()[-1])["data"]
        == json.loads(exported.read_text().splitlines()[-1])["data"]
    )
    assert [log(x, "incident:1")[0]["data"]["summary"] for x in (copy, fresh, exported)] == [SEALED] * 3


def test_a_stream_file_opens_with_the_ledger_s_keys(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    do(db, *REPORT, "incident:1", "--summary", SAID)
    (tmp_path / "all.jsonl").write_text(do(db, "export").stdout)

    monkeypatch.setenv("SLA_LEDGER_KEYS", f"{db}.keys")

    assert log(tmp_path / "all.jsonl", "incident:1")[0]["data"]["summary"] == SAID


def test_findings_do_not_depend_on_summaries(db: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.db"
    do(plain, "init")
    for ledger in (db, plain):
        do(ledger, *REPORT, "incident:1", "--summary", SAID)
        do(ledger, "record", "ResponseGiven", "incident:1", "--responder", "human")

    for question in (["compliance"], ["order"], ["queue"], ["explain", "incident:1"], ["commitments"]):
        assert do(db, "--json", *question).stdout == do(plain, "--json", *question).stdout, question


def test_both_stores_keep_the_same_sealed_bytes(
    db: Path, emptied: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    do(emptied, "init")
    do(emptied, "privacy", "on", "acme")
    do(emptied, *REPORT, "incident:1", "--summary", SAID)
    exported = do(emptied, "export").stdout
    assert SAID not in exported
    assert log(emptied, "incident:1")[0]["data"]["summary"] == SAID
    assert place_of(emptied, {"XDG_DATA_HOME": str(tmp_path / "data")}).keys.parent == tmp_path / "data" / "sla-ledger"

    (tmp_path / "all.jsonl").write_text(exported)
    do(tmp_path / "copy.db", "import", "--verbatim", str(tmp_path / "all.jsonl"))

    assert do(tmp_path / "copy.db", "export").stdout == exported
    do(emptied, "forget", "acme", "--yes")
    assert log(emptied, "incident:1")[0]["data"]["summary"] == FORGOTTEN
    assert do(emptied, "export").stdout == exported


def test_a_ledger_of_the_library_seals_beside_its_file(tmp_path: Path) -> None:
    """Nobody has to know of keys to be kept from recording in plain."""
    create(tmp_path / "ledger.db")
    KeyFile(place_of(str(tmp_path / "ledger.db"), {})).make("acme", "ops")

    [entry] = Ledger(tmp_path / "ledger.db").record(Fact("incident:1", AT, IncidentReported(**CASE, summary=SAID)))

    assert isinstance(entry.event, IncidentReported)
    assert entry.event.summary is None
    assert entry.event.sealed_summary is not None
