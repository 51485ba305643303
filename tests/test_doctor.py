"""`doctor` tells what is wrong, each with what to do, and never breaks on what it looks at."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from base64 import b64encode
from collections import namedtuple
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from cli import app
from ledger.book import Ledger
from ledger.seal.checkpoints import Checkpoint
from ledger.seal.merkle import root
from ledger.seal.notes import Signer, new_signer
from ledger.store import server as postgres_server
from ledger.store import sqlite as store
from ledger.store.address import reader_at
from ledger.store.sqlite_reading import FileReader
from projections.shell.diagnosis import file_system
from tests.postgres_server import ESCAPED, Server, name_of
from tests.support import do, empty_index

YEAR = Path(__file__).resolve().parents[1] / "fixtures" / "streams" / "a-year-of-acme.jsonl"
NOW = "2026-02-01T09:00:00Z"


pytestmark = pytest.mark.usefixtures("no_key")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger in a folder of its own, with one incident."""
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o755)
    db = folder / "ledger.db"
    do(db, "init")
    db.chmod(0o644)
    report(db)
    return db


@pytest.fixture
def signer() -> Signer:
    return new_signer("acme-ledger")


def report(db: Path | str, number: int = 1, now: str = NOW, at: str | None = None) -> None:
    fields = ("--customer", "acme", "--service", "licence", "--channel", "phone")
    do(db, "record", "IncidentReported", f"incident:INC-{number}", "--at", at or now, *fields, now=now)


