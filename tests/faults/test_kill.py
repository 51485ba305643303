"""Writers killed at random instants: what they were told is in the ledger, once; what they were not told, once or not.

They go on with the same command ids where their acknowledgements end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from ledger.book import Ledger, create
from ledger.errors import StorageFailed
from ledger.store.sqlite_reading import FileReader
from tests.faults import times
from tests.faults.processes import ROOT, Nursery, Session
from tests.faults.sessions import pair
from tests.faults.sound import acknowledged, check, entries_of

WRITERS = 3
RESPONSE = ("ResponseGiven", "incident:INC-1", "--responder", "human", "--at", "2026-03-02T12:05:00Z")
OPENING = ("IncidentReported", "incident:INC-1", "--customer", "acme", "--service", "licence", "--channel", "phone")


@pytest.mark.parametrize("journal", ["TRUNCATE", "WAL"])
def test_writers_killed_at_random_instants_lose_and_double_nothing(
    journal: str, nursery: Nursery, tmp_path: Path
) -> None:
    """One at a time, and one time in ten all at once. In WAL one writer: with two, some versions damage the file."""
    db, draw, writers = tmp_path / "ledger.db", Random(journal), 1 if journal == "WAL" else WRITERS
    create(db)
    names = [f"W{n}" for n in range(writers)]
    acks = {name: tmp_path / name for name in names}

    def begin(name: str) -> Session:
        return nursery.start("write", db, name, acks[name], journal=journal)

    running, kills, amid = {name: begin(name) for name in names}, 0, 0
    while kills < times(300, 10_000):
        time.sleep(draw.uniform(0.002, 0.035))
        dying = names if draw.random() < 0.1 else [draw.choice(names)]
        for name in dying:
            running[name].kill()
        for name in dying:
            assert running[name].wait() == -signal.SIGKILL
            with contextlib.suppress(FileNotFoundError):  # another writer may have undone it just now
                amid += os.path.getsize(f"{db}-journal") > 0
            kills += 1
        if kills % 50 == 0:
            entries_of(db)
        running |= {name: begin(name) for name in dying}
    for session in running.values():
        session.kill()
        session.wait()

    acked = set().union(*(acknowledged(acks[name], name) for name in names))
    tried = acked | {f"{name}/{len(acknowledged(acks[name], name))}" for name in names}
    check(db, acked, tried)
    assert len(acked) > 30
    assert journal == "WAL" or amid > 0  # some died in the middle of a transaction


def test_commands_killed_at_random_instants_record_a_fact_once(nursery: Nursery, tmp_path: Path) -> None:
    """A command that is killed is given again with its command id until it says that the fact is in."""
    db, draw, killed = tmp_path / "ledger.db", Random(5), 0
    create(db)
    nursery.command(db, "record", *OPENING, "--at", "2026-03-02T12:00:00Z").wait()
    for number in range(times(20, 500)):
        for patience in (draw.uniform(0.005, 0.06), draw.uniform(0.005, 0.06), None):
            session = nursery.command(db, "record", *RESPONSE, "--command-id", f"row/{number}")
            if patience is not None:
                time.sleep(patience)
                session.kill()
            status = session.wait()
            killed += status == -signal.SIGKILL
            if status == 0:
                break
        assert status == 0
        assert [e.command_id for e in entries_of(db)[1:]] == [f"row/{n}" for n in range(number + 1)]
    assert killed > 5


def test_the_installed_command_killed_as_it_starts_writes_and_ends(tmp_path: Path) -> None:
    """With everything a shell starts: its program is loaded anew each time."""
    db, draw = tmp_path / "ledger.db", Random(6)
    create(db)
    command = [sys.executable, "-c", "from cli import app; app(prog_name='sla-ledger')", "--db", str(db), "record"]
    for number in range(times(4, 60)):
        row = [*command, *OPENING, "--command-id", f"row/{number}"]
        row[row.index("incident:INC-1")] = f"incident:INC-{number}"
        process = subprocess.Popen(row, cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.2, 1.0))
        process.kill()
        process.wait()
        done = subprocess.run(row, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.startswith(f"entry {number + 1}: ")) == (0, True)
    assert [e.command_id for e in entries_of(db)] == [f"row/{n}" for n in range(number + 1)]


def test_who_reads_while_a_writer_is_killed_half_way_goes_on(nursery: Nursery, tmp_path: Path) -> None:
    """A reader undoes what was left half-done, whether it was open before or comes after, by rows or by entries."""
    db, acks = tmp_path / "ledger.db", tmp_path / "acks"
    create(db)
    nursery.start("write", db, "W", acks, 3).wait()
    with closing(FileReader(db)) as reader, closing(Ledger(db, "ro")) as ledger:
        before = [list(reader.rows(2**62)), list(ledger.entries())]
        for read in (lambda: list(reader.rows(2**62)), lambda: list(ledger.entries())):
            assert nursery.start("half", db).wait() == -signal.SIGKILL
            assert db.with_name("ledger.db-journal").stat().st_size > 0
            assert read() in before
        assert nursery.start("half", db).wait() == -signal.SIGKILL
        with closing(FileReader(db)) as late:
            assert list(late.rows(2**62)) == before[0]
        with pytest.raises(StorageFailed, match="readonly"):
            ledger.record(*pair("R", 1))
    check(db, acknowledged(acks, "W"))
