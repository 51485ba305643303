"""Every entry is kept with its leaf hash, and a ledger keeps checkpoints: neither is ever changed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, JSONTranscoder
from pymerkle import InmemoryTree

from ledger.book import Ledger, create
from ledger.seal import merkle
from ledger.store.address import reader_at
from ledger.store.reading import EVERYTHING, Record, Stored
from ledger.store.stored import EntryMapper, StoredEntries
from ledger.store.stream_file import read
from ledger.store.stream_record import StreamRecord
from tests.postgres_server import Server
from tests.support import do

STREAMS = Path(__file__).resolve().parents[1] / "fixtures" / "streams"
STORIES = sorted(path.stem for path in STREAMS.glob("*.jsonl"))
YEAR = str(STREAMS / "a-year-of-acme.jsonl")


def canonical(row: Stored) -> bytes:
    """What a leaf hash is taken of, as the format says it, written by another program."""
    position, stream, version, name, state = row
    said = {
        "stream": stream,
        "version": version,
        "position": position,
        "name": name,
        "recorded_at": json.loads(state)["recordedtime"],
        "payload": sha256(state).hexdigest(),
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def kept(record: Record) -> tuple[list[Stored], list[bytes]]:
    """All rows and all leaf hashes."""
    with contextlib.closing(record):
        return list(record.rows(EVERYTHING)), list(record.leaves(EVERYTHING))


@pytest.mark.parametrize("story", STORIES)
def test_the_leaves_are_the_same_in_every_store_and_those_of_another_program(
    emptied: str, tmp_path: Path, story: str
) -> None:
    entries = read(str(STREAMS / f"{story}.jsonl"))
    for address in (str(tmp_path / "ledger.db"), emptied):
        create(address, entries)
    tree = InmemoryTree(algorithm="sha256")

    rows, leaves = kept(StreamRecord(entries))
    in_file, in_server = kept(reader_at(str(tmp_path / "ledger.db"))), kept(reader_at(emptied))

    for row in rows:
        tree.append_entry(canonical(row))
    assert [tree.get_leaf(n) for n in range(1, len(rows) + 1)] == leaves
    assert tree.get_root() == merkle.root(leaves)
    assert in_file == in_server == (rows, leaves)


def test_what_is_recorded_one_by_one_has_the_leaves_of_a_copy(emptied: str, tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_text("".join(line for line in Path(YEAR).read_text().splitlines(True) if '"incident:' in line))
    copy, copied_back = str(tmp_path / "copy.db"), str(tmp_path / "back.db")
    for ledger in (str(tmp_path / "ledger.db"), emptied):
        do(ledger, "init")
        report = ("--customer=acme", "--service=licence", "--channel=phone")
        do(ledger, "record", "IncidentReported", "incident:ONE", *report)
        do(ledger, "import", str(facts), now="2027-01-01T00:00:00Z")
    exported = tmp_path / "export.jsonl"

    exported.write_text(do(emptied, "export").stdout)
    do(copy, "import", "--verbatim", str(exported))
    exported.write_text(do(copy, "export").stdout)
    do(copied_back, "import", "--verbatim", str(exported))

    rows, leaves = kept(reader_at(emptied))
    assert len(leaves) == len(rows) == 2 + len(facts.read_text().splitlines())
    assert [sha256(b"\0" + canonical(row)).digest() for row in rows] == leaves
    for ledger in (str(tmp_path / "ledger.db"), copy, copied_back):
        assert kept(reader_at(ledger)) == (rows, leaves)


@pytest.mark.parametrize("place", ["file", "server"])
def test_an_append_that_fails_half_way_leaves_neither_entry_nor_leaf(emptied: str, tmp_path: Path, place: str) -> None:
    address = str(tmp_path / "ledger.db") if place == "file" else emptied
    entries = read(YEAR)
    create(address, entries[:3])
    before = kept(reader_at(address))
    doubled = StoredEntries(EntryMapper(JSONTranscoder()), [entries[3], entries[4], entries[3]])

    with contextlib.closing(Ledger(address)) as ledger, pytest.raises(IntegrityError):
        ledger.store.insert_events(doubled)

    assert kept(reader_at(address)) == before


@pytest.mark.parametrize("after, up_to", [(0, 0), (0, 1), (3, 7), (5, 5), (150, EVERYTHING), (EVERYTHING, EVERYTHING)])
def test_a_part_of_the_leaves_is_the_part_between_two_positions(
    emptied: str, tmp_path: Path, after: int, up_to: int
) -> None:
    entries = read(YEAR)
    for address in (str(tmp_path / "ledger.db"), emptied):
        create(address, entries)
    everything = list(StreamRecord(entries).leaves(EVERYTHING))

    for record in (StreamRecord(entries), reader_at(str(tmp_path / "ledger.db")), reader_at(emptied)):
        with contextlib.closing(record):
            assert list(record.leaves(up_to, after)) == everything[after:up_to]


OLDER = "export it with the release that made it, and here: sla-ledger --db NEW import --verbatim FILE"


def test_a_ledger_of_another_format_is_refused_with_what_to_do(emptied: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for ledger in (path, emptied):
        do(ledger, "init")

    for number, todo in ((1, OLDER), (3, "use a newer release")):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {number}")
        with psycopg.connect(emptied) as server:
            server.execute(f"COMMENT ON TABLE sla_ledger.ledger_events IS 'sla-ledger format {number}'".encode())
        for ledger in (path, emptied):
            for command in (["log"], ["record", "EntryWithdrawn", "incident:ONE", "--version=1", "--reason=none"]):
                lines = do(ledger, *command, code=1).stderr.splitlines()
                assert lines == [str(ledger), f"this ledger has format {number}, not 2", todo]


CHECKPOINTS = {
    "update": ("UPDATE checkpoints SET note = ''", "checkpoints are never changed"),
    "delete": ("DELETE FROM checkpoints", "checkpoints are never deleted"),
    "the same size": ("INSERT INTO checkpoints VALUES (2, 'other')", "never replaced|duplicate key"),
    "an earlier size": ("INSERT INTO checkpoints VALUES (1, 'other')", "later than the last"),
    "more than there is": ("INSERT INTO checkpoints VALUES (4, 'other')", "entries that are there"),
    "of nothing": ("INSERT INTO checkpoints VALUES (0, 'other')", "entries that are there"),
    "no note": ("INSERT INTO checkpoints VALUES (3, NULL)", "(?i)not.null"),
    "upsert": ("INSERT INTO checkpoints VALUES (2, 'x') ON CONFLICT (size) DO UPDATE SET note = 'x'", "are never"),
}
ONLY_THERE = {
    "replace": ("INSERT OR REPLACE INTO checkpoints VALUES (2, 'other')", "never replaced"),
    "ignore": ("INSERT OR IGNORE INTO checkpoints VALUES (2, 'other')", "never replaced"),
    "update or replace": ("UPDATE OR REPLACE checkpoints SET size = 1", "never changed"),
    "truncate": ("TRUNCATE checkpoints", "checkpoints are never deleted"),
    "as a replica": ("SET session_replication_role = replica; DELETE FROM checkpoints", "never deleted"),
    "merge": ("MERGE INTO checkpoints t USING checkpoints s ON t.size = s.size WHEN MATCHED THEN DELETE", "deleted"),
}
IN_FILE = [*CHECKPOINTS.items(), *((k, v) for k, v in ONLY_THERE.items() if " OR " in v[0])]
IN_SERVER = [*CHECKPOINTS.items(), *((k, v) for k, v in ONLY_THERE.items() if " OR " not in v[0])]


def with_a_checkpoint(address: str) -> None:
    """A ledger of three entries and a checkpoint of two."""
    create(address, read(YEAR)[:3])
    with contextlib.closing(Ledger(address)) as ledger:
        assert ledger.keep_checkpoint(2, "first") == "first"
        assert ledger.keep_checkpoint(2, "second") == "first"
        assert ledger.keep_checkpoint(1, "quicker, but committed later") == "first"


def notes(address: str) -> list[str]:
    with contextlib.closing(reader_at(address)) as reader:
        return reader.checkpoints()


@pytest.mark.parametrize("statement, message", [x[1] for x in IN_FILE], ids=[x[0] for x in IN_FILE])
def test_no_statement_changes_a_checkpoint_in_a_file(tmp_path: Path, statement: str, message: str) -> None:
    path = str(tmp_path / "ledger.db")
    with_a_checkpoint(path)

    with (
        contextlib.closing(sqlite3.connect(path)) as connection,
        connection,
        pytest.raises(sqlite3.IntegrityError, match=message),
    ):
        connection.execute(statement)

    assert notes(path) == ["first"]


@pytest.mark.parametrize("statement, message", [x[1] for x in IN_SERVER], ids=[x[0] for x in IN_SERVER])
def test_no_statement_changes_a_checkpoint_in_a_server(emptied: str, statement: str, message: str) -> None:
    with_a_checkpoint(emptied)

    with psycopg.connect(emptied) as connection, pytest.raises(psycopg.Error, match=message):
        connection.execute(f"SET search_path = sla_ledger; {statement}".encode())

    assert notes(emptied) == ["first"]


def test_checkpoints_are_kept_in_order_of_size(emptied: str, tmp_path: Path) -> None:
    for address in (str(tmp_path / "ledger.db"), emptied):
        with_a_checkpoint(address)
        with contextlib.closing(Ledger(address)) as ledger:
            ledger.keep_checkpoint(3, "third")

        assert notes(address) == ["first", "third"]


def test_a_writer_keeps_a_checkpoint_and_an_auditor_reads_it(server: Server) -> None:
    name = server.new_database()
    create(server.address(name), read(YEAR)[:3])
    writer, auditor = (server.new_login(f"sla_ledger_{role}") for role in ("writer", "auditor"))

    with contextlib.closing(Ledger(server.tcp(name, writer))) as ledger:
        ledger.keep_checkpoint(3, "note")

    assert notes(server.tcp(name, auditor)) == ["note"]
    with psycopg.connect(server.tcp(name, auditor)) as login, pytest.raises(psycopg.errors.InsufficientPrivilege):
        login.execute("INSERT INTO sla_ledger.checkpoints VALUES (3, '')")
    for statement in (b"UPDATE sla_ledger.checkpoints SET note = ''", b"DELETE FROM sla_ledger.checkpoints"):
        with psycopg.connect(server.tcp(name, writer)) as login, pytest.raises(psycopg.errors.InsufficientPrivilege):
            login.execute(statement)