def told(db: Path | str, *arguments: str, wrong: bool = False, now: str = NOW) -> dict[str, list[dict[str, Any]]]:
    """The rows of doctor, by check."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(do(db, "--json", "doctor", *arguments, code=int(wrong), now=now).stdout):
        assert list(row) == ["check", "status", "found", "todo"]
        assert (row["todo"] is None) == (row["status"] == "ok"), row
        found.setdefault(row["check"], []).append(row)
    return found


def statuses(rows: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """The worst status of each check that is not ok."""
    worst = {c: max((r["status"] for r in of), key=("ok", "warning", "wrong").index) for c, of in rows.items()}
    return {check: status for check, status in worst.items() if status != "ok"}


def seal(db: Path | str, signer: Signer, now: str = NOW) -> None:
    """Keep a checkpoint of all entries."""
    with closing(reader_at(str(db))) as reader:
        last = reader.last_position()
        note = signer.sign(Checkpoint(signer.name, last, root(reader.leaves(last))).note())
    with closing(Ledger(db)) as book:
        book.keep_checkpoint(last, str(note))


def key_file(folder: Path, signer: Signer, mode: int = 0o600) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "ledger.key"
    key.write_text(signer.secret() + "\n")
    key.chmod(mode)
    return key


def test_a_sealed_ledger_in_order_has_nothing_to_be_done(ledger: Path, signer: Signer, tmp_path: Path) -> None:
    seal(ledger, signer)

    rows = told(ledger, "--key", str(key_file(tmp_path / "keys", signer)))

    assert statuses({k: v for k, v in rows.items() if k not in ("free space", "file system")}) == {}
    assert {"sla-ledger", "python", "sqlite", "eventsourcing", "pydantic", "zone data", "journal mode"} <= set(rows)
    assert {"free space", "file system", "permissions", "guards", "key", "entries", "late entries"} <= set(rows)
    assert {"recording times", "open outages", "unsettled outages", "checkpoint", "views"} <= set(rows)


def everybody_writes(ledger: Path) -> None:
    ledger.chmod(0o666)


def a_group_writes(ledger: Path) -> None:
    ledger.chmod(0o664)


def everybody_writes_beside(ledger: Path) -> None:
    ledger.parent.chmod(0o777)


def everybody_takes_turns(ledger: Path) -> None:
    ledger.with_name("ledger.db.lock").touch()
    ledger.with_name("ledger.db.lock").chmod(0o666)


def a_trigger_is_gone(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as other:
        other.execute("DROP TRIGGER never_updated")


def an_entry_is_gone(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        guard = other.execute("SELECT sql FROM sqlite_master WHERE name = 'never_deleted'").fetchone()[0]
        other.execute("DROP TRIGGER never_deleted")
        other.execute("DELETE FROM stored_events WHERE rowid = 1")
        other.execute(guard)


def an_entry_lies_below_all(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        guards = other.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            other.execute(f"DROP TRIGGER {name}")
        other.execute(
            "INSERT INTO stored_events"
            " SELECT -3, originator_id, 99, topic, state, NULL, leaf FROM stored_events WHERE rowid = 1"
        )
        for _, guard in guards:
            other.execute(guard)


def the_lock_is_a_folder(ledger: Path) -> None:
    ledger.with_name("ledger.db.lock").unlink(missing_ok=True)
    ledger.with_name("ledger.db.lock").mkdir()


def the_journal_is_a_folder(ledger: Path) -> None:
    ledger.with_name("ledger.db-journal").unlink(missing_ok=True)
    ledger.with_name("ledger.db-journal").mkdir()


def it_is_gone(ledger: Path) -> None:
    ledger.unlink()


def it_is_empty(ledger: Path) -> None:
    ledger.write_bytes(b"")


def it_is_a_folder(ledger: Path) -> None:
    ledger.unlink()
    ledger.mkdir()


def it_is_something_else(ledger: Path) -> None:
    ledger.write_bytes(b"not a ledger\n" * 1000)


def its_pages_are_overwritten(ledger: Path) -> None:
    with ledger.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (ledger.stat().st_size - 4096))


@pytest.mark.parametrize(
    ("harm", "check", "status"),
    [
        (everybody_writes, "permissions", "wrong"),
        (a_group_writes, "permissions", "warning"),
        (everybody_writes_beside, "permissions", "wrong"),
        (everybody_takes_turns, "permissions", "wrong"),
        (a_trigger_is_gone, "guards", "wrong"),
        (an_entry_is_gone, "entries", "wrong"),
        (an_entry_lies_below_all, "entries", "wrong"),
        (the_lock_is_a_folder, "files", "wrong"),
        (the_journal_is_a_folder, "files", "wrong"),
        (it_is_gone, "ledger", "wrong"),
        (it_is_empty, "ledger", "wrong"),
        (it_is_a_folder, "ledger", "wrong"),
        (it_is_something_else, "ledger", "wrong"),
        (its_pages_are_overwritten, "ledger", "wrong"),
    ],
)
def test_what_is_wrong_with_the_file_is_a_row(
    ledger: Path, harm: Callable[[Path], None], check: str, status: str
) -> None:
    harm(ledger)

    rows = told(ledger, wrong=status == "wrong")

    assert statuses(rows)[check] == status


def test_whatever_is_written_over_a_ledger_it_answers_in_rows(ledger: Path, tmp_path: Path) -> None:
    whole, draw, exits = ledger.read_bytes(), random.Random(9), set()

    for _ in range(60):
        harmed = bytearray(whole)
        for _ in range(draw.choice((1, 3, 40))):
            at = draw.randrange(len(harmed))
            harmed[at : at + 8] = draw.randbytes(8)
        ledger.write_bytes(harmed[: draw.choice((len(harmed), len(harmed) * 2 // 3))])
        result = CliRunner().invoke(app, ["--db", str(ledger), "--json", "doctor"])
        exits.add(result.exit_code)
        assert "a fault of this program" not in result.stderr
        assert len(json.loads(result.stdout)) > 10

    assert exits == {0, 1}


def test_wal_mode_is_wrong_where_sqlite_can_damage_it(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(ledger)) as other:
        other.execute("PRAGMA journal_mode = WAL")

    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    assert statuses(told(ledger, wrong=True))["journal mode"] == "wrong"
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    assert "journal mode" not in statuses(told(ledger))


def test_a_writer_that_was_stopped_in_the_middle_is_a_warning(ledger: Path) -> None:
    stopped = ledger.with_name("stopped.db")
    with closing(sqlite3.connect(ledger, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("CREATE TABLE half (done BLOB)")
        writer.executemany("INSERT INTO half VALUES (?)", [(b"x" * 4000,)] * 50)
        for ending in ("", "-journal"):
            shutil.copy(f"{ledger}{ending}", f"{stopped}{ending}")

    rows = told(stopped)

    assert statuses(rows)["interrupted"] == "warning"
    assert rows["entries"][0]["found"].startswith("2, ")
    assert "interrupted" not in told(stopped)


def test_a_writer_at_work_is_no_interruption(ledger: Path) -> None:
    with closing(Ledger(ledger)) as book, book.recorder.datastore.transaction(commit=True) as c:  # type: ignore[attr-defined]
        c.execute("UPDATE stored_events SET state = state WHERE rowid = 0")
        c.execute("CREATE TABLE half (done)")
        assert ledger.with_name("ledger.db-journal").stat().st_size > 0
        found = CliRunner().invoke(app, ["--db", str(ledger), "--json", "doctor"])
        c.execute("DROP TABLE half")

    assert "interrupted" not in {row["check"] for row in json.loads(found.stdout)}


@pytest.mark.parametrize(
    ("free", "status"), [(1 << 40, "ok"), (100 << 20, "warning"), (15 << 20, "wrong"), (0, "wrong")]
)
def test_room_that_runs_out(ledger: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 41, 1 << 40, free))

    assert told(ledger, wrong=status == "wrong")["free space"][0]["status"] == status


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"33 21 0:42 / {tmp_path}/far\\040away rw,relatime - nfs4 server:/export rw\n"
        "not a line of it\n"
    )

    assert file_system(tmp_path / "far away" / "ledger.db", mounts) == "nfs4"
    assert file_system(tmp_path / "far" / "ledger.db", mounts) == "ext4"
    assert file_system(tmp_path / "ledger.db", tmp_path / "none") == ""


def test_a_key_is_for_its_owner_alone_and_lies_apart(ledger: Path, signer: Signer, tmp_path: Path) -> None:
    seal(ledger, signer)
    apart, beside = key_file(tmp_path / "keys", signer), key_file(ledger.parent, signer)
    wide, other = key_file(tmp_path / "wide", signer, 0o640), key_file(tmp_path / "other", new_signer("other"))
    empty = tmp_path / "empty.key"
    empty.touch(mode=0o600)

    assert "key" not in statuses(told(ledger, "--key", str(apart)))
    assert statuses(told(ledger, "--key", str(beside)))["key"] == "warning"
    assert statuses(told(ledger, "--key", str(wide), wrong=True))["key"] == "wrong"
    assert statuses(told(ledger, "--key", str(other)))["key"] == "warning"
    assert statuses(told(ledger, "--key", str(empty), wrong=True))["key"] == "wrong"
    assert statuses(told(ledger, "--key", str(tmp_path / "none"), wrong=True))["key"] == "wrong"
    kept = key_file(tmp_path / "config" / "sla-ledger", signer).rename(tmp_path / "config" / "sla-ledger" / "seal.key")
    assert told(ledger)["key"][0]["found"].startswith(str(kept))
    seed = b64encode(signer.seed).decode()
    shown = do(ledger, "--json", "doctor", "--key", str(wide), code=1)
    assert seed not in shown.output
    assert signer.secret() not in shown.output


def test_keys_of_summaries_are_for_their_owner_alone(ledger: Path) -> None:
    do(ledger, "privacy", "on", "acme")
    kept = told(ledger)
    ledger.with_name("ledger.db.kek").chmod(0o644)

    assert [row["status"] for row in kept["summary keys"]] == ["ok", "ok", "ok"]
    assert statuses(told(ledger, wrong=True))["summary keys"] == "wrong"


REPORT = ["record", "IncidentReported", "--customer=acme", "--service=licence", "--channel=phone", "--summary=no sound"]


def test_keys_of_summaries_are_those_that_sealed_here(ledger: Path, tmp_path: Path) -> None:
    do(ledger, "privacy", "on", "acme")
    do(ledger, *REPORT, "incident:1")
    other = tmp_path / "other.db"
    do(other, "init")
    do(other, "privacy", "on", "acme")
    keys, kek, away = ledger.with_name("ledger.db.keys"), ledger.with_name("ledger.db.kek"), tmp_path / "away"
    assert "1 can be used" in told(ledger)["summary keys"][-1]["found"]

    kek.rename(away)
    unwrapped = told(ledger, wrong=True)["summary keys"][-1]
    away.rename(kek)
    keys.rename(away)
    gone = told(ledger)["summary keys"][-1]
    shutil.copy2(f"{other}.keys", keys)
    of_another = told(ledger, wrong=True)["summary keys"][-1]
    shutil.copy2(f"{other}.kek", kek)
    both = told(ledger, wrong=True)["summary keys"][-1]

    assert "No such file" in unwrapped["found"]
    assert "sealed under keys that are not in" in gone["found"]
    assert gone["status"] == "warning"
    assert "this is not the key that wraps" in of_another["found"]
    assert "of another ledger" in both["found"]


def test_entries_wait_two_days_for_a_checkpoint_and_a_month_at_last(ledger: Path, signer: Signer) -> None:
    assert statuses(told(ledger))["checkpoint"] == "warning"

    seal(ledger, signer)
    assert "checkpoint" not in statuses(told(ledger, now="2027-02-01T09:00:00Z"))

    report(ledger, 2)
    assert "checkpoint" not in statuses(told(ledger, now="2026-02-03T09:00:00Z"))
    assert statuses(told(ledger, now="2026-02-03T09:00:01Z"))["checkpoint"] == "warning"
    rows = told(ledger, now="2026-03-04T09:00:01Z", wrong=True)
    assert rows["checkpoint"][0]["found"] == "acme-ledger, of 2 entries; 1 since, the first 31 d 0 h ago"


def test_what_is_not_where_the_checkpoint_ends_is_said(ledger: Path, signer: Signer) -> None:
    seal(ledger, signer)
    report(ledger, 2)
    report(ledger, 3)
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("DROP TRIGGER never_deleted")
        other.execute("DELETE FROM stored_events WHERE rowid = 3")

    rows = told(ledger, wrong=True)

    assert rows["checkpoint"][0]["found"] == "acme-ledger, of 2 entries, and entry 3 is missing"
    assert rows["entries"][0]["found"] == "3 entries, the last is entry 4: 1 are missing"


def test_an_entry_below_all_is_named(ledger: Path) -> None:
    an_entry_lies_below_all(ledger)

    found = told(ledger, wrong=True)["entries"][0]["found"]

    assert found == "entry -3: no entry is ever given such a position"


def test_a_checkpoint_under_another_size_is_wrong(ledger: Path, signer: Signer) -> None:
    seal(ledger, signer)
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("DROP TRIGGER checkpoints_never_updated")
        other.execute("UPDATE checkpoints SET size = 99999999")

    assert "kept under another size, 99999999" in told(ledger, wrong=True)["checkpoint"][0]["found"]


def test_a_key_that_is_lost_is_looked_for_before_another_is_made(ledger: Path, tmp_path: Path) -> None:
    todo = told(ledger, "--key", str(tmp_path / "lost"), wrong=True)["key"][0]["todo"]

    assert todo.startswith("name its file, or a copy of it")


@pytest.mark.parametrize("asked", ["last_position", "count", "kept_checkpoints", "first_position"])
def test_others_may_record_and_seal_meanwhile(
    ledger: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """Between any two questions that are put to the ledger."""
    seal(ledger, signer)
    numbers, put = iter(range(2, 100)), getattr(FileReader, asked)

    def answered(reader: FileReader, *arguments: int) -> object:
        found = put(reader, *arguments)
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(FileReader, asked, put)
            report(ledger, next(numbers))
            seal(ledger, signer)
        return found

    monkeypatch.setattr(FileReader, asked, answered)
    rows = told(ledger)

    assert next(numbers) > 2
    assert {"entries", "checkpoint"}.isdisjoint(statuses(rows))


def test_an_index_in_which_entries_are_missing_is_found(ledger: Path) -> None:
    assert told(ledger)["file"][0]["status"] == "ok"
    empty_index(ledger)

    found = told(ledger, wrong=True)["file"][0]

    assert found["status"] == "wrong"
    assert "the file is damaged" in found["found"]


def test_late_entries_and_clocks_that_ran_backwards_are_counted(ledger: Path) -> None:
    report(ledger, 2, now="2026-02-02T09:00:00Z", at="2026-02-02T08:55:00Z")
    report(ledger, 3, now="2026-02-02T09:00:00Z", at="2026-02-02T08:00:00Z")
    report(ledger, 4, now="2026-02-01T23:00:00Z")
    report(ledger, 5, now="2026-02-01T23:30:00Z")

    rows = told(ledger, now="2026-02-02T09:00:00Z")

    late = json.loads(do(ledger, "--json", "log", "--late").stdout)
    assert rows["late entries"][0]["found"].startswith(f"{len(late)} of 6, at most {late[0]['late_by_seconds']} s")
    found = rows["recording times"][0]
    assert found["status"] == "warning"
    assert found["found"] == "ran backwards 1 times, at most 36000 s, first at entry 5"
    checks = {c["check"]: c for c in json.loads(do(ledger, "--json", "verify").stdout)["checks"]}
    assert (checks["recording_times"]["count"], checks["recording_times"]["outcome"]) == (1, "said")
    ahead = told(ledger, now="2026-02-02T08:00:00Z")
    assert statuses(ahead)["recording times"] == "warning"


def test_an_outage_is_open_until_somebody_records_its_end(ledger: Path) -> None:
    outage = ("record", "OutageReported", "outage:O-1", "--services", "licence", "--customers", "all")
    do(ledger, *outage, "--degree", "unavailable", "--noticed-by", "staff", "--at", "2026-02-01T08:00:00Z")

    down = told(ledger)
    do(ledger, "record", "ServiceRestored", "outage:O-1", "--at", "2026-02-01T08:30:00Z")
    over = told(ledger)

    assert down["open outages"][0]["found"] == "1: outage:O-1 (licence) since 2026-02-01T08:00:00Z"
    assert statuses(down)["open outages"] == "warning"
    assert over["open outages"][0]["found"] == "none"
    assert over["unsettled outages"][0]["found"] == "1: outage:O-1 (undetermined, unattributed)"


def test_views_that_are_behind_damaged_or_of_another_ledger(ledger: Path, tmp_path: Path) -> None:
    views = ledger.with_name("ledger.db.views")
    none = told(ledger)
    do(ledger, "rebuild")
    current = told(ledger)
    report(ledger, 2)
    behind = told(ledger)
    other = tmp_path / "other.db"
    do(other, "init")
    do(other, "rebuild")
    of_another = told(ledger, "--views", f"{other}.views")
    with views.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    damaged = told(ledger)
    views.write_text("a letter")
    foreign = told(ledger)

    assert "none yet" in none["views"][0]["found"]
    assert current["views"][0]["found"].endswith("true for entry 2")
    assert behind["views"][0]["found"].endswith("true for entry 2, 1 behind; they catch up")
    assert "another ledger" in of_another["views"][0]["found"]
    assert {statuses(rows)["views"] for rows in (of_another, damaged, foreign)} == {"warning"}
    assert views.read_text() == "a letter"


def test_of_a_stream_file_it_says_what_applies() -> None:
    rows = told(YEAR)

    assert statuses(rows) == {}
    assert rows["entries"][0]["found"].startswith("203, ")
    assert {"views", "checkpoint", "permissions", "free space"}.isdisjoint(rows)


def test_a_line_that_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{}\n")

    assert statuses(told(broken, wrong=True))["ledger"] == "wrong"


def test_a_path_that_no_file_can_have_is_a_row(ledger: Path) -> None:
    for path in (f"{ledger}/inside", str(ledger.parent / ("x" * 300)), f"{ledger}\0"):
        rows = told(path, wrong=True)
        assert {"ledger"} <= set(statuses(rows)) <= {"ledger", "summary keys"}


@pytest.fixture
def kept(emptied: str) -> str:
    """A ledger in PostgreSQL with one incident."""
    do(emptied, "init")
    report(emptied)
    return emptied


@pytest.fixture
def writer(server: Server, kept: str) -> str:
    """The address of the ledger for a login that may append."""
    login = server.new_login("sla_ledger_writer")
    return server.address(name_of(kept), login)


def test_a_daily_login_may_append_and_nothing_more(kept: str, writer: str, server: Server) -> None:
    auditor = server.address(name_of(kept), server.new_login("sla_ledger_auditor"))

    assert statuses(told(kept, wrong=True))["rights"] == "wrong"
    assert told(writer, wrong=True)["rights"][0]["status"] == "ok"
    assert told(auditor, wrong=True)["rights"][0]["found"].endswith("may read")


def test_a_server_that_does_not_sync_is_wrong(writer: str) -> None:
    """As the tests' own server does not."""
    rows = told(writer, wrong=True)

    assert statuses(rows) == {"durability": "wrong", "checkpoint": "warning", "clock": "wrong"}  # the clock is frozen


