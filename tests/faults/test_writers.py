"""Many writers at once: nobody is starved, who comes second looks again, a clock that runs back changes no order."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from ledger.book import Ledger, create
from ledger.store.sqlite import EntryRecorder, has_wal_fix
from ledger.store.sqlite_reading import FileReader
from tests.faults import need, times
from tests.faults.processes import ROOT, Nursery
from tests.faults.sessions import NOON, pair
from tests.faults.sound import acknowledged, check, entries_of, pairs_of

WRITERS, NOTES, SECONDS = 3, times(60, 1_000), times(4, 60)
REPORT = ("IncidentReported", "--customer", "acme", "--service", "licence", "--channel", "phone")


@pytest.mark.parametrize("is_locked", [True, False])
def test_writers_get_their_turns_alike(is_locked: bool, nursery: Nursery, folder: Path) -> None:
    """Six on one ledger. Without the lock file beside it SQLite lets some of them starve, which is seen."""
    db, crowd = folder / "ledger.db", [f"C{n}" for n in range(6)]
    create(db)
    started = [nursery.start("crowd", db, name, folder / name, SECONDS, lock_file=is_locked) for name in crowd]
    assert [session.wait() for session in started] == [0] * len(crowd), started[0].err.read_text()

    told = {name: json.loads((folder / name).read_text()) for name in crowd}
    done, slowest = [t["done"] for t in told.values()], max(t["slowest"] for t in told.values())
    assert pairs_of(entries_of(db)) == {f"{name}/{n}" for name, t in told.items() for n in range(t["done"])}
    is_fair = min(done) > max(done) * 0.6 and slowest < 2
    assert is_fair == is_locked, (done, slowest)


@pytest.mark.parametrize("is_open", [False, True])
def test_a_reader_goes_on_as_soon_as_a_writer_lets_go(tmp_path: Path, is_open: bool) -> None:
    """And not when SQLite looks again, which it does every 100 ms after a while."""
    db, late = tmp_path / "ledger.db", []
    create(db, facts=pair("W", 0))
    for _ in range(3):
        reader = FileReader(db) if is_open else None
        let_go = held_for(0.37, db)
        with closing(reader or FileReader(db)) as found:
            assert found.last_position() == 2
        late.append(time.monotonic() - let_go.result())

    assert min(late) < 0.04


def held_for(seconds: float, db: Path) -> Future[float]:
    """Hold a ledger's file as a writer that commits does, and tell when it was let go."""
    holding, let_go = threading.Event(), Future[float]()

    def hold() -> None:
        with closing(sqlite3.connect(db, isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            holding.set()
            time.sleep(seconds)
        let_go.set_result(time.monotonic())

    threading.Thread(target=hold).start()
    holding.wait()
    return let_go


def test_who_comes_second_to_a_stream_looks_again(nursery: Nursery, tmp_path: Path) -> None:
    """Judging and committing stand apart, as in an import: others come in between, and nothing is lost or twice."""
    db, names = tmp_path / "ledger.db", [f"N{n}" for n in range(WRITERS)]
    create(db, facts=pair("W", 0))
    create_stream = nursery.command(
        db, "record", *REPORT[:1], "incident:INC-1", *REPORT[1:], "--at", "2026-03-02T12:00:00Z"
    )
    assert create_stream.wait() == 0
    started = [nursery.start("note", db, name, tmp_path / name, NOTES) for name in names]
    assert [session.wait() for session in started] == [0] * WRITERS

    entries = [e for e in entries_of(db) if e.stream == "incident:INC-1"]
    assert [e.version for e in entries] == list(range(1, WRITERS * NOTES + 2))
    assert {e.command_id for e in entries[1:]} == {f"{name}/{n}" for name in names for n in range(NOTES)}
    for name in names:
        assert [e.command_id for e in entries if e.command_id and e.command_id.startswith(f"{name}/")] == [
            f"{name}/{n}" for n in range(NOTES)
        ]
    assert sum(json.loads((tmp_path / name).read_text())["conflicts"] for name in names) > 0


def test_a_clock_that_runs_back_loses_refuses_and_reorders_nothing(nursery: Nursery, tmp_path: Path) -> None:
    """Order is position; that the clock ran back can be seen in what was recorded when."""
    db, names, count = tmp_path / "ledger.db", [f"W{n}" for n in range(WRITERS)], 30
    create(db)
    started = [
        nursery.start("write", db, name, tmp_path / name, count, clock_back=seed) for seed, name in enumerate(names)
    ]
    assert [(session.wait(), session.err.read_text()) for session in started] == [(0, "")] * WRITERS

    acked = set().union(*(acknowledged(tmp_path / name, name) for name in names))
    assert acked == {f"{name}/{n}" for name in names for n in range(count)}
    check(db, acked, acked)
    entries = entries_of(db)
    recorded = [e.recorded_at for e in entries]
    assert sum(b < a for a, b in zip(recorded, recorded[1:], strict=False)) > 10
    for name in names:  # each wrote its pairs one after the other
        numbers = [int(e.command_id.split("/")[1]) for e in entries if e.command_id and e.command_id.startswith(name)]
        assert numbers == sorted(numbers)
    rows = [json.loads(line) for line in _said(nursery, db, "--format", "jsonl", "log")]
    assert [row["position"] for row in rows] == list(range(1, len(entries) + 1))
    assert sum(b["recorded_at"] < a["recorded_at"] for a, b in zip(rows, rows[1:], strict=False)) > 10


def test_the_command_on_a_machine_whose_clock_is_years_behind(tmp_path: Path) -> None:
    """What happened before is recorded behind what is there; what its clock says is yet to come is refused by name."""
    faketime, db = need("faketime"), tmp_path / "ledger.db"
    create(db, facts=pair("W", 0))
    command = [faketime, "2024-05-01 10:00:00", sys.executable, "-c", "from cli import app; app()", "--db", str(db)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLA_LEDGER")} | {"TZ": "UTC"}

    def record(stream: str, at: str) -> subprocess.CompletedProcess[str]:
        row = [*command, "record", REPORT[0], stream, *REPORT[1:], "--at", at]
        return subprocess.run(row, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    past, future = record("incident:A", "2024-04-30T10:00:00Z"), record("incident:B", "2026-04-30T10:00:00Z")

    assert (past.returncode, past.stderr.startswith("entry 3: ")) == (0, True)
    assert (future.returncode, "in_the_future" in future.stderr) == (1, True)
    assert [(e.position, e.stream) for e in entries_of(db)][2:] == [(3, "incident:A")]
    assert entries_of(db)[2].recorded_at < NOON


@pytest.mark.parametrize("made", ["this", "TRUNCATE", "WAL"])
def test_the_journal_is_the_one_that_this_sqlite_has_right(made: str, nursery: Nursery, tmp_path: Path) -> None:
    """A write-ahead log only on a version without its bug, whoever used the file before; never less than full syncs."""
    db, is_fixed = tmp_path / "ledger.db", has_wal_fix(sqlite3.sqlite_version_info)
    create(db)
    if made != "this":
        nursery.start("write", db, "W", tmp_path / "W", 1, journal=made).wait()
    with closing(Ledger(db)) as ledger:
        ledger.record(*pair("X", 1))
        with cast(EntryRecorder, ledger.store).datastore.transaction(commit=False) as c:
            c.execute("PRAGMA journal_mode")
            [mode] = c.fetchone()
            c.execute("PRAGMA synchronous")
            [level] = c.fetchone()

    assert (mode, level) == (("wal", 2) if is_fixed else ("truncate", 3))
    assert (db.read_bytes()[18:20] == b"\2\2") == is_fixed
    assert "X/1" in pairs_of(entries_of(db))


def test_a_writer_that_hangs_holds_nobody_up_once_it_is_killed(nursery: Nursery, tmp_path: Path) -> None:
    """Its turn at the lock file ends with it."""
    db, acks = tmp_path / "ledger.db", tmp_path / "W"
    create(db)
    hanging = nursery.start("hang", db)
    while not hanging.out.read_text():
        time.sleep(0.01)
    waiting = nursery.start("write", db, "W", acks, 3)
    time.sleep(0.3)
    assert acknowledged(acks, "W") == set()
    hanging.kill()
    assert (hanging.wait(), waiting.wait()) == (-signal.SIGKILL, 0)
    check(db, {"W/0", "W/1", "W/2"}, {"W/0", "W/1", "W/2"})


def _said(nursery: Nursery, db: Path, *arguments: str) -> list[str]:
    session = nursery.command(db, *arguments)
    assert session.wait() == 0
    return session.out.read_text().splitlines()
