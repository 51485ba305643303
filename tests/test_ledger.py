"""The ledger in its file: written once, in order, by anybody, and never changed by anyone."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import pytest
from freezegun import freeze_time

from ledger import events as e
from ledger.book import Ledger, create
from ledger.entry import Entry, Fact, event_data, from_line, to_line
from ledger.errors import Conflict, LedgerBroken, LedgerError, NoLedger, Refused, StorageFailed
from ledger.store import stream_file
from ledger.store.sqlite import EntryRecorder, has_wal_fix
from ledger.store.sqlite_reading import FileReader

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WRITES = 40
GATES: list[Any] = []


def reported(stream: str = "incident:INC-1", command_id: str | None = None) -> Fact:
    event = e.IncidentReported(customer="acme", service="licence", channel="phone")
    return Fact(stream, NOON, event, "desk.oslo", command_id)


def response(stream: str = "incident:INC-1", command_id: str | None = None, minutes: int = 5) -> Fact:
    event = e.ResponseGiven(responder="human")
    return Fact(stream, NOON + timedelta(minutes=minutes), event, None, command_id)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A new ledger with one incident in it."""
    made = tmp_path / "ledger.db"
    create(made, facts=[reported()])
    return made


@pytest.fixture
def book(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path)
    yield ledger
    ledger.close()


def all_of(path: Path) -> list[Entry]:
    """Every entry, read anew."""
    with contextlib.closing(Ledger(path, "ro")) as ledger:
        return list(ledger.entries())


