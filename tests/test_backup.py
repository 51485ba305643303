"""`backup` makes a verified copy while writers go on, or leaves nothing: never half a ledger, never another's file."""

from __future__ import annotations

import fcntl
import json
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median, quantiles

import pytest

from ledger.backup import copy
from ledger.errors import LedgerBroken, LedgerError
from ledger.seal.notes import Signer, new_signer
from ledger.store.address import reader_at
from ledger.store.reading import EVERYTHING
from ledger.store.sqlite_reading import is_wal
from tests.benchmarks import history
from tests.postgres_server import Server, name_of
from tests.support import do
from tests.test_doctor import seal

COMMAND = [sys.executable, "-c", "from cli import app; app(prog_name='sla-ledger')"]
RECORDING = """
import sys, time
from datetime import datetime, timedelta, UTC
from itertools import count
from ledger import events as e
from ledger.book import Ledger
from ledger.entry import Fact

book, at = Ledger(sys.argv[1]), datetime(2026, 1, 1, tzinfo=UTC)
for number in count(1):
    begun = time.monotonic()
    event = e.IncidentReported(customer="acme", service="licence", channel="phone")
    book.record(Fact(f"incident:W-{sys.argv[2]}-{number}", at, event))
    print(time.monotonic() - begun, flush=True)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    db = tmp_path / "ledger.db"
    history.make(db, 3000)
    return db


@pytest.fixture
def signer() -> Signer:
    return new_signer("acme-ledger")


def rows_of(address: Path | str, up_to: int = EVERYTHING) -> list[tuple[object, ...]]:
    """All that is kept of entries, and the checkpoints."""
    with closing(reader_at(str(address))) as reader:
        kept = zip(reader.rows(up_to), reader.leaves(up_to), strict=True)
        return [*((*row, leaf) for row, leaf in kept), *((note,) for note in reader.checkpoints())]


def beside(to: Path) -> list[str]:
    """What lies in a folder that has to do with a copy."""
    return sorted(p.name for p in to.parent.iterdir() if to.name in p.name)


@contextmanager
def writers(db: Path, count: int, log: Path) -> Iterator[None]:
    """Record facts from several processes as quickly as they can; how long each took goes to a file a writer."""
    running = []
    for number in range(count):
        with (log / f"writer-{number}").open("w") as out:
            command = [sys.executable, "-c", RECORDING, str(db), str(number)]
            running.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT))
    try:
        while not all((log / f"writer-{number}").stat().st_size for number in range(count)):
            time.sleep(0.05)
        yield
        assert [process.poll() for process in running] == [None] * count
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_twenty_copies_under_load_all_verify_and_nobody_waits_long(ledger: Path, tmp_path: Path) -> None:
    took = []
    with writers(ledger, 4, tmp_path):
        for number in range(20):
            begun = time.monotonic()
            made = copy(str(ledger), tmp_path / f"copy-{number}.db")
            took.append(time.monotonic() - begun)
            assert made.entries >= 3000

    waits = [float(line) for n in range(4) for line in (tmp_path / f"writer-{n}").read_text().splitlines()]
    counts = [len(rows_of(tmp_path / f"copy-{number}.db")) for number in range(20)]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0] + 20  # they did go on
    assert rows_of(tmp_path / "copy-19.db") == rows_of(ledger, counts[-1])
    assert quantiles(waits, n=10)[-1] < median(took)  # hardly any fact waits for the whole of a copy


def test_a_copy_is_a_ledger_of_the_same_entries_leaves_and_checkpoints(
    ledger: Path, tmp_path: Path, signer: Signer
) -> None:
    seal(ledger, signer)
    to = tmp_path / "copy.db"

    shown = do(ledger, "--json", "backup", str(to))

    found = json.loads(shown.stdout)
    assert found["entries"] == found["checkpoint"] == 3000
    assert found["root"] in rows_of(to)[-1][0].splitlines()  # type: ignore[attr-defined]
    assert "keys are not in it" in shown.stderr
    assert rows_of(to) == rows_of(ledger)
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    assert beside(to) == ["copy.db"]
    do(to, "verify")
    do(to, "record", "OutageReported", "outage:O-1", *outage())
    with closing(reader_at(str(ledger))) as one, closing(reader_at(str(to))) as other:
        assert one.identity() != other.identity()


def outage() -> tuple[str, ...]:
    return ("--services", "licence", "--customers", "all", "--degree", "unavailable", "--noticed-by", "staff")


def test_a_copy_of_a_ledger_in_wal_mode_stands_alone(ledger: Path, tmp_path: Path) -> None:
    """Its journal is not in WAL mode, and what still lay in the ledger's own is in it."""
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("INSERT INTO checkpoints VALUES (3000, 'not a note')")
        with pytest.raises(LedgerBroken, match="not a signed note"):
            copy(str(ledger), tmp_path / "copy.db")
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("DROP TRIGGER checkpoints_never_deleted")
        other.execute("DELETE FROM checkpoints")
        copy(str(ledger), tmp_path / "copy.db")

    assert is_wal(ledger)
    assert not is_wal(tmp_path / "copy.db")
    assert rows_of(tmp_path / "copy.db") == rows_of(ledger)
    assert beside(tmp_path / "copy.db") == ["copy.db"]