def test_a_guard_that_is_asleep_and_a_function_of_the_library_are_wrong(kept: str, writer: str) -> None:
    with psycopg.connect(kept, autocommit=True) as owner:
        owner.execute("ALTER TABLE sla_ledger.ledger_events ENABLE TRIGGER never_a_gap")
        owner.execute("CREATE FUNCTION sla_ledger.es_insert_events() RETURNS int LANGUAGE sql AS 'SELECT 1'")

    rows = told(writer, wrong=True)

    assert rows["guards"][0]["found"] == "do not fire, ledger_events: never_a_gap"
    assert statuses(rows)["functions"] == "wrong"


def test_clocks_that_differ_are_told(writer: str) -> None:
    """The clock is frozen in another year than the server's."""
    assert statuses(told(writer, wrong=True, now="2020-02-01T09:00:00Z"))["clock"] == "wrong"


def test_a_database_without_a_ledger_and_a_server_that_is_not_there_are_rows(emptied: str) -> None:
    assert set(statuses(told(emptied, wrong=True))) == {"durability", "clock", "ledger"}
    assert statuses(told(f"postgresql://nobody:{ESCAPED}@127.0.0.1:1/x", wrong=True)) == {
        "server": "wrong",
        "ledger": "wrong",
    }


def test_guards_are_those_that_the_ledger_is_made_with() -> None:
    """What doctor expects of the server is what the statements make."""
    made = Path(store.__file__).with_name("postgres.sql").read_text()

    for table, names in postgres_server.GUARDS.items():
        for name in names:
            assert f"ALTER TABLE sla_ledger.{table} ENABLE ALWAYS TRIGGER {name};" in made