def raw(path: Path, statement: str, *values: Any) -> None:
    """Run a statement on the file past the program, and commit it."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


ROW = "INTO stored_events VALUES (?, ?, ?, 'IncidentResolved', x'7b7d', ?, zeroblob(32))"
TAMPERING: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "update": ("UPDATE stored_events SET state = x'7b7d'", (), "entries are never changed"),
    "update or replace": ("UPDATE OR REPLACE stored_events SET rowid = 2", (), "entries are never changed"),
    "delete": ("DELETE FROM stored_events", (), "entries are never deleted"),
    "delete the last": ("DELETE FROM stored_events WHERE rowid = 2", (), "entries are never deleted"),
    "replace by position": (f"INSERT OR REPLACE {ROW}", (1, "incident:X", 1, None), "never replaced"),
    "replace by version": (f"INSERT OR REPLACE {ROW}", (3, "incident:INC-1", 1, None), "never replaced"),
    "replace by version, no position": (f"REPLACE {ROW}", (None, "incident:INC-1", 1, None), "never replaced"),
    "replace by command id": (f"INSERT OR REPLACE {ROW}", (3, "incident:X", 1, "row/2"), "never replaced"),
    "upsert": (f"INSERT {ROW} ON CONFLICT DO UPDATE SET state = x'00'", (1, "incident:X", 1, None), "never"),
    "ignore": (f"INSERT OR IGNORE {ROW}", (1, "incident:X", 1, None), "never replaced"),
    "a gap": (f"INSERT {ROW}", (4, "incident:X", 1, None), "positions have no gap"),
    "position 0": (f"INSERT {ROW}", (0, "incident:X", 1, None), "positions have no gap"),
    "a position below": (f"INSERT OR IGNORE {ROW}", (-1, "incident:X", 1, None), "positions have no gap"),
    "no stream": (f"INSERT {ROW}", (3, None, 1, None), "NOT NULL"),
    "text for a version": (f"INSERT {ROW}", (3, "incident:X", "one", None), "cannot store TEXT"),
    "no leaf": (f"INSERT {ROW.replace('zeroblob(32)', 'NULL')}", (3, "incident:X", 1, None), "NOT NULL"),
    "a leaf that is none": (f"INSERT {ROW.replace('32', '31')}", (3, "incident:X", 1, None), "CHECK"),
    "text for a leaf": (
        f"INSERT {ROW.replace('zeroblob(32)', 'hex(randomblob(16))')}",
        (3, "incident:X", 1, None),
        "cannot store TEXT",
    ),
}


@pytest.mark.parametrize("statement, values, message", TAMPERING.values(), ids=TAMPERING)
def test_no_statement_changes_what_is_written(
    path: Path, book: Ledger, statement: str, values: tuple[Any, ...], message: str
) -> None:
    book.record(response(command_id="row/2"))
    before = [to_line(entry) for entry in all_of(path)]

    with pytest.raises(sqlite3.IntegrityError, match=message):
        raw(path, statement, *values)

    assert [to_line(entry) for entry in all_of(path)] == before


def test_the_first_position_is_one(tmp_path: Path) -> None:
    create(tmp_path / "empty.db")

    with pytest.raises(sqlite3.IntegrityError, match="no gap"):
        raw(tmp_path / "empty.db", f"INSERT {ROW}", 2, "incident:X", 1, None)

    assert all_of(tmp_path / "empty.db") == []


def test_entries_come_back_as_they_were_recorded_with_positions_from_one(path: Path, book: Ledger) -> None:
    added = book.record(reported("incident:INC-2"), response(), response("incident:INC-2"))

    assert [(x.position, x.stream, x.version) for x in all_of(path)] == [
        (1, "incident:INC-1", 1),
        (2, "incident:INC-2", 1),
        (3, "incident:INC-1", 2),
        (4, "incident:INC-2", 2),
    ]
    assert added == all_of(path)[1:]
    assert book.stream("incident:INC-1") == [x for x in all_of(path) if x.stream == "incident:INC-1"]
    assert book.last_position() == 4
    assert list(book.entries(up_to=2)) == all_of(path)[:2]


def test_a_refused_fact_adds_nothing_of_its_company(path: Path, book: Ledger) -> None:
    with pytest.raises(Refused) as refused:
        book.record(response(), reported())

    assert refused.value.reason == "opened_twice"
    assert len(all_of(path)) == 1


def test_recorded_at_is_the_clock_in_utc_and_whole_seconds(path: Path, book: Ledger) -> None:
    with freeze_time("2026-07-01 10:00:00.900", tz_offset=2):
        [entry] = book.record(response())

    assert entry.recorded_at == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert all_of(path)[1] == entry


def test_who_comes_second_to_a_stream_gets_a_conflict_looks_again_and_succeeds(path: Path, book: Ledger) -> None:
    with contextlib.closing(Ledger(path)) as other:
        mine = book.judge([reported("incident:INC-2"), response(minutes=6)])
        other.record(response(minutes=7))

        with pytest.raises(Conflict):
            book.commit(mine)
        after = [to_line(entry) for entry in all_of(path)]
        book.record(reported("incident:INC-2"), response(minutes=6))

    assert len(after) == 2
    assert [to_line(entry) for entry in all_of(path)][:2] == after
    assert [(x.position, x.version, x.stream) for x in all_of(path)][2:] == [
        (3, 1, "incident:INC-2"),
        (4, 3, "incident:INC-1"),
    ]


def test_who_comes_second_to_another_stream_gets_the_position_that_is_true(path: Path, book: Ledger) -> None:
    with contextlib.closing(Ledger(path)) as other:
        mine = book.judge([response()])
        other.record(reported("incident:INC-2"))

        [entry] = book.commit(mine).added

    assert (mine.added[0].position, entry.position) == (2, 3)
    assert all_of(path)[2] == entry


def meet(gate: Any) -> None:
    """Give a new process the gate at which both writers wait for each other."""
    GATES.append(gate)


def write(path: str, stream: str, prefix: str | None) -> list[int]:
    """Record some responses beside another process, trying again on conflict; the positions of their entries."""
    GATES[0].wait(30)
    positions: list[int] = []
    with contextlib.closing(Ledger(Path(path))) as ledger:
        while len(positions) < WRITES:
            with contextlib.suppress(Conflict):
                repeated = f"{prefix}/{len(positions)}" if prefix else None
                positions += [entry.position for entry in ledger.record(response(stream, repeated))]
    return positions


@pytest.fixture(scope="module")
def two_processes() -> Iterator[ProcessPoolExecutor]:
    spawn = get_context("spawn")
    with ProcessPoolExecutor(2, spawn, meet, (spawn.Barrier(2),)) as pool:
        yield pool


@pytest.mark.parametrize("streams", [("incident:INC-1", "incident:INC-1"), ("incident:INC-1", "incident:INC-2")])
def test_two_processes_lose_nothing(
    path: Path, book: Ledger, two_processes: ProcessPoolExecutor, streams: tuple[str, str]
) -> None:
    """Every success is an entry of its own, in one stream and in two."""
    book.record(reported("incident:INC-2"))

    working = [two_processes.submit(write, str(path), stream, None) for stream in streams]
    positions = [position for done in working for position in done.result()]

    found = all_of(path)
    assert sorted(positions) == list(range(3, 3 + 2 * WRITES))
    assert [x.position for x in found] == list(range(1, len(found) + 1))
    for stream in set(streams):
        versions = [x.version for x in found if x.stream == stream]
        assert versions == list(range(1, len(versions) + 1))


def test_two_processes_with_the_same_command_ids_write_each_fact_once(
    path: Path, two_processes: ProcessPoolExecutor
) -> None:
    working = [two_processes.submit(write, str(path), "incident:INC-1", "row") for _ in range(2)]
    one, other = (done.result() for done in working)

    assert one == other == list(range(2, 2 + WRITES))
    assert [x.command_id for x in all_of(path)[1:]] == [f"row/{n}" for n in range(WRITES)]


def test_a_command_id_comes_once_and_its_entry_is_returned(path: Path, book: Ledger) -> None:
    first = book.record(response(command_id="row/1"))

    again = book.record(response(command_id="row/1", minutes=9))

    assert first == again == all_of(path)[1:]


def test_a_command_id_said_twice_at_once_adds_one_entry(path: Path, book: Ledger) -> None:
    added = book.record(response(command_id="row/1"), response(command_id="row/1"))

    assert {x.position for x in added} == {2}
    assert len(all_of(path)) == 2


def test_a_command_id_of_another_stream_adds_nothing(path: Path, book: Ledger) -> None:
    first = book.record(response(command_id="row/1"))

    again = book.record(reported("incident:INC-2", command_id="row/1"))

    assert again == first == all_of(path)[1:]


def test_a_fact_that_another_writer_recorded_first_counts_as_already_there(path: Path, book: Ledger) -> None:
    with contextlib.closing(Ledger(path)) as other:
        mine = book.judge([response(command_id="row/1")])
        with freeze_time("2026-07-01 10:00:00"):
            theirs = other.record(response(command_id="row/1"))

        outcome = book.commit(mine)

    assert (outcome.added, [position for _, position in outcome.already]) == ([], [2])
    assert theirs == all_of(path)[1:]


def test_what_is_acknowledged_survives_a_power_cut(book: Ledger) -> None:
    """Full synchronisation at least, and a write-ahead log only where SQLite has it right."""
    wal = has_wal_fix(sqlite3.sqlite_version_info)

    with cast(EntryRecorder, book.store).datastore.transaction(commit=False) as cursor:
        [journal] = cursor.sqlite_cursor.execute("PRAGMA journal_mode").fetchone()
        [synchronous] = cursor.sqlite_cursor.execute("PRAGMA synchronous").fetchone()

    assert (journal, synchronous) == (("wal", 2) if wal else ("truncate", 3))


@pytest.mark.parametrize(
    "version, fixed",
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_sqlite_has_the_write_ahead_log_right_in_these_versions(version: tuple[int, ...], fixed: bool) -> None:
    assert has_wal_fix(version) == fixed


def test_the_environment_cannot_redirect_a_ledger(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = str(tmp_path / "elsewhere.db")
    settings = {
        "PERSISTENCE_MODULE": "eventsourcing.popo",
        "SQLITE_DBNAME": elsewhere,
        "LEDGER_ADDRESS": elsewhere,
        "LEDGER_MODE": "rwc",
        "CREATE_TABLE": "yes",
        "MAPPER_TOPIC": "eventsourcing.persistence:Mapper",
        "ORIGINATOR_ID_TYPE": "uuid",
        "APPLICATION_RECORDER_TOPIC": "eventsourcing.popo:POPOApplicationRecorder",
        "CIPHER_TOPIC": "eventsourcing.cipher:AESCipher",
        "CIPHER_KEY": "not a key",
        "COMPRESSOR_TOPIC": "zlib",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(f"LEDGER_{name}", value)

    with contextlib.closing(Ledger(path)) as ledger:
        added = ledger.record(response())

    assert all_of(path)[1:] == added
    assert not Path(elsewhere).exists()


def test_create_refuses_what_is_there_and_leaves_it_alone(tmp_path: Path) -> None:
    there, link = tmp_path / "there.db", tmp_path / "link.db"
    there.write_text("mine")
    link.symlink_to(tmp_path / "nowhere.db")

    for path in (there, link):
        with pytest.raises(LedgerError, match="there is something here already"):
            create(path, facts=[reported()])

    assert there.read_text() == "mine"
    assert sorted(x.name for x in tmp_path.iterdir()) == ["link.db", "there.db"]


@pytest.mark.parametrize("facts, folder", [([response()], "."), ([reported(), reported()], "."), ([], "missing")])
def test_create_leaves_nothing_half_made(tmp_path: Path, facts: list[Fact], folder: str) -> None:
    with pytest.raises(LedgerError):
        create(tmp_path / folder / "ledger.db", facts=facts)

    assert list(tmp_path.iterdir()) == []


def test_what_is_no_ledger_is_not_opened(tmp_path: Path) -> None:
    other, text = tmp_path / "other.db", tmp_path / "text.db"
    raw(other, "CREATE TABLE stored_events (rowid INTEGER PRIMARY KEY)")
    text.write_text("facts " * 1000)

    for path, error in ((other, StorageFailed), (text, StorageFailed), (tmp_path / "none.db", NoLedger)):
        with pytest.raises(error):
            Ledger(path)

    assert not (tmp_path / "none.db").exists()


def test_a_ledger_opened_to_read_records_nothing(path: Path) -> None:
    with contextlib.closing(Ledger(path, "ro")) as ledger, pytest.raises(LedgerError):
        ledger.record(response())

    assert len(all_of(path)) == 1


def test_a_verbatim_copy_is_exact(path: Path, book: Ledger, tmp_path: Path) -> None:
    """Recording times, positions, versions, actors and command ids included."""
    with freeze_time("2026-07-01 10:00:00"):
        book.record(reported("incident:INC-2", "row/1"), response(command_id="row/2"))
    lines = [to_line(entry) for entry in book.entries()]
    (tmp_path / "export.jsonl").write_text("\n".join(lines))

    create(tmp_path / "copy.db", stream_file.read(str(tmp_path / "export.jsonl")))

    assert [to_line(entry) for entry in all_of(tmp_path / "copy.db")] == lines
    assert all_of(tmp_path / "copy.db") == all_of(path)


def test_two_ledgers_of_the_same_entries_can_be_told_apart(path: Path, book: Ledger, tmp_path: Path) -> None:
    """Each was given a number when it was made, which recording more does not change."""
    create(tmp_path / "other.db", list(book.entries()))
    with contextlib.closing(FileReader(path)) as one, contextlib.closing(FileReader(tmp_path / "other.db")) as other:
        before = one.identity()
        book.record(response())

        assert one.identity() == before != other.identity()


ENVELOPE = '{"time":"2026-03-02T12:00:00Z","recordedtime":"2026-03-02T12:00:00Z"'
DAMAGE: dict[str, tuple[str, bytes]] = {
    "unknown topic": ("IncidentCreated", f'{ENVELOPE},"data":{{}}}}'.encode()),
    "a class path": ("ledger.events:IncidentResolved", f'{ENVELOPE},"data":{{}}}}'.encode()),
    "empty": ("IncidentResolved", b""),
    "cut off": ("IncidentResolved", ENVELOPE.encode()),
    "not UTF-8": ("IncidentResolved", b'{"time":"\xff"}'),
    "a list": ("IncidentResolved", b"[]"),
    "no time": ("IncidentResolved", b'{"recordedtime":"2026-03-02T12:00:00Z","data":{}}'),
    "naive time": ("IncidentResolved", b'{"time":"2026-03-02T12:00:00","recordedtime":"2026-03-02","data":{}}'),
    "no data": ("IncidentResolved", f"{ENVELOPE}}}".encode()),
    "bad data": ("ResponseGiven", f'{ENVELOPE},"data":{{"responder":"oracle"}}}}'.encode()),
}


@pytest.mark.parametrize("topic, state", DAMAGE.values(), ids=DAMAGE)
def test_a_row_that_cannot_be_read_is_named_by_its_position(path: Path, book: Ledger, topic: str, state: bytes) -> None:
    raw(path, "INSERT INTO stored_events VALUES (2, 'incident:INC-1', 2, ?, ?, NULL, zeroblob(32))", topic, state)

    ways: list[Callable[[], object]] = [
        lambda: list(book.entries()),
        lambda: book.stream("incident:INC-1"),
        lambda: [book.mapper.to_domain_event(x) for x in book.notification_log.select(1, 10)],
    ]

    for way in ways:
        with pytest.raises(LedgerBroken) as broken:
            way()
        assert broken.value.where == "entry 2 (incident:INC-1/2)"
    assert [entry.position for entry in book.entries(up_to=1)] == [1]


def test_the_notification_log_and_the_repository_of_the_library_read_it(path: Path, book: Ledger) -> None:
    book.record(reported("incident:INC-2"), response())

    notifications = book.notification_log.select(2, 10)
    folded = book.repository.get("incident:INC-1", projector_func=cast(Any, lambda _, events: list(events)))

    assert [(x.id, x.originator_id, x.originator_version, x.topic) for x in notifications] == [
        (2, "incident:INC-2", 1, "IncidentReported"),
        (3, "incident:INC-1", 2, "ResponseGiven"),
    ]
    assert [book.mapper.to_domain_event(x) for x in notifications] == all_of(path)[1:]
    assert folded == [all_of(path)[0], all_of(path)[2]]
    assert json.loads(notifications[1].state)["data"] == {"responder": "human"}


def test_a_correction_is_stored_in_the_notation_of_what_it_corrects(tmp_path: Path) -> None:
    """Key order, zone and fractions inside its data leave no trace; only its target says what they mean."""
    stored = []
    for number, data in enumerate(
        (
            {"source": "client_report", "from": "2026-03-27T14:00:00Z", "until": "2026-03-27T15:00:00Z"},
            {
                "until": "2026-03-27t16:00:00.5+01:00",
                "reference": None,
                "from": "2026-03-27T15:00:00+01:00",
                "source": "client_report",
            },
        )
    ):
        lines = (
            {
                "type": "OutageReported",
                "data": {"services": ["x"], "customers": "all", "degree": "unavailable", "noticed_by": "staff"},
            },
            {"type": "EvidenceRecorded", "data": {"source": "client_report", "from": "2026-03-27T13:00:00Z"}},
            {
                "type": "EntryCorrected",
                "data": {"version": 2, "reason": "misread", "time": "2026-03-27T16:00:00Z", "data": data},
            },
        )
        path = tmp_path / f"{number}.db"
        create(path)
        ledger = Ledger(path)
        head = {"specversion": "1.0", "subject": "outage:O-1", "time": "2026-03-27T16:00:00Z"}
        ledger.record(*(from_line(json.dumps(head | line), "test", 1).fact for line in lines))
        stored.append(event_data(list(ledger.entries())[-1].event))
        ledger.close()

    assert stored[0] == stored[1]


KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 2")
connection.execute("BEGIN IMMEDIATE")
for position in range(2, 2000):
    row = (position, f"incident:HALF-{position}", 1, "IncidentCancelled", b"x" * 500, None, b"x" * 32)
    connection.execute("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_what_a_killed_writer_left_half_done_is_undone_by_whoever_comes_next(path: Path, mode: str) -> None:
    before = [to_line(entry) for entry in all_of(path)]
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert path.with_name(path.name + "-journal").stat().st_size > 0

    with contextlib.closing(Ledger(path, mode)) as next_one:
        found = [to_line(entry) for entry in next_one.entries()]

    assert found == before