def test_what_is_there_is_never_overwritten(ledger: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("dear auditor")
    dangling = tmp_path / "link.db"
    dangling.symlink_to(tmp_path / "nowhere")

    for to in (letter, ledger, tmp_path, dangling):
        assert "something here already" in do(ledger, "backup", str(to), code=1).stderr
    for name in ("copy.jsonl", "copy.zip", "-", "postgresql://localhost/copy"):
        assert "a copy is a ledger in a file" in do(ledger, "backup", name, code=1).stderr
    do(ledger, "backup", str(tmp_path / "no folder" / "copy.db"), code=1)
    do(tmp_path / "none.db", "backup", str(tmp_path / "copy.db"), code=1)

    assert letter.read_text() == "dear auditor"
    assert not dangling.exists()
    assert not (tmp_path / "copy.db").exists()


BESIDE = ["-journal", "-wal", "-shm", ".lock", ".views", ".views.lock", ".keys", ".kek"]


@pytest.mark.parametrize("ending", BESIDE)
def test_what_is_kept_beside_a_ledger_is_no_place_for_a_copy_or_a_key(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "link.db"
    link.symlink_to(ledger)

    for place in (f"{ledger}{ending}", f"ledger.db{ending}", f"link.db{ending}"):
        Path(place).unlink(missing_ok=True)
        for command in (("backup", place), ("seal", "--new-key", "acme", "--key", place)):
            refused = do(link, *command, code=1).stderr.splitlines()
            assert refused[:2] == [place, "this name is kept for a file of the ledger's own"]
        assert not Path(place).exists()


def test_a_bundle_is_called_one(tmp_path: Path) -> None:
    refused = do(tmp_path / "evidence.zip", "backup", str(tmp_path / "copy.db"), code=1)

    assert refused.stderr.splitlines()[1] == "a bundle is a plain file"


def test_two_at_once_make_one_copy(ledger: Path, tmp_path: Path) -> None:
    to = tmp_path / "copy.db"
    running = [subprocess.Popen([*COMMAND, "--db", str(ledger), "backup", str(to)]) for _ in range(3)]

    assert sorted(process.wait() for process in running) == [0, 1, 1]
    assert rows_of(to) == rows_of(ledger)
    assert beside(to) == ["copy.db"]


def test_a_copy_that_is_killed_leaves_nothing_at_its_place(ledger: Path, tmp_path: Path) -> None:
    """At any instant: the place is empty, or the copy is whole."""
    to, whole, killed = tmp_path / "copy.db", rows_of(ledger), 0
    begun = time.monotonic()
    subprocess.run([*COMMAND, "--db", str(ledger), "backup", str(to)], check=True, capture_output=True)
    took = time.monotonic() - begun
    to.unlink()

    for step in range(12):
        process = subprocess.Popen(
            [*COMMAND, "--db", str(ledger), "backup", str(to)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(took * (0.4 + 0.06 * step))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        if to.exists():
            assert rows_of(to) == whole
            to.unlink()

    assert killed > 5
    assert rows_of(ledger) == whole
    do(ledger, "backup", str(to))
    assert beside(to) == ["copy.db"]


def test_a_draft_is_removed_when_its_maker_is_gone_and_no_other_file_is(ledger: Path, tmp_path: Path) -> None:
    gone, living, *others = (
        tmp_path / name
        for name in (
            ".copy.db.00000000.draft",
            ".copy.db.11111111.draft",
            ".copy.db.mine.draft",
            ".other.00000000.draft",
        )
    )
    for file in (gone, gone.with_name(f"{gone.name}-journal"), living, *others):
        file.touch()

    with living.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        do(ledger, "backup", str(tmp_path / "copy.db"))

    assert beside(tmp_path / "copy.db") == [living.name, others[0].name, "copy.db"]
    assert others[1].exists()


def limited() -> None:
    """Let no file grow beyond what a whole copy needs."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


def test_a_full_disk_leaves_nothing(ledger: Path, tmp_path: Path) -> None:
    to = tmp_path / "copy.db"

    done = subprocess.run(
        [*COMMAND, "--db", str(ledger), "backup", str(to)], preexec_fn=limited, capture_output=True, text=True
    )

    where, what, todo = done.stderr.splitlines()
    assert ledger.stat().st_size > 300_000
    assert done.returncode == 1
    assert (where, what) == (str(to), "could not be made: disk I/O error")
    assert "make room" in todo
    assert beside(to) == []


def altered(db: Path, statement: str) -> None:
    """Change what is stored past the program."""
    with closing(sqlite3.connect(db, isolation_level=None)) as other:
        guards = other.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            other.execute(f"DROP TRIGGER {name}")
        other.execute(statement)
        for _, sql in guards:
            other.execute(sql)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored_events SET state = CAST(state || ' ' AS BLOB) WHERE rowid = 1700",
        "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), 'e', 'a') AS BLOB) WHERE rowid = 1700",
        "UPDATE stored_events SET topic = 'IncidentCancelled' WHERE rowid = 1700",
        "DELETE FROM stored_events WHERE rowid = 1700",
        "DELETE FROM stored_events WHERE rowid > 2900",
        "UPDATE checkpoints SET note = replace(note, '\n3000\n', '\n2999\n')",
    ],
)
def test_a_ledger_that_is_damaged_is_not_copied(ledger: Path, tmp_path: Path, signer: Signer, statement: str) -> None:
    seal(ledger, signer)
    altered(ledger, statement)
    before = rows_of(ledger)

    with pytest.raises(LedgerBroken):
        copy(str(ledger), tmp_path / "copy.db")

    do(ledger, "backup", str(tmp_path / "copy.db"), code=4)
    assert beside(tmp_path / "copy.db") == []
    assert rows_of(ledger) == before


def test_a_ledger_that_another_program_holds_is_told_so(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.store.sqlite_reading.LOCK_SECONDS", 0.1)
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError, match=r"locked|another program"):
            copy(str(ledger), tmp_path / "copy.db")

    assert beside(tmp_path / "copy.db") == []


def test_a_ledger_in_postgresql_is_copied_into_a_file(
    emptied: str, server: Server, tmp_path: Path, signer: Signer
) -> None:
    source = tmp_path / "source.db"
    history.make(source, 6000)
    export = tmp_path / "export.jsonl"
    export.write_text(do(source, "export").stdout)
    do(emptied, "import", "--verbatim", str(export))
    seal(emptied, signer)
    auditor = server.address(name_of(emptied), server.new_login("sla_ledger_auditor"))
    to = tmp_path / "copy.db"

    found = json.loads(do(auditor, "--json", "backup", str(to)).stdout)

    assert found["entries"] == found["checkpoint"] == 6000
    assert rows_of(to) == rows_of(emptied)
    assert rows_of(to)[:-1] == rows_of(source)
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    assert beside(to) == ["copy.db"]
    done = subprocess.run([*COMMAND, "--db", auditor, "backup", str(tmp_path / "more.db")], preexec_fn=limited)
    assert done.returncode == 1
    assert beside(tmp_path / "more.db") == []
    commands = "SELECT count(command_id) FROM stored_events"
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(to)) as other:
        assert one.execute(commands).fetchone() == other.execute(commands).fetchone() != (0,)


def test_a_damaged_ledger_in_postgresql_is_not_copied(emptied: str, server: Server, tmp_path: Path) -> None:
    do(emptied, "init")
    for statement in (
        "ALTER TABLE sla_ledger.ledger_events DISABLE TRIGGER never_changed",
        "UPDATE sla_ledger.ledger_events SET originator_id = 'terms:other'",
        "ALTER TABLE sla_ledger.ledger_events ENABLE ALWAYS TRIGGER never_changed",
    ):
        server.run(statement, name_of(emptied))

    do(emptied, "backup", str(tmp_path / "copy.db"), code=4)

    assert beside(tmp_path / "copy.db") == []
